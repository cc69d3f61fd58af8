/* util/text.h: small text helpers of the host. */
#ifndef DALHOST_UTIL_TEXT_H
#define DALHOST_UTIL_TEXT_H

#include <dal/base.h>
#include <stdbool.h>
#include <stdnoreturn.h>

/* A growing string. Zero-initialise; text_free when done. After a failed allocation the program ends
 * with "out of memory": texts are small. */
typedef struct text {
    char *s;
    size_t n, room;
} text;

void text_free(text *t);
void text_add(text *t, const char *s);
void text_addf(text *t, const char *fmt, ...) DAL_PRINTF(2, 3);
char *text_take(text *t); /* never NULL; the caller frees it */

/* malloc family that never returns NULL (prints "out of memory", exits 70). */
noreturn void out_of_memory(void);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t bytes);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) DAL_PRINTF(1, 2);

/* Damerau-Levenshtein distance, '-' and '_' and letter case alike. */
int edit_distance(const char *a, const char *b);
/* The nearest of names[n] to s if it is near enough to be a typo, else NULL. */
const char *nearest(const char *s, const char *const *names, int n);

/* Is this word of n bytes one of those of "a|b|c"? */
bool word_among(const char *choices, const char *word, size_t n);

bool utf8_valid(const char *s, size_t n, size_t *bad_at);
/* "1.5 GiB", "312 ms", "3.2 s", "60,000" into out. */
const char *human_bytes(double bytes, char out[32]);
/* "30 Mflop" */
const char *human_flops(double flops, char out[32]);
const char *human_time(double seconds, char out[32]);
const char *human_count(int64_t n, char out[32]);

#endif
