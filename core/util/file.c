#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/text.h"

static dal_status failed(dal_error *err, const char *what, const char *path)
{
    const int code = errno;
    return dal_fail(err, code == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, "", "%s: cannot be %s: %s", path, what,
                    strerror(code));
}

dal_status file_read(const char *path, size_t most, char **data, size_t *n, dal_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return failed(err, "opened", path);
    char *buffer = NULL;
    size_t have = 0, room = 0;
    ssize_t got = 0;
    do {
        have += (size_t)got;
        if (room - have < 2) {
            room = 2 * room + 65536;
            buffer = xrealloc(buffer, room);
        }
        got = read(fd, buffer + have, room - have - 1);
    } while ((got > 0 && have + (size_t)got <= most) || (got < 0 && errno == EINTR && (got = 0) == 0));
    dal_status st = got < 0 ? failed(err, "read", path) : DAL_OK;
    if (got > 0)
        st = dal_fail(err, DAL_E_INVALID, "", "%s: is larger than %zu bytes", path, most);
    close(fd);
    if (st != DAL_OK) {
        free(buffer);
        return st;
    }
    buffer[have] = '\0';
    *data = buffer;
    *n = have;
    return DAL_OK;
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

dal_status file_write(const char *path, const void *data, size_t n, dal_error *err)
{
    char *other = xasprintf("%s.XXXXXX", path);
    const int fd = mkostemp(other, O_CLOEXEC);
    if (fd < 0) {
        const dal_status st = failed(err, "written", path);
        free(other);
        return st;
    }
    const mode_t mask = umask(0);
    umask(mask);
    bool good = write_all(fd, data, n) && fchmod(fd, 0666 & ~mask) == 0 && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    good = good && rename(other, path) == 0;
    const dal_status st = good ? DAL_OK : failed(err, "written", path);
    if (!good)
        unlink(other);
    free(other);
    return st;
}
