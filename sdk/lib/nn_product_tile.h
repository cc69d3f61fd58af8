/* nn_product_tile.h: the kernel of nn_product.h from vec, V (floats of one), v_set, v_load, v_fma, v_store. SIDE and
 * TILE_ROWS: panels and rows of a tile that stays in registers. */
#define TILE static inline __attribute__((always_inline))
#define PARTS (NN_PANEL / V)

/* R rows, P panels: constants wherever it is called. */
TILE void tile(const nn_product_walk *w, const int R, const int P, const float *a, const float *b, float *c)
{
    vec sum[TILE_ROWS][SIDE * PARTS];
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int p = 0; p < P * PARTS; p++)
            sum[r][p] = w->add ? v_load(c + p / PARTS * w->c_panel + r * w->c_row + p % PARTS * V) : v_set(0);
    for (int64_t g = 0; g < w->groups; g++)
        for (int64_t i = 0; i < w->inner; i++, b += w->b_step) {
            const float *at = a + g * w->group + i * w->step;
            vec row[SIDE * PARTS];
#pragma GCC unroll 4
            for (int p = 0; p < P * PARTS; p++)
                row[p] = v_load(b + p / PARTS * w->b_panel + p % PARTS * V);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) {
                const vec x = v_set(at[r * w->row]);
#pragma GCC unroll 4
                for (int p = 0; p < P * PARTS; p++)
                    sum[r][p] = v_fma(x, row[p], sum[r][p]);
            }
        }
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int p = 0; p < P * PARTS; p++)
            v_store(c + p / PARTS * w->c_panel + r * w->c_row + p % PARTS * V, sum[r][p]);
}

TILE void panels_of(const nn_product_walk *w, const int R, int64_t panels, const float *a, const float *b, float *c)
{
    int64_t p = 0;
    for (; p + SIDE <= panels; p += SIDE)
        tile(w, R, SIDE, a, b + p * w->b_panel, c + p * w->c_panel);
    for (; p < panels; p++)
        tile(w, R, 1, a, b + p * w->b_panel, c + p * w->c_panel);
}

void KERNEL(const nn_product_walk *w, int64_t rows, int64_t panels, const float *a, const float *b, float *c)
{
    int64_t r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
        panels_of(w, TILE_ROWS, panels, a + r * w->row, b, c + r * w->c_row);
    for (; r + 2 <= rows; r += 2)
        panels_of(w, 2, panels, a + r * w->row, b, c + r * w->c_row);
    for (; r < rows; r++)
        panels_of(w, 1, panels, a + r * w->row, b, c + r * w->c_row);
}
