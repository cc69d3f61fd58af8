#include <criterion/criterion.h>
#include <dal/runtime.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry/registry.h"
#include "util/paths.h"
#include "util/text.h"

/* Each test fills a directory of its own with test modules and lists that. */
static char *dir_new(void)
{
    char name[] = "/tmp/dalhost-registry-XXXXXX";
    cr_assert_not_null(mkdtemp(name));
    return xstrdup(name);
}

/* A copy, since the registry cares for modes. */
static char *put(const char *dir, const char *module, const char *as, mode_t mode)
{
    char *from = xasprintf("%s/tests/scenario/bad_plugins/.libs/%s.so", paths_build_tree(), module);
    char *to = xasprintf("%s/%s.so", dir, as);
    if (access(from, R_OK) != 0)
        cr_skip_test("a build without shared modules");
    char *command = xasprintf("cp '%s' '%s'", from, to);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(chmod(to, mode), 0);
    free(from);
    free(command);
    return to;
}

static void dir_remove(char *dir)
{
    char *command = xasprintf("rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
    free(command);
    free(dir);
}

static registry *list(const char *first, const char *second)
{
    const char *const dirs[] = {first, second};
    diags *d = diags_new();
    setenv("XDG_DATA_HOME", "/nowhere", 1);
    unsetenv("DAL_PLUGIN_PATH");
    registry *r = registry_new(dirs, second ? 2 : 1, d);
    cr_assert_eq(diags_errors(d), 0, "%s", diags_text(d, 0));
    diags_free(d);
    return r;
}

static const module_desc *find_module(const registry *r, const char *path)
{
    for (int i = 0; i < registry_n_modules(r); i++)
        if (strcmp(registry_module(r, i)->path, path) == 0)
            return registry_module(r, i);
    cr_assert_fail("%s is not listed", path);
    return NULL;
}

static void find_says(const registry *r, uint32_t kind, const char *id, const char *from, const char *words)
{
    char *why = NULL;
    cr_assert_null(registry_find(r, kind, id, from, &why), "found %s", id);
    cr_assert(strstr(why, words), "'%s' is not in '%s'", words, why);
    free(why);
}

Test(registry, lists_and_finds_what_notes_tell)
{
    char *dir = dir_new();
    free(put(dir, "orderly", "orderly", 0644));
    registry *r = list(dir, NULL);
    const component_desc *c = registry_find(r, DAL_KIND_STRATEGY, "orderly", NULL, NULL);
    cr_assert_not_null(c);
    cr_assert_str_eq(c->module->name, "orderly");
    cr_assert_eq(c->n_params, 3);
    cr_assert_eq(registry_find(r, DAL_KIND_STRATEGY, "orderly", "orderly", NULL), c);
    find_says(r, DAL_KIND_STRATEGY, "ordrly", NULL, "did you mean 'orderly'?");
    find_says(r, DAL_KIND_STRATEGY, "ordrly", NULL, dir);
    find_says(r, DAL_KIND_MODEL, "orderly", NULL, "'orderly' is a strategy, not a model");
    find_says(r, DAL_KIND_STRATEGY, "orderly", "ordrly", "unknown module 'ordrly'");
    find_says(r, DAL_KIND_STRATEGY, "ordrly", "orderly", "unknown strategy 'ordrly' in module 'orderly'");
    registry_free(r);
    dir_remove(dir);
}

Test(registry, names_both_files_when_two_modules_have_one_id)
{
    char *dir = dir_new();
    char *one = put(dir, "orderly", "orderly", 0644), *two = put(dir, "same_id", "same_id", 0644);
    registry *r = list(dir, NULL);
    find_says(r, DAL_KIND_STRATEGY, "orderly", NULL, one);
    find_says(r, DAL_KIND_STRATEGY, "orderly", NULL, two);
    find_says(r, DAL_KIND_STRATEGY, "orderly", NULL, "from: MODULE");
    const component_desc *c = registry_find(r, DAL_KIND_STRATEGY, "orderly", "same_id", NULL);
    cr_assert_not_null(c);
    cr_assert_str_eq(c->module->path, two);
    registry_free(r);
    free(one);
    free(two);
    dir_remove(dir);
}

Test(registry, lets_the_first_usable_module_of_a_name_win)
{
    char *a = dir_new(), *b = dir_new();
    char *first = put(a, "orderly", "orderly", 0644), *second = put(b, "orderly", "orderly", 0644);
    char *broken = put(a, "no_note", "same_id", 0644), *sound = put(b, "same_id", "same_id", 0644);
    registry *r = list(a, b);
    cr_assert_eq(find_module(r, first)->state, MODULE_OK);
    cr_assert_eq(find_module(r, second)->state, MODULE_SHADOWED);
    cr_assert(strstr(find_module(r, second)->why, first));
    cr_assert_eq(find_module(r, broken)->state, MODULE_REFUSED);
    cr_assert_eq(find_module(r, sound)->state, MODULE_OK);
    registry_free(r);
    free(first);
    free(second);
    free(broken);
    free(sound);
    dir_remove(a);
    dir_remove(b);
}

typedef struct refusal {
    const char *module, *as;
    mode_t mode;
    const char *words;
} refusal;

Test(registry, refuses_with_the_reason)
{
    static const refusal table[] = {
        {"newer_minor", "newer_minor", 0644, "speaks ABI 1.2, this dalhost 1.1"},
        {"other_major", "other_major", 0644, "speaks ABI 2.1, this dalhost 1.1"},
        {"no_note", "no_note", 0644, "without a dalhost note"},
        {"orderly", "renamed", 0644, "its note names module 'orderly'"},
        {"orderly", "has-dash", 0644, "[a-z0-9_]+.so"},
        {"same_id", "same_id", 0646, "everybody may write to the file (mode 0646)"},
    };
    char *dir = dir_new();
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char *path = put(dir, table[i].module, table[i].as, table[i].mode);
        registry *r = list(dir, NULL);
        const module_desc *m = find_module(r, path);
        cr_assert_eq(m->state, MODULE_REFUSED, "%s", path);
        cr_assert(strstr(m->why, table[i].words), "'%s' is not in '%s'", table[i].words, m->why);
        registry_free(r);
        unlink(path);
        free(path);
    }
    dir_remove(dir);
}

Test(registry, says_which_refused_module_has_what_was_wanted)
{
    char *dir = dir_new();
    char *path = put(dir, "newer_minor", "newer_minor", 0644);
    registry *r = list(dir, NULL);
    find_says(r, DAL_KIND_STRATEGY, "newer-minor", NULL, path);
    find_says(r, DAL_KIND_STRATEGY, "newer-minor", NULL, "has it but was refused: speaks ABI 1.2");
    registry_free(r);
    free(path);
    dir_remove(dir);
}

Test(registry, wants_directories_only_the_owner_can_write_to)
{
    char *dir = dir_new();
    cr_assert_eq(chmod(dir, 0777), 0);
    const char *const dirs[] = {dir, "/nowhere/at/all"};
    diags *d = diags_new();
    registry *r = registry_new(dirs, 2, d);
    cr_assert_eq(diags_errors(d), 2);
    cr_assert(strstr(diags_text(d, 0), "everybody may write to the directory"), "%s", diags_text(d, 0));
    cr_assert(strstr(diags_text(d, 1), "No such file or directory"), "%s", diags_text(d, 1));
    registry_free(r);
    diags_free(d);
    dir_remove(dir);
}

/* ---- loading ---- */

static const dal_component *load(registry *r, const char *id, dal_error *err)
{
    const dal_runtime_config config = {.struct_size = sizeof config, .threads = 1};
    *err = (dal_error)DAL_ERROR_INIT;
    static dal_runtime *rt; /* lives as long as the modules */
    if (!rt)
        rt = dal_runtime_new(&config, err);
    const component_desc *c = registry_find(r, DAL_KIND_STRATEGY, id, NULL, NULL);
    cr_assert_not_null(c);
    return registry_load(r, c, dal_runtime_host(rt, id), err);
}

Test(registry, loads_a_component_once)
{
    char *dir = dir_new();
    dal_error err;
    free(put(dir, "orderly", "orderly", 0644));
    registry *r = list(dir, NULL);
    const dal_component *c = load(r, "orderly", &err);
    cr_assert_not_null(c, "%s", err.text);
    cr_assert_str_eq(c->id, "orderly");
    cr_assert_eq(load(r, "orderly", &err), c);
    registry_free(r);
    dir_remove(dir);
}

Test(registry, passes_on_the_loaders_own_reason)
{
    char *dir = dir_new();
    dal_error err;
    char *path = put(dir, "undefined", "undefined", 0644);
    registry *r = list(dir, NULL);
    cr_assert_null(load(r, "undefined", &err));
    cr_assert(strstr(err.text, path), "%s", err.text);
    cr_assert(strstr(err.text, "undefined symbol: function_nobody_has"), "%s", err.text);
    registry_free(r);
    free(path);
    dir_remove(dir);
}

Test(registry, refuses_tables_that_are_not_what_the_note_says)
{
    char *dir = dir_new();
    dal_error err;
    free(put(dir, "drifted", "drifted", 0644));
    registry *r = list(dir, NULL);
    cr_assert_null(load(r, "drifted", &err));
    cr_assert(strstr(err.text, "'drifted' is not the one its note tells of"), "%s", err.text);
    registry_free(r);
    dir_remove(dir);
}

Test(registry, refuses_a_file_that_changed_since_it_was_read)
{
    char *dir = dir_new();
    dal_error err;
    char *path = put(dir, "orderly", "orderly", 0644);
    registry *r = list(dir, NULL);
    unlink(path);
    free(path);
    free(put(dir, "orderly", "orderly", 0644));
    cr_assert_null(load(r, "orderly", &err));
    cr_assert(strstr(err.text, "changed while dalhost was starting"), "%s", err.text);
    registry_free(r);
    dir_remove(dir);
}
