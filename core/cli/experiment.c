#include "cli/experiment.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/folders.h"
#include "util/paths.h"
#include "util/text.h"

char *find_manifest(const char *operand)
{
    if (!operand)
        operand = "glyphs";
    else if (strcmp(operand, "-") == 0 || strchr(operand, '/') || access(operand, F_OK) == 0)
        return xstrdup(operand);
    char *what = xasprintf("manifests/%s.yaml", operand), *path = paths_data(what);
    free(what);
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return xstrdup(operand);
}

const char **experiment_manifests(int *n)
{
    char *folder = paths_data("manifests");
    struct dirent **files = NULL;
    const int n_files = scandir(folder, &files, NULL, alphasort);
    const char **names = xcalloc((size_t)(n_files > 0 ? n_files : 0) + 1, sizeof *names);
    *n = 0;
    for (int i = 0; i < n_files; i++) {
        const char *name = files[i]->d_name, *dot = strrchr(name, '.');
        if (dot && strcmp(dot, ".yaml") == 0)
            names[(*n)++] = xstrndup(name, (size_t)(dot - name));
        free(files[i]);
    }
    free(files);
    free(folder);
    return names;
}

void experiment_free_names(const char **names, int n)
{
    for (int i = 0; i < n; i++)
        free((char *)(uintptr_t)names[i]);
    free(names);
}

/* A word that is neither a file nor a manifest of ours: say what there is. */
static bool is_unknown_word(const char *path, diags *d)
{
    if (strcmp(path, "-") == 0 || strchr(path, '/') || access(path, F_OK) == 0)
        return false;
    int n;
    const char **names = experiment_manifests(&n);
    text all = {0};
    for (int i = 0; i < n; i++)
        text_addf(&all, "%s%s", all.n ? ", " : "", names[i]);
    const char *near = nearest(path, names, n);
    diags_error(d, (place){path, 0, 0}, "there is no such file, nor a manifest of that name with dalhost (%s)%s%s%s",
                all.n ? all.s : "there are none", near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    experiment_free_names(names, n);
    text_free(&all);
    return true;
}

/* --seed and --memory are --set in short. */
static char *as_set(const cli_args *a, const char *option, const char *key)
{
    const char *value = cli_value(a, option);
    return value ? xasprintf("%s=%s", key, value) : NULL;
}

int experiment_read(const cli_args *a, experiment *e)
{
    *e = (experiment){0};
    int64_t seed = 0;
    if (!cli_int(a, "threads", 1, 1024, &e->threads) || !cli_int(a, "seed", 0, INT64_MAX, &seed))
        return EXIT_BAD_INPUT;
    e->registry = cli_registry(a);
    if (!e->registry)
        return EXIT_BAD_INPUT;
    int n_sets, n_path, n_cards;
    const char *const *given = cli_values(a, "set", &n_sets);
    const char **sets = xcalloc((size_t)n_sets + 2, sizeof *sets);
    memcpy(sets, given, (size_t)n_sets * sizeof *sets);
    e->own[0] = find_manifest(cli_operand(a, 0));
    e->own[1] = as_set(a, "seed", "seed");
    e->own[2] = as_set(a, "memory", "memory");
    for (int i = 1; i < 3; i++)
        if (e->own[i])
            sets[n_sets++] = e->own[i];
    const char *const *path = folders_of_data(&n_path), *const *card_path = folders_of_cards(&n_cards);
    e->cards = cards_new(card_path, n_cards);
    const manifest_options options = {sets, n_sets, path, n_path, e->cards};
    e->d = diags_new();
    if (!is_unknown_word(e->own[0], e->d))
        e->m = manifest_read(e->own[0], NULL, e->registry, &options, e->d);
    free(sets);
    if (e->m)
        return EXIT_OK;
    diags_print(e->d, stderr);
    experiment_free(e);
    return EXIT_BAD_INPUT;
}

void experiment_free(experiment *e)
{
    manifest_free(e->m);
    cards_free(e->cards);
    diags_free(e->d);
    registry_free(e->registry);
    for (int i = 0; i < 3; i++)
        free(e->own[i]);
    *e = (experiment){0};
}
