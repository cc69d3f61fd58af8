#include <dal/pca.h>

#include "bound.h"

#include <dal/symmetric.h>

#define BLOCK 256 /* rows whose products are added in float */
#define STRIPE 64 /* columns of the covariance that one task makes */

typedef struct job {
    const dal_host *host;
    const dal_matrix *sets;
    int64_t n_sets, d, n;
    double *mean;       /* [d] */
    double *covariance; /* [d, d] */
} job;

/* ---- mean ------------------------------------------------------------------------------------- */

static dal_status mean_task(void *ctx, int64_t t)
{
    const job *j = ctx;
    const int64_t end = (t + 1) * STRIPE < j->d ? (t + 1) * STRIPE : j->d;
    for (int64_t k = t * STRIPE; k < end; k++)
        j->mean[k] = 0;
    for (int64_t s = 0; s < j->n_sets; s++)
        for (int64_t i = 0; i < j->sets[s].rows; i++)
            for (int64_t k = t * STRIPE; k < end; k++)
                j->mean[k] += (double)j->sets[s].data[i * j->sets[s].stride + k];
    for (int64_t k = t * STRIPE; k < end; k++)
        j->mean[k] /= (double)j->n;
    return DAL_OK;
}

/* ---- covariance ------------------------------------------------------------------------------- */

/* Columns first..first+n-1 of a stripe: the products of a block of rows, added to what came before. */
static dal_status add_block(const job *j, const dal_matrix *x, int64_t row, int64_t rows, int64_t first, int64_t n,
                            float *centred, float *products)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < j->d; k++)
            centred[i * j->d + k] = (float)((double)x->data[(row + i) * x->stride + k] - j->mean[k]);
    const dal_status st = dal_gemm_tn(j->d, n, rows, 1, centred, j->d, centred + first, j->d, 0, products, STRIPE);
    for (int64_t i = 0; st == DAL_OK && i < j->d; i++)
        for (int64_t k = 0; k < n; k++)
            j->covariance[i * j->d + first + k] += (double)products[i * STRIPE + k];
    return st;
}

static dal_status stripe_task(void *ctx, int64_t t)
{
    const job *j = ctx;
    const int64_t first = t * STRIPE, n = j->d - first < STRIPE ? j->d - first : STRIPE;
    int64_t cells, room;
    const int fits = dal_size_mul(BLOCK, j->d, &cells) && dal_size_mul(STRIPE, j->d, &room);
    float *centred = fits ? dal_array(j->host, cells, sizeof *centred) : NULL;
    float *products = fits ? dal_array(j->host, room, sizeof *products) : NULL;
    dal_status st = centred && products ? DAL_OK : DAL_E_NOMEM;
    for (int64_t i = 0; i < j->d; i++)
        for (int64_t k = first; k < first + n; k++)
            j->covariance[i * j->d + k] = 0;
    for (int64_t s = 0; st == DAL_OK && s < j->n_sets; s++)
        for (int64_t row = 0; st == DAL_OK && row < j->sets[s].rows; row += BLOCK) {
            const int64_t rows = j->sets[s].rows - row < BLOCK ? j->sets[s].rows - row : BLOCK;
            st = j->host->cancelled(j->host)
                     ? DAL_E_CANCELLED
                     : add_block(j, &j->sets[s], row, rows, first, n, centred, products);
        }
    for (int64_t i = 0; st == DAL_OK && i < j->d; i++)
        for (int64_t k = first; k < first + n; k++)
            j->covariance[i * j->d + k] /= (double)j->n;
    j->host->free(j->host, centred);
    j->host->free(j->host, products);
    return st;
}

/* ---- putting it together ---------------------------------------------------------------------- */

static dal_status check(const job *j, int64_t k, dal_error *err)
{
    for (int64_t s = 0; s < j->n_sets; s++) {
        const dal_matrix *x = &j->sets[s];
        if (x->rows > 0 && x->cols != j->d)
            return dal_fail(err, DAL_E_INVALID, "", "features of widths %lld and %lld, expected the same",
                            (long long)j->d, (long long)x->cols);
        for (int64_t i = 0; i < x->rows; i++)
            for (int64_t c = 0; c < j->d; c++)
                if (!isfinite(x->data[i * x->stride + c]))
                    return dal_fail(err, DAL_E_INVALID, "",
                                    "features: row %lld, column %lld is %g, expected finite "
                                    "numbers; did the model diverge?", (long long)i, (long long)c,
                                    (double)x->data[i * x->stride + c]);
    }
    if (j->n < 1 || k < 1 || k > j->d)
        return dal_fail(err, DAL_E_INVALID, "", "%lld components of %lld rows of width %lld", (long long)k,
                        (long long)j->n, (long long)j->d);
    return DAL_OK;
}

dal_status dal_pca(const dal_host *host, const dal_matrix *sets, int64_t n_sets, int64_t k, double *mean,
                   float *components, double *variances, dal_error *err)
{
    job j = {.host = host, .sets = sets, .n_sets = n_sets, .mean = mean};
    int64_t cells;
    for (int64_t s = 0; s < n_sets; s++) {
        j.n += sets[s].rows;
        j.d = sets[s].rows > 0 && j.d == 0 ? sets[s].cols : j.d;
    }
    dal_status st = check(&j, k, err);
    if (st != DAL_OK)
        return st;
    double *values = dal_array(host, j.d, sizeof *values);
    j.covariance = dal_size_mul(j.d, j.d, &cells) ? dal_array(host, cells, sizeof *j.covariance) : NULL;
    st = values && j.covariance ? host->parallel_for(host, bound_tiles(j.d, STRIPE), mean_task, &j) : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = host->parallel_for(host, bound_tiles(j.d, STRIPE), stripe_task, &j);
    if (st != DAL_OK)
        dal_fail(err, st, "", st == DAL_E_CANCELLED ? "cancelled" : "no memory for the components of %lld columns",
                 (long long)j.d);
    else
        st = dal_eigen(host, j.d, j.covariance, values, err);
    for (int64_t c = 0; st == DAL_OK && c < k; c++) {
        const int64_t from = j.d - 1 - c; /* ascending */
        for (int64_t i = 0; i < j.d; i++)
            components[c * j.d + i] = (float)j.covariance[from * j.d + i];
        if (variances)
            variances[c] = values[from];
    }
    host->free(host, values);
    host->free(host, j.covariance);
    return st;
}

typedef struct project_job {
    const dal_host *host;
    const dal_matrix *x;
    int64_t k;
    const double *mean;
    const float *components;
    float *out;
} project_job;

static dal_status project_task(void *ctx, int64_t t)
{
    const project_job *j = ctx;
    const int64_t d = j->x->cols, end = (t + 1) * BLOCK < j->x->rows ? (t + 1) * BLOCK : j->x->rows;
    float *centred = dal_array(j->host, d, sizeof *centred);
    if (!centred)
        return DAL_E_NOMEM;
    for (int64_t i = t * BLOCK; i < end; i++) {
        for (int64_t c = 0; c < d; c++)
            centred[c] = (float)((double)j->x->data[i * j->x->stride + c] - j->mean[c]);
        for (int64_t c = 0; c < j->k; c++)
            j->out[i * j->k + c] = (float)dal_dot(centred, j->components + c * d, d);
    }
    j->host->free(j->host, centred);
    return DAL_OK;
}

dal_status dal_pca_project(const dal_host *host, const dal_matrix *x, int64_t k, const double *mean,
                           const float *components, float *out, dal_error *err)
{
    project_job j = {host, x, k, mean, components, out};
    const dal_status st = host->parallel_for(host, bound_tiles(x->rows, BLOCK), project_task, &j);
    return st == DAL_OK ? st : dal_fail(err, st, "", "no memory to project %lld rows", (long long)x->rows);
}
