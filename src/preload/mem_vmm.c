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
 * One lock guards the objects' counts and the references of handles, so that a
 * handle and the object behind it are looked up and counted in one step; VMM
 * calls cost the driver microseconds. It is taken before a table's own.
 */
#include "preload/mem_vmm.h"

#include <errno.h>
#include <sys/mman.h>

#include "preload/helper.h"
#include "preload/mem_engine.h"
#include "preload/mem_overhead.h"

#define SLAB_OBJECTS 1000

struct mem_object {
    uint64_t bytes; /* charged */
    uint64_t holds;
    uint16_t device;
    bool shared;             /* was exported: others, or this process under another handle, may keep it */
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
static struct mem_object *slab; /* the objects of it from slab_used on were never used */
static unsigned slab_used = SLAB_OBJECTS;
static _Atomic bool tiles_seen;       /* false: there is none to look for */
static _Atomic uint64_t address_bits; /* or of all mapping addresses and lengths */

/* ---- objects ---- */

/* From fresh memory: a page is touched when its first object is needed. */
static struct mem_object *__attribute__((noinline)) object_fresh(void)
{
    int saved = errno;

    if (slab_used == SLAB_OBJECTS) {
        void *p = mmap(NULL, SLAB_OBJECTS * sizeof *slab, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);

        errno = saved;
        if (p == MAP_FAILED)
            return NULL;
        slab = p;
        slab_used = 0;
    }
    return &slab[slab_used++];
}

/* With the lock held. */
static inline struct mem_object *object_new(unsigned d, uint64_t bytes)
{
    struct mem_object *o = objects_free;

    if (likely(o))
        objects_free = o->next;
    else
        o = object_fresh();
    if (likely(o)) {
        o->bytes = bytes;
        o->holds = 1;
        o->device = (uint16_t)d;
        o->shared = false;
    }
    return o;
}

static void object_drop(struct mem_object *o)
{
    uint64_t bytes = 0;
    unsigned d = 0;
    bool last, gone, shared;

    mem_lock(&objects_lock);
    last = --o->holds == 0;
    shared = last && o->shared;
    gone = last && !mem_multicast_any();
    if (gone) {
        bytes = o->bytes;
        d = o->device;
        o->next = objects_free;
        objects_free = o;
    }
    mem_unlock(&objects_lock);
    if (last && !gone) {
        mem_multicast_gone(o); /* before another object can get its address */
        bytes = o->bytes;
        d = o->device;
        mem_lock(&objects_lock);
        o->next = objects_free;
        objects_free = o;
        mem_unlock(&objects_lock);
    }
    mem_release(d, bytes);
    if (unlikely(shared))
        overhead_now(d);
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

/* A handle that the driver has just given out, and the object of n bytes of
 * device d behind it. False: no memory to follow it. */
static bool handle_new(CUmemGenericAllocationHandle h, unsigned d, uint64_t n)
{
    struct mem_entry old = {0};
    struct mem_object *o;
    bool fits = false;

    mem_lock(&objects_lock);
    o = object_new(d, n);
    if (likely(o)) {
        fits = mem_table_add(&handles, h, 1, o, mem_meta(0, VMM_HANDLE, 0), &old);
        if (unlikely(!fits)) {
            o->next = objects_free;
            objects_free = o;
        }
    }
    mem_unlock(&objects_lock);
    for (uint64_t i = 0; unlikely(old.key) && i < old.bytes; i++)
        object_drop(old.owner); /* released behind our back */
    return fits;
}

/* One more reference of handle h to o, whose hold the caller hands over. */
static bool handle_add(CUmemGenericAllocationHandle h, struct mem_object *o)
{
    struct mem_entry e = {.key = h, .owner = o, .kind = VMM_HANDLE, .bytes = 1};
    struct mem_entry old = {0};
    bool fits, known;

    mem_lock(&objects_lock);
    known = mem_table_get(&handles, h, &old) && old.owner == o;
    if (known)
        e.bytes += old.bytes;
    fits = mem_table_put(&handles, &e, &old);
    mem_unlock(&objects_lock);
    for (uint64_t i = 0; fits && !known && old.key && i < old.bytes; i++)
        object_drop(old.owner); /* released behind our back */
    return fits;
}

/* Takes one reference of h away. NULL when h is unknown. */
static struct mem_object *handle_take(CUmemGenericAllocationHandle h)
{
    struct mem_entry e;
    bool known;

    mem_lock(&objects_lock);
    known = mem_table_take(&handles, h, &e);
    if (known && --e.bytes > 0)
        mem_table_put(&handles, &e, NULL);
    mem_unlock(&objects_lock);
    return known ? e.owner : NULL;
}

_Atomic bool mem_shared;

/* The object of a key in a table, held for the caller; NULL when the entry is
 * of fewer bytes than asked for. */
static struct mem_object *hold(struct mem_table *t, uint64_t key, uint64_t more_than)
{
    struct mem_object *o = NULL;
    struct mem_entry e;

    mem_lock(&objects_lock);
    if (mem_table_get(t, key, &e) && e.bytes > more_than) {
        o = e.owner;
        o->holds++;
    }
    mem_unlock(&objects_lock);
    return o;
}

static struct mem_object *handle_hold(CUmemGenericAllocationHandle h)
{
    return hold(&handles, h, 0);
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
    handle_new(h, 0, 0);
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
    if (!handle_new(h, device >= 0 ? (unsigned)device : 0, device >= 0 ? n : 0)) {
        real.cuMemRelease(h);
        mem_release((unsigned)device, device >= 0 ? n : 0);
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
    struct mem_object *o;

    if (r != CUDA_SUCCESS || !mem_active())
        return r;
    o = handle_hold(h);
    if (o) {
        mem_lock(&objects_lock);
        o->shared = true;
        mem_unlock(&objects_lock);
        object_drop(o);
    }
    atomic_store_explicit(&mem_shared, true, memory_order_relaxed);
    helper_note();
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
    uint64_t count, room;
    size_t mapped_bytes; /* of entries, when it is not `few` */
    struct mem_entry few[16];
};

static bool make_room(struct unmapping *u, uint64_t most)
{
    int saved = errno;
    uint64_t total;

    u->count = 0;
    u->mapped_bytes = 0;
    u->entries = u->few;
    u->room = sizeof u->few / sizeof u->few[0];
    if (most <= u->room)
        return true;
    total = mem_table_count(&mappings);
    u->room = most < total ? most : total;
    if (u->room <= sizeof u->few / sizeof u->few[0])
        return true;
    u->mapped_bytes = u->room * sizeof u->few[0];
    u->entries = mmap(NULL, u->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = saved;
    return u->entries != MAP_FAILED;
}

static bool collect(struct unmapping *u, CUdeviceptr ptr, size_t n)
{
    uint64_t step = address_step();
    CUdeviceptr end;

    if (__builtin_add_overflow(ptr, n, &end) || !make_room(u, n / step + 1))
        return false;
    for (CUdeviceptr at = ptr; at < end && u->count < u->room;) {
        struct mem_entry *e = &u->entries[u->count];

        if (mem_table_take(&mappings, at, e)) {
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
    struct unmapping u; /* filled by collect() */
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
 * anywhere before it, and only the driver knows where. What it names as the
 * beginning is that of the mapping, or else of what lies around it. */
static struct mem_object *mapped_hold(CUdeviceptr address)
{
    CUdeviceptr base = 0;
    size_t length = 0;
    uint64_t step = address_step();
    CUdeviceptr at = address - address % step;
    struct mem_object *o = hold(&mappings, at, address - at);

    if (o)
        return o;
    if (real.cuMemGetAddressRange_v2(&base, &length, address) != CUDA_SUCCESS || base > address)
        return NULL;
    o = hold(&mappings, base, address - base);
    while (!o && at >= step && at > base) {
        at -= step;
        o = hold(&mappings, at, address - at);
    }
    return o;
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
    if (e.owner)
        atomic_store_explicit(&tiles_seen, true, memory_order_relaxed);
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

static void __attribute__((noinline)) tiles_end(uint64_t array)
{
    struct ended_tiles t = {.array = array};

    do {
        t.count = 0;
        mem_table_sweep(&tiles, tile_of, &t);
        for (unsigned i = 0; i < t.count; i++)
            object_drop(t.objects[i]);
    } while (t.count > 0);
}

void mem_vmm_array_gone(uint64_t array)
{
    if (unlikely(atomic_load_explicit(&tiles_seen, memory_order_relaxed)) && mem_table_count(&tiles))
        tiles_end(array);
}

void mem_vmm_after_fork(void)
{
    mem_table_forget(&handles);
    mem_table_forget(&mappings);
    mem_table_forget(&tiles);
    mem_multicast_after_fork();
    atomic_store(&objects_lock, 0);
    atomic_store(&tiles_seen, false);
    objects_free = NULL;
    slab_used = SLAB_OBJECTS;
}
