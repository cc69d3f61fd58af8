/* The object, predict, save and load. */
#include "dense_model.h"

#include "model_common.h"

#include <math.h>
#include <stdlib.h>

/* ---- life --------------------------------------------------------------------------------------- */

static dal_status take_memory(dense_model *m, dal_error *err)
{
    const int64_t n_parameters = 2 * (int64_t)m->net.n_layers;
    m->weights = dal_array(m->host, m->net.n_weights, sizeof *m->weights);
    m->parameters = dal_array(m->host, n_parameters, sizeof *m->parameters);
    m->names = dal_array(m->host, n_parameters, sizeof *m->names);
    if (!m->weights || !m->parameters || !m->names)
        return dal_fail(err, DAL_E_NOMEM, "hidden", "no memory for %lld weights",
                        (long long)m->net.n_weights);
    for (int32_t l = 0; l < m->net.n_layers; l++) {
        const dal_dense_layer *layer = &m->net.layer[l];
        char (*name)[32] = m->names + 2 * l;
        char stem[24] = "output";
        if (l + 1 < m->net.n_layers)
            snprintf(stem, sizeof stem, "hidden%d", (int)l + 1);
        snprintf(name[0], sizeof name[0], "%s.weight", stem);
        snprintf(name[1], sizeof name[1], "%s.bias", stem);
        m->parameters[2 * l] = (dal_parameter){sizeof(dal_parameter), DAL_ROLE_WEIGHT, name[0],
                                               layer->weight, layer->in * layer->out};
        m->parameters[2 * l + 1] =
            (dal_parameter){sizeof(dal_parameter), DAL_ROLE_BIAS, name[1], layer->bias, layer->out};
    }
    return DAL_OK;
}

dal_status dense_model_new(const dal_host *host, const char *id, const char *provides, size_t size,
                           const dal_sample_spec *spec, dal_i64_list hidden, dense_model **out,
                           dal_error *err)
{
    int64_t widths[DAL_DENSE_MAX_LAYERS + 1];
    dal_dense net;
    dal_status st = dal_dense_inputs(spec, id, &widths[0], err);
    if (st != DAL_OK)
        return st;
    if (spec->n_classes < 2)
        return dal_fail(err, DAL_E_INVALID, "", "%s needs 2 or more classes; this dataset has %lld", id,
                        (long long)spec->n_classes);
    if (hidden.n > DAL_DENSE_MAX_LAYERS - 1)
        return dal_fail(err, DAL_E_INVALID, "hidden", "%lld hidden layers; expected at most %d",
                        (long long)hidden.n, DAL_DENSE_MAX_LAYERS - 1);
    for (int64_t i = 0; i < hidden.n; i++)
        widths[i + 1] = hidden.items[i];
    widths[hidden.n + 1] = spec->n_classes;
    st = dal_dense_shape(&net, widths, hidden.n + 1, err);
    if (st != DAL_OK)
        return st;
    dense_model *m = host->alloc(host, size, 0);
    if (!m)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a model");
    memset(m, 0, size);
    *m = (dense_model){.host = host, .id = id, .provides = provides, .size = size, .net = net,
                       .n_classes = spec->n_classes};
    st = take_memory(m, err);
    if (st != DAL_OK) {
        dense_model_destroy(m);
        return st;
    }
    *out = m;
    return DAL_OK;
}

void dense_model_destroy(void *self)
{
    dense_model *m = self;
    if (!m)
        return;
    const dal_host *h = m->host;
    h->free(h, m->names);
    h->free(h, m->parameters);
    h->free(h, m->weights);
    h->free(h, m);
}

/* ---- fit's arguments, predict ------------------------------------------------------------------- */

dal_status dense_model_check_fit(const dense_model *m, const dal_fit *fit, dal_error *err)
{
    return model_check_fit(m->id, m->net.layer[0].in, m->n_classes, fit, err);
}

dal_status dense_model_ready(const dense_model *m, const dal_batch *x, dal_error *err)
{
    if (!m->fitted)
        return dal_fail(err, DAL_E_CONTRACT, "", "%s has not been trained: fit or load comes first", m->id);
    return x ? model_check_width(m->id, m->net.layer[0].in, x->spec, err) : DAL_OK;
}

int64_t dense_model_fill(const dense_model *m, const dal_batch *x, int64_t first, dal_dense_tile *t)
{
    const int64_t in = m->net.layer[0].in, rest = x->n - first;
    const int64_t n = rest < DAL_DENSE_TILE ? rest : DAL_DENSE_TILE;
    dal_dense_read(x, first, n, t->x);
    memset(t->x + n * in, 0, (size_t)((DAL_DENSE_TILE - n) * in) * sizeof *t->x);
    return n;
}

dal_status dense_model_predict(void *self, const dal_batch *x, float *out, dal_error *err)
{
    const dense_model *m = self;
    const int32_t n_layers = m->net.n_layers;
    dal_dense_tile t = {0};
    dal_status st = dense_model_ready(m, x, err);
    if (st == DAL_OK)
        st = dal_dense_tile_init(&t, m->host, &m->net, 0, err);
    for (int64_t first = 0; first < x->n && st == DAL_OK; first += DAL_DENSE_TILE) {
        const int64_t n = dense_model_fill(m, x, first, &t);
        st = dal_dense_tile_forward(&m->net, m->weights, &t, 0, n_layers);
        dal_dense_to_rows(t.a[n_layers - 1], m->n_classes, DAL_DENSE_TILE, n, out + first * m->n_classes);
    }
    if (t.block)
        dal_dense_tile_fini(&t, m->host);
    return st;
}

/* ---- save and load ------------------------------------------------------------------------------ */

/* The file: this header, widths [n_layers + 1] as u64, weights [n_weights] as f32, all in the byte order
 * of the machine (another order shows as an unknown version). */
#define MAGIC "DALDENSE"
#define FORMAT_VERSION 1u
typedef struct file_header {
    char magic[8];
    uint32_t version, n_layers;
    uint64_t checksum; /* dal_hash64 of widths, then of weights */
} file_header;

static void file_widths(const dense_model *m, uint64_t *widths)
{
    widths[0] = (uint64_t)m->net.layer[0].in;
    for (int32_t l = 0; l < m->net.n_layers; l++)
        widths[l + 1] = (uint64_t)m->net.layer[l].out;
}

static uint64_t file_checksum(const dense_model *m, const uint64_t *widths, const float *weights)
{
    const uint64_t h = dal_hash64(0, widths, (size_t)(m->net.n_layers + 1) * sizeof *widths);
    return dal_hash64(h, weights, (size_t)m->net.n_weights * sizeof *weights);
}

dal_status dense_model_save(void *self, const dal_writer *w, dal_error *err)
{
    const dense_model *m = self;
    uint64_t widths[DAL_DENSE_MAX_LAYERS + 1];
    dal_status st = dense_model_ready(m, NULL, err);
    if (st != DAL_OK)
        return st;
    file_widths(m, widths);
    const file_header h = {MAGIC, FORMAT_VERSION, (uint32_t)m->net.n_layers, file_checksum(m, widths, m->weights)};
    st = w->write(w, &h, sizeof h, err);
    if (st == DAL_OK)
        st = w->write(w, widths, (size_t)(m->net.n_layers + 1) * sizeof *widths, err);
    if (st == DAL_OK)
        st = w->write(w, m->weights, (size_t)m->net.n_weights * sizeof *m->weights, err);
    return st;
}

static dal_status read_header(const dense_model *m, const dal_reader *r, file_header *h, uint64_t *widths,
                              dal_error *err)
{
    uint64_t own[DAL_DENSE_MAX_LAYERS + 1];
    dal_status st = model_read(r, h, sizeof *h, "header", err);
    if (st != DAL_OK)
        return st;
    if (memcmp(h->magic, MAGIC, sizeof h->magic) != 0)
        return dal_fail(err, DAL_E_FORMAT, "", "these bytes are no saved %s: they do not begin with %s",
                        m->id, MAGIC);
    if (h->version != FORMAT_VERSION)
        return dal_fail(err, DAL_E_FORMAT, "", "a saved model of format version %u; expected %u",
                        (unsigned)h->version, FORMAT_VERSION);
    if (h->n_layers != (uint32_t)m->net.n_layers)
        return dal_fail(err, DAL_E_FORMAT, "hidden", "a saved model of %u layers; this one has %d",
                        (unsigned)h->n_layers, (int)m->net.n_layers);
    file_widths(m, own);
    st = model_read(r, widths, (size_t)(h->n_layers + 1) * sizeof *widths, "widths", err);
    for (uint32_t l = 0; l <= h->n_layers && st == DAL_OK; l++)
        if (widths[l] != own[l])
            st = dal_fail(err, DAL_E_FORMAT, "hidden",
                          "a saved model with %llu units in layer %u; this one has %llu",
                          (unsigned long long)widths[l], (unsigned)l, (unsigned long long)own[l]);
    return st;
}

dal_status dense_model_load(void *self, const dal_reader *r, dal_error *err)
{
    dense_model *m = self;
    uint64_t widths[DAL_DENSE_MAX_LAYERS + 1];
    file_header h;
    dal_status st = read_header(m, r, &h, widths, err);
    if (st != DAL_OK)
        return st;
    float *weights = dal_array(m->host, m->net.n_weights, sizeof *weights);
    if (!weights)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld weights", (long long)m->net.n_weights);
    st = model_read(r, weights, (size_t)m->net.n_weights * sizeof *weights, "weights", err);
    if (st == DAL_OK && file_checksum(m, widths, weights) != h.checksum)
        st = dal_fail(err, DAL_E_FORMAT, "", "a saved model is damaged: its checksum does not fit");
    for (int64_t i = 0; i < m->net.n_weights && st == DAL_OK; i++)
        if (!isfinite(weights[i]))
            st = dal_fail(err, DAL_E_FORMAT, "", "a saved model's weight %lld is %g", (long long)i,
                          (double)weights[i]);
    if (st == DAL_OK) {
        memcpy(m->weights, weights, (size_t)m->net.n_weights * sizeof *weights);
        m->fitted = 1;
    }
    m->host->free(m->host, weights);
    return st;
}

/* ---- extensions --------------------------------------------------------------------------------- */

const void *dense_model_get_extension(void *self, const char *id)
{
    static const uint32_t promise[2] = {sizeof promise, 0}; /* capabilities that are a word, not a table */
    static const struct {
        const char *id;
        const void *table;
    } all[] = {
        {DAL_CAP_OUTPUTS, promise},
        {DAL_CAP_CONCURRENT, promise},
        {DAL_CAP_WARM_START, promise},
        {DAL_CAP_FEATURES, &dense_model_features},
        {DAL_CAP_STAGES, &dense_model_stages},
        {DAL_CAP_MC, &dense_model_mc},
        {DAL_CAP_LAST_LAYER, &dense_model_last_layer},
        {DAL_CAP_INPUT_GRADIENT, &dense_model_input_gradient},
        {DAL_CAP_PERTURB, &dense_model_perturb},
        {DAL_CAP_COMPANION, &dense_model_companion},
    };
    const dense_model *m = self;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].id, id) == 0 && dal_has_word(m->provides, id))
            return all[i].table;
    return NULL;
}
