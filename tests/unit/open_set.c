#include "tests/unit/transforms.h"

#include "plugins/transforms/open_set.c"

static const char *const names10[] = {"zero", "one", "two",   "three", "four",
                                      "five", "six", "seven", "eight", "nine"};

/* How many ID and OOD samples a pool of n in c equal classes has when k of them are ID. */
static void check_sizes(int64_t n, int c, int64_t k, double ratio, uint32_t formula, int64_t want_id,
                        int64_t want_ood)
{
    fx_toy t = fx_numbers(n, c);
    options o = {.n_classes = k, .ratio = ratio, .formula = formula};
    fx_derived x = fx_derive(&open_set_impl, &o, &t, 1);
    int64_t got[202], id = 0;
    fx_count(&x, DAL_SPLIT_TRAIN, got, x.d.info.spec.n_classes);
    for (int64_t i = 0; i < x.d.info.spec.n_classes; i++)
        id += got[i];
    cr_assert_eq(x.d.info.spec.n_classes, k ? k : (int64_t)round((1 - ratio) * c));
    cr_assert_eq(id, want_id, "%d of %d classes, ratio %g: %d ID", (int)k, c, ratio, (int)id);
    cr_assert_eq(got[x.d.info.spec.n_classes + 1], want_ood, "%d of %d classes, ratio %g: %d OOD", (int)k, c,
                 ratio, (int)got[x.d.info.spec.n_classes + 1]);
    fx_drop(&x);
}

Test(open_set, has_the_share_that_is_wanted)
{
    check_sizes(10000, 10, 6, .4, EXACT, 6000, 4000);
    check_sizes(10000, 10, 6, .2, EXACT, 6000, 1500);
    check_sizes(10000, 10, 8, .4, EXACT, 3000, 2000); /* not enough OOD: fewer ID */
    check_sizes(10000, 10, 5, .5, EXACT, 5000, 5000);
    check_sizes(10000, 10, 10, 0, EXACT, 10000, 0);
    check_sizes(10000, 10, 3, 0, EXACT, 3000, 0);
    check_sizes(9999, 3, 2, .25, EXACT, 6666, 2222);
}

/* strategies.md, 14.3: AG News with two of four classes and r = .2 gives a share of .2857 */
Test(open_set, has_alscopes_share_when_asked)
{
    check_sizes(1000, 4, 2, .2, ALSCOPE, 500, 200);
    check_sizes(1000, 4, 2, .2, EXACT, 500, 125);
    check_sizes(10000, 10, 6, .4, ALSCOPE, 6000, 4000); /* where the classes match the ratio, both agree */
    check_sizes(10000, 10, 8, .4, ALSCOPE, 3000, 2000);
}

Test(open_set, keeps_the_share_of_the_classes_by_itself)
{
    check_sizes(NUMBERS, 200, 0, .8, EXACT, 4000, 16000); /* 40 of 200, where ALScope gets 39 */
    check_sizes(1000, 10, 0, .8, EXACT, 200, 800);
    check_sizes(1000, 10, 0, .4, EXACT, 600, 400);
}

Test(open_set, renumbers_the_known_classes_in_their_old_order)
{
    const char *known[] = {"seven", "2", "four"};
    const int old[] = {2, 4, 7};
    fx_toy t = fx_numbers(1000, 10);
    t.names = names10;
    options o = {.classes = {known, 3}, .ratio = .5};
    fx_derived x = fx_derive(&open_set_impl, &o, &t, 1);
    int64_t ood = 0, last = -1;
    cr_assert_eq(x.d.info.spec.n_classes, 3);
    for (int c = 0; c < 3; c++)
        cr_assert_str_eq(x.d.info.class_names[c], names10[old[c]]);
    for (int64_t i = 0; i < x.d.info.n[DAL_SPLIT_TRAIN]; i++) {
        const int number = fx_number(&x, DAL_SPLIT_TRAIN, i), cls = fx_class(&x.d, DAL_SPLIT_TRAIN, i);
        cr_assert_gt(number, last, "in the old order, none twice");
        if (cls >= 0)
            cr_assert_eq(number % 10, old[cls]);
        else
            cr_assert(cls == DAL_LABEL_OOD && number % 10 != 2 && number % 10 != 4 && number % 10 != 7);
        ood += cls < 0;
        last = number;
    }
    cr_assert_eq(ood, 300);
    cr_assert_eq(x.d.info.n[DAL_SPLIT_TEST], 300, "only known classes are tested");
    for (int64_t i = 0; i < 300; i++)
        cr_assert_eq(fx_number(&x, DAL_SPLIT_TEST, i) % 10, old[fx_class(&x.d, DAL_SPLIT_TEST, i)]);
    fx_drop(&x);
}

Test(open_set, numbers_stay_the_names_of_classes_without_one)
{
    const char *known[] = {"5", "3"};
    fx_toy t = fx_numbers(100, 10);
    options o = {.classes = {known, 2}, .ratio = .1};
    fx_derived x = fx_derive(&open_set_impl, &o, &t, 1);
    cr_assert_str_eq(x.d.info.class_names[0], "3");
    cr_assert_str_eq(x.d.info.class_names[1], "5");
    fx_drop(&x);
}

Test(open_set, draws_the_known_classes_by_the_seed)
{
    int64_t hit[10] = {0};
    for (int64_t seed = 1; seed <= 50; seed++) {
        fx_toy t = fx_numbers(100, 10);
        options o = {.n_classes = 5, .ratio = .5, .seed = seed};
        fx_derived x = fx_derive(&open_set_impl, &o, &t, 7);
        for (int c = 0; c < 5; c++)
            hit[atoi(x.d.info.class_names[c])]++;
        cr_assert_eq(x.d.info.n[DAL_SPLIT_TRAIN], 100);
        fx_drop(&x);
    }
    for (int c = 0; c < 10; c++)
        cr_assert(hit[c] > 10 && hit[c] < 40, "class %d is known %d times of 50", c, (int)hit[c]);
}

Test(open_set, keeps_what_nothing_is_known_of_and_what_was_out_already)
{
    static int32_t classes[1000];
    for (int i = 0; i < 1000; i++)
        classes[i] = i % 5 == 0 ? DAL_LABEL_NONE : i % 5 == 1 ? DAL_LABEL_OOD : i % 5 - 2;
    const char *known[] = {"0", "1"};
    fx_toy t = fx_numbers(1000, 3);
    t.cls[DAL_SPLIT_TRAIN] = t.cls[DAL_SPLIT_TEST] = classes;
    options o = {.classes = {known, 2}, .ratio = .5};
    fx_derived x = fx_derive(&open_set_impl, &o, &t, 1);
    int64_t got[4];
    fx_count(&x, DAL_SPLIT_TRAIN, got, 2);
    cr_assert_arr_eq(got, ((int64_t[]){200, 200, 200, 400}), sizeof got);
    fx_count(&x, DAL_SPLIT_TEST, got, 2);
    cr_assert_arr_eq(got, ((int64_t[]){200, 200, 200, 0}), sizeof got);
    fx_drop(&x);
}

Test(open_set, follows_the_run_unless_it_has_a_seed_of_its_own)
{
    fx_toy t = fx_numbers(1000, 10);
    options run = {.n_classes = 6, .ratio = .2}, own = {.n_classes = 6, .ratio = .2, .seed = 5};
    cr_assert_eq(fx_derived_digest(&open_set_impl, &run, &t, 1), fx_derived_digest(&open_set_impl, &run, &t, 1));
    cr_assert_neq(fx_derived_digest(&open_set_impl, &run, &t, 1), fx_derived_digest(&open_set_impl, &run, &t, 2));
    cr_assert_eq(fx_derived_digest(&open_set_impl, &own, &t, 1), fx_derived_digest(&open_set_impl, &own, &t, 2));
}

Test(open_set, refuses_what_cannot_be)
{
    const char *known[] = {"cat", "one"};
    fx_toy t = fx_numbers(100, 10);
    t.names = names10;
    options o = {.classes = {known, 1}, .ratio = .5};
    fx_refused(&open_set_impl, &o, &t, DAL_E_INVALID, "classes",
               "there is no class 'cat'; expected one of zero, one, two");
    o = (options){.n_classes = 10, .ratio = .5};
    fx_refused(&open_set_impl, &o, &t, DAL_E_INVALID, "ratio",
               "share of 0.5 is wanted, but no class is left to be unknown");
    o = (options){.n_classes = 11, .ratio = .5};
    fx_refused(&open_set_impl, &o, &t, DAL_E_INVALID, "n_classes",
               "11 in-distribution classes wanted, expected 1..10");
    o = (options){.ratio = .99};
    fx_refused(&open_set_impl, &o, &t, DAL_E_INVALID, "ratio", "0 in-distribution classes wanted, expected 1..10");
    o = (options){.classes = {known + 1, 1}, .n_classes = 2, .ratio = .5};
    fx_refused(&open_set_impl, &o, &t, DAL_E_INVALID, "n_classes", "n_classes is 2, but 1 classes are named");
    o = (options){.n_classes = 9, .ratio = .99};
    fx_refused(&open_set_impl, &o, &t, DAL_E_INVALID, "ratio", "leaves no sample of a class");
    o = (options){.n_classes = 5, .ratio = .4};
    fx_toy_open(&t);
    fx_no_memory(&open_set_impl, &o, &t.dataset, 15);
}
