#include "text_waves.h"

#define WAVE_TEXTS 2048 /* texts in memory at once, */
#define WAVE_BYTES ((int64_t)16 << 20) /* or so many bytes of them */
#define TASK 32 /* texts worked on by one thread in one go */

typedef struct room {
    text_wave w;
    int64_t offsets[WAVE_TEXTS + 1];
    char *data;
} room;

/* Texts from first on, as many as fit. One thread reads, since the input may take only one. */
static dal_status read_wave(const dal_derived *d, uint32_t split, int64_t first, room *r, dal_error *err)
{
    const dal_dataset *in = d->input;
    const int64_t left = d->below.n[split] - first, most = left < WAVE_TEXTS ? left : WAVE_TEXTS;
    int64_t ids[WAVE_TEXTS] = {0}, n = 0, *offsets = r->offsets;
    for (int64_t i = 0; i < most; i++)
        ids[i] = first + i;
    dal_status st = in->impl->sizes(in->self, split, ids, most, offsets + 1, err);
    offsets[0] = 0;
    for (; st == DAL_OK && n < most && (n == 0 || offsets[n] + offsets[n + 1] <= WAVE_BYTES); n++) {
        if (offsets[n + 1] < 0 || offsets[n + 1] > INT32_MAX)
            return dal_fail(err, DAL_E_CONTRACT, "", "the dataset says text %lld has %lld bytes", (long long)ids[n],
                            (long long)offsets[n + 1]);
        offsets[n + 1] += offsets[n];
    }
    if (st != DAL_OK)
        return st;
    d->host->free(d->host, r->data);
    r->data = dal_array(d->host, offsets[n], 1);
    if (!r->data)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for texts of %lld bytes", (long long)offsets[n]);
    r->w = (text_wave){d->host, first, n, offsets, r->data};
    dal_batch b = {sizeof b, 0, &d->below.spec, n, r->data, offsets, NULL};
    return in->impl->read(in->self, split, ids, n, &b, err);
}

dal_status text_waves(const dal_derived *d, uint32_t split, const char *what,
                      dal_status (*use)(void *ctx, const text_wave *w, dal_error *err), void *ctx, dal_error *err)
{
    const dal_host *host = d->host;
    const int64_t n = d->below.n[split];
    dal_status st = DAL_OK;
    room *r = host->alloc(host, sizeof *r, 0);
    if (!r)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for texts");
    r->data = NULL;
    for (int64_t first = 0; first < n && st == DAL_OK; first += r->w.n) {
        st = read_wave(d, split, first, r, err);
        if (st == DAL_OK)
            st = use(ctx, &r->w, err);
        if (st == DAL_OK && host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, "", "stopped while %s", what);
        host->progress(host, first, n, what);
    }
    host->free(host, r->data);
    host->free(host, r);
    return st;
}

typedef struct job {
    const text_wave *w;
    dal_status (*work)(void *ctx, const text_wave *w, int64_t from, int64_t to, dal_error *err);
    void *ctx;
    dal_error errs[(WAVE_TEXTS + TASK - 1) / TASK];
} job;

static dal_status one_task(void *ctx, int64_t i)
{
    job *j = ctx;
    const int64_t from = i * TASK, to = from + TASK < j->w->n ? from + TASK : j->w->n;
    return j->work(j->ctx, j->w, from, to, &j->errs[i]);
}

dal_status text_wave_parallel(const text_wave *w,
                              dal_status (*work)(void *ctx, const text_wave *w, int64_t from, int64_t to,
                                                 dal_error *err),
                              void *ctx, dal_error *err)
{
    const dal_host *host = w->host;
    const int64_t tasks = (w->n + TASK - 1) / TASK;
    job *j = host->alloc(host, sizeof *j, 0);
    if (!j)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for texts");
    j->w = w;
    j->work = work;
    j->ctx = ctx;
    for (int64_t i = 0; i < tasks; i++)
        j->errs[i] = (dal_error)DAL_ERROR_INIT;
    const dal_status st = host->parallel_for(host, tasks, one_task, j);
    for (int64_t i = 0; i < tasks && st != DAL_OK && err; i++)
        if (j->errs[i].status != DAL_OK) {
            *err = j->errs[i];
            break;
        }
    host->free(host, j);
    return st;
}
