#include "tests/unit/fixture.h"

#include "plugins/datasets/glyphs.c"

static options small(void)
{
    return (options){.n_train = 300, .n_test = 100, .size = 28, .n_classes = 36, .noise = 0.1, .distortion = 1};
}

static uint64_t digest(options o, int threads, uint64_t run_seed)
{
    dal_runtime *rt = fx_runtime(threads, run_seed);
    fx_dataset d = fx_open(&glyphs_impl, dal_runtime_host(rt, "glyphs"), &o, NULL);
    const uint64_t h = fx_digest(&d, DAL_SPLIT_TRAIN) ^ fx_digest(&d, DAL_SPLIT_TEST);
    glyphs_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return h;
}

Test(glyphs, every_form_fits_its_points_and_stays_in_the_box)
{
    int64_t last = 0;
    for (int64_t f = 0; f < N_FORMS; f++) {
        const outline o = parse_form(forms[f].strokes);
        cr_assert_lt(o.n, MAX_POINTS, "form %d of %s", (int)f, names[forms[f].class_index]);
        cr_assert_gt(o.n, 1);
        cr_assert_leq(forms[f].class_index - last, 1, "the forms of a class stand together, in order");
        last = forms[f].class_index;
        for (int i = 0; i < o.n; i++)
            cr_assert(fabsf(o.x[i]) <= 1 && fabsf(o.y[i]) <= 1, "%s", forms[f].strokes);
    }
    cr_assert_eq(last, MAX_CLASSES - 1);
}

Test(glyphs, are_the_same_with_any_threads_and_any_seed_of_the_run)
{
    const uint64_t want = digest(small(), 1, 0);
    cr_assert_eq(digest(small(), 2, 0), want);
    cr_assert_eq(digest(small(), 1, 77), want);
    options other = small();
    other.seed = 1;
    cr_assert_neq(digest(other, 1, 0), want);
}

Test(glyphs, a_sample_depends_only_on_its_seed_split_and_index)
{
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *host = dal_runtime_host(rt, "glyphs");
    options few = small(), many = small();
    many.n_train = 400000; /* too many to draw at once: these are drawn on read */
    fx_dataset a = fx_open(&glyphs_impl, host, &few, NULL), b = fx_open(&glyphs_impl, host, &many, NULL);
    cr_assert_not_null(((glyphs *)a.self)->cache);
    cr_assert_null(((glyphs *)b.self)->cache);
    unsigned char x[784], y[784];
    for (int64_t i = 0; i < 100; i++) {
        for (uint32_t split = 0; split < DAL_SPLITS; split += DAL_SPLIT_TEST) {
            fx_read(&a, split, &i, 1, x);
            fx_read(&b, split, &i, 1, y);
            cr_assert_arr_eq(x, y, 784);
            cr_assert_eq(fx_class(&a, split, i), fx_class(&b, split, i));
        }
    }
    glyphs_impl.destroy(a.self);
    glyphs_impl.destroy(b.self);
    dal_runtime_free(rt);
}

Test(glyphs, show_a_glyph_at_every_size)
{
    dal_runtime *rt = fx_runtime(1, 0);
    unsigned char row[MAX_SIZE * MAX_SIZE];
    for (int64_t size = 8; size <= MAX_SIZE; size += 7) {
        options o = small();
        o.size = size;
        o.noise = 0;
        fx_dataset d = fx_open(&glyphs_impl, dal_runtime_host(rt, "glyphs"), &o, NULL);
        for (int64_t i = 0; i < 100; i++) {
            int64_t inked = 0;
            fx_read(&d, DAL_SPLIT_TRAIN, &i, 1, row);
            for (int64_t j = 0; j < size * size; j++)
                inked += row[j] > 80;
            cr_assert(inked > size * size / 100 && inked < size * size / 2, "%lld of %lld pixels inked at size %lld",
                      (long long)inked, (long long)(size * size), (long long)size);
        }
        glyphs_impl.destroy(d.self);
    }
    dal_runtime_free(rt);
}

Test(glyphs, refuse_samples_that_are_not_there)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = small();
    fx_dataset d = fx_open(&glyphs_impl, dal_runtime_host(rt, "glyphs"), &o, NULL);
    dal_error err = DAL_ERROR_INIT;
    unsigned char row[784];
    dal_batch b = {sizeof b, 0, &d.info.spec, 1, row, NULL, NULL};
    fx_expect(&err, glyphs_impl.read(d.self, DAL_SPLIT_TEST, (const int64_t[]){100}, 1, &b, &err), DAL_E_INVALID, "",
              "sample 100 was asked for; this split has 0..99");
    glyphs_impl.destroy(d.self);
    dal_runtime_free(rt);
}

/* Least squares to the nearest class mean: the data must be neither trivial nor hopeless. */
Test(glyphs, are_neither_trivial_nor_hopeless_for_class_means)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = {.n_train = 3000, .n_test = 1000, .size = 28, .n_classes = 10, .noise = 0.1, .distortion = 1};
    fx_dataset d = fx_open(&glyphs_impl, dal_runtime_host(rt, "glyphs"), &o, NULL);
    static double mean[10][784];
    int64_t n[10] = {0}, right = 0;
    unsigned char row[784];
    for (int64_t i = 0; i < 3000; i++) {
        const int32_t c = fx_class(&d, DAL_SPLIT_TRAIN, i);
        fx_read(&d, DAL_SPLIT_TRAIN, &i, 1, row);
        n[c]++;
        for (int j = 0; j < 784; j++)
            mean[c][j] += row[j];
    }
    for (int64_t i = 0; i < 1000; i++) {
        int best = 0;
        double least = 1e300;
        fx_read(&d, DAL_SPLIT_TEST, &i, 1, row);
        for (int c = 0; c < 10; c++) {
            double s = 0;
            for (int j = 0; j < 784; j++)
                s += pow(row[j] - mean[c][j] / (double)n[c], 2);
            if (s < least) {
                least = s;
                best = c;
            }
        }
        right += best == fx_class(&d, DAL_SPLIT_TEST, i);
    }
    for (int c = 0; c < 10; c++)
        cr_assert(n[c] > 240 && n[c] < 360, "%lld samples of class %d", (long long)n[c], c);
    cr_assert(right > 600 && right < 900, "%lld of 1000 right", (long long)right);
    glyphs_impl.destroy(d.self);
    dal_runtime_free(rt);
}
