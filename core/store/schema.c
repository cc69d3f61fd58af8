/* The tables of a run store and every statement the host runs on them.
 *
 * Also read by people with the sqlite3 shell: `select * from overview`, `select * from curve`.
 * NULL stands for NaN, "not known" and "not yet".
 */
#include "store/internal.h"

const char store_tables[] =
    "CREATE TABLE run (\n"
    "  run INTEGER PRIMARY KEY,\n"
    "  name TEXT NOT NULL,\n"
    "  strategy TEXT NOT NULL,\n"
    "  trial INTEGER NOT NULL,\n"
    "  seed TEXT NOT NULL,              -- decimal, 64 bits without sign\n"
    "  manifest TEXT NOT NULL,          -- effective, JSON\n"
    "  components TEXT NOT NULL,        -- JSON array, defaults included\n"
    "  host_version TEXT NOT NULL,\n"
    "  abi TEXT NOT NULL,\n"
    "  data_fingerprint TEXT NOT NULL,  -- 128 bits, hexadecimal\n"
    "  n_pool INTEGER NOT NULL,\n"
    "  n_test INTEGER NOT NULL,\n"
    "  n_classes INTEGER NOT NULL,\n"
    "  class_names TEXT NOT NULL,       -- JSON array\n"
    "  state TEXT NOT NULL CHECK (state IN ('running', 'waiting', 'done', 'failed')),\n"
    "  message TEXT NOT NULL,\n"
    "  started_unix_s REAL NOT NULL,\n"
    "  changed_unix_s REAL NOT NULL\n"
    ") STRICT;\n"
    "CREATE INDEX run_key ON run (strategy, trial, seed);\n"
    "CREATE TABLE initial_label (\n"
    "  run INTEGER NOT NULL REFERENCES run,\n"
    "  position INTEGER NOT NULL,\n"
    "  id INTEGER NOT NULL,             -- pool index\n"
    "  class INTEGER,                   -- NULL: belongs to none of the classes\n"
    "  PRIMARY KEY (run, position)\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE round (\n"
    "  run INTEGER NOT NULL REFERENCES run,\n"
    "  round INTEGER NOT NULL,\n"
    "  n_labelled INTEGER NOT NULL,     -- when trained\n"
    "  n_ood INTEGER NOT NULL,\n"
    "  n_unlabelled INTEGER NOT NULL,\n"
    "  accuracy REAL, balanced_accuracy REAL, macro_f1 REAL, log_loss REAL, -- on the test split\n"
    "  train_loss REAL, train_accuracy REAL,\n"
    "  epochs INTEGER NOT NULL, converged INTEGER NOT NULL,\n"
    "  train_s REAL, evaluate_s REAL, infer_s REAL, select_s REAL, label_s REAL, -- wall time\n"
    "  previous_commit_s REAL,\n"
    "  train_cpu_s REAL, infer_cpu_s REAL, select_cpu_s REAL,\n"
    "  peak_rss_bytes INTEGER NOT NULL,\n"
    "  n_picks INTEGER NOT NULL,\n"
    "  n_pseudo INTEGER NOT NULL,\n"
    "  reason TEXT NOT NULL,            -- why fewer picks than asked for\n"
    "  n_candidates INTEGER,            -- of the unlabelled, what the strategy chose among\n"
    "  PRIMARY KEY (run, round)\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE recall (\n"
    "  run INTEGER NOT NULL, round INTEGER NOT NULL,\n"
    "  class INTEGER NOT NULL,\n"
    "  recall REAL,                     -- NULL: the class is not in the test split\n"
    "  PRIMARY KEY (run, round, class)\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE pick (                -- checked by the host: constraints would cost five times the insert\n"
    "  run INTEGER NOT NULL, round INTEGER NOT NULL,\n"
    "  rank INTEGER NOT NULL,           -- 0.. in the order picked\n"
    "  id INTEGER NOT NULL,             -- pool index\n"
    "  score REAL,\n"
    "  nearest_id INTEGER,              -- the nearest labelled sample, and the distance to it\n"
    "  distance REAL,\n"
    "  answer TEXT NOT NULL,            -- pending, class, out-of-class or abstain\n"
    "  class INTEGER,\n"
    "  cost REAL,\n"
    "  PRIMARY KEY (run, round, rank)\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE pseudo_label (        -- training pairs for the next fit only\n"
    "  run INTEGER NOT NULL, round INTEGER NOT NULL,\n"
    "  position INTEGER NOT NULL,\n"
    "  id INTEGER NOT NULL, class INTEGER NOT NULL, weight REAL NOT NULL,\n"
    "  PRIMARY KEY (run, round, position),\n"
    "  FOREIGN KEY (run, round) REFERENCES round\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE blob (                -- large binary parts of a round, cut in pieces\n"
    "  run INTEGER NOT NULL, round INTEGER NOT NULL,\n"
    "  what TEXT NOT NULL,\n"
    "  bytes INTEGER NOT NULL,\n"
    "  xxh3 TEXT NOT NULL,              -- XXH3-64 of the whole, hexadecimal\n"
    "  PRIMARY KEY (run, round, what),\n"
    "  FOREIGN KEY (run, round) REFERENCES round\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE blob_part (\n"
    "  run INTEGER NOT NULL, round INTEGER NOT NULL, what TEXT NOT NULL,\n"
    "  part INTEGER NOT NULL,\n"
    "  data BLOB NOT NULL,\n"
    "  PRIMARY KEY (run, round, what, part),\n"
    "  FOREIGN KEY (run, round, what) REFERENCES blob\n"
    ") STRICT;\n";

/* What format 2 added. */
const char store_tables_2[] =
    "CREATE TABLE explanation (         -- where a pick lies, when record.explain asks for it\n"
    "  run INTEGER NOT NULL, round INTEGER NOT NULL,\n"
    "  rank INTEGER NOT NULL,           -- of the pick\n"
    "  other_id INTEGER,                -- the nearest other pick of the round\n"
    "  other_distance REAL,\n"
    "  stands_for INTEGER NOT NULL,     -- candidates that have it as their nearest pick\n"
    "  PRIMARY KEY (run, round, rank)\n"
    ") STRICT, WITHOUT ROWID;\n"
    "CREATE TABLE stands_for (          -- the nearest few of them\n"
    "  run INTEGER NOT NULL, round INTEGER NOT NULL, rank INTEGER NOT NULL,\n"
    "  position INTEGER NOT NULL,\n"
    "  id INTEGER NOT NULL,             -- pool index\n"
    "  distance REAL,\n"
    "  PRIMARY KEY (run, round, rank, position)\n"
    ") STRICT, WITHOUT ROWID;\n";

/* What format 3 added. */
const char store_tables_3[] =
    "CREATE TABLE data (                -- what the dataset gave, and each transform made of it\n"
    "  run INTEGER NOT NULL REFERENCES run,\n"
    "  position INTEGER NOT NULL,       -- 0: the dataset; then each transform\n"
    "  component TEXT NOT NULL,\n"
    "  split TEXT NOT NULL,             -- train, validation, test\n"
    "  samples INTEGER NOT NULL,\n"
    "  unlabelled INTEGER NOT NULL, out_of_class INTEGER NOT NULL,\n"
    "  classes TEXT NOT NULL,           -- JSON array: samples of each class\n"
    "  PRIMARY KEY (run, position, split)\n"
    ") STRICT, WITHOUT ROWID;\n";

const char store_upgrade[] = "ALTER TABLE round ADD COLUMN n_candidates INTEGER";

const char store_views[] =
    "CREATE VIEW curve AS\n"
    "  SELECT run, name, strategy, trial, seed, round, n_labelled AS labels, accuracy,\n"
    "    balanced_accuracy, macro_f1\n"
    "  FROM round JOIN run USING (run) ORDER BY run, round;\n"
    "CREATE VIEW overview AS\n"
    "  SELECT run, name, strategy, trial, seed, count(round) AS rounds, max(n_labelled) AS labels,\n"
    "    (SELECT accuracy FROM round AS r WHERE r.run = run.run ORDER BY round DESC LIMIT 1) AS accuracy,\n"
    "    state, datetime(started_unix_s, 'unixepoch', 'localtime') AS started, message\n"
    "  FROM run LEFT JOIN round USING (run) GROUP BY run ORDER BY run;\n"
    "CREATE VIEW query_classes AS\n"
    "  SELECT run, round, coalesce(class, answer) AS class, count(*) AS picks\n"
    "  FROM pick GROUP BY run, round, coalesce(class, answer) ORDER BY 1, 2, 3;\n";

#define HEAD_COLUMNS                                                                                \
    "run, name, strategy, trial, seed, manifest, components, host_version, abi, data_fingerprint, " \
    "n_pool, n_test, n_classes, class_names, state, message, started_unix_s, changed_unix_s"

#define ROUND_COLUMNS_1                                                                             \
    "round, n_labelled, n_ood, n_unlabelled, accuracy, balanced_accuracy, macro_f1, log_loss, "     \
    "train_loss, train_accuracy, epochs, converged, train_s, evaluate_s, infer_s, select_s, "       \
    "label_s, previous_commit_s, train_cpu_s, infer_cpu_s, select_cpu_s, peak_rss_bytes, n_picks, " \
    "n_pseudo, reason"
#define ROUND_COLUMNS ROUND_COLUMNS_1 ", n_candidates"

#define PICK_ROW "(?,?,?,?,?,?,?,?,?,?)"

const char *const store_sql_text[SQL_COUNT] = {
    [SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_ADD_RUN] = "INSERT INTO run (" HEAD_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [SQL_ADD_INITIAL] = "INSERT INTO initial_label (run, position, id, class) VALUES (?,?,?,?)",
    [SQL_ADD_LINK] = "INSERT INTO data VALUES (?,?,?,?,?,?,?,?)",
    [SQL_TOUCH_RUN] = "UPDATE run SET changed_unix_s = ? WHERE run = ?",
    [SQL_SET_STATE] = "UPDATE run SET state = ?, message = ?, changed_unix_s = ? WHERE run = ?",
    [SQL_SHAPE] = "SELECT n_pool, n_classes, (SELECT coalesce(max(round) + 1, 0) FROM round "
                       "WHERE round.run = run.run) FROM run WHERE run = ?",
    [SQL_READ_ASKED] = "SELECT id FROM initial_label WHERE run = ?1 UNION ALL SELECT id FROM pick WHERE run = ?1",
    [SQL_ADD_ROUND] = "INSERT INTO round (run, " ROUND_COLUMNS ") VALUES "
                      "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [SQL_ADD_RECALL] = "INSERT INTO recall VALUES (?,?,?,?)",
    [SQL_ADD_PICK] = "INSERT INTO pick VALUES " PICK_ROW,
    /* or fail: the whole transaction is rolled back anyway, so SQLite need not remember this statement */
    [SQL_ADD_PICKS] = "INSERT OR FAIL INTO pick VALUES " PICK_ROW "," PICK_ROW "," PICK_ROW "," PICK_ROW
                      "," PICK_ROW "," PICK_ROW "," PICK_ROW "," PICK_ROW,
    [SQL_ADD_WHY] = "INSERT INTO explanation VALUES (?,?,?,?,?,?)",
    [SQL_ADD_FEW] = "INSERT INTO stands_for VALUES (?,?,?,?,?,?)",
    [SQL_ADD_PSEUDO] = "INSERT INTO pseudo_label VALUES (?,?,?,?,?,?)",
    [SQL_DROP_OLD_PARTS] = "DELETE FROM blob_part WHERE run = ? AND round < ? AND what = ?",
    [SQL_DROP_OLD_BLOBS] = "DELETE FROM blob WHERE run = ? AND round < ? AND what = ?",
    [SQL_ADD_BLOB] = "INSERT INTO blob VALUES (?,?,?,?,?)",
    [SQL_ADD_PART] = "INSERT INTO blob_part VALUES (?,?,?,?,?)",
    [SQL_ANSWER] = "UPDATE pick SET answer = ?, class = ?, cost = ? "
                   "WHERE run = ? AND round = ? AND rank = ? AND id = ? AND answer = 'pending'",
    [SQL_PICK_ANSWER] = "SELECT answer FROM pick WHERE run = ? AND round = ? AND rank = ? AND id = ?",
    [SQL_FIND_RUN] = "SELECT " HEAD_COLUMNS " FROM run WHERE strategy = ? AND trial = ? AND seed = ? "
                     "AND manifest = ? AND components = coalesce(?, components) "
                     "AND (state <> 'done' OR ?) AND (run < ?7 OR ?7 = 0) ORDER BY run DESC LIMIT 1",
    [SQL_FIND_LIKE] = "SELECT " HEAD_COLUMNS " FROM run WHERE manifest = ? AND components = coalesce(?, components) "
                      "AND (state <> 'done' OR ?) AND (run < ?4 OR ?4 = 0) ORDER BY run DESC LIMIT 1",
    [SQL_LIST_RUNS] = "SELECT " HEAD_COLUMNS " FROM run ORDER BY run",
    [SQL_READ_RUN] = "SELECT " HEAD_COLUMNS " FROM run WHERE run = ?",
    [SQL_STANDING] = "SELECT round + 1, n_labelled, accuracy FROM round WHERE run = ? "
                     "ORDER BY round DESC LIMIT 1",
    [SQL_READ_INITIAL] = "SELECT position, id, class FROM initial_label WHERE run = ? ORDER BY position",
    [SQL_READ_LINKS] = "SELECT position, component, split, samples, unlabelled, out_of_class, classes FROM data "
                       "WHERE run = ? ORDER BY position, "
                       "CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END",
    [SQL_READ_ROUNDS] = "SELECT " ROUND_COLUMNS " FROM round WHERE run = ? ORDER BY round",
    [SQL_READ_ROUNDS_1] = "SELECT " ROUND_COLUMNS_1 ", NULL FROM round WHERE run = ? ORDER BY round",
    [SQL_READ_RECALL] = "SELECT round, class, recall FROM recall WHERE run = ? ORDER BY round, class",
    [SQL_READ_PICKS] = "SELECT round, rank, id, score, nearest_id, distance, answer, class, cost "
                       "FROM pick WHERE run = ? ORDER BY round, rank",
    [SQL_READ_WHY] = "SELECT round, rank, other_id, other_distance, stands_for FROM explanation WHERE run = ? "
                     "ORDER BY round, rank",
    [SQL_READ_FEW] = "SELECT round, rank, position, id, distance FROM stands_for WHERE run = ? "
                     "ORDER BY round, rank, position",
    [SQL_READ_PSEUDO] = "SELECT round, position, id, class, weight FROM pseudo_label WHERE run = ? "
                        "ORDER BY round, position",
    [SQL_READ_BLOB] = "SELECT bytes, xxh3, (SELECT sum(length(data)) FROM blob_part AS p "
                      "WHERE p.run = b.run AND p.round = b.round AND p.what = b.what) "
                      "FROM blob AS b WHERE run = ? AND round = ? AND what = ?",
    [SQL_READ_PARTS] = "SELECT data FROM blob_part WHERE run = ? AND round = ? AND what = ? ORDER BY part",
};
