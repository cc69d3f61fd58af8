/* A pool made for many short loops: training a small network issues hundreds of thousands of them, of
 * some 50 us each. So idle threads watch for work a little before they sleep, a loop is published with
 * one atomic store, and nobody waits for a thread that has not come to help.
 */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

/* How often an idle thread looks before it sleeps: 50 to 150 us, longer than the serial gap between two
 * loops of a training step and shorter than anybody would notice. */
#define SPINS 4096

/* In how many turns a thread does its share of many tasks. Neighbours go to one thread, because what they read
 * often lies side by side and memory is asked for it ahead; few enough at a time that nobody waits long for
 * the last. */
#define CLAIMS 64

/* The gate: who may come in, and who is in. Its three parts live in one word, so that a thread that
 * wakes late can never join a loop that is over. */
#define GATE_INSIDE 0xffffffffull /* workers inside */
#define GATE_OPEN (1ull << 32) /* the loop accepts workers */
#define GATE_LOOP (1ull << 33)     /* number of the loop, from here up */
#define GATE_NUMBER (~(GATE_LOOP - 1))

struct pool {
    int32_t n_workers, spins;
    pthread_t *workers;

    /* The loop. Written only while the gate is shut and nobody is inside. */
    pool_task *task;
    void *ctx;
    int64_t n, claim;  /* indices a thread takes at a time */
    int64_t failed;    /* the lowest index that failed; n: none */
    dal_status status;

    _Alignas(64) atomic_int_least64_t next; /* lowest index nobody has claimed */
    _Alignas(64) atomic_uint_least64_t gate;
    _Alignas(64) atomic_int busy; /* a loop is running: others run theirs alone */
    atomic_int asleep, awaited, stop;
    pthread_mutex_t lock; /* failed, status; and for sleeping */
    pthread_cond_t work, done;
};

static inline void relax(void)
{
#if defined(__SSE2__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Denormals count as zero in all tasks, whoever runs them: confident softmaxes are full of them and they
 * cost a factor of two. Returns the mode to go back to. */
static uint64_t flush_denormals(void)
{
#if defined(__SSE2__)
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040u); /* flush to zero, denormals are zero */
    return mode;
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (1ull << 24)));
    return mode;
#else
    return 0;
#endif
}

static void restore_denormals(uint64_t mode)
{
#if defined(__SSE2__)
    _mm_setcsr((unsigned)mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#else
    (void)mode;
#endif
}

/* Remember the lowest failure and let nobody claim more. Indices are claimed in ascending order and a
 * claimed one is always run, or one before it in its claim has failed: so the lowest failure does not depend
 * on timing. */
static void fail(pool *p, int64_t i, dal_status st)
{
    pthread_mutex_lock(&p->lock);
    if (i < p->failed) {
        p->failed = i;
        p->status = st;
    }
    pthread_mutex_unlock(&p->lock);
    atomic_store(&p->next, p->n);
}

static void run_share(pool *p)
{
    for (;;) {
        const int64_t first = atomic_fetch_add_explicit(&p->next, p->claim, memory_order_relaxed);
        const int64_t end = first + p->claim < p->n ? first + p->claim : p->n;
        dal_status st = DAL_OK;
        if (first >= p->n)
            return;
        for (int64_t i = first; st == DAL_OK && i < end; i++) {
            st = p->task(p->ctx, i);
            if (st != DAL_OK)
                fail(p, i, st);
        }
    }
}

/* ---- the worker's side ------------------------------------------------------------------------ */

static uint64_t gate_number(pool *p)
{
    return atomic_load(&p->gate) & GATE_NUMBER;
}

/* Returns when a loop other than number `seen` has begun, with its number. */
static uint64_t await_loop(pool *p, uint64_t seen)
{
    uint64_t number = gate_number(p);
    for (int32_t i = 0; number == seen && i < p->spins; i++) {
        relax();
        number = gate_number(p);
    }
    if (number != seen)
        return number;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->asleep, 1); /* before the last look: pool_run looks the other way round */
    while ((number = gate_number(p)) == seen)
        pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->asleep, 1);
    pthread_mutex_unlock(&p->lock);
    return number;
}

static int enter(pool *p, uint64_t number)
{
    uint64_t gate = atomic_load(&p->gate);
    while ((gate & (GATE_NUMBER | GATE_OPEN)) == (number | GATE_OPEN))
        if (atomic_compare_exchange_weak(&p->gate, &gate, gate + 1))
            return 1;
    return 0;
}

static void leave(pool *p)
{
    const uint64_t before = atomic_fetch_sub(&p->gate, 1);
    if ((before & (GATE_OPEN | GATE_INSIDE)) == 1 && atomic_load(&p->awaited)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
}

static void *worker(void *arg)
{
    pool *p = arg;
    flush_denormals();
    for (uint64_t seen = 0;;) {
        seen = await_loop(p, seen);
        if (atomic_load(&p->stop))
            return NULL;
        if (enter(p, seen)) {
            run_share(p);
            leave(p);
        }
    }
}

/* ---- the caller's side ------------------------------------------------------------------------ */

static void wake_sleepers(pool *p)
{
    if (atomic_load(&p->asleep) == 0)
        return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
}

static int anybody_inside(pool *p)
{
    return (atomic_load(&p->gate) & GATE_INSIDE) != 0;
}

static void await_leavers(pool *p)
{
    for (int32_t i = 0; anybody_inside(p) && i < p->spins; i++)
        relax();
    if (!anybody_inside(p))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->awaited, 1);
    while (anybody_inside(p))
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->awaited, 0);
    pthread_mutex_unlock(&p->lock);
}

static dal_status run_alone(int64_t n, pool_task *task, void *ctx)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        st = task(ctx, i);
    return st;
}

static dal_status run_together(pool *p, int64_t n, pool_task *task, void *ctx)
{
    p->task = task;
    p->ctx = ctx;
    p->n = p->failed = n;
    p->claim = n / (CLAIMS * (p->n_workers + 1)) + 1;
    p->status = DAL_OK;
    atomic_store(&p->next, 0);
    atomic_store(&p->gate, (gate_number(p) + GATE_LOOP) | GATE_OPEN);
    wake_sleepers(p);
    run_share(p);
    atomic_fetch_and(&p->gate, ~GATE_OPEN);
    await_leavers(p);
    return p->status;
}

dal_status pool_run(pool *p, int64_t n, pool_task *task, void *ctx)
{
    dal_status st;
    int idle = 0;
    const uint64_t mode = flush_denormals();
    if (n > 1 && p->n_workers > 0 && atomic_compare_exchange_strong(&p->busy, &idle, 1)) {
        st = run_together(p, n, task, ctx);
        atomic_store(&p->busy, 0);
    } else {
        st = run_alone(n, task, ctx);
    }
    restore_denormals(mode);
    return st;
}

/* ---- life ------------------------------------------------------------------------------------- */

int32_t pool_cpus(void)
{
    for (int size = 1024; size <= 1 << 20; size *= 2) { /* the kernel says EINVAL while it is too small */
        cpu_set_t *set = CPU_ALLOC((size_t)size);
        if (!set)
            return 1;
        const size_t bytes = CPU_ALLOC_SIZE((size_t)size);
        const int n = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (n > 0)
            return n;
    }
    return 1;
}

/* Signals are for the program's own threads. */
static int start_worker(pool *p, pthread_t *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(thread, NULL, worker, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

pool *pool_new(int32_t threads, dal_error *err)
{
    pool *p = NULL;
    if (posix_memalign((void **)&p, 64, sizeof *p)) {
        dal_fail(err, DAL_E_NOMEM, "threads", "no memory for a pool of %d threads", threads);
        return NULL;
    }
    memset(p, 0, sizeof *p);
    p->spins = threads <= pool_cpus() ? SPINS : 0; /* never watch where another thread could work */
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->workers = calloc((size_t)threads, sizeof *p->workers);
    int failed = p->workers ? 0 : ENOMEM;
    while (!failed && p->n_workers < threads - 1) {
        failed = start_worker(p, &p->workers[p->n_workers]);
        p->n_workers += !failed;
    }
    if (failed) {
        dal_fail(err, DAL_E_NOMEM, "threads", "only %d of %d threads could be started (%s); ask for fewer",
                 p->n_workers + 1, threads, strerror(failed));
        pool_free(p);
        return NULL;
    }
    return p;
}

void pool_free(pool *p)
{
    if (!p)
        return;
    atomic_store(&p->stop, 1);
    atomic_fetch_add(&p->gate, GATE_LOOP);
    wake_sleepers(p);
    for (int32_t i = 0; i < p->n_workers; i++)
        pthread_join(p->workers[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}

int32_t pool_threads(const pool *p)
{
    return p->n_workers + 1;
}
