/* @ID@: Gaussian noise on every value of the pool; the test split is left alone.
 *
 *     x'_j = x_j + sd * N(0, 1)
 *
 * The noise of sample i is a pure function of (run seed, i), so a sample looks the same whenever it is read.
 * Samples are dense f32; put `scale` before it for images of bytes.
 */
#include <dal/dataset.h>

#include <math.h>

typedef struct options {
    double sd;
} options;

#define PARAMS(P, T) P(T, sd, F64, "0.1", "0..1e6", "", "standard deviation of the noise")

typedef struct noise {
    const dal_host *host;
    const options *options;
    const dal_dataset *input;
    dal_rng stream;
    int64_t values; /* of one sample */
} noise;

static dal_status create(const dal_host *host, const void *given, const struct dal_dataset *input, void **self,
                         dal_error *err)
{
    dal_dataset_info info = {.struct_size = sizeof info};
    const dal_status st = input->impl->info(input->self, &info, err);
    if (st)
        return st;
    if (dal_sample_bytes(&info.spec) <= 0 || info.spec.dtype != DAL_F32)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "takes dense f32 samples; put the transform 'scale' before it");
    noise *t = host->alloc(host, sizeof *t, 0);
    if (!t)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *t = (noise){host, given, input, host->rng(host, "noise", 0), dal_sample_values(&info.spec)};
    *self = t;
    return DAL_OK;
}

static void destroy(void *self)
{
    noise *t = self;
    if (t)
        t->host->free(t->host, t);
}

static dal_status info(void *self, dal_dataset_info *out, dal_error *err)
{
    const noise *t = self;
    return t->input->impl->info(t->input->self, out, err);
}

static dal_status classes(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const noise *t = self;
    return t->input->impl->classes(t->input->self, split, ids, n, out, err);
}

static dal_status read(void *self, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const noise *t = self;
    const dal_status st = t->input->impl->read(t->input->self, split, ids, n, out, err);
    if (st || split == DAL_SPLIT_TEST)
        return st;
    const dal_rng of_split = dal_rng_at(&t->stream, split);
    float *x = out->data;
    for (int64_t i = 0; i < n; i++) {
        dal_rng mine = dal_rng_at(&of_split, (uint64_t)ids[i]);
        for (int64_t j = 0; j < t->values; j++)
            x[i * t->values + j] += (float)(t->options->sd * dal_rng_normal(&mine));
    }
    return DAL_OK;
}

static void describe(void *self, uint32_t split, int64_t id, char *out, size_t size)
{
    const noise *t = self;
    if (DAL_HAS(dal_dataset_impl, t->input->impl, describe))
        t->input->impl->describe(t->input->self, split, id, out, size);
    else
        snprintf(out, size, "%lld", (long long)id);
}

static const dal_dataset_impl impl = {
    .struct_size = sizeof(dal_dataset_impl),
    .create = create,
    .destroy = destroy,
    .info = info,
    .classes = classes,
    .read = read,
    .describe = describe,
};

#define COMPONENTS(C) \
    C(TRANSFORM, "@ID@", impl, "Gaussian noise on every value", "", "", "", options, PARAMS)
DAL_MODULE(@MODULE@, "0.1", "MIT", COMPONENTS, NULL, NULL)
