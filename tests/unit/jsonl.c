#include "tests/unit/texts.h"

#include "plugins/datasets/jsonl.c"

static const char *const text_key[] = {"text"};

static options with(const char *path)
{
    return (options){.path = path, .validation_path = "", .test_path = "", .label = "label", .names = "", .group = "",
                     .text = {text_key, 1}};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&jsonl_impl, &o, want, key, words);
}

static const char *pool(options o)
{
    return fx_split_of(&jsonl_impl, &o, DAL_SPLIT_TRAIN);
}

Test(jsonl, finds_texts_and_labels_among_other_keys)
{
    cr_assert_str_eq(pool(with(fx_text("a",
                                       "{\"id\": 7, \"text\": \"one\", \"label\": \"pos\", \"x\": [1, {\"text\": "
                                       "\"no\"}]}\r\n"
                                            "\n{\"label\":\"neg\",\"text\":\"two\"}\n {\"text\":\"three\"} \n"
                                            "{\"text\":\"four\",\"label\":null}\n"))),
                     "pos:one|neg:two|-:three|-:four");
    cr_assert_str_eq(pool(with(fx_text("b", "{\"text\":\"a\",\"label\":10}\n{\"text\":\"b\",\"label\":9}\n"))),
                     "10:a|9:b");
    cr_assert_str_eq(pool(with(fx_text("c", "{\"text\":\"a\",\"label\":true}\n{\"text\":\"b\",\"label\":false}\n"))),
                     "true:a|false:b");
    static const char *const two[] = {"title", "body"};
    options o = with(fx_text("d", "{\"body\":\"B\",\"title\":\"T\",\"label\":1}\n"
                                  "{\"title\":null,\"body\":\"C\",\"label\":2}\n"));
    o.text = (dal_str_list){two, 2};
    cr_assert_str_eq(pool(o), "1:T B|2:C");
}

Test(jsonl, decodes_every_escape)
{
    cr_assert_str_eq(pool(with(fx_text("a", "{\"text\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"label\":1}\n"
                                            "{\"text\":\"caf\\u00e9 \\ud83d\\ude00 \\ud83dx \\udc00 "
                                            "\xc3\xa9\",\"label\":1}\n"))),
                     "1:\"\\/\b\f\n\r\t|1:caf\xc3\xa9 \xf0\x9f\x98\x80 \xef\xbf\xbdx \xef\xbf\xbd \xc3\xa9");
    cr_assert_str_eq(pool(with(fx_text("b", "{\"text\":\"x\",\"label\":\"a\\\"b\"}\n"))), "a\"b:x");
}

Test(jsonl, refuses_what_is_no_json)
{
    static const struct {
        const char *line, *words;
    } faults[] = {
        {"[1]", "a:1:1: expected an object"},
        {"{\"text\":\"x\"", "expected , or }"},
        {"{\"text\":\"x}", "this string is never closed"},
        {"{\"text\" \"x\"}", "expected a colon"},
        {"{text:\"x\"}", "a:1:2: expected a string"},
        {"{\"text\":\"x\",}", "expected a string"},
        {"{\"text\":\"\\x\"}", "an escape that JSON has not"},
        {"{\"text\":\"\\u12g4\"}", "four hexadecimal digits"},
        {"{\"text\":\"\\u0000\"}", "not those of NUL"},
        {"{\"text\":\"a\tb\"}", "a control character"},
        {"{\"text\":\"x\"} y", "found text after the object"},
        {"{\"text\":nul}", "expected a value"},
        {"{\"text\":}", "expected a value"},
        {"{\"text\":7}", "a:1: 'text' is 7, expected a string"},
        {"{\"body\":\"x\"}", "there is no key 'text'"},
        {"{\"text\":\"x\",\"label\":{}}", "the label 'label' is an object"},
        {"{\"text\":\"\xe9\"}", "byte 0xe9 is no UTF-8"},
        {"", "found no texts"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        refuse(with(fx_text("a", faults[i].line)), DAL_E_FORMAT, "path", faults[i].words);
    char deep[1000] = "{\"text\":\"x\",\"y\":";
    memset(deep + strlen(deep), '[', 900);
    refuse(with(fx_text("deep", deep)), DAL_E_FORMAT, "path", "more than 64 brackets in brackets");
}

Test(jsonl, tells_which_source_a_text_is_of)
{
    options o = with(fx_text("by",
                             "{\"text\":\"a\",\"label\":1,\"by\":\"Zoe\"}\n{\"text\":\"b\",\"label\":2,\"by\":null}\n"
                              "{\"text\":\"c\",\"label\":1,\"by\":\"A\\u006en\"}\n{\"text\":\"d\"}\n"
                              "{\"by\":\"Zoe\",\"text\":\"e\"}\n"));
    o.group = "by";
    cr_assert_str_eq(pool(o), "1:a|2:b|1:c|-:d|-:e");
    cr_assert_str_eq(fx_sources_of(&jsonl_impl, &o), "Zoe|-|Ann|-|Zoe");
    o.group = "";
    cr_assert_str_eq(fx_sources_of(&jsonl_impl, &o), "none");
    o.path = fx_text("list", "{\"text\":\"x\",\"by\":[1]}");
    o.group = "by";
    refuse(o, DAL_E_FORMAT, "path", "list:1: the source 'by' is a list, expected a string, a number or a truth value");
    o.group = o.label;
    refuse(o, DAL_E_INVALID, "group", "is the label; a source is known before any label is");
}

Test(jsonl, numbers_sources_as_it_does_labels)
{
    options o = with(fx_text("by",
                             "{\"text\":\"a\",\"by\":10}\n{\"text\":\"b\",\"by\":9}\n{\"text\":\"c\",\"by\":10}\n"));
    o.group = "by";
    cr_assert_str_eq(fx_sources_of(&jsonl_impl, &o), "10|9|10");
}
