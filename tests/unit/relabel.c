#include "tests/unit/transforms.h"

#include "plugins/transforms/relabel.c"

static const char *const farm[] = {"ant", "bee", "cow", "dog", "emu"};

static void check_map(const dal_dataset_impl *impl, const void *o, const int32_t to[5], const char *const *names,
                      int64_t n)
{
    fx_toy t = fx_numbers(500, 5);
    t.names = farm;
    fx_derived x = fx_derive(impl, o, &t, 1);
    cr_assert_eq(x.d.info.spec.n_classes, n, "%d classes", (int)x.d.info.spec.n_classes);
    for (int64_t c = 0; c < n; c++)
        cr_assert_str_eq(x.d.info.class_names[c], names[c]);
    for (int64_t i = 0; i < 500; i++) {
        cr_assert_eq(fx_class(&x.d, DAL_SPLIT_TRAIN, i), to[i % 5]);
        cr_assert_eq(fx_class(&x.d, DAL_SPLIT_TEST, i), to[i % 5]);
        cr_assert_eq(fx_number(&x, DAL_SPLIT_TRAIN, i), i, "the samples are the same");
    }
    fx_drop(&x);
}

Test(merge_classes, makes_one_of_several)
{
    const char *groups[] = {"mammal = dog,  cow", " insect=0,bee"};
    check_map(&merge_impl, &(merge_options){{groups, 2}}, (int32_t[]){0, 0, 1, 1, 2},
              (const char *const[]){"insect", "mammal", "emu"}, 3);
    check_map(&merge_impl, &(merge_options){{groups, 1}}, (int32_t[]){0, 1, 2, 2, 3},
              (const char *const[]){"ant", "bee", "mammal", "emu"}, 4);
    check_map(&merge_impl, &(merge_options){{groups, 0}}, (int32_t[]){0, 1, 2, 3, 4}, farm, 5);
    const char *late[] = {"bird and bee = emu, bee"};
    check_map(&merge_impl, &(merge_options){{late, 1}}, (int32_t[]){0, 1, 2, 3, 1},
              (const char *const[]){"ant", "bird and bee", "cow", "dog"}, 4);
}

Test(merge_classes, refuses_groups_that_are_none)
{
    static const struct {
        const char *groups[2], *words;
    } cases[] = {
        {{"cow, dog", "x = ant"}, "'cow, dog': expected a name, '=' and classes, as in \"pet = cat, dog\""},
        {{" = cow", "x = ant"}, "' = cow': there is no name before the '='"},
        {{"x = cow", "y = bee, cow"}, "'cow' and 'cow' name the same class"},
        {{"x = cow,", "y = bee"},
         "there is no class ''; expected one of ant, bee, cow, dog, emu, or a number in 0..4"},
        {{"x = 5", "y = bee"}, "there is no class '5'"},
        {{"emu = cow, ant", "y = bee"}, "two classes would be called 'emu'"},
        {{"x = cow", "x = bee"}, "two classes would be called 'x'"},
    };
    fx_toy t = fx_numbers(100, 5);
    t.names = farm;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        fx_refused(&merge_impl, &(merge_options){{cases[k].groups, 2}}, &t, DAL_E_INVALID, "groups",
                   cases[k].words);
    const char *good[] = {"a = cow, ant"};
    fx_toy_open(&t);
    fx_no_memory(&merge_impl, &(merge_options){{good, 1}}, &t.dataset, 15);
}

Test(remap, gives_each_class_its_new_number)
{
    const int64_t to[] = {2, 0, 1, 0, 2}, out[] = {0, -1, 1, -2, -2};
    const char *named[] = {"x", "y", "z"};
    remap_options o = {.to = {to, 5}};
    check_map(&remap_impl, &o, (int32_t[]){2, 0, 1, 0, 2}, (const char *const[]){"bee", "cow", "ant"}, 3);
    o.class_names = (dal_str_list){named, 3};
    check_map(&remap_impl, &o, (int32_t[]){2, 0, 1, 0, 2}, named, 3);
    check_map(&remap_impl, &(remap_options){.to = {out, 5}}, (int32_t[]){0, -1, 1, -2, -2},
              (const char *const[]){"ant", "cow"}, 2);
}

Test(remap, refuses_numbers_that_are_no_classes)
{
    const int64_t few[] = {0, 1}, gap[] = {0, 0, 2, 2, 0}, large[] = {0, 1, 2, 3, 5};
    const char *one[] = {"x"};
    fx_toy t = fx_numbers(100, 5);
    fx_refused(&remap_impl, &(remap_options){.to = {few, 2}}, &t, DAL_E_INVALID, "to", "2 numbers for 5 classes");
    fx_refused(&remap_impl, &(remap_options){.to = {gap, 5}}, &t, DAL_E_INVALID, "to",
               "no class becomes 1, but one becomes 2");
    fx_refused(&remap_impl, &(remap_options){.to = {large, 5}}, &t, DAL_E_INVALID, "to",
               "class 4 becomes 5, expected -2..4");
    fx_refused(&remap_impl, &(remap_options){.to = {(const int64_t[]){0, 0, 0, 1, 1}, 5}, .class_names = {one, 1}},
               &t, DAL_E_INVALID, "class_names", "1 names for 2 classes");
    fx_toy_open(&t);
    fx_no_memory(&remap_impl, &(remap_options){.to = {(const int64_t[]){0, 0, 0, 1, 1}, 5}}, &t.dataset, 9);
}
