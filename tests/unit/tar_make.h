/* .tar files written by hand, so that tests can break every part of them. */
#ifndef TESTS_TAR_MAKE_H
#define TESTS_TAR_MAKE_H

#include "tests/unit/fixture.h"

typedef struct tar_maker {
    unsigned char data[1 << 20];
    size_t n;
} tar_maker;

/* A header of a type: '0' file, '1' hard link, '2' symbolic link, '5' folder. */
static inline void tm_header(tar_maker *t, const char *name, char type, const char *link, uint64_t size)
{
    char *h = (char *)t->data + t->n;
    unsigned sum = 0;
    memset(h, 0, 512);
    strncpy(h, name, 100);
    memcpy(h + 100, "0000644", 8);
    memcpy(h + 108, "0000000", 8);
    memcpy(h + 116, "0000000", 8);
    char octal[32];
    snprintf(octal, sizeof octal, "%011llo", (unsigned long long)size);
    memcpy(h + 124, octal, 11);
    memcpy(h + 136, "00000000000", 12);
    memset(h + 148, ' ', 8);
    h[156] = type;
    strncpy(h + 157, link, 100);
    memcpy(h + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    t->n += 512;
}

static inline void tm_add(tar_maker *t, const char *name, const void *data, size_t n)
{
    cr_assert_lt(t->n + n + 2048, sizeof t->data);
    tm_header(t, name, '0', "", n);
    memcpy(t->data + t->n, data, n);
    memset(t->data + t->n + n, 0, 512);
    t->n += (n + 511) / 512 * 512;
}

/* The two empty blocks at the end. */
static inline void tm_end(tar_maker *t)
{
    memset(t->data + t->n, 0, 1024);
    t->n += 1024;
}

#endif
