/* nn_model.h: what is behind dal/nn_model.h, and what models of texts and vectors ask of it beside that. */
#ifndef NN_MODEL_H
#define NN_MODEL_H

#include <dal/model.h>
#include <dal/nn_model.h>
#include <stdatomic.h>

/* Of models whose network is of one kind: there is nothing to choose. */
#define NN_PROVIDES                                                                        \
    DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_WARM_START " " DAL_CAP_FEATURES " " \
    DAL_CAP_STAGES " " DAL_CAP_MC " " DAL_CAP_LAST_LAYER " " DAL_CAP_INPUT_GRADIENT " "    \
    DAL_CAP_FEATURE_GRADIENT " " DAL_CAP_PERTURB " " DAL_CAP_COMPANION

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
    /* [any] Optional: the i-th text that goes beside those tensors into the metadata (DAL_ST_BESIDE, DAL_ST_ELSEWHERE), and its
     * key; NULL: no more. */
    const char *(*beside)(const struct nn_model *m, int64_t i, const char **key);
    /* [main] With beside: what a saved model has under such a key goes in its place. */
    dal_status (*put)(struct nn_model *m, const char *key, const char *text, dal_error *err);
    /* [main] Optional: before a fit, what the classes are called. */
    dal_status (*named)(struct nn_model *m, const char *const *names, dal_error *err);
    int vectors; /* rows are vectors [shape[0]], not ids of tokens */
} nn_reader;

/* What an architecture is. */
typedef struct nn_plan {
    const char *id, *provides; /* of the component: for messages; its capability ids */
    size_t size;               /* of the whole object, an nn_model first */
    uint32_t init;             /* DAL_NN_UNIFORM... */
    dal_nn_layers *layers;
    const void *options; /* for layers; only looked at while the model is made. With a reader: until it is destroyed, and begins
                            with the dal_nn_training of the training */
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
    dal_nn_training options; /* backend and precision: what they became */
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
                         const dal_nn_training *training, nn_model **out, dal_error *err);
/* Of a model with a reader: lets go of the network, declares it for texts of up to shape[0] ids below shape[1], and takes
 * memory for its weights. The reader's `known` becomes this. */
dal_status nn_model_declare(nn_model *m, const int64_t shape[3], void *known, dal_error *err);
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
