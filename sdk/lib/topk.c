#include <dal/topk.h>

#include <math.h>

void dal_topk_init(dal_topk *t, int64_t k, uint32_t order, double *scores, int64_t *index)
{
    *t = (dal_topk){.k = k, .order = order, .scores = scores, .index = index};
}

/* Is (a, i) better than (b, j)? */
static int better(const dal_topk *t, double a, int64_t i, double b, int64_t j)
{
    if (a > b)
        return t->order == DAL_LARGEST_FIRST;
    if (a < b)
        return t->order == DAL_SMALLEST_FIRST;
    if (isnan(a) != isnan(b))
        return isnan(b);
    return i < j;
}

static void put(dal_topk *t, int64_t at, double score, int64_t index)
{
    t->scores[at] = score;
    t->index[at] = index;
}

/* Let (score, index) sink from the root of the first n to where no child is worse. */
static void sink(dal_topk *t, int64_t n, double score, int64_t index)
{
    int64_t at = 0;
    for (int64_t child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n &&
            better(t, t->scores[child], t->index[child], t->scores[child + 1], t->index[child + 1]))
            child++;
        if (!better(t, score, index, t->scores[child], t->index[child]))
            break;
        put(t, at, t->scores[child], t->index[child]);
        at = child;
    }
    put(t, at, score, index);
}

static void rise(dal_topk *t, double score, int64_t index)
{
    int64_t at = t->n++;
    for (; at > 0; at = (at - 1) / 2) {
        const int64_t parent = (at - 1) / 2;
        if (!better(t, t->scores[parent], t->index[parent], score, index))
            break;
        put(t, at, t->scores[parent], t->index[parent]);
    }
    put(t, at, score, index);
}

static void push_one(dal_topk *t, double score, int64_t index)
{
    if (t->n < t->k)
        rise(t, score, index);
    else if (t->k > 0 && better(t, score, index, t->scores[0], t->index[0]))
        sink(t, t->n, score, index);
}

/* Worse than the worst that is kept, by its number alone? Never so for NaN, on either side. */
static int surely_worse(const dal_topk *t, double score)
{
    return t->order == DAL_LARGEST_FIRST ? score < t->scores[0] : score > t->scores[0];
}

void dal_topk_push(dal_topk *t, const double *scores, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (t->n == t->k && t->k > 0 && surely_worse(t, scores[i])) /* almost all of a long stream */
            continue;
        t->n_nan += isnan(scores[i]) != 0;
        push_one(t, scores[i], first + i);
    }
}

void dal_topk_merge(dal_topk *into, const dal_topk *from)
{
    for (int64_t i = 0; i < from->n; i++)
        push_one(into, from->scores[i], from->index[i]);
    into->n_nan += from->n_nan;
}

void dal_topk_sort(dal_topk *t)
{
    /* the worst goes to the end, then the rest is a smaller heap */
    for (int64_t n = t->n - 1; n > 0; n--) {
        const double score = t->scores[n];
        const int64_t index = t->index[n];
        put(t, n, t->scores[0], t->index[0]);
        sink(t, n, score, index);
    }
}
