/* registry/note.h: read a module's ELF note (hostile input) without running the module. */
#ifndef DALHOST_REGISTRY_NOTE_H
#define DALHOST_REGISTRY_NOTE_H

#include <dal/base.h>
#include <stdbool.h>

#define NOTE_MAX_TEXT (1u << 20)
#define NOTE_MAX_COMPONENTS 1000
#define NOTE_MAX_PARAMS 1000 /* of one component */
#define NOTE_MAX_WHEN 1000   /* likewise */

/* Which machine an ELF file was built for. */
typedef struct note_machine {
    int bits;         /* 32 or 64 */
    bool big_endian;
    int number;       /* e_machine */
} note_machine;

/* Can this process load it? */
bool note_machine_is_ours(const note_machine *m);

/* The text of the .note.dal of an ELF file: *text is NUL-ended, caller frees. DAL_E_NOT_FOUND: an ELF
 * shared object without the note. DAL_E_FORMAT: not ELF, truncated, or lying about sizes. Reads only the
 * headers and the note, of either class and byte order. *machine (may be NULL) is filled with DAL_OK and
 * DAL_E_NOT_FOUND. */
dal_status note_read(const char *path, char **text, note_machine *machine, dal_error *err);
/* The same from an open file that is not moved; path is for messages. */
dal_status note_read_fd(int fd, const char *path, char **text, note_machine *machine, dal_error *err);
/* The same from memory (fuzzing, tests). */
dal_status note_find(const void *elf, size_t n, char **text, dal_error *err);
/* Every note of a file: a statically linked program holds one for each module. texts[*n] and each of them
 * are the caller's to free. */
dal_status note_read_all(const char *path, char ***texts, int *n, dal_error *err);

#endif
