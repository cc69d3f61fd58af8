/* Layers over tokens that multiply by packed weights, while training and in passes by ready ones, beside the plain
 * products of other passes. */
#include "tests/unit/nn_texts.h"

/* Widths that are no multiples of a vector's, texts of several tiles and of less than one. */
static dal_nn *wide_layers(const dal_host *host)
{
    dal_nn *nn = dal_nn_new(host);
    dal_error err = DAL_ERROR_INIT;
    const dal_nn_value x = dal_nn_embedding(nn, dal_nn_tokens(nn, LONGEST, VOCABULARY), "embedding",
                                            &(dal_nn_embedding_shape){.width = 37});
    const dal_nn_value three = dal_nn_token_conv(nn, x, "three", 19, 3, DAL_NN_BIAS | DAL_NN_RELU);
    const dal_nn_value four = dal_nn_token_conv(nn, x, "four", 32, 4, 0);
    const dal_nn_value five = dal_nn_token_conv(nn, three, "five", 50, 5, DAL_NN_BIAS);
    const dal_nn_value both = dal_nn_lstm(nn, x, "both", 21, DAL_NN_FORWARDS | DAL_NN_BACKWARDS);
    const dal_nn_value back = dal_nn_lstm(nn, both, "back", 35, DAL_NN_BACKWARDS);
    dal_nn_value y = dal_nn_join(nn, dal_nn_token_max(nn, four), dal_nn_token_mean(nn, five));
    y = dal_nn_join(nn, y, dal_nn_token_max(nn, back));
    dal_nn_stage(nn, y);
    dal_nn_output(nn, dal_nn_linear(nn, y, "output", C, DAL_NN_BIAS));
    cr_assert_eq(dal_nn_finish(nn, &err), DAL_OK, "%s", err.text);
    return nn;
}

static fixture make_products(int64_t n)
{
    fixture f = {.rt = fx_runtime(2, 1), .n = n};
    f.host = dal_runtime_host(f.rt, "nn");
    f.nn = wide_layers(f.host);
    dal_nn_describe(f.nn, &f.info);
    f.weights = draw(f.info.n_weights, 5);
    for (int64_t i = 0; i < f.info.n_weights; i++)
        f.weights[i] *= 0.3f;
    make_texts(&f, LONGEST);
    return f;
}

Test(nn_text_products, has_the_gradient_of_plain_products)
{
    enum { MANY = 300 }; /* more tiles than go at once */
    fixture f = make_products(MANY);
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, MANY, NULL);
    double loss = 0;
    float *g = one_by_one(&f, MANY, &loss);
    dal_nn_result r = {.struct_size = sizeof r};
    const dal_nn_batch b = batch_of(&f);
    double largest = 0;
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, NULL), DAL_OK);
    cr_assert_float_eq(r.loss, loss, 1e-5 * loss);
    for (int64_t i = 0; i < f.info.n_weights; i++) {
        cr_assert_float_eq((double)dal_nn_gradient(t)[i], (double)g[i] / MANY, 2e-6, "%lld", (long long)i);
        largest = fmax(largest, fabs((double)g[i]) / MANY);
    }
    cr_assert_gt(largest, 1e-2);
    free(g);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn_text_products, reads_by_ready_weights_as_by_others_in_any_place)
{
    fixture f = make_products(DAL_NN_TILE);
    dal_nn_ready *ready = dal_nn_ready_new(f.nn, f.host, f.weights, NULL, NULL);
    dal_nn_pass *plain = dal_nn_pass_new(f.nn, f.host, 0, NULL), *p = dal_nn_ready_pass(ready, f.host, NULL);
    float together[C * DAL_NN_TILE];
    run(&f, plain, 0, DAL_NN_TILE);
    run(&f, p, 0, DAL_NN_TILE);
    memcpy(together, p->value[f.info.output], sizeof together);
    for (int i = 0; i < C * DAL_NN_TILE; i++)
        cr_assert_float_eq((double)together[i], (double)plain->value[f.info.output][i], 1e-5, "number %d", i);
    for (int64_t i = 0; i < DAL_NN_TILE; i++) {
        run(&f, p, i, 1);
        cr_assert_eq(memcmp(p->value[f.info.output], together + C * i, C * sizeof(float)), 0, "text %lld",
                     (long long)i);
    }
    dal_nn_pass_free(p);
    dal_nn_pass_free(plain);
    dal_nn_ready_free(ready);
    drop(&f);
}
