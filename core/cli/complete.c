/* What may stand where somebody types: the answers of the shells' completion.
 *
 * `dalhost complete WORD...` gets the words after `dalhost` up to the one being typed, which may be empty, and prints
 * what it may become, one a line; nothing where any text or a file's name is right. Of KEY=VALUE and --option=VALUE it
 * prints what comes after the last "=" alone; a word that is a mere "=" joins its neighbours, as bash cuts them.
 */
#include "cli/complete.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/dataset.h"
#include "cli/experiment.h"
#include "cli/help.h"
#include "manifest/reader.h"
#include "util/text.h"

typedef struct typing {
    const cli_command *command; /* NULL: not typed yet */
    const char *group;          /* "plugin", when the next word makes it a command */
    bool unknown;               /* there is no such command */
    const cli_option *option;   /* whose value is being typed; NULL: none */
    const char *plugins[8];
    int n_plugins;
    const char *word; /* what there is of it; of a value what comes after "=" */
    const char *key;  /* "strategy" of --set strategy=; NULL: none */
} typing;

/* A word that may be meant, if what is typed begins it. */
static void offer(const typing *t, const char *word, const char *tail)
{
    if (strncmp(word, t->word, strlen(t->word)) == 0)
        printf("%s%s\n", word, tail);
}

static void offer_words(const typing *t, const char *words)
{
    while (*words) {
        const size_t n = strcspn(words, "|");
        char *one = xstrndup(words, n);
        offer(t, one, "");
        free(one);
        words += n + (words[n] == '|');
    }
}

/* ---- what there is ---- */

/* Ids of a kind; 0: of all. Modules instead, where `modules`. */
static void offer_components(const typing *t, uint32_t kind, bool modules)
{
    diags *d = diags_new();
    registry *r = registry_new(t->plugins, t->n_plugins, d);
    for (int i = 0; i < registry_n_components(r) && !modules; i++) {
        const component_desc *c = registry_component(r, i);
        if (!kind || c->kind == kind)
            offer(t, c->id, "");
    }
    for (int i = 0; i < registry_n_modules(r) && modules; i++)
        if (registry_module(r, i)->state == MODULE_OK)
            offer(t, registry_module(r, i)->name, "");
    registry_free(r);
    diags_free(d);
}

static void offer_cards(const typing *t)
{
    cards *all = dataset_cards();
    for (int i = 0; i < cards_count(all); i++)
        offer(t, cards_name(all, i), "");
    cards_free(all);
}

static void offer_manifests(const typing *t)
{
    int n;
    const char **names = experiment_manifests(&n);
    for (int i = 0; i < n; i++)
        offer(t, names[i], "");
    experiment_free_names(names, n);
}

/* ---- values ---- */

/* A key of the manifest; where a component is chosen by it, the components. */
static void offer_setting(const typing *t)
{
    if (!t->key) {
        for (int i = 0; i < manifest_root.n_params; i++)
            offer(t, manifest_root.params[i].name, "=");
        for (int s = 0; s < SECTION_N; s++)
            for (int i = 0; i < manifest_sections[s].n_params; i++) {
                char *key = xasprintf("%s.%s", manifest_sections[s].name, manifest_sections[s].params[i].name);
                offer(t, key, "=");
                free(key);
            }
        return;
    }
    const uint32_t kind = kind_from_name(t->key);
    if (kind)
        offer_components(t, kind, false);
    if (kind == DAL_KIND_DATASET)
        offer_cards(t);
}

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void offer_value(const typing *t)
{
    const char *arg = t->option->arg, *name = t->option->name, *command = t->command ? t->command->name : "";
    if (is(arg, "KIND"))
        offer_words(t, is(command, "plugin new") ? "dataset|transform|model|network|strategy|oracle"
                                                 : "dataset|transform|model|strategy|oracle");
    else if (is(arg, "SPLIT"))
        offer_words(t, "train|validation|test");
    else if (is(name, "over-memory"))
        offer_words(t, "refuse|subsample");
    else if (is(name, "strategy") || is(name, "baseline"))
        offer_components(t, DAL_KIND_STRATEGY, false);
    else if (is(name, "loader"))
        offer_components(t, DAL_KIND_DATASET, false);
    else if (is(arg, "MODULE"))
        offer_components(t, 0, true);
    else if (is(name, "set") && (is(command, "run") || is(command, "check")))
        offer_setting(t);
}

static void offer_operand(const typing *t)
{
    const char *what = t->command->operands;
    if (is(what, "[MANIFEST]"))
        offer_manifests(t);
    else if (is(what, "ID"))
        offer_components(t, 0, false);
    else if (is(what, "FILE|MODULE"))
        offer_components(t, 0, true);
    else if (is(what, "RUN...|all"))
        offer_words(t, "all");
    else if (cli_in_group(t->command, "dataset") && strstr(what, "NAME"))
        offer_cards(t);
}

static void offer_options(const typing *t)
{
    const cli_option *const tables[] = {t->command ? t->command->options : NULL, cli_global_options};
    for (int k = 0; k < 2; k++)
        for (const cli_option *o = tables[k]; o && o->name; o++) {
            char *word = xasprintf("--%s", o->name);
            offer(t, word, "");
            free(word);
        }
}

/* The first words of commands, or the second ones of a group. */
static void offer_commands(const typing *t)
{
    const char *last = "";
    size_t n_last = 0;
    for (int i = 0; cli_commands[i]; i++) {
        const char *name = cli_commands[i]->name;
        if (t->group && !cli_in_group(cli_commands[i], t->group))
            continue;
        name += t->group ? strlen(t->group) + 1 : 0;
        const size_t n = strcspn(name, " ");
        if (n == n_last && strncmp(name, last, n) == 0)
            continue; /* those of a group stand together */
        last = name;
        n_last = n;
        char *word = xstrndup(name, n);
        offer(t, word, "");
        free(word);
    }
    if (!t->group)
        offer(t, "help", "");
}

/* ---- what was typed ---- */

/* One word before the one being typed. */
static void pass_word(typing *t, const char *word)
{
    if (t->option) {
        if (is(t->option->name, "plugins") && t->n_plugins < (int)(sizeof t->plugins / sizeof *t->plugins))
            t->plugins[t->n_plugins++] = word;
        t->option = NULL;
        return;
    }
    if (word[0] == '-') {
        const bool two = word[1] == '-';
        const cli_option *o = cli_find_option(t->command, word + 1 + two, strlen(word + 1 + two));
        t->option = o && o->arg ? o : NULL; /* --option=VALUE is none of that name */
        return;
    }
    for (int i = 0; cli_commands[i] && !t->command; i++) {
        const char *name = cli_commands[i]->name;
        if (t->group ? cli_in_group(cli_commands[i], t->group) && is(name + strlen(t->group) + 1, word)
                     : is(name, word))
            t->command = cli_commands[i];
    }
    const bool had_group = t->group;
    for (int i = 0; cli_commands[i] && !t->command && !t->group; i++)
        if (cli_in_group(cli_commands[i], word))
            t->group = word;
    t->unknown |= !t->command && (had_group || !t->group) && !is(word, "help");
}

/* bash cuts --store=a and strategy=a at "=": put them together again. n of the words are left. */
static int join_words(char **words, int n)
{
    int kept = 0;
    for (int i = 0; i < n; i++) {
        const bool joins = kept > 0 && (is(words[i], "=") || (i > 0 && is(words[i - 1], "=")));
        if (!joins) {
            words[kept++] = xstrdup(words[i]);
            continue;
        }
        char *whole = xasprintf("%s%s", words[kept - 1], words[i]);
        free(words[kept - 1]);
        words[kept - 1] = whole;
    }
    return kept;
}

int complete_words(const char *const *given, int n)
{
    char **words = xcalloc((size_t)n + 1, sizeof *words);
    for (int i = 0; i < n; i++)
        words[i] = (char *)(uintptr_t)given[i];
    n = join_words(words, n);
    typing t = {.word = n > 0 ? words[n - 1] : ""};
    for (int i = 0; i + 1 < n; i++)
        pass_word(&t, words[i]);
    char *equals = n > 0 ? strchr(words[n - 1], '=') : NULL;
    if (equals && !t.option && strncmp(t.word, "--", 2) == 0) {
        t.option = cli_find_option(t.command, t.word + 2, (size_t)(equals - t.word - 2));
        t.word = equals + 1;
        equals = strchr(t.word, '=');
    }
    if (equals && t.option) {
        *equals = '\0';
        t.key = t.word;
        t.word = equals + 1;
    }
    if (t.option && t.option->arg)
        offer_value(&t);
    else if (t.word[0] == '-')
        offer_options(&t);
    else if (t.command)
        offer_operand(&t);
    else if (!t.unknown)
        offer_commands(&t);
    for (int i = 0; i < n; i++)
        free(words[i]);
    free(words);
    return EXIT_OK;
}
