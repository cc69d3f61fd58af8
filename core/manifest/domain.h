/* manifest/domain.h: numbers and words as manifests write them, and the domains they must lie in. */
#ifndef DALHOST_MANIFEST_DOMAIN_H
#define DALHOST_MANIFEST_DOMAIN_H

#include <dal/base.h>
#include <stdbool.h>

#include "manifest/arena.h"
#include "registry/registry.h"

/* What a plain scalar is as a number. Decimal only; no '_', no leading zeros (010 is 8 to some). */
typedef enum number_kind {
    NUMBER_NONE,
    NUMBER_INT,       /* *i and *x */
    NUMBER_FLOAT,     /* *x, finite */
    NUMBER_TOO_LARGE, /* well written, but no finite double */
    NUMBER_SPECIAL,   /* NaN, infinity */
    NUMBER_ODD,       /* 0x10, 1_000, 010 */
} number_kind;
number_kind number_parse(const char *s, int64_t *i, double *x);

/* 1, 0, or -1 when s is neither true nor false. */
int boolean_parse(const char *s);

/* Where x lies: NULL when the domain holds it. */
bool interval_holds(const char *domain, double x);
/* Has a value of this type items? Is it, are they, paths? */
bool param_is_list(uint32_t type);
bool param_is_path(uint32_t type);
bool domain_well_formed(const param_desc *p); /* is p->domain something its type can have */
/* The i-th word of "sgd|adam" (not NUL-ended) and its length; NULL past the end. */
const char *choice_word(const char *domain, uint32_t i, size_t *n);

/* "a whole number in 1..1000 (passes)", "one of sgd, adam": what p takes; item: one of its items. */
const char *expected_text(arena *mem, const param_desc *p, bool item);
/* "model" -> "a model"; "oracle" -> "an oracle". */
const char *with_article(arena *mem, const char *noun);

#endif
