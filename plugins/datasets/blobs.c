/* blobs: vectors of known structure: Gaussian clusters, with outliers, duplicates and imbalance.
 *
 * The centres of the clusters are drawn from N(0, 1) in each coordinate; a class has several. Sample i of
 * a split is a pure function of (seed, split, i). In the pool, and there only:
 *   outliers    this part of the samples lies far off (N(0, 5^2) in each coordinate) with a random class;
 *   duplicates  this part are exact copies of an earlier sample, class included;
 *   imbalance   the share of class c is proportional to imbalance^(c / (C - 1)): the last class has this
 *               many samples for each of the first.
 */
#include <dal/dataset.h>

#include <math.h>

typedef struct options {
    int64_t n_train, n_test, d, n_classes, clusters_per_class, seed;
    double spread, outliers, duplicates, imbalance;
} options;

#define DRAWING 1u /* part of the fingerprint: another way to draw is another data set */
#define OUTSIDE 5.0/* standard deviation of outliers */

typedef struct blobs {
    const dal_host *host;
    const options *opt;
    int64_t n[DAL_SPLITS];
    dal_rng streams[DAL_SPLITS];
    float *centres; /* [n_classes * clusters_per_class, d] */
    double *shares; /* [n_classes] of the pool, cumulated, the last 1 */
} blobs;

/* What a sample is; the stream stands where its coordinates begin. */
typedef struct draw {
    int32_t cls;
    int64_t cluster; /* -1: an outlier */
    int64_t source;  /* the sample it copies, or itself */
    dal_rng r;
} draw;

/* All draws are made in one order, so that changing one fraction leaves the others' samples alone. */
static draw draw_sample(const blobs *self, uint32_t split, int64_t i)
{
    const options *o = self->opt;
    const int pool = split == DAL_SPLIT_TRAIN;
    for (;;) {
        dal_rng r = dal_rng_at(&self->streams[split], (uint64_t)i);
        const int copies = dal_rng_uniform(&r) < o->duplicates && pool && i > 0;
        const int64_t earlier = dal_rng_below(&r, i > 0 ? i : 1);
        if (copies) {
            i = earlier; /* which may be a copy itself; the chain ends at the latest with sample 0 */
            continue;
        }
        const int outlier = dal_rng_uniform(&r) < o->outliers && pool;
        const double u = dal_rng_uniform(&r);
        const int64_t cluster = dal_rng_below(&r, o->clusters_per_class);
        int64_t c = (int64_t)(u * (double)o->n_classes);
        if (pool && !outlier)
            for (c = 0; c < o->n_classes - 1 && u >= self->shares[c];)
                c++;
        return (draw){(int32_t)c, outlier ? -1 : cluster, i, r};
    }
}

static void fill(const blobs *self, draw s, float *out)
{
    const options *o = self->opt;
    const float *centre = self->centres + (s.cls * o->clusters_per_class + s.cluster) * o->d;
    for (int64_t j = 0; j < o->d; j++) {
        const double z = dal_rng_normal(&s.r);
        out[j] = (float)(s.cluster < 0 ? OUTSIDE * z : (double)centre[j] + o->spread * z);
    }
}

static void blobs_destroy(void *p)
{
    blobs *self = p;
    if (!self)
        return;
    self->host->free(self->host, self->centres);
    self->host->free(self->host, self->shares);
    self->host->free(self->host, self);
}

static void set_shares(blobs *self)
{
    const int64_t n = self->opt->n_classes;
    double sum = 0;
    for (int64_t c = 0; c < n; c++)
        self->shares[c] = sum += pow(self->opt->imbalance, n > 1 ? (double)c / (double)(n - 1) : 0);
    for (int64_t c = 0; c < n; c++)
        self->shares[c] /= sum;
}

static dal_status blobs_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                               dal_error *err)
{
    (void)input;
    int64_t n_centres = 0;
    blobs *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the dataset");
    *self = (blobs){.host = host, .opt = opt};
    const options *o = self->opt;
    self->n[DAL_SPLIT_TRAIN] = o->n_train;
    self->n[DAL_SPLIT_TEST] = o->n_test;
    const uint64_t key = dal_hash64((uint64_t)o->seed, "blobs", 5);
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        self->streams[k] = dal_rng_from_key(dal_hash64(key, &k, sizeof k));
    if (dal_size_mul(o->n_classes * o->clusters_per_class, o->d, &n_centres))
        self->centres = dal_array(host, n_centres, sizeof *self->centres);
    self->shares = dal_array(host, o->n_classes, sizeof *self->shares);
    if (!self->centres || !self->shares) {
        blobs_destroy(self);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld centres",
                        (long long)(o->n_classes * o->clusters_per_class));
    }
    dal_rng r = dal_rng_from_key(key);
    for (int64_t j = 0; j < n_centres; j++)
        self->centres[j] = (float)dal_rng_normal(&r);
    set_shares(self);
    *out = self;
    return DAL_OK;
}

static dal_status blobs_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const blobs *self = p;
    (void)err;
    info->spec = (dal_sample_spec){
        sizeof info->spec, DAL_VECTOR, DAL_F32, 1, {self->opt->d}, self->opt->n_classes};
    memcpy(info->n, self->n, sizeof info->n);
    info->class_names = NULL;
    return DAL_OK;
}

static dal_status blobs_classes(void *p, uint32_t split, const int64_t *ids, int64_t n, int32_t *out,
                                dal_error *err)
{
    const blobs *self = p;
    const dal_status st = dal_check_ids(self->n[split], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = draw_sample(self, split, ids[i]).cls;
    return st;
}

static dal_status blobs_read(void *p, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                             dal_error *err)
{
    const blobs *self = p;
    float *to = out->data;
    const dal_status st = dal_check_ids(self->n[split], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        fill(self, draw_sample(self, split, ids[i]), to + i * self->opt->d);
    return st;
}

static void blobs_describe(void *p, uint32_t split, int64_t id, char *out, size_t size)
{
    const draw s = draw_sample(p, split, id);
    if (s.source != id)
        snprintf(out, size, "%lld (copy of %lld)", (long long)id, (long long)s.source);
    else if (s.cluster < 0)
        snprintf(out, size, "%lld (outlier)", (long long)id);
    else
        snprintf(out, size, "%lld", (long long)id);
}

static dal_status blobs_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    const options *o = ((const blobs *)p)->opt;
    (void)err;
    const int64_t numbers[] = {o->n_train, o->n_test, o->d, o->n_classes, o->clusters_per_class, o->seed};
    const double reals[] = {o->spread, o->outliers, o->duplicates, o->imbalance};
    out[0] = dal_hash64(DRAWING, numbers, sizeof numbers);
    out[1] = dal_hash64(out[0], reals, sizeof reals);
    return DAL_OK;
}

static const dal_dataset_impl blobs_impl = {
    .struct_size = sizeof blobs_impl,
    .create = blobs_create,
    .destroy = blobs_destroy,
    .info = blobs_info,
    .classes = blobs_classes,
    .read = blobs_read,
    .describe = blobs_describe,
    .fingerprint = blobs_fingerprint,
};

#define PARAMS(P, T)                                                                                    \
    P(T, n_train, I64, "10000", "1..1000000000000", "samples", "size of the pool")                      \
    P(T, n_test, I64, "2000", "0..1000000000000", "samples", "size of the test split")                  \
    P(T, d, I64, "10", "1..1000000", "", "length of a vector")                                          \
    P(T, n_classes, I64, "5", "1..10000", "", "classes")                                                \
    P(T, clusters_per_class, I64, "3", "1..10000", "", "clusters of each class")                        \
    P(T, spread, F64, "0.7", "(0..", "", "standard deviation in a cluster; centres lie about 1.4 sqrt(d) apart") \
    P(T, outliers, F64, "0", "0..1", "", "part of the pool that lies far off, with random classes")     \
    P(T, duplicates, F64, "0", "0..1", "", "part of the pool that copies earlier samples")              \
    P(T, imbalance, F64, "1", "(0..1]", "", "size of the last class for each sample of the first, in the pool") \
    P(T, seed, I64, "0", "", "", "of the data alone: they do not change with the seed of the run")
#define COMPONENTS(C)                                                                                   \
    C(DATASET, "blobs", blobs_impl, "vectors in clusters, with outliers, duplicates and imbalance", "", "", \
      DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(blobs, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
