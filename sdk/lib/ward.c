#include <dal/pca.h>
#include <dal/ward.h>

#include "clones.h"

#include <math.h>
#include <stdlib.h>

#define TASK 256 /* clusters looked at by a task */
#define PROGRESS_EVERY 256
#define WORTH_THREADS 1000000 /* numbers to read; waking a thread takes longer than fewer */

/* A shadow of a centroid is its first SHADOW principal components, of the rows: distances of shadows are never larger
 * than those of centroids, so that most need not be computed. For most not even these are: the first COARSE of the
 * components, of GROUP slots side by side, tell that they are too far. */
#define SHADOW 32
#define COARSE 16
#define GROUP 16
#define WORTH_SHADOWS 128 /* features */
#define GONE 1e18f        /* component of a slot that is not in use */

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
    double *mean;      /* [d]; NULL: without shadows */
    float *components; /* [SHADOW, d] */
    float *shadow;     /* [n, SHADOW] by slot */
    float *coarse;     /* [n / GROUP, COARSE, GROUP] */
    float *weight;     /* [n] by slot: 1 / size */
    float *apart;      /* [n] by slot: squared coarse distance */
    int32_t *crowd;    /* [n / GROUP] slots in use */
    double slack;      /* what rounding can add to the distance of two shadows */
    double limit;      /* of the search: costs above it do not count */
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

/* ---- shadows ---------------------------------------------------------------------------------- */

static void cast_shadow(const ward *w, int64_t slot)
{
    const double *c = w->centre + slot * w->d;
    for (int64_t k = 0; k < SHADOW; k++) {
        double sum = 0;
        for (int64_t j = 0; j < w->d; j++)
            sum += (double)w->components[k * w->d + j] * (c[j] - w->mean[j]);
        w->shadow[slot * SHADOW + k] = (float)sum;
    }
    for (int64_t k = 0; k < COARSE; k++)
        w->coarse[(slot / GROUP * COARSE + k) * GROUP + slot % GROUP] = w->shadow[slot * SHADOW + k];
}

static dal_status shadow_task(void *ctx, int64_t t)
{
    const ward *w = ctx;
    for (int64_t i = t * TASK; i < w->n && i < (t + 1) * TASK; i++)
        cast_shadow(w, i);
    return DAL_OK;
}

DAL_CLONES static float squared_shadow(const float *x, const float *y)
{
    float lane[16], sum = 0;
    for (int l = 0; l < 16; l++)
        lane[l] = (x[l] - y[l]) * (x[l] - y[l]) + (x[16 + l] - y[16 + l]) * (x[16 + l] - y[16 + l]);
    for (int l = 0; l < 16; l++)
        sum += lane[l];
    return sum;
}

/* No more than the cost. */
static double bound_of(const ward *w, int64_t slot)
{
    const double size = (double)w->size[w->from], other = (double)w->size[slot];
    const double apart = (double)squared_shadow(w->shadow + w->from * SHADOW, w->shadow + slot * SHADOW);
    const double far = sqrt(apart) * (1 - 1e-5) - w->slack;
    return far > 0 ? size * other / (size + other) * far * far : 0;
}

/* With a squared coarse distance above `reach` (1 / size + 1 / other size) + `more`, bound_of is above the cost: (u +
 * slack)^2 <= u^2 (1 + e) + slack^2 (1 + 1 / e) for any e, and rounding is far below 1e-4. */
typedef struct horizon {
    float reach, more, weight;
} horizon;

static horizon horizon_at(const ward *w, double cost)
{
    return (horizon){(float)(cost * 1.001), (float)(1e4 * w->slack * w->slack), w->weight[w->from]};
}

/* What is not a number is near. */
static int is_near(horizon z, float apart, float weight)
{
    return !(apart > z.reach * (z.weight + weight) + z.more);
}

DAL_CLONES static int any_near(horizon z, const float *apart, const float *weight)
{
    int any = 0;
    for (int l = 0; l < GROUP; l++)
        any |= !(apart[l] > z.reach * (z.weight + weight[l]) + z.more);
    return any;
}

/* Distances of a group's coarse shadows from another's; lane by lane the least cost by these, and whose it is. */
DAL_CLONES static void coarse_distances(const float *c, const float *from, const float *weight, float own,
                                        int32_t group, float *apart, float *least, int32_t *whose)
{
    float sum[GROUP] = {0};
    for (int k = 0; k < COARSE; k++)
        for (int l = 0; l < GROUP; l++) {
            const float t = c[k * GROUP + l] - from[k];
            sum[l] += t * t;
        }
    for (int l = 0; l < GROUP; l++) {
        const float cost = sum[l] / (own + weight[l]);
        apart[l] = sum[l];
        whose[l] = cost < least[l] ? group : whose[l];
        least[l] = cost < least[l] ? cost : least[l];
    }
}

/* Of what seems the cheapest of a task's clusters, its bound into best. */
static dal_status bound_task(void *ctx, int64_t t)
{
    const ward *w = ctx;
    const int64_t groups = (w->n + GROUP - 1) / GROUP, end = (t + 1) * TASK / GROUP;
    const float *from = w->shadow + w->from * SHADOW;
    float least[GROUP], cost = INFINITY;
    int32_t whose[GROUP];
    w->best[t] = INFINITY;
    w->best_slot[t] = -1;
    for (int l = 0; l < GROUP; l++)
        least[l] = GONE * GONE / 4; /* less than that of any that is gone */
    for (int64_t g = t * TASK / GROUP; g < end && g < groups; g++)
        if (w->crowd[g] > 0)
            coarse_distances(w->coarse + g * COARSE * GROUP, from, w->weight + g * GROUP, w->weight[w->from],
                             (int32_t)g, w->apart + g * GROUP, least, whose);
    for (int l = 0; l < GROUP; l++)
        if (least[l] < cost && least[l] < GONE * GONE / 4) {
            cost = least[l];
            w->best_slot[t] = (int64_t)whose[l] * GROUP + l;
        }
    if (w->best_slot[t] >= 0)
        w->best[t] = bound_of(w, w->best_slot[t]);
    return DAL_OK;
}

/* The cheapest of a task's clusters, of those within the limit. */
static dal_status near_task(void *ctx, int64_t t)
{
    const ward *w = ctx;
    const int64_t groups = (w->n + GROUP - 1) / GROUP, end = (t + 1) * TASK / GROUP;
    double least = w->limit;
    horizon z = horizon_at(w, least);
    w->best[t] = INFINITY;
    w->best_slot[t] = -1;
    for (int64_t g = t * TASK / GROUP; g < end && g < groups; g++) {
        const float *apart = w->apart + g * GROUP, *weight = w->weight + g * GROUP;
        if (w->crowd[g] == 0 || !any_near(z, apart, weight))
            continue;
        for (int64_t slot = g * GROUP; slot < (g + 1) * GROUP && slot < w->n; slot++) {
            if (w->size[slot] == 0 || slot == w->from || !is_near(z, apart[slot % GROUP], weight[slot % GROUP]) ||
                bound_of(w, slot) > least)
                continue;
            const double cost = cost_of(w, w->from, slot);
            if (cost < w->best[t]) {
                w->best[t] = cost;
                w->best_slot[t] = slot;
                least = fmin(least, cost);
                z = horizon_at(w, least);
            }
        }
    }
    return DAL_OK;
}

static dal_status take_coarse(ward *w)
{
    const int64_t groups = (w->n + GROUP - 1) / GROUP, slots = groups * GROUP;
    w->coarse = dal_array(w->host, slots * COARSE, sizeof *w->coarse);
    w->weight = dal_array(w->host, slots, sizeof *w->weight);
    w->apart = dal_array(w->host, slots, sizeof *w->apart);
    w->crowd = dal_array(w->host, groups, sizeof *w->crowd);
    if (!w->coarse || !w->weight || !w->apart || !w->crowd)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < slots * COARSE; i++)
        w->coarse[i] = GONE; /* those past n stay so */
    for (int64_t i = 0; i < slots; i++)
        w->weight[i] = 1;
    for (int64_t g = 0; g < groups; g++)
        w->crowd[g] = (int32_t)(w->n - g * GROUP < GROUP ? w->n - g * GROUP : GROUP);
    return DAL_OK;
}

static dal_status take_shadows(ward *w, const dal_matrix *x, dal_error *err)
{
    float most = 0;
    int64_t cells;
    if (w->d < WORTH_SHADOWS || w->n < 2)
        return DAL_OK;
    w->mean = dal_array(w->host, w->d, sizeof *w->mean);
    w->components = dal_array(w->host, SHADOW * w->d, sizeof *w->components);
    w->shadow = dal_size_mul(w->n, SHADOW, &cells) ? dal_array(w->host, cells, sizeof *w->shadow) : NULL;
    dal_status st = w->mean && w->components && w->shadow && take_coarse(w) == DAL_OK
                        ? dal_pca(w->host, x, 1, SHADOW, w->mean, w->components, NULL, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for a tree of %lld samples", (long long)w->n);
    if (st == DAL_OK)
        st = w->host->parallel_for(w->host, (w->n + TASK - 1) / TASK, shadow_task, w);
    for (int64_t i = 0; st == DAL_OK && i < w->n * SHADOW; i++)
        most = fmaxf(most, fabsf(w->shadow[i]));
    w->slack = 8 * (double)most * 0x1p-22; /* SHADOW differences, each of two rounded numbers */
    return st;
}

/* ---- search ----------------------------------------------------------------------------------- */

static dal_status search_task(void *ctx, int64_t t)
{
    const ward *w = ctx;
    const int64_t end = (t + 1) * TASK < w->n_alive ? (t + 1) * TASK : w->n_alive;
    w->best[t] = INFINITY;
    w->best_slot[t] = -1;
    for (int64_t i = t * TASK; i < end; i++) {
        const int64_t slot = w->alive[i];
        if (slot == w->from)
            continue;
        const double cost = cost_of(w, w->from, slot);
        if (cost < w->best[t]) {
            w->best[t] = cost;
            w->best_slot[t] = slot;
        }
    }
    return DAL_OK;
}

/* With shadows tasks are of slots, in use or not; else of those in use. */
static int64_t tasks_of(const ward *w)
{
    return ((w->mean ? w->n : w->n_alive) + TASK - 1) / TASK;
}

static dal_status run_tasks(const ward *w, dal_status (*task)(void *ctx, int64_t t), int64_t numbers)
{
    const int64_t tasks = tasks_of(w);
    if (w->n_alive * numbers >= WORTH_THREADS)
        return w->host->parallel_for(w->host, tasks, task, (void *)(uintptr_t)w);
    for (int64_t t = 0; t < tasks; t++)
        task((void *)(uintptr_t)w, t);
    return DAL_OK;
}

/* The slot of the least of what the tasks found, ties to the first; -1: none. */
static int64_t least_of(const ward *w, double *cost)
{
    const int64_t tasks = tasks_of(w);
    int64_t slot = -1;
    *cost = INFINITY;
    for (int64_t t = 0; t < tasks; t++)
        if (w->best[t] < *cost) {
            *cost = w->best[t];
            slot = w->best_slot[t];
        }
    return slot;
}

/* The cheapest partner of the chain's last slot; the one before it when that is as cheap, which ends the chain. */
static dal_status nearest(ward *w, int64_t *partner, double *cost)
{
    double least;
    dal_status st = DAL_OK;
    w->from = w->chain[w->n_chain - 1];
    *partner = w->n_chain > 1 ? w->chain[w->n_chain - 2] : -1;
    *cost = *partner >= 0 ? cost_of(w, w->from, *partner) : (double)INFINITY;
    w->limit = *cost;
    if (w->mean) {
        float *hidden = &w->coarse[w->from / GROUP * COARSE * GROUP + w->from % GROUP];
        *hidden = GONE; /* it is not its own neighbour */
        st = run_tasks(w, bound_task, 4 * COARSE); /* threads are worth it from a megabyte on */
        *hidden = w->shadow[w->from * SHADOW];
        const int64_t guess = least_of(w, &least);
        if (guess >= 0)
            w->limit = fmin(w->limit, cost_of(w, w->from, guess));
    }
    if (st == DAL_OK)
        st = w->mean ? run_tasks(w, near_task, SHADOW) : run_tasks(w, search_task, w->d);
    const int64_t found = least_of(w, &least);
    if (least < *cost) {
        *cost = least;
        *partner = found;
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
    w->size[drop] = 0;
    if (w->mean) {
        cast_shadow(w, keep);
        w->weight[keep] = 1 / (float)w->size[keep];
        w->coarse[drop / GROUP * COARSE * GROUP + drop % GROUP] = GONE;
        w->crowd[drop / GROUP]--;
    }
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
    if (st == DAL_OK)
        st = take_shadows(&w, x, err);
    if (st == DAL_OK) {
        st = run_chain(&w);
        if (st == DAL_OK)
            write_tree(&w, left, right, cost);
        else
            dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "features that are not finite");
    }
    void *all[] = {w.centre, w.size, w.node, w.height, w.alive, w.chain, w.merges, w.best, w.best_slot,
                   w.mean, w.components, w.shadow, w.coarse, w.weight, w.apart, w.crowd};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        host->free(host, all[i]);
    return st;
}
