#include "dataset/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dataset/files.h"
#include "dataset/transfer.h"
#include "util/text.h"

dal_status make_folder_of(const char *path, const char *option, dal_error *err)
{
    char *folder = xstrdup(path);
    dal_status st = DAL_OK;
    for (char *slash = strchr(folder + 1, '/'); st == DAL_OK && slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            st = dal_fail(err, DAL_E_IO, "", "%s: cannot make this folder: %s; name another with %s", folder,
                          strerror(errno), option);
        *slash = '/';
    }
    free(folder);
    return st;
}

/* ---- the .part ---- */

typedef struct part {
    const fetch_job *job;
    char *path;
    int fd;
} part;

static dal_status open_failed(const part *p, dal_error *err)
{
    return dal_fail(err, DAL_E_IO, "", "%s: cannot be written: %s", p->path, strerror(errno));
}

/* Is the file that we locked still the one of that name? Who held it before may have given it its final one. */
static bool is_current(const part *p)
{
    struct stat ours, named;
    return fstat(p->fd, &ours) == 0 && stat(p->path, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

static dal_status lock(part *p, dal_error *err)
{
    bool told = false;
    while (flock(p->fd, LOCK_EX | LOCK_NB) != 0) {
        const fetch_job *j = p->job;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return open_failed(p, err);
        if (!told && j->note)
            j->note(j->ctx, "another program is fetching the same file: waiting for it");
        told = true;
        if (j->progress && j->progress(j->ctx, 0, 0))
            return dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    return DAL_OK;
}

/* *done: it was fetched by somebody else while we waited. */
static dal_status open_part(part *p, bool *done, dal_error *err)
{
    *done = false;
    for (;;) {
        p->fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (p->fd < 0)
            return open_failed(p, err);
        const dal_status st = lock(p, err);
        if (st != DAL_OK)
            return st;
        if (access(p->job->path, F_OK) == 0) {
            if (is_current(p))
                unlink(p->path);
            *done = true;
            return DAL_OK;
        }
        if (is_current(p))
            return DAL_OK;
        close(p->fd);
        p->fd = -1;
    }
}

/* How much of it can be gone on with. */
static dal_status bytes_to_keep(const part *p, int64_t *keep, dal_error *err)
{
    struct stat s;
    if (fstat(p->fd, &s) != 0)
        return open_failed(p, err);
    *keep = s.st_size;
    if (!*p->job->sha256 || (p->job->size >= 0 && s.st_size > p->job->size))
        *keep = 0;
    if (*keep != s.st_size && ftruncate(p->fd, *keep) != 0)
        return open_failed(p, err);
    return DAL_OK;
}

/* ---- all of it ---- */

/* Again and again from where it was cut, as long as that brings something. */
static dal_status bring_all(const part *p, dal_error *err)
{
    const fetch_job *j = p->job;
    int64_t have, before;
    dal_status st = bytes_to_keep(p, &have, err);
    for (int idle = 0; st == DAL_OK && (j->size < 0 || have < j->size);) {
        before = have;
        bool again = false;
        st = transfer(j, p->fd, p->path, &have, &again, err);
        if (st == DAL_OK)
            break;
        idle = have > before && *j->sha256 ? 0 : idle + 1; /* without a hash each time is a new beginning */
        if (!again || idle > j->retries)
            break;
        if (!*j->sha256) { /* nobody could tell whether two halves belong together */
            have = 0;
            if (ftruncate(p->fd, 0) != 0)
                return open_failed(p, err);
        }
        if (j->note)
            j->note(j->ctx, err->text);
        st = j->progress && j->progress(j->ctx, have, j->size) ? dal_fail(err, DAL_E_CANCELLED, "", "interrupted")
            : DAL_OK;
        if (st == DAL_OK)
            nanosleep(&(struct timespec){0, 200000000 + idle * 300000000}, NULL);
    }
    return st;
}

static dal_status verify(const part *p, dal_error *err)
{
    const fetch_job *j = p->job;
    char digest[65];
    int64_t bytes;
    const dal_status st = file_sha256(p->path, NULL, digest, &bytes, err);
    if (st != DAL_OK)
        return st;
    const bool wrong_size = j->size >= 0 && bytes != j->size, wrong = *j->sha256 && strcmp(digest, j->sha256) != 0;
    if (!wrong_size && !wrong)
        return DAL_OK;
    unlink(p->path); /* nothing to go on with */
    if (wrong_size)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "%s: %lld bytes came, expected %lld; the original has changed, or that is another file; "
                        "nothing was kept", j->url, (long long)bytes, (long long)j->size);
    return dal_fail(err, DAL_E_FORMAT, "",
                    "%s: what came has the SHA-256 %s, expected %s; the original has changed, or somebody sends "
                    "something else; nothing was kept", j->url, digest, j->sha256);
}

static dal_status name_it(const part *p, dal_error *err)
{
    if (fsync(p->fd) != 0 || rename(p->path, p->job->path) != 0)
        return dal_fail(err, DAL_E_IO, "", "%s: cannot be written: %s", p->job->path, strerror(errno));
    return DAL_OK;
}

dal_status fetch_file(const fetch_job *job, dal_error *err)
{
    part p = {job, xasprintf("%s.part", job->path), -1};
    bool done = false;
    dal_status st = make_folder_of(job->path, "--into", err);
    if (st == DAL_OK)
        st = open_part(&p, &done, err);
    if (st == DAL_OK && !done)
        st = bring_all(&p, err);
    if (st == DAL_OK && !done)
        st = verify(&p, err);
    if (st == DAL_OK && !done)
        st = name_it(&p, err);
    struct stat s;
    if (st != DAL_OK && p.fd >= 0 && fstat(p.fd, &s) == 0 && s.st_size == 0 && is_current(&p))
        unlink(p.path);
    if (p.fd >= 0)
        close(p.fd); /* and with it the lock */
    free(p.path);
    return st;
}
