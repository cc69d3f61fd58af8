/* The residual networks have the sizes their papers and peers give them. */
#include "tests/unit/layers.h"

#include "plugins/models/resnet.c"

Test(resnet, has_the_sizes_of_resnet18)
{
    const options cifar = {.width = 64, .stem = STEM_CIFAR}, imagenet = {.width = 64, .stem = STEM_IMAGENET};
    fx_layers(&resnet18_impl, &cifar, 3, 32, 10, 11173962, (int64_t[]){32, 16, 8, 4}, 512);
    fx_layers(&resnet18_impl, &cifar, 3, 28, 10, 11173962, (int64_t[]){28, 14, 7, 4}, 512);
    /* torchvision's resnet18 has 11,689,512 with 1000 classes */
    fx_layers(&resnet18_impl, &imagenet, 3, 64, 1000, 11689512, (int64_t[]){16, 8, 4, 2}, 512);
}

Test(resnet, has_the_sizes_of_resnet34)
{
    const options cifar = {.width = 64, .stem = STEM_CIFAR}, imagenet = {.width = 64, .stem = STEM_IMAGENET};
    /* torchvision's resnet34 has 21,797,672 with 1000 classes; the small stem 3 x 64 x (49 - 9) less, 10 classes 513 x
     * 990 */
    fx_layers(&resnet34_impl, &imagenet, 3, 64, 1000, 21797672, (int64_t[]){16, 8, 4, 2}, 512);
    fx_layers(&resnet34_impl, &cifar, 3, 32, 10, 21797672 - 7680 - 507870, (int64_t[]){32, 16, 8, 4}, 512);
}

/* Conv without bias, and norm: 9 in out + 2 out; a shortcut in out + 2 out. 78,042 = 78,666 + 192 - 336 - 480: MLPerf
 * Tiny's ResNet-8 has 78,666: without the shortcuts' norms (192), with biases (336) and counts what its seven norms
 * remember (480). */
Test(resnet, has_the_sizes_of_small_ones)
{
    const options o = {.width = 16};
    fx_layers(&resnet8_impl, &o, 3, 32, 10, 78042, (int64_t[]){32, 16, 8}, 64);
    const int64_t more = 2 * (9 * 16 * 16 + 32) + 2 * (9 * 32 * 32 + 64) + 2 * (9 * 64 * 64 + 128);
    fx_layers(&resnet14_impl, &o, 3, 32, 10, 78042 + more, (int64_t[]){32, 16, 8}, 64);
}

Test(resnet, has_the_sizes_of_the_peers_nets)
{
    const options o = {.width = 64}, wide = {.width = 32};
    /* the 1x1 convolution to 3 channels, and resnet18 with 10 classes: 6 + 11,181,642 */
    fx_layers(&deepal_mnist_net_impl, &o, 1, 28, 10, 11181648, (int64_t[]){7, 4, 2, 1}, 512);
    fx_layers(&deepal_cifar_net_impl, &o, 3, 32, 10, 11173962, (int64_t[]){16, 8, 4, 2}, 512);
    fx_layers(&wide_resnet_impl, &wide, 3, 32, 10, 691674, (int64_t[]){32, 16, 8}, 128);
}
