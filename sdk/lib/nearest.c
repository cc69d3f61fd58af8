/* Exact minima at the price of a matrix product: bound.h tells which distances are worth computing. */
#include "nearest.h"

#include "bound.h"

#include <float.h>
#include <stdlib.h>

#define TILE_X 128 /* rows of x in a task: its products stay in the second-level cache */
#define TILE_Y 512 /* rows of y at a time, packed */

/* ---- norms ------------------------------------------------------------------------------------ */

typedef struct norm_job {
    const dal_matrix *x;
    float *norms;
} norm_job;

static dal_status norm_task(void *ctx, int64_t t)
{
    const norm_job *j = ctx;
    const int64_t end = (t + 1) * TILE_X < j->x->rows ? (t + 1) * TILE_X : j->x->rows;
    for (int64_t i = t * TILE_X; i < end; i++) {
        const float *x = j->x->data + i * j->x->stride;
        j->norms[i] = (float)dal_dot(x, x, j->x->cols); /* infinite or NaN when a value is */
    }
    return DAL_OK;
}

dal_status nearest_norms(const dal_host *host, const dal_matrix *x, const char *what, float *norms,
                         dal_error *err)
{
    norm_job j = {x, norms};
    const dal_status st = host->parallel_for(host, bound_tiles(x->rows, TILE_X), norm_task, &j);
    if (st != DAL_OK)
        return dal_fail(err, st, "", "norms of the features could not be computed");
    for (int64_t i = 0; i < x->rows; i++) {
        if (norms[i] < FLT_MAX / 16) /* ||x - y||^2 <= 4 max ||x||^2 */
            continue;
        for (int64_t k = 0; k < x->cols; k++)
            if (!isfinite(x->data[i * x->stride + k]))
                return dal_fail(err, DAL_E_INVALID, "", "%s features: row %lld, column %lld is %g, expected "
                                "finite numbers; did the model diverge?", what, (long long)i, (long long)k,
                                (double)x->data[i * x->stride + k]);
        return dal_fail(err, DAL_E_INVALID, "", "%s features: row %lld is so large (length %g) that "
                        "distances overflow; scale the features", what, (long long)i,
                        sqrt(dal_dot(x->data + i * x->stride, x->data + i * x->stride, x->cols)));
    }
    return DAL_OK;
}

/* ---- distinct rows ---------------------------------------------------------------------------- */

typedef struct hashed_row {
    uint64_t hash;
    int64_t row;
} hashed_row;

typedef struct hash_job {
    const dal_matrix *y;
    hashed_row *rows;
} hash_job;

static dal_status hash_task(void *ctx, int64_t i)
{
    const hash_job *j = ctx;
    j->rows[i] = (hashed_row){dal_hash64(0, j->y->data + i * j->y->stride, (size_t)j->y->cols * sizeof(float)), i};
    return DAL_OK;
}

static int by_hash(const void *a, const void *b)
{
    const hashed_row *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* Rows that repeat another change no minimum, and each would be measured for every row of x that is
 * nearest to it (an untrained network gives thousands). Keeps one of each, by hash; returns how many. */
static int64_t keep_distinct(const dal_matrix *y, hashed_row *rows)
{
    int64_t kept = 0;
    qsort(rows, (size_t)y->rows, sizeof *rows, by_hash);
    for (int64_t i = 0; i < y->rows; i++)
        if (kept == 0 || rows[i].hash != rows[kept - 1].hash ||
            memcmp(y->data + rows[i].row * y->stride, y->data + rows[kept - 1].row * y->stride,
                   (size_t)y->cols * sizeof(float)) != 0)
            rows[kept++] = rows[i];
    return kept;
}

/* ---- the tiles -------------------------------------------------------------------------------- */

typedef struct tile_job {
    const dal_host *host;
    const dal_matrix *x;
    const float *norms;
    float *packed;  /* [TILE_Y, d] the rows of y of this turn */
    float *offsets; /* [TILE_Y] (1 - kappa) |y|^2, rounded down; infinite behind the last */
    int64_t n_y;
    double shrink;  /* 1 - kappa */
    float *m;
} tile_job;

static float improve(const tile_job *j, const float *x, float norm, const float *products, float m)
{
    const int64_t d = j->x->cols;
    float limit = bound_limit((double)m, (double)norm, d, j->shrink);
    for (int64_t s = 0; s < j->n_y && m > 0; s += BOUND_STRIP) { /* the last strip is filled up */
        if (!bound_any_below(products + s, j->offsets + s, limit))
            continue;
        for (int64_t k = s; k < s + BOUND_STRIP; k++) {
            if (!(products[k] + j->offsets[k] < limit))
                continue;
            const float distance = dal_squared_distance(x, j->packed + k * d, d);
            if (distance < m) {
                m = distance;
                limit = bound_limit((double)m, (double)norm, d, j->shrink);
            }
        }
    }
    return m;
}

static dal_status tile_task(void *ctx, int64_t t)
{
    const tile_job *j = ctx;
    const int64_t first = t * TILE_X, d = j->x->cols;
    const int64_t n = j->x->rows - first < TILE_X ? j->x->rows - first : TILE_X;
    const float *x = j->x->data + first * j->x->stride;
    if (j->host->cancelled(j->host))
        return DAL_E_CANCELLED;
    float *products = dal_array(j->host, TILE_X * TILE_Y, sizeof *products);
    if (!products)
        return DAL_E_NOMEM;
    const dal_status st = dal_gemm_nt(n, j->n_y, d, -2, x, j->x->stride, j->packed, d, 0, products, TILE_Y);
    const int64_t strips = bound_tiles(j->n_y, BOUND_STRIP) * BOUND_STRIP;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = j->n_y; k < strips; k++)
            products[i * TILE_Y + k] = 0;
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        j->m[first + i] = improve(j, x + i * j->x->stride, j->norms[first + i], products + i * TILE_Y,
                                  j->m[first + i]);
    j->host->free(j->host, products);
    return st;
}

static void pack(tile_job *j, const dal_matrix *y, const hashed_row *rows, int64_t n)
{
    const int64_t d = y->cols;
    j->n_y = n;
    for (int64_t k = 0; k < n; k++) {
        const float *from = y->data + rows[k].row * y->stride;
        memcpy(j->packed + k * d, from, (size_t)d * sizeof *from);
        j->offsets[k] = bound_offset(from, d, j->shrink);
    }
    for (int64_t k = n; k < TILE_Y; k++)
        j->offsets[k] = INFINITY;
}

static dal_status run_tiles(tile_job *j, const dal_matrix *y, const hashed_row *rows, int64_t n)
{
    dal_status st = DAL_OK;
    for (int64_t first = 0; st == DAL_OK && first < n; first += TILE_Y) {
        pack(j, y, rows + first, n - first < TILE_Y ? n - first : TILE_Y);
        j->host->progress(j->host, first, n, "distances to centres");
        st = j->host->parallel_for(j->host, bound_tiles(j->x->rows, TILE_X), tile_task, j);
    }
    return st;
}

dal_status nearest_update(const dal_host *host, const dal_matrix *x, const float *norms, const dal_matrix *y,
                          float *m, dal_error *err)
{
    const int64_t d = x->cols;
    int64_t packed;
    if (x->rows == 0 || y->rows == 0)
        return DAL_OK;
    hashed_row *rows = dal_array(host, y->rows, sizeof *rows);
    tile_job j = {.host = host, .x = x, .norms = norms, .shrink = 1 - bound_kappa(d), .m = m};
    j.packed = dal_size_mul(TILE_Y, d, &packed) ? dal_array(host, packed, sizeof *j.packed) : NULL;
    j.offsets = dal_array(host, TILE_Y, sizeof *j.offsets);
    dal_status st = rows && j.packed && j.offsets ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK) {
        hash_job h = {y, rows};
        st = host->parallel_for(host, y->rows, hash_task, &h);
    }
    if (st == DAL_OK)
        st = run_tiles(&j, y, rows, keep_distinct(y, rows));
    host->free(host, rows);
    host->free(host, j.packed);
    host->free(host, j.offsets);
    if (st == DAL_OK)
        return DAL_OK;
    return dal_fail(err, st, "", st == DAL_E_NOMEM      ? "no memory for distances to %lld rows"
                                 : st == DAL_E_CANCELLED ? "cancelled among distances to %lld rows"
                                                         : "distances to %lld rows could not be computed",
                    (long long)y->rows);
}
