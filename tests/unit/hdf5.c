#include "tests/unit/fixture.h"

#include "plugins/datasets/hdf5.c"

#ifdef DAL_HAVE_HDF5
#include "plugins/datasets/hdf5_lzf.h"
#endif

static options with(const char *path)
{
    return (options){.path = path, .x = "/x", .y = "/y", .y_path = "", .test_path = "", .test_x = "", .test_y = "",
                     .test_y_path = "", .validation_path = "", .validation_x = "", .validation_y = "",
                     .validation_y_path = "", .cache = 1 << 20};
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&hdf5_impl, &o, want, key, words);
}

#ifdef DAL_HAVE_HDF5

/* ---- files ------------------------------------------------------------------------------------- */

typedef struct made {
    const char *name;
    hid_t type;
    int rank;
    hsize_t dims[5], chunk[5]; /* chunk[0] 0: none */
    int pack;
} made;

/* A dataset more in a file (made when it is not there): its values as i64 are first, first + 1, ... */
static void add(const char *path, const made *m, long first)
{
    hsize_t n = 1;
    for (int i = 0; i < m->rank; i++)
        n *= m->dims[i];
    int64_t *values = malloc((size_t)n * sizeof *values + 8);
    for (hsize_t i = 0; i < n; i++)
        values[i] = first + (long)i;
    const hid_t file = access(path, R_OK) == 0 ? H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT)
                                               : H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t space = H5Screate_simple(m->rank, m->dims, NULL), plist = H5Pcreate(H5P_DATASET_CREATE);
    if (m->chunk[0])
        H5Pset_chunk(plist, m->rank, m->chunk);
    if (m->pack)
        H5Pset_deflate(plist, 6);
    const hid_t set = H5Dcreate2(file, m->name, m->type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    cr_assert(set >= 0 && H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    H5Dclose(set);
    H5Pclose(plist);
    H5Sclose(space);
    cr_assert(H5Fclose(file) >= 0);
    free(values);
}

static const char *file_of(const char *name, const made *x, const made *y)
{
    const char *path = fx_path(name);
    unlink(path);
    add(path, x, 0);
    if (y)
        add(path, y, 0);
    return path;
}

static fx_dataset open_hdf5(dal_runtime *rt, const options *o)
{
    return fx_open(&hdf5_impl, dal_runtime_host(rt, "hdf5"), o, NULL);
}

static void close_hdf5(dal_runtime *rt, fx_dataset *d)
{
    hdf5_impl.destroy(d->self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

#define VECTORS {.name = "x", .type = H5T_NATIVE_FLOAT, .rank = 2, .dims = {7, 3}}
#define LABELS {.name = "y", .type = H5T_NATIVE_INT64, .rank = 1, .dims = {7}}

/* ---- values ------------------------------------------------------------------------------------ */

Test(hdf5, reads_every_kind_of_number_plain_in_chunks_and_packed)
{
    const hid_t half = H5Tcopy(H5T_IEEE_F32LE); /* as h5py has it */
    H5Tset_fields(half, 15, 10, 5, 0, 10);
    H5Tset_size(half, 2);
    H5Tset_ebias(half, 15);
    const hid_t types[] = {half, H5T_STD_I8LE,  H5T_STD_I16BE,    H5T_STD_U32BE,
                           H5T_STD_I64LE,    H5T_IEEE_F64BE, H5T_NATIVE_UINT8};
    for (int t = 0; t < 7; t++)
        for (int how = 0; how < 3; how++) {
            made x = VECTORS;
            x.type = types[t];
            x.chunk[0] = how ? 2 : 0;
            x.chunk[1] = 2;
            x.pack = how == 2;
            const made y = LABELS;
            dal_runtime *rt = fx_runtime(1, 0);
            options o = with(file_of("a.h5", &x, &y));
            o.cache = how == 1 ? 0 : 1 << 20;
            fx_dataset d = open_hdf5(rt, &o);
            const int64_t ids[] = {5, 1, 2, 3, 6, 0, 0};
            float f[21];
            unsigned char u[21];
            cr_assert(d.info.n[0] == 7 && d.info.spec.modality == DAL_VECTOR && d.info.spec.shape[0] == 3);
            cr_assert(d.info.spec.n_classes == 7 && fx_class(&d, 0, 4) == 4);
            cr_assert_eq(d.info.spec.dtype, t == 6 ? DAL_U8 : DAL_F32);
            fx_read(&d, 0, ids, 7, t == 6 ? (void *)u : (void *)f);
            for (int i = 0; i < 21; i++)
                cr_assert_eq(t == 6 ? u[i] : (int)f[i], 3 * (int)ids[i / 3] + i % 3, "type %d, %d: value %d", t, how,
                             i);
            close_hdf5(rt, &d);
        }
}

Test(hdf5, has_images_with_channels_first_or_last)
{
    made x = {.name = "x", .type = H5T_NATIVE_UINT8, .rank = 4, .dims = {2, 5, 4, 3}, .chunk = {1, 5, 4, 3}, .pack = 1};
    const made y = {.name = "y", .type = H5T_NATIVE_UINT8, .rank = 4, .dims = {2, 1, 1, 1}};
    unsigned char got[120];
    options o = with(file_of("a.h5", &x, &y));
    refuse(o, DAL_E_INVALID, "layout", "/x is [2, 5, 4, 3], which looks like [n, h, w, c]; say layout: hwc");
    o.layout = LAYOUT_HWC;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_hdf5(rt, &o);
    cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){3, 5, 4}), 3 * sizeof(int64_t));
    fx_read(&d, 0, (const int64_t[]){0, 1}, 2, got);
    for (int i = 0; i < 120; i++)
        cr_assert_eq(got[i], i / 60 * 60 + i % 20 * 3 + i % 60 / 20);
    close_hdf5(rt, &d);
    o.layout = LAYOUT_CHW;
    rt = fx_runtime(1, 0);
    d = open_hdf5(rt, &o);
    cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){5, 4, 3}), 3 * sizeof(int64_t));
    fx_read(&d, 0, (const int64_t[]){1}, 1, got);
    for (int i = 0; i < 60; i++)
        cr_assert_eq(got[i], 60 + i);
    close_hdf5(rt, &d);
    x.rank = 3;
    o = with(file_of("b.h5", &x, &y));
    rt = fx_runtime(1, 0);
    d = open_hdf5(rt, &o);
    cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){1, 5, 4}), 3 * sizeof(int64_t));
    close_hdf5(rt, &d);
}

Test(hdf5, takes_splits_from_other_files_or_other_datasets)
{
    const made x = VECTORS, y = LABELS, tx = {.name = "more", .type = H5T_NATIVE_FLOAT, .rank = 2, .dims = {2, 3}},
               ty = {.name = "labels", .type = H5T_STD_I8LE, .rank = 1, .dims = {2}};
    const char *a = file_of("a.h5", &x, NULL), *b = file_of("b.h5", &y, NULL), *c = file_of("c.h5", &x, &y);
    options o = with(a);
    o.y_path = b;
    o.test_path = c;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_hdf5(rt, &o);
    char name[32];
    cr_assert(d.info.n[0] == 7 && d.info.n[2] == 7 && fx_class(&d, 0, 6) == 6 && fx_class(&d, 2, 3) == 3);
    hdf5_impl.describe(d.self, 2, 3, name, sizeof name);
    cr_assert_str_eq(name, "c.h5 3");
    close_hdf5(rt, &d);
    add(c, &tx, 50);
    add(c, &ty, -2);
    o = with(c);
    o.test_x = "/more";
    refuse(o, DAL_E_INVALID, "test_x", "the pool's labels are not those of this split: give test_y");
    o.test_y = "labels";
    rt = fx_runtime(1, 0);
    d = open_hdf5(rt, &o);
    float f[3];
    fx_read(&d, 2, (const int64_t[]){1}, 1, f);
    cr_assert_eq((int)f[0], 53);
    cr_assert(fx_class(&d, 2, 0) == DAL_LABEL_OOD && fx_class(&d, 2, 1) == DAL_LABEL_NONE);
    close_hdf5(rt, &d);
    o.validation_path = c;
    o.validation_x = "more";
    o.validation_y = "labels";
    rt = fx_runtime(1, 0);
    d = open_hdf5(rt, &o);
    cr_assert(d.info.n[0] == 7 && d.info.n[1] == 2 && d.info.n[2] == 2 && fx_class(&d, 1, 0) == DAL_LABEL_OOD);
    fx_read(&d, 1, (const int64_t[]){1}, 1, f);
    cr_assert_eq((int)f[0], 53);
    close_hdf5(rt, &d);
    o.validation_y = "";
    o.validation_path = "";
    refuse(o, DAL_E_INVALID, "validation_x", "the pool's labels are not those of this split: give validation_y");
    o = with(a);
    o.y = "";
    rt = fx_runtime(1, 0);
    d = open_hdf5(rt, &o);
    cr_assert(d.info.spec.n_classes == 0 && fx_class(&d, 0, 0) == DAL_LABEL_NONE);
    close_hdf5(rt, &d);
    o.test_y = "y";
    refuse(o, DAL_E_INVALID, "test_y", "there are no features of this split: give test_path or test_x");
}

/* Labels of an enumeration, row i being member i mod n, after the features. */
static void add_enum(const char *path, const char *const *names, const int *values, int n, hid_t base)
{
    const hsize_t rows = 7;
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), stored = H5Tenum_create(base);
    const hid_t as_int = H5Tenum_create(H5T_NATIVE_INT), space = H5Screate_simple(1, &rows, NULL);
    int data[7];
    for (int i = 0; i < n; i++) {
        int value = values[i];
        cr_assert(H5Tenum_insert(as_int, names[i], &value) >= 0);
        H5Tconvert(H5T_NATIVE_INT, base, 1, &value, NULL, H5P_DEFAULT);
        cr_assert(H5Tenum_insert(stored, names[i], &value) >= 0);
    }
    for (int i = 0; i < 7; i++)
        data[i] = values[i % n];
    const hid_t set = H5Dcreate2(file, "y", stored, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    cr_assert(set >= 0 && H5Dwrite(set, as_int, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set);
    H5Sclose(space);
    H5Tclose(stored);
    H5Tclose(as_int);
    H5Fclose(file);
}

/* "3 cat: 1 0 2 1 0 2 1": classes, the name of class 0, the labels. */
static const char *labels_of(options o)
{
    static char out[200];
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = open_hdf5(rt, &o);
    snprintf(out, sizeof out, "%lld %s:", (long long)d.info.spec.n_classes,
             d.info.class_names ? d.info.class_names[0] : "-");
    for (int64_t i = 0; i < d.info.n[0]; i++)
        snprintf(out + strlen(out), sizeof out - strlen(out), " %d", fx_class(&d, 0, i));
    close_hdf5(rt, &d);
    return out;
}

Test(hdf5, takes_classes_and_their_names_from_enumerations)
{
    static const char *const truth[] = {"FALSE", "TRUE"}, *const kinds[] = {"dog", "cat", "owl"},
        *const own[] = {"a", "b", "c"};
    const made x = VECTORS;
    const char *path = file_of("bool.h5", &x, NULL);
    add_enum(path, truth, (const int[]){0, 1}, 2, H5T_STD_I8LE); /* as h5py has booleans */
    cr_assert_str_eq(labels_of(with(path)), "2 FALSE: 0 1 0 1 0 1 0");
    path = file_of("kinds.h5", &x, NULL);
    add_enum(path, kinds, (const int[]){1, 0, 2}, 3, H5T_STD_U16BE);
    cr_assert_str_eq(labels_of(with(path)), "3 cat: 1 0 2 1 0 2 1");
    options o = with(path);
    o.class_names = (dal_str_list){own, 3};
    cr_assert_str_eq(labels_of(o), "3 a: 1 0 2 1 0 2 1");
    path = file_of("gaps.h5", &x, NULL);
    add_enum(path, kinds, (const int[]){-1, 5, 2}, 3, H5T_STD_I32LE); /* no names for 0, 1, 3, 4 */
    cr_assert_str_eq(labels_of(with(path)), "6 -: -1 5 2 -1 5 2 -1");
    path = file_of("odd.h5", &x, NULL);
    add_enum(path, (const char *const[]){"a\nb", "c"}, (const int[]){0, 1}, 2, H5T_STD_I8LE);
    cr_assert_str_eq(labels_of(with(path)), "2 -: 0 1 0 1 0 1 0");
    path = file_of("wrong.h5", &x, NULL);
    add_enum(path, kinds, (const int[]){0, 1, -7}, 3, H5T_STD_I8LE);
    refuse(with(path), DAL_E_FORMAT, "y", ": /y: label -7 in row 2, expected a class from 0, -1 (none) or -2");
}

/* ---- LZF ----------------------------------------------------------------------------------------- */

Test(hdf5_lzf, unpacks_what_is_as_it_is_and_what_comes_once_more)
{
    static const struct {
        const char *in;
        int64_t n;
        const char *out; /* NULL: damaged */
    } all[] = {
        {"\0a", 2, "a"},
        {"\2abc\40\2", 6, "abcabc"},           /* 3 from 3 back */
        {"\0a\340\0\0", 5, "aaaaaaaaaa"},       /* 9 of the byte before */
        {"\1ab\100\1\0c", 7, "ababab" "c"},
        {"", 0, ""},
        {"\2ab", 3, NULL},       /* cut short */
        {"\0a\40", 3, NULL},     /* likewise: how far back? */
        {"\0a\340\0", 4, NULL},
        {"\0a\40\1", 4, NULL},   /* from before the beginning */
        {"\40\0", 2, NULL},
    };
    unsigned char out[64];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const unsigned char *in = (const unsigned char *)all[i].in;
        const int64_t want = all[i].out ? (int64_t)strlen(all[i].out) : -1;
        cr_assert_eq(hdf5_lzf_unpack(in, all[i].n, NULL, 100), want, "%zu", i);
        cr_assert_eq(hdf5_lzf_unpack(in, all[i].n, out, sizeof out), want, "%zu", i);
        if (want > 0) {
            cr_assert_arr_eq(out, all[i].out, (size_t)want, "%zu", i);
            cr_assert_eq(hdf5_lzf_unpack(in, all[i].n, out, want), want);
            cr_assert_eq(hdf5_lzf_unpack(in, all[i].n, out, want - 1), -1, "%zu: one byte more than there is room", i);
        }
    }
}

static size_t never(unsigned flags, size_t n_values, const unsigned values[], size_t n, size_t *size, void **data)
{
    (void)flags, (void)n_values, (void)values, (void)n, (void)size, (void)data;
    return 0;
}

/* x of 4 rows of 8 bytes, in two chunks by LZF, the second of them packed[n]. */
static const char *lzf_file(const char *name, const void *packed, size_t n)
{
    static const unsigned char first[] = {0, 7, 224, 6, 0}; /* 16 bytes 7: one, and 15 like it */
    const hsize_t dims[] = {4, 8}, chunk[] = {2, 8};
    const unsigned values[] = {4, 261, 16};
    /* libhdf5 makes no dataset with a filter that it cannot pack by */
    const H5Z_class2_t packer = {H5Z_CLASS_T_VERS, HDF5_FILTER_LZF, 1, 1, "lzf", NULL, NULL, never};
    H5Zregister(&packer);
    const char *path = fx_path(name);
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
        space = H5Screate_simple(2, dims, NULL);
    const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, 2, chunk);
    H5Pset_filter(plist, HDF5_FILTER_LZF, H5Z_FLAG_OPTIONAL, 3, values);
    const hid_t set = H5Dcreate2(file, "x", H5T_NATIVE_UINT8, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    cr_assert(H5Dwrite_chunk(set, H5P_DEFAULT, 0, (const hsize_t[]){0, 0}, sizeof first, first) >= 0);
    cr_assert(H5Dwrite_chunk(set, H5P_DEFAULT, 0, (const hsize_t[]){2, 0}, n, packed) >= 0);
    H5Dclose(set);
    H5Pclose(plist);
    H5Sclose(space);
    H5Fclose(file);
    hdf5_lzf_register();
    return path;
}

static dal_status read_lzf(const char *path, unsigned char *out, const char *words)
{
    dal_runtime *rt = fx_runtime(1, 0);
    dal_error err = DAL_ERROR_INIT;
    options o = with(path);
    o.y = "";
    fx_dataset d = open_hdf5(rt, &o);
    dal_batch b = {sizeof b, 0, &d.info.spec, 4, out, NULL, NULL};
    const dal_status st = hdf5_impl.read(d.self, 0, (const int64_t[]){0, 1, 2, 3}, 4, &b, &err);
    cr_assert(strstr(err.text, words), "%s", err.text);
    close_hdf5(rt, &d);
    return st;
}

Test(hdf5, reads_chunks_packed_by_lzf)
{
    unsigned char out[32], want[32] = "\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7\7abababababababab";
    cr_assert_eq(read_lzf(lzf_file("a.h5", "\1ab\340\5\1", 6), out, ""), DAL_OK);
    cr_assert_arr_eq(out, want, sizeof want);
    static const char fault[] = "a chunk that has not the size it should have: damaged";
    cr_assert_eq(read_lzf(lzf_file("few.h5", "\1ab\340\4\1", 6), out, fault), DAL_E_FORMAT);
    cr_assert_eq(read_lzf(lzf_file("many.h5", "\1ab\340\377\1", 6), out, fault), DAL_E_FORMAT);
    cr_assert_eq(read_lzf(lzf_file("before.h5", "\1ab\340\5\7", 6), out, fault), DAL_E_FORMAT);
}

/* ---- refusals ---------------------------------------------------------------------------------- */

Test(hdf5, says_what_does_not_fit)
{
    const made x = VECTORS, y = LABELS, few = {.name = "few", .type = H5T_NATIVE_INT64, .rank = 1, .dims = {5}},
               wide = {.name = "wide", .type = H5T_NATIVE_INT64, .rank = 2, .dims = {7, 2}},
               five = {.name = "five", .type = H5T_NATIVE_UINT8, .rank = 5, .dims = {1, 1, 1, 1, 1}},
               none = {.name = "none", .type = H5T_NATIVE_FLOAT, .rank = 2, .dims = {0, 3}};
    const char *path = file_of("a.h5", &x, &y);
    add(path, &few, 0);
    add(path, &wide, 0);
    add(path, &five, 0);
    add(path, &none, 0);
    options o = with(path);
    o.x = "z";
    refuse(o, DAL_E_INVALID, "x", ": there is no dataset 'z' in it; it has few, five, none, wide, x, y");
    const hid_t odd = H5Tcopy(H5T_STD_I32LE);
    H5Tset_precision(odd, 20);
    add(path, &(const made){.name = "odd", .type = odd, .rank = 1, .dims = {7}}, 0);
    o.x = "odd";
    refuse(o, DAL_E_FORMAT, "x", ": odd: is not of integers or of floats of 16, 32 or 64 bits");
    o.x = "/none";
    refuse(o, DAL_E_FORMAT, "x", ": /none: dimension 0 is 0, expected at least 1");
    o.x = "/five";
    refuse(o, DAL_E_FORMAT, "x", ": /five: 5 dimensions, expected 1..4");
    o.x = "/";
    refuse(o, DAL_E_FORMAT, "x", ": /: is no dataset that can be opened");
    o = with(path);
    o.y = "few";
    refuse(o, DAL_E_FORMAT, "y", ": few: 5 labels, but there are 7 samples");
    o.y = "wide";
    refuse(o, DAL_E_FORMAT, "y", ": wide: dimension 1 is 2, expected 1: a label for each sample");
    o = with(path);
    o.n_classes = 4;
    refuse(o, DAL_E_FORMAT, "y", ": /y: label 4 in row 4, expected 0..3");
    static const char *const names[] = {"a", "b", "c", "a", "e", "f", "g"};
    o.n_classes = 0;
    o.class_names = (dal_str_list){names, 6};
    refuse(o, DAL_E_INVALID, "class_names", "'a' names class 0 and class 3");
    o = with(path);
    o.test_path = path;
    o.test_x = "wide";
    refuse(o, DAL_E_INVALID, "test_x", ": wide: samples of another shape or type than those of the pool, ");
    unlink(fx_path("b"));
    const char *bad = file_of("b", &(const made){.name = "x", .type = H5T_NATIVE_FLOAT, .rank = 1, .dims = {2}}, NULL);
    add(bad, &(const made){.name = "y", .type = H5T_NATIVE_INT, .rank = 1, .dims = {2}}, -4);
    refuse(with(bad), DAL_E_FORMAT, "y", ": /y: label -4 in row 0, expected a class from 0, -1 (none) or -2");
}

/* A dataset of the file `path` that has its values elsewhere. */
static void add_elsewhere(const char *path, int how, const char *other)
{
    const hsize_t dims[] = {4, 2};
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
        space = H5Screate_simple(2, dims, NULL);
    const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    if (how == 0)
        H5Pset_external(plist, other, 0, 8);
    if (how == 1)
        H5Pset_virtual(plist, space, other, "/x", space);
    if (how == 2)
        cr_assert(H5Lcreate_external(other, "/x", file, "x", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    else
        H5Dclose(H5Dcreate2(file, "x", H5T_NATIVE_UINT8, space, H5P_DEFAULT, plist, H5P_DEFAULT));
    H5Pclose(plist);
    H5Sclose(space);
    H5Fclose(file);
}

Test(hdf5, refuses_values_that_lie_in_other_files)
{
    const made x = VECTORS;
    char other[128], path[128];
    snprintf(other, sizeof other, "%s", file_of("other.h5", &x, NULL));
    snprintf(path, sizeof path, "%s", fx_path("a.h5"));
    for (int how = 0; how < 3; how++) {
        add_elsewhere(path, how, other);
        options o = with(path);
        o.y = "";
        refuse(o, DAL_E_UNSUPPORTED, "x", ": /x: its values lie in another file; copy them into this one");
    }
}

Test(hdf5, refuses_chunks_samples_and_counts_that_are_too_large)
{
    const char *path = fx_path("a.h5");
    unlink(path);
    const hsize_t dims[] = {1 << 14, 1 << 20}, chunk[] = {1 << 14, 1 << 15};
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
        space = H5Screate_simple(2, dims, NULL);
    const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, 2, chunk);
    H5Dclose(H5Dcreate2(file, "x", H5T_NATIVE_UINT8, space, H5P_DEFAULT, plist, H5P_DEFAULT));
    const hsize_t wide[] = {2, (hsize_t)1 << 31}, small[] = {1, 1 << 20};
    H5Pset_chunk(plist, 2, small);
    const hid_t more = H5Screate_simple(2, wide, NULL);
    H5Dclose(H5Dcreate2(file, "w", H5T_NATIVE_UINT8, more, H5P_DEFAULT, plist, H5P_DEFAULT));
    const hsize_t tall[] = {(hsize_t)1 << 50, 2}, tiny[] = {16, 2};
    H5Pset_chunk(plist, 2, tiny);
    H5Dclose(H5Dcreate2(file, "t", H5T_NATIVE_UINT8, H5Screate_simple(2, tall, NULL), H5P_DEFAULT, plist, H5P_DEFAULT));
    const hid_t late = H5Pcreate(H5P_DATASET_CREATE); /* room is taken when it is written, which it is not */
    H5Dclose(H5Dcreate2(file, "l", H5T_NATIVE_FLOAT, H5Screate_simple(2, tiny, NULL), H5P_DEFAULT, late, H5P_DEFAULT));
    H5Fclose(file);
    options o = with(path);
    o.y = "";
    o.x = "l";
    refuse(o, DAL_E_FORMAT, "x", ": l: 0 bytes of it are stored, its shape says 128");
    o.x = "t";
    refuse(o, DAL_E_FORMAT, "x", ": t: is said to have 1125899906842624 samples, in 0 bytes");
    o.x = "/x";
    refuse(o, DAL_E_OVERFLOW, "x", ": /x: chunks of more bytes than can be, or more of them");
    o.x = "w";
    refuse(o, DAL_E_OVERFLOW, "x", ": w: samples of more than 1073741824 bytes");
}

Test(hdf5, refuses_what_is_no_hdf5_or_cut_short)
{
    refuse(with("/nowhere"), DAL_E_NOT_FOUND, "path", "/nowhere: cannot open");
    refuse(with(fx_text("a", "not one")), DAL_E_FORMAT, "path", ": is no HDF5 file");
    refuse(with(fx_text("b", "")), DAL_E_FORMAT, "path", ": is no HDF5 file");
    refuse(with(fx_gzip("c", "x", 1)), DAL_E_FORMAT, "path", ": packed data; unpack it first");
    const made x = {.name = "x", .type = H5T_NATIVE_FLOAT, .rank = 2, .dims = {400, 3}, .chunk = {10, 3}, .pack = 1},
        y = LABELS;
    size_t n;
    unsigned char *bytes = fx_slurp(file_of("d.h5", &x, &y), &n);
    refuse(with(fx_write("e", bytes, n / 2)), DAL_E_FORMAT, "path", ": cannot be opened: cut short or damaged: ");
    free(bytes);
}

/* The head of a heap of names that is said to have 2^53 bytes: libhdf5 1.10 ends by a signal, later ones may
 * complain. */
Test(hdf5, outlives_a_file_that_libhdf5_does_not)
{
    const made x = VECTORS, y = LABELS;
    size_t n;
    int hit = 0;
    unsigned char *bytes = fx_slurp(file_of("a.h5", &x, &y), &n);
    for (size_t i = 0; i + 16 < n && !hit; i++)
        if (memcmp(bytes + i, "HEAP", 4) == 0) {
            bytes[i + 14] = 0x20; /* of the size in bytes 8..15 */
            hit = 1;
        }
    cr_assert(hit);
    dal_error err = DAL_ERROR_INIT;
    const options o = with(fx_write("b.h5", bytes, n));
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    cr_assert_neq(hdf5_impl.create(dal_runtime_host(rt, "hdf5"), &o, NULL, &self, &err), DAL_OK);
    cr_assert(strstr(err.text, "b.h5"), "%s", err.text);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    free(bytes);
}

Test(hdf5, tells_a_damaged_chunk_and_a_value_that_is_not_finite_when_it_reads_them)
{
    const made x = {.name = "x", .type = H5T_NATIVE_FLOAT, .rank = 2, .dims = {7, 3}, .chunk = {7, 3}, .pack = 1};
    size_t n;
    char path[128];
    snprintf(path, sizeof path, "%s", file_of("a.h5", &x, NULL));
    unsigned char *bytes = fx_slurp(path, &n);
    int hit = 0;
    for (size_t i = 0; i + 2 < n && !hit; i++) /* the head of a zlib stream */
        if (bytes[i] == 0x78 && bytes[i + 1] == 0x9c) {
            memset(bytes + i + 2, 0xff, 8);
            hit = 1;
        }
    cr_assert(hit);
    for (int which = 0; which < 2; which++) {
        options o = with(which ? fx_path("nan.h5") : fx_write("b.h5", bytes, n));
        o.y = "";
        if (which) {
            const hsize_t dims[] = {2, 2};
            const float values[] = {1, 2, 3, NAN};
            const hid_t file = H5Fcreate(o.path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
                space = H5Screate_simple(2, dims, NULL);
            const hid_t set = H5Dcreate2(file, "x", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
            H5Dclose(set);
            H5Fclose(file);
        }
        dal_runtime *rt = fx_runtime(1, 0);
        fx_dataset d = open_hdf5(rt, &o);
        dal_error err = DAL_ERROR_INIT;
        float f[3];
        dal_batch b = {sizeof b, 0, &d.info.spec, 1, f, NULL, NULL};
        fx_expect(&err, hdf5_impl.read(d.self, 0, (const int64_t[]){1}, 1, &b, &err), DAL_E_FORMAT, "x",
                  which ? ": /x: value 1 of row 1 is not finite" : ": /x: rows 1..1 cannot be read: a chunk that has "
                                                                   "not the size it should have: damaged");
        close_hdf5(rt, &d);
    }
    free(bytes);
}

Test(hdf5, survives_every_failed_allocation)
{
    const made x = VECTORS, y = LABELS;
    const options o = with(file_of("a.h5", &x, &y));
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = hdf5_impl.create(dal_runtime_host(rt, "hdf5"), &o, NULL, &self, &err);
        hdf5_impl.destroy(self);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 4);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}

static dal_status read_one(void *ctx, int64_t i)
{
    const fx_dataset *d = ctx;
    float f[3];
    dal_batch b = {sizeof b, 0, &d->info.spec, 1, f, NULL, NULL};
    const int64_t id = i % 7;
    const dal_status st = hdf5_impl.read(d->self, 0, &id, 1, &b, NULL);
    return st == DAL_OK && f[0] == (float)(3 * id) ? DAL_OK : DAL_E_FAILED;
}

Test(hdf5, is_read_from_several_threads)
{
    made x = VECTORS;
    x.chunk[0] = x.chunk[1] = 2;
    x.pack = 1;
    options o = with(file_of("a.h5", &x, NULL));
    o.y = "";
    dal_runtime *rt = fx_runtime(4, 0);
    fx_dataset d = open_hdf5(rt, &o);
    const dal_host *host = dal_runtime_host(rt, "hdf5");
    cr_assert_eq(host->parallel_for(host, 500, read_one, &d), DAL_OK);
    close_hdf5(rt, &d);
}

#else

Test(hdf5, says_that_the_build_lacks_it)
{
    refuse(with("a.h5"), DAL_E_UNSUPPORTED, "path", "it was configured without hdf5 (Debian: libhdf5-dev)");
}

#endif
