#include "tests/unit/transforms.h"

#include "plugins/transforms/split.c"

static const options none = {.stratified = 1, .seed = 1, .train_ids = "", .validation_ids = "", .test_ids = ""};

static fx_toy pool(int64_t n, int c)
{
    fx_toy t = fx_numbers(n, c);
    t.n[DAL_SPLIT_TEST] = 0;
    return t;
}

/* Every sample is in one split, in the old order. */
static void check_partition(const fx_derived *x, int64_t n)
{
    static unsigned char seen[NUMBERS];
    memset(seen, 0, sizeof seen);
    for (uint32_t k = 0; k < DAL_SPLITS; k++)
        for (int64_t i = 0, last = -1; i < x->d.info.n[k]; i++) {
            const int number = fx_number(x, k, i);
            char name[16];
            cr_assert_gt(number, last);
            cr_assert_eq(seen[number]++, 0);
            x->d.impl->describe(x->d.self, k, i, name, sizeof name);
            cr_assert_eq(atoi(name), number);
            last = number;
        }
    int64_t sum = 0;
    for (int i = 0; i < NUMBERS; i++)
        sum += seen[i];
    cr_assert_eq(sum, n);
}

Test(split, has_exact_sizes_and_even_classes)
{
    int64_t got[12];
    fx_toy t = pool(1000, 10);
    options o = none;
    o.validation = .15;
    o.test = 203;
    fx_derived x = fx_derive(&split_impl, &o, &t, 1);
    cr_assert_arr_eq(x.d.info.n, ((int64_t[]){647, 150, 203}), sizeof x.d.info.n);
    check_partition(&x, 1000);
    fx_count(&x, DAL_SPLIT_TEST, got, 10);
    for (int c = 0; c < 10; c++)
        cr_assert_eq(got[c], c < 3 ? 21 : 20, "equal remainders go to the lower classes");
    fx_count(&x, DAL_SPLIT_VALIDATION, got, 10);
    for (int c = 0; c < 10; c++)
        cr_assert(got[c] >= 14 && got[c] <= 16);
    fx_drop(&x);
}

Test(split, gives_small_classes_their_share_by_the_largest_remainder)
{
    /* classes of 6, 3 and 1: of 5 come 3, 1.5 and 0.5 */
    static const int32_t classes[10] = {0, 0, 0, 0, 0, 0, 1, 1, 1, 2};
    int64_t got[5];
    fx_toy t = pool(10, 3);
    t.cls[DAL_SPLIT_TRAIN] = classes;
    options o = none;
    o.test = 5;
    fx_derived x = fx_derive(&split_impl, &o, &t, 1);
    fx_count(&x, DAL_SPLIT_TEST, got, 3);
    cr_assert_arr_eq(got, ((int64_t[]){3, 2, 0}), 3 * sizeof *got);
    fx_drop(&x);
    o.validation = 4; /* one sample is left */
    x = fx_derive(&split_impl, &o, &t, 1);
    cr_assert_arr_eq(x.d.info.n, ((int64_t[]){1, 4, 5}), sizeof x.d.info.n);
    check_partition(&x, 10);
    fx_drop(&x);
}

Test(split, shares_out_what_has_no_class_like_a_class)
{
    static int32_t classes[100];
    for (int i = 0; i < 100; i++)
        classes[i] = i % 4 == 0 ? DAL_LABEL_NONE : i % 4 == 1 ? DAL_LABEL_OOD : i % 4 - 2;
    int64_t got[4];
    fx_toy t = pool(100, 2);
    t.cls[DAL_SPLIT_TRAIN] = classes;
    options o = none;
    o.test = .2;
    fx_derived x = fx_derive(&split_impl, &o, &t, 1);
    fx_count(&x, DAL_SPLIT_TEST, got, 2);
    cr_assert(got[0] == 5 && got[1] == 5 && got[2] + got[3] == 10);
    fx_drop(&x);
}

Test(split, is_plainly_random_when_not_stratified)
{
    int64_t got[12];
    int uneven = 0;
    fx_toy t = pool(1000, 10);
    options o = none;
    o.stratified = 0;
    o.test = .2;
    fx_derived x = fx_derive(&split_impl, &o, &t, 1);
    cr_assert_eq(x.d.info.n[DAL_SPLIT_TEST], 200);
    check_partition(&x, 1000);
    fx_count(&x, DAL_SPLIT_TEST, got, 10);
    for (int c = 0; c < 10; c++)
        uneven += got[c] != 20;
    cr_assert_gt(uneven, 2);
    fx_drop(&x);
}

Test(split, is_the_same_for_every_run_unless_its_seed_is_0)
{
    fx_toy t = pool(1000, 10);
    options o = none, free_one = none;
    o.test = free_one.test = .2;
    free_one.seed = 0;
    cr_assert_eq(fx_derived_digest(&split_impl, &o, &t, 1), fx_derived_digest(&split_impl, &o, &t, 2));
    cr_assert_neq(fx_derived_digest(&split_impl, &free_one, &t, 1),
                  fx_derived_digest(&split_impl, &free_one, &t, 2));
}

Test(split, keeps_a_split_there_is)
{
    fx_toy t = fx_numbers(1000, 10);
    options o = none;
    o.validation = 100;
    fx_derived x = fx_derive(&split_impl, &o, &t, 1);
    cr_assert_arr_eq(x.d.info.n, ((int64_t[]){900, 100, 1000}), sizeof x.d.info.n);
    cr_assert_eq(fx_number(&x, DAL_SPLIT_TEST, 999), 999);
    fx_drop(&x);
}

Test(split, repeats_one_from_index_files)
{
    const int64_t wide[] = {9, 0, 5};
    dal_error err = DAL_ERROR_INIT;
    const char *npy = fx_path("test.npy");
    cr_assert_eq(dal_npy_write(npy, DAL_NPY_I64, 1, (const int64_t[]){3}, wide, &err), DAL_OK);
    fx_toy t = pool(12, 3);
    options o = none;
    o.validation_ids = fx_text("validation", "3\n\n 1 \r\n2");
    o.test_ids = npy;
    fx_derived x = fx_derive(&split_impl, &o, &t, 1);
    cr_assert_arr_eq(x.d.info.n, ((int64_t[]){6, 3, 3}), sizeof x.d.info.n);
    check_partition(&x, 12);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(fx_number(&x, DAL_SPLIT_VALIDATION, i), i + 1);
        cr_assert_eq(fx_number(&x, DAL_SPLIT_TEST, i), ((const int[]){0, 5, 9})[i]);
    }
    fx_drop(&x);
    o.train_ids = fx_text("train", "11\n10\n");
    x = fx_derive(&split_impl, &o, &t, 1);
    cr_assert_arr_eq(x.d.info.n, ((int64_t[]){2, 3, 3}), sizeof x.d.info.n);
    check_partition(&x, 8);
    fx_drop(&x);
}

static void refused(options o, dal_status st, const char *key, const char *words)
{
    fx_toy t = pool(12, 3);
    fx_refused(&split_impl, &o, &t, st, key, words);
}

Test(split, refuses_index_files_that_are_wrong)
{
    options o = none;
    o.test_ids = fx_text("a", "1\n2\n12\n");
    refused(o, DAL_E_INVALID, "test_ids", ":3: sample 12, expected 0..11");
    o.test_ids = fx_text("b", "1\n2\n1\n");
    refused(o, DAL_E_INVALID, "test_ids", ":3: sample 1 is there twice");
    o.test_ids = fx_text("c", "1\n2 3\n");
    refused(o, DAL_E_FORMAT, "test_ids", ":2: expected one whole number");
    o.test_ids = fx_text("d", "1\n-2\n");
    refused(o, DAL_E_FORMAT, "test_ids", ":2: expected one whole number");
    o.test_ids = fx_text("e", "99999999999999999999\n");
    refused(o, DAL_E_FORMAT, "test_ids", ":1: expected one whole number");
    o.test_ids = fx_text("f", "1\n2\n");
    o.validation_ids = fx_text("g", "0\n2\n");
    refused(o, DAL_E_INVALID, "test_ids", ":2: sample 2 is in validation_ids too");
    o.validation_ids = "/nowhere/x";
    refused(o, DAL_E_NOT_FOUND, "validation_ids", "/nowhere/x: cannot open");
    o.validation_ids = "";
    o.validation = 3;
    refused(o, DAL_E_INVALID, "validation", "there are index files: sizes and sources are for splits at random");
    o.validation = 0;
    const double half[] = {0.5};
    dal_error err = DAL_ERROR_INIT;
    const char *npy = fx_path("half.npy");
    cr_assert_eq(dal_npy_write(npy, DAL_NPY_F64, 1, (const int64_t[]){1}, half, &err), DAL_OK);
    o.test_ids = npy;
    refused(o, DAL_E_FORMAT, "test_ids", "row 0 holds a number that is not whole");
}

Test(split, refuses_sizes_that_cannot_be)
{
    options o = none;
    o.test = 13;
    refused(o, DAL_E_INVALID, "test", "13 samples wanted, but the pool has 12");
    o.test = 12;
    refused(o, DAL_E_INVALID, "test", "12 to validate and test on leave nothing of a pool of 12");
    o.validation = 6;
    o.test = .5;
    refused(o, DAL_E_INVALID, "validation", "12 to validate and test on leave nothing of a pool of 12");
    fx_toy t = fx_numbers(100, 10);
    o = none;
    o.test = 10;
    fx_refused(&split_impl, &o, &t, DAL_E_INVALID, "test", "the dataset has a test split of 100 samples already");
    t = pool(100, 10);
    fx_toy_open(&t);
    fx_no_memory(&split_impl, &o, &t.dataset, 9);
}

/* ---- by source ---- */

/* Source g has g + 1 samples, strewn about; every tenth sample is of none that is known. */
static fx_toy sourced(int64_t n_groups, int64_t *n)
{
    static int32_t of[NUMBERS];
    int64_t at = 0;
    for (int64_t turn = 0; turn < n_groups; turn++)
        for (int64_t g = turn; g < n_groups; g++, at++)
            of[at] = at % 10 == 9 ? DAL_GROUP_NONE : (int32_t)g;
    fx_toy t = fx_numbers(at, 5);
    t.n[DAL_SPLIT_TEST] = 0;
    t.groups[DAL_SPLIT_TRAIN] = of;
    t.n_groups = n_groups;
    *n = at;
    return t;
}

Test(split, keeps_the_samples_of_a_source_together)
{
    for (int64_t seed = 1; seed <= 20; seed++) {
        int64_t n;
        int where[40];
        fx_toy t = sourced(40, &n); /* 820 samples */
        options o = none;
        o.validation = .1;
        o.test = 100;
        o.by_source = 1;
        o.seed = seed;
        fx_derived x = fx_derive(&split_impl, &o, &t, 1);
        int64_t all = 0, seen = 0;
        char *there = calloc((size_t)n, 1);
        memset(where, -1, sizeof where);
        for (uint32_t k = 0; k < DAL_SPLITS; k++) {
            all += x.d.info.n[k];
            for (int64_t i = 0; i < x.d.info.n[k]; i++) {
                const int number = fx_number(&x, k, i);
                const int32_t g = t.groups[DAL_SPLIT_TRAIN][number];
                seen += !there[number];
                there[number] = 1;
                cr_assert_eq(fx_group(&x.d, k, i), g);
                cr_assert(g < 0 || where[g] < 0 || where[g] == (int)k, "source %d is in two splits", (int)g);
                if (g >= 0)
                    where[g] = (int)k;
            }
        }
        free(there);
        cr_assert(all == n && seen == n);
        /* single samples of no known source fill what is left to the last place */
        cr_assert_eq(x.d.info.n[DAL_SPLIT_TEST], 100);
        cr_assert_eq(x.d.info.n[DAL_SPLIT_VALIDATION], 82);
        fx_drop(&x);
    }
}

Test(split, takes_no_more_of_large_sources_than_asked)
{
    static int32_t of[90];
    for (int i = 0; i < 90; i++)
        of[i] = i / 30;
    fx_toy t = fx_numbers(90, 5);
    t.n[DAL_SPLIT_TEST] = 0;
    t.groups[DAL_SPLIT_TRAIN] = of;
    t.n_groups = 3;
    options o = none;
    o.test = 59;
    o.by_source = 1;
    fx_derived x = fx_derive(&split_impl, &o, &t, 1);
    cr_assert_eq(x.d.info.n[DAL_SPLIT_TEST], 30, "one source, since two would be more than 59");
    cr_assert_eq(x.d.info.n[DAL_SPLIT_TRAIN], 60);
    fx_drop(&x);
    o.test = 20;
    fx_refused(&split_impl, &o, &t, DAL_E_INVALID, "test", "each source that is left has more than 20 samples");
    t.n_groups = 0;
    fx_refused(&split_impl, &o, &t, DAL_E_UNSUPPORTED, "by_source", "does not tell which source");
    t.n_groups = 3;
    o.test = 30;
    fx_toy_open(&t);
    fx_no_memory(&split_impl, &o, &t.dataset, 7);
}
