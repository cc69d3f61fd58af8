/* Facility location where each target is alike to its k most alike candidates only: gains are sums over short
 * lists. */
#include "set_functions.h"

#include <dal/neighbours.h>

#define GROUP 64

typedef struct sparse {
    dal_set_function f;
    const dal_host *host;
    double quantum;
    double *covered;          /* [n] m_i */
    int64_t *starts, *target; /* [n + 1], [n k]: the targets that candidate j is near to, ascending */
    float *alike;             /* [n k] */
    const int64_t *rows;      /* of the batch */
    int64_t n_rows;
    double *gain;
} sparse;

static sparse *of(dal_set_function *f)
{
    return f->impl;
}

static dal_status gain_task(void *ctx, int64_t t)
{
    const sparse *s = ctx;
    const int64_t end = (t + 1) * GROUP < s->n_rows ? (t + 1) * GROUP : s->n_rows;
    for (int64_t i = t * GROUP; i < end; i++) {
        double sum = 0;
        for (int64_t e = s->starts[s->rows[i]]; e < s->starts[s->rows[i] + 1]; e++)
            sum += fmax(0, (double)s->alike[e] - s->covered[s->target[e]]);
        s->gain[i] = snap(sum, s->quantum);
    }
    return DAL_OK;
}

static dal_status sparse_gains(dal_set_function *f, const int64_t *rows, int64_t m, double *gain, dal_error *err)
{
    sparse *s = of(f);
    s->rows = rows;
    s->n_rows = m;
    s->gain = gain;
    const dal_status st = s->host->parallel_for(s->host, (m + GROUP - 1) / GROUP, gain_task, s);
    return st == DAL_OK ? st : dal_fail(err, st, "", "gains could not be computed");
}

static dal_status sparse_add(dal_set_function *f, int64_t row, double *gained, dal_error *err)
{
    sparse *s = of(f);
    const dal_status st = sparse_gains(f, &row, 1, gained, err);
    for (int64_t e = s->starts[row]; e < s->starts[row + 1]; e++)
        s->covered[s->target[e]] = fmax(s->covered[s->target[e]], (double)s->alike[e]);
    return st;
}

static void sparse_destroy(dal_set_function *f)
{
    sparse *s = of(f);
    const dal_host *host = s->host;
    host->free(host, s->covered);
    host->free(host, s->starts);
    host->free(host, s->target);
    host->free(host, s->alike);
    host->free(host, s);
}

/* index [n, k] of the most alike, in float: those at the least distance, of unit vectors for cosine. */
static dal_status find_neighbours(const dal_host *host, const dal_similarity *s, const dal_points *p, int64_t k,
                                  int64_t *index, dal_error *err)
{
    const int64_t n = p->x.rows, d = p->x.cols;
    int64_t n_unit = 0, n_all = 0;
    const int fits = dal_size_mul(n, d, &n_unit) && dal_size_mul(n, k, &n_all);
    float *unit = fits && s->kind == DAL_COSINE ? dal_array(host, n_unit, sizeof *unit) : NULL;
    float *distance = fits ? dal_array(host, n_all, sizeof *distance) : NULL;
    dal_neighbours_problem problem = {.struct_size = sizeof problem, .metric = DAL_EUCLIDEAN, .x = p->x, .k = k};
    dal_status st = distance && (unit || s->kind != DAL_COSINE)
                        ? DAL_OK
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld neighbours of %lld samples",
                                   (long long)k, (long long)n);
    if (st == DAL_OK && unit) {
        st = dal_unit_rows(host, &p->x, unit, err);
        problem.x = (dal_matrix){unit, n, d, d};
    }
    problem.y = problem.x;
    if (st == DAL_OK)
        st = dal_neighbours(host, &problem, index, distance, err);
    host->free(host, unit);
    host->free(host, distance);
    return st;
}

/* Lists of targets by candidate from lists of candidates by target. */
static void turn_round(sparse *s, const dal_similarity *alike, const dal_points *p, const int64_t *index,
                       int64_t k)
{
    const int64_t n = p->x.rows;
    for (int64_t j = 0; j <= n; j++)
        s->starts[j] = 0;
    for (int64_t e = 0; e < n * k; e++)
        s->starts[index[e] + 1]++;
    for (int64_t j = 0; j < n; j++)
        s->starts[j + 1] += s->starts[j];
    for (int64_t i = 0; i < n; i++)
        for (int64_t e = i * k; e < (i + 1) * k; e++) {
            const int64_t at = s->starts[index[e]]++;
            s->target[at] = i;
            s->alike[at] = (float)dal_alike(alike, p, i, p, index[e]);
        }
    for (int64_t j = n; j > 0; j--)
        s->starts[j] = s->starts[j - 1];
    s->starts[0] = 0;
}

dal_status sparse_cover_new(const dal_host *host, const dal_similarity *alike, const dal_points *p,
                            int64_t neighbours, dal_set_function **out, dal_error *err)
{
    const int64_t n = p->x.rows, k = neighbours < n ? neighbours : n;
    int64_t size, *index = NULL;
    sparse *s = dal_array(host, 1, sizeof *s);
    if (!s)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the set function");
    *s = (sparse){.host = host, .quantum = quantum_of((double)n)};
    s->f = (dal_set_function){.struct_size = sizeof s->f, .falls = 1, .n = n, .impl = s, .gains = sparse_gains,
                              .add = sparse_add, .destroy = sparse_destroy};
    if (dal_size_mul(n, k, &size)) {
        s->covered = dal_array(host, n, sizeof *s->covered);
        s->starts = dal_array(host, n + 1, sizeof *s->starts);
        s->target = dal_array(host, size, sizeof *s->target);
        s->alike = dal_array(host, size, sizeof *s->alike);
        index = dal_array(host, size, sizeof *index);
    }
    dal_status st = s->covered && s->starts && s->target && s->alike && index
                        ? DAL_OK
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld neighbours of %lld samples",
                                   (long long)k, (long long)n);
    if (st == DAL_OK && n > 0)
        st = find_neighbours(host, alike, p, k, index, err);
    if (st == DAL_OK) {
        turn_round(s, alike, p, index, k);
        for (int64_t i = 0; i < n; i++)
            s->covered[i] = 0;
        *out = &s->f;
    } else {
        sparse_destroy(&s->f);
    }
    host->free(host, index);
    return st;
}
