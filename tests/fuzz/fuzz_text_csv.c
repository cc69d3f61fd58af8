/* Any bytes as a table of texts: texts of UTF-8 that can all be read, or a complaint.
 * The first two bytes choose options, the rest is the file (and the test file, too).
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/text_csv.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const labels[] = {"0", "-1", "class", ""};
    static const char *const delimiters[] = {"comma", "tab", "semicolon", "|"};
    static const char *const columns[] = {"1", "text"}, *const names[] = {"a", "b"};
    if (n < 2)
        return 0;
    const unsigned c = data[0] ^ (unsigned)data[1] << 8;
    fuzz_file file = fuzz_open(data + 2, n - 2);
    const options o = {
        .path = file.path,
        .validation_path = "",
        .test_path = c & 1 ? file.path : "",
        .label = labels[c >> 1 & 3],
        .group = (c >> 13 & 3) == 3 ? "2" : "",
        .delimiter = delimiters[c >> 3 & 3],
        .header = (c >> 5 & 3) % 3,
        .backslash = (c >> 7 & 3) % 3,
        .encoding = (c >> 9 & 3) % 3,
        .labels = c >> 11 & 3,
        .text = {columns, (c >> 13 & 3) % 3},
        .class_names = {names, c >> 15 & 1 ? 2 : 0},
        .join = " ",
        .names = "",
        .member = "",
        .validation_member = "",
        .test_member = "",
    };
    fuzz_dataset(&text_csv_impl, &o, fuzz_use_ragged);
    close(file.fd);
    return 0;
}
