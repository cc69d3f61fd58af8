#include <dal/neighbours.h>

#include "bound.h"
#include "clones.h"
#include "nearest.h"

#define TILE_X 128 /* rows of x in a task */
#define TILE_Y 512 /* rows of y at a time */

typedef struct job {
    const dal_host *host;
    const dal_neighbours_problem *p;
    const float *x_norms;
    const float *offsets; /* [m] bound_offset of y; 0 for Manhattan distances */
    double shrink;
    int64_t *index;
    float *distance;
} job;

/* ---- a row's neighbours: a heap, the farthest first ------------------------------------------- */

static int farther(const float *distance, const int64_t *index, int64_t a, int64_t b)
{
    return distance[a] > distance[b] || (!(distance[a] < distance[b]) && index[a] > index[b]);
}

static void swap(float *distance, int64_t *index, int64_t a, int64_t b)
{
    const float d = distance[a];
    const int64_t i = index[a];
    distance[a] = distance[b];
    index[a] = index[b];
    distance[b] = d;
    index[b] = i;
}

static void sink(float *distance, int64_t *index, int64_t n)
{
    for (int64_t at = 0, child = 1; child < n; at = child, child = 2 * at + 1) {
        if (child + 1 < n && farther(distance, index, child + 1, child))
            child++;
        if (!farther(distance, index, child, at))
            break;
        swap(distance, index, at, child);
    }
}

/* An empty place is infinitely far, behind every row. */
static void clear(float *distance, int64_t *index, int64_t k)
{
    for (int64_t i = 0; i < k; i++) {
        distance[i] = INFINITY;
        index[i] = INT64_MAX;
    }
}

static void offer(float *distance, int64_t *index, int64_t k, float d, int64_t row)
{
    if (!(d < distance[0] || (!(d > distance[0]) && row < index[0])))
        return;
    distance[0] = d;
    index[0] = row;
    sink(distance, index, k);
}

static void sort(float *distance, int64_t *index, int64_t k)
{
    for (int64_t n = k; n > 1; n--) {
        swap(distance, index, 0, n - 1);
        sink(distance, index, n - 1);
    }
    for (int64_t i = 0; i < k; i++)
        index[i] = index[i] == INT64_MAX ? -1 : index[i];
}

/* ---- one row against a tile of y -------------------------------------------------------------- */

static int counts(const dal_neighbours_problem *p, int64_t i, int64_t j)
{
    return !(p->self && i == j) && !(p->x_groups && p->x_groups[i] == p->y_groups[j]);
}

static int64_t lowest_below(const float *products, const float *offsets, int64_t n, float limit)
{
    int64_t i = 0;
    while (i < n && !(products[i] + offsets[i] < limit))
        i++;
    return i;
}

static void look(const job *j, int64_t i, const float *products, int64_t first, int64_t n)
{
    const dal_neighbours_problem *p = j->p;
    const int64_t d = p->x.cols;
    float *distance = j->distance + i * p->k;
    int64_t *index = j->index + i * p->k;
    const float *x = p->x.data + i * p->x.stride, *offsets = j->offsets + first;
    float limit = bound_limit((double)distance[0], (double)j->x_norms[i], d, j->shrink);
    for (int64_t s = 0; s < n; s += BOUND_STRIP) {
        const int64_t end = s + BOUND_STRIP < n ? s + BOUND_STRIP : n;
        if (end == s + BOUND_STRIP && !bound_any_below(products + s, offsets + s, limit))
            continue;
        for (int64_t c = s + lowest_below(products + s, offsets + s, end - s, limit); c < end;
             c += 1 + lowest_below(products + c + 1, offsets + c + 1, end - c - 1, limit)) {
            if (!counts(p, i, first + c))
                continue;
            const float to = dal_squared_distance(x, p->y.data + (first + c) * p->y.stride, d);
            offer(distance, index, p->k, to, first + c);
            limit = bound_limit((double)distance[0], (double)j->x_norms[i], d, j->shrink);
        }
    }
}

static dal_status euclidean_tile(const job *j, int64_t row, int64_t rows)
{
    const dal_neighbours_problem *p = j->p;
    float *products = dal_array(j->host, TILE_X * TILE_Y, sizeof *products);
    dal_status st = products ? DAL_OK : DAL_E_NOMEM;
    for (int64_t first = 0; st == DAL_OK && first < p->y.rows; first += TILE_Y) {
        const int64_t n = p->y.rows - first < TILE_Y ? p->y.rows - first : TILE_Y;
        st = j->host->cancelled(j->host) ? DAL_E_CANCELLED
             : dal_gemm_nt(rows, n, p->x.cols, -2, p->x.data + row * p->x.stride, p->x.stride,
                           p->y.data + first * p->y.stride, p->y.stride, 0, products, TILE_Y);
        for (int64_t i = 0; st == DAL_OK && i < rows; i++)
            look(j, row + i, products + i * TILE_Y, first, n);
    }
    j->host->free(j->host, products);
    return st;
}

DAL_CLONES static double manhattan(const float *x, const float *y, int64_t n)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            lane[l] += fabs((double)x[i + l] - (double)y[i + l]);
    for (; i < n; i++)
        lane[0] += fabs((double)x[i] - (double)y[i]);
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

#define QUICK 4         /* rows of y at a time */
#define QUICK_TERMS 256 /* between looks whether all of them are too far already */

/* sums[q] of |x - y_q| in float, rows of y ld apart; where all are beyond the limit the rest is left out. */
DAL_CLONES static void quick_manhattan(const float *x, const float *y, int64_t ld, int64_t n, float limit, float *sums)
{
    float lane[QUICK][16] = {{0}};
    for (int64_t first = 0; first < n; first += QUICK_TERMS) {
        const int64_t end = n - first < QUICK_TERMS ? n : first + QUICK_TERMS;
        int64_t i = first;
        int near = 0;
        for (; i + 16 <= end; i += 16)
            for (int q = 0; q < QUICK; q++)
                for (int l = 0; l < 16; l++)
                    lane[q][l] += fabsf(x[i + l] - y[q * ld + i + l]);
        for (; i < end; i++)
            for (int q = 0; q < QUICK; q++)
                lane[q][0] += fabsf(x[i] - y[q * ld + i]);
        for (int q = 0; q < QUICK; q++) {
            float half[8], quarter[4];
            for (int l = 0; l < 8; l++)
                half[l] = lane[q][l] + lane[q][l + 8];
            for (int l = 0; l < 4; l++)
                quarter[l] = half[l] + half[l + 4];
            sums[q] = (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
            near |= !(sums[q] > limit);
        }
        if (!near)
            return;
    }
}

/* A float sum beyond this is of numbers that are farther than `distance`: of n terms of one sign it is within
 * (n / 16 + 20) u of the truth, relatively. */
static float quick_limit(float distance, int64_t n)
{
    const double kappa = 1.1 * ((double)n / 16 + 32) * BOUND_UNIT;
    return nextafterf((float)((double)distance / (1 - kappa) + BOUND_TINY(n)), INFINITY);
}

/* Row i of x and `some` <= QUICK rows of y from c on. */
static void look_quickly(const job *j, int64_t i, int64_t c, int64_t some)
{
    const dal_neighbours_problem *p = j->p;
    const int64_t d = p->x.cols;
    const float *x = p->x.data + i * p->x.stride, *y = p->y.data + c * p->y.stride;
    float *distance = j->distance + i * p->k, sums[QUICK] = {0};
    const float limit = quick_limit(distance[0], d);
    if (some == QUICK)
        quick_manhattan(x, y, p->y.stride, d, limit, sums);
    for (int64_t q = 0; q < some; q++)
        if (!(sums[q] > limit) && counts(p, i, c + q))
            offer(distance, j->index + i * p->k, p->k, (float)manhattan(x, y + q * p->y.stride, d), c + q);
}

/* A few rows of y at a time, so that they are read once for all rows of the tile. */
static dal_status manhattan_tile(const job *j, int64_t row, int64_t rows)
{
    const dal_neighbours_problem *p = j->p;
    for (int64_t first = 0; first < p->y.rows; first += BOUND_STRIP) {
        const int64_t end = p->y.rows - first < BOUND_STRIP ? p->y.rows : first + BOUND_STRIP;
        if (j->host->cancelled(j->host))
            return DAL_E_CANCELLED;
        for (int64_t i = row; i < row + rows; i++)
            for (int64_t c = first; c < end; c += QUICK)
                look_quickly(j, i, c, end - c < QUICK ? end - c : QUICK);
    }
    return DAL_OK;
}

static dal_status tile_task(void *ctx, int64_t t)
{
    const job *j = ctx;
    const dal_neighbours_problem *p = j->p;
    const int64_t row = t * TILE_X, rows = p->x.rows - row < TILE_X ? p->x.rows - row : TILE_X;
    for (int64_t i = row; i < row + rows; i++)
        clear(j->distance + i * p->k, j->index + i * p->k, p->k);
    const dal_status st =
        p->metric == DAL_MANHATTAN ? manhattan_tile(j, row, rows) : euclidean_tile(j, row, rows);
    for (int64_t i = row; st == DAL_OK && i < row + rows; i++)
        sort(j->distance + i * p->k, j->index + i * p->k, p->k);
    return st;
}

/* ---- putting it together ---------------------------------------------------------------------- */

static dal_status check(const dal_neighbours_problem *p, dal_error *err)
{
    if (p->k < 1)
        return dal_fail(err, DAL_E_INVALID, "", "%lld neighbours, expected at least 1", (long long)p->k);
    if (p->x.cols < 1 || (p->y.rows > 0 && p->y.cols != p->x.cols))
        return dal_fail(err, DAL_E_INVALID, "", "features of widths %lld and %lld, expected the same, at least 1",
                        (long long)p->x.cols, (long long)p->y.cols);
    if (p->metric > DAL_MANHATTAN)
        return dal_fail(err, DAL_E_INVALID, "", "no metric has number %u", p->metric);
    return DAL_OK;
}

static dal_status hand_on(dal_status st, dal_error *cause, int64_t n, dal_error *err)
{
    if (st == DAL_OK)
        return st;
    if (cause->text[0])
        return dal_fail(err, st, "", "%s", cause->text);
    return dal_fail(err, st, "", st == DAL_E_NOMEM      ? "no memory for the neighbours of %lld rows"
                                 : st == DAL_E_CANCELLED ? "cancelled among the neighbours of %lld rows"
                                                         : "the neighbours of %lld rows could not be found",
                    (long long)n);
}

dal_status dal_neighbours(const dal_host *host, const dal_neighbours_problem *problem, int64_t *index,
                          float *distance, dal_error *err)
{
    const dal_neighbours_problem *p = problem;
    dal_error cause = DAL_ERROR_INIT;
    dal_status st = check(p, err);
    if (st != DAL_OK || p->x.rows == 0)
        return st;
    const double shrink = 1 - bound_kappa(p->x.cols);
    float *x_norms = dal_array(host, p->x.rows, sizeof *x_norms);
    float *offsets = dal_array(host, p->y.rows, sizeof *offsets);
    st = x_norms && offsets ? nearest_norms(host, &p->x, "sample", x_norms, &cause) : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = nearest_norms(host, &p->y, "neighbour", offsets, &cause);
    for (int64_t c = 0; st == DAL_OK && c < p->y.rows; c++)
        offsets[c] = bound_offset(p->y.data + c * p->y.stride, p->x.cols, shrink);
    job j = {host, p, x_norms, offsets, shrink, index, distance};
    if (st == DAL_OK)
        st = host->parallel_for(host, bound_tiles(p->x.rows, TILE_X), tile_task, &j);
    host->free(host, x_norms);
    host->free(host, offsets);
    return hand_on(st, &cause, p->x.rows, err);
}

dal_status dal_row_norms(const dal_host *host, const dal_matrix *x, const char *what, float *norms, dal_error *err)
{
    return nearest_norms(host, x, what, norms, err);
}

/* ---- within a radius -------------------------------------------------------------------------- */

typedef struct range_job {
    const dal_host *host;
    const dal_matrix *x, *y;
    const float *x_norms, *y_norms;
    double kappa;
    float radius;
    int64_t *counts;
} range_job;

/* Surely below the radius, surely not, or measured. */
static int64_t count_row(const range_job *j, int64_t i, const float *products, int64_t first, int64_t n)
{
    const float *x = j->x->data + i * j->x->stride;
    const int64_t d = j->x->cols;
    int64_t count = 0;
    for (int64_t c = 0; c < n; c++) {
        const double norms = (double)j->x_norms[i] + (double)j->y_norms[first + c];
        const double middle = norms + (double)products[c], room = j->kappa * norms + BOUND_TINY(d);
        if (middle - room >= (double)j->radius)
            continue;
        count += middle + room < (double)j->radius ||
                 dal_squared_distance(x, j->y->data + (first + c) * j->y->stride, d) < j->radius;
    }
    return count;
}

static dal_status range_task(void *ctx, int64_t t)
{
    const range_job *j = ctx;
    const int64_t row = t * TILE_X, rows = j->x->rows - row < TILE_X ? j->x->rows - row : TILE_X;
    const int64_t wide = j->y->rows < TILE_Y ? j->y->rows : TILE_Y;
    float *products = dal_array(j->host, TILE_X * wide, sizeof *products);
    dal_status st = products ? DAL_OK : DAL_E_NOMEM;
    for (int64_t first = 0; st == DAL_OK && first < j->y->rows; first += wide) {
        const int64_t n = j->y->rows - first < wide ? j->y->rows - first : wide;
        st = j->host->cancelled(j->host) ? DAL_E_CANCELLED
             : dal_gemm_nt(rows, n, j->x->cols, -2, j->x->data + row * j->x->stride, j->x->stride,
                           j->y->data + first * j->y->stride, j->y->stride, 0, products, wide);
        for (int64_t i = 0; st == DAL_OK && i < rows; i++)
            j->counts[row + i] += count_row(j, row + i, products + i * wide, first, n);
    }
    j->host->free(j->host, products);
    return st;
}

dal_status dal_count_within(const dal_host *host, const dal_matrix *x, const float *x_norms, const dal_matrix *y,
                            const float *y_norms, float radius, int64_t *counts, dal_error *err)
{
    range_job j = {host, x, y, x_norms, y_norms, bound_kappa(x->cols), radius, counts};
    dal_error cause = DAL_ERROR_INIT;
    if (x->rows == 0 || y->rows == 0)
        return DAL_OK;
    if (x->cols != y->cols)
        return dal_fail(err, DAL_E_INVALID, "", "features of widths %lld and %lld, expected the same",
                        (long long)x->cols, (long long)y->cols);
    return hand_on(host->parallel_for(host, bound_tiles(x->rows, TILE_X), range_task, &j), &cause, x->rows, err);
}

/* ---- unit length ------------------------------------------------------------------------------ */

typedef struct unit_job {
    const dal_matrix *x;
    float *out;
} unit_job;

static dal_status unit_task(void *ctx, int64_t t)
{
    const unit_job *j = ctx;
    const int64_t d = j->x->cols, end = (t + 1) * TILE_X < j->x->rows ? (t + 1) * TILE_X : j->x->rows;
    for (int64_t i = t * TILE_X; i < end; i++) {
        const float *x = j->x->data + i * j->x->stride;
        const double length = sqrt(dal_dot(x, x, d));
        for (int64_t k = 0; k < d; k++)
            j->out[i * d + k] = length > 0 ? (float)((double)x[k] / length) : 0;
    }
    return DAL_OK;
}

dal_status dal_unit_rows(const dal_host *host, const dal_matrix *x, float *out, dal_error *err)
{
    unit_job j = {x, out};
    float *norms = dal_array(host, x->rows, sizeof *norms);
    dal_status st = norms ? nearest_norms(host, x, "sample", norms, err)
                          : dal_fail(err, DAL_E_NOMEM, "", "no memory for the lengths of %lld rows",
                                     (long long)x->rows);
    host->free(host, norms);
    if (st == DAL_OK)
        st = host->parallel_for(host, bound_tiles(x->rows, TILE_X), unit_task, &j);
    return st;
}
