/* What the parts of a round under test know of each other. */
#ifndef TESTS_STRATEGY_ROUND_PARTS_H
#define TESTS_STRATEGY_ROUND_PARTS_H

#include "tests/unit/strategies/round.h"

/* n items in memory of their own; NULL of NULL. */
void *fx_copy(const void *from, int64_t n, size_t size);
/* Probabilities of a row of outputs of this kind, in double, [c]. */
void fx_row_probs(const float *row, int64_t c, uint32_t kind, double *out);
/* The row of an id, or -1. */
int64_t fx_row_of(const fx_rows *rows, int64_t id);
/* The round as a strategy sees it. */
dal_view fx_view_of(fx_round *r);
/* Prepare and pick, as the host does. */
dal_status fx_run_on(const dal_view *v, const dal_strategy_impl *impl, void *self, dal_picks *p, dal_error *err);

#endif
