/* dal/text.h: (libdal) bytes as text: is it UTF-8, what is it in UTF-8, which are its lines and its words.
 */
#ifndef DAL_TEXT_H
#define DAL_TEXT_H

#include <dal/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Encodings, in the order of the choice that loaders offer. */
#define DAL_ENCODINGS "utf-8|latin-1|mixed"
#define DAL_UTF8 0u
#define DAL_LATIN1 1u /* ISO 8859-1: every byte is the code point of its number */
#define DAL_MIXED 2u  /* what is UTF-8 stays, any other text is taken as Latin-1 */

/* [any] The offset of the first byte of data[n] that is not part of UTF-8 text, or -1. A NUL is no text; nor are
 * overlong forms, surrogates and what lies above U+10FFFF. */
DAL_PUBLIC int64_t dal_utf8_fault(const void *data, int64_t n);
/* [any] data[n] as UTF-8 into out, which has room for what this returns: its length, at most 2 n. out NULL: only
 * the length. Text that should be UTF-8 is taken as it is. */
DAL_PUBLIC int64_t dal_to_utf8(uint32_t encoding, const void *data, int64_t n, char *out);
/* [any] The code point at p, before end, and its bytes. p must be the beginning of valid UTF-8. */
static inline uint32_t dal_utf8_next(const unsigned char *p, const unsigned char *end, int *bytes)
{
    const int n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    uint32_t c = n == 1 ? *p : *p & (0x7fu >> n);
    *bytes = n <= end - p ? n : 1;
    for (int i = 1; i < *bytes; i++)
        c = c << 6 | (p[i] & 0x3fu);
    return c;
}
/* [any] The bytes of code point c into out; their number. */
DAL_PUBLIC int dal_utf8_put(uint32_t c, char out[4]);
/* [any] The small letter of a capital one (Latin, Greek, Cyrillic, Armenian: those that map to one code point), any
 * other code point as it is. */
DAL_PUBLIC uint32_t dal_lower(uint32_t c);
/* [any] Is c part of a word: a letter, digit, mark or underscore? Above ASCII all is that is not known as a space,
 * sign or punctuation. */
DAL_PUBLIC int dal_is_word(uint32_t c);

/* [any] The next word of text[n] (valid UTF-8) at *at or behind it: its first byte, its size and its characters; *at
 * moves behind it. NULL: there is none. */
DAL_PUBLIC const char *dal_next_word(const char *text, int64_t n, int64_t *at, int64_t *bytes, int64_t *characters);
/* [any] MurmurHash3 (x86, 32 bits) of data[n]. */
DAL_PUBLIC uint32_t dal_murmur3(uint32_t seed, const void *data, int64_t n);

/* Lines of text in memory. A value: copy it to come back to a place. */
typedef struct dal_lines {
    const char *path; /* in messages */
    const char *key;  /* of errors: the parameter the text comes from */
    const char *data;
    int64_t size, at;
    int64_t line; /* of `at`, from 1 */
} dal_lines;

#define DAL_LINE_MOST ((int64_t)1 << 26) /* bytes of a line; a longer one is an error */

/* A reader at the first line of data[size], after a byte order mark if there is one. */
DAL_PUBLIC dal_lines dal_lines_open(const char *path, const char *key, const void *data, int64_t size);
/* [any] The next line, without its LF or CRLF, or *n = -1 at the end. DAL_E_FORMAT names path:line:column. */
DAL_PUBLIC dal_status dal_lines_next(dal_lines *l, const char **text, int64_t *n, dal_error *err);

#ifdef __cplusplus
}
#endif
#endif
