/* Any bytes as JSON objects, one a line: texts of UTF-8 that can all be read, or a complaint.
 * The first two bytes choose options, the rest is the file (and the test file, too).
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/jsonl.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const keys[] = {"text", "t", "label"}, *const names[] = {"a", "b"};
    if (n < 2)
        return 0;
    const unsigned c = data[0] ^ (unsigned)data[1] << 8;
    fuzz_file file = fuzz_open(data + 2, n - 2);
    const options o = {
        .path = file.path,
        .validation_path = "",
        .test_path = c & 1 ? file.path : "",
        .text = {keys, 1 + (c >> 1 & 3) % 3},
        .label = c >> 3 & 1 ? "" : "label",
        .group = c >> 7 & 1 ? "by" : "",
        .labels = c >> 4 & 3,
        .class_names = {names, c >> 6 & 1 ? 2 : 0},
        .names = "",
    };
    fuzz_dataset(&jsonl_impl, &o, fuzz_use_ragged);
    close(file.fd);
    return 0;
}
