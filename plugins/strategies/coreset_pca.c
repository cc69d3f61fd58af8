/* coreset-pca: k-center greedy (see coreset) in the space of the first principal components.
 *
 * DeepAL+ (Zhan et al. 2022), "KCenterGreedyPCA": the features of candidates and labelled samples together are
 * projected on their `components` directions of largest variance, then Sener & Savarese, ICLR 2018, algorithm 1.
 * No projection where the features are no wider than that. Components beyond the rank of the features have no
 * variance and change no distance. Theirs projects in half precision, where squared lengths overflow; and measures
 * all pairs.
 *
 * Needs features. O(n d^2 + d^3) for the components, then k-center at their width (dal/kcenter.h).
 */
#include <dal/kcenter.h>
#include <dal/pca.h>
#include <dal/select.h>

#include <math.h>

typedef struct options {
    int64_t components;
} options;

/* Projected copies of candidates and labelled features, or the features themselves. */
typedef struct space {
    dal_matrix sets[2];
    float *copies[2];
} space;

static dal_status project(const dal_host *host, int64_t k, space *s, dal_error *err)
{
    const int64_t d = s->sets[0].cols;
    int64_t cells, sizes[2];
    const int fits = dal_size_mul(k, d, &cells) && dal_size_mul(s->sets[0].rows, k, &sizes[0]) &&
                     dal_size_mul(s->sets[1].rows, k, &sizes[1]);
    double *mean = dal_array(host, d, sizeof *mean);
    float *components = fits ? dal_array(host, cells, sizeof *components) : NULL;
    for (int i = 0; i < 2; i++)
        s->copies[i] = fits ? dal_array(host, sizes[i], sizeof *s->copies[i]) : NULL;
    dal_status st = mean && components && s->copies[0] && s->copies[1]
                        ? dal_pca(host, s->sets, 2, k, mean, components, NULL, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld components", (long long)k);
    for (int i = 0; st == DAL_OK && i < 2; i++) {
        if (s->sets[i].rows > 0)
            st = dal_pca_project(host, &s->sets[i], k, mean, components, s->copies[i], err);
        s->sets[i] = (dal_matrix){s->copies[i], s->sets[i].rows, k, k};
    }
    host->free(host, mean);
    host->free(host, components);
    return st;
}

static dal_status make_space(const dal_host *host, const dal_view *view, int64_t k, space *s, dal_error *err)
{
    *s = (space){0};
    dal_status st = view->features(view, DAL_ROWS_CANDIDATES, &s->sets[0], err);
    if (st == DAL_OK && view->count(view, DAL_ROWS_LABELLED) > 0)
        st = view->features(view, DAL_ROWS_LABELLED, &s->sets[1], err);
    return st == DAL_OK && s->sets[0].cols > k ? project(host, k, s, err) : st;
}

static dal_status coreset_pca_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    space s = {0};
    int64_t n = 0;
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    int64_t *rows = dal_array(host, picks->want, sizeof *rows);
    float *distance = dal_array(host, picks->want, sizeof *distance);
    dal_status st = rows && distance ? make_space(host, view, opt->components, &s, err)
                                     : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld picks",
                                                (long long)picks->want);
    if (st == DAL_OK) {
        const dal_kcenter_problem problem = {.struct_size = sizeof problem, .candidates = s.sets[0],
                                             .centres = &s.sets[1], .n_centres = s.sets[1].rows > 0,
                                             .n_picks = picks->want};
        st = dal_kcenter(host, &problem, rows, distance, &n, err);
    }
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        picks->scores[i] = isinf(distance[i]) ? (double)NAN : sqrt((double)distance[i]);
    if (st == DAL_OK)
        dal_pick_rows(view, rows, NULL, n, picks);
    host->free(host, rows);
    host->free(host, distance);
    host->free(host, s.copies[0]);
    host->free(host, s.copies[1]);
    return st;
}

static void coreset_pca_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = dal_stateless_options(self, options_);
    const double n = (double)problem->n, l = (double)problem->n_labelled, d = (double)problem->d;
    const double k = d > (double)opt->components ? (double)opt->components : d;
    out->bytes = 4 * (n + l) * k + 32 * n + 8 * d * d + 4 * 512 * d + 8e6;
    out->flops = 2 * (n + l) * d * (d + k) + 10 * d * d * d + 2 * n * l * k + 3 * n * (double)problem->n_query * k;
    snprintf(out->formula, sizeof out->formula, "O(n d^2 + d^3 + n (n_l + b) k) time, O(n k + d^2) memory");
}

static const dal_strategy_impl coreset_pca_impl = {
    .struct_size = sizeof coreset_pca_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = coreset_pca_select,
    .cost = coreset_pca_cost,
};

#define PARAMS(P, T) P(T, components, I64, "50", "1..", "", "principal components the distances are measured in")
#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "coreset-pca", coreset_pca_impl, "farthest first on the principal components of features", \
      "Zhan et al. 2022, arXiv 2203.13450", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                \
    A(STRATEGY, "coreset-pca",                                                  \
      "coreset on the first `components` principal components of all features", \
      "in float, where DeepAL+ overflows in half precision")
DAL_MODULE_ABOUT(coreset_pca, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
