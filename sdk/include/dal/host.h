/* dal/host.h: the services a component gets. Passed to `create`; valid until `destroy` returns.
 *
 * A plugin need link nothing: this table is all there is. libdal (optional) builds on it too, and
 * dal_runtime (dal/runtime.h) is a complete implementation for tests and for programs of your own.
 */
#ifndef DAL_HOST_H
#define DAL_HOST_H

#include <dal/base.h>
#include <dal/rng.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_LOG_DEBUG 0u
#define DAL_LOG_INFO 1u
#define DAL_LOG_WARNING 2u
#define DAL_LOG_ERROR 3u

/* Ranks that work on one run together. Every call is collective and [main]; results are the same
 * bits on every rank. The serial implementation has rank 0 of 1. */
typedef struct dal_comm {
    uint32_t struct_size;
    int32_t rank, size;
    uint32_t reserved;
    void *impl;
    /* x[n] becomes the sum over ranks, added in rank order. */
    dal_status (*sum_f64)(const struct dal_comm *c, double *x, int64_t n);
    /* The largest *value over ranks and its *index; equal values: the lowest index. */
    dal_status (*max_at)(const struct dal_comm *c, double *value, int64_t *index);
    /* Everybody's n bytes, in rank order, into all[size * n]. */
    dal_status (*gather)(const struct dal_comm *c, const void *mine, size_t n, void *all);
    dal_status (*broadcast)(const struct dal_comm *c, void *data, size_t n, int32_t root);
    dal_status (*barrier)(const struct dal_comm *c);
} dal_comm;

typedef struct dal_component_ref dal_component_ref; /* a component the manifest names; opaque */
typedef struct dal_instance dal_instance;           /* dal/plugin.h */

typedef struct dal_host {
    uint32_t struct_size;
    uint16_t abi_major, abi_minor; /* these eight bytes are frozen for ever */
    void *impl;

    /* [any] One finished line, no newline. */
    void (*log)(const struct dal_host *h, uint32_t level, const char *text);

    /* [any] Aligned memory (align: a power of two, 0 = 64). NULL when there is none. Give back what
     * you took; nothing else may free it; free accepts NULL. */
    void *(*alloc)(const struct dal_host *h, size_t bytes, size_t align);
    void (*free)(const struct dal_host *h, void *p);

    /* [any] The random stream named `purpose` of this component in `round`: a value, a pure function
     * of (run seed, component, purpose, round). Two calls give the same stream. */
    dal_rng (*rng)(const struct dal_host *h, const char *purpose, int64_t round);

    /* [any] Run task(ctx, i) for i in 0..n-1 on all threads; returns when all are done, with the
     * status of the lowest i that failed (after a failure no further i is begun). Nested calls run in
     * the caller. Denormal numbers count as zero inside tasks. Results must not depend on which thread
     * runs what: cut work by size, never by threads(). */
    dal_status (*parallel_for)(const struct dal_host *h, int64_t n,
                               dal_status (*task)(void *ctx, int64_t i), void *ctx);
    int32_t (*threads)(const struct dal_host *h); /* [any] how many there are, for scratch only */

    /* [any] done of total (total 0: unknown) of `what`; cheap enough for every block. */
    void (*progress)(const struct dal_host *h, int64_t done, int64_t total, const char *what);
    /* [any] Not 0 once the user wants to stop: clean up and return DAL_E_CANCELLED. */
    int32_t (*cancelled)(const struct dal_host *h);

    /* [any] Zeroed memory backed by a file that has no name, for bulk that should not need RAM. */
    dal_status (*temp_map)(const struct dal_host *h, size_t bytes, void **data, dal_error *err);
    void (*temp_unmap)(const struct dal_host *h, void *data, size_t bytes);

    const dal_comm *comm; /* never NULL */

    /* [main] Create the component a parameter of type COMPONENT (or a task) refers to. `arg` is what
     * that kind's create takes beside its options: const dal_sample_spec * for a model, the upstream
     * const dal_dataset * for a transform, const dal_oracle_task * for an oracle, NULL for a dataset
     * or a strategy. Close it before your own destroy returns. */
    dal_status (*open)(const struct dal_host *h, const dal_component_ref *ref, const void *arg,
                       const dal_instance **instance, dal_error *err);
    void (*close)(const struct dal_host *h, const dal_instance *instance);

    /* [any] Further services by id, or NULL. */
    const void *(*get_extension)(const struct dal_host *h, const char *id);
} dal_host;

DAL_PRINTF(3, 4)
static inline void dal_logf(const dal_host *h, uint32_t level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    h->log(h, level, text);
}

/* n elements of `size` bytes, or NULL (also when the product does not fit). Not cleared. */
static inline void *dal_array(const dal_host *h, int64_t n, size_t size)
{
    int64_t bytes;
    if (!dal_size_mul(n, (int64_t)size, &bytes))
        return NULL;
    return h->alloc(h, bytes > 0 ? (size_t)bytes : 1, 0);
}

#ifdef __cplusplus
}
#endif
#endif
