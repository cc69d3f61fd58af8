/* Any bytes as a MATLAB file: a dataset that can be read whole, or a complaint. libmatio itself (1.5.23) loses memory
 * over some damaged files, so run it with -detect_leaks=0.
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/svhn_mat.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_file file = fuzz_open(data, n);
    const options o = {.train = file.path, .extra = "", .test = file.path};
    fuzz_dataset(&svhn_impl, &o, fuzz_use);
    close(file.fd);
    return 0;
}
