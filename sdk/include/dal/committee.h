/* dal/committee.h: (libdal) several models like the task's, and what their votes say of samples.
 */
#ifndef DAL_COMMITTEE_H
#define DAL_COMMITTEE_H

#include <dal/refit.h>

#ifdef __cplusplus
extern "C" {
#endif

/* [any] A bootstrap sample of n labelled samples with classes 0..c-1: rows drawn with replacement into rows [n], anew
 * until every class of theirs is among them; after 1000 times it begins with one random sample of each class.
 * count [c] is scratch. */
DAL_PUBLIC void dal_bootstrap(dal_rng *rng, const int32_t *classes, int64_t n, int64_t c, int64_t *rows,
                              int32_t *count);

/* [main] `members` models trained one after the other from fresh weights, each on a bootstrap sample of what is
 * labelled, drawn from the sub-stream of its number. What each says of the candidates, class probabilities [n, c],
 * goes to hear, which may fail. DAL_E_INVALID: nothing is labelled; DAL_E_UNSUPPORTED: no model (`dalhost select`).
 * Memory: 4 n c bytes and a model. */
DAL_PUBLIC dal_status dal_committee(const dal_host *host, const dal_view *view, int64_t members,
                                    const dal_rng *stream,
                                    dal_status (*hear)(void *ctx, int64_t member, const float *probs), void *ctx,
                                    dal_error *err);

/* [main] How hard samples are, from votes [members, n] for one of c classes each, by the model of Whitehill, Ruvolo,
 * Wu, Bergsma, Movellan, "Whose vote should count more", NeurIPS 2009 (GLAD): a vote is right with probability
 * sigma(alpha_j beta_i), wrong ones are spread evenly, alpha_j ability, 1 / beta_i hardness, beta_i = e^b_i, priors
 * N(1, 1) on alpha and b, all classes alike. Expectation-maximisation: posteriors of the true classes, then a step
 * along the gradients of alpha and b over their curvature, `rounds` times from alpha = b = 1. Into hardness [n]
 * (1 / beta), and ability [members] unless NULL. O(rounds n members^2), 16 n members bytes. */
DAL_PUBLIC dal_status dal_glad(const dal_host *host, const int32_t *votes, int64_t members, int64_t n, int64_t c,
                               int64_t rounds, double *hardness, double *ability, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
