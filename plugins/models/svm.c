/* svm: support vector classifier, on libsvm.
 *
 * Cortes & Vapnik, Machine Learning 1995; Chang & Lin, "LIBSVM", ACM TIST 2011: C-SVC, one against one. For classes i,
 * j
 *
 *     minimise 1/2 |w|^2 + C sum_s weight_s max(0, 1 - y_s f(x_s)),      f(x) = sum_s coef_s K(x_s, x) - rho
 *
 * with weight the class's (class_weights, and balanced: n / (classes seen * n of the class)) times that of its samples
 * over the mean of all weights. gamma: scale is 1 / (d * variance of all values), auto 1 / d.
 *
 * probability: platt fits a sigmoid to each pair's decisions about samples it was not trained on (five folds, each
 * class dealt to them at random by the seed; fewer folds when a class of the pair has fewer samples, and with a single
 * one the decisions of the machine itself), and couples the pairs (Wu, Lin & Weng 2004). margins takes f as the
 * difference of two scores, s_i - s_j = f_ij, whose least-squares solution is s_i = sum_j f_ij / classes, and gives
 * their softmax: no further training, but nobody calibrated it. Classes nobody was shown have probability 0.
 *
 * Features: inputs (dense samples), or decisions, all f_ij of the pairs (0 where a class was not seen); auto: the first
 * where it can be. A training set is a list of its values other than 0, 16 bytes each. Kernel values are kept in
 * `cache` MiB for all threads together. Time grows with n^2 to n^3.
 */
#include <dal/dense.h>
#include <dal/model.h>

#include <math.h>

#include "array_file.h"
#include "model_table.h"
#include "svm_machine.h"

#define MAGIC "DALSVM01"
#define FEATURES_AUTO 0u
#define FEATURES_INPUTS 1u
#define FEATURES_DECISIONS 2u
#define MAX_CLASSES 1024

#define PARAMS(P, T)                                                                                              \
    P(T, kernel, CHOICE, "rbf", "linear|rbf|poly", "", "<x, z>; exp(-gamma |x - z|^2); (gamma <x, z> + coef0)^degree") \
    P(T, C, F64, "1", "(0..", "", "what an error costs")                                                         \
    P(T, gamma, STR, "scale", "nonempty", "", "of rbf and poly: scale, auto or a number above 0")                \
    P(T, degree, I64, "3", "1..100", "", "of poly")                                                              \
    P(T, coef0, F64, "0", "", "", "of poly")                                                                     \
    P(T, tol, F64, "1e-3", "(0..1)", "", "done when the optimality conditions are met to this")                  \
    P(T, cache, I64, "200", "1..1048576", "MiB", "kernel values kept while training, all threads together")      \
    P(T, balanced, BOOL, "false", "", "", "weigh classes by 1 / their number of samples")                        \
    P(T, class_weights, F64S, "", "(0..", "", "factor of C for each class; empty: 1")                            \
    P(T, probability, CHOICE, "platt", "platt|margins", "",                                                            \
      "sigmoids fitted by cross-validation; or softmax of margins")                                                    \
    P(T, features, CHOICE, "auto", "auto|inputs|decisions", "",                                                        \
      "what strategies see; auto: inputs, decisions of sparse samples")

typedef struct svm {
    svm_machine machine; /* that of the last fit */
    const svm_options *opt;
    int32_t inputs; /* 1: they are the features */
} svm;

/* ---- life --------------------------------------------------------------------------------------- */

static dal_status check_options(const svm_options *o, const dal_sample_spec *spec, dal_error *err)
{
    double gamma;
    const dal_status st = svm_read_gamma(o->gamma, &gamma, err);
    if (st != DAL_OK)
        return st;
    if (o->class_weights.n > 0 && o->class_weights.n != spec->n_classes)
        return dal_fail(err, DAL_E_INVALID, "class_weights", "%lld numbers; expected one for each of %lld classes",
                        (long long)o->class_weights.n, (long long)spec->n_classes);
    if (o->features == FEATURES_INPUTS && spec->modality == DAL_SPARSE)
        return dal_fail(err, DAL_E_INVALID, "features", "inputs; sparse samples have decisions only");
    return DAL_OK;
}

static dal_status inputs_of(const dal_sample_spec *spec, int64_t *width, dal_error *err)
{
    if (spec->modality != DAL_SPARSE)
        return dal_dense_inputs(spec, "svm", width, err);
    *width = spec->shape[0];
    if (spec->dtype != DAL_F32 || spec->ndim != 1 || *width < 1 || *width > INT32_MAX - 1)
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "svm takes sparse values of type f32 in 1..%d columns; these have %lld", INT32_MAX - 1,
                        (long long)*width);
    return DAL_OK;
}

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    int64_t d = 0;
#ifndef DAL_HAVE_SVM
    return dal_fail(err, DAL_E_UNSUPPORTED, "",
                    "this dalhost was built without libsvm: install libsvm-dev, configure and build again");
#endif
    dal_status st = inputs_of(spec, &d, err);
    if (st == DAL_OK && spec->n_classes > MAX_CLASSES)
        st = dal_fail(err, DAL_E_UNSUPPORTED, "", "svm takes up to %d classes; this dataset has %lld", MAX_CLASSES,
                      (long long)spec->n_classes);
    if (st == DAL_OK)
        st = check_options(opts, spec, err);
    if (st != DAL_OK)
        return st;
    svm *m = dal_array(host, 1, sizeof *m);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    const int sparse = spec->modality == DAL_SPARSE;
    *m = (svm){{.host = host, .c = spec->n_classes, .d = d, .sparse = sparse}, opts,
               ((const svm_options *)opts)->features != FEATURES_DECISIONS && !sparse};
    *self = m;
    return DAL_OK;
}

static void destroy(void *self)
{
    svm *m = self;
    if (!m)
        return;
    svm_machine_forget(&m->machine);
    m->machine.host->free(m->machine.host, m);
}

static dal_status check_samples(const svm_machine *m, const dal_sample_spec *spec, dal_error *err)
{
    int64_t d = 0;
    const dal_status st = inputs_of(spec, &d, err);
    if (st == DAL_OK && (d != m->d || m->sparse != (spec->modality == DAL_SPARSE)))
        return dal_fail(err, DAL_E_INVALID, "", "svm was made for %s samples of %lld values; these are %s ones of %lld",
                        m->sparse ? "sparse" : "dense", (long long)m->d,
                        spec->modality == DAL_SPARSE ? "sparse" : "dense", (long long)d);
    return st;
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    svm *m = self;
    svm_machine_forget(&m->machine);
    dal_status st = dal_check_labels("svm", m->machine.c, f, err);
    if (st == DAL_OK)
        st = check_samples(&m->machine, &f->train->spec, err);
    if (st == DAL_OK)
        st = svm_machine_train(&m->machine, m->opt, f, err);
    if (st != DAL_OK)
        svm_machine_forget(&m->machine);
    report->train_accuracy = -1;
    return st;
}

/* ---- predict -------------------------------------------------------------------------------------- */

static dal_status ready(const svm_machine *m, const dal_batch *x, dal_error *err)
{
    if (m->n_seen == 0)
        return dal_fail(err, DAL_E_CONTRACT, "", "svm has not been trained: fit or load comes first");
    return check_samples(m, x->spec, err);
}

/* From what the pairs say to p [n_seen]. */
static void platt(const svm_machine *m, const double *decision, double *p, double *room)
{
    const int64_t k = m->n_seen, pairs = svm_n_pairs(k);
    double *r = room + k * (k + 1);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i + 1; j < k; j++) {
            const int64_t at = svm_pair(k, i, j);
            const double own = svm_platt_probability(decision[at], m->pairs[pairs + at], m->pairs[2 * pairs + at]);
            r[i * k + j] = fmin(fmax(own, 1e-7), 1 - 1e-7);
            r[j * k + i] = 1 - r[i * k + j];
        }
    svm_platt_couple(r, k, p, room);
}

static void margins(const svm_machine *m, const double *decision, double *p)
{
    const int64_t k = m->n_seen;
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < k; i++)
        p[i] = 0;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i + 1; j < k; j++) {
            p[i] += decision[svm_pair(k, i, j)] / (double)k;
            p[j] -= decision[svm_pair(k, i, j)] / (double)k;
        }
    for (int64_t i = 0; i < k; i++)
        most = fmax(most, p[i]);
    for (int64_t i = 0; i < k; i++)
        sum += p[i] = exp(p[i] - most);
    for (int64_t i = 0; i < k; i++)
        p[i] /= sum;
}

static void outputs_of(const svm_machine *m, const double *decision, double *room, float *out)
{
    double *p = room;
    if (m->kernel.platt && m->n_seen > 1)
        platt(m, decision, p, room + m->n_seen);
    else
        margins(m, decision, p);
    for (int64_t k = 0; k < m->c; k++)
        out[k] = 0;
    for (int64_t k = 0; k < m->n_seen; k++)
        out[m->seen[k]] = (float)p[k];
}

static void decisions_of(const svm_machine *m, const double *decision, float *out)
{
    memset(out, 0, (size_t)svm_n_pairs(m->c) * sizeof *out);
    for (int64_t i = 0; i < m->n_seen; i++)
        for (int64_t j = i + 1; j < m->n_seen; j++)
            out[svm_pair(m->c, m->seen[i], m->seen[j])] = (float)decision[svm_pair(m->n_seen, i, j)];
}

/* features and outputs: NULL for none. */
static dal_status speak(const svm *m, const dal_batch *x, float *features, float *outputs, dal_error *err)
{
    const svm_machine *s = &m->machine;
    const int64_t k = s->n_seen, pairs = svm_n_pairs(k);
    int64_t cells = 0;
    dal_status st = ready(s, x, err);
    if (st != DAL_OK)
        return st;
    const int fits = dal_size_mul(x->n, pairs, &cells);
    double *decision = fits ? dal_array(s->host, cells, sizeof *decision) : NULL;
    double *room = dal_array(s->host, 2 * k * (k + 1), sizeof *room);
    if (!decision || !room)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld decisions of each sample", (long long)pairs);
    if (st == DAL_OK && (outputs || !m->inputs))
        st = svm_machine_decide(s, x, decision, err);
    if (st == DAL_OK && features && m->inputs)
        dal_dense_read(x, 0, x->n, features);
    for (int64_t i = 0; st == DAL_OK && i < x->n; i++) {
        if (features && !m->inputs)
            decisions_of(s, decision + i * pairs, features + i * svm_n_pairs(s->c));
        if (outputs)
            outputs_of(s, decision + i * pairs, room, outputs + i * s->c);
    }
    s->host->free(s->host, decision);
    s->host->free(s->host, room);
    return st;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    return speak(self, x, NULL, out, err);
}

static dal_status features(void *self, const dal_batch *x, float *out, float *outputs, dal_error *err)
{
    return speak(self, x, out, outputs, err);
}

static int64_t width(void *self)
{
    const svm *m = self;
    return m->inputs ? m->machine.d : svm_n_pairs(m->machine.c);
}

/* ---- save and load -------------------------------------------------------------------------------- */

typedef struct head {
    svm_kernel kernel;
    int64_t c, d, sparse, n_seen, l, n_columns, n_values;
} head;

enum { HEAD, INTEGERS, PAIRS, COEF, VALUES, COLUMNS, COLUMN_AT, ROW, ARRAYS };

/* The bytes each array has. */
static void sizes_of(const head *h, int64_t bytes[ARRAYS])
{
    bytes[HEAD] = (int64_t)sizeof *h;
    bytes[INTEGERS] = (h->n_seen + h->l) * (int64_t)sizeof(int32_t);
    bytes[PAIRS] = 3 * svm_n_pairs(h->n_seen) * (int64_t)sizeof(double);
    bytes[COEF] = h->l * (h->n_seen - 1) * (int64_t)sizeof(double);
    bytes[VALUES] = h->n_values * (int64_t)sizeof(float);
    bytes[COLUMNS] = h->n_columns * (int64_t)sizeof(int32_t);
    bytes[COLUMN_AT] = h->sparse ? (h->n_columns + 1) * (int64_t)sizeof(int64_t) : 0;
    bytes[ROW] = h->sparse ? h->n_values * (int64_t)sizeof(int32_t) : 0;
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    const svm_machine *m = &((const svm *)self)->machine;
    saved_array a[ARRAYS] = {{0}};
    int64_t bytes[ARRAYS];
    if (m->n_seen == 0)
        return dal_fail(err, DAL_E_CONTRACT, "", "svm has not been trained: there is nothing to save");
    head h = {m->kernel, m->c, m->d, m->sparse, m->n_seen, m->l, m->n_columns,
              m->sparse ? m->column_at[m->n_columns] : m->l * m->d};
    int32_t *integers = dal_array(m->host, m->n_seen + m->l, sizeof *integers);
    if (!integers)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to save %lld support vectors", (long long)m->l);
    memcpy(integers, m->seen, (size_t)m->n_seen * sizeof *integers);
    memcpy(integers + m->n_seen, m->owner, (size_t)m->l * sizeof *integers);
    void *data[ARRAYS] = {&h, integers, m->pairs, m->coef, m->x, m->columns, m->column_at, m->row};
    sizes_of(&h, bytes);
    for (int i = 0; i < ARRAYS; i++)
        a[i] = (saved_array){data[i], bytes[i]};
    const dal_status st = arrays_save(w, MAGIC, a, ARRAYS, err);
    m->host->free(m->host, integers);
    return st;
}

static dal_status damaged(const char *what, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, "", "a saved svm is damaged: its %s cannot be", what);
}

static dal_status check_head(const svm_machine *m, const saved_array *a, dal_error *err)
{
    const head *h = a[HEAD].data;
    int64_t bytes[ARRAYS], cells;
    if (a[HEAD].bytes != (int64_t)sizeof *h)
        return damaged("header", err);
    if (h->c != m->c || h->d != m->d || h->sparse != m->sparse)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "a saved svm of %lld classes and %s samples of %lld values; here there are %lld and %s ones of "
                        "%lld", (long long)h->c, h->sparse ? "sparse" : "dense", (long long)h->d, (long long)m->c,
                        m->sparse ? "sparse" : "dense", (long long)m->d);
    if (h->n_seen < 1 || h->n_seen > h->c || h->l < 0 || h->l > INT32_MAX || h->n_columns < 0 || h->n_columns > h->d ||
        h->n_values < 0 || h->n_values > (int64_t)1 << 40 || h->kernel.kind > SVM_POLY || h->kernel.platt > 1 ||
        h->kernel.degree < 1 || h->kernel.degree > 100 || !isfinite(h->kernel.gamma) || !isfinite(h->kernel.coef0))
        return damaged("header", err);
    if (!h->sparse && (!dal_size_mul(h->l, h->d, &cells) || cells != h->n_values || h->n_columns != 0))
        return damaged("number of values", err);
    sizes_of(h, bytes);
    for (int i = 0; i < ARRAYS; i++)
        if (a[i].bytes != bytes[i])
            return damaged("size", err);
    return DAL_OK;
}

static int ascend(const int32_t *x, int64_t n, int64_t below)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] < 0 || x[i] >= below || (i > 0 && x[i] <= x[i - 1]))
            return 0;
    return 1;
}

static int all_finite(const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return 0;
    return 1;
}

static dal_status check_arrays(const saved_array *a, dal_error *err)
{
    const head *h = a[HEAD].data;
    const int32_t *integers = a[INTEGERS].data, *row = a[ROW].data;
    const int64_t *column_at = a[COLUMN_AT].data;
    if (!ascend(integers, h->n_seen, h->c))
        return damaged("list of classes", err);
    for (int64_t s = h->n_seen; s < h->n_seen + h->l; s++)
        if (integers[s] < 0 || integers[s] >= h->n_seen)
            return damaged("list of owners", err);
    if (!all_finite(a[PAIRS].data, 3 * svm_n_pairs(h->n_seen)) || !all_finite(a[COEF].data, h->l * (h->n_seen - 1)))
        return damaged("coefficients", err);
    for (int64_t k = 0; h->sparse && k <= h->n_columns; k++)
        if (column_at[k] < (k > 0 ? column_at[k - 1] : 0) || column_at[k] > h->n_values ||
            (k == 0 && column_at[k] != 0))
            return damaged("list of columns", err);
    if (h->sparse && (column_at[h->n_columns] != h->n_values || !ascend(a[COLUMNS].data, h->n_columns, h->d)))
        return damaged("list of columns", err);
    for (int64_t k = 0; h->sparse && k < h->n_values; k++)
        if (row[k] < 0 || row[k] >= h->l)
            return damaged("list of rows", err);
    return arrays_finite("svm", a[VALUES].data, h->n_values, err);
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    svm_machine *m = &((svm *)self)->machine;
    saved_array a[ARRAYS];
    dal_status st = arrays_load(m->host, r, "svm", MAGIC, a, ARRAYS, err);
    if (st == DAL_OK)
        st = check_head(m, a, err);
    if (st == DAL_OK)
        st = check_arrays(a, err);
    if (st == DAL_OK) {
        const head *h = a[HEAD].data;
        svm_machine new = {.host = m->host, .kernel = h->kernel, .c = m->c, .d = m->d, .sparse = m->sparse,
                           .n_seen = h->n_seen, .l = h->l, .n_columns = h->n_columns, .pairs = a[PAIRS].data,
                           .coef = a[COEF].data, .x = a[VALUES].data, .columns = a[COLUMNS].data,
                           .column_at = a[COLUMN_AT].data, .row = a[ROW].data};
        for (int i = PAIRS; i < ARRAYS; i++)
            a[i].data = NULL;
        new.seen = dal_array(m->host, h->n_seen, sizeof *new.seen);
        new.owner = dal_array(m->host, h->l, sizeof *new.owner);
        if (new.seen && new.owner) {
            memcpy(new.seen, a[INTEGERS].data, (size_t)h->n_seen * sizeof *new.seen);
            memcpy(new.owner, (int32_t *)a[INTEGERS].data + h->n_seen, (size_t)h->l * sizeof *new.owner);
            st = svm_machine_measure(&new, err);
        } else {
            st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld support vectors", (long long)h->l);
        }
        svm_machine_forget(st == DAL_OK ? m : &new);
        if (st == DAL_OK)
            *m = new;
    }
    arrays_free(m->host, a, ARRAYS);
    return st;
}

MODEL_TABLE(DAL_PROBS)

#define COMPONENTS(C)                                                                                             \
    C(MODEL, "svm", impl, "support vector classifier: linear, rbf and poly kernels, probabilities",               \
      "Chang & Lin, ACM TIST 2011", "", MODEL_TABLE_PROVIDES, svm_options, PARAMS)
DAL_MODULE(svm, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
