/* SPDX-License-Identifier: Apache-2.0
 *
 * Multicast objects: a handle to memory that several devices bind, which can
 * be mapped like any other. It takes no memory of its own, and since kernels
 * compute nothing its addresses hold no bytes.
 */
#include <stdlib.h>

#include "abi/cuda_api.h"
#include "mem_vmm.h"

struct binding {
    struct binding *next;
    CUdevice device;
    uint64_t offset, size;
    struct sim_phys *phys;
};

struct sim_multicast {
    unsigned wanted;  /* devices that must be added before anything is bound */
    uint64_t devices; /* bit per device added */
    struct binding *bindings;
};

static bool supported(void)
{
    for (unsigned i = 0; i < sim_machine()->n_devices; i++)
        if (sim_machine()->devices[i].cc_major < 9)
            return false;
    return sim_machine()->n_devices > 0;
}

static CUresult check_prop(const CUmulticastObjectProp *prop)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!prop || !prop->numDevices || prop->flags || (prop->handleTypes & ~1ULL))
        return CUDA_ERROR_INVALID_VALUE;
    return supported() ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

CUresult cuMulticastGetGranularity(size_t *ret, const CUmulticastObjectProp *prop,
                                   CUmulticastGranularity_flags option)
{
    CUresult rc = check_prop(prop);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret ||
        (option != CU_MULTICAST_GRANULARITY_MINIMUM && option != CU_MULTICAST_GRANULARITY_RECOMMENDED))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = SIM_CHUNK;
    return CUDA_SUCCESS;
}

CUresult cuMulticastCreate(CUmemGenericAllocationHandle *ret, const CUmulticastObjectProp *prop)
{
    CUresult rc = check_prop(prop);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || !prop->size || prop->size % SIM_CHUNK)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_multicast *m = calloc(1, sizeof *m);
    if (!m)
        return CUDA_ERROR_OUT_OF_MEMORY;
    m->wanted = prop->numDevices;
    CUmemAllocationProp shape = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .requestedHandleTypes = (CUmemAllocationHandleType)prop->handleTypes};
    sim_vmm_lock();
    struct sim_phys *p = sim_phys_new(&shape, prop->size);
    if (p) {
        p->device = -1;
        p->multicast = m;
        *ret = p->handle;
    }
    sim_vmm_unlock();
    if (!p)
        free(m);
    return p ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

/* The multicast object behind a handle, or NULL; lock held. */
static struct sim_phys *multicast_of(uint64_t handle)
{
    struct sim_phys *p = sim_phys_find(handle);
    return p && p->multicast ? p : NULL;
}

CUresult cuMulticastAddDevice(CUmemGenericAllocationHandle handle, CUdevice device)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (device < 0 || (unsigned)device >= sim_device_count())
        return CUDA_ERROR_INVALID_DEVICE;
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    sim_vmm_lock();
    struct sim_phys *p = multicast_of(handle);
    if (p && !(p->multicast->devices & (1ULL << device)) &&
        (unsigned)__builtin_popcountll(p->multicast->devices) < p->multicast->wanted) {
        p->multicast->devices |= 1ULL << device;
        rc = CUDA_SUCCESS;
    }
    sim_vmm_unlock();
    return rc;
}

/* ---- binding; lock held ---- */

static CUresult bind(struct sim_phys *object, CUdevice device, uint64_t offset, struct sim_phys *phys,
                     uint64_t phys_offset, uint64_t size)
{
    struct sim_multicast *m = object->multicast;
    if (device < 0)
        device = phys->device;
    if (!size || (offset | size) & (SIM_CHUNK - 1) || offset > object->size || size > object->size - offset ||
        phys_offset > phys->size || size > phys->size - phys_offset || phys->device != device)
        return CUDA_ERROR_INVALID_VALUE;
    if (!(m->devices & (1ULL << device)))
        return CUDA_ERROR_INVALID_DEVICE;
    if ((unsigned)__builtin_popcountll(m->devices) != m->wanted)
        return CUDA_ERROR_ILLEGAL_STATE;
    for (const struct binding *b = m->bindings; b; b = b->next)
        if (b->device == device && b->offset < offset + size && offset < b->offset + b->size)
            return CUDA_ERROR_INVALID_VALUE;
    struct binding *b = malloc(sizeof *b);
    if (!b)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *b = (struct binding){m->bindings, device, offset, size, phys};
    m->bindings = b;
    phys->mappings++;
    return CUDA_SUCCESS;
}

void sim_multicast_free(struct sim_multicast *m)
{
    for (struct binding *b; (b = m->bindings);) {
        m->bindings = b->next;
        sim_phys_unmapped(b->phys);
        free(b);
    }
    free(m);
}

static CUresult bind_mem(uint64_t handle, CUdevice device, uint64_t offset, uint64_t memory, uint64_t from,
                         uint64_t size, unsigned long long flags)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    sim_vmm_lock();
    struct sim_phys *object = multicast_of(handle), *phys = sim_phys_find(memory);
    CUresult rc = object && phys && !phys->multicast && !flags
                      ? bind(object, device, offset, phys, from, size)
                      : CUDA_ERROR_INVALID_VALUE;
    sim_vmm_unlock();
    return rc;
}

static CUresult bind_address(uint64_t handle, CUdevice device, uint64_t offset, CUdeviceptr address,
                             uint64_t size, unsigned long long flags)
{
    uint64_t from;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_phys *phys = size && !flags ? sim_vmm_pin(address, size, &from) : NULL;
    if (!phys)
        return CUDA_ERROR_INVALID_VALUE;
    sim_vmm_lock();
    struct sim_phys *object = multicast_of(handle);
    CUresult rc = object && !phys->multicast ? bind(object, device, offset, phys, from, size)
                                             : CUDA_ERROR_INVALID_VALUE;
    sim_phys_unmapped(phys);
    sim_vmm_unlock();
    return rc;
}

CUresult cuMulticastBindMem(CUmemGenericAllocationHandle handle, size_t offset,
                            CUmemGenericAllocationHandle memory, size_t from, size_t size,
                            unsigned long long flags)
{
    return bind_mem(handle, -1, offset, memory, from, size, flags);
}

CUresult cuMulticastBindMem_v2(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset,
                               CUmemGenericAllocationHandle memory, size_t from, size_t size,
                               unsigned long long flags)
{
    return device < 0 ? CUDA_ERROR_INVALID_DEVICE
                      : bind_mem(handle, device, offset, memory, from, size, flags);
}

CUresult cuMulticastBindAddr(CUmemGenericAllocationHandle handle, size_t offset, CUdeviceptr address,
                             size_t size, unsigned long long flags)
{
    return bind_address(handle, -1, offset, address, size, flags);
}

CUresult cuMulticastBindAddr_v2(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset,
                                CUdeviceptr address, size_t size, unsigned long long flags)
{
    return device < 0 ? CUDA_ERROR_INVALID_DEVICE
                      : bind_address(handle, device, offset, address, size, flags);
}

CUresult cuMulticastUnbind(CUmemGenericAllocationHandle handle, CUdevice device, size_t offset, size_t size)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    sim_vmm_lock();
    struct sim_phys *object = multicast_of(handle);
    struct binding **at = object ? &object->multicast->bindings : NULL;
    while (at && *at) {
        struct binding *b = *at;
        if (b->device != device || b->offset < offset || b->offset + b->size > offset + size) {
            at = &b->next;
            continue;
        }
        *at = b->next;
        sim_phys_unmapped(b->phys);
        free(b);
        rc = CUDA_SUCCESS;
    }
    sim_vmm_unlock();
    return rc;
}
