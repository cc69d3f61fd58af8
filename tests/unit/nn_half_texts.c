/* Networks of texts in bf16 beside their f32 twins: what linear layers over tokens and attention multiply is rounded,
 * and what lies between them. */
#include "tests/unit/fixture.h"

#include <dal/nn.h>
#include <math.h>

enum { TEXTS = 24, LONG = 201, WORDS = 50, WIDE = 40, CLASSES = 3 };

#define U (1.0 / 256) /* of a rounding */

static dal_status encoder(const dal_host *host, uint32_t precision, dal_nn **out, dal_error *err)
{
    dal_nn *nn = *out = dal_nn_new(host);
    dal_nn_train_in(nn, precision);
    dal_nn_value x = dal_nn_embedding(nn, dal_nn_tokens(nn, LONG, WORDS), "embedding",
                                      &(dal_nn_embedding_shape){.width = WIDE, .positions = LONG});
    x = dal_nn_layer_norm(nn, x, "norm1", 1e-5);
    /* several read x, so all but one add to its gradient; and two read queries, keys and values */
    const dal_nn_value side = dal_nn_linear(nn, x, "side", WIDE, DAL_NN_BIAS | DAL_NN_RELU);
    const dal_nn_value qkv = dal_nn_linear(nn, x, "qkv", 3 * WIDE, DAL_NN_BIAS);
    dal_nn_value y = dal_nn_linear(nn, dal_nn_attention(nn, qkv, 4, 0.1), "out", WIDE, 0);
    y = dal_nn_add(nn, y, dal_nn_dropout(nn, dal_nn_linear(nn, dal_nn_attention(nn, qkv, 1, 0), "out2", WIDE, 0), 0.1),
                   0);
    x = dal_nn_layer_norm(nn, dal_nn_add(nn, side, y, 0), "norm2", 1e-5);
    /* rows of this one are no whole number of floats in bf16 */
    const dal_nn_value odd = dal_nn_gelu(nn, dal_nn_linear(nn, x, "odd", 73, DAL_NN_BIAS));
    /* the gradient of these is made in blocks */
    y = dal_nn_linear(nn, dal_nn_gelu(nn, dal_nn_linear(nn, x, "wide", 896, DAL_NN_BIAS)), "less", 128, DAL_NN_BIAS);
    y = dal_nn_linear(nn, y, "narrow", WIDE, DAL_NN_BIAS);
    y = dal_nn_add(nn, y, dal_nn_linear(nn, odd, "even", WIDE, DAL_NN_BIAS), 0);
    x = dal_nn_layer_norm(nn, dal_nn_add(nn, x, y, 0), "norm3", 1e-5);
    dal_nn_output(nn, dal_nn_linear(nn, dal_nn_token_mean(nn, x), "output", CLASSES, DAL_NN_BIAS));
    return dal_nn_finish(nn, err);
}

static void want_bf16(void)
{
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    dal_nn *nn;
    const dal_status st = encoder(dal_runtime_host(rt, "nn"), DAL_NN_BF16, &nn, &err);
    dal_nn_free(nn);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    if (st == DAL_E_UNSUPPORTED) {
        cr_assert_str_eq(err.key, "precision");
        cr_skip_test("no bf16 here: %s", err.text);
    }
    cr_assert_eq(st, DAL_OK, "%s", err.text);
}

typedef struct fixture {
    dal_runtime *rt;
    const dal_host *host;
    dal_nn *nn;
    dal_nn_info info;
    float *weights;
    int32_t ids[TEXTS * LONG], classes[TEXTS];
} fixture;

/* Texts of up to 197 tokens, and an empty one: three of them are more than the largest piece of a product. */
static void make(fixture *f, uint32_t precision, int threads)
{
    dal_rng r = dal_rng_from_key(8);
    *f = (fixture){.rt = fx_runtime(threads, 1)};
    f->host = dal_runtime_host(f->rt, "nn");
    cr_assert_eq(encoder(f->host, precision, &f->nn, NULL), DAL_OK);
    dal_nn_describe(f->nn, &f->info);
    f->weights = malloc((size_t)f->info.n_weights * sizeof *f->weights);
    for (int64_t i = 0; i < f->info.n_weights; i++)
        f->weights[i] = 0.3f * (float)dal_rng_normal(&r);
    for (int64_t i = 0; i < TEXTS; i++) {
        const int64_t here = i == 5 ? 0 : i < 3 ? 197 : 1 + i * 37 % 97;
        for (int64_t p = 0; p < LONG; p++)
            f->ids[i * LONG + p] = p < here ? (int32_t)dal_rng_below(&r, WORDS) : DAL_NN_NO_TOKEN;
        f->classes[i] = (int32_t)(i % CLASSES);
    }
}

static void drop(fixture *f)
{
    dal_nn_free(f->nn);
    free(f->weights);
    cr_assert_eq(dal_runtime_allocated(f->rt), 0);
    dal_runtime_free(f->rt);
}

static dal_status fill(void *ctx, int64_t first, int64_t count, float *x)
{
    const fixture *f = ctx;
    memcpy(x, f->ids + first * LONG, (size_t)(count * LONG) * sizeof *x);
    return DAL_OK;
}

/* Steps of Adam, or without a rule one whose gradient is returned; *result: of the last. */
static float *train(fixture *f, int steps, const dal_nn_rule *rule, dal_nn_result *result)
{
    dal_error err = DAL_ERROR_INIT;
    dal_nn_trainer *t = dal_nn_trainer_new(f->nn, f->host, f->weights, NULL, TEXTS, &err);
    cr_assert_not_null(t, "%s", err.text);
    for (int s = 0; s < steps; s++) {
        const int64_t n = rule && s % 2 ? 7 : TEXTS;
        const dal_nn_batch b = {.struct_size = sizeof b, .n = n, .n_labelled = n, .classes = f->classes, .fill = fill,
                                .ctx = f, .dropout = dal_rng_from_key(100 + (uint64_t)s)};
        *result = (dal_nn_result){.struct_size = sizeof *result};
        cr_assert_eq(dal_nn_train(t, rule, &b, result, &err), DAL_OK, "%s", err.text);
    }
    float *gradient = malloc((size_t)f->info.n_weights * sizeof *gradient);
    memcpy(gradient, dal_nn_gradient(t), (size_t)f->info.n_weights * sizeof *gradient);
    dal_nn_trainer_free(t);
    return gradient;
}

static double off(const float *got, const float *want, int64_t n)
{
    double difference = 0, length = 0;
    for (int64_t i = 0; i < n; i++) {
        difference += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        length += (double)want[i] * (double)want[i];
    }
    return sqrt(difference / length);
}

Test(nn_half_texts, has_the_gradient_of_f32_but_for_the_roundings)
{
    want_bf16();
    static fixture f, h;
    dal_nn_result r;
    make(&f, DAL_NN_F32, 1);
    make(&h, DAL_NN_BF16, 2);
    float *f32 = train(&f, 1, NULL, &r), *bf16 = train(&h, 1, NULL, &r);
    for (int64_t i = 0; i < f.info.n_parameters; i++) {
        const dal_parameter *p = dal_nn_parameter(f.nn, i);
        const double of = off(bf16 + p->offset, f32 + p->offset, p->count);
        cr_assert(of > 0 && of < 4 * U, "%s is off by %g", p->name, of);
    }
    free(f32);
    free(bf16);
    drop(&f);
    drop(&h);
}

static const dal_nn_rule adam = {.struct_size = sizeof adam, .optimizer = DAL_NN_ADAM, .learning_rate = 0.01,
                                 .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};

Test(nn_half_texts, trains_to_the_same_bits_with_any_number_of_threads)
{
    want_bf16();
    static fixture f[3];
    dal_nn_result r;
    for (int i = 0; i < 3; i++) {
        make(&f[i], DAL_NN_BF16, 1 + i);
        free(train(&f[i], 7, &adam, &r));
        cr_assert_eq(memcmp(f[i].weights, f[0].weights, (size_t)f[0].info.n_weights * sizeof(float)), 0, "%d threads",
                     1 + i);
    }
    for (int i = 0; i < 3; i++)
        drop(&f[i]);
}

Test(nn_half_texts, learns_a_batch_by_heart)
{
    want_bf16();
    static fixture f;
    dal_nn_result r;
    make(&f, DAL_NN_BF16, 2);
    free(train(&f, 161, &adam, &r));
    cr_assert(r.hits >= TEXTS - 1 && r.loss / TEXTS < 0.2, "%d hits of %d, loss %g", (int)r.hits, TEXTS,
              r.loss / TEXTS);
    drop(&f);
}

static const float *pass(fixture *f, dal_nn_pass *p, int64_t first, int64_t n)
{
    fill(f, first, n, p->value[0]);
    cr_assert_eq(dal_nn_run(f->nn, f->weights, NULL, p, n, 0, f->info.output, NULL), DAL_OK);
    return p->value[f->info.output];
}

Test(nn_half_texts, runs_ready_weights_and_leaves_other_passes_alone)
{
    want_bf16();
    enum { N = DAL_NN_TILE - 1 };
    static fixture f, h;
    float together[N * CLASSES];
    make(&f, DAL_NN_F32, 1);
    make(&h, DAL_NN_BF16, 1);
    cr_assert(strstr(dal_nn_backend(h.nn), "bf16"));
    dal_nn_ready *r = dal_nn_ready_new(h.nn, h.host, h.weights, NULL, NULL);
    dal_nn_pass *plain = dal_nn_pass_new(f.nn, f.host, 0, NULL), *same = dal_nn_pass_new(h.nn, h.host, 0, NULL);
    dal_nn_pass *by_ready = dal_nn_ready_pass(r, h.host, NULL);
    const float *want = pass(&f, plain, 0, N);
    cr_assert_eq(memcmp(pass(&h, same, 0, N), want, sizeof together), 0);
    memcpy(together, pass(&h, by_ready, 0, N), sizeof together);
    const double of = off(together, want, N * CLASSES);
    cr_assert(of > 0 && of < 4 * U, "off by %g", of);
    for (int64_t i = 0; i < N; i++)
        cr_assert_eq(memcmp(pass(&h, by_ready, i, 1), together + i * CLASSES, CLASSES * sizeof(float)), 0, "text %d",
                     (int)i);
    dal_nn_pass_free(by_ready);
    dal_nn_pass_free(same);
    dal_nn_pass_free(plain);
    dal_nn_ready_free(r);
    drop(&f);
    drop(&h);
}

Test(nn_half_texts, are_made_or_refused_whatever_allocation_fails)
{
    want_bf16();
    dal_status st = DAL_E_NOMEM;
    for (int64_t k = 1; st != DAL_OK; k++) {
        const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_error err = DAL_ERROR_INIT;
        dal_runtime *rt = dal_runtime_new(&config, &err);
        dal_nn *nn = NULL;
        if (k > 4) /* the first ones are dal_nn_new's */
            st = encoder(dal_runtime_host(rt, "nn"), DAL_NN_BF16, &nn, &err);
        cr_assert(st == DAL_OK || st == DAL_E_NOMEM, "allocation %d: %d, %s", (int)k, (int)st, err.text);
        dal_nn_free(nn);
        cr_assert_eq(dal_runtime_allocated(rt), 0, "allocation %d", (int)k);
        dal_runtime_free(rt);
        cr_assert(k < 200);
    }
}
