#include <dal/kcenter.h>

#define HEAP_KEY float
#include "nearest.h"
#include "row_heap.h"

#include <dal/linalg.h>
#include <math.h>

#define GROUP 8 /* candidates refreshed together: a pick's row is read once for all of them */
#define PROGRESS_EVERY 64
#define MAX_PAIRED 2048 /* picks whose distances from each other are kept: 8 MB */
#define PAIR_TASK 64

#define NOBODY (-1)

/* The greedy loop's state. m[i] counts the given centres and the first seen[i] picks: an upper bound of
 * the true minimum, and the minimum itself once seen[i] is the number of picks made. near[i] is the pick
 * m[i] was measured to. */
typedef struct greedy {
    const dal_host *host;
    dal_matrix x;
    float *m;
    int32_t *near; /* NOBODY: a given centre */
    int64_t *seen;
    row_heap heap; /* rows not yet picked, by m */
    int64_t *picks;
    int64_t n_picks;
    float *pairs;  /* [p (p-1) / 2 + q] squared distance of picks p > q, both below MAX_PAIRED */
    float far;     /* see is_far */
    const int64_t *stale; /* rows to refresh, outside the heap meanwhile */
    int64_t n_stale;
} greedy;

/* ---- distances between picks ------------------------------------------------------------------ */

static float *pairs_of(const greedy *g, int64_t pick)
{
    return g->pairs + pick * (pick - 1) / 2;
}

static dal_status pair_task(void *ctx, int64_t t)
{
    const greedy *g = ctx;
    const int64_t last = g->n_picks - 1, end = (t + 1) * PAIR_TASK < last ? (t + 1) * PAIR_TASK : last;
    const float *x = g->x.data + g->picks[last] * g->x.stride;
    for (int64_t q = t * PAIR_TASK; q < end; q++)
        pairs_of(g, last)[q] = dal_squared_distance(x, g->x.data + g->picks[q] * g->x.stride, g->x.cols);
    return DAL_OK;
}

/* Measure the latest pick against the earlier ones. */
static dal_status add_pairs(greedy *g)
{
    const int64_t earlier = g->n_picks - 1;
    if (earlier >= MAX_PAIRED)
        return DAL_OK;
    return g->host->parallel_for(g->host, (earlier + PAIR_TASK - 1) / PAIR_TASK, pair_task, g);
}

/* Can pick p be no nearer to a row than its nearest pick c, by the triangle inequality? |p - c| >= 2 |x - c|
 * says so; squared, and with room (g->far is 4 and a little) for what the three distances were rounded by.
 * Numbers so small that squares underflow are left to be measured. */
static int is_far(const greedy *g, int64_t row, int64_t p)
{
    const int64_t c = g->near[row];
    return c != NOBODY && p < MAX_PAIRED && g->m[row] > 1e-30f && pairs_of(g, p)[c] >= g->far * g->m[row];
}

/* ---- refreshing bounds ------------------------------------------------------------------------ */

/* Let a group of candidates look at the picks each has not seen. */
static dal_status refresh_task(void *ctx, int64_t t)
{
    const greedy *g = ctx;
    const int64_t *rows = g->stale + t * GROUP;
    const int64_t n = g->n_stale - t * GROUP < GROUP ? g->n_stale - t * GROUP : GROUP;
    int64_t first = g->n_picks;
    for (int64_t i = 0; i < n; i++)
        first = g->seen[rows[i]] < first ? g->seen[rows[i]] : first;
    for (int64_t p = first; p < g->n_picks; p++) {
        const float *centre = g->x.data + g->picks[p] * g->x.stride;
        for (int64_t i = 0; i < n; i++) {
            if (g->seen[rows[i]] > p || is_far(g, rows[i], p))
                continue;
            const float distance = dal_squared_distance(g->x.data + rows[i] * g->x.stride, centre, g->x.cols);
            if (distance < g->m[rows[i]]) {
                g->m[rows[i]] = distance;
                g->near[rows[i]] = p < MAX_PAIRED ? (int32_t)p : NOBODY;
            }
        }
    }
    for (int64_t i = 0; i < n; i++)
        g->seen[rows[i]] = g->n_picks;
    return DAL_OK;
}

/* A bound of 0 cannot sink any more. */
static int is_fresh(const greedy *g, int64_t row)
{
    return g->seen[row] == g->n_picks || g->m[row] <= 0;
}

/* Take up to `want` stale rows off the top of the heap, bring them up to date, put them back. What is
 * refreshed decides nothing but how long it takes. */
static dal_status refresh_top(greedy *g, int64_t want, int64_t *rows)
{
    int64_t n = 0;
    while (n < want && g->heap.n > 0 && !is_fresh(g, g->heap.row[0]))
        rows[n++] = heap_pop(&g->heap);
    g->stale = rows;
    g->n_stale = n;
    const dal_status st = g->host->parallel_for(g->host, (n + GROUP - 1) / GROUP, refresh_task, g);
    for (int64_t i = 0; i < n; i++)
        heap_push(&g->heap, rows[i]);
    return st;
}

/* The row with the largest true minimum comes to the top: all others' bounds are below its value, or equal
 * and of a higher row. One group first; the more turn out stale the more are taken at once. */
static dal_status settle_top(greedy *g, int64_t *rows)
{
    int64_t want = GROUP < g->x.rows ? GROUP : g->x.rows;
    while (!is_fresh(g, g->heap.row[0])) {
        const dal_status st = g->host->cancelled(g->host) ? DAL_E_CANCELLED : refresh_top(g, want, rows);
        if (st != DAL_OK)
            return st;
        want = want < g->x.rows / 2 ? 2 * want : g->x.rows;
    }
    return DAL_OK;
}

/* All rows but `skip`, which is picked already (-1: none). */
static void build_heap(greedy *g, int64_t skip)
{
    for (int64_t i = 0; i < g->x.rows; i++)
        if (i != skip)
            g->heap.row[g->heap.n++] = i;
    heap_order(&g->heap);
}

static dal_status pick_all(greedy *g, int64_t want, float *distance, int64_t *rows)
{
    while (g->n_picks < want) {
        dal_status st = g->n_picks > 0 ? add_pairs(g) : DAL_OK;
        if (st == DAL_OK)
            st = settle_top(g, rows);
        if (st != DAL_OK)
            return st;
        const int64_t row = heap_pop(&g->heap);
        distance[g->n_picks] = g->m[row];
        g->picks[g->n_picks++] = row;
        if (g->n_picks % PROGRESS_EVERY == 0)
            g->host->progress(g->host, g->n_picks, want, "picks");
    }
    return DAL_OK;
}

/* ---- putting it together ---------------------------------------------------------------------- */

static dal_status check_shapes(const dal_kcenter_problem *p, dal_error *err)
{
    const dal_matrix *x = &p->candidates;
    if (x->cols < 1)
        return dal_fail(err, DAL_E_INVALID, "", "features of width %lld, expected at least 1", (long long)x->cols);
    if (p->first < 0 || (x->rows > 0 && p->first >= x->rows))
        return dal_fail(err, DAL_E_INVALID, "", "row %lld is to be picked first of %lld", (long long)p->first,
                        (long long)x->rows);
    for (int64_t i = 0; i < p->n_centres; i++)
        if (p->centres[i].rows > 0 && p->centres[i].cols != x->cols)
            return dal_fail(err, DAL_E_INVALID, "",
                            "features of candidates are %lld wide and those of labelled samples %lld",
                            (long long)x->cols, (long long)p->centres[i].cols);
    return DAL_OK;
}

/* Everything infinitely far from nothing. 0 without memory. */
static int take_state(greedy *g, int64_t want)
{
    const int64_t rows = g->x.rows, paired = want < MAX_PAIRED ? want : MAX_PAIRED;
    g->m = dal_array(g->host, rows, sizeof *g->m);
    g->near = dal_array(g->host, rows, sizeof *g->near);
    g->seen = dal_array(g->host, rows, sizeof *g->seen);
    g->heap = (row_heap){dal_array(g->host, rows, sizeof *g->heap.row), 0, g->m};
    g->pairs = dal_array(g->host, paired * (paired - 1) / 2, sizeof *g->pairs);
    if (!g->m || !g->near || !g->seen || !g->heap.row || !g->pairs)
        return 0;
    for (int64_t i = 0; i < rows; i++) {
        g->m[i] = INFINITY;
        g->near[i] = NOBODY;
        g->seen[i] = 0;
    }
    /* a distance is within (d/32 + 8) 2^-24 of the truth; three of them, squared roots and all */
    g->far = 4 * (1 + 12 * ((float)g->x.cols / 32 + 16) * 0x1p-24f);
    return 1;
}

dal_status dal_nearest_distances(const dal_host *host, const dal_matrix *x, const dal_matrix *centres,
                                 int64_t n_centres, float *m, dal_error *err)
{
    float *norms = dal_array(host, x->rows, sizeof *norms), *theirs = NULL;
    dal_status st = norms ? nearest_norms(host, x, "candidate", norms, err)
                          : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)x->rows);
    for (int64_t i = 0; i < x->rows; i++)
        m[i] = INFINITY;
    for (int64_t i = 0; st == DAL_OK && i < n_centres; i++) {
        const dal_matrix *y = &centres[i];
        theirs = dal_array(host, y->rows, sizeof *theirs);
        st = theirs ? nearest_norms(host, y, "labelled", theirs, err)
                    : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld centres", (long long)y->rows);
        host->free(host, theirs);
        if (st == DAL_OK)
            st = nearest_update(host, x, norms, y, m, err);
    }
    host->free(host, norms);
    return st;
}

dal_status dal_kcenter(const dal_host *host, const dal_kcenter_problem *problem, int64_t *picks,
                       float *distance, int64_t *n, dal_error *err)
{
    const int64_t rows = problem->candidates.rows;
    const int64_t want = problem->n_picks < rows ? problem->n_picks : rows;
    int any = 0;
    *n = 0;
    dal_status st = check_shapes(problem, err);
    if (st != DAL_OK || want <= 0)
        return st;
    greedy g = {.host = host, .x = problem->candidates, .picks = picks};
    int64_t *stale = dal_array(host, rows, sizeof *stale);
    if (!stale || !take_state(&g, want)) {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)rows);
        goto out;
    }
    for (int64_t i = 0; i < problem->n_centres; i++)
        any |= problem->centres[i].rows > 0;
    st = dal_nearest_distances(host, &g.x, problem->centres, problem->n_centres, g.m, err);
    if (st != DAL_OK)
        goto out;
    if (!any) { /* everything is infinitely far */
        distance[0] = INFINITY;
        picks[0] = problem->first;
        g.n_picks = 1;
    }
    build_heap(&g, any ? -1 : problem->first);
    st = pick_all(&g, want, distance, stale);
    if (st != DAL_OK)
        dal_fail(err, st, "", st == DAL_E_CANCELLED ? "cancelled after %lld of %lld picks"
                                                    : "failed after %lld of %lld picks",
                 (long long)g.n_picks, (long long)want);
    *n = g.n_picks;
out:
    host->free(host, stale);
    host->free(host, g.m);
    host->free(host, g.near);
    host->free(host, g.seen);
    host->free(host, g.heap.row);
    host->free(host, g.pairs);
    return st;
}
