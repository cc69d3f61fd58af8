/* lal: a regressor that has learned, on small simulated tasks, how much a label lowers the error.
 *
 * Konyushkova, Sznitman, Fua, "Learning active learning from data", NeurIPS 2017 (independent form). A random
 * forest of 50 trees is trained on the labelled samples; candidate x is described by 8 numbers:
 *
 *     1, 2  mean and standard deviation of the trees' probabilities at x
 *     3     share of positive labels                        6  mean of (2) over the candidates
 *     4     out-of-bag accuracy of the forest               7  mean depth of its trees
 *     5     deviation of the feature importances, / d       8  number of labelled samples
 *
 * and scored by a second forest, regression, that predicts the drop of the test error. It is trained once, before
 * the first query, on a table made here: `tasks` times, two Gaussians in the plane (means uniform in [0, 1]^2,
 * covariance A A' with entries of A uniform in [-1/2, 1/2], a share of 0.1 to 0.9 positive; 200 points for the
 * pool, 200 for the test); 4 times 2 to 50 of the pool labelled at random, both classes among them; 3 times one
 * more label at random: its 8 numbers and the change of the error. The table is a function of the run's seed:
 * nothing is saved, a resumed run makes it again.
 *
 * Differs: sizes. The paper grows 2000 regression trees on tables of many thousand rows; 100 trees on 12 x 100 rows
 * take a second, and `regressor_trees`, `tasks` are there for more. Classes: one against the rest, predicted drops
 * summed over the classes seen. Unless two classes are labelled there is no forest: a uniform sample. Ties: lowest
 * pool index.
 *
 * Needs features and the labelled samples' classes. O(c n (trees + regressor trees) depth) time, O(n d) memory.
 */
#include <dal/forest.h>
#include <dal/select.h>
#include <dal/tabular.h>
#include <dal/topk.h>

#include <math.h>

#define NUMBERS 8
#define POOL 200 /* points of a task to label, and as many to test on */
#define MOST_LABELS 50
#define SITUATIONS 4 /* labelled sets a task */
#define TRIALS 3     /* further labels a situation */
#define PER_TASK (SITUATIONS * TRIALS)
#define DEPTH 64 /* of the trees of a classifier: as good as no bound */
#define TASK 256

typedef struct options {
    int64_t trees, regressor_trees, regressor_depth, regressor_features, tasks;
} options;

typedef struct lal {
    const dal_host *host;
    const options *opt;
    dal_forest *regressor; /* NULL until it is needed */
} lal;

/* ---- a classifier and what it says ------------------------------------------------------------ */

static dal_status grow(const lal *s, const dal_matrix *x, const double *y, const dal_rng *stream, dal_forest **f,
                       dal_error *err)
{
    const int64_t per_split = (int64_t)sqrt((double)x->cols);
    const dal_forest_spec spec = {.struct_size = sizeof spec, .bootstrap = 1, .n_trees = s->opt->trees,
                                  .max_depth = DEPTH, .features_per_split = per_split, .min_leaf = 1};
    return dal_forest_grow(s->host, &spec, x, y, stream, f, err);
}

/* Numbers 3 to 8 of a classifier on rows x [n, d] with labels y in {0, 1}. room: [n + d]. */
static void describe(const dal_forest *f, const dal_matrix *x, const double *y, double mean_deviation,
                     double *room, float *out)
{
    double positive = 0, right = 0, counted = 0, mean = 0, squares = 0, *importance = room + x->rows;
    dal_forest_out_of_bag(f, x, room);
    dal_forest_importance(f, importance);
    for (int64_t i = 0; i < x->rows; i++) {
        positive += y[i];
        counted += !isnan(room[i]);
        right += !isnan(room[i]) && (room[i] > 0.5) == (y[i] > 0.5);
    }
    for (int64_t j = 0; j < x->cols; j++)
        mean += importance[j] / (double)x->cols;
    for (int64_t j = 0; j < x->cols; j++)
        squares += (importance[j] - mean) * (importance[j] - mean);
    out[2] = (float)(positive / (double)x->rows);
    out[3] = (float)(counted > 0 ? right / counted : 0);
    out[4] = (float)(sqrt(squares / (double)x->cols) / (double)x->cols);
    out[5] = (float)mean_deviation;
    out[6] = (float)dal_forest_depth(f);
    out[7] = (float)x->rows;
}

/* ---- simulated tasks -------------------------------------------------------------------------- */

typedef struct task {
    float x[2 * POOL][2]; /* the pool, then the test points */
    double y[2 * POOL];
    int64_t order[POOL];  /* the labelled come first */
    float labelled[MOST_LABELS + 1][2];
    double classes[MOST_LABELS + 1];
} task;

static void draw_points(task *t, dal_rng *r)
{
    const double share = 0.1 + 0.8 * dal_rng_uniform(r);
    double mean[2][2], a[2][2][2];
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < 2; i++) {
            mean[c][i] = dal_rng_uniform(r);
            for (int j = 0; j < 2; j++)
                a[c][i][j] = dal_rng_uniform(r) - 0.5;
        }
    for (int64_t p = 0; p < 2 * POOL; p++) {
        const int c = (double)(p % POOL) < share * POOL;
        const double u = dal_rng_normal(r), v = dal_rng_normal(r);
        t->y[p] = c;
        for (int i = 0; i < 2; i++)
            t->x[p][i] = (float)(mean[c][i] + a[c][i][0] * u + a[c][i][1] * v);
    }
}

/* n labelled points, the first of one class, the second of the other. */
static void draw_labelled(task *t, int64_t n, dal_rng *r)
{
    int64_t other = 1;
    for (int64_t i = 0; i < POOL; i++)
        t->order[i] = i;
    dal_rng_shuffle(r, t->order, POOL, POOL);
    while (t->y[t->order[other]] == t->y[t->order[0]])
        other++;
    const int64_t second = t->order[1];
    t->order[1] = t->order[other];
    t->order[other] = second;
    for (int64_t i = 0; i < n; i++) {
        memcpy(t->labelled[i], t->x[t->order[i]], sizeof t->labelled[i]);
        t->classes[i] = t->y[t->order[i]];
    }
}

static double test_error(const dal_forest *f, const task *t)
{
    double wrong = 0;
    for (int64_t p = POOL; p < 2 * POOL; p++)
        wrong += (dal_forest_predict(f, t->x[p], NULL) > 0.5) != (t->y[p] > 0.5);
    return wrong / POOL;
}

/* One classifier, TRIALS further labels: their rows of the table. */
static dal_status simulate(const lal *s, task *t, dal_rng *r, float (*x)[NUMBERS], double *y, dal_error *err)
{
    const int64_t n = 2 + dal_rng_below(r, MOST_LABELS - 1);
    double deviation, sum = 0, room[MOST_LABELS + 2];
    dal_forest *before = NULL, *after = NULL;
    dal_matrix m = {t->labelled[0], n, 2, 2};
    draw_labelled(t, n, r);
    /* the same for both forests: less noise in their difference */
    const dal_rng stream = dal_rng_at(r, (uint64_t)n);
    dal_status st = grow(s, &m, t->classes, &stream, &before, err);
    if (st != DAL_OK)
        return st;
    for (int64_t i = n; i < POOL; i++) {
        dal_forest_predict(before, t->x[t->order[i]], &deviation);
        sum += deviation;
    }
    describe(before, &m, t->classes, sum / (double)(POOL - n), room, x[0]);
    const double error = test_error(before, t);
    m.rows = n + 1;
    for (int64_t k = 0; st == DAL_OK && k < TRIALS; k++) {
        const int64_t point = t->order[n + dal_rng_below(r, POOL - n)];
        memcpy(t->labelled[n], t->x[point], sizeof t->labelled[n]);
        t->classes[n] = t->y[point];
        if (k > 0)
            memcpy(x[k], x[0], sizeof *x);
        x[k][0] = (float)dal_forest_predict(before, t->x[point], &deviation);
        x[k][1] = (float)deviation;
        st = grow(s, &m, t->classes, &stream, &after, err);
        if (st != DAL_OK)
            break;
        y[k] = error - test_error(after, t);
        dal_forest_free(after);
    }
    dal_forest_free(before);
    return st;
}

typedef struct table_job {
    const lal *s;
    dal_rng stream;
    float (*x)[NUMBERS];
    double *y;
} table_job;

static dal_status table_task(void *ctx, int64_t index)
{
    const table_job *j = ctx;
    dal_rng r = dal_rng_at(&j->stream, (uint64_t)index);
    task *t = j->s->host->cancelled(j->s->host) ? NULL : j->s->host->alloc(j->s->host, sizeof *t, 0);
    dal_status st = DAL_OK;
    if (!t)
        return j->s->host->cancelled(j->s->host) ? DAL_E_CANCELLED : DAL_E_NOMEM;
    draw_points(t, &r);
    for (int64_t k = 0; st == DAL_OK && k < SITUATIONS; k++) {
        const int64_t row = index * PER_TASK + k * TRIALS;
        st = simulate(j->s, t, &r, j->x + row, j->y + row, NULL);
    }
    j->s->host->free(j->s->host, t);
    return st;
}

/* The regressor, from its table. */
static dal_status learn(lal *s, dal_error *err)
{
    const dal_host *host = s->host;
    const options *opt = s->opt;
    const int64_t rows = opt->tasks * PER_TASK;
    table_job j = {.s = s, .stream = host->rng(host, "tasks", 0)};
    const dal_rng stream = host->rng(host, "regressor", 0);
    const dal_forest_spec spec = {.struct_size = sizeof spec, .bootstrap = 1, .n_trees = opt->regressor_trees,
                                  .max_depth = opt->regressor_depth, .features_per_split = opt->regressor_features,
                                  .min_leaf = 1};
    j.x = dal_array(host, rows, sizeof *j.x);
    j.y = dal_array(host, rows, sizeof *j.y);
    dal_status st = j.x && j.y ? host->parallel_for(host, opt->tasks, table_task, &j) : DAL_E_NOMEM;
    if (st != DAL_OK) {
        dal_fail(err, st, "", st == DAL_E_CANCELLED ? "interrupted" : "no memory for %lld simulated tasks",
                 (long long)opt->tasks);
    } else {
        const dal_matrix x = {j.x[0], rows, NUMBERS, NUMBERS};
        st = dal_forest_grow(host, &spec, &x, j.y, &stream, &s->regressor, err);
    }
    host->free(host, j.x);
    host->free(host, j.y);
    return st;
}

/* ---- scoring ---------------------------------------------------------------------------------- */

typedef struct pass {
    const lal *s;
    const dal_table *t;
    const dal_forest *f;
    float numbers[NUMBERS]; /* 3 to 8 are filled in */
    double *mean, *deviation, *score; /* [n] */
} pass;

static dal_status classify_task(void *ctx, int64_t index)
{
    const pass *p = ctx;
    const dal_matrix *x = &p->t->candidates;
    for (int64_t i = index * TASK; i < x->rows && i < (index + 1) * TASK; i++)
        p->mean[i] = dal_forest_predict(p->f, x->data + i * x->stride, &p->deviation[i]);
    return DAL_OK;
}

static dal_status score_task(void *ctx, int64_t index)
{
    const pass *p = ctx;
    float row[NUMBERS];
    memcpy(row, p->numbers, sizeof row);
    for (int64_t i = index * TASK; i < p->t->candidates.rows && i < (index + 1) * TASK; i++) {
        row[0] = (float)p->mean[i];
        row[1] = (float)p->deviation[i];
        p->score[i] += dal_forest_predict(p->s->regressor, row, NULL);
    }
    return DAL_OK;
}

/* Add one problem's predicted drops to the scores. y, room: [n_l], [n_l + d]. */
static dal_status score_problem(pass *p, int64_t problem, const dal_rng *stream, double *y, double *room,
                                dal_error *err)
{
    const dal_host *host = p->s->host;
    const int64_t n = p->t->candidates.rows, tasks = (n + TASK - 1) / TASK;
    const dal_rng mine = dal_rng_at(stream, (uint64_t)problem);
    dal_forest *f;
    double sum = 0;
    for (int64_t i = 0; i < p->t->labelled.rows; i++)
        y[i] = dal_table_sign(p->t, problem, i) > 0;
    dal_status st = grow(p->s, &p->t->labelled, y, &mine, &f, err);
    if (st != DAL_OK)
        return st;
    p->f = f;
    st = host->parallel_for(host, tasks, classify_task, p);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        sum += p->deviation[i];
    if (st == DAL_OK) {
        describe(f, &p->t->labelled, y, sum / (double)n, room, p->numbers);
        st = host->parallel_for(host, tasks, score_task, p);
    }
    dal_forest_free(f);
    return st;
}

static dal_status pick(lal *s, const dal_table *t, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_host *host = s->host;
    const int64_t n = t->candidates.rows, n_l = t->labelled.rows;
    pass p = {.s = s, .t = t};
    p.mean = dal_array(host, n, sizeof *p.mean);
    p.deviation = dal_array(host, n, sizeof *p.deviation);
    p.score = dal_array(host, n, sizeof *p.score);
    double *y = dal_array(host, n_l, sizeof *y), *room = dal_array(host, n_l + t->all.cols, sizeof *room);
    int64_t *rows = dal_array(host, n, sizeof *rows);
    const dal_rng trees = host->rng(host, "trees", view->round);
    dal_rng draw = host->rng(host, "draw", view->round);
    dal_status st = DAL_OK;
    if (!p.mean || !p.deviation || !p.score || !y || !room || !rows)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld candidates", (long long)n);
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        rows[i] = i;
        p.score[i] = 0;
    }
    if (st == DAL_OK && t->n_seen < 2) {
        dal_rng_shuffle(&draw, rows, n, picks->want);
        dal_pick_rows(view, rows, NULL, picks->want, picks);
    } else if (st == DAL_OK) {
        dal_topk top;
        st = s->regressor ? DAL_OK : learn(s, err);
        for (int64_t c = 0; st == DAL_OK && c < t->n_problems; c++)
            st = score_problem(&p, c, &trees, y, room, err);
        if (st == DAL_OK) {
            dal_topk_init(&top, picks->want, DAL_LARGEST_FIRST, picks->scores, rows);
            dal_topk_push(&top, p.score, 0, n);
            dal_topk_sort(&top);
            dal_pick_rows(view, rows, NULL, top.n, picks);
        }
    }
    void *all[] = {p.mean, p.deviation, p.score, y, room, rows};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        host->free(host, all[i]);
    return st;
}

static dal_status lal_select(void *self, const dal_view *view, dal_picks *picks, dal_error *err)
{
    lal *s = self;
    dal_table t;
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = dal_table_make(s->host, view, 0, 0, &t, err); /* trees do not mind the scale */
    if (st == DAL_OK) {
        st = pick(s, &t, view, picks, err);
        dal_table_free(&t);
    }
    return st;
}

/* ---- what the module offers ------------------------------------------------------------------- */

static dal_status lal_create(const dal_host *host, const void *opt, void **self, dal_error *err)
{
    lal *s = host->alloc(host, sizeof *s, 0);
    if (!s)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the strategy");
    *s = (lal){.host = host, .opt = opt};
    *self = s;
    return DAL_OK;
}

static void lal_destroy(void *self)
{
    lal *s = self;
    if (!s)
        return;
    dal_forest_free(s->regressor);
    s->host->free(s->host, s);
}

static void lal_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const lal *)self)->opt : options_;
    const double n = (double)problem->n, n_l = (double)problem->n_labelled, d = (double)problem->d;
    const double trees = (double)opt->trees, regressor = (double)opt->regressor_trees;
    const double rows = PER_TASK * (double)opt->tasks;
    out->bytes = 4 * (n + n_l) * d + 32 * n + 60 * trees * (n_l + 1) + regressor * (49 * rows + 64) + 40 * rows;
    out->flops = (double)problem->c * n * 20 * (2 * trees + regressor) + regressor * rows * 4000 +
                 rows * trees * 20000;
    snprintf(out->formula, sizeof out->formula, "O(c n trees depth) time, O(n d + regressor) memory");
}

static const dal_strategy_impl lal_impl = {
    .struct_size = sizeof lal_impl,
    .create = lal_create,
    .destroy = lal_destroy,
    .select = lal_select,
    .cost = lal_cost,
};

#define PARAMS(P, T)                                                                                        \
    P(T, trees, I64, "50", "1..10000", "", "of the classifier that describes the samples")                  \
    P(T, regressor_trees, I64, "100", "1..10000", "", "of the regressor; the paper has 2000")               \
    P(T, regressor_depth, I64, "40", "1..1000", "", "of the regressor's trees, at most")                    \
    P(T, regressor_features, I64, "6", "1..8", "", "of the 8, tried at each of its splits")                 \
    P(T, tasks, I64, "100", "1..100000", "", "simulated, 12 rows of the regressor's table each")
#define COMPONENTS(C)                                                                                       \
    C(STRATEGY, "lal", lal_impl, "largest drop of the error, as learned from simulated tasks",              \
      "Konyushkova, Sznitman & Fua, NeurIPS 2017", DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                      \
    A(STRATEGY, "lal",                                                                                \
      "largest drop of the error that a forest predicts from 8 numbers of a 50-tree forest",          \
      "100 regression trees on a table made here (the paper: 2000 on a larger one); one against the " \
      "rest")
DAL_MODULE_ABOUT(lal, "1.0", "Apache-2.0", COMPONENTS, ABOUT, NULL, NULL)
