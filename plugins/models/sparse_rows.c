#include "sparse_rows.h"

#include <math.h>

#include <dal/fit.h>

#define BLOCK 1024 /* rows read at once */

static dal_status no_memory(int64_t n, dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld sparse training samples", (long long)n);
}

static dal_status read_sizes(sparse_rows *r, const dal_samples *s, dal_error *err)
{
    int64_t rows[BLOCK];
    dal_status st = DAL_OK;
    r->row_at[0] = 0;
    for (int64_t first = 0; first < s->n && st == DAL_OK; first += BLOCK) {
        const int64_t n = s->n - first < BLOCK ? s->n - first : BLOCK;
        for (int64_t i = 0; i < n; i++)
            rows[i] = first + i;
        st = s->sizes(s, rows, n, r->row_at + first + 1, err);
        for (int64_t i = first; i < first + n && st == DAL_OK; i++)
            r->row_at[i + 1] += r->row_at[i];
    }
    r->n_values = st == DAL_OK ? r->row_at[s->n] : 0;
    return st;
}

static dal_status check_row(const sparse_rows *r, const dal_samples *s, int64_t i, int64_t d, dal_error *err)
{
    for (int64_t k = r->row_at[i]; k < r->row_at[i + 1]; k++) {
        if (r->place[k] < 0 || r->place[k] >= d)
            return dal_fail(err, DAL_E_CONTRACT, "", "training sample %lld has column %d of %lld",
                            (long long)dal_pool_id(s, i), (int)r->place[k], (long long)d);
        if (!isfinite(r->by_row[k]))
            return dal_fail(err, DAL_E_INVALID, "",
                            "training sample %lld has the value %g in column %d; expected finite numbers: clean the "
                            "data, or drop the sample", (long long)dal_pool_id(s, i), (double)r->by_row[k],
                            (int)r->place[k]);
    }
    return DAL_OK;
}

static dal_status read_values(sparse_rows *r, const dal_samples *s, int64_t d, int32_t *mark, dal_error *err)
{
    int64_t rows[BLOCK], offsets[BLOCK + 1];
    dal_status st = DAL_OK;
    for (int64_t first = 0; first < s->n && st == DAL_OK; first += BLOCK) {
        const int64_t n = s->n - first < BLOCK ? s->n - first : BLOCK, from = r->row_at[first];
        for (int64_t i = 0; i <= n; i++) {
            rows[i < n ? i : 0] = first + (i < n ? i : 0);
            offsets[i] = r->row_at[first + i] - from;
        }
        dal_batch b = {sizeof b, 0, &s->spec, n, r->by_row + from, offsets, r->place + from};
        st = s->read(s, rows, n, &b, err);
        for (int64_t i = first; i < first + n && st == DAL_OK; i++)
            st = check_row(r, s, i, d, err);
        for (int64_t k = from; k < r->row_at[first + n] && st == DAL_OK; k++)
            mark[r->place[k]] = 1;
    }
    return st;
}

/* Number the marked columns, and let each value know the number of its own. */
static dal_status number_columns(sparse_rows *r, int64_t d, int32_t *mark, dal_error *err)
{
    for (int64_t j = 0; j < d; j++)
        r->n_columns += mark[j] != 0;
    r->columns = dal_array(r->host, r->n_columns, sizeof *r->columns);
    r->column_at = dal_array(r->host, r->n_columns + 1, sizeof *r->column_at);
    if (!r->columns || !r->column_at)
        return no_memory(r->n, err);
    for (int64_t j = 0, k = 0; j < d; j++)
        if (mark[j]) {
            r->columns[k] = (int32_t)j;
            mark[j] = (int32_t)++k;
        }
    for (int64_t k = 0; k < r->n_values; k++)
        r->place[k] = mark[r->place[k]] - 1;
    return DAL_OK;
}

/* The same values column by column; the rows of a column ascend. */
static dal_status transpose(sparse_rows *r, dal_error *err)
{
    r->row = dal_array(r->host, r->n_values, sizeof *r->row);
    r->by_column = dal_array(r->host, r->n_values, sizeof *r->by_column);
    if (!r->row || !r->by_column)
        return no_memory(r->n, err);
    memset(r->column_at, 0, (size_t)(r->n_columns + 1) * sizeof *r->column_at);
    for (int64_t k = 0; k < r->n_values; k++)
        r->column_at[r->place[k] + 1]++;
    for (int64_t j = 0; j < r->n_columns; j++)
        r->column_at[j + 1] += r->column_at[j];
    for (int64_t i = 0; i < r->n; i++)
        for (int64_t k = r->row_at[i]; k < r->row_at[i + 1]; k++) {
            const int64_t to = r->column_at[r->place[k]]++;
            r->row[to] = (int32_t)i;
            r->by_column[to] = r->by_row[k];
        }
    for (int64_t j = r->n_columns; j > 0; j--) /* each has moved to where the next begins */
        r->column_at[j] = r->column_at[j - 1];
    r->column_at[0] = 0;
    return DAL_OK;
}

dal_status sparse_rows_read(sparse_rows *r, const dal_host *host, const dal_samples *s, int64_t d, int32_t *mark,
                            dal_error *err)
{
    *r = (sparse_rows){.host = host, .n = s->n};
    if (s->n > INT32_MAX)
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld training samples are too many", (long long)s->n);
    r->row_at = dal_array(host, s->n + 1, sizeof *r->row_at);
    if (!r->row_at)
        return no_memory(s->n, err);
    dal_status st = read_sizes(r, s, err);
    if (st != DAL_OK)
        return st;
    r->place = dal_array(host, r->n_values, sizeof *r->place);
    r->by_row = dal_array(host, r->n_values, sizeof *r->by_row);
    if (!r->place || !r->by_row)
        return no_memory(s->n, err);
    st = read_values(r, s, d, mark, err);
    if (st == DAL_OK)
        st = number_columns(r, d, mark, err);
    return st == DAL_OK ? transpose(r, err) : st;
}

void sparse_rows_free(sparse_rows *r)
{
    const dal_host *h = r->host;
    if (!h)
        return;
    h->free(h, r->columns);
    h->free(h, r->row_at);
    h->free(h, r->place);
    h->free(h, r->by_row);
    h->free(h, r->column_at);
    h->free(h, r->row);
    h->free(h, r->by_column);
    *r = (sparse_rows){0};
}
