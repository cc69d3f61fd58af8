#include "tests/unit/models.h"

#include "plugins/models/gaussian_nb.c"

static const options usual = {1e-9};

static void *make(dal_runtime *rt, const options *o, const fx_list *l)
{
    void *m = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(impl.create(dal_runtime_host(rt, "gaussian-nb"), o, &l->s.spec, &m, &err), DAL_OK, "%s", err.text);
    return m;
}

/* ln P(y) + sum ln N(x; m, v), in double, by the textbook. */
static void twin(const fx_list *l, const float *x, double *z)
{
    const int64_t n = l->s.n, d = l->s.spec.shape[0], c = l->s.spec.n_classes;
    double most = 0, all = 0;
    for (int64_t j = -1; j < d; j++) {
        double w = 0, mean = 0, v = 0;
        for (int64_t i = 0; i < n; i++) {
            w += l->weights ? (double)l->weights[i] : 1;
            mean += j < 0 ? 0 : (l->weights ? (double)l->weights[i] : 1) * (double)((float *)l->data)[i * d + j];
        }
        all = w;
        for (int64_t i = 0; j >= 0 && i < n; i++)
            v += (l->weights ? (double)l->weights[i] : 1) * pow((double)((float *)l->data)[i * d + j] - mean / w, 2);
        most = fmax(most, v / w);
    }
    for (int64_t k = 0; k < c; k++) {
        z[k] = 0;
        double share = 0;
        for (int64_t j = 0; j < d; j++) {
            double w = 0, mean = 0, v = 0;
            for (int64_t i = 0; i < n; i++)
                if (l->classes[i] == k) {
                    w += l->weights ? (double)l->weights[i] : 1;
                    mean += (l->weights ? (double)l->weights[i] : 1) * (double)((float *)l->data)[i * d + j];
                }
            mean /= w;
            for (int64_t i = 0; i < n; i++)
                if (l->classes[i] == k)
                    v += (l->weights ? (double)l->weights[i] : 1) * pow((double)((float *)l->data)[i * d + j] - mean,
                                                                        2);
            v = v / w + 1e-9 * most;
            z[k] -= 0.5 * (log(2 * M_PI * v) + pow((double)x[j] - mean, 2) / v);
            share = w / all;
        }
        z[k] += log(share);
    }
}

static void agrees(int weighted)
{
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *l = fx_clusters(120, 5, 3, DAL_F32, 0.3, 4);
    if (weighted) {
        l->weights = malloc(120 * sizeof *l->weights);
        for (int i = 0; i < 120; i++)
            l->weights[i] = (float)(i % 4) * 0.5f;
        l->s.weights = l->weights;
    }
    void *m = make(rt, &usual, l);
    fx_fit(&impl, m, l, 0, 0);
    float *z = fx_predict(&impl, m, l, 7);
    for (int i = 0; i < 120; i++) {
        double want[3];
        twin(l, (float *)l->data + i * 5, want);
        for (int k = 0; k < 3; k++)
            cr_assert_float_eq(z[i * 3 + k], want[k], 1e-4 * (1 + fabs(want[k])), "%g, not %g", (double)z[i * 3 + k],
                               want[k]);
    }
    cr_assert_geq(fx_accuracy(z, l), 0.7);
    free(z);
    impl.destroy(m);
    fx_list_free(l);
    dal_runtime_free(rt);
}

Test(gaussian_nb, says_what_the_textbook_says)
{
    agrees(0);
    agrees(1);
}

Test(gaussian_nb, gives_no_chance_to_a_class_it_has_not_seen)
{
    dal_runtime *rt = fx_runtime(1, 1);
    fx_list *l = fx_clusters(40, 3, 4, DAL_U8, 0.2, 1);
    for (int i = 0; i < 40; i++)
        l->classes[i] = i % 2;
    void *m = make(rt, &usual, l);
    fx_fit(&impl, m, l, 0, 0);
    float *z = fx_predict(&impl, m, l, 40);
    for (int i = 0; i < 40; i++)
        cr_assert(z[i * 4 + 2] == NEVER && z[i * 4 + 3] == NEVER && z[i * 4] > NEVER);
    free(z);
    impl.destroy(m);
    fx_list_free(l);
    dal_runtime_free(rt);
}

Test(gaussian_nb, comes_back_from_bytes_it_does_not_trust)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    fx_list *l = fx_clusters(40, 3, 2, DAL_U8, 0.2, 1);
    void *m = make(rt, &usual, l), *back = make(rt, &usual, l);
    fx_fit(&impl, m, l, 0, 0);
    fx_bytes b = fx_save(&impl, m);
    cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_OK, "%s", err.text);
    float *p = fx_predict(&impl, m, l, 16), *q = fx_predict(&impl, back, l, 16);
    cr_assert_arr_eq(p, q, 80 * sizeof *p);
    for (size_t i = 0; i < b.n; i++) {
        b.data[i] ^= 0x10;
        cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_E_FORMAT, "byte %zu", i);
        b.data[i] ^= 0x10;
    }
    for (size_t n = 0; n < b.n; n++) {
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
