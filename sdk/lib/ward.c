#include <dal/ward.h>

#include "clones.h"

#include <math.h>
#include <stdlib.h>

#define TASK 256 /* clusters looked at by a task */
#define PROGRESS_EVERY 256
#define WORTH_THREADS 1000000 /* numbers to read; waking a thread takes longer than fewer */

typedef struct merge {
    double cost;
    int64_t at, a, b; /* found as number `at`; nodes numbered in the order found */
} merge;

/* Clusters live in slots: the lower of two merged slots is kept. */
typedef struct ward {
    const dal_host *host;
    int64_t n, d;
    double *centre;  /* [n, d] by slot */
    int64_t *size;   /* [n] by slot */
    int64_t *node;   /* [n] by slot */
    double *height;  /* [n] by slot: the largest cost below */
    int64_t *alive;  /* slots in use, ascending */
    int64_t n_alive;
    int64_t *chain;  /* slots */
    int64_t n_chain;
    merge *merges;
    int64_t n_merges;
    double *best;    /* per task of the search */
    int64_t *best_slot;
    int64_t from;    /* whose neighbour is searched */
} ward;

DAL_CLONES static double squared(const double *x, const double *y, int64_t d)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= d; i += 8)
        for (int l = 0; l < 8; l++) {
            const double t = x[i + l] - y[i + l];
            lane[l] += t * t;
        }
    for (int l = 0; i < d; i++, l++)
        lane[l] += (x[i] - y[i]) * (x[i] - y[i]);
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

static double cost_of(const ward *w, int64_t a, int64_t b)
{
    const double na = (double)w->size[a], nb = (double)w->size[b];
    return na * nb / (na + nb) * squared(w->centre + a * w->d, w->centre + b * w->d, w->d);
}

static dal_status search_task(void *ctx, int64_t t)
{
    const ward *w = ctx;
    const int64_t end = (t + 1) * TASK < w->n_alive ? (t + 1) * TASK : w->n_alive;
    w->best[t] = INFINITY;
    w->best_slot[t] = -1;
    for (int64_t i = t * TASK; i < end; i++) {
        const int64_t slot = w->alive[i];
        const double cost = slot == w->from ? (double)INFINITY : cost_of(w, w->from, slot);
        if (cost < w->best[t]) {
            w->best[t] = cost;
            w->best_slot[t] = slot;
        }
    }
    return DAL_OK;
}

/* The cheapest partner of the chain's last slot; the one before it when that is as cheap, which ends the chain. */
static dal_status nearest(ward *w, int64_t *partner, double *cost)
{
    const int64_t tasks = (w->n_alive + TASK - 1) / TASK;
    dal_status st = DAL_OK;
    w->from = w->chain[w->n_chain - 1];
    if (w->n_alive * w->d >= WORTH_THREADS)
        st = w->host->parallel_for(w->host, tasks, search_task, w);
    else
        for (int64_t t = 0; t < tasks; t++)
            search_task(w, t);
    *partner = w->n_chain > 1 ? w->chain[w->n_chain - 2] : -1;
    *cost = *partner >= 0 ? cost_of(w, w->from, *partner) : (double)INFINITY;
    for (int64_t t = 0; t < tasks; t++)
        if (w->best[t] < *cost) {
            *cost = w->best[t];
            *partner = w->best_slot[t];
        }
    return st;
}

static void unite(ward *w, int64_t a, int64_t b, double cost)
{
    const int64_t keep = a < b ? a : b, drop = a < b ? b : a;
    const double nk = (double)w->size[keep], nd = (double)w->size[drop];
    for (int64_t j = 0; j < w->d; j++)
        w->centre[keep * w->d + j] =
            (nk * w->centre[keep * w->d + j] + nd * w->centre[drop * w->d + j]) / (nk + nd);
    /* never below what it is made of, whatever the rounding */
    w->height[keep] = fmax(cost, fmax(w->height[keep], w->height[drop]));
    w->merges[w->n_merges] = (merge){w->height[keep], w->n_merges, w->node[keep], w->node[drop]};
    w->node[keep] = w->n + w->n_merges++;
    w->size[keep] += w->size[drop];
    int64_t at = 0;
    while (w->alive[at] != drop)
        at++;
    memmove(w->alive + at, w->alive + at + 1, (size_t)(w->n_alive - at - 1) * sizeof *w->alive);
    w->n_alive--;
}

static dal_status run_chain(ward *w)
{
    while (w->n_alive > 1) {
        int64_t partner;
        double cost;
        if (w->n_chain == 0)
            w->chain[w->n_chain++] = w->alive[0];
        const dal_status st = w->host->cancelled(w->host) ? DAL_E_CANCELLED : nearest(w, &partner, &cost);
        if (st != DAL_OK)
            return st;
        if (partner < 0) /* nothing but infinite costs */
            return DAL_E_INVALID;
        if (w->n_chain > 1 && partner == w->chain[w->n_chain - 2]) {
            unite(w, w->chain[w->n_chain - 1], partner, cost);
            w->n_chain -= 2;
            if (w->n_merges % PROGRESS_EVERY == 0)
                w->host->progress(w->host, w->n_merges, w->n - 1, "merges");
        } else {
            w->chain[w->n_chain++] = partner;
        }
    }
    return DAL_OK;
}

static int by_cost(const void *a, const void *b)
{
    const merge *x = a, *y = b;
    if (x->cost < y->cost || x->cost > y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

/* Number the merges by cost. height and chain are free by now: `place` takes chain's room. */
static void write_tree(ward *w, int64_t *left, int64_t *right, double *cost)
{
    int64_t *place = w->chain; /* where merge `at` comes to stand */
    qsort(w->merges, (size_t)w->n_merges, sizeof *w->merges, by_cost);
    for (int64_t m = 0; m < w->n_merges; m++)
        place[w->merges[m].at] = m;
    for (int64_t m = 0; m < w->n_merges; m++) {
        int64_t a = w->merges[m].a, b = w->merges[m].b;
        a = a < w->n ? a : w->n + place[a - w->n];
        b = b < w->n ? b : w->n + place[b - w->n];
        left[m] = a < b ? a : b;
        right[m] = a < b ? b : a;
        cost[m] = w->merges[m].cost;
    }
}

static dal_status take(ward *w, const dal_matrix *x, dal_error *err)
{
    int64_t cells;
    if (!dal_size_mul(w->n, w->d, &cells))
        return dal_fail(err, DAL_E_OVERFLOW, "", "too many features");
    w->centre = dal_array(w->host, cells, sizeof *w->centre);
    w->size = dal_array(w->host, w->n, sizeof *w->size);
    w->node = dal_array(w->host, w->n, sizeof *w->node);
    w->height = dal_array(w->host, w->n, sizeof *w->height);
    w->alive = dal_array(w->host, w->n, sizeof *w->alive);
    w->chain = dal_array(w->host, w->n, sizeof *w->chain);
    w->merges = dal_array(w->host, w->n, sizeof *w->merges);
    w->best = dal_array(w->host, w->n / TASK + 1, sizeof *w->best);
    w->best_slot = dal_array(w->host, w->n / TASK + 1, sizeof *w->best_slot);
    if (!w->centre || !w->size || !w->node || !w->height || !w->alive || !w->chain || !w->merges || !w->best ||
        !w->best_slot)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a tree of %lld samples", (long long)w->n);
    for (int64_t i = 0; i < w->n; i++) {
        w->size[i] = 1;
        w->node[i] = w->alive[i] = i;
        w->height[i] = 0;
        for (int64_t j = 0; j < w->d; j++)
            w->centre[i * w->d + j] = (double)x->data[i * x->stride + j];
    }
    w->n_alive = w->n;
    return DAL_OK;
}

dal_status dal_ward(const dal_host *host, const dal_matrix *x, int64_t *left, int64_t *right, double *cost,
                    dal_error *err)
{
    ward w = {.host = host, .n = x->rows, .d = x->cols};
    dal_status st = take(&w, x, err);
    if (st == DAL_OK) {
        st = run_chain(&w);
        if (st == DAL_OK)
            write_tree(&w, left, right, cost);
        else
            dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "features that are not finite");
    }
    void *all[] = {w.centre, w.size, w.node, w.height, w.alive, w.chain, w.merges, w.best, w.best_slot};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        host->free(host, all[i]);
    return st;
}
