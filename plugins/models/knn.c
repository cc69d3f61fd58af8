/* knn: the classes of the k nearest training samples.
 *
 * Cover & Hart, IEEE Trans. Information Theory 1967. P(y | x) is the share of class y among the k training samples of
 * least Euclidean distance (ties: the earlier in the training set), each counted once, or by 1 / distance (a sample at
 * distance 0 then counts alone), times its weight. Fewer than k samples: all of them. Features: the inputs.
 *
 * Distances come from matrix products in float, ||x||^2 + ||t||^2 - 2 <x, t>, and those of the nearest are computed
 * again from the differences. O(n d) a prediction; the training set is kept in memory.
 */
#include <dal/dense.h>
#include <dal/linalg.h>
#include <dal/model.h>

#include <math.h>

#include "array_file.h"
#include "model_table.h"

#define BLOCK 64   /* samples predicted at a time */
#define TILE 1024  /* training samples at a time */
#define MAGIC "DALNEAR1"
#define UNIFORM 0u

typedef struct options {
    int64_t k;
    uint32_t vote;
} options;

#define PARAMS(P, T)                                                                                              \
    P(T, k, I64, "5", "1..10000", "samples", "neighbours that vote")                                             \
    P(T, vote, CHOICE, "uniform", "uniform|distance", "", "each once, or by 1 / distance")

typedef struct knn {
    const dal_host *host;
    const options *opt;
    int64_t c, d, n; /* n 0: not fitted */
    float *x;        /* [n, d] */
    float *squares;  /* [n] */
    float *weights;  /* [n] */
    int32_t *classes;
} knn;

static dal_status create(const dal_host *host, const void *opts, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    int64_t d;
    const dal_status st = dal_dense_inputs(spec, "knn", &d, err);
    if (st != DAL_OK)
        return st;
    knn *m = dal_array(host, 1, sizeof *m);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    *m = (knn){.host = host, .opt = opts, .c = spec->n_classes, .d = d};
    *self = m;
    return DAL_OK;
}

static void forget(knn *m)
{
    m->n = 0;
    m->host->free(m->host, m->x);
    m->host->free(m->host, m->squares);
    m->host->free(m->host, m->weights);
    m->host->free(m->host, m->classes);
    m->x = m->squares = m->weights = NULL;
    m->classes = NULL;
}

static void destroy(void *self)
{
    knn *m = self;
    if (!m)
        return;
    forget(m);
    m->host->free(m->host, m);
}

/* ---- fit -------------------------------------------------------------------------------------- */

static dal_status allocate(knn *m, int64_t n, dal_error *err)
{
    int64_t cells;
    m->x = dal_size_mul(n, m->d, &cells) ? dal_array(m->host, cells, sizeof *m->x) : NULL;
    m->squares = dal_array(m->host, n, sizeof *m->squares);
    m->weights = dal_array(m->host, n, sizeof *m->weights);
    m->classes = dal_array(m->host, n, sizeof *m->classes);
    if (!m->x || !m->squares || !m->weights || !m->classes)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld training samples of %lld values", (long long)n,
                        (long long)m->d);
    return DAL_OK;
}

static void measure(knn *m, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        m->squares[i] = (float)dal_dot(m->x + i * m->d, m->x + i * m->d, m->d);
    m->n = n;
}

static dal_status fit(void *self, const dal_fit *f, dal_fit_report *report, dal_error *err)
{
    knn *m = self;
    const dal_samples *s = f->train;
    forget(m);
    dal_status st = dal_check_fit("knn", m->d, m->c, f, err);
    if (st != DAL_OK)
        return st;
    st = allocate(m, s->n, err);
    if (st == DAL_OK)
        st = dal_dense_rows_all(m->host, s, m->d, 0, m->x, err);
    for (int64_t i = 0; st == DAL_OK && i < s->n; i++) {
        m->classes[i] = s->classes[i];
        m->weights[i] = s->weights ? s->weights[i] : 1;
    }
    if (st == DAL_OK)
        measure(m, s->n);
    else
        forget(m);
    report->train_accuracy = -1;
    return st;
}

/* ---- predict ---------------------------------------------------------------------------------- */

/* The k nearest so far of one sample, a heap with the farthest first. */
typedef struct near {
    float distance; /* squared */
    int64_t row;
} near;

static int farther(const near *a, const near *b)
{
    return a->distance > b->distance || (a->distance == b->distance && a->row > b->row);
}

static void sink(near *heap, int64_t n, int64_t i)
{
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && farther(&heap[child + 1], &heap[child]))
            child++;
        if (!farther(&heap[child], &heap[i]))
            return;
        const near t = heap[i];
        heap[i] = heap[child];
        heap[child] = t;
    }
}

static void offer(near *heap, int64_t *n, int64_t k, near x)
{
    if (*n < k) {
        heap[(*n)++] = x;
        if (*n == k)
            for (int64_t i = k / 2 - 1; i >= 0; i--)
                sink(heap, k, i);
    } else if (farther(&heap[0], &x)) {
        heap[0] = x;
        sink(heap, k, 0);
    }
}

static double exact_distance(const knn *m, const float *x, int64_t row)
{
    return sqrt((double)dal_squared_distance(x, m->x + row * m->d, m->d));
}

static void vote(const knn *m, const float *x, const near *heap, int64_t n, float *out)
{
    double sum = 0;
    int alike = 0; /* some are x itself */
    for (int64_t k = 0; k < m->c; k++)
        out[k] = 0;
    for (int64_t i = 0; m->opt->vote != UNIFORM && i < n; i++)
        alike |= m->weights[heap[i].row] > 0 && !(exact_distance(m, x, heap[i].row) > 0);
    for (int64_t i = 0; i < n; i++) {
        const double distance = m->opt->vote == UNIFORM ? 1 : exact_distance(m, x, heap[i].row);
        const double w = (double)m->weights[heap[i].row], own = w == 0 || (alike && distance > 0) ? 0 : alike ? w
            : w / distance;
        sum += own;
        out[m->classes[heap[i].row]] += (float)own;
    }
    for (int64_t k = 0; k < m->c; k++)
        out[k] = sum > 0 ? (float)((double)out[k] / sum) : 1 / (float)m->c;
}

/* n <= BLOCK samples of x [BLOCK, d], all of which are multiplied: what a sample gives must not depend on how many
 * there are with it. products [BLOCK, TILE], heap [BLOCK, k] are scratch. */
static dal_status predict_block(const knn *m, const float *x, int64_t n, float *products, near *heap, float *out)
{
    const int64_t k = m->opt->k < m->n ? m->opt->k : m->n;
    int64_t found[BLOCK] = {0};
    dal_status st = DAL_OK;
    for (int64_t first = 0; st == DAL_OK && first < m->n; first += TILE) {
        const int64_t rows = m->n - first < TILE ? m->n - first : TILE;
        st = dal_gemm_nt(BLOCK, rows, m->d, -2, x, m->d, m->x + first * m->d, m->d, 0, products, TILE);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < rows; j++)
                offer(heap + i * k, &found[i], k, (near){products[i * TILE + j] + m->squares[first + j], first + j});
    }
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        vote(m, x + i * m->d, heap + i * k, k, out + i * m->c);
    return st;
}

static dal_status ready(const knn *m, const dal_batch *x, dal_error *err)
{
    if (m->n == 0)
        return dal_fail(err, DAL_E_CONTRACT, "", "knn has not been trained: fit or load comes first");
    return dal_check_width("knn", m->d, x->spec, err);
}

static dal_status predict_rows(const knn *m, const dal_batch *x, float *features, float *out, dal_error *err)
{
    float *rows = dal_array(m->host, BLOCK * m->d, sizeof *rows),
        *products = dal_array(m->host, BLOCK * TILE, sizeof *products);
    near *heap = dal_array(m->host, BLOCK * m->opt->k, sizeof *heap);
    dal_status st = rows && products && heap ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for distances");
    for (int64_t first = 0; st == DAL_OK && first < x->n; first += BLOCK) {
        const int64_t n = x->n - first < BLOCK ? x->n - first : BLOCK;
        memset(rows, 0, (size_t)(BLOCK * m->d) * sizeof *rows);
        dal_dense_read(x, first, n, rows);
        if (features)
            memcpy(features + first * m->d, rows, (size_t)(n * m->d) * sizeof *rows);
        if (out)
            st = predict_block(m, rows, n, products, heap, out + first * m->c);
    }
    m->host->free(m->host, rows);
    m->host->free(m->host, products);
    m->host->free(m->host, heap);
    return st;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const dal_status st = ready(self, x, err);
    return st == DAL_OK ? predict_rows(self, x, NULL, out, err) : st;
}

static dal_status features(void *self, const dal_batch *x, float *out, float *outputs, dal_error *err)
{
    const dal_status st = ready(self, x, err);
    return st == DAL_OK ? predict_rows(self, x, out, outputs, err) : st;
}

/* ---- the rest --------------------------------------------------------------------------------- */

#define ARRAYS 3

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    const knn *m = self;
    const saved_array a[ARRAYS] = {{m->x, m->n * m->d * (int64_t)sizeof *m->x},
                                   {m->weights, m->n * (int64_t)sizeof *m->weights},
                                   {m->classes, m->n * (int64_t)sizeof *m->classes}};
    if (m->n == 0)
        return dal_fail(err, DAL_E_CONTRACT, "", "knn has not been trained: there is nothing to save");
    return arrays_save(w, MAGIC, a, ARRAYS, err);
}

static dal_status check_arrays(const knn *m, const saved_array *a, dal_error *err)
{
    const int64_t n = a[2].bytes / (int64_t)sizeof(int32_t);
    const float *weights = a[1].data;
    const int32_t *classes = a[2].data;
    if (n < 1 || a[2].bytes % (int64_t)sizeof(int32_t) != 0 || a[1].bytes != a[2].bytes ||
        a[0].bytes % (int64_t)sizeof(float) != 0 || a[0].bytes / (int64_t)sizeof(float) / n != m->d ||
        a[0].bytes / (int64_t)sizeof(float) % n != 0)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "a saved knn of %lld samples in %lld bytes; here a sample has %lld values", (long long)n,
                        (long long)a[0].bytes, (long long)m->d);
    dal_status st = arrays_finite("knn", a[0].data, n * m->d, err);
    if (st == DAL_OK)
        st = arrays_finite("knn", weights, n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        if (classes[i] < 0 || classes[i] >= m->c || weights[i] < 0)
            st = dal_fail(err, DAL_E_FORMAT, "",
                          "a saved knn has a sample of class %d and weight %g; here there are classes 0..%lld",
                          (int)classes[i], (double)weights[i], (long long)m->c - 1);
    return st;
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    knn *m = self;
    saved_array a[ARRAYS];
    dal_status st = arrays_load(m->host, r, "knn", MAGIC, a, ARRAYS, err);
    if (st == DAL_OK)
        st = check_arrays(m, a, err);
    if (st == DAL_OK) {
        const int64_t n = a[2].bytes / (int64_t)sizeof(int32_t);
        float *squares = dal_array(m->host, n, sizeof *squares);
        if (!squares) {
            st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld training samples", (long long)n);
        } else {
            forget(m);
            m->x = a[0].data;
            m->weights = a[1].data;
            m->classes = a[2].data;
            m->squares = squares;
            a[0].data = a[1].data = a[2].data = NULL;
            measure(m, n);
        }
    }
    arrays_free(m->host, a, ARRAYS);
    return st;
}

static int64_t width(void *self)
{
    return ((const knn *)self)->d;
}

MODEL_TABLE(DAL_PROBS)

#define COMPONENTS(C)                                                                                             \
    C(MODEL, "knn", impl, "the classes of the k nearest training samples", "Cover & Hart, IEEE Trans. IT 1967", "", \
      MODEL_TABLE_PROVIDES, options, PARAMS)
DAL_MODULE(knn, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
