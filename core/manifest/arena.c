#include "manifest/arena.h"

#include <stdlib.h>

#include "util/text.h"

#define CHUNK 16384u
#define ALIGN 16u

typedef struct chunk {
    struct chunk *next;
    size_t used, size;
} chunk; /* its bytes follow, at HEAD */

#define HEAD ((sizeof(chunk) + ALIGN - 1) / ALIGN * ALIGN)

struct arena {
    chunk *last;
};

arena *arena_new(void)
{
    return xcalloc(1, sizeof(arena));
}

void arena_free(arena *a)
{
    if (!a)
        return;
    for (chunk *c = a->last, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(a);
}

void *arena_alloc(arena *a, size_t n, size_t size)
{
    int64_t product;
    if (!dal_size_mul((int64_t)n, (int64_t)size, &product) || product > INT64_MAX / 2)
        product = INT64_MAX / 2; /* cannot be had: xcalloc says so and ends the program */
    const size_t bytes = ((size_t)product + ALIGN - 1) / ALIGN * ALIGN;
    if (!a->last || a->last->size - a->last->used < bytes) {
        const size_t room = bytes > CHUNK ? bytes : CHUNK;
        chunk *c = xcalloc(1, HEAD + room);
        *c = (chunk){a->last, 0, room};
        a->last = c;
    }
    void *p = (char *)a->last + HEAD + a->last->used;
    a->last->used += bytes;
    return p;
}

char *arena_strn(arena *a, const char *s, size_t n)
{
    char *copy = arena_alloc(a, n + 1, 1);
    memcpy(copy, s, n);
    return copy;
}

char *arena_vprintf(arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *s = arena_alloc(a, (size_t)(n > 0 ? n : 0) + 1, 1);
    vsnprintf(s, (size_t)(n > 0 ? n : 0) + 1, fmt, ap);
    return s;
}

char *arena_printf(arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = arena_vprintf(a, fmt, ap);
    va_end(ap);
    return s;
}

const char *shown(arena *a, const char *s, size_t most)
{
    static const char hex[] = "0123456789abcdef";
    const size_t n = strlen(s);
    size_t cut = n > most ? most : n;
    while (cut < n && cut > 0 && ((unsigned char)s[cut] & 0xc0) == 0x80)
        cut--; /* not in the middle of a character */
    char *out = arena_alloc(a, 4 * cut + 4, 1), *w = out;
    for (size_t i = 0; i < cut; i++) {
        const unsigned char c = (unsigned char)s[i];
        /* C1 controls are two bytes in UTF-8 and steer terminals as well */
        const int c1 = c == 0xc2 && i + 1 < n && (unsigned char)s[i + 1] < 0xa0;
        if (c >= 0x20 && c != 0x7f && !c1) {
            *w++ = s[i];
            continue;
        }
        const unsigned char code = c1 ? (unsigned char)s[++i] : c;
        *w++ = '\\';
        *w++ = 'x';
        *w++ = hex[code >> 4];
        *w++ = hex[code & 15];
    }
    if (cut < n)
        memcpy(w, "...", 3);
    return out;
}
