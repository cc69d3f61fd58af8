/* A model that takes companions and shows them features, but trains on labelled samples alone. */
#include <dal/model.h>

typedef struct model {
    const dal_host *host;
    int64_t d;
} model;

static dal_status create(const dal_host *host, const void *options, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    (void)options;
    model *m = host->alloc(host, sizeof *m, 0);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *m = (model){host, dal_sample_values(spec)};
    *self = m;
    return DAL_OK;
}

static void destroy(void *self)
{
    model *m = self;
    if (m)
        m->host->free(m->host, m);
}

/* No run comes so far. */
static dal_status fit(void *self, const dal_fit *fit, dal_fit_report *report, dal_error *err)
{
    (void)self, (void)fit, (void)report;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "nobody was to train it");
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    (void)self, (void)x, (void)out;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "nobody was to ask it");
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    (void)self;
    return w->write(w, "shy", 3, err);
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    char all[3];
    size_t got;
    (void)self;
    return r->read(r, all, sizeof all, &got, err);
}

static int64_t width(void *self)
{
    return ((const model *)self)->d;
}

static dal_status features(void *self, const dal_batch *x, float *out, float *outputs, dal_error *err)
{
    (void)outputs;
    return predict(self, x, out, err);
}

static const void *get_extension(void *self, const char *id)
{
    static const dal_model_companion companion = {.struct_size = sizeof companion, .offers = DAL_WANT_FEATURES};
    static const dal_model_features shown = {.struct_size = sizeof shown, .width = width, .features = features};
    (void)self;
    return strcmp(id, DAL_CAP_COMPANION) == 0 ? (const void *)&companion : strcmp(id, DAL_CAP_FEATURES) == 0 ? &shown
        : NULL;
}

static const dal_model_impl impl = {.struct_size = sizeof impl, .output = DAL_PROBS, .create = create,
                                    .destroy = destroy, .fit = fit, .predict = predict, .save = save, .load = load,
                                    .get_extension = get_extension};

#define COMPONENTS(C)                                                                                        \
    C(MODEL, "shy", impl, "shows companions its features", "-", "",                                          \
      DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES " " DAL_CAP_COMPANION, dal_no_options, DAL_NO_PARAMS)
DAL_MODULE(shy_model, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
