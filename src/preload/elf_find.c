/* SPDX-License-Identifier: Apache-2.0
 *
 * Symbol tables of loaded objects.
 *
 * Invariants:
 *   1. No allocation, no lock, no call into the dynamic loader nor anything a
 *      sanitizer intercepts: this runs inside the first dlsym of a process,
 *      which may come from an allocator's or a sanitizer's initialisation.
 *   2. Any thread may call it.
 */
#include "preload/elf_find.h"

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>

struct tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const ElfW(Half) * versions;
    ElfW(Xword) soname;
};

/* The loader relocates the pointers of d_un in place on most systems; an
 * object it did not (the vdso) still has offsets there. */
static const void *pointer_of(ElfW(Addr) base, ElfW(Addr) value)
{
    return (const void *)(value < base ? base + value : value); // NOLINT(performance-no-int-to-ptr)
}

static struct tables tables_of(ElfW(Addr) base, const ElfW(Dyn) * dynamic)
{
    struct tables t = {0};
    for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) {
        case DT_SYMTAB:
            t.symbols = pointer_of(base, d->d_un.d_ptr);
            break;
        case DT_STRTAB:
            t.strings = pointer_of(base, d->d_un.d_ptr);
            break;
        case DT_GNU_HASH:
            t.gnu_hash = pointer_of(base, d->d_un.d_ptr);
            break;
        case DT_VERSYM:
            t.versions = pointer_of(base, d->d_un.d_ptr);
            break;
        case DT_SONAME:
            t.soname = d->d_un.d_val;
            break;
        default:
            break;
        }
    }
    return t;
}

bool elf_same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static uint32_t gnu_hash_of(const char *name)
{
    uint32_t h = 5381;
    for (; *name; name++)
        h = h * 33 + (unsigned char)*name;
    return h;
}

static bool is_default_definition(const struct tables *t, uint32_t i, const char *name)
{
    const ElfW(Sym) *s = &t->symbols[i];
    if (s->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(s->st_info) != STT_FUNC)
        return false;
    bool hidden_version = t->versions && (t->versions[i] & 0x8000);
    return !hidden_version && elf_same(t->strings + s->st_name, name);
}

void *elf_find(ElfW(Addr) base, const ElfW(Dyn) * dynamic, const char *name)
{
    if (!dynamic)
        return NULL;
    struct tables t = tables_of(base, dynamic);
    if (!t.symbols || !t.strings || !t.gnu_hash)
        return NULL;
    uint32_t n_buckets = t.gnu_hash[0], first = t.gnu_hash[1], n_bloom = t.gnu_hash[2];
    const uint32_t *buckets = t.gnu_hash + 4 + n_bloom * (sizeof(ElfW(Addr)) / 4);
    const uint32_t *chains = buckets + n_buckets;
    if (n_buckets == 0)
        return NULL;
    uint32_t h = gnu_hash_of(name);
    uint32_t i = buckets[h % n_buckets];
    if (i < first)
        return NULL;
    for (;; i++) {
        uint32_t chain = chains[i - first];
        if ((chain | 1) == (h | 1) && is_default_definition(&t, i, name))
            return (void *)(base + t.symbols[i].st_value); // NOLINT(performance-no-int-to-ptr)
        if (chain & 1)
            return NULL;
    }
}

const char *elf_soname(ElfW(Addr) base, const ElfW(Dyn) * dynamic)
{
    if (!dynamic)
        return "";
    struct tables t = tables_of(base, dynamic);
    return t.strings && t.soname ? t.strings + t.soname : "";
}

/* Of a program that does not say where its program headers are (a loader that
 * was started by name): the file's header lies before them, at the address of
 * the segment that begins the file. */
static ElfW(Addr) base_by_header(const ElfW(Phdr) * phdr, unsigned long n)
{
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)(const void *)phdr - 1;
    bool is_header =
        header->e_ident[0] == ELFMAG0 && header->e_ident[1] == 'E' && header->e_phoff == sizeof *header;
    for (unsigned long i = 0; i < n && is_header; i++)
        if (phdr[i].p_type == PT_LOAD && phdr[i].p_offset == 0)
            return (ElfW(Addr))header - phdr[i].p_vaddr;
    return 0;
}

const struct link_map *elf_objects(void)
{
    const ElfW(Phdr) *phdr = (const ElfW(Phdr) *)getauxval(AT_PHDR); // NOLINT(performance-no-int-to-ptr)
    unsigned long n = getauxval(AT_PHNUM);
    const ElfW(Phdr) *program = NULL, *dynamic = NULL;
    for (unsigned long i = 0; phdr && i < n; i++) {
        if (phdr[i].p_type == PT_PHDR)
            program = &phdr[i];
        else if (phdr[i].p_type == PT_DYNAMIC)
            dynamic = &phdr[i];
    }
    if (!dynamic)
        return NULL;
    ElfW(Addr) base = program ? (ElfW(Addr))phdr - program->p_vaddr : base_by_header(phdr, n);
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    for (const ElfW(Dyn) *d = (const ElfW(Dyn) *)(base + dynamic->p_vaddr); d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_DEBUG && d->d_un.d_ptr)
            return ((const struct r_debug *)d->d_un.d_ptr)->r_map; // NOLINT(performance-no-int-to-ptr)
    return NULL;
}
