/* What the tests of the run store share: a folder, a store in it, rounds made by rule. */
#ifndef DALHOST_TESTS_STORE_FIXTURE_H
#define DALHOST_TESTS_STORE_FIXTURE_H

#include <criterion/criterion.h>

#include <dal/oracle.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"
#include "util/text.h"

static char folder[64], file[96];

static inline void make_folder(void)
{
    strcpy(folder, "/tmp/dalhost-store-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/runs.sqlite", folder);
}

static inline void drop_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

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

static inline store *open_store(void)
{
    store *s = NULL;
    ok(store_open(file, true, false, &s, e));
    return s;
}

static inline run_head some_head(void)
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

static const store_link some_links[] = {
    {0, "glyphs", "train", 40, 0, 0, "[20,20,0]"},
    {0, "glyphs", "test", 10, 0, 0, "[5,5,0]"},
    {1, "open-set", "train", 30, 1, 9, "[10,10,0]"},
};

static inline int64_t some_run(store *s)
{
    run_head h = some_head();
    h.links = some_links;
    h.n_links = 3;
    ok(store_new_run(s, &h, (int64_t[]){999998, 999999}, (int32_t[]){0, 2}, 2, e));
    return h.id;
}

/* Round k with n picks of samples k*n .. , every answer a function of the sample. */
static inline void fill_picks(pick *p, int64_t round, int64_t n, bool answered)
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

static inline round_record some_round(int64_t round, const pick *p, int64_t n)
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

static inline void same(double a, double b)
{
    cr_assert(a == b || (isnan(a) && isnan(b)), "%g is not %g", a, b);
}

static inline void check_picks(const pick *got, const pick *want, int64_t n)
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

static inline void sql(const char *command)
{
    sqlite3 *db;
    cr_assert_eq(sqlite3_open(file, &db), SQLITE_OK);
    char *says = NULL;
    cr_assert_eq(sqlite3_exec(db, command, NULL, NULL, &says), SQLITE_OK, "%s", says);
    sqlite3_close(db);
}

static inline int64_t count_rows(const char *table)
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

static inline void write_rounds(int64_t n_rounds, int64_t n_picks)
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

#endif
