/* Any bytes as a .npz file: a dataset that can be read whole, or a complaint. The first byte chooses the
 * layout.
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/npy.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    fuzz_file file = fuzz_open(data + 1, n - 1);
    dal_runtime *rt = fuzz_runtime();
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    const npz_options o = {.path = file.path, .train_x = "", .train_y = "", .validation_x = "", .validation_y = "",
                           .test_x = "", .test_y = "", .layout = data[0] % 3};
    if (npz_impl.create(dal_runtime_host(rt, "npz"), &o, NULL, &self, &err) == DAL_OK)
        fuzz_use(&npz_impl, self);
    else
        fuzz_complaint(&err);
    npz_impl.destroy(self);
    MUST(dal_runtime_allocated(rt) == 0);
    close(file.fd);
    return 0;
}
