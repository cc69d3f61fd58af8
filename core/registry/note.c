#include "registry/note.h"

#include <dal/plugin.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/text.h"

#define MAX_HEADERS 4096          /* program or section headers looked at */
#define MAX_SEGMENT (64u << 20)   /* bytes of one note segment walked */
#define MAX_WALKED 65536          /* notes of anybody's in one file */
#define MAX_FOUND 1024            /* notes of ours in one file */

/* The file's bytes, from a descriptor or from memory. */
typedef struct source {
    int fd;
    const unsigned char *memory; /* NULL: use fd */
    uint64_t size;
    const char *path;
} source;

typedef struct found {
    char **texts;
    int n, most; /* stop with an error beyond `most` */
    int walked;
} found;

/* ---- bounded reading ---- */

static bool fetch(const source *s, uint64_t offset, void *out, size_t n)
{
    if (offset > s->size || n > s->size - offset)
        return false;
    if (s->memory) {
        memcpy(out, s->memory + offset, n);
        return true;
    }
    for (size_t got = 0; got < n;) {
        const ssize_t k = pread(s->fd, (char *)out + got, n - got, (off_t)(offset + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        got += (size_t)k;
    }
    return true;
}

/* An unsigned number of n bytes in the file's byte order. */
static uint64_t number(const unsigned char *p, int n, bool big_endian)
{
    uint64_t x = 0;
    for (int i = 0; i < n; i++)
        x = x << 8 | p[big_endian ? i : n - 1 - i];
    return x;
}

static dal_status broken(const source *s, dal_error *err, const char *what)
{
    return dal_fail(err, DAL_E_FORMAT, "", "%s: %s; expected an ELF shared object of dalhost's SDK", s->path,
                    what);
}

/* ---- the ELF header ---- */

typedef struct layout {
    note_machine machine;
    uint64_t ph_offset, sh_offset;
    uint32_t ph_size, ph_count, sh_size, sh_count;
} layout;

static dal_status read_layout(const source *s, layout *l, dal_error *err)
{
    unsigned char h[sizeof(Elf64_Ehdr)] = {0};
    if (!fetch(s, 0, h, EI_NIDENT) || memcmp(h, ELFMAG, SELFMAG) != 0)
        return broken(s, err, "not an ELF file");
    if ((h[EI_CLASS] != ELFCLASS32 && h[EI_CLASS] != ELFCLASS64) ||
        (h[EI_DATA] != ELFDATA2LSB && h[EI_DATA] != ELFDATA2MSB))
        return broken(s, err, "an ELF file of unknown class or byte order");
    const bool wide = h[EI_CLASS] == ELFCLASS64, big = h[EI_DATA] == ELFDATA2MSB;
    if (!fetch(s, 0, h, wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
        return broken(s, err, "a truncated ELF file (cut inside its header)");
    const int type = (int)number(h + offsetof(Elf64_Ehdr, e_type), 2, big);
    if (type != ET_DYN && type != ET_EXEC)
        return broken(s, err, "an ELF file, but not a shared object");

#define FIELD(f)                                                                  \
    number(h + (wide ? offsetof(Elf64_Ehdr, f) : offsetof(Elf32_Ehdr, f)),        \
           wide ? (int)sizeof(((Elf64_Ehdr *)0)->f) : (int)sizeof(((Elf32_Ehdr *)0)->f), big)
    *l = (layout){.machine = {wide ? 64 : 32, big, (int)FIELD(e_machine)},
                  .ph_offset = FIELD(e_phoff),
                  .sh_offset = FIELD(e_shoff),
                  .ph_size = (uint32_t)FIELD(e_phentsize),
                  .ph_count = (uint32_t)FIELD(e_phnum),
                  .sh_size = (uint32_t)FIELD(e_shentsize),
                  .sh_count = (uint32_t)FIELD(e_shnum)};
#undef FIELD
    return DAL_OK;
}

bool note_machine_is_ours(const note_machine *m)
{
#if defined(__x86_64__)
    const int ours = EM_X86_64;
#elif defined(__i386__)
    const int ours = EM_386;
#elif defined(__aarch64__)
    const int ours = EM_AARCH64;
#elif defined(__arm__)
    const int ours = EM_ARM;
#elif defined(__riscv)
    const int ours = EM_RISCV;
#elif defined(__powerpc64__)
    const int ours = EM_PPC64;
#elif defined(__s390__)
    const int ours = EM_S390;
#else
    const int ours = m->number; /* the loader will tell */
#endif
    const union {
        uint16_t x;
        unsigned char byte[2];
    } probe = {1};
    return m->bits == (int)sizeof(void *) * 8 && m->big_endian == (probe.byte[0] == 0) && m->number == ours;
}

/* ---- notes ---- */

/* The text of one note: NUL-ended, nothing but NULs behind the first. */
static dal_status take_text(const source *s, uint64_t offset, uint64_t size, found *f, dal_error *err)
{
    if (size == 0 || size > NOTE_MAX_TEXT)
        return broken(s, err, size ? "its note is longer than 1 MiB" : "its note is empty");
    if (f->n >= f->most)
        return broken(s, err, "it has more than one note (DAL_MODULE may be used once in a module)");
    char *note = xcalloc(1, (size_t)size + 1);
    if (!fetch(s, offset, note, (size_t)size)) {
        free(note);
        return broken(s, err, "truncated (cut inside its note)");
    }
    for (size_t i = strlen(note); i < size; i++)
        if (note[i]) {
            free(note);
            return broken(s, err, "its note has a NUL inside");
        }
    f->texts = xrealloc(f->texts, (size_t)(f->n + 1) * sizeof *f->texts);
    f->texts[f->n++] = note;
    return DAL_OK;
}

/* Walk one segment or section of notes; name and text are padded to `align`. */
static dal_status walk_notes(const source *s, const layout *l, uint64_t offset, uint64_t size, uint64_t align,
                             found *f, dal_error *err)
{
    align = align == 8 ? 8 : 4;
    if (size > MAX_SEGMENT)
        return broken(s, err, "a note segment of more than 64 MiB");
    if (offset > s->size || size > s->size - offset)
        return broken(s, err, "truncated (a note segment reaches past its end)");
    for (uint64_t at = 0; size - at >= 12;) {
        unsigned char h[12];
        char name[sizeof DAL_NOTE_OWNER] = {0};
        if (++f->walked > MAX_WALKED || !fetch(s, offset + at, h, sizeof h))
            return broken(s, err, "notes that cannot be read");
        const uint64_t name_size = number(h, 4, l->machine.big_endian);
        const uint64_t text_size = number(h + 4, 4, l->machine.big_endian);
        const uint64_t type = number(h + 8, 4, l->machine.big_endian);
        const uint64_t text_at = at + (12 + name_size + align - 1) / align * align;
        if (text_at > size || text_size > size - text_at)
            return broken(s, err, "a note that reaches past its segment");
        if (name_size == sizeof name && fetch(s, offset + at + 12, name, sizeof name) &&
            memcmp(name, DAL_NOTE_OWNER, sizeof name) == 0 && type == DAL_NOTE_TYPE) {
            const dal_status st = take_text(s, offset + text_at, text_size, f, err);
            if (st)
                return st;
        }
        const uint64_t next = text_at + (text_size + align - 1) / align * align;
        if (next >= size)
            break;
        at = next;
    }
    return DAL_OK;
}

/* A loader that maps more than the file has would die of it (SIGBUS). */
static dal_status check_segment(const source *s, uint64_t offset, uint64_t size, dal_error *err)
{
    if (offset > s->size || size > s->size - offset)
        return broken(s, err, "truncated (a segment reaches past its end)");
    return DAL_OK;
}

/* Every program header of type PT_NOTE, or (sections) section header of type SHT_NOTE. */
static dal_status walk_headers(const source *s, const layout *l, bool sections, found *f, dal_error *err)
{
    const bool wide = l->machine.bits == 64, big = l->machine.big_endian;
    const uint64_t table = sections ? l->sh_offset : l->ph_offset;
    const uint32_t entry = sections ? l->sh_size : l->ph_size, n = sections ? l->sh_count : l->ph_count;
    const size_t least = sections ? (wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr))
                                  : (wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr));
    if (n == 0)
        return DAL_OK;
    if (entry < least || n > MAX_HEADERS)
        return broken(s, err, "an ELF file with impossible headers");
    for (uint32_t i = 0; i < n; i++) {
        unsigned char h[sizeof(Elf64_Shdr)];
        if (table > s->size || !fetch(s, table + (uint64_t)i * entry, h, least))
            return broken(s, err, "truncated (its header table reaches past its end)");
#define FIELD(H, f)                                                            \
    number(h + (wide ? offsetof(Elf64_##H, f) : offsetof(Elf32_##H, f)),       \
           wide ? (int)sizeof(((Elf64_##H *)0)->f) : (int)sizeof(((Elf32_##H *)0)->f), big)
        dal_status st = DAL_OK;
        if (sections && FIELD(Shdr, sh_type) == SHT_NOTE)
            st = walk_notes(s, l, FIELD(Shdr, sh_offset), FIELD(Shdr, sh_size), FIELD(Shdr, sh_addralign), f,
                            err);
        else if (!sections && FIELD(Phdr, p_type) == PT_LOAD)
            st = check_segment(s, FIELD(Phdr, p_offset), FIELD(Phdr, p_filesz), err);
        else if (!sections && FIELD(Phdr, p_type) == PT_NOTE)
            st = walk_notes(s, l, FIELD(Phdr, p_offset), FIELD(Phdr, p_filesz), FIELD(Phdr, p_align), f, err);
#undef FIELD
        if (st)
            return st;
    }
    return DAL_OK;
}

/* Program headers first (they survive strip); files without notes there may still have sections. */
static dal_status collect(const source *s, note_machine *machine, found *f, dal_error *err)
{
    layout l;
    dal_status st = read_layout(s, &l, err);
    if (st == DAL_OK)
        st = walk_headers(s, &l, false, f, err);
    if (st == DAL_OK && f->n == 0)
        st = walk_headers(s, &l, true, f, err);
    if (st == DAL_OK && machine)
        *machine = l.machine;
    if (st == DAL_OK && f->n == 0)
        st = dal_fail(err, DAL_E_NOT_FOUND, "",
                      "%s: a shared object without a dalhost note; build it with DAL_MODULE of dal/plugin.h",
                      s->path);
    return st;
}

static dal_status only(found *f, dal_status st, char **note)
{
    *note = NULL;
    if (st == DAL_OK)
        *note = f->texts[0];
    else
        for (int i = 0; i < f->n; i++)
            free(f->texts[i]);
    free(f->texts);
    return st;
}

/* ---- the doors ---- */

static dal_status source_of_fd(int fd, const char *path, source *s, dal_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return dal_fail(err, DAL_E_IO, "", "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return dal_fail(err, DAL_E_FORMAT, "", "%s: not a regular file; expected a module's .so", path);
    *s = (source){fd, NULL, (uint64_t)st.st_size, path};
    return DAL_OK;
}

static dal_status open_source(const char *path, source *s, dal_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return dal_fail(err, errno == ENOENT ? DAL_E_NOT_FOUND : DAL_E_IO, "", "%s: %s", path,
                        strerror(errno));
    const dal_status st = source_of_fd(fd, path, s, err);
    if (st)
        close(fd);
    return st;
}

dal_status note_read_fd(int fd, const char *path, char **note, note_machine *machine, dal_error *err)
{
    source s;
    found f = {.most = 1};
    *note = NULL;
    const dal_status st = source_of_fd(fd, path, &s, err);
    return st ? st : only(&f, collect(&s, machine, &f, err), note);
}

dal_status note_read(const char *path, char **note, note_machine *machine, dal_error *err)
{
    source s;
    *note = NULL;
    dal_status st = open_source(path, &s, err);
    if (st)
        return st;
    st = note_read_fd(s.fd, path, note, machine, err);
    close(s.fd);
    return st;
}

dal_status note_find(const void *elf, size_t n, char **note, dal_error *err)
{
    const source s = {-1, elf, n, "(memory)"};
    found f = {.most = 1};
    return only(&f, collect(&s, NULL, &f, err), note);
}

dal_status note_read_all(const char *path, char ***texts, int *n, dal_error *err)
{
    source s;
    found f = {.most = MAX_FOUND};
    *texts = NULL;
    *n = 0;
    dal_status st = open_source(path, &s, err);
    if (st)
        return st;
    st = collect(&s, NULL, &f, err);
    close(s.fd);
    if (st) {
        char *none;
        return only(&f, st, &none);
    }
    *texts = f.texts;
    *n = f.n;
    return DAL_OK;
}
