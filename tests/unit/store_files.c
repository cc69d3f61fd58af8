/* The run store's file: what it is when it is damaged, foreign, hostile, locked, read-only or out of
 * room. */
#include "store_fixture.h"

#include <sys/mount.h>
#include <sys/stat.h>

TestSuite(store_file, .init = make_folder, .fini = drop_folder);

/* ---- files that are not, or no longer, a run store ---- */

static void put_bytes(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

Test(store_file, says_what_a_file_is_when_it_is_not_a_run_store)
{
    store *s;
    fails(DAL_E_NOT_FOUND, file, "dalhost run", store_open(file, false, true, &s, e));
    fails(DAL_E_INVALID, folder, "a folder", store_open(folder, true, false, &s, e));
    fails(DAL_E_INVALID, "empty", "name", store_open("", true, false, &s, e));
    static const char manifest[] = "strategy: margin\n# a manifest, not a store, and long enough to have "
                                   "a header of SQLite's own size, which is one hundred bytes\n";
    put_bytes(file, manifest, sizeof manifest - 1);
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

Test(store_file, refuses_another_format_by_number)
{
    store *s = open_store();
    store_close(s);
    sql("PRAGMA user_version = 7");
    fails(DAL_E_FORMAT, "store format 7, this dalhost reads 1 to 3", "newer",
          store_open(file, true, false, &s, e));
    sql("PRAGMA user_version = 0");
    fails(DAL_E_FORMAT, "store format 0, this dalhost reads 1 to 3", file,
          store_open(file, false, true, &s, e));
}

Test(store_file, reads_a_store_of_format_1_and_brings_it_up_to_date_when_it_writes)
{
    static const char as_format_1[] = "DROP TABLE explanation; DROP TABLE stands_for; DROP TABLE data; "
                                      "ALTER TABLE round DROP COLUMN n_candidates; PRAGMA user_version = 1";
    write_rounds(2, 3);
    sql(as_format_1);
    for (int writing = 0; writing < 2; writing++) {
        store *s;
        stored_run *r;
        ok(store_open(file, false, !writing, &s, e));
        ok(store_read_run(s, 1, &r, e));
        cr_assert_eq(r->n_rounds, 2);
        cr_assert_eq(r->rounds[1].n_candidates, -1, "not known");
        cr_assert_null(r->rounds[1].picks[2].why);
        stored_run_free(r);
        if (writing) {
            pick p[3];
            ok(store_lock_run(s, 1, e));
            fill_picks(p, 2, 3, true);
            round_record third = some_round(2, p, 3);
            third.n_candidates = 500;
            ok(store_commit_round(s, 1, &third, NULL, 0, false, e));
            ok(store_read_run(s, 1, &r, e));
            cr_assert_eq(r->rounds[2].n_candidates, 500);
            cr_assert_eq(r->rounds[0].n_candidates, -1);
            stored_run_free(r);
        }
        store_close(s);
    }
}

Test(store_file, makes_a_store_of_a_file_whose_making_was_cut_short)
{
    put_bytes(file, "", 0);
    store *s = open_store();
    some_run(s);
    store_close(s);
}

Test(store_file, takes_names_literally_that_mean_something_to_sqlite)
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
Test(store_file, trusts_no_number_it_reads)
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
        "UPDATE round SET n_candidates = -2 WHERE round = 1",
        "UPDATE explanation SET rank = 5 WHERE rank = 1",
        "UPDATE explanation SET rank = -1 WHERE rank = 1",
        "UPDATE explanation SET round = 7 WHERE round = 1",
        "UPDATE explanation SET other_id = 1000000",
        "UPDATE explanation SET stands_for = -1",
        "DELETE FROM explanation WHERE rank = 1",
        "UPDATE stands_for SET id = -1 WHERE position = 0",
        "UPDATE stands_for SET position = 3 WHERE position = 1",
        "DELETE FROM stands_for WHERE position = 0",
        "UPDATE data SET samples = -1 WHERE position = 0",
        "UPDATE data SET unlabelled = 31",
        "UPDATE data SET out_of_class = 30",
        "UPDATE data SET position = -1 WHERE position = 0",
        "UPDATE data SET component = CAST(x'ff' AS TEXT)",
    };
    enum { N = 5 };
    store *s = open_store();
    const int64_t id = some_run(s);
    pick p[N];
    const double recall[] = {1, 1, 1};
    for (int k = 0; k < 2; k++) {
        fill_picks(p, k, N, true);
        const explanation why = {17, 1, 8, {20, 21, -1}, {1, 2, (double)NAN}};
        p[1].why = &why;
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

Test(store_file, reports_a_table_that_is_not_as_it_was_made)
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
Test(store_file, survives_truncated_and_scribbled_files)
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

Test(store_file, is_not_run_by_what_its_file_says)
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

Test(store_file, reads_but_does_not_write_a_read_only_file)
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

Test(store_file, says_that_a_folder_cannot_be_written)
{
    cr_assert_eq(chmod(folder, 0555), 0);
    in_child({
        store *t;
        become_nobody();
        fails(DAL_E_IO, "folder", file, store_open(file, true, false, &t, e));
    });
    chmod(folder, 0700);
}

Test(store_file, says_when_another_process_keeps_it_locked)
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

Test(store_file, keeps_what_was_committed_when_the_disk_is_full)
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
