#include "pipeline/pool.h"

#include <dal/oracle.h>
#include <stdlib.h>

#include "util/text.h"

void pool_init(pool *p, int64_t n, int64_t n_classes, const int32_t *validation, int64_t n_validation)
{
    *p = (pool){.n = n, .n_classes = n_classes, .n_validation = n_validation, .validation_classes = validation};
    p->validation = xcalloc((size_t)n_validation, sizeof *p->validation);
    for (int64_t i = 0; i < n_validation; i++)
        p->validation[i] = n + i;
    p->state = xcalloc((size_t)n, 1);
    p->classes = xcalloc((size_t)n, sizeof *p->classes);
    p->labelled = xcalloc((size_t)n, sizeof *p->labelled);
    p->ood = xcalloc((size_t)n, sizeof *p->ood);
    p->unlabelled = xcalloc((size_t)n + 1, sizeof *p->unlabelled); /* one more than are kept */
    p->candidates = xcalloc((size_t)n, sizeof *p->candidates);
    p->labelled_classes = xcalloc((size_t)n, sizeof *p->labelled_classes);
    p->count[SAMPLE_UNLABELLED] = n;
}

void pool_fini(pool *p)
{
    free(p->state);
    free(p->classes);
    free(p->labelled);
    free(p->ood);
    free(p->unlabelled);
    free(p->candidates);
    free(p->validation);
    free(p->labelled_classes);
    *p = (pool){0};
}

static void set_state(pool *p, int64_t id, sample_state s)
{
    p->count[p->state[id]]--;
    p->state[id] = (uint8_t)s;
    p->count[s]++;
}

void pool_label(pool *p, int64_t id, int32_t cls)
{
    set_state(p, id, SAMPLE_LABELLED);
    p->classes[id] = cls;
}

void pool_answer(pool *p, const pick *picks, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        switch (picks[i].answer) {
        case DAL_ANSWER_CLASS:
            pool_label(p, picks[i].id, picks[i].cls);
            break;
        case DAL_ANSWER_OUT_OF_CLASS:
            set_state(p, picks[i].id, SAMPLE_OOD);
            break;
        case DAL_ANSWER_ABSTAIN:
            set_state(p, picks[i].id, SAMPLE_ABSTAINED);
            break;
        default:
            set_state(p, picks[i].id, SAMPLE_ASKED);
        }
}

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void pool_draw_candidates(const int64_t *from, int64_t n, int64_t size, const dal_host *host, int64_t round,
                          int64_t *out)
{
    int64_t *order = xcalloc((size_t)n, sizeof *order);
    memcpy(order, from, (size_t)n * sizeof *order);
    dal_rng r = host->rng(host, "candidates", round);
    dal_rng_shuffle(&r, order, n, size);
    memcpy(out, order, (size_t)size * sizeof *out);
    qsort(out, (size_t)size, sizeof *out, ascending);
    free(order);
}

void pool_lists(pool *p, int64_t candidates, const dal_host *host, int64_t round)
{
    int64_t labelled = 0, ood = 0, unlabelled = 0;
    for (int64_t i = 0; i < p->n; i++) {
        p->unlabelled[unlabelled] = i; /* nearly all are: no branch to guess */
        unlabelled += p->state[i] == SAMPLE_UNLABELLED;
        if (p->state[i] == SAMPLE_LABELLED) {
            p->labelled_classes[labelled] = p->classes[i];
            p->labelled[labelled++] = i;
        } else if (p->state[i] == SAMPLE_OOD)
            p->ood[ood++] = i;
    }
    p->n_candidates = unlabelled;
    if (candidates > 0 && candidates < unlabelled) {
        pool_draw_candidates(p->unlabelled, unlabelled, candidates, host, round, p->candidates);
        p->n_candidates = candidates;
    }
}

row_sets pool_sets(const pool *p)
{
    const bool all = p->n_candidates == p->count[SAMPLE_UNLABELLED];
    return (row_sets){
        .ids = {[DAL_ROWS_CANDIDATES] = all ? p->unlabelled : p->candidates,
                [DAL_ROWS_LABELLED] = p->labelled,
                [DAL_ROWS_OOD] = p->ood,
                [DAL_ROWS_UNLABELLED] = p->unlabelled,
                [DAL_ROWS_VALIDATION] = p->validation},
        .n = {[DAL_ROWS_CANDIDATES] = p->n_candidates,
              [DAL_ROWS_LABELLED] = p->count[SAMPLE_LABELLED],
              [DAL_ROWS_OOD] = p->count[SAMPLE_OOD],
              [DAL_ROWS_UNLABELLED] = p->count[SAMPLE_UNLABELLED],
              [DAL_ROWS_VALIDATION] = p->n_validation},
        .classes = p->labelled_classes,
        .validation_classes = p->validation_classes,
    };
}

/* How many of each class an even draw of `size` takes when class c has at most have[c]. */
static void even_shares(const int64_t *have, int64_t c, int64_t size, int64_t *take)
{
    memset(take, 0, (size_t)c * sizeof *take);
    for (int64_t left = size, grown = 1; left > 0 && grown;) {
        grown = 0;
        for (int64_t k = 0; k < c && left > 0; k++)
            if (take[k] < have[k]) {
                take[k]++;
                left--;
                grown = 1;
            }
    }
}

int64_t pool_draw_initial(const pool *p, const int32_t *known, int64_t size, bool balanced, const dal_host *host,
                          int64_t *out)
{
    int64_t *order = xcalloc((size_t)p->n, sizeof *order), n = 0, drawn = 0;
    for (int64_t i = 0; i < p->n; i++)
        if (known[i] >= 0)
            order[n++] = i;
    dal_rng r = host->rng(host, "initial set", 0);
    dal_rng_shuffle(&r, order, n, balanced ? n : size);
    if (balanced) {
        int64_t *have = xcalloc((size_t)p->n_classes, sizeof *have);
        int64_t *take = xcalloc((size_t)p->n_classes, sizeof *take);
        for (int64_t i = 0; i < n; i++)
            have[known[order[i]]]++;
        even_shares(have, p->n_classes, size, take);
        for (int64_t i = 0; i < n; i++)
            if (take[known[order[i]]]-- > 0)
                out[drawn++] = order[i];
        free(have);
        free(take);
    } else {
        for (; drawn < n && drawn < size; drawn++)
            out[drawn] = order[drawn];
    }
    free(order);
    qsort(out, (size_t)drawn, sizeof *out, ascending);
    return drawn;
}

int64_t pool_draw_blind(const pool *p, int64_t size, const dal_host *host, int64_t round, int64_t *out)
{
    const int64_t n = p->n_candidates;
    const row_sets sets = pool_sets(p);
    int64_t *order = xcalloc((size_t)n, sizeof *order);
    memcpy(order, sets.ids[DAL_ROWS_CANDIDATES], (size_t)n * sizeof *order);
    dal_rng r = host->rng(host, "blind query", round);
    dal_rng_shuffle(&r, order, n, size);
    const int64_t drawn = size < n ? size : n;
    memcpy(out, order, (size_t)drawn * sizeof *out);
    free(order);
    return drawn;
}
