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
