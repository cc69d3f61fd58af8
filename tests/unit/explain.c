/* Where picks lie, against a twin that measures everything. */
#include <criterion/criterion.h>
#include <dal/linalg.h>
#include <dal/runtime.h>
#include <math.h>
#include <stdlib.h>

#include "pipeline/explain.h"
#include "util/text.h"

typedef struct world {
    dal_runtime *rt;
    provider p;
    float *x; /* [n, d] by pool index */
    int64_t n, d;
    int64_t *picks, *candidates, *labelled;
    int64_t n_picks, n_candidates, n_labelled;
} world;

static dal_status features(const provider *p, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out,
                           dal_matrix *both, dal_error *err)
{
    const world *w = p->impl;
    (void)both;
    float *h = floats_reserve(&s->features, n, w->d, 1, err);
    for (int64_t i = 0; i < n; i++) {
        cr_assert(ids[i] >= 0 && ids[i] < w->n && (i == 0 || ids[i] > ids[i - 1]), "providers are asked in order");
        memcpy(h + i * w->d, w->x + ids[i] * w->d, (size_t)w->d * sizeof *h);
    }
    *out = (dal_matrix){h, n, w->d, w->d};
    return DAL_OK;
}

/* Every third sample is labelled, the others are candidates; picks are candidates in no order. */
static void world_init(world *w, int threads, int64_t n, int64_t d, int64_t n_picks, bool twins)
{
    dal_error err = DAL_ERROR_INIT;
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = threads, .seed = 7};
    *w = (world){.n = n, .d = d, .n_picks = n_picks};
    w->rt = dal_runtime_new(&config, &err);
    cr_assert(w->rt, "%s", err.text);
    const dal_host *h = dal_runtime_host(w->rt, "test");
    w->p = (provider){.host = h, .d = d, .features = features, .impl = w};
    dal_rng r = h->rng(h, "x", 0);
    w->x = xcalloc((size_t)(n * d), sizeof *w->x);
    for (int64_t i = 0; i < n * d; i++)
        w->x[i] = twins ? (float)dal_rng_below(&r, 3) : 5 + (float)dal_rng_normal(&r); /* few values: many ties */
    w->picks = xcalloc((size_t)n, sizeof *w->picks);
    w->candidates = xcalloc((size_t)n, sizeof *w->candidates);
    w->labelled = xcalloc((size_t)n, sizeof *w->labelled);
    for (int64_t i = 0; i < n; i++)
        if (i % 3 == 2)
            w->labelled[w->n_labelled++] = i;
        else
            w->candidates[w->n_candidates++] = i;
    memcpy(w->picks, w->candidates, (size_t)w->n_candidates * sizeof *w->picks);
    dal_rng_shuffle(&r, w->picks, w->n_candidates, n_picks);
}

static void world_fini(world *w)
{
    free(w->x);
    free(w->picks);
    free(w->candidates);
    free(w->labelled);
    dal_runtime_free(w->rt);
}

/* The nearest of ids[n] to sample x, but not `self`; the first of equals. */
static int64_t slow_nearest(const world *w, int64_t x, const int64_t *ids, int64_t n, int64_t self, double *distance)
{
    float best = INFINITY;
    int64_t found = -1;
    for (int64_t j = 0; j < n; j++) {
        const float m = dal_squared_distance(w->x + x * w->d, w->x + ids[j] * w->d, w->d);
        if (ids[j] != self && m < best) {
            best = m;
            found = j;
        }
    }
    *distance = found < 0 ? (double)NAN : sqrt((double)best);
    return found;
}

typedef struct near {
    double distance;
    int64_t id;
} near;

static int by_distance(const void *a, const void *b)
{
    const near *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static bool is_pick(const world *w, int64_t id)
{
    for (int64_t i = 0; i < w->n_picks; i++)
        if (w->picks[i] == id)
            return true;
    return false;
}

static void same(double a, double b)
{
    cr_assert(a == b || (isnan(a) && isnan(b)), "%.17g is not %.17g", a, b);
}

/* What pick k stands for, nearest first; the number of them. */
static int64_t slow_share(const world *w, int64_t k, near *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < w->n_candidates; i++) {
        const int64_t id = w->candidates[i];
        double distance;
        if (!is_pick(w, id) && slow_nearest(w, id, w->picks, w->n_picks, -1, &distance) == k)
            out[n++] = (near){distance, id};
    }
    qsort(out, (size_t)n, sizeof *out, by_distance);
    return n;
}

static void agrees(const world *w, const explanation *e)
{
    near *share = xcalloc((size_t)w->n_candidates, sizeof *share);
    for (int64_t k = 0; k < w->n_picks; k++) {
        double distance;
        const int64_t other = slow_nearest(w, w->picks[k], w->picks, w->n_picks, w->picks[k], &distance);
        cr_assert_eq(e[k].other, other < 0 ? -1 : w->picks[other]);
        same(e[k].other_distance, distance);
        const int64_t n = slow_share(w, k, share);
        cr_assert_eq(e[k].stands_for, n, "pick %d stands for %d, the twin says %d", (int)k, (int)e[k].stands_for,
                     (int)n);
        for (int64_t i = 0; i < STORE_FEW; i++) {
            cr_assert_eq(e[k].few[i], i < n ? share[i].id : -1);
            same(e[k].few_distance[i], i < n ? share[i].distance : (double)NAN);
        }
    }
    free(share);
}

static void explain(world *w, const dal_matrix *ready, explanation *out)
{
    dal_error err = DAL_ERROR_INIT;
    const space s = space_of(&w->p, NULL);
    cr_assert_eq(s.width, w->d);
    cr_assert_eq(explain_picks(&s, w->picks, w->n_picks, w->candidates, w->n_candidates, ready, out, &err), DAL_OK,
                 "%s", err.text);
}

Test(explain, tells_what_a_slow_twin_tells)
{
    static const struct {
        int64_t n, d, picks;
        bool twins;
    } cases[] = {{1, 1, 1, false},    {3, 2, 2, false},  {50, 1, 33, true},  {400, 3, 20, true}, {900, 17, 600, true},
                 {900, 40, 5, false}, {700, 8, 1, false}, {600, 64, 400, false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        world w;
        world_init(&w, 3, cases[c].n, cases[c].d, cases[c].picks, cases[c].twins);
        explanation *e = xcalloc((size_t)w.n_picks, sizeof *e);
        explain(&w, NULL, e);
        agrees(&w, e);
        free(e);
        world_fini(&w);
    }
}

Test(explain, finds_the_nearest_label_that_a_slow_twin_finds)
{
    for (int twins = 0; twins < 2; twins++) {
        world w;
        dal_error err = DAL_ERROR_INIT;
        world_init(&w, 2, 1900, 12, 300, twins);
        const space s = space_of(&w.p, NULL);
        int64_t nearest[300];
        double distance[300], expected;
        cr_assert_eq(explain_nearest(&s, w.picks, 300, w.labelled, w.n_labelled, nearest, distance, &err), DAL_OK);
        for (int i = 0; i < 300; i++) {
            const int64_t want = slow_nearest(&w, w.picks[i], w.labelled, w.n_labelled, -1, &expected);
            cr_assert_eq(nearest[i], w.labelled[want]);
            same(distance[i], expected);
        }
        cr_assert_eq(explain_nearest(&s, w.picks, 300, w.labelled, 0, nearest, distance, &err), DAL_OK);
        cr_assert(nearest[7] == -1 && isnan(distance[7]), "nothing is labelled");
        world_fini(&w);
    }
}

Test(explain, takes_features_that_lie_ready)
{
    world w;
    world_init(&w, 2, 700, 9, 50, true);
    explanation e[50], f[50];
    float *rows = xcalloc((size_t)(w.n_candidates * w.d), sizeof *rows);
    for (int64_t i = 0; i < w.n_candidates; i++)
        memcpy(rows + i * w.d, w.x + w.candidates[i] * w.d, (size_t)w.d * sizeof *rows);
    const dal_matrix ready = {rows, w.n_candidates, w.d, w.d};
    explain(&w, NULL, e);
    explain(&w, &ready, f);
    for (int i = 0; i < 50; i++)
        cr_assert(e[i].stands_for == f[i].stands_for && e[i].few[0] == f[i].few[0] && e[i].other == f[i].other);
    free(rows);
    world_fini(&w);
}

Test(explain, of_numbers_that_are_not_finite_is_near_to_nothing)
{
    world w;
    world_init(&w, 1, 300, 4, 10, false);
    explanation e[10];
    const int64_t lost = w.picks[3];
    w.x[lost * w.d] = NAN;
    int64_t stray = 0; /* a candidate that is no pick */
    while (is_pick(&w, w.candidates[stray]))
        stray++;
    w.x[w.candidates[stray] * w.d + 1] = INFINITY;
    explain(&w, NULL, e);
    int64_t sum = 0;
    for (int i = 0; i < 10; i++) {
        sum += e[i].stands_for;
        cr_assert_neq(e[i].other, lost);
    }
    cr_assert(e[3].other == -1 && e[3].stands_for == 0);
    cr_assert_eq(sum, w.n_candidates - 10 - 1);
    world_fini(&w);
}
