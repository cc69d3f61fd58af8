#include <dal/dpp.h>

#include <dal/submodular.h>
#include <dal/symmetric.h>

#include "clones.h"
#include "set_functions.h"

#include <float.h>
#include <math.h>

#define TASK 64         /* rows in a task */
#define TINIEST 1e-11   /* of the largest eigenvalue: what counts as 0 */

/* ---- the most probable set, greedily ---------------------------------------------------------- */

static double quality(const dal_dpp *d, int64_t i)
{
    return d->quality ? d->quality[i] : 1;
}

/* The best rows that are not picked yet, up to want picks in all. */
static dal_status fill_up(const dal_host *host, const dal_dpp *d, int64_t want, int64_t *picks, int64_t *n,
                          dal_error *err)
{
    const int64_t rows = d->points->x.rows;
    char *taken = dal_array(host, rows, 1);
    if (!taken)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld rows", (long long)rows);
    memset(taken, 0, (size_t)rows);
    for (int64_t i = 0; i < *n; i++)
        taken[picks[i]] = 1;
    while (*n < want) {
        int64_t best = -1;
        for (int64_t i = 0; i < rows; i++)
            if (!taken[i] && (best < 0 || quality(d, i) > quality(d, best)))
                best = i;
        taken[best] = 1;
        picks[(*n)++] = best;
    }
    host->free(host, taken);
    return DAL_OK;
}

dal_status dal_dpp_map(const dal_host *host, const dal_dpp *d, int64_t k, int64_t *picks, double *gain, int64_t *n,
                       dal_error *err)
{
    const int64_t want = k < d->points->x.rows ? k : d->points->x.rows;
    const dal_submodular spec = {.struct_size = sizeof spec, .function = DAL_LOGDET, .similarity = d->similarity,
                                 .candidates = d->points, .weights = d->quality};
    const dal_greedy_options opt = {
        .struct_size = sizeof opt, .engine = DAL_LAZY, .n_picks = want, .stop = -DBL_MAX};
    dal_set_function *f = NULL;
    *n = 0;
    dal_status st = dal_submodular_new(host, &spec, &f, err);
    if (st == DAL_OK)
        st = dal_greedy(host, f, &opt, picks, gain, n, err);
    dal_set_function_free(f);
    for (int64_t i = *n; i < want; i++)
        gain[i] = (double)NAN;
    return st == DAL_OK ? fill_up(host, d, want, picks, n, err) : st;
}

/* ---- eigenvectors ----------------------------------------------------------------------------- */

/* A draw at work. */
typedef struct draw {
    const dal_host *host;
    const dal_dpp *d;
    int64_t n, r;     /* rows, columns of b */
    double *b;        /* [n, r] L = b b'; NULL: the n x n kernel itself is decomposed */
    double *kernel;   /* [r, r] b' b, or L; its eigenvectors, then */
    double *values;   /* [r] ascending */
    int64_t *chosen, k; /* [k] eigenvectors */
    double *v;        /* [n, k] their rows, orthonormal columns */
    double *c;        /* [n, k] what was taken off, a column a pick */
    double *left;     /* [n] squared length of row i of v after that */
    const int64_t *picks;
    int64_t n_picks;
} draw;

DAL_CLONES static double dot(const double *x, const double *y, int64_t n)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += x[i + l] * y[i + l];
    for (; i < n; i++)
        lane[0] += x[i] * y[i];
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

DAL_CLONES static void add_scaled(double *to, const double *x, double by, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] += by * x[i];
}

/* Row i of b: w x for dot, w [1, x / |x|] / sqrt 2 for cosine. */
static void fill_b(draw *w)
{
    const dal_points *p = w->d->points;
    const int cosine = w->d->similarity.kind == DAL_COSINE;
    for (int64_t i = 0; i < w->n; i++) {
        double *row = w->b + i * w->r;
        const double length = cosine ? sqrt(2 * p->squares[i]) : 1,
                     scale = length > 0 ? quality(w->d, i) / length : 0;
        for (int64_t k = 0; k < p->x.cols; k++)
            row[k] = scale * (double)p->x.data[i * p->x.stride + k];
        if (cosine)
            row[p->x.cols] = quality(w->d, i) * sqrt(0.5);
    }
}

/* A row of the kernel that is decomposed, up to its diagonal. */
static dal_status kernel_task(void *ctx, int64_t i)
{
    const draw *w = ctx;
    const dal_points *p = w->d->points;
    double *row = w->kernel + i * w->r;
    if (w->host->cancelled(w->host))
        return DAL_E_CANCELLED;
    if (w->b) {
        for (int64_t j = 0; j <= i; j++)
            row[j] = 0;
        for (int64_t m = 0; m < w->n; m++)
            add_scaled(row, w->b + m * w->r, w->b[m * w->r + i], i + 1);
    } else {
        for (int64_t j = 0; j <= i; j++)
            row[j] = quality(w->d, i) * dal_alike(&w->d->similarity, p, i, p, j) * quality(w->d, j);
    }
    return DAL_OK;
}

static dal_status decompose(draw *w, dal_error *err)
{
    const dal_points *p = w->d->points;
    const int64_t width = p->x.cols + (w->d->similarity.kind == DAL_COSINE);
    const int dual = w->d->similarity.kind != DAL_RBF && !p->y.data && width < w->n;
    int64_t n_b, n_kernel;
    w->r = dual ? width : w->n;
    if (!dal_size_mul(w->n, w->r, &n_b) || !dal_size_mul(w->r, w->r, &n_kernel))
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld rows are too many for a k-DPP", (long long)w->n);
    if (dual)
        w->b = dal_array(w->host, n_b, sizeof *w->b);
    w->kernel = dal_array(w->host, n_kernel, sizeof *w->kernel);
    w->values = dal_array(w->host, w->r, sizeof *w->values);
    if ((dual && !w->b) || !w->kernel || !w->values)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the kernel of %lld rows", (long long)w->n);
    if (dual)
        fill_b(w);
    const dal_status st = w->host->parallel_for(w->host, w->r, kernel_task, w);
    if (st != DAL_OK)
        return dal_fail(err, st, "", "interrupted");
    return dal_eigen(w->host, w->r, w->kernel, w->values, err);
}

/* ---- which eigenvectors ----------------------------------------------------------------------- */

static double log_add(double a, double b)
{
    const double top = fmax(a, b), low = fmin(a, b);
    return isinf(low) ? top : top + log1p(exp(low - top));
}

/* e_l(m) = e_l(m - 1) + value_m e_{l-1}(m - 1) */
void dal_log_symmetric(const double *log_values, int64_t n, int64_t k, double *out)
{
    for (int64_t m = 0; m <= n; m++)
        out[m] = 0;
    for (int64_t l = 1; l <= k; l++) {
        double *row = out + l * (n + 1);
        const double *above = row - (n + 1);
        row[0] = -(double)INFINITY;
        for (int64_t m = 1; m <= n; m++)
            row[m] = log_add(row[m - 1], log_values[m - 1] + above[m - 1]);
    }
}

/* k of the eigenvectors whose values are not 0, with probability proportional to the product of their values. */
static dal_status choose(draw *w, int64_t want, dal_rng *rng, dal_error *err)
{
    int64_t first = 0, size;
    const double least = w->r > 0 ? TINIEST * w->values[w->r - 1] : 0;
    while (first < w->r && !(w->values[first] > least))
        first++;
    const int64_t rank = w->r - first;
    int64_t left = want < rank ? want : rank;
    double *logs = dal_array(w->host, rank, sizeof *logs);
    double *e = dal_size_mul(left + 1, rank + 1, &size) ? dal_array(w->host, size, sizeof *e) : NULL;
    w->chosen = dal_array(w->host, left, sizeof *w->chosen);
    dal_status st = DAL_OK;
    if (!logs || !e || !w->chosen)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld symmetric polynomials", (long long)left);
    for (int64_t m = 0; st == DAL_OK && m < rank; m++)
        logs[m] = log(w->values[first + m]);
    if (st == DAL_OK)
        dal_log_symmetric(logs, rank, left, e);
    for (int64_t m = rank; st == DAL_OK && m > 0 && left > 0; m--) {
        const double p = exp(logs[m - 1] + e[(left - 1) * (rank + 1) + m - 1] - e[left * (rank + 1) + m]);
        if (left == m || dal_rng_uniform(rng) < p) {
            w->chosen[w->k++] = first + m - 1;
            left--;
        }
    }
    w->host->free(w->host, logs);
    w->host->free(w->host, e);
    return st;
}

/* ---- which rows ------------------------------------------------------------------------------- */

/* Rows of v: entries of the chosen eigenvectors u of L; of the dual kernel b u / sqrt(value). */
static dal_status vectors_task(void *ctx, int64_t t)
{
    const draw *w = ctx;
    const int64_t end = (t + 1) * TASK < w->n ? (t + 1) * TASK : w->n;
    for (int64_t i = t * TASK; i < end; i++) {
        double *row = w->v + i * w->k;
        for (int64_t m = 0; m < w->k; m++) {
            const double *u = w->kernel + w->chosen[m] * w->r;
            row[m] = w->b ? dot(w->b + i * w->r, u, w->r) / sqrt(w->values[w->chosen[m]]) : u[i];
        }
        w->left[i] = dot(row, row, w->k);
    }
    return DAL_OK;
}

/* The latest pick's direction is taken off all rows. */
static dal_status project_task(void *ctx, int64_t t)
{
    const draw *w = ctx;
    const int64_t end = (t + 1) * TASK < w->n ? (t + 1) * TASK : w->n, last = w->n_picks - 1, p = w->picks[last];
    const double length = sqrt(w->left[p]);
    for (int64_t i = t * TASK; i < end; i++) {
        if (i == p)
            continue;
        double *c = w->c + i * w->k;
        c[last] = (dot(w->v + i * w->k, w->v + p * w->k, w->k) - dot(c, w->c + p * w->k, last)) / length;
        w->left[i] = fmax(0, w->left[i] - c[last] * c[last]);
    }
    return DAL_OK;
}

/* A row with probability left / sum of left, in the order of rows. */
static int64_t draw_row(const draw *w, dal_rng *rng)
{
    double sum = 0, so_far = 0;
    int64_t last = -1;
    for (int64_t i = 0; i < w->n; i++)
        sum += w->left[i];
    const double u = dal_rng_uniform(rng) * sum;
    for (int64_t i = 0; i < w->n; i++) {
        so_far += w->left[i];
        last = w->left[i] > 0 ? i : last;
        if (w->left[i] > 0 && so_far > u)
            break;
    }
    return last;
}

static dal_status draw_rows(draw *w, dal_rng *rng, int64_t *picks, dal_error *err)
{
    const int64_t n_tasks = (w->n + TASK - 1) / TASK;
    int64_t size;
    dal_status st = DAL_OK;
    if (!dal_size_mul(w->n, w->k, &size))
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld rows are too many", (long long)w->n);
    w->v = dal_array(w->host, size, sizeof *w->v);
    w->c = dal_array(w->host, size, sizeof *w->c);
    w->left = dal_array(w->host, w->n, sizeof *w->left);
    w->picks = picks;
    if (!w->v || !w->c || !w->left)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld eigenvectors", (long long)w->k);
    st = w->host->parallel_for(w->host, n_tasks, vectors_task, w);
    while (st == DAL_OK && w->n_picks < w->k) {
        const int64_t row = draw_row(w, rng);
        if (row < 0 || w->host->cancelled(w->host)) /* what is left is rounding: filled up by quality */
            break;
        picks[w->n_picks++] = row;
        st = w->host->parallel_for(w->host, n_tasks, project_task, w);
        w->left[row] = 0;
    }
    if (st == DAL_OK && w->host->cancelled(w->host))
        st = DAL_E_CANCELLED;
    return st == DAL_OK ? st : dal_fail(err, st, "", "interrupted after %lld picks", (long long)w->n_picks);
}

dal_status dal_dpp_sample(const dal_host *host, const dal_dpp *d, int64_t k, const dal_rng *stream, int64_t *picks,
                          int64_t *n, dal_error *err)
{
    draw w = {.host = host, .d = d, .n = d->points->x.rows};
    const int64_t want = k < w.n ? k : w.n;
    dal_rng rng = *stream;
    *n = 0;
    dal_status st = want > 0 ? decompose(&w, err) : DAL_OK;
    if (st == DAL_OK && want > 0)
        st = choose(&w, want, &rng, err);
    if (st == DAL_OK && w.k > 0)
        st = draw_rows(&w, &rng, picks, err);
    *n = w.n_picks;
    host->free(host, w.b);
    host->free(host, w.kernel);
    host->free(host, w.values);
    host->free(host, w.chosen);
    host->free(host, w.v);
    host->free(host, w.c);
    host->free(host, w.left);
    return st == DAL_OK ? fill_up(host, d, want, picks, n, err) : st;
}
