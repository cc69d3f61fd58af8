/* vessal: one look at each sample of a stream; keep it with a probability that follows the volume it adds.
 *
 * Saran, Yousefi, Krishnamurthy, Langford, Ash, "Streaming active learning with deep neural networks", ICML
 * 2023, algorithm 1. x_t is the gradient of the last layer for the predicted class, g = (p - e_y) (x) h; A =
 * lambda I. In a random order, for t = 1..n with k picks so far:
 *
 *     Sigma = (t - 1) / t Sigma + 1 / t x x'                         of all that was seen
 *     p = min(1, z  x' A^-1 x / tr(Sigma A^-1)),  z = (b - k) / (n - t + 1)
 *     with probability p: take it, A = A + x x'
 *
 * until b are taken; what is missing at the end is drawn from the rest. tr is 0 as long as there is no
 * gradient: then p = z. The inverse is kept as A^-1 = I / lambda - sum_k w_k w_k', w = A^-1 x / sqrt(1 + x'
 * A^-1 x), so that a sample takes a product with each w and no matrix; tr is the mean of x' A^-1 x over what
 * was seen. In directions that are covered already these are differences of large numbers: w is kept to 48
 * bits, in two floats.
 *
 * width      an embedding longer than this (c d numbers) is replaced by a sketch of this length, the product of
 *            random sign projections of both factors, (R p) (S h) / sqrt(width): its inner products are those
 *            of the embeddings in expectation. The authors take the embedding itself, or for many classes a
 *            Gaussian projection.
 * embedding  features: h itself, whatever its length
 *
 * The score of a pick is the p it was taken with; NaN: drawn at the end. The order is one of places in the pool: where
 * the samples stand in another order, others come early, and other ones are picked.
 * Needs features, and outputs for gradients. O(n b D), D the smaller of c d and width; 4 D (n + 2 b + c + d) bytes.
 */
#include <dal/gradient.h>
#include <dal/linalg.h>
#include <dal/neighbours.h>
#include <dal/select.h>

#include <math.h>

#define BLOCK 256 /* samples embedded at a time */
#define GROUP 64  /* samples in a task */

#define EMBED_GRADIENT 0u

typedef struct options {
    double lambda;
    uint32_t embedding;
    int64_t width;
} options;

typedef struct volume {
    const dal_host *host;
    dal_gradients g;
    double lambda;
    int64_t n, b, c, d, width; /* width: D */
    int sketched, plain;       /* embedded as a sketch; as the features */
    int64_t *order;            /* [n] rows as they come */
    float *signs_a, *signs_h;  /* [D, c], [D, d] R, S */
    float *a, *h, *other;      /* [BLOCK, c], [BLOCK, d], [BLOCK, D] of a block */
    float *x;                  /* [n, D] as they come */
    double *q;                 /* [n] x' A^-1 x */
    int64_t seen, embedded;    /* samples that went by; that x and q hold */
    double sum;                /* of q over those seen: t tr(Sigma A^-1) */
    float *w;                  /* [b, 2, D] high and low parts */
    int64_t fresh;             /* the first w that is not counted in q yet, see measure_task */
    double *v;                 /* [D] */
    int64_t n_taken, *taken;   /* [b] rows */
    double *chances;           /* [b] */
} volume;

/* ---- embeddings ------------------------------------------------------------------------------- */

/* Random signs, scaled: entry k of the stream is keyed by its place. */
static void draw_signs(float *out, int64_t n, dal_rng stream, double scale)
{
    for (int64_t k = 0; k < n; k++)
        out[k] = (float)(dal_rng_u32(&stream) & 1 ? scale : -scale);
}

/* The next n samples into x. */
static dal_status embed(volume *s, int64_t n)
{
    const int64_t c = s->c, d = s->d, width = s->width;
    float *x = s->x + s->embedded * width;
    dal_status st = DAL_OK;
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = s->order[s->embedded + i];
        const float *h = s->g.features.data + row * s->g.features.stride;
        memcpy((s->plain ? x : s->h) + i * d, h, (size_t)d * sizeof *h);
        if (!s->plain)
            dal_gradient_factor(&s->g, row, 1, s->a + i * c, NULL);
    }
    if (s->sketched) {
        st = dal_gemm_nt(n, width, c, 1, s->a, c, s->signs_a, c, 0, x, width);
        if (st == DAL_OK)
            st = dal_gemm_nt(n, width, d, 1, s->h, d, s->signs_h, d, 0, s->other, width);
        for (int64_t i = 0; st == DAL_OK && i < n * width; i++)
            x[i] *= s->other[i];
    } else if (!s->plain) {
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < width; k++)
                x[i * width + k] = s->a[i * c + k / d] * s->h[i * d + k % d];
    }
    return st;
}

/* ---- x' A^-1 x -------------------------------------------------------------------------------- */

/* x . w_k */
static double along(const volume *s, const float *x, int64_t k)
{
    const float *w = s->w + 2 * k * s->width;
    return dal_dot(x, w, s->width) + dal_dot(x, w + s->width, s->width);
}

/* q of the samples that x holds: less what is along the w from `fresh` on. */
static dal_status measure_task(void *ctx, int64_t t)
{
    const volume *s = ctx;
    for (int64_t i = t * GROUP; i < s->embedded && i < (t + 1) * GROUP; i++)
        for (int64_t k = s->fresh; k < s->n_taken; k++) {
            const double part = along(s, s->x + i * s->width, k);
            s->q[i] = fmax(0, s->q[i] - part * part);
        }
    return DAL_OK;
}

static dal_status start_task(void *ctx, int64_t t)
{
    const volume *s = ctx;
    for (int64_t i = s->seen + t * GROUP; i < s->embedded && i < s->seen + (t + 1) * GROUP; i++) {
        const float *x = s->x + i * s->width;
        s->q[i] = dal_dot(x, x, s->width) / s->lambda;
        for (int64_t k = 0; k < s->n_taken; k++) {
            const double part = along(s, x, k);
            s->q[i] = fmax(0, s->q[i] - part * part);
        }
    }
    return DAL_OK;
}

/* ---- the stream ------------------------------------------------------------------------------- */

/* A^-1 x over the root of 1 + q becomes the next w. */
static void add_direction(volume *s, const float *x, double q)
{
    float *w = s->w + 2 * s->n_taken * s->width;
    for (int64_t k = 0; k < s->width; k++)
        s->v[k] = (double)x[k] / s->lambda;
    for (int64_t i = 0; i < s->n_taken; i++) {
        const float *other = s->w + 2 * i * s->width;
        const double part = along(s, x, i);
        for (int64_t k = 0; k < s->width; k++)
            s->v[k] -= part * ((double)other[k] + (double)other[s->width + k]);
    }
    for (int64_t k = 0; k < s->width; k++) {
        const double value = s->v[k] / sqrt(1 + q);
        w[k] = (float)value;
        w[s->width + k] = (float)(value - (double)w[k]);
    }
}

static void take(volume *s, double chance)
{
    add_direction(s, s->x + s->seen * s->width, s->q[s->seen]);
    s->taken[s->n_taken] = s->order[s->seen];
    s->chances[s->n_taken] = chance;
    s->fresh = s->n_taken++;
    s->host->parallel_for(s->host, (s->embedded + GROUP - 1) / GROUP, measure_task, s);
    s->sum = 0;
    for (int64_t i = 0; i <= s->seen; i++)
        s->sum += s->q[i];
}

/* The next sample comes by, u is its coin. Is it taken? */
static int visit(volume *s, double u)
{
    const double t = (double)(s->seen + 1), rate = (double)(s->b - s->n_taken) / ((double)s->n - t + 1);
    s->sum += s->q[s->seen];
    const double chance = s->sum > 0 ? fmin(1, rate * s->q[s->seen] / (s->sum / t)) : rate;
    const int wanted = u < chance;
    if (wanted)
        take(s, chance);
    s->seen++;
    return wanted;
}

static dal_status run_stream(volume *s, dal_rng coins, dal_error *err)
{
    dal_status st = DAL_OK;
    while (st == DAL_OK && s->seen < s->n && s->n_taken < s->b) {
        const int64_t n = s->n - s->seen < BLOCK ? s->n - s->seen : BLOCK;
        if (s->host->cancelled(s->host))
            return dal_fail(err, DAL_E_CANCELLED, "", "interrupted");
        st = embed(s, n);
        s->embedded += n;
        if (st == DAL_OK)
            st = s->host->parallel_for(s->host, (n + GROUP - 1) / GROUP, start_task, s);
        while (st == DAL_OK && s->seen < s->embedded && s->n_taken < s->b)
            visit(s, dal_rng_uniform(&coins));
        s->host->progress(s->host, s->seen, s->n, "samples");
    }
    return st == DAL_OK ? st : dal_fail(err, st, "", "embeddings are too wide");
}

/* The rest at random. */
static void fill_up(volume *s, dal_rng stream)
{
    int64_t left = 0;
    for (int64_t i = 0; i < s->n; i++)
        s->order[i] = 0;
    for (int64_t k = 0; k < s->n_taken; k++)
        s->order[s->taken[k]] = 1;
    for (int64_t i = 0; i < s->n; i++)
        if (!s->order[i])
            s->order[left++] = i; /* left <= i: what is overwritten was looked at */
    dal_rng_shuffle(&stream, s->order, left, s->b - s->n_taken);
    for (int64_t k = 0; s->n_taken < s->b; k++) {
        s->taken[s->n_taken] = s->order[k];
        s->chances[s->n_taken++] = (double)NAN;
    }
}

/* ---- putting it together ---------------------------------------------------------------------- */

static void *cells_of(const dal_host *host, int64_t rows, int64_t cols, size_t size)
{
    int64_t n;
    return dal_size_mul(rows, cols, &n) ? dal_array(host, n, size) : NULL;
}

static int take_memory(volume *s)
{
    const dal_host *host = s->host;
    s->order = dal_array(host, s->n, sizeof *s->order);
    s->signs_a = cells_of(host, s->sketched ? s->width : 0, s->c, sizeof *s->signs_a);
    s->signs_h = cells_of(host, s->sketched ? s->width : 0, s->d, sizeof *s->signs_h);
    s->a = cells_of(host, BLOCK, s->c, sizeof *s->a);
    s->h = cells_of(host, BLOCK, s->d, sizeof *s->h);
    s->x = cells_of(host, s->n, s->width, sizeof *s->x);
    s->other = cells_of(host, s->sketched ? BLOCK : 0, s->width, sizeof *s->other);
    s->q = dal_array(host, s->n, sizeof *s->q);
    s->w = cells_of(host, s->b, s->width, 2 * sizeof *s->w);
    s->v = dal_array(host, s->width, sizeof *s->v);
    s->taken = dal_array(host, s->b, sizeof *s->taken);
    s->chances = dal_array(host, s->b, sizeof *s->chances);
    if (!s->order || !s->signs_a || !s->signs_h || !s->a || !s->h || !s->x || !s->other || !s->q || !s->w ||
        !s->v || !s->taken || !s->chances)
        return 0;
    for (int64_t i = 0; i < s->n; i++)
        s->order[i] = i;
    return 1;
}

static void give_memory(volume *s)
{
    void *const all[] = {s->order, s->signs_a, s->signs_h, s->a, s->h, s->x, s->other, s->q, s->w, s->v,
                         s->taken, s->chances};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        s->host->free(s->host, all[i]);
}

/* How samples are embedded, and how long that is. */
static dal_status choose_width(volume *s, const options *opt, dal_error *err)
{
    int64_t whole;
    s->d = s->g.features.cols;
    s->c = s->plain ? 1 : dal_gradient_width(&s->g);
    if (!dal_size_mul(s->c, s->d, &whole) || whole < 1)
        return dal_fail(err, DAL_E_INVALID, "", "no embedding from %lld classes and %lld features",
                        (long long)s->c, (long long)s->d);
    s->sketched = !s->plain && whole > opt->width;
    s->width = s->plain ? s->d : s->sketched ? opt->width : whole;
    return DAL_OK;
}

/* NaN and infinities by name. */
static dal_status check_numbers(const volume *s, dal_error *err)
{
    const int64_t n = s->g.features.rows;
    double *norms = dal_array(s->host, s->plain ? 0 : n, sizeof *norms);
    float *lengths = dal_array(s->host, s->plain ? n : 0, sizeof *lengths);
    const dal_status st = !norms || !lengths ? dal_fail(err, DAL_E_NOMEM, "", "no memory for the candidates")
                          : s->plain ? dal_row_norms(s->host, &s->g.features, "candidate", lengths, err)
                                     : dal_gradient_norms(s->host, &s->g, norms, err);
    s->host->free(s->host, norms);
    s->host->free(s->host, lengths);
    return st;
}

static dal_status read_samples(volume *s, const options *opt, const dal_view *view, dal_error *err)
{
    dal_status st = DAL_OK;
    s->plain = opt->embedding != EMBED_GRADIENT;
    s->g = (dal_gradients){.struct_size = sizeof s->g, .ids = view->ids(view, DAL_ROWS_CANDIDATES)};
    if (!s->plain)
        st = view->outputs(view, DAL_ROWS_CANDIDATES, &s->g.outputs, err);
    if (st == DAL_OK)
        st = view->features(view, DAL_ROWS_CANDIDATES, &s->g.features, err);
    if (st == DAL_OK)
        st = choose_width(s, opt, err);
    s->n = s->g.features.rows;
    return st == DAL_OK ? check_numbers(s, err) : st;
}

static dal_status vessal_select(void *p, const dal_view *view, dal_picks *picks, dal_error *err)
{
    const dal_stateless *self = p;
    const dal_host *host = self->host;
    const options *opt = self->options;
    volume s = {.host = host, .lambda = opt->lambda, .b = picks->want};
    dal_rng order = host->rng(host, "order", view->round);
    picks->n = 0;
    if (picks->want <= 0)
        return DAL_OK;
    dal_status st = read_samples(&s, opt, view, err);
    if (st != DAL_OK)
        return st;
    st = take_memory(&s) ? DAL_OK : dal_fail(err, DAL_E_NOMEM, "", "no memory for embeddings of %lld numbers",
                                             (long long)s.width);
    if (st == DAL_OK) {
        if (s.sketched) {
            draw_signs(s.signs_a, s.width * s.c, host->rng(host, "classes", view->round),
                       1 / sqrt((double)s.width));
            draw_signs(s.signs_h, s.width * s.d, host->rng(host, "features", view->round), 1);
        }
        dal_rng_shuffle(&order, s.order, s.n, s.n);
        st = run_stream(&s, host->rng(host, "coins", view->round), err);
    }
    if (st == DAL_OK) {
        fill_up(&s, host->rng(host, "rest", view->round));
        dal_pick_rows(view, s.taken, s.chances, s.b, picks);
    }
    give_memory(&s);
    return st;
}

static void vessal_cost(void *self, const void *options_, const dal_problem *problem, dal_cost *out)
{
    const options *opt = self ? ((const dal_stateless *)self)->options : options_;
    const double n = (double)problem->n, b = (double)problem->n_query, c = (double)problem->c,
                 d = (double)problem->d;
    const double gradient = fmin(c * d, (double)opt->width);
    const double width = opt->embedding == EMBED_GRADIENT ? gradient : d;
    out->bytes = 4 * width * (n + 2 * b + c + d) + 16 * n + 16 * b + 1024 * (c + d + width) + 8 * n + 1e5;
    out->flops = 4 * n * width * b;
    snprintf(out->formula, sizeof out->formula,
             "O(n b D) time, O(D (n + b + c + d)) memory, D the embedding's length");
}

static const dal_strategy_impl vessal_impl = {
    .struct_size = sizeof vessal_impl,
    .create = dal_stateless_create,
    .destroy = dal_stateless_destroy,
    .select = vessal_select,
    .cost = vessal_cost,
};

#define PARAMS(P, T)                                                                                              \
    P(T, lambda, F64, "0.01", "(0..]", "", "A = lambda I before the first pick")                                  \
    P(T, embedding, CHOICE, "gradient", "gradient|features", "", "what a sample is embedded as")                  \
    P(T, width, I64, "512", "1..8192", "", "longest gradient embedding; longer ones are sketched")
#define COMPONENTS(C)                                                                                             \
    C(STRATEGY, "vessal", vessal_impl, "volume sampling of gradients in one pass", "Saran et al., ICML 2023",     \
      DAL_CAP_OUTPUTS " " DAL_CAP_FEATURES, "", options, PARAMS)
#define ABOUT(A)                                                                                  \
    A(STRATEGY, "vessal",                                                                         \
      "in a random order keep x with p = min(1, (b - k)/(n - t + 1) x' A^-1 x / tr(Sigma A^-1))", \
      "long embeddings are sketched by random signs (theirs: a Gaussian projection)")
#define WHEN(W) W(STRATEGY, "vessal", DAL_CAP_OUTPUTS, "embedding", "gradient")
DAL_MODULE_WHEN(vessal, "1.0", "Apache-2.0", COMPONENTS, ABOUT, WHEN, NULL, NULL)
