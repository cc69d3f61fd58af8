/* What the fuzz targets of tables share: every number in one is finite. */
#ifndef FUZZ_TABLE_H
#define FUZZ_TABLE_H

#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/table.h"

static inline void fuzz_use_table(const dal_dataset_impl *impl, void *self)
{
    const table *t = self;
    fuzz_use(impl, self);
    for (int64_t i = 0; i < t->n_rows * t->d; i++)
        MUST(isfinite(t->x[i]));
}

#endif
