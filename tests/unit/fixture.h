/* What the tests of components share: a runtime, scratch files, and one way to look at a message. */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include <criterion/criterion.h>
#include <dal/dataset.h>
#include <dal/runtime.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static inline dal_runtime *fx_runtime(int threads, uint64_t seed)
{
    dal_error err = DAL_ERROR_INIT;
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = threads, .seed = seed};
    dal_runtime *rt = dal_runtime_new(&config, &err);
    cr_assert(rt, "%s", err.text);
    return rt;
}

/* The folder of a test program's run: each test is a child process of the runner, which fixture.c lets
 * remove it at the end. */
static inline void fx_folder(char out[64], pid_t runner)
{
    snprintf(out, 64, "/tmp/dal-test-%ld", (long)runner);
}

/* A name inside a scratch folder of this test alone. */
static inline const char *fx_path(const char *name)
{
    static char dir[80], path[32][128];
    static int turn;
    if (!dir[0]) {
        fx_folder(dir, getppid());
        mkdir(dir, 0700);
        strcat(dir, "/XXXXXX");
        cr_assert(mkdtemp(dir));
    }
    char *out = path[turn++ % 32];
    snprintf(out, sizeof path[0], "%s/%s", dir, name);
    return out;
}

static inline const char *fx_write(const char *name, const void *data, size_t n)
{
    const char *path = fx_path(name);
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
    return path;
}

static inline const char *fx_text(const char *name, const char *text)
{
    return fx_write(name, text, strlen(text));
}

static inline const char *fx_gzip(const char *name, const void *data, size_t n)
{
    const char *path = fx_path(name);
    gzFile f = gzopen(path, "wb9");
    cr_assert(f && gzwrite(f, data, (unsigned)n) == (int)n && gzclose(f) == Z_OK);
    return path;
}

/* The whole file in malloc'ed memory. */
static inline unsigned char *fx_slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s", path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    unsigned char *data = malloc(*n + 1);
    cr_assert(fread(data, 1, *n, f) == *n);
    data[*n] = 0;
    fclose(f);
    return data;
}

/* A file of the real data, or NULL (and a word about it) where there is none. */
static inline const char *fx_data(const char *name)
{
    static char path[4][1024];
    static int turn;
    const char *root = getenv("DAL_DATA_PATH"), *source = getenv("DAL_SRCDIR");
    char *out = path[turn++ % 4];
    if (root)
        snprintf(out, sizeof path[0], "%s/%s", root, name);
    else
        snprintf(out, sizeof path[0], "%s/../shared/data/%s", source ? source : "..", name);
    if (access(out, R_OK) == 0)
        return out;
    fprintf(stderr, "skipped: no data (%s)\n", out);
    return NULL;
}

/* The message must be about `key` and contain `words`. */
static inline void fx_expect(const dal_error *err, dal_status st, dal_status want, const char *key,
                             const char *words)
{
    cr_assert_eq(st, want, "status %d, expected %d: %s", st, want, err->text);
    cr_assert_eq(err->status, want);
    cr_assert_str_eq(err->key, key, "key '%s', expected '%s': %s", err->key, key, err->text);
    cr_assert(strstr(err->text, words), "'%s' does not contain '%s'", err->text, words);
}

/* A dataset under test. */
typedef struct fx_dataset {
    const dal_dataset_impl *impl;
    void *self;
    dal_dataset_info info;
} fx_dataset;

static inline fx_dataset fx_open(const dal_dataset_impl *impl, const dal_host *host, const void *options,
                                 const dal_dataset *input)
{
    dal_error err = DAL_ERROR_INIT;
    fx_dataset d = {.impl = impl, .info = {.struct_size = sizeof d.info}};
    cr_assert_eq(impl->create(host, options, input, &d.self, &err), DAL_OK, "%s: %s", err.key, err.text);
    cr_assert_eq(impl->info(d.self, &d.info, &err), DAL_OK, "%s", err.text);
    return d;
}

static inline void fx_read(const fx_dataset *d, uint32_t split, const int64_t *ids, int64_t n, void *data)
{
    dal_error err = DAL_ERROR_INIT;
    dal_batch b = {sizeof b, 0, &d->info.spec, n, data, NULL, NULL};
    cr_assert_eq(d->impl->read(d->self, split, ids, n, &b, &err), DAL_OK, "%s", err.text);
}

static inline int32_t fx_class(const fx_dataset *d, uint32_t split, int64_t id)
{
    dal_error err = DAL_ERROR_INIT;
    int32_t c;
    cr_assert_eq(d->impl->classes(d->self, split, &id, 1, &c, &err), DAL_OK, "%s", err.text);
    return c;
}

/* A dataset of these options is refused, and leaves nothing behind. */
static inline void fx_refuse(const dal_dataset_impl *impl, const void *options, dal_status want, const char *key,
                             const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *rt = fx_runtime(1, 0);
    fx_expect(&err, impl->create(dal_runtime_host(rt, "refused"), options, NULL, &self, &err), want, key, words);
    cr_assert_null(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0, "a refused dataset must leave nothing behind");
    dal_runtime_free(rt);
}

/* The vectors of a split as "class:v,v class:v,v"; "-" for no class. */
static inline const char *fx_rows_of(const dal_dataset_impl *impl, const void *options, uint32_t split)
{
    static char out[512];
    dal_runtime *rt = fx_runtime(1, 0);
    fx_dataset d = fx_open(impl, dal_runtime_host(rt, "rows"), options, NULL);
    float x[16];
    out[0] = '\0';
    for (int64_t i = 0; i < d.info.n[split]; i++) {
        const int32_t c = fx_class(&d, split, i);
        fx_read(&d, split, &i, 1, x);
        snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", i ? " " : "",
                 c < 0 ? "-" : d.info.class_names[c]);
        for (int64_t j = 0; j < d.info.spec.shape[0]; j++)
            snprintf(out + strlen(out), sizeof out - strlen(out), "%c%g", j ? ',' : ':', (double)x[j]);
    }
    impl->destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return out;
}

/* The group of a sample of a dataset that tells groups. */
static inline int32_t fx_group(const fx_dataset *d, uint32_t split, int64_t id)
{
    dal_error err = DAL_ERROR_INIT;
    int32_t g;
    const dal_dataset_groups *t = dal_groups_of(&(dal_dataset){d->impl, d->self});
    cr_assert(t, "it tells no groups");
    cr_assert_eq(t->groups(d->self, split, &id, 1, &g, &err), DAL_OK, "%s", err.text);
    cr_assert(g >= DAL_GROUP_NONE && g < t->count(d->self), "group %d", (int)g);
    return g;
}

/* Every byte of a split and every class, in one number. */
static inline uint64_t fx_digest(const fx_dataset *d, uint32_t split)
{
    uint64_t h = 0;
    const size_t bytes = (size_t)dal_sample_bytes(&d->info.spec);
    unsigned char *row = malloc(bytes);
    for (int64_t i = 0; i < d->info.n[split]; i++) {
        const int32_t c = fx_class(d, split, i);
        fx_read(d, split, &i, 1, row);
        h = dal_hash64(dal_hash64(h, &c, sizeof c), row, bytes);
    }
    free(row);
    return h;
}

/* A dataset in memory for transforms to wrap: set spec, n, data, cls and perhaps names, then hand out .dataset. */
typedef struct fx_toy {
    dal_sample_spec spec;
    int64_t n[DAL_SPLITS];
    const void *data[DAL_SPLITS];
    const int32_t *cls[DAL_SPLITS];
    const char *const *names;
    const int32_t *groups[DAL_SPLITS];
    int64_t n_groups; /* 0: it tells none */
    const char *const *group_names;
    dal_dataset dataset;
} fx_toy;

static inline dal_status fx_toy_info(void *self, dal_dataset_info *info, dal_error *err)
{
    const fx_toy *t = self;
    (void)err;
    info->spec = t->spec;
    memcpy(info->n, t->n, sizeof info->n);
    info->class_names = t->names;
    return DAL_OK;
}

static inline dal_status fx_toy_classes(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out,
                                        dal_error *err)
{
    const fx_toy *t = self;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = t->cls[k] ? t->cls[k][ids[i]] : DAL_LABEL_NONE;
    return DAL_OK;
}

static inline dal_status fx_toy_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out,
                                     dal_error *err)
{
    const fx_toy *t = self;
    const size_t bytes = (size_t)dal_sample_bytes(&t->spec);
    (void)err;
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out->data + (size_t)i * bytes, (const char *)t->data[k] + (size_t)ids[i] * bytes, bytes);
    return DAL_OK;
}

static inline int64_t fx_toy_count_groups(void *self)
{
    return ((const fx_toy *)self)->n_groups;
}

static inline const char *fx_toy_group_name(void *self, int64_t g)
{
    const fx_toy *t = self;
    return t->group_names ? t->group_names[g] : NULL;
}

static inline dal_status fx_toy_groups(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out,
                                       dal_error *err)
{
    const fx_toy *t = self;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        out[i] = t->groups[k] ? t->groups[k][ids[i]] : DAL_GROUP_NONE;
    return DAL_OK;
}

static inline const void *fx_toy_extension(void *self, const char *id)
{
    static const dal_dataset_groups table = {
        .struct_size = sizeof table, .count = fx_toy_count_groups, .name = fx_toy_group_name, .groups = fx_toy_groups};
    return ((const fx_toy *)self)->n_groups && strcmp(id, DAL_CAP_GROUPS) == 0 ? &table : NULL;
}

static inline void fx_toy_open(fx_toy *t)
{
    static const dal_dataset_impl impl = {.struct_size = sizeof impl,
                                          .info = fx_toy_info,
                                          .classes = fx_toy_classes,
                                          .read = fx_toy_read,
                                          .get_extension = fx_toy_extension};
    t->dataset = (dal_dataset){&impl, t};
}

#endif
