/* dal/submodular.h: (libdal) set functions for choosing samples, and greedy maximisation of them.
 *
 * f is a function of subsets A of candidates 0..n-1; what matters is the gain f(A + j) - f(A). With s_ij the
 * similarity (dal/similarity.h), V the candidates, Q a set of samples to be like (queries), P one to be unlike
 * (private), s_iQ = max_q s_iq, psi concave:
 *
 *   FL            sum_{i in V} max_{j in A} s_ij                                    facility location
 *   GC            sum_{i in V, j in A} s_ij - lambda sum_{i, j in A} s_ij           graph cut
 *   LOGDET        ln det(S_A + ridge I)
 *   DISPARITY_SUM sum_{i < j in A} (1 - s_ij)
 *   DISPARITY_MIN min_{i != j in A} (1 - s_ij); the gain given is that minimum over j's pairs, so that greedy is
 *                 farthest first and goes on when f itself can only fall
 *   FEATURES      sum_k psi(sum_{j in A} x_jk), x >= 0
 * mutual information with Q:
 *   FL1MI         sum_{i in V} min(max_{j in A} s_ij, eta s_iQ)
 *   FL2MI         sum_{q in Q} max_{j in A} s_jq + eta sum_{j in A} s_jQ
 *   GCMI          sum_{j in A, q in Q} s_jq
 *   COM           eta sum_{j in A} psi(sum_q s_jq) + sum_q psi(sum_{j in A} s_jq)
 *   LOGDETMI      ln det S_A - ln det(S_A - eta^2 S_AQ S_Q^-1 S_QA)
 * conditional gain given P:
 *   FLCG          sum_{i in V} max(max_{j in A} s_ij - nu s_iP, 0)
 *   GCCG          GC - 2 lambda nu sum_{j in A, p in P} s_jp
 *   LOGDETCG      ln det(S_A - nu^2 S_AP S_P^-1 S_PA)
 * and both:
 *   FLCMI         sum_{i in V} max(min(max_{j in A} s_ij, eta s_iQ) - nu s_iP, 0)
 *   LOGDETCMI     LOGDETCG - ln det(S_A - C' S_R^-1 C), R = Q and P, C = [eta S_QA; nu S_PA]
 *
 * Kothawade et al., "PRISM", AAAI 2022, table 1 (Iyer, Khargoankar, Bilmes, Asnani, ALT 2021 for the theory). In
 * all determinants S_A has `ridge` on its diagonal, S_Q and S_P 1e-6. A candidate whose conditional variance falls
 * below 1e-10 has nothing new: its gain is -infinity.
 *
 * Memory: O(n) beside the points, and for determinants 8 bytes for each (candidate looked at again, earlier pick)
 * and each (candidate, member of Q or P); never n x n. Functions of Q look at n |Q| similarities.
 */
#ifndef DAL_SUBMODULAR_H
#define DAL_SUBMODULAR_H

#include <dal/similarity.h>
#include <dal/strategy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the interface ---------------------------------------------------------------------------- */

/* A set function and the set it holds, which begins empty. Slots are [main] and use the host's threads. Gains are
 * functions of (set in the order added, row) alone: the same bits for a row whichever rows are asked with it. */
typedef struct dal_set_function {
    uint32_t struct_size;
    int32_t falls; /* gains never increase as the set grows: lazy greedy makes the picks of naive greedy */
    int64_t n;
    double least; /* gains are never below this; -infinity: no such bound */
    void *impl;
    /* gain [m] of each of rows [m], none of them in the set */
    dal_status (*gains)(struct dal_set_function *f, const int64_t *rows, int64_t m, double *gain, dal_error *err);
    /* row joins the set; *gained: what `gains` would have said of it */
    dal_status (*add)(struct dal_set_function *f, int64_t row, double *gained, dal_error *err);
    void (*destroy)(struct dal_set_function *f);
    /* Optional: the same within error [m], for less. */
    dal_status (*estimate)(struct dal_set_function *f, const int64_t *rows, int64_t m, double *gain, double *error,
                           dal_error *err);
    /* Optional, where gains fall: lower bound [n] to an upper bound of the gain of each row, where that is cheap.
     */
    dal_status (*limit)(struct dal_set_function *f, double *bound, dal_error *err);
    /* Optional: have rows i and j the same gain whatever the set (as copies of one sample have)? */
    int (*same)(struct dal_set_function *f, int64_t i, int64_t j);
} dal_set_function;

/* Accepts NULL. */
static inline void dal_set_function_free(dal_set_function *f)
{
    if (f)
        f->destroy(f);
}

/* ---- greedy ----------------------------------------------------------------------------------- */

#define DAL_NAIVE 0u      /* every gain at every step */
#define DAL_LAZY 1u       /* a heap of stale upper bounds (Minoux 1978): the same picks, where gains fall */
#define DAL_STOCHASTIC 2u /* at every step the gains of a random few (Mirzasoleiman et al., AAAI 2015) */

typedef struct dal_greedy_options {
    uint32_t struct_size;
    uint32_t engine;
    int64_t n_picks;
    double epsilon;  /* DAL_STOCHASTIC: (n / n_picks) ln(1 / epsilon) rows a step, in (0, 1) */
    const dal_rng *rng; /* DAL_STOCHASTIC: the stream they are drawn from, a sub-stream a step */
    double stop;     /* end before a pick whose gain is <= this; -infinity: never */
} dal_greedy_options;

/* [main] Again and again the row of largest gain, ties: the lowest row, is added to f's set. picks and gain have
 * room for n_picks; *n: how many were made. DAL_E_INVALID for DAL_LAZY where gains do not fall. */
DAL_PUBLIC dal_status dal_greedy(const dal_host *host, dal_set_function *f, const dal_greedy_options *options,
                                 int64_t *picks, double *gain, int64_t *n, dal_error *err);

/* ---- the functions ---------------------------------------------------------------------------- */

#define DAL_FL 0u
#define DAL_GC 1u
#define DAL_LOGDET 2u
#define DAL_DISPARITY_SUM 3u
#define DAL_DISPARITY_MIN 4u
#define DAL_FEATURE_BASED 5u
#define DAL_FL1MI 6u
#define DAL_FL2MI 7u
#define DAL_GCMI 8u
#define DAL_COM 9u
#define DAL_LOGDETMI 10u
#define DAL_FLCG 11u
#define DAL_GCCG 12u
#define DAL_LOGDETCG 13u
#define DAL_FLCMI 14u
#define DAL_LOGDETCMI 15u
#define DAL_SET_FUNCTIONS 16u

/* psi */
#define DAL_CONCAVE_LOG 0u   /* ln(1 + x) */
#define DAL_CONCAVE_SQRT 1u  /* sqrt x */
#define DAL_CONCAVE_RATIO 2u /* 1 - 1 / (1 + x) */

typedef struct dal_submodular {
    uint32_t struct_size;
    uint32_t function; /* DAL_FL ... */
    dal_similarity similarity;
    const dal_points *candidates;
    /* Measured, of the candidates' widths; NULL or no rows: the function without them (Q in FL1MI, P in FLCG). */
    const dal_points *queries, *avoided; /* Q, P */
    double lambda; /* GC, GCCG: >= 0; monotone up to 1/2 */
    double eta, nu; /* >= 0; determinants: <= 1 */
    double ridge;  /* determinants: >= 0 */
    const double *weights; /* determinants: [n] > 0 or NULL; S_ij becomes w_i S_ij w_j (a quality, dal/dpp.h) */
    uint32_t concave;
    uint32_t reserved;
    /* FL by cosine or rbf of plain vectors: only the so many candidates nearest to i have a similarity with it,
     * others 0 (0: all have). One pass over all pairs and then next to nothing a pick, 20 bytes a neighbour of
     * each sample; but a pick is no longer seen to stand for samples that are a little alike, so that picks go to
     * the dense places first. */
    int64_t neighbours;
} dal_submodular;

/* [main] The function of an empty set; what it points at must outlive it. A function of Q without queries is an
 * error (DAL_E_INVALID), as a similarity that the function cannot use is; nothing avoided means nothing to avoid.
 */
DAL_PUBLIC dal_status dal_submodular_new(const dal_host *host, const dal_submodular *spec, dal_set_function **out,
                                         dal_error *err);

/* [main] Both together for a strategy: greedy picks of the view's candidates (row i is candidate i) with their
 * gains as scores, NaN where a gain is infinite. DAL_LAZY means naive where gains do not fall. A stop is told as
 * the reason. */
DAL_PUBLIC dal_status dal_pick_greedily(const dal_host *host, const dal_submodular *spec,
                                        const dal_greedy_options *options, const dal_view *view, dal_picks *picks,
                                        dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
