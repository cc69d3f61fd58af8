/* Reading back one run with all its rounds; as careful as read.c. */
#include "store/columns.h"

#include <dal/oracle.h>
#include <stddef.h>
#include <stdlib.h>

#include "util/text.h"

/* A stored_run and all the memory it points to. */
typedef struct box {
    stored_run run; /* first: what the caller sees */
    void **memory;
    size_t n, room;
    pick *picks; /* of all rounds */
} box;

static void keep(box *b, void *p)
{
    if (b->n == b->room) {
        b->room = b->room ? 2 * b->room : 32;
        b->memory = xrealloc(b->memory, b->room * sizeof *b->memory);
    }
    b->memory[b->n++] = p;
}

/* An array that grows; `keep` takes it when it is full-grown. */
typedef struct array {
    void *items;
    int64_t n, room;
} array;

static void *grow(array *a, size_t size)
{
    if (a->n == a->room) {
        a->room = a->room ? 2 * a->room : 16;
        a->items = xrealloc(a->items, (size_t)a->room * size);
    }
    return (char *)a->items + (size_t)a->n++ * size;
}

typedef dal_status row_reader(box *b, store *s, sqlite3_stmt *q, void *into, dal_error *err);

static dal_status each_row(box *b, store *s, store_sql which, row_reader *read, void *into,
                           dal_error *err)
{
    sqlite3_stmt *q = store_query(s, which, doing_read, err, INT(b->run.head.id));
    if (!q)
        return s->status;
    dal_status st = DAL_OK;
    int row = 0;
    while (st == DAL_OK && (row = store_step(s, q, doing_read, err)) == 1)
        st = read(b, s, q, into, err);
    sqlite3_reset(q);
    return st == DAL_OK && row < 0 ? s->status : st;
}

typedef struct initial_label {
    int64_t id;
    int32_t cls;
} initial_label;

static dal_status initial_row(box *b, store *s, sqlite3_stmt *q, void *into, dal_error *err)
{
    array *a = into;
    const int64_t position = sqlite3_column_int64(q, 0), id = sqlite3_column_int64(q, 1);
    const int64_t cls = integer(q, 2, DAL_LABEL_OOD);
    const run_head *h = &b->run.head;
    if (position != a->n || !within(id, 0, h->n_pool) ||
        (cls != DAL_LABEL_OOD && !within(cls, 0, h->n_classes)))
        return store_damaged(s, err, "run %lld: initial label %lld is out of range", (long long)h->id,
                             (long long)position);
    *(initial_label *)grow(a, sizeof(initial_label)) = (initial_label){id, (int32_t)cls};
    return DAL_OK;
}

static dal_status read_initial(box *b, store *s, dal_error *err)
{
    array a = {0};
    const dal_status st = each_row(b, s, SQL_READ_INITIAL, initial_row, &a, err);
    stored_run *r = &b->run;
    r->n_initial = a.n;
    keep(b, r->initial = xcalloc((size_t)a.n, sizeof *r->initial));
    keep(b, r->initial_classes = xcalloc((size_t)a.n, sizeof *r->initial_classes));
    const initial_label *items = a.items;
    for (int64_t i = 0; i < a.n; i++) {
        r->initial[i] = items[i].id;
        r->initial_classes[i] = items[i].cls;
    }
    free(a.items);
    return st;
}

static dal_status round_row(box *b, store *s, sqlite3_stmt *q, void *into, dal_error *err)
{
    array *a = into;
    round_record *r = grow(a, sizeof *r);
    *r = (round_record){.round = sqlite3_column_int64(q, 0),
                        .n_labelled = sqlite3_column_int64(q, 1),
                        .n_ood = sqlite3_column_int64(q, 2),
                        .n_unlabelled = sqlite3_column_int64(q, 3),
                        .metrics = {.accuracy = real(q, 4),
                                    .balanced_accuracy = real(q, 5),
                                    .macro_f1 = real(q, 6),
                                    .log_loss = real(q, 7),
                                    .train_loss = real(q, 8),
                                    .train_accuracy = real(q, 9),
                                    .epochs = sqlite3_column_int64(q, 10),
                                    .converged = sqlite3_column_int64(q, 11)},
                        .times = {.train = real(q, 12),
                                  .evaluate = real(q, 13),
                                  .infer = real(q, 14),
                                  .select = real(q, 15),
                                  .label = real(q, 16),
                                  .commit = real(q, 17),
                                  .train_cpu = real(q, 18),
                                  .infer_cpu = real(q, 19),
                                  .select_cpu = real(q, 20),
                                  .peak_rss = sqlite3_column_int64(q, 21)},
                        .n_picks = sqlite3_column_int64(q, 22),
                        .n_pseudo = sqlite3_column_int64(q, 23),
                        .n_candidates = integer(q, 25, -1)};
    const int64_t n = b->run.head.n_pool;
    if (r->round != a->n - 1 || !within(r->n_labelled, 0, n + 1) || !within(r->n_ood, 0, n + 1) ||
        !within(r->n_unlabelled, 0, n + 1) || !within(r->n_candidates, -1, n + 1) || !within(r->n_picks, 0, n + 1) ||
        r->n_pseudo < 0)
        return store_damaged(s, err, "run %lld: a number of round %lld is out of range",
                             (long long)b->run.head.id, (long long)r->round);
    char *reason = xstrdup(words(q, 24));
    keep(b, reason);
    r->reason = reason;
    return utf8_valid(reason, strlen(reason), NULL)
               ? DAL_OK
               : store_damaged(s, err, "run %lld: a text of round %lld is not UTF-8",
                               (long long)b->run.head.id, (long long)r->round);
}

/* Rows that belong to rounds come ordered by round and position: finish a round's array when it is
 * full. The count of the round is only believed once as many rows are there. */
static dal_status misplaced(box *b, store *s, const char *what, int64_t round, int64_t position,
                            dal_error *err)
{
    return store_damaged(s, err, "run %lld: %s %lld of round %lld is out of place or out of range",
                         (long long)b->run.head.id, what, (long long)position, (long long)round);
}

/* What such a row begins with. */
typedef struct place {
    int64_t round, position;
} place;

static const place *place_at(const array *a, size_t size, int64_t i)
{
    return (const place *)(const void *)((const char *)a->items + (size_t)i * size);
}

/* Round k has as many rows as it says (`count` is where a round_record has that), of positions 0, 1, ... */
static dal_status check_places(box *b, store *s, const char *what, const array *a, size_t size, size_t count,
                               dal_error *err)
{
    int64_t at = 0;
    for (int64_t k = 0; k < b->run.n_rounds; k++) {
        int64_t n;
        memcpy(&n, (const char *)&b->run.rounds[k] + count, sizeof n);
        for (int64_t i = 0; i < n; i++, at++)
            if (at >= a->n || place_at(a, size, at)->round != k || place_at(a, size, at)->position != i)
                return misplaced(b, s, what, k, i, err);
    }
    if (at == a->n)
        return DAL_OK;
    const place *rest = place_at(a, size, at);
    return misplaced(b, s, what, rest->round, rest->position, err);
}

typedef struct pick_row {
    place at;
    pick p;
} pick_row;

static dal_status pick_one(box *b, store *s, sqlite3_stmt *q, void *into, dal_error *err)
{
    const run_head *h = &b->run.head;
    pick_row *row = grow(into, sizeof *row);
    pick *p = &row->p;
    *p = (pick){.id = sqlite3_column_int64(q, 2),
                .rank = sqlite3_column_int64(q, 1),
                .score = real(q, 3),
                .nearest = integer(q, 4, -1),
                .distance = real(q, 5),
                .cost = real(q, 8)};
    row->at = (place){sqlite3_column_int64(q, 0), p->rank};
    const int answer = store_answer_of(words(q, 6));
    const int64_t cls = integer(q, 7, DAL_LABEL_NONE);
    if (answer < 0 || !within(row->at.round, 0, b->run.n_rounds) || !within(p->id, 0, h->n_pool) ||
        !within(p->nearest, -1, h->n_pool) ||
        (answer == DAL_ANSWER_CLASS ? !within(cls, 0, h->n_classes) : cls != DAL_LABEL_NONE))
        return misplaced(b, s, "pick", row->at.round, p->rank, err);
    p->answer = (uint32_t)answer;
    p->cls = answer == DAL_ANSWER_OUT_OF_CLASS ? DAL_LABEL_OOD : (int32_t)cls;
    return DAL_OK;
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* No sample twice among the initial labels and all picks. */
static dal_status check_distinct(box *b, store *s, const pick *picks, int64_t n_picks, dal_error *err)
{
    const stored_run *r = &b->run;
    const int64_t n = r->n_initial + n_picks;
    int64_t *ids = xcalloc((size_t)n, sizeof *ids);
    for (int64_t i = 0; i < r->n_initial; i++)
        ids[i] = r->initial[i];
    for (int64_t i = 0; i < n_picks; i++)
        ids[r->n_initial + i] = picks[i].id;
    qsort(ids, (size_t)n, sizeof *ids, by_value);
    dal_status st = DAL_OK;
    for (int64_t i = 1; st == DAL_OK && i < n; i++)
        if (ids[i] == ids[i - 1])
            st = store_damaged(s, err, "run %lld: sample %lld is labelled twice", (long long)r->head.id,
                               (long long)ids[i]);
    free(ids);
    return st;
}

static dal_status read_picks(box *b, store *s, dal_error *err)
{
    array a = {0};
    dal_status st = each_row(b, s, SQL_READ_PICKS, pick_one, &a, err);
    if (st == DAL_OK)
        st = check_places(b, s, "pick", &a, sizeof(pick_row), offsetof(round_record, n_picks), err);
    const pick_row *rows = a.items;
    keep(b, b->picks = xcalloc((size_t)a.n, sizeof *b->picks));
    for (int64_t i = 0; i < a.n; i++)
        b->picks[i] = rows[i].p;
    free(a.items);
    const pick *next = b->picks;
    for (int64_t k = 0; st == DAL_OK && k < b->run.n_rounds; k++) {
        b->run.rounds[k].picks = next;
        next += b->run.rounds[k].n_picks;
    }
    return st == DAL_OK ? check_distinct(b, s, b->picks, a.n, err) : st;
}

/* ---- explanations: rows in the order of their picks, of which any may have none ---- */

typedef struct why_row {
    int64_t round, rank;
    explanation why;
} why_row;

static bool of_a_pick(const box *b, int64_t round, int64_t rank)
{
    return within(round, 0, b->run.n_rounds) && within(rank, 0, b->run.rounds[round].n_picks);
}

static dal_status why_one(box *b, store *s, sqlite3_stmt *q, void *into, dal_error *err)
{
    const int64_t n = b->run.head.n_pool;
    why_row *row = grow(into, sizeof *row);
    *row = (why_row){sqlite3_column_int64(q, 0),
                     sqlite3_column_int64(q, 1),
                     {.other = integer(q, 2, -1),
                      .other_distance = real(q, 3),
                      .stands_for = sqlite3_column_int64(q, 4)}};
    for (int i = 0; i < STORE_FEW; i++) {
        row->why.few[i] = -1;
        row->why.few_distance[i] = (double)NAN;
    }
    if (!of_a_pick(b, row->round, row->rank) || !within(row->why.other, -1, n) ||
        !within(row->why.stands_for, 0, n + 1))
        return misplaced(b, s, "explanation", row->round, row->rank, err);
    return DAL_OK;
}

/* Explanations while their few are read: both ascend by round and rank. */
typedef struct why_list {
    why_row *items;
    int64_t n, at;
} why_list;

static dal_status few_one(box *b, store *s, sqlite3_stmt *q, void *into, dal_error *err)
{
    why_list *l = into;
    const int64_t round = sqlite3_column_int64(q, 0), rank = sqlite3_column_int64(q, 1);
    const int64_t position = sqlite3_column_int64(q, 2), id = sqlite3_column_int64(q, 3);
    while (l->at < l->n && (l->items[l->at].round != round || l->items[l->at].rank != rank))
        l->at++;
    if (l->at == l->n || !within(position, 0, STORE_FEW) || !within(id, 0, b->run.head.n_pool) ||
        (position > 0 && l->items[l->at].why.few[position - 1] < 0))
        return misplaced(b, s, "neighbour of pick", round, rank, err);
    l->items[l->at].why.few[position] = id;
    l->items[l->at].why.few_distance[position] = real(q, 4);
    return DAL_OK;
}

static dal_status read_explanations(box *b, store *s, dal_error *err)
{
    array a = {0};
    if (s->format < 2)
        return DAL_OK;
    dal_status st = each_row(b, s, SQL_READ_WHY, why_one, &a, err);
    why_list l = {a.items, a.n, 0};
    if (st == DAL_OK)
        st = each_row(b, s, SQL_READ_FEW, few_one, &l, err);
    explanation *all = xcalloc((size_t)a.n, sizeof *all);
    keep(b, all);
    for (int64_t i = 0; st == DAL_OK && i < a.n; i++) {
        all[i] = l.items[i].why;
        b->picks[b->run.rounds[l.items[i].round].picks - b->picks + l.items[i].rank].why = &all[i];
    }
    free(a.items);
    return st;
}

typedef struct recall_row {
    int64_t round, cls;
    double recall;
} recall_row;

static dal_status recall_one(box *b, store *s, sqlite3_stmt *q, void *into, dal_error *err)
{
    recall_row *row = grow(into, sizeof *row);
    *row = (recall_row){sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1), real(q, 2)};
    if (!within(row->round, 0, b->run.n_rounds) || !within(row->cls, 0, b->run.head.n_classes))
        return misplaced(b, s, "recall", row->round, row->cls, err);
    return DAL_OK;
}

static dal_status read_recall(box *b, store *s, dal_error *err)
{
    array a = {0};
    dal_status st = each_row(b, s, SQL_READ_RECALL, recall_one, &a, err);
    const recall_row *rows = a.items;
    double *all = xcalloc((size_t)a.n, sizeof *all);
    keep(b, all);
    for (int64_t i = 0; st == DAL_OK && i < a.n; i++) {
        round_metrics *m = &b->run.rounds[rows[i].round].metrics;
        if (!m->recall)
            m->recall = all + i;
        if (rows[i].cls != m->n_classes++)
            st = misplaced(b, s, "recall", rows[i].round, rows[i].cls, err);
        all[i] = rows[i].recall;
    }
    for (int64_t k = 0; st == DAL_OK && k < b->run.n_rounds; k++) {
        const round_metrics *m = &b->run.rounds[k].metrics;
        if (m->recall && m->n_classes != b->run.head.n_classes)
            st = misplaced(b, s, "recall", k, m->n_classes, err);
    }
    free(a.items);
    return st;
}

typedef struct pseudo_row {
    place at;
    int64_t id, cls;
    double weight;
} pseudo_row;

static dal_status pseudo_one(box *b, store *s, sqlite3_stmt *q, void *into, dal_error *err)
{
    const run_head *h = &b->run.head;
    pseudo_row *row = grow(into, sizeof *row);
    *row = (pseudo_row){{sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1)},
                        sqlite3_column_int64(q, 2), sqlite3_column_int64(q, 3), real(q, 4)};
    if (!within(row->at.round, 0, b->run.n_rounds) || !within(row->id, 0, h->n_pool) ||
        !within(row->cls, 0, h->n_classes) || !(row->weight > 0))
        return misplaced(b, s, "pseudo label", row->at.round, row->at.position, err);
    return DAL_OK;
}

static dal_status read_pseudo(box *b, store *s, dal_error *err)
{
    array a = {0};
    dal_status st = each_row(b, s, SQL_READ_PSEUDO, pseudo_one, &a, err);
    if (st == DAL_OK)
        st = check_places(b, s, "pseudo label", &a, sizeof(pseudo_row), offsetof(round_record, n_pseudo), err);
    const pseudo_row *rows = a.items;
    int64_t *ids = xcalloc((size_t)a.n, sizeof *ids), at = 0;
    int32_t *classes = xcalloc((size_t)a.n, sizeof *classes);
    float *weights = xcalloc((size_t)a.n, sizeof *weights);
    keep(b, ids);
    keep(b, classes);
    keep(b, weights);
    for (int64_t i = 0; i < a.n; i++) {
        ids[i] = rows[i].id;
        classes[i] = (int32_t)rows[i].cls;
        weights[i] = (float)rows[i].weight;
    }
    free(a.items);
    for (int64_t k = 0; st == DAL_OK && k < b->run.n_rounds; k++) {
        round_record *r = &b->run.rounds[k];
        r->pseudo_ids = ids + at;
        r->pseudo_classes = classes + at;
        r->pseudo_weights = weights + at;
        at += r->n_pseudo;
    }
    return st;
}

/* ---- what the dataset and its transforms made of the data ---- */

static dal_status link_one(box *b, store *s, sqlite3_stmt *q, void *into, dal_error *err)
{
    array *a = into;
    const int64_t before = a->n ? ((store_link *)a->items)[a->n - 1].position : 0;
    store_link *l = grow(a, sizeof *l);
    *l = (store_link){.position = sqlite3_column_int64(q, 0),
                      .samples = sqlite3_column_int64(q, 3),
                      .unlabelled = sqlite3_column_int64(q, 4),
                      .out_of_class = sqlite3_column_int64(q, 5)};
    const char **const slots[] = {&l->component, &l->split, &l->classes};
    static const int columns[] = {1, 2, 6};
    bool good = l->position >= before && l->samples >= 0 && within(l->unlabelled, 0, l->samples + 1) &&
                within(l->out_of_class, 0, l->samples - l->unlabelled + 1);
    for (int i = 0; i < 3; i++) {
        char *copy = xstrdup(words(q, columns[i]));
        keep(b, copy);
        *slots[i] = copy;
        good = good && utf8_valid(copy, strlen(copy), NULL);
    }
    return good ? DAL_OK
                : store_damaged(s, err, "run %lld: what it says of the data at position %lld is out of range",
                                (long long)b->run.head.id, (long long)l->position);
}

static dal_status read_links(box *b, store *s, dal_error *err)
{
    array a = {0};
    const dal_status st = s->format < 3 ? DAL_OK : each_row(b, s, SQL_READ_LINKS, link_one, &a, err);
    keep(b, a.items);
    b->run.head.links = a.items;
    b->run.head.n_links = a.n;
    return st;
}

static dal_status read_parts(box *b, store *s, int64_t run, dal_error *err)
{
    int64_t n = 0;
    run_head *head = NULL;
    dal_status st = store_read_heads(s, store_query(s, SQL_READ_RUN, doing_read, err, INT(run)), doing_read,
                                     &head, &n, err);
    keep(b, head);
    if (st == DAL_OK && n == 0)
        st = dal_fail(err, DAL_E_NOT_FOUND, "store",
                      "%s: there is no run %lld; `dalhost runs list` shows what "
                      "there is",
                      s->path, (long long)run);
    if (st != DAL_OK)
        return st;
    b->run.head = *head;
    st = read_links(b, s, err);
    if (st == DAL_OK)
        st = read_initial(b, s, err);
    if (st == DAL_OK) {
        array rounds = {0};
        st = each_row(b, s, s->format < 2 ? SQL_READ_ROUNDS_1 : SQL_READ_ROUNDS, round_row, &rounds, err);
        b->run.rounds = rounds.items;
        b->run.n_rounds = st == DAL_OK ? rounds.n : 0;
        keep(b, rounds.items);
    }
    if (st == DAL_OK)
        st = read_picks(b, s, err);
    if (st == DAL_OK)
        st = read_explanations(b, s, err);
    if (st == DAL_OK)
        st = read_recall(b, s, err);
    if (st == DAL_OK)
        st = read_pseudo(b, s, err);
    return st;
}

dal_status store_read_run(store *s, int64_t run, stored_run **out, dal_error *err)
{
    *out = NULL;
    dal_status st = store_begin(s, SQL_BEGIN_READ, doing_read, err); /* one moment of the file */
    if (st != DAL_OK)
        return st;
    box *b = xcalloc(1, sizeof *b);
    st = store_end(s, read_parts(b, s, run, err), doing_read, err);
    if (st == DAL_OK)
        *out = &b->run;
    else
        stored_run_free(&b->run);
    return st;
}

void stored_run_free(stored_run *r)
{
    box *b = (box *)(void *)r; /* run is the first member */
    if (!b)
        return;
    for (size_t i = 0; i < b->n; i++)
        free(b->memory[i]);
    free(b->memory);
    free(b);
}
