#include <criterion/criterion.h>
#include <dal/rng.h>
#include <dal/topk.h>
#include <math.h>
#include <stdlib.h>

enum { N = 1000, MANY = 64 };

typedef struct entry {
    double score;
    int64_t index;
} entry;

static int largest_first(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (isnan(x->score) != isnan(y->score))
        return isnan(x->score) ? 1 : -1;
    if (!isnan(x->score) && x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Scores with many ties, some NaN and infinite. */
static void draw(double *s, uint64_t seed)
{
    dal_rng r = dal_rng_from_key(seed);
    for (int i = 0; i < N; i++) {
        const int64_t x = dal_rng_below(&r, 50);
        s[i] = x == 0 ? (double)NAN : x == 1 ? (double)INFINITY : x == 2 ? -(double)INFINITY : (double)x;
    }
}

Test(topk, equals_a_full_sort_in_either_order_and_any_cut_into_blocks)
{
    double s[N], kept[2][MANY];
    int64_t index[2][MANY];
    for (uint64_t seed = 1; seed <= 20; seed++)
        for (uint32_t order = DAL_LARGEST_FIRST; order <= DAL_SMALLEST_FIRST; order++)
            for (int k = 0; k <= MANY; k += 16) {
                entry want[N];
                draw(s, seed);
                for (int i = 0; i < N; i++)
                    want[i] = (entry){order == DAL_LARGEST_FIRST ? s[i] : -s[i], i};
                qsort(want, N, sizeof *want, largest_first);
                dal_topk a, b;
                dal_topk_init(&a, k, order, kept[0], index[0]);
                dal_topk_init(&b, k, order, kept[1], index[1]);
                dal_topk_push(&b, s + 300, 300, N - 300); /* the later rows first, in another heap */
                dal_topk_push(&a, s, 0, 7);
                dal_topk_push(&a, s + 7, 7, 293);
                dal_topk_merge(&a, &b);
                dal_topk_sort(&a);
                cr_assert_eq(a.n, k);
                for (int i = 0; i < k; i++)
                    cr_assert_eq(a.index[i], want[i].index, "seed %d order %u k %d place %d", (int)seed, order, k, i);
            }
}

Test(topk, keeps_everything_when_there_is_less_than_k_and_counts_nan)
{
    const double s[4] = {2, (double)NAN, 3, 2};
    double kept[8];
    int64_t index[8];
    dal_topk t;
    dal_topk_init(&t, 8, DAL_SMALLEST_FIRST, kept, index);
    dal_topk_push(&t, s, 10, 4);
    dal_topk_sort(&t);
    cr_assert_eq(t.n, 4);
    cr_assert_eq(t.n_nan, 1);
    cr_assert(index[0] == 10 && index[1] == 13 && index[2] == 12 && index[3] == 11);
}
