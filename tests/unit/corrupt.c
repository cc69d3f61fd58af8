#include "tests/unit/fixture.h"

#include <math.h>

#include "plugins/transforms/corrupt.c"

enum { N = 300, H = 12, W = 10, V = 3 * H * W };
static unsigned char images[N * V], got[N * V], again[N * V];
static int32_t zeros[N];

static fx_toy toy(void)
{
    fx_toy t = {.spec = {sizeof t.spec, DAL_IMAGE, DAL_U8, 3, {3, H, W}, 1}, .n = {N, N, N}};
    for (int i = 0; i < N * V; i++)
        images[i] = (unsigned char)(64 + (i % V * 5 + i / V) % 128);
    for (int k = 0; k < 3; k++) {
        t.data[k] = images;
        t.cls[k] = zeros;
    }
    return t;
}

static options with(uint32_t kind, int64_t severity)
{
    return (options){.kind = kind, .severity = severity, .train = 1, .test = 1, .seed = 1};
}

/* All of a split into out; -1: the options are refused. */
static void run(options o, uint32_t split, int threads, uint64_t run_seed, unsigned char *out)
{
    fx_toy t = toy();
    dal_runtime *rt = fx_runtime(threads, run_seed);
    int64_t ids[N];
    for (int i = 0; i < N; i++)
        ids[i] = i;
    fx_toy_open(&t);
    fx_dataset d = fx_open(&corrupt_impl, dal_runtime_host(rt, "corrupt"), &o, &t.dataset);
    fx_read(&d, split, ids, N, out);
    const int64_t one = 17;
    unsigned char alone[V];
    fx_read(&d, split, &one, 1, alone);
    cr_assert_arr_eq(alone, out + 17 * V, V, "a sample does not depend on its company");
    d.impl->destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

static double distance(const unsigned char *a, const unsigned char *b)
{
    double s = 0;
    for (int i = 0; i < N * V; i++)
        s += (a[i] - b[i]) * (double)(a[i] - b[i]);
    return sqrt(s / (N * V));
}

Test(corrupt, noise_has_the_deviation_of_its_severity)
{
    for (int64_t s = 1; s <= 5; s++) {
        run(with(NOISE, s), DAL_SPLIT_TEST, 1, 0, got);
        cr_assert_float_eq(distance(got, images), 255 * small_amounts[NOISE][s - 1], 0.3);
    }
}

Test(corrupt, is_keyed_by_seed_split_and_sample)
{
    options o = with(NOISE, 3);
    run(o, DAL_SPLIT_TEST, 1, 0, got);
    run(o, DAL_SPLIT_TEST, 4, 99, again);
    cr_assert_arr_eq(got, again, sizeof got, "neither threads nor the seed of the run matter");
    run(o, DAL_SPLIT_TRAIN, 1, 0, again);
    cr_assert_gt(distance(got, again), 20);
    o.seed = 2;
    run(o, DAL_SPLIT_TEST, 1, 0, again);
    cr_assert_gt(distance(got, again), 20);
    o.seed = 0;
    run(o, DAL_SPLIT_TEST, 1, 5, got);
    run(o, DAL_SPLIT_TEST, 1, 6, again);
    cr_assert_gt(distance(got, again), 20);
}

Test(corrupt, leaves_the_rest_alone)
{
    options o = with(CONTRAST, 5);
    o.test = 0.25;
    o.train = 0;
    run(o, DAL_SPLIT_TRAIN, 1, 0, got);
    cr_assert_arr_eq(got, images, sizeof got);
    run(o, DAL_SPLIT_VALIDATION, 1, 0, got);
    cr_assert_arr_eq(got, images, sizeof got);
    run(o, DAL_SPLIT_TEST, 1, 0, got);
    int changed = 0;
    for (int i = 0; i < N; i++)
        changed += memcmp(got + i * V, images + i * V, V) != 0;
    cr_assert(changed > 50 && changed < 100, "%d of %d", changed, N);
}

Test(corrupt, contrast_and_blur_are_their_definitions)
{
    options o = with(CONTRAST, 2);
    run(o, DAL_SPLIT_TEST, 1, 0, got);
    for (int c = 0; c < 3; c++) {
        double mean = 0;
        for (int i = 0; i < H * W; i++)
            mean += images[c * H * W + i] / (double)(H * W);
        for (int i = 0; i < H * W; i++)
            cr_assert_float_eq(got[c * H * W + i], (images[c * H * W + i] - mean) * 0.5 + mean, 0.501);
    }
    o = with(BLUR, 5);
    o.amount = 1.5;
    run(o, DAL_SPLIT_TEST, 1, 0, got);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            double sum = 0, weights = 0;
            for (int dy = -6; dy <= 6; dy++)
                for (int dx = -6; dx <= 6; dx++) {
                    const int yy = y + dy < 0 ? 0 : y + dy >= H ? H - 1 : y + dy, xx = x + dx < 0 ? 0 : x + dx >= W
                        ? W - 1 : x + dx;
                    const double weight = exp(-(dx * dx + dy * dy) / 4.5);
                    sum += weight * images[yy * W + xx];
                    weights += weight;
                }
            cr_assert_float_eq(got[y * W + x], sum / weights, 0.501);
        }
}

#ifdef DAL_HAVE_JPEG
Test(corrupt, jpeg_gets_worse_with_severity)
{
    double last = 0;
    for (int64_t s = 1; s <= 5; s++) {
        run(with(JPEG, s), DAL_SPLIT_TEST, 2, 0, got);
        const double d = distance(got, images);
        cr_assert(d > last && d < 60, "severity %d: %g", (int)s, d);
        last = d;
    }
}
#endif

Test(corrupt, refuses_what_it_cannot_do)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *host = dal_runtime_host(rt, "x");
    fx_toy t = toy();
    fx_toy_open(&t);
    options o = with(CONTRAST, 1);
    o.amount = 1.5;
    fx_expect(&err, corrupt_impl.create(host, &o, &t.dataset, &self, &err), DAL_E_INVALID, "amount",
              "a contrast of 1.5, expected 0..1");
    o = with(JPEG, 1);
    o.amount = 0.5;
    fx_expect(&err, corrupt_impl.create(host, &o, &t.dataset, &self, &err), DAL_E_INVALID, "amount",
              "a JPEG quality of 0.5");
    o = with(BLUR, 1);
    o.amount = 1000;
    fx_expect(&err, corrupt_impl.create(host, &o, &t.dataset, &self, &err), DAL_E_INVALID, "amount",
              "a blur of 1000 pixels, expected at most 256");
    t.spec.dtype = DAL_F32;
    fx_expect(&err, corrupt_impl.create(host, &o, &t.dataset, &self, &err), DAL_E_UNSUPPORTED, "",
              "put it before what makes them f32");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
