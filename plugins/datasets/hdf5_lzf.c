/* A stream of LZF is a row of pieces. A byte c below 32 is followed by c + 1 bytes as they are. Another one says that
 * bytes before come once more: c >> 5, which 7 tells to be larger by the byte that follows, and 2 more of them, from as
 * far back as (c & 31) << 8, the next byte and 1 tell.
 */
#include "hdf5_lzf.h"

#define H5_USE_110_API
#include <hdf5.h>
#include <string.h>

int64_t hdf5_lzf_unpack(const unsigned char *in, int64_t n, unsigned char *out, int64_t room)
{
    int64_t size = 0;
    for (int64_t at = 0; at < n;) {
        const int c = in[at++];
        int64_t count = c < 32 ? c + 1 : (c >> 5) + 2;
        if (c < 32) {
            if (count > n - at || count > room - size)
                return -1;
            if (out)
                memcpy(out + size, in + at, (size_t)count);
            at += count;
        } else {
            if (at + (c >> 5 == 7) >= n)
                return -1;
            if (c >> 5 == 7)
                count += in[at++];
            const int64_t back = ((int64_t)(c & 31) << 8) + in[at++] + 1;
            if (back > size || count > room - size)
                return -1;
            for (int64_t i = 0; out && i < count; i++) /* what it repeats may be of this very piece */
                out[size + i] = out[size + i - back];
        }
        size += count;
    }
    return size;
}

static size_t unpack(unsigned flags, size_t n_values, const unsigned values[], size_t n, size_t *size, void **data)
{
    (void)n_values, (void)values;
    const int64_t bytes = flags & H5Z_FLAG_REVERSE ? hdf5_lzf_unpack(*data, (int64_t)n, NULL, INT64_MAX / 2) : 0;
    void *out = bytes > 0 ? H5allocate_memory((size_t)bytes, 0) : NULL;
    if (!out)
        return 0; /* which says that it failed */
    hdf5_lzf_unpack(*data, (int64_t)n, out, bytes);
    H5free_memory(*data);
    *data = out;
    *size = (size_t)bytes;
    return (size_t)bytes;
}

void hdf5_lzf_register(void)
{
    static const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, HDF5_FILTER_LZF, 0, 1, "lzf", NULL, NULL, unpack};
    H5Zregister(&filter);
}
