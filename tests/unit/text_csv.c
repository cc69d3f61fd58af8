#include "tests/unit/tar_make.h"
#include "tests/unit/texts.h"

#include "plugins/datasets/text_csv.c"

static options with(const char *path)
{
    return (options){.path = path, .validation_path = "", .test_path = "", .delimiter = "comma", .label = "0",
                     .join = " ", .names = "", .group = "", .member = "", .validation_member = "", .test_member = ""};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&text_csv_impl, &o, want, key, words);
}

static const char *split_of(options o, uint32_t split)
{
    return fx_split_of(&text_csv_impl, &o, split);
}

static const char *pool(options o)
{
    return split_of(o, DAL_SPLIT_TRAIN);
}

Test(text_csv, joins_quoted_fields)
{
    cr_assert_str_eq(pool(with(fx_text("a", "\"3\",\"Title\",\"He said \"\"no\"\", twice\"\n\"1\",\"\",\"b\"\r\n"))),
                     "3:Title He said \"no\", twice|1:b");
    options o = with(fx_text("b", "1,x,y\n2,z,\n"));
    o.join = " // ";
    cr_assert_str_eq(pool(o), "1:x // y|2:z");
    o.join = "";
    cr_assert_str_eq(pool(o), "1:xy|2:z");
    cr_assert_str_eq(pool(with(fx_text("c", "1,\"two\nlines\"\n\n2,x\n"))), "1:two\nlines|2:x");
    cr_assert_str_eq(pool(with(fx_gzip("d.gz", "1,x\n2,y\n", 8))), "1:x|2:y");
}

Test(text_csv, takes_no_row_with_an_empty_field_for_names_of_columns)
{
    cr_assert_str_eq(pool(with(fx_text("a", "1,,x\n2,,y\n"))), "1:x|2:y");
    options o = with(fx_text("b", "1,,x\n2,,y\n"));
    o.label = "";
    cr_assert_str_eq(pool(o), "-:1 x|-:2 y");
}

Test(text_csv, means_by_a_backslash_what_the_files_mean)
{
    const char *path = fx_text("a", "1,\"a\\nb \\\"\"c\\\"\" \\d\"\n2,\"x\\n\"\n3,plain\\ny\n");
    options o = with(path);
    cr_assert_str_eq(pool(o), "1:a\\nb \\\"c\\\" \\d|2:x\\n|3:plain\\ny");
    o.backslash = NEWLINE;
    cr_assert_str_eq(pool(o), "1:a\nb \"c\" \\d|2:x\n|3:plain\ny");
    o.backslash = BREAK;
    cr_assert_str_eq(pool(o), "1:a nb  \"c \"  d|2:x n|3:plain ny");
}

Test(text_csv, finds_columns_by_name_or_number)
{
    static const char *const body[] = {"body"}, *const both[] = {"-1", "title"}, *const zero[] = {"0"};
    const char *path = fx_text("a", "title,class,body\nT,sport,B\nU,news,C\n");
    options o = with(path);
    o.label = "class";
    cr_assert_str_eq(pool(o), "sport:T B|news:U C");
    o.text = (dal_str_list){body, 1};
    cr_assert_str_eq(pool(o), "sport:B|news:C");
    o.text = (dal_str_list){both, 2};
    cr_assert_str_eq(pool(o), "sport:B T|news:C U");
    o.label = "";
    o.header = HEADER_YES;
    o.text = (dal_str_list){zero, 1};
    cr_assert_str_eq(pool(o), "-:T|-:U");
    o.header = HEADER_NO;
    cr_assert_str_eq(pool(o), "-:title|-:T|-:U");
    o.header = HEADER_AUTO;
    o.text = (dal_str_list){(const char *const[]){"text"}, 1};
    refuse(o, DAL_E_INVALID, "text", "no column 'text'");
    o.header = HEADER_YES;
    refuse(o, DAL_E_INVALID, "text", "it has title, class, body");
    o.label = "body";
    o.text = (dal_str_list){(const char *const[]){"2"}, 1};
    refuse(o, DAL_E_INVALID, "text", "column '2' is the label");
}

Test(text_csv, numbers_labels_by_order_by_counting_or_by_name)
{
    static const char *const four[] = {"World", "Sports", "Business", "Sci/Tech"};
    const char *path = fx_text("a", "3,x\n1,y\n?,z\n10,w\n,v\n");
    options o = with(path);
    cr_assert_str_eq(pool(o), "3:x|1:y|-:z|10:w|-:v");
    path = fx_text("b", "3,x\n1,y\n");
    o = with(path);
    o.class_names = (dal_str_list){four, 4};
    refuse(o, DAL_E_INVALID, "labels", "4 names for 2 different labels");
    o.labels = DAL_LABELS_FROM1;
    cr_assert_str_eq(pool(o), "Business:x|World:y");
    o.labels = DAL_LABELS_FROM0;
    cr_assert_str_eq(pool(o), "Sci/Tech:x|Sports:y");
    o.class_names.n = 3;
    refuse(o, DAL_E_FORMAT, "path", "b:1: label '3', expected 0..2");
    o.class_names.n = 0;
    o.labels = DAL_LABELS_FROM1;
    cr_assert_str_eq(pool(o), "3:x|1:y");
    o = with(fx_text("c", "Sports,x\nWorld,y\n"));
    o.names = fx_text("names", "World\nSports\nBusiness\n\n");
    cr_assert_str_eq(pool(o), "Sports:x|World:y");
    o.path = fx_text("d", "Sports,x\nWord,y\n");
    o.labels = DAL_LABELS_NAMES;
    refuse(o, DAL_E_FORMAT, "path", "d:2: label 'Word' is the name of no class");
}

Test(text_csv, has_splits_of_their_own_files)
{
    options o = with(fx_text("train", "b,x\n"));
    char name[64];
    o.validation_path = fx_text("dev", "c,y\n");
    o.test_path = fx_text("test", "a,z\nb,w\n");
    cr_assert_str_eq(split_of(o, DAL_SPLIT_TEST), "a:z|b:w");
    cr_assert_str_eq(split_of(o, DAL_SPLIT_VALIDATION), "c:y");
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&text_csv_impl, dal_runtime_host(rt, "text-csv"), &o, NULL);
    cr_assert_eq(d.info.spec.n_classes, 3);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 0), 1);
    text_csv_impl.describe(d.self, DAL_SPLIT_TEST, 1, name, sizeof name);
    cr_assert_str_eq(name, "test:2");
    text_csv_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(text_csv, tells_what_is_no_utf_8_or_converts_it)
{
    options o = with(fx_text("a", "1,x\n2,\"caf\xe9 \"\"y\"\"\"\n"));
    refuse(o, DAL_E_FORMAT, "path", "a:2: byte 0xe9 is no UTF-8; say encoding: latin-1");
    o.encoding = DAL_LATIN1;
    cr_assert_str_eq(pool(o), "1:x|2:caf\xc3\xa9 \"y\"");
    o.encoding = DAL_MIXED;
    cr_assert_str_eq(pool(o), "1:x|2:caf\xc3\xa9 \"y\"");
    o.path = fx_text("b", "1,\xc3\xa9\n");
    cr_assert_str_eq(pool(o), "1:\xc3\xa9");
}

Test(text_csv, refuses_what_is_no_table_of_texts)
{
    refuse(with(fx_text("a", "")), DAL_E_FORMAT, "path", "the file is empty");
    refuse(with(fx_text("b", "\n \n")), DAL_E_FORMAT, "path", "the file is empty");
    refuse(with(fx_text("c", "1,x\n2,y,z\n")), DAL_E_FORMAT, "path", "c:2:1: found 3 columns, expected 2 as in line 1");
    refuse(with(fx_text("d", "1,\"x\n2,y\n")), DAL_E_FORMAT, "path", "d:1:3: this quote is never closed");
    refuse(with(fx_write("e", "1,x\n2,\0\n", 8)), DAL_E_FORMAT, "path", "e:2:3: found a NUL byte");
    refuse(with(fx_text("f", "1\n2\n")), DAL_E_INVALID, "text", "no column of text");
    options o = with(fx_text("g", "1,x\n"));
    o.delimiter = "commas";
    refuse(o, DAL_E_INVALID, "delimiter", "found 'commas'");
    o.delimiter = "comma";
    o.test_path = fx_text("h", "\n");
    refuse(o, DAL_E_FORMAT, "test_path", "found no texts");
    o = with(fx_text("i", "a,x\n"));
    o.header = HEADER_YES;
    refuse(o, DAL_E_FORMAT, "path", "found no texts");
}

Test(text_csv, refuses_a_sparse_file_of_40_gigabytes_at_once)
{
    const char *path = fx_text("hole", "1,\"x\"\n2,\"y");
    cr_assert_eq(truncate(path, (off_t)40 << 30), 0);
    refuse(with(path), DAL_E_FORMAT, "path", "hole:2:5: found a NUL byte");
    cr_assert_eq(truncate(path, 0), 0);
}

Test(text_csv, reads_ag_news)
{
    const char *path = fx_data("ag_news/test.csv.gz");
    int64_t counts[4] = {0};
    if (!path)
        return;
    options o = with(path);
    o.names = fx_data("ag_news/classes.txt");
    o.backslash = BREAK;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(&text_csv_impl, dal_runtime_host(rt, "text-csv"), &o, NULL);
    cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], 7600);
    for (int64_t i = 0; i < 7600; i++)
        counts[fx_class(&d, DAL_SPLIT_TRAIN, i)]++;
    for (int c = 0; c < 4; c++)
        cr_assert_eq(counts[c], 1900);
    cr_assert_str_eq(d.info.class_names[fx_class(&d, DAL_SPLIT_TRAIN, 0)], "Business");
    cr_assert_str_eq(fx_text_of(&d, DAL_SPLIT_TRAIN, 1),
                     "The Race is On: Second Private Team Sets Launch Date for Human Spaceflight (SPACE.com) SPACE.com "
                     "- TORONTO, Canada -- A second team of rocketeers competing for the  #36;10 million Ansari X "
                     "Prize, a contest for privately funded suborbital space flight, has officially announced the "
                     "first launch date for its manned rocket.");
    text_csv_impl.destroy(d.self);
    dal_runtime_free(rt);
}

Test(text_csv, tells_which_source_a_text_is_of)
{
    options o = with(fx_text("by", "text,by,kind\na,Zoe,1\nb,,2\nc,\"Ann\",1\nd,?,\ne,Zoe,\n"));
    o.label = "kind";
    o.group = "by";
    cr_assert_str_eq(pool(o), "1:a|2:b|1:c|-:d|-:e");
    cr_assert_str_eq(fx_sources_of(&text_csv_impl, &o), "Zoe|-|Ann|-|Zoe");
    o.group = "";
    cr_assert_str_eq(fx_sources_of(&text_csv_impl, &o), "none");
    o.group = o.label;
    refuse(o, DAL_E_INVALID, "group", "is the label; a source is known before any label is");
}

Test(text_csv, numbers_sources_as_it_does_labels)
{
    options o = with(fx_text("by", "1,a,10\n1,b,9\n1,c,10\n"));
    o.group = "-1";
    cr_assert_str_eq(fx_sources_of(&text_csv_impl, &o), "10|9|10");
}

#ifdef DAL_HAVE_ARCHIVE
/* Yelp's archive has both tables. */
Test(text_csv, takes_tables_out_of_an_archive)
{
    static tar_maker t;
    tm_add(&t, "yelp/readme.txt", "read me", 7);
    tm_add(&t, "yelp/train.csv", "1,a\n2,b\n", 8);
    tm_add(&t, "yelp/test.csv", "2,c\n", 4);
    tm_end(&t);
    options o = with(fx_gzip("yelp.tgz", t.data, t.n));
    o.member = "yelp/train.csv";
    cr_assert_str_eq(pool(o), "1:a|2:b");
    o.test_member = "yelp/test.csv";
    cr_assert_str_eq(split_of(o, DAL_SPLIT_TEST), "2:c");
    o.test_path = fx_text("test.csv", "1,d\n");
    o.test_member = "";
    cr_assert_str_eq(split_of(o, DAL_SPLIT_TEST), "1:d");
    o.member = "yelp/dev.csv";
    refuse(o, DAL_E_NOT_FOUND, "path",
           "yelp.tgz: there is no member 'yelp/dev.csv' in it; it has yelp/readme.txt, yelp/train.csv");
}
#endif
