/* Any bytes as a table: a dataset of finite numbers that can be read whole, or a complaint.
 * The first byte chooses options, the rest is the file (and the test file, too).
 */
#include "tests/fuzz/fuzz_table.h"

#include "plugins/datasets/csv.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const labels[] = {"-1", "0", "class", ""};
    static const char *const delimiters[] = {"auto", "tab", "blanks", "|"};
    static const char *const dropped[] = {"1"}, *const coded[] = {"0"}, *const markers[] = {"?", "NA"};
    if (n < 2)
        return 0;
    const unsigned c = data[0] ^ (unsigned)data[1] << 8;
    fuzz_file file = fuzz_open(data + 2, n - 2);
    const options o = {
        .path = file.path,
        .test_path = c & 1 ? file.path : "",
        .test_fraction = c & 1 ? 0 : c & 2 ? 0.5 : 0,
        .label = labels[c >> 2 & 3],
        .delimiter = delimiters[c >> 4 & 3],
        .header = (c >> 6 & 3) % 3,
        .missing = (c >> 8 & 7) % 5,
        .drop = {dropped, c >> 11 & 1},
        .words = (c >> 12 & 3) % 3,
        .one_hot = {coded, c >> 14 & 1},
        .indicator = (c >> 15 & 1) && (c >> 8 & 7) % 5 > 0,
        .markers = {markers, 2},
        .no_label = {markers, 1},
        .max_values = 8,
    };
    fuzz_dataset(&csv_impl, &o, fuzz_use_table);
    close(file.fd);
    return 0;
}
