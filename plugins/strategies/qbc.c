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
#include <dal/committee.h>
#include <dal/select.h>

#include <math.h>
#include <stdlib.h>

#define MEASURE_VOTE 0u
#define MEASURE_KL 1u

typedef struct options {
    int64_t members;
    uint32_t measure;
} options;

/* ---- disagreement ---------------------------------------------------------------------------------- */

typedef struct opinions {
    const options *opt;
    int64_t n, c;
    double *mean;  /* [n, c] */
    double *inner; /* [n] mean entropy of the members */
} opinions;

static double entropy_term(double p)
{
    return p > 0 ? -p * log(p) : 0;
}

static dal_status hear(void *ctx, int64_t member, const float *probs)
{
    const opinions *o = ctx;
    const options *opt = o->opt;
    const double share = 1 / (double)opt->members;
    for (int64_t i = 0; i < o->n; i++) {
        const float *p = probs + i * o->c;
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
    (void)member;
    return DAL_OK;
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

static dal_status qbc_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *h = self->host;
    const options *opt = self->options;
    const dal_rng stream = h->rng(h, "bootstrap", view->round);
    opinions o = {.opt = opt, .n = view->count(view, DAL_ROWS_CANDIDATES), .c = view->n_classes};
    int64_t cells = 0;
    picks->n = 0;
    o.mean = dal_size_mul(o.n, o.c, &cells) ? dal_array(h, cells, sizeof *o.mean) : NULL;
    o.inner = dal_array(h, o.n, sizeof *o.inner);
    dal_status st = DAL_OK;
    if (o.mean && o.inner) {
        memset(o.mean, 0, (size_t)cells * sizeof *o.mean);
        memset(o.inner, 0, (size_t)o.n * sizeof *o.inner);
        st = dal_committee(h, view, opt->members, &stream, hear, &o, err);
    } else {
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for opinions on %lld samples", (long long)o.n);
    }
    if (st == DAL_OK)
        st = rank(h, view, &o, picks, err);
    h->free(h, o.mean);
    h->free(h, o.inner);
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
#define ABOUT(A)                                                                                      \
    A(STRATEGY, "qbc",                                                                                \
      "largest vote entropy, or mean KL to the consensus, of models trained on bootstrap samples of " \
      "L",                                                                                            \
      "every bootstrap has all classes; ties at random")
DAL_MODULE_ABOUT(qbc, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
