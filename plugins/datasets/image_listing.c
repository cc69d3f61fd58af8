#include "image_listing.h"

#include <dal/csv.h>
#include <stdlib.h>

#define KEY "listing"
#define MOST_BYTES ((int64_t)1 << 30)
#define PLACE 512

enum { PATH, LABEL, SPLIT, GROUP, COLUMNS };

/* The table while it is read. */
typedef struct reading {
    const dal_host *host;
    const dal_files *files;
    char place[PLACE];  /* what messages call the table */
    char *folder;       /* [room] the folder it lies in, with its slash, and room for a path behind it */
    size_t folder_size;
    unsigned char *data;
    int64_t size;
    dal_csv csv;
    dal_csv_field *fields; /* [width] */
    int64_t width, column[COLUMNS]; /* -1: none */
    unsigned char *seen; /* [files] */
    char *to;            /* where the next text goes */
    listing *out;
} reading;

int listing_is(const char *file, const char *name)
{
    const size_t n = strlen(file), m = strlen(name);
    return n >= m && strcmp(file + n - m, name) == 0 && (n == m || file[n - m - 1] == '/');
}

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, KEY, "no memory for the list of pictures");
}

/* ---- the table's bytes ------------------------------------------------------------------------ */

static dal_status find_table(const reading *r, const char *name, int64_t *found, dal_error *err)
{
    *found = dal_files_find(r->files, name);
    for (int64_t i = 0, n = dal_files_count(r->files); i < n && *found < 0; i++)
        if (listing_is(dal_files_name(r->files, i), name))
            *found = i;
    return *found >= 0 ? DAL_OK
                       : dal_fail(err, DAL_E_NOT_FOUND, KEY, "there is no '%.200s' among the files of train", name);
}

static dal_status load_table(reading *r, const char *name, dal_error *err)
{
    int64_t i;
    dal_status st = find_table(r, name, &i, err);
    if (st != DAL_OK)
        return st;
    const char *path = dal_files_name(r->files, i), *slash = strrchr(path, '/');
    dal_files_place(r->files, i, r->place, sizeof r->place);
    r->size = dal_files_size(r->files, i);
    if (r->size > MOST_BYTES)
        return dal_fail(err, DAL_E_OVERFLOW, KEY, "%s: %lld bytes, expected at most 1 GiB", r->place,
                        (long long)r->size);
    r->folder_size = slash ? (size_t)(slash - path) + 1 : 0;
    r->folder = dal_array(r->host, (int64_t)r->folder_size + r->size + 1, 1);
    r->data = dal_array(r->host, r->size, 1);
    if (!r->folder || !r->data)
        return no_memory(err);
    memcpy(r->folder, path, r->folder_size);
    st = dal_files_read(r->files, i, r->data, r->size, err);
    r->csv = dal_csv_open(r->place, KEY, r->data, r->size, dal_csv_guess(r->data, r->size));
    return st;
}

/* ---- columns ---------------------------------------------------------------------------------- */

static dal_status no_column(const reading *r, const char *name, dal_error *err)
{
    char list[500] = "", one[48];
    size_t at = 0;
    for (int64_t j = 0; j < r->width && j < 8; j++) {
        dal_csv_text(&r->fields[j], one, sizeof one);
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", j ? ", " : "", one);
    }
    for (char *p = list; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return dal_fail(err, DAL_E_INVALID, KEY, "%s has no column '%.60s'; its first line is %s%s", r->place, name, list,
                    r->width > 8 ? ", ..." : "");
}

static dal_status find_column(const reading *r, const char *name, int64_t *column, dal_error *err)
{
    const dal_csv_field as_field = {.text = name, .size = (int64_t)strlen(name)};
    char text[256];
    *column = -1;
    if (!*name)
        return DAL_OK;
    for (int64_t j = 0; j < r->width && *column < 0; j++)
        if (dal_csv_text(&r->fields[j], text, sizeof text) < (int64_t)sizeof text && strcmp(text, name) == 0)
            *column = j;
    if (*column < 0 && dal_csv_integer(&as_field, column) && *column < 0)
        *column += r->width;
    return *column >= 0 && *column < r->width ? DAL_OK : no_column(r, name, err);
}

/* The first line names the columns. */
static dal_status read_header(reading *r, const listing_columns *c, dal_error *err)
{
    const char *const names[COLUMNS] = {c->path, c->label, c->split, c->group};
    dal_csv ahead = r->csv;
    dal_status st = dal_csv_next(&ahead, NULL, 0, &r->width, err);
    if (st == DAL_OK && r->width == 0)
        st = dal_fail(err, DAL_E_FORMAT, KEY, "%s: the file is empty", r->place);
    if (st != DAL_OK)
        return st;
    r->fields = dal_array(r->host, r->width, sizeof *r->fields);
    if (!r->fields)
        return no_memory(err);
    st = dal_csv_next(&r->csv, r->fields, r->width, &r->width, err);
    for (int k = 0; k < COLUMNS && st == DAL_OK; k++)
        st = find_column(r, names[k], &r->column[k], err);
    return st;
}

/* ---- rows ------------------------------------------------------------------------------------- */

static dal_status bad_field(const reading *r, const dal_csv_field *f, const char *what, dal_error *err)
{
    char text[96];
    dal_csv_text(f, text, sizeof text);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return dal_fail(err, DAL_E_FORMAT, KEY, "%s:%lld:%lld: '%s': %s", r->place, (long long)f->line,
                    (long long)f->column, text, what);
}

static dal_status find_picture(reading *r, const dal_csv_field *f, int64_t *file, dal_error *err)
{
    char *path = r->folder + r->folder_size;
    dal_csv_text(f, path, (size_t)r->size + 1);
    const char *below = strncmp(path, "./", 2) == 0 ? path + 2 : path;
    if (below > path)
        memmove(path, below, strlen(below) + 1);
    *file = dal_files_find(r->files, r->folder);
    if (*file < 0)
        *file = dal_files_find(r->files, path);
    if (*file < 0)
        return bad_field(r, f, "there is no such picture", err);
    if (r->seen[*file])
        return bad_field(r, f, "this picture is listed twice", err);
    r->seen[*file] = 1;
    return DAL_OK;
}

static dal_status find_split(const reading *r, const dal_csv_field *f, uint32_t *split, dal_error *err)
{
    static const struct {
        const char *word;
        uint32_t split;
    } words[] = {{"train", DAL_SPLIT_TRAIN},      {"0", DAL_SPLIT_TRAIN},     {"validation", DAL_SPLIT_VALIDATION},
                 {"valid", DAL_SPLIT_VALIDATION}, {"val", DAL_SPLIT_VALIDATION}, {"dev", DAL_SPLIT_VALIDATION},
                 {"1", DAL_SPLIT_VALIDATION},     {"test", DAL_SPLIT_TEST},   {"2", DAL_SPLIT_TEST}};
    char text[16];
    if (dal_csv_text(f, text, sizeof text) < (int64_t)sizeof text)
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (strcmp(text, words[i].word) == 0) {
                *split = words[i].split;
                return DAL_OK;
            }
    return bad_field(r, f, "expected train, validation or test, or 0, 1 or 2", err);
}

/* The text of a column, "" where there is none. There is room: texts are no longer than they are in the file. */
static const char *keep_text(reading *r, int column)
{
    char *text = r->to;
    if (r->column[column] < 0)
        return "";
    r->to += dal_csv_text(&r->fields[r->column[column]], text, (size_t)r->size + 1) + 1;
    return text;
}

static dal_status read_row(reading *r, listing_row *row, dal_error *err)
{
    dal_status st = find_picture(r, &r->fields[r->column[PATH]], &row->file, err);
    row->split = DAL_SPLIT_TRAIN;
    if (st == DAL_OK && r->column[SPLIT] >= 0)
        st = find_split(r, &r->fields[r->column[SPLIT]], &row->split, err);
    row->label = keep_text(r, LABEL);
    row->group = keep_text(r, GROUP);
    return st;
}

static dal_status read_rows(reading *r, dal_error *err)
{
    const int64_t n_files = dal_files_count(r->files);
    int64_t n = 1;
    dal_status st = DAL_OK;
    r->seen = dal_array(r->host, n_files, 1);
    r->out->rows = dal_array(r->host, n_files, sizeof *r->out->rows); /* none is listed twice */
    /* each text with its end; one that two columns share is kept twice */
    r->to = r->out->text = dal_array(r->host, 2 * (r->size + n_files + 1), 1);
    if (!r->seen || !r->out->rows || !r->to)
        return no_memory(err);
    memset(r->seen, 0, (size_t)n_files);
    for (;;) {
        st = dal_csv_next(&r->csv, r->fields, r->width, &n, err);
        if (st != DAL_OK || n == 0)
            break;
        if (n != r->width)
            return dal_fail(err, DAL_E_FORMAT, KEY, "%s:%lld:1: found %lld columns, expected %lld as in the first line",
                            r->place, (long long)r->fields[0].line, (long long)n, (long long)r->width);
        listing_row row;
        st = read_row(r, &row, err);
        if (st != DAL_OK)
            return st;
        r->out->rows[r->out->n++] = row;
    }
    if (st == DAL_OK && r->out->n == 0)
        st = dal_fail(err, DAL_E_FORMAT, KEY, "%s lists no pictures", r->place);
    return st;
}

dal_status listing_read(const dal_host *host, const dal_files *f, const char *name, const listing_columns *columns,
                        listing *out, dal_error *err)
{
    reading *r = host->alloc(host, sizeof *r, 0);
    *out = (listing){0};
    if (!r)
        return no_memory(err);
    memset(r, 0, sizeof *r);
    *r = (reading){.host = host, .files = f, .out = out};
    dal_status st = load_table(r, name, err);
    if (st == DAL_OK)
        st = read_header(r, columns, err);
    if (st == DAL_OK && r->column[PATH] < 0)
        st = dal_fail(err, DAL_E_INVALID, KEY, "listing_path is empty; expected the column of the pictures");
    if (st == DAL_OK)
        st = read_rows(r, err);
    if (st != DAL_OK)
        listing_free(host, out);
    host->free(host, r->folder);
    host->free(host, r->data);
    host->free(host, r->fields);
    host->free(host, r->seen);
    host->free(host, r);
    return st;
}

void listing_free(const dal_host *host, listing *l)
{
    host->free(host, l->rows);
    host->free(host, l->text);
    *l = (listing){0};
}
