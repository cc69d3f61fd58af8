#include <dal/texts.h>

#include <dal/file.h>
#include <errno.h>
#include <stdlib.h>

#define MAX_LABEL 256           /* bytes, with the NUL */
#define MAX_CLASSES 65536       /* distinct labels */
#define MAX_GROUPS (1 << 24)    /* distinct sources */
#define MAX_NAMES_BYTES 1048576 /* of a file of class names */

/* A label or a source, and the place where it was seen first. */
typedef struct label {
    char *text;
    const char *path, *key;
    int64_t line;
    int32_t cls;
} label;

/* Labels in the order of their coming, and a hash table of them with open addressing. */
typedef struct label_table {
    label *all; /* [n] */
    int32_t *slots; /* [room] index of a label, -1: free */
    int64_t n, room;
} label_table;

struct dal_text_labels {
    label_table labels, sources;
    char **names; /* [n_names] of the classes */
    int64_t n_names;
    const char **source_names;           /* [sources.n] in order, those of the table */
    int32_t *source_of[DAL_SPLITS];      /* [source_room] of each text; of those behind it there is none */
    int64_t source_room[DAL_SPLITS];
};

static dal_status no_memory(dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, "", "no memory for the texts");
}

/* ---- life --------------------------------------------------------------------------------------- */

dal_status dal_texts_new(const dal_host *host, size_t size, void **self, dal_error *err)
{
    dal_texts *t = host->alloc(host, size, 0);
    if (!t)
        return no_memory(err);
    memset(t, 0, size);
    t->host = host;
    t->labels = host->alloc(host, sizeof *t->labels, 0);
    if (!t->labels) {
        host->free(host, t);
        return no_memory(err);
    }
    *t->labels = (dal_text_labels){0};
    *self = t;
    return DAL_OK;
}

static void free_table(const dal_host *host, label_table *l)
{
    for (int64_t i = 0; i < l->n; i++)
        host->free(host, l->all[i].text);
    host->free(host, l->all);
    host->free(host, l->slots);
}

void dal_texts_destroy(void *self)
{
    dal_texts *t = self;
    if (!t)
        return;
    const dal_host *host = t->host;
    dal_text_labels *l = t->labels;
    free_table(host, &l->labels);
    free_table(host, &l->sources);
    for (int64_t i = 0; i < l->n_names; i++)
        host->free(host, l->names[i]);
    host->free(host, l->names);
    host->free(host, l->source_names);
    for (uint32_t k = 0; k < DAL_SPLITS; k++) {
        host->free(host, t->rows[k]);
        host->free(host, l->source_of[k]);
    }
    host->free(host, l);
    host->free(host, t);
}

dal_status dal_texts_create(const dal_host *host, size_t size, const void *options,
                            dal_status (*build)(void *self, const void *options, dal_error *err),
                            void (*destroy)(void *self), void **self, dal_error *err)
{
    void *p = NULL;
    dal_status st = dal_texts_new(host, size, &p, err);
    if (st != DAL_OK)
        return st;
    st = build(p, options, err);
    if (st == DAL_OK)
        *self = p;
    else
        destroy(p);
    return st;
}

dal_status dal_texts_add(dal_texts *t, uint32_t k, const dal_text_row *row, const char *path, const char *key,
                         dal_error *err)
{
    if (row->size > DAL_TEXT_MOST)
        return dal_fail(err, DAL_E_FORMAT, key, "%s:%lld: a text of %lld bytes, expected at most %lld", path,
                        (long long)row->line, (long long)row->size, (long long)DAL_TEXT_MOST);
    if (t->n[k] == t->room[k]) {
        const int64_t room = t->room[k] ? 2 * t->room[k] : 1024;
        dal_text_row *larger = dal_array(t->host, room, sizeof *larger);
        if (!larger)
            return no_memory(err);
        if (t->n[k] > 0)
            memcpy(larger, t->rows[k], (size_t)t->n[k] * sizeof *larger);
        t->host->free(t->host, t->rows[k]);
        t->rows[k] = larger;
        t->room[k] = room;
    }
    t->rows[k][t->n[k]++] = *row;
    return DAL_OK;
}

dal_status dal_text_check(uint32_t encoding, const void *data, int64_t n, const char *path, const char *key,
                          int64_t line, dal_error *err)
{
    if (encoding != DAL_UTF8) {
        const char *nul = n > 0 ? memchr(data, '\0', (size_t)n) : NULL;
        return nul ? dal_fail(err, DAL_E_FORMAT, key, "%s:%lld: found a NUL byte, expected text", path, (long long)line)
                   : DAL_OK;
    }
    const int64_t at = dal_utf8_fault(data, n);
    const unsigned char *p = data;
    if (at < 0)
        return DAL_OK;
    if (p[at] == 0)
        return dal_fail(err, DAL_E_FORMAT, key, "%s:%lld: found a NUL byte, expected text", path, (long long)line);
    for (int64_t i = 0; i < at; i++)
        line += p[i] == '\n';
    return dal_fail(err, DAL_E_FORMAT, key,
                    "%s:%lld: byte 0x%02x is no UTF-8; say encoding: latin-1, or mixed where only some texts are not "
                    "UTF-8", path, (long long)line, p[at]);
}

/* ---- labels ----------------------------------------------------------------------------------- */

static int32_t *slot_of(const label_table *l, const char *text, int64_t size)
{
    uint64_t i = dal_hash64(0, text, (size_t)size) & (uint64_t)(l->room - 1);
    for (; l->slots[i] >= 0; i = (i + 1) & (uint64_t)(l->room - 1)) {
        const char *have = l->all[l->slots[i]].text;
        if (strncmp(have, text, (size_t)size) == 0 && have[size] == '\0')
            break;
    }
    return &l->slots[i];
}

static dal_status grow(const dal_host *host, label_table *l, dal_error *err)
{
    const int64_t room = l->room ? 2 * l->room : 64;
    label *all = dal_array(host, room / 2, sizeof *all);
    int32_t *slots = dal_array(host, room, sizeof *slots);
    if (!all || !slots) {
        host->free(host, all);
        host->free(host, slots);
        return no_memory(err);
    }
    if (l->n > 0)
        memcpy(all, l->all, (size_t)l->n * sizeof *all);
    host->free(host, l->all);
    host->free(host, l->slots);
    l->all = all;
    l->slots = slots;
    l->room = room;
    memset(slots, 0xff, (size_t)room * sizeof *slots);
    for (int64_t i = 0; i < l->n; i++)
        *slot_of(l, all[i].text, (int64_t)strlen(all[i].text)) = (int32_t)i;
    return DAL_OK;
}

/* The number of a text in the table, which has room for `most`. kind: "label". */
static dal_status number_of(const dal_host *host, label_table *l, const char *kind, int64_t most, label what,
                            int64_t size, int32_t *number, dal_error *err)
{
    const char *text = what.text;
    if (size >= MAX_LABEL || dal_utf8_fault(text, size) >= 0)
        return dal_fail(err, DAL_E_FORMAT, what.key, "%s:%lld: a %s of %lld bytes%s, expected UTF-8 of fewer than %d",
                        what.path, (long long)what.line, kind, (long long)size,
                        size < MAX_LABEL ? " that are no UTF-8" : "", MAX_LABEL);
    for (int64_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20)
            return dal_fail(err, DAL_E_FORMAT, what.key, "%s:%lld: a %s with the control character 0x%02x", what.path,
                            (long long)what.line, kind, (unsigned)text[i]);
    if (2 * l->n >= l->room) {
        const dal_status st = grow(host, l, err);
        if (st != DAL_OK)
            return st;
    }
    int32_t *slot = slot_of(l, text, size);
    if (*slot < 0) {
        if (l->n == most)
            return dal_fail(err, DAL_E_FORMAT, what.key,
                            "%s:%lld: more than %lld different %ss; is this the right column?", what.path,
                            (long long)what.line, (long long)most, kind);
        char *copy = dal_array(host, size + 1, 1);
        if (!copy)
            return no_memory(err);
        memcpy(copy, text, (size_t)size);
        copy[size] = '\0';
        what.text = copy;
        l->all[l->n] = what;
        *slot = (int32_t)l->n++;
    }
    *number = *slot;
    return DAL_OK;
}

static int is_missing(const char *text, int64_t size)
{
    return size == 0 || (size == 1 && text[0] == '?');
}

dal_status dal_texts_label(dal_texts *t, const char *text, int64_t size, const char *path, const char *key,
                           int64_t line, int32_t *cls, dal_error *err)
{
    const label what = {(char *)(uintptr_t)text, path, key, line, 0};
    *cls = DAL_LABEL_NONE;
    return is_missing(text, size) ? DAL_OK
                                  : number_of(t->host, &t->labels->labels, "label", MAX_CLASSES, what, size, cls, err);
}

/* ---- sources ------------------------------------------------------------------------------------ */

static dal_status grow_sources(dal_texts *t, uint32_t k, dal_error *err)
{
    dal_text_labels *l = t->labels;
    int32_t *larger = dal_array(t->host, t->room[k], sizeof *larger);
    if (!larger)
        return no_memory(err);
    for (int64_t i = 0; i < t->room[k]; i++)
        larger[i] = i < l->source_room[k] ? l->source_of[k][i] : DAL_GROUP_NONE;
    t->host->free(t->host, l->source_of[k]);
    l->source_of[k] = larger;
    l->source_room[k] = t->room[k];
    return DAL_OK;
}

dal_status dal_texts_group(dal_texts *t, uint32_t k, const char *text, int64_t size, const char *path, const char *key,
                           int64_t line, dal_error *err)
{
    const label what = {(char *)(uintptr_t)text, path, key, line, 0};
    dal_text_labels *l = t->labels;
    if (is_missing(text, size))
        return DAL_OK;
    const dal_status st = l->source_room[k] < t->n[k] ? grow_sources(t, k, err) : DAL_OK;
    return st == DAL_OK ? number_of(t->host, &l->sources, "source", MAX_GROUPS, what, size,
                                    &l->source_of[k][t->n[k] - 1], err)
                        : st;
}

/* ---- names of classes --------------------------------------------------------------------------- */

static dal_status add_name(dal_texts *t, const char *text, int64_t size, int64_t room, dal_error *err)
{
    dal_text_labels *l = t->labels;
    if (!l->names) {
        l->names = dal_array(t->host, room, sizeof *l->names);
        if (!l->names)
            return no_memory(err);
    }
    char *copy = dal_array(t->host, size + 1, 1);
    if (!copy)
        return no_memory(err);
    memcpy(copy, text, (size_t)size);
    copy[size] = '\0';
    l->names[l->n_names++] = copy;
    return DAL_OK;
}

static dal_status parse_names(dal_texts *t, dal_lines lines, dal_error *err)
{
    const char *text;
    int64_t n, blank = 0;
    for (;;) {
        const dal_status st = dal_lines_next(&lines, &text, &n, err);
        if (st != DAL_OK || n < 0)
            return st;
        while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
            n--;
        blank += n == 0;
        if (n == 0)
            continue;
        if (blank > 0 || n >= MAX_LABEL || dal_utf8_fault(text, n) >= 0 || t->labels->n_names == MAX_CLASSES)
            return dal_fail(err, DAL_E_FORMAT, "names", "%s:%lld: expected one name of a class a line, UTF-8 of fewer "
                            "than %d bytes, without lines left blank", lines.path, (long long)lines.line - 1,
                            MAX_LABEL);
        const dal_status added = add_name(t, text, n, lines.size + 1, err);
        if (added != DAL_OK)
            return added;
    }
}

static dal_status read_names(dal_texts *t, const char *path, dal_error *err)
{
    dal_file *f = NULL;
    int64_t size;
    dal_status st = dal_file_open(t->host, path, "names", &f, err);
    if (st == DAL_OK)
        st = dal_file_load(f, MAX_NAMES_BYTES, 0, err);
    if (st == DAL_OK) {
        const void *data = dal_file_data(f, &size);
        if (size > MAX_NAMES_BYTES)
            st = dal_fail(err, DAL_E_FORMAT, "names", "%s: %lld bytes, expected one name a line", path,
                          (long long)size);
        else
            st = parse_names(t, dal_lines_open(path, "names", data, size), err);
    }
    dal_file_close(f);
    if (st == DAL_OK && t->labels->n_names == 0)
        st = dal_fail(err, DAL_E_FORMAT, "names", "%s: found no names", path);
    return st;
}

static dal_status take_names(dal_texts *t, const dal_label_rule *rule, dal_error *err)
{
    const dal_text_labels *l = t->labels;
    const char *key = rule->names && rule->names[0] ? "names" : "class_names";
    dal_status st = DAL_OK;
    if (rule->names && rule->names[0] && rule->class_names.n > 0)
        return dal_fail(err, DAL_E_INVALID, "names", "there are class_names already; give one of the two");
    if (rule->names && rule->names[0])
        st = read_names(t, rule->names, err);
    for (int64_t i = 0; i < rule->class_names.n && st == DAL_OK; i++)
        st = add_name(t, rule->class_names.items[i], (int64_t)strlen(rule->class_names.items[i]), rule->class_names.n,
                      err);
    for (int64_t i = 0; i < l->n_names && st == DAL_OK; i++)
        for (int64_t j = 0; j < i && st == DAL_OK; j++)
            if (strcmp(l->names[i], l->names[j]) == 0)
                st = dal_fail(err, DAL_E_INVALID, key, "'%s' names class %lld and class %lld", l->names[i],
                              (long long)j, (long long)i);
    return st;
}

/* ---- classes ---------------------------------------------------------------------------------- */

static int integer(const char *text, int64_t *x)
{
    char *end;
    if (!text[0] || strlen(text) > 19 || strspn(text, "0123456789+-") != strlen(text))
        return 0;
    errno = 0;
    *x = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static int by_number(const void *a, const void *b)
{
    const label *s = *(label *const *)a, *t = *(label *const *)b;
    int64_t x = 0, y = 0;
    integer(s->text, &x);
    integer(t->text, &y);
    return x != y ? (x > y) - (x < y) : strcmp(s->text, t->text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp((*(label *const *)a)->text, (*(label *const *)b)->text);
}

/* The labels in numeric order, when all are integers, else in byte order; the caller frees it. NULL: no memory. */
static label **in_order(const dal_host *host, const label_table *l)
{
    int integers = 1;
    int64_t x;
    label **order = dal_array(host, l->n, sizeof *order);
    for (int64_t i = 0; order && i < l->n; i++) {
        order[i] = &l->all[i];
        integers &= integer(l->all[i].text, &x);
    }
    if (order)
        qsort(order, (size_t)l->n, sizeof *order, integers ? by_number : by_text);
    return order;
}

static int64_t find_name(const dal_text_labels *l, const char *text)
{
    for (int64_t i = 0; i < l->n_names; i++)
        if (strcmp(l->names[i], text) == 0)
            return i;
    return -1;
}

static dal_status by_names(dal_texts *t, dal_error *err)
{
    dal_text_labels *l = t->labels;
    if (l->n_names == 0)
        return dal_fail(err, DAL_E_INVALID, "labels", "names needs class_names, or a file of names");
    for (int64_t i = 0; i < l->labels.n; i++) {
        label *a = &l->labels.all[i];
        a->cls = (int32_t)find_name(l, a->text);
        if (a->cls < 0)
            return dal_fail(err, DAL_E_FORMAT, a->key,
                            "%s:%lld: label '%s' is the name of no class; there are %lld, '%s' to '%s'", a->path,
                            (long long)a->line, a->text, (long long)l->n_names, l->names[0], l->names[l->n_names - 1]);
    }
    t->n_classes = l->n_names;
    return DAL_OK;
}

static dal_status by_counting(dal_texts *t, int64_t base, dal_error *err)
{
    dal_text_labels *l = t->labels;
    int64_t x, n = l->n_names;
    char text[24];
    for (int64_t i = 0; i < l->labels.n; i++) {
        label *a = &l->labels.all[i];
        const int64_t limit = l->n_names ? l->n_names : MAX_CLASSES;
        if (!integer(a->text, &x) || x < base || x - base >= limit)
            return dal_fail(err, DAL_E_FORMAT, a->key, "%s:%lld: label '%s', expected %lld..%lld", a->path,
                            (long long)a->line, a->text, (long long)base, (long long)(base + limit - 1));
        a->cls = (int32_t)(x - base);
        n = x - base >= n ? x - base + 1 : n;
    }
    for (int64_t i = l->n_names; i < n; i++) {
        snprintf(text, sizeof text, "%lld", (long long)(i + base));
        const dal_status st = add_name(t, text, (int64_t)strlen(text), n, err);
        if (st != DAL_OK)
            return st;
    }
    t->n_classes = n;
    return DAL_OK;
}

/* Label k in order is class k; its text is the name when there are no others. */
static dal_status by_order(dal_texts *t, dal_error *err)
{
    dal_text_labels *names = t->labels;
    const label_table *l = &names->labels;
    dal_status st = DAL_OK;
    const int named = names->n_names > 0;
    if (named && l->n != names->n_names)
        return dal_fail(err, DAL_E_INVALID, "labels",
                        "%lld names for %lld different labels, '%s' the first of them; labels: from-0, from-1 or names "
                        "tells which is which",
                        (long long)names->n_names, (long long)l->n, l->n ? l->all[0].text : "");
    label **order = in_order(t->host, l);
    if (!order)
        return no_memory(err);
    for (int64_t i = 0; i < l->n && st == DAL_OK; i++) {
        order[i]->cls = (int32_t)i;
        if (!named)
            st = add_name(t, order[i]->text, (int64_t)strlen(order[i]->text), l->n, err);
    }
    t->host->free(t->host, order);
    t->n_classes = l->n;
    return st;
}

/* Sources, likewise. */
static dal_status settle_sources(dal_texts *t, dal_error *err)
{
    dal_text_labels *l = t->labels;
    if (l->sources.n == 0)
        return DAL_OK;
    label **order = in_order(t->host, &l->sources);
    l->source_names = dal_array(t->host, l->sources.n, sizeof *l->source_names);
    const dal_status st = order && l->source_names ? DAL_OK : no_memory(err);
    for (int64_t i = 0; i < l->sources.n && st == DAL_OK; i++) {
        order[i]->cls = (int32_t)i;
        l->source_names[i] = order[i]->text;
    }
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        for (int64_t i = 0; i < l->source_room[k]; i++)
            if (l->source_of[k][i] >= 0)
                l->source_of[k][i] = l->sources.all[l->source_of[k][i]].cls;
    t->host->free(t->host, order);
    return st;
}

dal_status dal_texts_settle(dal_texts *t, const dal_label_rule *rule, dal_error *err)
{
    dal_text_labels *l = t->labels;
    int64_t known = 0;
    dal_status st = take_names(t, rule, err);
    for (int64_t i = 0; i < l->labels.n; i++)
        known += find_name(l, l->labels.all[i].text) >= 0;
    if (st != DAL_OK)
        return st;
    if (rule->kind == DAL_LABELS_NAMES || (rule->kind == DAL_LABELS_AUTO && l->n_names > 0 && known == l->labels.n))
        st = by_names(t, err);
    else if (rule->kind == DAL_LABELS_AUTO)
        st = by_order(t, err);
    else
        st = by_counting(t, rule->kind == DAL_LABELS_FROM1, err);
    for (uint32_t k = 0; k < DAL_SPLITS && st == DAL_OK; k++)
        for (int64_t i = 0; i < t->n[k]; i++)
            if (t->rows[k][i].cls >= 0)
                t->rows[k][i].cls = l->labels.all[t->rows[k][i].cls].cls;
    t->class_names = (const char *const *)l->names;
    return st == DAL_OK ? settle_sources(t, err) : st;
}

/* ---- slots -------------------------------------------------------------------------------------- */

dal_status dal_texts_info(void *self, dal_dataset_info *info, dal_error *err)
{
    const dal_texts *t = self;
    (void)err;
    info->spec = (dal_sample_spec){.struct_size = sizeof info->spec, .modality = DAL_TEXT, .n_classes = t->n_classes};
    memcpy(info->n, t->n, sizeof info->n);
    info->class_names = t->class_names;
    return DAL_OK;
}

dal_status dal_texts_classes(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const dal_texts *t = self;
    const dal_status st = dal_check_ids(t->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = t->rows[k][ids[i]].cls;
    return st;
}

dal_status dal_texts_sizes(void *self, uint32_t k, const int64_t *ids, int64_t n, int64_t *out, dal_error *err)
{
    const dal_texts *t = self;
    const dal_status st = dal_check_ids(t->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = t->rows[k][ids[i]].size;
    return st;
}

dal_status dal_texts_read(void *self, uint32_t k, const int64_t *ids, int64_t n, dal_batch *out, dal_error *err)
{
    const dal_texts *t = self;
    dal_status st = dal_check_ids(t->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++) {
        const dal_text_row *row = &t->rows[k][ids[i]];
        if (out->offsets[i + 1] - out->offsets[i] != row->size)
            return dal_fail(err, DAL_E_CONTRACT, "", "room for %lld bytes of text %lld, which has %lld",
                            (long long)(out->offsets[i + 1] - out->offsets[i]), (long long)ids[i],
                            (long long)row->size);
        st = t->decode(self, k, row, (char *)out->data + out->offsets[i], err);
    }
    return st;
}

static int64_t count_sources(void *self)
{
    return ((const dal_texts *)self)->labels->sources.n;
}

static const char *name_source(void *self, int64_t g)
{
    return ((const dal_texts *)self)->labels->source_names[g];
}

static dal_status sources(void *self, uint32_t k, const int64_t *ids, int64_t n, int32_t *out, dal_error *err)
{
    const dal_texts *t = self;
    const dal_text_labels *l = t->labels;
    const dal_status st = dal_check_ids(t->n[k], ids, n, err);
    for (int64_t i = 0; i < n && st == DAL_OK; i++)
        out[i] = ids[i] < l->source_room[k] ? l->source_of[k][ids[i]] : DAL_GROUP_NONE;
    return st;
}

const void *dal_texts_get_extension(void *self, const char *id)
{
    static const dal_dataset_groups groups = {
        .struct_size = sizeof groups, .count = count_sources, .name = name_source, .groups = sources};
    return count_sources(self) > 0 && strcmp(id, DAL_CAP_GROUPS) == 0 ? &groups : NULL;
}

void dal_texts_describe(void *self, uint32_t k, int64_t id, char *out, size_t size)
{
    const dal_texts *t = self;
    if (dal_check_ids(t->n[k], &id, 1, NULL) != DAL_OK || !t->path[k]) {
        snprintf(out, size, "%lld", (long long)id);
        return;
    }
    const char *slash = strrchr(t->path[k], '/');
    snprintf(out, size, "%s:%lld", slash ? slash + 1 : t->path[k], (long long)t->rows[k][id].line);
}
