/* resize, grayscale and to-vector: images of another size, of one channel, or taken for vectors.
 *
 * resize is bilinear with antialiasing, bit by bit as Pillow does it for u8 (dal/image.h). grayscale weighs red, green
 * and blue as ITU-R 601 does; images that have one channel stay as they are. to-vector lays the values of an image in a
 * row, channel after channel.
 */
#include <dal/image.h>

#include "value_map.h"

typedef struct resize_options {
    dal_i64_list size;
} resize_options;

typedef struct pixels {
    value_map base;
    dal_resizer *resizer; /* of resize only */
} pixels;

static dal_status need_image(const dal_derived *d, dal_error *err)
{
    if (d->below.spec.modality == DAL_IMAGE)
        return DAL_OK;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "works on images, the dataset has %s",
                    d->below.spec.modality == DAL_VECTOR ? "vectors"
                    : d->below.spec.modality == DAL_TEXT ? "text"
                                                         : "other samples");
}

static void pixels_destroy(void *p)
{
    pixels *self = p;
    if (self)
        dal_resizer_free(self->resizer);
    dal_derived_destroy(self);
}

static dal_status open_pixels(const dal_host *host, const dal_dataset *input, pixels **out, dal_error *err)
{
    void *made = NULL;
    dal_status st = dal_derived_new(host, input, sizeof(pixels), &made, err);
    if (st != DAL_OK)
        return st;
    st = need_image(made, err);
    if (st == DAL_OK)
        *out = made;
    else
        pixels_destroy(made);
    return st;
}

/* ---- resize ----------------------------------------------------------------------------------- */

static dal_status map_size(const value_map *m, uint32_t k, int64_t id, const void *from, void *to, void *scratch,
                           dal_error *err)
{
    const pixels *self = (const pixels *)(const void *)m;
    const int64_t channels = m->base.info.spec.shape[0];
    (void)k, (void)id, (void)err;
    if (m->base.info.spec.dtype == DAL_U8)
        dal_resize_u8(self->resizer, from, channels, to, scratch);
    else
        dal_resize_f32(self->resizer, from, channels, to, scratch);
    return DAL_OK;
}

static dal_status resize_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                dal_error *err)
{
    const resize_options *o = opt;
    pixels *self = NULL;
    if (o->size.n != 2)
        return dal_fail(err, DAL_E_INVALID, "size", "%lld numbers; expected [height, width]", (long long)o->size.n);
    dal_status st = open_pixels(host, input, &self, err);
    if (st != DAL_OK)
        return st;
    const int64_t *from = self->base.base.below.spec.shape;
    int64_t *to = self->base.base.info.spec.shape;
    to[1] = o->size.items[0];
    to[2] = o->size.items[1];
    st = dal_resizer_new(host, from[1], from[2], to[1], to[2], &self->resizer, err);
    self->base.map = map_size;
    if (st == DAL_OK) {
        self->base.scratch = dal_resizer_scratch(self->resizer);
        *out = self;
    } else {
        pixels_destroy(self);
    }
    return st;
}

static dal_status resize_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    const pixels *self = p;
    const int64_t *to = self->base.base.info.spec.shape;
    return value_map_fingerprint(&self->base, to, 3 * sizeof *to, out, err);
}

/* ---- grayscale -------------------------------------------------------------------------------- */

static dal_status map_grey(const value_map *m, uint32_t k, int64_t id, const void *from, void *to, void *scratch,
                           dal_error *err)
{
    const dal_sample_spec *below = &m->base.below.spec;
    const int64_t n = below->shape[1] * below->shape[2];
    (void)k, (void)id, (void)scratch, (void)err;
    if (below->shape[0] == 1)
        memcpy(to, from, (size_t)dal_sample_bytes(below));
    else if (below->dtype == DAL_U8)
        dal_grey_u8(from, n, to);
    else
        dal_grey_f32(from, n, to);
    return DAL_OK;
}

static dal_status grayscale_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                   dal_error *err)
{
    pixels *self = NULL;
    dal_status st = open_pixels(host, input, &self, err);
    (void)opt;
    if (st != DAL_OK)
        return st;
    int64_t *shape = self->base.base.info.spec.shape;
    if (shape[0] != 1 && shape[0] != 3)
        st = dal_fail(err, DAL_E_UNSUPPORTED, "", "images of %lld channels; expected 3 (red, green, blue) or 1",
                      (long long)shape[0]);
    shape[0] = 1;
    self->base.map = map_grey;
    if (st == DAL_OK)
        *out = self;
    else
        pixels_destroy(self);
    return st;
}

static dal_status grayscale_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    return value_map_fingerprint(p, "grey", 4, out, err);
}

/* ---- to-vector -------------------------------------------------------------------------------- */

static dal_status vector_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                                dal_error *err)
{
    pixels *self = NULL;
    const dal_status st = open_pixels(host, input, &self, err);
    (void)opt;
    if (st != DAL_OK)
        return st;
    dal_sample_spec *spec = &self->base.base.info.spec;
    *spec = (dal_sample_spec){sizeof *spec, DAL_VECTOR, spec->dtype, 1, {dal_sample_values(spec)}, spec->n_classes};
    *out = self;
    return DAL_OK;
}

/* The same bytes under another name. */
static dal_status vector_read(void *p, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const dal_derived *d = p;
    dal_batch b = {sizeof b, 0, &d->below.spec, n, out->data, NULL, NULL};
    return d->input->impl->read(d->input->self, k, ids, n, &b, err);
}

static dal_status vector_fingerprint(void *p, uint64_t out[2], dal_error *err)
{
    return value_map_fingerprint(p, "vector", 6, out, err);
}

/* ---- the tables ------------------------------------------------------------------------------- */

#define TABLE(create_, read_, fingerprint_)      \
    {                                            \
        .struct_size = sizeof(dal_dataset_impl), \
        .create = create_,                       \
        .destroy = pixels_destroy,               \
        .info = dal_derived_info,                \
        .classes = dal_derived_classes,          \
        .read = read_,                           \
        .describe = dal_derived_describe,        \
        .fingerprint = fingerprint_,             \
        .get_extension = dal_derived_get_extension, \
    }
static const dal_dataset_impl resize_impl = TABLE(resize_create, value_map_read, resize_fingerprint);
static const dal_dataset_impl grayscale_impl = TABLE(grayscale_create, value_map_read, grayscale_fingerprint);
static const dal_dataset_impl vector_impl = TABLE(vector_create, vector_read, vector_fingerprint);

#define RESIZE_PARAMS(P, T) P(T, size, I64S, DAL_REQUIRED, "1..65535", "pixels", "height and width")
#define COMPONENTS(C)                                                                                   \
    C(TRANSFORM, "resize", resize_impl, "images of another size, bilinear with antialiasing", "", "",   \
      DAL_CAP_CONCURRENT, resize_options, RESIZE_PARAMS)                                                \
    C(TRANSFORM, "grayscale", grayscale_impl, "images of one channel", "", "", DAL_CAP_CONCURRENT,      \
      dal_no_options, DAL_NO_PARAMS)                                                                    \
    C(TRANSFORM, "to-vector", vector_impl, "the values of an image in a row", "", "", DAL_CAP_CONCURRENT, \
      dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(pixels, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
