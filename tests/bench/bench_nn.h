/* What the files of bench_nn share. */
#ifndef TESTS_BENCH_NN_H
#define TESTS_BENCH_NN_H

#include <dal/data.h>
#include <dal/host.h>
#include <dal/plugin.h>

#define BENCH_BATCH 64
#define BENCH_CLASSES 10

/* A shipped model and what it is measured on. shape: of an image; all 0: texts. optimizer NULL: it has one of its own.
 * adds: multiply-adds of a sample where the model is not made of layers, which know; else 0. epochs: it tells of
 * epochs, not of steps, and is given so many of them; else 0. */
typedef struct bench_net {
    const char *id;
    const dal_plugin *plugin;
    int64_t shape[3], steps, n_infer;
    const char *optimizer;
    double adds;
    int epochs;
} bench_net;

int bench_is_texts(const bench_net *t);

/* Of a network: a step, the time from the start of the process to the first one, that one, what a second fit takes
 * until its first step is over beyond a warm one, a sample in use, and the processor time of each; seconds. adds:
 * multiply-adds of a forward pass, a sample. */
typedef struct bench_figures {
    const char *net, *backend;
    int batch, threads;
    double step, step_cpu, ready, ready_cpu, first, first_cpu, again, again_cpu, sample, sample_cpu, adds;
} bench_figures;

/* Prints them, beside the machine's own limit. */
void bench_report(const dal_host *host, const bench_figures *f);
double bench_cpu(void);

/* A network of `nets`, in a process of its own. born: when that was begun. */
void bench_model(const bench_net *t, int threads, const char *backend, double born);

/* An encoder as large as DistilBERT, of random weights. backend: openblas, or bf16, which is skipped where there is
 * none. born: when the process was begun. */
void bench_encoder(int threads, const char *backend, double born);

/* Random samples, n of them, and their classes. */
typedef struct bench_samples {
    dal_samples list;
    unsigned char *data;
    int64_t *offsets; /* of texts: [n + 1]; else NULL */
    int64_t *ids;
    int32_t *classes;
} bench_samples;

/* Texts have BENCH_LEAST to BENCH_MOST words of BENCH_WORDS different ones, all equally often. */
#define BENCH_LEAST 20
#define BENCH_MOST 40
#define BENCH_WORDS 10000
void bench_samples_make(bench_samples *s, const bench_net *t, int64_t n);
/* Samples first..first + n - 1 as they lie. */
dal_batch bench_samples_batch(const bench_samples *s, int64_t first, int64_t n);
void bench_samples_free(bench_samples *s);

#endif
