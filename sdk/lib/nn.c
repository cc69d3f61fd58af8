/* Declaring a network: every call adds a node, finds its shape and its place in the weights. */
#include "nn_private.h"

#include <math.h>

#include "nn_half.h"
#include "nn_onednn.h"
#include "nn_product.h"

dal_nn *dal_nn_new(const dal_host *host)
{
    dal_nn *nn = host->alloc(host, sizeof *nn, 0);
    if (!nn)
        return NULL;
    memset(nn, 0, sizeof *nn);
    nn->host = host;
    nn->features = nn->output = -1;
    nn->fault = (dal_error)DAL_ERROR_INIT;
    nn->node = dal_array(host, DAL_NN_MAX_VALUES, sizeof *nn->node);
    nn->parameter = dal_array(host, 2 * DAL_NN_MAX_VALUES, sizeof *nn->parameter);
    nn->names = dal_array(host, 2 * DAL_NN_MAX_VALUES, sizeof *nn->names);
    if (!nn->node || !nn->parameter || !nn->names) {
        dal_nn_free(nn);
        return NULL;
    }
    return nn;
}

void dal_nn_free(dal_nn *nn)
{
    if (!nn)
        return;
    const dal_host *host = nn->host;
    nn_half_close(nn);
    nn_onednn_close(nn);
    host->free(host, nn->state_names);
    host->free(host, nn->names);
    host->free(host, nn->parameter);
    host->free(host, nn->node);
    host->free(host, nn);
}

/* ---- adding nodes ------------------------------------------------------------------------------ */

dal_nn_value nn_fault(dal_nn *nn, const char *name, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    if (nn->fault.status != DAL_OK)
        return -1;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    dal_fail(&nn->fault, DAL_E_INVALID, "", "layer '%s': %s", name, text);
    return -1;
}

int nn_known(dal_nn *nn, dal_nn_value x, const char *name)
{
    if (nn->fault.status != DAL_OK)
        return 0;
    if (nn->finished)
        nn_fault(nn, name, "the network is finished");
    else if (x < 0 || x >= nn->n)
        nn_fault(nn, name, "its input is no value of this network (%d of %d)", (int)x, (int)nn->n);
    return nn->fault.status == DAL_OK;
}

int nn_takes_map(dal_nn *nn, dal_nn_value x, const char *name)
{
    if (!nn_known(nn, x, name))
        return 0;
    if (nn->node[x].tokens)
        nn_fault(nn, name, "takes no tokens: make a vector of them first");
    return !nn->node[x].tokens;
}

nn_node *nn_add_node(dal_nn *nn, const nn_op *op, const char *name, dal_nn_value a, dal_nn_value b, int64_t c,
                     int64_t h, int64_t w)
{
    int64_t size;
    if (nn->n == DAL_NN_MAX_VALUES) {
        nn_fault(nn, name, "more than %d layers", DAL_NN_MAX_VALUES);
        return NULL;
    }
    if (c < 1 || h < 1 || w < 1 || !dal_size_mul(c, h, &size) || !dal_size_mul(size, w, &size) || size > INT32_MAX) {
        nn_fault(nn, name, "its output would be %lld x %lld x %lld", (long long)c, (long long)h, (long long)w);
        return NULL;
    }
    nn_node *k = &nn->node[nn->n];
    *k = (nn_node){.op = op, .in = {a, b}, .c = c, .h = h, .w = w, .size = size, .weight = -1, .bias = -1, .state = -1,
                   .groups = 1, .stride = 1, .dropout = -1, .block = 1};
    snprintf(k->name, sizeof k->name, "%.*s", NN_NAME - 1, name);
    return k;
}

int64_t nn_take_weights(dal_nn *nn, nn_node *k, const char *what, uint32_t role, int64_t count)
{
    const int64_t at = nn->n_weights, i = nn->n_parameters;
    if (i == 2 * DAL_NN_MAX_VALUES) {
        nn_fault(nn, k->name, "more than %d slices of weights", 2 * DAL_NN_MAX_VALUES);
        return at;
    }
    nn->n_parameters++;
    snprintf(nn->names[i], sizeof nn->names[i], "%s.%s", k->name, what);
    nn->parameter[i] = (dal_parameter){sizeof(dal_parameter), role, nn->names[i], at, count};
    if (count > INT32_MAX || at > INT32_MAX)
        nn_fault(nn, k->name, "%lld weights are too many", (long long)count);
    nn->n_weights += count;
    k->n_weights += count;
    k->n_parameters++;
    return at;
}

dal_nn_value nn_done(dal_nn *nn, int64_t multiply_adds)
{
    nn->multiply_adds += multiply_adds;
    return nn->fault.status == DAL_OK ? nn->n++ : -1;
}

dal_nn_value dal_nn_input(dal_nn *nn, int64_t channels, int64_t height, int64_t width)
{
    if (nn->n != 0)
        return nn_fault(nn, "input", "a second input");
    nn_node *k = nn_add_node(nn, NULL, "input", -1, -1, channels, height, width);
    return k ? nn_done(nn, 0) : -1;
}

/* Windows of `kernel` over n places; 0 where none fits. */
static int64_t places(int64_t n, int64_t kernel, int64_t stride, int64_t pad)
{
    return kernel < 1 || stride < 1 || pad < 0 || pad >= kernel || n + 2 * pad < kernel
               ? 0
               : (n + 2 * pad - kernel) / stride + 1;
}

dal_nn_value dal_nn_conv(dal_nn *nn, dal_nn_value x, const char *name, const dal_nn_conv_shape *shape)
{
    if (!nn_takes_map(nn, x, name))
        return -1;
    const nn_node *a = &nn->node[x];
    const int64_t stride = shape->stride ? shape->stride : 1, groups = shape->groups ? shape->groups : 1;
    const int64_t h = places(a->h, shape->kernel, stride, shape->pad),
        w = places(a->w, shape->kernel, stride, shape->pad);
    if (h < 1 || w < 1)
        return nn_fault(nn, name, "a kernel of %lld with stride %lld and pad %lld does not fit %lld x %lld places",
                     (long long)shape->kernel, (long long)stride, (long long)shape->pad, (long long)a->h,
                     (long long)a->w);
    if (groups < 1 || a->c % groups || shape->out % groups)
        return nn_fault(nn, name, "%lld groups do not divide %lld channels in and %lld out", (long long)groups,
                     (long long)a->c, (long long)shape->out);
    nn_node *k = nn_add_node(nn, &nn_conv_op, name, x, -1, shape->out, h, w);
    if (!k)
        return -1;
    const int64_t patch = a->c / groups * shape->kernel * shape->kernel;
    k->kernel = shape->kernel;
    k->stride = stride;
    k->pad = shape->pad;
    k->groups = groups;
    k->flags = shape->flags;
    k->scratch = 2 * patch * h * w;
    k->weight = nn_take_weights(nn, k, "weight", DAL_ROLE_WEIGHT, shape->out * patch);
    if (shape->flags & DAL_NN_BIAS)
        k->bias = nn_take_weights(nn, k, "bias", DAL_ROLE_BIAS, shape->out);
    return nn_done(nn, shape->out * patch * h * w);
}

dal_nn_value dal_nn_linear(dal_nn *nn, dal_nn_value x, const char *name, int64_t out, uint32_t flags)
{
    if (!nn_known(nn, x, name))
        return -1;
    const nn_node *a = &nn->node[x];
    const int64_t in = nn_width(a);
    nn_node *k = nn_add_node(nn, a->tokens ? &nn_token_linear_op : &nn_linear_op, name, x, -1, out,
                             a->tokens ? a->h : 1, 1);
    if (!k)
        return -1;
    k->tokens = a->tokens;
    k->flags = flags;
    k->scratch = a->tokens ? 0 : DAL_NN_TILE * (in + out + NN_PANEL);
    k->weight = nn_take_weights(nn, k, "weight", DAL_ROLE_WEIGHT, in * out);
    if (flags & DAL_NN_BIAS)
        k->bias = nn_take_weights(nn, k, "bias", DAL_ROLE_BIAS, out);
    return nn_done(nn, in * out * k->h);
}

dal_nn_value dal_nn_batch_norm(dal_nn *nn, dal_nn_value x, const char *name, uint32_t flags)
{
    if (!nn_takes_map(nn, x, name))
        return -1;
    const nn_node *a = &nn->node[x];
    nn_node *k = nn_add_node(nn, &nn_norm_op, name, x, -1, a->c, a->h, a->w);
    if (!k)
        return -1;
    k->flags = flags;
    k->weight = nn_take_weights(nn, k, "weight", DAL_ROLE_SCALE, a->c);
    k->bias = nn_take_weights(nn, k, "bias", DAL_ROLE_BIAS, a->c);
    k->state = nn->n_state;
    nn->n_state += 2 * a->c;
    return nn_done(nn, a->size);
}

dal_nn_value dal_nn_relu(dal_nn *nn, dal_nn_value x)
{
    if (!nn_known(nn, x, "relu"))
        return -1;
    const nn_node *a = &nn->node[x];
    nn_node *k = nn_add_node(nn, &nn_relu_op, "relu", x, -1, a->c, a->h, a->w);
    if (!k)
        return -1;
    k->tokens = a->tokens;
    return nn_done(nn, 0);
}

dal_nn_value dal_nn_add(dal_nn *nn, dal_nn_value a, dal_nn_value b, uint32_t flags)
{
    if (!nn_known(nn, a, "add") || !nn_known(nn, b, "add"))
        return -1;
    const nn_node *x = &nn->node[a], *y = &nn->node[b];
    if (x->c != y->c || x->h != y->h || x->w != y->w || x->tokens != y->tokens)
        return nn_fault(nn, "add", "%lld x %lld x %lld and %lld x %lld x %lld", (long long)x->c, (long long)x->h,
                     (long long)x->w, (long long)y->c, (long long)y->h, (long long)y->w);
    nn_node *k = nn_add_node(nn, &nn_add_op, "add", a, b, x->c, x->h, x->w);
    if (!k)
        return -1;
    k->tokens = x->tokens;
    k->flags = flags;
    return nn_done(nn, 0);
}

static dal_nn_value pool(dal_nn *nn, const nn_op *op, dal_nn_value x, int64_t kernel, int64_t stride, int64_t pad)
{
    if (!nn_takes_map(nn, x, op->name))
        return -1;
    const nn_node *a = &nn->node[x];
    const int64_t h = places(a->h, kernel, stride, pad), w = places(a->w, kernel, stride, pad);
    if (h < 1 || w < 1)
        return nn_fault(nn, op->name, "a window of %lld with stride %lld and pad %lld does not fit %lld x %lld places",
                     (long long)kernel, (long long)stride, (long long)pad, (long long)a->h, (long long)a->w);
    nn_node *k = nn_add_node(nn, op, op->name, x, -1, a->c, h, w);
    if (!k)
        return -1;
    k->kernel = kernel;
    k->stride = stride;
    k->pad = pad;
    k->aux = op == &nn_max_pool_op ? k->size * (int64_t)sizeof(int32_t) : 0;
    return nn_done(nn, 0);
}

dal_nn_value dal_nn_max_pool(dal_nn *nn, dal_nn_value x, int64_t kernel, int64_t stride, int64_t pad)
{
    return pool(nn, &nn_max_pool_op, x, kernel, stride, pad);
}

dal_nn_value dal_nn_avg_pool(dal_nn *nn, dal_nn_value x, int64_t kernel, int64_t stride, int64_t pad)
{
    return pool(nn, &nn_avg_pool_op, x, kernel, stride, pad);
}

dal_nn_value dal_nn_global_pool(dal_nn *nn, dal_nn_value x)
{
    if (!nn_takes_map(nn, x, "global_pool"))
        return -1;
    const nn_node *a = &nn->node[x];
    nn_node *k = nn_add_node(nn, &nn_avg_pool_op, "global_pool", x, -1, a->c, 1, 1);
    return k ? nn_done(nn, 0) : -1; /* kernel 0: the whole map */
}

dal_nn_value dal_nn_dropout(dal_nn *nn, dal_nn_value x, double rate)
{
    if (!nn_known(nn, x, "dropout"))
        return -1;
    if (!(rate >= 0 && rate < 1))
        return nn_fault(nn, "dropout", "its rate is %g; expected [0..1)", rate);
    const nn_node *a = &nn->node[x];
    nn_node *k = nn_add_node(nn, &nn_dropout_op, "dropout", x, -1, a->c, a->h, a->w);
    if (!k)
        return -1;
    k->tokens = a->tokens;
    k->rate = rate;
    k->aux = k->size;
    k->dropout = nn->n_dropouts++;
    return nn_done(nn, 0);
}

/* ---- what it shows ----------------------------------------------------------------------------- */

void dal_nn_stage(dal_nn *nn, dal_nn_value x)
{
    if (!nn_takes_map(nn, x, "stage"))
        return;
    nn->node[x].shown = 1;
    nn->stage[nn->n_stages++] = x;
    if (nn->n_stages == DAL_NN_MAX_VALUES)
        nn_fault(nn, "stage", "more than %d stages", DAL_NN_MAX_VALUES - 1);
}

void dal_nn_features(dal_nn *nn, dal_nn_value x)
{
    if (!nn_takes_map(nn, x, "features"))
        return;
    nn->node[x].shown = 1;
    nn->features = x;
}

void dal_nn_output(dal_nn *nn, dal_nn_value x)
{
    if (!nn_takes_map(nn, x, "output"))
        return;
    nn->node[x].shown = 1;
    nn->output = x;
}

/* On the way back the last reader of a value is the first to write its d, unless what a companion or the loss put
 * there is to be added to. */
static void find_first_writers(dal_nn *nn)
{
    for (int32_t k = nn->n - 1; k > 0; k--)
        for (int i = 0; i < 2; i++) {
            const dal_nn_value x = nn->node[k].in[i];
            if (x < 0)
                continue;
            int first = !nn->node[x].shown && !(i == 1 && nn->node[k].in[0] == x);
            for (int32_t later = k + 1; first && later < nn->n; later++)
                first = nn->node[later].in[0] != x && nn->node[later].in[1] != x;
            nn->node[k].first_writer[i] = first;
        }
}

static void find_unread(dal_nn *nn)
{
    for (int32_t v = 0; v < nn->n; v++) {
        int read = nn->node[v].shown;
        for (int32_t k = v + 1; k < nn->n; k++)
            read |= nn->node[k].in[0] == v || nn->node[k].in[1] == v;
        if (!read)
            nn_fault(nn, nn->node[v].name, "no other layer reads its value");
    }
}

/* Ids are numbers of words, not of anything else. */
static void find_readers_of_ids(dal_nn *nn)
{
    for (int32_t v = 1; nn->vocabulary > 0 && v < nn->n; v++)
        if ((nn->node[v].in[0] == 0 || nn->node[v].in[1] == 0) && nn->node[v].op != &nn_embedding_op &&
            nn->node[v].op != &nn_embedding_bag_op)
            nn_fault(nn, nn->node[v].name, "reads the ids of tokens: embed them first");
}

dal_status dal_nn_finish(dal_nn *nn, dal_error *err)
{
    if (nn->fault.status == DAL_OK && nn->output < 0)
        nn_fault(nn, "output", "the network has no output");
    if (nn->fault.status == DAL_OK && (nn->output != nn->n - 1 || nn->output == 0 ||
                                       nn->node[nn->output].op == &nn_dropout_op))
        nn_fault(nn, "output", "the output has to be the last layer, and no dropout");
    if (nn->fault.status == DAL_OK && nn->features < 0)
        dal_nn_features(nn, nn->node[nn->output].in[0]);
    find_unread(nn);
    find_readers_of_ids(nn);
    if (nn->fault.status != DAL_OK) {
        if (err)
            *err = nn->fault;
        return nn->fault.status;
    }
    find_first_writers(nn);
    if (nn_name_state(nn) != DAL_OK)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    nn->finished = 1;
    return nn_choose(nn, err);
}

/* ---- what it is -------------------------------------------------------------------------------- */

void dal_nn_describe(const dal_nn *nn, dal_nn_info *out)
{
    *out = (dal_nn_info){.struct_size = sizeof *out, .n_stages = (uint32_t)nn->n_stages, .n_weights = nn->n_weights,
                         .n_state = nn->n_state, .n_parameters = nn->n_parameters, .n_inputs = nn->node[0].size,
                         .n_features = nn->node[nn->features].size, .n_outputs = nn->node[nn->output].size, .input = 0,
                         .features = nn->features, .output = nn->output, .multiply_adds = nn->multiply_adds,
                         .n_values = nn->n, .n_dropouts = nn->n_dropouts, .vocabulary = nn->vocabulary};
}

dal_nn_value dal_nn_stage_value(const dal_nn *nn, int64_t stage)
{
    return stage >= 0 && stage < nn->n_stages ? nn->stage[stage] : -1;
}

dal_nn_value dal_nn_dropout_value(const dal_nn *nn, int64_t k)
{
    for (int32_t v = 0; v < nn->n; v++)
        if (nn->node[v].dropout == k && k >= 0)
            return v;
    return -1;
}

void dal_nn_shape(const dal_nn *nn, dal_nn_value v, int64_t shape[3])
{
    shape[0] = nn->node[v].c;
    shape[1] = nn->node[v].h;
    shape[2] = nn->node[v].w;
}

const dal_parameter *dal_nn_parameter(const dal_nn *nn, int64_t i)
{
    return i >= 0 && i < nn->n_parameters ? &nn->parameter[i] : NULL;
}

/* ---- fresh weights ----------------------------------------------------------------------------- */

/* Numbers that come from one stream: uniform in +-width, or normal with deviation width. */
#define DRAW_BLOCK 8192

typedef struct draw_job {
    dal_rng stream; /* of the parameter */
    int normal;
    double width;
    int64_t n;
    float *out;
} draw_job;

static dal_status draw_task(void *ctx, int64_t b)
{
    const draw_job *j = ctx;
    const int64_t first = b * DRAW_BLOCK, n = j->n - first < DRAW_BLOCK ? j->n - first : DRAW_BLOCK;
    const dal_rng r = dal_rng_at(&j->stream, (uint64_t)b);
    (j->normal ? dal_rng_fill_normal : dal_rng_fill_uniform)(&r, (float)j->width, n, j->out + first);
    return DAL_OK;
}

static void draw_parameter(const dal_nn *nn, const dal_rng *stream, int64_t parameter, int normal, double width,
                           int64_t n, float *out)
{
    draw_job j = {dal_rng_at(stream, (uint64_t)parameter), normal, width, n, out};
    nn->host->parallel_for(nn->host, (n + DRAW_BLOCK - 1) / DRAW_BLOCK, draw_task, &j);
}

static void reset_norm(const nn_node *k, float *weights, float *state)
{
    for (int64_t i = 0; i < k->c; i++) {
        weights[k->weight + i] = 1;
        weights[k->bias + i] = 0;
        if (k->state >= 0) {
            state[k->state + i] = 0;
            state[k->state + k->c + i] = 1;
        }
    }
}

/* All tables of an embedding from streams of their own. */
static void draw_tables(const dal_nn *nn, uint32_t how, const dal_rng *stream, int64_t parameter, int64_t n,
                        float *weights)
{
    for (int64_t i = 0; i < n; i++) {
        const dal_parameter *p = &nn->parameter[parameter + i];
        draw_parameter(nn, stream, parameter + i, how == DAL_NN_BERT, how == DAL_NN_BERT ? 0.02 : 0.25, p->count,
                       weights + p->offset);
    }
}

/* All slices of an LSTM alike. */
static void draw_lstm(const dal_nn *nn, const dal_rng *stream, int64_t parameter, const nn_node *k, float *weights)
{
    for (int64_t i = parameter; i < parameter + k->n_parameters; i++)
        draw_parameter(nn, stream, i, 0, 1 / sqrt((double)(k->c / k->groups)), nn->parameter[i].count,
                       weights + nn->parameter[i].offset);
}

static int64_t fan_in_of(const dal_nn *nn, const nn_node *k)
{
    const nn_node *in = &nn->node[k->in[0]];
    if (k->op == &nn_token_conv_op)
        return in->c * k->kernel;
    if (k->op == &nn_conv_transpose_op) /* as PyTorch counts it */
        return k->c * k->kernel * k->kernel;
    return k->op == &nn_conv_op ? in->c / k->groups * k->kernel * k->kernel : nn_width(in);
}

static void draw_products(const dal_nn *nn, uint32_t how, const dal_rng *stream, int64_t parameter, const nn_node *k,
                          float *weights)
{
    const int kaiming = k->op == &nn_conv_op && how == DAL_NN_KAIMING;
    const int64_t fan_in = fan_in_of(nn, k);
    const double bound = 1 / sqrt((double)fan_in);
    const double deviation = how == DAL_NN_BERT ? 0.02 : sqrt(2 / (double)(k->kernel * k->kernel * k->c));
    const int normal = kaiming || how == DAL_NN_BERT;
    draw_parameter(nn, stream, parameter, normal, normal ? deviation : bound,
                   k->n_weights - (k->bias < 0 ? 0 : k->c), weights + k->weight);
    if (k->bias >= 0 && how == DAL_NN_BERT)
        memset(weights + k->bias, 0, (size_t)k->c * sizeof *weights);
    else if (k->bias >= 0)
        draw_parameter(nn, stream, parameter + 1, 0, bound, k->c, weights + k->bias);
}

/* Layers of weights one after the other, each from its own stream. */
static void draw_glorot(const dal_nn *nn, const dal_rng *stream, float *weights, float *state)
{
    uint64_t layer = 0;
    int64_t parameter = 0;
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        if (k->op == &nn_norm_op || k->op == &nn_layer_norm_op)
            reset_norm(k, weights, state);
        else if (k->op == &nn_embedding_op || k->op == &nn_embedding_bag_op)
            draw_tables(nn, DAL_NN_GLOROT, stream, parameter, k->n_parameters, weights);
        else if (k->op == &nn_lstm_op)
            draw_lstm(nn, stream, parameter, k, weights);
        parameter += k->n_parameters;
        if (k->weight < 0 || k->op == &nn_norm_op || k->op == &nn_layer_norm_op || k->op == &nn_embedding_op ||
            k->op == &nn_lstm_op || k->op == &nn_embedding_bag_op)
            continue;
        const int64_t n_weights = k->n_weights - (k->bias < 0 ? 0 : k->c), patch = k->op == &nn_conv_op ||
            k->op == &nn_conv_transpose_op ? k->kernel * k->kernel : 1;
        const double fans = (double)(n_weights / k->c) + (double)(k->c / k->groups * patch), bound = sqrt(6 / fans);
        dal_rng r = dal_rng_at(stream, layer++);
        for (int64_t i = k->weight; i < k->weight + k->n_weights; i++)
            weights[i] = (float)(bound * (2 * dal_rng_uniform(&r) - 1));
    }
}

void dal_nn_draw(const dal_nn *nn, uint32_t how, const dal_rng *stream, float *weights, float *state)
{
    int64_t parameter = 0;
    if (how == DAL_NN_GLOROT) {
        draw_glorot(nn, stream, weights, state);
        return;
    }
    for (int32_t v = 0; v < nn->n; v++) {
        const nn_node *k = &nn->node[v];
        if (k->op == &nn_norm_op || k->op == &nn_layer_norm_op)
            reset_norm(k, weights, state);
        else if (k->op == &nn_embedding_op || k->op == &nn_embedding_bag_op)
            draw_tables(nn, how, stream, parameter, k->n_parameters, weights);
        else if (k->op == &nn_lstm_op)
            draw_lstm(nn, stream, parameter, k, weights);
        else if (k->weight >= 0)
            draw_products(nn, how, stream, parameter, k, weights);
        parameter += k->n_parameters;
    }
}
