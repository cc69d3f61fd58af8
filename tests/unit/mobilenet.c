/* mobilenet-v2 has the size its paper and its peers give it, and learns; ReLU6 and depthwise convolutions have
 * gradients. */
#include "tests/unit/layers.h"

#include "plugins/models/mobilenet.c"

Test(mobilenet, has_the_size_of_its_paper)
{
    const options cifar = {.width = 32, .stem = STEM_CIFAR}, imagenet = {.width = 32, .stem = 1},
        half = {.width = 16, .stem = 1};
    /* torchvision's mobilenet_v2: 3,504,872 with 1000 classes, of which 1280 x 1000 + 1000 are the last layer's */
    fx_layers(&mobilenet_impl, &imagenet, 3, 64, 1000, 3504872, (int64_t[]){32, 16, 8, 4, 4, 2, 2}, 1280);
    fx_layers(&mobilenet_impl, &cifar, 3, 32, 10, 2236682, (int64_t[]){32, 32, 16, 8, 8, 4, 4}, 1280);
    /* half as wide: 1.97 million in the paper's figure 5; 1,968,680 with the rounding of its authors' code */
    fx_layers(&mobilenet_impl, &half, 3, 224, 1000, 1968680, (int64_t[]){112, 56, 28, 14, 14, 7, 7}, 1280);
}

Test(mobilenet, learns_a_batch_by_heart)
{
    dal_runtime *rt = fx_runtime(2, 1);
    options o = {.nn = {.epochs = 60, .batch_size = 24, .optimizer = DAL_NN_BY_ADAM, .learning_rate = 0.003,
                        .mc_dropout = 0.5, .stop_accuracy = 1}, .width = 4};
    fx_list *l = fx_clusters(24, 192, 4, DAL_U8, 0.4, 1);
    l->s.spec.modality = DAL_IMAGE;
    l->s.spec.ndim = 3;
    l->s.spec.shape[0] = 3;
    l->s.spec.shape[1] = l->s.spec.shape[2] = 8;
    for (int i = 0; i < 24; i++) /* labels that say nothing: only by heart */
        l->classes[i] = (i * 7 / 3) % 4;
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(mobilenet_impl.create(dal_runtime_host(rt, "m"), &o, &l->s.spec, &self, &err), DAL_OK, "%s", err.text);
    const dal_fit_report r = fx_fit(&mobilenet_impl, self, l, 0, 0);
    cr_assert(r.train_accuracy == 1, "%g after %lld epochs", r.train_accuracy, (long long)r.epochs);
    mobilenet_impl.destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    fx_list_free(l);
    dal_runtime_free(rt);
}

/* ---- the layers it needs ------------------------------------------------------------------------- */

/* Of maps: norm, ReLU6, depthwise conv, ReLU6, linear. */
static dal_nn *small_net(const dal_host *host, uint32_t backend)
{
    dal_nn *nn = dal_nn_new(host);
    dal_error err = DAL_ERROR_INIT;
    dal_nn_value x = dal_nn_input(nn, 8, 5, 4);
    dal_nn_use(nn, backend);
    x = dal_nn_relu6(nn, dal_nn_batch_norm(nn, x, "norm", 0));
    dal_nn_stage(nn, x);
    x = dal_nn_conv(nn, x, "depthwise", &(dal_nn_conv_shape){.out = 8, .kernel = 3, .stride = 2, .pad = 1,
                                                             .groups = 8});
    x = dal_nn_relu6(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", 3, DAL_NN_BIAS));
    const dal_status st = dal_nn_finish(nn, &err);
    cr_assert(st == DAL_OK || (backend == DAL_NN_ONEDNN && st == DAL_E_UNSUPPORTED), "%s", err.text);
    if (st == DAL_OK)
        return nn;
    dal_nn_free(nn);
    return NULL;
}

/* sum of q times the outputs of one sample */
static double answer(const dal_nn *nn, dal_nn_pass *p, const float *weights, const float *state, const float *x,
                     const float *q)
{
    dal_nn_info info = {.struct_size = sizeof info};
    double sum = 0;
    dal_nn_describe(nn, &info);
    memcpy(p->value[info.input], x, (size_t)info.n_inputs * sizeof *x);
    cr_assert_eq(dal_nn_run(nn, weights, state, p, 1, info.input, info.output, NULL), DAL_OK);
    for (int k = 0; k < 3; k++)
        sum += (double)q[k] * (double)p->value[info.output][k];
    return sum;
}

static void differs(uint32_t backend)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    dal_nn *nn = small_net(host, backend);
    if (!nn) {
        dal_runtime_free(rt);
        return;
    }
    dal_nn_info info = {.struct_size = sizeof info};
    dal_rng r = dal_rng_from_key(9);
    const float q[3] = {0.7f, -1.1f, 0.4f};
    dal_nn_describe(nn, &info);
    float *w = malloc((size_t)info.n_weights * sizeof *w), *g = calloc((size_t)info.n_weights, sizeof *g),
        *state = malloc((size_t)info.n_state * sizeof *state), x[160];
    dal_nn_draw(nn, DAL_NN_UNIFORM, &r, w, state);
    for (int i = 0; i < 160; i++)
        x[i] = 3 + 4 * (float)dal_rng_normal(&r); /* below 0, between, above 6 */
    dal_nn_pass *p = dal_nn_pass_new(nn, host, 1, NULL);
    answer(nn, p, w, state, x, q);
    int where[3] = {0};
    const float *y = p->value[dal_nn_stage_value(nn, 0)];
    for (int i = 0; i < 160; i++) { /* norm with mean 0 and deviation 1 does nothing but for its epsilon */
        const double want = fmin(6, fmax(0, (double)x[i] / sqrt(1 + 1e-5)));
        cr_assert_float_eq((double)y[i], want, 1e-5);
        where[want <= 0 ? 0 : want < 6 ? 1 : 2]++;
    }
    cr_assert(where[0] > 10 && where[1] > 10 && where[2] > 10);
    for (int k = 0; k < 3; k++)
        p->d[info.output][k] = q[k];
    cr_assert_eq(dal_nn_run_back(nn, w, state, p, 1, g), DAL_OK);
    float dx[160];
    memcpy(dx, p->d[info.input], sizeof dx);
    for (int i = 0; i < 160; i++) {
        const float old = x[i], step = 1e-2f;
        if (fabsf(old) < 0.05f || fabsf(old - 6) < 0.05f)
            continue; /* a kink */
        x[i] = old + step;
        const double up = answer(nn, p, w, state, x, q);
        x[i] = old - step;
        const double down = answer(nn, p, w, state, x, q);
        x[i] = old;
        cr_assert_float_eq((double)dx[i], (up - down) / (2 * (double)step), 2e-3, "input %d", i);
    }
    for (int64_t i = 0; i < info.n_weights; i++) {
        const float old = w[i], step = 2e-3f;
        w[i] = old + step;
        const double up = answer(nn, p, w, state, x, q);
        w[i] = old - step;
        const double down = answer(nn, p, w, state, x, q);
        w[i] = old;
        cr_assert_float_eq((double)g[i], (up - down) / (2 * (double)step), 2e-2 * (1 + fabs((double)g[i])),
                           "weight %lld: %g", (long long)i, (double)g[i]);
    }
    dal_nn_pass_free(p);
    dal_nn_free(nn);
    free(w);
    free(g);
    free(state);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(mobilenet, has_relu6_and_depthwise_layers_with_gradients)
{
    differs(DAL_NN_OPENBLAS);
    differs(DAL_NN_ONEDNN);
}
