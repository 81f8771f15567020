/* SPDX-License-Identifier: Apache-2.0
 *
 * Physical allocations (cuMemCreate) and the handles and mappings that keep
 * them alive. Memory is charged for as long as the driver holds it: until the
 * last handle is released and the last mapping undone, in whichever order.
 *
 * Invariants:
 *   1. An object lives while holds > 0; holds counts its handle references,
 *      its mappings, its bindings to multicast objects (mem_multicast.c) and
 *      calls under way that may add one. When it falls to 0 the object's bytes
 *      are given back.
 *   2. Objects that are host memory, imported from another process or
 *      multicast are followed like others and charge 0 bytes: host memory is
 *      not the card's, an import is charged to the process that made it.
 *   3. Before the driver is asked to end a hold, the key is taken out of its
 *      table; when the driver refuses it returns.
 *   4. Address reservations are free: they hold no memory.
 *
 * One lock guards the objects' counts; VMM calls cost the driver microseconds.
 */
#include "preload/mem_vmm.h"

#include <errno.h>
#include <sys/mman.h>

#include "preload/helper.h"
#include "preload/mem_engine.h"

#define SLAB_OBJECTS 1000

struct mem_object {
    uint64_t bytes; /* charged */
    uint64_t holds;
    uint16_t device;
    struct mem_object *next; /* of the free ones */
};

enum vmm_kind {
    VMM_HANDLE = 1, /* key = handle, bytes = references to it */
    VMM_MAPPING,    /* key = address, bytes = length */
    VMM_TILE,       /* key = hash of array and place, bytes unused */
};

static struct mem_table handles;
static struct mem_table mappings;
static struct mem_table tiles; /* of sparse arrays */

static _Atomic uint32_t objects_lock;
static struct mem_object *objects_free;
static _Atomic uint64_t address_bits; /* or of all mapping addresses and lengths */

/* ---- objects ---- */

static void slab_add(void)
{
    int saved = errno;
    struct mem_object *slab =
        mmap(NULL, SLAB_OBJECTS * sizeof *slab, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    errno = saved;
    if (slab == MAP_FAILED)
        return;
    for (unsigned i = 0; i < SLAB_OBJECTS; i++) {
        slab[i].next = objects_free;
        objects_free = &slab[i];
    }
}

static struct mem_object *object_new(unsigned d, uint64_t bytes)
{
    struct mem_object *o;

    mem_lock(&objects_lock);
    if (!objects_free)
        slab_add();
    o = objects_free;
    if (o) {
        objects_free = o->next;
        *o = (struct mem_object){.bytes = bytes, .holds = 1, .device = (uint16_t)d};
    }
    mem_unlock(&objects_lock);
    return o;
}

static void object_hold(struct mem_object *o)
{
    mem_lock(&objects_lock);
    o->holds++;
    mem_unlock(&objects_lock);
}

static void object_drop(struct mem_object *o)
{
    bool last;

    mem_lock(&objects_lock);
    last = --o->holds == 0;
    mem_unlock(&objects_lock);
    if (!last)
        return;
    mem_multicast_gone(o); /* before another object can get its address */
    mem_release(o->device, o->bytes);
    mem_lock(&objects_lock);
    o->next = objects_free;
    objects_free = o;
    mem_unlock(&objects_lock);
}

void mem_vmm_drop(struct mem_object *o)
{
    object_drop(o);
}

unsigned mem_vmm_device(const struct mem_object *o)
{
    return o->device;
}

/* ---- handles ---- */

/* One more reference of handle h to o, whose hold the caller hands over. */
static bool handle_add(CUmemGenericAllocationHandle h, struct mem_object *o)
{
    struct mem_entry e = {.key = h, .owner = o, .kind = VMM_HANDLE, .bytes = 1};
    struct mem_entry old;

    if (mem_table_take(&handles, h, &old)) {
        if (old.owner == o)
            e.bytes += old.bytes;
        else
            for (uint64_t i = 0; i < old.bytes; i++)
                object_drop(old.owner); /* released behind our back */
    }
    return mem_table_put(&handles, &e, NULL);
}

/* Takes one reference of h away. NULL when h is unknown. */
static struct mem_object *handle_take(CUmemGenericAllocationHandle h)
{
    struct mem_entry e;

    if (!mem_table_take(&handles, h, &e))
        return NULL;
    if (--e.bytes > 0)
        mem_table_put(&handles, &e, NULL);
    return e.owner;
}

_Atomic bool mem_shared;

/* The object of a handle, held for the caller. */
static struct mem_object *handle_hold(CUmemGenericAllocationHandle h)
{
    struct mem_entry e;

    if (!mem_table_get(&handles, h, &e))
        return NULL;
    object_hold(e.owner);
    return e.owner;
}

struct mem_object *mem_vmm_hold_handle(CUmemGenericAllocationHandle h)
{
    return handle_hold(h);
}

/* A handle of memory that is not charged here. Should its maker let go of it
 * first, it is this process that keeps it: the driver's account shows that, and
 * the helper looks. */
static void handle_foreign(CUmemGenericAllocationHandle h)
{
    struct mem_object *o = object_new(0, 0);

    if (o && !handle_add(h, o))
        object_drop(o);
    atomic_store_explicit(&mem_shared, true, memory_order_relaxed);
    helper_note();
}

/* Region device that memory with these properties takes; -1 for none. */
static int device_of(const CUmemAllocationProp *prop)
{
    if (prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE)
        return slice_device_of(prop->location.id);
    if (prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE_LOCALITY_DOMAIN)
        return slice_device_of(prop->location.localized.deviceId);
    return -1;
}

HOOK CUresult cuMemCreate(CUmemGenericAllocationHandle *ret, size_t n, const CUmemAllocationProp *prop,
                          unsigned long long flags)
{
    CUmemGenericAllocationHandle h = 0;
    struct mem_object *o;
    int device = -1;
    CUresult r = mem_enter();

    if (r == MEM_PASS || !ret || !prop)
        return real.cuMemCreate(ret, n, prop, flags);
    if (r == CUDA_SUCCESS) {
        slice_gate();
        device = device_of(prop);
    }
    if (r == CUDA_SUCCESS && device >= 0)
        r = mem_reserve((unsigned)device, n);
    if (r != CUDA_SUCCESS)
        return r;
    r = real.cuMemCreate(&h, n, prop, flags);
    if (r != CUDA_SUCCESS) {
        mem_release((unsigned)device, device >= 0 ? n : 0);
        return r;
    }
    o = object_new(device >= 0 ? (unsigned)device : 0, device >= 0 ? n : 0);
    if (!o)
        mem_release((unsigned)device, device >= 0 ? n : 0);
    if (!o || !handle_add(h, o)) {
        real.cuMemRelease(h);
        if (o)
            object_drop(o);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret = h;
    return r;
}

HOOK CUresult cuMemRelease(CUmemGenericAllocationHandle h)
{
    struct mem_object *o = mem_active() ? handle_take(h) : NULL;
    CUresult r = real.cuMemRelease(h);

    if (!o)
        return r;
    if (r == CUDA_SUCCESS || !handle_add(h, o))
        object_drop(o);
    return r;
}

HOOK CUresult cuMulticastCreate(CUmemGenericAllocationHandle *ret, const CUmulticastObjectProp *prop)
{
    CUresult r = mem_enter();

    if (r != CUDA_SUCCESS && r != MEM_PASS)
        return r;
    r = real.cuMulticastCreate(ret, prop);
    if (r == CUDA_SUCCESS && mem_active())
        handle_foreign(*ret);
    return r;
}

HOOK CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *ret, void *handle,
                                             CUmemAllocationHandleType type)
{
    CUresult r = real.cuMemImportFromShareableHandle(ret, handle, type);
    struct mem_object *o;

    if (r != CUDA_SUCCESS || !mem_active())
        return r;
    /* The driver may answer an import of our own memory with our own handle. */
    o = handle_hold(*ret);
    if (!o)
        handle_foreign(*ret);
    else if (!handle_add(*ret, o))
        object_drop(o);
    return r;
}

HOOK CUresult cuMemExportToShareableHandle(void *ret, CUmemGenericAllocationHandle h,
                                           CUmemAllocationHandleType type, unsigned long long flags)
{
    CUresult r = real.cuMemExportToShareableHandle(ret, h, type, flags);

    if (r == CUDA_SUCCESS && mem_active()) {
        atomic_store_explicit(&mem_shared, true, memory_order_relaxed);
        helper_note();
    }
    return r;
}

/* ---- mappings ---- */

HOOK CUresult cuMemMap(CUdeviceptr ptr, size_t n, size_t offset, CUmemGenericAllocationHandle h,
                       unsigned long long flags)
{
    struct mem_object *o = mem_active() ? handle_hold(h) : NULL;
    struct mem_entry e = {.key = ptr, .bytes = n, .owner = o, .kind = VMM_MAPPING};
    CUresult r = real.cuMemMap(ptr, n, offset, h, flags);

    if (!o)
        return r;
    if (r != CUDA_SUCCESS) {
        object_drop(o);
        return r;
    }
    atomic_fetch_or_explicit(&address_bits, ptr | n, memory_order_relaxed);
    if (!mem_table_put(&mappings, &e, NULL)) { /* no memory to follow it: not allowed to exist */
        real.cuMemUnmap(ptr, n);
        object_drop(o);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    return r;
}

/* The distance at which mappings may begin: the largest power of two that all
 * addresses and lengths so far are multiples of. */
static uint64_t address_step(void)
{
    uint64_t bits = atomic_load_explicit(&address_bits, memory_order_relaxed);

    return bits ? bits & (0 - bits) : UINT64_C(2) << 20;
}

/* The mappings of a range, taken out of the table. */
struct unmapping {
    struct mem_entry *entries;
    uint64_t count;
    size_t mapped_bytes; /* of entries, when it is not `few` */
    struct mem_entry few[16];
};

static bool make_room(struct unmapping *u, uint64_t most)
{
    int saved = errno;

    u->entries = u->few;
    if (most <= sizeof u->few / sizeof u->few[0])
        return true;
    u->mapped_bytes = most * sizeof u->few[0];
    u->entries = mmap(NULL, u->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = saved;
    return u->entries != MAP_FAILED;
}

static bool collect(struct unmapping *u, CUdeviceptr ptr, size_t n)
{
    uint64_t step = address_step();
    uint64_t total = mem_table_count(&mappings);
    uint64_t most = n / step + 1;
    CUdeviceptr end;

    if (__builtin_add_overflow(ptr, n, &end) || !make_room(u, most < total ? most : total))
        return false;
    for (CUdeviceptr at = ptr; at < end && total;) {
        struct mem_entry *e = &u->entries[u->count];

        if (u->count < total && mem_table_take(&mappings, at, e)) {
            u->count++;
            at += e->bytes ? e->bytes : step;
        } else {
            at += step;
        }
    }
    return true;
}

HOOK CUresult cuMemUnmap(CUdeviceptr ptr, size_t n)
{
    struct unmapping u = {.count = 0};
    int saved;
    CUresult r;

    if (!mem_active() || !collect(&u, ptr, n))
        return real.cuMemUnmap(ptr, n);
    r = real.cuMemUnmap(ptr, n);
    for (uint64_t i = 0; i < u.count; i++) {
        if (r == CUDA_SUCCESS)
            object_drop(u.entries[i].owner);
        else
            mem_table_put(&mappings, &u.entries[i], NULL);
    }
    saved = errno;
    if (u.mapped_bytes)
        munmap(u.entries, u.mapped_bytes);
    errno = saved;
    return r;
}

/* The object mapped at an address, held for the caller: the mapping may begin
 * anywhere before it, and only the driver knows where. */
static struct mem_object *mapped_hold(CUdeviceptr address)
{
    CUdeviceptr base = 0;
    size_t length = 0;
    struct mem_entry e;
    uint64_t step = address_step();
    CUdeviceptr at = address - address % step;

    if (real.cuMemGetAddressRange_v2(&base, &length, address) != CUDA_SUCCESS)
        base = at;
    for (;; at -= step) {
        if (mem_table_get(&mappings, at, &e) && address - at < e.bytes) {
            object_hold(e.owner);
            return e.owner;
        }
        if (at < step || at <= base)
            return NULL;
    }
}

struct mem_object *mem_vmm_hold_mapped(CUdeviceptr address)
{
    return mapped_hold(address);
}

HOOK CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *ret, void *address)
{
    struct mem_object *o;
    CUresult r = real.cuMemRetainAllocationHandle(ret, address);

    if (r != CUDA_SUCCESS || !mem_active())
        return r;
    o = mapped_hold((CUdeviceptr)(uintptr_t)address);
    if (!o)
        o = handle_hold(*ret);
    if (o && !handle_add(*ret, o))
        object_drop(o);
    return r;
}

/* ---- sparse arrays: memory mapped into places of an array ---- */

static uint64_t tile_key(const CUarrayMapInfo *info)
{
    uint64_t words[] = {(uintptr_t)info->resource.array,       (uint64_t)info->subresourceType,
                        info->subresource.sparseLevel.level,   info->subresource.sparseLevel.layer,
                        info->subresource.sparseLevel.offsetX, info->subresource.sparseLevel.offsetY,
                        info->subresource.sparseLevel.offsetZ};
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    if (info->subresourceType == CU_ARRAY_SPARSE_SUBRESOURCE_TYPE_MIPTAIL) {
        words[2] = info->subresource.miptail.layer;
        words[3] = info->subresource.miptail.offset;
        words[4] = words[5] = words[6] = 0;
    }
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        h = (h ^ words[i]) * UINT64_C(0x100000001b3) + (h >> 29);
    return h ? h : 1;
}

static void tile_changed(const CUarrayMapInfo *info)
{
    struct mem_entry e = {.key = tile_key(info), .kind = VMM_TILE};
    struct mem_entry old;

    if (mem_table_take(&tiles, e.key, &old))
        object_drop((struct mem_object *)old.owner);
    if (info->memOperationType != CU_MEM_OPERATION_TYPE_MAP)
        return;
    e.owner = handle_hold(info->memHandle.memHandle);
    e.bytes = (uintptr_t)info->resource.array;
    if (e.owner && !mem_table_put(&tiles, &e, NULL))
        object_drop(e.owner);
}

static CUresult map_arrays(CUarrayMapInfo *infos, unsigned int count, CUresult r)
{
    if (r == CUDA_SUCCESS && mem_active())
        for (unsigned int i = 0; i < count; i++)
            tile_changed(&infos[i]);
    return r;
}

HOOK CUresult cuMemMapArrayAsync(CUarrayMapInfo *infos, unsigned int count, CUstream stream)
{
    return map_arrays(infos, count, real.cuMemMapArrayAsync(infos, count, stream));
}

HOOK CUresult cuMemMapArrayAsync_ptsz(CUarrayMapInfo *infos, unsigned int count, CUstream stream)
{
    return map_arrays(infos, count, real.cuMemMapArrayAsync_ptsz(infos, count, stream));
}

/* Objects dropped after the sweep: dropping one inside could ask the ledger
 * while a shard is locked. */
struct ended_tiles {
    uint64_t array;
    struct mem_object *objects[64];
    unsigned count;
};

static bool tile_of(struct mem_entry *e, void *arg)
{
    struct ended_tiles *t = arg;

    if (e->bytes != t->array || t->count == sizeof t->objects / sizeof t->objects[0])
        return false;
    t->objects[t->count++] = e->owner;
    return true;
}

void mem_vmm_array_gone(uint64_t array)
{
    struct ended_tiles t = {.array = array};

    if (!mem_table_count(&tiles))
        return;
    do {
        t.count = 0;
        mem_table_sweep(&tiles, tile_of, &t);
        for (unsigned i = 0; i < t.count; i++)
            object_drop(t.objects[i]);
    } while (t.count > 0);
}

void mem_vmm_after_fork(void)
{
    mem_table_forget(&handles);
    mem_table_forget(&mappings);
    mem_table_forget(&tiles);
    mem_multicast_after_fork();
    atomic_store(&objects_lock, 0);
    objects_free = NULL;
}
