#include "tests/unit/zip_make.h"

#include "plugins/datasets/npy.c"

/* A .npy file with this header's descr, order and shape, and n bytes of data. */
static const char *make(const char *name, const char *descr, int fortran, const char *shape, const void *data,
                        size_t n)
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

/* ---- npz ---- */

static void add(zip_maker *z, const char *member, const char *path, int deflated)
{
    size_t n;
    unsigned char *data = fx_slurp(path, &n);
    zm_add(z, member, data, n, deflated);
    free(data);
}

static npz_options npz_with(const char *path)
{
    return (npz_options){.path = path,
                         .train_x = "",
                         .train_y = "",
                         .validation_x = "",
                         .validation_y = "",
                         .test_x = "",
                         .test_y = ""};
}

static void refuse_npz(npz_options o, dal_status want, const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_expect(&err, npz_impl.create(dal_runtime_host(rt, "npz"), &o, NULL, &self, &err), want, key, words);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* MedMNIST's keys, all six, the labels [n, 1] in Fortran order as NumPy writes them. */
static zip_maker medical(int deflated)
{
    const unsigned char y[4] = {2, 0, 1, 1};
    zip_maker z = {.n = 0};
    const char *x = make("x", "|u1", 0, "4, 2, 3", bytes, 24),
               *two = make("t", "|u1", 0, "2, 2, 3", bytes + 24, 12);
    add(&z, "train_images.npy", x, deflated);
    add(&z, "train_labels.npy", make("y", "|u1", 1, "4, 1", y, 4), !deflated);
    add(&z, "val_images.npy", two, deflated);
    add(&z, "val_labels.npy", make("v", "|u1", 1, "2, 1", y, 2), deflated);
    add(&z, "test_images.npy", two, deflated);
    add(&z, "test_labels.npy", make("w", "|u1", 1, "2, 1", y + 2, 2), deflated);
    return z;
}

Test(npz, takes_medmnists_arrays_by_themselves)
{
    for (int deflated = 0; deflated < 2; deflated++) {
        unsigned char u[6];
        zip_maker z = medical(deflated);
        npz_options o = npz_with(zm_write(&z, "m.npz", 0, ""));
        dal_runtime *rt = fx_runtime(1, 0);
        fx_dataset d = fx_open(&npz_impl, dal_runtime_host(rt, "npz"), &o, NULL);
        cr_assert_arr_eq(d.info.n, ((int64_t[]){4, 2, 2}), sizeof d.info.n);
        cr_assert_eq(d.info.spec.n_classes, 3);
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 0), 2);
        cr_assert_eq(fx_class(&d, DAL_SPLIT_VALIDATION, 1), 0);
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TEST, 1), 1);
        fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){3}, 1, u);
        cr_assert_arr_eq(u, ((unsigned char[]){18, 19, 20, 21, 22, 23}), 6);
        fx_read(&d, DAL_SPLIT_VALIDATION, (const int64_t[]){0}, 1, u);
        cr_assert_arr_eq(u, ((unsigned char[]){24, 25, 26, 27, 28, 29}), 6);
        npz_impl.destroy(d.self);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
}

Test(npz, takes_any_arrays_by_name_at_any_alignment)
{
    const float f[4] = {0.5f, 1, -2, 3};
    float got[2];
    zip_maker z = {.n = 0};
    zm_add(&z, "odd", "x", 1, 0);
    add(&z, "features.npy", make("f", "<f4", 0, "2, 2", f, sizeof f), 0);
    add(&z, "kind", make("k", "|u1", 0, "2,", bytes, 2), 0);
    npz_options o = npz_with(zm_write(&z, "a.npz", 0, ""));
    o.train_x = "features";
    o.train_y = "kind";
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&npz_impl, dal_runtime_host(rt, "npz"), &o, NULL);
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){1}, 1, got);
    cr_assert(got[0] == -2 && got[1] == 3);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 1), 1);
    cr_assert_arr_eq(d.info.n, ((int64_t[]){2, 0, 0}), sizeof d.info.n);
    npz_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(npz, refuses_what_is_not_in_it)
{
    zip_maker z = {.n = 0};
    add(&z, "a.npy", make("a", "|u1", 0, "4, 3", bytes, 12), 1);
    add(&z, "b.npy", make("b", "|u1", 0, "3,", bytes, 3), 1);
    add(&z, "c.npy", fx_text("c", "no array"), 1);
    npz_options o = npz_with(zm_write(&z, "a.npz", 0, ""));
    refuse_npz(o, DAL_E_INVALID, "train_x",
               "a.npz: there is neither 'train_images' nor 'x_train' in it; it has a, b, c");
    o.train_x = "x";
    refuse_npz(o, DAL_E_INVALID, "train_x", "a.npz: there is no array 'x' in it; it has a, b, c");
    o.train_x = "c";
    refuse_npz(o, DAL_E_FORMAT, "train_x", "a.npz:c: is not a .npy file");
    o.train_x = "a";
    o.train_y = "b";
    refuse_npz(o, DAL_E_INVALID, "train_y", "a.npz:b has 3 labels, but ");
    o.train_y = "";
    o.validation_y = "b";
    refuse_npz(o, DAL_E_INVALID, "validation_y", "there is a validation_y but no validation_x");
    o = npz_with(make("plain.npy", "|u1", 0, "4, 3", bytes, 12));
    refuse_npz(o, DAL_E_FORMAT, "path", "plain.npy: is not a .zip file (as .npz files are)");
    z = medical(1);
    z.directory[16] ^= 1;
    refuse_npz(npz_with(zm_write(&z, "crc.npz", 0, "")), DAL_E_FORMAT, "train_x",
               "crc.npz: a wrong checksum of 'train_images.npy'");
}

Test(npz, survives_every_failed_allocation)
{
    zip_maker z = medical(1);
    npz_options o = npz_with(zm_write(&z, "m.npz", 0, ""));
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = npz_impl.create(dal_runtime_host(rt, "npz"), &o, NULL, &self, &err);
        if (st == DAL_OK) {
            cr_assert_gt(k, 15);
            npz_impl.destroy(self);
            dal_runtime_free(rt);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
}

/* Counts, sums and pixels 10..17 of row 14 of the first image were taken from the file with numpy. */
Test(npz, pneumoniamnist_has_its_known_counts_and_pixels)
{
    static const int64_t n[] = {3882, 524, 624}, ones[] = {3494, 389, 390},
                         sums[] = {447494718, 59624090, 70355184};
    static const unsigned char row[][8] = {{167, 180, 197, 209, 209, 202, 195, 187},
                                           {156, 159, 158, 155, 152, 151, 151, 147},
                                           {183, 190, 191, 191, 188, 185, 181, 179}};
    npz_options o = npz_with(fx_data("medmnist/pneumoniamnist_subset.npz"));
    if (!o.path)
        return;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&npz_impl, dal_runtime_host(rt, "npz"), &o, NULL);
    cr_assert_arr_eq(d.info.n, n, sizeof n);
    cr_assert_eq(d.info.spec.n_classes, 2);
    cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){1, 28, 28}), 3 * sizeof(int64_t));
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        int64_t sum = 0, count = 0;
        unsigned char image[784];
        for (int64_t i = 0; i < n[k]; i++) {
            fx_read(&d, k, &i, 1, image);
            count += fx_class(&d, k, i);
            for (int j = 0; j < 784; j++)
                sum += image[j];
            if (i == 0)
                cr_assert_arr_eq(image + 14 * 28 + 10, row[k], 8);
        }
        cr_assert_eq(count, ones[k]);
        cr_assert_eq(sum, sums[k], "split %u adds up to %lld", k, (long long)sum);
    }
    npz_impl.destroy(d.self);
    dal_runtime_free(rt);
}
