/* Tests of datasets and transforms: a sample is the same whenever and however it is read. */
#include <math.h>
#include <stdlib.h>

#include <dal/dataset.h>

#include "check/work.h"
#include "util/text.h"

#define READ 64 /* samples looked at in each split */

#define BOTH (KIND(DATASET) | KIND(TRANSFORM))

/* ---- an open dataset ---- */

typedef struct view_of {
    const dal_dataset_impl *impl;
    void *self;
    dal_dataset_info info;
} view_of;

static void check_spec(const dal_sample_spec *s)
{
    CHECK(s->modality >= DAL_VECTOR && s->modality <= DAL_SPARSE, "info tells the modality %u", s->modality);
    CHECK(s->modality == DAL_TEXT || s->dtype == DAL_F32 || s->dtype == DAL_U8, "info tells the type %u", s->dtype);
    CHECK(s->n_classes >= 0 && s->n_classes <= INT32_MAX, "info tells %lld classes", (long long)s->n_classes);
    CHECK(s->ndim <= DAL_MAX_DIMS, "info tells %u dimensions", s->ndim);
    int64_t values = 1;
    for (uint32_t i = 0; i < s->ndim; i++)
        CHECK(s->shape[i] > 0 && dal_size_mul(values, s->shape[i], &values), "info tells a side of %lld",
              (long long)s->shape[i]);
    CHECK(s->modality != DAL_VECTOR || s->ndim == 1, "info tells vectors of %u dimensions", s->ndim);
    CHECK(s->modality != DAL_IMAGE || s->ndim == 3, "info tells images of %u dimensions", s->ndim);
}

static view_of look(const stage *st)
{
    view_of d = {st->instance->impl, st->instance->self, {.struct_size = sizeof(dal_dataset_info)}};
    dal_error err = DAL_ERROR_INIT;
    dal_dataset_info *info = guard_new(sizeof *info);
    *info = d.info;
    const dal_status status = d.impl->info(d.self, info, &err);
    guard_check(info, "info");
    rig_check_error(status, &err, "info");
    CHECK(status == DAL_OK, "info fails: %s", err.text);
    d.info = *info;
    guard_free(info);
    check_spec(&d.info.spec);
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        CHECK(d.info.n[k] >= 0, "info tells %lld samples in split %u", (long long)d.info.n[k], k);
    CHECK(d.info.n[DAL_SPLIT_TRAIN] > 0, "the pool is empty");
    for (int64_t k = 0; d.info.class_names && k < d.info.spec.n_classes; k++)
        CHECK(d.info.class_names[k] && utf8_valid(d.info.class_names[k], strlen(d.info.class_names[k]), NULL),
              "the name of class %lld is not UTF-8", (long long)k);
    return d;
}

/* Up to READ indices spread over a split. */
static int64_t spread(const view_of *d, uint32_t split, int64_t ids[READ])
{
    const int64_t n = d->info.n[split], take = n < READ ? n : READ;
    for (int64_t i = 0; i < take; i++)
        ids[i] = take > 1 ? i * (n - 1) / (take - 1) : 0;
    return take;
}

static bool dense(const view_of *d)
{
    return dal_sample_bytes(&d->info.spec) > 0;
}

/* Samples as bytes, guarded; *size: all of them. Text and sparse samples are laid out by sizes. */
static dal_status read_ids(const view_of *d, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                           size_t *size, dal_error *err)
{
    const bool sparse = d->info.spec.modality == DAL_SPARSE;
    *out = (dal_batch){.struct_size = sizeof *out, .spec = &d->info.spec, .n = n};
    *size = (size_t)(n * dal_sample_bytes(&d->info.spec));
    if (!dense(d)) {
        int64_t *lengths = xcalloc((size_t)n, sizeof *lengths);
        CHECK(DAL_HAS(dal_dataset_impl, d->impl, sizes), "text and sparse datasets need sizes");
        const dal_status st = d->impl->sizes(d->self, split, ids, n, lengths, err);
        if (st)
            return st;
        out->offsets = xcalloc((size_t)n + 1, sizeof *out->offsets);
        for (int64_t i = 0; i < n; i++) {
            CHECK(lengths[i] >= 0 && lengths[i] < 1 << 28, "sizes tells %lld", (long long)lengths[i]);
            out->offsets[i + 1] = out->offsets[i] + lengths[i];
        }
        free(lengths);
        *size = (size_t)out->offsets[n] * (sparse ? sizeof(float) : 1);
        out->indices = sparse ? guard_new((size_t)out->offsets[n] * sizeof *out->indices) : NULL;
    }
    out->data = guard_new(*size);
    const dal_status st = d->impl->read(d->self, split, ids, n, out, err);
    guard_check(out->data, "read");
    if (out->indices)
        guard_check(out->indices, "read (indices)");
    return st;
}

static dal_batch read_or_fail(const view_of *d, uint32_t split, const int64_t *ids, int64_t n, size_t *size)
{
    dal_batch x;
    dal_error err = DAL_ERROR_INIT;
    const dal_status st = read_ids(d, split, ids, n, &x, size, &err);
    rig_check_error(st, &err, "read");
    CHECK(st == DAL_OK, "read fails: %s", err.text);
    return x;
}

static void batch_drop(dal_batch *x)
{
    guard_free(x->data);
    guard_free(x->indices);
    free(x->offsets);
}

static void check_values(const view_of *d, const dal_batch *x, size_t size)
{
    if (d->info.spec.modality == DAL_TEXT) {
        size_t at = 0;
        CHECK(utf8_valid(x->data, size, &at), "a text is not UTF-8 (byte %zu)", at);
    } else if (d->info.spec.dtype == DAL_F32) {
        const float *v = x->data;
        for (size_t i = 0; i < size / sizeof *v; i++)
            CHECK(isfinite(v[i]), "a sample has the value %g", (double)v[i]);
    }
    for (int64_t i = 0; x->indices && i < x->offsets[x->n]; i++)
        CHECK(x->indices[i] >= 0 && x->indices[i] < d->info.spec.shape[0], "a sparse sample has column %d",
              (int)x->indices[i]);
}

dal_status dataset_work(stage *st, rig *r, dal_error *err)
{
    (void)r;
    const view_of d = look(st);
    int64_t ids[READ];
    size_t size;
    dal_batch x;
    const int64_t n = spread(&d, DAL_SPLIT_TRAIN, ids);
    const dal_status status = read_ids(&d, DAL_SPLIT_TRAIN, ids, n, &x, &size, err);
    batch_drop(&x);
    return status;
}

/* ---- tests ---- */

static void contents(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &small_world);
    const view_of d = look(&st);
    for (uint32_t split = 0; split < DAL_SPLITS; split++) {
        int64_t ids[READ];
        const int64_t n = spread(&d, split, ids);
        dal_error err = DAL_ERROR_INIT;
        if (n == 0)
            continue;
        int32_t *classes = guard_new((size_t)n * sizeof *classes);
        CHECK(d.impl->classes(d.self, split, ids, n, classes, &err) == DAL_OK, "classes fails: %s", err.text);
        guard_check(classes, "classes");
        for (int64_t i = 0; i < n; i++)
            CHECK((classes[i] >= 0 && classes[i] < d.info.spec.n_classes) || classes[i] == DAL_LABEL_NONE ||
                      classes[i] == DAL_LABEL_OOD,
                  "sample %lld of split %u is of class %d, of %lld", (long long)ids[i], split, (int)classes[i],
                  (long long)d.info.spec.n_classes);
        size_t size;
        dal_batch x = read_or_fail(&d, split, ids, n, &size);
        check_values(&d, &x, size);
        batch_drop(&x);
        guard_free(classes);
        if (DAL_HAS(dal_dataset_impl, d.impl, describe)) {
            char *name = guard_new(16);
            d.impl->describe(d.self, split, ids[n - 1], name, 16);
            guard_check(name, "describe");
            CHECK(memchr(name, '\0', 16), "describe: the name has no end");
            guard_free(name);
        }
    }
    stage_close(&st, r);
    rig_check_memory(r, "after destroy");
}

/* Bytes of a value of a sample's data. */
static size_t value_bytes(const view_of *d)
{
    return dense(d) ? (size_t)dal_sample_bytes(&d->info.spec) : d->info.spec.modality == DAL_SPARSE ? sizeof(float) : 1;
}

/* Is sample i of x sample j of y? */
static bool same_sample(const view_of *d, const dal_batch *x, int64_t i, const dal_batch *y, int64_t j)
{
    const size_t one = value_bytes(d);
    const int64_t from = dense(d) ? i : x->offsets[i], to = dense(d) ? i + 1 : x->offsets[i + 1];
    const int64_t other = dense(d) ? j : y->offsets[j], end = dense(d) ? j + 1 : y->offsets[j + 1];
    const size_t n = (size_t)(to - from);
    if (to - from != end - other)
        return false;
    if (x->indices && memcmp(x->indices + from, y->indices + other, n * sizeof *x->indices) != 0)
        return false;
    return memcmp((const char *)x->data + (size_t)from * one, (const char *)y->data + (size_t)other * one,
                  n * one) == 0;
}

/* One by one, backwards and twice over must give what a plain read gives. */
static void any_order(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &small_world);
    const view_of d = look(&st);
    for (uint32_t split = 0; split < DAL_SPLITS; split++) {
        int64_t ids[READ], twice[2 * READ];
        size_t size;
        const int64_t n = spread(&d, split, ids);
        if (n == 0)
            continue;
        for (int64_t i = 0; i < n; i++)
            twice[i] = twice[2 * n - 1 - i] = ids[n - 1 - i];
        dal_batch x = read_or_fail(&d, split, ids, n, &size), y = read_or_fail(&d, split, twice, 2 * n, &size);
        for (int64_t i = 0; i < n; i++) {
            CHECK(same_sample(&d, &x, i, &y, n - 1 - i) && same_sample(&d, &x, i, &y, n + i),
                  "sample %lld of split %u depends on the order of reading", (long long)ids[i], split);
            dal_batch z = read_or_fail(&d, split, &ids[i], 1, &size);
            CHECK(same_sample(&d, &x, i, &z, 0), "sample %lld of split %u is another one read alone",
                  (long long)ids[i], split);
            batch_drop(&z);
        }
        batch_drop(&x);
        batch_drop(&y);
    }
}

/* Sources, where they are told: there are some, they have names, every sample is of one or of none that is known. */
static void sources(const subject *s, int arg)
{
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &small_world);
    const view_of d = look(&st);
    const dal_dataset_groups *t = dal_groups_of(&(dal_dataset){d.impl, d.self});
    if (!t)
        check_skip("it does not offer %s", DAL_CAP_GROUPS);
    CHECK(DAL_HAS(dal_dataset_groups, t, count) && DAL_HAS(dal_dataset_groups, t, groups),
          "its table lacks count or groups");
    const int64_t n_groups = t->count(d.self);
    CHECK(n_groups >= 1 && n_groups <= INT32_MAX, "it tells of %lld sources", (long long)n_groups);
    for (int64_t g = 0; g < n_groups && DAL_HAS(dal_dataset_groups, t, name); g++) {
        const char *name = t->name(d.self, g);
        CHECK(!name || utf8_valid(name, strlen(name), NULL), "the name of source %lld is not UTF-8", (long long)g);
    }
    for (uint32_t split = 0; split < DAL_SPLITS; split++) {
        int64_t ids[READ];
        const int64_t n = spread(&d, split, ids), beyond[] = {-1, d.info.n[split]};
        dal_error err = DAL_ERROR_INIT;
        int32_t *groups = guard_new((size_t)(n + 1) * sizeof *groups), again;
        CHECK(t->groups(d.self, split, ids, n, groups, &err) == DAL_OK, "groups fails: %s", err.text);
        guard_check(groups, "groups");
        for (int64_t i = 0; i < n; i++) {
            CHECK(groups[i] >= DAL_GROUP_NONE && groups[i] < n_groups,
                  "sample %lld of split %u is of source %d, of %lld", (long long)ids[i], split, (int)groups[i],
                  (long long)n_groups);
            CHECK(t->groups(d.self, split, &ids[i], 1, &again, &err) == DAL_OK && again == groups[i],
                  "the source of sample %lld of split %u is another one asked for alone", (long long)ids[i], split);
        }
        guard_free(groups);
        for (int k = 0; k < 2; k++)
            CHECK(t->groups(d.self, split, &beyond[k], 1, &again, &err), "groups takes sample %lld of %lld",
                  (long long)beyond[k], (long long)d.info.n[split]);
    }
    stage_close(&st, r);
}

static void out_of_range(const subject *s, int arg)
{
    static const int64_t shifts[] = {0, 1, 1000000000, INT64_MAX / 2};
    (void)arg;
    rig *r = rig_new(s, &(rig_options){0});
    stage st;
    stage_open(&st, r, &small_world);
    const view_of d = look(&st);
    for (uint32_t split = 0; split < DAL_SPLITS; split++)
        for (size_t k = 0; k < 2 * sizeof shifts / sizeof *shifts; k++) {
            const int64_t id = k % 2 ? -1 - shifts[k / 2] : d.info.n[split] + shifts[k / 2];
            dal_error err = DAL_ERROR_INIT;
            int32_t cls;
            dal_status status = d.impl->classes(d.self, split, &id, 1, &cls, &err);
            CHECK(status, "classes takes sample %lld of %lld", (long long)id, (long long)d.info.n[split]);
            rig_check_error(status, &err, "classes");
            if (!dense(&d)) { /* where sizes refuses, nobody reads */
                int64_t size;
                err = (dal_error)DAL_ERROR_INIT;
                status = d.impl->sizes(d.self, split, &id, 1, &size, &err);
                CHECK(status, "sizes takes sample %lld of %lld", (long long)id, (long long)d.info.n[split]);
                rig_check_error(status, &err, "sizes");
                continue;
            }
            dal_batch x = {.struct_size = sizeof x, .spec = &d.info.spec,
                           .data = guard_new((size_t)dal_sample_bytes(&d.info.spec))};
            err = (dal_error)DAL_ERROR_INIT;
            status = d.impl->read(d.self, split, &id, 1, &x, &err);
            CHECK(status, "read takes sample %lld of %lld", (long long)id, (long long)d.info.n[split]);
            rig_check_error(status, &err, "read");
            guard_free(x.data);
        }
}

typedef struct content {
    dal_dataset_info info;
    uint64_t hash, fingerprint[2];
} content;

static content content_of(const subject *s, int threads)
{
    rig *r = rig_new(s, &(rig_options){.threads = threads});
    stage st;
    world_shape shape = small_world;
    shape.seed = s->seed;
    stage_open(&st, r, &shape);
    const view_of d = look(&st);
    content c = {.info = d.info};
    for (uint32_t split = 0; split < DAL_SPLITS; split++) {
        int64_t ids[READ];
        size_t size;
        const int64_t n = spread(&d, split, ids);
        if (n == 0)
            continue;
        dal_batch x = read_or_fail(&d, split, ids, n, &size);
        c.hash = dal_hash64(c.hash, x.data, size);
        batch_drop(&x);
    }
    dal_error err = DAL_ERROR_INIT;
    if (DAL_HAS(dal_dataset_impl, d.impl, fingerprint))
        CHECK(d.impl->fingerprint(d.self, c.fingerprint, &err) == DAL_OK, "fingerprint fails: %s", err.text);
    stage_close(&st, r);
    stage_free(&st);
    rig_free(r);
    return c;
}

static void same_content(const subject *s, int threads)
{
    const content a = content_of(s, 1), b = content_of(s, threads);
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        CHECK(a.info.n[k] == b.info.n[k], "split %u has %lld samples and %lld", k, (long long)a.info.n[k],
              (long long)b.info.n[k]);
    CHECK(a.hash == b.hash, "its samples differ from one instance to the next");
    CHECK(memcmp(a.fingerprint, b.fingerprint, sizeof a.fingerprint) == 0,
          "its fingerprint differs from one instance to the next");
}

/* ---- reading on several threads ---- */

typedef struct crowd {
    const view_of *d;
    const int64_t *ids;
    const dal_batch *whole;
    int64_t n;
} crowd;

static dal_status read_one(void *ctx, int64_t i)
{
    const crowd *c = ctx;
    size_t size;
    const int64_t k = i % c->n;
    dal_batch x = read_or_fail(c->d, DAL_SPLIT_TRAIN, &c->ids[k], 1, &size);
    CHECK(same_sample(c->d, c->whole, k, &x, 0),
          "sample %lld is another one when several threads read", (long long)c->ids[k]);
    batch_drop(&x);
    return DAL_OK;
}

static void concurrent(const subject *s, int arg)
{
    (void)arg;
    if (!dal_has_word(s->component->provides, DAL_CAP_CONCURRENT))
        check_skip("it does not offer %s", DAL_CAP_CONCURRENT);
    rig *r = rig_new(s, &(rig_options){.threads = 4});
    stage st;
    stage_open(&st, r, &small_world);
    const view_of d = look(&st);
    int64_t ids[READ];
    size_t size;
    const int64_t n = spread(&d, DAL_SPLIT_TRAIN, ids);
    dal_batch x = read_or_fail(&d, DAL_SPLIT_TRAIN, ids, n, &size);
    const crowd c = {&d, ids, &x, n};
    const dal_host *h = rig_host(r);
    h->parallel_for(h, 40 * n, read_one, (void *)(uintptr_t)&c);
}

const check_test dataset_tests[] = {
    {"contents", "sizes, classes and samples are what info says", BOTH, contents, 0},
    {"order", "a sample does not depend on the order of reading", BOTH, any_order, 0},
    {"sources", "sources of samples, where they are told, are what their table says", BOTH, sources, 0},
    {"range", "samples that do not exist are refused", BOTH, out_of_range, 0},
    {"same/content", "two instances have the same samples and the same fingerprint", BOTH, same_content, 1},
    {"same/threads", "1 and 2 threads make the same samples", BOTH, same_content, 2},
    {"concurrent", "several threads read what one reads, where that is offered", BOTH, concurrent, 0},
    {0},
};
