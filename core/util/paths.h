/* util/paths.h: where the program's own files are: installed, or in the tree it was built in.
 *
 * A program that runs from its build tree (build/dalhost, build/.libs/dalhost, build/tests/...) uses that
 * tree's modules and the source tree's data; any other uses the directories it was configured for, below
 * the root it was copied to (make install DESTDIR=/some/root).
 */
#ifndef DALHOST_UTIL_PATHS_H
#define DALHOST_UTIL_PATHS_H

/* The build tree this program runs from, absolute; NULL when it is installed. */
const char *paths_build_tree(void);

/* The source tree that belongs to the build tree; NULL when installed. */
const char *paths_source_tree(void);

/* A data folder or file, "manifests" or "template/strategy": in $(pkgdatadir), or in datasets/ or sdk/ of
 * the source tree. Caller frees; never NULL, but it may not exist. */
char *paths_data(const char *what);

/* A configured directory (DAL_PLUGINDIR) where this installation has it: "ROOT/usr/lib/dalhost" when the
 * program runs as ROOT/usr/bin/dalhost and was configured for /usr. Caller frees; never NULL. */
char *paths_installed(const char *configured);

/* This program's own file; NULL when the system does not tell. */
const char *paths_self(void);

#endif
