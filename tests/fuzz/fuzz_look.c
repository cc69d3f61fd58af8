/* Any bytes as a file that `dalhost dataset new` looks at: a guess with parameters, or words why not. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataset/look.h"
#include "manifest/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MUST(condition)                                                                                \
    do {                                                                                               \
        if (!(condition)) {                                                                            \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                  \
            abort();                                                                                   \
        }                                                                                              \
    } while (0)

/* What was guessed can be set: YAML, unless the file's own names are not UTF-8. */
static void use_sets(const look *l)
{
    for (int i = 0; i < l->n_sets; i++) {
        arena *mem = arena_new();
        diags *d = diags_new();
        node *map = node_new(mem, NODE_MAP, (place){"fuzz", 0, 0});
        const bool set = tree_set(mem, map, l->sets[i], d);
        MUST(set || !utf8_valid(l->sets[i], strlen(l->sets[i]), NULL));
        diags_free(d);
        arena_free(mem);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[64];
    look l;
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(fd >= 0 && write(fd, data, n) == (ssize_t)n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    look_at_path(path, n % 2 ? NULL : "1", &l);
    MUST(l.words.n > 0);
    use_sets(&l);
    look_fini(&l);
    close(fd);
    return 0;
}
