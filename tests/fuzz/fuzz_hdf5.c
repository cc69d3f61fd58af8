/* Any bytes as an HDF5 file: samples that can be read or are complained of, or a complaint. The first byte chooses
 * options. libhdf5 itself (1.10.8) loses memory over some damaged files, so run it with -detect_leaks=0.
 */
/* a few bytes may claim more samples than can be read in any time: the bound is lower here */
#define HDF5_GROWTH 16
#include "tests/fuzz/fuzz_pictures.h"

#include "plugins/datasets/hdf5.c"

#include <fcntl.h>

static char path[] = "/tmp/dal-fuzz-XXXXXX";

static void remove_file(void)
{
    unlink(path);
}

/* libhdf5 opens no file without a name: one that is written again and again, and its path. */
static void write_file(const uint8_t *data, size_t n)
{
    static int made;
    const int fd = made ? open(path, O_WRONLY | O_TRUNC | O_CLOEXEC) : mkstemp(path);
    MUST(fd >= 0 && write(fd, data, n) == (ssize_t)n && close(fd) == 0);
    if (!made++)
        atexit(remove_file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 1)
        return 0;
    write_file(data + 1, n - 1);
    const options o = {
        .path = path,
        .x = "/x",
        .y = data[0] & 1 ? "" : "/y",
        .y_path = "",
        .test_path = data[0] & 2 ? path : "",
        .test_x = "",
        .test_y = "",
        .test_y_path = "",
        .validation_path = "",
        .validation_x = "",
        .validation_y = "",
        .validation_y_path = "",
        .layout = (data[0] >> 2 & 3) % 3,
        .n_classes = data[0] & 16 ? 2 : 0,
        .cache = data[0] & 32 ? 0 : 65536,
    };
#ifdef DAL_HAVE_HDF5
    fuzz_pictures(&hdf5_impl, &o);
#else
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    MUST(hdf5_impl.create(dal_runtime_host(fuzz_runtime(), "hdf5"), &o, NULL, &self, &err) == DAL_E_UNSUPPORTED);
    fuzz_complaint(&err);
#endif
    return 0;
}
