/* The run store: what goes in comes out, nothing is half-written, one writer a run. */
#include <criterion/criterion.h>

#include <dal/oracle.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"
#include "util/text.h"

/* ---- helpers ---- */

static char folder[64], file[96];

static void make_folder(void)
{
    strcpy(folder, "/tmp/dalhost-store-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/runs.sqlite", folder);
}

static void drop_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(store, .init = make_folder, .fini = drop_folder);

#define ok(call)                                                                                       \
    do {                                                                                               \
        dal_error err_ = DAL_ERROR_INIT;                                                               \
        dal_error *e = &err_;                                                                          \
        const dal_status status_ = (call);                                                             \
        cr_assert_eq(status_, DAL_OK, "%d: %s", status_, e->text);                                     \
    } while (0)

/* The call fails with this status and a text that holds both words. */
#define fails(want_, word1, word2, call)                                                               \
    do {                                                                                               \
        dal_error err_ = DAL_ERROR_INIT;                                                               \
        dal_error *e = &err_;                                                                          \
        const dal_status got_ = (call);                                                                \
        cr_assert_eq(got_, want_, "%d: %s", got_, e->text);                                            \
        cr_assert_eq(e->status, want_);                                                                \
        cr_assert(strstr(e->text, word1) && strstr(e->text, word2), "%s", e->text);                    \
    } while (0)

static store *open_store(void)
{
    store *s = NULL;
    ok(store_open(file, true, false, &s, e));
    return s;
}

static run_head some_head(void)
{
    return (run_head){.name = "O'Neil \"quoted\" Grüße 数据",
                      .strategy = "margin",
                      .trial = 3,
                      .seed = UINT64_MAX - 1,
                      .manifest = "{\"a\":1}",
                      .components = "[{\"id\":\"mlp\"}]",
                      .host_version = "0.1.0",
                      .abi = "1.0",
                      .data_fingerprint = {0xfedcba9876543210u, 7},
                      .n_pool = 1000000,
                      .n_test = 10,
                      .n_classes = 3,
                      .class_names = "[\"a\",\"b\",\"c\"]",
                      .state = RUN_RUNNING,
                      .message = "",
                      .started = 1.5e9};
}

static int64_t some_run(store *s)
{
    run_head h = some_head();
    ok(store_new_run(s, &h, (int64_t[]){999998, 999999}, (int32_t[]){0, 2}, 2, e));
    return h.id;
}

/* Round k with n picks of samples k*n .. , every answer a function of the sample. */
static void fill_picks(pick *p, int64_t round, int64_t n, bool answered)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t id = round * n + i;
        p[i] = (pick){.id = id,
                      .rank = i,
                      .score = i % 5 ? 0.1 * (double)id : (double)NAN,
                      .nearest = i % 3 ? 999999 : -1,
                      .distance = i % 3 ? 1.0 / (double)(id + 1) : (double)NAN,
                      .answer = answered ? DAL_ANSWER_CLASS : DAL_ANSWER_PENDING,
                      .cls = answered ? (int32_t)(id % 3) : DAL_LABEL_NONE,
                      .cost = answered ? 1 : (double)NAN};
    }
}

static round_record some_round(int64_t round, const pick *p, int64_t n)
{
    return (round_record){.round = round,
                          .n_labelled = 2 + round * n,
                          .n_unlabelled = 1000000 - 2 - round * n,
                          .metrics = {.accuracy = 0.5 + 0.01 * (double)round,
                                      .balanced_accuracy = NAN,
                                      .macro_f1 = 0.25,
                                      .log_loss = INFINITY,
                                      .train_loss = 1e-300,
                                      .train_accuracy = 1,
                                      .epochs = 7,
                                      .converged = 1},
                          .times = {.train = 1,
                                    .evaluate = 2,
                                    .infer = 3,
                                    .select = 4,
                                    .label = 5,
                                    .commit = 6,
                                    .train_cpu = 7,
                                    .infer_cpu = 8,
                                    .select_cpu = 9,
                                    .peak_rss = 1 << 30},
                          .picks = p,
                          .n_picks = n,
                          .reason = ""};
}

static void same(double a, double b)
{
    cr_assert(a == b || (isnan(a) && isnan(b)), "%g is not %g", a, b);
}

static void check_picks(const pick *got, const pick *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        cr_assert_eq(got[i].id, want[i].id);
        cr_assert_eq(got[i].rank, want[i].rank);
        cr_assert_eq(got[i].nearest, want[i].nearest);
        cr_assert_eq(got[i].answer, want[i].answer);
        cr_assert_eq(got[i].cls, want[i].cls);
        same(got[i].score, want[i].score);
        same(got[i].distance, want[i].distance);
        same(got[i].cost, want[i].cost);
    }
}

static void sql(const char *command)
{
    sqlite3 *db;
    cr_assert_eq(sqlite3_open(file, &db), SQLITE_OK);
    char *says = NULL;
    cr_assert_eq(sqlite3_exec(db, command, NULL, NULL, &says), SQLITE_OK, "%s", says);
    sqlite3_close(db);
}

/* ---- round trips ---- */

Test(store, gives_back_the_head_of_a_run)
{
    store *s = open_store();
    cr_assert_str_eq(store_path(s), file);
    const int64_t id = some_run(s);
    store_close(s);
    s = open_store();
    stored_run *r = NULL;
    ok(store_read_run(s, id, &r, e));
    const run_head want = some_head();
    cr_assert_str_eq(r->head.name, want.name);
    cr_assert_str_eq(r->head.strategy, want.strategy);
    cr_assert_str_eq(r->head.manifest, want.manifest);
    cr_assert_str_eq(r->head.components, want.components);
    cr_assert_str_eq(r->head.host_version, want.host_version);
    cr_assert_str_eq(r->head.abi, want.abi);
    cr_assert_str_eq(r->head.class_names, want.class_names);
    cr_assert_str_eq(r->head.message, "");
    cr_assert_eq(r->head.trial, 3);
    cr_assert_eq(r->head.seed, UINT64_MAX - 1);
    cr_assert_eq(r->head.data_fingerprint[0], want.data_fingerprint[0]);
    cr_assert_eq(r->head.data_fingerprint[1], 7);
    cr_assert_eq(r->head.n_pool, 1000000);
    cr_assert_eq(r->head.n_test, 10);
    cr_assert_eq(r->head.n_classes, 3);
    cr_assert_eq(r->head.state, RUN_RUNNING);
    cr_assert_eq(r->head.started, 1.5e9);
    cr_assert_eq(r->n_initial, 2);
    cr_assert_eq(r->initial[1], 999999);
    cr_assert_eq(r->initial_classes[1], 2);
    cr_assert_eq(r->n_rounds, 0);
    stored_run_free(r);
    store_close(s);
}

Test(store, gives_back_rounds_with_nan_infinity_and_everything)
{
    enum { N = 17 };
    store *s = open_store();
    const int64_t id = some_run(s);
    pick p[2][N];
    const double recall[] = {0.5, NAN, 1};
    const int64_t pseudo_ids[] = {500, 400};
    const int32_t pseudo_classes[] = {1, 0};
    const float pseudo_weights[] = {1, 0.1f};
    for (int k = 0; k < 2; k++) {
        fill_picks(p[k], k, N, k == 0);
        round_record r = some_round(k, p[k], N);
        if (k == 1) {
            r.metrics.recall = recall;
            r.metrics.n_classes = 3;
            r.reason = "nur 17 übrig";
            r.pseudo_ids = pseudo_ids;
            r.pseudo_classes = pseudo_classes;
            r.pseudo_weights = pseudo_weights;
            r.n_pseudo = 2;
        }
        ok(store_commit_round(s, id, &r, NULL, 0, true, e));
    }
    stored_run *r = NULL;
    ok(store_read_run(s, id, &r, e));
    cr_assert_eq(r->n_rounds, 2);
    for (int k = 0; k < 2; k++) {
        const round_record *got = &r->rounds[k];
        const round_record want = some_round(k, NULL, N);
        cr_assert_eq(got->round, k);
        cr_assert_eq(got->n_labelled, want.n_labelled);
        cr_assert_eq(got->n_unlabelled, want.n_unlabelled);
        cr_assert_eq(got->n_picks, N);
        check_picks(got->picks, p[k], N);
        same(got->metrics.accuracy, want.metrics.accuracy);
        same(got->metrics.balanced_accuracy, NAN);
        same(got->metrics.macro_f1, 0.25);
        same(got->metrics.log_loss, INFINITY);
        same(got->metrics.train_loss, 1e-300);
        same(got->metrics.train_accuracy, 1);
        cr_assert_eq(got->metrics.epochs, 7);
        cr_assert_eq(got->metrics.converged, 1);
        const phase_times t = got->times;
        const double times[] = {t.train,  t.evaluate,  t.infer,     t.select,    t.label,
                                t.commit, t.train_cpu, t.infer_cpu, t.select_cpu};
        for (int i = 0; i < 9; i++)
            same(times[i], i + 1);
        cr_assert_eq(t.peak_rss, 1 << 30);
    }
    const round_record *last = &r->rounds[1];
    cr_assert_null(r->rounds[0].metrics.recall);
    cr_assert_eq(last->metrics.n_classes, 3);
    same(last->metrics.recall[1], NAN);
    same(last->metrics.recall[2], 1);
    cr_assert_str_eq(last->reason, "nur 17 übrig");
    cr_assert_eq(last->n_pseudo, 2);
    cr_assert_eq(last->pseudo_ids[1], 400);
    cr_assert_eq(last->pseudo_classes[0], 1);
    cr_assert_eq(last->pseudo_weights[1], 0.1f);
    stored_run_free(r);
    store_close(s);
}

Test(store, gives_back_blobs_and_drops_old_ones_when_told)
{
    store *s = open_store();
    const int64_t id = some_run(s);
    const size_t n = 2 * STORE_CHUNK + 12345;
    unsigned char *big = malloc(n);
    for (size_t i = 0; i < n; i++)
        big[i] = (unsigned char)(i * 2654435761u >> 13);
    for (int k = 0; k < 3; k++) {
        big[0] = (unsigned char)k;
        const round_blob blobs[] = {{"model", big, n}, {"strategy", "", 0}};
        const round_record r = some_round(k, NULL, 0);
        ok(store_commit_round(s, id, &r, blobs, 2, k < 2, e));
    }
    void *data;
    size_t got;
    ok(store_read_blob(s, id, 2, "model", &data, &got, e));
    cr_assert_eq(got, n);
    cr_assert_arr_eq(data, big, n);
    free(data);
    ok(store_read_blob(s, id, 2, "strategy", &data, &got, e));
    cr_assert_eq(got, 0);
    cr_assert_not_null(data);
    free(data);
    fails(DAL_E_NOT_FOUND, "keeps no model of round 1", file,
          store_read_blob(s, id, 1, "model", &data, &got, e));
    sql("UPDATE blob_part SET data = zeroblob(length(data)) WHERE part = 1");
    fails(DAL_E_FORMAT, "checksum", file, store_read_blob(s, id, 2, "model", &data, &got, e));
    sql("DELETE FROM blob_part WHERE part = 1");
    fails(DAL_E_FORMAT, "bytes", file, store_read_blob(s, id, 2, "model", &data, &got, e));
    cr_assert_null(data);
    free(big);
    store_close(s);
}

Test(store, keeps_states_and_lists_runs_in_order)
{
    store *s = open_store();
    const int64_t a = some_run(s), b = some_run(s);
    ok(store_set_state(s, a, RUN_WAITING, "fill in queries/round-3.csv", e));
    run_head *heads;
    int64_t n;
    ok(store_list(s, &heads, &n, e));
    cr_assert_eq(n, 2);
    cr_assert_eq(heads[0].id, a);
    cr_assert_eq(heads[1].id, b);
    cr_assert_eq(heads[0].state, RUN_WAITING);
    run_standing at;
    ok(store_read_standing(s, a, &at, e));
    cr_assert(at.rounds == 0 && at.labels == 0 && isnan(at.accuracy));
    for (int k = 0; k < 2; k++) {
        const round_record r = some_round(k, NULL, 0);
        ok(store_commit_round(s, a, &r, NULL, 0, true, e));
    }
    ok(store_read_standing(s, a, &at, e));
    cr_assert(at.rounds == 2 && at.labels == 2 && at.accuracy == 0.51);
    cr_assert_str_eq(heads[0].message, "fill in queries/round-3.csv");
    cr_assert_str_eq(heads[1].name, some_head().name);
    store_list_free(heads, n);
    store_close(s);
}

Test(store, finds_the_last_unfinished_run_of_the_same_kind)
{
    store *s = open_store();
    const int64_t a = some_run(s), b = some_run(s), c = some_run(s);
    ok(store_set_state(s, c, RUN_DONE, "", e));
    ok(store_set_state(s, b, RUN_FAILED, "out of memory", e));
    const run_head like = some_head();
    run_head found;
    ok(store_find_run(s, &like, false, &found, e));
    cr_assert_eq(found.id, b);
    cr_assert_str_eq(found.message, "out of memory");
    ok(store_find_run(s, &like, true, &found, e));
    cr_assert_eq(found.id, c);
    ok(store_set_state(s, b, RUN_DONE, "", e));
    run_head other = like;
    other.components = NULL;
    ok(store_find_run(s, &other, false, &found, e));
    cr_assert_eq(found.id, a);
    const run_head different[] = {
        {.strategy = "random", .trial = 3, .seed = like.seed, .manifest = like.manifest},
        {.strategy = "margin", .trial = 2, .seed = like.seed, .manifest = like.manifest},
        {.strategy = "margin", .trial = 3, .seed = 1, .manifest = like.manifest},
        {.strategy = "margin", .trial = 3, .seed = like.seed, .manifest = "{}"},
        {.strategy = "margin",
         .trial = 3,
         .seed = like.seed,
         .manifest = like.manifest,
         .components = "[]"},
    };
    for (size_t i = 0; i < sizeof different / sizeof *different; i++)
        fails(DAL_E_NOT_FOUND, "no run", file, store_find_run(s, &different[i], true, &found, e));
    store_close(s);
}

/* ---- answers ---- */

Test(store, takes_each_answer_once)
{
    store *s = open_store();
    const int64_t id = some_run(s);
    pick p[4];
    fill_picks(p, 0, 4, false);
    const round_record r = some_round(0, p, 4);
    ok(store_commit_round(s, id, &r, NULL, 0, true, e));
    p[2].answer = DAL_ANSWER_CLASS;
    p[2].cls = 1;
    p[2].cost = 0.5;
    ok(store_add_answers(s, id, 0, &p[2], 1, e));
    p[0].answer = DAL_ANSWER_OUT_OF_CLASS;
    p[1].answer = DAL_ANSWER_ABSTAIN;
    p[0].cls = DAL_LABEL_OOD;
    p[0].cost = p[1].cost = 1;
    fails(DAL_E_INVALID, "answered already", "rank 2", store_add_answers(s, id, 0, p, 3, e));
    stored_run *got;
    ok(store_read_run(s, id, &got, e));
    cr_assert_eq(got->rounds[0].picks[0].answer, DAL_ANSWER_PENDING, "a refused batch leaves nothing");
    stored_run_free(got);
    ok(store_add_answers(s, id, 0, p, 2, e));
    ok(store_read_run(s, id, &got, e));
    check_picks(got->rounds[0].picks, p, 4);
    stored_run_free(got);
    pick stranger = p[3];
    stranger.answer = DAL_ANSWER_ABSTAIN;
    stranger.id = 77;
    fails(DAL_E_INVALID, "not asked", "77", store_add_answers(s, id, 0, &stranger, 1, e));
    fails(DAL_E_CONTRACT, "answer 0", file, store_add_answers(s, id, 0, &p[3], 1, e));
    p[3].answer = DAL_ANSWER_CLASS;
    p[3].cls = 3;
    fails(DAL_E_CONTRACT, "class 3", file, store_add_answers(s, id, 0, &p[3], 1, e));
    store_close(s);
}

/* ---- nothing half-written ---- */

static int64_t count_rows(const char *table)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    char query[80];
    snprintf(query, sizeof query, "SELECT count(*) FROM %s", table);
    cr_assert_eq(sqlite3_open(file, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_prepare_v2(db, query, -1, &q, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_step(q), SQLITE_ROW);
    const int64_t n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

Test(store, stores_nothing_of_a_round_that_fails)
{
    store *s = open_store();
    const int64_t id = some_run(s);
    pick p[8], bad[8];
    fill_picks(p, 0, 8, true);
    round_record r = some_round(0, p, 8);
    ok(store_commit_round(s, id, &r, NULL, 0, true, e));
    r = some_round(1, bad, 8);
    fill_picks(bad, 1, 8, true);
    bad[7].id = p[0].id; /* asked for again */
    fails(DAL_E_CONTRACT, "round 1 of run 1", "asks again for sample 0",
          store_commit_round(s, id, &r, NULL, 0, true, e));
    bad[7].id = 999999; /* labelled at the start */
    fails(DAL_E_CONTRACT, "asks again for sample 999999", file,
          store_commit_round(s, id, &r, NULL, 0, true, e));
    bad[7].id = 1000000; /* no such sample */
    fails(DAL_E_CONTRACT, "1000000", file, store_commit_round(s, id, &r, NULL, 0, true, e));
    fill_picks(bad, 1, 8, true);
    r.round = 2;
    fails(DAL_E_CONTRACT, "round 1 is next", file, store_commit_round(s, id, &r, NULL, 0, true, e));
    r.round = 0;
    fails(DAL_E_CONTRACT, "round 1 is next", file, store_commit_round(s, id, &r, NULL, 0, true, e));
    cr_assert_eq(count_rows("round"), 1);
    cr_assert_eq(count_rows("pick"), 8);
    r.round = 1;
    ok(store_commit_round(s, id, &r, NULL, 0, true, e));
    run_head h = some_head();
    fails(DAL_E_INVALID, "class 3", file,
          store_new_run(s, &h, (int64_t[]){1, 2}, (int32_t[]){0, 3}, 2, e));
    h.name = "bad \xff";
    fails(DAL_E_INVALID, "UTF-8", file, store_new_run(s, &h, NULL, NULL, 0, e));
    cr_assert_eq(count_rows("run"), 1);
    cr_assert_eq(count_rows("initial_label"), 2);
    cr_assert_eq(some_run(s), 2, "the number of a run that failed is free again");
    store_close(s);
}

/* ---- who may write ---- */

/* Runs body in a child; its exit status. */
#define in_child(body)                                                                                 \
    do {                                                                                               \
        const pid_t pid_ = fork();                                                                     \
        if (pid_ == 0) {                                                                               \
            body;                                                                                      \
            _exit(0);                                                                                  \
        }                                                                                              \
        int status_;                                                                                   \
        waitpid(pid_, &status_, 0);                                                                    \
        cr_assert(WIFEXITED(status_) && WEXITSTATUS(status_) == 0, "child: %d", status_);              \
    } while (0)

Test(store, lets_one_handle_write_a_run)
{
    store *a = open_store(), *b = open_store();
    const int64_t id = some_run(a);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    fails(DAL_E_FAILED, pid, file, store_lock_run(b, id, e));
    const round_record r = some_round(0, NULL, 0);
    fails(DAL_E_CONTRACT, "without its lock", file, store_commit_round(b, id, &r, NULL, 0, true, e));
    fails(DAL_E_CONTRACT, "without its lock", file, store_set_state(b, id, RUN_DONE, "", e));
    ok(store_lock_run(a, id, e));
    ok(store_commit_round(a, id, &r, NULL, 0, true, e));
    cr_assert_eq(some_run(b), id + 1, "another run is free");
    store_close(a);
    ok(store_lock_run(b, id, e));
    ok(store_set_state(b, id, RUN_DONE, "", e));
    store_close(b);
}

Test(store, drops_the_lock_of_a_killed_writer)
{
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        store *s = open_store();
        some_run(s);
        (void)!write(ready[1], "x", 1);
        pause();
    }
    char c;
    cr_assert_eq(read(ready[0], &c, 1), 1);
    store *s = open_store();
    char who[32];
    snprintf(who, sizeof who, "process %ld", (long)pid);
    fails(DAL_E_FAILED, who, "run 1", store_lock_run(s, 1, e));
    store *reader;
    ok(store_open(file, false, true, &reader, e));
    cr_assert_eq(store_writer(reader, 1), pid);
    cr_assert_eq(store_writer(reader, 2), 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert_eq(store_writer(reader, 1), 0);
    store_close(reader);
    ok(store_lock_run(s, 1, e));
    store_close(s);
}

static void write_rounds(int64_t n_rounds, int64_t n_picks)
{
    store *s = open_store();
    const int64_t id = some_run(s);
    pick *p = calloc((size_t)n_picks, sizeof *p);
    for (int64_t k = 0; k < n_rounds; k++) {
        fill_picks(p, k, n_picks, true);
        const round_record r = some_round(k, p, n_picks);
        const round_blob model = {"model", p, (size_t)n_picks * sizeof *p};
        ok(store_commit_round(s, id, &r, &model, 1, false, e));
    }
    free(p);
    store_close(s);
}

Test(store, serves_two_processes_at_once)
{
    pid_t child[2]; /* neither finds a store: both may make it */
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            write_rounds(30, 50);
            _exit(0);
        }
    }
    for (int i = 0; i < 2; i++) {
        int status;
        waitpid(child[i], &status, 0);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    store *s = open_store();
    for (int64_t id = 1; id <= 2; id++) {
        stored_run *r;
        ok(store_read_run(s, id, &r, e));
        cr_assert_eq(r->n_rounds, 30);
        pick want[50];
        for (int64_t k = 0; k < 30; k++) {
            fill_picks(want, k, 50, true);
            check_picks(r->rounds[k].picks, want, 50);
        }
        stored_run_free(r);
    }
    store_close(s);
}

/* A round of 200 picks, the first 100 of which got answers in a second transaction: all or none. */
static void check_whole(const round_record *r, bool told)
{
    cr_assert_eq(r->n_picks, 200);
    const bool answered = r->picks[0].answer == DAL_ANSWER_CLASS;
    cr_assert(answered || !told);
    for (int64_t i = 0; i < 200; i++) {
        cr_assert_eq(r->picks[i].id, r->round * 200 + i);
        cr_assert_eq(r->picks[i].answer, answered && i < 100 ? DAL_ANSWER_CLASS : DAL_ANSWER_PENDING);
    }
}

Test(store, loses_no_committed_round_to_kill_9, .timeout = 120)
{
    unsigned state = 12345;
    for (int shot = 0; shot < 20; shot++) {
        int done[2];
        cr_assert_eq(pipe(done), 0);
        const pid_t pid = fork();
        if (pid == 0) {
            store *s = open_store();
            const int64_t id = some_run(s);
            static pick p[200];
            for (int32_t k = 0;;
                 k++) { /* tells each round that is durable, and goes on until it is shot */
                fill_picks(p, k, 200, false);
                const round_record r = some_round(k, p, 200);
                const round_blob model = {"model", p, sizeof p};
                ok(store_commit_round(s, id, &r, &model, 1, false, e));
                fill_picks(p, k, 200, true);
                ok(store_add_answers(s, id, k, p, 100, e));
                const int32_t told[2] = {(int32_t)id, k + 1};
                (void)!write(done[1], told, sizeof told);
            }
        }
        close(done[1]);
        state = state * 1664525u + 1013904223u;
        nanosleep(&(struct timespec){.tv_nsec = (long)(state >> 8) % 60000000}, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        int32_t told[2] = {0, 0}, next[2];
        while (read(done[0], next, sizeof next) == (ssize_t)sizeof next)
            memcpy(told, next, sizeof told);
        close(done[0]);
        store *s = open_store();
        run_head *heads;
        int64_t n;
        ok(store_list(s, &heads, &n, e));
        store_list_free(heads, n);
        if (told[0] > 0) {
            stored_run *r;
            ok(store_read_run(s, told[0], &r, e));
            cr_assert_geq(r->n_rounds, told[1], "shot %d", shot);
            cr_assert_leq(r->n_rounds, told[1] + 1, "shot %d", shot);
            for (int64_t k = 0; k < r->n_rounds; k++)
                check_whole(&r->rounds[k], k < told[1]);
            void *data;
            size_t bytes;
            ok(store_read_blob(s, told[0], r->n_rounds - 1, "model", &data, &bytes, e));
            cr_assert_eq(bytes, 200 * sizeof(pick));
            free(data);
            ok(store_lock_run(s, told[0], e));
            stored_run_free(r);
        }
        store_close(s);
    }
}

/* ---- files that are not, or no longer, a run store ---- */

static void put_bytes(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

Test(store, says_what_a_file_is_when_it_is_not_a_run_store)
{
    store *s;
    fails(DAL_E_NOT_FOUND, file, "dalhost run", store_open(file, false, true, &s, e));
    fails(DAL_E_INVALID, folder, "a folder", store_open(folder, true, false, &s, e));
    fails(DAL_E_INVALID, "empty", "name", store_open("", true, false, &s, e));
    put_bytes(
        file,
        "strategy: margin\n# a manifest, not a store, and long enough to have a header of SQLite's "
        "own size, which is one hundred bytes\n",
        132);
    fails(DAL_E_FORMAT, file, "not a run store", store_open(file, true, false, &s, e));
    fails(DAL_E_FORMAT, file, "not a run store", store_open(file, false, true, &s, e));
    cr_assert_eq(unlink(file), 0);
    put_bytes(file, "", 0);
    fails(DAL_E_FORMAT, file, "empty", store_open(file, false, true, &s, e));
    cr_assert_eq(unlink(file), 0);
    sql("CREATE TABLE recipes (name TEXT)");
    fails(DAL_E_FORMAT, "not a run store", "application_id", store_open(file, true, false, &s, e));
    cr_assert_eq(unlink(file), 0);
    char nowhere[128];
    snprintf(nowhere, sizeof nowhere, "%s/no/such/folder.sqlite", folder);
    fails(DAL_E_IO, nowhere, "folder", store_open(nowhere, true, false, &s, e));
}

Test(store, refuses_another_format_by_number)
{
    store *s = open_store();
    store_close(s);
    sql("PRAGMA user_version = 7");
    fails(DAL_E_FORMAT, "store format 7, this dalhost reads 1", "newer",
          store_open(file, true, false, &s, e));
    sql("PRAGMA user_version = 0");
    fails(DAL_E_FORMAT, "store format 0, this dalhost reads 1", file,
          store_open(file, false, true, &s, e));
}

Test(store, makes_a_store_of_a_file_whose_making_was_cut_short)
{
    put_bytes(file, "", 0);
    store *s = open_store();
    some_run(s);
    store_close(s);
}

Test(store, takes_names_literally_that_mean_something_to_sqlite)
{
    cr_assert_eq(chdir(folder), 0);
    const char *const names[] = {":memory:", "file:x?mode=memory", "a%20b#c.sqlite"};
    for (int i = 0; i < 3; i++) {
        store *s;
        ok(store_open(names[i], true, false, &s, e));
        some_run(s);
        store_close(s);
        cr_assert_eq(access(names[i], F_OK), 0, "%s", names[i]);
    }
    cr_assert_eq(chdir("/"), 0);
}

/* Every row that is out of range is refused, whatever it is. */
Test(store, trusts_no_number_it_reads)
{
    static const char *const changes[] = {
        "UPDATE run SET n_classes = 0",
        "UPDATE run SET n_classes = 2000000000000",
        "UPDATE run SET n_pool = -1",
        "UPDATE run SET n_pool = 20",
        "UPDATE run SET seed = 'x'",
        "UPDATE run SET data_fingerprint = 'short'",
        "UPDATE run SET name = CAST(x'ff' AS TEXT)",
        "UPDATE initial_label SET id = -5 WHERE position = 0",
        "UPDATE initial_label SET position = 7 WHERE position = 0",
        "UPDATE initial_label SET class = 3",
        "UPDATE round SET n_picks = 1000000 WHERE round = 0",
        "UPDATE round SET n_picks = -1 WHERE round = 0",
        "UPDATE round SET n_labelled = 9000000 WHERE round = 1",
        "UPDATE round SET n_pseudo = 4611686018427387904",
        "UPDATE pick SET id = 1000000 WHERE round = 1 AND rank = 3",
        "UPDATE pick SET id = 999998 WHERE round = 1 AND rank = 3",
        "UPDATE pick SET id = (SELECT id FROM pick WHERE round = 0 AND rank = 0) WHERE round = 1 AND "
        "rank = 3",
        "UPDATE pick SET nearest_id = -7 WHERE rank = 1",
        "UPDATE pick SET answer = 'maybe' WHERE rank = 1",
        "UPDATE pick SET class = 3 WHERE rank = 1",
        "UPDATE pick SET class = NULL WHERE rank = 1",
        "UPDATE pick SET rank = 50 WHERE rank = 1",
        "UPDATE pick SET round = 9 WHERE rank = 1 AND round = 1",
        "DELETE FROM pick WHERE rank = 4",
        "UPDATE round SET round = 5 WHERE round = 1",
        "DELETE FROM round WHERE round = 0",
        "UPDATE recall SET class = 9 WHERE class = 2",
        "DELETE FROM recall WHERE class = 2",
        "UPDATE pseudo_label SET class = -1",
        "UPDATE pseudo_label SET weight = -1",
        "DELETE FROM pseudo_label",
    };
    enum { N = 5 };
    store *s = open_store();
    const int64_t id = some_run(s);
    pick p[N];
    const double recall[] = {1, 1, 1};
    for (int k = 0; k < 2; k++) {
        fill_picks(p, k, N, true);
        round_record r = some_round(k, p, N);
        r.metrics.recall = recall;
        r.metrics.n_classes = 3;
        r.pseudo_ids = (const int64_t[]){500};
        r.pseudo_classes = (const int32_t[]){1};
        r.pseudo_weights = (const float[]){1};
        r.n_pseudo = 1;
        ok(store_commit_round(s, id, &r, NULL, 0, true, e));
    }
    store_close(s);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char *copy = xasprintf("cp '%s' '%s.good'", file, file),
             *back = xasprintf("mv '%s.good' '%s'", file, file);
        cr_assert_eq(system(copy), 0);
        sql(changes[i]);
        dal_error err = DAL_ERROR_INIT;
        stored_run *r = NULL;
        ok(store_open(file, false, true, &s, e));
        const dal_status st = store_read_run(s, id, &r, &err);
        cr_assert_eq(st, DAL_E_FORMAT, "%s: %d %s", changes[i], st, err.text);
        cr_assert(strstr(err.text, file) && strstr(err.text, "damaged"), "%s", err.text);
        store_close(s);
        cr_assert_eq(system(back), 0);
        free(copy);
        free(back);
    }
}

Test(store, reports_a_table_that_is_not_as_it_was_made)
{
    store *s = open_store();
    const int64_t id = some_run(s);
    store_close(s);
    sql("ALTER TABLE pick RENAME COLUMN score TO points");
    stored_run *r;
    ok(store_open(file, false, true, &s, e));
    fails(DAL_E_FORMAT, file, "score", store_read_run(s, id, &r, e));
    store_close(s);
}

/* However much of a store is left, reading it ends with a status, never with a crash. */
Test(store, survives_truncated_and_scribbled_files)
{
    write_rounds(6, 200);
    sql("PRAGMA wal_checkpoint(TRUNCATE)");
    struct stat info;
    cr_assert_eq(stat(file, &info), 0);
    const size_t n = (size_t)info.st_size;
    char *bytes = malloc(n), *worse = malloc(n);
    FILE *f = fopen(file, "rb");
    cr_assert_eq(fread(bytes, 1, n, f), n);
    fclose(f);
    unsigned state = 7;
    int bad = 0;
    for (int i = 0; i < 80; i++) {
        memcpy(worse, bytes, n);
        state = state * 1664525u + 1013904223u;
        const size_t keep = i < 40 ? (size_t)(state % n) : n;
        for (int k = 0; i >= 40 && k < 64; k++) {
            state = state * 1664525u + 1013904223u;
            worse[state % n] = (char)(state >> 24);
        }
        put_bytes(file, worse, keep);
        dal_error err = DAL_ERROR_INIT;
        store *s = NULL;
        stored_run *r = NULL;
        void *data = NULL;
        size_t size;
        dal_status st = store_open(file, false, true, &s, &err);
        if (st == DAL_OK)
            st = store_read_run(s, 1, &r, &err);
        if (st == DAL_OK)
            st = store_read_blob(s, 1, 5, "model", &data, &size, &err);
        cr_assert(st == DAL_OK || strstr(err.text, file), "%s", err.text);
        bad += st != DAL_OK;
        free(data);
        stored_run_free(r);
        store_close(s);
    }
    cr_assert_geq(bad, 40, "%d", bad);
    free(bytes);
    free(worse);
}

Test(store, is_not_run_by_what_its_file_says)
{
    store *s = open_store();
    const int64_t id = some_run(s);
    store_close(s);
    sql("CREATE TRIGGER evil AFTER UPDATE ON run BEGIN DELETE FROM initial_label; END");
    s = open_store();
    ok(store_lock_run(s, id, e));
    ok(store_set_state(s, id, RUN_DONE, "", e));
    store_close(s);
    cr_assert_eq(count_rows("initial_label"), 2);
}

/* ---- files one may not write ---- */

/* The superuser may write anything: such tests run as somebody else. */
static void become_nobody(void)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        _exit(99);
}

Test(store, reads_but_does_not_write_a_read_only_file)
{
    store *s = open_store();
    some_run(s);
    store_close(s);
    cr_assert_eq(chmod(folder, 0755), 0);
    in_child({
        store *t;
        become_nobody();
        if (geteuid() != 0)
            chmod(file, 0444);
        run_head *heads;
        int64_t n;
        ok(store_open(file, false, true, &t, e));
        ok(store_list(t, &heads, &n, e));
        if (n != 1)
            _exit(1);
        store_list_free(heads, n);
        fails(DAL_E_INVALID, "reading only", file, store_lock_run(t, 1, e));
        store_close(t);
        fails(DAL_E_IO, "read-only", file, store_open(file, true, false, &t, e));
    });
    chmod(folder, 0700);
}

Test(store, says_that_a_folder_cannot_be_written)
{
    cr_assert_eq(chmod(folder, 0555), 0);
    in_child({
        store *t;
        become_nobody();
        fails(DAL_E_IO, "folder", file, store_open(file, true, false, &t, e));
    });
    chmod(folder, 0700);
}

Test(store, says_when_another_process_keeps_it_locked)
{
    store *s = open_store();
    const int64_t id = some_run(s);
    sqlite3_busy_timeout(s->db, 50);
    sqlite3 *other;
    cr_assert_eq(sqlite3_open(file, &other), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    const round_record r = some_round(0, NULL, 0);
    fails(DAL_E_FAILED, "another process", "locked", store_commit_round(s, id, &r, NULL, 0, true, e));
    sqlite3_close(other);
    ok(store_commit_round(s, id, &r, NULL, 0, true, e));
    store_close(s);
}

/* ---- a full disk ---- */

Test(store, keeps_what_was_committed_when_the_disk_is_full)
{
    if (mount("none", folder, "tmpfs", 0, "size=1m") != 0) {
        fprintf(stderr, "skipped: this user may not mount a tmpfs\n");
        return;
    }
    store *s = open_store();
    const int64_t id = some_run(s);
    int64_t kept = 0;
    dal_error err = DAL_ERROR_INIT;
    dal_status st = DAL_OK;
    static pick p[2000];
    while (kept < 1000) {
        fill_picks(p, kept, 2000, true);
        const round_record r = some_round(kept, p, 2000);
        st = store_commit_round(s, id, &r, NULL, 0, true, &err);
        if (st != DAL_OK)
            break;
        kept++;
    }
    cr_assert_eq(st, DAL_E_IO);
    cr_assert(strstr(err.text, "disk is full") && strstr(err.text, file), "%s", err.text);
    cr_assert_gt(kept, 0);
    for (int again = 0; again < 3; again++) { /* the open handle, a reader beside it, a reader alone */
        store *t = s;
        if (again == 2)
            store_close(s);
        if (again > 0)
            ok(store_open(file, false, true, &t, e));
        stored_run *r;
        ok(store_read_run(t, id, &r, e));
        cr_assert_eq(r->n_rounds, kept);
        stored_run_free(r);
        if (again > 0)
            store_close(t);
    }
    cr_assert_eq(mount("none", folder, "tmpfs", MS_REMOUNT, "size=8m"), 0);
    s = open_store(); /* there is room again: the round that failed can be stored */
    ok(store_lock_run(s, id, e));
    const round_record r = some_round(kept, p, 2000);
    ok(store_commit_round(s, id, &r, NULL, 0, true, e));
    store_close(s);
    cr_assert_eq(umount(folder), 0);
}
