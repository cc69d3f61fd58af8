#include <dal/archive.h>
#include <dal/file.h>

#include "file_unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define ZLIB_CONST
#include <zlib.h>
#ifdef DAL_HAVE_DEFLATE
#include <libdeflate.h>
#endif

#define STEP ((int64_t)1 << 20) /* inflated between two looks at `cancelled` */
#define SMALL ((off_t)1 << 20) /* read, not mapped: people may edit such a file while we look */
#define DEFLATE_RATIO 1032      /* no deflate stream grows by more */
#define AT_ONCE ((int64_t)1 << 28) /* inflated without a look at `cancelled`: a second at most */

struct dal_file {
    const dal_host *host;
    const char *path, *key;
    const unsigned char *raw; /* the file as it is on disk */
    void *map, *copy, *member; /* what raw is: a map of raw_size bytes, or memory of the host, or its temp_map */
    int64_t raw_size;
    unsigned char *inflated; /* temp_map of room bytes; NULL: plain, or nothing to inflate */
    int64_t room, size;
    int gzip, packed, loaded; /* packed: by something else */
    int64_t n_head;
    unsigned char head[DAL_FILE_HEAD];
};

static dal_status no_memory(const dal_file *f, dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, f->key, "%s: no memory to read it", f->path);
}

static dal_status read_small(dal_file *f, int fd, int64_t size, dal_error *err)
{
    unsigned char *to = f->copy = f->host->alloc(f->host, (size_t)size, 0);
    if (!to)
        return no_memory(f, err);
    f->raw = to;
    while (f->raw_size < size) {
        const ssize_t n = read(fd, to + f->raw_size, (size_t)(size - f->raw_size));
        if (n < 0 && errno != EINTR)
            return dal_fail(err, DAL_E_IO, f->key, "%s: cannot read at offset %lld: %s", f->path,
                            (long long)f->raw_size, strerror(errno));
        if (n == 0)
            break;
        f->raw_size += n > 0 ? n : 0;
    }
    return DAL_OK;
}

static dal_status map_large(dal_file *f, int fd, int64_t size, dal_error *err)
{
    void *p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return dal_fail(err, DAL_E_IO, f->key, "%s: cannot map %lld bytes: %s", f->path, (long long)size,
                        strerror(errno));
    f->map = p;
    f->raw = p;
    f->raw_size = size;
    return DAL_OK;
}

static dal_status get_raw(dal_file *f, dal_error *err)
{
    dal_status st = DAL_OK;
    struct stat info;
    /* O_NONBLOCK: a FIFO must be refused, not waited for */
    const int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dal_fail(err, errno == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, f->key, "%s: cannot open: %s",
                        f->path, strerror(errno));
    if (fstat(fd, &info) != 0)
        st = dal_fail(err, DAL_E_IO, f->key, "%s: %s", f->path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        st = dal_fail(err, DAL_E_IO, f->key, "%s: found a %s, expected a regular file", f->path,
                      S_ISDIR(info.st_mode) ? "directory" : "device or pipe");
    else if (info.st_size > SMALL)
        st = map_large(f, fd, info.st_size, err);
    else if (info.st_size > 0)
        st = read_small(f, fd, info.st_size, err);
    close(fd);
    return st;
}

/* One pass over a gzip file: inflates into out[room], or counts only when out is NULL. */
typedef struct inflation {
    z_stream z;
    int64_t in, out; /* compressed bytes consumed, bytes produced */
} inflation;

static dal_status damaged(const dal_file *f, const inflation *p, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, f->key,
                    "%s: damaged gzip data at offset %lld (%s), after %lld good bytes", f->path,
                    (long long)p->in, p->z.msg ? p->z.msg : "not a deflate stream", (long long)p->out);
}

static dal_status truncated(const dal_file *f, const inflation *p, dal_error *err)
{
    return dal_fail(err, DAL_E_FORMAT, f->key,
                    "%s: truncated gzip data: the file ends at offset %lld inside the stream, after %lld "
                    "inflated bytes; copy or download it again",
                    f->path, (long long)f->raw_size, (long long)p->out);
}

/* At most `want` bytes more into dst. *ended: the member's trailer was read and is right. */
static dal_status inflate_some(const dal_file *f, inflation *p, unsigned char *dst, int64_t want,
                               int *ended, dal_error *err)
{
    p->z.next_out = dst;
    p->z.avail_out = (uInt)want;
    *ended = 0;
    while (p->z.avail_out > 0 && !*ended) {
        const int64_t left = f->raw_size - p->in;
        const uInt before_in = (uInt)(left > STEP ? STEP : left), before_out = p->z.avail_out;
        p->z.next_in = f->raw + p->in;
        p->z.avail_in = before_in;
        const int rc = inflate(&p->z, Z_NO_FLUSH);
        p->in += before_in - p->z.avail_in;
        p->out += before_out - p->z.avail_out;
        if (rc == Z_MEM_ERROR)
            return no_memory(f, err);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return damaged(f, p, err);
        if (rc != Z_STREAM_END && p->in == f->raw_size && p->z.avail_out > 0)
            return truncated(f, p, err);
        *ended = rc == Z_STREAM_END;
    }
    return DAL_OK;
}

static int is_gzip(const unsigned char *p, int64_t n)
{
    return n >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

static dal_status start(const dal_file *f, inflation *p, dal_error *err)
{
    *p = (inflation){0};
    if (inflateInit2(&p->z, 15 + 16) != Z_OK)
        return no_memory(f, err);
    return DAL_OK;
}

/* Is there nothing but zeros from offset `at` on? Tapes and disks pad with them. */
static int only_zeros(const dal_file *f, int64_t at)
{
    while (at < f->raw_size && f->raw[at] == 0)
        at++;
    return at == f->raw_size;
}

/* After the end of a member: *more when another one follows; anything else but zeros is refused. */
static dal_status next_member(const dal_file *f, inflation *p, int *more, dal_error *err)
{
    *more = is_gzip(f->raw + p->in, f->raw_size - p->in);
    if (*more)
        return inflateReset(&p->z) == Z_OK ? DAL_OK : damaged(f, p, err);
    return only_zeros(f, p->in)
               ? DAL_OK
               : dal_fail(err, DAL_E_FORMAT, f->key,
                          "%s: %lld trailing bytes after the end of the gzip data at offset %lld", f->path,
                          (long long)(f->raw_size - p->in), (long long)p->in);
}

#ifdef DAL_HAVE_DEFLATE
/* A file that is inflated at once into out[room]. */
typedef struct whole {
    const dal_file *file;
    unsigned char *out;
    int64_t room, size;
    int good;
    atomic_int done;
} whole;

/* A member whose header has no checksum of its own: few have one, and libdeflate does not look at it. */
static int is_plain_member(const dal_file *f, int64_t at)
{
    return is_gzip(f->raw + at, f->raw_size - at) && f->raw_size - at > 3 && !(f->raw[at + 3] & 2);
}

static void inflate_whole(whole *w)
{
    const dal_file *f = w->file;
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    int64_t in = 0;
    w->good = d != NULL;
    while (w->good && is_plain_member(f, in)) {
        size_t used = 0, made = 0;
        w->good = libdeflate_gzip_decompress_ex(d, f->raw + in, (size_t)(f->raw_size - in), w->out + w->size,
                                                (size_t)(w->room - w->size), &used, &made) == LIBDEFLATE_SUCCESS;
        in += (int64_t)used;
        w->size += (int64_t)made;
    }
    w->good = w->good && only_zeros(f, in);
    if (d)
        libdeflate_free_decompressor(d);
}

/* 0: inflate; 1: meanwhile bring the pages, which one by one take a seventh of the time. */
static dal_status inflate_part(void *ctx, int64_t i)
{
    whole *w = ctx;
    if (i == 0) {
        inflate_whole(w);
        atomic_store(&w->done, 1);
    }
#ifdef MADV_POPULATE_WRITE
    for (int64_t at = 0; i == 1 && at < w->room && !atomic_load(&w->done); at += STEP)
        madvise(w->out + at, (size_t)(w->room - at < STEP ? w->room - at : STEP), MADV_POPULATE_WRITE);
#endif
    return DAL_OK;
}
#endif

/* All of it into dst[room], which temp_map gave, by libdeflate, in half of zlib's time. 0: it is not there, or
 * something is not as it should be, which zlib then finds once more and tells where. */
static int inflate_at_once(const dal_file *f, unsigned char *dst, int64_t room, int64_t *size)
{
#ifdef DAL_HAVE_DEFLATE
    whole w = {.file = f, .out = dst, .room = room};
    if (room <= AT_ONCE)
        f->host->parallel_for(f->host, 2, inflate_part, &w);
    *size = w.size;
    return w.good;
#else
    (void)f, (void)dst, (void)room, (void)size;
    return 0;
#endif
}

/* Inflate everything into dst[room], or through a scratch block when dst is NULL, where room is only a
 * bound. *size: what came out. */
static dal_status inflate_all(const dal_file *f, unsigned char *dst, int64_t room, int64_t *size,
                              dal_error *err)
{
    inflation p;
    int more = 1;
    unsigned char probe[1];
    unsigned char *scratch = NULL;
    if (dst && inflate_at_once(f, dst, room, size))
        return DAL_OK;
    dal_status st = start(f, &p, err);
    if (st != DAL_OK)
        return st;
    if (!dst && !(scratch = dal_array(f->host, STEP, 1)))
        st = no_memory(f, err);
    while (st == DAL_OK && more) {
        const int64_t left = room - p.out, want = left > STEP ? STEP : left;
        int ended;
        /* with the room used up there must be nothing left but the trailer: one byte tells */
        if (want > 0)
            st = inflate_some(f, &p, dst ? dst + p.out : scratch, want, &ended, err);
        else
            st = inflate_some(f, &p, probe, 1, &ended, err);
        if (st == DAL_OK && p.out > room)
            st = dal_fail(err, DAL_E_OVERFLOW, f->key, "%s: gzip content of more than %lld bytes", f->path,
                          (long long)room);
        if (st == DAL_OK && ended)
            st = next_member(f, &p, &more, err);
        if (st == DAL_OK && f->host->cancelled(f->host))
            st = dal_fail(err, DAL_E_CANCELLED, f->key, "%s: stopped while inflating", f->path);
    }
    *size = p.out;
    inflateEnd(&p.z);
    if (scratch)
        f->host->free(f->host, scratch);
    return st;
}

/* All of it into dst[room], or only its size when dst is NULL. */
static dal_status unpack_all(const dal_file *f, unsigned char *dst, int64_t room, int64_t *size, dal_error *err)
{
    return f->gzip ? inflate_all(f, dst, room, size, err)
                   : file_unpack(f->host, f->path, f->key, f->raw, f->raw_size, dst, room, 0, size, err);
}

static dal_status read_head(dal_file *f, dal_error *err)
{
    if (f->packed)
        return file_unpack(f->host, f->path, f->key, f->raw, f->raw_size, f->head, DAL_FILE_HEAD, 1, &f->n_head, err);
    if (!f->gzip) {
        f->n_head = f->raw_size < DAL_FILE_HEAD ? f->raw_size : DAL_FILE_HEAD;
        if (f->n_head > 0)
            memcpy(f->head, f->raw, (size_t)f->n_head);
        return DAL_OK;
    }
    inflation p;
    int ended;
    dal_status st = start(f, &p, err);
    if (st != DAL_OK)
        return st;
    st = inflate_some(f, &p, f->head, DAL_FILE_HEAD, &ended, err);
    f->n_head = p.out;
    inflateEnd(&p.z);
    return st;
}

/* ---- members of archives -------------------------------------------------------------------------- */

/* The archive stands before it, or there is none of that name. */
static dal_status find_member(const dal_file *f, dal_archive *a, const char *name, dal_archive_member *m,
                              dal_error *err)
{
    char list[300] = "";
    size_t at = 0;
    int more = 1;
    for (;;) {
        const dal_status st = dal_archive_next(a, m, &more, err);
        if (st != DAL_OK || (more && strcmp(m->name, name) == 0))
            return st;
        if (!more)
            return dal_fail(err, DAL_E_NOT_FOUND, f->key, "%s: there is no member '%.100s' in it; it has %s", f->path,
                            name, list[0] ? list : "none");
        if (at + strlen(m->name) + 3 < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", at ? ", " : "", m->name);
    }
}

static dal_status get_member(dal_file *f, const char *name, int64_t limit, dal_error *err)
{
    dal_archive *a = NULL;
    dal_archive_member m;
    dal_status st = dal_archive_open(f->host, f->path, f->key, 0, &a, err);
    if (st == DAL_OK)
        st = find_member(f, a, name, &m, err);
    if (st == DAL_OK && m.size > limit)
        st = dal_fail(err, DAL_E_OVERFLOW, f->key, "%s: '%.100s' has %lld bytes, expected at most %lld", f->path, name,
                      (long long)m.size, (long long)limit);
    if (st == DAL_OK && m.size > 0) {
        st = f->host->temp_map(f->host, (size_t)m.size, &f->member, err);
        if (st == DAL_OK) {
            f->raw = f->member;
            f->raw_size = m.size;
            st = dal_archive_read(a, f->member, m.size, err);
        }
    }
    dal_archive_close(a);
    return st;
}

dal_status dal_file_open(const dal_host *host, const char *path, const char *key, dal_file **file,
                         dal_error *err)
{
    return dal_file_open_member(host, path, "", 0, key, file, err);
}

dal_status dal_file_open_member(const dal_host *host, const char *path, const char *member, int64_t limit,
                                const char *key, dal_file **file, dal_error *err)
{
    dal_file *f = host->alloc(host, sizeof *f, 0);
    if (!f)
        return dal_fail(err, DAL_E_NOMEM, key, "%s: no memory", path);
    *f = (dal_file){.host = host, .path = path, .key = key};
    dal_status st = member[0] ? get_member(f, member, limit, err) : get_raw(f, err);
    if (st == DAL_OK) {
        f->gzip = is_gzip(f->raw, f->raw_size);
        f->packed = file_is_packed(f->raw, f->raw_size);
        st = read_head(f, err);
    }
    if (st == DAL_OK)
        *file = f;
    else
        dal_file_close(f);
    return st;
}

void dal_file_close(dal_file *f)
{
    if (!f)
        return;
    const dal_host *host = f->host;
    if (f->inflated)
        host->temp_unmap(host, f->inflated, (size_t)f->room);
    if (f->member)
        host->temp_unmap(host, f->member, (size_t)f->raw_size);
    if (f->map)
        munmap(f->map, (size_t)f->raw_size);
    host->free(host, f->copy);
    host->free(host, f);
}

/* What a gzip file says at its end of its size: right for files of one member below 4 GiB. */
static int64_t size_hint(const dal_file *f)
{
    const unsigned char *p = f->raw + f->raw_size - 4;
    return f->raw_size < 18 ? 0 : (int64_t)p[0] | (int64_t)p[1] << 8 | (int64_t)p[2] << 16 | (int64_t)p[3] << 24;
}

/* Inflate into as much room as the hint says. *fits: it was enough. */
static dal_status load_by_hint(dal_file *f, int64_t room, int *fits, dal_error *err)
{
    void *p = NULL;
    dal_error quiet = DAL_ERROR_INIT;
    dal_status st = f->host->temp_map(f->host, (size_t)room, &p, err);
    if (st != DAL_OK)
        return st;
    f->inflated = p;
    f->room = room;
    st = inflate_all(f, f->inflated, room, &f->size, &quiet);
    *fits = st == DAL_OK;
    if (*fits)
        return st;
    f->host->temp_unmap(f->host, p, (size_t)room);
    f->inflated = NULL;
    if (st == DAL_E_OVERFLOW)
        return DAL_OK;
    if (err)
        *err = quiet;
    return st;
}

static dal_status load_packed(dal_file *f, int64_t limit, int exact, dal_error *err)
{
    /* a header may promise anything; what gzip's bytes can hold at best bounds the memory */
    const int64_t most = f->raw_size * DEFLATE_RATIO;
    int64_t room = f->gzip && most < limit ? most : limit;
    dal_status st = DAL_OK;
    const int64_t hint = f->gzip ? size_hint(f) : 0;
    int fits = 0;
    if (!exact && hint > 0 && hint <= room)
        st = load_by_hint(f, hint, &fits, err);
    if (st != DAL_OK || fits)
        return st;
    if (!exact)
        st = unpack_all(f, NULL, room, &room, err);
    if (st != DAL_OK)
        return st;
    if (room > 0) {
        void *p = NULL;
        st = f->host->temp_map(f->host, (size_t)room, &p, err);
        if (st != DAL_OK)
            return st;
        f->inflated = p;
        f->room = room;
    }
    return unpack_all(f, f->inflated, room, &f->size, err);
}

dal_status dal_file_load(dal_file *f, int64_t limit, int exact, dal_error *err)
{
    if (f->loaded)
        return DAL_OK;
    dal_status st = DAL_OK;
    if (f->gzip || f->packed)
        st = load_packed(f, limit, exact, err);
    else
        f->size = f->raw_size;
    f->loaded = st == DAL_OK;
    return st;
}

const char *dal_file_path(const dal_file *f)
{
    return f->path;
}

int dal_file_is_gzip(const dal_file *f)
{
    return f->gzip || f->packed;
}

const unsigned char *dal_file_head(const dal_file *f, int64_t *n)
{
    *n = f->n_head;
    return f->head;
}

const unsigned char *dal_file_data(const dal_file *f, int64_t *size)
{
    static const unsigned char empty[1] = {0};
    *size = f->size;
    const unsigned char *data = f->gzip || f->packed ? f->inflated : f->raw;
    return data ? data : empty;
}
