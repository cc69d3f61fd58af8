/* standardize, scale and normalise: values mapped by y = (x - shift) * factor + base, each group of values of a
 * sample with its own shift and factor. A group is one feature, one channel or the whole sample.
 *
 * normalise takes means and deviations that the user gives: those of other people's preprocessing, which count u8
 * images as 0..1. The others are fitted on the features of the train split (the pool), never on test data, and give
 * f32. The fit adds up blocks of samples in double and joins the blocks in order; their size depends on the size of
 * a sample alone, so that the bits do not depend on the number of threads.
 */
#include <dal/dataset.h>

#include <float.h>
#include <math.h>

enum { PER_AUTO, PER_FEATURE, PER_CHANNEL, PER_GLOBAL };
enum { MINMAX, MAXABS, UNIT };

typedef struct standardize_options {
    uint32_t per;
    double eps;
} standardize_options;

typedef struct scale_options {
    uint32_t method, per;
    double low, high;
} scale_options;

typedef struct normalise_options {
    dal_f64_list mean, std;
} normalise_options;

#define BLOCK_VALUES ((int64_t)1 << 18) /* values summed together, */
#define BLOCK_SAMPLES 256               /* of at most this many samples */
#define WAVE 16                         /* blocks in work at once */
#define CHUNK 64                        /* samples converted at once in read */

typedef struct scaling {
    const dal_host *host;
    const dal_dataset *input;
    dal_dataset_info below, info;
    int64_t values, group; /* values of a sample; of one group, which lie side by side */
    int64_t n_groups, block; /* block: samples summed together */
    double *shift, *factor; /* [n_groups] */
    double base;
} scaling;

/* What the fit gathers of one group. */
typedef struct moments {
    double sum, squares; /* of x - origin */
    double low, high;
} moments;

typedef struct fit {
    const scaling *s;
    float *origin;   /* [n_groups] a value of each group: keeps the sums of squares accurate */
    moments *wave;   /* [WAVE, n_groups] */
    moments *total;  /* [n_groups] */
    float *samples;  /* [WAVE, block, values] */
    int64_t first;   /* block of the wave */
    dal_error *errs; /* [WAVE] */
} fit;

/* ---- reading below ---------------------------------------------------------------------------- */

/* Samples ids[n] of the input as floats into out[n, values]. */
static dal_status read_floats(const scaling *s, uint32_t split, const int64_t *ids, int64_t n, float *out,
                              dal_error *err)
{
    const dal_dataset *in = s->input;
    dal_batch b = {sizeof b, 0, &s->below.spec, n, out, NULL, NULL};
    if (s->below.spec.dtype == DAL_F32)
        return in->impl->read(in->self, split, ids, n, &b, err);
    unsigned char *bytes = b.data = dal_array(s->host, n < CHUNK ? n : CHUNK, (size_t)s->values);
    if (!bytes)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to read %lld samples", (long long)n);
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < n && st == DAL_OK; i += CHUNK) {
        b.n = n - i < CHUNK ? n - i : CHUNK;
        st = in->impl->read(in->self, split, ids + i, b.n, &b, err);
        for (int64_t j = 0; j < b.n * s->values && st == DAL_OK; j++)
            out[i * s->values + j] = bytes[j];
    }
    s->host->free(s->host, bytes);
    return st;
}

/* ---- fitting ---------------------------------------------------------------------------------- */

static moments no_moments(void)
{
    return (moments){0, 0, DBL_MAX, -DBL_MAX};
}

/* The values of one group of a sample. */
static void add_values(moments *m, const float *x, int64_t n, double origin)
{
    moments t = *m;
    for (int64_t j = 0; j < n; j++) {
        const double v = (double)x[j], d = v - origin;
        t.sum += d;
        t.squares += d * d;
        t.low = v < t.low ? v : t.low;
        t.high = v > t.high ? v : t.high;
    }
    *m = t;
}

static dal_status check_finite(const float *x, int64_t n, int64_t id, dal_error *err)
{
    for (int64_t j = 0; j < n; j++)
        if (!isfinite(x[j]))
            return dal_fail(err, DAL_E_INVALID, "", "value %lld of sample %lld is %g, expected a finite number",
                            (long long)j, (long long)id, (double)x[j]);
    return DAL_OK;
}

/* [worker] Block f->first + k of the train split. */
static dal_status fit_block(void *ctx, int64_t k)
{
    const fit *f = ctx;
    const scaling *s = f->s;
    dal_error *err = &f->errs[k];
    moments *m = f->wave + k * s->n_groups;
    float *x = f->samples + k * s->block * s->values;
    int64_t ids[BLOCK_SAMPLES], n = 0;
    for (int64_t i = (f->first + k) * s->block; n < s->block && i < s->below.n[DAL_SPLIT_TRAIN]; i++)
        ids[n++] = i;
    for (int64_t g = 0; g < s->n_groups; g++)
        m[g] = no_moments();
    if (s->host->cancelled(s->host))
        return dal_fail(err, DAL_E_CANCELLED, "", "stopped while fitting");
    dal_status st = read_floats(s, DAL_SPLIT_TRAIN, ids, n, x, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++, x += s->values) {
        st = check_finite(x, s->values, ids[i], err);
        for (int64_t g = 0; g < s->n_groups && st == DAL_OK; g++)
            add_values(&m[g], x + g * s->group, s->group, (double)f->origin[g]);
    }
    return st;
}

static void join(moments *to, const moments *m, int64_t n)
{
    for (int64_t g = 0; g < n; g++) {
        to[g].sum += m[g].sum;
        to[g].squares += m[g].squares;
        to[g].low = fmin(to[g].low, m[g].low);
        to[g].high = fmax(to[g].high, m[g].high);
    }
}

static dal_status fit_waves(fit *f, dal_error *err)
{
    const scaling *s = f->s;
    const int64_t n = s->below.n[DAL_SPLIT_TRAIN], blocks = (n + s->block - 1) / s->block;
    dal_status st = DAL_OK;
    for (f->first = 0; f->first < blocks && st == DAL_OK; f->first += WAVE) {
        const int64_t here = blocks - f->first < WAVE ? blocks - f->first : WAVE;
        for (int64_t k = 0; k < here; k++)
            f->errs[k] = (dal_error)DAL_ERROR_INIT;
        st = s->host->parallel_for(s->host, here, fit_block, f);
        for (int64_t k = 0; k < here && st == DAL_OK; k++)
            join(f->total, f->wave + k * s->n_groups, s->n_groups);
        for (int64_t k = 0; k < here && st != DAL_OK && err; k++) {
            if (f->errs[k].status != DAL_OK) {
                *err = f->errs[k];
                break;
            }
        }
        s->host->progress(s->host, f->first + here, blocks, "fitting");
    }
    return st;
}

/* The moments of each group over the train split, and the origin of their sums. */
static dal_status fit_moments(fit *f, dal_error *err)
{
    const scaling *s = f->s;
    const dal_host *host = s->host;
    int64_t room;
    if (s->below.n[DAL_SPLIT_TRAIN] == 0)
        return dal_fail(err, DAL_E_INVALID, "", "the train split is empty: there is nothing to fit on");
    if (!dal_size_mul(s->values, WAVE * s->block, &room))
        return dal_fail(err, DAL_E_OVERFLOW, "", "samples of %lld values are too large", (long long)s->values);
    f->samples = dal_array(host, room, sizeof *f->samples);
    f->origin = dal_array(host, s->n_groups, sizeof *f->origin);
    f->wave = dal_array(host, WAVE * s->n_groups, sizeof *f->wave);
    f->total = dal_array(host, s->n_groups, sizeof *f->total);
    f->errs = dal_array(host, WAVE, sizeof *f->errs);
    if (!f->samples || !f->origin || !f->wave || !f->total || !f->errs)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to fit samples of %lld values", (long long)s->values);
    const dal_status st = read_floats(s, DAL_SPLIT_TRAIN, (const int64_t[]){0}, 1, f->samples, err);
    for (int64_t g = 0; g < s->n_groups && st == DAL_OK; g++) {
        f->origin[g] = f->samples[g * s->group];
        f->total[g] = no_moments();
    }
    return st == DAL_OK ? fit_waves(f, err) : st;
}

static void free_fit(fit *f)
{
    const dal_host *host = f->s->host;
    host->free(host, f->errs);
    host->free(host, f->total);
    host->free(host, f->wave);
    host->free(host, f->origin);
    host->free(host, f->samples);
}

static dal_status fit_standardize(scaling *s, double eps, dal_error *err)
{
    fit f = {.s = s};
    const dal_status st = fit_moments(&f, err);
    const double n = (double)(s->below.n[DAL_SPLIT_TRAIN] * s->group);
    for (int64_t g = 0; g < s->n_groups && st == DAL_OK; g++) {
        const double mean = f.total[g].sum / n, variance = f.total[g].squares / n - mean * mean;
        const double deviation = sqrt(fmax(variance, 0));
        s->shift[g] = (double)f.origin[g] + mean;
        s->factor[g] = deviation > eps ? 1 / deviation : 1;
    }
    free_fit(&f);
    return st;
}

static dal_status fit_scale(scaling *s, const scale_options *o, dal_error *err)
{
    fit f = {.s = s};
    dal_status st = DAL_OK;
    s->base = o->method == MAXABS ? 0 : o->low;
    s->shift[0] = 0;
    s->factor[0] = (o->high - o->low) / 255;
    if (o->method == UNIT)
        return DAL_OK;
    st = fit_moments(&f, err);
    for (int64_t g = 0; g < s->n_groups && st == DAL_OK; g++) {
        const double low = f.total[g].low, high = f.total[g].high, largest = fmax(fabs(low), fabs(high));
        if (o->method == MINMAX) {
            s->shift[g] = low;
            s->factor[g] = high > low ? (o->high - o->low) / (high - low) : 0;
        } else {
            s->shift[g] = 0;
            s->factor[g] = largest > 0 ? 1 / largest : 1;
        }
    }
    free_fit(&f);
    return st;
}

/* ---- create ----------------------------------------------------------------------------------- */

static void scaling_destroy(void *p)
{
    scaling *s = p;
    if (!s)
        return;
    s->host->free(s->host, s->shift);
    s->host->free(s->host, s->factor);
    s->host->free(s->host, s);
}

static dal_status settle_groups(scaling *s, uint32_t per, dal_error *err)
{
    const dal_sample_spec *spec = &s->below.spec;
    const int image = spec->modality == DAL_IMAGE;
    if (!image && spec->modality != DAL_VECTOR)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "works on vectors and images, the dataset has %s",
                        spec->modality == DAL_TEXT ? "text" : "other samples");
    if (per == PER_CHANNEL && !image)
        return dal_fail(err, DAL_E_INVALID, "per", "vectors have no channels; expected auto, feature or global");
    if (per == PER_AUTO)
        per = image ? PER_CHANNEL : PER_FEATURE;
    s->values = dal_sample_values(spec);
    s->group = per == PER_FEATURE ? 1 : per == PER_CHANNEL ? s->values / spec->shape[0] : s->values;
    s->n_groups = s->values / s->group;
    s->block = BLOCK_VALUES / s->values;
    s->block = s->block < 1 ? 1 : s->block > BLOCK_SAMPLES ? BLOCK_SAMPLES : s->block;
    return DAL_OK;
}

/* Everything but the fit. */
static dal_status open_scaling(const dal_host *host, uint32_t per, const dal_dataset *input, scaling **out,
                               dal_error *err)
{
    if (!input)
        return dal_fail(err, DAL_E_CONTRACT, "", "a transform needs a dataset to transform");
    scaling *s = host->alloc(host, sizeof *s, 0);
    if (!s)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    *s = (scaling){.host = host, .input = input, .below = {.struct_size = sizeof s->below}};
    dal_status st = input->impl->info(input->self, &s->below, err);
    if (st == DAL_OK)
        st = settle_groups(s, per, err);
    if (st == DAL_OK) {
        s->info = s->below;
        s->info.spec.dtype = DAL_F32;
        s->shift = dal_array(host, s->n_groups, sizeof *s->shift);
        s->factor = dal_array(host, s->n_groups, sizeof *s->factor);
        if (!s->shift || !s->factor)
            st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the transform");
    }
    if (st == DAL_OK)
        *out = s;
    else
        scaling_destroy(s);
    return st;
}

static dal_status standardize_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                     dal_error *err)
{
    const standardize_options *o = opt;
    scaling *s = NULL;
    dal_status st = open_scaling(host, o->per, input, &s, err);
    if (st == DAL_OK)
        st = fit_standardize(s, o->eps, err);
    if (st == DAL_OK)
        *out = s;
    else
        scaling_destroy(s);
    return st;
}

static dal_status check_scale(const scale_options *o, dal_error *err)
{
    if (o->low >= o->high)
        return dal_fail(err, DAL_E_INVALID, "low", "low is %g and high is %g; low must be smaller", o->low, o->high);
    if (o->method == MAXABS && (o->low != 0 || o->high != 1))
        return dal_fail(err, DAL_E_INVALID, "low", "maxabs always gives -1..1; low and high are for minmax and unit");
    if (o->method == UNIT && o->per != PER_AUTO)
        return dal_fail(err, DAL_E_INVALID, "per", "unit maps all values alike; per is for minmax and maxabs");
    return DAL_OK;
}

static dal_status scale_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                               dal_error *err)
{
    const scale_options *o = opt;
    scaling *s = NULL;
    dal_status st = check_scale(o, err);
    if (st == DAL_OK)
        st = open_scaling(host, o->method == UNIT ? PER_GLOBAL : o->per, input, &s, err);
    if (st == DAL_OK && o->method == UNIT && s->below.spec.dtype != DAL_U8)
        st = dal_fail(err, DAL_E_INVALID, "method", "unit maps u8 values 0..255, the dataset has f32 values");
    if (st == DAL_OK)
        st = fit_scale(s, o, err);
    if (st == DAL_OK)
        *out = s;
    else
        scaling_destroy(s);
    return st;
}

static dal_status set_normalise(scaling *s, const normalise_options *o, dal_error *err)
{
    const int u8_image = s->below.spec.modality == DAL_IMAGE && s->below.spec.dtype == DAL_U8;
    const double one = u8_image ? 255 : 1;
    const dal_f64_list *const lists[] = {&o->mean, &o->std};
    static const char *const keys[] = {"mean", "std"};
    for (int i = 0; i < 2; i++)
        if (lists[i]->n != 1 && lists[i]->n != s->n_groups)
            return dal_fail(err, DAL_E_INVALID, keys[i], "%lld numbers for %lld %s; expected as many, or one for all",
                            (long long)lists[i]->n, (long long)s->n_groups,
                            s->below.spec.modality == DAL_IMAGE ? "channels" : "features");
    for (int64_t g = 0; g < s->n_groups; g++) {
        const double mean = o->mean.items[o->mean.n > 1 ? g : 0], deviation = o->std.items[o->std.n > 1 ? g : 0];
        s->shift[g] = mean * one;
        s->factor[g] = 1 / (deviation * one);
    }
    return DAL_OK;
}

static dal_status normalise_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                   dal_error *err)
{
    scaling *s = NULL;
    dal_status st = open_scaling(host, PER_AUTO, input, &s, err);
    if (st == DAL_OK)
        st = set_normalise(s, opt, err);
    if (st == DAL_OK)
        *out = s;
    else
        scaling_destroy(s);
    return st;
}

/* ---- the table -------------------------------------------------------------------------------- */

static dal_status scaling_info(void *p, dal_dataset_info *info, dal_error *err)
{
    const uint32_t size = info->struct_size;
    (void)err;
    *info = ((const scaling *)p)->info;
    info->struct_size = size;
    return DAL_OK;
}

static dal_status scaling_classes(void *p, uint32_t split, const int64_t *ids, int64_t n, int32_t *out,
                                  dal_error *err)
{
    const dal_dataset *in = ((const scaling *)p)->input;
    return in->impl->classes(in->self, split, ids, n, out, err);
}

static dal_status scaling_read(void *p, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out,
                               dal_error *err)
{
    const scaling *s = p;
    float *x = out->data;
    const dal_status st = read_floats(s, split, ids, n, x, err);
    if (st != DAL_OK)
        return st;
    for (int64_t i = 0; i < n; i++)
        for (int64_t g = 0; g < s->n_groups; g++, x += s->group)
            for (int64_t j = 0; j < s->group; j++)
                x[j] = (float)(((double)x[j] - s->shift[g]) * s->factor[g] + s->base);
    return DAL_OK;
}

static void scaling_describe(void *p, uint32_t split, int64_t id, char *out, size_t size)
{
    const dal_dataset *in = ((const scaling *)p)->input;
    if (DAL_HAS(dal_dataset_impl, in->impl, describe))
        in->impl->describe(in->self, split, id, out, size);
    else
        snprintf(out, size, "%lld", (long long)id);
}

static dal_status scaling_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    const scaling *s = p;
    const dal_dataset *in = s->input;
    if (!DAL_HAS(dal_dataset_impl, in->impl, fingerprint))
        return DAL_E_UNSUPPORTED;
    const dal_status st = in->impl->fingerprint(in->self, out, err);
    const size_t bytes = (size_t)s->n_groups * sizeof(double);
    if (st == DAL_OK) {
        out[0] = dal_hash64(dal_hash64(out[0], s->shift, bytes), s->factor, bytes);
        out[1] = dal_hash64(dal_hash64(out[1], &s->base, sizeof s->base), out, sizeof *out);
    }
    return st;
}

/* Samples stay in place: their sources are those below. */
static int64_t count_sources(void *p)
{
    const dal_dataset *in = ((const scaling *)p)->input;
    return dal_groups_of(in)->count(in->self);
}

static const char *name_source(void *p, int64_t g)
{
    const dal_dataset *in = ((const scaling *)p)->input;
    const dal_dataset_groups *below = dal_groups_of(in);
    return DAL_HAS(dal_dataset_groups, below, name) ? below->name(in->self, g) : NULL;
}

static dal_status pass_sources(void *p, uint32_t split, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const dal_dataset *in = ((const scaling *)p)->input;
    return dal_groups_of(in)->groups(in->self, split, ids, n, out, err);
}

static const void *scaling_get_extension(void *p, const char *id)
{
    static const dal_dataset_groups table = {
        .struct_size = sizeof table, .count = count_sources, .name = name_source, .groups = pass_sources};
    return strcmp(id, DAL_CAP_GROUPS) == 0 && dal_groups_of(((const scaling *)p)->input) ? &table : NULL;
}

#define TABLE(create_)                      \
    {                                       \
        .struct_size = sizeof(dal_dataset_impl), \
        .create = create_,                  \
        .destroy = scaling_destroy,         \
        .info = scaling_info,               \
        .classes = scaling_classes,         \
        .read = scaling_read,               \
        .describe = scaling_describe,       \
        .fingerprint = scaling_fingerprint, \
        .get_extension = scaling_get_extension, \
    }
static const dal_dataset_impl standardize_impl = TABLE(standardize_create);
static const dal_dataset_impl scale_impl = TABLE(scale_create);
static const dal_dataset_impl normalise_impl = TABLE(normalise_create);

#define PER "auto|feature|channel|global"
#define PER_SUMMARY "what shares one fit; auto: each feature of vectors, each channel of images"
#define STANDARDIZE_PARAMS(P, T)                                                                        \
    P(T, per, CHOICE, "auto", PER, "", PER_SUMMARY)                                                     \
    P(T, eps, F64, "1e-8", "0..", "", "what deviates no more than this is only centred")
#define SCALE_PARAMS(P, T)                                                                              \
    P(T, method, CHOICE, "minmax", "minmax|maxabs|unit", "",                                            \
      "least and largest value to low and high; largest magnitude to 1; u8 0 and 255 to low and high")  \
    P(T, per, CHOICE, "auto", PER, "", PER_SUMMARY)                                                     \
    P(T, low, F64, "0", "", "", "smallest value afterwards (minmax, unit)")                             \
    P(T, high, F64, "1", "", "", "largest value afterwards (minmax, unit)")
#define NORMALISE_PARAMS(P, T)                                                                          \
    P(T, mean, F64S, DAL_REQUIRED, "", "",                                                                             \
      "what to subtract, a number a channel (u8 images count as 0..1) or one for all")                                 \
    P(T, std, F64S, DAL_REQUIRED, "(0..", "", "what to divide by then, likewise")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "standardize", standardize_impl, "zero mean and unit variance, fitted on the pool", "", "", \
      DAL_CAP_CONCURRENT, standardize_options, STANDARDIZE_PARAMS)                                      \
    C(TRANSFORM, "scale", scale_impl, "values to a given range, fitted on the pool", "", "",            \
      DAL_CAP_CONCURRENT, scale_options, SCALE_PARAMS)                                                  \
    C(TRANSFORM, "normalise", normalise_impl, "minus a given mean, by a given deviation, channel by channel", "", "", \
      DAL_CAP_CONCURRENT, normalise_options, NORMALISE_PARAMS)
DAL_MODULE(scaling, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
