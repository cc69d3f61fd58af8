/* Tables, texts in tables, labelled lines, sparse rows, JSON lines: what a file of text may be. */
#include "dataset/look_text.h"

#include <ctype.h>
#include <dal/csv.h>
#include <stdlib.h>

enum { MOST_COLUMNS = 4096, RECORDS = 400, LINES = 400 };

/* ---- encodings ---- */

/* How many lines are UTF-8 beyond ASCII, and how many are none, in all of data[n]. */
static void look_at_encodings(const char *data, size_t n, look *l)
{
    int64_t good = 0, bad = 0, number = 0, first_bad = 0;
    for (const char *line = data, *end = data + n; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const size_t length = (size_t)((stop ? stop : end) - line);
        bool ascii = true;
        number++;
        for (size_t i = 0; i < length && ascii; i++)
            ascii = (unsigned char)line[i] < 0x80;
        if (!ascii && utf8_valid(line, length, NULL))
            good++;
        else if (!ascii && bad++ == 0)
            first_bad = number;
        line = stop ? stop + 1 : end;
    }
    if (bad && good) {
        text_addf(&l->odd,
                  "two encodings in one file: %lld lines are UTF-8 and %lld are not, the first of these is line %lld; "
                  "read as UTF-8 where that is possible, else as Latin-1\n", (long long)good, (long long)bad,
                  (long long)first_bad);
        look_set(l, "encoding", xstrdup("mixed"));
    } else if (bad) {
        text_addf(&l->odd, "%lld lines are not UTF-8, the first is line %lld; read as Latin-1\n", (long long)bad,
                  (long long)first_bad);
        look_set(l, "encoding", xstrdup("latin-1"));
    }
}

/* ---- lines ---- */

typedef struct lines {
    const char *at[LINES];
    size_t n[LINES];
    int count;
} lines;

static lines cut(const char *head, size_t n, bool whole)
{
    lines out = {.count = 0};
    for (size_t i = 0; i < n && out.count < LINES;) {
        const char *end = memchr(head + i, '\n', n - i);
        if (!end && !whole)
            break;
        size_t length = end ? (size_t)(end - head) - i : n - i;
        const size_t next = i + length + 1;
        while (length > 0 && isspace((unsigned char)head[i + length - 1]))
            length--;
        if (length > 0) {
            out.at[out.count] = head + i;
            out.n[out.count++] = length;
        }
        i = next;
    }
    return out;
}

/* "1 3:0.5 7:1": a label, then column:value. */
static bool is_sparse_line(const char *s, size_t n)
{
    size_t i = 0;
    int pairs = 0;
    while (i < n && s[i] && strchr("+-.,0123456789eE", s[i]))
        i++;
    if (i == 0)
        return false;
    while (i < n) {
        while (i < n && (s[i] == ' ' || s[i] == '\t'))
            i++;
        const size_t digits = i;
        while (i < n && isdigit((unsigned char)s[i]))
            i++;
        if (i == n)
            return i == digits && pairs > 0;
        if (i == digits || s[i] != ':')
            return s[digits] == '#' && pairs > 0;
        for (i++; i < n && s[i] && strchr("+-.0123456789eE", s[i]); i++)
            ;
        pairs++;
    }
    return pairs > 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int distinct(char **words, int n)
{
    int count = n > 0;
    qsort(words, (size_t)n, sizeof *words, by_text);
    for (int i = 1; i < n; i++)
        count += strcmp(words[i], words[i - 1]) != 0;
    return count;
}

/* Few different first words, and words of letters behind them. */
static bool is_labelled(const lines *l)
{
    char *first[LINES];
    int wordy = 0;
    for (int i = 0; i < l->count; i++) {
        size_t n = 0, letters = 0, blanks = 0;
        while (n < l->n[i] && l->at[i][n] != ' ' && l->at[i][n] != '\t')
            n++;
        first[i] = xstrndup(l->at[i], n);
        for (size_t k = n; k < l->n[i]; k++) {
            letters += isalpha((unsigned char)l->at[i][k]) || (unsigned char)l->at[i][k] >= 0x80;
            blanks += l->at[i][k] == ' ' || l->at[i][k] == '\t';
        }
        wordy += blanks >= 1 && 2 * letters >= l->n[i] - n && !memchr(first[i], ',', n) && first[i][0] != '"';
    }
    const int words = distinct(first, l->count);
    for (int i = 0; i < l->count; i++)
        free(first[i]);
    return l->count >= 4 && wordy * 10 >= l->count * 9 && words * 5 <= l->count * 2;
}

/* ---- tables ---- */

typedef struct column {
    char *name; /* of the header, or its number */
    char **values; /* [n] */
    int commas; /* numbers, if a comma stood before decimals */
    int n, numbers, missing, endless; /* endless: infinite, or beyond what a double holds */
    int64_t characters, blanks;
    int distinct;
} column;

typedef struct grid {
    column *columns;
    int width, n;
    bool header, comma; /* before the decimals of numbers */
} grid;

static bool is_missing(const char *s)
{
    return !*s || strcmp(s, "?") == 0 || strcasecmp(s, "na") == 0 || strcasecmp(s, "n/a") == 0 ||
           strcasecmp(s, "nan") == 0 || strcasecmp(s, "null") == 0;
}

/* Would be a number, if it were finite. */
static bool is_endless(const char *s)
{
    s += *s == '-' || *s == '+';
    if (strcasecmp(s, "inf") == 0 || strcasecmp(s, "infinity") == 0)
        return true;
    char *end;
    return isdigit((unsigned char)*s) && isinf(strtod(s, &end)) && !*end;
}

static void add_value(column *c, const dal_csv_field *f)
{
    char words[512];
    double x;
    dal_csv_text(f, words, sizeof words);
    c->values[c->n++] = xstrdup(words);
    c->numbers += dal_csv_number(f, &x) != 0;
    c->commas += memchr(f->text, ',', (size_t)f->size) && dal_csv_decimal(f, ',', &x);
    c->missing += is_missing(words);
    c->endless += is_endless(words);
    c->characters += f->size;
    for (const char *p = words; *p; p++)
        c->blanks += *p == ' ';
}

/* Records of data[n] until there are `most`; those of another width end it. What of data was read. */
static int64_t add_records(grid *g, const char *path, const char *data, int64_t n, char delimiter, int most)
{
    static dal_csv_field fields[MOST_COLUMNS];
    dal_csv r = dal_csv_open(path, "path", data, n, delimiter);
    dal_error err = DAL_ERROR_INIT;
    int64_t width;
    while (g->n < most && dal_csv_next(&r, fields, MOST_COLUMNS, &width, &err) == DAL_OK && width > 0) {
        if (g->n == 0 && width <= MOST_COLUMNS) {
            g->width = (int)width;
            g->columns = xcalloc((size_t)width, sizeof *g->columns);
            for (int i = 0; i < g->width; i++)
                g->columns[i].values = xcalloc(RECORDS, sizeof(char *));
        }
        if (width != g->width || r.at >= r.size) /* the last may be cut */
            if (width != g->width || g->n > 3)
                break;
        for (int i = 0; i < g->width; i++)
            add_value(&g->columns[i], &fields[i]);
        g->n++;
    }
    return r.at;
}

/* The first records, and the last: tables may be sorted by their classes. */
static grid read_grid(const char *path, const char *data, int64_t size, char delimiter)
{
    grid g = {0};
    const int64_t at = add_records(&g, path, data, size < LOOK_HEAD ? size : LOOK_HEAD, delimiter, RECORDS / 2);
    if (g.n < RECORDS / 2)
        return g;
    const int64_t tail = size - at < at ? size - at : at; /* about as many bytes */
    const char *end = tail > 0 ? memchr(data + size - tail, '\n', (size_t)tail) : NULL;
    if (end)
        add_records(&g, path, end + 1, data + size - (end + 1), delimiter, RECORDS);
    return g;
}

static bool number(const char *s)
{
    char *end;
    strtod(s, &end);
    return end != s && !*end;
}

/* Decimal commas, unless some column has points: what they are in becomes numbers, as all below takes them. */
static void settle_decimal(grid *g)
{
    bool points = false;
    for (int i = 0; i < g->width; i++) {
        const column *c = &g->columns[i];
        for (int k = 0; k < c->n; k++)
            points |= number(c->values[k]) && strchr(c->values[k], '.');
        g->comma |= c->commas > 0 && c->commas + c->numbers + c->missing + 1 >= c->n; /* 1: its name */
    }
    g->comma &= !points;
    for (int i = 0; i < g->width && g->comma; i++) {
        column *c = &g->columns[i];
        for (int k = 0; k < c->n; k++) {
            char *value = c->values[k], *comma = strchr(value, ',');
            if (comma && strspn(value, "0123456789+-,eE") == strlen(value))
                *comma = '.';
        }
        c->numbers += c->commas;
    }
}

static void free_grid(grid *g)
{
    for (int i = 0; i < g->width; i++) {
        for (int k = 0; k < g->columns[i].n; k++)
            free(g->columns[i].values[k]);
        free(g->columns[i].values);
        free(g->columns[i].name);
    }
    free(g->columns);
}

static bool names_a_label(const char *s)
{
    static const char *const words[] = {"label", "labels", "class", "classes", "target", "y", "category", "species"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

/* Words above numbers, or a word that names labels. Then columns have names, and one value less. */
static void settle_header(grid *g)
{
    for (int i = 0; i < g->width && g->n > 1; i++) {
        const column *c = &g->columns[i];
        g->header |= names_a_label(c->values[0]) ||
                     (!number(c->values[0]) && !is_missing(c->values[0]) && number(c->values[1]));
    }
    for (int i = 0; i < g->width; i++) {
        column *c = &g->columns[i];
        c->name = g->header ? xstrdup(c->values[0]) : xasprintf("%d", i);
        if (g->header) {
            c->numbers -= number(c->values[0]);
            c->missing -= is_missing(c->values[0]);
            free(c->values[0]);
            memmove(c->values, c->values + 1, (size_t)--c->n * sizeof *c->values);
        }
        c->distinct = distinct(c->values, c->n);
    }
    g->n -= g->header;
}

static bool is_prose(const column *c)
{
    return c->n > 0 && c->numbers * 10 < c->n && c->characters > 20 * (int64_t)c->n && c->blanks > 2 * (int64_t)c->n;
}

static int named_column(const grid *g, const char *label)
{
    char *end;
    const long k = strtol(label, &end, 10);
    for (int i = 0; i < g->width && g->header; i++)
        if (strcmp(g->columns[i].name, label) == 0)
            return i;
    return end != label && !*end && k >= -g->width && k < g->width ? (int)(k < 0 ? k + g->width : k) : -1;
}

/* The column of classes, -1: none looks like that. */
static int label_column(const grid *g)
{
    for (int i = 0; i < g->width && g->header; i++)
        if (names_a_label(g->columns[i].name))
            return i;
    const int order[] = {g->width - 1, 0};
    for (int pass = 0; pass < 2; pass++) /* words before numbers */
        for (int k = 0; k < 2; k++) {
            const column *c = &g->columns[order[k]];
            const bool words = c->numbers == 0;
            if (!is_prose(c) && (pass == 1 ? c->distinct > 1 : words) && c->distinct * 3 <= c->n + 3)
                return order[k];
        }
    return -1;
}

/* The columns of words that are to be left out, or those that can be one-hot; *names tells which. Not those that would
 * be numbers if all of theirs were finite: whoever has them wants to know. */
static char *list_words(const grid *g, int label, bool many, text *names)
{
    text list = {0};
    for (int i = 0; i < g->width; i++) {
        const column *c = &g->columns[i];
        const bool has_many = c->distinct > 20 || c->distinct * 3 > c->n + 3;
        if (i == label || c->numbers + c->missing + c->endless >= c->n || has_many != many)
            continue;
        char *quoted = yaml_quoted(c->name, strlen(c->name));
        text_addf(&list, "%s%s", list.n ? ", " : "[", quoted);
        text_addf(names, "%s%s", names->n ? ", " : "", c->name);
        free(quoted);
    }
    if (list.n)
        text_add(&list, "]");
    return list.n ? text_take(&list) : NULL;
}

/* Words are no numbers: few texts that come again become a value each. */
static void look_at_words(const grid *g, int label, look *l)
{
    text few = {0}, many = {0};
    char *one_hot = list_words(g, label, false, &few), *drop = list_words(g, label, true, &many);
    if (one_hot) {
        text_addf(&l->odd, "columns of words become a value for each of their texts, 0 or 1: %s\n", few.s);
        look_set(l, "one_hot", one_hot);
    }
    if (drop) {
        text_addf(&l->odd, "columns of words are no numbers, and are left out: %s\n", many.s);
        look_set(l, "drop", drop);
    }
    text_free(&few);
    text_free(&many);
}

static void look_at_table(const grid *g, char delimiter, look *l)
{
    const int label = l->label ? named_column(g, l->label) : label_column(g);
    bool prose = false;
    int missing = 0;
    for (int i = 0; i < g->width; i++) {
        prose |= is_prose(&g->columns[i]);
        missing += g->columns[i].missing > 0 && i != label;
    }
    l->format = prose ? "texts" : "table";
    text_addf(&l->words, "%s, %s between %d columns, %s", prose ? "texts in a table" : "a table",
              delimiter == ',' ? "commas" : delimiter == ';' ? "semicolons" : delimiter == '\t' ? "tabs" : "blanks",
              g->width, g->header ? "whose first line names them" : "without a line that names them");
    if (label >= 0) {
        char *name = g->header ? yaml_quoted(g->columns[label].name, strlen(g->columns[label].name))
            : xasprintf("%d", label);
        text_addf(&l->words, "; classes in column %s", g->columns[label].name);
        look_set(l, "label", name);
    } else if (!l->label) {
        text_add(&l->odd,
                 "no column looks like classes (a name such as label, or few values that come again and again); --set "
                 "label=COLUMN says which\n");
        look_set(l, "label", xstrdup("\"\""));
    }
    look_set(l, "header", xstrdup(g->header ? "yes" : "no"));
    if (g->comma && !prose) {
        text_add(&l->odd, "a comma stands before the decimals of numbers\n");
        look_set(l, "decimal", xstrdup("comma"));
    }
    if (!prose)
        look_at_words(g, label, l);
    if (!prose && missing) {
        text_addf(&l->odd, "values are missing in %d columns; each becomes the mean of its column\n", missing);
        look_set(l, "missing", xstrdup("mean"));
    }
}

/* ---- all of them ---- */

static bool begins_with(const lines *l, const char *word)
{
    return l->count > 0 && l->n[0] >= strlen(word) && strncasecmp(l->at[0], word, strlen(word)) == 0;
}

static bool is_binary(const char *head, size_t n)
{
    size_t odd = 0;
    for (size_t i = 0; i < n && i < 65536; i++)
        odd += (unsigned char)head[i] < 0x20 && !memchr("\t\n\r\f", head[i], 4);
    return odd > 0;
}

void look_at_text(const char *path, const char *data, size_t size, look *l)
{
    const size_t n = size < LOOK_HEAD ? size : LOOK_HEAD;
    const lines all = cut(data, n, n == size);
    int sparse = 0;
    if (is_binary(data, n)) {
        text_add(&l->words, "a binary file of no kind that is known here");
        return;
    }
    for (int i = 0; i < all.count; i++)
        sparse += is_sparse_line(all.at[i], all.n[i]);
    if (begins_with(&all, "{")) {
        l->format = "json-lines";
        text_add(&l->words, "an object of JSON a line");
    } else if (begins_with(&all, "@relation") || begins_with(&all, "%")) {
        l->format = "arff";
        text_add(&l->words, "an ARFF table");
    } else if (all.count && all.n[0] > 2 && all.at[0][0] == '(' && isdigit((unsigned char)all.at[0][1])) {
        l->format = "trees";
        text_add(&l->words, "labelled trees, one a line");
    } else if (all.count && sparse * 10 >= all.count * 9) {
        l->format = "sparse";
        text_add(&l->words, "sparse rows as LIBSVM writes them");
    } else if (is_labelled(&all)) {
        l->format = "labelled-lines";
        text_add(&l->words, "a label and a text a line");
    } else {
        const char delimiter = dal_csv_guess(data, (int64_t)n);
        grid g = read_grid(path, data, (int64_t)size, delimiter);
        if (g.width >= 2 && g.n >= 2) {
            settle_decimal(&g);
            settle_header(&g);
            look_at_table(&g, delimiter, l);
        } else {
            text_add(&l->words, "text of no form that is known here");
        }
        free_grid(&g);
    }
    if (l->format)
        look_at_encodings(data, size, l);
}
