/* SPDX-License-Identifier: Apache-2.0
 *
 * Modules, libraries, kernels and functions. Any image is taken for good and
 * any name is found: nothing is ever compiled. A library's kernel and the
 * function of it are one object.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/cuda_api.h"
#include "objects.h"

static struct sim_module *new_module(enum sim_tag tag, struct sim_context *ctx)
{
    struct sim_module *m = sim_object_new(tag, sizeof(*m));
    if (m != NULL)
        m->ctx = ctx;
    return m;
}

static CUresult load(CUmodule *ret, const void *image)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (ret == NULL || image == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    r = sim_capture_unsafe_call();
    if (r != CUDA_SUCCESS)
        return r;
    struct sim_module *m = new_module(SIM_TAG_MODULE, ctx);
    if (m == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = (CUmodule)m;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *ret, const void *image)
{
    return load(ret, image);
}

CUresult cuModuleLoadDataEx(CUmodule *ret, const void *image, unsigned int n, CUjit_option *options,
                            void **values)
{
    if (n > 0 && (options == NULL || values == NULL))
        return CUDA_ERROR_INVALID_VALUE;
    return load(ret, image);
}

CUresult cuModuleLoadFatBinary(CUmodule *ret, const void *image)
{
    return load(ret, image);
}

static struct sim_function *find_function(struct sim_module *m, const char *name)
{
    for (struct sim_function *f = m->functions; f != NULL; f = f->next)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

/* Driver lock held. */
static struct sim_function *function_named(struct sim_module *m, const char *name)
{
    struct sim_function *f = find_function(m, name);
    if (f != NULL)
        return f;
    f = sim_object_new(SIM_TAG_FUNCTION, sizeof(*f));
    if (f == NULL)
        return NULL;
    f->name = strdup(name);
    if (f->name == NULL) {
        sim_object_free(f);
        return NULL;
    }
    f->module = m;
    sim_function_defaults(f);
    sim_cost_of_name(f);
    f->next = m->functions;
    m->functions = f;
    return f;
}

struct sim_function *sim_function_of(CUfunction handle)
{
    return sim_object_is(handle, SIM_TAG_FUNCTION) ? (struct sim_function *)handle : NULL;
}

CUresult sim_module_function(void *module, enum sim_tag tag, const char *name, struct sim_function **ret)
{
    struct sim_module *m = module;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(m, tag))
        return CUDA_ERROR_INVALID_HANDLE;
    if (name == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (name[0] == '\0')
        return CUDA_ERROR_NOT_FOUND;
    pthread_mutex_lock(&sim_driver_lock);
    *ret = function_named(m, name);
    pthread_mutex_unlock(&sim_driver_lock);
    return *ret != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuModuleGetFunction(CUfunction *ret, CUmodule module, const char *name)
{
    struct sim_function *f;
    CUresult r =
        ret == NULL ? CUDA_ERROR_INVALID_VALUE : sim_module_function(module, SIM_TAG_MODULE, name, &f);
    if (r == CUDA_SUCCESS)
        *ret = (CUfunction)f;
    return r;
}

static void free_module(struct sim_module *m)
{
    while (m->functions != NULL) {
        struct sim_function *f = m->functions;
        m->functions = f->next;
        free(f->name);
        f->name = NULL;
        sim_object_free(f);
    }
    sim_globals_free(m);
    sim_object_free(m);
}

CUresult sim_module_unload(void *module, enum sim_tag tag)
{
    struct sim_module *m = module;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(m, tag))
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult r = tag == SIM_TAG_MODULE ? sim_capture_unsafe_call() : CUDA_SUCCESS;
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    if (m->twin != NULL)
        free_module(m->twin);
    free_module(m);
    pthread_mutex_unlock(&sim_driver_lock);
    return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module)
{
    return sim_module_unload(module, SIM_TAG_MODULE);
}
