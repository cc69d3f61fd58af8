#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/new_file.h"
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

dal_status file_write(const char *path, const void *data, size_t n, dal_error *err)
{
    new_file f;
    dal_status st = new_file_open(path, &f, err);
    if (st != DAL_OK)
        return st;
    setvbuf(f.out, NULL, _IONBF, 0); /* it is one piece */
    errno = 0;
    if (fwrite(data, 1, n, f.out) == n)
        return new_file_commit(&f, err);
    st = failed(err, "written", path);
    new_file_drop(&f);
    return st;
}
