/* report/page.h: one stored run, for people. */
#ifndef DALHOST_REPORT_PAGE_H
#define DALHOST_REPORT_PAGE_H

#include <dal/base.h>

#include <stdbool.h>

#include "report/terminal.h"
#include "store/store.h"

/* Head, components, rounds, learning curve, what was queried. */
void page_run(FILE *out, const stored_run *r, int64_t writer, terminal to);
/* One round and why its first n picks were picked. explain: what they stand for, which the round must keep. */
void page_round(FILE *out, const stored_run *r, int64_t round, int64_t n_picks, bool explain, terminal to);
/* Does the round keep what its picks stand for? */
bool page_has_explanations(const round_record *k);
/* The table of rounds alone. */
void page_rounds(FILE *out, const stored_run *r, terminal to);

#endif
