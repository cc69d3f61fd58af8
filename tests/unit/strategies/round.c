#include "tests/unit/strategies/round.h"

#include <dal/topk.h>
#include <math.h>

#define BLOCK 256

/* ---- making rounds ---------------------------------------------------------------------------- */

static void *copy_of(const void *from, int64_t n, size_t size)
{
    if (!from)
        return NULL;
    void *to = malloc((size_t)(n > 0 ? n : 1) * size);
    memcpy(to, from, (size_t)n * size);
    return to;
}

static const int64_t first_id[DAL_ROW_SETS] = {10, 100001, 200001, 10, 300001};

static int64_t *count_up(uint32_t set, int64_t n)
{
    int64_t *ids = malloc((size_t)(n > 0 ? n : 1) * sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        ids[i] = set == DAL_ROWS_CANDIDATES || set == DAL_ROWS_UNLABELLED ? 10 * (i + 1) : first_id[set] + i;
    return ids;
}

void fx_round_add(fx_round *r, uint32_t set, int64_t n, const int32_t *classes, const float *probs,
                  const float *features)
{
    r->set[set] = (fx_rows){.n = n, .ids = count_up(set, n), .classes = copy_of(classes, n, sizeof *classes),
                            .outputs = copy_of(probs, n * r->c, sizeof *probs),
                            .features = copy_of(features, n * r->d, sizeof *features)};
}

fx_round *fx_round_of(int64_t n, int64_t c, const float *probs, int64_t d, const float *features)
{
    fx_round *r = calloc(1, sizeof *r);
    r->c = c;
    r->d = d;
    r->output_kind = r->mc_kind = DAL_PROBS;
    fx_round_add(r, DAL_ROWS_CANDIDATES, n, NULL, probs, features);
    fx_round_add(r, DAL_ROWS_UNLABELLED, n, NULL, probs, features);
    return r;
}

void fx_round_mc(fx_round *r, int64_t passes, const float *mc)
{
    r->passes = passes;
    r->set[DAL_ROWS_CANDIDATES].mc = copy_of(mc, passes * r->set[DAL_ROWS_CANDIDATES].n * r->c, sizeof *mc);
}

void fx_round_free(fx_round *r)
{
    if (!r)
        return;
    for (int s = 0; s < (int)DAL_ROW_SETS; s++) {
        free(r->set[s].ids);
        free(r->set[s].classes);
        free(r->set[s].outputs);
        free(r->set[s].features);
        free(r->set[s].mc);
    }
    free(r->weights);
    free(r->bias);
    if (!r->borrowed) {
        if (r->model.impl)
            r->model.impl->destroy(r->model.self);
        free(r->truth);
    }
    free(r);
}

void fx_round_model(fx_round *r, int curved)
{
    r->model = (dal_model){&fx_model_impl, fx_model_new(r->c, r->d, r->weights, r->bias, curved)};
}

void fx_round_truth(fx_round *r, const int32_t *classes)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    r->n_pool = (l->n > 0 ? l->ids[l->n - 1] : pool->ids[pool->n - 1]) + 1;
    r->truth = malloc((size_t)r->n_pool * sizeof *r->truth);
    for (int64_t i = 0; i < r->n_pool; i++)
        r->truth[i] = DAL_LABEL_NONE;
    for (int64_t i = 0; i < pool->n; i++)
        r->truth[pool->ids[i]] = classes[i];
    for (int64_t i = 0; i < l->n; i++)
        r->truth[l->ids[i]] = l->classes[i];
}

/* One row: features round the centre of its class, logits from the last layer. */
static void draw_row(const fx_round *r, const fx_spec *spec, dal_rng *rng, int32_t cls, float *x, float *z)
{
    for (int64_t j = 0; j < r->d; j++) {
        dal_rng centre = dal_rng_at(rng, (uint64_t)(cls * r->d + j) + 1000);
        const double v = 1.5 * dal_rng_normal(&centre) + dal_rng_normal(rng);
        x[j] = (float)(v > 0 ? v : 0);
    }
    if ((spec->odd & FX_ZERO_ROWS) && dal_rng_below(rng, 5) == 0)
        memset(x, 0, (size_t)r->d * sizeof *x);
    const double sharp = (spec->odd & FX_SATURATED) ? 200 : 1;
    for (int64_t c = 0; c < r->c; c++) {
        double sum = r->bias[c];
        for (int64_t j = 0; j < r->d; j++)
            sum += (double)r->weights[c * r->d + j] * x[j];
        z[c] = (float)(sharp * sum);
    }
}

static void softmax_row(float *z, int64_t c)
{
    double top = z[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        top = z[k] > top ? z[k] : top;
    for (int64_t k = 0; k < c; k++)
        sum += exp(z[k] - top);
    for (int64_t k = 0; k < c; k++)
        z[k] = (float)(exp(z[k] - top) / sum);
}

static void draw_mc(fx_round *r, const fx_spec *spec, dal_rng *rng)
{
    fx_rows *rows = &r->set[DAL_ROWS_CANDIDATES];
    r->passes = spec->passes;
    rows->mc = malloc((size_t)(spec->passes * rows->n * r->c + 1) * sizeof(float));
    for (int64_t k = 0; k < spec->passes; k++)
        for (int64_t i = 0; i < rows->n; i++) {
            float *z = rows->mc + (k * rows->n + i) * r->c;
            for (int64_t c = 0; c < r->c; c++)
                z[c] = rows->outputs[i * r->c + c] + (float)dal_rng_normal(rng);
        }
}

static void copy_row(fx_round *r, fx_rows *rows, int64_t from, int64_t to)
{
    memcpy(rows->outputs + to * r->c, rows->outputs + from * r->c, (size_t)r->c * sizeof(float));
    memcpy(rows->features + to * r->d, rows->features + from * r->d, (size_t)r->d * sizeof(float));
    for (int64_t k = 0; k < r->passes; k++)
        memcpy(rows->mc + (k * rows->n + to) * r->c, rows->mc + (k * rows->n + from) * r->c,
               (size_t)r->c * sizeof(float));
}

static void draw_set(fx_round *r, const fx_spec *spec, uint32_t set, int64_t n, dal_rng *rng)
{
    fx_rows *rows = &r->set[set];
    *rows = (fx_rows){.n = n, .ids = count_up(set, n), .classes = malloc((size_t)(n + 1) * sizeof(int32_t)),
                      .outputs = malloc((size_t)(n * r->c + 1) * sizeof(float)),
                      .features = malloc((size_t)(n * r->d + 1) * sizeof(float))};
    for (int64_t i = 0; i < n; i++) {
        const int32_t cls = (int32_t)dal_rng_below(rng, r->c);
        rows->classes[i] = set == DAL_ROWS_LABELLED && (spec->odd & FX_ONE_CLASS) ? 0 : cls;
        draw_row(r, spec, rng, rows->classes[i], rows->features + i * r->d, rows->outputs + i * r->c);
    }
    if (set == DAL_ROWS_CANDIDATES && spec->passes > 0)
        draw_mc(r, spec, rng);
    if (set == DAL_ROWS_CANDIDATES && (spec->odd & FX_DUPLICATES))
        for (int64_t i = 1; i < n; i += 3)
            copy_row(r, rows, i - 1, i);
    if (!(spec->odd & FX_LOGITS)) {
        for (int64_t i = 0; i < n; i++)
            softmax_row(rows->outputs + i * r->c, r->c);
        for (int64_t i = 0; rows->mc && i < r->passes * n; i++)
            softmax_row(rows->mc + i * r->c, r->c);
    }
    if (set == DAL_ROWS_CANDIDATES && (spec->odd & FX_NAN_ROWS))
        for (int64_t i = 3; i < n; i += 7) {
            rows->outputs[i * r->c] = NAN;
            for (int64_t k = 0; k < r->passes; k++)
                rows->mc[(k * n + i) * r->c] = NAN;
        }
}

fx_round *fx_round_random(const fx_spec *spec)
{
    fx_round *r = calloc(1, sizeof *r);
    dal_rng rng = dal_rng_from_key(spec->seed);
    r->c = spec->c;
    r->d = spec->d;
    r->output_kind = r->mc_kind = (spec->odd & FX_LOGITS) ? DAL_LOGITS : DAL_PROBS;
    r->weights = malloc((size_t)(r->c * r->d) * sizeof(float));
    r->bias = malloc((size_t)r->c * sizeof(float));
    for (int64_t i = 0; i < r->c * r->d; i++)
        r->weights[i] = (float)(dal_rng_normal(&rng) / sqrt((double)r->d));
    for (int64_t i = 0; i < r->c; i++)
        r->bias[i] = (float)(0.1 * dal_rng_normal(&rng));
    draw_set(r, spec, DAL_ROWS_CANDIDATES, spec->n, &rng);
    draw_set(r, spec, DAL_ROWS_LABELLED, spec->n_labelled, &rng);
    draw_set(r, spec, DAL_ROWS_OOD, spec->n_ood, &rng);
    free(r->set[DAL_ROWS_CANDIDATES].classes);
    r->set[DAL_ROWS_CANDIDATES].classes = NULL;
    const fx_rows *all = &r->set[DAL_ROWS_CANDIDATES];
    fx_round_add(r, DAL_ROWS_UNLABELLED, all->n, NULL, all->outputs, all->features);
    if (spec->odd & (FX_MODEL | FX_CURVED))
        fx_round_model(r, (spec->odd & FX_CURVED) != 0);
    return r;
}

fx_round *fx_round_permuted(const fx_round *r, const int64_t *order)
{
    fx_round *p = calloc(1, sizeof *p);
    *p = *r;
    p->borrowed = 1;
    p->weights = copy_of(r->weights, r->c * r->d, sizeof(float));
    p->bias = copy_of(r->bias, r->c, sizeof(float));
    for (uint32_t s = 0; s < DAL_ROW_SETS; s++) {
        const fx_rows *from = &r->set[s];
        const int moves = s == DAL_ROWS_CANDIDATES || s == DAL_ROWS_UNLABELLED;
        fx_rows *to = &p->set[s];
        *to = (fx_rows){from->n, copy_of(from->ids, from->n, sizeof(int64_t)),
                        copy_of(from->classes, from->n, sizeof(int32_t)),
                        copy_of(from->outputs, from->n * r->c, sizeof(float)),
                        copy_of(from->features, from->n * r->d, sizeof(float)),
                        copy_of(from->mc, r->passes * from->n * r->c, sizeof(float))};
        for (int64_t i = 0; moves && i < from->n; i++) {
            if (to->outputs)
                memcpy(to->outputs + i * r->c, from->outputs + order[i] * r->c, (size_t)r->c * sizeof(float));
            if (to->features)
                memcpy(to->features + i * r->d, from->features + order[i] * r->d, (size_t)r->d * sizeof(float));
            for (int64_t k = 0; to->mc && k < r->passes; k++)
                memcpy(to->mc + (k * from->n + i) * r->c, from->mc + (k * from->n + order[i]) * r->c,
                       (size_t)r->c * sizeof(float));
        }
    }
    return p;
}

void fx_round_scale(fx_round *r, float s)
{
    for (uint32_t k = 0; k < DAL_ROW_SETS; k++)
        for (int64_t i = 0; r->set[k].features && i < r->set[k].n * r->d; i++)
            r->set[k].features[i] *= s;
}

static void row_probs(const float *row, int64_t c, uint32_t kind, double *out)
{
    double top = row[0], sum = 0;
    for (int64_t k = 0; k < c; k++)
        top = row[k] > top ? (double)row[k] : top;
    for (int64_t k = 0; k < c; k++)
        sum += out[k] = kind == DAL_LOGITS ? exp((double)row[k] - top) : (double)row[k];
    for (int64_t k = 0; kind == DAL_LOGITS && k < c; k++)
        out[k] /= sum;
}

void fx_probs(const fx_round *r, uint32_t set, int64_t row, double *out)
{
    row_probs(r->set[set].outputs + row * r->c, r->c, r->output_kind, out);
}

void fx_mc_probs(const fx_round *r, int64_t k, int64_t row, double *out)
{
    const fx_rows *rows = &r->set[DAL_ROWS_CANDIDATES];
    row_probs(rows->mc + (k * rows->n + row) * r->c, r->c, r->mc_kind, out);
}

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

static dal_view view_of(fx_round *r);

static int64_t row_of(const fx_rows *rows, int64_t id)
{
    for (int64_t i = 0; i < rows->n; i++)
        if (rows->ids[i] == id)
            return i;
    return -1;
}

/* The rows of these ids, wherever they are, as a set. */
static fx_rows gather(const fx_round *r, const int64_t *ids, const int32_t *classes, int64_t n)
{
    fx_rows out = {.n = n, .ids = copy_of(ids, n, sizeof *ids), .classes = copy_of(classes, n, sizeof *classes),
                   .outputs = malloc((size_t)(n * r->c + 1) * sizeof(float)),
                   .features = malloc((size_t)(n * r->d + 1) * sizeof(float)),
                   .mc = malloc((size_t)(r->passes * n * r->c + 1) * sizeof(float))};
    for (int64_t i = 0; i < n; i++)
        for (uint32_t s = 0; s < DAL_ROW_SETS; s++) {
            const fx_rows *rows = &r->set[s];
            const int64_t at = row_of(rows, ids[i]);
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
                      .n_pool = r->n_pool, .truth = r->truth, .parent = of(v)};
    sub->weights = copy_of(r->weights, r->c * r->d, sizeof(float));
    sub->bias = copy_of(r->bias, r->c, sizeof(float));
    sub->set[DAL_ROWS_CANDIDATES] = gather(r, candidates, NULL, n);
    sub->set[DAL_ROWS_LABELLED] = gather(r, labelled, classes, n_labelled);
    for (uint32_t s = DAL_ROWS_OOD; s < DAL_ROW_SETS; s++)
        sub->set[s] = gather(r, r->set[s].ids, r->set[s].classes, r->set[s].n);
    *out = malloc(sizeof **out);
    **out = view_of(sub);
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
        const int64_t at = row_of(&r->set[s], id);
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
    row_probs(z, r->c, DAL_LOGITS, out);
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

static dal_status run_on(const dal_view *v, const dal_strategy_impl *impl, void *self, dal_picks *p, dal_error *err)
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
    const dal_status st = run_on(v, strategy->impl, strategy->self, &p, err);
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

static dal_view view_of(fx_round *r)
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
    const dal_view view = view_of(r);
    dal_picks p = {.struct_size = sizeof p, .want = b, .ids = out->ids, .scores = out->scores};
    void *self = NULL;
    const int models = fx_models_open;
    cr_assert_leq(b, FX_MAX_PICKS);
    r->host = host;
    r->n_pseudo = 0;
    out->err = (dal_error)DAL_ERROR_INIT;
    out->status = impl->create ? impl->create(host, options, &self, &out->err) : DAL_OK;
    if (out->status == DAL_OK) {
        out->status = run_on(&view, impl, self, &p, &out->err);
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
        p->rows[i] = row_of(rows, p->ids[i]);
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

void fx_survives_no_memory(const dal_strategy_impl *impl, const void *options, const fx_spec *spec, int64_t b)
{
    static fx_picks p;
    fx_round *r = fx_round_random(spec);
    int64_t fail = 0;
    do {
        dal_runtime *rt = runtime(1, 1, ++fail);
        once(r, impl, options, b, rt, &p);
        dal_runtime_free(rt);
        if (p.status != DAL_OK)
            cr_assert(p.status == DAL_E_NOMEM && p.err.text[0], "allocation %lld fails: status %d, '%s'", (long long)fail,
                      p.status, p.err.text);
        cr_assert_lt(fail, 10000);
    } while (p.status != DAL_OK);
    cr_assert_gt(fail, 1, "it takes no memory at all");
    fx_round_free(r);
}
