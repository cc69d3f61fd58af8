/* check/suite.h: what the tests of the suite are written with. */
#ifndef DAL_CHECK_SUITE_H
#define DAL_CHECK_SUITE_H

#include <dal/strategy.h>
#include <stdnoreturn.h>

#include "check/check.h"
#include "manifest/manifest.h"
#include "pipeline/compose.h"

/* What is tested. */
typedef struct subject {
    registry *r;
    const module_desc *module;
    const component_desc *component; /* NULL in tests of the module */
    uint64_t seed;
    const char *const *sets;
    int n_sets;
    const char *dir; /* for files of the test; removed when the suite is done */
} subject;

typedef struct check_test {
    const char *name, *promise;
    uint32_t kinds; /* bits 1 << DAL_KIND_*; 0: of the module */
    void (*run)(const subject *s, int arg);
    int arg;
} check_test;

#define KIND(k) (1u << DAL_KIND_##k)
#define ALL_KINDS (KIND(DATASET) | KIND(TRANSFORM) | KIND(MODEL) | KIND(STRATEGY) | KIND(ORACLE))

/* The groups, each ended by a test without name. */
extern const check_test module_tests[], param_tests[], life_tests[], strategy_tests[], model_tests[],
    capability_tests[], choice_tests[], dataset_tests[], oracle_tests[];

/* ---- in the child ---- */
noreturn void check_fail(const char *fmt, ...) DAL_PRINTF(1, 2);
noreturn void check_skip(const char *fmt, ...) DAL_PRINTF(1, 2);
/* A pass with a remark. */
noreturn void check_pass(const char *fmt, ...) DAL_PRINTF(1, 2);
#define CHECK(condition, ...)        \
    do {                             \
        if (!(condition))            \
            check_fail(__VA_ARGS__); \
    } while (0)

/* ---- rig.c: components at work ---- */

typedef struct rig_options {
    int threads;          /* 0: 1 */
    uint64_t seed;        /* 0: the subject's */
    int64_t fail_alloc;   /* the n-th host->alloc fails */
    int64_t cancel_after; /* cancelled() is true from its n-th call on; 0: never */
} rig_options;

typedef struct rig {
    const subject *s;
    composer *c;
    component_spec *spec;
    int64_t cancel_after;
    int64_t base; /* host->alloc bytes when nothing was open */
} rig;

/* Skips the test when the component has required parameters that --set does not give. */
rig *rig_new(const subject *s, const rig_options *o);
void rig_free(rig *r);
const dal_host *rig_host(const rig *r);
/* Open the component; fails the test when create does. `arg` as in dal_host.open. */
const dal_instance *rig_open(rig *r, const void *arg);
dal_status rig_try(rig *r, const void *arg, const dal_instance **out, dal_error *err);
void rig_close(rig *r, const dal_instance *i);
/* Everything host->alloc gave was given back. */
void rig_check_memory(const rig *r, const char *when);
/* The specification with these further k=v; NULL when the host refuses them (the reason in *why, to be freed). */
component_spec *rig_spec(const subject *s, const char *const *more, int n, char **why);

/* A failure must say something, and be one of the known codes. */
void rig_check_error(dal_status st, const dal_error *err, const char *slot);

/* Bytes in memory as a stream. */
typedef struct bytes {
    unsigned char *data;
    size_t n, at;
} bytes;
dal_writer bytes_writer(bytes *b);
dal_reader bytes_reader(bytes *b);

/* ---- guarded buffers: a plugin that writes past the end is found out ---- */
void *guard_new(size_t bytes);
/* Fails the test when something was written before or behind; `slot` is named. */
void guard_check(const void *p, const char *slot);
void guard_free(void *p);

#endif
