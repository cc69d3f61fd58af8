/* The shape of a network, its first weights, and how samples become vectors. */
#include <dal/dense.h>

#include <limits.h>
#include <math.h>

#include "clones.h"

dal_status dal_dense_shape(dal_dense *net, const int64_t *widths, int64_t n_layers, dal_error *err)
{
    int64_t total = 0;
    *net = (dal_dense){.struct_size = sizeof *net};
    if (n_layers < 1 || n_layers > DAL_DENSE_MAX_LAYERS)
        return dal_fail(err, DAL_E_INVALID, "hidden", "a network of %lld layers; expected 1..%d",
                        (long long)n_layers, DAL_DENSE_MAX_LAYERS);
    for (int64_t l = 0; l < n_layers; l++) {
        const int64_t in = widths[l], out = widths[l + 1];
        int64_t count;
        if (in < 1 || out < 1 || in > INT_MAX || out > INT_MAX || !dal_size_mul(in, out, &count) ||
            count > INT64_MAX / 64 - total - out)
            return dal_fail(err, DAL_E_OVERFLOW, "hidden",
                            "layer %lld would have %lld inputs and %lld outputs, which cannot be held",
                            (long long)l, (long long)in, (long long)out);
        net->layer[l] = (dal_dense_layer){in, out, total, total + count};
        total += count + out;
    }
    net->n_layers = (int32_t)n_layers;
    net->n_weights = total;
    return DAL_OK;
}

void dal_dense_draw(const dal_dense *net, const dal_rng *stream, float *weights)
{
    for (int32_t l = 0; l < net->n_layers; l++) {
        const dal_dense_layer *layer = &net->layer[l];
        const double bound = sqrt(6.0 / (double)(layer->in + layer->out));
        dal_rng rng = dal_rng_at(stream, (uint64_t)l);
        for (int64_t i = layer->weight; i < layer->bias + layer->out; i++)
            weights[i] = (float)(bound * (2 * dal_rng_uniform(&rng) - 1));
    }
}

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
