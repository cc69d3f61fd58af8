/* Transposed convolutions and autoencoders, embedding bags: against plain loops, finite differences, the same bits,
 * learning. */
#include "tests/unit/nn_networks.h"

/* ---- numbers ------------------------------------------------------------------------------------ */

static dal_nn_value widen(dal_nn *nn, dal_nn_value x, const char *name, int64_t out, int64_t kernel, int64_t stride,
                          int64_t pad, int64_t output_pad, uint32_t flags)
{
    return dal_nn_conv_transpose(nn, x, name, &(dal_nn_conv_transpose_shape){.out = out, .kernel = kernel,
                                                                             .stride = stride,
                                                                            .pad = pad, .output_pad = output_pad,
                                                                            .flags = flags});
}

/* Every product of the definition: an input place reaches kernel^2 output places. */
static void twin(const float *w, const float *bias, const float *x, int64_t in, int64_t h, int64_t v, int64_t out,
                 int64_t kernel, int64_t stride, int64_t pad, const int64_t shape[3], double *y)
{
    for (int64_t i = 0; i < shape[0] * shape[1] * shape[2]; i++)
        y[i] = bias ? (double)bias[i / (shape[1] * shape[2])] : 0;
    for (int64_t c = 0; c < in; c++)
        for (int64_t p = 0; p < h * v; p++)
            for (int64_t o = 0; o < out; o++)
                for (int64_t k = 0; k < kernel * kernel; k++) {
                    const int64_t oy = p / v * stride + k / kernel - pad, ox = p % v * stride + k % kernel - pad;
                    if (oy >= 0 && oy < shape[1] && ox >= 0 && ox < shape[2])
                        y[(o * shape[1] + oy) * shape[2] + ox] +=
                            (double)x[c * h * v + p] * (double)w[(c * out + o) * kernel * kernel + k];
                }
}

static void widen_all(void)
{
    static const struct {
        int64_t c, h, w, out, kernel, stride, pad, output_pad, oh, ow;
    } all[] = {{1, 1, 1, 1, 1, 1, 0, 0, 1, 1},  {3, 4, 5, 2, 4, 2, 1, 0, 8, 10}, {2, 5, 3, 4, 4, 2, 1, 1, 11, 7},
               {4, 7, 6, 3, 4, 1, 2, 0, 6, 5},  {16, 3, 5, 16, 3, 1, 1, 0, 3, 5}, {16, 4, 4, 3, 5, 3, 2, 2, 12, 12},
               {5, 2, 3, 6, 2, 3, 0, 0, 5, 8},  {3, 6, 6, 1, 1, 2, 0, 1, 12, 12}};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    for (size_t s = 0; s < sizeof all / sizeof *all; s++)
        for (int bias = 0; bias < 2; bias++) {
            dal_nn *nn = dal_nn_new(host);
            dal_nn_info info;
            int64_t o[3];
            char text[160];
            dal_tensor t;
            dal_nn_use(nn, backend);
            const dal_nn_value y = widen(nn, dal_nn_input(nn, all[s].c, all[s].h, all[s].w), "up", all[s].out,
                                         all[s].kernel, all[s].stride, all[s].pad, all[s].output_pad,
                                         bias ? DAL_NN_BIAS : 0);
            dal_nn_output(nn, y);
            cr_assert_eq(dal_nn_finish(nn, NULL), DAL_OK);
            dal_nn_describe(nn, &info);
            dal_nn_shape(nn, y, o);
            cr_assert(o[0] == all[s].out && o[1] == all[s].oh && o[2] == all[s].ow, "shape %zu: %lld x %lld", s,
                      (long long)o[1], (long long)o[2]);
            float *w = draw(info.n_weights, s + 1), *x = draw(3 * info.n_inputs, s + 50);
            double *want = malloc((size_t)info.n_outputs * sizeof *want);
            dal_nn_pass *p = dal_nn_pass_new(nn, host, 0, NULL);
            memcpy(p->value[0], x, (size_t)(3 * info.n_inputs) * sizeof *x);
            cr_assert_eq(dal_nn_run(nn, w, NULL, p, 3, 0, y, NULL), DAL_OK);
            for (int64_t i = 0; i < 3; i++) {
                twin(w, bias ? w + dal_nn_parameter(nn, 1)->offset : NULL, x + i * info.n_inputs, all[s].c, all[s].h,
                     all[s].w, all[s].out, all[s].kernel, all[s].stride, all[s].pad, o, want);
                for (int64_t k = 0; k < info.n_outputs; k++)
                    cr_assert_float_eq((double)p->value[y][i * info.n_outputs + k], want[k], 1e-4, "shape %zu", s);
            }
            dal_nn_tensor(nn, 0, w, NULL, &t);
            char name[160];
            snprintf(name, sizeof name, "F32 [%lld, %lld, %lld, %lld]", (long long)all[s].c, (long long)all[s].out,
                     (long long)all[s].kernel, (long long)all[s].kernel);
            cr_assert_str_eq(dal_tensor_describe(&t, text), name);
            dal_nn_pass_free(p);
            dal_nn_free(nn);
            free(want), free(w), free(x);
        }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(nn_transposed, widens_as_its_loops_do)
{
    for (int i = 0; next_case(i); i++)
        widen_all();
}

/* ---- autoencoders ------------------------------------------------------------------------------- */

/* Of maps of 2 x 7 x 6, whose output is such a map: batch-norm between, the last layer a transposed convolution. */
typedef struct task {
    fixture f;
    double loss;
} task;

static task make_task(int threads, int64_t n)
{
    task t = {.f = {.rt = fx_runtime(threads, 1), .n = n}};
    fixture *f = &t.f;
    dal_rng r = dal_rng_from_key(4);
    dal_error err = DAL_ERROR_INIT;
    f->host = dal_runtime_host(f->rt, "nn");
    f->nn = dal_nn_new(f->host);
    dal_nn_use(f->nn, backend);
    dal_nn_value x = conv(f->nn, dal_nn_input(f->nn, 2, 7, 6), wide ? 16 : 5, 3, 2, 1, 1, DAL_NN_BIAS);
    x = dal_nn_linear(f->nn, x, "code", 9, DAL_NN_BIAS);
    dal_nn_features(f->nn, x);
    x = widen(f->nn, x, "first", wide ? 16 : 5, 3, 1, 0, 0, DAL_NN_BIAS | DAL_NN_RELU);
    x = dal_nn_batch_norm(f->nn, widen(f->nn, x, "second", wide ? 32 : 6, 3, 2, 1, 1, 0), "norm", 0);
    dal_nn_stage(f->nn, x);
    x = dal_nn_tanh(f->nn, x);
    x = conv(f->nn, x, wide ? 16 : 4, 2, 1, 1, 1, DAL_NN_BIAS);
    dal_nn_output(f->nn, widen(f->nn, x, "last", 2, 4, 1, 1, 0, DAL_NN_BIAS));
    int64_t o[3];
    cr_assert_eq(dal_nn_finish(f->nn, &err), DAL_OK, "%s", err.text);
    dal_nn_describe(f->nn, &f->info);
    dal_nn_shape(f->nn, f->info.output, o);
    cr_assert(o[1] == 8 && o[2] == 8);
    f->weights = malloc((size_t)f->info.n_weights * sizeof(float));
    f->state = malloc((size_t)f->info.n_state * sizeof(float));
    dal_nn_draw(f->nn, DAL_NN_UNIFORM, &r, f->weights, f->state);
    f->x = draw(n * f->info.n_inputs, 7);
    return t;
}

/* The upper left of the output should be the input. */
static dal_status look(void *ctx, const dal_nn_step_view *view)
{
    task *t = ctx;
    const int64_t out = t->f.info.n_outputs, in = t->f.info.n_inputs;
    t->loss = 0;
    for (int64_t i = 0; i < view->n; i++)
        for (int64_t c = 0; c < 2; c++)
            for (int64_t y = 0; y < 7; y++) {
                const dal_nn_rows r = {.n = 1, .width = 6, .x = view->value[t->f.info.output] + i * out + (c * 8 + y) *
                                       8, .d = view->d[t->f.info.output] + i * out + (c * 8 + y) * 8};
                double loss;
                const dal_status st = dal_nn_mse(&r, view->value[0] + i * in + (c * 7 + y) * 6, &loss, NULL);
                if (st != DAL_OK)
                    return st;
                t->loss += loss;
            }
    return DAL_OK;
}

static dal_status fill_task(void *ctx, int64_t first, int64_t count, float *x)
{
    return fill(&((task *)ctx)->f, first, count, x);
}

static void train(task *t, dal_nn_trainer *trainer, const dal_nn_rule *rule)
{
    const dal_nn_batch b = {.struct_size = sizeof b, .n = t->f.n, .fill = fill_task, .between = look, .ctx = t};
    dal_nn_result r = {.struct_size = sizeof r};
    cr_assert_eq(dal_nn_train(trainer, rule, &b, &r, NULL), DAL_OK);
}

static void differ(void)
{
    task t = make_task(2, 9);
    dal_nn_trainer *trainer = dal_nn_trainer_new(t.f.nn, t.f.host, t.f.weights, t.f.state, t.f.n, NULL);
    float *g = malloc((size_t)t.f.info.n_weights * sizeof *g);
    int off = 0, moved = 0, tried = 0;
    train(&t, trainer, NULL);
    memcpy(g, dal_nn_gradient(trainer), (size_t)t.f.info.n_weights * sizeof *g);
    for (int64_t i = 0; i < t.f.info.n_weights; i += wide ? 13 : 1, tried++) {
        const float w = t.f.weights[i], e = 5e-4f;
        t.f.weights[i] = w + e;
        train(&t, trainer, NULL);
        const double up = t.loss;
        t.f.weights[i] = w - e;
        train(&t, trainer, NULL);
        const double want = (up - t.loss) / (2 * (double)e);
        t.f.weights[i] = w;
        off += fabs(want - (double)g[i]) > 3e-2 + 0.04 * fabs(want); /* a ReLU may change its mind */
        moved += fabs(want) > 0.1;
    }
    cr_assert_leq(off, tried / 40, "%d of %d gradients are off", off, tried);
    cr_assert_gt(moved, tried / 3);
    free(g);
    dal_nn_trainer_free(trainer);
    drop(&t.f);
}

Test(nn_transposed, has_the_gradient_of_finite_differences_while_training)
{
    for (int i = 0; next_case(i); i++)
        differ();
}

static uint64_t learn(int threads, double loss[2])
{
    task t = make_task(threads, 21);
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = 0.01, .beta1 = 0.9,
                              .beta2 = 0.999, .epsilon = 1e-8};
    dal_nn_trainer *trainer = dal_nn_trainer_new(t.f.nn, t.f.host, t.f.weights, t.f.state, t.f.n, NULL);
    for (int step = 0; step < 120; step++) {
        train(&t, trainer, &rule);
        loss[step > 0] = t.loss;
    }
    const uint64_t h = dal_hash64(0, t.f.weights, (size_t)t.f.info.n_weights * sizeof(float));
    dal_nn_trainer_free(trainer);
    drop(&t.f);
    return h;
}

Test(nn_transposed, teaches_an_autoencoder_to_the_same_bits_with_any_number_of_threads)
{
    for (int i = 0; next_case(i); i++) {
        double loss[2];
        const uint64_t one = learn(1, loss);
        cr_assert_lt(loss[1], 0.6 * loss[0], "from %g to %g", loss[0], loss[1]);
        cr_assert_eq(learn(3, loss), one);
    }
}

/* Back through a map as output, in passes, in any place. */
Test(nn_transposed, gives_a_sample_the_same_gradient_in_any_place)
{
    for (int i = 0; next_case(i); i++) {
        task t = make_task(1, 5);
        dal_nn_pass *p = dal_nn_pass_new(t.f.nn, t.f.host, 1, NULL);
        const int64_t in = t.f.info.n_inputs, out = t.f.info.n_outputs;
        float *by = draw(out, 3), *all = malloc((size_t)(5 * in) * sizeof *all);
        for (int n = 5; n >= 1; n -= 4)
            for (int first = 0; first < 5; first += n) {
                memcpy(p->value[0], t.f.x + first * in, (size_t)(n * in) * sizeof(float));
                cr_assert_eq(dal_nn_run(t.f.nn, t.f.weights, t.f.state, p, n, 0, t.f.info.output, NULL), DAL_OK);
                for (int k = 0; k < n; k++)
                    memcpy(p->d[t.f.info.output] + k * out, by, (size_t)out * sizeof *by);
                cr_assert_eq(dal_nn_run_back(t.f.nn, t.f.weights, t.f.state, p, n, NULL), DAL_OK);
                if (n == 5)
                    memcpy(all, p->d[0], (size_t)(5 * in) * sizeof *all);
                else
                    cr_assert_eq(memcmp(all + first * in, p->d[0], (size_t)in * sizeof *all), 0, "sample %d", first);
            }
        double length = 0;
        for (int64_t k = 0; k < in; k++)
            length += fabs((double)all[k]);
        cr_assert_gt(length, 0.1);
        free(by), free(all);
        dal_nn_pass_free(p);
        drop(&t.f);
    }
}

Test(nn_transposed, tells_what_does_not_fit)
{
    static const char *const words[] = {"a kernel of 0 with stride 2", "output pad 2 makes no map of 3 x 3",
                                        "a kernel of 1 with stride 1, pad 1", "takes no tokens", "and no dropout",
                                        "something else", "reads the ids"};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    dal_error err = DAL_ERROR_INIT;
    for (int fault = 0; fault < 7; fault++) {
        dal_nn *nn = dal_nn_new(host);
        err = (dal_error)DAL_ERROR_INIT;
        dal_nn_value x = fault == 3 || fault > 4 ? dal_nn_tokens(nn, 7, 5) : dal_nn_input(nn, 2, 3, 3);
        x = fault == 3 ? dal_nn_embedding(nn, x, "e", &(dal_nn_embedding_shape){.width = 3}) : x;
        x = fault == 5 ? dal_nn_embedding_bag(nn, x, "bag", 3, 1) : x;
        x = fault == 5   ? dal_nn_embedding_bag(nn, x, "bag2", 3, 1)
            : fault == 6 ? dal_nn_linear(nn, x, "l", 3, 0)
            : fault == 4 ? dal_nn_dropout(nn, dal_nn_linear(nn, x, "l", 3, 0), 0.5)
                         : widen(nn, x, "up", 2, fault == 0 ? 0 : fault == 2 ? 1 : 3, fault == 2 ? 1 : 2, fault == 2,
                                 fault == 1 ? 2 : 0, 0);
        dal_nn_output(nn, x);
        cr_assert_eq(dal_nn_finish(nn, &err), DAL_E_INVALID, "%d", fault);
        cr_assert(strstr(err.text, words[fault]), "%d: %s", fault, err.text);
        dal_nn_free(nn);
    }
    task t = make_task(1, 4);
    const int32_t classes[4] = {0};
    dal_nn_trainer *trainer = dal_nn_trainer_new(t.f.nn, t.f.host, t.f.weights, t.f.state, 4, NULL);
    const dal_nn_batch b = {.struct_size = sizeof b, .n = 4, .n_labelled = 4, .classes = classes, .fill = fill_task,
                            .ctx = &t};
    dal_nn_result r = {.struct_size = sizeof r};
    err = (dal_error)DAL_ERROR_INIT;
    cr_assert_eq(dal_nn_train(trainer, NULL, &b, &r, &err), DAL_E_CONTRACT);
    cr_assert(strstr(err.text, "whose output is 2 x 8 x 8; expected none, or a vector of classes"), "%s", err.text);
    const dal_nn_rule rule = {.struct_size = sizeof rule, .learning_rate = 0.1, .max_norm = 3};
    const dal_nn_batch plain = {.struct_size = sizeof plain, .n = 4, .fill = fill_task, .between = look, .ctx = &t};
    err = (dal_error)DAL_ERROR_INIT;
    cr_assert_eq(dal_nn_train(trainer, &rule, &plain, &r, &err), DAL_E_CONTRACT);
    cr_assert(strstr(err.text, "shortened to 3; it is 'conv_transpose'"), "%s", err.text);
    dal_nn_trainer_free(trainer);
    drop(&t.f);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
