/* gbdt: gradient-boosted decision trees, on XGBoost.
 *
 * Friedman, Annals of Statistics 2001; Chen & Guestrin, "XGBoost", KDD 2016: each round adds a tree for each class,
 * grown on histograms of max_bins bins to lower the second-order expansion of the softmax loss; outputs are the sums of
 * the leaves, logits. Names and defaults of the parameters are XGBoost's. Weights of samples are divided by their mean.
 *
 * XGBoost trains on one thread: with more its sums depend on how many. What it trained is read back tree by tree and
 * kept as our own nodes, so that predictions run on all threads and a saved model is checked before it is believed.
 * NaN is a missing value: each split sends it the way on which it did better in training. Features: the inputs; what is
 * missing is there the mean of the training samples. O(rounds c n d) time; about 5 n d bytes while it is trained.
 */
#include <dal/dense.h>
#include <dal/model.h>

#include <math.h>

#ifdef DAL_HAVE_XGBOOST
#include <jansson.h>
#include <xgboost/c_api.h>
#endif

#include "array_file.h"
#include "model_table.h"

#define MAGIC "DALBOOS2"
#define MAX_CLASSES 4096

typedef struct options {
    int64_t rounds;
    double learning_rate;
    int64_t max_depth;
    double min_child_weight, lambda, subsample, colsample;
    int64_t max_bins;
} options;

#define PARAMS(P, T)                                                                                              \
    P(T, rounds, I64, "100", "1..100000", "rounds", "of boosting: a tree for each class")                        \
    P(T, learning_rate, F64, "0.3", "(0..1]", "", "what a tree counts")                                          \
    P(T, max_depth, I64, "6", "1..30", "", "splits on the longest way down, at most")                            \
    P(T, min_child_weight, F64, "1", "0..", "", "sum of second derivatives in a leaf, at least")                 \
    P(T, lambda, F64, "1", "0..", "", "L2 penalty of the leaves")                                                \
    P(T, subsample, F64, "1", "(0..1]", "", "part of the samples each tree sees")                                \
    P(T, colsample, F64, "1", "(0..1]", "", "part of the values each tree sees")                                 \
    P(T, max_bins, I64, "256", "2..65536", "bins", "of the histograms")

/* x[feature] < value: child, else child + 1, as when it is missing. When that is to go to the first of the two, child
 * is written as ~child. feature -1: a leaf of this value. */
typedef struct tree_node {
    float value;
    int32_t feature, child;
} tree_node;

typedef struct gbdt {
    const dal_host *host;
    const options *opt;
    int64_t c, d, n_trees, n_nodes; /* n_trees 0: not fitted */
    tree_node *nodes;               /* [n_nodes] tree by tree, roots first, children behind their parents */
    int64_t *tree_at;               /* [n_trees + 1] */
    int32_t *tree_class;            /* [n_trees] */
    float *means;                   /* [d] of the values that the training samples have */
} gbdt;

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    int64_t d;
#ifndef DAL_HAVE_XGBOOST
    return dal_fail(err, DAL_E_UNSUPPORTED, "",
                    "this dalhost was built without XGBoost: install libxgboost-dev, configure and build again");
#endif
    dal_status st = dal_dense_inputs(spec, "gbdt", &d, err);
    if (st == DAL_OK && spec->n_classes > MAX_CLASSES)
        st = dal_fail(err, DAL_E_UNSUPPORTED, "", "gbdt takes up to %d classes; this dataset has %lld", MAX_CLASSES,
                      (long long)spec->n_classes);
    if (st != DAL_OK)
        return st;
    gbdt *m = dal_array(host, 1, sizeof *m);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    *m = (gbdt){.host = host, .opt = opts, .c = spec->n_classes, .d = d};
    *self = m;
    return DAL_OK;
}

static void forget(gbdt *m)
{
    m->host->free(m->host, m->nodes);
    m->host->free(m->host, m->tree_at);
    m->host->free(m->host, m->tree_class);
    m->host->free(m->host, m->means);
    m->means = NULL;
    m->nodes = NULL;
    m->tree_at = NULL;
    m->tree_class = NULL;
    m->n_trees = m->n_nodes = 0;
}

static void destroy(void *self)
{
    gbdt *m = self;
    if (!m)
        return;
    forget(m);
    m->host->free(m->host, m);
}

/* ---- fit -------------------------------------------------------------------------------------- */

#ifdef DAL_HAVE_XGBOOST

static dal_status failed(const char *what, dal_error *err)
{
    const char *why = XGBGetLastError();
    return dal_fail(err, DAL_E_INVALID, "", "XGBoost %s: %.*s", what, (int)strcspn(why, "\n"), why);
}

static dal_status configure(const gbdt *m, BoosterHandle b, int64_t round, dal_error *err)
{
    const options *o = m->opt;
    char values[11][32];
    static const char *const names[11] = {"num_class", "eta", "max_depth", "min_child_weight", "lambda", "subsample",
                                          "colsample_bytree", "max_bin", "seed", "nthread", "verbosity"};
    dal_rng rng = m->host->rng(m->host, "trees", round);
    snprintf(values[0], sizeof values[0], "%lld", (long long)m->c);
    snprintf(values[1], sizeof values[1], "%.17g", o->learning_rate);
    snprintf(values[2], sizeof values[2], "%lld", (long long)o->max_depth);
    snprintf(values[3], sizeof values[3], "%.17g", o->min_child_weight);
    snprintf(values[4], sizeof values[4], "%.17g", o->lambda);
    snprintf(values[5], sizeof values[5], "%.17g", o->subsample);
    snprintf(values[6], sizeof values[6], "%.17g", o->colsample);
    snprintf(values[7], sizeof values[7], "%lld", (long long)o->max_bins);
    snprintf(values[8], sizeof values[8], "%u", (unsigned)(dal_rng_u32(&rng) >> 1));
    snprintf(values[9], sizeof values[9], "1");
    snprintf(values[10], sizeof values[10], "0");
    int bad = XGBoosterSetParam(b, "objective", "multi:softprob") | XGBoosterSetParam(b, "tree_method", "hist");
    for (int i = 0; i < 11; i++)
        bad |= XGBoosterSetParam(b, names[i], values[i]);
    return bad ? failed("does not take its parameters", err) : DAL_OK;
}

/* 0 where no sample has a value. */
static dal_status find_means(gbdt *m, const float *x, int64_t n, dal_error *err)
{
    m->host->free(m->host, m->means);
    m->means = dal_array(m->host, m->d, sizeof *m->means);
    if (!m->means)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld values", (long long)m->d);
    for (int64_t j = 0; j < m->d; j++) {
        double sum = 0;
        int64_t there = 0;
        for (int64_t i = 0; i < n; i++)
            if (!isnan(x[i * m->d + j])) {
                sum += (double)x[i * m->d + j];
                there++;
            }
        m->means[j] = there > 0 ? (float)(sum / (double)there) : 0;
    }
    return DAL_OK;
}

static dal_status give_samples(gbdt *m, const dal_samples *s, DMatrixHandle *out, dal_error *err)
{
    const dal_host *h = m->host;
    int64_t cells = 0;
    float *x = dal_size_mul(s->n, m->d, &cells) ? dal_array(h, cells, sizeof *x) : NULL;
    float *of_each = dal_array(h, s->n, sizeof *of_each);
    dal_status st = x && of_each ? dal_dense_rows_all(h, s, m->d, 1, x, err)
                                 : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld training samples",
                                            (long long)s->n);
    if (st == DAL_OK)
        st = find_means(m, x, s->n, err);
    if (st == DAL_OK && XGDMatrixCreateFromMat_omp(x, (bst_ulong)s->n, (bst_ulong)m->d, NAN, out, 1))
        st = failed("does not take the samples", err);
    for (int64_t i = 0; st == DAL_OK && i < s->n; i++)
        of_each[i] = (float)s->classes[i];
    if (st == DAL_OK && XGDMatrixSetFloatInfo(*out, "label", of_each, (bst_ulong)s->n))
        st = failed("does not take the classes", err);
    const double mean = dal_mean_weight(s);
    for (int64_t i = 0; st == DAL_OK && s->weights && i < s->n; i++)
        of_each[i] = (float)((double)s->weights[i] / mean);
    if (st == DAL_OK && s->weights && XGDMatrixSetFloatInfo(*out, "weight", of_each, (bst_ulong)s->n))
        st = failed("does not take the weights", err);
    h->free(h, x);
    h->free(h, of_each);
    return st;
}

static dal_status odd(dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, "",
                    "XGBoost's trees are not laid out as those of versions 1.6 to 2; another libxgboost is needed");
}

static int64_t number(const json_t *list, int64_t i)
{
    const json_t *v = json_array_get(list, (size_t)i);
    return json_is_boolean(v) ? json_is_true(v) : (int64_t)json_number_value(v);
}

/* One tree, breadth first, behind the nodes that are there. queue [its nodes]. */
static dal_status read_tree(gbdt *m, const json_t *tree, int64_t *queue, dal_error *err)
{
    const json_t *left = json_object_get(tree, "left_children"), *right = json_object_get(tree, "right_children");
    const json_t *feature = json_object_get(tree, "split_indices"), *value = json_object_get(tree, "split_conditions");
    const json_t *missing_left = json_object_get(tree, "default_left");
    const int64_t n = (int64_t)json_array_size(left);
    int64_t last = 1;
    if (n < 1 || (int64_t)json_array_size(right) != n || (int64_t)json_array_size(feature) != n ||
        (int64_t)json_array_size(value) != n || (int64_t)json_array_size(missing_left) != n)
        return odd(err);
    queue[0] = 0;
    for (int64_t i = 0; i < last; i++) {
        const int64_t at = queue[i], l = number(left, at), r = number(right, at), f = number(feature, at);
        tree_node *node = m->nodes + m->n_nodes + i;
        *node = (tree_node){(float)json_number_value(json_array_get(value, (size_t)at)), l < 0 ? -1 : (int32_t)f,
                            (int32_t)last};
        if (!isfinite(node->value))
            return dal_fail(err, DAL_E_DIVERGED, "",
                            "a tree's value is not finite: lower learning_rate, or scale the inputs");
        if (l < 0)
            continue;
        if (l >= n || r < 0 || r >= n || last + 2 > n || f < 0 || f >= m->d)
            return odd(err);
        if (number(missing_left, at))
            node->child = ~node->child;
        queue[last++] = l;
        queue[last++] = r;
    }
    m->n_nodes += last;
    return DAL_OK;
}

static dal_status read_trees(gbdt *m, const json_t *model, dal_error *err)
{
    const json_t *trees = json_object_get(model, "trees"), *classes = json_object_get(model, "tree_info");
    const int64_t n = (int64_t)json_array_size(trees);
    int64_t nodes = 0, *queue = NULL;
    if (n < 1 || (int64_t)json_array_size(classes) != n)
        return odd(err);
    for (int64_t t = 0; t < n; t++)
        nodes += (int64_t)json_array_size(json_object_get(json_array_get(trees, (size_t)t), "left_children"));
    m->nodes = dal_array(m->host, nodes, sizeof *m->nodes);
    m->tree_at = dal_array(m->host, n + 1, sizeof *m->tree_at);
    m->tree_class = dal_array(m->host, n, sizeof *m->tree_class);
    queue = dal_array(m->host, nodes, sizeof *queue);
    dal_status st = m->nodes && m->tree_at && m->tree_class && queue ? DAL_OK
        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld trees",
                                                                                         (long long)n);
    for (int64_t t = 0; t < n && st == DAL_OK; t++) {
        const int64_t class = number(classes, t);
        m->tree_at[t] = m->n_nodes;
        m->tree_class[t] = (int32_t)class;
        st = class < 0 || class >= m->c ? odd(err) : read_tree(m, json_array_get(trees, (size_t)t), queue, err);
    }
    m->host->free(m->host, queue);
    if (st != DAL_OK)
        return st;
    m->tree_at[n] = m->n_nodes;
    m->n_trees = n;
    return DAL_OK;
}

static dal_status keep(gbdt *m, BoosterHandle b, dal_error *err)
{
    const char *text;
    bst_ulong size;
    json_error_t bad;
    if (XGBoosterSaveModelToBuffer(b, "{\"format\": \"json\"}", &size, &text))
        return failed("does not tell its trees", err);
    json_t *all = json_loadb(text, (size_t)size, 0, &bad);
    const json_t *model = json_object_get(json_object_get(json_object_get(all, "learner"), "gradient_booster"),
                                          "model");
    const dal_status st = model ? read_trees(m, model, err) : odd(err);
    json_decref(all);
    return st;
}

static dal_status boost(gbdt *m, BoosterHandle b, DMatrixHandle x, dal_fit_report *report, dal_error *err)
{
    const dal_host *h = m->host;
    for (int64_t r = 0; r < m->opt->rounds; r++) {
        if (h->cancelled(h))
            return dal_fail(err, DAL_E_CANCELLED, "", "stopped in round %lld", (long long)r);
        if (XGBoosterUpdateOneIter(b, (int)r, x))
            return failed("does not train", err);
        h->progress(h, r + 1, m->opt->rounds, "rounds");
    }
    report->epochs = report->steps = m->opt->rounds;
    return keep(m, b, err);
}

static dal_status train(gbdt *m, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    DMatrixHandle x = NULL;
    BoosterHandle b = NULL;
    XGBSetGlobalConfig("{\"verbosity\": 0}");
    dal_status st = give_samples(m, f->train, &x, err);
    if (st == DAL_OK && XGBoosterCreate(&x, 1, &b))
        st = failed("does not begin", err);
    if (st == DAL_OK)
        st = configure(m, b, f->round, err);
    if (st == DAL_OK)
        st = boost(m, b, x, report, err);
    if (b)
        XGBoosterFree(b);
    if (x)
        XGDMatrixFree(x);
    return st;
}

#else

static dal_status train(gbdt *m, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    (void)m, (void)f, (void)report;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "this dalhost was built without XGBoost");
}

#endif

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    gbdt *m = self;
    forget(m);
    report->train_accuracy = -1;
    dal_status st = dal_check_fit("gbdt", m->d, m->c, f, err);
    if (st == DAL_OK)
        st = train(m, f, report, err);
    if (st != DAL_OK)
        forget(m);
    return st;
}

/* ---- predict ---------------------------------------------------------------------------------- */

static void outputs_of(const gbdt *m, const float *x, double *sums, float *out)
{
    for (int64_t k = 0; k < m->c; k++)
        sums[k] = 0;
    for (int64_t t = 0; t < m->n_trees; t++) {
        const tree_node *root = m->nodes + m->tree_at[t], *n = root;
        while (n->feature >= 0) {
            const float v = x[n->feature];
            n = n->child < 0 ? root + ~n->child + (v >= n->value) : root + n->child + !(v < n->value);
        }
        sums[m->tree_class[t]] += (double)n->value;
    }
    for (int64_t k = 0; k < m->c; k++)
        out[k] = (float)sums[k];
}

static dal_status speak(const gbdt *m, const dal_batch *x, float *features, float *outputs, dal_error *err)
{
    if (m->n_trees == 0)
        return dal_fail(err, DAL_E_CONTRACT, "", "gbdt has not been trained: fit or load comes first");
    dal_status st = dal_check_width("gbdt", m->d, x->spec, err);
    if (st != DAL_OK)
        return st;
    float *row = dal_array(m->host, m->d, sizeof *row);
    double *sums = dal_array(m->host, m->c, sizeof *sums);
    if (!row || !sums)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld values", (long long)m->d);
    for (int64_t i = 0; st == DAL_OK && i < x->n; i++) {
        float *at = features ? features + i * m->d : row;
        dal_dense_read(x, i, 1, at);
        if (outputs)
            outputs_of(m, at, sums, outputs + i * m->c);
        for (int64_t j = 0; features && j < m->d; j++)
            at[j] = isnan(at[j]) ? m->means[j] : at[j];
    }
    m->host->free(m->host, row);
    m->host->free(m->host, sums);
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

/* ---- the rest --------------------------------------------------------------------------------- */

#define ARRAYS 5

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    const gbdt *m = self;
    int64_t shape[2] = {m->c, m->d};
    const saved_array a[ARRAYS] = {{shape, (int64_t)sizeof shape},
                                   {m->nodes, m->n_nodes * (int64_t)sizeof *m->nodes},
                                   {m->tree_at, (m->n_trees + 1) * (int64_t)sizeof *m->tree_at},
                                   {m->tree_class, m->n_trees * (int64_t)sizeof *m->tree_class},
                                   {m->means, m->d * (int64_t)sizeof *m->means}};
    if (m->n_trees == 0)
        return dal_fail(err, DAL_E_CONTRACT, "", "gbdt has not been trained: there is nothing to save");
    return arrays_save(w, MAGIC, a, ARRAYS, err);
}

static int tree_is_sound(const gbdt *m, const tree_node *root, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t child = root[i].child < 0 ? ~root[i].child : root[i].child;
        if (!isfinite(root[i].value) || root[i].feature < -1 || root[i].feature >= m->d ||
            (root[i].feature >= 0 && (child <= i || child >= n - 1)))
            return 0;
    }
    return 1;
}

static dal_status check_arrays(const gbdt *m, const saved_array *a, dal_error *err)
{
    const int64_t *shape = a[0].data, *tree_at = a[2].data;
    const int64_t n_nodes = a[1].bytes / (int64_t)sizeof(tree_node), n = a[3].bytes / (int64_t)sizeof(int32_t);
    if (a[0].bytes != 2 * (int64_t)sizeof *shape || n < 1 || a[3].bytes % (int64_t)sizeof(int32_t) != 0 ||
        a[1].bytes % (int64_t)sizeof(tree_node) != 0 || a[2].bytes != (n + 1) * (int64_t)sizeof *tree_at)
        return dal_fail(err, DAL_E_FORMAT, "", "a saved gbdt is damaged: its sizes cannot be");
    if (shape[0] != m->c || shape[1] != m->d || a[4].bytes != m->d * (int64_t)sizeof *m->means)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "a saved gbdt of %lld classes and %lld values; here there are %lld of %lld",
                        (long long)shape[0], (long long)shape[1], (long long)m->c, (long long)m->d);
    for (int64_t t = 0; t < n; t++) {
        const int32_t class = ((const int32_t *)a[3].data)[t];
        if ((t == 0 && tree_at[0] != 0) || tree_at[t + 1] <= tree_at[t] || tree_at[t + 1] > n_nodes || class < 0 ||
            class >= m->c || !tree_is_sound(m, (const tree_node *)a[1].data + tree_at[t], tree_at[t + 1] - tree_at[t]))
            return dal_fail(err, DAL_E_FORMAT, "", "a saved gbdt is damaged: tree %lld cannot be", (long long)t);
    }
    return arrays_finite("gbdt", a[4].data, m->d, err);
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    gbdt *m = self;
    saved_array a[ARRAYS];
    dal_status st = arrays_load(m->host, r, "gbdt", MAGIC, a, ARRAYS, err);
    if (st == DAL_OK)
        st = check_arrays(m, a, err);
    if (st == DAL_OK) {
        forget(m);
        m->nodes = a[1].data;
        m->tree_at = a[2].data;
        m->tree_class = a[3].data;
        m->n_trees = a[3].bytes / (int64_t)sizeof *m->tree_class;
        m->n_nodes = a[1].bytes / (int64_t)sizeof *m->nodes;
        m->means = a[4].data;
        a[1].data = a[2].data = a[3].data = a[4].data = NULL;
    }
    arrays_free(m->host, a, ARRAYS);
    return st;
}

static int64_t width(void *self)
{
    return ((const gbdt *)self)->d;
}

MODEL_TABLE(DAL_LOGITS)

#define COMPONENTS(C)                                                                                             \
    C(MODEL, "gbdt", impl, "gradient-boosted decision trees, by XGBoost", "Chen & Guestrin, KDD 2016", "",        \
      MODEL_TABLE_PROVIDES " " DAL_CAP_MISSING, options, PARAMS)
DAL_MODULE(gbdt, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
