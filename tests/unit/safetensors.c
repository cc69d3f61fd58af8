#include "tests/unit/fixture.h"

#include <dal/safetensors.h>
#include <math.h>

/* A file: the header's length, the header, `bytes` bytes of data 0, 1, 2... Its size goes to *n. */
static const unsigned char *file_of(const char *header, size_t bytes, size_t *n)
{
    static unsigned char out[4][4096];
    static int turn;
    unsigned char *to = out[turn++ % 4];
    const size_t length = strlen(header);
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(to + 8, header, length);
    for (size_t i = 0; i < bytes; i++)
        to[8 + length + i] = (unsigned char)i;
    *n = 8 + length + bytes;
    return to;
}

static void refuse(const void *bytes, size_t n, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    dal_safetensors *f = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    /* as much memory as there is, so that a sanitizer sees a byte too many */
    void *copy = malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    fx_expect(&err, dal_safetensors_view(dal_runtime_host(rt, "st"), "a file", "weights", copy, (int64_t)n, &f, &err),
              DAL_E_FORMAT, "weights", words);
    cr_assert_null(f);
    cr_assert_null(strpbrk(err.text, "\n\033"));
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    free(copy);
}

static void refuse_header(const char *header, size_t bytes, const char *words)
{
    size_t n;
    const unsigned char *p = file_of(header, bytes, &n);
    refuse(p, n, words);
}

Test(safetensors, reads_what_numpy_would_write)
{
    /* b'...' of json.dumps(...) and of numpy arrays' tobytes(): [[1, -2], [0.5, 65504]] as f2, [3.25] as f4, int64 7 */
    static const char header[] =
                                 "{\"__metadata__\": {\"format\": \"np\"}, \"half\": {\"dtype\": \"F16\", \"shape\": "
                                 "[2, 2], \"data_offsets\": [0, 8]}, \"one\": {\"dtype\": \"F32\", \"shape\": [1], "
                                 "\"data_offsets\": [8, 12]}, \"brain\": {\"dtype\": \"BF16\", \"shape\": [2], "
                                 "\"data_offsets\": [12, 16]}, \"scalar\": {\"dtype\": \"I64\", \"shape\": [], "
                                 "\"data_offsets\": [16, 24]}, \"none\": {\"dtype\": \"F32\", \"shape\": [0, 3], "
                                 "\"data_offsets\": [24, 24]}, \"double\": {\"dtype\": \"F64\", \"shape\": [1], "
                                 "\"data_offsets\": [24, 32]}}   ";
    static const unsigned char data[] = {0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38, 0xff, 0x7b, 0x00, 0x00, 0x50, 0x40, 0x80,
                                         0x3f, 0x49, 0xc0, 7,    0,    0,    0,    0,    0,    0,    0,    0,    0,
                                         0,    0,    0,    0,    0xf8, 0x3f};
    size_t n;
    unsigned char bytes[4096];
    memcpy(bytes, file_of(header, sizeof data, &n), sizeof bytes);
    memcpy(bytes + n - sizeof data, data, sizeof data);
    const char *path = fx_write("numpy.safetensors", bytes, n);
    dal_error err = DAL_ERROR_INIT;
    dal_safetensors *f = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    float x[4];
    char text[160];
    int64_t seven;
    cr_assert_eq(dal_safetensors_open(dal_runtime_host(rt, "st"), path, "weights", &f, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(dal_safetensors_count(f), 6);
    cr_assert_str_eq(dal_safetensors_tensor(f, 0)->name, "brain");
    const dal_tensor *half = dal_safetensors_find(f, "half");
    cr_assert_str_eq(dal_tensor_describe(half, text), "F16 [2, 2]");
    cr_assert_eq(dal_tensor_to_f32(half, x, &err), DAL_OK);
    cr_assert_arr_eq(x, ((float[]){1, -2, 0.5f, 65504}), sizeof x);
    cr_assert_eq(dal_tensor_to_f32(dal_safetensors_find(f, "one"), x, &err), DAL_OK);
    cr_assert_eq(x[0], 3.25f);
    cr_assert_eq(dal_tensor_to_f32(dal_safetensors_find(f, "brain"), x, &err), DAL_OK);
    cr_assert_eq(x[0], 1);
    cr_assert_eq(x[1], -3.140625f);
    cr_assert_eq(dal_tensor_to_f32(dal_safetensors_find(f, "double"), x, &err), DAL_OK);
    cr_assert_eq(x[0], 1.5f);
    cr_assert_eq(dal_safetensors_find(f, "none")->count, 0);
    memcpy(&seven, dal_safetensors_find(f, "scalar")->data, sizeof seven);
    cr_assert_eq(seven, 7);
    cr_assert_str_eq(dal_tensor_describe(dal_safetensors_find(f, "scalar"), text), "I64 []");
    cr_assert_null(dal_safetensors_find(f, "nothing"));
    fx_expect(&err, dal_tensor_to_f32(dal_safetensors_find(f, "scalar"), x, &err), DAL_E_UNSUPPORTED, "",
              "tensor 'scalar' is of type I64");
    dal_safetensors_close(f);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

#define T(name, type, shape, from, to) \
    "\"" name "\": {\"dtype\": \"" type "\", \"shape\": [" shape "], \"data_offsets\": [" #from ", " #to "]}"

Test(safetensors, what_does_not_fit_is_told_with_both_sides)
{
    refuse_header("{" T("w", "F32", "2, 3", 0, 24) "}", 16,
                  "tensor 'w' lies at bytes 0 to 24 of the data, which has 16");
    refuse_header("{" T("w", "F32", "2, 3", 0, 16) "}", 16,
                  "tensor 'w' is F32 [2, 3], which takes 24 bytes; its data_offsets give it 16");
    refuse_header("{" T("a", "F32", "2", 0, 8) ", " T("b", "F32", "2", 4, 12) "}", 12,
                  "tensors 'a' and 'b' overlap: one ends at byte 8 of the data, the other begins at 4");
    refuse_header("{" T("a", "F32", "1", 0, 4) ", " T("b", "F32", "1", 8, 12) "}", 12,
                  "bytes 4 to 8 of the data, before tensor 'b', belong to no tensor");
    refuse_header("{" T("a", "F32", "1", 0, 4) "}", 12, "its tensors end at byte 4 of the data, which has 12");
    refuse_header("{" T("a", "F32", "1", 8, 4) "}", 12, "lies at bytes 8 to 4");
    refuse_header("{" T("a", "F32", "1", -4, 0) "}", 12, "lies at bytes -4 to 0");
    refuse_header("{" T("a", "F33", "1", 0, 4) "}", 4, "tensor 'a' is of type 'F33', which is not known");
    refuse_header("{" T("a", "F32", "-1", 0, 4) "}", 4, "size 0 of its shape");
    refuse_header("{" T("a", "F32", "1.5", 0, 4) "}", 4, "size 0 of its shape");
    refuse_header("{" T("a", "F32", "4294967296, 4294967296", 0, 4) "}", 4, "size 1 of its shape");
    refuse_header("{" T("a", "F64", "2305843009213693952", 0, 4) "}", 4, "its shape does not fit 64 bits");
    refuse_header("{" T("a", "F32", "1,1,1,1,1,1,1,1,1", 0, 4) "}", 4, "no shape of at most 8 sizes");
    refuse_header("{" T("a", "F32", "1", 0, 4) ", " T("a", "F32", "1", 4, 8) "}", 8, "duplicate");
    refuse_header("{" T("a", "F32", "1", 0, 99999999999999999999) "}", 8, "no JSON");
    refuse_header("{\"a\": 3}", 0, "tensor 'a' has no dtype");
    refuse_header("{\"a\": {\"dtype\": \"F32\", \"shape\": 1}}", 0, "tensor 'a' has no shape");
    refuse_header("{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0]}}", 0,
                  "has no data_offsets [begin, end]");
    refuse_header("{\"__metadata__\": {\"a\": 1}}", 0, "__metadata__: 'a' is no string");
    refuse_header("{\"__metadata__\": []}", 0, "__metadata__ is no object");
    refuse_header("[]", 0, "no JSON object of tensors");
    refuse_header("{\"\\u001b\": 0}", 0, "tensor '?' has no dtype");
    refuse_header("{", 0, "its header is no JSON at byte");
    refuse_header("", 0, "its header is no JSON");
    refuse("", 0, "0 bytes are no safetensors file");
    refuse("1234567", 7, "7 bytes are no safetensors file");
    refuse("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "says that its header has 18446744073709551615 bytes");
    refuse("\x03\0\0\0\0\0\0\0{}", 10, "says that its header has 3 bytes; the file has 2 behind the length");
}

Test(safetensors, a_file_cut_anywhere_is_refused)
{
    size_t n;
    const unsigned char *p = file_of("{" T("a", "F32", "3", 0, 12) ", " T("b", "U8", "5", 12, 17) "}", 17, &n);
    for (size_t cut = 0; cut < n; cut++)
        refuse(p, cut, "");
}

Test(safetensors, what_is_no_file_is_refused)
{
    dal_error err = DAL_ERROR_INIT;
    dal_safetensors *f = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *h = dal_runtime_host(rt, "st");
    fx_expect(&err, dal_safetensors_open(h, fx_path("nowhere"), "weights", &f, &err), DAL_E_NOT_FOUND, "weights",
              "cannot open");
    fx_expect(&err, dal_safetensors_open(h, fx_path("."), "weights", &f, &err), DAL_E_IO, "weights",
              "found a directory");
    fx_expect(&err, dal_safetensors_open(h, fx_text("empty", ""), "weights", &f, &err), DAL_E_FORMAT, "weights",
              "0 bytes");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(safetensors, what_is_written_is_read_again)
{
    const float a[] = {1, 2, 3, 4, 5, 6};
    const int64_t b[] = {-1};
    const dal_tensor all[] = {{sizeof *all, DAL_ST_F32, 2, 0, {2, 3}, "layer.\"weight\"", a, 0, 0},
                              {sizeof *all, DAL_ST_I64, 0, 0, {0}, "step", b, 0, 0},
                              {sizeof *all, DAL_ST_F32, 1, 0, {0}, "empty", NULL, 0, 0}};
    const char *const metadata[] = {"format", "pt"};
    const char *path = fx_path("written.safetensors");
    dal_error err = DAL_ERROR_INIT;
    dal_safetensors *f = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    size_t n;
    cr_assert_eq(dal_safetensors_write(path, all, 3, metadata, 1, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(dal_safetensors_open(dal_runtime_host(rt, "st"), path, "weights", &f, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(dal_safetensors_count(f), 3);
    const dal_tensor *t = dal_safetensors_find(f, "layer.\"weight\"");
    cr_assert_eq((uintptr_t)t->data % 8, 0, "the data begins at a multiple of 8");
    cr_assert_eq(t->ndim, 2);
    cr_assert_eq(t->shape[1], 3);
    cr_assert_arr_eq(t->data, a, sizeof a);
    dal_safetensors_close(f);
    unsigned char *bytes = fx_slurp(path, &n);
    cr_assert(memmem(bytes, n, "\"__metadata__\":{\"format\":\"pt\"}", 30));
    free(bytes);
    dal_runtime_free(rt);
}

Test(safetensors, what_cannot_be_written_leaves_the_old_file)
{
    const float a[] = {1};
    dal_tensor all[] = {{sizeof *all, DAL_ST_F32, 1, 0, {1}, "a", a, 0, 0}, {sizeof *all, DAL_ST_F32, 1, 0, {1}, "a",
                                                                             a, 0, 0}};
    const char *path = fx_text("old", "what was there");
    dal_error err = DAL_ERROR_INIT;
    size_t n;
    fx_expect(&err, dal_safetensors_write(path, all, 2, NULL, 0, &err), DAL_E_INVALID, "",
              "tensor 'a' cannot be written");
    all[1].name = "\xff";
    fx_expect(&err, dal_safetensors_write(path, all, 2, NULL, 0, &err), DAL_E_INVALID, "", "cannot be written");
    all[1].name = "__metadata__";
    fx_expect(&err, dal_safetensors_write(path, all, 2, NULL, 0, &err), DAL_E_INVALID, "", "cannot be written");
    all[1].name = "b";
    all[1].shape[0] = -1;
    fx_expect(&err, dal_safetensors_write(path, all, 2, NULL, 0, &err), DAL_E_INVALID, "",
              "tensor 'b' cannot be written");
    all[1].shape[0] = 1;
    fx_expect(&err, dal_safetensors_write(fx_path("no/where"), all, 2, NULL, 0, &err), DAL_E_IO, "",
              "cannot be written");
    unsigned char *bytes = fx_slurp(path, &n);
    cr_assert_str_eq((char *)bytes, "what was there");
    free(bytes);
}

/* ---- streams ------------------------------------------------------------------------------------ */

typedef struct stream {
    unsigned char bytes[512];
    size_t n, at, chunk;
} stream;

static dal_status into_stream(const dal_writer *w, const void *data, size_t n, dal_error *err)
{
    stream *s = w->impl;
    (void)err;
    cr_assert(n > 0 && s->n + n <= sizeof s->bytes);
    memcpy(s->bytes + s->n, data, n);
    s->n += n;
    return DAL_OK;
}

static dal_status from_stream(const dal_reader *r, void *data, size_t n, size_t *got, dal_error *err)
{
    stream *s = r->impl;
    (void)err;
    *got = n < s->n - s->at ? n : s->n - s->at;
    *got = *got < s->chunk ? *got : s->chunk;
    memcpy(data, s->bytes + s->at, *got);
    s->at += *got;
    return DAL_OK;
}

Test(safetensors, a_stream_is_read_as_far_as_its_file_goes)
{
    const float a[] = {1, 2, 3, 4, 5, 6};
    const dal_tensor all[] = {{sizeof *all, DAL_ST_F32, 2, 0, {2, 3}, "weight", a, 0, 0},
                              {sizeof *all, DAL_ST_F32, 1, 0, {0}, "empty", NULL, 0, 0}};
    const char *const metadata[] = {"format", "pt"};
    stream s = {.chunk = 3};
    const dal_writer w = {.struct_size = sizeof w, .impl = &s, .write = into_stream};
    const dal_reader r = {.struct_size = sizeof r, .impl = &s, .read = from_stream};
    dal_error err = DAL_ERROR_INIT;
    dal_safetensors *f = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    const dal_host *host = dal_runtime_host(rt, "st");
    size_t n;
    cr_assert_eq(dal_safetensors_save(&w, "a model", all, 2, metadata, 1, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(dal_safetensors_write(fx_path("same"), all, 2, metadata, 1, &err), DAL_OK);
    unsigned char *file = fx_slurp(fx_path("same"), &n);
    cr_assert(n == s.n && memcmp(file, s.bytes, n) == 0, "a stream and a file hold the same bytes");
    free(file);
    const size_t whole = s.n;
    s.n += 40; /* somebody else's */
    cr_assert_eq(dal_safetensors_read(host, &r, "a model", "", &f, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(s.at, whole);
    cr_assert_arr_eq(dal_safetensors_find(f, "weight")->data, a, sizeof a);
    cr_assert_str_eq(dal_safetensors_metadata(f, "format"), "pt");
    dal_safetensors_close(f);
    for (s.n = 0; s.n < whole; s.n++) {
        s.at = 0;
        err = (dal_error)DAL_ERROR_INIT;
        fx_expect(&err, dal_safetensors_read(host, &r, "a model", "", &f, &err), DAL_E_FORMAT, "", "a model: ");
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}
