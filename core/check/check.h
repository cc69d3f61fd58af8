/* check/check.h: the conformance suite: what a module promises by the headers, tried out.
 *
 * Every test has a name, runs in a child process of its own with a time limit, and depends on nothing but
 * the module and the seed: the same command gives the same result.
 */
#ifndef DAL_CHECK_CHECK_H
#define DAL_CHECK_CHECK_H

#include <stdio.h>

#include "registry/registry.h"

typedef enum check_verdict {
    CHECK_PASS,
    CHECK_SKIP,    /* not offered, or not possible here: the message says what */
    CHECK_FAIL,
    CHECK_CRASH,   /* a signal, or the process ended */
    CHECK_TIMEOUT,
} check_verdict;

const char *check_verdict_name(check_verdict v); /* "pass", "skip", "FAIL", "CRASH", "TIMEOUT" */

typedef struct check_result {
    const char *test;
    const component_desc *component; /* NULL: of the module as a whole */
    check_verdict verdict;
    const char *message, *output; /* "" when there is nothing to say; what the child printed */
    double seconds;
} check_result;

typedef struct check_options {
    uint64_t seed;
    double time_limit;        /* seconds a test */
    const char *only;         /* one test's name, or its first part ("picks"); NULL: all */
    const char *component;    /* one component's id; NULL: all */
    const char *const *sets;  /* parameters of the components, "key=value" */
    int n_sets;
    /* Called after each test; borrowed for the call. */
    void (*report)(void *ctx, const check_result *r);
    void *ctx;
} check_options;

/* Run the suite on a module of r. Number of tests that failed, crashed or ran out of time; *n: how many
 * ran at all. Must be called before this process has threads. */
int check_module(registry *r, const module_desc *m, const check_options *o, int *n);

/* The names and promises of all tests, for --help and documentation. */
void check_list(FILE *out);

#endif
