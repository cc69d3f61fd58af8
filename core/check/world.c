#include "check/world.h"

#include <math.h>
#include <stdlib.h>

#include "util/text.h"

/* ---- making it ---- */

static void make_features(world *w, dal_rng *rng)
{
    const world_shape *s = &w->shape;
    for (int64_t i = 0; i < w->n; i++) {
        const int64_t k = dal_rng_below(rng, s->c);
        int64_t twin = -1;
        if ((s->flags & WORLD_CONSTANT) && i > 0)
            twin = 0;
        else if ((s->flags & WORLD_DUPLICATES) && i > 0 && dal_rng_uniform(rng) < 0.8)
            twin = dal_rng_below(rng, i);
        w->classes[i] = twin >= 0 ? w->classes[twin] : (int32_t)k;
        for (int64_t j = 0; j < s->d; j++)
            w->features[i * s->d + j] =
                twin >= 0 ? w->features[twin * s->d + j]
                          : w->weights[k * s->d + j] + (float)(0.7 * dal_rng_normal(rng));
    }
}

static int by_number(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* Deal the pool out at random; every set ascends, as the ABI says. */
static void make_sets(world *w, dal_rng *rng)
{
    const world_shape *s = &w->shape;
    int64_t *deal = w->ids, *at = deal;
    const int64_t unlabelled = s->candidates + s->others;
    for (int64_t i = 0; i < w->n; i++)
        deal[i] = i;
    dal_rng_shuffle(rng, deal, w->n, w->n);
    w->sets.ids[DAL_ROWS_LABELLED] = at;
    qsort(at, (size_t)s->labelled, sizeof *at, by_number);
    at += s->labelled;
    w->sets.ids[DAL_ROWS_OOD] = at;
    qsort(at, (size_t)s->ood, sizeof *at, by_number);
    at += s->ood;
    int64_t *copy = w->ids + w->n; /* candidates and unlabelled overlap: a second list */
    memcpy(copy, at, (size_t)unlabelled * sizeof *copy);
    qsort(copy, (size_t)s->candidates, sizeof *copy, by_number);
    qsort(at, (size_t)unlabelled, sizeof *at, by_number);
    w->sets.ids[DAL_ROWS_UNLABELLED] = at;
    w->sets.ids[DAL_ROWS_CANDIDATES] = copy;
    w->sets.n[DAL_ROWS_LABELLED] = s->labelled;
    w->sets.n[DAL_ROWS_OOD] = s->ood;
    w->sets.n[DAL_ROWS_UNLABELLED] = unlabelled;
    w->sets.n[DAL_ROWS_CANDIDATES] = s->candidates;
    for (int64_t i = 0; i < s->ood; i++)
        w->classes[w->sets.ids[DAL_ROWS_OOD][i]] = DAL_LABEL_OOD;
    for (int64_t i = 0; i < s->labelled; i++)
        w->labelled_classes[i] =
            s->flags & WORLD_ONE_CLASS ? 0 : w->classes[w->sets.ids[DAL_ROWS_LABELLED][i]];
    w->sets.classes = w->labelled_classes;
}

/* ---- what the view shows ---- */

static const world *world_of(const provider *p)
{
    return p->impl;
}

/* z = W (x * mask) + b of one sample, and its softmax where the shape says so. mask [d] or NULL. */
static void classify(const world *w, int64_t id, const float *mask, float *out)
{
    const int64_t c = w->shape.c, d = w->shape.d;
    double most = -INFINITY, sum = 0;
    for (int64_t k = 0; k < c; k++) {
        double z = (double)w->bias[k];
        for (int64_t j = 0; j < d; j++)
            z += (double)w->weights[k * d + j] * (double)w->features[id * d + j] * (mask ? (double)mask[j] : 1);
        out[k] = (float)z;
        most = fmax(most, (double)out[k]);
    }
    if (w->shape.output_kind != DAL_PROBS)
        return;
    for (int64_t k = 0; k < c; k++)
        sum += exp((double)out[k] - most);
    for (int64_t k = 0; k < c; k++)
        out[k] = (float)(exp((double)out[k] - most) / sum);
}

static dal_status outputs(const provider *p, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out,
                          dal_error *err)
{
    const world *w = world_of(p);
    float *z = floats_reserve(&s->outputs, n, w->shape.c, 1, err);
    if (!z)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < n; i++)
        classify(w, ids[i], NULL, z + i * w->shape.c);
    *out = (dal_matrix){z, n, w->shape.c, w->shape.c};
    return DAL_OK;
}

static dal_status features(const provider *p, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out,
                           dal_matrix *both, dal_error *err)
{
    const world *w = world_of(p);
    const int64_t d = w->shape.d;
    float *x = floats_reserve(&s->features, n, d, 1, err);
    if (!x)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < n; i++)
        memcpy(x + i * d, w->features + ids[i] * d, (size_t)d * sizeof *x);
    *out = (dal_matrix){x, n, d, d};
    return both ? outputs(p, s, ids, n, both, err) : DAL_OK;
}

/* Pass k drops the same half of the features of every sample. */
static dal_status mc(const provider *p, scratch *s, const int64_t *ids, int64_t n, int64_t passes, dal_tensor3 *out,
                     dal_error *err)
{
    const world *w = world_of(p);
    const int64_t c = w->shape.c, d = w->shape.d;
    float *z = floats_reserve(&s->mc, n, c, passes, err), *mask = xcalloc((size_t)d, sizeof *mask);
    const dal_rng stream = dal_rng_from_key(w->shape.seed + 1);
    for (int64_t k = 0; z && k < passes; k++) {
        dal_rng rng = dal_rng_at(&stream, (uint64_t)k);
        for (int64_t j = 0; j < d; j++)
            mask[j] = dal_rng_uniform(&rng) < 0.5 ? 0 : 2;
        for (int64_t i = 0; i < n; i++)
            classify(w, ids[i], mask, z + (k * n + i) * c);
    }
    free(mask);
    *out = (dal_tensor3){z, passes, n, c};
    return z ? DAL_OK : DAL_E_NOMEM;
}

static dal_status inputs(const provider *p, scratch *s, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const world *w = world_of(p);
    /* whole floats, of which there are always enough */
    float *room = floats_reserve(&s->features, n, dal_sample_bytes(&w->spec) / 4 + 1, 1, err);
    if (!room)
        return DAL_E_NOMEM;
    *out = (dal_batch){.struct_size = sizeof *out, .spec = &w->spec, .data = room};
    return world_read(w, ids, n, out);
}

static dal_status last_layer(const provider *p, dal_matrix *weights, const float **bias, dal_error *err)
{
    const world *w = world_of(p);
    (void)err;
    *weights = (dal_matrix){w->weights, w->shape.c, w->shape.d, w->shape.d};
    *bias = w->bias;
    return DAL_OK;
}

static const char *lacks(const provider *p, const char *capability)
{
    (void)p;
    (void)capability;
    return "the conformance suite has no data for it";
}

/* ---- lists of samples ---- */

static dal_status read_rows(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const world *w = s->impl;
    int64_t *ids = xcalloc((size_t)n, sizeof *ids);
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        if (rows[i] < 0 || rows[i] >= s->n)
            st = dal_fail(err, DAL_E_INVALID, "", "row %lld of a list of %lld samples", (long long)rows[i],
                          (long long)s->n);
        else
            ids[i] = s->ids[rows[i]];
    }
    if (st == DAL_OK)
        st = world_read(w, ids, n, out);
    free(ids);
    return st;
}

static dal_status row_sizes(const dal_samples *s, const int64_t *rows, int64_t n, int64_t *out, dal_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        if (rows[i] < 0 || rows[i] >= s->n)
            return dal_fail(err, DAL_E_INVALID, "", "row %lld of a list of %lld samples", (long long)rows[i],
                            (long long)s->n);
        world_sizes(s->impl, &s->ids[rows[i]], 1, &out[i]);
    }
    return DAL_OK;
}

dal_samples *world_samples(const world *w, const int64_t *ids, const int32_t *classes, const float *weights,
                           int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= w->n)
            return NULL;
    dal_samples *s = xcalloc(1, sizeof *s);
    *s = (dal_samples){.struct_size = sizeof *s, .impl = (void *)(uintptr_t)w, .spec = w->spec, .n = n, .ids = ids,
                       .classes = classes, .weights = weights, .sizes = w->offsets ? row_sizes : NULL,
                       .read = read_rows};
    return s;
}

static dal_samples *provider_samples(const provider *p, const int64_t *ids, const int32_t *classes,
                                     const float *weights, int64_t n)
{
    return world_samples(world_of(p), ids, classes, weights, n);
}

dal_samples *world_set(const world *w, uint32_t set)
{
    return world_samples(w, w->sets.ids[set], set == DAL_ROWS_LABELLED ? w->labelled_classes : NULL, NULL,
                         w->sets.n[set]);
}

/* ---- the world as a dataset ---- */

static int64_t split_size(const world *w, uint32_t split)
{
    return split == DAL_SPLIT_TRAIN ? w->n : split < DAL_SPLITS ? w->n / 3 : 0;
}

static dal_status dataset_info(void *self, dal_dataset_info *info, dal_error *err)
{
    const world *w = self;
    (void)err;
    info->spec = w->spec;
    for (uint32_t s = 0; s < DAL_SPLITS; s++)
        info->n[s] = split_size(w, s);
    info->class_names = NULL;
    return DAL_OK;
}

static dal_status check_ids(const world *w, uint32_t split, const int64_t *ids, int64_t n, dal_error *err)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= split_size(w, split))
            return dal_fail(err, DAL_E_INVALID, "", "there is no sample %lld in split %u", (long long)ids[i], split);
    return DAL_OK;
}

static dal_status dataset_classes(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out,
                                  dal_error *err)
{
    const world *w = self;
    const dal_status st = check_ids(w, split, ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        out[i] = w->classes[ids[i]];
    return st;
}

static dal_status dataset_read(void *self, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                               dal_error *err)
{
    const dal_status st = check_ids(self, split, ids, n, err);
    return st ? st : world_read(self, ids, n, out);
}

static dal_status dataset_sizes(void *self, uint32_t split, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    const dal_status st = check_ids(self, split, ids, n, err);
    if (st == DAL_OK)
        world_sizes(self, ids, n, out);
    return st;
}

static int64_t count_groups(void *self)
{
    (void)self;
    return WORLD_GROUPS;
}

static dal_status dataset_groups(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out,
                                 dal_error *err)
{
    const world *w = self;
    const dal_status st = check_ids(w, split, ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        out[i] = w->groups[ids[i]];
    return st;
}

static const void *dataset_extension(void *self, const char *id)
{
    static const dal_dataset_groups table = {.struct_size = sizeof table, .count = count_groups,
                                             .groups = dataset_groups};
    (void)self;
    return strcmp(id, DAL_CAP_GROUPS) == 0 ? &table : NULL;
}

static dal_status dataset_fingerprint(void *self, uint64_t out[2], dal_error *err)
{
    const world *w = self;
    (void)err;
    out[0] = dal_hash64(1, w->features, (size_t)(w->n * w->shape.d) * sizeof(float));
    out[1] = dal_hash64(2, w->classes, (size_t)w->n * sizeof *w->classes);
    return DAL_OK;
}

dal_dataset world_dataset(world *w)
{
    static const dal_dataset_impl impl = {.struct_size = sizeof impl,
                                          .info = dataset_info,
                                          .classes = dataset_classes,
                                          .read = dataset_read,
                                          .fingerprint = dataset_fingerprint,
                                          .get_extension = dataset_extension};
    static const dal_dataset_impl ragged = {.struct_size = sizeof ragged,
                                            .info = dataset_info,
                                            .classes = dataset_classes,
                                            .sizes = dataset_sizes,
                                            .read = dataset_read,
                                            .fingerprint = dataset_fingerprint,
                                            .get_extension = dataset_extension};
    return (dal_dataset){w->offsets ? &ragged : &impl, w};
}

/* ---- life ---- */

static const char *const group_names[WORLD_GROUPS] = {"north", "south", "west"};

world *world_new(const world_shape *shape, const dal_host *host)
{
    world *w = xcalloc(1, sizeof *w);
    const int64_t c = shape->c, d = shape->d;
    w->shape = *shape;
    w->n = shape->candidates + shape->labelled + shape->ood + shape->others;
    dal_rng rng = dal_rng_from_key(shape->seed ^ 0x77a11d5u);
    w->features = xcalloc((size_t)(w->n * d), sizeof(float));
    w->weights = xcalloc((size_t)(c * d), sizeof(float));
    w->bias = xcalloc((size_t)c, sizeof(float));
    w->classes = xcalloc((size_t)w->n, sizeof(int32_t));
    w->labelled_classes = xcalloc((size_t)shape->labelled, sizeof(int32_t));
    w->ids = xcalloc((size_t)(w->n + shape->candidates + shape->others), sizeof(int64_t));
    for (int64_t i = 0; i < c * d; i++)
        w->weights[i] = (float)dal_rng_normal(&rng);
    w->groups = xcalloc((size_t)w->n, sizeof *w->groups);
    for (int64_t i = 0; i < w->n; i++) /* one in nine is of none that is known */
        w->groups[i] = i % 9 == 8 ? DAL_GROUP_NONE : (int32_t)(i % 9 % WORLD_GROUPS);
    for (int64_t k = 0; k < c; k++)
        w->bias[k] = (float)(0.1 * dal_rng_normal(&rng));
    make_features(w, &rng);
    world_make_samples(w);
    make_sets(w, &rng);
    w->base = (provider){.host = host,
                         .block = BLOCK_COMPUTED,
                         .n_classes = c,
                         .d = d,
                         .n_pool = w->n,
                         .truth = w->classes,
                         .groups = w->groups,
                         .n_groups = WORLD_GROUPS,
                         .group_names = group_names,
                         .output_kind = shape->output_kind,
                         .mc_kind = shape->output_kind,
                         .impl = w,
                         .outputs = outputs,
                         .features = features,
                         .mc = mc,
                         .inputs = inputs,
                         .last_layer = last_layer,
                         .samples = provider_samples,
                         .lacks = lacks};
    return w;
}

void world_free(world *w)
{
    if (!w)
        return;
    if (w->raw != w->features)
        free(w->raw);
    free(w->offsets);
    free(w->indices);
    free(w->features);
    free(w->weights);
    free(w->bias);
    free(w->classes);
    free(w->groups);
    free(w->labelled_classes);
    free(w->ids);
    free(w);
}
