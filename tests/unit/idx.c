#include "tests/unit/fixture.h"

#include "plugins/datasets/idx.c"

/* An IDX file of u8: its magic, its dimensions, then `n` bytes 0, 1, 2, ... */
static size_t make(unsigned char *out, uint32_t magic, const uint32_t *dims, int ndim, int n)
{
    size_t at = 0;
    for (int i = -1; i < ndim; i++)
        for (int shift = 24; shift >= 0; shift -= 8)
            out[at++] = (unsigned char)((i < 0 ? magic : dims[i]) >> shift);
    for (int i = 0; i < n; i++)
        out[at++] = (unsigned char)i;
    return at;
}

static const char *images(const char *name, uint32_t magic, uint32_t n, uint32_t h, uint32_t w, int bytes)
{
    unsigned char data[4096];
    const uint32_t dims[] = {n, h, w};
    return fx_write(name, data, make(data, magic, dims, 3, bytes));
}

static const char *labels(const char *name, uint32_t n, int bytes)
{
    unsigned char data[4096];
    return fx_write(name, data, make(data, 0x801, &n, 1, bytes));
}

static options with(const char *train_images, const char *train_labels)
{
    return (options){.train_images = train_images, .train_labels = train_labels, .test_images = "", .test_labels = ""};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_status st = idx_impl.create(dal_runtime_host(rt, "idx"), &o, NULL, &self, &err);
    fx_expect(&err, st, want, key, words);
    cr_assert_null(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0, "a refused dataset must leave nothing behind");
    dal_runtime_free(rt);
}

Test(idx, reads_samples_in_any_order_with_repeats)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(images("i", 0x803, 3, 2, 2, 12), labels("l", 3, 3));
    fx_dataset d = fx_open(&idx_impl, dal_runtime_host(rt, "idx"), &o, NULL);
    unsigned char got[12];
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){2, 0, 2}, 3, got);
    cr_assert_arr_eq(got, ((unsigned char[]){8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11}), 12);
    cr_assert_eq(d.info.spec.n_classes, 3);
    cr_assert_eq(d.info.n[DAL_SPLIT_TEST], 0);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 1), 1);
    idx_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(idx, takes_four_dimensions_as_channels)
{
    unsigned char data[256];
    const uint32_t dims[] = {2, 3, 2, 2};
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(fx_write("i", data, make(data, 0x804, dims, 4, 24)), "");
    fx_dataset d = fx_open(&idx_impl, dal_runtime_host(rt, "idx"), &o, NULL);
    cr_assert_eq(d.info.spec.shape[0], 3);
    cr_assert_eq(d.info.spec.shape[1], 2);
    cr_assert_eq(d.info.spec.n_classes, 0);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 1), DAL_LABEL_NONE);
    idx_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(idx, tells_gzip_by_content_and_reads_the_same)
{
    unsigned char data[256];
    const uint32_t dims[] = {3, 2, 2};
    const size_t n = make(data, 0x803, dims, 3, 12);
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *host = dal_runtime_host(rt, "idx");
    options plain = with(fx_write("plain.gz", data, n), ""), packed = with(fx_gzip("packed.idx", data, n), "");
    fx_dataset a = fx_open(&idx_impl, host, &plain, NULL), b = fx_open(&idx_impl, host, &packed, NULL);
    cr_assert_eq(fx_digest(&a, DAL_SPLIT_TRAIN), fx_digest(&b, DAL_SPLIT_TRAIN));
    idx_impl.destroy(a.self);
    idx_impl.destroy(b.self);
    dal_runtime_free(rt);
}

Test(idx, refuses_what_the_header_does_not_promise)
{
    refuse(with("/nowhere/x", ""), DAL_E_NOT_FOUND, "train_images", "/nowhere/x: cannot open: No such file");
    refuse(with("/tmp", ""), DAL_E_IO, "train_images", "/tmp: found a directory, expected a regular file");
    refuse(with(fx_text("e", ""), ""), DAL_E_FORMAT, "train_images", "0 bytes are too few for an IDX header");
    refuse(with(fx_write("s", "\0\0\10\3\0\0\0\1", 8), ""), DAL_E_FORMAT, "train_images",
           "truncated at offset 8 inside the header of 16 bytes");
    refuse(with(images("m", 0xdeadbeef, 1, 1, 1, 1), ""), DAL_E_FORMAT, "train_images",
           "wrong magic number: found 0xdeadbeef, expected 0x00000803 (u8 images, 3 dimensions)");
    refuse(with(images("f", 0xd03, 1, 1, 1, 4), ""), DAL_E_FORMAT, "train_images",
           "found IDX magic 0x00000d03 (f32, 3 dimensions), expected 0x00000803");
    refuse(with(labels("l", 3, 3), ""), DAL_E_FORMAT, "train_images",
           "found IDX magic 0x00000801 (u8, 1 dimension), expected 0x00000803");
    refuse(with(images("z", 0x803, 0, 2, 2, 0), ""), DAL_E_FORMAT, "train_images",
           "dimension 0 at offset 4 is 0, expected 1 or more");
    refuse(with(images("h", 0x803, 0xffffffff, 0xffffffff, 0xffffffff, 0), ""), DAL_E_OVERFLOW, "train_images",
           "the dimensions in the header are too large");
    refuse(with(images("t", 0x803, 3, 2, 2, 11), ""), DAL_E_FORMAT, "train_images",
           "truncated at offset 27: the header says 3 x 2 x 2, which is 28 bytes in all");
    refuse(with(images("x", 0x803, 3, 2, 2, 13), ""), DAL_E_FORMAT, "train_images",
           "trailing bytes at offset 28: the header says 3 x 2 x 2, which is 28 bytes in all");
}

Test(idx, refuses_labels_that_do_not_fit_the_images)
{
    const char *i = images("i", 0x803, 3, 2, 2, 12);
    refuse(with(i, images("m", 0x803, 3, 2, 2, 12)), DAL_E_FORMAT, "train_labels",
           "found IDX magic 0x00000803 (u8, 3 dimensions), expected 0x00000801 (u8 labels, 1 dimension)");
    char words[300];
    const char *l = labels("l", 4, 4);
    snprintf(words, sizeof words, "%s has 4 labels, but %s has 3 images", l, i);
    refuse(with(i, l), DAL_E_INVALID, "train_labels", words);
    options o = with(i, labels("k", 3, 3));
    o.n_classes = 2;
    refuse(o, DAL_E_FORMAT, "train_labels", "label 2 at offset 10 (sample 2), expected 0..1");
    o = with(i, "");
    o.test_labels = l;
    refuse(o, DAL_E_INVALID, "test_labels", "there are test_labels but no test_images");
    o = with(i, "");
    o.test_images = images("w", 0x803, 1, 2, 3, 6);
    refuse(o, DAL_E_INVALID, "test_images", "images of 1 x 2 x 3, expected 1 x 2 x 2 as in");
}

Test(idx, refuses_class_names_that_do_not_fit)
{
    const char *twice[] = {"a", "b", "a"};
    options o = with(images("i", 0x803, 3, 2, 2, 12), labels("l", 3, 3));
    o.class_names = (dal_str_list){twice, 3};
    refuse(o, DAL_E_INVALID, "class_names", "'a' names class 0 and class 2");
    o.n_classes = 4;
    refuse(o, DAL_E_INVALID, "class_names", "3 names for 4 classes");
}

Test(idx, refuses_gzip_that_lies)
{
    unsigned char data[4096], cut[4096];
    size_t n;
    uint32_t dims[] = {30, 10, 10};
    const char *good = fx_gzip("good", data, make(data, 0x803, dims, 3, 3000));
    unsigned char *raw = fx_slurp(good, &n);

    memcpy(cut, raw, n);
    refuse(with(fx_write("cut", cut, n / 2), ""), DAL_E_FORMAT, "train_images",
           "truncated gzip data: the file ends at offset");
    cut[n - 6] ^= 1; /* the checksum */
    refuse(with(fx_write("crc", cut, n), ""), DAL_E_FORMAT, "train_images", "(incorrect data check)");
    memcpy(cut, raw, n);
    memcpy(cut + n, "junk", 4);
    refuse(with(fx_write("junk", cut, n + 4), ""), DAL_E_FORMAT, "train_images",
           "4 trailing bytes after the end of the gzip data at offset");
    refuse(with(fx_gzip("more", data, make(data, 0x803, dims, 3, 3001)), ""), DAL_E_FORMAT, "train_images",
           "trailing bytes at offset 3016 of the inflated data: the header says 30 x 10 x 10");
    refuse(with(fx_gzip("less", data, make(data, 0x803, dims, 3, 2999)), ""), DAL_E_FORMAT, "train_images",
           "truncated at offset 3015 of the inflated data: the header says 30 x 10 x 10");
    dims[0] = 0x7fffffff; /* 200 GB promised by a file of a few bytes */
    refuse(with(fx_gzip("huge", data, make(data, 0x803, dims, 3, 3000)), ""), DAL_E_FORMAT, "train_images",
           "truncated at offset 3016 of the inflated data: the header says 2147483647 x 10 x 10");
    free(raw);
}

Test(idx, inflates_a_bomb_no_further_than_its_header_says)
{
    const size_t n = (size_t)64 << 20;
    unsigned char *zeros = calloc(n, 1);
    const uint32_t dims[] = {4, 1, 1};
    make(zeros, 0x803, dims, 3, 4);
    const char *bomb = fx_gzip("bomb", zeros, n);
    refuse(with(bomb, ""), DAL_E_FORMAT, "train_images",
           "trailing bytes at offset 20 of the inflated data: the header says 4 x 1 x 1");
    free(zeros);
}

Test(idx, survives_every_failed_allocation)
{
    unsigned char data[256];
    const uint32_t dims[] = {3, 2, 2};
    options o = with(fx_gzip("i", data, make(data, 0x803, dims, 3, 12)), labels("l", 3, 3));
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = idx_impl.create(dal_runtime_host(rt, "idx"), &o, NULL, &self, &err);
        if (st == DAL_OK) {
            cr_assert_gt(k, 3);
            idx_impl.destroy(self);
            dal_runtime_free(rt);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
}

static void check_real(const char *folder, const int64_t *per_class, int64_t pixel_sum, const unsigned char *row14)
{
    char name[4][128];
    const char *files[] = {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                           "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"};
    const char *path[4];
    for (int i = 0; i < 4; i++) {
        snprintf(name[i], sizeof name[i], "%s/%s", folder, files[i]);
        if (!(path[i] = fx_data(name[i])))
            return;
    }
    dal_runtime *rt = fx_runtime(1, 0);
    options o = {path[0], path[1], path[2], path[3], 0, {0}};
    fx_dataset d = fx_open(&idx_impl, dal_runtime_host(rt, "idx"), &o, NULL);
    cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 60000);
    cr_assert_eq(d.info.n[DAL_SPLIT_TEST], 10000);
    cr_assert_eq(d.info.spec.n_classes, 10);
    int64_t counts[10] = {0}, sum = 0;
    unsigned char row[784];
    for (int64_t i = 0; i < 60000; i++) {
        counts[fx_class(&d, DAL_SPLIT_TRAIN, i)]++;
        fx_read(&d, DAL_SPLIT_TRAIN, &i, 1, row);
        for (int j = 0; j < 784; j++)
            sum += row[j];
    }
    cr_assert_arr_eq(counts, per_class, sizeof counts);
    cr_assert_eq(sum, pixel_sum, "the pixels add up to %lld", (long long)sum);
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){0}, 1, row);
    cr_assert_arr_eq(row + 14 * 28, row14, 28);
    idx_impl.destroy(d.self);
    dal_runtime_free(rt);
}
/* Counts, sums and the middle row of sample 0 were taken from the files with numpy, apart from this reader. */
Test(idx, mnist_has_its_known_counts_and_pixels)
{
    const int64_t counts[] = {5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949};
    const unsigned char row14[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 81, 240, 253, 253, 119, 25, 0, 0, 0, 0, 0, 0,
                                   0, 0, 0};
    check_real("mnist", counts, 1567298545, row14);
}

Test(idx, fashion_mnist_has_6000_of_each_class_and_its_known_pixels)
{
    const int64_t counts[] = {6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000};
    const unsigned char row14[] = {0, 0, 1, 4, 6, 7, 2, 0, 0, 0, 0, 0, 237, 226, 217, 223, 222, 219, 222, 221, 216,
                                   223, 229, 215, 218, 255, 77, 0};
    check_real("fashion-mnist", counts, 3431114169, row14);
}
