/* mlp: multi-layer perceptron with softmax output.
 *
 * ReLU layers of the widths in `hidden`, trained on mini-batches by Adam (Kingma and Ba 2015) or SGD with
 * momentum. Defaults, initialisation, penalty and stopping rule are those of scikit-learn's MLPClassifier:
 * penalty alpha / (2 b) |W|^2 on the mean loss of a batch of b, Glorot-uniform weights and biases, and the
 * end of training when the loss did not fall by `tol` in n_iter_no_change epochs. Differences: no
 * adaptive learning rate; dropout, decoupled weight decay, schedules, validation and stop_accuracy are added.
 *
 * Sample weights are divided by their mean; a batch's loss is sum w_i loss_i / b.
 *
 * Streams of a fit: "weights" (layer), "shuffle" (epoch), "dropout" (epoch, step), "unlabelled" (epoch),
 * "validation" (class), all keyed by the round. A fit starts from fresh weights; a warm one from the last weights if
 * there are any, with the optimiser's moments at zero.
 *
 * Monte-Carlo passes switch on the network's own dropout layers. A network trained without dropout gets
 * one mask of rate mc_dropout on its features (the last hidden layer, or the input without any).
 */
#include <dal/nn_model.h>

typedef struct options {
    dal_nn_control control; /* first: see DAL_NN_CONTROL */
    dal_i64_list hidden;
    double dropout;
    uint32_t optimizer;
    double learning_rate, beta1, beta2, epsilon, momentum;
    int32_t nesterov;
    double alpha, weight_decay;
    int64_t batch_size, epochs;
    double tol;
    int64_t n_iter_no_change;
    double stop_accuracy, mc_dropout;
} options;

#define PARAMS(P, T)                                                                                      \
    P(T, hidden, I64S, "[100]", "1..1000000", "units", "widths of the hidden layers")                     \
    P(T, dropout, F64, "0", "[0..1)", "", "rate of dropout on every hidden layer while training")         \
    P(T, optimizer, CHOICE, "adam", "adam|sgd|nadam", "", "how weights are moved")                        \
    P(T, learning_rate, F64, "0.001", "(0..", "", "size of a step")                                       \
    P(T, beta1, F64, "0.9", "[0..1)", "", "adam, nadam: decay of the first moment")                       \
    P(T, beta2, F64, "0.999", "[0..1)", "", "adam, nadam: decay of the second moment")                    \
    P(T, epsilon, F64, "1e-8", "(0..", "", "adam, nadam: added to the root of the second moment")         \
    P(T, momentum, F64, "0.9", "[0..1)", "", "sgd: share of the last step in the next")                   \
    P(T, nesterov, BOOL, "true", "", "", "sgd: look ahead (Nesterov)")                                    \
    P(T, alpha, F64, "1e-4", "0..", "", "L2 penalty: alpha / (2 batch) |W|^2 is added to the mean loss")  \
    P(T, weight_decay, F64, "0", "0..", "", "decoupled: share learning_rate * weight_decay lost a step")  \
    P(T, batch_size, I64, "0", "0..1048576", "samples", "samples a step; 0: 200, or all if fewer")        \
    P(T, epochs, I64, "200", "1..1000000", "epochs", "passes over the training set, at most")             \
    P(T, tol, F64, "1e-4", "0..", "", "smallest fall of the loss that counts as progress")                \
    P(T, n_iter_no_change, I64, "10", "0..", "epochs", "stop after more epochs than this without progress; 0: never") \
    DAL_NN_CONTROL(P, "constant")                                                                      \
    P(T, stop_accuracy, F64, "0", "0..1", "", "stop once an epoch's training accuracy is this; 0: never") \
    P(T, mc_dropout, F64, "0.5", "(0..1)", "", "rate on the features in Monte-Carlo passes, without dropout layers")

#define MAX_HIDDEN 63

/* The features: the last hidden layer, or the input. */
static void layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *opts)
{
    const options *o = opts;
    for (int64_t i = 0; i < o->hidden.n; i++) {
        char name[32];
        snprintf(name, sizeof name, "hidden%lld", (long long)i + 1);
        x = dal_nn_linear(nn, x, name, o->hidden.items[i], DAL_NN_BIAS | DAL_NN_RELU);
        if (o->dropout > 0)
            x = dal_nn_dropout(nn, x, o->dropout);
        dal_nn_stage(nn, x);
    }
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

static dal_nn_training training_of(const options *o)
{
    static const uint32_t optimizers[] = {DAL_NN_BY_ADAM, DAL_NN_BY_SGD, DAL_NN_BY_NADAM};
    return (dal_nn_training){.control = o->control, .epochs = o->epochs,
                             .batch_size = o->batch_size > 0 ? o->batch_size : 200,
                        .optimizer = optimizers[o->optimizer], .learning_rate = o->learning_rate,
                        .momentum = o->momentum, .nesterov = o->nesterov, .weight_decay = o->weight_decay,
                        .stop_accuracy = o->stop_accuracy, .dropout = o->dropout,
                        .mc_dropout = o->mc_dropout, .backend = DAL_NN_OPENBLAS};
}

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const options *o = opts;
    const dal_nn_training training = training_of(o);
    const dal_nn_model_plan plan = {.struct_size = sizeof plan, .takes = DAL_NN_TAKES_VECTORS, .id = "mlp",
                                    .layers = layers, .options = o, .training = &training,
                                    .training_size = sizeof training, .init = DAL_NN_GLOROT,
                                    .provides = DAL_NN_MODEL_PROVIDES_FIXED};
    if (o->hidden.n > MAX_HIDDEN)
        return dal_fail(err, DAL_E_INVALID, "hidden", "%lld hidden layers; expected at most %d", (long long)o->hidden.n,
                        MAX_HIDDEN);
    const dal_status st = dal_nn_model_new(host, &plan, spec, self, err);
    if (st != DAL_OK)
        return st;
    dal_nn_model *m = *self;
    m->fine = (dal_nn_fine){.beta1 = o->beta1, .beta2 = o->beta2, .epsilon = o->epsilon, .raw_epsilon = 1, .spare = 1,
                        .decoupled = 1, .l2 = o->alpha, .tol = o->tol, .n_idle = o->n_iter_no_change};
    return DAL_OK;
}

static const dal_model_impl impl = DAL_NN_MODEL_IMPL(create);

#define COMPONENTS(C)                                                                                   \
    C(MODEL, "mlp", impl, "multi-layer perceptron: ReLU layers, dropout, Adam or SGD", "",              \
      "", DAL_NN_MODEL_PROVIDES_FIXED, options, PARAMS)
DAL_MODULE(mlp, "1.2", "Apache-2.0", COMPONENTS, NULL, NULL)
