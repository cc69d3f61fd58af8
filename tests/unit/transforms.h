/* What tests of transforms share: a dataset of numbers, and ways to look at what became of it. */
#ifndef TESTS_TRANSFORMS_H
#define TESTS_TRANSFORMS_H

#include "tests/unit/fixture.h"

#define NUMBERS 20000
#define TEST_NUMBERS 2000

/* Sample i of either split is the number i, of class i % c. */
static inline fx_toy fx_numbers(int64_t n, int c)
{
    static float values[NUMBERS];
    static int32_t classes[NUMBERS];
    fx_toy t = {.spec = {sizeof t.spec, DAL_VECTOR, DAL_F32, 1, {1}, c},
                .n = {n, 0, n < TEST_NUMBERS ? n : TEST_NUMBERS}};
    for (int i = 0; i < NUMBERS; i++) {
        values[i] = (float)i;
        classes[i] = i % c;
    }
    for (int k = 0; k < 3; k++) {
        t.data[k] = values;
        t.cls[k] = classes;
    }
    return t;
}

/* ---- datasets that a transform opens ---- */

/* What stands in the place of a dataset in a manifest. */
typedef struct fx_other {
    dal_dataset *dataset;
    const char *id, *provides;
} fx_other;

static inline const dal_component_ref *fx_other_ref(const fx_other *o)
{
    return (const void *)o;
}

static int fx_others_open __attribute__((unused));

static inline dal_status fx_open_other(void *ctx, const dal_host *host, const dal_component_ref *ref, const void *arg,
                                       const dal_instance **out, dal_error *err)
{
    typedef struct opened {
        dal_instance base;
        dal_component component;
    } opened;
    const fx_other *o = (const void *)ref;
    (void)ctx, (void)host, (void)arg;
    if (!o->dataset)
        return dal_fail(err, DAL_E_IO, "path", "there is no such file");
    opened *i = calloc(1, sizeof *i);
    i->component = (dal_component){sizeof i->component, .kind = DAL_KIND_DATASET, .id = o->id,
                                   .provides = o->provides ? o->provides : ""};
    i->base = (dal_instance){sizeof i->base, DAL_KIND_DATASET, &i->component, o->dataset->impl, o->dataset->self};
    fx_others_open++;
    *out = &i->base;
    return DAL_OK;
}

static inline void fx_close_other(void *ctx, const dal_instance *instance)
{
    (void)ctx;
    fx_others_open--;
    free((void *)(uintptr_t)instance);
}

static inline dal_runtime *fx_runtime_others(int threads, uint64_t seed, int64_t fail_alloc)
{
    dal_error err = DAL_ERROR_INIT;
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = threads, .seed = seed,
                                       .open = fx_open_other, .close = fx_close_other, .fail_alloc = fail_alloc};
    dal_runtime *rt = dal_runtime_new(&config, &err);
    cr_assert(rt, "%s", err.text);
    return rt;
}

/* A transform of a toy with a runtime of its own. */
typedef struct fx_derived {
    dal_runtime *rt;
    fx_dataset d;
} fx_derived;

static inline fx_derived fx_derive(const dal_dataset_impl *impl, const void *options, fx_toy *t, uint64_t seed)
{
    fx_derived x = {.rt = fx_runtime_others(1, seed, 0)};
    fx_toy_open(t);
    x.d = fx_open(impl, dal_runtime_host(x.rt, "transform"), options, &t->dataset);
    return x;
}

static inline void fx_drop(fx_derived *x)
{
    x->d.impl->destroy(x->d.self);
    cr_assert_eq(fx_others_open, 0, "a dataset is not closed");
    cr_assert_eq(dal_runtime_allocated(x->rt), 0, "something is left");
    dal_runtime_free(x->rt);
}

/* The number that sample i is. */
static inline int fx_number(const fx_derived *x, uint32_t split, int64_t i)
{
    float v;
    fx_read(&x->d, split, &i, 1, &v);
    return (int)v;
}

/* How many of each class; n[c] of those without, n[c + 1] of those out of class. */
static inline void fx_count(const fx_derived *x, uint32_t split, int64_t *n, int64_t c)
{
    memset(n, 0, (size_t)(c + 2) * sizeof *n);
    for (int64_t i = 0; i < x->d.info.n[split]; i++) {
        const int32_t cls = fx_class(&x->d, split, i);
        n[cls >= 0 ? cls : cls == DAL_LABEL_NONE ? c : c + 1]++;
    }
}

static inline uint64_t fx_derived_digest(const dal_dataset_impl *impl, const void *options, fx_toy *t,
                                         uint64_t seed)
{
    fx_derived x = fx_derive(impl, options, t, seed);
    const uint64_t h = fx_digest(&x.d, DAL_SPLIT_TRAIN) ^ 3 * fx_digest(&x.d, DAL_SPLIT_TEST);
    fx_drop(&x);
    return h;
}

static inline void fx_refused(const dal_dataset_impl *impl, const void *options, fx_toy *t, dal_status st,
                              const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime_others(1, 0, 0);
    fx_toy_open(t);
    fx_expect(&err, impl->create(dal_runtime_host(rt, "transform"), options, &t->dataset, &self, &err), st, key,
              words);
    cr_assert_null(self);
    cr_assert_eq(fx_others_open, 0, "a dataset is not closed");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* The k-th allocation fails, for every k there is: each time a clean DAL_E_NOMEM. */
static inline void fx_no_memory(const dal_dataset_impl *impl, const void *options, const dal_dataset *input,
                                int64_t least)
{
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime *rt = fx_runtime_others(1, 0, k);
        const dal_status st = impl->create(dal_runtime_host(rt, "transform"), options, input, &self, &err);
        if (st == DAL_OK) {
            cr_assert_geq(k, least, "only %d allocations", (int)k - 1);
            impl->destroy(self);
            dal_runtime_free(rt);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
        cr_assert_eq(fx_others_open, 0, "allocation %d leaves a dataset open", (int)k);
        cr_assert_eq(dal_runtime_allocated(rt), 0, "allocation %d leaves something behind", (int)k);
        dal_runtime_free(rt);
    }
}

#endif
