/* pipeline/trial.h: everything that can be known before training is found out here (law 2).
 *
 * A trial is the manifest with one seed: its data, ready to read. Runs of several strategies share it.
 */
#ifndef DALHOST_PIPELINE_TRIAL_H
#define DALHOST_PIPELINE_TRIAL_H

#include <dal/oracle.h>

#include "pipeline/cost.h"
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
    struct strategy_plan *plans; /* [m->n_strategies] */
    char *chosen;                /* what the model would choose here: choices_text */
} trial;

/* What a strategy will be given, and what a query will take, as far as it says. */
typedef struct strategy_plan {
    int64_t candidates; /* of each query, drawn at random; 0: the whole pool */
    dal_problem problem; /* the largest query of the run */
    strategy_cost cost;
    char *lines;        /* cost_lines */
} strategy_plan;

/* Open trial `number` and try every component of the manifest once, on the real data: create it, check sizes
 * against each other and their memory with the manifest's, close it. All faults go to d. */
dal_status trial_open(const manifest *m, registry *r, int64_t number, int32_t threads,
                      const composer_events *events, trial **out, diags *d);
void trial_close(trial *t); /* accepts NULL */

/* A task for the oracle of a run; valid while t is. */
dal_oracle_task trial_oracle_task(trial *t, const char *store_path, int64_t run);

#endif
