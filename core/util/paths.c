#include "util/paths.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/text.h"

/* Found once, then fixed for the life of the process. */
typedef struct places {
    char *self, *build, *source;
} places;

static bool has(const char *dir, const char *name)
{
    char *path = xasprintf("%s/%s", dir, name);
    const bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

/* Cut the last name off; false at the root. */
static bool parent(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return false;
    *slash = '\0';
    return true;
}

/* Where in its build tree a program is linked: at the top, below tests/, or in a .libs of these. One in
 * another folder was installed there, as `make distcheck` does. */
static bool linked_at(const char *rest)
{
    return !strchr(rest, '/') || strncmp(rest, ".libs/", 6) == 0 || strncmp(rest, "tests/", 6) == 0;
}

/* The program is at most tests/unit/.libs deep in its build tree. */
static char *find_build_tree(const char *self)
{
    char *dir = xstrdup(self);
    for (int up = 0; up < 4 && parent(dir); up++)
        if (linked_at(self + strlen(dir) + 1) && has(dir, "config.status") && has(dir, "libdal.la") &&
            has(dir, "Makefile"))
            return dir;
    free(dir);
    return NULL;
}

static char *find_source_tree(const char *build)
{
    char *makefile = xasprintf("%s/Makefile", build), *found = NULL;
    FILE *f = fopen(makefile, "re");
    free(makefile);
    if (!f)
        return NULL;
    const char key[] = "abs_top_srcdir = ";
    char line[PATH_MAX + 64];
    while (!found && fgets(line, sizeof line, f))
        if (strncmp(line, key, sizeof key - 1) == 0) {
            line[strcspn(line, "\n")] = '\0';
            found = xstrdup(line + sizeof key - 1);
        }
    fclose(f);
    return found;
}

static const places *get(void)
{
    static places p;
    static bool known;
    if (!known) {
        char self[PATH_MAX];
        const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        if (n > 0) {
            self[n] = '\0';
            p.self = xstrdup(self);
            p.build = find_build_tree(self);
        }
        if (p.build)
            p.source = find_source_tree(p.build);
        known = true;
    }
    return &p;
}

const char *paths_self(void)
{
    return get()->self;
}

const char *paths_build_tree(void)
{
    return get()->build;
}

const char *paths_source_tree(void)
{
    return get()->source;
}

char *paths_installed(const char *configured)
{
    const char *self = paths_self(), bindir[] = DAL_BINDIR "/";
    const size_t n = self ? strlen(self) - strlen(strrchr(self, '/') + 1) : 0, tail = sizeof bindir - 1;
    if (n <= tail || strncmp(self + n - tail, bindir, tail) != 0)
        return xstrdup(configured);
    return xasprintf("%.*s%s", (int)(n - tail), self, configured);
}

char *paths_data(const char *what)
{
    const char *source = paths_source_tree();
    if (!source) {
        char *dir = paths_installed(DAL_DATADIR), *found = xasprintf("%s/%s", dir, what);
        free(dir);
        return found;
    }
    char *path = xasprintf("%s/datasets/%s", source, what);
    if (access(path, F_OK) != 0) {
        free(path);
        path = xasprintf("%s/sdk/%s", source, what);
    }
    return path;
}
