/* registry/blame.h: say which plugin was running when the process crashes. */
#ifndef DALHOST_REGISTRY_BLAME_H
#define DALHOST_REGISTRY_BLAME_H

/* [main] From now on a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT) prints
 *     dalhost: module 'margin' (/path/margin.so) crashed in select (signal 11, Segmentation fault)
 * before the process dies of it. The strings are borrowed until the next call; module NULL: nobody is to
 * blame. Signals somebody else handles (a sanitizer, a debugger) are left alone. */
void blame_set(const char *module, const char *file, const char *what);

#endif
