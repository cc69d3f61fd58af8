/* Information matrices of a last layer, all their numbers written out in double, for slow twins. */
#ifndef TESTS_STRATEGY_FISHER_TWIN_H
#define TESTS_STRATEGY_FISHER_TWIN_H

#include "tests/unit/strategies/round.h"

#define FISHER_MOST 64 /* classes; features and the bias */

/* weight * S (x) h h' of one sample, S = diag(p) - p p', added to out [m, m], m = c w. h [w] ends in a 1 with `bias`;
 * squared: S S in the place of S. */
static inline void fisher_add(const fx_round *r, uint32_t set, int64_t row, int bias, int squared, double weight,
                              double *out)
{
    const int64_t c = r->c, w = r->d + bias, m = c * w;
    double p[FISHER_MOST], s[FISHER_MOST][FISHER_MOST], t[FISHER_MOST][FISHER_MOST], h[FISHER_MOST];
    fx_probs(r, set, row, p);
    for (int64_t j = 0; j < w; j++)
        h[j] = j < r->d ? (double)r->set[set].features[row * r->d + j] : 1;
    for (int64_t k = 0; k < c; k++)
        for (int64_t l = 0; l < c; l++)
            s[k][l] = (k == l ? p[k] : 0) - p[k] * p[l];
    for (int64_t k = 0; k < c; k++)
        for (int64_t l = 0; l < c; l++) {
            t[k][l] = squared ? 0 : s[k][l];
            for (int64_t q = 0; squared && q < c; q++)
                t[k][l] += s[k][q] * s[q][l];
        }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++)
            out[i * m + j] += weight * t[i / w][j / w] * h[i % w] * h[j % w];
}

/* tr(x^-1 f) by elimination, x [m, m] positive definite: no pivots. */
static inline double fisher_trace(const double *x, const double *f, int64_t m)
{
    double *a = malloc((size_t)(2 * m * m) * sizeof *a), trace = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < m; j++) {
            a[i * 2 * m + j] = x[i * m + j];
            a[i * 2 * m + m + j] = f[i * m + j];
        }
    for (int64_t j = 0; j < m; j++)
        for (int64_t i = 0; i < m; i++) {
            const double q = i == j ? 0 : a[i * 2 * m + j] / a[j * 2 * m + j];
            for (int64_t k = j; q != 0 && k < 2 * m; k++)
                a[i * 2 * m + k] -= q * a[j * 2 * m + k];
        }
    for (int64_t i = 0; i < m; i++)
        trace += a[i * 2 * m + m + i] / a[i * 2 * m + i];
    free(a);
    return trace;
}

#endif
