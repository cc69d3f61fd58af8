/* dal/fit.h: (libdal) what every model asks of a fit, and how it reads a saved one. All of it [any]. */
#ifndef DAL_FIT_H
#define DAL_FIT_H

#include <dal/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a fit is given, checked: samples of `width` values, classes of all in range, weights finite, not negative, not
 * all 0; else DAL_E_INVALID. `id`: of the component, for messages. */
DAL_PUBLIC dal_status dal_check_fit(const char *id, int64_t width, int64_t n_classes, const dal_fit *fit,
                                    dal_error *err);
/* The same of samples of any kind. */
DAL_PUBLIC dal_status dal_check_labels(const char *id, int64_t n_classes, const dal_fit *fit, dal_error *err);
/* Are samples of this spec `width` values? */
DAL_PUBLIC dal_status dal_check_width(const char *id, int64_t width, const dal_sample_spec *spec, dal_error *err);
/* The mean of the samples' weights; 1 without. */
DAL_PUBLIC double dal_mean_weight(const dal_samples *s);
/* Cross-entropy of a row of logits z against probabilities y [c], and d = share (mass of y * softmax - y); z and d
 * `stride` apart. */
DAL_PUBLIC double dal_soft_loss(const float *z, int64_t stride, const float *y, int64_t c, double share, float *d);
/* n bytes of a saved model, all of them; DAL_E_FORMAT names `what` it ends in. */
DAL_PUBLIC dal_status dal_read_saved(const dal_reader *r, void *data, size_t n, const char *what, dal_error *err);
/* Pool index of a row of a list. */
static inline int64_t dal_pool_id(const dal_samples *s, int64_t row)
{
    return s->ids ? s->ids[row] : row;
}

#ifdef __cplusplus
}
#endif
#endif
