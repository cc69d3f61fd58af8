#include "tests/unit/strategies/round_parts.h"

/* ---- running a strategy ----------------------------------------------------------------------- */

static dal_status open_ref(void *ctx, const dal_host *host, const dal_component_ref *ref, const void *arg,
                           const dal_instance **instance, dal_error *err)
{
    static const dal_component inner = {.struct_size = sizeof inner, .kind = DAL_KIND_STRATEGY, .id = "inner"};
    static const dal_component a_model = {.struct_size = sizeof a_model, .kind = DAL_KIND_MODEL, .id = "model",
                                          .provides = DAL_CAP_WARM_START};
    const fx_ref *r = (const void *)ref;
    dal_instance *i = calloc(1, sizeof *i);
    dal_status st = DAL_OK;
    (void)ctx;
    if (arg) {
        *i = (dal_instance){sizeof *i, DAL_KIND_MODEL, &a_model, r->impl, NULL};
        st = ((const dal_model_impl *)r->impl)->create(host, r->options, arg, &i->self, err);
    } else {
        const dal_strategy_impl *impl = r->impl;
        *i = (dal_instance){sizeof *i, DAL_KIND_STRATEGY, &inner, impl, NULL};
        st = impl->create ? impl->create(host, r->options, &i->self, err) : DAL_OK;
    }
    if (st == DAL_OK)
        *instance = i;
    else
        free(i);
    return st;
}

static void close_ref(void *ctx, const dal_instance *instance)
{
    (void)ctx;
    if (instance->kind == DAL_KIND_MODEL)
        ((const dal_model_impl *)instance->impl)->destroy(instance->self);
    else if (((const dal_strategy_impl *)instance->impl)->destroy)
        ((const dal_strategy_impl *)instance->impl)->destroy(instance->self);
    free((void *)(uintptr_t)instance);
}

static dal_runtime *runtime(int threads, uint64_t seed, int64_t fail_alloc)
{
    dal_error err = DAL_ERROR_INIT;
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = threads, .seed = seed,
                                       .open = open_ref, .close = close_ref, .fail_alloc = fail_alloc};
    dal_runtime *rt = dal_runtime_new(&config, &err);
    cr_assert(rt, "%s", err.text);
    return rt;
}

static void once(fx_round *r, const dal_strategy_impl *impl, const void *options, int64_t b, dal_runtime *rt,
                 fx_picks *out)
{
    const dal_host *host = dal_runtime_host(rt, "strategy");
    const dal_view view = fx_view_of(r);
    dal_picks p = {.struct_size = sizeof p, .want = b, .ids = out->ids, .scores = out->scores};
    void *self = NULL;
    const int models = fx_models_open;
    cr_assert_leq(b, FX_MAX_PICKS);
    r->host = host;
    r->n_pseudo = 0;
    out->err = (dal_error)DAL_ERROR_INIT;
    out->status = impl->create ? impl->create(host, options, &self, &out->err) : DAL_OK;
    if (out->status == DAL_OK) {
        out->status = fx_run_on(&view, impl, self, &p, &out->err);
        if (impl->destroy)
            impl->destroy(self);
    }
    out->want = p.want;
    out->n = p.n;
    snprintf(out->reason, sizeof out->reason, "%.255s", p.reason);
    cr_assert_eq(fx_models_open, models, "%d models were not closed", fx_models_open - models);
    cr_assert_eq(dal_runtime_allocated(rt), 0, "%lld bytes were not given back", (long long)dal_runtime_allocated(rt));
}

static void hold_to_contract(const fx_round *r, int64_t b, fx_picks *p)
{
    const fx_rows *rows = &r->set[DAL_ROWS_CANDIDATES];
    const int64_t want = b < rows->n ? b : rows->n;
    char *seen = calloc((size_t)rows->n + 1, 1);
    cr_assert(p->n == want || (p->n < want && p->reason[0]), "%lld picks of %lld, reason '%s'", (long long)p->n,
              (long long)want, p->reason);
    for (int64_t i = 0; i < p->n; i++) {
        p->rows[i] = fx_row_of(rows, p->ids[i]);
        cr_assert_geq(p->rows[i], 0, "pick %lld is %lld, not a candidate", (long long)i, (long long)p->ids[i]);
        cr_assert(!seen[p->rows[i]], "row %lld is picked twice", (long long)p->rows[i]);
        seen[p->rows[i]] = 1;
    }
    free(seen);
}

void fx_try(fx_round *r, const dal_strategy_impl *impl, const void *options, int64_t b, uint64_t seed, fx_picks *out)
{
    dal_runtime *rt = runtime(2, seed, 0);
    once(r, impl, options, b, rt, out);
    if (out->status != DAL_OK)
        cr_assert(out->err.text[0], "it fails without saying why");
    dal_runtime_free(rt);
}

void fx_select(fx_round *r, const dal_strategy_impl *impl, const void *options, int64_t b, uint64_t seed,
               fx_picks *out)
{
    static fx_picks again;
    fx_try(r, impl, options, b, seed, out);
    cr_assert_eq(out->status, DAL_OK, "%s", out->err.text);
    hold_to_contract(r, b, out);
    dal_runtime *rt = runtime(1, seed, 0);
    once(r, impl, options, b, rt, &again);
    dal_runtime_free(rt);
    cr_assert_eq(again.n, out->n);
    cr_assert_eq(memcmp(again.ids, out->ids, (size_t)out->n * sizeof *out->ids), 0, "1 and 2 threads pick otherwise");
    cr_assert_eq(memcmp(again.scores, out->scores, (size_t)out->n * sizeof *out->scores), 0,
                 "1 and 2 threads score otherwise");
}

/* ---- laws ------------------------------------------------------------------------------------- */

const fx_spec fx_shapes[] = {
    {1, 40, 10, 0, 3, 5, 6, 0},
    {2, 300, 50, 0, 10, 16, 10, FX_LOGITS},
    {3, 77, 0, 0, 2, 3, 4, 0}, /* nothing labelled */
    {4, 60, 20, 5, 4, 8, 8, FX_DUPLICATES},
    {5, 50, 9, 0, 5, 6, 5, FX_ZERO_ROWS},
    {6, 64, 12, 0, 6, 7, 5, FX_SATURATED},
    {7, 45, 11, 0, 4, 4, 5, FX_ONE_CLASS | FX_LOGITS},
    {8, 30, 8, 0, 1000, 12, 3, FX_LOGITS},
    {9, 3, 2, 0, 2, 2, 3, 0},
    {10, 1, 1, 0, 3, 4, 2, 0},
    {11, 530, 33, 7, 7, 33, 7, FX_DUPLICATES | FX_ZERO_ROWS},
};
const int64_t fx_n_shapes = sizeof fx_shapes / sizeof *fx_shapes;

static void twin_agrees_on(fx_round *r, const dal_strategy_impl *impl, const void *options, fx_twin *twin, int64_t b,
                           uint64_t seed, const fx_spec *spec)
{
    static fx_picks got;
    static int64_t want[FX_MAX_PICKS];
    dal_runtime *rt = runtime(1, seed, 0);
    fx_select(r, impl, options, b, seed, &got);
    const int64_t n = twin(r, dal_runtime_host(rt, "strategy"), options, got.want, want);
    cr_assert_eq(n, got.n, "spec %llu, b %lld: %lld picks, the twin makes %lld", (unsigned long long)spec->seed,
                 (long long)b, (long long)got.n, (long long)n);
    for (int64_t i = 0; i < n; i++)
        cr_assert_eq(got.rows[i], want[i], "spec %llu, b %lld, seed %llu: pick %lld is row %lld, the twin's %lld",
                     (unsigned long long)spec->seed, (long long)b, (unsigned long long)seed, (long long)i,
                     (long long)got.rows[i], (long long)want[i]);
    dal_runtime_free(rt);
}

void fx_twin_agrees(const dal_strategy_impl *impl, const void *options, fx_twin *twin, const fx_spec *specs,
                    int64_t n_specs, int64_t max_b)
{
    for (int64_t s = 0; s < n_specs; s++) {
        fx_round *r = fx_round_random(&specs[s]);
        const int64_t n = specs[s].n, sizes[] = {1, n / 7, n, n + 3};
        for (int k = 0; k < 4; k++)
            for (uint64_t seed = 1; seed <= 2; seed++)
                if (sizes[k] > 0)
                    twin_agrees_on(r, impl, options, twin, max_b > 0 && sizes[k] > max_b ? max_b : sizes[k], seed,
                                   &specs[s]);
        fx_round_free(r);
    }
}

void fx_picks_follow_samples(const dal_strategy_impl *impl, const void *options, const fx_spec *spec, int64_t b)
{
    static fx_picks there, here;
    fx_round *r = fx_round_random(spec);
    int64_t *order = malloc((size_t)spec->n * sizeof *order);
    dal_rng rng = dal_rng_from_key(77);
    for (int64_t i = 0; i < spec->n; i++)
        order[i] = i;
    dal_rng_shuffle(&rng, order, spec->n, spec->n);
    fx_round *moved = fx_round_permuted(r, order);
    fx_select(r, impl, options, b, 1, &there);
    fx_select(moved, impl, options, b, 1, &here);
    cr_assert_eq(here.n, there.n);
    for (int64_t i = 0; i < here.n; i++)
        cr_assert_eq(order[here.rows[i]], there.rows[i], "pick %lld does not follow its sample", (long long)i);
    free(order);
    fx_round_free(moved);
    fx_round_free(r);
}

void fx_duplicates_stay_apart(const dal_strategy_impl *impl, const void *options, const fx_spec *spec, int64_t b)
{
    static fx_picks p;
    cr_assert(spec->odd & FX_DUPLICATES);
    fx_round *r = fx_round_random(spec);
    fx_select(r, impl, options, b, 1, &p);
    for (int64_t i = 0; i < p.n; i++)
        for (int64_t j = 0; j < i; j++)
            cr_assert_neq(memcmp(r->set[0].features + p.rows[i] * r->d, r->set[0].features + p.rows[j] * r->d,
                                 (size_t)r->d * sizeof(float)),
                          0, "rows %lld and %lld are alike and both picked", (long long)p.rows[i],
                          (long long)p.rows[j]);
    fx_round_free(r);
}

void fx_round_survives_no_memory(fx_round *r, const dal_strategy_impl *impl, const void *options, int64_t b)
{
    static fx_picks p;
    int64_t fail = 0;
    do {
        dal_runtime *rt = runtime(1, 1, ++fail);
        once(r, impl, options, b, rt, &p);
        dal_runtime_free(rt);
        if (p.status != DAL_OK)
            cr_assert(p.status == DAL_E_NOMEM && p.err.text[0], "allocation %lld fails: status %d, '%s'",
                      (long long)fail, p.status, p.err.text);
        cr_assert_lt(fail, 10000);
    } while (p.status != DAL_OK);
    cr_assert_gt(fail, 1, "it takes no memory at all");
}

void fx_survives_no_memory(const dal_strategy_impl *impl, const void *options, const fx_spec *spec, int64_t b)
{
    fx_round *r = fx_round_random(spec);
    fx_round_survives_no_memory(r, impl, options, b);
    fx_round_free(r);
}
