/* k-center greedy against its two lines, pick for pick and bit for bit. */
#include "tests/unit/fixture.h"

#include <dal/kcenter.h>
#include <dal/linalg.h>
#include <math.h>

/* The plain algorithm: one pass over all candidates a pick. */
static int64_t twin(const dal_kcenter_problem *p, int64_t *picks, float *distance)
{
    const dal_matrix *x = &p->candidates;
    const int64_t want = p->n_picks < x->rows ? p->n_picks : x->rows;
    float *m = malloc((size_t)(x->rows + 1) * sizeof *m);
    int64_t n_centres = 0;
    for (int64_t i = 0; i < x->rows; i++)
        m[i] = INFINITY;
    for (int64_t c = 0; c < p->n_centres; c++)
        for (int64_t j = 0; j < p->centres[c].rows; j++, n_centres++)
            for (int64_t i = 0; i < x->rows; i++)
                m[i] = fminf(m[i], dal_squared_distance(x->data + i * x->stride,
                                                        p->centres[c].data + j * p->centres[c].stride, x->cols));
    for (int64_t k = 0; k < want; k++) {
        int64_t best = k == 0 && n_centres == 0 ? p->first : -1;
        for (int64_t i = 0; best < 0 || i < x->rows; i++)
            if (m[i] >= 0 && (best < 0 || (m[i] > m[best])))
                best = i;
        picks[k] = best;
        distance[k] = m[best];
        for (int64_t i = 0; i < x->rows; i++)
            m[i] = fminf(m[i], dal_squared_distance(x->data + i * x->stride, x->data + best * x->stride, x->cols));
        m[best] = -1;
    }
    free(m);
    return want;
}

typedef struct twin_job {
    const dal_kcenter_problem *p;
    int64_t *picks, n;
    float *distance;
} twin_job;

/* As a task, because denormals count as zero there. */
static dal_status twin_task(void *ctx, int64_t i)
{
    twin_job *j = ctx;
    (void)i;
    j->n = twin(j->p, j->picks, j->distance);
    return DAL_OK;
}

static void agrees_with_twin(const dal_kcenter_problem *p, const char *what)
{
    const size_t room = (size_t)p->n_picks + 1;
    int64_t *want = malloc(room * sizeof *want), *got = malloc(room * sizeof *got), n;
    float *want_d = malloc(room * sizeof *want_d), *got_d = malloc(room * sizeof *got_d);
    twin_job slow = {p, want, 0, want_d};
    for (int32_t threads = 1; threads <= 4; threads += 3) {
        dal_runtime *rt = fx_runtime(threads, 1);
        const dal_host *h = dal_runtime_host(rt, "test");
        dal_error err = DAL_ERROR_INIT;
        h->parallel_for(h, 1, twin_task, &slow);
        cr_assert_eq(dal_kcenter(h, p, got, got_d, &n, &err), DAL_OK, "%s", err.text);
        cr_assert_eq(n, slow.n);
        for (int64_t k = 0; k < n; k++)
            cr_assert(got[k] == want[k] && memcmp(&got_d[k], &want_d[k], sizeof *got_d) == 0,
                      "%s: pick %lld is %lld at %.9g, expected %lld at %.9g", what, (long long)k,
                      (long long)got[k], (double)got_d[k], (long long)want[k], (double)want_d[k]);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
    free(want);
    free(got);
    free(want_d);
    free(got_d);
}

/* ---- kinds of features ------------------------------------------------------------------------ */

enum { NORMAL, CLUSTERED, RELU, DUPLICATES, GRID, ZERO, FAR_FROM_ORIGIN, TINY_VALUES, KINDS };
static const char *const kind_names[] = {"normal", "clustered", "relu", "duplicates", "grid", "zero",
                                         "far from the origin", "tiny"};

static void fill(int kind, dal_rng *r, const dal_matrix *x)
{
    float *data = (float *)(uintptr_t)x->data;
    for (int64_t i = 0; i < x->rows; i++) {
        const int64_t source = kind == DUPLICATES ? dal_rng_below(r, 7) : i;
        const int64_t cluster = dal_rng_below(r, 5);
        for (int64_t k = 0; k < x->cols; k++) {
            const double g = dal_rng_normal(r);
            double v = g;
            switch (kind) {
            case CLUSTERED: v = (double)((cluster * 7 + k * 13) % 11) * 3 + 0.1 * g; break;
            case RELU: v = g > 0 ? g : 0; break;
            case DUPLICATES: v = (double)((source * 31 + k * 17) % 23); break;
            case GRID: v = (double)dal_rng_below(r, 3); break;
            case ZERO: v = 0; break;
            case FAR_FROM_ORIGIN: v = 1000 + g; break;
            case TINY_VALUES: v = 1e-19 * g; break;
            default: break;
            }
            data[i * x->stride + k] = (float)v;
        }
    }
}

static dal_matrix matrix(int64_t rows, int64_t cols, int64_t stride)
{
    return (dal_matrix){calloc((size_t)(rows * stride + 1), sizeof(float)), rows, cols, stride};
}

static void drop(dal_matrix m)
{
    free((void *)(uintptr_t)m.data);
}

static const struct {
    int64_t n, n_labelled, d, b;
} shapes[] = {{1, 0, 1, 1},     {5, 0, 3, 9},      {5, 2, 3, 9},      {60, 0, 2, 60},   {300, 1, 2, 40},
              {300, 70, 31, 30}, {200, 600, 32, 50}, {257, 513, 33, 20}, {129, 64, 100, 129}, {400, 1100, 5, 25}};

Test(kcenter, picks_what_the_plain_algorithm_picks)
{
    dal_rng r = dal_rng_from_key(6);
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const int64_t d = shapes[s].d;
            dal_matrix x = matrix(shapes[s].n, d, d + (int64_t)(s % 2)), y = matrix(shapes[s].n_labelled, d, d);
            char what[100];
            fill(kind, &r, &x);
            fill(kind, &r, &y);
            const dal_kcenter_problem p = {.struct_size = sizeof p, .candidates = x, .centres = &y, .n_centres = 1,
                                           .n_picks = shapes[s].b};
            snprintf(what, sizeof what, "%s, shape %zu", kind_names[kind], s);
            agrees_with_twin(&p, what);
            drop(x);
            drop(y);
        }
}

Test(kcenter, counts_all_matrices_of_centres_and_starts_where_it_is_told)
{
    dal_rng r = dal_rng_from_key(7);
    dal_matrix x = matrix(90, 6, 6), y[3] = {matrix(20, 6, 6), matrix(0, 6, 6), matrix(8, 6, 9)};
    fill(NORMAL, &r, &x);
    fill(NORMAL, &r, &y[0]);
    fill(CLUSTERED, &r, &y[2]);
    dal_kcenter_problem p = {.struct_size = sizeof p, .candidates = x, .centres = y, .n_centres = 3, .first = 50,
                             .n_picks = 30};
    agrees_with_twin(&p, "three matrices");
    p.n_centres = 0;
    agrees_with_twin(&p, "no centres");
    int64_t picks[30], n;
    float distance[30];
    dal_runtime *rt = fx_runtime(1, 1);
    cr_assert_eq(dal_kcenter(dal_runtime_host(rt, "test"), &p, picks, distance, &n, NULL), DAL_OK);
    cr_assert(picks[0] == 50 && isinf(distance[0]));
    dal_runtime_free(rt);
    drop(x);
    for (int i = 0; i < 3; i++)
        drop(y[i]);
}

/* Labelled (0,0); pool (1,0) (4,0) (4,1) (0,3): the farthest is 2 at sqrt 17, then 3 at 3, then 0 and 1 tie. */
Test(kcenter, agrees_with_the_worked_example)
{
    static const float pool[8] = {1, 0, 4, 0, 4, 1, 0, 3}, origin[2] = {0, 0};
    const dal_matrix y = {origin, 1, 2, 2};
    const dal_kcenter_problem p = {.struct_size = sizeof p, .candidates = {pool, 4, 2, 2}, .centres = &y,
                                   .n_centres = 1, .n_picks = 4};
    int64_t picks[4], n;
    float distance[4];
    dal_runtime *rt = fx_runtime(1, 1);
    cr_assert_eq(dal_kcenter(dal_runtime_host(rt, "test"), &p, picks, distance, &n, NULL), DAL_OK);
    cr_assert(n == 4 && picks[0] == 2 && picks[1] == 3 && picks[2] == 0 && picks[3] == 1);
    cr_assert(distance[0] == 17 && distance[1] == 9 && distance[2] == 1 && distance[3] == 1);
    dal_runtime_free(rt);
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void refused(dal_kcenter_problem p, dal_status status, const char *words)
{
    int64_t picks[8], n;
    float distance[8];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    cr_assert_eq(dal_kcenter(dal_runtime_host(rt, "test"), &p, picks, distance, &n, &err), status);
    cr_assert(strstr(err.text, words), "found '%s', expected '%s'", err.text, words);
    cr_assert_eq(n, 0);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(kcenter, refuses_features_it_cannot_measure)
{
    float good[6] = {1, 2, 3, 4, 5, 6}, bad[6] = {1, 2, 3, 4, 5, 6};
    const dal_matrix fine = {good, 3, 2, 2}, wide = {good, 2, 3, 3}, spoilt = {bad, 3, 2, 2};
    dal_kcenter_problem p = {.struct_size = sizeof p, .candidates = spoilt, .centres = &fine, .n_centres = 1,
                             .n_picks = 2};
    bad[3] = NAN;
    refused(p, DAL_E_INVALID, "candidate features: row 1, column 1 is nan, expected finite numbers");
    bad[3] = -INFINITY;
    refused(p, DAL_E_INVALID, "row 1, column 1 is -inf");
    bad[3] = 1e19f;
    refused(p, DAL_E_INVALID, "row 1 is so large (length 1e+19) that distances overflow");
    p.candidates = fine;
    p.centres = &spoilt;
    refused(p, DAL_E_INVALID, "labelled features: row 1");
    p.centres = &wide;
    refused(p, DAL_E_INVALID, "candidates are 2 wide and those of labelled samples 3");
    p.centres = &fine;
    p.first = 3;
    refused(p, DAL_E_INVALID, "row 3 is to be picked first of 3");
    p.first = 0;
    p.candidates.cols = 0;
    refused(p, DAL_E_INVALID, "width 0");
}

Test(kcenter, gives_up_cleanly_without_memory)
{
    float x[64];
    for (int i = 0; i < 64; i++)
        x[i] = (float)(i * i % 17);
    const dal_matrix y = {x, 4, 4, 4};
    const dal_kcenter_problem p = {.struct_size = sizeof p, .candidates = {x, 16, 4, 4}, .centres = &y,
                                   .n_centres = 1, .n_picks = 5};
    int64_t picks[5], n, failures = 0;
    float distance[5];
    for (int64_t call = 1;; call++) {
        const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = call};
        dal_runtime *rt = dal_runtime_new(&config, NULL);
        dal_error err = DAL_ERROR_INIT;
        const dal_status st = dal_kcenter(dal_runtime_host(rt, "test"), &p, picks, distance, &n, &err);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK)
            break;
        cr_assert_eq(st, DAL_E_NOMEM);
        cr_assert(strstr(err.text, "no memory"), "%s", err.text);
        failures++;
    }
    cr_assert_geq(failures, 8);
}

static int32_t always(void *ctx)
{
    (void)ctx;
    return 1;
}

Test(kcenter, stops_when_cancelled)
{
    float x[64] = {0};
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .cancelled = always};
    dal_runtime *rt = dal_runtime_new(&config, NULL);
    const dal_matrix y = {x, 4, 4, 4};
    dal_kcenter_problem p = {.struct_size = sizeof p, .candidates = {x, 16, 4, 4}, .centres = &y, .n_centres = 1,
                             .n_picks = 5};
    int64_t picks[5], n;
    float distance[5];
    cr_assert_eq(dal_kcenter(dal_runtime_host(rt, "test"), &p, picks, distance, &n, NULL), DAL_E_CANCELLED);
    p.n_centres = 0;
    cr_assert_eq(dal_kcenter(dal_runtime_host(rt, "test"), &p, picks, distance, &n, NULL), DAL_E_CANCELLED);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
