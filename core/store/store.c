/* Opening a store, its statements, transactions and errors. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/text.h"

/* ---- errors ---- */

static const char *remedy(const store *s, int rc, int sys)
{
    if (sys == ENOSPC || sys == EDQUOT)
        rc = SQLITE_FULL;
    if (sys == EROFS || sys == EACCES || sys == EPERM)
        rc = SQLITE_READONLY;
    switch (rc) {
    case SQLITE_FULL:
        return "the disk is full; what was committed before is safe: make room, then go on with "
               "--resume";
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return s->read_only
                   ? "no permission to read it, or to make its -shm file beside it: copy it with "
                     "its -wal file to a folder of yours"
                   : "the file, its folder or its file system is read-only for this user: choose "
                     "another store with -o";
    case SQLITE_NOTADB:
        return "this file is not a run store: choose another one with -o or --store";
    case SQLITE_CORRUPT:
        return "the file is damaged: restore a copy, or save what is left with `sqlite3 FILE .recover`";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "another process has kept it locked: wait for it, or end it, and try again";
    case SQLITE_CANTOPEN:
        return "the file or its folder cannot be opened: look at the path and its permissions";
    case SQLITE_NOMEM:
        return "close other programs, or use a smaller model";
    case SQLITE_IOERR:
        return "the disk or the network file system failed: look at the system's log";
    default:
        return "this is not expected: please report it";
    }
}

dal_status store_sqlite_error(store *s, int rc, const char *doing, dal_error *err)
{
    const int code = rc & 0xff;
    const int sys = s->db && (code == SQLITE_IOERR || code == SQLITE_CANTOPEN || code == SQLITE_FULL)
                        ? sqlite3_system_errno(s->db)
                        : 0;
    const char *says =
        s->db && (sqlite3_errcode(s->db) & 0xff) == code ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
    dal_status st = DAL_E_IO;
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_ERROR)
        st = DAL_E_FORMAT;
    else if (code == SQLITE_BUSY || code == SQLITE_LOCKED || code == SQLITE_CONSTRAINT)
        st = DAL_E_FAILED;
    else if (code == SQLITE_NOMEM)
        st = DAL_E_NOMEM;
    s->status = st;
    return dal_fail(err, st, "store", "%s: cannot %s: SQLite says: %s%s%s%s; %s", s->path, doing, says,
                    sys ? " (" : "", sys ? strerror(sys) : "", sys ? ")" : "", remedy(s, code, sys));
}

dal_status store_damaged(const store *s, dal_error *err, const char *fmt, ...)
{
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return dal_fail(err, DAL_E_FORMAT, "store",
                    "%s: %s: the file is damaged or was changed by hand: restore a copy", s->path,
                    what);
}

/* ---- statements ---- */

static int bind_one(sqlite3_stmt *q, int i, const store_value *v)
{
    switch (v->kind) {
    case 'i':
        return sqlite3_bind_int64(q, i, v->i);
    case 'd':
        return sqlite3_bind_double(q, i, v->d); /* NaN becomes NULL */
    case 's':
        return sqlite3_bind_text(q, i, v->p, -1, SQLITE_STATIC);
    case 'b':
        return sqlite3_bind_blob64(q, i, v->p, (sqlite3_uint64)v->i, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(q, i);
    }
}

sqlite3_stmt *store_bind(store *s, store_sql which, const store_value *v, int n, const char *doing,
                         dal_error *err)
{
    int rc = SQLITE_OK;
    if (!s->statement[which])
        rc = sqlite3_prepare_v3(s->db, store_sql_text[which], -1, SQLITE_PREPARE_PERSISTENT,
                                &s->statement[which], NULL);
    sqlite3_stmt *q = s->statement[which];
    if (q)
        sqlite3_reset(q);
    for (int i = 0; rc == SQLITE_OK && i < n; i++)
        rc = bind_one(q, i + 1, &v[i]);
    if (rc == SQLITE_OK)
        return q;
    store_sqlite_error(s, rc, doing, err);
    return NULL;
}

int store_step(store *s, sqlite3_stmt *q, const char *doing, dal_error *err)
{
    const int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        return 1;
    if (rc != SQLITE_DONE)
        store_sqlite_error(s, rc, doing, err);
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? 0 : -1;
}

dal_status store_exec_values(store *s, store_sql which, const store_value *v, int n, const char *doing,
                             dal_error *err)
{
    sqlite3_stmt *q = store_bind(s, which, v, n, doing, err);
    if (!q)
        return s->status;
    int row = store_step(s, q, doing, err);
    if (row == 1) {
        sqlite3_reset(q);
        row = 0;
    }
    return row == 0 ? DAL_OK : s->status;
}

dal_status store_begin(store *s, store_sql how, const char *doing, dal_error *err)
{
    if (how == SQL_BEGIN_WRITE && s->read_only)
        return dal_fail(err, DAL_E_INVALID, "store", "%s: cannot %s: it was opened for reading only",
                        s->path, doing);
    return store_exec_values(s, how, NULL, 0, doing, err);
}

dal_status store_end(store *s, dal_status st, const char *doing, dal_error *err)
{
    if (st == DAL_OK)
        st = store_exec_values(s, SQL_COMMIT, NULL, 0, doing, err);
    if (!sqlite3_get_autocommit(s->db)) /* SQLite rolls back by itself after some errors */
        store_exec_values(s, SQL_ROLLBACK, NULL, 0, doing, NULL);
    return st;
}

/* ---- opening ---- */

static dal_status read_number(store *s, const char *sql, int64_t *value, dal_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(q);
        if (rc == SQLITE_ROW)
            *value = sqlite3_column_int64(q, 0);
    }
    const dal_status st = rc == SQLITE_ROW ? DAL_OK : store_sqlite_error(s, rc, "read it", err);
    sqlite3_finalize(q);
    return st;
}

static dal_status run_sql(store *s, const char *sql, const char *doing, dal_error *err)
{
    const int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? DAL_OK : store_sqlite_error(s, rc, doing, err);
}

static dal_status use_wal(store *s, dal_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, "PRAGMA journal_mode = WAL", -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    dal_status st = DAL_OK;
    if (rc != SQLITE_ROW)
        st = store_sqlite_error(s, rc, "switch on its write-ahead log", err);
    else if (strcmp((const char *)sqlite3_column_text(q, 0), "wal") != 0)
        st = dal_fail(
            err, DAL_E_IO, "store",
            "%s: this file system cannot keep a write-ahead log (it needs shared memory maps): "
            "choose a store on a local disk with -o",
            s->path);
    sqlite3_finalize(q);
    return st;
}

/* A new file is on disk only when its folder is. */
static dal_status sync_folder(const store *s, dal_error *err)
{
    char *copy = xstrdup(s->path);
    const char *folder = dirname(copy);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dal_status st = DAL_OK;
    if (fd < 0 ||
        (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)) /* some file systems have none */
        st = dal_fail(err, DAL_E_IO, "store", "%s: cannot sync its folder %s: %s", s->path, folder,
                      strerror(errno));
    if (fd >= 0)
        close(fd);
    free(copy);
    return st;
}

static dal_status set_format(store *s, const char *doing, dal_error *err)
{
    char sql[96];
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d", STORE_APPLICATION_ID,
             STORE_FORMAT);
    const dal_status st = run_sql(s, sql, doing, err);
    if (st == DAL_OK)
        s->format = STORE_FORMAT;
    return st;
}

/* Two processes may open the same old store: who comes second finds it done. */
static dal_status upgrade(store *s, dal_error *err)
{
    static const char doing[] = "bring it to the present store format";
    dal_status st = s->format < STORE_FORMAT ? store_begin(s, SQL_BEGIN_WRITE, doing, err) : DAL_OK;
    if (st != DAL_OK || s->format == STORE_FORMAT)
        return st;
    st = read_number(s, "PRAGMA user_version", &s->format, err);
    const int64_t format = s->format;
    if (st == DAL_OK && format < 2)
        st = run_sql(s, store_upgrade, doing, err);
    if (st == DAL_OK && format < 2)
        st = run_sql(s, store_tables_2, doing, err);
    if (st == DAL_OK && format < 3)
        st = run_sql(s, store_tables_3, doing, err);
    if (st == DAL_OK)
        st = set_format(s, doing, err);
    return store_end(s, st, doing, err);
}

static dal_status make_tables(store *s, dal_error *err)
{
    static const char doing[] = "make the tables of a new run store";
    dal_status st = use_wal(s, err);
    if (st != DAL_OK)
        return st;
    st = store_begin(s, SQL_BEGIN_WRITE, doing, err);
    if (st != DAL_OK)
        return st;
    st = run_sql(s, store_tables, doing, err);
    if (st == DAL_OK)
        st = run_sql(s, store_tables_2, doing, err);
    if (st == DAL_OK)
        st = run_sql(s, store_tables_3, doing, err);
    if (st == DAL_OK)
        st = run_sql(s, store_views, doing, err);
    if (st == DAL_OK)
        st = set_format(s, doing, err);
    st = store_end(s, st, doing, err);
    return st == DAL_OK ? sync_folder(s, err) : st;
}

typedef struct {
    int64_t application, format, objects;
} file_kind;

/* In one transaction: between two, another process can have made the store. */
static dal_status read_kind(store *s, file_kind *kind, dal_error *err)
{
    dal_status st = run_sql(s, "BEGIN", "read it", err);
    if (st != DAL_OK)
        return st;
    st = read_number(s, "PRAGMA application_id", &kind->application, err);
    if (st == DAL_OK)
        st = read_number(s, "PRAGMA user_version", &kind->format, err);
    if (st == DAL_OK)
        st = read_number(s, "SELECT count(*) FROM sqlite_schema", &kind->objects, err);
    if (!sqlite3_get_autocommit(s->db)) /* as in store_end */
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

static dal_status check_format(store *s, bool *empty, dal_error *err)
{
    file_kind kind = {0};
    const dal_status st = read_kind(s, &kind, err);
    if (st != DAL_OK)
        return st;
    *empty = kind.application == 0 && kind.format == 0 && kind.objects == 0;
    if (*empty)
        return DAL_OK;
    if (kind.application != STORE_APPLICATION_ID)
        return dal_fail(
            err, DAL_E_FORMAT, "store",
            "%s: an SQLite database, but not a run store (application_id is %lld, expected %d): "
            "choose another store with -o or --store",
            s->path, (long long)kind.application, STORE_APPLICATION_ID);
    s->format = kind.format;
    if (kind.format < 1 || kind.format > STORE_FORMAT)
        return dal_fail(err, DAL_E_FORMAT, "store", "%s: store format %lld, this dalhost reads 1 to %d: %s",
                        s->path, (long long)kind.format, STORE_FORMAT,
                        kind.format > STORE_FORMAT ? "use a newer dalhost, or another store with -o"
                                                   : "choose another store with -o");
    return DAL_OK;
}

/* The making is guarded by record 0 of the lock file: two processes may start on one new store. */
static dal_status make_store(store *s, dal_error *err)
{
    bool empty = true;
    dal_status st = store_lock_record(s, 0, true, err);
    if (st == DAL_OK) {
        st = check_format(s, &empty, err);
        if (st == DAL_OK && empty)
            st = make_tables(s, err);
        store_unlock_record(s, 0);
    }
    return st;
}

/* SQLite's names for things that are not files (":memory:", "file:...") mean files here. */
static char *file_name(const char *path, const char *options)
{
    if (!options)
        return xasprintf("%s%s", path[0] == '/' ? "" : "./", path);
    text name = {0};
    text_add(&name, "file:");
    if (path[0] != '/')
        text_add(&name, "./");
    for (const unsigned char *p = (const unsigned char *)path; *p; p++)
        text_addf(&name, strchr("%?#", *p) ? "%%%02x" : "%c", *p);
    text_add(&name, options);
    return text_take(&name);
}

static dal_status connect_file(store *s, int flags, const char *options, dal_error *err)
{
    sqlite3_close(s->db);
    s->db = NULL;
    char *name = file_name(s->path, options);
    const int rc = sqlite3_open_v2(name, &s->db, flags | (options ? SQLITE_OPEN_URI : 0), NULL);
    free(name);
    if (rc != SQLITE_OK)
        return store_sqlite_error(s, rc, "open it", err);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
    sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, 256 << 20);
    sqlite3_limit(s->db, SQLITE_LIMIT_ATTACHED, 0);
    /* The file may be anybody's: nothing in its schema may run code. */
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    return run_sql(s,
                   "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;"
                   "PRAGMA journal_size_limit = 67108864",
                   "open it", err);
}

/* A store in a folder where its -shm file cannot be made, and without a log: nobody is writing it, so
 * it can be read as it lies. */
static bool lies_still(const store *s)
{
    struct stat st;
    char *wal = xasprintf("%s-wal", s->path), *copy = xstrdup(s->path);
    const bool still = (stat(wal, &st) != 0 || st.st_size == 0) && access(dirname(copy), W_OK) != 0;
    free(wal);
    free(copy);
    return still;
}

static dal_status open_existing(store *s, bool *empty, dal_error *err)
{
    dal_status st =
        connect_file(s, s->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, NULL, err);
    if (st == DAL_OK)
        st = check_format(s, empty, err);
    if (st != DAL_E_FORMAT && st != DAL_OK && s->read_only && lies_still(s)) {
        st = connect_file(s, SQLITE_OPEN_READONLY, "?immutable=1", err);
        if (st == DAL_OK)
            st = check_format(s, empty, err);
    }
    return st;
}

/* Can a file be made there? SQLite would say no more than that it cannot open it. */
static dal_status look_at_folder(const char *path, dal_error *err)
{
    char *copy = xstrdup(path);
    const char *folder = dirname(copy);
    dal_status st = DAL_OK;
    if (access(folder, W_OK | X_OK) != 0)
        st = dal_fail(err, DAL_E_IO, "store", "%s: cannot make a run store in the folder %s: %s; choose another "
                      "place with -o", path, folder, strerror(errno));
    free(copy);
    return st;
}

static dal_status look_at_file(const char *path, bool create, bool *there, dal_error *err)
{
    struct stat info;
    *there = stat(path, &info) == 0;
    if (!*there && errno == ENOENT && create)
        return look_at_folder(path, err);
    if (!*there)
        return dal_fail(err, errno == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, "store",
                        "%s: cannot open this run store: %s; %s", path, strerror(errno),
                        errno == ENOENT ? "name one with --store, or make one with `dalhost run`"
                                        : "look at the path and its permissions");
    if (*there && !S_ISREG(info.st_mode))
        return dal_fail(err, DAL_E_INVALID, "store", "%s: a run store must be a file, this is %s", path,
                        S_ISDIR(info.st_mode) ? "a folder: name a file in it" : "something else");
    return DAL_OK;
}

dal_status store_open(const char *path, bool create, bool read_only, store **out, dal_error *err)
{
    *out = NULL;
    bool there, empty = true;
    if (path[0] == '\0')
        return dal_fail(err, DAL_E_INVALID, "store", "the name of the run store is empty");
    create = create && !read_only;
    dal_status st = look_at_file(path, create, &there, err);
    if (st != DAL_OK)
        return st;
    store *s = xcalloc(1, sizeof *s);
    s->path = xstrdup(path);
    s->read_only = read_only;
    s->lock_fd = -1;
    if (there)
        st = open_existing(s, &empty, err);
    else
        st = connect_file(s, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL, err);
    if (st == DAL_OK && empty && create)
        st = make_store(s, err);
    else if (st == DAL_OK && empty)
        st = dal_fail(err, DAL_E_FORMAT, "store", "%s: the file is empty, not a run store", path);
    else if (st == DAL_OK && !read_only && sqlite3_db_readonly(s->db, "main"))
        st = store_sqlite_error(s, SQLITE_READONLY, "write to it", err);
    else if (st == DAL_OK && !read_only) {
        st = use_wal(s, err);
        if (st == DAL_OK)
            st = upgrade(s, err);
    }
    if (st != DAL_OK) {
        store_close(s);
        return st;
    }
    *out = s;
    return DAL_OK;
}

void store_close(store *s)
{
    if (!s)
        return;
    for (int i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(s->statement[i]);
    sqlite3_close(s->db);
    while (s->n_held > 0)
        store_forget_run(s, s->held[0]->run);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    store_list_free(s->found, 1);
    free(s->held);
    free(s->path);
    free(s);
}

const char *store_path(const store *s)
{
    return s->path;
}
