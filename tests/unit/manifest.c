/* core/manifest against a registry of fake components (fake_registry.h). */
#include <criterion/criterion.h>

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manifest/manifest.h"
#include "tests/unit/fake_registry.h"
#include "util/text.h"

/* A directory with files to find, and the working directory in it. */
static char *place_dir;

static void touch(const char *name)
{
    FILE *f = fopen(name, "w");
    cr_assert_not_null(f);
    fclose(f);
}

static void enter(void)
{
    char name[] = "/tmp/dalhost-manifest-XXXXXX";
    cr_assert_not_null(mkdtemp(name));
    place_dir = realpath(name, NULL);
    cr_assert_eq(chdir(place_dir), 0);
    cr_assert_eq(mkdir("data", 0700) | mkdir("data/sub", 0700), 0);
    touch("here.gz");
    touch("data/there.gz");
}

static void leave(void)
{
    const char *const names[] = {"here.gz", "data/there.gz", "data/sub", "data", "m.yaml"};
    cr_assert_eq(chdir(place_dir), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        remove(names[i]);
    cr_assert_eq(chdir("/"), 0);
    rmdir(place_dir);
    free(place_dir);
}

TestSuite(manifest, .init = enter, .fini = leave);

/* ---- helpers -------------------------------------------------------------------------------- */

static manifest *read_with(const char *yaml, const char *const *sets, int n, fake_flavour flavour, diags *d)
{
    static const char *const data_path[] = {"data"};
    const manifest_options o = {sets, n, data_path, 1, NULL};
    return manifest_read("m.yaml", yaml, fake_registry(flavour), &o, d);
}

static manifest *read_good(const char *yaml, const char *const *sets, int n)
{
    diags *d = diags_new();
    manifest *m = read_with(yaml, sets, n, FAKE_USUAL, d);
    diags_print(d, stderr);
    cr_assert_not_null(m, "refused:\n%s", yaml);
    diags_free(d);
    return m;
}

/* All messages, one a line, with $PWD for the working directory. */
static char *messages(const diags *d)
{
    text t = {0};
    for (int i = 0; diags_text(d, i); i++) {
        const char *line = diags_text(d, i), *hit;
        text_add(&t, i ? "\n" : "");
        while ((hit = strstr(line, place_dir))) {
            text_addf(&t, "%.*s$PWD", (int)(hit - line), line);
            line = hit + strlen(place_dir);
        }
        text_add(&t, line);
    }
    return text_take(&t);
}

static void expect_messages(const char *yaml, const char *const *sets, int n, fake_flavour flavour,
                            const char *expected)
{
    diags *d = diags_new();
    manifest *m = read_with(yaml, sets, n, flavour, d);
    char *got = messages(d);
    cr_expect_null(m, "accepted:\n%s", yaml);
    cr_expect_str_eq(got, expected, "%s\n  got:  %s\n  want: %s", yaml, got, expected);
    manifest_free(m);
    free(got);
    diags_free(d);
}

#define BASE "dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: margin\n"
#define PATH_HINT "; try an absolute path, or name its folder in DAL_DATA_PATH"

/* ---- bad manifests -------------------------------------------------------------------------- */

static const struct bad_case {
    const char *yaml, *expected;
} bad_cases[] = {
    /* not YAML, or more of it than we take */
    {"", "m.yaml: it is empty; expected a mapping that begins with 'dalhost: 1'"},
    {"# nothing\n", "m.yaml: it is empty; expected a mapping that begins with 'dalhost: 1'"},
    {"- a\n", "m.yaml: it is a list; expected a mapping that begins with 'dalhost: 1'"},
    {"hello\n", "m.yaml: it is plain text; expected a mapping that begins with 'dalhost: 1'"},
    {"dalhost: 1\n\tmodel: mlp\n", "m.yaml:2:1: not YAML: found a tab character that violates indentation while "
                                   "scanning a plain scalar that began in line 1; indent with spaces, not tabs"},
    {"dalhost: 1\nquery:\n\tsize: 1\n", "m.yaml:3:1: not YAML: found character that cannot start any token while scanning "
                                        "for the next token; indent with spaces, not tabs"},
    {"dalhost: 1\nmodel: {use: mlp\n", "m.yaml:3:1: not YAML: did not find expected ',' or '}' while parsing a flow "
                                       "mapping that began in line 2; close the mapping with '}'"},
    {"a: b: c\n", "m.yaml:1:5: not YAML: mapping values are not allowed in this context; check the indentation, or "
                  "put text that contains ': ' in quotes"},
    {"a: \"x\n", "m.yaml:2:1: not YAML: found unexpected end of stream while scanning a quoted scalar that began in "
                 "line 1; close the quotes"},
    {"a: @b\n", "m.yaml:1:4: not YAML: found character that cannot start any token while scanning for the next token; "
                "put the value in quotes"},
    {"a: gr\xfc\xdf\n", "m.yaml:1:6: byte 5 (0xfc) is not UTF-8; expected UTF-8 text; try iconv -t utf-8"},
    {"a: b\001\n", "m.yaml:1:5: not YAML: control characters are not allowed (byte 4); remove it, or write it as "
                   "\"\\xNN\" in double quotes"},
    {"a: &x 1\n", "m.yaml:1:4: anchor '&x'; aliases are not used in manifests; write the value out"},
    {"a: *x\n", "m.yaml:1:4: alias '*x'; aliases are not used in manifests; write the value out"},
    {"a: !!int 3\n", "m.yaml:1:4: tag 'tag:yaml.org,2002:int'; tags are not used in manifests; remove it (quotes make "
                     "text)"},
    {"a: 1\n---\nb: 2\n", "m.yaml:2:1: a second document; expected one; remove '---' and what follows"},
    {"a: \"\\0\"\n", "m.yaml:1:4: text with a NUL character in it; expected none"},
    {BASE "? [a]\n: 1\n? {b: 1}\n: 2\n", "m.yaml:5:3: a key that is a list; expected text\n"
                                         "m.yaml:7:3: a key that is a mapping; expected text"},
    {BASE "seed: 1\nseed: 2\nseed: 3\n",
     "m.yaml:6:1: duplicate key 'seed', first given in line 5, column 1; keep one of them\n"
     "m.yaml:7:1: duplicate key 'seed', first given in line 5, column 1; keep one of them"},
    {BASE "query: {size: 1, size: 2}\n",
     "m.yaml:5:18: duplicate key 'size', first given in line 5, column 9; keep one of them"},

    /* keys */
    {BASE "modle: mlp\n", "m.yaml:5:1: unknown key 'modle'; did you mean 'model'?"},
    {BASE "zzz: 1\n", "m.yaml:5:1: unknown key 'zzz'; expected one of dalhost, name, seed, trials, dataset, transforms, "
                      "model, strategy, oracle, memory, initial, query, stop, train, record"},
    {BASE "query: {sise: 1}\n", "m.yaml:5:9: unknown key 'sise' of query; did you mean 'size'?"},
    {BASE "stop: {when: 1}\n", "m.yaml:5:8: unknown key 'when' of stop; expected one of accuracy, labels, cost"},
    {"dalhost: 1\ndataset: drawn\nmodel: {use: mlp, hiden: [5]}\nstrategy: margin\n",
     "m.yaml:3:19: unknown key 'hiden' of model 'mlp'; did you mean 'hidden'?"},
    {"dalhost: 1\ndataset: drawn\nmodel: {use: linear, c: 1}\nstrategy: margin\n",
     "m.yaml:3:22: unknown key 'c' of model 'linear', which has no parameters"},
    {BASE "\"a\\e[31m\\nb\": 1\n",
     "m.yaml:5:1: unknown key 'a\\x1b[31m\\x0ab'; expected one of dalhost, name, seed, trials, dataset, transforms, model, "
     "strategy, oracle, memory, initial, query, stop, train, record"},
    {"name: x\n",
     "m.yaml: 'dalhost' is missing; expected a whole number of at least 1: version of the manifest format; write "
     "'dalhost: 1'\n"
     "m.yaml: 'dataset' is missing; expected a dataset (its id, or a mapping with 'use'): where samples come from\n"
     "m.yaml: 'model' is missing; expected a model (its id, or a mapping with 'use'): what is trained\n"
     "m.yaml: 'strategy' is missing; expected a strategy or a list of them (its id, or a mapping with 'use'): which "
     "samples to label next; a list makes one run each"},
    {"dalhost: 2\ndataset: drawn\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:1:10: dalhost is 2; expected 1, the manifest format this program reads"},

    /* whole numbers */
    {BASE "seed: 1.5\n", "m.yaml:5:7: seed is 1.5; expected a whole number of at least 0"},
    {BASE "seed: 1e3\n", "m.yaml:5:7: seed is 1e3; expected a whole number of at least 0; try 1000"},
    {BASE "seed: '5'\n", "m.yaml:5:7: seed is quoted text '5'; expected a whole number of at least 0; drop the quotes"},
    {BASE "seed: abc\n", "m.yaml:5:7: seed is text 'abc'; expected a whole number of at least 0"},
    {BASE "seed: true\n", "m.yaml:5:7: seed is true; expected a whole number of at least 0"},
    {BASE "seed: -1\n", "m.yaml:5:7: seed is -1; expected a whole number of at least 0"},
    {BASE "seed: 0x10\n", "m.yaml:5:7: seed is 0x10; expected a whole number of at least 0; write it in decimal, without "
                          "'_' and leading zeros"},
    {BASE "seed: 1_000\n", "m.yaml:5:7: seed is 1_000; expected a whole number of at least 0; write it in decimal, "
                           "without '_' and leading zeros"},
    {BASE "seed: 010\n", "m.yaml:5:7: seed is 010; expected a whole number of at least 0; write it in decimal, without "
                         "'_' and leading zeros"},
    {BASE "seed: 9223372036854775808\n",
     "m.yaml:5:7: seed is 9223372036854775808; expected a whole number of at least 0; it is too large"},
    {BASE "seed:\n", "m.yaml:5:6: seed is empty; expected a whole number of at least 0; leave the key out for the default"},
    {BASE "seed: [1]\n", "m.yaml:5:7: seed is a list; expected a whole number of at least 0; try it without the brackets"},
    {BASE "trials: 0\n", "m.yaml:5:9: trials is 0; expected a whole number in 1..1000000 (runs)"},
    {BASE "memory: 4Q\n", "m.yaml:5:9: memory is text '4Q'; expected a whole number of at least 0 (bytes); try 512M or 4G"},
    {BASE "memory: 9000000000G\n",
     "m.yaml:5:9: memory is text '9000000000G'; expected a whole number of at least 0 (bytes); try 512M or 4G"},

    /* numbers, truth values, words, texts, lists */
    {BASE "stop: {accuracy: 95}\n", "m.yaml:5:18: stop.accuracy is 95; expected a number in 0..1"},
    {BASE "stop: {cost: .nan}\n",
     "m.yaml:5:14: stop.cost is .nan; expected a number of at least 0; NaN and infinity are no values for a parameter"},
    {BASE "stop: {cost: 1e999}\n", "m.yaml:5:14: stop.cost is 1e999; expected a number of at least 0; it is too large"},
    {BASE "train: {warm_start: yes}\n",
     "m.yaml:5:21: train.warm_start is text 'yes'; expected true or false; did you mean true?"},
    {BASE "train: {warm_start: 0}\n", "m.yaml:5:21: train.warm_start is 0; expected true or false; did you mean false?"},
    {BASE "train: {warm_start: 'true'}\n",
     "m.yaml:5:21: train.warm_start is quoted text 'true'; expected true or false; drop the quotes"},
    {BASE "record: {models: lst}\n",
     "m.yaml:5:18: record.models is text 'lst'; expected one of none, last, all; did you mean 'last'?"},
    {BASE "record: {models: [all]}\n", "m.yaml:5:18: record.models is a list; expected one of none, last, all"},
    {BASE "name: [x]\n", "m.yaml:5:7: name is a list; expected text"},
    {BASE "name: null\n", "m.yaml:5:7: name is empty; expected text; put it in quotes to mean the word"},
    {BASE "name: \"a\\nb\"\n", "m.yaml:5:7: name has a control character in it; expected one line of text"},
    {"dalhost: 1\ndataset: drawn\nmodel: {use: mlp, hidden: 100, betas: [1, x, 0.5, -1]}\nstrategy: margin\n",
     "m.yaml:3:27: model 'mlp': hidden is 100; expected a list of whole numbers of at least 1 (units); try [100]\n"
     "m.yaml:3:40: model 'mlp': betas[0] is 1; expected a number in [0..1)\n"
     "m.yaml:3:43: model 'mlp': betas[1] is text 'x'; expected a number in [0..1)\n"
     "m.yaml:3:51: model 'mlp': betas[3] is -1; expected a number in [0..1)"},
    {"dalhost: 1\ndataset: drawn\nmodel: {use: mlp, tags: [a, '', {b: 1}], hidden: {a: 1}, rate: 0}\nstrategy: margin\n",
     "m.yaml:3:29: model 'mlp': tags[1] is quoted text ''; expected text that is not empty\n"
     "m.yaml:3:33: model 'mlp': tags[2] is a mapping; expected text that is not empty\n"
     "m.yaml:3:50: model 'mlp': hidden is a mapping; expected a list of whole numbers of at least 1 (units)\n"
     "m.yaml:3:64: model 'mlp': rate is 0; expected a number above 0"},

    /* sections */
    {BASE "initial: 5\n", "m.yaml:5:10: initial is 5; expected a mapping, as in initial: {size: 100}"},
    {BASE "query:\n", "m.yaml:5:7: query is empty; expected a mapping, as in query: {size: 100}; leave the key out for "
                      "the defaults"},
    {BASE "initial: {size: 0}\n", "m.yaml:5:17: initial.size is 0; expected a whole number of at least 1 (samples)"},
    {BASE "query: {size: 0, rounds: -1, candidates: -5}\n",
     "m.yaml:5:15: query.size is 0; expected a whole number of at least 1 (samples)\n"
     "m.yaml:5:26: query.rounds is -1; expected a whole number of at least 0\n"
     "m.yaml:5:42: query.candidates is -5; expected a whole number of at least 0 (samples)"},
    {BASE "query: {size: 100, candidates: 50}\n",
     "m.yaml:5:32: query.candidates is 50, but each query picks 100 of them; expected at least 100, or 0 for the whole "
     "pool"},
    {BASE "query: {size: 9000000000000000000, rounds: 9}\n",
     "m.yaml:5:15: query.size x query.rounds is more labels than can be counted; expected fewer"},

    /* components */
    {"dalhost: 1\ndataset: drawn\nmodel: mpl\nstrategy: margin\n", "m.yaml:3:8: no model 'mpl'"},
    {"dalhost: 1\ndataset: drawn\nmodel: [mlp]\nstrategy: margin\n",
     "m.yaml:3:8: model is a list; expected a model (its id, or a mapping with 'use'); installed: convnet, linear, mlp"},
    {"dalhost: 1\ndataset: drawn\nmodel: {hidden: [5]}\nstrategy: margin\n",
     "m.yaml:3:8: model has no 'use'; expected 'use' with the id of a model; installed: convnet, linear, mlp"},
    {"dalhost: 1\ndataset: drawn\nmodel: {use: [mlp]}\nstrategy: margin\n",
     "m.yaml:3:14: 'use' of model is a list; expected the id of a model; installed: convnet, linear, mlp"},
    {"dalhost: 1\ndataset: drawn\nmodel: {use: mlp, from: second}\nstrategy: margin\n",
     "m.yaml:3:14: no model 'mlp' from second"},
    {"dalhost: 1\ndataset: drawn\nmodel: {use: mlp, from: {a: 1}}\nstrategy: margin\n",
     "m.yaml:3:25: 'from' is a mapping; expected the name of a module"},
    {"dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: twin\n", "m.yaml:4:11: two modules offer 'twin'"},
    {"dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: []\n",
     "m.yaml:4:11: strategy is an empty list; expected at least one strategy"},
    {"dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: [margin, marginal, [bald], {use: wrap, base: ball}]\n",
     "m.yaml:4:20: no strategy 'marginal'\n"
     "m.yaml:4:30: strategy[2] is a list; expected a strategy (its id, or a mapping with 'use'); installed: bad-default, "
     "bad-domain, bad-yaml, bald, endless, foreign, margin, twin, twin, wrap\n"
     "m.yaml:4:56: no strategy 'ball'"},
    {BASE "transforms: {scale: 1}\n",
     "m.yaml:5:13: transforms has no 'use'; expected 'use' with the id of a transform; installed: scale"},
    {"dalhost: 1\ndataset: files\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:10: 'images' of dataset 'files' is missing; expected the path of a file: images of the pool"},
    {"dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy:\n  - use: wrap\n    base: {use: wrap, base: {use: bald, x: 1}}\n",
     "m.yaml:6:41: unknown key 'x' of strategy 'bald', which has no parameters"},

    /* paths */
    {"dalhost: 1\ndataset: {use: files, images: none.gz}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images: no file 'none.gz'; looked for $PWD/none.gz, $PWD/data/none.gz" PATH_HINT},
    {"dalhost: 1\ndataset: {use: files, images: data}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images: no file 'data'; looked for $PWD/data (a directory), $PWD/data/data" PATH_HINT},
    {"dalhost: 1\ndataset: {use: files, images: here.gz, folder: here.gz}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:48: dataset 'files': folder: no directory 'here.gz'; looked for $PWD/here.gz (not a directory), "
     "$PWD/data/here.gz" PATH_HINT},
    {"dalhost: 1\ndataset: {use: files, images: /none/x}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images: no file '/none/x'; looked for /none/x"},
    {"dalhost: 1\ndataset: {use: files, images: ''}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images is empty; expected the path of a file"},
    {"dalhost: 1\ndataset: {use: files, images: [a]}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images is a list; expected the path of a file"},

    /* capabilities */
    {"dalhost: 1\ndataset: drawn\nmodel: linear\nstrategy: [margin, bald]\ntrain: {warm_start: true}\n",
     "m.yaml:4:20: strategy 'bald' needs dal.model.mc/1, which model 'linear' does not offer; models that do: convnet, "
     "mlp\n"
     "m.yaml:5:21: train.warm_start needs dal.model.warm-start/1, which model 'linear' does not offer; models that do: mlp"},
    {"dalhost: 1\ndataset: drawn\nmodel: linear\nstrategy: {use: wrap, more: [margin, bald]}\n",
     "m.yaml:4:38: strategy 'bald' needs dal.model.mc/1, which model 'linear' does not offer; models that do: convnet, mlp"},
    {"dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: foreign\n",
     "m.yaml:4:11: strategy 'foreign' needs dal.model.odd/1, which model 'mlp' does not offer; no installed model does\n"
     "m.yaml:4:11: strategy 'foreign' needs org.example.thing/1, which model 'mlp' does not offer; no installed model "
     "does"},

    /* faults of modules */
    {"dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: [bad-default, bad-yaml, bad-domain]\n",
     "/m/faulty.so: the default of 'n' of strategy 'bad-default' is faulty: '0' is 0; expected a whole number of at least "
     "1; tell the module's author\n"
     "/m/faulty.so: the default of 'n' of strategy 'bad-yaml' is faulty: '[1' is not YAML; tell the module's author\n"
     "/m/faulty.so: parameter 'n' of strategy 'bad-domain' has a faulty domain 'one to ten'; tell the module's author"},
};

Test(manifest, says_what_is_wrong_and_where)
{
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++)
        expect_messages(bad_cases[i].yaml, NULL, 0, FAKE_USUAL, bad_cases[i].expected);
}

Test(manifest, tells_all_faults_in_the_order_of_the_file)
{
    expect_messages("dalhost: 1\n"
                    "sed: 4\n"
                    "dataset: {use: files, noise: 7}\n"
                    "model: {use: mlp, hidden: [0]}\n"
                    "strategy: margn\n"
                    "query: {size: x}\n",
                    NULL, 0, FAKE_USUAL,
                    "m.yaml:2:1: unknown key 'sed'; did you mean 'seed'?\n"
                    "m.yaml:3:16: 'images' of dataset 'files' is missing; expected the path of a file: images of the pool\n"
                    "m.yaml:3:30: dataset 'files': noise is 7; expected a number in (0..1]\n"
                    "m.yaml:4:28: model 'mlp': hidden[0] is 0; expected a whole number of at least 1 (units)\n"
                    "m.yaml:5:11: no strategy 'margn'\n"
                    "m.yaml:6:15: query.size is text 'x'; expected a whole number of at least 1 (samples)");
}

Test(manifest, stops_after_a_hundred_faults)
{
    text yaml = {0};
    text_add(&yaml, BASE "query:\n");
    for (int i = 0; i < 40000; i++)
        text_addf(&yaml, "  k%d: 1\n", i);
    diags *d = diags_new();
    cr_assert_null(read_with(yaml.s, NULL, 0, FAKE_USUAL, d));
    cr_assert_eq(diags_errors(d), 101);
    cr_assert_str_eq(diags_text(d, 0), "m.yaml: more than 100 errors; the others are not shown");
    diags_free(d);
    text_free(&yaml);
}

Test(manifest, stops_reading_after_a_hundred_faulty_keys)
{
    text yaml = {0};
    for (int i = 0; i < 40000; i++)
        text_add(&yaml, "? []\n");
    diags *d = diags_new();
    cr_assert_null(read_with(yaml.s, NULL, 0, FAKE_USUAL, d));
    cr_assert_str_eq(diags_text(d, 0), "m.yaml: 100 faulty keys; the rest was not read");
    cr_assert_str_eq(diags_text(d, 100), "m.yaml:100:3: a key that is a list; expected text");
    cr_assert_null(diags_text(d, 101));
    diags_free(d);
    text_free(&yaml);
}

Test(manifest, a_component_that_holds_itself_by_default_is_refused)
{
    diags *d = diags_new();
    cr_assert_null(read_with("dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: endless\n", NULL, 0, FAKE_USUAL, d));
    cr_assert_not_null(strstr(diags_text(d, 0), "/m/faulty.so: the default of 'base' of strategy 'endless' is faulty: "));
    diags_free(d);
}

/* ---- limits --------------------------------------------------------------------------------- */

static char *repeated(const char *before, const char *what, int n, const char *after)
{
    text t = {0};
    text_add(&t, before);
    for (int i = 0; i < n; i++)
        text_add(&t, what);
    text_add(&t, after);
    return text_take(&t);
}

Test(manifest, limits_depth_and_number_of_values)
{
    char *deep = repeated("a: ", "[", 100000, "\n"), *wide = repeated("a: [", "1,", 100001, "]\n");
    expect_messages(deep, NULL, 0, FAKE_USUAL,
                    "m.yaml:1:67: nested more than 64 levels deep; expected a flatter manifest");
    expect_messages(wide, NULL, 0, FAKE_USUAL,
                    "m.yaml:1:199999: more than 100000 values; expected a smaller manifest");
    free(deep);
    free(wide);
}

Test(manifest, refuses_a_file_of_100_mb_without_reading_it)
{
    touch("m.yaml");
    cr_assert_eq(truncate("m.yaml", 100 << 20), 0);
    diags *d = diags_new();
    cr_assert_null(manifest_read("m.yaml", NULL, fake_registry(FAKE_USUAL), NULL, d));
    cr_assert_str_eq(diags_text(d, 0), "m.yaml: 100 MiB of text; expected at most 16 MiB");
    cr_assert_null(diags_text(d, 1));
    diags_free(d);
}

Test(manifest, says_why_a_file_cannot_be_read)
{
    const struct {
        const char *path, *expected;
    } cases[] = {
        {"none.yaml", "none.yaml: cannot open it: No such file or directory; expected a manifest"},
        {"data", "data: it is a directory; expected a manifest"},
    };
    for (size_t i = 0; i < 2; i++) {
        diags *d = diags_new();
        cr_assert_null(manifest_read(cases[i].path, NULL, fake_registry(FAKE_USUAL), NULL, d));
        cr_assert_str_eq(diags_text(d, 0), cases[i].expected);
        diags_free(d);
    }
}

/* ---- the default oracle --------------------------------------------------------------------- */

Test(manifest, takes_the_one_oracle_that_answers_from_the_labels)
{
    manifest *m = read_good(BASE, NULL, 0);
    cr_assert_str_eq(m->oracle->desc->id, "truth");
    manifest_free(m);
    expect_messages(BASE, NULL, 0, FAKE_TWO_TRUTHS,
                    "m.yaml: no oracle is named, and several answer from the dataset's labels: truth, truth-too; name "
                    "one, as in 'oracle: truth-too'");
    expect_messages(BASE "oracle: {x: 1}\n", NULL, 0, FAKE_NO_TRUTH,
                    "m.yaml:5:9: no oracle is named, and none that is installed answers from the dataset's labels; name "
                    "one with 'oracle: ID'; installed: paper\n"
                    "m.yaml:5:9: oracle has no 'use'; expected 'use' with the id of an oracle; installed: paper");
    expect_messages(BASE, NULL, 0, FAKE_EMPTY,
                    "m.yaml: no oracle is named, and none that is installed answers from the dataset's labels; name one "
                    "with 'oracle: ID'\n"
                    "m.yaml:2:10: no dataset 'drawn'\nm.yaml:3:8: no model 'mlp'\nm.yaml:4:11: no strategy 'margin'");
}

/* ---- good manifests ------------------------------------------------------------------------- */

Test(manifest, fills_in_the_documented_defaults)
{
    manifest *m = read_good(BASE, NULL, 0);
    cr_assert_str_eq(m->name, "m");
    cr_assert_str_eq(m->path, "m.yaml");
    cr_assert(m->seed == 1 && m->trials == 1 && m->memory == 0);
    cr_assert(m->n_transforms == 0 && m->n_strategies == 1);
    cr_assert(m->initial_size == 100 && !m->initial_balanced);
    cr_assert(m->query_size == 100 && m->rounds == 10 && m->candidates == 0);
    cr_assert(m->stop_accuracy <= 0 && m->stop_labels == 0 && m->stop_cost <= 0);
    cr_assert(!m->warm_start && m->keep == KEEP_LAST && m->record_nearest);
    cr_assert(m->at_query.line == 0 && strcmp(m->at_query.file, "m.yaml") == 0);
    manifest_free(m);
}

Test(manifest, takes_every_key)
{
    manifest *m = read_good("dalhost: 1\n"
                            "name: 2024\n"
                            "seed: 9223372036854775807\n"
                            "trials: 3\n"
                            "dataset: {use: drawn, from: fake}\n"
                            "transforms: [scale, {use: scale}]\n"
                            "model: mlp\n"
                            "strategy: [margin, {use: twin, from: second}, bald]\n"
                            "oracle: paper\n"
                            "initial: {size: 50, balanced: true}\n"
                            "query: {size: 25, rounds: 0, candidates: 1000}\n"
                            "stop: {accuracy: 0.95, labels: 400, cost: 1e2}\n"
                            "train: {warm_start: true}\n"
                            "record: {models: all, nearest: false}\n"
                            "memory: 4G\n",
                            NULL, 0);
    cr_assert_str_eq(m->name, "2024");
    cr_assert(m->seed == INT64_MAX && m->trials == 3 && m->memory == (int64_t)4 << 30);
    cr_assert(m->n_transforms == 2 && m->n_strategies == 3);
    cr_assert_str_eq(m->strategies[1]->desc->module->name, "second");
    cr_assert_str_eq(m->oracle->desc->id, "paper");
    cr_assert(m->initial_size == 50 && m->initial_balanced);
    cr_assert(m->query_size == 25 && m->rounds == 0 && m->candidates == 1000);
    cr_assert_float_eq(m->stop_accuracy, 0.95, 0);
    cr_assert_float_eq(m->stop_cost, 100, 0);
    cr_assert(m->stop_labels == 400 && m->warm_start && m->keep == KEEP_ALL && !m->record_nearest);
    cr_assert(m->at_query.line == 11 && m->at_query_size.line == 11 && m->at_query_size.col == 15);
    cr_assert(m->strategies[2]->at.line == 8 && m->strategies[2]->at.col == 47);
    manifest_free(m);
}

Test(manifest, reads_the_same_from_a_file_with_a_byte_order_mark_and_crlf)
{
    FILE *f = fopen("m.yaml", "w");
    fputs("\xef\xbb\xbf" "dalhost: 1\r\ndataset: drawn\r\nmodel: mlp\r\nstrategy: margin\r\n", f);
    fclose(f);
    diags *d = diags_new();
    manifest *m = manifest_read("m.yaml", NULL, fake_registry(FAKE_USUAL), NULL, d), *twin = read_good(BASE, NULL, 0);
    cr_assert_not_null(m);
    cr_assert_str_eq(m->effective, twin->effective);
    manifest_free(twin);
    manifest_free(m);
    diags_free(d);
}

Test(manifest, finds_files_beside_it_and_on_the_data_path)
{
    manifest *m = read_good("dalhost: 1\ndataset: {use: files, images: there.gz, folder: data, log: out/x.log, label: 3}\n"
                            "model: mlp\nstrategy: margin\n", NULL, 0);
    const param_value *v = m->dataset->values;
    char *images = xasprintf("%s/data/there.gz", place_dir), *folder = xasprintf("%s/data", place_dir);
    char *log = xasprintf("%s/out/x.log", place_dir);
    cr_assert_str_eq(v[0].str[0], images);
    cr_assert_str_eq(v[1].str[0], folder);
    cr_assert_str_eq(v[2].str[0], log);
    cr_assert_str_eq(v[5].str[0], "3");
    free(images);
    free(folder);
    free(log);
    manifest_free(m);
}

Test(manifest, says_the_effective_manifest_in_one_canonical_way)
{
    const char *expected =
        "{\"dalhost\":1,\"dataset\":{\"from\":\"fake\",\"use\":\"drawn\"},\"initial\":{\"balanced\":false,\"size\":100,\"strategy\":null},"
        "\"model\":{\"betas\":[0.9,0.999],\"cache\":1048576,\"early_stop\":false,\"from\":\"fake\",\"hidden\":[50],"
        "\"rate\":0.001,\"solver\":\"sgd\",\"tags\":[\"a\",\"7\"],\"use\":\"mlp\"},"
        "\"oracle\":{\"from\":\"fake\",\"use\":\"truth\"},\"query\":{\"candidates\":0,\"over_memory\":\"refuse\",\"rounds\":10,\"size\":100},"
        "\"record\":{\"explain\":false,\"models\":\"last\",\"nearest\":true},\"seed\":1,\"stop\":{\"accuracy\":0.1,\"cost\":0.0,\"labels\":0},"
        "\"train\":{\"warm_start\":false},\"transforms\":[]}";
    manifest *m = read_good("dalhost: 1\nname: a\ndataset: drawn\n"
                            "model: {use: mlp, hidden: [50], solver: sgd, tags: [a, 7]}\n"
                            "strategy: wrap\nstop: {accuracy: 0.1}\n", NULL, 0);
    /* other order, spelling, name, trials, memory: still the same runs */
    manifest *n = read_good("stop: {accuracy: 1e-1}\nstrategy: [{use: wrap, base: {use: margin}, more: []}]\nmemory: 1G\n"
                            "trials: 4\nname: b\nmodel: {tags: ['a', 7], solver: sgd, from: fake, use: mlp}\n"
                            "oracle: truth\ndataset: {use: drawn}\ndalhost: 1\nseed: 1\n",
                            (const char *const[]){"model.hidden=[ 50 ]"}, 1);
    cr_assert_str_eq(m->effective, expected);
    cr_assert_str_eq(n->effective, expected);
    manifest_free(m);
    manifest_free(n);
}

Test(manifest, counts_memory_among_what_makes_a_run_when_it_decides_on_the_candidates)
{
    static const char yaml[] = "dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: margin\nmemory: 1M\n";
    manifest *refuses = read_good(yaml, NULL, 0);
    manifest *fits = read_good(yaml, (const char *const[]){"query.over_memory=subsample"}, 1);
    cr_assert(refuses->over_memory == OVER_MEMORY_REFUSE && !strstr(refuses->effective, "\"memory\""));
    cr_assert(fits->over_memory == OVER_MEMORY_SUBSAMPLE && strstr(fits->effective, "\"memory\":1048576"));
    manifest_free(refuses);
    manifest_free(fits);
}

/* ---- --set ---------------------------------------------------------------------------------- */

Test(manifest, sets_values_by_their_path)
{
    const struct {
        const char *set, *expected; /* a part of the effective manifest, or of a strategy after it */
    } cases[] = {
        {"seed=7", "\"seed\":7"},
        {"query.size=5", "\"size\":5"},
        {"model=linear", "\"model\":{\"from\":\"fake\",\"use\":\"linear\"}"},
        {"model.hidden=[5, 6]", "\"hidden\":[5,6]"},
        {"model.hidden=[]", "\"hidden\":[]"},
        {"strategy=[bald, margin]", "\"use\":\"bald\",\"version\":\"1.0\"}{\"from\":\"fake\",\"use\":\"margin\",\"version\":\"1.0\"}"},
        {"strategy.use=bald", "}{\"from\":\"fake\",\"use\":\"bald\",\"version\":\"1.0\"}"},
        {"transforms.0.use=scale", "\"transforms\":[{\"from\":\"fake\",\"use\":\"scale\"}]"},
        {"oracle=paper", "\"use\":\"paper\""},
        {"strategy={use: wrap, label: 'a=b'}", "\"label\":\"a=b\""},
        {"dataset={use: files, images: here.gz, label: \"#x: y\"}", "\"label\":\"#x: y\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        manifest *m = read_good(BASE, &cases[i].set, 1);
        text all = {0};
        text_add(&all, m->effective);
        for (int k = 0; k < m->n_strategies; k++) {
            char *one = spec_json(m->strategies[k]);
            text_add(&all, one);
            free(one);
        }
        cr_expect_not_null(strstr(all.s, cases[i].expected), "%s: %s", cases[i].set, all.s);
        text_free(&all);
        manifest_free(m);
    }
}

Test(manifest, sets_inside_a_component_given_by_its_id)
{
    const char *const sets[] = {"strategy.label=z", "strategy.use=wrap", "strategy.more.0=bald", "strategy.more.1=margin"};
    manifest *m = read_good(BASE, sets, 4);
    char *t = param_value_text(&(param_value){.desc = &(param_desc){"s", DAL_PARAM_COMPONENT, "", "strategy", "", ""},
                                              .n = 1, .component = m->strategies});
    cr_assert_str_eq(t, "{use: wrap, more: [bald, margin], label: z}");
    free(t);
    manifest_free(m);
}

Test(manifest, says_what_is_wrong_with_a_set)
{
    const struct {
        const char *set, *expected;
    } cases[] = {
        {"model.hiden=[50]", "--set model.hiden=[50]: unknown key 'hiden' of model 'mlp'; did you mean 'hidden'?"},
        {"model.hidden=50", "--set model.hidden=50: model 'mlp': hidden is 50; expected a list of whole numbers of at "
                            "least 1 (units); try [50]"},
        {"model.hidden=[50", "--set model.hidden=[50: not YAML: did not find expected ',' or ']' while parsing a flow "
                             "sequence; close the list with ']'"},
        {"seed", "--set seed: no '=' in it; expected KEY=VALUE, as in model.epochs=5"},
        {"=5", "--set =5: no 'KEY' in it; expected KEY=VALUE, as in model.epochs=5"},
        {"query..size=5", "--set query..size=5: an empty part in the path; expected KEY.KEY=VALUE"},
        {"seed.x=5", "--set seed.x=5: seed is a mapping; expected a whole number of at least 0"},
        {"seed=", "--set seed=: seed is empty; expected a whole number of at least 0; leave the key out for the default"},
        {"transforms.1=scale", "--set transforms.1=scale: 'transforms' is an empty list, so '1' is not in it; expected 0 to "
                               "add an item"},
        {"strategy=[x, margin]", "--set strategy=[x, margin]: no strategy 'x'"},
        {"strategy.x=&a 1", "--set strategy.x=&a 1: anchor '&a'; aliases are not used in manifests; write the value out"},
        {"seed=\xff", "--set seed=\xff: byte 5 is not UTF-8; expected UTF-8 text"},
        {"train={warm_start: true, warm_start: false}",
         "--set train={warm_start: true, warm_start: false}: duplicate key 'warm_start'; keep one of them"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_messages("dalhost: 1\nseed: 3\ndataset: drawn\nmodel: mlp\nstrategy: margin\ntransforms: []\n",
                        &cases[i].set, 1, FAKE_USUAL, cases[i].expected);
    expect_messages("dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: [margin, bald]\n",
                    (const char *const[]){"strategy.2.x=1", "strategy.bald=1"}, 2, FAKE_USUAL,
                    "--set strategy.2.x=1: strategy[2] has no 'use'; expected 'use' with the id of a strategy; installed: "
                    "bad-default, bad-domain, bad-yaml, bald, endless, foreign, margin, twin, twin, wrap\n"
                    "--set strategy.bald=1: 'strategy' is a list of 3, so 'bald' is not in it; expected 0..2, or 3 to add "
                    "an item");
}

Test(manifest, looks_for_a_file_of_set_in_the_working_directory_first)
{
    FILE *f = fopen("data/m.yaml", "w");
    fputs(BASE, f);
    fclose(f);
    const char *const sets[] = {"dataset={use: files, images: here.gz}"};
    const manifest_options o = {sets, 1, NULL, 0, NULL};
    diags *d = diags_new();
    manifest *m = manifest_read("data/m.yaml", NULL, fake_registry(FAKE_USUAL), &o, d);
    cr_assert_not_null(m);
    cr_assert(strstr(m->dataset->values[0].str[0], place_dir) && strstr(m->dataset->values[0].str[0], "/here.gz"));
    manifest_free(m);
    diags_free(d);
    remove("data/m.yaml");
}
