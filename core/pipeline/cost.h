/* pipeline/cost.h: what a selection takes, as the strategies tell it, before any work is done.
 *
 * A strategy that runs others tells what they take with its own cost (it knows what it gives them). When it
 * says nothing, what it names among its parameters counts as if each were given all candidates.
 */
#ifndef DALHOST_PIPELINE_COST_H
#define DALHOST_PIPELINE_COST_H

#include <dal/strategy.h>

#include "pipeline/compose.h"

typedef struct strategy_cost {
    bool told; /* false: nobody says, and the rest is 0 */
    double bytes, flops;
    char formula[128];
} strategy_cost;

/* An open strategy with those it runs. */
typedef struct cost_tree cost_tree;

/* strategy: the instance of spec, borrowed. Those below it are opened until cost_close; one that cannot be
 * opened has no cost. Never NULL. [main] */
cost_tree *cost_open(composer *c, const component_spec *spec, const dal_instance *strategy);
void cost_close(cost_tree *t); /* accepts NULL */

strategy_cost cost_bound(const cost_tree *t, const dal_problem *p);
/* The most candidates, at least p->n_query and at most p->n, with which the bound is within `limit` bytes;
 * 0: there is no such number. */
int64_t cost_most_candidates(const cost_tree *t, const dal_problem *p, double limit);

/* "O(n c) time, O(b) memory; at most 1.6 KiB of memory, about 30 Mflop". Caller frees. */
char *cost_text(const strategy_cost *c);
/* The same for the strategy and, a line each and indented, for those it runs; every line ends with a newline
 * and begins with `lead`. Caller frees. */
char *cost_lines(const cost_tree *t, const dal_problem *p, const char *lead);

/* What is to be done about a bound above the user's limit. */
typedef struct memory_rule {
    double limit;       /* bytes; 0: none */
    bool subsample;     /* fewer candidates instead of a refusal */
    const char *by;     /* who sets the limit: "`memory`" */
    const char *fewer;  /* how to have fewer candidates: "set query.candidates to" */
    const char *instead; /* how to have that done: "set query.over_memory to subsample" */
} memory_rule;

/* How many candidates each query may have: p->n, or fewer under the rule, which is noted; 0 after a
 * complaint. */
int64_t cost_candidates(const cost_tree *t, const dal_problem *p, const memory_rule *rule, place at, diags *d);

#endif
