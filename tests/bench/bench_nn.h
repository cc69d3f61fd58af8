/* What the files of bench_nn share. */
#ifndef TESTS_BENCH_NN_H
#define TESTS_BENCH_NN_H

#include <dal/host.h>

/* Of a network: a step, the time from the start of the process to the first one, that one, a sample in use, and the processor
 * time of each; seconds. adds: multiply-adds of a
 * forward pass, a sample. */
typedef struct bench_figures {
    const char *net, *backend;
    int batch, threads;
    double step, step_cpu, ready, ready_cpu, first, first_cpu, sample, sample_cpu, adds;
} bench_figures;

/* Prints them, beside the machine's own limit. */
void bench_report(const dal_host *host, const bench_figures *f);
double bench_cpu(void);

/* An encoder as large as DistilBERT, of random weights. backend: openblas, or bf16, which is skipped where there is none. born: when the
 * process was begun. */
void bench_encoder(int threads, const char *backend, double born);

#endif
