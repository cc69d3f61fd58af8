/* label-noise and missing-labels: a pool whose labels are wrong, or not there.
 *
 * label-noise: a sample of class c gets a class drawn from row c of a C x C matrix T:
 *     symmetric   T[c][c] = 1 - rate, T[c][j] = rate / (C-1)
 *     pair        T[c][c] = 1 - rate, T[c][(c+1) mod C] = rate
 *     matrix      as given, row by row, each row summing to 1
 * The draw is a function of the place in the pool alone. Validation and test keep their true labels, so what is
 * measured is measured on the truth; the oracle that answers from the dataset hands out the wrong labels,
 * the same whenever it is asked. (Its own `noise` errs on top of that.)
 *
 * missing-labels: exactly round(fraction n) of the n samples whose class is known lose it, over all of them or,
 * `stratified`, that share of each class. Asked for one, that oracle abstains.
 */
#include <dal/derived.h>

#include <math.h>

enum { SYMMETRIC, PAIR, MATRIX };

typedef struct noise_options {
    uint32_t kind;
    double rate;
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
    for (int64_t i = 0; i < d->info.n[DAL_SPLIT_TRAIN] && st == DAL_OK; i++)
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
    P(T, kind, CHOICE, "symmetric", "symmetric|pair|matrix", "",                                        \
      "wrong labels are any other class alike, always the next one (the last: the first), or as matrix says") \
    P(T, rate, F64, "0.2", "0..1", "", "share of wrong labels (symmetric, pair)")                       \
    P(T, matrix, F64S, "", "0..1", "",                                                                  \
      "the chance of each label for each true class: C rows of C, one after the other")                 \
    P(T, seed, I64, "0", "", "", "of the labels; 0: it follows the seed of the run")
#define MISSING_PARAMS(P, T)                                                                            \
    P(T, fraction, F64, "0.5", "0..1", "", "of the pool's labels that go missing")                      \
    P(T, stratified, BOOL, "false", "", "", "the same share of each class")                             \
    P(T, seed, I64, "0", "", "", "of the choice; 0: it follows the seed of the run")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "label-noise", noise_impl, "wrong labels in the pool", "", "", DAL_CAP_CONCURRENT,     \
      noise_options, NOISE_PARAMS)                                                                      \
    C(TRANSFORM, "missing-labels", missing_impl, "labels missing in the pool", "", "", DAL_CAP_CONCURRENT, \
      missing_options, MISSING_PARAMS)
DAL_MODULE(label_noise, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
