#include "whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

struct whole_file {
    int fd;
    mode_t mode; /* of what is replaced, 0: nothing is */
    char path[PATH_MAX], temp[PATH_MAX + 64];
};

static dal_status fail_write(const whole_file *w, int why, dal_error *err)
{
    return dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", w->path, strerror(why));
}

/* Renaming over a link would replace the link; over /dev/stdout, the device. */
static dal_status set_target(whole_file *w, const char *path, const char *what, dal_error *err)
{
    struct stat info;
    w->mode = 0;
    if (snprintf(w->path, sizeof w->path, "%s", path) >= (int)sizeof w->path)
        return dal_fail(err, DAL_E_IO, "", "%s: cannot be written (%s)", path, strerror(ENAMETOOLONG));
    if (stat(path, &info) != 0)
        return DAL_OK;
    if (!S_ISREG(info.st_mode))
        return dal_fail(err, DAL_E_IO, "", "%s: is not a regular file, %s can only replace one", path, what);
    w->mode = info.st_mode & 0777;
    return realpath(path, w->path) ? DAL_OK : fail_write(w, errno, err);
}

dal_status whole_file_open(const char *path, const char *what, whole_file **out, dal_error *err)
{
    whole_file *w = malloc(sizeof *w);
    if (!w)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to write %s", path);
    dal_status st = set_target(w, path, what, err);
    if (st == DAL_OK && (w->fd = open_beside(w->path, w->temp, sizeof w->temp)) < 0)
        st = fail_write(w, errno, err);
    if (st == DAL_OK)
        *out = w;
    else
        free(w);
    return st;
}

dal_status whole_file_append(whole_file *w, const void *data, int64_t bytes, dal_error *err)
{
    return write_all(w->fd, data, (size_t)bytes) == 0 ? DAL_OK : fail_write(w, errno, err);
}

dal_status whole_file_close(whole_file *w, int durable, dal_error *err)
{
    int failed = (w->mode && fchmod(w->fd, w->mode) != 0) || (durable && fsync(w->fd) != 0), why = errno;
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

void whole_file_abandon(whole_file *w)
{
    if (!w)
        return;
    close(w->fd);
    unlink(w->temp);
    free(w);
}

const char *whole_file_path(const whole_file *w)
{
    return w->path;
}
