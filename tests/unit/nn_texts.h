/* Networks of texts under test, and each of them in double and by plain loops. */
#ifndef TESTS_NN_TEXTS_H
#define TESTS_NN_TEXTS_H

#include "tests/unit/fixture.h"

#include <dal/nn.h>
#include <math.h>

enum { LONGEST = 9, VOCABULARY = 13, WIDTH = 12, HEADS = 3, C = 3 };

/* What a test goes through: attention and what is around it, convolutions, LSTMs, bags. A test runs in a process of its
 * own. */
#define ATTENDS 0
#define CONVOLVES 1
#define REMEMBERS 2
#define ADDS 3
static int kind;

/* Convolutions of one, three and four words (an even one has more behind), their largest, side by side. */
static inline dal_nn *convolutions(const dal_host *host, int64_t longest, double dropout)
{
    dal_nn *nn = dal_nn_new(host);
    dal_error err = DAL_ERROR_INIT;
    dal_nn_value x = dal_nn_embedding(nn, dal_nn_tokens(nn, longest, VOCABULARY), "embedding",
                                      &(dal_nn_embedding_shape){.width = WIDTH});
    const dal_nn_value one = dal_nn_token_conv(nn, x, "one", 5, 1, 0);
    const dal_nn_value three = dal_nn_token_conv(nn, x, "three", 7, 3, DAL_NN_BIAS);
    const dal_nn_value four = dal_nn_token_conv(nn, three, "four", 6, 4, DAL_NN_BIAS | DAL_NN_RELU);
    x = dal_nn_join(nn, dal_nn_token_max(nn, one), dal_nn_token_max(nn, four));
    x = dal_nn_join(nn, x, x);
    if (dropout > 0)
        x = dal_nn_dropout(nn, x, dropout);
    dal_nn_stage(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", C, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_OK, "%s", err.text);
    return nn;
}

/* Every layer that other texts have, odd sizes. */
static inline dal_nn *every_layer(const dal_host *host, int64_t longest, double dropout)
{
    dal_nn *nn = dal_nn_new(host);
    dal_error err = DAL_ERROR_INIT;
    dal_nn_value x = dal_nn_embedding(nn, dal_nn_tokens(nn, longest, VOCABULARY), "embedding",
                                      &(dal_nn_embedding_shape){.width = WIDTH, .positions = 40, .first_position = 2,
                                                                .segments = 2});
    x = dal_nn_layer_norm(nn, x, "norm1", 1e-5);
    if (dropout > 0)
        x = dal_nn_dropout(nn, x, dropout);
    dal_nn_value y = dal_nn_attention(nn, dal_nn_linear(nn, x, "qkv", 3 * WIDTH, DAL_NN_BIAS), HEADS, dropout);
    x = dal_nn_add(nn, x, dal_nn_linear(nn, y, "out", WIDTH, 0), 0);
    x = dal_nn_layer_norm(nn, x, "norm2", 1e-12);
    y = dal_nn_gelu(nn, dal_nn_linear(nn, x, "wide", 21, DAL_NN_BIAS));
    y = dal_nn_linear(nn, y, "narrow", WIDTH, DAL_NN_BIAS | DAL_NN_RELU);
    x = dal_nn_leaky_relu(nn, dal_nn_relu(nn, dal_nn_add(nn, x, y, 0)), 0.1);
    x = dal_nn_add(nn, dal_nn_tanh(nn, dal_nn_token_mean(nn, x)), dal_nn_sigmoid(nn, dal_nn_first_token(nn, x)), 0);
    dal_nn_stage(nn, x);
    x = dal_nn_layer_norm(nn, x, "norm3", 1e-3);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", C, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_OK, "%s", err.text);
    return nn;
}

/* LSTMs of both directions, of each alone, all of odd widths. */
static inline dal_nn *memories(const dal_host *host, int64_t longest, double dropout)
{
    dal_nn *nn = dal_nn_new(host);
    dal_error err = DAL_ERROR_INIT;
    dal_nn_value x = dal_nn_embedding(nn, dal_nn_tokens(nn, longest, VOCABULARY), "embedding",
                                      &(dal_nn_embedding_shape){.width = WIDTH});
    const dal_nn_value both = dal_nn_lstm(nn, x, "both", 5, DAL_NN_FORWARDS | DAL_NN_BACKWARDS);
    x = dropout > 0 ? dal_nn_dropout(nn, both, dropout) : both;
    const dal_nn_value back = dal_nn_lstm(nn, x, "back", 7, DAL_NN_BACKWARDS);
    const dal_nn_value on = dal_nn_lstm(nn, back, "on", 3, DAL_NN_FORWARDS);
    x = dal_nn_join(nn, dal_nn_token_max(nn, both), dal_nn_join(nn, dal_nn_token_mean(nn, back),
                                                                dal_nn_token_mean(nn, on)));
    dal_nn_stage(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", C, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_OK, "%s", err.text);
    return nn;
}

/* The mean of a text's rows beside the sum of its rows of another table. */
static inline dal_nn *bags(const dal_host *host, int64_t longest, double dropout)
{
    dal_nn *nn = dal_nn_new(host);
    dal_error err = DAL_ERROR_INIT;
    const dal_nn_value ids = dal_nn_tokens(nn, longest, VOCABULARY);
    dal_nn_value x = dal_nn_join(nn, dal_nn_embedding_bag(nn, ids, "mean", 7, 1),
                                 dal_nn_embedding_bag(nn, ids, "sum", 5, 0));
    if (dropout > 0)
        x = dal_nn_dropout(nn, x, dropout);
    dal_nn_stage(nn, x);
    x = dal_nn_tanh(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", C, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_OK, "%s", err.text);
    return nn;
}

typedef struct fixture {
    dal_runtime *rt;
    const dal_host *host;
    dal_nn *nn;
    dal_nn_info info;
    float *weights;
    int32_t *ids, *classes; /* [n, longest], [n] */
    int64_t n;
} fixture;

static inline float *draw(int64_t n, uint64_t seed)
{
    dal_rng r = dal_rng_from_key(seed);
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = 0.5f * (float)dal_rng_normal(&r);
    return x;
}

/* Texts of 1..LONGEST tokens, and an empty one: number 5. */
static inline void make_texts(fixture *f, int64_t longest)
{
    dal_rng r = dal_rng_from_key(8);
    f->ids = malloc((size_t)(f->n * longest) * sizeof *f->ids);
    f->classes = malloc((size_t)f->n * sizeof *f->classes);
    for (int64_t i = 0; i < f->n; i++) {
        const int64_t here = i == 5 ? 0 : 1 + (int64_t)(i * 4 % LONGEST);
        for (int64_t p = 0; p < longest; p++)
            f->ids[i * longest + p] = p < here ? (int32_t)dal_rng_below(&r, VOCABULARY) : DAL_NN_NO_TOKEN;
        f->classes[i] = (int32_t)(i % C);
    }
}

static inline fixture make(int threads, int64_t n, int64_t longest, double dropout)
{
    fixture f = {.rt = fx_runtime(threads, 1), .n = n};
    f.host = dal_runtime_host(f.rt, "nn");
    f.nn = (kind == ATTENDS ? every_layer : kind == CONVOLVES ? convolutions : kind == REMEMBERS ? memories
            : bags)(f.host, longest, dropout);
    dal_nn_describe(f.nn, &f.info);
    f.weights = draw(f.info.n_weights, 5);
    make_texts(&f, longest);
    return f;
}

static inline void drop(fixture *f)
{
    dal_nn_free(f->nn);
    free(f->weights);
    free(f->ids);
    free(f->classes);
    cr_assert_eq(dal_runtime_allocated(f->rt), 0);
    dal_runtime_free(f->rt);
}

static inline dal_status fill(void *ctx, int64_t first, int64_t count, float *x)
{
    const fixture *f = ctx;
    memcpy(x, f->ids + first * f->info.n_inputs, (size_t)(count * f->info.n_inputs) * sizeof *x);
    return DAL_OK;
}

static inline dal_nn_batch batch_of(fixture *f)
{
    return (dal_nn_batch){.struct_size = sizeof(dal_nn_batch), .n = f->n, .n_labelled = f->n, .classes = f->classes,
                          .fill = fill, .ctx = f, .dropout = dal_rng_from_key(99)};
}

static inline void run(fixture *f, dal_nn_pass *p, int64_t first, int64_t n)
{
    fill(f, first, n, p->value[0]);
    cr_assert_eq(dal_nn_run(f->nn, f->weights, NULL, p, n, 0, f->info.output, NULL), DAL_OK);
}

/* The sums of the losses and of their gradients, [n_weights], of the first n texts by passes of one. */
static inline float *one_by_one(fixture *f, int64_t n, double *loss)
{
    dal_nn_pass *p = dal_nn_pass_new(f->nn, f->host, 1, NULL);
    float *g = calloc((size_t)f->info.n_weights, sizeof *g);
    for (int64_t i = 0; i < n; i++) {
        double one;
        run(f, p, i, 1);
        memset(p->d[f->info.output], 0, C * sizeof(float));
        const dal_nn_rows rows = {.n = 1, .width = C, .x = p->value[f->info.output], .d = p->d[f->info.output]};
        cr_assert_eq(dal_nn_cross_entropy(&rows, f->classes + i, &one, NULL), DAL_OK);
        cr_assert_eq(dal_nn_run_back(f->nn, f->weights, NULL, p, 1, g), DAL_OK);
        *loss += one;
    }
    dal_nn_pass_free(p);
    return g;
}

/* ---- numbers ------------------------------------------------------------------------------------- */

/* One text through every_layer without dropout, in double and by plain loops. */
typedef struct twin {
    const fixture *f;
    double x[LONGEST][3 * WIDTH], y[LONGEST][3 * WIDTH];
    int64_t n;
} twin;

static inline const float *parameter(const fixture *f, const char *name)
{
    for (int64_t i = 0; i < f->info.n_parameters; i++)
        if (strcmp(dal_nn_parameter(f->nn, i)->name, name) == 0)
            return f->weights + dal_nn_parameter(f->nn, i)->offset;
    cr_assert_fail("no parameter %s", name);
    return NULL;
}

static inline void twin_norm(const fixture *f, const char *name, double eps, double *x)
{
    char gain[32], bias[32];
    double mean = 0, variance = 0;
    snprintf(gain, sizeof gain, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    for (int i = 0; i < WIDTH; i++)
        mean += x[i] / WIDTH;
    for (int i = 0; i < WIDTH; i++)
        variance += (x[i] - mean) * (x[i] - mean) / WIDTH;
    for (int i = 0; i < WIDTH; i++)
        x[i] = (x[i] - mean) / sqrt(variance + eps) * (double)parameter(f, gain)[i] + (double)parameter(f, bias)[i];
}

static inline void twin_linear(const fixture *f, const char *name, int bias, const double *x, int in, int out,
                               double *y)
{
    char weight[32], at[32];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(at, sizeof at, "%s.bias", name);
    for (int o = 0; o < out; o++) {
        y[o] = bias ? (double)parameter(f, at)[o] : 0;
        for (int i = 0; i < in; i++)
            y[o] += (double)parameter(f, weight)[o * in + i] * x[i];
    }
}

static inline void twin_attention(twin *t)
{
    const int d = WIDTH / HEADS;
    for (int64_t i = 0; i < t->n; i++)
        for (int h = 0; h < HEADS; h++) {
            double weight[LONGEST], sum = 0, out[WIDTH] = {0};
            for (int64_t k = 0; k < t->n; k++) {
                double score = 0;
                for (int l = 0; l < d; l++)
                    score += t->y[i][h * d + l] * t->y[k][WIDTH + h * d + l];
                weight[k] = exp(score / sqrt(d));
                sum += weight[k];
            }
            for (int64_t k = 0; k < t->n; k++)
                for (int l = 0; l < d; l++)
                    out[l] += weight[k] / sum * t->y[k][2 * WIDTH + h * d + l];
            for (int l = 0; l < d; l++)
                t->x[i][WIDTH + h * d + l] = out[l]; /* beside the residual in x */
        }
}

static inline void twin_text(const fixture *f, int64_t text, double *logits)
{
    twin t = {.f = f};
    const int32_t *ids = f->ids + text * f->info.n_inputs;
    double mean[WIDTH] = {0}, first[WIDTH] = {0};
    for (; t.n < f->info.n_inputs && ids[t.n] != DAL_NN_NO_TOKEN; t.n++) {
        for (int i = 0; i < WIDTH; i++)
            t.x[t.n][i] = (double)parameter(f, "embedding.words")[ids[t.n] * WIDTH + i] +
                          (double)parameter(f, "embedding.positions")[(t.n + 2) * WIDTH + i] +
                          (double)parameter(f, "embedding.segments")[i];
        twin_norm(f, "norm1", 1e-5, t.x[t.n]);
        twin_linear(f, "qkv", 1, t.x[t.n], WIDTH, 3 * WIDTH, t.y[t.n]);
    }
    twin_attention(&t);
    for (int64_t p = 0; p < t.n; p++) {
        double *x = t.x[p], out[WIDTH], wide[21];
        twin_linear(f, "out", 0, x + WIDTH, WIDTH, WIDTH, out);
        for (int i = 0; i < WIDTH; i++)
            x[i] += out[i];
        twin_norm(f, "norm2", 1e-12, x);
        twin_linear(f, "wide", 1, x, WIDTH, 21, wide);
        for (int i = 0; i < 21; i++)
            wide[i] *= 0.5 * erfc(-wide[i] / sqrt(2));
        twin_linear(f, "narrow", 1, wide, 21, WIDTH, out);
        for (int i = 0; i < WIDTH; i++) {
            x[i] = fmax(x[i] + fmax(out[i], 0), 0);
            mean[i] += x[i] / (double)t.n;
            first[i] = p == 0 ? x[i] : first[i];
        }
    }
    for (int i = 0; i < WIDTH; i++)
        mean[i] = tanh(mean[i]) + 1 / (1 + exp(-first[i]));
    twin_norm(f, "norm3", 1e-3, mean);
    twin_linear(f, "output", 1, mean, WIDTH, C, logits);
}

/* The convolution `name` around word p of x [n, in]. */
static inline void twin_conv(const fixture *f, const char *name, int bias, double x[][3 * WIDTH], int64_t n, int64_t p,
                             int in, int out,
                      int kernel, double *y)
{
    char weight[32], at[32];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(at, sizeof at, "%s.bias", name);
    for (int o = 0; o < out; o++) {
        y[o] = bias ? (double)parameter(f, at)[o] : 0;
        for (int t = 0; t < kernel; t++) {
            const int64_t word = p - (kernel - 1) / 2 + t;
            for (int i = 0; i < in && word >= 0 && word < n; i++)
                y[o] += (double)parameter(f, weight)[(o * kernel + t) * in + i] * x[word][i];
        }
    }
}

static inline void twin_convolutions(const fixture *f, int64_t text, double *logits)
{
    double x[LONGEST][3 * WIDTH], three[LONGEST][3 * WIDTH], most[22] = {0};
    const int32_t *ids = f->ids + text * f->info.n_inputs;
    int64_t n = 0;
    for (; n < f->info.n_inputs && ids[n] != DAL_NN_NO_TOKEN; n++)
        for (int i = 0; i < WIDTH; i++)
            x[n][i] = (double)parameter(f, "embedding.words")[ids[n] * WIDTH + i];
    for (int64_t p = 0; p < n; p++)
        twin_conv(f, "three", 1, x, n, p, WIDTH, 7, 3, three[p]);
    for (int64_t p = 0; p < n; p++) {
        double y[11];
        twin_conv(f, "one", 0, x, n, p, WIDTH, 5, 1, y);
        twin_conv(f, "four", 1, three, n, p, 7, 6, 4, y + 5);
        for (int o = 0; o < 11; o++) {
            y[o] = o < 5 || y[o] > 0 ? y[o] : 0;
            most[o] = p == 0 || y[o] > most[o] ? y[o] : most[o];
        }
    }
    memcpy(most + 11, most, 11 * sizeof *most);
    twin_linear(f, "output", 1, most, 22, C, logits);
}

/* y [n] at `to` = an LSTM of w numbers over x [n, in], whose slices are `name`.* with `suffix`. */
static inline void twin_lstm(const fixture *f, const char *name, const char *suffix, int reverse,
                             double x[][3 * WIDTH], int64_t n, int in,
                      int w, double y[][3 * WIDTH], int to)
{
    static const char *const what[] = {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"};
    const float *p[4];
    double h[WIDTH] = {0}, c[WIDTH] = {0};
    for (int i = 0; i < 4; i++) {
        char full[64];
        snprintf(full, sizeof full, "%s.%s%s", name, what[i], suffix);
        p[i] = parameter(f, full);
    }
    for (int64_t t = 0; t < n; t++) {
        const int64_t at = reverse ? n - 1 - t : t;
        double g[4 * WIDTH];
        for (int o = 0; o < 4 * w; o++) {
            g[o] = (double)p[2][o] + (double)p[3][o];
            for (int i = 0; i < in; i++)
                g[o] += (double)p[0][o * in + i] * x[at][i];
            for (int i = 0; i < w; i++)
                g[o] += (double)p[1][o * w + i] * h[i];
        }
        for (int l = 0; l < w; l++) {
            c[l] = c[l] / (1 + exp(-g[w + l])) + tanh(g[2 * w + l]) / (1 + exp(-g[l]));
            h[l] = tanh(c[l]) / (1 + exp(-g[3 * w + l]));
            y[at][to + l] = h[l];
        }
    }
}

static inline void twin_memories(const fixture *f, int64_t text, double *logits)
{
    double x[LONGEST][3 * WIDTH], both[LONGEST][3 * WIDTH], back[LONGEST][3 * WIDTH], on[LONGEST][3 * WIDTH],
        all[20] = {0};
    const int32_t *ids = f->ids + text * f->info.n_inputs;
    int64_t n = 0;
    for (; n < f->info.n_inputs && ids[n] != DAL_NN_NO_TOKEN; n++)
        for (int i = 0; i < WIDTH; i++)
            x[n][i] = (double)parameter(f, "embedding.words")[ids[n] * WIDTH + i];
    twin_lstm(f, "both", "", 0, x, n, WIDTH, 5, both, 0);
    twin_lstm(f, "both", "_reverse", 1, x, n, WIDTH, 5, both, 5);
    twin_lstm(f, "back", "_reverse", 1, both, n, 10, 7, back, 0);
    twin_lstm(f, "on", "", 0, back, n, 7, 3, on, 0);
    for (int64_t p = 0; p < n; p++) {
        for (int o = 0; o < 10; o++)
            all[o] = p == 0 || both[p][o] > all[o] ? both[p][o] : all[o];
        for (int o = 0; o < 7; o++)
            all[10 + o] += back[p][o] / (double)n;
        for (int o = 0; o < 3; o++)
            all[17 + o] += on[p][o] / (double)n;
    }
    twin_linear(f, "output", 1, all, 20, C, logits);
}

static inline void twin_bags(const fixture *f, int64_t text, double *logits)
{
    double x[12] = {0};
    const int32_t *ids = f->ids + text * f->info.n_inputs;
    int64_t n = 0;
    while (n < f->info.n_inputs && ids[n] != DAL_NN_NO_TOKEN)
        n++;
    for (int64_t p = 0; p < n; p++)
        for (int i = 0; i < 12; i++)
            x[i] += i < 7 ? (double)parameter(f, "mean.weight")[ids[p] * 7 + i] / (double)n
                          : (double)parameter(f, "sum.weight")[ids[p] * 5 + i - 7];
    for (int i = 0; i < 12; i++)
        x[i] = tanh(x[i]);
    twin_linear(f, "output", 1, x, 12, C, logits);
}

#endif
