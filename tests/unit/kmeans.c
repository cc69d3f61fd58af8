/* k-means against its definition with every distance computed, bit for bit. */
#include "tests/unit/fixture.h"
#include "tests/unit/kmeans_twin.h"

typedef struct outcome {
    dal_kmeans_result r;
    int64_t n, k, d;
} outcome;

static outcome outcome_new(const dal_kmeans_problem *p)
{
    outcome o = {.r = {.struct_size = sizeof o.r}, .n = p->x.rows, .k = p->k, .d = p->x.cols};
    o.r.centres = calloc(o.k * o.d, sizeof *o.r.centres);
    o.r.assignment = calloc(o.n, sizeof *o.r.assignment);
    o.r.distance = calloc(o.n, sizeof *o.r.distance);
    o.r.nearest = calloc(o.k, sizeof *o.r.nearest);
    return o;
}

static void outcome_free(outcome *o)
{
    free(o->r.centres);
    free(o->r.assignment);
    free(o->r.distance);
    free(o->r.nearest);
}

typedef struct twin_job {
    const dal_kmeans_problem *p;
    const dal_rng *stream;
    dal_kmeans_result *out;
} twin_job;

/* As a task, because denormals count as zero there. */
static dal_status twin_task(void *ctx, int64_t i)
{
    twin_job *j = ctx;
    (void)i;
    kmeans_twin_run(j->p, j->stream, j->out);
    return DAL_OK;
}

static void names_are_distinct(const outcome *o, const char *what)
{
    for (int64_t c = 0; c < o->k; c++) {
        cr_assert(o->r.nearest[c] >= 0 && o->r.nearest[c] < o->n, "%s", what);
        for (int64_t b = 0; b < c; b++)
            cr_assert_neq(o->r.nearest[b], o->r.nearest[c], "%s", what);
    }
}

static void agrees_with_twin(const dal_kmeans_problem *p, uint64_t seed, const char *what)
{
    const dal_rng stream = dal_rng_from_key(seed);
    outcome want = outcome_new(p), got = outcome_new(p);
    twin_job slow = {p, &stream, &want.r};
    for (int32_t threads = 1; threads <= 4; threads += 3) {
        dal_runtime *rt = fx_runtime(threads, 1);
        const dal_host *h = dal_runtime_host(rt, "test");
        dal_error err = DAL_ERROR_INIT;
        if (threads == 1)
            h->parallel_for(h, 1, twin_task, &slow);
        cr_assert_eq(dal_kmeans(h, p, &stream, &got.r, &err), DAL_OK, "%s: %s", what, err.text);
        cr_assert_eq(got.r.iterations, want.r.iterations, "%s: %lld iterations, expected %lld", what,
                     (long long)got.r.iterations, (long long)want.r.iterations);
        cr_assert_arr_eq(got.r.centres, want.r.centres, p->k * p->x.cols * sizeof(float), "%s: centres", what);
        cr_assert_arr_eq(got.r.assignment, want.r.assignment, p->x.rows * sizeof(int32_t), "%s: assignment", what);
        cr_assert_arr_eq(got.r.distance, want.r.distance, p->x.rows * sizeof(float), "%s: distances", what);
        cr_assert_arr_eq(got.r.nearest, want.r.nearest, p->k * sizeof(int64_t), "%s: nearest", what);
        cr_assert(memcmp(&got.r.inertia, &want.r.inertia, sizeof(double)) == 0, "%s: inertia %.17g, not %.17g",
                  what,
                  got.r.inertia, want.r.inertia);
        names_are_distinct(&got, what);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
    outcome_free(&want);
    outcome_free(&got);
}

/* ---- kinds of features ------------------------------------------------------------------------ */

enum { NORMAL, CLUSTERED, RELU, DUPLICATES, GRID, ZERO, FAR_FROM_ORIGIN, TINY_VALUES, KINDS };
static const char *const kind_names[] = {"normal", "clustered", "relu", "duplicates", "grid", "zero",
                                         "far from the origin", "tiny"};

static float feature(int kind, dal_rng *r, int64_t source, int64_t cluster, int64_t k)
{
    const double g = dal_rng_normal(r);
    switch (kind) {
    case CLUSTERED: return (float)((double)((cluster * 7 + k * 13) % 11) * 3 + 0.1 * g);
    case RELU: return (float)(g > 0 ? g : 0);
    case DUPLICATES: return (float)((source * 31 + k * 17) % 23);
    case GRID: return (float)dal_rng_below(r, 3);
    case ZERO: return 0;
    case FAR_FROM_ORIGIN: return (float)(1000 + g);
    case TINY_VALUES: return (float)(1e-19 * g);
    default: return (float)g;
    }
}

static dal_matrix drawn(int kind, dal_rng *r, int64_t rows, int64_t cols, int64_t stride)
{
    float *data = calloc(rows * stride + 1, sizeof *data);
    for (int64_t i = 0; i < rows; i++) {
        const int64_t source = dal_rng_below(r, 7), cluster = dal_rng_below(r, 5);
        for (int64_t k = 0; k < cols; k++)
            data[i * stride + k] = feature(kind, r, source, cluster, k);
    }
    return (dal_matrix){data, rows, cols, stride};
}

static void drop(dal_matrix m)
{
    free((void *)(uintptr_t)m.data);
}

static const struct {
    int64_t n, n_fixed, d, k, starts, iterations;
} shapes[] = {{1, 0, 1, 1, 1, 5},     {5, 0, 3, 5, 2, 5},      {5, 2, 3, 3, 1, 5},     {60, 0, 2, 9, 3, 300},
              {300, 1, 2, 40, 1, 300}, {300, 70, 31, 30, 2, 20}, {700, 0, 32, 70, 1, 60}, {1100, 0, 5, 150, 1, 60},
              {257, 513, 33, 20, 1, 9}, {129, 0, 100, 129, 1, 3}, {400, 0, 7, 3, 10, 300}, {90, 0, 4, 12, 2, 0}};

/* Weights: none, any, mostly zero, all zero. */
static double *drawn_weights(int how, dal_rng *r, int64_t n)
{
    double *w = how ? calloc(n, sizeof *w) : NULL;
    for (int64_t i = 0; w && i < n; i++)
        w[i] = how == 1 || (how == 2 && i % 3 == 0) ? dal_rng_uniform(r) : 0;
    return w;
}

Test(kmeans, does_what_its_definition_says)
{
    dal_rng r = dal_rng_from_key(6);
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const int64_t d = shapes[s].d;
            const int how = (int)(s + (size_t)kind) % 4;
            dal_matrix x = drawn(kind, &r, shapes[s].n, d, d + (int64_t)(s % 2));
            dal_matrix y = drawn(kind, &r, shapes[s].n_fixed, d, d);
            double *w = drawn_weights(how, &r, shapes[s].n);
            char what[100];
            const dal_kmeans_problem p = {.struct_size = sizeof p, .x = x, .weights = w, .fixed = y,
                                          .k = shapes[s].k,
                                          .starts = shapes[s].starts, .max_iterations = shapes[s].iterations,
                                          .tolerance = 1e-4};
            snprintf(what, sizeof what, "%s, shape %zu, weights %d", kind_names[kind], s, how);
            agrees_with_twin(&p, s + 1, what);
            drop(x);
            drop(y);
            free(w);
        }
}

/* ---- what must be true of any k-means --------------------------------------------------------- */

static void run(const dal_kmeans_problem *p, uint64_t seed, dal_kmeans_result *out)
{
    dal_runtime *rt = fx_runtime(2, 1);
    dal_error err = DAL_ERROR_INIT;
    const dal_rng stream = dal_rng_from_key(seed);
    cr_assert_eq(dal_kmeans(dal_runtime_host(rt, "test"), p, &stream, out, &err), DAL_OK, "%s", err.text);
    dal_runtime_free(rt);
}

Test(kmeans, finds_clusters_that_lie_far_apart)
{
    dal_rng r = dal_rng_from_key(3);
    dal_matrix x = drawn(NORMAL, &r, 200, 2, 2);
    float *data = (float *)(uintptr_t)x.data;
    for (int64_t i = 0; i < 200; i++)
        data[2 * i] += (float)(100 * (i % 4));
    const dal_kmeans_problem p = {.struct_size = sizeof p, .x = x, .k = 4, .starts = 10, .max_iterations = 300,
                                  .tolerance = 1e-4};
    outcome o = outcome_new(&p);
    run(&p, 1, &o.r);
    for (int64_t i = 4; i < 200; i++)
        cr_assert_eq(o.r.assignment[i], o.r.assignment[i % 4]);
    outcome_free(&o);
    drop(x);
}

/* 0, 1 and 10, 11 with a weight of 3 on the last: means 0.5 and 10.75. */
Test(kmeans, agrees_with_an_example_by_hand)
{
    static const float data[4] = {0, 1, 10, 11};
    static const double w[4] = {1, 1, 1, 3};
    dal_kmeans_problem p = {.struct_size = sizeof p, .x = {data, 4, 1, 1}, .weights = w, .k = 2, .starts = 3,
                            .max_iterations = 300, .tolerance = 1e-4};
    outcome o = outcome_new(&p);
    run(&p, 1, &o.r);
    const int64_t low = o.r.assignment[0], high = o.r.assignment[3];
    cr_assert(low != high && o.r.centres[low] == 0.5f && o.r.centres[high] == 10.75f);
    cr_assert(o.r.nearest[low] == 0 && o.r.nearest[high] == 3);
    cr_assert_float_eq(o.r.inertia, 0.25 + 0.25 + 0.5625 + 3 * 0.0625, 1e-12);
    outcome_free(&o);
}

Test(kmeans, lets_fixed_centres_attract_but_not_move)
{
    static const float data[5] = {0, 1, 10, 11, 12}, fixed[1] = {0.25f};
    const dal_kmeans_problem p = {.struct_size = sizeof p, .x = {data, 5, 1, 1}, .fixed = {fixed, 1, 1, 1}, .k = 1,
                                  .starts = 5, .max_iterations = 300, .tolerance = 1e-4};
    outcome o = outcome_new(&p);
    run(&p, 1, &o.r);
    cr_assert(o.r.assignment[0] == 1 && o.r.assignment[1] == 1 && o.r.assignment[2] == 0);
    cr_assert(o.r.centres[0] == 11 && o.r.nearest[0] == 3);
    outcome_free(&o);
}

/* Seeds alone: with a probability proportional to the squared distance from the first. */
Test(kmeans, seeds_by_squared_distance)
{
    static const float data[3] = {0, 1, 3};
    static const double only_first[3] = {1, 0, 0};
    const float fixed[1] = {0};
    dal_kmeans_problem p = {.struct_size = sizeof p, .x = {data, 3, 1, 1}, .fixed = {fixed, 1, 1, 1}, .k = 1,
                            .starts = 1, .max_iterations = 0};
    outcome o = outcome_new(&p);
    int far = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        run(&p, seed, &o.r);
        cr_assert(o.r.centres[0] == 1 || o.r.centres[0] == 3);
        far += o.r.centres[0] == 3;
    }
    cr_assert(far > 330 && far < 385, "%d of 400, expected about 360", far); /* 9 of 10; 5 deviations either way */
    p.weights = only_first;
    p.fixed.rows = 0;
    run(&p, 1, &o.r);
    cr_assert_eq(o.r.centres[0], 0);
    outcome_free(&o);
}

/* Seeds of long turns, too: the number of seeds in a quarter of the samples is what k-means++ makes it. */
Test(kmeans, never_seeds_the_same_place_twice_while_there_are_others)
{
    dal_rng r = dal_rng_from_key(9);
    dal_matrix x = drawn(NORMAL, &r, 400, 3, 3);
    float *data = (float *)(uintptr_t)x.data;
    memcpy(data + 200 * 3, data, 200 * 3 * sizeof *data);
    const dal_kmeans_problem p = {.struct_size = sizeof p, .x = x, .k = 200, .starts = 1, .max_iterations = 0};
    outcome o = outcome_new(&p);
    run(&p, 1, &o.r);
    cr_assert_eq(o.r.inertia, 0);
    outcome_free(&o);
    drop(x);
}

Test(kmeans, takes_the_start_of_least_inertia)
{
    dal_rng r = dal_rng_from_key(4);
    dal_matrix x = drawn(NORMAL, &r, 300, 2, 2);
    dal_kmeans_problem p = {.struct_size = sizeof p, .x = x, .k = 12, .starts = 1, .max_iterations = 300,
                            .tolerance = 1e-4};
    dal_kmeans_result o = {.struct_size = sizeof o};
    run(&p, 1, &o);
    const double one = o.inertia;
    p.starts = 20;
    run(&p, 1, &o);
    cr_assert_lt(o.inertia, one);
    drop(x);
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void refused(dal_kmeans_problem p, const char *words)
{
    dal_kmeans_result out = {.struct_size = sizeof out};
    const dal_rng stream = dal_rng_from_key(1);
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    cr_assert_eq(dal_kmeans(dal_runtime_host(rt, "test"), &p, &stream, &out, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, words), "found '%s', expected '%s'", err.text, words);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(kmeans, refuses_what_it_cannot_cluster)
{
    float good[6] = {1, 2, 3, 4, 5, 6}, bad[6] = {1, 2, 3, NAN, 5, 6};
    double weights[3] = {1, 0, -1};
    const dal_kmeans_problem fine = {.struct_size = sizeof fine, .x = {good, 3, 2, 2}, .k = 2, .starts = 1,
                                     .max_iterations = 5};
    dal_kmeans_problem p = fine;
    p.x.data = bad;
    refused(p, "sample features: row 1, column 1 is nan");
    bad[3] = 1e19f;
    refused(p, "row 1 is so large");
    p = fine;
    p.fixed = (dal_matrix){bad, 3, 2, 2};
    refused(p, "centre features: row 1 is so large");
    p.fixed = (dal_matrix){good, 2, 3, 3};
    refused(p, "samples are 2 wide and fixed centres 3");
    p = fine;
    p.k = 4;
    refused(p, "4 clusters of 3 samples");
    p.k = 0;
    refused(p, "0 clusters");
    p = fine;
    p.starts = 0;
    refused(p, "0 starts");
    p = fine;
    p.weights = weights;
    refused(p, "the weight of sample 2 is -1");
    weights[2] = INFINITY;
    refused(p, "the weight of sample 2 is inf");
    p = fine;
    p.x.cols = 0;
    refused(p, "width 0");
}

Test(kmeans, gives_up_cleanly_without_memory)
{
    float x[64];
    for (int i = 0; i < 64; i++)
        x[i] = (float)(i / 8);
    const dal_kmeans_problem p = {.struct_size = sizeof p, .x = {x, 64, 1, 1}, .fixed = {x, 2, 1, 1}, .k = 20,
                                  .starts = 2, .max_iterations = 3};
    outcome o = outcome_new(&p);
    int64_t failures = 0;
    for (int64_t call = 1;; call++) {
        const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = call};
        dal_runtime *rt = dal_runtime_new(&config, NULL);
        dal_error err = DAL_ERROR_INIT;
        const dal_rng stream = dal_rng_from_key(1);
        const dal_status st = dal_kmeans(dal_runtime_host(rt, "test"), &p, &stream, &o.r, &err);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK)
            break;
        cr_assert_eq(st, DAL_E_NOMEM);
        cr_assert(strstr(err.text, "no memory"), "%s", err.text);
        failures++;
    }
    cr_assert_geq(failures, 20);
    outcome_free(&o);
}

static int32_t always(void *ctx)
{
    (void)ctx;
    return 1;
}

Test(kmeans, stops_when_cancelled)
{
    float x[64] = {0};
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .cancelled = always};
    dal_runtime *rt = dal_runtime_new(&config, NULL);
    const dal_kmeans_problem p = {.struct_size = sizeof p, .x = {x, 16, 4, 4}, .k = 3, .starts = 1,
                                  .max_iterations = 3};
    dal_kmeans_result o = {.struct_size = sizeof o};
    const dal_rng stream = dal_rng_from_key(1);
    cr_assert_eq(dal_kmeans(dal_runtime_host(rt, "test"), &p, &stream, &o, NULL), DAL_E_CANCELLED);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
