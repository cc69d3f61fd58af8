#include "registry/names.h"

#include <ctype.h>
#include <stdlib.h>

#include "registry/registry.h"
#include "util/file.h"
#include "util/paths.h"
#include "util/text.h"

#define MAX_FILE ((size_t)1 << 20)

/* Cuts a line at its tabs. False when it is none of ours. */
static bool read_line(char *line, other_name *out)
{
    const char *fields[4] = {"", "", "", ""};
    int n = 0;
    if (*line == '#')
        return false;
    for (char *next = line; next && n < 4; n++) {
        fields[n] = next;
        next = strchr(next, '\t');
        if (next)
            *next++ = '\0';
    }
    *out = (other_name){fields[0], fields[1], fields[2], fields[3]};
    return *out->name && *out->id && *out->by;
}

other_names names_read(uint32_t kind)
{
    other_names all = {0};
    dal_error err = DAL_ERROR_INIT;
    size_t size;
    char *what = xasprintf("names/%s.tsv", kind_name(kind)), *path = paths_data(what);
    if (file_read(path, MAX_FILE, &all.data, &size, &err) == DAL_OK && utf8_valid(all.data, size, NULL)) {
        char *save = NULL;
        for (char *line = strtok_r(all.data, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
            other_name one;
            if (!read_line(line, &one))
                continue;
            all.items = xrealloc(all.items, (size_t)(all.n + 1) * sizeof *all.items);
            all.items[all.n++] = one;
        }
    }
    free(what);
    free(path);
    return all;
}

void names_free(other_names *n)
{
    free(n->items);
    free(n->data);
    *n = (other_names){0};
}

static const char *next_letter(const char *s)
{
    return s + strspn(s, "-_ ");
}

bool names_alike(const char *a, const char *b)
{
    for (a = next_letter(a), b = next_letter(b); *a && *b; a = next_letter(a + 1), b = next_letter(b + 1))
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
    return *a == *b;
}

const other_name *names_find(const other_names *n, const char *name)
{
    for (int i = 0; i < n->n; i++)
        if (names_alike(n->items[i].name, name))
            return &n->items[i];
    return NULL;
}

char *names_hint(const other_name *n)
{
    const size_t length = strlen(n->by);
    const bool several = strchr(n->by, ',') || n->by[length - 1] == 's';
    return xasprintf("what %s call%s so is '%s' here", n->by, several ? "" : "s", n->id);
}
