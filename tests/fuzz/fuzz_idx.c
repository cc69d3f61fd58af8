/* Any bytes as a pair of IDX files: a dataset that can be read whole, or a complaint.
 * Two bytes give the length of the images (little end first); the labels follow them.
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/idx.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    const size_t wanted = (size_t)data[0] | (size_t)data[1] << 8, first = wanted < n - 2 ? wanted : n - 2;
    fuzz_file images = fuzz_open(data + 2, first), labels = fuzz_open(data + 2 + first, n - 2 - first);
    const options o = {.train_images = images.path, .train_labels = n - 2 > first ? labels.path : "",
                       .test_images = images.path, .test_labels = ""};
    fuzz_dataset(&idx_impl, &o, fuzz_use);
    close(images.fd);
    close(labels.fd);
    return 0;
}
