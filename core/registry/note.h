/* registry/note.h: read a module's ELF note (hostile input) without running the module. */
#ifndef DALHOST_REGISTRY_NOTE_H
#define DALHOST_REGISTRY_NOTE_H

#include <dal/base.h>

#define NOTE_MAX_TEXT (1u << 20)

/* The text of the .note.dal of an ELF file: *text is NUL-ended, caller frees. DAL_E_NOT_FOUND: an ELF
 * shared object without the note. DAL_E_FORMAT: not ELF, truncated, or lying about sizes. Reads only the
 * headers and the note. */
dal_status note_read(const char *path, char **text, dal_error *err);
/* The same from memory (fuzzing, static builds). */
dal_status note_find(const void *elf, size_t n, char **text, dal_error *err);

#endif
