/* nn_private.h: how a network lies in memory, and the table of its operations. */
#ifndef DAL_NN_PRIVATE_H
#define DAL_NN_PRIVATE_H

#include <dal/nn.h>
#include <stdatomic.h>

#define NN_NAME 64

struct nn_op;
struct nn_onednn;
struct nn_plans;

/* A value and the layer that makes it. */
typedef struct nn_node {
    const struct nn_op *op; /* NULL: the input */
    dal_nn_value in[2];     /* -1: none */
    int64_t c, h, w, size;  /* of the value */
    int64_t kernel, stride, pad, groups;
    uint32_t flags;
    double rate; /* of dropout; eps of layer-norm, slope of leaky ReLU */
    int64_t weight, bias; /* offsets into the weights; -1: none; a bias lies right behind its weights */
    int64_t n_weights;    /* both together */
    int n_parameters;
    int tokens;              /* a vector a token: rows lie as nn_job.token_at says */
    int64_t positions, first_position, segments; /* of an embedding; heads are `groups` */
    int64_t state;        /* offset into the state: mean [c], variance [c]; -1: none */
    int64_t aux;          /* bytes a sample that the layer keeps from forward to backward */
    int64_t scratch;      /* floats a shard needs while it runs */
    int32_t dropout;      /* number among the dropouts; -1: none */
    int shown;            /* a stage, the features, the output */
    /* Channels that lie together: element (c, y, x) is at ((c / block * h + y) * w + x) * block + c % block. 1: planar.
     * Others divide c and are multiples of NN_LANES. */
    int64_t block;
    int half;   /* rows are bf16, [h, w, c]: see nn_half.h; of tokens as in f32: see nn_half_tokens.h */
    int spends; /* GELU in bf16, while training: the value it reads becomes its slope */
    int folded; /* dropout of bf16: the sum right behind it, which alone reads its value, makes that by itself */
    /* is this layer the first to write d of its inputs on the way back? the others add */
    int first_writer[2];
    char name[NN_NAME];
} nn_node;

struct dal_nn {
    const dal_host *host;
    nn_node *node; /* [n], room for DAL_NN_MAX_VALUES */
    int32_t n, n_dropouts, n_stages;
    dal_nn_value stage[DAL_NN_MAX_VALUES];
    dal_nn_value features, output;
    int64_t n_weights, n_state, n_parameters, scratch, multiply_adds;
    dal_parameter *parameter; /* [n_parameters], room for 2 a value */
    char (*names)[NN_NAME + 24];
    char (*state_names)[NN_NAME + 16]; /* [2 a batch-norm], of a finished network */
    dal_error fault;
    uint32_t backend;
    struct nn_onednn *onednn; /* NULL: OpenBLAS does it all */
    struct nn_token_products *token_products; /* of the twin of a network of texts; else NULL */
    int64_t vocabulary; /* 0: not of texts */
    uint32_t precision;
    /* in bf16: the same network as trainers run it, see nn_half.h and nn_half_tokens.h; else NULL */
    struct dal_nn *half;
    int is_half;         /* this is that one, of pictures: it shares all but its nodes and what oneDNN made */
    int finished;
};

/* Gradients of the shards of a step, added in their order. */
typedef struct nn_turns {
    float *sum;     /* [n_weights] */
    float *packed;  /* the same for the weights of convolutions, in oneDNN's order; NULL without oneDNN */
    atomic_int *at; /* [n values] how many shards have added theirs */
    atomic_int failed;
} nn_turns;

/* Weights made ready for passes. weights: of convolutions, packed where oneDNN convolves, else drawn into or NULL: as
 * given; of linear layers in panels (nn_product.h), NULL: as given. */
struct dal_nn_ready {
    const dal_nn *nn;
    const dal_host *host;
    int32_t *made;        /* [n values] of a convolution with a batch-norm drawn into it: whose value it makes, that
                             one's or that of the ReLU6 behind it, which is drawn in, too; 0: its own */
    unsigned char *drawn; /* [n values] a batch-norm, or a ReLU6, that is in its convolution */
    float **weights, **bias; /* [n values]; bias: NULL: its own */
};

/* The batch-norm right behind convolution v, which alone reads it, or 0. */
int32_t nn_norm_of(const dal_nn *nn, int32_t v);
/* The ReLU6 right behind that one, which alone reads it, where convolutions by ready weights end with it, or 0. */
int32_t nn_clip_of(const dal_nn *nn, int32_t v);

/* What a layer works on: samples first..first+n-1 of a batch, on the calling thread. */
typedef struct nn_job {
    const dal_nn *nn;
    const float *weights, *state;
    float *const *value, *const *d; /* of the whole batch */
    void *const *aux;
    float *scratch;
    float *gradient;  /* passes: [n_weights], += ; NULL: not wanted */
    nn_turns *turns;  /* training: where gradients go */
    int32_t turn;     /* of this shard among those that have samples */
    float *mine;      /* training: [largest layer's weights] of this shard */
    const struct nn_plans *plans; /* oneDNN's, of shards of n rows or of passes */
    float *const *packed;         /* [n values] weights in oneDNN's order; NULL: each layer packs its own */
    const struct dal_nn_ready *ready; /* forward passes, may be NULL; packed is its */
    int64_t first, n;
    /* of texts: sample first+i has the tokens token_at[i]..token_at[i+1]-1 of this job; [n + 1] */
    const int64_t *token_at;
    /* of slices: tokens lie in parts, of which i begins at sample n i / parts, and its numbers in token_at i further
     * on */
    int64_t parts;
    int training;     /* batch-norm has its own statistics, dropout draws */
    int tile;         /* rows must not depend on their place: fixed tiles of DAL_NN_TILE, buffers have that many rows */
    const dal_rng *dropout;
    const float *const *masks; /* of passes; may be NULL */
    float *const *norm; /* training: of each batch-norm, see below */
} nn_job;

/* forward fills value[k]; backward reads d[k] and writes or adds d of the inputs (d may be NULL there: not wanted). */
typedef struct nn_op {
    const char *name;
    dal_status (*forward)(const nn_job *j, int32_t k);
    dal_status (*backward)(const nn_job *j, int32_t k);
} nn_op;

extern const nn_op nn_conv_op, nn_linear_op, nn_norm_op, nn_relu_op, nn_add_op, nn_max_pool_op, nn_avg_pool_op,
    nn_dropout_op, nn_gelu_op, nn_tanh_op, nn_sigmoid_op, nn_leaky_op, nn_relu6_op, nn_layer_norm_op, nn_embedding_op,
    nn_attention_op, nn_token_linear_op, nn_token_mean_op, nn_first_token_op, nn_token_conv_op, nn_token_max_op,
    nn_join_op, nn_lstm_op, nn_conv_transpose_op, nn_embedding_bag_op;

/* Of a network whose layers are all there: what multiplies it, and in what, where that was left open; opens both. */
dal_status nn_choose(dal_nn *nn, dal_error *err);

/* Names what a finished network remembers. */
dal_status nn_name_state(dal_nn *nn);

/* Declaring, see nn.c. nn_fault returns -1. */
DAL_PRINTF(3, 4)
dal_nn_value nn_fault(dal_nn *nn, const char *name, const char *fmt, ...);
int nn_known(dal_nn *nn, dal_nn_value x, const char *name);
/* Is x a map or a vector a sample? Else it is a fault. */
int nn_takes_map(dal_nn *nn, dal_nn_value x, const char *name);
/* Is x a value of tokens? Else it is a fault. */
int nn_takes_tokens(dal_nn *nn, dal_nn_value x, const char *name);
/* A node of c x h x w like nothing else yet, or NULL. */
nn_node *nn_add_node(dal_nn *nn, const nn_op *op, const char *name, dal_nn_value a, dal_nn_value b, int64_t c,
                     int64_t h, int64_t w);
int64_t nn_take_weights(dal_nn *nn, nn_node *k, const char *what, uint32_t role, int64_t count);
dal_nn_value nn_done(dal_nn *nn, int64_t multiply_adds);

/* What to multiply by where dropout keeps: the inverse of the share that it keeps. */
static inline float nn_dropout_scale(double rate)
{
    return (float)(1 / (1 - (double)(uint32_t)(rate * 65536) / 65536));
}
/* n values from the start of stream r, 16 random bits each: 1 is kept. */
void nn_dropout_mask(dal_rng r, double rate, int64_t n, unsigned char *keep);

/* The sum v of its first input and a dropout that is folded into it. */
void nn_dropout_add(const nn_job *j, int32_t v);

/* Where a layer adds the gradient of its weights and bias (they lie together), NULL: not wanted; and the end of that.
 * While training it begins as zeros, but for a packed one, all of which is written. The shards then add theirs one
 * after the other, into turns->packed or ->sum; a failed shard is not waited for. */
float *nn_gradient_begin(const nn_job *j, const nn_node *k, int packed);
dal_status nn_gradient_end(const nn_job *j, int32_t v, int packed);
/* The same without memory for it: waits until all shards before this one have added theirs; then *to is the gradient,
 * zeroed or with theirs in it. The sum is made in place. */
dal_status nn_gradient_wait(const nn_job *j, int32_t v, int zero, float **to);
void nn_gradient_done(const nn_job *j, int32_t v);
static inline int nn_wants_gradient(const nn_job *j)
{
    return j->gradient || j->turns;
}

/* Room for n rows, in floats, and the row's place; of bf16 two values lie in a float's. */
static inline int64_t nn_room(const nn_node *node, int64_t n)
{
    return node->half ? n * node->size / 2 : n * node->size;
}

static inline float *nn_row(float *const *rows, const nn_node *node, int32_t k, int64_t i)
{
    return rows[k] + nn_room(node, i);
}

/* Of the job's part of a value, which begins at nn_row(.., first): how many rows, how wide, how many numbers. */
static inline int64_t nn_rows(const nn_job *j, const nn_node *k)
{
    return k->tokens ? j->token_at[j->n] : j->n;
}

static inline int64_t nn_width(const nn_node *k)
{
    return k->tokens ? k->c : k->size;
}

static inline int64_t nn_count(const nn_job *j, const nn_node *k)
{
    return nn_rows(j, k) * nn_width(k);
}

/* Of texts: where the tokens of n rows of ids begin, [n + 1]; DAL_E_INVALID with err filled: an id is none. */
dal_status nn_find_tokens(const dal_nn *nn, const float *input, int64_t n, int64_t *token_at, dal_error *err);

/* Patches of one channel of `in`, as the convolution k sees them: row (ky, kx) of out [kernel^2, h * w of k] is what
 * the filter sees through (ky, kx); and the way back: d [h, w of in] += what lies in its patches. */
void nn_unfold(const nn_node *k, const nn_node *in, const float *x, float *restrict out);
void nn_fold(const nn_node *k, const nn_node *in, const float *restrict patches, float *restrict d);

/* x [n] = max(x, 0); d [n] = 0 where y is not positive. */
void nn_relu(float *x, int64_t n);
void nn_relu_back(const float *y, float *d, int64_t n);
/* to [n] = or += from. */
void nn_move(const float *from, float *to, int64_t n, int add);

/* Softmax cross-entropy of a row of c logits, d = share (softmax - e_class); whether its largest logit is the class. */
float nn_row_loss(const float *z, int64_t c, int32_t cls, double share, float *d, int32_t *hit);

/* The gradient of a slice of a linear layer's weights, some rows and their bias, over the whole batch (the job's
 * samples), to turns->sum: nothing is left to add up. 0 slices: it is made shard by shard. */
int64_t nn_linear_slices(const dal_nn *nn, int32_t v);
void nn_linear_slice(const nn_job *j, int32_t v, int64_t slice);

/* For layers over tokens. y [n, width] += bias (NULL: none), then ReLU or not. */
void nn_add_bias(const float *bias, int64_t n, int64_t width, int relu, float *y);
/* The gradient of weights [c of v, in] += dy [n, c]' x [n, in], rows ld apart, and of the bias. */
dal_status nn_weights_gradient(const nn_job *j, int32_t v, int64_t n, const float *dy, const float *x, int64_t in,
                               int64_t ld);

/* Windows that a convolution over tokens has scratch for at once: a longest text, or some shorter ones. */
static inline int64_t nn_token_conv_rows(const nn_node *k)
{
    const int64_t longest = k->h + k->kernel - 1;
    return longest > 256 ? longest : 256;
}

/* Of a convolution: the value it makes, its weights, its bias (NULL: none), whether ReLU ends it. */
static inline int32_t nn_conv_out(const nn_job *j, int32_t v)
{
    return j->ready && j->ready->made[v] ? j->ready->made[v] : v;
}

static inline const float *nn_conv_weights(const nn_job *j, int32_t v)
{
    return j->ready && j->ready->weights[v] ? j->ready->weights[v] : j->weights + j->nn->node[v].weight;
}

static inline const float *nn_conv_bias(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    return j->ready && j->ready->bias[v] ? j->ready->bias[v] : k->bias >= 0 ? j->weights + k->bias : NULL;
}

static inline int nn_conv_relu(const nn_job *j, int32_t v)
{
    return (j->nn->node[nn_conv_out(j, v)].flags & DAL_NN_RELU) != 0;
}

#define NN_NORM_EPS 1e-5
/* What a batch-norm does to a channel: y = scale x + shift, which is gain xhat + bias with xhat = (x - mean) inverse.
 * The last two are of the way back, means over the batch of dy and dy xhat. */
enum {
    NN_NORM_SCALE,
    NN_NORM_SHIFT,
    NN_NORM_MEAN,
    NN_NORM_INVERSE,
    NN_NORM_MEAN_DY,
    NN_NORM_MEAN_PRODUCT,
    NN_NORM_ROWS
};
#define NN_NORM_FORWARD NN_NORM_MEAN_DY /* as many of them are known before the way back */
/* Of channel c, by what a batch-norm remembers. */
void nn_norm_remembered(const nn_job *j, const nn_node *k, int64_t c, float out[NN_NORM_FORWARD]);

/* Batch-norm knows its batch only when all shards have been seen. Per channel, of a shard, [2 c] doubles: forward the
 * sums of x and x^2; backward those of dy and dy xhat (after ReLU's way back, on d[k] itself). */
void nn_norm_sums(const nn_job *j, int32_t k, double *sums);
void nn_norm_back_sums(const nn_job *j, int32_t k, double *sums);
/* What the next shards need, norm [NN_NORM_ROWS, c]: from the sums of n samples; moves the running statistics. */
void nn_norm_statistics(const nn_node *k, const float *weights, float *state, const double *sums, int64_t n,
                        float *norm);
/* The gradient of gain and bias too. */
void nn_norm_back_statistics(const nn_node *k, const double *sums, int64_t n, float *norm, float *gradient);

#endif
