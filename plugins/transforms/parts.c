#include "parts.h"

#define CHUNK 256 /* samples read at once that must be converted or scattered, at most, */
#define CHUNK_BYTES ((int64_t)64 << 20) /* of no more than this */
#define MOST_SAMPLES (INT64_MAX / 65536) /* of a split of one part: all of them together can be counted */

/* ---- opening ---------------------------------------------------------------------------------- */

static dal_status look(part *q, dal_error *err)
{
    q->info = (dal_dataset_info){.struct_size = sizeof q->info, .spec.struct_size = sizeof q->info.spec};
    const dal_status st = q->data.impl->info(q->data.self, &q->info, err);
    q->info.struct_size = sizeof q->info;
    q->info.spec.struct_size = sizeof q->info.spec;
    if (st != DAL_OK)
        return st;
    if (q->info.spec.n_classes < 0 || q->info.spec.n_classes > PARTS_MOST_CLASSES)
        return dal_fail(err, DAL_E_CONTRACT, "", "it says it has %lld classes", (long long)q->info.spec.n_classes);
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        if (q->info.n[k] < 0 || q->info.n[k] > MOST_SAMPLES)
            return dal_fail(err, DAL_E_CONTRACT, "", "it says a split has %lld samples", (long long)q->info.n[k]);
        q->n[k] = q->info.n[k];
    }
    return DAL_OK;
}

dal_status parts_new(const dal_host *host, const dal_dataset *input, int64_t room, size_t size, void **self,
                     dal_error *err)
{
    if (!input)
        return dal_fail(err, DAL_E_CONTRACT, "", "a transform needs a dataset to transform");
    parts *p = room <= 65536 ? host->alloc(host, size, 0) : NULL;
    if (!p)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    memset(p, 0, size);
    p->host = host;
    p->items = dal_array(host, room, sizeof *p->items);
    if (!p->items) {
        host->free(host, p);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    }
    memset(p->items, 0, (size_t)room * sizeof *p->items);
    p->items[0].data = *input;
    p->items[0].name = "";
    pthread_mutex_init(&p->items[0].lock, NULL);
    p->n = 1;
    const dal_status st = look(&p->items[0], err);
    p->info = p->items[0].info;
    if (st == DAL_OK)
        *self = p;
    else
        parts_destroy(p);
    return st;
}

void parts_destroy(void *self)
{
    parts *p = self;
    if (!p)
        return;
    for (int64_t i = 0; i < p->n; i++) {
        part *q = &p->items[i];
        dal_resizer_free(q->resizer);
        p->host->free(p->host, q->to);
        if (q->opened)
            p->host->close(p->host, q->opened);
        pthread_mutex_destroy(&q->lock);
    }
    p->host->free(p->host, p->items);
    p->host->free(p->host, p);
}

/* "images 3 x 32 x 32 of u8" */
static const char *words_of(const dal_sample_spec *s, char *out, size_t size)
{
    static const char *const modality[] = {"samples", "vectors", "images", "texts", "sparse vectors"};
    size_t at = (size_t)snprintf(out, size, "%s", modality[s->modality <= DAL_SPARSE ? s->modality : 0]);
    for (uint32_t i = 0; s->modality != DAL_TEXT && i < s->ndim && i < DAL_MAX_DIMS && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? " x " : " ", (long long)s->shape[i]);
    if (s->modality != DAL_TEXT && at < size)
        snprintf(out + at, size - at, " of %s", s->dtype == DAL_U8 ? "u8" : "f32");
    return out;
}

static int same_shape(const dal_sample_spec *a, const dal_sample_spec *b)
{
    if (a->modality != b->modality)
        return 0;
    if (a->modality == DAL_TEXT)
        return 1;
    return a->dtype == b->dtype && a->ndim == b->ndim &&
           memcmp(a->shape, b->shape, (size_t)(a->ndim < DAL_MAX_DIMS ? a->ndim : DAL_MAX_DIMS) *
                  sizeof *a->shape) == 0;
}

/* Images of one type whose channels can be had from each other. */
static int convertible(const dal_sample_spec *from, const dal_sample_spec *to)
{
    if (from->modality != DAL_IMAGE || to->modality != DAL_IMAGE || from->dtype != to->dtype || from->ndim != 3 ||
        to->ndim != 3 || from->shape[1] < 1 || from->shape[2] < 1)
        return 0;
    return from->shape[0] == to->shape[0] || (from->shape[0] == 1 && to->shape[0] == 3) ||
           (from->shape[0] == 3 && to->shape[0] == 1);
}

static dal_status fit(parts *p, part *q, int convert, dal_error *err)
{
    const dal_sample_spec *here = &p->info.spec, *there = &q->info.spec;
    char a[160], b[160];
    if (same_shape(here, there))
        return DAL_OK;
    q->converts = convert && convertible(there, here);
    if (!q->converts)
        return dal_fail(err, DAL_E_INVALID, "", "it has %s, the dataset has %s; expected the same%s",
                        words_of(there, a, sizeof a), words_of(here, b, sizeof b),
                        convert ? ", or images of one type with 1 or 3 channels; `transforms` of its own may change it"
                                : "; `transforms` of its own may change it, or transforms before this one the dataset");
    if (here->shape[1] == there->shape[1] && here->shape[2] == there->shape[2])
        return DAL_OK;
    return dal_resizer_new(p->host, there->shape[1], there->shape[2], here->shape[1], here->shape[2], &q->resizer, err);
}

dal_status parts_add(parts *p, const dal_component_ref *ref, int convert, const char *key, dal_error *err)
{
    part *q = &p->items[p->n];
    dal_status st = p->host->open(p->host, ref, NULL, &q->opened, err);
    if (st == DAL_OK) {
        pthread_mutex_init(&q->lock, NULL);
        p->n++; /* from here on it is closed with the others */
        q->data = (dal_dataset){q->opened->impl, q->opened->self};
        q->name = q->opened->component->id;
        q->one_at_a_time = !dal_has_word(q->opened->component->provides, DAL_CAP_CONCURRENT);
        st = look(q, err);
    }
    if (st == DAL_OK)
        st = fit(p, q, convert, err);
    if (st != DAL_OK && err)
        snprintf(err->key, sizeof err->key, "%s", key);
    return st;
}

const char *parts_class(const part *q, int64_t c, char room[24])
{
    if (q->info.class_names && q->info.class_names[c])
        return q->info.class_names[c];
    snprintf(room, 24, "%lld", (long long)c);
    return room;
}

/* ---- dealing out ------------------------------------------------------------------------------ */

/* Samples of the whole by the part they are of: those of part q are first[q] .. first[q + 1] - 1. */
typedef struct deal {
    int64_t *ids, *places; /* [n] in the part; in what was asked for, ascending in a part */
    int64_t *first;        /* [parts + 1] */
} deal;

static void free_deal(const dal_host *host, deal *d)
{
    host->free(host, d->ids);
    host->free(host, d->places);
    host->free(host, d->first);
}

static int64_t part_of(const parts *p, uint32_t k, int64_t *id)
{
    int64_t q = 0;
    while (*id >= p->items[q].n[k])
        *id -= p->items[q++].n[k];
    return q;
}

/* To be freed whether it succeeds or not. */
static dal_status deal_out(const parts *p, uint32_t k, const int64_t *ids, int64_t n, deal *d, dal_error *err)
{
    const dal_host *host = p->host;
    *d = (deal){0};
    const dal_status st = dal_check_ids(p->info.n[k], ids, n, err);
    if (st != DAL_OK)
        return st;
    *d = (deal){dal_array(host, n, sizeof *d->ids), dal_array(host, n, sizeof *d->places),
                dal_array(host, p->n + 2, sizeof *d->first)};
    if (!d->ids || !d->places || !d->first)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)n);
    memset(d->first, 0, (size_t)(p->n + 2) * sizeof *d->first);
    for (int64_t i = 0; i < n; i++) {
        int64_t id = ids[i];
        d->first[part_of(p, k, &id) + 2]++;
    }
    for (int64_t q = 0; q < p->n; q++)
        d->first[q + 2] += d->first[q + 1];
    for (int64_t i = 0; i < n; i++) { /* first[q + 1] runs from the start of part q to its end */
        int64_t id = ids[i];
        const int64_t at = d->first[part_of(p, k, &id) + 1]++;
        d->ids[at] = id;
        d->places[at] = i;
    }
    return DAL_OK;
}

static void enter(part *q)
{
    if (q->one_at_a_time)
        pthread_mutex_lock(&q->lock);
}

static void leave(part *q)
{
    if (q->one_at_a_time)
        pthread_mutex_unlock(&q->lock);
}

/* ---- classes and sizes ------------------------------------------------------------------------ */

static dal_status map_classes(const part *q, int32_t *classes, int64_t n, dal_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        if (classes[i] < DAL_LABEL_OOD || classes[i] >= q->info.spec.n_classes)
            return dal_fail(err, DAL_E_CONTRACT, "", "dataset '%s' has a sample of class %d of %lld", q->name,
                            (int)classes[i], (long long)q->info.spec.n_classes);
        if (classes[i] >= 0 && q->to)
            classes[i] = q->to[classes[i]];
        if (q->outside)
            classes[i] = DAL_LABEL_OOD;
    }
    return DAL_OK;
}

/* What `ask` says of m samples of a part, in some[], to the places they were asked for in; `size` bytes each. */
typedef dal_status asker(part *q, uint32_t k, const int64_t *ids, int64_t m, void *some, dal_error *err);

static dal_status gather(const parts *p, uint32_t k, const int64_t *ids, int64_t n, asker *ask, size_t size, void *out,
                         dal_error *err)
{
    deal d;
    dal_status st = deal_out(p, k, ids, n, &d, err);
    char *some = st == DAL_OK ? dal_array(p->host, n, size) : NULL;
    if (st == DAL_OK && !some)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to ask for %lld samples", (long long)n);
    for (int64_t i = 0; i < p->n && st == DAL_OK; i++) {
        part *q = &p->items[i];
        const int64_t first = d.first[i], m = d.first[i + 1] - first;
        if (m == 0)
            continue;
        enter(q);
        st = ask(q, k, d.ids + first, m, some, err);
        leave(q);
        for (int64_t j = 0; j < m && st == DAL_OK; j++)
            memcpy((char *)out + (size_t)d.places[first + j] * size, some + (size_t)j * size, size);
    }
    p->host->free(p->host, some);
    free_deal(p->host, &d);
    return st;
}

static dal_status ask_classes(part *q, uint32_t k, const int64_t *ids, int64_t m, void *some, dal_error *err)
{
    const dal_status st = q->data.impl->classes(q->data.self, k, ids, m, some, err);
    return st == DAL_OK ? map_classes(q, some, m, err) : st;
}

static dal_status ask_sizes(part *q, uint32_t k, const int64_t *ids, int64_t m, void *some, dal_error *err)
{
    return DAL_HAS(dal_dataset_impl, q->data.impl, sizes)
               ? q->data.impl->sizes(q->data.self, k, ids, m, some, err)
               : dal_fail(err, DAL_E_UNSUPPORTED, "", "samples of this dataset are all of one size");
}

dal_status parts_classes(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    return gather(self, k, ids, n, ask_classes, sizeof *out, out, err);
}

dal_status parts_sizes(void *self, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    return gather(self, k, ids, n, ask_sizes, sizeof *out, out, err);
}

/* ---- samples ---------------------------------------------------------------------------------- */

static int64_t item_bytes(const dal_sample_spec *s)
{
    return s->modality == DAL_TEXT ? 1 : s->modality == DAL_SPARSE ? (int64_t)sizeof(float) : dal_sample_bytes(s);
}

static dal_status read_part(part *q, uint32_t k, const int64_t *ids, int64_t n, dal_batch *b, dal_error *err)
{
    enter(q);
    const dal_status st = q->data.impl->read(q->data.self, k, ids, n, b, err);
    leave(q);
    return st;
}

/* from [c, h, w] of the part to `to` as the whole has it; room: for either of them, twice, and what the resizer
 * wants. */
static void convert(const parts *p, const part *q, const unsigned char *from, unsigned char *to, unsigned char *room)
{
    const dal_sample_spec *a = &q->info.spec, *b = &p->info.spec;
    const int u8 = b->dtype == DAL_U8;
    const int64_t n = a->shape[1] * a->shape[2], m = b->shape[1] * b->shape[2];
    const int64_t channels = a->shape[0] < b->shape[0] ? a->shape[0] : b->shape[0]; /* fewest, while resizing */
    const size_t plane = (size_t)m * (u8 ? 1 : sizeof(float));
    if (a->shape[0] > channels) {
        if (u8)
            dal_grey_u8(from, n, room);
        else
            dal_grey_f32((const float *)(const void *)from, n, (float *)(void *)room);
        from = room;
    }
    void *scratch = room + ((size_t)dal_sample_bytes(a) + 63) / 64 * 64;
    if (!q->resizer)
        memcpy(to, from, (size_t)channels * plane);
    else if (u8)
        dal_resize_u8(q->resizer, from, channels, to, scratch);
    else
        dal_resize_f32(q->resizer, (const float *)(const void *)from, channels, (float *)(void *)to, scratch);
    for (int64_t c = channels; c < b->shape[0]; c++)
        memcpy(to + (size_t)c * plane, to, plane);
}

/* Dense samples that lie apart in `out`, or are converted, chunk by chunk. */
static dal_status read_apart(const parts *p, part *q, uint32_t k, const int64_t *ids, const int64_t *places, int64_t n,
                             dal_batch *out, dal_error *err)
{
    const dal_host *host = p->host;
    const int64_t in = dal_sample_bytes(&q->info.spec), size = dal_sample_bytes(&p->info.spec);
    int64_t room = CHUNK_BYTES / (in > 0 ? in : 1) < CHUNK ? CHUNK_BYTES / (in > 0 ? in : 1) : CHUNK;
    room = room < 1 ? 1 : room < n ? room : n;
    unsigned char *some = dal_array(host, room, (size_t)in);
    const size_t extra = q->resizer ? dal_resizer_scratch(q->resizer) : 0;
    unsigned char *scratch = q->converts ? host->alloc(host, (size_t)in + 64 + extra, 0) : NULL;
    dal_status st = some && (scratch || !q->converts)
                        ? DAL_OK
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)n);
    for (int64_t at = 0; at < n && st == DAL_OK; at += room) {
        const int64_t m = n - at < room ? n - at : room;
        dal_batch b = {sizeof b, 0, &q->info.spec, m, some, NULL, NULL};
        st = read_part(q, k, ids + at, m, &b, err);
        for (int64_t i = 0; i < m && st == DAL_OK; i++) {
            unsigned char *to = (unsigned char *)out->data + places[at + i] * size;
            if (q->converts)
                convert(p, q, some + i * in, to, scratch);
            else
                memcpy(to, some + i * in, (size_t)size);
        }
    }
    host->free(host, scratch);
    host->free(host, some);
    return st;
}

/* Texts or sparse rows that lie side by side in `out`. offsets [n + 1] is room. */
static dal_status read_ragged_together(part *q, uint32_t k, const int64_t *ids, int64_t place, int64_t n,
                                       int64_t *offsets, const dal_batch *out, dal_error *err)
{
    const int64_t begin = out->offsets[place];
    for (int64_t i = 0; i <= n; i++)
        offsets[i] = out->offsets[place + i] - begin;
    dal_batch b = {sizeof b, 0, &q->info.spec, n, (char *)out->data + begin * item_bytes(&q->info.spec), offsets,
                   out->indices ? out->indices + begin : NULL};
    return read_part(q, k, ids, n, &b, err);
}

/* Texts or sparse rows: each run of those that lie side by side is read at once. */
static dal_status read_ragged(const parts *p, part *q, uint32_t k, const int64_t *ids, const int64_t *places, int64_t n,
                              const dal_batch *out, dal_error *err)
{
    int64_t *offsets = dal_array(p->host, n + 1, sizeof *offsets);
    dal_status st = offsets ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)n);
    for (int64_t at = 0; at < n && st == DAL_OK;) {
        int64_t m = 1;
        while (at + m < n && places[at + m] == places[at] + m)
            m++;
        st = read_ragged_together(q, k, ids + at, places[at], m, offsets, out, err);
        at += m;
    }
    p->host->free(p->host, offsets);
    return st;
}

static dal_status read_some(const parts *p, part *q, uint32_t k, const int64_t *ids, const int64_t *places, int64_t n,
                            dal_batch *out, dal_error *err)
{
    if (dal_sample_bytes(&p->info.spec) == 0)
        return read_ragged(p, q, k, ids, places, n, out, err);
    if (q->converts || places[n - 1] - places[0] + 1 != n)
        return read_apart(p, q, k, ids, places, n, out, err);
    dal_batch b = {sizeof b, 0, &q->info.spec, n,
                   (char *)out->data + places[0] * dal_sample_bytes(&p->info.spec), NULL, NULL};
    return read_part(q, k, ids, n, &b, err);
}

dal_status parts_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const parts *p = self;
    deal d;
    dal_status st = deal_out(p, k, ids, n, &d, err);
    for (int64_t i = 0; i < p->n && st == DAL_OK; i++) {
        const int64_t first = d.first[i], m = d.first[i + 1] - first;
        if (m > 0)
            st = read_some(p, &p->items[i], k, d.ids + first, d.places + first, m, out, err);
    }
    free_deal(p->host, &d);
    return st;
}

/* ---- the other slots -------------------------------------------------------------------------- */

dal_status parts_info(void *self, dal_dataset_info *info, dal_error *err)
{
    const uint32_t size = info->struct_size;
    (void)err;
    *info = ((const parts *)self)->info;
    info->struct_size = size;
    return DAL_OK;
}

/* As the part names it; behind "idx:" where it is not of the dataset below. */
void parts_describe(void *self, uint32_t k, int64_t id, char *out, size_t size)
{
    const parts *p = self;
    if (dal_check_ids(p->info.n[k], &id, 1, NULL) != DAL_OK) {
        snprintf(out, size, "%lld", (long long)id);
        return;
    }
    part *q = &p->items[part_of(p, k, &id)];
    size_t at = *q->name ? (size_t)snprintf(out, size, "%s:", q->name) : 0;
    if (at >= size)
        return;
    if (!DAL_HAS(dal_dataset_impl, q->data.impl, describe)) {
        snprintf(out + at, size - at, "%lld", (long long)id);
        return;
    }
    enter(q);
    q->data.impl->describe(q->data.self, k, id, out + at, size - at);
    leave(q);
}

dal_status parts_groups(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const parts *p = self;
    const dal_status st = dal_check_ids(p->info.n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        int64_t id = ids[i];
        out[i] = (int32_t)part_of(p, k, &id);
    }
    return st;
}

dal_status parts_fingerprint(void *self, uint64_t out[2], dal_error *err)
{
    const parts *p = self;
    dal_status st = DAL_OK;
    out[0] = out[1] = (uint64_t)p->n;
    for (int64_t i = 0; i < p->n && st == DAL_OK; i++) {
        const part *q = &p->items[i];
        uint64_t own[2] = {0, 0};
        if (!DAL_HAS(dal_dataset_impl, q->data.impl, fingerprint))
            return DAL_E_UNSUPPORTED;
        st = q->data.impl->fingerprint(q->data.self, own, err);
        out[0] = dal_hash64(out[0], own, sizeof own);
        out[0] = dal_hash64(out[0], q->n, sizeof q->n);
        if (q->to)
            out[0] = dal_hash64(out[0] + 1, q->to, (size_t)q->info.spec.n_classes * sizeof *q->to);
        out[1] = dal_hash64(out[1] + (uint64_t)(q->outside != 0), out, sizeof *out);
    }
    return st;
}
