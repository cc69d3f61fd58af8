/* The scratch files of all tests go when the last test is done. */
#include "tests/unit/fixture.h"

#include <criterion/hooks.h>
#include <ftw.h>

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
    char dir[64];
    (void)stats;
    fx_folder(dir, getpid());
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
