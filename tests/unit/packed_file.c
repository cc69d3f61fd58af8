/* dal/file.h: what is unpacked by libarchive, and members of archives. */
#include "tests/unit/tar_make.h"

#include <dal/file.h>

/* Opens, loads, and tells how that ended; the content goes into out. */
static dal_status load(const dal_host *host, const char *path, const char *member, int64_t limit, int exact, char *out,
                       size_t size, dal_error *err)
{
    dal_file *f = NULL;
    int64_t n = 0;
    dal_status st = dal_file_open_member(host, path, member, limit, "key", &f, err);
    if (st == DAL_OK)
        st = dal_file_load(f, limit, exact, err);
    if (st == DAL_OK) {
        const unsigned char *data = dal_file_data(f, &n);
        snprintf(out, size, "%.*s", (int)n, (const char *)data);
        int64_t n_head;
        const unsigned char *head = dal_file_head(f, &n_head);
        cr_assert_eq(n_head, n < DAL_FILE_HEAD ? n : DAL_FILE_HEAD);
        cr_assert_eq(memcmp(head, data, (size_t)n_head), 0);
    }
    dal_file_close(f);
    return st;
}

static const char *content(const char *path, const char *member, int64_t limit, int exact)
{
    static char out[64];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    cr_assert_eq(load(dal_runtime_host(rt, "file"), path, member, limit, exact, out, sizeof out, &err), DAL_OK, "%s",
                 err.text);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return out;
}

static void refuse(const char *path, const char *member, int64_t limit, dal_status want, const char *words)
{
    char out[64];
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_expect(&err, load(dal_runtime_host(rt, "file"), path, member, limit, 0, out, sizeof out, &err), want, "key",
              words);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* "1,x\n2,y\n" */
static const unsigned char bz2[] = {
    0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0x2c, 0x7c, 0x3a, 0x52, 0x00, 0x00, 0x02, 0x58, 0x80,
        0x00, 0x10, 0x00,
    0x04, 0x30, 0x00, 0x00, 0x60, 0x20, 0x00, 0x21, 0xa6, 0x99, 0xa0, 0xc0, 0x02, 0x95, 0x0b, 0x0b, 0xb9, 0x22, 0x9c,
    0x28, 0x48, 0x16, 0x3e, 0x1d, 0x29, 0x00};

#ifdef DAL_HAVE_ARCHIVE
static const unsigned char xz[] = {
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x16, 0x00, 0x00,
        0x00, 0x74, 0x2f,
    0xe5, 0xa3, 0x01, 0x00, 0x07, 0x31, 0x2c, 0x78, 0x0a, 0x32, 0x2c, 0x79, 0x0a, 0x00, 0x46, 0x14, 0x01, 0x34, 0xe8,
    0x2c, 0xef, 0xaa, 0x00, 0x01, 0x20, 0x08, 0xbb, 0x19, 0xd9, 0xbb, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x04, 0x59, 0x5a};
static const unsigned char zst[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x41, 0x00, 0x00, 0x31, 0x2c, 0x78, 0x0a, 0x32,
                                    0x2c, 0x79, 0x0a};

Test(packed_file, is_unpacked_whatever_its_name)
{
    static const char want[] = "1,x\n2,y\n";
    cr_assert_str_eq(content(fx_write("a", bz2, sizeof bz2), "", 1000, 0), want);
    cr_assert_str_eq(content(fx_write("b.gz", xz, sizeof xz), "", 8, 1), want);
    cr_assert_str_eq(content(fx_write("c.bz2", zst, sizeof zst), "", 8, 0), want);
    cr_assert_str_eq(content(fx_text("d.bz2", "BZ? plain"), "", 100, 0), "BZ? plain");
}

Test(packed_file, is_refused_when_cut_changed_or_larger_than_allowed)
{
    unsigned char bad[sizeof bz2];
    memcpy(bad, bz2, sizeof bz2);
    bad[30] ^= 1;
    refuse(fx_write("bad.bz2", bad, sizeof bad), "", 1000, DAL_E_FORMAT, "bad.bz2: damaged bzip2 data (");
    refuse(fx_write("cut.bz2", bz2, 20), "", 1000, DAL_E_FORMAT, "cut.bz2: damaged bzip2 data");
    refuse(fx_write("cut.xz", xz, 40), "", 1000, DAL_E_FORMAT, "cut.xz: damaged xz data");
    refuse(fx_write("large.bz2", bz2, sizeof bz2), "", 7, DAL_E_OVERFLOW, "large.bz2: content of more than 7 bytes");
}

Test(packed_file, takes_a_member_of_an_archive)
{
    static tar_maker t;
    tm_add(&t, "set/train.csv", "1,a\n", 4);
    tm_add(&t, "../test.csv", "2,b\n", 4);
    tm_add(&t, "set/packed.bz2", bz2, sizeof bz2);
    tm_add(&t, "set/empty", "", 0);
    tm_end(&t);
    const char *plain = fx_write("set.tar", t.data, t.n);
    cr_assert_str_eq(content(plain, "set/train.csv", 100, 0), "1,a\n");
    cr_assert_str_eq(content(fx_gzip("set.tgz", t.data, t.n), "../test.csv", 4, 0), "2,b\n");
    cr_assert_str_eq(content(plain, "set/packed.bz2", 100, 0), "1,x\n2,y\n");
    cr_assert_str_eq(content(plain, "set/empty", 100, 0), "");
    refuse(plain, "set/none", 100, DAL_E_NOT_FOUND,
           "set.tar: there is no member 'set/none' in it; it has set/train.csv, ../test.csv, set/packed.bz2, "
           "set/empty");
    refuse(plain, "set/train.csv", 3, DAL_E_OVERFLOW, "set.tar: 'set/train.csv' has 4 bytes, expected at most 3");
    refuse(fx_text("none.tar", "no archive"), "x", 100, DAL_E_FORMAT, "none.tar: ");
}

Test(packed_file, survives_every_failed_allocation)
{
    char out[64];
    const char *path = fx_write("a", bz2, sizeof bz2);
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = load(dal_runtime_host(rt, "file"), path, "", 100, 0, out, sizeof out, &err);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 2);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}
#else
Test(packed_file, without_libarchive_says_so)
{
    refuse(fx_write("a", bz2, sizeof bz2), "", 1000, DAL_E_UNSUPPORTED, "unpack it first, or pack it by gzip");
}
#endif
