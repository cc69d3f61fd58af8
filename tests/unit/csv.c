#include "tests/unit/fixture.h"

#include "plugins/datasets/csv.c"

static options with(const char *path)
{
    static const char *const markers[] = {"?", "NA", "N/A", "nan", "null"}, *const unlabelled[] = {"?"};
    return (options){.path = path, .test_path = "", .delimiter = "auto", .label = "-1", .markers = {markers, 5},
                     .no_label = {unlabelled, 1}, .max_values = 64};
}

static fx_dataset open_csv(dal_runtime *rt, const options *o)
{
    return fx_open(&csv_impl, dal_runtime_host(rt, "csv"), o, NULL);
}

static void close_csv(dal_runtime *rt, fx_dataset *d)
{
    csv_impl.destroy(d->self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&csv_impl, &o, want, key, words);
}

static const char *pool(options o)
{
    return fx_rows_of(&csv_impl, &o, DAL_SPLIT_TRAIN);
}

Test(csv_dataset, tells_headers_and_delimiters_by_themselves)
{
    cr_assert_str_eq(pool(with(fx_text("a", "x,y,c\n1,2,cat\n3,4,dog\n"))), "cat:1,2 dog:3,4");
    cr_assert_str_eq(pool(with(fx_text("b", "1;2;cat\r\n3;4;dog\r\n"))), "cat:1,2 dog:3,4");
    cr_assert_str_eq(pool(with(fx_text("c", "1\t2\tcat\n3\t4\tdog"))), "cat:1,2 dog:3,4");
    cr_assert_str_eq(pool(with(fx_text("d", "  1   2 cat\n 3 4 dog\n\n"))), "cat:1,2 dog:3,4");
    options o = with(fx_text("e", "1|2|cat\n3|4|dog\n"));
    o.delimiter = "|";
    cr_assert_str_eq(pool(o), "cat:1,2 dog:3,4");
    o = with(fx_text("f", "2020,2021,class\n3,4,dog\n")); /* a header of numbers must be said */
    cr_assert_str_eq(pool(o), "class:2020,2021 dog:3,4");
    o.header = HEADER_YES;
    cr_assert_str_eq(pool(o), "dog:3,4");
    o = with(fx_text("g", "?,2,cat\n1,2,dog\n"));
    o.missing = TABLE_ZERO;
    cr_assert_str_eq(pool(o), "cat:0,2 dog:1,2");
}

Test(csv_dataset, takes_decimal_commas_where_it_is_told)
{
    const char *path = fx_text("comma", "x;y;c\n1,5;2;cat\n-3;4,25;dog\n");
    options o = with(path);
    o.decimal = DECIMAL_COMMA;
    cr_assert_str_eq(pool(o), "cat:1.5,2 dog:-3,4.25");
    refuse(with(path), DAL_E_FORMAT, "path", ":2:1: found '1,5' in column 0 ('x'), expected a number that fits f32; "
                                             "decimal: comma reads it as one");
    o = with(fx_text("point", "x;c\n1,5;cat\n2.5;dog\n"));
    o.decimal = DECIMAL_COMMA;
    refuse(o, DAL_E_FORMAT, "path", ":3:1: found '2.5' in column 0 ('x')");
    o = with(fx_text("quoted", "x,c\n\"1,5\",cat\n\"2,5\",dog\n"));
    o.decimal = DECIMAL_COMMA;
    cr_assert_str_eq(pool(o), "cat:1.5 dog:2.5");
}

Test(csv_dataset, finds_the_label_and_drops_columns_by_name_or_number)
{
    const char *path = fx_text("a", "id,x,c,y\n7,1,cat,2\n8,3,dog,4\n");
    static const char *const id[] = {"id"}, *const numbers[] = {"0", "-1"};
    options o = with(path);
    o.label = "c";
    o.drop = (dal_str_list){id, 1};
    cr_assert_str_eq(pool(o), "cat:1,2 dog:3,4");
    o.label = "2";
    o.drop = (dal_str_list){numbers, 2};
    cr_assert_str_eq(pool(o), "cat:1 dog:3");
    o = with(path);
    o.label = "";
    static const char *const c[] = {"c"};
    o.drop = (dal_str_list){c, 1};
    cr_assert_str_eq(pool(o), "-:7,1,2 -:8,3,4");
}

Test(csv_dataset, orders_classes_by_number_when_all_are_numbers)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(fx_text("a", "1,10\n2,9\n3,-1\n4,10\n5,?\n6,\n"));
    fx_dataset d = open_csv(rt, &o);
    cr_assert_eq(d.info.spec.n_classes, 3);
    cr_assert_str_eq(d.info.class_names[0], "-1");
    cr_assert_str_eq(d.info.class_names[1], "9");
    cr_assert_str_eq(d.info.class_names[2], "10");
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 3), 2);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 4), DAL_LABEL_NONE);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 5), DAL_LABEL_NONE);
    close_csv(rt, &d);
    cr_assert_str_eq(pool(with(fx_text("b", "1,10\n2,9\n3,x\n"))), "10:1 9:2 x:3");
}

Test(csv_dataset, numbers_classes_over_both_files)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(fx_text("train", "x,c\n1,b\n2,d\n"));
    o.test_path = fx_text("test", "x,c\n3,a\n4,d\n");
    fx_dataset d = open_csv(rt, &o);
    char name[64];
    cr_assert_eq(d.info.spec.n_classes, 3);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TEST, 0), 0);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TEST, 1), 2);
    cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, 0), 1);
    csv_impl.describe(d.self, DAL_SPLIT_TEST, 1, name, sizeof name);
    cr_assert_str_eq(name, "test:3");
    close_csv(rt, &d);
}

Test(csv_dataset, fills_missing_values_with_the_mean_of_the_pool_alone)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(fx_text("train", "1,10,a\nNA,20,b\n3,,a\n"));
    o.test_path = fx_text("test", "1000,1000,a\n?,5,b\n");
    o.missing = TABLE_MEAN;
    fx_dataset d = open_csv(rt, &o);
    float x[2];
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){1}, 1, x);
    cr_assert_float_eq(x[0], 2, 1e-6);
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){2}, 1, x);
    cr_assert_float_eq(x[1], 15, 1e-6);
    fx_read(&d, DAL_SPLIT_TEST, (const int64_t[]){1}, 1, x);
    cr_assert_float_eq(x[0], 2, 1e-6);
    close_csv(rt, &d);
}

Test(csv_dataset, makes_columns_of_words_one_hot_in_a_fixed_order)
{
    options o = with(fx_text("a", "town,x,c\nRome,1,a\nOslo,2,b\nRome,3,a\n"));
    refuse(o, DAL_E_FORMAT, "path",
                                    ":2:1: found 'Rome' in column 0 ('town'), expected a number that fits f32; columns "
                                    "may be left out with drop, or made one-hot");
    o.words = TABLE_DROP;
    cr_assert_str_eq(pool(o), "a:1 b:2 a:3");
    o.words = TABLE_ONE_HOT;
    cr_assert_str_eq(pool(o), "a:0,1,1 b:1,0,2 a:0,1,3");
    o.test_path = fx_text("b", "town,x,c\nLima,1,a\n"); /* a text of the test file alone has its place, too */
    cr_assert_str_eq(pool(o), "a:0,0,1,1 b:0,1,0,2 a:0,0,1,3");
    o = with(fx_text("d", "10,1,a\n9,2,b\n10,3,a\n"));
    static const char *const zero[] = {"0"}, *const label[] = {"2"};
    o.one_hot = (dal_str_list){zero, 1};
    cr_assert_str_eq(pool(o), "a:0,1,1 b:1,0,2 a:0,1,3");
    o.drop = o.one_hot;
    refuse(o, DAL_E_INVALID, "one_hot", "column '0' is left out by drop");
    o.drop.n = 0;
    o.one_hot = (dal_str_list){label, 1};
    refuse(o, DAL_E_INVALID, "one_hot", "column '2' is the label");
    o = with(fx_text("e", "u,a\nv,b\n"));
    o.words = TABLE_DROP;
    refuse(o, DAL_E_INVALID, "path", ": no columns of values are left of 2");
}

Test(csv_dataset, refuses_a_column_of_too_many_words)
{
    options o = with(fx_text("a", "1,x,a\n2,y,b\nthree,x,a\n"));
    o.words = TABLE_ONE_HOT;
    o.max_values = 2;
    refuse(o, DAL_E_FORMAT, "path",
                                    ":3:1: column 0 has texts ('three' is the first) and more than 2 different ones, "
                                    "too many for one-hot; drop the column or raise max_values");
    o.max_values = 3;
    cr_assert_str_eq(pool(o), "a:1,0,0,1,0 b:0,1,0,0,1 a:0,0,1,1,0");
    o = with(fx_text("b", "1,2,a\n2,2,b\n3,2,a\n4,2,a\n")); /* numbers may be as many as they like */
    o.words = TABLE_ONE_HOT;
    o.max_values = 1;
    cr_assert_str_eq(pool(o), "a:1,2 b:2,2 a:3,2 a:4,2");
    char text[600] = "";
    memset(text, 'w', 300);
    strcat(text, ",1,a\n");
    o = with(fx_text("c", text));
    o.words = TABLE_ONE_HOT;
    refuse(o, DAL_E_FORMAT, "path", ":1:1: a text of 300 bytes, expected fewer than 256");
    o = with(fx_text("d", "\xff,1,a\n"));
    o.words = TABLE_ONE_HOT;
    refuse(o, DAL_E_FORMAT, "path", ":1:1: a text that is no UTF-8");
    refuse(with(fx_text("e", "1,\xff\n")), DAL_E_FORMAT, "path", ":1:3: a class name that is no UTF-8");
}

Test(csv_dataset, fills_missing_values_as_it_is_told)
{
    options o = with(fx_text("a", "1,5,a\n?,1,b\n3,na,a\n4,2,\n9,,?\n"));
    o.missing = TABLE_MEDIAN;
    cr_assert_str_eq(pool(o), "a:1,5 b:3.5,1 a:3,2 -:4,2 -:9,2");
    o.missing = TABLE_CONSTANT;
    o.fill = -7;
    cr_assert_str_eq(pool(o), "a:1,5 b:-7,1 a:3,-7 -:4,2 -:9,-7");
    o.indicator = 1;
    cr_assert_str_eq(pool(o), "a:1,5,0,0 b:-7,1,1,0 a:3,-7,0,1 -:4,2,0,0 -:9,-7,0,1");
    o.missing = TABLE_MEAN;
    refuse(o, DAL_E_INVALID, "fill", "missing: constant alone");
    o.fill = 0;
    o.missing = TABLE_ERROR;
    refuse(o, DAL_E_INVALID, "indicator", "missing values are errors");
    /* words: nothing of all there are, and its own column */
    o = with(fx_text("b", "u,1,a\n,2,b\nv,3,a\n"));
    o.words = TABLE_ONE_HOT;
    refuse(o, DAL_E_FORMAT, "path", ":2:1: a missing value (''), expected a text");
    o.missing = TABLE_MEAN;
    cr_assert_str_eq(pool(o), "a:1,0,1 b:0,0,2 a:0,1,3");
    o.indicator = 1;
    cr_assert_str_eq(pool(o), "a:1,0,1,0 b:0,0,2,1 a:0,1,3,0");
    /* what means missing is for the user to say */
    static const char *const marker[] = {"-999"}, *const unlabelled[] = {"unknown", "b"};
    o = with(fx_text("c", "-999,1,a\n2,2,b\n3,3,unknown\n"));
    o.markers = (dal_str_list){marker, 1};
    o.no_label = (dal_str_list){unlabelled, 2};
    o.missing = TABLE_ZERO;
    cr_assert_str_eq(pool(o), "a:0,1 -:2,2 -:3,3");
}

Test(csv_dataset, takes_the_median_of_the_pool_alone)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(fx_text("train", "1,a\n2,b\n30,a\n"));
    o.test_path = fx_text("test", "1000,a\n?,b\n");
    o.missing = TABLE_MEDIAN;
    fx_dataset d = open_csv(rt, &o);
    float x;
    fx_read(&d, DAL_SPLIT_TEST, (const int64_t[]){1}, 1, &x);
    cr_assert_float_eq(x, 2, 1e-6);
    close_csv(rt, &d);
}

static uint64_t split_digest(options o, uint64_t run_seed)
{
    dal_runtime *rt = fx_runtime(1, run_seed);
    fx_dataset d = open_csv(rt, &o);
    const uint64_t h = fx_digest(&d, DAL_SPLIT_TEST);
    close_csv(rt, &d);
    return h;
}

Test(csv_dataset, sets_aside_the_same_part_of_each_class)
{
    char text[16384] = "";
    for (int i = 0; i < 900; i++)
        sprintf(text + strlen(text), "%d,%s\n", i, i % 9 == 0 ? "rare" : i % 3 == 1 ? "one" : "two");
    options o = with(fx_text("a", text));
    o.test_fraction = 0.25;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_csv(rt, &o);
    int64_t counts[3] = {0}, seen[900] = {0};
    for (uint32_t split = 0; split < DAL_SPLITS; split++) {
        for (int64_t i = 0; i < d.info.n[split]; i++) {
            float x;
            fx_read(&d, split, &i, 1, &x);
            seen[(int)x]++;
            counts[fx_class(&d, split, i)] += split == DAL_SPLIT_TEST;
        }
    }
    cr_assert_eq(d.info.n[DAL_SPLIT_TEST], 225);
    cr_assert(counts[0] == 75 && counts[1] == 25 && counts[2] == 125);
    for (int i = 0; i < 900; i++)
        cr_assert_eq(seen[i], 1, "each row lies in one split");
    close_csv(rt, &d);
    cr_assert_eq(split_digest(o, 1), split_digest(o, 1));
    cr_assert_neq(split_digest(o, 1), split_digest(o, 2));
    o.split_seed = 5;
    cr_assert_eq(split_digest(o, 1), split_digest(o, 2));
}

Test(csv_dataset, names_the_place_of_each_fault)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", ": the file is empty"},
        {"\n\n", ": the file is empty"},
        {"a,b\n1,2\n1,2,3\n", ":3:1: found 3 columns, expected 2 as in line 1"},
        {"x,y,c\n1,2,a\n1, z ,b\n", ":3:4: found 'z' in column 1 ('y'), expected a number that fits f32"},
        {"1,2,a\n1,1e39,b\n", ":2:3: found '1e39' in column 1, expected a number that fits f32"},
        {"1,2,a\n1,inf,b\n", ":2:3: found 'inf' in column 1"},
        {"1,2,a\n1,NaN,b\n", ":2:3: a missing value ('NaN'), expected a number; missing: mean, median or zero"},
        {"1,2,a\n1,,b\n", ":2:3: a missing value ('')"},
        {"1,2,a\n1,\"2,b\n", ":2:3: this quote is never closed"},
        {"1,2,a\n1,\x01\x02,b\n", ":2:3: found '?\?' in column 1"},
        {"a\nb\n", ": no columns of values are left of 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse(with(fx_text("t.csv", cases[i].text)), i < 10 ? DAL_E_FORMAT : DAL_E_INVALID, "path", cases[i].words);
    const char nul[] = "1,2,a\n1,\0,b\n";
    refuse(with(fx_write("nul", nul, sizeof nul - 1)), DAL_E_FORMAT, "path", ":2:3: found a NUL byte, expected text");
    options o = with(fx_text("h", "x,c\n"));
    o.header = HEADER_YES;
    refuse(o, DAL_E_FORMAT, "path", ": found no rows of values");
}

Test(csv_dataset, refuses_options_that_do_not_fit_the_file)
{
    const char *path = fx_text("a", "x,y,y,c\n1,2,3,a\n");
    static const char *const c[] = {"c"}, *const nine[] = {"9"};
    options o = with(path);
    o.label = "klass";
    refuse(o, DAL_E_INVALID, "label", "no column 'klass' in ");
    refuse(o, DAL_E_INVALID, "label", "; it has x, y, y, c");
    o.label = "y";
    refuse(o, DAL_E_INVALID, "label", "columns 1 and 2 are both named 'y'; give a number");
    o.label = "c";
    o.drop = (dal_str_list){c, 1};
    refuse(o, DAL_E_INVALID, "drop", "column 'c' is the label");
    o.drop = (dal_str_list){nine, 1};
    refuse(o, DAL_E_INVALID, "drop", "no column '9'");
    o = with(path);
    o.delimiter = "::";
    refuse(o, DAL_E_INVALID, "delimiter", "found '::', expected auto, comma");
    o = with(path);
    o.test_path = fx_text("b", "x,z,y,c\n1,2,3,a\n");
    refuse(o, DAL_E_FORMAT, "test_path", ":1:3: found column 'z', expected 'y' as in ");
    o.test_fraction = 0.5;
    refuse(o, DAL_E_INVALID, "test_fraction", "there is a test_path already; give one of the two");
    o = with(path);
    o.test_path = fx_text("c", "1,2,a\n");
    refuse(o, DAL_E_FORMAT, "test_path", ":1:1: found 3 columns, expected 4 as in ");
    o = with(path);
    o.test_fraction = 0.1;
    refuse(o, DAL_E_INVALID, "test_fraction", "0.1 of each class of 1 rows is no test row");
    o = with(fx_text("d", "1,2\n3,4\n"));
    o.label = "c";
    refuse(o, DAL_E_INVALID, "label", "has no header, expected a number -2..1");
    o = with(fx_text("e", "?,1,a\n?,2,b\n"));
    o.missing = TABLE_MEAN;
    refuse(o, DAL_E_INVALID, "missing", "column 0 has no value in the pool to take the mean of");
    refuse(with("/nowhere"), DAL_E_NOT_FOUND, "path", "/nowhere: cannot open");
}

Test(csv_dataset, survives_every_failed_allocation)
{
    options o = with(fx_text("a", "x,y,t,c\n1,2,u,a\n3,,v,b\n4,5,u,a\n6,7,v,b\n"));
    o.missing = TABLE_MEDIAN;
    o.words = TABLE_ONE_HOT;
    o.indicator = 1;
    o.test_fraction = 0.5;
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = csv_impl.create(dal_runtime_host(rt, "csv"), &o, NULL, &self, &err);
        csv_impl.destroy(self);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 8);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}

/* Rows, columns and classes as the data's own README and manifest state them. */
Test(csv_dataset, reads_the_real_tables)
{
    static const char *const vowel[] = {"Train or Test", "Speaker Number", "Sex"};
    static const struct {
        const char *file, *label;
        int64_t n, d, c;
        dal_str_list drop;
    } tables[] = {
        {"banknote_authentication.csv", "-1", 1372, 4, 2, {0}}, {"diabetes.csv", "class", 768, 8, 2, {0}},
        {"breast-w.csv", "-1", 699, 9, 2, {0}},                 {"heart-statlog.csv", "-1", 270, 13, 2, {0}},
        {"ionosphere.csv", "class", 351, 34, 2, {0}},           {"iris.csv", "class", 150, 4, 3, {0}},
        {"letter-recognition.data.gz", "0", 20000, 16, 26, {0}}, {"mammography.csv.gz", "-1", 11183, 6, 2, {0}},
        {"optdigits.tra.gz", "64", 3823, 64, 10, {0}},          {"optdigits.tes.gz", "-1", 1797, 64, 10, {0}},
        {"pendigits.csv.gz", "class", 10992, 16, 10, {0}},      {"phoneme.csv", "-1", 5404, 5, 2, {0}},
        {"segment.csv.gz", "class", 2310, 19, 7, {0}},          {"sonar.csv", "-1", 208, 60, 2, {0}},
        {"spambase.csv.gz", "class", 4601, 57, 2, {0}},         {"vehicle.csv", "-1", 846, 18, 4, {0}},
        {"vowel.csv", "Class", 990, 10, 11, {vowel, 3}},        {"waveform5000.csv.gz", "class", 5000, 40, 3, {0}},
        {"wine.csv", "-1", 178, 13, 3, {0}},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        char name[128];
        snprintf(name, sizeof name, "tabular/%s", tables[i].file);
        const char *path = fx_data(name);
        if (!path)
            return;
        options o = with(path);
        o.label = tables[i].label;
        o.drop = tables[i].drop;
        o.missing = TABLE_MEAN;
        dal_runtime *rt = fx_runtime(1, 0);
        fx_dataset d = open_csv(rt, &o);
        cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], tables[i].n, "%s: %lld rows", name, (long long)d.info.n[0]);
        cr_assert_eq(d.info.spec.shape[0], tables[i].d, "%s", name);
        cr_assert_eq(d.info.spec.n_classes, tables[i].c, "%s", name);
        close_csv(rt, &d);
    }
}

/* Tables of words and numbers; columns as the data's own README states them, one-hot by its own counts of texts. */
Test(csv_dataset, reads_the_real_tables_of_words)
{
    static const struct {
        const char *file;
        int64_t n, d, c;
    } tables[] = {
        {"tabular/german-credit-g.csv", 1000, 61, 2},
        {"tabular/splice.csv.gz", 3190, 287, 3},
        {"tabular/vowel.csv", 990, 29, 11},
    };
    static const char *const instance[] = {"Instance_name"};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const char *path = fx_data(tables[i].file);
        if (!path)
            return;
        options o = with(path);
        o.words = TABLE_ONE_HOT;
        o.header = HEADER_YES;
        o.drop = (dal_str_list){instance, i == 1};
        dal_runtime *rt = fx_runtime(1, 0);
        fx_dataset d = open_csv(rt, &o);
        cr_assert_eq(d.info.n[DAL_SPLIT_TRAIN], tables[i].n, "%s: %lld rows", tables[i].file, (long long)d.info.n[0]);
        cr_assert_eq(d.info.spec.shape[0], tables[i].d, "%s: %lld values", tables[i].file,
                     (long long)d.info.spec.shape[0]);
        cr_assert_eq(d.info.spec.n_classes, tables[i].c, "%s", tables[i].file);
        close_csv(rt, &d);
    }
}

Test(csv_dataset, tells_sources_from_a_column)
{
    options o = with(fx_text("g", "x,site,y,kind\n1,south,2,cat\n3,north,4,dog\n5,?,6,cat\n7,south,8,dog\n"));
    static const int groups[] = {1, 0, DAL_GROUP_NONE, 1};
    o.group = "site";
    cr_assert_str_eq(pool(o), "cat:1,2 dog:3,4 cat:5,6 dog:7,8");
    o.test_path = fx_text("h", "x,site,y,kind\n1,west,2,cat\n3,east,4,dog\n");
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_csv(rt, &o);
    const dal_dataset_groups *t = dal_groups_of(&(dal_dataset){d.impl, d.self});
    cr_assert(t && t->count(d.self) == 4, "of both files");
    cr_assert_str_eq(t->name(d.self, 0), "east", "in byte order");
    cr_assert_str_eq(t->name(d.self, 2), "south");
    for (int64_t i = 0; i < 4; i++) {
        const int32_t g = fx_group(&d, DAL_SPLIT_TRAIN, i);
        cr_assert_eq(g, groups[i] < 0 ? DAL_GROUP_NONE : groups[i] ? 2 : 1, "row %d", (int)i);
    }
    cr_assert_eq(fx_group(&d, DAL_SPLIT_TEST, 0), 3);
    int64_t beyond = 2;
    int32_t g;
    dal_error err = DAL_ERROR_INIT;
    fx_expect(&err, t->groups(d.self, DAL_SPLIT_TEST, &beyond, 1, &g, &err), DAL_E_INVALID, "", "this split has 0..1");
    close_csv(rt, &d);
    rt = fx_runtime(1, 0);
    o.group = "";
    static const char *const site[] = {"site"};
    o.drop = (dal_str_list){site, 1};
    d = open_csv(rt, &o);
    cr_assert_null(dal_groups_of(&(dal_dataset){d.impl, d.self}));
    close_csv(rt, &d);
    o.group = "site";
    refuse(o, DAL_E_INVALID, "drop", "column 'site' is the source");
    o.drop.n = 0;
    o.group = "kind";
    refuse(o, DAL_E_INVALID, "group", "column 'kind' is the label");
    o.group = "ward";
    refuse(o, DAL_E_INVALID, "group", "no column 'ward'");
}
