#include "tests/unit/models.h"

#include "plugins/models/gbdt.c"

static const options usual = {.rounds = 20, .learning_rate = 0.3, .max_depth = 4, .min_child_weight = 1, .lambda = 1,
                              .subsample = 1, .colsample = 1, .max_bins = 64};

#ifndef DAL_HAVE_XGBOOST

Test(gbdt, says_that_it_was_left_out)
{
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    const dal_sample_spec spec = fx_vector_spec(3, DAL_F32, 2);
    fx_expect(&err, impl.create(dal_runtime_host(rt, "gbdt"), &usual, &spec, &self, &err), DAL_E_UNSUPPORTED, "",
              "libxgboost-dev");
    dal_runtime_free(rt);
}

#else

static void *make(dal_runtime *rt, const options *o, const fx_list *l)
{
    void *m = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(impl.create(dal_runtime_host(rt, "gbdt"), o, &l->s.spec, &m, &err), DAL_OK, "%s", err.text);
    return m;
}

/* What XGBoost itself says, from the same samples: sums of leaves and its base score of 0.5. */
static void agrees_with_xgboost(const options *o, int64_t c, int weighted, int holes)
{
    dal_runtime *rt = fx_runtime(1, 1);
    fx_list *l = fx_clusters(200, 7, c, DAL_F32, 0.5, 1);
    /* likelier in the last classes, so that both ways are taken */
    for (int i = 0; holes && i < 200 * 7; i += 3 + i % 4)
        if (l->classes[i / 7] >= c / 2 || i % 5 == 0)
            ((float *)l->data)[i] = NAN;
    if (weighted) {
        l->s.weights = l->weights = malloc(200 * sizeof *l->weights);
        for (int i = 0; i < 200; i++)
            l->weights[i] = (float)(1 + i % 3);
    }
    gbdt *m = make(rt, o, l);
    fx_fit(&impl, m, l, 5, 0);
    float *z = fx_predict(&impl, m, l, 200);
    dal_error err = DAL_ERROR_INIT;
    DMatrixHandle x = NULL;
    BoosterHandle b = NULL;
    bst_ulong n = 0;
    const float *want = NULL;
    cr_assert_eq(give_samples(m, &l->s, &x, &err), DAL_OK);
    cr_assert_eq(XGBoosterCreate(&x, 1, &b), 0);
    cr_assert_eq(configure(m, b, 5, &err), DAL_OK);
    for (int64_t r = 0; r < o->rounds; r++)
        cr_assert_eq(XGBoosterUpdateOneIter(b, (int)r, x), 0);
    cr_assert_eq(XGBoosterPredict(b, x, 1, 0, 0, &n, &want), 0);
    cr_assert_eq(n, (bst_ulong)(200 * c));
    for (int64_t i = 0; i < 200 * c; i++)
        cr_assert_float_eq((double)z[i] + 0.5, want[i], 1e-5 * (1 + fabs((double)want[i])), "%lld: %g, not %g",
                           (long long)i, (double)z[i] + 0.5, (double)want[i]);
    cr_assert_gt(fx_accuracy(z, l), 0.9);
    int64_t ways[2] = {0, 0};
    for (int64_t i = 0; i < m->n_nodes; i++)
        if (m->nodes[i].feature >= 0)
            ways[m->nodes[i].child < 0]++;
    cr_assert(!holes || (ways[0] > 0 && ways[1] > 0), "%lld, %lld", (long long)ways[0], (long long)ways[1]);
    XGBoosterFree(b);
    XGDMatrixFree(x);
    free(z);
    impl.destroy(m);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    fx_list_free(l);
    dal_runtime_free(rt);
}

Test(gbdt, says_what_xgboost_says)
{
    options some = usual;
    some.subsample = 0.7;
    some.colsample = 0.6;
    some.max_depth = 9;
    agrees_with_xgboost(&usual, 2, 0, 0);
    agrees_with_xgboost(&usual, 4, 1, 0);
    agrees_with_xgboost(&some, 3, 0, 0);
    agrees_with_xgboost(&usual, 4, 0, 1);
    agrees_with_xgboost(&some, 3, 1, 1);
}

Test(gbdt, features_are_the_inputs_with_means_for_what_is_missing)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    fx_list *l = fx_clusters(60, 3, 2, DAL_F32, 0.5, 1);
    float *x = l->data, f[3 * 4], z[2 * 4];
    double sum = 0;
    for (int i = 0; i < 60; i++) {
        x[3 * i + 2] = NAN; /* nobody has it */
        if (i % 3 == 0)
            x[3 * i] = NAN;
        else
            sum += (double)x[3 * i];
    }
    gbdt *m = make(rt, &usual, l);
    fx_fit(&impl, m, l, 0, 0);
    const dal_batch b = {.struct_size = sizeof b, .spec = &l->s.spec, .n = 4, .data = x};
    cr_assert_eq(features(m, &b, f, z, &err), DAL_OK);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(f[3 * i], i % 3 == 0 ? (float)(sum / 40) : x[3 * i]);
        cr_assert_eq(f[3 * i + 1], x[3 * i + 1]);
        cr_assert_eq(f[3 * i + 2], 0);
    }
    x[3 * 7 + 1] = -INFINITY;
    const dal_fit fit_ = {.struct_size = sizeof fit_, .train = &l->s};
    dal_fit_report report = {.struct_size = sizeof report};
    fx_expect(&err, impl.fit(m, &fit_, &report, &err), DAL_E_INVALID, "",
              "training sample 1007 has the value -inf at place 1");
    impl.destroy(m);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    fx_list_free(l);
    dal_runtime_free(rt);
}

static float *outputs_with(int threads, int64_t block, uint64_t seed)
{
    dal_runtime *rt = fx_runtime(threads, seed);
    fx_list *l = fx_clusters(150, 9, 3, DAL_U8, 0.4, 3);
    options o = usual;
    o.subsample = o.colsample = 0.5;
    void *m = make(rt, &o, l);
    fx_fit(&impl, m, l, 1, 0);
    float *z = fx_predict(&impl, m, l, block);
    impl.destroy(m);
    fx_list_free(l);
    dal_runtime_free(rt);
    return z;
}

Test(gbdt, gives_the_same_bits_with_any_threads_and_blocks_and_others_with_another_seed)
{
    float *p = outputs_with(1, 150, 1), *q = outputs_with(3, 7, 1), *other = outputs_with(1, 150, 2);
    cr_assert_arr_eq(p, q, 450 * sizeof *p);
    cr_assert_neq(memcmp(p, other, 450 * sizeof *p), 0);
    free(p);
    free(q);
    free(other);
}

Test(gbdt, comes_back_from_bytes_it_does_not_trust)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *l = fx_clusters(60, 3, 3, DAL_U8, 0.5, 1), *wide = fx_clusters(60, 4, 3, DAL_U8, 0.5, 1);
    options o = usual;
    o.rounds = 3;
    gbdt *m = make(rt, &o, l), *back = make(rt, &o, l), *other = make(rt, &o, wide);
    fx_fit(&impl, m, l, 0, 0);
    fx_bytes b = fx_save(&impl, m);
    b.chunk = 11;
    cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_OK, "%s", err.text);
    float *p = fx_predict(&impl, m, l, 16), *q = fx_predict(&impl, back, l, 16);
    cr_assert_arr_eq(p, q, 180 * sizeof *p);
    fx_expect(&err, fx_load(&impl, other, &b, &err), DAL_E_FORMAT, "", "3 classes and 3 values; here there are 3 of 4");
    for (size_t i = 0; i < b.n; i++) {
        b.data[i] ^= 0x10;
        cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_E_FORMAT, "byte %zu", i);
        b.data[i] ^= 0x10;
    }
    for (size_t n = 0; n < b.n; n += 7) {
        fx_bytes cut = {b.data, n, 0, 0};
        cr_assert_eq(fx_load(&impl, back, &cut, &err), DAL_E_FORMAT);
    }
    /* a checksum that fits around trees that cannot be */
    for (int step = 0; step < 7; step++) {
        const tree_node node = m->nodes[0];
        const int64_t at = m->tree_at[1];
        const int32_t class = m->tree_class[2];
        cr_assert_geq(node.feature, 0);
        const float mean = m->means[1];
        m->nodes[0].child = step == 0 ? 0 : step == 1 ? (int32_t)at - 1 : step == 5 ? ~(int32_t)(at - 1) : node.child;
        m->means[1] = step == 6 ? NAN : mean;
        m->nodes[0].feature = step == 2 ? 3 : node.feature;
        m->tree_at[1] = step == 3 ? 0 : at;
        m->tree_class[2] = step == 4 ? 3 : class;
        fx_bytes bad = fx_save(&impl, m);
        fx_expect(&err, fx_load(&impl, back, &bad, &err), DAL_E_FORMAT, "",
                  step < 6 ? "cannot be" : "a saved gbdt has nan for number 1");
        free(bad.data);
        m->nodes[0] = node;
        m->means[1] = mean;
        m->tree_at[1] = at;
        m->tree_class[2] = class;
    }
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

Test(gbdt, gives_everything_back_when_memory_ends)
{
    options o = usual;
    o.rounds = 2;
    fx_memory_ends(&impl, &o, 8);
}

#endif
