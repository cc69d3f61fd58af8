#include "tests/unit/strategies/round_parts.h"

#include <math.h>

/* ---- making rounds ---------------------------------------------------------------------------- */

void *fx_copy(const void *from, int64_t n, size_t size)
{
    if (!from)
        return NULL;
    void *to = malloc((size_t)(n > 0 ? n : 1) * size);
    memcpy(to, from, (size_t)n * size);
    return to;
}

static const int64_t first_id[DAL_ROW_SETS] = {10, 100001, 200001, 10, 300001};

static int64_t *count_up(uint32_t set, int64_t n)
{
    int64_t *ids = malloc((size_t)(n > 0 ? n : 1) * sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        ids[i] = set == DAL_ROWS_CANDIDATES || set == DAL_ROWS_UNLABELLED ? 10 * (i + 1) : first_id[set] + i;
    return ids;
}

void fx_round_add(fx_round *r, uint32_t set, int64_t n, const int32_t *classes, const float *probs,
                  const float *features)
{
    r->set[set] = (fx_rows){.n = n, .ids = count_up(set, n), .classes = fx_copy(classes, n, sizeof *classes),
                            .outputs = fx_copy(probs, n * r->c, sizeof *probs),
                            .features = fx_copy(features, n * r->d, sizeof *features)};
}

fx_round *fx_round_of(int64_t n, int64_t c, const float *probs, int64_t d, const float *features)
{
    fx_round *r = calloc(1, sizeof *r);
    r->c = c;
    r->d = d;
    r->output_kind = r->mc_kind = DAL_PROBS;
    fx_round_add(r, DAL_ROWS_CANDIDATES, n, NULL, probs, features);
    fx_round_add(r, DAL_ROWS_UNLABELLED, n, NULL, probs, features);
    return r;
}

void fx_round_mc(fx_round *r, int64_t passes, const float *mc)
{
    r->passes = passes;
    r->set[DAL_ROWS_CANDIDATES].mc = fx_copy(mc, passes * r->set[DAL_ROWS_CANDIDATES].n * r->c, sizeof *mc);
}

void fx_round_free(fx_round *r)
{
    if (!r)
        return;
    for (int s = 0; s < (int)DAL_ROW_SETS; s++) {
        free(r->set[s].ids);
        free(r->set[s].classes);
        free(r->set[s].outputs);
        free(r->set[s].features);
        free(r->set[s].mc);
    }
    free(r->weights);
    free(r->bias);
    if (!r->borrowed) {
        if (r->model.impl)
            r->model.impl->destroy(r->model.self);
        free(r->truth);
        free(r->groups);
    }
    free(r);
}

void fx_round_model(fx_round *r, int curved)
{
    r->model = (dal_model){&fx_model_impl, fx_model_new(r->c, r->d, r->weights, r->bias, curved)};
}

void fx_round_groups(fx_round *r, const int32_t *groups, int64_t n_groups)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES];
    int64_t n = 0;
    for (int s = 0; s < (int)DAL_ROWS_VALIDATION; s++)
        for (int64_t i = 0; i < r->set[s].n; i++)
            n = r->set[s].ids[i] >= n ? r->set[s].ids[i] + 1 : n;
    r->n_pool = n;
    r->n_groups = n_groups;
    r->groups = malloc((size_t)n * sizeof *r->groups);
    for (int64_t i = 0; i < n; i++)
        r->groups[i] = DAL_GROUP_NONE;
    for (int64_t i = 0; i < pool->n; i++)
        r->groups[pool->ids[i]] = groups[i];
}

void fx_round_truth(fx_round *r, const int32_t *classes)
{
    const fx_rows *pool = &r->set[DAL_ROWS_CANDIDATES], *l = &r->set[DAL_ROWS_LABELLED];
    r->n_pool = (l->n > 0 ? l->ids[l->n - 1] : pool->ids[pool->n - 1]) + 1;
    r->truth = malloc((size_t)r->n_pool * sizeof *r->truth);
    for (int64_t i = 0; i < r->n_pool; i++)
        r->truth[i] = DAL_LABEL_NONE;
    for (int64_t i = 0; i < pool->n; i++)
        r->truth[pool->ids[i]] = classes[i];
    for (int64_t i = 0; i < l->n; i++)
        r->truth[l->ids[i]] = l->classes[i];
}

/* One row: features round the centre of its class, logits from the last layer. */
static void draw_row(const fx_round *r, const fx_spec *spec, dal_rng *rng, int32_t cls, float *x, float *z)
{
    for (int64_t j = 0; j < r->d; j++) {
        dal_rng centre = dal_rng_at(rng, (uint64_t)(cls * r->d + j) + 1000);
        const double v = 1.5 * dal_rng_normal(&centre) + dal_rng_normal(rng);
        x[j] = (float)(v > 0 ? v : 0);
    }
    if ((spec->odd & FX_ZERO_ROWS) && dal_rng_below(rng, 5) == 0)
        memset(x, 0, (size_t)r->d * sizeof *x);
    const double sharp = (spec->odd & FX_SATURATED) ? 200 : 1;
    for (int64_t c = 0; c < r->c; c++) {
        double sum = r->bias[c];
        for (int64_t j = 0; j < r->d; j++)
            sum += (double)r->weights[c * r->d + j] * x[j];
        z[c] = (float)(sharp * sum);
    }
}

static void softmax_row(float *z, int64_t c)
{
    double top = z[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        top = z[k] > top ? z[k] : top;
    for (int64_t k = 0; k < c; k++)
        sum += exp(z[k] - top);
    for (int64_t k = 0; k < c; k++)
        z[k] = (float)(exp(z[k] - top) / sum);
}

static void draw_mc(fx_round *r, const fx_spec *spec, dal_rng *rng)
{
    fx_rows *rows = &r->set[DAL_ROWS_CANDIDATES];
    r->passes = spec->passes;
    rows->mc = malloc((size_t)(spec->passes * rows->n * r->c + 1) * sizeof(float));
    for (int64_t k = 0; k < spec->passes; k++)
        for (int64_t i = 0; i < rows->n; i++) {
            float *z = rows->mc + (k * rows->n + i) * r->c;
            for (int64_t c = 0; c < r->c; c++)
                z[c] = rows->outputs[i * r->c + c] + (float)dal_rng_normal(rng);
        }
}

static void copy_row(fx_round *r, fx_rows *rows, int64_t from, int64_t to)
{
    memcpy(rows->outputs + to * r->c, rows->outputs + from * r->c, (size_t)r->c * sizeof(float));
    memcpy(rows->features + to * r->d, rows->features + from * r->d, (size_t)r->d * sizeof(float));
    for (int64_t k = 0; k < r->passes; k++)
        memcpy(rows->mc + (k * rows->n + to) * r->c, rows->mc + (k * rows->n + from) * r->c,
               (size_t)r->c * sizeof(float));
}

static void draw_set(fx_round *r, const fx_spec *spec, uint32_t set, int64_t n, dal_rng *rng)
{
    fx_rows *rows = &r->set[set];
    *rows = (fx_rows){.n = n, .ids = count_up(set, n), .classes = malloc((size_t)(n + 1) * sizeof(int32_t)),
                      .outputs = malloc((size_t)(n * r->c + 1) * sizeof(float)),
                      .features = malloc((size_t)(n * r->d + 1) * sizeof(float))};
    for (int64_t i = 0; i < n; i++) {
        const int32_t cls = (int32_t)dal_rng_below(rng, r->c);
        rows->classes[i] = set == DAL_ROWS_LABELLED && (spec->odd & FX_ONE_CLASS) ? 0 : cls;
        draw_row(r, spec, rng, rows->classes[i], rows->features + i * r->d, rows->outputs + i * r->c);
    }
    if (set == DAL_ROWS_CANDIDATES && spec->passes > 0)
        draw_mc(r, spec, rng);
    if (set == DAL_ROWS_CANDIDATES && (spec->odd & FX_DUPLICATES))
        for (int64_t i = 1; i < n; i += 3)
            copy_row(r, rows, i - 1, i);
    if (!(spec->odd & FX_LOGITS)) {
        for (int64_t i = 0; i < n; i++)
            softmax_row(rows->outputs + i * r->c, r->c);
        for (int64_t i = 0; rows->mc && i < r->passes * n; i++)
            softmax_row(rows->mc + i * r->c, r->c);
    }
    if (set == DAL_ROWS_CANDIDATES && (spec->odd & FX_NAN_ROWS))
        for (int64_t i = 3; i < n; i += 7) {
            rows->outputs[i * r->c] = NAN;
            for (int64_t k = 0; k < r->passes; k++)
                rows->mc[(k * n + i) * r->c] = NAN;
        }
}

fx_round *fx_round_random(const fx_spec *spec)
{
    fx_round *r = calloc(1, sizeof *r);
    dal_rng rng = dal_rng_from_key(spec->seed);
    r->c = spec->c;
    r->d = spec->d;
    r->output_kind = r->mc_kind = (spec->odd & FX_LOGITS) ? DAL_LOGITS : DAL_PROBS;
    r->weights = malloc((size_t)(r->c * r->d) * sizeof(float));
    r->bias = malloc((size_t)r->c * sizeof(float));
    for (int64_t i = 0; i < r->c * r->d; i++)
        r->weights[i] = (float)(dal_rng_normal(&rng) / sqrt((double)r->d));
    for (int64_t i = 0; i < r->c; i++)
        r->bias[i] = (float)(0.1 * dal_rng_normal(&rng));
    draw_set(r, spec, DAL_ROWS_CANDIDATES, spec->n, &rng);
    draw_set(r, spec, DAL_ROWS_LABELLED, spec->n_labelled, &rng);
    draw_set(r, spec, DAL_ROWS_OOD, spec->n_ood, &rng);
    free(r->set[DAL_ROWS_CANDIDATES].classes);
    r->set[DAL_ROWS_CANDIDATES].classes = NULL;
    const fx_rows *all = &r->set[DAL_ROWS_CANDIDATES];
    fx_round_add(r, DAL_ROWS_UNLABELLED, all->n, NULL, all->outputs, all->features);
    if (spec->odd & (FX_MODEL | FX_CURVED))
        fx_round_model(r, (spec->odd & FX_CURVED) != 0);
    return r;
}

fx_round *fx_round_permuted(const fx_round *r, const int64_t *order)
{
    fx_round *p = calloc(1, sizeof *p);
    *p = *r;
    p->borrowed = 1;
    p->weights = fx_copy(r->weights, r->c * r->d, sizeof(float));
    p->bias = fx_copy(r->bias, r->c, sizeof(float));
    for (uint32_t s = 0; s < DAL_ROW_SETS; s++) {
        const fx_rows *from = &r->set[s];
        const int moves = s == DAL_ROWS_CANDIDATES || s == DAL_ROWS_UNLABELLED;
        fx_rows *to = &p->set[s];
        *to = (fx_rows){from->n, fx_copy(from->ids, from->n, sizeof(int64_t)),
                        fx_copy(from->classes, from->n, sizeof(int32_t)),
                        fx_copy(from->outputs, from->n * r->c, sizeof(float)),
                        fx_copy(from->features, from->n * r->d, sizeof(float)),
                        fx_copy(from->mc, r->passes * from->n * r->c, sizeof(float))};
        for (int64_t i = 0; moves && i < from->n; i++) {
            if (to->outputs)
                memcpy(to->outputs + i * r->c, from->outputs + order[i] * r->c, (size_t)r->c * sizeof(float));
            if (to->features)
                memcpy(to->features + i * r->d, from->features + order[i] * r->d, (size_t)r->d * sizeof(float));
            for (int64_t k = 0; to->mc && k < r->passes; k++)
                memcpy(to->mc + (k * from->n + i) * r->c, from->mc + (k * from->n + order[i]) * r->c,
                       (size_t)r->c * sizeof(float));
        }
    }
    return p;
}

void fx_round_scale(fx_round *r, float s)
{
    for (uint32_t k = 0; k < DAL_ROW_SETS; k++)
        for (int64_t i = 0; r->set[k].features && i < r->set[k].n * r->d; i++)
            r->set[k].features[i] *= s;
}

void fx_row_probs(const float *row, int64_t c, uint32_t kind, double *out)
{
    double top = row[0], sum = 0;
    for (int64_t k = 0; k < c; k++)
        top = row[k] > top ? (double)row[k] : top;
    for (int64_t k = 0; k < c; k++)
        sum += out[k] = kind == DAL_LOGITS ? exp((double)row[k] - top) : (double)row[k];
    for (int64_t k = 0; kind == DAL_LOGITS && k < c; k++)
        out[k] /= sum;
}

void fx_probs(const fx_round *r, uint32_t set, int64_t row, double *out)
{
    fx_row_probs(r->set[set].outputs + row * r->c, r->c, r->output_kind, out);
}

void fx_mc_probs(const fx_round *r, int64_t k, int64_t row, double *out)
{
    const fx_rows *rows = &r->set[DAL_ROWS_CANDIDATES];
    fx_row_probs(rows->mc + (k * rows->n + row) * r->c, r->c, r->mc_kind, out);
}
