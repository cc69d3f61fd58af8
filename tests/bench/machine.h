/* What the machine can do, and how repetitions are told. */
#ifndef TESTS_BENCH_MACHINE_H
#define TESTS_BENCH_MACHINE_H

#include "tests/bench/bench.h"

#define MAX_REPEATS 15

typedef struct timing {
    double median, mad, best; /* mad: the median deviation from the median */
} timing;
timing summarise(double *seconds, int n); /* sorts them */

long peak_kib(void);

/* Memory in huge pages where there are any; the program ends when there is none. */
float *take_floats(int64_t n);
void give_floats(float *p, int64_t n);

/* Bytes a second, the best of 1 to 8 streams a thread, over n floats: it is the best repetition of a measurement that
 * is held against it, as a machine shared with others disturbs both alike. */
double read_bandwidth(const dal_host *host, const float *data, int64_t n);

#endif
