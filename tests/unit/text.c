#include <criterion/criterion.h>

#include "util/diag.h"
#include "util/text.h"

Test(nearest, finds_a_typo_and_ignores_strangers)
{
    const char *const names[] = {"least-confidence", "margin", "entropy"};
    cr_assert_str_eq(nearest("margn", names, 3), "margin");
    cr_assert_str_eq(nearest("Least_Confidence", names, 3), "least-confidence");
    cr_assert_null(nearest("badge", names, 3));
}

Test(word_among, finds_whole_words_only)
{
    cr_assert(word_among("a|bc|d", "bc", 2) && word_among("a|bc|d", "d|", 1));
    cr_assert_not(word_among("a|bc|d", "b", 1) || word_among("a|bc|d", "bcd", 3) || word_among("", "a", 1));
    cr_assert_not(word_among("a|bc", "", 0));
}

Test(utf8, refuses_what_the_standard_refuses)
{
    size_t at = 99;
    cr_assert(utf8_valid("gr\xc3\xbc\xc3\x9f", 6, &at));
    cr_assert_not(utf8_valid("ab\xc0\xaf", 4, &at)); /* overlong */
    cr_assert_eq(at, 2);
    cr_assert_not(utf8_valid("\xed\xa0\x80", 3, &at)); /* surrogate */
    cr_assert_not(utf8_valid("\xe2\x82", 2, &at));     /* cut short */
}

Test(diags, come_out_in_file_order_and_once)
{
    diags *d = diags_new();
    diags_error(d, (place){"m.yaml", 9, 1}, "late");
    diags_error(d, (place){"m.yaml", 2, 3}, "early %d", 1);
    diags_error(d, (place){"m.yaml", 2, 3}, "early 1");
    cr_assert_eq(diags_errors(d), 2);
    cr_assert_str_eq(diags_text(d, 0), "m.yaml:2:3: early 1");
    cr_assert_str_eq(diags_text(d, 1), "m.yaml:9:1: late");
    diags_free(d);
}
