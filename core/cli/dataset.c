#include "cli/dataset.h"

#include <stdlib.h>

#include "cli/events.h"
#include "cli/experiment.h"
#include "util/folders.h"
#include "util/text.h"

cards *dataset_cards(void)
{
    int n;
    const char *const *dirs = folders_of_cards(&n);
    return cards_new(dirs, n);
}

static int refuse(opened *o)
{
    fflush(stdout);
    if (!o->quiet)
        diags_print(o->d, stderr);
    return EXIT_BAD_INPUT;
}

static void read_manifest(const cli_args *a, const manifest_options *options, opened *o)
{
    o->own[0] = find_manifest(cli_value(a, "manifest"));
    o->m = manifest_read(o->own[0], NULL, o->registry, options, o->d);
}

int dataset_resolve(const cli_args *a, const char *name, opened *o)
{
    *o = (opened){.d = diags_new()};
    const bool by_manifest = cli_flag(a, "manifest");
    int64_t seed = 0;
    int n, n_path;
    if (!name == !by_manifest)
        return cli_bad(a, name ? "there is a name and a --manifest; expected one of them"
                               : "what of? name a dataset (dalhost dataset list) or a --manifest");
    if (!cli_int(a, "seed", 0, INT64_MAX, &seed))
        return EXIT_BAD_INPUT;
    o->registry = cli_registry(a);
    if (!o->registry)
        return EXIT_BAD_INPUT;
    o->cards = dataset_cards();
    const char *const *given = cli_values(a, "set", &n);
    const char **sets = xcalloc((size_t)n + 1, sizeof *sets);
    memcpy(sets, given, (size_t)n * sizeof *sets);
    if (by_manifest && cli_flag(a, "seed"))
        sets[n++] = o->own[1] = xasprintf("seed=%lld", (long long)seed);
    const char *const *path = folders_of_data(&n_path);
    const manifest_options options = {sets, n, path, n_path, o->cards};
    if (by_manifest)
        read_manifest(a, &options, o);
    else
        o->m = manifest_of_dataset(name, o->registry, &options, o->d);
    free((void *)(uintptr_t)sets);
    if (!o->m) {
        diags *quiet = diags_new();
        o->card = name ? cards_find(o->cards, name, quiet) : NULL;
        diags_free(quiet);
        return EXIT_BAD_INPUT;
    }
    if (!by_manifest)
        o->m->seed = cli_flag(a, "seed") ? (uint64_t)seed : 1;
    o->card = o->m->dataset->card;
    return EXIT_OK;
}

int dataset_open(const cli_args *a, opened *o)
{
    int64_t threads = 0;
    dal_error err = DAL_ERROR_INIT;
    if (!o->m)
        return o->registry && o->cards ? refuse(o) : EXIT_BAD_INPUT;
    if (!cli_int(a, "threads", 1, 1024, &threads))
        return EXIT_BAD_INPUT;
    events_catch_interrupts();
    o->events = events_for_terminal();
    if (composer_new(o->registry, (int32_t)threads, o->m->seed, &o->events, &o->composer, &err) != DAL_OK)
        return cli_error(a, EXIT_FAILED, &err);
    const dal_status st = source_open(o->composer, o->m, &o->source, o->d);
    events_clear();
    return st == DAL_OK ? EXIT_OK : refuse(o);
}

void dataset_close(opened *o)
{
    source_close(o->source);
    composer_free(o->composer);
    manifest_free(o->m);
    cards_free(o->cards);
    registry_free(o->registry);
    diags_free(o->d);
    free(o->own[0]);
    free(o->own[1]);
    *o = (opened){0};
}
