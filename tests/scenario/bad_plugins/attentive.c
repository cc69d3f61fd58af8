/* A good one: a strategy that needs to be told everything: trained along, given the answers, shown what it needs
 * then. It fails when it was not. */
#include <dal/model.h>
#include <dal/plugin.h>
#include <dal/strategy.h>

typedef struct attentive {
    const dal_host *host;
    dal_companion companion;
    int64_t fits, answers, picked;
} attentive;

static dal_status begin(void *self, const dal_companion_setup *setup, dal_error *err)
{
    (void)setup, (void)err;
    ((attentive *)self)->fits++;
    return DAL_OK;
}

static dal_status step(void *self, int64_t epoch, int64_t n, const dal_companion_batch *labelled,
                       const dal_companion_batch *unlabelled, dal_error *err)
{
    (void)self, (void)epoch, (void)n, (void)labelled, (void)unlabelled, (void)err;
    return DAL_OK;
}

static dal_status create(const dal_host *host, const void *options, void **self, dal_error *err)
{
    (void)options;
    attentive *a = host->alloc(host, sizeof *a, 0);
    if (!a)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *a = (attentive){.host = host, .companion = {.struct_size = sizeof(dal_companion), .self = a, .begin = begin,
                                                 .step = step}};
    *self = a;
    return DAL_OK;
}

static void destroy(void *self)
{
    attentive *a = self;
    if (a)
        a->host->free(a->host, a);
}

static const dal_companion *companion(void *self)
{
    return &((attentive *)self)->companion;
}

static dal_status select(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    attentive *a = self;
    if (a->fits != view->round + 1)
        return dal_fail(err, DAL_E_CONTRACT, "", "round %lld, trained along %lld times", (long long)view->round,
                        (long long)a->fits);
    if (a->answers != a->picked)
        return dal_fail(err, DAL_E_CONTRACT, "", "%lld answers to %lld picks", (long long)a->answers,
                        (long long)a->picked);
    for (picks->n = 0; picks->n < picks->want; picks->n++)
        picks->ids[picks->n] = view->ids(view, DAL_ROWS_CANDIDATES)[picks->n];
    a->picked += picks->n;
    return DAL_OK;
}

static dal_status observe(void *self, const dal_view *view, const dal_feedback *feedback, dal_error *err)
{
    dal_outputs o;
    ((attentive *)self)->answers += feedback->n;
    return view->outputs(view, DAL_ROWS_CANDIDATES, &o, err);
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    return w->write(w, &((attentive *)self)->fits, 3 * sizeof(int64_t), err);
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    size_t got = 0;
    const dal_status st = r->read(r, &((attentive *)self)->fits, 3 * sizeof(int64_t), &got, err);
    return st == DAL_OK && got != 3 * sizeof(int64_t) ? dal_fail(err, DAL_E_FORMAT, "", "cut short") : st;
}

static const dal_strategy_impl impl = {.struct_size = sizeof impl, .create = create, .destroy = destroy,
                                       .select = select, .observe = observe, .save = save, .load = load,
                                       .companion = companion};

#define COMPONENTS(C)                                                                                      \
    C(STRATEGY, "attentive", impl, "wants to be told everything", "", DAL_CAP_OUTPUTS " " DAL_CAP_COMPANION, "", \
      dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(attentive, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
