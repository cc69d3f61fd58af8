#include <criterion/criterion.h>
#include <dal/npy.h>
#include <dal/runtime.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[96];

static void make_dir(void)
{
    strcpy(dir, "/tmp/dal-npy-XXXXXX");
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/x.npy", dir);
}

static void remove_dir(void)
{
    unlink(path);
    cr_assert_eq(rmdir(dir), 0, "something was left in %s", dir);
}

TestSuite(npy, .init = make_dir, .fini = remove_dir);

static void put(const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    cr_assert_eq(fwrite(data, 1, bytes, f), bytes);
    fclose(f);
}

/* A file of version 1 (2, 3) with this dict and these bytes of data. */
static void put_npy(int version, const char *dict, const void *data, size_t bytes)
{
    unsigned char file[4096] = "\x93NUMPY";
    const size_t n = strlen(dict) + 1, start = version == 1 ? 10 : 12;
    file[6] = (unsigned char)version;
    file[8] = (unsigned char)n;
    file[9] = (unsigned char)(n >> 8);
    memcpy(file + start, dict, n - 1);
    file[start + n - 1] = '\n';
    memcpy(file + start + n, data, bytes);
    put(file, start + n + bytes);
}

static dal_npy *open_good(void)
{
    dal_npy *npy = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_npy_open(path, &npy, &err), DAL_OK, "%s", err.text);
    return npy;
}

/* Opening fails, and the message begins with the path and holds these words. */
static void refused(const char *words)
{
    dal_npy *npy = NULL;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_neq(dal_npy_open(path, &npy, &err), DAL_OK, "expected: %s", words);
    cr_assert_null(npy);
    cr_assert_eq(strncmp(err.text, path, strlen(path)), 0);
    cr_assert(strstr(err.text, words), "found '%s', expected '%s'", err.text, words);
}

/* ---- what is read ----------------------------------------------------------------------------- */

#define BYTES(...) (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__})

static const struct {
    const char *descr;
    const unsigned char *data;
    size_t bytes;
    float first, second;
    uint32_t type;
} elements[] = {
    {"<f2", BYTES(0x00, 0x3e, 0x01, 0x80), 1.5f, -0x1p-24f, DAL_NPY_F16},
    {">f2", BYTES(0x7c, 0x00, 0xfb, 0xff), INFINITY, -65504, DAL_NPY_F16},
    {"<f4", BYTES(0, 0, 0xc0, 0x3f, 0, 0, 0x80, 0xff), 1.5f, -INFINITY, DAL_NPY_F32},
    {">f4", BYTES(0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0), 1.5f, -2, DAL_NPY_F32},
    {"<f8", BYTES(0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0), 1.5f, -2, DAL_NPY_F64},
    {">f8", BYTES(0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0), 1.5f, INFINITY, DAL_NPY_F64},
    {"|i1", BYTES(3, 0xff), 3, -1, DAL_NPY_I8},
    {"<i2", BYTES(3, 1, 0xff, 0xff), 259, -1, DAL_NPY_I16},
    {">i2", BYTES(1, 3, 0xff, 0xfe), 259, -2, DAL_NPY_I16},
    {"<i4", BYTES(3, 1, 0, 0, 0xff, 0xff, 0xff, 0xff), 259, -1, DAL_NPY_I32},
    {">i8", BYTES(0, 0, 0, 0, 0, 0, 1, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), 259, -1,
     DAL_NPY_I64},
    {"|u1", BYTES(3, 0xff), 3, 255, DAL_NPY_U8},
    {"<u1", BYTES(3, 0xff), 3, 255, DAL_NPY_U8},
    {">u2", BYTES(1, 3, 0xff, 0xff), 259, 65535, DAL_NPY_U16},
    {"<u4", BYTES(3, 1, 0, 0, 0xff, 0xff, 0xff, 0xff), 259, 4294967295.0f, DAL_NPY_U32},
    {"<u8", BYTES(3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80), 259, 0x1p63f, DAL_NPY_U64},
    {"|b1", BYTES(1, 0), 1, 0, DAL_NPY_BOOL},
};

Test(npy, reads_every_element_type_in_either_byte_order)
{
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        for (int version = 1; version <= 3; version++) {
            char dict[128];
            float out[2];
            snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': (2,), }",
                     elements[i].descr);
            put_npy(version, dict, elements[i].data, elements[i].bytes);
            dal_npy *npy = open_good();
            cr_assert_eq(dal_npy_type(npy), elements[i].type);
            cr_assert_eq(dal_npy_to_f32(npy, 0, 2, out, NULL), DAL_OK);
            cr_assert(out[0] == elements[i].first && out[1] == elements[i].second, "%s: %g %g",
                      elements[i].descr, (double)out[0], (double)out[1]);
            dal_npy_close(npy);
        }
}

Test(npy, turns_fortran_order_into_rows)
{
    int16_t data[2 * 3 * 2 * 2];
    float want[24], out[24];
    for (int a = 0, c = 0; a < 2; a++) /* c: position in C order */
        for (int b = 0; b < 3; b++)
            for (int d = 0; d < 2; d++)
                for (int e = 0; e < 2; e++, c++) {
                    data[a + 2 * (b + 3 * (d + 2 * e))] = (int16_t)c;
                    want[c] = (float)c;
                }
    put_npy(1, "{'shape': (2, 3, 2, 2), \"descr\": '<i2', 'fortran_order': True}", data, sizeof data);
    dal_npy *npy = open_good();
    cr_assert_str_eq(dal_npy_describe(npy), "int16 [2, 3, 2, 2]");
    cr_assert_eq(dal_npy_width(npy), 12);
    cr_assert_null(dal_npy_data(npy));
    cr_assert_eq(dal_npy_to_f32(npy, 0, 2, out, NULL), DAL_OK);
    cr_assert_arr_eq(out, want, sizeof want);
    const int64_t rows[3] = {1, 0, 1};
    float taken[36];
    cr_assert_eq(dal_npy_take_f32(npy, rows, 3, taken, NULL), DAL_OK);
    cr_assert_arr_eq(taken, want + 12, 12 * sizeof *want);
    cr_assert_arr_eq(taken + 12, want, 24 * sizeof *want);
    const int64_t beyond[3] = {0, 1, 2}; /* a run whose last row is not there */
    cr_assert_eq(dal_npy_take_f32(npy, beyond, 3, taken, NULL), DAL_E_INVALID);
    int64_t whole[12];
    cr_assert_eq(dal_npy_to_i64(npy, 1, 1, whole, NULL), DAL_OK);
    cr_assert_eq(whole[11], 23);
    dal_npy_close(npy);
}

Test(npy, hands_out_the_map_when_it_is_a_matrix_already_and_a_copy_otherwise)
{
    enum { ROWS = 3000, COLS = 7 };
    dal_runtime *rt = dal_runtime_new(NULL, NULL);
    const dal_host *h = dal_runtime_host(rt, "test");
    float *x = malloc(ROWS * COLS * sizeof *x);
    double *y = malloc(ROWS * COLS * sizeof *y);
    for (int i = 0; i < ROWS * COLS; i++)
        y[i] = x[i] = (float)i * 0.5f;
    const int64_t shape[2] = {ROWS, COLS};
    for (int wide = 0; wide < 2; wide++) {
        dal_matrix m;
        float *owned;
        cr_assert_eq(dal_npy_write(path, wide ? DAL_NPY_F64 : DAL_NPY_F32, 2, shape, wide ? (void *)y : x,
                                   NULL), DAL_OK);
        dal_npy *npy = open_good();
        cr_assert_eq(dal_npy_matrix(npy, h, &m, &owned, NULL), DAL_OK);
        cr_assert(m.rows == ROWS && m.cols == COLS && m.stride == COLS);
        cr_assert_eq(owned != NULL, wide);
        cr_assert_eq((uintptr_t)m.data % 64, 0);
        cr_assert_arr_eq(m.data, x, ROWS * COLS * sizeof *x);
        h->free(h, owned);
        dal_npy_close(npy);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    free(x);
    free(y);
}

Test(npy, reads_back_what_it_wrote)
{
    const int64_t data[6] = {INT64_MIN, -1, 0, 1, 2, INT64_MAX}, shape[3] = {1, 2, 3};
    int64_t out[6];
    for (uint32_t ndim = 1; ndim <= 3; ndim++) {
        const int64_t *s = ndim == 1 ? (const int64_t[]){6} : shape + 3 - ndim;
        cr_assert_eq(dal_npy_write(path, DAL_NPY_I64, ndim, s, data, NULL), DAL_OK);
        dal_npy *npy = open_good();
        cr_assert_eq(dal_npy_ndim(npy), ndim);
        cr_assert_eq(dal_npy_to_i64(npy, 0, s[0], out, NULL), DAL_OK);
        cr_assert_arr_eq(out, data, sizeof data);
        cr_assert_eq(memcmp(dal_npy_data(npy), data, sizeof data), 0);
        dal_npy_close(npy);
    }
}

Test(npy, reads_labels_kept_as_floats_and_refuses_fractions)
{
    const float labels[3] = {0, 9, 2.5f};
    int64_t out[3];
    dal_error err = DAL_ERROR_INIT;
    put_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", labels, sizeof labels);
    dal_npy *npy = open_good();
    cr_assert_eq(dal_npy_to_i64(npy, 0, 2, out, &err), DAL_OK);
    cr_assert_eq(out[1], 9);
    cr_assert_eq(dal_npy_to_i64(npy, 0, 3, out, &err), DAL_E_FORMAT);
    cr_assert(strstr(err.text, "row 2 holds a number that is not whole"), "%s", err.text);
    cr_assert_eq(dal_npy_to_i64(npy, 2, 2, out, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "2 rows from row 2 asked of 3 rows"), "%s", err.text);
    dal_npy_close(npy);
    const uint64_t huge = 1ull << 63;
    put_npy(1, "{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}", &huge, sizeof huge);
    npy = open_good();
    cr_assert_eq(dal_npy_to_i64(npy, 0, 1, out, &err), DAL_E_FORMAT);
    dal_npy_close(npy);
}

Test(npy, accepts_an_empty_list_of_rows)
{
    put_npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5)}", "", 0);
    dal_npy *npy = open_good();
    cr_assert_eq(dal_npy_size(npy, 0), 0);
    cr_assert_eq(dal_npy_width(npy), 5);
    cr_assert_eq(dal_npy_to_f32(npy, 0, 0, NULL, NULL), DAL_OK);
    dal_npy_close(npy);
}

/* ---- what is refused -------------------------------------------------------------------------- */

static const struct {
    const char *dict, *words;
} bad_headers[] = {
    {"{'descr': '<f4', 'fortran_order': False, 'shape': ()}", "holds a single number, expected 1 to 4"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,2)}", "more than 4 dimensions"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "not a number"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "does not fit 64 bits"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", "more than memory"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4611686018427387904, 4)}", "more than memory"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 0)}", "its rows hold nothing"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "cut short after its header"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "goes on too long"},
    {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}", "neither True nor False"},
    {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", "element type '<c8' found"},
    {"{'descr': '|f4', 'fortran_order': False, 'shape': (2,)}", "element type '|f4' found"},
    {"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "element type '|O' found"},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "holds records"},
    {"{'descr': '', 'fortran_order': False, 'shape': (2,)}", "element type '' found"},
    {"{'descr': '<f4', 'fortran_order': False}", "lacks 'shape'"},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", "a second key 'descr'"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", "an unknown key 'x'"},
    {"{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}", "expected '}' or ',' after a value"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", "goes on after its dict"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2", "expected ')' after the shape"},
    {"{'descr': '<f4", "not a short string"},
    {"{", "expected a quoted key"},
    {"", "expected '{' at its start"},
};

Test(npy, says_what_is_wrong_with_a_header)
{
    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        put_npy(1, bad_headers[i].dict, "\0\0\0\0\0\0\0\0", 8);
        refused(bad_headers[i].words);
    }
}

Test(npy, says_what_is_wrong_with_a_file)
{
    refused("cannot be opened (No such file");
    put("", 0);
    refused("is empty");
    put("PK\3\4 a zip", 10);
    refused("does not begin with");
    put("\x93NUMPY\1\0", 8);
    refused("cut short within its header (8 bytes)");
    put("\x93NUMPY\4\0\2\0{}", 12);
    refused(".npy version 4.0");
    put("\x93NUMPY\1\0\x76\0{'descr'", 18);
    refused("cut short within its header (18 of 128 bytes)");
    put("\x93NUMPY\2\0\xff\xff\xff\xff{}", 14);
    refused("header of 4294967295 bytes");
    unlink(path);
    cr_assert_eq(mkfifo(path, 0600), 0);
    refused("not a regular file");
}

/* Whatever a header says, opening it either works or fails; sanitizers watch. */
Test(npy, survives_mutilated_headers)
{
    const char *good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
    dal_rng r = dal_rng_from_key(11);
    char dict[100];
    for (int i = 0; i < 3000; i++) {
        strcpy(dict, good);
        for (int k = 0; k < 3; k++)
            dict[dal_rng_below(&r, (int64_t)strlen(good))] = (char)(1 + dal_rng_below(&r, 255));
        put_npy(1, dict, "\0\0\0\0\0\0\0\0", 8);
        dal_npy *npy = NULL;
        if (dal_npy_open(path, &npy, NULL) == DAL_OK) {
            float out[8];
            cr_assert_eq(dal_npy_to_f32(npy, 0, dal_npy_size(npy, 0), out, NULL), DAL_OK);
        }
        dal_npy_close(npy);
    }
}

/* ---- writing ---------------------------------------------------------------------------------- */

Test(npy, leaves_the_old_file_alone_when_it_cannot_write)
{
    const int64_t shape[1] = {2};
    const float x[2] = {1, 2};
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(dal_npy_write("/no/such/dir/x.npy", DAL_NPY_F32, 1, shape, x, &err), DAL_E_IO);
    cr_assert(strstr(err.text, "/no/such/dir/x.npy: cannot be written (No such file"), "%s", err.text);
    cr_assert_eq(dal_npy_write("/dev/null", DAL_NPY_F32, 1, shape, x, &err), DAL_E_IO);
    cr_assert(strstr(err.text, "not a regular file"), "%s", err.text);
    cr_assert_eq(dal_npy_write(path, DAL_NPY_U16, 1, shape, x, &err), DAL_E_INVALID);
    cr_assert_eq(dal_npy_write(path, DAL_NPY_F32, 5, shape, x, &err), DAL_E_INVALID);
    cr_assert_eq(access(path, F_OK), -1);
}

Test(npy, writes_through_a_symbolic_link)
{
    const int64_t shape[1] = {2};
    const float x[2] = {1, 2};
    char target[96];
    struct stat info;
    snprintf(target, sizeof target, "%s/target.npy", dir);
    cr_assert_eq(dal_npy_write(target, DAL_NPY_F32, 1, shape, x, NULL), DAL_OK);
    cr_assert_eq(symlink(target, path), 0);
    cr_assert_eq(dal_npy_write(path, DAL_NPY_F32, 1, shape, x, NULL), DAL_OK);
    cr_assert(lstat(path, &info) == 0 && S_ISLNK(info.st_mode));
    unlink(target);
}
