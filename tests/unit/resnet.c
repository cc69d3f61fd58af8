/* The residual networks have the sizes their papers and peers give them. */
#include "tests/unit/models.h"

#include "plugins/models/resnet.c"

static void expect(const dal_model_impl *impl, const options *o, int64_t channels, int64_t side, int64_t c, int64_t weights,
                   const int64_t *stages, int64_t d)
{
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_sample_spec spec = {.struct_size = sizeof spec, .modality = DAL_IMAGE, .dtype = DAL_U8, .ndim = 3,
                                  .shape = {channels, side, side}, .n_classes = c};
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(impl->create(dal_runtime_host(rt, "m"), o, &spec, &self, &err), DAL_OK, "%s", err.text);
    const nn_model *m = self;
    cr_assert_eq(m->info.n_weights, weights, "%lld weights", (long long)m->info.n_weights);
    cr_assert_eq(m->info.n_features, d);
    for (int64_t s = 0; s < m->info.n_stages; s++) {
        int64_t shape[3];
        dal_nn_shape(m->nn, dal_nn_stage_value(m->nn, s), shape);
        cr_assert_eq(shape[1], stages[s], "stage %lld has %lld places a side", (long long)s, (long long)shape[1]);
    }
    impl->destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(resnet, has_the_sizes_of_resnet18)
{
    const options cifar = {.width = 64, .stem = STEM_CIFAR}, imagenet = {.width = 64, .stem = STEM_IMAGENET};
    expect(&resnet18_impl, &cifar, 3, 32, 10, 11173962, (int64_t[]){32, 16, 8, 4}, 512);
    expect(&resnet18_impl, &cifar, 3, 28, 10, 11173962, (int64_t[]){28, 14, 7, 4}, 512);
    /* torchvision's resnet18 has 11,689,512 with 1000 classes */
    expect(&resnet18_impl, &imagenet, 3, 64, 1000, 11689512, (int64_t[]){16, 8, 4, 2}, 512);
}

Test(resnet, has_the_sizes_of_the_peers_nets)
{
    const options o = {.width = 64}, wide = {.width = 32};
    /* the 1x1 convolution to 3 channels, and resnet18 with 10 classes: 6 + 11,181,642 */
    expect(&deepal_mnist_net_impl, &o, 1, 28, 10, 11181648, (int64_t[]){7, 4, 2, 1}, 512);
    expect(&deepal_cifar_net_impl, &o, 3, 32, 10, 11173962, (int64_t[]){16, 8, 4, 2}, 512);
    expect(&wide_resnet_impl, &wide, 3, 32, 10, 691674, (int64_t[]){32, 16, 8}, 128);
}
