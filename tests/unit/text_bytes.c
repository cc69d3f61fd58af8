#include "tests/unit/fixture.h"

#include <dal/csv.h>
#include <dal/text.h>

/* The definition, by the code point: slow and beyond doubt. */
static int64_t fault_twin(const unsigned char *p, int64_t n)
{
    for (int64_t i = 0; i < n;) {
        const int len = p[i] < 0x80 ? 1 : p[i] >> 5 == 6 ? 2 : p[i] >> 4 == 14 ? 3 : p[i] >> 3 == 30 ? 4 : 0;
        static const uint32_t least[] = {0, 1, 0x80, 0x800, 0x10000};
        uint32_t c = len == 1 ? p[i] : len ? p[i] & (0x7fu >> len) : 0;
        if (len == 0 || i + len > n)
            return i;
        for (int j = 1; j < len; j++) {
            if (p[i + j] >> 6 != 2)
                return i;
            c = c << 6 | (p[i + j] & 0x3f);
        }
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
            return i;
        i += len;
    }
    return -1;
}

Test(utf8, finds_the_first_byte_that_is_none)
{
    unsigned char p[64];
    static const unsigned char likely[] = {0, 'a', 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
                                           0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff};
    dal_rng rng = dal_rng_from_key(7);
    for (int round = 0; round < 200000; round++) {
        const int64_t n = dal_rng_below(&rng, 40), prefix = dal_rng_below(&rng, 24);
        for (int64_t i = 0; i < prefix; i++)
            p[i] = 'x';
        for (int64_t i = prefix; i < prefix + n && i < 64; i++)
            p[i] = likely[dal_rng_below(&rng, sizeof likely)];
        const int64_t all = prefix + n < 64 ? prefix + n : 64;
        cr_assert_eq(dal_utf8_fault(p, all), fault_twin(p, all), "round %d", round);
    }
}

Test(utf8, takes_every_code_point_and_gives_it_back)
{
    char p[4];
    for (uint32_t c = 1; c <= 0x10ffff; c++) {
        int bytes;
        if (c == 0xd800)
            c = 0xe000;
        const int n = dal_utf8_put(c, p);
        cr_assert_eq(dal_utf8_fault(p, n), -1, "code point %x", c);
        cr_assert_eq(dal_utf8_next((unsigned char *)p, (unsigned char *)p + n, &bytes), c);
        cr_assert_eq(bytes, n);
    }
}

Test(utf8, comes_from_latin_1)
{
    char out[16];
    cr_assert_eq(dal_to_utf8(DAL_LATIN1, "caf\xe9", 4, NULL), 5);
    cr_assert_eq(dal_to_utf8(DAL_LATIN1, "caf\xe9", 4, out), 5);
    cr_assert_arr_eq(out, "caf\xc3\xa9", 5);
    cr_assert_eq(dal_to_utf8(DAL_MIXED, "caf\xc3\xa9", 5, out), 5, "what is UTF-8 stays");
    cr_assert_arr_eq(out, "caf\xc3\xa9", 5);
    cr_assert_eq(dal_to_utf8(DAL_MIXED, "caf\xe9", 4, out), 5);
    cr_assert_arr_eq(out, "caf\xc3\xa9", 5);
}

Test(letters, become_small)
{
    static const struct {
        uint32_t capital, small;
    } pairs[] = {{'A', 'a'}, {'Z', 'z'}, {'[', '['}, {0xc4, 0xe4}, {0xd7, 0xd7}, {0xdf, 0xdf}, {0x130, 'i'},
                 {0x141, 0x142}, {0x152, 0x153}, {0x160, 0x161}, {0x178, 0xff}, {0x179, 0x17a}, {0x391, 0x3b1},
                 {0x3a9, 0x3c9}, {0x386, 0x3ac}, {0x388, 0x3ad}, {0x38f, 0x3ce}, {0x401, 0x451}, {0x416, 0x436},
                 {0x531, 0x561}, {0x1e9e, 0x1e9e}, {0x1ea0, 0x1ea1}, {0xff21, 0xff41}, {0x4e2d, 0x4e2d}, {'a', 'a'}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        cr_assert_eq(dal_lower(pairs[i].capital), pairs[i].small, "%x gives %x", pairs[i].capital,
                     dal_lower(pairs[i].capital));
    for (uint32_t c = 0; c < 0x20000; c++)
        cr_assert_eq(dal_lower(dal_lower(c)), dal_lower(c), "%x", c);
}

Test(letters, are_told_from_signs)
{
    static const uint32_t yes[] = {'a', '7', '_', 0xe9, 0xdf, 0x416, 0x4e2d, 0x3042, 0xac00, 0x939};
    static const uint32_t no[] = {' ', '-', '\'', 0xa0, 0xbf, 0xd7, 0x2013, 0x201c, 0x20ac, 0x3002, 0xff0c, 0x1f600};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        cr_assert(dal_is_word(yes[i]), "%x", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        cr_assert_not(dal_is_word(no[i]), "%x", no[i]);
}

Test(lines, end_with_either_end_or_none)
{
    static const char data[] = "\xef\xbb\xbfone\r\n\ntwo\rtwo\nlast";
    static const char *const want[] = {"one", "", "two\rtwo", "last"};
    dal_lines l = dal_lines_open("f", "path", data, sizeof data - 1);
    const char *text;
    int64_t n;
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(dal_lines_next(&l, &text, &n, NULL), DAL_OK);
        cr_assert_eq(n, (int64_t)strlen(want[i]));
        cr_assert_arr_eq(text, want[i], (size_t)n);
    }
    cr_assert_eq(dal_lines_next(&l, &text, &n, NULL), DAL_OK);
    cr_assert_eq(n, -1);
}

Test(lines, refuse_what_is_no_text)
{
    dal_error err = DAL_ERROR_INIT;
    const char *text;
    int64_t n;
    dal_lines l = dal_lines_open("f", "path", "one\ntw\0o\n", 9);
    cr_assert_eq(dal_lines_next(&l, &text, &n, &err), DAL_OK);
    fx_expect(&err, dal_lines_next(&l, &text, &n, &err), DAL_E_FORMAT, "path", "f:2:3: found a NUL byte");
    char *big = malloc((size_t)DAL_LINE_MOST + 10);
    memset(big, 'x', (size_t)DAL_LINE_MOST + 10);
    l = dal_lines_open("f", "path", big, DAL_LINE_MOST + 10);
    fx_expect(&err, dal_lines_next(&l, &text, &n, &err), DAL_E_FORMAT, "path",
              "f:1:1: a line of more than 67108864 bytes");
    free(big);
}

/* ---- the CSV reader's fast scan against a slow twin --------------------------------------------- */

/* Records of RFC 4180 text, byte by byte: each field ended by 0x1f, each record by 0x1e; NULL: a fault. */
static char *csv_twin(const char *p, int64_t n, char *out)
{
    int64_t i = 0;
    char *to = out;
    for (;;) {
        while (i < n && (p[i] == ' ' || p[i] == '\t' || p[i] == '\n')) /* blank lines, blanks before a record */
            i++;
        if (i >= n)
            break;
        for (int more = 1; more;) {
            while (i < n && (p[i] == ' ' || p[i] == '\t'))
                i++;
            const int quoted = i < n && p[i] == '"';
            char *start = to;
            for (i += quoted; i < n && (quoted || (p[i] != ',' && p[i] != '\n')); i++) {
                if (p[i] == '\0')
                    return NULL;
                if (quoted && p[i] == '"' && (i + 1 == n || p[i + 1] != '"'))
                    break;
                i += quoted && p[i] == '"';
                *to++ = p[i];
            }
            if (quoted && i >= n)
                return NULL;
            for (i += quoted; quoted && i < n && (p[i] == ' ' || p[i] == '\t'); i++)
                ;
            if (quoted && i < n && p[i] != ',' && p[i] != '\n')
                return NULL;
            while (!quoted && to > start && (to[-1] == ' ' || to[-1] == '\t'))
                to--;
            *to++ = 0x1f;
            more = i < n && p[i] == ',';
            i++;
        }
        *to++ = 0x1e;
    }
    *to = '\0';
    return out;
}

Test(csv_reader, reads_like_its_slow_twin)
{
    static const char likely[] = {'"', '"', '"', ',', ',', '\n', ' ', 'a', 'b', '\t', '\0'};
    dal_rng rng = dal_rng_from_key(3);
    int64_t good = 0;
    for (int round = 0; round < 300000; round++) {
        char data[24], twin[128], got[256] = "", *to = got;
        const int64_t n = dal_rng_below(&rng, sizeof data);
        for (int64_t i = 0; i < n; i++)
            data[i] = likely[dal_rng_below(&rng, (int64_t)sizeof likely - (round % 8 != 0))];
        const char *want = csv_twin(data, n, twin);
        dal_csv r = dal_csv_open("f", "path", data, n, ',');
        dal_csv_field fields[32];
        int64_t m = 1;
        dal_status st = DAL_OK;
        while (st == DAL_OK && m > 0) {
            st = dal_csv_next(&r, fields, 32, &m, NULL);
            for (int64_t j = 0; st == DAL_OK && j < m; j++) {
                to += dal_csv_text(&fields[j], to, 64);
                *to++ = 0x1f;
            }
            if (st == DAL_OK && m > 0)
                *to++ = 0x1e;
        }
        *to = '\0';
        cr_assert_eq(st == DAL_OK, want != NULL, "round %d: '%.*s'", round, (int)n, data);
        if (want)
            cr_assert_str_eq(got, want, "round %d: '%.*s'", round, (int)n, data);
        good += want != NULL;
    }
    cr_assert_gt(good, 30000);
}
