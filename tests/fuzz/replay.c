/* Runs a fuzz target over files: by default tests/fuzz/corpus/CORPUS, where every find is kept. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat s;
    if (!f || fstat(fileno(f), &s) != 0) {
        perror(path);
        return -1;
    }
    uint8_t *data = malloc((size_t)s.st_size + 1);
    const size_t n = data ? fread(data, 1, (size_t)s.st_size, f) : 0;
    fclose(f);
    printf("%s: %zu bytes\n", path, n);
    fflush(stdout); /* the last line names the culprit of a crash */
    if (data)
        LLVMFuzzerTestOneInput(data, n);
    free(data);
    return data ? 1 : -1;
}

/* Files replayed, or -1. */
static int replay_all(const char *dir)
{
    struct dirent **names;
    const int n = scandir(dir, &names, NULL, alphasort);
    int done = n < 0 ? -1 : 0;
    for (int i = 0; i < n; i++) {
        char path[8192];
        const int length = snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && done >= 0)
            done = length >= (int)sizeof path || replay(path) < 0 ? -1 : done + 1;
        free(names[i]);
    }
    if (n < 0)
        perror(dir);
    else
        free(names);
    return done;
}

int main(int argc, char **argv)
{
    int done = 0;
    for (int i = 1; i < argc && done >= 0; i++)
        done = replay(argv[i]) < 0 ? -1 : done + 1;
    if (argc == 1) {
        const char *source = getenv("DAL_SRCDIR");
        char dir[4096];
        snprintf(dir, sizeof dir, "%s/tests/fuzz/corpus/%s", source ? source : ".", CORPUS);
        done = replay_all(dir);
    }
    return done > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
