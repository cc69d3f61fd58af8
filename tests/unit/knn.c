#include "tests/unit/models.h"

#include "plugins/models/knn.c"

static const options five = {5, UNIFORM}, near_first = {7, 1}, all_of_them = {10000, UNIFORM};

static void *make(dal_runtime *rt, const options *o, const fx_list *l)
{
    void *m = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(impl.create(dal_runtime_host(rt, "knn"), o, &l->s.spec, &m, &err), DAL_OK, "%s", err.text);
    return m;
}

/* Slow and obvious: sort all by distance, in double. */
static void twin(const options *o, const fx_list *train, const float *x, double *p)
{
    const int64_t n = train->s.n, d = train->s.spec.shape[0], c = train->s.spec.n_classes;
    double distance[512], sum = 0;
    int used[512] = {0}, exact = 0;
    for (int64_t i = 0; i < n; i++) {
        distance[i] = 0;
        for (int64_t j = 0; j < d; j++)
            distance[i] += pow((double)x[j] - (double)((float *)train->data)[i * d + j], 2);
    }
    for (int64_t k = 0; k < c; k++)
        p[k] = 0;
    for (int turn = 0; turn < 2; turn++) {
        memset(used, 0, sizeof used);
        for (int64_t k = 0; k < o->k && k < n; k++) {
            int64_t best = -1;
            for (int64_t i = 0; i < n; i++)
                if (!used[i] && (best < 0 || distance[i] < distance[best]))
                    best = i;
            used[best] = 1;
            exact |= distance[best] == 0;
            const double w = train->weights ? (double)train->weights[best] : 1;
            const double own = o->vote == UNIFORM ? w : exact ? w * (distance[best] == 0) : w / sqrt(distance[best]);
            if (turn == 1) {
                p[train->classes[best]] += own;
                sum += own;
            }
        }
    }
    for (int64_t k = 0; k < c; k++)
        p[k] /= sum;
}

static void agrees(const options *o, int weighted)
{
    dal_runtime *rt = fx_runtime(1, 1);
    fx_list *train = fx_clusters(300, 6, 4, DAL_F32, 0.5, 1), *test = fx_clusters(90, 6, 4, DAL_F32, 0.5, 2);
    train->weights = malloc(300 * sizeof *train->weights);
    for (int i = 0; i < 300; i++)
        train->weights[i] = (float)(i % 5 + 1);
    train->s.weights = weighted ? train->weights : NULL;
    memcpy(test->data, train->data, 6 * sizeof(float)); /* one is in the training set */
    if (!weighted) {
        free(train->weights);
        train->weights = NULL;
    }
    void *m = make(rt, o, train);
    fx_fit(&impl, m, train, 0, 0);
    float *p = fx_predict(&impl, m, test, 90), *one = fx_predict(&impl, m, test, 1);
    cr_assert_arr_eq(p, one, 90 * 4 * sizeof *p);
    for (int i = 0; i < 90; i++) {
        double want[4];
        twin(o, train, (float *)test->data + i * 6, want);
        for (int k = 0; k < 4; k++)
            cr_assert_float_eq(p[i * 4 + k], want[k], 1e-5, "sample %d, class %d", i, k);
    }
    free(p);
    free(one);
    impl.destroy(m);
    fx_list_free(train);
    fx_list_free(test);
    dal_runtime_free(rt);
}

Test(knn, counts_the_nearest_as_its_slow_twin_does)
{
    agrees(&five, 0);
    agrees(&five, 1);
    agrees(&near_first, 0);
    agrees(&near_first, 1);
    agrees(&all_of_them, 0);
}

Test(knn, comes_back_from_bytes_it_does_not_trust)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *l = fx_clusters(40, 3, 2, DAL_U8, 0.2, 1);
    void *m = make(rt, &five, l), *back = make(rt, &five, l);
    fx_fit(&impl, m, l, 0, 0);
    fx_bytes b = fx_save(&impl, m);
    b.chunk = 11;
    cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_OK, "%s", err.text);
    float *p = fx_predict(&impl, m, l, 16), *q = fx_predict(&impl, back, l, 16);
    cr_assert_arr_eq(p, q, 80 * sizeof *p);
    cr_assert_geq(fx_accuracy(p, l), 0.9);
    for (size_t i = 0; i < b.n; i += 3) {
        b.data[i] ^= 0x10;
        cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_E_FORMAT, "byte %zu", i);
        b.data[i] ^= 0x10;
    }
    for (size_t n = 0; n < b.n; n += 7) {
        fx_bytes cut = {b.data, n, 0, 0};
        cr_assert_eq(fx_load(&impl, back, &cut, &err), DAL_E_FORMAT);
    }
    free(p);
    free(q);
    free(b.data);
    impl.destroy(m);
    impl.destroy(back);
    fx_list_free(l);
    dal_runtime_free(rt);
}
