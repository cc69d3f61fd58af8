/* saal: samples whose loss grows most when the weights move the worst way by a little.
 *
 * Kim, Song, Jang, Moon, "SAAL: sharpness-aware active learning", ICML 2023. With the predicted class y as
 * label, the score of a sample is its loss at the worst weights near the model's (their equation 8,
 * sharpness-aware maximisation),
 *
 *     max over ||e|| <= rho of l(x, y; w + e)  ~  l(x, y; w + e*),   e* = rho w^2 g / || |w| g ||   (adaptive)
 *                                                                    e* = rho g / ||g||             (plain)
 *
 * with g = d l / d w.
 *
 *   saal      w is the last layer alone, where all of it has a closed form: g = a h', a = p - e_y, so that with
 *             m_k = sum_j w_kj^2 h_j^2 (+ b_k^2) the logits f become
 *                 f_k + rho a_k m_k / sqrt(sum_l a_l^2 m_l)    (adaptive)
 *                 f_k + rho a_k ||(h, 1)|| / ||a||             (plain)
 *             and a sample takes O(cd). What moves below the last layer is left out.
 *   saal-all  w is all weights, as in the paper: for each sample twice forward and once back through a live model
 *
 * mode       max: the loss at w + e; diff: what it is above the loss at w
 * diversity  k-means++ over the scores as points on the line, from the largest on (their Max_Diversity); else the
 *            largest scores. Where all scores are the same, and once every score left equals one chosen, the largest
 *            go.
 * subset     how many candidates are looked at, drawn anew each round (0: all)
 *
 * ALScope divides by ||g|| where || |w| g || belongs, and looks up its picks from the random subset in the whole
 * list. Ties go to the lowest pool index. Needs features and the last layer (f = W h + b, whatever kind the
 * outputs are), or a live model whose weights can be moved. O(subset c d) time, or 3 passes a sample and a copy
 * of the model a thread.
 */
#include <dal/gradient.h>
#include <dal/linalg.h>
#include <dal/live_model.h>
#include <dal/select.h>
#include <dal/topk.h>

#include <math.h>
#include <stdlib.h>

#define TILE 32 /* rows in a task */

#define MODE_MAX 0u

typedef struct options {
    double rho;
    int32_t adaptive;
    uint32_t mode;
    int32_t diversity;
    int64_t subset;
} options;

typedef struct sharpness {
    const dal_host *host;
    const options *opt;
    dal_matrix x;       /* [all, d] h */
    dal_matrix weights; /* [c, d] */
    const float *bias;  /* [c] or NULL */
    float *squares;     /* [c, d] w^2 */
    int64_t n, *rows;   /* [n] the candidates looked at, ascending */
    float *scores;      /* [n] */
} sharpness;

/* ---- scores ----------------------------------------------------------------------------------- */

/* -ln p_y of logits f [c]. */
static double loss(const double *f, int64_t c, int64_t y)
{
    double top = f[0], sum = 0;
    for (int64_t k = 1; k < c; k++)
        top = fmax(top, f[k]);
    for (int64_t k = 0; k < c; k++)
        sum += exp(f[k] - top);
    return log(sum) + top - f[y];
}

/* a = p - e_y, with a_y = -(the rest), and y. */
static int64_t factor(const double *f, int64_t c, double *a)
{
    int64_t y = 0;
    double sum = 0, rest = 0;
    for (int64_t k = 1; k < c; k++)
        y = f[k] > f[y] ? k : y;
    for (int64_t k = 0; k < c; k++)
        sum += a[k] = exp(f[k] - f[y]);
    for (int64_t k = 0; k < c; k++) {
        a[k] /= sum;
        rest += k == y ? 0 : a[k];
    }
    a[y] = -rest;
    return y;
}

/* The logits f at w + e*, for a sample h [d] with its squares h2 [d]; no gradient: no step. */
static void perturb(const sharpness *s, const float *h, const float *h2, const double *a, double *f)
{
    const int64_t c = s->weights.rows, d = s->weights.cols;
    const double hh = dal_dot(h, h, d) + (s->bias ? 1 : 0);
    double sum = 0; /* of a^2 m */
    for (int pass = 0; pass < 2; pass++)
        for (int64_t k = 0; k < c; k++) {
            const double own = s->bias ? (double)s->bias[k] * (double)s->bias[k] : 0;
            const double m = s->opt->adaptive ? dal_dot(s->squares + k * d, h2, d) + own : hh;
            if (pass == 0)
                sum += a[k] * a[k] * m;
            else if (sum > 0)
                f[k] += s->opt->rho * a[k] * m / sqrt(sum);
        }
}

static double score(const sharpness *s, int64_t row, float *h2, double *f, double *a)
{
    const int64_t c = s->weights.rows, d = s->weights.cols;
    const float *h = s->x.data + row * s->x.stride;
    for (int64_t j = 0; j < d; j++)
        h2[j] = h[j] * h[j];
    for (int64_t k = 0; k < c; k++)
        f[k] = dal_dot(s->weights.data + k * s->weights.stride, h, d) + (s->bias ? (double)s->bias[k] : 0);
    const int64_t y = factor(f, c, a);
    const double before = loss(f, c, y);
    perturb(s, h, h2, a, f);
    return s->opt->mode == MODE_MAX ? loss(f, c, y) : loss(f, c, y) - before;
}

static dal_status score_task(void *ctx, int64_t t)
{
    const sharpness *s = ctx;
    const int64_t end = (t + 1) * TILE < s->n ? (t + 1) * TILE : s->n;
    if (s->host->cancelled(s->host))
        return DAL_E_CANCELLED;
    float *h2 = dal_array(s->host, s->weights.cols, sizeof *h2);
    double *f = dal_array(s->host, 2 * s->weights.rows, sizeof *f);
    const dal_status st = h2 && f ? DAL_OK : DAL_E_NOMEM;
    for (int64_t i = t * TILE; st == DAL_OK && i < end; i++)
        s->scores[i] = (float)score(s, s->rows[i], h2, f, f + s->weights.rows);
    s->host->free(s->host, h2);
    s->host->free(s->host, f);
    return st;
}

static dal_status check_scores(const sharpness *s, const int64_t *ids, dal_error *err)
{
    for (int64_t i = 0; i < s->n; i++)
        if (!isfinite(s->scores[i]))
            return dal_fail(err, DAL_E_INVALID, "",
                            "the loss of sample %lld near the model's weights is %g; did the "
                            "model diverge?",
                            (long long)ids[s->rows[i]], (double)s->scores[i]);
    return DAL_OK;
}

static dal_status score_all(sharpness *s, const int64_t *ids, dal_error *err)
{
    const int64_t c = s->weights.rows, d = s->weights.cols;
    int64_t cells;
    s->squares = dal_size_mul(c, d, &cells) ? dal_array(s->host, cells, sizeof *s->squares) : NULL;
    dal_status st = s->squares ? DAL_OK : DAL_E_NOMEM;
    for (int64_t k = 0; st == DAL_OK && k < c; k++)
        for (int64_t j = 0; j < d; j++)
            s->squares[k * d + j] =
                s->weights.data[k * s->weights.stride + j] * s->weights.data[k * s->weights.stride + j];
    if (st == DAL_OK)
        st = s->host->parallel_for(s->host, (s->n + TILE - 1) / TILE, score_task, s);
    s->host->free(s->host, s->squares);
    if (st != DAL_OK)
        return dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "no memory for %lld scores",
                        (long long)s->n);
    return check_scores(s, ids, err);
}

static dal_status last_layer_scores(sharpness *s, const dal_view *view, dal_error *err)
{
    dal_status st = view->features(view, DAL_ROWS_CANDIDATES, &s->x, err);
    if (st == DAL_OK)
        st = view->last_layer(view, &s->weights, &s->bias, err);
    if (st == DAL_OK && s->weights.cols != s->x.cols)
        st = dal_fail(err, DAL_E_INVALID, "", "features are %lld wide and the last layer takes %lld",
                      (long long)s->x.cols, (long long)s->weights.cols);
    return st == DAL_OK ? score_all(s, view->ids(view, DAL_ROWS_CANDIDATES), err) : st;
}

/* ---- all layers -------------------------------------------------------------------------------- */

/* The model and copies of it to move; each thread takes one. */
typedef struct whole {
    sharpness *s;
    dal_live_model live;
    const dal_model_perturb *table;
    int64_t c, n_weights;
    void **copies; /* the idle ones, of as many as there are threads */
    int64_t idle;
    pthread_mutex_t lock; /* of the two lines above */
} whole;

/* copy's weights = w + e*, from the gradient g [n_weights]. */
static void move_weights(const whole *w, const float *g, void *copy)
{
    const float *from = w->table->weights(w->live.model->self);
    const int adaptive = w->s->opt->adaptive;
    float *to = w->table->weights(copy);
    double square = 0;
    for (int64_t v = 0; v < w->n_weights; v++) {
        const double scaled = adaptive ? (double)from[v] * (double)g[v] : (double)g[v];
        square += scaled * scaled;
    }
    const double step = square > 0 ? w->s->opt->rho / sqrt(square) : 0;
    for (int64_t v = 0; v < w->n_weights; v++) {
        const double weight = (double)from[v], size = adaptive ? weight * weight : 1;
        to[v] = (float)(weight + step * size * (double)g[v]);
    }
}

/* Sample i of a batch as a batch of its own; offsets [2] are its storage. */
static dal_batch one_of(const dal_batch *b, int64_t i, int64_t *offsets)
{
    dal_batch one = *b;
    one.n = 1;
    if (!b->offsets) {
        one.data = (char *)b->data + i * dal_sample_bytes(b->spec);
        return one;
    }
    offsets[0] = 0;
    offsets[1] = b->offsets[i + 1] - b->offsets[i];
    one.offsets = offsets;
    one.data = (char *)b->data + b->offsets[i] * (b->spec->modality == DAL_TEXT ? 1 : (int64_t)sizeof(float));
    one.indices = b->indices ? b->indices + b->offsets[i] : NULL;
    return one;
}

/* -ln p_y of a model's outputs z [c]; f [c] is scratch. */
static double output_loss(const whole *w, const float *z, int64_t y, double *f)
{
    for (int64_t k = 0; k < w->c; k++)
        f[k] = (double)z[k];
    return w->live.model->impl->output == DAL_LOGITS ? loss(f, w->c, y) : -log(f[y]);
}

/* What a block needs beside a copy. */
typedef struct scratch {
    float *z, *target, *moved, *g; /* [n, c], [c], [c], [n_weights] */
    double *f;                     /* [c] */
} scratch;

static dal_status score_sample(whole *w, const dal_batch *x, const float *z, const scratch *r, void *copy, float *out,
                               dal_error *err)
{
    const dal_model_impl *impl = w->live.model->impl;
    int64_t y = 0;
    for (int64_t k = 1; k < w->c; k++)
        y = z[k] > z[y] ? k : y;
    memset(r->target, 0, (size_t)w->c * sizeof *r->target);
    r->target[y] = 1;
    dal_live_model_enter(&w->live);
    dal_status st = w->table->loss_gradient(w->live.model->self, x, r->target, r->g, NULL, err);
    dal_live_model_leave(&w->live);
    if (st != DAL_OK)
        return st;
    move_weights(w, r->g, copy);
    dal_live_model_enter(&w->live);
    st = impl->predict(copy, x, r->moved, err);
    dal_live_model_leave(&w->live);
    const double after = st == DAL_OK ? output_loss(w, r->moved, y, r->f) : 0;
    *out = (float)(w->s->opt->mode == MODE_MAX ? after : after - output_loss(w, z, y, r->f));
    return st;
}

static dal_status score_rows(whole *w, const dal_block *block, const scratch *r, void *copy, dal_error *err)
{
    const dal_host *h = w->s->host;
    dal_batch samples;
    dal_status st = block->inputs(block, &samples, err);
    if (st == DAL_OK) {
        dal_live_model_enter(&w->live);
        st = w->live.model->impl->predict(w->live.model->self, &samples, r->z, err);
        dal_live_model_leave(&w->live);
    }
    for (int64_t i = 0; st == DAL_OK && i < block->n; i++) {
        int64_t offsets[2];
        const dal_batch x = one_of(&samples, i, offsets);
        st = h->cancelled(h) ? dal_fail(err, DAL_E_CANCELLED, "", "interrupted")
                             : score_sample(w, &x, r->z + i * w->c, r, copy, w->s->scores + block->first + i, err);
    }
    return st;
}

static dal_status score_block(void *ctx, const dal_block *block, dal_error *err)
{
    whole *w = ctx;
    const dal_host *h = w->s->host;
    const int64_t c = w->c;
    const scratch r = {dal_array(h, block->n * c, sizeof(float)), dal_array(h, c, sizeof(float)),
                    dal_array(h, c, sizeof(float)), dal_array(h, w->n_weights, sizeof(float)),
                    dal_array(h, c, sizeof(double))};
    pthread_mutex_lock(&w->lock);
    void *copy = w->idle > 0 ? w->copies[--w->idle] : NULL;
    pthread_mutex_unlock(&w->lock);
    dal_status st = r.z && r.target && r.moved && r.g && r.f && copy
                        ? score_rows(w, block, &r, copy, err)
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for a block of samples");
    pthread_mutex_lock(&w->lock);
    if (copy)
        w->copies[w->idle++] = copy;
    pthread_mutex_unlock(&w->lock);
    void *all[] = {r.z, r.target, r.moved, r.g, r.f};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    return st;
}

static dal_status score_subset(whole *w, const dal_view *view, int64_t *ids, dal_error *err)
{
    const sharpness *s = w->s;
    dal_view *subset = NULL;
    for (int64_t i = 0; i < s->n; i++)
        ids[i] = view->ids(view, DAL_ROWS_CANDIDATES)[s->rows[i]];
    dal_status st = view->subview(view, ids, s->n, view->ids(view, DAL_ROWS_LABELLED),
                                  view->classes(view, DAL_ROWS_LABELLED), view->count(view, DAL_ROWS_LABELLED),
                                  &subset, err);
    if (st == DAL_OK)
        st = subset->stream(subset, DAL_ROWS_CANDIDATES, score_block, w, err);
    view->close(view, subset);
    return st;
}

static dal_status whole_scores(sharpness *s, const dal_view *view, dal_error *err)
{
    const dal_host *h = s->host;
    whole w = {.s = s, .c = view->n_classes};
    int64_t *ids = dal_array(h, s->n, sizeof *ids);
    pthread_mutex_init(&w.lock, NULL);
    w.copies = dal_array(h, h->threads(h), sizeof *w.copies);
    dal_status st = dal_live_model_open(&w.live, view, DAL_CAP_PERTURB, err);
    if (st == DAL_OK && (!ids || !w.copies))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)s->n);
    if (st == DAL_OK) {
        w.table = w.live.table;
        w.n_weights = w.table->n_weights(w.live.model->self);
    }
    for (int32_t t = 0; st == DAL_OK && t < h->threads(h); t++)
        if ((st = w.table->copy(w.live.model->self, &w.copies[w.idle], err)) == DAL_OK)
            w.idle++;
    if (st == DAL_OK)
        st = score_subset(&w, view, ids, err);
    while (w.idle > 0)
        w.live.model->impl->destroy(w.copies[--w.idle]);
    dal_live_model_close(&w.live);
    pthread_mutex_destroy(&w.lock);
    h->free(h, w.copies);
    h->free(h, ids);
    return st == DAL_OK ? check_scores(s, view->ids(view, DAL_ROWS_CANDIDATES), err) : st;
}

/* ---- the subset and the picks ----------------------------------------------------------------- */

static int by_row(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* A uniform sample of the rows, in their order; all of them for room 0. At least `want`. */
static void draw_subset(sharpness *s, dal_rng stream, int64_t all, int64_t want)
{
    const int64_t room = s->opt->subset > want ? s->opt->subset : want;
    s->n = s->opt->subset > 0 && room < all ? room : all;
    for (int64_t i = 0; i < all; i++)
        s->rows[i] = i;
    if (s->n == all)
        return;
    dal_rng_shuffle(&stream, s->rows, all, s->n);
    qsort(s->rows, (size_t)s->n, sizeof *s->rows, by_row);
}

/* picks[n..want-1]: the largest scores not among picks[0..n-1]; as indices into rows. */
static dal_status fill_up(const sharpness *s, int64_t want, int64_t n, int64_t *picks, double *values,
                          dal_error *err)
{
    dal_topk best;
    double *all = dal_array(s->host, s->n, sizeof *all);
    if (!all)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld scores", (long long)s->n);
    for (int64_t i = 0; i < s->n; i++)
        all[i] = (double)s->scores[i];
    for (int64_t i = 0; i < n; i++)
        all[picks[i]] = (double)NAN;
    dal_topk_init(&best, want - n, DAL_LARGEST_FIRST, values + n, picks + n);
    dal_topk_push(&best, all, 0, s->n);
    dal_topk_sort(&best);
    s->host->free(s->host, all);
    return DAL_OK;
}

/* Rows and scores of the picks. */
static dal_status choose(const sharpness *s, dal_rng stream, int64_t want, int64_t *picks, double *values,
                         dal_error *err)
{
    int64_t n = 0;
    const dal_seed_problem line = {
        .struct_size = sizeof line,
        .rule = DAL_SEED_KMEANSPP,
        .first = DAL_SEED_LARGEST,
        .points = {.struct_size = sizeof line.points, .features = {s->scores, s->n, 1, 1}},
        .n_picks = want,
        .stream = stream};
    dal_status st = s->opt->diversity ? dal_seed(s->host, &line, picks, values, &n, err) : DAL_OK;
    if (st == DAL_OK && n < want)
        st = fill_up(s, want, n, picks, values, err);
    for (int64_t i = 0; st == DAL_OK && i < want; i++) {
        values[i] = (double)s->scores[picks[i]];
        picks[i] = s->rows[picks[i]];
    }
    return st;
}

static dal_status select_by(const dal_stateless *self, const dal_view *view,
                            dal_status (*score_rows_of)(sharpness *s, const dal_view *view, dal_error *err),
                            dal_picks *picks, dal_error *err)
{
    const dal_host *host = self->host;
    const int64_t all = view->count(view, DAL_ROWS_CANDIDATES), want = picks->want;
    sharpness s = {.host = host, .opt = self->options};
    picks->n = 0;
    if (want <= 0)
        return DAL_OK;
    s.rows = dal_array(host, all, sizeof *s.rows);
    s.scores = dal_array(host, all, sizeof *s.scores);
    int64_t *chosen = dal_array(host, want, sizeof *chosen);
    double *values = dal_array(host, want, sizeof *values);
    dal_status st = s.rows && s.scores && chosen && values
                        ? DAL_OK
                        : dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)all);
    if (st == DAL_OK) {
        draw_subset(&s, host->rng(host, "subset", view->round), all, want);
        st = score_rows_of(&s, view, err);
    }
    if (st == DAL_OK)
        st = choose(&s, host->rng(host, "draw", view->round), want, chosen, values, err);
    if (st == DAL_OK)
        dal_pick_rows(view, chosen, values, want, picks);
    host->free(host, s.rows);
    host->free(host, s.scores);
    host->free(host, chosen);
    host->free(host, values);
    return st;
}

static dal_status saal_select(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    return select_by(self, view, last_layer_scores, picks, err);
}

static dal_status all_select(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    return select_by(self, view, whole_scores, picks, err);
}

static void saal_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : options_;
    const double all = (double)problem->n, c = (double)problem->c, d = (double)problem->d,
                 b = (double)problem->n_query;
    const double n = opt->subset > 0 && (double)opt->subset < all ? fmax((double)opt->subset, b) : all;
    out->bytes = 12 * all + 40 * n + 4 * c * d + 1e6;
    out->flops = 6 * n * c * d + 2 * n * b;
    snprintf(out->formula, sizeof out->formula, "O(subset (c d + b)) time, O(n + c d) memory");
}

/* The model is not told here: its last layer stands for it. */
static void all_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    saal_cost(self, options_, problem, out);
    snprintf(out->formula, sizeof out->formula,
             "2 forward and 1 backward pass a sample of the subset; O(n) memory, and a copy "
             "of the model a thread");
}

static const dal_strategy_impl saal_impl = {
    .struct_size = sizeof saal_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = saal_select,
    .cost = saal_cost,
};

static const dal_strategy_impl all_impl = {
    .struct_size = sizeof all_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = all_select,
    .cost = all_cost,
};

#define PARAMS(P, T)                                                                                              \
    P(T, rho, F64, "0.05", "(0..]", "", "how far the weights move")                                               \
    P(T, adaptive, BOOL, "true", "", "", "in proportion to the weights' own size")                                \
    P(T, mode, CHOICE, "max", "max|diff", "", "score by the loss there, or by what it is more")                   \
    P(T, diversity, BOOL, "true", "", "", "spread the picks over the scores; false: the largest")                 \
    P(T, subset, I64, "2000", "0..", "", "candidates looked at each round, drawn at random; 0: all")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "saal", saal_impl, "largest loss at the worst last layer nearby", "Kim et al., ICML 2023",        \
      DAL_CAP_FEATURES " " DAL_CAP_LAST_LAYER, "", options, PARAMS)                                               \
    C(STRATEGY, "saal-all", all_impl, "largest loss at the worst weights nearby, of all layers",                  \
      "Kim et al., ICML 2023", DAL_CAP_OUTPUTS " " DAL_CAP_PERTURB, "", options, PARAMS)
#define ABOUT(A)                                                                                  \
    A(STRATEGY, "saal",                                                                           \
      "CE(x, y; w + e), e = rho w^2 g / || |w| g ||, w the last layer in closed form; k-means++ " \
      "over scores",                                                                              \
      "scope is the last layer; ALScope divides by ||g|| and looks picks up in the wrong list")   \
    A(STRATEGY, "saal-all",                                                                       \
      "CE(x, y; w + e), e = rho w^2 g / || |w| g ||, w all weights",                              \
      "ALScope divides by ||g|| and looks picks up in the wrong list")
DAL_MODULE_ABOUT(saal, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
