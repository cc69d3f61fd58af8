/* random-forest: many trees, each on its own bootstrap sample, each node on a few features.
 *
 * Breiman, "Random forests", Machine Learning 2001; the trees are those of dal/forest.h: Gini's impurity, max_features
 * drawn at a node (and more until one parts it), grown until pure, to max_depth, or to leaves of min_leaf draws. P(y |
 * x) is the mean over the trees of the shares in the leaf of x, as scikit-learn's RandomForestClassifier. Weights of
 * samples count in impurities and leaves. Tree t draws from its own stream: the same bits with any number of threads.
 * The out-of-bag accuracy (each training sample judged by the trees that did not draw it) is logged. Features: the
 * inputs. O(trees * max_features * n log^2 n) time; n d values in memory while it is trained.
 */
#include <dal/dense.h>
#include <dal/forest.h>
#include <dal/model.h>

#include <math.h>

#include "array_file.h"
#include "model_table.h"

#define MAGIC "DALWOODS"
#define MAX_CLASSES 65536

typedef struct options {
    int64_t trees, max_depth;
    uint32_t max_features;
    int64_t min_leaf;
    int32_t bootstrap;
} options;

#define PARAMS(P, T)                                                                                              \
    P(T, trees, I64, "100", "1..100000", "trees", "how many")                                                    \
    P(T, max_depth, I64, "100", "1..1000", "", "splits on the longest way down, at most")                        \
    P(T, max_features, CHOICE, "sqrt", "sqrt|log2|all", "", "of d features, how many a node tries")              \
    P(T, min_leaf, I64, "1", "1..1000000", "samples", "drawn samples in a leaf, at least")                       \
    P(T, bootstrap, BOOL, "true", "", "", "each tree on n samples drawn with replacement; else on all")

typedef struct forest {
    const dal_host *host;
    const options *opt;
    int64_t c, d;
    dal_forest *trees; /* NULL: not fitted */
} forest;

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    int64_t d;
    dal_status st = dal_dense_inputs(spec, "random-forest", &d, err);
    if (st == DAL_OK && spec->n_classes > MAX_CLASSES)
        st = dal_fail(err, DAL_E_UNSUPPORTED, "", "random-forest takes up to %d classes; this dataset has %lld",
                      MAX_CLASSES, (long long)spec->n_classes);
    if (st != DAL_OK)
        return st;
    forest *m = dal_array(host, 1, sizeof *m);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    *m = (forest){.host = host, .opt = opts, .c = spec->n_classes, .d = d};
    *self = m;
    return DAL_OK;
}

static void destroy(void *self)
{
    forest *m = self;
    if (!m)
        return;
    dal_forest_free(m->trees);
    m->host->free(m->host, m);
}

/* ---- fit -------------------------------------------------------------------------------------- */

static int64_t features_per_split(const options *o, int64_t d)
{
    const double some = o->max_features == 0 ? sqrt((double)d) : o->max_features == 1 ? log2((double)d) : (double)d;
    return some < 1 ? 1 : (int64_t)some;
}

/* By the trees that did not draw a sample; samples that all drew do not count. */
static void tell_out_of_bag(const forest *m, const dal_matrix *x, const int32_t *classes)
{
    int64_t cells, judged = 0, right = 0;
    double *p = dal_size_mul(x->rows, m->c, &cells) ? dal_array(m->host, cells, sizeof *p) : NULL;
    if (!p) /* only told */
        return;
    dal_forest_out_of_bag_shares(m->trees, x, p);
    for (int64_t i = 0; i < x->rows; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < m->c; k++)
            best = p[i * m->c + k] > p[i * m->c + best] ? k : best;
        judged += !isnan(p[i * m->c]);
        right += !isnan(p[i * m->c]) && best == classes[i];
    }
    if (judged > 0)
        dal_logf(m->host, DAL_LOG_INFO, "out-of-bag accuracy %.4f, of %lld samples", (double)right / (double)judged,
                 (long long)judged);
    m->host->free(m->host, p);
}

static dal_status grow(forest *m, const dal_fit *f, const dal_matrix *x, const double *weights, dal_error *err)
{
    const options *o = m->opt;
    const dal_forest_spec spec = {.struct_size = sizeof spec, .bootstrap = o->bootstrap, .n_trees = o->trees,
                                  .max_depth = o->max_depth, .features_per_split = features_per_split(o, m->d),
                                  .min_leaf = o->min_leaf};
    const dal_rng stream = m->host->rng(m->host, "trees", f->round);
    const dal_status st = dal_forest_grow_classes(m->host, &spec, x, f->train->classes, weights, m->c, &stream,
                                                  &m->trees, err);
    if (st == DAL_OK && o->bootstrap)
        tell_out_of_bag(m, x, f->train->classes);
    return st;
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    forest *m = self;
    const dal_samples *s = f->train;
    int64_t cells = 0;
    dal_forest_free(m->trees);
    m->trees = NULL;
    report->train_accuracy = -1;
    dal_status st = dal_check_fit("random-forest", m->d, m->c, f, err);
    if (st != DAL_OK)
        return st;
    float *x = dal_size_mul(s->n, m->d, &cells) ? dal_array(m->host, cells, sizeof *x) : NULL;
    double *weights = s->weights ? dal_array(m->host, s->n, sizeof *weights) : NULL;
    if (!x || (s->weights && !weights))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld training samples of %lld values", (long long)s->n,
                      (long long)m->d);
    for (int64_t i = 0; weights && i < s->n; i++)
        weights[i] = (double)s->weights[i];
    if (st == DAL_OK)
        st = dal_dense_rows_all(m->host, s, m->d, 0, x, err);
    if (st == DAL_OK)
        st = grow(m, f, &(dal_matrix){x, s->n, m->d, m->d}, weights, err);
    m->host->free(m->host, x);
    m->host->free(m->host, weights);
    return st;
}

/* ---- predict ---------------------------------------------------------------------------------- */

static dal_status speak(const forest *m, const dal_batch *x, float *features, float *outputs, dal_error *err)
{
    if (!m->trees)
        return dal_fail(err, DAL_E_CONTRACT, "", "random-forest has not been trained: fit or load comes first");
    dal_status st = dal_check_width("random-forest", m->d, x->spec, err);
    if (st != DAL_OK)
        return st;
    float *row = dal_array(m->host, m->d, sizeof *row);
    double *shares = dal_array(m->host, m->c, sizeof *shares);
    if (!row || !shares)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld values", (long long)m->d);
    for (int64_t i = 0; st == DAL_OK && i < x->n; i++) {
        float *at = features ? features + i * m->d : row;
        dal_dense_read(x, i, 1, at);
        if (outputs)
            dal_forest_shares(m->trees, at, shares);
        for (int64_t k = 0; outputs && k < m->c; k++)
            outputs[i * m->c + k] = (float)shares[k];
    }
    m->host->free(m->host, row);
    m->host->free(m->host, shares);
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

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    const forest *m = self;
    if (!m->trees)
        return dal_fail(err, DAL_E_CONTRACT, "", "random-forest has not been trained: there is nothing to save");
    const int64_t bytes = dal_forest_pack(m->trees, NULL);
    char *data = dal_array(m->host, bytes, 1);
    if (!data)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to save %lld bytes", (long long)bytes);
    dal_forest_pack(m->trees, data);
    const dal_status st = arrays_save(w, MAGIC, &(saved_array){data, bytes}, 1, err);
    m->host->free(m->host, data);
    return st;
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    forest *m = self;
    saved_array a;
    dal_forest *trees = NULL;
    dal_status st = arrays_load(m->host, r, "random-forest", MAGIC, &a, 1, err);
    if (st == DAL_OK)
        st = dal_forest_unpack(m->host, a.data, a.bytes, &trees, err);
    if (st == DAL_OK && (dal_forest_features(trees) != m->d || dal_forest_classes(trees) != m->c)) {
        st = dal_fail(err, DAL_E_FORMAT, "",
                      "a saved random-forest of %lld classes and %lld values; here there are %lld of %lld",
                      (long long)dal_forest_classes(trees), (long long)dal_forest_features(trees), (long long)m->c,
                      (long long)m->d);
        dal_forest_free(trees);
    } else if (st == DAL_OK) {
        dal_forest_free(m->trees);
        m->trees = trees;
    }
    arrays_free(m->host, &a, 1);
    return st;
}

static int64_t width(void *self)
{
    return ((const forest *)self)->d;
}

MODEL_TABLE(DAL_PROBS)

#define COMPONENTS(C)                                                                                             \
    C(MODEL, "random-forest", impl, "trees on bootstrap samples, each node on a few features",                         \
      "Breiman, Machine Learning 2001", "", MODEL_TABLE_PROVIDES, options, PARAMS)
DAL_MODULE(random_forest, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
