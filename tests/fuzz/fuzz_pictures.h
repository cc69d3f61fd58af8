/* What the fuzz targets of sets of pictures share: a picture may be damaged behind its header, so that reading it may
 * fail where opening the set did not.
 */
#ifndef FUZZ_PICTURES_H
#define FUZZ_PICTURES_H

#include "tests/fuzz/fuzz_component.h"

static inline void fuzz_read_all(const dal_dataset_impl *impl, void *self)
{
    dal_dataset_info info = {.struct_size = sizeof info};
    char name[32];
    int32_t cls;
    MUST(impl->info(self, &info, NULL) == DAL_OK && dal_sample_bytes(&info.spec) > 0);
    unsigned char *row = malloc((size_t)dal_sample_bytes(&info.spec));
    dal_batch b = {sizeof b, 0, &info.spec, 1, row, NULL, NULL};
    for (uint32_t k = 0; row && k < DAL_SPLITS; k++)
        for (int64_t i = 0; i < info.n[k]; i++) {
            dal_error err = DAL_ERROR_INIT;
            if (impl->read(self, k, &i, 1, &b, &err) != DAL_OK)
                fuzz_complaint(&err);
            MUST(impl->classes(self, k, &i, 1, &cls, NULL) == DAL_OK);
            MUST(cls >= DAL_LABEL_OOD && cls < info.spec.n_classes);
            impl->describe(self, k, i, name, sizeof name);
        }
    free(row);
}

static inline void fuzz_pictures(const dal_dataset_impl *impl, const void *options)
{
    fuzz_dataset(impl, options, fuzz_read_all);
}

#endif
