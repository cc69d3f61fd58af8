/* value_map.h: transforms that change what is in samples, one by one, and neither their order nor their classes.
 *
 * Their object begins with a value_map, which begins with a dal_derived; create sets `map` and what info.spec is
 * afterwards. Samples are read from below in chunks and mapped on all threads.
 */
#ifndef VALUE_MAP_H
#define VALUE_MAP_H

#include <dal/derived.h>

typedef struct value_map value_map;
struct value_map {
    dal_derived base;
    /* [any] Sample id of split k: `from` as below.spec tells to `to` as info.spec tells; scratch: this many bytes, this
     * call's alone, aligned for anything. */
    dal_status (*map)(const value_map *self, uint32_t k, int64_t id, const void *from, void *to, void *scratch,
                      dal_error *err);
    size_t scratch;
};

/* [any] The read slot. */
dal_status value_map_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err);

/* [any] A fingerprint: that below, and n bytes of what the transform does. */
dal_status value_map_fingerprint(const value_map *self, const void *what, size_t n, uint64_t out[2], dal_error *err);

#endif
