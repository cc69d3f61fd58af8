/* class_gaussians.h: how much a sample looks like the labelled ones of some class.
 *
 * M(h) = max_c -1/2 (h - mu_c)' Sigma^-1 (h - mu_c), with class means mu_c of the labelled features and their shared
 * covariance Sigma (ridge 1e-6 trace / d; Euclidean where every labelled sample is its class mean). Lee et al., NeurIPS
 * 2018.
 */
#ifndef CLASS_GAUSSIANS_H
#define CLASS_GAUSSIANS_H

#include <dal/strategy.h>

typedef struct class_gaussians {
    const dal_host *host;
    int64_t c, d, n_means; /* classes that have labels */
    double *mean;          /* [n_means, d] */
    double *white;         /* [n_means, d] L^-1 mean */
    double *factor;        /* [d, d] L of Sigma = L L' */
} class_gaussians;

/* [main] From the labelled features of the view. Give it back whatever the answer. */
dal_status class_gaussians_fit(class_gaussians *g, const dal_host *host, const dal_view *view, dal_error *err);
void class_gaussians_fini(class_gaussians *g);
/* [worker] M of rows h [n, d], stride apart, and its gradient [n, d] (NULL: not wanted). DAL_E_NOMEM without a word. */
dal_status class_gaussians_score(const class_gaussians *g, const float *h, int64_t stride, int64_t n, double *m,
                                 float *gradient);

#endif
