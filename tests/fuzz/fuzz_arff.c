/* Any bytes as an ARFF table: a dataset of finite numbers that can be read whole, or a complaint. The first two bytes
 * choose options, the rest is the file (and the test file, too).
 */
#include "tests/fuzz/fuzz_table.h"

#include "plugins/datasets/arff.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const labels[] = {"-1", "0", "k", ""};
    static const char *const dropped[] = {"1"}, *const coded[] = {"0"}, *const markers[] = {"nan", "-1"};
    if (n < 2)
        return 0;
    const unsigned c = data[0] ^ (unsigned)data[1] << 8, missing = (c >> 4 & 7) % 5;
    fuzz_file file = fuzz_open(data + 2, n - 2);
    const options o = {
        .path = file.path,
        .test_path = c & 1 ? file.path : "",
        .test_fraction = c & 1 ? 0 : c & 2 ? 0.5 : 0,
        .label = labels[c >> 2 & 3],
        .missing = missing,
        .words = (c >> 7 & 3) % 3,
        .drop = {dropped, c >> 9 & 1},
        .one_hot = {coded, c >> 10 & 1},
        .markers = {markers, c >> 11 & 1},
        .no_label = {markers, c >> 12 & 1},
        .indicator = missing > 0 && (c >> 13 & 1),
        .max_values = 8,
    };
    fuzz_dataset(&arff_impl, &o, fuzz_use_table);
    close(file.fd);
    return 0;
}
