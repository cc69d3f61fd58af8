/* Training by libsvm (Chang & Lin, ACM TIST 2011): each pair of classes is a task of its own, and so is each fold
 * behind its sigmoid. libsvm's own probabilities draw from the C library's rand(); here the folds come from the host's
 * streams. */
#include "svm_machine.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <dal/dense.h>
#include <dal/fit.h>
#include "sparse_rows.h"

dal_status svm_read_gamma(const char *text, double *out, dal_error *err)
{
    char *end;
    if (strcmp(text, "scale") == 0 || strcmp(text, "auto") == 0) {
        *out = strcmp(text, "scale") == 0 ? 0 : -1;
        return DAL_OK;
    }
    *out = strtod(text, &end);
    if (end == text || *end || !isfinite(*out) || !(*out > 0))
        return dal_fail(err, DAL_E_INVALID, "gamma", "'%s'; expected scale, auto or a number above 0", text);
    return DAL_OK;
}

#ifdef DAL_HAVE_SVM

#include <libsvm/svm.h>

#define BLOCK 64
#define FOLDS 5 /* at most: not more than samples of the smaller class */

/* Two classes, i < j of those seen. */
typedef struct pair {
    int64_t i, j;
    int64_t first; /* of its decisions and folds, one for each of its rows: those of i come first */
    int64_t n_folds; /* 0: none */
} pair;

typedef struct job {
    svm_machine *m;
    const svm_options *o;
    const dal_fit *f;
    struct svm_node *nodes;
    struct svm_node **rows; /* [n] each row's values that are not 0 */
    dal_dense_rows dense;
    sparse_rows sparse;
    double sum, squares;    /* over all values */
    int64_t n, *order, *at; /* [n] rows class by class; [n_seen + 1] where each begins */
    double *factor;         /* [c] of C, by class */
    pair *pairs;
    int64_t n_pairs, n_tasks;
    double *decision;       /* what a pair's machine says of a row it was not trained on */
    signed char *fold;
    double *coef;           /* [n, n_seen - 1] */
    double *numbers;        /* [3, n_pairs] becomes the machine's */
    double cache;           /* MiB for one task */
    atomic_llong done;
} job;

static void silent(const char *text)
{
    (void)text;
}

static dal_status no_memory(int64_t n, dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld training samples as a list of their values",
                    (long long)n);
}

/* ---- samples as libsvm has them ----------------------------------------------------------------- */

static int64_t put_row(job *j, const float *x, int64_t n, const int32_t *columns, struct svm_node *out)
{
    int64_t count = 0;
    for (int64_t k = 0; k < n; k++) {
        const double v = (double)x[k];
        if (!out) {
            j->sum += v;
            j->squares += v * v;
        } else if (v != 0) {
            out[count] = (struct svm_node){.index = (columns ? columns[k] : (int)k) + 1, .value = v};
        }
        count += v != 0;
    }
    if (out)
        out[count].index = -1;
    return count + 1;
}

/* Once to count (nodes NULL), once to fill. */
static dal_status put_rows(job *j, float *room, struct svm_node *nodes, int64_t *count, dal_error *err)
{
    const int64_t d = j->m->d;
    *count = 0;
    for (int64_t first = 0, n; first < j->n; first += n) {
        int64_t ids[BLOCK];
        n = j->n - first < BLOCK ? j->n - first : BLOCK;
        for (int64_t i = 0; i < n; i++)
            ids[i] = first + i;
        if (!j->m->sparse && dal_dense_rows_gather(&j->dense, ids, n, room) != DAL_OK) {
            if (err)
                *err = j->dense.error;
            return j->dense.error.status;
        }
        for (int64_t i = 0; i < n; i++) {
            const sparse_rows *s = &j->sparse;
            const int64_t from = j->m->sparse ? s->row_at[first + i] : 0;
            if (nodes)
                j->rows[first + i] = nodes + *count;
            *count += j->m->sparse
                          ? put_row(j, s->by_row + from, s->row_at[first + i + 1] - from, s->place + from,
                                    nodes ? nodes + *count : NULL)
                          : put_row(j, room + i * d, d, NULL, nodes ? nodes + *count : NULL);
        }
    }
    return DAL_OK;
}

static dal_status read_rows(job *j, dal_error *err)
{
    const dal_host *h = j->m->host;
    const int64_t d = j->m->d;
    dal_status st;
    if (j->m->sparse) {
        int32_t *mark = dal_array(h, d, sizeof *mark);
        if (!mark)
            return no_memory(j->n, err);
        memset(mark, 0, (size_t)d * sizeof *mark);
        st = sparse_rows_read(&j->sparse, h, j->f->train, d, mark, err);
        h->free(h, mark);
    } else {
        st = dal_dense_rows_init(&j->dense, h, j->f->train, d, err);
    }
    if (st != DAL_OK)
        return st;
    int64_t count = 0;
    float *room = dal_array(h, j->m->sparse ? 1 : BLOCK * d, sizeof *room);
    st = room ? put_rows(j, room, NULL, &count, err) : no_memory(j->n, err);
    if (st == DAL_OK) {
        j->nodes = dal_array(h, count, sizeof *j->nodes);
        j->rows = dal_array(h, j->n, sizeof *j->rows);
        st = j->nodes && j->rows ? put_rows(j, room, j->nodes, &count, err) : no_memory(j->n, err);
    }
    h->free(h, room);
    return st;
}

/* ---- classes, their weights, pairs ---------------------------------------------------------------- */

/* libsvm weighs classes, not samples: all weights of a class must be the same. 0: the class is left out. */
static dal_status weigh(job *j, dal_error *err)
{
    const dal_samples *s = j->f->train;
    const svm_options *o = j->o;
    const double mean = dal_mean_weight(s);
    int64_t seen = 0;
    for (int64_t k = 0; k < j->m->c; k++) {
        int64_t first = -1, count = 0;
        for (int64_t i = 0; i < j->n; i++)
            if (s->classes[i] == k) {
                first = first < 0 ? i : first;
                count++;
                if (s->weights && s->weights[i] != s->weights[first])
                    return dal_fail(err, DAL_E_UNSUPPORTED, "",
                                    "svm weighs classes, not samples: of class %lld, sample %lld weighs %g and sample "
                                    "%lld %g; logistic takes weights", (long long)k, (long long)dal_pool_id(s, first),
                                    (double)s->weights[first], (long long)dal_pool_id(s, i), (double)s->weights[i]);
            }
        j->factor[k] = count == 0 ? 0 : s->weights ? (double)s->weights[first] / mean : 1;
        if (o->class_weights.n > 0)
            j->factor[k] *= o->class_weights.items[k];
        if (o->balanced && count > 0)
            j->factor[k] /= (double)count;
        seen += j->factor[k] > 0;
    }
    for (int64_t k = 0; o->balanced && k < j->m->c; k++)
        j->factor[k] *= (double)j->n / (double)seen;
    j->m->n_seen = seen;
    return DAL_OK;
}

static dal_status sort_classes(job *j, dal_error *err)
{
    svm_machine *m = j->m;
    const dal_host *h = m->host;
    int64_t k = 0, next = 0;
    m->seen = dal_array(h, m->n_seen, sizeof *m->seen);
    j->order = dal_array(h, j->n, sizeof *j->order);
    j->at = dal_array(h, m->n_seen + 1, sizeof *j->at);
    if (!m->seen || !j->order || !j->at)
        return no_memory(j->n, err);
    for (int64_t class = 0; class < m->c; class++) {
        if (!(j->factor[class] > 0))
            continue;
        j->at[k] = next;
        m->seen[k++] = (int32_t)class;
        for (int64_t i = 0; i < j->n; i++)
            if (j->f->train->classes[i] == class)
                j->order[next++] = i;
    }
    j->at[k] = next;
    return DAL_OK;
}

static int64_t size_of(const job *j, int64_t k)
{
    return j->at[k + 1] - j->at[k];
}

/* Each class's rows of a pair dealt to its folds, at random. room [n]. */
static void deal(job *j, int64_t p, int64_t *room, const dal_rng *stream)
{
    const pair *q = &j->pairs[p];
    dal_rng rng = dal_rng_at(stream, (uint64_t)p);
    for (int64_t side = 0, first = q->first; side < 2; side++) {
        const int64_t n = size_of(j, side ? q->j : q->i);
        for (int64_t i = 0; i < n; i++)
            room[i] = i;
        dal_rng_shuffle(&rng, room, n, n);
        for (int64_t i = 0; i < n; i++)
            j->fold[first + room[i]] = (signed char)(q->n_folds > 0 ? i % q->n_folds : 0);
        first += n;
    }
}

static dal_status make_pairs(job *j, dal_error *err)
{
    svm_machine *m = j->m;
    const dal_host *h = m->host;
    const dal_rng stream = h->rng(h, "folds", j->f->round);
    const int64_t k = m->n_seen;
    int64_t cells = 0, first = 0, *room = dal_array(h, j->n, sizeof *room);
    j->n_pairs = svm_n_pairs(k);
    j->pairs = dal_array(h, j->n_pairs, sizeof *j->pairs);
    j->numbers = dal_array(h, 3 * j->n_pairs, sizeof *j->numbers);
    if (dal_size_mul(j->n, k - 1, &cells)) {
        j->decision = dal_array(h, cells, sizeof *j->decision);
        j->fold = dal_array(h, cells, sizeof *j->fold);
        j->coef = dal_array(h, cells, sizeof *j->coef);
    }
    if (!room || !j->pairs || !j->numbers || !j->decision || !j->fold || !j->coef) {
        h->free(h, room);
        return no_memory(j->n, err);
    }
    memset(j->coef, 0, (size_t)cells * sizeof *j->coef);
    memset(j->numbers, 0, (size_t)(3 * j->n_pairs) * sizeof *j->numbers);
    for (int64_t a = 0, p = 0; a < k; a++)
        for (int64_t b = a + 1; b < k; b++, p++) {
            const int64_t x = size_of(j, a), y = size_of(j, b), least = x < y ? x : y;
            j->pairs[p] = (pair){a, b, first, !m->kernel.platt || least < 2 ? 0 : least < FOLDS ? least : FOLDS};
            deal(j, p, room, &stream);
            first += x + y;
        }
    j->n_tasks = j->n_pairs * (m->kernel.platt ? FOLDS + 1 : 1);
    h->free(h, room);
    return DAL_OK;
}

/* ---- one machine -------------------------------------------------------------------------------- */

/* The rows of a pair, but for those of `fold` (-1: all). out: their numbers within the pair. */
typedef struct part {
    struct svm_problem problem;
    int64_t *place;
} part;

static int64_t row_of(const job *j, const pair *q, int64_t place)
{
    const int64_t n = size_of(j, q->i);
    return place < n ? j->order[j->at[q->i] + place] : j->order[j->at[q->j] + place - n];
}

static dal_status take(const job *j, const pair *q, int64_t fold, part *out)
{
    const dal_host *h = j->m->host;
    const int64_t n = size_of(j, q->i), all = n + size_of(j, q->j);
    *out = (part){{0, dal_array(h, all, sizeof *out->problem.y), dal_array(h, all, sizeof *out->problem.x)},
                  dal_array(h, all, sizeof *out->place)};
    if (!out->problem.y || !out->problem.x || !out->place)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < all; i++)
        if (fold < 0 || j->fold[q->first + i] != fold) {
            const int at = out->problem.l++;
            out->problem.y[at] = i < n ? 1 : -1;
            out->problem.x[at] = j->rows[row_of(j, q, i)];
            out->place[at] = i;
        }
    return DAL_OK;
}

static struct svm_model *train(const job *j, const pair *q, const part *p)
{
    const svm_machine *m = j->m;
    static const int kernels[] = {LINEAR, RBF, POLY};
    int labels[2] = {1, -1};
    double factors[2] = {j->factor[m->seen[q->i]], j->factor[m->seen[q->j]]};
    const struct svm_parameter how = {.svm_type = C_SVC, .kernel_type = kernels[m->kernel.kind],
                                      .degree = (int)m->kernel.degree, .gamma = m->kernel.gamma,
                                      .coef0 = m->kernel.coef0, .cache_size = j->cache, .eps = j->o->tol, .C = j->o->C,
                                      .nr_weight = 2, .weight_label = labels, .weight = factors, .shrinking = 1};
    return svm_train(&p->problem, &how);
}

/* What was found about the rows of a pair goes to their places. */
static void keep(job *j, int64_t index, const part *p, const struct svm_model *s)
{
    const pair *q = &j->pairs[index];
    const int64_t k = j->m->n_seen, n = size_of(j, q->i);
    j->numbers[index] = s->rho[0];
    for (int i = 0; i < s->l; i++) {
        const int64_t place = p->place[s->sv_indices[i] - 1], row = row_of(j, q, place);
        j->coef[row * (k - 1) + (place < n ? q->j - 1 : q->i)] = s->sv_coef[0][i];
    }
}

/* Task: one pair on all of its rows, or without those of a fold, of which it then speaks. */
static dal_status work(void *ctx, int64_t index)
{
    job *j = ctx;
    const dal_host *h = j->m->host;
    const int64_t each = j->n_tasks / j->n_pairs, p = index / each, fold = index % each - 1;
    const pair *q = &j->pairs[p];
    part rows;
    if (fold >= q->n_folds)
        return DAL_OK;
    dal_status st = h->cancelled(h) ? DAL_E_CANCELLED : take(j, q, fold, &rows);
    if (st == DAL_E_CANCELLED)
        return st;
    if (st == DAL_OK) {
        struct svm_model *s = train(j, q, &rows);
        if (fold < 0)
            keep(j, p, &rows, s);
        for (int64_t i = 0, all = size_of(j, q->i) + size_of(j, q->j); i < all; i++)
            if (fold < 0 ? q->n_folds == 0 : j->fold[q->first + i] == fold)
                svm_predict_values(s, j->rows[row_of(j, q, i)], &j->decision[q->first + i]);
        svm_free_and_destroy_model(&s);
    }
    h->free(h, rows.problem.y);
    h->free(h, rows.problem.x);
    h->free(h, rows.place);
    h->progress(h, atomic_fetch_add(&j->done, 1) + 1, j->n_tasks, "machines");
    return st;
}

static dal_status fit_sigmoid(void *ctx, int64_t p)
{
    const job *j = ctx;
    const pair *q = &j->pairs[p];
    const dal_host *h = j->m->host;
    const int64_t n = size_of(j, q->i), all = n + size_of(j, q->j);
    unsigned char *y = dal_array(h, all, 1);
    if (!y)
        return DAL_E_NOMEM;
    for (int64_t i = 0; i < all; i++)
        y[i] = i < n;
    svm_platt_fit(j->decision + q->first, y, all, &j->numbers[j->n_pairs + p], &j->numbers[2 * j->n_pairs + p]);
    h->free(h, y);
    return DAL_OK;
}

/* ---- the machine -------------------------------------------------------------------------------- */

static int is_vector(const job *j, int64_t row)
{
    for (int64_t k = 0; k < j->m->n_seen - 1; k++)
        if (j->coef[row * (j->m->n_seen - 1) + k] != 0)
            return 1;
    return 0;
}

/* Columns of nodes that are support vectors' become the machine's: mark [d] is 0. */
static dal_status keep_sparse(job *j, const int64_t *vectors, int32_t *mark, dal_error *err)
{
    svm_machine *m = j->m;
    const sparse_rows *r = &j->sparse;
    int64_t values = 0;
    for (int64_t s = 0; s < m->l; s++)
        for (int64_t k = r->row_at[vectors[s]]; k < r->row_at[vectors[s] + 1]; k++, values++)
            mark[r->place[k]]++;
    for (int64_t k = 0; k < r->n_columns; k++)
        m->n_columns += mark[k] > 0;
    m->columns = dal_array(m->host, m->n_columns, sizeof *m->columns);
    m->column_at = dal_array(m->host, m->n_columns + 1, sizeof *m->column_at);
    m->row = dal_array(m->host, values, sizeof *m->row);
    m->x = dal_array(m->host, values, sizeof *m->x);
    if (!m->columns || !m->column_at || !m->row || !m->x)
        return no_memory(m->l, err);
    m->column_at[0] = 0;
    for (int64_t k = 0, at = 0; k < r->n_columns; k++)
        if (mark[k] > 0) {
            m->columns[at] = r->columns[k];
            m->column_at[at + 1] = m->column_at[at] + mark[k];
            mark[k] = (int32_t)at++;
        }
    /* column_at of a column is where its next value goes, and, at the end, where the next column begins */
    for (int64_t s = 0; s < m->l; s++)
        for (int64_t k = r->row_at[vectors[s]]; k < r->row_at[vectors[s] + 1]; k++) {
            const int64_t to = m->column_at[mark[r->place[k]]]++;
            m->row[to] = (int32_t)s;
            m->x[to] = r->by_row[k];
        }
    for (int64_t k = m->n_columns; k > 0; k--)
        m->column_at[k] = m->column_at[k - 1];
    m->column_at[0] = 0;
    return DAL_OK;
}

static dal_status keep_vectors(job *j, const int64_t *vectors, dal_error *err)
{
    svm_machine *m = j->m;
    const dal_host *h = m->host;
    dal_status st = DAL_OK;
    int64_t cells;
    if (m->sparse) {
        int32_t *mark = dal_array(h, j->sparse.n_columns, sizeof *mark);
        if (!mark)
            return no_memory(m->l, err);
        memset(mark, 0, (size_t)j->sparse.n_columns * sizeof *mark);
        st = keep_sparse(j, vectors, mark, err);
        h->free(h, mark);
        return st;
    }
    m->x = dal_size_mul(m->l, m->d, &cells) ? dal_array(h, cells, sizeof *m->x) : NULL;
    if (!m->x)
        return no_memory(m->l, err);
    for (int64_t s = 0; s < m->l && st == DAL_OK; s++)
        if ((st = dal_dense_rows_gather(&j->dense, vectors + s, 1, m->x + s * m->d)) != DAL_OK && err)
            *err = j->dense.error;
    return st;
}

static dal_status collect(job *j, dal_error *err)
{
    svm_machine *m = j->m;
    const dal_host *h = m->host;
    const int64_t others = m->n_seen - 1;
    int64_t *vectors = dal_array(h, j->n, sizeof *vectors);
    for (int64_t i = 0; vectors && i < j->at[m->n_seen]; i++)
        if (is_vector(j, j->order[i]))
            vectors[m->l++] = j->order[i];
    m->owner = dal_array(h, m->l, sizeof *m->owner);
    m->coef = dal_array(h, m->l * others, sizeof *m->coef);
    dal_status st = vectors && m->owner && m->coef ? DAL_OK : no_memory(m->l, err);
    for (int64_t s = 0; s < m->l && st == DAL_OK; s++) {
        const int32_t class = j->f->train->classes[vectors[s]];
        m->owner[s] = 0;
        while (m->seen[m->owner[s]] != class)
            m->owner[s]++;
        memcpy(m->coef + s * others, j->coef + vectors[s] * others, (size_t)others * sizeof *m->coef);
    }
    if (st == DAL_OK)
        st = keep_vectors(j, vectors, err);
    m->pairs = j->numbers;
    j->numbers = NULL;
    h->free(h, vectors);
    return st == DAL_OK ? svm_machine_measure(m, err) : st;
}

/* ---- all together --------------------------------------------------------------------------------- */

static dal_status settle_gamma(job *j, dal_error *err)
{
    svm_machine *m = j->m;
    const double values = (double)j->n * (double)m->d, mean = j->sum / values;
    const double variance = fmax(0, j->squares / values - mean * mean);
    double asked;
    const dal_status st = svm_read_gamma(j->o->gamma, &asked, err);
    if (st != DAL_OK)
        return st;
    m->kernel.gamma = asked > 0 ? asked : asked < 0 || !(variance > 0) ? 1 / (double)m->d
        : 1 / ((double)m->d * variance);
    if (!isfinite(m->kernel.gamma) || !isfinite(j->squares))
        return dal_fail(err, DAL_E_INVALID, "gamma",
                        "the values are too large or too small to be scaled by their variance; scale them (transforms: "
                        "standardize)");
    return DAL_OK;
}

static dal_status run(job *j, dal_error *err)
{
    const dal_host *h = j->m->host;
    const int32_t threads = h->threads(h);
    j->cache = fmax(1, (double)j->o->cache / (double)(threads > 0 ? threads : 1));
    svm_set_print_string_function(silent);
    dal_status st = h->parallel_for(h, j->n_tasks, work, j);
    if (st == DAL_OK && j->m->kernel.platt)
        st = h->parallel_for(h, j->n_pairs, fit_sigmoid, j);
    if (st == DAL_E_CANCELLED)
        return dal_fail(err, st, "", "interrupted");
    return st == DAL_OK ? collect(j, err) : no_memory(j->n, err);
}

static void end(job *j)
{
    const dal_host *h = j->m->host;
    void *all[] = {j->nodes, j->rows, j->order, j->at, j->factor, j->pairs, j->decision, j->fold, j->coef, j->numbers};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        h->free(h, all[i]);
    if (j->dense.host)
        dal_dense_rows_fini(&j->dense);
    sparse_rows_free(&j->sparse);
}

dal_status svm_machine_train(svm_machine *m, const svm_options *o, const dal_fit *f, dal_error *err)
{
    job j = {.m = m, .o = o, .f = f, .n = f->train->n};
    if (j.n > INT32_MAX / 2)
        return dal_fail(err, DAL_E_OVERFLOW, "", "%lld training samples are too many for libsvm", (long long)j.n);
    m->kernel = (svm_kernel){.kind = o->kernel, .platt = o->probability == SVM_PLATT, .coef0 = o->coef0,
                             .degree = o->degree};
    j.factor = dal_array(m->host, m->c, sizeof *j.factor);
    dal_status st = j.factor ? weigh(&j, err) : no_memory(j.n, err);
    if (st == DAL_OK)
        st = sort_classes(&j, err);
    if (st == DAL_OK)
        st = read_rows(&j, err);
    if (st == DAL_OK)
        st = settle_gamma(&j, err);
    if (st == DAL_OK)
        st = make_pairs(&j, err);
    if (st == DAL_OK)
        st = run(&j, err);
    end(&j);
    return st;
}

#else

dal_status svm_machine_train(svm_machine *m, const svm_options *o, const dal_fit *f, dal_error *err)
{
    (void)m, (void)o, (void)f;
    return dal_fail(err, DAL_E_UNSUPPORTED, "",
                    "this dalhost was built without libsvm: install libsvm-dev, configure and build again");
}

#endif
