#include "similarity.h"

#include "clones.h"

#include <dal/linalg.h>
#include <float.h>
#include <math.h>

#define TASK 64     /* rows of a in a task */
#define UNIT 0x1p-24 /* rounding error of float */

/* ---- pairs ------------------------------------------------------------------------------------ */

double dal_inner(const dal_points *a, int64_t i, const dal_points *b, int64_t j)
{
    const double x = dal_dot(a->x.data + i * a->x.stride, b->x.data + j * b->x.stride, a->x.cols) + a->extra;
    return a->y.data ? x * dal_dot(a->y.data + i * a->y.stride, b->y.data + j * b->y.stride, a->y.cols) : x;
}

static double from_inner(const dal_similarity *s, double inner, double a2, double b2)
{
    if (s->kind == DAL_DOT)
        return inner;
    if (s->kind == DAL_RBF)
        return exp(-fmax(0, a2 + b2 - 2 * inner) / (2 * s->width * s->width));
    const double length = sqrt(a2 * b2);
    return length > 0 ? 0.5 + 0.5 * fmax(-1, fmin(1, inner / length)) : 0.5;
}

double dal_alike(const dal_similarity *s, const dal_points *a, int64_t i, const dal_points *b, int64_t j)
{
    return from_inner(s, dal_inner(a, i, b, j), a->squares[i], b->squares[j]);
}

/* ---- lengths ---------------------------------------------------------------------------------- */

static int64_t tasks(int64_t n)
{
    return n / TASK + (n % TASK != 0);
}

static int64_t task_end(int64_t t, int64_t n)
{
    return (t + 1) * TASK < n ? (t + 1) * TASK : n;
}

static dal_status measure_task(void *ctx, int64_t t)
{
    dal_points *p = ctx;
    for (int64_t i = t * TASK; i < task_end(t, p->x.rows); i++)
        p->squares[i] = dal_inner(p, i, p, i);
    return DAL_OK;
}

static dal_status bad_row(const dal_points *p, int64_t i, const char *what, const int64_t *ids, dal_error *err)
{
    const dal_matrix *sides[] = {&p->x, &p->y};
    const char *name = ids ? "sample" : "row";
    const long long which = (long long)(ids ? ids[i] : i);
    for (int s = 0; s < 2; s++)
        for (int64_t k = 0; sides[s]->data && k < sides[s]->cols; k++)
            if (!isfinite(sides[s]->data[i * sides[s]->stride + k]))
                return dal_fail(err, DAL_E_INVALID, "", "%s: %s %lld, column %lld is %g, expected finite numbers; "
                                "did the model diverge?", what, name, which, (long long)k,
                                (double)sides[s]->data[i * sides[s]->stride + k]);
    return dal_fail(err, DAL_E_INVALID, "",
                    "%s: %s %lld is so large (length %g) that products overflow; scale the "
                    "features",
                    what, name, which, sqrt(p->squares[i]));
}

dal_status dal_points_measure(const dal_host *host, dal_points *p, const char *what, const int64_t *ids,
                              dal_error *err)
{
    p->squares = dal_array(host, p->x.rows, sizeof *p->squares);
    if (!p->squares)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the lengths of %lld samples", (long long)p->x.rows);
    const dal_status st = host->parallel_for(host, tasks(p->x.rows), measure_task, p);
    for (int64_t i = 0; st == DAL_OK && i < p->x.rows; i++)
        if (!(p->squares[i] < (double)FLT_MAX / 16))
            return bad_row(p, i, what, ids, err);
    return st;
}

void dal_points_free(const dal_host *host, dal_points *p)
{
    host->free(host, p->squares);
    p->squares = NULL;
}

/* ---- tiles ------------------------------------------------------------------------------------ */

sim_rows sim_range(const dal_points *p, int64_t first, int64_t n)
{
    return (sim_rows){p->x.data + first * p->x.stride, p->y.data ? p->y.data + first * p->y.stride : NULL,
                      p->x.stride, p->y.stride, p->squares + first, n};
}

int sim_pack_take(const dal_host *host, const dal_points *p, int64_t n, sim_pack *out)
{
    int64_t x, y;
    *out = (sim_pack){.rows = {.ldx = p->x.cols, .ldy = p->y.cols}};
    if (!dal_size_mul(n, p->x.cols, &x) || !dal_size_mul(n, p->y.cols, &y))
        return 0;
    out->x = dal_array(host, x, sizeof *out->x);
    out->y = dal_array(host, y, sizeof *out->y);
    out->squares = dal_array(host, n, sizeof *out->squares);
    return out->x && out->y && out->squares;
}

void sim_pack_fill(sim_pack *k, const dal_points *p, const int64_t *rows, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        memcpy(k->x + i * p->x.cols, p->x.data + rows[i] * p->x.stride, (size_t)p->x.cols * sizeof *k->x);
        if (p->y.data)
            memcpy(k->y + i * p->y.cols, p->y.data + rows[i] * p->y.stride, (size_t)p->y.cols * sizeof *k->y);
        k->squares[i] = p->squares[rows[i]];
    }
    k->rows = (sim_rows){k->x, p->y.data ? k->y : NULL, p->x.cols, p->y.cols, k->squares, n};
}

void sim_pack_free(const dal_host *host, sim_pack *k)
{
    host->free(host, k->x);
    host->free(host, k->y);
    host->free(host, k->squares);
}

/* One row of inner products to similarities; b: 1 / |j| for cosine, |j|^2 for rbf. */
DAL_CLONES static void cosine_row(float *out, int64_t n, float a, const float *b)
{
    for (int64_t j = 0; j < n; j++)
        out[j] = 0.5f + out[j] * (a * b[j]);
}

static void rbf_row(float *out, int64_t n, double a2, const double *b2, double scale)
{
    for (int64_t j = 0; j < n; j++)
        out[j] = expf((float)(scale * fmax(0, a2 + b2[j] - 2 * (double)out[j])));
}

DAL_CLONES static void times_row(float *out, const float *by, int64_t n, float extra)
{
    for (int64_t j = 0; j < n; j++)
        out[j] = (out[j] + extra) * by[j];
}

static double inverse_length(double square)
{
    return square > 0 ? 1 / sqrt(square) : 0;
}

static void finish_tile(const dal_similarity *s, const sim_rows *a, const sim_rows *b, float *out, int64_t ld)
{
    float inverse[SIM_TILE];
    if (s->kind == DAL_COSINE)
        for (int64_t j = 0; j < b->n; j++)
            inverse[j] = (float)inverse_length(b->squares[j]);
    for (int64_t i = 0; s->kind != DAL_DOT && i < a->n; i++)
        if (s->kind == DAL_COSINE)
            cosine_row(out + i * ld, b->n, (float)(0.5 * inverse_length(a->squares[i])), inverse);
        else
            rbf_row(out + i * ld, b->n, a->squares[i], b->squares, -1 / (2 * s->width * s->width));
}

dal_status sim_tile(const dal_similarity *s, const dal_points *shape, const sim_rows *a, const sim_rows *b,
                    float *out, int64_t ld, float *scratch)
{
    dal_status st = dal_gemm_nt(a->n, b->n, shape->x.cols, 1, a->x, a->ldx, b->x, b->ldx, 0, out, ld);
    if (st == DAL_OK && a->y) {
        st = dal_gemm_nt(a->n, b->n, shape->y.cols, 1, a->y, a->ldy, b->y, b->ldy, 0, scratch, ld);
        for (int64_t i = 0; st == DAL_OK && i < a->n; i++)
            times_row(out + i * ld, scratch + i * ld, b->n, (float)shape->extra);
    }
    if (st == DAL_OK)
        finish_tile(s, a, b, out, ld);
    return st;
}

/* |fl(x.y) - x.y| <= k u |x||y| for a sum of k products in any order (Higham 3.5); a product of two such, and a
 * few operations on top. Underflow takes a little from each term beside. */
double sim_error(const dal_similarity *s, const dal_points *shape, double a2, double b2)
{
    const double relative = 1.1 * (double)(shape->x.cols + shape->y.cols + 16) * UNIT;
    const double tiny = (double)(shape->x.cols + shape->y.cols) * 0x1p-124;
    if (s->kind == DAL_COSINE)
        return fmin(1, relative + tiny / fmax(sqrt(a2 * b2), DBL_MIN));
    const double inner = relative * sqrt(a2 * b2) + tiny;
    if (s->kind == DAL_DOT)
        return inner;
    const double distance = 2 * inner + 4 * UNIT * (a2 + b2);
    return fmin(1, distance / (2 * s->width * s->width) + 8 * UNIT);
}

/* ---- the most alike --------------------------------------------------------------------------- */

typedef struct alike_job {
    const dal_host *host;
    const dal_similarity *s;
    const dal_points *a, *b;
    double largest; /* of b's squares */
    const double *direction; /* [max(c, 1), d + 1], see sum_directions */
    double *out;
} alike_job;

double sim_largest(const dal_points *p)
{
    double top = 0;
    for (int64_t i = 0; i < p->x.rows; i++)
        top = fmax(top, p->squares[i]);
    return top;
}

/* Where the float value says that the maximum could be beaten it is computed properly. */
static dal_status most_task(void *ctx, int64_t t)
{
    const alike_job *j = ctx;
    const int64_t first = t * TASK, n = task_end(t, j->a->x.rows) - first, n_b = j->b->x.rows;
    if (j->host->cancelled(j->host))
        return DAL_E_CANCELLED;
    float *tile = dal_array(j->host, 2 * TASK * SIM_TILE, sizeof *tile);
    dal_status st = tile ? DAL_OK : DAL_E_NOMEM;
    const sim_rows a = sim_range(j->a, first, n);
    for (int64_t i = 0; i < n; i++)
        j->out[first + i] = 0;
    for (int64_t k = 0; st == DAL_OK && k < n_b; k += SIM_TILE) {
        const sim_rows b = sim_range(j->b, k, n_b - k < SIM_TILE ? n_b - k : SIM_TILE);
        st = sim_tile(j->s, j->a, &a, &b, tile, SIM_TILE, tile + TASK * SIM_TILE);
        for (int64_t i = 0; st == DAL_OK && i < n; i++) {
            const double error = sim_error(j->s, j->a, a.squares[i], j->largest);
            double *best = &j->out[first + i];
            for (int64_t q = 0; q < b.n; q++)
                if ((double)tile[i * SIM_TILE + q] > *best - error)
                    *best = fmax(*best, dal_alike(j->s, j->a, first + i, j->b, k + q));
        }
    }
    j->host->free(j->host, tile);
    return st;
}

static dal_status run_alike(const dal_host *host, alike_job *j, dal_status (*task)(void *ctx, int64_t t),
                            dal_error *err)
{
    const dal_status st = host->parallel_for(host, tasks(j->a->x.rows), task, j);
    if (st == DAL_OK)
        return DAL_OK;
    return dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted among similarities to %lld samples"
                                 : st == DAL_E_NOMEM   ? "no memory for similarities to %lld samples"
                                                       : "similarities to %lld samples could not be computed",
                    (long long)j->b->x.rows);
}

dal_status dal_most_alike(const dal_host *host, const dal_similarity *s, const dal_points *a, const dal_points *b,
                          double *out, dal_error *err)
{
    alike_job j = {.host = host, .s = s, .a = a, .b = b, .largest = sim_largest(b), .out = out};
    return run_alike(host, &j, most_task, err);
}

/* ---- sums ------------------------------------------------------------------------------------- */

/* out [max(c, 1), d + 1] = sum over rows of y (x) [x, 1], each divided by its length for cosine. */
static void sum_directions(const dal_similarity *s, const dal_points *p, double *out)
{
    const int64_t d = p->x.cols, c = p->y.data ? p->y.cols : 1;
    memset(out, 0, (size_t)(c * (d + 1)) * sizeof *out);
    for (int64_t i = 0; i < p->x.rows; i++) {
        const double weight = s->kind == DAL_COSINE ? inverse_length(p->squares[i]) : 1;
        const float *x = p->x.data + i * p->x.stride;
        for (int64_t k = 0; k < c; k++) {
            const double y = weight * (p->y.data ? (double)p->y.data[i * p->y.stride + k] : 1);
            double *row = out + k * (d + 1);
            for (int64_t f = 0; y != 0 && f < d; f++)
                row[f] += y * (double)x[f];
            row[d] += y * p->extra;
        }
    }
}

DAL_CLONES double sim_mixed_dot(const float *x, const double *w, int64_t n)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += (double)x[i + l] * w[i + l];
    for (; i < n; i++)
        lane[0] += (double)x[i] * w[i];
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

static dal_status linear_task(void *ctx, int64_t t)
{
    const alike_job *j = ctx;
    const dal_points *a = j->a;
    const int64_t d = a->x.cols, c = a->y.data ? a->y.cols : 1;
    if (j->host->cancelled(j->host))
        return DAL_E_CANCELLED;
    for (int64_t i = t * TASK; i < task_end(t, a->x.rows); i++) {
        double sum = 0;
        for (int64_t k = 0; k < c; k++) {
            const double y = a->y.data ? (double)a->y.data[i * a->y.stride + k] : 1;
            const double *row = j->direction + k * (d + 1);
            sum += y != 0 ? y * (sim_mixed_dot(a->x.data + i * a->x.stride, row, d) + row[d]) : 0;
        }
        if (j->s->kind == DAL_COSINE)
            sum = 0.5 * ((double)j->b->x.rows + sum * inverse_length(a->squares[i]));
        j->out[i] = sum;
    }
    return DAL_OK;
}

static dal_status pairs_task(void *ctx, int64_t t)
{
    const alike_job *j = ctx;
    for (int64_t i = t * TASK; i < task_end(t, j->a->x.rows); i++) {
        if (j->host->cancelled(j->host))
            return DAL_E_CANCELLED;
        double sum = 0;
        for (int64_t k = 0; k < j->b->x.rows; k++)
            sum += dal_alike(j->s, j->a, i, j->b, k);
        j->out[i] = sum;
    }
    return DAL_OK;
}

dal_status dal_sum_alike(const dal_host *host, const dal_similarity *s, const dal_points *a, const dal_points *b,
                         double *out, dal_error *err)
{
    alike_job j = {.host = host, .s = s, .a = a, .b = b, .out = out};
    int64_t size;
    if (s->kind == DAL_RBF)
        return run_alike(host, &j, pairs_task, err);
    double *direction = dal_size_mul(b->y.data ? b->y.cols : 1, b->x.cols + 1, &size)
                            ? dal_array(host, size, sizeof *direction)
                            : NULL;
    if (!direction)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the sum of %lld samples", (long long)b->x.rows);
    sum_directions(s, b, direction);
    j.direction = direction;
    const dal_status st = run_alike(host, &j, linear_task, err);
    host->free(host, direction);
    return st;
}
