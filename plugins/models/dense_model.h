/* dense_model.h: what `mlp` and `logistic` share: a fitted dense network and everything that reads it.
 *
 * Only fit differs between the two. A model's object begins with a dense_model; the slots below can stand
 * in its dal_model_impl as they are.
 */
#ifndef DENSE_MODEL_H
#define DENSE_MODEL_H

#include <dal/dense.h>
#include <dal/model.h>

typedef struct dense_model {
    const dal_host *host;
    const char *id;       /* of the component, for messages */
    const char *provides; /* its capability ids */
    size_t size;          /* of the whole object, for copies */
    int64_t n_classes;
    double dropout;    /* rate of the network's own dropout layers; 0: it has none */
    double mc_dropout; /* rate on the features in Monte-Carlo passes when it has none */
    dal_dense net;
    float *weights; /* [net.n_weights] */
    int fitted;
    dal_parameter *parameters; /* [2 * net.n_layers] */
    char (*names)[32];
} dense_model;

/* An object of `size` bytes (zeroed behind the dense_model) for these samples. `hidden` widths between
 * input and output. Set dropout and mc_dropout afterwards. */
dal_status dense_model_new(const dal_host *host, const char *id, const char *provides, size_t size,
                           const dal_sample_spec *spec, dal_i64_list hidden, dense_model **out,
                           dal_error *err);
/* What a fit is given, checked: classes of all samples in range, weights finite and not negative. */
dal_status dense_model_check_fit(const dense_model *m, const dal_fit *fit, dal_error *err);

/* Slots. */
void dense_model_destroy(void *self);
dal_status dense_model_predict(void *self, const dal_batch *x, float *out, dal_error *err);
dal_status dense_model_save(void *self, const dal_writer *w, dal_error *err);
dal_status dense_model_load(void *self, const dal_reader *r, dal_error *err);
const void *dense_model_get_extension(void *self, const char *id);

/* ---- for the extensions' own files ------------------------------------------------------------ */

extern const dal_model_features dense_model_features;
extern const dal_model_stages dense_model_stages;
extern const dal_model_mc dense_model_mc;
extern const dal_model_last_layer dense_model_last_layer;
extern const dal_model_input_gradient dense_model_input_gradient;
extern const dal_model_perturb dense_model_perturb;
extern const dal_model_companion dense_model_companion;

/* Fitted, and x a batch of samples like those of create? */
dal_status dense_model_ready(const dense_model *m, const dal_batch *x, dal_error *err);
/* Samples first.. of x (at most a tile) into t->x, the rest of it zero; returns how many. */
int64_t dense_model_fill(const dense_model *m, const dal_batch *x, int64_t first, dal_dense_tile *t);

#endif
