#include <dal/kernel.h>

#include <dal/linalg.h>
#include <math.h>

#define TILE 64 /* rows a task; rows of the other side at a time, so that they stay near */

double dal_kernel_value(const dal_kernel *k, const float *x, const float *y, int64_t d)
{
    if (k->kind == DAL_KERNEL_LINEAR)
        return dal_dot(x, y, d);
    return exp(-k->gamma * (double)dal_squared_distance(x, y, d));
}

typedef struct matrix_job {
    const dal_host *host;
    const dal_kernel *k;
    const dal_matrix *a, *b;
    double *out;
    int64_t ld;
} matrix_job;

static dal_status matrix_task(void *ctx, int64_t t)
{
    const matrix_job *j = ctx;
    const int64_t first = t * TILE, end = first + TILE < j->a->rows ? first + TILE : j->a->rows;
    const int same = j->a->data == j->b->data && j->a->stride == j->b->stride && j->a->rows == j->b->rows;
    if (j->host->cancelled(j->host))
        return DAL_E_CANCELLED;
    for (int64_t c = same ? first : 0; c < j->b->rows; c += TILE)
        for (int64_t i = first; i < end; i++)
            for (int64_t l = c; l < c + TILE && l < j->b->rows; l++) {
                const double value = dal_kernel_value(j->k, j->a->data + i * j->a->stride,
                                                      j->b->data + l * j->b->stride, j->a->cols);
                j->out[i * j->ld + l] = value;
                if (same && l >= end) /* the tile below the diagonal is nobody else's */
                    j->out[l * j->ld + i] = value;
            }
    return DAL_OK;
}

dal_status dal_kernel_matrix(const dal_host *host, const dal_kernel *k, const dal_matrix *a, const dal_matrix *b,
                             double *out, int64_t ld, dal_error *err)
{
    matrix_job j = {host, k, a, b, out, ld};
    if (a->rows > 0 && b->rows > 0 && a->cols != b->cols)
        return dal_fail(err, DAL_E_INVALID, "", "a kernel between rows of %lld and of %lld features",
                        (long long)a->cols, (long long)b->cols);
    const dal_status st = host->parallel_for(host, a->rows / TILE + (a->rows % TILE != 0), matrix_task, &j);
    if (st == DAL_E_CANCELLED)
        return dal_fail(err, st, "", "interrupted");
    return st;
}
