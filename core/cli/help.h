/* cli/help.h: --help and man pages, both written from the same tables. */
#ifndef DALHOST_CLI_HELP_H
#define DALHOST_CLI_HELP_H

#include <stdio.h>

#include "cli/cli.h"

extern const cli_option cli_global_options[];

void help_overview(FILE *out);
/* The commands of two words that begin with `group`. */
void help_group(const char *group, FILE *out);
void help_command(const cli_command *c, FILE *out);
/* A man page (section 1) in roff: of one command, or of dalhost itself when c is NULL. */
void help_man(const cli_command *c, FILE *out);
/* manifest_page.c: the one of manifests (section 5). */
void help_manifest(FILE *out);

#endif
