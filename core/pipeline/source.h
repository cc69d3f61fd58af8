/* pipeline/source.h: the dataset of a run, with its transforms: checked once, then read from any thread. */
#ifndef DALHOST_PIPELINE_SOURCE_H
#define DALHOST_PIPELINE_SOURCE_H

#include <dal/dataset.h>
#include <pthread.h>

#include "pipeline/compose.h"

/* What real values (f32) of samples may be. */
enum { VALUES_ANY, VALUES_FINITE, VALUES_OR_MISSING }; /* the last: finite, or NaN */

typedef struct source {
    composer *composer;
    const dal_instance **chain; /* the dataset, then each transform */
    const component_desc **descs;
    dal_dataset *links; /* each of the chain, as the one above it was given it */
    int n_chain;
    dal_dataset top;
    dal_dataset_info info;
    const char *const *class_names; /* [info.spec.n_classes], never NULL */
    int32_t *classes[DAL_SPLITS];   /* [info.n[split]] as the dataset knows them */
    int32_t *groups;                /* [info.n[DAL_SPLIT_TRAIN]] which source each is of; NULL: it does not tell */
    int64_t n_groups;
    const char *const *group_names; /* [n_groups] */
    uint32_t values;    /* VALUES_*, of samples that are read by source_samples; else reading fails */
    char *values_rule;  /* who wants that, "model 'mlp' takes finite numbers alone"; owned */
    char *values_mend;  /* what to do about NaN; owned */
    bool concurrent;
    pthread_mutex_t lock; /* held round every call when not concurrent */
    char **own_names, **own_group_names;
} source;

/* Open dataset and transforms of m and read all classes, and the groups of the pool. Failures go to d, each at its
 * place. */
dal_status source_open(composer *c, const manifest *m, source **out, diags *d);
void source_close(source *s); /* accepts NULL */

/* 128 bits that change with the content. */
dal_status source_fingerprint(source *s, uint64_t out[2], dal_error *err);
/* A name for people of a sample. */
void source_describe(source *s, uint32_t split, int64_t id, char *out, size_t size);

/* A list of samples of a split. Arrays are borrowed and must outlive it; ids are checked. free() it. */
dal_samples *source_samples(source *s, uint32_t split, const int64_t *ids, const int32_t *classes,
                            const float *weights, int64_t n);
/* [any] Samples by index, into a batch whose buffers fit. */
dal_status source_read(source *s, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                       dal_error *err);

/* Buffers for batches of any modality, grown as needed. Zero-initialise. */
typedef struct batch_buffer {
    dal_batch batch;
    dal_sample_spec spec;
    size_t data_bytes;
    int64_t n_offsets, n_indices;
} batch_buffer;
/* [any] Read n samples of list s into the buffer's batch. */
dal_status batch_read(batch_buffer *b, const dal_samples *s, const int64_t *rows, int64_t n, dal_error *err);
/* Vectors or images as rows of `width` numbers, as they are. */
void batch_as_floats(const dal_batch *b, int64_t width, float *out);
bool spec_is_dense(const dal_sample_spec *s);
void batch_free(batch_buffer *b);

#endif
