/* Concave over modular: every column k has had so much, c_k, and j adds psi(c_k + v_jk) - psi(c_k). Columns are
 * features, or similarities to targets, computed when asked for. */
#include "set_functions.h"

#include <math.h>

#define GROUP 8

typedef struct concave {
    dal_set_function f;
    const dal_host *host;
    dal_similarity s;
    const dal_points *points, *targets; /* targets NULL: columns are features */
    uint32_t psi;
    int64_t n_columns;
    double *sums;  /* [columns] c_k */
    double *bonus; /* [n] or NULL */
    const int64_t *rows;
    int64_t n_rows;
    double *gain;
} concave;

static concave *of(dal_set_function *f)
{
    return f->impl;
}

double concave_of(uint32_t psi, double x)
{
    return psi == DAL_CONCAVE_LOG ? log1p(x) : psi == DAL_CONCAVE_SQRT ? sqrt(x) : x / (1 + x);
}

/* psi(c + v) - psi(c), without the cancellation */
static double rise(uint32_t psi, double c, double v)
{
    if (psi == DAL_CONCAVE_LOG)
        return log1p(v / (1 + c));
    if (psi == DAL_CONCAVE_SQRT)
        return v > 0 ? v / (sqrt(c + v) + sqrt(c)) : 0;
    return v / ((1 + c) * (1 + c + v));
}

static double column(const concave *c, int64_t row, int64_t k)
{
    return c->targets ? fmax(0, dal_alike(&c->s, c->points, row, c->targets, k))
                      : (double)c->points->x.data[row * c->points->x.stride + k];
}

static dal_status gain_task(void *ctx, int64_t t)
{
    const concave *c = ctx;
    const int64_t end = (t + 1) * GROUP < c->n_rows ? (t + 1) * GROUP : c->n_rows;
    for (int64_t i = t * GROUP; i < end; i++) {
        double sum = 0;
        for (int64_t k = 0; k < c->n_columns; k++)
            sum += rise(c->psi, c->sums[k], column(c, c->rows[i], k));
        sum += c->bonus ? c->bonus[c->rows[i]] : 0;
        c->gain[i] = snap(sum, quantum_of(sum)); /* no cancellation: its own size tells */
    }
    return DAL_OK;
}

static dal_status concave_gains(dal_set_function *f, const int64_t *rows, int64_t m, double *gain, dal_error *err)
{
    concave *c = of(f);
    c->rows = rows;
    c->n_rows = m;
    c->gain = gain;
    const dal_status st = c->host->parallel_for(c->host, (m + GROUP - 1) / GROUP, gain_task, c);
    return st == DAL_OK ? st : dal_fail(err, st, "", "gains could not be computed");
}

static dal_status concave_add(dal_set_function *f, int64_t row, double *gained, dal_error *err)
{
    concave *c = of(f);
    const dal_status st = concave_gains(f, &row, 1, gained, err);
    for (int64_t k = 0; k < c->n_columns; k++)
        c->sums[k] += column(c, row, k);
    return st;
}

static int concave_same(dal_set_function *f, int64_t i, int64_t j)
{
    return same_points(of(f)->points, i, j);
}

static void concave_destroy(dal_set_function *f)
{
    concave *c = of(f);
    const dal_host *host = c->host;
    host->free(host, c->sums);
    host->free(host, c->bonus);
    host->free(host, c);
}

static dal_status check_features(const dal_points *p, dal_error *err)
{
    for (int64_t i = 0; i < p->x.rows; i++)
        for (int64_t k = 0; k < p->x.cols; k++)
            if (p->x.data[i * p->x.stride + k] < 0)
                return dal_fail(err, DAL_E_INVALID, "",
                                "a feature-based function takes features that are not negative; "
                                "row %lld, column %lld is %g",
                                (long long)i, (long long)k, (double)p->x.data[i * p->x.stride + k]);
    return DAL_OK;
}

dal_status concave_new(const dal_host *host, const dal_similarity *s, const dal_points *candidates,
                       const dal_points *targets, uint32_t psi, double *bonus, dal_set_function **out,
                       dal_error *err)
{
    concave *c = NULL;
    dal_status st = targets ? DAL_OK : check_features(candidates, err);
    if (st == DAL_OK && !(c = dal_array(host, 1, sizeof *c)))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the set function");
    if (st != DAL_OK) {
        host->free(host, bonus);
        return st;
    }
    *c = (concave){.host = host, .s = *s, .points = candidates, .targets = targets, .psi = psi, .bonus = bonus,
                   .n_columns = targets ? targets->x.rows : candidates->x.cols};
    c->f = (dal_set_function){.struct_size = sizeof c->f, .falls = 1, .n = candidates->x.rows, .impl = c,
                              .gains = concave_gains, .add = concave_add, .destroy = concave_destroy,
                              .same = concave_same};
    c->sums = dal_array(host, c->n_columns, sizeof *c->sums);
    if (!c->sums) {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld sums", (long long)c->n_columns);
        concave_destroy(&c->f);
        return st;
    }
    for (int64_t k = 0; k < c->n_columns; k++)
        c->sums[k] = 0;
    *out = &c->f;
    return DAL_OK;
}
