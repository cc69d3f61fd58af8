/* dal/nn_model.h as a plugin author meets it: a list of layers, the rest libdal's. */
#include <dal/nn_model.h>
#include <stddef.h>

#include "tests/unit/models.h"

static const dal_nn_training training = {.epochs = 20, .batch_size = 16, .optimizer = DAL_NN_BY_ADAM,
                                         .learning_rate = 0.01, .mc_dropout = 0.5};

static void one_hidden(dal_nn *nn, dal_nn_value x, int64_t c, const void *options)
{
    x = dal_nn_linear(nn, x, "hidden", *(const int64_t *)options, DAL_NN_BIAS | DAL_NN_RELU);
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

static const int64_t width = 12;

static dal_nn_model_plan plan_of(uint32_t takes)
{
    return (dal_nn_model_plan){.struct_size = sizeof(dal_nn_model_plan), .takes = takes, .id = "own",
                               .layers = one_hidden, .options = &width, .training = &training,
                               .training_size = sizeof training, .init = DAL_NN_UNIFORM};
}

static const dal_model_impl impl = DAL_NN_MODEL_IMPL(NULL);

/* Trained on clusters of vectors; outputs of other samples of theirs. */
static float *learned(const dal_nn_model_plan *plan, fx_list *train, fx_list *test)
{
    dal_runtime *rt = fx_runtime(2, 1);
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    cr_assert_eq(dal_nn_model_new(dal_runtime_host(rt, "own"), plan, &train->s.spec, &self, &err), DAL_OK, "%s",
                 err.text);
    fx_fit(&impl, self, train, 0, 0);
    float *z = fx_predict(&impl, self, test, 60);
    impl.destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return z;
}

Test(nn_own_model, of_vectors_learns_what_there_is)
{
    fx_list *train = fx_clusters(90, 12, 3, DAL_F32, 0.1, 1), *test = fx_clusters(60, 12, 3, DAL_F32, 0.1, 2);
    const dal_nn_model_plan plan = plan_of(DAL_NN_TAKES_VECTORS);
    float *z = learned(&plan, train, test);
    cr_assert_gt(fx_accuracy(z, test), 0.9);
    free(z);
    fx_list_free(train);
    fx_list_free(test);
}

/* A plugin built before the last members were there has them at their meaning of 0. */
Test(nn_own_model, reads_no_more_of_the_training_than_the_plugin_has)
{
    fx_list *train = fx_clusters(90, 12, 3, DAL_F32, 0.1, 1), *test = fx_clusters(60, 12, 3, DAL_F32, 0.1, 2);
    dal_nn_model_plan plan = plan_of(DAL_NN_TAKES_VECTORS);
    float *want = learned(&plan, train, test);
    const size_t size = offsetof(dal_nn_training, backend);
    char *cut = malloc(size); /* a read behind it is found by the sanitizer */
    memcpy(cut, &training, size);
    plan.training = (const dal_nn_training *)(void *)cut;
    plan.training_size = (uint32_t)size;
    float *z = learned(&plan, train, test);
    cr_assert_arr_eq(z, want, 60 * 3 * sizeof *z);
    free(cut);
    free(z);
    free(want);
    fx_list_free(train);
    fx_list_free(test);
}

static dal_status made(const dal_nn_model_plan *plan, const dal_sample_spec *spec, dal_error *err)
{
    dal_runtime *rt = fx_runtime(1, 1);
    void *self = NULL;
    const dal_status st = dal_nn_model_new(dal_runtime_host(rt, "own"), plan, spec, &self, err);
    impl.destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return st;
}

Test(nn_own_model, takes_what_its_plan_says)
{
    const dal_sample_spec vectors = {.struct_size = sizeof vectors, .modality = DAL_VECTOR, .dtype = DAL_F32, .ndim = 1,
                                     .shape = {6}, .n_classes = 3};
    const dal_sample_spec images = {.struct_size = sizeof images, .modality = DAL_IMAGE, .dtype = DAL_U8, .ndim = 3,
                                    .shape = {1, 4, 5}, .n_classes = 3};
    dal_nn_model_plan plan = plan_of(DAL_NN_TAKES_IMAGES);
    dal_error err = DAL_ERROR_INIT;
    fx_expect(&err, made(&plan, &vectors, &err), DAL_E_INVALID, "", "own takes images [channels, height, width]");
    cr_assert_eq(made(&plan, &images, &err), DAL_OK);
    plan.takes = DAL_NN_TAKES_VECTORS;
    cr_assert_eq(made(&plan, &vectors, &err), DAL_OK);
    cr_assert_eq(made(&plan, &images, &err), DAL_OK, "images are vectors, too");
    plan.takes = 0;
    fx_expect(&err, made(&plan, &images, &err), DAL_E_CONTRACT, "", "what it takes");
    plan = plan_of(DAL_NN_TAKES_IMAGES);
    plan.layers = NULL;
    fx_expect(&err, made(&plan, &images, &err), DAL_E_CONTRACT, "", "layers");
}

/* The first fault of the list is told with both sides. */
static void too_wide(dal_nn *nn, dal_nn_value x, int64_t c, const void *options)
{
    x = dal_nn_conv(nn, x, "conv1", &(dal_nn_conv_shape){.out = 4, .kernel = 9});
    one_hidden(nn, x, c, options);
}

Test(nn_own_model, tells_layers_that_do_not_fit_the_samples)
{
    const dal_sample_spec images = {.struct_size = sizeof images, .modality = DAL_IMAGE, .dtype = DAL_U8, .ndim = 3,
                                    .shape = {1, 4, 5}, .n_classes = 3};
    dal_nn_model_plan plan = plan_of(DAL_NN_TAKES_IMAGES);
    dal_error err = DAL_ERROR_INIT;
    plan.layers = too_wide;
    fx_expect(&err, made(&plan, &images, &err), DAL_E_INVALID, "", "own does not take images of 1 x 4 x 5: ");
}
