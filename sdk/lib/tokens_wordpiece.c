/* WordPiece: character by character, in fixed memory.
 *
 * A code point goes down through: clean (drop, white space, ideographs), make small, decompose, drop marks, put what is
 * left into canonical order, split at punctuation; a word that ends there is cut into pieces.
 */
#include "tokens.h"

#include <dal/text.h>
#include <utf8proc.h>

#define WORD 100 /* characters of a word that is looked at */

typedef struct words {
    const dal_tokens *t;
    int32_t *out;
    int64_t room, n;
    int64_t characters, bytes; /* of the word; beyond WORD characters they are only counted */
    char word[4 * WORD];
    int n_held; /* characters that combine and may have to change places */
    uint32_t held[WORD];
    int held_class[WORD];
} words;

/* ---- pieces ------------------------------------------------------------------------------------- */

/* The longest piece from `node` on at the beginning of p[n]: its bytes, or 0. */
static int64_t longest(const vocabulary *v, int32_t node, const char *p, int64_t n, int32_t *token)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n && node != 0; i++) {
        node = trie_step(v, node, (unsigned char)p[i]);
        if (node != 0 && v->token[node] >= 0) {
            *token = v->token[node];
            found = i + 1;
        }
    }
    return found;
}

static void cut_word(words *w)
{
    const vocabulary *v = &w->t->words;
    int32_t piece[4 * WORD];
    int64_t n = 0, at = 0;
    int ok = w->characters <= WORD;
    while (ok && at < w->bytes) {
        const int64_t size = longest(v, at == 0 ? TRIE_ROOT : w->t->continued, w->word + at, w->bytes - at, &piece[n]);
        ok = size > 0;
        at += size;
        n += ok;
    }
    if (!ok) {
        piece[0] = w->t->special[DAL_TOKEN_UNKNOWN];
        n = 1;
    }
    for (int64_t i = 0; i < n && w->n < w->room; i++)
        w->out[w->n++] = piece[i];
    w->characters = w->bytes = 0;
}

static void append(words *w, uint32_t c)
{
    if (w->characters++ < WORD)
        w->bytes += dal_utf8_put(c, w->word + w->bytes);
}

static int is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    const utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

/* A character as the vocabulary has it. */
static void take(words *w, uint32_t c)
{
    const int alone = is_punctuation(c);
    if (alone && w->characters > 0)
        cut_word(w);
    append(w, c);
    if (alone)
        cut_word(w);
}

/* ---- normalising -------------------------------------------------------------------------------- */

static void release(words *w)
{
    for (int i = 0; i < w->n_held; i++)
        take(w, w->held[i]);
    w->n_held = 0;
}

/* A decomposed character. Few that combine are no marks without width: those wait until their order is known. */
static void arrive(words *w, uint32_t c)
{
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)c);
    const int order = p->combining_class;
    if (order == 0)
        release(w);
    if (p->category == UTF8PROC_CATEGORY_MN)
        return;
    if (order == 0) {
        take(w, c);
    } else if (w->n_held == WORD) {
        w->characters = WORD + 1; /* of so many the word is unknown in any order */
    } else {
        int i = w->n_held++;
        for (; i > 0 && w->held_class[i - 1] > order; i--) {
            w->held[i] = w->held[i - 1];
            w->held_class[i] = w->held_class[i - 1];
        }
        w->held[i] = c;
        w->held_class[i] = order;
    }
}

static void normalise(words *w, uint32_t c)
{
    utf8proc_int32_t parts[32];
    int boundary = 0;
    if (w->t->cased || c < 0x80) {
        if (w->n_held > 0)
            release(w);
        take(w, !w->t->cased && c >= 'A' && c <= 'Z' ? c + 32 : c);
        return;
    }
    const utf8proc_ssize_t n = utf8proc_decompose_char(utf8proc_tolower((utf8proc_int32_t)c), parts, 32,
                                                       UTF8PROC_DECOMPOSE, &boundary);
    for (utf8proc_ssize_t i = 0; i < n && i < 32; i++)
        arrive(w, (uint32_t)parts[i]);
}

static void end_word(words *w)
{
    release(w);
    if (w->characters > 0)
        cut_word(w);
}

/* ---- cleaning ----------------------------------------------------------------------------------- */

static int is_ideograph(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b820 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/* Dropped: U+FFFD and category C (control, format, private use, not assigned), but for tab and line ends. */
static int is_dropped(uint32_t c)
{
    if (c < 0x80)
        return (c < 32 && c != '\t' && c != '\n' && c != '\r') || c == 127;
    const utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
    return c == 0xfffd || k == UTF8PROC_CATEGORY_CN || (k >= UTF8PROC_CATEGORY_CC && k <= UTF8PROC_CATEGORY_CO);
}

int64_t wordpiece_encode(const dal_tokens *t, const char *text, int64_t n, int32_t *out, int64_t room)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + n;
    words w = {.t = t, .out = out, .room = room};
    while (p < end && w.n < room) {
        int bytes;
        const uint32_t c = dal_utf8_next(p, end, &bytes);
        p += bytes;
        if (is_dropped(c))
            continue;
        if (token_is_space(c)) {
            end_word(&w);
        } else if (is_ideograph(c)) {
            end_word(&w);
            normalise(&w, c);
            end_word(&w);
        } else {
            normalise(&w, c);
        }
    }
    if (w.n < room)
        end_word(&w);
    return w.n;
}
