#include "sample_block.h"

void sample_block_free(sample_block *b)
{
    b->host->free(b->host, b->batch.data);
    b->host->free(b->host, b->batch.offsets);
    b->host->free(b->host, b->batch.indices);
    b->batch = (dal_batch){0};
    b->room = 0;
}

/* The number of elements of all rows, of text or sparse samples. */
static dal_status measure(sample_block *b, const dal_samples *s, int64_t n, int64_t *elements, dal_error *err)
{
    const dal_status st = s->sizes(s, b->rows, n, b->sizes, err);
    if (st != DAL_OK)
        return st;
    if (!b->batch.offsets && !(b->batch.offsets = dal_array(b->host, SAMPLE_BLOCK + 1, sizeof(int64_t))))
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)n);
    b->batch.offsets[0] = 0;
    for (int64_t i = 0; i < n; i++)
        b->batch.offsets[i + 1] = b->batch.offsets[i] + b->sizes[i];
    *elements = b->batch.offsets[n];
    return DAL_OK;
}

dal_status sample_block_read(sample_block *b, const dal_samples *s, int64_t first, int64_t n, dal_error *err)
{
    const int sparse = s->spec.modality == DAL_SPARSE, ragged = sparse || s->spec.modality == DAL_TEXT;
    const size_t size = !ragged ? (size_t)dal_sample_bytes(&s->spec) : sparse ? sizeof(float) : 1;
    int64_t elements = n;
    for (int64_t i = 0; i < n; i++)
        b->rows[i] = first + i;
    b->batch.struct_size = sizeof b->batch;
    b->batch.spec = &s->spec;
    b->batch.n = n;
    if (ragged) {
        const dal_status st = measure(b, s, n, &elements, err);
        if (st != DAL_OK)
            return st;
    }
    if (!b->batch.data || elements > b->room) {
        b->host->free(b->host, b->batch.data);
        b->host->free(b->host, b->batch.indices);
        b->batch.data = dal_array(b->host, elements, size);
        b->batch.indices = sparse ? dal_array(b->host, elements, sizeof(int32_t)) : NULL;
        b->room = elements;
        if (!b->batch.data || (sparse && !b->batch.indices))
            return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)n);
    }
    return s->read(s, b->rows, n, &b->batch, err);
}
