/* The run store: what goes in comes out, nothing is half-written, one writer a run. */
#include "store_fixture.h"

TestSuite(store, .init = make_folder, .fini = drop_folder);

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
    const explanation why[] = {{-1, NAN, 0, {-1, -1, -1}, {NAN, NAN, NAN}},
                               {18, 0.5, 3, {700, 9, 701}, {0, 0.25, 1e30}}};
    for (int k = 0; k < 2; k++) {
        fill_picks(p[k], k, N, k == 0);
        if (k == 1) {
            p[k][0].why = &why[0];
            p[k][N - 1].why = &why[1];
        }
        round_record r = some_round(k, p[k], N);
        r.n_candidates = 900 + k;
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
        cr_assert_eq(got->n_candidates, 900 + k);
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
    for (int i = 0; i < N; i++)
        cr_assert_null(r->rounds[0].picks[i].why);
    cr_assert_null(last->picks[1].why);
    for (int i = 0; i < 2; i++) {
        const explanation *got = last->picks[i ? N - 1 : 0].why;
        cr_assert_not_null(got);
        cr_assert(got->other == why[i].other && got->stands_for == why[i].stands_for);
        same(got->other_distance, why[i].other_distance);
        for (int f = 0; f < STORE_FEW; f++) {
            cr_assert_eq(got->few[f], why[i].few[f]);
            same(got->few_distance[f], why[i].few_distance[f]);
        }
    }
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

/* Looks at the store until it is there or its maker has ended; err tells what else it was than not there yet. */
static bool look_until_made(pid_t maker, int *status, dal_error *err)
{
    bool made = false, ended = false;
    while (!made && !ended && !err->text[0]) {
        ended = waitpid(maker, status, WNOHANG) == maker;
        dal_error seen = DAL_ERROR_INIT;
        store *s;
        const dal_status st = store_open(file, false, true, &s, &seen);
        made = st == DAL_OK;
        if (made)
            store_close(s);
        else if (st != DAL_E_NOT_FOUND && !strstr(seen.text, "the file is empty"))
            *err = seen;
    }
    if (!ended)
        waitpid(maker, status, 0);
    return made;
}

/* Who opens while another makes the store sees no file, an empty one, or all of it: never a part. As often as two
 * seconds allow. */
Test(store, is_seen_whole_or_not_at_all_while_another_process_makes_it, .timeout = 120)
{
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do {
        dal_error err = DAL_ERROR_INIT;
        int status = 0;
        const pid_t maker = fork();
        if (maker == 0) {
            store *s;
            dal_error why = DAL_ERROR_INIT;
            const dal_status st = store_open(file, true, false, &s, &why);
            if (st == DAL_OK)
                store_close(s);
            else
                fprintf(stderr, "the maker: %s\n", why.text);
            _exit(st == DAL_OK ? 0 : 1);
        }
        const bool made = look_until_made(maker, &status, &err);
        cr_assert(made && !err.text[0], "%s", err.text[0] ? err.text : "its maker has ended, and it is not there");
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the maker ends with %d", status);
        drop_folder(); /* its log, too, which would be that of the next one */
        make_folder();
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - began.tv_sec < 2);
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
