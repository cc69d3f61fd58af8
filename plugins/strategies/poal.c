/* poal: samples that are uncertain and look like something known, chosen as a set, neither weighed against the
 * other.
 *
 * Zhan, Dai, Wang, Li, Xiong, Lin, "Pareto optimization for active learning under out-of-distribution data
 * scenarios", TMLR 2023 (arXiv 2207.01190). Two objectives of a sample, larger is better, and their sums for a
 * set of b:
 *
 *     A(x) = H(p(x))                                            uncertainty
 *     B(x) = M(x) - min_pool M,   M(x) = max_c -1/2 (h - mu_c)' Sigma^-1 (h - mu_c)     in-distribution confidence
 *
 * with class means mu_c of the labelled features and their shared covariance Sigma (ridge 1e-6 trace / d;
 * Euclidean where every labelled sample is its class mean). Then
 *
 *     1. peel non-dominated layers of (A, B) until `factor` b candidates are left (n')
 *     2. `draws` times (0: b n') a random b-subset: into the archive unless dominated, out with what it dominates
 *     3. every 200 draws the maximum mean discrepancy between the front and the last 10 fronts; stop when neither
 *        the mean nor the deviation of it has moved by more than 0.01 in the last 10 looks
 *     4. the archive member whose samples occur in most members; its samples by how often they occur
 *
 * A set with the sums of one in the archive is dropped, too, so that drawing a set twice does not count twice;
 * sums are of numbers rounded to 2^-40 of the largest, which makes them the same in any order. `swap` exchanges
 * one sample of a random member in place of drawing anew, which comes to a front much sooner (ours, off by
 * default).
 *
 * poal-step judges B after a step of the inputs towards the class that is nearest (after Lee et al. 2018, in the
 * authors' code): x' = x + step sign(dM / dx), in the model's input units (the code has standardised inputs and divides
 * by the deviation of each channel, which comes to the same in units of pixels).
 *
 * Where we differ: the authors' deep code subtracts the score from its largest value, so that B grows with the
 * distance and out-of-distribution samples are preferred; their dominance test never holds; both are as in the
 * paper here. Left out: several layers at once, and the mixtures of the classical version.
 *
 * Needs outputs and features, and poal-step gradients of features by the input; samples found to belong to no class are
 * not in the labelled set, so they shape neither mu nor Sigma. O(n d (d + c) + n_l d^2) time, then O(b) a draw and the
 * square of the front a look; 8 d^2 + 40 n bytes.
 */
#include "class_gaussians.h"

#include <dal/live_model.h>
#include <dal/model.h>
#include <dal/select.h>
#include <dal/uncertainty.h>

#include <math.h>
#include <stdlib.h>

typedef struct options {
    int64_t factor, draws;
    int32_t swap, stop_early;
    double step; /* poal: 0 */
} options;

/* ---- in-distribution confidence ------------------------------------------------------------------ */

#define AT_A_TIME 64 /* samples */

typedef struct judge {
    const dal_host *host;
    class_gaussians near;
    double *m; /* [n] */
    /* where they are as they come */
    dal_matrix pool; /* [n, d] */
    /* where a step comes first */
    dal_live_model model;
    const dal_model_input_gradient *space;
    int64_t width;
    float step;
} judge;

static dal_status judge_block(void *ctx, int64_t block)
{
    const judge *j = ctx;
    const int64_t first = block * AT_A_TIME, left = j->pool.rows - first;
    return class_gaussians_score(&j->near, j->pool.data + first * j->pool.stride, j->pool.stride,
                                 left < AT_A_TIME ? left : AT_A_TIME, j->m + first, NULL);
}

/* Inputs x [n, width] one step on; h, slope [n, d] and g [n, width] are scratch. */
static dal_status step_inputs(judge *j, float *x, int64_t n, float *h, float *slope, float *g, double *m,
                              dal_error *err)
{
    const dal_model_feature_gradient *by = j->model.table;
    void *self = j->model.model->self;
    dal_live_model_enter(&j->model);
    dal_status st = by->features(self, x, n, h, err);
    dal_live_model_leave(&j->model);
    if (st == DAL_OK && (st = class_gaussians_score(&j->near, h, j->near.d, n, m, slope)) != DAL_OK)
        return dal_fail(err, st, "", "no memory for a block of candidates");
    dal_live_model_enter(&j->model);
    if (st == DAL_OK)
        st = by->gradient(self, x, n, slope, g, err);
    for (int64_t i = 0; st == DAL_OK && i < n * j->width; i++)
        x[i] += j->step * ((float)(g[i] > 0) - (float)(g[i] < 0));
    if (st == DAL_OK)
        st = by->features(self, x, n, h, err);
    dal_live_model_leave(&j->model);
    return st;
}

static dal_status judge_after_step(void *ctx, const dal_block *block, dal_error *err)
{
    judge *j = ctx;
    const int64_t n = block->n, d = j->near.d;
    dal_batch batch;
    dal_status st = block->inputs(block, &batch, err);
    if (st != DAL_OK)
        return st;
    float *x = dal_array(j->host, n * (2 * j->width + 2 * d), sizeof *x);
    if (!x)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld inputs", (long long)n);
    float *g = x + n * j->width, *h = g + n * j->width, *slope = h + n * d;
    dal_live_model_enter(&j->model);
    st = j->space->embed(j->model.model->self, &batch, x, err);
    dal_live_model_leave(&j->model);
    if (st == DAL_OK)
        st = step_inputs(j, x, n, h, slope, g, j->m + block->first, err);
    if (st == DAL_OK && (st = class_gaussians_score(&j->near, h, d, n, j->m + block->first, NULL)) != DAL_OK)
        dal_fail(err, st, "", "no memory for a block of candidates");
    j->host->free(j->host, x);
    return st;
}

static dal_status judge_pool(judge *j, const dal_view *view, dal_error *err)
{
    dal_status st;
    if (j->step > 0) {
        st = dal_live_model_open(&j->model, view, DAL_CAP_FEATURE_GRADIENT, err);
        if (st == DAL_OK) {
            const dal_model *model = j->model.model;
            j->space = model->impl->get_extension(model->self, DAL_CAP_INPUT_GRADIENT);
            j->width = j->space ? j->space->width(model->self) : 0;
            st = j->space ? view->stream(view, DAL_ROWS_CANDIDATES, judge_after_step, j, err)
                          : dal_fail(err, DAL_E_UNSUPPORTED, "", "the model does not offer %s", DAL_CAP_INPUT_GRADIENT);
        }
        dal_live_model_close(&j->model);
        return st;
    }
    st = view->features(view, DAL_ROWS_CANDIDATES, &j->pool, err);
    if (st == DAL_OK &&
        (st = j->host->parallel_for(j->host, (j->pool.rows + AT_A_TIME - 1) / AT_A_TIME, judge_block, j)) != DAL_OK)
        dal_fail(err, st, "", "no memory for a block of candidates");
    return st;
}

/* B [n] of the candidates. */
static dal_status confidence(const dal_host *h, const options *opt, const dal_view *view, double *b, dal_error *err)
{
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES);
    judge j = {.host = h, .m = b, .step = (float)opt->step};
    double least = INFINITY;
    dal_status st = class_gaussians_fit(&j.near, h, view, err);
    if (st == DAL_OK)
        st = judge_pool(&j, view, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        least = fmin(least, b[i]);
        if (!isfinite(b[i]))
            st = dal_fail(err, DAL_E_INVALID, "", "the features of sample %lld are not numbers",
                          (long long)view->ids(view, DAL_ROWS_CANDIDATES)[i]);
    }
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        b[i] -= least;
    class_gaussians_fini(&j.near);
    return st;
}

/* ---- layers ------------------------------------------------------------------------------------------ */

/* A candidate with its objectives as whole numbers: 2^-40 of the largest. */
typedef struct point {
    int64_t a, b, row;
} point;

static int best_first(const void *x, const void *y)
{
    const point *p = x, *q = y;
    if (p->a != q->a)
        return p->a > q->a ? -1 : 1;
    if (p->b != q->b)
        return p->b > q->b ? -1 : 1;
    return p->row < q->row ? -1 : p->row > q->row;
}

static void make_points(const double *a, const double *b, int64_t n, point *p)
{
    double most_a = 0, most_b = 0;
    for (int64_t i = 0; i < n; i++) {
        most_a = fmax(most_a, a[i]);
        most_b = fmax(most_b, b[i]);
    }
    for (int64_t i = 0; i < n; i++)
        p[i] = (point){most_a > 0 ? llround(a[i] / most_a * 0x1p40) : 0,
                       most_b > 0 ? llround(b[i] / most_b * 0x1p40) : 0, i};
    qsort(p, (size_t)n, sizeof *p, best_first);
}

/* Whole layers to the front of p [n, best first] until there are `enough`; returns how many. spare [n] is
 * scratch. */
static int64_t peel(point *p, int64_t n, int64_t enough, point *spare)
{
    int64_t kept = 0;
    while (kept < enough && kept < n) {
        int64_t layer = kept, rest = 0;
        const point *top = NULL;
        for (int64_t i = kept; i < n; i++) {
            const point here = p[i];
            if (!top || here.b > top->b || (here.b == top->b && here.a == top->a)) {
                p[layer] = here;
                top = &p[layer++];
            } else {
                spare[rest++] = here;
            }
        }
        memcpy(p + layer, spare, (size_t)rest * sizeof *p);
        kept = layer;
    }
    return kept;
}

/* ---- the search over subsets --------------------------------------------------------------------------- */

/* Non-dominated sets, sum of A descending and so sum of B ascending, strictly. */
typedef struct archive {
    int64_t n, room;
    int64_t *a, *b, *born; /* [room] sums; when each was found */
    int32_t *sets;         /* [room, size] candidates of each, in slots that move with it */
} archive;

#define LOOKS 10
#define DRAWS_A_LOOK 200

typedef struct search {
    const dal_host *host;
    const options *opt;
    const point *p; /* [n] */
    int64_t n, size;
    dal_rng rng;
    archive found;
    int32_t *order; /* [n] its head is the set drawn last */
    double *front[LOOKS]; /* of the last looks: points [front_n, 2] */
    int64_t front_n[LOOKS], looks;
    double mean[LOOKS], deviation[LOOKS];
} search;

static int grow(const dal_host *h, archive *f, int64_t size)
{
    const int64_t room = f->room ? 2 * f->room : 64;
    int64_t cells;
    int64_t *a = dal_array(h, room, sizeof *a), *b = dal_array(h, room, sizeof *b),
            *born = dal_array(h, room, sizeof *born);
    int32_t *sets = dal_size_mul(room, size, &cells) ? dal_array(h, cells, sizeof *sets) : NULL;
    const int good = a && b && born && sets;
    if (good && f->n > 0) {
        memcpy(a, f->a, (size_t)f->n * sizeof *a);
        memcpy(b, f->b, (size_t)f->n * sizeof *b);
        memcpy(born, f->born, (size_t)f->n * sizeof *born);
        memcpy(sets, f->sets, (size_t)(f->n * size) * sizeof *sets);
    }
    void *gone[] = {good ? (void *)f->a : a, good ? (void *)f->b : b, good ? (void *)f->born : born,
                    good ? (void *)f->sets : sets};
    for (int i = 0; i < 4; i++)
        h->free(h, gone[i]);
    if (good)
        *f = (archive){f->n, room, a, b, born, sets};
    return good;
}

/* A random set into order[0..size-1]. */
static void draw_set(search *s)
{
    const archive *f = &s->found;
    if (s->opt->swap && f->n > 0 && s->n > s->size) {
        const int32_t *member = f->sets + dal_rng_below(&s->rng, f->n) * s->size;
        const int64_t out = dal_rng_below(&s->rng, s->size), skip = dal_rng_below(&s->rng, s->n - s->size);
        int32_t in =
            (int32_t)skip; /* the candidate of this number among those that are not in it; members ascend */
        for (int64_t i = 0; i < s->size && member[i] <= in; i++)
            in++;
        memcpy(s->order, member, (size_t)s->size * sizeof *member);
        s->order[out] = in;
        return;
    }
    for (int64_t i = 0; i < s->size; i++) {
        const int64_t j = i + dal_rng_below(&s->rng, s->n - i);
        const int32_t t = s->order[i];
        s->order[i] = s->order[j];
        s->order[j] = t;
    }
}

static int ascending(const void *x, const void *y)
{
    const int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    return a < b ? -1 : a > b;
}

/* The set drawn into the archive, unless a member is as good in both. */
static dal_status offer(search *s, int64_t turn)
{
    archive *f = &s->found;
    int64_t a = 0, b = 0, low = 0, high = f->n;
    for (int64_t i = 0; i < s->size; i++) {
        a += s->p[s->order[i]].a;
        b += s->p[s->order[i]].b;
    }
    while (low < high) { /* the first member of a smaller sum of A */
        const int64_t mid = low + (high - low) / 2;
        if (f->a[mid] >= a)
            low = mid + 1;
        else
            high = mid;
    }
    if (low > 0 && f->b[low - 1] >= b) /* of those with as much A, the one with the most B */
        return DAL_OK;
    int64_t from = low, to = low; /* what it dominates: equal A before, and smaller A with no more B */
    if (from > 0 && f->a[from - 1] == a)
        from--;
    while (to < f->n && f->b[to] <= b)
        to++;
    if (f->n == f->room && to == from && !grow(s->host, f, s->size))
        return DAL_E_NOMEM;
    const int64_t tail = f->n - to;
    memmove(f->a + from + 1, f->a + to, (size_t)tail * sizeof *f->a);
    memmove(f->b + from + 1, f->b + to, (size_t)tail * sizeof *f->b);
    memmove(f->born + from + 1, f->born + to, (size_t)tail * sizeof *f->born);
    memmove(f->sets + (from + 1) * s->size, f->sets + to * s->size, (size_t)(tail * s->size) * sizeof *f->sets);
    f->n += 1 - (to - from);
    f->a[from] = a;
    f->b[from] = b;
    f->born[from] = turn;
    memcpy(f->sets + from * s->size, s->order, (size_t)s->size * sizeof *f->sets);
    qsort(f->sets + from * s->size, (size_t)s->size, sizeof *f->sets, ascending);
    return DAL_OK;
}

/* ---- has the front come to rest? ----------------------------------------------------------------------- */

static double squared(const double *x, const double *y)
{
    return (x[0] - y[0]) * (x[0] - y[0]) + (x[1] - y[1]) * (x[1] - y[1]);
}

/* Mean over pairs of the sum of five Gaussian kernels. */
static double mean_kernel(const double *x, int64_t n, const double *y, int64_t m, double width)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++)
            for (double w = width / 4; w <= 4 * width; w *= 2)
                sum += exp(-squared(x + 2 * i, y + 2 * j) / w);
    return sum / ((double)n * (double)m);
}

static double discrepancy(const double *x, int64_t n, const double *y, int64_t m)
{
    double sum = 0;
    for (int64_t i = 0; i < n + m; i++)
        for (int64_t j = 0; j < n + m; j++)
            sum += squared(i < n ? x + 2 * i : y + 2 * (i - n), j < n ? x + 2 * j : y + 2 * (j - n));
    const double pairs = (double)(n + m) * (double)(n + m - 1), width = pairs > 0 ? sum / pairs : 0;
    if (!(width > 0)) /* all the same */
        return 0;
    return mean_kernel(x, n, x, n, width) + mean_kernel(y, m, y, m, width) - 2 * mean_kernel(x, n, y, m, width);
}

static double range(const double *x)
{
    double low = x[0], high = x[0];
    for (int i = 1; i < LOOKS; i++) {
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
    }
    return high - low;
}

/* Compare the front with those of the last looks and remember it. *rest: 1 when it has come to rest. */
static dal_status look(search *s, int *rest)
{
    const archive *f = &s->found;
    const int slot = (int)(s->looks % LOOKS);
    const int64_t before = s->looks < LOOKS ? s->looks : LOOKS;
    double *now = dal_array(s->host, 2 * f->n, sizeof *now), sum = 0, square = 0;
    if (!now)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < f->n; i++) {
        now[2 * i] = (double)f->a[i] * 0x1p-40;
        now[2 * i + 1] = (double)f->b[i] * 0x1p-40;
    }
    for (int64_t k = 0; k < before; k++) {
        const double mmd = discrepancy(now, f->n, s->front[k], s->front_n[k]);
        sum += mmd;
        square += mmd * mmd;
    }
    const double mean = before ? sum / (double)before : (double)INFINITY;
    s->mean[slot] = mean;
    s->deviation[slot] = before ? sqrt(fmax(0, square / (double)before - mean * mean)) : (double)INFINITY;
    s->host->free(s->host, s->front[slot]);
    s->front[slot] = now;
    s->front_n[slot] = f->n;
    s->looks++;
    *rest = s->looks > LOOKS && range(s->mean) <= 0.01 && range(s->deviation) <= 0.01;
    return DAL_OK;
}

static dal_status explore(search *s, dal_error *err)
{
    int64_t draws;
    int rest = 0;
    if (s->opt->draws > 0)
        draws = s->opt->draws;
    else if (!dal_size_mul(s->size, s->n, &draws))
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld x %lld draws", (long long)s->size, (long long)s->n);
    s->order = dal_array(s->host, s->n, sizeof *s->order);
    dal_status st = s->order ? DAL_OK : DAL_E_NOMEM;
    for (int32_t i = 0; st == DAL_OK && i < s->n; i++)
        s->order[i] = i;
    for (int64_t t = 0; st == DAL_OK && !rest && t < draws; t++) {
        draw_set(s);
        st = offer(s, t);
        if (st == DAL_OK && (t + 1) % DRAWS_A_LOOK == 0) {
            s->host->progress(s->host, t + 1, draws, "sets");
            st = s->host->cancelled(s->host) ? DAL_E_CANCELLED : s->opt->stop_early ? look(s, &rest) : DAL_OK;
        }
    }
    if (st != DAL_OK)
        dal_fail(err, st, "",
                 st == DAL_E_CANCELLED ? "interrupted" : "no memory for the sets that nothing dominates");
    return st;
}

static void search_free(search *s)
{
    const dal_host *h = s->host;
    void *all[] = {s->order, s->found.a, s->found.b, s->found.born, s->found.sets};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    for (int i = 0; i < LOOKS; i++)
        h->free(h, s->front[i]);
}

/* ---- the choice ------------------------------------------------------------------------------------------ */

/* Candidates of the member whose samples occur most often, of equals that found first: rows [size] and how
 * often. */
static void choose(const search *s, int64_t *often, int64_t *rows, double *scores)
{
    const archive *f = &s->found;
    int64_t best = 0, most = -1;
    memset(often, 0, (size_t)s->n * sizeof *often);
    for (int64_t i = 0; i < f->n * s->size; i++)
        often[f->sets[i]]++;
    for (int64_t m = 0; m < f->n; m++) {
        int64_t sum = 0;
        for (int64_t i = 0; i < s->size; i++)
            sum += often[f->sets[m * s->size + i]];
        if (sum > most || (sum == most && f->born[m] < f->born[best])) {
            most = sum;
            best = m;
        }
    }
    const int32_t *set = f->sets + best * s->size;
    for (int64_t i = 0; i < s->size; i++) { /* insertion by count, then A, then row: as p is sorted */
        int64_t at = i;
        for (; at > 0 && scores[at - 1] < (double)often[set[i]]; at--) {
            scores[at] = scores[at - 1];
            rows[at] = rows[at - 1];
        }
        scores[at] = (double)often[set[i]];
        rows[at] = s->p[set[i]].row;
    }
}

static dal_status choose_from(const dal_stateless *self, const dal_view *view, point *p, int64_t n,
                              dal_picks *picks, dal_error *err)
{
    const dal_host *h = self->host;
    search s = {.host = h, .opt = self->options, .p = p, .n = n, .size = picks->want,
                .rng = h->rng(h, "sets", view->round)};
    int64_t *rows = dal_array(h, s.size, sizeof *rows), *often = dal_array(h, n, sizeof *often);
    dal_status st = rows && often ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for a set");
    if (st == DAL_OK && n > s.size) {
        qsort(p, (size_t)n, sizeof *p, best_first);
        st = explore(&s, err);
    }
    if (st == DAL_OK && n > s.size)
        choose(&s, often, rows, picks->scores);
    for (int64_t i = 0; st == DAL_OK && n == s.size && i < n; i++)
        rows[i] = p[i].row; /* layer by layer */
    if (st == DAL_OK)
        dal_pick_rows(view, rows, NULL, s.size, picks);
    search_free(&s);
    h->free(h, rows);
    h->free(h, often);
    return st;
}

static dal_status poal_select(void *q, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = q;
    const dal_host *h = self->host;
    const options *opt = self->options;
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES);
    int64_t enough;
    picks->n = 0;
    if (view->count(view, DAL_ROWS_LABELLED) == 0)
        return dal_fail(err, DAL_E_INVALID, "", "nothing is labelled, so nothing tells what is in distribution");
    if (!dal_size_mul(opt->factor, picks->want, &enough) || n > INT32_MAX)
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld candidates", (long long)n);
    double *a = dal_array(h, n, sizeof *a), *b = dal_array(h, n, sizeof *b);
    point *p = dal_array(h, n, sizeof *p), *spare = dal_array(h, n, sizeof *spare);
    dal_outputs o;
    dal_status st = a && b && p && spare
                        ? view->outputs(view, DAL_ROWS_CANDIDATES, &o, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)n);
    if (st == DAL_OK)
        st = confidence(h, opt, view, b, err);
    if (st == DAL_OK)
        dal_entropy(&o, a);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        if (isnan(a[i]))
            st = dal_fail(err, DAL_E_INVALID, "", "the outputs of sample %lld are not numbers",
                          (long long)view->ids(view, DAL_ROWS_CANDIDATES)[i]);
    if (st == DAL_OK) {
        make_points(a, b, n, p);
        st = choose_from(self, view, p, peel(p, n, enough, spare), picks, err);
    }
    void *all[] = {a, b, p, spare};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    return st;
}

static void poal_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const options *o = self ? ((const dal_stateless *)self)->options : opt;
    const double n = (double)problem->n, d = (double)problem->d, c = (double)problem->c,
                 b = (double)problem->n_query;
    const double most = fmin(n, (double)o->factor * b), draws = o->draws > 0 ? (double)o->draws : b * most;
    out->bytes = 64 * n + 8 * (d * d + 2 * c * d) + 2 * 64 * 8 * d + 4 * b * 2000 + 12 * most;
    out->flops = (double)problem->n_labelled * d * d + d * d * d / 3 + n * d * (d + 3 * c) + 20 * draws * b;
    snprintf(out->formula, sizeof out->formula,
             "O(n d (d + c) + n_l d^2 + draws b) time, O(n + d^2 + b front) memory");
}

static const dal_strategy_impl poal_impl = {
    .struct_size = sizeof poal_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = poal_select,
    .cost = poal_cost,
};

/* The model's own passes and the width of its inputs are not told here: the last layer stands for the ones, an image of
 * 3 x 32 x 32 for the other. */
static void step_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    poal_cost(self, opt, problem, out);
    const double n = (double)problem->n, c = (double)problem->c, d = (double)problem->d;
    out->bytes += 2 * 256 * 4 * (2 * 3072 + 2 * d) + 2 * 256 * 16 * d;
    out->flops += n * (8 * c * d + d * (2 * d + 3 * c));
    snprintf(out->formula, sizeof out->formula,
             "O(n d (d + c) + n_l d^2 + draws b) time + n x (1 backward, 2 forward passes), O(n + d^2 + b front) "
             "memory");
}

static const dal_strategy_impl step_impl = {
    .struct_size = sizeof step_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = poal_select,
    .cost = step_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, factor, I64, "6", "1..1000", "", "peel until there are so many candidates a pick")                \
    P(T, draws, I64, "0", "0..", "sets", "how many sets to try; 0: picks x candidates left")               \
    P(T, stop_early, BOOL, "true", "", "", "stop when the front has come to rest")                         \
    P(T, swap, BOOL, "false", "", "", "exchange one sample of a set found, in place of drawing a new one")
#define STEP_PARAMS(P, T)                                                                                  \
    P(T, step, F64, "0.01", "(0..", "input units", "how far each value moves towards the nearest class")   \
    PARAMS(P, T)
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "poal", poal_impl, "uncertain and in distribution: a set no other beats in both",          \
      "Zhan et al., TMLR 2023", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)                 \
    C(STRATEGY, "poal-step", step_impl, "poal, in distribution after a step of the inputs towards a class", \
      "Zhan et al., TMLR 2023; Lee et al., NeurIPS 2018",                                                  \
      DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES " " DAL_CAP_INPUT_GRADIENT " " DAL_CAP_FEATURE_GRADIENT, "", options,       \
      STEP_PARAMS)
#define SETS                                                                                           \
    "b-subsets with no other better in both sum H(p) and sum M, M = max_c -1/2 (h - mu_c) "            \
    "Sigma^-1 (h - mu_c); of these the one of the most frequent samples"
#define ABOUT(A)                                                                                       \
    A(STRATEGY, "poal", SETS,                                                                          \
      "B grows with nearness, where the authors' deep code turns it round; one layer, no mixtures; "   \
      "poal-step has their step of the inputs; swap by option")                                        \
    A(STRATEGY, "poal-step", SETS "; M of h(x + step sign(dM / dx))",                                  \
      "as poal; the step is in the model's input units, the code's in deviations of a channel")
DAL_MODULE_ABOUT(poal, "1.1", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
