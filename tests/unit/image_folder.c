#include "tests/unit/tar_make.h"
#include "tests/unit/zip_make.h"

#include <dal/archive.h>

#include "plugins/datasets/image_folder.c"

/* Sample k of class c is a PPM of one colour, 3 x 2 pixels: (10 c + k, c, 200). */
static size_t picture(unsigned char *out, int c, int k, int h, int w, int grey)
{
    int n = sprintf((char *)out, "P%d\n%d %d\n255\n", grey ? 5 : 6, w, h);
    for (int i = 0; i < h * w; i++) {
        out[n++] = (unsigned char)(10 * c + k);
        if (!grey) {
            out[n++] = (unsigned char)c;
            out[n++] = 200;
        }
    }
    return (size_t)n;
}

static const char *const classes[] = {"ant", "bee", "bee 2"};

typedef void adder(void *to, const char *name, const void *data, size_t n);

static void add_tar(void *to, const char *name, const void *data, size_t n)
{
    tm_add(to, name, data, n);
}

static void add_zip(void *to, const char *name, const void *data, size_t n)
{
    zm_add(to, name, data, n, 1);
}

/* Into the folder whose path is `to`. */
static void add_file(void *to, const char *name, const void *data, size_t n)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", (char *)to, name);
    for (char *p = path; (p = strchr(p, '/')); *p++ = '/') {
        *p = 0;
        mkdir(fx_path(path), 0700);
    }
    fx_write(path, data, n);
}

/* Class c has c + 1 pictures; there are other files too. */
static void fill(adder *add, void *to, const char *root, int n_classes)
{
    unsigned char data[256];
    char name[100];
    for (int c = n_classes - 1; c >= 0; c--)
        for (int k = 0; k <= c; k++) {
            snprintf(name, sizeof name, "%s%s/%s%d.ppm", root, classes[c], k == 2 ? "deep/er/" : "", k);
            add(to, name, data, picture(data, c, k, 2, 3, 0));
        }
    snprintf(name, sizeof name, "%sreadme.txt", root);
    add(to, name, "text", 4);
}

static options with(const char *train)
{
    return (options){.train = train, .validation = "", .test = "", .level = 1, .only = "", .listing = "",
                     .listing_path = "path", .listing_label = "label", .listing_split = "", .listing_group = "",
                     .cache = 1 << 20};
}

static void check(options o, int threads)
{
    dal_runtime *rt = fx_runtime(threads, 0);
    fx_dataset d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    unsigned char got[4][18];
    char name[40];
    cr_assert_arr_eq(d.info.n, ((int64_t[]){6, 0, 6}), sizeof d.info.n);
    cr_assert_eq(d.info.spec.n_classes, 3);
    cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){3, 2, 3}), 3 * sizeof(int64_t));
    for (int c = 0, i = 0; c < 3; c++)
        for (int k = 0; k <= c; k++, i++) {
            cr_assert_str_eq(d.info.class_names[c], classes[c]);
            cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, i), c);
        }
    for (int turn = 0; turn < 2; turn++) { /* decoded, then from the cache */
        fx_read(&d, DAL_SPLIT_TEST, (const int64_t[]){5, 0, 2, 5}, 4, got);
        cr_assert(got[0][0] == 22 && got[0][5] == 22 && got[0][6] == 2 && got[0][17] == 200);
        cr_assert(got[1][0] == 0 && got[2][0] == 11 && memcmp(got[0], got[3], 18) == 0);
    }
    d.impl->describe(d.self, DAL_SPLIT_TRAIN, 1, name, sizeof name);
    cr_assert(strstr(name, "bee/0.ppm"), "%s", name);
    folder_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(2, 0);
    fx_expect(&err, folder_impl.create(dal_runtime_host(rt, "f"), &o, NULL, &self, &err), want, key, words);
    cr_assert_null(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0, "a refused dataset must leave nothing behind");
    dal_runtime_free(rt);
}

static const char *folder_of(const char *name, const char *root, int n_classes)
{
    static char path[4][160];
    static int turn;
    char *out = path[turn++ % 4];
    mkdir(fx_path(name), 0700);
    fill(add_file, (void *)(uintptr_t)name, root, n_classes);
    snprintf(out, sizeof path[0], "%s", fx_path(name));
    return out;
}

Test(image_folder, reads_the_same_from_folders_and_archives)
{
    static tar_maker tar;
    static zip_maker zip;
    const char *const plain = folder_of("plain", "", 3);
    options o = with(plain);
    o.test = folder_of("rooted", "some/root/", 3);
    for (int64_t cache = 0; cache <= 1 << 20; cache += 18 * 2)
        if (cache < 200 || cache % 997 == 0) {
            o.cache = cache;
            check(o, 1 + cache % 3);
        }
    zip.n = 0;
    fill(add_zip, &zip, "train/", 3);
    o.test = zm_write(&zip, "x.zip", 0, "");
    check(o, 1);
#ifdef DAL_HAVE_ARCHIVE
    fill(add_tar, &tar, "../up/", 3);
    tm_end(&tar);
    o.train = fx_gzip("x.tar.gz", tar.data, tar.n);
    o.test = fx_write("x.tar", tar.data, tar.n);
    check(o, 2);
    struct stat s;
    cr_assert_neq(stat(fx_path("../up"), &s), 0, "nothing is unpacked");
#endif
    (void)tar;
}

Test(image_folder, has_another_fingerprint_when_a_picture_changes)
{
    unsigned char data[256];
    dal_error err = DAL_ERROR_INIT;
    uint64_t prints[4][2];
    options o = with(folder_of("plain", "", 3));
    for (int turn = 0; turn < 4; turn++) {
        dal_runtime *rt = fx_runtime(1, 0);
        if (turn >= 2)
            fx_write(turn == 2 ? "plain/bee/1.ppm" : "plain/bee/2.ppm", data, picture(data, 1, 7, 2, 3, 0));
        fx_dataset d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
        cr_assert_eq(folder_impl.fingerprint(d.self, prints[turn], &err), DAL_OK, "%s", err.text);
        folder_impl.destroy(d.self);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
    cr_assert_arr_eq(prints[0], prints[1], sizeof *prints);
    cr_assert(prints[1][0] == prints[2][0] && prints[1][1] != prints[2][1], "other bytes of the same size");
    cr_assert(prints[2][0] != prints[3][0], "one picture more");
}

Test(image_folder, pictures_in_no_folder_bear_no_label)
{
    unsigned char data[256];
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(folder_of("plain", "", 2));
    fx_write("plain/free.ppm", data, picture(data, 5, 0, 2, 3, 0));
    fx_dataset d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    cr_assert_eq(d.info.n[0], 4);
    cr_assert_eq(d.info.spec.n_classes, 2);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 3), DAL_LABEL_NONE);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 2), 1);
    folder_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(image_folder, settles_colours_and_sizes)
{
    unsigned char data[256], got[3 * 16];
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(folder_of("mixed", "", 1));
    const char *grey = fx_path("grey");
    mkdir(grey, 0700);
    add_file((void *)(uintptr_t)"grey", "x/1.pgm", data, picture(data, 7, 7, 4, 4, 1));
    add_file((void *)(uintptr_t)"mixed", "ant/big.pgm", data, picture(data, 7, 7, 4, 4, 1));
    refuse(o, DAL_E_INVALID, "train", "mixed/ant/big.pgm: 4 x 4 pixels, but /");
    refuse(o, DAL_E_INVALID, "train", "mixed/ant/0.ppm has 2 x 3; say size: [2, 3] to resize all");
    const int64_t size[] = {4, 4};
    o.size = (dal_i64_list){size, 2};
    fx_dataset d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){3, 4, 4}), 3 * sizeof(int64_t));
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){1}, 1, got);
    cr_assert(got[0] == 77 && got[47] == 77, "grey became colour");
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){0}, 1, got);
    cr_assert(got[0] == 0 && got[16] == 0 && got[47] == 200, "one colour stays one colour");
    folder_impl.destroy(d.self);
    o.channels = CHANNELS_GREY;
    d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){0}, 1, got);
    cr_assert(d.info.spec.shape[0] == 1 && got[15] == 23, "0.114 * 200");
    folder_impl.destroy(d.self);
    o = with(grey);
    d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    cr_assert(d.info.spec.shape[0] == 1 && d.info.spec.n_classes == 1);
    folder_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(image_folder, refuses_what_is_no_set_of_pictures)
{
    unsigned char data[256];
    options o = with("/nowhere/x");
    refuse(o, DAL_E_NOT_FOUND, "train", "/nowhere/x: cannot open");
    o = with(folder_of("none", "", 0));
    refuse(o, DAL_E_INVALID, "train", "none: there are no pictures in it");
    o = with(folder_of("plain", "", 2));
    o.test = folder_of("more", "", 3);
    refuse(o, DAL_E_INVALID, "test", "more/bee 2/0.ppm: it is in a folder that the pool has not");
    o.test = "";
    const size_t n = picture(data, 0, 0, 2, 3, 0);
    fx_write("plain/bee/zero.ppm", data, 0);
    refuse(o, DAL_E_FORMAT, "train", "plain/bee/zero.ppm: there is nothing in it");
    fx_write("plain/bee/zero.ppm", "text", 4);
    refuse(o, DAL_E_FORMAT, "train", "plain/bee/zero.ppm: is no picture of a known format");
    if (truncate(fx_path("plain/bee/zero.ppm"), (off_t)40 << 30) == 0) /* holes take no room */
        refuse(o, DAL_E_OVERFLOW, "train", "plain/bee/zero.ppm: 42949672960 bytes, expected at most 1 GiB");
    fx_write("plain/bee/zero.ppm", data, n);
    fx_write("plain/b\377", data, n);
    mkdir(fx_path("plain/z\377"), 0700);
    fx_write("plain/z\377/1.ppm", data, n);
    refuse(o, DAL_E_FORMAT, "train", "name 3 of the classes is not UTF-8");
    const int64_t size[] = {4};
    o = with(folder_of("sized", "", 1));
    o.size = (dal_i64_list){size, 1};
    refuse(o, DAL_E_INVALID, "size", "1 numbers; expected [height, width]");
}

Test(image_folder, tells_the_first_picture_that_cannot_be_read)
{
    unsigned char data[256], got[4 * 18];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(3, 0);
    options o = with(folder_of("plain", "", 3));
    fx_write("plain/bee/1.ppm", data, picture(data, 1, 1, 2, 3, 0) - 1);
    fx_write("plain/bee 2/1.ppm", data, picture(data, 1, 1, 2, 3, 0) - 2);
    fx_dataset d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    dal_batch b = {sizeof b, 0, &d.info.spec, 4, got, NULL, NULL};
    fx_expect(&err, d.impl->read(d.self, 0, (const int64_t[]){0, 4, 2, 1}, 4, &b, &err), DAL_E_FORMAT, "train",
              "plain/bee 2/1.ppm: the picture is cut short, at offset 27 of 27");
    folder_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(image_folder, survives_every_failed_allocation)
{
    unsigned char got[4 * 48];
    const int64_t size[] = {4, 4};
    options o = with(folder_of("plain", "", 3));
    o.size = (dal_i64_list){size, 2};
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        fx_dataset d = {.impl = &folder_impl, .info = {.struct_size = sizeof d.info}};
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        dal_status st = folder_impl.create(dal_runtime_host(rt, "f"), &o, NULL, &d.self, &err);
        if (st == DAL_OK) {
            folder_impl.info(d.self, &d.info, &err);
            dal_batch b = {sizeof b, 0, &d.info.spec, 4, got, NULL, NULL};
            st = folder_impl.read(d.self, 0, (const int64_t[]){0, 4, 2, 1}, 4, &b, &err);
            folder_impl.destroy(d.self);
        }
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

#if defined(DAL_HAVE_JPEG) && defined(DAL_HAVE_ARCHIVE)
Test(image_folder, cifar10_as_jpeg_has_its_known_counts_and_pixels)
{
    static const struct {
        int64_t id, sum;
        unsigned char red[8], green16[8], last_blue[8];
    } some[] = {{0, 475641, {141, 159, 168, 187, 183, 166, 175, 178}, {182, 209, 207, 211, 216, 210, 216, 211},
                 {75, 108, 117, 86, 57, 57, 65, 64}},
                {1234, 571533, {255, 242, 255, 251, 255, 251, 232, 226}, {252, 253, 210, 136, 158, 148, 151, 202},
                 {212, 239, 244, 245, 255, 255, 255, 255}},
                {9999, 384887, {255, 253, 244, 240, 233, 224, 223, 227}, {31, 36, 38, 139, 188, 153, 161, 144},
                 {46, 28, 20, 34, 58, 72, 82, 90}}};
    options o = with(fx_data("cifar10/cifar10_jpeg_test.tar.gz"));
    unsigned char image[3072];
    int64_t sum = 0, counts[10] = {0};
    if (!o.train)
        return;
    dal_runtime *rt = fx_runtime(2, 0);
    fx_dataset d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    cr_assert(d.info.n[0] == 10000 && d.info.spec.n_classes == 10 && d.info.spec.shape[1] == 32);
    cr_assert(strcmp(d.info.class_names[0], "airplane") == 0 && strcmp(d.info.class_names[9], "truck") == 0);
    for (int64_t i = 0; i < 10000; i++) {
        int64_t here = 0;
        counts[fx_class(&d, 0, i)]++;
        fx_read(&d, 0, &i, 1, image);
        for (int j = 0; j < 3072; j++)
            here += image[j];
        sum += here;
        for (int s = 0; s < 3; s++)
            if (some[s].id == i) {
                cr_assert_eq(here, some[s].sum);
                cr_assert_arr_eq(image, some[s].red, 8);
                cr_assert_arr_eq(image + 1024 + 16 * 32, some[s].green16, 8);
                cr_assert_arr_eq(image + 3064, some[s].last_blue, 8);
            }
    }
    cr_assert_eq(sum, 3732740007, "the pixels add up to %lld", (long long)sum);
    for (int c = 0; c < 10; c++)
        cr_assert_eq(counts[c], 1000);
    folder_impl.destroy(d.self);
    dal_runtime_free(rt);
}
#endif

/* ---- levels, and tables ---- */

/* A folder of pictures whose only colour tells them apart: the k-th of names is of colour k. */
static const char *folder_with(const char *name, const char *const *names, const char *table)
{
    static char path[160];
    unsigned char data[256];
    mkdir(fx_path(name), 0700);
    for (int k = 0; names[k]; k++)
        add_file((void *)(uintptr_t)name, names[k], data, picture(data, k / 10, k % 10, 2, 3, 0));
    if (table)
        add_file((void *)(uintptr_t)name, "birds/meta.csv", table, strlen(table));
    snprintf(path, sizeof path, "%s", fx_path(name));
    return path;
}

/* Which picture a sample is. */
static int colour(const fx_dataset *d, uint32_t split, int64_t id)
{
    unsigned char x[18];
    fx_read(d, split, &id, 1, x);
    return x[0];
}

static const char *const slides[] = {"v1/breast/benign/SOB/adenosis/P1/40X/a.ppm",
                                     "v1/breast/benign/SOB/adenosis/P1/100X/b.ppm",
                                     "v1/breast/benign/SOB/tubular/P3/40X/c.ppm",
                                     "v1/breast/malignant/SOB/ductal/P2/40X/d.ppm",
                                     "v1/breast/malignant/SOB/ductal/P2/40X/e.ppm",
                                     "v1/breast/malignant/SOB/ductal/P9/100X/f.ppm", NULL};

Test(image_folder, takes_a_folder_further_down_for_the_class_and_one_for_the_source)
{
    static const char *const types[] = {"adenosis", "ductal", "tubular"}, *const patients[] = {"P1", "P2", "P3", "P9"};
    static const int type[] = {0, 0, 2, 1, 1, 1}, patient[] = {0, 0, 2, 1, 1, 3};
    options o = with(folder_with("slides", slides, NULL));
    dal_runtime *rt = fx_runtime(1, 0);
    o.level = 3;
    o.group_level = 4;
    fx_dataset d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    const dal_dataset_groups *t = dal_groups_of(&(dal_dataset){d.impl, d.self});
    cr_assert(d.info.n[DAL_SPLIT_TRAIN] == 6 && d.info.spec.n_classes == 3 && t && t->count(d.self) == 4);
    for (int c = 0; c < 3; c++)
        cr_assert_str_eq(d.info.class_names[c], types[c]);
    for (int g = 0; g < 4; g++)
        cr_assert_str_eq(t->name(d.self, g), patients[g]);
    for (int64_t i = 0; i < 6; i++) {
        const int k = colour(&d, DAL_SPLIT_TRAIN, i);
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, i), type[k]);
        cr_assert_eq(fx_group(&d, DAL_SPLIT_TRAIN, i), patient[k]);
    }
    folder_impl.destroy(d.self);
    o.only = "/40X/";
    o.level = 1;
    d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    cr_assert(d.info.n[DAL_SPLIT_TRAIN] == 4 && d.info.spec.n_classes == 2);
    cr_assert_str_eq(d.info.class_names[0], "benign");
    folder_impl.destroy(d.self);
    o.level = 9; /* deeper than any of them */
    o.group_level = 0;
    d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    cr_assert(d.info.spec.n_classes == 0 && fx_class(&d, DAL_SPLIT_TRAIN, 0) == DAL_LABEL_NONE);
    cr_assert_null(dal_groups_of(&(dal_dataset){d.impl, d.self}));
    folder_impl.destroy(d.self);
    dal_runtime_free(rt);
    o.only = "/60X/";
    refuse(o, DAL_E_INVALID, "train", "there are no pictures in it that have '/60X/' in their names");
}

static const char *const birds[] = {"birds/001.Albatross/a.ppm", "birds/001.Albatross/b.ppm",
                                    "birds/002.Gull, grey/c.ppm", "birds/d.ppm", "birds/not_listed.ppm", NULL};

#define TABLE "img_id,img_filename,y,split,place\n1,001.Albatross/b.ppm,10,0,0\n2,\"002.Gull, grey/c.ppm\",2,2,1\n"

static options listed(const char *train)
{
    options o = with(train);
    o.listing = "meta.csv";
    o.listing_path = "img_filename";
    o.listing_label = "y";
    o.listing_split = "split";
    o.listing_group = "place";
    return o;
}

Test(image_folder, reads_class_split_and_source_from_a_table)
{
    static const char *const names[] = {"gull", "albatross"};
    options o = listed(folder_with("birds", birds, TABLE "3,./d.ppm,10,train,\n4,birds/001.Albatross/a.ppm,,val,0\n"));
    dal_runtime *rt = fx_runtime(1, 0);
    char where[64];
    for (int turn = 0; turn < 2; turn++) {
        fx_dataset d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
        const dal_dataset_groups *t = dal_groups_of(&(dal_dataset){d.impl, d.self});
        cr_assert_arr_eq(d.info.n, ((int64_t[]){2, 1, 1}), sizeof d.info.n);
        cr_assert_eq(d.info.spec.n_classes, 2);
        cr_assert_str_eq(d.info.class_names[0], turn ? "gull" : "2", "whole numbers are in order");
        cr_assert_str_eq(d.info.class_names[1], turn ? "albatross" : "10");
        cr_assert(t && t->count(d.self) == 2);
        cr_assert_str_eq(t->name(d.self, 1), "1");
        cr_assert(colour(&d, DAL_SPLIT_TRAIN, 0) == 1 && fx_class(&d, DAL_SPLIT_TRAIN, 0) == 1);
        cr_assert(colour(&d, DAL_SPLIT_TRAIN, 1) == 3 && fx_group(&d, DAL_SPLIT_TRAIN, 1) == DAL_GROUP_NONE);
        cr_assert(colour(&d, DAL_SPLIT_TEST, 0) == 2 && fx_class(&d, DAL_SPLIT_TEST, 0) == 0);
        cr_assert(fx_group(&d, DAL_SPLIT_TEST, 0) == 1 && fx_group(&d, DAL_SPLIT_TRAIN, 0) == 0);
        cr_assert(colour(&d, DAL_SPLIT_VALIDATION, 0) == 0 && fx_class(&d, DAL_SPLIT_VALIDATION, 0) == DAL_LABEL_NONE);
        folder_impl.describe(d.self, DAL_SPLIT_TEST, 0, where, sizeof where);
        cr_assert_str_eq(where, "birds/002.Gull, grey/c.ppm");
        folder_impl.destroy(d.self);
        o.class_names = (dal_str_list){names, 2};
    }
    o.listing_group = o.listing_label = o.listing_split = "";
    o.class_names.n = 0;
    fx_dataset d = fx_open(&folder_impl, dal_runtime_host(rt, "f"), &o, NULL);
    cr_assert(d.info.n[DAL_SPLIT_TRAIN] == 4 && d.info.spec.n_classes == 0);
    cr_assert_null(dal_groups_of(&(dal_dataset){d.impl, d.self}));
    folder_impl.destroy(d.self);
    dal_runtime_free(rt);
}

static void refuse_table(const char *table, dal_status st, const char *words)
{
    static int turn;
    char name[16];
    snprintf(name, sizeof name, "bad%d", turn++);
    refuse(listed(folder_with(name, birds, table)), st, "listing", words);
}

Test(image_folder, says_what_is_wrong_with_a_table_and_where)
{
    refuse_table("", DAL_E_FORMAT, "meta.csv: the file is empty");
    refuse_table("img_id,img_filename,y,split,place\n", DAL_E_FORMAT, "birds/meta.csv lists no pictures");
    refuse_table("path,y,split,place\nd.ppm,1,0,0\n", DAL_E_INVALID,
                 "birds/meta.csv has no column 'img_filename'; its first line is path, y, split, place");
    refuse_table(TABLE "3,lost.ppm,1,0,0\n", DAL_E_FORMAT, "birds/meta.csv:4:3: 'lost.ppm': there is no such picture");
    refuse_table(TABLE "3,001.Albatross/b.ppm,1,0,0\n", DAL_E_FORMAT,
                 "meta.csv:4:3: '001.Albatross/b.ppm': this picture is listed twice");
    refuse_table(TABLE "3,d.ppm,1,3,0\n", DAL_E_FORMAT,
                 "meta.csv:4:11: '3': expected train, validation or test, or 0, 1 or 2");
    refuse_table(TABLE "3,d.ppm,1\n", DAL_E_FORMAT, "meta.csv:4:1: found 3 columns, expected 5 as in the first line");
    refuse_table(TABLE "3,d.ppm,\x01,0,0\n", DAL_E_FORMAT, "of the classes is not UTF-8 text");
    refuse_table("img_filename,y,split,place\nd.ppm,1,2,0\n", DAL_E_INVALID, "meta.csv lists no picture to train on");
    refuse_table(NULL, DAL_E_NOT_FOUND, "there is no 'meta.csv' among the files of train");
    options o = listed(folder_with("good", birds, TABLE));
    o.listing_path = "";
    refuse(o, DAL_E_INVALID, "listing", "listing_path is empty");
    o.listing_path = "img_filename";
    o.test = o.train;
    refuse(o, DAL_E_INVALID, "test", "with a listing all pictures are in train");
    o.test = "";
    o.level = 2;
    refuse(o, DAL_E_INVALID, "level", "with a listing folders tell nothing");
    o.level = 1;
    o.group_level = 1;
    refuse(o, DAL_E_INVALID, "group_level", "with a listing folders tell nothing");
    o.group_level = 0;
    o.class_names = (dal_str_list){classes, 3};
    refuse(o, DAL_E_INVALID, "class_names", "3 names for 2 classes");
}

Test(image_folder, gives_back_what_a_table_took_without_memory)
{
    options o = listed(folder_with("birds", birds, TABLE));
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = folder_impl.create(dal_runtime_host(rt, "f"), &o, NULL, &self, &err);
        folder_impl.destroy(self);
        cr_assert_eq(dal_runtime_allocated(rt), 0, "allocation %d leaves something behind", (int)k);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 12);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}
