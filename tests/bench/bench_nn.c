/* Networks in training and in use, through the tables of the shipped models: images a second, with each back end, beside
 * the machine's own limit; peak memory; how long it takes to begin.
 *
 *     bench_nn [NET...] [BACKEND...] [threads=N]     lenet cnn-small resnet18 deepal-mnist-net mlp encoder;
 *                                                    openblas onednn bf16 (onednn's); 2
 *
 * One line a measurement. Random images, batches of 64, SGD with momentum, two threads, no augmentation; the median step of
 * a warm fit; the encoder's batches are 16 texts. cpu_ms: processor time of all threads, of a step and of 64 images in use: on a busy machine the better clock
 * (with threads=1, for threads that wait spin). of_gemm: multiply-adds against those of sgemm of 1024^3 on all threads at that moment (training counts the
 * forward pass three times). ready_ms: from the start of the process (before its exec) to the beginning of the first step:
 * libraries loaded, network declared, all samples read, weights drawn; less the making of random images. first_step_ms: the first
 * step, which makes oneDNN's primitives and is the first to touch most memory; begin_ms: ready_ms and what that step takes longer
 * than a warm one. Each is measured in a process of its own, begun anew. */
#include "tests/bench/bench_nn.h"

#include <dal/linalg.h>
#include <dal/plugin.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "sdk/lib/model/nn_model.h"
#include "tests/bench/bench.h"

#define BATCH 64
#define MAX_STEPS 4000
#define REPEATS 5
#define ALONE "alone" /* the first word of a process that measures one network */

extern const dal_plugin convnets_LTX_dal_plugin, resnet_LTX_dal_plugin, mlp_LTX_dal_plugin;

typedef struct net {
    const char *id;
    const dal_plugin *plugin;
    int64_t shape[3], steps, n_infer;
} net;

static const net nets[] = {{"lenet", &convnets_LTX_dal_plugin, {1, 28, 28}, 100, 4096},
                           {"cnn-small", &convnets_LTX_dal_plugin, {3, 32, 32}, 20, 1024},
                           {"resnet18", &resnet_LTX_dal_plugin, {3, 32, 32}, 5, 256},
                           {"deepal-mnist-net", &resnet_LTX_dal_plugin, {1, 28, 28}, 16, 1024},
                           {"mlp", &mlp_LTX_dal_plugin, {1, 28, 28}, 1500, 65536}};

static int threads = 2;
static double born; /* when this process was begun, as bench_now tells it */

/* ---- a component's options ---------------------------------------------------------------------- */

/* The place of `word` in "a|b|c". */
static uint32_t choice_of(const char *domain, const char *word)
{
    uint32_t at = 0;
    const size_t n = strlen(word);
    for (const char *p = domain; p; at++) {
        if (strncmp(p, word, n) == 0 && (p[n] == '|' || p[n] == '\0'))
            return at;
        p = strchr(p, '|');
        p = p ? p + 1 : NULL;
    }
    bench_die(word);
    return 0;
}

static void set_one(const dal_param *p, char *options, const char *text)
{
    static const int64_t hidden[] = {256};
    const int64_t i64 = atoll(text);
    const double f64 = atof(text);
    const int32_t yes = strcmp(text, "true") == 0;
    const uint32_t choice = p->type == DAL_PARAM_CHOICE ? choice_of(p->domain, text) : 0;
    const dal_i64_list list = {hidden, strcmp(p->name, "hidden") == 0};
    if (p->type == DAL_PARAM_F64)
        memcpy(options + p->offset, &f64, sizeof f64);
    else if (p->type == DAL_PARAM_I64)
        memcpy(options + p->offset, &i64, sizeof i64);
    else if (p->type == DAL_PARAM_BOOL)
        memcpy(options + p->offset, &yes, sizeof yes);
    else if (p->type == DAL_PARAM_CHOICE)
        memcpy(options + p->offset, &choice, sizeof choice);
    else if (p->type == DAL_PARAM_I64S)
        memcpy(options + p->offset, &list, sizeof list);
    else
        bench_die("a parameter of a type this does not know");
}

static void set(const dal_component *c, char *options, const char *name, const char *text)
{
    for (int64_t i = 0; i < c->n_params; i++) {
        const dal_param *p = (const dal_param *)((const char *)c->params + (size_t)i * c->param_size);
        if (!name)
            set_one(p, options, p->def);
        else if (strcmp(p->name, name) == 0)
            set_one(p, options, text);
    }
}

/* ---- what is measured --------------------------------------------------------------------------- */

typedef struct watch {
    double at[MAX_STEPS], cpu[MAX_STEPS]; /* when each step began */
    int n;
} watch;

double bench_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The median of what lies between n times; leaves them changed. */
static double median_step(double *at, int n)
{
    for (int i = n - 1; i > 0; i--)
        at[i] -= at[i - 1];
    return bench_median(at + 1, n - 1);
}

static void step_begins(void *ctx, const char *component, int64_t done, int64_t total, const char *what)
{
    watch *w = ctx;
    (void)component, (void)done, (void)total, (void)what;
    if (w->n == MAX_STEPS)
        return;
    w->cpu[w->n] = bench_cpu();
    w->at[w->n++] = bench_now();
}

typedef struct use {
    const dal_model_impl *impl;
    void *self;
    const dal_sample_spec *spec;
    unsigned char *pixels;
    float *out;
} use;

static dal_status use_block(void *ctx, int64_t i)
{
    const use *u = ctx;
    const int64_t bytes = dal_sample_bytes(u->spec);
    const dal_batch x = {.struct_size = sizeof x, .spec = u->spec, .n = BATCH, .data = u->pixels + i * BATCH * bytes};
    return u->impl->predict(u->self, &x, u->out + i * BATCH * 10, NULL);
}

static dal_status gemm_task(void *ctx, int64_t i)
{
    float *x = (float *)ctx + i * 3 * 1024 * 1024;
    return dal_gemm_nn(1024, 1024, 1024, 1, x, 1024, x + 1024 * 1024, 1024, 0, x + 2 * 1024 * 1024, 1024);
}

/* Multiply-adds a second of sgemm on all threads. */
static double limit(const dal_host *host)
{
    double best = 1e9;
    float *x = calloc((size_t)threads * 3 * 1024 * 1024, sizeof *x);
    for (int r = 0; r < 5; r++) {
        const double start = bench_now();
        host->parallel_for(host, threads, gemm_task, x);
        best = bench_now() - start < best ? bench_now() - start : best;
    }
    free(x);
    return threads * 1073741824.0 / best;
}

void bench_report(const dal_host *host, const bench_figures *f)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    const double peak = limit(host);
    printf("bench_nn net=%s backend=%s batch=%d threads=%d train_per_s=%.1f step_ms=%.3f train_of_gemm=%.2f infer_per_s=%.1f "
           "infer_of_gemm=%.2f train_cpu_ms=%.3f infer_cpu_ms=%.3f ready_ms=%.1f ready_cpu_ms=%.1f first_step_ms=%.1f "
           "begin_ms=%.1f begin_cpu_ms=%.1f peak_mib=%.0f gemm_gflops=%.0f\n", f->net, f->backend, f->batch, f->threads,
           f->batch / f->step, 1e3 * f->step, 3 * f->adds * f->batch / f->step / peak, 1 / f->sample, f->adds / f->sample / peak,
           1e3 * f->step_cpu, 1e3 * f->sample_cpu * f->batch, 1e3 * f->ready, 1e3 * f->ready_cpu, 1e3 * f->first,
           1e3 * (f->ready + f->first - f->step), 1e3 * (f->ready_cpu + f->first_cpu - f->step_cpu), (double)used.ru_maxrss / 1024, 2e-9 * peak);
    fflush(stdout);
}

static bench_images random_images(const net *t)
{
    bench_images all = {.n = t->n_infer > t->steps * BATCH ? t->n_infer : t->steps * BATCH,
                        .width = t->shape[0] * t->shape[1] * t->shape[2]};
    dal_rng r = dal_rng_from_key(1);
    all.pixels = malloc((size_t)(all.n * all.width));
    all.classes = malloc((size_t)all.n * sizeof *all.classes);
    for (int64_t i = 0; i < all.n * all.width; i++)
        all.pixels[i] = (unsigned char)(dal_rng_u32(&r) >> 24);
    for (int64_t i = 0; i < all.n; i++)
        all.classes[i] = (int32_t)(i % 10);
    return all;
}

static void *create(const dal_host *host, const dal_component *c, const char *backend, const dal_sample_spec *spec)
{
    const dal_model_impl *impl = c->impl;
    double options[64];
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    if (c->options_size > sizeof options)
        bench_die("options");
    set(c, (char *)options, NULL, NULL);
    const int bf16 = strcmp(backend, "bf16") == 0;
    set(c, (char *)options, "backend", bf16 ? "onednn" : backend);
    if (bf16)
        set(c, (char *)options, "precision", "bf16");
    set(c, (char *)options, "optimizer", "sgd");
    set(c, (char *)options, "learning_rate", "0.001");
    set(c, (char *)options, "batch_size", "64");
    set(c, (char *)options, "epochs", "1");
    set(c, (char *)options, "crop", "0");
    set(c, (char *)options, "flip", "false");
    const dal_status st = impl->create(host, options, spec, &self, &err);
    if (st == DAL_E_UNSUPPORTED && bf16) {
        printf("bench_nn net=%s backend=bf16 skipped (%s)\n", c->id, err.text);
        fflush(stdout);
        _exit(0);
    }
    if (st != DAL_OK)
        bench_die(err.text);
    return self;
}

static void measure(const net *t, const dal_component *c, const char *backend)
{
    watch w = {.n = 0};
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = threads, .seed = 1, .ctx = &w,
                                       .progress = step_begins};
    dal_runtime *rt = dal_runtime_new(&config, NULL);
    const dal_host *host = dal_runtime_host(rt, t->id);
    const dal_model_impl *impl = c->impl;
    const double before = bench_now(), before_cpu = bench_cpu();
    bench_images all = random_images(t);
    int64_t *ids = malloc((size_t)all.n * sizeof *ids);
    for (int64_t i = 0; i < all.n; i++)
        ids[i] = i;
    bench_list list;
    bench_pick(&list, &all, ids, t->steps * BATCH);
    memcpy(list.s.spec.shape, t->shape, sizeof t->shape);
    born += bench_now() - before;
    const double made_cpu = bench_cpu() - before_cpu;
    void *self = create(host, c, backend, &list.s.spec);
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit f = {.struct_size = sizeof f, .warm = 1, .train = &list.s};
    if (impl->fit(self, &f, &report, &err) != DAL_OK)
        bench_die(err.text);
    const double ready = w.at[0] - born, first = w.at[1] - w.at[0];
    const double ready_cpu = w.cpu[0] - made_cpu, first_cpu = w.cpu[1] - w.cpu[0];
    const double step = median_step(w.at, w.n), step_cpu = median_step(w.cpu, w.n);
    double infer[REPEATS], infer_cpu[REPEATS];
    use u = {impl, self, &list.s.spec, all.pixels, malloc((size_t)t->n_infer * 10 * sizeof(float))};
    for (int r = 0; r < REPEATS; r++) {
        const double start = bench_now(), start_cpu = bench_cpu();
        host->parallel_for(host, t->n_infer / BATCH, use_block, &u);
        infer[r] = (bench_now() - start) / (double)t->n_infer;
        infer_cpu[r] = (bench_cpu() - start_cpu) / (double)t->n_infer;
    }
    const bench_figures figures = {t->id, backend, BATCH, threads, step, step_cpu, ready, ready_cpu, first, first_cpu,
                                   bench_median(infer, REPEATS), bench_median(infer_cpu, REPEATS), (double)((dal_nn_model *)self)->info.multiply_adds};
    bench_report(host, &figures);
    impl->destroy(self);
    bench_list_free(&list);
    free(ids);
    free(u.out);
    free(all.pixels);
    free(all.classes);
    dal_runtime_free(rt);
}

static const dal_component *component_of(const net *t)
{
    for (const dal_component *const *c = t->plugin->components; *c; c++)
        if (strcmp((*c)->id, t->id) == 0)
            return *c;
    bench_die(t->id);
    return NULL;
}

static int asked(int argc, char **argv, const char *word, const char *const *group)
{
    int any = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], word) == 0)
            return 1;
        for (const char *const *g = group; *g; g++)
            any |= strcmp(argv[i], *g) == 0;
    }
    return !any;
}

/* Which of them: its place in `nets`, or the number of these: the encoder. */
static void measure_one(size_t i, const char *backend)
{
    if (i < sizeof nets / sizeof *nets)
        measure(&nets[i], component_of(&nets[i]), backend);
    else
        bench_encoder(threads, backend, born);
}

/* By this program again, told what to measure and when it was begun. */
static void measure_apart(size_t i, const char *backend, int *failed)
{
    char which[32], wide[32], when[64];
    int how;
    snprintf(which, sizeof which, "%zu", i);
    snprintf(wide, sizeof wide, "%d", threads);
    snprintf(when, sizeof when, "%a", bench_now());
    const pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "bench_nn", ALONE, which, backend, wide, when, (char *)NULL);
        _exit(1);
    }
    waitpid(child, &how, 0);
    *failed |= how != 0;
}

int main(int argc, char **argv)
{
    static const char *const ids[] = {"lenet", "cnn-small", "resnet18", "deepal-mnist-net", "mlp", "encoder", NULL};
    static const char *const backends[] = {"openblas", "onednn", "bf16", NULL};
    int failed = 0;
    if (argc == 6 && strcmp(argv[1], ALONE) == 0) {
        threads = atoi(argv[4]);
        born = strtod(argv[5], NULL);
        measure_one((size_t)atoi(argv[2]), argv[3]);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "threads=", 8) == 0)
            threads = atoi(argv[i] + 8) > 0 ? atoi(argv[i] + 8) : threads;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
        for (const char *const *b = backends; *b; b++) {
            const int dense = nets[i].plugin == &mlp_LTX_dal_plugin;
            if (asked(argc, argv, nets[i].id, ids) && asked(argc, argv, *b, backends) && (!dense || b == backends))
                measure_apart(i, *b, &failed);
        }
    for (const char *const *b = backends; *b; b++)
        if (strcmp(*b, "onednn") && asked(argc, argv, "encoder", ids) && asked(argc, argv, *b, backends))
            measure_apart(sizeof nets / sizeof *nets, *b, &failed);
    return failed;
}
