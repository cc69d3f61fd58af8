/* Tests of a module as a whole: does it load, is it what its note says, does it export one symbol only. */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check/suite.h"
#include "util/text.h"

static void loads(const subject *s, int arg)
{
    (void)arg;
    dlerror();
    CHECK(dlopen(s->module->path, RTLD_NOW | RTLD_LOCAL), "the system loader refuses it: %s", dlerror());
}

/* The registry compares ABI, texts, components, parameters, struct sizes and slots. */
static void note_is_true(const subject *s, int arg)
{
    dal_error err = DAL_ERROR_INIT;
    (void)arg;
    CHECK(registry_open(s->r, s->module, &err), "%s", err.text);
}

/* ---- exported symbols ---- */

typedef struct image {
    const char *bytes;
    size_t n;
} image;

static const void *part(const image *f, size_t offset, size_t count, size_t size)
{
    int64_t length;
    if (!dal_size_mul((int64_t)count, (int64_t)size, &length) || offset > f->n || (size_t)length > f->n - offset)
        check_skip("its section table cannot be read");
    return f->bytes + offset;
}

static bool exported(const ElfW(Sym) *y)
{
    const unsigned bind = y->st_info >> 4, visibility = y->st_other & 3u;
    return y->st_shndx != SHN_UNDEF && (bind == STB_GLOBAL || bind == STB_WEAK) &&
           (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

/* What linkers add on their own. */
static bool of_the_linker(const char *name)
{
    static const char *const names[] = {"_init", "_fini", "_end", "_edata", "__bss_start"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void look_at_symbols(const subject *s, const image *f, const ElfW(Shdr) *symbols, const ElfW(Shdr) *strings)
{
    char *ours = xasprintf("%s_LTX_dal_plugin", s->module->name);
    const size_t n = symbols->sh_size / sizeof(ElfW(Sym));
    const char *words = part(f, strings->sh_offset, strings->sh_size, 1);
    const ElfW(Sym) *table = part(f, symbols->sh_offset, n, sizeof *table);
    char *others = xstrdup("");
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        if (!exported(&table[i]) || table[i].st_name >= strings->sh_size)
            continue;
        const char *name = words + table[i].st_name;
        if (strcmp(name, ours) == 0) {
            found = true;
        } else if (!of_the_linker(name)) {
            char *longer = xasprintf("%s %s", others, name);
            free(others);
            others = longer;
        }
    }
    CHECK(found, "it does not export %s", ours);
    CHECK(!*others, "it exports more than %s:%s; link with -fvisibility=hidden", ours, others);
}

static void one_symbol(const subject *s, int arg)
{
    (void)arg;
    struct stat st;
    const int fd = open(s->module->path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &st) == 0, "cannot be read");
    image f = {mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0), (size_t)st.st_size};
    CHECK(f.bytes != MAP_FAILED, "cannot be mapped");
    ElfW(Ehdr) head;
    memcpy(&head, part(&f, 0, 1, sizeof head), sizeof head);
    if (head.e_shentsize != sizeof(ElfW(Shdr)))
        check_skip("it has no section table");
    const ElfW(Shdr) *sections = part(&f, head.e_shoff, head.e_shnum, sizeof *sections);
    for (int i = 0; i < head.e_shnum; i++)
        if (sections[i].sh_type == SHT_DYNSYM && sections[i].sh_link < head.e_shnum) {
            look_at_symbols(s, &f, &sections[i], &sections[sections[i].sh_link]);
            return;
        }
    check_skip("it has no table of dynamic symbols");
}

/* ---- init and fini ---- */

static void init_and_fini(const subject *s, int arg)
{
    (void)arg;
    dal_error err = DAL_ERROR_INIT;
    composer *c;
    if (s->module->n_components == 0)
        check_skip("it has no components this dalhost knows");
    CHECK(composer_new(s->r, 1, s->seed, NULL, &c, &err) == DAL_OK, "no runtime: %s", err.text);
    const component_desc *first = &s->module->components[0];
    CHECK(registry_load(s->r, first, composer_host(c, first->id), &err), "%s", err.text);
    const dal_plugin *p = registry_open(s->r, s->module, &err);
    if (DAL_HAS(dal_plugin, p, fini))
        p->fini();
    const int64_t left = dal_runtime_allocated(composer_runtime(c));
    CHECK(left == 0, "%lld bytes of host->alloc are not given back after fini", (long long)left);
}

const check_test module_tests[] = {
    {"load", "the system loader takes it, with every symbol bound", 0, loads, 0},
    {"note", "its tables are sane and equal its note", 0, note_is_true, 0},
    {"one-symbol", "it exports one symbol and no other", 0, one_symbol, 0},
    {"init", "init and fini run, and fini gives everything back", 0, init_and_fini, 0},
    {0},
};
