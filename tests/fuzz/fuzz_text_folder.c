/* Any bytes as an archive of texts in folders: texts of UTF-8 that can all be read, or a complaint. The first byte
 * chooses options.
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/text_folder.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const unlabelled[] = {"unsup"}, *const names[] = {"neg", "pos"};
    if (n < 1)
        return 0;
    const unsigned c = data[0];
    fuzz_file file = fuzz_open(data + 1, n - 1);
    const options o = {
        .path = file.path,
        .train = c & 1 ? "train" : "",
        .validation = "",
        .test = "",
        .suffix = c >> 1 & 1 ? ".txt" : "",
        .unlabelled = {unlabelled, 1},
        .class_names = {names, c >> 2 & 1 ? 2 : 0},
        .strip_headers = c >> 3 & 1,
        .strip_quotes = c >> 4 & 1,
        .strip_footers = c >> 5 & 1,
        .encoding = (c >> 6 & 3) % 3,
    };
    fuzz_dataset(&text_folder_impl, &o, fuzz_use_ragged);
    close(file.fd);
    return 0;
}
