#include "tests/unit/texts.h"

#include "plugins/transforms/text.c"

static const char *const lines[] = {"Hello, WORLD 123", "\xc3\x84RGER \xce\x91\xce\xa9 \xd0\x96", "", "\xc4\xb0x"};

static fx_texts toy(const char *const *all, int64_t n)
{
    fx_texts t = {.texts = {all, NULL, all}, .n = {n, 0, n < 2 ? n : 2}, .n_classes = 2};
    return t;
}

/* All texts of the pool with bars between. */
static const char *made(const dal_dataset_impl *impl, const void *options, fx_texts *t)
{
    static char out[512];
    dal_runtime *rt = fx_runtime(1, 0);
    fx_texts_open(t);
    fx_dataset d = fx_open(impl, dal_runtime_host(rt, "text"), options, &t->dataset);
    cr_assert_eq(d.info.spec.modality, DAL_TEXT);
    out[0] = '\0';
    for (int64_t i = 0; i < d.info.n[DAL_SPLIT_TRAIN]; i++)
        strcat(strcat(out, i ? "|" : ""), fx_text_of(&d, DAL_SPLIT_TRAIN, i));
    impl->destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return out;
}

Test(lowercase, makes_small_letters_in_any_script)
{
    fx_texts t = toy(lines, 4);
    const lowercase_options o = {0};
    cr_assert_str_eq(made(&lowercase_impl, &o, &t), "hello, world 123|\xc3\xa4rger \xce\xb1\xcf\x89 \xd0\xb6||ix");
}

static const char *cut_to(const char *text, int64_t words, int64_t characters, uint32_t keep)
{
    const truncate_options o = {.words = words, .characters = characters, .keep = keep};
    fx_texts t = toy(&text, 1);
    return made(&truncate_impl, &o, &t);
}

Test(truncate, keeps_whole_words_or_characters_from_either_end)
{
    static const char text[] = "One two,  thr\xc3\xa9\x65 four!";
    cr_assert_str_eq(cut_to(text, 2, 0, BEGINNING), "One two");
    cr_assert_str_eq(cut_to(text, 4, 0, BEGINNING), text);
    cr_assert_str_eq(cut_to(text, 9, 0, BEGINNING), text);
    cr_assert_str_eq(cut_to(text, 2, 0, END), "thr\xc3\xa9\x65 four!");
    cr_assert_str_eq(cut_to(text, 4, 0, END), text);
    cr_assert_str_eq(cut_to(text, 0, 14, BEGINNING), "One two,  thr\xc3\xa9");
    cr_assert_str_eq(cut_to(text, 0, 8, END), "\xc3\xa9\x65 four!");
    cr_assert_str_eq(cut_to(text, 0, 100, END), text);
    cr_assert_str_eq(cut_to(text, 3, 5, BEGINNING), "One t");
    cr_assert_str_eq(cut_to(text, 2, 6, END), " four!");
    cr_assert_str_eq(cut_to("", 2, 6, END), "");
    cr_assert_str_eq(cut_to("...", 2, 0, BEGINNING), "...");
}

Test(truncate, refuses_what_has_no_sense)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    truncate_options o = {0};
    fx_texts t = toy(lines, 4);
    fx_toy numbers = {.spec = {sizeof numbers.spec, DAL_VECTOR, DAL_F32, 1, {1}, 2}};
    fx_texts_open(&t);
    fx_toy_open(&numbers);
    const dal_host *h = dal_runtime_host(rt, "truncate");
    fx_expect(&err, truncate_impl.create(h, &o, &t.dataset, &self, &err), DAL_E_INVALID, "words", "nothing to cut");
    o.words = 1;
    fx_expect(&err, truncate_impl.create(h, &o, &numbers.dataset, &self, &err), DAL_E_UNSUPPORTED, "", "works on text");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
