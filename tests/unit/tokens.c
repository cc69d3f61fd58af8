#include "tests/unit/texts.h"
#include "tests/unit/transforms.h"

#include <dal/rng.h>
#include <dal/text.h>
#include <dal/tokens.h>

#include "plugins/transforms/tokenise.c"

/* ---- what tests share --------------------------------------------------------------------------- */

static dal_runtime *rt;
static const dal_host *host;

static void set_up(void)
{
    rt = fx_runtime(1, 0);
    host = dal_runtime_host(rt, "tokens");
}

static void tear_down(void)
{
    cr_assert_eq(dal_runtime_allocated(rt), 0, "something is left");
    dal_runtime_free(rt);
}

TestSuite(tokens, .init = set_up, .fini = tear_down);

static dal_tokens *open_with(const dal_tokens_options *o)
{
    dal_error err = DAL_ERROR_INIT;
    dal_tokens *t = NULL;
    cr_assert_eq(dal_tokens_open(host, o, &t, &err), DAL_OK, "%s: %s", err.key, err.text);
    return t;
}

static dal_tokens *of_words(uint32_t kind, const char *const *words, int64_t n, uint32_t cased)
{
    const dal_tokens_options o = {.struct_size = sizeof o, .kind = kind, .tokens = words, .n_tokens = n,
                                  .cased = cased};
    return open_with(&o);
}

static void refuse(const dal_tokens_options *o, dal_status st, const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    dal_tokens *t = NULL;
    fx_expect(&err, dal_tokens_open(host, o, &t, &err), st, key, words);
    cr_assert_null(t);
    cr_assert_null(strpbrk(err.text, "\n\033"));
}

/* The tokens of a text as the vocabulary writes them, with blanks between. */
static const char *pieces(const dal_tokens *t, const char *text)
{
    static char out[4096];
    dal_error err = DAL_ERROR_INIT;
    int32_t ids[512];
    int64_t n, bytes;
    cr_assert_eq(dal_tokens_encode(t, text, (int64_t)strlen(text), ids, 512, &n, &err), DAL_OK, "%s", err.text);
    out[0] = '\0';
    for (int64_t i = 0; i < n; i++) {
        const char *token = dal_tokens_text(t, ids[i], &bytes);
        strcat(out, i ? " " : "");
        strncat(out, token, (size_t)bytes);
    }
    return out;
}

static const char *numbers(const dal_tokens *t, const char *text)
{
    static char out[4096];
    dal_error err = DAL_ERROR_INIT;
    int32_t ids[512];
    int64_t n, at = 0;
    cr_assert_eq(dal_tokens_encode(t, text, (int64_t)strlen(text), ids, 512, &n, &err), DAL_OK, "%s", err.text);
    out[0] = '\0';
    for (int64_t i = 0; i < n; i++)
        at += snprintf(out + at, sizeof out - (size_t)at, "%s%d", i ? " " : "", ids[i]);
    return out;
}

/* ---- WordPiece ---------------------------------------------------------------------------------- */

/* The vocabulary of the tests that came with BERT. */
static const char *const bert[] = {"[UNK]", "[CLS]", "[SEP]", "want", "##want", "##ed", "wa", "un", "runn", "##ing",
                                   ","};

Test(tokens, wordpiece_gives_the_examples_of_bert)
{
    dal_tokens *t = of_words(DAL_WORDPIECE, bert, 11, 0);
    cr_assert_str_eq(pieces(t, ""), "");
    cr_assert_str_eq(pieces(t, "unwanted running"), "un ##want ##ed runn ##ing");
    cr_assert_str_eq(pieces(t, "unwantedX running"), "[UNK] runn ##ing");
    cr_assert_str_eq(numbers(t, "UNwant\xc3\xa9\x64,running"), "7 4 5 10 8 9");
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_UNKNOWN), 0);
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_BEGIN), 1);
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_END), 2);
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_PAD), DAL_TOKEN_NONE);
    cr_assert_eq(dal_tokens_special(t, 99), DAL_TOKEN_NONE);
    dal_tokens_close(t);
}

Test(tokens, wordpiece_cleans_splits_and_drops_marks)
{
    static const char *const words[] = {"[UNK]", "a", "##b", "b", "!", "\xe4\xb8\xad", "i", "##1", "\xe2\x80\x94", "[",
                                        "]", "unk", "##a"};
    dal_tokens *t = of_words(DAL_WORDPIECE, words, 13, 0), *cased = of_words(DAL_WORDPIECE, words, 13, 1);
    cr_assert_str_eq(pieces(t, " \tA\xc2\xa0\x42\r\n!!a\xe2\x80\xa8\x62"), "a b ! ! a b"); /* no-break space, U+2028 */
    cr_assert_str_eq(pieces(t, "\xc3\x84\x62 a\xcc\x88\x62"), "a ##b a ##b");              /* both ways to write it */
    /* soft hyphen, U+FFFD, BEL, U+200B */
    cr_assert_str_eq(pieces(t, "a\xc2\xad\x62\xef\xbf\xbd\x07 a\xe2\x80\x8b\x62"), "a ##b a ##b");
    cr_assert_str_eq(pieces(t, "a\xe4\xb8\xad\x61"), "a \xe4\xb8\xad a");
    cr_assert_str_eq(pieces(t, "a\xe2\x80\x94\x62"), "a \xe2\x80\x94 b");
    cr_assert_str_eq(pieces(t, "\xc4\xb0\x31"), "i ##1"); /* capital i with a dot */
    cr_assert_str_eq(pieces(t, "[UNK]"), "[ unk ]");      /* a text is plain */
    cr_assert_str_eq(pieces(t, "ba bc"), "b ##a [UNK]");
    cr_assert_str_eq(pieces(cased, "A a \xc3\xa4"), "[UNK] a [UNK]");
    dal_tokens_close(cased);
    dal_tokens_close(t);
}

Test(tokens, a_word_of_more_than_100_characters_is_unknown)
{
    static const char *const words[] = {"[UNK]", "a", "##a", "\xce\xb1", "##\xce\xb1"};
    dal_tokens *t = of_words(DAL_WORDPIECE, words, 5, 0);
    char text[256];
    int32_t ids[300];
    int64_t n;
    for (int length = 99; length <= 102; length++) {
        memset(text, 'a', (size_t)length);
        cr_assert_eq(dal_tokens_encode(t, text, length, ids, 300, &n, NULL), DAL_OK);
        cr_assert_eq(n, length <= 100 ? length : 1);
        cr_assert_eq(ids[0], length <= 100 ? 1 : 0);
    }
    for (int i = 0; i < 100; i++) /* characters, not bytes */
        memcpy(text + 2 * i, "\xce\x91", 2);
    cr_assert_eq(dal_tokens_encode(t, text, 200, ids, 300, &n, NULL), DAL_OK);
    cr_assert_eq(n, 100);
    cr_assert_eq(dal_tokens_encode(t, text, 200, ids, 7, &n, NULL), DAL_OK);
    cr_assert_eq(n, 7, "the room ends inside a word");
    dal_tokens_close(t);
}

Test(tokens, texts_that_are_no_text_are_refused)
{
    dal_tokens *t = of_words(DAL_WORDPIECE, bert, 11, 0);
    dal_error err = DAL_ERROR_INIT;
    int32_t ids[8];
    int64_t n;
    fx_expect(&err, dal_tokens_encode(t, "want \xff", 6, ids, 8, &n, &err), DAL_E_INVALID, "", "no UTF-8 at byte 5");
    dal_tokens_close(t);
}

Test(tokens, sequences_begin_end_and_are_cut)
{
    dal_tokens *t = of_words(DAL_WORDPIECE, bert, 11, 0), *plain = of_words(DAL_WHITESPACE, bert, 1, 0);
    dal_error err = DAL_ERROR_INIT;
    int32_t ids[6];
    int64_t used;
    cr_assert_eq(dal_tokens_sequence(t, "want", 4, 0, ids, 6, &used, &err), DAL_OK);
    cr_assert_arr_eq(ids, ((int32_t[]){1, 3, 2, -1, -1, -1}), sizeof ids);
    cr_assert_eq(used, 3);
    cr_assert_eq(dal_tokens_sequence(t, "unwanted, want", 14, 0, ids, 6, &used, &err), DAL_OK);
    cr_assert_arr_eq(ids, ((int32_t[]){1, 7, 4, 5, 10, 2}), sizeof ids);
    cr_assert_eq(used, 6);
    cr_assert_eq(dal_tokens_sequence(t, "", 0, 1, ids, 6, &used, &err), DAL_OK);
    cr_assert_eq(used, 0);
    cr_assert_eq(ids[0], DAL_TOKEN_NONE);
    fx_expect(&err, dal_tokens_sequence(t, "", 0, 0, ids, 2, &used, &err), DAL_E_INVALID, "", "3 or more");
    fx_expect(&err, dal_tokens_sequence(plain, "", 0, 0, ids, 6, &used, &err), DAL_E_UNSUPPORTED, "",
              "has no [CLS] and [SEP]");
    dal_tokens_close(plain);
    dal_tokens_close(t);
}

/* ---- byte-level BPE ----------------------------------------------------------------------------- */

/* vocab.json: the 256 bytes in their order (so that plain ASCII letter c is token c), then `more`; the path. */
static const char *byte_vocabulary(const char *name, const char *const *more, int64_t n)
{
    static char json[65536];
    int at = 0, next = 256;
    at += snprintf(json, sizeof json, "{");
    for (int b = 0; b < 256; b++) {
        const int itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        at += snprintf(json + at, sizeof json - (size_t)at, "\"\\u%04x\": %d, ", itself ? b : next, b);
        next += !itself;
    }
    for (int64_t i = 0; i < n; i++)
        at += snprintf(json + at, sizeof json - (size_t)at, "\"%s\": %d, ", more[i], (int)(256 + i));
    json[at - 2] = '}';
    json[at - 1] = '\0';
    return fx_text(name, json);
}

/* The example of the tests that came with GPT-2's tokeniser in PyTorch: "lower newer". */
static const char *const lower[] = {"\xc4\xa0l", "\xc4\xa0lo", "\xc4\xa0low", "er"};
#define LOWER_MERGES "#version: 0.2\n\xc4\xa0 l\n\xc4\xa0l o\n\xc4\xa0lo w\ne r\n"

static dal_tokens *open_bpe(const char *vocabulary, const char *merges, uint32_t space_first)
{
    const dal_tokens_options o = {.struct_size = sizeof o, .kind = DAL_BPE, .vocabulary = vocabulary, .merges = merges,
                                  .space_first = space_first};
    return open_with(&o);
}

Test(tokens, bpe_merges_the_first_pairs_first)
{
    const char *v = byte_vocabulary("vocab.json", lower, 4);
    dal_tokens *t = open_bpe(v, fx_text("merges.txt", LOWER_MERGES), 1),
        *plain = open_bpe(v, fx_text("merges.txt", LOWER_MERGES), 0);
    cr_assert_eq(dal_tokens_count(t), 260);
    cr_assert_str_eq(pieces(t, "lower newer"), "\xc4\xa0low er \xc4\xa0 n e w er");
    cr_assert_str_eq(pieces(plain, "lower newer"), "l o w er \xc4\xa0 n e w er");
    cr_assert_str_eq(pieces(t, " lower"), "\xc4\xa0low er");
    cr_assert_str_eq(pieces(t, ""), "");
    cr_assert_str_eq(numbers(plain, "\xc3\xa9\n"), "195 169 10");
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_BEGIN), DAL_TOKEN_NONE);
    dal_tokens_close(plain);
    dal_tokens_close(t);
}

/* Pairs of the lowest rank merge wherever they are before what they make does: all of it once more, slowly. */
static int64_t merge_slowly(const dal_tokens *t, const int32_t (*rules)[3], int n_rules, int32_t *a, int64_t n)
{
    (void)t;
    for (;;) {
        int best = n_rules;
        for (int64_t i = 0; i + 1 < n; i++)
            for (int r = 0; r < best; r++)
                if (rules[r][0] == a[i] && rules[r][1] == a[i + 1])
                    best = r;
        if (best == n_rules)
            return n;
        int64_t m = 0;
        for (int64_t i = 0; i < n; m++) {
            const int two = i + 1 < n && rules[best][0] == a[i] && rules[best][1] == a[i + 1];
            a[m] = two ? rules[best][2] : a[i];
            i += two ? 2 : 1;
        }
        n = m;
    }
}

Test(tokens, bpe_does_what_slow_merging_does)
{
    /* every merge of pieces of a, b and c up to four long, in an order that no training would give */
    enum { PIECES = 3 + 9 + 27 + 81, RULES = 60 };
    static char piece[PIECES][8], merges[RULES * 16];
    const char *more[PIECES];
    int32_t rules[RULES][3];
    int n = 0, n_rules = 0, at = 0;
    for (int length = 1; length <= 4; length++)
        for (int k = 0, all = length == 1 ? 3 : length == 2 ? 9 : length == 3 ? 27 : 81; k < all; k++, n++)
            for (int i = 0, rest = k; i < length; i++, rest /= 3)
                piece[n][i] = (char)('a' + rest % 3);
    for (int i = 3; i < PIECES; i++)
        more[i - 3] = piece[i];
    dal_rng r = host->rng(host, "rules", 0);
    while (n_rules < RULES) {
        const int i = (int)dal_rng_below(&r, PIECES), j = (int)dal_rng_below(&r, PIECES);
        char both[16];
        int32_t made = -1, seen = 0;
        snprintf(both, sizeof both, "%s%s", piece[i], piece[j]);
        for (int k = 3; k < PIECES; k++)
            if (strcmp(piece[k], both) == 0)
                made = 256 + k - 3;
        const int32_t a = i < 3 ? 'a' + i : 256 + i - 3, b = j < 3 ? 'a' + j : 256 + j - 3;
        for (int k = 0; k < n_rules; k++)
            seen |= rules[k][0] == a && rules[k][1] == b;
        if (made < 0 || seen)
            continue;
        memcpy(rules[n_rules++], (int32_t[]){a, b, made}, sizeof *rules);
        at += snprintf(merges + at, sizeof merges - (size_t)at, "%s %s\n", piece[i], piece[j]);
    }
    dal_tokens *t = open_bpe(byte_vocabulary("vocab.json", more, PIECES - 3), fx_text("merges.txt", merges), 0);
    for (int trial = 0; trial < 4000; trial++) {
        char text[200];
        int32_t got[200], want[200];
        int64_t count;
        const int64_t size = 1 + dal_rng_below(&r, trial < 3000 ? 20 : 199);
        for (int64_t i = 0; i < size; i++)
            want[i] = text[i] = (char)('a' + dal_rng_below(&r, 3));
        const int64_t n_want = merge_slowly(t, rules, RULES, want, size);
        for (int again = 0; again < 2; again++) { /* from the cache, too */
            cr_assert_eq(dal_tokens_encode(t, text, size, got, 200, &count, NULL), DAL_OK);
            cr_assert_eq(count, n_want, "%.*s", (int)size, text);
            cr_assert_arr_eq(got, want, (size_t)count * sizeof *got, "%.*s", (int)size, text);
        }
    }
    dal_tokens_close(t);
}

Test(tokens, bpe_of_a_very_long_word_is_soon_done)
{
    static const char *const more[] = {"aa", "aaaa"};
    dal_tokens *t = open_bpe(byte_vocabulary("vocab.json", more, 2), fx_text("merges.txt", "a a\naa aa\n"), 0);
    const int64_t n = 1 << 20;
    char *text = malloc((size_t)n);
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    int64_t count;
    memset(text, 'a', (size_t)n);
    cr_assert_eq(dal_tokens_encode(t, text, n, ids, n, &count, NULL), DAL_OK);
    cr_assert_eq(count, n / 4);
    cr_assert_eq(ids[count - 1], 257);
    free(ids);
    free(text);
    dal_tokens_close(t);
}

/* ---- hostile files ------------------------------------------------------------------------------ */

Test(tokens, vocabularies_that_are_none_are_refused)
{
    dal_tokens_options o = {.struct_size = sizeof o, .kind = DAL_WORDPIECE, .vocabulary_key = "vocabulary"};
    static char huge[3000];
    memset(huge, 'x', sizeof huge - 1);
    refuse(&o, DAL_E_INVALID, "vocabulary", "needs a vocabulary");
    o.vocabulary = fx_path("nowhere.txt");
    refuse(&o, DAL_E_NOT_FOUND, "vocabulary", "cannot open");
    o.vocabulary = fx_text("twice.txt", "[UNK]\na\nb\na\n");
    refuse(&o, DAL_E_FORMAT, "vocabulary", "twice.txt:4: 'a' is in line 2 already");
    o.vocabulary = fx_text("hole.txt", "[UNK]\n\na\n");
    refuse(&o, DAL_E_FORMAT, "vocabulary", "hole.txt:2: an empty token");
    o.vocabulary = fx_text("empty.txt", "");
    refuse(&o, DAL_E_FORMAT, "vocabulary", "0 tokens");
    o.vocabulary = fx_text("huge.txt", huge);
    refuse(&o, DAL_E_FORMAT, "vocabulary", "huge.txt:1: a token of 2999 bytes");
    o.vocabulary = fx_text("latin.txt", "[UNK]\nna\xefve\n");
    refuse(&o, DAL_E_FORMAT, "vocabulary", "latin.txt:2: byte 3 of this token is no UTF-8");
    o.vocabulary = fx_write("nul.txt", "[UNK]\na\0b\n", 10);
    refuse(&o, DAL_E_FORMAT, "vocabulary", "nul.txt:2:2: found a NUL byte");
    o.vocabulary = fx_text("none.txt", "a\nb\n");
    refuse(&o, DAL_E_FORMAT, "vocabulary", "has no [UNK]");
    o.vocabulary = fx_path(".");
    refuse(&o, DAL_E_IO, "vocabulary", "found a directory");
    o.kind = 7;
    refuse(&o, DAL_E_INVALID, "", "no tokeniser of kind 7");
}

Test(tokens, bpe_files_that_do_not_belong_together_are_refused)
{
    dal_tokens_options o = {.struct_size = sizeof o, .kind = DAL_BPE, .vocabulary_key = "vocabulary",
                            .merges_key = "merges"};
    o.vocabulary = byte_vocabulary("good.json", lower, 4);
    refuse(&o, DAL_E_INVALID, "merges", "needs merges");
    static const char *const merges[][2] = {
        {"x", "merges.txt:1: expected two tokens"},          {"e r\n\n", "merges.txt:2: expected two tokens"},
        {"e r s\n", "merges.txt:1: expected two tokens"},
        {"e r\ne r\n", "merges.txt:2: this pair is in a line before"},
        {"e x\n", "1: what the two tokens become is not in"}, {"ex r\n", "merges.txt:1: the first token is not in"},
        {"#version: 1\ne rr\n", "merges.txt:2: the second token is not in"}};
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        o.merges = fx_text("merges.txt", merges[i][0]);
        refuse(&o, DAL_E_FORMAT, "merges", merges[i][1]);
    }
    o.merges = fx_path("nowhere.txt");
    refuse(&o, DAL_E_NOT_FOUND, "merges", "cannot open");
    static const char *const bad[][2] = {
        {"", "json:1:0: '[' or '{' expected"},     {"[1]", "expected a JSON object of token: number"},
        {"{}", "0 tokens"},                        {"{\"a\": 0}", "has no token '\xc4\x80', which stands for byte 0"},
        {"{\"a\": 0, \"a\": 1}", "duplicate"},     {"{\"a\": 0, \"b\": 0}", "both have the number 0"},
        {"{\"a\": 1}", "beyond its tokens"},       {"{\"a\": \"0\"}", "no whole number"},
        {"{\"a\": -1}", "beyond its tokens"},      {"{\"\\u001b\\n\": 7}", "token '?\?' has"},
        {"{\"a\": 0", "expected"},                 {"{\"a\xff\": 0}", "unable to decode byte 0xff"},
        {"{\"\": 0}", "empty token"}};
    o.merges = fx_text("merges.txt", "e r\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.vocabulary = fx_text("bad.json", bad[i][0]);
        refuse(&o, DAL_E_FORMAT, "vocabulary", bad[i][1]);
    }
}

Test(tokens, without_memory_nothing_is_left_behind)
{
    const char *v = byte_vocabulary("vocab.json", lower, 4), *m = fx_text("merges.txt", LOWER_MERGES);
    for (int64_t k = 1;; k++) {
        dal_error err = DAL_ERROR_INIT;
        dal_tokens *t = NULL;
        const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1, .fail_alloc = k};
        dal_runtime *poor = dal_runtime_new(&config, &err);
        const dal_tokens_options o = {.struct_size = sizeof o, .kind = DAL_BPE, .vocabulary = v, .merges = m};
        const dal_status st = dal_tokens_open(dal_runtime_host(poor, "poor"), &o, &t, &err);
        dal_tokens_close(t);
        cr_assert_eq(dal_runtime_allocated(poor), 0, "allocation %d leaves something behind", (int)k);
        dal_runtime_free(poor);
        if (st == DAL_OK) {
            cr_assert_geq(k, 10);
            break;
        }
        cr_assert_eq(st, DAL_E_NOMEM, "%s", err.text);
    }
}

/* ---- the vocabularies of BERT and GPT-2 --------------------------------------------------------- */

Test(tokens, real_vocabularies_give_the_numbers_everybody_knows)
{
    const char *bert_words = fx_data("tokenizers/bert-base-uncased-vocab.txt");
    const char *gpt2 = fx_data("tokenizers/gpt2-vocab.json"), *merges = fx_data("tokenizers/gpt2-merges.txt");
    if (!bert_words || !gpt2 || !merges)
        return;
    const dal_tokens_options o = {.struct_size = sizeof o, .kind = DAL_WORDPIECE, .vocabulary = bert_words};
    dal_tokens *t = open_with(&o);
    cr_assert_eq(dal_tokens_count(t), 30522);
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_PAD), 0);
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_UNKNOWN), 100);
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_BEGIN), 101);
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_END), 102);
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_MASK), 103);
    cr_assert_str_eq(numbers(t, "Hello, world!"), "7592 1010 2088 999");
    cr_assert_str_eq(pieces(t, "unaffable embeddings"), "una ##ffa ##ble em ##bed ##ding ##s");
    dal_tokens_close(t);
    t = open_bpe(gpt2, merges, 0);
    cr_assert_eq(dal_tokens_count(t), 50257);
    cr_assert_eq(dal_tokens_special(t, DAL_TOKEN_BEGIN), 50256);
    cr_assert_str_eq(numbers(t, "Hello world"), "15496 995");
    cr_assert_str_eq(numbers(t, "Hello, my dog is cute"), "15496 11 616 3290 318 13779");
    dal_tokens_close(t);
}

/* ---- words of the texts themselves -------------------------------------------------------------- */

Test(tokens, words_are_numbered_by_how_many_texts_have_them)
{
    static const char *const texts[] = {"b B a", "b\tc <unk>", "a  b", "d \xc3\x84"};
    dal_word_counts *w = dal_word_counts_new(host, 0);
    dal_tokens *t = NULL;
    dal_error err = DAL_ERROR_INIT;
    for (int i = 0; i < 4; i++)
        cr_assert_eq(dal_word_counts_add(w, texts[i], (int64_t)strlen(texts[i]), &err), DAL_OK);
    cr_assert_eq(dal_word_counts_tokens(w, 1, 0, &t, &err), DAL_OK, "%s", err.text);
    cr_assert_str_eq(numbers(t, "<pad> <unk> b a c d \xc3\xa4 \xc3\x84 e ab"), "0 1 2 3 4 5 6 6 1 1");
    dal_tokens_close(t);
    cr_assert_eq(dal_word_counts_tokens(w, 2, 0, &t, &err), DAL_OK);
    cr_assert_eq(dal_tokens_count(t), 4);
    dal_tokens_close(t);
    cr_assert_eq(dal_word_counts_tokens(w, 1, 1, &t, &err), DAL_OK);
    cr_assert_eq(dal_tokens_count(t), 3);
    dal_tokens_close(t);
    fx_expect(&err, dal_word_counts_add(w, "\xff", 1, &err), DAL_E_INVALID, "", "no UTF-8");
    dal_word_counts_free(w);
}

/* ---- the transform ------------------------------------------------------------------------------ */

static const char *const lines[] = {"One two two", "two THREE", "one"};

static fx_texts toy(void)
{
    return (fx_texts){.texts = {lines, NULL, lines + 1}, .n = {3, 0, 2}, .n_classes = 2};
}

Test(tokenise, makes_sequences_of_the_pools_words)
{
    const options o = {.tokeniser = DAL_WHITESPACE, .vocabulary = "", .merges = "", .length = 4, .max_words = 0,
                       .min_texts = 1};
    fx_texts t = toy();
    dal_runtime *own = fx_runtime(2, 0);
    fx_texts_open(&t);
    fx_dataset d = fx_open(&tokenise_impl, dal_runtime_host(own, "tokenise"), &o, &t.dataset);
    float row[4];
    cr_assert_eq(d.info.spec.modality, DAL_VECTOR);
    cr_assert_eq(d.info.spec.shape[0], 4);
    fx_read(&d, DAL_SPLIT_TRAIN, &(int64_t){0}, 1, row);
    cr_assert_arr_eq(row, ((float[]){2, 3, 3, -1}), sizeof row);
    fx_read(&d, DAL_SPLIT_TEST, &(int64_t){0}, 1, row);
    cr_assert_arr_eq(row, ((float[]){3, 4, -1, -1}), sizeof row);
    d.impl->destroy(d.self);
    cr_assert_eq(dal_runtime_allocated(own), 0);
    dal_runtime_free(own);
}

Test(tokenise, takes_a_models_vocabulary)
{
    const options o = {.tokeniser = DAL_WORDPIECE, .merges = "", .length = 5, .ends = 1,
                       .vocabulary = fx_text("v.txt", "[UNK]\n[CLS]\n[SEP]\none\nt\n##wo\n")};
    fx_texts t = toy();
    dal_runtime *own = fx_runtime(1, 0);
    fx_texts_open(&t);
    fx_dataset d = fx_open(&tokenise_impl, dal_runtime_host(own, "tokenise"), &o, &t.dataset);
    float row[5];
    fx_read(&d, DAL_SPLIT_TRAIN, &(int64_t){0}, 1, row);
    cr_assert_arr_eq(row, ((float[]){1, 3, 4, 5, 2}), sizeof row);
    fx_read(&d, DAL_SPLIT_TRAIN, &(int64_t){2}, 1, row);
    cr_assert_arr_eq(row, ((float[]){1, 3, 2, -1, -1}), sizeof row);
    d.impl->destroy(d.self);
    dal_runtime_free(own);
}

static void cannot(const options *o, const dal_dataset *input, dal_status st, const char *key, const char *words)
{
    dal_error err = DAL_ERROR_INIT;
    void *self = NULL;
    dal_runtime *own = fx_runtime(1, 0);
    fx_expect(&err, tokenise_impl.create(dal_runtime_host(own, "tokenise"), o, input, &self, &err), st, key, words);
    cr_assert_eq(dal_runtime_allocated(own), 0);
    dal_runtime_free(own);
}

Test(tokenise, says_what_is_missing)
{
    options o = {.tokeniser = DAL_WORDPIECE, .vocabulary = "", .merges = "", .length = 8, .min_texts = 1};
    fx_texts t = toy();
    fx_toy vectors = {.spec = {sizeof vectors.spec, DAL_VECTOR, DAL_F32, 1, {1}, 2}};
    fx_texts_open(&t);
    fx_toy_open(&vectors);
    cannot(&o, &vectors.dataset, DAL_E_UNSUPPORTED, "", "works on text");
    cannot(&o, &t.dataset, DAL_E_INVALID, "vocabulary", "vocab.txt");
    o.tokeniser = DAL_BPE;
    cannot(&o, &t.dataset, DAL_E_INVALID, "vocabulary", "vocab.json");
    o.vocabulary = byte_vocabulary("vocab.json", lower, 4);
    cannot(&o, &t.dataset, DAL_E_INVALID, "merges", "merges.txt");
    o.merges = fx_text("merges.txt", LOWER_MERGES);
    o.ends = 1;
    cannot(&o, &t.dataset, DAL_E_UNSUPPORTED, "", "has no [CLS] and [SEP]");
    o = (options){.tokeniser = DAL_WHITESPACE, .vocabulary = "", .merges = "x", .length = 8, .min_texts = 1};
    cannot(&o, &t.dataset, DAL_E_INVALID, "merges", "only bpe");
    o.merges = "";
    o.min_texts = 9;
    cannot(&o, &t.dataset, DAL_E_INVALID, "min_texts", "no word is in 9 texts");
}

Test(tokenise, without_memory_nothing_is_left_behind)
{
    const options o = {.tokeniser = DAL_WHITESPACE, .vocabulary = "", .merges = "", .length = 4, .min_texts = 1};
    fx_texts t = toy();
    fx_texts_open(&t);
    fx_no_memory(&tokenise_impl, &o, &t.dataset, 10);
}
