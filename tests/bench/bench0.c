/* A model and a strategy that do nothing: what is left of a round is the host's own time. */
#include <dal/strategy.h>

static dal_status create(const dal_host *host, const void *options, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    (void)options;
    (void)err;
    int64_t *c = host->alloc(host, sizeof *c, 0);
    if (!c)
        return DAL_E_NOMEM;
    *c = spec->n_classes;
    *self = c;
    return DAL_OK;
}

static void destroy(void *self)
{
    (void)self; /* freed with the runtime's process: this module is for measuring alone */
}

static dal_status fit(void *self, const dal_fit *fit, dal_fit_report *report, dal_error *err)
{
    (void)self;
    (void)fit;
    (void)report;
    (void)err;
    return DAL_OK;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const int64_t *c = self;
    (void)err;
    memset(out, 0, (size_t)(x->n * *c) * sizeof *out);
    return DAL_OK;
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    (void)self;
    return w->write(w, "0", 1, err);
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    char zero;
    size_t got;
    (void)self;
    return r->read(r, &zero, 1, &got, err);
}

static const dal_model_impl nothing = {
    .struct_size = sizeof nothing,
    .output = DAL_LOGITS,
    .create = create,
    .destroy = destroy,
    .fit = fit,
    .predict = predict,
    .save = save,
    .load = load,
};

/* The first candidates, whatever they are. */
static dal_status first(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    (void)self;
    (void)err;
    memcpy(picks->ids, view->ids(view, DAL_ROWS_CANDIDATES), (size_t)picks->want * sizeof *picks->ids);
    picks->n = picks->want;
    return DAL_OK;
}

static const dal_strategy_impl first_ones = {.struct_size = sizeof first_ones, .select = first};

#define COMPONENTS(C)                                                                                     \
    C(MODEL, "bench-nothing", nothing, "predicts zeros", "", "", DAL_CAP_OUTPUTS " " DAL_CAP_CONCURRENT,  \
      dal_no_options, DAL_NO_PARAMS)                                                                      \
    C(STRATEGY, "bench-first", first_ones, "picks the first candidates", "", "", "", dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(bench0, "1", "Apache-2.0", COMPONENTS, NULL, NULL)
