/* Networks in training and in use, through the tables of the shipped models: images or texts a second, with each back
 * end, beside the machine's own limit; peak memory; how long it takes to begin.
 *
 *     bench_nn [NET...] [BACKEND...] [threads=N]     a net of the table below, encoder;
 *                                                    openblas onednn bf16 (onednn's); 2
 *
 * One line a measurement. Batches of 64, two threads; the median step of a warm fit. Random images: SGD with momentum,
 * no augmentation. Random texts of 20 to 40 words of 10 000: Adam over all weights; fasttext has its own rule, a text a
 * step, whose 64 are told as one, over words and pairs of words. Of texts in use their words are looked up too. The
 * encoder's batches are 16 texts of 128 tokens. cpu_ms: processor time of all threads, of a step and of 64 samples in
 * use: on a busy machine the better clock (with threads=1, for threads that wait spin). of_gemm: multiply-adds against
 * those of sgemm of 1024^3 on all threads at that moment (training counts the forward pass three times). ready_ms: from
 * the start of the process (before its exec) to the beginning of the first step: libraries loaded, network declared,
 * all samples read, weights drawn; less the making of random samples. first_step_ms: the first step, which makes
 * oneDNN's primitives and is the first to touch most memory; begin_ms: ready_ms and what that step takes longer than a
 * warm one. again_ms: the same of a second fit in the process, of fresh weights on two batches, from its call on, as
 * the rounds of active learning have it. Each is measured in a process of its own, begun anew. */
#include "tests/bench/bench_nn.h"

#include <dal/linalg.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tests/bench/bench.h"

#define ALONE "alone" /* the first word of a process that measures one network */
#define N_NETS (sizeof nets / sizeof *nets)

extern const dal_plugin bilstm_LTX_dal_plugin, convnets_LTX_dal_plugin, fasttext_LTX_dal_plugin, mlp_LTX_dal_plugin,
    mobilenet_LTX_dal_plugin, resnet_LTX_dal_plugin, textcnn_LTX_dal_plugin, transformer_LTX_dal_plugin,
    vgg_LTX_dal_plugin;

static const bench_net nets[] = {{"lenet", &convnets_LTX_dal_plugin, {1, 28, 28}, 100, 4096, "sgd", 0, 0},
                                 {"cnn-small", &convnets_LTX_dal_plugin, {3, 32, 32}, 20, 1024, "sgd", 0, 0},
                                 {"resnet18", &resnet_LTX_dal_plugin, {3, 32, 32}, 5, 256, "sgd", 0, 0},
                                 {"deepal-mnist-net", &resnet_LTX_dal_plugin, {1, 28, 28}, 16, 1024, "sgd", 0, 0},
                                 {"wide-resnet-16-2", &resnet_LTX_dal_plugin, {3, 32, 32}, 10, 512, "sgd", 0, 0},
                                 {"vgg11", &vgg_LTX_dal_plugin, {3, 32, 32}, 10, 512, "sgd", 0, 0},
                                 {"vgg16", &vgg_LTX_dal_plugin, {3, 32, 32}, 6, 256, "sgd", 0, 0},
                                 {"mobilenet-v2", &mobilenet_LTX_dal_plugin, {3, 32, 32}, 8, 512, "sgd", 0, 0},
                                 {"mlp", &mlp_LTX_dal_plugin, {1, 28, 28}, 1500, 65536, "sgd", 0, 0},
                                 {"textcnn", &textcnn_LTX_dal_plugin, {0}, 60, 4096, "adam", 0, 0},
                                 {"bilstm", &bilstm_LTX_dal_plugin, {0}, 40, 2048, "adam", 0, 0},
                                 {"transformer", &transformer_LTX_dal_plugin, {0}, 60, 4096, "adam", 0, 0},
                                 {"fasttext", &fasttext_LTX_dal_plugin, {0}, 100, 4096, NULL, 59 * 64 + 640, 5}};

static int threads = 2;
static double born; /* when this process was begun, as bench_now tells it */

double bench_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
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
    printf("bench_nn net=%s backend=%s batch=%d threads=%d train_per_s=%.1f step_ms=%.3f train_of_gemm=%.2f "
           "infer_per_s=%.1f infer_of_gemm=%.2f train_cpu_ms=%.3f infer_cpu_ms=%.3f ready_ms=%.1f ready_cpu_ms=%.1f "
           "first_step_ms=%.1f begin_ms=%.1f begin_cpu_ms=%.1f again_ms=%.1f again_cpu_ms=%.1f peak_mib=%.0f "
           "gemm_gflops=%.0f\n", f->net, f->backend, f->batch, f->threads, f->batch / f->step, 1e3 * f->step,
           3 * f->adds * f->batch / f->step / peak, 1 / f->sample, f->adds / f->sample / peak, 1e3 * f->step_cpu,
           1e3 * f->sample_cpu * f->batch, 1e3 * f->ready, 1e3 * f->ready_cpu, 1e3 * f->first,
           1e3 * (f->ready + f->first - f->step), 1e3 * (f->ready_cpu + f->first_cpu - f->step_cpu), 1e3 * f->again,
           1e3 * f->again_cpu, (double)used.ru_maxrss / 1024, 2e-9 * peak);
    fflush(stdout);
}

static int is_asked(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], word) == 0)
            return 1;
    return 0;
}

static int n_asked(int argc, char **argv, const char *const *group)
{
    int n = 0;
    for (const char *const *g = group; *g; g++)
        n += is_asked(argc, argv, *g);
    return n;
}

/* Net i: its place in `nets`, or the number of these: the encoder. */
static const char *id_of(size_t i)
{
    return i < N_NETS ? nets[i].id : "encoder";
}

static void measure_one(size_t i, const char *backend)
{
    if (i < N_NETS)
        bench_model(&nets[i], threads, backend, born);
    else
        bench_encoder(threads, backend, born);
}

/* Those without convolutions have one f32; few of them have bf16. */
static int has_backend(size_t i, const char *backend)
{
    const int dense = i < N_NETS && (bench_is_texts(&nets[i]) || nets[i].plugin == &mlp_LTX_dal_plugin);
    if (strcmp(backend, "bf16") == 0)
        return !dense || nets[i].plugin == &transformer_LTX_dal_plugin;
    return strcmp(backend, "openblas") == 0 || (!dense && i < N_NETS);
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
    static const char *const backends[] = {"openblas", "onednn", "bf16", NULL};
    int failed = 0, any = is_asked(argc, argv, "encoder");
    if (argc == 6 && strcmp(argv[1], ALONE) == 0) {
        threads = atoi(argv[4]);
        born = strtod(argv[5], NULL);
        measure_one((size_t)atoi(argv[2]), argv[3]);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "threads=", 8) == 0)
            threads = atoi(argv[i] + 8) > 0 ? atoi(argv[i] + 8) : threads;
    for (size_t i = 0; i < N_NETS; i++)
        any |= is_asked(argc, argv, nets[i].id);
    for (size_t i = 0; i <= N_NETS; i++)
        for (const char *const *b = backends; *b; b++) {
            const int this_one = !n_asked(argc, argv, backends) || is_asked(argc, argv, *b);
            if (this_one && (!any || is_asked(argc, argv, id_of(i))) && has_backend(i, *b))
                measure_apart(i, *b, &failed);
        }
    return failed;
}
