/* store/store.h: the run store: one SQLite file (WAL) with any number of runs in it.
 *
 * A round is one transaction; it is durable (fsync) when store_commit_round returns. Answers that an
 * oracle flushes on its own are durable when store_add_answers returns. Several processes may use one
 * store; a run is written by one process at a time (a lock the system drops when the process dies). A
 * handle is used by one thread at a time, and not across fork.
 *
 * A store of format 1 or 2 is read as it is, without what format 2 (round.n_candidates, explanation,
 * stands_for) and 3 (data) added, and becomes one of format 3 when it is opened for writing.
 *
 * Every failure leaves the store as it was before the call and says: the file, what could not be done,
 * what SQLite or the system says, what to do.
 */
#ifndef DALHOST_STORE_STORE_H
#define DALHOST_STORE_STORE_H

#include <dal/base.h>
#include <stdbool.h>

#define STORE_FORMAT  3 /* PRAGMA user_version; application_id is "DALR" */
#define STORE_DEFAULT "dalhost.sqlite" /* in the current folder, when the user names none */
#define STORE_MAX_CLASSES (1 << 20)

typedef struct store store;

/* create: make the file when it is not there. Refuses what is not a run store, and stores of another
 * format, by name and number. */
dal_status store_open(const char *path, bool create, bool read_only, store **out, dal_error *err);
void store_close(store *s); /* accepts NULL */
const char *store_path(const store *s);

typedef enum run_state { RUN_RUNNING, RUN_WAITING, RUN_DONE, RUN_FAILED } run_state;
const char *run_state_name(run_state s);

/* How many samples a split had after the dataset (position 0) or the transform at this position. */
typedef struct store_link {
    int64_t position;
    const char *component;
    const char *split; /* "train", "validation", "test" */
    int64_t samples, unlabelled, out_of_class;
    const char *classes; /* JSON array: how many of each class */
} store_link;

/* What makes a run: written once, at its start. */
typedef struct run_head {
    int64_t id; /* given by the store */
    const char *name, *strategy; /* manifest's name, strategy's id */
    int64_t trial;
    uint64_t seed;
    const char *manifest;    /* effective, canonical JSON */
    const char *components;  /* JSON array of spec_json of all components, with module versions */
    const char *host_version, *abi;
    uint64_t data_fingerprint[2];
    int64_t n_pool, n_test, n_classes;
    const char *class_names; /* JSON array */
    run_state state;
    const char *message;     /* why it failed, what it waits for; "" */
    double started, changed; /* seconds since 1970 */
    const store_link *links; /* [n_links] of a new run; read back by store_read_run alone, NULL before format 3 */
    int64_t n_links;
} run_head;

/* A new run with its initial labelled set, in one transaction; sets head->id and locks the run. */
dal_status store_new_run(store *s, run_head *head, const int64_t *initial, const int32_t *classes,
                         int64_t n_initial, dal_error *err);
/* The last unfinished (running, waiting or failed) run with this manifest, strategy, trial, seed and
 * components (NULL: any); of those before run like->id where that is not 0. strategy NULL: any strategy, trial and
 * seed. DAL_E_NOT_FOUND when there is none. finished: also count finished ones. Strings in *head are owned by the store
 * handle until its next successful call of this function. */
dal_status store_find_run(store *s, const run_head *like, bool finished, run_head *head, dal_error *err);
/* Become this run's only writer; DAL_E_FAILED names the process that is. Held until store_close; a handle
 * may hold several, and writing without it is refused. */
dal_status store_lock_run(store *s, int64_t run, dal_error *err);
dal_status store_set_state(store *s, int64_t run, run_state state, const char *message, dal_error *err);

typedef struct phase_times {
    double train, evaluate, infer, select, label, commit; /* wall seconds; commit is of the round before */
    double train_cpu, infer_cpu, select_cpu;
    int64_t peak_rss; /* bytes, of the process so far */
} phase_times;

typedef struct round_metrics {
    double accuracy, balanced_accuracy, macro_f1, log_loss; /* NaN without a test split */
    double train_loss, train_accuracy;                      /* NaN when not told */
    int64_t epochs, converged;
    const double *recall; /* [n_classes] per class, NaN for absent classes; NULL: none */
    int64_t n_classes;
} round_metrics;

/* Where a pick lies among the samples of its round. */
#define STORE_FEW 3
typedef struct explanation {
    int64_t other;         /* pool index of the nearest other pick of the round, -1: there is none */
    double other_distance; /* to it; NaN */
    int64_t stands_for;    /* how many candidates have this one as their nearest pick */
    int64_t few[STORE_FEW]; /* the nearest of them, nearest first; -1 after the last */
    double few_distance[STORE_FEW];
} explanation;

typedef struct pick {
    int64_t id;         /* pool index */
    int64_t rank;       /* 0.. in the order picked */
    double score;       /* NaN: none */
    int64_t nearest;    /* pool index of the nearest labelled sample, -1: not known */
    double distance;    /* to it; NaN */
    uint32_t answer;    /* DAL_ANSWER_* */
    int32_t cls;        /* read back as DAL_LABEL_OOD or _NONE when the answer is not a class */
    double cost;        /* read back as NaN while pending */
    const explanation *why; /* NULL: none is kept */
} pick;
const char *answer_name(uint32_t answer); /* "pending", "class", "out-of-class", "abstain"; NULL: no such */

typedef struct round_record {
    int64_t round; /* 0..; the round after the last query has n_picks = 0 */
    int64_t n_labelled, n_ood, n_unlabelled; /* when trained */
    int64_t n_candidates; /* of the unlabelled, what the strategy chose among; read back as -1: not known */
    round_metrics metrics;
    phase_times times;
    const pick *picks;
    int64_t n_picks;
    const char *reason; /* why fewer picks than asked; "" */
    /* Extra training pairs for the next fit only (CEAL). */
    const int64_t *pseudo_ids;
    const int32_t *pseudo_classes;
    const float *pseudo_weights;
    int64_t n_pseudo;
} round_record;

/* Large binary parts of a round: the model ("model"), a strategy's state ("strategy"). */
typedef struct round_blob {
    const char *what;
    const void *data;
    size_t n;
} round_blob;

/* Everything of a round in one transaction: metrics, picks with the answers there are, blobs. Rounds come
 * in order, without gaps, and no sample is picked twice in a run. keep_old: false drops the same blobs of
 * earlier rounds. Nothing of the round is stored on failure. */
dal_status store_commit_round(store *s, int64_t run, const round_record *r, const round_blob *blobs,
                              int n_blobs, bool keep_old, dal_error *err);
/* Answers to picks of a committed round, found by rank and id. A pick already answered, one that was not
 * asked for and DAL_ANSWER_PENDING are refused, and then none of the answers is stored. */
dal_status store_add_answers(store *s, int64_t run, int64_t round, const pick *picks, int64_t n,
                             dal_error *err);
/* *data is the caller's: free(). DAL_E_FORMAT when the bytes are not those that were written. */
dal_status store_read_blob(store *s, int64_t run, int64_t round, const char *what, void **data, size_t *n,
                           dal_error *err);

/* ---- reading back ---- */
typedef struct stored_run {
    run_head head;
    int64_t *initial;
    int32_t *initial_classes;
    int64_t n_initial;
    round_record *rounds; /* [n_rounds], each with its picks */
    int64_t n_rounds;
} stored_run;
dal_status store_read_run(store *s, int64_t run, stored_run **out, dal_error *err);
void stored_run_free(stored_run *r);
/* Where a run stands, without its picks; rounds 0: labels 0, accuracy NaN. */
typedef struct run_standing {
    int64_t rounds, labels; /* stored; labelled when the last one was trained */
    double accuracy;        /* of the last one */
} run_standing;
dal_status store_read_standing(store *s, int64_t run, run_standing *out, dal_error *err);
/* The process that writes this run now; 0: none, so a run that is still "running" was interrupted; -1: it
 * cannot be told. Works for a store opened for reading too. */
int64_t store_writer(store *s, int64_t run);
/* Its state for people: a run that is "running" and has no writer was interrupted. */
const char *run_state_shown(const run_head *h, int64_t writer);
/* Heads of all runs, newest last. */
dal_status store_list(store *s, run_head **heads, int64_t *n, dal_error *err);
void store_list_free(run_head *heads, int64_t n);

#endif
