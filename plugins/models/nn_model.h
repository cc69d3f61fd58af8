/* nn_model.h: what all models made of layers (dal/nn.h) share: everything but the list of layers.
 *
 * An architecture is a function that declares its layers, a table of default parameters, and a component: see convnets.c.
 * Images come as [channels, height, width], vectors as [values, 1, 1]; u8 pixels become v / 255.
 */
#ifndef NN_MODEL_H
#define NN_MODEL_H

#include <dal/model.h>
#include <dal/nn.h>
#include <stdatomic.h>

/* What rules training beside the optimiser. */
typedef struct nn_control {
    uint32_t schedule;
    int64_t warmup, step_epochs;
    dal_i64_list milestones;
    double gamma, clip, validation;
    int64_t patience;
} nn_control;

/* How it is trained; the same for all architectures but for the defaults. */
typedef struct nn_options {
    nn_control control;
    int64_t epochs, batch_size;
    uint32_t optimizer;
    double learning_rate, momentum;
    int32_t nesterov;
    double weight_decay;
    int64_t crop;
    int32_t flip;
    double stop_accuracy, dropout, mc_dropout;
    uint32_t backend; /* DAL_NN_AUTO... */
    uint32_t precision; /* DAL_NN_F32... */
} nn_options;

#define NN_SGD 0u
#define NN_ADAM 1u
#define NN_ADAMW 2u
#define NN_NADAM 3u
#define NN_ADADELTA 4u
#define NN_CONSTANT 0u
#define NN_COSINE 1u
#define NN_STEPS 2u
#define NN_STEP 3u
#define NN_LINEAR 4u

/* Of an options struct that begins with `nn_control`: its members. */
#define NN_CONTROL_PARAMS(P, SCHEDULE) NN_CONTROL_PARAMS_OF(P, SCHEDULE, "0")
#define NN_CONTROL_PARAMS_OF(P, SCHEDULE, CLIP)                                                                           \
    P(nn_control, schedule, CHOICE, SCHEDULE, "constant|cosine|steps|step|linear", "",                                \
      "learning rate over the epochs; steps: times gamma at milestones; step: times gamma every step_epochs; linear: " \
      "up over the first tenth of all steps, then down to 0")                                                         \
    P(nn_control, milestones, I64S, "[]", "1..1000000", "epochs",                                                     \
      "steps: epochs after which the rate falls; none: half and three quarters of all")                               \
    P(nn_control, step_epochs, I64, "30", "1..1000000", "epochs", "step: epochs from one fall of the rate to the next") \
    P(nn_control, gamma, F64, "0.1", "(0..1]", "", "steps, step: what the rate is multiplied by")                     \
    P(nn_control, warmup, I64, "0", "0..1000000", "epochs", "epochs over which the rate grows from 0")                \
    P(nn_control, clip, F64, CLIP, "0..", "", "largest norm of a step's gradient, which is shortened to it; 0: any")   \
    P(nn_control, validation, F64, "0", "[0..1)", "",                                                                 \
      "share of each class's labels held out; the weights of the epoch with the least loss on them are kept; 0: none") \
    P(nn_control, patience, I64, "10", "1..1000000", "epochs", "validation: stop after so many epochs without a new least loss")

/* Of an options struct that begins with `nn_options nn`: its members, with these defaults. */
#define NN_PARAMS(P, T, EPOCHS, BATCH, OPTIMIZER, RATE, DECAY, SCHEDULE, CROP, FLIP, DROPOUT)                          \
    P(T, epochs, I64, EPOCHS, "1..1000000", "epochs", "passes over the training set, at most")                        \
    P(T, batch_size, I64, BATCH, "1..65536", "samples", "samples a step")                                             \
    P(T, optimizer, CHOICE, OPTIMIZER, "sgd|adam|adamw|nadam|adadelta", "",                                             \
      "how weights are moved; adadelta: as Zeiler 2012, with a learning_rate of about 1")                           \
    P(T, learning_rate, F64, RATE, "(0..", "", "size of a step")                                                      \
    P(T, momentum, F64, "0.9", "[0..1)", "", "sgd: share of the last step in the next")                               \
    P(T, nesterov, BOOL, "false", "", "", "sgd: look ahead (Nesterov)")                                               \
    P(T, weight_decay, F64, DECAY, "0..", "", "decay * weight is added to the gradient (adamw: decoupled)")           \
    NN_CONTROL_PARAMS(P, SCHEDULE)                                                                                    \
    P(T, crop, I64, CROP, "0..64", "pixels", "training: shift each image by up to so much, and half of a side at most; zeros around it")          \
    P(T, flip, BOOL, FLIP, "", "", "training: mirror half of the images")                                             \
    P(T, stop_accuracy, F64, "0", "0..1", "", "stop once an epoch's training accuracy is this; 0: never")             \
    P(T, dropout, F64, DROPOUT, "[0..1)", "", "rate of dropout before the last layer; 0: none")                       \
    P(T, mc_dropout, F64, "0.5", "(0..1)", "", "rate on the features in Monte-Carlo passes, where dropout is 0")       \
    P(T, backend, CHOICE, "auto", "auto|openblas|onednn", "",                                                         \
      "who convolves; auto: onednn where it was built in. They differ by rounding: only the same one repeats a run")    \
    P(T, precision, CHOICE, "f32", "f32|bf16|auto", "",                                                               \
      "what is multiplied; bf16, where the processor has AMX-BF16 or AVX512-BF16: with AMX twice as fast in training, "  \
      "two to three times in use, but for small maps; with another result: maps are rounded to 8 bits; weights, "       \
      "statistics and gradients of inputs stay f32. auto: bf16 with AMX and onednn, where most products make maps of 64 " \
      "places or more; else f32")

/* Of the modules of these models: a run that goes on with another one is told so. */
#define NN_VERSION "1.6"

/* NN_PROVIDES_CHOICES: of models with the parameters backend and precision. */
#define NN_PROVIDES                                                                                      \
    DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_WARM_START " " DAL_CAP_FEATURES " "               \
    DAL_CAP_STAGES " " DAL_CAP_MC " " DAL_CAP_LAST_LAYER " " DAL_CAP_INPUT_GRADIENT " "                  \
    DAL_CAP_FEATURE_GRADIENT " " DAL_CAP_PERTURB " " DAL_CAP_COMPANION
#define NN_PROVIDES_CHOICES NN_PROVIDES " " DAL_CAP_CHOICES

/* Declares the layers from x on and the output of c classes. */
typedef void nn_layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *options);

struct nn_model;

/* How samples become rows of the input, where they are no images or vectors. */
typedef struct nn_reader {
    dal_status (*check)(const struct nn_model *m, const dal_sample_spec *spec, dal_error *err);
    /* Rows first..first+n-1 of x, [n, inputs]. */
    dal_status (*read)(const struct nn_model *m, const dal_batch *x, int64_t first, int64_t n, float *to, dal_error *err);
    /* All rows of a list, [samples->n, inputs]. */
    dal_status (*rows)(const struct nn_model *m, const dal_samples *samples, float *to, dal_error *err);
    /* [main] Before a fit from fresh weights: what the training set says of the network's shape, see nn_model_declare. */
    dal_status (*prepare)(struct nn_model *m, const dal_samples *train, dal_error *err);
    /* [any] Optional: n rows of a training step, of pool indices ids, from the epoch's stream. */
    void (*augment)(const struct nn_model *m, const dal_rng *epoch, const int64_t *ids, int64_t n, float *rows);
    /* [main] What the reader keeps, beside the weights of a saved model; load declares the network. */
    dal_status (*save)(const struct nn_model *m, const dal_writer *w, dal_error *err);
    dal_status (*load)(struct nn_model *m, const dal_reader *r, dal_error *err);
    void (*drop)(struct nn_model *m); /* [main] the last user leaves m->known */
    /* [main] Optional: fresh weights were drawn for a fit; those that are known go in their place. */
    dal_status (*begin)(struct nn_model *m, dal_error *err);
    /* [any] Optional: the tensors that a saved model has, in place of the network's own: how many; out (NULL: not wanted) lies in
     * m->weights. What save writes is text then, which goes into the metadata. */
    int64_t (*tensors)(const struct nn_model *m, dal_tensor *out);
    /* [any] Optional: the i-th file that other programs want beside those tensors, as text in UTF-8; NULL: no more. */
    const char *(*beside)(const struct nn_model *m, int64_t i, const char **name);
    int vectors; /* rows are vectors [shape[0]], not ids of tokens */
} nn_reader;

/* What an architecture is. */
typedef struct nn_plan {
    const char *id, *provides; /* of the component: for messages; its capability ids */
    size_t size;               /* of the whole object, an nn_model first */
    uint32_t init;             /* DAL_NN_UNIFORM... */
    nn_layers *layers;
    const void *options; /* for layers; only looked at while the model is made. With a reader: until it is destroyed, and begins
                            with the nn_options of the training */
    const nn_reader *reader; /* NULL: images or vectors */
} nn_plan;

/* Batches made ahead by a thread of their own: where samples are not kept in memory and there is more than one thread. */
#define NN_FEED_AUTO 0u
#define NN_FEED_ALWAYS 1u
#define NN_FEED_NEVER 2u

/* What is not asked about everywhere. Set behind nn_model_make, else these: */
typedef struct nn_fine {
    double beta1, beta2, epsilon; /* 0.9, 0.999, 1e-8 */
    uint32_t raw_epsilon, spare, decoupled; /* see dal_nn_rule; 0, 0, with adamw */
    double l2;                    /* 0 */
    double tol;                   /* the end after more than n_idle epochs in which the loss fell by less; n_idle 0: never */
    int64_t n_idle;
    uint32_t feed; /* NN_FEED_...: 0 */
    double max_norm; /* of rows of the last layer's weights; 0: any */
} nn_fine;

typedef struct nn_model {
    const dal_host *host;
    const char *id, *provides;
    size_t size; /* of the whole object, for copies */
    dal_nn *nn;
    int64_t *users; /* of nn, milestones and known: the model and its copies */
    int64_t *milestones; /* those of the options */
    const nn_reader *reader;
    void *known;      /* the reader's: the words that have rows */
    nn_plan plan;
    int mask_features; /* Monte-Carlo passes mask the features, whatever dropouts there are */
    dal_nn_info info;
    nn_options options; /* backend and precision: what they became */
    nn_fine fine;
    uint32_t init; /* DAL_NN_UNIFORM... */
    int64_t n_classes, image[3];
    float *weights, *state;
    dal_nn_ready *_Atomic ready; /* the weights made ready for passes, once they have been asked for; NULL: not yet */
    int lent;                    /* somebody may write the weights at any time */
    int fitted;
} nn_model;

/* An object of plan->size bytes, zeroed behind the nn_model, for samples of this shape. */
dal_status nn_model_make(const dal_host *host, const nn_plan *plan, const dal_sample_spec *spec, const int64_t shape[3],
                         const nn_options *training, nn_model **out, dal_error *err);
/* Of a model with a reader: lets go of the network, declares it for texts of up to shape[0] ids below shape[1], and takes
 * memory for its weights. The reader's `known` becomes this. */
dal_status nn_model_declare(nn_model *m, const int64_t shape[3], void *known, dal_error *err);
/* The create of an architecture; takes images [channels, height, width] alone. */
dal_status nn_model_new(const dal_host *host, const char *id, const dal_sample_spec *spec, const nn_options *training,
                        uint32_t init, nn_layers *layers, const void *options, void **self, dal_error *err);

/* Slots. */
void nn_model_destroy(void *self);
dal_status nn_model_fit(void *self, const dal_fit *fit, dal_fit_report *report, dal_error *err);
dal_status nn_model_predict(void *self, const dal_batch *x, float *out, dal_error *err);
dal_status nn_model_save(void *self, const dal_writer *w, dal_error *err);
dal_status nn_model_load(void *self, const dal_reader *r, dal_error *err);
const void *nn_model_get_extension(void *self, const char *id);

/* The table of an architecture, its create given. */
#define NN_MODEL_IMPL(create_)                                                                                       \
    {.struct_size = sizeof(dal_model_impl), .output = DAL_LOGITS, .create = create_, .destroy = nn_model_destroy,    \
     .fit = nn_model_fit, .predict = nn_model_predict, .save = nn_model_save, .load = nn_model_load,                 \
     .get_extension = nn_model_get_extension}

/* ---- for the other files of this family --------------------------------------------------------- */

extern const dal_model_features nn_model_features;
extern const dal_model_stages nn_model_stages;
extern const dal_model_mc nn_model_mc;
extern const dal_model_last_layer nn_model_last_layer;
extern const dal_model_input_gradient nn_model_input_gradient;
extern const dal_model_feature_gradient nn_model_feature_gradient;
extern const dal_model_perturb nn_model_perturb;
extern const dal_model_companion nn_model_companion;
extern const dal_model_choices nn_model_choices;

/* The weights have changed, or are about to. */
void nn_model_changed(nn_model *m);
/* Fitted, and x a batch of samples like those of create? */
dal_status nn_model_ready(const nn_model *m, const dal_batch *x, dal_error *err);
/* A pass over the weights as they are now: by ready weights, so that all answers of a model are of one kind, or, with
 * gradients, by the weights themselves. */
typedef struct nn_model_pass {
    const nn_model *m;
    dal_nn_ready *ready; /* the model's, or of its own where the weights are lent; NULL with gradients */
    dal_nn_pass *pass;
} nn_model_pass;
dal_status nn_model_pass_open(const nn_model *m, int gradients, nn_model_pass *p, dal_error *err);
void nn_model_pass_close(nn_model_pass *p);
/* What done looks at, beside the features and the output: nothing, stages too, gradients too (and stages). */
#define NN_VALUES 0
#define NN_STAGES 1
#define NN_GRADIENTS 2
/* Each tile of x, forward to value `to`, then done(ctx, pass, first, n). */
dal_status nn_model_tiles(const nn_model *m, const dal_batch *x, dal_nn_value to, int what,
                          dal_status (*done)(void *ctx, dal_nn_pass *p, int64_t first, int64_t n), void *ctx,
                          dal_error *err);
/* The mean over the map of value v of row i, [channels]. */
void nn_model_pool(const nn_model *m, dal_nn_value v, const float *row, float *out);

#endif
