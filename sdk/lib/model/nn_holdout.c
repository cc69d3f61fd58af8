#include "nn_holdout.h"

#include <math.h>

#define BLOCK (4 * DAL_NN_TILE) /* samples to a task */

static int64_t *take_rows(const nn_holdout *h, int64_t n)
{
    return dal_array(h->m->host, n, sizeof(int64_t));
}

/* Marks held[i] = 1 where row i is held out; returns how many. Rows of a class are shuffled as they stand in the
 * list. */
static int64_t draw(const nn_holdout *h, double share, const dal_rng *stream, int64_t *order, int64_t *held)
{
    const dal_samples *s = h->samples;
    int64_t all = 0;
    for (int64_t c = 0; c < h->m->n_classes; c++) {
        dal_rng r = dal_rng_at(stream, (uint64_t)c);
        int64_t n = 0;
        for (int64_t i = 0; i < s->n; i++)
            if (s->classes[i] == c)
                order[n++] = i;
        const int64_t wanted = (int64_t)(share * (double)n + 0.5), most = n > 0 ? n - 1 : 0, k = wanted < most ? wanted
            : most;
        dal_rng_shuffle(&r, order, n, k);
        for (int64_t i = 0; i < k; i++)
            held[order[i]] = 1;
        all += k;
    }
    return all;
}

static dal_status split(nn_holdout *h, double share, const dal_rng *stream)
{
    const dal_host *host = h->m->host;
    const int64_t n = h->samples->n;
    int64_t *order = take_rows(h, n), *held = take_rows(h, n), train = 0, out;
    const int there = order && held;
    if (there) {
        memset(held, 0, (size_t)n * sizeof *held);
        h->n = share > 0 ? draw(h, share, stream, order, held) : 0;
        h->n_train = out = n - h->n;
        for (int64_t i = 0; i < n; i++)
            h->rows[held[i] ? out++ : train++] = i;
    }
    host->free(host, held);
    host->free(host, order);
    return there ? DAL_OK : DAL_E_NOMEM;
}

dal_status nn_holdout_init(nn_holdout *h, const dal_nn_model *m, const dal_samples *samples, double share,
                           const dal_rng *stream, dal_error *err)
{
    const dal_nn_info *info = &m->info;
    *h = (nn_holdout){.m = m, .samples = samples, .best = INFINITY};
    h->rows = take_rows(h, samples->n);
    if (!h->rows || split(h, share, stream) != DAL_OK)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to train on %lld samples", (long long)samples->n);
    if (h->n == 0)
        return DAL_OK;
    h->losses = dal_array(m->host, h->n, sizeof *h->losses);
    h->best_weights = dal_array(m->host, info->n_weights, sizeof *h->best_weights);
    h->best_state = dal_array(m->host, info->n_state, sizeof *h->best_state);
    if (!h->losses || !h->best_weights || !h->best_state)
        return dal_fail(err, DAL_E_NOMEM, "validation", "no memory to keep the best %lld weights",
                        (long long)info->n_weights);
    return DAL_OK;
}

void nn_holdout_fini(nn_holdout *h)
{
    if (!h->m)
        return;
    const dal_host *host = h->m->host;
    host->free(host, h->best_state);
    host->free(host, h->best_weights);
    host->free(host, h->losses);
    host->free(host, h->rows);
    h->m = NULL;
}

typedef struct look_job {
    nn_holdout *h;
    dal_dense_rows *rows;
} look_job;

static double loss_of(const float *z, int64_t c, int32_t cls)
{
    double max = (double)z[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        max = fmax(max, (double)z[k]);
    for (int64_t k = 0; k < c; k++)
        sum += exp((double)z[k] - max);
    return log(sum) - ((double)z[cls] - max);
}

static dal_status look_block(void *ctx, int64_t i)
{
    const look_job *j = ctx;
    nn_holdout *h = j->h;
    const dal_nn_model *m = h->m;
    const int64_t end = (i + 1) * BLOCK < h->n ? (i + 1) * BLOCK : h->n, *held = h->rows + h->n_train;
    dal_nn_pass *p = dal_nn_pass_new(m->nn, m->host, 0, NULL);
    dal_status st = p ? DAL_OK : DAL_E_NOMEM;
    for (int64_t first = i * BLOCK; first < end && st == DAL_OK; first += DAL_NN_TILE) {
        const int64_t n = end - first < DAL_NN_TILE ? end - first : DAL_NN_TILE;
        st = dal_dense_rows_gather(j->rows, held + first, n, p->value[m->info.input]);
        if (st == DAL_OK)
            st = dal_nn_run(m->nn, m->weights, m->state, p, n, m->info.input, m->info.output, NULL);
        for (int64_t k = 0; k < n && st == DAL_OK; k++)
            h->losses[first + k] = loss_of(p->value[m->info.output] + k * m->n_classes, m->n_classes,
                                           h->samples->classes[held[first + k]]);
    }
    dal_nn_pass_free(p);
    return st;
}

dal_status nn_holdout_look(nn_holdout *h, dal_dense_rows *rows, dal_error *err)
{
    const dal_nn_model *m = h->m;
    const float *weights = h->samples->weights;
    look_job j = {h, rows};
    double loss = 0, all = 0;
    const dal_status st = m->host->parallel_for(m->host, (h->n + BLOCK - 1) / BLOCK, look_block, &j);
    if (st != DAL_OK && rows->error.status != DAL_OK && err)
        *err = rows->error;
    else if (st != DAL_OK)
        dal_fail(err, st, "validation", "the labels held out could not be looked at");
    for (int64_t i = 0; i < h->n && st == DAL_OK; i++) {
        const double w = weights ? (double)weights[h->rows[h->n_train + i]] : 1;
        loss += w * h->losses[i];
        all += w;
    }
    loss = all > 0 ? loss / all : 0; /* nothing held out weighs anything: the first epoch is as good as any */
    h->idle++;
    if (st == DAL_OK && loss < h->best) {
        h->best = loss;
        h->idle = 0;
        memcpy(h->best_weights, m->weights, (size_t)m->info.n_weights * sizeof *h->best_weights);
        memcpy(h->best_state, m->state, (size_t)m->info.n_state * sizeof *h->best_state);
    }
    return st;
}

void nn_holdout_restore(const nn_holdout *h, dal_nn_model *m)
{
    if (!isfinite(h->best))
        return;
    memcpy(m->weights, h->best_weights, (size_t)m->info.n_weights * sizeof *m->weights);
    memcpy(m->state, h->best_state, (size_t)m->info.n_state * sizeof *m->state);
}
