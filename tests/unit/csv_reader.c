#include "tests/unit/fixture.h"

#include <dal/csv.h>
#include <locale.h>

/* All records of a text as "field|field/field..." or "error: message". */
static const char *records(const char *text, char delimiter)
{
    static char out[2048];
    dal_csv_field f[8];
    dal_error err = DAL_ERROR_INIT;
    dal_csv r = dal_csv_open("t.csv", "", text, (int64_t)strlen(text), delimiter);
    out[0] = '\0';
    for (int64_t n = 1; n > 0;) {
        if (dal_csv_next(&r, f, 8, &n, &err) != DAL_OK) {
            snprintf(out, sizeof out, "error: %s", err.text);
            return out;
        }
        for (int64_t i = 0; i < n; i++) {
            char field[64];
            dal_csv_text(&f[i], field, sizeof field);
            strcat(strcat(out, i ? "|" : out[0] ? "/" : ""), field);
        }
    }
    return out;
}

Test(csv, splits_what_files_really_look_like)
{
    cr_assert_str_eq(records("a,b\nc,d\n", ','), "a|b/c|d");
    cr_assert_str_eq(records("a,b\r\n\r\n c , d \r\n", ','), "a|b/c|d");
    cr_assert_str_eq(records("\xef\xbb\xbf" "a;b", ';'), "a|b");
    cr_assert_str_eq(records(",\n,,\n", ','), "|/||");
    cr_assert_str_eq(records("a\t\tb\n", '\t'), "a||b");
    cr_assert_str_eq(records("  1  2\t3  \n4 5 6", DAL_CSV_BLANKS), "1|2|3/4|5|6");
    cr_assert_str_eq(records("\"a,\n\"\"b\"\"\" ,c\n", ','), "a,\n\"b\"|c");
    cr_assert_str_eq(records("", ','), "");
    cr_assert_str_eq(records("\n\n", ','), "");
    cr_assert_str_eq(records("a,\"b", ','), "error: t.csv:1:3: this quote is never closed");
    cr_assert_str_eq(records("a\nb,\"c\" d,", ','),
                     "error: t.csv:2:7: found text after the closing quote, expected a delimiter");
}

Test(csv, names_the_place_of_each_field)
{
    dal_csv_field f[3];
    int64_t n;
    dal_error err = DAL_ERROR_INIT;
    const char *text = "x\n\"a\nb\", c\nd\n";
    dal_csv r = dal_csv_open("t", "", text, (int64_t)strlen(text), ',');
    dal_csv_next(&r, f, 3, &n, &err);
    dal_csv_next(&r, f, 3, &n, &err);
    cr_assert(n == 2 && f[0].line == 2 && f[0].column == 1 && f[1].line == 3 && f[1].column == 5);
    dal_csv_next(&r, f, 3, &n, &err);
    cr_assert(n == 1 && f[0].line == 4);
}

Test(csv, counts_the_fields_that_do_not_fit)
{
    dal_csv_field f[1];
    int64_t n;
    dal_csv r = dal_csv_open("t", "", "a,b,c", 5, ',');
    cr_assert_eq(dal_csv_next(&r, f, 1, &n, NULL), DAL_OK);
    cr_assert_eq(n, 3);
}

Test(csv, guesses_the_delimiter_outside_quotes)
{
    cr_assert_eq(dal_csv_guess("a,b;c,d", 7), ',');
    cr_assert_eq(dal_csv_guess("\"a,b,c\";d", 9), ';');
    cr_assert_eq(dal_csv_guess("a\tb\nc,d,e", 9), '\t');
    cr_assert_eq(dal_csv_guess("1 2 3\n", 6), DAL_CSV_BLANKS);
}

Test(csv, reads_numbers_and_nothing_else_as_numbers)
{
    static const struct {
        const char *text;
        int ok;
        double value;
    } cases[] = {{"1", 1, 1},   {"-1.5e3", 1, -1500}, {"+.5", 1, .5},  {"1e400", 0, 0}, {"nan", 0, 0},
                 {"inf", 0, 0}, {"0x10", 0, 0},       {"1,5", 0, 0},   {"", 0, 0},      {"1 2", 0, 0},
                 {"-", 0, 0},   {"1e", 0, 0},         {"1e-400", 1, 0}};
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where there is such a locale it must not matter */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dal_csv_field f = {.text = cases[i].text, .size = (int64_t)strlen(cases[i].text)};
        double x = 0;
        cr_assert_eq(dal_csv_number(&f, &x), cases[i].ok, "'%s'", cases[i].text);
        if (cases[i].ok)
            cr_assert_float_eq(x, cases[i].value, 1e-12);
    }
    double x = 0;
    for (const char *const *p = (const char *const[]){"-1,5e3", "1500", "+,5", "1.5", "1,5,0", ",", NULL}; *p; p++) {
        const dal_csv_field f = {.text = *p, .size = (int64_t)strlen(*p)};
        const double want = **p == '-' ? -1500 : **p == '+' ? .5 : 1500;
        const int ok = strchr("-+", **p) || strcmp(*p, "1500") == 0;
        cr_assert_eq(dal_csv_decimal(&f, ',', &x), ok, "'%s'", *p);
        cr_assert(!ok || x == want, "'%s' is %g", *p, x);
    }
    const dal_csv_field big = {.text = "9223372036854775808", .size = 19};
    int64_t n;
    cr_assert_not(dal_csv_integer(&big, &n));
}
