#include "report/queries.h"

#include <dal/oracle.h>
#include <math.h>
#include <stdlib.h>

#include "report/export.h"
#include "report/grid.h"
#include "util/text.h"

/* ---- purity and recall ---- */

static pool_sorts sorts_of(const stored_run *r)
{
    const store_link *link = NULL;
    for (int64_t i = 0; i < r->head.n_links; i++)
        if (strcmp(r->head.links[i].split, "train") == 0)
            link = &r->head.links[i]; /* positions ascend: the last one is what was trained on */
    if (!link || link->unlabelled > 0)
        return (pool_sorts){-1, -1};
    pool_sorts pool = {link->samples - link->out_of_class, link->out_of_class};
    for (int64_t i = 0; i < r->n_initial; i++)
        --*(r->initial_classes[i] >= 0 ? &pool.in_class : &pool.outside);
    return pool;
}

static double share(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : (double)NAN;
}

round_purity purity_of_round(const round_record *r, pool_sorts found, pool_sorts pool)
{
    round_purity p = {0};
    for (int64_t i = 0; i < r->n_picks; i++) {
        p.id += r->picks[i].answer == DAL_ANSWER_CLASS;
        p.ood += r->picks[i].answer == DAL_ANSWER_OUT_OF_CLASS;
    }
    const int64_t in = found.in_class + p.id, outside = found.outside + p.ood;
    p.purity = share(p.id, p.id + p.ood);
    p.purity_so_far = share(in, in + outside);
    p.id_recall = share(in, pool.in_class);
    p.ood_recall = share(outside, pool.outside);
    return p;
}

round_purity *purity_of(const stored_run *r)
{
    const pool_sorts pool = sorts_of(r);
    pool_sorts found = {0};
    round_purity *out = xcalloc((size_t)r->n_rounds, sizeof *out);
    for (int64_t k = 0; k < r->n_rounds; k++) {
        out[k] = purity_of_round(&r->rounds[k], found, pool);
        found.in_class += out[k].id;
        found.outside += out[k].ood;
    }
    return out;
}

/* ---- what was queried ---- */

enum { CLASS_WIDTH = 6 }; /* of a class's name over its column */

/* Answers of a round: by class, and those that tell of none. */
typedef struct tally {
    int64_t *by_class; /* [n_classes] */
    int64_t abstain, pending, labelled;
} tally;

static tally count_answers(const stored_run *r, const round_record *k)
{
    tally t = {.by_class = xcalloc((size_t)r->head.n_classes, sizeof(int64_t))};
    for (int64_t i = 0; i < k->n_picks; i++) {
        const pick *p = &k->picks[i];
        if (p->answer == DAL_ANSWER_CLASS) {
            t.by_class[p->cls]++;
            t.labelled++;
        }
        t.abstain += p->answer == DAL_ANSWER_ABSTAIN;
        t.pending += p->answer == DAL_ANSWER_PENDING;
    }
    return t;
}

/* Distance of the class shares to equal shares: 0 is balanced, almost 2 is one class only. */
static double imbalance(const tally *t, int64_t n_classes)
{
    double sum = 0;
    for (int64_t c = 0; c < n_classes; c++)
        sum += fabs((double)t->by_class[c] / (double)t->labelled - 1.0 / (double)n_classes);
    return t->labelled > 0 ? sum : (double)NAN;
}

static void count_cell(grid *g, int64_t n)
{
    if (n > 0)
        grid_cell(g, "%lld", (long long)n);
    else
        grid_cell(g, ".");
}

/* Few classes: a column for each. Many: how many were hit, the least and the most. */
static void add_tally(grid *g, const tally *t, int64_t n_classes, bool each)
{
    int64_t hit = 0, least = INT64_MAX, most = 0;
    for (int64_t c = 0; c < n_classes; c++) {
        const int64_t n = t->by_class[c];
        if (each)
            count_cell(g, n);
        hit += n > 0;
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    if (!each) {
        grid_cell(g, "%lld", (long long)hit);
        grid_cell(g, "%lld", (long long)least);
        grid_cell(g, "%lld", (long long)most);
    }
    grid_real(g, imbalance(t, n_classes), 2);
}

static void add_titles(grid *g, const run_head *h, bool each, bool other, terminal to)
{
    grid_column(g, "round", GRID_RIGHT);
    char **names = class_names_of(h);
    for (int64_t c = 0; each && c < h->n_classes; c++) {
        char *title = text_shown(names[c], CLASS_WIDTH, to.utf8);
        grid_column(g, title, GRID_RIGHT);
        free(title);
    }
    class_names_free(names, h->n_classes);
    if (!each) {
        grid_column(g, "classes asked", GRID_RIGHT);
        grid_column(g, "fewest", GRID_RIGHT);
        grid_column(g, "most", GRID_RIGHT);
    }
    grid_column(g, "imbalance", GRID_RIGHT);
    if (other) {
        grid_column(g, "abstained", GRID_RIGHT);
        grid_column(g, "pending", GRID_RIGHT);
    }
}

/* Would a table with a column for each class fit? */
static bool room_for_classes(const run_head *h, bool other, terminal to)
{
    int64_t width = (int64_t)strlen("round  imbalance") +
                    (other ? (int64_t)strlen("  abstained  pending") : 0);
    const int64_t most = to.columns > 0 ? to.columns : 120;
    char **names = class_names_of(h);
    for (int64_t c = 0; c < h->n_classes && width <= most; c++) {
        const int title = text_columns(names[c]);
        width += 2 + (title > CLASS_WIDTH ? CLASS_WIDTH : title < 3 ? 3 : title);
    }
    class_names_free(names, h->n_classes);
    return width <= most;
}

/* When some were out of class. */
static void print_purity(FILE *out, const stored_run *r, terminal to)
{
    static const char *const titles[] = {"round", "ID", "OOD", "purity", "so far", "ID recall", "OOD recall"};
    int64_t outside = 0;
    round_purity *pure = purity_of(r);
    grid *g = grid_new();
    for (int i = 0; i < 7; i++)
        grid_column(g, titles[i], GRID_RIGHT);
    for (int64_t k = 0; k < r->n_rounds; k++) {
        outside += pure[k].ood;
        if (r->rounds[k].n_picks == 0)
            continue;
        grid_cell(g, "%lld", (long long)k);
        count_cell(g, pure[k].id);
        count_cell(g, pure[k].ood);
        grid_real(g, pure[k].purity, 2);
        grid_real(g, pure[k].purity_so_far, 2);
        grid_real(g, pure[k].id_recall, 3);
        grid_real(g, pure[k].ood_recall, 3);
    }
    if (outside > 0) {
        fputs("\nIn a class (ID) and in none (OOD); recall: found so far, of those in the pool\n", out);
        grid_print(g, out, to);
    }
    grid_free(g);
    free(pure);
}

void page_queries(FILE *out, const stored_run *r, terminal to)
{
    bool other = false;
    int64_t picked = 0;
    for (int64_t k = 0; k < r->n_rounds; k++)
        for (int64_t i = 0; i < r->rounds[k].n_picks; i++, picked++)
            other = other || r->rounds[k].picks[i].answer == DAL_ANSWER_ABSTAIN ||
                    r->rounds[k].picks[i].answer == DAL_ANSWER_PENDING;
    if (picked == 0)
        return;
    const bool each = room_for_classes(&r->head, other, to);
    grid *g = grid_new();
    add_titles(g, &r->head, each, other, to);
    for (int64_t k = 0; k < r->n_rounds; k++) {
        if (r->rounds[k].n_picks == 0)
            continue;
        tally t = count_answers(r, &r->rounds[k]);
        grid_cell(g, "%lld", (long long)k);
        add_tally(g, &t, r->head.n_classes, each);
        if (other) {
            count_cell(g, t.abstain);
            count_cell(g, t.pending);
        }
        free(t.by_class);
    }
    fputs("\nQueries by class (imbalance: 0 equal shares, near 2 one class only)\n", out);
    grid_print(g, out, to);
    grid_free(g);
    print_purity(out, r, to);
}
