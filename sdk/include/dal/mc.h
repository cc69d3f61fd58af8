/* dal/mc.h: (libdal) how unsure a classifier is of each sample, from K stochastic passes over it.
 *
 * P_k [c] is what pass k says of a sample, p = mean_k P_k. Where the passes are logits, P_k = softmax(z_k). Each
 * call reads the tensor once, a few rows of all passes at a time, and turns a block of samples into one number
 * each. Means over passes are in double. The top class of p counts as 1 minus the others, so that samples that
 * are certain to 1e-12 still have an order, as in dal/uncertainty.h; rows of probabilities have to sum to 1.
 * Probabilities below the smallest normal float count as 0, and 0 ln 0 = 0.
 *
 * A sample with NaN in any pass (logits: also +infinity, or nothing but -infinity) scores NaN. A sample's number
 * does not depend on the block it comes in. Each call is [any], runs on the calling thread and takes less than
 * 8 MB from host->alloc for up to 100 passes of 10,000 classes (12 bytes a class and pass for one row, if that is
 * more). DAL_E_NOMEM is all that can go wrong.
 *
 * Gal, Islam, Ghahramani, "Deep Bayesian active learning with image data", ICML 2017, section 3.
 */
#ifndef DAL_MC_H
#define DAL_MC_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of rows first..first+n-1 of t. kind: DAL_LOGITS or DAL_PROBS; out [n]. */
typedef dal_status dal_mc_score(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first,
                                int64_t n, double *out, dal_error *err);

/* The scores of dal/uncertainty.h of p: max p; p(1) - p(2); -sum p ln p. */
DAL_PUBLIC dal_mc_score dal_mc_least_confidence;
DAL_PUBLIC dal_mc_score dal_mc_margin;
DAL_PUBLIC dal_mc_score dal_mc_entropy;

/* H(p) - mean_k H(P_k), the information the weights hold about the sample's class, in nats, >= 0. Summed as
 * mean_k sum_c P ln(P/p) - P + p: no term is negative, so nothing cancels. Passes that agree: exactly 0. */
DAL_PUBLIC dal_mc_score dal_mc_bald;

/* 1 - f/K, f: how many passes vote for the class most of them vote for (a tie within a pass: the lower class).
 * As it takes K values only, 1e-6/K H(p)/ln c is added: equal votes rank by entropy, and by nothing else. */
DAL_PUBLIC dal_mc_score dal_mc_variation_ratios;

/* (1/c) sum_c of the standard deviation of P_k[c] over the passes (of the K, not K - 1). */
DAL_PUBLIC dal_mc_score dal_mc_mean_std;

/* p itself, out [n, c]; NaN in every class of a sample that has NaN in any. */
DAL_PUBLIC dal_status dal_mc_mean(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first,
                                  int64_t n, float *out, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
