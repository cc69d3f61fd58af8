#include "pipeline/evaluate.h"

#include <math.h>
#include <stdlib.h>

#include "util/text.h"

#define BLOCK 256

void metrics_from_counts(const class_counts *counts, int64_t c, double log_loss_sum, round_metrics *m,
                         double *recall)
{
    int64_t total = 0, right = 0, with_truth = 0, occurring = 0;
    double recalls = 0, f1s = 0;
    for (int64_t k = 0; k < c; k++) {
        const class_counts n = counts[k];
        total += n.truth;
        right += n.hit;
        recall[k] = n.truth > 0 ? (double)n.hit / (double)n.truth : (double)NAN;
        if (n.truth > 0) {
            recalls += recall[k];
            with_truth++;
        }
        if (n.truth + n.predicted > 0) { /* 2PR/(P+R) = 2 hit / (truth + predicted) */
            f1s += 2.0 * (double)n.hit / (double)(n.truth + n.predicted);
            occurring++;
        }
    }
    m->accuracy = total ? (double)right / (double)total : (double)NAN;
    m->balanced_accuracy = with_truth ? recalls / (double)with_truth : (double)NAN;
    m->macro_f1 = occurring ? f1s / (double)occurring : (double)NAN;
    m->log_loss = total ? log_loss_sum / (double)total : (double)NAN;
    m->recall = recall;
    m->n_classes = c;
}

typedef struct evaluation {
    model_provider *p;
    uint32_t split;
    int64_t n;
    int32_t *predicted; /* [n] */
    double *losses;     /* [blocks] */
    pthread_mutex_t lock;
    scratch *free_scratch;
    dal_error error;
    int64_t failed_block;
} evaluation;

static double sample_loss(const float *z, int64_t c, int32_t truth, uint32_t kind)
{
    if (kind == DAL_PROBS)
        return -log(fmax((double)z[truth], 1e-15));
    double max = (double)z[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        max = fmax(max, (double)z[k]);
    for (int64_t k = 0; k < c; k++)
        sum += exp((double)z[k] - max);
    return fmin(max + log(sum) - (double)z[truth], -log(1e-15));
}

static int32_t argmax(const float *z, int64_t c)
{
    int32_t best = 0;
    for (int64_t k = 1; k < c; k++)
        if (z[k] > z[best])
            best = (int32_t)k;
    return best;
}

static dal_status predict_block(evaluation *e, int64_t block, scratch *s, dal_error *err)
{
    const int64_t first = block * BLOCK, n = e->n - first < BLOCK ? e->n - first : BLOCK;
    const int64_t c = e->p->base.n_classes;
    const int32_t *truth = e->p->source->classes[e->split] + first;
    int64_t ids[BLOCK], rows[BLOCK];
    for (int64_t i = 0; i < n; i++) {
        ids[i] = first + i;
        rows[i] = i;
    }
    float *z = floats_reserve(&s->outputs, n, c, 1, err);
    dal_samples *list = source_samples(e->p->source, e->split, ids, NULL, NULL, n);
    dal_status st = z ? batch_read(&s->batch, list, rows, n, err) : DAL_E_NOMEM;
    free(list);
    if (st == DAL_OK)
        st = model_predict(e->p, &s->batch.batch, z, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        e->predicted[first + i] = argmax(z + i * c, c);
        if (truth[i] >= 0)
            e->losses[block] += sample_loss(z + i * c, c, truth[i], e->p->base.output_kind);
    }
    return st;
}

static dal_status evaluate_block(void *ctx, int64_t block)
{
    evaluation *e = ctx;
    const dal_host *h = e->p->base.host;
    if (h->cancelled(h))
        return DAL_E_CANCELLED;
    pthread_mutex_lock(&e->lock);
    scratch *s = e->free_scratch;
    if (s)
        e->free_scratch = s->next;
    pthread_mutex_unlock(&e->lock);
    if (!s)
        s = xcalloc(1, sizeof *s);
    dal_error err = DAL_ERROR_INIT;
    const dal_status st = predict_block(e, block, s, &err);
    pthread_mutex_lock(&e->lock);
    s->next = e->free_scratch;
    e->free_scratch = s;
    if (st != DAL_OK && block < e->failed_block) {
        e->failed_block = block;
        e->error = err;
    }
    pthread_mutex_unlock(&e->lock);
    return st;
}

dal_status evaluate_split(model_provider *p, uint32_t split, round_metrics *m, double *recall, dal_error *err)
{
    const int64_t n = p->source->info.n[split], c = p->base.n_classes, blocks = (n + BLOCK - 1) / BLOCK;
    evaluation e = {.p = p, .split = split, .n = n, .error = DAL_ERROR_INIT, .failed_block = INT64_MAX};
    e.predicted = xcalloc((size_t)n, sizeof *e.predicted);
    e.losses = xcalloc((size_t)blocks, sizeof *e.losses);
    pthread_mutex_init(&e.lock, NULL);
    dal_status st = p->base.host->parallel_for(p->base.host, blocks, evaluate_block, &e);
    if (st == DAL_OK) {
        class_counts *counts = xcalloc((size_t)c, sizeof *counts);
        double loss = 0;
        for (int64_t i = 0; i < n; i++) {
            const int32_t truth = p->source->classes[split][i];
            if (truth < 0)
                continue;
            counts[truth].truth++;
            counts[e.predicted[i]].predicted++;
            counts[truth].hit += truth == e.predicted[i];
        }
        for (int64_t b = 0; b < blocks; b++)
            loss += e.losses[b];
        metrics_from_counts(counts, c, loss, m, recall);
        free(counts);
    } else if (err && e.failed_block < INT64_MAX)
        *err = e.error;
    scratch_free(e.free_scratch);
    free(e.predicted);
    free(e.losses);
    pthread_mutex_destroy(&e.lock);
    return st == DAL_E_CANCELLED ? dal_fail(err, st, "", "interrupted") : st;
}
