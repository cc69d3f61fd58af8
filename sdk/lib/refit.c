#include <dal/refit.h>

#include <dal/linalg.h>
#include <math.h>

dal_status dal_refit_open(dal_refit *r, const dal_host *host, const dal_view *view, dal_error *err)
{
    dal_samples *any = NULL;
    *r = (dal_refit){.host = host, .view = view};
    pthread_mutex_init(&r->live.lock, NULL);
    if (!view->model_ref)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "there is no model to train here, only its matrices");
    const int64_t *ids = view->ids(view, DAL_ROWS_CANDIDATES);
    dal_status st = view->samples(view, ids, NULL, NULL, view->count(view, DAL_ROWS_CANDIDATES) > 0, &any, err);
    if (st == DAL_OK)
        st = host->open(host, view->model_ref, &any->spec, &r->instance, err);
    view->release(view, any);
    if (st != DAL_OK)
        return st;
    r->model = (dal_model){r->instance->impl, r->instance->self};
    r->live.model = &r->model;
    r->live.concurrent = dal_has_word(r->instance->component->provides, DAL_CAP_CONCURRENT);
    return DAL_OK;
}

void dal_refit_close(dal_refit *r)
{
    if (r->instance)
        r->host->close(r->host, r->instance);
    pthread_mutex_destroy(&r->live.lock);
}

dal_status dal_refit_fit(dal_refit *r, const int64_t *ids, const int32_t *classes, int64_t n, int64_t key,
                         dal_error *err)
{
    dal_samples *train = NULL;
    dal_fit_report report = {.struct_size = sizeof report, .train_accuracy = -1};
    dal_status st = r->view->samples(r->view, ids, classes, NULL, n, &train, err);
    if (st == DAL_OK) {
        const dal_fit fit = {.struct_size = sizeof fit, .round = key, .train = train};
        st = r->model.impl->fit(r->model.self, &fit, &report, err);
    }
    r->view->release(r->view, train);
    return st;
}

typedef struct probs_job {
    dal_refit *r;
    float *out;
} probs_job;

static dal_status probs_block(void *ctx, const dal_block *block, dal_error *err)
{
    const probs_job *j = ctx;
    dal_refit *r = j->r;
    const int64_t c = r->view->n_classes;
    float *out = j->out + block->first * c;
    dal_batch samples;
    dal_status st = block->inputs(block, &samples, err);
    if (st != DAL_OK)
        return st;
    dal_live_model_enter(&r->live);
    st = r->model.impl->predict(r->model.self, &samples, out, err);
    dal_live_model_leave(&r->live);
    if (st == DAL_OK && r->model.impl->output == DAL_LOGITS)
        dal_softmax(out, block->n, c, c);
    for (int64_t i = 0; st == DAL_OK && i < block->n * c; i++)
        if (!isfinite(out[i]))
            st = dal_fail(err, DAL_E_INVALID, "", "the outputs of sample %lld are not numbers",
                          (long long)block->ids[i / c]);
    return st;
}

dal_status dal_refit_probs(dal_refit *r, const dal_view *view, uint32_t set, float *out, dal_error *err)
{
    probs_job j = {r, out};
    return view->stream(view, set, probs_block, &j, err);
}
