/* batchbald: a batch whose answers together tell most about the model's weights.
 *
 * Kirsch, van Amersfoort, Gal, "BatchBALD: efficient and diverse batch acquisition for deep Bayesian active
 * learning", NeurIPS 2019, with K stochastic passes P_k for the posterior over weights w. Greedily (algorithm 1):
 *
 *     S = {}
 *     b times: x = argmax I(y_S, y_x; w),  S = S and {x}
 *
 * The weights make the answers independent, so what x adds is, by the chain rule,
 *
 *     I(y_S, y_x; w) - I(y_S; w) = I(y_x; w) - I(y_x; y_S)        BALD(x), less what S says of x already
 *
 * and that is what is computed, for every configuration m of answers to S (dal/joint.h):
 *
 *     weight_m = mean_k J_mk,  J_mk = prod_{i in S} P_k(i, m_i)   (in logarithms: products underflow)
 *     I(y_x; y_S) = sum_m weight_m KL( p(y_x | m) || p(y_x) ),  p(y_x | m) = sum_k J_mk P_k(x, .) / sum_k J_mk
 *
 * Exact: all c^|S| configurations while there are at most `configurations`. Beyond, that many are drawn, an equal
 * number from each pass, and each weighs the same (section 3.3 and appendix C there). The paper estimates the
 * entropy H(y_S, y_x) from them; the sum of divergences has the same expectation, and no noise where S says
 * nothing of x. It is never negative, so BALD(x) bounds what x can add: in both modes only samples whose bound
 * reaches the best of those looked at are looked at, and the pick is the one a look at all would give.
 *
 * K passes can be told apart by ln K nats at most. Once no candidate adds more than a millionth of a nat the batch
 * tells all there is; the rest of the picks are those of the largest BALD left, and score 0.
 *
 * O(K M c) a sample looked at, M configurations; 4 n c (K + 1) bytes beside the passes. Ties: the lowest pool
 * index. A candidate with NaN in its passes is an error. The score of a pick is what it added, in nats.
 */
#include <dal/joint.h>
#include <dal/mc.h>
#include <dal/select.h>
#include <dal/topk.h>

#include <math.h>
#include <stdlib.h>

#define BLOCK DAL_JOINT_ACROSS
#define AT_ONCE 16     /* blocks looked at between two looks at the best */
#define NOTHING (1e-6) /* nats: what rounding leaves of nothing */

typedef struct options {
    int64_t passes, configurations, pool_subset;
} options;

typedef struct batch {
    const dal_host *host;
    const options *opt;
    dal_tensor3 t; /* [passes, candidates, c] */
    uint32_t kind;
    int64_t n;       /* candidates in play, by falling BALD */
    int64_t *rows;   /* [n] of t */
    double *bald;    /* [n] */
    double *bound;   /* [n] the last exact gain; -1: picked */
    double *gain;    /* [n] as last looked at */
    dal_joint pool;  /* the n, packed */
    int64_t *picks;  /* [n_picks] of the n: S */
    int64_t n_picks;
    double *log_p;   /* [n_picks, passes, c] ln P of the picks */
    int sampled;     /* else exact */
    int64_t n_configurations;
    double *log_j;   /* [n_configurations, passes] */
    dal_joint_events events; /* the configurations, as what may be answered about S */
} batch;

/* ---- the candidates --------------------------------------------------------------------------- */

#define ROWS 256

typedef struct bald_job {
    const batch *b;
    double *out;
} bald_job;

static dal_status bald_task(void *ctx, int64_t i)
{
    const bald_job *j = ctx;
    const int64_t first = i * ROWS, left = j->b->t.rows - first;
    return dal_mc_bald(j->b->host, &j->b->t, j->b->kind, first, left < ROWS ? left : ROWS, j->out + first, NULL);
}

/* BALD of all candidates, and the n best of them into rows and bald. */
static dal_status rank_candidates(batch *b, const dal_view *view, dal_error *err)
{
    const int64_t all = b->t.rows;
    double *scores = dal_array(b->host, all, sizeof *scores);
    bald_job j = {b, scores};
    dal_topk best;
    dal_status st = scores ? b->host->parallel_for(b->host, (all + ROWS - 1) / ROWS, bald_task, &j) : DAL_E_NOMEM;
    if (st != DAL_OK)
        dal_fail(err, st, "", "no memory for the scores of %lld candidates", (long long)all);
    for (int64_t i = 0; st == DAL_OK && i < all; i++)
        if (isnan(scores[i]))
            st = dal_fail(err, DAL_E_INVALID, "", "the passes over sample %lld hold a value that is not a number; "
                          "did the model diverge?", (long long)view->ids(view, DAL_ROWS_CANDIDATES)[i]);
    if (st == DAL_OK) {
        dal_topk_init(&best, b->n, DAL_LARGEST_FIRST, b->bald, b->rows);
        dal_topk_push(&best, scores, 0, all);
        dal_topk_sort(&best);
        memcpy(b->bound, b->bald, (size_t)b->n * sizeof *b->bound);
    }
    b->host->free(b->host, scores);
    return st;
}

/* ---- configurations of answers to S ----------------------------------------------------------- */

/* ln P_k(x, .) of the latest pick; -infinity for 0. */
static void load_log_p(batch *b)
{
    const int64_t c = b->t.cols, row = b->rows[b->picks[b->n_picks - 1]];
    double *out = b->log_p + (b->n_picks - 1) * b->t.passes * c;
    for (int64_t k = 0; k < b->t.passes; k++, out += c) {
        const float *z = b->t.data + (k * b->t.rows + row) * c;
        double max = -(double)INFINITY, sum = 0;
        for (int64_t y = 0; y < c; y++) {
            out[y] = b->kind == DAL_LOGITS ? (double)z[y] : log((double)z[y]);
            max = out[y] > max ? out[y] : max;
        }
        for (int64_t y = 0; y < c; y++)
            sum += exp(out[y] - max);
        for (int64_t y = 0; y < c; y++)
            out[y] -= max + log(sum);
    }
}

static void add_row(double *to, const double *log_p, int64_t passes, int64_t c, int64_t y)
{
    for (int64_t k = 0; k < passes; k++)
        to[k] += log_p[k * c + y];
}

/* Every configuration with every answer to the latest pick; from the last on, so that it can stay in place. */
static void extend_configurations(batch *b)
{
    const int64_t c = b->t.cols, passes = b->t.passes;
    const double *log_p = b->log_p + (b->n_picks - 1) * passes * c;
    for (int64_t m = b->n_configurations - 1; m >= 0; m--)
        for (int64_t y = c - 1; y >= 0; y--) {
            double *to = b->log_j + (m * c + y) * passes;
            memmove(to, b->log_j + m * passes, (size_t)passes * sizeof *to);
            add_row(to, log_p, passes, c, y);
        }
    b->n_configurations *= c;
}

static int64_t draw_answer(dal_rng *r, const double *log_p, int64_t c)
{
    double left = dal_rng_uniform(r);
    int64_t last = 0;
    for (int64_t y = 0; y < c; y++) {
        const double p = exp(log_p[y]);
        if (p <= 0)
            continue;
        last = y;
        left -= p;
        if (left < 0)
            break;
    }
    return last;
}

/* As many from each pass; fresh ones for every S. */
static void draw_configurations(batch *b, int64_t round)
{
    const int64_t c = b->t.cols, passes = b->t.passes, each = b->opt->configurations / passes;
    const dal_rng stream = b->host->rng(b->host, "configurations", round);
    dal_rng r = dal_rng_at(&stream, (uint64_t)b->n_picks);
    b->n_configurations = passes * (each > 0 ? each : 1);
    memset(b->log_j, 0, (size_t)(b->n_configurations * passes) * sizeof *b->log_j);
    for (int64_t m = 0; m < b->n_configurations; m++)
        for (int64_t i = 0; i < b->n_picks; i++) {
            const double *log_p = b->log_p + i * passes * c;
            const int64_t from = m % passes; /* the pass that answers */
            add_row(b->log_j + m * passes, log_p, passes, c, draw_answer(&r, log_p + from * c, c));
        }
}

static void fill_events(batch *b, double *given)
{
    const int64_t passes = b->t.passes;
    dal_joint_events_clear(&b->events);
    for (int64_t m = 0; m < b->n_configurations; m++) {
        const double *log_j = b->log_j + m * passes;
        double max = -(double)INFINITY, sum = 0;
        for (int64_t k = 0; k < passes; k++)
            max = log_j[k] > max ? log_j[k] : max;
        if (isinf(max)) /* cannot happen */
            continue;
        for (int64_t k = 0; k < passes; k++)
            sum += given[k] = exp(log_j[k] - max);
        const double weight = exp(max) * sum / (double)passes;
        dal_joint_events_add(&b->events, b->sampled ? 1 / (double)b->n_configurations : weight, given);
    }
}

/* The configurations of S with its latest member. */
static void ask_about(batch *b, int64_t round, double *given)
{
    load_log_p(b);
    b->sampled |= b->n_configurations > b->opt->configurations / b->t.cols;
    if (b->sampled)
        draw_configurations(b, round);
    else
        extend_configurations(b);
    fill_events(b, given);
}

/* ---- looking at candidates -------------------------------------------------------------------- */

typedef struct block_bound {
    double bound;
    int64_t block;
} block_bound;

static int highest_first(const void *a, const void *b)
{
    const block_bound *x = a, *y = b;
    if (x->bound != y->bound)
        return x->bound > y->bound ? -1 : 1;
    return x->block < y->block ? -1 : 1;
}

/* What the best of each block can add at most: BALD, and in exact mode no more than it did for a smaller S
 * (mutual information of a batch is submodular), with room for rounding. */
static void bound_blocks(const batch *b, block_bound *blocks, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        blocks[i] = (block_bound){-1, i};
    for (int64_t i = 0; i < b->n; i++) {
        const double bound = b->sampled && b->bound[i] >= 0 ? b->bald[i] : b->bound[i] + 1e-5 * b->bald[i];
        if (b->bound[i] >= 0 && bound > blocks[i / BLOCK].bound)
            blocks[i / BLOCK].bound = bound;
    }
    qsort(blocks, (size_t)n, sizeof *blocks, highest_first);
}

typedef struct look_job {
    batch *b;
    const block_bound *blocks;
} look_job;

static dal_status look_task(void *ctx, int64_t i)
{
    const look_job *j = ctx;
    batch *b = j->b;
    const int64_t block = j->blocks[i].block;
    double told[BLOCK];
    if (b->host->cancelled(b->host))
        return DAL_E_CANCELLED;
    dal_joint_information(&b->events, &b->pool, block, told);
    for (int64_t l = 0; l < BLOCK && block * BLOCK + l < b->n; l++)
        b->gain[block * BLOCK + l] = b->bald[block * BLOCK + l] - told[l];
    return DAL_OK;
}

/* The better of the best so far (-1: none) and the members of a block. */
static int64_t better_of(batch *b, int64_t block, int64_t best)
{
    for (int64_t i = block * BLOCK; i < (block + 1) * BLOCK && i < b->n; i++) {
        if (b->bound[i] < 0)
            continue;
        if (!b->sampled)
            b->bound[i] = b->gain[i] > 0 ? b->gain[i] : 0;
        if (best < 0 || b->gain[i] > b->gain[best] || (b->gain[i] == b->gain[best] && b->rows[i] < b->rows[best]))
            best = i;
    }
    return best;
}

/* x = argmax of what it adds, over those not picked yet. */
static dal_status look(batch *b, block_bound *blocks, int64_t *best)
{
    const int64_t n = (b->n + BLOCK - 1) / BLOCK;
    dal_status st = DAL_OK;
    *best = -1;
    bound_blocks(b, blocks, n);
    for (int64_t first = 0; st == DAL_OK && first < n; first += AT_ONCE) {
        const int64_t some = n - first < AT_ONCE ? n - first : AT_ONCE;
        look_job j = {b, blocks + first};
        if (*best >= 0 && blocks[first].bound < b->gain[*best])
            break;
        st = b->host->parallel_for(b->host, some, look_task, &j);
        for (int64_t i = 0; st == DAL_OK && i < some; i++)
            *best = better_of(b, blocks[first + i].block, *best);
    }
    return st;
}

/* ---- the batch -------------------------------------------------------------------------------- */

static void pick_one(batch *b, int64_t x, double score, double *scores)
{
    scores[b->n_picks] = score;
    b->bound[x] = -1;
    b->picks[b->n_picks++] = x;
}

static dal_status pick_batch(batch *b, const dal_view *view, int64_t want, block_bound *blocks, double *given,
                             double *scores)
{
    dal_status st = DAL_OK;
    int64_t x = 0; /* nothing is known yet: the largest BALD */
    b->gain[0] = b->bald[0];
    b->n_configurations = 1;
    memset(b->log_j, 0, (size_t)b->t.passes * sizeof *b->log_j);
    while (st == DAL_OK && b->n_picks < want && b->gain[x] > NOTHING) {
        pick_one(b, x, b->gain[x], scores);
        b->host->progress(b->host, b->n_picks, want, "picks");
        if (b->n_picks < want) {
            ask_about(b, view->round, given);
            st = look(b, blocks, &x);
        }
    }
    for (int64_t i = 0; st == DAL_OK && b->n_picks < want; i++) /* i: by falling BALD */
        if (b->bound[i] >= 0)
            pick_one(b, i, 0, scores);
    return st;
}

/* Everything that grows with the candidates in play, S or M. */
static dal_status take_memory(batch *b, int64_t want, dal_error *err)
{
    const dal_host *host = b->host;
    const int64_t passes = b->t.passes, m = b->opt->configurations > passes ? b->opt->configurations : passes;
    int64_t per, all_j, all_p;
    b->rows = dal_array(host, b->n, sizeof *b->rows);
    b->bald = dal_array(host, b->n, sizeof *b->bald);
    b->bound = dal_array(host, b->n, sizeof *b->bound);
    b->gain = dal_array(host, b->n, sizeof *b->gain);
    b->picks = dal_array(host, want, sizeof *b->picks);
    if (dal_size_mul(m, passes, &all_j))
        b->log_j = dal_array(host, all_j, sizeof *b->log_j);
    if (dal_size_mul(passes, b->t.cols, &per) && dal_size_mul(per, want, &all_p))
        b->log_p = dal_array(host, all_p, sizeof *b->log_p);
    if (b->rows && b->bald && b->bound && b->gain && b->picks && b->log_j && b->log_p)
        return dal_joint_events_new(host, m, passes, &b->events, err);
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for a batch of %lld out of %lld", (long long)want,
                    (long long)b->n);
}

static void give_memory(batch *b)
{
    const dal_host *host = b->host;
    host->free(host, b->rows);
    host->free(host, b->bald);
    host->free(host, b->bound);
    host->free(host, b->gain);
    host->free(host, b->picks);
    host->free(host, b->log_j);
    host->free(host, b->log_p);
    dal_joint_events_free(&b->events);
    dal_joint_free(&b->pool);
}

static dal_status run_batch(batch *b, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_host *host = b->host;
    block_bound *blocks = dal_array(host, (b->n + BLOCK - 1) / BLOCK, sizeof *blocks);
    double *given = dal_array(host, b->t.passes, sizeof *given);
    dal_status st = blocks && given ? dal_joint_pack(host, &b->t, b->kind, b->rows, b->n, &b->pool, NULL, err)
                                    : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld bounds", (long long)b->n);
    if (st == DAL_OK) {
        st = pick_batch(b, view, picks->want, blocks, given, picks->scores);
        if (st != DAL_OK)
            dal_fail(err, st, "", "interrupted");
    }
    for (int64_t i = 0; i < b->n_picks; i++)
        b->picks[i] = b->rows[b->picks[i]];
    if (st == DAL_OK)
        dal_pick_rows(view, b->picks, NULL, b->n_picks, picks);
    host->free(host, blocks);
    host->free(host, given);
    return st;
}

static dal_status batchbald_select(void *self_, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = self_;
    batch b = {.host = self->host, .opt = self->options, .kind = view->mc_kind};
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = view->mc(view, DAL_ROWS_CANDIDATES, b.opt->passes, &b.t, err);
    if (st == DAL_OK) {
        const int64_t subset = b.opt->pool_subset > picks->want ? b.opt->pool_subset : picks->want;
        b.n = b.opt->pool_subset > 0 && subset < b.t.rows ? subset : b.t.rows;
        st = take_memory(&b, picks->want, err);
    }
    if (st == DAL_OK)
        st = rank_candidates(&b, view, err);
    if (st == DAL_OK)
        st = run_batch(&b, view, picks, err);
    give_memory(&b);
    return st;
}

static void batchbald_cost(void *self, const void *opt_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : opt_;
    const double c = (double)problem->c, b = (double)problem->n_query, k = (double)opt->passes;
    const double all = (double)problem->n, m = (double)opt->configurations;
    const double n = opt->pool_subset > 0 && (double)opt->pool_subset < all ? (double)opt->pool_subset : all;
    out->bytes = 8 * all + (48 + 4 * c * (k + 1)) * (n + BLOCK) + (m + k) * (12 * k + 4) + 8 * b * k * c + 8e6;
    out->flops = 60 * k * all * c + b * m * n * c * (2 * k + 30);
    snprintf(out->formula, sizeof out->formula, "O(b K M n c) time, O(K (n c + M + b c)) memory");
}

static const dal_strategy_impl batchbald_impl = {
    .struct_size = sizeof batchbald_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = batchbald_select,
    .cost = batchbald_cost,
};

#define PARAMS(P, T)                                                                                           \
    P(T, passes, I64, "40", "2..10000", "passes", "K, stochastic passes over each sample")                    \
    P(T, configurations, I64, "1000", "1..10000000", "", "M, of answers to a batch: all, or that many drawn")  \
    P(T, pool_subset, I64, "0", "0..", "samples", "only those of largest BALD; 0: all")
#define COMPONENTS(C)                                                                                  \
    C(STRATEGY, "batchbald", batchbald_impl, "greedy batch of most joint information about the weights", \
      "Kirsch, van Amersfoort, Gal, NeurIPS 2019", DAL_CAP_MC, "", options, PARAMS)
#define ABOUT(A)                                                                                   \
    A(STRATEGY, "batchbald",                                                                       \
      "greedy argmax_x I(y_S, y_x; w) = BALD(x) - I(y_x; y_S) beside what S tells",                \
      "beyond `configurations` joint answers are drawn, and the divergence is estimated, not the " \
      "entropy; never negative, no noise where S says nothing of x; DISTIL computes no joint "     \
      "entropy")
DAL_MODULE_ABOUT(batchbald, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
