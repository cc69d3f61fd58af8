#include "value_map.h"

#define CHUNK 256 /* samples read from below at once, at most, */
#define CHUNK_BYTES ((int64_t)64 << 20) /* of no more than this */
#define TASKS 32

/* One chunk: `to` and `from` of its first sample. */
typedef struct chunk {
    const value_map *m;
    uint32_t split;
    const int64_t *ids;
    int64_t n, step;
    const unsigned char *from;
    unsigned char *to;
    dal_error errs[TASKS];
} chunk;

static dal_status map_some(void *ctx, int64_t task)
{
    chunk *c = ctx;
    const value_map *m = c->m;
    const dal_host *host = m->base.host;
    const int64_t in = dal_sample_bytes(&m->base.below.spec), out = dal_sample_bytes(&m->base.info.spec);
    const int64_t first = task * c->step, end = first + c->step < c->n ? first + c->step : c->n;
    void *scratch = host->alloc(host, m->scratch > 0 ? m->scratch : 1, 0);
    dal_status st = DAL_OK;
    if (!scratch)
        return dal_fail(&c->errs[task], DAL_E_NOMEM, "", "no memory to transform a sample");
    for (int64_t i = first; i < end && st == DAL_OK; i++)
        st = m->map(m, c->split, c->ids[i], c->from + i * in, c->to + i * out, scratch, &c->errs[task]);
    host->free(host, scratch);
    return st;
}

static dal_status map_chunk(chunk *c, dal_error *err)
{
    const dal_host *host = c->m->base.host;
    c->step = (c->n + TASKS - 1) / TASKS;
    const int64_t tasks = (c->n + c->step - 1) / c->step;
    for (int64_t i = 0; i < tasks; i++)
        c->errs[i] = (dal_error)DAL_ERROR_INIT;
    const dal_status st = host->parallel_for(host, tasks, map_some, c);
    for (int64_t i = 0; i < tasks && st != DAL_OK; i++)
        if (c->errs[i].status != DAL_OK) {
            if (err)
                *err = c->errs[i];
            return c->errs[i].status;
        }
    return st;
}

dal_status value_map_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const value_map *m = self;
    const dal_host *host = m->base.host;
    const dal_dataset *below = m->base.input;
    const int64_t in = dal_sample_bytes(&m->base.below.spec), size = dal_sample_bytes(&m->base.info.spec);
    int64_t room = CHUNK_BYTES / in < CHUNK ? CHUNK_BYTES / in : CHUNK;
    room = room < 1 ? 1 : room < n ? room : n;
    dal_status st = dal_check_ids(m->base.info.n[k], ids, n, err);
    if (st != DAL_OK || n == 0)
        return st;
    unsigned char *from = dal_array(host, room, (size_t)in);
    chunk *c = host->alloc(host, sizeof *c, 0);
    if (!from || !c)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)n);
    for (int64_t at = 0; at < n && st == DAL_OK; at += room) {
        const int64_t here = n - at < room ? n - at : room;
        dal_batch b = {sizeof b, 0, &m->base.below.spec, here, from, NULL, NULL};
        st = below->impl->read(below->self, k, ids + at, here, &b, err);
        *c = (chunk){.m = m, .split = k, .ids = ids + at, .n = here, .from = from,
                     .to = (unsigned char *)out->data + at * size};
        if (st == DAL_OK)
            st = map_chunk(c, err);
    }
    host->free(host, c);
    host->free(host, from);
    return st;
}

dal_status value_map_fingerprint(const value_map *self, const void *what, size_t n, uint64_t out[2], dal_error *err)
{
    const dal_dataset *in = self->base.input;
    if (!DAL_HAS(dal_dataset_impl, in->impl, fingerprint))
        return DAL_E_UNSUPPORTED;
    const dal_status st = in->impl->fingerprint(in->self, out, err);
    if (st == DAL_OK) {
        out[0] = dal_hash64(out[0], what, n);
        out[1] = dal_hash64(out[1] + 1, what, n);
    }
    return st;
}
