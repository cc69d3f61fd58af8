#include "nn_product.h"

#ifdef NN_PRODUCT_X86
#pragma GCC target("avx2,fma,avx512f")
#pragma GCC optimize("O3") /* the arrays of vectors must become registers, also under a user's -O2 */
#include <immintrin.h>

typedef __m512 vec;
#define V 16
#define SIDE 2
#define TILE_ROWS 8
#define v_set _mm512_set1_ps
#define v_load _mm512_loadu_ps
#define v_store _mm512_storeu_ps
#define v_fma _mm512_fmadd_ps
#define KERNEL nn_product_avx512
#include "nn_product_tile.h"
#endif
