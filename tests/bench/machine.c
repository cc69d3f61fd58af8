#include "tests/bench/machine.h"

#include <math.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "sdk/lib/clones.h"

#define SLICES 256 /* tasks of the bandwidth test */

timing summarise(double *seconds, int n)
{
    timing t = {.median = bench_median(seconds, n)}; /* which sorts them */
    t.best = seconds[0];
    for (int i = 0; i < n; i++)
        seconds[i] = fabs(seconds[i] - t.median);
    t.mad = bench_median(seconds, n);
    return t;
}

long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

float *take_floats(int64_t n)
{
    void *p = mmap(NULL, (size_t)n * sizeof(float), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        bench_die("no memory for the data");
    madvise(p, (size_t)n * sizeof(float), MADV_HUGEPAGE);
    return p;
}

void give_floats(float *p, int64_t n)
{
    munmap(p, (size_t)n * sizeof(float));
}

/* ---- the machine ------------------------------------------------------------------------------ */

typedef struct read_job {
    const uint32_t *data;
    int64_t n, streams;
    uint32_t sums[SLICES];
} read_job;

DAL_CLONES static uint32_t read_slice(const uint32_t *p, int64_t n, int64_t streams)
{
    uint32_t lane[32] = {0}, sum = 0;
    const int64_t each = n / streams / 32 * 32;
    for (int64_t k = 0; k < each; k += 32)
        for (int64_t s = 0; s < streams; s++)
            for (int l = 0; l < 32; l++)
                lane[l] += p[s * each + k + l];
    for (int l = 0; l < 32; l++)
        sum += lane[l];
    return sum;
}

static dal_status read_task(void *ctx, int64_t i)
{
    read_job *j = ctx;
    const int64_t each = j->n / SLICES;
    j->sums[i] = read_slice(j->data + i * each, each, j->streams);
    return DAL_OK;
}

double read_bandwidth(const dal_host *host, const float *data, int64_t n)
{
    static const int64_t streams[] = {1, 2, 4, 8};
    double best = INFINITY;
    read_job j = {.data = (const uint32_t *)(const void *)data, .n = n};
    for (int repeat = 0; repeat < 5; repeat++)
        for (int s = 0; s < 4; s++) {
            j.streams = streams[s];
            const double start = bench_now();
            host->parallel_for(host, SLICES, read_task, &j);
            const double seconds = bench_now() - start;
            best = seconds < best ? seconds : best;
        }
    return (double)n * sizeof(float) / best;
}
