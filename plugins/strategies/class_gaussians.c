#include "class_gaussians.h"

#include <dal/symmetric.h>

#include <math.h>

typedef struct labelled_rows {
    class_gaussians *g;
    dal_matrix x; /* [n_l, d] */
    const int32_t *classes;
} labelled_rows;

/* Means by class, [c, d], those without labels 0. */
static void class_means(const labelled_rows *l, double *mean, int64_t *count)
{
    const int64_t c = l->g->c, d = l->g->d;
    memset(mean, 0, (size_t)(c * d) * sizeof *mean);
    memset(count, 0, (size_t)c * sizeof *count);
    for (int64_t i = 0; i < l->x.rows; i++) {
        count[l->classes[i]]++;
        for (int64_t j = 0; j < d; j++)
            mean[l->classes[i] * d + j] += (double)l->x.data[i * l->x.stride + j];
    }
    for (int64_t k = 0; k < c; k++)
        for (int64_t j = 0; count[k] > 0 && j < d; j++)
            mean[k * d + j] /= (double)count[k];
}

/* Row j of Sigma up to the diagonal. */
static dal_status covariance_row(void *ctx, int64_t j)
{
    const labelled_rows *l = ctx;
    const class_gaussians *g = l->g;
    double *row = g->factor + j * g->d;
    memset(row, 0, (size_t)g->d * sizeof *row);
    for (int64_t i = 0; i < l->x.rows; i++) {
        const float *h = l->x.data + i * l->x.stride;
        const double *mu = g->mean + l->classes[i] * g->d, at_j = (double)h[j] - mu[j];
        for (int64_t k = 0; k <= j; k++)
            row[k] += at_j * ((double)h[k] - mu[k]);
    }
    for (int64_t k = 0; k <= j; k++)
        row[k] /= (double)l->x.rows;
    return DAL_OK;
}

static dal_status fit(labelled_rows *l, int64_t *count, dal_error *err)
{
    class_gaussians *g = l->g;
    double trace = 0;
    class_means(l, g->mean, count);
    dal_status st = g->host->parallel_for(g->host, g->d, covariance_row, l);
    for (int64_t j = 0; j < g->d; j++)
        trace += g->factor[j * g->d + j];
    if (!isfinite(trace))
        return dal_fail(err, DAL_E_INVALID, "", "features of labelled samples are not numbers");
    for (int64_t j = 0; j < g->d; j++)
        g->factor[j * g->d + j] += trace > 0 ? 1e-6 * trace / (double)g->d : 1;
    if (st == DAL_OK)
        st = dal_cholesky(g->d, g->factor, err);
    for (int64_t k = 0; st == DAL_OK && k < g->c; k++) {
        if (count[k] == 0)
            continue;
        double *to = g->mean + g->n_means * g->d, *white = g->white + g->n_means++ * g->d;
        memmove(to, g->mean + k * g->d, (size_t)g->d * sizeof *to);
        memcpy(white, to, (size_t)g->d * sizeof *to);
        st = dal_lower_solve(g->d, g->factor, 1, white, err);
    }
    return st;
}

dal_status class_gaussians_fit(class_gaussians *g, const dal_host *host, const dal_view *view, dal_error *err)
{
    labelled_rows l = {.g = g, .classes = view->classes(view, DAL_ROWS_LABELLED)};
    *g = (class_gaussians){.host = host, .c = view->n_classes};
    dal_status st = view->features(view, DAL_ROWS_LABELLED, &l.x, err);
    if (st != DAL_OK)
        return st;
    g->d = l.x.cols;
    int64_t means, square, *count = dal_array(host, g->c, sizeof *count);
    const int fits = dal_size_mul(g->c, g->d, &means) && dal_size_mul(g->d, g->d, &square);
    g->mean = fits ? dal_array(host, means, sizeof *g->mean) : NULL;
    g->white = fits ? dal_array(host, means, sizeof *g->white) : NULL;
    g->factor = fits ? dal_array(host, square, sizeof *g->factor) : NULL;
    st = count && g->mean && g->white && g->factor
             ? fit(&l, count, err)
             : dal_fail(err, DAL_E_NOMEM, "", "no memory for a covariance of %lld features", (long long)g->d);
    host->free(host, count);
    return st;
}

void class_gaussians_fini(class_gaussians *g)
{
    if (!g->host)
        return;
    g->host->free(g->host, g->mean);
    g->host->free(g->host, g->white);
    g->host->free(g->host, g->factor);
}

/* The mean nearest to column i of y [d, n] = L^-1 h, and how far it is, squared. */
static int64_t nearest_mean(const class_gaussians *g, const double *y, int64_t n, int64_t i, double *distance)
{
    int64_t nearest = 0;
    *distance = INFINITY;
    for (int64_t k = 0; k < g->n_means; k++) {
        double sum = 0;
        for (int64_t j = 0; j < g->d; j++)
            sum += (y[j * n + i] - g->white[k * g->d + j]) * (y[j * n + i] - g->white[k * g->d + j]);
        if (sum < *distance) {
            *distance = sum;
            nearest = k;
        }
    }
    return nearest;
}

dal_status class_gaussians_score(const class_gaussians *g, const float *h, int64_t stride, int64_t n, double *m,
                                 float *gradient)
{
    const int64_t d = g->d;
    double *y = dal_array(g->host, (gradient ? 2 : 1) * d * n, sizeof *y), *slope = y ? y + d * n : NULL; /* [d, n] */
    if (!y)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++)
            y[j * n + i] = (double)h[i * stride + j];
    dal_status st = dal_lower_solve(d, g->factor, n, y, NULL);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        double distance;
        const int64_t k = nearest_mean(g, y, n, i, &distance);
        m[i] = -0.5 * distance;
        for (int64_t j = 0; gradient && j < d; j++)
            slope[j * n + i] = g->mean[k * d + j] - (double)h[i * stride + j];
    }
    if (gradient && st == DAL_OK)
        st = dal_cholesky_solve(d, g->factor, n, slope, NULL);
    for (int64_t i = 0; gradient && st == DAL_OK && i < n; i++)
        for (int64_t j = 0; j < d; j++)
            gradient[i * d + j] = (float)slope[j * n + i];
    g->host->free(g->host, y);
    return st;
}
