/* Networks of texts: each layer against plain loops, gradients against finite differences, the same bits everywhere. */
#include "tests/unit/fixture.h"

#include <dal/nn.h>
#include <math.h>

enum { LONGEST = 9, VOCABULARY = 13, WIDTH = 12, HEADS = 3, C = 3 };

/* What a test goes through: attention and what is around it, or convolutions. A test runs in a process of its own. */
static int convolves;

/* Convolutions of one, three and four words (an even one has more behind), their largest, side by side. */
static dal_nn *convolutions(const dal_host *host, int64_t longest, double dropout)
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
static dal_nn *every_layer(const dal_host *host, int64_t longest, double dropout)
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

typedef struct fixture {
    dal_runtime *rt;
    const dal_host *host;
    dal_nn *nn;
    dal_nn_info info;
    float *weights;
    int32_t *ids, *classes; /* [n, longest], [n] */
    int64_t n;
} fixture;

static float *draw(int64_t n, uint64_t seed)
{
    dal_rng r = dal_rng_from_key(seed);
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = 0.5f * (float)dal_rng_normal(&r);
    return x;
}

/* Texts of 1..LONGEST tokens, and an empty one: number 5. */
static void make_texts(fixture *f, int64_t longest)
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

static fixture make(int threads, int64_t n, int64_t longest, double dropout)
{
    fixture f = {.rt = fx_runtime(threads, 1), .n = n};
    f.host = dal_runtime_host(f.rt, "nn");
    f.nn = convolves ? convolutions(f.host, longest, dropout) : every_layer(f.host, longest, dropout);
    dal_nn_describe(f.nn, &f.info);
    f.weights = draw(f.info.n_weights, 5);
    make_texts(&f, longest);
    return f;
}

static void drop(fixture *f)
{
    dal_nn_free(f->nn);
    free(f->weights);
    free(f->ids);
    free(f->classes);
    cr_assert_eq(dal_runtime_allocated(f->rt), 0);
    dal_runtime_free(f->rt);
}

static dal_status fill(void *ctx, int64_t first, int64_t count, float *x)
{
    const fixture *f = ctx;
    memcpy(x, f->ids + first * f->info.n_inputs, (size_t)(count * f->info.n_inputs) * sizeof *x);
    return DAL_OK;
}

static dal_nn_batch batch_of(fixture *f)
{
    return (dal_nn_batch){.struct_size = sizeof(dal_nn_batch), .n = f->n, .n_labelled = f->n, .classes = f->classes,
                          .fill = fill, .ctx = f, .dropout = dal_rng_from_key(99)};
}

static void run(fixture *f, dal_nn_pass *p, int64_t first, int64_t n)
{
    fill(f, first, n, p->value[0]);
    cr_assert_eq(dal_nn_run(f->nn, f->weights, NULL, p, n, 0, f->info.output, NULL), DAL_OK);
}

/* ---- numbers ------------------------------------------------------------------------------------- */

/* One text through every_layer without dropout, in double and by plain loops. */
typedef struct twin {
    const fixture *f;
    double x[LONGEST][3 * WIDTH], y[LONGEST][3 * WIDTH];
    int64_t n;
} twin;

static const float *parameter(const fixture *f, const char *name)
{
    for (int64_t i = 0; i < f->info.n_parameters; i++)
        if (strcmp(dal_nn_parameter(f->nn, i)->name, name) == 0)
            return f->weights + dal_nn_parameter(f->nn, i)->offset;
    cr_assert_fail("no parameter %s", name);
    return NULL;
}

static void twin_norm(const fixture *f, const char *name, double eps, double *x)
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

static void twin_linear(const fixture *f, const char *name, int bias, const double *x, int in, int out, double *y)
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

static void twin_attention(twin *t)
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

static void twin_text(const fixture *f, int64_t text, double *logits)
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
static void twin_conv(const fixture *f, const char *name, int bias, double x[][3 * WIDTH], int64_t n, int64_t p, int in, int out,
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

static void twin_convolutions(const fixture *f, int64_t text, double *logits)
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

static void read_as_twin(void)
{
    fixture f = make(1, 16, LONGEST, 0);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 0, NULL);
    run(&f, p, 0, 16);
    for (int64_t i = 0; i < 16; i++) {
        double logits[C];
        if (convolves)
            twin_convolutions(&f, i, logits);
        else
            twin_text(&f, i, logits);
        for (int c = 0; c < C; c++)
            cr_assert_float_eq((double)p->value[f.info.output][i * C + c], logits[c], 2e-5, "text %lld", (long long)i);
    }
    dal_nn_pass_free(p);
    drop(&f);
}

#define BOTH(what)                                          \
    {                                                       \
        for (convolves = 0; convolves < 2; convolves++)     \
            what();                                         \
    }

Test(nn_texts, reads_as_plain_loops_do)
BOTH(read_as_twin)

Test(nn_texts, has_activations_to_the_last_digit)
{
    static dal_nn_value (*const layers[])(dal_nn *, dal_nn_value) = {dal_nn_gelu, dal_nn_tanh, dal_nn_sigmoid};
    enum { N = 4001 };
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    for (int k = 0; k < 3; k++) {
        dal_nn *nn = dal_nn_new(host);
        const dal_nn_value y = layers[k](nn, dal_nn_input(nn, N, 1, 1));
        dal_nn_output(nn, dal_nn_linear(nn, y, "output", 2, 0));
        cr_assert_eq(dal_nn_finish(nn, NULL), DAL_OK);
        float *weights = draw(2 * N, 1);
        dal_nn_pass *p = dal_nn_pass_new(nn, host, 0, NULL);
        for (int i = 0; i < N; i++) {
            const double x = (i - N / 2) / 160.0;
            p->value[0][i] = (float)(x * fabs(x)); /* many near 0, the last at 156 */
        }
        p->value[0][7] = NAN;
        cr_assert_eq(dal_nn_run(nn, weights, NULL, p, 1, 0, y, NULL), DAL_OK);
        cr_assert(isnan(p->value[y][7]));
        for (int i = 8; i < N; i++) {
            const double x = (double)p->value[0][i];
            const double want = k == 0 ? 0.5 * x * erfc(-x / sqrt(2)) : k == 1 ? tanh(x) : 1 / (1 + exp(-x));
            cr_assert_float_eq((double)p->value[y][i], want, 3e-7 * fmax(fabs(k ? want : x), 1e-3), "layer %d at %g", k, x);
        }
        dal_nn_pass_free(p);
        dal_nn_free(nn);
        free(weights);
    }
    dal_runtime_free(rt);
}

/* The masks are those of the streams of dal/rng.h, number by number. */
static dal_status look_at_mask(void *ctx, const dal_nn_step_view *view)
{
    const fixture *f = ctx;
    const dal_rng step = dal_rng_from_key(99), layer = dal_rng_at(&step, 0);
    for (int64_t i = 0; i < view->n; i++) {
        dal_rng r = dal_rng_at(&layer, (uint64_t)i);
        uint32_t bits = 0;
        for (int64_t k = 0; k < f->info.n_inputs; k++, bits >>= 16) {
            bits = k % 2 ? bits : dal_rng_u32(&r);
            const int keep = (bits & 0xffffu) >= (uint32_t)(0.3 * 65536);
            cr_assert_eq(view->value[f->info.features][i * f->info.n_inputs + k] != 0, keep, "%lld %lld", (long long)i,
                         (long long)k);
        }
    }
    return DAL_OK;
}

static dal_status fill_ones(void *ctx, int64_t first, int64_t count, float *x)
{
    const fixture *f = ctx;
    (void)first;
    for (int64_t i = 0; i < count * f->info.n_inputs; i++)
        x[i] = 1;
    return DAL_OK;
}

Test(nn_texts, draws_masks_from_the_streams_of_samples)
{
    fixture f = {.rt = fx_runtime(2, 1), .n = 3};
    int32_t classes[3] = {0, 1, 0};
    f.host = dal_runtime_host(f.rt, "nn");
    f.nn = dal_nn_new(f.host);
    dal_nn_value x = dal_nn_dropout(f.nn, dal_nn_input(f.nn, 301, 1, 1), 0.3);
    dal_nn_features(f.nn, x);
    dal_nn_output(f.nn, dal_nn_linear(f.nn, x, "output", 2, 0));
    cr_assert_eq(dal_nn_finish(f.nn, NULL), DAL_OK);
    dal_nn_describe(f.nn, &f.info);
    f.weights = draw(f.info.n_weights, 1);
    f.classes = classes;
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, 3, NULL);
    dal_nn_batch b = batch_of(&f);
    dal_nn_result r = {.struct_size = sizeof r};
    b.fill = fill_ones;
    b.between = look_at_mask;
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, NULL), DAL_OK);
    dal_nn_trainer_free(t);
    f.classes = NULL;
    drop(&f);
}

/* ---- gradients ----------------------------------------------------------------------------------- */

static double loss_at(fixture *f, dal_nn_trainer *t)
{
    const dal_nn_batch b = batch_of(f);
    dal_nn_result r = {.struct_size = sizeof r};
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, NULL), DAL_OK);
    return r.loss / (double)f->n;
}

static void differ_while_training(void)
{
    fixture f = make(2, 11, LONGEST, 0.25);
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, f.n, NULL);
    loss_at(&f, t);
    float *g = malloc((size_t)f.info.n_weights * sizeof *g);
    memcpy(g, dal_nn_gradient(t), (size_t)f.info.n_weights * sizeof *g);
    int off = 0, moved = 0;
    for (int64_t i = 0; i < f.info.n_weights; i++) {
        const float w = f.weights[i], e = 3e-3f;
        f.weights[i] = w + e;
        const double up = loss_at(&f, t);
        f.weights[i] = w - e;
        const double want = (up - loss_at(&f, t)) / (2 * (double)e);
        f.weights[i] = w;
        off += fabs(want - (double)g[i]) > 1e-3 + 0.03 * fabs(want); /* a ReLU may change its mind */
        moved += fabs(want) > 2e-3;
    }
    cr_assert_leq(off, (int)(f.info.n_weights / 100), "%d of %lld gradients are off", off, (long long)f.info.n_weights);
    cr_assert_gt(moved, (int)(f.info.n_weights / 3));
    free(g);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn_texts, has_the_gradient_of_finite_differences_while_training)
BOTH(differ_while_training)

/* sum_c output_c q_c of the first three texts */
static double answer(fixture *f, dal_nn_pass *p, int64_t from, const float *q)
{
    double sum = 0;
    cr_assert_eq(dal_nn_run(f->nn, f->weights, NULL, p, 3, (dal_nn_value)from, f->info.output, NULL), DAL_OK);
    for (int c = 0; c < 3 * C; c++)
        sum += (double)p->value[f->info.output][c] * (double)q[c];
    return sum;
}

static void differ_in_passes(void)
{
    fixture f = make(1, 3, LONGEST, 0);
    const float q[3 * C] = {1, -2, 0.5f, 0.3f, 1, 1, -1, 0.2f, 2};
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 1, NULL);
    float *g = calloc((size_t)f.info.n_weights, sizeof *g), *d = malloc(3 * LONGEST * WIDTH * sizeof *d);
    int off = 0;
    const int64_t embedded = WIDTH * (1 + 5 + 9); /* numbers of the three texts' tokens */
    fill(&f, 0, 3, p->value[0]);
    answer(&f, p, 0, q);
    memcpy(p->d[f.info.output], q, sizeof q);
    cr_assert_eq(dal_nn_run_back(f.nn, f.weights, NULL, p, 3, g), DAL_OK);
    memcpy(d, p->d[1], (size_t)embedded * sizeof *d);
    for (int64_t i = 0; i < embedded + f.info.n_weights; i++) {
        const int is_input = i < embedded;
        float *v = is_input ? &p->value[1][i] : &f.weights[i - embedded];
        const double have = is_input ? (double)d[i] : (double)g[i - embedded];
        const float keep = *v, e = 5e-4f;
        *v = keep + e;
        const double up = answer(&f, p, is_input ? 2 : 0, q);
        *v = keep - e;
        const double want = (up - answer(&f, p, is_input ? 2 : 0, q)) / (2 * (double)e);
        *v = keep;
        off += fabs(want - have) > 4e-3 + 0.03 * fabs(want);
        if (i == embedded - 1)
            answer(&f, p, 0, q);
    }
    cr_assert_leq(off, (int)((embedded + f.info.n_weights) / 25), "%d gradients are off", off);
    free(g);
    free(d);
    dal_nn_pass_free(p);
    drop(&f);
}

Test(nn_texts, has_the_gradient_of_finite_differences_in_passes)
BOTH(differ_in_passes)

/* ---- the same bits ------------------------------------------------------------------------------- */

static uint64_t train_digest(int threads, int64_t n, int64_t longest)
{
    fixture f = make(threads, n, longest, 0.2);
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = 0.01, .beta1 = 0.9,
                              .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 1e-3, .decoupled = 1};
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, n, NULL);
    for (int step = 0; step < 4; step++) {
        const dal_nn_batch b = batch_of(&f);
        dal_nn_result r = {.struct_size = sizeof r};
        cr_assert_eq(dal_nn_train(t, &rule, &b, &r, NULL), DAL_OK);
    }
    const uint64_t h = dal_hash64(0, f.weights, (size_t)f.info.n_weights * sizeof(float));
    dal_nn_trainer_free(t);
    drop(&f);
    return h;
}

static void train_everywhere(void)
{
    for (int64_t n = 1; n <= 29; n += 7) {
        const uint64_t one = train_digest(1, n, LONGEST);
        cr_assert_eq(train_digest(2, n, LONGEST), one);
        cr_assert_eq(train_digest(5, n, LONGEST), one);
        cr_assert_eq(train_digest(2, n, LONGEST + 20), one);
    }
}

Test(nn_texts, trains_to_the_same_bits_with_any_number_of_threads_and_any_longest)
BOTH(train_everywhere)

static void place_texts(void)
{
    fixture f = make(1, DAL_NN_TILE, LONGEST, 0), wide = make(1, DAL_NN_TILE, LONGEST + 17, 0);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 1, NULL), *q = dal_nn_pass_new(wide.nn, wide.host, 0, NULL);
    float together[C * DAL_NN_TILE], d[DAL_NN_TILE][LONGEST * WIDTH];
    int64_t at = 0, tokens[DAL_NN_TILE];
    run(&f, p, 0, DAL_NN_TILE);
    memcpy(together, p->value[f.info.output], sizeof together);
    for (int i = 0; i < C * DAL_NN_TILE; i++)
        p->d[f.info.output][i] = (float)(i % C) - 1;
    cr_assert_eq(dal_nn_run_back(f.nn, f.weights, NULL, p, DAL_NN_TILE, NULL), DAL_OK);
    for (int64_t i = 0; i < DAL_NN_TILE; at += tokens[i++] * WIDTH) {
        for (tokens[i] = 0; tokens[i] < LONGEST && f.ids[i * LONGEST + tokens[i]] >= 0; tokens[i]++)
            ;
        memcpy(d[i], p->d[1] + at, (size_t)(tokens[i] * WIDTH) * sizeof(float));
    }
    run(&wide, q, 0, DAL_NN_TILE);
    cr_assert_eq(memcmp(q->value[wide.info.output], together, sizeof together), 0, "another longest");
    for (int64_t i = 0; i < DAL_NN_TILE; i++) {
        run(&f, p, i, DAL_NN_TILE - i < 3 ? DAL_NN_TILE - i : 3);
        cr_assert_eq(memcmp(p->value[f.info.output], together + C * i, C * sizeof(float)), 0, "text %lld", (long long)i);
        for (int c = 0; c < 3 * C; c++)
            p->d[f.info.output][c] = (float)(c % C) - 1;
        cr_assert_eq(dal_nn_run_back(f.nn, f.weights, NULL, p, DAL_NN_TILE - i < 3 ? DAL_NN_TILE - i : 3, NULL), DAL_OK);
        cr_assert_eq(memcmp(p->d[1], d[i], (size_t)(tokens[i] * WIDTH) * sizeof(float)), 0, "gradient of text %lld",
                     (long long)i);
    }
    dal_nn_pass_free(p);
    dal_nn_pass_free(q);
    drop(&f);
    drop(&wide);
}

Test(nn_texts, gives_a_text_the_same_bits_in_any_place)
BOTH(place_texts)

/* ---- behaviour ----------------------------------------------------------------------------------- */

static void learn_by_heart(void)
{
    fixture f = make(2, 24, LONGEST, 0);
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = 0.01, .beta1 = 0.9,
                              .beta2 = 0.999, .epsilon = 1e-8};
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, f.n, NULL);
    dal_nn_result r = {.struct_size = sizeof r};
    for (int step = 0; step < 200; step++) {
        const dal_nn_batch b = batch_of(&f);
        cr_assert_eq(dal_nn_train(t, &rule, &b, &r, NULL), DAL_OK);
    }
    cr_assert_eq(r.hits, 24, "%lld of 24", (long long)r.hits);
    cr_assert_lt(r.loss / 24, 0.05);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn_texts, learns_a_batch_by_heart)
BOTH(learn_by_heart)

Test(nn_texts, names_the_id_that_is_none)
{
    fixture f = make(2, 9, LONGEST, 0);
    dal_error err = DAL_ERROR_INIT;
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, f.n, NULL);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 0, NULL);
    dal_nn_batch b = batch_of(&f);
    dal_nn_result r = {.struct_size = sizeof r};
    f.ids[4 * LONGEST + 1] = VOCABULARY;
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "token 1 of a text has id 13; the vocabulary of this network has 0..12"), "%s", err.text);
    fill(&f, 4, 1, p->value[0]);
    cr_assert_eq(dal_nn_run(f.nn, f.weights, NULL, p, 1, 0, f.info.output, NULL), DAL_E_INVALID);
    f.ids[4 * LONGEST + 1] = -7;
    cr_assert_eq(dal_nn_check_tokens(f.nn, f.ids + 4 * LONGEST, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "has id -7"), "%s", err.text);
    f.ids[4 * LONGEST + 1] = DAL_NN_NO_TOKEN;
    f.ids[4 * LONGEST + 2] = 0;
    cr_assert_eq(dal_nn_check_tokens(f.nn, f.ids + 4 * LONGEST, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "token 2 of a text is 0 behind its end at 1"), "%s", err.text);
    f.ids[4 * LONGEST + 2] = DAL_NN_NO_TOKEN;
    for (int i = 3; i < LONGEST; i++)
        f.ids[4 * LONGEST + i] = DAL_NN_NO_TOKEN;
    cr_assert_eq(dal_nn_check_tokens(f.nn, f.ids + 4 * LONGEST, &err), DAL_OK);
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, &err), DAL_OK);
    dal_nn_pass_free(p);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn_texts, masks_tokens_by_hand_in_passes)
{
    fixture f = make(1, 3, LONGEST, 0.5);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 0, NULL);
    float mask[LONGEST * WIDTH];
    const float *masks[1] = {mask};
    const dal_nn_value v = dal_nn_dropout_value(f.nn, 0);
    for (int i = 0; i < LONGEST * WIDTH; i++)
        mask[i] = (float)i;
    fill(&f, 0, 3, p->value[0]);
    cr_assert_eq(dal_nn_run(f.nn, f.weights, NULL, p, 3, 0, v, masks), DAL_OK);
    for (int text = 0, at = 0; text < 3; at += (1 + 4 * text) * WIDTH, text++)
        for (int i = 0; i < (1 + 4 * text) * WIDTH; i++)
            cr_assert(p->value[v][at + i] == (float)i * p->value[v - 1][at + i]);
    dal_nn_pass_free(p);
    drop(&f);
}

Test(nn_texts, says_which_layer_does_not_fit)
{
    static const char *const words[] = {"three times a multiple of 5 heads", "10 positions, the first 4", "no tokens",
                                        "takes tokens", "reads the ids", "eps is 2", "dropout is 1", "not maps of 3 x 3",
                                        "a kernel of 0 tokens", "takes vectors"};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    for (int fault = 0; fault < 10; fault++) {
        dal_error err = DAL_ERROR_INIT;
        dal_nn *nn = dal_nn_new(host);
        const dal_nn_embedding_shape shape = {.width = 12, .positions = fault == 1 ? 10 : 0, .first_position = 4};
        dal_nn_value x = fault == 7 || fault == 3 ? dal_nn_input(nn, 12, 3, 3)
                                                  : dal_nn_embedding(nn, dal_nn_tokens(nn, 7, 5), "e", &shape);
        x = fault == 0 || fault == 6 ? dal_nn_attention(nn, x, fault == 6 ? 2 : 5, fault == 6) : x;
        x = fault == 2 ? dal_nn_global_pool(nn, x) : x;
        x = fault == 4 ? dal_nn_add(nn, dal_nn_token_mean(nn, x), dal_nn_linear(nn, 0, "l", 12, 0), 0) : x;
        x = fault == 5 || fault == 7 ? dal_nn_layer_norm(nn, x, "n", fault == 5 ? 2 : 1e-5) : x;
        x = fault == 8 ? dal_nn_token_conv(nn, x, "c", 4, 0, 0) : x;
        x = fault == 9 ? dal_nn_join(nn, x, x) : x;
        if (fault != 2 && fault != 4 && fault != 7)
            x = dal_nn_token_mean(nn, x);
        dal_nn_output(nn, dal_nn_linear(nn, x, "o", 2, 0));
        cr_assert_eq(dal_nn_finish(nn, &err), DAL_E_INVALID, "%d", fault);
        cr_assert(strstr(err.text, words[fault]), "%d: %s", fault, err.text);
        dal_nn_free(nn);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(nn_texts, starts_from_the_weights_of_each_kind)
{
    fixture f = make(2, 1, LONGEST, 0);
    const dal_rng r = dal_rng_from_key(3);
    dal_nn_draw(f.nn, DAL_NN_BERT, &r, f.weights, NULL);
    double square = 0;
    for (int i = 0; i < VOCABULARY * WIDTH; i++)
        square += pow((double)parameter(&f, "embedding.words")[i], 2) / (VOCABULARY * WIDTH);
    cr_assert_float_eq(sqrt(square), 0.02, 0.004);
    cr_assert(parameter(&f, "wide.bias")[3] == 0 && parameter(&f, "norm1.weight")[3] == 1 && parameter(&f, "norm1.bias")[3] == 0);
    dal_nn_draw(f.nn, DAL_NN_UNIFORM, &r, f.weights, NULL);
    for (int i = 0; i < 40 * WIDTH; i++)
        cr_assert_lt(fabs((double)parameter(&f, "embedding.positions")[i]), 0.25);
    cr_assert(parameter(&f, "wide.bias")[3] != 0);
    cr_assert_lt(fabs((double)parameter(&f, "wide.weight")[3]), 1 / sqrt(WIDTH));
    drop(&f);
}
