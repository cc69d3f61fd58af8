#include "tests/unit/zip_make.h"

#include <dal/archive.h>

#include "plugins/datasets/tiny_imagenet.c"

/* Pictures are PPM in files named as JPEG: what they are, the content tells. */
static size_t picture(unsigned char *out, int value)
{
    const size_t n = (size_t)sprintf((char *)out, "P6 2 2 255\n");
    memset(out + n, value, 12);
    return n + 12;
}

/* What a test changes; NULL: as it should be. */
typedef struct change {
    const char *wnids, *words, *annotations, *extra;
    int val_folders;
} change;

static const char *make(const char *name, change c)
{
    static zip_maker z;
    unsigned char data[64];
    char path[100];
    static const char *const ids[] = {"n02", "n01", "n03"};
    z = (zip_maker){.n = 0};
    c.wnids = c.wnids ? c.wnids : "n02\nn01\r\nn03\n";
    c.words = c.words ? c.words : "n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane, a bird\nn99\tnobody\n";
    c.annotations = c.annotations ? c.annotations
        : "val_0.JPEG\tn03\t0\t32\t44\t62\nval_10.JPEG\tn02\t1\t2\t3\t4\nval_2.JPEG\tn01\n";
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof path, "set/train/%s/images/%s_%d.JPEG", ids[k], ids[k], i);
            zm_add(&z, path, data, picture(data, 10 * k + i), 1);
        }
    zm_add(&z, "set/train/n01/n01_boxes.txt", "n01_0.JPEG\t0\t1\t2\t3\n", 19, 0);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, c.val_folders ? "set/val/%s/images/v.JPEG" : "set/val/images/val_%.0s%d.JPEG",
                 ids[i], i == 1 ? 10 : i);
        zm_add(&z, path, data, picture(data, 100 + i), 1);
    }
    zm_add(&z, "set/test/images/test_0.JPEG", data, picture(data, 200), 1);
    if (c.extra)
        zm_add(&z, c.extra, data, picture(data, 77), 0);
    zm_add(&z, "set/words.txt", c.words, strlen(c.words), 1);
    if (c.wnids[0])
        zm_add(&z, "set/wnids.txt", c.wnids, strlen(c.wnids), 1);
    if (!c.val_folders)
        zm_add(&z, "set/val/val_annotations.txt", c.annotations, strlen(c.annotations), 1);
    return zm_write(&z, name, 0, "");
}

static options with(const char *path)
{
    return (options){.path = path, .cache = 1 << 20};
}

static void refuse(change c, dal_status want, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(make("tiny.zip", c));
    fx_expect(&err, tiny_impl.create(dal_runtime_host(rt, "t"), &o, NULL, &self, &err), want, "path", words);
    cr_assert_null(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0, "a refused dataset must leave nothing behind");
    dal_runtime_free(rt);
}

Test(tiny_imagenet, reads_its_own_layout)
{
    static const char *const names[] = {"crane", "goldfish", "crane (n03)"};
    static const int train[] = {1, 1, 0, 0, 2, 2}, values[] = {10, 11, 0, 1, 20, 21};
    static const int val[] = {2, 0, 1}, val_values[] = {100, 101, 102}; /* val_0, val_10, val_2 */
    dal_runtime *rt = fx_runtime(2, 0);
    options o = with(make("tiny.zip", (change){0}));
    o.unlabelled = 1;
    fx_dataset d = fx_open(&tiny_impl, dal_runtime_host(rt, "t"), &o, NULL);
    unsigned char got[12];
    char name[64];
    cr_assert_arr_eq(d.info.n, ((int64_t[]){7, 0, 3}), sizeof d.info.n);
    cr_assert_eq(d.info.spec.n_classes, 3);
    for (int c = 0; c < 3; c++)
        cr_assert_str_eq(d.info.class_names[c], names[c]);
    for (int64_t i = 0; i < 6; i++) {
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, i), train[i]);
        fx_read(&d, DAL_SPLIT_TRAIN, &i, 1, got);
        cr_assert_eq(got[5], values[i]);
    }
    for (int64_t i = 0; i < 3; i++) {
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TEST, i), val[i]);
        fx_read(&d, DAL_SPLIT_TEST, &i, 1, got);
        cr_assert_eq(got[5], val_values[i]);
    }
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 6), DAL_LABEL_NONE);
    tiny_impl.describe(d.self, DAL_SPLIT_TEST, 1, name, sizeof name);
    cr_assert_str_eq(name, "set/val/images/val_10.JPEG");
    tiny_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(tiny_imagenet, reads_val_sorted_into_folders)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(make("tiny.zip", (change){.val_folders = 1}));
    o.val = VAL_VALIDATION;
    o.names = NAMES_WNIDS;
    fx_dataset d = fx_open(&tiny_impl, dal_runtime_host(rt, "t"), &o, NULL);
    cr_assert_arr_eq(d.info.n, ((int64_t[]){6, 3, 0}), sizeof d.info.n);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(fx_class(&d, DAL_SPLIT_VALIDATION, i), (i == 0) + 2 * (i == 2));
    cr_assert_str_eq(d.info.class_names[0], "n02");
    tiny_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(tiny_imagenet, refuses_what_does_not_fit_together)
{
    refuse((change){.wnids = ""}, DAL_E_FORMAT, "there is no wnids.txt in it");
    refuse((change){.wnids = "\n\n"}, DAL_E_FORMAT, "wnids.txt:1: expected WordNet ids");
    refuse((change){.wnids = "n01\nn02\nn01\n"}, DAL_E_FORMAT, "tiny.zip:set/wnids.txt:3: a second time 'n01'");
    refuse((change){.wnids = "n01\nn\033 2\n"}, DAL_E_FORMAT,
           "wnids.txt:2: expected a WordNet id such as n01443537, found 'n? 2'");
    refuse((change){.wnids = "n01\nn 2\n"}, DAL_E_FORMAT,
           "wnids.txt:2: expected a WordNet id such as n01443537, found 'n 2'");
    refuse((change){.wnids = "n01\nn02\n"}, DAL_E_FORMAT, "n03_0.JPEG: its folder is no class of wnids.txt");
    refuse((change){.words = "n01\tfish\nn02"}, DAL_E_FORMAT,
           "words.txt:2: expected an id, a tab and words, found 'n02'");
    refuse((change){.words = "n01\tfi\377sh\n"}, DAL_E_FORMAT, "words.txt: no UTF-8 text at offset 6");
    refuse((change){.annotations = "val_0.JPEG\tn03\nval_2.JPEG\n"}, DAL_E_FORMAT,
           "val_annotations.txt:2: expected a picture, a tab and its class, found 'val_2.JPEG'");
    refuse((change){.annotations = "val_0.JPEG\tn03\nval_7.JPEG\tn01\t"}, DAL_E_FORMAT,
           "val_annotations.txt:2: there is no such picture in val/images: 'val_7.JPEG");
    refuse((change){.annotations = "val_0.JPEG\tn04\t1"}, DAL_E_FORMAT,
           "val_annotations.txt:1: no class of wnids.txt: 'n04");
    refuse((change){.annotations = "val_0.JPEG\tn03\nval_0.JPEG\tn03\n"}, DAL_E_FORMAT,
           "val_annotations.txt:2: a second time 'val_0.JPEG");
    refuse((change){.annotations = "val_0.JPEG\tn03\nval_10.JPEG\tn03\n"}, DAL_E_FORMAT,
           "val_2.JPEG: it has no line in val_annotations.txt");
    refuse((change){.annotations = "../val/val_0.JPEG\tn03\n"}, DAL_E_FORMAT, "there is no such picture");
    refuse((change){.extra = "set/train/free.JPEG"}, DAL_E_FORMAT,
           "train/free.JPEG: its folder is no class of wnids.txt");
}

Test(tiny_imagenet, survives_every_failed_allocation)
{
    options o = with(make("tiny.zip", (change){0}));
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = tiny_impl.create(dal_runtime_host(rt, "t"), &o, NULL, &self, &err);
        tiny_impl.destroy(self);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 20);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}

/* ---- the real pictures: counts, sums and pixels taken with Pillow, apart from this reader ---- */

typedef struct known {
    int64_t n, sum;
    struct {
        int64_t id, sum;
        unsigned char red[8], green32[8], last_blue[8];
    } some[3];
} known;

static void check_split(const fx_dataset *d, uint32_t k, const known *want)
{
    static unsigned char image[3 * 64 * 64];
    int64_t sum = 0, counts[10] = {0};
    cr_assert_eq(d->info.n[k], want->n);
    for (int64_t i = 0; i < want->n; i++) {
        int64_t here = 0;
        counts[fx_class(d, k, i)]++;
        fx_read(d, k, &i, 1, image);
        for (size_t j = 0; j < sizeof image; j++)
            here += image[j];
        sum += here;
        for (int s = 0; s < 3; s++)
            if (want->some[s].id == i) {
                cr_assert_eq(here, want->some[s].sum);
                cr_assert_arr_eq(image, want->some[s].red, 8);
                cr_assert_arr_eq(image + 64 * 64 + 32 * 64, want->some[s].green32, 8);
                cr_assert_arr_eq(image + sizeof image - 8, want->some[s].last_blue, 8);
            }
    }
    cr_assert_eq(sum, want->sum, "the pixels add up to %lld", (long long)sum);
    for (int c = 0; c < 10; c++)
        cr_assert_eq(counts[c], want->n / 10);
}

#if defined(DAL_HAVE_JPEG) && defined(DAL_HAVE_ARCHIVE)
Test(tiny_imagenet, has_its_known_counts_and_pixels)
{
    static const known train = {
        2500, 3454695979,
        {{0, 1269139, {0, 0, 0, 7, 9, 3, 2, 5}, {1, 11, 2, 21, 87, 127, 255, 27},
          {138, 183, 139, 144, 58, 119, 37, 164}},
         {777, 1044864, {75, 100, 125, 139, 163, 199, 232, 249}, {4, 4, 2, 2, 2, 1, 0, 0},
          {43, 23, 13, 16, 18, 13, 8, 11}},
         {2499, 1077823, {126, 123, 120, 119, 117, 115, 120, 128}, {35, 28, 44, 45, 63, 42, 41, 32},
          {71, 71, 73, 72, 71, 69, 69, 68}}}};
    static const known val = {
        500, 694003907,
        {{0, 1179517, {100, 101, 104, 107, 111, 114, 117, 118}, {89, 91, 92, 91, 94, 98, 96, 91},
          {31, 38, 41, 37, 32, 30, 30, 28}},
         {77, 984766, {125, 125, 125, 126, 127, 127, 128, 128}, {24, 7, 7, 2, 0, 15, 18, 123},
          {0, 0, 0, 0, 1, 2, 5, 5}},
         {499, 1114706, {37, 41, 1, 12, 119, 90, 83, 123}, {140, 255, 240, 243, 241, 249, 252, 174},
          {65, 60, 81, 69, 67, 76, 22, 0}}}};
    static const int classes[] = {1, 7, 6, 1, 0, 0, 2, 6};
    const char *path = fx_data("tiny-imagenet/tiny-imagenet-10class-subset.tar.gz");
    if (!path)
        return;
    dal_runtime *rt = fx_runtime(2, 0);
    options o = with(path);
    fx_dataset d = fx_open(&tiny_impl, dal_runtime_host(rt, "t"), &o, NULL);
    check_split(&d, DAL_SPLIT_TRAIN, &train);
    check_split(&d, DAL_SPLIT_TEST, &val);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TEST, i), classes[i]);
    cr_assert(fx_class(&d, DAL_SPLIT_TEST, 77) == 8 && fx_class(&d, DAL_SPLIT_TEST, 499) == 5);
    unsigned char grey[3 * 4096];
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){320}, 1, grey);
    cr_assert(memcmp(grey, grey + 4096, 8192) == 0, "a grey picture");
    tiny_impl.destroy(d.self);
    dal_runtime_free(rt);
}
#endif
