/* Manifests that are taken, and what they become. */
#include "tests/unit/manifest_place.h"

TestSuite(manifest_good, .init = enter, .fini = leave);

/* ---- good manifests ------------------------------------------------------------------------- */

Test(manifest_good, fills_in_the_documented_defaults)
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

Test(manifest_good, takes_every_key)
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

Test(manifest_good, reads_the_same_from_a_file_with_a_byte_order_mark_and_crlf)
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

Test(manifest_good, finds_files_beside_it_and_on_the_data_path)
{
    manifest *m =
        read_good("dalhost: 1\ndataset: {use: files, images: there.gz, folder: data, log: out/x.log, label: 3}\n"
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

Test(manifest_good, takes_one_path_or_a_list_of_them)
{
    static const struct {
        const char *given;
        int64_t n;
    } cases[] = {{"there.gz", 1}, {"[there.gz]", 1}, {"[here.gz, there.gz]", 2}, {"[]", 0}, {"''", 0}};
    char *there = xasprintf("%s/data/there.gz", place_dir);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *set = xasprintf("dataset={use: files, images: here.gz, parts: %s}", cases[i].given);
        manifest *m = read_good(BASE, (const char *const *)&set, 1);
        const param_value *v = &m->dataset->values[6];
        cr_assert_eq(v->n, cases[i].n, "%s: %lld", cases[i].given, (long long)v->n);
        cr_assert(v->n == 0 || strcmp(v->str[v->n - 1], there) == 0);
        void *block = NULL;
        cr_assert_eq(spec_options(m->dataset, fake_live("files"), &block, NULL), DAL_OK);
        const dal_str_list parts = ((const files_options *)block)->parts;
        cr_assert(parts.n == v->n && (v->n == 0 || strcmp(parts.items[v->n - 1], there) == 0));
        free(block);
        manifest_free(m);
        free(set);
    }
    free(there);
}

Test(manifest_good, says_the_effective_manifest_in_one_canonical_way)
{
    const char *expected =
        "{\"dalhost\":1,\"dataset\":{\"from\":\"fake\",\"use\":\"drawn\"},"
        "\"initial\":{\"balanced\":false,\"size\":100,\"strategy\":null},"
        "\"model\":{\"betas\":[0.9,0.999],\"cache\":1048576,\"early_stop\":false,\"from\":\"fake\",\"hidden\":[50],"
        "\"rate\":0.001,\"solver\":\"sgd\",\"tags\":[\"a\",\"7\"],\"use\":\"mlp\"},"
        "\"oracle\":{\"from\":\"fake\",\"use\":\"truth\"},"
        "\"query\":{\"candidates\":0,\"over_memory\":\"refuse\",\"rounds\":10,\"size\":100},"
        "\"record\":{\"explain\":false,\"models\":\"last\",\"nearest\":true},\"seed\":1,"
        "\"stop\":{\"accuracy\":0.1,\"cost\":0.0,\"labels\":0},"
        "\"train\":{\"warm_start\":false},\"transforms\":[]}";
    manifest *m = read_good("dalhost: 1\nname: a\ndataset: drawn\n"
                            "model: {use: mlp, hidden: [50], solver: sgd, tags: [a, 7]}\n"
                            "strategy: wrap\nstop: {accuracy: 0.1}\n", NULL, 0);
    /* other order, spelling, name, trials, memory: still the same runs */
    manifest *n =
        read_good("stop: {accuracy: 1e-1}\nstrategy: [{use: wrap, base: {use: margin}, more: []}]\nmemory: 1G\n"
                            "trials: 4\nname: b\nmodel: {tags: ['a', 7], solver: sgd, from: fake, use: mlp}\n"
                            "oracle: truth\ndataset: {use: drawn}\ndalhost: 1\nseed: 1\n",
                            (const char *const[]){"model.hidden=[ 50 ]"}, 1);
    cr_assert_str_eq(m->effective, expected);
    cr_assert_str_eq(n->effective, expected);
    manifest_free(m);
    manifest_free(n);
}

Test(manifest_good, counts_memory_among_what_makes_a_run_when_it_decides_on_the_candidates)
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

Test(manifest_good, sets_values_by_their_path)
{
    const struct {
        const char *set, *expected; /* a part of the effective manifest, or of a strategy after it */
    } cases[] = {
        {"seed=7", "\"seed\":7"},
        {"query.size=5", "\"size\":5"},
        {"model=linear", "\"model\":{\"from\":\"fake\",\"use\":\"linear\"}"},
        {"model.hidden=[5, 6]", "\"hidden\":[5,6]"},
        {"model.hidden=[]", "\"hidden\":[]"},
        {"strategy=[bald, margin]",
         "\"use\":\"bald\",\"version\":\"1.0\"}{\"from\":\"fake\",\"use\":\"margin\",\"version\":\"1.0\"}"},
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

Test(manifest_good, sets_inside_a_component_given_by_its_id)
{
    const char *const sets[] = {"strategy.label=z", "strategy.use=wrap", "strategy.more.0=bald",
                                "strategy.more.1=margin"};
    manifest *m = read_good(BASE, sets, 4);
    char *t = param_value_text(&(param_value){.desc = &(param_desc){"s", DAL_PARAM_COMPONENT, "", "strategy", "", ""},
                                              .n = 1, .component = m->strategies});
    cr_assert_str_eq(t, "{use: wrap, more: [bald, margin], label: z}");
    free(t);
    manifest_free(m);
}

Test(manifest_good, says_what_is_wrong_with_a_set)
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
        {"seed=", "--set seed=: seed is empty; expected a whole number of at least 0; leave the key out for the "
                  "default"},
        {"transforms.1=scale",
                               "--set transforms.1=scale: 'transforms' is an empty list, so '1' is not in it; expected "
                               "0 to add an item"},
        {"strategy=[x, margin]", "--set strategy=[x, margin]: no strategy 'x'"},
        {"strategy.x=&a 1",
         "--set strategy.x=&a 1: anchor '&a'; aliases are not used in manifests; write the value out"},
        {"seed=\xff", "--set seed=\xff: byte 5 is not UTF-8; expected UTF-8 text"},
        {"train={warm_start: true, warm_start: false}",
         "--set train={warm_start: true, warm_start: false}: duplicate key 'warm_start'; keep one of them"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_messages("dalhost: 1\nseed: 3\ndataset: drawn\nmodel: mlp\nstrategy: margin\ntransforms: []\n",
                        &cases[i].set, 1, FAKE_USUAL, cases[i].expected);
    expect_messages("dalhost: 1\ndataset: drawn\nmodel: mlp\nstrategy: [margin, bald]\n",
                    (const char *const[]){"strategy.2.x=1", "strategy.bald=1"}, 2, FAKE_USUAL,
                    "--set strategy.2.x=1: strategy[2] has no 'use'; expected 'use' with the id of a strategy; "
                    "installed: bad-default, bad-domain, bad-yaml, bald, compare, endless, foreign, margin, twin, "
                    "twin, wrap\n"
                    "--set strategy.bald=1: 'strategy' is a list of 3, so 'bald' is not in it; expected 0..2, or 3 to "
                    "add an item");
}

Test(manifest_good, looks_for_a_file_of_set_in_the_working_directory_first)
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
