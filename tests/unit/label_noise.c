#include "tests/unit/transforms.h"

#include "plugins/transforms/label_noise.c"

/* counts[a * c + b]: samples of class a that are called b. */
static void confusion(noise_options o, int c, int64_t *counts)
{
    fx_toy t = fx_numbers(NUMBERS, c);
    fx_derived x = fx_derive(&noise_impl, &o, &t, 1);
    memset(counts, 0, (size_t)(c * c) * sizeof *counts);
    for (int64_t i = 0; i < NUMBERS; i++)
        counts[i % c * c + fx_class(&x.d, DAL_SPLIT_TRAIN, i)]++;
    for (int64_t i = 0; i < TEST_NUMBERS; i++)
        cr_assert_eq(fx_class(&x.d, DAL_SPLIT_TEST, i), i % c, "the test split keeps the truth");
    cr_assert_eq(fx_number(&x, DAL_SPLIT_TRAIN, 7), 7, "only labels change");
    fx_drop(&x);
}

/* Within four standard deviations of a binomial count. */
static void near(int64_t count, double n, double p)
{
    cr_assert(fabs((double)count - n * p) <= 4 * sqrt(n * p * (1 - p)) + 1e-9, "%d of %g at %g", (int)count, n, p);
}

Test(label_noise, symmetric_errs_to_every_other_class_alike)
{
    int64_t n[16];
    confusion((noise_options){.kind = SYMMETRIC, .rate = .3}, 4, n);
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++)
            near(n[a * 4 + b], 5000, a == b ? .7 : .1);
}

Test(label_noise, pair_errs_to_the_next_class_alone)
{
    int64_t n[16];
    confusion((noise_options){.kind = PAIR, .rate = .25}, 4, n);
    for (int a = 0; a < 4; a++) {
        near(n[a * 4 + a], 5000, .75);
        cr_assert_eq(n[a * 4 + a] + n[a * 4 + (a + 1) % 4], 5000);
    }
}

Test(label_noise, matrix_gives_each_class_its_own_errors)
{
    const double m[9] = {.5, .5, 0, 0, 1, 0, .1, .2, .7};
    int64_t n[9];
    confusion((noise_options){.kind = MATRIX, .matrix = {m, 9}}, 3, n);
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++)
            near(n[a * 3 + b], a == 2 ? 6666 : 6667, m[a * 3 + b]);
}

Test(label_noise, of_rate_0_changes_nothing_and_of_rate_1_everything)
{
    int64_t n[16];
    confusion((noise_options){.rate = 0}, 4, n);
    for (int a = 0; a < 4; a++)
        cr_assert_eq(n[a * 5], 5000);
    confusion((noise_options){.rate = 1}, 4, n);
    for (int a = 0; a < 4; a++)
        cr_assert_eq(n[a * 5], 0);
}

/* Whoever errs at a smaller rate errs at a larger one, to the same class. */
Test(label_noise, grows_with_the_rate_sample_by_sample)
{
    fx_toy t = fx_numbers(1000, 5);
    noise_options low = {.rate = .1}, high = {.rate = .4};
    fx_derived a = fx_derive(&noise_impl, &low, &t, 1), b = fx_derive(&noise_impl, &high, &t, 1);
    for (int64_t i = 0; i < 1000; i++) {
        const int32_t one = fx_class(&a.d, DAL_SPLIT_TRAIN, i);
        cr_assert(one == i % 5 || one == fx_class(&b.d, DAL_SPLIT_TRAIN, i));
    }
    fx_drop(&a);
    fx_drop(&b);
}

Test(label_noise, leaves_alone_what_has_no_class)
{
    static int32_t classes[100];
    for (int i = 0; i < 100; i++)
        classes[i] = i % 2 ? DAL_LABEL_OOD : DAL_LABEL_NONE;
    fx_toy t = fx_numbers(100, 5);
    t.cls[DAL_SPLIT_TRAIN] = classes;
    noise_options o = {.rate = 1};
    fx_derived x = fx_derive(&noise_impl, &o, &t, 1);
    for (int64_t i = 0; i < 100; i++)
        cr_assert_eq(fx_class(&x.d, DAL_SPLIT_TRAIN, i), classes[i]);
    fx_drop(&x);
}

Test(label_noise, refuses_matrices_that_are_none)
{
    const double m[9] = {1, 0, 0, 0, 1, 0, .1, .2, .6};
    fx_toy t = fx_numbers(100, 3);
    noise_options o = {.kind = MATRIX, .matrix = {m, 8}};
    fx_refused(&noise_impl, &o, &t, DAL_E_INVALID, "matrix", "8 numbers, expected 3 x 3 for 3 classes");
    o.matrix.n = 9;
    fx_refused(&noise_impl, &o, &t, DAL_E_INVALID, "matrix", "row 2 sums to 0.9, expected 1");
    o.kind = PAIR;
    fx_refused(&noise_impl, &o, &t, DAL_E_INVALID, "matrix", "there is a matrix, but kind is not matrix");
    o = (noise_options){.rate = .1};
    fx_toy_open(&t);
    fx_no_memory(&noise_impl, &o, &t.dataset, 3);
    t.spec.n_classes = 1;
    t.n[0] = t.n[2] = 1;
    fx_refused(&noise_impl, &o, &t, DAL_E_INVALID, "", "the dataset has 1 classes, expected 2 or more");
}

/* ---- a row for each sample ---- */

#define SOME 3000

/* Values that the weights can tell apart; width 3, class i % c. */
static fx_toy points(int c, uint32_t dtype)
{
    static float values[3 * SOME];
    static unsigned char bytes[3 * SOME];
    static int32_t classes[SOME];
    fx_toy t = {.spec = {sizeof t.spec, DAL_VECTOR, dtype, 1, {3}, c}, .n = {SOME, 0, 10}};
    dal_rng r = dal_rng_from_key(5);
    for (int i = 0; i < 3 * SOME; i++) {
        bytes[i] = (unsigned char)dal_rng_below(&r, 256);
        values[i] = (float)bytes[i] / 255;
        classes[i / 3] = i / 3 % c;
    }
    for (int k = 0; k < 3; k++) {
        t.data[k] = dtype == DAL_U8 ? (const void *)bytes : values;
        t.cls[k] = classes;
    }
    return t;
}

/* The algorithm as it is printed: one sample after the other, in double. A draw that is within rounding of the bound of
 * a class says -1. */
static int32_t slow_twin(const dal_host *host, const noise_options *o, int64_t i, const float *x, int32_t y, int c)
{
    const dal_rng root = dal_derived_rng(host, o->seed, "label-noise");
    const dal_rng weights = dal_derived_rng(host, o->seed, "label-noise weights");
    dal_rng w = dal_rng_at(&weights, (uint64_t)y), r = dal_rng_at(&root, (uint64_t)i);
    double z[16] = {0}, sum = 0, at = 0, q = -1;
    for (int k = 0; k < 3; k++)
        for (int j = 0; j < c; j++)
            z[j] += (double)x[k] * (double)(float)dal_rng_normal(&w);
    while (q < 0 || q > 1)
        q = o->rate + o->deviation * dal_rng_normal(&r);
    for (int j = 0; j < c; j++)
        sum += j == y ? 0 : exp(z[j]);
    const double u = dal_rng_uniform(&r);
    for (int j = 0; j < c; j++) {
        at += j == y ? 1 - q : q * exp(z[j]) / sum;
        if (fabs(u - at) < 1e-5)
            return -1;
        if (u < at)
            return j;
    }
    return -1;
}

Test(label_noise, of_each_sample_is_as_the_slow_twin_draws_it)
{
    for (int c = 2; c <= 10; c += 4)
        for (int u8 = 0; u8 < 2; u8++) {
            const fx_toy plain = points(c, DAL_F32);
            fx_toy t = points(c, u8 ? DAL_U8 : DAL_F32);
            noise_options o = {.kind = INSTANCE, .rate = .3, .deviation = .1, .seed = u8};
            fx_derived x = fx_derive(&noise_impl, &o, &t, 3);
            const dal_host *host = dal_runtime_host(x.rt, "transform");
            int64_t wrong = 0, unsure = 0;
            for (int64_t i = 0; i < SOME; i++) {
                const int32_t got = fx_class(&x.d, DAL_SPLIT_TRAIN, i);
                const int32_t want = slow_twin(host, &o, i, (const float *)plain.data[0] + 3 * i, (int32_t)(i % c), c);
                unsure += want < 0;
                cr_assert(want < 0 || want == got, "sample %d of %d classes: %d, the twin says %d", (int)i, c, got,
                          want);
                wrong += got != i % c;
            }
            cr_assert_lt(unsure, 10);
            near(wrong, SOME, .3);
            for (int64_t i = 0; i < 10; i++)
                cr_assert_eq(fx_class(&x.d, DAL_SPLIT_TEST, i), i % c);
            fx_drop(&x);
        }
}

/* Of two samples of a class that are alike the labels err alike: that is what tells it from symmetric noise. */
Test(label_noise, of_each_sample_follows_what_it_looks_like)
{
    static float values[SOME];
    static int32_t classes[SOME];
    for (int i = 0; i < SOME; i++)
        values[i] = i % 2 ? -10 : 10;
    fx_toy t = fx_numbers(SOME, 4);
    t.data[DAL_SPLIT_TRAIN] = values;
    t.cls[DAL_SPLIT_TRAIN] = classes; /* all of class 0 */
    noise_options o = {.kind = INSTANCE, .rate = 1, .deviation = 0};
    fx_derived x = fx_derive(&noise_impl, &o, &t, 1);
    int64_t n[2][4] = {{0}}, most[2] = {0};
    for (int64_t i = 0; i < SOME; i++)
        n[i % 2][fx_class(&x.d, DAL_SPLIT_TRAIN, i)]++;
    for (int k = 0; k < 2; k++)
        for (int c = 0; c < 4; c++)
            most[k] = n[k][c] > n[k][most[k]] ? c : most[k];
    cr_assert_neq(most[0], most[1], "opposite samples err to the same class");
    cr_assert(n[0][most[0]] > 1000 && n[1][most[1]] > 1000 && n[0][0] == 0 && n[1][0] == 0);
    fx_drop(&x);
}

/* Sparse rows {value at column 2}; the same as dense ones. */
static dal_status sparse_sizes(void *self, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    (void)self, (void)k, (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = ids[i] % 3; /* 0, 1 or 2 of them */
    return DAL_OK;
}

static int sparse_column;

static dal_status sparse_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    (void)self, (void)k, (void)err;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = out->offsets[i]; j < out->offsets[i + 1]; j++) {
            out->indices[j] = (int32_t)(j - out->offsets[i]) + sparse_column;
            ((float *)out->data)[j] = (float)(ids[i] % 7) / 7;
        }
    return DAL_OK;
}

Test(label_noise, of_sparse_samples_is_that_of_the_same_dense_ones)
{
    static float dense[3 * SOME];
    static const dal_dataset_impl impl = {.struct_size = sizeof impl, .info = fx_toy_info, .classes = fx_toy_classes,
                                          .sizes = sparse_sizes, .read = sparse_read};
    fx_toy t = points(4, DAL_F32), s = t;
    for (int i = 0; i < SOME; i++)
        for (int j = 0; j < 3; j++)
            dense[3 * i + j] = j < i % 3 ? (float)(i % 7) / 7 : 0;
    t.data[DAL_SPLIT_TRAIN] = dense;
    s.spec.modality = DAL_SPARSE;
    s.dataset = (dal_dataset){&impl, &s};
    noise_options o = {.kind = INSTANCE, .rate = .4, .deviation = .1};
    fx_derived x = fx_derive(&noise_impl, &o, &t, 1);
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    const dal_host *host = dal_runtime_host(x.rt, "transform");
    cr_assert_eq(noise_impl.create(host, &o, &s.dataset, &self, &err), DAL_OK, "%s", err.text);
    int64_t unlike = 0;
    for (int64_t i = 0; i < SOME; i++) {
        int32_t c;
        noise_impl.classes(self, DAL_SPLIT_TRAIN, &i, 1, &c, &err);
        unlike += c != fx_class(&x.d, DAL_SPLIT_TRAIN, i);
    }
    cr_assert_leq(unlike, 1, "%d labels differ", (int)unlike); /* rounding, where a draw is on the line */
    noise_impl.destroy(self);
    sparse_column = 2;
    fx_expect(&err, noise_impl.create(host, &o, &s.dataset, &self, &err), DAL_E_CONTRACT, "",
              "a sample has column 3 of 3");
    fx_drop(&x);
}

Test(label_noise, of_each_sample_is_refused_where_it_cannot_be)
{
    fx_toy t = points(4, DAL_F32);
    noise_options o = {.kind = INSTANCE, .rate = .2, .deviation = .1};
    fx_toy_open(&t);
    fx_no_memory(&noise_impl, &o, &t.dataset, 9);
    t.spec.modality = DAL_TEXT;
    fx_refused(&noise_impl, &o, &t, DAL_E_UNSUPPORTED, "kind", "the dataset has text; put tf-idf or hashing before it");
    t = points(4, DAL_F32);
    float *values = (float *)(uintptr_t)t.data[0];
    values[3 * 77] = NAN;
    fx_refused(&noise_impl, &o, &t, DAL_E_INVALID, "kind", "the values of sample 77 are no numbers");
}

/* ---- missing-labels ---- */

Test(missing_labels, takes_away_exactly_its_share)
{
    static const struct {
        missing_options o;
        int64_t left;
    } cases[] = {
        {{.fraction = .3}, 700}, {{.fraction = 0}, 1000}, {{.fraction = 1}, 0}, {{.fraction = .0004}, 1000}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int64_t n[12], left = 0;
        fx_toy t = fx_numbers(1000, 10);
        fx_derived x = fx_derive(&missing_impl, &cases[k].o, &t, 1);
        fx_count(&x, DAL_SPLIT_TRAIN, n, 10);
        for (int c = 0; c < 10; c++)
            left += n[c];
        cr_assert_eq(left, cases[k].left);
        cr_assert_eq(n[10], 1000 - left);
        for (int64_t i = 0; i < 1000; i++)
            cr_assert(fx_class(&x.d, DAL_SPLIT_TRAIN, i) == i % 10 ||
                      fx_class(&x.d, DAL_SPLIT_TRAIN, i) == DAL_LABEL_NONE);
        fx_count(&x, DAL_SPLIT_TEST, n, 10);
        cr_assert_eq(n[10], 0);
        fx_drop(&x);
    }
}

Test(missing_labels, takes_the_same_share_of_each_class_when_stratified)
{
    int64_t n[12];
    fx_toy t = fx_numbers(1000, 10);
    missing_options o = {.fraction = .25, .stratified = 1};
    fx_derived x = fx_derive(&missing_impl, &o, &t, 1);
    fx_count(&x, DAL_SPLIT_TRAIN, n, 10);
    for (int c = 0; c < 10; c++)
        cr_assert_eq(n[c], 75);
    fx_drop(&x);
    o.stratified = 0;
    x = fx_derive(&missing_impl, &o, &t, 1);
    fx_count(&x, DAL_SPLIT_TRAIN, n, 10);
    int uneven = 0;
    for (int c = 0; c < 10; c++)
        uneven += n[c] != 75;
    cr_assert_gt(uneven, 2);
    fx_drop(&x);
    fx_no_memory(&missing_impl, &o, &t.dataset, 5);
}

Test(missing_labels, leaves_what_is_known_to_be_out_of_class)
{
    static int32_t classes[100];
    for (int i = 0; i < 100; i++)
        classes[i] = i % 2 ? DAL_LABEL_OOD : 1;
    int64_t n[4];
    fx_toy t = fx_numbers(100, 2);
    t.cls[DAL_SPLIT_TRAIN] = classes;
    missing_options o = {.fraction = 1};
    fx_derived x = fx_derive(&missing_impl, &o, &t, 1);
    fx_count(&x, DAL_SPLIT_TRAIN, n, 2);
    cr_assert_arr_eq(n, ((int64_t[]){0, 0, 50, 50}), sizeof n);
    fx_drop(&x);
}
