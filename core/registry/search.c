/* The directories modules are looked for in, and which files are to be trusted. */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "registry/private.h"
#include "util/paths.h"
#include "util/text.h"

/* Does the group hold nobody but the file's owner, by the custom that it has the owner's name? */
static bool private_group(uid_t owner, gid_t group)
{
    const struct passwd *user = getpwuid(owner);
    if (!user || user->pw_gid != group)
        return false;
    char *name = xstrdup(user->pw_name);
    const struct group *g = getgrgid(group);
    const bool same = g && strcmp(g->gr_name, name) == 0 && !g->gr_mem[0];
    free(name);
    return same;
}

char *search_distrust(const struct stat *st)
{
    const char *what = S_ISDIR(st->st_mode) ? "directory" : "file";
    const unsigned mode = (unsigned)st->st_mode & 07777;
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return xasprintf("the %s belongs to user %u, neither to root nor to you; expected a %s of your own", what,
                         (unsigned)st->st_uid, what);
    const bool sticky = S_ISDIR(st->st_mode) && (mode & S_ISVTX) && st->st_uid == 0;
    if ((mode & S_IWOTH) && !sticky)
        return xasprintf("everybody may write to the %s (mode %04o); chmod go-w it", what, mode);
    if ((mode & S_IWGRP) && !sticky && !private_group(st->st_uid, st->st_gid))
        return xasprintf("its group may write to the %s (mode %04o); chmod g-w it", what, mode);
    return NULL;
}

static bool listed(const registry *r, const char *path)
{
    for (int i = 0; i < r->n_dirs; i++)
        if (strcmp(r->dirs[i].path, path) == 0)
            return true;
    return false;
}

/* Unusable directories are an error where the user named them on the command line. */
static void add_dir(registry *r, const char *path, const char *origin, diags *d)
{
    const bool given = d != NULL;
    struct stat st;
    char absolute[PATH_MAX];
    char *problem = NULL;
    const bool there = realpath(path, absolute) != NULL && stat(absolute, &st) == 0;
    if (!there)
        problem = xstrdup(strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        problem = xstrdup("not a directory");
    else
        problem = search_distrust(&st);
    const char *shown = there ? absolute : path;
    if (problem && given)
        diags_error(d, (place){0}, "--plugins %s: %s; expected a directory with modules", path, problem);
    if (listed(r, shown)) {
        free(problem);
        return;
    }
    r->dirs = xrealloc(r->dirs, (size_t)(r->n_dirs + 1) * sizeof *r->dirs);
    r->dirs[r->n_dirs++] = (search_dir){xstrdup(shown), origin, problem, given};
}

static void add_environment(registry *r)
{
    const char *list = getenv("DAL_PLUGIN_PATH");
    while (list && *list) {
        const size_t n = strcspn(list, ":");
        if (n > 0) {
            char *path = xstrndup(list, n);
            add_dir(r, path, "DAL_PLUGIN_PATH", NULL);
            free(path);
        }
        list += n + (list[n] == ':');
    }
}

static void add_user(registry *r)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char *path = NULL;
    if (data && *data == '/')
        path = xasprintf("%s/dalhost/plugins", data);
    else if (home && *home == '/')
        path = xasprintf("%s/.local/share/dalhost/plugins", home);
    if (path)
        add_dir(r, path, "user", NULL);
    free(path);
}

static void add_built_in(registry *r)
{
    static const char *const families[] = {"datasets", "transforms", "models", "strategies", "oracles"};
    const char *build = paths_build_tree();
    if (!build) {
        char *path = paths_installed(DAL_PLUGINDIR);
        add_dir(r, path, "built in", NULL);
        free(path);
        return;
    }
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char *path = xasprintf("%s/plugins/%s/.libs", build, families[i]);
        add_dir(r, path, "build tree", NULL);
        free(path);
    }
}

void search_add_all(registry *r, const char *const *dirs, int n, diags *d)
{
    for (int i = 0; i < n; i++)
        add_dir(r, dirs[i], "--plugins", d);
    add_environment(r);
    add_user(r);
    add_built_in(r);
}
