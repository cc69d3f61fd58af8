#include "file_unpack.h"

/* Which of them it is, or NULL. */
static const char *kind_of(const unsigned char *raw, int64_t n)
{
    if (n >= 4 && memcmp(raw, "BZh", 3) == 0 && raw[3] >= '1' && raw[3] <= '9')
        return "bzip2";
    if (n >= 6 && memcmp(raw, "\xfd" "7zXZ", 6) == 0)
        return "xz";
    return n >= 4 && memcmp(raw, "\x28\xb5\x2f\xfd", 4) == 0 ? "zstd" : NULL;
}

int file_is_packed(const unsigned char *raw, int64_t n)
{
    return kind_of(raw, n) != NULL;
}

#ifdef DAL_HAVE_ARCHIVE
#include <archive.h>
#include <archive_entry.h>

#define STEP ((int64_t)1 << 20) /* unpacked between two looks at `cancelled` */

static dal_status damaged(struct archive *r, const char *path, const char *key, const char *kind, int64_t good,
                          dal_error *err)
{
    const char *words = archive_error_string(r);
    char why[200];
    snprintf(why, sizeof why, "%s", words ? words : "cut short");
    for (char *p = why; *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p;
    return dal_fail(err, DAL_E_FORMAT, key,
                    "%s: damaged %s data (%s), after %lld good bytes; copy or download it again", path, kind, why,
                    (long long)good);
}

static int open_raw(struct archive *r, const unsigned char *raw, int64_t n)
{
    struct archive_entry *e;
    archive_read_support_filter_bzip2(r);
    archive_read_support_filter_xz(r);
    archive_read_support_filter_zstd(r);
    archive_read_support_format_raw(r);
    return archive_read_open_memory(r, raw, (size_t)n) == ARCHIVE_OK && archive_read_next_header(r, &e) == ARCHIVE_OK;
}

dal_status file_unpack(const dal_host *host, const char *path, const char *key, const unsigned char *raw, int64_t n,
                       unsigned char *out, int64_t room, int only_begin, int64_t *size, dal_error *err)
{
    const char *kind = kind_of(raw, n);
    struct archive *r = archive_read_new();
    unsigned char probe[1], *scratch = out ? NULL : dal_array(host, STEP, 1);
    la_ssize_t got = 1;
    dal_status st = DAL_OK;
    *size = 0;
    if (!r || (!out && !scratch))
        st = dal_fail(err, DAL_E_NOMEM, key, "%s: no memory to read it", path);
    else if (!open_raw(r, raw, n))
        st = damaged(r, path, key, kind, 0, err);
    while (st == DAL_OK && got > 0 && !(only_begin && *size == room)) {
        const int64_t left = room - *size;
        got = archive_read_data(r, left == 0 ? probe : out ? out + *size : scratch,
                                left == 0 ? 1 : (size_t)(left < STEP ? left : STEP));
        if (got < 0)
            st = damaged(r, path, key, kind, *size, err);
        else if (got > left)
            st = dal_fail(err, DAL_E_OVERFLOW, key, "%s: content of more than %lld bytes", path, (long long)room);
        else
            *size += got;
        if (st == DAL_OK && host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, key, "%s: stopped while unpacking", path);
    }
    if (r)
        archive_read_free(r);
    host->free(host, scratch);
    return st;
}

#else

dal_status file_unpack(const dal_host *host, const char *path, const char *key, const unsigned char *raw, int64_t n,
                       unsigned char *out, int64_t room, int only_begin, int64_t *size, dal_error *err)
{
    (void)host, (void)out, (void)room, (void)only_begin, (void)size;
    return dal_fail(err, DAL_E_UNSUPPORTED, key,
                    "%s: %s data, and this build was configured without libarchive (Debian: libarchive-dev); unpack it "
                    "first, or pack it by gzip",
                    path, kind_of(raw, n));
}

#endif
