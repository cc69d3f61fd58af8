#include "tests/unit/fixture.h"

#include <dal/image.h>

#include "plugins/transforms/pixels.c"

/* 400 samples of [c, 5, 6], sample i of values 3 i + j. */
enum { N = 400, H = 5, W = 6 };
static unsigned char bytes[N * 3 * H * W];
static float floats[N * 3 * H * W];
static int32_t zeros[N];

static fx_toy toy(int channels, uint32_t dtype)
{
    fx_toy t = {.spec = {sizeof t.spec, DAL_IMAGE, dtype, 3, {channels, H, W}, 1}, .n = {N, 0, 10}};
    for (int i = 0; i < N * channels * H * W; i++)
        floats[i] = bytes[i] = (unsigned char)(i / (channels * H * W) * 3 + i % (channels * H * W) * 7);
    for (int k = 0; k < 3; k++) {
        t.data[k] = dtype == DAL_U8 ? (void *)bytes : (void *)floats;
        t.cls[k] = zeros;
    }
    return t;
}

typedef struct opened {
    dal_runtime *rt;
    fx_dataset d;
} opened;

static opened over(const dal_dataset_impl *impl, const void *options, fx_toy *t)
{
    opened x = {.rt = fx_runtime(3, 0)};
    fx_toy_open(t);
    x.d = fx_open(impl, dal_runtime_host(x.rt, "x"), options, &t->dataset);
    return x;
}

static void drop(opened *x)
{
    x->d.impl->destroy(x->d.self);
    cr_assert_eq(dal_runtime_allocated(x->rt), 0);
    dal_runtime_free(x->rt);
}

Test(pixels, resize_gives_each_sample_what_the_resizer_does)
{
    const int64_t size[] = {3, 8}, ids[] = {399, 0, 7, 7};
    const resize_options o = {{size, 2}};
    for (uint32_t dtype = DAL_F32; dtype <= DAL_U8; dtype++) {
        fx_toy t = toy(3, dtype);
        opened x = over(&resize_impl, &o, &t);
        static unsigned char got[N * 72 * 4], want[72 * 4];
        dal_resizer *r = NULL;
        cr_assert_eq(dal_resizer_new(dal_runtime_host(x.rt, "y"), H, W, 3, 8, &r, NULL), DAL_OK);
        void *scratch = malloc(dal_resizer_scratch(r));
        cr_assert_arr_eq(x.d.info.spec.shape, ((int64_t[]){3, 3, 8}), 3 * sizeof(int64_t));
        const size_t sample = (size_t)dal_sample_bytes(&x.d.info.spec);
        fx_read(&x.d, DAL_SPLIT_TRAIN, ids, 4, got);
        for (int i = 0; i < 4; i++) {
            if (dtype == DAL_U8)
                dal_resize_u8(r, bytes + ids[i] * 3 * H * W, 3, want, scratch);
            else
                dal_resize_f32(r, floats + ids[i] * 3 * H * W, 3, (float *)(void *)want, scratch);
            cr_assert_arr_eq(got + (size_t)i * sample, want, sample);
        }
        int64_t all[N];
        for (int i = 0; i < N; i++)
            all[i] = N - 1 - i;
        fx_read(&x.d, DAL_SPLIT_TRAIN, all, N, got); /* more than one chunk */
        cr_assert_arr_eq(got + (N - 8) * sample, want, sample);
        free(scratch);
        dal_resizer_free(r);
        drop(&x);
    }
}

Test(pixels, grayscale_makes_one_channel)
{
    for (uint32_t dtype = DAL_F32; dtype <= DAL_U8; dtype++) {
        fx_toy t = toy(3, dtype);
        opened x = over(&grayscale_impl, NULL, &t);
        unsigned char got[H * W * 4], want[H * W];
        cr_assert_arr_eq(x.d.info.spec.shape, ((int64_t[]){1, H, W}), 3 * sizeof(int64_t));
        fx_read(&x.d, DAL_SPLIT_TRAIN, (const int64_t[]){9}, 1, got);
        dal_grey_u8(bytes + 9 * 3 * H * W, H * W, want);
        for (int i = 0; i < H * W; i++)
            cr_assert_float_eq(dtype == DAL_U8 ? got[i] : ((float *)(void *)got)[i], want[i], 0.51);
        drop(&x);
    }
    fx_toy t = toy(1, DAL_U8);
    opened x = over(&grayscale_impl, NULL, &t);
    unsigned char got[H * W];
    fx_read(&x.d, DAL_SPLIT_TRAIN, (const int64_t[]){9}, 1, got);
    cr_assert_arr_eq(got, bytes + 9 * H * W, H * W);
    drop(&x);
}

Test(pixels, to_vector_keeps_every_value)
{
    fx_toy t = toy(3, DAL_F32);
    opened x = over(&vector_impl, NULL, &t);
    float got[3 * H * W];
    cr_assert(x.d.info.spec.modality == DAL_VECTOR && x.d.info.spec.ndim == 1 && x.d.info.spec.shape[0] == 3 * H * W);
    fx_read(&x.d, DAL_SPLIT_TEST, (const int64_t[]){3}, 1, got);
    cr_assert_arr_eq(got, floats + 3 * 3 * H * W, sizeof got);
    drop(&x);
}

Test(pixels, refuses_what_is_no_image)
{
    const dal_dataset_impl *const impls[] = {&grayscale_impl, &vector_impl, &resize_impl};
    const int64_t size[] = {3, 8};
    const resize_options o = {{size, 2}}, none = {{size, 1}};
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_toy t = toy(1, DAL_U8);
    fx_toy_open(&t);
    t.spec = (dal_sample_spec){sizeof t.spec, DAL_VECTOR, DAL_U8, 1, {30}, 1};
    for (int i = 0; i < 3; i++)
        fx_expect(&err, impls[i]->create(dal_runtime_host(rt, "x"), &o, &t.dataset, &self, &err), DAL_E_UNSUPPORTED, "",
                  "works on images, the dataset has vectors");
    fx_expect(&err, resize_impl.create(dal_runtime_host(rt, "x"), &none, &t.dataset, &self, &err), DAL_E_INVALID,
              "size", "1 numbers; expected [height, width]");
    t = toy(2, DAL_U8);
    fx_toy_open(&t);
    fx_expect(&err, grayscale_impl.create(dal_runtime_host(rt, "x"), &o, &t.dataset, &self, &err), DAL_E_UNSUPPORTED,
              "", "images of 2 channels");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
