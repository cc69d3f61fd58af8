#include "tests/unit/fixture.h"

#include "plugins/datasets/arff.c"

static options with(const char *path)
{
    return (options){.path = path, .test_path = "", .label = "-1", .max_values = 64};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&arff_impl, &o, want, key, words);
}

static const char *rows(options o, uint32_t split)
{
    return fx_rows_of(&arff_impl, &o, split);
}

static const char *pool(options o)
{
    return rows(o, DAL_SPLIT_TRAIN);
}

#define WEATHER                                                                                       \
    "% weather\n@RELATION 'the weather'\n\n@attribute outlook {sunny, overcast,rainy}\r\n"             \
    "@attribute temperature REAL % degrees\n@Attribute 'is it \\'windy\\'' {TRUE,FALSE}\n"              \
    "@attribute play {yes, no}\n@DATA\n"

Test(arff, reads_numbers_nominal_values_and_classes_in_the_order_of_the_file)
{
    options o = with(fx_text("a", WEATHER "sunny,85,FALSE,no\n% hot\n  overcast, 83.5 ,TRUE,yes % yes\n\n'rainy' 7e1 "
                                          "FALSE yes"));
    cr_assert_str_eq(pool(o), "no:1,0,0,85,0,1 yes:0,1,0,83.5,1,0 yes:0,0,1,70,0,1");
    o.label = "outlook";
    cr_assert_str_eq(pool(o), "sunny:85,0,1,0,1 overcast:83.5,1,0,1,0 rainy:70,0,1,1,0");
    static const char *const windy[] = {"is it 'windy'"}, *const numbers[] = {"0", "-1"};
    o.drop = (dal_str_list){windy, 1};
    cr_assert_str_eq(pool(o), "sunny:85,0,1 overcast:83.5,1,0 rainy:70,1,0");
    o.label = "2";
    o.drop = (dal_str_list){numbers, 2};
    cr_assert_str_eq(pool(o), "FALSE:85 TRUE:83.5 FALSE:70");
}

Test(arff, keeps_classes_that_no_row_has)
{
    options o = with(fx_text("a", WEATHER "sunny,85,FALSE,no\n"));
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&arff_impl, dal_runtime_host(rt, "arff"), &o, NULL);
    char name[32];
    cr_assert_eq(d.info.spec.n_classes, 2);
    cr_assert_str_eq(d.info.class_names[0], "yes");
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 0), 1);
    arff_impl.describe(d.self, DAL_SPLIT_TRAIN, 0, name, sizeof name);
    cr_assert_str_eq(name, "a:9");
    arff_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(arff, takes_what_a_sparse_row_does_not_say_for_zero_or_the_first_value)
{
    options o = with(fx_text("a", "@relation s\n@attribute x numeric\n@attribute c {a,b}\n@attribute y "
                                  "integer\n@attribute k {u,v}\n"
                                  "@data\n{0 1.5, 3 v}\n{}\n{1 b,2 -3}\n1,b,2,u\n{ 2 ? }\n"));
    o.missing = TABLE_CONSTANT;
    o.fill = 9;
    cr_assert_str_eq(pool(o), "v:1.5,1,0,0 u:0,1,0,0 u:0,0,1,-3 u:1,0,1,2 u:0,1,0,9");
}

Test(arff, tells_missing_values_from_question_marks_in_quotes)
{
    options o = with(fx_text("a", "@relation m\n@attribute x real\n@attribute s string\n@attribute k {u,'?'}\n@data\n"
                                  "?,NA,u\n1,'?','?'\n2,?,?\n"));
    o.words = TABLE_ONE_HOT;
    refuse(o, DAL_E_FORMAT, "path", ":6:1: a missing value (''), expected a number");
    o.missing = TABLE_MEAN;
    cr_assert_str_eq(pool(o), "u:1.5,0,1 ?:1,1,0 -:2,0,0");
    o.words = TABLE_DROP;
    o.indicator = 1;
    cr_assert_str_eq(pool(o), "u:1.5,1 ?:1,0 -:2,0");
}

Test(arff, has_classes_of_numbers_and_of_strings_too)
{
    cr_assert_str_eq(pool(with(fx_text("a",
                                       "@relation r\n@attribute x real\n@attribute y "
                                       "numeric\n@data\n1,10\n2,9\n3,?\n"))),
                     "10:1 9:2 -:3");
    cr_assert_str_eq(pool(with(fx_text("b",
                                       "@relation r\n@attribute x real\n@attribute y string\n@data\n1,'b "
                                       "b'\n2,\"a\"\n"))),
                     "b b:1 a:2");
}

Test(arff, reads_gzip_and_a_test_file_of_the_same_attributes)
{
    const char *text = WEATHER "sunny,85,FALSE,no\n", *test = WEATHER "rainy,1,TRUE,yes\n";
    options o = with(fx_gzip("a.gz", text, strlen(text)));
    o.test_path = fx_gzip("b.gz", test, strlen(test));
    cr_assert_str_eq(rows(o, DAL_SPLIT_TEST), "yes:0,0,1,1,1,0");
    o.test_fraction = 0.5;
    refuse(o, DAL_E_INVALID, "test_fraction", "there is a test_path already");
    o = with(o.path);
    o.test_path = fx_text("c", "@relation x\n@attribute outlook {sunny}\n@attribute temp real\n@attribute w "
                               "{a}\n@attribute p {b}\n"
                               "@data\n");
    refuse(o, DAL_E_FORMAT, "test_path", ":3:12: found attribute 'temp', expected 'temperature' and its type as in ");
    o.test_path = fx_text("d", "@relation x\n@attribute outlook {sunny}\n@data\n");
    refuse(o, DAL_E_FORMAT, "test_path", ": found 1 attributes, expected 4 as in ");
    o.test_path = fx_text("e", WEATHER);
    refuse(o, DAL_E_FORMAT, "test_path", ": found no rows after @data");
}

Test(arff, names_the_place_of_each_fault)
{
#define HEAD "@relation r\n@attribute x real\n@attribute k {a,b}\n"
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", ": found no line @data and no @attribute: is this an ARFF file?"},
        {HEAD, ": found no line @data"},
        {"@relation r\n@data\n1\n", ":2:1: found no attributes before this line"},
        {"1,2\n", ":1:1: expected @relation, @attribute, @data or a comment after %"},
        {"@relation r\n@attribute x\n", ":2:13: expected numeric, real, integer, string, date or {the values}"},
        {"@relation r\n@attribute\n", ":2:11: found no value"},
        {"@relation r\n@attribute 'x real\n", ":2:12: this quote is never closed"},
        {"@relation r\n@attribute x real 7\n", ":2:19: found more behind the type"},
        {"@relation r\n@attribute x relational\n", ":2:14: relations in a relation cannot be read"},
        {"@relation r\n@attribute d date 'yyyy'\n@attribute k {a}\n@data\n'1999',a\n",
         ":2:14: this attribute is a date"},
        {"@relation r\n@attribute x real\n@attribute k {a,b\n@data\n1,a\n",
         ":3:18: expected a comma or } after a value"},
        {"@relation r\n@attribute x real\n@attribute k {a,a}\n@data\n1,a\n", ":3:17: this value is there twice"},
        {"@relation r\n@attribute x real\n@attribute k {}\n@data\n1,a\n", ":3:14: an attribute without values"},
        {"@relation r\n@attribute x real\n@attribute k {a} b\n@data\n1,a\n", ":3:18: found more behind the values"},
        {HEAD "@data\n", ": found no rows after @data"},
        {HEAD "@data\n1\n", ":5:1: found 1 values, expected 2, one for each attribute"},
        {HEAD "@data\n1,a,2\n", ":5:1: found 3 values"},
        {HEAD "@data\n1,,a\n", ":5:3: found no value; an unquoted ? is a missing one"},
        {HEAD "@data\n1,a,\n", ":5:5: found no value"},
        {HEAD "@data\nq,a\n", ":5:1: found 'q' in column 0 ('x'), expected a number that fits f32"},
        {HEAD "@data\n1,c\n", ":5:3: found 'c' in column 1 ('k'), expected one of a, b"},
        {HEAD "@data\n1,a,{5}\n", ":5:5: the weight of a row cannot be used"},
        {HEAD "@data\n1,'a\n", ":5:3: this quote is never closed"},
        {HEAD "@data\n1,'a'b\n", ":5:6: found text after the closing quote"},
        {HEAD "@data\n{0 1,2 a}\n", ":5:6: expected the number of an attribute, 1..1"},
        {HEAD "@data\n{1 a,0 1}\n", ":5:6: expected the number of an attribute, 2..1"},
        {HEAD "@data\n{0 1 1 a}\n", ":5:6: expected a comma or } after a value"},
        {HEAD "@data\n{0 1,\n", ":5:6: found no value"},
        {HEAD "@data\n{0 1} x\n", ":5:7: found more behind the row"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse(with(fx_text("t.arff", cases[i].text)), DAL_E_FORMAT, "path", cases[i].words);
    options o = with(fx_text("u", HEAD "@data\n1,a\n"));
    o.label = "klass";
    refuse(o, DAL_E_INVALID, "label", "no column 'klass' in ");
    refuse(o, DAL_E_INVALID, "label", "; it has x, k");
    refuse(with("/nowhere"), DAL_E_NOT_FOUND, "path", "/nowhere: cannot open");
}

Test(arff, survives_every_failed_allocation)
{
    options o = with(fx_text("a", WEATHER "sunny,85,FALSE,no\nrainy,?,'TR\\UE',yes\n{1 2}\n{3 no}\n"));
    o.missing = TABLE_MEDIAN;
    o.indicator = 1;
    o.test_fraction = 0.5;
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = arff_impl.create(dal_runtime_host(rt, "arff"), &o, NULL, &self, &err);
        arff_impl.destroy(self);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 12);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}

Test(arff, tells_sources_from_an_attribute)
{
    options o = with(fx_text("g", WEATHER "sunny,85,FALSE,no\novercast,83.5,TRUE,yes\nsunny,70,FALSE,yes\n"));
    dal_runtime *rt = fx_runtime(1, 0);
    o.group = "outlook";
    cr_assert_str_eq(pool(o), "no:85,0,1 yes:83.5,1,0 yes:70,0,1");
    fx_dataset d = fx_open(&arff_impl, dal_runtime_host(rt, "arff"), &o, NULL);
    const dal_dataset_groups *t = dal_groups_of(&(dal_dataset){d.impl, d.self});
    cr_assert(t && t->count(d.self) == 2, "those that occur");
    cr_assert_str_eq(t->name(d.self, 0), "overcast");
    cr_assert(fx_group(&d, DAL_SPLIT_TRAIN, 0) == 1 && fx_group(&d, DAL_SPLIT_TRAIN, 1) == 0);
    arff_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
