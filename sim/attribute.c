/* SPDX-License-Identifier: Apache-2.0
 *
 * Device attributes: what the profile says, and else what a card of today
 * answers. Attributes that would turn on what is not simulated are 0; unknown
 * ones of a newer release are 0 as well.
 */
#include <stdio.h>
#include <string.h>

#include "abi/cuda_api.h"
#include "objects.h"

#define A(name) [CU_DEVICE_ATTRIBUTE_##name]

/* What does not depend on the profile. */
static const int fixed[CU_DEVICE_ATTRIBUTE_MAX] = {
    A(MAX_THREADS_PER_BLOCK) = 1024,
    A(MAX_BLOCK_DIM_X) = 1024,
    A(MAX_BLOCK_DIM_Y) = 1024,
    A(MAX_BLOCK_DIM_Z) = 64,
    A(MAX_GRID_DIM_X) = 0x7fffffff,
    A(MAX_GRID_DIM_Y) = 65535,
    A(MAX_GRID_DIM_Z) = 65535,
    A(MAX_SHARED_MEMORY_PER_BLOCK) = 48 << 10,
    A(TOTAL_CONSTANT_MEMORY) = 64 << 10,
    A(WARP_SIZE) = 32,
    A(MAX_PITCH) = 0x7fffffff,
    A(MAX_REGISTERS_PER_BLOCK) = 65536,
    A(TEXTURE_ALIGNMENT) = 512,
    A(GPU_OVERLAP) = 1,
    A(CAN_MAP_HOST_MEMORY) = 1,
    A(MAXIMUM_TEXTURE1D_WIDTH) = 131072,
    A(MAXIMUM_TEXTURE2D_WIDTH) = 131072,
    A(MAXIMUM_TEXTURE2D_HEIGHT) = 65536,
    A(MAXIMUM_TEXTURE3D_WIDTH) = 16384,
    A(MAXIMUM_TEXTURE3D_HEIGHT) = 16384,
    A(MAXIMUM_TEXTURE3D_DEPTH) = 16384,
    A(MAXIMUM_TEXTURE2D_LAYERED_WIDTH) = 32768,
    A(MAXIMUM_TEXTURE2D_LAYERED_HEIGHT) = 32768,
    A(MAXIMUM_TEXTURE2D_LAYERED_LAYERS) = 2048,
    A(SURFACE_ALIGNMENT) = 512,
    A(CONCURRENT_KERNELS) = 1,
    A(ASYNC_ENGINE_COUNT) = 3,
    A(UNIFIED_ADDRESSING) = 1,
    A(MAXIMUM_TEXTURE1D_LAYERED_WIDTH) = 32768,
    A(MAXIMUM_TEXTURE1D_LAYERED_LAYERS) = 2048,
    A(MAXIMUM_TEXTURE2D_GATHER_WIDTH) = 32768,
    A(MAXIMUM_TEXTURE2D_GATHER_HEIGHT) = 32768,
    A(MAXIMUM_TEXTURE3D_WIDTH_ALTERNATE) = 8192,
    A(MAXIMUM_TEXTURE3D_HEIGHT_ALTERNATE) = 8192,
    A(MAXIMUM_TEXTURE3D_DEPTH_ALTERNATE) = 32768,
    A(TEXTURE_PITCH_ALIGNMENT) = 32,
    A(MAXIMUM_TEXTURECUBEMAP_WIDTH) = 32768,
    A(MAXIMUM_TEXTURECUBEMAP_LAYERED_WIDTH) = 32768,
    A(MAXIMUM_TEXTURECUBEMAP_LAYERED_LAYERS) = 2046,
    A(MAXIMUM_SURFACE1D_WIDTH) = 32768,
    A(MAXIMUM_SURFACE2D_WIDTH) = 131072,
    A(MAXIMUM_SURFACE2D_HEIGHT) = 65536,
    A(MAXIMUM_SURFACE3D_WIDTH) = 16384,
    A(MAXIMUM_SURFACE3D_HEIGHT) = 16384,
    A(MAXIMUM_SURFACE3D_DEPTH) = 16384,
    A(MAXIMUM_SURFACE1D_LAYERED_WIDTH) = 32768,
    A(MAXIMUM_SURFACE1D_LAYERED_LAYERS) = 2048,
    A(MAXIMUM_SURFACE2D_LAYERED_WIDTH) = 32768,
    A(MAXIMUM_SURFACE2D_LAYERED_HEIGHT) = 32768,
    A(MAXIMUM_SURFACE2D_LAYERED_LAYERS) = 2048,
    A(MAXIMUM_SURFACECUBEMAP_WIDTH) = 32768,
    A(MAXIMUM_SURFACECUBEMAP_LAYERED_WIDTH) = 32768,
    A(MAXIMUM_SURFACECUBEMAP_LAYERED_LAYERS) = 2046,
    A(MAXIMUM_TEXTURE1D_LINEAR_WIDTH) = 268435456,
    A(MAXIMUM_TEXTURE2D_LINEAR_WIDTH) = 131072,
    A(MAXIMUM_TEXTURE2D_LINEAR_HEIGHT) = 65000,
    A(MAXIMUM_TEXTURE2D_LINEAR_PITCH) = 2097120,
    A(MAXIMUM_TEXTURE2D_MIPMAPPED_WIDTH) = 32768,
    A(MAXIMUM_TEXTURE2D_MIPMAPPED_HEIGHT) = 32768,
    A(MAXIMUM_TEXTURE1D_MIPMAPPED_WIDTH) = 32768,
    A(STREAM_PRIORITIES_SUPPORTED) = 1,
    A(GLOBAL_L1_CACHE_SUPPORTED) = 1,
    A(LOCAL_L1_CACHE_SUPPORTED) = 1,
    A(MAX_REGISTERS_PER_MULTIPROCESSOR) = 65536,
    A(MANAGED_MEMORY) = 1,
    A(SINGLE_TO_DOUBLE_PRECISION_PERF_RATIO) = 2,
    A(CONCURRENT_MANAGED_ACCESS) = 1,
    A(COMPUTE_PREEMPTION_SUPPORTED) = 1,
    A(CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM) = 1,
    A(CAN_USE_STREAM_MEM_OPS_V1) = 1,
    A(CAN_USE_64_BIT_STREAM_MEM_OPS_V1) = 1,
    A(CAN_USE_STREAM_WAIT_VALUE_NOR_V1) = 1,
    A(COOPERATIVE_LAUNCH) = 1,
    A(HOST_REGISTER_SUPPORTED) = 1,
    A(VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) = 1,
    A(HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED) = 1,
    A(RESERVED_SHARED_MEMORY_PER_BLOCK) = 1024,
    A(READ_ONLY_HOST_REGISTER_SUPPORTED) = 1,
    A(MEMORY_POOLS_SUPPORTED) = 1,
    A(MEMPOOL_SUPPORTED_HANDLE_TYPES) = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
    A(CAN_USE_64_BIT_STREAM_MEM_OPS) = 1,
    A(CAN_USE_STREAM_WAIT_VALUE_NOR) = 1,
    A(IPC_EVENT_SUPPORTED) = 1,
    A(MEM_SYNC_DOMAIN_COUNT) = 1,
    A(UNIFIED_FUNCTION_POINTERS) = 1,
};

/* Shared memory of an SM and threads on it follow from the compute capability. */
static const struct {
    unsigned cc; /* major * 10 + minor, and everything up to the next row */
    int shared_sm_kib, shared_optin_kib, threads, blocks;
} generations[] = {
    {0, 64, 48, 2048, 32},    {70, 96, 96, 2048, 32},    {75, 64, 64, 1024, 16},
    {80, 164, 163, 2048, 32}, {86, 100, 99, 1536, 16},   {89, 100, 99, 1536, 24},
    {90, 228, 227, 2048, 32}, {100, 228, 227, 2048, 32}, {120, 100, 99, 1536, 24},
};

static size_t generation(const struct sim_device_profile *d)
{
    size_t best = 0;
    for (size_t i = 0; i < sizeof(generations) / sizeof(generations[0]); i++)
        if (generations[i].cc <= d->cc_major * 10 + d->cc_minor)
            best = i;
    return best;
}

static int pci_field(const struct sim_device_profile *d, unsigned which)
{
    unsigned domain = 0, bus = 0, device = 0;
    if (sscanf(d->pci_bus_id, "%x:%x:%x", &domain, &bus, &device) != 3)
        return 0;
    return (int)(which == 0 ? domain : which == 1 ? bus : device);
}

/* What the profile decides. False: nothing, ask the table. */
static bool from_profile(const struct sim_device_profile *d, unsigned part, CUdevice_attribute a, int *ret)
{
    size_t g = generation(d);
    switch ((int)a) {
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
        return *ret = (int)d->clock_mhz * 1000, true;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        return *ret = (int)(part > 0 ? d->mig[part - 1].sm_count : d->sm_count), true;
    case CU_DEVICE_ATTRIBUTE_INTEGRATED:
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS:
    case CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS_USES_HOST_PAGE_TABLES:
    case CU_DEVICE_ATTRIBUTE_DIRECT_MANAGED_MEM_ACCESS_FROM_HOST:
    case CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED:
        return *ret = d->unified_memory, true;
    case CU_DEVICE_ATTRIBUTE_ECC_ENABLED:
        return *ret = d->cc_major >= 8 && !d->unified_memory, true;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID:
        return *ret = pci_field(d, 1), true;
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
        return *ret = pci_field(d, 2), true;
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID:
        return *ret = pci_field(d, 0), true;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
        return *ret = (int)d->mem_clock_mhz * 1000, true;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
        return *ret = (int)d->bus_width_bits, true;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
        return *ret = (int)d->l2_kib << 10, true;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
        return *ret = generations[g].threads, true;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR:
        return *ret = generations[g].blocks, true;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
        return *ret = generations[g].shared_sm_kib << 10, true;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
        return *ret = generations[g].shared_optin_kib << 10, true;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        return *ret = (int)d->cc_major, true;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        return *ret = (int)d->cc_minor, true;
    case CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID:
        return *ret = (int)d->numa_node, true;
    case CU_DEVICE_ATTRIBUTE_NUMA_ID:
        return *ret = -1, true;
    default:
        return false;
    }
}

CUresult cuDeviceGetAttribute(int *ret, CUdevice_attribute attribute, CUdevice dev)
{
    struct sim_part part;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (ret == NULL || attribute <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_ordinal_part(dev, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    if (from_profile(&sim_state->profile.devices[part.device], part.part, attribute, ret))
        return CUDA_SUCCESS;
    *ret = attribute < CU_DEVICE_ATTRIBUTE_MAX ? fixed[attribute] : 0;
    return CUDA_SUCCESS;
}

/* The structure of CUDA 2, still exported. */
CUresult cuDeviceGetProperties(CUdevprop *ret, CUdevice dev)
{
    static const CUdevice_attribute fields[] = {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK,
                                                CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X,
                                                CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y,
                                                CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z,
                                                CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X,
                                                CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y,
                                                CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z,
                                                CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK,
                                                CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY,
                                                CU_DEVICE_ATTRIBUTE_WARP_SIZE,
                                                CU_DEVICE_ATTRIBUTE_MAX_PITCH,
                                                CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK,
                                                CU_DEVICE_ATTRIBUTE_CLOCK_RATE,
                                                CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT};
    int values[sizeof(fields) / sizeof(fields[0])];
    _Static_assert(sizeof(values) == sizeof(CUdevprop), "the structure is these fields in this order");
    if (ret == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        CUresult r = cuDeviceGetAttribute(&values[i], fields[i], dev);
        if (r != CUDA_SUCCESS)
            return r;
    }
    memcpy(ret, values, sizeof(values));
    return CUDA_SUCCESS;
}
