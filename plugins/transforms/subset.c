/* subset: fewer samples of each split, chosen at random, in their old order.
 *
 * A size is a fraction of the split when it is below 1, else a count; 0 keeps everything. A balanced
 * subset has the same number of each class (a size that does not divide is rounded down; 0: as many as
 * the smallest class has) and no samples without a class.
 *
 * With `seed` 0 the choice follows the seed of the run, so that runs with several seeds see several
 * subsets; any other number fixes it.
 */
#include <dal/dataset.h>

typedef struct options {
    double train, validation, test;
    int32_t balanced;
    int64_t seed;
} options;

typedef struct subset {
    const dal_host *host;
    const options *opt;
    const dal_dataset *input;
    dal_dataset_info info;      /* of the input, but for n */
    int64_t *kept[DAL_SPLITS];  /* [info.n] ids below, ascending; NULL: all of them */
} subset;

static const char *const size_keys[DAL_SPLITS] = {"train", "validation", "test"};

/* ---- choosing --------------------------------------------------------------------------------- */

/* How many of n samples the user wants. */
static dal_status wanted(double size, int64_t n, const char *key, int64_t *out, dal_error *err)
{
    *out = size < 1 ? (int64_t)(size * (double)n + 0.5) : size <= 0x1p53 ? (int64_t)size : INT64_MAX;
    if (size == 0)
        *out = n;
    if (size >= 1 && (double)*out != size)
        return dal_fail(err, DAL_E_INVALID, key, "found %g, expected a whole number or a fraction below 1", size);
    if (*out > n)
        return dal_fail(err, DAL_E_INVALID, key, "%lld samples wanted, but the split has %lld", (long long)*out,
                        (long long)n);
    if (n > 0 && *out == 0)
        return dal_fail(err, DAL_E_INVALID, key, "a fraction of %g of %lld samples is none", size, (long long)n);
    return DAL_OK;
}

/* Keep the ids whose flag is set, in order. */
static dal_status keep_flagged(subset *self, uint32_t split, const unsigned char *flags, int64_t n, int64_t k,
                               dal_error *err)
{
    int64_t at = 0;
    int64_t *kept = self->kept[split] = dal_array(self->host, k, sizeof *kept);
    if (!kept)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a list of %lld samples", (long long)k);
    for (int64_t i = 0; i < n; i++)
        if (flags[i])
            kept[at++] = i;
    self->info.n[split] = k;
    return DAL_OK;
}

/* Set the flags of k of the ids in order[n], at random. */
static void flag_some(dal_rng *r, int64_t *order, int64_t n, int64_t k, unsigned char *flags)
{
    dal_rng_shuffle(r, order, n, k);
    for (int64_t i = 0; i < k; i++)
        flags[order[i]] = 1;
}

/* order[] gets the ids of each class one after the other; first[c] .. first[c + 1] - 1 are class c's. */
static dal_status group_by_class(const subset *self, const int32_t *classes, int64_t n, int64_t *order,
                                 int64_t *first, dal_error *err)
{
    const int64_t n_classes = self->info.spec.n_classes;
    memset(first, 0, (size_t)(n_classes + 2) * sizeof *first);
    for (int64_t i = 0; i < n; i++) {
        if (classes[i] >= n_classes)
            return dal_fail(err, DAL_E_CONTRACT, "", "sample %lld has class %d of %lld", (long long)i, classes[i],
                            (long long)n_classes);
        if (classes[i] >= 0)
            first[classes[i] + 2]++;
    }
    for (int64_t c = 2; c < n_classes + 2; c++)
        first[c] += first[c - 1];
    for (int64_t i = 0; i < n; i++) /* first[c + 1] runs from the start of class c to its end */
        if (classes[i] >= 0)
            order[first[classes[i] + 1]++] = i;
    return DAL_OK;
}

static dal_status flag_balanced(const subset *self, uint32_t split, dal_rng *r, int64_t *order,
                                const int64_t *first, int64_t *k, unsigned char *flags, dal_error *err)
{
    const int64_t n_classes = self->info.spec.n_classes;
    int64_t smallest = 0;
    for (int64_t c = 1; c < n_classes; c++)
        if (first[c + 1] - first[c] < first[smallest + 1] - first[smallest])
            smallest = c;
    const int64_t least = first[smallest + 1] - first[smallest];
    const double *sizes[DAL_SPLITS] = {&self->opt->train, &self->opt->validation, &self->opt->test};
    const int64_t each = *sizes[split] > 0 ? *k / n_classes : least;
    if (each == 0)
        return dal_fail(err, DAL_E_INVALID, size_keys[split],
                        "a balanced subset of %lld samples has none of each of %lld classes (class %lld has %lld)",
                        (long long)*k, (long long)n_classes, (long long)smallest, (long long)least);
    if (each > least)
        return dal_fail(err, DAL_E_INVALID, size_keys[split],
                        "a balanced subset of %lld samples needs %lld of each class, but class %lld has %lld",
                        (long long)*k, (long long)each, (long long)smallest, (long long)least);
    for (int64_t c = 0; c < n_classes; c++)
        flag_some(r, order + first[c], first[c + 1] - first[c], each, flags);
    *k = each * n_classes;
    return DAL_OK;
}

static dal_status choose(subset *self, uint32_t split, double size, dal_rng r, dal_error *err)
{
    const dal_host *host = self->host;
    const int64_t n = self->info.n[split], n_classes = self->info.spec.n_classes;
    int64_t k, *order = NULL, *first = NULL;
    int32_t *classes = NULL;
    unsigned char *flags = NULL;
    dal_status st = wanted(size, n, size_keys[split], &k, err);
    if (st != DAL_OK || n == 0 || (size == 0 && !self->opt->balanced))
        return st;
    order = dal_array(host, n, sizeof *order);
    flags = dal_array(host, n, 1);
    classes = dal_array(host, n, sizeof *classes);
    first = dal_array(host, n_classes + 2, sizeof *first);
    if (!order || !flags || !classes || !first) {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to choose from %lld samples", (long long)n);
        goto out;
    }
    memset(flags, 0, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    if (self->opt->balanced) {
        st = self->input->impl->classes(self->input->self, split, order, n, classes, err);
        if (st == DAL_OK)
            st = group_by_class(self, classes, n, order, first, err);
        if (st == DAL_OK)
            st = flag_balanced(self, split, &r, order, first, &k, flags, err);
    } else {
        flag_some(&r, order, n, k, flags);
    }
    if (st == DAL_OK)
        st = keep_flagged(self, split, flags, n, k, err);
out:
    host->free(host, first);
    host->free(host, classes);
    host->free(host, flags);
    host->free(host, order);
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static void subset_destroy(void *p)
{
    subset *self = p;
    if (!self)
        return;
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        self->host->free(self->host, self->kept[k]);
    self->host->free(self->host, self);
}

static dal_status subset_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                dal_error *err)
{
    if (!input)
        return dal_fail(err, DAL_E_CONTRACT, "", "a transform needs a dataset to transform");
    subset *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    *self = (subset){.host = host, .opt = opt, .input = input, .info = {.struct_size = sizeof self->info}};
    const options *o = self->opt;
    const double sizes[DAL_SPLITS] = {o->train, o->validation, o->test};
    const dal_rng root = o->seed ? dal_rng_from_key(dal_hash64((uint64_t)o->seed, "subset", 6))
                                 : host->rng(host, "subset", 0);
    dal_status st = input->impl->info(input->self, &self->info, err);
    if (st == DAL_OK && o->balanced && self->info.spec.n_classes == 0)
        st = dal_fail(err, DAL_E_INVALID, "balanced", "the dataset has no classes to balance");
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        st = choose(self, k, sizes[k], dal_rng_at(&root, k), err);
    if (st == DAL_OK)
        *out = self;
    else
        subset_destroy(self);
    return st;
}

static dal_status subset_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const uint32_t size = info->struct_size;
    (void)err;
    *info = ((const subset *)p)->info;
    info->struct_size = size;
    return DAL_OK;
}

/* The ids below of ids[n]: *below is ids itself where nothing is mapped, else the caller's to free. */
static dal_status map_ids(const subset *self, uint32_t split, const int64_t *ids, int64_t n,
                          int64_t **mapped, const int64_t **below, dal_error *err)
{
    const int64_t *kept = self->kept[split];
    const dal_status st = dal_check_ids(self->info.n[split], ids, n, err);
    *mapped = NULL;
    *below = ids;
    if (st != DAL_OK || !kept)
        return st;
    *below = *mapped = dal_array(self->host, n, sizeof **mapped);
    if (!*mapped)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)n);
    for (int64_t i = 0; i < n; i++)
        (*mapped)[i] = kept[ids[i]];
    return DAL_OK;
}

static dal_status subset_classes(void *p, uint32_t split, const int64_t *ids, int64_t n, int32_t *out,
                                 dal_error *err)
{
    const subset *self = p;
    const dal_dataset *in = self->input;
    const int64_t *below;
    int64_t *mapped;
    dal_status st = map_ids(self, split, ids, n, &mapped, &below, err);
    if (st == DAL_OK)
        st = in->impl->classes(in->self, split, below, n, out, err);
    self->host->free(self->host, mapped);
    return st;
}

static dal_status subset_read(void *p, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                              dal_error *err)
{
    const subset *self = p;
    const dal_dataset *in = self->input;
    const int64_t *below;
    int64_t *mapped;
    dal_status st = map_ids(self, split, ids, n, &mapped, &below, err);
    if (st == DAL_OK)
        st = in->impl->read(in->self, split, below, n, out, err);
    self->host->free(self->host, mapped);
    return st;
}

static dal_status subset_sizes(void *p, uint32_t split, const int64_t *ids, int64_t n, int64_t *out,
                               dal_error *err)
{
    const subset *self = p;
    const dal_dataset *in = self->input;
    const int64_t *below;
    int64_t *mapped;
    if (!DAL_HAS(dal_dataset_impl, in->impl, sizes))
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "samples of this dataset are all of one size");
    dal_status st = map_ids(self, split, ids, n, &mapped, &below, err);
    if (st == DAL_OK)
        st = in->impl->sizes(in->self, split, below, n, out, err);
    self->host->free(self->host, mapped);
    return st;
}

/* The name or the number that the sample has below. */
static void subset_describe(void *p, uint32_t split, int64_t id, char *out, size_t size)
{
    const subset *self = p;
    const dal_dataset *in = self->input;
    if (id >= 0 && id < self->info.n[split] && self->kept[split])
        id = self->kept[split][id];
    if (DAL_HAS(dal_dataset_impl, in->impl, describe))
        in->impl->describe(in->self, split, id, out, size);
    else
        snprintf(out, size, "%lld", (long long)id);
}

static dal_status subset_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    const subset *self = p;
    const dal_dataset *in = self->input;
    if (!DAL_HAS(dal_dataset_impl, in->impl, fingerprint))
        return DAL_E_UNSUPPORTED;
    const dal_status st = in->impl->fingerprint(in->self, out, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++) {
        const size_t bytes = self->kept[k] ? (size_t)self->info.n[k] * sizeof(int64_t) : 0;
        out[0] = dal_hash64(out[0] + k, self->kept[k] ? self->kept[k] : &self->info.n[k], bytes);
        out[1] = dal_hash64(out[1], out, sizeof *out);
    }
    return st;
}

static const dal_dataset_impl subset_impl = {
    .struct_size = sizeof subset_impl,
    .create = subset_create,
    .destroy = subset_destroy,
    .info = subset_info,
    .classes = subset_classes,
    .read = subset_read,
    .sizes = subset_sizes,
    .describe = subset_describe,
    .fingerprint = subset_fingerprint,
};

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
