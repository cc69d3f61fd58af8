#include "hdf5_file.h"
#include "hdf5_lzf.h"

#include <dal/file.h>
#include <dal/text.h>
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the library -------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

hdf5_quiet hdf5_enter(void)
{
    hdf5_quiet q = {NULL, NULL};
    static int ready;
    pthread_mutex_lock(&lock);
    if (!ready) {
        hdf5_lzf_register();
        ready = 1;
    }
    H5Eget_auto2(H5E_DEFAULT, &q.func, &q.data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    return q;
}

void hdf5_leave(const hdf5_quiet *q)
{
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, q->func, q->data);
    pthread_mutex_unlock(&lock);
}

static herr_t take_reason(unsigned n, const H5E_error2_t *e, void *to)
{
    if (n == 0 && e->desc)
        snprintf(to, 120, ": %s", e->desc);
    return 0;
}

/* "train.h5: /x: WHAT: the innermost reason that the library has" */
dal_status hdf5_fault(const char *key, const char *path, const char *name, const char *what, dal_error *err)
{
    char reason[128] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, reason);
    for (char *p = reason; *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    return dal_fail(err, DAL_E_FORMAT, key, "%s: %s%s%s%s", path, name, name[0] ? ": " : "", what, reason);
}

/* ---- files and datasets ------------------------------------------------------------------------- */

/* What the child does: all that opening needs, and a first value. Nobody hears what comes of it, if it comes to an
 * end. */
static void try_set(const char *path, const char *name)
{
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), set = file >= 0 ? H5Dopen2(file, name, H5P_DEFAULT)
        : -1;
    const hid_t plist = set >= 0 ? H5Dget_create_plist(set) : -1, type = set >= 0 ? H5Dget_type(set) : -1;
    const hid_t space = set >= 0 ? H5Dget_space(set) : -1;
    hsize_t dims[H5S_MAX_RANK], last[H5S_MAX_RANK] = {0}, stored;
    H5O_info_t info;
    const int rank = space >= 0 ? H5Sget_simple_extent_dims(space, dims, NULL) : -1;
    if (rank < 1 || rank > HDF5_RANK || plist < 0 || type < 0)
        return;
    H5Oget_info(set, &info);
    H5Dget_storage_size(set);
    H5Tget_class(type);
    if (H5Pget_layout(plist) != H5D_CHUNKED)
        return;
    H5Dget_chunk_storage_size(set, last, &stored);
    if (H5Pget_chunk(plist, rank, last) != rank)
        return;
    for (int i = 0; i < rank; i++)
        last[i] = last[i] > 0 && dims[i] > 0 ? (dims[i] - 1) / last[i] * last[i] : 0;
    H5Dget_chunk_storage_size(set, last, &stored);
}

/* Can libhdf5 open this dataset without coming to harm? */
static dal_status try_in_child(const char *path, const char *name, const char *key, dal_error *err)
{
    const struct rlimit seconds = {20, 20}, no_core = {0, 0};
    int status = 0;
    const pid_t child = fork();
    if (child < 0)
        return dal_fail(err, DAL_E_FAILED, key, "%s: no process to try it in: %s", path, strerror(errno));
    if (child == 0) {
        setrlimit(RLIMIT_CPU, &seconds);
        setrlimit(RLIMIT_CORE, &no_core);
        try_set(path, name);
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return DAL_OK;
    return dal_fail(err, DAL_E_FORMAT, key, "%s: %s: libhdf5 itself fails over it: damaged; copy or download it again",
                    path, name);
}

/* A regular file that can be read and begins as HDF5 does, here or behind a block of the user's. */
static dal_status open_file(const dal_host *host, const char *path, const char *key, const char *name, hid_t *file,
                            dal_error *err)
{
    dal_file *f = NULL;
    dal_status st = dal_file_open(host, path, key, &f, err);
    const int packed = st == DAL_OK && dal_file_is_gzip(f);
    dal_file_close(f);
    if (st != DAL_OK)
        return st;
    if (packed)
        return dal_fail(err, DAL_E_FORMAT, key, "%s: packed data; unpack it first, HDF5 files are read where they lie",
                        path);
    if (H5Fis_hdf5(path) <= 0)
        return dal_fail(err, DAL_E_FORMAT, key, "%s: is no HDF5 file", path);
    st = try_in_child(path, name, key, err);
    if (st != DAL_OK)
        return st;
    *file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    return *file >= 0 ? DAL_OK : hdf5_fault(key, path, "", "cannot be opened: cut short or damaged", err);
}

typedef struct listing {
    char text[300];
    size_t at;
    int more;
} listing;

static herr_t list_name(hid_t group, const char *name, const H5L_info_t *info, void *to)
{
    listing *l = to;
    const size_t n = strlen(name);
    (void)group, (void)info;
    l->more = l->at + n + 4 > sizeof l->text;
    if (!l->more)
        l->at += (size_t)snprintf(l->text + l->at, sizeof l->text - l->at, "%s%s", l->at ? ", " : "", name);
    return l->more;
}

static dal_status no_dataset(hid_t file, const char *path, const char *key, const char *name, dal_error *err)
{
    listing l = {.at = 0};
    H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, list_name, &l);
    for (char *p = l.text; *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
    return dal_fail(err, DAL_E_INVALID, key, "%s: there is no dataset '%.100s' in it; it has %s%s", path, name,
                    l.text[0] ? l.text : "nothing", l.more ? ", ..." : "");
}

/* A dataset without chunks: is there as much of it as its shape says? libhdf5 1.10 itself reads on behind the end. */
static dal_status check_whole(hid_t set, hid_t type, const char *path, const char *key, const char *name,
                              dal_error *err)
{
    const hid_t space = H5Dget_space(set);
    const int64_t points = space >= 0 ? (int64_t)H5Sget_simple_extent_npoints(space) : -1;
    const hsize_t stored = H5Dget_storage_size(set);
    int64_t bytes = -1;
    if (space >= 0)
        H5Sclose(space);
    if (dal_size_mul(points, (int64_t)H5Tget_size(type), &bytes) && (hsize_t)bytes <= stored)
        return DAL_OK;
    return dal_fail(err, DAL_E_FORMAT, key, "%s: %s: %llu bytes of it are stored, its shape says %lld", path, name,
                    (unsigned long long)stored, (long long)bytes);
}

/* Are the values of a dataset in this very file, and all there? */
static dal_status check_storage(hid_t file, hid_t set, const char *path, const char *key, const char *name,
                                dal_error *err)
{
    H5O_info_t own, home;
    dal_status st = DAL_OK;
    const hid_t plist = H5Dget_create_plist(set), type = H5Dget_type(set);
    const int layout = plist >= 0 ? (int)H5Pget_layout(plist) : -1;
    if (layout < 0 || type < 0 || H5Oget_info(set, &own) < 0 || H5Oget_info(file, &home) < 0)
        st = hdf5_fault(key, path, name, "cannot be opened", err);
    else if (own.fileno != home.fileno || layout == H5D_VIRTUAL || H5Pget_external_count(plist) != 0)
        st = dal_fail(err, DAL_E_UNSUPPORTED, key, "%s: %s: its values lie in another file; copy them into this one",
                      path, name);
    if (st == DAL_OK && layout != H5D_CHUNKED)
        st = check_whole(set, type, path, key, name, err);
    if (type >= 0)
        H5Tclose(type);
    if (plist >= 0)
        H5Pclose(plist);
    return st;
}

/* Is this a kind of number as it is written everywhere? Others, of odd fields, are not left to libhdf5 to convert. */
static int is_usual(hid_t type)
{
    const hid_t usual[] = {H5T_STD_U8LE,  H5T_STD_U8BE,  H5T_STD_I8LE,  H5T_STD_I8BE,  H5T_STD_U16LE,  H5T_STD_U16BE,
                           H5T_STD_I16LE, H5T_STD_I16BE, H5T_STD_U32LE, H5T_STD_U32BE, H5T_STD_I32LE,  H5T_STD_I32BE,
                           H5T_STD_U64LE, H5T_STD_U64BE, H5T_STD_I64LE, H5T_STD_I64BE, H5T_IEEE_F32LE, H5T_IEEE_F32BE,
                           H5T_IEEE_F64LE, H5T_IEEE_F64BE};
    int found = 0;
    for (size_t i = 0; i < sizeof usual / sizeof *usual && !found; i++)
        found = H5Tequal(type, usual[i]) > 0;
    for (int big = 0; big < 2 && !found; big++) { /* binary16, which has no name there */
        const hid_t half = H5Tcopy(big ? H5T_IEEE_F32BE : H5T_IEEE_F32LE);
        found = half >= 0 && H5Tset_fields(half, 15, 10, 5, 0, 10) >= 0 && H5Tset_size(half, 2) >= 0 &&
                H5Tset_ebias(half, 15) >= 0 && H5Tequal(type, half) > 0;
        if (half >= 0)
            H5Tclose(half);
    }
    return found;
}

/* An enumeration is numbers, too: h5py's booleans are one. */
static int is_usual_enum(hid_t type)
{
    const hid_t base = H5Tget_super(type);
    const int usual = base >= 0 && H5Tget_class(base) == H5T_INTEGER && is_usual(base);
    if (base >= 0)
        H5Tclose(base);
    return usual;
}

/* Its type: numbers? *u8: they are unsigned bytes. */
dal_status hdf5_check_type(hid_t set, const char *path, const char *key, const char *name, int *u8, dal_error *err)
{
    const hid_t type = H5Dget_type(set);
    const H5T_class_t cls = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    *u8 = cls == H5T_INTEGER && H5Tget_size(type) == 1 && H5Tget_sign(type) == H5T_SGN_NONE;
    const int usual = type >= 0 && (cls == H5T_ENUM ? is_usual_enum(type) : is_usual(type));
    if (type >= 0)
        H5Tclose(type);
    if (usual)
        return DAL_OK;
    return dal_fail(err, DAL_E_FORMAT, key, "%s: %s: is not of integers or of floats of 16, 32 or 64 bits", path, name);
}

/* Value and name of member i; the name is the library's, to be freed by it. */
static char *member_at(hid_t type, unsigned i, int64_t *value)
{
    char raw[sizeof *value] = {0}; /* larger than any of the types that are let through */
    const hid_t base = H5Tget_super(type);
    const int ok = base >= 0 && H5Tget_size(base) <= sizeof raw && H5Tget_member_value(type, i, raw) >= 0 &&
                   H5Tconvert(base, H5T_NATIVE_INT64, 1, raw, NULL, H5P_DEFAULT) >= 0;
    if (base >= 0)
        H5Tclose(base);
    memcpy(value, raw, sizeof raw);
    return ok ? H5Tget_member_name(type, i) : NULL;
}

static int is_name(const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return 0;
    return *s && strlen(s) < HDF5_NAME && dal_utf8_fault(s, (int64_t)strlen(s)) < 0;
}

/* names[i] for member of value i; is there one for each of 0..n-1? */
static int take_names(const dal_host *host, hid_t type, int64_t n, char **names)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t value = -1;
        char *name = member_at(type, (unsigned)i, &value), **to = &names[value >= 0 && value < n ? value : 0];
        const int fits = name && value >= 0 && value < n && !*to && is_name(name);
        if (fits && (*to = dal_array(host, (int64_t)strlen(name) + 1, 1)))
            strcpy(*to, name);
        H5free_memory(name);
        if (!fits || !*to)
            return 0;
    }
    return 1;
}

int64_t hdf5_enum_names(const dal_host *host, hid_t set, char ***names)
{
    const hid_t type = H5Dget_type(set);
    const int64_t n = type >= 0 && H5Tget_class(type) == H5T_ENUM ? H5Tget_nmembers(type) : 0;
    char **all = n >= 1 && n <= HDF5_MEMBERS ? dal_array(host, n, sizeof *all) : NULL;
    if (all)
        memset(all, 0, (size_t)n * sizeof *all);
    const int good = all && take_names(host, type, n, all);
    if (type >= 0)
        H5Tclose(type);
    if (good) {
        *names = all;
        return n;
    }
    hdf5_free_names(host, all, all ? n : 0);
    return 0;
}

void hdf5_free_names(const dal_host *host, char **names, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        host->free(host, names[i]);
    host->free(host, names);
}

dal_status hdf5_take_shape(hid_t set, const char *path, const char *key, const char *name, hsize_t *dims, int *rank,
                             dal_error *err)
{
    const hid_t space = H5Dget_space(set);
    *rank = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    if (*rank >= 1 && *rank <= HDF5_RANK && H5Sget_simple_extent_dims(space, dims, NULL) < 0)
        *rank = -1;
    if (space >= 0)
        H5Sclose(space);
    if (*rank < 1 || *rank > HDF5_RANK)
        return dal_fail(err, DAL_E_FORMAT, key, "%s: %s: %d dimensions, expected 1..%d", path, name, *rank, HDF5_RANK);
    for (int i = 0; i < *rank; i++)
        if (dims[i] < 1 || dims[i] > INT64_MAX / 16)
            return dal_fail(err, DAL_E_FORMAT, key, "%s: %s: dimension %d is %llu, expected at least 1", path, name, i,
                            (unsigned long long)dims[i]);
    return DAL_OK;
}

/* Open a dataset by its path in a file, with room for `cache` bytes of chunks. keys: of the file, and of the name. */
dal_status hdf5_open_set(const dal_host *host, const char *path, const char *name, const char *key,
                         const char *name_key,
                           int64_t cache, hid_t *set, dal_error *err)
{
    hid_t file = -1, access = -1;
    dal_status st = open_file(host, path, key, name, &file, err);
    if (st == DAL_OK) {
        access = H5Pcreate(H5P_DATASET_ACCESS);
        if (access < 0 || H5Pset_chunk_cache(access, 12421, (size_t)cache, 1) < 0)
            st = hdf5_fault(key, path, name, "cannot be opened", err);
    }
    if (st == DAL_OK) {
        *set = H5Dopen2(file, name, access);
        if (*set < 0)
            st = H5Lexists(file, name, H5P_DEFAULT) > 0
            ? hdf5_fault(name_key, path, name, "is no dataset that can be opened", err)
                                                         : no_dataset(file, path, name_key, name, err);
    }
    if (st == DAL_OK)
        st = check_storage(file, *set, path, name_key, name, err);
    if (access >= 0)
        H5Pclose(access);
    if (file >= 0)
        H5Fclose(file); /* stays open as long as its dataset is */
    return st;
}
