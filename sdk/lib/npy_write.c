#include <dal/npy.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALIGNMENT 64 /* where the data begins; NumPy does the same */

static const char *descr_of(uint32_t type)
{
    const int little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    switch (type) {
    case DAL_NPY_U8: return "|u1";
    case DAL_NPY_I32: return little ? "<i4" : ">i4";
    case DAL_NPY_F32: return little ? "<f4" : ">f4";
    case DAL_NPY_F64: return little ? "<f8" : ">f8";
    case DAL_NPY_I64: return little ? "<i8" : ">i8";
    default: return NULL;
    }
}

static int64_t bytes_of(uint32_t type)
{
    return type == DAL_NPY_U8 ? 1 : type == DAL_NPY_F32 || type == DAL_NPY_I32 ? 4 : 8;
}

/* Version 1.0, padded so that the data is aligned. Returns its length. */
static size_t make_header(char *out, size_t size, const char *descr, uint32_t ndim, const int64_t *shape)
{
    size_t at = 10 + (size_t)snprintf(out + 10, size - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                                      descr);
    for (uint32_t i = 0; i < ndim; i++)
        at += (size_t)snprintf(out + at, size - at, i ? " %lld," : "%lld,", (long long)shape[i]);
    if (ndim > 1)
        at--; /* only (3,) keeps its comma */
    at += (size_t)snprintf(out + at, size - at, "), }");
    while ((at + 1) % ALIGNMENT != 0)
        out[at++] = ' ';
    out[at++] = '\n';
    memcpy(out, "\x93NUMPY\x01", 8);
    out[8] = (char)((at - 10) & 0xff);
    out[9] = (char)((at - 10) >> 8);
    return at;
}

static int write_all(int fd, const void *data, size_t bytes)
{
    const char *p = data;
    while (bytes > 0) {
        const ssize_t n = write(fd, p, bytes < (1u << 30) ? bytes : (1u << 30));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* A new file beside `path`, readable as the user's umask says. Its name goes to temp. */
static int open_beside(const char *path, char *temp, size_t size)
{
    for (int i = 0; i < 100; i++) {
        if (snprintf(temp, size, "%s.part-%ld-%d", path, (long)getpid(), i) >= (int)size) {
            errno = ENAMETOOLONG;
            return -1;
        }
        const int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* The rename itself must survive a crash too. */
static void sync_directory_of(char *path)
{
    const int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); /* some file systems cannot; the file is whole either way */
        close(fd);
    }
}

struct dal_npy_writer {
    int fd;
    int64_t left; /* bytes still to come */
    char path[PATH_MAX], temp[PATH_MAX + 64];
};

static dal_status fail_write(const dal_npy_writer *w, int why, dal_error *err)
{
    return dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", w->path, strerror(why));
}

/* Renaming over a link would replace the link; over /dev/stdout, the device. */
static dal_status set_target(dal_npy_writer *w, const char *path, dal_error *err)
{
    struct stat info;
    if (snprintf(w->path, sizeof w->path, "%s", path) >= (int)sizeof w->path)
        return dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", path, strerror(ENAMETOOLONG));
    if (stat(path, &info) != 0)
        return DAL_OK;
    if (!S_ISREG(info.st_mode))
        return dal_fail(err, DAL_E_IO, "", "%s: is not a regular file, a .npy file can only replace one", path);
    return realpath(path, w->path) ? DAL_OK : fail_write(w, errno, err);
}

dal_status dal_npy_writer_open(const char *path, uint32_t type, uint32_t ndim, const int64_t *shape,
                               dal_npy_writer **out, dal_error *err)
{
    char head[256];
    const char *descr = descr_of(type);
    int64_t bytes = bytes_of(type);
    if (!descr || ndim < 1 || ndim > DAL_NPY_MAX_DIMS)
        return dal_fail(err, DAL_E_INVALID, "", "%s: type %u with %u dimensions cannot be written, expected "
                        "f32, f64, i32, i64 or u8 with 1 to %d", path, type, ndim, DAL_NPY_MAX_DIMS);
    for (uint32_t i = 0; i < ndim; i++)
        if (!dal_size_mul(bytes, shape[i], &bytes))
            return dal_fail(err, DAL_E_OVERFLOW, "", "%s: its shape does not fit 64 bits", path);
    dal_npy_writer *w = malloc(sizeof *w);
    if (!w)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to write %s", path);
    w->left = bytes;
    dal_status st = set_target(w, path, err);
    if (st == DAL_OK && (w->fd = open_beside(w->path, w->temp, sizeof w->temp)) < 0)
        st = fail_write(w, errno, err);
    if (st != DAL_OK) {
        free(w);
        return st;
    }
    *out = w;
    if (write_all(w->fd, head, make_header(head, sizeof head, descr, ndim, shape)) == 0)
        return DAL_OK;
    st = fail_write(w, errno, err);
    dal_npy_writer_abandon(w);
    return st;
}

dal_status dal_npy_writer_append(dal_npy_writer *w, const void *data, int64_t bytes, dal_error *err)
{
    if (bytes < 0 || bytes > w->left)
        return dal_fail(err, DAL_E_INVALID, "", "%s: %lld bytes are more than its shape has left, %lld", w->path,
                        (long long)bytes, (long long)w->left);
    w->left -= bytes;
    return write_all(w->fd, data, (size_t)bytes) == 0 ? DAL_OK : fail_write(w, errno, err);
}

dal_status dal_npy_writer_close(dal_npy_writer *w, int durable, dal_error *err)
{
    if (w->left > 0) {
        const dal_status st = dal_fail(err, DAL_E_INVALID, "", "%s: %lld bytes of its shape were not written", w->path,
                                       (long long)w->left);
        dal_npy_writer_abandon(w);
        return st;
    }
    int failed = durable && fsync(w->fd) != 0, why = errno;
    if (close(w->fd) != 0 && !failed) {
        failed = 1;
        why = errno;
    }
    if (!failed && rename(w->temp, w->path) != 0) {
        failed = 1;
        why = errno;
    }
    const dal_status st = failed ? fail_write(w, why, err) : DAL_OK;
    if (failed)
        unlink(w->temp);
    else if (durable)
        sync_directory_of(w->temp);
    free(w);
    return st;
}

void dal_npy_writer_abandon(dal_npy_writer *w)
{
    if (!w)
        return;
    close(w->fd);
    unlink(w->temp);
    free(w);
}

dal_status dal_npy_write(const char *path, uint32_t type, uint32_t ndim, const int64_t *shape,
                         const void *data, dal_error *err)
{
    dal_npy_writer *w;
    dal_status st = dal_npy_writer_open(path, type, ndim, shape, &w, err);
    if (st != DAL_OK)
        return st;
    st = dal_npy_writer_append(w, data, w->left, err);
    if (st == DAL_OK)
        return dal_npy_writer_close(w, 1, err);
    dal_npy_writer_abandon(w);
    return st;
}
