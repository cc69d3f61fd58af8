/* pipeline/provider.h: who computes what a view shows: a trained model over a dataset, or ready matrices.
 *
 * A getter answers for n pool indices, either with a pointer into what it has, or with numbers it puts
 * into the caller's scratch. [any]: several at once, each with a scratch of its own.
 */
#ifndef DALHOST_PIPELINE_PROVIDER_H
#define DALHOST_PIPELINE_PROVIDER_H

#include <dal/strategy.h>

#include "pipeline/source.h"

/* Rows of a block of a view: fixed, so that nothing depends on the number of threads. Few where each is computed, as
 * a thread holds a block of inputs and what becomes of them; more where all lie ready and a block only costs its
 * bookkeeping. */
enum { BLOCK_COMPUTED = 256, BLOCK_READY = 2048, BLOCK_MOST = BLOCK_READY };

/* A float buffer that grows. */
typedef struct floats {
    float *data;
    size_t n;
} floats;

typedef struct scratch {
    batch_buffer batch;
    floats outputs, features, mc;
    struct scratch *next; /* free list of the view */
} scratch;

/* Room for rows * cols * times floats, or NULL with err filled. */
float *floats_reserve(floats *f, int64_t rows, int64_t cols, int64_t times, dal_error *err);
void scratch_free(scratch *s); /* the whole list; accepts NULL */

typedef struct provider {
    const dal_host *host;  /* its threads do the work */
    int64_t block;         /* rows, at most BLOCK_MOST */
    int64_t n_classes, d;  /* 0: not known */
    int64_t n_pool;        /* ids from here on are validation samples */
    const int32_t *truth;  /* [n_pool], NULL: not known */
    const int32_t *groups; /* [n_pool] which source each sample is of, NULL: not known */
    int64_t n_groups;
    const char *const *group_names; /* [n_groups] */
    uint32_t output_kind, mc_kind;
    const dal_model *model;              /* NULL for matrices */
    bool concurrent;                     /* its [worker] slots may be called several at once */
    const dal_component_ref *model_ref;  /* likewise */
    void *impl;
    /* Not offered: NULL, and `lacks` says what the user can do about it. */
    dal_status (*outputs)(const struct provider *p, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out,
                          dal_error *err);
    /* outputs may be NULL; when not, both come from one forward pass. */
    dal_status (*features)(const struct provider *p, scratch *s, const int64_t *ids, int64_t n,
                           dal_matrix *out, dal_matrix *outputs, dal_error *err);
    dal_status (*mc)(const struct provider *p, scratch *s, const int64_t *ids, int64_t n, int64_t passes,
                     dal_tensor3 *out, dal_error *err);
    dal_status (*inputs)(const struct provider *p, scratch *s, const int64_t *ids, int64_t n, dal_batch *out,
                         dal_error *err);
    dal_status (*last_layer)(const struct provider *p, dal_matrix *weights, const float **bias, dal_error *err);
    dal_samples *(*samples)(const struct provider *p, const int64_t *ids, const int32_t *classes,
                            const float *weights, int64_t n);
    const char *(*lacks)(const struct provider *p, const char *capability);
} provider;

/* A trained model over the train split of a source. stream: of the Monte-Carlo passes of this round. */
typedef struct model_provider {
    provider base;
    source *source;
    const dal_instance *model;
    const component_desc *desc;
    dal_model handle;
    const dal_model_features *features;
    const dal_model_mc *mc;
    const dal_model_last_layer *last_layer;
    dal_rng stream;
    pthread_mutex_t lock;
} model_provider;

/* The inputs themselves, as features: vectors or images (space_of tells). For choosing before there is a model. */
typedef struct input_provider {
    provider base;
    source *source;
} input_provider;
void input_provider_init(input_provider *p, source *s, const dal_host *host);

void model_provider_init(model_provider *p, source *s, const dal_instance *model, const component_spec *spec,
                         const dal_host *host);
void model_provider_fini(model_provider *p);
/* [any] Outputs of samples of any split into out [n, c]; checks that they are finite. */
dal_status model_predict(model_provider *p, const dal_batch *x, float *out, dal_error *err);
/* The round whose Monte-Carlo passes are meant. */
void model_provider_round(model_provider *p, int64_t round);

#endif
