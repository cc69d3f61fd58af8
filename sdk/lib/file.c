#include <dal/file.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define ZLIB_CONST
#include <zlib.h>

#define STEP ((int64_t)1 << 20) /* inflated between two looks at `cancelled` */
#define SMALL ((off_t)1 << 20) /* read, not mapped: people may edit such a file while we look */
#define DEFLATE_RATIO 1032      /* no deflate stream grows by more */

struct dal_file {
    const dal_host *host;
    const char *path, *key;
    const unsigned char *raw; /* the file as it is on disk */
    void *map, *copy;         /* what raw is: a map of raw_size bytes, or memory of the host */
    int64_t raw_size;
    unsigned char *inflated; /* temp_map of room bytes; NULL: plain, or nothing to inflate */
    int64_t room, size;
    int gzip, loaded;
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

/* After the end of a member: *more when another one follows; anything else but zeros is refused. */
static dal_status next_member(const dal_file *f, inflation *p, int *more, dal_error *err)
{
    *more = is_gzip(f->raw + p->in, f->raw_size - p->in);
    if (*more)
        return inflateReset(&p->z) == Z_OK ? DAL_OK : damaged(f, p, err);
    for (int64_t i = p->in; i < f->raw_size; i++)
        if (f->raw[i] != 0)
            return dal_fail(err, DAL_E_FORMAT, f->key,
                            "%s: %lld trailing bytes after the end of the gzip data at offset %lld", f->path,
                            (long long)(f->raw_size - p->in), (long long)p->in);
    return DAL_OK;
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

static dal_status read_head(dal_file *f, dal_error *err)
{
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

dal_status dal_file_open(const dal_host *host, const char *path, const char *key, dal_file **file,
                         dal_error *err)
{
    dal_file *f = host->alloc(host, sizeof *f, 0);
    if (!f)
        return dal_fail(err, DAL_E_NOMEM, key, "%s: no memory", path);
    *f = (dal_file){.host = host, .path = path, .key = key};
    dal_status st = get_raw(f, err);
    if (st == DAL_OK) {
        f->gzip = is_gzip(f->raw, f->raw_size);
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

static dal_status load_gzip(dal_file *f, int64_t limit, int exact, dal_error *err)
{
    /* a header may promise anything; what the compressed bytes can hold at best bounds the memory */
    const int64_t most = f->raw_size * DEFLATE_RATIO;
    int64_t room = limit < most ? limit : most;
    dal_status st = DAL_OK;
    const int64_t hint = size_hint(f);
    int fits = 0;
    if (!exact && hint > 0 && hint <= room)
        st = load_by_hint(f, hint, &fits, err);
    if (st != DAL_OK || fits)
        return st;
    if (!exact)
        st = inflate_all(f, NULL, room, &room, err);
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
    return inflate_all(f, f->inflated, room, &f->size, err);
}

dal_status dal_file_load(dal_file *f, int64_t limit, int exact, dal_error *err)
{
    if (f->loaded)
        return DAL_OK;
    dal_status st = DAL_OK;
    if (f->gzip)
        st = load_gzip(f, limit, exact, err);
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
    return f->gzip;
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
    const unsigned char *data = f->gzip ? f->inflated : f->raw;
    return data ? data : empty;
}
