#include "tests/unit/fixture.h"

#include "plugins/datasets/svhn_mat.c"

#ifdef DAL_HAVE_MATIO
enum { H = 4, W = 3, N = 7, V = 3 * H * W };

/* A .mat file as libmatio writes it. Element (y, x, c, i) of X is 11 i + 100 c + 10 y + x; label i is y[i]. */
static const char *mat(const char *name, enum mat_ft version, enum matio_compression packed, enum matio_classes x_class,
                       size_t h, size_t channels, size_t n, const double *labels, size_t n_labels)
{
    static unsigned char x[H * W * 4 * N * 8];
    const char *path = fx_path(name);
    size_t at = 0, dims[] = {h, W, channels, n}, label_dims[] = {n_labels, 1};
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < channels; c++)
            for (size_t j = 0; j < W; j++)
                for (size_t k = 0; k < h; k++)
                    x[at++] = (unsigned char)(11 * i + 100 * c + 10 * k + j);
    mat_t *f = Mat_CreateVer(path, NULL, version);
    cr_assert(f);
    matvar_t *v = Mat_VarCreate("X", x_class, x_class == MAT_C_UINT8 ? MAT_T_UINT8 : MAT_T_INT8, 4, dims, x, 0);
    cr_assert_eq(Mat_VarWrite(f, v, packed), 0);
    Mat_VarFree(v);
    v = Mat_VarCreate("y", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, label_dims, (void *)(uintptr_t)labels, 0);
    cr_assert_eq(Mat_VarWrite(f, v, packed), 0);
    Mat_VarFree(v);
    Mat_Close(f);
    return path;
}

static const double labels[N] = {1, 10, 3, 9, 2, 10, 5};

static options with(const char *train)
{
    return (options){.train = train, .extra = "", .test = ""};
}

static void check(const char *train, const char *extra)
{
    dal_runtime *rt = fx_runtime(1, 0);
    options o = with(train);
    o.extra = extra;
    o.test = train;
    fx_dataset d = fx_open(&svhn_impl, dal_runtime_host(rt, "svhn"), &o, NULL);
    unsigned char got[2 * V];
    char name[40];
    cr_assert_arr_eq(d.info.n, ((int64_t[]){extra[0] ? 2 * N : N, 0, N}), sizeof d.info.n);
    cr_assert_arr_eq(d.info.spec.shape, ((int64_t[]){3, H, W}), 3 * sizeof(int64_t));
    cr_assert_eq(d.info.spec.n_classes, 10);
    for (int i = 0; i < d.info.n[0]; i++)
        cr_assert_eq(fx_class(&d, DAL_SPLIT_TRAIN, i), (int)labels[i % N] % 10);
    fx_read(&d, DAL_SPLIT_TRAIN, (const int64_t[]){d.info.n[0] - 1, 2}, 2, got);
    for (int c = 0, j = 0; c < 3; c++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++, j++) {
                cr_assert_eq(got[j], (unsigned char)(66 + 100 * c + 10 * y + x));
                cr_assert_eq(got[V + j], (unsigned char)(22 + 100 * c + 10 * y + x));
            }
    d.impl->describe(d.self, DAL_SPLIT_TRAIN, 1, name, sizeof name);
    cr_assert(strstr(name, ".mat 1"), "%s", name);
    svhn_impl.destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

static void refuse(options o, dal_status want, const char *key, const char *words)
{
    fx_refuse(&svhn_impl, &o, want, key, words);
}

Test(svhn_mat, reads_what_matio_writes)
{
    const char *packed = mat("packed.mat", MAT_FT_MAT5, MAT_COMPRESSION_ZLIB, MAT_C_UINT8, H, 3, N, labels, N);
    check(packed, "");
    check(mat("plain.mat", MAT_FT_MAT5, MAT_COMPRESSION_NONE, MAT_C_UINT8, H, 3, N, labels, N), packed);
}

Test(svhn_mat, reads_format_7_3_where_matio_does)
{
    mat_t *f = Mat_CreateVer(fx_path("probe.mat"), NULL, MAT_FT_MAT73);
    if (!f)
        return;
    Mat_Close(f);
    check(mat("hdf5.mat", MAT_FT_MAT73, MAT_COMPRESSION_ZLIB, MAT_C_UINT8, H, 3, N, labels, N), "");
}

Test(svhn_mat, refuses_other_files)
{
    static const double bad[N] = {1, 10, 3, 11, 2, 10, 5}, half[N] = {1, 10, 3.5, 9, 2, 10, 5};
    static char text[4096] = "MATLAB 5.0 MAT-file, but nothing behind it";
    const int v5 = MAT_FT_MAT5, no = MAT_COMPRESSION_NONE, u8 = MAT_C_UINT8;
    refuse(with("/nowhere/x"), DAL_E_NOT_FOUND, "train", "/nowhere/x: cannot open");
    refuse(with(fx_text("empty", "")), DAL_E_FORMAT, "train", "empty: does not begin as MATLAB's files do");
    refuse(with(fx_write("text", text, sizeof text)), DAL_E_FORMAT, "train", "text: ");
    refuse(with(mat("labels.mat", v5, no, u8, H, 3, N, bad, N)), DAL_E_FORMAT, "train",
           "labels.mat: label 3 of y is none, expected 1..10 (10 is the digit 0)");
    refuse(with(mat("half.mat", v5, no, u8, H, 3, N, half, N)), DAL_E_FORMAT, "train",
           "half.mat: label 2 of y is none");
    refuse(with(mat("few.mat", v5, no, u8, H, 3, N, labels, N - 1)), DAL_E_FORMAT, "train",
           "few.mat: y is [6, 1], but there are 7 pictures");
    refuse(with(mat("i8.mat", v5, no, MAT_C_INT8, H, 3, N, labels, N)), DAL_E_FORMAT, "train",
           "i8.mat: X is not of class uint8");
    refuse(with(mat("four.mat", v5, no, u8, H, 4, N, labels, N)), DAL_E_FORMAT, "train",
           "four.mat: X is [4, 3, 4, 7], expected [32, 32, 3, n]");
    options o = with(mat("train.mat", v5, no, u8, H, 3, N, labels, N));
    o.test = mat("other.mat", v5, no, u8, H - 1, 3, N, labels, N);
    refuse(o, DAL_E_INVALID, "test", "other.mat: X is [3, 3, 3, n], that of ");
    size_t n;
    unsigned char *raw = fx_slurp(o.train, &n);
    refuse(with(fx_write("cut.mat", raw, 400)), DAL_E_FORMAT, "train", "cut.mat: ");
    memcpy(raw + 176, "\xff\xff\xff\x7f", 4); /* the last dimension */
    refuse(with(fx_write("huge.mat", raw, n)), DAL_E_FORMAT, "train", "huge.mat: ");
    free(raw);
}

/* plain.mat with another byte, and what is said of it. */
static void changed(int64_t at, const char *bytes, size_t n, const char *words)
{
    unsigned char copy[4096];
    FILE *f = fopen(mat("plain.mat", MAT_FT_MAT5, MAT_COMPRESSION_NONE, MAT_C_UINT8, H, 3, N, labels, N), "rb");
    const size_t size = fread(copy, 1, sizeof copy, f);
    fclose(f);
    memcpy(copy + at, bytes, n);
    refuse(with(fx_write("changed.mat", copy, size)), DAL_E_FORMAT, "train", words);
}

Test(svhn_mat, takes_no_memory_for_what_a_tag_only_says)
{
    enum { ELEMENT = 128, CLASS = 144, DIMS = 156, NAME = 176 };
    changed(ELEMENT, "\x10", 1, "changed.mat: at offset 128: an element that is no variable");
    changed(ELEMENT + 4, "\xff\xff\xff\x7f", 4, "at offset 128: cut short");
    changed(CLASS, "\x01", 1, "at offset 128: a variable that is no array of numbers");
    changed(DIMS, "\xf0\xff\xff\xff", 4, "at offset 128: a variable without dimensions");
    changed(NAME, "\x01\0\0\0\xff\xff\xff\x7f", 8, "at offset 128: a variable without a name");
    changed(125, "\x04", 1, "version 4 of its header, expected 1 (format 5) or 2 (format 7.3)");
}

Test(svhn_mat, survives_every_failed_allocation)
{
    options o = with(mat("train.mat", MAT_FT_MAT5, MAT_COMPRESSION_ZLIB, MAT_C_UINT8, H, 3, N, labels, N));
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        void *self = NULL;
        dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        const dal_status st = svhn_impl.create(dal_runtime_host(rt, "svhn"), &o, NULL, &self, &err);
        svhn_impl.destroy(self);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
        if (st == DAL_OK) {
            cr_assert_gt(k, 3);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}
#else
Test(svhn_mat, without_matio_says_so)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    const options o = {.train = "x.mat", .extra = "", .test = ""};
    fx_expect(&err, svhn_impl.create(dal_runtime_host(rt, "svhn"), &o, NULL, &self, &err), DAL_E_UNSUPPORTED, "train",
              "libmatio-dev");
    dal_runtime_free(rt);
}
#endif
