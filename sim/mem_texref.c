/* SPDX-License-Identifier: Apache-2.0
 *
 * Texture and surface references, the older way that CUDA 12 removed from the
 * language and the driver still has: settings that are remembered.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "mem_array.h"
#include "objects.h"

struct texref {
    uint32_t tag; /* SIM_TAG_TEXREF or SIM_TAG_SURFREF */
    CUarray array;
    CUmipmappedArray mipmap;
    CUdeviceptr address;
    size_t bytes;
    CUarray_format format;
    int channels;
    CUaddress_mode modes[3];
    CUfilter_mode filter, mipmap_filter;
    float bias, clamp_min, clamp_max, border[4];
    unsigned flags, anisotropy;
};

/* Entry checks of a call on a reference: `t` is it. */
#define WITH_TEXREF(handle, condition)                                                                       \
    struct texref *t = (struct texref *)(void *)(handle);                                                    \
    if (!sim_initialized())                                                                                  \
        return CUDA_ERROR_NOT_INITIALIZED;                                                                   \
    if (!sim_object_is(t, SIM_TAG_TEXREF))                                                                   \
        return CUDA_ERROR_INVALID_HANDLE;                                                                    \
    if (!(condition))                                                                                        \
        return CUDA_ERROR_INVALID_VALUE;

static void *ref_new(enum sim_tag tag)
{
    struct texref *t = sim_object_new(tag, sizeof *t);
    if (t) {
        t->format = CU_AD_FORMAT_FLOAT;
        t->channels = 1;
    }
    return t;
}

CUresult cuTexRefCreate(CUtexref *ret)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    CUtexref t = ref_new(SIM_TAG_TEXREF);
    if (t)
        *ret = t;
    return t ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuTexRefDestroy(CUtexref handle)
{
    WITH_TEXREF(handle, true)
    sim_object_free(t);
    return CUDA_SUCCESS;
}

/* References of a module live as long as the process: any name is found. */
CUresult cuModuleGetTexRef(CUtexref *ret, CUmodule module, const char *name)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(module, SIM_TAG_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    return name && *name ? cuTexRefCreate(ret) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuModuleGetSurfRef(CUsurfref *ret, CUmodule module, const char *name)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(module, SIM_TAG_MODULE))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret || !name || !*name)
        return CUDA_ERROR_INVALID_VALUE;
    CUsurfref s = ref_new(SIM_TAG_SURFREF);
    if (s)
        *ret = s;
    return s ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuParamSetTexRef(CUfunction function, int unit, CUtexref handle)
{
    (void)unit;
    WITH_TEXREF(handle, sim_function_of(function) != NULL)
    return CUDA_SUCCESS;
}

/* ---- what is bound ---- */

CUresult cuTexRefSetArray(CUtexref handle, CUarray array, unsigned flags)
{
    WITH_TEXREF(handle, sim_array_of(array) && flags == 1)
    t->array = array;
    t->mipmap = NULL;
    t->address = 0;
    return CUDA_SUCCESS;
}

CUresult cuTexRefGetArray(CUarray *ret, CUtexref handle)
{
    WITH_TEXREF(handle, ret && t->array)
    *ret = t->array;
    return CUDA_SUCCESS;
}

CUresult cuTexRefSetMipmappedArray(CUtexref handle, CUmipmappedArray mipmap, unsigned flags)
{
    WITH_TEXREF(handle, sim_mipmap_of(mipmap) && flags == 1)
    t->mipmap = mipmap;
    t->array = NULL;
    t->address = 0;
    return CUDA_SUCCESS;
}

CUresult cuTexRefGetMipmappedArray(CUmipmappedArray *ret, CUtexref handle)
{
    WITH_TEXREF(handle, ret && t->mipmap)
    *ret = t->mipmap;
    return CUDA_SUCCESS;
}

static CUresult bind_address(struct texref *t, CUdeviceptr address, size_t bytes)
{
    struct sim_range r;
    CUresult rc = bytes ? sim_range_check(address, bytes, false, &r) : CUDA_SUCCESS;
    if (rc != CUDA_SUCCESS)
        return rc;
    t->address = address;
    t->bytes = bytes;
    t->array = NULL;
    t->mipmap = NULL;
    return CUDA_SUCCESS;
}

CUresult cuTexRefSetAddress_v2(size_t *ret_offset, CUtexref handle, CUdeviceptr address, size_t bytes)
{
    WITH_TEXREF(handle, true)
    CUresult rc = bind_address(t, address, bytes);
    if (rc == CUDA_SUCCESS && ret_offset)
        *ret_offset = 0; /* any address may be bound */
    return rc;
}

CUresult cuTexRefSetAddress(unsigned *ret_offset, CUtexref handle, CUdeviceptr_v1 address, unsigned bytes)
{
    CUresult rc = cuTexRefSetAddress_v2(NULL, handle, address, bytes);
    if (rc == CUDA_SUCCESS && ret_offset)
        *ret_offset = 0;
    return rc;
}

CUresult cuTexRefSetAddress2D_v3(CUtexref handle, const CUDA_ARRAY_DESCRIPTOR *desc, CUdeviceptr address,
                                 size_t pitch)
{
    uint64_t bytes;
    WITH_TEXREF(handle, desc && desc->Height && pitch % 32 == 0 &&
                            !__builtin_mul_overflow(pitch, desc->Height, &bytes))
    CUresult rc = bind_address(t, address, bytes);
    if (rc == CUDA_SUCCESS) {
        t->format = desc->Format;
        t->channels = (int)desc->NumChannels;
    }
    return rc;
}

CUresult cuTexRefSetAddress2D_v2(CUtexref handle, const CUDA_ARRAY_DESCRIPTOR *desc, CUdeviceptr address,
                                 size_t pitch)
{
    return cuTexRefSetAddress2D_v3(handle, desc, address, pitch);
}

CUresult cuTexRefSetAddress2D(CUtexref handle, const CUDA_ARRAY_DESCRIPTOR_v1 *desc, CUdeviceptr_v1 address,
                              unsigned pitch)
{
    if (!desc)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY_DESCRIPTOR d = {desc->Width, desc->Height, desc->Format, desc->NumChannels};
    return cuTexRefSetAddress2D_v3(handle, &d, address, pitch);
}

CUresult cuTexRefGetAddress_v2(CUdeviceptr *ret, CUtexref handle)
{
    WITH_TEXREF(handle, ret && t->address)
    *ret = t->address;
    return CUDA_SUCCESS;
}

CUresult cuTexRefGetAddress(CUdeviceptr_v1 *ret, CUtexref handle)
{
    WITH_TEXREF(handle, ret && t->address && t->address <= UINT32_MAX)
    *ret = (CUdeviceptr_v1)t->address;
    return CUDA_SUCCESS;
}

/* ---- settings ---- */

CUresult cuTexRefSetFormat(CUtexref handle, CUarray_format format, int channels)
{
    const struct sim_format *f = sim_format_of(format);
    WITH_TEXREF(handle, f && channels > 0 && sim_element_bytes(f, (unsigned)channels))
    t->format = format;
    t->channels = channels;
    return CUDA_SUCCESS;
}

CUresult cuTexRefGetFormat(CUarray_format *ret_format, int *ret_channels, CUtexref handle)
{
    WITH_TEXREF(handle, true)
    if (ret_format)
        *ret_format = t->format;
    if (ret_channels)
        *ret_channels = t->channels;
    return CUDA_SUCCESS;
}

CUresult cuTexRefSetAddressMode(CUtexref handle, int dim, CUaddress_mode mode)
{
    WITH_TEXREF(handle, dim >= 0 && dim < 3 && (unsigned)mode <= CU_TR_ADDRESS_MODE_BORDER)
    t->modes[dim] = mode;
    return CUDA_SUCCESS;
}

CUresult cuTexRefGetAddressMode(CUaddress_mode *ret, CUtexref handle, int dim)
{
    WITH_TEXREF(handle, ret && dim >= 0 && dim < 3)
    *ret = t->modes[dim];
    return CUDA_SUCCESS;
}

CUresult cuTexRefSetMipmapLevelClamp(CUtexref handle, float low, float high)
{
    WITH_TEXREF(handle, true)
    t->clamp_min = low;
    t->clamp_max = high;
    return CUDA_SUCCESS;
}

CUresult cuTexRefGetMipmapLevelClamp(float *ret_low, float *ret_high, CUtexref handle)
{
    WITH_TEXREF(handle, ret_low && ret_high)
    *ret_low = t->clamp_min;
    *ret_high = t->clamp_max;
    return CUDA_SUCCESS;
}

CUresult cuTexRefSetBorderColor(CUtexref handle, float *color)
{
    WITH_TEXREF(handle, color)
    memcpy(t->border, color, sizeof t->border);
    return CUDA_SUCCESS;
}

CUresult cuTexRefGetBorderColor(float *ret, CUtexref handle)
{
    WITH_TEXREF(handle, ret)
    memcpy(ret, t->border, sizeof t->border);
    return CUDA_SUCCESS;
}

#define SETTING(set, get, type, member, condition)                                                           \
    CUresult set(CUtexref handle, type value)                                                                \
    {                                                                                                        \
        WITH_TEXREF(handle, condition)                                                                       \
        t->member = value;                                                                                   \
        return CUDA_SUCCESS;                                                                                 \
    }                                                                                                        \
    CUresult get(type *ret, CUtexref handle)                                                                 \
    {                                                                                                        \
        WITH_TEXREF(handle, ret)                                                                             \
        *ret = t->member;                                                                                    \
        return CUDA_SUCCESS;                                                                                 \
    }
SETTING(cuTexRefSetFilterMode, cuTexRefGetFilterMode, CUfilter_mode, filter,
        (unsigned)value <= CU_TR_FILTER_MODE_LINEAR)
SETTING(cuTexRefSetMipmapFilterMode, cuTexRefGetMipmapFilterMode, CUfilter_mode, mipmap_filter,
        (unsigned)value <= CU_TR_FILTER_MODE_LINEAR)
SETTING(cuTexRefSetMipmapLevelBias, cuTexRefGetMipmapLevelBias, float, bias, true)
SETTING(cuTexRefSetFlags, cuTexRefGetFlags, unsigned, flags, value <= 0xff)

CUresult cuTexRefSetMaxAnisotropy(CUtexref handle, unsigned anisotropy)
{
    WITH_TEXREF(handle, true)
    t->anisotropy = anisotropy;
    return CUDA_SUCCESS;
}

CUresult cuTexRefGetMaxAnisotropy(int *ret, CUtexref handle)
{
    WITH_TEXREF(handle, ret)
    *ret = (int)t->anisotropy;
    return CUDA_SUCCESS;
}

/* ---- surfaces ---- */

CUresult cuSurfRefSetArray(CUsurfref handle, CUarray array, unsigned flags)
{
    struct texref *t = (struct texref *)(void *)handle;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(t, SIM_TAG_SURFREF))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!sim_array_of(array) || flags)
        return CUDA_ERROR_INVALID_VALUE;
    t->array = array;
    return CUDA_SUCCESS;
}

CUresult cuSurfRefGetArray(CUarray *ret, CUsurfref handle)
{
    const struct texref *t = (const struct texref *)(const void *)handle;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(t, SIM_TAG_SURFREF))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret || !t->array)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = t->array;
    return CUDA_SUCCESS;
}
