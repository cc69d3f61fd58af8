/* How samples become vectors. */
#include <dal/dense.h>

#include <limits.h>
#include <math.h>

#include "clones.h"

dal_status dal_dense_inputs(const dal_sample_spec *spec, const char *who, int64_t *width, dal_error *err)
{
    int64_t n = 1;
    if (spec->modality != DAL_VECTOR && spec->modality != DAL_IMAGE)
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "%s takes dense vectors or images; this dataset has %s samples", who,
                        spec->modality == DAL_TEXT     ? "text"
                        : spec->modality == DAL_SPARSE ? "sparse"
                                                       : "unknown");
    if (spec->dtype != DAL_F32 && spec->dtype != DAL_U8)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "%s takes values of type f32 or u8; this is type %u",
                        who, (unsigned)spec->dtype);
    if (spec->ndim < 1 || spec->ndim > DAL_MAX_DIMS)
        return dal_fail(err, DAL_E_INVALID, "", "%s: samples have %u dimensions; expected 1..%d", who,
                        (unsigned)spec->ndim, DAL_MAX_DIMS);
    for (uint32_t i = 0; i < spec->ndim; i++)
        if (spec->shape[i] < 1 || !dal_size_mul(n, spec->shape[i], &n) || n > INT_MAX / 4)
            return dal_fail(err, DAL_E_INVALID, "",
                            "%s: a sample's dimension %u is %lld; expected 1 or more, and at most %d values",
                            who, (unsigned)i, (long long)spec->shape[i], INT_MAX / 4);
    *width = n;
    return DAL_OK;
}

DAL_CLONES static void scale_u8(const uint8_t *x, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)x[i] / 255.0f;
}

void dal_dense_read(const dal_batch *x, int64_t first, int64_t n, float *out)
{
    const int64_t width = dal_sample_values(x->spec);
    if (x->spec->dtype == DAL_U8)
        scale_u8((const uint8_t *)x->data + first * width, n * width, out);
    else
        memcpy(out, (const float *)x->data + first * width, (size_t)(n * width) * sizeof *out);
}

/* Is there any? All bits of the exponent are set in what is not finite; told by whole numbers, which may be joined in
 * any order. */
DAL_CLONES static uint32_t some_not_finite(const float *x, int64_t n)
{
    uint32_t some = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        some |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return some;
}

int64_t dal_first_not_finite(const float *x, int64_t n, int missing)
{
    if (!some_not_finite(x, n))
        return -1;
    for (int64_t i = 0; i < n; i++)
        if (missing ? isinf(x[i]) : !isfinite(x[i]))
            return i;
    return -1;
}
