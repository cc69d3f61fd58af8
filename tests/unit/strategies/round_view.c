#include "tests/unit/strategies/round_parts.h"

#include <dal/topk.h>
#include <math.h>

#define BLOCK 256

/* ---- the view --------------------------------------------------------------------------------- */

static fx_round *of(const dal_view *v)
{
    return v->impl;
}

static int64_t view_count(const dal_view *v, uint32_t set)
{
    return of(v)->set[set].n;
}

static const int64_t *view_ids(const dal_view *v, uint32_t set)
{
    return of(v)->set[set].ids;
}

static const int32_t *view_classes(const dal_view *v, uint32_t set)
{
    return set == DAL_ROWS_LABELLED || set == DAL_ROWS_VALIDATION ? of(v)->set[set].classes : NULL;
}

static dal_status view_outputs(const dal_view *v, uint32_t set, dal_outputs *out, dal_error *err)
{
    const fx_round *r = of(v);
    if (!r->set[set].outputs && r->set[set].n > 0)
        return dal_fail(err, DAL_E_IO, "", "no outputs on disk");
    *out = (dal_outputs){{r->set[set].outputs, r->set[set].n, r->c, r->c}, r->output_kind, 0};
    return DAL_OK;
}

static dal_status view_features(const dal_view *v, uint32_t set, dal_matrix *out, dal_error *err)
{
    const fx_round *r = of(v);
    if (!r->set[set].features && r->set[set].n > 0)
        return dal_fail(err, DAL_E_IO, "", "no features on disk");
    *out = (dal_matrix){r->set[set].features, r->set[set].n, r->d, r->d};
    return DAL_OK;
}

static dal_status view_mc(const dal_view *v, uint32_t set, int64_t n_passes, dal_tensor3 *out, dal_error *err)
{
    const fx_round *r = of(v);
    if (!r->set[set].mc || n_passes > r->passes)
        return dal_fail(err, DAL_E_INVALID, "", "there are %lld passes, %lld were asked for", (long long)r->passes,
                        (long long)n_passes);
    *out = (dal_tensor3){r->set[set].mc, n_passes, r->set[set].n, r->c};
    return DAL_OK;
}

static dal_status view_last_layer(const dal_view *v, dal_matrix *weights, const float **bias, dal_error *err)
{
    const fx_round *r = of(v);
    if (!r->weights)
        return dal_fail(err, DAL_E_IO, "", "no last layer on disk");
    *weights = (dal_matrix){r->weights, r->c, r->d, r->d};
    *bias = r->bias;
    return DAL_OK;
}

/* ---- blocks ----------------------------------------------------------------------------------- */

typedef struct live {
    const dal_view *v;
    float *mc; /* the block's own copy of its passes */
    dal_sample_spec spec;
} live;

static dal_status block_outputs(const dal_block *b, dal_outputs *out, dal_error *err)
{
    const dal_status st = view_outputs(((const live *)b->impl)->v, b->set, out, err);
    out->values.data += b->first * out->values.stride;
    out->values.rows = b->n;
    return st;
}

static dal_status block_features(const dal_block *b, dal_matrix *out, dal_error *err)
{
    const dal_status st = view_features(((const live *)b->impl)->v, b->set, out, err);
    out->data += b->first * out->stride;
    out->rows = b->n;
    return st;
}

static dal_status block_mc(const dal_block *b, int64_t n_passes, dal_tensor3 *out, dal_error *err)
{
    live *l = b->impl;
    dal_tensor3 all;
    const dal_status st = view_mc(l->v, b->set, n_passes, &all, err);
    if (st != DAL_OK)
        return st;
    free(l->mc);
    l->mc = malloc((size_t)(n_passes * b->n * all.cols) * sizeof(float));
    for (int64_t k = 0; k < n_passes; k++)
        memcpy(l->mc + k * b->n * all.cols, all.data + (k * all.rows + b->first) * all.cols,
               (size_t)(b->n * all.cols) * sizeof(float));
    *out = (dal_tensor3){l->mc, n_passes, b->n, all.cols};
    return DAL_OK;
}

static dal_sample_spec sample_spec(const fx_round *r)
{
    return (dal_sample_spec){sizeof(dal_sample_spec), DAL_VECTOR, DAL_F32, 1, {r->d}, r->c};
}

static dal_status no_inputs(const dal_block *b, dal_batch *out, dal_error *err)
{
    (void)b, (void)out;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "no samples on disk");
}

static dal_status block_inputs(const dal_block *b, dal_batch *out, dal_error *err)
{
    live *l = b->impl;
    fx_round *r = of(l->v);
    (void)err;
    l->spec = sample_spec(r);
    *out = (dal_batch){.struct_size = sizeof *out, .spec = &l->spec, .n = b->n,
                       .data = r->set[b->set].features + b->first * r->d};
    return DAL_OK;
}

typedef struct stream_job {
    const dal_view *v;
    uint32_t set;
    dal_status (*visit)(void *, const dal_block *, dal_error *);
    void *ctx;
    dal_error *err;
} stream_job;

static dal_status stream_block(void *ctx, int64_t i)
{
    const stream_job *j = ctx;
    const fx_rows *rows = &of(j->v)->set[j->set];
    live l = {.v = j->v};
    const int64_t left = rows->n - i * BLOCK;
    const dal_block b = {.struct_size = sizeof b, .set = j->set, .impl = &l, .first = i * BLOCK,
                         .n = left < BLOCK ? left : BLOCK, .ids = rows->ids + i * BLOCK, .outputs = block_outputs,
                         .features = block_features, .mc = block_mc,
                         .inputs = of(j->v)->model.impl ? block_inputs : no_inputs};
    const dal_status st = j->visit(j->ctx, &b, j->err);
    free(l.mc);
    return st;
}

static dal_status view_stream(const dal_view *v, uint32_t set,
                              dal_status (*visit)(void *, const dal_block *, dal_error *), void *ctx, dal_error *err)
{
    stream_job j = {v, set, visit, ctx, err};
    const dal_host *host = of(v)->host;
    return host->parallel_for(host, (of(v)->set[set].n + BLOCK - 1) / BLOCK, stream_block, &j);
}

/* ---- wrappers --------------------------------------------------------------------------------- */

int64_t fx_row_of(const fx_rows *rows, int64_t id)
{
    for (int64_t i = 0; i < rows->n; i++)
        if (rows->ids[i] == id)
            return i;
    return -1;
}

/* The rows of these ids, wherever they are, as a set. */
static fx_rows gather(const fx_round *r, const int64_t *ids, const int32_t *classes, int64_t n)
{
    fx_rows out = {.n = n, .ids = fx_copy(ids, n, sizeof *ids), .classes = fx_copy(classes, n, sizeof *classes),
                   .outputs = malloc((size_t)(n * r->c + 1) * sizeof(float)),
                   .features = malloc((size_t)(n * r->d + 1) * sizeof(float)),
                   .mc = malloc((size_t)(r->passes * n * r->c + 1) * sizeof(float))};
    for (int64_t i = 0; i < n; i++)
        for (uint32_t s = 0; s < DAL_ROW_SETS; s++) {
            const fx_rows *rows = &r->set[s];
            const int64_t at = fx_row_of(rows, ids[i]);
            if (at < 0)
                continue;
            cr_assert(i == 0 || ids[i] > ids[i - 1], "subview: ids are not ascending");
            if (rows->outputs)
                memcpy(out.outputs + i * r->c, rows->outputs + at * r->c, (size_t)r->c * sizeof(float));
            if (rows->features)
                memcpy(out.features + i * r->d, rows->features + at * r->d, (size_t)r->d * sizeof(float));
            for (int64_t k = 0; rows->mc && k < r->passes; k++)
                memcpy(out.mc + (k * n + i) * r->c, rows->mc + (k * rows->n + at) * r->c,
                       (size_t)r->c * sizeof(float));
        }
    return out;
}

static dal_status view_subview(const dal_view *v, const int64_t *candidates, int64_t n, const int64_t *labelled,
                               const int32_t *classes, int64_t n_labelled, dal_view **out, dal_error *err)
{
    const fx_round *r = of(v);
    (void)err;
    fx_round *sub = calloc(1, sizeof *sub);
    *sub = (fx_round){.c = r->c, .d = r->d, .passes = r->passes, .output_kind = r->output_kind,
                      .mc_kind = r->mc_kind, .round = r->round, .host = r->host, .model = r->model, .borrowed = 1,
                      .n_pool = r->n_pool, .truth = r->truth, .groups = r->groups, .n_groups = r->n_groups,
                      .parent = of(v)};
    sub->weights = fx_copy(r->weights, r->c * r->d, sizeof(float));
    sub->bias = fx_copy(r->bias, r->c, sizeof(float));
    sub->set[DAL_ROWS_CANDIDATES] = gather(r, candidates, NULL, n);
    sub->set[DAL_ROWS_LABELLED] = gather(r, labelled, classes, n_labelled);
    for (uint32_t s = DAL_ROWS_OOD; s < DAL_ROW_SETS; s++)
        sub->set[s] = gather(r, r->set[s].ids, r->set[s].classes, r->set[s].n);
    *out = malloc(sizeof **out);
    **out = fx_view_of(sub);
    return DAL_OK;
}

static void view_close(const dal_view *v, dal_view *sub)
{
    (void)v;
    if (sub)
        fx_round_free(of(sub));
    free(sub);
}

static dal_status view_pseudo_label(const dal_view *v, int64_t id, int32_t cls, float weight, dal_error *err)
{
    fx_round *r = of(v);
    (void)err;
    while (r->parent)
        r = r->parent;
    cr_assert(weight > 0 && r->n_pseudo < FX_MAX_PICKS);
    r->pseudo_ids[r->n_pseudo] = id;
    r->pseudo_classes[r->n_pseudo++] = cls;
    return DAL_OK;
}

/* ---- samples and the truth -------------------------------------------------------------------- */

typedef struct list {
    dal_samples api;
    const fx_round *r;
} list;

static const float *sample_of(const fx_round *r, int64_t id)
{
    for (uint32_t s = 0; s < DAL_ROW_SETS; s++) {
        const int64_t at = fx_row_of(&r->set[s], id);
        if (at >= 0)
            return r->set[s].features + at * r->d;
    }
    cr_assert_fail("sample %lld is not in the round", (long long)id);
    return NULL;
}

static dal_status list_read(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const list *l = s->impl;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        memcpy((float *)out->data + i * l->r->d, sample_of(l->r, s->ids[rows[i]]), (size_t)l->r->d * sizeof(float));
    out->spec = &s->spec;
    out->n = n;
    return DAL_OK;
}

static dal_samples *new_list(const fx_round *r, const int64_t *ids, const int32_t *classes, const float *weights,
                             int64_t n)
{
    list *l = calloc(1, sizeof *l);
    *l = (list){.r = r, .api = {.struct_size = sizeof(dal_samples), .impl = l, .spec = sample_spec(r), .n = n,
                                .ids = ids, .classes = classes, .weights = weights, .read = list_read}};
    return &l->api;
}

static dal_status view_samples(const dal_view *v, const int64_t *ids, const int32_t *classes, const float *weights,
                               int64_t n, dal_samples **out, dal_error *err)
{
    (void)err;
    *out = new_list(of(v), ids, classes, weights, n);
    return DAL_OK;
}

void *fx_model_train(const fx_round *r, const int64_t *ids, const int32_t *classes, int64_t n)
{
    void *m = fx_model_new(r->c, r->d, NULL, NULL, fx_model_is_curved(r->model.self));
    dal_samples *train = new_list(r, ids, classes, NULL, n);
    const dal_fit fit = {.struct_size = sizeof fit, .train = train};
    dal_fit_report report = {.struct_size = sizeof report};
    cr_assert_eq(fx_model_impl.fit(m, &fit, &report, NULL), DAL_OK);
    free(train->impl);
    return m;
}

void fx_model_probs(const fx_round *r, void *m, int64_t id, double *out)
{
    float z[1024], x[1024];
    const dal_sample_spec spec = sample_spec(r);
    memcpy(x, sample_of(r, id), (size_t)r->d * sizeof *x);
    const dal_batch batch = {.struct_size = sizeof batch, .spec = &spec, .n = 1, .data = x};
    fx_model_impl.predict(m, &batch, z, NULL);
    fx_row_probs(z, r->c, DAL_LOGITS, out);
}

static dal_status no_samples(const dal_view *v, const int64_t *ids, const int32_t *classes, const float *weights,
                             int64_t n, dal_samples **out, dal_error *err)
{
    (void)v, (void)ids, (void)classes, (void)weights, (void)n, (void)out;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "no samples on disk");
}

static void view_release(const dal_view *v, dal_samples *s)
{
    (void)v;
    if (s)
        free(s->impl);
}

static const void *view_extension(const dal_view *v, const char *id)
{
    fx_round *r = of(v);
    if (strcmp(id, DAL_CAP_CONCURRENT) == 0)
        return r->c % 2 ? r->model.impl : NULL; /* one call at a time in every other round */
    if (r->groups && strcmp(id, DAL_CAP_GROUPS) == 0) {
        r->groups_table = (dal_view_groups){sizeof r->groups_table, 0, r->n_pool, r->n_groups, r->groups, NULL};
        return &r->groups_table;
    }
    if (!r->truth || strcmp(id, DAL_CAP_TRUTH) != 0)
        return NULL;
    r->truth_table = (dal_view_truth){sizeof r->truth_table, 0, r->n_pool, r->truth};
    return &r->truth_table;
}

/* ---- running a strategy ----------------------------------------------------------------------- */

typedef struct score_job {
    const dal_strategy_impl *impl;
    void *self;
    double *scores;
} score_job;

static dal_status score_block(void *ctx, const dal_block *b, dal_error *err)
{
    const score_job *j = ctx;
    return j->impl->score(j->self, b, j->scores + b->first, err);
}

static dal_status by_score(const dal_view *v, const dal_strategy_impl *impl, void *self, dal_picks *p, dal_error *err)
{
    const int64_t n = v->count(v, DAL_ROWS_CANDIDATES);
    score_job j = {impl, self, malloc((size_t)(n + 1) * sizeof(double))};
    dal_topk best;
    const dal_status st = v->stream(v, DAL_ROWS_CANDIDATES, score_block, &j, err);
    dal_topk_init(&best, p->want, impl->order, p->scores, p->ids);
    dal_topk_push(&best, j.scores, 0, st == DAL_OK ? n : 0);
    dal_topk_sort(&best);
    for (int64_t i = 0; i < best.n; i++)
        p->ids[i] = v->ids(v, DAL_ROWS_CANDIDATES)[p->ids[i]];
    p->n = best.n;
    free(j.scores);
    return st;
}

dal_status fx_run_on(const dal_view *v, const dal_strategy_impl *impl, void *self, dal_picks *p, dal_error *err)
{
    const int64_t n = v->count(v, DAL_ROWS_CANDIDATES);
    dal_status st = DAL_OK;
    p->want = p->want < n ? p->want : n;
    for (int64_t i = 0; i < p->want; i++) {
        p->ids[i] = -1;
        p->scores[i] = NAN;
    }
    if (impl->prepare)
        st = impl->prepare(self, v, err);
    if (st == DAL_OK && p->want > 0)
        st = impl->score ? by_score(v, impl, self, p, err) : impl->select(self, v, p, err);
    return st;
}

static dal_status view_run(const dal_view *v, const dal_instance *strategy, int64_t n, int64_t *picks,
                           double *scores, int64_t *n_picked, dal_error *err)
{
    dal_picks p = {.struct_size = sizeof p, .want = n, .ids = picks, .scores = scores};
    const dal_status st = fx_run_on(v, strategy->impl, strategy->self, &p, err);
    *n_picked = p.n;
    return st;
}

/* One like the round's. */
static const dal_component_ref *model_ref(const fx_round *r)
{
    static const fx_model_options kinds[2] = {{0}, {1}};
    static const fx_ref refs[2] = {{&fx_model_impl, &kinds[0]}, {&fx_model_impl, &kinds[1]}};
    return (const void *)&refs[fx_model_is_curved(r->model.self)];
}

dal_view fx_view_of(fx_round *r)
{
    return (dal_view){.struct_size = sizeof(dal_view), .mc_kind = r->mc_kind, .impl = r, .round = r->round,
                      .n_classes = r->c, .count = view_count, .ids = view_ids, .classes = view_classes,
                      .outputs = view_outputs, .features = view_features, .mc = view_mc,
                      .last_layer = view_last_layer, .stream = view_stream, .subview = view_subview,
                      .close = view_close, .run = view_run, .pseudo_label = view_pseudo_label,
                      .model = r->model.impl ? &r->model : NULL,
                      .model_ref = r->model.impl ? model_ref(r) : NULL,
                      .samples = r->model.impl ? view_samples : no_samples, .release = view_release,
                      .get_extension = view_extension};
}
