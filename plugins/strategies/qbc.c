/* qbc: query by committee: ask where models trained on resampled labels disagree.
 *
 * Seung, Opper, Sompolinsky, "Query by committee", COLT 1992; bagging after Abe & Mamitsuka, ICML 1998. E
 * members like the task's model, each trained on a bootstrap sample of L:
 *
 *     vote   H(v / E),  v_c = members that predict c              (Dagan & Engelson, ICML 1995)
 *     kl     1/E sum_e KL(p_e || p),  p = 1/E sum_e p_e            (McCallum & Nigam, ICML 1998)
 *
 * Both are H(mean) - mean H over the members, which give one-hot or full distributions. The largest come first;
 * ties, of which a vote has many, are broken at random by a number drawn at the sample's pool index.
 *
 * A bootstrap sample is redrawn until every labelled class is in it, up to 1000 times; then it begins with one
 * random sample of each class. Every member has fresh weights and its own random streams.
 *
 * E trainings and E forward passes over the candidates; 8 n c bytes and one model at a time. Nothing labelled:
 * refused.
 */
#include <dal/refit.h>
#include <dal/select.h>

#include <math.h>
#include <stdlib.h>

#define MEASURE_VOTE 0u
#define MEASURE_KL 1u
#define MAX_REDRAWS 1000

typedef struct options {
    int64_t members;
    uint32_t measure;
} options;

/* ---- bootstrap ----------------------------------------------------------------------------------- */

typedef struct labels {
    const int64_t *ids; /* [n] */
    const int32_t *classes;
    int64_t n, c;
    int64_t *drawn_ids; /* [n] */
    int32_t *drawn_classes;
    int64_t *row;   /* [n] */
    int32_t *count; /* [c] */
} labels;

/* How many of the classes of L the first n rows drawn have. */
static int64_t seen(labels *l, const int64_t *row, int64_t n)
{
    int64_t kinds = 0;
    memset(l->count, 0, (size_t)l->c * sizeof *l->count);
    for (int64_t i = 0; i < n; i++)
        kinds += l->count[l->classes[row ? row[i] : i]]++ == 0;
    return kinds;
}

/* One random sample of every class of L, then any. */
static void draw_with_all(labels *l, dal_rng *rng)
{
    int64_t n = 0;
    seen(l, NULL, l->n);
    for (int32_t k = 0; k < l->c; k++) {
        int64_t which = l->count[k] > 0 ? dal_rng_below(rng, l->count[k]) : -1;
        for (int64_t i = 0; which >= 0 && i < l->n; i++)
            if (l->classes[i] == k && which-- == 0)
                l->row[n++] = i;
    }
    for (; n < l->n; n++)
        l->row[n] = dal_rng_below(rng, l->n);
}

static void draw_bootstrap(labels *l, dal_rng *rng)
{
    const int64_t all = seen(l, NULL, l->n);
    int tries = 0;
    do
        for (int64_t i = 0; i < l->n; i++)
            l->row[i] = dal_rng_below(rng, l->n);
    while (seen(l, l->row, l->n) < all && ++tries < MAX_REDRAWS);
    if (tries == MAX_REDRAWS)
        draw_with_all(l, rng);
    for (int64_t i = 0; i < l->n; i++) {
        l->drawn_ids[i] = l->ids[l->row[i]];
        l->drawn_classes[i] = l->classes[l->row[i]];
    }
}

/* ---- disagreement ---------------------------------------------------------------------------------- */

typedef struct opinions {
    int64_t n, c;
    float *p;      /* [n, c] of a member */
    double *mean;  /* [n, c] */
    double *inner; /* [n] mean entropy of the members */
} opinions;

static double entropy_term(double p)
{
    return p > 0 ? -p * log(p) : 0;
}

static void hear(opinions *o, const options *opt)
{
    const double share = 1 / (double)opt->members;
    for (int64_t i = 0; i < o->n; i++) {
        const float *p = o->p + i * o->c;
        int64_t best = 0;
        for (int64_t k = 1; k < o->c; k++)
            best = p[k] > p[best] ? k : best;
        if (opt->measure == MEASURE_VOTE)
            o->mean[i * o->c + best] += share;
        for (int64_t k = 0; opt->measure == MEASURE_KL && k < o->c; k++) {
            o->mean[i * o->c + k] += share * (double)p[k];
            o->inner[i] += share * entropy_term((double)p[k]);
        }
    }
}

typedef struct ranked {
    double score, number;
    int64_t row;
} ranked;

static int by_disagreement(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->number != y->number)
        return x->number > y->number ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static dal_status rank(const dal_host *host, const dal_view *view, const opinions *o, dal_picks *picks,
                       dal_error *err)
{
    const dal_rng stream = host->rng(host, "ties", view->round);
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    ranked *r = dal_array(host, o->n, sizeof *r);
    if (!r)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld scores", (long long)o->n);
    for (int64_t i = 0; i < o->n; i++) {
        dal_rng own = dal_rng_at(&stream, (uint64_t)ids[i]);
        r[i] = (ranked){-o->inner[i], dal_rng_uniform(&own), i};
        for (int64_t k = 0; k < o->c; k++)
            r[i].score += entropy_term(o->mean[i * o->c + k]);
    }
    qsort(r, (size_t)o->n, sizeof *r, by_disagreement);
    for (picks->n = 0; picks->n < picks->want; picks->n++) {
        picks->ids[picks->n] = ids[r[picks->n].row];
        picks->scores[picks->n] = r[picks->n].score;
    }
    host->free(host, r);
    return DAL_OK;
}

/* ---- selection --------------------------------------------------------------------------------------- */

static dal_status hear_all(const dal_stateless *self, const dal_view *view, labels *l, opinions *o, dal_error *err)
{
    const dal_host *host = self->host;
    const options *opt = self->options;
    const dal_rng stream = host->rng(host, "bootstrap", view->round);
    dal_refit member;
    dal_status st = dal_refit_open(&member, host, view, err);
    for (int64_t e = 0; st == DAL_OK && e < opt->members; e++) {
        dal_rng own = dal_rng_at(&stream, (uint64_t)e);
        host->progress(host, e, opt->members, "members");
        draw_bootstrap(l, &own);
        if (host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        if (st == DAL_OK) /* keys far from those of the rounds themselves */
            st = dal_refit_fit(&member, l->drawn_ids, l->drawn_classes, l->n, (view->round + 1) * 1000003 + e,
                               err);
        if (st == DAL_OK)
            st = dal_refit_probs(&member, view, DAL_ROWS_CANDIDATES, o->p, err);
        if (st == DAL_OK)
            hear(o, opt);
    }
    dal_refit_close(&member);
    return st;
}

static dal_status qbc_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *h = self->host;
    labels l = {.ids = view->ids(view, DAL_ROWS_LABELLED), .classes = view->classes(view, DAL_ROWS_LABELLED),
                .n = view->count(view, DAL_ROWS_LABELLED), .c = view->n_classes};
    opinions o = {.n = view->count(view, DAL_ROWS_CANDIDATES), .c = l.c};
    picks->n = 0;
    if (l.n == 0)
        return dal_fail(err, DAL_E_INVALID, "", "nothing is labelled, so there is no committee to train");
    l.drawn_ids = dal_array(h, l.n, sizeof *l.drawn_ids);
    l.drawn_classes = dal_array(h, l.n, sizeof *l.drawn_classes);
    l.row = dal_array(h, l.n, sizeof *l.row);
    l.count = dal_array(h, l.c, sizeof *l.count);
    o.p = dal_array(h, o.n * o.c, sizeof *o.p);
    o.mean = dal_array(h, o.n * o.c, sizeof *o.mean);
    o.inner = dal_array(h, o.n, sizeof *o.inner);
    dal_status st = DAL_OK;
    if (l.drawn_ids && l.drawn_classes && l.row && l.count && o.p && o.mean && o.inner) {
        memset(o.mean, 0, (size_t)(o.n * o.c) * sizeof *o.mean);
        memset(o.inner, 0, (size_t)o.n * sizeof *o.inner);
        st = hear_all(self, view, &l, &o, err);
    } else {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for opinions on %lld samples", (long long)o.n);
    }
    if (st == DAL_OK)
        st = rank(h, view, &o, picks, err);
    void *all[] = {l.drawn_ids, l.drawn_classes, l.row, l.count, o.p, o.mean, o.inner};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    return st;
}

/* A training is told as 50 passes over L by the last layer alone: nobody knows the model here. */
static void qbc_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const options *o = self ? ((const dal_stateless *)self)->options : opt;
    const double n = (double)problem->n, c = (double)problem->c, d = problem->d > 0 ? (double)problem->d : 1;
    out->bytes = n * (12 * c + 40) + 32 * (double)problem->n_labelled;
    out->flops = (double)o->members * c * (2 * n * d + 300 * (double)problem->n_labelled * d);
    snprintf(out->formula, sizeof out->formula, "%lld trainings on L, as many forward passes; O(n c) memory",
             (long long)o->members);
}

static const dal_strategy_impl qbc_impl = {
    .struct_size = sizeof qbc_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = qbc_select,
    .cost = qbc_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, members, I64, "10", "2..1000", "", "models in the committee (E)")                                 \
    P(T, measure, CHOICE, "vote", "vote|kl", "", "entropy of their votes, or divergence from their mean")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "qbc", qbc_impl, "where models trained on resampled labels disagree",                      \
      "Seung et al., COLT 1992; Abe & Mamitsuka, ICML 1998", DAL_CAP_OUTPUTS, "", options, PARAMS)
DAL_MODULE(qbc, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
