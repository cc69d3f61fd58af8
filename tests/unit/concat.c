#include "tests/unit/transforms.h"

#include "plugins/transforms/concat.c"

static const char *const pets[] = {"cat", "dog"}, *const beasts[] = {"dog", "bird", "cat"};
static const float first_values[] = {0, 1, 2, 3, 4}, second_values[] = {10, 11, 12, 13};
static const int32_t first_classes[] = {0, 1, DAL_LABEL_NONE, 0, 1}, second_classes[] = {0, 1, 2, DAL_LABEL_OOD};

/* Five cats and dogs, two of them to test on; four other beasts, three of which may be tested on. */
static fx_toy first_toy(void)
{
    return (fx_toy){.spec = {sizeof(dal_sample_spec), DAL_VECTOR, DAL_F32, 1, {1}, 2},
                    .n = {5, 0, 2},
                    .data = {first_values, NULL, first_values},
                    .cls = {first_classes, NULL, first_classes},
                    .names = pets};
}

static fx_toy second_toy(void)
{
    return (fx_toy){.spec = {sizeof(dal_sample_spec), DAL_VECTOR, DAL_F32, 1, {1}, 3},
                    .n = {4, 1, 3},
                    .data = {second_values, second_values, second_values},
                    .cls = {second_classes, second_classes, second_classes},
                    .names = beasts};
}

typedef struct joined {
    fx_toy a, b;
    fx_other other;
    const dal_component_ref *refs[2];
    options o;
    fx_derived x;
} joined;

/* In place: what it is made of points into it. */
static void join_toys(joined *j, uint32_t classes, uint32_t splits)
{
    j->a = first_toy();
    j->b = second_toy();
    fx_toy_open(&j->b);
    j->other = (fx_other){&j->b.dataset, "zoo", NULL};
    j->refs[0] = j->refs[1] = fx_other_ref(&j->other);
    j->o = (options){.with = {j->refs, 1}, .classes = classes, .splits = splits};
    j->x = fx_derive(&concat_impl, &j->o, &j->a, 1);
}

static void expect_pool(const fx_derived *x, const int *numbers, const int32_t *classes, int64_t n)
{
    cr_assert_eq(x->d.info.n[DAL_SPLIT_TRAIN], n);
    for (int64_t i = 0; i < n; i++) {
        cr_assert_eq(fx_number(x, DAL_SPLIT_TRAIN, i), numbers[i]);
        cr_assert_eq(fx_class(&x->d, DAL_SPLIT_TRAIN, i), classes[i], "sample %d", (int)i);
    }
}

static const int both[] = {0, 1, 2, 3, 4, 10, 11, 12, 13};

Test(concat, joins_classes_of_one_name)
{
    joined j;
    join_toys(&j, BY_NAME, ALL_SPLITS);
    const int32_t classes[] = {0, 1, DAL_LABEL_NONE, 0, 1, 1, 2, 0, DAL_LABEL_OOD};
    expect_pool(&j.x, both, classes, 9);
    cr_assert_eq(j.x.d.info.spec.n_classes, 3);
    cr_assert_str_eq(j.x.d.info.class_names[0], "cat");
    cr_assert_str_eq(j.x.d.info.class_names[1], "dog");
    cr_assert_str_eq(j.x.d.info.class_names[2], "bird");
    cr_assert_eq(j.x.d.info.n[DAL_SPLIT_VALIDATION], 1);
    cr_assert_eq(j.x.d.info.n[DAL_SPLIT_TEST], 5);
    cr_assert_eq(fx_number(&j.x, DAL_SPLIT_VALIDATION, 0), 10);
    cr_assert_eq(fx_class(&j.x.d, DAL_SPLIT_TEST, 4), 0);
    char where[32];
    concat_impl.describe(j.x.d.self, DAL_SPLIT_TRAIN, 3, where, sizeof where);
    cr_assert_str_eq(where, "3");
    concat_impl.describe(j.x.d.self, DAL_SPLIT_TRAIN, 7, where, sizeof where);
    cr_assert_str_eq(where, "zoo:2");
    concat_impl.describe(j.x.d.self, DAL_SPLIT_TRAIN, 7, where, 3);
    cr_assert_str_eq(where, "zo");
    fx_drop(&j.x);
}

Test(concat, takes_classes_by_number_when_asked)
{
    joined j;
    join_toys(&j, BY_NUMBER, ALL_SPLITS);
    const int32_t classes[] = {0, 1, DAL_LABEL_NONE, 0, 1, 0, 1, 2, DAL_LABEL_OOD};
    expect_pool(&j.x, both, classes, 9);
    cr_assert_eq(j.x.d.info.spec.n_classes, 3);
    cr_assert_str_eq(j.x.d.info.class_names[1], "dog");
    cr_assert_str_eq(j.x.d.info.class_names[2], "cat");
    fx_drop(&j.x);
}

Test(concat, keeps_classes_apart_when_asked)
{
    joined j;
    join_toys(&j, APART, TRAIN_ONLY);
    const int32_t classes[] = {0, 1, DAL_LABEL_NONE, 0, 1, 2, 3, 4, DAL_LABEL_OOD};
    const char *const names[] = {"cat", "dog", "dog (2)", "bird", "cat (2)"};
    expect_pool(&j.x, both, classes, 9);
    cr_assert_eq(j.x.d.info.spec.n_classes, 5);
    for (int c = 0; c < 5; c++)
        cr_assert_str_eq(j.x.d.info.class_names[c], names[c]);
    cr_assert_eq(j.x.d.info.n[DAL_SPLIT_VALIDATION], 0, "only pools are put together");
    cr_assert_eq(j.x.d.info.n[DAL_SPLIT_TEST], 2);
    fx_drop(&j.x);
}

Test(concat, reads_in_any_order_what_it_reads_one_by_one)
{
    joined j;
    join_toys(&j, BY_NAME, ALL_SPLITS);
    dal_rng r = dal_rng_from_key(3);
    for (int turn = 0; turn < 50; turn++) {
        int64_t ids[12];
        float got[12];
        int32_t classes[12];
        dal_error err = DAL_ERROR_INIT;
        for (int i = 0; i < 12; i++)
            ids[i] = dal_rng_below(&r, 9);
        fx_read(&j.x.d, DAL_SPLIT_TRAIN, ids, 12, got);
        cr_assert_eq(concat_impl.classes(j.x.d.self, DAL_SPLIT_TRAIN, ids, 12, classes, &err), DAL_OK);
        for (int i = 0; i < 12; i++) {
            cr_assert_eq((int)got[i], both[ids[i]]);
            cr_assert_eq(classes[i], fx_class(&j.x.d, DAL_SPLIT_TRAIN, ids[i]));
        }
    }
    fx_drop(&j.x);
}

Test(concat, tells_which_dataset_a_sample_is_of)
{
    joined j;
    join_toys(&j, BY_NAME, ALL_SPLITS);
    const dal_dataset_groups *t = dal_groups_of(&(dal_dataset){&concat_impl, j.x.d.self});
    cr_assert_eq(t->count(j.x.d.self), 2);
    cr_assert_str_eq(t->name(j.x.d.self, 0), "1");
    cr_assert_str_eq(t->name(j.x.d.self, 1), "2");
    for (int64_t i = 0; i < 9; i++)
        cr_assert_eq(fx_group(&j.x.d, DAL_SPLIT_TRAIN, i), i >= 5);
    cr_assert_eq(fx_group(&j.x.d, DAL_SPLIT_VALIDATION, 0), 1);
    cr_assert_eq(fx_group(&j.x.d, DAL_SPLIT_TEST, 1), 0);
    cr_assert_null(concat_impl.get_extension(j.x.d.self, "dal.dataset.moods/1"));
    fx_drop(&j.x);
    static const char *const names[] = {"pets", "zoo"};
    j.o.names = (dal_str_list){names, 2};
    j.x = fx_derive(&concat_impl, &j.o, &j.a, 1);
    cr_assert_str_eq(t->name(j.x.d.self, 1), "zoo");
    fx_drop(&j.x);
    j.o.names.n = 1;
    fx_refused(&concat_impl, &j.o, &j.a, DAL_E_INVALID, "names", "1 names for 2 datasets");
}

/* ---- texts ---- */

/* Sample i of the pool is `letter` i + 1 times. */
typedef struct letters {
    char letter;
    dal_dataset dataset;
} letters;

static dal_status letters_info(void *self, dal_dataset_info *info, dal_error *err)
{
    (void)self, (void)err;
    info->spec = (dal_sample_spec){sizeof info->spec, .modality = DAL_TEXT};
    info->n[DAL_SPLIT_TRAIN] = 6;
    return DAL_OK;
}

static dal_status letters_classes(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    (void)self, (void)k, (void)ids, (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = DAL_LABEL_NONE;
    return DAL_OK;
}

static dal_status letters_sizes(void *self, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    (void)self, (void)k, (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = ids[i] + 1;
    return DAL_OK;
}

static dal_status letters_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    (void)k, (void)err;
    cr_assert_eq(out->offsets[0], 0, "a loader may count on it");
    for (int64_t i = 0; i < n; i++)
        memset((char *)out->data + out->offsets[i], ((letters *)self)->letter, (size_t)ids[i] + 1);
    return DAL_OK;
}

static const dal_dataset_impl letters_impl = {.struct_size = sizeof letters_impl, .info = letters_info,
                                              .classes = letters_classes, .sizes = letters_sizes, .read = letters_read};

Test(concat, lays_texts_out_one_after_the_other)
{
    letters a = {.letter = 'a'}, b = {.letter = 'b'};
    a.dataset = (dal_dataset){&letters_impl, &a};
    b.dataset = (dal_dataset){&letters_impl, &b};
    const fx_other other = {&b.dataset, "letters", NULL};
    const dal_component_ref *ref = fx_other_ref(&other);
    const options o = {.with = {&ref, 1}, .classes = BY_NAME, .splits = ALL_SPLITS};
    dal_runtime *rt = fx_runtime_others(1, 1, 0);
    fx_dataset d = fx_open(&concat_impl, dal_runtime_host(rt, "transform"), &o, &a.dataset);
    cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 12);
    cr_assert_eq(d.info.spec.n_classes, 0);
    const int64_t ids[] = {6, 7, 1, 11, 0, 8, 2};
    int64_t offsets[8] = {0};
    char got[64] = "";
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(concat_impl.sizes(d.self, DAL_SPLIT_TRAIN, ids, 7, offsets + 1, &err), DAL_OK);
    for (int i = 0; i < 7; i++)
        offsets[i + 1] += offsets[i];
    dal_batch batch = {sizeof batch, 0, &d.info.spec, 7, got, offsets, NULL};
    cr_assert_eq(concat_impl.read(d.self, DAL_SPLIT_TRAIN, ids, 7, &batch, &err), DAL_OK);
    cr_assert_str_eq(got, "b" "bb" "aa" "bbbbbb" "a" "bbb" "aaa");
    concat_impl.destroy(d.self);
    dal_runtime_free(rt);
}

/* ---- what is refused ---- */

Test(concat, refuses_other_shapes_and_tells_both)
{
    fx_toy a = first_toy(), b = second_toy();
    const fx_other other = {&b.dataset, "zoo", NULL};
    const dal_component_ref *ref = fx_other_ref(&other);
    options o = {.with = {&ref, 1}, .classes = BY_NAME, .splits = ALL_SPLITS};
    b.spec.shape[0] = 7;
    fx_toy_open(&b);
    fx_refused(&concat_impl, &o, &a, DAL_E_INVALID, "with",
               "it has vectors 7 of f32, the dataset has vectors 1 of f32; expected the same");
    b.spec = (dal_sample_spec){sizeof b.spec, DAL_IMAGE, DAL_U8, 3, {3, 4, 5}, 3};
    fx_refused(&concat_impl, &o, &a, DAL_E_INVALID, "with",
               "it has images 3 x 4 x 5 of u8, the dataset has vectors 1 of f32");
    b = second_toy();
    fx_toy_open(&b);
    b.spec.n_classes = -5;
    fx_refused(&concat_impl, &o, &a, DAL_E_CONTRACT, "with", "it says it has -5 classes");
    b = second_toy();
    fx_toy_open(&b);
    b.n[DAL_SPLIT_TRAIN] = INT64_MAX;
    fx_refused(&concat_impl, &o, &a, DAL_E_CONTRACT, "with", "it says a split has 9223372036854775807 samples");
}

Test(concat, refuses_what_cannot_be_put_together)
{
    static const char *const twins[] = {"dog", "bird", "dog"};
    fx_toy a = first_toy(), b = second_toy();
    fx_toy_open(&b);
    fx_other other = {&b.dataset, "zoo", NULL};
    const dal_component_ref *ref = fx_other_ref(&other);
    options o = {.with = {&ref, 1}, .classes = BY_NAME, .splits = ALL_SPLITS};
    b.names = twins;
    fx_refused(&concat_impl, &o, &a, DAL_E_INVALID, "classes", "two classes of dataset 2 are called 'dog'");
    o.with.n = 0;
    fx_refused(&concat_impl, &o, &a, DAL_E_INVALID, "with", "it is empty");
    o.with.n = 1;
    other.dataset = NULL;
    fx_refused(&concat_impl, &o, &a, DAL_E_IO, "with", "there is no such file");
}

Test(concat, gives_everything_back_without_memory)
{
    joined j;
    join_toys(&j, APART, ALL_SPLITS);
    fx_drop(&j.x);
    fx_no_memory(&concat_impl, &j.o, &j.a.dataset, 10);
}

/* A dataset that offers one call at a time gets one call at a time. */
static int inside, most;

static dal_status slow_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const int now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    if (now > most)
        most = now;
    usleep(200);
    const dal_status st = fx_toy_read(self, k, ids, n, out, err);
    __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    return st;
}

static dal_status read_last(void *ctx, int64_t i)
{
    float x;
    int64_t id = 5 + i % 4;
    fx_read(ctx, DAL_SPLIT_TRAIN, &id, 1, &x);
    cr_assert_eq((int)x, both[id]);
    return DAL_OK;
}

Test(concat, lets_one_thread_at_a_time_into_a_dataset_that_wants_it)
{
    static const dal_dataset_impl impl = {
        .struct_size = sizeof impl, .info = fx_toy_info, .classes = fx_toy_classes, .read = slow_read};
    fx_toy a = first_toy(), b = second_toy();
    fx_toy_open(&a);
    b.dataset = (dal_dataset){&impl, &b};
    const fx_other other = {&b.dataset, "zoo", NULL};
    const dal_component_ref *ref = fx_other_ref(&other);
    const options o = {.with = {&ref, 1}, .classes = BY_NAME, .splits = ALL_SPLITS};
    dal_runtime *rt = fx_runtime_others(4, 1, 0);
    const dal_host *host = dal_runtime_host(rt, "transform");
    fx_dataset d = fx_open(&concat_impl, host, &o, &a.dataset);
    host->parallel_for(host, 40, read_last, &d);
    cr_assert_eq(most, 1, "%d at once", most);
    concat_impl.destroy(d.self);
    dal_runtime_free(rt);
}
