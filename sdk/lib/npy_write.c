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
    case DAL_NPY_F32: return little ? "<f4" : ">f4";
    case DAL_NPY_F64: return little ? "<f8" : ">f8";
    case DAL_NPY_I64: return little ? "<i8" : ">i8";
    default: return NULL;
    }
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

static dal_status replace_file(const char *path, const void *head, size_t head_bytes, const void *data,
                               size_t bytes, dal_error *err)
{
    char temp[PATH_MAX + 64];
    int fd = open_beside(path, temp, sizeof temp);
    if (fd < 0)
        return dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", path, strerror(errno));
    int failed = write_all(fd, head, head_bytes) || write_all(fd, data, bytes) || fsync(fd);
    int why = errno;
    if (close(fd) != 0 && !failed) {
        failed = 1;
        why = errno;
    }
    if (!failed && rename(temp, path) != 0) {
        failed = 1;
        why = errno;
    }
    if (failed) {
        unlink(temp);
        return dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", path, strerror(why));
    }
    sync_directory_of(temp);
    return DAL_OK;
}

dal_status dal_npy_write(const char *path, uint32_t type, uint32_t ndim, const int64_t *shape,
                         const void *data, dal_error *err)
{
    char head[256], target[PATH_MAX];
    struct stat info;
    const char *descr = descr_of(type);
    int64_t bytes = type == DAL_NPY_F32 ? 4 : 8;
    if (!descr || ndim < 1 || ndim > 3)
        return dal_fail(err, DAL_E_INVALID, "", "%s: type %u with %u dimensions cannot be written, expected "
                        "f32, f64 or i64 with 1 to 3", path, type, ndim);
    for (uint32_t i = 0; i < ndim; i++)
        if (!dal_size_mul(bytes, shape[i], &bytes))
            return dal_fail(err, DAL_E_OVERFLOW, "", "%s: its shape does not fit 64 bits", path);
    /* Renaming over a link would replace the link; over /dev/stdout, the device. */
    if (stat(path, &info) == 0) {
        if (!S_ISREG(info.st_mode))
            return dal_fail(err, DAL_E_IO, "", "%s: is not a regular file, a .npy file can only replace one",
                            path);
        if (!realpath(path, target))
            return dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", path, strerror(errno));
        path = target;
    }
    const size_t head_bytes = make_header(head, sizeof head, descr, ndim, shape);
    return replace_file(path, head, head_bytes, data, (size_t)bytes, err);
}
