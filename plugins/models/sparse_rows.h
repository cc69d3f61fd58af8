/* sparse_rows.h: the sparse samples of one fit in memory, by row and by column, on the columns that matter alone. */
#ifndef SPARSE_ROWS_H
#define SPARSE_ROWS_H

#include <dal/data.h>
#include <dal/host.h>

typedef struct sparse_rows {
    const dal_host *host;
    int64_t n, n_columns, n_values;
    int32_t *columns;  /* [n_columns] those that occur, ascending */
    int64_t *row_at;   /* [n + 1] */
    int32_t *place;    /* [n_values] of each value by row: its index in columns */
    float *by_row;     /* [n_values] */
    int64_t *column_at; /* [n_columns + 1] */
    int32_t *row;      /* [n_values] of each value by column: its row */
    float *by_column;  /* [n_values] */
} sparse_rows;

/* [main] Read all samples. mark [d] is scratch, and says beforehand (not 0) which columns are wanted whether they occur
 * or not; afterwards mark[j] - 1 is the index of column j, or 0. Values that are not finite are refused. */
dal_status sparse_rows_read(sparse_rows *r, const dal_host *host, const dal_samples *s, int64_t d, int32_t *mark,
                            dal_error *err);
void sparse_rows_free(sparse_rows *r); /* accepts a zeroed one */

#endif
