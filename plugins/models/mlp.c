/* mlp: multi-layer perceptron with softmax output.
 *
 * ReLU layers of the widths in `hidden`, trained on mini-batches by Adam (Kingma and Ba 2015) or SGD with
 * momentum. Defaults, initialisation, penalty and stopping rule are those of scikit-learn's MLPClassifier:
 * penalty alpha / (2 b) |W|^2 on the mean loss of a batch of b, Glorot-uniform weights and biases, and the
 * end of training when the loss did not fall by `tol` in n_iter_no_change epochs. Differences: no
 * adaptive learning rate; dropout, decoupled weight decay and stop_accuracy are added.
 *
 * Sample weights are divided by their mean; a batch's loss is sum w_i loss_i / b.
 *
 * Streams of a fit: "weights" (layer), "shuffle" (epoch), "dropout" (epoch, step), "unlabelled" (epoch),
 * all keyed by the round. A fit starts from fresh weights; a warm one from the last weights if there
 * are any, with the optimiser's moments at zero.
 *
 * Monte-Carlo passes switch on the network's own dropout layers. A network trained without dropout gets
 * one mask of rate mc_dropout on its features (the last hidden layer, or the input without any).
 */
#include <dal/dense.h>
#include <dal/model.h>

#include <math.h>

#include "companions.h"
#include "dense_model.h"
#include "dense_rows.h"
#include "model_common.h"

typedef struct options {
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
    P(T, optimizer, CHOICE, "adam", "adam|sgd", "", "how weights are moved")                              \
    P(T, learning_rate, F64, "0.001", "(0..", "", "size of a step")                                       \
    P(T, beta1, F64, "0.9", "[0..1)", "", "adam: decay of the first moment")                              \
    P(T, beta2, F64, "0.999", "[0..1)", "", "adam: decay of the second moment")                           \
    P(T, epsilon, F64, "1e-8", "(0..", "", "adam: added to the root of the second moment")                \
    P(T, momentum, F64, "0.9", "[0..1)", "", "sgd: share of the last step in the next")                   \
    P(T, nesterov, BOOL, "true", "", "", "sgd: look ahead (Nesterov)")                                    \
    P(T, alpha, F64, "1e-4", "0..", "", "L2 penalty: alpha / (2 batch) |W|^2 is added to the mean loss")  \
    P(T, weight_decay, F64, "0", "0..", "", "decoupled: share learning_rate * weight_decay lost a step")  \
    P(T, batch_size, I64, "0", "0..1048576", "samples", "samples a step; 0: 200, or all if fewer")        \
    P(T, epochs, I64, "200", "1..1000000", "epochs", "passes over the training set, at most")             \
    P(T, tol, F64, "1e-4", "0..", "", "smallest fall of the loss that counts as progress")                \
    P(T, n_iter_no_change, I64, "10", "0..", "epochs", "stop after more epochs than this without progress; 0: never") \
    P(T, stop_accuracy, F64, "0", "0..1", "", "stop once an epoch's training accuracy is this; 0: never") \
    P(T, mc_dropout, F64, "0.5", "(0..1)", "", "rate on the features in Monte-Carlo passes, without dropout layers")

#define PROVIDES                                                                                      \
    DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_WARM_START " " DAL_CAP_FEATURES " "            \
    DAL_CAP_STAGES " " DAL_CAP_MC " " DAL_CAP_LAST_LAYER " " DAL_CAP_INPUT_GRADIENT " "               \
    DAL_CAP_PERTURB " " DAL_CAP_COMPANION

typedef struct mlp {
    dense_model model; /* first: the shared slots see only this */
    options options;   /* without `hidden`, which lives in model.net */
} mlp;

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const options *o = opts;
    dense_model *m;
    const dal_status st = dense_model_new(host, "mlp", PROVIDES, sizeof(mlp), spec, o->hidden, &m, err);
    if (st != DAL_OK)
        return st;
    mlp *p = (mlp *)m;
    p->options = *o;
    p->options.hidden = (dal_i64_list){0};
    m->dropout = o->dropout;
    m->mc_dropout = o->mc_dropout;
    *self = p;
    return DAL_OK;
}

/* ---- one fit ------------------------------------------------------------------------------------ */

typedef struct training {
    mlp *mlp;
    const dal_fit *fit;
    dal_error *err;
    dense_rows labelled, unlabelled;
    companions companions;
    dal_dense_trainer *trainer;
    int64_t batch, n_more; /* labelled rows of a step at most; samples of the unlabelled list, 0: unused */
    double weight_scale;   /* 1 / mean weight */
    int64_t *order;        /* [n] */
    int64_t *more_order;   /* [n_more] */
    int64_t *rows, *ids;   /* [2 batch] of this step: place in its list, pool index */
    int32_t *classes;      /* [batch] */
    float *weights;        /* [batch] */
    int64_t n_labelled;    /* of this step */
    companions_step at;
    double loss; /* of the epoch: sum over samples and steps, then the mean */
    int64_t hits, steps;
} training;

static dal_status fill(void *ctx, int64_t first, int64_t count, float *x)
{
    training *t = ctx;
    const int64_t here = t->n_labelled - first < count ? t->n_labelled - first : count;
    const int64_t n = here > 0 ? here : 0;
    dal_status st = DAL_OK;
    if (n > 0)
        st = dense_rows_gather(&t->labelled, t->rows + first, n, x);
    if (n < count && st == DAL_OK)
        st = dense_rows_gather(&t->unlabelled, t->rows + first + n, count - n, x + n * t->labelled.width);
    return st;
}

static dal_status between(void *ctx, const dal_dense_pass *pass)
{
    training *t = ctx;
    return companions_run(&t->companions, &t->at, pass, t->err);
}

static dal_dense_rule rule_of(const options *o)
{
    return (dal_dense_rule){.struct_size = sizeof(dal_dense_rule),
                            .optimizer = o->optimizer == 0 ? DAL_DENSE_ADAM : DAL_DENSE_SGD,
                            .learning_rate = o->learning_rate,
                            .beta1 = o->beta1,
                            .beta2 = o->beta2,
                            .epsilon = o->epsilon,
                            .momentum = o->momentum,
                            .nesterov = (uint32_t)o->nesterov,
                            .l2 = o->alpha,
                            .weight_decay = o->weight_decay,
                            .dropout = o->dropout};
}

static dal_status begin(training *t)
{
    const options *o = &t->mlp->options;
    const dense_model *m = &t->mlp->model;
    const dal_host *h = m->host;
    const int64_t n = t->fit->train->n;
    t->batch = o->batch_size > 0 ? o->batch_size : 200;
    t->batch = t->batch < n ? t->batch : n;
    t->weight_scale = 1 / model_mean_weight(t->fit->train);
    dal_status st = dense_rows_init(&t->labelled, h, t->fit->train, m->net.layer[0].in, t->err);
    if (st == DAL_OK)
        st = companions_begin(&t->companions, m, t->fit, o->epochs, 2 * t->batch, t->err);
    if (st == DAL_OK && (t->companions.wants & DAL_WANT_UNLABELLED) && t->fit->unlabelled) {
        t->n_more = t->fit->unlabelled->n;
        st = dense_rows_init(&t->unlabelled, h, t->fit->unlabelled, m->net.layer[0].in, t->err);
    }
    if (st != DAL_OK)
        return st;
    t->order = dal_array(h, n, sizeof *t->order);
    t->more_order = dal_array(h, t->n_more, sizeof *t->more_order);
    t->rows = dal_array(h, 2 * t->batch, sizeof *t->rows);
    t->ids = dal_array(h, 2 * t->batch, sizeof *t->ids);
    t->classes = dal_array(h, t->batch, sizeof *t->classes);
    t->weights = dal_array(h, t->batch, sizeof *t->weights);
    if (!t->order || !t->more_order || !t->rows || !t->ids || !t->classes || !t->weights)
        return dal_fail(t->err, DAL_E_NOMEM, "", "no memory to train on %lld samples", (long long)n);
    const dal_dense_rule rule = rule_of(o);
    t->trainer = dal_dense_trainer_new(h, &m->net, m->weights, &rule,
                                       t->n_more > 0 ? 2 * t->batch : t->batch, t->err);
    return t->trainer ? DAL_OK : DAL_E_NOMEM;
}

static void end(training *t)
{
    const dal_host *h = t->mlp->model.host;
    dal_dense_trainer_free(t->trainer);
    h->free(h, t->weights);
    h->free(h, t->classes);
    h->free(h, t->ids);
    h->free(h, t->rows);
    h->free(h, t->more_order);
    h->free(h, t->order);
    dense_rows_fini(&t->unlabelled);
    companions_fini(&t->companions);
    dense_rows_fini(&t->labelled);
}

/* The order of a list in an epoch: all of it when k = n, else only the first k that will be used. */
static void shuffle(const dal_host *h, const char *stream, const training *t, int64_t *order, int64_t n,
                    int64_t k)
{
    const dal_rng base = h->rng(h, stream, t->fit->round);
    dal_rng rng = dal_rng_at(&base, (uint64_t)t->at.epoch);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    dal_rng_shuffle(&rng, order, n, k);
}

/* Rows first.. of the epoch's order, then as many unlabelled ones, into the arrays of the step. */
static int64_t choose_rows(training *t, int64_t first)
{
    const dal_samples *s = t->fit->train;
    const int64_t rest = s->n - first, n = rest < t->batch ? rest : t->batch;
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = t->order[first + i];
        t->rows[i] = row;
        t->ids[i] = model_id(s, row);
        t->classes[i] = s->classes[row];
        t->weights[i] = s->weights ? (float)((double)s->weights[row] * t->weight_scale) : 1;
    }
    t->n_labelled = n;
    if (t->n_more == 0)
        return n;
    for (int64_t i = 0; i < n; i++) {
        t->rows[n + i] = t->more_order[(first + i) % t->n_more];
        t->ids[n + i] = model_id(t->fit->unlabelled, t->rows[n + i]);
    }
    return 2 * n;
}

static dal_status diverged(const training *t, double loss)
{
    const char *what = isnan(loss) ? "not a number" : "infinite";
    const double rate = t->mlp->options.learning_rate;
    const long long epoch = (long long)t->at.epoch + 1;
    dal_logf(t->mlp->model.host, DAL_LOG_WARNING, "the training loss became %s in epoch %lld (learning_rate %g)",
             what, epoch, rate);
    return dal_fail(t->err, DAL_E_DIVERGED, "learning_rate",
                    "the training loss became %s in epoch %lld with learning_rate %g: try a smaller one, or "
                    "scale the inputs (transforms: scale, standardize)", what, epoch, rate);
}

static dal_status run_step(training *t, int64_t first)
{
    const dal_host *h = t->mlp->model.host;
    const dal_rng base = h->rng(h, "dropout", t->fit->round);
    const dal_rng epoch = dal_rng_at(&base, (uint64_t)t->at.epoch);
    dal_dense_result result;
    dal_dense_batch batch = {.struct_size = sizeof batch,
                             .n = choose_rows(t, first),
                             .n_labelled = t->n_labelled,
                             .classes = t->classes,
                             .weights = t->fit->train->weights ? t->weights : NULL,
                             .fill = fill,
                             .between = t->fit->n_companions > 0 ? between : NULL,
                             .ctx = t,
                             .dropout = dal_rng_at(&epoch, (uint64_t)t->at.step)};
    t->at.ids = t->ids;
    t->at.classes = t->classes;
    const dal_status st = dal_dense_train(t->trainer, &batch, &result, t->err);
    if (st != DAL_OK) { /* reading failed in some thread: the list keeps the story */
        const dense_rows *bad = t->labelled.error.status != DAL_OK     ? &t->labelled
                                : t->unlabelled.error.status != DAL_OK ? &t->unlabelled
                                                                       : NULL;
        if (bad && t->err)
            *t->err = bad->error;
        return st;
    }
    t->loss += result.loss + 0.5 * t->mlp->options.alpha * result.squares;
    t->hits += result.hits;
    t->steps++;
    return isfinite(t->loss) ? DAL_OK : diverged(t, t->loss);
}

static dal_status run_epoch(training *t)
{
    const dal_host *h = t->mlp->model.host;
    const int64_t n = t->fit->train->n;
    dal_status st = DAL_OK;
    t->loss = 0;
    t->hits = 0;
    shuffle(h, "shuffle", t, t->order, n, n);
    if (t->n_more > 0)
        shuffle(h, "unlabelled", t, t->more_order, t->n_more, n < t->n_more ? n : t->n_more);
    for (int64_t first = 0; first < n && st == DAL_OK; first += t->batch) {
        t->at.step = first / t->batch;
        st = run_step(t, first);
    }
    t->loss /= (double)n;
    return st == DAL_OK ? companions_epoch_end(&t->companions, t->at.epoch, t->err) : st;
}

static dal_status run_epochs(training *t, dal_fit_report *report)
{
    const options *o = &t->mlp->options;
    const dal_host *h = t->mlp->model.host;
    double best = INFINITY;
    int64_t idle = 0;
    dal_status st = DAL_OK;
    for (t->at.epoch = 0; t->at.epoch < o->epochs && !report->converged; t->at.epoch++) {
        if (h->cancelled(h))
            return dal_fail(t->err, DAL_E_CANCELLED, "", "stopped in epoch %lld", (long long)t->at.epoch + 1);
        st = run_epoch(t);
        if (st != DAL_OK)
            return st;
        idle = t->loss > best - o->tol ? idle + 1 : 0;
        best = t->loss < best ? t->loss : best;
        report->epochs = t->at.epoch + 1;
        report->loss = t->loss;
        report->train_accuracy = (double)t->hits / (double)t->fit->train->n;
        report->converged = (o->n_iter_no_change > 0 && idle > o->n_iter_no_change) ||
                            (o->stop_accuracy > 0 && report->train_accuracy >= o->stop_accuracy);
        h->progress(h, report->epochs, o->epochs, "epochs");
    }
    report->steps = t->steps;
    return DAL_OK;
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    mlp *p = self;
    dense_model *m = &p->model;
    training t = {.mlp = p, .fit = f, .err = err};
    const int warm = f->warm && m->fitted;
    dal_status st = dense_model_check_fit(m, f, err);
    if (st != DAL_OK)
        return st;
    m->fitted = 0; /* until the end: a broken fit leaves nothing to predict with */
    if (!warm) {
        const dal_rng stream = m->host->rng(m->host, "weights", f->round);
        dal_dense_draw(&m->net, &stream, m->weights);
    }
    st = begin(&t);
    if (st == DAL_OK)
        st = run_epochs(&t, report);
    end(&t);
    m->fitted = st == DAL_OK;
    return st;
}

static const dal_model_impl impl = {
    .struct_size = sizeof(dal_model_impl),
    .output = DAL_LOGITS,
    .create = create,
    .destroy = dense_model_destroy,
    .fit = fit,
    .predict = dense_model_predict,
    .save = dense_model_save,
    .load = dense_model_load,
    .get_extension = dense_model_get_extension,
};

#define COMPONENTS(C)                                                                                   \
    C(MODEL, "mlp", impl, "multi-layer perceptron: ReLU layers, dropout, Adam or SGD", "",              \
      "", PROVIDES, options, PARAMS)
DAL_MODULE(mlp, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
