#include "tests/unit/tar_make.h"

#include "plugins/datasets/cifar_binary.c"

#define MOST 8
static unsigned char image[PIXELS];

/* n records: record i has the labels a[i] (and b[i]), then bytes i + 7 j. */
static size_t make(unsigned char *out, int n, const int *a, const int *b)
{
    unsigned char *at = out;
    for (int i = 0; i < n; i++) {
        *at++ = (unsigned char)a[i];
        if (b)
            *at++ = (unsigned char)b[i];
        for (int j = 0; j < PIXELS; j++)
            *at++ = (unsigned char)(i + 7 * j);
    }
    return (size_t)(at - out);
}

static const int classes[MOST] = {3, 9, 0, 1, 2, 7, 8, 5}, fines[MOST] = {99, 0, 50, 3, 4, 5, 6, 7};

static const char *records(const char *name, int n, int fine)
{
    static unsigned char data[MOST * (PIXELS + 2)];
    return fx_write(name, data, make(data, n, classes, fine ? fines : NULL));
}

static options with(const char *train)
{
    return (options){.train = train, .test = "", .names = "", .batches = 1};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&cifar_impl, &o, want, key, words);
}

Test(cifar_binary, reads_samples_in_any_order_with_repeats)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(records("train.bin", 3, 0));
    o.test = records("test.bin", 2, 0);
    fx_dataset d = fx_open(&cifar_impl, dal_runtime_host(rt, "cifar"), &o, NULL);
    static unsigned char got[3 * PIXELS];
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){2, 0, 2}, 3, got);
    for (int j = 0; j < PIXELS; j++) {
        image[j] = (unsigned char)(2 + 7 * j);
        cr_assert_eq(got[PIXELS + j], (unsigned char)(7 * j));
    }
    cr_assert_arr_eq(got, image, PIXELS);
    cr_assert_arr_eq(got + 2 * PIXELS, image, PIXELS);
    cr_assert_arr_eq(d.info.n, ((int64_t[]){3, 0, 2}), sizeof d.info.n);
    cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){3, 32, 32}), 3 * sizeof(int64_t));
    cr_assert_eq(d.info.spec.n_classes, 10);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 1), 9);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TEST, 0), 3);
    cifar_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(cifar_binary, reads_fine_or_coarse_labels)
{
    for (uint32_t labels = FINE; labels <= COARSE; labels++) {
        dal_runtime *rt = fx_runtime(1, 0);
        options o = with(records("train.bin", MOST, 1));
        o.labels = labels;
        fx_dataset d = fx_open(&cifar_impl, dal_runtime_host(rt, "cifar"), &o, NULL);
        cr_assert_eq(d.info.spec.n_classes, labels == FINE ? 100 : 20);
        for (int i = 0; i < MOST; i++)
            cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, i), labels == FINE ? fines[i] : classes[i]);
        fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){5}, 1, image);
        cr_assert_eq(image[1], 12);
        cifar_impl.destroy(d.self);
        dal_runtime_free(rt);
    }
}

Test(cifar_binary, joins_batches_plain_and_gzip)
{
    static unsigned char data[MOST * (PIXELS + 1)];
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(records("data_batch_1.bin.x1", 3, 0));
    fx_gzip("data_batch_2.bin.x1", data, make(data, 4, classes + 3, NULL)); /* told by content */
    records("data_batch_3.bin.x1", 1, 0);
    o.batches = 3;
    fx_dataset d = fx_open(&cifar_impl, dal_runtime_host(rt, "cifar"), &o, NULL);
    char name[40];
    cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 8);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, i), classes[i < 7 ? i : 0]);
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){4}, 1, image);
    cr_assert_eq(image[0], 1, "the second of the second file");
    cifar_impl.describe(d.self, DAL_SPLIT_TRAIN, 4, name, sizeof name);
    cr_assert_str_eq(name, "data_batch_2.bin.x1 1");
    cifar_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(cifar_binary, takes_class_names_from_a_file)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(records("train.bin", 3, 0));
    o.names = fx_text("names", "a\nb\r\nc c\nd\ne\nf\ng\nh\ni\nj\n\n");
    fx_dataset d = fx_open(&cifar_impl, dal_runtime_host(rt, "cifar"), &o, NULL);
    cr_assert_str_eq(d.info.class_names[1], "b");
    cr_assert_str_eq(d.info.class_names[2], "c c");
    cr_assert_str_eq(d.info.class_names[9], "j");
    cifar_impl.destroy(d.self);
    dal_runtime_free(rt);
    o.names = fx_text("few", "a\nb\n");
    refuse(o, DAL_E_INVALID, "names", "few: 2 names for 10 classes");
    o.names = fx_text("gap", "a\n\nb\n");
    refuse(o, DAL_E_FORMAT, "names", "gap: line 2 has no name");
    o.names = fx_text("twice", "a\nb\nc\nd\ne\nf\ng\nh\ni\na\n");
    refuse(o, DAL_E_INVALID, "names", "twice: 'a' names class 0 and class 9");
    o.names = fx_write("nul", "a\0b", 3);
    refuse(o, DAL_E_FORMAT, "names", "nul: expected class names, one a line");
}

Test(cifar_binary, refuses_files_that_are_no_records)
{
    static unsigned char data[MOST * (PIXELS + 2)];
    size_t n = make(data, 3, classes, NULL);
    refuse(with("/nowhere/x"), DAL_E_NOT_FOUND, "train", "/nowhere/x: cannot open: No such file");
    refuse(with(fx_text("empty", "")), DAL_E_FORMAT, "train", "empty: there is nothing in it");
    refuse(with(fx_write("cut", data, n - 1)), DAL_E_FORMAT, "train",
           "cut: truncated at offset 9218: sample 2 begins at 6146 and takes 3073 bytes");
    refuse(with(fx_gzip("packed", data, n + 5)), DAL_E_FORMAT, "train",
           "packed: truncated at offset 9224 of the inflated data: sample 3 begins at 9219");
    refuse(with(records("fine", 4, 1)), DAL_E_FORMAT, "train",
           "fine: 12296 bytes are records of 3074, as CIFAR-100 has them; say labels: fine or coarse");
    options o = with(records("plain", 4, 0));
    o.labels = FINE;
    refuse(o, DAL_E_FORMAT, "train", "12292 bytes are records of 3073, as CIFAR-10 has them; say labels: cifar10");
    data[3073] = 10;
    refuse(with(fx_write("label", data, n)), DAL_E_FORMAT, "train",
           "label: label 10 at offset 3073 (sample 1), expected 0..9");
    n = make(data, 3, classes, (const int[]){0, 0, 100});
    o.train = fx_write("fine-label", data, n);
    refuse(o, DAL_E_FORMAT, "train", "fine-label: fine label 100 at offset 6149 (sample 2), expected 0..99");
    data[0] = 20;
    o.labels = COARSE;
    o.train = fx_write("coarse-label", data, n);
    refuse(o, DAL_E_FORMAT, "train", "coarse-label: coarse label 20 at offset 0 (sample 0), expected 0..19");
}

Test(cifar_binary, refuses_batches_that_cannot_be_counted)
{
    options o = with(records("data_batch_1.bin", 2, 0));
    o.batches = 2;
    refuse(o, DAL_E_NOT_FOUND, "train", "data_batch_2.bin: cannot open");
    o.train = records("train.bin", 2, 0);
    refuse(o, DAL_E_INVALID, "batches", "train.bin: its name has no number 1 to count up from");
    o.train = records("batch_11.bin", 2, 0);
    refuse(o, DAL_E_INVALID, "batches", "batch_11.bin: its name has no number 1 to count up from");
}

Test(cifar_binary, survives_every_failed_allocation)
{
    static unsigned char data[MOST * (PIXELS + 1)];
    options o = with(fx_gzip("data_batch_1.bin", data, make(data, 4, classes, NULL)));
    records("data_batch_2.bin", 2, 0);
    o.batches = 2;
    o.names = fx_text("names", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = cifar_impl.create(dal_runtime_host(rt, "cifar"), &o, NULL, &self, &err);
        if (st == DAL_OK) {
            cr_assert_gt(k, 8);
            cifar_impl.destroy(self);
            dal_runtime_free(rt);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
}

/* ---- the real files: counts, sums and pixels taken with numpy, apart from this reader ---- */

typedef struct known {
    int64_t n, sum; /* samples, all their bytes */
    int labels[6];
    unsigned char red[8], last_blue[8], green16[8]; /* sample 0; the last sample; row 16 of sample 3 */
} known;

static void check_split(const fx_dataset *d, uint32_t k, const known *want, int64_t *counts)
{
    int64_t sum = 0;
    cr_assert_eq(d->info.n[k], want->n);
    for (int64_t i = 0; i < want->n; i++) {
        counts[fx_class(d, k, i)]++;
        fx_read(d, k, &i, 1, image);
        for (int j = 0; j < PIXELS; j++)
            sum += image[j];
        if (i < 6)
            cr_assert_eq(fx_class(d, k, i), want->labels[i]);
        if (i == 0)
            cr_assert_arr_eq(image, want->red, 8);
        if (i == 3)
            cr_assert_arr_eq(image + 1024 + 16 * 32, want->green16, 8);
        if (i == want->n - 1)
            cr_assert_arr_eq(image + PIXELS - 8, want->last_blue, 8);
    }
    cr_assert_eq(sum, want->sum, "the pixels add up to %lld", (long long)sum);
}

Test(cifar_binary, cifar10_has_its_known_counts_and_pixels)
{
    const known train = {10000, 3718380578, {6, 9, 9, 4, 1, 1}, {59, 43, 50, 68, 98, 119, 139, 145},
                         {131, 131, 131, 130, 130, 130, 130, 131}, {59, 68, 75, 96, 94, 92, 80, 36}};
    const known test = {10000, 3733375634, {3, 8, 8, 0, 6, 6}, {158, 159, 165, 166, 160, 156, 162, 159},
                        {88, 85, 93, 93, 90, 94, 58, 26}, {186, 215, 214, 213, 214, 214, 212, 217}};
    const int64_t train_counts[10] = {1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981};
    int64_t counts[10] = {0};
    options o = {.train = fx_data("cifar10/data_batch_1.bin.gz"), .test = fx_data("cifar10/test_batch.bin.gz"),
                 .names = fx_data("cifar10/batches.meta.txt"), .batches = 1};
    if (!o.train || !o.test || !o.names)
        return;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&cifar_impl, dal_runtime_host(rt, "cifar"), &o, NULL);
    check_split(&d, DAL_SPLIT_TRAIN, &train, counts);
    cr_assert_arr_eq(counts, train_counts, sizeof counts);
    memset(counts, 0, sizeof counts);
    check_split(&d, DAL_SPLIT_TEST, &test, counts);
    for (int c = 0; c < 10; c++)
        cr_assert_eq(counts[c], 1000);
    cr_assert_str_eq(d.info.class_names[fx_class(&d, DAL_SPLIT_TRAIN, 0)], "frog");
    cr_assert_str_eq(d.info.class_names[fx_class(&d, DAL_SPLIT_TEST, 0)], "cat");
    cifar_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(cifar_binary, cifar100_has_its_known_counts_and_pixels)
{
    known train = {2000, 754465516, {0, 1, 2, 3, 4, 5}, {192, 191, 191, 189, 189, 191, 190, 192},
                   {66, 66, 65, 66, 66, 66, 66, 66}, {133, 106, 93, 120, 175, 203, 204, 208}};
    known test = {500, 184844969, {0, 1, 2, 3, 4, 5}, {103, 133, 191, 206, 212, 209, 206, 194},
                  {19, 22, 2, 1, 1, 1, 1, 0}, {169, 167, 168, 163, 154, 146, 146, 148}};
    static const int coarse[6] = {4, 1, 14, 8, 0, 6};
    for (uint32_t labels = FINE; labels <= COARSE; labels++) {
        const int64_t c = labels == FINE ? 100 : 20;
        options o = {
            .train = fx_data("cifar100/train_subset.bin.gz"),
            .test = fx_data("cifar100/test_subset.bin.gz"),
            .names = fx_data(labels == FINE ? "cifar100/fine_label_names.txt" : "cifar100/coarse_label_names.txt"),
            .batches = 1,
            .labels = labels};
        if (!o.train || !o.test || !o.names)
            return;
        int64_t counts[2][100] = {{0}};
        if (labels == COARSE) {
            memcpy(train.labels, coarse, sizeof coarse);
            memcpy(test.labels, coarse, sizeof coarse);
        }
        dal_runtime *rt = fx_runtime(1, 0);
        fx_dataset d = fx_open(&cifar_impl, dal_runtime_host(rt, "cifar"), &o, NULL);
        cr_assert_eq(d.info.spec.n_classes, c);
        check_split(&d, DAL_SPLIT_TRAIN, &train, counts[0]);
        check_split(&d, DAL_SPLIT_TEST, &test, counts[1]);
        for (int64_t k = 0; k < c; k++)
            cr_assert(counts[0][k] == 2000 / c && counts[1][k] == 500 / c);
        cr_assert_str_eq(d.info.class_names[0], labels == FINE ? "apple" : "aquatic_mammals");
        cifar_impl.destroy(d.self);
        dal_runtime_free(rt);
    }
}

#ifdef DAL_HAVE_ARCHIVE
/* The batches `first`.. of an archive, in an order of no sense, with the test batch and names. */
static const char *archive(const char *name, const char *batches, int fine)
{
    static tar_maker t;
    static unsigned char data[MOST * (PIXELS + 2)];
    char member[64];
    t.n = 0;
    tm_add(&t, "cifar/readme.html", "text", 4);
    for (; *batches; batches++) {
        snprintf(member, sizeof member, "cifar/%s_batch%s%.1s.bin", *batches == 't' ? "test" : "data",
                 *batches == 't' ? "" : "_", *batches == 't' ? "" : batches);
        const int n = *batches == 't' ? 2 : *batches - '0';
        tm_add(&t, fine ? *batches == 't' ? "test.bin" : "train.bin" : member, data,
               make(data, n, classes + n - 1, fine ? fines : NULL));
    }
    tm_add(&t, fine ? "x/coarse_label_names.txt" : "cifar/batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n", 21);
    tm_end(&t);
    return fx_gzip(name, t.data, t.n);
}

Test(cifar_binary, takes_all_that_an_archive_has)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(archive("all.tar.gz", "2t13", 0));
    o.batches = 0;
    fx_dataset d = fx_open(&cifar_impl, dal_runtime_host(rt, "cifar"), &o, NULL);
    char name[40];
    cr_assert_arr_eq(d.info.n, ((int64_t[]){6, 0, 2}), sizeof d.info.n);
    static const int order[] = {0, 1, 2, 2, 3, 4}; /* batches of 1, 2 and 3, each from another place on */
    for (int i = 0; i < 6; i++)
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, i), classes[order[i]]);
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){5}, 1, image);
    cr_assert(image[0] == 2 && image[1] == 9, "the third of the third batch");
    cr_assert_str_eq(d.info.class_names[9], "j");
    cifar_impl.describe(d.self, DAL_SPLIT_TRAIN, 4, name, sizeof name);
    cr_assert_str_eq(name, "data_batch_3.bin 1");
    cifar_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    o.batches = 2;
    o.test = records("mine.bin", 3, 0);
    d = fx_open(&cifar_impl, dal_runtime_host(rt, "cifar"), &o, NULL);
    cr_assert_arr_eq(d.info.n, ((int64_t[]){3, 0, 3}), sizeof d.info.n);
    cifar_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(cifar_binary, refuses_archives_that_lack_something)
{
    options o = with(archive("two.tar.gz", "13t", 0));
    o.batches = 3;
    refuse(o, DAL_E_FORMAT, "train",
           "two.tar.gz: an archive without data_batch_2.bin; say labels: fine or coarse if it is of CIFAR-100");
    o.labels = COARSE;
    refuse(o, DAL_E_FORMAT, "train",
           "two.tar.gz: an archive without train.bin; say labels: cifar10 if it is of CIFAR-10");
    o = with(archive("twice.tar.gz", "11", 0));
    refuse(o, DAL_E_FORMAT, "train", "twice.tar.gz: 'cifar/data_batch_1.bin' and ");
    o = with(archive("fine.tar.gz", "1t", 1));
    o.labels = COARSE;
    refuse(o, DAL_E_INVALID, "names", "fine.tar.gz:x/coarse_label_names.txt: 10 names for 20 classes");
}
#endif
