/* bait beside greedy passes that invert every matrix they speak of. */
#include "tests/unit/strategies/fisher_twin.h"

#include <math.h>

#include "plugins/strategies/bait.c"

static const options paper = {1, 2, VARIANT_PAPER, 0, 6000}, code = {.5, 1.5, 1, 1, 6000};
static const options no_way_back = {1, 1, VARIANT_PAPER, 0, 6000};

typedef struct slow {
    const fx_round *r;
    const options *opt;
    int64_t m, n;
    double weight, *x, *f, *with; /* [m, m] M, F, M and one more */
    double *gain;                 /* [n] of the forward pass */
    signed char *in;              /* [n] in the batch */
} slow;

/* tr((M + sign I(row))^-1 F) */
static double trace_with(const slow *s, int64_t row, double sign)
{
    memcpy(s->with, s->x, (size_t)(s->m * s->m) * sizeof *s->with);
    fisher_add(s->r, DAL_ROWS_CANDIDATES, row, s->opt->bias, 0, sign * s->weight, s->with);
    return fisher_trace(s->with, s->f, s->m);
}

/* The row in (or out of) the batch that leaves the smallest trace. */
static int64_t slow_best(const slow *s, int in, double *least)
{
    int64_t best = -1;
    for (int64_t i = 0; i < s->n; i++) {
        const double trace = s->in[i] == in ? trace_with(s, i, in ? -1 : 1) : INFINITY;
        if (s->in[i] == in && (best < 0 || trace < *least)) {
            best = i;
            *least = trace;
        }
    }
    return best;
}

static void slow_begin(slow *s, int64_t b)
{
    const int64_t l = s->r->set[DAL_ROWS_LABELLED].n;
    s->weight = s->opt->variant == VARIANT_PAPER ? 1 : (double)b / (double)(l + b);
    for (int64_t i = 0; i < s->m; i++)
        s->x[i * s->m + i] = s->opt->lambda;
    for (int64_t i = 0; i < l; i++) {
        fisher_add(s->r, DAL_ROWS_LABELLED, i, s->opt->bias, 0,
                   1.0 / (double)(s->opt->variant == VARIANT_PAPER ? l : l + b), s->x);
        fisher_add(s->r, DAL_ROWS_LABELLED, i, s->opt->bias, 0, 1.0 / (double)(s->n + l), s->f);
    }
    for (int64_t i = 0; i < s->n; i++)
        fisher_add(s->r, DAL_ROWS_CANDIDATES, i, s->opt->bias, 0, 1.0 / (double)(s->n + l), s->f);
}

static int64_t slow_select(const fx_round *r, const options *opt, int64_t b, int64_t *rows, double *gain)
{
    const int64_t m = r->c * (r->d + opt->bias), n = r->set[DAL_ROWS_CANDIDATES].n;
    slow s = {r, opt, m, n, 0, calloc((size_t)(m * m), 8), calloc((size_t)(m * m), 8), malloc((size_t)(m * m) * 8),
              gain, calloc((size_t)n, 1)};
    int64_t order[256], steps = forward_picks(opt, n, b = b < n ? b : n), out = 0;
    slow_begin(&s, b);
    for (int64_t k = 0; k < steps; k++) {
        double least = 0, before = fisher_trace(s.x, s.f, m);
        order[k] = slow_best(&s, 0, &least);
        gain[order[k]] = before - least;
        s.in[order[k]] = 1;
        fisher_add(r, DAL_ROWS_CANDIDATES, order[k], opt->bias, 0, s.weight, s.x);
    }
    for (int64_t k = steps; k > b; k--) {
        double least = 0;
        const int64_t away = slow_best(&s, 1, &least);
        s.in[away] = 0;
        fisher_add(r, DAL_ROWS_CANDIDATES, away, opt->bias, 0, -s.weight, s.x);
    }
    for (int64_t k = 0; k < steps; k++)
        if (s.in[order[k]])
            rows[out++] = order[k];
    free(s.x);
    free(s.f);
    free(s.with);
    free(s.in);
    return out;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *opt, int64_t b, int64_t *rows)
{
    double gain[256];
    (void)host;
    return slow_select(r, opt, b, rows, gain);
}

static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, 0},
    {2, 30, 20, 0, 4, 3, 0, FX_LOGITS},
    {3, 35, 0, 0, 2, 3, 0, 0},
    {7, 30, 11, 0, 3, 4, 0, FX_ONE_CLASS | FX_LOGITS},
    {9, 3, 2, 0, 2, 2, 0, 0},
    {10, 1, 1, 0, 3, 4, 0, 0},
};

Test(bait, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&bait_impl, &paper, twin, shapes, sizeof shapes / sizeof *shapes, 12);
    fx_twin_agrees(&bait_impl, &code, twin, shapes, sizeof shapes / sizeof *shapes, 12);
    fx_twin_agrees(&bait_impl, &no_way_back, twin, shapes, 2, 12);
}

Test(bait, keeps_its_numbers_over_many_steps)
{
    static fx_picks p;
    double gain[256];
    int64_t rows[256];
    fx_round *r = fx_round_random(&shapes[1]);
    slow_select(r, &no_way_back, 30, rows, gain);
    fx_select(r, &bait_impl, &no_way_back, 30, 1, &p);
    for (int i = 0; i < 30; i++) {
        cr_assert_eq(p.rows[i], rows[i], "pick %d", i);
        cr_assert_float_eq(p.scores[i], gain[rows[i]], 1e-9 * gain[rows[0]], "pick %d: %.12g, not %.12g", i,
                           p.scores[i], gain[rows[i]]);
    }
    fx_round_free(r);
}

/* By hand: two classes, one feature h, nothing labelled, lambda 1: I(x) = v h^2 (1 -1; -1 1), v = p (1 - p); F = f (1
 * -1; -1 1), f the mean of v h^2. Along (1, -1), M is 1 + 2 sum v h^2: tr(M^-1 F) = 2 f / (1 + 2 sum v h^2). */
Test(bait, agrees_with_a_sum_by_hand)
{
    static fx_picks p;
    const float probs[] = {.9f, .1f, .5f, .5f, .2f, .8f}, features[] = {1, 2, 1};
    const double v[] = {.09, 1, .16}, f = (.09 + 1 + .16) / 3;
    fx_round *r = fx_round_of(3, 2, probs, 1, features);
    fx_select(r, &bait_impl, &paper, 2, 1, &p);
    cr_assert(p.rows[0] == 1 && p.rows[1] == 2);
    cr_assert_float_eq(p.scores[0], 2 * f - 2 * f / (1 + 2 * v[1]), 1e-7);
    cr_assert_float_eq(p.scores[1], 2 * f / (1 + 2 * v[1]) - 2 * f / (1 + 2 * (v[1] + v[2])), 1e-7);
    fx_round_free(r);
}

Test(bait, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&bait_impl, &paper, &shapes[1], 10);
}

Test(bait, says_what_it_cannot_work_with)
{
    static fx_picks p;
    const options tight = {1, 2, VARIANT_PAPER, 0, 14};
    const fx_spec bad = {1, 40, 10, 0, 3, 5, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&shapes[0]);
    fx_try(r, &bait_impl, &tight, 2, 1, &p);
    cr_assert_str_eq(p.err.key, "max_parameters");
    fx_round_free(r);
    r = fx_round_random(&bad);
    fx_try(r, &bait_impl, &paper, 2, 1, &p);
    cr_assert_str_eq(p.err.text, "the outputs or features of sample 40 are not numbers");
    fx_round_free(r);
}

Test(bait, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&bait_impl, &paper, &shapes[0], 5);
}
