#include "util/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/text.h"

static dal_status failed(dal_error *err, const char *path)
{
    const int code = errno;
    return dal_fail(err, code == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, "", "%s: cannot be written: %s", path,
                    strerror(code));
}

/* ---- where it goes ---- */

/* What a path leads to; also a link to what is not there yet. */
static char *target_of(const char *path)
{
    enum { MOST_LINKS = 40 };
    char *at = realpath(path, NULL), link[PATH_MAX];
    if (at)
        return at;
    at = xstrdup(path);
    for (int i = 0; i < MOST_LINKS; i++) {
        const ssize_t n = readlink(at, link, sizeof link - 1);
        if (n < 0)
            break;
        link[n] = '\0';
        const char *slash = strrchr(at, '/');
        char *next = *link == '/' || !slash ? xstrdup(link) : xasprintf("%.*s/%s", (int)(slash - at), at, link);
        free(at);
        at = next;
    }
    return at;
}

static bool is_same(const struct stat *there, int fd)
{
    struct stat open;
    return fstat(fd, &open) == 0 && open.st_dev == there->st_dev && open.st_ino == there->st_ino;
}

/* The descriptor of ours that is meant, which may be that of a regular file half-way written; -1: none. */
static int ours(const char *path, const struct stat *there)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (int i = 0; i < 2; i++) {
        const size_t n = strlen(folders[i]);
        char *end;
        if (strncmp(path, folders[i], n) == 0 && path[n] >= '0' && path[n] <= '9') {
            const long fd = strtol(path + n, &end, 10);
            return *end == '\0' && fd <= INT_MAX ? (int)fd : -1;
        }
    }
    return is_same(there, STDOUT_FILENO) ? STDOUT_FILENO : is_same(there, STDERR_FILENO) ? STDERR_FILENO : -1;
}

/* *into: what is there and takes everything as it comes, -1: nothing of the sort. False: errno says why not. */
static bool open_device(const char *path, int *into)
{
    struct stat there;
    *into = -1;
    if (stat(path, &there) != 0)
        return true;
    const int fd = ours(path, &there);
    if (fd < 0 && S_ISREG(there.st_mode))
        return true;
    if (fd == STDOUT_FILENO)
        fflush(stdout); /* what was printed comes first */
    *into = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return *into >= 0;
}

/* ---- open, commit, drop ---- */

static int open_other(new_file *f)
{
    const char *dir = getenv("TMPDIR");
    f->other = f->into < 0 ? xasprintf("%s.XXXXXX", f->target)
                           : xasprintf("%s/dalhost-out.XXXXXX", dir && *dir ? dir : "/tmp");
    const int fd = mkostemp(f->other, O_CLOEXEC);
    if (fd < 0 || f->into >= 0) {
        if (fd >= 0)
            unlink(f->other);
        *f->other = '\0';
    }
    return fd;
}

dal_status new_file_open(const char *path, new_file *f, dal_error *err)
{
    *f = (new_file){.path = xstrdup(path), .target = target_of(path), .into = -1};
    int fd = -1;
    if (open_device(path, &f->into)) {
        fd = open_other(f);
        if (fd >= 0)
            f->out = fdopen(fd, "w+");
    }
    if (f->out)
        return DAL_OK;
    const dal_status st = failed(err, path);
    if (fd >= 0)
        close(fd);
    new_file_drop(f);
    return st;
}

/* The other file gets the owner and the mode of what it replaces. */
static bool take_mode(const new_file *f, int fd)
{
    struct stat old;
    const mode_t mask = umask(0);
    umask(mask);
    if (stat(f->target, &old) != 0)
        return fchmod(fd, 0666 & ~mask) == 0;
    if (fchown(fd, old.st_uid, old.st_gid) != 0)
        errno = 0; /* somebody else's file becomes ours, as it does with other programs */
    return fchmod(fd, old.st_mode & 0777) == 0;
}

static bool write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        const ssize_t put = write(fd, data, n);
        if (put < 0 && errno != EINTR)
            return false;
        if (put > 0) {
            data += put;
            n -= (size_t)put;
        }
    }
    return true;
}

static bool pour(const new_file *f, int fd)
{
    char block[65536];
    ssize_t n;
    if (lseek(fd, 0, SEEK_SET) != 0)
        return false;
    while ((n = read(fd, block, sizeof block)) > 0)
        if (!write_all(f->into, block, (size_t)n))
            return false;
    return n == 0;
}

dal_status new_file_commit(new_file *f, dal_error *err)
{
    const int fd = fileno(f->out);
    errno = 0;
    bool good = fflush(f->out) == 0 && !ferror(f->out);
    if (!good && errno == 0)
        errno = EIO;
    good = good && (f->into >= 0 ? pour(f, fd)
                                 : take_mode(f, fd) && fsync(fd) == 0 && rename(f->other, f->target) == 0);
    if (good)
        *f->other = '\0';
    if (f->into >= 0 && close(f->into) != 0 && good) /* some only tell now that they could not */
        good = false;
    f->into = -1;
    const dal_status st = good ? DAL_OK : failed(err, f->path);
    new_file_drop(f);
    return st;
}

void new_file_drop(new_file *f)
{
    if (f->out)
        fclose(f->out);
    if (f->other && *f->other)
        unlink(f->other);
    if (f->path && f->into >= 0)
        close(f->into);
    free(f->path);
    free(f->target);
    free(f->other);
    *f = (new_file){.into = -1};
}
