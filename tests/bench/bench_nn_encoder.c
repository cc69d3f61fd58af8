/* bench_nn's network of texts: layers, width and dropout of DistilBERT (Sanh et al. 2019), random weights and words,
 * batches of 16 texts of 128 tokens. */
#include "tests/bench/bench_nn.h"

#include <dal/nn.h>

#include "tests/bench/bench.h"

enum { LAYERS = 6, WIDTH = 768, HEADS = 12, WIDE = 3072, WORDS = 30522, TOKENS = 128, TEXTS = 16, CLASSES = 10,
      STEPS = 4,
       REPEATS = 3 };

static dal_nn_value dense(dal_nn *nn, dal_nn_value x, int l, const char *what, int64_t out)
{
    char name[32];
    snprintf(name, sizeof name, "layer%d.%s", l, what);
    return dal_nn_linear(nn, x, name, out, DAL_NN_BIAS);
}

static dal_nn_value norm(dal_nn *nn, dal_nn_value x, dal_nn_value y, int l, const char *what)
{
    char name[32];
    snprintf(name, sizeof name, "layer%d.%s", l, what);
    return dal_nn_layer_norm(nn, dal_nn_add(nn, x, dal_nn_dropout(nn, y, 0.1), 0), name, 1e-12);
}

static dal_nn_value layer(dal_nn *nn, dal_nn_value x, int l)
{
    const dal_nn_value y = dal_nn_attention(nn, dense(nn, x, l, "qkv", (int64_t)3 * WIDTH), HEADS, 0.1);
    x = norm(nn, x, dense(nn, y, l, "out", WIDTH), l, "norm1");
    return norm(nn, x, dense(nn, dal_nn_gelu(nn, dense(nn, x, l, "wide", WIDE)), l, "narrow", WIDTH), l, "norm2");
}

/* NULL where there is no bf16. */
static dal_nn *declare(const dal_host *host, int bf16)
{
    dal_nn *nn = dal_nn_new(host);
    dal_nn_train_in(nn, bf16 ? DAL_NN_BF16 : DAL_NN_F32);
    const dal_nn_embedding_shape words = {.width = WIDTH, .positions = 512};
    dal_nn_value x = dal_nn_embedding(nn, dal_nn_tokens(nn, TOKENS, WORDS), "words", &words);
    x = dal_nn_dropout(nn, dal_nn_layer_norm(nn, x, "norm", 1e-12), 0.1);
    for (int l = 0; l < LAYERS; l++)
        x = layer(nn, x, l);
    x = dal_nn_linear(nn, dal_nn_first_token(nn, x), "head", WIDTH, DAL_NN_BIAS | DAL_NN_RELU);
    x = dal_nn_dropout(nn, x, 0.2);
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", CLASSES, DAL_NN_BIAS));
    const dal_status st = dal_nn_finish(nn, NULL);
    if (st == DAL_OK)
        return nn;
    if (!bf16 || st != DAL_E_UNSUPPORTED)
        bench_die("no encoder");
    dal_nn_free(nn);
    return NULL;
}

typedef struct work {
    const dal_host *host;
    const dal_nn *nn;
    dal_nn_info info;
    float *weights;
    const dal_nn_ready *ready;
} work;

static dal_status draw_texts(void *ctx, int64_t first, int64_t count, float *x)
{
    int32_t *ids = (int32_t *)(void *)x;
    dal_rng r = dal_rng_from_key((uint64_t)first);
    (void)ctx;
    for (int64_t i = 0; i < count * TOKENS; i++)
        ids[i] = (int32_t)dal_rng_below(&r, WORDS);
    return DAL_OK;
}

static dal_nn_trainer *begin(const work *w)
{
    const dal_rng stream = dal_rng_from_key(2);
    dal_nn_draw(w->nn, DAL_NN_BERT, &stream, w->weights, NULL);
    return dal_nn_trainer_new(w->nn, w->host, w->weights, NULL, TEXTS, NULL);
}

static void step(dal_nn_trainer *t)
{
    static const int32_t classes[TEXTS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_SGD, .learning_rate = 1e-3,
                              .momentum = 0.9};
    const dal_nn_batch batch = {.struct_size = sizeof batch, .n = TEXTS, .n_labelled = TEXTS, .classes = classes,
                                .fill = draw_texts, .dropout = dal_rng_from_key(3)};
    dal_nn_result result = {.struct_size = sizeof result};
    if (!t || dal_nn_train(t, &rule, &batch, &result, NULL) != DAL_OK)
        bench_die("a step of the encoder failed");
}

static void train(const work *w, double born, bench_figures *f)
{
    dal_nn_trainer *t = begin(w);
    double took[STEPS], cpu[STEPS];
    f->ready = bench_now() - born;
    f->ready_cpu = bench_cpu();
    for (int s = 0; s <= STEPS; s++) {
        const double start = bench_now(), start_cpu = bench_cpu();
        step(t);
        *(s ? &took[s - 1] : &f->first) = bench_now() - start;
        *(s ? &cpu[s - 1] : &f->first_cpu) = bench_cpu() - start_cpu;
    }
    f->step = bench_median(took, STEPS);
    f->step_cpu = bench_median(cpu, STEPS);
    dal_nn_trainer_free(t);
}

static void train_again(const work *w, bench_figures *f)
{
    const double start = bench_now(), start_cpu = bench_cpu();
    dal_nn_trainer *t = begin(w);
    step(t);
    f->again = bench_now() - start - f->step;
    f->again_cpu = bench_cpu() - start_cpu - f->step_cpu;
    dal_nn_trainer_free(t);
}

static dal_status use_tile(void *ctx, int64_t i)
{
    const work *w = ctx;
    dal_nn_pass *p = dal_nn_ready_pass(w->ready, w->host, NULL);
    dal_status st = p ? draw_texts(NULL, i, DAL_NN_TILE, p->value[w->info.input]) : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = dal_nn_run(w->nn, w->weights, NULL, p, DAL_NN_TILE, w->info.input, w->info.output, NULL);
    dal_nn_pass_free(p);
    return st;
}

static void use(work *w, bench_figures *f)
{
    const int tiles = f->threads;
    double took[REPEATS], cpu[REPEATS];
    dal_nn_ready *ready = dal_nn_ready_new(w->nn, w->host, w->weights, NULL, NULL);
    w->ready = ready;
    for (int r = 0; ready && r < REPEATS; r++) {
        const double start = bench_now(), start_cpu = bench_cpu();
        w->host->parallel_for(w->host, tiles, use_tile, w);
        took[r] = (bench_now() - start) / (tiles * DAL_NN_TILE);
        cpu[r] = (bench_cpu() - start_cpu) / (tiles * DAL_NN_TILE);
    }
    f->sample = bench_median(took, REPEATS);
    f->sample_cpu = bench_median(cpu, REPEATS);
    dal_nn_ready_free(ready);
}

void bench_encoder(int threads, const char *backend, double born)
{
    dal_runtime *rt = bench_runtime(threads, 1);
    const dal_host *host = dal_runtime_host(rt, "encoder");
    dal_nn *nn = declare(host, strcmp(backend, "bf16") == 0);
    if (!nn) {
        printf("bench_nn net=encoder backend=bf16 skipped\n");
        dal_runtime_free(rt);
        return;
    }
    work w = {.host = host, .nn = nn, .info = {.struct_size = sizeof w.info}};
    dal_nn_describe(nn, &w.info);
    w.weights = dal_array(host, w.info.n_weights, sizeof *w.weights);
    if (!w.weights)
        bench_die("no memory for an encoder");
    bench_figures f = {.net = "encoder", .backend = backend, .batch = TEXTS, .threads = threads,
                       .adds = (double)w.info.multiply_adds};
    train(&w, born, &f);
    use(&w, &f);
    train_again(&w, &f);
    bench_report(host, &f);
    host->free(host, w.weights);
    dal_nn_free(nn);
    dal_runtime_free(rt);
}
