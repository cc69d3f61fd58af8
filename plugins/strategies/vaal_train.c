/* How vaal trains its networks: see vaal.c. The encoder's step waits between its passes for the decoder's whole step,
 * and for the discriminator's word. */
#include "vaal.h"

#include <math.h>

/* ---- batches ------------------------------------------------------------------------------------ */

static void next_rows(vaal_walk *w, int64_t *out)
{
    for (int64_t i = 0; i < w->n; i++, w->at++) {
        if (w->at == w->list->n) {
            dal_rng own = dal_rng_at(&w->stream, (uint64_t)++w->turn);
            dal_rng_shuffle(&own, w->order, w->list->n, w->list->n);
            w->at = 0;
        }
        out[i] = w->order[w->at];
    }
}

static dal_status read_tile(void *ctx, int64_t tile)
{
    vaal *s = ctx;
    const int64_t n_l = s->labelled.n;
    dal_status st = DAL_OK;
    for (int64_t i = tile * TILE; i < s->n && i < (tile + 1) * TILE && st == DAL_OK; i++)
        st = dal_dense_rows_gather(i < n_l ? &s->labelled.rows : &s->unlabelled.rows, s->picked + i, 1,
                                   s->x + i * s->inputs);
    return st;
}

static dal_status next_batch(vaal *s, dal_error *err)
{
    next_rows(&s->labelled, s->picked);
    next_rows(&s->unlabelled, s->picked + s->labelled.n);
    const dal_status st = s->host->parallel_for(s->host, s->n_tiles, read_tile, s);
    if (st != DAL_OK && err)
        *err = s->labelled.rows.taken ? s->labelled.rows.error : s->unlabelled.rows.error;
    return st;
}

/* ---- losses ------------------------------------------------------------------------------------- */

/* Rows of a half: 0: of L. */
static int64_t begin_of(const vaal *s, int half)
{
    return half ? s->labelled.n : 0;
}

static int64_t count_of(const vaal *s, int half)
{
    return half ? s->unlabelled.n : s->labelled.n;
}

/* x^ [n, inputs] against x; d += its gradient. */
static dal_status lose_squares(vaal *s, const float *decoded, float *d)
{
    dal_status st = DAL_OK;
    s->loss.mse = 0;
    for (int half = 0; half < 2 && st == DAL_OK; half++) {
        const int64_t at = begin_of(s, half) * s->inputs;
        const dal_nn_rows rows = {.n = count_of(s, half), .width = s->inputs, .x = decoded + at, .d = d + at};
        double loss = 0;
        st = dal_nn_mse(&rows, s->x + at, &loss, s->err);
        s->loss.mse += loss;
    }
    return st;
}

/* Of means and log variances code [n, 2 z]; d += beta times its gradient. */
static void lose_divergence(vaal *s, const float *code, float *d)
{
    s->loss.kl = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const double n = (double)count_of(s, i >= s->labelled.n);
        const double share = s->opt->scale == SCALE_SUM ? 1 : 1 / (n * (double)s->inputs);
        for (int64_t k = 0; k < s->z; k++) {
            const int64_t at = i * 2 * s->z + k;
            const double mu = (double)code[at], v = (double)code[at + s->z], e = exp(v);
            s->loss.kl -= share * 0.5 * (1 + v - mu * mu - e);
            d[at] += (float)(s->opt->beta * share * mu);
            d[at + s->z] += (float)(s->opt->beta * share * 0.5 * (e - 1));
        }
    }
}

/* BCE of logits [n] against these targets of the halves; d [n] is set to its gradient. */
static dal_status lose_tellings(vaal *s, const float *logit, const float *of_l, const float *of_u, float *d,
                                double *loss)
{
    dal_status st = DAL_OK;
    *loss = 0;
    memset(d, 0, (size_t)s->n * sizeof *d);
    for (int half = 0; half < 2 && st == DAL_OK; half++) {
        const int64_t at = begin_of(s, half);
        const dal_nn_rows rows = {.n = count_of(s, half), .width = 1, .x = logit + at, .d = d + at};
        double own = 0;
        st = dal_nn_bce(&rows, half ? of_u : of_l, &own, s->err);
        *loss += own;
    }
    return st;
}

/* ---- the discriminator's word on means ---------------------------------------------------------- */

static int64_t tile_rows(const vaal *s, int64_t tile)
{
    return s->n - tile * TILE < TILE ? s->n - tile * TILE : TILE;
}

static dal_status judge_tile(void *ctx, int64_t tile)
{
    vaal *s = ctx;
    const vaal_net *d = &s->nets.discriminator;
    const int64_t n = tile_rows(s, tile);
    dal_nn_pass *p = s->judges[tile];
    memcpy(p->value[d->info.input], s->mu + tile * TILE * s->z, (size_t)(n * s->z) * sizeof(float));
    const dal_status st = dal_nn_run(d->nn, d->weights, d->state, p, n, d->info.input, d->info.output, NULL);
    if (st == DAL_OK)
        memcpy(s->logit + tile * TILE, p->value[d->info.output], (size_t)n * sizeof(float));
    return st;
}

static dal_status blame_tile(void *ctx, int64_t tile)
{
    vaal *s = ctx;
    const vaal_net *d = &s->nets.discriminator;
    const int64_t n = tile_rows(s, tile);
    dal_nn_pass *p = s->judges[tile];
    memcpy(p->d[d->info.output], s->d_logit + tile * TILE, (size_t)n * sizeof(float));
    const dal_status st = dal_nn_run_back(d->nn, d->weights, d->state, p, n, NULL);
    if (st == DAL_OK)
        memcpy(s->d_mu + tile * TILE * s->z, p->d[d->info.input], (size_t)(n * s->z) * sizeof(float));
    return st;
}

/* BCE(D(mu), 1) of code [n, 2 z]; d += lambda times its gradient. */
static dal_status lose_fooling(vaal *s, const float *code, float *d)
{
    for (int64_t i = 0; i < s->n; i++)
        memcpy(s->mu + i * s->z, code + i * 2 * s->z, (size_t)s->z * sizeof *code);
    dal_status st = s->host->parallel_for(s->host, s->n_tiles, judge_tile, s);
    if (st == DAL_OK)
        st = lose_tellings(s, s->logit, s->ones, s->ones, s->d_logit, &s->loss.fooled);
    if (st == DAL_OK)
        st = s->host->parallel_for(s->host, s->n_tiles, blame_tile, s);
    for (int64_t i = 0; i < s->n && st == DAL_OK; i++)
        for (int64_t k = 0; k < s->z; k++)
            d[i * 2 * s->z + k] += (float)(s->opt->lambda * (double)s->d_mu[i * s->z + k]);
    return st;
}

/* ---- steps -------------------------------------------------------------------------------------- */

static dal_status between_decoder(void *ctx, const dal_nn_step_view *view)
{
    vaal *s = ctx;
    const dal_nn_value out = s->nets.decoder.info.output;
    return lose_squares(s, view->value[out], view->d[out]);
}

/* The codes of code [n, 2 z] through the decoder, which moves; d += the gradient of the squares. */
static dal_status decode(vaal *s, const float *code, float *d)
{
    const int64_t z = s->z;
    float *codes = s->nets.decoder.weights + s->coded;
    for (int64_t i = 0; i < s->n; i++) {
        for (int64_t k = 0; k < z; k++)
            codes[i * (z + 1) + k] = code[i * 2 * z + k] +
                                     expf(0.5f * code[i * 2 * z + z + k]) * s->noise[i * z + k];
        codes[i * (z + 1) + z] = 1;
    }
    const dal_nn_batch batch = {.struct_size = sizeof batch, .n = s->n, .between = between_decoder, .ctx = s,
                                .rows = (const float *)(const void *)s->numbers};
    dal_nn_result result = {.struct_size = sizeof result};
    const dal_status st = dal_nn_train(s->decoder, s->rule, &batch, &result, s->err);
    const float *g = st == DAL_OK ? dal_nn_gradient(s->decoder) + s->coded : NULL;
    for (int64_t i = 0; g && i < s->n; i++)
        for (int64_t k = 0; k < z; k++) {
            const float own = g[i * (z + 1) + k], v = code[i * 2 * z + z + k];
            d[i * 2 * z + k] += own;
            d[i * 2 * z + z + k] += own * 0.5f * expf(0.5f * v) * s->noise[i * z + k];
        }
    return st;
}

static dal_status between_encoder(void *ctx, const dal_nn_step_view *view)
{
    vaal *s = ctx;
    const dal_nn_value out = s->nets.encoder.info.output;
    const float *code = view->value[out];
    dal_status st = decode(s, code, view->d[out]);
    if (st != DAL_OK)
        return st;
    lose_divergence(s, code, view->d[out]);
    st = lose_fooling(s, code, view->d[out]);
    if (st == DAL_OK && !isfinite(s->loss.mse + s->loss.kl + s->loss.fooled))
        return dal_fail(s->err, DAL_E_INVALID, "learning_rate", "the autoencoder's loss is no number any more; a "
                        "smaller learning_rate, or inputs of smaller values, keep it finite");
    return st;
}

static dal_status move_autoencoder(vaal *s, int64_t step)
{
    const dal_rng own = dal_rng_at(&s->eps, (uint64_t)step);
    dal_rng_fill_normal(&own, 1, s->n * s->z, s->noise);
    const dal_nn_batch batch = {.struct_size = sizeof batch, .n = s->n, .between = between_encoder, .ctx = s,
                                .rows = s->x};
    dal_nn_result result = {.struct_size = sizeof result};
    return dal_nn_train(s->encoder, s->rule, &batch, &result, s->err);
}

static dal_status code_tile(void *ctx, int64_t tile)
{
    vaal *s = ctx;
    const vaal_net *e = &s->nets.encoder;
    const int64_t n = tile_rows(s, tile);
    dal_nn_pass *p = s->coders[tile];
    memcpy(p->value[e->info.input], s->x + tile * TILE * s->inputs, (size_t)(n * s->inputs) * sizeof(float));
    const dal_status st = dal_nn_run(e->nn, e->weights, e->state, p, n, e->info.input, e->info.output, NULL);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        memcpy(s->mu + (tile * TILE + i) * s->z, p->value[e->info.output] + i * 2 * s->z,
               (size_t)s->z * sizeof(float));
    return st;
}

static dal_status between_discriminator(void *ctx, const dal_nn_step_view *view)
{
    vaal *s = ctx;
    const dal_nn_value out = s->nets.discriminator.info.output;
    return lose_tellings(s, view->value[out], s->ones, s->zeros, view->d[out], &s->loss.told);
}

static dal_status move_discriminator(vaal *s)
{
    const dal_status st = s->host->parallel_for(s->host, s->n_tiles, code_tile, s);
    const dal_nn_batch batch = {.struct_size = sizeof batch, .n = s->n, .between = between_discriminator, .ctx = s,
                                .rows = s->mu};
    dal_nn_result result = {.struct_size = sizeof result};
    return st == DAL_OK ? dal_nn_train(s->discriminator, s->rule, &batch, &result, s->err) : st;
}

static int64_t steps_of(const vaal *s)
{
    const vaal_walk *longer = s->labelled.list->n > s->unlabelled.list->n ? &s->labelled : &s->unlabelled;
    const int64_t left = longer->list->n % longer->n ? 1 : 0, turn = longer->list->n / longer->n + left;
    const int64_t all = turn > INT64_MAX / s->opt->epochs ? INT64_MAX : turn * s->opt->epochs;
    return s->opt->steps > 0 && s->opt->steps < all ? s->opt->steps : all;
}

dal_status vaal_train(vaal *s)
{
    const int64_t steps = steps_of(s);
    dal_status st = DAL_OK;
    for (int64_t t = 0; t < steps && st == DAL_OK; t++) {
        if (s->host->cancelled(s->host))
            return dal_fail(s->err, DAL_E_CANCELLED, "", "interrupted");
        s->host->progress(s->host, t, steps, "steps");
        st = next_batch(s, s->err);
        for (int64_t i = 0; i < VAE_STEPS && st == DAL_OK; i++)
            st = move_autoencoder(s, VAE_STEPS * t + i);
        if (st == DAL_OK)
            st = move_discriminator(s);
    }
    if (st == DAL_OK)
        dal_logf(s->host, DAL_LOG_DEBUG, "vaal: after %lld steps: squares %.4g, KL %.4g, discriminator %.4g and %.4g",
                 (long long)steps, s->loss.mse, s->loss.kl, s->loss.told, s->loss.fooled);
    return st;
}

/* ---- memory ------------------------------------------------------------------------------------- */

static dal_status open_walk(vaal_walk *w, const dal_host *host, const dal_view *view, uint32_t set, int64_t batch,
                            dal_rng stream, dal_error *err)
{
    const int64_t n = view->count(view, set);
    dal_status st = view->samples(view, view->ids(view, set), NULL, NULL, n, &w->list, err);
    if (st != DAL_OK)
        return st;
    st = vaal_nets_check(&w->list->spec, err);
    if (st != DAL_OK)
        return st;
    w->stream = stream;
    w->n = batch < n ? batch : n;
    w->at = n; /* the first look draws an order */
    w->turn = -1;
    w->order = dal_array(host, n, sizeof *w->order);
    for (int64_t i = 0; w->order && i < n; i++)
        w->order[i] = i;
    return w->order ? dal_dense_rows_init(&w->rows, host, w->list, dal_sample_values(&w->list->spec), err)
                    : dal_fail(err, DAL_E_NOMEM, "", "no memory for the order of %lld samples", (long long)n);
}

static void close_walk(vaal_walk *w, const dal_host *host, const dal_view *view)
{
    dal_dense_rows_fini(&w->rows);
    host->free(host, w->order);
    if (w->list)
        view->release(view, w->list);
}

/* Passes of a network for all tiles of a batch. */
static dal_nn_pass **open_passes(const vaal *s, const vaal_net *net, int gradients, dal_error *err)
{
    dal_nn_pass **p = dal_array(s->host, s->n_tiles, sizeof *p);
    for (int64_t t = 0; p && t < s->n_tiles; t++)
        p[t] = NULL;
    for (int64_t t = 0; p && t < s->n_tiles; t++) {
        p[t] = dal_nn_pass_new(net->nn, s->host, gradients, err);
        if (!p[t])
            break;
    }
    return p;
}

static int all_open(const vaal *s, dal_nn_pass *const *p)
{
    return p && p[s->n_tiles - 1];
}

static void close_passes(const vaal *s, dal_nn_pass **p)
{
    for (int64_t t = 0; p && t < s->n_tiles; t++)
        dal_nn_pass_free(p[t]);
    s->host->free(s->host, p);
}

static dal_status open_batches(vaal *s, dal_error *err)
{
    const dal_host *h = s->host;
    int64_t values;
    s->x = dal_size_mul(s->n, s->inputs, &values) ? dal_array(h, values, sizeof *s->x) : NULL;
    s->picked = dal_array(h, s->n, sizeof *s->picked);
    s->numbers = dal_array(h, s->n, sizeof *s->numbers);
    s->noise = dal_array(h, s->n * s->z, sizeof *s->noise);
    s->mu = dal_array(h, s->n * s->z, sizeof *s->mu);
    s->d_mu = dal_array(h, s->n * s->z, sizeof *s->d_mu);
    s->logit = dal_array(h, s->n, sizeof *s->logit);
    s->d_logit = dal_array(h, s->n, sizeof *s->d_logit);
    s->ones = dal_array(h, s->n, sizeof *s->ones);
    s->zeros = dal_array(h, s->n, sizeof *s->zeros);
    if (!s->x || !s->picked || !s->numbers || !s->noise || !s->mu || !s->d_mu || !s->logit || !s->d_logit ||
        !s->ones || !s->zeros)
        return dal_fail(err, DAL_E_NOMEM, "batch", "no memory for batches of %lld samples", (long long)s->n);
    for (int64_t i = 0; i < s->n; i++) {
        s->numbers[i] = (int32_t)i;
        s->ones[i] = 1;
        s->zeros[i] = 0;
    }
    return DAL_OK;
}

static dal_nn_trainer *open_trainer(const vaal *s, vaal_net *net, dal_error *err)
{
    return dal_nn_trainer_new(net->nn, s->host, net->weights, net->state, s->n, err);
}

dal_status vaal_open(vaal *s, const dal_view *view, dal_error *err)
{
    const dal_host *h = s->host;
    dal_status st = open_walk(&s->unlabelled, h, view, DAL_ROWS_UNLABELLED, s->opt->batch,
                              h->rng(h, "unlabelled", view->round), err);
    if (st == DAL_OK && view->count(view, DAL_ROWS_LABELLED) < 1)
        st = dal_fail(err, DAL_E_INVALID, "", "vaal tells unlabelled samples from labelled ones, of which there are "
                      "none yet: begin with some");
    if (st == DAL_OK)
        st = open_walk(&s->labelled, h, view, DAL_ROWS_LABELLED, s->opt->batch, h->rng(h, "labelled", view->round),
                       err);
    if (st != DAL_OK)
        return st;
    const dal_sample_spec *spec = &s->labelled.list->spec;
    s->n = s->labelled.n + s->unlabelled.n;
    s->n_tiles = (s->n + TILE - 1) / TILE;
    s->z = s->opt->latent;
    s->inputs = dal_sample_values(spec);
    s->eps = h->rng(h, "noise", view->round);
    st = vaal_nets_open(&s->nets, h, spec, s->z, s->n, view->round, err);
    if (st == DAL_OK)
        st = open_batches(s, err);
    if (st != DAL_OK)
        return st;
    s->coded = dal_nn_parameter(s->nets.decoder.nn, 0)->offset; /* the table comes first */
    s->encoder = open_trainer(s, &s->nets.encoder, err);
    s->decoder = s->encoder ? open_trainer(s, &s->nets.decoder, err) : NULL;
    s->discriminator = s->decoder ? open_trainer(s, &s->nets.discriminator, err) : NULL;
    s->judges = s->discriminator ? open_passes(s, &s->nets.discriminator, 1, err) : NULL;
    s->coders = all_open(s, s->judges) ? open_passes(s, &s->nets.encoder, 0, err) : NULL;
    return all_open(s, s->coders) ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "batch", "no memory to train on batches of "
                                                      "%lld samples", (long long)s->n);
}

void vaal_close(vaal *s, const dal_view *view)
{
    const dal_host *h = s->host;
    void *const all[] = {s->x, s->picked, s->numbers, s->noise, s->mu, s->d_mu, s->logit, s->d_logit, s->ones,
                         s->zeros};
    close_passes(s, s->coders);
    close_passes(s, s->judges);
    dal_nn_trainer_free(s->discriminator);
    dal_nn_trainer_free(s->decoder);
    dal_nn_trainer_free(s->encoder);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    vaal_nets_free(&s->nets);
    close_walk(&s->unlabelled, h, view);
    close_walk(&s->labelled, h, view);
}
