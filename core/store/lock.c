/* Who may write a run: locks of the system on `<store>.lock`, which go when their process goes.
 *
 * Record r of the file (16 bytes at 16 r) belongs to run r and holds the writer's process number, for
 * the message that another process gets. Open-file-description locks: two handles of one process
 * exclude each other too, and closing some other descriptor of the file does not drop them.
 */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "util/text.h"

#define RECORD 16

static dal_status open_lock_file(store *s, dal_error *err)
{
    if (s->lock_fd >= 0)
        return DAL_OK;
    char *name = xasprintf("%s.lock", s->path);
    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    const dal_status st =
        s->lock_fd >= 0
            ? DAL_OK
            : dal_fail(err, DAL_E_IO, "store",
                       "%s: cannot make the lock file %s: %s; its folder must be writable: choose "
                       "another store with -o",
                       s->path, name, strerror(errno));
    free(name);
    return st;
}

static struct flock range(int64_t record, short type)
{
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = record * RECORD, .l_len = RECORD};
}

static int64_t writer_pid(const store *s, int64_t record)
{
    char digits[RECORD + 1] = "";
    if (pread(s->lock_fd, digits, RECORD, record * RECORD) <= 0)
        return 0;
    return strtoll(digits, NULL, 10);
}

static dal_status refuse(const store *s, int64_t record, dal_error *err)
{
    const long long pid = (long long)writer_pid(s, record);
    char who[48] = "another process";
    if (pid > 0)
        snprintf(who, sizeof who, "process %lld", pid);
    if (record == 0)
        return dal_fail(err, DAL_E_FAILED, "store",
                        "%s: %s has been making this store for %d s: end it, and "
                        "try again",
                        s->path, who, STORE_BUSY_MS / 1000);
    return dal_fail(err, DAL_E_FAILED, "store",
                    "%s: run %lld is being written by %s: wait until it ends, or start another run",
                    s->path, (long long)record, who);
}

dal_status store_lock_record(store *s, int64_t record, bool wait, dal_error *err)
{
    dal_status st = open_lock_file(s, err);
    if (st != DAL_OK)
        return st;
    struct flock lock = range(record, F_WRLCK);
    for (int waited_ms = 0; fcntl(s->lock_fd, F_OFD_SETLK, &lock) != 0; waited_ms += 20) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return dal_fail(err, DAL_E_IO, "store",
                            "%s: cannot lock %s.lock: %s; choose a store on a local "
                            "disk with -o",
                            s->path, s->path, strerror(errno));
        if (!wait || waited_ms > STORE_BUSY_MS)
            return refuse(s, record, err);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    char digits[24];
    snprintf(digits, sizeof digits, "%-*ld\n", RECORD - 1, (long)getpid());
    const ssize_t n = pwrite(s->lock_fd, digits, RECORD, record * RECORD);
    (void)n; /* on a full disk it is locked all the same, only the number in the message is missing */
    return DAL_OK;
}

void store_unlock_record(store *s, int64_t record)
{
    struct flock lock = range(record, F_UNLCK);
    fcntl(s->lock_fd, F_OFD_SETLK, &lock);
}

static held_run *find_held(const store *s, int64_t run)
{
    for (int64_t i = 0; i < s->n_held; i++)
        if (s->held[i]->run == run)
            return s->held[i];
    return NULL;
}

dal_status store_lock_run(store *s, int64_t run, dal_error *err)
{
    if (run < 1 || run > INT64_MAX / RECORD - 1)
        return dal_fail(err, DAL_E_INVALID, "store", "%s: there is no run %lld", s->path,
                        (long long)run);
    if (s->read_only)
        return dal_fail(err, DAL_E_INVALID, "store",
                        "%s: opened for reading only, so run %lld cannot be "
                        "locked",
                        s->path, (long long)run);
    if (find_held(s, run))
        return DAL_OK;
    const dal_status st = store_lock_record(s, run, false, err);
    if (st != DAL_OK)
        return st;
    s->held = xrealloc(s->held, (size_t)(s->n_held + 1) * sizeof *s->held);
    s->held[s->n_held] = xcalloc(1, sizeof(held_run));
    s->held[s->n_held++]->run = run;
    return DAL_OK;
}

int64_t store_writer(store *s, int64_t run)
{
    if (find_held(s, run))
        return getpid();
    const bool mine = s->lock_fd < 0;
    if (mine) {
        char *name = xasprintf("%s.lock", s->path);
        s->lock_fd = open(name, O_RDONLY | O_CLOEXEC);
        free(name);
    }
    int64_t pid = -1;
    struct flock lock = range(run, F_WRLCK);
    if (s->lock_fd >= 0 && fcntl(s->lock_fd, F_OFD_GETLK, &lock) == 0)
        pid = lock.l_type == F_UNLCK ? 0 : writer_pid(s, run);
    if (mine && s->lock_fd >= 0) {
        close(s->lock_fd);
        s->lock_fd = -1;
    }
    return pid;
}

void store_forget_run(store *s, int64_t run)
{
    for (int64_t i = 0; i < s->n_held; i++)
        if (s->held[i]->run == run) {
            free(s->held[i]->asked);
            free(s->held[i]);
            s->held[i] = s->held[--s->n_held];
            store_unlock_record(s, run);
            return;
        }
}

held_run *store_held(store *s, int64_t run, dal_error *err)
{
    held_run *h = find_held(s, run);
    if (!h)
        dal_fail(err, s->status = DAL_E_CONTRACT, "store", "%s: run %lld is written without its lock",
                 s->path, (long long)run);
    return h;
}
