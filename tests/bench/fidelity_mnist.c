/* Does mlp learn what scikit-learn's MLPClassifier learns? 700 random labels of MNIST's 60,000, its
 * defaults, 10 seeds: 87 to 88 % of the 10,000 test images in the mean. */
#include "tests/bench/bench.h"

#include "plugins/models/mlp.c"

#define N_LABELS 700
#define N_SEEDS 10
#define BLOCK 250

typedef struct evaluation {
    const bench_images *test;
    void *model;
    int64_t hits[40]; /* of a block */
} evaluation;

static dal_status count_hits(void *ctx, int64_t i)
{
    evaluation *e = ctx;
    const dal_sample_spec spec = {.struct_size = sizeof spec, .modality = DAL_IMAGE, .dtype = DAL_U8,
                                  .ndim = 3, .shape = {1, 28, 28}, .n_classes = 10};
    const dal_batch x = {.struct_size = sizeof x, .spec = &spec, .n = BLOCK,
                         .data = e->test->pixels + i * BLOCK * e->test->width};
    float z[BLOCK * 10];
    const dal_status st = impl.predict(e->model, &x, z, NULL);
    e->hits[i] = 0;
    for (int64_t j = 0; j < BLOCK; j++) {
        int best = 0;
        for (int k = 1; k < 10; k++)
            best = z[j * 10 + k] > z[j * 10 + best] ? k : best;
        e->hits[i] += best == e->test->classes[i * BLOCK + j];
    }
    return st;
}

static double one_seed(uint64_t seed, const bench_images *train, const bench_images *test)
{
    const options o = {.hidden = {(const int64_t[]){100}, 1}, .learning_rate = 1e-3, .beta1 = 0.9,
                       .beta2 = 0.999, .epsilon = 1e-8, .alpha = 1e-4, .epochs = 200, .tol = 1e-4,
                       .n_iter_no_change = 10, .mc_dropout = 0.5};
    dal_runtime *rt = bench_runtime(2, seed);
    const dal_host *host = dal_runtime_host(rt, "mlp");
    int64_t *order = malloc((size_t)train->n * sizeof *order);
    dal_rng rng = host->rng(host, "initial", 0);
    for (int64_t i = 0; i < train->n; i++)
        order[i] = i;
    dal_rng_shuffle(&rng, order, train->n, N_LABELS);

    bench_list list;
    bench_pick(&list, train, order, N_LABELS);
    evaluation e = {.test = test};
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit f = {.struct_size = sizeof f, .train = &list.s};
    if (impl.create(host, &o, &list.s.spec, &e.model, &err) != DAL_OK)
        bench_die(err.text);
    const double start = bench_now();
    if (impl.fit(e.model, &f, &report, &err) != DAL_OK)
        bench_die(err.text);
    const double trained = bench_now();
    if (host->parallel_for(host, test->n / BLOCK, count_hits, &e) != DAL_OK)
        bench_die("predict failed");
    const double done = bench_now();

    int64_t hits = 0;
    for (int64_t i = 0; i < test->n / BLOCK; i++)
        hits += e.hits[i];
    const double accuracy = (double)hits / (double)test->n;
    printf("fidelity_mnist seed=%llu labels=%d accuracy=%.4f epochs=%lld loss=%.5f fit_ms=%.1f "
           "predict_ms=%.1f\n", (unsigned long long)seed, N_LABELS, accuracy, (long long)report.epochs,
           report.loss, 1e3 * (trained - start), 1e3 * (done - trained));
    impl.destroy(e.model);
    bench_list_free(&list);
    free(order);
    dal_runtime_free(rt);
    return accuracy;
}

int main(void)
{
    bench_images train, test;
    if (!bench_mnist("train", &train) || !bench_mnist("t10k", &test)) {
        printf("fidelity_mnist skipped: no data (set DAL_DATA_PATH)\n");
        return 0;
    }
    double mean = 0, low = 1, high = 0;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        const double a = one_seed(seed, &train, &test);
        mean += a / N_SEEDS;
        low = a < low ? a : low;
        high = a > high ? a : high;
    }
    printf("fidelity_mnist seeds=%d mean=%.4f min=%.4f max=%.4f expected=0.87..0.88\n", N_SEEDS, mean, low,
           high);
    free(train.pixels);
    free(train.classes);
    free(test.pixels);
    free(test.classes);
    return mean >= 0.87 && mean <= 0.885 ? 0 : 1;
}
