/* Any bytes as a .safetensors file: every tensor lies inside, and what is written of them reads the same; or a
 * complaint. A stream of the same bytes gives the same tensors. */
#include "tests/fuzz/fuzz_component.h"

#include <dal/safetensors.h>

static void use(const dal_safetensors *f, const uint8_t *data, size_t n)
{
    char text[160];
    const int64_t count = dal_safetensors_count(f);
    for (int64_t i = 0; i < count; i++) {
        const dal_tensor *t = dal_safetensors_tensor(f, i);
        MUST(dal_safetensors_find(f, t->name) == t && dal_tensor_describe(t, text)[0]);
        MUST((const uint8_t *)t->data >= data && (const uint8_t *)t->data + t->bytes <= data + n);
        float *x = malloc((size_t)t->count * sizeof *x + 1);
        const dal_status st = dal_tensor_to_f32(t, x, NULL);
        MUST(st == DAL_OK || st == DAL_E_UNSUPPORTED);
        free(x);
    }
}

/* Written once more, to a file that is then read. */
static void write_again(const dal_host *host, const dal_safetensors *f)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/fuzz-safetensors-%ld", (long)getpid());
    dal_safetensors *again = NULL;
    dal_error err = DAL_ERROR_INIT;
    const int64_t n = dal_safetensors_count(f);
    dal_tensor *all = malloc((size_t)n * sizeof *all + 1);
    for (int64_t i = 0; i < n; i++)
        all[i] = *dal_safetensors_tensor(f, i);
    MUST(dal_safetensors_write(path, all, n, NULL, 0, &err) == DAL_OK);
    MUST(dal_safetensors_open(host, path, "file", &again, &err) == DAL_OK);
    MUST(dal_safetensors_count(again) == n);
    for (int64_t i = 0; i < n; i++) {
        const dal_tensor *t = dal_safetensors_tensor(again, i);
        MUST(t->bytes == all[i].bytes && memcmp(t->data, all[i].data, (size_t)t->bytes) == 0);
    }
    dal_safetensors_close(again);
    unlink(path);
    free(all);
}

typedef struct stream {
    const uint8_t *data;
    size_t n, at;
} stream;

static dal_status read_some(const dal_reader *r, void *to, size_t n, size_t *got, dal_error *err)
{
    stream *s = r->impl;
    (void)err;
    *got = n < s->n - s->at ? n : s->n - s->at;
    *got = *got < 61 ? *got : 61;
    if (*got > 0)
        memcpy(to, s->data + s->at, *got);
    s->at += *got;
    return DAL_OK;
}

static void read_stream(const dal_host *host, const dal_safetensors *file, const uint8_t *data, size_t n)
{
    stream s = {data, n, 0};
    const dal_reader r = {.struct_size = sizeof r, .impl = &s, .read = read_some};
    dal_safetensors *f = NULL;
    dal_error err = DAL_ERROR_INIT;
    const dal_status st = dal_safetensors_read(host, &r, "bytes", "file", &f, &err);
    if (st != DAL_OK)
        fuzz_complaint(&err);
    MUST(!file || (st == DAL_OK && s.at == n)); /* a file may be shorter than its bytes, never the other way */
    for (int64_t i = 0; file && i < dal_safetensors_count(file); i++) {
        const dal_tensor *a = dal_safetensors_tensor(file, i), *b = dal_safetensors_tensor(f, i);
        MUST(strcmp(a->name, b->name) == 0 && a->bytes == b->bytes && memcmp(a->data, b->data, (size_t)a->bytes) == 0);
    }
    dal_safetensors_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    dal_runtime *rt = fuzz_runtime();
    const dal_host *host = dal_runtime_host(rt, "safetensors");
    dal_error err = DAL_ERROR_INIT;
    dal_safetensors *f = NULL;
    if (dal_safetensors_view(host, "bytes", "file", data, (int64_t)n, &f, &err) == DAL_OK) {
        use(f, data, n);
        write_again(host, f);
    } else {
        fuzz_complaint(&err);
    }
    read_stream(host, f, data, n);
    dal_safetensors_close(f);
    MUST(dal_runtime_allocated(rt) == 0);
    return 0;
}
