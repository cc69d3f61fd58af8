/* The dwus strategy through its table; its twin has the same centres and does the rest by plain sums and Newton's
 * method. */
#include "tests/unit/strategies/tabular.h"

#include "plugins/strategies/dwus.c"

static const options plain = {5, 100, 10, 2, 1, 1};

/* -objective of one problem at v [d + 1]. */
static double loss_at(const tw_table *t, const double *c, int64_t k, const double *resp, const double *y, double reg,
                      const double *v)
{
    double loss = 0;
    for (int64_t j = 0; j < t->d; j++)
        loss += reg / 2 * v[j] * v[j];
    for (int64_t i = 0; i < t->n_l; i++) {
        double sum = 0;
        for (int64_t q = 0; q < k; q++) {
            double u = v[t->d];
            for (int64_t j = 0; j < t->d; j++)
                u += v[j] * c[q * t->d + j];
            sum += resp[i * k + q] / (1 + exp(-y[i] * u));
        }
        loss -= log(sum);
    }
    return loss;
}

/* Newton from 0 with differences for derivatives, steps halved until they help; the gradient's own steps where it
 * bends. */
static void newton(const tw_table *t, const double *c, int64_t k, const double *resp, const double *y, double reg,
                   double *v)
{
    const int64_t n = t->d + 1;
    double *g = tw_array(n), *h = tw_array(n * n), *step = tw_array(n), *at = tw_array(n);
    memset(v, 0, (size_t)n * sizeof *v);
    for (int it = 0; it < 60; it++) {
        const double now = loss_at(t, c, k, resp, y, reg, v), e = 1e-4;
        for (int64_t a = 0; a < n; a++)
            for (int64_t b = 0; b <= a; b++) {
                double f[4];
                for (int s = 0; s < 4; s++) {
                    memcpy(at, v, (size_t)n * sizeof *v);
                    at[a] += s & 1 ? e : -e;
                    at[b] += s & 2 ? e : -e;
                    f[s] = loss_at(t, c, k, resp, y, reg, at);
                }
                h[a * n + b] = h[b * n + a] = (f[3] + f[0] - f[1] - f[2]) / (4 * e * e);
                if (a == b) {
                    h[a * n + a] = (f[3] + f[0] - 2 * now) / (4 * e * e);
                    /* five points */
                    double p[4];
                    for (int s = 0; s < 4; s++) {
                        memcpy(at, v, (size_t)n * sizeof *v);
                        at[a] += (const double[]){-2, -1, 1, 2}[s] * e;
                        p[s] = loss_at(t, c, k, resp, y, reg, at);
                    }
                    g[a] = step[a] = (p[0] - 8 * p[1] + 8 * p[2] - p[3]) / (12 * e);
                }
            }
        tw_solve(n, h, 1, step);
        double down = 0;
        for (int64_t a = 0; a < n; a++)
            down += step[a] * g[a];
        for (int64_t a = 0; down <= 0 && a < n; a++)
            step[a] = g[a];
        double size = 1;
        for (int half = 0; half < 40; half++, size /= 2) {
            for (int64_t a = 0; a < n; a++)
                at[a] = v[a] - size * step[a];
            if (loss_at(t, c, k, resp, y, reg, at) <= now)
                break;
        }
        memcpy(v, at, (size_t)n * sizeof *v);
    }
    free(g);
    free(h);
    free(step);
    free(at);
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    tw_table t = tw_make(r, opt->standardise);
    const int64_t all = t.n_l + t.n, k = opt->clusters < all ? opt->clusters : all, d = t.d;
    float *x = malloc((size_t)(all * d) * sizeof *x), *centres = malloc((size_t)(k * d) * sizeof *centres);
    for (int64_t i = 0; i < all * d; i++)
        x[i] = (float)t.x[i];
    const dal_kmeans_problem p = {.struct_size = sizeof p, .x = {x, all, d, d}, .k = k, .starts = opt->starts,
                                  .max_iterations = 300, .tolerance = 1e-4};
    dal_kmeans_result result = {.struct_size = sizeof result, .centres = centres};
    const dal_rng stream = host->rng(host, "kmeans", r->round);
    cr_assert_eq(dal_kmeans(host, &p, &stream, &result, NULL), DAL_OK);
    double *c = tw_array(k * d), *e = tw_array(all * k), *resp = tw_array(all * k), *prior = tw_array(k);
    double *sum = tw_array(k), *density = tw_array(all), *v = tw_array(d + 1), *score = tw_array(t.n);
    double *pos = tw_array(t.problems * t.n);
    char *taken = calloc((size_t)t.n, 1);
    for (int64_t q = 0; q < k; q++) {
        prior[q] = 1. / k;
        for (int64_t j = 0; j < d; j++)
            c[q * d + j] = centres[q * d + j];
        for (int64_t i = 0; i < all; i++) {
            double dist = 0;
            for (int64_t j = 0; j < d; j++)
                dist += pow(t.x[i * d + j] - c[q * d + j], 2);
            e[i * k + q] = exp(-dist / (2 * opt->sigma));
        }
    }
    for (int64_t step = 0; step <= opt->em_steps; step++) { /* the last time for P(k|x) and p(x) alone */
        memset(sum, 0, (size_t)k * sizeof *sum);
        for (int64_t i = 0; i < all; i++) {
            density[i] = 0;
            for (int64_t q = 0; q < k; q++)
                density[i] += prior[q] * e[i * k + q];
            for (int64_t q = 0; q < k; q++)
                sum[q] += resp[i * k + q] = prior[q] * e[i * k + q] / density[i];
        }
        for (int64_t q = 0; step < opt->em_steps && q < k; q++)
            prior[q] = sum[q] / all;
    }
    int one_class = 1;
    for (int64_t i = 1; i < t.n_l; i++)
        one_class &= r->set[DAL_ROWS_LABELLED].classes[i] == r->set[DAL_ROWS_LABELLED].classes[0];
    for (int64_t q = 0; !one_class && q < t.problems; q++) {
        newton(&t, c, k, resp, t.y + q * t.n_l, opt->c, v);
        for (int64_t i = 0; i < t.n; i++)
            for (int64_t a = 0; a < k; a++) {
                double u = v[d];
                for (int64_t j = 0; j < d; j++)
                    u += v[j] * c[a * d + j];
                pos[q * t.n + i] += resp[(t.n_l + i) * k + a] / (1 + exp(-u));
            }
    }
    for (int64_t i = 0; i < t.n; i++) {
        double most = 0, total = 0;
        for (int64_t q = 0; q < t.problems; q++) {
            most = fmax(most, pos[q * t.n + i]);
            total += pos[q * t.n + i];
        }
        const double doubtful = one_class || t.problems == 0 ? 0.5 : t.problems == 1 ? fmin(most, 1 - most)
            : 1 - most / total;
        score[i] = doubtful * density[t.n_l + i];
    }
    for (int64_t i = 0; i < b; i++) {
        rows[i] = tw_best(score, taken, t.n, -1);
        taken[rows[i]] = 1;
    }
    free(x);
    free(centres);
    free(c);
    free(e);
    free(resp);
    free(prior);
    free(sum);
    free(density);
    free(v);
    free(score);
    free(pos);
    free(taken);
    tw_free(&t);
    return b;
}

static const fx_spec rounds[] = {{61, 70, 20, 0, 2, 4, 0, 0},
                                 {62, 60, 30, 0, 3, 5, 0, 0},
                                 {63, 40, 0, 0, 2, 3, 0, 0},
                                 {64, 40, 12, 0, 2, 3, 0, FX_ONE_CLASS}};

Test(dwus, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&dwus_impl, &plain, twin, rounds, 4, 8);
}

Test(dwus, takes_all_shapes_of_rounds)
{
    static fx_picks p;
    const options paper = {5, 100, 3, 0.1, 1, 1};
    for (int64_t s = 0; s < fx_n_shapes; s++) {
        fx_round *r = fx_round_random(&fx_shapes[s]);
        fx_select(r, &dwus_impl, &paper, 7, 1, &p);
        for (int64_t i = 1; i < p.n; i++)
            cr_assert(isfinite(p.scores[i]) && p.scores[i] <= p.scores[i - 1]);
        fx_round_free(r);
    }
}

Test(dwus, prefers_the_dense_of_two_equally_unsure)
{
    /* labels at -1 and 1; two clusters in between, mirror images but for their sizes */
    float pool[30];
    const float known[4] = {-1, -1.1f, 1, 1.1f};
    const int32_t classes[4] = {0, 0, 1, 1};
    const options opt = {2, 100, 10, 0.05, 1, 0};
    static fx_picks p;
    for (int i = 0; i < 30; i++)
        pool[i] = i < 6 ? 0.8f + 0.05f * (float)(i % 5 - 2) : -0.8f + 0.05f * (float)(i % 5 - 2);
    fx_round *r = fx_round_of(30, 2, NULL, 1, pool);
    fx_round_add(r, DAL_ROWS_LABELLED, 4, classes, NULL, known);
    fx_select(r, &dwus_impl, &opt, 5, 1, &p);
    for (int i = 0; i < 5; i++)
        cr_assert_geq(p.rows[i], 6);
    fx_round_free(r);
}

Test(dwus, survives_when_there_is_no_memory)
{
    options quick = plain;
    quick.starts = 1;
    quick.em_steps = 2;
    fx_survives_no_memory(&dwus_impl, &quick, &rounds[0], 5);
}
