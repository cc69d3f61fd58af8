/* dal/tabular.h: (libdal) labelled samples and candidates as one small table, for strategies that bring their own
 * model.
 *
 * The features of both row sets are copied and brought to mean 0 and variance 1 column by column, over both
 * together (a constant column becomes 0). Classes nobody has seen take no part: a problem of two classes, or of
 * one, is one binary problem; of m > 2 seen classes m problems, each class against the rest.
 */
#ifndef DAL_TABULAR_H
#define DAL_TABULAR_H

#include <dal/strategy.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dal_table {
    const dal_host *host;
    dal_matrix all;                   /* [n_labelled + n, d]: the labelled rows first */
    dal_matrix labelled, candidates;  /* its two parts */
    const int32_t *classes;           /* [n_labelled], the view's */
    int32_t *seen;                    /* [n_seen] the classes there are labels of, ascending */
    int64_t n_seen;
    int64_t n_problems; /* 0: nothing is labelled; 1: one or two classes seen; else n_seen */
    float *x;
} dal_table;

/* [main] Fill t from the round. max_rows > 0: DAL_E_INVALID about "max_n" when there are more rows than that.
 * DAL_E_INVALID also for features that are not finite (naming the pool index) and labelled samples without a
 * class. On failure there is nothing to free. */
DAL_PUBLIC dal_status dal_table_make(const dal_host *host, const dal_view *view, int standardise, int64_t max_rows,
                                     dal_table *t, dal_error *err);
DAL_PUBLIC void dal_table_free(dal_table *t);

/* [any] +1 where labelled sample `row` has the class that binary problem `problem` is about, else -1. That class
 * is the highest seen when there is but one problem, else seen[problem]. */
DAL_PUBLIC double dal_table_sign(const dal_table *t, int64_t problem, int64_t row);

/* [any] One clear refusal for strategies whose memory or time is a square of the rows: DAL_E_INVALID about "max_n"
 * when rows exceed max_n. */
DAL_PUBLIC dal_status dal_table_bound(int64_t rows, int64_t max_n, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
