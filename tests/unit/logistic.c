#include "tests/unit/models.h"

#include "plugins/models/logistic.c"

static const options plain = {.C = 1, .max_iter = 500, .tol = 1e-5, .mc_dropout = 0.5};

static void *make(dal_runtime *rt, const options *o, const dal_sample_spec *spec)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    cr_assert_eq(impl.create(dal_runtime_host(rt, "logistic"), o, spec, &self, &err), DAL_OK, "%s", err.text);
    return self;
}

static void done(dal_runtime *rt, void *self)
{
    impl.destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0, "a destroyed model must give everything back");
    dal_runtime_free(rt);
}

/* The definition, in double and one sample at a time: value and gradient at theta = (W [c, d], b [c]). */
static double objective(const fx_list *l, double strength_c, const double *theta, double *gradient)
{
    const int64_t n = l->s.n, d = l->s.spec.shape[0], c = l->s.spec.n_classes;
    double value = 0, mean = 0, z[16];
    for (int64_t i = 0; i < n; i++)
        mean += l->s.weights ? (double)l->s.weights[i] / (double)n : 1.0 / (double)n;
    memset(gradient, 0, (size_t)(c * d + c) * sizeof *gradient);
    for (int64_t i = 0; i < n; i++) {
        const float *x = (const float *)l->data + i * d;
        const double w = (l->s.weights ? (double)l->s.weights[i] : 1) / mean / (double)n;
        double max = -INFINITY, sum = 0;
        for (int64_t k = 0; k < c; k++) {
            z[k] = theta[c * d + k];
            for (int64_t j = 0; j < d; j++)
                z[k] += theta[k * d + j] * (double)x[j];
            max = fmax(max, z[k]);
        }
        for (int64_t k = 0; k < c; k++)
            sum += exp(z[k] - max);
        value += w * (max + log(sum) - z[l->classes[i]]);
        for (int64_t k = 0; k < c; k++) {
            const double g = w * (exp(z[k] - max) / sum - (k == l->classes[i]));
            for (int64_t j = 0; j < d; j++)
                gradient[k * d + j] += g * (double)x[j];
            gradient[c * d + k] += g;
        }
    }
    for (int64_t i = 0; i < c * d; i++) {
        value += theta[i] * theta[i] / (2 * strength_c * (double)n);
        gradient[i] += theta[i] / (strength_c * (double)n);
    }
    return value;
}

/* Plain gradient descent, long: slow and beyond doubt. */
static double descend(const fx_list *l, double strength_c, double *theta, int64_t n_theta)
{
    double *g = malloc((size_t)n_theta * sizeof *g), value = 0;
    for (int step = 0; step < 20000; step++) {
        value = objective(l, strength_c, theta, g);
        for (int64_t i = 0; i < n_theta; i++)
            theta[i] -= 0.4 * g[i];
    }
    free(g);
    return value;
}

static void give_weights(fx_list *l)
{
    l->weights = malloc((size_t)l->s.n * sizeof *l->weights);
    for (int64_t i = 0; i < l->s.n; i++)
        l->weights[i] = (float)(i % 4) * 0.5f; /* some are 0 */
    l->s.weights = l->weights;
}

static void finds_the_optimum(int weighted)
{
    enum { D = 6, C = 3, N_THETA = C * D + C };
    fx_list *l = fx_clusters(80, D, C, DAL_F32, 0.6, 1);
    double reference[N_THETA] = {0}, theta[N_THETA], g[N_THETA];
    if (weighted)
        give_weights(l);
    dal_runtime *rt = fx_runtime(2, 1);
    options o = plain;
    o.C = 5;
    dal_nn_model *p = make(rt, &o, &l->s.spec);
    const dal_fit_report r = fx_fit(&impl, p, l, 0, 0);
    for (int i = 0; i < N_THETA; i++)
        theta[i] = (double)p->weights[i];
    const double want = descend(l, o.C, reference, N_THETA), got = objective(l, o.C, theta, g);
    cr_assert(r.converged);
    cr_assert_lt(got, want + 1e-8, "%.10f, gradient descent %.10f", got, want);
    cr_assert_float_eq(r.loss, got, 1e-6);
    for (int i = 0; i < N_THETA; i++)
        cr_assert_lt(fabs(g[i]), 3e-5, "gradient %d is %g at the optimum", i, g[i]);
    for (int i = 0; i < C * D; i++)
        cr_assert_float_eq(theta[i], reference[i], 0.01);
    done(rt, p);
    fx_list_free(l);
}

Test(logistic, finds_what_long_gradient_descent_finds)
{
    finds_the_optimum(0);
}

Test(logistic, weighs_samples_in_the_mean_loss)
{
    finds_the_optimum(1);
}

Test(logistic, gives_the_same_bits_with_any_number_of_threads_and_blocks)
{
    fx_list *l = fx_clusters(9001, 40, 5, DAL_U8, 0.5, 1);
    options o = plain;
    o.max_iter = 7;
    float *want = NULL;
    for (int threads = 1; threads <= 4; threads *= 2) {
        dal_runtime *rt = fx_runtime(threads, 1);
        void *self = make(rt, &o, &l->s.spec);
        fx_fit(&impl, self, l, 0, 0);
        float *z = fx_predict(&impl, self, l, 100 * threads + 1);
        if (want)
            cr_assert_eq(memcmp(z, want, 9001 * 5 * sizeof *z), 0, "%d threads", threads);
        else
            want = z;
        if (z != want)
            free(z);
        done(rt, self);
    }
    free(want);
    fx_list_free(l);
}

Test(logistic, stays_at_the_optimum_when_started_there)
{
    fx_list *l = fx_clusters(200, 10, 4, DAL_F32, 0.5, 1);
    dal_runtime *rt = fx_runtime(1, 1);
    void *self = make(rt, &plain, &l->s.spec);
    const dal_fit_report cold = fx_fit(&impl, self, l, 0, 0), warm = fx_fit(&impl, self, l, 1, 1);
    cr_assert_gt(cold.epochs, 5);
    cr_assert_leq(warm.epochs, 1);
    cr_assert_float_eq(warm.loss, cold.loss, 1e-7);
    done(rt, self);
    fx_list_free(l);
}

Test(logistic, says_that_the_inputs_are_too_large)
{
    fx_list *l = fx_clusters(20, 3, 2, DAL_F32, 0.1, 1);
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report r = {.struct_size = sizeof r};
    for (int i = 0; i < 60; i++)
        ((float *)l->data)[i] *= 1e30f;
    dal_runtime *rt = fx_runtime(1, 1);
    dal_nn_model *p = make(rt, &plain, &l->s.spec);
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s};
    /* a warm start from huge weights: logits of opposite infinities */
    p->fitted = 1;
    for (int64_t i = 0; i < p->info.n_weights; i++)
        p->weights[i] = i % 2 ? 3e38f : -3e38f;
    dal_fit warm = f;
    warm.warm = 1;
    fx_expect(&err, impl.fit(p, &warm, &r, &err), DAL_E_DIVERGED, "", "scale them");
    cr_assert_not(p->fitted);
    done(rt, p);
    fx_list_free(l);
}

Test(logistic, says_which_model_takes_sparse_samples)
{
    dal_sample_spec spec = fx_vector_spec(10, DAL_F32, 2);
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 1);
    spec.modality = DAL_SPARSE;
    fx_expect(&err, impl.create(dal_runtime_host(rt, "logistic"), &plain, &spec, &self, &err), DAL_E_UNSUPPORTED, "",
              "sparse-logistic is for sparse samples");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* A function with a known minimum and a curved valley. */
static dal_status rosenbrock(void *ctx, const double *x, double *value, double *g, dal_error *err)
{
    (void)ctx, (void)err;
    *value = 100 * pow(x[1] - x[0] * x[0], 2) + pow(1 - x[0], 2);
    g[0] = -400 * x[0] * (x[1] - x[0] * x[0]) - 2 * (1 - x[0]);
    g[1] = 200 * (x[1] - x[0] * x[0]);
    return DAL_OK;
}

static dal_status stop_at_three(void *ctx, int64_t iteration, double value, double largest, dal_error *err)
{
    (void)ctx, (void)value, (void)largest;
    return iteration == 3 ? dal_fail(err, DAL_E_CANCELLED, "", "enough") : DAL_OK;
}

Test(minimise, reaches_the_end_of_a_curved_valley)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_lbfgs how = {.struct_size = sizeof how, .max_iterations = 200, .tolerance = 1e-9,
                           .evaluate = rosenbrock};
    dal_lbfgs_result r;
    double x[2] = {-1.2, 1};
    cr_assert_eq(dal_minimise(dal_runtime_host(rt, "t"), &how, 2, x, &r, NULL), DAL_OK);
    cr_assert(r.converged);
    cr_assert_lt(r.iterations, 60);
    cr_assert_float_eq(x[0], 1, 1e-8);
    cr_assert_float_eq(x[1], 1, 1e-8);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(minimise, ends_with_the_visitors_status)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_lbfgs how = {.struct_size = sizeof how, .max_iterations = 200, .tolerance = 1e-9,
                           .evaluate = rosenbrock, .visit = stop_at_three};
    dal_lbfgs_result r;
    double x[2] = {-1.2, 1};
    cr_assert_eq(dal_minimise(dal_runtime_host(rt, "t"), &how, 2, x, &r, NULL), DAL_E_CANCELLED);
    cr_assert_eq(r.iterations, 3);
    dal_runtime_free(rt);
}
