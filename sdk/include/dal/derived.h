/* dal/derived.h: (libdal) datasets made from a dataset: what transforms share that leave out, repeat, order
 * or relabel samples and do not touch (or lightly touch) what is in them.
 *
 * A transform's object begins with a dal_derived. Its create calls dal_derived_new, then says of each split
 * which samples of the dataset below it shows (ids, info.n) and of which class they are (classes). The other
 * slots of the table are the functions of DAL_DERIVED_SLOTS.
 */
#ifndef DAL_DERIVED_H
#define DAL_DERIVED_H

#include <dal/dataset.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_derived {
    const dal_host *host;
    const dal_dataset *input;
    dal_dataset_info below;       /* of the input */
    dal_dataset_info info;        /* of this dataset; at first like below */
    uint32_t from[DAL_SPLITS];    /* the split below that split k shows; at first k */
    int64_t *ids[DAL_SPLITS];     /* [info.n[k]] ids in split from[k] below, any order, repeats allowed; NULL:
                                     the same ids. dal_array of host; freed by dal_derived_destroy */
    int32_t *classes[DAL_SPLITS]; /* [info.n[k]] DAL_LABEL_* or 0..info.spec.n_classes-1; NULL: as below.
                                     Likewise. */
    char **names;                 /* of dal_derived_name_classes */
} dal_derived;

/* [main] An object of `size` bytes that begins with a dal_derived and is the input as it is; the rest is zero.
 * On failure nothing is held and *self is left alone. */
DAL_PUBLIC dal_status dal_derived_new(const dal_host *host, const dal_dataset *input, size_t size, void **self,
                                      dal_error *err);
DAL_PUBLIC void dal_derived_destroy(void *self); /* accepts NULL; the slot of objects that own nothing more */

/* [main] The class of every sample of a split below into *out [below.n[split]], the caller's to free. A class
 * that the input has not is DAL_E_CONTRACT. */
DAL_PUBLIC dal_status dal_derived_classes_below(const dal_derived *d, uint32_t split, int32_t **out,
                                                dal_error *err);

/* [main] The group of every sample of a split below into *out [below.n[split]], the caller's to free, and how many
 * groups there are. DAL_E_UNSUPPORTED when the input tells none; a group that it has not is DAL_E_CONTRACT. */
DAL_PUBLIC dal_status dal_derived_groups_below(const dal_derived *d, uint32_t split, int32_t **out, int64_t *n_groups,
                                               dal_error *err);

/* The samples of classes[n] that are of class 0..n_classes-1, class after class, each in ascending order, into
 * order[n]; those of class c are order[first[c]] .. order[first[c + 1] - 1]. first has room for n_classes + 2. */
DAL_PUBLIC void dal_group_by_class(const int32_t *classes, int64_t n, int64_t n_classes, int64_t *order,
                                   int64_t *first);

/* [main] Split k shows the samples of split `from` below whose flag is `flag`, flags[below.n[from]], in their old
 * order. */
DAL_PUBLIC dal_status dal_derived_keep(dal_derived *d, uint32_t k, uint32_t from, const unsigned char *flags,
                                       unsigned char flag, dal_error *err);

/* [main] This dataset has n classes; class c is called what class origin[c] below is called. */
DAL_PUBLIC dal_status dal_derived_name_classes(dal_derived *d, const int32_t *origin, int64_t n, dal_error *err);
/* [any] What class c below is called: its name, or its number written to room. */
DAL_PUBLIC const char *dal_derived_class_below(const dal_derived *d, int64_t c, char room[24]);

/* [main] The classes below that words[n] name, by name or by number (a name comes first), into out[n]. A word
 * that names none, or one that was named before, is DAL_E_INVALID under `key`. */
DAL_PUBLIC dal_status dal_derived_find_classes(const dal_derived *d, const char *const *words, int64_t n,
                                               const char *key, int32_t *out, dal_error *err);

/* [main] A size as users write it, a fraction of n when below 1, else a count; 0: all of n. A size that is
 * more than n, no whole number, or a fraction that comes to none is DAL_E_INVALID under `key`, which names n
 * `what` ("the split", "class cat"). */
DAL_PUBLIC dal_status dal_derived_size(double size, int64_t n, const char *key, const char *what, int64_t *out,
                                       dal_error *err);

/* [main] The stream of random numbers of a transform: that of the run under this purpose when seed is 0, else
 * one that depends on seed and purpose alone. */
DAL_PUBLIC dal_rng dal_derived_rng(const dal_host *host, int64_t seed, const char *purpose);

/* The other slots. */
DAL_PUBLIC dal_status dal_derived_info(void *self, dal_dataset_info *info, dal_error *err);
DAL_PUBLIC dal_status dal_derived_classes(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out,
                                          dal_error *err);
DAL_PUBLIC dal_status dal_derived_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out,
                                       dal_error *err);
DAL_PUBLIC dal_status dal_derived_sizes(void *self, uint32_t k, const int64_t *ids, int64_t n, int64_t *out,
                                        dal_error *err);
/* The name or the number that the sample has below. */
DAL_PUBLIC void dal_derived_describe(void *self, uint32_t k, int64_t id, char *out, size_t size);
DAL_PUBLIC dal_status dal_derived_fingerprint(void *self, uint64_t out[2], dal_error *err);
/* Samples stay of the groups they are of below. */
DAL_PUBLIC const void *dal_derived_get_extension(void *self, const char *id);

#define DAL_DERIVED_SLOTS                                                                        \
    .destroy = dal_derived_destroy, .info = dal_derived_info, .classes = dal_derived_classes,    \
    .read = dal_derived_read, .sizes = dal_derived_sizes, .describe = dal_derived_describe,      \
    .fingerprint = dal_derived_fingerprint, .get_extension = dal_derived_get_extension

#ifdef __cplusplus
}
#endif
#endif
