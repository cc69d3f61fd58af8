#include "tests/unit/texts.h"

#include "plugins/datasets/libsvm.c"

static dal_str_list one(const char *path)
{
    static const char *items[8];
    static int turn;
    const char **item = &items[turn++ % 8];
    *item = path;
    return (dal_str_list){item, 1};
}

static options with(const char *path)
{
    return (options){.path = one(path), .names = "", .first_index = 1};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&libsvm_impl, &o, want, key, words);
}

/* The pool as "class c:v c:v|class ...". */
static const char *pool(options o)
{
    static char out[1024];
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&libsvm_impl, dal_runtime_host(rt, "libsvm"), &o, NULL);
    out[0] = '\0';
    for (int64_t i = 0; i < d.info.n[DAL_SPLIT_TRAIN]; i++) {
        const int32_t c = fx_class(&d, DAL_SPLIT_TRAIN, i);
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s %s", i ? "|" : "",
                 c < 0 ? "-" : d.info.class_names[c], fx_sparse_of(&d, DAL_SPLIT_TRAIN, i));
    }
    libsvm_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return out;
}

Test(libsvm, reads_sparse_rows)
{
    cr_assert_str_eq(pool(with(fx_text("a", "+1 1:0.5 3:-2e0 # a comment\n-1 2:7\n\n+1\n"))), "1 0:0.5 2:-2|-1 1:7|1 ");
    cr_assert_str_eq(pool(with(fx_text("b", "1:1 4:.25\n? 2:1\n2 qid:7 1:0 3:1\n"))), "- 0:1 3:0.25|- 1:1|2 2:1");
    options o = with(fx_text("c", "a 0:1 9:2\nb 5:3"));
    o.first_index = 0;
    cr_assert_str_eq(pool(o), "a 0:1 9:2|b 5:3");
}

Test(libsvm, has_the_width_of_both_files_or_the_one_that_is_asked_for)
{
    options o = with(fx_text("a", "1 1:1\n2 3:1\n"));
    o.test_path = one(fx_text("b", "1 5:1\n"));
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&libsvm_impl, dal_runtime_host(rt, "t"), &o, NULL);
    cr_assert_eq(d.info.spec.shape[0], 5);
    cr_assert_str_eq(fx_sparse_of(&d, DAL_SPLIT_TEST, 0), "4:1");
    libsvm_impl.destroy(d.self);
    o.n_features = 7;
    o.form = DENSE;
    d = fx_open(&libsvm_impl, dal_runtime_host(rt, "t"), &o, NULL);
    float x[7], want[7] = {0, 0, 1};
    cr_assert_eq(d.info.spec.modality, DAL_VECTOR);
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){1}, 1, x);
    cr_assert_arr_eq(x, want, sizeof x);
    libsvm_impl.destroy(d.self);
    dal_runtime_free(rt);
    o.n_features = 4;
    refuse(o, DAL_E_FORMAT, "test_path", "b:1:3: found '5:1', an index above n_features");
}

Test(libsvm, reads_a_split_from_several_files)
{
    const char *parts[] = {fx_text("a", "2 1:1\n\n1 3:1\n"), fx_text("b", "3 2:5\n"), fx_text("c", "1,2 2:1\n2 9:1\n")};
    options o = with(fx_text("d", "1 4:1\n"));
    char name[32];
    o.test_path = (dal_str_list){parts, 3};
    o.several = SINGLE;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&libsvm_impl, dal_runtime_host(rt, "t"), &o, NULL);
    cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 1);
    cr_assert_eq(d.info.n[DAL_SPLIT_TEST], 4);
    cr_assert_eq(d.info.spec.n_classes, 3);
    cr_assert_eq(d.info.spec.shape[0], 9);
    static const char *const want[] = {"0:1", "2:1", "1:5", "8:1"}, *const places[] = {"a:1", "a:3", "b:1", "c:2"};
    for (int64_t i = 0; i < 4; i++) {
        cr_assert_str_eq(fx_sparse_of(&d, DAL_SPLIT_TEST, i), want[i]);
        libsvm_impl.describe(d.self, DAL_SPLIT_TEST, i, name, sizeof name);
        cr_assert_str_eq(name, places[i]);
    }
    libsvm_impl.destroy(d.self);
    dal_runtime_free(rt);
    parts[1] = fx_text("empty", "\n");
    refuse(o, DAL_E_FORMAT, "test_path", "empty: found no samples");
    parts[1] = fx_text("bad", "1 2:x\n");
    refuse(o, DAL_E_FORMAT, "test_path", "bad:1:5: found 'x'");
    o.path.n = 0;
    refuse(o, DAL_E_INVALID, "path", "expected a file for the pool");
}

Test(libsvm, chooses_one_of_several_labels)
{
    options o = with(fx_text("a", "3,1 1:1\n3 1:2\n1,3,2 1:3\n3 1:4\n"));
    refuse(o, DAL_E_FORMAT, "path", "a:1:1: found '3,1', several labels; say several: first, rarest or single");
    o.several = FIRST;
    cr_assert_str_eq(pool(o), "3 0:1|3 0:2|1 0:3|3 0:4");
    o.several = RAREST;
    cr_assert_str_eq(pool(o), "1 0:1|3 0:2|2 0:3|3 0:4");
    o.several = SINGLE;
    cr_assert_str_eq(pool(o), "3 0:2|3 0:4");
    o = with(fx_text("b", "3,1 1:1\n"));
    o.several = SINGLE;
    refuse(o, DAL_E_INVALID, "several", "no sample has a single label");
}

Test(libsvm, reads_numbers_as_strtod_does)
{
    static const char *const numbers[] = {"0.1", "-12.5", "1e-3", "123456789012345678", ".5", "5.", "+3",
                                          "0.30000001192092896", "-0.420290", "3.4e38", "1e-50", "999999999999999",
                                          "0.000001"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        float got = -1;
        cr_assert(parse_value(numbers[i], (int64_t)strlen(numbers[i]), &got), "%s", numbers[i]);
        cr_assert_eq(got, (float)strtod(numbers[i], NULL), "%s", numbers[i]);
    }
    static const char *const others[] = {"", "-", ".", "1.2.3", "nan", "inf", "0x1", "1e40", "1,5", "--1"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        float got;
        cr_assert_not(parse_value(others[i], (int64_t)strlen(others[i]), &got), "%s", others[i]);
    }
}

Test(libsvm, refuses_what_is_no_such_file)
{
    refuse(with(fx_text("a", "1 0:1\n")), DAL_E_FORMAT, "path", "a:1:3: found '0:1', expected indices from 1");
    refuse(with(fx_text("b", "1 2:1 2:2\n")), DAL_E_FORMAT, "path", "b:1:7: found '2:2', expected ascending indices");
    refuse(with(fx_text("c", "1 3:1 2:2\n")), DAL_E_FORMAT, "path", "expected ascending indices");
    refuse(with(fx_text("d", "1 x:1\n")), DAL_E_FORMAT, "path", "d:1:3: found 'x:1', expected index:value");
    refuse(with(fx_text("e", "1 1:\n")), DAL_E_FORMAT, "path", "e:1:5: found '', expected a number");
    refuse(with(fx_text("f", "1 1:1e99\n")), DAL_E_FORMAT, "path", "expected a number that fits f32");
    refuse(with(fx_text("g", "1 99999999999:1\n")), DAL_E_FORMAT, "path", "expected index:value");
    refuse(with(fx_text("h", "\n# nothing\n")), DAL_E_FORMAT, "path", "found no samples");
    refuse(with(fx_text("i", "1\n2\n")), DAL_E_FORMAT, "path", "found no values");
    refuse(with(fx_write("j", "1 1:1\n\0", 7)), DAL_E_FORMAT, "path", "j:2:1: found a NUL byte");
    refuse(with(fx_text("k", "1 1073741825:1\n")), DAL_E_FORMAT, "path", "expected index:value");
}

Test(libsvm, reads_the_heart_table)
{
    const char *path = fx_data("tabular/heart_scale");
    if (!path)
        return;
    options o = with(path);
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&libsvm_impl, dal_runtime_host(rt, "t"), &o, NULL);
    int64_t counts[2] = {0};
    cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 270);
    cr_assert_eq(d.info.spec.shape[0], 13);
    for (int64_t i = 0; i < 270; i++)
        counts[fx_class(&d, DAL_SPLIT_TRAIN, i)]++;
    cr_assert_arr_eq(counts, ((int64_t[]){150, 120}), sizeof counts);
    cr_assert_str_eq(fx_sparse_of(&d, DAL_SPLIT_TRAIN, 0),
                     "0:0.7083 1:1 2:1 3:-0.3208 4:-0.105 5:-1 6:1 7:-0.4198 8:-1 9:-0.2258 11:1 12:-1");
    libsvm_impl.destroy(d.self);
    dal_runtime_free(rt);
}
