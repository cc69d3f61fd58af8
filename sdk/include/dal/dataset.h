/* dal/dataset.h: where samples come from (kinds "dataset" and "transform").
 *
 * A dataset has up to three splits of samples, all of one spec. A transform is a dataset wrapped round
 * a dataset: same table, but its create gets the one below.
 */
#ifndef DAL_DATASET_H
#define DAL_DATASET_H

#include <dal/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_SPLIT_TRAIN 0u      /* the pool */
#define DAL_SPLIT_VALIDATION 1u /* may be empty */
#define DAL_SPLIT_TEST 2u       /* may be empty; a transform never fits anything on it */
#define DAL_SPLITS 3u

typedef struct dal_dataset_info {
    uint32_t struct_size;
    uint32_t reserved;
    dal_sample_spec spec;
    int64_t n[DAL_SPLITS];
    const char *const *class_names; /* [spec.n_classes], or NULL: "0", "1", ...; until destroy */
} dal_dataset_info;

/* Are these sample ids of a split of n samples? What every classes and read slot asks first. */
static inline dal_status dal_check_ids(int64_t split_size, const int64_t *ids, int64_t n, dal_error *err)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= split_size)
            return dal_fail(err, DAL_E_INVALID, "", "sample %lld was asked for; this split has 0..%lld",
                            (long long)ids[i], (long long)split_size - 1);
    return DAL_OK;
}

struct dal_dataset;

typedef struct dal_dataset_impl {
    uint32_t struct_size;
    uint32_t reserved;
    /* [main] Open the files, check them whole as far as their headers go, keep what is needed to read.
     * `options` is this component's options struct, valid until destroy. `input`: the wrapped dataset of
     * a transform (valid until destroy), NULL for a dataset. On failure *self is left alone. */
    dal_status (*create)(const dal_host *host, const void *options, const struct dal_dataset *input,
                         void **self, dal_error *err);
    void (*destroy)(void *self); /* [main] accepts NULL */
    /* [main] Fill info (struct_size is set by the caller). */
    dal_status (*info)(void *self, dal_dataset_info *info, dal_error *err);
    /* [worker] Classes of the samples ids[n] of a split: 0..C-1, DAL_LABEL_NONE or DAL_LABEL_OOD. */
    dal_status (*classes)(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out,
                          dal_error *err);
    /* [worker] Samples ids[n] (any order, repeats allowed) into out; see dal_batch for the buffers. */
    dal_status (*read)(void *self, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                       dal_error *err);
    /* [worker] Elements of each sample. Only text and sparse datasets have it. */
    dal_status (*sizes)(void *self, uint32_t split, const int64_t *ids, int64_t n, int64_t *out,
                        dal_error *err);
    /* [worker] Optional: a short name of sample id where it comes from ("train/cat/0012.png", "row 7");
     * default: the number. At most `size` bytes with the NUL. */
    void (*describe)(void *self, uint32_t split, int64_t id, char *out, size_t size);
    /* [main] Optional: 128 bits that change when the content does; default: the host hashes the info, all
     * classes and 1,024 samples spread evenly over the splits. DAL_E_UNSUPPORTED: take the default (what a
     * transform answers when the dataset below has none). A resumed run refuses a changed dataset. */
    dal_status (*fingerprint)(void *self, uint64_t out[2], dal_error *err);
    /* [any] Optional: what else this dataset can tell, by id, or NULL. Since ABI 1.1. */
    const void *(*get_extension)(void *self, const char *id);
} dal_dataset_impl;

/* DAL_CAP_GROUPS: where each sample comes from: the hospital, the patient, the person who wrote it, the file. Known
 * before any label is. Not a class: a strategy that names the capability in its needs may look at it. */
typedef struct dal_dataset_groups {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t (*count)(void *self); /* [any] G, at least 1 */
    /* [any] Optional: the name of group g, UTF-8, until destroy; default, or NULL: its number. */
    const char *(*name)(void *self, int64_t g);
    /* [worker] Groups of the samples ids[n] of a split: 0..G-1 or DAL_GROUP_NONE. */
    dal_status (*groups)(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out, dal_error *err);
} dal_dataset_groups;


/* An open dataset. Frozen. */
typedef struct dal_dataset {
    const dal_dataset_impl *impl;
    void *self;
} dal_dataset;

/* The groups of a dataset, or NULL: it tells none. */
static inline const dal_dataset_groups *dal_groups_of(const dal_dataset *d)
{
    return DAL_HAS(dal_dataset_impl, d->impl, get_extension)
               ? (const dal_dataset_groups *)d->impl->get_extension(d->self, DAL_CAP_GROUPS)
               : NULL;
}

#ifdef __cplusplus
}
#endif
#endif
