#include "image_set.h"

#include <dal/image.h>
#include <pthread.h>

#include "image_codec.h"

#define MAX_FILE ((int64_t)1 << 30) /* encoded bytes of one picture */
#define MOST_SAMPLES ((int64_t)1 << 31)
#define LOOK 64                     /* pictures looked at by one task, */
#define WAVE 64                     /* so many tasks at a time */
#define LOCKS 64
#define PLACE 1024

/* ---- cache ------------------------------------------------------------------------------------ */

/* Slot i holds the sample tags[i] - 1 (numbered through all splits), or none; sample j may only be in slot j % n.
 * Reading all of a pool that does not fit again and again then still finds a part of it, which a list of the last ones
 * would not. A lock guards every LOCKS-th slot. */
struct image_cache {
    int64_t n, bytes;
    unsigned char *data;
    int64_t *tags;
    pthread_mutex_t locks[LOCKS];
};

static dal_status open_cache(image_set *s, int64_t bytes, dal_error *err)
{
    const int64_t sample = dal_sample_bytes(&s->spec);
    int64_t all = 0, n = bytes / sample;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        all += s->splits[k].n;
    n = n < all ? n : all;
    if (n == 0)
        return DAL_OK;
    image_cache *c = s->cache = s->host->alloc(s->host, sizeof *c, 0);
    if (!c)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *c = (image_cache){.n = n, .bytes = sample};
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_init(&c->locks[i], NULL);
    c->data = dal_array(s->host, n, (size_t)sample);
    c->tags = dal_array(s->host, n, sizeof *c->tags);
    if (!c->data || !c->tags)
        return dal_fail(err, DAL_E_NOMEM, "cache", "no memory for a cache of %lld samples of %lld bytes; say less",
                        (long long)n, (long long)sample);
    memset(c->tags, 0, (size_t)n * sizeof *c->tags);
    return DAL_OK;
}

static void close_cache(const dal_host *host, image_cache *c)
{
    if (!c)
        return;
    for (int i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&c->locks[i]);
    host->free(host, c->data);
    host->free(host, c->tags);
    host->free(host, c);
}

static int take_cached(image_cache *c, int64_t number, unsigned char *out)
{
    if (!c)
        return 0;
    const int64_t slot = number % c->n;
    pthread_mutex_t *lock = &c->locks[slot % LOCKS];
    pthread_mutex_lock(lock);
    const int there = c->tags[slot] == number + 1;
    if (there)
        memcpy(out, c->data + slot * c->bytes, (size_t)c->bytes);
    pthread_mutex_unlock(lock);
    return there;
}

static void keep_cached(image_cache *c, int64_t number, const unsigned char *data)
{
    if (!c)
        return;
    const int64_t slot = number % c->n;
    pthread_mutex_t *lock = &c->locks[slot % LOCKS];
    pthread_mutex_lock(lock);
    memcpy(c->data + slot * c->bytes, data, (size_t)c->bytes);
    c->tags[slot] = number + 1;
    pthread_mutex_unlock(lock);
}

/* The number of a sample through all splits. */
static int64_t number_of(const image_set *s, uint32_t k, int64_t id)
{
    for (uint32_t i = 0; i < k; i++)
        id += s->splits[i].n;
    return id;
}

/* ---- files ------------------------------------------------------------------------------------ */

dal_status image_set_add(image_set *s, uint32_t k, int64_t file, int32_t cls, dal_error *err)
{
    image_split *p = &s->splits[k];
    if (p->n == p->room) {
        const int64_t room = p->room > 0 ? 2 * p->room : 1024;
        image_ref *refs = room < MOST_SAMPLES ? dal_array(s->host, room, sizeof *refs) : NULL;
        if (!refs)
            return dal_fail(err, DAL_E_NOMEM, p->key, "no memory for a list of %lld samples", (long long)room);
        if (p->n > 0)
            memcpy(refs, p->refs, (size_t)p->n * sizeof *refs);
        s->host->free(s->host, p->refs);
        p->refs = refs;
        p->room = room;
    }
    p->refs[p->n++] = (image_ref){file, cls, DAL_GROUP_NONE};
    return DAL_OK;
}

/* The first n bytes of a sample's file, freshly allocated into *data. */
static dal_status fetch(const image_set *s, const image_split *p, int64_t file, int64_t n, unsigned char **data,
                        dal_error *err)
{
    *data = dal_array(s->host, n, 1);
    if (!*data)
        return dal_fail(err, DAL_E_NOMEM, p->key, "no memory for %lld bytes of a picture", (long long)n);
    const dal_status st = dal_files_read(p->files, file, *data, n, err);
    if (st != DAL_OK) {
        s->host->free(s->host, *data);
        *data = NULL;
    }
    return st;
}

static dal_status check_size(const image_split *p, const char *place, int64_t size, dal_error *err)
{
    return size <= MAX_FILE ? DAL_OK
                            : dal_fail(err, DAL_E_OVERFLOW, p->key, "%s: %lld bytes, expected at most 1 GiB", place,
                                       (long long)size);
}

/* What the header of sample id says: of its first bytes, or if these do not tell, of all. */
static dal_status look(const image_set *s, const image_split *p, int64_t id, image_info *info, dal_error *err)
{
    const int64_t file = p->refs[id].file, size = dal_files_size(p->files, file);
    char place[PLACE];
    dal_files_place(p->files, file, place, sizeof place);
    dal_status st = check_size(p, place, size, err);
    int more = 1;
    for (int64_t n = size < IMAGE_HEAD ? size : IMAGE_HEAD; st == DAL_OK && more; n = size) {
        unsigned char *data;
        st = fetch(s, p, file, n, &data, err);
        if (st != DAL_OK)
            break;
        const image_bytes b = {data, n, size, place, p->key};
        st = image_look(&b, info, &more, err);
        s->host->free(s->host, data);
    }
    return st;
}

/* ---- settling --------------------------------------------------------------------------------- */

/* A look at the pictures first * LOOK ... of a split. */
typedef struct survey {
    const image_set *s;
    uint32_t split;
    int64_t first; /* task of the wave */
    image_info one; /* the first picture of all: what others are like */
    int one_size;   /* all must be of its size */
    int64_t one_id;
    uint32_t one_split;
    int colour[WAVE];
    dal_error *errs; /* [WAVE] */
} survey;

static dal_status odd_size(const survey *v, int64_t id, const image_info *info, dal_error *err)
{
    const image_split *p = &v->s->splits[v->split], *q = &v->s->splits[v->one_split];
    char place[PLACE / 4], other[PLACE / 4];
    dal_files_place(p->files, p->refs[id].file, place, sizeof place);
    dal_files_place(q->files, q->refs[v->one_id].file, other, sizeof other);
    return dal_fail(err, DAL_E_INVALID, p->key,
                    "%s: %lld x %lld pixels, but %s has %lld x %lld; say size: [%lld, %lld] to resize all", place,
                    (long long)info->height, (long long)info->width, other, (long long)v->one.height,
                    (long long)v->one.width, (long long)v->one.height, (long long)v->one.width);
}

static dal_status look_at_some(void *ctx, int64_t task)
{
    survey *v = ctx;
    const image_split *p = &v->s->splits[v->split];
    const int64_t from = (v->first + task) * LOOK, to = from + LOOK < p->n ? from + LOOK : p->n;
    dal_error *err = &v->errs[task];
    dal_status st = DAL_OK;
    if (v->s->host->cancelled(v->s->host))
        return dal_fail(err, DAL_E_CANCELLED, p->key, "stopped while looking at the pictures");
    for (int64_t id = from; id < to && st == DAL_OK; id++) {
        image_info info = {0};
        st = look(v->s, p, id, &info, err);
        if (st == DAL_OK && v->one_size && (info.height != v->one.height || info.width != v->one.width))
            st = odd_size(v, id, &info, err);
        v->colour[task] |= info.channels == 3;
    }
    return st;
}

/* The complaint of the lowest task, wherever it came in time. */
static dal_status first_complaint(const dal_error *errs, int64_t n, dal_status st, dal_error *err)
{
    for (int64_t i = 0; i < n; i++)
        if (errs[i].status != DAL_OK) {
            if (err)
                *err = errs[i];
            return errs[i].status;
        }
    return st;
}

static dal_status survey_split(survey *v, int *colour, dal_error *err)
{
    const dal_host *host = v->s->host;
    const int64_t tasks = (v->s->splits[v->split].n + LOOK - 1) / LOOK;
    dal_status st = DAL_OK;
    for (v->first = 0; v->first < tasks && st == DAL_OK; v->first += WAVE) {
        const int64_t n = tasks - v->first < WAVE ? tasks - v->first : WAVE;
        for (int64_t i = 0; i < n; i++) {
            v->errs[i] = (dal_error)DAL_ERROR_INIT;
            v->colour[i] = 0;
        }
        st = host->parallel_for(host, n, look_at_some, v);
        if (st != DAL_OK)
            st = first_complaint(v->errs, n, st, err);
        for (int64_t i = 0; i < n; i++)
            *colour |= v->colour[i];
        host->progress(host, v->first + n, tasks, "looking at the pictures");
    }
    return st;
}

/* The first sample of all is what others are compared with. */
static dal_status take_first(survey *v, dal_error *err)
{
    while (v->one_split < DAL_SPLITS && v->s->splits[v->one_split].n == 0)
        v->one_split++;
    if (v->one_split == DAL_SPLITS)
        return dal_fail(err, DAL_E_INVALID, "", "there are no pictures");
    return look(v->s, &v->s->splits[v->one_split], 0, &v->one, err);
}

dal_status image_set_settle(image_set *s, const image_options *o, dal_error *err)
{
    survey v = {.s = s, .one_size = o->size.n == 0};
    int colour = 0, others = 0;
    if (o->size.n != 0 && o->size.n != 2)
        return dal_fail(err, DAL_E_INVALID, "size", "%lld numbers; expected [height, width]", (long long)o->size.n);
    if (o->size.n == 2 && o->size.items[0] * o->size.items[1] > IMAGE_MAX_PIXELS)
        return dal_fail(err, DAL_E_OVERFLOW, "size", "%lld x %lld pixels, expected at most %d million",
                        (long long)o->size.items[0], (long long)o->size.items[1], (int)(IMAGE_MAX_PIXELS >> 20));
    dal_status st = take_first(&v, err);
    v.errs = st == DAL_OK ? dal_array(s->host, WAVE, sizeof *v.errs) : NULL;
    if (st == DAL_OK && !v.errs)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    for (v.split = 0; v.split < DAL_SPLITS && st == DAL_OK; v.split++)
        st = survey_split(&v, v.split == DAL_SPLIT_TRAIN ? &colour : &others, err);
    s->host->free(s->host, v.errs);
    if (st != DAL_OK)
        return st;
    const int wants_colour = o->channels == CHANNELS_COLOUR || (o->channels == CHANNELS_AUTO && colour);
    s->resizes = o->size.n == 2;
    s->spec = (dal_sample_spec){sizeof s->spec, DAL_IMAGE, DAL_U8, 3, {wants_colour ? 3 : 1}, 0};
    s->spec.shape[1] = s->resizes ? o->size.items[0] : v.one.height;
    s->spec.shape[2] = s->resizes ? o->size.items[1] : v.one.width;
    return open_cache(s, o->cache, err);
}

void image_set_free(image_set *s)
{
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        s->host->free(s->host, s->splits[k].refs);
    close_cache(s->host, s->cache);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static dal_status resize(const image_set *s, const image_info *info, const unsigned char *from, unsigned char *out,
                         dal_error *err)
{
    dal_resizer *r = NULL;
    dal_status st = dal_resizer_new(s->host, info->height, info->width, s->spec.shape[1], s->spec.shape[2], &r, err);
    void *scratch = st == DAL_OK ? s->host->alloc(s->host, dal_resizer_scratch(r), 0) : NULL;
    if (scratch)
        dal_resize_u8(r, from, info->channels, out, scratch);
    else if (st == DAL_OK)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to resize images");
    s->host->free(s->host, scratch);
    dal_resizer_free(r);
    return st;
}

static dal_status decode(const image_set *s, const image_bytes *b, unsigned char *out, dal_error *err)
{
    image_info info = {0};
    int more;
    dal_status st = image_look(b, &info, &more, err);
    if (st != DAL_OK)
        return st;
    info.channels = (int)s->spec.shape[0];
    if (info.height == s->spec.shape[1] && info.width == s->spec.shape[2])
        return image_decode(s->host, b, &info, out, err);
    if (!s->resizes)
        return dal_fail(err, DAL_E_IO, b->key, "%s: it has changed: %lld x %lld pixels, expected %lld x %lld", b->place,
                        (long long)info.height, (long long)info.width, (long long)s->spec.shape[1],
                        (long long)s->spec.shape[2]);
    unsigned char *whole = dal_array(s->host, info.height * info.width * info.channels, 1);
    if (!whole)
        return dal_fail(err, DAL_E_NOMEM, b->key, "%s: no memory to decode it", b->place);
    st = image_decode(s->host, b, &info, whole, err);
    if (st == DAL_OK)
        st = resize(s, &info, whole, out, err);
    s->host->free(s->host, whole);
    return st;
}

static dal_status read_one(const image_set *s, uint32_t k, int64_t id, unsigned char *out, dal_error *err)
{
    const image_split *p = &s->splits[k];
    const int64_t file = p->refs[id].file, size = dal_files_size(p->files, file), number = number_of(s, k, id);
    char place[PLACE];
    unsigned char *data;
    if (take_cached(s->cache, number, out))
        return DAL_OK;
    dal_files_place(p->files, file, place, sizeof place);
    dal_status st = fetch(s, p, file, size, &data, err);
    if (st != DAL_OK)
        return st;
    const image_bytes b = {data, size, size, place, p->key};
    st = decode(s, &b, out, err);
    s->host->free(s->host, data);
    if (st == DAL_OK)
        keep_cached(s->cache, number, out);
    return st;
}

/* A request cut into tasks of `block` samples, WAVE of them at a time. */
typedef struct request {
    const image_set *s;
    uint32_t split;
    const int64_t *ids;
    int64_t n, block, first;
    unsigned char *out;
    dal_error *errs; /* [WAVE] */
} request;

static dal_status read_some(void *ctx, int64_t task)
{
    const request *q = ctx;
    const int64_t from = (q->first + task) * q->block, to = from + q->block < q->n ? from + q->block : q->n;
    dal_status st = DAL_OK;
    for (int64_t i = from; i < to && st == DAL_OK; i++)
        st = read_one(q->s, q->split, q->ids[i], q->out + i * dal_sample_bytes(&q->s->spec), &q->errs[task]);
    return st;
}

static dal_status read_all(request *q, dal_error *err)
{
    const dal_host *host = q->s->host;
    const int64_t tasks = (q->n + q->block - 1) / q->block;
    dal_status st = DAL_OK;
    for (q->first = 0; q->first < tasks && st == DAL_OK; q->first += WAVE) {
        const int64_t n = tasks - q->first < WAVE ? tasks - q->first : WAVE;
        for (int64_t i = 0; i < n; i++)
            q->errs[i] = (dal_error)DAL_ERROR_INIT;
        st = host->parallel_for(host, n, read_some, q);
        if (st != DAL_OK)
            st = first_complaint(q->errs, n, st, err);
    }
    return st;
}

dal_status image_set_read(const image_set *s, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out,
                          dal_error *err)
{
    dal_status st = dal_check_ids(s->splits[k].n, ids, n, err);
    if (st != DAL_OK || n == 0)
        return st;
    if (n == 1)
        return read_one(s, k, ids[0], out->data, err);
    /* some 16,000 pixels are work enough for a task */
    request q = {.s = s, .split = k, .ids = ids, .n = n, .out = out->data};
    q.block = 1 + 16384 / (s->spec.shape[1] * s->spec.shape[2]);
    q.block = q.block > 16 ? 16 : q.block;
    q.errs = dal_array(s->host, WAVE, sizeof *q.errs);
    if (!q.errs)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)n);
    st = read_all(&q, err);
    s->host->free(s->host, q.errs);
    return st;
}

dal_status image_set_classes(const image_set *s, uint32_t k, const int64_t *ids, int64_t n, int32_t *out,
                             dal_error *err)
{
    const dal_status st = dal_check_ids(s->splits[k].n, ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        out[i] = s->splits[k].refs[ids[i]].cls;
    return st;
}

dal_status image_set_groups(const image_set *s, uint32_t k, const int64_t *ids, int64_t n, int32_t *out,
                            dal_error *err)
{
    const dal_status st = dal_check_ids(s->splits[k].n, ids, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        out[i] = s->splits[k].refs[ids[i]].group;
    return st;
}

void image_set_describe(const image_set *s, uint32_t k, int64_t id, char *out, size_t size)
{
    const image_split *p = &s->splits[k];
    if (id < 0 || id >= p->n)
        snprintf(out, size, "%lld", (long long)id);
    else
        snprintf(out, size, "%s", dal_files_name(p->files, p->refs[id].file));
}

dal_status image_set_fingerprint(const image_set *s, uint64_t out[2], dal_error *err)
{
    enum { LOOKED_INTO = 1024 };
    dal_status st = DAL_OK;
    out[0] = dal_hash64(s->spec.dtype, s->spec.shape, sizeof s->spec.shape);
    out[1] = (uint64_t)s->resizes;
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++) {
        const image_split *p = &s->splits[k];
        const int64_t step = 1 + p->n / LOOKED_INTO;
        for (int64_t i = 0; i < p->n && st == DAL_OK; i++) {
            const char *name = dal_files_name(p->files, p->refs[i].file);
            const int64_t facts[] = {k, dal_files_size(p->files, p->refs[i].file), p->refs[i].cls};
            unsigned char *data;
            out[0] = dal_hash64(dal_hash64(out[0], name, strlen(name)), facts, sizeof facts);
            if (i % step != 0)
                continue;
            st = fetch(s, p, p->refs[i].file, facts[1], &data, err);
            if (st != DAL_OK)
                break;
            out[1] = dal_hash64(out[1], data, (size_t)facts[1]);
            s->host->free(s->host, data);
        }
    }
    return st;
}
