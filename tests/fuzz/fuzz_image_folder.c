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
                       .size = {size, data[0] & 8 ? 2 : 0}, .cache = data[0] & 16 ? 4096 : 0};
    fuzz_pictures(&folder_impl, &o);
    close(file.fd);
    return 0;
}
