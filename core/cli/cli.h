/* cli/cli.h: what a sub-command is. The table of one command is its parser, its --help and its man page.
 */
#ifndef DALHOST_CLI_CLI_H
#define DALHOST_CLI_CLI_H

#include <dal/base.h>
#include <stdbool.h>

#include "registry/registry.h"

/* Exit codes of dalhost; EXIT_LIST in cli.c documents them in every man page. */
#define EXIT_OK 0
#define EXIT_FAILED 1      /* the work itself failed */
#define EXIT_BAD_INPUT 2   /* bad usage, manifest, file or store: nothing was done */
#define EXIT_WAITING 3     /* waiting for labels: go on with --resume */
#define EXIT_INTERRUPTED 130

typedef struct cli_option {
    const char *name; /* without the dashes; NULL ends the table */
    char letter;      /* or 0 */
    const char *arg;  /* "FILE"; NULL: a flag */
    bool repeat;      /* may be given several times */
    const char *help; /* one sentence, no full stop */
} cli_option;

typedef struct cli_args cli_args;

typedef struct cli_command {
    const char *name;    /* "run", "plugin list" */
    const char *operands; /* "MANIFEST", "[ID]", "FILE...", "" */
    int min_operands, max_operands; /* max -1: any number */
    const char *summary;     /* one line */
    const char *description; /* paragraphs separated by an empty line; NULL */
    const cli_option *options;
    const char *examples; /* lines; NULL */
    int (*main)(const cli_args *a);
} cli_command;

/* All commands, NULL-ended, in the order of --help. */
extern const cli_command *const cli_commands[];
/* Is it "GROUP word"? */
bool cli_in_group(const cli_command *c, const char *group);

/* The option of a command (NULL: of none), or of all commands, by its name of n bytes or its letter; NULL: no such. */
const cli_option *cli_find_option(const cli_command *c, const char *name, size_t n);

/* What the user gave; names are checked against the command's table (a slip is our bug: assert). */
bool cli_flag(const cli_args *a, const char *name);
const char *cli_value(const cli_args *a, const char *name); /* last one given, or NULL */
const char *const *cli_values(const cli_args *a, const char *name, int *n);
int cli_n_operands(const cli_args *a);
const char *cli_operand(const cli_args *a, int i);
/* A whole number in [low, high]; prints the complaint and returns false when it is not. */
bool cli_int(const cli_args *a, const char *name, int64_t low, int64_t high, int64_t *value);

/* Prints "dalhost COMMAND: ..." on standard error and returns EXIT_BAD_INPUT. */
int cli_bad(const cli_args *a, const char *fmt, ...) DAL_PRINTF(2, 3);
/* The same for a dal_error, with status `code`. */
int cli_error(const cli_args *a, int code, const dal_error *err);

/* The registry over --plugins and the usual places; complains and returns NULL when that fails. Owned by
 * the caller: registry_free. */
registry *cli_registry(const cli_args *a);

/* Everything: parse, dispatch, help. */
int cli_main(int argc, char **argv);

/* One per file in cli/. */
extern const cli_command cmd_run, cmd_check, cmd_select, cmd_schema, cmd_component_list,
    cmd_component_inspect, cmd_component_names, cmd_dataset_list, cmd_dataset_inspect, cmd_dataset_check,
    cmd_dataset_fetch, cmd_dataset_export, cmd_dataset_new, cmd_plugin_list, cmd_plugin_inspect, cmd_plugin_check,
    cmd_plugin_new, cmd_runs_list, cmd_runs_show, cmd_runs_export;

#endif
