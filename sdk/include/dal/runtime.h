/* dal/runtime.h: (libdal) a complete implementation of dal_host: threads, memory, random streams, logging.
 *
 * The dalhost program, the conformance suite and the tests all run components on it; use it to drive a
 * component from a program of your own. Link with `pkg-config --libs dal`.
 */
#ifndef DAL_RUNTIME_H
#define DAL_RUNTIME_H

#include <dal/host.h>
#include <dal/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_runtime dal_runtime;

typedef struct dal_runtime_config {
    uint32_t struct_size;
    int32_t threads;      /* 0: as many as the machine lets this process use */
    uint64_t seed;        /* key of all random streams */
    const char *temp_dir; /* for temp_map; NULL: $TMPDIR or /tmp */
    const dal_comm *comm; /* NULL: serial */
    void *ctx;            /* passed to the callbacks below */
    /* [any] Serialised by the runtime. NULL: standard error for warnings and errors, nothing else. */
    void (*log)(void *ctx, const char *component, uint32_t level, const char *text);
    void (*progress)(void *ctx, const char *component, int64_t done, int64_t total, const char *what);
    int32_t (*cancelled)(void *ctx); /* not serialised; NULL: never */
    /* [main] What host->open and close do; NULL: DAL_E_UNSUPPORTED. */
    dal_status (*open)(void *ctx, const dal_host *host, const dal_component_ref *ref, const void *arg,
                       const dal_instance **instance, dal_error *err);
    void (*close)(void *ctx, const dal_instance *instance);
    /* Allocation faults for tests: the n-th host->alloc from now returns NULL (0: never). */
    int64_t fail_alloc;
} dal_runtime_config;

/* [main] config may be NULL: all defaults. NULL with err filled when threads or memory cannot be had. Puts OpenBLAS on
 * one thread for the whole process: all parallelism is parallel_for's. */
DAL_PUBLIC dal_runtime *dal_runtime_new(const dal_runtime_config *config, dal_error *err);
DAL_PUBLIC void dal_runtime_free(dal_runtime *rt); /* [main] accepts NULL; ends the threads */

/* [main] The services as the component of this id sees them (its random streams are its own); the same
 * pointer for the same id, valid until dal_runtime_free. NULL without memory. */
DAL_PUBLIC const dal_host *dal_runtime_host(dal_runtime *rt, const char *component);

/* Bytes taken with host->alloc and not given back. */
DAL_PUBLIC int64_t dal_runtime_allocated(const dal_runtime *rt);
/* The most that this ever was. */
DAL_PUBLIC int64_t dal_runtime_most_allocated(const dal_runtime *rt);

#ifdef __cplusplus
}
#endif
#endif
