#include <dal/topk.h>

#include <math.h>

#include "clones.h"

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

/* Let (score, index) rise from `at` to where its parent is not better. */
static void rise(dal_topk *t, int64_t at, double score, int64_t index)
{
    while (at > 0) {
        const int64_t parent = (at - 1) / 2;
        if (!better(t, t->scores[parent], t->index[parent], score, index))
            break;
        put(t, at, t->scores[parent], t->index[parent]);
        at = parent;
    }
    put(t, at, score, index);
}

/* The worse of two neighbours. Which it is cannot be guessed: two numbers are told apart without a branch. */
static int64_t worse(const dal_topk *t, int64_t i)
{
    const int less = t->scores[i + 1] < t->scores[i], more = t->scores[i + 1] > t->scores[i];
    if (less | more)
        return i + (t->order == DAL_LARGEST_FIRST ? less : more);
    return i + better(t, t->scores[i], t->index[i], t->scores[i + 1], t->index[i + 1]);
}

/* Put (score, index) in the place of the root of the first n. Most belong near the end: the root's place is handed down
 * to a leaf first, and from there it rises. */
static void replace_root(dal_topk *t, int64_t n, double score, int64_t index)
{
    int64_t at = 0;
    for (int64_t child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n)
            child = worse(t, child);
        put(t, at, t->scores[child], t->index[child]);
        at = child;
    }
    rise(t, at, score, index);
}

static void push_one(dal_topk *t, double score, int64_t index)
{
    if (t->n < t->k)
        rise(t, t->n++, score, index);
    else if (t->k > 0 && better(t, score, index, t->scores[0], t->index[0]))
        replace_root(t, t->n, score, index);
}

/* The first of scores[i..n-1] that is not worse than `worst` by its number alone, as NaN never is; n: none. */
DAL_CLONES static int64_t find_wanted(const double *scores, int64_t i, int64_t n, double worst, uint32_t order)
{
    enum { LANES = 16 };
    const double sign = order == DAL_LARGEST_FIRST ? 1 : -1; /* exact */
    for (; i + LANES <= n; i += LANES) {
        int64_t wanted = 0;
        for (int l = 0; l < LANES; l++)
            wanted |= !(sign * scores[i + l] < sign * worst);
        if (wanted)
            break;
    }
    while (i < n && sign * scores[i] < sign * worst)
        i++;
    return i;
}

void dal_topk_push(dal_topk *t, const double *scores, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (t->n == t->k && t->k > 0) /* almost all of a long stream are passed over */
            i = find_wanted(scores, i, n, t->scores[0], t->order);
        if (i == n)
            return;
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
        replace_root(t, n, score, index);
    }
}
