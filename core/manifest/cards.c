/* Where cards are, and which. */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "manifest/card.h"
#include "util/file.h"
#include "util/text.h"

#define MAX_CARD ((size_t)4 << 20) /* a thousand classes with their names are some 50 kB */

typedef struct known {
    char *name, *path;
    const card *card; /* NULL: not asked for yet, or faulty */
    bool faulty;
} known;

struct cards {
    char **dirs;
    int n_dirs;
    known *known; /* [n] by name, after scan */
    int n;
    bool scanned;
    arena *mem;
};

cards *cards_new(const char *const *dirs, int n)
{
    cards *c = xcalloc(1, sizeof *c);
    c->dirs = xcalloc((size_t)n, sizeof *c->dirs);
    for (int i = 0; i < n; i++)
        c->dirs[c->n_dirs++] = xstrdup(dirs[i]);
    c->mem = arena_new();
    return c;
}

void cards_free(cards *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n; i++) {
        free(c->known[i].name);
        free(c->known[i].path);
    }
    for (int i = 0; i < c->n_dirs; i++)
        free(c->dirs[i]);
    free(c->known);
    free(c->dirs);
    arena_free(c->mem);
    free(c);
}

/* ---- names ---- */

/* Length of the name in "mnist.yaml", 0: no card's. Letters, digits and ._- are safe in messages, too. */
static size_t name_length(const char *file)
{
    const size_t n = strlen(file);
    if (n <= 5 || n > 100 || strcmp(file + n - 5, ".yaml") != 0 || *file == '.')
        return 0;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)file[i]) && !strchr("._-", file[i]))
            return 0;
    return n - 5;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const known *)a)->name, ((const known *)b)->name);
}

static known *look_up(const cards *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->known[i].name, name) == 0)
            return &c->known[i];
    return NULL;
}

static void scan_folder(cards *c, const char *dir)
{
    DIR *d = opendir(dir);
    for (const struct dirent *e; d && (e = readdir(d));) {
        char *name = xstrndup(e->d_name, name_length(e->d_name));
        if (*name && !look_up(c, name)) {
            c->known = xrealloc(c->known, (size_t)(c->n + 1) * sizeof *c->known);
            c->known[c->n++] = (known){.name = xstrdup(name), .path = xasprintf("%s/%s", dir, e->d_name)};
        }
        free(name);
    }
    if (d)
        closedir(d);
}

static void scan(cards *c)
{
    for (int i = 0; !c->scanned && i < c->n_dirs; i++)
        scan_folder(c, c->dirs[i]);
    if (!c->scanned && c->n)
        qsort(c->known, (size_t)c->n, sizeof *c->known, by_name);
    c->scanned = true;
}

int cards_count(cards *c)
{
    scan(c);
    return c->n;
}

const char *cards_name(cards *c, int i)
{
    scan(c);
    return i >= 0 && i < c->n ? c->known[i].name : NULL;
}

/* FashionMNIST and fashion_mnist are fashion-mnist. */
static bool alike(const char *a, const char *b)
{
    for (;; a++, b++) {
        a += strspn(a, "-_ .");
        b += strspn(b, "-_ .");
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
    }
}

const char *cards_near(cards *c, const char *name)
{
    scan(c);
    const char **names = xcalloc((size_t)c->n, sizeof *names), *near = NULL;
    for (int i = 0; i < c->n; i++) {
        names[i] = c->known[i].name;
        if (!near && alike(names[i], name))
            near = names[i];
    }
    if (!near)
        near = nearest(name, names, c->n);
    free((void *)(uintptr_t)names);
    return near;
}

char *cards_looked(const cards *c)
{
    text t = {0};
    for (int i = 0; i < c->n_dirs; i++)
        text_addf(&t, "%s%s", i ? ", " : "; looked in ", c->dirs[i]);
    return text_take(&t);
}

/* ---- reading ---- */

static void read_card_file(cards *c, known *k, diags *d)
{
    size_t n = 0;
    char *yaml = NULL;
    dal_error err = DAL_ERROR_INIT;
    if (file_read(k->path, MAX_CARD, &yaml, &n, &err) == DAL_OK)
        k->card = card_parse(c->mem, k->path, yaml, n, d);
    else
        diags_error(d, (place){k->path, 0, 0}, "the card cannot be read: %s", err.text);
    k->faulty = !k->card;
    free(yaml);
}

const card *cards_find(cards *c, const char *name, diags *d)
{
    if (!c)
        return NULL;
    scan(c);
    known *k = look_up(c, name);
    if (k && k->faulty && diags_errors(d) == 0)
        diags_error(d, (place){k->path, 0, 0}, "the card is faulty");
    else if (k && !k->card)
        read_card_file(c, k, d);
    return k ? k->card : NULL;
}

bool cards_faulty(const cards *c, const char *name)
{
    const known *k = look_up(c, name);
    return k && k->faulty;
}
