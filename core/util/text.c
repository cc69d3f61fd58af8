#include "util/text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* Not exit: this may be within a call of a plugin, which would be blamed for it. */
void out_of_memory(void)
{
    fputs("dalhost: out of memory\n", stderr);
    fflush(stdout);
    _exit(70);
}

static void *must(void *p)
{
    if (!p)
        out_of_memory();
    return p;
}

void *xcalloc(size_t n, size_t size)
{
    return must(calloc(n ? n : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t bytes)
{
    return must(realloc(p, bytes ? bytes : 1));
}

char *xstrndup(const char *s, size_t n)
{
    char *copy = xcalloc(1, n + 1);
    memcpy(copy, s, n);
    return copy;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}

void text_free(text *t)
{
    free(t->s);
    *t = (text){0};
}

static void reserve(text *t, size_t more)
{
    if (t->n + more + 1 > t->room) {
        t->room = 2 * t->room + more + 64;
        t->s = xrealloc(t->s, t->room);
    }
}

void text_add(text *t, const char *s)
{
    const size_t n = strlen(s);
    reserve(t, n);
    memcpy(t->s + t->n, s, n + 1);
    t->n += n;
}

DAL_PRINTF(2, 0)
static void add_formatted(text *t, const char *fmt, va_list ap)
{
    va_list copy;
    va_copy(copy, ap);
    const int n = vsnprintf(NULL, 0, fmt, copy);
    va_end(copy);
    reserve(t, (size_t)n);
    vsnprintf(t->s + t->n, (size_t)n + 1, fmt, ap);
    t->n += (size_t)n;
}

void text_addf(text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_formatted(t, fmt, ap);
    va_end(ap);
}

char *text_take(text *t)
{
    char *s = t->s ? t->s : xstrdup("");
    *t = (text){0};
    return s;
}

char *xasprintf(const char *fmt, ...)
{
    text t = {0};
    va_list ap;
    va_start(ap, fmt);
    add_formatted(&t, fmt, ap);
    va_end(ap);
    return text_take(&t);
}

static int folded(char c)
{
    return c == '_' ? '-' : tolower((unsigned char)c);
}

bool word_among(const char *choices, const char *word, size_t n)
{
    for (const char *p = choices; *p;) {
        const size_t length = strcspn(p, "|");
        if (length == n && strncmp(p, word, n) == 0)
            return true;
        p += length + (p[length] == '|');
    }
    return false;
}

int edit_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    const int n = (int)strnlen(a, MAX), m = (int)strnlen(b, MAX);
    int d[MAX + 1][MAX + 1];
    for (int i = 0; i <= n; i++)
        d[i][0] = i;
    for (int j = 0; j <= m; j++)
        d[0][j] = j;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= m; j++) {
            const int same = folded(a[i - 1]) == folded(b[j - 1]);
            int best = d[i - 1][j - 1] + !same;
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
                folded(a[i - 2]) == folded(b[j - 1]) && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *nearest(const char *s, const char *const *names, int n)
{
    const int length = (int)strlen(s);
    int best = length < 4 ? 1 : 1 + length / 3; /* at most this many slips */
    const char *found = NULL;
    for (int i = 0; i < n; i++) {
        const int distance = edit_distance(s, names[i]);
        if (distance < best || (distance == best && !found)) {
            best = distance;
            found = names[i];
        }
    }
    return found;
}

bool utf8_valid(const char *s, size_t n, size_t *bad_at)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < n;) {
        const size_t more = p[i] < 0x80 ? 0 : p[i] >= 0xc2 && p[i] < 0xe0 ? 1
                            : p[i] >= 0xe0 && p[i] < 0xf0 ? 2 : p[i] >= 0xf0 && p[i] < 0xf5 ? 3 : 9;
        bool good = more != 9 && i + more < n;
        for (size_t k = 1; good && k <= more; k++)
            good = (p[i + k] & 0xc0) == 0x80;
        if (good && more == 2) /* overlong forms, surrogates */
            good = !(p[i] == 0xe0 && p[i + 1] < 0xa0) && !(p[i] == 0xed && p[i + 1] >= 0xa0);
        if (good && more == 3) /* overlong forms, beyond U+10FFFF */
            good = !(p[i] == 0xf0 && p[i + 1] < 0x90) && !(p[i] == 0xf4 && p[i + 1] >= 0x90);
        if (!good) {
            if (bad_at)
                *bad_at = i;
            return false;
        }
        i += 1 + more;
    }
    return true;
}

const char *human_bytes(double bytes, char out[32])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int u = 0;
    while (bytes >= 1024 && u < 5) {
        bytes /= 1024;
        u++;
    }
    snprintf(out, 32, u == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, unit[u]);
    return out;
}

const char *human_flops(double flops, char out[32])
{
    static const char *const unit[] = {"", "k", "M", "G", "T", "P", "E"};
    int u = 0;
    while (flops >= 999.5 && u < 6) {
        flops /= 1000;
        u++;
    }
    snprintf(out, 32, "%.3g %sflop", flops, unit[u]);
    return out;
}

const char *human_time(double seconds, char out[32])
{
    if (!(fabs(seconds) < 1e9)) /* also what a damaged store says */
        snprintf(out, 32, "-");
    else if (seconds < 0.001)
        snprintf(out, 32, "%.0f us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(out, 32, "%.3g ms", seconds * 1e3);
    else if (seconds < 100)
        snprintf(out, 32, "%.3g s", seconds);
    else
        snprintf(out, 32, "%d:%02d:%02d", (int)(seconds / 3600), (int)(seconds / 60) % 60,
                 (int)seconds % 60);
    return out;
}

const char *human_count(int64_t n, char out[32])
{
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%lld", (long long)n);
    int k = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
            out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = '\0';
    return out;
}
