/* What the samples of a world look like: vectors, images, sparse vectors or texts, all made of the same features. */
#include <math.h>
#include <stdlib.h>

#include "check/world.h"
#include "util/text.h"

#define SIDE 12 /* of images */
#define WORD 16 /* bytes of a word, at most */

static void make_images(world *w)
{
    const int64_t d = w->shape.d;
    uint8_t *pixels = xcalloc((size_t)(w->n * SIDE * SIDE), 1);
    w->spec = (dal_sample_spec){sizeof w->spec, DAL_IMAGE, DAL_U8, 3, {1, SIDE, SIDE}, w->shape.c};
    for (int64_t i = 0; i < w->n; i++)
        for (int64_t j = 0; j < SIDE * SIDE; j++) {
            const double v = 128 + 40 * (double)w->features[i * d + j % d];
            pixels[i * SIDE * SIDE + j] = (uint8_t)fmin(255, fmax(0, v));
        }
    w->raw = pixels;
}

/* Feature j is column 2 j where it is above 0 and 2 j + 1 below; small ones are left out. */
static void make_sparse(world *w)
{
    const int64_t d = w->shape.d;
    float *values = xcalloc((size_t)(w->n * d), sizeof *values);
    w->spec = (dal_sample_spec){sizeof w->spec, DAL_SPARSE, DAL_F32, 1, {2 * d}, w->shape.c};
    w->offsets = xcalloc((size_t)w->n + 1, sizeof *w->offsets);
    w->indices = xcalloc((size_t)(w->n * d), sizeof *w->indices);
    for (int64_t i = 0, at = 0; i < w->n; i++) {
        for (int64_t j = 0; j < d; j++) {
            const float v = w->features[i * d + j];
            if (fabsf(v) < 0.3f)
                continue;
            w->indices[at] = (int32_t)(2 * j + (v < 0));
            values[at++] = fabsf(v);
        }
        w->offsets[i + 1] = at;
    }
    w->raw = values;
}

/* A word a feature, which says about how large it is; some texts have letters that are no ASCII. */
static void make_texts(world *w)
{
    static const char *const sizes[] = {"No", "less", "few", "some", "more", "viele", "größer"};
    const int64_t d = w->shape.d;
    char *words = xcalloc((size_t)(w->n * d + 1), WORD);
    w->spec = (dal_sample_spec){.struct_size = sizeof w->spec, .modality = DAL_TEXT, .dtype = DAL_U8,
                                .n_classes = w->shape.c};
    w->offsets = xcalloc((size_t)w->n + 1, sizeof *w->offsets);
    for (int64_t i = 0, at = 0; i < w->n; i++) {
        for (int64_t j = 0; j < d; j++) {
            const double size = fmin(6, fmax(0, 3 + 2 * (double)w->features[i * d + j]));
            const int n = snprintf(words + at, WORD, "%s%s%d", j > 0 ? " " : "", sizes[(int)size], (int)(j % 1000));
            at += n < WORD ? n : WORD - 1;
        }
        w->offsets[i + 1] = at;
    }
    w->raw = words;
}

/* Every fourth sample misses a value or two, every twelfth all. */
static void lose_values(world *w)
{
    const int64_t d = w->shape.d;
    float *x = xcalloc((size_t)(w->n * d), sizeof *x);
    memcpy(x, w->features, (size_t)(w->n * d) * sizeof *x);
    for (int64_t i = 0; i < w->n; i += 4)
        for (int64_t j = 0; j < d; j++)
            if (i % 12 == 0 || j == i % d || j == (i / 4) % d)
                x[i * d + j] = NAN;
    w->raw = x;
}

void world_make_samples(world *w)
{
    if (w->shape.flags & WORLD_IMAGES) {
        make_images(w);
    } else if (w->shape.flags & WORLD_SPARSE) {
        make_sparse(w);
    } else if (w->shape.flags & WORLD_TEXT) {
        make_texts(w);
    } else {
        w->spec = (dal_sample_spec){sizeof w->spec, DAL_VECTOR, DAL_F32, 1, {w->shape.d}, w->shape.c};
        w->raw = w->features;
        if (w->shape.flags & WORLD_MISSING)
            lose_values(w);
    }
}

void world_sizes(const world *w, const int64_t *ids, int64_t n, int64_t *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = w->offsets[ids[i] + 1] - w->offsets[ids[i]];
}

dal_status world_read(const world *w, const int64_t *ids, int64_t n, dal_batch *out)
{
    const bool sparse = w->indices != NULL;
    const size_t one = w->offsets ? sparse ? sizeof(float) : 1 : (size_t)dal_sample_bytes(&w->spec);
    for (int64_t i = 0; i < n; i++) {
        const int64_t from = w->offsets ? w->offsets[ids[i]] : ids[i], to = w->offsets ? out->offsets[i] : i;
        const int64_t count = w->offsets ? w->offsets[ids[i] + 1] - from : 1;
        memcpy((char *)out->data + (size_t)to * one, (const char *)w->raw + (size_t)from * one, (size_t)count * one);
        if (sparse)
            memcpy(out->indices + to, w->indices + from, (size_t)count * sizeof *out->indices);
    }
    out->n = n;
    return DAL_OK;
}

dal_batch world_batch(const world *w, const int64_t *ids, int64_t n)
{
    dal_batch x = {.struct_size = sizeof x, .spec = &w->spec, .n = n};
    int64_t elements = n;
    size_t one = (size_t)dal_sample_bytes(&w->spec);
    if (w->offsets) {
        int64_t *sizes = xcalloc((size_t)n, sizeof *sizes);
        world_sizes(w, ids, n, sizes);
        x.offsets = xcalloc((size_t)n + 1, sizeof *x.offsets);
        for (int64_t i = 0; i < n; i++)
            x.offsets[i + 1] = x.offsets[i] + sizes[i];
        elements = x.offsets[n];
        one = w->indices ? sizeof(float) : 1;
        x.indices = w->indices ? xcalloc((size_t)elements, sizeof *x.indices) : NULL;
        free(sizes);
    }
    x.data = xcalloc((size_t)elements, one);
    world_read(w, ids, n, &x);
    return x;
}

void world_batch_free(dal_batch *x)
{
    free(x->data);
    free(x->offsets);
    free(x->indices);
    *x = (dal_batch){0};
}
