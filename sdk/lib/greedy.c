#include <dal/submodular.h>

#define HEAP_KEY double
#include "row_heap.h"

#include <math.h>
#include <stdlib.h>

#define FIRST 16         /* rows looked at together at first; more as more turn out stale */
#define MOST 512
#define LIMIT_AFTER 64    /* stale rows of one step before the function is asked for better bounds */
#define PROGRESS_EVERY 16
#define MAX_DISTINCT 64  /* rivals compared with each other */

/* A row's gain lies in [bound - 2 error, bound] in the present state if stamp is the number of picks made, and at
 * most at bound otherwise (where gains fall). */
typedef struct greedy {
    const dal_host *host;
    dal_set_function *f;
    double *bound, *error; /* [n] */
    int64_t *stamp;        /* [n] */
    row_heap heap;         /* rows not picked, by bound */
    int64_t n_picks;
    int64_t *rows;         /* [n] scratch: rows outside the heap */
    double *gain, *slack;  /* [n] scratch */
    dal_error *err;
} greedy;

/* ---- gains ------------------------------------------------------------------------------------ */

static dal_status interrupted(const greedy *g)
{
    if (!g->host->cancelled(g->host))
        return DAL_OK;
    return dal_fail(g->err, DAL_E_CANCELLED, "", "interrupted after %lld picks", (long long)g->n_picks);
}

/* What is known of rows[m] becomes what holds now. */
static dal_status look(greedy *g, const int64_t *rows, int64_t m)
{
    dal_set_function *f = g->f;
    dal_status st = interrupted(g);
    if (st == DAL_OK)
        st = f->estimate ? f->estimate(f, rows, m, g->gain, g->slack, g->err)
                         : f->gains(f, rows, m, g->gain, g->err);
    for (int64_t i = 0; st == DAL_OK && i < m; i++) {
        g->error[rows[i]] = f->estimate ? g->slack[i] : 0;
        g->bound[rows[i]] = g->gain[i] + g->error[rows[i]];
        g->stamp[rows[i]] = g->n_picks;
    }
    return st;
}

/* A gain that has fallen as far as it can stays there. */
static int is_fresh(const greedy *g, int64_t row)
{
    return g->stamp[row] == g->n_picks || (g->f->falls && g->bound[row] <= g->f->least);
}

static double at_least(const greedy *g, int64_t row)
{
    return g->stamp[row] == g->n_picks ? g->bound[row] - 2 * g->error[row] : g->f->least;
}

/* ---- the decision ----------------------------------------------------------------------------- */

/* Rows[m] whose gains could not be told apart: of copies of one sample only the lowest row competes. Reorders
 * rows, competitors first; returns how many they are. */
static int64_t distinct(const greedy *g, int64_t *rows, int64_t m)
{
    int64_t kept = 0;
    if (!g->f->same)
        return m;
    for (int64_t i = 0; i < m; i++) {
        int64_t like = -1;
        for (int64_t k = 0; like < 0 && k < kept && k < MAX_DISTINCT; k++)
            like = g->f->same(g->f, rows[i], rows[k]) ? k : -1;
        const int64_t row = rows[i];
        if (like < 0) {
            rows[i] = rows[kept];
            rows[kept++] = row;
        } else if (row < rows[like]) {
            rows[i] = rows[like];
            rows[like] = row;
        }
    }
    return kept;
}

/* Gains of rows[m], exactly. */
static dal_status look_closely(greedy *g, const int64_t *rows, int64_t m)
{
    dal_status st = DAL_OK;
    for (int64_t first = 0; st == DAL_OK && first < m; first += MOST) {
        const int64_t some = m - first < MOST ? m - first : MOST;
        st = interrupted(g);
        if (st == DAL_OK)
            st = g->f->gains(g->f, rows + first, some, g->gain, g->err);
        for (int64_t i = 0; st == DAL_OK && i < some; i++) {
            g->bound[rows[first + i]] = g->gain[i];
            g->error[rows[first + i]] = 0;
        }
    }
    return st;
}

/* Of rivals rows[m], the row of largest gain (then the lowest) moves to the front. */
static dal_status decide(greedy *g, int64_t *rows, int64_t m)
{
    dal_status st = DAL_OK;
    int64_t n = m, best = 0;
    int exact = 1;
    for (int64_t i = 0; i < m; i++)
        exact &= g->error[rows[i]] <= 0;
    if (!exact && m > 1) {
        n = distinct(g, rows, m);
        st = n > 1 ? look_closely(g, rows, n) : DAL_OK;
    }
    for (int64_t i = 1; i < n; i++)
        best = heap_before(&g->heap, rows[i], rows[best]) ? i : best;
    const int64_t row = rows[best];
    rows[best] = rows[0];
    rows[0] = row;
    return st;
}

/* ---- lazy ------------------------------------------------------------------------------------- */

/* Better bounds for all that is stale. */
static dal_status limit_all(greedy *g)
{
    memcpy(g->gain, g->bound, (size_t)g->f->n * sizeof *g->gain);
    const dal_status st = g->f->limit(g->f, g->gain, g->err);
    for (int64_t i = 0; st == DAL_OK && i < g->f->n; i++)
        if (g->stamp[i] != g->n_picks)
            g->bound[i] = fmin(g->bound[i], g->gain[i]);
    heap_order(&g->heap);
    return st;
}

/* Bring the top of the heap up to date, a batch at a time. What is looked at decides nothing but the time. */
static dal_status refresh_top(greedy *g, int64_t *want, int64_t *looked, int *limited)
{
    int64_t m = 0;
    while (m < *want && g->heap.n > 0 && !is_fresh(g, g->heap.row[0]))
        g->rows[m++] = heap_pop(&g->heap);
    dal_status st = look(g, g->rows, m);
    for (int64_t i = 0; i < m; i++)
        heap_push(&g->heap, g->rows[i]);
    *looked += m;
    *want = *want < MOST / 2 ? 2 * *want : MOST;
    if (st == DAL_OK && !*limited && g->f->limit && *looked >= LIMIT_AFTER && g->heap.n > 16 * LIMIT_AFTER) {
        *limited = 1;
        st = limit_all(g);
    }
    return st;
}

/* All rows that could have the largest gain leave the heap; *m of them. A gain at the top that is exact needs no
 * rival: all others' bounds are below it, or equal and of a higher row. */
static dal_status gather_rivals(greedy *g, int64_t *rivals, int64_t *m)
{
    dal_status st = DAL_OK;
    int64_t want = FIRST < g->f->n ? FIRST : g->f->n, looked = 0;
    int limited = 0;
    double least = -INFINITY; /* the largest gain is no less */
    *m = 0;
    while (st == DAL_OK && g->heap.n > 0 && (*m == 0 || g->bound[g->heap.row[0]] >= least)) {
        if (!is_fresh(g, g->heap.row[0])) {
            st = refresh_top(g, &want, &looked, &limited);
            continue;
        }
        const int64_t row = heap_pop(&g->heap);
        least = fmax(least, at_least(g, row));
        rivals[(*m)++] = row;
        if (*m == 1 && g->error[row] <= 0)
            break;
    }
    return st;
}

static dal_status lazy_step(greedy *g, int64_t *rivals, int64_t *row)
{
    int64_t m;
    dal_status st = gather_rivals(g, rivals, &m);
    if (st == DAL_OK)
        st = decide(g, rivals, m);
    for (int64_t i = 1; st == DAL_OK && i < m; i++)
        heap_push(&g->heap, rivals[i]);
    *row = rivals[0];
    return st;
}

/* ---- naive and stochastic --------------------------------------------------------------------- */

/* The best of rows[m], looking at all; rivals: scratch. */
static dal_status best_of(greedy *g, const int64_t *rows, int64_t m, int64_t *rivals, int64_t *row)
{
    dal_status st = DAL_OK;
    double least = -INFINITY;
    int64_t n = 0;
    for (int64_t first = 0; st == DAL_OK && first < m; first += MOST)
        st = look(g, rows + first, m - first < MOST ? m - first : MOST);
    for (int64_t i = 0; i < m; i++)
        least = fmax(least, at_least(g, rows[i]));
    for (int64_t i = 0; i < m; i++)
        if (g->bound[rows[i]] >= least)
            rivals[n++] = rows[i];
    if (st == DAL_OK)
        st = decide(g, rivals, n);
    *row = rivals[0];
    return st;
}

static int by_row(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* g->heap is a plain list here, ascending; a step of stochastic greedy sees some of it. */
static dal_status plain_step(greedy *g, const dal_greedy_options *opt, int64_t *rivals, int64_t *row)
{
    int64_t m = g->heap.n;
    if (opt->engine == DAL_STOCHASTIC) {
        const double some = ceil((double)g->f->n / (double)opt->n_picks * log(1 / opt->epsilon));
        dal_rng draw = dal_rng_at(opt->rng, (uint64_t)g->n_picks);
        m = some < (double)m ? (int64_t)fmax(1, some) : m;
        dal_rng_shuffle(&draw, g->heap.row, g->heap.n, m);
    }
    const dal_status st = best_of(g, g->heap.row, m, rivals, row);
    for (int64_t i = 0; st == DAL_OK && i < g->heap.n; i++)
        if (g->heap.row[i] == *row) {
            g->heap.row[i] = g->heap.row[--g->heap.n];
            break;
        }
    if (opt->engine == DAL_STOCHASTIC) /* the next draw begins from the same order whatever came before */
        qsort(g->heap.row, (size_t)g->heap.n, sizeof *g->heap.row, by_row);
    return st;
}

/* ---- putting it together ---------------------------------------------------------------------- */

static int take(greedy *g, int64_t **rivals)
{
    const int64_t n = g->f->n;
    g->bound = dal_array(g->host, n, sizeof *g->bound);
    g->error = dal_array(g->host, n, sizeof *g->error);
    g->stamp = dal_array(g->host, n, sizeof *g->stamp);
    g->heap = (row_heap){dal_array(g->host, n, sizeof *g->heap.row), 0, g->bound};
    g->rows = dal_array(g->host, n, sizeof *g->rows);
    g->gain = dal_array(g->host, n, sizeof *g->gain);
    g->slack = dal_array(g->host, n, sizeof *g->slack);
    *rivals = dal_array(g->host, n, sizeof **rivals);
    if (!g->bound || !g->error || !g->stamp || !g->heap.row || !g->rows || !g->gain || !g->slack || !*rivals)
        return 0;
    for (int64_t i = 0; i < n; i++) {
        g->bound[i] = INFINITY;
        g->error[i] = 0;
        g->stamp[i] = -1;
        g->heap.row[i] = i;
    }
    g->heap.n = n;
    return 1;
}

static void give(greedy *g, int64_t *rivals)
{
    g->host->free(g->host, g->bound);
    g->host->free(g->host, g->error);
    g->host->free(g->host, g->stamp);
    g->host->free(g->host, g->heap.row);
    g->host->free(g->host, g->rows);
    g->host->free(g->host, g->gain);
    g->host->free(g->host, g->slack);
    g->host->free(g->host, rivals);
}

static dal_status pick_all(greedy *g, const dal_greedy_options *opt, int64_t *rivals, int64_t *picks, double *gain)
{
    dal_status st = DAL_OK;
    const int lazy = opt->engine == DAL_LAZY, stops = opt->stop > -(double)INFINITY;
    if (lazy && g->f->limit && g->heap.n > 0)
        st = limit_all(g);
    while (st == DAL_OK && g->n_picks < opt->n_picks && g->heap.n > 0) {
        int64_t row = -1;
        st = lazy ? lazy_step(g, rivals, &row) : plain_step(g, opt, rivals, &row);
        if (st == DAL_OK && stops)
            st = look_closely(g, &row, 1);
        if (st != DAL_OK || (stops && g->bound[row] <= opt->stop))
            break;
        picks[g->n_picks] = row;
        st = g->f->add(g->f, row, &gain[g->n_picks], g->err);
        if (++g->n_picks % PROGRESS_EVERY == 0)
            g->host->progress(g->host, g->n_picks, opt->n_picks, "picks");
    }
    return st;
}

dal_status dal_greedy(const dal_host *host, dal_set_function *f, const dal_greedy_options *opt, int64_t *picks,
                      double *gain, int64_t *n, dal_error *err)
{
    greedy g = {.host = host, .f = f, .err = err};
    int64_t *rivals = NULL;
    *n = 0;
    if (opt->engine == DAL_LAZY && !f->falls)
        return dal_fail(err, DAL_E_INVALID, "engine",
                        "lazy greedy is for functions whose gains never increase, which "
                        "this is not: use naive");
    dal_status st = take(&g, &rivals)
                        ? DAL_OK
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)f->n);
    if (st == DAL_OK)
        st = pick_all(&g, opt, rivals, picks, gain);
    *n = g.n_picks;
    give(&g, rivals);
    return st;
}
