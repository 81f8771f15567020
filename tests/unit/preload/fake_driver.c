/* SPDX-License-Identifier: Apache-2.0
 *
 * See fake_driver.h. Simple on purpose: one lock, linear lists.
 */
#include "fake_driver.h"

#include <glib.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preload/ctx.h"
#include "preload/helper.h"
#include "preload/identity.h"
#include "preload/log.h"
#include "preload/mem_engine.h"
#include "region/ledger.h"

struct fake fake;
struct real_cuda real;
struct real_nvml real_nvml;
struct slice slice;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *blocks;  /* address -> struct block */
static GHashTable *objects; /* handle -> struct object */
static GPtrArray *all_objects;
static uint64_t next_address = UINT64_C(0x7f0000000000);
static uint64_t next_handle = 0x1000;
static _Thread_local CUcontext current;
static struct fake_context {
    unsigned device;
    int refs;
} contexts[8]; /* 0 and 1 are the devices' primary contexts */
static unsigned n_contexts;
static CUmemoryPool current_pool[FAKE_DEVICES];

struct pool {
    unsigned device;
    bool host, destroyed;
    uint64_t reserved, used, threshold;
    unsigned live;
} pools[16];
static unsigned n_pools;
static uint64_t graph_reserved[FAKE_DEVICES];

struct block {
    uint64_t bytes; /* physical */
    int device;     /* -1 = host */
    bool managed;
    struct pool *pool;
    CUcontext ctx;
};

struct object {
    uint64_t bytes;
    int device;
    unsigned handles, mappings;
};
static GHashTable *mapped; /* address -> struct mapping */
struct mapping {
    struct object *object;
    uint64_t bytes;
};

/* ---- the slice ---- */

enum slice_state slice_attach(void)
{
    return (enum slice_state)atomic_load(&slice.state);
}

uint64_t slice_mem_limit(unsigned d)
{
    return d < FAKE_DEVICES ? atomic_load_explicit(&fake.limit[d], memory_order_relaxed) : 0;
}

int slice_device_of(CUdevice ordinal)
{
    return ordinal >= 0 && ordinal < FAKE_DEVICES ? ordinal : -1;
}

int slice_device_current(void)
{
    return ctx_here()->device;
}

void slice_gate(void)
{
    atomic_fetch_add_explicit(&fake.gates, 1, memory_order_relaxed);
}

void log_line(enum log_level level, const char *file, int line, const char *format, ...)
{
    va_list arguments;

    (void)level, (void)file, (void)line;
    va_start(arguments, format);
    vsnprintf(fake.last_line, sizeof fake.last_line, format, arguments);
    va_end(arguments);
    atomic_fetch_add(&fake.logged, 1);
}

void compute_context_switched(void) {}

void compute_context_ending(CUcontext ctx)
{
    (void)ctx;
}

struct helper helper;

void helper_wake(void)
{
    fake.woken++;
}

void identity_learn(void) {}

void identity_before_context(struct identity_look *look, unsigned d)
{
    (void)look, (void)d;
}

void identity_after_context(const struct identity_look *look, unsigned d)
{
    (void)look, (void)d;
}

bool compute_capturing(void)
{
    return fake.capturing;
}

/* ---- physical memory ---- */

static bool fails(CUresult *ret)
{
    int r = atomic_exchange(&fake.fail_next, 0);

    atomic_fetch_add(&fake.calls, 1);
    *ret = (CUresult)r;
    return r != 0;
}

static bool take(int device, uint64_t n)
{
    if (device < 0)
        return true;
    if (n > fake.phys_bytes || fake.taken[device] > fake.phys_bytes - n)
        return false;
    fake.taken[device] += n;
    return true;
}

static void give(int device, uint64_t n)
{
    if (device >= 0)
        fake.taken[device] -= n;
}

static struct fake_context *context_of(CUcontext ctx)
{
    return ctx ? &contexts[(uintptr_t)ctx / 16 - 1] : NULL;
}

static CUcontext handle_of(unsigned i)
{
    return (CUcontext)(uintptr_t)((i + 1) * 16);
}

static CUresult block_new(CUdeviceptr *ret, uint64_t n, int device, bool managed, struct pool *pool)
{
    struct block *b;

    if (!ret || !n)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&lock);
    if (!pool && !take(managed ? -1 : device, n)) {
        pthread_mutex_unlock(&lock);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    b = g_new0(struct block, 1);
    b->bytes = n;
    b->device = managed ? -1 : device;
    b->managed = managed;
    b->pool = pool;
    b->ctx = current;
    *ret = next_address;
    next_address += (n + 511) / 512 * 512;
    g_hash_table_insert(blocks, GSIZE_TO_POINTER(*ret), b);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

/* ---- plain ---- */

static CUresult mem_alloc(CUdeviceptr *ret, size_t n)
{
    CUresult r;

    if (fails(&r))
        return r;
    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    return block_new(ret, n, (int)context_of(current)->device, false, NULL);
}

static CUresult mem_alloc_v1(CUdeviceptr_v1 *ret, unsigned int n)
{
    static CUdeviceptr_v1 next = 0x10000;
    struct block *b;
    CUresult r;

    if (fails(&r))
        return r;
    pthread_mutex_lock(&lock);
    if (!take((int)context_of(current)->device, n)) {
        pthread_mutex_unlock(&lock);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    b = g_new0(struct block, 1);
    b->bytes = n;
    b->device = (int)context_of(current)->device;
    b->ctx = current;
    *ret = next;
    next += (n + 511) / 512 * 512;
    g_hash_table_insert(blocks, GSIZE_TO_POINTER((gsize)*ret), b);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

static CUresult mem_managed(CUdeviceptr *ret, size_t n, unsigned int flags)
{
    CUresult r;

    (void)flags;
    if (fails(&r))
        return r;
    return block_new(ret, n, (int)context_of(current)->device, true, NULL);
}

/* Rows of 768-byte multiples: not what the engine guesses. */
static CUresult mem_pitch(CUdeviceptr *ret, size_t *pitch, size_t width, size_t height, unsigned int element)
{
    CUresult r;

    if (fails(&r))
        return r;
    if (!ret || !pitch || !width || !height || (element != 4 && element != 8 && element != 16))
        return CUDA_ERROR_INVALID_VALUE;
    r = block_new(ret, (width + 767) / 768 * 768 * height, (int)context_of(current)->device, false, NULL);
    if (r == CUDA_SUCCESS)
        *pitch = (width + 767) / 768 * 768;
    return r;
}

static void pool_give(struct pool *p, uint64_t n)
{
    p->used -= n;
    p->live--;
    if (p->destroyed && !p->live) {
        give(p->host ? -1 : (int)p->device, p->reserved);
        p->reserved = 0;
    }
}

static CUresult mem_free(CUdeviceptr ptr)
{
    struct block *b;
    CUresult r;

    if (fails(&r))
        return r;
    pthread_mutex_lock(&lock);
    b = g_hash_table_lookup(blocks, GSIZE_TO_POINTER(ptr));
    if (b && b->pool)
        pool_give(b->pool, b->bytes);
    else if (b)
        give(b->device, b->bytes);
    g_hash_table_remove(blocks, GSIZE_TO_POINTER(ptr));
    pthread_mutex_unlock(&lock);
    if (b && fake.on_free)
        fake.on_free(ptr);
    return b ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult mem_free_v1(CUdeviceptr_v1 ptr)
{
    return mem_free(ptr);
}

static CUresult mem_info(size_t *ret_free, size_t *ret_total)
{
    unsigned d;

    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    d = context_of(current)->device;
    if (ret_free)
        *ret_free = fake.phys_bytes - fake.taken[d];
    if (ret_total)
        *ret_total = fake.phys_bytes;
    return CUDA_SUCCESS;
}

static CUresult total_mem(size_t *ret, CUdevice d)
{
    if (d < 0 || d >= FAKE_DEVICES)
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = fake.phys_bytes;
    return CUDA_SUCCESS;
}

static CUresult address_range(CUdeviceptr *base, size_t *n, CUdeviceptr ptr)
{
    struct block *b;

    pthread_mutex_lock(&lock);
    b = g_hash_table_lookup(blocks, GSIZE_TO_POINTER(ptr));
    pthread_mutex_unlock(&lock);
    if (!b)
        return CUDA_ERROR_INVALID_VALUE;
    *base = ptr;
    *n = b->bytes;
    return CUDA_SUCCESS;
}

static CUresult pointer_attribute(void *ret, CUpointer_attribute attribute, CUdeviceptr ptr)
{
    struct block *b;

    pthread_mutex_lock(&lock);
    b = g_hash_table_lookup(blocks, GSIZE_TO_POINTER(ptr));
    pthread_mutex_unlock(&lock);
    if (!b)
        return CUDA_ERROR_INVALID_VALUE;
    if (attribute == CU_POINTER_ATTRIBUTE_IS_MANAGED)
        *(unsigned int *)ret = b->managed;
    else if (attribute == CU_POINTER_ATTRIBUTE_RANGE_START_ADDR)
        *(CUdeviceptr *)ret = ptr;
    return CUDA_SUCCESS;
}

static CUresult mem_advise(CUdeviceptr ptr, size_t n, CUmem_advise advice, CUdevice d)
{
    (void)ptr, (void)n, (void)advice, (void)d;
    return CUDA_SUCCESS;
}

static CUresult ipc_get(CUipcMemHandle *ret, CUdeviceptr ptr)
{
    memcpy(ret, &ptr, sizeof ptr);
    return CUDA_SUCCESS;
}

/* ---- arrays ---- */

static CUresult array_create(CUarray *ret, const CUDA_ARRAY3D_DESCRIPTOR *d)
{
    CUdeviceptr ptr;
    CUresult r;

    if (fails(&r))
        return r;
    r = block_new(&ptr,
                  (d->Width ? d->Width : 1) * (d->Height ? d->Height : 1) * (d->Depth ? d->Depth : 1) * 4,
                  (int)context_of(current)->device, false, NULL);
    if (r == CUDA_SUCCESS)
        *ret = (CUarray)(uintptr_t)ptr;
    return r;
}

static CUresult array_destroy(CUarray array)
{
    return mem_free((uintptr_t)array);
}

/* ---- physical objects ---- */

static CUresult vmm_create(CUmemGenericAllocationHandle *ret, size_t n, const CUmemAllocationProp *prop,
                           unsigned long long flags)
{
    int device = prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE ? prop->location.id : -1;
    struct object *o;
    CUresult r;

    (void)flags;
    if (fails(&r))
        return r;
    pthread_mutex_lock(&lock);
    if (!take(device, n)) {
        pthread_mutex_unlock(&lock);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    o = g_new0(struct object, 1);
    g_ptr_array_add(all_objects, o);
    *o = (struct object){.bytes = n, .device = device, .handles = 1};
    *ret = next_handle++;
    g_hash_table_insert(objects, GSIZE_TO_POINTER((gsize)*ret), o);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

static void object_check(struct object *o)
{
    if (o->handles || o->mappings)
        return;
    give(o->device, o->bytes);
    o->device = -1; /* its handles may still be looked up */
}

static CUresult vmm_release(CUmemGenericAllocationHandle h)
{
    struct object *o;
    CUresult r;

    if (fails(&r))
        return r;
    pthread_mutex_lock(&lock);
    o = g_hash_table_lookup(objects, GSIZE_TO_POINTER((gsize)h));
    if (o && o->handles) {
        o->handles--;
        object_check(o);
    } else {
        o = NULL;
    }
    pthread_mutex_unlock(&lock);
    return o ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult vmm_map(CUdeviceptr ptr, size_t n, size_t offset, CUmemGenericAllocationHandle h,
                        unsigned long long flags)
{
    struct object *o;
    CUresult r;

    (void)offset, (void)flags;
    if (fails(&r))
        return r;
    pthread_mutex_lock(&lock);
    o = g_hash_table_lookup(objects, GSIZE_TO_POINTER((gsize)h));
    if (o && o->handles && !g_hash_table_contains(mapped, GSIZE_TO_POINTER(ptr))) {
        struct mapping *m = g_new0(struct mapping, 1);
        m->object = o;
        m->bytes = n;
        o->mappings++;
        g_hash_table_insert(mapped, GSIZE_TO_POINTER(ptr), m);
    } else {
        o = NULL;
    }
    pthread_mutex_unlock(&lock);
    return o ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult vmm_unmap(CUdeviceptr ptr, size_t n)
{
    CUresult r;

    if (fails(&r))
        return r;
    pthread_mutex_lock(&lock);
    r = CUDA_ERROR_INVALID_VALUE;
    for (CUdeviceptr at = ptr; at < ptr + n;) {
        struct mapping *m = g_hash_table_lookup(mapped, GSIZE_TO_POINTER(at));
        if (!m)
            break;
        r = CUDA_SUCCESS;
        at += m->bytes;
        m->object->mappings--;
        object_check(m->object);
        g_hash_table_remove(mapped, GSIZE_TO_POINTER(at - m->bytes));
    }
    pthread_mutex_unlock(&lock);
    return r;
}

static CUresult vmm_retain(CUmemGenericAllocationHandle *ret, void *address)
{
    GHashTableIter iter;
    gpointer key, value;
    CUresult r = CUDA_ERROR_INVALID_VALUE;

    pthread_mutex_lock(&lock);
    g_hash_table_iter_init(&iter, mapped);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        struct mapping *m = value;
        if ((uintptr_t)address - (uintptr_t)key < m->bytes) {
            m->object->handles++;
            *ret = next_handle++;
            g_hash_table_insert(objects, GSIZE_TO_POINTER((gsize)*ret), m->object);
            r = CUDA_SUCCESS;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return r;
}

/* ---- pools ---- */

static CUresult pool_create(CUmemoryPool *ret, const CUmemPoolProps *props)
{
    if (n_pools == 16)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pools[n_pools] = (struct pool){.device = (unsigned)props->location.id,
                                   .host = props->location.type != CU_MEM_LOCATION_TYPE_DEVICE};
    *ret = (CUmemoryPool)&pools[n_pools++];
    return CUDA_SUCCESS;
}

static CUresult pool_destroy(CUmemoryPool handle)
{
    struct pool *p = (struct pool *)handle;

    pthread_mutex_lock(&lock);
    p->destroyed = true;
    p->live++;
    pool_give(p, 0);
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

static CUresult pool_trim(CUmemoryPool handle, size_t keep)
{
    struct pool *p = (struct pool *)handle;
    uint64_t want;

    pthread_mutex_lock(&lock);
    want = (p->used > keep ? p->used : keep);
    want = (want + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
    if (want < p->reserved) {
        give(p->host ? -1 : (int)p->device, p->reserved - want);
        p->reserved = want;
    }
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

static CUresult pool_get(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    const struct pool *p = (const struct pool *)handle;

    pthread_mutex_lock(&lock);
    if (attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)
        *(cuuint64_t *)value = p->reserved;
    else if (attribute == CU_MEMPOOL_ATTR_USED_MEM_CURRENT)
        *(cuuint64_t *)value = p->used;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}

static CUresult pool_set(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        ((struct pool *)handle)->threshold = *(cuuint64_t *)value;
    return CUDA_SUCCESS;
}

static CUresult device_pool(CUmemoryPool *ret, CUdevice d)
{
    if (d < 0 || d >= FAKE_DEVICES)
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = current_pool[d];
    return CUDA_SUCCESS;
}

static CUresult device_default_pool(CUmemoryPool *ret, CUdevice d)
{
    if (d < 0 || d >= FAKE_DEVICES)
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = (CUmemoryPool)&pools[d];
    return CUDA_SUCCESS;
}

static CUresult device_set_pool(CUdevice d, CUmemoryPool pool)
{
    current_pool[d] = pool;
    return CUDA_SUCCESS;
}

static CUresult alloc_from(CUdeviceptr *ret, size_t n, CUmemoryPool handle, CUstream stream)
{
    struct pool *p = (struct pool *)handle;
    uint64_t grown;
    CUresult r;

    (void)stream;
    if (fails(&r))
        return r;
    pthread_mutex_lock(&lock);
    grown = (p->used + n + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
    if (grown > p->reserved && !take(p->host ? -1 : (int)p->device, grown - p->reserved)) {
        pthread_mutex_unlock(&lock);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    if (grown > p->reserved)
        p->reserved = grown;
    p->used += n;
    p->live++;
    pthread_mutex_unlock(&lock);
    return block_new(ret, n, (int)p->device, false, p);
}

static CUresult alloc_async(CUdeviceptr *ret, size_t n, CUstream stream)
{
    return alloc_from(ret, n, current_pool[context_of(current)->device], stream);
}

static CUresult free_async(CUdeviceptr ptr, CUstream stream)
{
    (void)stream;
    return mem_free(ptr);
}

static CUresult graph_attribute(CUdevice d, CUgraphMem_attribute attribute, void *value)
{
    *(cuuint64_t *)value = attribute == CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT ? graph_reserved[d] : 0;
    return CUDA_SUCCESS;
}

static CUresult graph_alloc_node(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after, size_t n_after,
                                 CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
    (void)ret, (void)graph, (void)after, (void)n_after;
    params->dptr = next_address;
    next_address += params->bytesize;
    return CUDA_SUCCESS;
}

static CUresult graph_free_node(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after, size_t n_after,
                                CUdeviceptr ptr)
{
    (void)ret, (void)graph, (void)after, (void)n_after, (void)ptr;
    return CUDA_SUCCESS;
}

static CUresult graph_destroy(CUgraph graph)
{
    (void)graph;
    return CUDA_SUCCESS;
}

static CUresult graph_trim(CUdevice d)
{
    give(d, graph_reserved[d]);
    graph_reserved[d] = 0;
    return CUDA_SUCCESS;
}

/* What launching a graph with memory nodes does: the exec handle is the
 * number of bytes. */
CUresult fake_graph_launch(unsigned d, uint64_t n);
CUresult fake_graph_launch(unsigned d, uint64_t n)
{
    if (n <= graph_reserved[d])
        return CUDA_SUCCESS;
    if (!take((int)d, n - graph_reserved[d]))
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph_reserved[d] = n;
    return CUDA_SUCCESS;
}

/* ---- contexts ---- */

static CUresult ctx_get_current(CUcontext *ret)
{
    *ret = current;
    return CUDA_SUCCESS;
}

static CUresult ctx_set_current(CUcontext ctx)
{
    current = ctx;
    return CUDA_SUCCESS;
}

static CUresult ctx_push(CUcontext ctx)
{
    current = ctx;
    return CUDA_SUCCESS;
}

static CUresult ctx_pop(CUcontext *ret)
{
    *ret = current;
    current = handle_of(0);
    return CUDA_SUCCESS;
}

static CUresult ctx_get_device(CUdevice *ret)
{
    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    *ret = (CUdevice)context_of(current)->device;
    return CUDA_SUCCESS;
}

static unsigned live_contexts(unsigned d)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_contexts; i++)
        n += contexts[i].device == d && contexts[i].refs > 0;
    return n;
}

static void context_ends(unsigned i)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, blocks);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        struct block *b = value;
        if (b->ctx == handle_of(i) && !b->pool) {
            give(b->device, b->bytes);
            g_hash_table_iter_remove(&iter);
        }
    }
    if (!live_contexts(contexts[i].device))
        give((int)contexts[i].device, fake.context_bytes);
}

static CUresult ctx_create(CUcontext *ret, unsigned int flags, CUdevice d)
{
    CUresult r;

    (void)flags;
    if (fails(&r))
        return r;
    if (d < 0 || d >= FAKE_DEVICES || n_contexts == 8)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!live_contexts((unsigned)d) && !take(d, fake.context_bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    contexts[n_contexts] = (struct fake_context){.device = (unsigned)d, .refs = 1};
    *ret = current = handle_of(n_contexts++);
    return CUDA_SUCCESS;
}

static CUresult ctx_destroy(CUcontext ctx)
{
    struct fake_context *c = context_of(ctx);

    if (!c || !c->refs)
        return CUDA_ERROR_INVALID_CONTEXT;
    c->refs = 0;
    context_ends((unsigned)(c - contexts));
    if (current == ctx)
        current = NULL;
    return CUDA_SUCCESS;
}

static CUresult primary_retain(CUcontext *ret, CUdevice d)
{
    CUresult r;

    if (fails(&r))
        return r;
    if (!live_contexts((unsigned)d) && !take(d, fake.context_bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    contexts[d].refs++;
    *ret = handle_of((unsigned)d);
    return CUDA_SUCCESS;
}

static CUresult primary_release(CUdevice d)
{
    if (!contexts[d].refs)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (--contexts[d].refs == 0)
        context_ends((unsigned)d);
    return CUDA_SUCCESS;
}

static CUresult primary_reset(CUdevice d)
{
    if (contexts[d].refs) {
        contexts[d].refs = 0;
        context_ends((unsigned)d);
    }
    return CUDA_SUCCESS;
}

static CUresult primary_state(CUdevice d, unsigned int *flags, int *active)
{
    *flags = 0;
    *active = contexts[d].refs > 0;
    return CUDA_SUCCESS;
}

static CUresult driver_version(int *ret)
{
    *ret = 13000;
    return CUDA_SUCCESS;
}

static CUresult device_count(int *ret)
{
    *ret = FAKE_DEVICES;
    return CUDA_SUCCESS;
}

static CUresult exchange_mode(CUstreamCaptureMode *mode)
{
    static _Thread_local CUstreamCaptureMode now = CU_STREAM_CAPTURE_MODE_GLOBAL;
    CUstreamCaptureMode before = now;

    now = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}

static nvmlReturn_t nvml_init(void)
{
    return NVML_ERROR_LIBRARY_NOT_FOUND;
}

static const struct real_cuda table = {
    .cuMemAlloc_v2 = mem_alloc,
    .cuMemAlloc = mem_alloc_v1,
    .cuMemAllocManaged = mem_managed,
    .cuMemAllocPitch_v2 = mem_pitch,
    .cuMemFree_v2 = mem_free,
    .cuMemFree = mem_free_v1,
    .cuMemGetInfo_v2 = mem_info,
    .cuDeviceTotalMem_v2 = total_mem,
    .cuMemGetAddressRange_v2 = address_range,
    .cuPointerGetAttribute = pointer_attribute,
    .cuMemAdvise = mem_advise,
    .cuIpcGetMemHandle = ipc_get,
    .cuArray3DCreate_v2 = array_create,
    .cuArrayDestroy = array_destroy,
    .cuMemCreate = vmm_create,
    .cuMemRelease = vmm_release,
    .cuMemMap = vmm_map,
    .cuMemUnmap = vmm_unmap,
    .cuMemRetainAllocationHandle = vmm_retain,
    .cuMemPoolCreate = pool_create,
    .cuMemPoolDestroy = pool_destroy,
    .cuMemPoolTrimTo = pool_trim,
    .cuMemPoolGetAttribute = pool_get,
    .cuMemPoolSetAttribute = pool_set,
    .cuDeviceGetMemPool = device_pool,
    .cuDeviceGetDefaultMemPool = device_default_pool,
    .cuDeviceSetMemPool = device_set_pool,
    .cuMemAllocFromPoolAsync = alloc_from,
    .cuMemAllocAsync = alloc_async,
    .cuMemFreeAsync = free_async,
    .cuDeviceGetGraphMemAttribute = graph_attribute,
    .cuDeviceGraphMemTrim = graph_trim,
    .cuGraphAddMemAllocNode = graph_alloc_node,
    .cuGraphAddMemFreeNode = graph_free_node,
    .cuGraphDestroy = graph_destroy,
    .cuCtxGetCurrent = ctx_get_current,
    .cuCtxSetCurrent = ctx_set_current,
    .cuCtxPushCurrent_v2 = ctx_push,
    .cuCtxPopCurrent_v2 = ctx_pop,
    .cuCtxGetDevice = ctx_get_device,
    .cuCtxCreate_v2 = ctx_create,
    .cuCtxDestroy_v2 = ctx_destroy,
    .cuDevicePrimaryCtxRetain = primary_retain,
    .cuDevicePrimaryCtxRelease_v2 = primary_release,
    .cuDevicePrimaryCtxReset_v2 = primary_reset,
    .cuDevicePrimaryCtxGetState = primary_state,
    .cuDriverGetVersion = driver_version,
    .cuDeviceGetCount = device_count,
    .cuThreadExchangeStreamCaptureMode = exchange_mode,
};

/* ---- begin and end ---- */

CUcontext fake_context(unsigned d)
{
    current = handle_of(d);
    return current;
}

void fake_begin(uint64_t limit0, uint64_t limit1)
{
    static const struct region_limits limits = {.n_devices = FAKE_DEVICES};

    memset(&fake, 0, sizeof fake);
    fake.phys_bytes = UINT64_C(16) << 30;
    fake.limit[0] = limit0;
    fake.limit[1] = limit1;
    blocks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    objects = g_hash_table_new(NULL, NULL);
    all_objects = g_ptr_array_new_with_free_func(g_free);
    mapped = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    memset(contexts, 0, sizeof contexts);
    memset(pools, 0, sizeof pools);
    memset(graph_reserved, 0, sizeof graph_reserved);
    n_contexts = n_pools = FAKE_DEVICES;
    for (unsigned d = 0; d < FAKE_DEVICES; d++) {
        contexts[d] = (struct fake_context){.device = d, .refs = 1};
        pools[d] = (struct pool){.device = d};
        current_pool[d] = (CUmemoryPool)&pools[d];
    }
    real = table;
    real_nvml.nvmlInit_v2 = nvml_init;
    memset(&slice, 0, sizeof slice);
    g_assert_cmpint(region_open_private(&slice.region, &limits), ==, 0);
    slice.slot = region_slot_claim(&slice.region);
    g_assert_cmpint(slice.slot, >=, 0);
    atomic_store(&slice.state, SLICE_ON);
    memory_after_fork();
    fake_context(0);
}

void fake_end(void)
{
    region_close(&slice.region);
    atomic_store(&slice.state, SLICE_UNATTACHED);
    g_hash_table_unref(blocks);
    g_hash_table_unref(objects);
    g_ptr_array_unref(all_objects);
    g_hash_table_unref(mapped);
}
