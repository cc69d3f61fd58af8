#include "tests/unit/texts.h"

#include "plugins/datasets/text_labels.c"

static options with(const char *path)
{
    return (options){.path = path, .validation_path = "", .test_path = "", .names = ""};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&text_labels_impl, &o, want, key, words);
}

static const char *pool(options o)
{
    return fx_split_of(&text_labels_impl, &o, DAL_SPLIT_TRAIN);
}

Test(text_labels, splits_the_label_from_the_text)
{
    cr_assert_str_eq(pool(with(fx_text("a", "1 good one .\r\n0\tbad   one \n\n  \n1\n"))),
                     "1:good one .|0:bad   one|1:");
    cr_assert_str_eq(pool(with(fx_gzip("b.gz", "pos fine\nneg no", 15))), "pos:fine|neg:no");
    cr_assert_str_eq(pool(with(fx_text("c", " no label\n? nor this\npos x\n"))), "-:no label|-:nor this|pos:x");
}

Test(text_labels, takes_fine_or_coarse_labels_or_none)
{
    options o = with(fx_text("a", "NUM:dist How far ?\nLOC:city What ?\nNUM:date When ?\n"));
    cr_assert_str_eq(pool(o), "NUM:dist:How far ?|LOC:city:What ?|NUM:date:When ?");
    o.label = COARSE;
    cr_assert_str_eq(pool(o), "NUM:How far ?|LOC:What ?|NUM:When ?");
    o.label = NONE;
    cr_assert_str_eq(pool(o), "-:NUM:dist How far ?|-:LOC:city What ?|-:NUM:date When ?");
}

Test(text_labels, gives_utf_8_whatever_the_file_is_in)
{
    options o = with(fx_text("a", "1 caf\xe9\n0 caf\xc3\xa9\n"));
    refuse(o, DAL_E_FORMAT, "path", "a:1: byte 0xe9 is no UTF-8");
    o.encoding = DAL_LATIN1;
    cr_assert_str_eq(pool(o), "1:caf\xc3\xa9|0:caf\xc3\x83\xc2\xa9");
    o.encoding = DAL_MIXED;
    cr_assert_str_eq(pool(o), "1:caf\xc3\xa9|0:caf\xc3\xa9");
}

Test(text_labels, refuses_what_is_no_list_of_texts)
{
    static const char *const two[] = {"no", "yes"};
    refuse(with(fx_text("a", "\n\n")), DAL_E_FORMAT, "path", "found no texts");
    refuse(with(fx_write("b", "1 x\n0 \0\n", 8)), DAL_E_FORMAT, "path", "b:2:3: found a NUL byte");
    refuse(with(fx_text("c", "caf\xe9 x\n")), DAL_E_FORMAT, "path", "c:1: a label of 4 bytes that are no UTF-8");
    refuse(with(fx_text("e", "a\001b x\n")), DAL_E_FORMAT, "path", "control character 0x01");
    options o = with(fx_text("d", "1 x\n2 y\n"));
    o.labels = DAL_LABELS_FROM0;
    o.class_names = (dal_str_list){two, 2};
    refuse(o, DAL_E_FORMAT, "path", "d:2: label '2', expected 0..1");
    o.names = fx_text("n", "a\nb\n");
    refuse(o, DAL_E_INVALID, "names", "there are class_names already");
    o.class_names.n = 0;
    o.names = fx_text("m", "a\na\n");
    refuse(o, DAL_E_INVALID, "names", "'a' names class 0 and class 1");
}

Test(text_labels, gives_back_all_memory_when_there_is_none)
{
    options o = with(fx_text("a", "1 x\n0 y\n"));
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = text_labels_impl.create(dal_runtime_host(rt, "t"), &o, NULL, &self, &err);
        if (st == DAL_OK)
            text_labels_impl.destroy(self);
        else
            cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
        cr_assert_eq(dal_runtime_allocated(rt), 0, "allocation %d", (int)k);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 6);
            break;
        }
    }
}

Test(text_labels, reads_trec)
{
    const char *train = fx_data("trec/train_5500.label"), *test = fx_data("trec/TREC_10.label");
    static const int64_t want[6] = {86, 1162, 1250, 1223, 835, 896}; /* awk over the file */
    int64_t got[6] = {0};
    if (!train || !test)
        return;
    options o = with(train);
    o.test_path = test;
    o.label = COARSE;
    o.encoding = DAL_LATIN1;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&text_labels_impl, dal_runtime_host(rt, "text-labels"), &o, NULL);
    cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 5452);
    cr_assert_eq(d.info.n[DAL_SPLIT_TEST], 500);
    cr_assert_eq(d.info.spec.n_classes, 6);
    for (int64_t i = 0; i < 5452; i++)
        got[fx_class(&d, DAL_SPLIT_TRAIN, i)]++;
    cr_assert_arr_eq(got, want, sizeof got);
    cr_assert_str_eq(d.info.class_names[0], "ABBR");
    cr_assert_str_eq(fx_text_of(&d, DAL_SPLIT_TRAIN, 0), "How did serfdom develop in and then leave Russia ?");
    text_labels_impl.destroy(d.self);
    o.label = FINE;
    d = fx_open(&text_labels_impl, dal_runtime_host(rt, "text-labels"), &o, NULL);
    cr_assert_eq(d.info.spec.n_classes, 50);
    text_labels_impl.destroy(d.self);
    dal_runtime_free(rt);
}
