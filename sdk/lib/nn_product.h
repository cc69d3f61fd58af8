/* nn_product.h: products of matrices whose columns lie together in sixteens: element (r, c) of [rows, cols] is at
 * ((c / 16) * rows + r) * 16 + c % 16, and 16 divides cols. What transforms of tiles write and read one cache line at a time.
 *
 * Every element of a product is one chain of fused multiply-adds in the order of k: the same bits with every number of rows
 * and in every row, on every processor. */
#ifndef DAL_NN_PRODUCT_H
#define DAL_NN_PRODUCT_H

#include <stdint.h>

#if defined(__GNUC__) && defined(__x86_64__)
#define NN_PRODUCT_X86
#endif

#define NN_PANEL 16

/* Has this processor the instruction? Without it products are correct, and slow. */
int nn_product_is_fast(void);
/* c [rows, cols] = or += a [rows, k] b [k, cols]; rows is free. */
void nn_product_nn(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int add, float *c);
/* c [rows, cols] = or += a' b; a [k, rows], b [k, cols]; k is free. */
void nn_product_tn(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int add, float *c);

/* How a walks: k = g * inner + i of row r is at a + g * group + i * step + r * row. */
typedef struct nn_product_walk {
    int64_t groups, inner, group, step, row;
    int64_t b_panel, c_panel; /* floats from a panel of b and of c to the next */
    int add;
} nn_product_walk;
typedef void nn_product_kernel(const nn_product_walk *w, int64_t rows, int64_t panels, const float *a, const float *b, float *c);
nn_product_kernel nn_product_plain, nn_product_avx2, nn_product_avx512;

#endif
