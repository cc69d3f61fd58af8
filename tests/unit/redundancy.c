#include "tests/unit/transforms.h"

#include "plugins/transforms/redundancy.c"

Test(redundancy, repeats_as_few_originals_as_it_says)
{
    static int times[NUMBERS];
    fx_toy t = fx_numbers(10000, 10);
    options o = {.fraction = .5, .times = 20};
    fx_derived x = fx_derive(&redundancy_impl, &o, &t, 1);
    int64_t unique = 0, alone = 0, copies = 0;
    cr_assert_eq(x.d.info.n[DAL_SPLIT_TRAIN], 10000, "the pool keeps its size");
    for (int64_t i = 0; i < 10000; i++) {
        char name[16];
        const int number = fx_number(&x, DAL_SPLIT_TRAIN, i);
        times[number]++;
        cr_assert_eq(number % 10, i % 10, "every place keeps its class");
        cr_assert_eq(fx_class(&x.d, DAL_SPLIT_TRAIN, i), number % 10);
        copies += number != i;
        redundancy_impl.describe(x.d.self, DAL_SPLIT_TRAIN, i, name, sizeof name);
        cr_assert_eq(atoi(name), number, "a copy has the name of its original");
    }
    for (int i = 0; i < 10000; i++) {
        unique += times[i] > 0;
        alone += times[i] == 1;
        cr_assert(times[i] <= 20);
    }
    /* ten classes with about 500 samples each in the part, hence ten times about 25 originals */
    cr_assert(unique >= 5000 + 250 && unique <= 5000 + 260, "%d unique samples", (int)unique);
    cr_assert_eq(copies, 10000 - unique);
    cr_assert_geq(alone, 5000);
    cr_assert_eq(x.d.info.n[DAL_SPLIT_TEST], TEST_NUMBERS);
    for (int64_t i = 0; i < TEST_NUMBERS; i += 97)
        cr_assert_eq(fx_number(&x, DAL_SPLIT_TEST, i), i, "the test split stays as it is");
    fx_drop(&x);
}

/* m samples of a class and `times`: ceil(m / times) originals, which share the places evenly. */
Test(redundancy, shares_the_places_of_a_class_evenly)
{
    static const struct {
        int64_t m, times, originals;
    } cases[] = {{10, 3, 4}, {10, 10, 1}, {10, 11, 1}, {10, 1, 10}, {9, 3, 3}, {1, 5, 1}, {10, INT64_MAX, 1}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int times[10] = {0};
        int64_t unique = 0;
        fx_toy t = fx_numbers(cases[k].m, 1);
        t.n[DAL_SPLIT_TEST] = 0;
        options o = {.fraction = 1, .times = cases[k].times};
        fx_derived x = fx_derive(&redundancy_impl, &o, &t, k);
        for (int64_t i = 0; i < cases[k].m; i++)
            times[fx_number(&x, DAL_SPLIT_TRAIN, i)]++;
        for (int i = 0; i < 10; i++) {
            unique += times[i] > 0;
            cr_assert(times[i] == 0 || times[i] == cases[k].m / cases[k].originals ||
                      times[i] == cases[k].m / cases[k].originals + 1);
        }
        cr_assert_eq(unique, cases[k].originals, "%d of %d: %d originals", (int)cases[k].times, (int)cases[k].m,
                     (int)unique);
        fx_drop(&x);
    }
}

Test(redundancy, copies_within_a_class_what_has_none_too)
{
    static int32_t classes[1000];
    for (int i = 0; i < 1000; i++)
        classes[i] = i % 4 == 0 ? DAL_LABEL_NONE : i % 4 == 1 ? DAL_LABEL_OOD : i % 4 - 2;
    fx_toy t = fx_numbers(1000, 2);
    t.cls[DAL_SPLIT_TRAIN] = classes;
    options o = {.fraction = 1, .times = 10};
    fx_derived x = fx_derive(&redundancy_impl, &o, &t, 1);
    for (int64_t i = 0; i < 1000; i++) {
        cr_assert_eq(classes[fx_number(&x, DAL_SPLIT_TRAIN, i)], classes[i]);
        cr_assert_eq(fx_class(&x.d, DAL_SPLIT_TRAIN, i), classes[i]);
    }
    fx_drop(&x);
}

Test(redundancy, puts_noise_on_copies_alone_and_always_the_same)
{
    static float plain[1000], noisy[1000], again[1000];
    int64_t ids[1000];
    fx_toy t = fx_numbers(1000, 2);
    options o = {.fraction = 1, .times = 5};
    fx_derived x = fx_derive(&redundancy_impl, &o, &t, 1);
    for (int64_t i = 0; i < 1000; i++)
        ids[i] = i;
    fx_read(&x.d, DAL_SPLIT_TRAIN, ids, 1000, plain);
    fx_drop(&x);
    o.noise = .1;
    x = fx_derive(&redundancy_impl, &o, &t, 1);
    fx_read(&x.d, DAL_SPLIT_TRAIN, ids, 1000, noisy);
    for (int64_t i = 1000; i-- > 0;)
        fx_read(&x.d, DAL_SPLIT_TRAIN, &i, 1, &again[i]);
    cr_assert_arr_eq(noisy, again, sizeof noisy);
    double squares = 0;
    int64_t copies = 0;
    for (int64_t i = 0; i < 1000; i++) {
        const double e = (double)noisy[i] - (double)plain[i];
        cr_assert((plain[i] == (float)i) == (e == 0), "sample %d", (int)i);
        copies += e != 0;
        squares += e * e;
    }
    cr_assert_eq(copies, 800);
    cr_assert(fabs(sqrt(squares / 800) - .1) < .01, "deviation %g", sqrt(squares / 800));
    float same;
    fx_read(&x.d, DAL_SPLIT_TEST, (const int64_t[]){3}, 1, &same);
    cr_assert_eq(same, 3, "the test split has none");
    fx_drop(&x);
}

Test(redundancy, keeps_noisy_bytes_within_their_range)
{
    static unsigned char bytes[512];
    static int32_t classes[2];
    for (int j = 0; j < 512; j++)
        bytes[j] = j % 2 ? 255 : 0;
    fx_toy t = {.spec = {sizeof t.spec, DAL_IMAGE, DAL_U8, 3, {1, 16, 16}, 2}, .n = {2, 0, 0}};
    t.data[0] = bytes;
    t.cls[0] = classes;
    options o = {.fraction = 1, .times = 2, .noise = 20};
    fx_derived x = fx_derive(&redundancy_impl, &o, &t, 1);
    unsigned char got[512];
    int64_t moved = 0;
    fx_read(&x.d, DAL_SPLIT_TRAIN, (const int64_t[]){0, 1}, 2, got);
    for (int j = 0; j < 512; j++) {
        cr_assert(bytes[j] == 0 ? got[j] < 120 : got[j] > 135, "a byte ran over: %d", got[j]);
        moved += got[j] != bytes[j];
    }
    cr_assert(moved > 80 && moved < 176, "half of one copy's noise points outwards: %d moved", (int)moved);
    fx_drop(&x);
}

Test(redundancy, follows_the_run_unless_it_has_a_seed_of_its_own)
{
    fx_toy t = fx_numbers(1000, 10);
    options run = {.fraction = .5, .times = 3, .noise = 1},
            own = {.fraction = .5, .times = 3, .noise = 1, .seed = 2};
    cr_assert_eq(fx_derived_digest(&redundancy_impl, &run, &t, 1),
                 fx_derived_digest(&redundancy_impl, &run, &t, 1));
    cr_assert_neq(fx_derived_digest(&redundancy_impl, &run, &t, 1),
                  fx_derived_digest(&redundancy_impl, &run, &t, 2));
    cr_assert_eq(fx_derived_digest(&redundancy_impl, &own, &t, 1),
                 fx_derived_digest(&redundancy_impl, &own, &t, 2));
}

Test(redundancy, refuses_noise_on_text_and_survives_without_memory)
{
    fx_toy t = fx_numbers(100, 10);
    options o = {.fraction = .5, .times = 3, .noise = 1};
    fx_toy_open(&t);
    fx_no_memory(&redundancy_impl, &o, &t.dataset, 6);
    t.spec.modality = DAL_TEXT;
    fx_refused(&redundancy_impl, &o, &t, DAL_E_INVALID, "noise", "noise is for vectors and images; expected 0");
}
