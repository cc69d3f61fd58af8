/* The object and predict. */
#include "nn_model.h"

#include <dal/dense.h>

#include <dal/fit.h>

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

static dal_status declare(dal_nn_model *m, const dal_nn_model_plan *plan, dal_error *err)
{
    m->nn = dal_nn_new(m->host);
    m->users = m->host->alloc(m->host, sizeof *m->users, 0);
    if (m->users)
        *m->users = 1;
    if (!m->nn || !m->users)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a network");
    dal_nn_use(m->nn, m->options.backend);
    dal_nn_train_in(m->nn, m->options.precision);
    const dal_nn_value x = m->plan.reader && !m->plan.reader->vectors ? dal_nn_tokens(m->nn, m->shape[0], m->shape[1])
                                     : dal_nn_input(m->nn, m->shape[0], m->shape[1], m->shape[2]);
    plan->layers(m->nn, x, m->n_classes, plan->options);
    dal_error e = DAL_ERROR_INIT;
    const dal_status st = dal_nn_finish(m->nn, &e);
    if (st == DAL_E_UNSUPPORTED)
        return dal_fail(err, st, e.key[0] ? e.key : "backend", "%s", e.text);
    if (st != DAL_OK && m->plan.reader)
        return dal_fail(err, st, "", "%s cannot be made for texts of %lld tokens and %lld words: %s", m->id,
                        (long long)m->shape[0], (long long)m->shape[1], e.text);
    if (st != DAL_OK && m->shape[1] * m->shape[2] == 1)
        return dal_fail(err, st, "", "%s cannot be made for samples of %lld values: %s", m->id, (long long)m->shape[0],
                        e.text);
    if (st != DAL_OK)
        return dal_fail(err, st, "", "%s does not take images of %lld x %lld x %lld: %s", m->id, (long long)m->shape[0],
                        (long long)m->shape[1], (long long)m->shape[2], e.text);
    dal_nn_describe(m->nn, &m->info);
    m->options.backend = dal_nn_backend_used(m->nn);
    m->options.precision = dal_nn_precision_used(m->nn);
    return DAL_OK;
}

static dal_status take_weights(dal_nn_model *m, dal_error *err)
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

static int is_whole(const dal_nn_model_plan *plan)
{
    return plan->id && plan->layers && plan->training && plan->extra >= 0 &&
           (plan->reader || (plan->takes & (DAL_NN_TAKES_IMAGES | DAL_NN_TAKES_VECTORS)));
}

/* Members that a plugin was built without are 0. */
static dal_nn_training training_of(const dal_nn_model_plan *plan)
{
    dal_nn_training t = {.epochs = 0};
    memcpy(&t, plan->training, plan->training_size < sizeof t ? plan->training_size : sizeof t);
    return t;
}

#define ALIGNED(n) (((n) + 15) / 16 * 16)

void *dal_nn_model_extra(const dal_nn_model *m)
{
    return (char *)(uintptr_t)m + ALIGNED(sizeof *m);
}

dal_status dal_nn_model_new(const dal_host *host, const dal_nn_model_plan *given, const dal_sample_spec *spec,
                            void **self, dal_error *err)
{
    dal_nn_model_plan plan = {.struct_size = sizeof plan};
    memcpy(&plan, given, given->struct_size < sizeof plan ? given->struct_size : sizeof plan);
    plan.provides = plan.provides ? plan.provides : DAL_NN_MODEL_PROVIDES;
    if (!is_whole(&plan))
        return dal_fail(err, DAL_E_CONTRACT, "",
                        "a plan of a network without an id, layers, training or what it takes");
    if (spec->n_classes < 2)
        return dal_fail(err, DAL_E_INVALID, "", "%s needs 2 or more classes; this dataset has %lld", plan.id,
                        (long long)spec->n_classes);
    const dal_nn_training training = training_of(&plan);
    dal_status st = plan.reader ? DAL_OK : shape_of(&plan, spec, plan.shape, err);
    if (st != DAL_OK)
        return st;
    const size_t size = ALIGNED(sizeof(dal_nn_model)) + (size_t)plan.extra;
    dal_nn_model *m = host->alloc(host, size, 0);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    memset(m, 0, size);
    *m = (dal_nn_model){.host = host, .id = plan.id, .size = size, .options = training, .plan = plan,
                        .n_classes = spec->n_classes, .shape = {plan.shape[0], plan.shape[1], plan.shape[2]},
                        .fine = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                                 .decoupled = training.optimizer == DAL_NN_BY_ADAMW}};
    st = declare(m, &m->plan, err);
    if (st == DAL_OK)
        st = take_weights(m, err);
    if (st == DAL_OK)
        *self = m;
    else
        dal_nn_model_destroy(m);
    return st;
}

/* Leaves the network to the copies that still use it. */
static void let_go(dal_nn_model *m)
{
    const dal_host *h = m->host;
    dal_nn_model_changed(m);
    if (!m->users || --*m->users == 0) {
        if (m->plan.reader && m->known)
            m->plan.reader->drop(m);
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

dal_status dal_nn_model_declare(dal_nn_model *m, const int64_t shape[3], void *known, dal_error *err)
{
    const uint32_t backend = m->options.backend, precision = m->options.precision;
    let_go(m);
    m->fitted = 0;
    m->known = known;
    m->plan.training = m->plan.options;
    m->options = training_of(&m->plan); /* whose list of milestones went with the network */
    m->options.backend = backend; /* whatever the shape: these have been told */
    m->options.precision = precision;
    memcpy(m->shape, shape, sizeof m->shape);
    const dal_status st = declare(m, &m->plan, err);
    return st == DAL_OK ? take_weights(m, err) : st;
}

void dal_nn_model_destroy(void *self)
{
    dal_nn_model *m = self;
    if (!m)
        return;
    let_go(m);
    m->host->free(m->host, m);
}

/* ---- reading a fitted network ------------------------------------------------------------------- */

dal_status dal_nn_model_ready(const dal_nn_model *m, const dal_batch *x, dal_error *err)
{
    if (!m->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "%s has not been trained: fit or load comes first", m->id);
    if (x && m->plan.reader)
        return m->plan.reader->check(m, x->spec, err);
    return x ? dal_check_width(m->id, m->info.n_inputs, x->spec, err) : DAL_OK;
}

void dal_nn_model_changed(dal_nn_model *m)
{
    dal_nn_ready_free(__atomic_exchange_n(&m->ready, NULL, __ATOMIC_ACQ_REL));
}

/* The model's own, made by whoever comes first; one for this call where the weights are lent. */
static dal_nn_ready *take_ready(const dal_nn_model *m, dal_error *err)
{
    dal_nn_model *cache = (dal_nn_model *)(uintptr_t)m; /* constant to everybody but for this */
    dal_nn_ready *found = __atomic_load_n(&m->ready, __ATOMIC_ACQUIRE), *none = NULL;
    if (found)
        return found;
    found = dal_nn_ready_new(m->nn, m->host, m->weights, m->state, err);
    if (!found || m->lent || __atomic_compare_exchange_n(&cache->ready, &none, found, 0, __ATOMIC_ACQ_REL,
                                                         __ATOMIC_ACQUIRE))
        return found;
    dal_nn_ready_free(found);
    return none;
}

dal_status dal_nn_model_pass_open(const dal_nn_model *m, int gradients, dal_nn_model_pass *p, dal_error *err)
{
    *p = (dal_nn_model_pass){.m = m, .ready = gradients ? NULL : take_ready(m, err)};
    if (gradients)
        p->pass = dal_nn_pass_new(m->nn, m->host, 1, err);
    else if (p->ready)
        p->pass = dal_nn_ready_pass(p->ready, m->host, err);
    if (p->pass)
        return DAL_OK;
    dal_nn_model_pass_close(p);
    return DAL_E_NOMEM;
}

void dal_nn_model_pass_close(dal_nn_model_pass *p)
{
    dal_nn_pass_free(p->pass);
    if (p->m->lent)
        dal_nn_ready_free(p->ready);
}

dal_status dal_nn_model_tiles(const dal_nn_model *m, const dal_batch *x, dal_nn_value to, int what,
                          dal_status (*done)(void *ctx, dal_nn_pass *p, int64_t first, int64_t n), void *ctx,
                          dal_error *err)
{
    dal_status st = dal_nn_model_ready(m, x, err);
    if (st != DAL_OK)
        return st;
    dal_nn_model_pass by;
    st = dal_nn_model_pass_open(m, what == DAL_NN_SHOW_GRADIENTS, &by, err);
    if (st != DAL_OK)
        return st;
    dal_nn_pass *p = by.pass;
    p->no_stages = what == DAL_NN_SHOW_VALUES;
    for (int64_t first = 0; first < x->n && st == DAL_OK; first += DAL_NN_TILE) {
        const int64_t n = x->n - first < DAL_NN_TILE ? x->n - first : DAL_NN_TILE;
        if (m->plan.reader)
            st = m->plan.reader->read(m, x, first, n, p->value[m->info.input], err);
        else
            dal_dense_read(x, first, n, p->value[m->info.input]);
        if (st == DAL_OK)
            st = dal_nn_run(m->nn, m->weights, m->state, p, n, m->info.input, to, NULL);
        if (st == DAL_OK)
            st = done(ctx, p, first, n);
    }
    dal_nn_model_pass_close(&by);
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
    const dal_nn_model *m = self;
    copy_job j = {m->info.output, m->n_classes, out};
    return dal_nn_model_tiles(m, x, m->info.output, DAL_NN_SHOW_VALUES, copy_rows, &j, err);
}

/* ---- extensions --------------------------------------------------------------------------------- */

static const char *chosen(void *self, const char *parameter)
{
    static const char *const backends[] = {"auto", "openblas", "onednn"}, *const precisions[] = {"f32", "bf16", "auto"};
    const dal_nn_model *m = self;
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
    const dal_nn_model *m = self;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].id, id) == 0 && dal_has_word(m->plan.provides, id))
            return all[i].table;
    return NULL;
}
