/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the genuine driver's entries.
 *
 * Invariants:
 *   1. Every pointer of `real` and `real_nvml` can be called at any time: it
 *      is a stub of stubs.S until the first call has found the genuine one.
 *   2. Finding is idempotent: any number of threads may do it at once, and a
 *      store publishes the same address. No lock is held.
 *   3. A missing library is not remembered: it may be installed, or its path
 *      set, before the next attempt. A missing symbol of a loaded library is.
 *   4. A library found is never given back: our own reference keeps it loaded,
 *      so a pointer handed out stays valid.
 */
#include "preload/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "preload/elf_find.h"
#include "preload/loader.h"

#define CUDA(symbol, base, since, stream, class, types) extern __typeof__(symbol) real_stub_##symbol;
#include "cuda.def"
#undef CUDA
#define NVML(symbol, class, types) extern __typeof__(symbol) real_stub_##symbol;
#define NVML_TEXT(symbol, class, types) extern __typeof__(symbol) real_stub_##symbol;
#include "nvml.def"
#undef NVML
#undef NVML_TEXT

struct real_cuda real = {
#define CUDA(symbol, base, since, stream, class, types) .symbol = real_stub_##symbol,
#include "cuda.def"
#undef CUDA
};

struct real_nvml real_nvml = {
#define NVML(symbol, class, types) .symbol = real_stub_##symbol,
#define NVML_TEXT(symbol, class, types) .symbol = real_stub_##symbol,
#include "nvml.def"
#undef NVML
#undef NVML_TEXT
};

enum { N_CUDA = sizeof real / sizeof(void *), N_NVML = sizeof real_nvml / sizeof(void *) };

/* The names as one block and offsets into it: a table of pointers would cost
 * every process that loads this library a relocation each. */
static const struct {
#define CUDA(symbol, base, since, stream, class, types) char symbol[sizeof #symbol];
#include "cuda.def"
#undef CUDA
#define NVML(symbol, class, types) char symbol[sizeof #symbol];
#define NVML_TEXT(symbol, class, types) char symbol[sizeof #symbol];
#include "nvml.def"
} names = {
#undef NVML
#undef NVML_TEXT
#define CUDA(symbol, base, since, stream, class, types) #symbol,
#include "cuda.def"
#undef CUDA
#define NVML(symbol, class, types) #symbol,
#define NVML_TEXT(symbol, class, types) #symbol,
#include "nvml.def"
#undef NVML
#undef NVML_TEXT
};

static const uint16_t name_offset[] = {
#define CUDA(symbol, base, since, stream, class, types) offsetof(__typeof__(names), symbol),
#include "cuda.def"
#undef CUDA
#define NVML(symbol, class, types) offsetof(__typeof__(names), symbol),
#define NVML_TEXT(symbol, class, types) offsetof(__typeof__(names), symbol),
#include "nvml.def"
#undef NVML
#undef NVML_TEXT
};

_Static_assert(sizeof names <= UINT16_MAX, "offsets of names are 16 bits");
_Static_assert(sizeof name_offset / sizeof name_offset[0] == N_CUDA + N_NVML, "one name per entry");

/* What a call answers when there is nothing to call. They take no argument:
 * the caller's are simply not looked at. */
static CUresult absent_symbol(void)
{
    return CUDA_ERROR_NOT_FOUND;
}

static CUresult absent_driver(void)
{
    return CUDA_ERROR_NOT_INITIALIZED;
}

static CUresult absent_device(void)
{
    return CUDA_ERROR_NO_DEVICE;
}

static nvmlReturn_t absent_nvml_symbol(void)
{
    return NVML_ERROR_FUNCTION_NOT_FOUND;
}

static nvmlReturn_t absent_nvml(void)
{
    return NVML_ERROR_LIBRARY_NOT_FOUND;
}

static const char *absent_text(void)
{
    return "NVML is not installed";
}

static void *library(const char *soname, _Atomic(void *) *handle)
{
    void *h = *handle;
    if (h)
        return h;
    h = dlopen(soname, RTLD_NOLOAD | RTLD_LAZY);
    if (!h)
        h = dlopen(soname, RTLD_LAZY);
    if (h)
        *handle = h;
    return h;
}

static _Atomic(void *) cuda_handle, nvml_handle;

static void *handle_of(unsigned entry)
{
    return entry < N_CUDA ? library(CUDA_SONAME, &cuda_handle) : library(NVML_SONAME, &nvml_handle);
}

/* Where the entry's pointer is kept. */
static void **place_of(unsigned entry)
{
    return entry < N_CUDA ? (void **)&real + entry : (void **)&real_nvml + (entry - N_CUDA);
}

const char *real_name(unsigned entry)
{
    return (const char *)&names + name_offset[entry];
}

bool real_driver_present(void)
{
    int saved = errno;
    bool present = library(CUDA_SONAME, &cuda_handle) != NULL;
    errno = saved;
    return present;
}

void *real_address(unsigned entry)
{
    int saved = errno;
    void *handle = handle_of(entry);
    void *address = handle ? genuine_symbol(handle, real_name(entry)) : NULL;
    errno = saved;
    return address;
}

void *real_known_address(unsigned entry)
{
    void *handle = entry < N_CUDA ? cuda_handle : nvml_handle;
    return handle ? genuine_symbol(handle, real_name(entry)) : NULL;
}

void real_hold(unsigned entry)
{
    handle_of(entry);
}

void real_adopt(unsigned entry, void *address)
{
    __atomic_store_n(place_of(entry), address, __ATOMIC_RELEASE);
}

static void *absent(unsigned entry, bool have_library)
{
    if (entry >= N_CUDA) {
        if (entry - N_CUDA == offsetof(struct real_nvml, nvmlErrorString) / sizeof(void *))
            return (void *)absent_text;
        return have_library ? (void *)absent_nvml_symbol : (void *)absent_nvml;
    }
    if (have_library)
        return (void *)absent_symbol;
    bool is_init = entry == offsetof(struct real_cuda, cuInit) / sizeof(void *);
    return is_init ? (void *)absent_device : (void *)absent_driver;
}

/* From stubs.S, with an application's arguments waiting in the registers. */
__attribute__((used)) void *real_resolve(unsigned entry)
{
    int saved = errno;
    void *address = real_address(entry);
    if (!address) {
        bool have_library = handle_of(entry) != NULL;
        address = absent(entry, have_library);
        if (!have_library) {
            errno = saved;
            return address;
        }
    }
    real_adopt(entry, address);
    errno = saved;
    return address;
}
