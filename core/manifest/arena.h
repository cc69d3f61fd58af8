/* manifest/arena.h: many small things with one life. Never returns NULL (see util/text.h). */
#ifndef DALHOST_MANIFEST_ARENA_H
#define DALHOST_MANIFEST_ARENA_H

#include <dal/base.h>

typedef struct arena arena;

arena *arena_new(void);
void arena_free(arena *a); /* accepts NULL */
void *arena_alloc(arena *a, size_t n, size_t size); /* zeroed, aligned for anything */
char *arena_strn(arena *a, const char *s, size_t n);
char *arena_printf(arena *a, const char *fmt, ...) DAL_PRINTF(2, 3);
char *arena_vprintf(arena *a, const char *fmt, va_list ap) DAL_PRINTF(2, 0);

/* User text fit for one line on a terminal: control characters escaped, cut at `most` bytes. */
const char *shown(arena *a, const char *s, size_t most);

#endif
