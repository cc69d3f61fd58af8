/* Vocabularies of tokenisers: read, checked, and laid out as a trie. */
#include "tokens.h"

#include <dal/file.h>
#include <dal/text.h>
#include <jansson.h>
#include <limits.h>

#define MAX_BYTES ((int64_t)64 << 20) /* of a vocabulary file */

static dal_status no_memory(const token_source *s, dal_error *err)
{
    return dal_fail(err, DAL_E_NOMEM, s->key, "%s: no memory for a vocabulary", s->path);
}

/* The first characters of a token, fit for a message. */
static const char *shown(const char *text, int64_t n, char out[64])
{
    int64_t m = n < 60 ? n : 60;
    while (m < n && m > 0 && ((unsigned char)text[m] & 0xc0) == 0x80)
        m--;
    for (int64_t i = 0; i < m; i++)
        out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    memcpy(out + m, m < n ? "..." : "", m < n ? 4 : 1);
    return out;
}

/* ---- lists -------------------------------------------------------------------------------------- */

dal_status token_list_new(token_list *l, const dal_host *host, int64_t n, const token_source *source, dal_error *err)
{
    *l = (token_list){.n = n, .source = source};
    if (n < 1 || n > DAL_TOKENS_MOST)
        return dal_fail(err, DAL_E_FORMAT, source->key, "%s: %lld tokens, expected 1 to %lld", source->path,
                        (long long)n, (long long)DAL_TOKENS_MOST);
    l->text = dal_array(host, n, sizeof *l->text);
    l->bytes = dal_array(host, n, sizeof *l->bytes);
    return l->text && l->bytes ? DAL_OK : no_memory(source, err);
}

void token_list_free(token_list *l, const dal_host *host)
{
    host->free(host, l->bytes);
    host->free(host, l->text);
}

static void name_of(const token_list *l, int64_t i, char *out, size_t size)
{
    if (l->by_line)
        snprintf(out, size, "%s:%lld", l->source->path, (long long)i + 1);
    else
        snprintf(out, size, "%s: token %lld", l->source->path, (long long)i);
}

static dal_status check_token(const token_list *l, int64_t i, dal_error *err)
{
    char name[512];
    if (l->bytes[i] > 0 && l->bytes[i] <= DAL_TOKEN_BYTES && dal_utf8_fault(l->text[i], l->bytes[i]) < 0)
        return DAL_OK;
    name_of(l, i, name, sizeof name);
    if (l->bytes[i] == 0)
        return dal_fail(err, DAL_E_FORMAT, l->source->key, "%s: an empty token; expected one token a line", name);
    if (l->bytes[i] > DAL_TOKEN_BYTES)
        return dal_fail(err, DAL_E_FORMAT, l->source->key, "%s: a token of %lld bytes, expected at most %d", name,
                        (long long)l->bytes[i], DAL_TOKEN_BYTES);
    return dal_fail(err, DAL_E_FORMAT, l->source->key, "%s: byte %lld of this token is no UTF-8", name,
                    (long long)dal_utf8_fault(l->text[i], l->bytes[i]) + 1);
}

/* ---- the trie ----------------------------------------------------------------------------------- */

static void put_edge(vocabulary *v, uint64_t key, int32_t to)
{
    const uint64_t mask = (uint64_t)v->n_slots - 1;
    uint64_t i = (key * 0x9e3779b97f4a7c15u) >> 20 & mask;
    while (v->edge_key[i] != 0)
        i = (i + 1) & mask;
    v->edge_key[i] = key;
    v->edge_to[i] = to;
}

/* Room for `nodes` more nodes. */
static dal_status trie_reserve(vocabulary *v, const dal_host *host, int64_t nodes)
{
    vocabulary more = *v;
    if (v->n_nodes + nodes > INT32_MAX / 4)
        return DAL_E_OVERFLOW;
    if (2 * (v->n_nodes + nodes) <= v->n_slots)
        return DAL_OK;
    for (more.n_slots = v->n_slots ? v->n_slots : 4096; more.n_slots < 2 * (v->n_nodes + nodes);)
        more.n_slots *= 2;
    more.edge_key = dal_array(host, more.n_slots, sizeof *more.edge_key);
    more.edge_to = dal_array(host, more.n_slots, sizeof *more.edge_to);
    more.token = dal_array(host, more.n_slots / 2 + 1, sizeof *more.token);
    if (!more.edge_key || !more.edge_to || !more.token) {
        host->free(host, more.edge_key);
        host->free(host, more.edge_to);
        host->free(host, more.token);
        return DAL_E_NOMEM;
    }
    memset(more.edge_key, 0, (size_t)more.n_slots * sizeof *more.edge_key);
    for (int64_t i = 0; i < v->n_slots; i++)
        if (v->edge_key[i] != 0)
            put_edge(&more, v->edge_key[i], v->edge_to[i]);
    for (int64_t i = 0; i <= v->n_nodes && v->token; i++)
        more.token[i] = v->token[i];
    host->free(host, v->edge_key);
    host->free(host, v->edge_to);
    host->free(host, v->token);
    *v = more;
    return DAL_OK;
}

/* The node of bytes[n], made if need be. There is room. */
static int32_t trie_add(vocabulary *v, const char *bytes, int64_t n)
{
    int32_t node = TRIE_ROOT;
    for (int64_t i = 0; i < n; i++) {
        const unsigned char b = (unsigned char)bytes[i];
        int32_t next = trie_step(v, node, b);
        if (next == 0) {
            next = (int32_t)++v->n_nodes;
            v->token[next] = -1;
            put_edge(v, (uint64_t)(uint32_t)node << 8 | b, next);
        }
        node = next;
    }
    return node;
}

int32_t vocabulary_find(const vocabulary *v, const char *bytes, int64_t n)
{
    int32_t node = TRIE_ROOT;
    for (int64_t i = 0; i < n && node != 0; i++)
        node = trie_step(v, node, (unsigned char)bytes[i]);
    return node != 0 ? v->token[node] : -1;
}

static dal_status add_token(vocabulary *v, const dal_host *host, const token_list *l, int64_t i, dal_error *err)
{
    const dal_status st = trie_reserve(v, host, l->bytes[i] + 1);
    if (st != DAL_OK)
        return st == DAL_E_NOMEM ? no_memory(l->source, err)
                                 : dal_fail(err, st, l->source->key, "%s: too large a vocabulary", l->source->path);
    if (v->n_nodes == 0) { /* the root, of the empty token that there is none of */
        v->n_nodes = TRIE_ROOT;
        v->token[0] = v->token[TRIE_ROOT] = -1;
    }
    const int32_t node = trie_add(v, l->text[i], l->bytes[i]);
    if (v->token[node] >= 0) {
        char name[512], token[64];
        name_of(l, i, name, sizeof name);
        return dal_fail(err, DAL_E_FORMAT, l->source->key, "%s: '%s' is %s %lld already; expected each token once",
                        name, shown(l->text[i], l->bytes[i], token), l->by_line ? "in line" : "token",
                        (long long)v->token[node] + l->by_line);
    }
    v->token[node] = (int32_t)i;
    memcpy(v->bytes + v->at[i], l->text[i], (size_t)l->bytes[i]);
    return DAL_OK;
}

dal_status vocabulary_build(vocabulary *v, const dal_host *host, const token_list *l, dal_error *err)
{
    dal_status st = DAL_OK;
    int64_t bytes = 0;
    v->n = l->n;
    v->at = dal_array(host, l->n + 1, sizeof *v->at);
    if (!v->at)
        return no_memory(l->source, err);
    for (int64_t i = 0; i < l->n && st == DAL_OK; i++) {
        v->at[i] = bytes;
        st = check_token(l, i, err);
        bytes += l->bytes[i];
    }
    if (st != DAL_OK)
        return st;
    v->at[l->n] = bytes;
    v->bytes = dal_array(host, bytes, 1);
    if (!v->bytes)
        return no_memory(l->source, err);
    for (int64_t i = 0; i < l->n && st == DAL_OK; i++)
        st = add_token(v, host, l, i, err);
    return st;
}

void vocabulary_free(vocabulary *v, const dal_host *host)
{
    host->free(host, v->token);
    host->free(host, v->edge_to);
    host->free(host, v->edge_key);
    host->free(host, v->at);
    host->free(host, v->bytes);
}

/* ---- files -------------------------------------------------------------------------------------- */

static dal_status open_file(const dal_host *host, const token_source *s, dal_file **file, const char **data,
                            int64_t *size, dal_error *err)
{
    dal_status st = dal_file_open(host, s->path, s->key, file, err);
    if (st == DAL_OK)
        st = dal_file_load(*file, MAX_BYTES, 0, err);
    if (st != DAL_OK)
        return st;
    *data = (const char *)dal_file_data(*file, size);
    if (*size > MAX_BYTES)
        return dal_fail(err, DAL_E_FORMAT, s->key, "%s: %lld bytes are no vocabulary, expected at most %lld", s->path,
                        (long long)*size, (long long)MAX_BYTES);
    return DAL_OK;
}

/* The lines of data into l, or only their number when l is NULL. */
static dal_status split_lines(const token_source *s, const char *data, int64_t size, token_list *l, int64_t *n,
                              dal_error *err)
{
    dal_lines lines = dal_lines_open(s->path, s->key, data, size);
    const char *text;
    int64_t bytes;
    for (*n = 0;; ++*n) {
        const dal_status st = dal_lines_next(&lines, &text, &bytes, err);
        if (st != DAL_OK || bytes < 0)
            return st;
        if (l) {
            l->text[*n] = text;
            l->bytes[*n] = bytes;
        }
    }
}

dal_status vocabulary_read_lines(vocabulary *v, const dal_host *host, const token_source *s, dal_error *err)
{
    dal_file *file = NULL;
    const char *data = NULL;
    int64_t size = 0, n = 0;
    token_list l = {0};
    dal_status st = open_file(host, s, &file, &data, &size, err);
    if (st == DAL_OK)
        st = split_lines(s, data, size, NULL, &n, err);
    if (st == DAL_OK)
        st = token_list_new(&l, host, n, s, err);
    if (st == DAL_OK)
        st = split_lines(s, data, size, &l, &n, err);
    l.by_line = 1;
    if (st == DAL_OK)
        st = vocabulary_build(v, host, &l, err);
    token_list_free(&l, host);
    dal_file_close(file);
    return st;
}

static dal_status take_members(json_t *root, const token_source *s, token_list *l, dal_error *err)
{
    char token[64], other[64];
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        const json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
        if (number < 0 || number >= l->n)
            return dal_fail(err, DAL_E_FORMAT, s->key, "%s: token '%s' has %s; expected a number 0..%lld, each once",
                            s->path, shown(key, (int64_t)strlen(key), token),
                            json_is_integer(value) ? "a number beyond its tokens" : "no whole number",
                            (long long)l->n - 1);
        if (l->text[number])
            return dal_fail(err, DAL_E_FORMAT, s->key, "%s: tokens '%s' and '%s' both have the number %lld", s->path,
                            shown(l->text[number], l->bytes[number], other), shown(key, (int64_t)strlen(key), token),
                            (long long)number);
        l->text[number] = key;
        l->bytes[number] = (int64_t)strlen(key);
    }
    return DAL_OK;
}

static dal_status read_members(vocabulary *v, const dal_host *host, const token_source *s, json_t *root, dal_error *err)
{
    token_list l = {0};
    if (!json_is_object(root))
        return dal_fail(err, DAL_E_FORMAT, s->key, "%s: expected a JSON object of token: number", s->path);
    dal_status st = token_list_new(&l, host, (int64_t)json_object_size(root), s, err);
    for (int64_t i = 0; i < l.n && st == DAL_OK; i++)
        l.text[i] = NULL;
    if (st == DAL_OK)
        st = take_members(root, s, &l, err);
    if (st == DAL_OK)
        st = vocabulary_build(v, host, &l, err);
    token_list_free(&l, host);
    return st;
}

dal_status vocabulary_read_json(vocabulary *v, const dal_host *host, const token_source *s, dal_error *err)
{
    dal_file *file = NULL;
    const char *data = NULL;
    int64_t size = 0;
    json_error_t e;
    char what[64];
    dal_status st = open_file(host, s, &file, &data, &size, err);
    json_t *root = st == DAL_OK ? json_loadb(data, (size_t)size, JSON_REJECT_DUPLICATES, &e) : NULL;
    if (st == DAL_OK && !root)
        st = dal_fail(err, DAL_E_FORMAT, s->key, "%s:%d:%d: %s; expected a JSON object of token: number", s->path,
                      e.line, e.column, shown(e.text, (int64_t)strlen(e.text), what));
    if (st == DAL_OK)
        st = read_members(v, host, s, root, err);
    json_decref(root);
    dal_file_close(file);
    return st;
}
