#include <criterion/criterion.h>
#include <dal/linalg.h>
#include <dal/runtime.h>
#include <float.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static dal_runtime *new_runtime(int32_t threads)
{
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = threads, .seed = 7};
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = dal_runtime_new(&config, &err);
    cr_assert(rt, "%s", err.text);
    return rt;
}

/* ---- parallel_for ----------------------------------------------------------------------------- */

#define TASKS 1000

typedef struct {
    const dal_host *host;
    atomic_int runs[TASKS];
    int64_t fail_from;
    float denormal;
    atomic_int flushed;
} work;

static dal_status count(void *ctx, int64_t i)
{
    work *w = ctx;
    atomic_fetch_add(&w->runs[i], 1);
    return w->fail_from && i >= w->fail_from ? (dal_status)-i : DAL_OK;
}

Test(parallel_for, runs_every_index_once_with_any_number_of_threads)
{
    const int32_t threads[] = {1, 2, 3, 17};
    for (int t = 0; t < 4; t++) {
        dal_runtime *rt = new_runtime(threads[t]);
        const dal_host *h = dal_runtime_host(rt, "test");
        cr_assert_eq(h->threads(h), threads[t]);
        for (int64_t n = 0; n <= TASKS; n = n * 3 + 1) {
            work w = {0};
            cr_assert_eq(h->parallel_for(h, n, count, &w), DAL_OK);
            for (int64_t i = 0; i < TASKS; i++)
                cr_assert_eq(atomic_load(&w.runs[i]), i < n);
        }
        dal_runtime_free(rt);
    }
}

Test(parallel_for, returns_the_status_of_the_lowest_index_that_failed)
{
    dal_runtime *rt = new_runtime(4);
    const dal_host *h = dal_runtime_host(rt, "test");
    for (int i = 0; i < 200; i++) {
        work w = {.fail_from = 1 + i % 50};
        cr_assert_eq(h->parallel_for(h, TASKS, count, &w), -w.fail_from);
    }
    dal_runtime_free(rt);
}

Test(parallel_for, survives_many_tiny_loops)
{
    dal_runtime *rt = new_runtime(3);
    const dal_host *h = dal_runtime_host(rt, "test");
    work w = {0};
    for (int i = 0; i < 20000; i++) {
        if (i % 2000 == 1999)
            usleep(2000); /* let the workers fall asleep */
        cr_assert_eq(h->parallel_for(h, 4, count, &w), DAL_OK);
    }
    for (int i = 0; i < 4; i++)
        cr_assert_eq(atomic_load(&w.runs[i]), 20000);
    dal_runtime_free(rt);
}

static dal_status nest(void *ctx, int64_t i)
{
    work *w = ctx;
    (void)i;
    return w->host->parallel_for(w->host, TASKS, count, w);
}

Test(parallel_for, may_be_called_from_inside_a_task)
{
    dal_runtime *rt = new_runtime(4);
    work w = {.host = dal_runtime_host(rt, "test")};
    cr_assert_eq(w.host->parallel_for(w.host, 8, nest, &w), DAL_OK);
    for (int i = 0; i < TASKS; i++)
        cr_assert_eq(atomic_load(&w.runs[i]), 8);
    dal_runtime_free(rt);
}

static void *outsider(void *arg)
{
    for (int i = 0; i < 200; i++)
        if (nest(arg, 0) != DAL_OK)
            return arg;
    return NULL;
}

Test(parallel_for, may_be_called_by_several_threads_at_once)
{
    dal_runtime *rt = new_runtime(2);
    work w = {.host = dal_runtime_host(rt, "test")};
    pthread_t t[3];
    void *failed;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, outsider, &w), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &failed);
        cr_assert_null(failed);
    }
    for (int i = 0; i < TASKS; i++)
        cr_assert_eq(atomic_load(&w.runs[i]), 600);
    dal_runtime_free(rt);
}

static dal_status halve(void *ctx, int64_t i)
{
    work *w = ctx;
    volatile float x = w->denormal;
    (void)i;
    usleep(10);
    if (x * 0.5f == 0)
        atomic_fetch_add(&w->flushed, 1);
    return DAL_OK;
}

Test(parallel_for, flushes_denormals_in_every_task_and_nowhere_else)
{
#if defined(__SSE2__) || defined(__aarch64__)
    const int32_t threads[] = {1, 3};
    for (int t = 0; t < 2; t++) {
        dal_runtime *rt = new_runtime(threads[t]);
        const dal_host *h = dal_runtime_host(rt, "test");
        work w = {.denormal = FLT_MIN};
        cr_assert_eq(h->parallel_for(h, 100, halve, &w), DAL_OK);
        cr_assert_eq(atomic_load(&w.flushed), 100);
        volatile float x = w.denormal;
        cr_assert(x * 0.5f > 0, "the caller's own mode is put back");
        dal_runtime_free(rt);
    }
#endif
}

typedef struct {
    const float *x, *w;
    float *out;
} product;

static dal_status multiply_tile(void *ctx, int64_t i)
{
    product *p = ctx;
    return dal_gemm_nt(32, 64, 96, 1, p->x + i * 32 * 96, 96, p->w, 96, 0, p->out + i * 32 * 64, 64);
}

Test(parallel_for, gives_the_same_bits_with_one_thread_and_with_many)
{
    float *x = malloc(32 * 8 * 96 * sizeof *x), *w = malloc(64 * 96 * sizeof *w);
    float *out = malloc(2 * 32 * 8 * 64 * sizeof *out);
    for (int i = 0; i < 32 * 8 * 96; i++)
        x[i] = (float)(i % 101) * 0.037f - 1;
    for (int i = 0; i < 64 * 96; i++)
        w[i] = (float)(i % 89) * 0.041f - 1;
    for (int t = 0; t < 2; t++) {
        dal_runtime *rt = new_runtime(t ? 5 : 1);
        const dal_host *h = dal_runtime_host(rt, "test");
        product p = {x, w, out + t * 32 * 8 * 64};
        cr_assert_eq(h->parallel_for(h, 8, multiply_tile, &p), DAL_OK);
        dal_runtime_free(rt);
    }
    cr_assert_arr_eq(out, out + 32 * 8 * 64, 32 * 8 * 64 * sizeof *out);
    free(x);
    free(w);
    free(out);
}

Test(runtime, refuses_impossible_thread_counts)
{
    dal_runtime_config config = {.struct_size = sizeof config, .threads = -1};
    dal_error err = DAL_ERROR_INIT;
    cr_assert_null(dal_runtime_new(&config, &err));
    cr_assert_eq(err.status, DAL_E_INVALID);
    cr_assert_str_eq(err.key, "threads");
    config.threads = 5000;
    cr_assert_null(dal_runtime_new(&config, NULL));
    config.threads = 0;
    dal_runtime *rt = dal_runtime_new(&config, &err);
    cr_assert_geq(dal_runtime_host(rt, "x")->threads(dal_runtime_host(rt, "x")), 1);
    dal_runtime_free(rt);
}

/* ---- memory ----------------------------------------------------------------------------------- */

Test(runtime_alloc, aligns_and_counts_what_it_gives)
{
    dal_runtime *rt = new_runtime(1);
    const dal_host *h = dal_runtime_host(rt, "test");
    void *p[12];
    int64_t total = 0;
    for (int i = 0; i < 12; i++) {
        const size_t align = (size_t)1 << i, bytes = (size_t)(100 * i);
        p[i] = h->alloc(h, bytes, align);
        cr_assert_eq((uintptr_t)p[i] % align, 0);
        memset(p[i], i, bytes);
        total += (int64_t)bytes;
        cr_assert_eq(dal_runtime_allocated(rt), total);
    }
    for (int i = 0; i < 12; i++)
        h->free(h, p[i]);
    h->free(h, NULL);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    cr_assert_eq(dal_runtime_most_allocated(rt), total);
    void *q = h->alloc(h, 1, 0);
    cr_assert_eq(dal_runtime_most_allocated(rt), total);
    cr_assert_eq((uintptr_t)q % 64, 0);
    h->free(h, q);
    cr_assert_null(h->alloc(h, 8, 48));
    cr_assert_null(h->alloc(h, SIZE_MAX, 64));
    dal_runtime_free(rt);
}

Test(runtime_alloc, fails_exactly_the_call_it_is_told_to)
{
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = 3};
    dal_runtime *rt = dal_runtime_new(&config, NULL);
    const dal_host *h = dal_runtime_host(rt, "test");
    for (int call = 1; call <= 6; call++) {
        void *p = h->alloc(h, 10, 0);
        cr_assert_eq(p == NULL, call == 3);
        h->free(h, p);
    }
    dal_runtime_free(rt);
}

Test(runtime_temp, gives_zeroed_memory_that_leaves_no_file)
{
    dal_runtime *rt = new_runtime(1);
    const dal_host *h = dal_runtime_host(rt, "test");
    const size_t bytes = 1000003;
    void *data = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(h->temp_map(h, bytes, &data, &err), DAL_OK, "%s", err.text);
    unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++)
        cr_assert_eq(p[i], 0);
    memset(p, 1, bytes);
    h->temp_unmap(h, data, bytes);
    dal_runtime_free(rt);
}

Test(runtime_temp, says_where_it_could_not_create_and_how_much_did_not_fit)
{
    dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .temp_dir = "/no/such/dir"};
    dal_runtime *rt = dal_runtime_new(&config, NULL);
    const dal_host *h = dal_runtime_host(rt, "test");
    void *data = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(h->temp_map(h, 10, &data, &err), DAL_E_IO);
    cr_assert(strstr(err.text, "/no/such/dir") && strstr(err.text, "TMPDIR"), "%s", err.text);
    dal_runtime_free(rt);

    config.temp_dir = "/tmp";
    rt = dal_runtime_new(&config, NULL);
    h = dal_runtime_host(rt, "test");
    cr_assert_eq(h->temp_map(h, (size_t)1 << 60, &data, &err), DAL_E_IO);
    cr_assert(strstr(err.text, "1152921504606846976 bytes"), "%s", err.text);
    cr_assert_eq(h->temp_map(h, 0, &data, &err), DAL_E_OVERFLOW);
    cr_assert_null(data);
    dal_runtime_free(rt);
}

/* ---- random streams, callbacks, components ---------------------------------------------------- */

Test(runtime_rng, depends_on_seed_component_purpose_and_round_alone)
{
    dal_runtime *rt = new_runtime(2);
    const dal_host *a = dal_runtime_host(rt, "a"), *b = dal_runtime_host(rt, "b");
    const dal_rng base = a->rng(a, "draw", 0), again = a->rng(a, "draw", 0);
    cr_assert_eq(base.key, again.key);
    cr_assert_neq(base.key, b->rng(b, "draw", 0).key);
    cr_assert_neq(base.key, a->rng(a, "shuffle", 0).key);
    cr_assert_neq(base.key, a->rng(a, "draw", 1).key);
    /* Runs of old are repeated with these: the derivation never changes. */
    cr_assert_eq(base.key, 0x1e8d2fc2d4d1e4d7ull, "%llx", (unsigned long long)base.key);
    dal_runtime_free(rt);

    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .seed = 8};
    rt = dal_runtime_new(&config, NULL);
    a = dal_runtime_host(rt, "a");
    cr_assert_neq(base.key, a->rng(a, "draw", 0).key);
    dal_runtime_free(rt);
}

typedef struct {
    char line[200];
    int64_t done;
    int32_t stop;
} heard;

static void hear_log(void *ctx, const char *component, uint32_t level, const char *text)
{
    heard *h = ctx;
    snprintf(h->line, sizeof h->line, "%s|%u|%s", component, level, text);
}

static void hear_progress(void *ctx, const char *component, int64_t done, int64_t total, const char *what)
{
    heard *h = ctx;
    h->done = done;
    snprintf(h->line, sizeof h->line, "%s %lld %s", component, (long long)total, what);
}

static int32_t hear_cancelled(void *ctx)
{
    return ((heard *)ctx)->stop;
}

Test(runtime, passes_log_progress_and_cancellation_to_its_owner)
{
    heard got = {.stop = 1};
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .ctx = &got,
                                       .log = hear_log, .progress = hear_progress,
                                       .cancelled = hear_cancelled};
    dal_runtime *rt = dal_runtime_new(&config, NULL);
    const dal_host *h = dal_runtime_host(rt, "mlp");
    cr_assert_eq(h, dal_runtime_host(rt, "mlp"));
    dal_logf(h, DAL_LOG_INFO, "epoch %d", 3);
    cr_assert_str_eq(got.line, "mlp|1|epoch 3");
    h->progress(h, 5, 10, "epochs");
    cr_assert_str_eq(got.line, "mlp 10 epochs");
    cr_assert_eq(got.done, 5);
    cr_assert_eq(h->cancelled(h), 1);
    dal_runtime_free(rt);
}

Test(runtime, has_one_rank_and_no_components_by_default)
{
    dal_runtime *rt = dal_runtime_new(NULL, NULL);
    const dal_host *h = dal_runtime_host(rt, "test");
    double x = 3, all = 0;
    int64_t at = 4;
    cr_assert_eq(h->comm->size, 1);
    cr_assert_eq(h->comm->sum_f64(h->comm, &x, 1), DAL_OK);
    cr_assert_eq(h->comm->max_at(h->comm, &x, &at), DAL_OK);
    cr_assert_eq(h->comm->gather(h->comm, &x, sizeof x, &all), DAL_OK);
    cr_assert(x == 3 && at == 4 && all == 3);
    cr_assert_eq(h->comm->broadcast(h->comm, &x, sizeof x, 0), DAL_OK);
    cr_assert_eq(h->comm->broadcast(h->comm, &x, sizeof x, 1), DAL_E_INVALID);
    cr_assert_eq(h->comm->barrier(h->comm), DAL_OK);
    cr_assert_eq(h->cancelled(h), 0);
    cr_assert_null(h->get_extension(h, "org.example.any/1"));
    const dal_instance *instance = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(h->open(h, NULL, NULL, &instance, &err), DAL_E_UNSUPPORTED);
    h->close(h, NULL);
    dal_runtime_free(rt);
}
