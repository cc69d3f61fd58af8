/* Features, stages, Monte-Carlo passes, last layer, gradients: all read-only, all tile by tile. */
#include "dense_model.h"
#include "model_common.h"

#define TILE DAL_DENSE_TILE

/* ---- features and stages ------------------------------------------------------------------------ */

static int32_t n_stages(const dense_model *m)
{
    return m->net.n_layers - 1;
}

static int64_t features_width(void *self)
{
    const dense_model *m = self;
    return m->net.layer[m->net.n_layers - 1].in;
}

static dal_status features(void *self, const dal_batch *x, float *out, float *outputs, dal_error *err)
{
    const dense_model *m = self;
    const int64_t d = features_width(self), c = m->n_classes;
    const int32_t last = m->net.n_layers - 1;
    dal_dense_tile t = {0};
    dal_status st = dense_model_ready(m, x, err);
    if (st == DAL_OK)
        st = dal_dense_tile_init(&t, m->host, &m->net, 0, err);
    for (int64_t first = 0; first < x->n && st == DAL_OK; first += TILE) {
        const int64_t n = dense_model_fill(m, x, first, &t);
        st = dal_dense_tile_forward(&m->net, m->weights, &t, 0, outputs ? last + 1 : last);
        if (last > 0)
            dal_dense_to_rows(t.a[last - 1], d, TILE, n, out + first * d);
        else
            memcpy(out + first * d, t.x, (size_t)(n * d) * sizeof *out);
        if (outputs)
            dal_dense_to_rows(t.a[last], c, TILE, n, outputs + first * c);
    }
    if (t.block)
        dal_dense_tile_fini(&t, m->host);
    return st;
}

const dal_model_features dense_model_features = {
    .struct_size = sizeof(dal_model_features), .width = features_width, .features = features};

static int64_t stages_count(void *self)
{
    return n_stages(self);
}

static int64_t stages_width(void *self, int64_t stage)
{
    const dense_model *m = self;
    return stage >= 0 && stage < n_stages(m) ? m->net.layer[stage].out : 0;
}

static dal_status stages(void *self, const dal_batch *x, float *const *out, dal_error *err)
{
    const dense_model *m = self;
    dal_dense_tile t = {0};
    dal_status st = dense_model_ready(m, x, err);
    if (st == DAL_OK)
        st = dal_dense_tile_init(&t, m->host, &m->net, 0, err);
    for (int64_t first = 0; first < x->n && st == DAL_OK; first += TILE) {
        const int64_t n = dense_model_fill(m, x, first, &t);
        st = dal_dense_tile_forward(&m->net, m->weights, &t, 0, n_stages(m));
        for (int32_t l = 0; l < n_stages(m); l++)
            if (out[l])
                dal_dense_to_rows(t.a[l], m->net.layer[l].out, TILE, n, out[l] + first * m->net.layer[l].out);
    }
    if (t.block)
        dal_dense_tile_fini(&t, m->host);
    return st;
}

const dal_model_stages dense_model_stages = {
    .struct_size = sizeof(dal_model_stages), .count = stages_count, .width = stages_width, .stages = stages};

/* ---- Monte-Carlo dropout ------------------------------------------------------------------------ */

/* Value v of a network is its input (v = 0) or the output of hidden layer v. A pass masks values
 * first..last: all hidden layers when the network was trained with dropout, else the features alone. */
typedef struct mc_plan {
    int32_t first, last;
    double rate;
    int64_t width;   /* of all masked values together */
    float *masks;    /* [n_passes, width]: 0 or 1 / (1 - rate) */
    float *unmasked; /* [width of value first, TILE] */
} mc_plan;

static int64_t value_width(const dense_model *m, int32_t v)
{
    return m->net.layer[v].in;
}

static dal_status mc_plan_init(mc_plan *p, const dense_model *m, const dal_rng *stream, int64_t first_pass,
                               int64_t n_passes, dal_error *err)
{
    const int own = m->dropout > 0 && m->net.n_layers > 1;
    *p = (mc_plan){.first = own ? 1 : m->net.n_layers - 1, .last = m->net.n_layers - 1,
                   .rate = own ? m->dropout : m->mc_dropout};
    int64_t count;
    for (int32_t v = p->first; v <= p->last; v++)
        p->width += value_width(m, v);
    if (!dal_size_mul(n_passes, p->width, &count))
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld Monte-Carlo passes", (long long)n_passes);
    p->masks = dal_array(m->host, count, sizeof *p->masks);
    p->unmasked = dal_array(m->host, value_width(m, p->first) * TILE, sizeof *p->unmasked);
    if (!p->masks || !p->unmasked)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the masks of %lld Monte-Carlo passes",
                        (long long)n_passes);
    const float scale = (float)(1 / (1 - p->rate));
    for (int64_t k = 0; k < n_passes; k++) {
        dal_rng rng = dal_rng_at(stream, (uint64_t)(first_pass + k));
        for (int64_t j = 0; j < p->width; j++)
            p->masks[k * p->width + j] = dal_rng_uniform(&rng) < p->rate ? 0 : scale;
    }
    return DAL_OK;
}

/* One pass over the tile: value `first` from its unmasked copy, the later ones as they come. */
static dal_status mc_pass(const dense_model *m, const mc_plan *p, const float *mask, dal_dense_tile *t)
{
    dal_status st = DAL_OK;
    for (int32_t v = p->first; v <= p->last && st == DAL_OK; v++) {
        const int64_t width = value_width(m, v);
        float *to = v ? t->a[v - 1] : t->x;
        const float *from = v == p->first ? p->unmasked : to;
        for (int64_t j = 0; j < width; j++)
            for (int64_t i = 0; i < TILE; i++) {
                const int64_t at = v ? j * TILE + i : i * width + j; /* the input lies row by row */
                to[at] = from[at] * mask[j];
            }
        mask += width;
        st = dal_dense_tile_forward(&m->net, m->weights, t, v, v + 1);
    }
    return st;
}

static dal_status mc(void *self, const dal_batch *x, const dal_rng *stream, int64_t first_pass,
                     int64_t n_passes, float *out, dal_error *err)
{
    const dense_model *m = self;
    const int64_t c = m->n_classes;
    mc_plan p = {0};
    dal_dense_tile t = {0};
    dal_status st = dense_model_ready(m, x, err);
    if (st == DAL_OK)
        st = mc_plan_init(&p, m, stream, first_pass, n_passes, err);
    if (st == DAL_OK)
        st = dal_dense_tile_init(&t, m->host, &m->net, 0, err);
    for (int64_t first = 0; first < x->n && st == DAL_OK; first += TILE) {
        const int64_t n = dense_model_fill(m, x, first, &t);
        st = dal_dense_tile_forward(&m->net, m->weights, &t, 0, p.first);
        memcpy(p.unmasked, p.first ? t.a[p.first - 1] : t.x,
               (size_t)(value_width(m, p.first) * TILE) * sizeof *p.unmasked);
        for (int64_t k = 0; k < n_passes && st == DAL_OK; k++) {
            st = mc_pass(m, &p, p.masks + k * p.width, &t);
            dal_dense_to_rows(t.a[m->net.n_layers - 1], c, TILE, n, out + (k * x->n + first) * c);
        }
    }
    if (t.block)
        dal_dense_tile_fini(&t, m->host);
    m->host->free(m->host, p.unmasked);
    m->host->free(m->host, p.masks);
    return st;
}

const dal_model_mc dense_model_mc = {.struct_size = sizeof(dal_model_mc), .mc = mc};

/* ---- last layer --------------------------------------------------------------------------------- */

static dal_status last_layer(void *self, dal_matrix *weights, const float **bias, dal_error *err)
{
    const dense_model *m = self;
    const dal_dense_layer *layer = &m->net.layer[m->net.n_layers - 1];
    const dal_status st = dense_model_ready(m, NULL, err);
    if (st == DAL_OK) {
        *weights = (dal_matrix){m->weights + layer->weight, layer->out, layer->in, layer->in};
        *bias = m->weights + layer->bias;
    }
    return st;
}

const dal_model_last_layer dense_model_last_layer = {.struct_size = sizeof(dal_model_last_layer),
                                                     .last_layer = last_layer};

/* ---- input gradient ----------------------------------------------------------------------------- */

static int64_t input_width(void *self)
{
    const dense_model *m = self;
    return m->net.layer[0].in;
}

static dal_status embed(void *self, const dal_batch *x, float *inputs, dal_error *err)
{
    const dense_model *m = self;
    const dal_status st = model_check_width(m->id, m->net.layer[0].in, x->spec, err);
    if (st != DAL_OK)
        return st;
    dal_dense_read(x, 0, x->n, inputs);
    return DAL_OK;
}

/* Real inputs [n, in] as a batch of vectors, so that they go the way of all samples. */
static dal_batch as_batch(const dense_model *m, const float *inputs, int64_t n, dal_sample_spec *spec)
{
    *spec = (dal_sample_spec){.struct_size = sizeof *spec, .modality = DAL_VECTOR, .dtype = DAL_F32,
                              .ndim = 1, .shape = {m->net.layer[0].in}, .n_classes = m->n_classes};
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
    return dense_model_predict(self, &x, outputs, err);
}

static dal_status gradient(void *self, const float *inputs, int64_t n, const float *output_gradient,
                           float *out, dal_error *err)
{
    const dense_model *m = self;
    const int64_t in = m->net.layer[0].in, c = m->n_classes;
    const int32_t last = m->net.n_layers - 1;
    dal_sample_spec spec;
    const dal_batch x = as_batch(m, inputs, n, &spec);
    dal_dense_tile t = {0};
    dal_status st = dense_model_ready(m, &x, err);
    if (st == DAL_OK)
        st = dal_dense_tile_init(&t, m->host, &m->net, 1, err);
    if (st == DAL_OK)
        memset(t.d[last], 0, (size_t)(c * TILE) * sizeof *t.d[last]);
    for (int64_t first = 0; first < n && st == DAL_OK; first += TILE) {
        const int64_t rows = dense_model_fill(m, &x, first, &t);
        st = dal_dense_tile_forward(&m->net, m->weights, &t, 0, last);
        dal_dense_to_columns(output_gradient + first * c, rows, c, t.d[last], TILE);
        if (st == DAL_OK)
            st = dal_dense_tile_backward(&m->net, m->weights, &t, 1);
        dal_dense_to_rows(t.dx, in, TILE, rows, out + first * in);
    }
    if (t.block)
        dal_dense_tile_fini(&t, m->host);
    return st;
}

const dal_model_input_gradient dense_model_input_gradient = {.struct_size = sizeof(dal_model_input_gradient),
                                                             .width = input_width,
                                                             .embed = embed,
                                                             .forward = forward,
                                                             .gradient = gradient};

/* ---- perturb ------------------------------------------------------------------------------------ */

static dal_status copy(void *self, void **out, dal_error *err)
{
    const dense_model *m = self;
    const int64_t n_parameters = 2 * (int64_t)m->net.n_layers;
    dense_model *c = m->host->alloc(m->host, m->size, 0);
    if (!c)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a copy of the model");
    memcpy(c, m, m->size);
    c->weights = dal_array(m->host, m->net.n_weights, sizeof *c->weights);
    c->parameters = dal_array(m->host, n_parameters, sizeof *c->parameters);
    c->names = dal_array(m->host, n_parameters, sizeof *c->names);
    if (!c->weights || !c->parameters || !c->names) {
        dense_model_destroy(c);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a copy of %lld weights",
                        (long long)m->net.n_weights);
    }
    memcpy(c->weights, m->weights, (size_t)m->net.n_weights * sizeof *c->weights);
    memcpy(c->parameters, m->parameters, (size_t)n_parameters * sizeof *c->parameters);
    memcpy(c->names, m->names, (size_t)n_parameters * sizeof *c->names);
    for (int64_t i = 0; i < n_parameters; i++)
        c->parameters[i].name = c->names[i];
    *out = c;
    return DAL_OK;
}

static int64_t n_weights(void *self)
{
    const dense_model *m = self;
    return m->net.n_weights;
}

static float *weights(void *self)
{
    dense_model *m = self;
    return m->weights;
}

static int64_t n_parameters(void *self)
{
    const dense_model *m = self;
    return 2 * (int64_t)m->net.n_layers;
}

static const dal_parameter *parameter(void *self, int64_t i)
{
    const dense_model *m = self;
    return i >= 0 && i < n_parameters(self) ? &m->parameters[i] : NULL;
}

static dal_status loss_gradient(void *self, const dal_batch *x, const float *targets, float *out,
                                float *losses, dal_error *err)
{
    const dense_model *m = self;
    const int64_t c = m->n_classes;
    const int32_t last = m->net.n_layers - 1;
    dal_dense_tile t = {0};
    dal_status st = dense_model_ready(m, x, err);
    if (st == DAL_OK)
        st = dal_dense_tile_init(&t, m->host, &m->net, 1, err);
    if (st == DAL_OK)
        memset(out, 0, (size_t)m->net.n_weights * sizeof *out);
    for (int64_t first = 0; first < x->n && st == DAL_OK; first += TILE) {
        const int64_t n = dense_model_fill(m, x, first, &t);
        st = dal_dense_tile_forward(&m->net, m->weights, &t, 0, last + 1);
        memset(t.d[last], 0, (size_t)(c * TILE) * sizeof *t.d[last]);
        for (int64_t i = 0; i < n; i++) {
            const double loss = model_soft_loss(t.a[last] + i, TILE, targets + (first + i) * c, c, 1 / (double)x->n,
                                                t.d[last] + i);
            if (losses)
                losses[first + i] = (float)loss;
        }
        if (st == DAL_OK)
            st = dal_dense_tile_backward(&m->net, m->weights, &t, 0);
        if (st == DAL_OK)
            st = dal_dense_tile_gradient(&m->net, &t, out);
    }
    if (t.block)
        dal_dense_tile_fini(&t, m->host);
    return st;
}

const dal_model_perturb dense_model_perturb = {.struct_size = sizeof(dal_model_perturb),
                                               .copy = copy,
                                               .n_weights = n_weights,
                                               .weights = weights,
                                               .n_parameters = n_parameters,
                                               .parameter = parameter,
                                               .loss_gradient = loss_gradient};

/* ---- companion ---------------------------------------------------------------------------------- */

const dal_model_companion dense_model_companion = {
    .struct_size = sizeof(dal_model_companion),
    .offers = DAL_WANT_FEATURES | DAL_WANT_STAGES | DAL_WANT_UNLABELLED};
