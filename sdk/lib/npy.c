#include <dal/npy.h>

#include "half.h"
#include "npy_header.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Rows converted at a time: a Fortran-ordered file is read down its columns, and the rows it is
 * scattered over should stay in the cache meanwhile. */
#define TILE_ROWS 64
/* Rows per task of dal_npy_matrix. */
#define TASK_ROWS 1024

struct dal_npy {
    char *path;
    void *map; /* NULL: the bytes are somebody else's */
    const unsigned char *bytes;
    size_t n_bytes;
    const unsigned char *data; /* first element */
    npy_header head;
    int64_t width;
    char text[160];
};

static const char *const type_names[] = {"?", "float16", "float32", "float64", "int8", "int16", "int32",
                                         "int64", "uint8", "uint16", "uint32", "uint64", "bool"};

/* ---- opening ---------------------------------------------------------------------------------- */

static void describe(dal_npy *npy)
{
    size_t at = (size_t)snprintf(npy->text, sizeof npy->text, "%s [", type_names[npy->head.type]);
    for (uint32_t i = 0; i < npy->head.ndim && at < sizeof npy->text; i++)
        at += (size_t)snprintf(npy->text + at, sizeof npy->text - at, "%s%lld", i ? ", " : "",
                               (long long)npy->head.shape[i]);
    if (at < sizeof npy->text)
        snprintf(npy->text + at, sizeof npy->text - at, "]");
}

/* Map the file read-only. A FIFO or a device is refused rather than waited for. */
static dal_status map_file(dal_npy *npy, dal_error *err)
{
    struct stat info;
    dal_status st = DAL_OK;
    const int fd = open(npy->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dal_fail(err, errno == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, "", "%s: cannot be opened (%s)",
                        npy->path, strerror(errno));
    if (fstat(fd, &info) != 0) {
        st = dal_fail(err, DAL_E_IO, "", "%s: cannot be read (%s)", npy->path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        st = dal_fail(err, DAL_E_IO, "", "%s: is not a regular file", npy->path);
    } else if (info.st_size == 0) {
        st = dal_fail(err, DAL_E_FORMAT, "", "%s: is empty, expected a .npy file", npy->path);
    } else {
        npy->n_bytes = (size_t)info.st_size;
        void *map = mmap(NULL, npy->n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            st = dal_fail(err, DAL_E_IO, "", "%s: cannot be mapped (%s)", npy->path, strerror(errno));
        else
            npy->bytes = npy->map = map;
    }
    close(fd);
    return st;
}

/* Does the file hold exactly the elements its header speaks of? */
static dal_status check_size(dal_npy *npy, dal_error *err)
{
    const npy_header *head = &npy->head;
    int64_t bytes = head->item_bytes;
    npy->width = 1;
    for (uint32_t i = 0; i < head->ndim; i++)
        if (i > 0 && head->shape[i] == 0)
            return dal_fail(err, DAL_E_FORMAT, "", "%s: %s: its rows hold nothing", npy->path, npy->text);
        else if (!dal_size_mul(bytes, head->shape[i], &bytes) ||
            (i > 0 && !dal_size_mul(npy->width, head->shape[i], &npy->width)))
            return dal_fail(err, DAL_E_OVERFLOW, "", "%s: %s is more than memory can address", npy->path,
                            npy->text);
    const int64_t found = (int64_t)npy->n_bytes - head->data_offset;
    if (found != bytes)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "%s: %s after its header of %lld bytes: %lld bytes of data found, %s needs %lld",
                        npy->path, found < bytes ? "cut short" : "goes on too long",
                        (long long)head->data_offset, (long long)found, npy->text, (long long)bytes);
    npy->data = npy->bytes + head->data_offset;
    return DAL_OK;
}

/* Read the header of what npy->bytes holds; npy is closed when it is none. */
static dal_status finish_opening(dal_npy *npy, dal_npy **out, dal_error *err)
{
    char problem[256];
    dal_status st = DAL_OK;
    if (!npy_parse_header(npy->bytes, npy->n_bytes, &npy->head, problem, sizeof problem))
        st = dal_fail(err, DAL_E_FORMAT, "", "%s: %s", npy->path, problem);
    if (st == DAL_OK) {
        describe(npy);
        st = check_size(npy, err);
    }
    if (st != DAL_OK)
        dal_npy_close(npy);
    else
        *out = npy;
    return st;
}

static dal_npy *new_npy(const char *path, dal_error *err)
{
    dal_npy *npy = calloc(1, sizeof *npy);
    if (npy && (npy->path = strdup(path)))
        return npy;
    free(npy);
    dal_fail(err, DAL_E_NOMEM, "", "%s: no memory to open it", path);
    return NULL;
}

dal_status dal_npy_open(const char *path, dal_npy **out, dal_error *err)
{
    dal_npy *npy = new_npy(path, err);
    if (!npy)
        return DAL_E_NOMEM;
    const dal_status st = map_file(npy, err);
    if (st == DAL_OK)
        return finish_opening(npy, out, err);
    dal_npy_close(npy);
    return st;
}

dal_status dal_npy_view(const char *name, const void *bytes, int64_t n, dal_npy **out, dal_error *err)
{
    dal_npy *npy = new_npy(name, err);
    if (!npy)
        return DAL_E_NOMEM;
    npy->bytes = bytes;
    npy->n_bytes = (size_t)n;
    return finish_opening(npy, out, err);
}

void dal_npy_close(dal_npy *npy)
{
    if (!npy)
        return;
    if (npy->map)
        munmap(npy->map, npy->n_bytes);
    free(npy->path);
    free(npy);
}

uint32_t dal_npy_type(const dal_npy *npy)
{
    return npy->head.type;
}

uint32_t dal_npy_ndim(const dal_npy *npy)
{
    return npy->head.ndim;
}

int64_t dal_npy_size(const dal_npy *npy, uint32_t axis)
{
    return axis < npy->head.ndim ? npy->head.shape[axis] : 1;
}

int64_t dal_npy_width(const dal_npy *npy)
{
    return npy->width;
}

const char *dal_npy_describe(const dal_npy *npy)
{
    return npy->text;
}

const void *dal_npy_data(const dal_npy *npy)
{
    const npy_header *head = &npy->head;
    const int straight = !head->fortran || head->ndim == 1;
    if (!straight || head->swapped || (uintptr_t)npy->data % (uintptr_t)head->item_bytes != 0)
        return NULL;
    return npy->data;
}

/* ---- elements --------------------------------------------------------------------------------- */

static float f32_value(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double f64_value(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint8_t swap8(uint8_t x)
{
    return x;
}

#define F64_TO_F32(w) (float)f64_value(w)
#define BOOL_TO_F32(w) ((w) ? 1.0f : 0.0f)
#define TYPES(X)                                                   \
    X(F16, uint16_t, __builtin_bswap16, half_value)                \
    X(F32, uint32_t, __builtin_bswap32, f32_value)                 \
    X(F64, uint64_t, __builtin_bswap64, F64_TO_F32)                \
    X(I8, uint8_t, swap8, (float)(int8_t))                         \
    X(I16, uint16_t, __builtin_bswap16, (float)(int16_t))          \
    X(I32, uint32_t, __builtin_bswap32, (float)(int32_t))          \
    X(I64, uint64_t, __builtin_bswap64, (float)(int64_t))          \
    X(U8, uint8_t, swap8, (float))                                 \
    X(U16, uint16_t, __builtin_bswap16, (float))                   \
    X(U32, uint32_t, __builtin_bswap32, (float))                   \
    X(U64, uint64_t, __builtin_bswap64, (float))                   \
    X(BOOL, uint8_t, swap8, BOOL_TO_F32)

/* n elements, one after the other at src, to every step-th place of out. */
#define DEFINE_CONVERTER(type, word, swap, value)                                                  \
    static void convert_##type(const unsigned char *src, int64_t n, int swapped, float *out,       \
                               int64_t step)                                                       \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++) {                                                          \
            word w;                                                                                \
            memcpy(&w, src + i * (int64_t)sizeof w, sizeof w);                                     \
            out[i * step] = value(swapped ? swap(w) : w);                                          \
        }                                                                                          \
    }
TYPES(DEFINE_CONVERTER)

#define CONVERTER_OF(type, word, swap, value) [DAL_NPY_##type] = convert_##type,
static void (*const converters[])(const unsigned char *src, int64_t n, int swapped, float *out,
                                  int64_t step) = {TYPES(CONVERTER_OF)};

/* Position j of a row (C order over axes 1..) as a column of a Fortran-ordered file. */
static int64_t fortran_column(const npy_header *head, int64_t j)
{
    int64_t index[DAL_NPY_MAX_DIMS] = {0}, column = 0;
    for (uint32_t axis = head->ndim; axis-- > 1;) {
        index[axis] = j % head->shape[axis];
        j /= head->shape[axis];
    }
    for (uint32_t axis = head->ndim; axis-- > 1;)
        column = column * head->shape[axis] + index[axis];
    return column;
}

/* Where value j of row r lies. */
static const unsigned char *element(const dal_npy *npy, int64_t row, int64_t j)
{
    const npy_header *head = &npy->head;
    const int64_t at = head->fortran ? fortran_column(head, j) * head->shape[0] + row : row * npy->width + j;
    return npy->data + at * head->item_bytes;
}

static void convert_rows(const dal_npy *npy, int64_t first, int64_t n, float *out)
{
    const npy_header *head = &npy->head;
    if (!head->fortran && head->type == DAL_NPY_F32 && !head->swapped) {
        memcpy(out, element(npy, first, 0), (size_t)(n * npy->width) * sizeof *out);
        return;
    }
    if (!head->fortran) {
        converters[head->type](element(npy, first, 0), n * npy->width, head->swapped, out, 1);
        return;
    }
    for (int64_t r = 0; r < n; r += TILE_ROWS)
        for (int64_t j = 0; j < npy->width; j++)
            converters[head->type](element(npy, first + r, j), n - r < TILE_ROWS ? n - r : TILE_ROWS,
                                   head->swapped, out + r * npy->width + j, npy->width);
}

static dal_status check_rows(const dal_npy *npy, int64_t first, int64_t n, dal_error *err)
{
    const int64_t rows = npy->head.shape[0];
    if (first >= 0 && n >= 0 && first <= rows && n <= rows - first)
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "", "%s: %lld rows from row %lld asked of %lld rows", npy->path,
                    (long long)n, (long long)first, (long long)rows);
}

dal_status dal_npy_to_f32(const dal_npy *npy, int64_t first, int64_t n, float *out, dal_error *err)
{
    const dal_status st = check_rows(npy, first, n, err);
    if (st == DAL_OK && n > 0 && npy->width > 0)
        convert_rows(npy, first, n, out);
    return st;
}

dal_status dal_npy_take_f32(const dal_npy *npy, const int64_t *rows, int64_t n, float *out, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0, run; st == DAL_OK && i < n; i += run) {
        for (run = 1; i + run < n && (uint64_t)rows[i + run] == (uint64_t)rows[i] + (uint64_t)run;)
            run++;
        st = dal_npy_to_f32(npy, rows[i], run, out + i * npy->width, err);
    }
    return st;
}

/* ---- whole numbers ---------------------------------------------------------------------------- */

static uint64_t load_word(const unsigned char *p, int64_t bytes, int swapped)
{
    uint16_t w2;
    uint32_t w4;
    uint64_t w8;
    switch (bytes) {
    case 1: return *p;
    case 2: memcpy(&w2, p, sizeof w2); return swapped ? __builtin_bswap16(w2) : w2;
    case 4: memcpy(&w4, p, sizeof w4); return swapped ? __builtin_bswap32(w4) : w4;
    default: memcpy(&w8, p, sizeof w8); return swapped ? __builtin_bswap64(w8) : w8;
    }
}

static int whole(double x, int64_t *out)
{
    if (!(x >= -0x1p63 && x < 0x1p63) || floor(x) != x)
        return 0;
    *out = (int64_t)x;
    return 1;
}

static int to_whole(uint32_t type, uint64_t w, int64_t *out)
{
    switch (type) {
    case DAL_NPY_F16: return whole((double)half_value((uint16_t)w), out);
    case DAL_NPY_F32: return whole((double)f32_value((uint32_t)w), out);
    case DAL_NPY_F64: return whole(f64_value(w), out);
    case DAL_NPY_I8: *out = (int8_t)w; return 1;
    case DAL_NPY_I16: *out = (int16_t)w; return 1;
    case DAL_NPY_I32: *out = (int32_t)w; return 1;
    case DAL_NPY_BOOL: *out = w != 0; return 1;
    case DAL_NPY_U64: *out = (int64_t)w; return w <= INT64_MAX;
    default: *out = (int64_t)w; return 1;
    }
}

dal_status dal_npy_to_i64(const dal_npy *npy, int64_t first, int64_t n, int64_t *out, dal_error *err)
{
    const npy_header *head = &npy->head;
    const dal_status st = check_rows(npy, first, n, err);
    for (int64_t r = 0; st == DAL_OK && r < n; r++)
        for (int64_t j = 0; j < npy->width; j++) {
            const uint64_t w = load_word(element(npy, first + r, j), head->item_bytes, head->swapped);
            if (!to_whole(head->type, w, &out[r * npy->width + j]))
                return dal_fail(err, DAL_E_FORMAT, "",
                                "%s: row %lld holds a number that is not whole or does not fit 64 bits; "
                                "%s found, integers expected", npy->path, (long long)(first + r), npy->text);
        }
    return st;
}

/* ---- the whole file --------------------------------------------------------------------------- */

typedef struct whole_file {
    const dal_npy *npy;
    float *out;
} whole_file;

static dal_status convert_task(void *ctx, int64_t i)
{
    const whole_file *f = ctx;
    const int64_t first = i * TASK_ROWS, rest = f->npy->head.shape[0] - first;
    return dal_npy_to_f32(f->npy, first, rest < TASK_ROWS ? rest : TASK_ROWS, f->out + first * f->npy->width,
                          NULL);
}

dal_status dal_npy_matrix(const dal_npy *npy, const dal_host *host, dal_matrix *out, float **owned,
                          dal_error *err)
{
    const int64_t rows = npy->head.shape[0];
    *owned = NULL;
    *out = (dal_matrix){.rows = rows, .cols = npy->width, .stride = npy->width};
    if (npy->head.type == DAL_NPY_F32)
        out->data = dal_npy_data(npy);
    if (out->data)
        return DAL_OK;
    int64_t count;
    float *copy = dal_size_mul(rows, npy->width, &count) ? dal_array(host, count, sizeof *copy) : NULL;
    if (!copy)
        return dal_fail(err, DAL_E_NOMEM, "", "%s: no memory for %s as float32; a C-ordered float32 file "
                        "needs none", npy->path, npy->text);
    whole_file f = {npy, copy};
    const dal_status st = host->parallel_for(host, (rows + TASK_ROWS - 1) / TASK_ROWS, convert_task, &f);
    if (st != DAL_OK) {
        host->free(host, copy);
        return dal_fail(err, st, "", "%s: could not be converted to float32", npy->path);
    }
    out->data = *owned = copy;
    return DAL_OK;
}
