/* dal/strategy.h: query strategies (kind "strategy"): which samples are worth a label.
 *
 * Two shapes; fill exactly one of `score` and `select`.
 *  score   a pure function of one block of samples: one number each. The host streams the pool through
 *          it on all threads, keeps the best, breaks ties by the lower position, distributes it.
 *  select  sees the whole round (dal_view) and returns picks in the order picked.
 * A strategy names the capabilities it reads in its component's `needs`. It may read nothing else.
 *
 * Sizes: n candidates, n_l labelled, c classes, d features, b query size. Rows of every matrix of a row
 * set follow the order of ids(set): position i of DAL_ROWS_CANDIDATES is row i everywhere.
 */
#ifndef DAL_STRATEGY_H
#define DAL_STRATEGY_H

#include <dal/model.h>
#include <dal/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Row sets of a round. */
#define DAL_ROWS_CANDIDATES 0u /* what may be picked: the unlabelled pool, or a sub-sample of it */
#define DAL_ROWS_LABELLED 1u   /* labelled with one of the C classes */
#define DAL_ROWS_OOD 2u        /* queried before and found to belong to no class */
#define DAL_ROWS_UNLABELLED 3u /* the whole unlabelled pool (candidates are a subset) */
#define DAL_ROWS_VALIDATION 4u /* the validation split, where there is one; ids beyond the pool's */
#define DAL_ROW_SETS 5u

/* A block of consecutive rows of one row set. Everything is computed when asked for (and booked as
 * inference, not selection); pointers live until the callback returns. */
typedef struct dal_block {
    uint32_t struct_size;
    uint32_t set;
    void *impl;
    int64_t first, n;   /* rows first..first+n-1 of the set */
    const int64_t *ids; /* [n] pool index */
    /* [worker] Each needs the capability of the same name. */
    dal_status (*outputs)(const struct dal_block *b, dal_outputs *out, dal_error *err);
    dal_status (*features)(const struct dal_block *b, dal_matrix *out, dal_error *err);
    dal_status (*mc)(const struct dal_block *b, int64_t n_passes, dal_tensor3 *out, dal_error *err);
    /* [worker] The samples themselves, for extensions called by hand. Not offered by `dalhost select`. */
    dal_status (*inputs)(const struct dal_block *b, dal_batch *out, dal_error *err);
} dal_block;

/* The round as a select strategy sees it. Matrices are borrowed until select returns and are made on
 * first use: an [n, c] matrix costs 4nc bytes; stream() costs one block a thread. All [main]. */
typedef struct dal_view {
    uint32_t struct_size;
    uint32_t mc_kind; /* kind of mc(): DAL_LOGITS or DAL_PROBS */
    void *impl;
    int64_t round;     /* 0 is the first query */
    int64_t n_classes; /* c; 0: not known (matrices without class information) */
    int64_t (*count)(const struct dal_view *v, uint32_t set);
    const int64_t *(*ids)(const struct dal_view *v, uint32_t set); /* [count] pool index, ascending */
    /* [count] classes of DAL_ROWS_LABELLED or DAL_ROWS_VALIDATION, which may also have DAL_LABEL_*; other
     * sets: NULL. */
    const int32_t *(*classes)(const struct dal_view *v, uint32_t set);

    dal_status (*outputs)(const struct dal_view *v, uint32_t set, dal_outputs *out, dal_error *err);
    dal_status (*features)(const struct dal_view *v, uint32_t set, dal_matrix *out, dal_error *err);
    dal_status (*mc)(const struct dal_view *v, uint32_t set, int64_t n_passes, dal_tensor3 *out,
                     dal_error *err);
    /* weights [c, d]; *bias [c] or NULL. */
    dal_status (*last_layer)(const struct dal_view *v, dal_matrix *weights, const float **bias,
                             dal_error *err);
    /* Every block of a set through visit, on all threads, blocks in any order. */
    dal_status (*stream)(const struct dal_view *v, uint32_t set,
                         dal_status (*visit)(void *ctx, const dal_block *block, dal_error *err), void *ctx,
                         dal_error *err);

    /* The trained model, for extensions the view has no word for; NULL in `dalhost select`. */
    const dal_model *model;
    /* A component like the task's model, to open with host->open (committees, detectors); NULL in
     * `dalhost select`. */
    const dal_component_ref *model_ref;
    /* A list of pool samples to read or train on: ids [n] with classes and weights (either may be NULL).
     * Borrowed arrays must outlive it. Give it back with release. */
    dal_status (*samples)(const struct dal_view *v, const int64_t *ids, const int32_t *classes,
                          const float *weights, int64_t n, dal_samples **out, dal_error *err);
    void (*release)(const struct dal_view *v, dal_samples *s);

    /* This round seen through other sets: candidates and labelled samples by pool index, ascending
     * (classes [n_labelled]). For wrappers, sub-pools, splits of L. Close it before select returns. */
    dal_status (*subview)(const struct dal_view *v, const int64_t *candidates, int64_t n,
                          const int64_t *labelled, const int32_t *classes, int64_t n_labelled,
                          struct dal_view **out, dal_error *err);
    void (*close)(const struct dal_view *v, struct dal_view *sub);
    /* Run another strategy (of either shape) on this view: up to n picks (pool indices, in order) and their
     * scores (NaN where there is none) into the caller's arrays of n. */
    dal_status (*run)(const struct dal_view *v, const dal_instance *strategy, int64_t n, int64_t *picks,
                      double *scores, int64_t *n_picked, dal_error *err);
    /* Train on pool sample id as if it had this class, in the next fit only (CEAL); weight > 0. */
    dal_status (*pseudo_label)(const struct dal_view *v, int64_t id, int32_t cls, float weight,
                               dal_error *err);
    /* DAL_CAP_TRUTH (a bound that cheats, where the strategy names it in its needs): const dal_view_truth *;
     * DAL_CAP_GROUPS (likewise, where it is in its needs): const dal_view_groups *; DAL_CAP_CONCURRENT: the model, when
     * its [worker] slots allow several calls at once; others, or not known: NULL. */
    const void *(*get_extension)(const struct dal_view *v, const char *id);
} dal_view;

/* Classes of all pool samples as the dataset knows them, [n] by pool index. */
typedef struct dal_view_truth {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n;
    const int32_t *classes;
} dal_view_truth;

/* Groups (sources) of all pool samples, [n] by pool index: 0..n_groups-1 or DAL_GROUP_NONE. Since ABI 1.1. */
typedef struct dal_view_groups {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n, n_groups;
    const int32_t *groups;
    const char *const *names; /* [n_groups] */
} dal_view_groups;

/* What select fills. The arrays have room for `want`. */
typedef struct dal_picks {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t want;    /* b, already at most the number of candidates */
    int64_t *ids;    /* [want] distinct candidates (pool index), in the order picked */
    double *scores;  /* [want] preset to NaN; what the strategy thinks of each */
    int64_t n;       /* set it; fewer than want only with a reason */
    char reason[256];
} dal_picks;

/* Answers as observe sees them: parallel arrays [n]. DAL_ANSWER_*: dal/oracle.h. */
typedef struct dal_feedback {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n;
    const int64_t *ids;
    const uint32_t *answers;
    const int32_t *classes;
} dal_feedback;

/* A bound on what a selection takes, as a function of its sizes; that of a strategy which runs others (view->run)
 * counts what they take, too. The host tells it, and refuses what is above the user's limit. */
typedef struct dal_problem {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n, n_labelled, n_query, c, d; /* d: 0 while no features are known */
    int64_t inputs; /* values of a sample; 0: not known, or texts, or sparse */
} dal_problem;
typedef struct dal_cost {
    uint32_t struct_size;
    uint32_t reserved;
    double bytes;  /* peak memory beside what the view itself holds */
    double flops;  /* order of the arithmetic */
    char formula[128]; /* "O(b n d) time, O(n) memory" */
} dal_cost;

#define DAL_LARGEST_FIRST 0u
#define DAL_SMALLEST_FIRST 1u

typedef struct dal_strategy_impl {
    uint32_t struct_size;
    uint32_t order; /* score: DAL_LARGEST_FIRST or DAL_SMALLEST_FIRST */
    /* [main] Optional both; default: no instance, self = NULL. */
    dal_status (*create)(const dal_host *host, const void *options, void **self, dal_error *err);
    void (*destroy)(void *self);
    /* [main] Optional: once a round, before score or select. */
    dal_status (*prepare)(void *self, const dal_view *view, dal_error *err);
    /* [any] Pure: scores out [block->n]. NaN counts as least wanted and is reported. */
    dal_status (*score)(void *self, const dal_block *block, double *out, dal_error *err);
    /* [main] */
    dal_status (*select)(void *self, const dal_view *view, dal_picks *picks, dal_error *err);
    /* [main] Optional: the answers, when they are safe and before the model is trained again. */
    dal_status (*observe)(void *self, const dal_view *view, const dal_feedback *feedback, dal_error *err);
    /* [main] Optional, both or neither: state that must survive from round to round. load gets bytes it
     * cannot trust. */
    dal_status (*save)(void *self, const dal_writer *w, dal_error *err);
    dal_status (*load)(void *self, const dal_reader *r, dal_error *err);
    /* [main] Optional: what to train along in the coming fit; borrowed until destroy; NULL: nothing. */
    const dal_companion *(*companion)(void *self);
    /* [any] Optional: the cost of one selection; self may be NULL (asked before any instance is made), in
     * which case `options` alone tells. */
    void (*cost)(void *self, const void *options, const dal_problem *problem, dal_cost *out);
    /* [any] Optional: extensions of this instance, or NULL. */
    const void *(*get_extension)(void *self, const char *id);
} dal_strategy_impl;

#ifdef __cplusplus
}
#endif
#endif
