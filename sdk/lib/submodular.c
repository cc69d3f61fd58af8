#include <dal/submodular.h>

#include "set_functions.h"
#include "similarity.h"

#include <dal/select.h>
#include <math.h>

double largest_alike(const dal_similarity *s, const dal_points *a, const dal_points *b)
{
    return s->kind == DAL_DOT ? sqrt(sim_largest(a) * sim_largest(b)) : 1;
}

static int any(const dal_points *p)
{
    return p && p->x.rows > 0;
}

static dal_status no_memory(int64_t n, dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld samples", (long long)n);
}

/* factor * (the largest similarity, or the sum of similarities, of each row of a with b); NULL where b is empty.
 */
static dal_status scaled(const dal_host *host, const dal_submodular *s, const dal_points *a, const dal_points *b,
                         dal_status (*measure)(const dal_host *, const dal_similarity *, const dal_points *,
                                               const dal_points *, double *, dal_error *),
                         double factor, double **out, dal_error *err)
{
    if (!any(b))
        return DAL_OK;
    *out = dal_array(host, a->x.rows, sizeof **out);
    if (!*out)
        return no_memory(a->x.rows, err);
    const dal_status st = measure(host, &s->similarity, a, b, *out, err);
    for (int64_t i = 0; st == DAL_OK && i < a->x.rows; i++)
        (*out)[i] *= factor;
    return st;
}

/* FL, FL1MI, FLCG, FLCMI: targets are the candidates, capped by eta s_iQ, with nu s_iP covered before. */
static dal_status new_location(const dal_host *host, const dal_submodular *s, int queries, int avoided,
                               dal_set_function **out, dal_error *err)
{
    double *floor = NULL, *cap = NULL;
    dal_status st = DAL_OK;
    if (queries)
        st = scaled(host, s, s->candidates, s->queries, dal_most_alike, s->eta, &cap, err);
    if (st == DAL_OK && avoided)
        st = scaled(host, s, s->candidates, s->avoided, dal_most_alike, s->nu, &floor, err);
    if (st == DAL_OK)
        return cover_new(host, &s->similarity, s->candidates, s->candidates, floor, cap, NULL, out, err);
    host->free(host, floor);
    host->free(host, cap);
    return st;
}

static dal_status new_fl2mi(const dal_host *host, const dal_submodular *s, dal_set_function **out, dal_error *err)
{
    double *bonus = NULL;
    const dal_status st = scaled(host, s, s->candidates, s->queries, dal_most_alike, s->eta, &bonus, err);
    if (st == DAL_OK)
        return cover_new(host, &s->similarity, s->candidates, s->queries, NULL, NULL, bonus, out, err);
    host->free(host, bonus);
    return st;
}

/* GC, GCCG, GCMI: modular but for 2 lambda sum_{i in A} s_ij. */
static dal_status new_cut(const dal_host *host, const dal_submodular *s, dal_set_function **out, dal_error *err)
{
    const dal_points *v = s->candidates;
    const int mutual = s->function == DAL_GCMI;
    double *bonus = NULL, *less = NULL;
    dal_status st = scaled(host, s, v, mutual ? s->queries : v, dal_sum_alike, 1, &bonus, err);
    if (st == DAL_OK && s->function == DAL_GCCG)
        st = scaled(host, s, v, s->avoided, dal_sum_alike, 2 * s->lambda * s->nu, &less, err);
    for (int64_t j = 0; st == DAL_OK && !mutual && j < v->x.rows; j++)
        bonus[j] -= s->lambda * dal_alike(&s->similarity, v, j, v, j) + (less ? less[j] : 0);
    host->free(host, less);
    if (st == DAL_OK)
        return pairwise_new(host, &s->similarity, v, PAIRWISE_PENALTY, mutual ? 0 : 2 * s->lambda, bonus, out,
                            err);
    host->free(host, bonus);
    return st;
}

static dal_status new_com(const dal_host *host, const dal_submodular *s, dal_set_function **out, dal_error *err)
{
    double *bonus = NULL;
    const dal_status st = scaled(host, s, s->candidates, s->queries, dal_sum_alike, 1, &bonus, err);
    if (st != DAL_OK) {
        host->free(host, bonus);
        return st;
    }
    for (int64_t j = 0; j < s->candidates->x.rows; j++)
        bonus[j] = s->eta * concave_of(s->concave, fmax(0, bonus[j]));
    return concave_new(host, &s->similarity, s->candidates, s->queries, s->concave, bonus, out, err);
}

static dal_status new_determinant(const dal_host *host, const dal_submodular *s, dal_set_function **out,
                                  dal_error *err)
{
    const int private = s->function == DAL_LOGDETCG || s->function == DAL_LOGDETCMI;
    const int queries = s->function == DAL_LOGDETMI || s->function == DAL_LOGDETCMI;
    const dal_points *p = private && any(s->avoided) ? s->avoided : NULL;
    const determinant_given given = {{NULL, p}, {0, s->nu}},
                            both = {{queries ? s->queries : NULL, p}, {s->eta, s->nu}};
    return determinant_new(host, s, &given, queries ? &both : NULL, out, err);
}

static dal_status check_spec(const dal_submodular *s, dal_error *err)
{
    const dal_points *others[] = {s->queries, s->avoided};
    const int of_queries = (s->function >= DAL_FL1MI && s->function <= DAL_LOGDETMI) || s->function >= DAL_FLCMI;
    if (s->function >= DAL_SET_FUNCTIONS)
        return dal_fail(err, DAL_E_INVALID, "function", "there is no set function %u", s->function);
    if (s->neighbours < 0 || (s->neighbours > 0 && (s->function != DAL_FL || s->similarity.kind == DAL_DOT ||
                                                    s->candidates->y.data)))
        return dal_fail(err, DAL_E_INVALID, "neighbours",
                        "neighbours are for facility location by cosine or rbf of "
                        "features, and not negative");
    if (of_queries && !any(s->queries))
        return dal_fail(err, DAL_E_INVALID, "", "no samples to be like (queries) are known");
    if (s->similarity.kind == DAL_RBF && !(s->similarity.width > 0))
        return dal_fail(err, DAL_E_INVALID, "", "the width of rbf is %g, expected a positive number",
                        s->similarity.width);
    for (int k = 0; k < 2; k++)
        if (any(others[k]) &&
            (others[k]->x.cols != s->candidates->x.cols || others[k]->y.cols != s->candidates->y.cols))
            return dal_fail(err, DAL_E_INVALID, "",
                            "features of candidates are %lld wide and those they are compared "
                            "with %lld",
                            (long long)s->candidates->x.cols, (long long)others[k]->x.cols);
    return DAL_OK;
}

dal_status dal_submodular_new(const dal_host *host, const dal_submodular *s, dal_set_function **out,
                              dal_error *err)
{
    const dal_similarity *alike = &s->similarity;
    const dal_status st = check_spec(s, err);
    *out = NULL;
    if (st != DAL_OK)
        return st;
    switch (s->function) {
    case DAL_FL:
        if (s->neighbours > 0)
            return sparse_cover_new(host, alike, s->candidates, s->neighbours, out, err);
        return new_location(host, s, 0, 0, out, err);
    case DAL_FL1MI:
        return new_location(host, s, 1, 0, out, err);
    case DAL_FLCG:
        return new_location(host, s, 0, 1, out, err);
    case DAL_FLCMI:
        return new_location(host, s, 1, 1, out, err);
    case DAL_FL2MI:
        return new_fl2mi(host, s, out, err);
    case DAL_GC:
    case DAL_GCCG:
    case DAL_GCMI:
        return new_cut(host, s, out, err);
    case DAL_COM:
        return new_com(host, s, out, err);
    case DAL_DISPARITY_SUM:
        return pairwise_new(host, alike, s->candidates, PAIRWISE_SUM, 0, NULL, out, err);
    case DAL_DISPARITY_MIN:
        return pairwise_new(host, alike, s->candidates, PAIRWISE_MIN, 0, NULL, out, err);
    case DAL_FEATURE_BASED:
        return concave_new(host, alike, s->candidates, NULL, s->concave, NULL, out, err);
    default:
        return new_determinant(host, s, out, err);
    }
}

dal_status dal_pick_greedily(const dal_host *host, const dal_submodular *spec, const dal_greedy_options *options,
                             const dal_view *view, dal_picks *picks, dal_error *err)
{
    dal_set_function *f = NULL;
    dal_greedy_options opt = *options;
    int64_t n = 0, *rows = dal_array(host, opt.n_picks, sizeof *rows);
    double *gain = dal_array(host, opt.n_picks, sizeof *gain);
    dal_status st = rows && gain ? dal_submodular_new(host, spec, &f, err) : no_memory(opt.n_picks, err);
    if (st == DAL_OK && opt.engine == DAL_LAZY && !f->falls)
        opt.engine = DAL_NAIVE;
    if (st == DAL_OK)
        st = dal_greedy(host, f, &opt, rows, gain, &n, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        gain[i] = isinf(gain[i]) ? (double)NAN : gain[i];
    if (st == DAL_OK)
        dal_pick_rows(view, rows, gain, n, picks);
    if (st == DAL_OK && n < opt.n_picks)
        snprintf(picks->reason, sizeof picks->reason, "no candidate adds more than %g any more", opt.stop);
    dal_set_function_free(f);
    host->free(host, rows);
    host->free(host, gain);
    return st;
}
