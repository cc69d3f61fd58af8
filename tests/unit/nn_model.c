/* What models of layers offer beside training, shown on perceptrons, which have a slow twin. */
#include "tests/unit/mlp_subject.h"

#include "tests/unit/dense_twin.h"
#include "tests/unit/saved.h"

/* ---- extensions ------------------------------------------------------------------------------------- */

Test(nn_model, offers_a_table_for_every_capability_it_names_and_no_other)
{
    fx_list *l = fx_clusters(4, 6, 3, DAL_F32, 0.3, 1);
    fx_subject s = fx_mlp_new(&(fx_mlp){.hidden = {5}, .n_hidden = 1}, &l->s.spec, 1);
    char words[1024], *save = NULL;
    strcpy(words, DAL_NN_MODEL_PROVIDES_FIXED);
    int n = 0;
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save), n++)
        cr_assert(s.impl->get_extension(s.self, w), "%s", w);
    cr_assert_eq(n, 11);
    cr_assert_null(s.impl->get_extension(s.self, "dal.model.embed-pretrained/1"));
    cr_assert_null(s.impl->get_extension(s.self, "dal.model"));
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(nn_model, shows_features_stages_and_a_last_layer_that_agree)
{
    fx_list *l = fx_clusters(50, 6, 3, DAL_F32, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    fx_subject s = fx_mlp_trained(&(fx_mlp){.hidden = {8, 5}, .n_hidden = 2, .epochs = 5}, l);
    const dal_model_features *features = s.impl->get_extension(s.self, DAL_CAP_FEATURES);
    const dal_model_stages *stages = s.impl->get_extension(s.self, DAL_CAP_STAGES);
    const dal_model_last_layer *last = s.impl->get_extension(s.self, DAL_CAP_LAST_LAYER);
    const dal_batch x = fx_batch(l, 0, 50);
    float f[50 * 5], alone[50 * 5], z[50 * 3], first[50 * 8], second[50 * 5];
    const float *bias;
    dal_matrix w;
    cr_assert_eq(features->width(s.self), 5);
    cr_assert_eq(features->features(s.self, &x, f, z, &err), DAL_OK);
    cr_assert_eq(features->features(s.self, &x, alone, NULL, &err), DAL_OK);
    cr_assert_eq(stages->count(s.self), 2);
    cr_assert_eq(stages->width(s.self, 0), 8);
    cr_assert_eq(stages->stages(s.self, &x, (float *[]){first, second}, &err), DAL_OK);
    cr_assert_eq(stages->stages(s.self, &x, (float *[]){NULL, alone}, &err), DAL_OK);
    cr_assert_arr_eq(alone, f, sizeof f);
    cr_assert_arr_eq(second, f, sizeof f);
    float *want = fx_predict(s.impl, s.self, l, 50);
    cr_assert_arr_eq(z, want, sizeof z);
    cr_assert_eq(last->last_layer(s.self, &w, &bias, &err), DAL_OK);
    cr_assert(w.rows == 3 && w.cols == 5);
    for (int i = 0; i < 50; i++)
        for (int k = 0; k < 3; k++) {
            double sum = (double)bias[k];
            for (int j = 0; j < 5; j++)
                sum += (double)f[i * 5 + j] * (double)w.data[k * w.stride + j];
            cr_assert_float_eq(sum, (double)z[i * 3 + k], 1e-5);
        }
    free(want);
    fx_subject_drop(&s);
    fx_list_free(l);
}

/* Passes of all samples, in blocks of samples and of passes: [n_passes, n, c]. */
static float *mc_in_blocks(const fx_subject *s, const fx_list *l, int64_t n_passes, int64_t block, int64_t passes)
{
    const dal_model_mc *ext = s->impl->get_extension(s->self, DAL_CAP_MC);
    const int64_t n = l->s.n, c = l->s.spec.n_classes;
    const dal_rng stream = dal_rng_from_key(77);
    dal_error err = DAL_ERROR_INIT;
    float *out = malloc((size_t)(n_passes * n * c) * sizeof *out), *part = malloc((size_t)(passes * block * c) * 4);
    for (int64_t i = 0; i < n; i += block)
        for (int64_t k = 0; k < n_passes; k += passes) {
            const int64_t rows = n - i < block ? n - i : block, here = n_passes - k < passes ? n_passes - k : passes;
            const dal_batch x = fx_batch(l, i, rows);
            cr_assert_eq(ext->mc(s->self, &x, &stream, k, here, part, &err), DAL_OK, "%s", err.text);
            for (int64_t p = 0; p < here; p++)
                memcpy(out + ((k + p) * n + i) * c, part + p * rows * c, (size_t)(rows * c) * sizeof *out);
        }
    free(part);
    return out;
}

static void masks_are_shared_and_pure(const fx_mlp *how)
{
    enum { PASSES = 9, ROWS = 40 };
    fx_list *l = fx_clusters(ROWS, 12, 3, DAL_F32, 0.3, 1);
    /* equal samples 3 and 20 show whether a pass has one mask for all */
    memcpy((float *)l->data + 20 * 12, (float *)l->data + 3 * 12, 12 * sizeof(float));
    fx_subject s = fx_mlp_trained(how, l);
    float *want = mc_in_blocks(&s, l, PASSES, ROWS, PASSES), *got = mc_in_blocks(&s, l, PASSES, 7, 2);
    cr_assert_arr_eq(got, want, PASSES * ROWS * 3 * sizeof *got);
    int differ = 0;
    for (int k = 0; k < PASSES; k++) {
        cr_assert_arr_eq(want + (k * ROWS + 3) * 3, want + (k * ROWS + 20) * 3, 3 * sizeof *want);
        differ += memcmp(want + k * ROWS * 3, want, ROWS * 3 * sizeof *want) != 0;
    }
    cr_assert_geq(differ, PASSES - 2, "passes must differ");
    free(want), free(got);
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(nn_model, masks_each_pass_alike_for_all_samples_and_blocks)
{
    masks_are_shared_and_pure(&(fx_mlp){.hidden = {30, 20}, .n_hidden = 2, .epochs = 5});
    masks_are_shared_and_pure(&(fx_mlp){.hidden = {30, 20}, .n_hidden = 2, .epochs = 5, .dropout = 0.3});
    masks_are_shared_and_pure(&(fx_mlp){.epochs = 5});
}

Test(nn_model, drops_features_at_the_stated_rate_and_keeps_their_mean)
{
    enum { PASSES = 400 };
    fx_list *l = fx_clusters(20, 12, 3, DAL_F32, 0.3, 1);
    fx_subject s = fx_mlp_trained(&(fx_mlp){.hidden = {40}, .n_hidden = 1, .epochs = 5, .mc_dropout = 0.25}, l);
    float *z = mc_in_blocks(&s, l, PASSES, 20, PASSES), *plain = fx_predict(s.impl, s.self, l, 20);
    for (int i = 0; i < 60; i++) { /* logits are linear in the features: their mean is the plain one */
        double mean = 0;
        for (int k = 0; k < PASSES; k++)
            mean += (double)z[k * 60 + i] / PASSES;
        cr_assert_float_eq(mean, (double)plain[i], 0.15);
    }
    free(z), free(plain);
    fx_subject_drop(&s);
    fx_list_free(l);
}

/* The weights of a fx_subject, in double for the twin. */
static void twin_weights(const fx_subject *s, double *w)
{
    const dal_nn_model *m = s->self;
    for (int64_t i = 0; i < m->info.n_weights; i++)
        w[i] = (double)m->weights[i];
}

/* Of a network 6-8-5-3: g [21, 6] is how sum_k along[i, k] * value k of a layer moves with the inputs [21, 6]. */
static void check_slopes(const fx_subject *s, int layer, const float *inputs, const float *along, const float *g)
{
    const int64_t widths[] = {6, 8, 5, 3}, width = widths[layer + 1];
    const twin_net net = twin_net_of(widths, 3);
    double w[256], out[32];
    const double *values[3];
    twin_weights(s, w);
    for (int i = 0; i < 21; i++)
        for (int j = 0; j < 6; j++) {
            double change = 0;
            float moved[6];
            for (int side = -1; side <= 1; side += 2) {
                memcpy(moved, inputs + i * 6, sizeof moved);
                moved[j] += (float)side * 0x1p-13f;
                twin_forward(&net, w, moved, out, values);
                for (int k = 0; k < width; k++)
                    change += side * (double)along[i * width + k] * values[layer][k];
            }
            cr_assert_float_eq((double)g[i * 6 + j], change / 0x1p-12, 2e-3, "sample %d, value %d", i, j);
        }
}

Test(nn_model, input_gradients_match_finite_differences)
{
    fx_list *l = fx_clusters(21, 6, 3, DAL_U8, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    fx_subject s = fx_mlp_trained(&(fx_mlp){.hidden = {8, 5}, .n_hidden = 2, .epochs = 20}, l);
    const dal_model_input_gradient *ext = s.impl->get_extension(s.self, DAL_CAP_INPUT_GRADIENT);
    const dal_batch x = fx_batch(l, 0, 21);
    float inputs[21 * 6], z[21 * 3], along[21 * 3], g[21 * 6];
    cr_assert_eq(ext->width(s.self), 6);
    cr_assert_eq(ext->embed(s.self, &x, inputs, &err), DAL_OK);
    cr_assert_eq(ext->forward(s.self, inputs, 21, z, &err), DAL_OK);
    float *want = fx_predict(s.impl, s.self, l, 21);
    cr_assert_arr_eq(z, want, sizeof z);
    for (int i = 0; i < 63; i++)
        along[i] = (float)(i % 5) - 2;
    cr_assert_eq(ext->gradient(s.self, inputs, 21, along, g, &err), DAL_OK);
    check_slopes(&s, 2, inputs, along, g);
    free(want);
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(nn_model, gradients_of_features_match_finite_differences)
{
    fx_list *l = fx_clusters(21, 6, 3, DAL_U8, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    fx_subject s = fx_mlp_trained(&(fx_mlp){.hidden = {8, 5}, .n_hidden = 2, .epochs = 20}, l);
    const dal_model_input_gradient *space = s.impl->get_extension(s.self, DAL_CAP_INPUT_GRADIENT);
    const dal_model_feature_gradient *ext = s.impl->get_extension(s.self, DAL_CAP_FEATURE_GRADIENT);
    const dal_model_features *features = s.impl->get_extension(s.self, DAL_CAP_FEATURES);
    const dal_batch x = fx_batch(l, 0, 21);
    float inputs[21 * 6], h[21 * 5], want[21 * 5], along[21 * 5], g[21 * 6];
    cr_assert_eq(space->embed(s.self, &x, inputs, &err), DAL_OK);
    cr_assert_eq(ext->features(s.self, inputs, 21, h, &err), DAL_OK);
    cr_assert_eq(features->features(s.self, &x, want, NULL, &err), DAL_OK);
    cr_assert_arr_eq(h, want, sizeof h);
    for (int i = 0; i < 21 * 5; i++)
        along[i] = (float)(i % 7) - 3;
    cr_assert_eq(ext->gradient(s.self, inputs, 21, along, g, &err), DAL_OK);
    check_slopes(&s, 1, inputs, along, g);
    fx_subject_drop(&s);
    fx_list_free(l);
}

typedef struct soft_problem {
    const float *x, *targets;
    int n, in, c;
} soft_problem;

static double soft_mean_loss(const void *ctx, const twin_net *net, const double *w)
{
    const soft_problem *p = ctx;
    double out[64], loss = 0;
    const double *values[8];
    for (int i = 0; i < p->n; i++) {
        twin_forward(net, w, p->x + i * p->in, out, values);
        for (int k = 0; k < p->c; k++)
            loss += (double)p->targets[i * p->c + k] * twin_cross_entropy(values[net->n_layers - 1], p->c, k);
    }
    return loss / p->n;
}

Test(nn_model, loss_gradients_match_finite_differences_for_soft_targets)
{
    fx_list *l = fx_clusters(37, 6, 3, DAL_F32, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    fx_subject s = fx_mlp_trained(&(fx_mlp){.hidden = {8, 5}, .n_hidden = 2, .epochs = 10}, l);
    const dal_nn_model *m = s.self;
    const twin_net net = twin_net_of((const int64_t[]){6, 8, 5, 3}, 3);
    const dal_model_perturb *ext = s.impl->get_extension(s.self, DAL_CAP_PERTURB);
    const dal_batch x = fx_batch(l, 0, 37);
    float targets[37 * 3], losses[37], g[256];
    double want[256], mean = 0, w[256];
    for (int i = 0; i < 37; i++)
        for (int k = 0; k < 3; k++)
            targets[i * 3 + k] = k == i % 3 ? 0.5f : 0.25f;
    cr_assert_eq(ext->loss_gradient(s.self, &x, targets, g, losses, &err), DAL_OK);
    const soft_problem p = {l->data, targets, 37, 6, 3};
    twin_gradient(soft_mean_loss, &p, &net, m->weights, want);
    cr_assert_eq(ext->n_weights(s.self), m->info.n_weights);
    for (int64_t i = 0; i < m->info.n_weights; i++)
        cr_assert_float_eq((double)g[i], want[i], 2e-6, "weight %d", (int)i);
    for (int i = 0; i < 37; i++)
        mean += (double)losses[i] / 37;
    twin_weights(&s, w);
    cr_assert_float_eq(mean, soft_mean_loss(&p, &net, w), 1e-6);
    fx_subject_drop(&s);
    fx_list_free(l);
}

Test(nn_model, copies_can_be_perturbed_without_the_original_noticing)
{
    fx_list *l = fx_clusters(20, 6, 3, DAL_F32, 0.3, 1);
    dal_error err = DAL_ERROR_INIT;
    fx_subject s = fx_mlp_trained(&(fx_mlp){.hidden = {8, 5}, .n_hidden = 2, .epochs = 5}, l);
    const dal_model_perturb *ext = s.impl->get_extension(s.self, DAL_CAP_PERTURB);
    void *copy = NULL;
    float *before = fx_predict(s.impl, s.self, l, 20);
    cr_assert_eq(ext->copy(s.self, &copy, &err), DAL_OK);
    float *same = fx_predict(s.impl, copy, l, 20);
    cr_assert_arr_eq(same, before, 60 * sizeof *same);
    int64_t next = 0;
    cr_assert_eq(ext->n_parameters(copy), 6);
    for (int64_t i = 0; i < 6; i++) { /* slices without gaps, weight and bias in turn */
        const dal_parameter *p = ext->parameter(copy, i);
        cr_assert_eq(p->offset, next);
        cr_assert_eq(p->role, i % 2 ? DAL_ROLE_BIAS : DAL_ROLE_WEIGHT);
        next += p->count;
    }
    cr_assert_eq(next, ext->n_weights(copy));
    cr_assert_str_eq(ext->parameter(copy, 2)->name, "hidden2.weight");
    cr_assert_str_eq(ext->parameter(copy, 5)->name, "output.bias");
    ext->weights(copy)[ext->parameter(copy, 5)->offset + 1] += 2;
    float *moved = fx_predict(s.impl, copy, l, 20), *after = fx_predict(s.impl, s.self, l, 20);
    cr_assert_arr_eq(after, before, 60 * sizeof *after);
    cr_assert_float_eq((double)moved[1], (double)before[1] + 2, 1e-5);
    cr_assert_eq(moved[0], before[0]);
    s.impl->destroy(copy);
    free(before), free(same), free(moved), free(after);
    fx_subject_drop(&s);
    fx_list_free(l);
}

/* ---- companions ------------------------------------------------------------------------------------- */

enum { L_N = 30, U_N = 50, L_IN = 6, L_C = 3, L_D = 5, L_S = 8 };

/* A companion whose loss is linear in all it sees, so that its gradient is known: the sum over rows of
 * 0.01 (k + 1) logit_k + 0.02 (j + 1) feature_j + 0.03 (j + 1) stage0_j, twice that for unlabelled rows. */
typedef struct probe {
    uint32_t wants;
    int begun, epochs_ended;
    int64_t steps, rows, more_rows;
    int64_t seen[U_N]; /* unlabelled ids, of the first step */
    int64_t n_unlabelled;
    dal_status fail;
} probe;

static double probe_logit(int64_t k)
{
    return 0.01 * (double)(k + 1);
}

static double probe_feature(int64_t j)
{
    return 0.02 * (double)(j + 1);
}

static double probe_stage(int64_t j)
{
    return 0.03 * (double)(j + 1);
}

static dal_status probe_begin(void *self, const dal_companion_setup *setup, dal_error *err)
{
    probe *p = self;
    (void)err;
    p->begun++;
    cr_assert(setup->c == L_C && setup->d == L_D && setup->n_train == L_N && setup->n_stages == 2);
    cr_assert(setup->stage_widths[0] == L_S && setup->stage_widths[1] == L_D);
    p->n_unlabelled = setup->n_unlabelled;
    return DAL_OK;
}

static void probe_half(const probe *p, const dal_companion_batch *b, double factor)
{
    cr_assert_eq(b->features != NULL, (p->wants & DAL_WANT_FEATURES) != 0);
    cr_assert_eq(b->stages != NULL, (p->wants & DAL_WANT_STAGES) != 0);
    for (int64_t i = 0; i < b->n; i++) {
        for (int64_t k = 0; k < L_C; k++) {
            cr_assert_eq(b->d_logits[i * L_C + k], 0.0f);
            b->d_logits[i * L_C + k] += (float)(factor * probe_logit(k));
        }
        for (int64_t j = 0; j < L_D && b->features; j++) {
            cr_assert_eq(b->d_features[i * L_D + j], 0.0f);
            if (b->stages)
                cr_assert_eq(b->stages[1][i * L_D + j], b->features[i * L_D + j]);
            b->d_features[i * L_D + j] += (float)(factor * probe_feature(j));
        }
        for (int64_t j = 0; j < L_S && b->stages; j++)
            b->d_stages[0][i * L_S + j] += (float)(factor * probe_stage(j));
    }
}

static dal_status probe_step(void *self, int64_t epoch, int64_t step, const dal_companion_batch *labelled,
                             const dal_companion_batch *unlabelled, dal_error *err)
{
    probe *p = self;
    cr_assert_eq(epoch, p->epochs_ended);
    cr_assert_geq(step, 0);
    p->steps++;
    p->rows += labelled->n;
    probe_half(p, labelled, 1);
    for (int64_t i = 0; i < labelled->n; i++) {
        const float *z = labelled->logits + i * L_C;
        double logits[L_C] = {(double)z[0], (double)z[1], (double)z[2]};
        cr_assert_eq(labelled->classes[i], (labelled->ids[i] - 1000) % L_C, "ids and classes go together");
        cr_assert_float_eq((double)labelled->losses[i], twin_cross_entropy(logits, L_C, labelled->classes[i]), 1e-5);
    }
    cr_assert_eq(unlabelled != NULL, (p->wants & DAL_WANT_UNLABELLED) != 0);
    if (unlabelled) {
        cr_assert_null(unlabelled->classes);
        cr_assert_null(unlabelled->losses);
        if (p->steps == 1)
            memcpy(p->seen, unlabelled->ids, (size_t)unlabelled->n * sizeof *p->seen);
        p->more_rows += unlabelled->n;
        probe_half(p, unlabelled, 2);
    }
    return p->fail ? dal_fail(err, p->fail, "probe", "enough") : DAL_OK;
}

static dal_status probe_epoch_end(void *self, int64_t epoch, dal_error *err)
{
    probe *p = self;
    (void)err;
    cr_assert_eq(epoch, p->epochs_ended++);
    return DAL_OK;
}

static dal_companion companion_of(probe *p)
{
    return (dal_companion){.struct_size = sizeof(dal_companion), .wants = p->wants, .self = p,
                           .begin = probe_begin, .step = probe_step, .epoch_end = probe_epoch_end};
}

/* All that two companions (one sees everything, one the logits alone) add to a full batch's loss. */
typedef struct probed {
    const fx_list *labelled, *unlabelled;
    const int64_t *more; /* [L_N] pool indices of the unlabelled rows */
} probed;

static double probe_loss(const void *ctx, const twin_net *net, const double *w)
{
    const probed *p = ctx;
    double loss = 0, out[64];
    const double *values[3];
    for (int i = 0; i < 2 * L_N; i++) {
        const float *x = i < L_N ? (const float *)p->labelled->data + i * L_IN
                                 : (const float *)p->unlabelled->data + (p->more[i - L_N] - 1000) * L_IN;
        const double factor = i < L_N ? 1 : 2;
        twin_forward(net, w, x, out, values);
        for (int k = 0; k < L_C; k++)
            loss += (factor + (i < L_N)) * probe_logit(k) * values[2][k];
        for (int j = 0; j < L_D; j++)
            loss += factor * probe_feature(j) * values[1][j];
        for (int j = 0; j < L_S; j++)
            loss += factor * probe_stage(j) * values[0][j];
    }
    return loss;
}

/* The weights after one plain full-batch step at rate 1. */
static void one_step(fx_subject *s, const dal_fit *f, float *after)
{
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report r = {.struct_size = sizeof r};
    const dal_nn_model *m = s->self;
    cr_assert_eq(s->impl->fit(s->self, f, &r, &err), DAL_OK, "%s", err.text);
    memcpy(after, m->weights, (size_t)m->info.n_weights * sizeof *after);
}

Test(nn_model, companions_gradients_reach_every_weight)
{
    fx_list *l = fx_clusters(L_N, L_IN, L_C, DAL_F32, 0.3, 1), *u = fx_clusters(U_N, L_IN, L_C, DAL_F32, 0.3, 2);
    const twin_net net = twin_net_of((const int64_t[]){L_IN, L_S, L_D, L_C}, 3);
    probe all = {.wants = DAL_WANT_FEATURES | DAL_WANT_STAGES | DAL_WANT_UNLABELLED}, logits = {.wants = 0};
    const dal_companion a = companion_of(&all), b = companion_of(&logits);
    const dal_companion *list[] = {&a, &b};
    const dal_fit alone = {.struct_size = sizeof alone, .train = &l->s};
    dal_fit along = alone;
    along.unlabelled = &u->s;
    along.companions = list;
    along.n_companions = 2;
    fx_subject s = fx_mlp_new(&(fx_mlp){.hidden = {L_S, L_D}, .n_hidden = 2, .epochs = 1, .plain_rate = 1}, &l->s.spec,
                              2);
    const dal_nn_model *m = s.self;
    float start[256], without[256], with[256];
    double want[256];
    one_step(&s, &alone, without);
    one_step(&s, &along, with);
    cr_assert_eq(all.begun, 1);
    cr_assert_eq(all.epochs_ended, 1);
    cr_assert(all.rows == L_N && all.more_rows == L_N && logits.more_rows == 0);
    const dal_rng stream = m->host->rng(m->host, "weights", 0);
    dal_nn_draw(m->nn, DAL_NN_GLOROT, &stream, start, NULL);
    const probed p = {l, u, all.seen};
    twin_gradient(probe_loss, &p, &net, start, want);
    int reached = 0;
    for (int64_t i = 0; i < m->info.n_weights; i++) {
        cr_assert_float_eq((double)without[i] - (double)with[i], want[i], 1e-5 * (1 + fabs(want[i])), "weight %d",
                           (int)i);
        reached += i < net.layer[0].bias && fabs(want[i]) > 1e-3;
    }
    cr_assert_gt(reached, 10, "the first layer must feel it");
    fx_subject_drop(&s);
    fx_list_free(l);
    fx_list_free(u);
}

Test(nn_model, companions_see_every_step_and_can_end_the_fit)
{
    fx_list *l = fx_clusters(L_N, L_IN, L_C, DAL_F32, 0.3, 1), *u = fx_clusters(7, L_IN, L_C, DAL_F32, 0.3, 2);
    dal_error err = DAL_ERROR_INIT;
    dal_fit_report r = {.struct_size = sizeof r};
    probe p = {.wants = DAL_WANT_UNLABELLED};
    const dal_companion a = companion_of(&p);
    const dal_companion *list[] = {&a};
    const dal_fit f = {.struct_size = sizeof f, .train = &l->s, .unlabelled = &u->s, .companions = list,
                       .n_companions = 1};
    const fx_mlp how = {.hidden = {L_S, L_D}, .n_hidden = 2, .epochs = 3, .batch_size = 8, .dropout = 0.2};
    fx_subject s = fx_mlp_new(&how, &l->s.spec, 2);
    cr_assert_eq(s.impl->fit(s.self, &f, &r, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(p.steps, 3 * 4);
    cr_assert(p.rows == 3 * L_N && p.more_rows == 3 * L_N, "7 unlabelled samples come round again");
    cr_assert_eq(p.n_unlabelled, 7);
    p = (probe){.wants = DAL_WANT_UNLABELLED, .fail = DAL_E_CONTRACT};
    fx_expect(&err, s.impl->fit(s.self, &f, &r, &err), DAL_E_CONTRACT, "probe", "enough");
    cr_assert_eq(p.steps, 1);
    fx_subject_drop(&s);
    fx_list_free(l);
    fx_list_free(u);
}

/* ---- saved -------------------------------------------------------------------------------------- */

Test(nn_model, gives_the_same_logits_in_numpy_once_saved)
{
    fx_list *l = fx_clusters(50, 6, 3, DAL_F32, 0.3, 1);
    fx_subject s = fx_mlp_trained(&(fx_mlp){.hidden = {8, 5}, .n_hidden = 2, .epochs = 5}, l);
    fx_numpy_agrees(s.impl, s.self, "mlp", l, 50);
    fx_subject_drop(&s);
    fx_list_free(l);
}
