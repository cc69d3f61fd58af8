/* PATH and PATHS parameters: where a file of the manifest really is. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manifest/reader.h"
#include "util/text.h"

/* NULL: it is what the domain wants; else why not. */
static const char *what_is_wrong(const char *path, const char *domain)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return strerror(errno);
    const bool directory = S_ISDIR(s.st_mode);
    if (directory && strcmp(domain, "file") == 0)
        return "a directory";
    if (!directory && strcmp(domain, "directory") == 0)
        return "not a directory";
    if (!directory && !S_ISREG(s.st_mode))
        return "not a plain file";
    return access(path, directory ? R_OK | X_OK : R_OK) == 0 ? NULL : strerror(errno);
}

static const char *canonical(reader *rd, const char *path)
{
    char *real = realpath(path, NULL);
    const char *copy = arena_printf(rd->mem, "%s", real ? real : path);
    free(real);
    return copy;
}

/* base/path; base "." and the like become absolute. */
static const char *joined(reader *rd, const char *base, const char *path)
{
    if (*path == '/')
        return path;
    const char *from = canonical(rd, base);
    return arena_printf(rd->mem, "%s%s%s", from, from[1] ? "/" : "", path);
}

static const char *card_folder(reader *rd, const card *c)
{
    const char *slash = strrchr(c->path, '/');
    return slash ? arena_strn(rd->mem, c->path, (size_t)(slash - c->path)) : ".";
}

bool card_file_missing(reader *rd, const card *c, const char *path)
{
    for (int i = 0; *path != '/' && i < rd->n_data_path; i++)
        if (access(joined(rd, rd->data_path[i], path), F_OK) == 0)
            return false;
    return access(joined(rd, card_folder(rd, c), path), F_OK) != 0;
}

const char *data_folders_list(reader *rd, const card *c)
{
    const char *list = "";
    for (int i = 0; i < rd->n_data_path; i++)
        list = arena_printf(rd->mem, "%s%s%s", list, i ? ", " : "",
                            shown(rd->mem, canonical(rd, rd->data_path[i]), 400));
    return arena_printf(rd->mem, "%s%s%s", list, *list ? ", " : "", shown(rd->mem, card_folder(rd, c), 400));
}

typedef struct lookup {
    reader *rd;
    const char *path;
    const char *domain;
    text tried; /* "; looked for A, B (a directory)" */
} lookup;

static const char *look_in(lookup *l, const char *base)
{
    const char *full = joined(l->rd, base, l->path);
    const char *wrong = what_is_wrong(full, l->domain);
    if (!wrong)
        return canonical(l->rd, full);
    text_addf(&l->tried, "%s%s", l->tried.n ? ", " : "; looked for ", shown(l->rd->mem, full, 400));
    if (access(full, F_OK) == 0)
        text_addf(&l->tried, " (%s)", wrong);
    return NULL;
}

/* Of a card: the folders of data, then the card's own. */
static const char *search_for_card(lookup *l, const card *c)
{
    reader *rd = l->rd;
    const char *found = NULL;
    for (int i = 0; i < rd->n_data_path && !found; i++)
        found = look_in(l, rd->data_path[i]);
    return found ? found : look_in(l, card_folder(rd, c));
}

/* A relative path of --set starts, as on any command line, in the working directory. */
static const char *search(lookup *l, bool command_line, const card *c)
{
    const reader *rd = l->rd;
    const char *found = command_line || *l->path == '/' ? look_in(l, ".") : NULL;
    if (*l->path == '/')
        return found;
    if (c)
        return search_for_card(l, c);
    if (!found && rd->directory)
        found = look_in(l, rd->directory);
    for (int i = 0; i < rd->n_data_path && !found; i++)
        found = look_in(l, rd->data_path[i]);
    return found;
}

const char *resolve_path(reader *rd, const char *label, const node *n, const param_desc *p)
{
    if (n->kind != NODE_SCALAR || node_is_null(n)) {
        complain(rd, n->at, "%s is %s; expected %s", label, describe(rd, n),
                 expected_text(rd->mem, p, false));
        return NULL;
    }
    if (!*n->text && !*p->def && p->type == DAL_PARAM_PATH)
        return "";
    if (!*n->text) {
        complain(rd, n->at, "%s is empty; expected %s", label, expected_text(rd->mem, p, false));
        return NULL;
    }
    const bool command_line = n->at.line == 0;
    const card *c = rd->card && n->at.file == rd->card->path ? rd->card : NULL;
    if (!*p->domain && c)
        return joined(rd, card_folder(rd, c), n->text);
    if (!*p->domain)
        return joined(rd, command_line || !rd->directory ? "." : rd->directory, n->text);
    lookup l = {rd, n->text, p->domain, {0}};
    const char *found = search(&l, command_line, c);
    if (!found)
        complain(rd, n->at, "%s: no %s '%s'%s%s", label, p->domain, shown(rd->mem, n->text, 200),
                 l.tried.s ? l.tried.s : "",
                 *n->text == '/' ? "" : "; try an absolute path, or name its folder in DAL_DATA_PATH");
    text_free(&l.tried);
    return found;
}
