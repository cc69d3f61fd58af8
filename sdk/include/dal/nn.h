/* dal/nn.h: (libdal) neural networks: layers, forward and backward passes, training steps.
 *
 * A network is declared once, layer by layer, and is constant from dal_nn_finish on: any number of threads and of
 * passes may use it. It owns no numbers: its weights are one flat array [n_weights], what batch-norm remembers is
 * another, the state [n_state]; both the caller's. So copying, saving, perturbing and averaging networks are
 * operations on arrays.
 *
 *     dal_nn_value x = dal_nn_input(nn, 1, 28, 28);
 *     const dal_nn_conv_shape shape = {.out = 32, .kernel = 5, .flags = DAL_NN_BIAS | DAL_NN_RELU};
 *     x = dal_nn_conv(nn, x, "conv1", &shape);
 *     x = dal_nn_max_pool(nn, x, 2, 2, 0);
 *     dal_nn_features(nn, x);
 *     dal_nn_output(nn, dal_nn_linear(nn, x, "output", 10, DAL_NN_BIAS));
 *     status = dal_nn_finish(nn, err);
 *
 * Values. A layer call returns the number of the value it makes: for each sample a map [channels, height, width],
 * planar, or a vector [width, 1, 1]. (Values nobody is shown may lie otherwise in memory.) A call that cannot be met
 * (shapes that do not fit, a number that is none) is kept and told by dal_nn_finish, so that a network reads as a list
 * of layers. At most DAL_NN_MAX_VALUES.
 *
 * Texts. A network that begins with dal_nn_tokens takes samples of up to `longest` tokens. A row of its input is
 * int32_t [longest], in the memory of value[input]: the ids of the tokens, then DAL_NN_NO_TOKEN. A value of tokens has
 * a vector for each token, shape [width, longest, 1], and no rows for what is not there: the tokens of a pass's
 * samples, or of a shard's, lie one behind the other. So there is no padding to mask, and none to pay for: a text gives
 * the same bits whatever the longest is and whichever texts are beside it.
 *
 *     dal_nn_value x = dal_nn_tokens(nn, 128, 30522);
 *     x = dal_nn_embedding(nn, x, "embeddings", &(dal_nn_embedding_shape){.width = 768, .positions = 512});
 *     x = dal_nn_layer_norm(nn, x, "embeddings.norm", 1e-12);
 *     dal_nn_value y = dal_nn_attention(nn, dal_nn_linear(nn, x, "qkv", 3 * 768, DAL_NN_BIAS), 12, 0.1);
 *     x = dal_nn_layer_norm(nn, dal_nn_add(nn, x, dal_nn_linear(nn, y, "out", 768, DAL_NN_BIAS), 0), "norm", 1e-12);
 *     dal_nn_output(nn, dal_nn_linear(nn, dal_nn_first_token(nn, x), "output", 2, DAL_NN_BIAS));
 *
 * Linear layers, activations, sums, dropout and layer-norm work on each token of a value of tokens; attention, LSTM and
 * convolutions over tokens mix them; the mean, the largest and the first of them make a vector a sample. Only
 * vectors and maps can be stages, features or the output.
 *
 * Two ways through a network:
 *   passes    dal_nn_pass: up to DAL_NN_TILE samples on the calling thread, batch-norm with its running statistics.
 *             What a sample gives depends on that sample alone, not on its place or its neighbours.
 *   training  dal_nn_trainer: a step over a mini-batch on all threads. The batch is cut into shards of fixed size
 *             whatever the number of threads; batch-norm statistics and gradients are summed over shards in their
 *             order: 1 or N threads, same bits. A fully connected network (linear layers with bias, ReLU after all but
 *             the last, dropout of one rate after all of these or none) goes another way to the same end, some times as
 *             fast.
 */
#ifndef DAL_NN_H
#define DAL_NN_H

#include <dal/host.h>
#include <dal/model.h>
#include <dal/safetensors.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DAL_NN_MAX_VALUES 1024
#define DAL_NN_TILE 16
#define DAL_NN_SHARDS 8 /* of a batch, at most */
#define DAL_NN_NO_TOKEN (-1)

typedef struct dal_nn dal_nn;
typedef int32_t dal_nn_value;

/* ---- declaring a network [main] ---------------------------------------------------------------- */

/* NULL without memory. */
DAL_PUBLIC dal_nn *dal_nn_new(const dal_host *host);
DAL_PUBLIC void dal_nn_free(dal_nn *nn); /* accepts NULL */

#define DAL_NN_BIAS 1u /* a bias per output (conv, linear) */
#define DAL_NN_RELU 2u /* ReLU at the end of the layer (conv, linear, batch-norm, add) */

/* Who multiplies. The back ends agree but for rounding: a result is repeated bit for bit on the same one alone. AUTO:
 * oneDNN where it was there when libdal was built and the network has convolutions, or multiplies tokens in bf16. */
#define DAL_NN_AUTO 0u
#define DAL_NN_OPENBLAS 1u /* always there */
#define DAL_NN_ONEDNN 2u   /* convolutions by oneDNN, channels kept together; 3x3 ones by fewer products */
DAL_PUBLIC void dal_nn_use(dal_nn *nn, uint32_t backend); /* before dal_nn_finish */
/* [any] Its name and version, of a finished network; and which it is, DAL_NN_OPENBLAS or DAL_NN_ONEDNN. */
DAL_PUBLIC const char *dal_nn_backend(const dal_nn *nn);
DAL_PUBLIC uint32_t dal_nn_backend_used(const dal_nn *nn);
/* In what trainers, and passes by ready weights, multiply; other passes are f32 alike. BF16: of a network with
 * convolutions, maps, their gradients and what convolutions multiply are bf16; of one with linear layers over tokens,
 * what these and attention multiply, and what lies between them, GELU and dropout; each is rounded once to the nearest.
 * Sums, weights and their gradients, moments, batch-norm's statistics, vectors and the loss are f32. It takes oneDNN
 * and a processor that multiplies bf16: else dal_nn_finish gives DAL_E_UNSUPPORTED with the
 * key "precision". A result is repeated on the same precision alone. */
#define DAL_NN_F32 0u
#define DAL_NN_BF16 1u
/* BF16 where it is faster, else F32. Of a network with linear layers over tokens: on processors with AMX, and AMD's
 * with AVX512-BF16. Of one with convolutions, by oneDNN: on processors with AMX, where at least half of the
 * multiply-adds are convolutions without groups that make maps of 64 places or more. Another machine may give another
 * result: keep what it became (DAL_CAP_CHOICES), and ask for that from then on. */
#define DAL_NN_PRECISION_AUTO 2u
DAL_PUBLIC void dal_nn_train_in(dal_nn *nn, uint32_t precision); /* before dal_nn_finish */
/* [any] DAL_NN_F32 or DAL_NN_BF16, of a finished network. */
DAL_PUBLIC uint32_t dal_nn_precision_used(const dal_nn *nn);

/* The samples; the first call of all. */
DAL_PUBLIC dal_nn_value dal_nn_input(dal_nn *nn, int64_t channels, int64_t height, int64_t width);

typedef struct dal_nn_conv_shape {
    uint32_t struct_size; /* 0: this version */
    uint32_t flags;
    int64_t out, kernel;
    int64_t stride; /* 0: 1 */
    int64_t pad;    /* zeros at each side */
    int64_t groups; /* 0: 1; channels in and out divide by it */
} dal_nn_conv_shape;
/* Weights [out, in / groups, kernel, kernel], bias [out]. */
DAL_PUBLIC dal_nn_value dal_nn_conv(dal_nn *nn, dal_nn_value x, const char *name, const dal_nn_conv_shape *shape);
typedef struct dal_nn_conv_transpose_shape {
    uint32_t struct_size; /* 0: this version */
    uint32_t flags;
    int64_t out, kernel;
    int64_t stride;     /* 0: 1 */
    int64_t pad;        /* places cut off at each side */
    int64_t output_pad; /* places more at the lower and right side, fewer than stride */
} dal_nn_conv_transpose_shape;
/* The way back of a convolution of this kernel, stride and pad: maps of (n - 1) stride - 2 pad + kernel + output_pad
 * places a side of n. Weights [in, out, kernel, kernel], bias [out]. */
DAL_PUBLIC dal_nn_value dal_nn_conv_transpose(dal_nn *nn, dal_nn_value x, const char *name,
                                              const dal_nn_conv_transpose_shape *shape);
/* x flattened, or each token of x, times weights [out, in], plus bias [out]. */
DAL_PUBLIC dal_nn_value dal_nn_linear(dal_nn *nn, dal_nn_value x, const char *name, int64_t out, uint32_t flags);
/* Ioffe & Szegedy 2015: gain and bias [channels]; state: running mean and variance [channels], momentum 0.1, eps 1e-5;
 * the running variance is the unbiased one, a batch is normalised with the biased one. */
DAL_PUBLIC dal_nn_value dal_nn_batch_norm(dal_nn *nn, dal_nn_value x, const char *name, uint32_t flags);
DAL_PUBLIC dal_nn_value dal_nn_relu(dal_nn *nn, dal_nn_value x);
DAL_PUBLIC dal_nn_value dal_nn_relu6(dal_nn *nn, dal_nn_value x); /* min(max(x, 0), 6) */
DAL_PUBLIC dal_nn_value dal_nn_add(dal_nn *nn, dal_nn_value a, dal_nn_value b, uint32_t flags);
/* Windows may hang over the edge by pad: those places count as nothing. Average: over kernel^2 places. */
DAL_PUBLIC dal_nn_value dal_nn_max_pool(dal_nn *nn, dal_nn_value x, int64_t kernel, int64_t stride, int64_t pad);
DAL_PUBLIC dal_nn_value dal_nn_avg_pool(dal_nn *nn, dal_nn_value x, int64_t kernel, int64_t stride, int64_t pad);
DAL_PUBLIC dal_nn_value dal_nn_global_pool(dal_nn *nn, dal_nn_value x); /* mean over height and width */
/* Inverted dropout of single values while training, nothing in passes (but see dal_nn_run). */
DAL_PUBLIC dal_nn_value dal_nn_dropout(dal_nn *nn, dal_nn_value x, double rate);

/* Ba, Kiros & Hinton 2016: (x - mean) / sqrt(variance + eps) * gain + bias, over a vector or over each token; gain and
 * bias [width]. */
DAL_PUBLIC dal_nn_value dal_nn_layer_norm(dal_nn *nn, dal_nn_value x, const char *name, double eps);
/* Element by element: x Phi(x), exact (Hendrycks & Gimpel 2016); tanh; 1 / (1 + e^-x); x or slope x where x < 0. */
DAL_PUBLIC dal_nn_value dal_nn_gelu(dal_nn *nn, dal_nn_value x);
DAL_PUBLIC dal_nn_value dal_nn_tanh(dal_nn *nn, dal_nn_value x);
DAL_PUBLIC dal_nn_value dal_nn_sigmoid(dal_nn *nn, dal_nn_value x);
DAL_PUBLIC dal_nn_value dal_nn_leaky_relu(dal_nn *nn, dal_nn_value x, double slope);

/* The samples of a network of texts, in place of dal_nn_input: up to `longest` ids of 0..vocabulary-1 each. */
DAL_PUBLIC dal_nn_value dal_nn_tokens(dal_nn *nn, int64_t longest, int64_t vocabulary);
typedef struct dal_nn_embedding_shape {
    uint32_t struct_size; /* 0: this version */
    uint32_t reserved;
    int64_t width;
    int64_t positions;      /* rows of learned positions; 0: none */
    int64_t first_position; /* the row of a text's first token (RoBERTa: 2) */
    int64_t segments;       /* rows of segments, of which a text of one segment uses the first; 0: none */
} dal_nn_embedding_shape;
/* Of the tokens: a row of "words" [vocabulary, width], plus one of "positions" [positions, width], plus "segments"
 * [segments, width]. */
DAL_PUBLIC dal_nn_value dal_nn_embedding(dal_nn *nn, dal_nn_value x, const char *name,
                                         const dal_nn_embedding_shape *shape);
/* Of the tokens a vector a sample: the mean, or the sum, of their rows of "weight" [vocabulary, width]; of no tokens:
 * zeros. */
DAL_PUBLIC dal_nn_value dal_nn_embedding_bag(dal_nn *nn, dal_nn_value x, const char *name, int64_t width, int mean);
/* Vaswani et al. 2017. x [3 width] a token: queries, keys, values, each of `heads` parts of width / heads. A head gives
 * softmax(q k' / sqrt(width / heads)) v over the tokens of a sample; [width] a token. While training, inverted dropout
 * of the softmax. */
DAL_PUBLIC dal_nn_value dal_nn_attention(dal_nn *nn, dal_nn_value x, int64_t heads, double dropout);
/* Kim 2014: out maps of the kernel tokens around each, from (kernel - 1) / 2 before it; beyond the ends of a text are
 * zeros. Weights [out, kernel, width], bias [out]. */
DAL_PUBLIC dal_nn_value dal_nn_token_conv(dal_nn *nn, dal_nn_value x, const char *name, int64_t out, int64_t kernel,
                                          uint32_t flags);
/* Hochreiter & Schmidhuber 1997, as PyTorch has it: gates input, forget, cell, output. Of each direction `width`
 * numbers a token, those of both side by side: "weight_ih_l0" [4 width, width of x], "weight_hh_l0" [4 width, width],
 * "bias_ih_l0" and "bias_hh_l0" [4 width], of the way back with "_reverse" behind. Texts begin from zeros, at either
 * end. */
#define DAL_NN_FORWARDS 1u
#define DAL_NN_BACKWARDS 2u
DAL_PUBLIC dal_nn_value dal_nn_lstm(dal_nn *nn, dal_nn_value x, const char *name, int64_t width, uint32_t directions);
/* A vector a sample: the mean of its tokens, the first, the largest of each number. Of no tokens: zeros. */
DAL_PUBLIC dal_nn_value dal_nn_token_mean(dal_nn *nn, dal_nn_value x);
DAL_PUBLIC dal_nn_value dal_nn_first_token(dal_nn *nn, dal_nn_value x);
DAL_PUBLIC dal_nn_value dal_nn_token_max(dal_nn *nn, dal_nn_value x);
/* Vectors side by side: [widths of a and b together]. */
DAL_PUBLIC dal_nn_value dal_nn_join(dal_nn *nn, dal_nn_value a, dal_nn_value b);

/* What the model shows: stages in the order called, the features (input of the last layer), the logits: a vector, where
 * there are classes; of an autoencoder it may be a map. */
DAL_PUBLIC void dal_nn_stage(dal_nn *nn, dal_nn_value x);
DAL_PUBLIC void dal_nn_features(dal_nn *nn, dal_nn_value x);
DAL_PUBLIC void dal_nn_output(dal_nn *nn, dal_nn_value x);
/* The first fault of all calls, with the layer's name; DAL_OK: the network is ready. */
DAL_PUBLIC dal_status dal_nn_finish(dal_nn *nn, dal_error *err);

/* ---- what it is [any] -------------------------------------------------------------------------- */

typedef struct dal_nn_info {
    uint32_t struct_size;
    uint32_t n_stages;
    int64_t n_weights, n_state, n_parameters;
    int64_t n_inputs, n_features, n_outputs; /* values a sample */
    dal_nn_value input, features, output;
    int64_t multiply_adds; /* of a forward pass, a sample */
    int32_t n_values, n_dropouts;
    int64_t vocabulary; /* of a network of texts, whose n_inputs is the longest; 0: not of texts */
} dal_nn_info;
DAL_PUBLIC void dal_nn_describe(const dal_nn *nn, dal_nn_info *out);
DAL_PUBLIC dal_nn_value dal_nn_stage_value(const dal_nn *nn, int64_t stage);
/* [channels, height, width] of a value. */
DAL_PUBLIC void dal_nn_shape(const dal_nn *nn, dal_nn_value v, int64_t shape[3]);
/* A row of input is ids of the vocabulary, then only DAL_NN_NO_TOKEN? DAL_E_INVALID tells which id is not, and
 * where. */
DAL_PUBLIC dal_status dal_nn_check_tokens(const dal_nn *nn, const int32_t *ids, dal_error *err);
/* Slices of the weights, in order, without gaps: "conv1.weight", ... Borrowed from nn. */
DAL_PUBLIC const dal_parameter *dal_nn_parameter(const dal_nn *nn, int64_t i);
/* Parameters and state as named tensors of float32, for files: the parameters in their order, then of each batch-norm
 * "norm.running_mean" and "norm.running_var". Shapes are PyTorch's: linear [out, in], conv [out, in / groups, kernel,
 * kernel], transposed [in, out, kernel, kernel], conv over tokens (its Conv2d over a text of one channel) [out, 1,
 * kernel, width], tables [rows, width]. data lies in weights or state; names are borrowed from nn, which is
 * finished. */
DAL_PUBLIC int64_t dal_nn_tensors(const dal_nn *nn);
DAL_PUBLIC void dal_nn_tensor(const dal_nn *nn, int64_t i, const float *weights, const float *state, dal_tensor *out);

/* [main] Fresh weights and state, on all threads of the network's host. Block b of 8192 numbers of parameter i reads
 * dal_rng_at(dal_rng_at(stream, i), b), as dal_rng_fill_uniform and dal_rng_fill_normal do.
 * UNIFORM: weights and biases uniform in +-1 / sqrt(fan in), PyTorch's default. KAIMING: conv weights normal with
 * deviation sqrt(2 / (kernel^2 out)) (He et al. 2015, fan out), the rest as UNIFORM. BERT: all weights normal with
 * deviation 0.02, biases 0 (Devlin et al. 2019). Embeddings: normal with deviation 0.02 there, else uniform in +-0.25
 * (Kim 2014). Gains 1, biases of norms 0. All of an LSTM is uniform in +-1 / sqrt(width), PyTorch's default, whatever
 * is asked for. */
#define DAL_NN_UNIFORM 0u
#define DAL_NN_KAIMING 1u
/* Conv and linear: weights, then biases, uniform in +-sqrt(6 / (fan in + fan out)) (Glorot & Bengio 2010; biases alike,
 * as scikit-learn draws them), number l of them, from 0, one after the other from dal_rng_at(stream, l). */
#define DAL_NN_GLOROT 2u
#define DAL_NN_BERT 3u
DAL_PUBLIC void dal_nn_draw(const dal_nn *nn, uint32_t how, const dal_rng *stream, float *weights, float *state);

/* ---- passes ------------------------------------------------------------------------------------ */

/* The numbers of one pass. value[v] [DAL_NN_TILE, size of v]; d alike, NULL without gradients: then a value that is not
 * the input, a stage, the features, the output or read across a stage or a dropout layer may be written over by later
 * ones. Planar are the input, the stages, the features, what dropout and linear layers read and make; others are the
 * engine's own. */
typedef struct dal_nn_pass {
    uint32_t struct_size;
    uint32_t no_stages; /* the caller may set it: it neither reads nor writes stages, but for the features */
    float **value, **d;
    void *impl;
} dal_nn_pass;

/* [any] NULL with err filled when there is no memory. */
DAL_PUBLIC dal_nn_pass *dal_nn_pass_new(const dal_nn *nn, const dal_host *host, int gradients, dal_error *err);
DAL_PUBLIC void dal_nn_pass_free(dal_nn_pass *p); /* [any] accepts NULL */
/* [any] Forward over the n <= DAL_NN_TILE samples in value[input]: the values from..to, both counted. Of texts: the ids
 * say how many tokens there are, from whichever value on; without gradients, values of tokens other than the
 * embedding's share memory: begin with one of the first two or with a vector. DAL_E_INVALID where dal_nn_check_tokens
 * complains. Dropout value k of those in order (from 0, over the whole network) multiplies by masks[k] [size] if that
 * is given and not NULL: the same mask for every sample, [longest, width] for tokens. */
DAL_PUBLIC dal_status dal_nn_run(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p, int64_t n,
                                 dal_nn_value from, dal_nn_value to, const float *const *masks);
/* [any] Weights made ready for passes forward: packed for the back end, batch-norm with what it remembers drawn into
 * the convolution before it. weights and state are borrowed and must not change while it is used; any number of passes
 * may share it. The same numbers but for rounding, for each sample the same in every place, too. */
typedef struct dal_nn_ready dal_nn_ready;
DAL_PUBLIC dal_nn_ready *dal_nn_ready_new(const dal_nn *nn, const dal_host *host, const float *weights,
                                          const float *state, dal_error *err);
DAL_PUBLIC void dal_nn_ready_free(dal_nn_ready *r); /* [any] accepts NULL */
/* [any] A pass that dal_nn_run takes by ready weights, which it borrows: weights and state it is given are those they
 * were made from. No value is made of a convolution with a batch-norm drawn into it, and there is no way back. NULL
 * with err filled when there is no memory. */
DAL_PUBLIC dal_nn_pass *dal_nn_ready_pass(const dal_nn_ready *r, const dal_host *host, dal_error *err);
/* [any] The number of the k-th dropout value, or -1. */
DAL_PUBLIC dal_nn_value dal_nn_dropout_value(const dal_nn *nn, int64_t k);
/* [any] Backward from d[output] (set by the caller) after a whole forward pass without masks: d[input] (of texts: d of
 * the embedding, whose rows lie as those of value), and
 * gradient [n_weights] += (NULL: none). Batch-norm's statistics count as constants. */
DAL_PUBLIC dal_status dal_nn_run_back(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p,
                                      int64_t n, float *gradient);
/* [any] The same from another value that is shown: d[from] is set by the caller, and what lies behind it is left
 * alone. */
DAL_PUBLIC dal_status dal_nn_run_back_from(const dal_nn *nn, const float *weights, const float *state, dal_nn_pass *p,
                                           int64_t n, dal_nn_value from, float *gradient);

/* ---- training ---------------------------------------------------------------------------------- */

/* SGD: momentum, Nesterov or not, as PyTorch: v = mu v + g + wd w; w -= lr (g + wd w + mu v) or lr v. */
#define DAL_NN_SGD 0u
#define DAL_NN_ADAM 1u /* Kingma & Ba 2015 */
#define DAL_NN_NADAM 2u /* Dozat 2016, with his schedule of the momentum: mu_t = beta1 (1 - 0.5 * 0.96^(0.004 t)) */
#define DAL_NN_ADADELTA 3u /* Zeiler 2012; his rho is beta2, his rate 1 */

typedef struct dal_nn_rule {
    uint32_t struct_size;
    uint32_t optimizer;
    double learning_rate, momentum, beta1, beta2, epsilon;
    double weight_decay; /* added to the gradient: weight_decay * w, of all parameters */
    uint32_t nesterov;
    uint32_t decoupled;   /* weights lose learning_rate * weight_decay of themselves instead (AdamW) */
    double l2;            /* l2 / (2 n_labelled) |W|^2 is part of the mean loss; W: weights, not biases nor gains */
    double clip;          /* largest Euclidean norm of the loss's gradient, which is shortened to it; 0: any */
    uint32_t spare;       /* weight_decay leaves biases and gains alone */
    uint32_t raw_epsilon; /* Adam: epsilon is added to the root of the second moment before its correction, as
                             scikit-learn and TensorFlow do */
    double max_norm;      /* rows of the output layer's weights that are longer after the step are shortened to it
                             (Hinton et al. 2012); 0: any */
} dal_nn_rule;

/* The batch between its forward and its backward pass. Rows of a value lie one after the other: value v of row i
 * is value[v] + i * size. Values of the input, the stages, the features and the output are there, planar, and d of the
 * latter three, zeroed but for the loss's own: add. Others may be NULL. */
typedef struct dal_nn_step_view {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n, n_labelled;
    float *const *value, *const *d;
    const float *losses; /* [n_labelled] */
} dal_nn_step_view;

typedef struct dal_nn_batch {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n, n_labelled;  /* rows n_labelled..n-1 have no class: only `between` gives them a gradient */
    const int32_t *classes; /* [n_labelled] */
    const float *weights;   /* [n_labelled] factor of each loss; NULL: 1 */
    /* [any] Rows first..first+count-1 into x [count, inputs] (of texts: into (int32_t *)x). */
    dal_status (*fill)(void *ctx, int64_t first, int64_t count, float *x);
    /* [main] Optional. */
    dal_status (*between)(void *ctx, const dal_nn_step_view *view);
    void *ctx;
    dal_rng dropout; /* stream of this step's masks */
    const float *rows; /* [n, inputs] where they lie; NULL: ask fill */
} dal_nn_batch;

typedef struct dal_nn_result {
    uint32_t struct_size;
    uint32_t reserved;
    double loss;  /* sum over the labelled rows of weight * cross-entropy */
    int64_t hits; /* labelled rows whose largest logit, lowest first, is their class */
    double squares; /* |W|^2 before the step, when the rule has an l2; else 0 */
} dal_nn_result;

typedef struct dal_nn_trainer dal_nn_trainer;

/* [main] For batches of at most max_batch rows; moves weights and state, which are borrowed. */
DAL_PUBLIC dal_nn_trainer *dal_nn_trainer_new(const dal_nn *nn, const dal_host *host, float *weights, float *state,
                                              int64_t max_batch, dal_error *err);
DAL_PUBLIC void dal_nn_trainer_free(dal_nn_trainer *t); /* [main] accepts NULL */
/* [main] One step of the mean loss (1 / n_labelled) sum weight * cross-entropy. A loss that is not finite leaves the
 * weights unfit for use. rule NULL: the gradient is computed, nothing moves but the state. */
DAL_PUBLIC dal_status dal_nn_train(dal_nn_trainer *t, const dal_nn_rule *rule, const dal_nn_batch *batch,
                                   dal_nn_result *result, dal_error *err);
/* [main] Of the last step, [n_weights], until the next. */
DAL_PUBLIC const float *dal_nn_gradient(const dal_nn_trainer *t);
/* [main] Bytes the trainer holds. */
DAL_PUBLIC int64_t dal_nn_trainer_bytes(const dal_nn_trainer *t);

/* ---- losses [any] ------------------------------------------------------------------------------ */

/* Rows that a network made, and where their gradient goes: of a step view (an autoencoder's step has n_labelled 0 and
 * leaves its loss to `between`), or of a pass. */
typedef struct dal_nn_rows {
    uint32_t struct_size; /* 0: this version */
    uint32_t reserved;
    int64_t n, width;     /* rows, and the numbers of each */
    const float *x;       /* [n, width] */
    const float *weights; /* [n] factor of each row's loss, 0 or more; NULL: 1 */
    float *d;             /* [n, width] += the gradient of the loss; NULL: not wanted */
} dal_nn_rows;

/* Each gives (1 / n) sum over rows of weight * loss, summed in double in the order of rows. DAL_E_INVALID: a target,
 * class or weight is none; then d is as it was. */
/* -log softmax(x)[class]; what the trainer has of its own. classes [n]. */
DAL_PUBLIC dal_status dal_nn_cross_entropy(const dal_nn_rows *rows, const int32_t *classes, double *loss,
                                           dal_error *err);
/* The mean over a row of (x - target)^2. targets [n, width]. */
DAL_PUBLIC dal_status dal_nn_mse(const dal_nn_rows *rows, const float *targets, double *loss, dal_error *err);
/* The mean over a row of -target log sigmoid(x) - (1 - target) log(1 - sigmoid(x)): x are logits. targets [n, width] in
 * 0..1. */
DAL_PUBLIC dal_status dal_nn_bce(const dal_nn_rows *rows, const float *targets, double *loss, dal_error *err);
/* Yoo & Kweon 2019, eq. 2: rows i and n-1-i, of one number each, are a pair; where target i is the larger one, x i
 * should be larger by margin: max(0, margin - (x_i - x_j)), else the other way round. The mean over the n / 2 pairs; a
 * pair weighs the product of its weights; the middle one of an odd n has no partner and counts for nothing. targets
 * [n]. */
DAL_PUBLIC dal_status dal_nn_margin_ranking(const dal_nn_rows *rows, const float *targets, double margin, double *loss,
                                            dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
