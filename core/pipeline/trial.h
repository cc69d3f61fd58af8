/* pipeline/trial.h: everything that can be known before training is found out here (law 2).
 *
 * A trial is the manifest with one seed: its data, ready to read. Runs of several strategies share it.
 */
#ifndef DALHOST_PIPELINE_TRIAL_H
#define DALHOST_PIPELINE_TRIAL_H

#include <dal/oracle.h>

#include "pipeline/source.h"

typedef struct trial {
    const manifest *m;
    registry *registry;
    composer *composer;
    source *source;
    int64_t number;
    uint64_t seed;
    uint64_t fingerprint[2];
    int64_t known; /* pool samples whose class the dataset knows */
} trial;

/* What a strategy will cost, as far as it says. */
typedef struct strategy_cost {
    bool told;
    double bytes, flops;
    char formula[128];
} strategy_cost;

/* Open trial `number` and try every component of the manifest once, on the real data: create it, check sizes
 * against each other, close it. All faults go to d. costs: caller's [m->n_strategies], or NULL. */
dal_status trial_open(const manifest *m, registry *r, int64_t number, int32_t threads,
                      const composer_events *events, trial **out, strategy_cost *costs, diags *d);
void trial_close(trial *t); /* accepts NULL */

/* A task for the oracle of a run; valid while t is. */
dal_oracle_task trial_oracle_task(trial *t, const char *store_path, int64_t run);

#endif
