#include "tests/unit/fixture.h"

#include "plugins/datasets/blobs.c"

static options plain(void)
{
    return (options){.n_train = 4000, .n_test = 1000, .d = 8, .n_classes = 4, .clusters_per_class = 2,
                     .spread = 0.1, .imbalance = 1};
}

static fx_dataset open_blobs(dal_runtime *rt, const options *o)
{
    return fx_open(&blobs_impl, dal_runtime_host(rt, "blobs"), o, NULL);
}

Test(blobs, a_sample_depends_only_on_its_seed_split_and_index)
{
    dal_runtime *rt = fx_runtime(1, 0), *other_run = fx_runtime(2, 99);
    options few = plain(), many = plain(), seeded = plain();
    many.n_train = 400000;
    seeded.seed = 1;
    fx_dataset a = open_blobs(rt, &few), b = open_blobs(other_run, &many), c = open_blobs(rt, &seeded);
    const int64_t ids[] = {3999, 0, 17, 17};
    float x[32], y[32], z[32];
    fx_read(&a, DAL_SPLIT_TRAIN, ids, 4, x);
    fx_read(&b, DAL_SPLIT_TRAIN, ids, 4, y);
    fx_read(&c, DAL_SPLIT_TRAIN, ids, 4, z);
    cr_assert_arr_eq(x, y, sizeof x);
    cr_assert_arr_eq(x + 16, x + 24, 8 * sizeof *x);
    cr_assert(memcmp(x, z, sizeof x) != 0);
    blobs_impl.destroy(a.self);
    blobs_impl.destroy(b.self);
    blobs_impl.destroy(c.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    dal_runtime_free(other_run);
}

Test(blobs, samples_lie_by_a_centre_of_their_class)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = plain();
    fx_dataset d = open_blobs(rt, &o);
    const blobs *self = d.self;
    for (int64_t i = 0; i < 1000; i++) {
        float x[8];
        double least = 1e9;
        int64_t nearest = -1;
        fx_read(&d, DAL_SPLIT_TEST, &i, 1, x);
        for (int64_t k = 0; k < 8; k++) {
            double s = 0;
            for (int j = 0; j < 8; j++)
                s += pow((double)x[j] - (double)self->centres[k * 8 + j], 2);
            if (s < least) {
                least = s;
                nearest = k;
            }
        }
        cr_assert_eq(nearest / 2, fx_class(&d, DAL_SPLIT_TEST, i));
        cr_assert_lt(sqrt(least / 8), 0.3);
    }
    blobs_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(blobs, have_as_many_outliers_duplicates_and_rare_classes_as_asked)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = plain();
    o.outliers = 0.1;
    o.duplicates = 0.2;
    o.imbalance = 0.125; /* classes 1 : 1/2 : 1/4 : 1/8 */
    fx_dataset d = open_blobs(rt, &o);
    int64_t far = 0, copies = 0, counts[4] = {0};
    for (int64_t i = 0; i < 4000; i++) {
        float x[8], y[8];
        char name[64];
        const draw s = draw_sample(d.self, DAL_SPLIT_TRAIN, i);
        fx_read(&d, DAL_SPLIT_TRAIN, &i, 1, x);
        blobs_impl.describe(d.self, DAL_SPLIT_TRAIN, i, name, sizeof name);
        if (s.source != i) {
            fx_read(&d, DAL_SPLIT_TRAIN, &s.source, 1, y);
            cr_assert_arr_eq(x, y, sizeof x);
            cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, i), fx_class(&d, DAL_SPLIT_TRAIN, s.source));
            cr_assert(strstr(name, "(copy of "));
            copies++;
        } else if (s.cluster < 0) {
            cr_assert(strstr(name, "(outlier)"));
            far++;
        } else {
            counts[s.cls]++;
        }
    }
    cr_assert(llabs(copies - 800) < 120, "%lld copies", (long long)copies);
    cr_assert(llabs(far - 320) < 80, "%lld outliers", (long long)far);
    const double all = (double)(counts[0] + counts[1] + counts[2] + counts[3]);
    for (int c = 0; c < 4; c++)
        cr_assert_float_eq((double)counts[c] / all, pow(0.5, c) / 1.875, 0.03);
    for (int64_t i = 0; i < 1000; i++)
        cr_assert_geq(draw_sample(d.self, DAL_SPLIT_TEST, i).cluster, 0, "no outliers in the test split");
    blobs_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(blobs, of_copies_alone_are_all_sample_0)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = plain();
    o.duplicates = 1;
    fx_dataset d = open_blobs(rt, &o);
    cr_assert_eq(draw_sample(d.self, DAL_SPLIT_TRAIN, 3999).source, 0);
    blobs_impl.destroy(d.self);
    dal_runtime_free(rt);
}
