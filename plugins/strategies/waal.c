/* waal: what the model is unsure of and a critic takes for unlabelled.
 *
 * Shui, Zhou, Gagne, Wang, "Deep active learning: unified and principled method for query and training", AISTATS 2020.
 * While the model trains, each step brings as many unlabelled samples as labelled ones. A critic g on the features F(x)
 * learns to tell them apart (critic.h), and the features learn, beside the classes, to be alike for it:
 *
 *     model    min  cross-entropy + alpha (mean g(F(x_U)) - gamma mean g(F(x_L)))             the critic stays
 *     critic   max  mean g(F(x_U)) - gamma mean g(F(x_L)) - eta mean (||grad g(x~)|| - 1)^2   the features stay
 *
 * so that alpha times the Wasserstein distance of the two sets is part of what is trained. A step first adds the
 * critic's gradient to the model's, then moves the critic, all on the one forward pass there is. Asked for are the
 * smallest of
 *
 *     1/2 ||ln p||_2 + 1/2 ||ln p||_1 - weight g(F(x)),      ln p no less than ln 1e-12
 *
 * whose norms are smallest where all classes are as likely as each other.
 *
 * Differs. The authors' code and DeepAL+ turn the sign of the penalty in the critic's step, so that the gradient is
 * driven away from 1, and DeepAL+ bounds g by a sigmoid; here the penalty is subtracted and g is unbounded. Theirs also
 * puts the penalty, five times alpha, into the model's loss. gamma is n_l / n (labelled over unlabelled) in the
 * authors' code, 1 in DeepAL+ and here: with any other, adding a constant to g gains without end, and what is climbed
 * is no distance. 0 asks for n_l / n. Theirs repeats labelled samples until the unlabelled ones are through; here an
 * epoch is the labelled samples once, with other unlabelled ones in each. The critic is drawn anew in each round, as
 * theirs is; `keep` lets it go on, as is right where the model does.
 *
 * With lenet and 300 to 1,200 labels of Fashion-MNIST it does worse than `random`: 0.775 against 0.804 (means of 2
 * seeds); the paper's networks and budgets were not tried.
 *
 * Needs outputs, features and a model that trains along. A step takes O(batch h (d + h)) beside the model's own; a
 * selection O(n (c + h (d + h))) and one critic.
 */
#include <dal/select.h>

#include <math.h>

#include "critic.h"

#define LEAST_LOG (-27.631021115928547) /* ln 1e-12 */
#define MAGIC 0x6c616177u               /* of a saved state */
#define MOST_FEATURES (1 << 24)         /* that a saved state is believed */

typedef struct options {
    double alpha, gamma, eta, weight;
    double critic_rate;
    int64_t critic_steps, hidden;
    int32_t keep;
} options;

typedef struct waal {
    const dal_host *host;
    const options *opt;
    dal_companion companion;
    critic *g; /* NULL before the first fit */
    int64_t round, n_unlabelled;
    double gamma;
} waal;

/* ---- training along ------------------------------------------------------------------------------- */

static dal_status take_critic(waal *w, int64_t d, int64_t h, dal_error *err)
{
    if (w->g && w->g->d == d && w->g->h == h)
        return DAL_OK;
    critic_free(w->g);
    return critic_new(w->host, d, h, &w->g, err);
}

static dal_status begin(void *self, const dal_companion_setup *setup, dal_error *err)
{
    waal *w = self;
    if (setup->d < 1)
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "waal's critic looks at features, and the model has none");
    w->round = setup->round;
    w->n_unlabelled = DAL_HAS(dal_companion_setup, setup, n_unlabelled) ? setup->n_unlabelled : 0;
    w->gamma = w->opt->gamma;
    if (w->gamma == 0 && w->n_unlabelled > 0)
        w->gamma = (double)setup->n_train / (double)w->n_unlabelled;
    const dal_rng stream = w->host->rng(w->host, "critic", w->round);
    const int goes_on = w->opt->keep && w->g && w->g->steps > 0 && w->g->d == setup->d;
    const dal_status st = take_critic(w, setup->d, w->opt->hidden, err);
    if (st == DAL_OK && goes_on)
        critic_rest(w->g);
    else if (st == DAL_OK)
        critic_draw(w->g, &stream);
    return st;
}

static dal_status check_halves(const waal *w, const dal_companion_batch *l, const dal_companion_batch *u,
                               dal_error *err)
{
    if (!u && w->n_unlabelled > 0)
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "waal's critic compares labelled and unlabelled samples, and the model trains on labelled ones "
                        "alone");
    if (!l->features || (u && (!u->features || !u->d_features || !l->d_features)))
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "waal's critic looks at features, and the model does not show them");
    if (u && w->gamma == 0)
        return dal_fail(err, DAL_E_INVALID, "gamma",
                        "the model does not tell how many unlabelled samples there are; expected a gamma above 0");
    return DAL_OK;
}

/* The critic's part of the model's loss: alpha (mean g(U) - gamma mean g(L)). */
static void pull_features(const waal *w, const dal_companion_batch *l, const dal_companion_batch *u)
{
    const int64_t d = w->g->d;
    const float by_u = (float)(w->opt->alpha / (double)u->n), by_l = (float)(-w->opt->alpha * w->gamma / (double)l->n);
    const float *slope = w->g->v0;
    for (int64_t i = 0; i < u->n * d; i++)
        u->d_features[i] += by_u * slope[i];
    for (int64_t i = 0; i < l->n * d; i++)
        l->d_features[i] += by_l * slope[u->n * d + i];
}

static dal_status step(void *self, int64_t epoch, int64_t number, const dal_companion_batch *labelled,
                       const dal_companion_batch *unlabelled, dal_error *err)
{
    waal *w = self;
    dal_status st = check_halves(w, labelled, unlabelled, err);
    if (st != DAL_OK || !unlabelled || unlabelled->n < 1 || labelled->n < 1) /* the pool is empty */
        return st;
    const critic_batch batch = {unlabelled->features, labelled->features, unlabelled->n, labelled->n, w->gamma,
                                w->opt->eta};
    dal_rng stream = w->host->rng(w->host, "between", w->round);
    stream = dal_rng_at(&stream, (uint64_t)epoch);
    stream = dal_rng_at(&stream, (uint64_t)number);
    for (int64_t k = 0; st == DAL_OK && k < w->opt->critic_steps; k++) {
        const dal_rng draw = dal_rng_at(&stream, (uint64_t)k);
        double loss;
        st = critic_look(w->g, &batch, &draw, &loss, err);
        if (st == DAL_OK && !isfinite(loss))
            st = dal_fail(err, DAL_E_DIVERGED, "critic_rate",
                          "the critic's loss became no number in epoch %lld: try a smaller critic_rate, or a smaller "
                          "learning_rate of the model",
                          (long long)epoch + 1);
        if (st == DAL_OK && k == 0)
            pull_features(w, labelled, unlabelled);
        if (st == DAL_OK)
            st = critic_move(w->g, w->opt->critic_rate, err);
    }
    return st;
}

static const dal_companion *waal_companion(void *self)
{
    return &((waal *)self)->companion;
}

/* ---- scores --------------------------------------------------------------------------------------- */

/* 1/2 ||ln p||_2 + 1/2 ||ln p||_1 of a row of logits or probabilities; NaN where one is in it. */
static double certainty(const float *row, int64_t c, uint32_t kind)
{
    double top = (double)row[0], sum = 0, squares = 0, absolute = 0;
    for (int64_t k = 0; kind == DAL_LOGITS && k < c; k++)
        top = (double)row[k] > top ? (double)row[k] : top;
    for (int64_t k = 0; kind == DAL_LOGITS && k < c; k++)
        sum += exp((double)row[k] - top);
    const double all = log(sum); /* unused of probabilities */
    for (int64_t k = 0; k < c; k++) {
        const double x = kind == DAL_LOGITS ? (double)row[k] - top - all : log((double)row[k]);
        const double kept = x < LEAST_LOG ? LEAST_LOG : x;
        squares += kept * kept;
        absolute += fabs(kept);
    }
    return 0.5 * sqrt(squares) + 0.5 * absolute;
}

static dal_status waal_prepare(void *self, const dal_view *view, dal_error *err)
{
    waal *w = self;
    (void)view;
    if (!w->g || w->g->steps == 0)
        return dal_fail(err, DAL_E_UNSUPPORTED, "",
                        "waal's critic has learned nothing: no model has been trained along with it on labelled and "
                        "unlabelled samples");
    return critic_ready(w->g, err);
}

static dal_status waal_score(void *self, const dal_block *block, double *out, dal_error *err)
{
    const waal *w = self;
    dal_outputs o;
    dal_matrix f;
    dal_status st = block->outputs(block, &o, err);
    if (st == DAL_OK)
        st = block->features(block, &f, err);
    if (st == DAL_OK && f.cols != w->g->d)
        st = dal_fail(err, DAL_E_INVALID, "", "features are %lld wide, and waal's critic was trained on %lld",
                      (long long)f.cols, (long long)w->g->d);
    if (st == DAL_OK)
        st = critic_values(w->g, f.data, f.stride, block->n, out, err);
    for (int64_t i = 0; st == DAL_OK && i < block->n; i++)
        out[i] = certainty(o.values.data + i * o.values.stride, o.values.cols, o.kind) - w->opt->weight * out[i];
    return st;
}

/* ---- life and state ------------------------------------------------------------------------------- */

static dal_status waal_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    waal *w = host->alloc(host, sizeof *w, 0);
    if (!w)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the strategy");
    *w = (waal){.host = host, .opt = opt};
    w->companion = (dal_companion){.struct_size = sizeof w->companion,
                                   .wants = DAL_WANT_FEATURES | DAL_WANT_UNLABELLED,
                                   .self = w,
                                   .begin = begin,
                                   .step = step};
    *self = w;
    return DAL_OK;
}

static void waal_destroy(void *self)
{
    waal *w = self;
    if (!w)
        return;
    critic_free(w->g);
    w->host->free(w->host, w);
}

/* The critic as it is, then its weights; d 0: there is none. */
typedef struct saved {
    uint32_t magic, reserved;
    int64_t d, h, steps;
} saved;

static dal_status waal_save(void *self, const dal_writer *out, dal_error *err)
{
    const waal *w = self;
    const critic *g = w->g;
    const saved head = {MAGIC, 0, g ? g->d : 0, g ? g->h : 0, g ? g->steps : 0};
    const dal_status st = out->write(out, &head, sizeof head, err);
    return st == DAL_OK && g ? out->write(out, g->weights, (size_t)g->info.n_weights * sizeof *g->weights, err) : st;
}

static dal_status read_all(const dal_reader *in, void *to, size_t n, dal_error *err)
{
    size_t got = 0;
    const dal_status st = in->read(in, to, n, &got, err);
    return st == DAL_OK && got < n ? dal_fail(err, DAL_E_FORMAT, "", "the saved critic of waal breaks off") : st;
}

static dal_status waal_load(void *self, const dal_reader *in, dal_error *err)
{
    waal *w = self;
    saved head;
    dal_status st = read_all(in, &head, sizeof head, err);
    if (st == DAL_OK && (head.magic != MAGIC || head.d < 0 || head.d > MOST_FEATURES || head.steps < 0 ||
                         (head.d > 0 && head.h != w->opt->hidden)))
        st = dal_fail(err, DAL_E_FORMAT, "", "the saved state is no critic of waal with %lld hidden units",
                      (long long)w->opt->hidden);
    if (st != DAL_OK || head.d == 0)
        return st;
    st = take_critic(w, head.d, head.h, err);
    if (st != DAL_OK)
        return st;
    critic *g = w->g;
    const dal_rng none = w->host->rng(w->host, "critic", 0);
    critic_draw(g, &none);
    st = read_all(in, g->weights, (size_t)g->info.n_weights * sizeof *g->weights, err);
    for (int64_t i = 0; st == DAL_OK && i < g->info.n_weights; i++)
        if (!isfinite(g->weights[i]))
            st = dal_fail(err, DAL_E_FORMAT, "", "a weight of the saved critic of waal is no number");
    g->steps = st == DAL_OK ? head.steps : 0;
    return st;
}

/* ---- what the module offers ------------------------------------------------------------------------- */

static void waal_cost(void *self, const void *opt, const dal_problem *problem, dal_cost *out)
{
    const options *o = self ? ((const waal *)self)->opt : opt;
    const double n = (double)problem->n, c = (double)problem->c, d = (double)problem->d, h = (double)o->hidden;
    out->bytes = 16 * (double)problem->n_query + 5 * 4 * h * (d + h + 8) + 64 * DAL_NN_TILE * (d + 2 * h) * 8 + 1e6;
    out->flops = n * (20 * c + 2 * h * (d + h));
    snprintf(out->formula, sizeof out->formula, "O(n (c + h (d + h))) time, O(b + h (d + h)) memory");
}

static const dal_strategy_impl waal_impl = {
    .struct_size = sizeof waal_impl,
    .order = DAL_SMALLEST_FIRST,
    .create = waal_create,
    .destroy = waal_destroy,
    .prepare = waal_prepare,
    .score = waal_score,
    .save = waal_save,
    .load = waal_load,
    .companion = waal_companion,
    .cost = waal_cost,
};

#define PARAMS(P, T)                                                                                             \
    P(T, alpha, F64, "0.001", "0..", "", "of the critic in the model's loss")                                    \
    P(T, gamma, F64, "1", "0..", "", "factor of the labelled samples' mean; 0: labelled over unlabelled")        \
    P(T, eta, F64, "10", "0..", "", "of the penalty that keeps the critic's gradient at 1")                      \
    P(T, weight, F64, "10", "0..", "", "of the critic in the score")                                             \
    P(T, critic_rate, F64, "0.001", "(0..1]", "", "the critic's learning rate (Adam)")                           \
    P(T, critic_steps, I64, "1", "1..1000", "", "steps of the critic in each of the model's")                    \
    P(T, hidden, I64, "512", "1..16384", "units", "of each of the critic's two hidden layers")                   \
    P(T, keep, BOOL, "false", "", "", "the critic goes on from round to round, not from fresh weights")
#define COMPONENTS(C)                                                                                            \
    C(STRATEGY, "waal", waal_impl, "what the model is unsure of and a critic takes for unlabelled",              \
      "Shui et al., AISTATS 2020", DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES " " DAL_CAP_COMPANION, "", options, PARAMS)
#define ABOUT(A)                                                                                         \
    A(STRATEGY, "waal",                                                                                  \
      "smallest 1/2 ||ln p||_2 + 1/2 ||ln p||_1 - 10 g(F(x)), g a critic trained along with the model: " \
      "it climbs mean g(U) - gamma mean g(L) - eta mean (||grad g|| - 1)^2, the features descend",       \
      "the authors' code and DeepAL+ maximise the penalty, and DeepAL+'s critic ends in a sigmoid; "     \
      "gamma is 1, not n_l / n, with which g has no largest value; no penalty in the model's loss; an "  \
      "epoch is the labelled samples once, with as many unlabelled")
DAL_MODULE_ABOUT(waal, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
