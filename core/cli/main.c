#include <ltdl.h>

#include "cli/cli.h"

int main(int argc, char **argv)
{
    LTDL_SET_PRELOADED_SYMBOLS(); /* a static build has its modules inside */
    return cli_main(argc, argv);
}
