/* The coreset strategy through its table, on a view made by hand. */
#include "tests/unit/fixture.h"

#include <math.h>

#include "plugins/strategies/coreset.c"

typedef struct rows {
    dal_matrix features[DAL_ROW_SETS];
    int64_t ids[8];
} rows;

static int64_t count_rows(const dal_view *v, uint32_t set)
{
    return ((const rows *)v->impl)->features[set].rows;
}

static const int64_t *give_ids(const dal_view *v, uint32_t set)
{
    cr_assert_eq(set, DAL_ROWS_CANDIDATES);
    return ((const rows *)v->impl)->ids;
}

static dal_status give_features(const dal_view *v, uint32_t set, dal_matrix *out, dal_error *err)
{
    (void)err;
    *out = ((const rows *)v->impl)->features[set];
    return out->data ? DAL_OK : dal_fail(err, DAL_E_IO, "", "no features on disk");
}

/* Picks of 3 into got; returns what select does. */
static dal_status run(const rows *r, const options *opt, uint64_t seed, dal_picks *picks, dal_error *err)
{
    dal_runtime *rt = fx_runtime(2, seed);
    const dal_view view = {.struct_size = sizeof view, .impl = (void *)(uintptr_t)r, .count = count_rows,
                           .ids = give_ids, .features = give_features};
    void *self = NULL;
    cr_assert_eq(coreset_impl.create(dal_runtime_host(rt, "coreset"), opt, &self, err), DAL_OK);
    const dal_status st = coreset_impl.select(self, &view, picks, err);
    coreset_impl.destroy(self);
    cr_assert_eq(dal_runtime_allocated(rt), 0);
    dal_runtime_free(rt);
    return st;
}

static const float pool[8] = {1, 0, 4, 0, 4, 1, 0, 3}, origin[2] = {0, 0}, corner[2] = {4, 1};

static rows example(void)
{
    return (rows){{[DAL_ROWS_CANDIDATES] = {pool, 4, 2, 2}, [DAL_ROWS_LABELLED] = {origin, 1, 2, 2},
                   [DAL_ROWS_OOD] = {corner, 1, 2, 2}}, {10, 20, 30, 40}};
}

Test(coreset, picks_the_worked_example_by_pool_index)
{
    const rows r = example();
    const options opt = {0, 0};
    int64_t ids[3];
    double scores[3];
    dal_picks picks = {.struct_size = sizeof picks, .want = 3, .ids = ids, .scores = scores};
    cr_assert_eq(run(&r, &opt, 1, &picks, NULL), DAL_OK);
    cr_assert(picks.n == 3 && ids[0] == 30 && ids[1] == 40 && ids[2] == 10);
    cr_assert_float_eq(scores[0], 4.123106, 1e-6);
    cr_assert(scores[1] == 3 && scores[2] == 1);
}

Test(coreset, keeps_away_from_samples_without_a_class_when_told)
{
    const rows r = example();
    const options opt = {0, 1};
    int64_t ids[3];
    double scores[3];
    dal_picks picks = {.struct_size = sizeof picks, .want = 3, .ids = ids, .scores = scores};
    cr_assert_eq(run(&r, &opt, 1, &picks, NULL), DAL_OK);
    cr_assert(ids[0] == 40 && ids[1] == 10 && ids[2] == 20);
}

Test(coreset, starts_anywhere_when_nothing_is_labelled)
{
    rows r = example();
    int64_t ids[3], starts[4] = {0};
    double scores[3];
    dal_picks picks = {.struct_size = sizeof picks, .want = 3, .ids = ids, .scores = scores};
    r.features[DAL_ROWS_LABELLED] = (dal_matrix){0};
    const options lowest = {FIRST_LOWEST, 0}, anywhere = {FIRST_RANDOM, 0};
    for (uint64_t seed = 0; seed < 60; seed++) {
        cr_assert_eq(run(&r, &lowest, seed, &picks, NULL), DAL_OK);
        cr_assert(ids[0] == 10 && isnan(scores[0]) && ids[1] == 30);
        cr_assert_eq(run(&r, &anywhere, seed, &picks, NULL), DAL_OK);
        starts[ids[0] / 10 - 1]++;
    }
    for (int i = 0; i < 4; i++)
        cr_assert_geq(starts[i], 3, "sample %d starts %lld of 60 times", i, (long long)starts[i]);
}

Test(coreset, hands_on_why_there_are_no_features)
{
    rows r = example();
    const options opt = {0, 0};
    int64_t ids[3];
    double scores[3];
    dal_error err = DAL_ERROR_INIT;
    dal_picks picks = {.struct_size = sizeof picks, .want = 3, .ids = ids, .scores = scores};
    r.features[DAL_ROWS_LABELLED].data = NULL;
    cr_assert_eq(run(&r, &opt, 1, &picks, &err), DAL_E_IO);
    cr_assert_str_eq(err.text, "no features on disk");
    cr_assert_eq(picks.n, 0);
}
