#include <dal/gradient.h>

#include "gradient.h"

#include <dal/linalg.h>
#include <float.h>
#include <math.h>

#define TILE 128 /* rows in a task */

static int64_t predicted(const float *row, int64_t c)
{
    int64_t y = 0;
    for (int64_t k = 1; k < c; k++)
        y = row[k] > row[y] ? k : y;
    return y;
}

/* The probabilities of rows first..first+n-1, packed. */
static void copy_probs(const dal_outputs *o, int64_t first, int64_t n, float *out)
{
    const int64_t c = o->values.cols;
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * c, o->values.data + (first + i) * o->values.stride, (size_t)c * sizeof *out);
    if (o->kind == DAL_LOGITS)
        dal_softmax(out, n, c, c);
    for (int64_t k = 0; k < n * c; k++)
        out[k] = fabsf(out[k]) < FLT_MIN ? 0 : out[k]; /* NaN stays */
}

void gradient_factor_known(const dal_gradients *g, int64_t first, int64_t n, const int32_t *classes,
                           const float *tops, float *out)
{
    const int64_t c = dal_gradient_width(g);
    if (!g->outputs.values.data) {
        for (int64_t i = 0; i < n; i++)
            out[i] = 1;
        return;
    }
    copy_probs(&g->outputs, first, n, out);
    for (int64_t i = 0; i < n; i++)
        out[i * c + classes[i]] = tops[i];
}

void dal_gradient_factor(const dal_gradients *g, int64_t first, int64_t n, float *out, int32_t *classes)
{
    const dal_matrix *v = &g->outputs.values;
    const int64_t c = dal_gradient_width(g);
    if (v->data)
        copy_probs(&g->outputs, first, n, out);
    for (int64_t i = 0; i < n; i++) {
        const float *row = v->data ? v->data + (first + i) * v->stride : NULL;
        const int64_t y = row ? predicted(row, c) : 0;
        double rest = row && isnan(row[y]) ? (double)NAN : 0;
        for (int64_t k = 0; k < c; k++)
            rest += k == y ? 0 : (double)out[i * c + k];
        out[i * c + y] = row ? (float)-rest : 1;
        if (classes)
            classes[i] = (int32_t)y;
    }
}

double dal_gradient_product(const dal_gradients *g, const float *ai, const float *hi, const float *aj,
                            const float *hj)
{
    return dal_dot(ai, aj, dal_gradient_width(g)) * (dal_dot(hi, hj, g->features.cols) + g->bias);
}

/* ---- norms ------------------------------------------------------------------------------------ */

typedef struct norm_job {
    const dal_host *host;
    const dal_gradients *g;
    double *out;
    const gradient_rows *rows; /* what else is wanted; its arrays may be NULL */
    double largest_a[64], largest_h[64]; /* per strand of tiles */
} norm_job;

/* Tiles t, t + 64, ...: so that maxima need no lock. */
static dal_status norm_task(void *ctx, int64_t strand)
{
    norm_job *j = ctx;
    const dal_gradients *g = j->g;
    const int64_t n = g->features.rows, c = dal_gradient_width(g), d = g->features.cols;
    int32_t classes[TILE];
    float *a = dal_array(j->host, TILE * c, sizeof *a);
    if (!a)
        return DAL_E_NOMEM;
    for (int64_t first = strand * TILE; first < n; first += 64 * TILE) {
        const int64_t rows = n - first < TILE ? n - first : TILE;
        dal_gradient_factor(g, first, rows, a, classes);
        for (int64_t i = 0; i < rows; i++) {
            const float *h = g->features.data + (first + i) * g->features.stride;
            const double aa = dal_dot(a + i * c, a + i * c, c), hh = dal_dot(h, h, d) + g->bias;
            j->out[first + i] = fmax(aa, hh) < (double)FLT_MAX / 16 ? aa * hh : (double)NAN; /* NaN stays */
            j->largest_a[strand] = fmax(j->largest_a[strand], aa);
            j->largest_h[strand] = fmax(j->largest_h[strand], hh);
            if (j->rows) {
                j->rows->classes[first + i] = classes[i];
                j->rows->tops[first + i] = a[i * c + classes[i]];
            }
        }
    }
    j->host->free(j->host, a);
    return DAL_OK;
}

static dal_status name_culprit(const dal_gradients *g, int64_t i, dal_error *err)
{
    const float *h = g->features.data + i * g->features.stride;
    const dal_matrix *v = &g->outputs.values;
    const long long id = (long long)(g->ids ? g->ids[i] : i);
    for (int64_t k = 0; k < g->features.cols; k++)
        if (!isfinite(h[k]))
            return dal_fail(err, DAL_E_INVALID, "",
                            "feature %lld of sample %lld is %g, expected finite numbers; did "
                            "the model diverge?",
                            (long long)k, id, (double)h[k]);
    for (int64_t k = 0; v->data && k < v->cols; k++)
        if (!(v->data[i * v->stride + k] < INFINITY))
            return dal_fail(err, DAL_E_INVALID, "",
                            "output %lld of sample %lld is %g, expected finite numbers; did "
                            "the model diverge?",
                            (long long)k, id, (double)v->data[i * v->stride + k]);
    return dal_fail(err, DAL_E_INVALID, "", "outputs or features of sample %lld are so large that distances "
                    "overflow; scale them", id);
}

dal_status gradient_measure(const dal_host *host, const dal_gradients *g, double *norms, gradient_rows *rows,
                            dal_error *err)
{
    const int64_t n = g->features.rows;
    norm_job j = {.host = host, .g = g, .out = norms, .rows = rows};
    if (g->outputs.values.data && (g->outputs.values.rows != n || g->outputs.values.cols < 1))
        return dal_fail(err, DAL_E_INVALID, "", "outputs of %lld samples and %lld classes beside features of %lld",
                        (long long)g->outputs.values.rows, (long long)g->outputs.values.cols, (long long)n);
    const dal_status st = host->parallel_for(host, 64, norm_task, &j);
    if (st != DAL_OK)
        return dal_fail(err, st, "", "no memory for gradients of %lld samples", (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(norms[i]))
            return name_culprit(g, i, err);
    for (int k = 0; rows && k < 64; k++) {
        rows->largest_a = fmax(rows->largest_a, j.largest_a[k]);
        rows->largest_h = fmax(rows->largest_h, j.largest_h[k]);
    }
    return DAL_OK;
}

dal_status dal_gradient_norms(const dal_host *host, const dal_gradients *g, double *out, dal_error *err)
{
    return gradient_measure(host, g, out, NULL, err);
}

/* ---- blocks of products ----------------------------------------------------------------------- */

dal_status dal_gradient_products(const dal_host *host, const dal_gradients *x, int64_t x_first, int64_t nx,
                                 const dal_gradients *y, int64_t y_first, int64_t ny, float *out, int64_t ldo,
                                 dal_error *err)
{
    const int64_t c = dal_gradient_width(x), d = x->features.cols, ldx = x->features.stride;
    int64_t room;
    float *ax = dal_array(host, dal_size_mul(nx, c, &room) ? room : -1, sizeof *ax);
    float *ay = dal_array(host, dal_size_mul(ny, c, &room) ? room : -1, sizeof *ay);
    float *aa = dal_array(host, dal_size_mul(nx, ny, &room) ? room : -1, sizeof *aa);
    dal_status st = ax && ay && aa ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK) {
        dal_gradient_factor(x, x_first, nx, ax, NULL);
        dal_gradient_factor(y, y_first, ny, ay, NULL);
        st = dal_gemm_nt(nx, ny, c, 1, ax, c, ay, c, 0, aa, ny);
    }
    if (st == DAL_OK)
        st = dal_gemm_nt(nx, ny, d, 1, x->features.data + x_first * ldx, ldx,
                         y->features.data + y_first * y->features.stride, y->features.stride, 0, out, ldo);
    for (int64_t i = 0; st == DAL_OK && i < nx; i++)
        for (int64_t j = 0; j < ny; j++)
            out[i * ldo + j] = aa[i * ny + j] * (out[i * ldo + j] + (float)x->bias);
    host->free(host, ax);
    host->free(host, ay);
    host->free(host, aa);
    return st == DAL_OK ? DAL_OK
                        : dal_fail(err, st, "", "no memory for products of %lld and %lld gradients", (long long)nx,
                                   (long long)ny);
}
