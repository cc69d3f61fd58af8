/* similar, smi, scg: pick what is like some samples (queries Q), unlike others (private P), or both.
 *
 * Kothawade, Beck, Killamsetty, Iyer, "SIMILAR: submodular information measures based active learning in realistic
 * scenarios", NeurIPS 2021, algorithm 1 and table 1: greedy maximisation over the candidates of
 *
 *     smi  I_f(A; Q)     rare classes: Q = labelled samples of the classes wanted
 *     scg  f(A | P)      redundancy: P = what is labelled
 *          I_f(A; Q | P) out of distribution: Q = what is labelled, P = queried samples that belong to no class
 *
 * with the functions of dal/submodular.h. `similar` takes the measure that the scenario (mode) asks for, of
 * facility location (flcmi, fl1mi, flcg) or of the log-determinant (logdetcmi, logdetmi, logdetcg). Ties go to the
 * lowest pool index; the score of a pick is its gain.
 *
 * Samples are compared by (1 + cos) / 2 of last-layer gradients (weights and bias), with the predicted class for
 * candidates and the true class for Q and P; the gradients stay factored. A private sample of no class has a
 * further class, C, to which the model is taken to give probability 0. (The paper trains C + 1 outputs; ALScope
 * takes cosines as they are, down to -1, which none of the functions is made for.)
 *
 * What is not known is left out: without P an information measure is not conditional (smi), without Q a
 * conditional one is a gain (scg), and with neither the plain function is maximised. Determinants have `ridge` on
 * the diagonal of the candidates (the DISTIL code: 1).
 *
 * Needs features, and outputs for gradients. With m = |Q| + |P|, w = d + c: n m w for similarities, location a few
 * times n^2 w as matrix products, determinants n m (w + m) and n b (w + m + b) with 8 n (m + b) bytes for each of their
 * factors.
 */
#include <dal/embedding.h>
#include <dal/select.h>
#include <dal/submodular.h>

#include <float.h>
#include <math.h>

#define MODE_OOD 0u
#define MODE_RARE 1u
#define MODE_REDUNDANCY 2u

/* Of all three; each declares those it reads. */
typedef struct options {
    uint32_t function, mode, avoid, embedding, similarity, concave, greedy, stop;
    double width, eta, nu, lambda, ridge, epsilon;
    dal_i64_list targets;
} options;

/* A selection: the sets, and which function to take as they turn out: [with Q][with P]. */
typedef struct question {
    const dal_host *host;
    const dal_view *view;
    const options *opt;
    int wants_queries;
    int wants_avoided;
    uint32_t avoid;                /* DAL_ROWS_LABELLED or DAL_ROWS_OOD */
    uint32_t function[2][2];
} question;

/* ---- the sets --------------------------------------------------------------------------------- */

static int is_target(const dal_i64_list *targets, int32_t cls)
{
    for (int64_t k = 0; k < targets->n; k++)
        if (targets->items[k] == cls)
            return 1;
    return 0;
}

static dal_status check_targets(const question *q, dal_error *err)
{
    const int64_t c = q->view->n_classes;
    for (int64_t k = 0; q->wants_queries && c > 0 && k < q->opt->targets.n; k++)
        if (q->opt->targets.items[k] >= c)
            return dal_fail(err, DAL_E_INVALID, "targets", "there is no class %lld: the data has %lld",
                            (long long)q->opt->targets.items[k], (long long)c);
    return DAL_OK;
}

/* Rows of L whose class is wanted; *n of them. */
static dal_status find_queries(const question *q, int64_t **rows, int64_t *n, dal_error *err)
{
    const int64_t n_labelled = q->view->count(q->view, DAL_ROWS_LABELLED);
    const int by_class = q->wants_queries && n_labelled > 0 && q->opt->targets.n > 0;
    const int32_t *classes = by_class ? q->view->classes(q->view, DAL_ROWS_LABELLED) : NULL;
    *n = 0;
    *rows = dal_array(q->host, n_labelled, sizeof **rows);
    if (!*rows)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld labelled samples", (long long)n_labelled);
    if (by_class && !classes)
        return dal_fail(err, DAL_E_INVALID, "targets", "the classes of the labelled samples are not known");
    for (int64_t i = 0; q->wants_queries && i < n_labelled; i++)
        if (!by_class || is_target(&q->opt->targets, classes[i]))
            (*rows)[(*n)++] = i;
    return DAL_OK;
}

typedef struct sets {
    dal_embedding v, q, p;
    int64_t *rows, n_queries, n_avoided;
} sets;

static dal_status embed_sets(const question *q, sets *s, dal_error *err)
{
    const uint32_t gradient = q->opt->embedding;
    const int32_t directions = q->opt->similarity == DAL_COSINE;
    dal_status st = find_queries(q, &s->rows, &s->n_queries, err);
    s->n_avoided = q->wants_avoided ? q->view->count(q->view, q->avoid) : 0;
    const int32_t further = s->n_avoided > 0 && q->avoid == DAL_ROWS_OOD;
    const dal_embed_spec v = {.struct_size = sizeof v,
                              .set = DAL_ROWS_CANDIDATES,
                              .embedding = gradient,
                              .further = further,
                              .directions = directions};
    const dal_embed_spec to = {.struct_size = sizeof to,
                               .set = DAL_ROWS_LABELLED,
                               .rows = s->rows,
                               .n = s->n_queries,
                               .embedding = gradient,
                               .label = DAL_EMBED_CLASS,
                               .further = further,
                               .directions = directions};
    const dal_embed_spec from = {.struct_size = sizeof from,
                                 .set = q->avoid,
                                 .embedding = gradient,
                                 .further = further,
                                 .label = q->avoid == DAL_ROWS_OOD ? DAL_EMBED_NONE : DAL_EMBED_CLASS,
                                 .directions = directions};
    if (st == DAL_OK)
        st = dal_embed(q->host, q->view, &v, &s->v, err);
    if (st == DAL_OK && s->n_queries > 0)
        st = dal_embed(q->host, q->view, &to, &s->q, err);
    if (st == DAL_OK && s->n_avoided > 0)
        st = dal_embed(q->host, q->view, &from, &s->p, err);
    return st;
}

static void free_sets(const dal_host *host, sets *s)
{
    dal_embedding_free(host, &s->v);
    dal_embedding_free(host, &s->q);
    dal_embedding_free(host, &s->p);
    host->free(host, s->rows);
}

/* ---- the answer ------------------------------------------------------------------------------- */

static dal_status maximise(const question *q, const sets *s, dal_picks *picks, dal_error *err)
{
    const options *opt = q->opt;
    const double stops[] = {-(double)INFINITY, -DBL_MIN, 0};
    const double width = opt->width > 0 ? opt->width : sqrt((double)s->v.points.x.cols / 2);
    const dal_rng stream = q->host->rng(q->host, "stochastic", q->view->round);
    const dal_submodular f = {.struct_size = sizeof f, .function = q->function[s->n_queries > 0][s->n_avoided > 0],
                              .similarity = {opt->similarity, 0, width}, .candidates = &s->v.points,
                              .queries = s->n_queries > 0 ? &s->q.points : NULL,
                              .avoided = s->n_avoided > 0 ? &s->p.points : NULL, .lambda = opt->lambda,
                              .eta = opt->eta, .nu = opt->nu, .ridge = opt->ridge, .concave = opt->concave};
    const dal_greedy_options greedy = {.struct_size = sizeof greedy, .engine = opt->greedy, .n_picks = picks->want,
                                       .epsilon = opt->epsilon, .rng = &stream, .stop = stops[opt->stop]};
    if (q->wants_queries && s->n_queries == 0)
        dal_logf(q->host, DAL_LOG_WARNING, "nothing is labelled that picks should be like: they are only to be "
                 "representative%s", s->n_avoided > 0 ? ", and unlike what is avoided" : "");
    return dal_pick_greedily(q->host, &f, &greedy, q->view, picks, err);
}

static dal_status answer(const question *q, dal_picks *picks, dal_error *err)
{
    sets s = {0};
    dal_status st = check_targets(q, err);
    if (st == DAL_OK)
        st = embed_sets(q, &s, err);
    if (st == DAL_OK)
        st = maximise(q, &s, picks, err);
    free_sets(q->host, &s);
    return st;
}

static dal_status smi_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const options *opt = self->options;
    const uint32_t mutual = DAL_FL1MI + opt->function, plain = mutual == DAL_LOGDETMI ? DAL_LOGDET : DAL_FL;
    const question q = {.host = self->host, .view = view, .opt = opt, .wants_queries = 1,
                        .function = {{plain, plain}, {mutual, mutual}}};
    return answer(&q, picks, err);
}

static dal_status scg_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const options *opt = self->options;
    static const uint32_t plain[] = {DAL_FL, DAL_GC, DAL_LOGDET}, gain[] = {DAL_FLCG, DAL_GCCG, DAL_LOGDETCG};
    const question q = {.host = self->host, .view = view, .opt = opt, .wants_avoided = 1,
                        .avoid = opt->avoid ? DAL_ROWS_OOD : DAL_ROWS_LABELLED,
                        .function = {{plain[opt->function], gain[opt->function]}}};
    return answer(&q, picks, err);
}

static dal_status similar_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const options *opt = self->options;
    static const uint32_t measures[2][2][2] = {{{DAL_LOGDET, DAL_LOGDETCG}, {DAL_LOGDETMI, DAL_LOGDETCMI}},
                                               {{DAL_FL, DAL_FLCG}, {DAL_FL1MI, DAL_FLCMI}}};
    question q = {.host = self->host, .view = view, .opt = opt,
                  .wants_queries = opt->mode != MODE_REDUNDANCY, .wants_avoided = opt->mode != MODE_RARE,
                  .avoid = opt->mode == MODE_OOD ? DAL_ROWS_OOD : DAL_ROWS_LABELLED};
    memcpy(q.function, measures[opt->function], sizeof q.function);
    return answer(&q, picks, err);
}

/* ---- cost ------------------------------------------------------------------------------------- */

/* factors: of determinants; 0: facility location and the like, of n candidates against `against` targets */
static void cost_of(const options *opt, const dal_problem *problem, int factors, double against, dal_cost *out)
{
    const double n = (double)problem->n, m = (double)problem->n_labelled, b = (double)problem->n_query;
    const double wide = (double)problem->d + (opt->embedding == DAL_EMBED_GRADIENT ? (double)problem->c : 0);
    const double y = opt->embedding == DAL_EMBED_GRADIENT ? (double)problem->c + 1 : 0;
    out->bytes = 110 * n + 4 * (n + m) * y + 4 * m * (double)problem->d + 32 * n + 4e6;
    out->flops = 2 * n * m * wide;
    if (factors > 0) {
        out->bytes += factors * 8 * n * (m + 2 * b) + 8 * m * m;
        out->flops += factors * (2 * n * m * (wide + m / 2) + 2 * n * b * (wide + m + b / 2));
        snprintf(out->formula, sizeof out->formula, "O(n (m + b) (d + m + b)) time, O(n (m + b) + m^2) memory, "
                 "m labelled");
    } else {
        out->flops += 6 * n * against * wide;
        snprintf(out->formula, sizeof out->formula, "O(n %s d) lazily, O(n) memory", against < n ? "m" : "n");
    }
}

static void smi_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : options_;
    const uint32_t f = DAL_FL1MI + opt->function;
    cost_of(opt, problem, f == DAL_LOGDETMI ? 2 : 0, (double)(f == DAL_FL1MI ? problem->n : problem->n_labelled),
            out);
}

static void scg_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : options_;
    cost_of(opt, problem, opt->function == 2 ? 1 : 0,
            (double)(opt->function == 0 ? problem->n : problem->n_query), out);
}

static void similar_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : options_;
    cost_of(opt, problem, opt->function == 0 ? (opt->mode == MODE_REDUNDANCY ? 1 : 2) : 0, (double)problem->n,
            out);
}

/* ---- what the module offers ------------------------------------------------------------------- */

#define IMPL(name)                                                              \
    static const dal_strategy_impl name##_impl = {                              \
        .struct_size = sizeof name##_impl, .create = dal_stateless_create,      \
        .destroy = dal_stateless_destroy, .select = name##_select, .cost = name##_cost}
IMPL(similar);
IMPL(smi);
IMPL(scg);

#define COMPARED(P, T)                                                                                           \
    P(T, embedding, CHOICE, "gradient", "features|gradient", "", "what is compared")                             \
    P(T, similarity, CHOICE, "cosine", "cosine|rbf|dot", "", "how")                                              \
    P(T, width, F64, "0", "0..", "", "of rbf, exp(-distance^2 / (2 width^2)); 0: sqrt(d / 2)")                   \
    P(T, ridge, F64, "1", "0..", "", "determinants: added to the candidates' diagonal")                          \
    P(T, greedy, CHOICE, "lazy", "naive|lazy|stochastic", "", "lazy picks what naive picks; stochastic not")     \
    P(T, epsilon, F64, "0.1", "(0..1)", "", "stochastic: (n / b) ln(1 / epsilon) candidates a pick")             \
    P(T, stop, CHOICE, "never", "never|negative|zero", "", "end before a pick whose gain is so")
#define TARGETS(P, T) P(T, targets, I64S, "", "0..", "", "classes of labelled samples to be like; none: all")
#define ETA(P, T) P(T, eta, F64, "1", "0..1", "", "weight of being like the queries")
#define NU(P, T) P(T, nu, F64, "1", "0..1", "", "strictness of being unlike what is avoided")
#define SIMILAR_PARAMS(P, T)                                                                                     \
    P(T, function, CHOICE, "logdetcmi", "logdetcmi|flcmi", "", "of the log-determinant or of facility location") \
    P(T, mode, CHOICE, "ood", "ood|rare|redundancy", "",                                                         \
      "like L and unlike samples of no class; like `targets`; unlike L")                                         \
    TARGETS(P, T) ETA(P, T) NU(P, T) COMPARED(P, T)
#define SMI_PARAMS(P, T)                                                                                         \
    P(T, function, CHOICE, "fl2mi", "fl1mi|fl2mi|gcmi|com|logdetmi", "", "the mutual information")               \
    P(T, concave, CHOICE, "log", "log|sqrt|ratio", "", "com: psi; ln(1 + x), sqrt x, x / (1 + x)")               \
    TARGETS(P, T) ETA(P, T) COMPARED(P, T)
#define SCG_PARAMS(P, T)                                                                                         \
    P(T, function, CHOICE, "flcg", "flcg|gccg|logdetcg", "", "the conditional gain")                             \
    P(T, avoid, CHOICE, "labelled", "labelled|ood", "", "what to be unlike: L, or samples of no class")          \
    P(T, lambda, F64, "0.4", "0..", "", "gccg: the price of redundancy")                                         \
    NU(P, T) COMPARED(P, T)
#define COMPONENTS(C)                                                                                            \
    C(STRATEGY, "similar", similar_impl, "like what is labelled and unlike what belongs to no class",            \
      "Kothawade et al., NeurIPS 2021", DAL_CAP_FEATURES " " DAL_CAP_OUTPUTS, "", options, SIMILAR_PARAMS)       \
    C(STRATEGY, "smi", smi_impl, "like labelled samples of some classes: submodular mutual information",         \
      "Kothawade et al., NeurIPS 2021", DAL_CAP_FEATURES " " DAL_CAP_OUTPUTS, "", options, SMI_PARAMS)           \
    C(STRATEGY, "scg", scg_impl, "unlike what is labelled: submodular conditional gain",                         \
      "Kothawade et al., NeurIPS 2021", DAL_CAP_FEATURES " " DAL_CAP_OUTPUTS, "", options, SCG_PARAMS)
#define ABOUT(A)                                                                                    \
    A(STRATEGY, "similar",                                                                          \
      "greedy argmax_A I_f(A; Q | P), Q labelled, P queried samples of no class",                   \
      "cosines as (1 + cos) / 2 (ALScope: raw); a further class of probability 0 for P, where the " \
      "paper trains C + 1 outputs")                                                                 \
    A(STRATEGY, "smi",                                                                              \
      "greedy argmax_A I_f(A; Q), Q labelled samples of some classes",                              \
      "cosines as (1 + cos) / 2")                                                                   \
    A(STRATEGY, "scg",                                                                              \
      "greedy argmax_A f(A | P), P what is labelled",                                               \
      "cosines as (1 + cos) / 2")
#define WHEN(W)                                                  \
    W(STRATEGY, "similar", DAL_CAP_OUTPUTS, "embedding", "gradient") \
    W(STRATEGY, "smi", DAL_CAP_OUTPUTS, "embedding", "gradient")     \
    W(STRATEGY, "scg", DAL_CAP_OUTPUTS, "embedding", "gradient")
DAL_MODULE_WHEN(similar, "1.0", "Apache-2.0", COMPONENTS, ABOUT, WHEN, NULL, NULL)
