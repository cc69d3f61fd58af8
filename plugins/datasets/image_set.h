/* image_set.h: a dataset of pictures that lie in files: what the loaders of folders of pictures share. They say which
 * file is which sample; the set looks at all headers, decodes what is read, on all threads, and keeps decoded samples
 * in a cache of bounded size.
 */
#ifndef IMAGE_SET_H
#define IMAGE_SET_H

#include <dal/dataset.h>
#include <dal/files.h>

enum { CHANNELS_AUTO, CHANNELS_COLOUR, CHANNELS_GREY };

/* What users may say of all pictures. Loaders have these among their options, and their parameters. */
typedef struct image_options {
    dal_i64_list size;
    uint32_t channels;
    int64_t cache;
} image_options;

#define IMAGE_PARAMS(P, T)                                                                              \
    P(T, size, I64S, "", "1..65535", "pixels",                                                          \
      "height and width that all pictures are resized to; empty: all must be of one size")              \
    P(T, channels, CHOICE, "auto", "auto|colour|grey", "",                                              \
      "auto: colour when any picture of the pool has it")                                               \
    P(T, cache, I64, "256M", "0..", "bytes", "memory for decoded pictures")

typedef struct image_ref {
    int64_t file;
    int32_t cls;   /* or DAL_LABEL_NONE */
    int32_t group; /* or DAL_GROUP_NONE, which it is at first */
} image_ref;

/* Samples of a split, all from files of one source. */
typedef struct image_split {
    const dal_files *files; /* the loader's; until image_set_free */
    const char *key;        /* the parameter that they come from */
    image_ref *refs;        /* [n] */
    int64_t n, room;
} image_split;

typedef struct image_cache image_cache;

typedef struct image_set {
    const dal_host *host;
    image_split splits[DAL_SPLITS];
    dal_sample_spec spec; /* but for n_classes, settled by image_set_settle */
    int resizes;
    image_cache *cache;
} image_set;

/* [main] One sample more; splits[k].files and key are set. */
dal_status image_set_add(image_set *s, uint32_t k, int64_t file, int32_t cls, dal_error *err);
/* [main] When all are there: look at the header of every picture, settle what samples are like. A picture of another
 * size than the first one is an error that names both, unless all are resized. */
dal_status image_set_settle(image_set *s, const image_options *o, dal_error *err);
void image_set_free(image_set *s); /* what it points at, not s itself */

/* The slots of the table, [any]; s is set up by image_set_settle. */
dal_status image_set_classes(const image_set *s, uint32_t k, const int64_t *ids, int64_t n, int32_t *out,
                             dal_error *err);
dal_status image_set_read(const image_set *s, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out,
                          dal_error *err);
dal_status image_set_groups(const image_set *s, uint32_t k, const int64_t *ids, int64_t n, int32_t *out,
                            dal_error *err);
void image_set_describe(const image_set *s, uint32_t k, int64_t id, char *out, size_t size);
/* [main] Of the names, sizes and classes of all pictures and the encoded bytes of up to 1,024 of each split. */
dal_status image_set_fingerprint(const image_set *s, uint64_t out[2], dal_error *err);

#endif
