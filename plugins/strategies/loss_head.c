#include "loss_head.h"

#include <dal/fit.h>
#include <dal/linalg.h>

#include <math.h>

#define SLOW_FROM 0.8 /* of the epochs */
#define SLOW 0.1
#define MAX_STAGES 4096

void loss_head_init(loss_head *h, const dal_host *host, const loss_head_rule *rule)
{
    *h = (loss_head){.host = host, .rule = *rule};
}

static void release(const dal_host *host, float **x)
{
    host->free(host, *x);
    *x = NULL;
}

static void drop_rows(loss_head *h)
{
    release(h->host, &h->units);
    release(h->host, &h->d_units);
    release(h->host, &h->out);
    release(h->host, &h->d_out);
    h->room = 0;
}

static void drop_shape(loss_head *h)
{
    drop_rows(h);
    release(h->host, &h->weights);
    release(h->host, &h->gradient);
    release(h->host, &h->first);
    release(h->host, &h->second);
    h->host->free(h->host, h->widths);
    h->widths = NULL;
    h->n_stages = h->n_outputs = h->n_weights = h->n_units = 0;
    h->learned = 0;
}

void loss_head_fini(loss_head *h)
{
    drop_shape(h);
    if (h->is_live)
        dal_live_model_close(&h->live);
    h->is_live = 0;
}

/* ---- shape ---------------------------------------------------------------------------------------- */

static int has_shape(const loss_head *h, int64_t n_stages, const int64_t *widths, int64_t n_outputs)
{
    if (h->n_stages != n_stages || h->n_outputs != n_outputs)
        return 0;
    for (int64_t s = 0; s < n_stages; s++)
        if (h->widths[s] != widths[s])
            return 0;
    return 1;
}

/* Weights of such a head, or 0 where nobody can count them. */
static int64_t count_weights(int64_t n_stages, const int64_t *widths, int64_t width, int64_t n_outputs)
{
    int64_t count = 0, part;
    for (int64_t s = 0; s < n_stages; s++) {
        if (widths[s] < 1 || widths[s] >= INT32_MAX || !dal_size_mul(widths[s] + 1, width, &part) ||
            part > INT64_MAX / 2 - count)
            return 0;
        count += part;
    }
    if (n_outputs < 1 || n_outputs >= INT32_MAX || !dal_size_mul(n_stages * width + 1, n_outputs, &part) ||
        part > INT64_MAX / 2 - count)
        return 0;
    return count + part;
}

/* Room for a head of this shape; what was there is lost. */
static dal_status take_shape(loss_head *h, int64_t n_stages, const int64_t *widths, int64_t n_outputs, dal_error *err)
{
    const int64_t count = count_weights(n_stages, widths, h->rule.width, n_outputs);
    drop_shape(h);
    h->widths = dal_array(h->host, n_stages, sizeof *h->widths);
    h->weights = count > 0 ? dal_array(h->host, count, sizeof *h->weights) : NULL;
    if (!h->widths || !h->weights) {
        drop_shape(h);
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a head on %lld stages with %lld outputs",
                        (long long)n_stages, (long long)n_outputs);
    }
    memcpy(h->widths, widths, (size_t)n_stages * sizeof *widths);
    h->n_stages = n_stages;
    h->n_outputs = n_outputs;
    h->n_units = n_stages * h->rule.width;
    h->n_weights = count;
    return DAL_OK;
}

/* Where W_s begins; b_s follows it. V and a are those of stage n_stages. */
static int64_t place(const loss_head *h, int64_t stage)
{
    int64_t at = 0;
    for (int64_t s = 0; s < stage; s++)
        at += (h->widths[s] + 1) * h->rule.width;
    return at;
}

/* ---- a fit begins --------------------------------------------------------------------------------- */

static void draw(loss_head *h, int64_t round)
{
    dal_rng rng = h->host->rng(h->host, "head", round);
    float *w = h->weights;
    for (int64_t s = 0; s <= h->n_stages; s++) {
        const int last = s == h->n_stages;
        const int64_t inputs = last ? h->n_units : h->widths[s];
        const int64_t n = (inputs + 1) * (last ? h->n_outputs : h->rule.width);
        const double most = 1 / sqrt((double)inputs);
        for (int64_t i = 0; i < n; i++)
            *w++ = (float)(most * (2 * dal_rng_uniform(&rng) - 1));
    }
}

dal_status loss_head_begin(loss_head *h, const dal_companion_setup *setup, int64_t n_outputs, dal_error *err)
{
    const dal_host *host = h->host;
    if (setup->n_stages < 1 || !setup->stage_widths)
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "the model shows no stages while it is trained, and the head has nothing to learn from; use a "
                        "network that has some (dalhost component list --kind model)");
    const int kept = h->rule.keep && h->learned && has_shape(h, setup->n_stages, setup->stage_widths, n_outputs);
    if (!kept) {
        const dal_status st = take_shape(h, setup->n_stages, setup->stage_widths, n_outputs, err);
        if (st != DAL_OK)
            return st;
        draw(h, setup->round);
    }
    h->epochs = setup->epochs;
    h->steps = 0;
    release(host, &h->gradient);
    release(host, &h->first);
    release(host, &h->second);
    h->gradient = dal_array(host, h->n_weights, sizeof *h->gradient);
    h->first = dal_array(host, h->n_weights, sizeof *h->first);
    h->second = dal_array(host, h->n_weights, sizeof *h->second);
    if (!h->gradient || !h->first || !h->second)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory to train a head of %lld weights", (long long)h->n_weights);
    memset(h->first, 0, (size_t)h->n_weights * sizeof *h->first);
    memset(h->second, 0, (size_t)h->n_weights * sizeof *h->second);
    return DAL_OK;
}

/* ---- forward -------------------------------------------------------------------------------------- */

/* Of n rows of all stages: units [n, n_units], out [n, n_outputs]. */
static void forward(const loss_head *h, const float *const *stages, int64_t n, float *units, float *out)
{
    const int64_t width = h->rule.width;
    for (int64_t s = 0; s < h->n_stages; s++) {
        const int64_t c = h->widths[s];
        const float *w = h->weights + place(h, s), *b = w + c * width;
        for (int64_t i = 0; i < n; i++)
            for (int64_t u = 0; u < width; u++) {
                const double sum = dal_dot(w + u * c, stages[s] + i * c, c) + (double)b[u];
                units[i * h->n_units + s * width + u] = sum > 0 ? (float)sum : isnan(sum) ? NAN : 0;
            }
    }
    const float *v = h->weights + place(h, h->n_stages), *a = v + h->n_units * h->n_outputs;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < h->n_outputs; k++)
            out[i * h->n_outputs + k] =
                (float)(dal_dot(v + k * h->n_units, units + i * h->n_units, h->n_units) + (double)a[k]);
}

static dal_status reserve(loss_head *h, int64_t n, dal_error *err)
{
    if (n <= h->room)
        return DAL_OK;
    int64_t units = 0, outputs = 0;
    drop_rows(h);
    if (dal_size_mul(n, h->n_units, &units) && dal_size_mul(n, h->n_outputs, &outputs)) {
        h->units = dal_array(h->host, units, sizeof *h->units);
        h->d_units = dal_array(h->host, units, sizeof *h->d_units);
        h->out = dal_array(h->host, outputs, sizeof *h->out);
        h->d_out = dal_array(h->host, outputs, sizeof *h->d_out);
    }
    if (!h->units || !h->d_units || !h->out || !h->d_out)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a head's batch of %lld samples", (long long)n);
    h->room = n;
    return DAL_OK;
}

dal_status loss_head_forward(loss_head *h, const dal_companion_batch *b, int64_t n, int64_t epoch, dal_error *err)
{
    if (!b->stages || !b->d_stages)
        return dal_fail(err, DAL_E_CONTRACT, "", "the model offers its stages to companions, but shows none");
    const dal_status st = reserve(h, n, err);
    if (st != DAL_OK)
        return st;
    forward(h, b->stages, n, h->units, h->out);
    memset(h->d_out, 0, (size_t)(n * h->n_outputs) * sizeof *h->d_out);
    for (int64_t i = 0; i < n * h->n_outputs; i++)
        if (!isfinite(h->out[i]))
            return dal_fail(err, DAL_E_DIVERGED, "",
                            "what the strategy's head says of a sample became %g in epoch %lld: try a smaller "
                            "learning_rate of the strategy, or of the model", (double)h->out[i], (long long)epoch + 1);
    return DAL_OK;
}

/* ---- backward ------------------------------------------------------------------------------------- */

/* Of a linear layer: gradient of its weights [m, k] and bias [m] from d [n, ld] and its input x [n, k]. */
static dal_status by_layer(const float *d, int64_t ld, const float *x, int64_t n, int64_t m, int64_t k, float *gradient)
{
    float *bias = gradient + m * k;
    memset(bias, 0, (size_t)m * sizeof *bias);
    for (int64_t i = 0; i < n; i++)
        for (int64_t u = 0; u < m; u++)
            bias[u] += d[i * ld + u];
    return dal_gemm_tn(m, k, n, 1, d, ld, x, k, 0, gradient, k);
}

static dal_status by_stage(const loss_head *h, const dal_companion_batch *b, int64_t n, int64_t s, int attached)
{
    const int64_t c = h->widths[s], width = h->rule.width, at = place(h, s);
    const float *d = h->d_units + s * width;
    dal_status st = by_layer(d, h->n_units, b->stages[s], n, width, c, h->gradient + at);
    if (st == DAL_OK && attached)
        st = dal_gemm_nn(n, c, width, 1, d, h->n_units, h->weights + at, c, 1, b->d_stages[s], c);
    return st;
}

static void move(loss_head *h, int64_t epoch)
{
    const double b1 = 0.9, b2 = 0.999, t = (double)++h->steps;
    const double slow = (double)epoch >= SLOW_FROM * (double)h->epochs ? SLOW : 1;
    const double rate = slow * h->rule.learning_rate / (1 - pow(b1, t)), correct = 1 / (1 - pow(b2, t));
    for (int64_t i = 0; i < h->n_weights; i++) {
        const double g = (double)h->gradient[i];
        const double m = b1 * (double)h->first[i] + (1 - b1) * g;
        const double v = b2 * (double)h->second[i] + (1 - b2) * g * g;
        h->first[i] = (float)m;
        h->second[i] = (float)v;
        h->weights[i] -= (float)(rate * m / (sqrt(v * correct) + 1e-8));
    }
    h->learned = 1;
}

dal_status loss_head_backward(loss_head *h, const dal_companion_batch *b, int64_t n, int64_t epoch, dal_error *err)
{
    const int64_t last = place(h, h->n_stages), units = h->n_units, outputs = h->n_outputs;
    const int attached = (double)epoch < h->rule.detach * (double)h->epochs;
    dal_status st = by_layer(h->d_out, outputs, h->units, n, outputs, units, h->gradient + last);
    if (st == DAL_OK)
        st = dal_gemm_nn(n, units, outputs, 1, h->d_out, outputs, h->weights + last, units, 0, h->d_units, units);
    for (int64_t i = 0; st == DAL_OK && i < n * units; i++)
        if (!(h->units[i] > 0))
            h->d_units[i] = 0;
    for (int64_t s = 0; st == DAL_OK && s < h->n_stages; s++)
        st = by_stage(h, b, n, s, attached);
    if (st != DAL_OK)
        return dal_fail(err, st, "", "a head of %lld units cannot be trained on batches of %lld samples",
                        (long long)units, (long long)n);
    move(h, epoch);
    return DAL_OK;
}

/* ---- scores --------------------------------------------------------------------------------------- */

dal_status loss_head_prepare(loss_head *h, const dal_view *view, int64_t n_outputs, dal_error *err)
{
    if (h->is_live)
        dal_live_model_close(&h->live);
    h->is_live = 1;
    const dal_status st = dal_live_model_open(&h->live, view, DAL_CAP_STAGES, err);
    if (st != DAL_OK)
        return st;
    if (!h->learned)
        return dal_fail(err, DAL_E_INVALID, "",
                        "the head has learned nothing: the round's model was not trained along with it, or on too few "
                        "samples at once (batch_size)");
    const dal_model_stages *t = h->live.table;
    int same = t->count(h->live.model->self) == h->n_stages && h->n_outputs == n_outputs;
    for (int64_t s = 0; same && s < h->n_stages; s++)
        same = t->width(h->live.model->self, s) == h->widths[s];
    return same ? DAL_OK
                : dal_fail(err, DAL_E_INVALID, "", "the head was trained along with a model of another shape");
}

static dal_status read_stages(loss_head *h, const dal_block *block, float *const *stages, dal_error *err)
{
    const dal_model_stages *t = h->live.table;
    dal_batch x;
    dal_status st = block->inputs(block, &x, err);
    if (st != DAL_OK)
        return st;
    dal_live_model_enter(&h->live);
    st = t->stages(h->live.model->self, &x, stages, err);
    dal_live_model_leave(&h->live);
    return st;
}

dal_status loss_head_predict(loss_head *h, const dal_block *block, float **out, dal_error *err)
{
    const dal_host *host = h->host;
    const int64_t n = block->n;
    int64_t width = 0, at = 0;
    for (int64_t s = 0; s < h->n_stages; s++)
        width += h->widths[s];
    float *maps = dal_array(host, n * width, sizeof *maps);
    float *units = dal_array(host, n * h->n_units, sizeof *units);
    float **stages = dal_array(host, h->n_stages, sizeof *stages);
    const float **inputs = dal_array(host, h->n_stages, sizeof *inputs);
    *out = dal_array(host, n * h->n_outputs, sizeof **out);
    dal_status st = maps && units && stages && inputs && *out
                        ? DAL_OK
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for the stages of %lld samples", (long long)n);
    for (int64_t s = 0; st == DAL_OK && s < h->n_stages; s++) {
        inputs[s] = stages[s] = maps + at;
        at += n * h->widths[s];
    }
    if (st == DAL_OK)
        st = read_stages(h, block, stages, err);
    if (st == DAL_OK)
        forward(h, inputs, n, units, *out);
    host->free(host, maps);
    host->free(host, units);
    host->free(host, stages);
    host->free(host, (void *)inputs);
    if (st != DAL_OK)
        release(host, out);
    return st;
}

/* ---- state: whether it has learned, stages, outputs, the width of each stage, weights ------------------ */

dal_status loss_head_save(const loss_head *h, const dal_writer *w, dal_error *err)
{
    const int64_t head[] = {h->learned, h->n_stages, h->rule.width, h->n_outputs};
    dal_status st = w->write(w, head, sizeof head, err);
    if (st != DAL_OK || !h->learned)
        return st;
    st = w->write(w, h->widths, (size_t)h->n_stages * sizeof *h->widths, err);
    return st == DAL_OK ? w->write(w, h->weights, (size_t)h->n_weights * sizeof *h->weights, err) : st;
}

/* The weights of a head of this shape, from bytes that may be anything: where they promise more than there is, no page
 * of the room for it was touched. */
static dal_status load_shape(loss_head *h, const dal_reader *r, const int64_t *head, dal_error *err)
{
    int64_t widths[MAX_STAGES];
    dal_status st = dal_read_saved(r, widths, (size_t)head[1] * sizeof *widths, "the widths of a head's stages", err);
    if (st != DAL_OK)
        return st;
    if (count_weights(head[1], widths, head[2], head[3]) == 0)
        return dal_fail(err, DAL_E_FORMAT, "", "a saved head with stages or outputs of no possible width");
    st = take_shape(h, head[1], widths, head[3], err);
    if (st == DAL_OK)
        st = dal_read_saved(r, h->weights, (size_t)h->n_weights * sizeof *h->weights, "the weights of a head", err);
    for (int64_t i = 0; st == DAL_OK && i < h->n_weights; i++)
        if (!isfinite(h->weights[i]))
            st = dal_fail(err, DAL_E_FORMAT, "", "weight %lld of a saved head is no number", (long long)i);
    h->learned = st == DAL_OK;
    if (st != DAL_OK)
        drop_shape(h);
    return st;
}

dal_status loss_head_load(loss_head *h, const dal_reader *r, dal_error *err)
{
    int64_t head[4];
    drop_shape(h);
    const dal_status st = dal_read_saved(r, head, sizeof head, "the shape of a head", err);
    if (st != DAL_OK || head[0] == 0)
        return st;
    if (head[0] != 1 || head[1] < 1 || head[1] > MAX_STAGES || head[2] != h->rule.width)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "a saved head of %lld stages and width %lld; expected 1 to %d stages and width %lld",
                        (long long)head[1], (long long)head[2], MAX_STAGES, (long long)h->rule.width);
    return load_shape(h, r, head, err);
}
