/* logistic: multinomial logistic regression with an L2 penalty.
 *
 * Minimises over W [c, d] and b [c], b unpenalised,
 *
 *     (1/n) sum_i w_i loss_i + 1 / (2 C n) |W|^2,      loss_i = -log softmax(W x_i + b)[y_i],
 *
 * which is scikit-learn's LogisticRegression divided by C n; sample weights w are divided by their mean.
 * Full batches and L-BFGS from W = 0 (warm: from the last weights), so that a fit is a function of its
 * samples alone: no random numbers. Sums over samples run in double over chunks of fixed size.
 *
 * Features are the inputs themselves (d = values of a sample). Monte-Carlo passes mask them at rate
 * mc_dropout: the model has no dropout of its own.
 */
#include <dal/nn_model.h>

#include <dal/dense.h>
#include <dal/fit.h>
#include <dal/minimise.h>
#include <math.h>

typedef struct options {
    double C;
    int64_t max_iter;
    double tol, mc_dropout;
} options;

#define PARAMS(P, T)                                                                                      \
    P(T, C, F64, "1", "(0..", "", "inverse strength of the penalty: |W|^2 / (2 C n) is added to the mean loss") \
    P(T, max_iter, I64, "500", "1..1000000", "iterations", "steps of the solver, at most")                \
    P(T, tol, F64, "1e-4", "(0..", "", "done when no component of the gradient is larger")                \
    P(T, mc_dropout, F64, "0.5", "(0..1)", "", "rate on the inputs in Monte-Carlo passes")

#define PROVIDES                                                                                        \
    DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_WARM_START " " DAL_CAP_FEATURES " " DAL_CAP_MC   \
                    " " DAL_CAP_LAST_LAYER " " DAL_CAP_INPUT_GRADIENT " " DAL_CAP_FEATURE_GRADIENT " " DAL_CAP_PERTURB

/* Samples at a time: inputs of about a second-level cache, read again for the gradient while they are there. */
#define CHUNK_BYTES ((int64_t)1 << 20)
#define CHUNK_LEAST 128
#define CHUNK_MOST 4096

/* The model is one linear layer; the options go with it. */
static const options *options_of(const dal_nn_model *m)
{
    return dal_nn_model_extra(m);
}

static void layers(dal_nn *nn, dal_nn_value x, int64_t c, const void *opts)
{
    (void)opts;
    dal_nn_features(nn, x);
    dal_nn_output(nn, dal_nn_linear(nn, x, "output", c, DAL_NN_BIAS));
}

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const options *o = opts;
    const dal_nn_training training = {.mc_dropout = o->mc_dropout, .backend = DAL_NN_OPENBLAS};
    const dal_nn_model_plan plan = {.struct_size = sizeof plan, .takes = DAL_NN_TAKES_VECTORS, .id = "logistic",
                                    .layers = layers, .training = &training, .training_size = sizeof training,
                                    .init = DAL_NN_GLOROT, .provides = PROVIDES, .extra = sizeof(options)};
    if (spec->modality == DAL_SPARSE)
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "logistic takes dense vectors or images; sparse-logistic is for sparse samples as this dataset "
                        "has them");
    const dal_status st = dal_nn_model_new(host, &plan, spec, self, err);
    if (st == DAL_OK)
        *(options *)dal_nn_model_extra(*self) = *o;
    return st;
}

/* ---- the objective ------------------------------------------------------------------------------ */

typedef struct problem {
    dal_nn_model *model;
    const dal_samples *train;
    dal_dense_rows rows;
    dal_nn_trainer *trainer;
    int64_t chunk; /* rows at a time */
    float *weights; /* [n] divided by their mean, or NULL */
    int64_t hits;   /* at the last point */
} problem;

typedef struct chunk {
    problem *p;
    int64_t first;
} chunk;

/* Only for lists too long to be in memory. */
static dal_status fill(void *ctx, int64_t first, int64_t count, float *x)
{
    const chunk *c = ctx;
    dal_status st = DAL_OK;
    for (int64_t done = 0, n; done < count && st == DAL_OK; done += n) {
        int64_t rows[64];
        n = count - done < 64 ? count - done : 64;
        for (int64_t i = 0; i < n; i++)
            rows[i] = c->first + first + done + i;
        st = dal_dense_rows_gather(&c->p->rows, rows, n, x + done * c->p->rows.width);
    }
    return st;
}

/* That of the mean loss of n samples, times n. */
static void add_gradient(const problem *p, int64_t n, double *gradient)
{
    const float *g = dal_nn_gradient(p->trainer);
    for (int64_t i = 0; i < p->model->info.n_weights; i++)
        gradient[i] += (double)n * (double)g[i];
}

/* Sum of the losses and of their gradients over all samples. */
static dal_status sum_losses(problem *p, double *value, double *gradient, dal_error *err)
{
    const int64_t n = p->train->n;
    dal_status st = DAL_OK;
    *value = 0;
    p->hits = 0;
    for (int64_t first = 0; first < n && st == DAL_OK; first += p->chunk) {
        const int64_t here = n - first < p->chunk ? n - first : p->chunk;
        chunk c = {p, first};
        dal_nn_result r = {.struct_size = sizeof r};
        const dal_nn_batch b = {.struct_size = sizeof b,
                                .n = here,
                                .n_labelled = here,
                                .classes = p->train->classes + first,
                                .weights = p->weights ? p->weights + first : NULL,
                                .rows = p->rows.all ? p->rows.all + first * p->rows.width : NULL,
                                .fill = fill,
                                .ctx = &c};
        st = dal_nn_train(p->trainer, NULL, &b, &r, err);
        if (st == DAL_OK) {
            add_gradient(p, here, gradient);
            *value += r.loss;
            p->hits += r.hits;
        } else if (p->rows.error.status != DAL_OK && err) {
            *err = p->rows.error; /* reading failed in some thread */
        }
    }
    return st;
}

static dal_status evaluate(void *ctx, const double *x, double *value, double *gradient, dal_error *err)
{
    problem *p = ctx;
    dal_nn_model *m = p->model;
    const double n = (double)p->train->n, strength = 1 / (options_of(p->model)->C * n);
    const int64_t penalised = m->info.n_weights - m->n_classes; /* W comes first, then b */
    for (int64_t i = 0; i < m->info.n_weights; i++) {
        m->weights[i] = (float)x[i];
        gradient[i] = 0;
    }
    const dal_status st = sum_losses(p, value, gradient, err);
    double squares = 0;
    for (int64_t i = 0; i < m->info.n_weights; i++)
        gradient[i] /= n;
    for (int64_t i = 0; i < penalised; i++) {
        gradient[i] += strength * x[i];
        squares += x[i] * x[i];
    }
    *value = *value / n + 0.5 * strength * squares;
    return st;
}

static dal_status visit(void *ctx, int64_t iteration, double value, double largest, dal_error *err)
{
    const problem *p = ctx;
    const dal_host *h = p->model->host;
    (void)value;
    (void)largest;
    if (h->cancelled(h))
        return dal_fail(err, DAL_E_CANCELLED, "", "stopped in iteration %lld", (long long)iteration);
    h->progress(h, iteration, options_of(p->model)->max_iter, "iterations");
    return DAL_OK;
}

/* ---- fit ---------------------------------------------------------------------------------------- */

static dal_status begin(problem *p, dal_error *err)
{
    const dal_nn_model *m = p->model;
    const dal_samples *s = p->train;
    const int64_t width = m->info.n_inputs, fit = CHUNK_BYTES / (4 * width);
    p->chunk = fit < CHUNK_LEAST ? CHUNK_LEAST : fit < CHUNK_MOST ? fit / 32 * 32 : CHUNK_MOST;
    p->chunk = p->chunk < s->n ? p->chunk : s->n;
    if (s->weights) {
        double sum = 0;
        p->weights = dal_array(m->host, s->n, sizeof *p->weights);
        if (!p->weights)
            return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld weights", (long long)s->n);
        for (int64_t i = 0; i < s->n; i++)
            sum += (double)s->weights[i];
        for (int64_t i = 0; i < s->n; i++)
            p->weights[i] = (float)((double)s->weights[i] * (double)s->n / sum);
    }
    const dal_status st = dal_dense_rows_init(&p->rows, m->host, s, width, err);
    if (st != DAL_OK)
        return st;
    p->trainer = dal_nn_trainer_new(m->nn, m->host, m->weights, m->state, p->chunk, err);
    return p->trainer ? DAL_OK : DAL_E_NOMEM;
}

static void end(problem *p)
{
    const dal_host *h = p->model->host;
    dal_nn_trainer_free(p->trainer);
    dal_dense_rows_fini(&p->rows);
    h->free(h, p->weights);
}

static dal_status solve(problem *p, double *x, double *gradient, dal_fit_report *report, dal_error *err)
{
    const dal_nn_model *m = p->model;
    const dal_host *h = m->host;
    const dal_lbfgs how = {.struct_size = sizeof how,
                           .max_iterations = options_of(m)->max_iter,
                           .tolerance = options_of(m)->tol,
                           .noise = 1e-8, /* losses come from f32 logits */
                           .evaluate = evaluate,
                           .visit = visit,
                           .ctx = p};
    dal_lbfgs_result r;
    dal_status st = dal_minimise(h, &how, m->info.n_weights, x, &r, err);
    if (st == DAL_E_DIVERGED) {
        dal_logf(h, DAL_LOG_WARNING, "the training loss is not finite");
        return dal_fail(err, st, "", "the training loss is not finite: the inputs are too large; scale them "
                        "(transforms: scale, standardize)");
    }
    if (st == DAL_OK) /* leave the weights and the numbers of the best point, not of the last trial */
        st = evaluate(p, x, &r.value, gradient, err);
    if (st != DAL_OK)
        return st;
    if (!r.converged)
        dal_logf(h, DAL_LOG_INFO, "stopped after %lld iterations with a gradient of %.2g (tol %.2g)",
                 (long long)r.iterations, r.largest_gradient, options_of(m)->tol);
    report->converged = r.converged;
    report->epochs = r.iterations;
    report->steps = r.evaluations;
    report->loss = r.value;
    report->train_accuracy = (double)p->hits / (double)p->train->n;
    return DAL_OK;
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    dal_nn_model *m = self;
    problem p = {.model = m, .train = f->train};
    dal_status st = dal_check_fit(m->id, m->info.n_inputs, m->n_classes, f, err);
    if (st != DAL_OK)
        return st;
    const int warm = f->warm && m->fitted;
    double *x = dal_array(m->host, 2 * m->info.n_weights, sizeof *x);
    if (!x)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld weights", (long long)m->info.n_weights);
    for (int64_t i = 0; i < m->info.n_weights; i++)
        x[i] = warm ? (double)m->weights[i] : 0;
    dal_nn_model_changed(m);
    m->fitted = 0; /* until the end: a broken fit leaves nothing to predict with */
    st = begin(&p, err);
    if (st == DAL_OK)
        st = solve(&p, x, x + m->info.n_weights, report, err);
    end(&p);
    m->host->free(m->host, x);
    m->fitted = st == DAL_OK;
    return st;
}

static const dal_model_impl impl = {
    .struct_size = sizeof(dal_model_impl),
    .output = DAL_LOGITS,
    .create = create,
    .destroy = dal_nn_model_destroy,
    .fit = fit,
    .predict = dal_nn_model_predict,
    .save = dal_nn_model_save,
    .load = dal_nn_model_load,
    .get_extension = dal_nn_model_get_extension,
};

#define COMPONENTS(C)                                                                                  \
    C(MODEL, "logistic", impl, "multinomial logistic regression with an L2 penalty", "", "", PROVIDES, \
      options, PARAMS)
DAL_MODULE(logistic, "1.2", "Apache-2.0", COMPONENTS, NULL, NULL)
