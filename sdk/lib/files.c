#include <dal/archive.h>
#include <dal/files.h>
#include <dal/zip.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEEPEST 64                          /* folders in folders */
#define MOST_FILES ((int64_t)1 << 28)       /* no disk has more in one data set */
#define MOST_NAMES ((int64_t)16 << 30)      /* bytes of all names */
#define FIRST_STORE ((int64_t)1 << 20)      /* stores for what is unpacked begin with this size, double, */
#define LARGEST_STORE ((int64_t)256 << 20) /* and end with this one */

/* One file. Where it lies is, for a folder: nowhere else; .zip: `at` is the member; .tar: `at` is the offset in the
 * file; packed .tar: `data`. */
typedef struct entry {
    int64_t name, size, at;
    const unsigned char *data;
} entry;

/* A stretch of temporary space. */
typedef struct store {
    unsigned char *data;
    int64_t size, used;
} store;

enum { FOLDER, ZIP, TAR, PACKED };

struct dal_files {
    const dal_host *host;
    const char *path, *key;
    int (*wanted)(void *ctx, const char *name);
    void *ctx;
    int kind, fd; /* fd: of the folder or of the plain .tar file */
    dal_zip *zip;
    entry *entries;
    int64_t n, room;
    char *names; /* NUL-ended, one after the other */
    int64_t n_names, names_room;
    store *stores;
    int64_t n_stores, stores_room;
};

static dal_status no_memory(const dal_files *f, dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, f->key, "%s: no memory to list it", f->path);
}

/* Room for one element more of an array of n. */
static int grow(const dal_host *host, void *array, int64_t n, int64_t more, int64_t *room, size_t size)
{
    void **a = array;
    if (n + more <= *room)
        return 1;
    const int64_t wanted = n + more > 2 * *room ? n + more + 64 : 2 * *room;
    void *p = dal_array(host, wanted, size);
    if (!p)
        return 0;
    if (n > 0)
        memcpy(p, *a, (size_t)n * size);
    host->free(host, *a);
    *a = p;
    *room = wanted;
    return 1;
}

/* ---- names ------------------------------------------------------------------------------------ */

static int is_hidden(const char *part, size_t n)
{
    if (n == 8 && memcmp(part, "__MACOSX", 8) == 0)
        return 1;
    return part[0] == '.' && n > 1 && !(n == 2 && part[1] == '.');
}

/* Is a part of the path hidden? */
static int any_hidden(const char *name)
{
    for (const char *p = name;; p++) {
        const size_t n = strcspn(p, "/");
        if (is_hidden(p, n))
            return 1;
        p += n;
        if (!*p)
            return 0;
    }
}

/* Add a file when it is wanted; *added is the new entry or NULL. */
static dal_status add(dal_files *f, const char *name, int64_t size, int64_t at, entry **added, dal_error *err)
{
    const int64_t bytes = (int64_t)strlen(name) + 1;
    *added = NULL;
    if (any_hidden(name) || (f->wanted && !f->wanted(f->ctx, name)))
        return DAL_OK;
    if (f->n >= MOST_FILES || f->n_names + bytes > MOST_NAMES)
        return dal_fail(err, DAL_E_OVERFLOW, f->key, "%s: more than %lld files", f->path, (long long)f->n);
    if (!grow(f->host, &f->entries, f->n, 1, &f->room, sizeof *f->entries) ||
        !grow(f->host, &f->names, f->n_names, bytes, &f->names_room, 1))
        return no_memory(f, err);
    memcpy(f->names + f->n_names, name, (size_t)bytes);
    *added = &f->entries[f->n++];
    **added = (entry){.name = f->n_names, .size = size, .at = at};
    f->n_names += bytes;
    return DAL_OK;
}

/* As bytes, '/' before all others: the order of a tree whose folders are in order. */
static int compare_names(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    const int x = *a == '/' ? 1 : (unsigned char)*a, y = *b == '/' ? 1 : (unsigned char)*b;
    return x - y;
}

static int compare_entries(const void *a, const void *b, void *names)
{
    const entry *x = a, *y = b;
    const char *all = names;
    return compare_names(all + x->name, all + y->name);
}

static dal_status sort_entries(dal_files *f, dal_error *err)
{
    if (f->n > 1)
        qsort_r(f->entries, (size_t)f->n, sizeof *f->entries, compare_entries, f->names);
    for (int64_t i = 1; i < f->n; i++)
        if (strcmp(dal_files_name(f, i - 1), dal_files_name(f, i)) == 0)
            return dal_fail(err, DAL_E_FORMAT, f->key, "%s: '%.200s' is in it twice", f->path, dal_files_name(f, i));
    return DAL_OK;
}

/* ---- a folder --------------------------------------------------------------------------------- */

/* A walk: where it is, and which folders it came through. */
typedef struct walk {
    char name[4096];
    int depth;
    struct {
        dev_t dev;
        ino_t ino;
    } above[DEEPEST + 1];
} walk;

static dal_status cannot(const dal_files *f, const char *name, const char *what, dal_error *err)
{
    return dal_fail(err, errno == EMFILE || errno == ENFILE ? DAL_E_FAILED : DAL_E_IO, f->key,
                    "%s%s%.300s: cannot %s: %s", f->path, *name ? "/" : "", name, what, strerror(errno));
}

static dal_status list_folder(dal_files *f, walk *w, dal_error *err);

static dal_status enter(dal_files *f, walk *w, const struct stat *s, dal_error *err)
{
    for (int i = 0; i <= w->depth; i++)
        if (w->above[i].dev == s->st_dev && w->above[i].ino == s->st_ino)
            return dal_fail(err, DAL_E_FORMAT, f->key, "%s/%.300s: a link that leads back to a folder it lies in",
                            f->path, w->name);
    if (w->depth == DEEPEST)
        return dal_fail(err, DAL_E_FORMAT, f->key, "%s/%.300s: folders more than %d deep", f->path, w->name, DEEPEST);
    w->above[++w->depth].dev = s->st_dev;
    w->above[w->depth].ino = s->st_ino;
    const dal_status st = list_folder(f, w, err);
    w->depth--;
    return st;
}

/* What w->name, in the folder dir, is. */
static dal_status look_at(dal_files *f, walk *w, int dir, const char *name, dal_error *err)
{
    struct stat s;
    entry *e;
    if (fstatat(dir, name, &s, 0) != 0) {
        if (errno != ENOENT || fstatat(dir, name, &s, AT_SYMLINK_NOFOLLOW) != 0)
            return cannot(f, w->name, "look at it", err);
        return dal_fail(err, DAL_E_IO, f->key,
                        "%s/%.300s: a symbolic link to nothing; remove it, or bring back what it leads to", f->path,
                        w->name);
    }
    if (S_ISDIR(s.st_mode))
        return enter(f, w, &s, err);
    if (!S_ISREG(s.st_mode))
        return DAL_OK;
    const dal_status st = add(f, w->name, s.st_size, 0, &e, err);
    if (st == DAL_OK && e && faccessat(dir, name, R_OK, AT_EACCESS) != 0)
        return cannot(f, w->name, "read it", err);
    return st;
}

/* The folder w->name, "" for the topmost. */
static dal_status list_folder(dal_files *f, walk *w, dal_error *err)
{
    const size_t length = strlen(w->name);
    const int fd = openat(f->fd, length ? w->name : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    dal_status st = DAL_OK;
    if (!dir) {
        st = cannot(f, w->name, "list it", err);
        if (fd >= 0)
            close(fd);
        return st;
    }
    while (st == DAL_OK) {
        errno = 0;
        const struct dirent *d = readdir(dir);
        if (!d && errno != 0)
            st = cannot(f, w->name, "list it", err);
        if (!d)
            break;
        if (strcmp(d->d_name, "..") == 0 || d->d_name[0] == '.')
            continue;
        const int n = snprintf(w->name + length, sizeof w->name - length, "%s%s", length ? "/" : "", d->d_name);
        if (n < 0 || (size_t)n >= sizeof w->name - length)
            st = dal_fail(err, DAL_E_OVERFLOW, f->key, "%s/%.300s: a path of over %zu bytes", f->path, w->name,
                          sizeof w->name);
        else
            st = look_at(f, w, fd, d->d_name, err);
        w->name[length] = '\0';
        if (st == DAL_OK && f->host->cancelled(f->host))
            st = dal_fail(err, DAL_E_CANCELLED, f->key, "%s: stopped while listing it", f->path);
    }
    closedir(dir);
    return st;
}

static dal_status open_folder(dal_files *f, const struct stat *s, dal_error *err)
{
    walk w = {.depth = 0};
    f->kind = FOLDER;
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd < 0)
        return cannot(f, "", "open", err);
    w.above[0].dev = s->st_dev;
    w.above[0].ino = s->st_ino;
    return list_folder(f, &w, err);
}

/* ---- an archive ------------------------------------------------------------------------------- */

static dal_status open_zip(dal_files *f, dal_error *err)
{
    entry *e;
    f->kind = ZIP;
    dal_status st = dal_zip_open(f->host, f->path, f->key, &f->zip, err);
    for (int64_t i = 0; st == DAL_OK && i < dal_zip_count(f->zip); i++) {
        const char *name = dal_zip_name(f->zip, i);
        while (*name == '/' || (name[0] == '.' && name[1] == '/'))
            name += *name == '/' ? 1 : 2;
        if (*name && dal_zip_is_file(f->zip, i))
            st = add(f, name, dal_zip_size(f->zip, i), i, &e, err);
    }
    return st;
}

/* Room for `size` bytes that stay until the end. */
static dal_status reserve(dal_files *f, int64_t size, unsigned char **to, dal_error *err)
{
    store *last = f->n_stores > 0 ? &f->stores[f->n_stores - 1] : NULL;
    if (!last || last->size - last->used < size) {
        int64_t room = last ? 2 * last->size : FIRST_STORE;
        room = room > LARGEST_STORE ? LARGEST_STORE : room;
        room = room > size ? room : size;
        if (!grow(f->host, &f->stores, f->n_stores, 1, &f->stores_room, sizeof *f->stores))
            return no_memory(f, err);
        void *p = NULL;
        const dal_status st = f->host->temp_map(f->host, (size_t)room, &p, err);
        if (st != DAL_OK)
            return st;
        last = &f->stores[f->n_stores++];
        *last = (store){p, room, 0};
    }
    *to = last->data + last->used;
    last->used += size;
    return DAL_OK;
}

/* Growth is bounded before any room is taken: a member cannot be larger than what the archive may grow to. */
static dal_status unpack(dal_files *f, dal_archive *a, entry *e, int64_t file_size, dal_error *err)
{
    enum { GROWTH = 1032, SMALL = 64 << 20 };
    unsigned char *to = NULL;
    if (e->size > SMALL && e->size / GROWTH > file_size)
        return dal_fail(err, DAL_E_OVERFLOW, f->key, "%s: '%.200s' is said to have %lld bytes, in a file of %lld",
                        f->path, f->names + e->name, (long long)e->size, (long long)file_size);
    dal_status st = reserve(f, e->size, &to, err);
    if (st == DAL_OK)
        st = dal_archive_read(a, to, e->size, err);
    e->data = to;
    e->at = -1;
    return st;
}

static dal_status open_tar(dal_files *f, int64_t file_size, dal_error *err)
{
    dal_archive *a = NULL;
    dal_archive_member m;
    int more = 1;
    dal_status st = dal_archive_open(f->host, f->path, f->key, 0, &a, err);
    f->kind = TAR;
    while (st == DAL_OK && (st = dal_archive_next(a, &m, &more, err)) == DAL_OK && more) {
        entry *e;
        st = add(f, m.name, m.size, m.offset, &e, err);
        if (st == DAL_OK && e && m.offset < 0)
            st = unpack(f, a, e, file_size, err);
    }
    if (st == DAL_OK && dal_archive_links(a) > 0)
        dal_logf(f->host, DAL_LOG_WARNING, "%s: %lld links in it are left out", f->path,
                 (long long)dal_archive_links(a));
    dal_archive_close(a);
    if (st == DAL_OK && (f->fd = open(f->path, O_RDONLY | O_CLOEXEC)) < 0)
        st = cannot(f, "", "open", err);
    return st;
}

static int looks_zip(const char *path)
{
    char head[4] = {0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const ssize_t n = fd < 0 ? 0 : pread(fd, head, 4, 0);
    if (fd >= 0)
        close(fd);
    return n == 4 && (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "PK\5\6", 4) == 0);
}

dal_status dal_files_open(const dal_host *host, const char *path, const char *key,
                          int (*wanted)(void *ctx, const char *name), void *ctx, dal_files **files, dal_error *err)
{
    struct stat s;
    dal_files *f = host->alloc(host, sizeof *f, 0);
    if (!f)
        return dal_fail(err, DAL_E_NOMEM, key, "%s: no memory", path);
    *f = (dal_files){.host = host, .path = path, .key = key, .wanted = wanted, .ctx = ctx, .fd = -1};
    dal_status st;
    if (stat(path, &s) != 0)
        st = dal_fail(err, errno == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, key, "%s: cannot open: %s", path,
                      strerror(errno));
    else if (S_ISDIR(s.st_mode))
        st = open_folder(f, &s, err);
    else if (S_ISREG(s.st_mode) && looks_zip(path))
        st = open_zip(f, err);
    else
        st = open_tar(f, s.st_size, err);
    if (st == DAL_OK)
        st = sort_entries(f, err);
    if (st == DAL_OK)
        *files = f;
    else
        dal_files_close(f);
    return st;
}

void dal_files_close(dal_files *f)
{
    if (!f)
        return;
    for (int64_t i = 0; i < f->n_stores; i++)
        f->host->temp_unmap(f->host, f->stores[i].data, (size_t)f->stores[i].size);
    if (f->fd >= 0)
        close(f->fd);
    dal_zip_close(f->zip);
    f->host->free(f->host, f->stores);
    f->host->free(f->host, f->entries);
    f->host->free(f->host, f->names);
    f->host->free(f->host, f);
}

/* ---- files ------------------------------------------------------------------------------------ */

int64_t dal_files_count(const dal_files *f)
{
    return f->n;
}

const char *dal_files_name(const dal_files *f, int64_t i)
{
    return f->names + f->entries[i].name;
}

int64_t dal_files_size(const dal_files *f, int64_t i)
{
    return f->entries[i].size;
}

int64_t dal_files_find(const dal_files *f, const char *name)
{
    int64_t low = 0, high = f->n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = compare_names(name, dal_files_name(f, middle));
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

void dal_files_place(const dal_files *f, int64_t i, char *out, size_t size)
{
    snprintf(out, size, "%s%c%s", f->path, f->kind == FOLDER ? '/' : ':', dal_files_name(f, i));
    for (; size > 0 && *out; out++)
        if ((unsigned char)*out < 0x20 || *out == 0x7f)
            *out = '?';
}

/* n bytes at an offset of an open file. */
static dal_status read_at(const dal_files *f, int64_t i, int fd, int64_t at, unsigned char *to, int64_t n,
                          dal_error *err)
{
    char place[512];
    for (int64_t done = 0; done < n;) {
        const ssize_t got = pread(fd, to + done, (size_t)(n - done), at + done);
        if (got > 0) {
            done += got;
        } else if (got == 0 || errno != EINTR) {
            dal_files_place(f, i, place, sizeof place);
            return got == 0 ? dal_fail(err, DAL_E_IO, f->key, "%s: it has changed: %lld bytes less than before", place,
                                       (long long)(n - done))
                            : dal_fail(err, DAL_E_IO, f->key, "%s: cannot read at offset %lld: %s", place,
                                       (long long)(at + done), strerror(errno));
        }
    }
    return DAL_OK;
}

static dal_status read_file(const dal_files *f, int64_t i, unsigned char *to, int64_t n, dal_error *err)
{
    struct stat s;
    const int fd = openat(f->fd, dal_files_name(f, i), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &s) != 0) {
        const dal_status st = cannot(f, dal_files_name(f, i), "open", err);
        if (fd >= 0)
            close(fd);
        return st;
    }
    dal_status st = DAL_OK;
    if (s.st_size != f->entries[i].size)
        st = dal_fail(err, DAL_E_IO, f->key, "%s/%.300s: it has changed: %lld bytes, expected %lld", f->path,
                      dal_files_name(f, i), (long long)s.st_size, (long long)f->entries[i].size);
    else
        st = read_at(f, i, fd, 0, to, n, err);
    close(fd);
    return st;
}

dal_status dal_files_read(const dal_files *f, int64_t i, void *to, int64_t n, dal_error *err)
{
    const entry *e = &f->entries[i];
    if (n < 0 || n > e->size)
        return dal_fail(err, DAL_E_INVALID, f->key, "%s: %lld bytes of '%.200s' were asked for, there are %lld",
                        f->path, (long long)n, dal_files_name(f, i), (long long)e->size);
    if (f->kind == FOLDER)
        return read_file(f, i, to, n, err);
    if (f->kind == ZIP)
        return dal_zip_read(f->zip, e->at, to, n, err);
    if (e->at >= 0)
        return read_at(f, i, f->fd, e->at, to, n, err);
    if (n > 0)
        memcpy(to, e->data, (size_t)n);
    return DAL_OK;
}
