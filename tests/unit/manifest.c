/* Manifests that are refused, and what is said of them. */
#include "tests/unit/manifest_place.h"

TestSuite(manifest, .init = enter, .fini = leave);

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
    {"dalhost: 1\nquery:\n\tsize: 1\n",
                                        "m.yaml:3:1: not YAML: found character that cannot start any token while "
                                        "scanning for the next token; indent with spaces, not tabs"},
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
    {BASE "zzz: 1\n",
                      "m.yaml:5:1: unknown key 'zzz'; expected one of dalhost, name, seed, trials, dataset, "
                      "transforms, model, strategy, oracle, memory, initial, query, stop, train, record"},
    {BASE "query: {sise: 1}\n", "m.yaml:5:9: unknown key 'sise' of query; did you mean 'size'?"},
    {BASE "stop: {when: 1}\n", "m.yaml:5:8: unknown key 'when' of stop; expected one of accuracy, labels, cost"},
    {"dalhost: 1\ndataset: drawn\nmodel: {use: mlp, hiden: [5]}\nstrategy: margin\n",
     "m.yaml:3:19: unknown key 'hiden' of model 'mlp'; did you mean 'hidden'?"},
    {"dalhost: 1\ndataset: drawn\nmodel: {use: linear, c: 1}\nstrategy: margin\n",
     "m.yaml:3:22: unknown key 'c' of model 'linear', which has no parameters"},
    {BASE "\"a\\e[31m\\nb\": 1\n",
     "m.yaml:5:1: unknown key 'a\\x1b[31m\\x0ab'; expected one of dalhost, name, seed, trials, dataset, transforms, "
     "model, strategy, oracle, memory, initial, query, stop, train, record"},
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
    {BASE "seed: 0x10\n",
                          "m.yaml:5:7: seed is 0x10; expected a whole number of at least 0; write it in decimal, "
                          "without '_' and leading zeros"},
    {BASE "seed: 1_000\n", "m.yaml:5:7: seed is 1_000; expected a whole number of at least 0; write it in decimal, "
                           "without '_' and leading zeros"},
    {BASE "seed: 010\n", "m.yaml:5:7: seed is 010; expected a whole number of at least 0; write it in decimal, without "
                         "'_' and leading zeros"},
    {BASE "seed: 9223372036854775808\n",
     "m.yaml:5:7: seed is 9223372036854775808; expected a whole number of at least 0; it is too large"},
    {BASE "seed:\n",
     "m.yaml:5:6: seed is empty; expected a whole number of at least 0; leave the key out for the default"},
    {BASE "seed: [1]\n",
     "m.yaml:5:7: seed is a list; expected a whole number of at least 0; try it without the brackets"},
    {BASE "trials: 0\n", "m.yaml:5:9: trials is 0; expected a whole number in 1..1000000 (runs)"},
    {BASE "memory: 4Q\n",
     "m.yaml:5:9: memory is text '4Q'; expected a whole number of at least 0 (bytes); try 512M or 4G"},
    {BASE "memory: 9000000000G\n",
     "m.yaml:5:9: memory is text '9000000000G'; expected a whole number of at least 0 (bytes); try 512M or 4G"},

    /* numbers, truth values, words, texts, lists */
    {BASE "stop: {accuracy: 95}\n", "m.yaml:5:18: stop.accuracy is 95; expected a number in 0..1"},
    {BASE "stop: {cost: .nan}\n",
     "m.yaml:5:14: stop.cost is .nan; expected a number of at least 0; NaN and infinity are no values for a parameter"},
    {BASE "stop: {cost: 1e999}\n", "m.yaml:5:14: stop.cost is 1e999; expected a number of at least 0; it is too large"},
    {BASE "train: {warm_start: yes}\n",
     "m.yaml:5:21: train.warm_start is text 'yes'; expected true or false; did you mean true?"},
    {BASE "train: {warm_start: 0}\n",
     "m.yaml:5:21: train.warm_start is 0; expected true or false; did you mean false?"},
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
    {"dalhost: 1\ndataset: drawn\nmodel: {use: mlp, tags: [a, '', {b: 1}], hidden: {a: 1}, rate: 0}\nstrategy: "
     "margin\n", "m.yaml:3:29: model 'mlp': tags[1] is quoted text ''; expected text that is not empty\n"
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
     "m.yaml:3:8: model is a list; expected a model (its id, or a mapping with 'use'); installed: convnet, linear, "
     "mlp"},
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
     "m.yaml:4:30: strategy[2] is a list; expected a strategy (its id, or a mapping with 'use'); installed: "
     "bad-default, bad-domain, bad-yaml, bald, compare, endless, foreign, margin, twin, twin, wrap\n"
     "m.yaml:4:56: no strategy 'ball'"},
    {BASE "transforms: {scale: 1}\n",
     "m.yaml:5:13: transforms has no 'use'; expected 'use' with the id of a transform; installed: scale"},
    {"dalhost: 1\ndataset: files\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:10: 'images' of dataset 'files' is missing; expected the path of a file: images of the pool"},
    {"dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy:\n  - use: wrap\n    base: {use: wrap, base: {use: bald, x: "
     "1}}\n", "m.yaml:6:41: unknown key 'x' of strategy 'bald', which has no parameters"},

    /* paths */
    {"dalhost: 1\ndataset: {use: files, images: none.gz}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images: no file 'none.gz'; looked for $PWD/none.gz, $PWD/data/none.gz" PATH_HINT},
    {"dalhost: 1\ndataset: {use: files, images: data}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images: no file 'data'; looked for $PWD/data (a directory), "
     "$PWD/data/data" PATH_HINT},
    {"dalhost: 1\ndataset: {use: files, images: here.gz, folder: here.gz}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:48: dataset 'files': folder: no directory 'here.gz'; looked for $PWD/here.gz (not a directory), "
     "$PWD/data/here.gz" PATH_HINT},
    {"dalhost: 1\ndataset: {use: files, images: /none/x}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images: no file '/none/x'; looked for /none/x"},
    {"dalhost: 1\ndataset: {use: files, images: ''}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images is empty; expected the path of a file"},
    {"dalhost: 1\ndataset: {use: files, images: [a]}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:31: dataset 'files': images is a list; expected the path of a file"},
    {"dalhost: 1\ndataset: {use: files, images: here.gz, parts: [here.gz, none.gz, '']}\nmodel: mlp\nstrategy: "
     "margin\n", "m.yaml:2:57: dataset 'files': parts[1]: no file 'none.gz'; looked for $PWD/none.gz, "
                 "$PWD/data/none.gz" PATH_HINT "\n"
     "m.yaml:2:66: dataset 'files': parts[2] is empty; expected the path of a file, or a list of them"},
    {"dalhost: 1\ndataset: {use: files, images: here.gz, parts: {a: 1}}\nmodel: mlp\nstrategy: margin\n",
     "m.yaml:2:47: dataset 'files': parts is a mapping; expected the path of a file, or a list of them"},

    /* capabilities */
    {"dalhost: 1\ndataset: drawn\nmodel: linear\nstrategy: [margin, bald]\ntrain: {warm_start: true}\n",
     "m.yaml:4:20: strategy 'bald' needs dal.model.mc/1, which model 'linear' does not offer; models that do: convnet, "
     "mlp\n"
     "m.yaml:5:21: train.warm_start needs dal.model.warm-start/1, which model 'linear' does not offer; models that do: "
     "mlp"},
    {"dalhost: 1\ndataset: drawn\nmodel: linear\nstrategy: {use: wrap, more: [margin, bald]}\n",
     "m.yaml:4:38: strategy 'bald' needs dal.model.mc/1, which model 'linear' does not offer; models that do: convnet, "
     "mlp"},
    {"dalhost: 1\ndataset: drawn\nmodel: linear\nstrategy: [compare, {use: compare, by: passes}, {use: compare, twice: "
     "true}, {use: wrap, base: {use: compare, by: passes}}]\n",
     "m.yaml:4:27: strategy 'compare' needs dal.model.mc/1, which model 'linear' does not offer; models that do: "
     "convnet, mlp\n"
     "m.yaml:4:55: strategy 'compare' needs dal.model.mc/1, which model 'linear' does not offer; models that do: "
     "convnet, mlp\n"
     "m.yaml:4:102: strategy 'compare' needs dal.model.mc/1, which model 'linear' does not offer; models that do: "
     "convnet, mlp"},
    {"dalhost: 1\ndataset: drawn\nmodel: linear\nstrategy: margin\ninitial: {strategy: {use: compare, by: gradient}}\n",
     "m.yaml:5:27: strategy 'compare' needs dal.model.outputs/1, and no model is trained yet when the initial set is "
     "chosen; expected a strategy that needs features alone, which the inputs then are, or nothing"},
    {"dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: foreign\n",
     "m.yaml:4:11: strategy 'foreign' needs dal.model.odd/1 and org.example.thing/1, which model 'mlp' does not offer; "
     "no installed model does"},

    /* faults of modules */
    {"dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: [bad-default, bad-yaml, bad-domain]\n",
     "/m/faulty.so: the default of 'n' of strategy 'bad-default' is faulty: '0' is 0; expected a whole number of at "
     "least 1; tell the module's author\n"
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
                    "m.yaml:3:16: 'images' of dataset 'files' is missing; expected the path of a file: images of the "
                    "pool\n"
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
    cr_assert_not_null(strstr(diags_text(d, 0),
                              "/m/faulty.so: the default of 'base' of strategy 'endless' is faulty: "));
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
                    "m.yaml:5:9: no oracle is named, and none that is installed answers from the dataset's labels; "
                    "name one with 'oracle: ID'; installed: paper\n"
                    "m.yaml:5:9: oracle has no 'use'; expected 'use' with the id of an oracle; installed: paper");
    expect_messages(BASE, NULL, 0, FAKE_EMPTY,
                    "m.yaml: no oracle is named, and none that is installed answers from the dataset's labels; name "
                    "one with 'oracle: ID'\n"
                    "m.yaml:2:10: no dataset 'drawn'\nm.yaml:3:8: no model 'mlp'\nm.yaml:4:11: no strategy 'margin'");
}
