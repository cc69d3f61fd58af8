#include <dal/archive.h>

#ifdef DAL_HAVE_ARCHIVE
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER ((int64_t)256 << 10) /* read from the file at once */
#define MAX_RATIO 1032              /* no deflate stream grows by more; others could */
#define SMALL ((int64_t)64 << 20)   /* content that may grow as it likes */
#define MAX_NAME 65536

struct dal_archive {
    const dal_host *host;
    const char *path, *key;
    struct archive *reader;
    locale_t utf8; /* what names are converted to; 0: there is none */
    int fd;
    unsigned char *buffer; /* [BUFFER] */
    int64_t raw_size, at;  /* of the file; where the next bytes are read */
    int64_t n_raw, n_out;  /* bytes read from it, bytes of members that came out */
    int64_t limit;
    char *name;
    int64_t size, left; /* of the member, and what of it is still to come */
    int64_t links;
    int ended;
};

/* ---- the file, as libarchive sees it ---------------------------------------------------------- */

static la_ssize_t take_raw(struct archive *reader, void *ctx, const void **data)
{
    dal_archive *a = ctx;
    ssize_t n;
    do
        n = pread(a->fd, a->buffer, (size_t)BUFFER, a->at);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        archive_set_error(reader, errno, "cannot read: %s", strerror(errno));
        return -1;
    }
    a->at += n;
    a->n_raw += n;
    *data = a->buffer;
    return n;
}

static la_int64_t skip_raw(struct archive *reader, void *ctx, la_int64_t request)
{
    dal_archive *a = ctx;
    const int64_t left = a->raw_size - a->at, n = request < left ? request : left;
    (void)reader;
    a->at += n > 0 ? n : 0;
    return n > 0 ? n : 0;
}

static la_int64_t seek_raw(struct archive *reader, void *ctx, la_int64_t offset, int whence)
{
    dal_archive *a = ctx;
    const int64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? a->at : a->raw_size;
    (void)reader;
    if (offset < -from || offset > a->raw_size - from)
        return ARCHIVE_FATAL;
    return a->at = from + offset;
}

static dal_status open_file(dal_archive *a, dal_error *err)
{
    struct stat info;
    /* O_NONBLOCK: a FIFO must be refused, not waited for */
    a->fd = open(a->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (a->fd < 0)
        return dal_fail(err, errno == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, a->key, "%s: cannot open: %s", a->path,
                        strerror(errno));
    if (fstat(a->fd, &info) != 0)
        return dal_fail(err, DAL_E_IO, a->key, "%s: %s", a->path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return dal_fail(err, DAL_E_IO, a->key, "%s: found a %s, expected a regular file", a->path,
                        S_ISDIR(info.st_mode) ? "directory" : "device or pipe");
    a->raw_size = info.st_size;
    return DAL_OK;
}

static dal_status no_memory(const dal_archive *a, dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, a->key, "%s: no memory to read it", a->path);
}

/* What libarchive complains of, on one line: its words may end one, and hold names from the file. */
static const char *why(struct archive *r, char room[256])
{
    const char *words = archive_error_string(r);
    snprintf(room, 256, "%s", words ? words : "damaged");
    for (char *p = room; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = p[1] ? '?' : '\0';
    return room;
}

/* Formats and filters by name: what needs other programs to be started is not among them. */
static dal_status open_reader(dal_archive *a, dal_error *err)
{
    struct archive *r = a->reader = archive_read_new();
    a->buffer = dal_array(a->host, BUFFER, 1);
    a->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!r || !a->buffer)
        return no_memory(a, err);
    archive_read_support_filter_gzip(r);
    archive_read_support_filter_bzip2(r);
    archive_read_support_filter_xz(r);
    archive_read_support_filter_zstd(r);
    archive_read_support_format_tar(r);
    archive_read_support_format_zip_seekable(r);
    archive_read_set_read_callback(r, take_raw);
    archive_read_set_skip_callback(r, skip_raw);
    archive_read_set_seek_callback(r, seek_raw);
    archive_read_set_callback_data(r, a);
    const int rc = archive_read_open1(r);
    char words[256];
    return rc == ARCHIVE_OK || rc == ARCHIVE_WARN
               ? DAL_OK
               : dal_fail(err, DAL_E_FORMAT, a->key, "%s: %s", a->path, why(r, words));
}

dal_status dal_archive_open(const dal_host *host, const char *path, const char *key, int64_t limit,
                            dal_archive **archive, dal_error *err)
{
    dal_archive *a = host->alloc(host, sizeof *a, 0);
    if (!a)
        return dal_fail(err, DAL_E_NOMEM, key, "%s: no memory", path);
    *a = (dal_archive){.host = host, .path = path, .key = key, .fd = -1, .limit = limit > 0 ? limit : INT64_MAX};
    dal_status st = open_file(a, err);
    if (st == DAL_OK && a->raw_size == 0)
        st = dal_fail(err, DAL_E_FORMAT, key, "%s: there is nothing in it", path);
    if (st == DAL_OK)
        st = open_reader(a, err);
    if (st == DAL_OK)
        *archive = a;
    else
        dal_archive_close(a);
    return st;
}

void dal_archive_close(dal_archive *a)
{
    if (!a)
        return;
    if (a->reader)
        archive_read_free(a->reader);
    if (a->utf8)
        freelocale(a->utf8);
    if (a->fd >= 0)
        close(a->fd);
    a->host->free(a->host, a->buffer);
    a->host->free(a->host, a->name);
    a->host->free(a->host, a);
}

/* ---- members ---------------------------------------------------------------------------------- */

static int is_packed(const dal_archive *a)
{
    return archive_filter_count(a->reader) > 1;
}

/* The same, with the place. */
static dal_status broken(const dal_archive *a, dal_error *err)
{
    const int e = archive_errno(a->reader);
    char member[256] = "", words[256];
    if (a->name)
        snprintf(member, sizeof member, "'%.200s': ", a->name);
    return dal_fail(err, e == ENOMEM ? DAL_E_NOMEM : e == EIO ? DAL_E_IO : DAL_E_FORMAT, a->key,
                    "%s: %s%s, near offset %lld of %lld; copy or download it again", a->path, member,
                    why(a->reader, words), (long long)archive_filter_bytes(a->reader, -1), (long long)a->raw_size);
}

/* Has too much come out? Asked after every block. */
static dal_status check_growth(const dal_archive *a, dal_error *err)
{
    const int64_t stream = is_packed(a) ? archive_filter_bytes(a->reader, 0) : 0;
    const int64_t out = stream > a->n_out ? stream : a->n_out;
    if (out > a->limit)
        return dal_fail(err, DAL_E_OVERFLOW, a->key, "%s: content of more than %lld bytes", a->path,
                        (long long)a->limit);
    if (out > SMALL && out / MAX_RATIO > a->n_raw)
        return dal_fail(err, DAL_E_OVERFLOW, a->key,
                        "%s: %lld bytes of it grow to more than %lld, over %d times as much: no data do that",
                        a->path, (long long)a->n_raw, (long long)out, MAX_RATIO);
    if (a->host->cancelled(a->host))
        return dal_fail(err, DAL_E_CANCELLED, a->key, "%s: stopped while reading", a->path);
    return DAL_OK;
}

/* Pass over what is left of the member: a packed one must be inflated for that, which has its bounds. */
static dal_status pass_over(dal_archive *a, dal_error *err)
{
    dal_status st = DAL_OK;
    while (a->left > 0 && is_packed(a) && st == DAL_OK) {
        const void *block;
        size_t n;
        la_int64_t offset;
        const int rc = archive_read_data_block(a->reader, &block, &n, &offset);
        if (rc == ARCHIVE_EOF)
            break;
        if (rc != ARCHIVE_OK)
            return broken(a, err);
        a->n_out += (int64_t)n;
        st = check_growth(a, err);
    }
    a->left = 0;
    return st;
}

static dal_status copy_name(dal_archive *a, struct archive_entry *e, dal_error *err)
{
    const char *name = archive_entry_pathname(e);
    name = name ? name : archive_entry_pathname_utf8(e);
    if (!name || strlen(name) > MAX_NAME)
        return dal_fail(err, DAL_E_FORMAT, a->key, "%s: a member %s, after '%.200s'", a->path,
                        name ? "with a name of over 64 KiB" : "without a name", a->name ? a->name : "");
    while (*name == '/' || (name[0] == '.' && name[1] == '/'))
        name += *name == '/' ? 1 : 2;
    const size_t bytes = strlen(name) + 1;
    a->host->free(a->host, a->name);
    a->name = dal_array(a->host, (int64_t)bytes, 1);
    if (!a->name)
        return no_memory(a, err);
    memcpy(a->name, name, bytes);
    for (char *p = a->name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return DAL_OK;
}

static int is_link(struct archive_entry *e)
{
    return archive_entry_filetype(e) == AE_IFLNK || archive_entry_hardlink(e) != NULL;
}

/* The next header, whatever it is of. *e is NULL at the end. */
static dal_status next_entry(dal_archive *a, struct archive_entry **e, dal_error *err)
{
    dal_status st = pass_over(a, err);
    if (st != DAL_OK || a->ended)
        return st;
    const locale_t old = a->utf8 ? uselocale(a->utf8) : (locale_t)0;
    const int rc = archive_read_next_header(a->reader, e);
    a->ended = rc == ARCHIVE_EOF;
    if (a->ended)
        *e = NULL;
    else if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
        st = broken(a, err);
    else
        st = copy_name(a, *e, err);
    if (old)
        uselocale(old);
    return st == DAL_OK ? check_growth(a, err) : st;
}

dal_status dal_archive_next(dal_archive *a, dal_archive_member *m, int *more, dal_error *err)
{
    struct archive_entry *e = NULL;
    for (;;) {
        const dal_status st = next_entry(a, &e, err);
        if (st != DAL_OK)
            return st;
        *more = e != NULL;
        if (!e)
            return DAL_OK;
        a->links += is_link(e);
        a->left = archive_entry_filetype(e) == AE_IFREG || archive_entry_filetype(e) == 0 ? archive_entry_size(e) : 0;
        if (archive_entry_filetype(e) == AE_IFREG && !is_link(e))
            break;
    }
    if (!archive_entry_size_is_set(e) || archive_entry_size(e) < 0)
        return dal_fail(err, DAL_E_UNSUPPORTED, a->key, "%s: '%.200s' does not tell its size", a->path, a->name);
    a->size = archive_entry_size(e);
    *m = (dal_archive_member){.name = a->name, .size = a->size, .offset = -1};
    if (!is_packed(a) && (archive_format(a->reader) & ARCHIVE_FORMAT_BASE_MASK) == ARCHIVE_FORMAT_TAR &&
        archive_entry_sparse_count(e) == 0)
        m->offset = archive_filter_bytes(a->reader, 0);
    return DAL_OK;
}

/* Behind the last byte there must be none, and the checksum must be right. */
static dal_status check_end(dal_archive *a, dal_error *err)
{
    unsigned char probe[1];
    const la_ssize_t n = archive_read_data(a->reader, probe, 1);
    if (n > 0)
        return dal_fail(err, DAL_E_FORMAT, a->key, "%s: '%.200s' is longer than the %lld bytes it tells", a->path,
                        a->name, (long long)a->size);
    return n < 0 ? broken(a, err) : DAL_OK;
}

dal_status dal_archive_read(dal_archive *a, void *to, int64_t n, dal_error *err)
{
    unsigned char *out = to;
    if (n < 0 || n > a->left)
        return dal_fail(err, DAL_E_INVALID, a->key, "%s: %lld bytes of '%.200s' were asked for, there are %lld",
                        a->path, (long long)n, a->name ? a->name : "", (long long)a->left);
    const int last = n > 0 && n == a->left;
    while (n > 0) {
        const int64_t want = n < BUFFER ? n : BUFFER;
        const la_ssize_t got = archive_read_data(a->reader, out, (size_t)want);
        if (got < 0)
            return broken(a, err);
        if (got == 0)
            return dal_fail(err, DAL_E_FORMAT, a->key, "%s: '%.200s' ends after %lld of its %lld bytes", a->path,
                            a->name, (long long)(a->size - a->left), (long long)a->size);
        out += got;
        n -= got;
        a->left -= got;
        a->n_out += got;
        const dal_status st = check_growth(a, err);
        if (st != DAL_OK)
            return st;
    }
    return last ? check_end(a, err) : DAL_OK;
}

int64_t dal_archive_links(const dal_archive *a)
{
    return a->links;
}

dal_status dal_archive_probe(const dal_host *host, const char *path, const char *key, int *is, dal_error *err)
{
    dal_archive *a = NULL;
    struct archive_entry *e = NULL;
    dal_error quiet = DAL_ERROR_INIT;
    *is = 0;
    dal_status st = dal_archive_open(host, path, key, 0, &a, &quiet);
    if (st == DAL_OK) {
        const locale_t old = a->utf8 ? uselocale(a->utf8) : (locale_t)0;
        const int rc = archive_read_next_header(a->reader, &e);
        *is = rc == ARCHIVE_OK || rc == ARCHIVE_WARN;
        if (old)
            uselocale(old);
    } else if (st != DAL_E_FORMAT && err) {
        *err = quiet;
    }
    dal_archive_close(a);
    return st == DAL_E_FORMAT ? DAL_OK : st;
}

#else

static dal_status missing(const char *path, const char *key, dal_error *err)
{
    return dal_fail(err, DAL_E_UNSUPPORTED, key,
                    "%s: this build reads no archives: it was configured without libarchive (Debian: "
                    "libarchive-dev)",
                    path);
}

dal_status dal_archive_probe(const dal_host *host, const char *path, const char *key, int *is, dal_error *err)
{
    (void)host, (void)path, (void)key, (void)err;
    *is = 0;
    return DAL_OK;
}

dal_status dal_archive_open(const dal_host *host, const char *path, const char *key, int64_t limit,
                            dal_archive **archive, dal_error *err)
{
    (void)host, (void)limit, (void)archive;
    return missing(path, key, err);
}

void dal_archive_close(dal_archive *a)
{
    (void)a;
}

dal_status dal_archive_next(dal_archive *a, dal_archive_member *m, int *more, dal_error *err)
{
    (void)a, (void)m, (void)more;
    return missing("", "", err);
}

dal_status dal_archive_read(dal_archive *a, void *to, int64_t n, dal_error *err)
{
    (void)a, (void)to, (void)n;
    return missing("", "", err);
}

int64_t dal_archive_links(const dal_archive *a)
{
    (void)a;
    return 0;
}

#endif
