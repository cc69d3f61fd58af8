/* dense_rows.h: the samples of one fit as rows of f32, in memory when they fit, else read as asked for. */
#ifndef DENSE_ROWS_H
#define DENSE_ROWS_H

#include <dal/data.h>
#include <dal/host.h>

#include <stdatomic.h>

typedef struct dense_rows {
    const dal_host *host;
    const dal_samples *samples;
    int64_t width;
    float *all;          /* [n, width], or NULL: too many to keep */
    atomic_flag taken;   /* error belongs to whoever came first */
    dal_error error;
} dense_rows;

/* [main] Samples that are not finite are refused here, or where they are first read. */
dal_status dense_rows_init(dense_rows *r, const dal_host *host, const dal_samples *samples, int64_t width,
                           dal_error *err);
void dense_rows_fini(dense_rows *r); /* [main] accepts a zeroed one */
/* [any] Rows rows[n] into out [n, width]. A failure's story is kept in r->error. */
dal_status dense_rows_gather(dense_rows *r, const int64_t *rows, int64_t n, float *out);

/* [main] All samples at once into out [n, width]. */
dal_status dense_rows_all(const dal_host *host, const dal_samples *samples, int64_t width, float *out, dal_error *err);

#endif
