/* nn_winograd_tile.h: the transforms of one tile, by Lavin & Gray's matrices for the points 0, 1, -1, 2, -2 and
 * infinity (small tiles: 0, 1, -1 and infinity); a filter of five taps has the same points. Of a map of two places the
 * zeros around are folded away: Karatsuba's three products in place of four. kind is a constant wherever these are
 * called, as they are inlined. Of products with powers of two only the sum is rounded, so fused with it or not they
 * have the same bits. V: channels at a time. */
#include "nn_winograd.h"

/* V channels */
typedef float vec __attribute__((vector_size(4 * V)));
typedef int32_t bits __attribute__((vector_size(4 * V)));

INLINED vec load(const float *x)
{
    vec v;
    memcpy(&v, x, sizeof v);
    return v;
}

INLINED void store(float *y, vec v)
{
    memcpy(y, &v, sizeof v);
}

/* ---- in one direction -------------------------------------------------------------------------- */

/* Six numbers are made by two, as all of a tile would need more registers than there are. Which ones, of points: */
INLINED int point_groups(int kind)
{
    return points_of(kind) == 6 ? 3 : 1;
}

INLINED int group_size(int kind)
{
    return points_of(kind) == 6 ? 2 : points_of(kind);
}

INLINED int point_at(int kind, int group, int i)
{
    return points_of(kind) < 6 ? i : group == 0 ? 5 * i : 2 * group - 1 + i;
}

/* B' d: points of a group from the places read. */
INLINED void line_in(int kind, int group, const vec *d, vec *t)
{
    if (kind == TILE_PAIR) {
        t[0] = d[0] + d[1];
        t[1] = d[1];
        t[2] = d[0];
    } else if (kind == TILE_SMALL) {
        t[0] = d[0] - d[2];
        t[1] = d[1] + d[2];
        t[2] = d[2] - d[1];
        t[3] = d[1] - d[3];
    } else if (group == 0) {
        t[0] = 4.0f * (d[0] - d[2]) + (d[4] - d[2]);
        t[1] = 4.0f * (d[1] - d[3]) + (d[5] - d[3]);
    } else if (group == 1) {
        const vec even = d[4] - 4.0f * d[2], odd = d[3] - 4.0f * d[1];
        t[0] = even + odd;
        t[1] = even - odd;
    } else {
        const vec even = d[4] - d[2], odd = d[3] - d[1];
        t[0] = even + 2.0f * odd;
        t[1] = even - 2.0f * odd;
    }
}

/* A y: points of a group from places of the output. */
INLINED void line_out_back(int kind, int group, const vec *y, vec *t)
{
    if (kind == TILE_PAIR) {
        t[0] = y[0] + y[1];
        t[1] = y[0];
        t[2] = y[1];
    } else if (kind == TILE_SMALL) {
        t[0] = y[0];
        t[1] = y[0] + y[1];
        t[2] = y[0] - y[1];
        t[3] = -y[1];
    } else if (group == 0) {
        t[0] = y[0];
        t[1] = y[side_of(kind) - 1];
    } else {
        vec even = y[0], odd = group == 1 ? y[1] : 2.0f * y[1];
        if (kind == TILE_LARGE) {
            even += group == 1 ? y[2] : 4.0f * y[2];
            odd += group == 1 ? y[3] : 8.0f * y[3];
        }
        t[0] = even + odd;
        t[1] = even - odd;
    }
}

/* Places, always by two: of the output, or of the input on the way back. */
INLINED int place_groups(int kind, int back)
{
    return back ? 3 : side_of(kind) / 2;
}

INLINED int place_at(int kind, int back, int group, int i)
{
    return back ? (group == 0 ? 5 * i : group + 2 * i) : i * side_of(kind) / 2 + group;
}

/* A' m: places of the output from all points. */
INLINED void line_out(int kind, int group, const vec *m, vec *r)
{
    if (kind == TILE_PAIR) {
        r[0] = m[0] + m[1];
        r[1] = m[0] + m[2];
    } else if (kind == TILE_SMALL) {
        r[0] = m[0] + (m[1] + m[2]);
        r[1] = (m[1] - m[2]) - m[3];
    } else if (kind == TILE_FIVE) {
        r[0] = m[0] + (m[1] + m[2]) + (m[3] + m[4]);
        r[1] = (m[1] - m[2]) + 2.0f * (m[3] - m[4]) + m[5];
    } else if (group == 0) {
        const vec sum = m[1] + m[2], sum2 = m[3] + m[4];
        r[0] = m[0] + sum + sum2;
        r[1] = sum + 4.0f * sum2;
    } else {
        const vec less = m[1] - m[2], less2 = m[3] - m[4];
        r[0] = less + 2.0f * less2;
        r[1] = less + 8.0f * less2 + m[5];
    }
}

/* B m: places of the input, of six points. */
INLINED void line_in_back(int group, const vec *m, vec *d)
{
    if (group == 0) {
        d[0] = 4.0f * m[0];
        d[1] = m[5];
    } else if (group == 1) {
        const vec less = m[1] - m[2], less2 = m[3] - m[4];
        d[0] = 4.0f * (m[5] - less) - 2.0f * less2;
        d[1] = less + 2.0f * less2 - m[5] - 4.0f * m[5];
    } else {
        const vec sum = m[1] + m[2], sum2 = m[3] + m[4];
        d[0] = -4.0f * (m[0] + sum) - (m[0] + sum2);
        d[1] = m[0] + sum + sum2;
    }
}

/* ---- in both ----------------------------------------------------------------------------------- */

/* Where places lie: (y, x) at y * row + x * place. */
typedef struct places {
    int64_t row, place;
} places;

INLINED void to_points(int kind, int back, int group, const vec *from, vec *to)
{
    if (back)
        line_out_back(kind, group, from, to);
    else
        line_in(kind, group, from, to);
}

/* B' d B of places of the input; back: A y A' of places of the output. Point p goes to out + p * step. */
INLINED void transform_in(int kind, int back, const float *from, const places *at, float *out, int64_t step)
{
    const int n = back ? side_of(kind) : reach_of(kind), size = group_size(kind);
    EACH for (int g = 0; g < point_groups(kind); g++) {
        vec t[MOST_POINTS][MOST_POINTS];
        EACH for (int x = 0; x < n; x++) {
            vec column[MOST_POINTS], some[MOST_POINTS];
            EACH for (int y = 0; y < n; y++)
                column[y] = load(from + y * at->row + x * at->place);
            to_points(kind, back, g, column, some);
            EACH for (int i = 0; i < size; i++)
                t[i][x] = some[i];
        }
        EACH for (int i = 0; i < size; i++)
            EACH for (int h = 0; h < point_groups(kind); h++) {
                vec some[MOST_POINTS];
                to_points(kind, back, h, t[i], some);
                EACH for (int k = 0; k < size; k++)
                    store(out + (point_at(kind, g, i) * points_of(kind) + point_at(kind, h, k)) * step, some[k]);
            }
    }
}

/* What is done to finished places; add and biased: constants. */
typedef struct ending {
    int add, biased;   /* += what is there, += bias and what is below floor set to zero */
    vec bias, floor; /* floor: zeros for a ReLU, else -INFINITY */
} ending;

INLINED void finish_place(const ending *e, float *to, vec r)
{
    if (e->biased) {
        r += e->bias;
        r = (vec)((bits)r & ~(r < e->floor));
    }
    store(to, e->add ? load(to) + r : r);
}

INLINED void to_places(int kind, int back, int group, const vec *m, vec *r)
{
    if (back)
        line_in_back(group, m, r);
    else
        line_out(kind, group, m, r);
}

/* A' m A to places of the output; back: B m B' to those of the input. */
INLINED void transform_out(int kind, int back, const ending *e, const float *in, int64_t step, const places *at,
                           float *to)
{
    const int n = points_of(kind);
    EACH for (int g = 0; g < place_groups(kind, back); g++) {
        vec t[2][MOST_POINTS];
        EACH for (int x = 0; x < n; x++) {
            vec column[MOST_POINTS], some[2];
            EACH for (int y = 0; y < n; y++)
                column[y] = load(in + (y * n + x) * step);
            to_places(kind, back, g, column, some);
            t[0][x] = some[0];
            t[1][x] = some[1];
        }
        EACH for (int i = 0; i < 2; i++)
            EACH for (int h = 0; h < place_groups(kind, back); h++) {
                vec some[2];
                to_places(kind, back, h, t[i], some);
                EACH for (int k = 0; k < 2; k++)
                    finish_place(e, to + place_at(kind, back, g, i) * at->row + place_at(kind, back, h, k) * at->place,
                                 some[k]);
            }
    }
}

