/* check/world.h: a small made-up world for components to work in: samples, classes, a trained classifier.
 *
 * Pool samples are Gaussian clusters, one a class; the classifier is linear on them, its weights the cluster
 * means. Everything is a pure function of the shape.
 */
#ifndef DAL_CHECK_WORLD_H
#define DAL_CHECK_WORLD_H

#include <dal/dataset.h>

#include "pipeline/provider.h"
#include "pipeline/view.h"

#define WORLD_DUPLICATES 1u /* every sample is there about five times */
#define WORLD_CONSTANT 2u   /* all samples are the same */
#define WORLD_ONE_CLASS 4u  /* all labelled samples are of class 0 */
/* What samples look like, at most one; features stay vectors. None: vectors too. */
#define WORLD_IMAGES 8u  /* u8 images [1, 12, 12] */
#define WORLD_SPARSE 16u /* sparse vectors of 2 d columns */
#define WORLD_TEXT 32u   /* d words */
#define WORLD_MISSING 64u /* real values are NaN here and there, in some samples all of them; features are not */
#define WORLD_KINDS (WORLD_IMAGES | WORLD_SPARSE | WORLD_TEXT)

#define WORLD_GROUPS 3

typedef struct world_shape {
    int64_t candidates, labelled, ood, others; /* others: unlabelled, but no candidates */
    int64_t c, d;
    uint32_t output_kind; /* DAL_LOGITS or DAL_PROBS */
    uint32_t flags;
    uint64_t seed;
} world_shape;

typedef struct world {
    provider base; /* what a view shows of it */
    world_shape shape;
    int64_t n; /* pool */
    dal_sample_spec spec;
    float *features; /* [n, d] */
    void *raw;       /* [n] samples of spec; sparse and text: [offsets[n]] values or bytes */
    int64_t *offsets; /* [n + 1] of sparse and text samples, else NULL */
    int32_t *indices; /* [offsets[n]] of sparse samples, else NULL */
    float *weights, *bias;
    int32_t *classes; /* [n] the truth; DAL_LABEL_OOD for some */
    int32_t *groups;  /* [n] 0..WORLD_GROUPS-1 or DAL_GROUP_NONE */
    int64_t *ids;     /* storage of the row sets */
    int32_t *labelled_classes;
    row_sets sets;
} world;

world *world_new(const world_shape *shape, const dal_host *host);
void world_free(world *w);
/* world_samples.c: samples from the features; how large some are; and copies of them (sparse and text: where
 * out->offsets says). */
void world_make_samples(world *w);
void world_sizes(const world *w, const int64_t *ids, int64_t n, int64_t *out);
dal_status world_read(const world *w, const int64_t *ids, int64_t n, dal_batch *out);
/* The same in memory of its own. */
dal_batch world_batch(const world *w, const int64_t *ids, int64_t n);
void world_batch_free(dal_batch *x);

/* A list of pool samples with their classes (or without). free() it. */
dal_samples *world_samples(const world *w, const int64_t *ids, const int32_t *classes, const float *weights,
                           int64_t n);
/* The labelled set, the candidates as such lists. */
dal_samples *world_set(const world *w, uint32_t set);

/* The world as a dataset: pool, a validation and a test split (each a third of the pool's samples). Borrows w. */
dal_dataset world_dataset(world *w);

#endif
