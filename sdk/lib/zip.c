/* PKWARE's APPNOTE, as far as archives of arrays and pictures need it: the end record (and zip64's) tells where
 * the central directory is, the directory tells all of each member but where its data begin, which its local
 * header does.
 */
#include <dal/file.h>
#include <dal/zip.h>

#include <sys/stat.h>

#define ZLIB_CONST
#include <zlib.h>

#define END_RECORD 22
#define END64_LOCATOR 20
#define END64_RECORD 56
#define CENTRAL 46
#define LOCAL 30
#define MAX_COMMENT 65535
#define STORED 0
#define DEFLATED 8
#define DEFLATE_RATIO 1032 /* no deflate stream grows by more */
#define STEP ((int64_t)1 << 20) /* inflated between two looks at `cancelled` */

typedef struct member {
    char *name;
    int64_t packed, size, header; /* bytes in the file, bytes of the content, where its local header is */
    uint32_t flags, method, crc, mode; /* mode: of Unix, 0 when it comes from elsewhere */
    unsigned char *inflated; /* temp_map of size bytes, once loaded */
    int checked;
} member;

struct dal_zip {
    const dal_host *host;
    const char *path, *key;
    dal_file *file;
    const unsigned char *bytes;
    int64_t n_bytes, directory, directory_end; /* of the file; where its directory is */
    member *members;
    int64_t n;
};

static uint32_t get16(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const unsigned char *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static uint64_t get64(const unsigned char *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

DAL_PRINTF(4, 5)
static dal_status broken(const dal_zip *z, dal_error *err, int64_t offset, const char *fmt, ...)
{
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return dal_fail(err, DAL_E_FORMAT, z->key, "%s: %s at offset %lld; copy or download it again", z->path, what,
                    (long long)offset);
}

/* ---- the directory ---------------------------------------------------------------------------- */

/* Where the end record is, or -1: the last one whose comment ends with the file. */
static int64_t find_end(const dal_zip *z)
{
    const int64_t lowest = z->n_bytes - END_RECORD - MAX_COMMENT;
    for (int64_t at = z->n_bytes - END_RECORD; at >= 0 && at >= lowest; at--)
        if (memcmp(z->bytes + at, "PK\5\6", 4) == 0 &&
            at + END_RECORD + (int64_t)get16(z->bytes + at + 20) == z->n_bytes)
            return at;
    return -1;
}

/* Count, offset and size of the directory as zip64 tells them, when the end record at `end` refers to it. */
static dal_status read_end64(const dal_zip *z, int64_t end, uint64_t *count, uint64_t *offset, uint64_t *size,
                             dal_error *err)
{
    const int64_t locator = end - END64_LOCATOR;
    if (locator < 0 || memcmp(z->bytes + locator, "PK\6\7", 4) != 0)
        return broken(z, err, end, "no zip64 directory before the end record");
    const uint64_t at = get64(z->bytes + locator + 8);
    if (locator < END64_RECORD || at > (uint64_t)(locator - END64_RECORD) ||
        memcmp(z->bytes + at, "PK\6\6", 4) != 0)
        return broken(z, err, locator, "a zip64 locator that leads nowhere");
    *count = get64(z->bytes + at + 32);
    *size = get64(z->bytes + at + 40);
    *offset = get64(z->bytes + at + 48);
    return DAL_OK;
}

/* What the extra fields of a directory entry say instead of the three sizes that did not fit. */
static int read_extra64(const unsigned char *p, int64_t n, uint64_t *size, uint64_t *packed, uint64_t *header)
{
    uint64_t *const wanted[] = {size, packed, header};
    int missing = 0;
    for (int i = 0; i < 3; i++)
        missing += *wanted[i] == 0xffffffffu;
    for (; missing > 0 && n >= 4; n -= 4 + (int64_t)get16(p + 2), p += 4 + get16(p + 2)) {
        const int64_t bytes = (int64_t)get16(p + 2);
        if (bytes > n - 4)
            return 0;
        if (get16(p) != 1)
            continue;
        if (bytes < 8 * missing)
            return 0;
        const unsigned char *value = p + 4;
        for (int i = 0; i < 3; i++)
            if (*wanted[i] == 0xffffffffu) {
                *wanted[i] = get64(value);
                value += 8;
            }
        return 1;
    }
    return missing == 0;
}

/* The entry at *at, which moves on to the next. */
static dal_status read_entry(const dal_zip *z, int64_t *at, member *m, dal_error *err)
{
    const unsigned char *p = z->bytes + *at;
    const int64_t left = z->directory_end - *at;
    if (left < CENTRAL || memcmp(p, "PK\1\2", 4) != 0)
        return broken(z, err, *at, "no directory entry");
    const int64_t name = (int64_t)get16(p + 28), extra = (int64_t)get16(p + 30);
    const int64_t all = CENTRAL + name + extra + (int64_t)get16(p + 32);
    uint64_t packed = get32(p + 20), size = get32(p + 24), header = get32(p + 42);
    if (all > left)
        return broken(z, err, *at, "a directory entry that ends outside of the directory");
    if (!read_extra64(p + CENTRAL + name, extra, &size, &packed, &header))
        return broken(z, err, *at, "a directory entry without its zip64 sizes");
    if (packed > (uint64_t)z->directory || header > (uint64_t)z->directory || size > INT64_MAX)
        return broken(z, err, *at, "a directory entry with sizes beyond the file");
    *m = (member){.packed = (int64_t)packed,
                  .size = (int64_t)size,
                  .header = (int64_t)header,
                  .flags = get16(p + 8),
                  .method = get16(p + 10),
                  .crc = get32(p + 16),
                  .mode = p[5] == 3 ? get16(p + 40) : 0};
    m->name = dal_array(z->host, name + 1, 1);
    if (!m->name)
        return dal_fail(err, DAL_E_NOMEM, z->key, "%s: no memory to read it", z->path);
    for (int64_t i = 0; i < name; i++)
        m->name[i] = (char)(p[CENTRAL + i] < 0x20 || p[CENTRAL + i] == 0x7f ? '?' : p[CENTRAL + i]);
    m->name[name] = '\0';
    *at += all;
    return DAL_OK;
}

static dal_status read_directory(dal_zip *z, dal_error *err)
{
    const int64_t end = find_end(z);
    if (end < 0)
        return dal_fail(
            err, DAL_E_FORMAT, z->key, "%s: %s", z->path,
            z->n_bytes >= 4 && memcmp(z->bytes, "PK\3\4", 4) == 0
                ? "a .zip file that is cut short: it has no directory at its end; copy or download it again"
                : "is not a .zip file (as .npz files are)");
    const unsigned char *p = z->bytes + end;
    uint64_t count = get16(p + 10), size = get32(p + 12), offset = get32(p + 16);
    dal_status st = DAL_OK;
    if (count == 0xffff || size == 0xffffffffu || offset == 0xffffffffu)
        st = read_end64(z, end, &count, &offset, &size, err);
    if (st != DAL_OK)
        return st;
    if (offset > (uint64_t)end || size > (uint64_t)end - offset || count > size / CENTRAL)
        return broken(z, err, end, "an end record that leads nowhere");
    z->directory = (int64_t)offset;
    z->directory_end = (int64_t)(offset + size);
    z->members = dal_array(z->host, (int64_t)count, sizeof *z->members);
    if (!z->members)
        return dal_fail(err, DAL_E_NOMEM, z->key, "%s: no memory to read it", z->path);
    for (int64_t at = z->directory; z->n < (int64_t)count && st == DAL_OK; z->n += st == DAL_OK)
        st = read_entry(z, &at, &z->members[z->n], err);
    return st;
}

dal_status dal_zip_open(const dal_host *host, const char *path, const char *key, dal_zip **zip, dal_error *err)
{
    dal_zip *z = host->alloc(host, sizeof *z, 0);
    if (!z)
        return dal_fail(err, DAL_E_NOMEM, key, "%s: no memory", path);
    *z = (dal_zip){.host = host, .path = path, .key = key};
    dal_status st = dal_file_open(host, path, key, &z->file, err);
    if (st == DAL_OK && dal_file_is_gzip(z->file))
        st =
            dal_fail(err, DAL_E_FORMAT, key, "%s: is a packed file, expected a .zip file (as .npz files are)", path);
    if (st == DAL_OK)
        st = dal_file_load(z->file, INT64_MAX, 0, err);
    if (st == DAL_OK) {
        z->bytes = dal_file_data(z->file, &z->n_bytes);
        st = read_directory(z, err);
    }
    if (st == DAL_OK)
        *zip = z;
    else
        dal_zip_close(z);
    return st;
}

void dal_zip_close(dal_zip *z)
{
    if (!z)
        return;
    for (int64_t i = 0; i < z->n; i++) {
        if (z->members[i].inflated)
            z->host->temp_unmap(z->host, z->members[i].inflated, (size_t)z->members[i].size);
        z->host->free(z->host, z->members[i].name);
    }
    z->host->free(z->host, z->members);
    dal_file_close(z->file);
    z->host->free(z->host, z);
}

int64_t dal_zip_count(const dal_zip *z)
{
    return z->n;
}

const char *dal_zip_name(const dal_zip *z, int64_t i)
{
    return z->members[i].name;
}

int64_t dal_zip_size(const dal_zip *z, int64_t i)
{
    return z->members[i].size;
}

int dal_zip_is_file(const dal_zip *z, int64_t i)
{
    const member *m = &z->members[i];
    const size_t n = strlen(m->name);
    return (n == 0 || m->name[n - 1] != '/') && (S_ISREG(m->mode) || (m->mode & S_IFMT) == 0);
}

int64_t dal_zip_find(const dal_zip *z, const char *name)
{
    for (int64_t i = 0; i < z->n; i++)
        if (strcmp(z->members[i].name, name) == 0)
            return i;
    return -1;
}

/* ---- members ---------------------------------------------------------------------------------- */

/* Where the packed bytes of a member begin. */
static dal_status find_data(const dal_zip *z, const member *m, int64_t *data, dal_error *err)
{
    const unsigned char *p = z->bytes + m->header;
    if (z->directory - m->header < LOCAL || memcmp(p, "PK\3\4", 4) != 0)
        return broken(z, err, m->header, "no header of '%.80s'", m->name);
    *data = m->header + LOCAL + (int64_t)get16(p + 26) + (int64_t)get16(p + 28);
    if (*data > z->directory || m->packed > z->directory - *data)
        return broken(z, err, m->header, "'%.80s' ends inside the directory", m->name);
    if (m->flags & 1)
        return dal_fail(err, DAL_E_UNSUPPORTED, z->key, "%s: '%.80s' is encrypted", z->path, m->name);
    if (m->method != STORED && m->method != DEFLATED)
        return dal_fail(err, DAL_E_UNSUPPORTED, z->key,
                        "%s: '%.80s' is packed by method %u, expected 0 (stored) or 8 (deflate)", z->path, m->name,
                        m->method);
    if (m->method == STORED ? m->size != m->packed : m->size / DEFLATE_RATIO > m->packed)
        return broken(z, err, m->header, "'%.80s' is said to have %lld bytes, packed into %lld,", m->name,
                      (long long)m->size, (long long)m->packed);
    return DAL_OK;
}

/* The first n bytes of a member into to[n]; when that is all, what the stream holds must be just that. */
static dal_status inflate_member(const dal_zip *z, const member *m, int64_t data, unsigned char *to, int64_t n,
                                 dal_error *err)
{
    z_stream s = {0};
    int64_t in = 0, out = 0;
    int rc = Z_OK;
    unsigned char probe[1]; /* one byte more tells that there is more */
    if (inflateInit2(&s, -15) != Z_OK)
        return dal_fail(err, DAL_E_NOMEM, z->key, "%s: no memory to inflate '%.80s'", z->path, m->name);
    while (rc == Z_OK && out <= m->size && (out < n || n == m->size) && !z->host->cancelled(z->host)) {
        const int64_t left_in = m->packed - in, left_out = n - out;
        s.next_in = z->bytes + data + in;
        s.avail_in = (uInt)(left_in < STEP ? left_in : STEP);
        s.next_out = left_out > 0 ? to + out : probe;
        s.avail_out = (uInt)(left_out > STEP ? STEP : left_out > 0 ? left_out : 1);
        const uInt before_in = s.avail_in, before_out = s.avail_out;
        rc = inflate(&s, Z_NO_FLUSH);
        in += before_in - s.avail_in;
        out += before_out - s.avail_out;
    }
    const char *why = s.msg ? s.msg : "the stream is cut short";
    dal_status st = DAL_OK;
    if (rc == Z_MEM_ERROR)
        st = dal_fail(err, DAL_E_NOMEM, z->key, "%s: no memory to inflate '%.80s'", z->path, m->name);
    else if (out == n && n < m->size)
        st = DAL_OK;
    else if (out > m->size || (rc == Z_STREAM_END && (out != m->size || in != m->packed)))
        st = broken(z, err, data + in, "'%.80s' is not of the %lld bytes that the directory tells, ending",
                    m->name, (long long)m->size);
    else if (rc == Z_OK && z->host->cancelled(z->host))
        st = dal_fail(err, DAL_E_CANCELLED, z->key, "%s: stopped while inflating", z->path);
    else if (rc != Z_STREAM_END)
        st = broken(z, err, data + in, "damaged data of '%.80s' (%s)", m->name, why);
    inflateEnd(&s);
    return st;
}

static uint32_t checksum(const unsigned char *p, int64_t n)
{
    uLong crc = crc32(0, NULL, 0);
    for (int64_t i = 0; i < n; i += STEP)
        crc = crc32(crc, p + i, (uInt)(n - i < STEP ? n - i : STEP));
    return (uint32_t)crc;
}

static dal_status inflate_once(const dal_zip *z, member *m, int64_t data, dal_error *err)
{
    void *to = NULL;
    unsigned char none[1];
    if (m->inflated)
        return DAL_OK;
    dal_status st = m->size > 0 ? z->host->temp_map(z->host, (size_t)m->size, &to, err) : DAL_OK;
    if (st != DAL_OK)
        return st;
    st = inflate_member(z, m, data, to ? to : none, m->size, err);
    if (st == DAL_OK)
        m->inflated = to;
    else if (to)
        z->host->temp_unmap(z->host, to, (size_t)m->size);
    return st;
}

dal_status dal_zip_load(dal_zip *z, int64_t i, int64_t limit, const unsigned char **data, int64_t *size,
                        dal_error *err)
{
    member *m = &z->members[i];
    int64_t at = 0;
    dal_status st = find_data(z, m, &at, err);
    if (st == DAL_OK && m->size > limit)
        st = dal_fail(err, DAL_E_OVERFLOW, z->key, "%s: '%.80s' has %lld bytes, expected at most %lld", z->path,
                      m->name, (long long)m->size, (long long)limit);
    if (st == DAL_OK && m->method == DEFLATED)
        st = inflate_once(z, m, at, err);
    if (st != DAL_OK)
        return st;
    *data = m->inflated ? m->inflated : z->bytes + at;
    *size = m->size;
    if (!m->checked && checksum(*data, *size) != m->crc)
        return broken(z, err, at, "a wrong checksum of '%.80s', which begins", m->name);
    m->checked = 1;
    return DAL_OK;
}

dal_status dal_zip_read(const dal_zip *z, int64_t i, void *to, int64_t n, dal_error *err)
{
    const member *m = &z->members[i];
    int64_t at = 0;
    unsigned char none[1];
    dal_status st = find_data(z, m, &at, err);
    if (st != DAL_OK)
        return st;
    if (n < 0 || n > m->size)
        return dal_fail(err, DAL_E_INVALID, z->key, "%s: %lld bytes of '%.80s' were asked for, there are %lld",
                        z->path, (long long)n, m->name, (long long)m->size);
    if (m->method == DEFLATED)
        st = inflate_member(z, m, at, n > 0 ? to : none, n, err);
    else if (n > 0)
        memcpy(to, z->bytes + at, (size_t)n);
    if (st == DAL_OK && n == m->size && checksum(n > 0 ? to : none, n) != m->crc)
        return broken(z, err, at, "a wrong checksum of '%.80s', which begins", m->name);
    return st;
}
