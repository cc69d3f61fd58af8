/* Convolutions over tokens by fewer products: Winograd, "Arithmetic complexity of computations", 1980; Lavin & Gray,
 * CVPR 2016. m windows next to each other, m + kernel - 1 = 6, are a tile. Tokens and weights are polynomials, seen at
 * 0, 3/4, -3/4, 3/2, -3/2 (which round less than 1 and 2) and infinity: six products a tile and pair of channels, where
 * there would be m * kernel of them: 12, 12 or 10. With
 *
 *     v = B' x  [6, in],   u = G w  [6, out, in],   m_p = u_p v_p  [6, out],   y = A' m  [m, out]
 *
 * gradients go the same way back: dm = A dy, dv_p = u_p' dm_p, dx += B dv; du_p += dm_p v_p', dw = G' du. */
#include "nn_token_tiles.h"

#include "clones.h"
#include "nn_product.h"

#define POINTS 6
#define NEAR 0.75f
#define FAR 1.5f
#define NEAR2 (NEAR * NEAR)
#define FAR2 (FAR * FAR)
#define TILES 64 /* at a time: what is multiplied stays in the second cache */
#define CHUNK 64

static int64_t padded(int64_t n)
{
    return (n + NN_PANEL - 1) / NN_PANEL * NN_PANEL;
}

int64_t nn_token_tiles_packed(const dal_nn *nn, int32_t v)
{
    const nn_node *k = &nn->node[v];
    if (k->op != &nn_token_conv_op || k->kernel < 3 || k->kernel > 5 || !nn_product_has_kernel())
        return 0;
    const int64_t in = nn->node[k->in[0]].c, forward = nn_product_packed(k->c, in), back = nn_product_packed(in, k->c);
    return POINTS * (forward > back ? forward : back);
}

int64_t nn_token_tiles_scratch(int64_t in, int64_t out)
{
    const int64_t wide = padded(in), high = padded(out);
    return POINTS * (TILES * (wide + high) + high * wide) + (wide > high ? wide : high);
}

/* ---- weights ------------------------------------------------------------------------------------- */

static const float point[POINTS - 1] = {0, NEAR, -NEAR, FAR, -FAR};

/* G: row p of it, by the powers of the point. */
static void row_of_g(int64_t kernel, int p, float g[5])
{
    static const float near = 2 * NEAR2 * (NEAR2 - FAR2), far = 2 * FAR2 * (FAR2 - NEAR2);
    static const float norm[POINTS - 1] = {NEAR2 * FAR2, near, near, far, far};
    float power = p < POINTS - 1 ? 1 / norm[p] : 0;
    for (int64_t t = 0; t < 5; t++) {
        g[t] = t >= kernel ? 0 : p == POINTS - 1 ? (t == kernel - 1) : power;
        power *= p < POINTS - 1 ? point[p] : 0;
    }
}

/* u [n] of weights of one map, whose taps are `in` apart. g of taps that are not there is 0. */
DAL_CLONES static void see(const float *w, int64_t kernel, int64_t in, const float g[5], int64_t n, float *restrict u)
{
    const float g0 = g[0], g1 = g[1], g2 = g[2], g3 = g[3], g4 = g[4];
    const float *w1 = w + in, *w2 = w1 + in, *w3 = kernel > 3 ? w2 + in : w, *w4 = kernel > 4 ? w3 + in : w;
    for (int64_t i = 0; i < n; i++)
        u[i] = g0 * w[i] + g1 * w1[i] + g2 * w2[i] + g3 * w3[i] + g4 * w4[i];
}

/* u_p' [in, out] in panels. */
static void pack_forward(const nn_node *k, int64_t in, const float *g, const float *w, float *to)
{
    float u[NN_PANEL][CHUNK] = {{0}};
    for (int64_t o = 0; o < k->c; o += NN_PANEL, to += in * NN_PANEL)
        for (int64_t i = 0; i < in; i += CHUNK) {
            const int64_t n = in - i < CHUNK ? in - i : CHUNK, maps = k->c - o < NN_PANEL ? k->c - o : NN_PANEL;
            for (int64_t l = 0; l < NN_PANEL; l++)
                if (l < maps)
                    see(w + (o + l) * k->kernel * in + i, k->kernel, in, g, n, u[l]);
                else
                    memset(u[l], 0, sizeof u[l]);
            for (int64_t c = 0; c < n; c++)
                for (int l = 0; l < NN_PANEL; l++)
                    to[(i + c) * NN_PANEL + l] = u[l][c];
        }
}

/* u_p [out, in] in panels. */
static void pack_backward(const nn_node *k, int64_t in, const float *g, const float *w, float *to)
{
    float u[CHUNK] = {0};
    for (int64_t o = 0; o < k->c; o++)
        for (int64_t i = 0; i < in; i += CHUNK) {
            const int64_t n = in - i < CHUNK ? in - i : CHUNK;
            see(w + o * k->kernel * in + i, k->kernel, in, g, n, u);
            memset(u + n, 0, (size_t)(CHUNK - n) * sizeof *u);
            for (int64_t c = 0; c < n; c += NN_PANEL)
                memcpy(to + ((i + c) * k->c + o * NN_PANEL), u + c, NN_PANEL * sizeof *u);
        }
}

void nn_token_tiles_pack(const dal_nn *nn, int32_t v, int backward, const float *weights, float *to)
{
    const nn_node *k = &nn->node[v];
    const int64_t in = nn->node[k->in[0]].c, size = backward ? nn_product_packed(in, k->c)
        : nn_product_packed(k->c, in);
    for (int p = 0; p < POINTS; p++) {
        float g[5];
        row_of_g(k->kernel, p, g);
        (backward ? pack_backward : pack_forward)(k, in, g, weights, to + p * size);
    }
}

/* ---- transforms ---------------------------------------------------------------------------------- */

/* v = B' x; v_p lies `plane` behind the one before it. */
DAL_CLONES static void transform(const float *const x[POINTS], int64_t n, int64_t plane, float *restrict v)
{
    const float *restrict x0 = x[0], *restrict x1 = x[1], *restrict x2 = x[2], *restrict x3 = x[3], *restrict x4 = x[4],
                *restrict x5 = x[5];
    for (int64_t i = 0; i < n; i++) {
        const float even = x4[i] - FAR2 * x2[i], odd = NEAR * (x3[i] - FAR2 * x1[i]);
        const float even2 = x4[i] - NEAR2 * x2[i], odd2 = FAR * (x3[i] - NEAR2 * x1[i]);
        v[i] = FAR2 * NEAR2 * x0[i] - (FAR2 + NEAR2) * x2[i] + x4[i];
        v[plane + i] = even + odd;
        v[2 * plane + i] = even - odd;
        v[3 * plane + i] = even2 + odd2;
        v[4 * plane + i] = even2 - odd2;
        v[5 * plane + i] = FAR2 * NEAR2 * x1[i] - (FAR2 + NEAR2) * x3[i] + x5[i];
    }
}

/* d += B dv, those rows that are there. */
DAL_CLONES static void turn_back(const float *restrict v, int64_t n, int64_t plane, float *const d[POINTS])
{
    for (int r = 0; r < POINTS; r++) {
        static const float b[POINTS][POINTS] = {
            {FAR2 * NEAR2, 0, 0, 0, 0, 0},
            {0, -NEAR * FAR2, NEAR * FAR2, -FAR * NEAR2, FAR * NEAR2, FAR2 * NEAR2},
            {-FAR2 - NEAR2, -FAR2, -FAR2, -NEAR2, -NEAR2, 0},
            {0, NEAR, -NEAR, FAR, -FAR, -FAR2 - NEAR2},
            {1, 1, 1, 1, 1, 0},
            {0, 0, 0, 0, 0, 1}};
        const float b0 = b[r][0], b1 = b[r][1], b2 = b[r][2], b3 = b[r][3], b4 = b[r][4], b5 = b[r][5];
        float *restrict to = d[r];
        if (!to)
            continue;
        for (int64_t i = 0; i < n; i++)
            to[i] += b0 * v[i] + b1 * v[plane + i] + b2 * v[2 * plane + i] + b3 * v[3 * plane + i] + b4 *
            v[4 * plane + i] +
                     b5 * v[5 * plane + i];
    }
}

/* Row j of A', of a tile of `windows`. */
static void row_of_a(int64_t windows, int64_t j, float a[POINTS])
{
    for (int p = 0; p < POINTS; p++) {
        a[p] = p < POINTS - 1 || j == windows - 1;
        for (int64_t power = 0; p < POINTS - 1 && power < j; power++)
            a[p] *= point[p];
    }
}

/* y [n] = a m. */
DAL_CLONES static void sum_up(const float a[POINTS], const float *restrict m, int64_t n, int64_t plane,
                              float *restrict y)
{
    const float a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3], a4 = a[4], a5 = a[5];
    for (int64_t i = 0; i < n; i++)
        y[i] = a0 * m[i] + a1 * m[plane + i] + a2 * m[2 * plane + i] + a3 * m[3 * plane + i] + a4 * m[4 * plane + i] +
               a5 * m[5 * plane + i];
}

/* dm += a dy; fresh: =. */
DAL_CLONES static void spread(const float a[POINTS], const float *restrict dy, int64_t n, int64_t plane, int fresh,
                              float *restrict dm)
{
    for (int p = 0; p < POINTS; p++) {
        const float by = a[p];
        float *restrict to = dm + p * plane;
        for (int64_t i = 0; i < n; i++)
            to[i] = fresh ? by * dy[i] : to[i] + by * dy[i];
    }
}

/* ---- tiles ---------------------------------------------------------------------------------------- */

/* Tiles of a job, one text after the other. */
typedef struct work {
    const nn_job *j;
    const nn_node *k;
    int64_t in, out, wide, high, windows, before; /* wide, high: in and out, padded */
    int64_t rows, column;                         /* floats from a v_p to the next; from an m_p */
    /* [6, TILES, wide], [6, TILES, high], [6, high, wide], [of both the larger] */
    float *v, *m, *du, *zeros;
    int64_t text, window;                         /* the next tile */
} work;

static work begin(const nn_job *j, int32_t v)
{
    const nn_node *k = &j->nn->node[v];
    const int64_t in = j->nn->node[k->in[0]].c, wide = padded(in), high = padded(k->c);
    work w = {.j = j, .k = k, .in = in, .out = k->c, .wide = wide, .high = high, .windows = POINTS + 1 - k->kernel,
              .before = (k->kernel - 1) / 2, .rows = TILES * wide, .column = TILES * high, .v = j->scratch};
    w.m = w.v + POINTS * w.rows;
    w.du = w.m + POINTS * w.column;
    w.zeros = w.du + POINTS * high * wide;
    memset(w.zeros, 0, (size_t)(wide > high ? wide : high) * sizeof *w.zeros);
    return w;
}

/* The next tile's text, whose tokens are first..end-1, and the first of its windows; 0: there is none. */
static int next_tile(work *w, int64_t *first, int64_t *end, int64_t *window)
{
    const int64_t *at = w->j->token_at;
    while (w->text < w->j->n && w->window >= at[w->text + 1] - at[w->text]) {
        w->text++;
        w->window = 0;
    }
    if (w->text == w->j->n)
        return 0;
    *first = at[w->text];
    *end = at[w->text + 1];
    *window = *first + w->window;
    w->window += w->windows;
    return 1;
}

/* Up to TILES of them, tile t: v_p of its tokens at row t of v. */
static int64_t see_tokens(work *w, const float *x)
{
    int64_t n = 0, first, end, window;
    for (; n < TILES && next_tile(w, &first, &end, &window); n++) {
        const float *rows[POINTS];
        for (int r = 0; r < POINTS; r++) {
            const int64_t token = window - w->before + r;
            rows[r] = token >= first && token < end ? x + token * w->in : w->zeros;
        }
        transform(rows, w->in, w->rows, w->v + n * w->wide);
        for (int p = 0; p < POINTS; p++)
            memset(w->v + p * w->rows + n * w->wide + w->in, 0, (size_t)(w->wide - w->in) * sizeof *w->v);
    }
    return n;
}

void nn_token_tiles_forward(const nn_job *j, int32_t v, const float *packed)
{
    work w = begin(j, v);
    const float *x = nn_row(j->value, &j->nn->node[w.k->in[0]], w.k->in[0], j->first);
    const nn_product_walk walk = {1, w.in, 0, 1, w.wide, NN_PANEL, w.in * NN_PANEL, w.high, NN_PANEL, 0};
    float *y = nn_row(j->value, w.k, v, j->first), a[POINTS][POINTS];
    for (int64_t r = 0; r < w.windows; r++)
        row_of_a(w.windows, r, a[r]);
    for (work of = w;; of = w) {
        const int64_t n = see_tokens(&w, x);
        int64_t first, end, window;
        if (n == 0)
            return;
        for (int p = 0; p < POINTS; p++)
            nn_product(&walk, n, w.high, w.v + p * w.rows, packed + p * nn_product_packed(w.out, w.in),
                       w.m + p * w.column);
        for (int64_t t = 0; t < n && next_tile(&of, &first, &end, &window); t++)
            for (int64_t r = 0; r < w.windows && window + r < end; r++)
                sum_up(a[r], w.m + t * w.high, w.out, w.column, y + (window + r) * w.out);
    }
}

/* ---- back ---------------------------------------------------------------------------------------- */

/* dm_p of n tiles from `of` on, at row t of m. */
static void see_gradients(work of, int64_t n, const float *dy)
{
    int64_t first, end, window;
    for (int64_t t = 0; t < n && next_tile(&of, &first, &end, &window); t++) {
        for (int64_t r = 0; r < of.windows; r++) {
            float a[POINTS];
            row_of_a(of.windows, r, a);
            spread(a, window + r < end ? dy + (window + r) * of.out : of.zeros, of.out, of.column, r == 0,
                   of.m + t * of.high);
        }
        for (int p = 0; p < POINTS; p++)
            memset(of.m + p * of.column + t * of.high + of.out, 0, (size_t)(of.high - of.out) * sizeof *of.m);
    }
}

/* w [n] += g du, of one map and tap. */
DAL_CLONES static void add_tap(const float g[POINTS], const float *restrict du, int64_t n, int64_t plane,
                               float *restrict w)
{
    const float g0 = g[0], g1 = g[1], g2 = g[2], g3 = g[3], g4 = g[4], g5 = g[5];
    for (int64_t i = 0; i < n; i++)
        w[i] += g0 * du[i] + g1 * du[plane + i] + g2 * du[2 * plane + i] + g3 * du[3 * plane + i] + g4 *
        du[4 * plane + i] +
                g5 * du[5 * plane + i];
}

/* gradient += G' du */
static void add_weights(const work *w, float *gradient)
{
    float g[POINTS][5], column[POINTS];
    for (int p = 0; p < POINTS; p++)
        row_of_g(w->k->kernel, p, g[p]);
    for (int64_t o = 0; o < w->out; o++)
        for (int64_t t = 0; t < w->k->kernel; t++, gradient += w->in) {
            for (int p = 0; p < POINTS; p++)
                column[p] = g[p][t];
            add_tap(column, w->du + o * w->wide, w->in, w->high * w->wide, gradient);
        }
}

/* dx += B dv of n tiles from `of` on. */
static void add_tokens(work of, int64_t n, float *dx)
{
    int64_t first, end, window;
    for (int64_t t = 0; t < n && next_tile(&of, &first, &end, &window); t++) {
        float *rows[POINTS];
        for (int r = 0; r < POINTS; r++) {
            const int64_t token = window - of.before + r;
            rows[r] = token >= first && token < end ? dx + token * of.in : NULL;
        }
        turn_back(of.v + t * of.wide, of.in, of.rows, rows);
    }
}

void nn_token_tiles_backward(const nn_job *j, int32_t v, const float *packed, const float *dy, float *gradient)
{
    work w = begin(j, v);
    const nn_node *a = &j->nn->node[w.k->in[0]];
    const float *x = nn_row(j->value, a, w.k->in[0], j->first);
    float *dx = j->d[w.k->in[0]] ? nn_row(j->d, a, w.k->in[0], j->first) : NULL;
    const nn_product_walk back = {1, w.out, 0, 1, w.high, NN_PANEL, w.out * NN_PANEL, w.wide, NN_PANEL, 0};
    if (dx && w.k->first_writer[0])
        memset(dx, 0, (size_t)nn_count(j, a) * sizeof *dx);
    int fresh = 1;
    for (work of = w;; of = w) {
        const int64_t n = see_tokens(&w, x);
        if (n == 0)
            break;
        see_gradients(of, n, dy);
        const nn_product_walk weights = {1, n, 0, w.high, 1, w.wide, NN_PANEL, w.wide, NN_PANEL, !fresh};
        for (int p = 0; p < POINTS; p++) {
            if (gradient)
                nn_product(&weights, w.out, w.wide, w.m + p * w.column, w.v + p * w.rows, w.du + p * w.high * w.wide);
            if (dx)
                nn_product(&back, n, w.wide, w.m + p * w.column, packed + p * nn_product_packed(w.in, w.out),
                           w.v + p * w.rows);
        }
        if (dx)
            add_tokens(of, n, dx);
        fresh = 0;
    }
    if (gradient && !fresh)
        add_weights(&w, gradient);
}
