#include <criterion/criterion.h>
#include <dal/oracle.h>
#include <dal/runtime.h>
#include <math.h>
#include <stdlib.h>

#include "pipeline/evaluate.h"
#include "pipeline/pool.h"

static dal_runtime *runtime(uint64_t seed)
{
    dal_error err = DAL_ERROR_INIT;
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .seed = seed};
    dal_runtime *rt = dal_runtime_new(&config, &err);
    cr_assert(rt, "%s", err.text);
    return rt;
}

static bool ascends(const int64_t *x, int64_t n)
{
    for (int64_t i = 1; i < n; i++)
        if (x[i] <= x[i - 1])
            return false;
    return true;
}

Test(pool, moves_each_answer_where_it_belongs)
{
    dal_runtime *rt = runtime(1);
    pool p;
    pool_init(&p, 10, 3, NULL, 0);
    const pick picks[] = {
        {.id = 7, .answer = DAL_ANSWER_CLASS, .cls = 2},
        {.id = 2, .answer = DAL_ANSWER_OUT_OF_CLASS},
        {.id = 5, .answer = DAL_ANSWER_ABSTAIN},
        {.id = 1, .answer = DAL_ANSWER_CLASS, .cls = 0},
        {.id = 9, .answer = DAL_ANSWER_PENDING},
    };
    pool_answer(&p, picks, 5);
    pool_lists(&p, 0, dal_runtime_host(rt, "query"), 0);
    const row_sets s = pool_sets(&p);
    cr_assert_eq(s.n[DAL_ROWS_LABELLED], 2);
    cr_assert(s.ids[DAL_ROWS_LABELLED][0] == 1 && s.ids[DAL_ROWS_LABELLED][1] == 7);
    cr_assert(s.classes[0] == 0 && s.classes[1] == 2);
    cr_assert(s.n[DAL_ROWS_OOD] == 1 && s.ids[DAL_ROWS_OOD][0] == 2);
    cr_assert_eq(s.n[DAL_ROWS_UNLABELLED], 5, "abstained and pending samples are not asked again");
    cr_assert_eq(s.ids[DAL_ROWS_CANDIDATES], s.ids[DAL_ROWS_UNLABELLED]);
    pool_fini(&p);
    dal_runtime_free(rt);
}

Test(pool, candidates_are_an_ascending_subset_of_this_round_alone)
{
    dal_runtime *rt = runtime(1);
    const dal_host *h = dal_runtime_host(rt, "query");
    int64_t first[20], differ = 0;
    pool p;
    pool_init(&p, 1000, 2, NULL, 0);
    for (int round = 0; round < 3; round++) {
        pool_lists(&p, 20, h, round % 2);
        const row_sets s = pool_sets(&p);
        const int64_t *c = s.ids[DAL_ROWS_CANDIDATES];
        cr_assert(s.n[DAL_ROWS_CANDIDATES] == 20 && s.n[DAL_ROWS_UNLABELLED] == 1000 && ascends(c, 20));
        if (round == 0)
            memcpy(first, c, sizeof first);
        else
            differ += memcmp(first, c, sizeof first) != 0;
    }
    cr_assert_eq(differ, 1, "round 1 draws anew, round 0 draws the same again");
    pool_fini(&p);
    dal_runtime_free(rt);
}

Test(pool, balanced_initial_sets_are_as_even_as_the_classes_allow)
{
    dal_runtime *rt = runtime(3);
    int32_t known[100];
    int64_t ids[30], count[4] = {0};
    for (int i = 0; i < 100; i++)
        known[i] = i < 3 ? 0 : i < 50 ? 1 : i < 90 ? 2 : DAL_LABEL_NONE; /* class 3 has none */
    pool p;
    pool_init(&p, 100, 4, NULL, 0);
    const int64_t n = pool_draw_initial(&p, known, 30, true, dal_runtime_host(rt, "initial"), ids);
    cr_assert_eq(n, 30);
    cr_assert(ascends(ids, n));
    for (int64_t i = 0; i < n; i++)
        count[known[ids[i]]]++;
    cr_assert(count[0] == 3 && labs((long)(count[1] - count[2])) <= 1);
    cr_assert_eq(pool_draw_initial(&p, known, 95, false, dal_runtime_host(rt, "initial"), (int64_t[95]){0}), 90,
                 "no more than have a known class");
    pool_fini(&p);
    dal_runtime_free(rt);
}

Test(metrics, follow_their_definitions_with_absent_classes)
{
    /* truth 0: 6 right of 8; truth 1: 1 of 2; class 2 is never true, said once; class 3 never at all */
    const class_counts counts[4] = {{8, 7, 6}, {2, 2, 1}, {0, 1, 0}, {0, 0, 0}};
    double recall[4];
    round_metrics m = {0};
    metrics_from_counts(counts, 4, 5.0, &m, recall);
    cr_assert_float_eq(m.accuracy, 0.7, 1e-12);
    cr_assert_float_eq(m.balanced_accuracy, (0.75 + 0.5) / 2, 1e-12);
    cr_assert_float_eq(m.macro_f1, (12.0 / 15 + 2.0 / 4 + 0) / 3, 1e-12);
    cr_assert_float_eq(m.log_loss, 0.5, 1e-12);
    cr_assert(isnan(recall[2]) && isnan(recall[3]));
}
