/* registry/blame.h: say which plugin was running when the process crashes, or ends. */
#ifndef DALHOST_REGISTRY_BLAME_H
#define DALHOST_REGISTRY_BLAME_H

#include <stdbool.h>

/* [any] Until the blame_pop that belongs to it, a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) of this
 * thread prints
 *     dalhost: module 'margin' (/path/margin.so) crashed in select (signal 11, Segmentation fault)
 * before the process dies of it. They nest. The strings are borrowed. The first call is made on the main
 * thread. Signals somebody else handles (a sanitizer, a debugger) are left alone.
 *
 * Nor may a plugin end the process, and with exit(0) a run would seem a success: an exit or quick_exit before the
 * blame_pop prints
 *     dalhost: strategy 'margin' of module 'margin' (/path/margin.so) called exit in select; a component returns,
 *     with dal_fail where something is wrong
 * (one line) and the process aborts, as of a crash. kind and id are of the component, NULL while its module is loaded
 * or started. What ends without a word to the C library, as with _exit, cannot be seen. A forked child may exit. */
void blame_push(const char *kind, const char *id, const char *module, const char *file, const char *what);
void blame_pop(void);

/* [main] Between true and false it is never the host that ends the process by exit: where no call is to blame, a
 * thread is that some module left running, and the line says so. */
void blame_all_exits(bool all);

#endif
