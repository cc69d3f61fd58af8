/* Residual networks.
 *
 *   resnet18          He et al., "Deep residual learning", CVPR 2016, table 1: four stages of two basic blocks, 64 to
 *                     512 wide; d = 512. stem: cifar: conv 3x3/1 (32 x 32 and smaller); imagenet: conv 7x7/2 and
 *                     max-pool 3x3/2
 *   resnet34          the same with 3, 4, 6 and 3 blocks
 *   resnet8, resnet14 for CPUs, as section 4.2 there has them for CIFAR: conv 3x3/1, three stages of one or two blocks,
 *                     16 to 64 wide; d = 64
 *   deepal-mnist-net  DeepAL+'s net for MNIST: conv 1x1 to 3 channels with bias, then resnet18 with the imagenet stem
 *   deepal-cifar-net  DeepAL+'s net for CIFAR: conv 3x3/1, but the max-pool kept
 *   wide-resnet-16-2  Zagoruyko & Komodakis, BMVC 2016: pre-activation blocks, three stages of two, 32 to 128 wide;
 *                     d = 128
 *
 * Basic block: conv 3x3/s, norm, ReLU, conv 3x3, norm, plus the input (through conv 1x1/s and norm where the shape
 * changes), ReLU. Convolutions have no bias. Stages are the ends of the groups of blocks.
 */
#include <dal/nn_model.h>

#define STEM_CIFAR 0u
#define STEM_IMAGENET 1u

typedef struct options {
    dal_nn_training nn;
    int64_t width; /* of the first stage */
    uint32_t stem;
} options;

static dal_nn_value conv(dal_nn *nn, dal_nn_value x, const char *block, const char *name, int64_t out, int64_t kernel,
                         int64_t stride)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", block, name);
    return dal_nn_conv(nn, x, full, &(dal_nn_conv_shape){.out = out, .kernel = kernel, .stride = stride,
                                                         .pad = kernel / 2});
}

static dal_nn_value norm(dal_nn *nn, dal_nn_value x, const char *block, const char *name, uint32_t flags)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", block, name);
    return dal_nn_batch_norm(nn, x, full, flags);
}

static dal_nn_value basic_block(dal_nn *nn, dal_nn_value x, const char *name, int64_t out, int64_t stride, int changes)
{
    dal_nn_value y = norm(nn, conv(nn, x, name, "conv1", out, 3, stride), name, "norm1", DAL_NN_RELU);
    y = norm(nn, conv(nn, y, name, "conv2", out, 3, 1), name, "norm2", 0);
    if (changes)
        x = norm(nn, conv(nn, x, name, "shortcut", out, 1, stride), name, "shortcut_norm", 0);
    return dal_nn_add(nn, y, x, DAL_NN_RELU);
}

/* Dropout if any, the features, the last layer. */
static void head(dal_nn *nn, dal_nn_value x, int64_t c, const options *o)
{
    x = dal_nn_global_pool(nn, x);
    if (o->nn.dropout > 0)
        x = dal_nn_dropout(nn, x, o->nn.dropout);
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

/* Stages of so many blocks each, after the stem. */
static void stages(dal_nn *nn, dal_nn_value x, int64_t c, const options *o, int n, const int *blocks)
{
    for (int s = 0; s < n; s++) {
        for (int i = 0; i < blocks[s]; i++) {
            char name[32];
            snprintf(name, sizeof name, "stage%d.block%d.", s + 1, i + 1);
            x = basic_block(nn, x, name, o->width << s, s > 0 && i == 0 ? 2 : 1, s > 0 && i == 0);
        }
        dal_nn_stage(nn, x);
    }
    head(nn, x, c, o);
}

static void trunk(dal_nn *nn, dal_nn_value x, int64_t c, const options *o)
{
    stages(nn, x, c, o, 4, (const int[]){2, 2, 2, 2});
}

static dal_nn_value stem(dal_nn *nn, dal_nn_value x, int64_t width, int64_t kernel, int64_t stride, int pool)
{
    x = norm(nn, conv(nn, x, "", "stem", width, kernel, stride), "", "stem_norm", DAL_NN_RELU);
    return pool ? dal_nn_max_pool(nn, x, 3, 2, 1) : x;
}

static void resnet18(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    trunk(nn, o->stem == STEM_CIFAR ? stem(nn, x, o->width, 3, 1, 0) : stem(nn, x, o->width, 7, 2, 1), c, o);
}

static void resnet34(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    x = o->stem == STEM_CIFAR ? stem(nn, x, o->width, 3, 1, 0) : stem(nn, x, o->width, 7, 2, 1);
    stages(nn, x, c, o, 4, (const int[]){3, 4, 6, 3});
}

static void resnet8(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    stages(nn, stem(nn, x, o->width, 3, 1, 0), c, o, 3, (const int[]){1, 1, 1});
}

static void resnet14(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    stages(nn, stem(nn, x, o->width, 3, 1, 0), c, o, 3, (const int[]){2, 2, 2});
}

static void deepal_mnist_net(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    x = dal_nn_conv(nn, x, "colour", &(dal_nn_conv_shape){.out = 3, .kernel = 1, .flags = DAL_NN_BIAS});
    trunk(nn, stem(nn, x, o->width, 7, 2, 1), c, o);
}

static void deepal_cifar_net(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    trunk(nn, stem(nn, x, o->width, 3, 1, 1), c, o);
}

/* Norm and ReLU come first; where the shape changes the shortcut starts behind them. */
static dal_nn_value wide_block(dal_nn *nn, dal_nn_value x, const char *name, int64_t out, int64_t stride, int changes)
{
    const dal_nn_value a = norm(nn, x, name, "norm1", DAL_NN_RELU);
    dal_nn_value y = norm(nn, conv(nn, a, name, "conv1", out, 3, stride), name, "norm2", DAL_NN_RELU);
    y = conv(nn, y, name, "conv2", out, 3, 1);
    return dal_nn_add(nn, y, changes ? conv(nn, a, name, "shortcut", out, 1, stride) : x, 0);
}

static void wide_resnet(dal_nn *nn, dal_nn_value x, int64_t c, const void *options_)
{
    const options *o = options_;
    x = conv(nn, x, "", "stem", 16, 3, 1);
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < 2; i++) {
            char name[32];
            snprintf(name, sizeof name, "stage%d.block%d.", s + 1, i + 1);
            x = wide_block(nn, x, name, o->width << s, s > 0 && i == 0 ? 2 : 1, i == 0);
        }
        dal_nn_stage(nn, x);
    }
    head(nn, norm(nn, x, "", "last_norm", DAL_NN_RELU), c, o);
}

DAL_NN_MODEL(resnet18, "resnet18", resnet18, DAL_NN_KAIMING)
DAL_NN_MODEL(resnet34, "resnet34", resnet34, DAL_NN_KAIMING)
DAL_NN_MODEL(resnet8, "resnet8", resnet8, DAL_NN_KAIMING)
DAL_NN_MODEL(resnet14, "resnet14", resnet14, DAL_NN_KAIMING)
DAL_NN_MODEL(deepal_mnist_net, "deepal-mnist-net", deepal_mnist_net, DAL_NN_KAIMING)
DAL_NN_MODEL(deepal_cifar_net, "deepal-cifar-net", deepal_cifar_net, DAL_NN_KAIMING)
DAL_NN_MODEL(wide_resnet, "wide-resnet-16-2", wide_resnet, DAL_NN_KAIMING)

#define TRAINING(P) DAL_NN_TRAINING(P, "50", "64", "sgd", "0.05", "5e-4", "cosine", "4", "true", "0")
#define WIDTH(P, WIDE) \
    P(options, width, I64, WIDE, "1..256", "channels", "of the first stage; each further one is twice as wide")
#define PARAMS(P, T) TRAINING(P) WIDTH(P, "64")
#define WIDE_PARAMS(P, T) TRAINING(P) WIDTH(P, "32")
#define SMALL_PARAMS(P, T) TRAINING(P) WIDTH(P, "16")
#define STEM_PARAMS(P, T) \
    PARAMS(P, T)          \
    P(options, stem, CHOICE, "cifar", "cifar|imagenet", "",                                                            \
      "the first layers: for small images, or for 64 x 64 and more")
#define COMPONENTS(C)                                                                                                 \
    C(MODEL, "resnet18", resnet18_impl,                                                                                \
      "residual network of 18 layers, 11 million weights", "He et al., CVPR 2016", "",                                 \
      DAL_NN_MODEL_PROVIDES, options, STEM_PARAMS)                                                                    \
    C(MODEL, "resnet34", resnet34_impl,                                                                                \
      "residual network of 34 layers, 21 million weights", "He et al., CVPR 2016", "",                                 \
      DAL_NN_MODEL_PROVIDES, options, STEM_PARAMS)                                                                    \
    C(MODEL, "resnet8", resnet8_impl,                                                                                  \
      "residual network of 8 layers for CPUs, 16 to 64 wide", "He et al., CVPR 2016", "",                              \
      DAL_NN_MODEL_PROVIDES, options, SMALL_PARAMS)                                                                   \
    C(MODEL, "resnet14", resnet14_impl,                                                                                \
      "residual network of 14 layers for CPUs, 16 to 64 wide", "He et al., CVPR 2016", "",                             \
      DAL_NN_MODEL_PROVIDES, options, SMALL_PARAMS)                                                                   \
    C(MODEL, "deepal-mnist-net", deepal_mnist_net_impl, "resnet18 as DeepAL+ uses it for MNIST",                       \
      "He et al., CVPR 2016", "", DAL_NN_MODEL_PROVIDES, options, PARAMS)                                              \
    C(MODEL, "deepal-cifar-net", deepal_cifar_net_impl, "resnet18 as DeepAL+ uses it for CIFAR",                       \
      "He et al., CVPR 2016", "", DAL_NN_MODEL_PROVIDES, options, PARAMS)                                              \
    C(MODEL, "wide-resnet-16-2", wide_resnet_impl, "pre-activation residual network, 16 layers, twice as wide",       \
      "Zagoruyko & Komodakis, BMVC 2016", "", DAL_NN_MODEL_PROVIDES, options, WIDE_PARAMS)
DAL_MODULE(resnet, DAL_NN_TRAINING_VERSION, "Apache-2.0", COMPONENTS, NULL, NULL)
