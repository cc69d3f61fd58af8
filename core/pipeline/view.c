#include "pipeline/view.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "pipeline/view_private.h"
#include "util/text.h"

static const char *const set_name[DAL_ROW_SETS] = {"candidates", "labelled samples", "out-of-class samples",
                                                   "unlabelled samples", "validation samples"};

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static round_view *self_of(const dal_view *api)
{
    return api->impl;
}

/* ---- what may be read ---- */

static dal_status require(const round_view *v, const char *capability, bool offered, dal_error *err)
{
    if (!dal_has_word(v->who->needs, capability))
        return dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' reads %s without naming it in its needs", v->who->id,
                        capability);
    if (!offered)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "strategy '%s' needs %s, which is not there: %s", v->who->id,
                        capability, v->p->lacks(v->p, capability));
    return DAL_OK;
}

static bool wants_both(const round_view *v)
{
    return v->p->features && v->p->outputs && dal_has_word(v->who->needs, DAL_CAP_FEATURES) &&
           dal_has_word(v->who->needs, DAL_CAP_OUTPUTS);
}

/* ---- scratch ---- */

scratch *view_take_scratch(round_view *v)
{
    pthread_mutex_lock(&v->lock);
    scratch *s = v->free_scratch;
    if (s)
        v->free_scratch = s->next;
    pthread_mutex_unlock(&v->lock);
    return s ? s : xcalloc(1, sizeof *s);
}

void view_give_scratch(round_view *v, scratch *s)
{
    pthread_mutex_lock(&v->lock);
    s->next = v->free_scratch;
    v->free_scratch = s;
    pthread_mutex_unlock(&v->lock);
}

/* ---- blocks ---- */

static live_block *block_of(const dal_block *b)
{
    return b->impl;
}

static dal_status both_of(live_block *b, dal_error *err)
{
    const int64_t start = now_ns();
    const dal_status st = b->v->p->features(b->v->p, b->s, b->api.ids, b->api.n, &b->features, &b->outputs, err);
    b->infer_ns += now_ns() - start;
    b->have_features = b->have_outputs = st == DAL_OK;
    return st;
}

static dal_status block_outputs(const dal_block *api, dal_outputs *out, dal_error *err)
{
    live_block *b = block_of(api);
    const provider *p = b->v->p;
    dal_status st = DAL_OK;
    if (!b->have_outputs) {
        st = require(b->v, DAL_CAP_OUTPUTS, p->outputs != NULL, err);
        if (st == DAL_OK && wants_both(b->v))
            st = both_of(b, err);
        else if (st == DAL_OK) {
            const int64_t start = now_ns();
            st = p->outputs(p, b->s, api->ids, api->n, &b->outputs, err);
            b->infer_ns += now_ns() - start;
            b->have_outputs = st == DAL_OK;
        }
    }
    *out = (dal_outputs){b->outputs, p->output_kind, 0};
    return st;
}

static dal_status block_features(const dal_block *api, dal_matrix *out, dal_error *err)
{
    live_block *b = block_of(api);
    const provider *p = b->v->p;
    dal_status st = DAL_OK;
    if (!b->have_features) {
        st = require(b->v, DAL_CAP_FEATURES, p->features != NULL, err);
        if (st == DAL_OK && wants_both(b->v))
            st = both_of(b, err);
        else if (st == DAL_OK) {
            const int64_t start = now_ns();
            st = p->features(p, b->s, api->ids, api->n, &b->features, NULL, err);
            b->infer_ns += now_ns() - start;
            b->have_features = st == DAL_OK;
        }
    }
    *out = b->features;
    return st;
}

static dal_status block_mc(const dal_block *api, int64_t passes, dal_tensor3 *out, dal_error *err)
{
    live_block *b = block_of(api);
    const provider *p = b->v->p;
    dal_status st = require(b->v, DAL_CAP_MC, p->mc != NULL, err);
    if (st != DAL_OK)
        return st;
    const int64_t start = now_ns();
    st = p->mc(p, b->s, api->ids, api->n, passes, out, err);
    b->infer_ns += now_ns() - start;
    return st;
}

static dal_status block_inputs(const dal_block *api, dal_batch *out, dal_error *err)
{
    live_block *b = block_of(api);
    const provider *p = b->v->p;
    if (!p->inputs)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "strategy '%s' wants the samples themselves: %s", b->v->who->id,
                        p->lacks(p, "samples"));
    const int64_t start = now_ns();
    const dal_status st = p->inputs(p, b->s, api->ids, api->n, out, err);
    b->infer_ns += now_ns() - start;
    return st;
}

live_block view_block(round_view *v, uint32_t set, int64_t first, scratch *s)
{
    const int64_t left = v->sets.n[set] - first;
    return (live_block){
        .api = {.struct_size = sizeof(dal_block),
                .set = set,
                .first = first,
                .n = left < v->block ? left : v->block,
                .ids = v->sets.ids[set] + first,
                .outputs = block_outputs,
                .features = block_features,
                .mc = block_mc,
                .inputs = block_inputs},
        .v = v,
        .s = s,
    };
}

/* ---- streaming ---- */

typedef struct stream_job {
    round_view *v;
    uint32_t set;
    dal_status (*visit)(void *ctx, const dal_block *block, dal_error *err);
    void *ctx;
    dal_error error; /* of the lowest block that failed */
    int64_t failed_block;
    _Atomic int64_t infer_ns, all_ns, done;
} stream_job;

static dal_status stream_block(void *ctx, int64_t i)
{
    stream_job *j = ctx;
    const dal_host *h = j->v->p->host;
    if (h->cancelled(h))
        return DAL_E_CANCELLED;
    const int64_t start = now_ns();
    scratch *s = view_take_scratch(j->v);
    live_block b = view_block(j->v, j->set, i * j->v->block, s);
    b.api.impl = &b;
    dal_error err = DAL_ERROR_INIT;
    const dal_status st = j->visit(j->ctx, &b.api, &err);
    view_give_scratch(j->v, s);
    atomic_fetch_add(&j->infer_ns, b.infer_ns);
    atomic_fetch_add(&j->all_ns, now_ns() - start);
    const int64_t done = atomic_fetch_add(&j->done, b.api.n) + b.api.n;
    h->progress(h, done, j->v->sets.n[j->set], set_name[j->set]);
    if (st != DAL_OK) {
        pthread_mutex_lock(&j->v->lock);
        if (i < j->failed_block) {
            j->failed_block = i;
            j->error = err;
        }
        pthread_mutex_unlock(&j->v->lock);
    }
    return st;
}

dal_status view_stream(round_view *v, uint32_t set, dal_status (*visit)(void *, const dal_block *, dal_error *),
                       void *ctx, dal_error *err)
{
    stream_job j = {.v = v, .set = set, .visit = visit, .ctx = ctx, .error = DAL_ERROR_INIT,
                    .failed_block = INT64_MAX};
    const int64_t start = now_ns(), blocks = (v->sets.n[set] + v->block - 1) / v->block;
    const dal_status st = v->p->host->parallel_for(v->p->host, blocks, stream_block, &j);
    /* wall time is shared out as the threads spent theirs */
    if (j.all_ns > 0)
        v->infer_ns += (int64_t)((double)(now_ns() - start) * (double)j.infer_ns / (double)j.all_ns);
    if (st != DAL_OK && err && j.failed_block < INT64_MAX)
        *err = j.error;
    if (st == DAL_E_CANCELLED)
        return dal_fail(err, st, "", "interrupted");
    if (st != DAL_OK && err && !*err->text)
        dal_fail(err, st, "", "strategy '%s' failed without saying why", v->who->id);
    return st;
}

static dal_status api_stream(const dal_view *api, uint32_t set,
                             dal_status (*visit)(void *, const dal_block *, dal_error *), void *ctx, dal_error *err)
{
    if (set >= DAL_ROW_SETS)
        return dal_fail(err, DAL_E_CONTRACT, "", "row set %u does not exist", set);
    return view_stream(self_of(api), set, visit, ctx, err);
}

/* ---- whole matrices ---- */

enum { FILL_OUTPUTS = 1, FILL_FEATURES = 2 };

typedef struct fill_job {
    round_view *v;
    uint32_t set;
    int what;
} fill_job;

static void copy_rows(const dal_matrix *from, float *to)
{
    for (int64_t i = 0; i < from->rows; i++)
        memcpy(to + i * from->cols, from->data + i * from->stride, (size_t)from->cols * sizeof(float));
}

static dal_status fill_block(void *ctx, const dal_block *b, dal_error *err)
{
    const fill_job *j = ctx;
    const round_view *v = j->v;
    dal_status st = DAL_OK;
    if (j->what & FILL_FEATURES) {
        dal_matrix x;
        st = b->features(b, &x, err);
        if (st == DAL_OK)
            copy_rows(&x, v->features[j->set].data + b->first * v->p->d);
    }
    if (st == DAL_OK && (j->what & FILL_OUTPUTS)) {
        dal_outputs z;
        st = b->outputs(b, &z, err);
        if (st == DAL_OK)
            copy_rows(&z.values, v->outputs[j->set].data + b->first * v->p->n_classes);
    }
    return st;
}

/* One provider call when it has the rows ready as they are; 1 when it has not. */
static int as_it_is(round_view *v, uint32_t set, int what, dal_matrix *out)
{
    if (!v->p->model && v->sets.n[set] > 0) {
        scratch s = {0};
        dal_error err = DAL_ERROR_INIT;
        const dal_status st = what == FILL_OUTPUTS
                                  ? v->p->outputs(v->p, &s, v->sets.ids[set], v->sets.n[set], out, &err)
                                  : v->p->features(v->p, &s, v->sets.ids[set], v->sets.n[set], out, NULL, &err);
        const int copied = out->data == s.outputs.data || out->data == s.features.data;
        free(s.outputs.data);
        free(s.features.data);
        return st == DAL_OK && !copied ? 0 : 1;
    }
    return 1;
}

static dal_status fill(round_view *v, uint32_t set, int what, dal_error *err)
{
    const int64_t n = v->sets.n[set];
    if (wants_both(v))
        what = FILL_OUTPUTS | FILL_FEATURES;
    if ((what & FILL_OUTPUTS) && !floats_reserve(&v->outputs[set], n, v->p->n_classes, 1, err))
        return DAL_E_NOMEM;
    if ((what & FILL_FEATURES) && !floats_reserve(&v->features[set], n, v->p->d, 1, err))
        return DAL_E_NOMEM;
    fill_job j = {v, set, what};
    const int64_t start = now_ns(), before = v->infer_ns;
    const dal_status st = view_stream(v, set, fill_block, &j, err);
    v->infer_ns = before + now_ns() - start;
    if (st == DAL_OK)
        v->filled[set] |= what;
    return st;
}

static dal_status matrix(round_view *v, uint32_t set, int what, dal_matrix *out, dal_error *err)
{
    floats *store = what == FILL_OUTPUTS ? v->outputs : v->features;
    const int64_t cols = what == FILL_OUTPUTS ? v->p->n_classes : v->p->d;
    if (!(v->filled[set] & what)) {
        if (as_it_is(v, set, what, out) == 0)
            return DAL_OK;
        const dal_status st = fill(v, set, what, err);
        if (st != DAL_OK)
            return st;
    }
    *out = (dal_matrix){store[set].data, v->sets.n[set], cols, cols};
    return DAL_OK;
}

static dal_status known_set(uint32_t set, dal_error *err)
{
    return set < DAL_ROW_SETS ? DAL_OK : dal_fail(err, DAL_E_CONTRACT, "", "row set %u does not exist", set);
}

static dal_status api_outputs(const dal_view *api, uint32_t set, dal_outputs *out, dal_error *err)
{
    round_view *v = self_of(api);
    dal_status st = known_set(set, err);
    if (st == DAL_OK)
        st = require(v, DAL_CAP_OUTPUTS, v->p->outputs != NULL, err);
    *out = (dal_outputs){.kind = v->p->output_kind};
    return st == DAL_OK ? matrix(v, set, FILL_OUTPUTS, &out->values, err) : st;
}

static dal_status api_features(const dal_view *api, uint32_t set, dal_matrix *out, dal_error *err)
{
    round_view *v = self_of(api);
    dal_status st = known_set(set, err);
    if (st == DAL_OK)
        st = require(v, DAL_CAP_FEATURES, v->p->features != NULL, err);
    return st == DAL_OK ? matrix(v, set, FILL_FEATURES, out, err) : st;
}

typedef struct mc_job {
    float *out;
    int64_t n, c, passes;
} mc_job;

static dal_status mc_block(void *ctx, const dal_block *b, dal_error *err)
{
    const mc_job *j = ctx;
    dal_tensor3 z;
    const dal_status st = b->mc(b, j->passes, &z, err);
    for (int64_t k = 0; st == DAL_OK && k < j->passes; k++)
        memcpy(j->out + (k * j->n + b->first) * j->c, z.data + k * z.rows * j->c,
               (size_t)(z.rows * j->c) * sizeof(float));
    return st;
}

static dal_status api_mc(const dal_view *api, uint32_t set, int64_t passes, dal_tensor3 *out, dal_error *err)
{
    round_view *v = self_of(api);
    dal_status st = known_set(set, err);
    if (st == DAL_OK)
        st = require(v, DAL_CAP_MC, v->p->mc != NULL, err);
    if (st == DAL_OK && passes < 1)
        st = dal_fail(err, DAL_E_CONTRACT, "", "%lld passes were asked for", (long long)passes);
    if (st != DAL_OK)
        return st;
    const int64_t n = v->sets.n[set], c = v->p->n_classes;
    float *data = floats_reserve(&v->mc[set], n, c, passes, err);
    if (!data)
        return DAL_E_NOMEM;
    mc_job j = {data, n, c, passes};
    const int64_t start = now_ns(), before = v->infer_ns;
    st = view_stream(v, set, mc_block, &j, err);
    v->infer_ns = before + now_ns() - start;
    *out = (dal_tensor3){data, passes, n, c};
    return st;
}

static dal_status api_last_layer(const dal_view *api, dal_matrix *weights, const float **bias, dal_error *err)
{
    const round_view *v = self_of(api);
    const dal_status st = require(v, DAL_CAP_LAST_LAYER, v->p->last_layer != NULL, err);
    return st == DAL_OK ? v->p->last_layer(v->p, weights, bias, err) : st;
}

/* ---- the rest of the table ---- */

static int64_t api_count(const dal_view *api, uint32_t set)
{
    return set < DAL_ROW_SETS ? self_of(api)->sets.n[set] : 0;
}

static const int64_t *api_ids(const dal_view *api, uint32_t set)
{
    return set < DAL_ROW_SETS ? self_of(api)->sets.ids[set] : NULL;
}

static const int32_t *api_classes(const dal_view *api, uint32_t set)
{
    const row_sets *sets = &self_of(api)->sets;
    if (set == DAL_ROWS_LABELLED && sets->classes_missed)
        ++*sets->classes_missed;
    return set == DAL_ROWS_LABELLED     ? sets->classes
           : set == DAL_ROWS_VALIDATION ? sets->validation_classes
                                        : NULL;
}

static dal_status api_samples(const dal_view *api, const int64_t *ids, const int32_t *classes,
                              const float *weights, int64_t n, dal_samples **out, dal_error *err)
{
    const provider *p = self_of(api)->p;
    if (!p->samples)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "strategy '%s' wants the samples themselves: %s",
                        self_of(api)->who->id, p->lacks(p, "samples"));
    *out = p->samples(p, ids, classes, weights, n);
    return *out ? DAL_OK : dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' asks for samples outside the pool",
                                    self_of(api)->who->id);
}

static void api_release(const dal_view *api, dal_samples *s)
{
    (void)api;
    free(s);
}

static bool ascending(const int64_t *ids, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || (i > 0 && ids[i] <= ids[i - 1]))
            return false;
    return true;
}

/* A view of other sets. The view owns it until close or view_free. */
static dal_status api_subview(const dal_view *api, const int64_t *candidates, int64_t n, const int64_t *labelled,
                              const int32_t *classes, int64_t n_labelled, dal_view **out, dal_error *err)
{
    round_view *v = self_of(api);
    if (n < 0 || n_labelled < 0 || !ascending(candidates, n) || !ascending(labelled, n_labelled))
        return dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' opens a subview whose ids do not ascend", v->who->id);
    row_sets sets = v->sets;
    sets.ids[DAL_ROWS_CANDIDATES] = candidates;
    sets.n[DAL_ROWS_CANDIDATES] = n;
    sets.ids[DAL_ROWS_LABELLED] = labelled;
    sets.n[DAL_ROWS_LABELLED] = n_labelled;
    if (sets.classes_missed && classes == sets.classes)
        --*sets.classes_missed; /* handed on */
    else
        sets.classes_missed = NULL;
    sets.classes = classes;
    round_view *sub = view_new(v->p, v->who, &sets, v->api.round, v->pseudo);
    sub->parent = v;
    *out = &sub->api;
    return DAL_OK;
}

static void api_close(const dal_view *api, dal_view *sub)
{
    (void)api;
    if (!sub)
        return;
    round_view *s = self_of(sub);
    s->parent->infer_ns += s->infer_ns;
    view_free(s);
}

static dal_status api_run(const dal_view *api, const dal_instance *strategy, int64_t n, int64_t *picks,
                          double *scores, int64_t *n_picked, dal_error *err)
{
    round_view *v = self_of(api);
    if (!instance_is_ours(strategy) || strategy->kind != DAL_KIND_STRATEGY)
        return dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' runs something that host->open did not give it as a "
                        "strategy", v->who->id);
    round_view *inner = view_new(v->p, strategy->component, &v->sets, v->api.round, v->pseudo);
    selection s = {0};
    const dal_status st = view_select(inner, strategy, n, &s, err);
    if (st == DAL_OK) {
        memcpy(picks, s.ids, (size_t)s.n * sizeof *picks);
        memcpy(scores, s.scores, (size_t)s.n * sizeof *scores);
        *n_picked = s.n;
    }
    v->infer_ns += inner->infer_ns;
    selection_free(&s);
    view_free(inner);
    return st;
}

static dal_status api_pseudo_label(const dal_view *api, int64_t id, int32_t cls, float weight, dal_error *err)
{
    round_view *v = self_of(api);
    pseudo_labels *p = v->pseudo;
    if (!p)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "there is no training to come");
    if (!view_has(v, DAL_ROWS_UNLABELLED, id) || cls < 0 || cls >= v->api.n_classes || !(weight > 0))
        return dal_fail(err, DAL_E_CONTRACT, "", "strategy '%s' gives sample %lld the pseudo label %d, weight %f",
                        v->who->id, (long long)id, (int)cls, (double)weight);
    p->ids = xrealloc(p->ids, (size_t)(p->n + 1) * sizeof *p->ids);
    p->classes = xrealloc(p->classes, (size_t)(p->n + 1) * sizeof *p->classes);
    p->weights = xrealloc(p->weights, (size_t)(p->n + 1) * sizeof *p->weights);
    p->ids[p->n] = id;
    p->classes[p->n] = cls;
    p->weights[p->n++] = weight;
    return DAL_OK;
}

static const void *api_extension(const dal_view *api, const char *id)
{
    round_view *v = self_of(api);
    if (strcmp(id, DAL_CAP_CONCURRENT) == 0)
        return v->p->concurrent ? v->p->model : NULL;
    if (!dal_has_word(v->who->needs, id))
        return NULL;
    if (strcmp(id, DAL_CAP_GROUPS) == 0 && v->p->groups) {
        v->groups = (dal_view_groups){sizeof v->groups, 0,           v->p->n_pool, v->p->n_groups,
                                      v->p->groups,     v->p->group_names};
        return &v->groups;
    }
    if (strcmp(id, DAL_CAP_TRUTH) != 0 || !v->p->truth)
        return NULL;
    v->truth = (dal_view_truth){sizeof v->truth, 0, v->p->n_pool, v->p->truth};
    return &v->truth;
}

bool view_has(const round_view *v, uint32_t set, int64_t id)
{
    int64_t low = 0, high = v->sets.n[set];
    while (low < high) {
        const int64_t mid = low + (high - low) / 2;
        if (v->sets.ids[set][mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low < v->sets.n[set] && v->sets.ids[set][low] == id;
}

round_view *view_new(const provider *p, const dal_component *who, const row_sets *sets, int64_t round,
                     pseudo_labels *pseudo)
{
    round_view *v = xcalloc(1, sizeof *v);
    v->p = p;
    v->who = who;
    /* Monte-Carlo passes of a block are always gathered, and are many times as large as outputs. */
    v->block = dal_has_word(who->needs, DAL_CAP_MC) ? BLOCK_COMPUTED : p->block;
    v->sets = *sets;
    v->pseudo = pseudo;
    pthread_mutex_init(&v->lock, NULL);
    v->api = (dal_view){
        .struct_size = sizeof v->api,
        .mc_kind = p->mc_kind,
        .impl = v,
        .round = round,
        .n_classes = p->n_classes,
        .count = api_count,
        .ids = api_ids,
        .classes = api_classes,
        .outputs = api_outputs,
        .features = api_features,
        .mc = api_mc,
        .last_layer = api_last_layer,
        .stream = api_stream,
        .model = p->model,
        .model_ref = p->model_ref,
        .samples = api_samples,
        .release = api_release,
        .subview = api_subview,
        .close = api_close,
        .run = api_run,
        .pseudo_label = api_pseudo_label,
        .get_extension = api_extension,
    };
    return v;
}

void view_free(round_view *v)
{
    if (!v)
        return;
    for (int s = 0; s < (int)DAL_ROW_SETS; s++) {
        free(v->outputs[s].data);
        free(v->features[s].data);
        free(v->mc[s].data);
    }
    scratch_free(v->free_scratch);
    pthread_mutex_destroy(&v->lock);
    free(v);
}

const dal_view *view_api(const round_view *v)
{
    return &v->api;
}

bool view_has_features(const round_view *v, uint32_t set, dal_matrix *out)
{
    *out = (dal_matrix){v->features[set].data, v->sets.n[set], v->p->d, v->p->d};
    return v->filled[set] & FILL_FEATURES;
}

double view_infer_seconds(const round_view *v)
{
    return (double)v->infer_ns * 1e-9;
}
