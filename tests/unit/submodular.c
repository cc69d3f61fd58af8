/* Set functions and greedy against their definitions: every gain from the similarities of all pairs, in double,
 * and every pick from every gain. */
#include "tests/unit/fixture.h"
#include "tests/unit/submodular_twin.h"

#include <dal/linalg.h>
#include <dal/neighbours.h>

/* ---- points ----------------------------------------------------------------------------------- */

#define MAX_SIDE 64

typedef struct cloud {
    dal_points p;
    float *x, *y;
} cloud;

#define COPIES 1u /* every third row is the one before */
#define ZEROS 2u  /* every fifth row is 0 */
#define SIGNED 4u /* features of both signs */

static cloud make_cloud(uint64_t seed, int64_t n, int64_t d, int64_t c, uint32_t odd)
{
    cloud k = {.x = malloc((size_t)(n * d + 1) * sizeof(float)),
               .y = c ? malloc((size_t)(n * c + 1) * sizeof(float)) : NULL};
    dal_rng r = dal_rng_from_key(seed);
    for (int64_t i = 0; i < n; i++) {
        const int64_t centre = dal_rng_below(&r, 5);
        for (int64_t j = 0; j < d; j++) {
            dal_rng m = dal_rng_at(&r, (uint64_t)(100 + centre * d + j));
            const double v = dal_rng_normal(&m) + 0.5 * dal_rng_normal(&r);
            k.x[i * d + j] = (float)((odd & SIGNED) || v > 0 ? v : 0);
        }
        for (int64_t j = 0; j < c; j++)
            k.y[i * c + j] = (float)dal_rng_normal(&r);
        if ((odd & ZEROS) && i % 5 == 4)
            memset(k.x + i * d, 0, (size_t)d * sizeof(float));
        if ((odd & COPIES) && i % 3 == 1) {
            memcpy(k.x + i * d, k.x + (i - 1) * d, (size_t)d * sizeof(float));
            if (c)
                memcpy(k.y + i * c, k.y + (i - 1) * c, (size_t)c * sizeof(float));
        }
    }
    k.p = (dal_points){
        .struct_size = sizeof k.p, .x = {k.x, n, d, d}, .y = {k.y, k.y ? n : 0, c, c}, .extra = c > 0};
    return k;
}

static void measure(const dal_host *host, cloud *k)
{
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_points_measure(host, &k->p, "features", NULL, &err), DAL_OK, "%s", err.text);
}

static void drop(const dal_host *host, cloud *k)
{
    dal_points_free(host, &k->p);
    free(k->x);
    free(k->y);
}

/* ---- comparing -------------------------------------------------------------------------------- */

static int close_enough(double a, double b)
{
    return isinf(a) || isinf(b) ? a == b : fabs(a - b) <= 1e-6 * (1 + fabs(b));
}

static void greedy_agrees(const dal_submodular *s, const dal_greedy_options *opt, const char *what)
{
    int64_t want[MAX_SIDE], got[MAX_SIDE], n = 0;
    double want_gain[MAX_SIDE], got_gain[MAX_SIDE];
    table t = make_table(s);
    const int64_t n_want = twin_greedy(&t, opt, want, want_gain);
    for (int threads = 1; threads <= 2; threads++) {
        dal_error err = DAL_ERROR_INIT;
        dal_runtime *rt = fx_runtime(threads, 1);
        const dal_host *host = dal_runtime_host(rt, "test");
        dal_set_function *f;
        cr_assert_eq(dal_submodular_new(host, s, &f, &err), DAL_OK, "%s, function %u: %s", what, s->function,
                     err.text);
        if (opt->engine == DAL_LAZY && !f->falls) {
            cr_assert_eq(dal_greedy(host, f, opt, got, got_gain, &n, &err), DAL_E_INVALID);
        } else {
            cr_assert_eq(dal_greedy(host, f, opt, got, got_gain, &n, &err), DAL_OK, "%s", err.text);
            cr_assert_eq(n, n_want, "%s, function %u: %lld picks, the twin makes %lld", what, s->function,
                         (long long)n, (long long)n_want);
            for (int64_t k = 0; k < n; k++)
                cr_assert(
                    got[k] == want[k] && close_enough(got_gain[k], want_gain[k]),
                    "%s, function %u, kind %u, engine %u, pick %lld is %lld (%.12g), the twin's %lld (%.12g)",
                    what, s->function, s->similarity.kind, opt->engine, (long long)k, (long long)got[k],
                    got_gain[k], (long long)want[k], want_gain[k]);
        }
        dal_set_function_free(f);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
    free_table(&t);
}

typedef struct shape {
    int64_t n, q, p, d, c;
    uint32_t odd;
} shape;

static const shape shapes[] = {
    {40, 6, 4, 5, 0, 0}, {33, 5, 3, 7, 3, 0},     {50, 7, 6, 40, 0, COPIES}, {30, 4, 4, 3, 0, ZEROS | COPIES},
    {24, 3, 2, 6, 2, COPIES | SIGNED}, {1, 1, 1, 2, 0, 0}, {45, 9, 0, 8, 0, SIGNED}, {60, 20, 12, 2, 0, 0},
};
#define N_SHAPES (sizeof shapes / sizeof *shapes)

/* All functions on a shape, with one similarity and engine. */
static void shape_agrees(const shape *z, uint64_t seed, uint32_t kind, uint32_t engine, int64_t n_picks)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "points");
    const dal_rng rng = dal_rng_from_key(99);
    cloud v = make_cloud(seed, z->n, z->d, z->c, z->odd), q = make_cloud(seed + 100, z->q, z->d, z->c, z->odd),
          p = make_cloud(seed + 200, z->p, z->d, z->c, 0);
    measure(host, &v);
    measure(host, &q);
    measure(host, &p);
    for (uint32_t function = 0; function < DAL_SET_FUNCTIONS; function++) {
        const dal_submodular s = {.struct_size = sizeof s, .function = function, .similarity = {kind, 0, 2.5},
                                  .candidates = &v.p, .queries = &q.p, .avoided = &p.p, .lambda = 0.4, .eta = 0.9,
                                  .nu = 0.8, .ridge = 1, .concave = (uint32_t)(seed % 3)};
        const dal_greedy_options opt = {.struct_size = sizeof opt,
                                        .engine = engine,
                                        .n_picks = n_picks,
                                        .epsilon = 0.1,
                                        .rng = &rng,
                                        .stop = -INF};
        if (function == DAL_FEATURE_BASED && (z->odd & SIGNED))
            continue;
        if (function == DAL_COM && kind == DAL_DOT && ((z->odd & SIGNED) || z->c))
            continue;
        greedy_agrees(&s, &opt, "shape");
    }
    drop(host, &v);
    drop(host, &q);
    drop(host, &p);
    dal_runtime_free(rt);
}

Test(submodular, naive_greedy_picks_what_the_definitions_say)
{
    for (size_t k = 0; k < N_SHAPES; k++)
        for (uint32_t kind = 0; kind < 3; kind++)
            shape_agrees(&shapes[k], k + 1, kind, DAL_NAIVE, shapes[k].n < 12 ? shapes[k].n : 12);
}

Test(submodular, lazy_greedy_picks_what_naive_greedy_picks)
{
    for (size_t k = 0; k < N_SHAPES; k++)
        for (uint32_t kind = 0; kind < 3; kind++)
            shape_agrees(&shapes[k], k + 11, kind, DAL_LAZY, shapes[k].n < 30 ? shapes[k].n : 30);
}

Test(submodular, stochastic_greedy_looks_at_the_rows_it_draws)
{
    for (size_t k = 0; k < N_SHAPES; k++)
        shape_agrees(&shapes[k], k + 21, DAL_COSINE, DAL_STOCHASTIC, 9);
}

/* ---- F3, of the specification ----------------------------------------------------------------- */

/* items 0..3, query, private */
static const double fixture[6][6] = {
    {1, .8, .3, .1, .9, .1}, {.8, 1, .4, .2, .7, .6}, {.3, .4, 1, .6, .2, .1},
    {.1, .2, .6, 1, .3, .2}, {.9, .7, .2, .3, 1, .3}, {.1, .6, .1, .2, .3, 1},
};

typedef struct golden {
    uint32_t function;
    int64_t picks[3];
    double gain[3];
    int n; /* of them */
} golden;

static const golden known[] = {
    {DAL_FL, {1, 2, 3}, {2.4, 1.0, .4}, 3},
    {DAL_GC, {1, 2, 0}, {2.0, 1.58, .92}, 3},
    {DAL_LOGDET, {0, 3, 2}, {0, -.010050, -.541597}, 3},
    {DAL_DISPARITY_SUM, {0, 3, 2}, {0, .9, 1.1}, 3},
    {DAL_FL1MI, {0, 2, 1}, {1.9, .2, 0}, 3},
    {DAL_FL2MI, {0, 1, 3}, {1.8, .7, .3}, 3},
    {DAL_GCMI, {0, 1, 3}, {.9, .7, .3}, 3},
    {DAL_COM, {0, 1, 3}, {1.283708, .844286, .371564}, 3},
    {DAL_LOGDETMI, {0, 3, 2}, {1.660731, .267160, .563285}, 3},
    {DAL_FLCG, {2, 0, 3}, {1.5, .9, .4}, 3},
    {DAL_LOGDETCG, {0, 3, 2}, {-.010050, -.047579, -.544398}, 3},
    {DAL_FLCMI, {0, 2, 1}, {1.0, .1, 0}, 3},
    /* the six are no similarity (0, 1, query and private sample have a negative determinant): further gains mean
       nothing */
    {DAL_LOGDETCMI, {0}, {1.833581}, 1},
};

static const dal_points four = {.struct_size = sizeof four, .x = {NULL, 4, 0, 0}},
                        one = {.struct_size = sizeof one, .x = {NULL, 1, 0, 0}};

Test(submodular, gains_of_the_worked_example_are_what_the_twin_says)
{
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        int64_t picks[3];
        double gain[3], all[36];
        memcpy(all, fixture, sizeof all);
        const dal_submodular s = {.struct_size = sizeof s, .function = known[k].function, .candidates = &four,
                                  .queries = &one, .avoided = &one, .lambda = .4, .eta = 1, .nu = 1};
        const dal_greedy_options opt = {
            .struct_size = sizeof opt, .engine = DAL_NAIVE, .n_picks = 3, .stop = -INF};
        table t = {.s = &s, .n = 4, .q = 1, .p = 1, .all = malloc(sizeof all)};
        memcpy(t.all, all, sizeof all);
        reduce_table(&t);
        cr_assert_eq(twin_greedy(&t, &opt, picks, gain), 3);
        for (int i = 0; i < known[k].n; i++)
            cr_assert(picks[i] == known[k].picks[i] && fabs(gain[i] - known[k].gain[i]) < 1e-5,
                      "function %u, pick %d: %lld (%.7f), expected %lld (%.7f)", known[k].function, i,
                      (long long)picks[i], gain[i], (long long)known[k].picks[i], known[k].gain[i]);
        free_table(&t);
    }
}

/* The fixture as products of vectors, by elimination. Queries and private samples get a fifth coordinate for their
 * lengths; their product with each other is not the fixture's. */
static void fixture_vectors(float x[6][5])
{
    double l[6][5] = {{0}};
    for (int i = 0; i < 6; i++) {
        double square = fixture[i][i];
        for (int j = 0; j < (i < 4 ? i : 4); j++) {
            double sum = fixture[i][j];
            for (int k = 0; k < j; k++)
                sum -= l[i][k] * l[j][k];
            l[i][j] = sum / l[j][j];
            square -= l[i][j] * l[i][j];
        }
        cr_assert_gt(square, 0);
        l[i][i < 4 ? i : 4] = sqrt(square);
    }
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 5; j++)
            x[i][j] = (float)l[i][j];
}

Test(submodular, gains_of_the_worked_example_are_right)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        float x[6][5];
        dal_error err = DAL_ERROR_INIT;
        dal_set_function *f;
        if (known[k].function == DAL_LOGDETCMI)
            continue;
        fixture_vectors(x);
        dal_points v = {.struct_size = sizeof v, .x = {x[0], 4, 5, 5}}, q = v, p = v;
        q.x = (dal_matrix){x[4], 1, 5, 5};
        p.x = (dal_matrix){x[5], 1, 5, 5};
        cr_assert(dal_points_measure(host, &v, "v", NULL, &err) == DAL_OK);
        cr_assert(dal_points_measure(host, &q, "q", NULL, &err) == DAL_OK);
        cr_assert(dal_points_measure(host, &p, "p", NULL, &err) == DAL_OK);
        const dal_submodular s = {.struct_size = sizeof s,
                                  .function = known[k].function,
                                  .similarity = {DAL_DOT, 0, 0},
                                  .candidates = &v,
                                  .queries = &q,
                                  .avoided = &p,
                                  .lambda = .4,
                                  .eta = 1,
                                  .nu = 1};
        cr_assert_eq(dal_submodular_new(host, &s, &f, &err), DAL_OK, "%s", err.text);
        for (int i = 0; i < 3; i++) {
            int64_t left[4], n = 0;
            double gain[4], gained;
            for (int64_t j = 0; j < 4; j++)
                if ((i < 1 || j != known[k].picks[0]) && (i < 2 || j != known[k].picks[1]))
                    left[n++] = j;
            cr_assert_eq(f->gains(f, left, n, gain, &err), DAL_OK, "%s", err.text);
            for (int64_t j = 0; j < n; j++)
                cr_assert_leq(gain[j], known[k].gain[i] + 1e-5, "function %u: item %lld adds %.7f, more than %.7f",
                              known[k].function, (long long)left[j], gain[j], known[k].gain[i]);
            cr_assert_eq(f->add(f, known[k].picks[i], &gained, &err), DAL_OK);
            cr_assert_float_eq(gained, known[k].gain[i], 1e-5, "function %u, pick %d adds %.7f, expected %.7f",
                               known[k].function, i, gained, known[k].gain[i]);
        }
        dal_set_function_free(f);
        dal_points_free(host, &v);
        dal_points_free(host, &q);
        dal_points_free(host, &p);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* ---- similarities ----------------------------------------------------------------------------- */

Test(similarity, largest_and_sums_are_those_of_all_pairs)
{
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    static const shape some[] = {
        {300, 700, 0, 33, 0, 0}, {70, 300, 0, 9, 4, COPIES | ZEROS}, {65, 1, 0, 3, 0, SIGNED}};
    for (int k = 0; k < 3; k++)
        for (uint32_t kind = 0; kind < 3; kind++) {
            const dal_similarity s = {kind, 0, 1.5};
            dal_error err = DAL_ERROR_INIT;
            cloud a = make_cloud(5, some[k].n, some[k].d, some[k].c, some[k].odd),
                  b = make_cloud(6, some[k].q, some[k].d, some[k].c, some[k].odd);
            double *top = malloc((size_t)some[k].n * sizeof *top), *sum = malloc((size_t)some[k].n * sizeof *sum);
            measure(host, &a);
            measure(host, &b);
            cr_assert_eq(dal_most_alike(host, &s, &a.p, &b.p, top, &err), DAL_OK);
            cr_assert_eq(dal_sum_alike(host, &s, &a.p, &b.p, sum, &err), DAL_OK);
            for (int64_t i = 0; i < some[k].n; i++) {
                double want = 0, want_sum = 0;
                for (int64_t j = 0; j < some[k].q; j++) {
                    want = fmax(want, alike(&s, &a.p, i, &b.p, j));
                    want_sum += alike(&s, &a.p, i, &b.p, j);
                }
                cr_assert(fabs(top[i] - want) <= 0x1p-23 * want, "row %lld: %.9g, expected %.9g", (long long)i,
                          top[i], want);
                cr_assert(fabs(sum[i] - want_sum) <= 1e-6 * (1 + fabs(want_sum)), "row %lld: %.9g, expected %.9g",
                          (long long)i, sum[i], want_sum);
            }
            free(top);
            free(sum);
            drop(host, &a);
            drop(host, &b);
        }
    dal_runtime_free(rt);
}

Test(similarity, names_the_sample_that_is_not_finite)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    dal_error err = DAL_ERROR_INIT;
    const int64_t ids[3] = {7, 8, 9};
    float x[6] = {1, 2, 3, NAN, 5, 6};
    dal_points p = {.struct_size = sizeof p, .x = {x, 3, 2, 2}};
    fx_expect(&err, dal_points_measure(host, &p, "features", ids, &err), DAL_E_INVALID, "",
              "sample 8, column 1 is nan");
    dal_points_free(host, &p);
    x[3] = 1e30f;
    fx_expect(&err, dal_points_measure(host, &p, "features", ids, &err), DAL_E_INVALID, "",
              "sample 8 is so large");
    dal_points_free(host, &p);
    dal_runtime_free(rt);
}

/* ---- facility location of many, where bounds from moments matter ------------------------------- */

/* The definition with a running cover, [n] rows of similarities computed once. */
static void plain_location(const dal_similarity *s, const dal_points *p, int64_t b, int64_t *picks)
{
    const int64_t n = p->x.rows;
    double *all = malloc((size_t)(n * n) * sizeof *all), *cover = calloc((size_t)n, sizeof *cover),
           *gain = malloc((size_t)n * sizeof *gain);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            all[i * n + j] = all[j * n + i] = alike(s, p, i, p, j);
    for (int64_t k = 0; k < b; k++) {
        double top = -1;
        for (int64_t j = 0; j < n; j++) {
            gain[j] = 0;
            for (int64_t i = 0; i < n; i++)
                gain[j] += fmax(0, all[j * n + i] - cover[i]);
            top = fmax(top, gain[j]);
        }
        for (picks[k] = 0; top - gain[picks[k]] > 1e-11 * (double)n * (1 + top);)
            picks[k]++;
        for (int64_t i = 0; i < n; i++)
            cover[i] = fmax(cover[i], all[picks[k] * n + i]);
    }
    free(all);
    free(cover);
    free(gain);
}

Test(submodular, location_of_thousands_picks_what_the_plain_loop_picks)
{
    enum { MANY = 2300, B = 12 };
    static const uint32_t kinds[] = {DAL_COSINE, DAL_DOT};
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    for (int k = 0; k < 2; k++) {
        int64_t want[B], got[B], n;
        double gain[B];
        dal_error err = DAL_ERROR_INIT;
        dal_set_function *f;
        cloud v = make_cloud(40 + (uint64_t)k, MANY, 12, 0, k ? 0 : SIGNED);
        measure(host, &v);
        const dal_submodular s = {.struct_size = sizeof s, .function = DAL_FL, .similarity = {kinds[k], 0, 0},
                                  .candidates = &v.p};
        const dal_greedy_options opt = {.struct_size = sizeof opt, .engine = DAL_LAZY, .n_picks = B, .stop = -INF};
        plain_location(&s.similarity, &v.p, B, want);
        cr_assert_eq(dal_submodular_new(host, &s, &f, &err), DAL_OK, "%s", err.text);
        cr_assert_eq(dal_greedy(host, f, &opt, got, gain, &n, &err), DAL_OK, "%s", err.text);
        cr_assert_eq(n, B);
        for (int i = 0; i < B; i++)
            cr_assert_eq(got[i], want[i], "kind %u, pick %d is %lld, the plain loop's %lld", kinds[k], i,
                         (long long)got[i], (long long)want[i]);
        dal_set_function_free(f);
        drop(host, &v);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* No bound is below the gain it bounds, in any state. */
Test(submodular, bounds_of_location_hold)
{
    enum { MANY = 2100 };
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    for (uint32_t kind = 0; kind < 3; kind += 2) {
        dal_error err = DAL_ERROR_INIT;
        dal_set_function *f;
        cloud v = make_cloud(50, MANY, 9, 0, ZEROS);
        double *bound = malloc(MANY * sizeof *bound), *gain = malloc(MANY * sizeof *gain), gained;
        int64_t *rows = malloc(MANY * sizeof *rows), bounded = 0;
        measure(host, &v);
        const dal_submodular s = {.struct_size = sizeof s, .function = DAL_FL, .similarity = {kind, 0, 0},
                                  .candidates = &v.p};
        cr_assert_eq(dal_submodular_new(host, &s, &f, &err), DAL_OK, "%s", err.text);
        for (int64_t k = 0; k < 4; k++) {
            int64_t m = 0;
            for (int64_t i = 4; i < MANY; i++)
                rows[m++] = i;
            for (int64_t i = 0; i < MANY; i++)
                bound[i] = INF;
            cr_assert_eq(f->limit(f, bound, &err), DAL_OK);
            cr_assert_eq(f->gains(f, rows, m, gain, &err), DAL_OK);
            for (int64_t i = 0; i < m; i++) {
                cr_assert_leq(gain[i], bound[rows[i]], "kind %u, %lld picks, row %lld", kind, (long long)k,
                              (long long)rows[i]);
                bounded += bound[rows[i]] < 3 * gain[i];
            }
            cr_assert_eq(f->add(f, k, &gained, &err), DAL_OK);
        }
        cr_assert_gt(bounded, MANY, "the bounds say nothing");
        dal_set_function_free(f);
        drop(host, &v);
        free(bound);
        free(gain);
        free(rows);
    }
    dal_runtime_free(rt);
}

/* ---- few neighbours --------------------------------------------------------------------------- */

/* What `neighbours` leaves of a table: of each row the k columns at the least distance (ties: the lower). */
static void keep_nearest(table *t, const dal_host *host, const dal_similarity *s, int64_t k)
{
    const dal_matrix *x = &t->s->candidates->x;
    dal_error err = DAL_ERROR_INIT;
    float *unit = malloc((size_t)(x->rows * x->cols) * sizeof *unit);
    cr_assert_eq(dal_unit_rows(host, x, unit, &err), DAL_OK);
    for (int64_t i = 0; i < t->n; i++) {
        char *kept = calloc((size_t)t->n, 1);
        for (int64_t m = 0; m < k && m < t->n; m++) {
            int64_t best = -1;
            float least = 0;
            for (int64_t j = 0; j < t->n; j++) {
                const float *a = s->kind == DAL_COSINE ? unit + i * x->cols : x->data + i * x->stride;
                const float *b = s->kind == DAL_COSINE ? unit + j * x->cols : x->data + j * x->stride;
                const float far = dal_squared_distance(a, b, x->cols);
                if (!kept[j] && (best < 0 || far < least)) {
                    best = j;
                    least = far;
                }
            }
            kept[best] = 1;
        }
        for (int64_t j = 0; j < t->n; j++)
            t->all[i * t->n + j] = kept[j] ? t->all[i * t->n + j] : 0;
        free(kept);
    }
    free(unit);
}

Test(submodular, location_by_few_neighbours_picks_what_its_twin_picks)
{
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    static const int64_t few[] = {1, 4, 200};
    for (uint32_t kind = 0; kind < 2; kind++)
        for (int m = 0; m < 3; m++)
            for (uint32_t engine = DAL_NAIVE; engine <= DAL_LAZY; engine++) {
                int64_t want[20], got[20], n;
                double want_gain[20], gain[20];
                dal_error err = DAL_ERROR_INIT;
                dal_set_function *f;
                cloud v = make_cloud(60, 55, 6, 0, COPIES | ZEROS);
                measure(host, &v);
                const dal_submodular s = {.struct_size = sizeof s, .function = DAL_FL, .similarity = {kind, 0, 2},
                                          .candidates = &v.p, .neighbours = few[m]};
                const dal_greedy_options opt = {
                    .struct_size = sizeof opt, .engine = engine, .n_picks = 20, .stop = -INF};
                table t = make_table(&s);
                keep_nearest(&t, host, &s.similarity, few[m]);
                cr_assert_eq(twin_greedy(&t, &opt, want, want_gain), 20);
                cr_assert_eq(dal_submodular_new(host, &s, &f, &err), DAL_OK, "%s", err.text);
                cr_assert_eq(dal_greedy(host, f, &opt, got, gain, &n, &err), DAL_OK, "%s", err.text);
                for (int i = 0; i < 20; i++)
                    cr_assert(got[i] == want[i] && close_enough(gain[i], want_gain[i]),
                              "kind %u, %lld neighbours, pick %d is %lld (%.9g), the twin's %lld (%.9g)", kind,
                              (long long)few[m], i, (long long)got[i], gain[i], (long long)want[i], want_gain[i]);
                dal_set_function_free(f);
                free_table(&t);
                drop(host, &v);
            }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
