/* Features, stages, Monte-Carlo passes, last layer, gradients: all read-only, all tile by tile. */
#include "nn_model.h"

#include <dal/dense.h>
#include <dal/fit.h>

#define TILE DAL_NN_TILE

/* ---- features and stages ------------------------------------------------------------------------ */

static int64_t features_width(void *self)
{
    const dal_nn_model *m = self;
    return m->info.n_features;
}

typedef struct features_job {
    const dal_nn_model *m;
    float *features, *outputs;
} features_job;

static dal_status keep_features(void *ctx, dal_nn_pass *p, int64_t first, int64_t n)
{
    const features_job *j = ctx;
    const int64_t d = j->m->info.n_features, c = j->m->n_classes;
    memcpy(j->features + first * d, p->value[j->m->info.features], (size_t)(n * d) * sizeof(float));
    if (j->outputs)
        memcpy(j->outputs + first * c, p->value[j->m->info.output], (size_t)(n * c) * sizeof(float));
    return DAL_OK;
}

static dal_status features(void *self, const dal_batch *x, float *out, float *outputs, dal_error *err)
{
    const dal_nn_model *m = self;
    features_job j = {m, out, outputs};
    return dal_nn_model_tiles(m, x, outputs ? m->info.output : m->info.features, DAL_NN_SHOW_VALUES, keep_features, &j,
                              err);
}

const dal_model_features nn_model_features = {
    .struct_size = sizeof(dal_model_features), .width = features_width, .features = features};

void nn_model_pool(const dal_nn_model *m, dal_nn_value v, const float *row, float *out)
{
    int64_t shape[3];
    dal_nn_shape(m->nn, v, shape);
    const int64_t map = shape[1] * shape[2];
    for (int64_t c = 0; c < shape[0]; c++) {
        double sum = 0;
        for (int64_t i = 0; i < map; i++)
            sum += (double)row[c * map + i];
        out[c] = (float)(sum / (double)map);
    }
}

static int64_t stages_count(void *self)
{
    const dal_nn_model *m = self;
    return m->info.n_stages;
}

static int64_t stages_width(void *self, int64_t stage)
{
    const dal_nn_model *m = self;
    int64_t shape[3];
    if (stage < 0 || stage >= m->info.n_stages)
        return 0;
    dal_nn_shape(m->nn, dal_nn_stage_value(m->nn, stage), shape);
    return shape[0];
}

typedef struct stages_job {
    const dal_nn_model *m;
    float *const *out;
} stages_job;

static dal_status keep_stages(void *ctx, dal_nn_pass *p, int64_t first, int64_t n)
{
    const stages_job *j = ctx;
    for (int64_t s = 0; s < j->m->info.n_stages; s++) {
        const dal_nn_value v = dal_nn_stage_value(j->m->nn, s);
        int64_t shape[3];
        dal_nn_shape(j->m->nn, v, shape);
        for (int64_t i = 0; j->out[s] && i < n; i++)
            nn_model_pool(j->m, v, p->value[v] + i * shape[0] * shape[1] * shape[2],
                          j->out[s] + (first + i) * shape[0]);
    }
    return DAL_OK;
}

static dal_status stages(void *self, const dal_batch *x, float *const *out, dal_error *err)
{
    const dal_nn_model *m = self;
    stages_job j = {m, out};
    return dal_nn_model_tiles(m, x, m->info.output, DAL_NN_SHOW_STAGES, keep_stages, &j, err);
}

const dal_model_stages nn_model_stages = {
    .struct_size = sizeof(dal_model_stages), .count = stages_count, .width = stages_width, .stages = stages};

/* ---- Monte-Carlo dropout ------------------------------------------------------------------------ */

/* The masks of all passes. A network with dropout layers masks these, another its features. */
typedef struct mc_plan {
    const dal_nn_model *m;
    int64_t n_passes, width; /* of all masks of a pass together */
    dal_nn_value from;       /* the first value a pass makes anew */
    float *masks;            /* [n_passes, width] */
    const float **layers;    /* [n_dropouts] of one pass */
    float *features;         /* [TILE, d] unmasked */
    float *out;
    int64_t n;               /* samples of the batch */
} mc_plan;

/* Dropouts that passes mask; 0: they mask the features. */
static int64_t own_masks(const dal_nn_model *m)
{
    return m->mask_features ? 0 : m->info.n_dropouts;
}

static int64_t dropout_size(const dal_nn_model *m, int64_t k)
{
    int64_t shape[3];
    dal_nn_shape(m->nn, dal_nn_dropout_value(m->nn, k), shape);
    return shape[0] * shape[1] * shape[2];
}

static dal_status mc_plan_init(mc_plan *p, const dal_nn_model *m, const dal_rng *stream, int64_t first,
                               int64_t n_passes, dal_error *err)
{
    const int64_t own = own_masks(m);
    const double rate = own ? m->options.dropout : m->options.mc_dropout;
    const float scale = (float)(1 / (1 - rate));
    int64_t count;
    *p = (mc_plan){.m = m, .n_passes = n_passes, .width = own ? 0 : m->info.n_features,
                   .from = own ? dal_nn_dropout_value(m->nn, 0) : m->info.output};
    for (int64_t k = 0; k < own; k++)
        p->width += dropout_size(m, k);
    if (!dal_size_mul(n_passes, p->width, &count))
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld Monte-Carlo passes", (long long)n_passes);
    p->masks = dal_array(m->host, count, sizeof *p->masks);
    p->layers = dal_array(m->host, own + 1, sizeof *p->layers);
    p->features = dal_array(m->host, TILE * m->info.n_features, sizeof *p->features);
    if (!p->masks || !p->layers || !p->features)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the masks of %lld Monte-Carlo passes",
                        (long long)n_passes);
    for (int64_t k = 0; k < n_passes; k++) {
        dal_rng r = dal_rng_at(stream, (uint64_t)(first + k));
        for (int64_t i = 0; i < p->width; i++)
            p->masks[k * p->width + i] = dal_rng_uniform(&r) < rate ? 0 : scale;
    }
    return DAL_OK;
}

static void mc_plan_fini(mc_plan *p)
{
    const dal_host *h = p->m->host;
    h->free(h, p->features);
    h->free(h, (void *)p->layers);
    h->free(h, p->masks);
}

static dal_status mc_tile(void *ctx, dal_nn_pass *pass, int64_t first, int64_t n)
{
    mc_plan *p = ctx;
    const dal_nn_model *m = p->m;
    const int64_t d = m->info.n_features, c = m->n_classes;
    float *h = pass->value[m->info.features];
    dal_status st = DAL_OK;
    memcpy(p->features, h, (size_t)(n * d) * sizeof *h);
    for (int64_t k = 0; k < p->n_passes && st == DAL_OK; k++) {
        const float *mask = p->masks + k * p->width;
        for (int64_t l = 0; l < own_masks(m); l++) {
            p->layers[l] = mask;
            mask += dropout_size(m, l);
        }
        for (int64_t i = 0; own_masks(m) == 0 && i < n * d; i++)
            h[i] = p->features[i] * mask[i % d];
        st = dal_nn_run(m->nn, m->weights, m->state, pass, n, p->from, m->info.output, p->layers);
        memcpy(p->out + (k * p->n + first) * c, pass->value[m->info.output], (size_t)(n * c) * sizeof(float));
    }
    return st;
}

static dal_status mc(void *self, const dal_batch *x, const dal_rng *stream, int64_t first_pass, int64_t n_passes,
                     float *out, dal_error *err)
{
    const dal_nn_model *m = self;
    mc_plan p = {.m = m};
    dal_status st = dal_nn_model_ready(m, x, err);
    if (st == DAL_OK)
        st = mc_plan_init(&p, m, stream, first_pass, n_passes, err);
    p.out = out;
    p.n = x->n;
    if (st == DAL_OK)
        st = dal_nn_model_tiles(m, x, m->info.features, DAL_NN_SHOW_VALUES, mc_tile, &p, err);
    mc_plan_fini(&p);
    return st;
}

const dal_model_mc nn_model_mc = {.struct_size = sizeof(dal_model_mc), .mc = mc};

/* ---- last layer --------------------------------------------------------------------------------- */

static dal_status last_layer(void *self, dal_matrix *weights, const float **bias, dal_error *err)
{
    const dal_nn_model *m = self;
    const dal_status st = dal_nn_model_ready(m, NULL, err);
    if (st == DAL_OK) {
        const int64_t c = m->n_classes, d = m->info.n_features;
        *bias = m->weights + m->info.n_weights - c;
        *weights = (dal_matrix){*bias - c * d, c, d, d};
    }
    return st;
}

const dal_model_last_layer nn_model_last_layer = {.struct_size = sizeof(dal_model_last_layer),
                                                  .last_layer = last_layer};

/* ---- input gradient ----------------------------------------------------------------------------- */

static int64_t input_width(void *self)
{
    const dal_nn_model *m = self;
    return m->info.n_inputs;
}

static dal_status embed(void *self, const dal_batch *x, float *inputs, dal_error *err)
{
    const dal_nn_model *m = self;
    const dal_status st = dal_check_width(m->id, m->info.n_inputs, x->spec, err);
    if (st == DAL_OK)
        dal_dense_read(x, 0, x->n, inputs);
    return st;
}

/* Real inputs [n, width] as a batch, so that they go the way of all samples. */
static dal_batch as_batch(const dal_nn_model *m, const float *inputs, int64_t n, dal_sample_spec *spec)
{
    *spec = (dal_sample_spec){.struct_size = sizeof *spec, .modality = DAL_IMAGE, .dtype = DAL_F32, .ndim = 3,
                              .shape = {m->shape[0], m->shape[1], m->shape[2]}, .n_classes = m->n_classes};
    union {
        const float *read;
        void *data;
    } borrowed = {inputs}; /* a batch's data is only read here */
    return (dal_batch){.struct_size = sizeof(dal_batch), .spec = spec, .n = n, .data = borrowed.data};
}

static dal_status forward(void *self, const float *inputs, int64_t n, float *outputs, dal_error *err)
{
    dal_sample_spec spec;
    const dal_batch x = as_batch(self, inputs, n, &spec);
    return dal_nn_model_predict(self, &x, outputs, err);
}

static dal_status forward_to_features(void *self, const float *inputs, int64_t n, float *out, dal_error *err)
{
    dal_sample_spec spec;
    const dal_batch x = as_batch(self, inputs, n, &spec);
    return features(self, &x, out, NULL, err);
}

typedef struct gradient_job {
    const dal_nn_model *m;
    dal_nn_value from;
    int64_t width;    /* of it */
    const float *by;  /* [n, width] */
    float *out;       /* [n, inputs] */
} gradient_job;

static dal_status gradient_tile(void *ctx, dal_nn_pass *p, int64_t first, int64_t n)
{
    const gradient_job *j = ctx;
    const dal_nn_model *m = j->m;
    const int64_t in = m->info.n_inputs;
    float *d = p->d[j->from];
    memset(d, 0, (size_t)(TILE * j->width) * sizeof *d);
    memcpy(d, j->by + first * j->width, (size_t)(n * j->width) * sizeof *d);
    const dal_status st = dal_nn_run_back_from(m->nn, m->weights, m->state, p, n, j->from, NULL);
    memcpy(j->out + first * in, p->d[m->info.input], (size_t)(n * in) * sizeof *d);
    return st;
}

static dal_status gradient_from(const dal_nn_model *m, dal_nn_value from, int64_t width, const float *inputs, int64_t n,
                                const float *by, float *out, dal_error *err)
{
    dal_sample_spec spec;
    const dal_batch x = as_batch(m, inputs, n, &spec);
    gradient_job j = {m, from, width, by, out};
    return dal_nn_model_tiles(m, &x, from, DAL_NN_SHOW_GRADIENTS, gradient_tile, &j, err);
}

static dal_status gradient(void *self, const float *inputs, int64_t n, const float *output_gradient, float *out,
                           dal_error *err)
{
    const dal_nn_model *m = self;
    return gradient_from(m, m->info.output, m->n_classes, inputs, n, output_gradient, out, err);
}

static dal_status gradient_by_features(void *self, const float *inputs, int64_t n, const float *feature_gradient,
                                       float *out, dal_error *err)
{
    const dal_nn_model *m = self;
    return gradient_from(m, m->info.features, m->info.n_features, inputs, n, feature_gradient, out, err);
}

const dal_model_input_gradient nn_model_input_gradient = {.struct_size = sizeof(dal_model_input_gradient),
                                                          .width = input_width,
                                                          .embed = embed,
                                                          .forward = forward,
                                                          .gradient = gradient};

const dal_model_feature_gradient nn_model_feature_gradient = {.struct_size = sizeof(dal_model_feature_gradient),
                                                              .features = forward_to_features,
                                                              .gradient = gradient_by_features};

/* ---- perturb ------------------------------------------------------------------------------------ */

static dal_status copy(void *self, void **out, dal_error *err)
{
    const dal_nn_model *m = self;
    dal_nn_model *c = m->host->alloc(m->host, m->size, 0);
    if (!c)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a copy of the model");
    memcpy(c, m, m->size);
    c->ready = NULL;
    c->lent = 0;
    ++*c->users;
    c->weights = dal_array(m->host, m->info.n_weights, sizeof *c->weights);
    c->state = dal_array(m->host, m->info.n_state, sizeof *c->state);
    if (!c->weights || !c->state) {
        dal_nn_model_destroy(c);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a copy of %lld weights", (long long)m->info.n_weights);
    }
    memcpy(c->weights, m->weights, (size_t)m->info.n_weights * sizeof *c->weights);
    memcpy(c->state, m->state, (size_t)m->info.n_state * sizeof *c->state);
    *out = c;
    return DAL_OK;
}

static int64_t n_weights(void *self)
{
    const dal_nn_model *m = self;
    return m->info.n_weights;
}

static float *weights(void *self)
{
    dal_nn_model *m = self;
    dal_nn_model_changed(m);
    m->lent = 1;
    return m->weights;
}

static int64_t n_parameters(void *self)
{
    const dal_nn_model *m = self;
    return m->info.n_parameters;
}

static const dal_parameter *parameter(void *self, int64_t i)
{
    const dal_nn_model *m = self;
    return dal_nn_parameter(m->nn, i);
}

typedef struct loss_job {
    const dal_nn_model *m;
    const float *targets;
    float *gradient, *losses;
    int64_t n;
} loss_job;

static dal_status loss_tile(void *ctx, dal_nn_pass *p, int64_t first, int64_t n)
{
    const loss_job *j = ctx;
    const dal_nn_model *m = j->m;
    const int64_t c = m->n_classes;
    memset(p->d[m->info.output], 0, (size_t)(TILE * c) * sizeof(float));
    for (int64_t i = 0; i < n; i++) {
        const double loss = dal_soft_loss(p->value[m->info.output] + i * c, 1, j->targets + (first + i) * c, c,
                                            1 / (double)j->n, p->d[m->info.output] + i * c);
        if (j->losses)
            j->losses[first + i] = (float)loss;
    }
    return dal_nn_run_back(m->nn, m->weights, m->state, p, n, j->gradient);
}

static dal_status loss_gradient(void *self, const dal_batch *x, const float *targets, float *out, float *losses,
                                dal_error *err)
{
    const dal_nn_model *m = self;
    loss_job j = {m, targets, out, losses, x->n};
    memset(out, 0, (size_t)m->info.n_weights * sizeof *out);
    return dal_nn_model_tiles(m, x, m->info.output, DAL_NN_SHOW_GRADIENTS, loss_tile, &j, err);
}

const dal_model_perturb nn_model_perturb = {.struct_size = sizeof(dal_model_perturb),
                                            .copy = copy,
                                            .n_weights = n_weights,
                                            .weights = weights,
                                            .n_parameters = n_parameters,
                                            .parameter = parameter,
                                            .loss_gradient = loss_gradient};

/* ---- companions --------------------------------------------------------------------------------- */

const dal_model_companion nn_model_companion = {
    .struct_size = sizeof(dal_model_companion),
    .offers = DAL_WANT_FEATURES | DAL_WANT_STAGES | DAL_WANT_UNLABELLED};
