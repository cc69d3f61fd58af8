/* What tests of datasets of text and of sparse vectors share: samples of varying length. */
#ifndef TESTS_TEXTS_H
#define TESTS_TEXTS_H

#include "tests/unit/fixture.h"

/* Samples ids[n] in malloc'ed memory. */
typedef struct fx_ragged {
    dal_batch b;
} fx_ragged;

static inline fx_ragged fx_read_ragged(const fx_dataset *d, uint32_t split, const int64_t *ids, int64_t n)
{
    dal_error err = DAL_ERROR_INIT;
    fx_ragged r = {.b = {.struct_size = sizeof r.b, .spec = &d->info.spec, .n = n}};
    int64_t *sizes = malloc((size_t)n * sizeof *sizes + 1);
    cr_assert_eq(d->impl->sizes(d->self, split, ids, n, sizes, &err), DAL_OK, "%s", err.text);
    r.b.offsets = malloc((size_t)(n + 1) * sizeof *r.b.offsets);
    r.b.offsets[0] = 0;
    for (int64_t i = 0; i < n; i++)
        r.b.offsets[i + 1] = r.b.offsets[i] + sizes[i];
    free(sizes);
    /* no byte more than asked for, so that a sanitizer sees one too many */
    r.b.data = malloc((size_t)r.b.offsets[n] * (d->info.spec.modality == DAL_SPARSE ? sizeof(float) : 1));
    if (d->info.spec.modality == DAL_SPARSE)
        r.b.indices = malloc((size_t)r.b.offsets[n] * sizeof *r.b.indices);
    cr_assert_eq(d->impl->read(d->self, split, ids, n, &r.b, &err), DAL_OK, "%s", err.text);
    return r;
}

static inline void fx_ragged_free(fx_ragged *r)
{
    free(r->b.offsets);
    free(r->b.data);
    free(r->b.indices);
}

/* One text, ended by NUL, in memory of this function. */
static inline const char *fx_text_of(const fx_dataset *d, uint32_t split, int64_t id)
{
    static char out[4][4096];
    static int turn;
    char *to = out[turn++ % 4];
    fx_ragged r = fx_read_ragged(d, split, &id, 1);
    cr_assert_lt(r.b.offsets[1], (int64_t)sizeof out[0]);
    memcpy(to, r.b.data, (size_t)r.b.offsets[1]);
    to[r.b.offsets[1]] = '\0';
    fx_ragged_free(&r);
    return to;
}

/* A sparse sample as "column:value column:value". */
static inline const char *fx_sparse_of(const fx_dataset *d, uint32_t split, int64_t id)
{
    static char out[4][2048];
    static int turn;
    char *to = out[turn++ % 4];
    fx_ragged r = fx_read_ragged(d, split, &id, 1);
    to[0] = '\0';
    for (int64_t i = 0; i < r.b.offsets[1]; i++)
        snprintf(to + strlen(to), sizeof out[0] - strlen(to), "%s%d:%.4g", i ? " " : "", (int)r.b.indices[i],
                 (double)((float *)r.b.data)[i]);
    fx_ragged_free(&r);
    return to;
}

/* A split as "class:text|class:text"; "-" for no class. */
static inline const char *fx_texts_of(const fx_dataset *d, uint32_t split)
{
    static char out[4096];
    out[0] = '\0';
    for (int64_t i = 0; i < d->info.n[split]; i++) {
        const int32_t c = fx_class(d, split, i);
        const int64_t at = (int64_t)strlen(out);
        snprintf(out + at, sizeof out - (size_t)at, "%s%s:%s", i ? "|" : "", c < 0 ? "-" : d->info.class_names[c],
                 fx_text_of(d, split, i));
    }
    return out;
}

/* The same of a split that is opened for it. */
static inline const char *fx_split_of(const dal_dataset_impl *impl, const void *options, uint32_t split)
{
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(impl, dal_runtime_host(rt, "texts"), options, NULL);
    const char *out = fx_texts_of(&d, split);
    impl->destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return out;
}

/* The sources of a pool that is opened, in order: "north|-|south"; "none" when it tells none. */
static inline const char *fx_sources_of(const dal_dataset_impl *impl, const void *options)
{
    static char out[1024];
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(impl, dal_runtime_host(rt, "texts"), options, NULL);
    const dal_dataset_groups *g = dal_groups_of(&(dal_dataset){impl, d.self});
    out[0] = '\0';
    for (int64_t i = 0; g && i < d.info.n[DAL_SPLIT_TRAIN]; i++) {
        int32_t of = 0;
        const int64_t at = (int64_t)strlen(out);
        cr_assert_eq(g->groups(d.self, DAL_SPLIT_TRAIN, &i, 1, &of, NULL), DAL_OK);
        cr_assert(of >= DAL_GROUP_NONE && of < g->count(d.self));
        snprintf(out + at, sizeof out - (size_t)at, "%s%s", i ? "|" : "", of < 0 ? "-" : g->name(d.self, of));
    }
    if (!g)
        strcpy(out, "none");
    else
        cr_assert_eq(g->groups(d.self, DAL_SPLIT_TRAIN, &d.info.n[0], 1, &(int32_t){0}, NULL), DAL_E_INVALID);
    impl->destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return out;
}

/* Texts in memory for transforms to wrap. */
typedef struct fx_texts {
    const char *const *texts[DAL_SPLITS];
    const int32_t *classes[DAL_SPLITS];
    int64_t n[DAL_SPLITS];
    int64_t n_classes;
    dal_dataset dataset;
} fx_texts;

static inline dal_status fx_texts_info(void *self, dal_dataset_info *info, dal_error *err)
{
    const fx_texts *t = self;
    (void)err;
    info->spec = (dal_sample_spec){.struct_size = sizeof info->spec, .modality = DAL_TEXT, .n_classes = t->n_classes};
    memcpy(info->n, t->n, sizeof info->n);
    info->class_names = NULL;
    return DAL_OK;
}

static inline dal_status fx_texts_classes(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out,
                                          dal_error *err)
{
    const fx_texts *t = self;
    const dal_status st = dal_check_ids(t->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = t->classes[k] ? t->classes[k][ids[i]] : DAL_LABEL_NONE;
    return st;
}

static inline dal_status fx_texts_sizes(void *self, uint32_t k, const int64_t *ids, int64_t n, int64_t *out,
                                        dal_error *err)
{
    const fx_texts *t = self;
    const dal_status st = dal_check_ids(t->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = (int64_t)strlen(t->texts[k][ids[i]]);
    return st;
}

static inline dal_status fx_texts_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out,
                                       dal_error *err)
{
    const fx_texts *t = self;
    const dal_status st = dal_check_ids(t->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        memcpy((char *)out->data + out->offsets[i], t->texts[k][ids[i]], strlen(t->texts[k][ids[i]]));
    return st;
}

static inline void fx_texts_open(fx_texts *t)
{
    static const dal_dataset_impl impl = {.struct_size = sizeof impl, .info = fx_texts_info, .sizes = fx_texts_sizes,
                                          .classes = fx_texts_classes, .read = fx_texts_read};
    t->dataset = (dal_dataset){&impl, t};
}

#endif
