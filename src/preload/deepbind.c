/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects opened with RTLD_DEEPBIND (Python packages do it to keep their own
 * LLVM apart) look names up among their own dependencies first: their dlsym is
 * the C library's, and everything they get through it would escape the limits.
 * The flag keeps its meaning here; after the object is loaded, its references
 * to the functions that this library replaces are pointed to the replacements.
 *
 * Invariants:
 *   1. Only a reference that stands at the genuine function, or that the
 *      loader has not bound yet, is changed; a private definition is not.
 *   2. The loader's list is walked under the loader's own lock.
 *   3. A page that was read-only is read-only again.
 *
 * What an object's constructors looked up while it was being loaded is not
 * seen, nor are objects in a link namespace of their own (dlmopen).
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "preload/elf_find.h"
#include "preload/loader.h"

#if defined(__x86_64__)
#define IS_SLOT(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)
#else
#define IS_SLOT(type) ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT)
#endif

/* Ours, as dlsym and dlvsym of <dlfcn.h> are: -Bsymbolic binds them here. The
 * name dlopen itself stands for the C library's in this library (glibc.h). */
extern void *our_dlopen(const char *file, int flags) __asm__("dlopen");

/* What of an object's dynamic section is needed here. */
struct object {
    ElfW(Addr) base, end;
    const ElfW(Sym) * symbols;
    const char *strings;
    ElfW(Addr) relro, relro_end;
    const ElfW(Rela) * tables[2];
    size_t counts[2];
};

static ElfW(Addr) absolute(const struct object *o, ElfW(Addr) value)
{
    return value < o->base ? value + o->base : value; /* the loader has relocated most of them */
}

static bool read_dynamic(struct object *o, const ElfW(Dyn) * dynamic)
{
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        ElfW(Addr) at = absolute(o, dynamic->d_un.d_ptr);
        // NOLINTBEGIN(performance-no-int-to-ptr)
        if (dynamic->d_tag == DT_SYMTAB)
            o->symbols = (const ElfW(Sym) *)at;
        else if (dynamic->d_tag == DT_STRTAB)
            o->strings = (const char *)at;
        else if (dynamic->d_tag == DT_JMPREL)
            o->tables[0] = (const ElfW(Rela) *)at;
        else if (dynamic->d_tag == DT_RELA)
            o->tables[1] = (const ElfW(Rela) *)at;
        // NOLINTEND(performance-no-int-to-ptr)
        else if (dynamic->d_tag == DT_PLTRELSZ)
            o->counts[0] = dynamic->d_un.d_val / sizeof(ElfW(Rela));
        else if (dynamic->d_tag == DT_RELASZ)
            o->counts[1] = dynamic->d_un.d_val / sizeof(ElfW(Rela));
        else if (dynamic->d_tag == DT_PLTREL && dynamic->d_un.d_val != DT_RELA)
            return false;
    }
    return o->symbols && o->strings;
}

/* The replacement of a name and the genuine function it stands for. */
static void *replacement(const char *name, void **ret_genuine)
{
    static const struct {
        const char *name;
        void *ours;
        void **genuine;
    } loaders[] = {{"dlsym", (void *)dlsym, (void **)&genuine_dlsym},
                   {"dlvsym", (void *)dlvsym, (void **)&genuine_dlvsym},
                   {"dlopen", (void *)our_dlopen, (void **)&genuine_dlopen}};
    for (unsigned i = 0; i < sizeof loaders / sizeof loaders[0]; i++)
        if (strcmp(name, loaders[i].name) == 0) {
            *ret_genuine = *loaders[i].genuine;
            return loaders[i].ours;
        }
    unsigned entry = 0;
    void *wrapper = name[0] == 'c' || name[0] == 'n' ? loader_wrapper(name, &entry) : NULL;
    *ret_genuine = wrapper ? real_known_address(entry) : NULL;
    return wrapper;
}

static void point(const struct object *o, void **slot, void *target)
{
    uintptr_t at = (uintptr_t)slot, size = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *page = (char *)slot - at % size;
    bool sealed = at >= o->relro && at < o->relro_end;
    if (sealed && mprotect(page, size, PROT_READ | PROT_WRITE) != 0)
        return;
    __atomic_store_n(slot, target, __ATOMIC_RELEASE);
    if (sealed)
        mprotect(page, size, PROT_READ);
}

static void rebind_table(const struct object *o, const ElfW(Rela) * table, size_t n)
{
    for (size_t i = 0; table && i < n; i++) {
        const ElfW(Sym) *symbol = &o->symbols[ELF64_R_SYM(table[i].r_info)];
        if (!IS_SLOT(ELF64_R_TYPE(table[i].r_info)) || symbol->st_shndx != SHN_UNDEF)
            continue;
        void *genuine, *ours = replacement(o->strings + symbol->st_name, &genuine);
        if (!ours)
            continue;
        void **slot = (void **)(o->base + table[i].r_offset); // NOLINT(performance-no-int-to-ptr)
        void *now = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
        bool unbound = (ElfW(Addr))now >= o->base && (ElfW(Addr))now < o->end;
        if (now != ours && (unbound || (genuine && now == genuine)))
            point(o, slot, ours);
    }
}

static int rebind_object(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size, (void)data;
    struct object o = {.base = info->dlpi_addr};
    const ElfW(Dyn) *dynamic = NULL;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)(o.base + p->p_vaddr); // NOLINT(performance-no-int-to-ptr)
        if (p->p_type == PT_LOAD && o.base + p->p_vaddr + p->p_memsz > o.end)
            o.end = o.base + p->p_vaddr + p->p_memsz;
        if (p->p_type == PT_GNU_RELRO) {
            o.relro = o.base + p->p_vaddr;
            o.relro_end = o.relro + p->p_memsz;
        }
    }
    if (!dynamic || o.base == 0 || !read_dynamic(&o, dynamic))
        return 0;
    const char *soname = elf_soname(o.base, dynamic);
    if (strncmp(soname, "libc.so", 7) == 0 || strncmp(soname, "libdl.so", 8) == 0 ||
        strncmp(soname, "libvgpu.so", 10) == 0 || strcmp(soname, CUDA_SONAME) == 0 ||
        strcmp(soname, NVML_SONAME) == 0 || strncmp(soname, "ld-linux", 8) == 0)
        return 0;
    for (unsigned i = 0; i < 2; i++)
        rebind_table(&o, o.tables[i], o.counts[i]);
    return 0;
}

/* Opened from here the caller's RUNPATH is not searched; an object that is
 * opened this way is named by its path. */
void *loader_dlopen_deep(const char *file, int flags)
{
    if (!__atomic_load_n(&genuine_dlopen, __ATOMIC_ACQUIRE))
        genuine_find();
    void *handle = genuine_dlopen(file, flags);
    int saved = errno;
    if (handle)
        dl_iterate_phdr(rebind_object, NULL);
    errno = saved;
    return handle;
}
