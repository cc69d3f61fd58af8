#include "tests/unit/fixture.h"

#include "plugins/transforms/scaling.c"

#define N 3000
#define D 6

static float vectors[2][N][D];
static unsigned char images[2][N][2 * 4];

/* Column j of the pool is N(10^j, (j+1)^2), but the last is constant; the test split is shifted. */
static fx_toy toy_vectors(void)
{
    fx_toy t = {.spec = {sizeof t.spec, DAL_VECTOR, DAL_F32, 1, {D}, 0}, .n = {N, 0, N}};
    dal_rng r = dal_rng_from_key(1);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < D; j++)
                vectors[k][i][j] =
                    (float)(pow(10, j) + (j < D - 1 ? (j + 1) * dal_rng_normal(&r) : 0) + (k ? 100 : 0));
    t.data[DAL_SPLIT_TRAIN] = vectors[0];
    t.data[DAL_SPLIT_TEST] = vectors[1];
    return t;
}

/* Channel 0 holds 10..40, channel 1 100..250. */
static fx_toy toy_images(void)
{
    fx_toy t = {.spec = {sizeof t.spec, DAL_IMAGE, DAL_U8, 3, {2, 2, 2}, 0}, .n = {N, 0, N}};
    dal_rng r = dal_rng_from_key(2);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < 8; j++)
                images[k][i][j] = (unsigned char)(j < 4 ? 10 + dal_rng_below(&r, 31) : 100 + dal_rng_below(&r, 151));
    t.data[DAL_SPLIT_TRAIN] = images[0];
    t.data[DAL_SPLIT_TEST] = images[1];
    return t;
}

/* All of a split, in blocks of odd size. */
static float *read_all(const fx_dataset *d, uint32_t split)
{
    const int64_t n = d->info.n[split], width = dal_sample_values(&d->info.spec);
    float *x = malloc((size_t)(n * width) * sizeof *x);
    int64_t ids[101];
    for (int64_t at = 0; at < n; at += 101) {
        const int64_t here = n - at < 101 ? n - at : 101;
        for (int64_t i = 0; i < here; i++)
            ids[i] = at + i;
        fx_read(d, split, ids, here, x + at * width);
    }
    return x;
}

Test(standardize, gives_the_pool_zero_mean_and_unit_variance)
{
    fx_toy t = toy_vectors();
    fx_toy_open(&t);
    dal_runtime *rt = fx_runtime(2, 0);
    standardize_options o = {PER_AUTO, 1e-8};
    fx_dataset d = fx_open(&standardize_impl, dal_runtime_host(rt, "standardize"), &o, &t.dataset);
    float *x = read_all(&d, DAL_SPLIT_TRAIN);
    for (int j = 0; j < D; j++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < N; i++) {
            sum += (double)x[i * D + j];
            squares += (double)x[i * D + j] * (double)x[i * D + j];
        }
        cr_assert_float_eq(sum / N, 0, 1e-5, "column %d", j);
        cr_assert_float_eq(squares / N, j < D - 1 ? 1 : 0, 1e-5, "column %d", j);
    }
    free(x);
    standardize_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(standardize, equals_the_two_pass_reference)
{
    fx_toy t = toy_vectors();
    fx_toy_open(&t);
    dal_runtime *rt = fx_runtime(1, 0);
    standardize_options o = {PER_FEATURE, 1e-8};
    fx_dataset d = fx_open(&standardize_impl, dal_runtime_host(rt, "standardize"), &o, &t.dataset);
    const scaling *s = d.self;
    for (int j = 0; j < D - 1; j++) {
        double mean = 0, variance = 0;
        for (int i = 0; i < N; i++)
            mean += (double)vectors[0][i][j] / N;
        for (int i = 0; i < N; i++)
            variance += pow((double)vectors[0][i][j] - mean, 2) / N;
        cr_assert_float_eq(s->shift[j], mean, 1e-9 * fabs(mean));
        cr_assert_float_eq(s->factor[j] * sqrt(variance), 1, 1e-9);
    }
    standardize_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(standardize, never_looks_at_test_data)
{
    fx_toy t = toy_vectors();
    fx_toy_open(&t);
    dal_runtime *rt = fx_runtime(1, 0);
    standardize_options o = {PER_AUTO, 1e-8};
    fx_dataset a = fx_open(&standardize_impl, dal_runtime_host(rt, "standardize"), &o, &t.dataset);
    memset(vectors[1], 0x7f, sizeof vectors[1]);
    fx_dataset b = fx_open(&standardize_impl, dal_runtime_host(rt, "standardize"), &o, &t.dataset);
    cr_assert_eq(fx_digest(&a, DAL_SPLIT_TRAIN), fx_digest(&b, DAL_SPLIT_TRAIN));
    standardize_impl.destroy(a.self);
    standardize_impl.destroy(b.self);
    dal_runtime_free(rt);
}

Test(standardize, gives_the_same_bits_with_any_threads)
{
    for (uint32_t per = PER_AUTO; per <= PER_GLOBAL; per++) {
        uint64_t digest[2];
        for (int threads = 1; threads <= 2; threads++) {
            fx_toy t = toy_images();
            fx_toy_open(&t);
            dal_runtime *rt = fx_runtime(threads, 0);
            standardize_options o = {per, 1e-8};
            fx_dataset d = fx_open(&standardize_impl, dal_runtime_host(rt, "standardize"), &o, &t.dataset);
            const scaling *s = d.self;
            cr_assert_eq(s->n_groups, per == PER_FEATURE ? 8 : per == PER_GLOBAL ? 1 : 2);
            digest[threads - 1] = fx_digest(&d, DAL_SPLIT_TEST);
            standardize_impl.destroy(d.self);
            dal_runtime_free(rt);
        }
        cr_assert_eq(digest[0], digest[1]);
    }
}

static void check_range(scale_options o, fx_toy t, int64_t first, int64_t step, float low, float high)
{
    fx_toy_open(&t);
    dal_runtime *rt = fx_runtime(2, 0);
    fx_dataset d = fx_open(&scale_impl, dal_runtime_host(rt, "scale"), &o, &t.dataset);
    const int64_t width = dal_sample_values(&d.info.spec);
    float *x = read_all(&d, DAL_SPLIT_TRAIN), least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < N; i++) {
        for (int64_t j = first; j < width; j += step) {
            least = fminf(least, x[i * width + j]);
            most = fmaxf(most, x[i * width + j]);
        }
    }
    cr_assert_float_eq(least, low, 1e-6);
    cr_assert_float_eq(most, high, 1e-6);
    cr_assert_eq(d.info.spec.dtype, DAL_F32);
    cr_assert_eq(d.info.spec.modality, t.spec.modality);
    free(x);
    scale_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(scale, reaches_the_ends_of_its_range)
{
    for (int j = 0; j < D - 1; j++)
        check_range((scale_options){MINMAX, PER_AUTO, -2, 3}, toy_vectors(), j, D, -2, 3);
    check_range((scale_options){MINMAX, PER_AUTO, 0, 1}, toy_vectors(), D - 1, D, 0, 0); /* constant */
    check_range((scale_options){MINMAX, PER_CHANNEL, 0, 1}, toy_images(), 0, 1, 0, 1);
    check_range((scale_options){MINMAX, PER_GLOBAL, 0, 1}, toy_images(), 0, 1, 0, 1);
    check_range((scale_options){MAXABS, PER_GLOBAL, 0, 1}, toy_images(), 0, 1, 10.0f / 250, 1);
    check_range((scale_options){UNIT, PER_AUTO, 0, 1}, toy_images(), 0, 1, 10.0f / 255, 250.0f / 255);
    check_range((scale_options){UNIT, PER_AUTO, -1, 1}, toy_images(), 0, 1, 20.0f / 255 - 1, 500.0f / 255 - 1);
}

static void refuse(const dal_dataset_impl *impl, const void *o, fx_toy t, dal_status want, const char *key,
                   const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    fx_toy_open(&t);
    dal_runtime *rt = fx_runtime(2, 0);
    fx_expect(&err, impl->create(dal_runtime_host(rt, "t"), o, &t.dataset, &self, &err), want, key, words);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(scaling, refuses_what_it_cannot_map)
{
    fx_toy t = toy_vectors();
    const standardize_options channel = {PER_CHANNEL, 0}, plain = {PER_AUTO, 0};
    refuse(&standardize_impl, &channel, t, DAL_E_INVALID, "per", "vectors have no channels");
    t.spec.modality = DAL_TEXT;
    refuse(&standardize_impl, &plain, t, DAL_E_UNSUPPORTED, "", "works on vectors and images, the dataset has text");
    t = toy_vectors();
    t.n[DAL_SPLIT_TRAIN] = 0;
    refuse(&standardize_impl, &plain, t, DAL_E_INVALID, "", "the train split is empty");
    t = toy_vectors();
    vectors[0][1234][3] = NAN;
    vectors[0][2345][2] = INFINITY;
    refuse(&standardize_impl, &plain, t, DAL_E_INVALID, "", "value 3 of sample 1234 is nan, expected a finite number");
    const scale_options swapped = {MINMAX, PER_AUTO, 1, 1}, maxabs = {MAXABS, PER_AUTO, 0, 2},
                        unit = {UNIT, PER_AUTO, 0, 1}, unit_per = {UNIT, PER_FEATURE, 0, 1};
    refuse(&scale_impl, &swapped, t, DAL_E_INVALID, "low", "low is 1 and high is 1; low must be smaller");
    refuse(&scale_impl, &maxabs, t, DAL_E_INVALID, "low", "maxabs always gives -1..1");
    refuse(&scale_impl, &unit, t, DAL_E_INVALID, "method", "unit maps u8 values 0..255, the dataset has f32 values");
    refuse(&scale_impl, &unit_per, toy_images(), DAL_E_INVALID, "per", "unit maps all values alike");
}

Test(normalise, takes_given_means_and_deviations)
{
    static const double mean[] = {0.1, 0.5}, std[] = {0.25, 0.5}, three[] = {1, 2, 3};
    const normalise_options o = {{mean, 2}, {std, 2}}, one = {{mean + 1, 1}, {std + 1, 1}},
        odd = {{three, 3}, {std, 1}};
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *host = dal_runtime_host(rt, "normalise");
    fx_toy t = toy_images();
    fx_toy_open(&t);
    fx_dataset d = fx_open(&normalise_impl, host, &o, &t.dataset);
    float got[8];
    cr_assert_eq(d.info.spec.dtype, DAL_F32);
    fx_read(&d, DAL_SPLIT_TEST, (const int64_t[]){5}, 1, got);
    for (int j = 0; j < 8; j++) {
        const int c = j / 4;
        cr_assert_float_eq(got[j], (images[1][5][j] / 255.0 - mean[c]) / std[c], 1e-5);
    }
    d.impl->destroy(d.self);
    fx_expect(&err, normalise_impl.create(host, &odd, &t.dataset, &self, &err), DAL_E_INVALID, "mean",
              "3 numbers for 2 channels; expected as many, or one for all");
    t = toy_vectors();
    fx_toy_open(&t);
    d = fx_open(&normalise_impl, host, &one, &t.dataset);
    float six[D];
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){5}, 1, six);
    for (int j = 0; j < D; j++)
        cr_assert_float_eq(six[j], (vectors[0][5][j] - 0.5f) / 0.5f, 1e-5 * fabs(vectors[0][5][j]) + 1e-5);
    d.impl->destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
