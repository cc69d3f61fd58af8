/* cli/complete.h: `dalhost complete`, which the shells' completion asks.
 */
#ifndef DALHOST_CLI_COMPLETE_H
#define DALHOST_CLI_COMPLETE_H

#include "cli/cli.h"

/* words[n]: what stands after `dalhost`, up to the word being typed. Prints what that may become; an exit code. */
int complete_words(const char *const *words, int n);

#endif
