#include "nn_product.h"

#ifdef NN_PRODUCT_X86
#pragma GCC target("avx2,fma")
#pragma GCC optimize("O3") /* the arrays of vectors must become registers, also under a user's -O2 */
#include <immintrin.h>

typedef __m256 vec;
#define V 8
#define SIDE 1
#define TILE_ROWS 4
#define v_set _mm256_set1_ps
#define v_load _mm256_loadu_ps
#define v_store _mm256_storeu_ps
#define v_fma _mm256_fmadd_ps
#define KERNEL nn_product_avx2
#include "nn_product_tile.h"
#endif
