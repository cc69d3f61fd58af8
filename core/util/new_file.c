#include "util/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/text.h"

static dal_status failed(dal_error *err, const char *path)
{
    return dal_fail(err, DAL_E_IO, "", "%s: cannot be written: %s", path, strerror(errno));
}

dal_status new_file_open(const char *path, new_file *f, dal_error *err)
{
    *f = (new_file){NULL, xstrdup(path), xasprintf("%s.XXXXXX", path)};
    const int fd = mkostemp(f->other, O_CLOEXEC);
    if (fd >= 0)
        f->out = fdopen(fd, "w+");
    if (f->out)
        return DAL_OK;
    const dal_status st = failed(err, path);
    if (fd >= 0) {
        close(fd);
        unlink(f->other);
    }
    free(f->path);
    free(f->other);
    *f = (new_file){0};
    return st;
}

dal_status new_file_commit(new_file *f, dal_error *err)
{
    const mode_t mask = umask(0);
    umask(mask);
    bool good = fflush(f->out) == 0 && !ferror(f->out) && fchmod(fileno(f->out), 0666 & ~mask) == 0 &&
                fsync(fileno(f->out)) == 0;
    if (!good && errno == 0)
        errno = EIO;
    good = good && rename(f->other, f->path) == 0;
    const dal_status st = good ? DAL_OK : failed(err, f->path);
    if (good)
        f->other[0] = '\0';
    new_file_drop(f);
    return st;
}

void new_file_drop(new_file *f)
{
    if (f->out)
        fclose(f->out);
    if (f->other && *f->other)
        unlink(f->other);
    free(f->path);
    free(f->other);
    *f = (new_file){0};
}
