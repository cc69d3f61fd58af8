/* corrupt: images as a worse camera sees them: noise, blur, low contrast, JPEG; a covariate shift of the pool, of the
 * test split, or of a part of either.
 *
 * Hendrycks & Dietterich's corruptions of severity 1 to 5 with their constants: those of CIFAR-10-C for images up to 64
 * pixels high, else those of ImageNet-C; `amount` puts another number in their place. Per image of u8 values x:
 *
 *     noise     x + 255 s N(0, 1), each value for itself                      s 0.04 ... 0.10, or 0.08 ... 0.38
 *     blur      Gaussian of deviation s pixels, cut at 4 s, borders repeated  s 0.4 ... 1.0, or 1 ... 6
 *     contrast  (x - m) c + m, m the mean of the channel                      c 0.75 ... 0.15, or 0.4 ... 0.05
 *     jpeg      as a JPEG file of quality q                                   q 80 ... 40, or 25 ... 7
 *
 * each rounded and cut to 0..255. Which samples are corrupted, and their noise, depend on the seed, the split and the
 * sample alone. `seed` is not that of the run unless it is 0: all trials are to be tested on the same images.
 */
#include <math.h>

#include "jpeg_round.h"
#include "value_map.h"

typedef struct options {
    uint32_t kind;
    int64_t severity;
    double amount, train, validation, test;
    int64_t seed;
} options;

enum { NOISE, BLUR, CONTRAST, JPEG };

static const double small_amounts[4][5] = {
    {0.04, 0.06, 0.08, 0.09, 0.10}, {0.4, 0.6, 0.7, 0.8, 1.0}, {0.75, 0.5, 0.4, 0.3, 0.15}, {80, 65, 58, 50, 40}};
static const double large_amounts[4][5] = {
    {0.08, 0.12, 0.18, 0.26, 0.38}, {1, 2, 3, 4, 6}, {0.4, 0.3, 0.2, 0.1, 0.05}, {25, 18, 15, 10, 7}};

#define SMALL_HEIGHT 64
#define MAX_RADIUS 1024

typedef struct corrupt {
    value_map base;
    uint32_t kind;
    double amount, part[DAL_SPLITS];
    int64_t channels, height, width;
    dal_rng root[DAL_SPLITS];
    int64_t radius;
    double *kernel; /* [2 radius + 1] of blur */
} corrupt;

static unsigned char to_u8(double v)
{
    return (unsigned char)(v <= 0 ? 0 : v >= 255 ? 255 : (int)(v + 0.5));
}

/* ---- kinds ------------------------------------------------------------------------------------ */

static void add_noise(const corrupt *self, dal_rng *r, const unsigned char *from, unsigned char *to)
{
    const int64_t n = self->channels * self->height * self->width;
    for (int64_t i = 0; i < n; i++)
        to[i] = to_u8(from[i] + 255 * self->amount * dal_rng_normal(r));
}

static int64_t clamp(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

/* Rows into scratch[height, width], then columns. */
static void blur(const corrupt *self, const unsigned char *from, unsigned char *to, double *scratch)
{
    const int64_t h = self->height, w = self->width, radius = self->radius;
    for (int64_t c = 0; c < self->channels; c++, from += h * w) {
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++) {
                double sum = 0;
                for (int64_t j = -radius; j <= radius; j++)
                    sum += self->kernel[j + radius] * from[y * w + clamp(x + j, w)];
                scratch[y * w + x] = sum;
            }
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++) {
                double sum = 0;
                for (int64_t j = -radius; j <= radius; j++)
                    sum += self->kernel[j + radius] * scratch[clamp(y + j, h) * w + x];
                *to++ = to_u8(sum);
            }
    }
}

static void lower_contrast(const corrupt *self, const unsigned char *from, unsigned char *to)
{
    const int64_t n = self->height * self->width;
    for (int64_t c = 0; c < self->channels; c++, from += n, to += n) {
        int64_t sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += from[i];
        const double mean = (double)sum / (double)n;
        for (int64_t i = 0; i < n; i++)
            to[i] = to_u8((from[i] - mean) * self->amount + mean);
    }
}

static dal_status map_corrupt(const value_map *m, uint32_t k, int64_t id, const void *from, void *to, void *scratch,
                              dal_error *err)
{
    const corrupt *self = (const corrupt *)(const void *)m;
    dal_rng r = dal_rng_at(&self->root[k], (uint64_t)id);
    if (dal_rng_uniform(&r) >= self->part[k]) {
        memcpy(to, from, (size_t)dal_sample_bytes(&m->base.info.spec));
        return DAL_OK;
    }
    if (self->kind == NOISE)
        add_noise(self, &r, from, to);
    else if (self->kind == BLUR)
        blur(self, from, to, scratch);
    else if (self->kind == CONTRAST)
        lower_contrast(self, from, to);
    else
        return jpeg_round(m->base.host, from, self->channels, self->height, self->width, (int)self->amount, to, err);
    return DAL_OK;
}

/* ---- the table -------------------------------------------------------------------------------- */

static void corrupt_destroy(void *p)
{
    corrupt *self = p;
    if (self)
        self->base.base.host->free(self->base.base.host, self->kernel);
    dal_derived_destroy(self);
}

static dal_status make_kernel(corrupt *self, dal_error *err)
{
    const dal_host *host = self->base.base.host;
    const double s = self->amount;
    double sum = 0;
    self->radius = (int64_t)(4 * s + 0.5);
    if (self->radius > MAX_RADIUS)
        return dal_fail(err, DAL_E_INVALID, "amount", "a blur of %g pixels, expected at most %d", s, MAX_RADIUS / 4);
    self->kernel = dal_array(host, 2 * self->radius + 1, sizeof *self->kernel);
    if (!self->kernel)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    for (int64_t j = -self->radius; j <= self->radius; j++)
        sum += self->kernel[j + self->radius] = exp(-0.5 * (double)(j * j) / (s * s));
    for (int64_t j = 0; j <= 2 * self->radius; j++)
        self->kernel[j] /= sum;
    self->base.scratch = (size_t)(self->height * self->width) * sizeof(double);
    return DAL_OK;
}

static dal_status settle(corrupt *self, const options *o, dal_error *err)
{
    const dal_sample_spec *spec = &self->base.base.below.spec;
    const double parts[DAL_SPLITS] = {o->train, o->validation, o->test};
    if (spec->modality != DAL_IMAGE || spec->dtype != DAL_U8)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "works on images of u8 values, which the dataset has not%s",
                        spec->modality == DAL_IMAGE ? " any more: put it before what makes them f32" : "");
    self->channels = spec->shape[0];
    self->height = spec->shape[1];
    self->width = spec->shape[2];
    self->kind = o->kind;
    memcpy(self->part, parts, sizeof parts);
    self->amount = o->amount > 0 ? o->amount
                                 : (self->height <= SMALL_HEIGHT ? small_amounts
                                                                 : large_amounts)[o->kind][o->severity - 1];
    if (o->kind == JPEG && (self->amount < 1 || self->amount > 100 || self->amount != floor(self->amount)))
        return dal_fail(err, DAL_E_INVALID, "amount", "a JPEG quality of %g, expected a whole number from 1 to 100",
                        self->amount);
    if (o->kind == JPEG && self->channels != 1 && self->channels != 3)
        return dal_fail(err, DAL_E_UNSUPPORTED, "kind", "JPEG has 1 or 3 channels, the dataset %lld",
                        (long long)self->channels);
    if (o->kind == JPEG && !jpeg_round_there())
        return dal_fail(err, DAL_E_UNSUPPORTED, "kind",
                        "this build has no JPEG: it was configured without libjpeg (Debian: libjpeg62-turbo-dev)");
    if (o->kind == CONTRAST && self->amount > 1)
        return dal_fail(err, DAL_E_INVALID, "amount", "a contrast of %g, expected 0..1", self->amount);
    return o->kind == BLUR ? make_kernel(self, err) : DAL_OK;
}

static dal_status corrupt_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                 dal_error *err)
{
    const options *o = opt;
    void *made = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(corrupt), &made, err);
    if (st != DAL_OK)
        return st;
    corrupt *self = made;
    self->root[DAL_SPLIT_TRAIN] = dal_derived_rng(host, o->seed, "corrupt train");
    self->root[DAL_SPLIT_VALIDATION] = dal_derived_rng(host, o->seed, "corrupt validation");
    self->root[DAL_SPLIT_TEST] = dal_derived_rng(host, o->seed, "corrupt test");
    self->base.map = map_corrupt;
    st = settle(self, o, err);
    if (st == DAL_OK)
        *out = self;
    else
        corrupt_destroy(self);
    return st;
}

static dal_status corrupt_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    const corrupt *self = p;
    const double what[] = {self->kind, self->amount, self->part[0], self->part[1], self->part[2]};
    const dal_status st = value_map_fingerprint(&self->base, what, sizeof what, out, err);
    if (st == DAL_OK)
        out[0] = dal_hash64(out[0], &self->root[0].key, sizeof self->root[0].key);
    return st;
}

static const dal_dataset_impl corrupt_impl = {
    .struct_size = sizeof corrupt_impl,
    .create = corrupt_create,
    .destroy = corrupt_destroy,
    .info = dal_derived_info,
    .classes = dal_derived_classes,
    .read = value_map_read,
    .describe = dal_derived_describe,
    .fingerprint = corrupt_fingerprint,
    .get_extension = dal_derived_get_extension,
};

#define PARAMS(P, T)                                                                                    \
    P(T, kind, CHOICE, "noise", "noise|blur|contrast|jpeg", "", "what is done to images")               \
    P(T, severity, I64, "3", "1..5", "", "how much, as in CIFAR-10-C (up to 64 pixels high) or ImageNet-C") \
    P(T, amount, F64, "0", "0..", "",                                                                                  \
      "instead of severity: deviation of noise (of 1) or blur (pixels), contrast, quality")                            \
    P(T, train, F64, "0", "0..1", "", "part of the pool that is corrupted")                             \
    P(T, validation, F64, "0", "0..1", "", "part of the validation split")                              \
    P(T, test, F64, "1", "0..1", "", "part of the test split")                                          \
    P(T, seed, I64, "1", "", "", "of the noise and of the choice; 0: it follows the seed of the run")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "corrupt", corrupt_impl, "noise, blur, low contrast or JPEG in a part of the images",  \
      "Hendrycks & Dietterich, ICLR 2019 (arXiv:1903.12261)", "", DAL_CAP_CONCURRENT, options, PARAMS)
DAL_MODULE(corrupt, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
