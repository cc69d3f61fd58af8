/* How outputs move when weights shake. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/noise_stability.c"

Test(noise_stability, spreads_the_changes_of_the_worked_example_from_the_origin)
{
    static const float base[] = {.7f, .3f, .5f, .5f, .9f, .1f};
    static const float pass[2][6] = {{.69f, .31f, .45f, .55f, .9f, .1f}, {.71f, .29f, .53f, .47f, .89f, .11f}};
    const options opt = {1e-3, 2, 0};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "test");
    float all[12];
    int64_t rows[3], n;
    float distance[3];
    changes x = {.host = host, .opt = &opt, .n = 3, .c = 2, .width = 4, .all = all};
    double norm[3];
    float probs[6];
    x.norm = norm;
    x.probs = probs;
    x.base = (dal_outputs){{base, 3, 2, 2}, DAL_PROBS, 0};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(note_base(&x, i, NULL), DAL_OK);
    for (int k = 0; k < 2; k++) {
        float d[6];
        for (int i = 0; i < 3; i++)
            change_by_probs(&x, i, pass[k] + 2 * i, d + 2 * i);
        cr_assert_eq(put(&x, 0, 3, k, d), DAL_OK);
    }
    static const double want[] = {.026261, .116619, .015617};
    for (int i = 0; i < 3; i++)
        cr_assert_float_eq(sqrt(dal_dot(all + 4 * i, all + 4 * i, 4)), want[i], 2e-6);
    /* the same changes, as logits tell them */
    for (int i = 0; i < 3; i++) {
        double e[2];
        float d[2];
        const float delta[] = {logf(pass[0][2 * i] / base[2 * i]), logf(pass[0][2 * i + 1] / base[2 * i + 1])};
        change_by_logits(&x, i, delta, e, d);
        cr_assert_float_eq(d[0], all[4 * i], 1e-6);
        cr_assert_float_eq(d[1], all[4 * i + 1], 1e-6);
    }
    const float origin[4] = {0};
    const dal_matrix centre = {origin, 1, 4, 4};
    const dal_kcenter_problem problem = {.struct_size = sizeof problem, .candidates = {all, 3, 4, 4},
                                         .centres = &centre, .n_centres = 1, .n_picks = 2};
    cr_assert_eq(dal_kcenter(host, &problem, rows, distance, &n, NULL), DAL_OK);
    cr_assert(rows[0] == 1 && rows[1] == 0);
    cr_assert_float_eq(sqrt((double)distance[1]), .026261, 2e-6);
    dal_runtime_free(rt);
}

/* ---- slow and obvious ---- */

static void slow_noise(const dal_host *host, int64_t round, int64_t r, int64_t t, const float *w, int64_t n,
                       double xi, double *noise)
{
    const dal_rng stream = host->rng(host, "noise", round), of_pass = dal_rng_at(&stream, (uint64_t)r);
    dal_rng of_tensor = dal_rng_at(&of_pass, (uint64_t)t);
    double size = 0, weight = 0;
    for (int64_t v = 0; v < n; v++) {
        noise[v] = dal_rng_normal(&of_tensor);
        size += noise[v] * noise[v];
        weight += (double)w[v] * (double)w[v];
    }
    for (int64_t v = 0; v < n; v++)
        noise[v] *= xi * sqrt(weight / size);
}

static void slow_softmax(double *z, int64_t c)
{
    double top = z[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        top = fmax(top, z[k]);
    for (int64_t k = 0; k < c; k++)
        sum += z[k] = exp(z[k] - top);
    for (int64_t k = 0; k < c; k++)
        z[k] /= sum;
}

/* The difference of two rounded numbers near 1 is no less than 1e-16 by itself. */
static float moved(double difference, double norm)
{
    return fabs(difference) < 1e-15 ? 0 : (float)(difference / norm);
}

static int64_t slow_spread(const float *d, int64_t n, int64_t width, int64_t b, int64_t *rows)
{
    float *m = malloc((size_t)n * sizeof *m), *origin = calloc((size_t)width, sizeof *origin);
    b = b < n ? b : n;
    for (int64_t i = 0; i < n; i++)
        m[i] = dal_squared_distance(d + i * width, origin, width);
    for (int64_t k = 0; k < b; k++) {
        int64_t best = -1;
        for (int64_t i = 0; i < n; i++)
            if (m[i] >= 0 && (best < 0 || m[i] > m[best]))
                best = i;
        rows[k] = best;
        for (int64_t i = 0; i < n; i++)
            m[i] = fminf(m[i], dal_squared_distance(d + i * width, d + best * width, width));
        m[best] = -1;
    }
    free(m);
    free(origin);
    return b;
}

static int64_t last_twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    const int64_t c = r->c, width = opt->passes * c;
    double *noise = malloc((size_t)(c * r->d) * sizeof *noise), *p = malloc((size_t)c * sizeof *p);
    double *q = malloc((size_t)c * sizeof *q);
    float *d = malloc((size_t)(pool->n * width) * sizeof *d);
    for (int64_t k = 0; k < opt->passes; k++) {
        slow_noise(host, r->round, k, 0, r->weights, c * r->d, opt->magnitude, noise);
        for (int64_t i = 0; i < pool->n; i++) {
            double square = 0;
            fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
            for (int64_t m = 0; m < c; m++) /* probabilities in float sum to nearly 1 */
                p[m] = log(p[m]);
            slow_softmax(p, c);
            for (int64_t m = 0; m < c; m++) {
                q[m] = log(p[m]);
                square += p[m] * p[m];
                for (int64_t j = 0; j < r->d; j++)
                    q[m] += noise[m * r->d + j] * (double)pool->features[i * r->d + j];
            }
            slow_softmax(q, c);
            for (int64_t m = 0; m < c; m++)
                d[i * width + k * c + m] = moved(q[m] - p[m], sqrt(square));
        }
    }
    const int64_t n = slow_spread(d, pool->n, width, b, rows);
    free(noise);
    free(p);
    free(q);
    free(d);
    return n;
}

static int64_t all_twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    const dal_model_perturb *t = r->model.impl->get_extension(r->model.self, DAL_CAP_PERTURB);
    const int64_t c = r->c, width = opt->passes * c, size = t->parameter(r->model.self, 0)->count;
    const float *w = t->weights(r->model.self);
    double *noise = malloc((size_t)size * sizeof *noise), *p = malloc((size_t)c * sizeof *p);
    double *q = malloc((size_t)c * sizeof *q);
    float *d = malloc((size_t)(pool->n * width) * sizeof *d), *z = malloc((size_t)c * sizeof *z);
    dal_sample_spec spec = {sizeof spec, DAL_VECTOR, DAL_F32, 1, {r->d}, c};
    for (int64_t k = 0; k < opt->passes; k++) {
        void *copy;
        t->copy(r->model.self, &copy, NULL);
        slow_noise(host, r->round, k, 0, w, size, opt->magnitude, noise); /* tensor 1 is a bias */
        for (int64_t v = 0; v < size; v++)
            t->weights(copy)[v] = w[v] + (float)noise[v];
        for (int64_t i = 0; i < pool->n; i++) {
            const dal_batch x = {
                .struct_size = sizeof x, .spec = &spec, .n = 1, .data = pool->features + i * r->d};
            double square = 0;
            r->model.impl->predict(copy, &x, z, NULL);
            fx_probs(r, DAL_ROWS_CANDIDATES, i, p);
            for (int64_t m = 0; m < c; m++) {
                q[m] = (double)z[m];
                square += p[m] * p[m];
            }
            slow_softmax(q, c);
            for (int64_t m = 0; m < c; m++)
                d[i * width + k * c + m] = moved(q[m] - p[m], sqrt(square));
        }
        r->model.impl->destroy(copy);
    }
    const int64_t n = slow_spread(d, pool->n, width, b, rows);
    free(noise);
    free(p);
    free(q);
    free(d);
    free(z);
    return n;
}

static const options few = {1e-2, 4, 0};

static const fx_spec shapes[] = {
    {1, 40, 10, 0, 3, 5, 0, 0},
    {2, 300, 50, 0, 10, 16, 0, FX_LOGITS},
    {3, 77, 0, 0, 2, 3, 0, 0},
    {4, 60, 20, 5, 4, 8, 0, FX_DUPLICATES},
    {5, 50, 9, 0, 5, 6, 0, FX_ZERO_ROWS | FX_LOGITS},
    {8, 30, 8, 0, 1000, 12, 0, FX_LOGITS},
    {9, 3, 2, 0, 2, 2, 0, 0},
    {10, 1, 1, 0, 3, 4, 0, 0},
    {11, 530, 33, 7, 7, 33, 0, FX_DUPLICATES | FX_ZERO_ROWS},
};
static const fx_spec modelled[] = {
    {1, 40, 10, 0, 3, 5, 0, FX_LOGITS | FX_MODEL},
    {2, 300, 50, 0, 10, 16, 0, FX_LOGITS | FX_MODEL},
    {4, 60, 20, 5, 4, 8, 0, FX_DUPLICATES | FX_LOGITS | FX_MODEL},
    {5, 50, 9, 0, 5, 6, 0, FX_ZERO_ROWS | FX_LOGITS | FX_MODEL},
    {10, 1, 1, 0, 3, 4, 0, FX_LOGITS | FX_MODEL},
};

Test(noise_stability_last, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&last_impl, &few, last_twin, shapes, sizeof shapes / sizeof *shapes, 0);
}

Test(noise_stability, picks_what_its_slow_twin_picks)
{
    fx_twin_agrees(&all_impl, &few, all_twin, modelled, sizeof modelled / sizeof *modelled, 0);
}

Test(noise_stability, of_a_linear_model_is_that_of_its_last_layer)
{
    static fx_picks a, b;
    fx_round *r = fx_round_random(&modelled[1]);
    fx_select(r, &all_impl, &few, 40, 1, &a);
    fx_select(r, &last_impl, &few, 40, 1, &b);
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(a.rows[i], b.rows[i]);
        cr_assert_float_eq(a.scores[i], b.scores[i], 1e-3 * a.scores[i]);
    }
    fx_round_free(r);
}

Test(noise_stability_last, follows_its_samples_when_the_pool_is_permuted)
{
    fx_picks_follow_samples(&last_impl, &few, &shapes[1], 40);
}

Test(noise_stability_last, never_picks_two_that_are_alike)
{
    fx_duplicates_stay_apart(&last_impl, &few, &shapes[3], 30);
}

Test(noise_stability_last, has_nothing_to_choose_by_where_nothing_moves)
{
    static fx_picks p;
    const fx_spec saturated = {6, 64, 12, 0, 6, 7, 0, FX_SATURATED};
    fx_round *r = fx_round_random(&saturated);
    fx_select(r, &last_impl, &few, 64, 1, &p);
    cr_assert_eq(p.n, 64);
    fx_round_free(r);
}

/* The farthest first has the largest change; projected, the first pick must be nearly the farthest. */
Test(noise_stability_last, keeps_distances_when_projected)
{
    static fx_picks exact, projected;
    const options some = {1e-2, 4, 400};
    fx_round *r = fx_round_random(&shapes[1]);
    fx_select(r, &last_impl, &few, 300, 1, &exact);
    fx_select(r, &last_impl, &some, 300, 1, &projected);
    cr_assert_float_eq(exact.scores[0], projected.scores[0], 0.2 * exact.scores[0]);
    double a = 0, b = 0;
    for (int i = 0; i < 100; i++) {
        a += exact.scores[i];
        b += projected.scores[i];
    }
    cr_assert_float_eq(a, b, 0.1 * a);
    cr_assert_neq(memcmp(exact.scores, projected.scores, 100 * sizeof(double)), 0, "it is not projected at all");
    fx_round_free(r);
}

Test(noise_stability, names_the_sample_whose_outputs_are_not_numbers)
{
    static fx_picks p;
    const fx_spec bad = {1, 40, 10, 0, 3, 5, 0, FX_NAN_ROWS};
    fx_round *r = fx_round_random(&bad);
    fx_try(r, &last_impl, &few, 4, 1, &p);
    cr_assert_eq(p.status, DAL_E_INVALID);
    cr_assert_str_eq(p.err.text, "the outputs of sample 40 are not numbers");
    r->set[0].features[0] = INFINITY;
    for (int64_t i = 3; i < 40; i += 7)
        r->set[0].outputs[i * 3] = 0;
    fx_try(r, &last_impl, &few, 4, 1, &p);
    cr_assert_str_eq(p.err.text, "the outputs of sample 10 move by what is no number");
    fx_round_free(r);
}

Test(noise_stability, survives_when_there_is_no_memory)
{
    const options projected = {1e-2, 2, 8};
    fx_survives_no_memory(&last_impl, &projected, &shapes[0], 5);
    fx_survives_no_memory(&all_impl, &few, &modelled[0], 5);
}
