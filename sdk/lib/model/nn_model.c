/* The object and predict. */
#include "nn_model.h"

#include <dal/dense.h>

#include "model_common.h"

/* ---- life --------------------------------------------------------------------------------------- */

static dal_status shape_of(const dal_nn_model_plan *plan, const dal_sample_spec *spec, int64_t shape[3], dal_error *err)
{
    int64_t width;
    const dal_status st = dal_dense_inputs(spec, plan->id, &width, err);
    if (st != DAL_OK)
        return st;
    const int image = spec->modality == DAL_IMAGE && spec->ndim == 3;
    if (image && (plan->takes & DAL_NN_TAKES_IMAGES)) {
        memcpy(shape, spec->shape, 3 * sizeof *shape);
        return DAL_OK;
    }
    shape[0] = width;
    shape[1] = shape[2] = 1;
    if (plan->takes & DAL_NN_TAKES_VECTORS)
        return DAL_OK;
    return dal_fail(err, DAL_E_INVALID, "", "%s takes images [channels, height, width]; these samples are %s of %lld "
                    "values: try model mlp", plan->id, spec->modality == DAL_VECTOR ? "vectors" : "no images",
                    (long long)width);
}

static dal_status declare(nn_model *m, const nn_plan *plan, dal_error *err)
{
    m->nn = dal_nn_new(m->host);
    m->users = m->host->alloc(m->host, sizeof *m->users, 0);
    if (m->users)
        *m->users = 1;
    if (!m->nn || !m->users)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    dal_nn_use(m->nn, m->options.backend);
    dal_nn_train_in(m->nn, m->options.precision);
    const dal_nn_value x = m->reader && !m->reader->vectors ? dal_nn_tokens(m->nn, m->image[0], m->image[1])
                                     : dal_nn_input(m->nn, m->image[0], m->image[1], m->image[2]);
    plan->layers(m->nn, x, m->n_classes, plan->options);
    dal_error e = DAL_ERROR_INIT;
    const dal_status st = dal_nn_finish(m->nn, &e);
    if (st == DAL_E_UNSUPPORTED)
        return dal_fail(err, st, e.key[0] ? e.key : "backend", "%s", e.text);
    if (st != DAL_OK && m->reader)
        return dal_fail(err, st, "", "%s cannot be made for texts of %lld tokens and %lld words: %s", m->id,
                        (long long)m->image[0], (long long)m->image[1], e.text);
    if (st != DAL_OK && m->image[1] * m->image[2] == 1)
        return dal_fail(err, st, "", "%s cannot be made for samples of %lld values: %s", m->id, (long long)m->image[0], e.text);
    if (st != DAL_OK)
        return dal_fail(err, st, "", "%s does not take images of %lld x %lld x %lld: %s", m->id, (long long)m->image[0],
                        (long long)m->image[1], (long long)m->image[2], e.text);
    dal_nn_describe(m->nn, &m->info);
    m->options.backend = dal_nn_backend_used(m->nn);
    m->options.precision = dal_nn_precision_used(m->nn);
    return DAL_OK;
}

static dal_status take_weights(nn_model *m, dal_error *err)
{
    dal_i64_list *list = &m->options.control.milestones;
    m->weights = dal_array(m->host, m->info.n_weights, sizeof *m->weights);
    m->state = dal_array(m->host, m->info.n_state, sizeof *m->state);
    m->milestones = dal_array(m->host, list->n, sizeof *m->milestones);
    if (!m->weights || !m->state || !m->milestones)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld weights", (long long)m->info.n_weights);
    for (int64_t i = 0; i < list->n; i++)
        m->milestones[i] = list->items[i];
    list->items = m->milestones;
    return DAL_OK;
}

dal_status nn_model_make(const dal_host *host, const nn_plan *plan, const dal_sample_spec *spec, const int64_t shape[3],
                         const dal_nn_training *training, nn_model **out, dal_error *err)
{
    if (spec->n_classes < 2)
        return dal_fail(err, DAL_E_INVALID, "", "%s needs 2 or more classes; this dataset has %lld", plan->id,
                        (long long)spec->n_classes);
    nn_model *m = host->alloc(host, plan->size, 0);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    memset(m, 0, plan->size);
    *m = (nn_model){.host = host, .id = plan->id, .provides = plan->provides, .size = plan->size, .options = *training,
                    .init = plan->init, .plan = *plan, .reader = plan->reader, .n_classes = spec->n_classes,
                    .image = {shape[0], shape[1], shape[2]},
                    .fine = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .decoupled = training->optimizer == DAL_NN_BY_ADAMW}};
    dal_status st = declare(m, plan, err);
    if (st == DAL_OK)
        st = take_weights(m, err);
    if (st == DAL_OK)
        *out = m;
    else
        dal_nn_model_destroy(m);
    return st;
}

dal_status dal_nn_model_new(const dal_host *host, const dal_nn_model_plan *plan, const dal_sample_spec *spec, void **self,
                            dal_error *err)
{
    if (!plan->id || !plan->layers || !plan->training ||
        !(plan->takes & (DAL_NN_TAKES_IMAGES | DAL_NN_TAKES_VECTORS)))
        return dal_fail(err, DAL_E_CONTRACT, "", "a plan of a network without an id, layers, training or what it takes");
    const nn_plan all = {plan->id, DAL_NN_MODEL_PROVIDES, sizeof(nn_model), plan->init, plan->layers, plan->options, NULL};
    dal_nn_training training = {.epochs = 0}; /* members that a plugin was built without are 0 */
    memcpy(&training, plan->training, plan->training_size < sizeof training ? plan->training_size : sizeof training);
    int64_t shape[3];
    nn_model *m;
    dal_status st = shape_of(plan, spec, shape, err);
    if (st == DAL_OK)
        st = nn_model_make(host, &all, spec, shape, &training, &m, err);
    if (st == DAL_OK)
        *self = m;
    return st;
}

/* Leaves the network to the copies that still use it. */
static void let_go(nn_model *m)
{
    const dal_host *h = m->host;
    nn_model_changed(m);
    if (!m->users || --*m->users == 0) {
        if (m->reader && m->known)
            m->reader->drop(m);
        dal_nn_free(m->nn);
        h->free(h, m->milestones);
        h->free(h, m->users);
    }
    h->free(h, m->state);
    h->free(h, m->weights);
    m->nn = NULL;
    m->users = NULL;
    m->known = NULL;
    m->milestones = NULL;
    m->state = m->weights = NULL;
}

dal_status nn_model_declare(nn_model *m, const int64_t shape[3], void *known, dal_error *err)
{
    const uint32_t backend = m->options.backend, precision = m->options.precision;
    let_go(m);
    m->fitted = 0;
    m->known = known;
    m->options = *(const dal_nn_training *)m->plan.options; /* whose list of milestones went with the network */
    m->options.backend = backend; /* whatever the shape: these have been told */
    m->options.precision = precision;
    memcpy(m->image, shape, sizeof m->image);
    const dal_status st = declare(m, &m->plan, err);
    return st == DAL_OK ? take_weights(m, err) : st;
}

void dal_nn_model_destroy(void *self)
{
    nn_model *m = self;
    if (!m)
        return;
    let_go(m);
    m->host->free(m->host, m);
}

/* ---- reading a fitted network ------------------------------------------------------------------- */

dal_status nn_model_ready(const nn_model *m, const dal_batch *x, dal_error *err)
{
    if (!m->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "%s has not been trained: fit or load comes first", m->id);
    if (x && m->reader)
        return m->reader->check(m, x->spec, err);
    return x ? model_check_width(m->id, m->info.n_inputs, x->spec, err) : DAL_OK;
}

void nn_model_changed(nn_model *m)
{
    dal_nn_ready_free(atomic_exchange(&m->ready, NULL));
}

/* The model's own, made by whoever comes first; one for this call where the weights are lent. */
static dal_nn_ready *take_ready(const nn_model *m, dal_error *err)
{
    nn_model *cache = (nn_model *)(uintptr_t)m; /* constant to everybody but for this */
    dal_nn_ready *found = atomic_load(&m->ready), *none = NULL;
    if (found)
        return found;
    found = dal_nn_ready_new(m->nn, m->host, m->weights, m->state, err);
    if (!found || m->lent || atomic_compare_exchange_strong(&cache->ready, &none, found))
        return found;
    dal_nn_ready_free(found);
    return none;
}

dal_status nn_model_pass_open(const nn_model *m, int gradients, nn_model_pass *p, dal_error *err)
{
    *p = (nn_model_pass){.m = m, .ready = gradients ? NULL : take_ready(m, err)};
    if (gradients)
        p->pass = dal_nn_pass_new(m->nn, m->host, 1, err);
    else if (p->ready)
        p->pass = dal_nn_ready_pass(p->ready, m->host, err);
    if (p->pass)
        return DAL_OK;
    nn_model_pass_close(p);
    return DAL_E_NOMEM;
}

void nn_model_pass_close(nn_model_pass *p)
{
    dal_nn_pass_free(p->pass);
    if (p->m->lent)
        dal_nn_ready_free(p->ready);
}

dal_status nn_model_tiles(const nn_model *m, const dal_batch *x, dal_nn_value to, int what,
                          dal_status (*done)(void *ctx, dal_nn_pass *p, int64_t first, int64_t n), void *ctx,
                          dal_error *err)
{
    dal_status st = nn_model_ready(m, x, err);
    if (st != DAL_OK)
        return st;
    nn_model_pass by;
    st = nn_model_pass_open(m, what == NN_GRADIENTS, &by, err);
    if (st != DAL_OK)
        return st;
    dal_nn_pass *p = by.pass;
    p->no_stages = what == NN_VALUES;
    for (int64_t first = 0; first < x->n && st == DAL_OK; first += DAL_NN_TILE) {
        const int64_t n = x->n - first < DAL_NN_TILE ? x->n - first : DAL_NN_TILE;
        if (m->reader)
            st = m->reader->read(m, x, first, n, p->value[m->info.input], err);
        else
            dal_dense_read(x, first, n, p->value[m->info.input]);
        if (st == DAL_OK)
            st = dal_nn_run(m->nn, m->weights, m->state, p, n, m->info.input, to, NULL);
        if (st == DAL_OK)
            st = done(ctx, p, first, n);
    }
    nn_model_pass_close(&by);
    return st;
}

typedef struct copy_job {
    dal_nn_value value;
    int64_t size;
    float *out;
} copy_job;

static dal_status copy_rows(void *ctx, dal_nn_pass *p, int64_t first, int64_t n)
{
    const copy_job *j = ctx;
    memcpy(j->out + first * j->size, p->value[j->value], (size_t)(n * j->size) * sizeof *j->out);
    return DAL_OK;
}

dal_status dal_nn_model_predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const nn_model *m = self;
    copy_job j = {m->info.output, m->n_classes, out};
    return nn_model_tiles(m, x, m->info.output, NN_VALUES, copy_rows, &j, err);
}

/* ---- extensions --------------------------------------------------------------------------------- */

static const char *chosen(void *self, const char *parameter)
{
    static const char *const backends[] = {"auto", "openblas", "onednn"}, *const precisions[] = {"f32", "bf16", "auto"};
    const nn_model *m = self;
    return strcmp(parameter, "backend") == 0     ? backends[m->options.backend]
           : strcmp(parameter, "precision") == 0 ? precisions[m->options.precision]
                                                 : NULL;
}

const dal_model_choices nn_model_choices = {.struct_size = sizeof nn_model_choices, .chosen = chosen};

const void *dal_nn_model_get_extension(void *self, const char *id)
{
    static const uint32_t promise[2] = {sizeof promise, 0}; /* capabilities that are a word, not a table */
    static const struct {
        const char *id;
        const void *table;
    } all[] = {
        {DAL_CAP_OUTPUTS, promise},
        {DAL_CAP_CONCURRENT, promise},
        {DAL_CAP_WARM_START, promise},
        {DAL_CAP_FEATURES, &nn_model_features},
        {DAL_CAP_STAGES, &nn_model_stages},
        {DAL_CAP_MC, &nn_model_mc},
        {DAL_CAP_LAST_LAYER, &nn_model_last_layer},
        {DAL_CAP_INPUT_GRADIENT, &nn_model_input_gradient},
        {DAL_CAP_FEATURE_GRADIENT, &nn_model_feature_gradient},
        {DAL_CAP_PERTURB, &nn_model_perturb},
        {DAL_CAP_COMPANION, &nn_model_companion},
        {DAL_CAP_CHOICES, &nn_model_choices},
    };
    const nn_model *m = self;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].id, id) == 0 && dal_has_word(m->provides, id))
            return all[i].table;
    return NULL;
}
