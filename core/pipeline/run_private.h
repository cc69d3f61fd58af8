/* pipeline/run_private.h: the state of a run, shared by run.c, earlier.c, rounds.c, ask.c,
 * remember.c. */
#ifndef DALHOST_PIPELINE_RUN_PRIVATE_H
#define DALHOST_PIPELINE_RUN_PRIVATE_H

#include <dal/strategy.h>

#include "pipeline/pool.h"
#include "pipeline/provider.h"
#include "pipeline/run.h"
#include "pipeline/view.h"

/* Bytes that grow: what save() writes into. */
typedef struct bytes {
    unsigned char *data;
    size_t n, room, at; /* at: where the reader is */
} bytes;

typedef struct run {
    trial *t;
    const manifest *m;
    const component_spec *spec; /* the strategy's */
    component_spec *chosen;     /* the model's, where it differs from the manifest's: see choices.h */
    int64_t candidates;         /* of each query; 0: the whole pool */
    store *store;
    const run_events *events;
    run_head head;
    char *components, *class_names; /* of head */
    pool pool;
    const dal_instance *model, *strategy, *oracle;
    dal_oracle_task task;
    model_provider provider;
    bool provider_ready;
    int64_t round;
    /* Of the round at hand. */
    round_record record;
    double *recall;
    pick *picks;
    explanation *why; /* of the picks, or NULL */
    pseudo_labels pseudo, next_pseudo; /* for this fit; for the next */
    round_view *view;
    bool committed, owned; /* the round is in the store; the run is ours to write */
    double last_commit, spent; /* seconds; cost of all answers so far */
    char message[1024];
} run;

static inline const component_spec *model_spec(const run *r)
{
    return r->chosen ? r->chosen : r->m->model;
}

static inline const dal_model_impl *model_impl(const run *r)
{
    return r->model->impl;
}

static inline const dal_strategy_impl *strategy_impl(const run *r)
{
    return r->strategy->impl;
}

/* ---- remember.c: blobs and the past ---- */
dal_status save_model(const run *r, bytes *b, dal_error *err);
dal_status load_model(const run *r, int64_t round, dal_error *err);
dal_status save_strategy(const run *r, bytes *b, dal_error *err); /* b->n stays 0 when it has no state */
dal_status load_strategy(const run *r, int64_t round, dal_error *err);
bool keeps_model(const run *r);
/* Commit the round at hand with the answers there are. */
dal_status commit_round(run *r, dal_error *err);
/* Nearest labelled sample of each pick, in feature space (or of the inputs when the model has no features). */
dal_status note_nearest(run *r, dal_error *err);
/* What each pick stands for, where the manifest asks for it. */
dal_status note_why(run *r, dal_error *err);

/* ---- earlier.c ---- */
/* The model by this spec; r->chosen becomes what it chose. */
dal_status open_model(run *r, const component_spec *spec, dal_error *err);
/* The last run in the store that this one would be, but for what its model chose; finished: also of finished ones.
 * DAL_E_NOT_FOUND; DAL_E_INVALID: there are only such of other versions of modules. Strings as store_find_run's. */
dal_status find_earlier(const run *r, bool finished, run_head *found, dal_error *err);
/* For people, the stored run that is most like this one and in what it differs; NULL: there is none. */
char *nearest_run(const run *r);
/* The model becomes what that of `found` was; NULL: that of the last run of the same manifest, if there is one. Refuses
 * where it cannot be had. */
dal_status go_by_earlier(run *r, const run_head *found, dal_error *err);

/* ---- ask.c ---- */
/* Ask the oracle about the picks still pending; commits the round, or what was answered. *pending: how many
 * are left. Answers that came before a failure are kept. */
dal_status ask_oracle(run *r, int64_t *pending, dal_error *err);

/* ---- rounds.c ---- */
/* Lists and an empty record for round r->round. */
void begin_round(run *r);
/* Free what belongs to the round at hand; the pseudo labels it made are for the next. */
void drop_round(run *r);
void open_view(run *r);
/* All picks are answered: let the strategy know, move them, go to the next round. */
dal_status close_round(run *r, dal_error *err);
/* The loop. DAL_OK at the end of the run, DAL_E_PENDING when the oracle wants time. */
dal_status run_rounds(run *r, dal_error *err);
double cost_of(const pick *picks, int64_t n); /* of those that are answered */
void tell_phase(const run *r, const char *phase);

#endif
