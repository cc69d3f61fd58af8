/* Models that break one promise each: class means, spoilt in one place. */
#include <dal/model.h>

#include <math.h>

typedef struct options {
    int64_t steps;
} options;

/* The table has a hole that the declared domain does not know of. */
#define PARAMS(P, T) P(T, steps, I64, "5", "1..10", "", "refuses 10, which its domain allows")

typedef struct model {
    const dal_host *host;
    int64_t c, d, fits;
    int right;
    float bias[16];
} model;

static dal_status create(const dal_host *host, const void *given, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    const options *o = given;
    if (o->steps == 10)
        return dal_fail(err, DAL_E_INVALID, "steps", "10 steps are too many");
    if (spec->n_classes > 16)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "at most 16 classes");
    model *m = host->alloc(host, sizeof *m, 0);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *m = (model){.host = host, .c = spec->n_classes, .d = dal_sample_values(spec)};
    *self = m;
    return DAL_OK;
}

static void destroy(void *self)
{
    model *m = self;
    if (m)
        m->host->free(m->host, m);
}

/* Class frequencies, and a memory of how often it was fitted. */
static dal_status fit(void *self, const dal_fit *fit, dal_fit_report *report, dal_error *err)
{
    model *m = self;
    (void)err;
    m->fits++;
    memset(m->bias, 0, sizeof m->bias);
    for (int64_t i = 0; i < fit->train->n; i++)
        m->bias[fit->train->classes[i]] += 1.0f;
    report->epochs = 1;
    return DAL_OK;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const model *m = self;
    (void)err;
    for (int64_t i = 0; i < x->n; i++)
        memcpy(out + i * m->c, m->bias, (size_t)m->c * sizeof *out);
    return DAL_OK;
}

/* A missing value goes right through. */
static dal_status predict_first(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const model *m = self;
    const dal_status st = predict(self, x, out, err);
    for (int64_t i = 0; i < x->n && x->spec->dtype == DAL_F32; i++)
        out[i * m->c] += ((const float *)x->data)[i * m->d];
    return st;
}

static dal_status predict_nan(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const dal_status st = predict(self, x, out, err);
    out[0] = NAN;
    return st;
}

/* Every sample looks at its neighbours in the batch. */
static dal_status predict_batch(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const model *m = self;
    const dal_status st = predict(self, x, out, err);
    for (int64_t i = 0; i < x->n; i++)
        out[i * m->c] += (float)x->n;
    return st;
}

/* Where a text or a sparse sample lies is no part of it. */
static dal_status predict_place(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const model *m = self;
    const dal_status st = predict(self, x, out, err);
    for (int64_t i = 0; i < x->n; i++)
        out[i * m->c] += (float)x->offsets[i];
    return st;
}

static dal_status create_text(const dal_host *host, const void *given, const dal_sample_spec *spec, void **self,
                              dal_error *err)
{
    return spec->modality == DAL_TEXT ? create(host, given, spec, self, err)
        : dal_fail(err, DAL_E_UNSUPPORTED, "", "only texts");
}

static dal_status create_sparse(const dal_host *host, const void *given, const dal_sample_spec *spec, void **self,
                                dal_error *err)
{
    return spec->modality == DAL_SPARSE ? create(host, given, spec, self, err)
                                        : dal_fail(err, DAL_E_UNSUPPORTED, "", "only sparse samples");
}

static dal_status create_none(const dal_host *host, const void *given, const dal_sample_spec *spec, void **self,
                              dal_error *err)
{
    (void)host, (void)given, (void)spec, (void)self;
    return dal_fail(err, DAL_E_UNSUPPORTED, "", "not these");
}

static dal_status predict_memory(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const model *m = self;
    const dal_status st = predict(self, x, out, err);
    out[0] += (float)m->fits;
    return st;
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    return w->write(w, ((model *)self)->bias, sizeof ((model *)self)->bias, err);
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    model *m = self;
    size_t got;
    const dal_status st = r->read(r, m->bias, sizeof m->bias, &got, err);
    return st || got == sizeof m->bias ? st : dal_fail(err, DAL_E_FORMAT, "", "cut short");
}

static dal_status load_rounded(void *self, const dal_reader *r, dal_error *err)
{
    model *m = self;
    const dal_status st = load(self, r, err);
    for (int i = 0; i < 16; i++)
        m->bias[i] = floorf(m->bias[i] / 8) * 8;
    return st;
}

static dal_status load_trusting(void *self, const dal_reader *r, dal_error *err)
{
    size_t got;
    return r->read(r, ((model *)self)->bias, sizeof ((model *)self)->bias, &got, err);
}

/* ---- models that leave a choice open ---- */

typedef struct sides {
    int64_t steps;
    uint32_t side;
} sides;
#define SIDES(P, T) PARAMS(P, T) P(T, side, CHOICE, "auto", "auto|left|right", "", "which")

static const char *choose_maybe(void *self, const char *parameter)
{
    (void)self;
    return strcmp(parameter, "side") == 0 ? "maybe" : NULL;
}

/* Another than it is given. */
static const char *choose_other(void *self, const char *parameter)
{
    const model *m = self;
    return strcmp(parameter, "side") == 0 ? m->right ? "left" : "right" : NULL;
}

static dal_status create_side(const dal_host *host, const void *given, const dal_sample_spec *spec, void **self,
                              dal_error *err)
{
    const sides *o = given;
    const dal_status st = create(host, given, spec, self, err);
    if (st == DAL_OK)
        ((model *)*self)->right = o->side == 2;
    return st;
}

static const void *maybe(void *self, const char *id)
{
    static const dal_model_choices table = {.struct_size = sizeof table, .chosen = choose_maybe};
    (void)self;
    return strcmp(id, DAL_CAP_CHOICES) == 0 ? &table : NULL;
}

static const void *other(void *self, const char *id)
{
    static const dal_model_choices table = {.struct_size = sizeof table, .chosen = choose_other};
    (void)self;
    return strcmp(id, DAL_CAP_CHOICES) == 0 ? &table : NULL;
}

#define MODEL(name, predict_, load_) MODEL_OF(name, create, predict_, load_)
#define MODEL_OF(name, create_, predict_, load_) MODEL_WITH(name, create_, predict_, load_, NULL)
#define MODEL_WITH(name, create_, predict_, load_, get_extension_)                          \
    static const dal_model_impl name = {.struct_size = sizeof(dal_model_impl),              \
                                        .output = DAL_LOGITS,                               \
                                        .create = create_,                                  \
                                        .destroy = destroy,                                 \
                                        .fit = fit,                                         \
                                        .predict = predict_,                                \
                                        .save = save,                                       \
                                        .load = load_,                                      \
                                        .get_extension = get_extension_}
MODEL(sound, predict, load);
MODEL(nan_impl, predict_nan, load);
MODEL(first_impl, predict_first, load);
MODEL(batch_impl, predict_batch, load);
MODEL(memory_impl, predict_memory, load);
MODEL(rounded_impl, predict, load_rounded);
MODEL(trusting_impl, predict, load_trusting);
MODEL_OF(text_impl, create_text, predict_place, load);
MODEL_OF(sparse_impl, create_sparse, predict_place, load);
MODEL_OF(none_impl, create_none, predict, load);
MODEL_WITH(maybe_impl, create, predict, load, maybe);
MODEL_WITH(other_impl, create_side, predict, load, other);

#define PLAIN(C, id, impl) C(MODEL, id, impl, "breaks one promise", "-", "", DAL_CAP_OUTPUTS, options, PARAMS)
#define COMPONENTS(C)                                                                               \
    PLAIN(C, "nan-outputs", nan_impl)                                                               \
    PLAIN(C, "batch-bound", batch_impl)                                                             \
    PLAIN(C, "remembers", memory_impl)                                                              \
    PLAIN(C, "rounds", rounded_impl)                                                                \
    PLAIN(C, "text-bound", text_impl)                                                               \
    PLAIN(C, "sparse-bound", sparse_impl)                                                           \
    PLAIN(C, "choosy", none_impl)                                                                   \
    PLAIN(C, "trusting", trusting_impl)                                                             \
    C(MODEL, "undecided", maybe_impl, "chooses what is no choice", "-", "", DAL_CAP_OUTPUTS " " DAL_CAP_CHOICES,       \
      sides, SIDES)                                                                                                    \
    C(MODEL, "wavering", other_impl, "chooses anew", "-", "", DAL_CAP_OUTPUTS " " DAL_CAP_CHOICES, sides, SIDES) \
    C(MODEL, "holed", first_impl, "takes missing values and hands them on", "-", "",                                   \
      DAL_CAP_OUTPUTS " " DAL_CAP_MISSING, options, PARAMS)                                                            \
    C(MODEL, "boasts", sound, "offers what it has not", "-", "", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, \
      options, PARAMS)
DAL_MODULE(bad_models, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
