/* bso: a bound that cheats: beam search for the labels that make the best model, by the true classes.
 *
 * The beam-search oracle of the benchmark of Zhan et al., "A comparative survey: benchmarking for pool-based
 * active learning", IJCAI 2021. A strategy could not know these classes; this is how far one could get:
 *
 *     beam = {L}
 *     b times: train a model like the task's on every set of the beam with each of `tries` candidates added (0:
 *              all; else drawn from the round's stream), with their true classes; keep the `width` best
 *
 * Best: most right of the validation split, or where there is none of this round's candidates; then the smaller
 * log loss; then the set found first. A set that is reached twice counts once. All trainings of a round start
 * from the same fresh weights. Strategies see neither the test split nor, in `dalhost select`, any truth.
 *
 * Needs the truth. b * width * tries trainings: refused above `max_fits`; only for tiny problems. Candidates
 * whose true class is unknown, or none of the classes, are not tried.
 */
#include <dal/refit.h>
#include <dal/select.h>
#include <dal/wrapper.h>

#include <math.h>

typedef struct options {
    int64_t width, tries, max_fits;
} options;

/* L and some candidates. */
typedef struct set {
    int64_t *ids; /* [picked] in the order added */
    int64_t right;
    double loss;
} set;

typedef struct search {
    const dal_host *host;
    const options *opt;
    const dal_view *view;
    const int32_t *truth; /* by pool index */
    dal_refit model;
    int64_t n_l, c, b;
    int64_t *usable, n; /* [n] candidates of a known class */
    int64_t *ids, *draw; /* [n_l + b]; [n] */
    int32_t *classes;   /* [n_l + b] */
    uint32_t on;        /* the row set that judges */
    float *p;           /* [its count, c] */
    set *beam, *next;   /* [width] */
    int64_t n_beam, n_next;
} search;

/* ---- one set -------------------------------------------------------------------------------------- */

static int32_t class_of(const search *s, int64_t row)
{
    return s->on == DAL_ROWS_VALIDATION ? s->view->classes(s->view, s->on)[row]
                                        : s->truth[s->view->ids(s->view, s->on)[row]];
}

/* Train on L and ids [n]. */
static dal_status judge(search *s, const int64_t *ids, int64_t n, int64_t *right, double *loss, dal_error *err)
{
    for (int64_t i = 0; i < n; i++) {
        s->ids[s->n_l + i] = ids[i];
        s->classes[s->n_l + i] = s->truth[ids[i]];
    }
    dal_status st = dal_refit_fit(&s->model, s->ids, s->classes, s->n_l + n, s->view->round, err);
    if (st == DAL_OK)
        st = dal_refit_probs(&s->model, s->view, s->on, s->p, err);
    *right = 0;
    *loss = 0;
    for (int64_t i = 0; st == DAL_OK && i < s->view->count(s->view, s->on); i++) {
        const float *p = s->p + i * s->c;
        const int32_t cls = class_of(s, i);
        int32_t best = 0;
        for (int32_t k = 1; k < s->c; k++)
            best = p[k] > p[best] ? k : best;
        if (cls < 0)
            continue;
        *right += best == cls;
        *loss -= log(fmax((double)p[cls], 1e-30));
    }
    return st;
}

static int better(int64_t right, double loss, const set *than)
{
    return right > than->right || (right == than->right && loss < than->loss);
}

static int holds(const int64_t *ids, int64_t n, int64_t id)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] == id)
            return 1;
    return 0;
}

/* ids [n] among the best so far, where it belongs; equals stay behind those found before. */
static void keep(search *s, const int64_t *ids, int64_t n, int64_t right, double loss)
{
    int64_t at = s->n_next;
    while (at > 0 && better(right, loss, &s->next[at - 1]))
        at--;
    if (at == s->opt->width)
        return;
    if (s->n_next < s->opt->width)
        s->n_next++;
    const set last = s->next[s->n_next - 1];
    for (int64_t i = s->n_next - 1; i > at; i--)
        s->next[i] = s->next[i - 1];
    s->next[at] = (set){last.ids, right, loss};
    memcpy(last.ids, ids, (size_t)n * sizeof *ids);
}

/* ---- the beam ---------------------------------------------------------------------------------------- */

/* Has an earlier set of the beam, with one of the candidates drawn, the members of this one? */
static int reached_before(const search *s, int64_t m, const int64_t *ids, int64_t n, int64_t tries)
{
    for (int64_t k = 0; k < m; k++) {
        int64_t missing = -1, others = 0;
        for (int64_t i = 0; i < n; i++)
            if (!holds(s->beam[k].ids, n - 1, ids[i])) {
                missing = ids[i];
                others++;
            }
        if (others == 1 && holds(s->draw, tries, missing))
            return 1;
    }
    return 0;
}

/* Every set of the beam, n members, with every candidate drawn. */
static dal_status extend(search *s, int64_t n, int64_t tries, int64_t *ids, dal_error *err)
{
    dal_status st = DAL_OK;
    s->n_next = 0;
    for (int64_t m = 0; m < s->n_beam; m++)
        for (int64_t t = 0; st == DAL_OK && t < tries; t++) {
            int64_t right;
            double loss;
            memcpy(ids, s->beam[m].ids, (size_t)n * sizeof *ids);
            ids[n] = s->draw[t];
            if (holds(ids, n, ids[n]) || reached_before(s, m, ids, n + 1, tries))
                continue;
            if (s->host->cancelled(s->host))
                return dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
            st = judge(s, ids, n + 1, &right, &loss, err);
            if (st == DAL_OK)
                keep(s, ids, n + 1, right, loss);
        }
    return st;
}

/* Candidates to try as member n: distinct, and enough that every set of the beam finds one it has not. */
static int64_t draw_tries(search *s, int64_t n)
{
    const dal_rng stream = s->host->rng(s->host, "tries", s->view->round);
    dal_rng own = dal_rng_at(&stream, (uint64_t)n);
    memcpy(s->draw, s->usable, (size_t)s->n * sizeof *s->draw);
    if (s->opt->tries == 0 || s->opt->tries + n >= s->n)
        return s->n;
    dal_rng_shuffle(&own, s->draw, s->n, s->opt->tries + n);
    return s->opt->tries + n;
}

static dal_status walk(search *s, dal_picks *picks, dal_error *err)
{
    int64_t *ids = dal_array(s->host, s->b, sizeof *ids);
    dal_status st = ids ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for a set");
    s->n_beam = 1;
    for (int64_t n = 0; st == DAL_OK && n < s->b; n++) {
        s->host->progress(s->host, n, s->b, "picks");
        const int64_t tries = draw_tries(s, n);
        st = extend(s, n, tries, ids, err);
        set *t = s->beam;
        s->beam = s->next;
        s->next = t;
        s->n_beam = s->n_next;
    }
    for (picks->n = 0; st == DAL_OK && picks->n < s->b; picks->n++)
        picks->ids[picks->n] = s->beam[0].ids[picks->n];
    if (st == DAL_OK && s->b < picks->want)
        snprintf(picks->reason, sizeof picks->reason, "the true class of %lld candidates only is known",
                 (long long)s->b);
    s->host->free(s->host, ids);
    return st;
}

/* ---- selection ----------------------------------------------------------------------------------------- */

static dal_status check_bound(const search *s, dal_error *err)
{
    const int64_t tries = s->opt->tries == 0 || s->opt->tries + s->b > s->n ? s->n : s->opt->tries + s->b;
    int64_t fits;
    if (dal_size_mul(tries, s->opt->width, &fits) && dal_size_mul(fits, s->b, &fits) && fits <= s->opt->max_fits)
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "max_fits",
                    "%lld picks x %lld sets x %lld candidates are more trainings than "
                    "max_fits, %lld; raise it, or lower width or tries",
                    (long long)s->b, (long long)s->opt->width, (long long)tries, (long long)s->opt->max_fits);
}

static dal_status allocate(search *s, dal_error *err)
{
    const dal_host *h = s->host;
    const dal_view *v = s->view;
    int good = 1;
    s->ids = dal_array(h, s->n_l + s->b, sizeof *s->ids);
    s->classes = dal_array(h, s->n_l + s->b, sizeof *s->classes);
    s->draw = dal_array(h, s->n, sizeof *s->draw);
    s->p = dal_array(h, v->count(v, s->on) * s->c, sizeof *s->p);
    s->beam = dal_array(h, s->opt->width, sizeof *s->beam);
    s->next = dal_array(h, s->opt->width, sizeof *s->next);
    good = s->ids && s->classes && s->draw && s->p && s->beam && s->next;
    for (int64_t i = 0; s->beam && s->next && i < s->opt->width; i++) {
        s->beam[i] = (set){.ids = dal_array(h, s->b, sizeof(int64_t))};
        s->next[i] = (set){.ids = dal_array(h, s->b, sizeof(int64_t))};
        good &= s->beam[i].ids && s->next[i].ids;
    }
    for (int64_t i = 0; good && i < s->n_l; i++) {
        s->ids[i] = v->ids(v, DAL_ROWS_LABELLED)[i];
        s->classes[i] = v->classes(v, DAL_ROWS_LABELLED)[i];
    }
    return good ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld sets", (long long)s->opt->width);
}

static void release(search *s)
{
    const dal_host *h = s->host;
    for (int64_t i = 0; s->beam && s->next && i < s->opt->width; i++) {
        h->free(h, s->beam[i].ids);
        h->free(h, s->next[i].ids);
    }
    void *all[] = {s->ids, s->classes, s->draw, s->p, s->beam, s->next, s->usable};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    dal_refit_close(&s->model);
}

static dal_status bso_select(void *q, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = q;
    const dal_host *h = self->host;
    const dal_view_truth *truth = view->get_extension(view, DAL_CAP_TRUTH);
    search s = {.host = h, .opt = self->options, .view = view, .c = view->n_classes,
                .n_l = view->count(view, DAL_ROWS_LABELLED),
                .on = view->count(view, DAL_ROWS_VALIDATION) > 0 ? DAL_ROWS_VALIDATION : DAL_ROWS_CANDIDATES};
    const int64_t n = view->count(view, DAL_ROWS_CANDIDATES), *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    picks->n = 0;
    dal_status st = dal_refit_open(&s.model, h, view, err);
    if (st == DAL_OK && !truth)
        st = dal_fail(err, DAL_E_UNSUPPORTED, "", "the true classes are not known here");
    s.usable = dal_array(h, n, sizeof *s.usable);
    if (st == DAL_OK && !s.usable)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)n);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        if (truth->classes[ids[i]] >= 0)
            s.usable[s.n++] = ids[i];
    s.b = picks->want < s.n ? picks->want : s.n;
    if (st == DAL_OK) {
        s.truth = truth->classes;
        st = check_bound(&s, err);
    }
    if (st == DAL_OK)
        st = allocate(&s, err);
    if (st == DAL_OK)
        st = walk(&s, picks, err);
    release(&s);
    return st;
}

/* A training is told as 50 passes over L by the last layer alone: nobody knows the model here. */
static void bso_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const options *o = self ? ((const dal_stateless *)self)->options : opt;
    const double n = (double)problem->n, b = (double)problem->n_query, w = (double)o->width,
                 c = (double)problem->c;
    const double tries = o->tries > 0 ? fmin((double)o->tries + b, n) : n,
                 d = problem->d > 0 ? (double)problem->d : 1;
    out->bytes = 4 * n * c + 16 * n + 16 * w * b + 12 * ((double)problem->n_labelled + b);
    out->flops = b * w * tries * c * d * (2 * n + 300 * ((double)problem->n_labelled + b));
    snprintf(out->formula, sizeof out->formula,
             "b x %lld x %.0f trainings, each with n predictions; O(n c) memory", (long long)o->width, tries);
}

static const dal_strategy_impl bso_impl = {
    .struct_size = sizeof bso_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = bso_select,
    .cost = bso_cost,
};

#define PARAMS(P, T)                                                                                       \
    P(T, width, I64, "5", "1..1000", "sets", "how many sets the beam holds")                               \
    P(T, tries, I64, "50", "0..", "samples", "candidates tried for each pick, beside those picked; 0: all") \
    P(T, max_fits, I64, "5000", "1..", "trainings", "refuse where picks x width x tries are more than this")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "bso", bso_impl, "a bound that cheats: the best labels by the true classes, beam search",  \
      "Zhan et al., IJCAI 2021", DAL_CAP_OUTPUTS " " DAL_CAP_TRUTH, "", options, PARAMS)
#define ABOUT(A)                                                                                   \
    A(STRATEGY, "bso",                                                                             \
      "b times: the `width` sets L + x of the beam whose model is right most often on validation " \
      "data, with true classes",                                                                   \
      "ties by log loss; a set reached twice counts once")
DAL_MODULE_ABOUT(bso, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
