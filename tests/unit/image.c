#include "tests/unit/fixture.h"

#include <dal/image.h>
#include <math.h>

static unsigned char pixels[3 * 128 * 128], got[3 * 128 * 128];

/* pixel (k, y, x) of a picture that Python can make as easily */
static void make(int c, int h, int w)
{
    for (int k = 0, i = 0; k < c; k++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                pixels[i++] = (unsigned char)(x * 37 + y * 91 + k * 53 + x * y % 7 * 31);
}

static int sum_of(const unsigned char *p, int n)
{
    long s = 0;
    for (int i = 0; i < n; i++)
        s = (s * 31 + p[i]) % 1000003;
    return (int)s;
}

static dal_resizer *resizer(dal_runtime *rt, int h, int w, int to_h, int to_w, void **scratch)
{
    dal_error err = DAL_ERROR_INIT;
    dal_resizer *r = NULL;
    cr_assert_eq(dal_resizer_new(dal_runtime_host(rt, "x"), h, w, to_h, to_w, &r, &err), DAL_OK, "%s", err.text);
    *scratch = malloc(dal_resizer_scratch(r));
    return r;
}

/* Image.fromarray(a).resize((to_w, to_h), Image.BILINEAR) of Pillow 9.4 gave these: a sum over the pixels in order, and
 * the first of them. */
Test(image, resizes_like_pillow)
{
    static const struct {
        int h, w, to_h, to_w, sum;
        unsigned char first[6];
    } cases[] = {{5, 7, 3, 4, 127841, {65, 113, 127, 205, 107, 130}},
                 {5, 7, 9, 11, 512287, {0, 17, 40, 64, 87, 111}},
                 {32, 32, 16, 16, 121144, {86, 118, 153, 137, 111, 127}},
                 {33, 50, 32, 32, 253673, {20, 74, 122, 184, 110, 48}},
                 {3, 4, 3, 9, 32898, {0, 6, 23, 39, 56, 72}},
                 {8, 3, 2, 3, 123959, {90, 85, 131, 108, 82, 110}},
                 {1, 1, 4, 4, 0, {0}},
                 {100, 90, 7, 5, 306831, {124, 127, 128, 123, 119, 125}}};
    dal_runtime *rt = fx_runtime(1, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *scratch;
        const int n = cases[i].to_h * cases[i].to_w;
        dal_resizer *r = resizer(rt, cases[i].h, cases[i].w, cases[i].to_h, cases[i].to_w, &scratch);
        make(1, cases[i].h, cases[i].w);
        dal_resize_u8(r, pixels, 1, got, scratch);
        cr_expect_eq(sum_of(got, n), cases[i].sum, "case %zu: %d", i, sum_of(got, n));
        cr_expect_arr_eq(got, cases[i].first, 6);
        dal_resizer_free(r);
        free(scratch);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* One output pixel by its definition. */
static double twin(const float *from, int h, int w, int to_h, int to_w, int i, int j)
{
    const double sy = (double)h / to_h, sx = (double)w / to_w, wy = fmax(sy, 1), wx = fmax(sx, 1);
    double sum = 0, weights = 0;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const double dy = fabs(y + 0.5 - (i + 0.5) * sy) / wy, dx = fabs(x + 0.5 - (j + 0.5) * sx) / wx;
            const double weight = fmax(1 - dy, 0) * fmax(1 - dx, 0);
            sum += weight * (double)from[y * w + x];
            weights += weight;
        }
    return sum / weights;
}

Test(image, resizes_floats_by_the_definition_and_channels_apart)
{
    static float from[2 * 11 * 13], to[2 * 20 * 20];
    static const int sizes[][2] = {{5, 4}, {20, 9}, {11, 13}, {1, 1}};
    dal_runtime *rt = fx_runtime(1, 0);
    make(2, 11, 13);
    for (int i = 0; i < 2 * 11 * 13; i++)
        from[i] = (float)pixels[i] - 100;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        void *scratch;
        const int h = sizes[k][0], w = sizes[k][1];
        dal_resizer *r = resizer(rt, 11, 13, h, w, &scratch);
        dal_resize_f32(r, from, 2, to, scratch);
        for (int c = 0; c < 2; c++)
            for (int i = 0; i < h; i++)
                for (int j = 0; j < w; j++)
                    cr_assert_float_eq(to[(c * h + i) * w + j], twin(from + c * 143, 11, 13, h, w, i, j), 1e-4);
        dal_resizer_free(r);
        free(scratch);
    }
    dal_runtime_free(rt);
}

Test(image, grey_is_what_pillow_calls_l)
{
    static const unsigned char want[8] = {43, 80, 117, 154, 191, 199, 86, 46};
    static float f[3 * 64];
    make(3, 8, 8);
    for (int i = 0; i < 3 * 64; i++)
        f[i] = pixels[i];
    dal_grey_u8(pixels, 64, pixels);
    cr_assert_arr_eq(pixels, want, 8);
    cr_assert_eq(sum_of(pixels, 64), 835916);
    dal_grey_f32(f, 64, f);
    for (int i = 0; i < 64; i++)
        cr_assert_float_eq(f[i], pixels[i], 0.51);
}

Test(image, refuses_sizes_that_are_none)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    dal_resizer *r = NULL;
    fx_expect(&err, dal_resizer_new(dal_runtime_host(rt, "x"), 0, 4, 4, 4, &r, &err), DAL_E_OVERFLOW, "",
              "an image side of 0 pixels");
    fx_expect(&err, dal_resizer_new(dal_runtime_host(rt, "x"), 4, 4, 4, 2000000, &r, &err), DAL_E_OVERFLOW, "",
              "expected 1..1048576");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
