/* SPDX-License-Identifier: Apache-2.0
 *
 * See fake_driver.h: physical objects, pools, memory of graphs.
 */
#include "fake_objects.h"

#include <glib.h>
#include <string.h>

static GHashTable *objects; /* handle -> struct object */
static GPtrArray *all_objects;
static GHashTable *mapped; /* address -> struct mapping */
static uint64_t next_handle = 0x1000;

static struct fake_pool pools[16]; /* the first ones are the devices' own */
static unsigned n_pools;
static CUmemoryPool current_pool[FAKE_DEVICES];
static uint64_t graph_reserved[FAKE_DEVICES];

struct object {
    uint64_t bytes;
    int device;
    unsigned handles, mappings;
};

struct mapping {
    struct object *object;
    uint64_t bytes;
};

/* ---- physical objects ---- */

static CUresult vmm_create(CUmemGenericAllocationHandle *ret, size_t n, const CUmemAllocationProp *prop,
                           unsigned long long flags)
{
    int device = prop->location.type == CU_MEM_LOCATION_TYPE_DEVICE ? prop->location.id : -1;
    struct object *o;
    CUresult r;

    (void)flags;
    if (fake_fails(&r))
        return r;
    pthread_mutex_lock(&fake_lock);
    if (!fake_take(device, n)) {
        pthread_mutex_unlock(&fake_lock);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    o = g_new0(struct object, 1);
    g_ptr_array_add(all_objects, o);
    *o = (struct object){.bytes = n, .device = device, .handles = 1};
    *ret = next_handle++;
    g_hash_table_insert(objects, GSIZE_TO_POINTER((gsize)*ret), o);
    pthread_mutex_unlock(&fake_lock);
    return CUDA_SUCCESS;
}

static void object_check(struct object *o)
{
    if (o->handles || o->mappings)
        return;
    fake_give(o->device, o->bytes);
    o->device = -1; /* its handles may still be looked up */
}

static CUresult vmm_release(CUmemGenericAllocationHandle h)
{
    struct object *o;
    CUresult r;

    if (fake_fails(&r))
        return r;
    pthread_mutex_lock(&fake_lock);
    o = g_hash_table_lookup(objects, GSIZE_TO_POINTER((gsize)h));
    if (o && o->handles) {
        o->handles--;
        object_check(o);
    } else {
        o = NULL;
    }
    pthread_mutex_unlock(&fake_lock);
    return o ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult vmm_map(CUdeviceptr ptr, size_t n, size_t offset, CUmemGenericAllocationHandle h,
                        unsigned long long flags)
{
    struct object *o;
    CUresult r;

    (void)offset, (void)flags;
    if (fake_fails(&r))
        return r;
    pthread_mutex_lock(&fake_lock);
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
    pthread_mutex_unlock(&fake_lock);
    return o ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult vmm_unmap(CUdeviceptr ptr, size_t n)
{
    CUresult r;

    if (fake_fails(&r))
        return r;
    pthread_mutex_lock(&fake_lock);
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
    pthread_mutex_unlock(&fake_lock);
    return r;
}

static CUresult vmm_retain(CUmemGenericAllocationHandle *ret, void *address)
{
    GHashTableIter iter;
    gpointer key, value;
    CUresult r = CUDA_ERROR_INVALID_VALUE;

    pthread_mutex_lock(&fake_lock);
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
    pthread_mutex_unlock(&fake_lock);
    return r;
}

/* ---- pools ---- */

static struct fake_pool fresh_pool(unsigned i, unsigned device, bool host)
{
    return (struct fake_pool){
        .device = device, .host = host, .base = UINT64_C(0x600000000000) + ((uint64_t)i << 40)};
}

static CUresult pool_create(CUmemoryPool *ret, const CUmemPoolProps *props)
{
    if (n_pools == 16)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pools[n_pools] = fresh_pool(n_pools, (unsigned)props->location.id,
                                props->location.type != CU_MEM_LOCATION_TYPE_DEVICE);
    *ret = (CUmemoryPool)&pools[n_pools++];
    return CUDA_SUCCESS;
}

static CUresult pool_destroy(CUmemoryPool handle)
{
    struct fake_pool *p = (struct fake_pool *)handle;

    pthread_mutex_lock(&fake_lock);
    p->destroyed = true;
    fake_pool_end(p);
    pthread_mutex_unlock(&fake_lock);
    return CUDA_SUCCESS;
}

static CUresult pool_trim(CUmemoryPool handle, size_t keep)
{
    struct fake_pool *p = (struct fake_pool *)handle;

    pthread_mutex_lock(&fake_lock);
    fake_pool_trim(p, keep);
    pthread_mutex_unlock(&fake_lock);
    return CUDA_SUCCESS;
}

static CUresult pool_get(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    const struct fake_pool *p = (const struct fake_pool *)handle;

    pthread_mutex_lock(&fake_lock);
    if (attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)
        *(cuuint64_t *)value = p->reserved;
    else if (attribute == CU_MEMPOOL_ATTR_USED_MEM_CURRENT)
        *(cuuint64_t *)value = p->used;
    else if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        *(cuuint64_t *)value = p->threshold;
    pthread_mutex_unlock(&fake_lock);
    return CUDA_SUCCESS;
}

static CUresult pool_set(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    if (attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD)
        ((struct fake_pool *)handle)->threshold = *(cuuint64_t *)value;
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

/* What a synchronisation does to pools. */
void fake_pools_synchronized(void)
{
    pthread_mutex_lock(&fake_lock);
    for (unsigned i = 0; i < n_pools; i++)
        if (!pools[i].destroyed)
            fake_pool_trim(&pools[i], pools[i].threshold);
    pthread_mutex_unlock(&fake_lock);
}

static CUresult alloc_from(CUdeviceptr *ret, size_t n, CUmemoryPool handle, CUstream stream)
{
    struct fake_pool *p = (struct fake_pool *)handle;
    CUresult r;

    (void)stream;
    return fake_fails(&r) ? r : fake_block_new(ret, n, (int)p->device, false, p);
}

static CUresult alloc_async(CUdeviceptr *ret, size_t n, CUstream stream)
{
    return alloc_from(ret, n, current_pool[fake_current_device()], stream);
}

static CUresult free_async(CUdeviceptr ptr, CUstream stream)
{
    (void)stream;
    return fake_free(ptr);
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
    params->dptr = fake_address(params->bytesize);
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

/* The nodes of a graph are not remembered. */
static CUresult graph_nodes(CUgraph graph, CUgraphNode *nodes, size_t *n)
{
    (void)graph, (void)nodes, (void)n;
    return CUDA_ERROR_NOT_SUPPORTED;
}

static CUresult graph_trim(CUdevice d)
{
    fake_give(d, graph_reserved[d]);
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
    if (!fake_take((int)d, n - graph_reserved[d]))
        return CUDA_ERROR_OUT_OF_MEMORY;
    graph_reserved[d] = n;
    return CUDA_SUCCESS;
}

/* ---- begin and end ---- */

void fake_objects_begin(void)
{
    objects = g_hash_table_new(NULL, NULL);
    all_objects = g_ptr_array_new_with_free_func(g_free);
    mapped = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    memset(graph_reserved, 0, sizeof graph_reserved);
    n_pools = FAKE_DEVICES;
    for (unsigned d = 0; d < FAKE_DEVICES; d++) {
        pools[d] = fresh_pool(d, d, false);
        current_pool[d] = (CUmemoryPool)&pools[d];
    }
    real.cuMemCreate = vmm_create;
    real.cuMemRelease = vmm_release;
    real.cuMemMap = vmm_map;
    real.cuMemUnmap = vmm_unmap;
    real.cuMemRetainAllocationHandle = vmm_retain;
    real.cuGraphGetNodes = graph_nodes;
    real.cuMemPoolCreate = pool_create;
    real.cuMemPoolDestroy = pool_destroy;
    real.cuMemPoolTrimTo = pool_trim;
    real.cuMemPoolGetAttribute = pool_get;
    real.cuMemPoolSetAttribute = pool_set;
    real.cuDeviceGetMemPool = device_pool;
    real.cuDeviceGetDefaultMemPool = device_default_pool;
    real.cuDeviceSetMemPool = device_set_pool;
    real.cuMemAllocFromPoolAsync = alloc_from;
    real.cuMemAllocAsync = alloc_async;
    real.cuMemFreeAsync = free_async;
    real.cuDeviceGetGraphMemAttribute = graph_attribute;
    real.cuDeviceGraphMemTrim = graph_trim;
    real.cuGraphAddMemAllocNode = graph_alloc_node;
    real.cuGraphAddMemFreeNode = graph_free_node;
    real.cuGraphDestroy = graph_destroy;
}

void fake_objects_end(void)
{
    g_hash_table_unref(objects);
    g_ptr_array_unref(all_objects);
    g_hash_table_unref(mapped);
    for (unsigned i = 0; i < n_pools; i++)
        if (pools[i].places)
            g_array_unref(pools[i].places);
}
