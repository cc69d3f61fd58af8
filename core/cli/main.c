#include <ltdl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cli.h"
#include "registry/blame.h"

/* OpenBLAS's threads, which begin with the library, ask again for ever where they get no memory, and its last act would
 * be to wait for them: where addresses are limited there is no way out but this one. */
static void leave_if_memory_is_limited(int code)
{
    struct rlimit most;
    if (getrlimit(RLIMIT_AS, &most) == 0 && most.rlim_cur != RLIM_INFINITY && fflush(NULL) == 0)
        _exit(code);
}

int main(int argc, char **argv)
{
    LTDL_SET_PRELOADED_SYMBOLS(); /* a static build has its modules inside */
    blame_all_exits(true);
    const int code = cli_main(argc, argv);
    blame_all_exits(false);
    leave_if_memory_is_limited(code);
    return code;
}
