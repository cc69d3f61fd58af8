/* The transpose of a matrix of bf16, and weights in oneDNN's order. */
#include "nn_half_lanes.h"
#include "nn_half_tokens.h"

static void transpose_plain(const nn_bf16 *from, int64_t rows, int64_t cols, int64_t from_ld, int64_t ld, nn_bf16 *to)
{
    for (int64_t c = 0; c < cols; c++)
        for (int64_t r = 0; r < ld; r++)
            to[c * ld + r] = r < rows ? from[r * from_ld + c] : 0;
}

#if defined(__GNUC__) && defined(__x86_64__)

/* Two rows of sixteen numbers as sixteen pairs. */
LANE_OP __m512i pairs(const nn_bf16 *row, int64_t ld)
{
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)row));
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(row + ld)));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

/* A matrix of 16 x 16 pairs, in fours of fours; to: rows ld pairs apart. */
LANE_OP void transpose_pairs(__m512i *a, int64_t ld, uint32_t *to)
{
    __m512i b[16];
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int h = 0; h < 2; h++) {
            a[i + 2 * h] = _mm512_unpacklo_epi64(b[i + h], b[i + h + 2]);
            a[i + 2 * h + 1] = _mm512_unpackhi_epi64(b[i + h], b[i + h + 2]);
        }
    for (int c = 0; c < 4; c++) { /* a[4 g + c]: columns c, c + 4, c + 8, c + 12 of rows 4 g..4 g + 3 */
        const __m512i low = _mm512_shuffle_i32x4(a[c], a[4 + c], 0x88),
            high = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88);
        const __m512i low_odd = _mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd),
            high_odd = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd);
        _mm512_storeu_si512(to + c * ld, _mm512_shuffle_i32x4(low, high, 0x88));
        _mm512_storeu_si512(to + (c + 8) * ld, _mm512_shuffle_i32x4(low, high, 0xdd));
        _mm512_storeu_si512(to + (c + 4) * ld, _mm512_shuffle_i32x4(low_odd, high_odd, 0x88));
        _mm512_storeu_si512(to + (c + 12) * ld, _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd));
    }
}

static uint32_t *as_pairs(nn_bf16 *to)
{
    return (uint32_t *)(void *)to;
}

/* 32 rows of 16 numbers; 2 divides ld. */
HALF_CODE static void transpose_tile(const nn_bf16 *from, int64_t from_ld, int64_t ld, nn_bf16 *to)
{
    __m512i a[16];
    for (int i = 0; i < 16; i++)
        a[i] = pairs(from + 2 * i * from_ld, from_ld);
    transpose_pairs(a, ld / 2, as_pairs(to));
}

/* Two times sixteen numbers, rounded, as pairs of neighbours. */
LANE_OP __m512i rounded(const float *x)
{
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + WIDE), _mm512_loadu_ps(x));
}

/* Sixteen rows of a block: a pair of neighbours becomes one of a column. */
HALF_CODE static void pack_turned(const float *w, int64_t ld, nn_bf16 *to)
{
    __m512i a[16];
    for (int i = 0; i < 16; i++)
        a[i] = rounded(w + i * ld);
    transpose_pairs(a, NN_PACK_COLS, as_pairs(to));
}

/* Two rows of a block. */
HALF_CODE static void pack_rows(const float *w, int64_t ld, nn_bf16 *to)
{
    for (int64_t c = 0; c < NN_PACK_COLS; c += WIDE) {
        const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(w + c)));
        const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(w + ld + c)));
        _mm512_storeu_si512(to + 2 * c, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

void nn_half_pack(const float *w, int64_t rows, int64_t cols, int turned, nn_bf16 *to)
{
    const int64_t k = turned ? cols : rows, n = turned ? rows : cols, block = NN_PACK_ROWS * NN_PACK_COLS;
    for (int64_t c = 0; c < n; c += NN_PACK_COLS, to += k * NN_PACK_COLS) {
        for (int64_t i = 0; turned && i < NN_PACK_COLS; i += 16) /* as far as rows go: they are read as they lie */
            for (int64_t r = 0; r < k; r += NN_PACK_ROWS)
                pack_turned(w + (c + i) * cols + r, cols, to + r / NN_PACK_ROWS * block + 2 * i);
        for (int64_t r = 0; !turned && r < k; r += 2)
            pack_rows(w + r * cols + c, cols, to + r * NN_PACK_COLS);
    }
}

void nn_half_transpose(const nn_bf16 *from, int64_t rows, int64_t cols, int64_t from_ld, int64_t ld, nn_bf16 *to)
{
    const int64_t whole = rows / 32 * 32, wide = cols / 16 * 16;
    for (int64_t first = 0; first < wide; first += 32) /* a cache line of each row */
        for (int64_t r = 0; r < whole; r += 32)
            for (int64_t c = first; c < wide && c < first + 32; c += 16)
                transpose_tile(from + r * from_ld + c, from_ld, ld, to + c * ld + r);
    for (int64_t c = 0; c < wide && whole < ld; c++)
        for (int64_t r = whole; r < ld; r++)
            to[c * ld + r] = r < rows ? from[r * from_ld + c] : 0;
    transpose_plain(from + wide, rows, cols - wide, from_ld, ld, to + wide * ld);
}

#else

void nn_half_transpose(const nn_bf16 *from, int64_t rows, int64_t cols, int64_t from_ld, int64_t ld, nn_bf16 *to)
{
    transpose_plain(from, rows, cols, from_ld, ld, to);
}

void nn_half_pack(const float *w, int64_t rows, int64_t cols, int turned, nn_bf16 *to)
{
    const int64_t k = turned ? cols : rows, n = turned ? rows : cols;
    for (int64_t c = 0; c < n; c += NN_PACK_COLS)
        for (int64_t r = 0; r < k; r++)
            for (int64_t i = c; i < c + NN_PACK_COLS; i++)
                to[(c * k + r / NN_PACK_ROWS * NN_PACK_ROWS * NN_PACK_COLS) + (r % NN_PACK_ROWS / 2 * NN_PACK_COLS +
                                                                               i - c) * 2 + r % 2] =
                    nn_narrow(turned ? w[i * cols + r] : w[r * cols + i]);
}

#endif
