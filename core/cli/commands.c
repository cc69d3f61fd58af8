/* The list of sub-commands: the order of `dalhost --help`. */
#include "cli/cli.h"

const cli_command *const cli_commands[] = {
    &cmd_run,
    &cmd_check,
    &cmd_select,
    &cmd_schema,
    &cmd_component_list,
    &cmd_component_inspect,
    &cmd_component_names,
    &cmd_dataset_list,
    &cmd_dataset_inspect,
    &cmd_dataset_check,
    &cmd_dataset_fetch,
    &cmd_dataset_export,
    &cmd_dataset_new,
    &cmd_plugin_list,
    &cmd_plugin_inspect,
    &cmd_plugin_check,
    &cmd_plugin_new,
    &cmd_runs_list,
    &cmd_runs_show,
    &cmd_runs_export,
    NULL,
};
