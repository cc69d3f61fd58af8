/* gradient.h: (libdal, private) what a second look at gradient embeddings need not compute again. */
#ifndef DAL_LIB_GRADIENT_H
#define DAL_LIB_GRADIENT_H

#include <dal/gradient.h>

typedef struct gradient_rows {
    int32_t *classes; /* [n] y */
    float *tops;      /* [n] a_y */
    double largest_a, largest_h; /* the largest ||a||^2 and ||h||^2 + bias */
} gradient_rows;

/* dal_gradient_norms, and all of `rows`. */
dal_status gradient_measure(const dal_host *host, const dal_gradients *g, double *norms, gradient_rows *rows,
                            dal_error *err);

/* dal_gradient_factor of rows whose y and a_y are known: classes and tops [n]. */
void gradient_factor_known(const dal_gradients *g, int64_t first, int64_t n, const int32_t *classes,
                           const float *tops, float *out);

#endif
