/* What several commands open the same way. */
#include "cli/cli.h"

registry *cli_registry(const cli_args *a)
{
    int n;
    const char *const *dirs = cli_values(a, "plugins", &n);
    diags *d = diags_new();
    registry *r = registry_new(dirs, n, d);
    if (diags_errors(d)) {
        fflush(stdout);
        diags_print(d, stderr);
        registry_free(r);
        r = NULL;
    }
    diags_free(d);
    return r;
}
