/* redundancy: a part of the pool becomes copies of fewer originals, exact ones or with noise.
 *
 * As in DISTIL's redundancy experiments (and SIMILAR's): the pool is permuted, a share of it, 1 - fraction,
 * stays as it is. In the rest, each class with m samples keeps r = ceil(m / times) originals, and its sample
 * t = 0..m-1 becomes a copy of original t mod r. The pool keeps its size, and every place in it its class.
 * Samples of no known class are treated as a class of their own, those out of class as another.
 *
 * With noise s > 0 a copy (never the original) is its original plus normal numbers of deviation s, value by
 * value; u8 values are rounded and stay within 0..255. The noise is a function of the place in the pool, so
 * a sample is the same whenever it is read. Which samples are copies can be told from their names: a copy has
 * the name of its original.
 */
#include <dal/derived.h>

#include <math.h>

typedef struct options {
    double fraction, noise;
    int64_t times, seed;
} options;

typedef struct redundancy {
    dal_derived base;
    const options *opt;
    dal_rng noise; /* sub-stream i: of the sample at place i */
} redundancy;

/* ---- choosing --------------------------------------------------------------------------------- */

/* The m places of one class become copies of the first ceil(m / times) of them. */
static void repeat_first(const int64_t *places, int64_t m, int64_t times, int64_t *ids)
{
    const int64_t originals = m / times + (m % times != 0);
    for (int64_t t = originals; t < m; t++)
        ids[places[t]] = places[t % originals];
}

/* ids[n] are 0..n-1; order[n] is room for the permutation, places[n] for it sorted by class, first[C + 4]. */
static void make_copies(const redundancy *self, dal_rng r, int32_t *classes, int64_t *order, int64_t *places,
                        int64_t *first, int64_t *ids)
{
    const int64_t n = self->base.below.n[DAL_SPLIT_TRAIN], n_classes = self->base.below.spec.n_classes;
    const int64_t part = (int64_t)(self->opt->fraction * (double)n + 0.5);
    for (int64_t i = 0; i < n; i++)
        order[i] = ids[i] = i;
    dal_rng_shuffle(&r, order, n, n);
    /* the last `part` of the permutation, by class; those without one count as class C, or C + 1 */
    const int64_t *rest = order + (n - part);
    for (int64_t i = 0; i < n; i++)
        classes[i] = classes[i] >= 0 ? classes[i] : (int32_t)(n_classes + (classes[i] == DAL_LABEL_OOD));
    memset(first, 0, (size_t)(n_classes + 4) * sizeof *first);
    for (int64_t i = 0; i < part; i++)
        first[classes[rest[i]] + 2]++;
    for (int64_t c = 2; c < n_classes + 4; c++)
        first[c] += first[c - 1];
    for (int64_t i = 0; i < part; i++)
        places[first[classes[rest[i]] + 1]++] = rest[i];
    for (int64_t c = 0; c < n_classes + 2; c++)
        repeat_first(places + first[c], first[c + 1] - first[c], self->opt->times, ids);
}

static dal_status choose(redundancy *self, dal_rng r, dal_error *err)
{
    dal_derived *d = &self->base;
    const int64_t n = d->below.n[DAL_SPLIT_TRAIN];
    int32_t *classes = NULL;
    dal_status st = dal_derived_classes_below(d, DAL_SPLIT_TRAIN, &classes, err);
    if (st != DAL_OK)
        return st;
    int64_t *order = dal_array(d->host, n, sizeof *order), *places = dal_array(d->host, n, sizeof *places);
    int64_t *first = dal_array(d->host, d->below.spec.n_classes + 4, sizeof *first);
    int64_t *ids = d->ids[DAL_SPLIT_TRAIN] = dal_array(d->host, n, sizeof *ids);
    if (order && places && first && ids)
        make_copies(self, r, classes, order, places, first, ids);
    else
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory to choose from %lld samples", (long long)n);
    d->host->free(d->host, first);
    d->host->free(d->host, places);
    d->host->free(d->host, order);
    d->host->free(d->host, classes);
    return st;
}

/* ---- noise ------------------------------------------------------------------------------------ */

static void add_noise(const redundancy *self, int64_t place, void *data)
{
    const dal_sample_spec *spec = &self->base.info.spec;
    const int64_t n = dal_sample_values(spec);
    dal_rng r = dal_rng_at(&self->noise, (uint64_t)place);
    for (int64_t j = 0; j < n; j++) {
        const double e = self->opt->noise * dal_rng_normal(&r);
        if (spec->dtype == DAL_F32)
            ((float *)data)[j] = (float)((double)((float *)data)[j] + e);
        else
            ((unsigned char *)data)[j] =
                (unsigned char)fmin(255, fmax(0, rint((double)((unsigned char *)data)[j] + e)));
    }
}

static dal_status redundancy_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out,
                                  dal_error *err)
{
    const redundancy *self = p;
    const size_t bytes = (size_t)dal_sample_bytes(&self->base.info.spec);
    const dal_status st = dal_derived_read(p, k, ids, n, out, err);
    for (int64_t i = 0; i < n && st == DAL_OK && k == DAL_SPLIT_TRAIN && self->opt->noise > 0; i++)
        if (self->base.ids[k][ids[i]] != ids[i])
            add_noise(self, ids[i], (char *)out->data + (size_t)i * bytes);
    return st;
}

/* The noise is not in the ids. */
static dal_status redundancy_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    const redundancy *self = p;
    const dal_status st = dal_derived_fingerprint(p, out, err);
    if (st == DAL_OK && self->opt->noise > 0)
        out[0] = dal_hash64(out[0] ^ self->noise.key, &self->opt->noise, sizeof self->opt->noise);
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static dal_status redundancy_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                    dal_error *err)
{
    void *made = NULL;
    const options *o = opt;
    const dal_rng root = dal_derived_rng(host, o->seed, "redundancy");
    dal_status st = dal_derived_new(host, input, sizeof(redundancy), &made, err);
    if (st != DAL_OK)
        return st;
    redundancy *self = made;
    self->opt = o;
    self->noise = dal_rng_at(&root, 1);
    if (o->noise > 0 && dal_sample_bytes(&self->base.info.spec) == 0)
        st = dal_fail(err, DAL_E_INVALID, "noise", "noise is for vectors and images; expected 0, exact copies");
    if (st == DAL_OK)
        st = choose(self, dal_rng_at(&root, 0), err);
    if (st == DAL_OK)
        *out = self;
    else
        dal_derived_destroy(self);
    return st;
}

static const dal_dataset_impl redundancy_impl = {
    .struct_size = sizeof redundancy_impl,
    .create = redundancy_create,
    .destroy = dal_derived_destroy,
    .info = dal_derived_info,
    .classes = dal_derived_classes,
    .read = redundancy_read,
    .sizes = dal_derived_sizes,
    .describe = dal_derived_describe,
    .fingerprint = redundancy_fingerprint,
    .get_extension = dal_derived_get_extension,
};

#define PARAMS(P, T)                                                                                    \
    P(T, fraction, F64, "0.5", "0..1", "", "share of the pool that becomes originals and their copies") \
    P(T, times, I64, "20", "1..", "", "how often each original then stands in the pool, at most")       \
    P(T, noise, F64, "0", "0..", "", "deviation of the normal noise on copies, in units of the values; 0: exact") \
    P(T, seed, I64, "0", "", "", "of the choice and the noise; 0: it follows the seed of the run")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "redundancy", redundancy_impl, "a part of the pool repeats few originals",             \
      "the redundancy experiments of DISTIL; Kothawade et al., NeurIPS 2021 (arXiv:2107.00717)", "",    \
      DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(redundancy, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
