#include "dataset/examine.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "util/text.h"

const char *const split_words[DAL_SPLITS] = {"train", "validation", "test"};

enum { MOST_SAMPLES = 256 };

typedef struct job {
    source *source;
    const dal_host *host;
    uint32_t split;
    int64_t n, block, before, total; /* before: samples of the splits that are done */
    atomic_llong done;
    pthread_mutex_t lock;
    int64_t first_fault; /* id, or -1 */
    dal_error fault;
} job;

/* What a sample of this kind cannot be. Sample i of the batch. */
static dal_status look(const dal_batch *b, int64_t i, dal_error *err)
{
    const dal_sample_spec *spec = b->spec;
    if (spec->modality == DAL_TEXT) {
        size_t at = 0;
        if (!utf8_valid((const char *)b->data + b->offsets[i], (size_t)(b->offsets[i + 1] - b->offsets[i]), &at))
            return dal_fail(err, DAL_E_FORMAT, "", "the text is not UTF-8 at byte %zu", at);
        return DAL_OK;
    }
    if (spec->dtype != DAL_F32)
        return DAL_OK;
    const bool sparse = spec->modality == DAL_SPARSE;
    const int64_t from = sparse ? b->offsets[i] : i * dal_sample_values(spec);
    const int64_t to = sparse ? b->offsets[i + 1] : from + dal_sample_values(spec);
    for (int64_t k = from; k < to; k++) {
        if (!isfinite(((const float *)b->data)[k]))
            return dal_fail(err, DAL_E_FORMAT, "", "value %lld is not finite", (long long)(k - from));
        if (sparse && (b->indices[k] < 0 || b->indices[k] >= spec->shape[0] ||
                       (k > from && b->indices[k] <= b->indices[k - 1])))
            return dal_fail(err, DAL_E_CONTRACT, "", "column %d of value %lld; expected them ascending in 0..%lld",
                            b->indices[k], (long long)(k - from), (long long)spec->shape[0] - 1);
    }
    return DAL_OK;
}

/* Reads samples first..first+n-1; *bad is the first that is faulty. */
static dal_status read_some(job *j, batch_buffer *buffer, int64_t first, int64_t n, int64_t *bad, dal_error *err)
{
    int64_t ids[MOST_SAMPLES] = {0}, rows[MOST_SAMPLES] = {0};
    for (int64_t i = 0; i < n; i++) {
        ids[i] = first + i;
        rows[i] = i;
    }
    dal_samples *list = source_samples(j->source, j->split, ids, NULL, NULL, n);
    dal_status st = batch_read(buffer, list, rows, n, err);
    free(list);
    *bad = first;
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        st = look(&buffer->batch, i, err);
        *bad = first + i;
    }
    return st;
}

static void note_fault(job *j, int64_t id, const dal_error *err)
{
    pthread_mutex_lock(&j->lock);
    if (j->first_fault < 0 || id < j->first_fault) {
        j->first_fault = id;
        j->fault = *err;
    }
    pthread_mutex_unlock(&j->lock);
}

static dal_status read_block(void *ctx, int64_t k)
{
    job *j = ctx;
    batch_buffer buffer = {0};
    dal_error err = DAL_ERROR_INIT;
    const int64_t first = k * j->block, n = j->n - first < j->block ? j->n - first : j->block;
    int64_t bad = first;
    dal_status st = read_some(j, &buffer, first, n, &bad, &err);
    if (st != DAL_OK && bad == first && n > 1) /* which of them? */
        for (int64_t i = 0; i < n; i++) {
            dal_error one = DAL_ERROR_INIT;
            if (read_some(j, &buffer, first + i, 1, &bad, &one) != DAL_OK) {
                err = one;
                break;
            }
        }
    if (st != DAL_OK)
        note_fault(j, bad, &err);
    batch_free(&buffer);
    const int64_t done = atomic_fetch_add(&j->done, n) + n;
    j->host->progress(j->host, j->before + done, j->total, "samples");
    if (st == DAL_OK && j->host->cancelled(j->host))
        st = DAL_E_CANCELLED;
    return st;
}

/* About 4 MiB of samples a block. */
static int64_t block_size(const dal_sample_spec *spec)
{
    const int64_t bytes = dal_sample_bytes(spec), n = bytes > 0 ? ((int64_t)4 << 20) / bytes : MOST_SAMPLES;
    return n < 1 ? 1 : n > MOST_SAMPLES ? MOST_SAMPLES : n;
}

dal_status examine(source *s, const dal_host *host, examination *out, dal_error *err)
{
    *out = (examination){.fault = DAL_ERROR_INIT};
    job j = {.source = s, .host = host, .first_fault = -1, .block = block_size(&s->info.spec)};
    for (uint32_t split = 0; split < DAL_SPLITS; split++)
        j.total += s->info.n[split];
    pthread_mutex_init(&j.lock, NULL);
    dal_status st = DAL_OK;
    for (uint32_t split = 0; st == DAL_OK && split < DAL_SPLITS; split++) {
        j.split = split;
        j.n = s->info.n[split];
        atomic_store(&j.done, 0);
        st = host->parallel_for(host, (j.n + j.block - 1) / j.block, read_block, &j);
        out->n += atomic_load(&j.done);
        j.before += j.n;
        if (j.first_fault >= 0) {
            out->faulty = true;
            out->split = split;
            out->id = j.first_fault;
            out->fault = j.fault;
            source_describe(s, split, j.first_fault, out->where, sizeof out->where);
            st = DAL_OK;
            break;
        }
    }
    pthread_mutex_destroy(&j.lock);
    return st == DAL_E_CANCELLED ? dal_fail(err, st, "", "interrupted") : st;
}
