/* Groups of centres that are near each other, all of nearly one size: halved again and again across the line
 * between two that lie far apart. Which centres come together decides nothing but how long it takes. */
#include "kmeans.h"

#include "bound.h"

#include <stdlib.h>

#define WIDTH 32       /* centres in a group */
#define MAX_GROUPS 256 /* a sample's bounds take at most 1 KiB */
#define UNIT 8

int kmeans_take_groups(kmeans *s)
{
    kmeans_groups *g = &s->groups;
    const int64_t wide = bound_tiles(bound_tiles(s->all, MAX_GROUPS), UNIT) * UNIT;
    g->width = wide > WIDTH ? wide : WIDTH;
    g->n = bound_tiles(s->all, g->width);
    const int64_t slots = g->n * g->width;
    int64_t cells, bounds;
    if (!dal_size_mul(slots, s->d, &cells) || !dal_size_mul(s->n, g->n, &bounds))
        return 0;
    g->members = dal_array(s->host, slots, sizeof *g->members);
    g->slots = dal_array(s->host, s->all, sizeof *g->slots);
    g->drifts = dal_array(s->host, slots, sizeof *g->drifts);
    g->packed = dal_array(s->host, cells, sizeof *g->packed);
    g->offsets = dal_array(s->host, slots, sizeof *g->offsets);
    s->lower = dal_array(s->host, bounds, sizeof *s->lower);
    return g->members && g->slots && g->drifts && g->packed && g->offsets && s->lower;
}

void kmeans_drop_groups(kmeans *s)
{
    s->host->free(s->host, s->groups.members);
    s->host->free(s->host, s->groups.slots);
    s->host->free(s->host, s->groups.drifts);
    s->host->free(s->host, s->groups.packed);
    s->host->free(s->host, s->groups.offsets);
    s->host->free(s->host, s->lower);
}

/* ---- putting centres into groups -------------------------------------------------------------- */

typedef struct placed {
    double key;
    int32_t centre;
} placed;

static int by_key(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    if (x->key < y->key || x->key > y->key)
        return x->key < y->key ? -1 : 1;
    return x->centre < y->centre ? -1 : x->centre > y->centre;
}

static double between(const kmeans *s, int32_t a, int32_t b)
{
    return (double)dal_squared_distance(s->centres + a * s->d, s->centres + b * s->d, s->d);
}

static int32_t farthest_from(const kmeans *s, const placed *list, int64_t n, int32_t from)
{
    int32_t best = list[0].centre;
    double most = -1;
    for (int64_t i = 0; i < n; i++) {
        const double distance = between(s, list[i].centre, from);
        if (distance > most) {
            most = distance;
            best = list[i].centre;
        }
    }
    return best;
}

/* list[n] into groups first..first+n_groups-1. */
static void divide(const kmeans *s, placed *list, int64_t n, int64_t first, int64_t n_groups)
{
    if (n_groups == 1) {
        int32_t *members = s->groups.members + first * s->groups.width;
        for (int64_t i = 0; i < s->groups.width; i++)
            members[i] = i < n ? list[i].centre : -1;
        return;
    }
    const int32_t a = farthest_from(s, list, n, list[0].centre), b = farthest_from(s, list, n, a);
    for (int64_t i = 0; i < n; i++)
        list[i].key = between(s, list[i].centre, a) - between(s, list[i].centre, b);
    qsort(list, (size_t)n, sizeof *list, by_key);
    const int64_t half = n_groups / 2, left = n * half / n_groups;
    divide(s, list, left, first, half);
    divide(s, list + left, n - left, first + half, n_groups - half);
}

dal_status kmeans_group(kmeans *s)
{
    placed *list = dal_array(s->host, s->all, sizeof *list);
    if (!list)
        return DAL_E_NOMEM;
    for (int64_t c = 0; c < s->all; c++)
        list[c] = (placed){0, (int32_t)c};
    divide(s, list, s->all, 0, s->groups.n);
    s->host->free(s->host, list);
    return DAL_OK;
}

/* ---- positions -------------------------------------------------------------------------------- */

static float drift_of(const kmeans *s, int32_t centre)
{
    return centre < 0 ? -1 : nextafterf((float)(sqrt(s->shifts[centre]) * (1 + 1e-9)), INFINITY);
}

/* Those that moved most come first, nobody last. */
static void sort_group(const kmeans *s, int32_t *members)
{
    for (int64_t i = 1; i < s->groups.width; i++) {
        const int32_t centre = members[i];
        const double shift = centre < 0 ? -1 : s->shifts[centre];
        int64_t at = i;
        for (; at > 0 && (members[at - 1] < 0 ? -1 : s->shifts[members[at - 1]]) < shift; at--)
            members[at] = members[at - 1];
        members[at] = centre;
    }
}

static dal_status pack_task(void *ctx, int64_t group)
{
    kmeans *s = ctx;
    kmeans_groups *g = &s->groups;
    const double shrink = 1 - bound_kappa(s->d);
    sort_group(s, g->members + group * g->width);
    for (int64_t slot = group * g->width; slot < (group + 1) * g->width; slot++) {
        const int32_t c = g->members[slot];
        float *to = g->packed + slot * s->d;
        g->drifts[slot] = drift_of(s, c);
        if (c < 0) {
            memset(to, 0, (size_t)s->d * sizeof *to);
            g->offsets[slot] = INFINITY;
            continue;
        }
        memcpy(to, s->centres + c * s->d, (size_t)s->d * sizeof *to);
        g->offsets[slot] = bound_offset(to, s->d, shrink);
        g->slots[c] = (int32_t)slot;
    }
    return DAL_OK;
}

dal_status kmeans_pack(kmeans *s)
{
    return s->host->parallel_for(s->host, s->groups.n, pack_task, s);
}
