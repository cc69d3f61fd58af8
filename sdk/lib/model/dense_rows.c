#include <dal/dense.h>

#define KEEP_BYTES ((int64_t)256 << 20)
#define BLOCK 256 /* rows read at once */

static dal_status keep_error(dal_dense_rows *r, const dal_error *e)
{
    if (!__atomic_exchange_n(&r->taken, 1, __ATOMIC_ACQ_REL))
        r->error = *e;
    return e->status;
}

static dal_status read_rows(dal_dense_rows *r, const int64_t *rows, int64_t n, float *out)
{
    const dal_samples *s = r->samples;
    dal_error e = DAL_ERROR_INIT;
    dal_batch raw = {.struct_size = sizeof raw, .spec = &s->spec, .n = n, .data = out};
    const int direct = s->spec.dtype == DAL_F32;
    if (!direct)
        raw.data = r->host->alloc(r->host, (size_t)(n * r->width), 0);
    if (!raw.data) {
        dal_fail(&e, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)n);
        return keep_error(r, &e);
    }
    dal_status st = s->read(s, rows, n, &raw, &e);
    if (st == DAL_OK && !direct)
        dal_dense_read(&raw, 0, n, out);
    if (!direct)
        r->host->free(r->host, raw.data);
    if (st == DAL_OK && direct) {
        const int64_t bad = dal_first_not_finite(out, n * r->width, r->missing);
        if (bad >= 0)
            st = dal_fail(&e, DAL_E_INVALID, "", "training sample %lld has the value %g at place %lld; "
                          "expected finite numbers%s: clean the data, or drop the sample",
                          (long long)(s->ids ? s->ids[rows[bad / r->width]] : rows[bad / r->width]),
                          (double)out[bad], (long long)(bad % r->width),
                          r->missing ? ", or nan where one is missing" : "");
    }
    if (st != DAL_OK) {
        e.status = st;
        return keep_error(r, &e);
    }
    return DAL_OK;
}

static dal_status read_block(void *ctx, int64_t i)
{
    dal_dense_rows *r = ctx;
    const int64_t first = i * BLOCK, rest = r->samples->n - first, n = rest < BLOCK ? rest : BLOCK;
    int64_t rows[BLOCK];
    for (int64_t j = 0; j < n; j++)
        rows[j] = first + j;
    return read_rows(r, rows, n, r->all + first * r->width);
}

static dal_status read_all(dal_dense_rows *r, dal_error *err)
{
    const dal_status st = r->host->parallel_for(r->host, (r->samples->n + BLOCK - 1) / BLOCK, read_block, r);
    if (st != DAL_OK && err)
        *err = r->error;
    return st;
}

dal_status dal_dense_rows_init(dal_dense_rows *r, const dal_host *host, const dal_samples *samples, int64_t width,
                           dal_error *err)
{
    int64_t values;
    *r = (dal_dense_rows){.host = host, .samples = samples, .width = width, .error = DAL_ERROR_INIT};
    if (!dal_size_mul(samples->n, width, &values) || values > KEEP_BYTES / (int64_t)sizeof(float))
        return DAL_OK;
    r->all = dal_array(host, values, sizeof *r->all);
    if (!r->all)
        return DAL_OK;
    return read_all(r, err);
}

void dal_dense_rows_fini(dal_dense_rows *r)
{
    if (r->host)
        r->host->free(r->host, r->all);
    r->all = NULL;
}

dal_status dal_dense_rows_gather(dal_dense_rows *r, const int64_t *rows, int64_t n, float *out)
{
    if (!r->all)
        return read_rows(r, rows, n, out);
    for (int64_t i = 0; i < n; i++)
        memcpy(out + i * r->width, r->all + rows[i] * r->width, (size_t)r->width * sizeof *out);
    return DAL_OK;
}

dal_status dal_dense_rows_all(const dal_host *host, const dal_samples *samples, int64_t width, int missing,
                              float *out, dal_error *err)
{
    dal_dense_rows r = {.host = host, .samples = samples, .width = width, .all = out, .missing = missing,
                        .error = DAL_ERROR_INIT};
    return read_all(&r, err);
}
