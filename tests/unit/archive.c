#include "tests/unit/tar_make.h"
#include "tests/unit/zip_make.h"

#include <dal/archive.h>

#ifdef DAL_HAVE_ARCHIVE
#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

static tar_maker tar;
static char words[5000];

/* "a" and "b/deep", and what is passed over. */
static void make_tar(void)
{
    for (size_t i = 0; i < sizeof words; i++)
        words[i] = (char)('a' + i * i % 7);
    tar.n = 0;
    tm_header(&tar, "b/", '5', "", 0);
    tm_add(&tar, "./a", "hello", 5);
    tm_header(&tar, "to-a", '2', "a", 0);
    tm_header(&tar, "also-a", '1', "./a", 0);
    tm_add(&tar, "b/deep", words, sizeof words);
    tm_add(&tar, "../../outside", "up", 2);
    tm_add(&tar, "/etc/name", "root", 4);
    tm_add(&tar, "bell\a", "", 0);
    tm_end(&tar);
}

static void check_member(dal_archive *a, const char *name, const void *data, int64_t n, int64_t *offset)
{
    dal_error err = DAL_ERROR_INIT;
    dal_archive_member m;
    int more = 0;
    char got[sizeof words];
    cr_assert_eq(dal_archive_next(a, &m, &more, &err), DAL_OK, "%s", err.text);
    cr_assert(more);
    cr_assert_str_eq(m.name, name);
    cr_assert_eq(m.size, n);
    cr_assert_eq(dal_archive_read(a, got, n / 2, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(dal_archive_read(a, got + n / 2, n - n / 2, &err), DAL_OK, "%s", err.text);
    cr_assert(memcmp(got, data, (size_t)n) == 0);
    fx_expect(&err, dal_archive_read(a, got, 1, &err), DAL_E_INVALID, "key", "were asked for, there are 0");
    *offset = m.offset;
}

static void check_all(const char *path, int at_offset)
{
    static const struct {
        const char *name, *data;
        int64_t n;
    } want[] = {{"a", "hello", 5}, {"b/deep", words, sizeof words}, {"../../outside", "up", 2}, {"etc/name", "root", 4},
                {"bell?", "", 0}};
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *host = dal_runtime_host(rt, "archive");
    dal_archive *a = NULL;
    dal_archive_member m;
    size_t n_raw;
    int64_t offset;
    int more = 1;
    unsigned char *raw = fx_slurp(path, &n_raw);
    cr_assert(dal_archive_probe(host, path, "key", &more, &err) == DAL_OK && more);
    cr_assert_eq(dal_archive_open(host, path, "key", 0, &a, &err), DAL_OK, "%s", err.text);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        check_member(a, want[i].name, want[i].data, want[i].n, &offset);
        if (at_offset)
            cr_assert(offset > 0 && memcmp(raw + offset, want[i].data, (size_t)want[i].n) == 0);
        else
            cr_assert_eq(offset, -1);
    }
    for (int turn = 0; turn < 2; turn++) {
        cr_assert_eq(dal_archive_next(a, &m, &more, &err), DAL_OK, "%s", err.text);
        cr_assert_not(more);
    }
    dal_archive_close(a);
    free(raw);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* The same tar file, packed by libarchive's own writer. */
static const char *packed(const char *name, int (*filter)(struct archive *))
{
    struct archive *w = archive_write_new();
    const char *path = fx_path(name);
    cr_assert_eq(filter(w), ARCHIVE_OK);
    archive_write_set_format_raw(w);
    cr_assert_eq(archive_write_open_filename(w, path), ARCHIVE_OK);
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, "data");
    archive_entry_set_filetype(e, AE_IFREG);
    cr_assert_eq(archive_write_header(w, e), ARCHIVE_OK);
    cr_assert_eq(archive_write_data(w, tar.data, tar.n), (la_ssize_t)tar.n);
    archive_entry_free(e);
    archive_write_free(w);
    return path;
}

/* Walk through it, reading what is there: what is the end of it? */
static dal_status walk(const dal_host *host, const char *path, int64_t limit, int reads, dal_error *err)
{
    dal_archive *a = NULL;
    dal_archive_member m;
    int more = 1;
    dal_status st = dal_archive_open(host, path, "key", limit, &a, err);
    while (st == DAL_OK && more) {
        st = dal_archive_next(a, &m, &more, err);
        if (st == DAL_OK && more && reads && m.size <= (int64_t)sizeof words)
            st = dal_archive_read(a, words, m.size, err);
    }
    dal_archive_close(a);
    return st;
}

static void refuse(const char *path, int64_t limit, int reads, dal_status want, const char *message)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_expect(&err, walk(dal_runtime_host(rt, "archive"), path, limit, reads, &err), want, "key", message);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(archive, reads_tar_files_plain_and_packed)
{
    make_tar();
    check_all(fx_write("plain", tar.data, tar.n), 1);
    check_all(fx_gzip("gz", tar.data, tar.n), 0);
    check_all(packed("bz2", archive_write_add_filter_bzip2), 0);
    check_all(packed("xz", archive_write_add_filter_xz), 0);
    check_all(packed("zst", archive_write_add_filter_zstd), 0);
}

Test(archive, reads_zip_files_stored_and_deflated)
{
    static zip_maker z;
    make_tar();
    z = (zip_maker){.n = 0};
    zm_add(&z, "a", "hello", 5, 0);
    zm_add(&z, "b/deep", words, sizeof words, 1);
    zm_add(&z, "../../outside", "up", 2, 0);
    zm_add(&z, "/etc/name", "root", 4, 1);
    zm_add(&z, "bell\a", "", 0, 0);
    check_all(zm_write(&z, "zip", 0, ""), 0);
    zm_add(&z, "last", words, sizeof words, 0);
    z.data[z.n - 1] ^= 1;
    refuse(zm_write(&z, "sum", 0, ""), 0, 1, DAL_E_FORMAT, "'last': ZIP bad CRC");
}

Test(archive, counts_links_and_can_pass_members_over)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    dal_archive *a = NULL;
    dal_archive_member m;
    int more = 1, n = 0;
    make_tar();
    cr_assert_eq(dal_archive_open(dal_runtime_host(rt, "a"), fx_gzip("x", tar.data, tar.n), "key", 0, &a, &err),
                 DAL_OK);
    while (dal_archive_next(a, &m, &more, &err) == DAL_OK && more)
        n++;
    cr_assert(n == 5 && err.status == DAL_OK);
    cr_assert_eq(dal_archive_links(a), 2);
    dal_archive_close(a);
    dal_runtime_free(rt);
}

Test(archive, names_of_any_language_are_kept)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    dal_archive *a = NULL;
    dal_archive_member m;
    int more;
    static zip_maker z;
    z = (zip_maker){.n = 0};
    zm_add(&z, "caf\303\251/\346\260\264", "x", 1, 0);
    z.data[7] |= 8; /* the name is UTF-8 */
    z.directory[9] |= 8;
    cr_assert_eq(dal_archive_open(dal_runtime_host(rt, "a"), zm_write(&z, "x", 0, ""), "key", 0, &a, &err), DAL_OK);
    cr_assert_eq(dal_archive_next(a, &m, &more, &err), DAL_OK, "%s", err.text);
    cr_assert_str_eq(m.name, "caf\303\251/\346\260\264");
    dal_archive_close(a);
    dal_runtime_free(rt);
}

Test(archive, tells_archives_from_other_files)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *host = dal_runtime_host(rt, "archive");
    int is = 1;
    cr_assert(dal_archive_probe(host, fx_text("text", "no archive at all"), "key", &is, &err) == DAL_OK && !is);
    cr_assert(dal_archive_probe(host, fx_gzip("gz", words, sizeof words), "key", &is, &err) == DAL_OK && !is);
    cr_assert(dal_archive_probe(host, fx_text("empty", ""), "key", &is, &err) == DAL_OK && !is);
    fx_expect(&err, dal_archive_probe(host, "/nowhere/x", "key", &is, &err), DAL_E_NOT_FOUND, "key",
              "/nowhere/x: cannot open");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(archive, refuses_what_is_damaged)
{
    make_tar();
    refuse("/nowhere/x", 0, 1, DAL_E_NOT_FOUND, "/nowhere/x: cannot open: No such file");
    refuse("/tmp", 0, 1, DAL_E_IO, "/tmp: found a directory, expected a regular file");
    refuse("/dev/null", 0, 1, DAL_E_IO, "/dev/null: found a device or pipe");
    refuse(fx_text("empty", ""), 0, 1, DAL_E_FORMAT, "empty: there is nothing in it");
    refuse(fx_text("text", "no archive at all"), 0, 1, DAL_E_FORMAT, "text: Unrecognized archive format");
    for (int reads = 0; reads < 2; reads++)
        refuse(fx_write("cut", tar.data, 4000), 0, reads, DAL_E_FORMAT, "cut: 'b/deep': ");
    const char *gz = fx_gzip("gz", tar.data, tar.n);
    size_t n;
    unsigned char *raw = fx_slurp(gz, &n);
    refuse(fx_write("cut.gz", raw, n / 2), 0, 1, DAL_E_FORMAT, "cut.gz: ");
    free(raw);
}

Test(archive, has_bounds)
{
    make_tar();
    refuse(fx_write("plain", tar.data, tar.n), 4000, 1, DAL_E_OVERFLOW, "plain: content of more than 4000 bytes");
    refuse(fx_gzip("gz", tar.data, tar.n), 4000, 0, DAL_E_OVERFLOW, "gz: content of more than 4000 bytes");
    /* 80 MB of nothing in a few hundred bytes */
    const size_t zeros = (size_t)80 << 20;
    struct archive *w = archive_write_new();
    const char *path = fx_path("bomb");
    archive_write_add_filter_zstd(w);
    archive_write_set_format_ustar(w);
    archive_write_open_filename(w, path);
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, "zeros");
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_size(e, (la_int64_t)zeros);
    archive_write_header(w, e);
    void *nothing = calloc(1, 1 << 20);
    for (size_t i = 0; i < zeros >> 20; i++)
        archive_write_data(w, nothing, 1 << 20);
    free(nothing);
    archive_entry_free(e);
    archive_write_free(w);
    refuse(path, 0, 0, DAL_E_OVERFLOW, "over 1032 times as much: no data do that");
}

/* The size of a huge file with holes is what tar tells; it takes no time until it is asked for. */
Test(archive, a_sparse_member_is_but_its_size)
{
    dal_error err = DAL_ERROR_INIT;
    dal_runtime *rt = fx_runtime(1, 0);
    dal_archive *a = NULL;
    dal_archive_member m;
    int more;
    const char *path = fx_path("sparse");
    struct archive *w = archive_write_new();
    archive_write_set_format_pax(w);
    archive_write_open_filename(w, path);
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, "holes");
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_size(e, (la_int64_t)40 << 30);
    archive_entry_sparse_add_entry(e, 0, 512);
    archive_write_header(w, e);
    archive_write_data(w, words, 512);
    archive_entry_free(e);
    archive_write_free(w);
    cr_assert_eq(dal_archive_open(dal_runtime_host(rt, "a"), path, "key", 0, &a, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(dal_archive_next(a, &m, &more, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(m.size, (int64_t)40 << 30);
    cr_assert_eq(m.offset, -1);
    cr_assert_eq(dal_archive_next(a, &m, &more, &err), DAL_OK, "%s", err.text);
    cr_assert_not(more);
    dal_archive_close(a);
    dal_runtime_free(rt);
}

Test(archive, survives_every_failed_allocation)
{
    make_tar();
    const char *path = fx_gzip("x", tar.data, tar.n);
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = walk(dal_runtime_host(rt, "archive"), path, 0, 1, &err);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 4);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}
#else
Test(archive, without_libarchive_says_so)
{
    dal_error err = DAL_ERROR_INIT;
    dal_archive *a = NULL;
    fx_expect(&err, dal_archive_open(NULL, "x.tar", "key", 0, &a, &err), DAL_E_UNSUPPORTED, "key", "libarchive-dev");
}
#endif
