#include "pipeline/source.h"

#include <dal/dense.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "util/text.h"

#define MAX_SAMPLE_VALUES ((int64_t)1 << 31)
#define MAX_GROUPS ((int64_t)1 << 24)

static const component_desc *top_desc(const source *s)
{
    return s->descs[s->n_chain - 1];
}

static void enter(source *s)
{
    if (!s->concurrent)
        pthread_mutex_lock(&s->lock);
}

static void leave(source *s)
{
    if (!s->concurrent)
        pthread_mutex_unlock(&s->lock);
}

/* ---- opening ---- */

/* The class of a sample, its places in the lists of pool.h, what is predicted of it: in memory, whatever it is
 * itself. */
#define NOTES_OF_A_SAMPLE 48

/* More of them than this machine has memory for would end the program where it cannot say why. */
static dal_status room_for_notes(const dal_dataset_info *i, dal_error *err)
{
    const double pages = (double)sysconf(_SC_PHYS_PAGES), memory = pages * (double)sysconf(_SC_PAGESIZE);
    double samples = 0;
    for (int k = 0; k < (int)DAL_SPLITS; k++)
        samples += (double)i->n[k];
    if (pages <= 0 || samples * NOTES_OF_A_SAMPLE <= memory)
        return DAL_OK;
    char needed[32], there[32];
    return dal_fail(err, DAL_E_NOMEM, "",
                    "has %.0f samples; what is noted of each while a run lasts, its class and its places in lists, "
                    "would take %s, and this machine has %s of memory", samples,
                    human_bytes(samples * NOTES_OF_A_SAMPLE, needed), human_bytes(memory, there));
}

static dal_status check_info(const dal_dataset_info *i, dal_error *err)
{
    static const char *const split[] = {"train", "validation", "test"};
    const dal_sample_spec *s = &i->spec;
    if (s->modality < DAL_VECTOR || s->modality > DAL_SPARSE)
        return dal_fail(err, DAL_E_CONTRACT, "", "says its modality is %u, expected 1..4", s->modality);
    if (s->modality != DAL_TEXT) {
        int64_t values = 1;
        if (s->ndim < 1 || s->ndim > DAL_MAX_DIMS)
            return dal_fail(err, DAL_E_CONTRACT, "", "says a sample has %u dimensions, expected 1..4", s->ndim);
        for (uint32_t k = 0; k < s->ndim; k++)
            if (s->shape[k] < 1 || !dal_size_mul(values, s->shape[k], &values) || values > MAX_SAMPLE_VALUES)
                return dal_fail(err, DAL_E_CONTRACT, "", "says a sample's shape has a dimension of %lld",
                                (long long)s->shape[k]);
        if (s->dtype != DAL_F32 && s->dtype != DAL_U8)
            return dal_fail(err, DAL_E_CONTRACT, "", "says its dtype is %u, expected f32 (1) or u8 (2)", s->dtype);
    }
    if (s->n_classes < 0 || s->n_classes > 1 << 24)
        return dal_fail(err, DAL_E_CONTRACT, "", "says it has %lld classes", (long long)s->n_classes);
    for (int k = 0; k < (int)DAL_SPLITS; k++)
        if (i->n[k] < 0)
            return dal_fail(err, DAL_E_CONTRACT, "", "says its %s split has %lld samples", split[k],
                            (long long)i->n[k]);
    return room_for_notes(i, err);
}

static dal_status read_classes(source *s, uint32_t split, dal_error *err)
{
    enum { BLOCK = 8192 };
    const int64_t n = s->info.n[split], c = s->info.spec.n_classes;
    int64_t ids[BLOCK];
    s->classes[split] = xcalloc((size_t)n, sizeof(int32_t));
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t m = n - first < BLOCK ? n - first : BLOCK;
        for (int64_t i = 0; i < m; i++)
            ids[i] = first + i;
        int32_t *out = s->classes[split] + first;
        const dal_status st =
            CALL(top_desc(s), classes, s->top.impl->classes(s->top.self, split, ids, m, out, err), err);
        if (st != DAL_OK)
            return st;
        for (int64_t i = 0; i < m; i++)
            if (out[i] < DAL_LABEL_OOD || out[i] >= c)
                return dal_fail(err, DAL_E_CONTRACT, "", "says sample %lld has class %d, expected 0..%lld",
                                (long long)ids[i], (int)out[i], (long long)c - 1);
    }
    return DAL_OK;
}

/* The groups of the pool, where the dataset tells them. */
static dal_status read_groups(source *s, dal_error *err)
{
    enum { BLOCK = 8192 };
    const dal_dataset_groups *t = dal_groups_of(&s->top);
    const int64_t n = s->info.n[DAL_SPLIT_TRAIN];
    int64_t ids[BLOCK];
    if (!t)
        return DAL_OK;
    if (!DAL_HAS(dal_dataset_groups, t, count) || !DAL_HAS(dal_dataset_groups, t, groups))
        return dal_fail(err, DAL_E_CONTRACT, "", "offers %s, but its table lacks count or groups", DAL_CAP_GROUPS);
    s->n_groups = t->count(s->top.self);
    if (s->n_groups < 1 || s->n_groups > MAX_GROUPS)
        return dal_fail(err, DAL_E_CONTRACT, "", "says it has %lld sources, expected 1..%lld", (long long)s->n_groups,
                        (long long)MAX_GROUPS);
    s->own_group_names = xcalloc((size_t)s->n_groups + 1, sizeof(char *));
    for (int64_t g = 0; g < s->n_groups; g++) {
        const char *name = DAL_HAS(dal_dataset_groups, t, name) ? t->name(s->top.self, g) : NULL;
        s->own_group_names[g] = name ? xstrdup(name) : xasprintf("%lld", (long long)g);
    }
    s->group_names = (const char *const *)s->own_group_names;
    s->groups = xcalloc((size_t)n, sizeof *s->groups);
    dal_status st = DAL_OK;
    for (int64_t first = 0; st == DAL_OK && first < n; first += BLOCK) {
        const int64_t m = n - first < BLOCK ? n - first : BLOCK;
        for (int64_t i = 0; i < m; i++)
            ids[i] = first + i;
        int32_t *out = s->groups + first;
        st = CALL(top_desc(s), groups, t->groups(s->top.self, DAL_SPLIT_TRAIN, ids, m, out, err), err);
        for (int64_t i = 0; st == DAL_OK && i < m; i++)
            if (out[i] < DAL_GROUP_NONE || out[i] >= s->n_groups)
                st = dal_fail(err, DAL_E_CONTRACT, "", "says sample %lld is of source %d, expected 0..%lld",
                              (long long)ids[i], (int)out[i], (long long)s->n_groups - 1);
    }
    return st;
}

static void number_classes(source *s)
{
    const int64_t c = s->info.spec.n_classes;
    s->own_names = xcalloc((size_t)c + 1, sizeof(char *));
    for (int64_t k = 0; k < c; k++)
        s->own_names[k] = s->info.class_names && s->info.class_names[k] ? xstrdup(s->info.class_names[k])
                                                                        : xasprintf("%lld", (long long)k);
    s->class_names = (const char *const *)s->own_names;
}

static dal_status open_link(source *s, const component_spec *spec, diags *d)
{
    dal_error err = DAL_ERROR_INIT;
    /* a transform may keep the pointer to the one below it until its destroy */
    const dal_dataset *below = s->n_chain ? &s->links[s->n_chain - 1] : NULL;
    const dal_status st = composer_open(s->composer, spec, below, &s->chain[s->n_chain], &err);
    if (st != DAL_OK) {
        tell_who(spec->desc, &err);
        diags_error(d, spec_place(spec, &err), "%s", err.text);
        return st;
    }
    const dal_instance *now = s->chain[s->n_chain];
    s->top = (dal_dataset){now->impl, now->self};
    s->links[s->n_chain] = s->top;
    s->descs[s->n_chain++] = spec->desc;
    s->concurrent &= instance_is_concurrent(now);
    return DAL_OK;
}

static dal_status look_inside(source *s, dal_error *err)
{
    s->info = (dal_dataset_info){.struct_size = sizeof s->info, .spec.struct_size = sizeof s->info.spec};
    dal_status st = CALL(top_desc(s), info, s->top.impl->info(s->top.self, &s->info, err), err);
    s->info.struct_size = sizeof s->info;
    s->info.spec.struct_size = sizeof s->info.spec;
    if (st == DAL_OK)
        st = check_info(&s->info, err);
    if (st != DAL_OK)
        return st;
    const bool ragged = s->info.spec.modality == DAL_TEXT || s->info.spec.modality == DAL_SPARSE;
    if (ragged && !DAL_HAS(dal_dataset_impl, s->top.impl, sizes))
        return dal_fail(err, DAL_E_CONTRACT, "", "has samples of varying length but no sizes()");
    number_classes(s);
    for (uint32_t split = 0; st == DAL_OK && split < DAL_SPLITS; split++)
        st = read_classes(s, split, err);
    return st == DAL_OK ? read_groups(s, err) : st;
}

dal_status source_open(composer *c, const manifest *m, source **out, diags *d)
{
    source *s = xcalloc(1, sizeof *s);
    s->composer = c;
    s->concurrent = true;
    s->chain = xcalloc((size_t)m->n_transforms + 1, sizeof *s->chain);
    s->descs = xcalloc((size_t)m->n_transforms + 1, sizeof *s->descs);
    s->links = xcalloc((size_t)m->n_transforms + 1, sizeof *s->links);
    pthread_mutex_init(&s->lock, NULL);
    dal_status st = open_link(s, m->dataset, d);
    const component_spec *last = m->dataset;
    for (int i = 0; st == DAL_OK && i < m->n_transforms; i++) {
        last = m->transforms[i];
        st = open_link(s, last, d);
    }
    if (st == DAL_OK) {
        dal_error err = DAL_ERROR_INIT;
        st = look_inside(s, &err);
        if (st != DAL_OK) {
            tell_who(last->desc, &err);
            diags_error(d, spec_place(last, &err), "%s", err.text);
        }
    }
    if (st != DAL_OK) {
        source_close(s);
        return st;
    }
    *out = s;
    return DAL_OK;
}

void source_close(source *s)
{
    if (!s)
        return;
    while (s->n_chain > 0)
        composer_close(s->composer, s->chain[--s->n_chain]);
    for (int64_t k = 0; s->own_names && s->own_names[k]; k++)
        free(s->own_names[k]);
    free(s->own_names);
    for (int64_t g = 0; s->own_group_names && s->own_group_names[g]; g++)
        free(s->own_group_names[g]);
    free(s->own_group_names);
    free(s->groups);
    for (uint32_t split = 0; split < DAL_SPLITS; split++)
        free(s->classes[split]);
    pthread_mutex_destroy(&s->lock);
    free(s->values_rule);
    free(s->values_mend);
    free(s->chain);
    free(s->descs);
    free(s->links);
    free(s);
}

void source_describe(source *s, uint32_t split, int64_t id, char *out, size_t size)
{
    snprintf(out, size, "%lld", (long long)id);
    if (DAL_HAS(dal_dataset_impl, s->top.impl, describe)) {
        enter(s);
        call_begin(top_desc(s), "describe");
        s->top.impl->describe(s->top.self, split, id, out, size);
        call_end(top_desc(s), "describe", DAL_OK, NULL);
        leave(s);
        if (size > 0)
            out[size - 1] = '\0';
    }
}

/* ---- reading ---- */

dal_status source_read(source *s, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    enter(s);
    const dal_status st = CALL(top_desc(s), read, s->top.impl->read(s->top.self, split, ids, n, out, err), err);
    leave(s);
    return st;
}

/* The impl of a dal_samples list. */
typedef struct sample_list {
    dal_samples base;
    source *source;
    uint32_t split;
} sample_list;

/* rows of the list as indices of the split; rows outside it are a caller's fault. */
static dal_status to_ids(const sample_list *l, const int64_t *rows, int64_t n, int64_t *ids, dal_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        if (rows[i] < 0 || rows[i] >= l->base.n)
            return dal_fail(err, DAL_E_CONTRACT, "", "row %lld of a list of %lld samples was asked for",
                            (long long)rows[i], (long long)l->base.n);
        ids[i] = l->base.ids[rows[i]];
    }
    return DAL_OK;
}

enum { LIST_BLOCK = 1024 };

static dal_status list_sizes(const dal_samples *base, const int64_t *rows, int64_t n, int64_t *out, dal_error *err)
{
    const sample_list *l = base->impl;
    source *s = l->source;
    int64_t ids[LIST_BLOCK];
    for (int64_t first = 0; first < n; first += LIST_BLOCK) {
        const int64_t m = n - first < LIST_BLOCK ? n - first : LIST_BLOCK;
        dal_status st = to_ids(l, rows + first, m, ids, err);
        if (st != DAL_OK)
            return st;
        if (!DAL_HAS(dal_dataset_impl, s->top.impl, sizes)) {
            for (int64_t i = 0; i < m; i++)
                out[first + i] = dal_sample_values(&base->spec);
            continue;
        }
        enter(s);
        st = CALL(top_desc(s), sizes, s->top.impl->sizes(s->top.self, l->split, ids, m, out + first, err), err);
        leave(s);
        if (st != DAL_OK)
            return st;
        for (int64_t i = 0; i < m; i++)
            if (out[first + i] < 0 || out[first + i] > MAX_SAMPLE_VALUES)
                return dal_fail(err, DAL_E_CONTRACT, "", "dataset '%s' says sample %lld has %lld elements",
                                top_desc(s)->id, (long long)ids[i], (long long)out[first + i]);
    }
    return DAL_OK;
}

/* What a model, a strategy or an oracle reads is told from what nobody can compute with, here and nowhere else. */
static dal_status check_values(const sample_list *l, const int64_t *ids, int64_t n, const dal_batch *b, dal_error *err)
{
    static const char *const split[] = {"pool", "validation split", "test split"};
    source *s = l->source;
    const dal_sample_spec *spec = &l->base.spec;
    const bool sparse = spec->modality == DAL_SPARSE;
    if (s->values == VALUES_ANY || n == 0 || !(sparse || (spec_is_dense(spec) && spec->dtype == DAL_F32)))
        return DAL_OK;
    const int64_t width = dal_sample_values(spec);
    const float *x = b->data;
    const int64_t at = dal_first_not_finite(x, sparse ? b->offsets[n] : n * width, s->values == VALUES_OR_MISSING);
    if (at < 0)
        return DAL_OK;
    int64_t row = sparse ? 0 : at / width;
    while (sparse && b->offsets[row + 1] <= at)
        row++;
    char name[128], number[32];
    source_describe(s, l->split, ids[row], name, sizeof name);
    snprintf(number, sizeof number, "%lld", (long long)ids[row]);
    const bool named = strcmp(name, number) != 0;
    return dal_fail(err, DAL_E_INVALID, "",
                    "dataset '%s': sample %s of the %s%s%s%s has the value %s at place %lld; %s: %s", s->descs[0]->id,
                    number, split[l->split], named ? " (" : "", named ? name : "", named ? ")" : "",
                    isnan(x[at]) ? "nan" : x[at] > 0 ? "inf" : "-inf",
                    (long long)(sparse ? b->indices[at] : at % width), s->values_rule,
                    isnan(x[at]) ? s->values_mend : "clean the data, or drop the sample");
}

static dal_status list_read(const dal_samples *base, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const sample_list *l = base->impl;
    int64_t few[LIST_BLOCK], *ids = n <= LIST_BLOCK ? few : xcalloc((size_t)n, sizeof *ids);
    dal_status st = to_ids(l, rows, n, ids, err);
    if (st == DAL_OK)
        st = source_read(l->source, l->split, ids, n, out, err);
    if (st == DAL_OK)
        st = check_values(l, ids, n, out, err);
    if (ids != few)
        free(ids);
    return st;
}

dal_samples *source_samples(source *s, uint32_t split, const int64_t *ids, const int32_t *classes,
                            const float *weights, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= s->info.n[split])
            return NULL;
    sample_list *l = xcalloc(1, sizeof *l);
    l->source = s;
    l->split = split;
    l->base = (dal_samples){
        .struct_size = sizeof l->base,
        .impl = l,
        .spec = s->info.spec,
        .n = n,
        .ids = ids,
        .classes = classes,
        .weights = weights,
        .sizes = list_sizes,
        .read = list_read,
    };
    return &l->base;
}

static dal_status batch_layout(batch_buffer *b, const dal_samples *s, const int64_t *rows, int64_t n,
                               size_t *bytes, dal_error *err)
{
    const int64_t dense = dal_sample_bytes(&s->spec);
    int64_t total = 0;
    if (s->spec.modality != DAL_TEXT && s->spec.modality != DAL_SPARSE) {
        if (!dal_size_mul(n, dense, &total))
            return dal_fail(err, DAL_E_OVERFLOW, "", "%lld samples do not fit in memory", (long long)n);
        *bytes = (size_t)total;
        return DAL_OK;
    }
    if (n + 1 > b->n_offsets) {
        b->n_offsets = n + 1;
        b->batch.offsets = xrealloc(b->batch.offsets, (size_t)b->n_offsets * sizeof(int64_t));
    }
    const dal_status st = s->sizes(s, rows, n, b->batch.offsets + 1, err);
    if (st != DAL_OK)
        return st;
    b->batch.offsets[0] = 0;
    for (int64_t i = 0; i < n; i++)
        b->batch.offsets[i + 1] += b->batch.offsets[i];
    total = b->batch.offsets[n];
    if (s->spec.modality == DAL_SPARSE && total > b->n_indices) {
        b->n_indices = total;
        b->batch.indices = xrealloc(b->batch.indices, (size_t)total * sizeof(int32_t));
    }
    *bytes = (size_t)total * (s->spec.modality == DAL_SPARSE ? sizeof(float) : 1);
    return DAL_OK;
}

dal_status batch_read(batch_buffer *b, const dal_samples *s, const int64_t *rows, int64_t n, dal_error *err)
{
    size_t bytes = 0;
    const dal_status st = batch_layout(b, s, rows, n, &bytes, err);
    if (st != DAL_OK)
        return st;
    if (bytes > b->data_bytes) {
        free(b->batch.data);
        b->batch.data = aligned_alloc(64, (bytes + 63) / 64 * 64);
        b->data_bytes = b->batch.data ? bytes : 0;
        if (!b->batch.data)
            return dal_fail(err, DAL_E_NOMEM, "", "no memory for a block of %lld samples", (long long)n);
    }
    b->spec = s->spec;
    b->batch.struct_size = sizeof b->batch;
    b->batch.spec = &b->spec;
    b->batch.n = n;
    return s->read(s, rows, n, &b->batch, err);
}

void batch_free(batch_buffer *b)
{
    free(b->batch.data);
    free(b->batch.offsets);
    free(b->batch.indices);
    *b = (batch_buffer){0};
}

/* ---- fingerprint ---- */

/* Where one text ends and in which columns values are is part of the content, too. */
static void hash_batch(XXH3_state_t *h, const dal_batch *b)
{
    if (spec_is_dense(b->spec)) {
        XXH3_128bits_update(h, b->data, (size_t)(b->n * dal_sample_bytes(b->spec)));
        return;
    }
    const size_t n = (size_t)b->offsets[b->n];
    const bool sparse = b->spec->modality == DAL_SPARSE;
    XXH3_128bits_update(h, b->offsets, (size_t)(b->n + 1) * sizeof *b->offsets);
    if (n > 0)
        XXH3_128bits_update(h, b->data, n * (sparse ? sizeof(float) : 1));
    if (n > 0 && sparse)
        XXH3_128bits_update(h, b->indices, n * sizeof *b->indices);
}

dal_status source_fingerprint(source *s, uint64_t out[2], dal_error *err)
{
    enum { SAMPLES = 1024, BLOCK = 64 };
    XXH3_state_t *h = XXH3_createState();
    if (!h)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a hash");
    dal_status st = DAL_OK;
    XXH3_128bits_reset(h);
    if (DAL_HAS(dal_dataset_impl, s->top.impl, fingerprint)) {
        uint64_t own[2] = {0, 0};
        st = CALL(top_desc(s), fingerprint, s->top.impl->fingerprint(s->top.self, own, err), err);
        if (st == DAL_E_UNSUPPORTED) /* a transform over a dataset that has none */
            st = DAL_OK;
        XXH3_128bits_update(h, own, sizeof own);
    }
    XXH3_128bits_update(h, &s->info.spec, sizeof s->info.spec);
    XXH3_128bits_update(h, s->info.n, sizeof s->info.n);
    if (s->groups)
        XXH3_128bits_update(h, s->groups, (size_t)s->info.n[DAL_SPLIT_TRAIN] * sizeof *s->groups);
    batch_buffer buffer = {0};
    for (uint32_t split = 0; st == DAL_OK && split < DAL_SPLITS; split++) {
        const int64_t n = s->info.n[split], step = n > SAMPLES ? n / SAMPLES : 1;
        XXH3_128bits_update(h, s->classes[split], (size_t)n * sizeof(int32_t));
        int64_t ids[BLOCK], zero_to[BLOCK];
        for (int64_t i = 0; st == DAL_OK && i < n;) {
            int64_t m = 0;
            for (; m < BLOCK && i < n; m++, i += step) {
                ids[m] = i;
                zero_to[m] = m;
            }
            dal_samples *list = source_samples(s, split, ids, NULL, NULL, m);
            st = batch_read(&buffer, list, zero_to, m, err);
            if (st == DAL_OK)
                hash_batch(h, &buffer.batch);
            free(list);
        }
    }
    const XXH128_hash_t hash = XXH3_128bits_digest(h);
    out[0] = hash.low64;
    out[1] = hash.high64;
    batch_free(&buffer);
    XXH3_freeState(h);
    return st;
}

bool spec_is_dense(const dal_sample_spec *s)
{
    return s->modality == DAL_VECTOR || s->modality == DAL_IMAGE;
}

void batch_as_floats(const dal_batch *b, int64_t width, float *out)
{
    if (b->spec->dtype == DAL_F32)
        memcpy(out, b->data, (size_t)(b->n * width) * sizeof *out);
    else
        for (int64_t i = 0; i < b->n * width; i++)
            out[i] = (float)((const uint8_t *)b->data)[i];
}
