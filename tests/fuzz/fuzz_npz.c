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
    const npz_options o = {.path = file.path, .train_x = "", .train_y = "", .validation_x = "", .validation_y = "",
                           .test_x = "", .test_y = "", .layout = data[0] % 3};
    fuzz_dataset(&npz_impl, &o, fuzz_use);
    close(file.fd);
    return 0;
}
