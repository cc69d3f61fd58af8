/* What strategies say they take, and what becomes of one that takes too much. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "pipeline/cost.h"

/* n (b + 10) bytes; the options, when there are any, are a factor. */
static void grows(void *self, const void *options, const dal_problem *p, dal_cost *out)
{
    (void)self;
    out->bytes = (double)p->n * (double)(p->n_query + 10) * (options ? *(const double *)options : 1);
    out->flops = 3e9;
    snprintf(out->formula, sizeof out->formula, "O(n b) memory");
}

static void is_not_a_number(void *self, const void *options, const dal_problem *p, dal_cost *out)
{
    (void)self;
    (void)options;
    (void)p;
    out->bytes = (double)NAN;
    memset(out->formula, 'x', sizeof out->formula);
}

static void is_negative(void *self, const void *options, const dal_problem *p, dal_cost *out)
{
    is_not_a_number(self, options, p, out);
    out->bytes = -5;
    out->flops = (double)NAN;
}

static const module_desc module = {.path = "/test.so", .name = "test"};
static const component_desc desc = {.kind = DAL_KIND_STRATEGY, .id = "probe", .module = &module};

typedef struct probe {
    dal_strategy_impl impl;
    live_instance instance;
    component_spec spec;
    cost_tree *tree;
} probe;

static void open_probe(probe *w, void (*cost)(void *, const void *, const dal_problem *, dal_cost *), double *factor)
{
    *w = (probe){.impl = {.struct_size = sizeof w->impl, .cost = cost},
                 .instance = {{sizeof(live_instance), DAL_KIND_STRATEGY, NULL, NULL, NULL}, &desc, factor},
                 .spec = {DAL_KIND_STRATEGY, &desc, {0}, NULL}};
    w->instance.base.impl = &w->impl;
    w->tree = cost_open(NULL, &w->spec, &w->instance.base);
}

static const dal_problem thousand = {sizeof thousand, 0, 1000, 0, 10, 5, 0, 0};

Test(cost, hands_the_options_over_and_takes_the_bound_as_told)
{
    probe w;
    double twice = 2;
    open_probe(&w, grows, &twice);
    const strategy_cost c = cost_bound(w.tree, &thousand);
    cr_assert(c.told && c.bytes == 40000 && c.flops == 3e9);
    char *words = cost_text(&c), *lines = cost_lines(w.tree, &thousand, "> ");
    cr_assert_str_eq(words, "O(n b) memory; at most 39.1 KiB of memory, about 3 Gflop");
    cr_assert_str_eq(lines, "> probe: O(n b) memory; at most 39.1 KiB of memory, about 3 Gflop\n");
    free(words);
    free(lines);
    cost_close(w.tree);
}

Test(cost, of_a_strategy_that_does_not_say_is_not_known)
{
    probe w;
    open_probe(&w, NULL, NULL);
    char *lines = cost_lines(w.tree, &thousand, "");
    cr_assert_not(cost_bound(w.tree, &thousand).told);
    cr_assert_str_eq(lines, "probe: does not say what it takes\n");
    free(lines);
    cost_close(w.tree);
}

Test(cost, believes_no_nonsense)
{
    probe w;
    open_probe(&w, is_not_a_number, NULL);
    strategy_cost c = cost_bound(w.tree, &thousand);
    cr_assert(!c.told && c.bytes == 0 && strlen(c.formula) == sizeof c.formula - 1);
    cost_close(w.tree);
    open_probe(&w, is_negative, NULL);
    c = cost_bound(w.tree, &thousand);
    cr_assert(c.told && c.bytes == 0 && c.flops == 0);
    cost_close(w.tree);
}

Test(cost, finds_the_largest_pool_that_fits)
{
    probe w;
    open_probe(&w, grows, NULL); /* 20 bytes a candidate */
    cr_assert_eq(cost_most_candidates(w.tree, &thousand, 20000), 1000);
    cr_assert_eq(cost_most_candidates(w.tree, &thousand, 19999), 999);
    cr_assert_eq(cost_most_candidates(w.tree, &thousand, 5000), 250);
    cr_assert_eq(cost_most_candidates(w.tree, &thousand, 200), 10, "as many as it is to pick");
    cr_assert_eq(cost_most_candidates(w.tree, &thousand, 199), 0, "not even those");
    cost_close(w.tree);
}

static int64_t under(double limit, bool subsample, const char *says, int errors)
{
    probe w;
    open_probe(&w, grows, NULL);
    diags *d = diags_new();
    const memory_rule rule = {limit, subsample, "the test", "try", "hope"};
    const int64_t n = cost_candidates(w.tree, &thousand, &rule, (place){0}, d);
    cr_assert_eq(diags_errors(d), errors);
    const char *said = diags_text(d, 0);
    cr_assert(says ? said && strstr(said, says) : !said, "%s", said);
    diags_free(d);
    cost_close(w.tree);
    return n;
}

Test(cost, above_the_limit_is_refused_or_gets_fewer_candidates)
{
    cr_assert_eq(under(0, false, NULL, 0), 1000, "no limit");
    cr_assert_eq(under(20000, false, NULL, 0), 1000, "it just fits");
    cr_assert_eq(under(5000, false,
                       "strategy 'probe' needs up to 19.5 KiB of memory for 1,000 candidates, more than the 4.9 KiB "
                       "that the test allows; raise the test, try 250 or fewer, or hope", 1), 0);
    cr_assert_eq(under(5000, true, "it is given 250 of them, drawn at random for each query", 0), 250);
    cr_assert_eq(under(100, true, "even for as few candidates as it is to pick", 1), 0);
    cr_assert_eq(under(19999, true, "20000 B of memory for 1,000 candidates, more than the 19999 B", 0), 999);
}
