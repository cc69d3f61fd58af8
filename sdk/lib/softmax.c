#include "softmax.h"

#include <dal/linalg.h>

const softmax_kernels *softmax_best(void)
{
#ifdef HAVE_AVX2_KERNELS
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &softmax_avx2;
#endif
    return &softmax_plain;
}

void dal_softmax(float *z, int64_t n, int64_t c, int64_t ld)
{
    const softmax_kernels *kernels = softmax_best();
    for (int64_t first = 0; c > 0 && first < n; first += TILE) {
        const tile t = {z + first * ld, n - first < TILE ? n - first : TILE, c, ld};
        kernels->softmax(&t, z + first * ld);
    }
}
