/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be asked of and set on a function or kernel. Nothing is known of
 * the code, so the answers are those of a modest kernel.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "objects.h"

void sim_function_defaults(struct sim_function *f)
{
    const struct sim_device_profile *d = &sim_state->profile.devices[0];
    int version = (int)(d->cc_major * 10 + d->cc_minor);
    f->attributes[CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK] = 1024;
    f->attributes[CU_FUNC_ATTRIBUTE_NUM_REGS] = 32;
    f->attributes[CU_FUNC_ATTRIBUTE_PTX_VERSION] = version;
    f->attributes[CU_FUNC_ATTRIBUTE_BINARY_VERSION] = version;
    f->attributes[CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES] = 48 << 10;
    f->attributes[CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT] = -1;
}

static CUresult function(CUfunction handle, struct sim_function **ret)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    *ret = sim_function_of(handle);
    return *ret != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult get_attribute(int *ret, CUfunction_attribute a, CUfunction handle)
{
    struct sim_function *f;
    CUresult r = function(handle, &f);
    if (r != CUDA_SUCCESS)
        return r;
    if (ret == NULL || a < 0 || a >= CU_FUNC_ATTRIBUTE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = f->attributes[a];
    return CUDA_SUCCESS;
}

static bool can_set(CUfunction_attribute a)
{
    return a == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ||
           a == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT ||
           a == CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH || a == CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT ||
           a == CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH ||
           a == CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED ||
           a == CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE;
}

static CUresult set_attribute(CUfunction handle, CUfunction_attribute a, int value)
{
    struct sim_function *f;
    CUresult r = function(handle, &f);
    if (r != CUDA_SUCCESS)
        return r;
    int most = 0;
    r = cuDeviceGetAttribute(&most, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 0);
    if (r != CUDA_SUCCESS)
        return r;
    if (!can_set(a) || (a == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES && (value < 0 || value > most)))
        return CUDA_ERROR_INVALID_VALUE;
    f->attributes[a] = value;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *ret, CUfunction_attribute a, CUfunction f)
{
    return get_attribute(ret, a, f);
}

CUresult cuFuncSetAttribute(CUfunction f, CUfunction_attribute a, int value)
{
    return set_attribute(f, a, value);
}

CUresult cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache config)
{
    struct sim_function *f;
    (void)config;
    return function(handle, &f);
}

CUresult cuFuncSetSharedMemConfig(CUfunction handle, CUsharedconfig config)
{
    struct sim_function *f;
    (void)config;
    return function(handle, &f);
}

CUresult cuFuncGetModule(CUmodule *ret, CUfunction handle)
{
    struct sim_function *f;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : function(handle, &f);
    if (r == CUDA_SUCCESS)
        *ret = (CUmodule)(f->module->twin != NULL ? f->module->twin : f->module);
    return r;
}

CUresult cuFuncGetName(const char **ret, CUfunction handle)
{
    struct sim_function *f;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : function(handle, &f);
    if (r == CUDA_SUCCESS)
        *ret = f->name;
    return r;
}

/* Only the parameter of sim_arg is known; of other kernels nothing can be told. */
CUresult cuFuncGetParamInfo(CUfunction handle, size_t index, size_t *offset, size_t *size)
{
    struct sim_function *f;
    CUresult r = offset == NULL ? CUDA_ERROR_INVALID_VALUE : function(handle, &f);
    if (r != CUDA_SUCCESS)
        return r;
    if (!f->from_parameter || index > 0)
        return CUDA_ERROR_INVALID_VALUE;
    *offset = 0;
    if (size != NULL)
        *size = sizeof(uint64_t);
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamCount(CUfunction handle, size_t *ret)
{
    struct sim_function *f;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : function(handle, &f);
    if (r == CUDA_SUCCESS)
        *ret = f->from_parameter ? 1 : 0;
    return r;
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState *ret, CUfunction handle)
{
    struct sim_function *f;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : function(handle, &f);
    if (r == CUDA_SUCCESS)
        *ret = CU_FUNCTION_LOADING_STATE_LOADED;
    return r;
}

CUresult cuFuncLoad(CUfunction handle)
{
    struct sim_function *f;
    return function(handle, &f);
}

/* ---- kernels: the same objects ---- */

#define AS_FUNCTION(kernel) ((CUfunction)(void *)(kernel))

CUresult cuKernelGetFunction(CUfunction *ret, CUkernel kernel)
{
    struct sim_function *f;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : function(AS_FUNCTION(kernel), &f);
    if (r == CUDA_SUCCESS)
        *ret = AS_FUNCTION(kernel);
    return r;
}

CUresult cuKernelGetLibrary(CUlibrary *ret, CUkernel kernel)
{
    struct sim_function *f;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : function(AS_FUNCTION(kernel), &f);
    if (r == CUDA_SUCCESS)
        *ret = (CUlibrary)f->module;
    return r;
}

CUresult cuKernelGetName(const char **ret, CUkernel kernel)
{
    return cuFuncGetName(ret, AS_FUNCTION(kernel));
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t *offset, size_t *size)
{
    return cuFuncGetParamInfo(AS_FUNCTION(kernel), index, offset, size);
}

CUresult cuKernelGetParamCount(CUkernel kernel, size_t *ret)
{
    return cuFuncGetParamCount(AS_FUNCTION(kernel), ret);
}

CUresult cuKernelGetAttribute(int *ret, CUfunction_attribute a, CUkernel kernel, CUdevice dev)
{
    struct sim_part part;
    if (!sim_ordinal_part(dev, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    return get_attribute(ret, a, AS_FUNCTION(kernel));
}

CUresult cuKernelSetAttribute(CUfunction_attribute a, int value, CUkernel kernel, CUdevice dev)
{
    struct sim_part part;
    if (!sim_ordinal_part(dev, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    return set_attribute(AS_FUNCTION(kernel), a, value);
}

CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice dev)
{
    struct sim_part part;
    if (!sim_ordinal_part(dev, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    return cuFuncSetCacheConfig(AS_FUNCTION(kernel), config);
}

/* ---- the launch interface of CUDA 2: shape and parameters set beforehand ---- */

CUresult cuFuncSetBlockShape(CUfunction handle, int x, int y, int z)
{
    struct sim_function *f;
    CUresult r = function(handle, &f);
    if (r != CUDA_SUCCESS)
        return r;
    if (x <= 0 || y <= 0 || z <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    f->legacy_block[0] = (unsigned)x;
    f->legacy_block[1] = (unsigned)y;
    f->legacy_block[2] = (unsigned)z;
    return CUDA_SUCCESS;
}

CUresult cuFuncSetSharedSize(CUfunction handle, unsigned int bytes)
{
    struct sim_function *f;
    CUresult r = function(handle, &f);
    if (r == CUDA_SUCCESS)
        f->legacy_shared = bytes;
    return r;
}

CUresult cuParamSetSize(CUfunction handle, unsigned int bytes)
{
    struct sim_function *f;
    CUresult r = function(handle, &f);
    if (r == CUDA_SUCCESS && bytes > 4096)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        f->legacy_size = bytes;
    return r;
}

CUresult cuParamSetv(CUfunction handle, int offset, void *value, unsigned int bytes)
{
    struct sim_function *f;
    CUresult r = function(handle, &f);
    if (r != CUDA_SUCCESS)
        return r;
    if (value == NULL || offset < 0)
        return CUDA_ERROR_INVALID_VALUE;
    size_t at = (size_t)offset, room = sizeof(f->legacy_parameters);
    if (at < room) /* only the first bytes can matter to a price */
        memcpy(f->legacy_parameters + at, value, bytes < room - at ? bytes : room - at);
    return CUDA_SUCCESS;
}

CUresult cuParamSeti(CUfunction f, int offset, unsigned int value)
{
    return cuParamSetv(f, offset, &value, sizeof(value));
}

CUresult cuParamSetf(CUfunction f, int offset, float value)
{
    return cuParamSetv(f, offset, &value, sizeof(value));
}

static CUresult launch_grid(CUfunction handle, int width, int height, CUstream stream)
{
    struct sim_function *f;
    CUresult r = function(handle, &f);
    if (r != CUDA_SUCCESS)
        return r;
    if (width <= 0 || height <= 0 || f->legacy_block[0] == 0)
        return CUDA_ERROR_INVALID_VALUE;
    void *parameters[2] = {f->legacy_parameters, NULL};
    return cuLaunchKernel(handle, (unsigned)width, (unsigned)height, 1, f->legacy_block[0],
                          f->legacy_block[1], f->legacy_block[2], f->legacy_shared, stream, parameters, NULL);
}

CUresult cuLaunch(CUfunction f)
{
    return launch_grid(f, 1, 1, NULL);
}

CUresult cuLaunchGrid(CUfunction f, int width, int height)
{
    return launch_grid(f, width, height, NULL);
}

CUresult cuLaunchGridAsync(CUfunction f, int width, int height, CUstream stream)
{
    return launch_grid(f, width, height, stream);
}
