/* Any bytes as sparse vectors: columns in range that ascend, finite values, or a complaint.
 * The first two bytes choose options, the rest is the file (and the test file, too).
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/libsvm.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    const unsigned c = data[0] ^ (unsigned)data[1] << 8;
    fuzz_file file = fuzz_open(data + 2, n - 2);
    const char *const paths[] = {file.path, file.path};
    const options o = {
        .path = {paths, 1 + (c >> 8 & 1)},
        .test_path = {paths, c & 1},
        .n_features = c >> 1 & 1 ? 20 : 0,
        .first_index = c >> 2 & 1,
        .several = c >> 3 & 3,
        .form = c >> 5 & 1,
        .labels = c >> 6 & 3,
        .names = "",
    };
    fuzz_dataset(&libsvm_impl, &o, o.form == DENSE ? fuzz_use : fuzz_use_ragged);
    close(file.fd);
    return 0;
}
