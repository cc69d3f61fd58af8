/* table.h: what datasets that are tables of numbers and words share, whatever their files look like.
 *
 * Each column is numbers (one value), words (0 or 1 for each of its texts, in a fixed order), the classes, the sources
 * of samples, or left out.
 * A loader's object begins with a table, and its create is table_create: it names the columns (table_columns), goes
 * through the rows of all files once to look (table_look) and, after table_shape, once more to fill (table_fill), and
 * ends with table_settle.
 *
 * A missing value of a column of numbers is filled in by what the pool alone has, or stays NaN; of a column of words it
 * is 0 for each text. `indicator` adds a column that says where a value is missing for each column that misses any.
 */
#ifndef DATASETS_TABLE_H
#define DATASETS_TABLE_H

#include "words.h"

#include <dal/csv.h>
#include <dal/dataset.h>

#define TABLE_MAX_CLASSES 65536
#define TABLE_MAX_GROUPS (1 << 24)

/* what a missing value becomes */
enum { TABLE_ERROR, TABLE_MEAN, TABLE_ZERO, TABLE_MEDIAN, TABLE_CONSTANT, TABLE_KEEP };
enum { TABLE_REFUSE, TABLE_ONE_HOT, TABLE_DROP };                           /* columns with texts that are no numbers */
enum { TABLE_NUMBERS, TABLE_WORDS, TABLE_CLASSES, TABLE_DROPPED, TABLE_GROUPS }; /* columns */

/* Members of a loader's options, and their parameters; the defaults of `markers` and `no_label`. */
#define TABLE_OPTIONS                    \
    const char *label, *group;           \
    dal_str_list drop, one_hot, markers; \
    dal_str_list no_label;               \
    uint32_t words, missing;             \
    int32_t indicator;                   \
    int64_t max_values, split_seed;      \
    double fill, test_fraction
#define TABLE_PARAMS(P, T, missing_, unlabelled_)                                                                      \
    P(T, label, STR, "-1", "", "",                                                                                     \
      "column of the classes: a name or a number from 0, from the end if negative; empty: none")                       \
    P(T, group, STR, "", "", "", "column of the sources of samples (site, patient), likewise; empty: none") \
    P(T, no_label, STRS, unlabelled_, "", "", "texts in that column that are no class, beside none at all")  \
    P(T, drop, STRS, "", "nonempty", "", "columns to leave out, by name or number")                     \
    P(T, words, CHOICE, "refuse", "refuse|one-hot|drop", "",                                                           \
      "of a column with texts that are no numbers; one-hot: 0 or 1 for each of its texts")                             \
    P(T, one_hot, STRS, "", "nonempty", "", "columns that are one-hot in any case: numbers that are codes")    \
    P(T, max_values, I64, "64", "1..65536", "", "of a column that becomes one-hot: texts it may have")         \
    P(T, missing, CHOICE, "error", "error|mean|zero|median|constant|keep", "", \
      "what a missing number becomes; mean and median are those of the pool; keep: it stays missing (nan), for "       \
      "models that take that")                                                                                         \
    P(T, fill, F64, "0", "", "", "the number that missing: constant fills in")                         \
    P(T, markers, STRS, missing_, "nonempty", "", "texts that mean a missing value, beside none at all; in any case") \
    P(T, indicator, BOOL, "false", "", "", "another column for each one with missing values: 1 where one is missing") \
    P(T, test_fraction, F64, "0", "0..1)", "", "part of each class to set aside as the test split")     \
    P(T, split_seed, I64, "0", "", "", "of the choice of that part; 0: it follows the seed of the run")

typedef struct table_rule {
    TABLE_OPTIONS;
} table_rule;
#define TABLE_RULE(o)                                                                                       \
    (table_rule){.label = (o)->label, .group = (o)->group, .drop = (o)->drop, .one_hot = (o)->one_hot,                 \
                 .markers = (o)->markers,                                                                              \
                 .no_label = (o)->no_label, .words = (o)->words, .missing = (o)->missing,                   \
                 .indicator = (o)->indicator, .max_values = (o)->max_values, .split_seed = (o)->split_seed, \
                 .fill = (o)->fill, .test_fraction = (o)->test_fraction}

typedef struct table_column {
    int kind;     /* TABLE_* */
    int asked;    /* words: by name, or by the file; else by what is found in it */
    int declared; /* words, classes: the file has told all of them; others are a fault */
    int many;     /* more texts than max_values */
    int holes;    /* values are missing */
    word_list values;
    char odd[48];      /* the first text that is no number; "": none */
    int64_t odd_line, odd_column;
    int odd_file;
    int64_t at, marker; /* among the values of a sample; that of the indicator, -1: none */
} table_column;

typedef struct table_file {
    const char *path, *key;
    int64_t n, filled; /* rows */
} table_file;

typedef struct table {
    const dal_host *host;
    table_rule rule;
    const void *options; /* of the loader */
    char decimal;        /* sign for decimals: 0 or '.': a point; ',' */
    int n_files;
    table_file files[2]; /* of the pool, of the test split */
    const dal_csv_field *names; /* [width] of the columns, or NULL; until table_settle */
    table_column *columns;      /* [width] */
    int64_t width, label, group; /* -1: no column of classes, of sources */
    int64_t n_rows, d;
    float *x; /* [n_rows, d] of all files, one after the other */
    size_t x_bytes;
    int32_t *classes; /* [n_rows] */
    int64_t *lines;   /* [n_rows] in their file */
    int32_t *groups;  /* [n_rows], or NULL: no column of sources */
    word_list class_names, group_names;
    int64_t *split[DAL_SPLITS]; /* [n] rows of x */
    int64_t n[DAL_SPLITS];
} table;

typedef dal_status table_taker(table *t, int file, const dal_csv_field *fields, dal_error *err);

/* How a loader reads its files; its object begins with a table. All [main]. */
typedef struct table_reader {
    size_t size; /* of the object */
    dal_status (*open)(void *self, int file, dal_error *err);
    dal_status (*columns)(void *self, dal_error *err); /* all n files are open: are they alike? then table_columns */
    /* each to `take`, in the same order every time */
    dal_status (*rows)(void *self, int file, table_taker *take, dal_error *err);
    void (*close)(void *self); /* the files: all of them are read, or never will be */
    const char *no_rows;       /* said of a file: "found no rows" */
} table_reader;

/* [main] The columns of the first file: names (NULL: they have none), which is the label, which are left out or
 * one-hot. */
dal_status table_columns(table *t, const dal_csv_field *names, int64_t width, dal_error *err);
/* [main] One row of a file, fields[width]: count it, and see which texts there are. */
table_taker table_look;
/* [main] All rows were looked at: room for them. Says in the log what the one-hot columns stand for. */
dal_status table_shape(table *t, dal_error *err);
/* [main] The same row again, in the same order. */
table_taker table_fill;
/* [main] All rows were filled: splits, order of classes, missing values. */
dal_status table_settle(table *t, dal_error *err);

/* [main] A loader's create: all of the above in turn. */
dal_status table_create(const dal_host *host, const table_reader *reader, const void *options, const table_rule *rule,
                        const char *path, const char *test_path, void **out, dal_error *err);
void table_destroy(void *self); /* accepts NULL; frees the object, too */

/* For messages: a field's text, short and without control characters. */
const char *table_shown(const dal_csv_field *f, char out[48]);

/* The other slots, for objects that begin with a table. */
dal_status table_info(void *self, dal_dataset_info *info, dal_error *err);
dal_status table_classes(void *self, uint32_t split, const int64_t *ids, int64_t n, int32_t *out, dal_error *err);
dal_status table_read(void *self, uint32_t split, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err);
void table_describe(void *self, uint32_t split, int64_t id, char *out, size_t size); /* "letters.csv:17" */
const void *table_get_extension(void *self, const char *id);
#define TABLE_SLOTS                                                                                    \
    .destroy = table_destroy, .info = table_info, .classes = table_classes, .read = table_read,        \
    .describe = table_describe, .get_extension = table_get_extension

#endif
