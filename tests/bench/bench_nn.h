/* What the files of bench_nn share. */
#ifndef TESTS_BENCH_NN_H
#define TESTS_BENCH_NN_H

#include <dal/host.h>

/* Of a network: a step and its processor time, the time to the first one, a sample in use; seconds. adds: multiply-adds of a
 * forward pass, a sample. */
typedef struct bench_figures {
    const char *net, *backend;
    int batch, threads;
    double step, step_cpu, first, sample, sample_cpu, adds;
} bench_figures;

/* Prints them, beside the machine's own limit. */
void bench_report(const dal_host *host, const bench_figures *f);
double bench_cpu(void);

/* An encoder as large as DistilBERT, of random weights. backend: openblas, or bf16, which is skipped where there is none. */
void bench_encoder(int threads, const char *backend);

#endif
