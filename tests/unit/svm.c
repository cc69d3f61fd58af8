#include "tests/unit/models.h"

#include "plugins/models/svm.c"

/* ---- from decisions to probabilities ------------------------------------------------------------ */

static double sigmoid_loss(const double *f, const unsigned char *y, int n, double a, double b)
{
    double first = 0, sum = 0;
    for (int i = 0; i < n; i++)
        first += y[i];
    for (int i = 0; i < n; i++) {
        const double t = y[i] ? (first + 1) / (first + 2) : 1 / (n - first + 2), p = 1 / (1 + exp(a * f[i] + b));
        sum -= t * log(p) + (1 - t) * log(1 - p);
    }
    return sum;
}

Test(svm, fits_the_sigmoid_no_neighbour_of_which_is_better)
{
    dal_rng rng = dal_rng_from_key(3);
    double f[200], a, b;
    unsigned char y[200];
    for (int i = 0; i < 200; i++) {
        f[i] = 2 * dal_rng_normal(&rng);
        y[i] = dal_rng_uniform(&rng) < 1 / (1 + exp(-1.5 * f[i] + 0.5));
    }
    svm_platt_fit(f, y, 200, &a, &b);
    cr_assert(a > -2.2 && a < -1 && b > 0 && b < 1, "%g, %g", a, b);
    const double best = sigmoid_loss(f, y, 200, a, b);
    for (int k = 0; k < 8; k++)
        cr_assert_gt(sigmoid_loss(f, y, 200, a + 0.01 * cos(k * M_PI / 4), b + 0.01 * sin(k * M_PI / 4)), best);
    cr_assert_float_eq(svm_platt_probability(0.7, a, b), 1 / (1 + exp(0.7 * a + b)), 1e-15);
    cr_assert(svm_platt_probability(1e6, a, b) == 1 && svm_platt_probability(-1e6, a, b) == 0);
}

Test(svm, couples_pairs_to_the_probabilities_they_came_from)
{
    const double want[4] = {0.5, 0.3, 0.15, 0.05};
    double r[16], p[4], room[20];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            r[i * 4 + j] = want[i] / (want[i] + want[j]);
    svm_platt_couple(r, 4, p, room);
    for (int i = 0; i < 4; i++)
        cr_assert_float_eq(p[i], want[i], 1e-6);
    /* pairs that contradict each other: no point near by has a smaller sum of squares */
    const double odd[9] = {0, 0.9, 0.4, 0.1, 0, 0.7, 0.6, 0.3, 0};
    double best = 0, sum = 0;
    svm_platt_couple(odd, 3, p, room);
    for (int step = 0; step < 7; step++) {
        double q[3] = {p[0], p[1], p[2]}, loss = 0;
        q[step % 3] += step == 0 ? 0 : 1e-3;
        q[(step + 1 + step / 4) % 3] -= step == 0 ? 0 : 1e-3;
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++)
                loss += i == j ? 0 : pow(odd[j * 3 + i] * q[i] - odd[i * 3 + j] * q[j], 2);
        best = step == 0 ? loss : best;
        sum = q[0] + q[1] + q[2];
        cr_assert(step == 0 || loss > best);
        cr_assert_float_eq(sum, 1, 1e-12);
    }
}

Test(svm, reads_gamma)
{
    dal_error err = DAL_ERROR_INIT;
    double g;
    cr_assert(svm_read_gamma("scale", &g, &err) == DAL_OK && g == 0);
    cr_assert(svm_read_gamma("auto", &g, &err) == DAL_OK && g == -1);
    cr_assert(svm_read_gamma("0.25", &g, &err) == DAL_OK && g == 0.25);
    static const char *const bad[] = {"0", "-1", "nan", "inf", "0.5x", "automatic", " "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        fx_expect(&err, svm_read_gamma(bad[i], &g, &err), DAL_E_INVALID, "gamma",
                  "expected scale, auto or a number above 0");
}

#ifndef DAL_HAVE_SVM

Test(svm, says_that_it_was_left_out)
{
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    const dal_sample_spec spec = fx_vector_spec(3, DAL_F32, 2);
    fx_expect(&err, impl.create(dal_runtime_host(rt, "svm"), NULL, &spec, &self, &err), DAL_E_UNSUPPORTED, "",
              "libsvm-dev");
    dal_runtime_free(rt);
}

#else

#include <libsvm/svm.h>

static const svm_options usual = {.kernel = SVM_RBF, .C = 1, .gamma = "scale", .degree = 3, .tol = 1e-3, .cache = 16};

static void *make(dal_runtime *rt, const svm_options *o, const dal_sample_spec *spec)
{
    void *m = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(impl.create(dal_runtime_host(rt, "svm"), o, spec, &m, &err), DAL_OK, "%s: %s", err.key, err.text);
    return m;
}

static void quiet(const char *text)
{
    (void)text;
}

/* The whole problem given to libsvm at once. */
static void agrees_with_libsvm(const svm_options *o, int n, int d, int c, double noise)
{
    static const int kinds[] = {LINEAR, RBF, POLY};
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *l = fx_clusters(n, d, c, DAL_F32, noise, 4), *test = fx_clusters(100, d, c, DAL_F32, noise, 5);
    svm *m = make(rt, o, &l->s.spec);
    fx_fit(&impl, m, l, 0, 0);
    const svm_machine *k = &m->machine;
    struct svm_node *nodes = calloc((size_t)(n * (d + 1)), sizeof *nodes), x[64];
    struct svm_node **rows = calloc((size_t)n, sizeof *rows);
    double *y = calloc((size_t)n, sizeof *y), weight[8], mine[100 * 28], theirs[28];
    int labels[8];
    for (int i = 0; i < n; i++) {
        rows[i] = nodes + i * (d + 1);
        y[i] = l->classes[i];
        for (int j = 0; j < d; j++)
            rows[i][j] = (struct svm_node){j + 1, (double)((float *)l->data)[i * d + j]};
        rows[i][d].index = -1;
    }
    for (int j = 0; j < c; j++) {
        labels[j] = j;
        weight[j] = o->class_weights.n > 0 ? o->class_weights.items[j] : 1;
    }
    const struct svm_problem problem = {n, y, rows};
    const struct svm_parameter how = {.svm_type = C_SVC, .kernel_type = kinds[o->kernel], .degree = (int)o->degree,
                                      .gamma = k->kernel.gamma, .coef0 = o->coef0, .cache_size = 10, .eps = o->tol,
                                      .C = o->C, .nr_weight = c, .weight_label = labels, .weight = weight,
                                      .shrinking = 1};
    svm_set_print_string_function(quiet);
    struct svm_model *whole = svm_train(&problem, &how);
    cr_assert_eq(whole->l, k->l, "%d support vectors, not %lld", whole->l, (long long)k->l);
    dal_batch b = fx_batch(test, 0, 100);
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(svm_machine_decide(k, &b, mine, &err), DAL_OK);
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j <= d; j++)
            x[j] = j < d ? (struct svm_node){j + 1,
                                             (double)((float *)test->data)[i * d + j]} : (struct svm_node){-1, 0};
        svm_predict_values(whole, x, theirs);
        for (int p = 0; p < c * (c - 1) / 2; p++)
            cr_assert_float_eq(mine[i * c * (c - 1) / 2 + p], theirs[p], 1e-9 * (1 + fabs(theirs[p])),
                               "sample %d, pair %d: %g, not %g", i, p, mine[i * c * (c - 1) / 2 + p], theirs[p]);
    }
    svm_free_and_destroy_model(&whole);
    free(nodes);
    free(rows);
    free(y);
    impl.destroy(m);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    fx_list_free(l);
    fx_list_free(test);
    dal_runtime_free(rt);
}

Test(svm, decides_as_libsvm_does_on_the_whole)
{
    static const double weights[] = {0.5, 3, 1, 2};
    svm_options o = usual;
    agrees_with_libsvm(&o, 150, 6, 4, 0.4);
    o.class_weights = (dal_f64_list){weights, 4};
    agrees_with_libsvm(&o, 150, 6, 4, 0.4);
    o.class_weights.n = 2;
    o.kernel = SVM_LINEAR;
    o.C = 10;
    agrees_with_libsvm(&o, 80, 10, 2, 0.3);
    o = usual;
    o.kernel = SVM_POLY;
    o.degree = 5;
    o.coef0 = 0.5;
    o.gamma = "auto";
    agrees_with_libsvm(&o, 90, 5, 3, 0.3);
}

/* The dual optimum by its own conditions: 0 < a < C: y f = 1; a = 0: y f >= 1; a = C: y f <= 1; sum of y a = 0. */
Test(svm, finds_the_optimum)
{
    svm_options o = usual;
    o.C = 2;
    o.tol = 1e-6;
    dal_runtime *rt = fx_runtime(1, 1);
    fx_list *l = fx_clusters(120, 4, 2, DAL_F32, 0.4, 9);
    svm *m = make(rt, &o, &l->s.spec);
    fx_fit(&impl, m, l, 0, 0);
    const svm_machine *k = &m->machine;
    double f[120], sum = 0;
    dal_batch b = fx_batch(l, 0, 120);
    cr_assert_eq(svm_machine_decide(k, &b, f, NULL), DAL_OK);
    int inside = 0;
    for (int i = 0; i < 120; i++) {
        const double y = l->classes[i] == 0 ? 1 : -1;
        double a = 0;
        for (int64_t s = 0; s < k->l; s++)
            if (memcmp(k->x + s * 4, (float *)l->data + i * 4, 4 * sizeof(float)) == 0)
                a = y * k->coef[s];
        cr_assert(a >= 0 && a <= 2 + 1e-9);
        inside += a > 1e-6 && a < 2 - 1e-6;
        sum += y * a;
        if (a > 1e-6)
            cr_assert_leq(y * f[i], 1 + 1e-4);
        if (a < 2 - 1e-6)
            cr_assert_geq(y * f[i], 1 - 1e-4);
    }
    cr_assert(inside > 2 && fabs(sum) < 1e-8);
    cr_assert_float_eq(k->kernel.gamma, ({
                           double mean = 0, square = 0;
                           for (int i = 0; i < 480; i++)
                               mean += (double)((float *)l->data)[i] / 480;
                           for (int i = 0; i < 480; i++)
                               square += pow((double)((float *)l->data)[i] - mean, 2) / 480;
                           1 / (4 * square);
                       }), 1e-6);
    impl.destroy(m);
    fx_list_free(l);
    dal_runtime_free(rt);
}

static float *outputs_with(int threads, int64_t block, const svm_options *o, fx_bytes *saved)
{
    dal_runtime *rt = fx_runtime(threads, 1);
    fx_list *l = fx_clusters(200, 70, 5, DAL_U8, 0.5, 3);
    svm *m = make(rt, o, &l->s.spec);
    fx_fit(&impl, m, l, 2, 0);
    float *p = fx_predict(&impl, m, l, block);
    if (saved)
        *saved = fx_save(&impl, m);
    impl.destroy(m);
    fx_list_free(l);
    dal_runtime_free(rt);
    return p;
}

Test(svm, gives_the_same_bits_with_any_threads_blocks_and_cache)
{
    svm_options small = usual;
    small.cache = 1;
    fx_bytes a, b;
    float *p = outputs_with(1, 200, &usual, &a), *q = outputs_with(3, 7, &small, &b);
    cr_assert_arr_eq(p, q, 1000 * sizeof *p);
    cr_assert(a.n == b.n && memcmp(a.data, b.data, a.n) == 0);
    free(p);
    free(q);
    free(a.data);
    free(b.data);
}

/* 1,200 rows of 1,200 floats are 5.5 MiB: of the smaller cache most is computed more than once. */
Test(svm, gives_the_same_bits_when_its_cache_is_too_small)
{
    float *p[2];
    for (int k = 0; k < 2; k++) {
        svm_options o = usual;
        o.cache = k ? 1 : 64;
        o.C = 10;
        o.probability = SVM_MARGINS;
        dal_runtime *rt = fx_runtime(1, 1);
        fx_list *l = fx_clusters(1200, 6, 2, DAL_F32, 0.6, 3);
        svm *m = make(rt, &o, &l->s.spec);
        fx_fit(&impl, m, l, 0, 0);
        cr_assert_gt(m->machine.l, 400);
        p[k] = fx_predict(&impl, m, l, 200);
        impl.destroy(m);
        fx_list_free(l);
        dal_runtime_free(rt);
    }
    cr_assert_arr_eq(p[0], p[1], 2400 * sizeof(float));
    free(p[0]);
    free(p[1]);
}

/* A machine that knows its training set by heart; sigmoids fitted to that would be sure of everything. */
Test(svm, is_calibrated_by_samples_it_was_not_trained_on)
{
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *l = fx_clusters(600, 5, 3, DAL_F32, 0.4, 1), *test = fx_clusters(900, 5, 3, DAL_F32, 0.4, 2);
    svm_options o = usual;
    o.C = 1000;
    o.gamma = "2";
    svm *m = make(rt, &o, &l->s.spec);
    fx_fit(&impl, m, l, 0, 0);
    float *p = fx_predict(&impl, m, test, 900), *own = fx_predict(&impl, m, l, 600);
    double sure = 0;
    for (int i = 0; i < 900; i++) {
        const float *q = p + i * 3;
        cr_assert_float_eq(q[0] + q[1] + q[2], 1, 1e-5);
        sure += fmax((double)q[0], fmax((double)q[1], (double)q[2])) / 900;
    }
    cr_assert(fx_accuracy(own, l) > 0.9 && fx_accuracy(p, test) < 0.8 && fx_accuracy(p, test) > 0.5);
    cr_assert_float_eq(sure, fx_accuracy(p, test), 0.05, "%g sure, %g right", sure, fx_accuracy(p, test));
    free(p);
    free(own);
    impl.destroy(m);
    fx_list_free(l);
    fx_list_free(test);
    dal_runtime_free(rt);
}

/* Two or three labels, as the first rounds have them: sides are right, classes without a sample have no chance. */
Test(svm, works_from_the_first_labels_on)
{
    dal_runtime *rt = fx_runtime(2, 1);
    for (int n = 1; n <= 5; n++)
        for (uint32_t kind = SVM_PLATT; kind <= SVM_MARGINS; kind++) {
            svm_options o = usual;
            o.probability = kind;
            o.balanced = 1;
            fx_list *l = fx_clusters(n, 4, 3, DAL_F32, 0.01, 1);
            svm *m = make(rt, &o, &l->s.spec);
            fx_fit(&impl, m, l, 0, 0);
            float *p = fx_predict(&impl, m, l, n);
            cr_assert_eq(fx_accuracy(p, l), 1);
            for (int i = 0; i < n; i++)
                for (int k = n; k < 3; k++)
                    cr_assert(p[i * 3 + k] == 0);
            free(p);
            impl.destroy(m);
            fx_list_free(l);
        }
    dal_runtime_free(rt);
}

/* ---- sparse ------------------------------------------------------------------------------------- */

typedef struct sparse {
    dal_samples s;
    int64_t offsets[201];
    int32_t columns[200 * 8];
    float values[200 * 8];
    const fx_list *of;
} sparse;

static dal_status sparse_sizes(const dal_samples *s, const int64_t *rows, int64_t n, int64_t *out, dal_error *err)
{
    const sparse *l = s->impl;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = l->offsets[rows[i] + 1] - l->offsets[rows[i]];
    return DAL_OK;
}

static dal_status sparse_read(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const sparse *l = s->impl;
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        const int64_t from = l->offsets[rows[i]], m = l->offsets[rows[i] + 1] - from;
        memcpy((float *)out->data + out->offsets[i], l->values + from, (size_t)m * sizeof(float));
        memcpy(out->indices + out->offsets[i], l->columns + from, (size_t)m * sizeof(int32_t));
    }
    return DAL_OK;
}

/* Column j of 8 as column 3 j + 1 of 26; values below 0.5 become 0 in both. */
static void make_sparse(sparse *l, fx_list *dense)
{
    *l = (sparse){.of = dense};
    int64_t at = 0;
    for (int64_t i = 0; i < 200; i++) {
        for (int j = 0; j < 8; j++) {
            float *v = (float *)dense->data + i * 8 + j;
            *v = *v < 0.5f ? 0 : *v;
            if (*v != 0) {
                l->columns[at] = 3 * j + 1;
                l->values[at++] = *v;
            }
        }
        l->offsets[i + 1] = at;
    }
    l->s = (dal_samples){.struct_size = sizeof l->s, .impl = l, .n = 200, .classes = dense->classes,
                         .sizes = sparse_sizes, .read = sparse_read, .spec = {sizeof l->s.spec, DAL_SPARSE, DAL_F32, 1,
                                                                              {26}, 3}};
}

Test(svm, takes_sparse_samples_as_it_takes_dense_ones)
{
    static sparse l;
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *dense = fx_clusters(200, 8, 3, DAL_F32, 0.3, 6);
    make_sparse(&l, dense);
    for (uint32_t kernel = SVM_LINEAR; kernel <= SVM_POLY; kernel++) {
        svm_options o = usual;
        o.kernel = kernel;
        o.gamma = "0.5";
        svm *a = make(rt, &o, &dense->s.spec), *b = make(rt, &o, &l.s.spec);
        fx_fit(&impl, a, dense, 0, 0);
        dal_fit_report report = {.struct_size = sizeof report};
        const dal_fit f = {.struct_size = sizeof f, .train = &l.s};
        cr_assert_eq(impl.fit(b, &f, &report, &err), DAL_OK, "%s", err.text);
        float *p = fx_predict(&impl, a, dense, 200), q[600], one[3], features[3];
        dal_batch x = {sizeof x, 0, &l.s.spec, 200, l.values, l.offsets, l.columns};
        cr_assert_eq(impl.predict(b, &x, q, &err), DAL_OK, "%s", err.text);
        for (int i = 0; i < 600; i++)
            cr_assert_float_eq(p[i], q[i], 1e-6);
        x = (dal_batch){sizeof x, 0, &l.s.spec, 1, l.values, l.offsets + 17, l.columns};
        const dal_model_features *t = impl.get_extension(b, DAL_CAP_FEATURES);
        cr_assert_eq(t->width(b), 3);
        cr_assert_eq(t->features(b, &x, features, one, &err), DAL_OK);
        cr_assert_arr_eq(one, q + 17 * 3, sizeof one);
        fx_bytes saved = fx_save(&impl, b);
        svm *back = make(rt, &o, &l.s.spec);
        cr_assert_eq(fx_load(&impl, back, &saved, &err), DAL_OK, "%s", err.text);
        cr_assert_eq(impl.predict(back, &x, features, &err), DAL_OK);
        cr_assert_arr_eq(one, features, sizeof one);
        fx_expect(&err, fx_load(&impl, a, &saved, &err), DAL_E_FORMAT, "", "dense ones of 8");
        free(saved.data);
        free(p);
        impl.destroy(a);
        impl.destroy(b);
        impl.destroy(back);
    }
    fx_list_free(dense);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* ---- bad input ---------------------------------------------------------------------------------- */

Test(svm, says_what_it_cannot_take)
{
    static const double weights[] = {1, 2, 3};
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "svm");
    fx_list *l = fx_clusters(20, 3, 2, DAL_F32, 0.2, 1);
    dal_sample_spec sparse_spec = {sizeof sparse_spec, DAL_SPARSE, DAL_F32, 1, {9}, 2};
    void *self = NULL;
    svm_options o = usual;
    o.gamma = "big";
    fx_expect(&err, impl.create(host, &o, &l->s.spec, &self, &err), DAL_E_INVALID, "gamma", "'big'; expected scale");
    o = usual;
    o.class_weights = (dal_f64_list){weights, 3};
    fx_expect(&err, impl.create(host, &o, &l->s.spec, &self, &err), DAL_E_INVALID, "class_weights",
              "one for each of 2 classes");
    o = usual;
    o.features = FEATURES_INPUTS;
    fx_expect(&err, impl.create(host, &o, &sparse_spec, &self, &err), DAL_E_INVALID, "features", "decisions only");
    self = make(rt, &usual, &l->s.spec);
    l->weights = malloc(20 * sizeof *l->weights);
    for (int i = 0; i < 20; i++)
        l->weights[i] = l->classes[i] ? 3 : 1;
    l->s.weights = l->weights;
    fx_fit(&impl, self, l, 0, 0); /* one weight a class: fine */
    l->weights[4] = 2;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    fx_expect(&err, impl.fit(self, &f, &report, &err), DAL_E_UNSUPPORTED, "", "sample 1000 weighs 1 and sample 1004 2");
    l->s.weights = NULL;
    l->fail = DAL_E_IO;
    fx_expect(&err, impl.fit(self, &f, &report, &err), DAL_E_IO, "", "the disk is gone");
    float z[2];
    dal_batch x = fx_batch(l, 0, 1);
    fx_expect(&err, impl.predict(self, &x, z, &err), DAL_E_CONTRACT, "", "has not been trained");
    impl.destroy(self);
    fx_list_free(l);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(svm, comes_back_from_bytes_it_does_not_trust)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(2, 1);
    fx_list *l = fx_clusters(30, 3, 3, DAL_U8, 0.3, 1);
    svm *m = make(rt, &usual, &l->s.spec), *back = make(rt, &usual, &l->s.spec);
    fx_fit(&impl, m, l, 0, 0);
    fx_bytes b = fx_save(&impl, m);
    b.chunk = 11;
    cr_assert_eq(fx_load(&impl, back, &b, &err), DAL_OK, "%s", err.text);
    float *p = fx_predict(&impl, m, l, 16), *q = fx_predict(&impl, back, l, 16);
    cr_assert_arr_eq(p, q, 90 * sizeof *p);
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
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    fx_list_free(l);
    dal_runtime_free(rt);
}

/* Whole bytes, a checksum that fits, and numbers that cannot be: each is found. */
Test(svm, looks_at_what_a_right_checksum_brings)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    fx_list *l = fx_clusters(30, 3, 3, DAL_F32, 0.3, 1);
    svm *m = make(rt, &usual, &l->s.spec), *back = make(rt, &usual, &l->s.spec);
    fx_fit(&impl, m, l, 0, 0);
    svm_machine *k = &m->machine, good = *k;
    const int32_t owner = k->owner[0];
    const double coef = k->coef[0];
    for (int step = 0; step < 7; step++) {
        *k = good;
        k->kernel.degree = step == 0 ? 101 : 3;
        k->kernel.kind = step == 1 ? 7 : SVM_RBF;
        k->c = step == 2 ? 4 : 3;
        k->owner[0] = step == 3 ? 3 : owner;
        k->seen[1] = step == 4 ? 2 : 1;
        k->coef[0] = step == 5 ? (double)NAN : coef;
        k->l = step == 6 ? 0 : good.l; /* fewer vectors than values: an empty one is whole */
        fx_bytes b = fx_save(&impl, m);
        cr_assert_eq(fx_load(&impl, back, &b, &err), step == 6 ? DAL_OK : DAL_E_FORMAT, "step %d", step);
        free(b.data);
    }
    *k = good;
    k->coef[0] = coef;
    impl.destroy(m);
    impl.destroy(back);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    fx_list_free(l);
    dal_runtime_free(rt);
}

Test(svm, gives_everything_back_when_memory_ends)
{
    fx_memory_ends(&impl, &usual, 0);
}

#endif
