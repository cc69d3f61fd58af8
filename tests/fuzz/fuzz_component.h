/* What the fuzz targets of components share: one runtime, and bytes as a file that has a path. */
#ifndef FUZZ_COMPONENT_H
#define FUZZ_COMPONENT_H

#include <dal/dataset.h>
#include <dal/runtime.h>
#include <dal/text.h>
#include <math.h>
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

/* A sample's source, where the dataset tells any, is one that there is. */
static inline void fuzz_source(const dal_dataset_impl *impl, void *self, uint32_t k, int64_t id)
{
    const dal_dataset_groups *g = dal_groups_of(&(dal_dataset){impl, self});
    int32_t source = 0;
    MUST(!g || (g->groups(self, k, &id, 1, &source, NULL) == DAL_OK && source >= DAL_GROUP_NONE &&
                source < g->count(self) && (source < 0 || g->name(self, source))));
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
            fuzz_source(impl, self, k, i);
        }
        MUST(impl->read(self, k, &info.n[k], 1, &b, NULL) == DAL_E_INVALID);
    }
    free(row);
}

/* The same of texts and of sparse vectors: texts are UTF-8, columns ascend, values are finite. Memory is as much as was
 * asked for, so that a sanitizer sees one byte too many. */
static inline void fuzz_use_ragged(const dal_dataset_impl *impl, void *self)
{
    dal_dataset_info info = {.struct_size = sizeof info};
    char name[32];
    int32_t cls;
    MUST(impl->info(self, &info, NULL) == DAL_OK && dal_sample_bytes(&info.spec) == 0);
    const int sparse = info.spec.modality == DAL_SPARSE;
    for (int64_t c = 0; info.class_names && c < info.spec.n_classes; c++)
        MUST(dal_utf8_fault(info.class_names[c], (int64_t)strlen(info.class_names[c])) < 0);
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        for (int64_t i = 0; i < info.n[k]; i++) {
            int64_t offsets[2] = {0};
            MUST(impl->sizes(self, k, &i, 1, &offsets[1], NULL) == DAL_OK && offsets[1] >= 0);
            const size_t n = (size_t)offsets[1];
            dal_batch b = {sizeof b, 0, &info.spec, 1, malloc(n * (sparse ? 4 : 1)), offsets,
                           sparse ? malloc(4 * n) : NULL};
            MUST(impl->read(self, k, &i, 1, &b, NULL) == DAL_OK);
            MUST(sparse || dal_utf8_fault(b.data, offsets[1]) < 0);
            for (size_t j = 0; sparse && j < n; j++)
                MUST(b.indices[j] >= 0 && b.indices[j] < info.spec.shape[0] && isfinite(((float *)b.data)[j]) &&
                     (j == 0 || b.indices[j] > b.indices[j - 1]));
            MUST(impl->classes(self, k, &i, 1, &cls, NULL) == DAL_OK && cls >= DAL_LABEL_OOD &&
                 cls < info.spec.n_classes);
            impl->describe(self, k, i, name, sizeof name);
            fuzz_source(impl, self, k, i);
            free(b.data);
            free(b.indices);
        }
    }
}

/* A refusal must say why, in one clean line. */
static inline void fuzz_complaint(const dal_error *err)
{
    MUST(err->status != DAL_OK && err->text[0] && !strpbrk(err->text, "\n\033"));
}

/* A dataset with these options is opened and used, or refused in words; it leaves no memory behind. */
static inline void fuzz_dataset(const dal_dataset_impl *impl, const void *options,
                                void (*use)(const dal_dataset_impl *impl, void *self))
{
    dal_runtime *rt = fuzz_runtime();
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    if (impl->create(dal_runtime_host(rt, "fuzz"), options, NULL, &self, &err) == DAL_OK)
        use(impl, self);
    else
        fuzz_complaint(&err);
    impl->destroy(self);
    MUST(dal_runtime_allocated(rt) == 0);
}

#endif
