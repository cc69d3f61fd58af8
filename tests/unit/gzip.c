/* dal/file.h: gzip content by libdeflate, where there is one, and by zlib alone: the same bytes, the same
 * complaints. */
#define ZLIB_CONST
#include "tests/unit/fixture.h"

#include <dal/file.h>

/* The same header and file.c, without libdeflate, under other names. */
#undef DAL_FILE_H
#undef DAL_HAVE_DEFLATE
#define dal_file_open zlib_file_open
#define dal_file_open_member zlib_file_open_member
#define dal_file_close zlib_file_close
#define dal_file_path zlib_file_path
#define dal_file_is_gzip zlib_file_is_gzip
#define dal_file_head zlib_file_head
#define dal_file_load zlib_file_load
#define dal_file_data zlib_file_data
#include <dal/file.h>
#include "sdk/lib/file.c"
#undef dal_file_open
#undef dal_file_close
#undef dal_file_load
#undef dal_file_data

enum { MOST = 3 << 20 };

/* Compressed bytes that are put together, and what they hold. */
static unsigned char content[MOST], packed[MOST];
static size_t n_packed;

/* Letters of which some come again and again, and noise. */
static void fill(size_t n, uint64_t seed)
{
    dal_rng r = dal_rng_from_key(seed);
    for (size_t i = 0; i < n; i++)
        content[i] = (unsigned char)(i / 512 % 2 ? dal_rng_u32(&r) & 255 : 'a' + dal_rng_u32(&r) % 3);
}

/* One member of content[n], behind what is there. */
static void add_member(size_t n, int level, gz_header *header)
{
    z_stream z = {.next_in = content, .avail_in = (uInt)n, .next_out = packed + n_packed,
                  .avail_out = (uInt)(MOST - n_packed)};
    cr_assert_eq(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    if (header)
        cr_assert_eq(deflateSetHeader(&z, header), Z_OK);
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    n_packed += z.total_out;
    deflateEnd(&z);
}

/* One load; the caller frees what it gives. */
typedef struct outcome {
    dal_status st;
    int64_t size;
    unsigned char *data;
    dal_error err;
} outcome;

#define LOAD(host, path, limit, exact, out, open_, load_, data_, close_)                                        \
    do {                                                                                                          \
        dal_file *f = NULL;                                                                                       \
        (out).st = open_(host, path, "key", &f, &(out).err);                                                      \
        if ((out).st == DAL_OK)                                                                                   \
            (out).st = load_(f, limit, exact, &(out).err);                                                        \
        if ((out).st == DAL_OK) {                                                                                 \
            const unsigned char *from = data_(f, &(out).size);                                                    \
            (out).data = malloc((size_t)(out).size + 1);                                                          \
            memcpy((out).data, from, (size_t)(out).size);                                                         \
        }                                                                                                         \
        close_(f);                                                                                                \
    } while (0)

/* packed[n] as a file gives the same by either; tells how it ended. */
static dal_status both(size_t n, int64_t limit, int exact)
{
    const char *path = fx_write("both.gz", packed, n);
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *host = dal_runtime_host(rt, "file");
    outcome a = {.err = DAL_ERROR_INIT}, b = {.err = DAL_ERROR_INIT};
    LOAD(host, path, limit, exact, a, dal_file_open, dal_file_load, dal_file_data, dal_file_close);
    LOAD(host, path, limit, exact, b, zlib_file_open, zlib_file_load, zlib_file_data, zlib_file_close);
    cr_assert_eq(a.st, b.st, "%d (%s) and %d (%s)", a.st, a.err.text, b.st, b.err.text);
    cr_assert_eq(a.size, b.size);
    cr_assert(a.size == 0 || memcmp(a.data, b.data, (size_t)a.size) == 0);
    cr_assert_str_eq(a.err.text, b.err.text);
    cr_assert_str_eq(a.err.key, b.err.key);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    free(a.data);
    free(b.data);
    dal_runtime_free(rt);
    return a.st;
}

Test(gzip, is_the_same_by_either_library)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 100000, (1 << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int level = 0; level <= 9; level += 3) {
            fill(sizes[i], i);
            n_packed = 0;
            add_member(sizes[i], level, NULL);
            cr_assert_eq(both(n_packed, MOST, 0), DAL_OK);
            cr_assert_eq(both(n_packed, (int64_t)sizes[i], 1), DAL_OK);
            cr_assert_eq(both(n_packed, (int64_t)sizes[i] / 2, 0), sizes[i] ? DAL_E_OVERFLOW : DAL_OK);
        }
}

Test(gzip, of_several_members_and_with_all_that_a_header_may_have)
{
    static Bytef extra[] = "extra", name[] = "a name", comment[] = "words";
    gz_header full = {.extra = extra, .extra_len = 5, .name = name, .comment = comment, .hcrc = 1},
        named = {.name = name};
    n_packed = 0;
    fill(5000, 1);
    add_member(5000, 6, &named);
    const size_t first = n_packed;
    add_member(0, 6, NULL);
    add_member(700, 1, &full);
    cr_assert_eq(both(first, MOST, 0), DAL_OK);
    cr_assert_eq(both(n_packed, MOST, 0), DAL_OK);
    memset(packed + n_packed, 0, 512);
    cr_assert_eq(both(n_packed + 512, MOST, 0), DAL_OK, "padded");
    packed[n_packed + 100] = 7;
    cr_assert_eq(both(n_packed + 512, MOST, 0), DAL_E_FORMAT, "bytes behind it");
    n_packed = 0;
    add_member(700, 6, &full);
    for (size_t at = 10; at < 40; at++) { /* the header's own checksum counts */
        packed[at] ^= 1;
        cr_assert_eq(both(n_packed, MOST, 0), DAL_E_FORMAT);
        packed[at] ^= 1;
    }
}

Test(gzip, that_is_cut_or_changed_is_refused_in_the_same_words)
{
    n_packed = 0;
    fill(300, 2);
    add_member(300, 9, NULL);
    int refused = 0;
    for (size_t n = 2; n < n_packed; n++)
        cr_assert_eq(both(n, MOST, 0), DAL_E_FORMAT, "cut after %zu bytes", n);
    for (size_t bit = 16; bit < 8 * n_packed; bit++) {
        packed[bit / 8] ^= (unsigned char)(1 << bit % 8);
        refused += both(n_packed, 1000, 0) != DAL_OK;
        packed[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    cr_assert_gt(refused, (int)(7 * n_packed), "most bits count");
}
