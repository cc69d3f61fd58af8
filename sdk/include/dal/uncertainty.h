/* dal/uncertainty.h: (libdal) how unsure a classifier is of each sample, from one prediction.
 *
 * From logits z everything follows from x = z - max z and S = sum e^x, with no probability ever formed and
 * no epsilon: a sample that is certain to 1e-12 still ranks before one that is certain to 1e-13. Sums are in
 * double over short float sums in a fixed order: the same bits wherever a row is scored.
 *
 * A row with NaN in it (logits: also +infinity, or nothing but -infinity) scores NaN. A logit of -infinity
 * is probability 0, and 0 ln 0 = 0. Each call is [any] and runs on the calling thread.
 */
#ifndef DAL_UNCERTAINTY_H
#define DAL_UNCERTAINTY_H

#include <dal/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* max_c p, in (0, 1]: the smallest is the least confident. out [rows]. */
DAL_PUBLIC void dal_least_confidence(const dal_outputs *o, double *out);
/* p(1) - p(2), the largest minus the second, in [0, 1]; 0 when they are equal, 1 for a single class. */
DAL_PUBLIC void dal_margin(const dal_outputs *o, double *out);
/* -sum p ln p, in nats, in [0, ln c]. */
DAL_PUBLIC void dal_entropy(const dal_outputs *o, double *out);

#ifdef __cplusplus
}
#endif
#endif
