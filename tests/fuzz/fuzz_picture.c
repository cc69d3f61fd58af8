/* Any bytes as a picture: pixels, or a complaint. The first byte chooses the channels.
 */
#include "tests/fuzz/fuzz_component.h"

#include "plugins/datasets/image_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    const image_bytes b = {data + 1, (int64_t)n - 1, (int64_t)n - 1, "picture", "path"};
    dal_runtime *rt = fuzz_runtime();
    dal_error err = DAL_ERROR_INIT;
    image_info info = {0};
    int more;
    if (image_look(&b, &info, &more, &err) == DAL_OK) {
        MUST(!more && info.height > 0 && info.width > 0 && info.height * info.width <= IMAGE_MAX_PIXELS);
        info.channels = data[0] & 1 ? 1 : 3;
        unsigned char *out = malloc((size_t)(info.height * info.width * info.channels));
        if (image_decode(dal_runtime_host(rt, "picture"), &b, &info, out, &err) != DAL_OK)
            fuzz_complaint(&err);
        free(out);
    } else {
        fuzz_complaint(&err);
    }
    MUST(dal_runtime_allocated(rt) == 0);
    return 0;
}
