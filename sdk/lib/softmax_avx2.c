#include "softmax.h"

#ifdef HAVE_AVX2_KERNELS
#pragma GCC target("avx2,fma")
#define KERNELS softmax_avx2
#include "lanes_avx2.h"
#include "softmax_tile.h"
#endif
