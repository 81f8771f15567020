/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory bound to multicast objects: the driver keeps it until it is unbound
 * or the object ends, so releasing its handle after binding must not give its
 * bytes back.
 *
 * Invariants:
 *   1. A binding holds its memory, never its multicast object: the object's
 *      end is what ends the binding.
 *   2. Before the driver is asked to unbind, the bindings in the range leave
 *      the list; when it refuses they return.
 *   3. Nothing is bound that could not be followed: room comes first.
 *
 * There are few bindings, and binding costs the driver microseconds: one list.
 */
#include <errno.h>
#include <sys/mman.h>

#include "preload/mem_engine.h"
#include "preload/mem_vmm.h"

#define SLAB_BINDINGS 100

struct binding {
    struct binding *next;
    const struct mem_object *multicast;
    struct mem_object *memory;
    unsigned device; /* of the region */
    uint64_t offset, size;
};

static _Atomic uint32_t lock;
static struct binding *bindings, *unused;

static void slab_add(void)
{
    int saved = errno;
    struct binding *slab =
        mmap(NULL, SLAB_BINDINGS * sizeof *slab, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    errno = saved;
    if (slab == MAP_FAILED)
        return;
    for (unsigned i = 0; i < SLAB_BINDINGS; i++) {
        slab[i].next = unused;
        unused = &slab[i];
    }
}

static struct binding *binding_new(void)
{
    struct binding *b;

    mem_lock(&lock);
    if (!unused)
        slab_add();
    b = unused;
    if (b)
        unused = b->next;
    mem_unlock(&lock);
    return b;
}

static void list_add(struct binding **list, struct binding *b)
{
    mem_lock(&lock);
    b->next = *list;
    *list = b;
    mem_unlock(&lock);
}

/* Frees a chain that is in no list, and lets go of its memory. */
static void chain_end(struct binding *b)
{
    while (b) {
        struct binding *next = b->next;

        mem_vmm_drop(b->memory);
        list_add(&unused, b);
        b = next;
    }
}

struct range {
    const struct mem_object *multicast;
    bool everything;
    unsigned device;
    uint64_t offset, end;
};

static bool within(const struct binding *b, const struct range *r)
{
    return b->multicast == r->multicast &&
           (r->everything ||
            (b->device == r->device && b->offset >= r->offset && b->offset + b->size <= r->end));
}

/* Takes what lies in the range out of the list, as a chain. */
static struct binding *take(const struct range *r)
{
    struct binding *chain = NULL;

    mem_lock(&lock);
    for (struct binding **at = &bindings, *b; (b = *at);) {
        if (!within(b, r)) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        b->next = chain;
        chain = b;
    }
    mem_unlock(&lock);
    return chain;
}

bool mem_multicast_any(void)
{
    return __atomic_load_n(&bindings, __ATOMIC_RELAXED) != NULL;
}

void mem_multicast_gone(const struct mem_object *multicast)
{
    if (mem_multicast_any())
        chain_end(take(&(struct range){.multicast = multicast, .everything = true}));
}

/* ---- binding ---- */

/* A binding that is about to be made; memory's hold is handed over. NULL when
 * there is nothing to follow. */
static struct binding *prepare(CUmemGenericAllocationHandle multicast, struct mem_object *memory,
                               size_t offset, size_t size, CUresult *ret_refusal)
{
    struct mem_object *object = memory ? mem_vmm_hold_handle(multicast) : NULL;
    struct binding *b = object ? binding_new() : NULL;

    *ret_refusal = object && !b ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
    if (b)
        *b = (struct binding){.multicast = object,
                              .memory = memory,
                              .device = mem_vmm_device(memory),
                              .offset = offset,
                              .size = size};
    else if (memory)
        mem_vmm_drop(memory);
    if (object)
        mem_vmm_drop(object);
    return b;
}

static CUresult bound(struct binding *b, CUresult r)
{
    if (b && r == CUDA_SUCCESS) {
        list_add(&bindings, b);
    } else if (b) {
        b->next = NULL;
        chain_end(b);
    }
    return r;
}

#define BIND(multicast, memory, offset, size, call)                                                          \
    CUresult refusal;                                                                                        \
    struct binding *b = prepare((multicast), mem_active() ? (memory) : NULL, (offset), (size), &refusal);    \
    return refusal != CUDA_SUCCESS ? refusal : bound(b, (call))

HOOK CUresult cuMulticastBindMem(CUmemGenericAllocationHandle multicast, size_t offset,
                                 CUmemGenericAllocationHandle h, size_t from, size_t n,
                                 unsigned long long flags)
{
    BIND(multicast, mem_vmm_hold_handle(h), offset, n,
         real.cuMulticastBindMem(multicast, offset, h, from, n, flags));
}

HOOK CUresult cuMulticastBindMem_v2(CUmemGenericAllocationHandle multicast, CUdevice dev, size_t offset,
                                    CUmemGenericAllocationHandle h, size_t from, size_t n,
                                    unsigned long long flags)
{
    BIND(multicast, mem_vmm_hold_handle(h), offset, n,
         real.cuMulticastBindMem_v2(multicast, dev, offset, h, from, n, flags));
}

HOOK CUresult cuMulticastBindAddr(CUmemGenericAllocationHandle multicast, size_t offset, CUdeviceptr ptr,
                                  size_t n, unsigned long long flags)
{
    BIND(multicast, mem_vmm_hold_mapped(ptr), offset, n,
         real.cuMulticastBindAddr(multicast, offset, ptr, n, flags));
}

HOOK CUresult cuMulticastBindAddr_v2(CUmemGenericAllocationHandle multicast, CUdevice dev, size_t offset,
                                     CUdeviceptr ptr, size_t n, unsigned long long flags)
{
    BIND(multicast, mem_vmm_hold_mapped(ptr), offset, n,
         real.cuMulticastBindAddr_v2(multicast, dev, offset, ptr, n, flags));
}

HOOK CUresult cuMulticastUnbind(CUmemGenericAllocationHandle multicast, CUdevice dev, size_t offset, size_t n)
{
    struct mem_object *object = mem_active() ? mem_vmm_hold_handle(multicast) : NULL;
    int device = object ? slice_device_of(dev) : -1;
    struct range range = {.multicast = object, .device = (unsigned)device, .offset = offset};
    struct binding *chain = NULL, *b;
    CUresult r;

    if (device >= 0 && !__builtin_add_overflow(offset, n, &range.end))
        chain = take(&range);
    r = real.cuMulticastUnbind(multicast, dev, offset, n);
    if (r == CUDA_SUCCESS) {
        chain_end(chain);
    } else {
        while ((b = chain)) {
            chain = b->next;
            list_add(&bindings, b);
        }
    }
    if (object)
        mem_vmm_drop(object);
    return r;
}

void mem_multicast_after_fork(void)
{
    atomic_store(&lock, 0);
    bindings = unused = NULL;
}
