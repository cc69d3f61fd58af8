#include "dataset/files.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/folders.h"
#include "util/text.h"

/* dir/path when there is such a file, else NULL. */
static char *there(const char *dir, size_t n, const char *path)
{
    char *full = *path == '/' ? xstrdup(path) : xasprintf("%.*s/%s", (int)n, dir, path);
    if (access(full, F_OK) == 0)
        return full;
    free(full);
    return NULL;
}

char *card_file_where(const card *c, const card_file *f)
{
    int n;
    const char *const *dirs = folders_of_data(&n), *slash = strrchr(c->path, '/');
    char *found = NULL;
    for (int i = 0; i < n && !found; i++)
        found = there(dirs[i], strlen(dirs[i]), f->path);
    if (!found)
        found = there(slash ? c->path : ".", slash ? (size_t)(slash - c->path) : 1, f->path);
    return found;
}

card_state card_state_of(const card *c, int64_t *bytes)
{
    int needed = 0, have = 0;
    int64_t sum = 0;
    for (int i = 0; i < c->n_files; i++) {
        char *path = card_file_where(c, &c->files[i]);
        struct stat s;
        needed += !c->files[i].optional;
        if (path && stat(path, &s) == 0) {
            have += !c->files[i].optional;
            sum += s.st_size;
        }
        free(path);
    }
    if (bytes)
        *bytes = sum;
    return have == needed ? CARD_THERE : have ? CARD_PARTLY : CARD_MISSING;
}

const char *card_state_name(card_state s)
{
    return s == CARD_THERE ? "there" : s == CARD_PARTLY ? "partly" : "missing";
}

/* ---- hashes ---- */

static dal_status hash_all(int fd, const char *path, int64_t total, const hash_watch *watch, struct sha256_ctx *h,
                           int64_t *bytes, dal_error *err)
{
    enum { BLOCK = 1 << 18, TELL = 1 << 24 };
    unsigned char *block = xcalloc(1, BLOCK);
    dal_status st = DAL_OK;
    *bytes = 0;
    for (int64_t told = 0; st == DAL_OK;) {
        const ssize_t n = read(fd, block, BLOCK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            st = dal_fail(err, DAL_E_IO, "", "%s: cannot be read at offset %lld: %s", path, (long long)*bytes,
                          strerror(errno));
        if (n <= 0)
            break;
        sha256_update(h, (size_t)n, block);
        *bytes += n;
        if (watch && *bytes - told >= TELL) {
            told = *bytes;
            if (watch->tell(watch->ctx, told, total))
                st = dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        }
    }
    free(block);
    return st;
}

dal_status file_sha256(const char *path, const hash_watch *watch, char out[65], int64_t *bytes, dal_error *err)
{
    struct stat s;
    struct sha256_ctx h;
    uint8_t digest[SHA256_DIGEST_SIZE];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &s) != 0) {
        const int code = errno;
        if (fd >= 0)
            close(fd);
        return dal_fail(err, code == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, "", "%s: cannot be opened: %s", path,
                        strerror(code));
    }
    if (!S_ISREG(s.st_mode)) {
        close(fd);
        return dal_fail(err, DAL_E_INVALID, "", "%s: is no plain file", path);
    }
    sha256_init(&h);
    const dal_status st = hash_all(fd, path, s.st_size, watch, &h, bytes, err);
    close(fd);
    sha256_digest(&h, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return st;
}
