/* @ID@: the nearest class mean as a classifier.
 *
 *     z_c(x) = -||x - mean_c||^2 / (2 T d)      mean_c over the training samples of class c, d values each
 *
 * which is the logit of equal, round Gaussians. Fit and predict read the data once: O(n d c). Samples are
 * dense, f32 or u8.
 */
#include <dal/model.h>

#include <math.h>

typedef struct options {
    double temperature;
} options;

#define PARAMS(P, T) P(T, temperature, F64, "1", "(0..1e6]", "", "the larger, the less sure of itself")

#define ROWS 256         /* samples read at a time in fit */
#define ABSENT (-1e9f)   /* logit of a class without training samples */

typedef struct model {
    const dal_host *host;
    const options *options;
    dal_sample_spec spec;
    int64_t c, d;
    double *sums;    /* [c, d] weighted sums of the samples of each class */
    double *weights; /* [c] */
} model;

static dal_status create(const dal_host *host, const void *given, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    if (dal_sample_bytes(spec) <= 0)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "takes dense samples (vectors, images), not text or sparse rows");
    model *m = host->alloc(host, sizeof *m, 0);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *m = (model){host, given, *spec, spec->n_classes, dal_sample_values(spec), NULL, NULL};
    int64_t n = 0;
    if (dal_size_mul(m->c, m->d, &n))
        m->sums = dal_array(host, n, sizeof *m->sums);
    m->weights = dal_array(host, m->c, sizeof *m->weights);
    if (!m->sums || !m->weights) {
        host->free(host, m->sums);
        host->free(host, m->weights);
        host->free(host, m);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld class means", (long long)spec->n_classes);
    }
    memset(m->sums, 0, (size_t)n * sizeof *m->sums);
    memset(m->weights, 0, (size_t)m->c * sizeof *m->weights);
    *self = m;
    return DAL_OK;
}

static void destroy(void *self)
{
    model *m = self;
    if (!m)
        return;
    m->host->free(m->host, m->sums);
    m->host->free(m->host, m->weights);
    m->host->free(m->host, m);
}

/* Value j of sample i of a batch. */
static double value(const model *m, const dal_batch *x, int64_t i, int64_t j)
{
    const int64_t at = i * m->d + j;
    return m->spec.dtype == DAL_F32 ? (double)((const float *)x->data)[at] : ((const uint8_t *)x->data)[at];
}

static dal_status add_rows(model *m, const dal_samples *train, int64_t first, int64_t n, dal_batch *x,
                           dal_error *err)
{
    int64_t rows[ROWS];
    for (int64_t i = 0; i < ROWS; i++)
        rows[i] = first + i;
    x->n = n;
    const dal_status st = train->read(train, rows, n, x, err);
    if (st)
        return st;
    for (int64_t i = 0; i < n; i++) {
        const int32_t k = train->classes[first + i];
        const double w = train->weights ? (double)train->weights[first + i] : 1;
        if (k < 0 || k >= m->c)
            return dal_fail(err, DAL_E_INVALID, "", "training sample %lld has no class", (long long)(first + i));
        m->weights[k] += w;
        for (int64_t j = 0; j < m->d; j++)
            m->sums[k * m->d + j] += w * value(m, x, i, j);
    }
    return DAL_OK;
}

static dal_status fit(void *self, const dal_fit *fit, dal_fit_report *report, dal_error *err)
{
    model *m = self;
    const dal_host *h = m->host;
    if (!fit->train->classes)
        return dal_fail(err, DAL_E_INVALID, "", "training samples without classes");
    dal_batch x = {.struct_size = sizeof x, .spec = &m->spec,
                   .data = dal_array(h, ROWS, (size_t)dal_sample_bytes(&m->spec))};
    if (!x.data)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %d samples", ROWS);
    memset(m->sums, 0, (size_t)(m->c * m->d) * sizeof *m->sums);
    memset(m->weights, 0, (size_t)m->c * sizeof *m->weights);
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < fit->train->n; i += ROWS) {
        const int64_t left = fit->train->n - i;
        st = h->cancelled(h) ? DAL_E_CANCELLED : add_rows(m, fit->train, i, left < ROWS ? left : ROWS, &x, err);
    }
    h->free(h, x.data);
    report->epochs = 1;
    report->converged = 1;
    report->train_accuracy = -1;
    return st;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const model *m = self;
    (void)err;
    for (int64_t i = 0; i < x->n; i++)
        for (int64_t k = 0; k < m->c; k++) {
            double sum = 0;
            for (int64_t j = 0; j < m->d && m->weights[k] > 0; j++) {
                const double gap = value(m, x, i, j) - m->sums[k * m->d + j] / m->weights[k];
                sum += gap * gap;
            }
            const double z = -sum / (2 * m->options->temperature * (double)m->d);
            out[i * m->c + k] = m->weights[k] > 0 ? (float)fmax(z, (double)ABSENT) : ABSENT;
        }
    return DAL_OK;
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    const model *m = self;
    const int64_t shape[2] = {m->c, m->d};
    dal_status st = w->write(w, shape, sizeof shape, err);
    if (st == DAL_OK)
        st = w->write(w, m->weights, (size_t)m->c * sizeof *m->weights, err);
    return st ? st : w->write(w, m->sums, (size_t)(m->c * m->d) * sizeof *m->sums, err);
}

static dal_status read_all(const dal_reader *r, void *data, size_t n, dal_error *err)
{
    size_t got = 0;
    const dal_status st = r->read(r, data, n, &got, err);
    return st || got == n ? st : dal_fail(err, DAL_E_FORMAT, "", "the saved model is cut short");
}

/* The bytes may come from anywhere: shapes and numbers are checked. */
static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    model *m = self;
    int64_t shape[2];
    dal_status st = read_all(r, shape, sizeof shape, err);
    if (st == DAL_OK && (shape[0] != m->c || shape[1] != m->d))
        return dal_fail(err, DAL_E_FORMAT, "", "the saved model is [%lld, %lld]; expected [%lld, %lld]",
                        (long long)shape[0], (long long)shape[1], (long long)m->c, (long long)m->d);
    if (st == DAL_OK)
        st = read_all(r, m->weights, (size_t)m->c * sizeof *m->weights, err);
    if (st == DAL_OK)
        st = read_all(r, m->sums, (size_t)(m->c * m->d) * sizeof *m->sums, err);
    for (int64_t i = 0; st == DAL_OK && i < m->c; i++)
        if (!(m->weights[i] >= 0) || !isfinite(m->weights[i]))
            st = dal_fail(err, DAL_E_FORMAT, "", "the saved model has impossible weights");
    for (int64_t i = 0; st == DAL_OK && i < m->c * m->d; i++)
        if (!isfinite(m->sums[i]))
            st = dal_fail(err, DAL_E_FORMAT, "", "the saved model has infinite means");
    return st;
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
};

#define COMPONENTS(C)                                                                   \
    C(MODEL, "@ID@", impl, "nearest class mean", "", "", \
      DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(@MODULE@, "0.1", "MIT", COMPONENTS, NULL, NULL)
