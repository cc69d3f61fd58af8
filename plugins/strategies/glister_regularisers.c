/* glister's terms for facility location and diversity; their formulas are in glister.c.
 *
 * Gains of facility location only fall, so that few are looked at again (lazy greedy). The first look at all is at
 * bounds from above, by products in double.
 */
#include "glister.h"

#include <dal/linalg.h>
#include <dal/select.h>

#include <math.h>

/* <g_i, r> of candidates in double, into base. */
static dal_status exact_task(void *ctx, int64_t t)
{
    const glister *s = ctx;
    const dal_matrix *x = &s->pool.features;
    const int64_t end = (t + 1) * TILE < x->rows ? (t + 1) * TILE : x->rows;
    float *a = dal_array(s->host, s->c, sizeof *a);
    if (!a)
        return DAL_E_NOMEM;
    for (int64_t i = t * TILE; i < end; i++) {
        dal_gradient_factor(&s->pool, i, 1, a, NULL);
        s->base[i] = dal_gradient_against(&s->pool, a, x->data + i * x->stride, s->r);
    }
    s->host->free(s->host, a);
    return DAL_OK;
}

static dal_status exact_gains(glister *s, dal_error *err)
{
    const dal_status st = s->host->parallel_for(s->host, (s->pool.features.rows + TILE - 1) / TILE, exact_task, s);
    return st == DAL_OK ? DAL_OK : dal_fail(err, st, "", "no memory for gains");
}

/* Rows of the pool against one of them, given by its factors. */
typedef struct pair_job {
    const glister *s;
    const float *a, *h; /* of the row */
    double norm;
    int64_t row;
    double *sums; /* [tasks] facility location: what the row would add */
} pair_job;

static double squared_distance(const pair_job *j, int64_t i, float *a)
{
    const dal_matrix *x = &j->s->pool.features;
    dal_gradient_factor(&j->s->pool, i, 1, a, NULL);
    const double d = j->s->norms[i] + j->norm -
                     2 * dal_gradient_product(&j->s->pool, a, x->data + i * x->stride, j->a, j->h);
    return i == j->row || d < 0 ? 0 : d;
}

static dal_status pair_task(void *ctx, int64_t t)
{
    const pair_job *j = ctx;
    const glister *s = j->s;
    const int64_t first = t * TILE, end = first + TILE < s->pool.features.rows ? first + TILE : s->pool.features.rows;
    float *a = dal_array(s->host, s->c, sizeof *a);
    double sum = 0;
    if (!a)
        return DAL_E_NOMEM;
    for (int64_t i = first; i < end; i++) {
        const double d = squared_distance(j, i, a);
        if (j->sums)
            sum += fmax(0, s->nearest[i] - d);
        else if (s->opt->regulariser == DIVERSITY)
            s->extra[i] += exp(-d / 2);
        else
            s->nearest[i] = fmin(s->nearest[i], d);
    }
    if (j->sums)
        j->sums[t] = sum;
    s->host->free(s->host, a);
    return DAL_OK;
}

/* What a row adds to facility location into *gain, or, NULL: the row is picked. */
static dal_status against_all(const glister *s, int64_t row, double *gain, dal_error *err)
{
    const dal_host *host = s->host;
    const dal_matrix *x = &s->pool.features;
    const int64_t tasks = (x->rows + TILE - 1) / TILE;
    float *a = dal_array(host, s->c, sizeof *a);
    double *sums = gain ? dal_array(host, tasks, sizeof *sums) : NULL;
    dal_status st = a && (sums || !gain) ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK) {
        pair_job j = {s, a, x->data + row * x->stride, s->norms[row], row, sums};
        dal_gradient_factor(&s->pool, row, 1, a, NULL);
        st = host->parallel_for(host, tasks, pair_task, &j);
    }
    for (int64_t t = 0; st == DAL_OK && gain && t < tasks; t++)
        *gain = t ? *gain + sums[t] : sums[t];
    host->free(host, a);
    host->free(host, sums);
    return st == DAL_OK ? DAL_OK : dal_fail(err, st, "", "no memory to compare %lld candidates", (long long)x->rows);
}

/* Factors of the rows first..first+m-1 in double: a [m, c], h [m, d]; f [c] is scratch. */
static void widen(const glister *s, int64_t first, int64_t m, float *f, double *a, double *h)
{
    const dal_matrix *x = &s->pool.features;
    for (int64_t i = 0; i < m; i++) {
        dal_gradient_factor(&s->pool, first + i, 1, f, NULL);
        for (int64_t k = 0; k < s->c; k++)
            a[i * s->c + k] = (double)f[k];
        for (int64_t k = 0; k < s->d; k++)
            h[i * s->d + k] = (double)x->data[(first + i) * x->stride + k];
    }
}

/* What the rows first..first+m-1 add by the rows from..from+k-1, or hardly more. */
static dal_status add_bounds(const glister *s, int64_t first, int64_t m, const double *a, const double *h,
                             int64_t from, int64_t k, const double *other_a, const double *other_h, double *product)
{
    const double unit = 4 * (double)(s->d + s->c + 16) * 0x1p-52;
    double *by_h = product + TILE * TILE;
    dal_status st = dal_dgemm_nt(m, k, s->c, 1, a, s->c, other_a, s->c, 0, product, TILE);
    if (st == DAL_OK)
        st = dal_dgemm_nt(m, k, s->d, 1, h, s->d, other_h, s->d, 0, by_h, TILE);
    for (int64_t i = 0; st == DAL_OK && i < m; i++)
        for (int64_t j = 0; j < k; j++) {
            const double both = s->norms[first + i] + s->norms[from + j];
            s->extra[first + i] += fmax(0, s->nearest[from + j] - (1 - unit) * both +
                                               2 * product[i * TILE + j] * (by_h[i * TILE + j] + 1));
        }
    return st;
}

/* Bounds from above of what each candidate adds at first, by products in double. */
static dal_status bound_task(void *ctx, int64_t t)
{
    const glister *s = ctx;
    const int64_t n = s->pool.features.rows, first = t * TILE, m = n - first < TILE ? n - first : TILE;
    const int64_t wide = s->c + s->d;
    float *f = dal_array(s->host, s->c, sizeof *f);
    double *room = dal_array(s->host, 2 * TILE * (TILE + wide), sizeof *room);
    dal_status st = f && room ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK) {
        double *mine = room + 2 * TILE * TILE, *other = mine + TILE * wide;
        memset(s->extra + first, 0, (size_t)m * sizeof *s->extra);
        widen(s, first, m, f, mine, mine + TILE * s->c);
        for (int64_t from = 0; st == DAL_OK && from < n; from += TILE) {
            const int64_t k = n - from < TILE ? n - from : TILE;
            if (s->host->cancelled(s->host))
                st = DAL_E_CANCELLED;
            widen(s, from, k, f, other, other + TILE * s->c);
            if (st == DAL_OK)
                st = add_bounds(s, first, m, mine, mine + TILE * s->c, from, k, other, other + TILE * s->c, room);
        }
        /* sums in another order than a look's */
        for (int64_t i = first; st == DAL_OK && i < first + m; i++)
            s->extra[i] *= 1 + (double)n * 0x1p-50;
    }
    s->host->free(s->host, f);
    s->host->free(s->host, room);
    return st;
}

static dal_status bound_all(glister *s, dal_error *err)
{
    const dal_status st = s->host->parallel_for(s->host, (s->pool.features.rows + TILE - 1) / TILE, bound_task, s);
    return st == DAL_OK ? DAL_OK
                        : dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "no memory for products");
}

dal_status glister_begin_regulariser(glister *s, dal_error *err)
{
    const int64_t n = s->pool.features.rows;
    double most = 0;
    if (s->opt->regulariser != FACILITY_LOCATION && s->opt->regulariser != DIVERSITY)
        return DAL_OK;
    s->base = dal_array(s->host, n, sizeof *s->base);
    s->nearest = dal_array(s->host, n, sizeof *s->nearest);
    s->extra = dal_array(s->host, n, sizeof *s->extra);
    s->fresh = dal_array(s->host, n, 1);
    if (!s->base || !s->nearest || !s->extra || !s->fresh)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)n);
    memset(s->extra, 0, (size_t)n * sizeof *s->extra);
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, s->norms[i]);
    for (int64_t i = 0; i < n; i++)
        s->nearest[i] = 4 * most;
    return s->opt->regulariser == DIVERSITY ? DAL_OK : bound_all(s, err);
}

/* The candidate of the largest gain, looking again only at those that may be it; at all, by products, where these are
 * many, as after the first pick. */
static dal_status best_facility(glister *s, int64_t *row, double *gain, dal_error *err)
{
    const int64_t n = s->pool.features.rows, many = n / 20 + 8;
    memset(s->fresh, 0, (size_t)n);
    for (int64_t looks = 0;; looks++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (!s->taken[i] && (best < 0 || s->base[i] + s->opt->lambda * s->extra[i] > *gain)) {
                best = i;
                *gain = s->base[i] + s->opt->lambda * s->extra[i];
            }
        *row = best;
        if (s->fresh[best])
            return DAL_OK;
        const dal_status st = looks == many ? bound_all(s, err) : against_all(s, best, &s->extra[best], err);
        if (st != DAL_OK)
            return st;
        if (looks == many) /* bounds again, all of them */
            memset(s->fresh, 0, (size_t)n);
        else
            s->fresh[best] = 1;
    }
}

static void best_diverse(const glister *s, int64_t *row, double *gain)
{
    *row = -1;
    for (int64_t i = 0; i < s->pool.features.rows; i++) {
        const double g = s->base[i] - s->opt->lambda * s->extra[i];
        if (!s->taken[i] && (*row < 0 || g > *gain)) {
            *row = i;
            *gain = g;
        }
    }
}

/* The next k, one after the other, of the current r. */
dal_status glister_take_regularised(glister *s, int64_t k, int64_t *rows, double *scores, dal_error *err)
{
    dal_status st = exact_gains(s, err);
    for (int64_t i = 0; st == DAL_OK && i < k; i++) {
        if (s->opt->regulariser == FACILITY_LOCATION)
            st = best_facility(s, &rows[i], &scores[i], err);
        else
            best_diverse(s, &rows[i], &scores[i]);
        if (st != DAL_OK)
            return st;
        glister_keep_factors(s, i, rows[i]);
        st = against_all(s, rows[i], NULL, err);
    }
    s->n_latest = k;
    return st;
}

void glister_end_regulariser(glister *s)
{
    void *const all[] = {s->base, s->nearest, s->extra, s->fresh};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        s->host->free(s->host, all[i]);
}
