/* What the fuzz targets of components share: one runtime, and bytes as a file that has a path. */
#ifndef FUZZ_COMPONENT_H
#define FUZZ_COMPONENT_H

#include <dal/dataset.h>
#include <dal/runtime.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MUST(condition)                                                                                \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                                   \
        }                                                                                              \
    } while (0)

static inline dal_runtime *fuzz_runtime(void)
{
    static dal_runtime *rt;
    static const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1};
    if (!rt)
        rt = dal_runtime_new(&config, NULL);
    MUST(rt);
    return rt;
}

/* A file in memory; path is good until it is closed. */
typedef struct fuzz_file {
    int fd;
    char path[64];
} fuzz_file;

static inline fuzz_file fuzz_open(const uint8_t *data, size_t n)
{
    fuzz_file f = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    MUST(f.fd >= 0 && write(f.fd, data, n) == (ssize_t)n);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

/* Every sample of an open dataset: read, named, of a class there is. */
static inline void fuzz_use(const dal_dataset_impl *impl, void *self)
{
    dal_dataset_info info = {.struct_size = sizeof info};
    char name[32];
    int32_t cls;
    MUST(impl->info(self, &info, NULL) == DAL_OK && dal_sample_bytes(&info.spec) > 0);
    void *row = malloc((size_t)dal_sample_bytes(&info.spec));
    dal_batch b = {sizeof b, 0, &info.spec, 1, row, NULL, NULL};
    for (uint32_t k = 0; row && k < DAL_SPLITS; k++) {
        for (int64_t i = 0; i < info.n[k]; i++) {
            MUST(impl->read(self, k, &i, 1, &b, NULL) == DAL_OK);
            MUST(impl->classes(self, k, &i, 1, &cls, NULL) == DAL_OK);
            MUST(cls >= DAL_LABEL_OOD && cls < info.spec.n_classes);
            if (impl->describe)
                impl->describe(self, k, i, name, sizeof name);
        }
        MUST(impl->read(self, k, &info.n[k], 1, &b, NULL) == DAL_E_INVALID);
    }
    free(row);
}

/* A refusal must say why, in one clean line. */
static inline void fuzz_complaint(const dal_error *err)
{
    MUST(err->status != DAL_OK && err->text[0] && !strpbrk(err->text, "\n\033"));
}

#endif
