/* bait: the batch after which the last layer would be known best.
 *
 * Ash, Goel, Krishnamurthy, Kakade, "Gone fishing: neural active learning with Fisher embeddings", NeurIPS 2021,
 * algorithm 1. With I(x) the Fisher information of sample x in the last layer's weights, expected over the classes as
 * the model sees them (dal/information.h), F its mean over the whole round, labelled or not, and l the labelled
 * samples, the batch S is to minimise
 *
 *     tr(M_S^-1 F),   M_S = lambda I + 1/l sum over labelled I(x) + sum over S I(x).
 *
 *   forward   `oversample` times b picks (at most all): each the x of smallest tr((M + I(x))^-1 F)
 *   backward  down to b: away with the x of smallest tr((M - I(x))^-1 F)
 *
 * Ties: the lowest row. With I(x) = V V', by Woodbury's identity
 *
 *     tr((M + s V V')^-1 F) = tr(M^-1 F) - s tr((I + s G)^-1 T),   G = V' M^-1 V,  T = V' M^-1 F M^-1 V,  s = +-1
 *
 * The authors' code makes G and T anew for every x and pick: O(n m^2 c), m = c d. But one pick, z, changes M^-1 by
 * s U U' only, with U = M^-1 V_z (I + s G_z)^-1/2 [m, c]; so G and T of every x follow from V' U and V' M^-1 F U, for
 * O(n d c^2), exactly. That is d times less, and a pass over h a pick.
 *
 * variant   code: M and the picks weigh as in the authors' code, lambda I + (l / (l + b)) mean + (b / (l + b)) sum
 * bias      the bias belongs to the layer, too; not so in their code
 *
 * Scores are what a sample took off the trace when it was picked. Needs outputs and features. O(n m^2 + m^3) time
 * once, then O(n d c^2 + m^2 c) a pick; 8 n (d + 2 c^2) + 24 m^2 bytes: refused above `max_parameters`.
 */
#include <dal/information.h>
#include <dal/linalg.h>
#include <dal/select.h>
#include <dal/symmetric.h>

#include <math.h>

#define TILE 64 /* samples, or rows of a matrix, a task */
#define VARIANT_PAPER 0u

typedef struct options {
    double lambda, oversample;
    uint32_t variant;
    int32_t bias;
    int64_t max_parameters;
} options;

/* Samples, and what the steps so far made of each. */
typedef struct group {
    const dal_host *host;
    dal_softmax_rows rows;
    double *g, *t;        /* [n, c, c] G and T, of the steps before `step` */
    double *score;        /* [n] tr((I + s G)^-1 T) */
    unsigned char *gone;  /* [n] 1: not asked about any more */
    double weight;        /* of I(x) in M */
    const double *step;   /* [w, 2, c, c] by feature: U, and M^-1 F U - s/2 U (U' F U); NULL: none yet */
    double step_sign, sign;
} group;

typedef struct design {
    const dal_host *host;
    int64_t m;
    dal_softmax_rows labelled;
    group all, kept;         /* candidates; those the forward pass takes */
    double *p, *f, *scratch; /* [m, m] M^-1, F */
    double *u, *fu;          /* [m, c] */
    double *step;            /* [w, 2, c, c] */
    const double *h, *pi;    /* of the sample a step is about */
    double *root, *e;        /* [c, c] Cholesky's factor of I + s G, U' F U */
    int64_t *order;          /* [b oversample] rows of `all` in the order taken */
    double *gain;            /* likewise */
} design;

/* ---- all samples ------------------------------------------------------------------------------ */

/* G -= s X X', T -= s (X Y' + Y X'); x, y [c, c] are V' U and V' (M^-1 F U - s/2 U (U' F U)). */
static void take_step(int64_t c, double s, const double *x, const double *y, double *g, double *t)
{
    for (int64_t k = 0; k < c; k++)
        for (int64_t l = 0; l <= k; l++) {
            double xx = 0, xy = 0;
            for (int64_t j = 0; j < c; j++) {
                xx += x[k * c + j] * x[l * c + j];
                xy += x[k * c + j] * y[l * c + j] + y[k * c + j] * x[l * c + j];
            }
            g[l * c + k] = g[k * c + l] -= s * xx;
            t[l * c + k] = t[k * c + l] -= s * xy;
        }
}

static dal_status tile_step(const group *q, int64_t first, int64_t n, double *products)
{
    const int64_t c = q->rows.c, w = q->rows.w, cc = c * c;
    const double root = sqrt(q->weight);
    const dal_status st = dal_dgemm_nn(n, 2 * cc, w, root, q->rows.h + first * w, w, q->step, 2 * cc, 0, products,
                                       2 * cc);
    for (int64_t i = 0; i < n; i++) {
        double *x = products + 2 * i * cc, *y = x + cc;
        dal_information_project(q->rows.pi + (first + i) * c, c, c, x);
        dal_information_project(q->rows.pi + (first + i) * c, c, c, y);
        take_step(c, q->step_sign, x, y, q->g + (first + i) * cc, q->t + (first + i) * cc);
    }
    return st;
}

static dal_status score_tile(void *ctx, int64_t tile)
{
    const group *q = ctx;
    const int64_t first = tile * TILE, left = q->rows.n - first, n = left < TILE ? left : TILE, c = q->rows.c;
    const size_t bytes = (size_t)(c * c) * sizeof(double);
    double *room = dal_array(q->host, 2 * TILE * c * c, sizeof *room);
    dal_status st = room ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK && q->step)
        st = tile_step(q, first, n, room);
    for (int64_t i = first; st == DAL_OK && i < first + n; i++) {
        if (q->gone[i])
            continue;
        memcpy(room, q->g + i * c * c, bytes);
        st = dal_information_trace(c, q->sign, room, q->t + i * c * c, q->score + i);
    }
    q->host->free(q->host, room);
    return st;
}

/* Scores of the choice to come, after the last step. */
static dal_status score_group(group *q, double sign, dal_error *err)
{
    q->sign = sign;
    const dal_status st = q->host->parallel_for(q->host, (q->rows.n + TILE - 1) / TILE, score_tile, q);
    if (st == DAL_E_NOMEM)
        return dal_fail(err, st, "", "no memory for a tile of %lld classes", (long long)q->rows.c);
    if (st != DAL_OK)
        return dal_fail(err, st, "lambda", "the information is degenerate in double precision; raise lambda");
    return q->host->cancelled(q->host) ? dal_fail(err, DAL_E_CANCELLED, "", "interrupted") : DAL_OK;
}

static dal_status first_tile(void *ctx, int64_t tile)
{
    const design *d = ctx;
    const group *q = &d->all;
    const int64_t first = tile * TILE, left = q->rows.n - first, n = left < TILE ? left : TILE;
    const int64_t cc = q->rows.c * q->rows.c;
    double *room = dal_array(d->host, TILE * d->m, sizeof *room);
    dal_status st = room ? DAL_OK : DAL_E_NOMEM;
    if (st == DAL_OK)
        st = dal_information_forms(&q->rows, first, n, d->p, room, q->g + first * cc);
    if (st == DAL_OK)
        st = dal_information_forms(&q->rows, first, n, d->scratch, room, q->t + first * cc);
    for (int64_t i = first * cc; st == DAL_OK && i < (first + n) * cc; i++) {
        q->g[i] *= q->weight;
        q->t[i] *= q->weight;
    }
    d->host->free(d->host, room);
    return st;
}

/* ---- one step: M + s V V' for the sample at d->h, d->pi ----------------------------------------- */

/* U = M^-1 V L'^-1, L L' = I + s G: rows of it, each from a row of M^-1. */
static dal_status u_tile(void *ctx, int64_t tile)
{
    const design *d = ctx;
    const int64_t c = d->all.rows.c, w = d->all.rows.w, m = d->m, end = (tile + 1) * TILE < m ? (tile + 1) * TILE : m;
    for (int64_t r = tile * TILE; r < end; r++) {
        double *u = d->u + r * c, mean = 0;
        for (int64_t k = 0; k < c; k++) {
            u[k] = 0;
            for (int64_t a = 0; a < w; a++)
                u[k] += d->p[r * m + k * w + a] * d->h[a];
            mean += d->pi[k] * u[k];
        }
        for (int64_t k = 0; k < c; k++) {
            u[k] = sqrt(d->all.weight * d->pi[k]) * (u[k] - mean);
            for (int64_t j = 0; j < k; j++)
                u[k] -= d->root[k * c + j] * u[j];
            u[k] /= d->root[k * c + k];
        }
    }
    return DAL_OK;
}

static dal_status fu_tile(void *ctx, int64_t tile)
{
    const design *d = ctx;
    const int64_t c = d->all.rows.c, m = d->m, first = tile * TILE, n = m - first < TILE ? m - first : TILE;
    return dal_dgemm_nn(n, c, m, 1, d->f + first * m, m, d->u, c, 0, d->fu + first * c, c);
}

/* Rows of M^-1 F U - s/2 U E into the step, beside those of U; then M^-1 -= s U U', of which only these rows are read
 * here. */
static dal_status step_tile(void *ctx, int64_t tile)
{
    const design *d = ctx;
    const int64_t c = d->all.rows.c, w = d->all.rows.w, m = d->m, first = tile * TILE;
    const int64_t n = m - first < TILE ? m - first : TILE;
    const double s = d->all.step_sign;
    double *z = dal_array(d->host, TILE * c, sizeof *z);
    if (!z)
        return DAL_E_NOMEM;
    dal_status st = dal_dgemm_nn(n, c, m, 1, d->p + first * m, m, d->fu, c, 0, z, c);
    if (st == DAL_OK)
        st = dal_dgemm_nn(n, c, c, -s / 2, d->u + first * c, c, d->e, c, 1, z, c);
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = (first + i) / w, a = (first + i) % w;
        memcpy(d->step + (a * 2 * c + k) * c, d->u + (first + i) * c, (size_t)c * sizeof *z);
        memcpy(d->step + (a * 2 * c + c + k) * c, z + i * c, (size_t)c * sizeof *z);
    }
    if (st == DAL_OK)
        st = dal_dgemm_nt(n, m, c, -s, d->u + first * c, c, d->u, c, 1, d->p + first * m, m);
    d->host->free(d->host, z);
    return st;
}

/* Sample `row` of q joins M (sign 1) or leaves it (-1). */
static dal_status make_step(design *d, group *q, int64_t row, double sign, dal_error *err)
{
    const int64_t c = q->rows.c, tasks = (d->m + TILE - 1) / TILE;
    const dal_host *host = d->host;
    d->h = q->rows.h + row * q->rows.w;
    d->pi = q->rows.pi + row * c;
    d->all.step_sign = d->kept.step_sign = sign;
    d->all.step = d->kept.step = d->step;
    for (int64_t k = 0; k < c; k++)
        for (int64_t l = 0; l < c; l++)
            d->root[k * c + l] = (k == l) + sign * q->g[(row * c + k) * c + l];
    dal_status st = dal_cholesky(c, d->root, err);
    if (st == DAL_OK)
        st = host->parallel_for(host, tasks, u_tile, d);
    if (st == DAL_OK)
        st = host->parallel_for(host, tasks, fu_tile, d);
    if (st == DAL_OK)
        st = dal_dgemm_tn(c, c, d->m, 1, d->u, c, d->fu, c, 0, d->e, c);
    if (st == DAL_OK && (st = host->parallel_for(host, tasks, step_tile, d)) != DAL_OK)
        dal_fail(err, st, "", "no memory for a step");
    return st;
}

/* ---- the two passes --------------------------------------------------------------------------- */

/* The row of the largest (sign 1) or smallest (-1) score; the first of equals. */
static int64_t best_of(const group *q)
{
    int64_t best = -1;
    for (int64_t i = 0; i < q->rows.n; i++)
        if (!q->gone[i] && (best < 0 || q->sign * q->score[i] > q->sign * q->score[best]))
            best = i;
    return best;
}

static dal_status forward(design *d, int64_t n, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t k = 0; st == DAL_OK && k < n; k++) {
        st = score_group(&d->all, 1, err);
        if (st == DAL_OK) {
            const int64_t row = d->order[k] = best_of(&d->all);
            d->gain[k] = d->all.score[row];
            d->all.gone[row] = 1;
            st = make_step(d, &d->all, row, 1, err);
        }
    }
    return st;
}

static dal_status group_new(group *q, const dal_host *host, int64_t n, int64_t c, dal_error *err)
{
    int64_t cells = 0;
    q->host = host;
    const int fits = dal_size_mul(n, c, &cells) && dal_size_mul(cells, c, &cells);
    q->g = fits ? dal_array(host, cells, sizeof *q->g) : NULL;
    q->t = fits ? dal_array(host, cells, sizeof *q->t) : NULL;
    q->score = dal_array(host, n, sizeof *q->score);
    q->gone = dal_array(host, n, 1);
    if (!q->g || !q->t || !q->score || !q->gone)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the information of %lld samples", (long long)n);
    memset(q->gone, 0, (size_t)n);
    return DAL_OK;
}

static void group_free(group *q)
{
    if (!q->host)
        return;
    q->host->free(q->host, q->g);
    q->host->free(q->host, q->t);
    q->host->free(q->host, q->score);
    q->host->free(q->host, q->gone);
    dal_softmax_rows_free(q->host, &q->rows);
}

/* The n samples that the forward pass took, in that order. */
static dal_status keep(design *d, int64_t n, dal_error *err)
{
    const group *from = &d->all;
    const int64_t c = from->rows.c, w = from->rows.w;
    group *to = &d->kept;
    to->rows = (dal_softmax_rows){.struct_size = sizeof to->rows, .n = n, .c = c, .w = w};
    to->weight = from->weight;
    dal_status st = group_new(to, d->host, n, c, err);
    to->rows.pi = dal_array(d->host, n * c, sizeof(double));
    to->rows.h = dal_array(d->host, n * w, sizeof(double));
    if (st == DAL_OK && (!to->rows.pi || !to->rows.h))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)n);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        const int64_t row = d->order[i];
        memcpy(to->rows.pi + i * c, from->rows.pi + row * c, (size_t)c * sizeof(double));
        memcpy(to->rows.h + i * w, from->rows.h + row * w, (size_t)w * sizeof(double));
        memcpy(to->g + i * c * c, from->g + row * c * c, (size_t)(c * c) * sizeof(double));
        memcpy(to->t + i * c * c, from->t + row * c * c, (size_t)(c * c) * sizeof(double));
    }
    return st;
}

static dal_status backward(design *d, int64_t n, int64_t b, dal_error *err)
{
    dal_status st = keep(d, n, err);
    for (; st == DAL_OK && n > b; n--) {
        st = score_group(&d->kept, -1, err);
        if (st == DAL_OK) {
            const int64_t row = best_of(&d->kept);
            d->kept.gone[row] = 1;
            st = make_step(d, &d->kept, row, -1, err);
        }
    }
    return st;
}

/* ---- the strategy ----------------------------------------------------------------------------- */

static int64_t forward_picks(const options *opt, int64_t n, int64_t b)
{
    const double steps = floor(opt->oversample * (double)b);
    return steps < (double)n ? (int64_t)steps : n;
}

static dal_status allocate(design *d, int64_t steps, dal_error *err)
{
    const dal_host *host = d->host;
    const int64_t c = d->all.rows.c, m = d->m;
    int64_t cells = 0;
    const int fits = dal_size_mul(m, m, &cells);
    double **squares[] = {&d->p, &d->f, &d->scratch};
    for (int i = 0; fits && i < 3; i++)
        if ((*squares[i] = dal_array(host, cells, sizeof(double))))
            memset(*squares[i], 0, (size_t)cells * sizeof(double));
    d->u = dal_array(host, m * c, sizeof *d->u);
    d->fu = dal_array(host, m * c, sizeof *d->fu);
    d->step = dal_array(host, 2 * m * c, sizeof *d->step);
    d->root = dal_array(host, c * c, sizeof *d->root);
    d->e = dal_array(host, c * c, sizeof *d->e);
    d->order = dal_array(host, steps, sizeof *d->order);
    d->gain = dal_array(host, steps, sizeof *d->gain);
    if (!d->p || !d->f || !d->scratch || !d->u || !d->fu || !d->step || !d->root || !d->e || !d->order || !d->gain)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the information of %lld parameters", (long long)m);
    return group_new(&d->all, host, d->all.rows.n, c, err);
}

/* M^-1, F, and G and T of every candidate. */
static dal_status begin(design *d, const options *opt, int64_t b, dal_error *err)
{
    const dal_host *host = d->host;
    const int64_t n = d->all.rows.n, l = d->labelled.n, m = d->m;
    const int paper = opt->variant == VARIANT_PAPER;
    d->all.weight = paper ? 1 : (double)b / (double)(l + b);
    dal_status st = dal_information_add(host, &d->all.rows, 1 / (double)(n + l), 0, d->f, err);
    if (st == DAL_OK && l > 0)
        st = dal_information_add(host, &d->labelled, 1 / (double)(n + l), 0, d->f, err);
    if (st == DAL_OK && l > 0)
        st = dal_information_add(host, &d->labelled, 1 / (double)(paper ? l : l + b), 0, d->p, err);
    for (int64_t i = 0; i < m; i++)
        d->p[i * m + i] += opt->lambda;
    if (st == DAL_OK)
        st = dal_information_invert(host, m, d->p, d->scratch, err);
    double *half = st == DAL_OK ? dal_array(host, m * m, sizeof *half) : NULL;
    if (st == DAL_OK && !half)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for the information of %lld parameters", (long long)m);
    if (st == DAL_OK)
        st = dal_information_sandwich(host, m, d->p, d->f, half, d->scratch);
    host->free(host, half);
    if (st == DAL_OK && (st = host->parallel_for(host, (n + TILE - 1) / TILE, first_tile, d)) != DAL_OK)
        dal_fail(err, st, "", "no memory for a tile of %lld parameters", (long long)m);
    return st;
}

static void design_free(design *d)
{
    void *const owned[] = {d->p, d->f, d->scratch, d->u, d->fu, d->step, d->root, d->e, d->order, d->gain};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        d->host->free(d->host, owned[i]);
    dal_softmax_rows_free(d->host, &d->labelled);
    group_free(&d->all);
    group_free(&d->kept);
}

static dal_status bait_select(void *self_, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = self_;
    const options *opt = self->options;
    design d = {.host = self->host, .all = {.host = self->host}};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    const int64_t b = picks->want, steps = forward_picks(opt, view->count(view, DAL_ROWS_CANDIDATES), b);
    dal_status st = dal_softmax_rows_read(d.host, view, DAL_ROWS_CANDIDATES, opt->bias, &d.all.rows, err);
    if (st == DAL_OK)
        st = dal_information_bound(d.all.rows.c, d.all.rows.w, opt->max_parameters, err);
    d.m = st == DAL_OK ? d.all.rows.c * d.all.rows.w : 0;
    if (st == DAL_OK)
        st = dal_softmax_rows_read(d.host, view, DAL_ROWS_LABELLED, opt->bias, &d.labelled, err);
    if (st == DAL_OK)
        st = allocate(&d, steps, err);
    if (st == DAL_OK)
        st = begin(&d, opt, b, err);
    if (st == DAL_OK)
        st = forward(&d, steps, err);
    if (st == DAL_OK)
        st = backward(&d, steps, b, err);
    for (int64_t k = 0; st == DAL_OK && k < steps; k++)
        if (!d.kept.gone[k]) {
            picks->ids[picks->n] = view->ids(view, DAL_ROWS_CANDIDATES)[d.order[k]];
            picks->scores[picks->n++] = d.gain[k];
        }
    design_free(&d);
    return st;
}

static void bait_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : options_;
    const double n = (double)problem->n, l = (double)problem->n_labelled, c = (double)problem->c;
    const double w = (double)problem->d + (opt->bias ? 1 : 0), m = c * w, b = (double)problem->n_query;
    const double steps = fmin(n, opt->oversample * b), a_pick = 4 * w * c * c + 4 * c * c * c;
    out->bytes = 8 * (n + l) * (c + w) + (n + steps) * (16 * c * c + 9) + 8 * steps * (c + w + 2) + 32 * m * m +
                 32 * m * c + 16 * TILE * (2 * c * c + m) + 4096 * w;
    out->flops = 3 * (n + l) * m * m + 7 * m * m * m + steps * (n * a_pick + 8 * m * m * c) +
                 (steps - b) * (steps * a_pick + 8 * m * m * c);
    snprintf(out->formula, sizeof out->formula,
             "O(n m^2 + m^3 + b (n d c^2 + m^2 c)) time, O(n (d + c^2) + m^2) memory, m = c d");
}

static const dal_strategy_impl bait_impl = {
    .struct_size = sizeof bait_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = bait_select,
    .cost = bait_cost,
};

#define PARAMS(P, T)                                                                                             \
    P(T, lambda, F64, "1", "(0..)", "", "the ridge: what is known of the weights before any label")              \
    P(T, oversample, F64, "2", "1..1000", "", "the forward pass takes so many times b")                          \
    P(T, variant, CHOICE, "paper", "paper|code", "", "weights of M as in the paper or in the authors' code")     \
    P(T, bias, BOOL, "false", "", "", "the bias belongs to the layer")                                           \
    P(T, max_parameters, I64, "6000", "1..30000", "", "refuse where c d is more than this")
#define COMPONENTS(C)                                                                                            \
    C(STRATEGY, "bait", bait_impl, "the batch after which the last layer's weights are known best",              \
      "Ash et al., NeurIPS 2021", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                      \
    A(STRATEGY, "bait",                                                                               \
      "argmin_S tr(M_S^-1 F), M_S = lambda I + 1/l sum_L I(x) + sum_S I(x); forward to `oversample` " \
      "b, then back to b",                                                                            \
      "variant: code weighs M and the picks as the authors' code does; the bias is no part of the "   \
      "layer unless asked")
DAL_MODULE_ABOUT(bait, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
