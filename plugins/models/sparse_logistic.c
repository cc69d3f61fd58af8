/* sparse-logistic: multinomial logistic regression with an L2 penalty on sparse vectors, as texts give them.
 *
 *     minimise  sum_i w_i loss_i / n + 1 / (2 C n) |W|^2,      loss_i = -log softmax(W x_i + b)[y_i],
 *
 * the objective of `logistic`, by L-BFGS from W = 0 (warm: from the last weights), so that a fit is a function of its
 * samples alone: no random numbers. A column that no training sample has keeps weight 0: only the others are held and
 * worked on, which makes 262,144 columns cheap. Sums run in double: over samples in blocks of fixed size, over a column
 * in the order of its samples, so that they do not depend on threads.
 *
 * Features are the inputs themselves when there are at most `projection` columns, else a projection of them to that
 * many values: each column is added to four places, with a sign, all drawn by a hash of its number (Kane & Nelson
 * 2014), which keeps distances and angles roughly. They are for strategies that compare samples; the logits are no
 * product of them, so no last layer is offered. Monte-Carlo passes mask columns at rate mc_dropout.
 */
#include <dal/minimise.h>
#include <dal/model.h>

#include <math.h>

#include <dal/fit.h>
#include "sparse_rows.h"

typedef struct options {
    double C;
    int64_t max_iter;
    double tol, mc_dropout;
    int64_t projection;
} options;

#define PARAMS(P, T)                                                                                      \
    P(T, C, F64, "1", "(0..", "", "inverse strength of the penalty: |W|^2 / (2 C n) is added to the mean loss") \
    P(T, max_iter, I64, "500", "1..1000000", "iterations", "steps of the solver, at most")                \
    P(T, tol, F64, "1e-4", "(0..", "", "done when no component of the gradient is larger")                \
    P(T, mc_dropout, F64, "0.5", "(0..1)", "", "rate on the inputs in Monte-Carlo passes")                \
    P(T, projection, I64, "256", "16..65536", "values", "width of the features that strategies see")

#define PROVIDES \
    DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT " " DAL_CAP_WARM_START " " DAL_CAP_FEATURES " " DAL_CAP_MC

#define MAX_COLUMNS ((int64_t)1 << 28)
#define MAX_CLASSES 4096 /* so that the logits of a sample fit on the stack */
#define BLOCK 256        /* samples, or columns, summed by one thread in one go */
#define SPREAD 4         /* places of a projected column */

typedef struct sparse_logistic {
    const dal_host *host;
    options options;
    int64_t d, c, n_columns;
    int32_t *index;   /* [d] 1 + place of a column in columns; 0: it has no weights */
    int32_t *columns; /* [n_columns] ascending */
    float *weights;   /* [n_columns, c], then the bias [c] */
    int fitted;
} sparse_logistic;

static dal_status no_memory(int64_t n, dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld weights", (long long)n);
}

/* ---- life --------------------------------------------------------------------------------------- */

static dal_status check_spec(const dal_sample_spec *s, dal_error *err)
{
    if (s->modality == DAL_TEXT)
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "sparse-logistic takes sparse vectors; this dataset has text: transforms: [hashing, tf-idf] "
                        "would make vectors of it");
    if (s->modality != DAL_SPARSE)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "sparse-logistic takes sparse vectors; logistic is for dense ones");
    if (s->dtype != DAL_F32 || s->ndim != 1 || s->shape[0] < 1 || s->shape[0] > MAX_COLUMNS)
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "sparse-logistic takes values of type f32 in 1..%lld columns; these have %lld",
                        (long long)MAX_COLUMNS, (long long)s->shape[0]);
    if (s->n_classes < 2 || s->n_classes > MAX_CLASSES)
        return dal_fail(err, DAL_E_INVALID, "", "sparse-logistic needs 2 to %d classes; this dataset has %lld",
                        MAX_CLASSES, (long long)s->n_classes);
    return DAL_OK;
}

static void destroy(void *self)
{
    sparse_logistic *m = self;
    if (!m)
        return;
    m->host->free(m->host, m->index);
    m->host->free(m->host, m->columns);
    m->host->free(m->host, m->weights);
    m->host->free(m->host, m);
}

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const dal_status st = check_spec(spec, err);
    if (st != DAL_OK)
        return st;
    sparse_logistic *m = host->alloc(host, sizeof *m, 0);
    if (!m)
        return no_memory(1, err);
    *m = (sparse_logistic){.host = host, .options = *(const options *)opts, .d = spec->shape[0], .c = spec->n_classes};
    m->index = dal_array(host, m->d, sizeof *m->index);
    if (!m->index) {
        destroy(m);
        return no_memory(spec->shape[0], err);
    }
    memset(m->index, 0, (size_t)m->d * sizeof *m->index);
    *self = m;
    return DAL_OK;
}

/* ---- the objective ------------------------------------------------------------------------------ */

typedef struct problem {
    sparse_logistic *m;
    const dal_samples *train;
    sparse_rows rows;
    double *weights;  /* [n] divided by their mean and by n */
    double *residual; /* [n, c] weight * (softmax - one-hot) */
    double *losses;   /* [blocks] */
    int64_t *hits;    /* [blocks] */
    const double *x;  /* the point: [n_columns, c], then [c] */
    double *gradient;
    double strength;
} problem;

/* Logits of sample i at the point. */
static void logits(const problem *p, int64_t i, double *z)
{
    const int64_t c = p->m->c;
    memcpy(z, p->x + p->rows.n_columns * c, (size_t)c * sizeof *z);
    for (int64_t k = p->rows.row_at[i]; k < p->rows.row_at[i + 1]; k++) {
        const double v = (double)p->rows.by_row[k], *w = p->x + p->rows.place[k] * c;
        for (int64_t j = 0; j < c; j++)
            z[j] += v * w[j];
    }
}

static dal_status sample_block(void *ctx, int64_t b)
{
    problem *p = ctx;
    const int64_t c = p->m->c;
    double loss = 0, z[MAX_CLASSES];
    int64_t hits = 0;
    for (int64_t i = b * BLOCK; i < (b + 1) * BLOCK && i < p->rows.n; i++) {
        double *r = p->residual + i * c, sum = 0;
        int64_t best = 0;
        const int32_t y = p->train->classes[i];
        logits(p, i, z);
        for (int64_t j = 1; j < c; j++)
            best = z[j] > z[best] ? j : best;
        for (int64_t j = 0; j < c; j++)
            sum += r[j] = exp(z[j] - z[best]);
        loss += p->weights[i] * (log(sum) + z[best] - z[y]);
        for (int64_t j = 0; j < c; j++)
            r[j] = p->weights[i] * (r[j] / sum - (j == y));
        hits += best == y;
    }
    p->losses[b] = loss;
    p->hits[b] = hits;
    return DAL_OK;
}

static dal_status column_block(void *ctx, int64_t b)
{
    problem *p = ctx;
    const int64_t c = p->m->c;
    for (int64_t k = b * BLOCK; k < (b + 1) * BLOCK && k < p->rows.n_columns; k++) {
        double *g = p->gradient + k * c;
        for (int64_t j = 0; j < c; j++)
            g[j] = p->strength * p->x[k * c + j];
        for (int64_t i = p->rows.column_at[k]; i < p->rows.column_at[k + 1]; i++) {
            const double v = (double)p->rows.by_column[i], *r = p->residual + p->rows.row[i] * c;
            for (int64_t j = 0; j < c; j++)
                g[j] += v * r[j];
        }
    }
    return DAL_OK;
}

static int64_t blocks(int64_t n)
{
    return (n + BLOCK - 1) / BLOCK;
}

static dal_status evaluate(void *ctx, const double *x, double *value, double *gradient, dal_error *err)
{
    problem *p = ctx;
    const dal_host *h = p->m->host;
    const int64_t c = p->m->c, n_weights = p->rows.n_columns * c;
    double squares = 0, *bias = gradient + n_weights;
    (void)err;
    p->x = x;
    p->gradient = gradient;
    h->parallel_for(h, blocks(p->rows.n), sample_block, p);
    h->parallel_for(h, blocks(p->rows.n_columns), column_block, p);
    *value = 0;
    for (int64_t b = 0; b < blocks(p->rows.n); b++)
        *value += p->losses[b];
    for (int64_t i = 0; i < n_weights; i++)
        squares += x[i] * x[i];
    for (int64_t j = 0; j < c; j++)
        bias[j] = 0;
    for (int64_t i = 0; i < p->rows.n; i++)
        for (int64_t j = 0; j < c; j++)
            bias[j] += p->residual[i * c + j];
    *value += 0.5 * p->strength * squares;
    return DAL_OK;
}

static dal_status visit(void *ctx, int64_t iteration, double value, double largest, dal_error *err)
{
    const problem *p = ctx;
    const dal_host *h = p->m->host;
    (void)value;
    (void)largest;
    if (h->cancelled(h))
        return dal_fail(err, DAL_E_CANCELLED, "", "stopped in iteration %lld", (long long)iteration);
    h->progress(h, iteration, p->m->options.max_iter, "iterations");
    return DAL_OK;
}

/* ---- fit ---------------------------------------------------------------------------------------- */

static void end(problem *p)
{
    const dal_host *h = p->m->host;
    sparse_rows_free(&p->rows);
    h->free(h, p->weights);
    h->free(h, p->residual);
    h->free(h, p->losses);
    h->free(h, p->hits);
}

static dal_status begin(problem *p, int32_t *mark, dal_error *err)
{
    const dal_samples *s = p->train;
    const dal_host *h = p->m->host;
    int64_t values;
    dal_status st = sparse_rows_read(&p->rows, h, s, p->m->d, mark, err);
    if (st != DAL_OK)
        return st;
    if (!dal_size_mul(s->n, p->m->c, &values))
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld samples of %lld classes", (long long)s->n, (long long)p->m->c);
    p->weights = dal_array(h, s->n, sizeof *p->weights);
    p->residual = dal_array(h, values, sizeof *p->residual);
    p->losses = dal_array(h, blocks(s->n), sizeof *p->losses);
    p->hits = dal_array(h, blocks(s->n), sizeof *p->hits);
    if (!p->weights || !p->residual || !p->losses || !p->hits)
        return no_memory(values, err);
    const double mean = dal_mean_weight(s);
    for (int64_t i = 0; i < s->n; i++)
        p->weights[i] = (s->weights ? (double)s->weights[i] / mean : 1) / (double)s->n;
    p->strength = 1 / (p->m->options.C * (double)s->n);
    return DAL_OK;
}

/* The start: 0, or what the model has, whose columns come in `mark` into the problem. */
static void start(const problem *p, int warm, double *x)
{
    const sparse_logistic *m = p->m;
    const int64_t c = m->c, n = p->rows.n_columns;
    for (int64_t i = 0; i < (n + 1) * c; i++)
        x[i] = 0;
    for (int64_t k = 0; k < n && warm; k++) {
        const int32_t have = m->index[p->rows.columns[k]];
        for (int64_t j = 0; j < c && have > 0; j++)
            x[k * c + j] = (double)m->weights[(have - 1) * c + j];
    }
    for (int64_t j = 0; j < c && warm; j++)
        x[n * c + j] = (double)m->weights[m->n_columns * c + j];
}

static dal_status solve(problem *p, double *x, double *gradient, dal_fit_report *report, dal_error *err)
{
    const options *o = &p->m->options;
    const dal_host *h = p->m->host;
    const dal_lbfgs how = {.struct_size = sizeof how, .max_iterations = o->max_iter, .tolerance = o->tol,
                           .noise = 1e-12, .evaluate = evaluate, .visit = visit, .ctx = p};
    dal_lbfgs_result r;
    dal_status st = dal_minimise(h, &how, (p->rows.n_columns + 1) * p->m->c, x, &r, err);
    if (st == DAL_E_DIVERGED)
        return dal_fail(err, st, "",
                        "the training loss is not finite: the inputs are too large; tf-idf with norm: l2 scales them");
    if (st == DAL_OK)
        st = evaluate(p, x, &r.value, gradient, err);
    if (st != DAL_OK)
        return st;
    if (!r.converged)
        dal_logf(h, DAL_LOG_INFO, "stopped after %lld iterations with a gradient of %.2g (tol %.2g)",
                 (long long)r.iterations, r.largest_gradient, o->tol);
    int64_t hits = 0;
    for (int64_t b = 0; b < blocks(p->rows.n); b++)
        hits += p->hits[b];
    report->converged = r.converged;
    report->epochs = r.iterations;
    report->steps = r.evaluations;
    report->loss = r.value;
    report->train_accuracy = (double)hits / (double)p->rows.n;
    return DAL_OK;
}

/* The point becomes the model: weights and mark (which becomes index) change hands. */
static dal_status keep(sparse_logistic *m, sparse_rows *r, const double *x, int32_t **mark, dal_error *err)
{
    const int64_t count = (r->n_columns + 1) * m->c;
    float *weights = dal_array(m->host, count, sizeof *weights);
    if (!weights)
        return no_memory(count, err);
    for (int64_t i = 0; i < count; i++)
        weights[i] = (float)x[i];
    m->host->free(m->host, m->weights);
    m->host->free(m->host, m->columns);
    m->host->free(m->host, m->index);
    m->weights = weights;
    m->columns = r->columns;
    m->n_columns = r->n_columns;
    m->index = *mark;
    r->columns = NULL;
    *mark = NULL;
    m->fitted = 1;
    return DAL_OK;
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    sparse_logistic *m = self;
    problem p = {.m = m, .train = f->train};
    int64_t count = 0, bytes;
    double *x = NULL;
    dal_status st = dal_check_labels("sparse-logistic", m->c, f, err);
    if (st == DAL_OK)
        st = check_spec(&f->train->spec, err);
    if (st == DAL_OK && f->train->spec.shape[0] != m->d)
        st = dal_fail(err, DAL_E_INVALID, "", "sparse-logistic was made for %lld columns; these samples have %lld",
                      (long long)m->d, (long long)f->train->spec.shape[0]);
    if (st != DAL_OK)
        return st;
    const int warm = f->warm && m->fitted;
    m->fitted = 0; /* until the end: a broken fit leaves nothing to predict with */
    int32_t *mark = dal_array(m->host, m->d, sizeof *mark);
    if (!mark)
        return no_memory(m->d, err);
    memset(mark, 0, (size_t)m->d * sizeof *mark);
    for (int64_t k = 0; k < m->n_columns && warm; k++)
        mark[m->columns[k]] = 1;
    st = begin(&p, mark, err);
    if (st == DAL_OK) {
        count = (p.rows.n_columns + 1) * m->c;
        x = dal_size_mul(2 * count, sizeof *x, &bytes) ? dal_array(m->host, 2 * count, sizeof *x) : NULL;
        st = x ? DAL_OK : no_memory(count, err);
    }
    if (st == DAL_OK) {
        start(&p, warm, x);
        st = solve(&p, x, x + count, report, err);
    }
    if (st == DAL_OK)
        st = keep(m, &p.rows, x, &mark, err);
    end(&p);
    m->host->free(m->host, x);
    m->host->free(m->host, mark);
    return st;
}

/* ---- predict and the extensions ------------------------------------------------------------------- */

static dal_status ready(const sparse_logistic *m, const dal_batch *x, dal_error *err)
{
    if (!m->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "sparse-logistic has not been trained: fit or load comes first");
    const dal_status st = check_spec(x->spec, err);
    if (st != DAL_OK)
        return st;
    if (x->spec->shape[0] != m->d)
        return dal_fail(err, DAL_E_INVALID, "", "sparse-logistic was made for %lld columns; these samples have %lld",
                        (long long)m->d, (long long)x->spec->shape[0]);
    for (int64_t k = x->offsets[0]; k < x->offsets[x->n]; k++)
        if (x->indices[k] < 0 || x->indices[k] >= m->d)
            return dal_fail(err, DAL_E_CONTRACT, "", "a sample has column %d of %lld", (int)x->indices[k],
                            (long long)m->d);
    return DAL_OK;
}

/* Logits of sample i; a column counts mask times its value: mask(column) is 1 without a pass. */
static void outputs_of(const sparse_logistic *m, const dal_batch *x, int64_t i, const dal_rng *pass, float *out)
{
    const int64_t c = m->c;
    const uint32_t below = (uint32_t)(m->options.mc_dropout * 0x1p32);
    const double scale = pass ? 1 / (1 - m->options.mc_dropout) : 1;
    double z[MAX_CLASSES];
    for (int64_t j = 0; j < c; j++)
        z[j] = (double)m->weights[m->n_columns * c + j];
    for (int64_t k = x->offsets[i]; k < x->offsets[i + 1]; k++) {
        const int32_t column = x->indices[k], place = m->index[column] - 1;
        if (place < 0)
            continue;
        if (pass) {
            uint32_t bits[4];
            dal_philox4x32(pass->key, pass->nonce, (uint64_t)column / 4, bits);
            if (bits[column % 4] < below)
                continue;
        }
        const double v = scale * (double)((const float *)x->data)[k];
        const float *w = m->weights + place * c;
        for (int64_t j = 0; j < c; j++)
            z[j] += v * (double)w[j];
    }
    for (int64_t j = 0; j < c; j++)
        out[j] = (float)z[j];
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const sparse_logistic *m = self;
    const dal_status st = ready(m, x, err);
    for (int64_t i = 0; i < x->n && st == DAL_OK; i++)
        outputs_of(m, x, i, NULL, out + i * m->c);
    return st;
}

static int64_t features_width(void *self)
{
    const sparse_logistic *m = self;
    return m->d < m->options.projection ? m->d : m->options.projection;
}

static dal_status features(void *self, const dal_batch *x, float *out, float *outputs, dal_error *err)
{
    const sparse_logistic *m = self;
    const int64_t width = features_width(self);
    const dal_status st = ready(m, x, err);
    if (st != DAL_OK)
        return st;
    memset(out, 0, (size_t)(x->n * width) * sizeof *out);
    for (int64_t i = 0; i < x->n; i++) {
        for (int64_t k = x->offsets[i]; k < x->offsets[i + 1]; k++) {
            const float v = ((const float *)x->data)[k];
            const int32_t column = x->indices[k];
            uint32_t bits[4];
            if (m->d == width) {
                out[i * width + column] += v;
                continue;
            }
            dal_philox4x32(0x5eed, 0, (uint64_t)column, bits);
            for (int s = 0; s < SPREAD; s++) /* 1 / sqrt(SPREAD) = 0.5 keeps lengths */
                out[i * width + (int64_t)(bits[s] >> 1) % width] += bits[s] & 1 ? 0.5f * v : -0.5f * v;
        }
        if (outputs)
            outputs_of(m, x, i, NULL, outputs + i * m->c);
    }
    return DAL_OK;
}

static dal_status mc(void *self, const dal_batch *x, const dal_rng *stream, int64_t first, int64_t n_passes, float *out,
                     dal_error *err)
{
    const sparse_logistic *m = self;
    const dal_status st = ready(m, x, err);
    for (int64_t k = 0; k < n_passes && st == DAL_OK; k++) {
        const dal_rng pass = dal_rng_at(stream, (uint64_t)(first + k));
        for (int64_t i = 0; i < x->n; i++)
            outputs_of(m, x, i, &pass, out + (k * x->n + i) * m->c);
    }
    return st;
}

static const void *get_extension(void *self, const char *id)
{
    static const uint32_t promise[2] = {sizeof promise, 0}; /* capabilities that are a word, not a table */
    static const dal_model_features features_table = {
        .struct_size = sizeof features_table, .width = features_width, .features = features};
    static const dal_model_mc mc_table = {.struct_size = sizeof mc_table, .mc = mc};
    (void)self;
    if (strcmp(id, DAL_CAP_FEATURES) == 0)
        return &features_table;
    if (strcmp(id, DAL_CAP_MC) == 0)
        return &mc_table;
    return strcmp(id, DAL_CAP_OUTPUTS) == 0 || strcmp(id, DAL_CAP_CONCURRENT) == 0 ||
        strcmp(id, DAL_CAP_WARM_START) == 0
               ? promise
               : NULL;
}

/* ---- save and load ------------------------------------------------------------------------------ */

/* The file: this header, columns [n_columns] as i32, weights [n_columns + 1, c] as f32, in the machine's byte order. */
#define MAGIC "DALSPLOG"
typedef struct file_header {
    char magic[8];
    uint32_t version, reserved;
    int64_t d, c, n_columns;
    uint64_t checksum; /* dal_hash64 of columns, then of weights */
} file_header;

static uint64_t checksum(const int32_t *columns, const float *weights, int64_t n, int64_t c)
{
    return dal_hash64(dal_hash64(0, columns, (size_t)n * sizeof *columns), weights,
                      (size_t)((n + 1) * c) * sizeof *weights);
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    const sparse_logistic *m = self;
    if (!m->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "sparse-logistic has not been trained: fit or load comes first");
    const file_header h = {MAGIC, 1, 0, m->d, m->c, m->n_columns, checksum(m->columns, m->weights, m->n_columns, m->c)};
    dal_status st = w->write(w, &h, sizeof h, err);
    if (st == DAL_OK)
        st = w->write(w, m->columns, (size_t)m->n_columns * sizeof *m->columns, err);
    if (st == DAL_OK)
        st = w->write(w, m->weights, (size_t)((m->n_columns + 1) * m->c) * sizeof *m->weights, err);
    return st;
}

static dal_status check_header(const sparse_logistic *m, const file_header *h, dal_error *err)
{
    if (memcmp(h->magic, MAGIC, sizeof h->magic) != 0 || h->version != 1 || h->reserved != 0)
        return dal_fail(err, DAL_E_FORMAT, "", "these bytes are no saved sparse-logistic: they do not begin with %s 1",
                        MAGIC);
    if (h->d != m->d || h->c != m->c || h->n_columns < 0 || h->n_columns > m->d)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "a saved model of %lld columns and %lld classes; this one has %lld and %lld", (long long)h->d,
                        (long long)h->c, (long long)m->d, (long long)m->c);
    return DAL_OK;
}

static dal_status check_content(const file_header *h, const int32_t *columns, const float *weights, dal_error *err)
{
    if (checksum(columns, weights, h->n_columns, h->c) != h->checksum)
        return dal_fail(err, DAL_E_FORMAT, "", "a saved model is damaged: its checksum does not fit");
    for (int64_t i = 0; i < (h->n_columns + 1) * h->c; i++)
        if (!isfinite(weights[i]))
            return dal_fail(err, DAL_E_FORMAT, "", "a saved model's weight %lld is %g", (long long)i,
                            (double)weights[i]);
    for (int64_t k = 0; k < h->n_columns; k++)
        if (columns[k] < 0 || columns[k] >= h->d || (k > 0 && columns[k] <= columns[k - 1]))
            return dal_fail(err, DAL_E_FORMAT, "", "a saved model's column %lld is %d", (long long)k, (int)columns[k]);
    return DAL_OK;
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    sparse_logistic *m = self;
    const dal_host *host = m->host;
    file_header h;
    dal_status st = dal_read_saved(r, &h, sizeof h, "header", err);
    if (st == DAL_OK)
        st = check_header(m, &h, err);
    if (st != DAL_OK)
        return st;
    int32_t *columns = dal_array(host, h.n_columns, sizeof *columns);
    float *weights = dal_array(host, (h.n_columns + 1) * h.c, sizeof *weights);
    st = columns && weights ? DAL_OK : no_memory((h.n_columns + 1) * h.c, err);
    if (st == DAL_OK)
        st = dal_read_saved(r, columns, (size_t)h.n_columns * sizeof *columns, "columns", err);
    if (st == DAL_OK)
        st = dal_read_saved(r, weights, (size_t)((h.n_columns + 1) * h.c) * sizeof *weights, "weights", err);
    if (st == DAL_OK)
        st = check_content(&h, columns, weights, err);
    if (st != DAL_OK) {
        host->free(host, columns);
        host->free(host, weights);
        return st;
    }
    host->free(host, m->columns);
    host->free(host, m->weights);
    m->columns = columns;
    m->weights = weights;
    m->n_columns = h.n_columns;
    memset(m->index, 0, (size_t)m->d * sizeof *m->index);
    for (int64_t k = 0; k < m->n_columns; k++)
        m->index[columns[k]] = (int32_t)k + 1;
    m->fitted = 1;
    return DAL_OK;
}

static const dal_model_impl impl = {
    .struct_size = sizeof(dal_model_impl),
    .output = DAL_LOGITS,
    .create = create,
    .destroy = destroy,
    .fit = fit,
    .predict = predict,
    .save = save,
    .load = load,
    .get_extension = get_extension,
};

#define COMPONENTS(C)                                                                                    \
    C(MODEL, "sparse-logistic", impl, "multinomial logistic regression on sparse vectors", "", "", PROVIDES, options, \
      PARAMS)
DAL_MODULE(sparse_logistic, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
