/* The transpose of a matrix of bf16. */
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

/* 32 rows of 16 numbers: pairs of rows, and then these as a matrix of 16 x 16, in fours of fours. */
HALF_CODE static void transpose_tile(const nn_bf16 *from, int64_t from_ld, int64_t ld, nn_bf16 *to)
{
    __m512i a[16], b[16];
    for (int i = 0; i < 16; i++)
        a[i] = pairs(from + 2 * i * from_ld, from_ld);
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
        const __m512i low = _mm512_shuffle_i32x4(a[c], a[4 + c], 0x88), high = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88);
        const __m512i low_odd = _mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd), high_odd = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd);
        _mm512_storeu_si512(to + c * ld, _mm512_shuffle_i32x4(low, high, 0x88));
        _mm512_storeu_si512(to + (c + 8) * ld, _mm512_shuffle_i32x4(low, high, 0xdd));
        _mm512_storeu_si512(to + (c + 4) * ld, _mm512_shuffle_i32x4(low_odd, high_odd, 0x88));
        _mm512_storeu_si512(to + (c + 12) * ld, _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd));
    }
}

void nn_half_transpose(const nn_bf16 *from, int64_t rows, int64_t cols, int64_t from_ld, int64_t ld, nn_bf16 *to)
{
    const int64_t whole = rows / 32 * 32, wide = cols / 16 * 16;
    for (int64_t c = 0; c < wide; c += 16)
        for (int64_t r = 0; r < whole; r += 32)
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

#endif
