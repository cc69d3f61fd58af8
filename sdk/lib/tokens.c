/* Tokenisers: the object, its marks, sequences. */
#include "tokens.h"

#include <dal/text.h>
#include <utf8proc.h>

int token_is_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13);
    const utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return c == 0x85 || k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

/* ---- opening ------------------------------------------------------------------------------------ */

static dal_status open_words(dal_tokens *t, const dal_tokens_options *o, const token_source *file, dal_error *err)
{
    const token_source given = {"the vocabulary", file->key};
    token_list l;
    if (!o->tokens)
        return vocabulary_read_lines(&t->words, t->host, file, err);
    dal_status st = token_list_new(&l, t->host, o->n_tokens, &given, err);
    for (int64_t i = 0; i < o->n_tokens && st == DAL_OK; i++) {
        l.text[i] = o->tokens[i];
        l.bytes[i] = (int64_t)strlen(o->tokens[i]);
    }
    if (st == DAL_OK)
        st = vocabulary_build(&t->words, t->host, &l, err);
    token_list_free(&l, t->host);
    return st;
}

static void find_specials(dal_tokens *t)
{
    static const char *const names[DAL_TOKEN_MEANINGS][2] = {
        {"[PAD]", "<pad>"}, {"[UNK]", "<unk>"}, {"[CLS]", "<s>"}, {"[SEP]", "</s>"}, {"[MASK]", "<mask>"}};
    const int first = t->kind == DAL_BPE; /* a BPE vocabulary may have [PAD] as any token */
    for (uint32_t k = 0; k < DAL_TOKEN_MEANINGS; k++) {
        t->special[k] = dal_tokens_find(t, names[k][first]);
        if (t->special[k] < 0)
            t->special[k] = dal_tokens_find(t, names[k][!first]);
    }
    if (t->kind == DAL_BPE && t->special[DAL_TOKEN_BEGIN] < 0)
        t->special[DAL_TOKEN_BEGIN] = t->special[DAL_TOKEN_END] = dal_tokens_find(t, "<|endoftext|>");
}

static dal_status open_kind(dal_tokens *t, const dal_tokens_options *o, dal_error *err)
{
    const token_source words = {o->vocabulary, o->vocabulary_key ? o->vocabulary_key : ""};
    const token_source merges = {o->merges, o->merges_key ? o->merges_key : ""};
    if (!o->vocabulary && (t->kind == DAL_BPE || !o->tokens))
        return dal_fail(err, DAL_E_INVALID, words.key, "a tokeniser needs a vocabulary");
    if (t->kind == DAL_BPE && !o->merges)
        return dal_fail(err, DAL_E_INVALID, merges.key, "byte-level BPE needs merges beside its vocabulary");
    dal_status st = t->kind == DAL_BPE ? bpe_open(t, &words, &merges, err) : open_words(t, o, &words, err);
    if (st != DAL_OK)
        return st;
    find_specials(t);
    t->continued = trie_step(&t->words, trie_step(&t->words, TRIE_ROOT, '#'), '#');
    if (t->kind != DAL_BPE && t->special[DAL_TOKEN_UNKNOWN] < 0)
        return dal_fail(err, DAL_E_FORMAT, words.key,
                        "%s: has no [UNK] (or <unk>) among its %lld tokens; expected a vocabulary of one token a line",
                        o->tokens ? "the vocabulary" : words.path, (long long)t->words.n);
    return DAL_OK;
}

dal_status dal_tokens_open(const dal_host *host, const dal_tokens_options *o, dal_tokens **out, dal_error *err)
{
    if (o->kind > DAL_WHITESPACE)
        return dal_fail(err, DAL_E_INVALID, "", "there is no tokeniser of kind %u", o->kind);
    dal_tokens *t = host->alloc(host, sizeof *t, 0);
    if (!t)
        return dal_fail(err, DAL_E_NOMEM, "", "no memory for a tokeniser");
    *t = (dal_tokens){.host = host, .kind = o->kind, .cased = o->cased, .space_first = o->space_first};
    const dal_status st = open_kind(t, o, err);
    if (st == DAL_OK)
        *out = t;
    else
        dal_tokens_close(t);
    return st;
}

void dal_tokens_close(dal_tokens *t)
{
    if (!t)
        return;
    const dal_host *host = t->host;
    bpe_close(t);
    vocabulary_free(&t->words, host);
    host->free(host, t);
}

/* ---- what it is --------------------------------------------------------------------------------- */

int64_t dal_tokens_count(const dal_tokens *t)
{
    return t->words.n;
}

int32_t dal_tokens_find(const dal_tokens *t, const char *token)
{
    return vocabulary_find(&t->words, token, (int64_t)strlen(token));
}

const char *dal_tokens_text(const dal_tokens *t, int32_t token, int64_t *bytes)
{
    const vocabulary *v = &t->words;
    *bytes = 0;
    if (token < 0 || token >= v->n)
        return "";
    *bytes = v->at[token + 1] - v->at[token];
    return v->bytes + v->at[token];
}

int32_t dal_tokens_special(const dal_tokens *t, uint32_t meaning)
{
    return meaning < DAL_TOKEN_MEANINGS ? t->special[meaning] : -1;
}

/* ---- texts -------------------------------------------------------------------------------------- */

int64_t whitespace_encode(const dal_tokens *t, const char *text, int64_t n, int32_t *out, int64_t room)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + n;
    const vocabulary *v = &t->words;
    int64_t count = 0;
    int32_t node = TRIE_ROOT;
    int inside = 0;
    while (count < room && (p < end || inside)) {
        int bytes = 0;
        const uint32_t c = p < end ? dal_utf8_next(p, end, &bytes) : ' ';
        p += bytes;
        if (!token_is_space(c)) {
            char small[4];
            const int m = dal_utf8_put(t->cased ? c : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c), small);
            for (int i = 0; i < m; i++)
                node = trie_step(v, node, (unsigned char)small[i]);
            inside = 1;
        } else if (inside) {
            out[count++] = node > 0 && v->token[node] >= 0 ? v->token[node] : t->special[DAL_TOKEN_UNKNOWN];
            node = TRIE_ROOT;
            inside = 0;
        }
    }
    return count;
}

dal_status dal_tokens_encode(const dal_tokens *t, const char *text, int64_t n, int32_t *out, int64_t room,
                             int64_t *count, dal_error *err)
{
    const int64_t fault = dal_utf8_fault(text, n);
    *count = 0;
    if (fault >= 0)
        return dal_fail(err, DAL_E_INVALID, "", "a text to tokenise is no UTF-8 at byte %lld", (long long)fault);
    if (t->kind == DAL_BPE)
        return bpe_encode(t, text, n, out, room, count, err);
    *count = (t->kind == DAL_WORDPIECE ? wordpiece_encode : whitespace_encode)(t, text, n, out, room);
    return DAL_OK;
}

static dal_status check_marks(const dal_tokens *t, int plain, int64_t length, dal_error *err)
{
    if (!plain && (t->special[DAL_TOKEN_BEGIN] < 0 || t->special[DAL_TOKEN_END] < 0))
        return dal_fail(err, DAL_E_UNSUPPORTED, "", "this vocabulary of %lld tokens has no [CLS] and [SEP] (or <s> and "
                        "</s>) to begin and end sequences with", (long long)t->words.n);
    if (length < 3)
        return dal_fail(err, DAL_E_INVALID, "", "sequences of %lld tokens; expected 3 or more", (long long)length);
    return DAL_OK;
}

dal_status dal_tokens_sequence(const dal_tokens *t, const char *text, int64_t n, int plain, int32_t *out,
                               int64_t length, int64_t *used, dal_error *err)
{
    const int64_t marks = plain ? 0 : 1;
    int64_t count = 0;
    dal_status st = check_marks(t, plain, length, err);
    if (st == DAL_OK)
        st = dal_tokens_encode(t, text, n, out + marks, length - 2 * marks, &count, err);
    if (st != DAL_OK)
        return st;
    *used = count + 2 * marks;
    if (!plain) {
        out[0] = t->special[DAL_TOKEN_BEGIN];
        out[1 + count] = t->special[DAL_TOKEN_END];
    }
    for (int64_t i = *used; i < length; i++)
        out[i] = DAL_TOKEN_NONE;
    return DAL_OK;
}
