/* mobilenet-v2: inverted residuals with linear bottlenecks.
 *
 * Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018, table 2: a block widens its
 * input by conv 1x1 (not the first), filters each channel by conv 3x3, and narrows by conv 1x1 without an activation;
 * its input is added where the shape stays. Batch-norm after each convolution, which has no bias; ReLU6. The mean over
 * the last map is the features, d = 1280. stem: imagenet halves the map five times as the paper does, for 64 x 64 and
 * more; cifar leaves out the first two, so that 32 x 32 ends as 4 x 4. The stages are the ends of the seven groups.
 * Depthwise convolutions move more memory than they multiply: oneDNN's are much the faster ones.
 */
#include <dal/nn_model.h>

#define STEM_CIFAR 0u

typedef struct options {
    dal_nn_training nn;
    int64_t width; /* of the stem */
    uint32_t stem;
} options;

#define USUAL 32 /* width of the paper's stem */
#define RELU6 1

/* The paper's number of channels in proportion: a multiple of 8, not below 9/10 of it. */
static int64_t channels(int64_t usual, int64_t width)
{
    const int64_t exact = usual * width, round = (exact + 4 * USUAL) / (8 * USUAL) * 8, least = round < 8 ? 8 : round;
    return 10 * least * USUAL < 9 * exact ? least + 8 : least;
}

static dal_nn_value conv(dal_nn *nn, dal_nn_value x, const char *block, const char *name, dal_nn_conv_shape shape,
                         int relu6)
{
    char full[2][48];
    snprintf(full[0], sizeof full[0], "%s%s", block, name);
    snprintf(full[1], sizeof full[1], "%s%s_norm", block, name);
    shape.pad = shape.kernel / 2;
    x = dal_nn_batch_norm(nn, dal_nn_conv(nn, x, full[0], &shape), full[1], 0);
    return relu6 ? dal_nn_relu6(nn, x) : x;
}

static dal_nn_value bottleneck(dal_nn *nn, dal_nn_value x, const char *name, int64_t widen, int64_t out, int64_t stride)
{
    int64_t shape[3];
    dal_nn_shape(nn, x, shape);
    const int64_t inner = widen * shape[0];
    dal_nn_value y = x;
    if (widen > 1)
        y = conv(nn, y, name, "expand", (dal_nn_conv_shape){.out = inner, .kernel = 1}, RELU6);
    y = conv(nn, y, name, "depthwise", (dal_nn_conv_shape){.out = inner, .kernel = 3, .stride = stride,
                                                           .groups = inner}, RELU6);
    y = conv(nn, y, name, "project", (dal_nn_conv_shape){.out = out, .kernel = 1}, 0);
    return stride == 1 && shape[0] == out ? dal_nn_add(nn, x, y, 0) : y;
}

static void mobilenet(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    static const struct {
        int64_t widen, out, blocks, stride;
    } groups[] = {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2},
                  {6, 320, 1, 1}};
    const options *o = options_;
    const int small = o->stem == STEM_CIFAR;
    x = conv(nn, x, "", "stem", (dal_nn_conv_shape){.out = channels(32, o->width), .kernel = 3,
                                                    .stride = small ? 1 : 2}, RELU6);
    for (int g = 0; g < 7; g++) {
        for (int64_t i = 0; i < groups[g].blocks; i++) {
            char name[32];
            snprintf(name, sizeof name, "group%d.block%d.", g + 1, (int)i + 1);
            x = bottleneck(nn, x, name, groups[g].widen, channels(groups[g].out, o->width),
                           i > 0 || (small && g == 1) ? 1 : groups[g].stride);
        }
        dal_nn_stage(nn, x);
    }
    x = conv(nn, x, "", "last", (dal_nn_conv_shape){.out = channels(1280, o->width > USUAL ? o->width : USUAL),
                                                    .kernel = 1}, RELU6);
    x = dal_nn_global_pool(nn, x);
    if (o->nn.dropout > 0)
        x = dal_nn_dropout(nn, x, o->nn.dropout);
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

DAL_NN_MODEL(mobilenet, "mobilenet-v2", mobilenet, DAL_NN_KAIMING)

#define TRAINING(P) DAL_NN_TRAINING(P, "50", "64", "sgd", "0.05", "5e-4", "cosine", "4", "true", "0")
#define PARAMS(P, T)                                                                                             \
    TRAINING(P)                                                                                                  \
    P(options, width, I64, "32", "1..256", "channels", "of the stem; 32: the paper's net, others in proportion") \
    P(options, stem, CHOICE, "cifar", "cifar|imagenet", "",                                                            \
      "the first layers: for small images, or for 64 x 64 and more")
#define COMPONENTS(C)                                                                                   \
    C(MODEL, "mobilenet-v2", mobilenet_impl, "inverted residuals with depthwise convolutions, 2 million weights", \
      "Sandler et al., CVPR 2018", "", DAL_NN_MODEL_PROVIDES, options, PARAMS)
DAL_MODULE(mobilenet, DAL_NN_TRAINING_VERSION, "Apache-2.0", COMPONENTS, NULL, NULL)
