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

/* Made once, and kept: who asks keeps pointers. */
const char *folder_of_user(const char *what)
{
    enum { KINDS = 8 };
    static struct {
        char *what, *path;
    } known[KINDS];
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int i = 0;
    while (i < KINDS - 1 && known[i].what && strcmp(known[i].what, what) != 0)
        i++;
    if (!known[i].what) {
        known[i].what = xstrdup(what);
        if (xdg && *xdg)
            known[i].path = xasprintf("%s/dalhost/%s", xdg, what);
        else if (home && *home)
            known[i].path = xasprintf("%s/.local/share/dalhost/%s", home, what);
    }
    return known[i].path;
}

typedef struct folder_list {
    const char *dirs[MOST + 4];
    int n;
    bool known;
} folder_list;

static void add_user(folder_list *l, const char *what)
{
    const char *own = folder_of_user(what);
    if (own)
        l->dirs[l->n++] = own;
}

const char *const *folders_of_data(int *n)
{
    static folder_list l;
    if (!l.known && !add_variable("DAL_DATA_PATH", l.dirs, &l.n)) {
        l.dirs[l.n++] = "../shared/data";
        if (paths_source_tree())
            l.dirs[l.n++] = xasprintf("%s/../shared/data", paths_source_tree());
    }
    if (!l.known)
        add_user(&l, "data");
    l.known = true;
    *n = l.n;
    return l.dirs;
}

const char *const *folders_of_cards(int *n)
{
    static folder_list l;
    if (!l.known) {
        add_variable("DAL_CARD_PATH", l.dirs, &l.n);
        add_user(&l, "cards");
        l.dirs[l.n++] = paths_data("cards");
    }
    l.known = true;
    *n = l.n;
    return l.dirs;
}
