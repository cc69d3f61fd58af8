/* Any bytes as CIFAR records and a file of class names: a dataset that can be read whole, or a complaint.
 * The first byte chooses the labels, two more give the length of the records (little end first); the names follow.
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/cifar_binary.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3)
        return 0;
    const size_t wanted = (size_t)data[1] | (size_t)data[2] << 8, first = wanted < n - 3 ? wanted : n - 3;
    fuzz_file records = fuzz_open(data + 3, first), names = fuzz_open(data + 3 + first, n - 3 - first);
    const options o = {.train = records.path, .test = records.path, .names = n - 3 > first ? names.path : "",
                       .batches = 1, .labels = data[0] % 3};
    fuzz_dataset(&cifar_impl, &o, fuzz_use);
    close(records.fd);
    close(names.fd);
    return 0;
}
