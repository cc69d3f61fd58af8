#include "nn_winograd.h"

#ifdef NN_PRODUCT_X86
#pragma GCC target("avx2,fma,avx512f")
#pragma GCC optimize("O3", "fp-contract=fast") /* see nn_winograd_tile.h */
#define V 16
#define TRANSFORMS nn_transforms_avx512
#include "nn_winograd_rows.h"
#endif
