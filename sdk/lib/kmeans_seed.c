/* k-means++ by whole matrix products: the seeds of a turn are drawn by the potentials that held at its beginning,
 * and each is kept with probability (what its potential is now) / (what it was). What is kept is distributed as
 * if every potential had been brought up to date after every seed; few draws are lost, because the turns are
 * short while the potentials still change much. */
#include "kmeans.h"

#include "bound.h"
#include "nearest.h"

#define MAX_TURN 128

typedef struct sum_job {
    const kmeans *s;
    int plain;
} sum_job;

static double potential(const kmeans *s, int plain, int64_t i)
{
    return plain ? kmeans_weight(s, i) : kmeans_weight(s, i) * (double)s->distance[i];
}

static dal_status sum_task(void *ctx, int64_t b)
{
    const sum_job *j = ctx;
    const kmeans *s = j->s;
    const int64_t end = (b + 1) * KMEANS_BLOCK < s->n ? (b + 1) * KMEANS_BLOCK : s->n;
    double sum = 0;
    for (int64_t i = b * KMEANS_BLOCK; i < end; i++)
        sum += potential(s, j->plain, i);
    s->sums[b] = sum;
    return DAL_OK;
}

dal_status kmeans_potential(kmeans *s, int plain, double *total)
{
    const int64_t blocks = bound_tiles(s->n, KMEANS_BLOCK);
    sum_job j = {s, plain};
    const dal_status st = s->host->parallel_for(s->host, blocks, sum_task, &j);
    *total = 0;
    for (int64_t b = 0; st == DAL_OK && b < blocks; b++)
        *total += s->sums[b];
    return st;
}

/* The row in which the running sum passes u of 0..1 of the total; rows without potential are never meant. */
static int64_t row_at(const kmeans *s, int plain, double total, double u)
{
    const int64_t blocks = bound_tiles(s->n, KMEANS_BLOCK);
    double target = u * total;
    int64_t b = 0;
    while (b < blocks - 1 && target >= s->sums[b])
        target -= s->sums[b++];
    for (int64_t i = b * KMEANS_BLOCK; i < s->n; i++) {
        const double w = potential(s, plain, i);
        if (w > 0 && target < w)
            return i;
        target -= w;
    }
    int64_t last = s->n - 1; /* rounding led beyond the last of them */
    while (last > 0 && !(potential(s, plain, last) > 0))
        last--;
    return last;
}

static void put_seed(kmeans *s, int64_t *seeds, int64_t n, int64_t row)
{
    seeds[n] = row;
    memcpy(s->centres + n * s->d, kmeans_row(s, row), (size_t)s->d * sizeof *s->centres);
}

/* When all weight lies on centres: the lowest rows that are no seeds, up to k. */
static dal_status fill_up(kmeans *s, int64_t *seeds, int64_t *n)
{
    unsigned char *taken = dal_array(s->host, s->n, 1);
    if (!taken)
        return DAL_E_NOMEM;
    memset(taken, 0, (size_t)s->n);
    for (int64_t i = 0; i < *n; i++)
        taken[seeds[i]] = 1;
    for (int64_t i = 0; *n < s->k; i++)
        if (!taken[i])
            put_seed(s, seeds, (*n)++, i);
    s->host->free(s->host, taken);
    return DAL_OK;
}

typedef struct turn_job {
    const kmeans *s;
    int64_t row, first, end;
    float m;
} turn_job;

/* The distance from the nearest centre, with the seeds of this turn. */
static dal_status turn_task(void *ctx, int64_t i)
{
    turn_job *j = ctx;
    (void)i;
    for (int64_t c = j->first; c < j->end; c++) {
        const float distance = dal_squared_distance(kmeans_row(j->s, j->row), j->s->centres + c * j->s->d,
                                                    j->s->d);
        j->m = distance < j->m ? distance : j->m;
    }
    return DAL_OK;
}

/* Up to `want` seeds from number n on, in at most twice as many draws; the first is always kept. */
static dal_status draw_turn(kmeans *s, dal_rng *r, double total, int64_t *seeds, int64_t *n, int64_t want)
{
    const int64_t first = *n;
    for (int64_t draw = 0; draw < 2 * want && *n < first + want; draw++) {
        const int64_t row = row_at(s, 0, total, dal_rng_uniform(r));
        turn_job j = {s, row, first, *n, s->distance[row]};
        const dal_status st = s->host->parallel_for(s->host, 1, turn_task, &j);
        if (st != DAL_OK)
            return st;
        if (dal_rng_uniform(r) * (double)s->distance[row] < (double)j.m)
            put_seed(s, seeds, (*n)++, row);
    }
    return DAL_OK;
}

/* The very first seed, when there is no centre to measure from. */
static dal_status draw_first(kmeans *s, dal_rng *r, int64_t *seeds, int64_t *n)
{
    double total;
    const dal_status st = kmeans_potential(s, 1, &total);
    if (st == DAL_OK)
        put_seed(s, seeds, (*n)++, total > 0 ? row_at(s, 1, total, dal_rng_uniform(r)) : 0);
    return st;
}

static dal_status draw_more(kmeans *s, dal_rng *r, int64_t *seeds, int64_t *n)
{
    const int64_t so_far = *n + s->all - s->k;
    int64_t turn = so_far / 8 < MAX_TURN ? so_far / 8 : MAX_TURN;
    turn = turn > s->k - *n ? s->k - *n : turn < 1 ? 1 : turn;
    double total;
    const dal_status st = kmeans_potential(s, 0, &total);
    if (st != DAL_OK)
        return st;
    return total > 0 ? draw_turn(s, r, total, seeds, n, turn) : fill_up(s, seeds, n);
}

static dal_status draw_seeds(kmeans *s, dal_rng *r, int64_t *seeds, dal_error *err)
{
    int64_t n = 0, measured = 0;
    for (int64_t i = 0; i < s->n; i++)
        s->distance[i] = INFINITY;
    dal_status st = nearest_update(s->host, &s->p->x, s->norms, &s->p->fixed, s->distance, err);
    if (st == DAL_OK && s->all == s->k)
        st = draw_first(s, r, seeds, &n);
    while (st == DAL_OK) {
        const dal_matrix latest = {s->centres + measured * s->d, n - measured, s->d, s->d};
        st = nearest_update(s->host, &s->p->x, s->norms, &latest, s->distance, err);
        measured = n;
        if (st != DAL_OK || n == s->k)
            break;
        s->host->progress(s->host, n, s->k, "seeds");
        st = draw_more(s, r, seeds, &n);
    }
    return st;
}

dal_status kmeans_seed(kmeans *s, dal_rng *r, dal_error *err)
{
    int64_t *seeds = dal_array(s->host, s->k, sizeof *seeds);
    if (!seeds)
        return DAL_E_NOMEM;
    const dal_status st = draw_seeds(s, r, seeds, err);
    s->host->free(s->host, seeds);
    return st;
}
