/* registry/note_text.h: the text of a module's note as a description (grammar: DAL_NOTE_TEXT_ in
 * dal/plugin.h).
 *
 * One line each, fields separated by tabs: abi, module, version, licence, then for each component
 * `component kind id`, summary, reference, needs, provides and its `param` lines; after these, where the module has
 * them, lines `about kind id formula differences` and `when kind id capability parameter values`; at last `end`. Lines
 * of an unknown kind, further fields and components of an unknown kind are passed over, so that notes of newer modules
 * stay readable; everything else that is wrong refuses the whole note.
 */
#ifndef DALHOST_REGISTRY_NOTE_TEXT_H
#define DALHOST_REGISTRY_NOTE_TEXT_H

#include "registry/registry.h"

typedef struct note_info {
    char *text; /* everything below points into it */
    const char *module, *version, *licence;
    int abi_major, abi_minor;
    component_desc *components;
    int n_components;
    char *skipped; /* what was passed over, "" when nothing; a sentence */
    char *unknown_param; /* first parameter of an unknown type (type 0 in its description), or NULL */
} note_info;

/* Takes text (also on failure). Of a malformed note only the ABI numbers remain (-1: not even those): a note
 * of another major version may be written in another way. */
dal_status note_parse(char *text, note_info *out, dal_error *err);
void note_info_free(note_info *n); /* accepts zeroed memory */

/* [a-z0-9_]+ for modules, [a-z0-9-]+ for components. */
bool note_module_name_ok(const char *s);
bool note_component_id_ok(const char *s);

#endif
