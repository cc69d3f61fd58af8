/* report/queries.h: what a run asked for: its classes, and how much of it was in none.
 */
#ifndef DALHOST_REPORT_QUERIES_H
#define DALHOST_REPORT_QUERIES_H

#include "report/terminal.h"
#include "store/store.h"

/* Of the answers of a round: ID is a sample with a class, OOD one in none; abstentions and what is pending count as
 * neither. With i and o such answers of the round, I and O of all rounds up to it, N_I and N_O what the pool has of
 * them beside the initial set:
 *     purity i/(i + o), purity_so_far I/(I + O), id_recall I/N_I, ood_recall O/N_O
 * NaN: 0/0; the recalls also where the pool has samples whose class is not known, and in stores before format 3.
 */
typedef struct round_purity {
    int64_t id, ood; /* i, o */
    double purity, purity_so_far, id_recall, ood_recall;
} round_purity;

/* What a pool has beside its initial set: samples in a class, and in none; -1: not known. Or what was found of them. */
typedef struct pool_sorts {
    int64_t in_class, outside;
} pool_sorts;

/* Of one round, with the answers it has by now. found: in the rounds before it. */
round_purity purity_of_round(const round_record *r, pool_sorts found, pool_sorts pool);
/* [r->n_rounds]; the caller frees it. */
round_purity *purity_of(const stored_run *r);

/* A table of queries by class; nothing when there were none. */
void page_queries(FILE *out, const stored_run *r, terminal to);

#endif
