/* Writing: new runs, rounds, answers. Each public function is one transaction. */
#include "store/internal.h"

#include <dal/oracle.h>
#include <stdlib.h>
#include <time.h>
#include <xxhash.h>

#include "util/text.h"

static const char *const state_names[] = {"running", "waiting", "done", "failed"};
static const char *const answer_names[] = {"pending", "class", "out-of-class", "abstain"};

const char *run_state_name(run_state s)
{
    return (unsigned)s < 4 ? state_names[s] : "unknown";
}

const char *run_state_shown(const run_head *h, int64_t writer)
{
    return h->state == RUN_RUNNING && writer == 0 ? "interrupted" : run_state_name(h->state);
}

static int word(const char *name, const char *const *words, int n)
{
    for (int i = 0; name && i < n; i++)
        if (strcmp(name, words[i]) == 0)
            return i;
    return -1;
}

int store_state_of(const char *name)
{
    return word(name, state_names, 4);
}

const char *answer_name(uint32_t answer)
{
    return answer < 4 ? answer_names[answer] : NULL;
}

int store_answer_of(const char *name)
{
    return word(name, answer_names, 4);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static dal_status touch(store *s, int64_t run, const char *doing, dal_error *err)
{
    return store_exec(s, SQL_TOUCH_RUN, doing, err, REAL(now()), INT(run));
}

/* ---- what a run's rounds must fit ---- */

static bool was_asked(const held_run *h, int64_t id)
{
    return h->asked[id / 8] >> (id % 8) & 1;
}

static void set_asked(held_run *h, int64_t id, bool asked)
{
    const unsigned char bit = (unsigned char)(1u << (id % 8));
    h->asked[id / 8] = (unsigned char)(asked ? h->asked[id / 8] | bit : h->asked[id / 8] & ~bit);
}

static dal_status read_asked(store *s, held_run *h, const char *doing, dal_error *err)
{
    h->asked = h->n_pool < INT64_MAX / 2 ? calloc((size_t)h->n_pool / 8 + 1, 1) : NULL;
    if (!h->asked)
        return dal_fail(err, DAL_E_NOMEM, "store", "%s: no memory for a pool of %lld", s->path,
                        (long long)h->n_pool);
    sqlite3_stmt *q = store_query(s, SQL_READ_ASKED, doing, err, INT(h->run));
    int row = q ? 0 : -1;
    while (q && (row = store_step(s, q, doing, err)) == 1) {
        const int64_t id = sqlite3_column_int64(q, 0);
        if (id < 0 || id >= h->n_pool)
            break;
        set_asked(h, id, true);
    }
    if (row == 1) {
        sqlite3_reset(q);
        return store_damaged(s, err, "run %lld: a sample beyond its pool", (long long)h->run);
    }
    return row < 0 ? s->status : DAL_OK;
}

/* Once for a run: as its only writer this handle knows it from then on. Within a transaction. */
static dal_status read_shape(store *s, held_run *h, const char *doing, dal_error *err)
{
    if (h->asked)
        return DAL_OK;
    sqlite3_stmt *q = store_query(s, SQL_SHAPE, doing, err, INT(h->run));
    const int row = q ? store_step(s, q, doing, err) : -1;
    if (row < 0)
        return s->status;
    if (row == 0)
        return dal_fail(err, DAL_E_NOT_FOUND, "store", "%s: there is no run %lld", s->path,
                        (long long)h->run);
    h->n_pool = sqlite3_column_int64(q, 0);
    h->n_classes = sqlite3_column_int64(q, 1);
    h->next_round = sqlite3_column_int64(q, 2);
    sqlite3_reset(q);
    const dal_status st = read_asked(s, h, doing, err);
    if (st != DAL_OK) {
        free(h->asked);
        h->asked = NULL;
    }
    return st;
}

static bool fits(const held_run *in, const pick *p)
{
    return p->id >= 0 && p->id < in->n_pool && p->nearest >= -1 && p->nearest < in->n_pool &&
           answer_name(p->answer) &&
           (p->answer != DAL_ANSWER_CLASS || (p->cls >= 0 && p->cls < in->n_classes));
}

static dal_status misfit(const store *s, const pick *p, dal_error *err)
{
    return dal_fail(
        err, DAL_E_CONTRACT, "store",
        "%s: a pick cannot be stored: sample %lld, rank %lld, nearest %lld, answer %u, class %d",
        s->path, (long long)p->id, (long long)p->rank, (long long)p->nearest, p->answer, p->cls);
}

/* ---- a new run ---- */

static dal_status check_head(const store *s, const run_head *h, dal_error *err)
{
    const char *const texts[] = {h->name,         h->strategy, h->manifest,    h->components,
                                 h->host_version, h->abi,      h->class_names, h->message};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!texts[i] || !utf8_valid(texts[i], strlen(texts[i]), NULL))
            return dal_fail(err, DAL_E_INVALID, "store",
                            "%s: a text of the new run is missing or not UTF-8", s->path);
    if (h->n_pool < 0 || h->n_test < 0 || h->n_classes < 1 || h->n_classes > STORE_MAX_CLASSES ||
        h->trial < 0 || (unsigned)h->state > RUN_FAILED)
        return dal_fail(err, DAL_E_INVALID, "store", "%s: a number of the new run is out of range",
                        s->path);
    return DAL_OK;
}

static dal_status add_head(store *s, const run_head *h, const char *doing, dal_error *err)
{
    char seed[24], fingerprint[40];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)h->seed);
    snprintf(fingerprint, sizeof fingerprint, "%016llx%016llx",
             (unsigned long long)h->data_fingerprint[0], (unsigned long long)h->data_fingerprint[1]);
    return store_exec(s, SQL_ADD_RUN, doing, err, NONE, TEXT(h->name), TEXT(h->strategy), INT(h->trial),
                      TEXT(seed), TEXT(h->manifest), TEXT(h->components), TEXT(h->host_version),
                      TEXT(h->abi), TEXT(fingerprint), INT(h->n_pool), INT(h->n_test),
                      INT(h->n_classes), TEXT(h->class_names), TEXT(run_state_name(h->state)),
                      TEXT(h->message), REAL(h->started), REAL(h->changed));
}

static dal_status add_initial(store *s, const run_head *h, const int64_t *ids, const int32_t *classes,
                              int64_t n, const char *doing, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < n; i++) {
        const bool ood = classes[i] == DAL_LABEL_OOD;
        if (ids[i] < 0 || ids[i] >= h->n_pool ||
            (!ood && (classes[i] < 0 || classes[i] >= h->n_classes)))
            return dal_fail(err, DAL_E_INVALID, "store",
                            "%s: initial label %lld: sample %lld, class %d: out "
                            "of range",
                            s->path, (long long)i, (long long)ids[i], classes[i]);
        st = store_exec(s, SQL_ADD_INITIAL, doing, err, INT(h->id), INT(i), INT(ids[i]),
                        ood ? NONE : INT(classes[i]));
    }
    return st;
}

static dal_status add_links(store *s, const run_head *h, const char *doing, dal_error *err)
{
    dal_status st = DAL_OK;
    for (int64_t i = 0; st == DAL_OK && i < h->n_links; i++) {
        const store_link *l = &h->links[i];
        st = store_exec(s, SQL_ADD_LINK, doing, err, INT(h->id), INT(l->position), TEXT(l->component), TEXT(l->split),
                        INT(l->samples), INT(l->unlabelled), INT(l->out_of_class), TEXT(l->classes));
    }
    return st;
}

dal_status store_new_run(store *s, run_head *head, const int64_t *initial, const int32_t *classes,
                         int64_t n_initial, dal_error *err)
{
    static const char doing[] = "store a new run";
    run_head h = *head;
    h.changed = now();
    if (!(h.started > 0))
        h.started = h.changed;
    dal_status st = check_head(s, &h, err);
    if (st == DAL_OK)
        st = store_begin(s, SQL_BEGIN_WRITE, doing, err);
    if (st != DAL_OK)
        return st;
    h.id = 0;
    st = add_head(s, &h, doing, err);
    if (st == DAL_OK) {
        h.id = sqlite3_last_insert_rowid(s->db);
        st = store_lock_run(s, h.id, err); /* before anybody can see the run */
    }
    if (st == DAL_OK)
        st = add_initial(s, &h, initial, classes, n_initial, doing, err);
    if (st == DAL_OK)
        st = add_links(s, &h, doing, err);
    st = store_end(s, st, doing, err);
    if (st == DAL_OK)
        *head = h;
    else
        store_forget_run(s, h.id);
    return st;
}

dal_status store_set_state(store *s, int64_t run, run_state state, const char *message, dal_error *err)
{
    static const char doing[] = "store the state of the run";
    held_run *h = store_held(s, run, err);
    dal_status st = h ? store_begin(s, SQL_BEGIN_WRITE, doing, err) : s->status;
    if (st != DAL_OK)
        return st;
    st = store_exec(s, SQL_SET_STATE, doing, err, TEXT(run_state_name(state)),
                    TEXT(message ? message : ""), REAL(now()), INT(run));
    return store_end(s, st, doing, err);
}

/* ---- a round ---- */

static dal_status add_round(store *s, int64_t run, const round_record *r, const char *doing,
                            dal_error *err)
{
    const round_metrics *m = &r->metrics;
    const phase_times *t = &r->times;
    return store_exec(
        s, SQL_ADD_ROUND, doing, err, INT(run), INT(r->round), INT(r->n_labelled), INT(r->n_ood),
        INT(r->n_unlabelled), REAL(m->accuracy), REAL(m->balanced_accuracy), REAL(m->macro_f1),
        REAL(m->log_loss), REAL(m->train_loss), REAL(m->train_accuracy), INT(m->epochs),
        INT(m->converged), REAL(t->train), REAL(t->evaluate), REAL(t->infer), REAL(t->select),
        REAL(t->label), REAL(t->commit), REAL(t->train_cpu), REAL(t->infer_cpu), REAL(t->select_cpu),
        INT(t->peak_rss), INT(r->n_picks), INT(r->n_pseudo), TEXT(r->reason ? r->reason : ""), INT(r->n_candidates));
}

static store_value class_of(const pick *p)
{
    return p->answer == DAL_ANSWER_CLASS ? INT(p->cls) : NONE;
}

enum { PICK_COLUMNS = 10 };

static void pick_values(int64_t run, int64_t round, const pick *p, store_value v[PICK_COLUMNS])
{
    const store_value values[PICK_COLUMNS] = {
        INT(run),          INT(round),
        INT(p->rank),      INT(p->id),
        REAL(p->score),    p->nearest < 0 ? NONE : INT(p->nearest),
        REAL(p->distance), TEXT(answer_name(p->answer)),
        class_of(p),       p->answer == DAL_ANSWER_PENDING ? NONE : REAL(p->cost)};
    memcpy(v, values, sizeof values);
}

static dal_status add_picks(store *s, int64_t run, const round_record *r, const char *doing,
                            dal_error *err)
{
    dal_status st = DAL_OK;
    store_value v[STORE_PICK_ROWS * PICK_COLUMNS];
    int64_t i = 0;
    for (; st == DAL_OK && i + STORE_PICK_ROWS <= r->n_picks; i += STORE_PICK_ROWS) {
        for (int k = 0; k < STORE_PICK_ROWS; k++)
            pick_values(run, r->round, &r->picks[i + k], v + k * PICK_COLUMNS);
        st = store_exec_values(s, SQL_ADD_PICKS, v, STORE_PICK_ROWS * PICK_COLUMNS, doing, err);
    }
    for (; st == DAL_OK && i < r->n_picks; i++) {
        pick_values(run, r->round, &r->picks[i], v);
        st = store_exec_values(s, SQL_ADD_PICK, v, PICK_COLUMNS, doing, err);
    }
    return st;
}

static dal_status add_why(store *s, int64_t run, int64_t round, const pick *p, const char *doing,
                          dal_error *err)
{
    const explanation *w = p->why;
    dal_status st =
        store_exec(s, SQL_ADD_WHY, doing, err, INT(run), INT(round), INT(p->rank),
                   w->other < 0 ? NONE : INT(w->other), REAL(w->other_distance), INT(w->stands_for));
    for (int i = 0; st == DAL_OK && i < STORE_FEW && w->few[i] >= 0; i++)
        st = store_exec(s, SQL_ADD_FEW, doing, err, INT(run), INT(round), INT(p->rank), INT(i),
                        INT(w->few[i]), REAL(w->few_distance[i]));
    return st;
}

static dal_status add_extras(store *s, int64_t run, const round_record *r, const char *doing,
                             dal_error *err)
{
    dal_status st = DAL_OK;
    const round_metrics *m = &r->metrics;
    for (int64_t c = 0; st == DAL_OK && m->recall && c < m->n_classes; c++)
        st = store_exec(s, SQL_ADD_RECALL, doing, err, INT(run), INT(r->round), INT(c),
                        REAL(m->recall[c]));
    for (int64_t i = 0; st == DAL_OK && i < r->n_picks; i++)
        if (r->picks[i].why)
            st = add_why(s, run, r->round, &r->picks[i], doing, err);
    for (int64_t i = 0; st == DAL_OK && i < r->n_pseudo; i++)
        st = store_exec(s, SQL_ADD_PSEUDO, doing, err, INT(run), INT(r->round), INT(i),
                        INT(r->pseudo_ids[i]), INT(r->pseudo_classes[i]),
                        REAL((double)r->pseudo_weights[i]));
    return st;
}

static dal_status add_blob(store *s, int64_t run, int64_t round, const round_blob *b, bool keep_old,
                           const char *doing, dal_error *err)
{
    dal_status st = DAL_OK;
    if (!keep_old) {
        st = store_exec(s, SQL_DROP_OLD_PARTS, doing, err, INT(run), INT(round), TEXT(b->what));
        if (st == DAL_OK)
            st = store_exec(s, SQL_DROP_OLD_BLOBS, doing, err, INT(run), INT(round), TEXT(b->what));
    }
    char sum[20];
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)XXH3_64bits(b->data, b->n));
    if (st == DAL_OK)
        st = store_exec(s, SQL_ADD_BLOB, doing, err, INT(run), INT(round), TEXT(b->what),
                        INT((int64_t)b->n), TEXT(sum));
    int64_t part = 0;
    for (size_t at = 0; st == DAL_OK && at < b->n; at += STORE_CHUNK, part++) {
        const size_t n = b->n - at < STORE_CHUNK ? b->n - at : STORE_CHUNK;
        st = store_exec(s, SQL_ADD_PART, doing, err, INT(run), INT(round), TEXT(b->what), INT(part),
                        BYTES((const char *)b->data + at, n));
    }
    return st;
}

static void unmark(held_run *h, const round_record *r, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        set_asked(h, r->picks[i].id, false);
}

/* The round follows, and its picks fit and are new. Marks them as asked. */
static dal_status check_round(store *s, held_run *h, const round_record *r, dal_error *err)
{
    if (r->round != h->next_round)
        return dal_fail(err, DAL_E_CONTRACT, "store",
                        "%s: round %lld of run %lld was given, round %lld is next", s->path,
                        (long long)r->round, (long long)h->run, (long long)h->next_round);
    for (int64_t i = 0; i < r->n_picks; i++) {
        const pick *p = &r->picks[i];
        if (p->rank == i && fits(h, p) && !was_asked(h, p->id)) {
            set_asked(h, p->id, true);
            continue;
        }
        unmark(h, r, i);
        return p->rank == i && fits(h, p)
                   ? dal_fail(err, DAL_E_CONTRACT, "store",
                              "%s: round %lld of run %lld asks again for sample %lld", s->path,
                              (long long)r->round, (long long)h->run, (long long)p->id)
                   : misfit(s, p, err);
    }
    return DAL_OK;
}

static dal_status add_all(store *s, int64_t run, const round_record *r, const round_blob *blobs,
                          int n_blobs, bool keep_old, const char *doing, dal_error *err)
{
    dal_status st = add_round(s, run, r, doing, err);
    if (st == DAL_OK)
        st = add_picks(s, run, r, doing, err);
    if (st == DAL_OK)
        st = add_extras(s, run, r, doing, err);
    for (int i = 0; st == DAL_OK && i < n_blobs; i++)
        st = add_blob(s, run, r->round, &blobs[i], keep_old, doing, err);
    return st == DAL_OK ? touch(s, run, doing, err) : st;
}

dal_status store_commit_round(store *s, int64_t run, const round_record *r, const round_blob *blobs,
                              int n_blobs, bool keep_old, dal_error *err)
{
    char doing[64];
    snprintf(doing, sizeof doing, "store round %lld of run %lld", (long long)r->round, (long long)run);
    held_run *h = store_held(s, run, err);
    dal_status st = h ? store_begin(s, SQL_BEGIN_WRITE, doing, err) : s->status;
    if (st != DAL_OK)
        return st;
    st = read_shape(s, h, doing, err);
    if (st == DAL_OK)
        st = check_round(s, h, r, err);
    const bool marked = st == DAL_OK;
    if (st == DAL_OK)
        st = add_all(s, run, r, blobs, n_blobs, keep_old, doing, err);
    st = store_end(s, st, doing, err);
    if (st == DAL_OK)
        h->next_round++;
    else if (marked)
        unmark(h, r, r->n_picks);
    return st;
}

/* ---- answers ---- */

static dal_status refuse_answer(store *s, int64_t run, int64_t round, const pick *p, const char *doing,
                                dal_error *err)
{
    sqlite3_stmt *q =
        store_query(s, SQL_PICK_ANSWER, doing, err, INT(run), INT(round), INT(p->rank), INT(p->id));
    const int row = q ? store_step(s, q, doing, err) : -1;
    if (row < 0)
        return s->status;
    if (row == 0)
        return dal_fail(
            err, DAL_E_INVALID, "store",
            "%s: an answer for sample %lld, rank %lld of round %lld, run %lld, which was not asked "
            "for",
            s->path, (long long)p->id, (long long)p->rank, (long long)round, (long long)run);
    dal_fail(err, DAL_E_INVALID, "store",
             "%s: sample %lld (rank %lld of round %lld, run %lld) has been answered already: %s",
             s->path, (long long)p->id, (long long)p->rank, (long long)round, (long long)run,
             (const char *)sqlite3_column_text(q, 0));
    sqlite3_reset(q);
    return DAL_E_INVALID;
}

static dal_status add_answer(store *s, int64_t run, const held_run *in, int64_t round, const pick *p,
                             const char *doing, dal_error *err)
{
    if (p->answer == DAL_ANSWER_PENDING || !fits(in, p))
        return misfit(s, p, err);
    const dal_status st =
        store_exec(s, SQL_ANSWER, doing, err, TEXT(answer_name(p->answer)), class_of(p), REAL(p->cost),
                   INT(run), INT(round), INT(p->rank), INT(p->id));
    if (st == DAL_OK && sqlite3_changes(s->db) != 1)
        return refuse_answer(s, run, round, p, doing, err);
    return st;
}

dal_status store_add_answers(store *s, int64_t run, int64_t round, const pick *picks, int64_t n,
                             dal_error *err)
{
    char doing[80];
    snprintf(doing, sizeof doing, "store answers of round %lld of run %lld", (long long)round,
             (long long)run);
    held_run *h = store_held(s, run, err);
    dal_status st = h ? store_begin(s, SQL_BEGIN_WRITE, doing, err) : s->status;
    if (st != DAL_OK)
        return st;
    st = read_shape(s, h, doing, err);
    for (int64_t i = 0; st == DAL_OK && i < n; i++)
        st = add_answer(s, run, h, round, &picks[i], doing, err);
    if (st == DAL_OK)
        st = touch(s, run, doing, err);
    return store_end(s, st, doing, err);
}
