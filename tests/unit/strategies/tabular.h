/* What the twins of the strategies for small tables share: the table in double, kernels, elimination. Nothing of
 * libdal. */
#ifndef TESTS_STRATEGY_TABULAR_H
#define TESTS_STRATEGY_TABULAR_H

#include "tests/unit/strategies/round.h"

#include <math.h>

typedef struct tw_table {
    int64_t n_l, n, d, problems; /* labelled rows first, then n candidates */
    double *x;                   /* [n_l + n, d] */
    double *y;                   /* [problems, n_l] */
} tw_table;

static inline double *tw_array(int64_t n)
{
    double *a = calloc((size_t)(n > 0 ? n : 1), sizeof *a);
    cr_assert(a);
    return a;
}

static inline tw_table tw_make(const fx_round *r, int standardise)
{
    const fx_rows *l = &r->set[DAL_ROWS_LABELLED], *u = &r->set[DAL_ROWS_CANDIDATES];
    tw_table t = {.n_l = l->n, .n = u->n, .d = r->d, .x = tw_array((l->n + u->n) * r->d)};
    const int64_t all = t.n_l + t.n;
    for (int64_t i = 0; i < all * t.d; i++)
        t.x[i] = i < t.n_l * t.d ? l->features[i] : u->features[i - t.n_l * t.d];
    for (int64_t j = 0; standardise && j < t.d; j++) {
        double mean = 0, var = 0;
        for (int64_t i = 0; i < all; i++)
            mean += t.x[i * t.d + j] / all;
        for (int64_t i = 0; i < all; i++)
            var += (t.x[i * t.d + j] - mean) * (t.x[i * t.d + j] - mean) / all;
        for (int64_t i = 0; i < all; i++)
            t.x[i * t.d + j] = var > 0 ? (t.x[i * t.d + j] - mean) / sqrt(var) : 0;
    }
    int32_t seen[1001], n_seen = 0;
    for (int32_t c = 0; c <= 1000; c++)
        for (int64_t i = 0; i < l->n; i++)
            if (l->classes[i] == c) {
                seen[n_seen++] = c;
                break;
            }
    t.problems = n_seen > 2 ? n_seen : n_seen > 0;
    t.y = tw_array(t.problems * t.n_l);
    for (int64_t p = 0; p < t.problems; p++)
        for (int64_t i = 0; i < t.n_l; i++)
            t.y[p * t.n_l + i] = l->classes[i] == seen[n_seen > 2 ? p : n_seen - 1] ? 1 : -1;
    return t;
}

static inline void tw_free(tw_table *t)
{
    free(t->x);
    free(t->y);
}

static inline double tw_distance2(const tw_table *t, int64_t i, int64_t j)
{
    double sum = 0;
    for (int64_t k = 0; k < t->d; k++)
        sum += (t->x[i * t->d + k] - t->x[j * t->d + k]) * (t->x[i * t->d + k] - t->x[j * t->d + k]);
    return sum;
}

/* [n_l + n, n_l + n] with ridge on the diagonal. gamma 0: 1 / d. */
static inline double *tw_rbf(const tw_table *t, double gamma, double ridge)
{
    const int64_t n = t->n_l + t->n;
    double *k = tw_array(n * n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            k[i * n + j] = exp(-(gamma > 0 ? gamma : 1 / (double)t->d) * tw_distance2(t, i, j)) + (i == j ? ridge : 0);
    return k;
}

/* a [n, n] is eliminated and b [n, m] becomes a^-1 b; returns the determinant. Pivots are the largest. */
static inline double tw_solve(int64_t n, double *a, int64_t m, double *b)
{
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t p = k;
        for (int64_t i = k + 1; i < n; i++)
            p = fabs(a[i * n + k]) > fabs(a[p * n + k]) ? i : p;
        det *= p == k ? a[k * n + k] : -a[p * n + k];
        for (int64_t j = 0; p != k && j < n + m; j++) {
            double *row = j < n ? a + j : b + (j - n);
            const int64_t w = j < n ? n : m;
            const double s = row[k * w];
            row[k * w] = row[p * w];
            row[p * w] = s;
        }
        for (int64_t i = 0; i < n; i++) {
            const double f = i == k ? 0 : a[i * n + k] / a[k * n + k];
            for (int64_t j = k; f != 0 && j < n; j++)
                a[i * n + j] -= f * a[k * n + j];
            for (int64_t j = 0; f != 0 && j < m; j++)
                b[i * m + j] -= f * b[k * m + j];
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++)
            b[i * m + j] /= a[i * n + i];
    return det;
}

static inline double *tw_inverse(int64_t n, const double *a)
{
    double *copy = tw_array(n * n), *b = tw_array(n * n);
    memcpy(copy, a, (size_t)(n * n) * sizeof *a);
    for (int64_t i = 0; i < n; i++)
        b[i * n + i] = 1;
    tw_solve(n, copy, n, b);
    free(copy);
    return b;
}

/* The smallest (sign 1) or largest (-1) of the scores that are not taken; equal but for rounding: the lowest row. */
static inline int64_t tw_best(const double *score, const char *taken, int64_t n, double sign)
{
    double best = INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (!taken[i] && sign * score[i] < best)
            best = sign * score[i];
    for (int64_t i = 0; i < n; i++)
        if (!taken[i] && sign * score[i] <= best + 1e-10 * fabs(best) + 1e-300)
            return i;
    return -1;
}

#endif
