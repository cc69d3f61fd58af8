/* dal/nn_model.h: (libdal) a model from a list of layers: everything of a model plugin but the network itself.
 *
 * A plugin declares its layers with the calls of dal/nn.h and gives its parameters defaults; training (mini-batches
 * read and augmented ahead, optimisers, schedules, early stopping, warm starts, a strategy's companions), prediction,
 * saved models as safetensors, and the capabilities of DAL_NN_MODEL_PROVIDES are the same for all:
 *
 *     typedef struct options {
 *         dal_nn_training training; // first: what the host fills in for DAL_NN_TRAINING
 *         int64_t width;
 *     } options;
 *     static void layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *o)
 *     {
 *         x = dal_nn_conv(nn, x, "conv1", &(dal_nn_conv_shape){.out = ((const options *)o)->width, .kernel = 3, ...});
 *         ...
 *         dal_nn_features(nn, x);
 *         dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
 *     }
 *     DAL_NN_MODEL(my_net, "my-net", layers, DAL_NN_KAIMING)
 *     #define PARAMS(P, T) DAL_NN_TRAINING(P, "30", "64", "adam", "0.001", "0", "constant", "0", "false", "0.5") \
 *         P(T, width, I64, "32", "1..256", "channels", "of the first layer")
 *     #define COMPONENTS(C) C(MODEL, "my-net", my_net_impl, "...", "", "", DAL_NN_MODEL_PROVIDES, options, PARAMS)
 *
 * `dalhost plugin new --kind network` writes such a plugin. Samples are images or vectors, f32 or u8 (pixels become v /
 * 255); rows of the network's input are planar. Other samples, as texts, take a reader of the plugin's own, see below.
 *
 * Law 3: a fit depends on the seed and the samples, not on the number of threads.
 */
#ifndef DAL_NN_MODEL_H
#define DAL_NN_MODEL_H

#include <dal/nn.h>
#include <dal/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How networks are trained here: by the same version the same bits. A module whose version tells it lets runs that go
 * on be told of a change. */
#define DAL_NN_TRAINING_VERSION "1.7"

/* What rules training beside the optimiser. */
typedef struct dal_nn_control {
    uint32_t schedule;
    int64_t warmup, step_epochs;
    dal_i64_list milestones;
    double gamma, clip, validation;
    int64_t patience;
} dal_nn_control;

/* How it is trained; the same for all architectures but for the defaults. */
typedef struct dal_nn_training {
    dal_nn_control control;
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
} dal_nn_training;

#define DAL_NN_BY_SGD 0u
#define DAL_NN_BY_ADAM 1u
#define DAL_NN_BY_ADAMW 2u
#define DAL_NN_BY_NADAM 3u
#define DAL_NN_BY_ADADELTA 4u
#define DAL_NN_RATE_CONSTANT 0u
#define DAL_NN_RATE_COSINE 1u
#define DAL_NN_RATE_STEPS 2u
#define DAL_NN_RATE_STEP 3u
#define DAL_NN_RATE_LINEAR 4u

/* Of an options struct that begins with a dal_nn_control: its members. */
#define DAL_NN_CONTROL(P, SCHEDULE) DAL_NN_CONTROL_OF(P, SCHEDULE, "0")
#define DAL_NN_CONTROL_OF(P, SCHEDULE, CLIP)                                                                          \
    P(dal_nn_control, schedule, CHOICE, SCHEDULE, "constant|cosine|steps|step|linear", "",                            \
      "learning rate over the epochs; steps: times gamma at milestones; step: times gamma every step_epochs; linear: " \
      "up over the first tenth of all steps, then down to 0")                                                         \
    P(dal_nn_control, milestones, I64S, "[]", "1..1000000", "epochs",                                                 \
      "steps: epochs after which the rate falls; none: half and three quarters of all")                               \
    P(dal_nn_control, step_epochs, I64, "30", "1..1000000", "epochs",                                                  \
      "step: epochs from one fall of the rate to the next")                                                            \
    P(dal_nn_control, gamma, F64, "0.1", "(0..1]", "", "steps, step: what the rate is multiplied by")                 \
    P(dal_nn_control, warmup, I64, "0", "0..1000000", "epochs", "epochs over which the rate grows from 0")            \
    P(dal_nn_control, clip, F64, CLIP, "0..", "",                                                                      \
      "largest norm of a step's gradient, which is shortened to it; 0: any")                                           \
    P(dal_nn_control, validation, F64, "0", "[0..1)", "",                                                             \
      "share of each class's labels held out; the weights of the epoch with the least loss on them are kept; 0: none") \
    P(dal_nn_control, patience, I64, "10", "1..1000000", "epochs",                                                     \
      "validation: stop after so many epochs without a new least loss")

/* Of an options struct that begins with a dal_nn_training: its members, with these defaults. */
#define DAL_NN_TRAINING(P, EPOCHS, BATCH, OPTIMIZER, RATE, DECAY, SCHEDULE, CROP, FLIP, DROPOUT)                      \
    P(dal_nn_training, epochs, I64, EPOCHS, "1..1000000", "epochs", "passes over the training set, at most")          \
    P(dal_nn_training, batch_size, I64, BATCH, "1..65536", "samples", "samples a step")                               \
    P(dal_nn_training, optimizer, CHOICE, OPTIMIZER, "sgd|adam|adamw|nadam|adadelta", "",                             \
      "how weights are moved; adadelta: as Zeiler 2012, with a learning_rate of about 1")                             \
    P(dal_nn_training, learning_rate, F64, RATE, "(0..", "", "size of a step")                                        \
    P(dal_nn_training, momentum, F64, "0.9", "[0..1)", "", "sgd: share of the last step in the next")                 \
    P(dal_nn_training, nesterov, BOOL, "false", "", "", "sgd: look ahead (Nesterov)")                                 \
    P(dal_nn_training, weight_decay, F64, DECAY, "0..", "",                                                            \
      "decay * weight is added to the gradient (adamw: decoupled)")                                                    \
    DAL_NN_CONTROL(P, SCHEDULE)                                                                                       \
    P(dal_nn_training, crop, I64, CROP, "0..64", "pixels",                                                            \
      "training: shift each image by up to so much, and half of a side at most; zeros around it")                     \
    P(dal_nn_training, flip, BOOL, FLIP, "", "", "training: mirror half of the images")                               \
    P(dal_nn_training, stop_accuracy, F64, "0", "0..1", "",                                                            \
      "stop once an epoch's training accuracy is this; 0: never")                                                      \
    P(dal_nn_training, dropout, F64, DROPOUT, "[0..1)", "", "rate of dropout before the last layer; 0: none")         \
    P(dal_nn_training, mc_dropout, F64, "0.5", "(0..1)", "",                                                           \
      "rate on the features in Monte-Carlo passes, where dropout is 0")                                                \
    P(dal_nn_training, backend, CHOICE, "auto", "auto|openblas|onednn", "",                                           \
      "who convolves; auto: onednn where it was built in. They differ by rounding: only the same one repeats a run")  \
    P(dal_nn_training, precision, CHOICE, "f32", "f32|bf16|auto", "",                                                 \
      "what is multiplied; bf16, where the processor has AMX-BF16 or AVX512-BF16: with AMX twice as fast in "          \
      "training, two to three times in use, but for small maps; with another result: maps are rounded to 8 bits; "     \
      "weights, statistics and gradients of inputs stay f32. auto: bf16 with AMX and onednn, where most products "     \
      "make maps of 64 places or more; else f32")

/* ---- the model ----------------------------------------------------------------------------------- */

/* What such a model can do; `provides` of its component. */
#define DAL_NN_MODEL_PROVIDES                                                              \
    DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_WARM_START " " DAL_CAP_FEATURES " " \
    DAL_CAP_STAGES " " DAL_CAP_MC " " DAL_CAP_LAST_LAYER " " DAL_CAP_INPUT_GRADIENT " "    \
    DAL_CAP_FEATURE_GRADIENT " " DAL_CAP_PERTURB " " DAL_CAP_COMPANION " " DAL_CAP_CHOICES

/* Of a model that leaves no choice to the machine. */
#define DAL_NN_MODEL_PROVIDES_FIXED                                                        \
    DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_WARM_START " " DAL_CAP_FEATURES " " \
    DAL_CAP_STAGES " " DAL_CAP_MC " " DAL_CAP_LAST_LAYER " " DAL_CAP_INPUT_GRADIENT " "    \
    DAL_CAP_FEATURE_GRADIENT " " DAL_CAP_PERTURB " " DAL_CAP_COMPANION

typedef struct dal_nn_model dal_nn_model;

/* Declares the layers from x, the input, to the features and the output of c classes. Parameters whose default is no
 * layer, as a dropout of 0, are for this function to look at. */
typedef void dal_nn_layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *options);

/* How samples become rows of the input, where these are no images or vectors. Slots that are not called optional are
 * there. A row of texts is int32_t [longest], see dal/nn.h. */
typedef struct dal_nn_reader {
    uint32_t struct_size;
    int32_t vectors; /* rows are vectors [shape[0]], not ids of tokens */
    dal_status (*check)(const dal_nn_model *m, const dal_sample_spec *spec, dal_error *err);
    /* Rows first..first+n-1 of x, [n, inputs]. */
    dal_status (*read)(const dal_nn_model *m, const dal_batch *x, int64_t first, int64_t n, float *to, dal_error *err);
    /* All rows of a list, [samples->n, inputs]. */
    dal_status (*rows)(const dal_nn_model *m, const dal_samples *samples, float *to, dal_error *err);
    /* [main] Before a fit from fresh weights: what the training set says of the network's shape, see
     * dal_nn_model_declare. */
    dal_status (*prepare)(dal_nn_model *m, const dal_samples *train, dal_error *err);
    /* [any] Optional: n rows of a training step, of pool indices ids, from the epoch's stream. */
    void (*augment)(const dal_nn_model *m, const dal_rng *epoch, const int64_t *ids, int64_t n, float *rows);
    /* [main] What the reader keeps, beside the weights of a saved model; load declares the network. */
    dal_status (*save)(const dal_nn_model *m, const dal_writer *w, dal_error *err);
    dal_status (*load)(dal_nn_model *m, const dal_reader *r, dal_error *err);
    void (*drop)(dal_nn_model *m); /* [main] the last user leaves m->known */
    /* [main] Optional: fresh weights were drawn for a fit; those that are known go in their place. */
    dal_status (*begin)(dal_nn_model *m, dal_error *err);
    /* [any] Optional: the tensors that a saved model has, in place of the network's own: how many; out (NULL: not
     * wanted) lies in m->weights. What save writes is text then, which goes into the metadata. */
    int64_t (*tensors)(const dal_nn_model *m, dal_tensor *out);
    /* [any] Optional: the i-th text that goes beside those tensors into the metadata (DAL_ST_BESIDE, DAL_ST_ELSEWHERE),
     * and its key; NULL: no more. */
    const char *(*beside)(const dal_nn_model *m, int64_t i, const char **key);
    /* [main] With beside: what a saved model has under such a key goes in its place. */
    dal_status (*put)(dal_nn_model *m, const char *key, const char *text, dal_error *err);
    /* [main] Optional: before a fit, what the classes are called. */
    dal_status (*named)(dal_nn_model *m, const char *const *names, dal_error *err);
} dal_nn_reader;

#define DAL_NN_TAKES_IMAGES 1u  /* [channels, height, width] */
#define DAL_NN_TAKES_VECTORS 2u /* and all else that is dense, as [values, 1, 1] */

typedef struct dal_nn_model_plan {
    uint32_t struct_size;
    uint32_t takes;         /* DAL_NN_TAKES_..., one or both; not looked at with a reader */
    const char *id;         /* of the component, for messages; static */
    dal_nn_layers *layers;
    const void *options;    /* for layers; looked at during dal_nn_model_new alone. With a reader whose prepare or load
                               declares the network: until the model is destroyed, and begins with the
                               dal_nn_training */
    const dal_nn_training *training; /* looked at during dal_nn_model_new alone */
    uint32_t training_size; /* sizeof(dal_nn_training), as the plugin was built */
    uint32_t init;          /* how fresh weights are drawn: DAL_NN_UNIFORM... */
    const char *provides;   /* capability ids of the component, static; NULL: DAL_NN_MODEL_PROVIDES */
    int64_t extra;          /* bytes of the plugin's own, see dal_nn_model_extra */
    const dal_nn_reader *reader; /* NULL: images or vectors; static */
    int64_t shape[3];       /* with a reader: that of the input; of texts {longest, words, 1} */
} dal_nn_model_plan;
/* Of an architecture for images whose options begin with a dal_nn_training. */
#define DAL_NN_MODEL_PLAN(id_, layers_, options_, init_)                                                               \
    {.struct_size = sizeof(dal_nn_model_plan), .takes = DAL_NN_TAKES_IMAGES, .id = (id_), .layers = (layers_),         \
     .options = (options_), .training = (const dal_nn_training *)(options_), .training_size = sizeof(dal_nn_training), \
     .init = (init_)}

/* [main] What create does. DAL_E_INVALID: the samples do not fit the network, with both shapes; DAL_E_UNSUPPORTED with
 * the key "backend" or "precision": not here. */
DAL_PUBLIC dal_status dal_nn_model_new(const dal_host *host, const dal_nn_model_plan *plan, const dal_sample_spec *spec,
                                       void **self, dal_error *err);

/* The slots of its dal_model_impl; see dal/model.h. */
DAL_PUBLIC void dal_nn_model_destroy(void *self);
DAL_PUBLIC dal_status dal_nn_model_fit(void *self, const dal_fit *fit, dal_fit_report *report, dal_error *err);
DAL_PUBLIC dal_status dal_nn_model_predict(void *self, const dal_batch *x, float *out, dal_error *err);
DAL_PUBLIC dal_status dal_nn_model_save(void *self, const dal_writer *w, dal_error *err);
DAL_PUBLIC dal_status dal_nn_model_load(void *self, const dal_reader *r, dal_error *err);
DAL_PUBLIC const void *dal_nn_model_get_extension(void *self, const char *id);
#define DAL_NN_MODEL_IMPL(create_)                                                                                    \
    {.struct_size = sizeof(dal_model_impl), .output = DAL_LOGITS, .create = create_, .destroy = dal_nn_model_destroy, \
     .fit = dal_nn_model_fit, .predict = dal_nn_model_predict, .save = dal_nn_model_save, .load = dal_nn_model_load,  \
     .get_extension = dal_nn_model_get_extension}

/* name_impl, the table of a component that is no more than its layers: what create would do, and the slots. */
#define DAL_NN_MODEL(name_, id_, layers_, init_)                                                                       \
    static dal_status name_##_create(const dal_host *host, const void *options_, const dal_sample_spec *spec,          \
                                     void **self, dal_error *err)                                                      \
    {                                                                                                                  \
        const dal_nn_model_plan plan = DAL_NN_MODEL_PLAN(id_, layers_, options_, init_);                               \
        return dal_nn_model_new(host, &plan, spec, self, err);                                                         \
    }                                                                                                                  \
    static const dal_model_impl name_##_impl = DAL_NN_MODEL_IMPL(name_##_create);

/* ---- models that are more than a list of layers ------------------------------------------------------- */

/* Batches made ahead by a thread of their own: where samples are not kept in memory and there is more than one
 * thread. */
#define DAL_NN_FEED_AUTO 0u
#define DAL_NN_FEED_ALWAYS 1u
#define DAL_NN_FEED_NEVER 2u

/* What is not asked about everywhere. Set behind dal_nn_model_new, else these: */
typedef struct dal_nn_fine {
    double beta1, beta2, epsilon; /* 0.9, 0.999, 1e-8 */
    uint32_t raw_epsilon, spare, decoupled; /* see dal_nn_rule; 0, 0, with adamw */
    double l2;                    /* 0 */
    /* the end after more than n_idle epochs in which the loss fell by less; n_idle 0: never */
    double tol;
    int64_t n_idle;
    uint32_t feed; /* DAL_NN_FEED_...: 0 */
    double max_norm; /* of rows of the last layer's weights; 0: any */
} dal_nn_fine;

/* What the slots' `self` is. Made by libdal alone, whose SONAME says that it lies as here. */
struct dal_nn_model {
    /* to look at */
    const dal_host *host;
    const char *id;
    dal_nn *nn;
    dal_nn_info info;
    int64_t n_classes, shape[3]; /* of the input */
    float *weights, *state;      /* see dal_nn_model_changed */
    /* to set, before the first fit */
    int32_t mask_features; /* Monte-Carlo passes mask the features, whatever dropouts there are */
    int32_t fitted;        /* of a model with a fit of its own: set by it */
    void *known;           /* the reader's: the words that have rows; shared with copies, dropped with the last */
    dal_nn_fine fine;
    /* libdal's own */
    dal_nn_model_plan plan;
    dal_nn_training options; /* backend and precision: what they became */
    size_t size;             /* of the whole object, for copies */
    int64_t *users;          /* of nn, milestones and known: the model and its copies */
    int64_t *milestones;     /* those of the options */
    /* the weights made ready for passes, once they have been asked for; NULL: not yet; atomic */
    dal_nn_ready *ready;
    int32_t lent;            /* somebody may write the weights at any time */
};

/* [any] The plan's `extra` bytes, zeroed at first; copies of the model have copies of them. */
DAL_PUBLIC void *dal_nn_model_extra(const dal_nn_model *m);
/* [main] Of a model with a reader: lets go of the network, declares it for texts of up to shape[0] ids below shape[1],
 * and takes memory for its weights. The reader's `known` becomes this. */
DAL_PUBLIC dal_status dal_nn_model_declare(dal_nn_model *m, const int64_t shape[3], void *known, dal_error *err);
/* [main] The weights have changed, or are about to. */
DAL_PUBLIC void dal_nn_model_changed(dal_nn_model *m);
/* [any] Fitted, and x a batch of samples like those of create? */
DAL_PUBLIC dal_status dal_nn_model_ready(const dal_nn_model *m, const dal_batch *x, dal_error *err);
/* [any] A pass over the weights as they are now: by ready weights, so that all answers of a model are of one kind, or,
 * with gradients, by the weights themselves. */
typedef struct dal_nn_model_pass {
    const dal_nn_model *m;
    dal_nn_ready *ready; /* the model's, or of its own where the weights are lent; NULL with gradients */
    dal_nn_pass *pass;
} dal_nn_model_pass;
DAL_PUBLIC dal_status dal_nn_model_pass_open(const dal_nn_model *m, int gradients, dal_nn_model_pass *p,
                                             dal_error *err);
DAL_PUBLIC void dal_nn_model_pass_close(dal_nn_model_pass *p);
/* What done looks at, beside the features and the output: nothing, stages too, gradients too (and stages). */
#define DAL_NN_SHOW_VALUES 0
#define DAL_NN_SHOW_STAGES 1
#define DAL_NN_SHOW_GRADIENTS 2
/* [any] Each tile of x, forward to value `to`, then done(ctx, pass, first, n). */
DAL_PUBLIC dal_status dal_nn_model_tiles(const dal_nn_model *m, const dal_batch *x, dal_nn_value to, int what,
                                         dal_status (*done)(void *ctx, dal_nn_pass *p, int64_t first, int64_t n),
                                         void *ctx, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
