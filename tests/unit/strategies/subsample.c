/* Seeing a part of the pool only; also what all wrappers have from dal/wrapper.h. */
#include "tests/unit/strategies/inner.h"

#include <math.h>

#include "plugins/strategies/subsample.c"

static int64_t twin(const fx_round *r, const dal_host *host, const void *options_, int64_t b, int64_t *rows)
{
    const options *opt = options_;
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    const dal_rng stream = host->rng(host, "draw", r->round);
    char *in = calloc((size_t)pool->n, 1);
    int64_t size = opt->size > 0 ? opt->size : (int64_t)ceil(opt->fraction * (double)pool->n);
    size = size < b ? b : size;
    for (int64_t k = 0; k < size && k < pool->n; k++) {
        double best = -1;
        int64_t at = -1;
        for (int64_t i = 0; i < pool->n; i++) {
            dal_rng own = dal_rng_at(&stream, (uint64_t)pool->ids[i]);
            const double number = opt->by ? (double)-i : dal_rng_uniform(&own);
            if (!in[i] && (at < 0 || number > best)) {
                best = number;
                at = i;
            }
        }
        in[at] = 1;
    }
    const int64_t n = inner_best(r, in, b, rows);
    free(in);
    return n;
}

Test(subsample, picks_what_its_slow_twin_picks)
{
    const options drawn = {FIRST_OUTPUT, NULL, 20, 1}, tenth = {FIRST_OUTPUT, NULL, 0, 0.1};
    fx_twin_agrees(&subsample_impl, &drawn, twin, fx_shapes, fx_n_shapes, 0);
    fx_twin_agrees(&subsample_impl, &tenth, twin, fx_shapes, fx_n_shapes, 0);
}

static dal_status lowest(void *self, const dal_block *b, double *out, dal_error *err)
{
    (void)self, (void)err;
    for (int64_t i = 0; i < b->n; i++)
        out[i] = -(double)b->ids[i];
    return DAL_OK;
}
static const dal_strategy_impl lowest_impl = {.struct_size = sizeof lowest_impl, .score = lowest};

Test(subsample, takes_what_another_strategy_picks_when_told)
{
    const fx_ref by = {&lowest_impl, NULL};
    const options opt = {FIRST_OUTPUT, inner_ref(&by), 20, 1};
    fx_twin_agrees(&subsample_impl, &opt, twin, fx_shapes, fx_n_shapes, 0);
}

/* The largest second output. */
static dal_status second_output(void *self, const dal_block *b, double *out, dal_error *err)
{
    dal_outputs o;
    (void)self;
    const dal_status st = b->outputs(b, &o, err);
    for (int64_t i = 0; st == DAL_OK && i < b->n; i++)
        out[i] = (double)o.values.data[i * o.values.stride + 1];
    return st;
}

Test(subsample, by_a_strategy_follows_its_samples_when_the_pool_is_permuted)
{
    const dal_strategy_impl impl = {.struct_size = sizeof impl, .score = second_output};
    const fx_ref by = {&impl, NULL};
    const options opt = {FIRST_OUTPUT, inner_ref(&by), 30, 1};
    const fx_spec spec = {5, 60, 0, 0, 3, 4, 0, FX_LOGITS};
    fx_picks_follow_samples(&subsample_impl, &opt, &spec, 10);
}

Test(subsample, draws_every_candidate_equally_often)
{
    static fx_picks p;
    int64_t often[40] = {0};
    const options opt = {FIRST_OUTPUT, NULL, 10, 1};
    fx_round *r = fx_round_random(&fx_shapes[0]);
    for (uint64_t seed = 0; seed < 400; seed++) {
        fx_select(r, &subsample_impl, &opt, 10, seed, &p);
        for (int64_t i = 0; i < p.n; i++)
            often[p.rows[i]]++;
    }
    for (int i = 0; i < 40; i++) /* 100 expected, standard deviation 8.7 */
        cr_assert(often[i] > 60 && often[i] < 140, "row %d comes %lld times", i, (long long)often[i]);
    fx_round_free(r);
}

Test(subsample, says_so_when_the_strategy_inside_is_lazy)
{
    static fx_picks p;
    const options opt = {LAZY, NULL, 10, 1};
    fx_round *r = fx_round_random(&fx_shapes[0]);
    fx_select(r, &subsample_impl, &opt, 4, 1, &p);
    cr_assert_eq(p.n, 3);
    cr_assert_str_eq(p.reason, "of 10 candidates the strategy inside picks 3 of 4");
    fx_round_free(r);
}

Test(subsample, survives_when_there_is_no_memory)
{
    const options opt = {FIRST_OUTPUT, NULL, 10, 1};
    fx_survives_no_memory(&subsample_impl, &opt, &fx_shapes[0], 5);
}

/* ---- dal/wrapper.h ---- */

static dal_status open_lazy(void *ctx, const dal_host *host, const dal_component_ref *ref, const void *arg,
                            const dal_instance **instance, dal_error *err)
{
    static dal_instance kept[16];
    static int n;
    dal_instance *i = &kept[n++ % 16];
    (void)ctx, (void)ref, (void)arg;
    *i = (dal_instance){sizeof *i, DAL_KIND_STRATEGY, NULL, &inner_lazy, NULL};
    *instance = i;
    return inner_lazy_create(host, NULL, &i->self, err);
}

static void close_lazy(void *ctx, const dal_instance *instance)
{
    (void)ctx;
    inner_lazy_destroy(instance->self);
}

static int64_t *seen(const dal_wrapper *w, int i)
{
    return &((inner_lazy_state *)w->inner[i]->self)->seen;
}

typedef struct memory {
    char data[256];
    size_t n, at;
} memory;

static dal_status to_memory(const dal_writer *w, const void *data, size_t n, dal_error *err)
{
    memory *m = w->impl;
    (void)err;
    memcpy(m->data + m->n, data, n);
    m->n += n;
    return DAL_OK;
}

static dal_status from_memory(const dal_reader *r, void *data, size_t n, size_t *got, dal_error *err)
{
    memory *m = r->impl;
    (void)err;
    *got = n < m->n - m->at ? n : m->n - m->at;
    memcpy(data, m->data + m->at, *got);
    m->at += *got;
    return DAL_OK;
}

static dal_runtime *lazy_runtime(void)
{
    dal_error err = DAL_ERROR_INIT;
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .open = open_lazy,
                                       .close = close_lazy};
    return dal_runtime_new(&config, &err);
}

static dal_wrapper *wrapper(dal_runtime *rt, int64_t n)
{
    void *self = NULL;
    dal_error err = DAL_ERROR_INIT;
    const dal_component_ref *const refs[2] = {LAZY, LAZY};
    cr_assert_eq(dal_wrapper_create(dal_runtime_host(rt, "wrapper"), NULL, refs, n, &self, &err), DAL_OK, "%s",
                 err.text);
    return self;
}

Test(wrapper, hands_answers_state_and_companion_through)
{
    dal_runtime *rt = lazy_runtime();
    dal_wrapper *from = wrapper(rt, 1), *to = wrapper(rt, 1);
    dal_error err = DAL_ERROR_INIT;
    const dal_feedback f = {.struct_size = sizeof f, .n = 7};
    memory m = {0};
    const dal_writer w = {.struct_size = sizeof w, .impl = &m, .write = to_memory};
    const dal_reader r = {.struct_size = sizeof r, .impl = &m, .read = from_memory};
    cr_assert_eq(dal_wrapper_observe(from, NULL, &f, &err), DAL_OK);
    cr_assert_eq(*seen(from, 0), 7);
    cr_assert_eq(dal_wrapper_save(from, &w, &err), DAL_OK);
    cr_assert_eq(dal_wrapper_load(to, &r, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(*seen(to, 0), 7);
    cr_assert_eq(m.at, m.n, "all of the state is read");
    cr_assert_eq(dal_wrapper_companion(to), inner_lazy_companion(NULL));
    for (size_t n = 0; n < m.n; n++) { /* a state that is cut short */
        memory cut = m;
        const dal_reader broken = {.struct_size = sizeof broken, .impl = &cut, .read = from_memory};
        cut.n = n;
        cut.at = 0;
        cr_assert_neq(dal_wrapper_load(to, &broken, &err), DAL_OK, "%zu of %zu bytes are enough", n, m.n);
    }
    dal_wrapper_destroy(from);
    dal_wrapper_destroy(to);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(wrapper, refuses_two_companions)
{
    dal_runtime *rt = lazy_runtime();
    dal_error err = DAL_ERROR_INIT;
    const dal_component_ref *const refs[2] = {LAZY, LAZY};
    void *self = NULL;
    cr_assert_eq(dal_wrapper_create(dal_runtime_host(rt, "wrapper"), NULL, refs, 2, &self, &err), DAL_E_INVALID);
    cr_assert_str_eq(err.text,
                     "two of the strategies inside want to be trained along with the model; expected at most "
                     "one");
    cr_assert_eq(dal_runtime_allocated(rt), 0, "what was opened is closed again");
    dal_runtime_free(rt);
}
