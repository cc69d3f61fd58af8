/* Cards: what they may say, how they are found, and what a manifest makes of them. */
#include <criterion/criterion.h>

#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manifest/manifest.h"
#include "tests/unit/fake_registry.h"
#include "util/text.h"

static char *dir;

static void put(const char *name, const char *words)
{
    FILE *f = fopen(name, "w");
    cr_assert_not_null(f, "%s", name);
    fputs(words, f);
    fclose(f);
}

#define HEAD(name) "card: 1\nname: " name "\ntitle: a set\nmodality: vector\n"
static const char good[] =
    HEAD("good")
    "shape: [4]\nclasses: [ant, bee]\ncounts: {train: [5, 7], test: 3}\nnormalise: {mean: [0.5], std: [0.25]}\n"
    "dataset: {use: files, images: set/x.gz, noise: 0.25}\n"
    "files:\n  - {path: set/x.gz, size: 0, url: 'https://example.org/x.gz',\n"
    "     sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}\n"
    "  - {path: set/y.gz, optional: true}\n"
    "licence: none\nnotes: [a subset]\n";

static void enter(void)
{
    char name[] = "/tmp/dalhost-card-XXXXXX";
    cr_assert_not_null(mkdtemp(name));
    dir = realpath(name, NULL);
    cr_assert_eq(chdir(dir), 0);
    cr_assert_eq(mkdir("data", 0700) | mkdir("data/set", 0700) | mkdir("own", 0700) | mkdir("shipped", 0700), 0);
    put("data/set/x.gz", "");
    put("shipped/good.yaml", good);
}

static void leave(void)
{
    cr_assert_eq(chdir("/"), 0);
    char *line = xasprintf("rm -r '%s'", dir);
    cr_assert_eq(system(line), 0);
    free(line);
    free(dir);
}

TestSuite(card, .init = enter, .fini = leave);

static cards *all_cards(void)
{
    static const char *const dirs[] = {"own", "missing", "shipped"};
    return cards_new(dirs, 3);
}

static char *first_message(const diags *d)
{
    return xstrdup(diags_text(d, 0) ? diags_text(d, 0) : "");
}

static char *complaint(const char *yaml)
{
    diags *d = diags_new();
    arena *mem = arena_new();
    const card *c = card_parse(mem, "cards/good.yaml", yaml, strlen(yaml), d);
    cr_expect_null(c, "accepted: %s", yaml);
    char *words = first_message(d);
    arena_free(mem);
    diags_free(d);
    return words;
}

Test(card, tells_what_it_says)
{
    cards *all = all_cards();
    diags *d = diags_new();
    const card *c = cards_find(all, "good", d);
    diags_print(d, stderr);
    cr_assert_not_null(c);
    cr_expect_str_eq(c->modality, "vector");
    cr_expect(c->n_classes == 2 && strcmp(c->classes[1], "bee") == 0);
    cr_expect_eq(card_count(c, DAL_SPLIT_TRAIN), 12);
    cr_expect_eq(card_count(c, DAL_SPLIT_VALIDATION), -1);
    cr_expect_eq(card_count(c, DAL_SPLIT_TEST), 3);
    cr_expect(c->n_mean == 1 && c->mean[0] == 0.5 && c->std[0] == 0.25);
    cr_assert_eq(c->n_files, 2);
    cr_expect(c->files[0].size == 0 && !c->files[0].optional && strlen(c->files[0].sha256) == 64);
    cr_expect(c->files[1].size == -1 && c->files[1].optional && !*c->files[1].url);
    cr_expect_eq(c->files[0].at.line, 11);
    diags_free(d);
    cards_free(all);
}

Test(card, complains_with_its_place)
{
    static const struct {
        const char *yaml, *expected;
    } cases[] = {
        {"", "cards/good.yaml:1:1: it is empty; expected a card, a mapping that begins with 'card: 1'"},
        {HEAD("other") "dataset: {use: files}\n",
         "cards/good.yaml:2:7: name is 'other', but the file is good.yaml; expected the same"},
        {HEAD("good") "dataset: {images: x}\n", "cards/good.yaml:5:10: dataset has no 'use'; expected the loader's id"},
        {HEAD("good") "dataset: files\n", "cards/good.yaml:5:10: dataset is text 'files'; expected a mapping"},
        {HEAD("good"),
                       "cards/good.yaml: 'dataset' is missing; expected the loader and its parameters, as in {use: "
                       "csv, path: FILE}"},
        {HEAD("good") "dataset: {use: files}\nfilez: []\n",
         "cards/good.yaml:6:1: unknown key 'filez'; did you mean 'files'?"},
        {HEAD("good") "dataset: {use: files}\nfiles: [{path: ../x}]\n",
         "cards/good.yaml:6:9: path '../x'; expected one below a folder of data, without '.' and '..'"},
        {HEAD("good") "dataset: {use: files}\nfiles: [{path: a//b}]\n",
         "cards/good.yaml:6:9: path 'a//b'; expected one below a folder of data, without '.' and '..'"},
        {HEAD("good") "dataset: {use: files}\nfiles: [{path: /a, url: 'https://b/c'}]\n",
         "cards/good.yaml:6:9: path '/a'; expected one below a folder of data, without '.' and '..', since it has a "
         "url"},
        {HEAD("good") "dataset: {use: files}\nfiles: [{path: a, sha256: abc}]\n",
         "cards/good.yaml:6:9: sha256 of a is 'abc'; expected 64 digits 0-9a-f"},
        {HEAD("good") "dataset: {use: files}\nfiles: [{path: a, url: 'file:///etc/passwd'}]\n",
         "cards/good.yaml:6:9: url of a is 'file:///etc/passwd'; expected https://... or http://..."},
        {HEAD("good") "dataset: {use: files}\nclasses: [a, b]\ncounts: {train: [1, 2, 3]}\n",
         "cards/good.yaml:7:17: counts.train has 3 numbers, but there are 2 classes; expected one of each class, or "
         "one of all"},
        {"card: 2\nname: good\ntitle: a\nmodality: text\ndataset: {use: files}\n",
         "cards/good.yaml:1:7: card is 2; expected 1, the format of cards that this program reads"},
        {"card: 1\nname: good\ntitle: a\nmodality: sound\ndataset: {use: files}\n",
         "cards/good.yaml:4:11: modality is text 'sound'; expected one of vector, image, text, sparse"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *got = complaint(cases[i].yaml);
        cr_expect_str_eq(got, cases[i].expected, "\n  got:  %s\n  want: %s", got, cases[i].expected);
        free(got);
    }
}

Test(card, of_the_first_folder_wins)
{
    put("own/good.yaml", "card: 1\nname: good\ntitle: mine\nmodality: text\ndataset: {use: files}\n");
    put("own/.hidden.yaml", "");
    put("own/no card.yaml", "");
    put("own/a.yaml.bak", "");
    put("shipped/b.yaml", "");
    cards *all = all_cards();
    diags *d = diags_new();
    cr_assert_eq(cards_count(all), 2);
    cr_expect_str_eq(cards_name(all, 0), "b");
    cr_expect_str_eq(cards_name(all, 1), "good");
    cr_expect_str_eq(cards_find(all, "good", d)->title, "mine");
    cr_expect_null(cards_find(all, "b", d));
    cr_expect_eq(diags_errors(d), 1);
    cr_expect_null(cards_find(all, "../own/good", d));
    cr_expect_str_eq(cards_near(all, "Go_Od"), "good");
    cr_expect_str_eq(cards_near(all, "gold"), "good");
    cr_expect_null(cards_near(all, "quite-another"));
    diags_free(d);
    cards_free(all);
}

/* ---- in a manifest ---- */

#define REST "\nmodel: mlp\nstrategy: margin\n"

static manifest *read_dataset(const char *dataset, const char *const *sets, int n, cards *all, diags *d)
{
    static const char *const data_path[] = {"data"};
    const manifest_options o = {sets, n, data_path, 1, all};
    char *yaml = xasprintf("dalhost: 1\ndataset: %s" REST, dataset);
    manifest *m = manifest_read("m.yaml", yaml, fake_registry(FAKE_USUAL), &o, d);
    free(yaml);
    return m;
}

Test(card, stands_for_its_loader)
{
    static const char *const forms[] = {"good", "{use: good}", "{use: good, noise: 0.75}"};
    cards *all = all_cards();
    for (int i = 0; i < 3; i++) {
        diags *d = diags_new();
        manifest *m = read_dataset(forms[i], NULL, 0, all, d);
        diags_print(d, stderr);
        cr_assert_not_null(m);
        cr_expect_str_eq(m->dataset->desc->id, "files");
        cr_expect_eq(m->dataset->card, cards_find(all, "good", d));
        json_t *j = json_loads(m->effective, 0, NULL), *set = json_object_get(j, "dataset");
        cr_expect_str_eq(json_string_value(json_object_get(set, "use")), "files");
        cr_expect_str_eq(json_string_value(json_object_get(set, "card")), "good");
        cr_expect(json_number_value(json_object_get(set, "noise")) == (i == 2 ? 0.75 : 0.25));
        char *path = xasprintf("%s/data/set/x.gz", dir);
        cr_expect_str_eq(json_string_value(json_object_get(set, "images")), path);
        free(path);
        json_decref(j);
        manifest_free(m);
        diags_free(d);
    }
    cards_free(all);
}

Test(card, gives_way_to_a_component_of_its_name)
{
    put("own/drawn.yaml", HEAD("drawn") "dataset: {use: files, images: set/x.gz}\n");
    cards *all = all_cards();
    diags *d = diags_new();
    manifest *m = read_dataset("drawn", NULL, 0, all, d);
    cr_assert_not_null(m);
    cr_expect_str_eq(m->dataset->desc->id, "drawn");
    cr_expect_null(m->dataset->card);
    manifest_free(m);
    diags_free(d);
    cards_free(all);
}

static void expect_complaint(cards *all, const char *dataset, const char *expected)
{
    diags *d = diags_new();
    cr_expect_null(read_dataset(dataset, NULL, 0, all, d));
    char *got = first_message(d);
    cr_expect(strstr(got, expected), "\n  got:  %s\n  want: %s", got, expected);
    cr_expect_eq(diags_errors(d), 1, "%d complaints about %s", diags_errors(d), dataset);
    free(got);
    diags_free(d);
}

Test(card, in_a_manifest_is_complained_about_where_the_fault_is)
{
    put("shipped/gone.yaml",
        HEAD("gone") "dataset: {use: files, images: set/a.gz}\nfiles: [{path: set/a.gz, url: 'http://x/a'}]\n");
    put("shipped/lost.yaml", HEAD("lost") "dataset: {use: files, images: set/b.gz, folder: set/c}\nhome: https://h\n");
    put("shipped/odd.yaml", HEAD("odd") "dataset: {use: filez, images: set/x.gz}\n");
    put("shipped/loop.yaml", HEAD("loop") "dataset: {use: loop}\n");
    put("shipped/value.yaml", HEAD("value") "dataset: {use: files, images: set/x.gz, noise: 2}\n");
    put("shipped/bad.yaml", "card: 1\n");
    cards *all = all_cards();
    expect_complaint(all, "{use: gone}", "m.yaml:2:16: dataset 'gone': there is no set/a.gz; looked in ");
    expect_complaint(all, "{use: gone}", "get it with: dalhost dataset fetch gone");
    expect_complaint(all, "lost", "m.yaml:2:10: dataset 'lost': there is no set/b.gz, set/c; looked in ");
    expect_complaint(all, "lost", "no address is known to fetch it from; see https://h");
    expect_complaint(all, "odd", "shipped/odd.yaml:5:16: ");
    expect_complaint(all, "loop", "shipped/loop.yaml:5:16: ");
    expect_complaint(all, "value", "shipped/value.yaml:5:48: dataset 'value' (files): noise is 2");
    expect_complaint(all, "{use: good, nois: 1}",
                     "m.yaml:2:22: unknown key 'nois' of dataset 'good' (files); did you mean 'noise'?");
    expect_complaint(all, "{use: good, images: y.gz}", "m.yaml:2:30: dataset 'good' (files): images: no file 'y.gz'");
    expect_complaint(all, "goood", "m.yaml:2:10: there is no dataset 'goood'; did you mean 'good'?");
    cr_expect_eq(cards_count(all), 7);
    diags *d = diags_new();
    cr_expect_null(read_dataset("bad", NULL, 0, all, d));
    cr_expect(strstr(diags_text(d, 0), "/bad.yaml: ") || strstr(diags_text(d, 0), "shipped/bad.yaml: "), "%s",
              diags_text(d, 0));
    diags_free(d);
    cards_free(all);
}

Test(card, brings_its_transforms_before_those_of_the_manifest)
{
    put("own/split.yaml", HEAD("split") "dataset: {use: drawn}\ntransforms: [scale, scale]\n");
    cards *all = all_cards();
    diags *d = diags_new();
    const char *const sets[] = {"transforms=scale"};
    manifest *m = read_dataset("split", sets, 1, all, d);
    diags_print(d, stderr);
    cr_assert_not_null(m);
    cr_expect_eq(m->n_transforms, 3);
    manifest_free(m);
    const manifest_options o = {.cards = all};
    m = manifest_of_dataset("split", fake_registry(FAKE_USUAL), &o, d);
    cr_assert_not_null(m);
    cr_expect(m->n_transforms == 2 && m->dataset->card && !m->effective);
    manifest_free(m);
    diags_free(d);
    cards_free(all);
}
