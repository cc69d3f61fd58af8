#include <ltdl.h>

#include "cli/cli.h"
#include "registry/blame.h"

int main(int argc, char **argv)
{
    LTDL_SET_PRELOADED_SYMBOLS(); /* a static build has its modules inside */
    blame_all_exits(true);
    const int code = cli_main(argc, argv);
    blame_all_exits(false);
    return code;
}
