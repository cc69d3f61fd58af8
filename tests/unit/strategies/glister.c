/* glister through its table. */
#include "tests/unit/strategies/round.h"

#include <float.h>
#include <math.h>

#include "plugins/strategies/glister.c"
#include "plugins/strategies/glister_regularisers.c"

static const options plain = {.05, 1, PLAIN, 0}, lazy = {.01, 4, PLAIN, 0}, partly_random = {.05, 3, RANDOM, .4},
                     located = {.05, 2, FACILITY_LOCATION, .01}, mostly_located = {.01, 1, FACILITY_LOCATION, 1},
                     diverse = {.05, 2, DIVERSITY, .3};

/* ---- the twin: logits and gradients as they are, in double ------------------------------------- */

typedef struct other {
    int64_t n;
    const float *h;
    double *z;        /* [n, c] */
    int32_t *labels;
} other;

static void slow_probs(const double *z, int64_t c, double *p)
{
    double top = z[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        top = fmax(top, z[k]);
    for (int64_t k = 0; k < c; k++)
        sum += p[k] = exp(z[k] - top);
    for (int64_t k = 0; k < c; k++)
        p[k] /= sum;
}

static int32_t slow_predicted(const fx_round *r, uint32_t set, int64_t i)
{
    int32_t y = 0;
    for (int32_t k = 1; k < r->c; k++)
        y = r->set[set].outputs[i * r->c + k] > r->set[set].outputs[i * r->c + y] ? k : y;
    return y;
}

/* A set beside the earlier ones. */
static void add_set(const fx_round *r, uint32_t set, int predicted, other *v)
{
    const fx_rows *s = &r->set[set];
    *v = (other){s->n, s->features, malloc((size_t)(s->n * r->c + 1) * sizeof(double)),
                 malloc((size_t)(s->n + 1) * sizeof(int32_t))};
    for (int64_t i = 0; i < s->n; i++) {
        v->labels[i] = predicted ? slow_predicted(r, set, i) : s->classes[i];
        for (int64_t k = 0; k < r->c; k++) {
            const double x = s->outputs[i * r->c + k];
            v->z[i * r->c + k] = r->output_kind == DAL_LOGITS ? x : log(fmax(x, (double)FLT_MIN));
        }
    }
}

/* z of every sample of v along one gradient step a (x) (h, 1). */
static void slow_step(const fx_round *r, other *v, const double *a, const float *h, double eta)
{
    for (int64_t i = 0; i < v->n; i++) {
        double near = 1;
        for (int64_t j = 0; j < r->d; j++)
            near += (double)h[j] * v->h[i * r->d + j];
        for (int64_t k = 0; k < r->c; k++)
            v->z[i * r->c + k] -= eta * a[k] * near;
    }
}

/* a = p - e_label of a row of the round. */
static void slow_factor(const fx_round *r, uint32_t set, int64_t i, int32_t label, double *a)
{
    const int32_t y = slow_predicted(r, set, i);
    double rest = 0;
    fx_probs(r, set, i, a);
    for (int64_t k = 0; k < r->c; k++)
        rest += k == y ? 0 : a[k];
    a[y] = -rest;
    a[y] += 1;
    if (label == y)
        a[y] = -rest;
    else
        a[label] -= 1;
}

static void slow_mean(const fx_round *r, const other *v, int parts, double *mean)
{
    int64_t n = 0;
    double *p = malloc((size_t)r->c * sizeof *p);
    memset(mean, 0, (size_t)(r->c * (r->d + 1)) * sizeof *mean);
    for (int s = 0; s < parts; s++)
        n += v[s].n;
    for (int s = 0; s < parts; s++)
        for (int64_t i = 0; i < v[s].n; i++) {
            slow_probs(v[s].z + i * r->c, r->c, p);
            p[v[s].labels[i]] -= 1;
            for (int64_t k = 0; k < r->c; k++)
                for (int64_t j = 0; j <= r->d; j++)
                    mean[k * (r->d + 1) + j] += p[k] * (j < r->d ? v[s].h[i * r->d + j] : 1) / n;
        }
    free(p);
}

/* ||g_i - g_j||^2 of candidates with the factors a [n, c] */
static double slow_distance(const fx_round *r, const double *a, int64_t i, int64_t j)
{
    const float *h = r->set[0].features;
    double sum = 0;
    for (int64_t k = 0; k < r->c; k++)
        for (int64_t m = 0; m <= r->d; m++) {
            const double x = a[i * r->c + k] * (m < r->d ? h[i * r->d + m] : 1);
            const double y = a[j * r->c + k] * (m < r->d ? h[j * r->d + m] : 1);
            sum += (x - y) * (x - y);
        }
    return sum;
}

/* What a regulariser thinks of candidate i beside the picks rows[m]; distances [n, n]. */
static double slow_regulariser(const options *opt, const double *distances, int64_t n, const int64_t *rows, int64_t m,
                               double none, int64_t i)
{
    double sum = 0;
    for (int64_t k = 0; opt->regulariser == DIVERSITY && k < m; k++)
        sum -= exp(-distances[i * n + rows[k]] / 2);
    for (int64_t j = 0; opt->regulariser == FACILITY_LOCATION && j < n; j++) {
        double nearest = none;
        for (int64_t k = 0; k < m; k++)
            nearest = fmin(nearest, distances[j * n + rows[k]]);
        sum += fmax(0, nearest - distances[j * n + i]);
    }
    return opt->lambda * sum;
}

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const int regularised = opt->regulariser == DIVERSITY || opt->regulariser == FACILITY_LOCATION;
    double none = 0, *distances = NULL;
    const fx_rows *pool = &r->set[0], *l = &r->set[DAL_ROWS_LABELLED];
    const int64_t n = pool->n, c = r->c, d = r->d;
    other v[2];
    int parts = 1;
    double *mean = malloc((size_t)(c * (d + 1)) * sizeof *mean), *a = malloc((size_t)((n + 1) * c) * sizeof *a);
    double *gains = malloc((size_t)n * sizeof *gains), *all = malloc((size_t)n * sizeof *all);
    char *taken = calloc((size_t)n, 1);
    int64_t m = 0;
    if (r->set[DAL_ROWS_VALIDATION].n > 0) {
        add_set(r, DAL_ROWS_VALIDATION, 0, &v[0]);
    } else {
        add_set(r, DAL_ROWS_CANDIDATES, 1, &v[0]);
        add_set(r, DAL_ROWS_LABELLED, 0, &v[parts++]);
    }
    for (int64_t i = 0; i < l->n; i++) {
        slow_factor(r, DAL_ROWS_LABELLED, i, l->classes[i], a);
        for (int s = 0; s < parts; s++)
            slow_step(r, &v[s], a, l->features + i * d, opt->eta);
    }
    for (int64_t i = 0; i < n; i++)
        slow_factor(r, DAL_ROWS_CANDIDATES, i, slow_predicted(r, DAL_ROWS_CANDIDATES, i), a + i * c);
    if (regularised)
        distances = malloc((size_t)(n * n) * sizeof *distances);
    for (int64_t i = 0; regularised && i < n; i++) {
        double norm = 0;
        for (int64_t k = 0; k < c; k++)
            for (int64_t j = 0; j <= d; j++)
                norm += pow(a[i * c + k] * (j < d ? pool->features[i * d + j] : 1), 2);
        none = fmax(none, 4 * norm);
        for (int64_t j = 0; j < n; j++)
            distances[i * n + j] = slow_distance(r, a, i, j);
    }
    const int64_t greedy = opt->regulariser == RANDOM ? (int64_t)ceil((1 - opt->lambda) * b) : b;
    for (m = 0; m < greedy; m++) {
        if (m % opt->refresh == 0) {
            for (int64_t q = m - opt->refresh; m > 0 && q < m; q++)
                for (int s = 0; s < parts; s++)
                    slow_step(r, &v[s], a + rows[q] * c, pool->features + rows[q] * d, opt->eta);
            slow_mean(r, v, parts, mean);
            for (int64_t i = 0; i < n; i++) {
                gains[i] = 0;
                for (int64_t k = 0; k < c; k++)
                    for (int64_t j = 0; j <= d; j++)
                        gains[i] += a[i * c + k] * mean[k * (d + 1) + j] * (j < d ? pool->features[i * d + j] : 1);
            }
        }
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++) {
            all[i] = gains[i];
            if (regularised && !taken[i])
                all[i] += slow_regulariser(opt, distances, n, rows, m, none, i);
            if (!taken[i] && (best < 0 || all[i] > all[best] + 1e-12 * fabs(all[best])))
                best = i;
        }
        rows[m] = best;
        taken[best] = 1;
    }
    dal_rng rng = host ? host->rng(host, "rest", r->round) : dal_rng_from_key(0);
    for (; m < b; m++) {
        int64_t skip = dal_rng_below(&rng, n - m), i = 0;
        for (;; i++)
            if (!taken[i] && skip-- == 0)
                break;
        taken[i] = 1;
        rows[m] = i;
    }
    for (int s = 0; s < parts; s++) {
        free(v[s].z);
        free(v[s].labels);
    }
    free(mean);
    free(a);
    free(gains);
    free(all);
    free(distances);
    free(taken);
    return b;
}

Test(glister, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&glister_impl, &plain, twin, fx_shapes, fx_n_shapes, 20);
    fx_twin_agrees(&glister_impl, &lazy, twin, fx_shapes, 5, 20);
}

/* Saturated outputs (the sixth shape) have gradients near 0, whose distances are noise. */
static void regularised_agrees(const options *opt, int64_t n, int64_t max_b)
{
    fx_twin_agrees(&glister_impl, opt, twin, fx_shapes, 5, max_b);
    fx_twin_agrees(&glister_impl, opt, twin, fx_shapes + 6, n - 6, max_b);
}

Test(glister, with_each_regulariser_picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&glister_impl, &partly_random, twin, fx_shapes, fx_n_shapes, 20);
    regularised_agrees(&diverse, fx_n_shapes, 20);
    regularised_agrees(&located, 10, 10);
    regularised_agrees(&mostly_located, 10, 5);
}

Test(glister, keeps_copies_apart_where_facility_location_counts)
{
    options opt = located;
    opt.lambda = 1e6;
    fx_duplicates_stay_apart(&glister_impl, &opt, &fx_shapes[3], 20);
}

Test(glister, takes_no_more_than_all_at_random)
{
    const options more = {.05, 1, RANDOM, 1.5};
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    cr_assert_eq(glister_impl.create(dal_runtime_host(rt, "test"), &more, &self, &err), DAL_E_INVALID);
    cr_assert_str_eq(err.key, "lambda");
    dal_runtime_free(rt);
}

Test(glister, looks_at_validation_data_where_there_is_some)
{
    static fx_picks p, without;
    int64_t want[20];
    fx_round *r = fx_round_random(&fx_shapes[1]);
    const fx_spec spec = {77, 60, 60, 0, 10, 16, 0, FX_LOGITS};
    fx_round *o = fx_round_random(&spec);
    const fx_rows *l = &o->set[DAL_ROWS_LABELLED];
    fx_select(r, &glister_impl, &plain, 20, 1, &without);
    fx_round_add(r, DAL_ROWS_VALIDATION, l->n, l->classes, l->outputs, l->features);
    fx_select(r, &glister_impl, &plain, 20, 1, &p);
    twin(r, NULL, &plain, 20, want);
    cr_assert_arr_eq(p.rows, want, sizeof want);
    cr_assert_neq(memcmp(p.rows, without.rows, sizeof want), 0);
    fx_round_free(r);
    fx_round_free(o);
}

/* The worked case: the first pick is the one whose own step lowers the loss of the others most. */
Test(glister, gain_is_the_fall_of_the_loss_to_first_order)
{
    static fx_picks p;
    const float probs[8] = {.9f, .1f, .6f, .4f, .3f, .7f, .2f, .8f}, x[4] = {1, 2, -1, .5f};
    const float eta = 1e-3f;
    const options small = {(double)eta, 1, PLAIN, 0};
    const int32_t truth[4] = {1, 0, 0, 1};
    fx_round *r = fx_round_of(4, 2, probs, 1, x);
    fx_round_add(r, DAL_ROWS_VALIDATION, 4, truth, probs, x);
    fx_select(r, &glister_impl, &small, 1, 1, &p);
    double best = -INFINITY;
    int64_t row = -1;
    for (int64_t i = 0; i < 4; i++) {
        double a[2], q[2], fall = 0;
        other v;
        add_set(r, DAL_ROWS_VALIDATION, 0, &v);
        slow_factor(r, DAL_ROWS_CANDIDATES, i, slow_predicted(r, DAL_ROWS_CANDIDATES, i), a);
        for (int s = 0; s < 2; s++) {
            for (int64_t k = 0; k < 4; k++) {
                slow_probs(v.z + 2 * k, 2, q);
                fall += (s ? 1 : -1) * log(q[truth[k]]) / 4;
            }
            slow_step(r, &v, a, x + i, (double)eta);
        }
        if (fall > best) {
            best = fall;
            row = i;
        }
        free(v.z);
        free(v.labels);
    }
    cr_assert_eq(p.rows[0], row);
    cr_assert_float_eq(p.scores[0], best / (double)eta, 5e-3 * fabs(best / (double)eta), "%g %g", p.scores[0],
                       best / (double)eta);
    fx_round_free(r);
}

Test(glister, says_when_its_steps_are_too_long)
{
    static fx_picks p;
    const options huge = {1e38, 1, PLAIN, 0};
    fx_round *r = fx_round_random(&fx_shapes[1]);
    fx_try(r, &glister_impl, &huge, 5, 1, &p);
    cr_assert_eq(p.status, DAL_E_DIVERGED);
    cr_assert_str_eq(p.err.key, "eta");
    fx_round_free(r);
}

Test(glister, names_the_sample_that_is_not_a_number)
{
    static fx_picks p;
    const fx_spec spec = {16, 30, 0, 0, 3, 4, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&spec);
    fx_try(r, &glister_impl, &plain, 5, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert(strstr(p.err.text, "output 0 of sample 40 is"), "%s", p.err.text);
    fx_round_free(r);
}

Test(glister, follows_its_samples_when_the_pool_is_permuted)
{
    const fx_spec spec = {5, 80, 20, 0, 4, 6, 0, FX_LOGITS};
    const options *all[] = {&plain, &lazy, &located, &diverse};
    for (int i = 0; i < 4; i++)
        fx_picks_follow_samples(&glister_impl, all[i], &spec, 12);
}

Test(glister, survives_when_there_is_no_memory)
{
    fx_survives_no_memory(&glister_impl, &plain, &fx_shapes[0], 5);
    fx_survives_no_memory(&glister_impl, &located, &fx_shapes[0], 5);
    fx_survives_no_memory(&glister_impl, &diverse, &fx_shapes[0], 5);
}
