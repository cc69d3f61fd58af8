#include "util/folders.h"

#include <stdlib.h>

#include "util/paths.h"
#include "util/text.h"

enum { MOST = 60 };

/* Those of a colon-separated variable; false when it is not set. */
static bool add_variable(const char *name, const char **dirs, int *n)
{
    const char *value = getenv(name);
    if (!value || !*value)
        return false;
    char *copy = xstrdup(value), *save = NULL;
    for (char *p = strtok_r(copy, ":", &save); p && *n < MOST; p = strtok_r(NULL, ":", &save))
        dirs[(*n)++] = p;
    return true;
}

const char *folder_of_user(const char *what)
{
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (xdg && *xdg)
        return xasprintf("%s/dalhost/%s", xdg, what);
    return home && *home ? xasprintf("%s/.local/share/dalhost/%s", home, what) : NULL;
}

static void add_user(const char *what, const char **dirs, int *n)
{
    const char *own = folder_of_user(what);
    if (own)
        dirs[(*n)++] = own;
}

const char *const *folders_of_data(int *n)
{
    static const char *dirs[MOST + 4];
    *n = 0;
    if (!add_variable("DAL_DATA_PATH", dirs, n)) {
        dirs[(*n)++] = "../shared/data";
        if (paths_source_tree())
            dirs[(*n)++] = xasprintf("%s/../shared/data", paths_source_tree());
    }
    add_user("data", dirs, n);
    return dirs;
}

const char *const *folders_of_cards(int *n)
{
    static const char *dirs[MOST + 4];
    *n = 0;
    add_variable("DAL_CARD_PATH", dirs, n);
    add_user("cards", dirs, n);
    dirs[(*n)++] = paths_data("cards");
    return dirs;
}
