/* What the measuring programs share. Output is one row a measurement: name, then key=value words. */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <dal/model.h>
#include <dal/runtime.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void bench_die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static int bench_compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double bench_median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, bench_compare);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

static inline dal_runtime *bench_runtime(int threads, uint64_t seed)
{
    dal_error err = DAL_ERROR_INIT;
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = threads, .seed = seed};
    dal_runtime *rt = dal_runtime_new(&config, &err);
    if (!rt)
        bench_die(err.text);
    return rt;
}

/* ---- MNIST's own files -------------------------------------------------------------------------- */

typedef struct bench_images {
    int64_t n, width;
    unsigned char *pixels; /* [n, width] */
    int32_t *classes;      /* [n] */
} bench_images;

/* The bytes after an IDX header, malloc'ed; *n elements along the first dimension, *width each. NULL:
 * no such file. */
static inline unsigned char *bench_idx(const char *root, const char *name, int64_t *n, int64_t *width)
{
    char path[1024];
    unsigned char head[4], dim[4];
    snprintf(path, sizeof path, "%s/mnist/%s", root, name);
    gzFile f = gzopen(path, "rb");
    if (!f)
        return NULL;
    *n = 0;
    *width = 1;
    if (gzread(f, head, 4) != 4 || head[2] != 8)
        bench_die(path);
    for (int i = 0; i < head[3]; i++) {
        if (gzread(f, dim, 4) != 4)
            bench_die(path);
        const int64_t size = dim[0] << 24 | dim[1] << 16 | dim[2] << 8 | dim[3];
        *(i ? width : n) = i ? *width * size : size;
    }
    unsigned char *data = malloc((size_t)(*n * *width));
    if (!data || gzread(f, data, (unsigned)(*n * *width)) != *n * *width)
        bench_die(path);
    gzclose(f);
    return data;
}

/* 0 when the files are not there. */
static inline int bench_mnist(const char *stem, bench_images *out)
{
    const char *root = getenv("DAL_DATA_PATH"), *srcdir = getenv("DAL_SRCDIR");
    char beside[1024], name[64];
    int64_t n, one;
    snprintf(beside, sizeof beside, "%s/../shared/data", srcdir ? srcdir : "..");
    snprintf(name, sizeof name, "%s-images-idx3-ubyte.gz", stem);
    out->pixels = bench_idx(root ? root : beside, name, &out->n, &out->width);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte.gz", stem);
    unsigned char *labels = bench_idx(root ? root : beside, name, &n, &one);
    if (!out->pixels || !labels)
        return 0;
    out->classes = malloc((size_t)n * sizeof *out->classes);
    for (int64_t i = 0; i < n; i++)
        out->classes[i] = labels[i];
    free(labels);
    return 1;
}

/* ---- a list of samples in memory ---------------------------------------------------------------- */

typedef struct bench_list {
    dal_samples s;
    const unsigned char *data;
    int64_t *ids;
    int32_t *classes;
} bench_list;

static inline dal_status bench_read(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out,
                                    dal_error *err)
{
    const bench_list *l = s->impl;
    const int64_t bytes = dal_sample_bytes(&s->spec);
    (void)err;
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out->data + i * bytes, l->data + l->ids[rows[i]] * bytes, (size_t)bytes);
    return DAL_OK;
}

/* The images ids[n] as a list; ids and classes are the list's own. */
static inline void bench_pick(bench_list *l, const bench_images *from, const int64_t *ids, int64_t n)
{
    l->data = from->pixels;
    l->ids = malloc((size_t)n * sizeof *l->ids);
    l->classes = malloc((size_t)n * sizeof *l->classes);
    for (int64_t i = 0; i < n; i++) {
        l->ids[i] = ids[i];
        l->classes[i] = from->classes[ids[i]];
    }
    l->s = (dal_samples){.struct_size = sizeof l->s, .impl = l, .n = n, .ids = l->ids, .classes = l->classes,
                         .read = bench_read};
    l->s.spec = (dal_sample_spec){.struct_size = sizeof l->s.spec, .modality = DAL_IMAGE, .dtype = DAL_U8,
                                  .ndim = 3, .shape = {1, 28, 28}, .n_classes = 10};
}

static inline void bench_list_free(bench_list *l)
{
    free(l->ids);
    free(l->classes);
}

#endif
