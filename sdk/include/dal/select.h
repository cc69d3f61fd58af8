/* dal/select.h: (libdal) what the files of strategies have in common.
 */
#ifndef DAL_SELECT_H
#define DAL_SELECT_H

#include <dal/strategy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The object of a strategy that keeps nothing between calls: its host and its options. Slots for `create`
 * and `destroy`; a strategy with more to keep writes its own. */
typedef struct dal_stateless {
    const dal_host *host;
    const void *options;
} dal_stateless;
DAL_PUBLIC dal_status dal_stateless_create(const dal_host *host, const void *options, void **self, dal_error *err);
DAL_PUBLIC void dal_stateless_destroy(void *self);
/* What `cost` goes by: the options of the instance or, asked before there is one, those it is given. */
static inline const void *dal_stateless_options(const void *self, const void *options)
{
    return self ? ((const dal_stateless *)self)->options : options;
}

/* [main] The features of some row sets one below the other, as a matrix of the caller's own: *data (to be given
 * back to host->free; NULL on failure and where there are no rows), *out all of it. */
DAL_PUBLIC dal_status dal_stack_features(const dal_host *host, const dal_view *view, const uint32_t *sets,
                                         int64_t n_sets, float **data, dal_matrix *out, dal_error *err);

/* [any] Candidate rows [n] in the order picked, with scores [n] (NULL: none), as picks; n <= picks->want. */
DAL_PUBLIC void dal_pick_rows(const dal_view *view, const int64_t *rows, const double *scores, int64_t n,
                              dal_picks *picks);

/* [main] How many of the next b labels each class lacks to an even share of all:
 * out[k] = max(0, floor((n_l + b) / c) - n_k), [c]; n_k of the n_l labelled samples bear class k. */
DAL_PUBLIC void dal_class_need(const dal_view *view, int64_t c, int64_t b, double *out);

#ifdef __cplusplus
}
#endif
#endif
