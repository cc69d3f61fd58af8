/* The model behind fx_round_model: z = W phi(x) + b of an input x [d], phi the identity or tanh; everything in
 * double and row by row, so that a twin that asks for one sample at a time gets the same bits. Trained by a
 * fixed number of steps of gradient descent from zero (or on from where it is). Extensions: features, last
 * layer, input gradient, perturb. */
#include "tests/unit/strategies/round.h"

#include <math.h>

enum { STEPS = 40 };

typedef struct model {
    int64_t c, d;
    int curved;
    int inside; /* calls going on */
    float *w; /* [c, d], then the bias [c] */
    dal_parameter parameters[2];
} model;

int fx_models_open;

int fx_model_is_curved(const void *self)
{
    return ((const model *)self)->curved;
}

static const float *bias_of(const model *m)
{
    return m->w + m->c * m->d;
}

void *fx_model_new(int64_t c, int64_t d, const float *weights, const float *bias, int curved)
{
    model *m = calloc(1, sizeof *m);
    *m = (model){.c = c, .d = d, .curved = curved,
                 .w = calloc((size_t)(c * d + c), sizeof(float))};
    m->parameters[0] = (dal_parameter){sizeof(dal_parameter), DAL_ROLE_WEIGHT, "weight", 0, c * d};
    m->parameters[1] = (dal_parameter){sizeof(dal_parameter), DAL_ROLE_BIAS, "bias", c * d, c};
    if (weights)
        memcpy(m->w, weights, (size_t)(c * d) * sizeof(float));
    if (bias)
        memcpy(m->w + c * d, bias, (size_t)c * sizeof(float));
    fx_models_open++;
    return m;
}

static dal_status create(const dal_host *host, const void *options, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const fx_model_options *o = options;
    (void)host, (void)err;
    *self = fx_model_new(spec->n_classes, spec->shape[0], NULL, NULL, o->curved);
    return DAL_OK;
}

static void destroy(void *self)
{
    model *m = self;
    if (!m)
        return;
    free(m->w);
    free(m);
    fx_models_open--;
}

static double phi(const model *m, float x)
{
    return m->curved ? tanh((double)x) : (double)x;
}

static double slope(const model *m, float x)
{
    const double t = tanh((double)x);
    return m->curved ? 1 - t * t : 1;
}

static void logits(const model *m, const float *x, double *z)
{
    for (int64_t k = 0; k < m->c; k++) {
        z[k] = (double)bias_of(m)[k];
        for (int64_t j = 0; j < m->d; j++)
            z[k] += (double)m->w[k * m->d + j] * phi(m, x[j]);
    }
}

static double softmax(double *z, int64_t c)
{
    double top = -INFINITY, sum = 0;
    for (int64_t k = 0; k < c; k++)
        top = fmax(top, z[k]);
    for (int64_t k = 0; k < c; k++)
        sum += z[k] = exp(z[k] - top);
    for (int64_t k = 0; k < c; k++)
        z[k] /= sum;
    return top + log(sum);
}

/* A model of an even number of classes takes one call at a time, as the kit's view says. */
static void alone(model *m, int begins)
{
    const int inside = __atomic_add_fetch(&m->inside, begins ? 1 : -1, __ATOMIC_SEQ_CST);
    cr_assert(m->c % 2 || inside <= 1, "%d calls at once, the model takes one", inside);
}

static dal_status forward(void *self, const float *x, int64_t n, float *out, dal_error *err)
{
    model *m = self;
    alone(m, 1);
    double *z = malloc((size_t)m->c * sizeof *z);
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        logits(m, x + i * m->d, z);
        for (int64_t k = 0; k < m->c; k++)
            out[i * m->c + k] = (float)z[k];
    }
    free(z);
    alone(m, 0);
    return DAL_OK;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    return forward(self, x->data, x->n, out, err);
}

/* Gradient of the weighted mean cross-entropy by all weights, [c d + c], in double. targets [n, c]. */
static void loss_by_weights(const model *m, const float *x, const float *targets, const float *weights, int64_t n,
                            double *gradient, float *losses)
{
    double *z = malloc((size_t)m->c * sizeof *z), total = 0;
    memset(gradient, 0, (size_t)(m->c * m->d + m->c) * sizeof *gradient);
    for (int64_t i = 0; i < n; i++)
        total += weights ? (double)weights[i] : 1;
    for (int64_t i = 0; i < n; i++) {
        const double share = (weights ? (double)weights[i] : 1) / total;
        double match = 0;
        logits(m, x + i * m->d, z);
        for (int64_t k = 0; k < m->c; k++)
            match += (double)targets[i * m->c + k] * z[k];
        const double lse = softmax(z, m->c);
        if (losses)
            losses[i] = (float)(lse - match);
        for (int64_t k = 0; k < m->c; k++) {
            const double r = share * (z[k] - (double)targets[i * m->c + k]);
            for (int64_t j = 0; j < m->d; j++)
                gradient[k * m->d + j] += r * phi(m, x[i * m->d + j]);
            gradient[m->c * m->d + k] += r;
        }
    }
    free(z);
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    model *m = self;
    const dal_samples *t = f->train;
    const int64_t n = t->n, size = m->c * m->d + m->c;
    int64_t *rows = malloc((size_t)n * sizeof *rows);
    float *x = malloc((size_t)(n * m->d) * sizeof *x), *y = calloc((size_t)(n * m->c), sizeof *y);
    double *g = malloc((size_t)size * sizeof *g);
    cr_assert_gt(n, 0, "a fit on nothing");
    for (int64_t i = 0; i < n; i++) {
        rows[i] = i;
        cr_assert(t->classes[i] >= 0 && t->classes[i] < m->c);
        y[i * m->c + t->classes[i]] = 1;
    }
    dal_batch batch = {.struct_size = sizeof batch, .spec = &t->spec, .n = n, .data = x};
    const dal_status st = t->read(t, rows, n, &batch, err);
    if (!f->warm)
        memset(m->w, 0, (size_t)size * sizeof *m->w);
    for (int step = 0; step < STEPS; step++) {
        loss_by_weights(m, x, y, t->weights, n, g, NULL);
        for (int64_t j = 0; j < size; j++)
            m->w[j] -= (float)(0.2 * g[j]);
    }
    report->epochs = STEPS;
    free(rows);
    free(x);
    free(y);
    free(g);
    return st;
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    const model *m = self;
    return w->write(w, m->w, (size_t)(m->c * m->d + m->c) * sizeof *m->w, err);
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    model *m = self;
    size_t got;
    return r->read(r, m->w, (size_t)(m->c * m->d + m->c) * sizeof *m->w, &got, err);
}

/* ---- extensions --------------------------------------------------------------------------------- */

static int64_t width(void *self)
{
    return ((model *)self)->d;
}

static dal_status features(void *self, const dal_batch *x, float *h, float *outputs, dal_error *err)
{
    const model *m = self;
    for (int64_t i = 0; i < x->n * m->d; i++)
        h[i] = (float)phi(m, ((const float *)x->data)[i]);
    return outputs ? predict(self, x, outputs, err) : DAL_OK;
}

static dal_status last_layer(void *self, dal_matrix *weights, const float **bias, dal_error *err)
{
    const model *m = self;
    (void)err;
    *weights = (dal_matrix){m->w, m->c, m->d, m->d};
    *bias = bias_of(m);
    return DAL_OK;
}

static dal_status embed(void *self, const dal_batch *x, float *inputs, dal_error *err)
{
    (void)err;
    memcpy(inputs, x->data, (size_t)(x->n * width(self)) * sizeof *inputs);
    return DAL_OK;
}

static dal_status gradient(void *self, const float *x, int64_t n, const float *by_output, float *out,
                           dal_error *err)
{
    model *m = self;
    (void)err;
    alone(m, 1);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m->d; j++) {
            double sum = 0;
            for (int64_t k = 0; k < m->c; k++)
                sum += (double)by_output[i * m->c + k] * (double)m->w[k * m->d + j];
            out[i * m->d + j] = (float)(sum * slope(m, x[i * m->d + j]));
        }
    alone(m, 0);
    return DAL_OK;
}

static dal_status features_of_inputs(void *self, const float *x, int64_t n, float *h, dal_error *err)
{
    model *m = self;
    (void)err;
    alone(m, 1);
    for (int64_t i = 0; i < n * m->d; i++)
        h[i] = (float)phi(m, x[i]);
    alone(m, 0);
    return DAL_OK;
}

static dal_status gradient_by_features(void *self, const float *x, int64_t n, const float *by, float *out,
                                       dal_error *err)
{
    model *m = self;
    (void)err;
    alone(m, 1);
    for (int64_t i = 0; i < n * m->d; i++)
        out[i] = (float)((double)by[i] * slope(m, x[i]));
    alone(m, 0);
    return DAL_OK;
}

static dal_status copy(void *self, void **out, dal_error *err)
{
    const model *m = self;
    (void)err;
    *out = fx_model_new(m->c, m->d, m->w, bias_of(m), m->curved);
    return DAL_OK;
}

static int64_t n_weights(void *self)
{
    const model *m = self;
    return m->c * m->d + m->c;
}

static float *weights(void *self)
{
    return ((model *)self)->w;
}

static int64_t n_parameters(void *self)
{
    (void)self;
    return 2;
}

static const dal_parameter *parameter(void *self, int64_t i)
{
    return &((model *)self)->parameters[i];
}

static dal_status loss_gradient(void *self, const dal_batch *x, const float *targets, float *out, float *losses,
                                dal_error *err)
{
    const model *m = self;
    double *g = malloc((size_t)n_weights(self) * sizeof *g);
    (void)err;
    loss_by_weights(m, x->data, targets, NULL, x->n, g, losses);
    for (int64_t i = 0; i < n_weights(self); i++)
        out[i] = (float)g[i];
    free(g);
    return DAL_OK;
}

static const void *get_extension(void *self, const char *id)
{
    static const dal_model_features f = {.struct_size = sizeof f, .width = width, .features = features};
    static const dal_model_last_layer l = {.struct_size = sizeof l, .last_layer = last_layer};
    static const dal_model_input_gradient g = {.struct_size = sizeof g, .width = width, .embed = embed,
                                               .forward = forward, .gradient = gradient};
    static const dal_model_feature_gradient fg = {.struct_size = sizeof fg, .features = features_of_inputs,
                                                  .gradient = gradient_by_features};
    static const dal_model_perturb p = {.struct_size = sizeof p, .copy = copy, .n_weights = n_weights,
                                        .weights = weights, .n_parameters = n_parameters, .parameter = parameter,
                                        .loss_gradient = loss_gradient};
    (void)self;
    return strcmp(id, DAL_CAP_FEATURES) == 0         ? (const void *)&f
           : strcmp(id, DAL_CAP_LAST_LAYER) == 0     ? (const void *)&l
           : strcmp(id, DAL_CAP_INPUT_GRADIENT) == 0 ? (const void *)&g
           : strcmp(id, DAL_CAP_FEATURE_GRADIENT) == 0 ? (const void *)&fg
           : strcmp(id, DAL_CAP_PERTURB) == 0        ? (const void *)&p
                                                     : NULL;
}

const dal_model_impl fx_model_impl = {
    .struct_size = sizeof fx_model_impl, .output = DAL_LOGITS, .create = create, .destroy = destroy, .fit = fit,
    .predict = predict, .save = save, .load = load, .get_extension = get_extension};
