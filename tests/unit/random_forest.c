#include "tests/unit/models.h"

#include "plugins/models/random_forest.c"

static const options usual = {.trees = 30, .max_depth = 50, .max_features = 0, .min_leaf = 1, .bootstrap = 1};

static void *make(dal_runtime *rt, const options *o, const fx_list *l)
{
    void *m = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(impl.create(dal_runtime_host(rt, "random-forest"), o, &l->s.spec, &m, &err), DAL_OK, "%s", err.text);
    return m;
}

/* ---- one tree, slow and obvious ----------------------------------------------------------------- */

typedef struct rows {
    const float *x;
    const int32_t *y;
    const double *w;
    int n, d, c, max_depth, min_leaf;
} rows;

static double gini(const rows *r, const int *in, int f, double at, int side, int *n, double *share)
{
    double mass[8] = {0}, all = 0, squares = 0;
    *n = 0;
    for (int i = 0; i < r->n; i++)
        if (in[i] && (f < 0 || ((double)r->x[i * r->d + f] > at) == side)) {
            mass[r->y[i]] += r->w[i];
            all += r->w[i];
            (*n)++;
        }
    for (int k = 0; k < r->c; k++) {
        squares += mass[k] * mass[k];
        if (share)
            share[k] = mass[k] / all;
    }
    return all - squares / all;
}

/* Shares at row q: of one feature, so that no draw decides. */
static void slow(const rows *r, const int *in, double q, int depth, double *share)
{
    int n, a, b, part[128];
    double best = INFINITY, best_at = 0, next = INFINITY;
    const double all = gini(r, in, -1, 0, 0, &n, share);
    for (int i = 0; i < r->n && all > 1e-12 && depth < r->max_depth; i++) {
        const double at = (double)r->x[i];
        if (!in[i])
            continue;
        const double left = gini(r, in, 0, at, 0, &a, NULL), right = gini(r, in, 0, at, 1, &b, NULL);
        if (a >= r->min_leaf && b >= r->min_leaf &&
            (left + right < best - 1e-9 || (left + right < best + 1e-9 && at < best_at))) {
            best = left + right;
            best_at = at;
        }
    }
    if (isinf(best))
        return;
    for (int i = 0; i < r->n; i++)
        if (in[i] && (double)r->x[i] > best_at)
            next = fmin(next, (double)r->x[i]);
    const int side = q > (best_at + next) / 2;
    for (int i = 0; i < r->n; i++)
        part[i] = in[i] && ((double)r->x[i] > best_at) == side;
    slow(r, part, q, depth + 1, share);
}

Test(random_forest, grows_the_tree_that_looking_at_every_split_grows)
{
    static float x[100];
    static int32_t y[100];
    static double w[100];
    dal_runtime *rt = fx_runtime(1, 1);
    for (int turn = 0; turn < 12; turn++) {
        dal_rng rng = dal_rng_from_key((uint64_t)turn);
        int in[100];
        for (int i = 0; i < 100; i++) {
            in[i] = 1;
            x[i] = (float)dal_rng_below(&rng, 30);
            y[i] = (int32_t)(dal_rng_uniform(&rng) < 0.7 ? (int)x[i] / 8 % 3 : dal_rng_below(&rng, 3));
            w[i] = turn % 2 ? 1 : 0.5 + (double)dal_rng_below(&rng, 3);
        }
        const rows r = {x, y, w, 100, 1, 3, turn % 3 == 0 ? 2 : 40, turn % 4 == 0 ? 7 : 1};
        const dal_forest_spec spec = {sizeof spec, 0, 1, r.max_depth, 1, r.min_leaf};
        const dal_rng stream = dal_rng_from_key(2);
        dal_forest *f;
        dal_error err = DAL_ERROR_INIT;
        cr_assert_eq(dal_forest_grow_classes(dal_runtime_host(rt, "t"), &spec, &(dal_matrix){x, 100, 1, 1}, y,
                                             turn % 2 ? NULL : w, 3, &stream, &f, &err), DAL_OK, "%s", err.text);
        for (int i = 0; i < 60; i++) {
            const float q = (float)i / 2 + 0.1f;
            double got[3], want[3];
            dal_forest_shares(f, &q, got);
            slow(&r, in, (double)q, 0, want);
            for (int k = 0; k < 3; k++)
                cr_assert_float_eq(got[k], want[k], 1e-6, "turn %d, %g: class %d has %g, not %g", turn, (double)q, k,
                                   got[k], want[k]);
        }
        dal_forest_free(f);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* Exclusive or: the first split lowers nothing. And a feature that is the same everywhere is no reason to stop. */
Test(random_forest, parts_what_no_single_split_parts)
{
    static const float x[4 * 3] = {0, 0, 7, 0, 1, 7, 1, 0, 7, 1, 1, 7};
    static const int32_t y[4] = {0, 1, 1, 0};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_forest_spec spec = {sizeof spec, 0, 20, 9, 1, 1};
    const dal_rng stream = dal_rng_from_key(2);
    dal_forest *f;
    cr_assert_eq(dal_forest_grow_classes(dal_runtime_host(rt, "t"), &spec, &(dal_matrix){x, 4, 3, 3}, y, NULL, 2,
                                         &stream, &f, NULL),
                 DAL_OK);
    for (int i = 0; i < 4; i++) {
        double p[2];
        dal_forest_shares(f, x + i * 3, p);
        cr_assert(p[y[i]] == 1);
    }
    cr_assert_float_eq(dal_forest_depth(f), 2, 1e-12);
    dal_forest_free(f);
    dal_runtime_free(rt);
}

/* ---- the model ---------------------------------------------------------------------------------- */

static float *outputs_with(int threads, int64_t block)
{
    dal_runtime *rt = fx_runtime(threads, 1);
    fx_list *l = fx_clusters(150, 12, 4, DAL_U8, 0.4, 3);
    void *m = make(rt, &usual, l);
    fx_fit(&impl, m, l, 2, 0);
    float *p = fx_predict(&impl, m, l, block);
    impl.destroy(m);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    fx_list_free(l);
    dal_runtime_free(rt);
    return p;
}

Test(random_forest, gives_the_same_bits_with_any_threads_and_blocks)
{
    float *p = outputs_with(1, 150), *q = outputs_with(3, 7);
    cr_assert_arr_eq(p, q, 600 * sizeof *p);
    free(p);
    free(q);
}

Test(random_forest, is_better_than_a_tree_and_knows_out_of_bag_how_good_it_is)
{
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *l = fx_clusters(400, 10, 4, DAL_F32, 0.35, 1), *test = fx_clusters(800, 10, 4, DAL_F32, 0.35, 2);
    double accuracy[2];
    for (int k = 0; k < 2; k++) {
        options o = usual;
        o.trees = k ? 100 : 1;
        forest *m = make(rt, &o, l);
        fx_fit(&impl, m, l, 0, 0);
        float *p = fx_predict(&impl, m, test, 800);
        accuracy[k] = fx_accuracy(p, test);
        if (k) {
            double *bag = malloc(1600 * sizeof *bag), right = 0;
            dal_forest_out_of_bag_shares(m->trees, &(dal_matrix){l->data, 400, 10, 10}, bag);
            for (int i = 0; i < 400; i++) {
                int best = 0;
                for (int c = 1; c < 4; c++)
                    best = bag[i * 4 + c] > bag[i * 4 + best] ? c : best;
                right += best == l->classes[i];
            }
            cr_assert_float_eq(right / 400, accuracy[1], 0.06);
            free(bag);
        }
        free(p);
        impl.destroy(m);
    }
    cr_assert_gt(accuracy[1], accuracy[0] + 0.05, "%g, %g", accuracy[1], accuracy[0]);
    fx_list_free(l);
    fx_list_free(test);
    dal_runtime_free(rt);
}

/* Of whole weights, a sample that weighs 2 is as good as two that weigh 1; what weighs 0 is as good as not there. */
Test(random_forest, counts_weights)
{
    dal_runtime *rt = fx_runtime(1, 1);
    fx_list *once = fx_clusters(60, 1, 3, DAL_F32, 0.4, 5), *twice = fx_clusters(90, 1, 3, DAL_F32, 0.4, 5);
    int64_t n = 0;
    once->weights = malloc(60 * sizeof *once->weights);
    once->s.weights = once->weights;
    for (int64_t i = 0; i < 60; i++) {
        once->weights[i] = (float)(i % 3);
        for (int64_t k = 0; k < i % 3; k++, n++) {
            ((float *)twice->data)[n] = ((float *)once->data)[i];
            twice->classes[n] = once->classes[(i + 1) % 60];
        }
    }
    for (int64_t i = 0, first = once->classes[0]; i < 60; i++)
        once->classes[i] = (int32_t)(i < 59 ? once->classes[i + 1] : first);
    twice->s.n = n;
    options o = usual;
    o.bootstrap = 0;
    o.trees = 1;
    o.max_depth = 3;
    void *a = make(rt, &o, once), *b = make(rt, &o, twice);
    fx_fit(&impl, a, once, 0, 0);
    fx_fit(&impl, b, twice, 0, 0);
    float *p = fx_predict(&impl, a, twice, 60), *q = fx_predict(&impl, b, twice, 60);
    for (int64_t i = 0; i < n * 3; i++)
        cr_assert_float_eq(p[i], q[i], 1e-6);
    free(p);
    free(q);
    impl.destroy(a);
    impl.destroy(b);
    fx_list_free(once);
    fx_list_free(twice);
    dal_runtime_free(rt);
}

Test(random_forest, comes_back_from_bytes_it_does_not_trust)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *l = fx_clusters(40, 3, 3, DAL_U8, 0.5, 1), *wide = fx_clusters(40, 4, 3, DAL_U8, 0.5, 1);
    options o = usual;
    o.trees = 4;
    o.max_depth = 3;
    forest *m = make(rt, &o, l), *back = make(rt, &o, l), *other = make(rt, &o, wide);
    fx_fit(&impl, m, l, 0, 0);
    fx_bytes b = fx_save(&impl, m);
    cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_OK, "%s", err.text);
    float *p = fx_predict(&impl, m, l, 16), *q = fx_predict(&impl, back, l, 16);
    cr_assert_arr_eq(p, q, 120 * sizeof *p);
    fx_expect(&err, fx_load(&impl, other, &b, &err), DAL_E_FORMAT, "", "3 classes and 3 values; here there are 3 of 4");
    for (size_t i = 0; i < b.n; i += 3) {
        b.data[i] ^= 0x10;
        cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_E_FORMAT, "byte %zu", i);
        b.data[i] ^= 0x10;
    }
    /* the forest's own bytes have no checksum: whatever is taken can be asked */
    const int64_t n = dal_forest_pack(m->trees, NULL);
    unsigned char *own = malloc((size_t)n);
    dal_forest_pack(m->trees, own);
    int taken = 0;
    for (int64_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            dal_forest *f = NULL;
            own[i] ^= (unsigned char)(1 << bit);
            const dal_status st = dal_forest_unpack(dal_runtime_host(rt, "t"), own, n, &f, &err);
            cr_assert(st == DAL_OK || st == DAL_E_FORMAT);
            if (st == DAL_OK && dal_forest_classes(f) == 3 && dal_forest_features(f) == 3) {
                const float x[3] = {0.2f, 0.9f, 0.5f};
                double shares[3];
                dal_forest_shares(f, x, shares);
                taken++;
            }
            if (st == DAL_OK)
                dal_forest_free(f);
            own[i] ^= (unsigned char)(1 << bit);
        }
    cr_assert_gt(taken, 100);
    for (int64_t k = 0; k < n; k += 5) {
        dal_forest *f;
        cr_assert_eq(dal_forest_unpack(dal_runtime_host(rt, "t"), own, k, &f, &err), DAL_E_FORMAT);
    }
    free(own);
    free(p);
    free(q);
    free(b.data);
    impl.destroy(m);
    impl.destroy(back);
    impl.destroy(other);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    fx_list_free(l);
    fx_list_free(wide);
    dal_runtime_free(rt);
}

Test(random_forest, gives_everything_back_when_memory_ends)
{
    options o = usual;
    o.trees = 3;
    o.max_depth = 2;
    fx_memory_ends(&impl, &o, 60);
}
