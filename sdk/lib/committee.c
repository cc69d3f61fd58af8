#include <dal/committee.h>

#include <math.h>

#define MAX_REDRAWS 1000
#define LONGEST_STEP 1.0 /* of b, which stands in an exponent */

/* ---- bootstrap -------------------------------------------------------------------------------- */

/* How many classes there are among rows (NULL: all n samples). */
static int64_t kinds(const int32_t *classes, const int64_t *rows, int64_t n, int64_t c, int32_t *count)
{
    int64_t different = 0;
    memset(count, 0, (size_t)c * sizeof *count);
    for (int64_t i = 0; i < n; i++)
        different += count[classes[rows ? rows[i] : i]]++ == 0;
    return different;
}

/* One random sample of every class, then any. */
static void draw_with_all(dal_rng *rng, const int32_t *classes, int64_t n, int64_t c, int64_t *rows, int32_t *count)
{
    int64_t made = 0;
    kinds(classes, NULL, n, c, count);
    for (int32_t k = 0; k < c; k++) {
        int64_t which = count[k] > 0 ? dal_rng_below(rng, count[k]) : -1;
        for (int64_t i = 0; which >= 0 && i < n; i++)
            if (classes[i] == k && which-- == 0)
                rows[made++] = i;
    }
    for (; made < n; made++)
        rows[made] = dal_rng_below(rng, n);
}

void dal_bootstrap(dal_rng *rng, const int32_t *classes, int64_t n, int64_t c, int64_t *rows, int32_t *count)
{
    const int64_t all = kinds(classes, NULL, n, c, count);
    int tries = 0;
    do
        for (int64_t i = 0; i < n; i++)
            rows[i] = dal_rng_below(rng, n);
    while (kinds(classes, rows, n, c, count) < all && ++tries < MAX_REDRAWS);
    if (tries == MAX_REDRAWS)
        draw_with_all(rng, classes, n, c, rows, count);
}

/* ---- committee -------------------------------------------------------------------------------- */

typedef struct drawn {
    int64_t n, c;
    const int64_t *ids;     /* [n] of all that is labelled */
    const int32_t *classes;
    int64_t *rows, *some_ids; /* [n] of a bootstrap sample */
    int32_t *some_classes, *count;
    float *probs; /* [candidates, c] */
} drawn;

static dal_status hear_one(const drawn *d, dal_refit *model, const dal_view *view, int64_t member, dal_rng own,
                           dal_error *err)
{
    dal_bootstrap(&own, d->classes, d->n, d->c, d->rows, d->count);
    for (int64_t i = 0; i < d->n; i++) {
        d->some_ids[i] = d->ids[d->rows[i]];
        d->some_classes[i] = d->classes[d->rows[i]];
    }
    if (model->host->cancelled(model->host))
        return dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
    /* keys far from those of the rounds themselves */
    const dal_status st = dal_refit_fit(model, d->some_ids, d->some_classes, d->n,
                                        (view->round + 1) * 1000003 + member, err);
    return st == DAL_OK ? dal_refit_probs(model, view, DAL_ROWS_CANDIDATES, d->probs, err) : st;
}

static dal_status hear_all(const drawn *d, const dal_host *host, const dal_view *view, int64_t members,
                           const dal_rng *stream, dal_status (*hear)(void *ctx, int64_t member, const float *probs),
                           void *ctx, dal_error *err)
{
    dal_refit model;
    dal_status st = dal_refit_open(&model, host, view, err);
    for (int64_t e = 0; st == DAL_OK && e < members; e++) {
        host->progress(host, e, members, "members");
        st = hear_one(d, &model, view, e, dal_rng_at(stream, (uint64_t)e), err);
        if (st == DAL_OK && (st = hear(ctx, e, d->probs)) != DAL_OK)
            dal_fail(err, st, "", "no memory for what a member says");
    }
    dal_refit_close(&model);
    return st;
}

dal_status dal_committee(const dal_host *host, const dal_view *view, int64_t members, const dal_rng *stream,
                         dal_status (*hear)(void *ctx, int64_t member, const float *probs), void *ctx,
                         dal_error *err)
{
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES);
    int64_t cells;
    drawn d = {.n = view->count(view, DAL_ROWS_LABELLED), .c = view->n_classes,
               .ids = view->ids(view, DAL_ROWS_LABELLED), .classes = view->classes(view, DAL_ROWS_LABELLED)};
    if (d.n == 0)
        return dal_fail(err, DAL_E_INVALID, "", "nothing is labelled, so there is no committee to train");
    d.rows = dal_array(host, d.n, sizeof *d.rows);
    d.some_ids = dal_array(host, d.n, sizeof *d.some_ids);
    d.some_classes = dal_array(host, d.n, sizeof *d.some_classes);
    d.count = dal_array(host, d.c, sizeof *d.count);
    d.probs = dal_size_mul(n, d.c, &cells) ? dal_array(host, cells, sizeof *d.probs) : NULL;
    const dal_status st = d.rows && d.some_ids && d.some_classes && d.count && d.probs
                              ? hear_all(&d, host, view, members, stream, hear, ctx, err)
                              : dal_fail(err, DAL_E_NOMEM, "", "no memory for opinions on %lld samples",
                                         (long long)n);
    void *all[] = {d.rows, d.some_ids, d.some_classes, d.count, d.probs};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        host->free(host, all[i]);
    return st;
}

/* ---- GLAD ------------------------------------------------------------------------------------- */

typedef struct glad {
    const int32_t *votes; /* [members, n] */
    int64_t members, n, c;
    double *alpha;        /* [members] */
    double *b;            /* [n] */
    double *sure;         /* [n, members] sigma(alpha beta) */
    double *right;        /* [n, members] probability that the vote is the true class */
} glad;

/* ln sigma(x) */
static double log_sigma(double x)
{
    return x > 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

/* The posterior of sample i: which votes are right. Classes nobody votes for are all as likely. */
static void expect(const glad *g, int64_t i)
{
    const double beta = exp(g->b[i]), spread = log((double)(g->c - 1));
    double *right = g->right + i * g->members, *sure = g->sure + i * g->members, none = 0, most, sum;
    int64_t different = 0;
    for (int64_t j = 0; j < g->members; j++) {
        const double x = g->alpha[j] * beta;
        sure[j] = exp(log_sigma(x));
        none += log_sigma(-x) - spread;
    }
    most = none;
    for (int64_t j = 0; j < g->members; j++) {
        right[j] = none;
        for (int64_t m = 0; m < g->members; m++)
            if (g->votes[m * g->n + i] == g->votes[j * g->n + i])
                right[j] += log_sigma(g->alpha[m] * beta) - log_sigma(-g->alpha[m] * beta) + spread;
        most = fmax(most, right[j]);
    }
    sum = 0;
    for (int64_t j = 0; j < g->members; j++) {
        int64_t first = 0;
        while (g->votes[first * g->n + i] != g->votes[j * g->n + i])
            first++;
        if (first == j) {
            different++;
            sum += exp(right[j] - most);
        }
    }
    sum += (double)(g->c - different) * exp(none - most);
    for (int64_t j = 0; j < g->members; j++)
        right[j] = exp(right[j] - most) / sum;
}

/* Up the gradients of the expected log likelihood with the priors. */
static void maximise(const glad *g)
{
    for (int64_t j = 0; j < g->members; j++) {
        double slope = 1 - g->alpha[j], curvature = 1;
        for (int64_t i = 0; i < g->n; i++) {
            const double sure = g->sure[i * g->members + j], beta = exp(g->b[i]);
            slope += (g->right[i * g->members + j] - sure) * beta;
            curvature += sure * (1 - sure) * beta * beta;
        }
        g->alpha[j] += slope / curvature;
    }
    for (int64_t i = 0; i < g->n; i++) {
        const double beta = exp(g->b[i]);
        double slope = 1 - g->b[i], curvature = 1;
        for (int64_t j = 0; j < g->members; j++) {
            const double x = g->alpha[j] * beta, sure = exp(log_sigma(x));
            slope += (g->right[i * g->members + j] - sure) * x;
            curvature += sure * (1 - sure) * x * x;
        }
        g->b[i] += fmin(fmax(slope / curvature, -LONGEST_STEP), LONGEST_STEP);
    }
}

dal_status dal_glad(const dal_host *host, const int32_t *votes, int64_t members, int64_t n, int64_t c,
                    int64_t rounds, double *hardness, double *ability, dal_error *err)
{
    int64_t cells = 0;
    glad g = {.votes = votes, .members = members, .n = n, .c = c > 2 ? c : 2, .b = hardness};
    const int fits = dal_size_mul(members, n, &cells);
    g.alpha = dal_array(host, members, sizeof *g.alpha);
    g.sure = fits ? dal_array(host, cells, sizeof *g.sure) : NULL;
    g.right = fits ? dal_array(host, cells, sizeof *g.right) : NULL;
    const int have = g.alpha && g.sure && g.right;
    for (int64_t j = 0; have && j < members; j++)
        g.alpha[j] = 1;
    for (int64_t i = 0; have && i < n; i++)
        g.b[i] = 1;
    for (int64_t r = 0; have && r < rounds; r++) {
        for (int64_t i = 0; i < n; i++)
            expect(&g, i);
        maximise(&g);
    }
    for (int64_t i = 0; have && i < n; i++)
        hardness[i] = exp(-g.b[i]);
    if (have && ability)
        memcpy(ability, g.alpha, (size_t)members * sizeof *ability);
    host->free(host, g.alpha);
    host->free(host, g.sure);
    host->free(host, g.right);
    return have ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for votes on %lld samples", (long long)n);
}
