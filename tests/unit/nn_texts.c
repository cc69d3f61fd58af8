/* Networks of texts: each layer against plain loops, gradients against finite differences, the same bits everywhere. */
#include "tests/unit/nn_texts.h"

#include <dal/npy.h>

static void read_as_twin(void)
{
    fixture f = make(1, 16, LONGEST, 0);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 0, NULL);
    run(&f, p, 0, 16);
    for (int64_t i = 0; i < 16; i++) {
        double logits[C];
        (kind == ATTENDS ? twin_text : kind == CONVOLVES ? twin_convolutions : kind == REMEMBERS ? twin_memories
         : twin_bags)(&f, i, logits);
        for (int c = 0; c < C; c++)
            cr_assert_float_eq((double)p->value[f.info.output][i * C + c], logits[c], 2e-5, "text %lld", (long long)i);
    }
    dal_nn_pass_free(p);
    drop(&f);
}

#define UP_TO(last, what)                            \
    {                                                \
        for (kind = ATTENDS; kind <= (last); kind++) \
            what();                                  \
    }
#define EACH(what) UP_TO(ADDS, what)

Test(nn_texts, reads_as_plain_loops_do)
EACH(read_as_twin)

Test(nn_texts, has_activations_to_the_last_digit)
{
    static dal_nn_value (*const layers[])(dal_nn *, dal_nn_value) = {dal_nn_gelu, dal_nn_tanh, dal_nn_sigmoid};
    enum { N = 4001 };
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    for (int k = 0; k < 3; k++) {
        dal_nn *nn = dal_nn_new(host);
        const dal_nn_value y = layers[k](nn, dal_nn_input(nn, N, 1, 1));
        dal_nn_output(nn, dal_nn_linear(nn, y, "output", 2, 0));
        cr_assert_eq(dal_nn_finish(nn, NULL), DAL_OK);
        float *weights = draw(2 * N, 1);
        dal_nn_pass *p = dal_nn_pass_new(nn, host, 0, NULL);
        for (int i = 0; i < N; i++) {
            const double x = (i - N / 2) / 160.0;
            p->value[0][i] = (float)(x * fabs(x)); /* many near 0, the last at 156 */
        }
        p->value[0][7] = NAN;
        cr_assert_eq(dal_nn_run(nn, weights, NULL, p, 1, 0, y, NULL), DAL_OK);
        cr_assert(isnan(p->value[y][7]));
        for (int i = 8; i < N; i++) {
            const double x = (double)p->value[0][i];
            const double want = k == 0 ? 0.5 * x * erfc(-x / sqrt(2)) : k == 1 ? tanh(x) : 1 / (1 + exp(-x));
            cr_assert_float_eq((double)p->value[y][i], want, 3e-7 * fmax(fabs(k ? want : x), 1e-3), "layer %d at %g",
                               k, x);
        }
        dal_nn_pass_free(p);
        dal_nn_free(nn);
        free(weights);
    }
    dal_runtime_free(rt);
}

/* The masks are those of the streams of dal/rng.h, number by number. */
static dal_status look_at_mask(void *ctx, const dal_nn_step_view *view)
{
    const fixture *f = ctx;
    const dal_rng step = dal_rng_from_key(99), layer = dal_rng_at(&step, 0);
    for (int64_t i = 0; i < view->n; i++) {
        dal_rng r = dal_rng_at(&layer, (uint64_t)i);
        uint32_t bits = 0;
        for (int64_t k = 0; k < f->info.n_inputs; k++, bits >>= 16) {
            bits = k % 2 ? bits : dal_rng_u32(&r);
            const int keep = (bits & 0xffffu) >= (uint32_t)(0.3 * 65536);
            cr_assert_eq(view->value[f->info.features][i * f->info.n_inputs + k] != 0, keep, "%lld %lld", (long long)i,
                         (long long)k);
        }
    }
    return DAL_OK;
}

static dal_status fill_ones(void *ctx, int64_t first, int64_t count, float *x)
{
    const fixture *f = ctx;
    (void)first;
    for (int64_t i = 0; i < count * f->info.n_inputs; i++)
        x[i] = 1;
    return DAL_OK;
}

Test(nn_texts, draws_masks_from_the_streams_of_samples)
{
    fixture f = {.rt = fx_runtime(2, 1), .n = 3};
    int32_t classes[3] = {0, 1, 0};
    f.host = dal_runtime_host(f.rt, "nn");
    f.nn = dal_nn_new(f.host);
    dal_nn_value x = dal_nn_dropout(f.nn, dal_nn_input(f.nn, 301, 1, 1), 0.3);
    dal_nn_features(f.nn, x);
    dal_nn_output(f.nn, dal_nn_linear(f.nn, x, "output", 2, 0));
    cr_assert_eq(dal_nn_finish(f.nn, NULL), DAL_OK);
    dal_nn_describe(f.nn, &f.info);
    f.weights = draw(f.info.n_weights, 1);
    f.classes = classes;
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, 3, NULL);
    dal_nn_batch b = batch_of(&f);
    dal_nn_result r = {.struct_size = sizeof r};
    b.fill = fill_ones;
    b.between = look_at_mask;
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, NULL), DAL_OK);
    dal_nn_trainer_free(t);
    f.classes = NULL;
    drop(&f);
}

/* ---- gradients ----------------------------------------------------------------------------------- */

static double loss_at(fixture *f, dal_nn_trainer *t)
{
    const dal_nn_batch b = batch_of(f);
    dal_nn_result r = {.struct_size = sizeof r};
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, NULL), DAL_OK);
    return r.loss / (double)f->n;
}

static void differ_while_training(void)
{
    fixture f = make(2, 11, LONGEST, 0.25);
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, f.n, NULL);
    loss_at(&f, t);
    float *g = malloc((size_t)f.info.n_weights * sizeof *g);
    memcpy(g, dal_nn_gradient(t), (size_t)f.info.n_weights * sizeof *g);
    int off = 0, moved = 0;
    for (int64_t i = 0; i < f.info.n_weights; i++) {
        const float w = f.weights[i], e = 3e-3f;
        f.weights[i] = w + e;
        const double up = loss_at(&f, t);
        f.weights[i] = w - e;
        const double want = (up - loss_at(&f, t)) / (2 * (double)e);
        f.weights[i] = w;
        off += fabs(want - (double)g[i]) > 1e-3 + 0.03 * fabs(want); /* a ReLU may change its mind */
        moved += fabs(want) > 2e-3;
    }
    cr_assert_leq(off, (int)(f.info.n_weights / 100), "%d of %lld gradients are off", off, (long long)f.info.n_weights);
    cr_assert_gt(moved, (int)(f.info.n_weights / (kind == REMEMBERS ? 6 : 3)), "%d of %lld move the loss", moved,
                 (long long)f.info.n_weights);
    free(g);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn_texts, has_the_gradient_of_finite_differences_while_training)
EACH(differ_while_training)

/* sum_c output_c q_c of the first three texts */
static double answer(fixture *f, dal_nn_pass *p, int64_t from, const float *q)
{
    double sum = 0;
    cr_assert_eq(dal_nn_run(f->nn, f->weights, NULL, p, 3, (dal_nn_value)from, f->info.output, NULL), DAL_OK);
    for (int c = 0; c < 3 * C; c++)
        sum += (double)p->value[f->info.output][c] * (double)q[c];
    return sum;
}

static void differ_in_passes(void)
{
    fixture f = make(1, 3, LONGEST, 0);
    const float q[3 * C] = {1, -2, 0.5f, 0.3f, 1, 1, -1, 0.2f, 2};
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 1, NULL);
    float *g = calloc((size_t)f.info.n_weights, sizeof *g), *d = malloc(3 * LONGEST * WIDTH * sizeof *d);
    int off = 0;
    const int64_t embedded = WIDTH * (1 + 5 + 9); /* numbers of the three texts' tokens */
    fill(&f, 0, 3, p->value[0]);
    answer(&f, p, 0, q);
    memcpy(p->d[f.info.output], q, sizeof q);
    cr_assert_eq(dal_nn_run_back(f.nn, f.weights, NULL, p, 3, g), DAL_OK);
    memcpy(d, p->d[1], (size_t)embedded * sizeof *d);
    for (int64_t i = 0; i < embedded + f.info.n_weights; i++) {
        const int is_input = i < embedded;
        float *v = is_input ? &p->value[1][i] : &f.weights[i - embedded];
        const double have = is_input ? (double)d[i] : (double)g[i - embedded];
        const float keep = *v, e = 5e-4f;
        *v = keep + e;
        const double up = answer(&f, p, is_input ? 2 : 0, q);
        *v = keep - e;
        const double want = (up - answer(&f, p, is_input ? 2 : 0, q)) / (2 * (double)e);
        *v = keep;
        off += fabs(want - have) > 4e-3 + 0.03 * fabs(want);
        if (i == embedded - 1)
            answer(&f, p, 0, q);
    }
    cr_assert_leq(off, (int)((embedded + f.info.n_weights) / 25), "%d gradients are off", off);
    free(g);
    free(d);
    dal_nn_pass_free(p);
    drop(&f);
}

Test(nn_texts, has_the_gradient_of_finite_differences_in_passes)
UP_TO(REMEMBERS, differ_in_passes) /* bags have no gradient by their words */

/* ---- the same bits ------------------------------------------------------------------------------- */

static uint64_t train_digest(int threads, int64_t n, int64_t longest)
{
    fixture f = make(threads, n, longest, 0.2);
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = 0.01, .beta1 = 0.9,
                              .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 1e-3, .decoupled = 1};
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, n, NULL);
    for (int step = 0; step < 4; step++) {
        const dal_nn_batch b = batch_of(&f);
        dal_nn_result r = {.struct_size = sizeof r};
        cr_assert_eq(dal_nn_train(t, &rule, &b, &r, NULL), DAL_OK);
    }
    const uint64_t h = dal_hash64(0, f.weights, (size_t)f.info.n_weights * sizeof(float));
    dal_nn_trainer_free(t);
    drop(&f);
    return h;
}

static void train_everywhere(void)
{
    for (int64_t n = 1; n <= 29; n += 7) {
        const uint64_t one = train_digest(1, n, LONGEST);
        cr_assert_eq(train_digest(2, n, LONGEST), one);
        cr_assert_eq(train_digest(5, n, LONGEST), one);
        cr_assert_eq(train_digest(2, n, LONGEST + 20), one);
    }
}

Test(nn_texts, trains_to_the_same_bits_with_any_number_of_threads_and_any_longest)
EACH(train_everywhere)

static void place_texts(void)
{
    fixture f = make(1, DAL_NN_TILE, LONGEST, 0), wide = make(1, DAL_NN_TILE, LONGEST + 17, 0);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 1, NULL), *q = dal_nn_pass_new(wide.nn, wide.host, 0, NULL);
    float together[C * DAL_NN_TILE], d[DAL_NN_TILE][LONGEST * WIDTH];
    int64_t at = 0, tokens[DAL_NN_TILE];
    run(&f, p, 0, DAL_NN_TILE);
    memcpy(together, p->value[f.info.output], sizeof together);
    for (int i = 0; i < C * DAL_NN_TILE; i++)
        p->d[f.info.output][i] = (float)(i % C) - 1;
    cr_assert_eq(dal_nn_run_back(f.nn, f.weights, NULL, p, DAL_NN_TILE, NULL), DAL_OK);
    for (int64_t i = 0; i < DAL_NN_TILE; at += tokens[i++] * WIDTH) {
        for (tokens[i] = 0; tokens[i] < LONGEST && f.ids[i * LONGEST + tokens[i]] >= 0; tokens[i]++)
            ;
        memcpy(d[i], p->d[1] + at, (size_t)(tokens[i] * WIDTH) * sizeof(float));
    }
    run(&wide, q, 0, DAL_NN_TILE);
    cr_assert_eq(memcmp(q->value[wide.info.output], together, sizeof together), 0, "another longest");
    for (int64_t i = 0; i < DAL_NN_TILE; i++) {
        run(&f, p, i, DAL_NN_TILE - i < 3 ? DAL_NN_TILE - i : 3);
        cr_assert_eq(memcmp(p->value[f.info.output], together + C * i, C * sizeof(float)), 0, "text %lld",
                     (long long)i);
        for (int c = 0; c < 3 * C; c++)
            p->d[f.info.output][c] = (float)(c % C) - 1;
        cr_assert_eq(dal_nn_run_back(f.nn, f.weights, NULL, p, DAL_NN_TILE - i < 3 ? DAL_NN_TILE - i : 3, NULL),
                     DAL_OK);
        cr_assert_eq(memcmp(p->d[1], d[i], (size_t)(tokens[i] * WIDTH) * sizeof(float)), 0, "gradient of text %lld",
                     (long long)i);
    }
    dal_nn_pass_free(p);
    dal_nn_pass_free(q);
    drop(&f);
    drop(&wide);
}

Test(nn_texts, gives_a_text_the_same_bits_in_any_place)
UP_TO(REMEMBERS, place_texts)

/* ---- behaviour ----------------------------------------------------------------------------------- */

static void learn_by_heart(void)
{
    fixture f = make(2, 24, LONGEST, 0);
    const dal_nn_rule rule = {.struct_size = sizeof rule, .optimizer = DAL_NN_ADAM, .learning_rate = 0.01, .beta1 = 0.9,
                              .beta2 = 0.999, .epsilon = 1e-8};
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, f.n, NULL);
    dal_nn_result r = {.struct_size = sizeof r};
    for (int step = 0; step < (kind == ADDS ? 600 : 200); step++) {
        const dal_nn_batch b = batch_of(&f);
        cr_assert_eq(dal_nn_train(t, &rule, &b, &r, NULL), DAL_OK);
    }
    cr_assert_eq(r.hits, 24, "%lld of 24", (long long)r.hits);
    cr_assert_lt(r.loss / 24, 0.05);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn_texts, learns_a_batch_by_heart)
EACH(learn_by_heart)

Test(nn_texts, names_the_id_that_is_none)
{
    fixture f = make(2, 9, LONGEST, 0);
    dal_error err = DAL_ERROR_INIT;
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, f.n, NULL);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 0, NULL);
    dal_nn_batch b = batch_of(&f);
    dal_nn_result r = {.struct_size = sizeof r};
    f.ids[4 * LONGEST + 1] = VOCABULARY;
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "token 1 of a text has id 13; the vocabulary of this network has 0..12"), "%s",
              err.text);
    fill(&f, 4, 1, p->value[0]);
    cr_assert_eq(dal_nn_run(f.nn, f.weights, NULL, p, 1, 0, f.info.output, NULL), DAL_E_INVALID);
    f.ids[4 * LONGEST + 1] = -7;
    cr_assert_eq(dal_nn_check_tokens(f.nn, f.ids + 4 * LONGEST, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "has id -7"), "%s", err.text);
    f.ids[4 * LONGEST + 1] = DAL_NN_NO_TOKEN;
    f.ids[4 * LONGEST + 2] = 0;
    cr_assert_eq(dal_nn_check_tokens(f.nn, f.ids + 4 * LONGEST, &err), DAL_E_INVALID);
    cr_assert(strstr(err.text, "token 2 of a text is 0 behind its end at 1"), "%s", err.text);
    f.ids[4 * LONGEST + 2] = DAL_NN_NO_TOKEN;
    for (int i = 3; i < LONGEST; i++)
        f.ids[4 * LONGEST + i] = DAL_NN_NO_TOKEN;
    cr_assert_eq(dal_nn_check_tokens(f.nn, f.ids + 4 * LONGEST, &err), DAL_OK);
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, &err), DAL_OK);
    dal_nn_pass_free(p);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn_texts, masks_tokens_by_hand_in_passes)
{
    fixture f = make(1, 3, LONGEST, 0.5);
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 0, NULL);
    float mask[LONGEST * WIDTH];
    const float *masks[1] = {mask};
    const dal_nn_value v = dal_nn_dropout_value(f.nn, 0);
    for (int i = 0; i < LONGEST * WIDTH; i++)
        mask[i] = (float)i;
    fill(&f, 0, 3, p->value[0]);
    cr_assert_eq(dal_nn_run(f.nn, f.weights, NULL, p, 3, 0, v, masks), DAL_OK);
    for (int text = 0, at = 0; text < 3; at += (1 + 4 * text) * WIDTH, text++)
        for (int i = 0; i < (1 + 4 * text) * WIDTH; i++)
            cr_assert(p->value[v][at + i] == (float)i * p->value[v - 1][at + i]);
    dal_nn_pass_free(p);
    drop(&f);
}

Test(nn_texts, says_which_layer_does_not_fit)
{
    static const char *const words[] = {"three times a multiple of 5 heads", "10 positions, the first 4", "no tokens",
                                        "takes tokens", "reads the ids", "eps is 2", "dropout is 1",
                                        "not maps of 3 x 3", "a kernel of 0 tokens", "takes vectors",
                                        "its directions are 4", "0 numbers a direction of 12"};
    dal_runtime *rt = fx_runtime(1, 1);
    const dal_host *host = dal_runtime_host(rt, "nn");
    for (int fault = 0; fault < 12; fault++) {
        dal_error err = DAL_ERROR_INIT;
        dal_nn *nn = dal_nn_new(host);
        const dal_nn_embedding_shape shape = {.width = 12, .positions = fault == 1 ? 10 : 0, .first_position = 4};
        dal_nn_value x = fault == 7 || fault == 3 ? dal_nn_input(nn, 12, 3, 3)
                                                  : dal_nn_embedding(nn, dal_nn_tokens(nn, 7, 5), "e", &shape);
        x = fault == 0 || fault == 6 ? dal_nn_attention(nn, x, fault == 6 ? 2 : 5, fault == 6) : x;
        x = fault == 2 ? dal_nn_global_pool(nn, x) : x;
        x = fault == 4 ? dal_nn_add(nn, dal_nn_token_mean(nn, x), dal_nn_linear(nn, 0, "l", 12, 0), 0) : x;
        x = fault == 5 || fault == 7 ? dal_nn_layer_norm(nn, x, "n", fault == 5 ? 2 : 1e-5) : x;
        x = fault == 8 ? dal_nn_token_conv(nn, x, "c", 4, 0, 0) : x;
        x = fault >= 10 ? dal_nn_lstm(nn, x, "m", 11 - fault, fault == 10 ? 4 : DAL_NN_FORWARDS) : x;
        x = fault == 9 ? dal_nn_join(nn, x, x) : x;
        if (fault != 2 && fault != 4 && fault != 7)
            x = dal_nn_token_mean(nn, x);
        dal_nn_output(nn, dal_nn_linear(nn, x, "o", 2, 0));
        cr_assert_eq(dal_nn_finish(nn, &err), DAL_E_INVALID, "%d", fault);
        cr_assert(strstr(err.text, words[fault]), "%d: %s", fault, err.text);
        dal_nn_free(nn);
    }
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
}

Test(nn_texts, starts_from_the_weights_of_each_kind)
{
    fixture f = make(2, 1, LONGEST, 0);
    const dal_rng r = dal_rng_from_key(3);
    dal_nn_draw(f.nn, DAL_NN_BERT, &r, f.weights, NULL);
    double square = 0;
    for (int i = 0; i < VOCABULARY * WIDTH; i++)
        square += pow((double)parameter(&f, "embedding.words")[i], 2) / (VOCABULARY * WIDTH);
    cr_assert_float_eq(sqrt(square), 0.02, 0.004);
    cr_assert(parameter(&f, "wide.bias")[3] == 0 && parameter(&f, "norm1.weight")[3] == 1 &&
              parameter(&f, "norm1.bias")[3] == 0);
    dal_nn_draw(f.nn, DAL_NN_UNIFORM, &r, f.weights, NULL);
    for (int i = 0; i < 40 * WIDTH; i++)
        cr_assert_lt(fabs((double)parameter(&f, "embedding.positions")[i]), 0.25);
    cr_assert(parameter(&f, "wide.bias")[3] != 0);
    cr_assert_lt(fabs((double)parameter(&f, "wide.weight")[3]), 1 / sqrt(WIDTH));
    drop(&f);
}

/* ---- LSTM --------------------------------------------------------------------------------------- */

Test(nn_texts, names_the_slices_of_an_lstm_as_pytorch_does)
{
    static const struct {
        const char *name, *what;
    } all[] = {{"both.weight_ih_l0", "F32 [20, 12]"}, {"both.weight_hh_l0_reverse", "F32 [20, 5]"},
               {"both.bias_hh_l0_reverse", "F32 [20]"}, {"back.weight_ih_l0_reverse", "F32 [28, 10]"},
               {"on.weight_hh_l0", "F32 [12, 3]"}};
    char text[160];
    kind = REMEMBERS;
    fixture f = make(1, 1, LONGEST, 0);
    const dal_rng r = dal_rng_from_key(3);
    int found = 0;
    for (int64_t i = 0; i < dal_nn_tensors(f.nn); i++)
        for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
            dal_tensor t;
            dal_nn_tensor(f.nn, i, f.weights, NULL, &t);
            if (strcmp(t.name, all[k].name) != 0)
                continue;
            cr_assert_str_eq(dal_tensor_describe(&t, text), all[k].what);
            found++;
        }
    cr_assert_eq(found, 5);
    dal_nn_draw(f.nn, DAL_NN_BERT, &r, f.weights, NULL);
    double most = 0;
    for (int i = 0; i < 20 * 12; i++)
        most = fmax(most, fabs((double)parameter(&f, "both.weight_ih_l0")[i]));
    cr_assert(most < 1 / sqrt(5) && most > 0.9 / sqrt(5), "%g", most);
    drop(&f);
}

/* Texts of a shard go step by step together; more of them than go at once give what each gives alone. */
Test(nn_texts, remembers_alike_in_groups_of_any_size)
{
    enum { MANY = 1100 };
    kind = REMEMBERS;
    fixture f = make(2, MANY, LONGEST, 0);
    dal_nn_trainer *t = dal_nn_trainer_new(f.nn, f.host, f.weights, NULL, MANY, NULL);
    double loss = 0;
    float *g = one_by_one(&f, MANY, &loss);
    dal_nn_result r = {.struct_size = sizeof r};
    const dal_nn_batch b = batch_of(&f);
    cr_assert_eq(dal_nn_train(t, NULL, &b, &r, NULL), DAL_OK);
    cr_assert_float_eq(r.loss, loss, 1e-3 * loss);
    for (int64_t i = 0; i < f.info.n_weights; i++)
        cr_assert_float_eq((double)dal_nn_gradient(t)[i], (double)g[i] / MANY, 1e-5, "%lld", (long long)i);
    free(g);
    dal_nn_trainer_free(t);
    drop(&f);
}

Test(nn_texts, remembers_as_pytorch_does)
{
    if (system("/usr/bin/python3 -c 'import torch' 2>/dev/null") != 0) {
        fprintf(stderr, "skipped: no torch\n");
        return;
    }
    kind = REMEMBERS;
    fixture f = make(1, 16, LONGEST, 0);
    const char *source = getenv("DAL_SRCDIR"), *weights = fx_path("w.safetensors"), *ids = fx_path("i.npy"),
        *z = fx_path("z.npy");
    dal_tensor all[32];
    char command[1024];
    dal_nn_pass *p = dal_nn_pass_new(f.nn, f.host, 0, NULL);
    const int64_t n = dal_nn_tensors(f.nn);
    for (int64_t i = 0; i < n; i++)
        dal_nn_tensor(f.nn, i, f.weights, NULL, &all[i]);
    run(&f, p, 0, 16);
    cr_assert_eq(dal_safetensors_write(weights, all, n, NULL, 0, NULL), DAL_OK);
    cr_assert_eq(dal_npy_write(ids, DAL_NPY_I32, 2, (const int64_t[]){16, LONGEST}, f.ids, NULL), DAL_OK);
    cr_assert_eq(dal_npy_write(z, DAL_NPY_F32, 2, (const int64_t[]){16, C}, p->value[f.info.output], NULL), DAL_OK);
    snprintf(command, sizeof command, "/usr/bin/python3 '%s/tests/unit/lstm_twin.py' '%s' '%s' '%s'",
             source ? source : "..", weights, ids, z);
    cr_assert_eq(system(command), 0, "%s", command);
    dal_nn_pass_free(p);
    drop(&f);
}
