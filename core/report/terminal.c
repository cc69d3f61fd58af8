#include "report/terminal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/text.h"

static bool says_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *v = getenv(names[i]);
        if (v && *v)
            return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
    }
    return false;
}

terminal terminal_of(FILE *out)
{
    terminal t = {0, says_utf8()};
    struct winsize w;
    const char *columns = getenv("COLUMNS");
    if (columns && atoi(columns) >= 20)
        t.columns = atoi(columns);
    else if (ioctl(fileno(out), TIOCGWINSZ, &w) == 0 && w.ws_col >= 20)
        t.columns = w.ws_col;
    return t;
}

/* One character; 0xfffd and one byte where the text is broken. */
static uint32_t decode(const char *s, int *bytes)
{
    static const uint32_t mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const unsigned char *p = (const unsigned char *)s;
    const int n = *p < 0x80                 ? 1
                  : *p >= 0xc2 && *p < 0xe0 ? 2
                  : (*p & 0xf0) == 0xe0     ? 3
                  : *p < 0xf5               ? 4
                                            : 1;
    if (strnlen(s, (size_t)n) < (size_t)n || !utf8_valid(s, (size_t)n, NULL)) {
        *bytes = 1;
        return 0xfffd;
    }
    uint32_t c = *p & mask[n];
    for (int i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3f);
    *bytes = n;
    return c;
}

static bool in_ranges(uint32_t c, const uint32_t (*r)[2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c >= r[i][0] && c <= r[i][1])
            return true;
    return false;
}

static int columns_of(uint32_t c)
{
    static const uint32_t none[][2] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},
                                       {0x610, 0x61a},   {0x64b, 0x65f},   {0x1ab0, 0x1aff},
                                       {0x1dc0, 0x1dff}, {0x200b, 0x200d}, {0x20d0, 0x20ff},
                                       {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}};
    static const uint32_t wide[][2] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},
                                       {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
                                       {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
                                       {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd}};
    if (c < 0x300)
        return 1;
    if (in_ranges(c, none, sizeof none / sizeof *none))
        return 0;
    return in_ranges(c, wide, sizeof wide / sizeof *wide) ? 2 : 1;
}

/* What may move the cursor, hide text or turn its direction. */
static bool unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfffd;
}

int text_columns(const char *s)
{
    int columns = 0, bytes;
    for (; *s; s += bytes)
        columns += columns_of(decode(s, &bytes));
    return columns;
}

char *text_shown(const char *s, int max, bool utf8)
{
    const char *more = utf8 ? "…" : "..";
    int room = max > 0 ? max : INT32_MAX, bytes;
    const bool cut = text_columns(s) > room;
    if (cut && room > 2)
        room -= utf8 ? 1 : 2;
    else if (cut)
        more = "";
    text t = {0};
    for (; *s; s += bytes) {
        const uint32_t c = decode(s, &bytes);
        const bool plain = !unsafe(c) && (c < 0x80 || utf8);
        const int width = plain ? columns_of(c) : 1;
        if (width > room)
            break;
        room -= width;
        if (plain)
            text_addf(&t, "%.*s", bytes, s);
        else
            text_add(&t, "?");
    }
    if (cut)
        text_add(&t, more);
    return text_take(&t);
}
