#include "tests/unit/fixture.h"

#include "plugins/transforms/subset.c"

#define N 1000

static float values[N];
static int32_t classes[N];

/* Sample i is the number i, of class i % 4; in the test split the first 100 of them. */
static fx_toy numbers(void)
{
    fx_toy t = {.spec = {sizeof t.spec, DAL_VECTOR, DAL_F32, 1, {1}, 4}, .n = {N, 0, 100}};
    for (int i = 0; i < N; i++) {
        values[i] = (float)i;
        classes[i] = i % 4;
    }
    for (int k = 0; k < 3; k++) {
        t.data[k] = values;
        t.cls[k] = classes;
    }
    return t;
}

static void refuse(options o, fx_toy *t, const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_toy_open(t);
    fx_expect(&err, subset_impl.create(dal_runtime_host(rt, "subset"), &o, &t->dataset, &self, &err), DAL_E_INVALID,
              key, words);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

static uint64_t digest(options o, uint64_t run_seed)
{
    fx_toy t = numbers();
    fx_toy_open(&t);
    dal_runtime *rt = fx_runtime(1, run_seed);
    fx_dataset d = fx_open(&subset_impl, dal_runtime_host(rt, "subset"), &o, &t.dataset);
    const uint64_t h = fx_digest(&d, DAL_SPLIT_TRAIN);
    subset_impl.destroy(d.self);
    dal_runtime_free(rt);
    return h;
}

Test(subset, keeps_distinct_samples_in_their_old_order)
{
    fx_toy t = numbers();
    fx_toy_open(&t);
    dal_runtime *rt = fx_runtime(1, 0);
    options o = {.train = 123, .test = 0.25};
    fx_dataset d = fx_open(&subset_impl, dal_runtime_host(rt, "subset"), &o, &t.dataset);
    float x, last = -1, sum = 0;
    cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 123);
    cr_assert_eq(d.info.n[DAL_SPLIT_TEST], 25);
    for (int64_t i = 0; i < 123; i++) {
        char name[16];
        fx_read(&d, DAL_SPLIT_TRAIN, &i, 1, &x);
        cr_assert_gt(x, last);
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, i), (int32_t)x % 4);
        subset_impl.describe(d.self, DAL_SPLIT_TRAIN, i, name, sizeof name);
        cr_assert_eq(atoi(name), (int)x, "a sample keeps the name it has below");
        last = x;
        sum += x;
    }
    cr_assert(fabsf(sum / 123 - 500) < 4 * 289 / sqrtf(123), "drawn from all over the split");
    subset_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(subset, of_everything_is_the_dataset_itself)
{
    fx_toy t = numbers();
    fx_toy_open(&t);
    dal_runtime *rt = fx_runtime(1, 0);
    options o = {.train = N};
    fx_dataset whole = fx_open(&subset_impl, dal_runtime_host(rt, "subset"), &(options){0}, &t.dataset);
    fx_dataset counted = fx_open(&subset_impl, dal_runtime_host(rt, "subset"), &o, &t.dataset);
    float x[3];
    fx_read(&whole, DAL_SPLIT_TRAIN, (const int64_t[]){999, 0, 999}, 3, x);
    cr_assert(x[0] == 999 && x[1] == 0 && x[2] == 999);
    cr_assert_eq(fx_digest(&whole, DAL_SPLIT_TRAIN), fx_digest(&counted, DAL_SPLIT_TRAIN));
    subset_impl.destroy(whole.self);
    subset_impl.destroy(counted.self);
    dal_runtime_free(rt);
}

Test(subset, balanced_has_the_same_number_of_each_class)
{
    static const struct {
        double train;
        int64_t each;
    } cases[] = {{400, 100}, {402, 100}, {0.1, 25}, {0, 3}};
    for (int k = 0; k < 4; k++) {
        fx_toy t = numbers();
        for (int i = 12; i < N && k == 3; i++) /* class 3 is rare: 3, 7 and 11 */
            classes[i] = i % 3;
        classes[0] = DAL_LABEL_OOD;
        classes[1] = DAL_LABEL_NONE;
        fx_toy_open(&t);
        dal_runtime *rt = fx_runtime(1, 0);
        options o = {.train = cases[k].train, .balanced = 1};
        fx_dataset d = fx_open(&subset_impl, dal_runtime_host(rt, "subset"), &o, &t.dataset);
        int64_t counts[4] = {0};
        cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 4 * cases[k].each);
        for (int64_t i = 0; i < d.info.n[DAL_SPLIT_TRAIN]; i++)
            counts[fx_class(&d, DAL_SPLIT_TRAIN, i)]++;
        for (int c = 0; c < 4; c++)
            cr_assert_eq(counts[c], cases[k].each);
        subset_impl.destroy(d.self);
        dal_runtime_free(rt);
    }
}

Test(subset, follows_the_run_unless_it_has_a_seed_of_its_own)
{
    options run = {.train = 50}, own = {.train = 50, .seed = 9};
    cr_assert_eq(digest(run, 1), digest(run, 1));
    cr_assert_neq(digest(run, 1), digest(run, 2));
    cr_assert_eq(digest(own, 1), digest(own, 2));
    cr_assert_neq(digest(own, 1), digest(run, 1));
}

Test(subset, refuses_sizes_that_cannot_be)
{
    fx_toy t = numbers();
    refuse((options){.train = 1001}, &t, "train", "1001 samples wanted, but the split has 1000");
    refuse((options){.test = 10.5}, &t, "test", "found 10.5, expected a whole number or a fraction below 1");
    refuse((options){.test = 0.001}, &t, "test", "a fraction of 0.001 of 100 samples is none");
    refuse((options){.validation = 5}, &t, "validation", "5 samples wanted, but the split has 0");
    refuse((options){.train = 3, .balanced = 1}, &t, "train", "a balanced subset of 3 samples has none of each of 4");
    classes[3] = 0;
    refuse((options){.train = 1000, .balanced = 1}, &t, "train",
           "a balanced subset of 1000 samples needs 250 of each class, but class 3 has 249");
    t.spec.n_classes = 0;
    refuse((options){.train = 10, .balanced = 1}, &t, "balanced", "the dataset has no classes to balance");
}

Test(subset, takes_the_default_fingerprint_where_the_dataset_below_has_none)
{
    fx_toy t = numbers();
    fx_toy_open(&t);
    dal_runtime *rt = fx_runtime(1, 0);
    uint64_t h[2];
    options o = {.train = 10};
    fx_dataset d = fx_open(&subset_impl, dal_runtime_host(rt, "subset"), &o, &t.dataset);
    cr_assert_eq(subset_impl.fingerprint(d.self, h, NULL), DAL_E_UNSUPPORTED);
    subset_impl.destroy(d.self);
    dal_runtime_free(rt);
}
