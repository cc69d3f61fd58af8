/* The view and the checks of what strategies return, on a provider of known numbers. */
#include <criterion/criterion.h>
#include <dal/runtime.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "pipeline/view.h"

enum { N = 1000, C = 3, D = 2 };

static _Atomic int calls;

/* outputs[i, k] = 10 id + k; features[i] = (id, -id) */
static dal_status outputs(const provider *p, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out, dal_error *err)
{
    (void)p;
    float *z = floats_reserve(&s->outputs, n, C, 1, err);
    atomic_fetch_add(&calls, 1);
    for (int64_t i = 0; i < n * C; i++)
        z[i] = (float)(10 * ids[i / C] + i % C);
    *out = (dal_matrix){z, n, C, C};
    return DAL_OK;
}

static dal_status features(const provider *p, scratch *s, const int64_t *ids, int64_t n, dal_matrix *out,
                           dal_matrix *both, dal_error *err)
{
    float *h = floats_reserve(&s->features, n, D, 1, err);
    atomic_fetch_add(&calls, 1);
    for (int64_t i = 0; i < n; i++) {
        h[i * D] = (float)ids[i];
        h[i * D + 1] = -(float)ids[i];
    }
    *out = (dal_matrix){h, n, D, D};
    return both ? outputs(p, s, ids, n, both, err) : DAL_OK;
}

static const char *lacks(const provider *p, const char *capability)
{
    (void)p;
    (void)capability;
    return "look elsewhere";
}

typedef struct world {
    dal_runtime *rt;
    provider p;
    dal_model model;
    int64_t ids[N];
    row_sets sets;
    dal_component component;
    live_instance strategy;
} world;

static const module_desc test_module = {.path = "/test.so", .name = "test"};
static const component_desc test_desc = {.kind = DAL_KIND_STRATEGY, .id = "probe", .module = &test_module};

static live_instance live(const dal_component *c, const component_desc *desc)
{
    return (live_instance){.base = {sizeof(live_instance), DAL_KIND_STRATEGY, c, c->impl, NULL}, .desc = desc};
}

static void world_init(world *w, int threads, const dal_strategy_impl *impl, const char *needs)
{
    dal_error err = DAL_ERROR_INIT;
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = threads, .seed = 1};
    w->rt = dal_runtime_new(&config, &err);
    cr_assert(w->rt, "%s", err.text);
    w->p = (provider){.host = dal_runtime_host(w->rt, "test"), .block = BLOCK_COMPUTED, .n_classes = C, .d = D,
                      .outputs = outputs, .features = features, .lacks = lacks, .model = &w->model};
    for (int64_t i = 0; i < N; i++)
        w->ids[i] = 3 * i; /* pool indices are not row numbers */
    w->sets = (row_sets){.ids = {w->ids, w->ids, w->ids, w->ids, w->ids}, .n = {N, 0, 0, N, 0}};
    w->component = (dal_component){.struct_size = sizeof w->component, .kind = DAL_KIND_STRATEGY, .id = "probe",
                                   .needs = needs, .provides = "", .impl = impl};
    w->strategy = live(&w->component, &test_desc);
    atomic_store(&calls, 0);
}

static dal_status choose(world *w, int64_t want, selection *s, dal_error *err)
{
    round_view *v = view_new(&w->p, &w->component, &w->sets, 0, NULL);
    const dal_status st = view_select(v, &w->strategy.base, want, s, err);
    view_free(v);
    dal_runtime_free(w->rt);
    return st;
}

/* A score with ties and NaN that needs no model: position modulo 7. */
static dal_status modulo(void *self, const dal_block *b, double *out, dal_error *err)
{
    (void)self;
    (void)err;
    for (int64_t i = 0; i < b->n; i++)
        out[i] = (b->first + i) % 50 == 0 ? (double)NAN : (double)((b->first + i) % 7);
    return DAL_OK;
}

Test(view, score_strategies_get_the_best_in_order_with_ties_by_lower_index)
{
    static const dal_strategy_impl impl = {.struct_size = sizeof impl, .order = DAL_LARGEST_FIRST, .score = modulo};
    static const int64_t blocks[] = {BLOCK_COMPUTED, BLOCK_MOST, 7};
    for (int threads = 1; threads <= 3; threads++) {
        world w;
        selection s;
        dal_error err = DAL_ERROR_INIT;
        world_init(&w, threads, &impl, "");
        w.p.block = blocks[threads - 1];
        cr_assert_eq(choose(&w, 4, &s, &err), DAL_OK, "%s", err.text);
        cr_assert(s.n == 4 && s.ids[0] == 3 * 6 && s.ids[1] == 3 * 13 && s.ids[2] == 3 * 20 && s.ids[3] == 3 * 27);
        cr_assert_float_eq(s.scores[0], 6, 0);
        cr_assert_eq(atomic_load(&calls), 0, "nothing was asked of the model");
        selection_free(&s);
    }
}

/* How many samples came with it. */
static dal_status rows_with(void *self, const dal_block *b, double *out, dal_error *err)
{
    (void)self;
    (void)err;
    for (int64_t i = 0; i < b->n; i++)
        out[i] = (double)b->n;
    return DAL_OK;
}

Test(view, passes_are_gathered_in_small_blocks_also_where_outputs_lie_ready)
{
    static const dal_strategy_impl impl = {.struct_size = sizeof impl, .order = DAL_LARGEST_FIRST, .score = rows_with};
    static const struct {
        const char *needs;
        double rows;
    } cases[] = {{DAL_CAP_OUTPUTS, N}, {DAL_CAP_MC, BLOCK_COMPUTED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world w;
        selection s;
        dal_error err = DAL_ERROR_INIT;
        world_init(&w, 2, &impl, cases[i].needs);
        w.p.block = BLOCK_READY;
        cr_assert_eq(choose(&w, 1, &s, &err), DAL_OK, "%s", err.text);
        cr_assert_float_eq(s.scores[0], cases[i].rows, 0);
        selection_free(&s);
    }
}

static dal_status read_all(void *self, const dal_view *v, dal_picks *picks, dal_error *err)
{
    (void)self;
    dal_outputs z;
    dal_matrix h;
    dal_status st = v->outputs(v, DAL_ROWS_CANDIDATES, &z, err);
    if (st == DAL_OK)
        st = v->features(v, DAL_ROWS_CANDIDATES, &h, err);
    if (st != DAL_OK)
        return st;
    for (int64_t i = 0; i < N; i++) {
        cr_assert_float_eq((double)z.values.data[i * z.values.stride + 2], (double)(30 * i + 2), 0);
        cr_assert_float_eq((double)h.data[i * h.stride + 1], (double)(-3 * i), 0);
    }
    for (picks->n = 0; picks->n < picks->want; picks->n++)
        picks->ids[picks->n] = v->ids(v, DAL_ROWS_CANDIDATES)[N - 1 - picks->n];
    return DAL_OK;
}

Test(view, matrices_have_one_row_an_id_and_come_from_one_pass_when_both_are_needed)
{
    static const dal_strategy_impl impl = {.struct_size = sizeof impl, .select = read_all};
    world w;
    selection s;
    dal_error err = DAL_ERROR_INIT;
    world_init(&w, 2, &impl, DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES);
    cr_assert_eq(choose(&w, 3, &s, &err), DAL_OK, "%s", err.text);
    cr_assert(s.n == 3 && s.ids[0] == 3 * (N - 1) && isnan(s.scores[0]));
    cr_assert_eq(atomic_load(&calls), 2 * ((N + BLOCK_COMPUTED - 1) / BLOCK_COMPUTED));
    selection_free(&s);
}

Test(view, refuses_what_the_needs_do_not_name)
{
    static const dal_strategy_impl impl = {.struct_size = sizeof impl, .select = read_all};
    world w;
    selection s;
    dal_error err = DAL_ERROR_INIT;
    world_init(&w, 1, &impl, DAL_CAP_OUTPUTS);
    cr_assert_eq(choose(&w, 3, &s, &err), DAL_E_CONTRACT);
    cr_assert_str_eq(err.text, "strategy 'probe' reads dal.model.features/1 without naming it in its needs");
    selection_free(&s);
}

/* What a faulty strategy returns: self says which fault. */
static int fault;

static dal_status faulty(void *self, const dal_view *v, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)v;
    (void)err;
    for (int64_t i = 0; i < picks->want; i++)
        picks->ids[i] = 3 * i;
    picks->n = picks->want;
    switch (fault) {
    case 0: picks->ids[2] = 0; break;
    case 1: picks->ids[2] = 1; break;
    case 2: picks->ids[2] = -5; break;
    case 3: picks->n = 2; break;
    case 4: picks->n = picks->want + 1; break;
    case 5: return 77;
    default: break;
    }
    return DAL_OK;
}

Test(view, blames_illegal_picks_on_the_strategy)
{
    static const dal_strategy_impl impl = {.struct_size = sizeof impl, .select = faulty};
    static const char *const want[] = {
        "strategy 'probe' picks sample 0 twice",
        "strategy 'probe' picks sample 1, which is not a candidate",
        "strategy 'probe' picks sample -5, which is not a candidate",
        "strategy 'probe' returns 2 picks of 4 without giving a reason",
        "strategy 'probe' returns 5 picks, 4 were asked for",
        "strategy 'probe' failed in select without saying why (status -1)",
    };
    for (fault = 0; fault < 6; fault++) {
        world w;
        selection s;
        dal_error err = DAL_ERROR_INIT;
        world_init(&w, 1, &impl, "");
        cr_assert_neq(choose(&w, 4, &s, &err), DAL_OK);
        cr_assert_str_eq(err.text, want[fault]);
        selection_free(&s);
    }
}

Test(view, gives_all_candidates_when_fewer_are_left_than_asked)
{
    static const dal_strategy_impl impl = {.struct_size = sizeof impl, .select = faulty};
    world w;
    selection s;
    dal_error err = DAL_ERROR_INIT;
    fault = 99;
    world_init(&w, 1, &impl, "");
    w.sets.n[DAL_ROWS_CANDIDATES] = 3;
    cr_assert_eq(choose(&w, 10, &s, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(s.n, 3);
    selection_free(&s);
}

/* A wrapper: halves the candidates and runs another strategy on the second half. */
static live_instance inner;

static dal_status half(void *self, const dal_view *v, dal_picks *picks, dal_error *err)
{
    (void)self;
    dal_view *sub;
    dal_status st = v->subview(v, v->ids(v, DAL_ROWS_CANDIDATES) + N / 2, N / 2, NULL, NULL, 0, &sub, err);
    if (st != DAL_OK)
        return st;
    st = sub->run(sub, &inner.base, picks->want, picks->ids, picks->scores, &picks->n, err);
    v->close(v, sub);
    return st;
}

Test(view, wrappers_run_other_strategies_on_a_part)
{
    static const dal_strategy_impl outer = {.struct_size = sizeof outer, .select = half};
    static const dal_strategy_impl score = {.struct_size = sizeof score, .order = DAL_LARGEST_FIRST, .score = modulo};
    static const dal_component component = {.struct_size = sizeof component, .kind = DAL_KIND_STRATEGY, .id = "inner",
                                            .needs = "", .provides = "", .impl = &score};
    inner = live(&component, &test_desc);
    world w;
    selection s;
    dal_error err = DAL_ERROR_INIT;
    world_init(&w, 2, &outer, "");
    cr_assert_eq(choose(&w, 1, &s, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(s.ids[0], 3 * (N / 2 + 6));
    selection_free(&s);
}
