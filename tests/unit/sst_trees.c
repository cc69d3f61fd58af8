#include "tests/unit/texts.h"
#include "tests/unit/zip_make.h"

#include "plugins/datasets/sst_trees.c"

static const char trees[] = "(3 (2 It) (4 (4 (2 's) (4 lovely)) (2 .)))\n(2 (2 So) (2 so))\n(0 (1 No) (2 fun))\n";

static options with(const char *path)
{
    return (options){.path = path, .validation_path = "", .test_path = ""};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&sst_impl, &o, want, key, words);
}

static const char *split_of(options o, uint32_t split)
{
    return fx_split_of(&sst_impl, &o, split);
}

Test(sst_trees, gives_sentences_or_all_their_phrases)
{
    options o = with(fx_text("a", trees));
    cr_assert_str_eq(split_of(o, DAL_SPLIT_TRAIN), "positive:It 's lovely .|neutral:So so|very negative:No fun");
    o.classes = BINARY;
    cr_assert_str_eq(split_of(o, DAL_SPLIT_TRAIN), "positive:It 's lovely .|negative:No fun");
    o.phrases = ALL;
    cr_assert_str_eq(split_of(o, DAL_SPLIT_TRAIN), "positive:lovely|positive:'s lovely|positive:'s lovely .|"
                                                   "positive:It 's lovely .|negative:No|negative:No fun");
    o.test_path = o.path;
    cr_assert_str_eq(split_of(o, DAL_SPLIT_TEST), "positive:It 's lovely .|negative:No fun");
}

Test(sst_trees, keeps_words_of_any_encoding)
{
    options o = with(fx_text("a", "(3 (2 caf\xe9) (2 \xc3\xa9))\n"));
    refuse(o, DAL_E_FORMAT, "path", "a:1: byte 0xe9 is no UTF-8");
    o.encoding = DAL_MIXED;
    cr_assert_str_eq(split_of(o, DAL_SPLIT_TRAIN), "positive:caf\xc3\xa9 \xc3\xa9");
}

Test(sst_trees, refuses_what_is_no_tree)
{
    refuse(with(fx_text("a", "(3 a)\n(5 b)\n")), DAL_E_FORMAT, "path", "a:2:1: expected a label 0..4");
    refuse(with(fx_text("b", "(3 (2 a)\n")), DAL_E_FORMAT, "path", "b:1:9: the line ends inside the tree");
    refuse(with(fx_text("c", "(3 a))\n")), DAL_E_FORMAT, "path", "c:1:6: found text after the end");
    refuse(with(fx_text("d", "(3 a) (2 b)\n")), DAL_E_FORMAT, "path", "d:1:7: found text after the end");
    refuse(with(fx_text("e", "(3 )\n")), DAL_E_FORMAT, "path", "this tree has no word");
    refuse(with(fx_text("f", "(3 a b)\n")), DAL_E_FORMAT, "path", "f:1:6: found a word, expected a bracket");
    refuse(with(fx_text("g", "word\n")), DAL_E_FORMAT, "path", "found a word");
    refuse(with(fx_text("h", ")\n")), DAL_E_FORMAT, "path", "a bracket too many");
    refuse(with(fx_text("i", "\n")), DAL_E_FORMAT, "path", "found no trees");
    refuse(with(fx_text("j", "(3")), DAL_E_FORMAT, "path", "expected a label");
    char deep[3 * 4200 + 1];
    for (int i = 0; i < 4200; i++)
        memcpy(deep + 3 * i, "(2 ", 4);
    refuse(with(fx_text("k", deep)), DAL_E_FORMAT, "path", "more than 4096 brackets");
    options o = with(fx_text("l", "(2 a)\n"));
    o.classes = BINARY;
    refuse(o, DAL_E_FORMAT, "path", "no trees that are not neutral");
}

Test(sst_trees, reads_the_treebank_in_its_zip)
{
    const char *path = fx_data("sst/trainDevTestTrees_PTB.zip");
    static const int64_t fine[5] = {1092, 2218, 1624, 2322, 1288}; /* of the pool, as published */
    int64_t got[5] = {0};
    if (!path)
        return;
    options o = with(path);
    o.encoding = DAL_MIXED;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&sst_impl, dal_runtime_host(rt, "t"), &o, NULL);
    cr_assert_arr_eq(d.info.n, ((int64_t[]){8544, 1101, 2210}), sizeof d.info.n);
    for (int64_t i = 0; i < 8544; i++)
        got[fx_class(&d, DAL_SPLIT_TRAIN, i)]++;
    cr_assert_arr_eq(got, fine, sizeof fine);
    cr_assert_str_eq(fx_text_of(&d, DAL_SPLIT_VALIDATION, 0),
                     "It 's a lovely film with lovely performances by Buy and Accorsi .");
    sst_impl.destroy(d.self);
    o.classes = BINARY;
    d = fx_open(&sst_impl, dal_runtime_host(rt, "t"), &o, NULL);
    cr_assert_arr_eq(d.info.n, ((int64_t[]){6920, 872, 1821}), sizeof d.info.n);
    sst_impl.destroy(d.self);
    o.classes = FINE;
    o.phrases = ALL;
    d = fx_open(&sst_impl, dal_runtime_host(rt, "t"), &o, NULL);
    cr_assert_arr_eq(d.info.n, ((int64_t[]){318582, 1101, 2210}), sizeof d.info.n);
    sst_impl.destroy(d.self);
    dal_runtime_free(rt);
}
