/* Convolutions as in DeepAL+'s networks for VAAL, by the side of the images; vectors have a hidden layer each way. */
#include "vaal_nets.h"

#include <math.h>

#define MAX_LAYERS 4
#define HIDDEN 512 /* of the discriminator, and of the networks for vectors */

typedef struct layer {
    int64_t out, kernel, stride, pad, output_pad; /* out 0: the channels of the samples */
} layer;

/* Images of one side: convolutions down to [deep, grid, grid], transposed ones up. */
typedef struct plan {
    int64_t side;
    int norm; /* batch-norm in place of biases behind all layers but the last */
    layer down[MAX_LAYERS];
    int64_t deep, grid; /* the decoder begins here */
    layer up[MAX_LAYERS];
    int n_down, n_up;
} plan;

static const plan plans[] = {
    {28, 0, {{32, 4, 1, 2, 0}, {32, 4, 2, 1, 0}, {64, 4, 2, 1, 0}}, 64, 7,
     {{32, 4, 2, 1, 0}, {32, 4, 2, 1, 1}, {0, 4, 1, 2, 0}}, 3, 3},
    {32, 1, {{128, 4, 2, 1, 0}, {256, 4, 2, 1, 0}, {512, 4, 2, 1, 0}, {1024, 4, 2, 1, 0}}, 1024, 4,
     {{512, 4, 2, 1, 0}, {256, 4, 2, 1, 0}, {128, 4, 2, 1, 0}, {0, 1, 1, 0, 0}}, 4, 4},
    {64, 1, {{128, 4, 1, 2, 0}, {256, 4, 2, 1, 0}, {512, 4, 2, 1, 0}, {1024, 4, 2, 1, 0}}, 1024, 8,
     {{512, 4, 2, 1, 0}, {256, 4, 2, 1, 0}, {128, 4, 2, 1, 0}, {0, 1, 1, 0, 0}}, 4, 4},
};
enum { N_PLANS = sizeof plans / sizeof *plans };

/* The plan for images of this spec; NULL: vectors, or nothing that fits. */
static const plan *plan_of(const dal_sample_spec *spec)
{
    for (size_t i = 0; i < N_PLANS && spec->modality == DAL_IMAGE && spec->ndim == 3; i++)
        if (spec->shape[1] == plans[i].side && spec->shape[2] == plans[i].side)
            return &plans[i];
    return NULL;
}

dal_status vaal_nets_check(const dal_sample_spec *spec, dal_error *err)
{
    static const char *const kinds[] = {"samples of an unknown kind", "vectors", "images", "texts", "sparse vectors"};
    const char *kind = kinds[spec->modality <= DAL_SPARSE ? spec->modality : 0];
    char shape[64] = "";
    int at = 0;
    if (plan_of(spec) || spec->modality == DAL_VECTOR)
        return DAL_OK;
    for (uint32_t i = 0; i < spec->ndim && i < DAL_MAX_DIMS && at < (int)sizeof shape - 24; i++)
        at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%lld", i > 0 ? "x" : " of ",
                       (long long)spec->shape[i]);
    return dal_fail(err, DAL_E_UNSUPPORTED, "",
                    "vaal has an autoencoder for images of 28x28, 32x32 and 64x64 pixels and for vectors; these are "
                    "%s%s%s", kind, shape,
                    spec->modality == DAL_IMAGE ? ": the transform `resize` gives them another size" : "");
}

/* ---- layers ------------------------------------------------------------------------------------- */

static dal_nn_value down(dal_nn *nn, dal_nn_value x, const plan *p)
{
    for (int l = 0; l < p->n_down; l++) {
        const layer *k = &p->down[l];
        const dal_nn_conv_shape shape = {.out = k->out, .kernel = k->kernel, .stride = k->stride, .pad = k->pad,
                                         .flags = p->norm ? 0 : DAL_NN_BIAS | DAL_NN_RELU};
        char name[16];
        snprintf(name, sizeof name, "down%d", l + 1);
        x = dal_nn_conv(nn, x, name, &shape);
        snprintf(name, sizeof name, "norm%d", l + 1);
        x = p->norm ? dal_nn_batch_norm(nn, x, name, DAL_NN_RELU) : x;
    }
    return x;
}

/* From codes [latent + 1, 1, 1], whose last number is 1. A linear layer that fills a map is a transposed convolution of
 * one place. */
static dal_nn_value up(dal_nn *nn, dal_nn_value x, const plan *p, int64_t channels)
{
    const dal_nn_conv_transpose_shape first = {.out = p->deep, .kernel = p->grid, .flags = p->norm ? 0 : DAL_NN_RELU};
    x = dal_nn_conv_transpose(nn, x, "open", &first);
    for (int l = 0; l < p->n_up; l++) {
        const layer *k = &p->up[l];
        const int last = l == p->n_up - 1;
        const dal_nn_conv_transpose_shape shape = {
            .out = k->out ? k->out : channels, .kernel = k->kernel, .stride = k->stride, .pad = k->pad,
            .output_pad = k->output_pad,
            .flags = last ? DAL_NN_BIAS : p->norm ? 0 : DAL_NN_BIAS | DAL_NN_RELU};
        char name[16];
        snprintf(name, sizeof name, "up%d", l + 1);
        x = dal_nn_conv_transpose(nn, x, name, &shape);
        snprintf(name, sizeof name, "norm%d", l + 1);
        x = p->norm && !last ? dal_nn_batch_norm(nn, x, name, DAL_NN_RELU) : x;
    }
    return x;
}

static dal_nn *encoder_of(const dal_host *host, const dal_sample_spec *spec, int64_t latent)
{
    const plan *p = plan_of(spec);
    dal_nn *nn = dal_nn_new(host);
    if (!nn)
        return NULL;
    dal_nn_value x = p ? dal_nn_input(nn, spec->shape[0], p->side, p->side)
                       : dal_nn_input(nn, dal_sample_values(spec), 1, 1);
    x = p ? down(nn, x, p) : dal_nn_linear(nn, x, "hidden", HIDDEN, DAL_NN_BIAS | DAL_NN_RELU);
    dal_nn_output(nn, dal_nn_linear(nn, x, "code", 2 * latent, DAL_NN_BIAS));
    return nn;
}

static dal_nn *decoder_of(const dal_host *host, const dal_sample_spec *spec, int64_t latent, int64_t rows)
{
    const plan *p = plan_of(spec);
    dal_nn *nn = dal_nn_new(host);
    if (!nn)
        return NULL;
    dal_nn_value x = dal_nn_embedding_bag(nn, dal_nn_tokens(nn, 1, rows), "codes", latent + 1, 0);
    if (p) {
        x = up(nn, x, p, spec->shape[0]);
    } else {
        x = dal_nn_linear(nn, x, "open", HIDDEN, DAL_NN_RELU);
        x = dal_nn_linear(nn, x, "output", dal_sample_values(spec), DAL_NN_BIAS);
    }
    dal_nn_output(nn, x);
    return nn;
}

static dal_nn *discriminator_of(const dal_host *host, int64_t latent)
{
    dal_nn *nn = dal_nn_new(host);
    if (!nn)
        return NULL;
    dal_nn_value x = dal_nn_linear(nn, dal_nn_input(nn, latent, 1, 1), "hidden1", HIDDEN, DAL_NN_BIAS | DAL_NN_RELU);
    x = dal_nn_linear(nn, x, "hidden2", HIDDEN, DAL_NN_BIAS | DAL_NN_RELU);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", 1, DAL_NN_BIAS));
    return nn;
}

/* ---- fresh weights ------------------------------------------------------------------------------ */

/* What the constant 1 of a code meets in the decoder's first layer are biases: of [latent + 1, out, k, k] the last
 * part, of [out, latent + 1] the last column. */
static void clear_constant(const dal_tensor *t, int64_t latent, float *w)
{
    const int64_t out = t->count / (latent + 1);
    for (int64_t k = 0; k < out; k++)
        w[t->ndim == 2 ? k * (latent + 1) + latent : latent * out + k] = 0;
}

/* Convolutions and linear layers are normal with variance 2 / fan in (He et al. 2015), biases 0; transposed
 * convolutions are as dal_nn_draw leaves them, which is how the authors' are drawn. */
static void draw(const vaal_net *n, int64_t latent, const dal_rng *stream)
{
    dal_nn_draw(n->nn, DAL_NN_UNIFORM, stream, n->weights, n->state);
    for (int64_t i = 0; i < n->info.n_parameters; i++) {
        const dal_parameter *p = dal_nn_parameter(n->nn, i);
        const dal_rng own = dal_rng_at(stream, (uint64_t)(n->info.n_parameters + i));
        const int opens = strncmp(p->name, "open", 4) == 0;
        float *w = n->weights + p->offset;
        dal_tensor t;
        dal_nn_tensor(n->nn, i, n->weights, n->state, &t);
        if (p->role == DAL_ROLE_BIAS)
            memset(w, 0, (size_t)p->count * sizeof *w);
        if (p->role != DAL_ROLE_WEIGHT || strncmp(p->name, "up", 2) == 0 || strncmp(p->name, "codes", 5) == 0)
            continue;
        dal_rng_fill_normal(&own, (float)sqrt(2.0 / (double)(opens ? latent : p->count / t.shape[0])), p->count, w);
        if (opens)
            clear_constant(&t, latent, w);
    }
}

static dal_status open_net(vaal_net *n, const dal_host *host, dal_nn *nn, int64_t latent, dal_rng stream,
                           dal_error *err)
{
    *n = (vaal_net){.host = host, .nn = nn, .info = {.struct_size = sizeof n->info}};
    if (!nn)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    const dal_status st = dal_nn_finish(nn, err);
    if (st != DAL_OK)
        return st;
    dal_nn_describe(nn, &n->info);
    n->weights = dal_array(host, n->info.n_weights, sizeof *n->weights);
    n->state = dal_array(host, n->info.n_state, sizeof *n->state);
    if (!n->weights || !n->state)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network of %lld weights", (long long)n->info.n_weights);
    draw(n, latent, &stream);
    return DAL_OK;
}

dal_status vaal_nets_open(vaal_nets *n, const dal_host *host, const dal_sample_spec *spec, int64_t latent,
                          int64_t rows, int64_t round, dal_error *err)
{
    *n = (vaal_nets){0};
    dal_status st = open_net(&n->encoder, host, encoder_of(host, spec, latent), latent,
                             host->rng(host, "encoder", round), err);
    if (st == DAL_OK)
        st = open_net(&n->decoder, host, decoder_of(host, spec, latent, rows), latent,
                      host->rng(host, "decoder", round), err);
    if (st == DAL_OK)
        st = open_net(&n->discriminator, host, discriminator_of(host, latent), latent,
                      host->rng(host, "discriminator", round), err);
    return st;
}

void vaal_nets_free(vaal_nets *n)
{
    vaal_net *const all[] = {&n->encoder, &n->decoder, &n->discriminator};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!all[i]->host)
            continue;
        dal_nn_free(all[i]->nn);
        all[i]->host->free(all[i]->host, all[i]->weights);
        all[i]->host->free(all[i]->host, all[i]->state);
    }
}

/* ---- what they take ----------------------------------------------------------------------------- */

/* Numbers of some networks: weights, those of the largest layer, values of a sample, its multiply-adds. */
typedef struct sizes {
    double weights, largest, values, work, patches;
} sizes;

/* A layer of `weights`, each of which works at `places`, and that makes `values`. */
static void count(sizes *s, double weights, double places, double values)
{
    s->weights += weights;
    s->largest = fmax(s->largest, weights);
    s->values += values;
    s->work += weights * places;
}

static sizes count_images(const plan *p, double channels, double latent)
{
    sizes s = {0};
    double in = channels, side = (double)p->side;
    const double twice = p->norm ? 2 : 1; /* values of the norm, too */
    s.values = channels * side * side;
    for (int l = 0; l < p->n_down; l++) {
        const layer *k = &p->down[l];
        const double out = (double)k->out, area = (double)(k->kernel * k->kernel);
        side = floor((side + 2 * (double)k->pad - (double)k->kernel) / (double)k->stride) + 1;
        count(&s, in * out * area + 2 * out, side * side, twice * out * side * side);
        in = out;
    }
    count(&s, (in * side * side + 1) * 2 * latent, 1, 2 * latent);
    side = (double)p->grid;
    in = (double)p->deep;
    count(&s, (latent + 1) * in * side * side, 1, in * side * side + latent + 1);
    for (int l = 0; l < p->n_up; l++) {
        const layer *k = &p->up[l];
        const double out = k->out ? (double)k->out : channels, area = (double)(k->kernel * k->kernel), from = side;
        side = (side - 1) * (double)k->stride - 2 * (double)k->pad + (double)k->kernel + (double)k->output_pad;
        count(&s, in * out * area + 2 * out, from * from, twice * out * side * side);
        s.patches = fmax(s.patches, out * area * from * from);
        in = out;
    }
    return s;
}

static sizes count_vectors(double d, double latent)
{
    sizes s = {.values = d};
    count(&s, (d + 1) * HIDDEN, 1, HIDDEN);
    count(&s, (HIDDEN + 1) * 2 * latent, 1, 2 * latent);
    count(&s, (latent + 1) * HIDDEN, 1, HIDDEN + latent + 1);
    count(&s, (HIDDEN + 1) * d, 1, d);
    return s;
}

/* Weights: themselves, their gradient, two moments, twice packed; a layer's gradient for each shard. Values: themselves
 * and their gradient, and what is shown in another order. */
static double bytes_of(const sizes *s, double rows)
{
    return 4 * (s->weights * 8 + s->largest * DAL_NN_SHARDS + s->values * rows * 3 + s->patches * DAL_NN_SHARDS * 2);
}

void vaal_nets_cost(int64_t inputs, int64_t latent, int64_t rows, double *bytes, double *multiply_adds)
{
    const double z = (double)latent, d = inputs > 0 ? (double)inputs : 3 * 64 * 64;
    sizes vectors = count_vectors(d, z);
    *bytes = bytes_of(&vectors, (double)rows);
    *multiply_adds = vectors.work;
    for (size_t i = 0; i < N_PLANS; i++) {
        const double channels = d / (double)(plans[i].side * plans[i].side);
        if (channels != floor(channels) && inputs > 0)
            continue;
        const sizes images = count_images(&plans[i], ceil(channels), z);
        *bytes = fmax(*bytes, bytes_of(&images, (double)rows));
        *multiply_adds = fmax(*multiply_adds, images.work);
    }
    /* the discriminator: six times its weights, and its values */
    *bytes += 4 * (8 * (z + HIDDEN + 2) * HIDDEN + 6 * (double)rows * (2 * HIDDEN + z + 1)) +
              4 * (double)rows * (z + 1) * 12;
}
