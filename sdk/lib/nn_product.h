/* nn_product.h: products of matrices whose columns lie together in sixteens, panels: element (r, c) of [rows, cols] is
 * at ((c / 16) * rows + r) * 16 + c % 16. What transforms of tiles write and read one cache line at a time. Others may
 * lie in rows: nothing is packed.
 *
 * Every element of a product is one chain of fused multiply-adds in the order of k: the same bits with every number of
 * rows and in every row, on every processor. */
#ifndef DAL_NN_PRODUCT_H
#define DAL_NN_PRODUCT_H

#include <stdint.h>

#if defined(__GNUC__) && defined(__x86_64__)
#define NN_PRODUCT_X86
#endif

#define NN_PANEL 16

/* Has this processor the instruction? Without it products are correct, and slow. */
int nn_product_is_fast(void);
/* And is there a kernel for its vectors? Then products are as fast as OpenBLAS's, and faster where that packs much. */
int nn_product_has_kernel(void);
/* All in panels, 16 divides cols. c [rows, cols] = or += a [rows, k] b [k, cols]; rows is free. */
void nn_product_nn(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int add, float *c);
/* c [rows, cols] = or += a' b; a [k, rows], b [k, cols]; k is free. */
void nn_product_tn(int64_t rows, int64_t cols, int64_t k, const float *a, const float *b, int add, float *c);

/* How a product walks. k = g * inner + i of row r of a is at a + g * group + i * step + r * row; of several groups
 * inner is 16. k of panel p of b is at b + p * b_panel + k * b_step, row r of panel p of c at c + p * c_panel + r *
 * c_row. */
typedef struct nn_product_walk {
    int64_t groups, inner, group, step, row;
    int64_t b_step, b_panel, c_row, c_panel;
    int add; /* c += */
} nn_product_walk;
/* Any rows and cols: of the last panel no more is read or written than there is. */
void nn_product(const nn_product_walk *w, int64_t rows, int64_t cols, const float *a, const float *b, float *c);
/* w [cols, k], in rows, as b: its transpose in panels, zeros behind the last column. to: nn_product_packed(cols, k)
 * floats. */
int64_t nn_product_packed(int64_t cols, int64_t k);
void nn_product_pack(int64_t cols, int64_t k, const float *w, float *to);
/* w [k, cols], in rows, in panels, zeros alike. */
void nn_product_pack_rows(int64_t cols, int64_t k, const float *w, float *to);

/* Whole panels, all of k at once. */
typedef void nn_product_kernel(const nn_product_walk *w, int64_t rows, int64_t panels, const float *a, const float *b,
                               float *c);
nn_product_kernel nn_product_plain, nn_product_avx2, nn_product_avx512;

#endif
