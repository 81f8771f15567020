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

/* The first entry of the process's list of loaded objects, or NULL. */
const struct link_map *elf_objects(void);

#endif
