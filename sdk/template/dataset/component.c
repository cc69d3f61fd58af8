/* @ID@: points on concentric rings, one ring a class; made on the fly, no files.
 *
 *     sample i: class i mod C, radius 1 + class + noise * N(0, 1), angle uniform
 *
 * A sample is a pure function of (seed, split, i): reading in any order, any number of times and from any
 * thread gives the same numbers.
 */
#include <dal/dataset.h>

#include <math.h>

typedef struct options {
    int64_t seed, rings, train, test;
    double noise;
} options;

#define PARAMS(P, T)                                                                    \
    P(T, rings, I64, "3", "2..1000", "", "classes, one ring each")                      \
    P(T, train, I64, "600", "1..10000000", "samples", "size of the pool")               \
    P(T, test, I64, "300", "0..10000000", "samples", "size of the test split")          \
    P(T, noise, F64, "0.1", "0..100", "", "standard deviation of the radius")           \
    P(T, seed, I64, "1", "0..", "", "another seed, other points")

/* Nothing but the options is needed, but self must be ours to free. */
typedef struct rings {
    const dal_host *host;
    const options *options;
} rings;

static dal_status create(const dal_host *host, const void *given, const struct dal_dataset *input, void **self,
                         dal_error *err)
{
    (void)input; /* only transforms have one */
    rings *r = host->alloc(host, sizeof *r, 0);
    if (!r)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *r = (rings){host, given};
    *self = r;
    return DAL_OK;
}

static void destroy(void *self)
{
    rings *r = self;
    if (r)
        r->host->free(r->host, r);
}

static int64_t size_of(const rings *r, uint32_t split)
{
    return split == DAL_SPLIT_TRAIN ? r->options->train : split == DAL_SPLIT_TEST ? r->options->test : 0;
}

static dal_status info(void *self, dal_dataset_info *out, dal_error *err)
{
    const rings *r = self;
    (void)err;
    out->spec = (dal_sample_spec){.struct_size = sizeof out->spec, .modality = DAL_VECTOR, .dtype = DAL_F32,
                                  .ndim = 1, .shape = {2}, .n_classes = r->options->rings};
    for (uint32_t s = 0; s < DAL_SPLITS; s++)
        out->n[s] = size_of(r, s);
    out->class_names = NULL;
    return DAL_OK;
}

static dal_status check(const rings *r, uint32_t split, int64_t id, dal_error *err)
{
    if (split < DAL_SPLITS && id >= 0 && id < size_of(r, split))
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "", "there is no sample %lld in split %u", (long long)id, split);
}

static dal_status classes(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const rings *r = self;
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        st = check(r, split, ids[i], err);
        out[i] = (int32_t)(ids[i] % r->options->rings);
    }
    return st;
}

static dal_status read(void *self, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const rings *r = self;
    const dal_rng stream = dal_rng_from_key(dal_hash64((uint64_t)r->options->seed, &split, sizeof split));
    float *xy = out->data;
    for (int64_t i = 0; i < n; i++) {
        const dal_status st = check(r, split, ids[i], err);
        if (st)
            return st;
        dal_rng mine = dal_rng_at(&stream, (uint64_t)ids[i]);
        const double angle = 2 * 3.14159265358979323846 * dal_rng_uniform(&mine);
        const double radius =
            1.0 + (double)(ids[i] % r->options->rings) + r->options->noise * dal_rng_normal(&mine);
        xy[2 * i] = (float)(radius * cos(angle));
        xy[2 * i + 1] = (float)(radius * sin(angle));
    }
    return DAL_OK;
}

static const dal_dataset_impl impl = {
    .struct_size = sizeof(dal_dataset_impl),
    .create = create,
    .destroy = destroy,
    .info = info,
    .classes = classes,
    .read = read,
};

#define COMPONENTS(C) \
    C(DATASET, "@ID@", impl, "points on concentric rings", "", "", "", options, PARAMS)
DAL_MODULE(@MODULE@, "0.1", "MIT", COMPONENTS, NULL, NULL)
