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

/* ---- another dataset is out of distribution ---- */

/* Numbers from 100,000 on, of classes of their own. */
static fx_toy far_numbers(int64_t n)
{
    static float values[3000];
    static int32_t classes[3000];
    for (int i = 0; i < 3000; i++) {
        values[i] = (float)(100000 + i);
        classes[i] = i % 50 == 49 ? DAL_LABEL_NONE : i % 7;
    }
    return (fx_toy){.spec = {sizeof(dal_sample_spec), DAL_VECTOR, DAL_F32, 1, {1}, 7},
                    .n = {n, 0, 500},
                    .data = {values, NULL, values},
                    .cls = {classes, NULL, classes}};
}

/* A pool of n_id in 10 classes beside one of n_ood: how many there then are of either. */
static void check_other(int64_t n_id, int64_t n_ood, options o, int64_t want_id, int64_t want_ood, int64_t want_far)
{
    fx_toy t = fx_numbers(n_id, 10), far = far_numbers(n_ood);
    fx_toy_open(&far);
    const fx_other other = {&far.dataset, "far", NULL};
    o.ood = fx_other_ref(&other);
    fx_derived x = fx_derive(&open_set_impl, &o, &t, 1);
    int64_t id = 0, ood = 0, n_far = 0;
    for (int64_t i = 0; i < x.d.info.n[DAL_SPLIT_TRAIN]; i++) {
        const int number = fx_number(&x, DAL_SPLIT_TRAIN, i), cls = fx_class(&x.d, DAL_SPLIT_TRAIN, i);
        id += cls >= 0;
        ood += cls == DAL_LABEL_OOD;
        n_far += number >= 100000;
        cr_assert(number < 100000 || cls == DAL_LABEL_OOD, "%d is of class %d", number, cls);
    }
    cr_assert(id == want_id && ood == want_ood && n_far == want_far, "%d ID, %d OOD, %d of them far", (int)id, (int)ood,
              (int)n_far);
    cr_assert_eq(x.d.info.spec.n_classes, o.n_classes ? o.n_classes : 10);
    for (int64_t i = 0; i < x.d.info.n[DAL_SPLIT_TEST]; i++)
        cr_assert(fx_number(&x, DAL_SPLIT_TEST, i) < 100000 && fx_class(&x.d, DAL_SPLIT_TEST, i) >= 0);
    cr_assert_eq(x.d.info.n[DAL_SPLIT_TEST], o.n_classes ? 200 * o.n_classes : 2000);
    fx_drop(&x);
}

Test(open_set, takes_its_share_from_another_dataset)
{
    check_other(2000, 3000, (options){.ratio = .5}, 2000, 2000, 2000);
    check_other(2000, 3000, (options){.ratio = .2}, 2000, 500, 500);
    check_other(3000, 1000, (options){.ratio = .4}, 1500, 1000, 1000); /* not enough OOD: fewer ID */
    check_other(2000, 3000, (options){.ratio = 0}, 2000, 0, 0);
    check_other(2000, 500, (options){.ratio = .2, .formula = ALSCOPE}, 2000, 500, 500);
    /* classes that are left out are unknown, too: 1000 near and 1000 far ones, all of which are needed */
    check_other(2000, 1000, (options){.ratio = .8, .n_classes = 5}, 500, 2000, 1000);
}

Test(open_set, mixes_near_and_far_by_the_seed)
{
    fx_toy t = fx_numbers(2000, 10), far = far_numbers(1000);
    fx_toy_open(&far);
    const fx_other other = {&far.dataset, "far", NULL};
    options o = {.ratio = .5, .n_classes = 5, .ood = fx_other_ref(&other)}; /* 1000 of 2000 */
    fx_derived x = fx_derive(&open_set_impl, &o, &t, 1);
    int64_t n_far = 0, last = -1;
    for (int64_t i = 0; i < x.d.info.n[DAL_SPLIT_TRAIN]; i++) {
        const int number = fx_number(&x, DAL_SPLIT_TRAIN, i);
        cr_assert_gt(number, last, "in the old order, none twice");
        last = number;
        n_far += number >= 100000;
    }
    cr_assert(n_far > 400 && n_far < 600, "%d of 1000", (int)n_far);
    char where[32];
    open_set_impl.describe(x.d.self, DAL_SPLIT_TRAIN, x.d.info.n[DAL_SPLIT_TRAIN] - 1, where, sizeof where);
    cr_assert_eq(strncmp(where, "far:", 4), 0, "%s", where);
    fx_drop(&x);
    cr_assert_eq(fx_derived_digest(&open_set_impl, &o, &t, 1), fx_derived_digest(&open_set_impl, &o, &t, 1));
    cr_assert_neq(fx_derived_digest(&open_set_impl, &o, &t, 1), fx_derived_digest(&open_set_impl, &o, &t, 2));
}

/* Two pictures of this shape, deterministic noise. */
static fx_toy pictures(int64_t channels, int64_t height, int64_t width, uint32_t dtype)
{
    static unsigned char bytes[2][2 * 3 * 20 * 20];
    static float values[2][2 * 3 * 20 * 20];
    static const int32_t classes[] = {0, 1};
    static int turn;
    turn = !turn;
    dal_rng r = dal_rng_from_key((uint64_t)(channels * 1000 + height));
    for (int i = 0; i < 2 * 3 * 20 * 20; i++) {
        bytes[turn][i] = (unsigned char)dal_rng_below(&r, 256);
        values[turn][i] = (float)dal_rng_normal(&r);
    }
    const void *data = dtype == DAL_U8 ? (const void *)bytes[turn] : values[turn];
    return (fx_toy){.spec = {sizeof(dal_sample_spec), DAL_IMAGE, dtype, 3, {channels, height, width}, 2},
                    .n = {2, 0, 0},
                    .data = {data},
                    .cls = {classes}};
}

/* What picture `i` of `from` is in the shape of `to`, by other means: to grey, resized, the planes repeated. */
static void slow_convert(const dal_host *host, const fx_toy *from, const fx_toy *to, int i, void *out)
{
    const int64_t *a = from->spec.shape, *b = to->spec.shape, n = a[1] * a[2], m = b[1] * b[2];
    const int64_t c = a[0] < b[0] ? a[0] : b[0];
    const int u8 = from->spec.dtype == DAL_U8;
    const size_t size = u8 ? 1 : sizeof(float), bytes = (size_t)dal_sample_bytes(&from->spec);
    dal_error err = DAL_ERROR_INIT;
    dal_resizer *r = NULL;
    char *picture = malloc(bytes);
    memcpy(picture, (const char *)from->data[0] + (size_t)i * bytes, bytes);
    if (a[0] == 3 && c == 1 && u8)
        dal_grey_u8((void *)picture, n, (void *)picture);
    else if (a[0] == 3 && c == 1)
        dal_grey_f32((void *)picture, n, (void *)picture);
    cr_assert_eq(dal_resizer_new(host, a[1], a[2], b[1], b[2], &r, &err), DAL_OK);
    void *scratch = aligned_alloc(64, (dal_resizer_scratch(r) + 63) / 64 * 64);
    if (a[1] == b[1] && a[2] == b[2])
        memcpy(out, picture, (size_t)(c * m) * size);
    else if (u8)
        dal_resize_u8(r, (void *)picture, c, out, scratch);
    else
        dal_resize_f32(r, (void *)picture, c, out, scratch);
    for (int64_t k = c; k < b[0]; k++)
        memcpy((char *)out + (size_t)(k * m) * size, out, (size_t)m * size);
    free(scratch);
    free(picture);
    dal_resizer_free(r);
}

Test(open_set, converts_the_pictures_of_the_other_dataset)
{
    static const int64_t shapes[][3] = {{1, 8, 8}, {3, 8, 8}, {1, 12, 9}, {3, 12, 9}, {3, 20, 20}, {1, 20, 7}};
    const int n = sizeof shapes / sizeof *shapes;
    for (int k = 0; k < n * n * 2; k++) {
        const int64_t *s = shapes[k / 2 / n], *o = shapes[k / 2 % n];
        const uint32_t dtype = k % 2 ? DAL_F32 : DAL_U8;
        fx_toy here = pictures(s[0], s[1], s[2], dtype), there = pictures(o[0], o[1], o[2], dtype);
        fx_toy_open(&there);
        const fx_other other = {&there.dataset, "far", NULL};
        options opt = {.ratio = .5, .ood = fx_other_ref(&other)};
        fx_derived x = fx_derive(&open_set_impl, &opt, &here, 1);
        const size_t size = (size_t)dal_sample_bytes(&here.spec);
        const int64_t all[] = {3, 0, 2, 1};
        unsigned char got[4 * 4 * 3 * 20 * 20], want[4 * 3 * 20 * 20];
        fx_read(&x.d, DAL_SPLIT_TRAIN, all, 4, got);
        for (int i = 0; i < 4; i++) {
            if (all[i] < 2)
                memcpy(want, (const char *)here.data[0] + (size_t)all[i] * size, size);
            else
                slow_convert(dal_runtime_host(x.rt, "twin"), &there, &here, (int)all[i] - 2, want);
            cr_assert_arr_eq(got + (size_t)i * size, want, size, "%d x %d x %d from %d x %d x %d, sample %d", (int)s[0],
                             (int)s[1], (int)s[2], (int)o[0], (int)o[1], (int)o[2], (int)all[i]);
        }
        fx_drop(&x);
    }
}

Test(open_set, refuses_another_dataset_that_cannot_be_converted)
{
    fx_toy here = pictures(3, 8, 8, DAL_U8), there = pictures(1, 8, 8, DAL_F32);
    const fx_other other = {&there.dataset, "far", NULL};
    options o = {.ratio = .5, .ood = fx_other_ref(&other)};
    fx_toy_open(&there);
    fx_refused(&open_set_impl, &o, &here, DAL_E_INVALID, "ood",
               "it has images 1 x 8 x 8 of f32, the dataset has images 3 x 8 x 8 of u8; expected the same, or images");
    there = pictures(2, 8, 8, DAL_U8);
    fx_toy_open(&there);
    fx_refused(&open_set_impl, &o, &here, DAL_E_INVALID, "ood", "it has images 2 x 8 x 8 of u8");
    there = far_numbers(10);
    fx_toy_open(&there);
    fx_refused(&open_set_impl, &o, &here, DAL_E_INVALID, "ood", "it has vectors 1 of f32");
    there = pictures(3, 8, 8, DAL_U8);
    there.n[DAL_SPLIT_TRAIN] = 0;
    fx_toy_open(&there);
    fx_refused(&open_set_impl, &o, &here, DAL_E_INVALID, "ood", "its pool has no samples");
    there = pictures(1, 20, 20, DAL_U8);
    fx_toy_open(&there);
    fx_toy_open(&here);
    fx_no_memory(&open_set_impl, &o, &here.dataset, 15);
}
