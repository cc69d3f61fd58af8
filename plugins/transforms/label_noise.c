/* label-noise and missing-labels: a pool whose labels are wrong, or not there.
 *
 * label-noise: a sample of class c gets a class drawn from row c of a C x C matrix T:
 *     symmetric   T[c][c] = 1 - rate, T[c][j] = rate / (C-1)
 *     pair        T[c][c] = 1 - rate, T[c][(c+1) mod C] = rate
 *     matrix      as given, row by row, each row summing to 1
 *     instance    a row of its own for each sample x (Xia et al., NeurIPS 2020, Algorithm 2): q is drawn from the
 *                 normal distribution N(rate, deviation^2) cut to [0, 1], W_c [d, C] for each class c from N(0, 1), and
 *                 T[c][c] = 1 - q, T[c][j] = q exp(z_j) / sum over k != c of exp(z_k), z = x W_c
 * (u8 values count as 0..1; x may be sparse.) With a deviation of 0 each sample errs at the rate; with the published
 * 0.1 the mean of q is above a rate near 0, and below one near 1.
 * The draw is a function of the place in the pool, and for `instance` of what is there. Validation and test keep their
 * true labels, so what is measured is measured on the truth; the oracle that answers from the dataset hands out the
 * wrong labels, the same whenever it is asked. (Its own `noise` errs on top of that.)
 *
 * missing-labels: exactly round(fraction n) of the n samples whose class is known lose it, over all of them or,
 * `stratified`, that share of each class. Asked for one, that oracle abstains.
 */
#include <dal/derived.h>
#include <dal/linalg.h>

#include <math.h>

enum { SYMMETRIC, PAIR, MATRIX, INSTANCE };

typedef struct noise_options {
    uint32_t kind;
    double rate, deviation;
    dal_f64_list matrix;
    int64_t seed;
} noise_options;

typedef struct missing_options {
    double fraction;
    int32_t stratified;
    int64_t seed;
} missing_options;

/* ---- label-noise ------------------------------------------------------------------------------ */

static dal_status check_matrix(const noise_options *o, int64_t c, dal_error *err)
{
    int64_t cells = 0;
    if (o->kind != MATRIX && o->matrix.n > 0)
        return dal_fail(err, DAL_E_INVALID, "matrix", "there is a matrix, but kind is not matrix");
    if (o->kind != MATRIX)
        return DAL_OK;
    if (!dal_size_mul(c, c, &cells) || o->matrix.n != cells)
        return dal_fail(err, DAL_E_INVALID, "matrix", "%lld numbers, expected %lld x %lld for %lld classes",
                        (long long)o->matrix.n, (long long)c, (long long)c, (long long)c);
    for (int64_t i = 0; i < c; i++) {
        double sum = 0;
        for (int64_t j = 0; j < c; j++)
            sum += o->matrix.items[i * c + j];
        if (fabs(sum - 1) > 1e-6)
            return dal_fail(err, DAL_E_INVALID, "matrix", "row %lld sums to %g, expected 1", (long long)i, sum);
    }
    return DAL_OK;
}

/* The class that a row of the matrix gives to u in [0, 1). */
static int32_t from_row(const double *row, int64_t c, double u)
{
    double sum = 0;
    int32_t last = 0; /* of the classes that can occur: rounding may leave u above the sum */
    for (int64_t j = 0; j < c; j++) {
        if (row[j] > 0)
            last = (int32_t)j;
        sum += row[j];
        if (u < sum)
            return last;
    }
    return last;
}

/* ---- a row for each sample --------------------------------------------------------------------- */

/* Blocks of the samples of one class, and what their values give. */
typedef struct instances {
    const dal_derived *d;
    const noise_options *o;
    dal_rng root;
    int64_t width, block; /* values of a sample; samples read at once */
    int64_t *order, *first;
    float *weights;       /* [width, C] of one class */
    float *z;             /* [block, C] */
    double *row;          /* [C] */
    float *x;             /* [block, width] of dense samples */
    unsigned char *bytes; /* [block, width] of u8 ones */
    int64_t *offsets;     /* [block + 1] of sparse ones */
} instances;

static void free_instances(instances *s)
{
    const dal_host *host = s->d->host;
    host->free(host, s->order);
    host->free(host, s->first);
    host->free(host, s->weights);
    host->free(host, s->z);
    host->free(host, s->row);
    host->free(host, s->x);
    host->free(host, s->bytes);
    host->free(host, s->offsets);
}

/* To be freed whether it succeeds or not. */
static dal_status make_instances(instances *s, dal_error *err)
{
    enum { VALUES = 1 << 22, MOST = 256 };
    const dal_derived *d = s->d;
    const dal_sample_spec *spec = &d->below.spec;
    const int64_t n = d->below.n[DAL_SPLIT_TRAIN], c = spec->n_classes, most = VALUES / (s->width > c ? s->width : c);
    int64_t cells = -1;
    s->block = most < 1 ? 1 : most < MOST ? most : MOST;
    const int64_t dense = spec->modality == DAL_SPARSE ? 0 : s->block * s->width;
    if (dal_size_mul(s->width, c, &cells))
        s->weights = dal_array(d->host, cells, sizeof *s->weights);
    s->order = dal_array(d->host, n, sizeof *s->order);
    s->first = dal_array(d->host, c + 2, sizeof *s->first);
    s->z = dal_array(d->host, s->block * c, sizeof *s->z);
    s->row = dal_array(d->host, c, sizeof *s->row);
    s->x = dal_array(d->host, dense, sizeof *s->x);
    s->bytes = dal_array(d->host, spec->dtype == DAL_U8 ? dense : 0, 1);
    s->offsets = dal_array(d->host, s->block + 1, sizeof *s->offsets);
    if (!s->weights || !s->order || !s->first || !s->z || !s->row || !s->x || !s->bytes || !s->offsets)
        return dal_fail(err, DAL_E_NOMEM, "kind", "no memory for weights of %lld values and %lld classes",
                        (long long)s->width, (long long)c);
    return DAL_OK;
}

/* z = x W of m dense samples. */
static dal_status project_dense(const instances *s, const int64_t *ids, int64_t m, dal_error *err)
{
    const dal_dataset *in = s->d->input;
    const dal_sample_spec *spec = &s->d->below.spec;
    const int u8 = spec->dtype == DAL_U8;
    dal_batch b = {sizeof b, 0, spec, m, u8 ? (void *)s->bytes : (void *)s->x, NULL, NULL};
    const dal_status st = in->impl->read(in->self, DAL_SPLIT_TRAIN, ids, m, &b, err);
    for (int64_t i = 0; u8 && i < m * s->width; i++)
        s->x[i] = (float)s->bytes[i] / 255;
    return st == DAL_OK ? dal_gemm_nn(m, spec->n_classes, s->width, 1, s->x, s->width, s->weights, spec->n_classes, 0,
                                      s->z, spec->n_classes)
                        : st;
}

/* Likewise of sparse ones. */
static dal_status project_sparse(const instances *s, const int64_t *ids, int64_t m, dal_error *err)
{
    const dal_host *host = s->d->host;
    const dal_dataset *in = s->d->input;
    const int64_t c = s->d->below.spec.n_classes;
    dal_status st = in->impl->sizes(in->self, DAL_SPLIT_TRAIN, ids, m, s->offsets + 1, err);
    s->offsets[0] = 0;
    for (int64_t i = 0; i < m && st == DAL_OK; i++)
        s->offsets[i + 1] += s->offsets[i];
    if (st != DAL_OK)
        return st;
    const int64_t n = s->offsets[m];
    float *values = dal_array(host, n, sizeof *values);
    int32_t *columns = dal_array(host, n, sizeof *columns);
    dal_batch b = {sizeof b, 0, &s->d->below.spec, m, values, s->offsets, columns};
    st = values && columns ? in->impl->read(in->self, DAL_SPLIT_TRAIN, ids, m, &b, err)
                           : dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)m);
    memset(s->z, 0, (size_t)(m * c) * sizeof *s->z);
    for (int64_t i = 0; i < m && st == DAL_OK; i++)
        for (int64_t k = s->offsets[i]; k < s->offsets[i + 1] && st == DAL_OK; k++) {
            if (columns[k] < 0 || columns[k] >= s->width)
                st = dal_fail(err, DAL_E_CONTRACT, "", "a sample has column %d of %lld", (int)columns[k],
                              (long long)s->width);
            for (int64_t j = 0; j < c && st == DAL_OK; j++)
                s->z[i * c + j] += values[k] * s->weights[columns[k] * c + j];
        }
    host->free(host, columns);
    host->free(host, values);
    return st;
}

/* The row of a sample of class y whose z is given, when it errs at the rate q. */
static dal_status make_row(const float *z, int64_t c, int32_t y, double q, int64_t id, double *row, dal_error *err)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < c; j++) {
        if (!isfinite(z[j]))
            return dal_fail(err, DAL_E_INVALID, "kind", "the values of sample %lld are no numbers, or too large",
                            (long long)id);
        most = j != y ? fmax(most, (double)z[j]) : most;
    }
    for (int64_t j = 0; j < c; j++)
        sum += row[j] = j == y ? 0 : exp((double)z[j] - most);
    for (int64_t j = 0; j < c; j++)
        row[j] *= q / sum;
    row[y] = 1 - q;
    return DAL_OK;
}

/* What the samples ids[m] of class y are called instead. */
static dal_status rename_block(const instances *s, const int64_t *ids, int64_t m, int32_t y, int32_t *classes,
                               dal_error *err)
{
    const int64_t c = s->d->below.spec.n_classes;
    dal_status st = s->d->below.spec.modality == DAL_SPARSE ? project_sparse(s, ids, m, err)
                                                            : project_dense(s, ids, m, err);
    for (int64_t i = 0; i < m && st == DAL_OK; i++) {
        dal_rng r = dal_rng_at(&s->root, (uint64_t)ids[i]);
        double q;
        do
            q = s->o->rate + s->o->deviation * dal_rng_normal(&r);
        while (q < 0 || q > 1);
        st = make_row(s->z + i * c, c, y, q, ids[i], s->row, err);
        if (st == DAL_OK)
            classes[ids[i]] = from_row(s->row, c, dal_rng_uniform(&r));
    }
    return st;
}

static dal_status rename_instances(const dal_derived *d, const noise_options *o, int32_t *classes, dal_error *err)
{
    const dal_sample_spec *spec = &d->below.spec;
    const dal_rng weights = dal_derived_rng(d->host, o->seed, "label-noise weights");
    instances s = {.d = d, .o = o, .root = dal_derived_rng(d->host, o->seed, "label-noise"),
                   .width = dal_sample_values(spec)};
    if (spec->modality == DAL_TEXT)
        return dal_fail(err, DAL_E_UNSUPPORTED, "kind",
                        "instance noise is made from numbers, the dataset has text; put tf-idf or hashing before it");
    dal_status st = make_instances(&s, err);
    if (st == DAL_OK)
        dal_group_by_class(classes, d->below.n[DAL_SPLIT_TRAIN], spec->n_classes, s.order, s.first);
    for (int64_t y = 0; y < spec->n_classes && st == DAL_OK; y++) {
        dal_rng r = dal_rng_at(&weights, (uint64_t)y);
        for (int64_t i = 0; i < s.width * spec->n_classes; i++)
            s.weights[i] = (float)dal_rng_normal(&r);
        for (int64_t at = s.first[y]; at < s.first[y + 1] && st == DAL_OK; at += s.block) {
            const int64_t left = s.first[y + 1] - at;
            st = d->host->cancelled(d->host)
                     ? dal_fail(err, DAL_E_CANCELLED, "", "interrupted")
                     : rename_block(&s, s.order + at, left < s.block ? left : s.block, (int32_t)y, classes, err);
        }
    }
    free_instances(&s);
    return st;
}

/* ---- the same for all of a class ---------------------------------------------------------------- */

static int32_t noisy(const noise_options *o, int32_t cls, int64_t c, dal_rng r)
{
    const double u = dal_rng_uniform(&r);
    if (o->kind == MATRIX)
        return from_row(o->matrix.items + cls * c, c, u);
    if (u >= o->rate)
        return cls;
    return (int32_t)((cls + (o->kind == PAIR ? 1 : 1 + dal_rng_below(&r, c - 1))) % c);
}

static dal_status noise_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                               dal_error *err)
{
    const noise_options *o = opt;
    const dal_rng root = dal_derived_rng(host, o->seed, "label-noise");
    void *self = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(dal_derived), &self, err);
    if (st != DAL_OK)
        return st;
    dal_derived *d = self;
    const int64_t c = d->below.spec.n_classes;
    if (c < 2)
        st = dal_fail(err, DAL_E_INVALID, "", "the dataset has %lld classes, expected 2 or more", (long long)c);
    if (st == DAL_OK)
        st = check_matrix(o, c, err);
    if (st == DAL_OK)
        st = dal_derived_classes_below(d, DAL_SPLIT_TRAIN, &d->classes[DAL_SPLIT_TRAIN], err);
    int32_t *classes = d->classes[DAL_SPLIT_TRAIN];
    if (st == DAL_OK && o->kind == INSTANCE)
        st = rename_instances(d, o, classes, err);
    for (int64_t i = 0; i < d->info.n[DAL_SPLIT_TRAIN] && st == DAL_OK && o->kind != INSTANCE; i++)
        if (classes[i] >= 0)
            classes[i] = noisy(o, classes[i], c, dal_rng_at(&root, (uint64_t)i));
    if (st == DAL_OK)
        *out = self;
    else
        dal_derived_destroy(self);
    return st;
}

/* ---- missing-labels --------------------------------------------------------------------------- */

static void drop_some(int32_t *classes, int64_t *order, int64_t n, double fraction, dal_rng r)
{
    const int64_t k = (int64_t)(fraction * (double)n + 0.5);
    dal_rng_shuffle(&r, order, n, k);
    for (int64_t i = 0; i < k; i++)
        classes[order[i]] = DAL_LABEL_NONE;
}

static dal_status drop_labels(dal_derived *d, const missing_options *o, dal_rng root, dal_error *err)
{
    const int64_t n = d->info.n[DAL_SPLIT_TRAIN], c = d->below.spec.n_classes;
    int32_t *classes = d->classes[DAL_SPLIT_TRAIN];
    dal_status st = DAL_OK;
    int64_t *order = dal_array(d->host, n, sizeof *order), *first = dal_array(d->host, c + 2, sizeof *first);
    if (!order || !first) {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to choose from %lld samples", (long long)n);
    } else {
        dal_group_by_class(classes, n, c, order, first);
        for (int64_t k = 0; k < c && o->stratified; k++)
            drop_some(classes, order + first[k], first[k + 1] - first[k], o->fraction,
                      dal_rng_at(&root, (uint64_t)k));
        if (!o->stratified)
            drop_some(classes, order, first[c], o->fraction, root);
    }
    d->host->free(d->host, first);
    d->host->free(d->host, order);
    return st;
}

static dal_status missing_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                 dal_error *err)
{
    const missing_options *o = opt;
    void *self = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(dal_derived), &self, err);
    if (st != DAL_OK)
        return st;
    dal_derived *d = self;
    st = dal_derived_classes_below(d, DAL_SPLIT_TRAIN, &d->classes[DAL_SPLIT_TRAIN], err);
    if (st == DAL_OK)
        st = drop_labels(d, o, dal_derived_rng(host, o->seed, "missing-labels"), err);
    if (st == DAL_OK)
        *out = self;
    else
        dal_derived_destroy(self);
    return st;
}

static const dal_dataset_impl noise_impl = {
    .struct_size = sizeof noise_impl, .create = noise_create, DAL_DERIVED_SLOTS};
static const dal_dataset_impl missing_impl = {
    .struct_size = sizeof missing_impl, .create = missing_create, DAL_DERIVED_SLOTS};

#define NOISE_PARAMS(P, T)                                                                              \
    P(T, kind, CHOICE, "symmetric", "symmetric|pair|matrix|instance", "",                               \
      "wrong labels are any other class alike, always the next one (the last: the first), as matrix says, or " \
      "what the values of the sample make likely")                                                      \
    P(T, rate, F64, "0.2", "0..1", "", "share of wrong labels (but for matrix)")                        \
    P(T, deviation, F64, "0.1", "0..1", "", "of the rates of single samples (instance)")                \
    P(T, matrix, F64S, "", "0..1", "",                                                                  \
      "the chance of each label for each true class: C rows of C, one after the other")                 \
    P(T, seed, I64, "0", "", "", "of the labels; 0: it follows the seed of the run")
#define MISSING_PARAMS(P, T)                                                                            \
    P(T, fraction, F64, "0.5", "0..1", "", "of the pool's labels that go missing")                      \
    P(T, stratified, BOOL, "false", "", "", "the same share of each class")                             \
    P(T, seed, I64, "0", "", "", "of the choice; 0: it follows the seed of the run")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "label-noise", noise_impl, "wrong labels in the pool",                                 \
      "instance: Xia et al., NeurIPS 2020 (arXiv:2006.07836)", "", DAL_CAP_CONCURRENT, noise_options, \
      NOISE_PARAMS)                                                                                     \
    C(TRANSFORM, "missing-labels", missing_impl, "labels missing in the pool", "", "", DAL_CAP_CONCURRENT, \
      missing_options, MISSING_PARAMS)
DAL_MODULE(label_noise, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
