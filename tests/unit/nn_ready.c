/* Passes by ready weights beside those by the weights themselves. */
#include "tests/unit/nn_networks.h"

#include <math.h>

/* ---- ready weights ------------------------------------------------------------------------------ */

/* Convolutions with and without batch-norm, one of which is a stage, skips over each, 3x3 of sixteens of channels; with
 * ReLU6 behind the batch-norm, once read by another layer, too. */
static dal_nn *norms_everywhere(const dal_host *host)
{
    dal_nn *nn = dal_nn_new(host);
    dal_nn_use(nn, backend);
    const int64_t c = wide ? 32 : 6;
    dal_nn_value x = conv(nn, dal_nn_input(nn, 3, 7, 5), c, 3, 1, 1, 1, DAL_NN_BIAS);
    x = dal_nn_batch_norm(nn, x, "bn1", DAL_NN_RELU);
    dal_nn_stage(nn, x);
    dal_nn_value y = dal_nn_batch_norm(nn, conv(nn, x, c, 3, 1, 1, 1, 0), "bn2", DAL_NN_RELU);
    y = conv(nn, y, c, 3, 1, 1, 1, 0);
    dal_nn_stage(nn, y);
    y = dal_nn_batch_norm(nn, y, "bn3", 0);
    x = dal_nn_add(nn, x, y, DAL_NN_RELU);
    y = conv(nn, x, c, 1, 2, 0, 1, 0);
    const dal_nn_value z = dal_nn_batch_norm(nn, conv(nn, x, c, 3, 2, 1, 1, 0), "bn4", 0);
    x = dal_nn_add(nn, dal_nn_batch_norm(nn, y, "bn5", 0), z, DAL_NN_RELU);
    x = conv(nn, dal_nn_dropout(nn, x, 0.5), c, 3, 1, 1, 1, DAL_NN_RELU);
    x = dal_nn_batch_norm(nn, x, "bn6", 0);
    x = dal_nn_relu6(nn, dal_nn_batch_norm(nn, conv(nn, x, c, 3, 1, 1, c, 0), "bn7", 0)); /* a filter a channel */
    y = dal_nn_batch_norm(nn, conv(nn, x, c, 1, 1, 0, 1, 0), "bn8", 0);
    x = dal_nn_add(nn, y, dal_nn_relu6(nn, y), 0);
    x = dal_nn_global_pool(nn, dal_nn_add(nn, x, conv(nn, x, c, 3, 1, 1, 1, DAL_NN_BIAS), 0));
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", 3, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, NULL), DAL_OK);
    return nn;
}

/* A batch-norm and a ReLU6 long after their convolutions; in between are layers that are done by then, and a stage. */
static dal_nn *norms_later(const dal_host *host)
{
    dal_nn *nn = dal_nn_new(host);
    dal_nn_use(nn, backend);
    const int64_t c = wide ? 32 : 6;
    const dal_nn_value input = dal_nn_input(nn, 3, 7, 5);
    const dal_nn_value early = conv(nn, input, c, 3, 1, 1, 1, 0);
    dal_nn_value x = conv(nn, conv(nn, input, c, 3, 1, 1, 1, DAL_NN_RELU), c, 3, 1, 1, 1, DAL_NN_RELU);
    const dal_nn_value normed = dal_nn_batch_norm(nn, early, "bn1", 0);
    const dal_nn_value next = dal_nn_batch_norm(nn, conv(nn, x, c, 1, 1, 0, 1, 0), "bn2", 0);
    x = conv(nn, conv(nn, x, c, 3, 1, 1, 1, DAL_NN_RELU), c, 3, 1, 1, 1, DAL_NN_RELU);
    dal_nn_stage(nn, x);
    x = dal_nn_add(nn, dal_nn_add(nn, dal_nn_relu6(nn, next), x, 0), normed, 0);
    dal_nn_stage(nn, x);
    x = dal_nn_global_pool(nn, dal_nn_dropout(nn, x, 0.5));
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", 3, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, NULL), DAL_OK);
    return nn;
}

static void draw_ready(fixture *f, int threads, dal_nn *(*declare)(const dal_host *))
{
    *f = (fixture){.rt = fx_runtime(threads, 1), .n = DAL_NN_TILE};
    f->host = dal_runtime_host(f->rt, "nn");
    f->nn = declare(f->host);
    dal_nn_describe(f->nn, &f->info);
    f->weights = draw(f->info.n_weights, 2);
    f->state = draw(f->info.n_state, 3);
    for (int64_t i = 0; i < f->info.n_weights; i++)
        f->weights[i] *= 0.3f;
    for (int64_t i = 0; i < f->info.n_state; i++)
        f->state[i] = 0.5f + fabsf(f->state[i]);
    f->x = draw(f->n * f->info.n_inputs, 4);
}

static void run_ready(dal_nn *(*declare)(const dal_host *))
{
    fixture f;
    draw_ready(&f, 1, declare);
    dal_nn_ready *r = dal_nn_ready_new(f.nn, f.host, f.weights, f.state, NULL);
    dal_nn_pass *plain = dal_nn_pass_new(f.nn, f.host, 1, NULL), *p = dal_nn_ready_pass(r, f.host, NULL);
    const dal_nn_value shown[3] = {dal_nn_stage_value(f.nn, 0), dal_nn_stage_value(f.nn, 1), f.info.output};
    memcpy(plain->value[0], f.x, (size_t)(f.n * f.info.n_inputs) * sizeof(float));
    memcpy(p->value[0], f.x, (size_t)(f.n * f.info.n_inputs) * sizeof(float));
    cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, plain, f.n, 0, f.info.output, NULL), DAL_OK);
    cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, p, f.n, 0, f.info.output, NULL), DAL_OK);
    for (int s = 0; s < 3; s++) {
        int64_t shape[3];
        dal_nn_shape(f.nn, shown[s], shape);
        cr_assert_lt(furthest(plain->value[shown[s]], p->value[shown[s]], f.n * shape[0] * shape[1] * shape[2]), 2e-5,
                     "value %d", (int)shown[s]);
    }
    float together[3 * DAL_NN_TILE];
    memcpy(together, p->value[f.info.output], sizeof together);
    /* alone, in the first place; then on from the stage and from the dropout layer */
    for (int64_t i = 0; i < f.n; i++) {
        const dal_nn_value from[3] = {0, shown[0] + 1, dal_nn_dropout_value(f.nn, 0)};
        memcpy(p->value[0], f.x + i * f.info.n_inputs, (size_t)f.info.n_inputs * sizeof(float));
        for (int k = 0; k < 3; k++) {
            cr_assert_eq(dal_nn_run(f.nn, f.weights, f.state, p, 1, from[k], f.info.output, NULL), DAL_OK);
            cr_assert_eq(memcmp(p->value[f.info.output], together + 3 * i, 3 * sizeof(float)), 0, "sample %lld from %d",
                         (long long)i, (int)from[k]);
        }
    }
    dal_nn_pass_free(p);
    dal_nn_pass_free(plain);
    dal_nn_ready_free(r);
    drop(&f);
}

Test(nn, runs_ready_weights_as_it_runs_the_others)
{
    for (int i = 0; next_case(i); i++)
        run_ready(norms_everywhere);
}

Test(nn, runs_ready_weights_of_a_batch_norm_far_behind_its_convolution)
{
    for (int i = 0; next_case(i); i++)
        run_ready(norms_later);
}

#define TILES 4

typedef struct tiles {
    const fixture *f;
    const dal_nn_ready *ready;
    float out[TILES][3 * DAL_NN_TILE];
} tiles;

static dal_status run_tile(void *ctx, int64_t tile)
{
    tiles *t = ctx;
    const fixture *f = t->f;
    dal_nn_pass *p = dal_nn_ready_pass(t->ready, f->host, NULL);
    float *x = draw(f->n * f->info.n_inputs, 10 + (uint64_t)tile);
    memcpy(p->value[0], x, (size_t)(f->n * f->info.n_inputs) * sizeof *x);
    const dal_status st = dal_nn_run(f->nn, f->weights, f->state, p, f->n, 0, f->info.output, NULL);
    memcpy(t->out[tile], p->value[f->info.output], sizeof t->out[tile]);
    free(x);
    dal_nn_pass_free(p);
    return st;
}

Test(nn, runs_ready_weights_to_the_same_bits_with_any_number_of_threads)
{
    for (int i = 0; next_case(i); i++) {
        tiles t[3];
        for (int k = 0; k < 3; k++) {
            fixture f;
            draw_ready(&f, 1 + k, norms_everywhere);
            dal_nn_ready *r = dal_nn_ready_new(f.nn, f.host, f.weights, f.state, NULL);
            t[k].f = &f;
            t[k].ready = r;
            cr_assert_eq(f.host->parallel_for(f.host, TILES, run_tile, &t[k]), DAL_OK);
            cr_assert_eq(memcmp(t[k].out, t[0].out, sizeof t[k].out), 0, "%d threads", 1 + k);
            dal_nn_ready_free(r);
            drop(&f);
        }
    }
}

Test(nn, does_without_memory_for_ready_weights)
{
    for (int i = 0; next_case(i); i++) {
        int failures = 0;
        fixture f;
        draw_ready(&f, 1, norms_everywhere);
        for (int64_t n = 1;; n++) {
            dal_error err = DAL_ERROR_INIT;
            const dal_runtime_config tight = {.struct_size = sizeof tight, .threads = 1, .seed = 1, .fail_alloc = n};
            dal_runtime *rt = dal_runtime_new(&tight, NULL);
            dal_nn_ready *r = dal_nn_ready_new(f.nn, dal_runtime_host(rt, "nn"), f.weights, f.state, &err);
            dal_nn_ready_free(r);
            cr_assert_eq(dal_runtime_allocated(rt), 0);
            dal_runtime_free(rt);
            if (r)
                break;
            cr_assert_eq(err.status, DAL_E_NOMEM);
            failures++;
        }
        cr_assert_gt(failures, 5);
        drop(&f);
    }
}
