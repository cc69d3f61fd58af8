#include "tests/unit/transforms.h"

#include <dal/derived.h>

static dal_status toy_fingerprint(void *self, uint64_t out[2], dal_error *err)
{
    (void)self, (void)err;
    out[0] = 1;
    out[1] = 2;
    return DAL_OK;
}

static dal_status make(const dal_host *host, const void *options, const dal_dataset *input, void **self,
                       dal_error *err)
{
    (void)options;
    return dal_derived_new(host, input, sizeof(dal_derived), self, err);
}

static const dal_dataset_impl plain_impl = {.struct_size = sizeof plain_impl, .create = make, DAL_DERIVED_SLOTS};

Test(derived, is_the_dataset_itself_at_first)
{
    fx_toy t = fx_numbers(100, 5);
    fx_derived x = fx_derive(&plain_impl, NULL, &t, 1);
    int64_t ids[2] = {99, 0}, bad = 100;
    int32_t cls[2];
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(x.d.info.n[DAL_SPLIT_TRAIN], 100);
    cr_assert_eq(fx_number(&x, DAL_SPLIT_TRAIN, 99), 99);
    cr_assert_eq(plain_impl.classes(x.d.self, 0, ids, 2, cls, &err), DAL_OK);
    cr_assert(cls[0] == 4 && cls[1] == 0);
    fx_expect(&err, plain_impl.classes(x.d.self, 0, &bad, 1, cls, &err), DAL_E_INVALID, "",
              "this split has 0..99");
    fx_drop(&x);
}

Test(derived, has_a_fingerprint_of_ids_classes_and_what_is_below)
{
    dal_dataset_impl impl;
    fx_toy t = fx_numbers(100, 5);
    fx_derived x = fx_derive(&plain_impl, NULL, &t, 1);
    dal_derived *d = x.d.self;
    uint64_t h[4][2];
    unsigned char flags[100];
    cr_assert_eq(plain_impl.fingerprint(d, h[0], NULL), DAL_E_UNSUPPORTED, "the toy has none");
    impl = *t.dataset.impl;
    impl.fingerprint = toy_fingerprint;
    t.dataset.impl = &impl;
    cr_assert_eq(plain_impl.fingerprint(d, h[0], NULL), DAL_OK);
    for (int i = 0; i < 100; i++)
        flags[i] = i != 50;
    cr_assert_eq(dal_derived_keep(d, DAL_SPLIT_TRAIN, DAL_SPLIT_TRAIN, flags, 1, NULL), DAL_OK);
    cr_assert_eq(plain_impl.fingerprint(d, h[1], NULL), DAL_OK);
    flags[50] = 1;
    flags[51] = 0;
    cr_assert_eq(dal_derived_keep(d, DAL_SPLIT_TRAIN, DAL_SPLIT_TRAIN, flags, 1, NULL), DAL_OK);
    cr_assert_eq(plain_impl.fingerprint(d, h[2], NULL), DAL_OK);
    cr_assert_eq(dal_derived_classes_below(d, DAL_SPLIT_TEST, &d->classes[DAL_SPLIT_TEST], NULL), DAL_OK);
    cr_assert_eq(plain_impl.fingerprint(d, h[3], NULL), DAL_OK);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            cr_assert(h[i][0] != h[j][0] && h[i][1] != h[j][1], "%d and %d", i, j);
    fx_drop(&x);
}

Test(derived, finds_classes_by_name_before_number)
{
    static const char *const names[] = {"2", "one", "0"};
    const char *words[] = {"one", "0", "2"}, *odd[] = {"-1", "1x", "3", "", "99999999999"};
    int32_t found[3];
    fx_toy t = fx_numbers(9, 3);
    t.names = names;
    fx_derived x = fx_derive(&plain_impl, NULL, &t, 1);
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_derived_find_classes(x.d.self, words, 3, "k", found, &err), DAL_OK);
    cr_assert_arr_eq(found, ((int32_t[]){1, 2, 0}), sizeof found);
    for (int i = 0; i < 5; i++)
        fx_expect(&err, dal_derived_find_classes(x.d.self, &odd[i], 1, "k", found, &err), DAL_E_INVALID, "k",
                  "; expected one of 2, one, 0, or a number in 0..2");
    fx_drop(&x);
}

Test(derived, groups_samples_by_class_in_order)
{
    const int32_t classes[] = {2, 0, -1, 2, -2, 0, 2};
    int64_t order[7], first[5];
    dal_group_by_class(classes, 7, 3, order, first);
    cr_assert_arr_eq(order, ((int64_t[]){1, 5, 0, 3, 6}), 5 * sizeof *order);
    cr_assert_arr_eq(first, ((int64_t[]){0, 2, 2, 5}), 4 * sizeof *first);
}

Test(derived, reads_sizes_as_users_write_them)
{
    static const struct {
        double size;
        int64_t want;
    } good[] = {{0, 50}, {.1, 5}, {.11, 6}, {1, 1}, {50, 50}, {.999, 50}};
    int64_t n;
    dal_error err = DAL_ERROR_INIT;
    for (size_t k = 0; k < sizeof good / sizeof *good; k++) {
        cr_assert_eq(dal_derived_size(good[k].size, 50, "k", "it", &n, &err), DAL_OK);
        cr_assert_eq(n, good[k].want, "%g", good[k].size);
    }
    fx_expect(&err, dal_derived_size(1e300, 50, "k", "it", &n, &err), DAL_E_INVALID, "k",
              "expected a whole number");
}

/* ---- groups ---- */

static int32_t thirds[NUMBERS];

static fx_toy grouped(int64_t n)
{
    static const char *const names[] = {"north", "south", "west"};
    fx_toy t = fx_numbers(n, 5);
    for (int i = 0; i < NUMBERS; i++)
        thirds[i] = i % 4 - 1; /* one in four is of none that is known */
    t.n_groups = 3;
    t.group_names = names;
    for (int k = 0; k < 3; k++)
        t.groups[k] = thirds;
    return t;
}

Test(derived, samples_stay_of_their_groups)
{
    fx_toy t = grouped(100);
    fx_derived x = fx_derive(&plain_impl, NULL, &t, 1);
    dal_derived *d = x.d.self;
    unsigned char flags[100];
    dal_error err = DAL_ERROR_INIT;
    for (int i = 0; i < 100; i++)
        flags[i] = i % 3 == 1;
    cr_assert_eq(dal_derived_keep(d, DAL_SPLIT_TRAIN, DAL_SPLIT_TRAIN, flags, 1, &err), DAL_OK);
    for (int64_t i = 0; i < d->info.n[DAL_SPLIT_TRAIN]; i++)
        cr_assert_eq(fx_group(&x.d, DAL_SPLIT_TRAIN, i), (3 * i + 1) % 4 - 1);
    const dal_dataset_groups *table = dal_groups_of(&(dal_dataset){&plain_impl, d});
    cr_assert_eq(table->count(d), 3);
    cr_assert_str_eq(table->name(d, 2), "west");
    int64_t bad = 33;
    int32_t g;
    fx_expect(&err, table->groups(d, DAL_SPLIT_TRAIN, &bad, 1, &g, &err), DAL_E_INVALID, "", "this split has 0..32");
    cr_assert_null(plain_impl.get_extension(d, "dal.dataset.moods/1"));
    fx_drop(&x);
}

Test(derived, has_no_groups_where_there_are_none_below)
{
    fx_toy t = fx_numbers(100, 5);
    fx_derived x = fx_derive(&plain_impl, NULL, &t, 1);
    int32_t *groups = NULL;
    int64_t n;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_null(dal_groups_of(&(dal_dataset){&plain_impl, x.d.self}));
    fx_expect(&err, dal_derived_groups_below(x.d.self, DAL_SPLIT_TRAIN, &groups, &n, &err), DAL_E_UNSUPPORTED, "",
              "does not tell which source");
    fx_drop(&x);
}

Test(derived, trusts_no_group_below)
{
    fx_toy t = grouped(100);
    fx_derived x = fx_derive(&plain_impl, NULL, &t, 1);
    int32_t *groups = NULL;
    int64_t n;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_derived_groups_below(x.d.self, DAL_SPLIT_TRAIN, &groups, &n, &err), DAL_OK, "%s", err.text);
    cr_assert(n == 3 && groups[0] == -1 && groups[99] == 2);
    const dal_host *host = ((dal_derived *)x.d.self)->host;
    host->free(host, groups);
    thirds[50] = 3;
    fx_expect(&err, dal_derived_groups_below(x.d.self, DAL_SPLIT_TRAIN, &groups, &n, &err), DAL_E_CONTRACT, "",
              "sample 50 is of source 3 of 3");
    fx_drop(&x);
}
