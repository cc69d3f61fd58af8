#include "softmax.h"

#include <dal/linalg.h>

const softmax_kernels *softmax_best(void)
{
#ifdef HAVE_X86_KERNELS
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return &softmax_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &softmax_avx2;
#endif
    return &softmax_plain;
}

void dal_softmax(float *z, int64_t n, int64_t c, int64_t ld)
{
    const softmax_kernels *kernels = softmax_best();
    for (int64_t first = 0; c > 0 && first < n; first += TILE) {
        float *rows = z + first * ld;
        const tile t = {rows, n - first < TILE ? n - first : TILE, c, ld, rows};
        kernels->softmax(&t, rows);
    }
}
