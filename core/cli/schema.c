/* dalhost schema: the manifest's JSON Schema, for editors. */
#include <stdlib.h>

#include "cli/cli.h"
#include "manifest/manifest.h"
#include "util/folders.h"

static const cli_option options[] = {{0}};

static int schema(const cli_args *a)
{
    registry *r = cli_registry(a);
    if (!r)
        return EXIT_BAD_INPUT;
    int n;
    const char *const *dirs = folders_of_cards(&n);
    cards *named = cards_new(dirs, n);
    char *json = manifest_schema(r, named);
    puts(json);
    free(json);
    cards_free(named);
    registry_free(r);
    return EXIT_OK;
}

const cli_command cmd_schema = {
    .name = "schema",
    .operands = "",
    .summary = "print the JSON Schema of manifests",
    .description = "The schema holds the parameters of all components that are installed, with their types, ranges, "
                   "defaults and meanings, and the names of dataset cards. Editors that speak YAML complete and check "
                   "manifests with it.",
    .options = options,
    .examples = "  dalhost schema > dalhost.schema.json\n"
                "  # first line of a manifest:  # yaml-language-server: $schema=dalhost.schema.json\n",
    .main = schema,
};
