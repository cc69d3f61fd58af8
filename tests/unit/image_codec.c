#include "tests/unit/fixture.h"

#include "plugins/datasets/image_codec.h"

#define H 12
#define W 17

static unsigned char pixels[3 * H * W];

/* One of tests/unit/pictures. */
static unsigned char *picture(const char *name, size_t *n)
{
    char path[1024];
    const char *source = getenv("DAL_SRCDIR");
    snprintf(path, sizeof path, "%s/tests/unit/pictures/%s", source ? source : ".", name);
    return fx_slurp(path, n);
}

static int sum_of(const unsigned char *p, int n)
{
    long s = 0;
    for (int i = 0; i < n; i++)
        s = (s * 31 + p[i]) % 1000003;
    return (int)s;
}

static dal_status decode(const void *data, size_t n, int channels, image_info *info, dal_error *err)
{
    dal_runtime *rt = fx_runtime(1, 0);
    const image_bytes b = {data, (int64_t)n, (int64_t)n, "some/file", "key"};
    int more;
    dal_status st = image_look(&b, info, &more, err);
    if (st == DAL_OK) {
        cr_assert_not(more);
        image_info want = *info;
        want.channels = channels;
        unsigned char *out = malloc((size_t)(info->height * info->width * channels));
        st = image_decode(dal_runtime_host(rt, "x"), &b, &want, out, err);
        if (st == DAL_OK && info->height == H && info->width == W)
            memcpy(pixels, out, (size_t)(H * W * channels));
        free(out);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return st;
}

static void refuse(const void *data, size_t n, dal_status want, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    image_info info;
    fx_expect(&err, decode(data, n, 3, &info, &err), want, "key", words);
    cr_assert(strncmp(err.text, "some/file: ", 11) == 0 && !strpbrk(err.text, "\n\033"), "%s", err.text);
}

/* The sums are over what Pillow reads: as it is, and as "L"; pictures/README.md. */
Test(image_codec, reads_what_pillow_reads)
{
    static const struct {
        const char *name;
        int channels, sum, grey;
        unsigned char first[4];
    } cases[] = {
        {"colour.ppm", 3, 918686, 127001, {0, 14, 28, 42}}, {"grey.pgm", 1, 127001, 127001, {29, 33, 38, 42}},
#ifdef DAL_HAVE_PNG
        {"alpha.png", 3, 918686, 127001, {0, 14, 28, 42}}, {"bits.png", 1, 792306, 792306, {0, 0, 0, 0}},
        {"colour.png", 3, 918686, 127001, {0, 14, 28, 42}}, {"deep.png", 1, 127001, 127001, {29, 33, 38, 42}},
        {"interlaced.png", 1, 127001, 127001, {29, 33, 38, 42}},
        {"palette.png", 3, 342507, 509533, {22, 22, 22, 22}},
#endif
#ifdef DAL_HAVE_JPEG
        {"cmyk.jpg", 3, 434823, 992013, {0, 14, 28, 42}}, {"colour.jpg", 3, 980083, 527817, {0, 8, 21, 35}},
        {"grey.jpg", 1, 527817, 527817, {29, 33, 38, 42}}, {"progressive.jpg", 3, 14258, 927590, {0, 4, 19, 33}},
#endif
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dal_error err = DAL_ERROR_INIT;
        image_info info;
        size_t n;
        unsigned char *data = picture(cases[i].name, &n);
        cr_assert_eq(decode(data, n, cases[i].channels, &info, &err), DAL_OK, "%s", err.text);
        cr_assert(info.height == H && info.width == W && info.channels == cases[i].channels, "%s", cases[i].name);
        cr_expect_arr_eq(pixels, cases[i].first, 4, "%s begins %d %d %d", cases[i].name, pixels[0], pixels[1],
                         pixels[2]);
        const int sum = sum_of(pixels, cases[i].channels * H * W);
        cr_expect_eq(sum, cases[i].sum, "%s: %d", cases[i].name, sum);
        cr_assert_eq(decode(data, n, 1, &info, &err), DAL_OK, "%s", err.text);
        cr_expect_eq(sum_of(pixels, H * W), cases[i].grey, "%s in grey: %d", cases[i].name, sum_of(pixels, H * W));
        if (cases[i].channels == 1) {
            cr_assert_eq(decode(data, n, 3, &info, &err), DAL_OK, "%s", err.text);
            cr_assert(memcmp(pixels, pixels + H * W, H * W) == 0 && memcmp(pixels, pixels + 2 * H * W, H * W) == 0);
        }
        free(data);
    }
}

Test(image_codec, reads_plain_and_deep_pnm)
{
    dal_error err = DAL_ERROR_INIT;
    image_info info;
    char text[8192] = "P2 # a comment\n17 12\n#\n15\n", deep[2 * H * W + 32];
    for (int i = 0; i < H * W; i++)
        sprintf(text + strlen(text), "%d ", i % 16);
    cr_assert_eq(decode(text, strlen(text), 1, &info, &err), DAL_OK, "%s", err.text);
    for (int i = 0; i < H * W; i++)
        cr_assert_eq(pixels[i], i % 16 * 17);
    const int head = sprintf(deep, "P5\n17 12 65535\n");
    for (int i = 0; i < 2 * H * W; i++)
        deep[head + i] = (char)(i / 2);
    cr_assert_eq(decode(deep, (size_t)head + 2 * H * W, 1, &info, &err), DAL_OK, "%s", err.text);
    for (int i = 0; i < H * W; i++)
        cr_assert_eq(pixels[i], i % 256);
    refuse(text, strlen(text) - 3, DAL_E_FORMAT, "the picture is cut short, at offset");
    refuse("P2 1 1 10 11", 12, DAL_E_FORMAT, "a value above the largest that its header tells, at offset 9 of 12");
    refuse("P6 2 1 255 12345", 16, DAL_E_FORMAT, "the picture is cut short, at offset 16 of 16");
}

Test(image_codec, looks_at_headers_only)
{
    dal_error err = DAL_ERROR_INIT;
    image_info info;
    int more = 0;
    size_t n;
    unsigned char *data = picture("colour.jpg", &n);
    const image_bytes some = {data, 100, (int64_t)n, "some/file", "key"};
    cr_assert(image_look(&some, &info, &more, &err) == DAL_OK && more);
    free(data);
    cr_assert(image_has_name("a.b/x.JPeG") && image_has_name(".png") && !image_has_name("x.jpg/y") &&
              !image_has_name("jpg"));
}

Test(image_codec, refuses_claims_without_bounds)
{
    refuse("P6 65536 1 255 ", 15, DAL_E_FORMAT, "is said to have 1 x 65536 pixels, expected 1 to 128 million");
    refuse("P6 60000 60000 255 ", 19, DAL_E_FORMAT, "is said to have 60000 x 60000 pixels");
    refuse("P6 0 5 255 ", 11, DAL_E_FORMAT, "is said to have 5 x 0 pixels");
    refuse("P6 99999999999 5 255 ", 21, DAL_E_FORMAT, "no PNM header");
    refuse("P5 2 2", 6, DAL_E_FORMAT,
           "no PNM header: expected width, height and a largest value of 1..65535, at offset 6 of 6");
    static unsigned char png[33] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\10\2";
    refuse(png, sizeof png, DAL_E_FORMAT, "is said to have 2147483647 x 2147483647 pixels");
    png[25] = 7;
    refuse(png, sizeof png, DAL_E_FORMAT, "a PNG of an unknown kind of colour, at offset 25 of 33");
    static const unsigned char jpeg[] = "\xff\xd8\xff\xc0\0\x11\10\xff\xff\xff\xff\3";
    refuse(jpeg, sizeof jpeg - 1, DAL_E_FORMAT, "is said to have 65535 x 65535 pixels");
    refuse(jpeg, 6, DAL_E_FORMAT, "it ends within its header, at offset 6 of 6");
    refuse("\xff\xd8\xff\xda\0\2", 6, DAL_E_FORMAT, "JPEG data without a frame before them, at offset 2 of 6");
    refuse("", 0, DAL_E_FORMAT, "there is nothing in it");
    refuse("GIF89a", 6, DAL_E_FORMAT, "is no picture of a known format");
}

/* Cut anywhere, or with any byte wrong, there is a picture or one clean error. */
Test(image_codec, survives_all_that_is_cut_short_or_damaged)
{
    static const char *const names[] = {"colour.ppm",
#ifdef DAL_HAVE_PNG
                                        "palette.png", "interlaced.png",
#endif
#ifdef DAL_HAVE_JPEG
                                        "colour.jpg", "progressive.jpg", "cmyk.jpg"
#endif
    };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        size_t size;
        unsigned char *data = picture(names[k], &size);
        for (size_t n = 0; n < size - 2; n += n < 40 ? 1 : 17)
            refuse(data, n, DAL_E_FORMAT, "");
        for (size_t i = 0; i < size; i += 5) {
            dal_error err = DAL_ERROR_INIT;
            image_info info = {0};
            data[i] ^= 0x5a;
            const dal_status st = decode(data, size, 3, &info, &err);
            cr_assert(st == DAL_OK || st == DAL_E_FORMAT, "%s, byte %zu: %s", names[k], i, err.text);
            data[i] ^= 0x5a;
        }
        free(data);
    }
}

#ifdef DAL_HAVE_JPEG
Test(image_codec, takes_warnings_of_libjpeg_for_errors)
{
    size_t n;
    unsigned char *data = picture("colour.jpg", &n);
    refuse(data, n - 20, DAL_E_FORMAT, "damaged JPEG data: Premature end of JPEG file, at offset 351 of 351");
    free(data);
}
#endif

Test(image_codec, survives_every_failed_allocation)
{
    static const char *const names[] = {"colour.ppm", "interlaced.png", "colour.jpg"};
    for (int k = 0; k < 3; k++) {
        size_t n;
        unsigned char *data = picture(names[k], &n);
        const image_bytes b = {data, (int64_t)n, (int64_t)n, "some/file", "key"};
        const image_info info = {H, W, 3, 0};
        for (int64_t fail = 1;; fail++) {
            dal_error err = DAL_ERROR_INIT;
            dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = fail};
            dal_runtime *rt = dal_runtime_new(&config, &err);
            const dal_status st = image_decode(dal_runtime_host(rt, "x"), &b, &info, pixels, &err);
            cr_assert_eq(dal_runtime_allocated(rt), 0);
            dal_runtime_free(rt);
            if (st == DAL_OK || st == DAL_E_UNSUPPORTED)
                break;
            cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
        }
        free(data);
    }
}
