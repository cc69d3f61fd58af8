/* Any bytes as trees, or as a .zip of them: texts of UTF-8 that can all be read, or a complaint.
 * The first two bytes choose options, the rest is the file (and the test file, too).
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/sst_trees.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    const unsigned c = data[0] ^ (unsigned)data[1] << 8;
    fuzz_file file = fuzz_open(data + 2, n - 2);
    const options o = {
        .path = file.path,
        .validation_path = "",
        .test_path = c & 1 ? file.path : "",
        .classes = c >> 1 & 1,
        .phrases = c >> 2 & 1,
        .encoding = (c >> 3 & 3) % 3,
    };
    fuzz_dataset(&sst_impl, &o, fuzz_use_ragged);
    close(file.fd);
    return 0;
}
