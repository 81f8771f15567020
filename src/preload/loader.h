/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the dynamic loader, the genuine driver and the wrappers. Entries are
 * numbered as in `real` followed by `real_nvml`.
 */
#ifndef HAMI_PRELOAD_LOADER_H
#define HAMI_PRELOAD_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/hook.h"

#define CUDA_SONAME "libcuda.so.1"
#define NVML_SONAME "libnvidia-ml.so.1"

/* The C library's own dlsym and dlvsym; NULL until genuine_find(). */
extern OURS void *(*genuine_dlsym)(void *, const char *);
extern OURS void *(*genuine_dlvsym)(void *, const char *, const char *);
extern OURS void *(*genuine_dlopen)(const char *, int);
void genuine_find(void);

/* The wrapper of a name, and the number of the entry it wraps; NULL when the
 * name is not wrapped. */
void *loader_wrapper(const char *name, unsigned *ret_entry);

/* The C library's dlsym on a handle, past every replacement. */
void *genuine_symbol(void *handle, const char *name);

/* real.c: the genuine driver's address of an entry, or NULL. */
void *real_address(unsigned entry);
const char *real_name(unsigned entry);

/* The same without loading anything: NULL unless this library holds the
 * entry's library already. real_hold() makes it hold one that is loaded. */
void *real_known_address(unsigned entry);
void real_hold(unsigned entry);

/* Lets `real` call an address that the driver does not export under a name. */
void real_adopt(unsigned entry, void *address);

/* Whether libcuda.so.1 can be loaded at all. */
bool real_driver_present(void);

/* Called by stubs.S only. */
struct loader_answer {
    void *value;
    uintptr_t decided; /* 0: let the C library decide, as if we were not there */
};
void *real_resolve(unsigned entry);
struct loader_answer loader_dlsym(void *handle, const char *name, const void *caller);
void *loader_dlopen_deep(const char *file, int flags); /* deepbind.c */
struct loader_answer loader_dlvsym(void *handle, const char *name, const char *version, const void *caller);

#endif
