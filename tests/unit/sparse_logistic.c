#include "tests/unit/models.h"

#include "plugins/models/sparse_logistic.c"

static const options plain = {.C = 5, .max_iter = 2000, .tol = 1e-7, .mc_dropout = 0.5, .projection = 256};

/* Sparse samples in memory, and the same as dense rows. */
typedef struct sparse_list {
    dal_samples s;
    int64_t *offsets;
    int32_t *columns, *classes;
    float *values, *dense, *weights;
} sparse_list;

static dal_status list_sizes(const dal_samples *s, const int64_t *rows, int64_t n, int64_t *out, dal_error *err)
{
    const sparse_list *l = s->impl;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = l->offsets[rows[i] + 1] - l->offsets[rows[i]];
    return DAL_OK;
}

static dal_status list_read(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const sparse_list *l = s->impl;
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        const int64_t from = l->offsets[rows[i]], m = l->offsets[rows[i] + 1] - from;
        memcpy((float *)out->data + out->offsets[i], l->values + from, (size_t)m * sizeof(float));
        memcpy(out->indices + out->offsets[i], l->columns + from, (size_t)m * sizeof(int32_t));
    }
    return DAL_OK;
}

/* A few columns of many; those of a sample lean to its class. Every 7th column is used by nobody. */
static sparse_list *make_list(int64_t n, int64_t d, int64_t c, uint64_t seed)
{
    sparse_list *l = calloc(1, sizeof *l);
    dal_rng rng = dal_rng_from_key(seed);
    l->offsets = calloc((size_t)n + 1, sizeof *l->offsets);
    l->columns = malloc((size_t)(n * 12) * sizeof *l->columns);
    l->values = malloc((size_t)(n * 12) * sizeof *l->values);
    l->classes = malloc((size_t)n * sizeof *l->classes);
    l->dense = calloc((size_t)(n * d), sizeof *l->dense);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = l->offsets[i];
        l->classes[i] = (int32_t)(i % c);
        for (int64_t j = 0; j < d && at < l->offsets[i] + 12; j++)
            if (j % 7 != 6 && dal_rng_uniform(&rng) < (j % c == i % c ? 6.0 : 2.0) / (double)d) {
                l->columns[at] = (int32_t)j;
                l->values[at] = (float)(0.2 + dal_rng_uniform(&rng));
                l->dense[i * d + j] = l->values[at++];
            }
        l->offsets[i + 1] = at;
    }
    l->s = (dal_samples){.struct_size = sizeof l->s, .impl = l, .n = n, .classes = l->classes, .sizes = list_sizes,
                         .read = list_read,
                         .spec = {sizeof l->s.spec, DAL_SPARSE, DAL_F32, 1, {d}, c}};
    return l;
}

static void free_list(sparse_list *l)
{
    free(l->offsets);
    free(l->columns);
    free(l->values);
    free(l->classes);
    free(l->dense);
    free(l->weights);
    free(l);
}

static dal_batch all_of(const sparse_list *l)
{
    return (dal_batch){sizeof(dal_batch), 0, &l->s.spec, l->s.n, l->values, l->offsets, l->columns};
}

static void *make(dal_runtime *rt, const options *o, const sparse_list *l)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    cr_assert_eq(impl.create(dal_runtime_host(rt, "m"), o, &l->s.spec, &self, &err), DAL_OK, "%s", err.text);
    return self;
}

static dal_fit_report train(void *self, const sparse_list *l, int warm)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report report = {.struct_size = sizeof report};
    const dal_fit f = {.struct_size = sizeof f, .warm = (uint32_t)warm, .train = &l->s};
    cr_assert_eq(impl.fit(self, &f, &report, &err), DAL_OK, "%s", err.text);
    return report;
}

static void done(dal_runtime *rt, void *self)
{
    impl.destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0, "a destroyed model must give everything back");
    dal_runtime_free(rt);
}

/* The definition on dense rows, in double and one sample at a time: value and gradient at theta = (W [d, c], b [c]). */
static double objective(const sparse_list *l, double strength_c, const double *theta, double *gradient)
{
    const int64_t n = l->s.n, d = l->s.spec.shape[0], c = l->s.spec.n_classes;
    double value = 0, mean = 0, z[16];
    for (int64_t i = 0; i < n; i++)
        mean += l->weights ? (double)l->weights[i] / (double)n : 1.0 / (double)n;
    memset(gradient, 0, (size_t)(c * d + c) * sizeof *gradient);
    for (int64_t i = 0; i < n; i++) {
        const double w = (l->weights ? (double)l->weights[i] : 1) / mean / (double)n;
        double max = -INFINITY, sum = 0;
        for (int64_t k = 0; k < c; k++) {
            z[k] = theta[d * c + k];
            for (int64_t j = 0; j < d; j++)
                z[k] += theta[j * c + k] * (double)l->dense[i * d + j];
            max = fmax(max, z[k]);
        }
        for (int64_t k = 0; k < c; k++)
            sum += exp(z[k] - max);
        value += w * (max + log(sum) - z[l->classes[i]]);
        for (int64_t k = 0; k < c; k++) {
            const double g = w * (exp(z[k] - max) / sum - (k == l->classes[i]));
            for (int64_t j = 0; j < d; j++)
                gradient[j * c + k] += g * (double)l->dense[i * d + j];
            gradient[d * c + k] += g;
        }
    }
    for (int64_t i = 0; i < c * d; i++) {
        value += theta[i] * theta[i] / (2 * strength_c * (double)n);
        gradient[i] += theta[i] / (strength_c * (double)n);
    }
    return value;
}

static void stands_at_the_optimum(int weighted)
{
    enum { D = 40, C = 3, N = D * C + C };
    sparse_list *l = make_list(150, D, C, 1);
    double theta[N] = {0}, g[N];
    if (weighted) {
        l->weights = malloc(150 * sizeof *l->weights);
        for (int i = 0; i < 150; i++)
            l->weights[i] = (float)(i % 4) * 0.5f;
        l->s.weights = l->weights;
    }
    dal_runtime *rt = fx_runtime(2, 1);
    sparse_logistic *m = make(rt, &plain, l);
    const dal_fit_report r = train(m, l, 0);
    cr_assert(r.converged);
    cr_assert_lt(m->n_columns, D - 4, "columns that nobody uses have no weights");
    for (int64_t k = 0; k < m->n_columns; k++)
        for (int j = 0; j < C; j++)
            theta[m->columns[k] * C + j] = (double)m->weights[k * C + j];
    for (int j = 0; j < C; j++)
        theta[D * C + j] = (double)m->weights[m->n_columns * C + j];
    const double value = objective(l, plain.C, theta, g);
    cr_assert_float_eq(r.loss, value, 1e-6);
    for (int i = 0; i < N; i++) /* convex: where the dense gradient is 0 is the one minimum */
        cr_assert_lt(fabs(g[i]), 1e-6, "gradient %d is %g", i, g[i]);
    cr_assert_gt(r.train_accuracy, 0.55);
    done(rt, m);
    free_list(l);
}

Test(sparse_logistic, stands_where_the_gradient_of_its_dense_twin_is_zero)
{
    stands_at_the_optimum(0);
}

Test(sparse_logistic, weighs_samples_in_the_mean_loss)
{
    stands_at_the_optimum(1);
}

Test(sparse_logistic, gives_the_same_bits_with_any_number_of_threads_and_blocks)
{
    sparse_list *l = make_list(3000, 900, 5, 2);
    float *want = malloc(3000 * 5 * sizeof *want), *got = malloc(3000 * 5 * sizeof *got);
    options o = plain;
    o.max_iter = 9;
    for (int threads = 1; threads <= 4; threads *= 2) {
        dal_runtime *rt = fx_runtime(threads, 1);
        void *self = make(rt, &o, l);
        train(self, l, 0);
        for (int64_t first = 0, step = threads == 1 ? 3000 : 117; first < 3000; first += step) {
            dal_batch x = all_of(l);
            x.n = 3000 - first < step ? 3000 - first : step;
            x.offsets += first;
            cr_assert_eq(impl.predict(self, &x, (threads == 1 ? want : got) + first * 5, NULL), DAL_OK);
        }
        if (threads > 1)
            cr_assert_eq(memcmp(got, want, 3000 * 5 * sizeof *got), 0, "%d threads", threads);
        done(rt, self);
    }
    free(want);
    free(got);
    free_list(l);
}

Test(sparse_logistic, starts_where_it_was_when_warm)
{
    sparse_list *l = make_list(300, 200, 3, 3);
    dal_runtime *rt = fx_runtime(1, 1);
    options o = plain;
    o.tol = 1e-5;
    void *self = make(rt, &o, l);
    const dal_fit_report cold = train(self, l, 0), warm = train(self, l, 1);
    cr_assert_gt(cold.epochs, 5);
    cr_assert_leq(warm.epochs, 1);
    cr_assert_float_eq(warm.loss, cold.loss, 1e-6);
    done(rt, self);
    free_list(l);
}

Test(sparse_logistic, saves_and_loads_every_bit)
{
    sparse_list *l = make_list(200, 300, 4, 4);
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    float a[800], b[800];
    void *one = make(rt, &plain, l), *two = make(rt, &plain, l);
    const dal_batch x = all_of(l);
    train(one, l, 0);
    fx_bytes saved = fx_save(&impl, one);
    saved.chunk = 7;
    cr_assert_eq(fx_load(&impl, two, &saved, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(impl.predict(one, &x, a, &err), DAL_OK);
    cr_assert_eq(impl.predict(two, &x, b, &err), DAL_OK);
    cr_assert_arr_eq(a, b, sizeof a);
    for (size_t at = 0; at < saved.n; at += 97) { /* one bit wrong anywhere is found, and leaves the old model */
        saved.data[at] ^= 4;
        const dal_status st = fx_load(&impl, two, &saved, &err);
        cr_assert_eq(st, DAL_E_FORMAT, "byte %d: %d", (int)at, st);
        saved.data[at] ^= 4;
    }
    saved.n -= 5;
    cr_assert_neq(fx_load(&impl, two, &saved, &err), DAL_OK);
    cr_assert_eq(impl.predict(two, &x, b, &err), DAL_OK);
    cr_assert_arr_eq(a, b, sizeof a);
    free(saved.data);
    impl.destroy(two);
    done(rt, one);
    free_list(l);
}

static double distance(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    return sqrt(sum);
}

Test(sparse_logistic, has_features_that_keep_distances_roughly)
{
    sparse_list *l = make_list(60, 5000, 3, 5), *narrow = make_list(60, 100, 3, 5);
    dal_runtime *rt = fx_runtime(1, 1);
    static float out[60 * 256], z[180], z2[180];
    double worst = 0;
    void *self = make(rt, &plain, l);
    const dal_model_features *f = impl.get_extension(self, DAL_CAP_FEATURES);
    dal_batch x = all_of(l);
    train(self, l, 0);
    cr_assert_eq(f->width(self), 256);
    cr_assert_eq(f->features(self, &x, out, z, NULL), DAL_OK);
    cr_assert_eq(impl.predict(self, &x, z2, NULL), DAL_OK);
    cr_assert_arr_eq(z, z2, sizeof z);
    for (int i = 0; i < 60; i++)
        for (int j = 0; j < i; j++) {
            const double want = distance(l->dense + i * 5000, l->dense + j * 5000, 5000);
            worst = fmax(worst, fabs(distance(out + i * 256, out + j * 256, 256) / want - 1));
        }
    cr_assert_lt(worst, 0.4, "a distance is off by %g", worst);
    impl.destroy(self);
    self = make(rt, &plain, narrow);
    x = all_of(narrow);
    train(self, narrow, 0);
    cr_assert_eq(f->width(self), 100);
    cr_assert_eq(f->features(self, &x, out, NULL, NULL), DAL_OK);
    cr_assert_arr_eq(out, narrow->dense, 60 * 100 * sizeof *out, "few columns are shown as they are");
    done(rt, self);
    free_list(l);
    free_list(narrow);
}

Test(sparse_logistic, masks_columns_the_same_way_in_every_block)
{
    enum { N = 50, C = 3, PASSES = 400 };
    sparse_list *l = make_list(N, 300, C, 6);
    dal_runtime *rt = fx_runtime(1, 1);
    static float a[PASSES * N * C], b[N * C], plain_z[N * C];
    void *self = make(rt, &plain, l);
    const dal_model_mc *t = impl.get_extension(self, DAL_CAP_MC);
    const dal_rng stream = dal_rng_from_key(9);
    dal_batch x = all_of(l);
    double off = 0;
    train(self, l, 0);
    cr_assert_eq(t->mc(self, &x, &stream, 0, PASSES, a, NULL), DAL_OK);
    cr_assert_eq(impl.predict(self, &x, plain_z, NULL), DAL_OK);
    x.n = 20;
    x.offsets += 30;
    cr_assert_eq(t->mc(self, &x, &stream, 3, 1, b, NULL), DAL_OK);
    cr_assert_arr_eq(b, a + (3 * N + 30) * C, 20 * C * sizeof *b);
    cr_assert_neq(memcmp(a, a + N * C, N * C * sizeof *a), 0);
    for (int i = 0; i < N * C; i++) { /* the mean over passes is the plain output */
        double mean = 0;
        for (int k = 0; k < PASSES; k++)
            mean += (double)a[k * N * C + i] / PASSES;
        off = fmax(off, fabs(mean - (double)plain_z[i]));
    }
    cr_assert_lt(off, 0.5);
    done(rt, self);
    free_list(l);
}

Test(sparse_logistic, refuses_what_it_cannot_take)
{
    sparse_list *l = make_list(20, 30, 2, 7);
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *h = dal_runtime_host(rt, "m");
    void *self = NULL;
    dal_sample_spec spec = l->s.spec;
    dal_fit_report r = {.struct_size = sizeof r};
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    spec.modality = DAL_VECTOR;
    fx_expect(&err, impl.create(h, &plain, &spec, &self, &err), DAL_E_UNSUPPORTED, "", "logistic is for dense ones");
    spec.modality = DAL_TEXT;
    fx_expect(&err, impl.create(h, &plain, &spec, &self, &err), DAL_E_UNSUPPORTED, "", "[hashing, tf-idf]");
    spec = l->s.spec;
    spec.n_classes = 1;
    fx_expect(&err, impl.create(h, &plain, &spec, &self, &err), DAL_E_INVALID, "", "needs 2 to");
    self = make(rt, &plain, l);
    l->values[3] = NAN;
    fx_expect(&err, impl.fit(self, &f, &r, &err), DAL_E_INVALID, "", "has the value nan in column");
    l->values[3] = 1;
    l->columns[3] = 30;
    fx_expect(&err, impl.fit(self, &f, &r, &err), DAL_E_CONTRACT, "", "has column 30 of 30");
    l->columns[3] = 3;
    l->classes[2] = 2;
    fx_expect(&err, impl.fit(self, &f, &r, &err), DAL_E_INVALID, "", "has class 2; expected 0..1");
    done(rt, self);
    free_list(l);
}
