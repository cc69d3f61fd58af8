/* submodular: a subset that stands for the pool, or is spread over it, by greedy maximisation of a set function.
 * fass: the same among the samples the model is least sure of.
 *
 * Wei, Iyer, Bilmes, "Submodularity in data subset selection and active learning", ICML 2015 (fass: algorithm 1);
 * Iyer & Bilmes 2013 and the DISTIL toolkit for the functions. With A the picks, V the candidates, s_ij a
 * similarity:
 *
 *     fl             sum_{i in V} max_{j in A} s_ij                              facility location
 *     gc             sum_{i in V, j in A} s_ij - lambda sum_{i, j in A} s_ij     graph cut
 *     logdet         ln det(S_A + ridge I)
 *     disparity-sum  sum_{i < j in A} (1 - s_ij)
 *     disparity-min  min_{i != j in A} (1 - s_ij): farthest first
 *     feature-based  sum_k psi(sum_{j in A} h_jk), h >= 0
 *
 *     A = {};  b times: A = A + argmax_j f(A + j) - f(A)                         b -> picks->want
 *
 * The score of a pick is its gain; ties go to the lowest pool index. What is labelled already plays no part (scg
 * is for that). s is (1 + cos) / 2 of penultimate features h; of last-layer gradients under the predicted class
 * (DISTIL's option) in submodular-gradient, which so needs outputs, too.
 *
 * fass keeps the top_n b samples of highest entropy and maximises facility location over these (V: these alone).
 * With classes: apart it is the paper's f_NN: only samples of one predicted class are alike, and each is
 * represented by picks of its own class; the greedy sequences of the classes, merged by gain, are the greedy
 * sequence of the sum.
 *
 * Here an n x n kernel is never made (the DISTIL code and its relatives have one). Facility location takes O(n^2
 * d) at the speed of matrix products for each round of looks at everybody, of which lazy greedy makes few;
 * `neighbours` keeps the nearest of each sample instead, one round, for pools of 50,000 and more.
 */
#include <dal/embedding.h>
#include <dal/select.h>
#include <dal/submodular.h>
#include <dal/topk.h>
#include <dal/uncertainty.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define STOP_NEVER 0u
#define STOP_NEGATIVE 1u
#define STOP_ZERO 2u

typedef struct options {
    uint32_t function, similarity, concave, greedy, stop;
    double width, lambda, ridge, epsilon;
    int64_t neighbours;
} options;

typedef struct fass_options {
    int64_t top_n;
    uint32_t uncertainty, classes;
} fass_options;

/* exp(-||i - j||^2 / d) where no width is given */
static dal_similarity similarity_of(uint32_t kind, double width, int64_t d)
{
    return (dal_similarity){kind, 0, width > 0 ? width : sqrt((double)d / 2)};
}

/* ---- submodular ------------------------------------------------------------------------------- */

static dal_status maximise(const dal_stateless *self, uint32_t embedding, const dal_view *view, dal_picks *picks,
                           dal_error *err)
{
    const dal_host *host = self->host;
    const options *opt = self->options;
    const dal_rng stream = host->rng(host, "stochastic", view->round);
    const dal_embed_spec all = {.struct_size = sizeof all, .set = DAL_ROWS_CANDIDATES, .embedding = embedding,
                                .directions = opt->similarity == DAL_COSINE};
    const double stops[] = {-(double)INFINITY, -DBL_MIN, 0};
    const dal_greedy_options greedy = {.struct_size = sizeof greedy, .engine = opt->greedy, .n_picks = picks->want,
                                       .epsilon = opt->epsilon, .rng = &stream, .stop = stops[opt->stop]};
    dal_embedding v;
    dal_status st = dal_embed(host, view, &all, &v, err);
    if (st == DAL_OK) {
        const dal_submodular f = {.struct_size = sizeof f, .function = opt->function, .candidates = &v.points,
                                  .similarity = similarity_of(opt->similarity, opt->width, v.points.x.cols),
                                  .lambda = opt->lambda, .ridge = opt->ridge, .concave = opt->concave,
                                  .neighbours = opt->neighbours};
        st = dal_pick_greedily(host, &f, &greedy, view, picks, err);
    }
    dal_embedding_free(host, &v);
    return st;
}

static dal_status submodular_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    return maximise(p, DAL_EMBED_FEATURES, view, picks, err);
}

static dal_status gradient_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    return maximise(p, DAL_EMBED_GRADIENT, view, picks, err);
}

/* Of samples that are d + y numbers. */
static void cost_of(const options *opt, const dal_problem *problem, double y, dal_cost *out)
{
    const double n = (double)problem->n, b = (double)problem->n_query, d = (double)problem->d, width = d + y;
    const char *time = "O(n d)";
    out->bytes = 80 * n + 4 * n * (width - d) + 16 * n / 256 * 512 + 4e6;
    out->flops = 4 * n * width;
    if (opt->function == DAL_FL) {
        out->flops = (opt->neighbours > 0 ? 2 : 6) * n * n * width;
        out->bytes += d <= 1024 ? 40 * d * d + 16 * (1024 + d) * d : 0;
        out->bytes += opt->neighbours > 0 ? n * (4 * d + 24 * fmin(n, (double)opt->neighbours)) : 0;
        time = opt->neighbours > 0 ? "O(n^2 d)" : "O(n^2 d) lazily";
    } else if (opt->function == DAL_LOGDET) {
        out->flops = 2 * n * b * (width + b / 2);
        out->bytes += 8 * n * b;
        time = "O(n b (d + b)) lazily";
    } else if (opt->function != DAL_FEATURE_BASED) {
        out->flops += 2 * n * b * width + (opt->similarity == DAL_RBF ? 2 * n * n * width : 0);
        time = "O(n b d)";
    }
    snprintf(out->formula, sizeof out->formula, "%s time, %s memory", time,
             opt->function == DAL_LOGDET ? "O(n b) at most" : y > 0 ? "O(n c)" : "O(n)");
}

static void submodular_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    cost_of(dal_stateless_options(self, options_), problem, 0, out);
}

static void gradient_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    cost_of(dal_stateless_options(self, options_), problem, (double)problem->c, out);
}

/* ---- fass ------------------------------------------------------------------------------------- */

typedef struct fass {
    const dal_host *host;
    const dal_view *view;
    const fass_options *opt;
    int64_t want, n;
    int64_t *rows;     /* [n] candidates that are kept, ascending; then grouped by class */
    int32_t *classes;  /* [n] predicted */
    int64_t *picks;    /* [n] as positions in rows, class after class */
    double *gain;      /* [n] */
} fass;

static void uncertainty_of(const fass *f, const dal_outputs *o, double *out)
{
    void (*const score[])(const dal_outputs *, double *) = {dal_entropy, dal_margin, dal_least_confidence};
    score[f->opt->uncertainty](o, out);
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The top_n b least sure candidates, ascending. */
static dal_status keep_unsure(fass *f, const dal_outputs *o, dal_error *err)
{
    const int64_t n = o->values.rows;
    double *scores = dal_array(f->host, n, sizeof *scores), *best = dal_array(f->host, f->n, sizeof *best);
    dal_topk top;
    const dal_status st = scores && best ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld scores",
                                                             (long long)n);
    if (st == DAL_OK) {
        uncertainty_of(f, o, scores);
        dal_topk_init(&top, f->n, f->opt->uncertainty == 0 ? DAL_LARGEST_FIRST : DAL_SMALLEST_FIRST, best,
                      f->rows);
        dal_topk_push(&top, scores, 0, n);
        qsort(f->rows, (size_t)f->n, sizeof *f->rows, ascending);
    }
    f->host->free(f->host, scores);
    f->host->free(f->host, best);
    return st;
}

static int32_t predicted(const dal_outputs *o, int64_t row)
{
    const float *x = o->values.data + row * o->values.stride;
    int64_t y = 0;
    for (int64_t k = 1; k < o->values.cols; k++)
        y = x[k] > x[y] ? k : y;
    return (int32_t)y;
}

/* Facility location over rows first..first+n-1 of what is kept, up to want picks; *made of them. */
static dal_status locate(const fass *f, int64_t first, int64_t n, int64_t *made, dal_error *err)
{
    const dal_embed_spec some = {.struct_size = sizeof some,
                                 .set = DAL_ROWS_CANDIDATES,
                                 .rows = f->rows + first,
                                 .n = n,
                                 .embedding = DAL_EMBED_FEATURES};
    const dal_greedy_options greedy = {.struct_size = sizeof greedy, .engine = DAL_LAZY,
                                       .n_picks = n < f->want ? n : f->want, .stop = -(double)INFINITY};
    dal_set_function *location = NULL;
    dal_embedding v;
    dal_status st = dal_embed(f->host, f->view, &some, &v, err);
    if (st == DAL_OK) {
        const dal_submodular spec = {.struct_size = sizeof spec, .function = DAL_FL, .candidates = &v.points};
        st = dal_submodular_new(f->host, &spec, &location, err);
    }
    if (st == DAL_OK)
        st = dal_greedy(f->host, location, &greedy, f->picks + first, f->gain + first, made, err);
    dal_set_function_free(location);
    dal_embedding_free(f->host, &v);
    for (int64_t k = 0; st == DAL_OK && k < *made; k++)
        f->picks[first + k] = f->rows[first + f->picks[first + k]];
    return st;
}

/* The largest gain comes next, of whatever class; ties: the lowest row. heads and ends: [groups] of the sequences.
 */
static void merge(const fass *f, int64_t *heads, const int64_t *ends, int64_t groups, dal_picks *picks)
{
    const int64_t *ids = f->view->ids(f->view, DAL_ROWS_CANDIDATES);
    for (picks->n = 0; picks->n < f->want; picks->n++) {
        int64_t best = -1;
        for (int64_t g = 0; g < groups; g++) {
            if (heads[g] == ends[g])
                continue;
            const int64_t at = heads[g], top = best < 0 ? at : heads[best];
            if (best < 0 || f->gain[at] > f->gain[top] ||
                (f->gain[at] >= f->gain[top] && f->picks[at] < f->picks[top]))
                best = g;
        }
        picks->ids[picks->n] = ids[f->picks[heads[best]]];
        picks->scores[picks->n] = f->gain[heads[best]++];
    }
}

/* Rows class by class, in order within each; starts [c + 1]. */
static dal_status group(fass *f, const dal_outputs *o, int64_t groups, int64_t *starts, dal_error *err)
{
    int64_t *sorted = dal_array(f->host, f->n, sizeof *sorted);
    if (!sorted)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)f->n);
    int64_t at = 0;
    for (int64_t i = 0; i < f->n; i++)
        f->classes[i] = groups > 1 ? predicted(o, f->rows[i]) : 0;
    for (int64_t g = 0; g < groups; g++) {
        starts[g] = at;
        for (int64_t i = 0; i < f->n; i++)
            if (f->classes[i] == g)
                sorted[at++] = f->rows[i];
    }
    starts[groups] = at;
    memcpy(f->rows, sorted, (size_t)f->n * sizeof *sorted);
    f->host->free(f->host, sorted);
    return DAL_OK;
}

static dal_status fass_pick(fass *f, const dal_outputs *o, dal_picks *picks, dal_error *err)
{
    const int64_t groups = f->opt->classes ? o->values.cols : 1;
    int64_t *starts = dal_array(f->host, groups + 1, sizeof *starts),
            *ends = dal_array(f->host, groups, sizeof *ends);
    dal_status st = starts && ends
                        ? keep_unsure(f, o, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld classes", (long long)groups);
    if (st == DAL_OK)
        st = group(f, o, groups, starts, err);
    for (int64_t g = 0; st == DAL_OK && g < groups; g++) {
        int64_t made = 0;
        if (starts[g + 1] > starts[g])
            st = locate(f, starts[g], starts[g + 1] - starts[g], &made, err);
        ends[g] = starts[g] + made;
    }
    if (st == DAL_OK)
        merge(f, starts, ends, groups, picks);
    f->host->free(f->host, starts);
    f->host->free(f->host, ends);
    return st;
}

static dal_status fass_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const fass_options *opt = self->options;
    dal_outputs o;
    dal_status st = view->outputs(view, DAL_ROWS_CANDIDATES, &o, err);
    if (st != DAL_OK)
        return st;
    const int64_t n = o.values.rows;
    fass f = {.host = host, .view = view, .opt = opt, .want = picks->want,
              .n = picks->want > n / opt->top_n ? n : opt->top_n * picks->want};
    f.rows = dal_array(host, f.n, sizeof *f.rows);
    f.classes = dal_array(host, f.n, sizeof *f.classes);
    f.picks = dal_array(host, f.n, sizeof *f.picks);
    f.gain = dal_array(host, f.n, sizeof *f.gain);
    st = f.rows && f.classes && f.picks && f.gain
             ? fass_pick(&f, &o, picks, err)
             : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)f.n);
    host->free(host, f.rows);
    host->free(host, f.classes);
    host->free(host, f.picks);
    host->free(host, f.gain);
    return st;
}

static void fass_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const fass_options *opt = self ? ((const dal_stateless *)self)->options : options_;
    const double n = (double)problem->n, d = (double)problem->d,
                 m = fmin(n, (double)opt->top_n * (double)problem->n_query);
    out->bytes = 8 * n + m * (4 * d + 150) + 40 * d * d + 4e6;
    out->flops = 20 * n * (double)problem->c + 6 * m * m * d;
    snprintf(out->formula, sizeof out->formula, "O(n c + m^2 d) time, O(n + m d) memory, m = min(n, %lld b)",
             (long long)opt->top_n);
}

/* ---- what the module offers ------------------------------------------------------------------- */

static const dal_strategy_impl submodular_impl = {
    .struct_size = sizeof submodular_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = submodular_select,
    .cost = submodular_cost,
};

static const dal_strategy_impl gradient_impl = {
    .struct_size = sizeof gradient_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = gradient_select,
    .cost = gradient_cost,
};

static const dal_strategy_impl fass_impl = {
    .struct_size = sizeof fass_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = fass_select,
    .cost = fass_cost,
};

#define PARAMS(P, T)                                                                                           \
    P(T, function, CHOICE, "fl", "fl|gc|logdet|disparity-sum|disparity-min|feature-based", "",                 \
      "what is maximised")                                                                                     \
    P(T, similarity, CHOICE, "cosine", "cosine|rbf|dot", "", "how; feature-based does not compare")            \
    P(T, width, F64, "0", "0..", "", "of rbf, exp(-distance^2 / (2 width^2)); 0: sqrt(d / 2)")                 \
    P(T, lambda, F64, "0.4", "0..", "", "gc: the price of redundancy; gains are positive up to 0.5")           \
    P(T, ridge, F64, "1", "0..", "", "logdet: added to the diagonal")                                          \
    P(T, concave, CHOICE, "log", "log|sqrt|ratio", "", "feature-based: psi; ln(1 + x), sqrt x, x / (1 + x)")   \
    P(T, greedy, CHOICE, "lazy", "naive|lazy|stochastic", "", "lazy picks what naive picks; stochastic not")   \
    P(T, epsilon, F64, "0.1", "(0..1)", "", "stochastic: (n / b) ln(1 / epsilon) candidates a pick")           \
    P(T, neighbours, I64, "0", "0..", "",                                                                      \
      "fl by cosine or rbf of features: so many are alike to a sample, others not at all (approximate); 0: all") \
    P(T, stop, CHOICE, "never", "never|negative|zero", "", "end before a pick whose gain is so")
#define FASS_PARAMS(P, T)                                                                                      \
    P(T, top_n, I64, "5", "1..", "", "candidates kept for each pick")                                          \
    P(T, uncertainty, CHOICE, "entropy", "entropy|margin|least-confidence", "", "how they are ranked")         \
    P(T, classes, CHOICE, "together", "together|apart", "", "apart: only one predicted class is alike (paper)")
#define COMPONENTS(C)                                                                                          \
    C(STRATEGY, "submodular", submodular_impl, "a subset that stands for the pool: greedy on a set function", \
      "Wei, Iyer, Bilmes, ICML 2015", DAL_CAP_FEATURES, "", options, PARAMS)                                   \
    C(STRATEGY, "submodular-gradient", gradient_impl, "submodular, comparing last-layer gradients",            \
      "Wei, Iyer, Bilmes, ICML 2015", DAL_CAP_FEATURES " " DAL_CAP_OUTPUTS, "", options, PARAMS)               \
    C(STRATEGY, "fass", fass_impl, "facility location among the least sure",                                   \
      "Wei, Iyer, Bilmes, ICML 2015", DAL_CAP_FEATURES " " DAL_CAP_OUTPUTS, "", fass_options, FASS_PARAMS)
#define ABOUT(A)                                                                \
    A(STRATEGY, "submodular",                                                   \
      "b times argmax_j f(A + j) - f(A); fl: f = sum_i max_{j in A} s_ij",      \
      "no n x n kernel; ridge 1 on determinants as in DISTIL")                  \
    A(STRATEGY, "submodular-gradient",                                          \
      "submodular with s_ij of last-layer gradients under the predicted class", \
      "gradients are never formed")                                             \
    A(STRATEGY, "fass",                                                         \
      "facility location over the top_n b samples of highest entropy",          \
      "classes: apart is the f_NN of the paper, together what DISTIL has")
DAL_MODULE_ABOUT(submodular, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
