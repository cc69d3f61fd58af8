/* .zip files written by hand, so that tests can break every part of them. */
#ifndef TESTS_ZIP_MAKE_H
#define TESTS_ZIP_MAKE_H

#include "tests/unit/fixture.h"

typedef struct zip_maker {
    unsigned char data[65536], directory[8192];
    size_t n, n_directory, members;
} zip_maker;

static inline void zm_put(unsigned char *to, size_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[(*at)++] = (unsigned char)(value >> 8 * i);
}

/* Add a member, stored or deflated; its directory entry is at the end of z->directory. */
static inline void zm_add(zip_maker *z, const char *name, const void *data, size_t n, int deflated)
{
    static unsigned char packed[32768];
    const size_t length = strlen(name), header = z->n;
    size_t n_packed = n;
    if (deflated) {
        z_stream s = {0};
        cr_assert_eq(deflateInit2(&s, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
        s.next_in = (unsigned char *)(uintptr_t)data;
        s.avail_in = (unsigned)n;
        s.next_out = packed;
        s.avail_out = sizeof packed;
        cr_assert_eq(deflate(&s, Z_FINISH), Z_STREAM_END);
        n_packed = s.total_out;
        deflateEnd(&s);
    }
    const uint32_t crc = (uint32_t)crc32(0, data, (unsigned)n);
    zm_put(z->data, &z->n, 0x04034b50, 4);
    zm_put(z->data, &z->n, 20, 2);
    zm_put(z->data, &z->n, 0, 2);
    zm_put(z->data, &z->n, deflated ? 8 : 0, 2);
    zm_put(z->data, &z->n, 0, 4);
    zm_put(z->data, &z->n, crc, 4);
    zm_put(z->data, &z->n, n_packed, 4);
    zm_put(z->data, &z->n, n, 4);
    zm_put(z->data, &z->n, length, 2);
    zm_put(z->data, &z->n, 0, 2);
    memcpy(z->data + z->n, name, length);
    memcpy(z->data + z->n + length, deflated ? packed : data, n_packed);
    z->n += length + n_packed;
    zm_put(z->directory, &z->n_directory, 0x02014b50, 4);
    zm_put(z->directory, &z->n_directory, 20, 2);
    memcpy(z->directory + z->n_directory, z->data + header + 4, 26);
    z->n_directory += 26;
    zm_put(z->directory, &z->n_directory, 0, 2); /* extra was copied: comment, disk, attributes */
    zm_put(z->directory, &z->n_directory, 0, 2);
    zm_put(z->directory, &z->n_directory, 0, 2);
    zm_put(z->directory, &z->n_directory, 0, 4);
    zm_put(z->directory, &z->n_directory, header, 4);
    memcpy(z->directory + z->n_directory, name, length);
    z->n_directory += length;
    z->members++;
}

/* The file; where its directory begins stays in z->n. With zip64, the end record refers to a zip64 one. */
static inline const char *zm_write(zip_maker *z, const char *name, int zip64, const char *comment)
{
    static unsigned char out[sizeof z->data + sizeof z->directory + 1024];
    size_t n = z->n;
    memcpy(out, z->data, z->n);
    memcpy(out + n, z->directory, z->n_directory);
    n += z->n_directory;
    if (zip64) {
        const size_t record = n;
        zm_put(out, &n, 0x06064b50, 4);
        zm_put(out, &n, 44, 8);
        zm_put(out, &n, 45 | 45 << 16, 4);
        zm_put(out, &n, 0, 8);
        zm_put(out, &n, z->members, 8);
        zm_put(out, &n, z->members, 8);
        zm_put(out, &n, z->n_directory, 8);
        zm_put(out, &n, z->n, 8);
        zm_put(out, &n, 0x07064b50, 4);
        zm_put(out, &n, 0, 4);
        zm_put(out, &n, record, 8);
        zm_put(out, &n, 1, 4);
    }
    zm_put(out, &n, 0x06054b50, 4);
    zm_put(out, &n, 0, 4);
    zm_put(out, &n, zip64 ? 0xffff : z->members, 2);
    zm_put(out, &n, zip64 ? 0xffff : z->members, 2);
    zm_put(out, &n, zip64 ? 0xffffffff : z->n_directory, 4);
    zm_put(out, &n, zip64 ? 0xffffffff : z->n, 4);
    zm_put(out, &n, strlen(comment), 2);
    memcpy(out + n, comment, strlen(comment));
    return fx_write(name, out, n + strlen(comment));
}

#endif
