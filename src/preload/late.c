/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of libdl and libpthread, found on their first call; see glibc.h.
 *
 * Invariants:
 *   1. Finding is idempotent and lock free; any thread may be first.
 *   2. Where the function does not exist, the answer is its ordinary failure.
 *   3. A program of another C library (musl), which gets this library by an
 *      inherited LD_PRELOAD, keeps its own dlopen and dlsym. It has no driver,
 *      so nothing else of ours runs in it.
 */
#include "preload/late.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>

#include "preload/elf_find.h"
#include "preload/hook.h"

/* As link.h has it, and this object's own. */
// NOLINTNEXTLINE(readability-redundant-declaration)
extern OURS ElfW(Dyn) _DYNAMIC[];

struct search {
    const char *name;
    void *found;
};

static int look_in(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *s = data;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum && !s->found; i++) {
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        const ElfW(Dyn) *dynamic = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC && dynamic != _DYNAMIC)
            s->found = elf_find(info->dlpi_addr, dynamic, s->name);
    }
    return s->found != NULL;
}

/* In whichever object but this one has it. */
static void *find_anywhere(const char *name)
{
    struct search s = {.name = name};
    dl_iterate_phdr(look_in, &s);
    return s.found;
}

void *late_find(const char *name)
{
    static const char *const homes[] = {"libc.so.6", "libdl.so.2", "libpthread.so.0"};
    bool is_glibc = false;
    for (unsigned i = 0; i < sizeof homes / sizeof homes[0]; i++)
        for (const struct link_map *m = elf_objects(); m; m = m->l_next) {
            if (!elf_same(elf_soname(m->l_addr, m->l_ld), homes[i]))
                continue;
            is_glibc = true;
            void *found = elf_find(m->l_addr, m->l_ld, name);
            if (found)
                return found;
        }
    return is_glibc ? NULL : find_anywhere(name);
}

static void *late_once(const char *name, _Atomic(void *) *place)
{
    void *found = *place;
    if (!found)
        *place = found = late_find(name);
    return found;
}

/* LATE(result, "name", renamed, (parameters), (arguments), answer when missing) */
#define LATE(result, text, renamed, parameters, arguments, missing)                                          \
    result renamed parameters                                                                                \
    {                                                                                                        \
        static _Atomic(void *) place;                                                                        \
        result(*found) parameters = (result(*) parameters)late_once(text, &place);                           \
        return found ? found arguments : (missing);                                                          \
    }

LATE(int, "dladdr", dladdr, (const void *address, Dl_info *info), (address, info), 0)
LATE(int, "dladdr1", dladdr1, (const void *address, Dl_info *info, void **extra, int flags),
     (address, info, extra, flags), 0)
LATE(int, "dlclose", dlclose, (void *handle), (handle), 0)
LATE(int, "dlinfo", dlinfo, (void *handle, int request, void *answer), (handle, request, answer), -1)
LATE(void *, "dlopen", dlopen, (const char *file, int mode), (file, mode), NULL)
LATE(int, "pthread_create", pthread_create,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*start)(void *), void *argument),
     (thread, attr, start, argument), ENOSYS)
LATE(int, "pthread_detach", pthread_detach, (pthread_t thread), (thread), ENOSYS)
LATE(int, "pthread_join", pthread_join, (pthread_t thread, void **result), (thread, result), ENOSYS)
LATE(int, "pthread_mutex_consistent", pthread_mutex_consistent, (pthread_mutex_t * mutex), (mutex), ENOSYS)
LATE(int, "pthread_mutex_timedlock", pthread_mutex_timedlock,
     (pthread_mutex_t * mutex, const struct timespec *until), (mutex, until), ENOSYS)
LATE(int, "pthread_mutex_trylock", pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex), ENOSYS)
LATE(int, "pthread_attr_setstacksize", pthread_attr_setstacksize, (pthread_attr_t * attr, size_t bytes),
     (attr, bytes), ENOSYS)
