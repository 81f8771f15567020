/* SPDX-License-Identifier: Apache-2.0
 *
 * Physical objects: create, retain, release, export, import, properties.
 */
#include "mem_vmm.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "copy_job.h"

#define BUCKETS 16384U

static pthread_mutex_t vmm_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim_phys *buckets[BUCKETS];
static uint64_t last_handle;

void sim_vmm_lock(void)
{
    pthread_mutex_lock(&vmm_lock);
}

void sim_vmm_unlock(void)
{
    pthread_mutex_unlock(&vmm_lock);
}

/* ---- objects; the lock held ---- */

struct sim_phys *sim_phys_new(const CUmemAllocationProp *prop, uint64_t size)
{
    struct sim_phys *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->handle = ++last_handle;
    p->size = size;
    p->prop = *prop;
    p->id = sim_block_id();
    p->refs = 1;
    struct sim_phys **bucket = &buckets[p->handle % BUCKETS];
    p->next = *bucket;
    *bucket = p;
    return p;
}

struct sim_phys *sim_phys_find(uint64_t handle)
{
    struct sim_phys *p = buckets[handle % BUCKETS];
    while (p && p->handle != handle)
        p = p->next;
    return p && p->refs ? p : NULL;
}

static void drop_if_unused(struct sim_phys *p)
{
    if (p->refs || p->mappings)
        return;
    struct sim_phys **at = &buckets[p->handle % BUCKETS];
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (p->multicast)
        sim_multicast_free(p->multicast);
    if (p->bytes) {
        unsigned machine = p->device >= 0 ? (unsigned)sim_device(p->device) : 0;
        sim_bytes_linger(p->bytes, machine, p->paid ? p->size : 0);
    }
    free(p);
}

void sim_phys_unref(struct sim_phys *p)
{
    p->refs--;
    drop_if_unused(p);
}

void sim_phys_unmapped(struct sim_phys *p)
{
    p->mappings--;
    drop_if_unused(p);
}

/* ---- properties ---- */

CUresult sim_vmm_check_prop(const CUmemAllocationProp *prop, CUdevice *ret_device)
{
    if (!prop || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    unsigned types = (unsigned)prop->requestedHandleTypes;
    if (types & ~(unsigned)(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR | CU_MEM_HANDLE_TYPE_FABRIC))
        return CUDA_ERROR_INVALID_VALUE;
    if (types & CU_MEM_HANDLE_TYPE_FABRIC) /* no fabric in this machine */
        return CUDA_ERROR_NOT_SUPPORTED;
    switch (prop->location.type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
        if (prop->location.id < 0 || (unsigned)prop->location.id >= sim_device_count())
            return CUDA_ERROR_INVALID_DEVICE;
        *ret_device = prop->location.id;
        return CUDA_SUCCESS;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
        *ret_device = -1;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuMemGetAllocationGranularity(size_t *ret, const CUmemAllocationProp *prop,
                                       CUmemAllocationGranularity_flags option)
{
    CUdevice device;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret ||
        (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM && option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = sim_vmm_check_prop(prop, &device);
    if (rc == CUDA_SUCCESS)
        *ret = SIM_CHUNK;
    return rc;
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *ret, CUmemGenericAllocationHandle handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    sim_vmm_lock();
    struct sim_phys *p = sim_phys_find(handle);
    if (p)
        *ret = p->prop;
    sim_vmm_unlock();
    return p ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* ---- create, retain, release ---- */

CUresult cuMemCreate(CUmemGenericAllocationHandle *ret, size_t size, const CUmemAllocationProp *prop,
                     unsigned long long flags)
{
    CUdevice device;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret || !size || size % SIM_CHUNK || flags)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = sim_vmm_check_prop(prop, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (device >= 0) {
        struct sim_arena *a = sim_arena(device);
        rc = a ? sim_mem_take(a, size) : CUDA_ERROR_OUT_OF_MEMORY;
        if (rc != CUDA_SUCCESS)
            return rc;
    }
    bool real = size <= sim_machine()->real_bytes_max;
    struct sim_bytes *bytes = size > (1ULL << 46) ? NULL : sim_bytes_new(size, real);
    sim_vmm_lock();
    struct sim_phys *p = bytes ? sim_phys_new(prop, size) : NULL;
    if (p) {
        p->bytes = bytes;
        p->device = device;
        p->paid = device >= 0;
        *ret = p->handle;
    }
    sim_vmm_unlock();
    if (p)
        return CUDA_SUCCESS;
    if (bytes)
        sim_bytes_free(bytes);
    if (device >= 0)
        sim_memory_give((unsigned)sim_device(device), size);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    sim_vmm_lock();
    struct sim_phys *p = sim_phys_find(handle);
    if (p)
        sim_phys_unref(p);
    sim_vmm_unlock();
    return p ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *ret, void *address)
{
    uint64_t offset;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_phys *p = ret ? sim_vmm_pin((uint64_t)(uintptr_t)address, 1, &offset) : NULL;
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    sim_vmm_lock();
    p->refs++;
    p->mappings--; /* the pin */
    *ret = p->handle;
    sim_vmm_unlock();
    return CUDA_SUCCESS;
}

/* ---- between processes ---- */

static CUresult export_fd(struct sim_phys *p, int *ret)
{
    if (!p->bytes || !(p->prop.requestedHandleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR))
        return CUDA_ERROR_INVALID_VALUE;
    if (p->bytes->fd < 0) {
        struct sim_share what = {.kind = SIM_SHARE_VMM,
                                 .machine = p->device >= 0 ? (uint32_t)sim_device(p->device) : 0,
                                 .handle_types = (uint32_t)p->prop.requestedHandleTypes,
                                 .location_type = p->prop.location.type,
                                 .location_id = p->prop.location.id};
        sim_bytes_lock(true);
        bool ok = sim_bytes_share(p->bytes, &what, 0);
        if (ok)
            sim_vmm_remap(p);
        sim_bytes_unlock();
        if (!ok)
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret = fcntl(p->bytes->fd, F_DUPFD_CLOEXEC, 3);
    return *ret >= 0 ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
}

CUresult cuMemExportToShareableHandle(void *ret, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType type, unsigned long long flags)
{
    int fd = -1;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret || flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (type == CU_MEM_HANDLE_TYPE_FABRIC)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_arena *a = sim_arena(SIM_VA_ARENA);
    if (!a)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&a->lock); /* mappings may have to be exchanged */
    sim_vmm_lock();
    struct sim_phys *p = sim_phys_find(handle);
    CUresult rc = p ? export_fd(p, &fd) : CUDA_ERROR_INVALID_VALUE;
    sim_vmm_unlock();
    pthread_mutex_unlock(&a->lock);
    if (rc == CUDA_SUCCESS)
        memcpy(ret, &fd, sizeof fd);
    return rc;
}

CUdevice sim_ordinal_of(unsigned machine)
{
    for (unsigned i = 0; i < sim_device_count(); i++)
        if (sim_device((CUdevice)i) == (int)machine)
            return (CUdevice)i;
    return -1;
}

static CUresult import_bytes(struct sim_bytes *bytes, CUmemGenericAllocationHandle *ret)
{
    struct sim_share what = *bytes->share;
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR};
    CUdevice device = -1;
    prop.location.type = (CUmemLocationType)what.location_type;
    prop.location.id = what.location_id;
    if (prop.location.type == CU_MEM_LOCATION_TYPE_DEVICE) {
        device = sim_ordinal_of(what.machine);
        if (device < 0)
            return CUDA_ERROR_INVALID_DEVICE;
        prop.location.id = device;
    }
    if (bytes->size % SIM_CHUNK || sim_vmm_check_prop(&prop, &device) != CUDA_SUCCESS)
        return CUDA_ERROR_INVALID_VALUE;
    sim_vmm_lock();
    struct sim_phys *p = sim_phys_new(&prop, bytes->size);
    if (p) {
        p->bytes = bytes;
        p->device = device;
        *ret = p->handle;
    }
    sim_vmm_unlock();
    return p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *ret, void *os_handle,
                                        CUmemAllocationHandleType type)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (type == CU_MEM_HANDLE_TYPE_FABRIC)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_bytes *bytes = sim_bytes_import((int)(intptr_t)os_handle, SIM_SHARE_VMM);
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = import_bytes(bytes, ret);
    if (rc != CUDA_SUCCESS)
        sim_bytes_free(bytes);
    return rc;
}
