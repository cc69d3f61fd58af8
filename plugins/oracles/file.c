/* file: an oracle made of people and two CSV files a round.
 *
 * It writes what it asks to round-<k>.queries.csv (columns id, rank, score, describe, and of texts the text) and looks
 * for the answers in round-<k>.answers.csv beside it: columns id and label, found by the names in the first line
 * (so the answers may be a copy of the queries with one more column), or two columns without a header.
 * A label is the name of a class, or its number where no name is a number; "?" or "abstain" when nobody
 * can say; "ood" when none of the classes fits; empty when it is still to come.
 *
 * The answers file is taken whole or not at all: one bad line, and nothing of it is used. Samples
 * without an answer stay pending. An answer that the run has stays; a line that says otherwise is told. Files lie in
 * <store>-run<run>/, or in `directory`, which must then be this run's own.
 */
#include <dal/csv.h>
#include <dal/file.h>
#include <dal/oracle.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct options {
    const char *directory;
    double cost;
} options;

#define MAX_PATH 4096
#define MAX_FILE ((int64_t)1 << 30) /* an answers file that inflates to more is no answers file */
#define MAX_NAMES 12                /* class names listed in a message */
#define MAX_TEXT 16384              /* bytes of a text that are shown: cells of spreadsheets hold 32,767 characters */
#define MAX_COLUMNS 64

typedef struct file_oracle {
    const dal_host *host;
    const options *opt;
    const dal_oracle_task *task;
    int numeric_names; /* a class name is a number: then numbers are names only */
    char directory[MAX_PATH];
} file_oracle;

/* One sample of the round, asked now or answered before. */
typedef struct query {
    int64_t id;
    int64_t at;   /* its place in the question, -1: answered before */
    int64_t line; /* of its answer, 0: none */
    uint32_t answer;
    int32_t cls;
    int known; /* answered before, which is what answer and cls are */
} query;

/* One round's files and samples. */
typedef struct round_files {
    const file_oracle *self;
    char queries_path[MAX_PATH + 64], answers_path[MAX_PATH + 64];
    query *queries; /* [n] by id */
    int64_t n;
} round_files;

/* ---- create ----------------------------------------------------------------------------------- */

static int is_integer(const char *s)
{
    const dal_csv_field f = {.text = s, .size = (int64_t)strlen(s)};
    int64_t x;
    return dal_csv_integer(&f, &x);
}

static void file_destroy(void *p)
{
    file_oracle *self = p;
    if (self)
        self->host->free(self->host, self);
}

static dal_status file_create(const dal_host *host, const void *opt, const dal_oracle_task *task, void **out,
                              dal_error *err)
{
    int n;
    file_oracle *self = host->alloc(host, sizeof *self, 0);
    if (!self)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for the oracle");
    *self = (file_oracle){.host = host, .opt = opt, .task = task};
    if (self->opt->directory[0])
        n = snprintf(self->directory, MAX_PATH, "%s", self->opt->directory);
    else
        n = snprintf(self->directory, MAX_PATH, "%s-run%lld", task->store_path, (long long)task->run);
    for (int64_t c = 0; c < task->n_classes; c++)
        self->numeric_names |= is_integer(task->class_names[c]);
    if (n >= MAX_PATH) {
        file_destroy(self);
        return dal_fail(err, DAL_E_INVALID, "directory", "the name of the folder is longer than %d bytes", MAX_PATH);
    }
    *out = self;
    return DAL_OK;
}

/* ---- asking ----------------------------------------------------------------------------------- */

static dal_status io_fault(const char *path, const char *what, dal_error *err)
{
    return dal_fail(err, DAL_E_IO, "", "%s: cannot %s: %s", path, what, strerror(errno));
}

/* A CSV field; quoted where it must be. */
static void put_field(FILE *f, const char *s)
{
    const size_t n = strlen(s);
    if (!strpbrk(s, ",\"\r\n") && (n == 0 || (s[0] != ' ' && s[n - 1] != ' '))) {
        fputs(s, f);
        return;
    }
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"')
            fputc('"', f);
        fputc(*s, f);
    }
    fputc('"', f);
}

/* Row i of a list of texts, for people: control characters are blanks, and of a long one the beginning is enough. */
static dal_status put_text(FILE *f, const file_oracle *self, const dal_samples *s, int64_t i, dal_error *err)
{
    int64_t n = 0, offsets[2] = {0, 0};
    dal_status st = s->sizes(s, &i, 1, &n, err);
    char *text = st == DAL_OK ? self->host->alloc(self->host, (size_t)n + 4, 0) : NULL;
    if (st == DAL_OK && !text)
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for a text of %lld bytes", (long long)n);
    offsets[1] = n;
    dal_batch b = {.struct_size = sizeof b, .spec = &s->spec, .n = 1, .data = text, .offsets = offsets};
    if (st == DAL_OK)
        st = s->read(s, &i, 1, &b, err);
    if (st == DAL_OK) {
        int64_t shown = n < MAX_TEXT ? n : MAX_TEXT;
        while (shown < n && shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80)
            shown--; /* no character is cut */
        for (int64_t k = 0; k < shown; k++)
            if (((unsigned char)text[k] < 0x20 && text[k] != '\n') || text[k] == 0x7f)
                text[k] = ' ';
        strcpy(text + shown, shown < n ? "..." : "");
        fputc(',', f);
        put_field(f, text);
    }
    self->host->free(self->host, text);
    return st;
}

/* *out: the samples of the question, where they are texts; NULL: others, which a line of a table cannot show. */
static dal_status open_texts(const file_oracle *self, const dal_question *q, dal_samples **out, dal_error *err)
{
    const dal_oracle_task *t = self->task;
    *out = NULL;
    if (!t->samples || q->n == 0)
        return DAL_OK;
    const dal_status st = t->samples(t, q->ids, q->n, out, err);
    if (st == DAL_OK && (*out)->spec.modality != DAL_TEXT) {
        t->release(t, *out);
        *out = NULL;
    }
    return st;
}

static dal_status put_queries(FILE *f, const file_oracle *self, const dal_question *q, dal_error *err)
{
    char name[512];
    dal_samples *texts;
    dal_status st = open_texts(self, q, &texts, err);
    fprintf(f, "id,rank,score,describe%s\n", texts ? ",text" : "");
    for (int64_t i = 0; i < q->n && st == DAL_OK; i++) {
        fprintf(f, "%lld,%lld,", (long long)q->ids[i], (long long)i + 1);
        if (!isnan(q->scores[i]))
            fprintf(f, "%.9g", q->scores[i]);
        fputc(',', f);
        snprintf(name, sizeof name, "%lld", (long long)q->ids[i]);
        if (self->task->describe)
            self->task->describe(self->task, q->ids[i], name, sizeof name);
        put_field(f, name);
        if (texts)
            st = put_text(f, self, texts, i, err);
        fputc('\n', f);
    }
    if (texts)
        self->task->release(self->task, texts);
    return st;
}

/* A rename lasts only when its folder is on the disk too. */
static dal_status sync_directory(const char *path, dal_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int bad = fd < 0 || fsync(fd) != 0;
    const dal_status st = bad ? io_fault(path, "sync the folder", err) : DAL_OK;
    if (fd >= 0)
        close(fd);
    return st;
}

static dal_status write_queries(const round_files *r, const dal_question *q, dal_error *err)
{
    const file_oracle *self = r->self;
    char temporary[MAX_PATH + 80];
    dal_status st = DAL_OK;
    if (mkdir(self->directory, 0777) != 0 && errno != EEXIST)
        return io_fault(self->directory, "make this folder", err);
    snprintf(temporary, sizeof temporary, "%s.tmp", r->queries_path);
    FILE *f = fopen(temporary, "we");
    if (!f)
        return io_fault(temporary, "write", err);
    st = put_queries(f, self, q, err);
    if (st == DAL_OK && (ferror(f) || fflush(f) != 0 || fsync(fileno(f)) != 0))
        st = io_fault(temporary, "write", err);
    if (fclose(f) != 0 && st == DAL_OK)
        st = io_fault(temporary, "write", err);
    if (st == DAL_OK && rename(temporary, r->queries_path) != 0)
        st = io_fault(r->queries_path, "put in place", err);
    if (st != DAL_OK)
        unlink(temporary);
    return st == DAL_OK ? sync_directory(self->directory, err) : st;
}

/* ---- what was asked --------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    const int64_t x = ((const query *)a)->id, y = ((const query *)b)->id;
    return (x > y) - (x < y);
}

static query *find(const round_files *r, int64_t id)
{
    const query wanted = {.id = id};
    return r->n ? bsearch(&wanted, r->queries, (size_t)r->n, sizeof wanted, by_id) : NULL;
}

/* Call row(ctx, record) for each record of a CSV file. n: how many fields the record has. */
typedef dal_status (*row_fn)(void *ctx, const dal_csv *csv, const dal_csv_field *fields, int64_t n,
                             dal_error *err);

static dal_status each_row(const dal_host *host, const char *path, row_fn row, void *ctx, dal_error *err)
{
    dal_csv_field fields[MAX_COLUMNS];
    dal_file *file = NULL;
    dal_status st = dal_file_open(host, path, "", &file, err);
    if (st == DAL_OK)
        st = dal_file_load(file, MAX_FILE, 0, err);
    if (st == DAL_OK) {
        int64_t size, n = 1;
        const unsigned char *data = dal_file_data(file, &size);
        dal_csv csv = dal_csv_open(path, "", data, size, dal_csv_guess(data, size));
        if (csv.delimiter == DAL_CSV_BLANKS)
            csv.delimiter = ','; /* one column; a label may contain blanks */
        while (st == DAL_OK && n > 0) {
            st = dal_csv_next(&csv, fields, MAX_COLUMNS, &n, err);
            if (st == DAL_OK && n > 0)
                st = row(ctx, &csv, fields, n, err);
        }
    }
    dal_file_close(file);
    return st;
}

static dal_status count_row(void *ctx, const dal_csv *csv, const dal_csv_field *f, int64_t n, dal_error *err)
{
    (void)csv, (void)f, (void)n, (void)err;
    ++*(int64_t *)ctx;
    return DAL_OK;
}

static dal_status query_row(void *ctx, const dal_csv *csv, const dal_csv_field *f, int64_t n, dal_error *err)
{
    round_files *r = ctx;
    int64_t id;
    (void)n;
    if (f[0].line == 1)
        return DAL_OK; /* the header */
    if (!dal_csv_integer(&f[0], &id) || id < 0 || id >= r->self->task->n_pool)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "%s:%lld:%lld: this is not a sample's id, so the file is not as it was written; remove "
                        "it to have it written again",
                        csv->path, (long long)f[0].line, (long long)f[0].column);
    r->queries[r->n++] = (query){.id = id, .at = -1};
    return DAL_OK;
}

/* The samples of the round are those in the queries file: written now, or by an earlier visit, when some
 * of them may have been answered. All that is asked now must be among them. */
static dal_status load_queries(round_files *r, const dal_question *q, dal_error *err)
{
    const dal_host *host = r->self->host;
    int64_t rows = 0;
    dal_status st = each_row(host, r->queries_path, count_row, &rows, err);
    if (st == DAL_OK && !(r->queries = dal_array(host, rows, sizeof *r->queries)))
        st = dal_fail(err, DAL_E_NOMEM, "", "no memory for %lld queries", (long long)rows);
    if (st == DAL_OK)
        st = each_row(host, r->queries_path, query_row, r, err);
    if (st != DAL_OK)
        return st;
    if (r->n > 1)
        qsort(r->queries, (size_t)r->n, sizeof *r->queries, by_id);
    for (int64_t i = 0; i < q->n; i++) {
        query *p = find(r, q->ids[i]);
        if (!p)
            return dal_fail(err, DAL_E_INVALID, "directory",
                            "%s does not ask for sample %lld, which this run wants: it was written by another "
                            "run; move it away or give this run its own directory",
                            r->queries_path, (long long)q->ids[i]);
        p->at = i;
    }
    for (int64_t i = 0; DAL_HAS(dal_question, q, answered_classes) && i < q->n_answered; i++) {
        query *p = find(r, q->answered_ids[i]);
        if (p) {
            p->known = 1;
            p->answer = q->answered_as[i];
            p->cls = p->answer == DAL_ANSWER_CLASS ? q->answered_classes[i] : DAL_LABEL_NONE;
        }
    }
    return DAL_OK;
}

/* ---- labels ----------------------------------------------------------------------------------- */

/* Letters to insert, delete or change to turn a into b; both are cut at 63 bytes. */
static int distance(const char *a, const char *b)
{
    int row[64];
    const int n = (int)strnlen(a, 63), m = (int)strnlen(b, 63);
    for (int j = 0; j <= m; j++)
        row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            const int change = diagonal + (a[i - 1] != b[j - 1]);
            const int shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < shorter ? change : shorter;
        }
    }
    return row[m];
}

/* "; did you mean 'cat'? Classes: cat, dog, ..." */
static void describe_classes(const dal_oracle_task *t, const char *label, char *out, size_t size)
{
    int best = 3;
    const char *near = NULL;
    size_t at = 0;
    for (int64_t c = 0; c < t->n_classes; c++) {
        const int d = distance(label, t->class_names[c]);
        if (d < best && d < (int)strlen(t->class_names[c])) {
            best = d;
            near = t->class_names[c];
        }
    }
    if (near)
        at = (size_t)snprintf(out, size, "did you mean '%.60s'? ", near);
    at += (size_t)snprintf(out + at, size - at, "Classes:");
    for (int64_t c = 0; c < t->n_classes && c < MAX_NAMES && at < size; c++)
        at += (size_t)snprintf(out + at, size - at, "%s %.30s", c ? "," : "", t->class_names[c]);
    if (t->n_classes > MAX_NAMES && at < size)
        snprintf(out + at, size - at, " and %lld more", (long long)t->n_classes - MAX_NAMES);
}

/* A message must not carry control characters from a file to a terminal. */
static void printable(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

/* Names go first: a class may be called "ood". */
static dal_status parse_label(const file_oracle *self, const dal_csv *csv, const dal_csv_field *f, query *out,
                              dal_error *err)
{
    const dal_oracle_task *t = self->task;
    char label[256], classes[600];
    int64_t number;
    const int64_t length = dal_csv_text(f, label, sizeof label);
    out->answer = DAL_ANSWER_CLASS;
    out->cls = DAL_LABEL_NONE;
    for (int64_t c = 0; c < t->n_classes && out->cls < 0; c++)
        if (length < (int64_t)sizeof label && strcmp(label, t->class_names[c]) == 0)
            out->cls = (int32_t)c;
    if (out->cls >= 0)
        return DAL_OK;
    if (strcmp(label, "?") == 0 || strcmp(label, "abstain") == 0) {
        out->answer = DAL_ANSWER_ABSTAIN;
        return DAL_OK;
    }
    if (strcmp(label, "ood") == 0) {
        out->answer = DAL_ANSWER_OUT_OF_CLASS;
        return DAL_OK;
    }
    if (!self->numeric_names && dal_csv_integer(f, &number) && number >= 0 && number < t->n_classes) {
        out->cls = (int32_t)number;
        return DAL_OK;
    }
    describe_classes(t, label, classes, sizeof classes);
    label[60] = '\0';
    printable(label);
    return dal_fail(err, DAL_E_FORMAT, "", "%s:%lld:%lld: unknown class '%s'; %s", csv->path, (long long)f->line,
                    (long long)f->column, label, classes);
}

/* ---- answers ---------------------------------------------------------------------------------- */

typedef struct answers {
    round_files *r;
    int64_t id_column, label_column; /* -1: not known yet */
    int64_t n_late, late_line;       /* lines that differ from what the run has, and the first of them */
    const query *late;
} answers;

static int is_word(const dal_csv_field *f, const char *word)
{
    return f->size == (int64_t)strlen(word) && memcmp(f->text, word, (size_t)f->size) == 0;
}

static dal_status take_header(answers *a, const dal_csv *csv, const dal_csv_field *f, int64_t n, int *header,
                              dal_error *err)
{
    int64_t seen[2] = {-1, -1}, first;
    for (int64_t i = 0; i < n && i < MAX_COLUMNS; i++) {
        const int which = is_word(&f[i], "id") ? 0 : is_word(&f[i], "label") ? 1 : -1;
        if (which >= 0 && seen[which] >= 0)
            return dal_fail(err, DAL_E_FORMAT, "", "%s:%lld:%lld: a second column '%s'", csv->path,
                            (long long)f[i].line, (long long)f[i].column, which ? "label" : "id");
        if (which >= 0)
            seen[which] = i;
    }
    *header = !(n == 2 && seen[0] < 0 && seen[1] < 0 && dal_csv_integer(&f[0], &first));
    if (*header && (seen[0] < 0 || seen[1] < 0))
        return dal_fail(err, DAL_E_FORMAT, "",
                        "%s:%lld:%lld: found no column '%s' in the first line, expected the header 'id,label' or "
                        "two columns, the first with ids",
                        csv->path, (long long)f[0].line, (long long)f[0].column, seen[0] < 0 ? "id" : "label");
    a->id_column = *header ? seen[0] : 0;
    a->label_column = *header ? seen[1] : 1;
    return DAL_OK;
}

static dal_status find_asked(const answers *a, const dal_csv *csv, const dal_csv_field *f, query **out,
                             dal_error *err)
{
    const int64_t n_pool = a->r->self->task->n_pool;
    char text[32];
    int64_t id;
    dal_csv_text(f, text, sizeof text);
    printable(text);
    if (!dal_csv_integer(f, &id) || id < 0 || id >= n_pool)
        return dal_fail(err, DAL_E_FORMAT, "", "%s:%lld:%lld: unknown id '%s', expected one of those in %s",
                        csv->path, (long long)f->line, (long long)f->column, text, a->r->queries_path);
    *out = find(a->r, id);
    if (!*out)
        return dal_fail(err, DAL_E_FORMAT, "",
                        "%s:%lld:%lld: sample %lld was not asked in this round, expected one of those in %s",
                        csv->path, (long long)f->line, (long long)f->column, (long long)id, a->r->queries_path);
    return DAL_OK;
}

static dal_status answer_row(void *ctx, const dal_csv *csv, const dal_csv_field *f, int64_t n, dal_error *err)
{
    answers *a = ctx;
    query *asked = NULL, given;
    int header = 0;
    dal_status st = DAL_OK;
    if (a->id_column < 0)
        st = take_header(a, csv, f, n, &header, err);
    if (st != DAL_OK || header)
        return st;
    if (n <= a->id_column || n <= a->label_column)
        return dal_fail(err, DAL_E_FORMAT, "", "%s:%lld:%lld: found %lld column%s, expected an id and a label",
                        csv->path, (long long)f[0].line, (long long)f[0].column, (long long)n, n == 1 ? "" : "s");
    const dal_csv_field *label = &f[a->label_column];
    st = find_asked(a, csv, &f[a->id_column], &asked, err);
    if (st != DAL_OK || label->size == 0)
        return st;
    st = parse_label(a->r->self, csv, label, &given, err);
    if (st != DAL_OK)
        return st;
    if (asked->known) {
        if ((asked->answer != given.answer || asked->cls != given.cls) && a->n_late++ == 0) {
            a->late = asked;
            a->late_line = label->line;
        }
        return DAL_OK;
    }
    if (asked->line && (asked->answer != given.answer || asked->cls != given.cls))
        return dal_fail(err, DAL_E_FORMAT, "",
                        "%s:%lld:%lld: sample %lld has another answer here than in line %lld; keep one of them",
                        csv->path, (long long)label->line, (long long)label->column, (long long)asked->id,
                        (long long)asked->line);
    asked->line = label->line;
    asked->answer = given.answer;
    asked->cls = given.cls;
    return DAL_OK;
}

static void tell_late(const answers *a)
{
    const dal_oracle_task *t = a->r->self->task;
    const query *q = a->late;
    char more[64] = "";
    if (a->n_late > 1)
        snprintf(more, sizeof more, " (and %lld more)", (long long)a->n_late - 1);
    if (a->n_late > 0)
        dal_logf(a->r->self->host, DAL_LOG_WARNING,
                 "%s:%lld: sample %lld has an answer in the run already, '%.60s', which stays%s", a->r->answers_path,
                 (long long)a->late_line, (long long)q->id,
                 q->answer == DAL_ANSWER_CLASS     ? t->class_names[q->cls]
                 : q->answer == DAL_ANSWER_ABSTAIN ? "?"
                                                   : "ood", more);
}

static dal_status give_answers(const round_files *r, const dal_question *q, int64_t *pending, dal_error *err)
{
    dal_status st = DAL_OK;
    *pending = 0;
    for (int64_t i = 0; i < r->n && st == DAL_OK; i++) {
        const query *p = &r->queries[i];
        if (p->at >= 0 && p->line)
            st = q->answer(q, p->at, p->answer, p->cls, r->self->opt->cost, err);
        else if (p->at >= 0)
            ++*pending;
    }
    return st;
}

static dal_status file_label(void *p, const dal_question *q, char *waiting_for, size_t size, dal_error *err)
{
    const file_oracle *self = p;
    round_files r = {.self = self};
    answers a = {.r = &r, .id_column = -1, .label_column = -1};
    int64_t pending = q->n;
    dal_status st = DAL_OK;
    snprintf(r.queries_path, sizeof r.queries_path, "%s/round-%lld.queries.csv", self->directory, (long long)q->round);
    snprintf(r.answers_path, sizeof r.answers_path, "%s/round-%lld.answers.csv", self->directory, (long long)q->round);
    if (access(r.queries_path, F_OK) != 0)
        st = write_queries(&r, q, err);
    if (st == DAL_OK)
        st = load_queries(&r, q, err);
    if (st == DAL_OK && access(r.answers_path, F_OK) == 0) {
        st = each_row(self->host, r.answers_path, answer_row, &a, err);
        if (st == DAL_OK) {
            tell_late(&a);
            st = give_answers(&r, q, &pending, err);
        }
    }
    if (size > 0)
        waiting_for[0] = '\0';
    if (st == DAL_OK && pending > 0)
        snprintf(waiting_for, size,
                 "write %s with the columns id,label for the %lld of %lld samples of %s that have no answer yet "
                 "(label: a class%s, ? for cannot say, ood for none of the classes)",
                 r.answers_path, (long long)pending, (long long)r.n, r.queries_path,
                 self->numeric_names ? "" : " name or number");
    self->host->free(self->host, r.queries);
    return st;
}

static const dal_oracle_impl file_impl = {
    .struct_size = sizeof file_impl,
    .create = file_create,
    .destroy = file_destroy,
    .label = file_label,
};

#define PARAMS(P, T)                                                                                    \
    P(T, directory, PATH, "", "", "", "folder of this run's files; default: beside the run store")      \
    P(T, cost, F64, "1", "0..", "", "of each answer, abstentions too")
#define COMPONENTS(C)                                                                                   \
    C(ORACLE, "file", file_impl,                                                                                       \
      "asks people: writes a CSV of queries, with the texts of texts, waits for a CSV of answers", "", "", "",         \
      options, PARAMS)
DAL_MODULE(file, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
