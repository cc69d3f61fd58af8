/* dal/joint.h: (libdal) what an answer about one sample would tell about another, from K stochastic passes.
 *
 * P_k(x, y) is what pass k says of class y of sample x, p = mean_k P_k. Given the weights of a pass samples are
 * independent, so the joint probability of two answers is J(y, y') = mean_k P_k(x, y) P_k(x', y'), and
 *
 *     I(x; x') = sum_{y,y'} J ln( J / (p(x, y) p(x', y')) )            the mutual information, in nats
 *     Q(x, x') = sum_{y,y'} J^2 / p(x, y) - sum_y' p(x', y')^2         by how much the answer about x is expected
 *                                                                      to sharpen p(x', .), squared
 *
 * J is never formed. With u_k = P_k / p - 1 and d(y, y') = mean_k u_k(x, y) u_k(x', y')
 *
 *     I = sum_{y,y'} p(x, y) p(x', y') ((1 + d) ln(1 + d) - d)
 *
 * whose terms are never negative, so nothing cancels where samples are almost independent; and with
 * v_k = P_k - p both samples come apart in
 *
 *     Q = 1/K^2 sum_{k,l} G_kl(x) H_kl(x'),   G_kl = sum_y v_k v_l / p,   H_kl = sum_y v_k v_l:
 *
 * O(K^2) a pair instead of O(K c^2). Instead of x there may be any set of events that exclude each other: the
 * answers to a whole batch of samples, say.
 *
 * The same mask of a pass has to be used for all samples (DAL_CAP_MC says so). A number depends on the samples
 * it is about alone, not on what lies beside them. Logits: P_k = softmax(z_k). Probabilities below the smallest
 * normal float count as 0.
 */
#ifndef DAL_JOINT_H
#define DAL_JOINT_H

#include <dal/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_JOINT_ACROSS 16 /* samples of a block */

/* Samples to be told about, packed: block b holds samples 16 b to 16 b + 15, beyond the last one zeros. */
typedef struct dal_joint {
    const dal_host *host;
    int64_t n, classes, passes;
    float *relative; /* [blocks, classes, passes, 16] u */
    float *mean;     /* [blocks, classes, 16] p */
} dal_joint;

/* [main] Pack rows[n] of t, in that order (NULL: the first n). 4 n c (K + 1) bytes. *bad (may be NULL): the row
 * that holds NaN (then DAL_E_INVALID), or -1. Give it back with dal_joint_free, which accepts what failed. */
DAL_PUBLIC dal_status dal_joint_pack(const dal_host *host, const dal_tensor3 *t, uint32_t kind,
                                     const int64_t *rows, int64_t n, dal_joint *out, int64_t *bad, dal_error *err);
DAL_PUBLIC void dal_joint_free(dal_joint *j);

/* Events that exclude each other. */
typedef struct dal_joint_events {
    const dal_host *host;
    int64_t n, room, passes;
    float *relative; /* [room / 8, passes, 8] u / K, beyond n zeros */
    float *weight;   /* [room] probability */
} dal_joint_events;

/* [any] Room for n events. */
DAL_PUBLIC dal_status dal_joint_events_new(const dal_host *host, int64_t n, int64_t passes, dal_joint_events *out,
                                           dal_error *err);
DAL_PUBLIC void dal_joint_events_free(dal_joint_events *e);
DAL_PUBLIC void dal_joint_events_clear(dal_joint_events *e);
/* One more, of this probability; given[k]: how likely it is in pass k, in any unit: only ratios matter. An
 * event of weight 0 is left out. */
DAL_PUBLIC void dal_joint_events_add(dal_joint_events *e, double weight, const double *given);

/* [any] I of the events and each sample of a block: out [16]. O(events K c). */
DAL_PUBLIC void dal_joint_information(const dal_joint_events *e, const dal_joint *samples, int64_t block,
                                      double *out);

/* [any] I(x; x') for rows first..first+n-1 of t and all packed samples: total [n], the sum over the samples, and,
 * if not NULL, each [n, samples->n]. NaN where a row holds NaN. */
DAL_PUBLIC dal_status dal_joint_rows(const dal_host *host, const dal_tensor3 *t, uint32_t kind, int64_t first,
                                     int64_t n, const dal_joint *samples, double *total, float *each,
                                     dal_error *err);

/* [any] G (weighted) or H of rows[n] of t (NULL: rows first..first+n-1): out [n, K (K + 1) / 2], the lower
 * triangle row by row, 1/K^2 and the factor 2 of the entries that stand for two included in G, so that
 * Q = sum G H. NaN where a row holds NaN. */
DAL_PUBLIC dal_status dal_joint_grams(const dal_host *host, const dal_tensor3 *t, uint32_t kind,
                                      const int64_t *rows, int64_t first, int64_t n, int weighted, float *out,
                                      dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
