/* subset: fewer samples of each split, chosen at random, in their old order.
 *
 * A size is a fraction of the split when it is below 1, else a count; 0 keeps everything. A balanced
 * subset has the same number of each class (a size that does not divide is rounded down; 0: as many as
 * the smallest class has) and no samples without a class.
 *
 * With `seed` 0 the choice follows the seed of the run, so that runs with several seeds see several
 * subsets; any other number fixes it.
 */
#include <dal/derived.h>

typedef struct options {
    double train, validation, test;
    int32_t balanced;
    int64_t seed;
} options;

typedef struct subset {
    dal_derived base;
    const options *opt;
} subset;

static const char *const size_keys[DAL_SPLITS] = {"train", "validation", "test"};

/* ---- choosing --------------------------------------------------------------------------------- */

/* Set the flags of k of the ids in order[n], at random. */
static void flag_some(dal_rng *r, int64_t *order, int64_t n, int64_t k, unsigned char *flags)
{
    dal_rng_shuffle(r, order, n, k);
    for (int64_t i = 0; i < k; i++)
        flags[order[i]] = 1;
}

/* As many of each class, about k in all. first: see dal_group_by_class. */
static dal_status flag_balanced(const subset *self, uint32_t split, dal_rng *r, int64_t *order,
                                const int64_t *first, int64_t k, unsigned char *flags, dal_error *err)
{
    const int64_t n_classes = self->base.info.spec.n_classes;
    int64_t smallest = 0;
    for (int64_t c = 1; c < n_classes; c++)
        if (first[c + 1] - first[c] < first[smallest + 1] - first[smallest])
            smallest = c;
    const int64_t least = first[smallest + 1] - first[smallest];
    const double *sizes[DAL_SPLITS] = {&self->opt->train, &self->opt->validation, &self->opt->test};
    const int64_t each = *sizes[split] > 0 ? k / n_classes : least;
    if (each == 0)
        return dal_fail(err, DAL_E_INVALID, size_keys[split],
                        "a balanced subset of %lld samples has none of each of %lld classes (class %lld has %lld)",
                        (long long)k, (long long)n_classes, (long long)smallest, (long long)least);
    if (each > least)
        return dal_fail(err, DAL_E_INVALID, size_keys[split],
                        "a balanced subset of %lld samples needs %lld of each class, but class %lld has %lld",
                        (long long)k, (long long)each, (long long)smallest, (long long)least);
    for (int64_t c = 0; c < n_classes; c++)
        flag_some(r, order + first[c], first[c + 1] - first[c], each, flags);
    return DAL_OK;
}

static dal_status choose_balanced(const subset *self, uint32_t split, dal_rng *r, int64_t k, int64_t *order,
                                  unsigned char *flags, dal_error *err)
{
    const dal_derived *d = &self->base;
    int32_t *classes = NULL;
    int64_t *first = dal_array(d->host, d->info.spec.n_classes + 2, sizeof *first);
    dal_status st = first ? dal_derived_classes_below(d, split, &classes, err)
                          : dal_fail(err, DAL_E_NOMEM, "", "no memory to sort %lld classes",
                                     (long long)d->info.spec.n_classes);
    if (st == DAL_OK) {
        dal_group_by_class(classes, d->below.n[split], d->info.spec.n_classes, order, first);
        st = flag_balanced(self, split, r, order, first, k, flags, err);
    }
    d->host->free(d->host, classes);
    d->host->free(d->host, first);
    return st;
}

static dal_status choose(subset *self, uint32_t split, double size, dal_rng r, dal_error *err)
{
    dal_derived *d = &self->base;
    const int64_t n = d->below.n[split];
    int64_t k;
    dal_status st = dal_derived_size(size, n, size_keys[split], "the split", &k, err);
    if (st != DAL_OK || n == 0 || (size == 0 && !self->opt->balanced))
        return st;
    int64_t *order = dal_array(d->host, n, sizeof *order);
    unsigned char *flags = dal_array(d->host, n, 1);
    if (!order || !flags) {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to choose from %lld samples", (long long)n);
        goto out;
    }
    memset(flags, 0, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    if (self->opt->balanced)
        st = choose_balanced(self, split, &r, k, order, flags, err);
    else
        flag_some(&r, order, n, k, flags);
    if (st == DAL_OK)
        st = dal_derived_keep(d, split, split, flags, 1, err);
out:
    d->host->free(d->host, flags);
    d->host->free(d->host, order);
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static dal_status subset_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                dal_error *err)
{
    const options *o = opt;
    const double sizes[DAL_SPLITS] = {o->train, o->validation, o->test};
    const dal_rng root = dal_derived_rng(host, o->seed, "subset");
    void *made = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(subset), &made, err);
    if (st != DAL_OK)
        return st;
    subset *self = made;
    self->opt = o;
    if (o->balanced && self->base.info.spec.n_classes == 0)
        st = dal_fail(err, DAL_E_INVALID, "balanced", "the dataset has no classes to balance");
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        st = choose(self, k, sizes[k], dal_rng_at(&root, k), err);
    if (st == DAL_OK)
        *out = self;
    else
        dal_derived_destroy(self);
    return st;
}

static const dal_dataset_impl subset_impl = {
    .struct_size = sizeof subset_impl, .create = subset_create, DAL_DERIVED_SLOTS};

#define PARAMS(P, T)                                                                                    \
    P(T, train, F64, "0", "0..", "samples", "size of the pool: a count, or a fraction below 1; 0: all") \
    P(T, validation, F64, "0", "0..", "samples", "size of the validation split, likewise")              \
    P(T, test, F64, "0", "0..", "samples", "size of the test split, likewise")                          \
    P(T, balanced, BOOL, "false", "", "", "the same number of samples of each class")                   \
    P(T, seed, I64, "0", "", "", "of the choice; 0: it follows the seed of the run")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "subset", subset_impl, "a random part of each split, balanced over the classes or not", "", \
      "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(subset, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
