/* registry/blame.h: say which plugin was running when the process crashes. */
#ifndef DALHOST_REGISTRY_BLAME_H
#define DALHOST_REGISTRY_BLAME_H

/* [any] Until the blame_pop that belongs to it, a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) of this
 * thread prints
 *     dalhost: module 'margin' (/path/margin.so) crashed in select (signal 11, Segmentation fault)
 * before the process dies of it. They nest. The strings are borrowed. The first call is made on the main
 * thread. Signals somebody else handles (a sanitizer, a debugger) are left alone. */
void blame_push(const char *module, const char *file, const char *what);
void blame_pop(void);

#endif
