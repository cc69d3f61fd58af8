/* dal/model.h: classifiers (kind "model") and what they may offer beyond fit and predict.
 *
 * A model knows no strategy. What a strategy needs, it asks for by capability id; the model lists the
 * ids in its component's `provides` and hands out a table for each through get_extension.
 *
 * After fit, predict and all read-only extension slots depend on the fitted weights and their arguments
 * alone: not on block boundaries, earlier calls or threads. They are [worker]; a model that lists
 * DAL_CAP_CONCURRENT in provides allows several at once on one instance.
 *
 * Notation: n samples, c classes, d features (width of the last linear layer's input).
 */
#ifndef DAL_MODEL_H
#define DAL_MODEL_H

#include <dal/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dal_companion;

/* What a fit is given. Borrowed for the call. */
typedef struct dal_fit {
    uint32_t struct_size;
    uint32_t warm;                 /* 1: go on from the last weights (needs DAL_CAP_WARM_START) */
    int64_t round;                 /* 0, 1, ...: keys every random stream of this fit */
    const dal_samples *train;      /* classes known; weights perhaps */
    const dal_samples *validation; /* or NULL */
    const dal_samples *unlabelled; /* or NULL; given when a companion wants it */
    const struct dal_companion *const *companions; /* [n_companions]; needs DAL_CAP_COMPANION */
    int64_t n_companions;
    const char *const *class_names; /* [C], what people call the classes, or NULL: nobody says */
} dal_fit;

/* What a fit tells. struct_size is set by the caller, all else starts 0. */
typedef struct dal_fit_report {
    uint32_t struct_size;
    uint32_t converged;     /* 1: stopped by its own rule before the last epoch */
    int64_t epochs, steps;  /* done */
    double loss;            /* mean training loss of the last epoch */
    double train_accuracy;  /* of the last epoch, or -1 when not measured */
} dal_fit_report;

/* A stream of bytes. read: *got < n only at the end. Both may be called with any n. */
typedef struct dal_writer {
    uint32_t struct_size;
    uint32_t reserved;
    void *impl;
    dal_status (*write)(const struct dal_writer *w, const void *data, size_t n, dal_error *err);
} dal_writer;
typedef struct dal_reader {
    uint32_t struct_size;
    uint32_t reserved;
    void *impl;
    dal_status (*read)(const struct dal_reader *r, void *data, size_t n, size_t *got, dal_error *err);
} dal_reader;

typedef struct dal_model_impl {
    uint32_t struct_size;
    uint32_t output; /* what predict writes: DAL_LOGITS or DAL_PROBS */
    /* [main] A model for samples of this spec (spec->n_classes = C >= 2). Refuse what you cannot take. */
    dal_status (*create)(const dal_host *host, const void *options, const dal_sample_spec *spec,
                         void **self, dal_error *err);
    void (*destroy)(void *self); /* [main] accepts NULL */
    /* [main] Train; from fresh weights drawn by (seed, round) unless fit->warm. */
    dal_status (*fit)(void *self, const dal_fit *fit, dal_fit_report *report, dal_error *err);
    /* [worker] Outputs of the samples x into out [x->n, c]. */
    dal_status (*predict)(void *self, const dal_batch *x, float *out, dal_error *err);
    /* [main] All that predict needs, and all that a warm start needs; load gives the same bits back.
     * load gets bytes it cannot trust. */
    dal_status (*save)(void *self, const dal_writer *w, dal_error *err);
    dal_status (*load)(void *self, const dal_reader *r, dal_error *err);
    /* [any] The const table of capability id, or NULL. */
    const void *(*get_extension)(void *self, const char *id);
} dal_model_impl;

/* An open model. Frozen. */
typedef struct dal_model {
    const dal_model_impl *impl;
    void *self;
} dal_model;

/* ---- DAL_CAP_FEATURES ------------------------------------------------------------------------- */
typedef struct dal_model_features {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t (*width)(void *self); /* [any] d */
    /* [worker] Penultimate features of x into features [n, d], in evaluation mode; outputs [n, c] too
     * when not NULL (one forward pass for both). */
    dal_status (*features)(void *self, const dal_batch *x, float *features, float *outputs,
                           dal_error *err);
} dal_model_features;

/* ---- DAL_CAP_STAGES --------------------------------------------------------------------------- */
typedef struct dal_model_stages {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t (*count)(void *self);                /* [any] number of stages, in forward order */
    int64_t (*width)(void *self, int64_t stage); /* [any] channels of a stage */
    /* [worker] Globally average-pooled maps: out[stage] is [n, width(stage)]; NULL entries are skipped. */
    dal_status (*stages)(void *self, const dal_batch *x, float *const *out, dal_error *err);
} dal_model_stages;

/* ---- DAL_CAP_MC: Monte-Carlo dropout ---------------------------------------------------------- */
typedef struct dal_model_mc {
    uint32_t struct_size;
    uint32_t reserved;
    /* [worker] Passes first..first+n_passes-1 of x into out [n_passes, n, c], of the model's output kind.
     * Only dropout is switched on. Pass k uses one mask for all samples (so that joint probabilities
     * make sense), a pure function of (stream, k): the same for every block. */
    dal_status (*mc)(void *self, const dal_batch *x, const dal_rng *stream, int64_t first,
                     int64_t n_passes, float *out, dal_error *err);
} dal_model_mc;

/* ---- DAL_CAP_LAST_LAYER ----------------------------------------------------------------------- */
typedef struct dal_model_last_layer {
    uint32_t struct_size;
    uint32_t reserved;
    /* [any] logits = features * weights' + bias: weights [c, d], bias [c] (NULL: none). Borrowed until the
     * next fit, load or destroy. */
    dal_status (*last_layer)(void *self, dal_matrix *weights, const float **bias, dal_error *err);
} dal_model_last_layer;

/* ---- DAL_CAP_INPUT_GRADIENT ------------------------------------------------------------------- */
/* The model's real-valued input space has `width` values a sample (pixels after scaling, or embedded
 * tokens): embed goes there, forward and gradient work there, so that perturbed points can be tried. */
typedef struct dal_model_input_gradient {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t (*width)(void *self);
    dal_status (*embed)(void *self, const dal_batch *x, float *inputs /* [n, width] */, dal_error *err);
    dal_status (*forward)(void *self, const float *inputs, int64_t n, float *outputs /* [n, c] */,
                          dal_error *err);
    /* gradient[i] = sum_c output_gradient[i, c] * d output[i, c] / d inputs[i], [n, width]. */
    dal_status (*gradient)(void *self, const float *inputs, int64_t n, const float *output_gradient,
                           float *gradient, dal_error *err);
} dal_model_input_gradient;

/* ---- DAL_CAP_FEATURE_GRADIENT ----------------------------------------------------------------- */
/* In the input space of DAL_CAP_INPUT_GRADIENT, which a model with this has, too. */
typedef struct dal_model_feature_gradient {
    uint32_t struct_size;
    uint32_t reserved;
    /* [worker] Penultimate features [n, d] of inputs [n, width]: of embedded samples those of DAL_CAP_FEATURES. */
    dal_status (*features)(void *self, const float *inputs, int64_t n, float *features, dal_error *err);
    /* [worker] gradient[i] = sum_j feature_gradient[i, j] * d feature[i, j] / d inputs[i], [n, width]. */
    dal_status (*gradient)(void *self, const float *inputs, int64_t n, const float *feature_gradient /* [n, d] */,
                           float *gradient, dal_error *err);
} dal_model_feature_gradient;

/* ---- DAL_CAP_PERTURB -------------------------------------------------------------------------- */
#define DAL_ROLE_WEIGHT 1u /* matrices, filters, embeddings */
#define DAL_ROLE_BIAS 2u
#define DAL_ROLE_SCALE 3u /* normalisation gains */
typedef struct dal_parameter {
    uint32_t struct_size;
    uint32_t role;
    const char *name; /* until destroy */
    int64_t offset, count; /* a slice of the flat weights */
} dal_parameter;
typedef struct dal_model_perturb {
    uint32_t struct_size;
    uint32_t reserved;
    /* [main] A copy that can predict (and has this extension); its destroy is the model's. */
    dal_status (*copy)(void *self, void **copy, dal_error *err);
    int64_t (*n_weights)(void *self);
    float *(*weights)(void *self); /* [n_weights], writable, borrowed until destroy or fit */
    int64_t (*n_parameters)(void *self);
    const dal_parameter *(*parameter)(void *self, int64_t i);
    /* [worker] Gradient of the mean cross-entropy of x against targets [n, c] (rows of probabilities) by
     * all weights, [n_weights]; the per-sample losses [n] too when not NULL. Evaluation mode. */
    dal_status (*loss_gradient)(void *self, const dal_batch *x, const float *targets, float *gradient,
                                float *losses, dal_error *err);
} dal_model_perturb;

/* ---- DAL_CAP_COMPANION: something trained along ----------------------------------------------- */
/* A strategy that adds a head or a loss to training gives the host a companion; the model calls it in
 * every step and adds its gradients to its own. Neither knows the other. */
#define DAL_WANT_FEATURES 1u
#define DAL_WANT_STAGES 2u
#define DAL_WANT_UNLABELLED 4u /* steps also carry a batch of unlabelled samples (no targets) */

typedef struct dal_companion_setup {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t round, n_train, epochs, c, d, n_stages;
    const int64_t *stage_widths; /* [n_stages] */
    int64_t n_unlabelled; /* how many unlabelled samples the fit has; 0: none, or not told */
} dal_companion_setup;

/* One half (labelled or unlabelled) of one step, in training mode. Arrays a companion did not ask for
 * are NULL. The d_* arrays are zeroed buffers of the same shape: add the gradient of your loss by that
 * quantity (leave them alone to detach). */
typedef struct dal_companion_batch {
    uint32_t struct_size;
    uint32_t reserved;
    int64_t n;
    const int64_t *ids;     /* [n] pool index */
    const int32_t *classes; /* [n]; NULL for unlabelled */
    const float *losses;    /* [n] cross-entropy of each sample; NULL for unlabelled */
    const float *logits;    /* [n, c] */
    const float *features;  /* [n, d] */
    const float *const *stages; /* [n_stages] of [n, width] */
    float *d_logits, *d_features;
    float *const *d_stages;
} dal_companion_batch;

typedef struct dal_companion {
    uint32_t struct_size;
    uint32_t wants; /* DAL_WANT_* */
    void *self;
    dal_status (*begin)(void *self, const dal_companion_setup *setup, dal_error *err); /* [main] */
    /* [main] After the forward pass of a step, before its backward pass; `unlabelled` may be NULL. */
    dal_status (*step)(void *self, int64_t epoch, int64_t step, const dal_companion_batch *labelled,
                       const dal_companion_batch *unlabelled, dal_error *err);
    dal_status (*epoch_end)(void *self, int64_t epoch, dal_error *err); /* [main] optional */
} dal_companion;

/* The presence of DAL_CAP_COMPANION means: fit honours fit->companions. Its table says what it can show. */
typedef struct dal_model_companion {
    uint32_t struct_size;
    uint32_t offers; /* DAL_WANT_* this model can show */
} dal_model_companion;

/* ---- DAL_CAP_MISSING -------------------------------------------------------------------------- */
/* A word, not a table: get_extension may give anything for it, or NULL. Real values (f32) of samples are finite: the
 * host reads them with a check, and ends the run with the sample and the place of one that is not. A model that
 * provides this takes NaN for a value that is missing, when it trains and when it predicts: that is let through
 * (infinities are not), and its outputs and features are finite all the same. */

/* ---- DAL_CAP_CHOICES -------------------------------------------------------------------------- */
/* A CHOICE parameter may have a word that leaves the choice to the model, by what the machine has ("auto"). What it
 * chose is part of a run's result, so the host asks, tells the user, keeps it with the run, and whenever the run goes
 * on, on whichever machine, gives the chosen word in place of the other: the model takes it, or create refuses, with
 * `key` the parameter. A model that is given a chosen word is the one that chose it, bit for bit.
 *
 * By agreement `precision` is in what numbers a model multiplies: one of f32, f16, bf16. The conformance suite expects
 * outputs to follow their gradients no better than these let them. */
typedef struct dal_model_choices {
    uint32_t struct_size;
    uint32_t reserved;
    /* [any] What a CHOICE parameter became: one of its words, until destroy. Of parameters that leave nothing open: the
     * word it was given, or NULL. Known from create on, whatever is fitted. */
    const char *(*chosen)(void *self, const char *parameter);
} dal_model_choices;

#ifdef __cplusplus
}
#endif
#endif
