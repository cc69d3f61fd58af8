/* model_common.h: what all our models ask of a fit, and how they read a file. */
#ifndef MODEL_COMMON_H
#define MODEL_COMMON_H

#include <dal/model.h>

/* What a fit is given, checked: samples of `width` values, classes of all in range, weights finite, not negative, not
 * all 0. `id`: of the component, for messages. */
dal_status model_check_fit(const char *id, int64_t width, int64_t n_classes, const dal_fit *fit, dal_error *err);
/* The same of samples of any kind. */
dal_status model_check_labels(const char *id, int64_t n_classes, const dal_fit *fit, dal_error *err);
/* x: samples of `width` values? */
dal_status model_check_width(const char *id, int64_t width, const dal_sample_spec *spec, dal_error *err);
/* The mean of the samples' weights; 1 without. */
double model_mean_weight(const dal_samples *s);
/* Cross-entropy of a row of logits z against probabilities y [c], and d = share (mass of y * softmax - y); z and d `stride`
 * apart. */
double model_soft_loss(const float *z, int64_t stride, const float *y, int64_t c, double share, float *d);
/* n bytes of a saved model, all of them. */
dal_status model_read(const dal_reader *r, void *data, size_t n, const char *what, dal_error *err);
/* Pool index of a row of a list. */
static inline int64_t model_id(const dal_samples *s, int64_t row)
{
    return s->ids ? s->ids[row] : row;
}

/* The table `impl` of a model of one instance that offers its features and nothing else: from create, destroy, fit, predict,
 * save, load, width and features of its file. */
#define MODEL_TABLE_PROVIDES DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_FEATURES
#define MODEL_TABLE(output_)                                                                                           \
    static const void *get_extension(void *self, const char *id)                                                       \
    {                                                                                                                  \
        static const dal_model_features table = {.struct_size = sizeof table, .width = width, .features = features};   \
        (void)self;                                                                                                    \
        return strcmp(id, DAL_CAP_FEATURES) == 0 ? &table : NULL;                                                      \
    }                                                                                                                  \
    static const dal_model_impl impl = {.struct_size = sizeof(dal_model_impl), .output = output_, .create = create,    \
                                        .destroy = destroy, .fit = fit, .predict = predict, .save = save, .load = load, \
                                        .get_extension = get_extension};

#endif
