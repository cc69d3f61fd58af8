/* The networks of VGG have the sizes their paper gives them, with batch-norm and one linear layer. */
#include "tests/unit/layers.h"

#include "plugins/models/vgg.c"

/* Of 3x3 convolutions with bias and batch-norm (w in, out: 9 w out + 3 out) and 512 -> 10. */
static int64_t weights_of(const int64_t *widths, int n, int64_t channels)
{
    int64_t sum = 512 * 10 + 10, in = channels;
    for (int i = 0; i < n; i++) {
        sum += 9 * in * widths[i] + 3 * widths[i];
        in = widths[i];
    }
    return sum;
}

Test(vgg, has_the_sizes_of_its_paper)
{
    const options o = {.width = 64};
    const int64_t a[] = {64, 128, 256, 256, 512, 512, 512, 512};
    const int64_t d[] = {64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512};
    const int64_t e[] = {64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512, 512, 512, 512};
    cr_assert_eq(weights_of(d, 13, 3), 14728266); /* as published for CIFAR-10 */
    fx_layers(&vgg11_impl, &o, 3, 32, 10, weights_of(a, 8, 3), (int64_t[]){32, 16, 8, 4, 2}, 512);
    fx_layers(&vgg16_impl, &o, 3, 32, 10, 14728266, (int64_t[]){32, 16, 8, 4, 2}, 512);
    fx_layers(&vgg19_impl, &o, 3, 32, 10, weights_of(e, 16, 3), (int64_t[]){32, 16, 8, 4, 2}, 512);
    fx_layers(&vgg11_impl, &o, 1, 28, 10, weights_of(a, 8, 1), (int64_t[]){28, 14, 7, 3, 1}, 512);
}
