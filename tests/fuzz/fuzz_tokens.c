/* Any bytes as the vocabulary of a tokeniser, and what follows a line "====" as its merges; then the same bytes as a
 * text, and as one of vocabularies that are good. The first byte chooses the tokeniser.
 */
#include "tests/fuzz/fuzz_component.h"

#include <dal/tokens.h>

#define ROOM 4096

/* Whatever the text, every token is of the vocabulary, and the first few are the same when only those are wanted. */
static void use(const dal_tokens *t, const uint8_t *data, size_t n)
{
    static int32_t ids[ROOM], few[3];
    int64_t count, first, bytes;
    const char *text = (const char *)data;
    const int is_text = dal_utf8_fault(text, (int64_t)n) < 0;
    const dal_status st = dal_tokens_encode(t, text, (int64_t)n, ids, ROOM, &count, NULL);
    MUST(st == (is_text ? DAL_OK : DAL_E_INVALID));
    for (int64_t i = 0; i < count; i++) {
        MUST(ids[i] >= 0 && ids[i] < dal_tokens_count(t));
        dal_tokens_text(t, ids[i], &bytes);
        MUST(bytes > 0);
    }
    if (st != DAL_OK)
        return;
    MUST(dal_tokens_encode(t, text, (int64_t)n, few, 3, &first, NULL) == DAL_OK);
    MUST(first == (count < 3 ? count : 3) && memcmp(few, ids, (size_t)first * sizeof *few) == 0);
}

/* A byte-level vocabulary of the 256 bytes and a few pairs. */
static size_t good_json(char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "{\"ab\": 256, \"abc\": 257, \"cc\": 258");
    for (int b = 0, next = 256; b < 256; b++) {
        const int itself = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        at += (size_t)snprintf(out + at, size - at, ", \"\\u%04x\": %d", itself ? b : next, b);
        next += !itself;
    }
    return at + (size_t)snprintf(out + at, size - at, "}");
}

static void open_and_use(const dal_tokens_options *o, const uint8_t *text, size_t n)
{
    dal_runtime *rt = fuzz_runtime();
    dal_error err = DAL_ERROR_INIT;
    dal_tokens *t = NULL;
    if (dal_tokens_open(dal_runtime_host(rt, "tokens"), o, &t, &err) == DAL_OK)
        use(t, text, n);
    else
        fuzz_complaint(&err);
    dal_tokens_close(t);
    MUST(dal_runtime_allocated(rt) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char words[] = "[UNK]\na\n##b\n##a\nb\n\xe4\xb8\xad\n!\n";
    static const char mark[] = "====\n";
    char json[8192];
    if (n < 1)
        return 0;
    const uint8_t *rest = data + 1, *cut = n > 6 ? memmem(rest, n - 1, mark, 5) : NULL;
    const fuzz_file vocabulary = fuzz_open(rest, cut ? (size_t)(cut - rest) : n - 1);
    const fuzz_file merges = cut ? fuzz_open(cut + 5, n - 1 - (size_t)(cut + 5 - rest))
        : fuzz_open((const uint8_t *)"a b\n", 4);
    const fuzz_file plain = fuzz_open((const uint8_t *)words, sizeof words - 1);
    const fuzz_file bytes = fuzz_open((const uint8_t *)json, good_json(json, sizeof json));
    dal_tokens_options o = {.struct_size = sizeof o, .kind = data[0] % 3, .vocabulary = vocabulary.path,
                            .merges = merges.path, .cased = data[0] >> 2 & 1, .space_first = data[0] >> 3 & 1};
    open_and_use(&o, rest, n - 1);
    o.vocabulary = o.kind == DAL_BPE ? bytes.path : plain.path;
    open_and_use(&o, rest, n - 1);
    close(bytes.fd);
    close(plain.fd);
    close(merges.fd);
    close(vocabulary.fd);
    return 0;
}
