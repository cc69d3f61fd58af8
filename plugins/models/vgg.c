/* vgg11, vgg16, vgg19: plain stacks of 3x3 convolutions.
 *
 * Simonyan & Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, configurations
 * A, D and E, as benchmarks use them on small images: batch-norm after each convolution, no hidden linear layers. Five
 * stages of width (64), 128, 256, 512 and 512 maps, a max-pool of 2 between them; the mean over the last map (of 32 x
 * 32 pixels a single place, after a last pool) is the features, d = 512. A map of one place is not pooled any more.
 */
#include <dal/nn_model.h>

typedef struct options {
    dal_nn_training nn;
    int64_t width;
} options;

#define STAGES 5

static void vgg(dal_nn *nn, dal_nn_value x, int64_t c, const options *o, const int depth[STAGES])
{
    const int64_t w = o->width, widths[STAGES] = {w, 2 * w, 4 * w, 8 * w, 8 * w};
    for (int s = 0; s < STAGES; s++) {
        for (int i = 0; i < depth[s]; i++) {
            char conv[32], norm[32];
            snprintf(conv, sizeof conv, "stage%d.conv%d", s + 1, i + 1);
            snprintf(norm, sizeof norm, "stage%d.norm%d", s + 1, i + 1);
            x = dal_nn_conv(nn, x, conv, &(dal_nn_conv_shape){.out = widths[s], .kernel = 3, .pad = 1,
                                                              .flags = DAL_NN_BIAS});
            x = dal_nn_batch_norm(nn, x, norm, DAL_NN_RELU);
        }
        dal_nn_stage(nn, x);
        int64_t shape[3];
        dal_nn_shape(nn, x, shape);
        if (shape[1] > 1 && shape[2] > 1)
            x = dal_nn_max_pool(nn, x, 2, 2, 0);
    }
    x = dal_nn_global_pool(nn, x);
    if (o->nn.dropout > 0)
        x = dal_nn_dropout(nn, x, o->nn.dropout);
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

#define NET(name, id, ...)                                                         \
    static void build_##name(dal_nn *nn, dal_nn_value x, int64_t c, const void *o) \
    {                                                                              \
        vgg(nn, x, c, o, (const int[STAGES]){__VA_ARGS__});                        \
    }                                                                              \
    DAL_NN_MODEL(name, id, build_##name, DAL_NN_UNIFORM)
NET(vgg11, "vgg11", 1, 1, 2, 2, 2)
NET(vgg16, "vgg16", 2, 2, 3, 3, 3)
NET(vgg19, "vgg19", 2, 2, 4, 4, 4)

#define TRAINING(P) DAL_NN_TRAINING(P, "50", "64", "sgd", "0.05", "5e-4", "cosine", "4", "true", "0")
#define PARAMS(P, T) \
    TRAINING(P)      \
    P(options, width, I64, "64", "1..256", "channels", "of the first stage; the others are 2, 4, 8 and 8 times as wide")
#define PAPER "Simonyan & Zisserman, ICLR 2015"
#define COMPONENTS(C)                                                                                                 \
    C(MODEL, "vgg11", vgg11_impl, "eight 3x3 convolutions with batch-norm, 9 million weights", PAPER, "",              \
      DAL_NN_MODEL_PROVIDES, options, PARAMS)                                                                          \
    C(MODEL, "vgg16", vgg16_impl, "13 3x3 convolutions with batch-norm, 15 million weights", PAPER, "",                \
      DAL_NN_MODEL_PROVIDES, options, PARAMS)                                                                          \
    C(MODEL, "vgg19", vgg19_impl, "16 3x3 convolutions with batch-norm, 20 million weights", PAPER, "",                \
      DAL_NN_MODEL_PROVIDES, options, PARAMS)
DAL_MODULE(vgg, DAL_NN_TRAINING_VERSION, "Apache-2.0", COMPONENTS, NULL, NULL)
