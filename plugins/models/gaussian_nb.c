/* gaussian-nb: naive Bayes with a normal distribution for each class and value.
 *
 *     ln P(y | x) = ln P(y) - 1/2 sum_j (ln(2 pi v_yj) + (x_j - m_yj)^2 / v_yj) + constant
 *
 * m, v: mean and variance of value j over the samples of class y (weighted by their weights), P(y) the share of the
 * class; var_smoothing times the largest variance of any value over all samples is added to every v. As scikit-learn's
 * GaussianNB. Classes that nobody was shown have the outputs of no chance. Features: the inputs.
 */
#include <dal/dense.h>
#include <dal/model.h>

#include <math.h>

#include "array_file.h"
#include "model_table.h"

#define BLOCK 64
#define MAGIC "DALNAIVE"
#define NEVER (-1e30f) /* the output of a class without a sample */

typedef struct options {
    double var_smoothing;
} options;

#define PARAMS(P, T)                                                                                              \
    P(T, var_smoothing, F64, "1e-9", "0..", "", "part of the largest variance that is added to all")

typedef struct bayes {
    const dal_host *host;
    const options *opt;
    int64_t c, d;
    float *numbers; /* [c, 2 d + 1] means, variances and, last, ln P(y) - 1/2 sum ln(2 pi v); NULL: not fitted */
} bayes;

static int64_t stride(const bayes *m)
{
    return 2 * m->d + 1;
}

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    int64_t d;
    const dal_status st = dal_dense_inputs(spec, "gaussian-nb", &d, err);
    if (st != DAL_OK)
        return st;
    bayes *m = dal_array(host, 1, sizeof *m);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    *m = (bayes){.host = host, .opt = opts, .c = spec->n_classes, .d = d};
    *self = m;
    return DAL_OK;
}

static void destroy(void *self)
{
    bayes *m = self;
    if (!m)
        return;
    m->host->free(m->host, m->numbers);
    m->host->free(m->host, m);
}

/* ---- fit -------------------------------------------------------------------------------------- */

/* Means and variances by class, class c being all samples: [c + 1, d] each, in double. */
typedef struct moments {
    int64_t c, d;
    double *weight, *mean, *square; /* square: sum of squared distances from the mean */
} moments;

/* West 1979: one sample at a time, in their order. */
static void add(moments *s, int64_t k, const float *x, double w)
{
    double *mean = s->mean + k * s->d, *square = s->square + k * s->d;
    s->weight[k] += w;
    for (int64_t j = 0; w > 0 && j < s->d; j++) {
        const double delta = (double)x[j] - mean[j];
        mean[j] += w / s->weight[k] * delta;
        square[j] += w * delta * ((double)x[j] - mean[j]);
    }
}

static dal_status gather(moments *s, const dal_host *host, const dal_samples *train, dal_error *err)
{
    dal_dense_rows rows = {0};
    int64_t ids[BLOCK];
    float *x = dal_array(host, BLOCK * s->d, sizeof *x);
    dal_status st = x ? dal_dense_rows_init(&rows, host, train, s->d, err)
        : dal_fail(err, DAL_E_NOMEM, "", "no memory for samples");
    for (int64_t first = 0; st == DAL_OK && first < train->n; first += BLOCK) {
        const int64_t n = train->n - first < BLOCK ? train->n - first : BLOCK;
        for (int64_t i = 0; i < n; i++)
            ids[i] = first + i;
        if ((st = dal_dense_rows_gather(&rows, ids, n, x)) != DAL_OK && err)
            *err = rows.error;
        for (int64_t i = 0; st == DAL_OK && i < n; i++) {
            const double w = train->weights ? (double)train->weights[first + i] : 1;
            add(s, train->classes[first + i], x + i * s->d, w);
            add(s, s->c, x + i * s->d, w);
        }
    }
    if (x)
        dal_dense_rows_fini(&rows);
    host->free(host, x);
    return st;
}

static dal_status settle(bayes *m, const moments *s, dal_error *err)
{
    const int64_t c = m->c, d = m->d;
    double most = 0;
    for (int64_t j = 0; j < d; j++)
        most = fmax(most, s->square[c * d + j] / s->weight[c]);
    const double extra = most > 0 ? m->opt->var_smoothing * most : 1; /* all samples alike: any width will do */
    for (int64_t k = 0; k < c; k++) {
        float *row = m->numbers + k * stride(m);
        double sum = log(s->weight[k] / s->weight[c]);
        for (int64_t j = 0; j < d; j++) {
            const double v = s->weight[k] > 0 ? s->square[k * d + j] / s->weight[k] + extra : 1;
            if (!(v > 0) || (float)v == 0)
                return dal_fail(err, DAL_E_INVALID, "var_smoothing",
                                "value %lld is the same in all samples of class %lld; raise var_smoothing above 0",
                                (long long)j, (long long)k);
            row[j] = (float)s->mean[k * d + j];
            row[d + j] = (float)v;
            sum -= 0.5 * log(2 * M_PI * v);
        }
        row[2 * d] = s->weight[k] > 0 ? (float)sum : NEVER;
    }
    return DAL_OK;
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    bayes *m = self;
    const dal_host *host = m->host;
    int64_t cells = 0;
    moments s = {.c = m->c, .d = m->d};
    host->free(host, m->numbers);
    m->numbers = NULL;
    dal_status st = dal_check_fit("gaussian-nb", m->d, m->c, f, err);
    if (st != DAL_OK)
        return st;
    const int fits = dal_size_mul(m->c + 1, stride(m), &cells);
    double *all = fits ? dal_array(host, cells, sizeof *all) : NULL;
    m->numbers = fits ? dal_array(host, cells, sizeof *m->numbers) : NULL;
    if (!all || !m->numbers) {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld classes of %lld values", (long long)m->c,
                      (long long)m->d);
    } else {
        memset(all, 0, (size_t)cells * sizeof *all);
        s.weight = all;
        s.mean = all + m->c + 1;
        s.square = s.mean + (m->c + 1) * m->d;
        st = gather(&s, host, f->train, err);
    }
    if (st == DAL_OK)
        st = settle(m, &s, err);
    host->free(host, all);
    if (st != DAL_OK) {
        host->free(host, m->numbers);
        m->numbers = NULL;
    }
    report->train_accuracy = -1;
    return st;
}

/* ---- predict ---------------------------------------------------------------------------------- */

static dal_status ready(const bayes *m, const dal_batch *x, dal_error *err)
{
    if (!m->numbers)
        return dal_fail(err, DAL_E_CONTRACT, "", "gaussian-nb has not been trained: fit or load comes first");
    return dal_check_width("gaussian-nb", m->d, x->spec, err);
}

static void outputs_of(const bayes *m, const float *x, float *out)
{
    for (int64_t k = 0; k < m->c; k++) {
        const float *mean = m->numbers + k * stride(m), *v = mean + m->d;
        double sum = 0;
        for (int64_t j = 0; j < m->d; j++) {
            const double delta = (double)x[j] - (double)mean[j];
            sum += delta * delta / (double)v[j];
        }
        const double z = (double)v[m->d] - 0.5 * sum;
        out[k] = z > (double)NEVER ? (float)z : NEVER;
    }
}

static dal_status features(void *self, const dal_batch *x, float *out, float *outputs, dal_error *err)
{
    const bayes *m = self;
    const dal_status st = ready(m, x, err);
    if (st != DAL_OK)
        return st;
    dal_dense_read(x, 0, x->n, out);
    for (int64_t i = 0; outputs && i < x->n; i++)
        outputs_of(m, out + i * m->d, outputs + i * m->c);
    return DAL_OK;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const bayes *m = self;
    dal_status st = ready(m, x, err);
    float *row = st == DAL_OK ? dal_array(m->host, m->d, sizeof *row) : NULL;
    if (st == DAL_OK && !row)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld values", (long long)m->d);
    for (int64_t i = 0; st == DAL_OK && i < x->n; i++) {
        dal_dense_read(x, i, 1, row);
        outputs_of(m, row, out + i * m->c);
    }
    m->host->free(m->host, row);
    return st;
}

/* ---- the rest --------------------------------------------------------------------------------- */

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    const bayes *m = self;
    const saved_array a = {m->numbers, m->c * stride(m) * (int64_t)sizeof *m->numbers};
    if (!m->numbers)
        return dal_fail(err, DAL_E_CONTRACT, "", "gaussian-nb has not been trained: there is nothing to save");
    return arrays_save(w, MAGIC, &a, 1, err);
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    bayes *m = self;
    saved_array a;
    const int64_t n = m->c * stride(m);
    dal_status st = arrays_load(m->host, r, "gaussian-nb", MAGIC, &a, 1, err);
    if (st == DAL_OK && a.bytes != n * (int64_t)sizeof(float))
        st = dal_fail(err, DAL_E_FORMAT, "",
                      "a saved gaussian-nb of %lld bytes; for %lld classes of %lld values it has %lld",
                      (long long)a.bytes, (long long)m->c, (long long)m->d, (long long)n * 4);
    if (st == DAL_OK)
        st = arrays_finite("gaussian-nb", a.data, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        const int64_t j = i % stride(m);
        if (j >= m->d && j < 2 * m->d && !(((const float *)a.data)[i] > 0))
            st = dal_fail(err, DAL_E_FORMAT, "", "a saved gaussian-nb has the variance %g",
                          (double)((const float *)a.data)[i]);
    }
    if (st == DAL_OK) {
        m->host->free(m->host, m->numbers);
        m->numbers = a.data;
        a.data = NULL;
    }
    arrays_free(m->host, &a, 1);
    return st;
}

static int64_t width(void *self)
{
    return ((const bayes *)self)->d;
}

MODEL_TABLE(DAL_LOGITS)

#define COMPONENTS(C)                                                                                             \
    C(MODEL, "gaussian-nb", impl, "naive Bayes with normal distributions", "", "",                                \
      MODEL_TABLE_PROVIDES, options, PARAMS)
DAL_MODULE(gaussian_nb, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
