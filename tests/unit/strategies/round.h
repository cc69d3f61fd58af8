/* A round made of arrays: what a strategy under test sees, and how the tests of all strategies run one.
 *
 * fx_select drives a strategy as the host does and holds it to the contract every time: picks distinct, candidates,
 * as many as asked or fewer with a reason, the same with one thread and with two, no memory kept.
 * fx_twin_agrees does so on many random rounds beside a slow twin that must give the same picks.
 */
#ifndef TESTS_STRATEGY_ROUND_H
#define TESTS_STRATEGY_ROUND_H

#include "tests/unit/fixture.h"

#include <dal/linalg.h>
#include <dal/strategy.h>

#define FX_MAX_PICKS 4096

typedef struct fx_rows {
    int64_t n;
    int64_t *ids;     /* [n] ascending */
    int32_t *classes; /* [n] or NULL */
    float *outputs;   /* [n, c] or NULL */
    float *features;  /* [n, d] or NULL */
    float *mc;        /* [passes, n, c] or NULL */
} fx_rows;

typedef struct fx_round {
    fx_rows set[DAL_ROW_SETS];
    int64_t c, d, passes; /* passes: how many `mc` has; a strategy may ask for as many or fewer */
    uint32_t output_kind, mc_kind;
    float *weights, *bias; /* [c, d], [c]; last layer, or NULL */
    int64_t round;
    const dal_host *host; /* set while a strategy runs */
    dal_model model; /* of fx_round_model; impl NULL: there is none, as in `dalhost select` */
    int borrowed;    /* the model, the truth and the groups are another round's */
    int64_t n_pool;
    int32_t *truth; /* [n_pool] by pool index, or NULL */
    dal_view_truth truth_table;
    int32_t *groups; /* [n_pool] likewise */
    int64_t n_groups;
    dal_view_groups groups_table;
    struct fx_round *parent; /* of a subview */
    int64_t n_pseudo, pseudo_ids[FX_MAX_PICKS];
    int32_t pseudo_classes[FX_MAX_PICKS];
} fx_round;

/* What is odd about a random round; words can be added. */
#define FX_DUPLICATES 1u /* every third candidate is a copy of the one before */
#define FX_ZERO_ROWS 2u  /* some features are all zero */
#define FX_SATURATED 4u  /* most outputs are certain to the last bit */
#define FX_ONE_CLASS 8u  /* all labelled samples bear class 0 */
#define FX_NAN_ROWS 16u  /* outputs (and mc) of a few candidates are NaN */
#define FX_LOGITS 32u    /* outputs and mc are logits, not probabilities */
#define FX_MODEL 64u     /* there is a live model, fx_round_model */
#define FX_CURVED 128u   /* likewise, a curved one (whose outputs are not the round's) */

typedef struct fx_spec {
    uint64_t seed;
    int64_t n, n_labelled, n_ood, c, d, passes;
    uint32_t odd;
} fx_spec;

/* Features round class centres, ReLU'd; outputs of a last layer on them; mc with noise on the logits. */
fx_round *fx_round_random(const fx_spec *spec);
/* A round of the given candidates; arrays are copied, NULL where there are none; ids are 10, 20, 30... */
fx_round *fx_round_of(int64_t n, int64_t c, const float *probs, int64_t d, const float *features);
/* Rows of another set: copied likewise; ids begin at 100001 (labelled), 200001 (OOD), 300001 (validation). */
void fx_round_add(fx_round *r, uint32_t set, int64_t n, const int32_t *classes, const float *probs,
                  const float *features);
/* The passes of the candidates: class probabilities [passes, n, c], copied. */
void fx_round_mc(fx_round *r, int64_t passes, const float *mc);
/* The round gets a live model, the samples being the features: a linear classifier with the round's last layer (where
 * it has none: zero weights), on tanh of its inputs when `curved`. It stands behind view->model, view->model_ref,
 * view->samples and a block's inputs; see model.c. */
void fx_round_model(fx_round *r, int curved);
/* Samples tell their true classes (DAL_CAP_TRUTH): those of the candidates [n] and of the labelled samples. */
void fx_round_truth(fx_round *r, const int32_t *classes);
/* They tell their sources (DAL_CAP_GROUPS): those of the candidates [n], of n_groups; nothing is known of others. */
void fx_round_groups(fx_round *r, const int32_t *groups, int64_t n_groups);
void fx_round_free(fx_round *r);
/* The same round with candidate i holding what candidate order[i] of r holds; ids stay in place. */
fx_round *fx_round_permuted(const fx_round *r, const int64_t *order);
/* Features of all sets times s (the outputs stay). */
void fx_round_scale(fx_round *r, float s);

/* A strategy for `inner` parameters: pass a pointer to one as the dal_component_ref. (What is opened with an argument
 * is a model.) */
typedef struct fx_ref {
    const void *impl;
    const void *options;
} fx_ref;

typedef struct fx_picks {
    int64_t want, n;
    int64_t ids[FX_MAX_PICKS]; /* pool indices, as a strategy gives them */
    int64_t rows[FX_MAX_PICKS]; /* the same as rows of the candidates */
    double scores[FX_MAX_PICKS];
    char reason[256];
    dal_status status; /* fx_try: what the strategy said */
    dal_error err;
} fx_picks;

/* Up to b picks. Asserts success and everything said above. Results are the caller's (fx_picks is large: static). */
void fx_select(fx_round *r, const dal_strategy_impl *impl, const void *options, int64_t b, uint64_t seed,
               fx_picks *out);
/* The same where failure is expected: out->status and out->err tell. Memory is still checked. */
void fx_try(fx_round *r, const dal_strategy_impl *impl, const void *options, int64_t b, uint64_t seed,
            fx_picks *out);

/* Slow and obvious: rows of the candidates in the order picked into rows[b]; returns how many. `host` gives the
 * same random streams as the strategy has. Use the twin's own arithmetic, in double. */
typedef int64_t fx_twin(const fx_round *r, const dal_host *host, const void *options, int64_t b, int64_t *rows);
/* Both on every spec [n_specs] x b in {1, n/7, n, n + 3} (at most max_b, 0: no bound) x 2 seeds. */
void fx_twin_agrees(const dal_strategy_impl *impl, const void *options, fx_twin *twin, const fx_spec *specs,
                    int64_t n_specs, int64_t max_b);
/* A list of shapes most strategies can be tried on: sizes, oddities, C of 2 to 1000. */
extern const fx_spec fx_shapes[];
extern const int64_t fx_n_shapes;

/* Picks of a strategy without randomness move with the samples: on a permuted round the permuted picks. Only for
 * rounds without ties. */
void fx_picks_follow_samples(const dal_strategy_impl *impl, const void *options, const fx_spec *spec, int64_t b);
/* No sample is picked beside an equal one while others remain; needs a round of FX_DUPLICATES. */
void fx_duplicates_stay_apart(const dal_strategy_impl *impl, const void *options, const fx_spec *spec, int64_t b);
/* Every failing allocation on the way is a clean error, on a random round or on this one. */
void fx_survives_no_memory(const dal_strategy_impl *impl, const void *options, const fx_spec *spec, int64_t b);
void fx_round_survives_no_memory(fx_round *r, const dal_strategy_impl *impl, const void *options, int64_t b);

/* model.c: the table of fx_round_model's model, what host->open opens for model_ref, and how many are open. */
typedef struct fx_model_options {
    int curved;
} fx_model_options;
extern const dal_model_impl fx_model_impl;
extern int fx_models_open;
int fx_model_is_curved(const void *self);
/* A model of these weights [c, d] and bias [c] (copied; NULL: zero). Ends with fx_model_impl.destroy. */
void *fx_model_new(int64_t c, int64_t d, const float *weights, const float *bias, int curved);
/* One like the round's, trained on these samples of it; and what it says of a sample, in double, [c]. */
void *fx_model_train(const fx_round *r, const int64_t *ids, const int32_t *classes, int64_t n);
void fx_model_probs(const fx_round *r, void *m, int64_t id, double *out);

/* Probabilities of a row of a set, whatever kind the outputs are, in double, [c]. */
void fx_probs(const fx_round *r, uint32_t set, int64_t row, double *out);
/* Likewise of pass k of a candidate. */
void fx_mc_probs(const fx_round *r, int64_t k, int64_t row, double *out);

#endif
