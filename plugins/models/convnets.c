/* Small convolutional networks for images of 28 x 28 to 64 x 64.
 *
 *   lenet      after LeCun et al. 1998, as benchmarks build it today: conv 5x5 32, pool, conv 5x5 64, pool, linear 128,
 *              dropout; d = 128
 *   mnist-net  DISTIL's net for MNIST: conv 3x3 32, conv 3x3 64, pool, linear 128, dropout; d = 128
 *   cnn-small  for CPUs: three stages of two 3x3 convolutions with batch-norm, 32, 64 and 128 wide, mean over the map,
 *              dropout; d = 128
 */
#include <dal/nn_model.h>

typedef struct options {
    dal_nn_training nn;
} options;

#define RELU (DAL_NN_BIAS | DAL_NN_RELU)

static dal_nn_value conv(dal_nn *nn, dal_nn_value x, const char *name, int64_t out, int64_t kernel, int64_t pad,
                         uint32_t flags)
{
    return dal_nn_conv(nn, x, name, &(dal_nn_conv_shape){.out = out, .kernel = kernel, .pad = pad, .flags = flags});
}

/* Dropout if any, the features, the last layer. */
static void head(dal_nn *nn, dal_nn_value x, int64_t c, const options *o)
{
    if (o->nn.dropout > 0)
        x = dal_nn_dropout(nn, x, o->nn.dropout);
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

static void lenet(dal_nn *nn, dal_nn_value x, int64_t c, const void *o)
{
    x = dal_nn_max_pool(nn, conv(nn, x, "conv1", 32, 5, 0, RELU), 2, 2, 0);
    dal_nn_stage(nn, x);
    x = dal_nn_max_pool(nn, conv(nn, x, "conv2", 64, 5, 0, RELU), 2, 2, 0);
    dal_nn_stage(nn, x);
    head(nn, dal_nn_linear(nn, x, "hidden", 128, RELU), c, o);
}

static void mnist_net(dal_nn *nn, dal_nn_value x, int64_t c, const void *o)
{
    x = conv(nn, x, "conv1", 32, 3, 0, RELU);
    dal_nn_stage(nn, x);
    x = dal_nn_max_pool(nn, conv(nn, x, "conv2", 64, 3, 0, RELU), 2, 2, 0);
    dal_nn_stage(nn, x);
    head(nn, dal_nn_linear(nn, x, "hidden", 128, RELU), c, o);
}

static void cnn_small(dal_nn *nn, dal_nn_value x, int64_t c, const void *o)
{
    static const int64_t widths[3] = {32, 64, 128};
    for (int s = 0; s < 3; s++) {
        if (s > 0)
            x = dal_nn_max_pool(nn, x, 2, 2, 0);
        for (int i = 0; i < 2; i++) {
            char name[2][32];
            snprintf(name[0], sizeof name[0], "stage%d.conv%d", s + 1, i + 1);
            snprintf(name[1], sizeof name[1], "stage%d.norm%d", s + 1, i + 1);
            x = dal_nn_batch_norm(nn, conv(nn, x, name[0], widths[s], 3, 1, 0), name[1], DAL_NN_RELU);
        }
        dal_nn_stage(nn, x);
    }
    head(nn, dal_nn_global_pool(nn, x), c, o);
}

DAL_NN_MODEL(lenet, "lenet", lenet, DAL_NN_UNIFORM)
DAL_NN_MODEL(mnist_net, "mnist-net", mnist_net, DAL_NN_UNIFORM)
DAL_NN_MODEL(cnn_small, "cnn-small", cnn_small, DAL_NN_UNIFORM)

#define PARAMS(P, T) DAL_NN_TRAINING(P, "30", "64", "adam", "0.001", "0", "constant", "0", "false", "0.5")
#define COMPONENTS(C)                                                                                                 \
    C(MODEL, "lenet", lenet_impl, "two 5x5 convolutions of 32 and 64, a hidden layer of 128", "LeCun et al. 1998", "", \
      DAL_NN_MODEL_PROVIDES, options, PARAMS)                                                                         \
    C(MODEL, "mnist-net", mnist_net_impl, "two 3x3 convolutions of 32 and 64, a hidden layer of 128", "", "",         \
      DAL_NN_MODEL_PROVIDES, options, PARAMS)                                                                         \
    C(MODEL, "cnn-small", cnn_small_impl, "six 3x3 convolutions with batch-norm, 32 to 128 wide", "", "",              \
      DAL_NN_MODEL_PROVIDES, options, PARAMS)
DAL_MODULE(convnets, DAL_NN_TRAINING_VERSION, "Apache-2.0", COMPONENTS, NULL, NULL)
