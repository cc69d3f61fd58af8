/* Nearest neighbours and balls against all distances, bit for bit. */
#include "tests/unit/fixture.h"

#include <dal/linalg.h>
#include <dal/neighbours.h>
#include <math.h>

enum { NORMAL, CLUSTERED, DUPLICATES, GRID, ZERO, FAR_FROM_ORIGIN, TINY_VALUES, KINDS };
static const char *const kind_names[] = {"normal", "clustered", "duplicates", "grid", "zero",
                                         "far from the origin",
                                         "tiny"};

static float feature(int kind, dal_rng *r, int64_t source, int64_t cluster, int64_t k)
{
    const double g = dal_rng_normal(r);
    switch (kind) {
    case CLUSTERED: return (float)((double)((cluster * 7 + k * 13) % 11) * 3 + 0.1 * g);
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

static float distance_of(const dal_neighbours_problem *p, int64_t i, int64_t j)
{
    const float *x = p->x.data + i * p->x.stride, *y = p->y.data + j * p->y.stride;
    double sum = 0, lane[8] = {0};
    if (p->metric == DAL_EUCLIDEAN)
        return dal_squared_distance(x, y, p->x.cols);
    for (int64_t k = 0; k < p->x.cols; k++) /* in the order of the library, so that ties are the same */
        lane[k < p->x.cols / 8 * 8 ? k % 8 : 0] += fabs((double)x[k] - (double)y[k]);
    sum = ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
    return (float)sum;
}

/* Again and again the nearest that is not taken. */
static void twin_row(const dal_neighbours_problem *p, int64_t i, int64_t *index, float *distance)
{
    char *taken = calloc(p->y.rows + 1, 1);
    float *all = malloc((p->y.rows + 1) * sizeof *all);
    for (int64_t j = 0; j < p->y.rows; j++)
        all[j] = distance_of(p, i, j);
    for (int64_t k = 0; k < p->k; k++) {
        index[k] = -1;
        distance[k] = INFINITY;
        for (int64_t j = 0; j < p->y.rows; j++) {
            if (taken[j] || (p->self && i == j) || (p->x_groups && p->x_groups[i] == p->y_groups[j]))
                continue;
            if (all[j] < distance[k]) {
                index[k] = j;
                distance[k] = all[j];
            }
        }
        if (index[k] >= 0)
            taken[index[k]] = 1;
    }
    free(taken);
    free(all);
}

typedef struct twin_job {
    const dal_neighbours_problem *p;
    int64_t *index;
    float *distance;
} twin_job;

/* As a task, because denormals count as zero there. */
static dal_status twin_task(void *ctx, int64_t i)
{
    const twin_job *j = ctx;
    twin_row(j->p, i, j->index + i * j->p->k, j->distance + i * j->p->k);
    return DAL_OK;
}

static void agrees_with_twin(const dal_neighbours_problem *p, const char *what)
{
    const size_t room = (size_t)(p->x.rows * p->k + 1);
    int64_t *want = malloc(room * sizeof *want), *got = malloc(room * sizeof *got);
    float *want_d = malloc(room * sizeof *want_d), *got_d = malloc(room * sizeof *got_d);
    const twin_job slow = {p, want, want_d};
    for (int32_t threads = 1; threads <= 4; threads += 3) {
        dal_runtime *rt = fx_runtime(threads, 1);
        const dal_host *h = dal_runtime_host(rt, "test");
        dal_error err = DAL_ERROR_INIT;
        if (threads == 1)
            h->parallel_for(h, p->x.rows, twin_task, (void *)(uintptr_t)&slow);
        cr_assert_eq(dal_neighbours(h, p, got, got_d, &err), DAL_OK, "%s: %s", what, err.text);
        for (int64_t i = 0; i < p->x.rows * p->k; i++)
            cr_assert(got[i] == want[i] && memcmp(&got_d[i], &want_d[i], sizeof *got_d) == 0,
                      "%s: row %lld, neighbour %lld is %lld at %.9g, expected %lld at %.9g", what,
                      (long long)(i / p->k), (long long)(i % p->k), (long long)got[i], (double)got_d[i],
                      (long long)want[i], (double)want_d[i]);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
    free(want);
    free(got);
    free(want_d);
    free(got_d);
}

static const struct {
    int64_t n, m, d, k; /* m 0: itself */
} shapes[] = {{1, 0, 1, 1},   {5, 0, 3, 9},     {5, 2, 3, 2},      {60, 0, 2, 60},
              {150, 1, 2, 3}, {150, 70, 31, 10}, {90, 600, 32, 20}, {257, 513, 33, 5}, {130, 0, 100, 20},
              {90, 0, 603, 4}};

static int32_t *drawn_groups(dal_rng *r, int64_t n)
{
    int32_t *groups = malloc((n + 1) * sizeof *groups);
    for (int64_t i = 0; i < n; i++)
        groups[i] = (int32_t)dal_rng_below(r, 3);
    return groups;
}

Test(neighbours, are_those_of_all_distances)
{
    dal_rng r = dal_rng_from_key(6);
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (uint32_t metric = DAL_EUCLIDEAN; metric <= DAL_MANHATTAN; metric++) {
                const int64_t d = shapes[s].d, m = shapes[s].m;
                dal_matrix x = drawn(kind, &r, shapes[s].n, d, d + (int64_t)(s % 2)), y = drawn(kind, &r, m, d, d);
                dal_neighbours_problem p = {.struct_size = sizeof p, .metric = metric, .x = x, .y = m ? y : x,
                                            .k = shapes[s].k, .self = m == 0};
                int32_t *mine = drawn_groups(&r, p.x.rows), *theirs = drawn_groups(&r, p.y.rows);
                char what[100];
                snprintf(what, sizeof what, "%s, shape %zu, metric %u", kind_names[kind], s, metric);
                agrees_with_twin(&p, what);
                p.x_groups = mine;
                p.y_groups = m ? theirs : mine;
                agrees_with_twin(&p, what);
                drop(x);
                drop(y);
                free(mine);
                free(theirs);
            }
}

Test(count_within, counts_the_distances_below_the_radius)
{
    dal_rng r = dal_rng_from_key(7);
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *h = dal_runtime_host(rt, "test");
    for (int kind = 0; kind < TINY_VALUES; kind++) /* whose squares are denormal here, and zero in tasks */
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const int64_t d = shapes[s].d, n = shapes[s].n, m = shapes[s].m ? shapes[s].m : 1;
            dal_matrix x = drawn(kind, &r, n, d, d + (int64_t)(s % 2)), y = drawn(kind, &r, m, d, d);
            float *xn = malloc(n * sizeof *xn), *yn = malloc(m * sizeof *yn);
            int64_t *counts = malloc(n * sizeof *counts);
            /* a distance that occurs, so that "below" is put to the test */
            const float radius = dal_squared_distance(x.data + n / 2 * x.stride, y.data + m / 2 * y.stride, d);
            for (int64_t i = 0; i < n; i++)
                counts[i] = i;
            cr_assert_eq(dal_row_norms(h, &x, "x", xn, NULL), DAL_OK);
            cr_assert_eq(dal_row_norms(h, &y, "y", yn, NULL), DAL_OK);
            cr_assert_eq(dal_count_within(h, &x, xn, &y, yn, radius, counts, NULL), DAL_OK);
            for (int64_t i = 0; i < n; i++) {
                int64_t want = i;
                for (int64_t j = 0; j < m; j++)
                    want += dal_squared_distance(x.data + i * x.stride, y.data + j * y.stride, d) < radius;
                cr_assert_eq(counts[i], want, "%s, shape %zu, row %lld: %lld, expected %lld", kind_names[kind], s,
                             (long long)i, (long long)counts[i], (long long)want);
            }
            drop(x);
            drop(y);
            free(xn);
            free(yn);
            free(counts);
        }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(unit_rows, have_length_one_or_none)
{
    static const float x[6] = {3, 4, 0, 0, 0, -2};
    float out[6];
    const dal_matrix m = {x, 3, 2, 2};
    dal_runtime *rt = fx_runtime(2, 1);
    cr_assert_eq(dal_unit_rows(dal_runtime_host(rt, "test"), &m, out, NULL), DAL_OK);
    const float want[6] = {0.6f, 0.8f, 0, 0, 0, -1};
    cr_assert_arr_eq(out, want, sizeof want);
    const float bad[6] = {1, 0, NAN, 0, 1, 1};
    const dal_matrix b = {bad, 3, 2, 2};
    dal_error err = DAL_ERROR_INIT;
    fx_expect(&err, dal_unit_rows(dal_runtime_host(rt, "test"), &b, out, &err), DAL_E_INVALID, "",
              "row 1, column 0 is nan");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(neighbours, refuse_what_cannot_be_measured)
{
    float good[6] = {1, 2, 3, 4, 5, 6}, bad[6] = {1, 2, 3, NAN, 5, 6}, distance[6];
    int64_t index[6];
    const dal_neighbours_problem fine = {.struct_size = sizeof fine, .x = {good, 3, 2, 2}, .y = {good, 3, 2, 2},
                                         .k = 1};
    dal_runtime *rt = fx_runtime(2, 1);
    const dal_host *h = dal_runtime_host(rt, "test");
    dal_neighbours_problem p = fine;
    dal_error err = DAL_ERROR_INIT;
    p.x.data = bad;
    cr_assert_eq(dal_neighbours(h, &p, index, distance, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "sample features: row 1, column 1 is nan"), "%s", err.text);
    p = fine;
    p.y.data = bad;
    cr_assert_eq(dal_neighbours(h, &p, index, distance, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "neighbour features: row 1"), "%s", err.text);
    p = fine;
    p.k = 0;
    cr_assert_eq(dal_neighbours(h, &p, index, distance, &err), DAL_E_INVALID);
    p = fine;
    p.y.cols = 3;
    cr_assert_eq(dal_neighbours(h, &p, index, distance, &err), DAL_E_INVALID);
    p = fine;
    p.metric = 2;
    cr_assert_eq(dal_neighbours(h, &p, index, distance, &err), DAL_E_INVALID);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(neighbours, give_up_cleanly_without_memory)
{
    float x[64], norms[16], distance[32];
    int64_t index[32], counts[16] = {0};
    for (int i = 0; i < 64; i++)
        x[i] = (float)(i * i % 17);
    const dal_matrix m = {x, 16, 4, 4};
    const dal_neighbours_problem p = {.struct_size = sizeof p, .x = m, .y = m, .k = 2, .self = 1};
    for (int64_t call = 1; call <= 4; call++) {
        const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = call};
        dal_runtime *rt = dal_runtime_new(&config, NULL);
        dal_error err = DAL_ERROR_INIT;
        const dal_status st = dal_neighbours(dal_runtime_host(rt, "test"), &p, index, distance, &err);
        cr_assert_eq(st, call < 4 ? DAL_E_NOMEM : DAL_OK, "allocation %lld: %d", (long long)call, st);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = 1};
    dal_runtime *rt = dal_runtime_new(&config, NULL);
    const dal_host *h = dal_runtime_host(rt, "test");
    cr_assert_eq(dal_row_norms(h, &m, "x", norms, NULL), DAL_OK);
    cr_assert_eq(dal_count_within(h, &m, norms, &m, norms, 1, counts, NULL), DAL_E_NOMEM);
    dal_runtime_free(rt);
}
