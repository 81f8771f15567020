/* SPDX-License-Identifier: Apache-2.0
 *
 * Handing out wrappers: dlsym, dlvsym and cuGetProcAddress.
 *
 * Invariants:
 *   1. Nothing is initialised here: looking a name up opens no file, creates
 *      no state, writes nothing.
 *   2. A wrapper is handed out only where the caller would have got the
 *      genuine driver's own entry. A private library's function of the same
 *      name, and a name the driver lacks, stay what they are.
 *   3. cuGetProcAddress is forwarded first, with all arguments unchanged; only
 *      a pointer it returned is translated.
 *   4. No lock, no allocation of our own. Any thread, any time, signal
 *      handlers excepted where the C library's dlsym is not safe either.
 */
#include "preload/loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>

#include "hooks.inc"
#include "preload/elf_find.h"
#include "preload/hook.h"
#include "preload/late.h"
#include "preload/real.h"

void *(*genuine_dlsym)(void *, const char *);
void *(*genuine_dlvsym)(void *, const char *, const char *);
void *(*genuine_dlopen)(const char *, int);

/* ---- wrappers by name ------------------------------------------------ */

struct hook {
    void *wrapper;
    uint16_t entry;
};

static const struct hook hooks[] = {
#define HOOK_ROW(symbol, number) {(void *)symbol, number},
    HOOK_ROWS
#undef HOOK_ROW
};

static const uint16_t hook_slots[HOOK_MASK + 1] = {HOOK_SLOTS};
_Static_assert(sizeof hooks / sizeof hooks[0] < 65535, "slots are 16 bits");

static uint32_t hash_of(const char *name, uint32_t h)
{
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x01000193u;
    return h ^ (h >> 15);
}

static const struct hook *hook_of(const char *name)
{
    unsigned i = hook_slots[hash_of(name, HOOK_SEED) & HOOK_MASK];
    if (i == 0 || !elf_same(real_name(hooks[i - 1].entry), name))
        return NULL;
    return &hooks[i - 1];
}

void *loader_wrapper(const char *name, unsigned *ret_entry)
{
    const struct hook *h = hook_of(name);
    if (h)
        *ret_entry = h->entry;
    return h ? h->wrapper : NULL;
}

/* ---- the genuine dlsym ----------------------------------------------- */

static void *no_dlsym(void *handle, const char *name)
{
    (void)handle, (void)name;
    return NULL;
}

static void *no_dlvsym(void *handle, const char *name, const char *version)
{
    (void)handle, (void)name, (void)version;
    return NULL;
}

static void *no_dlopen(const char *file, int flags)
{
    (void)file, (void)flags;
    return NULL;
}

void genuine_find(void)
{
    void *dlopen_found = late_find("dlopen");
    __atomic_store_n(&genuine_dlopen, dlopen_found ? (__typeof__(genuine_dlopen))dlopen_found : no_dlopen,
                     __ATOMIC_RELEASE);
    void *dlvsym_found = late_find("dlvsym");
    void *dlsym_found = late_find("dlsym");
    __atomic_store_n(&genuine_dlvsym, dlvsym_found ? (__typeof__(genuine_dlvsym))dlvsym_found : no_dlvsym,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&genuine_dlsym, dlsym_found ? (__typeof__(genuine_dlsym))dlsym_found : no_dlsym,
                     __ATOMIC_RELEASE);
}

void *genuine_symbol(void *handle, const char *name)
{
    if (!__atomic_load_n(&genuine_dlsym, __ATOMIC_ACQUIRE))
        genuine_find();
    return genuine_dlsym(handle, name);
}

/* ---- dlsym ----------------------------------------------------------- */

/* Does this address belong to the genuine driver that our wrappers call? A
 * copy in another link namespace does not: its contexts are its own. The
 * loader's answer costs a walk over all symbols of the object, so the address
 * that our own wrappers would call is compared first. */
static bool is_genuine(const struct hook *hook, const void *address)
{
    if (real_known_address(hook->entry) == address)
        return true;
    Dl_info info;
    struct link_map *map = NULL;
    Lmid_t namespace = LM_ID_BASE;
    if (!dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) || !map)
        return false;
    const char *soname = elf_soname(map->l_addr, map->l_ld);
    if (!elf_same(soname, CUDA_SONAME) && !elf_same(soname, NVML_SONAME))
        return false;
    if (dlinfo(map, RTLD_DI_LMID, &namespace) != 0 || namespace != LM_ID_BASE)
        return false;
    real_hold(hook->entry);
    return true;
}

/* The next definition behind an object in the order of loading. */
struct next_search {
    const char *name;
    ElfW(Addr) caller_base;
    bool behind;
    void *found;
};

static int look_behind(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    struct next_search *s = data;
    if (!s->behind) {
        s->behind = info->dlpi_addr == s->caller_base;
        return 0;
    }
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        // NOLINTNEXTLINE(performance-no-int-to-ptr)
        const ElfW(Dyn) *dynamic = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        s->found = elf_find(info->dlpi_addr, dynamic, s->name);
    }
    return s->found != NULL;
}

/* RTLD_NEXT as seen from the caller, which the C library could only tell from
 * a call we do not return from. */
static void *next_of(const void *caller, const char *name)
{
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) || !map)
        return NULL;
    struct next_search s = {.name = name, .caller_base = map->l_addr};
    dl_iterate_phdr(look_behind, &s);
    return s.found;
}

static const struct loader_answer undecided = {NULL, 0};

static struct loader_answer decided(void *value)
{
    return (struct loader_answer){value, 1};
}

/* What a search of the whole process finds when our own export is skipped. */
static struct loader_answer past_ourselves(const struct hook *hook, const char *name)
{
    void *address = genuine_symbol(RTLD_NEXT, name);
    if (!address)
        return decided(NULL);
    return decided(is_genuine(hook, address) ? hook->wrapper : address);
}

static bool driver_is_loaded(const char *name)
{
    const char *soname = name[0] == 'c' ? CUDA_SONAME : NVML_SONAME;
    void *handle = dlopen(soname, RTLD_NOLOAD | RTLD_LAZY);
    if (!handle)
        return false;
    bool has = genuine_symbol(handle, name) != NULL;
    dlclose(handle);
    return has;
}

struct loader_answer loader_dlsym(void *handle, const char *name, const void *caller)
{
    const struct hook *hook = hook_of(name);
    if (!hook)
        return undecided;
    int saved = errno;
    struct loader_answer answer = undecided;
    if (handle == RTLD_DEFAULT) {
        /* The driver may be in the caller's own scope only. */
        answer = driver_is_loaded(name) ? undecided : past_ourselves(hook, name);
    } else if (handle == RTLD_NEXT) {
        void *next = next_of(caller, name);
        if (next == hook->wrapper)
            answer = past_ourselves(hook, name);
        else if (next && is_genuine(hook, next))
            answer = decided(hook->wrapper);
    } else {
        void *address = genuine_symbol(handle, name);
        if (address == hook->wrapper)
            answer = past_ourselves(hook, name);
        else
            answer = decided(address && is_genuine(hook, address) ? hook->wrapper : address);
    }
    errno = saved;
    return answer;
}

struct loader_answer loader_dlvsym(void *handle, const char *name, const char *version, const void *caller)
{
    const struct hook *hook = hook_of(name);
    (void)caller;
    if (!hook)
        return undecided;
    if (!__atomic_load_n(&genuine_dlsym, __ATOMIC_ACQUIRE))
        genuine_find();
    int saved = errno;
    bool by_scope = handle == RTLD_DEFAULT || handle == RTLD_NEXT;
    void *address = genuine_dlvsym(by_scope ? RTLD_NEXT : handle, name, version);
    bool genuine = address && (address == hook->wrapper || is_genuine(hook, address));
    errno = saved;
    if (genuine)
        return decided(hook->wrapper);
    return by_scope ? undecided : decided(address);
}

/* ---- cuGetProcAddress ------------------------------------------------ */

struct abi {
    uint8_t base;
    uint8_t per_thread;
    uint16_t hook; /* index + 1 of hooks[], 0 = not wrapped */
    uint16_t since;
};

static const struct abi abis[] = {
#define ABI_ROW(base, symbol, since, per_thread, hook) {base, per_thread, hook, since},
    ABI_ROWS
#undef ABI_ROW
};
#define N_ABIS (sizeof abis / sizeof abis[0])

static const char *const base_names[] = {
#define BASE_NAME(base) #base,
    BASE_NAMES
#undef BASE_NAME
};

static const uint8_t base_slots[BASE_MASK + 1] = {BASE_SLOTS};

static int base_of(const char *name)
{
    unsigned i = base_slots[hash_of(name, BASE_SEED) & BASE_MASK];
    return i && elf_same(base_names[i - 1], name) ? (int)i - 1 : -1;
}

static const struct abi *abi_first(int base)
{
    const struct abi *a = abis;
    while (a < abis + N_ABIS && a->base != base)
        a++;
    return a;
}

static bool abi_in(const struct abi *a, int base)
{
    return a < abis + N_ABIS && a->base == base;
}

/* The row a client of this version means: the newest ABI that it knows. */
static const struct abi *abi_meant(int base, int version, bool per_thread)
{
    const struct abi *best = NULL;
    for (const struct abi *a = abi_first(base); abi_in(a, base); a++) {
        if (a->since > version || (a->per_thread && !per_thread))
            continue;
        if (!best || a->since > best->since || (a->since == best->since && a->per_thread))
            best = a;
    }
    return best;
}

static bool is_exported(const void *address)
{
    Dl_info info;
    return dladdr(address, &info) && info.dli_sname && info.dli_saddr == address;
}

/* The wrapper for an address the driver gave for a base, or the address. */
static void *translate(const char *symbol, void *address, int version, cuuint64_t flags)
{
    int base = base_of(symbol);
    if (base < 0)
        return address;
    for (const struct abi *a = abi_first(base); abi_in(a, base); a++)
        if (a->hook && real_address(hooks[a->hook - 1].entry) == address)
            return hooks[a->hook - 1].wrapper;
    if (is_exported(address))
        return address; /* an ABI that this library does not wrap */
    const struct abi *a =
        abi_meant(base, version, (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0);
    if (!a || !a->hook)
        return address;
    const struct hook *hook = &hooks[a->hook - 1];
    if (!real_address(hook->entry))
        real_adopt(hook->entry, address);
    return hook->wrapper;
}

static void translate_answer(CUresult result, const char *symbol, void **pfn, int version, cuuint64_t flags)
{
    if (result != CUDA_SUCCESS || !symbol || !pfn || !*pfn)
        return;
    int saved = errno;
    *pfn = translate(symbol, *pfn, version, flags);
    errno = saved;
}

HOOK CUresult cuGetProcAddress(const char *symbol, void **pfn, int version, cuuint64_t flags)
{
    CUresult result = real.cuGetProcAddress(symbol, pfn, version, flags);
    translate_answer(result, symbol, pfn, version, flags);
    return result;
}

HOOK CUresult cuGetProcAddress_v2(const char *symbol, void **pfn, int version, cuuint64_t flags,
                                  CUdriverProcAddressQueryResult *status)
{
    CUresult result = real.cuGetProcAddress_v2(symbol, pfn, version, flags, status);
    translate_answer(result, symbol, pfn, version, flags);
    return result;
}

HOOK CUresult cuGetProcAddress_v2_ptsz(const char *symbol, void **pfn, int version, cuuint64_t flags,
                                       CUdriverProcAddressQueryResult *status)
{
    CUresult result = real.cuGetProcAddress_v2_ptsz(symbol, pfn, version, flags, status);
    bool per_thread = (flags & CU_GET_PROC_ADDRESS_LEGACY_STREAM) == 0;
    translate_answer(result, symbol, pfn, version,
                     per_thread ? flags | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM : flags);
    return result;
}
