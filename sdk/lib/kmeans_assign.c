/* Every sample to its nearest centre, few distances computed.
 *
 * Ding, Zhao, Shen, Musuvathi, Mytkowicz, "Yinyang k-means", ICML 2015: a sample keeps for each group of centres a
 * lower bound of its distance from all of them but its own. A centre that moved by delta came nearer by no more
 * than that; while the bound less delta exceeds the distance to the own centre, nobody of the group can take the
 * sample over. Centres of a group are sorted by how far they moved, so those that have to be looked at are its
 * first few; they are looked at in products of many samples (bound.h), which give fresh bounds, too, and only what
 * is then left is measured. Bounds are rounded down and radii up, so that no comparison comes out otherwise than
 * by the distances themselves. */
#include "kmeans.h"

#include "bound.h"
#include "clones.h"

#define TILE_X 512 /* samples in a task */
#define DENSE_X 128 /* samples in a product when most centres have to be looked at */
#define DENSE_C 512 /* centres in it */
#define FEW 4       /* centres that are measured rather than multiplied */

#define LESS (1 - 0x1p-21f) /* room for rounding a bound or two */
#define MORE (1 + 0x1p-21f)

typedef struct assign_job {
    kmeans *s;
    double shrink;
} assign_job;

/* What one task works on: `rows` samples from `row` on. */
typedef struct tile {
    const assign_job *j;
    int64_t row, rows;
    float radius[TILE_X]; /* a bound above this leaves a group out */
    int32_t list[TILE_X]; /* the samples that have to look at more than a few of a group */
    float *products;      /* [TILE_X, W] or [DENSE_X, max(W, DENSE_C)] */
    float *gathered;      /* [TILE_X, d] */
} tile;

static float radius_of(const kmeans *s, float m)
{
    const double e = ((double)s->d / 32 + 16) * BOUND_UNIT;
    return (float)sqrt((double)m * (1 + 2 * e) + BOUND_TINY(s->d)) * MORE;
}

/* A bound of the distance from one of its square. */
static float root_below(double square)
{
    return square > 0 ? (float)sqrt(square) * LESS : 0;
}

DAL_CLONES static float lowest(const float *products, const float *offsets, int64_t n)
{
    float lane[8], low = INFINITY;
    int64_t i = 0;
    for (int l = 0; l < 8; l++)
        lane[l] = INFINITY;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++) {
            const float v = products[i + l] + offsets[i + l];
            lane[l] = v < lane[l] ? v : lane[l];
        }
    for (; i < n; i++)
        low = products[i] + offsets[i] < low ? products[i] + offsets[i] : low;
    for (int l = 0; l < 8; l++)
        low = lane[l] < low ? lane[l] : low;
    return low;
}

/* A bound of the true distance from the square as measured. */
static float bound_of(const kmeans *s, float measured)
{
    return root_below((double)measured * (1 - ((double)s->d / 32 + 16) * BOUND_UNIT) - BOUND_TINY(s->d));
}

/* ---- one sample and one group ----------------------------------------------------------------- */

/* The sample leaves its centre, at squared distance m, for another: its bounds have to count that one from now on.
 * *here: what is known of the group that is being looked at. */
static void leave(const kmeans *s, int64_t row, int64_t group, float m, float *here)
{
    if (s->assignment[row] == KMEANS_UNKNOWN)
        return;
    const int64_t old = s->groups.slots[s->assignment[row]] / s->groups.width;
    const float bound = bound_of(s, m);
    float *at = old == group ? here : s->lower + row * s->groups.n + old;
    *at = bound < *at ? bound : *at;
}

/* Take the sample over if slot's centre is nearer, or as near and lower. *m: the distance so far. */
static int take_over(const kmeans *s, int64_t row, int64_t slot, float distance, float *m, float *here)
{
    const int32_t centre = s->groups.members[slot];
    if (!(distance < *m || (distance <= *m && centre < s->assignment[row])))
        return 0;
    leave(s, row, slot / s->groups.width, *m, here);
    s->assignment[row] = centre;
    *m = distance;
    return 1;
}

/* The group's bound from those just looked at, and from the rest, which came nearer by at most their drift. */
static void bound_group(const kmeans *s, int64_t row, int64_t group, int64_t seen, float bound)
{
    const kmeans_groups *g = &s->groups;
    float *lower = s->lower + row * g->n + group;
    const float drift = seen < g->width ? g->drifts[group * g->width + seen] : -1;
    const float rest = drift >= 0 ? *lower * LESS - drift : INFINITY;
    *lower = rest < bound ? rest : bound;
}

/* Look at the first `seen` centres of a group, of which the products are known. */
static void look(const tile *t, int64_t i, int64_t group, float *products, int64_t seen)
{
    const kmeans *s = t->j->s;
    const kmeans_groups *g = &s->groups;
    const int64_t row = t->row + i, first = group * g->width;
    const float *offsets = g->offsets + first, norm = s->norms[row];
    float m = s->distance[row], here = INFINITY;
    float limit = bound_limit((double)m, (double)norm, s->d, t->j->shrink);
    const int32_t own = s->assignment[row] == KMEANS_UNKNOWN ? -1 : g->slots[s->assignment[row]];
    if (own >= first && own < first + seen)
        products[own - first] = INFINITY;
    float low = lowest(products, offsets, seen);
    for (int64_t c = 0; low < limit && c < seen; c++) {
        if (!(products[c] + offsets[c] < limit))
            continue;
        const float distance = dal_squared_distance(kmeans_row(s, row), g->packed + (first + c) * s->d, s->d);
        if (take_over(s, row, first + c, distance, &m, &here)) {
            limit = bound_limit((double)m, (double)norm, s->d, t->j->shrink);
            products[c] = INFINITY;
        }
    }
    if (here < INFINITY)
        low = lowest(products, offsets, seen);
    s->distance[row] = m;
    const float fresh = root_below((double)low + t->j->shrink * (double)norm - BOUND_TINY(s->d));
    bound_group(s, row, group, seen, fresh < here ? fresh : here);
}

/* Measure the first `seen` of them. */
static void measure(const kmeans *s, int64_t row, int64_t group, int64_t seen)
{
    const int64_t first = group * s->groups.width;
    float m = s->distance[row], here = INFINITY, low = INFINITY;
    for (int64_t slot = first; slot < first + seen; slot++) {
        if (s->groups.members[slot] == s->assignment[row])
            continue;
        const float distance = dal_squared_distance(kmeans_row(s, row), s->groups.packed + slot * s->d, s->d);
        if (!take_over(s, row, slot, distance, &m, &here))
            low = distance < low ? distance : low;
    }
    s->distance[row] = m;
    low = bound_of(s, low);
    bound_group(s, row, group, seen, low < here ? low : here);
}

/* ---- a tile of samples ------------------------------------------------------------------------ */

/* How many of a group's centres could be nearer than the radius: those that moved by at least the gap. */
static int32_t count_near(const kmeans_groups *g, int64_t group, float gap)
{
    const float *drifts = g->drifts + group * g->width;
    int32_t n = 0;
    while (n < g->width && drifts[n] >= 0 && !(drifts[n] < gap))
        n++;
    return n;
}

/* Distances to centres that moved are computed anew. Returns how many centres have to be looked at in all. */
static int64_t begin(tile *t)
{
    const kmeans *s = t->j->s;
    int64_t work = 0;
    for (int64_t i = 0; i < t->rows; i++) {
        const int64_t row = t->row + i, own = s->assignment[row];
        if (own != KMEANS_UNKNOWN && s->shifts[own] > 0)
            s->distance[row] = dal_squared_distance(kmeans_row(s, row), s->centres + own * s->d, s->d);
        t->radius[i] = radius_of(s, s->distance[row]);
        for (int64_t g = 0; g < s->groups.n; g++)
            work += count_near(&s->groups, g, s->lower[row * s->groups.n + g] * LESS - t->radius[i]);
    }
    return work;
}

/* Samples first..first+rows-1 of the tile against everything. */
static dal_status look_at_all(tile *t, int64_t first, int64_t rows)
{
    const kmeans *s = t->j->s;
    const int64_t width = s->groups.width, at_once = width < DENSE_C ? DENSE_C / width : 1;
    dal_status st = DAL_OK;
    for (int64_t g = 0; st == DAL_OK && g < s->groups.n; g += at_once) {
        const int64_t n = s->groups.n - g < at_once ? s->groups.n - g : at_once, columns = n * width;
        st = dal_gemm_nt(rows, columns, s->d, -2, kmeans_row(s, t->row + first), s->p->x.stride,
                         s->groups.packed + g * width * s->d, s->d, 0, t->products, columns);
        for (int64_t i = 0; st == DAL_OK && i < rows; i++)
            for (int64_t k = 0; k < n; k++)
                look(t, first + i, g + k, t->products + i * columns + k * width, width);
    }
    return st;
}

static dal_status look_at_tile(tile *t)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < t->rows; i += DENSE_X)
        st = look_at_all(t, i, t->rows - i < DENSE_X ? t->rows - i : DENSE_X);
    return st;
}

/* Samples that have to look at few of the group do so; the others are listed. Returns the most that any of these
 * has to look at. */
static int64_t choose(tile *t, int64_t group, int64_t *n)
{
    const kmeans *s = t->j->s;
    int32_t most = 0;
    *n = 0;
    for (int64_t i = 0; i < t->rows; i++) {
        const float lower = s->lower[(t->row + i) * s->groups.n + group];
        const int32_t near = count_near(&s->groups, group, lower * LESS - t->radius[i]);
        if (near == 0)
            bound_group(s, t->row + i, group, 0, INFINITY);
        else if (near <= FEW)
            measure(s, t->row + i, group, near);
        else
            t->list[(*n)++] = (int32_t)i;
        most = near > most ? near : most;
    }
    return most;
}

static dal_status look_at_some(tile *t)
{
    const kmeans *s = t->j->s;
    dal_status st = DAL_OK;
    for (int64_t g = 0; st == DAL_OK && g < s->groups.n; g++) {
        int64_t n;
        const int64_t most = choose(t, g, &n);
        for (int64_t i = 0; i < n; i++)
            memcpy(t->gathered + i * s->d, kmeans_row(s, t->row + t->list[i]), (size_t)s->d * sizeof *t->gathered);
        st = dal_gemm_nt(n, most, s->d, -2, t->gathered, s->d, s->groups.packed + g * s->groups.width * s->d, s->d,
                         0, t->products, s->groups.width);
        for (int64_t i = 0; st == DAL_OK && i < n; i++)
            look(t, t->list[i], g, t->products + i * s->groups.width, most);
    }
    return st;
}

/* 0 without memory. */
static int take_tile(tile *t)
{
    const kmeans *s = t->j->s;
    const int64_t wide = s->groups.width > DENSE_C ? s->groups.width : DENSE_C, narrow = s->groups.width;
    int64_t cells;
    t->products = dal_array(s->host, DENSE_X * wide > TILE_X * narrow ? DENSE_X * wide : TILE_X * narrow,
                            sizeof *t->products);
    t->gathered = dal_size_mul(TILE_X, s->d, &cells) ? dal_array(s->host, cells, sizeof *t->gathered) : NULL;
    return t->products && t->gathered;
}

static dal_status assign_task(void *ctx, int64_t number)
{
    const assign_job *j = ctx;
    const kmeans *s = j->s;
    const int64_t row = number * TILE_X;
    if (s->host->cancelled(s->host))
        return DAL_E_CANCELLED;
    tile t = {.j = j, .row = row, .rows = s->n - row < TILE_X ? s->n - row : TILE_X};
    dal_status st = take_tile(&t) ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = 2 * begin(&t) > t.rows * s->all ? look_at_tile(&t) : look_at_some(&t);
    s->host->free(s->host, t.products);
    s->host->free(s->host, t.gathered);
    return st;
}

void kmeans_forget(kmeans *s, int64_t row)
{
    memset(s->lower + row * s->groups.n, 0, (size_t)s->groups.n * sizeof *s->lower);
}

dal_status kmeans_assign(kmeans *s)
{
    assign_job j = {s, 1 - bound_kappa(s->d)};
    const dal_status st = kmeans_pack(s);
    return st == DAL_OK ? s->host->parallel_for(s->host, bound_tiles(s->n, TILE_X), assign_task, &j) : st;
}
