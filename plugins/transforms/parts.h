/* parts.h: several datasets seen as one: what transforms share that put samples of other datasets behind those of the
 * one below. Split k is split k of the first part, then of the second, and so on.
 *
 * parts_new takes the dataset below as the first part, parts_add opens one that the manifest names; then the transform
 * says of every part what its classes become (`to`), and of the whole what classes there are (info). A part whose
 * samples are of another kind or shape is refused in words that tell both; images may be converted.
 */
#ifndef PARTS_H
#define PARTS_H

#include <dal/dataset.h>
#include <dal/image.h>
#include <pthread.h>

#define PARTS_MOST_CLASSES ((int64_t)1 << 24)

typedef struct part {
    dal_dataset data;
    dal_dataset_info info;
    const dal_instance *opened; /* NULL: the dataset below */
    const char *name;           /* for people: what was opened; "" for the dataset below */
    int32_t *to;                /* [info.spec.n_classes] a class of the whole or DAL_LABEL_*, of host; NULL: the same */
    int outside;                /* all its samples, whatever they are, are DAL_LABEL_OOD */
    int64_t n[DAL_SPLITS];      /* samples that it gives to each split: info.n, or 0 */
    int one_at_a_time;          /* it does not offer DAL_CAP_CONCURRENT, */
    pthread_mutex_t lock;       /* which this sees to */
    int converts;
    dal_resizer *resizer; /* NULL: the size is right */
} part;

typedef struct parts {
    const dal_host *host;
    dal_dataset_info info; /* of the whole; at first that of the first part */
    part *items;           /* [n], room for as many as parts_new was told */
    int64_t n;
} parts;

/* [main] An object of `size` bytes that begins with a `parts`, whose first part is `input`; the rest is zero. Room for
 * `room` parts. */
dal_status parts_new(const dal_host *host, const dal_dataset *input, int64_t room, size_t size, void **self,
                     dal_error *err);
void parts_destroy(void *self); /* accepts NULL; the slot */

/* [main] Another part: the dataset that a parameter `key` names. Without `convert` its samples must be of the kind,
 * type and shape of those below. With it images may also be of another size (resized, bilinear) or have one channel
 * where three are wanted (repeated) or three where one is (their brightness). */
dal_status parts_add(parts *p, const dal_component_ref *ref, int convert, const char *key, dal_error *err);

/* [any] What class c of part q is called: its name, or its number written to room. */
const char *parts_class(const part *q, int64_t c, char room[24]);

/* The other slots. */
dal_status parts_info(void *self, dal_dataset_info *info, dal_error *err);
dal_status parts_classes(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err);
dal_status parts_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err);
dal_status parts_sizes(void *self, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err);
void parts_describe(void *self, uint32_t k, int64_t id, char *out, size_t size);
dal_status parts_fingerprint(void *self, uint64_t out[2], dal_error *err);
/* [worker] Which part each sample is of: the groups of datasets that were put together. */
dal_status parts_groups(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err);

#endif
