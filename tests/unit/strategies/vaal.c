/* An autoencoder and a discriminator of codes. */
#include "tests/unit/strategies/round.h"

#include <math.h>

#include "plugins/strategies/vaal.c"
#include "plugins/strategies/vaal_nets.c"
#include "plugins/strategies/vaal_train.c"

static const vaal_options plain = {.beta = 1, .lambda = 1, .latent = 3, .epochs = 1, .batch = 4,
                                   .learning_rate = 0.0005};

/* ---- a round of samples of any kind: the labelled ones come first ---- */

typedef struct pool {
    const dal_host *host;
    dal_sample_spec spec;
    int64_t n_labelled, n;
    int64_t *ids;
    void *data; /* [n] samples */
} pool;

static int64_t pool_count(const dal_view *v, uint32_t set)
{
    const pool *p = v->impl;
    return set == DAL_ROWS_LABELLED ? p->n_labelled : set == DAL_ROWS_OOD ? 0 : p->n - p->n_labelled;
}

static const int64_t *pool_ids(const dal_view *v, uint32_t set)
{
    const pool *p = v->impl;
    return set == DAL_ROWS_LABELLED ? p->ids : p->ids + p->n_labelled;
}

static dal_status pool_read(const dal_samples *s, const int64_t *rows, int64_t n, dal_batch *out, dal_error *err)
{
    const pool *p = s->impl;
    const size_t bytes = (size_t)dal_sample_bytes(&p->spec);
    (void)err;
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)out->data + (size_t)i * bytes, (const char *)p->data + (size_t)s->ids[rows[i]] * bytes, bytes);
    return DAL_OK;
}

static dal_status pool_samples(const dal_view *v, const int64_t *ids, const int32_t *classes, const float *weights,
                               int64_t n, dal_samples **out, dal_error *err)
{
    pool *p = v->impl;
    (void)classes, (void)weights, (void)err;
    *out = malloc(sizeof **out);
    **out = (dal_samples){.struct_size = sizeof **out, .impl = p, .spec = p->spec, .n = n, .ids = ids,
                          .read = pool_read};
    return DAL_OK;
}

static void pool_release(const dal_view *v, dal_samples *s)
{
    (void)v;
    free(s);
}

static dal_status pool_inputs(const dal_block *b, dal_batch *out, dal_error *err)
{
    const pool *p = b->impl;
    (void)err;
    *out = (dal_batch){.struct_size = sizeof *out, .spec = &p->spec, .n = b->n,
                       .data = (char *)p->data + b->ids[0] * dal_sample_bytes(&p->spec)};
    return DAL_OK;
}

typedef struct pool_job {
    const dal_view *view;
    dal_status (*visit)(void *, const dal_block *, dal_error *);
    void *ctx;
    dal_error *err;
} pool_job;

enum { POOL_BLOCK = 7 };

static dal_status pool_block(void *ctx, int64_t i)
{
    const pool_job *j = ctx;
    const pool *p = j->view->impl;
    const int64_t first = i * POOL_BLOCK, left = p->n - p->n_labelled - first;
    const dal_block b = {.struct_size = sizeof b, .impl = j->view->impl, .first = first,
                         .n = left < POOL_BLOCK ? left : POOL_BLOCK, .ids = p->ids + p->n_labelled + first,
                         .inputs = pool_inputs};
    return j->visit(j->ctx, &b, j->err);
}

static dal_status pool_stream(const dal_view *v, uint32_t set,
                              dal_status (*visit)(void *, const dal_block *, dal_error *), void *ctx, dal_error *err)
{
    const pool *p = v->impl;
    pool_job j = {v, visit, ctx, err};
    cr_assert_eq(set, DAL_ROWS_CANDIDATES);
    return p->host->parallel_for(p->host, (p->n - p->n_labelled + POOL_BLOCK - 1) / POOL_BLOCK, pool_block, &j);
}

static dal_view view_of(pool *p)
{
    return (dal_view){.struct_size = sizeof(dal_view), .impl = p, .count = pool_count, .ids = pool_ids,
                      .samples = pool_samples, .release = pool_release, .stream = pool_stream};
}

/* Standard normal vectors of d values, or images of u8 noise of this shape. */
static pool make_pool(uint32_t modality, int64_t channels, int64_t side, int64_t n_labelled, int64_t n)
{
    pool p = {.n_labelled = n_labelled, .n = n, .ids = malloc((size_t)n * sizeof(int64_t))};
    dal_rng rng = dal_rng_from_key(3);
    p.spec = (dal_sample_spec){sizeof p.spec, modality, modality == DAL_IMAGE ? DAL_U8 : DAL_F32,
                               modality == DAL_IMAGE ? 3 : 1, {channels, side, side}, 2};
    p.data = malloc((size_t)(n * dal_sample_values(&p.spec)) * sizeof(float));
    for (int64_t i = 0; i < n; i++)
        p.ids[i] = i;
    for (int64_t i = 0; i < n * dal_sample_values(&p.spec); i++) {
        if (modality == DAL_IMAGE)
            ((uint8_t *)p.data)[i] = (uint8_t)dal_rng_below(&rng, 256);
        else
            ((float *)p.data)[i] = (float)dal_rng_normal(&rng);
    }
    return p;
}

static void drop_pool(pool *p)
{
    free(p->ids);
    free(p->data);
}

/* ---- losses ---- */

Test(vaal, counts_the_divergence_of_the_worked_example)
{
    vaal_options opt = plain;
    vaal s = {.opt = &opt, .labelled = {.n = 1}, .unlabelled = {.n = 1}, .n = 2, .z = 2, .inputs = 10};
    /* mu 1, 0 and v 0, ln 2 in L: 1/2 and (2 - 1 - ln 2) / 2; nothing in U */
    const float code[] = {1, 0, 0, (float)M_LN2, 0, 0, 0, 0};
    float d[8] = {0};
    lose_divergence(&s, code, d);
    cr_assert_float_eq(s.loss.kl, 0.5 + 0.5 * (1 - M_LN2), 1e-6);
    const float want[] = {1, 0, 0, 0.5f, 0, 0, 0, 0};
    for (int i = 0; i < 8; i++)
        cr_assert_float_eq(d[i], want[i], 1e-6);
    opt.scale = 1; /* one sample a half, 10 values each */
    opt.beta = 2;
    memset(d, 0, sizeof d);
    lose_divergence(&s, code, d);
    cr_assert_float_eq(s.loss.kl, 0.1 * (0.5 + 0.5 * (1 - M_LN2)), 1e-6);
    cr_assert_float_eq(d[0], 0.2, 1e-6);
}

Test(vaal, wants_labelled_samples_told_as_1_and_the_others_as_0)
{
    float ones[] = {1, 1, 1}, zeros[] = {0, 0, 0}, d[3];
    const float logit[] = {0, 2, -1};
    vaal s = {.labelled = {.n = 1}, .unlabelled = {.n = 2}, .n = 3};
    double loss;
    cr_assert_eq(lose_tellings(&s, logit, ones, zeros, d, &loss), DAL_OK);
    cr_assert_float_eq(loss, log(2) + 0.5 * (log1p(exp(2)) + log1p(exp(-1))), 1e-6);
    cr_assert_float_eq(d[0], -0.5, 1e-6);
    cr_assert_float_eq(d[1], 0.5 / (1 + exp(-2)), 1e-6);
    cr_assert_float_eq(d[2], 0.5 / (1 + exp(1)), 1e-6);
    /* the autoencoder wants all of them taken for labelled */
    cr_assert_eq(lose_tellings(&s, logit, ones, ones, d, &loss), DAL_OK);
    cr_assert_float_eq(d[1], 0.5 * (1 / (1 + exp(-2)) - 1), 1e-6);
}

/* ---- slow and obvious: the loss of a batch of vectors, in double ---- */

enum { D = 6, Z = 3, N_L = 3, N_U = 4, N = N_L + N_U };

typedef struct twin {
    double *weights[3]; /* of encoder, decoder, discriminator */
    const vaal *s;
} twin;

static const vaal_net *net_of(const vaal *s, int which)
{
    const vaal_net *all[] = {&s->nets.encoder, &s->nets.decoder, &s->nets.discriminator};
    return all[which];
}

static const double *weights_of(const twin *t, int which, const char *name)
{
    const vaal_net *net = net_of(t->s, which);
    for (int64_t i = 0; i < net->info.n_parameters; i++)
        if (strcmp(dal_nn_parameter(net->nn, i)->name, name) == 0)
            return t->weights[which] + dal_nn_parameter(net->nn, i)->offset;
    cr_assert_fail("no weights %s", name);
    return NULL;
}

static void linear(const double *w, const double *bias, const double *x, int64_t in, int64_t out, int relu, double *y)
{
    for (int64_t o = 0; o < out; o++) {
        y[o] = bias ? bias[o] : 0;
        for (int64_t i = 0; i < in; i++)
            y[o] += w[o * in + i] * x[i];
        y[o] = relu && y[o] < 0 ? 0 : y[o];
    }
}

static double twin_logit(const twin *t, const double *mu)
{
    double one[HIDDEN], two[HIDDEN], logit;
    linear(weights_of(t, 2, "hidden1.weight"), weights_of(t, 2, "hidden1.bias"), mu, Z, HIDDEN, 1, one);
    linear(weights_of(t, 2, "hidden2.weight"), weights_of(t, 2, "hidden2.bias"), one, HIDDEN, HIDDEN, 1, two);
    linear(weights_of(t, 2, "output.weight"), weights_of(t, 2, "output.bias"), two, HIDDEN, 1, 0, &logit);
    return logit;
}

/* What the autoencoder loses; told: what the discriminator does. */
static double twin_loss(const twin *t, double *told)
{
    const vaal *s = t->s;
    const vaal_options *opt = s->opt;
    double loss = 0;
    *told = 0;
    for (int i = 0; i < N; i++) {
        const double n = i < N_L ? N_L : N_U, share = opt->scale == SCALE_SUM ? 1 : 1 / (n * D);
        double x[D], hidden[HIDDEN], code[2 * Z], z[Z + 1], decoded[D], square = 0, kl = 0;
        for (int k = 0; k < D; k++)
            x[k] = (double)s->x[i * D + k];
        linear(weights_of(t, 0, "hidden.weight"), weights_of(t, 0, "hidden.bias"), x, D, HIDDEN, 1, hidden);
        linear(weights_of(t, 0, "code.weight"), weights_of(t, 0, "code.bias"), hidden, HIDDEN, 2 * Z, 0, code);
        for (int k = 0; k < Z; k++) {
            z[k] = code[k] + exp(code[Z + k] / 2) * (double)s->noise[i * Z + k];
            kl += 0.5 * (code[k] * code[k] + exp(code[Z + k]) - 1 - code[Z + k]);
        }
        z[Z] = 1;
        linear(weights_of(t, 1, "open.weight"), NULL, z, Z + 1, HIDDEN, 1, hidden);
        linear(weights_of(t, 1, "output.weight"), weights_of(t, 1, "output.bias"), hidden, HIDDEN, D, 0, decoded);
        for (int k = 0; k < D; k++)
            square += (decoded[k] - x[k]) * (decoded[k] - x[k]);
        const double logit = twin_logit(t, code);
        loss += square / (n * D) + opt->beta * share * kl + opt->lambda * log1p(exp(-logit)) / n;
        *told += log1p(exp(i < N_L ? -logit : logit)) / n;
    }
    return loss;
}

/* Is the engine's gradient of this network that of the twin's loss? */
static void check_gradient(twin *t, int which, int64_t first, int of_discriminator, const float *gradient)
{
    const int64_t n = net_of(t->s, which)->info.n_weights;
    double largest = 0;
    for (int64_t i = first; i < n; i++)
        largest = fmax(largest, fabs((double)gradient[i]));
    cr_assert_gt(largest, 1e-3);
    for (int64_t i = first; i < n; i += 1 + (n - first) / 150) {
        double *w = &t->weights[which][i], told[2], loss[2];
        const double kept = *w;
        for (int k = 0; k < 2; k++) {
            *w = kept + (k ? 1e-5 : -1e-5);
            loss[k] = twin_loss(t, &told[k]);
        }
        *w = kept;
        const double want = ((of_discriminator ? told : loss)[1] - (of_discriminator ? told : loss)[0]) / 2e-5;
        cr_assert_float_eq((double)gradient[i], want, 1e-4 * largest + 1e-6, "network %d, weight %d: %g, expected %g",
                           which, (int)i, (double)gradient[i], want);
    }
}

static void gradients_are_those_of_the_loss(const vaal_options *opt)
{
    pool p = make_pool(DAL_VECTOR, D, 1, N_L, N);
    dal_runtime *rt = fx_runtime(2, 1);
    dal_error err = DAL_ERROR_INIT;
    p.host = dal_runtime_host(rt, "vaal");
    const dal_view view = view_of(&p);
    vaal s = {.host = p.host, .opt = opt, .err = &err};
    twin t = {.s = &s};
    double told;
    cr_assert_eq(vaal_open(&s, &view, &err), DAL_OK, "%s", err.text);
    cr_assert(s.n == N && s.labelled.n == N_L && s.z == Z && s.inputs == D);
    for (int which = 0; which < 3; which++) { /* biases that are not 0, too */
        const vaal_net *net = net_of(&s, which);
        dal_rng rng = dal_rng_from_key((uint64_t)which);
        t.weights[which] = malloc((size_t)net->info.n_weights * sizeof(double));
        for (int64_t i = 0; i < net->info.n_weights; i++)
            t.weights[which][i] = (double)(net->weights[i] += 0.03f * (float)dal_rng_normal(&rng));
    }
    cr_assert_eq(next_batch(&s, &err), DAL_OK);
    cr_assert_eq(move_autoencoder(&s, 0), DAL_OK, "%s", err.text);
    const double loss = twin_loss(&t, &told);
    cr_assert_float_eq(s.loss.mse + opt->beta * s.loss.kl + opt->lambda * s.loss.fooled, loss, 1e-5 * loss);
    check_gradient(&t, 0, 0, 0, dal_nn_gradient(s.encoder));
    check_gradient(&t, 1, (int64_t)N * (Z + 1), 0, dal_nn_gradient(s.decoder));
    cr_assert_eq(move_discriminator(&s), DAL_OK, "%s", err.text);
    cr_assert_float_eq(s.loss.told, told, 1e-5);
    check_gradient(&t, 2, 0, 1, dal_nn_gradient(s.discriminator));
    for (int which = 0; which < 3; which++)
        free(t.weights[which]);
    vaal_close(&s, &view);
    drop_pool(&p);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(vaal, moves_along_the_gradient_of_its_loss)
{
    vaal_options opt = plain;
    opt.beta = 0.7;
    opt.lambda = 1.5;
    gradients_are_those_of_the_loss(&opt);
    opt.scale = 1;
    opt.lambda = 3;
    gradients_are_those_of_the_loss(&opt);
}

/* ---- batches ---- */

Test(vaal, walks_both_lists_and_goes_round_the_shorter_one)
{
    pool p = make_pool(DAL_VECTOR, 2, 1, 3, 13);
    dal_runtime *rt = fx_runtime(1, 1);
    dal_error err = DAL_ERROR_INIT;
    p.host = dal_runtime_host(rt, "vaal");
    const dal_view view = view_of(&p);
    vaal_options opt = plain;
    opt.epochs = 2;
    vaal s = {.host = p.host, .opt = &opt, .err = &err};
    int64_t seen[13] = {0};
    cr_assert_eq(vaal_open(&s, &view, &err), DAL_OK);
    cr_assert(s.labelled.n == 3 && s.unlabelled.n == 4 && s.n == 7);
    cr_assert_eq(steps_of(&s), 6); /* ten in fours, twice */
    opt.steps = 5;
    cr_assert_eq(steps_of(&s), 5);
    for (int t = 0; t < 5; t++) {
        cr_assert_eq(next_batch(&s, &err), DAL_OK);
        for (int i = 0; i < 7; i++) {
            const int64_t id = i < 3 ? s.picked[i] : 3 + s.picked[i];
            seen[id]++;
            cr_assert_arr_eq(s.x + 2 * i, (float *)p.data + 2 * id, 2 * sizeof(float));
        }
    }
    for (int i = 0; i < 13; i++)
        cr_assert_eq(seen[i], i < 3 ? 5 : 2, "sample %d was seen %d times", i, (int)seen[i]);
    vaal_close(&s, &view);
    drop_pool(&p);
    dal_runtime_free(rt);
}

/* ---- networks ---- */

static void check_images(int64_t channels, int64_t side, int64_t encoder, int64_t decoder)
{
    const dal_sample_spec spec = {sizeof spec, DAL_IMAGE, DAL_U8, 3, {channels, side, side}, 2};
    const int64_t latent = 32, rows = 5;
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "vaal");
    dal_error err = DAL_ERROR_INIT;
    dal_nn *nets[] = {encoder_of(host, &spec, latent), decoder_of(host, &spec, latent, rows)};
    const int64_t outputs[] = {2 * latent, channels * side * side}, want[] = {encoder, decoder + rows * (latent + 1)};
    for (int i = 0; i < 2; i++) {
        dal_nn_info info = {.struct_size = sizeof info};
        int64_t shape[3];
        cr_assert_eq(dal_nn_finish(nets[i], &err), DAL_OK, "%s", err.text);
        dal_nn_describe(nets[i], &info);
        dal_nn_shape(nets[i], info.output, shape);
        cr_assert_eq(info.n_outputs, outputs[i]);
        cr_assert(i == 0 || (shape[0] == channels && shape[1] == side && shape[2] == side));
        cr_assert_eq(info.n_weights, want[i], "%d of %d: %lld weights", i, (int)side, (long long)info.n_weights);
        dal_nn_free(nets[i]);
    }
    dal_runtime_free(rt);
}

Test(vaal, has_the_layers_of_the_published_networks)
{
    /* weights and biases as PyTorch counts them; of those for 32 and 64 no bias before a norm, which has two itself */
    check_images(1, 28, 16 * 32 + 32 + 16 * 32 * 32 + 32 + 16 * 32 * 64 + 64 + (3136 + 1) * 64,
                 33 * 3136 + 16 * 64 * 32 + 32 + 16 * 32 * 32 + 32 + 16 * 32 + 1);
    const int64_t down = 16 * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 1024) + 2 * (128 + 256 + 512 + 1024),
                  up = 16 * (1024 * 512 + 512 * 256 + 256 * 128) + 2 * (512 + 256 + 128) + 128 * 3 + 3;
    check_images(3, 32, down + (4096 + 1) * 64, 33 * 16384 + up);
    check_images(3, 64, down + (65536 + 1) * 64, 33 * 65536 + up);
}

Test(vaal, begins_with_normal_weights_and_no_biases)
{
    const dal_sample_spec spec = {sizeof spec, DAL_IMAGE, DAL_U8, 3, {1, 28, 28}, 2};
    dal_runtime *rt = fx_runtime(1, 1);
    vaal_nets n;
    cr_assert_eq(vaal_nets_open(&n, dal_runtime_host(rt, "vaal"), &spec, 32, 4, 0, NULL), DAL_OK);
    const struct {
        const vaal_net *net;
        const char *name;
        double variance;
    } all[] = {{&n.encoder, "down2.weight", 2.0 / 512}, {&n.encoder, "code.weight", 2.0 / 3136},
               {&n.encoder, "code.bias", 0},            {&n.discriminator, "hidden2.weight", 2.0 / 512},
               {&n.decoder, "open.weight", 2.0 / 32},   {&n.decoder, "up1.bias", 0}};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        for (int64_t i = 0, found = 0; !found; i++) {
            cr_assert_lt(i, all[k].net->info.n_parameters, "no %s", all[k].name);
            const dal_parameter *p = dal_nn_parameter(all[k].net->nn, i);
            found = strcmp(p->name, all[k].name) == 0;
            const int64_t count = p->count - (strcmp(p->name, "open.weight") == 0 ? 3136 : 0);
            const float *w = all[k].net->weights + p->offset;
            if (found)
                cr_assert_float_eq(dal_dot(w, w, count) / (double)count, all[k].variance, 0.05 * all[k].variance,
                                   "%s", all[k].name);
            for (int64_t j = count; found && j < p->count; j++)
                cr_assert_eq(w[j], 0);
        }
    vaal_nets_free(&n);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

/* ---- whole selections ---- */

static fx_picks picked[2];

/* b picks of a pool, the same with one thread and two, below the bound that is told. */
static void select_from(pool *p, const vaal_options *opt, int64_t b)
{
    for (int threads = 1; threads <= 2; threads++) {
        dal_runtime *rt = fx_runtime(threads, 1);
        fx_picks *out = &picked[threads - 1];
        const dal_stateless self = {dal_runtime_host(rt, "vaal"), opt};
        const dal_problem problem = {sizeof problem, 0, p->n - p->n_labelled, p->n_labelled, b, 2, 0,
                                     dal_sample_values(&p->spec)};
        dal_picks picks = {.struct_size = sizeof picks, .want = b, .ids = out->ids, .scores = out->scores};
        dal_cost cost = {.struct_size = sizeof cost};
        dal_error err = DAL_ERROR_INIT;
        p->host = self.host;
        const dal_view view = view_of(p);
        cr_assert_eq(vaal_select((void *)(uintptr_t)&self, &view, &picks, &err), DAL_OK, "%s", err.text);
        cr_assert_eq(picks.n, b);
        vaal_cost(NULL, opt, &problem, &cost);
        cr_assert_leq((double)dal_runtime_most_allocated(rt), cost.bytes, "%lld bytes, the bound is %g",
                      (long long)dal_runtime_most_allocated(rt), cost.bytes);
        cr_assert_eq(dal_runtime_allocated(rt), 0);
        dal_runtime_free(rt);
    }
    cr_assert_arr_eq(picked[0].ids, picked[1].ids, (size_t)b * sizeof *picked->ids);
    cr_assert_arr_eq(picked[0].scores, picked[1].scores, (size_t)b * sizeof *picked->scores);
    for (int64_t i = 0; i < b; i++) {
        cr_assert(picked->ids[i] >= p->n_labelled && picked->ids[i] < p->n);
        cr_assert(picked->scores[i] > 0 && picked->scores[i] < 1);
        cr_assert(i == 0 || picked->scores[i] >= picked->scores[i - 1]);
        for (int64_t j = 0; j < i; j++)
            cr_assert_neq(picked->ids[i], picked->ids[j]);
    }
}

static void select_images(int64_t channels, int64_t side, int64_t n_labelled, int64_t n)
{
    pool p = make_pool(DAL_IMAGE, channels, side, n_labelled, n);
    vaal_options opt = plain;
    opt.latent = 32;
    opt.steps = 2;
    select_from(&p, &opt, n - n_labelled < 3 ? n - n_labelled : 3);
    drop_pool(&p);
}

Test(vaal, takes_images_of_28)
{
    select_images(1, 28, 5, 40);
    select_images(3, 28, 5, 20);
}

Test(vaal, takes_images_of_32)
{
    select_images(3, 32, 2, 8);
}

Test(vaal, takes_images_of_64)
{
    select_images(3, 64, 1, 4);
}

/* Half of U lies where L does, the other half elsewhere. */
Test(vaal, asks_about_what_is_unlike_the_labelled)
{
    enum { PER = 40 };
    pool p = make_pool(DAL_VECTOR, 8, 1, PER, 3 * PER);
    vaal_options opt = plain;
    opt.epochs = 20;
    opt.batch = 16;
    opt.scale = 1;
    opt.lambda = 0.1; /* with 1 and so few steps the discriminator is taken in */
    for (int64_t i = 0; i < 3 * PER; i++)
        for (int64_t k = 0; k < 8; k++)
            ((float *)p.data)[i * 8 + k] = 0.3f * ((float *)p.data)[i * 8 + k] + (i >= 2 * PER && k < 4 ? 2 : 0);
    select_from(&p, &opt, PER / 2);
    int found = 0;
    for (int i = 0; i < PER / 2; i++)
        found += picked->ids[i] >= 2 * PER;
    cr_assert_geq(found, PER / 2 - 2, "%d of %d lie elsewhere", found, PER / 2);
    drop_pool(&p);
}

Test(vaal, picks_legally_in_rounds_of_all_sorts)
{
    vaal_options opt = plain;
    static fx_picks out;
    opt.steps = 2;
    for (int64_t i = 0; i < fx_n_shapes; i++) {
        fx_spec spec = fx_shapes[i];
        if (spec.n_labelled < 1)
            continue;
        spec.odd |= FX_MODEL;
        fx_round *r = fx_round_random(&spec);
        fx_select(r, &vaal_impl, &opt, 1 + spec.n / 3, 1, &out);
        fx_round_free(r);
    }
}

Test(vaal, draws_each_round_anew)
{
    pool p = make_pool(DAL_VECTOR, 5, 1, 6, 60);
    dal_runtime *rt = fx_runtime(1, 1);
    float first[2];
    for (int64_t round = 0; round < 2; round++) {
        dal_error err = DAL_ERROR_INIT;
        p.host = dal_runtime_host(rt, "vaal");
        dal_view view = view_of(&p);
        view.round = round;
        vaal s = {.host = p.host, .opt = &plain, .err = &err};
        cr_assert_eq(vaal_open(&s, &view, &err), DAL_OK);
        first[round] = s.nets.encoder.weights[0];
        vaal_close(&s, &view);
    }
    cr_assert_neq(first[0], first[1]);
    drop_pool(&p);
    dal_runtime_free(rt);
}

/* ---- what it refuses ---- */

static void refuses(uint32_t modality, int64_t channels, int64_t side, int64_t n_labelled, dal_status want,
                    const char *words)
{
    pool p = make_pool(modality, channels, side, n_labelled, 4);
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_stateless self = {dal_runtime_host(rt, "vaal"), &plain};
    int64_t ids[2];
    double scores[2];
    dal_picks picks = {.struct_size = sizeof picks, .want = 2, .ids = ids, .scores = scores};
    dal_error err = DAL_ERROR_INIT;
    p.host = self.host;
    const dal_view view = view_of(&p);
    fx_expect(&err, vaal_select((void *)(uintptr_t)&self, &view, &picks, &err), want, "", words);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    drop_pool(&p);
    dal_runtime_free(rt);
}

Test(vaal, refuses_what_it_has_no_network_for)
{
    refuses(DAL_IMAGE, 1, 12, 2, DAL_E_UNSUPPORTED, "these are images of 1x12x12: the transform `resize`");
    refuses(DAL_SPARSE, 9, 1, 2, DAL_E_UNSUPPORTED, "these are sparse vectors of 9");
    refuses(DAL_VECTOR, 9, 1, 0, DAL_E_INVALID, "of which there are none yet");
}

Test(vaal, says_when_training_runs_away)
{
    pool p = make_pool(DAL_VECTOR, 4, 1, 2, 8);
    vaal_options opt = plain;
    opt.learning_rate = 1e4;
    opt.epochs = 50;
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_stateless self = {dal_runtime_host(rt, "vaal"), &opt};
    int64_t ids[2];
    double scores[2];
    dal_picks picks = {.struct_size = sizeof picks, .want = 2, .ids = ids, .scores = scores};
    dal_error err = DAL_ERROR_INIT;
    p.host = self.host;
    const dal_view view = view_of(&p);
    fx_expect(&err, vaal_select((void *)(uintptr_t)&self, &view, &picks, &err), DAL_E_INVALID, "learning_rate",
              "is no number any more");
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    drop_pool(&p);
    dal_runtime_free(rt);
}

Test(vaal, survives_when_there_is_no_memory)
{
    vaal_options opt = plain;
    fx_spec spec = fx_shapes[0];
    opt.steps = 1;
    spec.odd |= FX_MODEL;
    fx_survives_no_memory(&vaal_impl, &opt, &spec, 5);
}
