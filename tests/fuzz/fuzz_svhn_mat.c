/* Any bytes as a MATLAB file: a dataset that can be read whole, or a complaint. libmatio itself (1.5.23) loses memory over
 * some damaged files, so run it with -detect_leaks=0.
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/svhn_mat.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_file file = fuzz_open(data, n);
    dal_runtime *rt = fuzz_runtime();
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    const options o = {.train = file.path, .extra = "", .test = file.path};
    if (svhn_impl.create(dal_runtime_host(rt, "svhn"), &o, NULL, &self, &err) == DAL_OK)
        fuzz_use(&svhn_impl, self);
    else
        fuzz_complaint(&err);
    svhn_impl.destroy(self);
    MUST(dal_runtime_allocated(rt) == 0);
    close(file.fd);
    return 0;
}
