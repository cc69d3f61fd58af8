/* set_functions.h: (libdal, private) the families behind dal_submodular_new. Each sets *out or fails. */
#ifndef DAL_LIB_SET_FUNCTIONS_H
#define DAL_LIB_SET_FUNCTIONS_H

#include <dal/submodular.h>
#include <math.h>

/* sum over targets i of max(0, min(max_{j in A} s_ij, cap_i) - floor_i) + sum_{j in A} bonus_j. Arrays are taken
 * over (also when it fails); cap, floor [targets] and bonus [candidates] may be NULL: none. */
dal_status cover_new(const dal_host *host, const dal_similarity *s, const dal_points *candidates,
                     const dal_points *targets, double *floor, double *cap, double *bonus, dal_set_function **out,
                     dal_error *err);

/* sum over all i of max_{j in A} s_ij, s_ij = 0 but for the `neighbours` rows j nearest to i. */
dal_status sparse_cover_new(const dal_host *host, const dal_similarity *s, const dal_points *p, int64_t neighbours,
                            dal_set_function **out, dal_error *err);

/* sum_{j in A} bonus_j + pair sums: each earlier pick i takes `factor` s_ij from the gain of j (0: they do not
 * matter). For disparities 1 - s_ij is added, or the least of them is the gain. bonus is taken over; NULL: zero.
 */
#define PAIRWISE_PENALTY 0u
#define PAIRWISE_SUM 1u
#define PAIRWISE_MIN 2u
dal_status pairwise_new(const dal_host *host, const dal_similarity *s, const dal_points *candidates, uint32_t kind,
                        double factor, double *bonus, dal_set_function **out, dal_error *err);

/* sum_k psi(sum_{j in A} v_jk) + sum_{j in A} bonus_j; v: similarities to targets, or where there are none the
 * features x themselves. bonus is taken over; NULL: none. */
dal_status concave_new(const dal_host *host, const dal_similarity *s, const dal_points *candidates,
                       const dal_points *targets, uint32_t concave, double *bonus, dal_set_function **out,
                       dal_error *err);
double concave_of(uint32_t concave, double x);

/* ln det of the conditional kernel given up to two sets (scaled), less the same given other two. */
typedef struct determinant_given {
    const dal_points *points[2]; /* NULL: none */
    double scale[2];
} determinant_given;
dal_status determinant_new(const dal_host *host, const dal_submodular *spec, const determinant_given *given,
                           const determinant_given *less, dal_set_function **out, dal_error *err);

/* Gains that are equal but for the rounding of their sums (those of parallel vectors under a cosine) are to be
 * equal, so that ties go to the lowest row: gains are multiples of a quantum, a power of two about 2^-36 of the
 * largest gain there could be. */
static inline double quantum_of(double largest)
{
    return largest > 0 && isfinite(largest) ? ldexp(1, ilogb(largest) - 36) : 0x1p-36;
}
static inline double snap(double gain, double quantum)
{
    return nearbyint(gain / quantum) * quantum;
}
/* The largest similarity there can be between rows of a and b. */
double largest_alike(const dal_similarity *s, const dal_points *a, const dal_points *b);

/* Are two rows the same bits? */
int same_points(const dal_points *p, int64_t i, int64_t j);

#endif
