/* Any bytes as an archive of pictures: samples that can be read or are complained of, or a complaint. The first byte
 * chooses options.
 */
#include "tests/fuzz/fuzz_pictures.h"

#include "plugins/datasets/image_folder.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int64_t size[] = {5, 3};
    if (n < 1)
        return 0;
    fuzz_file file = fuzz_open(data + 1, n - 1);
    const options o = {.train = file.path, .validation = "", .test = "", .channels = data[0] % 3,
                       .level = data[0] & 32 ? 2 : 1, .group_level = data[0] & 32 ? 1 : 0, .only = "",
                       .listing = data[0] & 64 ? "l.csv" : "", .listing_path = "0", .listing_label = "1",
                       .listing_split = data[0] & 4 ? "2" : "", .listing_group = "-1",
                       .size = {size, data[0] & 8 ? 2 : 0}, .cache = data[0] & 16 ? 4096 : 0};
    fuzz_pictures(&folder_impl, &o);
    close(file.fd);
    return 0;
}
