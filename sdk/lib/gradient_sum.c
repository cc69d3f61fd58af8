#include <dal/gradient.h>

#include <dal/linalg.h>

#define TILE 256 /* rows in a product */
#define STRANDS 8 /* partial sums, each over every STRANDS-th tile */

static int64_t tiles(int64_t n)
{
    return n / TILE + (n % TILE != 0);
}

static dal_status no_memory(dal_error *err, dal_status st, const dal_gradients *g)
{
    if (st == DAL_OK)
        return DAL_OK;
    return dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "no memory for gradients of %lld samples",
                    (long long)g->features.rows);
}

/* ---- the sum ---------------------------------------------------------------------------------- */

typedef struct sum_job {
    const dal_host *host;
    const dal_gradients *g;
    const int32_t *classes;
    double *strands; /* [STRANDS, c, d + bias] */
} sum_job;

/* Other labels: a = p - e_label, given p - e_predicted. */
static void relabel(float *a, int64_t n, int64_t c, const int32_t *predicted, const int32_t *labels)
{
    for (int64_t i = 0; i < n; i++)
        if (labels[i] != predicted[i] && labels[i] >= 0 && labels[i] < c) {
            a[i * c + predicted[i]] += 1;
            a[i * c + labels[i]] -= 1;
        }
}

/* Add a tile's a' (h, 1) to sum; product [c, d] is scratch. */
static dal_status add_tile(const sum_job *j, int64_t first, int64_t n, float *a, float *product, double *sum)
{
    const dal_gradients *g = j->g;
    const int64_t c = dal_gradient_width(g), d = g->features.cols, width = d + g->bias;
    int32_t predicted[TILE];
    dal_gradient_factor(g, first, n, a, predicted);
    if (j->classes)
        relabel(a, n, c, predicted, j->classes + first);
    const dal_status st = dal_gemm_tn(c, d, n, 1, a, c, g->features.data + first * g->features.stride,
                                      g->features.stride, 0, product, d);
    for (int64_t k = 0; st == DAL_OK && k < c; k++) {
        for (int64_t l = 0; l < d; l++)
            sum[k * width + l] += (double)product[k * d + l];
        for (int64_t i = 0; g->bias && i < n; i++)
            sum[k * width + d] += (double)a[i * c + k];
    }
    return st;
}

static dal_status sum_task(void *ctx, int64_t strand)
{
    const sum_job *j = ctx;
    const int64_t n = j->g->features.rows, c = dal_gradient_width(j->g), d = j->g->features.cols;
    const int64_t cells = c * (d + j->g->bias);
    double *sum = j->strands + strand * cells;
    float *a = dal_array(j->host, TILE * c, sizeof *a), *product = dal_array(j->host, c * d, sizeof *product);
    dal_status st = a && product ? DAL_OK : DAL_E_NOMEM;
    memset(sum, 0, (size_t)cells * sizeof *sum);
    for (int64_t t = strand; st == DAL_OK && t < tiles(n); t += STRANDS) {
        st = j->host->cancelled(j->host) ? DAL_E_CANCELLED : DAL_OK;
        if (st == DAL_OK)
            st = add_tile(j, t * TILE, n - t * TILE < TILE ? n - t * TILE : TILE, a, product, sum);
    }
    j->host->free(j->host, a);
    j->host->free(j->host, product);
    return st;
}

dal_status dal_gradient_sum(const dal_host *host, const dal_gradients *g, const int32_t *classes, double *out,
                            dal_error *err)
{
    int64_t cells, all;
    if (!dal_size_mul(dal_gradient_width(g), g->features.cols + g->bias, &cells) ||
        !dal_size_mul(STRANDS, cells, &all))
        return dal_fail(err, DAL_E_OVERFLOW, "", "gradients too wide");
    sum_job j = {host, g, classes, dal_array(host, all, sizeof *j.strands)};
    const dal_status st = j.strands ? host->parallel_for(host, STRANDS, sum_task, &j) : DAL_E_NOMEM;
    for (int64_t k = 0; st == DAL_OK && k < cells; k++) {
        out[k] = 0;
        for (int64_t s = 0; s < STRANDS; s++)
            out[k] += j.strands[s * cells + k];
    }
    host->free(host, j.strands);
    return no_memory(err, st, g);
}

/* ---- products with a matrix ------------------------------------------------------------------- */

double dal_gradient_against(const dal_gradients *g, const float *a, const float *h, const float *m)
{
    const int64_t c = dal_gradient_width(g), d = g->features.cols, width = d + g->bias;
    double sum = 0;
    for (int64_t k = 0; k < c; k++)
        sum += (double)a[k] * (dal_dot(m + k * width, h, d) + (g->bias ? (double)m[k * width + d] : 0));
    return sum;
}

typedef struct project_job {
    const dal_host *host;
    const dal_gradients *g;
    const float *m;
    double *out;
} project_job;

static dal_status project_task(void *ctx, int64_t t)
{
    const project_job *j = ctx;
    const dal_gradients *g = j->g;
    const int64_t first = t * TILE, n = g->features.rows - first < TILE ? g->features.rows - first : TILE;
    const int64_t c = dal_gradient_width(g), d = g->features.cols, width = d + g->bias;
    if (j->host->cancelled(j->host))
        return DAL_E_CANCELLED;
    float *a = dal_array(j->host, 2 * TILE * c, sizeof *a), *mh = a + TILE * c;
    if (!a)
        return DAL_E_NOMEM;
    dal_gradient_factor(g, first, n, a, NULL);
    const dal_status st = dal_gemm_nt(n, c, d, 1, g->features.data + first * g->features.stride,
                                      g->features.stride, j->m, width, 0, mh, c);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        double sum = 0;
        for (int64_t k = 0; k < c; k++)
            sum += (double)a[i * c + k] * ((double)mh[i * c + k] + (g->bias ? (double)j->m[k * width + d] : 0));
        j->out[first + i] = sum;
    }
    j->host->free(j->host, a);
    return st;
}

dal_status dal_gradient_project(const dal_host *host, const dal_gradients *g, const float *m, double *out,
                                dal_error *err)
{
    project_job j = {host, g, m, out};
    return no_memory(err, host->parallel_for(host, tiles(g->features.rows), project_task, &j), g);
}
