/* What the tests of models share: lists of samples in memory, batches, byte streams, one fit. */
#ifndef TESTS_MODELS_H
#define TESTS_MODELS_H

#include "tests/unit/fixture.h"

#include <dal/model.h>
#include <math.h>

/* Samples in memory: values [n, width] of one type. */
typedef struct fx_list {
    dal_samples s;
    void *data;
    int64_t *ids;
    int32_t *classes;
    float *weights;
    dal_status fail; /* what read returns from now on */
} fx_list;

static inline dal_status fx_list_read(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out,
                                      dal_error *err)
{
    const fx_list *l = s->impl;
    const size_t bytes = (size_t)dal_sample_bytes(&s->spec);
    if (l->fail != DAL_OK)
        return dal_fail(err, l->fail, "", "the disk is gone");
    for (int64_t i = 0; i < n; i++) {
        cr_assert(rows[i] >= 0 && rows[i] < s->n);
        memcpy((char *)out->data + (size_t)i * bytes, (char *)l->data + (size_t)rows[i] * bytes, bytes);
    }
    return DAL_OK;
}

static inline dal_sample_spec fx_vector_spec(int64_t width, uint32_t dtype, int64_t n_classes)
{
    return (dal_sample_spec){.struct_size = sizeof(dal_sample_spec), .modality = DAL_VECTOR, .dtype = dtype,
                             .ndim = 1, .shape = {width}, .n_classes = n_classes};
}

/* Noisy clusters, one a class: class i % c, centre drawn from the seed. Pool index 1000 + i. */
static inline fx_list *fx_clusters(int64_t n, int64_t width, int64_t c, uint32_t dtype, double noise,
                                   uint64_t seed)
{
    fx_list *l = calloc(1, sizeof *l);
    dal_rng rng = dal_rng_from_key(seed), centres = dal_rng_from_key(12345);
    float *centre = malloc((size_t)(c * width) * sizeof *centre);
    l->ids = malloc((size_t)n * sizeof *l->ids);
    l->classes = malloc((size_t)n * sizeof *l->classes);
    l->s = (dal_samples){.struct_size = sizeof l->s, .impl = l, .spec = fx_vector_spec(width, dtype, c),
                         .n = n, .ids = l->ids, .classes = l->classes, .read = fx_list_read};
    l->data = malloc((size_t)(n * dal_sample_bytes(&l->s.spec)) + 1);
    for (int64_t i = 0; i < c * width; i++)
        centre[i] = (float)dal_rng_uniform(&centres);
    for (int64_t i = 0; i < n; i++) {
        l->ids[i] = 1000 + i;
        l->classes[i] = (int32_t)(i % c);
        for (int64_t j = 0; j < width; j++) {
            const double v = (double)centre[(i % c) * width + j] + noise * dal_rng_normal(&rng);
            const double clipped = v < 0 ? 0 : v > 1 ? 1 : v;
            if (dtype == DAL_F32)
                ((float *)l->data)[i * width + j] = (float)v;
            else
                ((uint8_t *)l->data)[i * width + j] = (uint8_t)(255 * clipped);
        }
    }
    free(centre);
    return l;
}

static inline void fx_list_free(fx_list *l)
{
    free(l->data);
    free(l->ids);
    free(l->classes);
    free(l->weights);
    free(l);
}

/* Rows first..first+n-1 of a list, where they lie. */
static inline dal_batch fx_batch(const fx_list *l, int64_t first, int64_t n)
{
    return (dal_batch){.struct_size = sizeof(dal_batch), .spec = &l->s.spec, .n = n,
                       .data = (char *)l->data + first * dal_sample_bytes(&l->s.spec)};
}

static inline dal_fit_report fx_fit(const dal_model_impl *impl, void *self, const fx_list *train,
                                    int64_t round, int warm)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit fit = {.struct_size = sizeof fit, .warm = (uint32_t)warm, .round = round,
                         .train = &train->s};
    cr_assert_eq(impl->fit(self, &fit, &report, &err), DAL_OK, "%s", err.text);
    return report;
}

/* Outputs of all samples of a list, `block` at a time, in malloc'ed [n, c]. */
static inline float *fx_predict(const dal_model_impl *impl, void *self, const fx_list *l, int64_t block)
{
    const int64_t c = l->s.spec.n_classes, n = l->s.n;
    dal_error err = DAL_ERROR_INIT;
    float *out = malloc((size_t)(n * c) * sizeof *out);
    for (int64_t first = 0; first < n; first += block) {
        const dal_batch x = fx_batch(l, first, n - first < block ? n - first : block);
        cr_assert_eq(impl->predict(self, &x, out + first * c, &err), DAL_OK, "%s", err.text);
    }
    return out;
}

static inline double fx_accuracy(const float *z, const fx_list *l)
{
    const int64_t c = l->s.spec.n_classes;
    int64_t hits = 0;
    for (int64_t i = 0; i < l->s.n; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < c; k++)
            if (z[i * c + k] > z[i * c + best])
                best = k;
        hits += best == l->classes[i];
    }
    return (double)hits / (double)l->s.n;
}

/* A byte stream in memory, to save into and load from. */
typedef struct fx_bytes {
    unsigned char *data;
    size_t n, at, chunk; /* chunk: most bytes a read gives; 0: all */
} fx_bytes;

static inline dal_status fx_bytes_write(const dal_writer *w, const void *data, size_t n, dal_error *err)
{
    fx_bytes *b = w->impl;
    (void)err;
    if (n == 0) /* data may be NULL */
        return DAL_OK;
    b->data = realloc(b->data, b->n + n);
    memcpy(b->data + b->n, data, n);
    b->n += n;
    return DAL_OK;
}

static inline dal_status fx_bytes_read(const dal_reader *r, void *data, size_t n, size_t *got, dal_error *err)
{
    fx_bytes *b = r->impl;
    (void)err;
    *got = n < b->n - b->at ? n : b->n - b->at;
    if (b->chunk && *got > b->chunk)
        *got = b->chunk;
    memcpy(data, b->data + b->at, *got);
    b->at += *got;
    return DAL_OK;
}

static inline fx_bytes fx_save(const dal_model_impl *impl, void *self)
{
    dal_error err = DAL_ERROR_INIT;
    fx_bytes b = {0};
    const dal_writer w = {.struct_size = sizeof w, .impl = &b, .write = fx_bytes_write};
    cr_assert_eq(impl->save(self, &w, &err), DAL_OK, "%s", err.text);
    return b;
}

static inline dal_status fx_load(const dal_model_impl *impl, void *self, fx_bytes *b, dal_error *err)
{
    const dal_reader r = {.struct_size = sizeof r, .impl = b, .read = fx_bytes_read};
    b->at = 0;
    return impl->load(self, &r, err);
}

/* Create, fit and predict with the first, the second, ... allocation failing, until none is left to fail, which must
 * take more than `least`: everything is given back, and nothing but memory is complained of. */
static inline void fx_memory_ends(const dal_model_impl *impl, const void *options, int64_t least)
{
    for (int64_t k = 1; k < 1000; k++) {
        dal_error err = DAL_ERROR_INIT;
        const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        fx_list *l = fx_clusters(24, 3, 3, DAL_F32, 0.6, 1);
        void *m = NULL;
        dal_status st = impl->create(dal_runtime_host(rt, "t"), options, &l->s.spec, &m, &err);
        dal_fit_report report = {.struct_size = sizeof report};
        const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
        const dal_batch x = fx_batch(l, 0, 24);
        float p[72];
        if (st == DAL_OK)
            st = impl->fit(m, &f, &report, &err);
        if (st == DAL_OK)
            st = impl->predict(m, &x, p, &err);
        cr_assert(st == DAL_OK || st == DAL_E_NOMEM, "%d: %s", (int)st, err.text);
        impl->destroy(m);
        cr_assert_eq(dal_runtime_allocated(rt), 0, "allocation %lld", (long long)k);
        dal_runtime_free(rt);
        fx_list_free(l);
        if (st == DAL_OK && k > least)
            return;
    }
    cr_assert_fail("never enough");
}

#endif
