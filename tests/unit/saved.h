/* A saved model against NumPy, which knows nothing but the format of the file and the layers. */
#ifndef TESTS_SAVED_H
#define TESTS_SAVED_H

#include "tests/unit/models.h"

#include <dal/npy.h>

static inline void fx_numpy_agrees(const dal_model_impl *impl, void *self, const char *kind, fx_list *l, int64_t n)
{
    char command[1024];
    const char *source = getenv("DAL_SRCDIR");
    int64_t shape[4] = {n};
    if (system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0) {
        fprintf(stderr, "skipped: no numpy\n");
        return;
    }
    for (uint32_t i = 0; i < l->s.spec.ndim; i++)
        shape[i + 1] = l->s.spec.shape[i];
    const char *x = fx_path("x.npy"), *z = fx_path("z.npy"), *model;
    float *logits = fx_predict(impl, self, l, n);
    fx_bytes saved = fx_save(impl, self);
    model = fx_write("model.safetensors", saved.data, saved.n);
    const uint32_t type = l->s.spec.dtype == DAL_U8 ? DAL_NPY_U8 : DAL_NPY_F32;
    cr_assert_eq(dal_npy_write(x, type, 1 + l->s.spec.ndim, shape, l->data, NULL), DAL_OK);
    cr_assert_eq(dal_npy_write(z, DAL_NPY_F32, 2, (const int64_t[]){n, l->s.spec.n_classes}, logits, NULL), DAL_OK);
    snprintf(command, sizeof command, "/usr/bin/python3 '%s/tests/unit/saved_twin.py' %s '%s' '%s' '%s'",
             source ? source : "..", kind, model, x, z);
    cr_assert_eq(system(command), 0, "%s", command);
    free(logits);
    free(saved.data);
}

/* Save and load with the first, the second, ... allocation failing. make: a model in a runtime; it is fitted to l. */
static inline void fx_memory_ends_while_saving(const dal_model_impl *impl, const void *options, fx_list *l)
{
    dal_runtime *plain = fx_runtime(1, 1);
    void *fitted = NULL;
    cr_assert_eq(impl->create(dal_runtime_host(plain, "t"), options, &l->s.spec, &fitted, NULL), DAL_OK);
    fx_fit(impl, fitted, l, 0, 0);
    fx_bytes good = fx_save(impl, fitted);
    int done = 0;
    for (int64_t k = 1; !done && k < 1000; k++) {
        dal_error err = DAL_ERROR_INIT;
        const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *rt = dal_runtime_new(&config, &err);
        void *m = NULL;
        fx_bytes again = {0};
        const dal_writer w = {.struct_size = sizeof w, .impl = &again, .write = fx_bytes_write};
        dal_status st = impl->create(dal_runtime_host(rt, "t"), options, &l->s.spec, &m, &err);
        if (st == DAL_OK)
            st = fx_load(impl, m, &good, &err);
        if (st == DAL_OK)
            st = impl->save(m, &w, &err);
        cr_assert(st == DAL_OK || st == DAL_E_NOMEM, "%d: %s", (int)st, err.text);
        done = st == DAL_OK;
        cr_assert(!done || (again.n == good.n && memcmp(again.data, good.data, good.n) == 0));
        cr_assert(!done || k > 10);
        free(again.data);
        impl->destroy(m);
        cr_assert_eq(dal_runtime_allocated(rt), 0, "allocation %lld", (long long)k);
        dal_runtime_free(rt);
    }
    cr_assert(done);
    impl->destroy(fitted);
    dal_runtime_free(plain);
    free(good.data);
}

#endif
