/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking into loaded objects without the dynamic loader's lookup functions,
 * which this library replaces.
 */
#ifndef HAMI_PRELOAD_ELF_FIND_H
#define HAMI_PRELOAD_ELF_FIND_H

#include <link.h>
#include <stdbool.h>

/* The address of the default-version function `name` that the object defines
 * itself, or NULL. Neither allocates nor locks; the object must stay loaded. */
void *elf_find(ElfW(Addr) base, const ElfW(Dyn) * dynamic, const char *name);

/* The object's DT_SONAME, or "". Borrowed from the object. */
const char *elf_soname(ElfW(Addr) base, const ElfW(Dyn) * dynamic);

/* strcmp(a, b) == 0 without the C library: a sanitizer may have put its own
 * strcmp there, which needs the dlsym we are in to find the genuine one. */
bool elf_same(const char *a, const char *b);

/* The first entry of the process's list of loaded objects, or NULL. */
const struct link_map *elf_objects(void);

#endif
