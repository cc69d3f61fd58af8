/* Linear models of inputs rounded to bf16, with gradients of what they round. */
#include <dal/model.h>

#define SAYS_F32 1u

typedef struct options {
    uint32_t precision;
} options;

/* What is said of it; it is rounded in any case. */
#define PARAMS(P, T) P(T, precision, CHOICE, "auto", "auto|f32|bf16", "", "what it says that it multiplies")

typedef struct model {
    const dal_host *host;
    int64_t c, d;
    uint32_t precision;
} model;

static dal_status create(const dal_host *host, const void *given, const dal_sample_spec *spec, void **self,
                         dal_error *err)
{
    if (spec->modality != DAL_VECTOR || spec->dtype != DAL_F32)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "only vectors");
    model *m = host->alloc(host, sizeof *m, 0);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory");
    *m = (model){host, spec->n_classes, dal_sample_values(spec), ((const options *)given)->precision};
    *self = m;
    return DAL_OK;
}

static void destroy(void *self)
{
    model *m = self;
    if (m)
        m->host->free(m->host, m);
}

static dal_status fit(void *self, const dal_fit *fit, dal_fit_report *report, dal_error *err)
{
    (void)self, (void)fit, (void)err;
    report->epochs = 1;
    return DAL_OK;
}

static float weight(int64_t k, int64_t j)
{
    return (float)((k * 31 + j * 17) % 11 - 5) / 5;
}

static float rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x8000u) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static dal_status forward(void *self, const float *inputs, int64_t n, float *outputs, dal_error *err)
{
    const model *m = self;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < m->c; k++) {
            float sum = 0;
            for (int64_t j = 0; j < m->d; j++)
                sum += weight(k, j) * rounded(inputs[i * m->d + j]);
            outputs[i * m->c + k] = sum;
        }
    return DAL_OK;
}

static dal_status predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    return forward(self, x->data, x->n, out, err);
}

static dal_status save(void *self, const dal_writer *w, dal_error *err)
{
    (void)self;
    return w->write(w, "rough", 5, err);
}

static dal_status load(void *self, const dal_reader *r, dal_error *err)
{
    char all[5];
    size_t got;
    (void)self;
    const dal_status st = r->read(r, all, sizeof all, &got, err);
    return st || (got == sizeof all && memcmp(all, "rough", 5) == 0) ? st
        : dal_fail(err, DAL_E_FORMAT, "", "no saved model");
}

static int64_t width(void *self)
{
    return ((const model *)self)->d;
}

static dal_status embed(void *self, const dal_batch *x, float *inputs, dal_error *err)
{
    (void)err;
    memcpy(inputs, x->data, (size_t)(x->n * width(self)) * sizeof *inputs);
    return DAL_OK;
}

/* shift: of the columns, which is a mistake */
static void fill(const model *m, int64_t n, const float *by, int64_t shift, float *gradient)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m->d; j++) {
            float sum = 0;
            for (int64_t k = 0; k < m->c; k++)
                sum += by[i * m->c + k] * weight(k, (j + shift) % m->d);
            gradient[i * m->d + j] = sum;
        }
}

static dal_status gradient(void *self, const float *inputs, int64_t n, const float *by, float *gradient, dal_error *err)
{
    (void)inputs, (void)err;
    fill(self, n, by, 0, gradient);
    return DAL_OK;
}

static dal_status gradient_shifted(void *self, const float *inputs, int64_t n, const float *by, float *gradient,
                                   dal_error *err)
{
    (void)inputs, (void)err;
    fill(self, n, by, 1, gradient);
    return DAL_OK;
}

static const char *chosen(void *self, const char *parameter)
{
    const int f32 = ((const model *)self)->precision == SAYS_F32;
    return strcmp(parameter, "precision") == 0 ? f32 ? "f32" : "bf16" : NULL;
}

static const dal_model_choices choices = {.struct_size = sizeof choices, .chosen = chosen};

static const void *right(void *self, const char *id)
{
    static const dal_model_input_gradient table = {.struct_size = sizeof table, .width = width, .embed = embed,
                                                   .forward = forward, .gradient = gradient};
    (void)self;
    return strcmp(id, DAL_CAP_INPUT_GRADIENT) == 0 ? (const void *)&table : strcmp(id, DAL_CAP_CHOICES) == 0 ? &choices
        : NULL;
}

static const void *wrong(void *self, const char *id)
{
    static const dal_model_input_gradient table = {.struct_size = sizeof table, .width = width, .embed = embed,
                                                   .forward = forward, .gradient = gradient_shifted};
    return strcmp(id, DAL_CAP_INPUT_GRADIENT) == 0 ? &table : right(self, id);
}

#define MODEL(name, get_extension_)                                                                                \
    static const dal_model_impl name = {.struct_size = sizeof(dal_model_impl), .output = DAL_LOGITS, .create = create, \
                                        .destroy = destroy, .fit = fit, .predict = predict, .save = save,              \
                                        .load = load, .get_extension = get_extension_}
MODEL(rough, right);
MODEL(slanted, wrong);

#define PROVIDES DAL_CAP_OUTPUTS " " DAL_CAP_INPUT_GRADIENT " " DAL_CAP_CHOICES
#define COMPONENTS(C)                                                                              \
    C(MODEL, "rough", rough, "right gradients of rough outputs", "-", "", PROVIDES, options, PARAMS) \
    C(MODEL, "slanted", slanted, "wrong gradients of rough outputs", "-", "", PROVIDES, options, PARAMS)
DAL_MODULE(rough_models, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
