/* pool.h: (libdal, private) the threads behind host->parallel_for. */
#ifndef DAL_LIB_POOL_H
#define DAL_LIB_POOL_H

#include <dal/base.h>

typedef struct pool pool;
typedef dal_status pool_task(void *ctx, int64_t i);

/* threads >= 1, the caller of pool_run among them. NULL with err filled when they cannot be had. */
pool *pool_new(int32_t threads, dal_error *err);
void pool_free(pool *p); /* accepts NULL */
int32_t pool_threads(const pool *p);

/* The contract of host->parallel_for. */
dal_status pool_run(pool *p, int64_t n, pool_task *task, void *ctx);

/* CPUs this process may run on. */
int32_t pool_cpus(void);

#endif
