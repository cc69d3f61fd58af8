#include "tests/unit/transforms.h"

#include "plugins/transforms/imbalance.c"

/* Ten classes of n each, as long as CIFAR-10's when n is 5000: only the classes count. */
static fx_toy ten_classes(int64_t n)
{
    static int32_t classes[50000];
    static float zeros[50000];
    fx_toy t = fx_numbers(100, 10);
    for (int i = 0; i < 50000; i++)
        classes[i] = i % 10;
    t.cls[DAL_SPLIT_TRAIN] = classes;
    t.data[DAL_SPLIT_TRAIN] = zeros;
    t.n[DAL_SPLIT_TRAIN] = 10 * n;
    return t;
}

static void check_tail(tail_options o, int64_t n, const int64_t want[10])
{
    int64_t got[12];
    fx_toy t = ten_classes(n);
    fx_derived x = fx_derive(&tail_impl, &o, &t, 1);
    fx_count(&x, DAL_SPLIT_TRAIN, got, 10);
    for (int c = 0; c < 10; c++)
        cr_assert_eq(got[c], want[c], "factor %g: class %d has %d", o.factor, c, (int)got[c]);
    fx_drop(&x);
}

/* strategies.md, 14.4: CIFAR-10 */
Test(long_tail, has_the_known_sizes_of_cifar10)
{
    check_tail((tail_options){.factor = .1, .minimum = 1}, 5000,
               (int64_t[]){5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500});
    check_tail((tail_options){.factor = .01, .minimum = 1}, 5000,
               (int64_t[]){5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50});
    check_tail((tail_options){.factor = 1, .minimum = 1}, 50, (int64_t[]){50, 50, 50, 50, 50, 50, 50, 50, 50, 50});
    check_tail((tail_options){.factor = .1, .profile = STEP}, 5000,
               (int64_t[]){5000, 5000, 5000, 5000, 5000, 500, 500, 500, 500, 500});
}

Test(long_tail, keeps_the_minimum_and_no_more_than_there_is)
{
    check_tail((tail_options){.factor = 1e-9, .minimum = 1}, 10, (int64_t[]){10, 1, 1, 1, 1, 1, 1, 1, 1, 1});
    check_tail((tail_options){.factor = 1e-9, .minimum = 0}, 10, (int64_t[]){10, 1, 0, 0, 0, 0, 0, 0, 0, 0});
    check_tail((tail_options){.factor = .5, .minimum = 99}, 10,
               (int64_t[]){10, 10, 10, 10, 10, 10, 10, 10, 10, 10});
}

Test(long_tail, takes_shares_of_each_of_the_largest_or_of_the_smallest_class)
{
    /* three classes of 60, 120 and 20 */
    static const int64_t want[][3] = {[EACH] = {60, 60, 5}, [LARGEST] = {60, 60, 20}, [SMALLEST] = {20, 10, 5}};
    static int32_t classes[200];
    for (int i = 0; i < 200; i++)
        classes[i] = i < 60 ? 0 : i < 180 ? 1 : 2;
    for (uint32_t of = EACH; of <= SMALLEST; of++) {
        int64_t got[5];
        fx_toy t = fx_numbers(200, 3);
        t.cls[DAL_SPLIT_TRAIN] = classes;
        tail_options o = {.factor = .25, .of = of};
        fx_derived x = fx_derive(&tail_impl, &o, &t, 1);
        fx_count(&x, DAL_SPLIT_TRAIN, got, 3);
        cr_assert_arr_eq(got, want[of], sizeof want[of]);
        fx_drop(&x);
    }
}

Test(long_tail, leaves_the_test_split_alone_unless_asked)
{
    for (int asked = 0; asked < 2; asked++) {
        int64_t train[12], test[12];
        fx_toy t = fx_numbers(NUMBERS, 10);
        tail_options o = {.factor = .1, .order = RANDOM, .test = asked, .minimum = 1};
        fx_derived x = fx_derive(&tail_impl, &o, &t, 3);
        fx_count(&x, DAL_SPLIT_TRAIN, train, 10);
        fx_count(&x, DAL_SPLIT_TEST, test, 10);
        for (int c = 0; c < 10; c++) /* in test a tenth of train: the same order of classes */
            cr_assert(asked ? llabs(train[c] - 10 * test[c]) < 10 : test[c] == 200, "class %d: %d and %d", c,
                      (int)train[c], (int)test[c]);
        fx_drop(&x);
    }
}

Test(long_tail, orders_the_classes_at_random_when_asked)
{
    int64_t sum[10] = {0}, given[12];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        int64_t got[12], sorted[10] = {0};
        fx_toy t = fx_numbers(1000, 10);
        tail_options o = {.factor = .1, .order = RANDOM, .minimum = 1};
        fx_derived x = fx_derive(&tail_impl, &o, &t, seed);
        fx_count(&x, DAL_SPLIT_TRAIN, got, 10);
        fx_drop(&x);
        for (int c = 0; c < 10; c++) {
            int rank = 0;
            sum[c] += got[c];
            for (int e = 0; e < 10; e++)
                rank += got[e] > got[c];
            sorted[rank] = got[c];
        }
        o.order = GIVEN;
        x = fx_derive(&tail_impl, &o, &t, seed);
        fx_count(&x, DAL_SPLIT_TRAIN, given, 10);
        fx_drop(&x);
        cr_assert_arr_eq(sorted, given, sizeof sorted, "the same sizes in another order");
    }
    for (int c = 0; c < 10; c++)
        cr_assert(sum[c] > 20 * 15 && sum[c] < 20 * 75, "class %d is not always head or tail: %d", c, (int)sum[c]);
}

Test(long_tail, keeps_distinct_samples_in_order_and_all_without_a_class)
{
    static int32_t classes[NUMBERS];
    for (int i = 0; i < NUMBERS; i++)
        classes[i] = i % 7 == 6 ? DAL_LABEL_OOD : i % 7 == 5 ? DAL_LABEL_NONE : i % 7;
    fx_toy t = fx_numbers(7000, 5);
    t.cls[DAL_SPLIT_TRAIN] = classes;
    tail_options o = {.factor = .1};
    fx_derived x = fx_derive(&tail_impl, &o, &t, 1);
    int64_t got[7];
    fx_count(&x, DAL_SPLIT_TRAIN, got, 5);
    cr_assert_arr_eq(got, ((int64_t[]){1000, 562, 316, 177, 100, 1000, 1000}), sizeof got);
    for (int64_t i = 0, last = -1; i < x.d.info.n[DAL_SPLIT_TRAIN]; i++) {
        const int number = fx_number(&x, DAL_SPLIT_TRAIN, i);
        cr_assert_gt(number, last);
        cr_assert_eq(classes[number], fx_class(&x.d, DAL_SPLIT_TRAIN, i));
        last = number;
    }
    fx_drop(&x);
}

Test(long_tail, of_a_smaller_factor_is_part_of_that_of_a_larger_one)
{
    static unsigned char large[NUMBERS];
    fx_toy t = fx_numbers(NUMBERS, 10);
    tail_options o = {.factor = .1};
    fx_derived x = fx_derive(&tail_impl, &o, &t, 8);
    for (int64_t i = 0; i < x.d.info.n[DAL_SPLIT_TRAIN]; i++)
        large[fx_number(&x, DAL_SPLIT_TRAIN, i)] = 1;
    fx_drop(&x);
    o.factor = .01;
    x = fx_derive(&tail_impl, &o, &t, 8);
    for (int64_t i = 0; i < x.d.info.n[DAL_SPLIT_TRAIN]; i++)
        cr_assert(large[fx_number(&x, DAL_SPLIT_TRAIN, i)]);
    fx_drop(&x);
}

Test(long_tail, follows_the_run_unless_it_has_a_seed_of_its_own)
{
    fx_toy t = fx_numbers(1000, 10);
    tail_options run = {.factor = .1}, own = {.factor = .1, .seed = 4};
    cr_assert_eq(fx_derived_digest(&tail_impl, &run, &t, 1), fx_derived_digest(&tail_impl, &run, &t, 1));
    cr_assert_neq(fx_derived_digest(&tail_impl, &run, &t, 1), fx_derived_digest(&tail_impl, &run, &t, 2));
    cr_assert_eq(fx_derived_digest(&tail_impl, &own, &t, 1), fx_derived_digest(&tail_impl, &own, &t, 2));
}

Test(long_tail, refuses_what_has_no_classes_and_survives_without_memory)
{
    fx_toy t = fx_numbers(100, 10);
    tail_options o = {.factor = .1, .test = 1};
    fx_toy_open(&t);
    fx_no_memory(&tail_impl, &o, &t.dataset, 12);
    t.spec.n_classes = 0;
    t.cls[0] = t.cls[2] = NULL;
    fx_refused(&tail_impl, &o, &t, DAL_E_INVALID, "", "the dataset has 0 classes, expected 2 or more");
    t = fx_numbers(100, 10);
    t.spec.n_classes = 9;
    fx_refused(&tail_impl, &o, &t, DAL_E_CONTRACT, "", "sample 9 has class 9 of 9");
}

/* ---- imbalanced-classes ---- */

static const char *const animals[] = {"ant", "bee", "cow", "dog"};

Test(imbalanced_classes, makes_the_named_ones_rare)
{
    const char *names[] = {"dog", "1"};
    fx_toy t = fx_numbers(4000, 4);
    t.names = animals;
    rare_options o = {.rare = {names, 2}, .rare_size = 30, .common_size = .5};
    fx_derived x = fx_derive(&rare_impl, &o, &t, 1);
    int64_t got[6];
    fx_count(&x, DAL_SPLIT_TRAIN, got, 4);
    cr_assert_arr_eq(got, ((int64_t[]){500, 30, 500, 30, 0, 0}), sizeof got);
    cr_assert_eq(x.d.info.n[DAL_SPLIT_TEST], TEST_NUMBERS);
    cr_assert_str_eq(x.d.info.class_names[2], "cow");
    fx_drop(&x);
}

Test(imbalanced_classes, draws_as_many_rare_ones_as_wanted)
{
    int64_t hit[4] = {0};
    for (uint64_t seed = 1; seed <= 40; seed++) {
        int64_t got[6], rare = 0;
        fx_toy t = fx_numbers(400, 4);
        rare_options o = {.n_rare = seed % 2 ? 1 : 0, .rare_size = .1};
        fx_derived x = fx_derive(&rare_impl, &o, &t, seed);
        fx_count(&x, DAL_SPLIT_TRAIN, got, 4);
        for (int c = 0; c < 4; c++) {
            cr_assert(got[c] == 10 || got[c] == 100);
            rare += got[c] == 10;
            hit[c] += got[c] == 10;
        }
        cr_assert_eq(rare, seed % 2 ? 1 : 2);
        fx_drop(&x);
    }
    for (int c = 0; c < 4; c++)
        cr_assert(hit[c] > 4 && hit[c] < 30, "class %d is rare %d times of 40", c, (int)hit[c]);
}

Test(imbalanced_classes, refuses_what_cannot_be)
{
    const char *names[] = {"ant", "0", "elk", "bee", "cow"}, *all[] = {"0", "1", "2", "3"};
    fx_toy t = fx_numbers(400, 4);
    t.names = animals;
    rare_options o = {.rare = {names, 2}, .rare_size = 10};
    fx_refused(&rare_impl, &o, &t, DAL_E_INVALID, "rare", "'ant' and '0' name the same class");
    o.rare = (dal_str_list){names + 2, 1};
    fx_refused(&rare_impl, &o, &t, DAL_E_INVALID, "rare",
               "there is no class 'elk'; expected one of ant, bee, cow, dog, or a number in 0..3");
    o.rare = (dal_str_list){all, 4};
    fx_refused(&rare_impl, &o, &t, DAL_E_INVALID, "rare", "4 of 4 classes are rare; some must not be");
    o.rare.n = 0;
    o.n_rare = 4;
    fx_refused(&rare_impl, &o, &t, DAL_E_INVALID, "n_rare", "4 of 4 classes are rare");
    o = (rare_options){.rare = {names + 3, 2}, .n_rare = 1};
    fx_refused(&rare_impl, &o, &t, DAL_E_INVALID, "n_rare", "n_rare is 1, but 2 rare classes are named");
    o = (rare_options){.rare = {names + 3, 1}, .rare_size = 101};
    fx_refused(&rare_impl, &o, &t, DAL_E_INVALID, "rare_size", "101 samples wanted, but class 'bee' has 100");
    o = (rare_options){.rare = {names + 3, 1}, .rare_size = .001};
    fx_refused(&rare_impl, &o, &t, DAL_E_INVALID, "rare_size", "a fraction of 0.001 of 100 samples is none");
    o.rare_size = 10;
    fx_toy_open(&t);
    fx_no_memory(&rare_impl, &o, &t.dataset, 9);
}
