/* What the strategies on last-layer gradients take, beside what a matrix product takes in the same minute.
 *
 * One line a measurement, `what key=value ...`. The strategies run through their tables, with their defaults,
 * on a round made of arrays: ReLU features round class centres in LATENT dimensions, logits of a last layer on
 * them, sharp (a confident model) or not. s is the best of some repetitions, cpu_s the processor time of the
 * best over the number of threads: what it takes where nobody else is at work. `of_sgemm`: the flops of the
 * textbook algorithm over cpu_s, over those of sgemm measured the same way; above 1 work is saved. Targets were
 * set on a machine of 310 GF/s; target_here_s is for this one. Options: the number of threads (default 2), then
 * "quick", or "large" for badge at [1M, 512, 1000, 1000] alone (8 GB).
 */
#include <dal/gradient.h>
#include <dal/linalg.h>
#include <dal/strategy.h>
#include <math.h>

#include "tests/bench/machine.h"

#define LATENT 24
#define BLOCK 512 /* rows a task */

extern const dal_plugin badge_LTX_dal_plugin, alfa_mix_LTX_dal_plugin, coreset_cb_LTX_dal_plugin;

typedef struct taken {
    double s, cpu_s;
} taken;

static taken now(const dal_host *host)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (taken){bench_now(), ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / host->threads(host)};
}

static void keep_best(taken *best, taken from, taken to)
{
    best->s = fmin(best->s, to.s - from.s);
    best->cpu_s = fmin(best->cpu_s, to.cpu_s - from.cpu_s);
}

/* ---- a round ---------------------------------------------------------------------------------- */

typedef struct bench_set {
    int64_t n, *ids;
    int32_t *classes;
    float *features, *logits;
} bench_set;

typedef struct bench_round {
    int64_t c, d;
    double sharp;
    float *mixing, *weights; /* [LATENT, d], [c, d] */
    bench_set pool, labelled, *filling;
} bench_round;

static float *floats(int64_t n)
{
    float *x = malloc((size_t)(n > 0 ? n : 1) * sizeof *x);
    if (!x)
        bench_die("no memory");
    return x;
}

static dal_status fill_task(void *ctx, int64_t t)
{
    const bench_round *r = ctx;
    const bench_set *s = r->filling;
    const int64_t first = t * BLOCK, n = s->n - first < BLOCK ? s->n - first : BLOCK;
    float latent[BLOCK * LATENT], *x = s->features + first * r->d;
    const dal_rng all = dal_rng_from_key(s == &r->pool ? 1 : 2);
    for (int64_t i = 0; i < n; i++) {
        dal_rng own = dal_rng_at(&all, (uint64_t)(first + i));
        s->classes[first + i] = (int32_t)dal_rng_below(&own, r->c);
        dal_rng centre = dal_rng_from_key(100 + (uint64_t)s->classes[first + i]);
        for (int k = 0; k < LATENT; k++)
            latent[i * LATENT + k] = (float)(2 * dal_rng_normal(&centre) + dal_rng_normal(&own));
    }
    dal_gemm_nn(n, r->d, LATENT, 1, latent, LATENT, r->mixing, r->d, 0, x, r->d);
    for (int64_t i = 0; i < n * r->d; i++)
        x[i] = x[i] > 0 ? x[i] : 0;
    return dal_gemm_nt(n, r->c, r->d, (float)r->sharp, x, r->d, r->weights, r->d, 0, s->logits + first * r->c,
                       r->c);
}

static void fill(const dal_host *host, bench_round *r, bench_set *s, int64_t n)
{
    *s = (bench_set){.n = n,
                     .ids = malloc((size_t)n * sizeof *s->ids),
                     .classes = malloc((size_t)n * sizeof *s->classes),
                     .features = floats(n * r->d),
                     .logits = floats(n * r->c)};
    if (!s->ids || !s->classes)
        bench_die("no memory");
    for (int64_t i = 0; i < n; i++)
        s->ids[i] = i;
    r->filling = s;
    host->parallel_for(host, (n + BLOCK - 1) / BLOCK, fill_task, r);
}

/* Weights: the class centres as features, so that predictions mean something. */
static void make_round(const dal_host *host, bench_round *r, int64_t n, int64_t n_labelled, int64_t d, int64_t c,
                       double sharp)
{
    dal_rng rng = dal_rng_from_key(3);
    *r = (bench_round){.c = c, .d = d, .sharp = sharp, .mixing = floats(LATENT * d), .weights = floats(c * d)};
    for (int64_t i = 0; i < LATENT * d; i++)
        r->mixing[i] = (float)dal_rng_normal(&rng) / 5;
    for (int64_t k = 0; k < c; k++) {
        float latent[LATENT];
        double norm = 0;
        dal_rng centre = dal_rng_from_key(100 + (uint64_t)k);
        for (int j = 0; j < LATENT; j++)
            latent[j] = (float)(2 * dal_rng_normal(&centre));
        dal_gemm_nn(1, d, LATENT, 1, latent, LATENT, r->mixing, d, 0, r->weights + k * d, d);
        for (int64_t j = 0; j < d; j++)
            norm += pow((double)r->weights[k * d + j], 2);
        for (int64_t j = 0; j < d; j++)
            r->weights[k * d + j] = (float)((double)r->weights[k * d + j] / sqrt(norm));
    }
    fill(host, r, &r->pool, n);
    fill(host, r, &r->labelled, n_labelled);
}

static void drop_set(bench_set *s)
{
    free(s->ids);
    free(s->classes);
    free(s->features);
    free(s->logits);
}

static void drop_round(bench_round *r)
{
    drop_set(&r->pool);
    drop_set(&r->labelled);
    free(r->mixing);
    free(r->weights);
}

/* ---- the round as a view ---------------------------------------------------------------------- */

static const bench_set *set_of(const dal_view *v, uint32_t set)
{
    static const bench_set none;
    const bench_round *r = v->impl;
    return set == DAL_ROWS_CANDIDATES ? &r->pool : set == DAL_ROWS_LABELLED ? &r->labelled : &none;
}

static int64_t view_count(const dal_view *v, uint32_t set)
{
    return set_of(v, set)->n;
}

static const int64_t *view_ids(const dal_view *v, uint32_t set)
{
    return set_of(v, set)->ids;
}

static const int32_t *view_classes(const dal_view *v, uint32_t set)
{
    return set == DAL_ROWS_LABELLED ? set_of(v, set)->classes : NULL;
}

static dal_status view_outputs(const dal_view *v, uint32_t set, dal_outputs *out, dal_error *err)
{
    const bench_round *r = v->impl;
    (void)err;
    *out = (dal_outputs){{set_of(v, set)->logits, set_of(v, set)->n, r->c, r->c}, DAL_LOGITS, 0};
    return DAL_OK;
}

static dal_status view_features(const dal_view *v, uint32_t set, dal_matrix *out, dal_error *err)
{
    const bench_round *r = v->impl;
    (void)err;
    *out = (dal_matrix){set_of(v, set)->features, set_of(v, set)->n, r->d, r->d};
    return DAL_OK;
}

static dal_status view_last_layer(const dal_view *v, dal_matrix *weights, const float **bias, dal_error *err)
{
    const bench_round *r = v->impl;
    (void)err;
    *weights = (dal_matrix){r->weights, r->c, r->d, r->d};
    *bias = NULL;
    return DAL_OK;
}

/* The defaults of a component's parameters, as a manifest without any would give them; words of a CHOICE: the
 * first. */
static void defaults(const dal_component *c, char *options)
{
    for (int64_t i = 0; i < c->n_params; i++) {
        const dal_param *p = (const void *)((const char *)c->params + (size_t)i * c->param_size);
        const double f64 = atof(p->def);
        const int64_t i64 = atoll(p->def);
        const int32_t yes = strcmp(p->def, "true") == 0;
        if (p->type == DAL_PARAM_F64)
            memcpy(options + p->offset, &f64, sizeof f64);
        else if (p->type == DAL_PARAM_I64)
            memcpy(options + p->offset, &i64, sizeof i64);
        else if (p->type == DAL_PARAM_BOOL)
            memcpy(options + p->offset, &yes, sizeof yes);
        else
            memset(options + p->offset, 0, sizeof(uint32_t));
    }
}

/* One selection of b picks, the picks in ids [b]. */
static taken select_b(const dal_host *host, bench_round *r, const dal_plugin *plugin, int64_t b, int repeats,
                       int64_t *ids)
{
    const dal_component *c = plugin->components[0];
    const dal_strategy_impl *impl = c->impl;
    const dal_view view = {.struct_size = sizeof view, .impl = r, .n_classes = r->c, .count = view_count,
                           .ids = view_ids, .classes = view_classes, .outputs = view_outputs,
                           .features = view_features, .last_layer = view_last_layer};
    taken best = {INFINITY, INFINITY};
    double *scores = calloc((size_t)b, sizeof *scores), options[16];
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    if (!scores || c->options_size > sizeof options)
        bench_die("no room");
    defaults(c, (char *)options);
    if (impl->create(host, options, &self, &err) != DAL_OK)
        bench_die(err.text);
    for (int i = 0; i < repeats; i++) {
        dal_picks picks = {.struct_size = sizeof picks, .want = b, .ids = ids, .scores = scores};
        const taken start = now(host);
        if (impl->select(self, &view, &picks, &err) != DAL_OK)
            bench_die(err.text);
        keep_best(&best, start, now(host));
    }
    impl->destroy(self);
    free(scores);
    return best;
}

/* ---- what there is to compare with ------------------------------------------------------------ */

enum { EDGE = 768 };

static dal_status gemm_task(void *ctx, int64_t i)
{
    float *x = (float *)ctx + i * 3 * EDGE * EDGE;
    return dal_gemm_nt(EDGE, EDGE, EDGE, 1, x, EDGE, x + EDGE * EDGE, EDGE, 0, x + 2 * EDGE * EDGE, EDGE);
}

/* flop/s of sgemm on all threads at once. */
static double sgemm_speed(const dal_host *host)
{
    const int64_t threads = host->threads(host);
    float *x = floats(threads * 3 * EDGE * EDGE);
    taken best = {INFINITY, INFINITY};
    for (int64_t i = 0; i < threads * 3 * EDGE * EDGE; i++)
        x[i] = (float)(i % 7);
    for (int r = 0; r < 12; r++) {
        const taken start = now(host);
        host->parallel_for(host, threads, gemm_task, x);
        keep_best(&best, start, now(host));
    }
    free(x);
    return 2.0 * EDGE * EDGE * EDGE * (double)threads / best.cpu_s;
}

typedef struct slow_badge {
    dal_gradients g;
    float *a;        /* [n, c] */
    const double *norms;
    double *live;
    int64_t pick;
} slow_badge;

static dal_status slow_task(void *ctx, int64_t t)
{
    const slow_badge *s = ctx;
    const int64_t n = s->g.features.rows, d = s->g.features.cols, c = dal_gradient_width(&s->g);
    for (int64_t i = t * BLOCK; i < n && i < (t + 1) * BLOCK; i++) {
        const double product = dal_gradient_product(&s->g, s->a + i * c, s->g.features.data + i * d,
                                                    s->a + s->pick * c, s->g.features.data + s->pick * d);
        s->live[i] = fmin(s->live[i], fmax(0, s->norms[i] + s->norms[s->pick] - 2 * product));
    }
    return DAL_OK;
}

/* Farthest first with a pass over everything a pick, which needs no dice. */
static void slow_farthest(const dal_host *host, slow_badge *s, int64_t b, int64_t *picks)
{
    const int64_t n = s->g.features.rows;
    for (int64_t i = 0; i < n; i++)
        s->live[i] = s->norms[i]; /* the first pick: the largest */
    for (int64_t k = 0; k < b; k++) {
        picks[k] = 0;
        for (int64_t i = 1; i < n; i++)
            picks[k] = s->live[i] > s->live[picks[k]] ? i : picks[k];
        for (int64_t i = 0; k == 0 && i < n; i++)
            s->live[i] = INFINITY;
        s->pick = picks[k];
        host->parallel_for(host, (n + BLOCK - 1) / BLOCK, slow_task, s);
        s->live[picks[k]] = 0;
    }
}

static void bench_twin(const dal_host *host, bench_round *r)
{
    enum { SOME = 20 };
    const int64_t n = r->pool.n;
    int64_t got[SOME], want[SOME], made;
    double distance[SOME], *norms = malloc((size_t)n * sizeof *norms);
    dal_error err = DAL_ERROR_INIT;
    dal_seed_problem q = {
        .struct_size = sizeof q, .rule = DAL_SEED_FARTHEST, .first = DAL_SEED_LARGEST, .n_picks = SOME};
    q.points = (dal_gradients){.struct_size = sizeof q.points,
                               .outputs = {{r->pool.logits, n, r->c, r->c}, DAL_LOGITS, 0},
                               .features = {r->pool.features, n, r->d, r->d}};
    slow_badge s = {
        .g = q.points, .a = floats(n * r->c), .norms = norms, .live = malloc((size_t)n * sizeof(double))};
    if (!norms || !s.live || dal_gradient_norms(host, &q.points, norms, &err) != DAL_OK)
        bench_die("no norms");
    dal_gradient_factor(&q.points, 0, n, s.a, NULL);
    const taken start = now(host);
    slow_farthest(host, &s, SOME, want);
    const taken middle = now(host);
    if (dal_seed(host, &q, got, distance, &made, &err) != DAL_OK)
        bench_die(err.text);
    const taken end = now(host);
    const int same = made == SOME && memcmp(got, want, sizeof want) == 0;
    printf("farthest_plain n=%lld d=%lld c=%lld b=%d cpu_s=%.3f pass_per_pick_cpu_s=%.3f same_picks=%s\n",
           (long long)n, (long long)r->d, (long long)r->c, SOME, end.cpu_s - middle.cpu_s,
           middle.cpu_s - start.cpu_s, same ? "yes" : "no");
    if (!same)
        bench_die("dal_seed differs from a pass a pick");
    free(norms);
    free(s.a);
    free(s.live);
}

static void bench_one(const dal_host *host, bench_round *r, const dal_plugin *plugin, int64_t b, double flops,
                      double speed, double target)
{
    int64_t *ids = malloc((size_t)b * sizeof *ids);
    const long before = peak_kib();
    if (!ids)
        bench_die("no memory");
    const taken t = select_b(host, r, plugin, b, 3, ids);
    printf("%s n=%lld d=%lld c=%lld b=%lld sharp=%g s=%.3f cpu_s=%.3f of_sgemm=%.2f extra_kib=%ld target_s=%g "
           "target_here_s=%.2f\n",
           plugin->components[0]->id, (long long)r->pool.n, (long long)r->d, (long long)r->c, (long long)b,
           r->sharp, t.s, t.cpu_s, flops / t.cpu_s / speed, peak_kib() - before, target, target * 310e9 / speed);
    free(ids);
}

int main(int argc, char **argv)
{
    const int64_t shrink = argc > 2 && strcmp(argv[2], "quick") == 0 ? 10 : 1;
    dal_runtime *rt = bench_runtime(argc > 1 ? atoi(argv[1]) : 2, 1);
    const dal_host *host = dal_runtime_host(rt, "bench");
    const int64_t n = 50000 / shrink, d = 512, b = 1000 / shrink;
    bench_round r;
    setvbuf(stdout, NULL, _IOLBF, 0);
    const double speed = sgemm_speed(host);
    printf("sgemm threads=%d gf_s=%.0f\n", host->threads(host), speed / 1e9);
    if (argc > 2 && strcmp(argv[2], "large") == 0) { /* no target: that it runs in memory is what counts */
        make_round(host, &r, 1000000, 1000, d, 1000, .6);
        bench_one(host, &r, &badge_LTX_dal_plugin, 1000, 2e9 * (double)(d + 1000), speed, INFINITY);
        drop_round(&r);
        dal_runtime_free(rt);
        return 0;
    }
    const double sharps[] = {.6, .15}; /* mean top probability about 0.9 and 0.3 */
    for (int k = 0; k < 2; k++) {
        make_round(host, &r, n, 5000 / shrink, d, 100, sharps[k]);
        bench_one(host, &r, &badge_LTX_dal_plugin, b, 2.0 * (double)(n * b) * (double)(d + 100), speed, .6);
        if (k == 0) {
            bench_twin(host, &r);
            bench_one(host, &r, &coreset_cb_LTX_dal_plugin, b,
                      2.0 * (double)(n * (b + r.labelled.n)) * (double)d + 2.0 * (double)(n * b) * 100, speed, 5);
        }
        drop_round(&r);
    }
    make_round(host, &r, n, 5000 / shrink, d, 10, sharps[0]);
    bench_one(host, &r, &alfa_mix_LTX_dal_plugin, b,
              2.0 * (double)(n * d) * 20 + 2.0 * 20 * (double)(n * b) * (double)d, speed, 2);
    drop_round(&r);
    dal_runtime_free(rt);
    return 0;
}
