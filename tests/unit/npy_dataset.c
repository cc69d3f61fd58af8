#include "tests/unit/fixture.h"

#include "plugins/datasets/npy.c"

/* A .npy file with this header's descr, order and shape, and n bytes of data. */
static const char *make(const char *name, const char *descr, int fortran, const char *shape, const void *data, size_t n)
{
    char file[4096];
    const int length =
        snprintf(file + 10, sizeof file - 10, "{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }%*s\n", descr,
                 fortran ? "True" : "False", shape, 20, "");
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = (char)(length & 0xff);
    file[9] = (char)(length >> 8);
    memcpy(file + 10 + length, data, n);
    return fx_write(name, file, 10 + (size_t)length + n);
}

static const unsigned char bytes[48] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                        16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                        32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47};

static options with(const char *x, const char *y)
{
    return (options){.train_x = x, .train_y = y, .test_x = "", .test_y = ""};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_expect(&err, npy_impl.create(dal_runtime_host(rt, "npy"), &o, NULL, &self, &err), want, key, words);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* Sample 1 of a file of four, whatever its type, as numbers. */
static void check_sample(options o, uint32_t modality, uint32_t dtype, const int64_t *shape, const float *want)
{
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&npy_impl, dal_runtime_host(rt, "npy"), &o, NULL);
    float x[48];
    unsigned char u[48];
    const int64_t width = dal_sample_values(&d.info.spec);
    cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 4);
    cr_assert_eq(d.info.spec.modality, modality);
    cr_assert_eq(d.info.spec.dtype, dtype);
    for (uint32_t i = 0; i < d.info.spec.ndim; i++)
        cr_assert_eq(d.info.spec.shape[i], shape[i]);
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){3, 1}, 2, dtype == DAL_U8 ? (void *)u : x);
    for (int64_t j = 0; j < width; j++)
        cr_assert_eq(dtype == DAL_U8 ? (float)u[width + j] : x[width + j], want[j], "value %d", (int)j);
    npy_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(npy_dataset, takes_vectors_and_images_of_bytes_and_floats)
{
    const double doubles[8] = {0, 1, 2.5, -3, 4, 5, 6, 7};
    check_sample(with(make("a", "|u1", 0, "4, 3", bytes, 12), ""), DAL_VECTOR, DAL_U8, (int64_t[]){3},
                 (float[]){3, 4, 5});
    check_sample(with(make("b", "<f8", 0, "4, 2", doubles, 64), ""), DAL_VECTOR, DAL_F32, (int64_t[]){2},
                 (float[]){2.5f, -3});
    check_sample(with(make("c", "|u1", 0, "4, 2, 3", bytes, 24), ""), DAL_IMAGE, DAL_U8, (int64_t[]){1, 2, 3},
                 (float[]){6, 7, 8, 9, 10, 11});
    check_sample(with(make("d", "|u1", 0, "4, 3, 1, 2", bytes, 24), ""), DAL_IMAGE, DAL_U8, (int64_t[]){3, 1, 2},
                 (float[]){6, 7, 8, 9, 10, 11});
    check_sample(with(make("e", "|u1", 1, "4, 3", bytes, 12), ""), DAL_VECTOR, DAL_U8, (int64_t[]){3},
                 (float[]){1, 5, 9});
}

Test(npy_dataset, brings_channels_to_the_front)
{
    float floats[24];
    for (int i = 0; i < 24; i++)
        floats[i] = (float)i;
    options o = with(make("a", "|u1", 0, "4, 1, 2, 3", bytes, 24), "");
    o.layout = LAYOUT_HWC;
    check_sample(o, DAL_IMAGE, DAL_U8, (int64_t[]){3, 1, 2}, (float[]){6, 9, 7, 10, 8, 11});
    o.train_x = make("b", "<f4", 0, "4, 1, 2, 3", floats, sizeof floats);
    check_sample(o, DAL_IMAGE, DAL_F32, (int64_t[]){3, 1, 2}, (float[]){6, 9, 7, 10, 8, 11});
    o.train_x = make("c", "|u1", 1, "4, 1, 2, 3", bytes, 24);
    check_sample(o, DAL_IMAGE, DAL_U8, (int64_t[]){3, 1, 2}, (float[]){1, 5, 9, 13, 17, 21});
}

Test(npy_dataset, reads_labels_of_any_whole_type)
{
    const int64_t y[4] = {2, -1, 0, -2};
    const float f[4] = {0, 1, 1, 0};
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(make("x", "|u1", 0, "4, 3", bytes, 12), make("y", "<i8", 0, "4,", y, sizeof y));
    o.test_x = o.train_x;
    o.test_y = make("z", "<f4", 0, "4, 1", f, sizeof f);
    fx_dataset d = fx_open(&npy_impl, dal_runtime_host(rt, "npy"), &o, NULL);
    cr_assert_eq(d.info.spec.n_classes, 3);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 0), 2);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 1), DAL_LABEL_NONE);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 3), DAL_LABEL_OOD);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TEST, 1), 1);
    npy_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(npy_dataset, refuses_features_it_cannot_read)
{
    refuse(with("/nowhere/x.npy", ""), DAL_E_NOT_FOUND, "train_x", "/nowhere/x.npy");
    refuse(with(fx_text("t", "hello, this is no array"), ""), DAL_E_FORMAT, "train_x", "t");
    refuse(with(make("s", "|u1", 0, "4, 3", bytes, 11), ""), DAL_E_FORMAT, "train_x", "s");
    refuse(with(make("i", "<i4", 0, "4, 3", bytes, 48), ""), DAL_E_INVALID, "train_x",
           "is int32 [4, 3], expected uint8 or floats");
    refuse(with(make("o", "|u1", 0, "12,", bytes, 12), ""), DAL_E_INVALID, "train_x",
           "is uint8 [12], expected [n, d] vectors");
    refuse(with(make("z", "|u1", 0, "0, 3", bytes, 0), ""), DAL_E_INVALID, "train_x", "there is nothing in it");
    refuse(with(make("h", "|u1", 0, "1, 5, 3, 3", bytes, 45), ""), DAL_E_INVALID, "layout",
           "is uint8 [1, 5, 3, 3], which looks like [n, h, w, c]; say layout: hwc if it is, layout: chw if not");
    options o = with(make("a", "|u1", 0, "4, 3", bytes, 12), "");
    o.test_x = make("b", "|u1", 0, "4, 2", bytes, 8);
    refuse(o, DAL_E_INVALID, "test_x", "is uint8 [4, 2], expected samples like those of ");
    o.test_x = "";
    o.test_y = o.train_x;
    refuse(o, DAL_E_INVALID, "test_y", "there is a test_y but no test_x");
}

Test(npy_dataset, refuses_labels_that_do_not_fit)
{
    const int64_t y[4] = {2, -3, 0, 1}, high[4] = {0, 1, 7, 2};
    const float half[4] = {0, 1, 0.5f, 0};
    static const char *const two[] = {"a", "b"};
    const char *x = make("x", "|u1", 0, "4, 3", bytes, 12);
    refuse(with(x, make("l", "|u1", 0, "3,", bytes, 3)), DAL_E_INVALID, "train_y", " has 3 labels, but ");
    refuse(with(x, x), DAL_E_INVALID, "train_y", "is uint8 [4, 3], expected one class number a row");
    refuse(with(x, make("n", "<i8", 0, "4,", y, sizeof y)), DAL_E_FORMAT, "train_y",
           "label -3 in row 1, expected 0 or more (or -1, -2)");
    refuse(with(x, make("f", "<f4", 0, "4,", half, sizeof half)), DAL_E_FORMAT, "train_y", "row 2");
    options o = with(x, make("h", "<i8", 0, "4,", high, sizeof high));
    o.n_classes = 3;
    refuse(o, DAL_E_FORMAT, "train_y", "label 7 in row 2, expected 0..2");
    o.class_names = (dal_str_list){two, 2};
    refuse(o, DAL_E_INVALID, "class_names", "2 names for 3 classes");
}
