/* @ID@: a small convolutional network for images.
 *
 *     conv 3x3 w, pool, conv 3x3 2w, pool, linear 8w, dropout, linear
 *
 * with ReLU after each but the last; w is the parameter width, 8w the width of the features. Training, augmentation,
 * saved models and what strategies ask of a network come with dal/nn_model.h.
 */
#include <dal/nn_model.h>

typedef struct options {
    dal_nn_training training; /* first */
    int64_t width;
} options;

/* epochs, batch_size, optimizer, learning_rate, weight_decay, schedule, crop, flip, dropout */
#define PARAMS(P, T)                                                                      \
    DAL_NN_TRAINING(P, "30", "64", "adam", "0.001", "0", "constant", "0", "false", "0.5") \
    P(options, width, I64, "16", "1..512", "channels", "of the first convolution; the second is twice as wide")

#define RELU (DAL_NN_BIAS | DAL_NN_RELU)

static dal_nn_value stage(dal_nn *nn, dal_nn_value x, const char *name, int64_t width)
{
    x = dal_nn_conv(nn, x, name, &(dal_nn_conv_shape){.out = width, .kernel = 3, .pad = 1, .flags = RELU});
    x = dal_nn_max_pool(nn, x, 2, 2, 0);
    dal_nn_stage(nn, x); /* shown to strategies that look at inner layers */
    return x;
}

/* From the input x to the output of c classes. A call that does not fit is told when the network is made. */
static void layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *given)
{
    const options *o = given;
    x = stage(nn, x, "conv1", o->width);
    x = stage(nn, x, "conv2", 2 * o->width);
    x = dal_nn_linear(nn, x, "hidden", 8 * o->width, RELU);
    if (o->training.dropout > 0)
        x = dal_nn_dropout(nn, x, o->training.dropout);
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

DAL_NN_MODEL(network, "@ID@", layers, DAL_NN_UNIFORM)

/* The second part of the version tells how networks are trained: a run that goes on with another one says so. */
#define COMPONENTS(C) \
    C(MODEL, "@ID@", network_impl, "two 3x3 convolutions, a hidden layer", "", "", DAL_NN_MODEL_PROVIDES, options,     \
      PARAMS)
DAL_MODULE(@MODULE@, "0.1+" DAL_NN_TRAINING_VERSION, "MIT", COMPONENTS, NULL, NULL)
