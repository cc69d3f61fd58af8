#include <criterion/criterion.h>
#include <dal/plugin.h>
#include <elf.h>
#include <stdlib.h>

#include "registry/note.h"
#include "registry/note_text.h"
#include "util/text.h"

#define HEAD "abi\t1\t0\nmodule\tm\nversion\t1\nlicence\tMIT\n"
#define ABOUT "summary\ts\nreference\tr\nneeds\tn\nprovides\tp\n"

static dal_status parse(const char *s, note_info *out, dal_error *err)
{
    *err = (dal_error)DAL_ERROR_INIT;
    return note_parse(xstrdup(s), out, err);
}

static void refuses(const char *s, const char *words)
{
    note_info n;
    dal_error err;
    cr_assert_eq(parse(s, &n, &err), DAL_E_FORMAT, "accepted: %s", s);
    cr_assert(strstr(err.text, words), "'%s' is not in '%s'", words, err.text);
}

Test(note_text, tells_what_the_macro_list_says)
{
    note_info n;
    dal_error err;
    cr_assert_eq(parse(HEAD "component\tstrategy\tab-c\n" ABOUT
                            "param\tvotes\tI64\t10\t1..1000\tpasses\thow many\nend\n", &n, &err), DAL_OK,
                 "%s", err.text);
    cr_assert_eq(n.n_components, 1);
    const component_desc *c = &n.components[0];
    cr_assert_eq(c->kind, DAL_KIND_STRATEGY);
    cr_assert_str_eq(c->id, "ab-c");
    cr_assert_str_eq(c->needs, "n");
    cr_assert_eq(c->n_params, 1);
    cr_assert_eq(c->params[0].type, DAL_PARAM_I64);
    cr_assert_str_eq(c->params[0].domain, "1..1000");
    cr_assert_str_eq(c->params[0].summary, "how many");
    note_info_free(&n);
}

Test(note_text, tells_formula_and_differences_where_there_are_some)
{
    note_info n;
    dal_error err;
    cr_assert_eq(parse(HEAD "component\tstrategy\tx\n" ABOUT "component\tmodel\tx\n" ABOUT
                            "about\tmodel\tx\ty = W h\tno bias\tmore\nabout\tdrawer\tz\t\t\nend\n", &n, &err),
                 DAL_OK, "%s", err.text);
    cr_assert_str_eq(n.components[0].formula, "");
    cr_assert_str_eq(n.components[0].differs, "");
    cr_assert_str_eq(n.components[1].formula, "y = W h");
    cr_assert_str_eq(n.components[1].differs, "no bias");
    note_info_free(&n);
    refuses(HEAD "about\tmodel\tx\ta\tb\nend\n", "'about' a model 'x' that is not above it");
    refuses(HEAD "component\tmodel\tx\n" ABOUT "about\tmodel\tx\ta\nend\n", "'about' has 4 fields; expected 5");
    refuses(HEAD "component\tmodel\tx\n" ABOUT "about\tmodel\tx\ta\tb\nabout\tmodel\tx\ta\tb\nend\n",
            "a second 'about' line of 'x'");
}

#define OF_PARAMS                                                                       \
    HEAD "component\tstrategy\tx\nsummary\ts\nreference\tr\nneeds\ta/1 b/1\nprovides\t\n" \
         "param\tby\tCHOICE\tf\tf|g|h\t\tsum\nparam\tk\tI64\t1\t1..\t\tsum\n"              \
         "param\ton\tBOOL\ttrue\t\t\tsum\ncomponent\tmodel\tm\n" ABOUT

Test(note_text, tells_which_needs_depend_on_what)
{
    note_info n;
    dal_error err;
    cr_assert_eq(parse(OF_PARAMS "when\tstrategy\tx\tb/1\tby\tg|h\nwhen\tstrategy\tx\tb/1\ton\tfalse\n"
                                 "when\tdrawer\tz\t\t\t\nend\n", &n, &err), DAL_OK, "%s", err.text);
    const component_desc *c = &n.components[0];
    cr_assert_eq(c->n_when, 2);
    cr_assert_str_eq(c->when[0].capability, "b/1");
    cr_assert_str_eq(c->when[0].param, "by");
    cr_assert_str_eq(c->when[0].values, "g|h");
    cr_assert_str_eq(c->when[1].values, "false");
    cr_assert_eq(n.components[1].n_when, 0);
    note_info_free(&n);
}

Test(note_text, refuses_conditions_that_cannot_be)
{
    refuses(OF_PARAMS "when\tstrategy\ty\tb/1\tby\tg\nend\n", "'when' a strategy 'y' that is not above it");
    refuses(OF_PARAMS "when\tstrategy\tx\tb/1\tby\nend\n", "'when' has 5 fields; expected 6");
    refuses(OF_PARAMS "when\tmodel\tm\tn\tby\tg\nend\n", "only strategies have needs that depend on something");
    refuses(OF_PARAMS "when\tstrategy\tx\tc/1\tby\tg\nend\n",
            "'when' strategy 'x' needs 'c/1', for 'by' of 'g': its needs do not name the capability");
    refuses(OF_PARAMS "when\tstrategy\tx\ta/1 b/1\tby\tg\nend\n", "its needs do not name the capability");
    refuses(OF_PARAMS "when\tstrategy\tx\t\tby\tg\nend\n", "its needs do not name the capability");
    refuses(OF_PARAMS "when\tstrategy\tx\tb/1\tbye\tg\nend\n", "it has no such parameter");
    refuses(OF_PARAMS "when\tstrategy\tx\tb/1\tk\t1\nend\n", "the parameter has no choices");
    refuses(OF_PARAMS "when\tstrategy\tx\tb/1\tby\tg|i\nend\n", "the parameter has no such values");
    refuses(OF_PARAMS "when\tstrategy\tx\tb/1\tby\tg|\nend\n", "the parameter has no such values");
    refuses(OF_PARAMS "when\tstrategy\tx\tb/1\tby\t\nend\n", "the parameter has no such values");
    refuses(OF_PARAMS "when\tstrategy\tx\tb/1\ton\tyes\nend\n", "the parameter has no such values");
}

Test(note_text, passes_over_what_a_newer_sdk_adds)
{
    note_info n;
    dal_error err;
    cr_assert_eq(parse(HEAD "homepage\thttps://example.org\ncomponent\tdrawer\tx\n" ABOUT
                            "param\ta\tI64\t\t\t\t\ncomponent\tmodel\ty\tstable\n" ABOUT
                            "param\tb\tMATRIX\t\t\t\t\t\tmore\nend\n", &n, &err), DAL_OK, "%s", err.text);
    cr_assert_eq(n.n_components, 1);
    cr_assert_str_eq(n.components[0].id, "y");
    cr_assert_eq(n.components[0].params[0].type, 0);
    cr_assert(strstr(n.skipped, "component 'x' is of an unknown kind ('drawer')"), "%s", n.skipped);
    cr_assert(strstr(n.unknown_param, "'b' of 'y' has the unknown type 'MATRIX'"));
    note_info_free(&n);
}

Test(note_text, refuses_what_is_malformed_with_the_line)
{
    refuses("", "there is no 'end' line");
    refuses("module\tm\nend\n", "line 1: 'module' before 'abi'");
    refuses("abi\t1\nend\n", "'abi' has 2 fields; expected 3");
    refuses("abi\t1\t-1\nend\n", "an ABI version of '-1'");
    refuses("abi\t1\t99999999\nend\n", "an ABI version");
    refuses("abi\t1\t0\nend\n", "no 'module', 'version' or 'licence'");
    refuses("abi\t1\t0\nmodule\tA-b\nend\n", "line 2: the module name 'A-b'");
    refuses(HEAD "component\tmodel\tx y\n", "the component id 'x y'");
    refuses(HEAD "component\tmodel\tx\nend\n", "component 'x' lacks its summary");
    refuses(HEAD "component\tmodel\tx\n" ABOUT "component\tmodel\tx\n" ABOUT "end\n", "a second model 'x'");
    refuses(HEAD "component\tmodel\tx\nsummary\ta\nsummary\tb\n", "a second 'summary' line");
    refuses(HEAD "component\tmodel\tx\n" ABOUT "param\t1a\tI64\t\t\t\t\nend\n", "the parameter name '1a'");
    refuses(HEAD "component\tmodel\tx\n" ABOUT "param\ta\tI64\t\t\t\t\nparam\ta\tI64\t\t\t\t\nend\n",
            "a second parameter 'a'");
    refuses(HEAD "param\ta\tI64\t\t\t\t\nend\n", "'param' before the first component");
    refuses(HEAD "end\nmore", "text after the 'end' line");
    refuses(HEAD "component\tmodel\tx\n" ABOUT, "there is no 'end' line");
    refuses("abi\t1\t0\nmodule\t\x1b[2J\nend\n", "line 2: a control character");
    refuses("abi\t1\t0\nlicence\t\xc2\x9b\nend\n", "a control character");
    refuses("abi\t1\t0\nlicence\t\xff\nend\n", "not UTF-8");
}

Test(note_text, is_bounded)
{
    text t = {0};
    text_add(&t, HEAD);
    for (int i = 0; i <= NOTE_MAX_COMPONENTS; i++)
        text_addf(&t, "component\tmodel\tm%d\n" ABOUT, i);
    refuses(t.s, "more than 1000 components");
    text_free(&t);
    text_add(&t, HEAD "component\tmodel\tx\n" ABOUT);
    for (int i = 0; i <= NOTE_MAX_PARAMS; i++)
        text_addf(&t, "param\tp%d\tI64\t\t\t\t\n", i);
    refuses(t.s, "more than 1000 parameters");
    text_free(&t);
    text_add(&t, OF_PARAMS);
    for (int i = 0; i <= NOTE_MAX_WHEN; i++)
        text_add(&t, "when\tstrategy\tx\tb/1\tby\tg\n");
    refuses(t.s, "more than 1000 'when' lines of 'x'");
    text_free(&t);
}

Test(note_text, of_another_major_still_tells_its_abi)
{
    note_info n;
    dal_error err;
    cr_assert_eq(parse("abi\t7\t3\n{json: perhaps", &n, &err), DAL_E_FORMAT);
    cr_assert_eq(n.abi_major, 7);
    cr_assert_eq(n.abi_minor, 3);
    cr_assert_null(n.components);
}

/* ---- ELF ---- */

/* A made-up shared object with `n_notes` notes in one segment: `other` ones before ours. */
typedef struct image {
    unsigned char bytes[4096];
    size_t n;
} image;

static void put(image *im, uint64_t x, int size, bool big)
{
    for (int i = 0; i < size; i++)
        im->bytes[im->n++] = (unsigned char)(x >> 8 * (big ? size - 1 - i : i));
}

static void put_note(image *im, const char *owner, const char *words, size_t n_words, uint32_t type, bool big)
{
    put(im, strlen(owner) + 1, 4, big);
    put(im, n_words, 4, big);
    put(im, type, 4, big);
    memcpy(im->bytes + im->n, owner, strlen(owner) + 1);
    im->n += (strlen(owner) + 4) / 4 * 4;
    memcpy(im->bytes + im->n, words, n_words);
    im->n += (n_words + 3) / 4 * 4;
}

static image make(bool wide, bool big, int ours)
{
    image im = {.n = 0};
    const unsigned char ident[16] = {0x7f, 'E', 'L', 'F', wide ? 2 : 1, big ? 2 : 1, 1};
    memcpy(im.bytes, ident, 16);
    im.n = 16;
    const int word = wide ? 8 : 4;
    put(&im, ET_DYN, 2, big);
    put(&im, EM_X86_64, 2, big);
    put(&im, 1, 4, big);
    put(&im, 0, word, big);
    put(&im, wide ? 64 : 52, word, big); /* e_phoff */
    put(&im, 0, word, big);
    put(&im, 0, 4, big);
    put(&im, wide ? 64 : 52, 2, big);
    put(&im, wide ? 56 : 32, 2, big);
    put(&im, 1, 2, big);
    put(&im, 0, 6, big);
    image notes = {.n = 0};
    put_note(&notes, "GNU", "abcdefg", 7, 3, big);
    for (int i = 0; i < ours; i++)
        put_note(&notes, DAL_NOTE_OWNER, "hello", 6, DAL_NOTE_TYPE, big);
    put_note(&notes, "X", "", 0, 1, big);
    const uint64_t at = wide ? 64 + 56 : 52 + 32;
    put(&im, PT_NOTE, 4, big);
    if (wide)
        put(&im, 4, 4, big);
    put(&im, at, word, big);
    put(&im, 0, word, big);
    put(&im, 0, word, big);
    put(&im, notes.n, word, big);
    put(&im, notes.n, word, big);
    if (!wide)
        put(&im, 4, 4, big);
    put(&im, 4, word, big);
    memcpy(im.bytes + im.n, notes.bytes, notes.n);
    im.n += notes.n;
    return im;
}

Test(note, is_found_among_others_in_either_class_and_byte_order)
{
    for (int k = 0; k < 4; k++) {
        const image im = make(k & 1, k & 2, 1);
        char *note;
        dal_error err = DAL_ERROR_INIT;
        cr_assert_eq(note_find(im.bytes, im.n, &note, &err), DAL_OK, "%d: %s", k, err.text);
        cr_assert_str_eq(note, "hello");
        free(note);
    }
}

Test(note, must_be_there_once)
{
    char *note;
    dal_error err = DAL_ERROR_INIT;
    image im = make(true, false, 0);
    cr_assert_eq(note_find(im.bytes, im.n, &note, &err), DAL_E_NOT_FOUND);
    im = make(true, false, 2);
    cr_assert_eq(note_find(im.bytes, im.n, &note, &err), DAL_E_FORMAT);
    cr_assert(strstr(err.text, "more than one note"), "%s", err.text);
}

Test(note, survives_every_truncation_and_every_flipped_byte)
{
    const image im = make(true, false, 1);
    for (size_t n = 0; n < im.n; n++) {
        /* a copy of exactly n bytes, so that a sanitizer sees any read past it */
        unsigned char *cut = malloc(n ? n : 1);
        memcpy(cut, im.bytes, n);
        char *note;
        dal_error err = DAL_ERROR_INIT;
        if (note_find(cut, n, &note, &err) == DAL_OK)
            free(note);
        else
            cr_assert_neq(err.text[0], '\0');
        free(cut);
    }
    for (size_t i = 0; i < im.n; i++)
        for (int flip = 1; flip < 256; flip += 2) {
            image other = im;
            other.bytes[i] ^= (unsigned char)flip;
            char *note;
            dal_error err = DAL_ERROR_INIT;
            if (note_find(other.bytes, other.n, &note, &err) == DAL_OK)
                free(note);
        }
}

Test(note, of_a_file_that_is_no_elf_says_so)
{
    char *note;
    dal_error err = DAL_ERROR_INIT;
    cr_assert_eq(note_read("/dev/null", &note, NULL, &err), DAL_E_FORMAT);
    cr_assert(strstr(err.text, "not a regular file"), "%s", err.text);
    cr_assert_eq(note_read("/etc/passwd", &note, NULL, &err), DAL_E_FORMAT);
    cr_assert(strstr(err.text, "not an ELF file"), "%s", err.text);
    cr_assert_eq(note_read("/nowhere/x.so", &note, NULL, &err), DAL_E_NOT_FOUND);
}
