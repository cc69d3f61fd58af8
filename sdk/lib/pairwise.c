/* Functions whose gains are sums (or minima) over pairs with what was picked. A row looks at the picks it has not
 * seen only when it is asked for: lazy greedy asks few. */
#include "set_functions.h"

#include <math.h>

#define GROUP 8 /* rows that look together: a pick is read once for all of them */

typedef struct pairwise {
    dal_set_function f;
    const dal_host *host;
    dal_similarity s;
    const dal_points *points;
    uint32_t kind;
    double factor, quantum;
    double *value; /* [n] the gain given the first seen[i] picks */
    int64_t *seen; /* [n] */
    int64_t *picks, n_picks;
    int with_bonus;
    const int64_t *rows; /* of the batch */
    int64_t n_rows;
} pairwise;

static pairwise *of(dal_set_function *f)
{
    return f->impl;
}

static double meet(const pairwise *p, double value, double alike)
{
    if (p->kind == PAIRWISE_PENALTY)
        return value - p->factor * alike;
    if (p->kind == PAIRWISE_SUM)
        return value + (1 - alike);
    return fmin(value, 1 - alike);
}

static dal_status look_task(void *ctx, int64_t t)
{
    const pairwise *p = ctx;
    const int64_t *rows = p->rows + t * GROUP, left = p->n_rows - t * GROUP, n = left < GROUP ? left : GROUP;
    int64_t first = p->n_picks;
    for (int64_t i = 0; i < n; i++)
        first = p->seen[rows[i]] < first ? p->seen[rows[i]] : first;
    for (int64_t k = first; k < p->n_picks; k++)
        for (int64_t i = 0; i < n; i++)
            if (p->seen[rows[i]] <= k)
                p->value[rows[i]] = meet(p, p->value[rows[i]],
                                         dal_alike(&p->s, p->points, rows[i], p->points, p->picks[k]));
    for (int64_t i = 0; i < n; i++)
        p->seen[rows[i]] = p->n_picks;
    return DAL_OK;
}

static dal_status pairwise_gains(dal_set_function *f, const int64_t *rows, int64_t m, double *gain, dal_error *err)
{
    pairwise *p = of(f);
    dal_status st = DAL_OK;
    p->rows = rows;
    p->n_rows = m;
    if (p->kind != PAIRWISE_PENALTY || p->factor > 0)
        st = p->host->parallel_for(p->host, (m + GROUP - 1) / GROUP, look_task, p);
    for (int64_t i = 0; st == DAL_OK && i < m; i++)
        gain[i] = isinf(p->value[rows[i]]) ? p->value[rows[i]] : snap(p->value[rows[i]], p->quantum);
    return st == DAL_OK ? st : dal_fail(err, st, "", "similarities to the picks could not be computed");
}

static dal_status pairwise_add(dal_set_function *f, int64_t row, double *gained, dal_error *err)
{
    pairwise *p = of(f);
    const dal_status st = pairwise_gains(f, &row, 1, gained, err);
    p->picks[p->n_picks++] = row;
    return st;
}

static int pairwise_same(dal_set_function *f, int64_t i, int64_t j)
{
    const pairwise *p = of(f);
    return !p->with_bonus && same_points(p->points, i, j);
}

static void pairwise_destroy(dal_set_function *f)
{
    pairwise *p = of(f);
    const dal_host *host = p->host;
    host->free(host, p->value);
    host->free(host, p->seen);
    host->free(host, p->picks);
    host->free(host, p);
}

dal_status pairwise_new(const dal_host *host, const dal_similarity *s, const dal_points *candidates, uint32_t kind,
                        double factor, double *bonus, dal_set_function **out, dal_error *err)
{
    const int64_t n = candidates->x.rows;
    pairwise *p = dal_array(host, 1, sizeof *p);
    if (!p) {
        host->free(host, bonus);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the set function");
    }
    *p = (pairwise){.host = host, .s = *s, .points = candidates, .kind = kind, .factor = factor, .value = bonus,
                    .with_bonus = bonus != NULL,
                    .quantum = quantum_of(largest_alike(s, candidates, candidates) * (double)n)};
    /* a product of vectors may be negative, and then a pick may raise the gains of others */
    const int falls = kind == PAIRWISE_MIN || (kind == PAIRWISE_PENALTY && (s->kind != DAL_DOT || factor <= 0));
    p->f = (dal_set_function){.struct_size = sizeof p->f,
                              .falls = falls,
                              .n = n,
                              .least = -(double)INFINITY,
                              .impl = p,
                              .gains = pairwise_gains,
                              .add = pairwise_add,
                              .destroy = pairwise_destroy,
                              .same = pairwise_same};
    if (!bonus)
        p->value = dal_array(host, n, sizeof *p->value);
    p->seen = dal_array(host, n, sizeof *p->seen);
    p->picks = dal_array(host, n, sizeof *p->picks);
    if (!p->value || !p->seen || !p->picks) {
        pairwise_destroy(&p->f);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)n);
    }
    for (int64_t i = 0; i < n; i++) {
        p->seen[i] = 0;
        if (!bonus)
            p->value[i] = kind == PAIRWISE_MIN ? (double)INFINITY : 0;
    }
    *out = &p->f;
    return DAL_OK;
}
