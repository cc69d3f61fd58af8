#include <dal/information.h>
#include <dal/linalg.h>
#include <dal/symmetric.h>

#include <math.h>

#define TILE 256 /* rows of a product */

/* ---- rows ------------------------------------------------------------------------------------- */

void dal_softmax_rows_free(const dal_host *host, dal_softmax_rows *rows)
{
    host->free(host, rows->pi);
    host->free(host, rows->h);
    rows->pi = rows->h = NULL;
}

/* Row i of both; whether all is finite. */
static int read_row(dal_softmax_rows *x, int64_t i, const dal_outputs *o, const dal_matrix *f)
{
    const float *z = o->values.data + i * o->values.stride, *g = f->data + i * f->stride;
    double *pi = x->pi + i * x->c, *h = x->h + i * x->w, top = -INFINITY, sum = 0, all = 0;
    for (int64_t k = 0; k < x->c; k++)
        top = fmax(top, (double)z[k]);
    for (int64_t k = 0; k < x->c; k++)
        sum += pi[k] = o->kind == DAL_LOGITS ? exp((double)z[k] - top) : (double)z[k];
    for (int64_t k = 0; k < x->c; k++)
        pi[k] /= sum;
    for (int64_t j = 0; j < x->w; j++)
        all += h[j] = j < f->cols ? (double)g[j] : 1;
    return isfinite(sum) && isfinite(all);
}

dal_status dal_softmax_rows_read(const dal_host *host, const dal_view *view, uint32_t set, int bias,
                                 dal_softmax_rows *out, dal_error *err)
{
    dal_outputs o;
    dal_matrix f;
    int64_t cells;
    dal_softmax_rows x = {.struct_size = sizeof x, .n = view->count(view, set), .c = view->n_classes, .w = out->w};
    dal_status st = DAL_OK;
    if (x.n > 0 && (st = view->outputs(view, set, &o, err)) == DAL_OK &&
        (st = view->features(view, set, &f, err)) == DAL_OK) {
        x.c = o.values.cols;
        x.w = f.cols + (bias ? 1 : 0);
        x.pi = dal_size_mul(x.n, x.c, &cells) ? dal_array(host, cells, sizeof *x.pi) : NULL;
        x.h = dal_size_mul(x.n, x.w, &cells) ? dal_array(host, cells, sizeof *x.h) : NULL;
        if (!x.pi || !x.h)
            st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)x.n);
        for (int64_t i = 0; st == DAL_OK && i < x.n; i++)
            if (!read_row(&x, i, &o, &f))
                st = dal_fail(err, DAL_E_INVALID, "", "the outputs or features of sample %lld are not numbers",
                              (long long)view->ids(view, set)[i]);
    }
    if (st == DAL_OK)
        *out = x;
    else
        dal_softmax_rows_free(host, &x);
    return st;
}

dal_status dal_information_bound(int64_t c, int64_t w, int64_t max_parameters, dal_error *err)
{
    int64_t m;
    if (dal_size_mul(c, w, &m) && m <= max_parameters)
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "max_parameters",
                    "%lld classes x %lld numbers a sample are more than max_parameters, %lld; raise it, or use a "
                    "model with fewer features",
                    (long long)c, (long long)w, (long long)max_parameters);
}

/* ---- sums ------------------------------------------------------------------------------------- */

typedef struct sum_job {
    const dal_host *host;
    const dal_softmax_rows *rows;
    double scale;
    int squared;
    double *into;
} sum_job;

/* Entry (k, l) of S = diag(pi) - pi pi', or of S^2. */
static double spread(const double *pi, int64_t c, int64_t k, int64_t l, int squared)
{
    if (!squared)
        return (k == l ? pi[k] : 0) - pi[k] * pi[l];
    double square = 0; /* S^2 = D^4 - pi^2 pi' - pi pi^2' + ||pi||^2 pi pi' */
    for (int64_t j = 0; j < c; j++)
        square += pi[j] * pi[j];
    return (k == l ? pi[k] * pi[k] : 0) + pi[k] * pi[l] * (square - pi[k] - pi[l]);
}

/* Block (k, l <= k), number k (k + 1) / 2 + l. */
static dal_status sum_block(void *ctx, int64_t block)
{
    const sum_job *j = ctx;
    const dal_softmax_rows *x = j->rows;
    const int64_t w = x->w, m = x->c * w;
    int64_t k = 0;
    while ((k + 1) * (k + 2) / 2 <= block)
        k++;
    const int64_t l = block - k * (k + 1) / 2;
    double *scaled = dal_array(j->host, TILE * w, sizeof *scaled);
    dal_status st = scaled ? DAL_OK : DAL_E_NOMEM;
    for (int64_t first = 0; st == DAL_OK && first < x->n; first += TILE) {
        const int64_t n = x->n - first < TILE ? x->n - first : TILE;
        for (int64_t i = 0; i < n; i++) {
            const double s = j->scale * spread(x->pi + (first + i) * x->c, x->c, k, l, j->squared);
            for (int64_t a = 0; a < w; a++)
                scaled[i * w + a] = s * x->h[(first + i) * w + a];
        }
        st = dal_dgemm_tn(w, w, n, 1, scaled, w, x->h + first * w, w, 1, j->into + k * w * m + l * w, m);
    }
    j->host->free(j->host, scaled);
    return st;
}

dal_status dal_information_add(const dal_host *host, const dal_softmax_rows *rows, double scale, int squared,
                               double *into, dal_error *err)
{
    sum_job j = {host, rows, scale, squared, into};
    const int64_t m = rows->c * rows->w;
    const dal_status st = host->parallel_for(host, rows->c * (rows->c + 1) / 2, sum_block, &j);
    if (st != DAL_OK)
        return dal_fail(err, st, "", "no memory for a tile of %lld features", (long long)rows->w);
    for (int64_t i = 0; i < m; i++)
        for (int64_t k = 0; k < i; k++)
            into[k * m + i] = into[i * m + k];
    return DAL_OK;
}

/* ---- matrices of all parameters ---------------------------------------------------------------- */

typedef struct product_job {
    const double *x, *y;
    double *out;
    int64_t m;
} product_job;

static dal_status product_tile(void *ctx, int64_t tile)
{
    const product_job *j = ctx;
    const int64_t m = j->m, first = tile * TILE, n = m - first < TILE ? m - first : TILE;
    return dal_dgemm_nn(n, m, m, 1, j->x + first * m, m, j->y, m, 0, j->out + first * m, m);
}

dal_status dal_information_sandwich(const dal_host *host, int64_t m, const double *p, const double *f,
                                    double *scratch, double *out)
{
    product_job j = {p, f, scratch, m};
    dal_status st = host->parallel_for(host, (m + TILE - 1) / TILE, product_tile, &j);
    j = (product_job){scratch, p, out, m};
    return st == DAL_OK ? host->parallel_for(host, (m + TILE - 1) / TILE, product_tile, &j) : st;
}

/* Rows of L^-T L^-1, of L^-1 in x: row i of the product begins at row i of L^-1. */
static dal_status square_tile(void *ctx, int64_t tile)
{
    const product_job *j = ctx;
    const int64_t m = j->m, first = tile * TILE, n = m - first < TILE ? m - first : TILE, left = m - first;
    return dal_dgemm_tn(n, m, left, 1, j->x + first * m + first, m, j->x + first * m, m, 0, j->out + first * m, m);
}

dal_status dal_information_invert(const dal_host *host, int64_t m, double *a, double *scratch, dal_error *err)
{
    product_job j = {scratch, NULL, a, m};
    memcpy(scratch, a, (size_t)(m * m) * sizeof *a);
    dal_status st = dal_cholesky(m, scratch, err);
    if (st == DAL_OK)
        st = dal_lower_inverse(m, scratch, err);
    return st == DAL_OK ? host->parallel_for(host, (m + TILE - 1) / TILE, square_tile, &j) : st;
}

/* ---- one sample ------------------------------------------------------------------------------- */

static double dot(const double *x, const double *y, int64_t n)
{
    double s[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int v = 0; v < 4; v++)
            s[v] += x[i + v] * y[i + v];
    for (; i < n; i++)
        s[0] += x[i] * y[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* q' D x = pi' x */
void dal_information_project(const double *pi, int64_t c, int64_t n, double *x)
{
    for (int64_t l = 0; l < n; l++) {
        double sum = 0;
        for (int64_t k = 0; k < c; k++)
            sum += pi[k] * x[k * n + l];
        for (int64_t k = 0; k < c; k++)
            x[k * n + l] -= sum;
    }
    for (int64_t k = 0; k < c; k++) {
        const double root = sqrt(pi[k]);
        for (int64_t l = 0; l < n; l++)
            x[k * n + l] *= root;
    }
}

static void transpose(int64_t c, double *x)
{
    for (int64_t k = 0; k < c; k++)
        for (int64_t l = 0; l < k; l++) {
            const double t = x[k * c + l];
            x[k * c + l] = x[l * c + k];
            x[l * c + k] = t;
        }
}

/* (I (x) h)' x (I (x) h) first, block row after block row, then B on both sides. */
dal_status dal_information_forms(const dal_softmax_rows *rows, int64_t first, int64_t n, const double *x,
                                 double *scratch, double *out)
{
    const int64_t c = rows->c, w = rows->w, m = c * w;
    const double *h = rows->h + first * w;
    dal_status st = DAL_OK;
    for (int64_t k = 0; st == DAL_OK && k < c; k++) {
        st = dal_dgemm_nn(n, (k + 1) * w, w, 1, h, w, x + k * w * m, m, 0, scratch, m);
        for (int64_t i = 0; i < n; i++)
            for (int64_t l = 0; l <= k; l++)
                out[(i * c + k) * c + l] = out[(i * c + l) * c + k] = dot(scratch + i * m + l * w, h + i * w, w);
    }
    for (int64_t i = 0; i < n; i++)
        for (int turn = 0; turn < 2; turn++) {
            dal_information_project(rows->pi + (first + i) * c, c, c, out + i * c * c);
            transpose(c, out + i * c * c);
        }
    return st;
}

/* a [c, c], its lower triangle, becomes L^-1 of a = L L'. In loops of its own: the matrices are small and many. */
static int invert_factor(int64_t c, double *a)
{
    for (int64_t k = 0; k < c; k++) {
        double *row = a + k * c;
        for (int64_t l = 0; l < k; l++)
            row[l] = (row[l] - dot(row, a + l * c, l)) / a[l * c + l];
        const double left = row[k] - dot(row, row, k);
        if (!(left > 0))
            return 0;
        row[k] = sqrt(left);
    }
    for (int64_t k = 0; k < c; k++) { /* row k of L^-1: (e_k - sum over l < k of L_kl row l) / L_kk */
        double *row = a + k * c;
        for (int64_t l = 0; l < k; l++) {
            const double factor = row[l];
            row[l] = 0;
            for (int64_t j = 0; j <= l; j++)
                row[j] -= factor * a[l * c + j];
        }
        const double top = 1 / row[k];
        row[k] = 1;
        for (int64_t j = 0; j <= k; j++)
            row[j] *= top;
    }
    return 1;
}

/* tr(L^-1 part L'^-1) */
dal_status dal_information_trace(int64_t c, double sign, double *gain, const double *part, double *out)
{
    for (int64_t k = 0; k < c; k++)
        for (int64_t l = 0; l < c; l++)
            gain[k * c + l] = (k == l ? 1 : 0) + sign * gain[k * c + l];
    *out = 0;
    if (!invert_factor(c, gain))
        return DAL_E_INVALID;
    for (int64_t k = 0; k < c; k++)
        for (int64_t i = 0; i <= k; i++)
            *out += gain[k * c + i] * (2 * dot(part + i * c, gain + k * c, i) + part[i * c + i] * gain[k * c + i]);
    return DAL_OK;
}
