/* pipeline/run.h: one run: the rounds of one strategy on one trial, from its start or from where it stopped.
 */
#ifndef DALHOST_PIPELINE_RUN_H
#define DALHOST_PIPELINE_RUN_H

#include "pipeline/trial.h"
#include "store/store.h"

/* What the user sees of a run; all may be NULL. [main] */
typedef struct run_events {
    void *ctx;
    /* rounds_done > 0: resumed. A stored round is also given to `round`. */
    void (*begin)(void *ctx, const run_head *head, int64_t rounds_done);
    void (*phase)(void *ctx, const char *phase, int64_t round, int64_t rounds);
    void (*round)(void *ctx, const run_head *head, const round_record *r);
    void (*end)(void *ctx, const run_head *head);
    /* Something worth knowing that is no failure. */
    void (*note)(void *ctx, const char *what);
} run_events;

typedef struct run_options {
    bool resume;
    const run_events *events; /* or NULL */
} run_options;

/* Run strategy number `strategy` of the manifest. *state tells how it ended:
 *   RUN_DONE     all rounds, or a stopping rule (the message says which)
 *   RUN_WAITING  the oracle has pending answers; message: what to do
 *   RUN_RUNNING  interrupted (status DAL_E_CANCELLED); can be resumed
 *   RUN_FAILED   status and err tell; what was labelled is in the store, and it can be resumed
 * With resume: goes on with the last unfinished run of the same manifest, or says it is done already. */
dal_status run_strategy(trial *t, int strategy, store *s, const run_options *o, run_state *state, dal_error *err);

#endif
