#include "softmax.h"

#ifdef HAVE_X86_KERNELS
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512vl")
#pragma GCC optimize("O3") /* the arrays of vectors must become registers, also under a user's -O2 */
#define KERNELS softmax_avx512
#include "lanes_avx512.h"
#include "softmax_tile.h"
#endif
