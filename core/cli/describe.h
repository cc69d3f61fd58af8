/* cli/describe.h: modules and components as the commands show them, for people and as JSON. */
#ifndef DALHOST_CLI_DESCRIBE_H
#define DALHOST_CLI_DESCRIBE_H

#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"
#include "registry/registry.h"

/* --kind as a number; 0: not given. False after a complaint. */
bool kind_option(const cli_args *a, uint32_t *kind);

json_t *describe_component(const component_desc *c);
json_t *describe_module(const module_desc *m);
/* Prints and releases j. */
void describe_print(json_t *j);

const char *state_name(module_state s); /* "ok", "refused", "shadowed" */

/* Summary, reference, needs, provides; the table of parameters; both. */
void print_head(const component_desc *c, bool with_module, FILE *out);
void print_params(const component_desc *c, FILE *out);
void print_component(const component_desc *c, bool with_module, FILE *out);
/* What it can be combined with, and what others call it: added to j, or printed when that is NULL. */
void describe_relations(const component_desc *c, const registry *r, json_t *j, FILE *out);
/* How it is named in a manifest. */
void print_example(const component_desc *c, FILE *out);
/* "labelled: text" folded to 100 columns. */
void print_field(const char *label, const char *value, FILE *out);

#endif
