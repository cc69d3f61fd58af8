/* jsonl: a JSON object a line, with a text under one key (or several, joined) and a label under another.
 *
 * Lines are found and checked once; strings are decoded when they are read. A label may be a string, an integer or a
 * truth value; null, or none at all, is a text without a class; a source likewise. Plain files are mapped; gzip files
 * are inflated once.
 */
#include <dal/file.h>
#include <dal/texts.h>

typedef struct options {
    const char *path, *validation_path, *test_path, *label, *group, *names;
    uint32_t labels;
    dal_str_list text, class_names;
} options;

#define MAX_CONTENT ((int64_t)1 << 32) /* a gzip file that inflates to more is refused */
#define MAX_DEPTH 64
#define MAX_LABEL 256

typedef struct jsonl {
    dal_texts texts; /* first: the shared slots see only this */
    const options *opt;
    dal_file *files[DAL_SPLITS];
    const char *data[DAL_SPLITS];
} jsonl;

/* ---- JSON --------------------------------------------------------------------------------------- */

/* A place in a line. what: of the first fault, at `at`. */
typedef struct json {
    const char *p;
    int64_t n, at;
    const char *what;
} json;

/* A value as it stands in the line, a string with its quotes. */
typedef struct value {
    const char *p;
    int64_t n;
} value;

static int fails(json *j, const char *what)
{
    if (!j->what)
        j->what = what;
    return 0;
}

static void skip_blanks(json *j)
{
    while (j->at < j->n && strchr(" \t\r", j->p[j->at]))
        j->at++;
}

static int take(json *j, char c)
{
    skip_blanks(j);
    if (j->at >= j->n || j->p[j->at] != c)
        return 0;
    j->at++;
    return 1;
}

static int hex4(const char *p, int64_t n, uint32_t *x)
{
    *x = 0;
    for (int i = 0; i < 4; i++) {
        const char c = i < n ? p[i] : ' ';
        const int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' &&
            c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0)
            return 0;
        *x = *x << 4 | (uint32_t)d;
    }
    return 1;
}

/* Pass over a string, with its quotes, and check its escapes. */
static int take_string(json *j, value *v)
{
    const int64_t from = j->at;
    uint32_t c;
    if (!take(j, '"'))
        return fails(j, "expected a string");
    while (j->at < j->n && j->p[j->at] != '"') {
        const char *p = j->p + j->at;
        if ((unsigned char)*p < 0x20)
            return fails(j, "a control character in a string");
        if (*p != '\\') {
            j->at++;
            continue;
        }
        if (j->at + 1 >= j->n || !strchr("\"\\/bfnrtu", p[1]))
            return fails(j, "an escape that JSON has not");
        if (p[1] == 'u' && (!hex4(p + 2, j->n - j->at - 2, &c) || c == 0))
            return fails(j, "\\u needs four hexadecimal digits, and not those of NUL");
        j->at += p[1] == 'u' ? 6 : 2;
    }
    if (j->at >= j->n)
        return fails(j, "this string is never closed");
    j->at++;
    *v = (value){j->p + from, j->at - from};
    while (v->n > 0 && *v->p != '"')
        v->p++, v->n--;
    return 1;
}

/* A number or a word. */
static int take_word(json *j)
{
    static const char *const words[] = {"true", "false", "null"};
    const int64_t from = j->at;
    while (j->at < j->n && !strchr(" \t\r,]}", j->p[j->at]))
        j->at++;
    const int64_t n = j->at - from;
    for (int i = 0; i < 3; i++)
        if ((int64_t)strlen(words[i]) == n && memcmp(words[i], j->p + from, (size_t)n) == 0)
            return 1;
    int digits = 0;
    for (int64_t i = from; i < j->at; i++) {
        digits += j->p[i] >= '0' && j->p[i] <= '9';
        if (!strchr("0123456789+-.eE", j->p[i])) {
            j->at = from;
            return fails(j, "expected a value");
        }
    }
    if (digits == 0) {
        j->at = from;
        return fails(j, "expected a value");
    }
    return 1;
}

static int take_value(json *j, value *v, int depth);

/* The rest of an array or an object after its bracket. */
static int take_items(json *j, char end, int depth)
{
    value v;
    if (depth > MAX_DEPTH)
        return fails(j, "more than 64 brackets in brackets");
    if (take(j, end))
        return 1;
    do {
        skip_blanks(j);
        if (end == '}' && (!take_string(j, &v) || !take(j, ':')))
            return fails(j, "expected a colon after the key");
        if (!take_value(j, &v, depth + 1))
            return 0;
    } while (take(j, ','));
    return take(j, end) ? 1 : fails(j, end == '}' ? "expected , or }" : "expected , or ]");
}

static int take_value(json *j, value *v, int depth)
{
    skip_blanks(j);
    const int64_t from = j->at;
    const char c = j->at < j->n ? j->p[j->at] : '\0';
    int ok;
    if (c == '"')
        return take_string(j, v);
    if (c == '{' || c == '[') {
        j->at++;
        ok = take_items(j, c == '{' ? '}' : ']', depth);
    } else {
        ok = take_word(j);
    }
    *v = (value){j->p + from, j->at - from};
    return ok;
}

static int is_key(const value *key, const char *name)
{
    return key->n - 2 == (int64_t)strlen(name) && memcmp(key->p + 1, name, (size_t)key->n - 2) == 0;
}

#define MAX_KEYS 16

/* What the object in a line has under our keys; n 0: nothing. */
typedef struct record {
    value texts[MAX_KEYS], label, group;
} record;

static int take_object(json *j, const options *o, record *out)
{
    value key, v;
    out->label = out->group = (value){NULL, 0};
    for (int64_t i = 0; i < o->text.n; i++)
        out->texts[i] = out->label;
    if (!take(j, '{'))
        return fails(j, "expected an object");
    for (int more = !take(j, '}'); more;) {
        skip_blanks(j);
        if (!take_string(j, &key) || !take(j, ':'))
            return fails(j, "expected a colon after the key");
        if (!take_value(j, &v, 1))
            return 0;
        for (int64_t i = 0; i < o->text.n; i++)
            if (is_key(&key, o->text.items[i]))
                out->texts[i] = v;
        if (o->label[0] && is_key(&key, o->label))
            out->label = v;
        if (o->group[0] && is_key(&key, o->group))
            out->group = v;
        more = take(j, ',');
        if (!more && !take(j, '}'))
            return fails(j, "expected , or }");
    }
    skip_blanks(j);
    return j->at == j->n ? 1 : fails(j, "found text after the object");
}

/* A string without its quotes, its escapes replaced, into out, or only its length when out is NULL. */
static int64_t decode_string(const value *v, char *out)
{
    const char *p = v->p + 1;
    const int64_t n = v->n - 2;
    int64_t size = 0;
    char one[4];
    for (int64_t i = 0; i < n; i++) {
        if (p[i] != '\\') {
            if (out)
                out[size] = p[i];
            size++;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        uint32_t c = 0, low;
        i++;
        if (p[i] != 'u') {
            c = (unsigned char)to[strchr(from, p[i]) - from];
        } else {
            hex4(p + i + 1, n - i - 1, &c);
            i += 4;
            if (c >= 0xd800 && c < 0xdc00 && i + 6 < n && p[i + 1] == '\\' && p[i + 2] == 'u' &&
                hex4(p + i + 3, n - i - 3, &low) && low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i += 6;
            }
            if (c >= 0xd800 && c < 0xe000)
                c = 0xfffd; /* half of a pair */
        }
        size += dal_utf8_put(c, out ? out + size : one);
    }
    return size;
}

/* ---- texts -------------------------------------------------------------------------------------- */

static int64_t decode_values(const options *o, const value *texts, char *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < o->text.n; i++) {
        if (texts[i].n <= 2 || texts[i].p[0] != '"') /* none, null or empty */
            continue;
        if (n > 0) {
            if (out)
                out[n] = ' ';
            n++;
        }
        n += decode_string(&texts[i], out ? out + n : NULL);
    }
    return n;
}

static dal_status decode(void *p, uint32_t k, const dal_text_row *row, char *out, dal_error *err)
{
    const jsonl *self = p;
    json j = {.p = self->data[k] + row->at, .n = row->extra};
    record r;
    if (!take_object(&j, self->opt, &r) || decode_values(self->opt, r.texts, NULL) != row->size)
        return dal_fail(err, DAL_E_IO, "path", "%s:%lld: the file has changed since it was opened", self->texts.path[k],
                        (long long)row->line);
    decode_values(self->opt, r.texts, out);
    return DAL_OK;
}

static dal_status check_texts(const options *o, const dal_lines *l, const value *texts, dal_error *err)
{
    int64_t have = 0;
    for (int64_t i = 0; i < o->text.n; i++) {
        if (texts[i].n > 0 && texts[i].p[0] != '"' && texts[i].p[0] != 'n')
            return dal_fail(err, DAL_E_FORMAT, l->key, "%s:%lld: '%s' is %.*s, expected a string", l->path,
                            (long long)l->line - 1, o->text.items[i], (int)(texts[i].n < 20 ? texts[i].n : 20),
                            texts[i].p);
        have += texts[i].n > 0;
    }
    if (have == 0)
        return dal_fail(err, DAL_E_FORMAT, l->key, "%s:%lld: there is no key '%s' in this object", l->path,
                        (long long)l->line - 1, o->text.items[0]);
    return DAL_OK;
}

/* The text of a label or a source, in the line or in room[MAX_LABEL]; *n 0: none. */
static dal_status word_of(const dal_lines *l, const char *kind, const char *name, const value *v, char *room,
                          const char **text, int64_t *n, dal_error *err)
{
    *n = 0;
    if (v->n == 0 || v->p[0] == 'n')
        return DAL_OK;
    if (v->p[0] == '{' || v->p[0] == '[' || v->n >= MAX_LABEL)
        return dal_fail(err, DAL_E_FORMAT, l->key,
                        "%s:%lld: the %s '%s' is %s, expected a string, a number or a truth value", l->path,
                        (long long)l->line - 1, kind, name,
                        v->p[0] == '{' ? "an object" : v->p[0] == '[' ? "a list" : "too long");
    const int quoted = v->p[0] == '"';
    *n = quoted ? decode_string(v, room) : v->n;
    *text = quoted ? room : v->p;
    return DAL_OK;
}

static dal_status add_line(jsonl *self, uint32_t k, const dal_lines *l, const char *line, int64_t n, dal_error *err)
{
    const options *o = self->opt;
    json j = {.p = line, .n = n};
    record r;
    char label_room[MAX_LABEL], group_room[MAX_LABEL];
    const char *label = "", *group = "";
    int64_t label_size = 0, group_size = 0;
    dal_text_row row = {.at = line - l->data, .line = l->line - 1, .extra = (uint32_t)n};
    dal_status st = dal_text_check(DAL_UTF8, line, n, l->path, l->key, row.line, err);
    if (st != DAL_OK)
        return st;
    if (!take_object(&j, o, &r))
        return dal_fail(err, DAL_E_FORMAT, l->key, "%s:%lld:%lld: %s", l->path, (long long)row.line,
                        (long long)j.at + 1, j.what);
    st = check_texts(o, l, r.texts, err);
    if (st == DAL_OK)
        st = word_of(l, "label", o->label, &r.label, label_room, &label, &label_size, err);
    if (st == DAL_OK)
        st = word_of(l, "source", o->group, &r.group, group_room, &group, &group_size, err);
    if (st == DAL_OK)
        st = dal_texts_label(&self->texts, label, label_size, l->path, l->key, row.line, &row.cls, err);
    if (st != DAL_OK)
        return st;
    row.size = decode_values(o, r.texts, NULL);
    st = dal_texts_add(&self->texts, k, &row, l->path, l->key, err);
    return st == DAL_OK ? dal_texts_group(&self->texts, k, group, group_size, l->path, l->key, row.line, err) : st;
}

static dal_status index_file(jsonl *self, uint32_t k, const char *path, const char *key, dal_error *err)
{
    const dal_host *host = self->texts.host;
    const char *line;
    int64_t size, n;
    dal_status st = dal_file_open(host, path, key, &self->files[k], err);
    if (st == DAL_OK)
        st = dal_file_load(self->files[k], MAX_CONTENT, 0, err);
    if (st != DAL_OK)
        return st;
    self->data[k] = (const char *)dal_file_data(self->files[k], &size);
    self->texts.path[k] = path;
    dal_lines l = dal_lines_open(path, key, self->data[k], size);
    while (st == DAL_OK) {
        st = dal_lines_next(&l, &line, &n, err);
        if (st != DAL_OK || n < 0)
            break;
        int64_t blank = 0;
        while (blank < n && strchr(" \t\r", line[blank]))
            blank++;
        if (blank < n)
            st = add_line(self, k, &l, line, n, err);
        if (l.line % 4096 == 0 && host->cancelled(host))
            st = dal_fail(err, DAL_E_CANCELLED, key, "stopped while reading %s", path);
    }
    if (st == DAL_OK && self->texts.n[k] == 0)
        st = dal_fail(err, DAL_E_FORMAT, key, "%s: found no texts", path);
    return st;
}

static dal_status build(void *p, const void *opt, dal_error *err)
{
    jsonl *self = p;
    const options *o = self->opt = opt;
    const char *paths[DAL_SPLITS] = {o->path, o->validation_path, o->test_path};
    static const char *const keys[DAL_SPLITS] = {"path", "validation_path", "test_path"};
    const dal_label_rule rule = {o->labels, o->class_names, o->names};
    dal_status st = DAL_OK;
    self->texts.decode = decode;
    if (o->group[0] && strcmp(o->group, o->label) == 0)
        return dal_fail(err, DAL_E_INVALID, "group", "'%.60s' is the label; a source is known before any label is",
                        o->group);
    if (o->text.n == 0 || o->text.n > MAX_KEYS)
        return dal_fail(err, DAL_E_INVALID, "text", "%lld keys of text, expected 1..%d", (long long)o->text.n,
                        MAX_KEYS);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        if (paths[k][0])
            st = index_file(self, k, paths[k], keys[k], err);
    return st == DAL_OK ? dal_texts_settle(&self->texts, &rule, err) : st;
}

static void jsonl_destroy(void *p)
{
    jsonl *self = p;
    for (uint32_t k = 0; self && k < DAL_SPLITS; k++)
        dal_file_close(self->files[k]);
    dal_texts_destroy(self);
}

static dal_status jsonl_create(const dal_host *host, const void *opt, const dal_dataset *input, void **out,
                               dal_error *err)
{
    (void)input;
    return dal_texts_create(host, sizeof(jsonl), opt, build, jsonl_destroy, out, err);
}

static const dal_dataset_impl jsonl_impl = {
    .struct_size = sizeof jsonl_impl,
    .create = jsonl_create,
    .destroy = jsonl_destroy,
    DAL_TEXTS_SLOTS,
};

#define PARAMS(P, T)                                                                                     \
    P(T, path, PATH, DAL_REQUIRED, "file", "", "the lines of the pool; plain or packed")                   \
    P(T, validation_path, PATH, "", "file", "", "those of the validation split")                         \
    P(T, test_path, PATH, "", "file", "", "those of the test split")                                     \
    P(T, text, STRS, "[text]", "nonempty", "", "keys of the text; several are joined with a blank")      \
    P(T, label, STR, "label", "", "", "key of the label; empty: none")                                   \
    P(T, group, STR, "", "", "", "key that tells which source a text is of; empty: none")                \
    P(T, labels, CHOICE, "auto", DAL_LABELS, "",                                                                       \
      "auto: distinct labels in order; or counted from 0 or 1, or names of classes")                                   \
    P(T, class_names, STRS, "", "nonempty", "", "a name for each class, in order")                       \
    P(T, names, PATH, "", "file", "", "a file with them, one a line")
#define COMPONENTS(C)                                                                                    \
    C(DATASET, "jsonl", jsonl_impl, "texts in JSON objects, one a line, plain or packed", "", "", DAL_CAP_CONCURRENT,  \
      options, PARAMS)
DAL_MODULE(jsonl, "1.0", "Apache-2.0", COMPONENTS, NULL, NULL)
