/* SPDX-License-Identifier: Apache-2.0
 *
 * Libraries (context-independent modules), the linker, and what modules have
 * besides functions.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "memory.h"
#include "objects.h"

/* ---- global variables: any name is found, with some bytes behind it ---- */

#define GLOBAL_BYTES 4096u

struct sim_global {
    struct sim_global *next;
    CUdeviceptr at;
    char name[];
};

void sim_globals_free(struct sim_module *m)
{
    while (m->globals != NULL) {
        struct sim_global *g = m->globals;
        m->globals = g->next;
        sim_memory_global_free(g->at);
        free(g);
    }
}

static CUresult global(CUdeviceptr *at, size_t *bytes, struct sim_module *m, const char *name)
{
    if (name == NULL || name[0] == '\0')
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_context *ctx = m->ctx;
    CUresult r = ctx == NULL ? sim_current(&ctx) : CUDA_SUCCESS;
    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&sim_driver_lock);
    struct sim_global *g = m->globals;
    while (g != NULL && strcmp(g->name, name) != 0)
        g = g->next;
    pthread_mutex_unlock(&sim_driver_lock);
    if (g == NULL) {
        g = malloc(sizeof(*g) + strlen(name) + 1);
        CUdeviceptr made = g != NULL ? sim_memory_global(ctx, GLOBAL_BYTES) : 0;
        if (made == 0) {
            free(g);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
        g->at = made;
        memcpy(g->name, name, strlen(name) + 1);
        pthread_mutex_lock(&sim_driver_lock);
        g->next = m->globals;
        m->globals = g;
        pthread_mutex_unlock(&sim_driver_lock);
    }
    if (at != NULL)
        *at = g->at;
    if (bytes != NULL)
        *bytes = GLOBAL_BYTES;
    return CUDA_SUCCESS;
}

static CUresult module_of(void *handle, enum sim_tag tag, struct sim_module **ret)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(handle, tag))
        return CUDA_ERROR_INVALID_HANDLE;
    *ret = handle;
    return CUDA_SUCCESS;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *at, size_t *bytes, CUmodule module, const char *name)
{
    struct sim_module *m;
    CUresult r = module_of(module, SIM_TAG_MODULE, &m);
    return r == CUDA_SUCCESS ? global(at, bytes, m, name) : r;
}

CUresult cuLibraryGetGlobal(CUdeviceptr *at, size_t *bytes, CUlibrary library, const char *name)
{
    struct sim_module *m;
    CUresult r = module_of(library, SIM_TAG_LIBRARY, &m);
    return r == CUDA_SUCCESS ? global(at, bytes, m, name) : r;
}

CUresult cuLibraryGetManaged(CUdeviceptr *at, size_t *bytes, CUlibrary library, const char *name)
{
    return cuLibraryGetGlobal(at, bytes, library, name);
}

CUresult cuLibraryGetUnifiedFunction(void **ret, CUlibrary library, const char *name)
{
    (void)library, (void)name;
    if (ret == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    return CUDA_ERROR_NOT_FOUND; /* a pointer that the host could call into nothing */
}

/* ---- files ---- */

CUresult cuModuleLoad(CUmodule *ret, const char *path)
{
    if (path == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (access(path, R_OK) != 0)
        return CUDA_ERROR_FILE_NOT_FOUND;
    return cuModuleLoadData(ret, path);
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode *ret)
{
    if (ret == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    const char *mode = getenv("CUDA_MODULE_LOADING");
    *ret = mode != NULL && strcmp(mode, "EAGER") == 0 ? CU_MODULE_EAGER_LOADING : CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
}

static unsigned count(const struct sim_module *m)
{
    unsigned n = 0;
    for (const struct sim_function *f = m->functions; f != NULL; f = f->next)
        n++;
    return n;
}

/* Only functions that have been asked for by name are known. */
CUresult cuModuleGetFunctionCount(unsigned int *ret, CUmodule module)
{
    struct sim_module *m;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : module_of(module, SIM_TAG_MODULE, &m);
    if (r == CUDA_SUCCESS)
        *ret = count(m);
    return r;
}

CUresult cuModuleEnumerateFunctions(CUfunction *ret, unsigned int n, CUmodule module)
{
    struct sim_module *m;
    CUresult r = ret == NULL && n > 0 ? CUDA_ERROR_INVALID_VALUE : module_of(module, SIM_TAG_MODULE, &m);
    if (r != CUDA_SUCCESS)
        return r;
    struct sim_function *f = m->functions;
    for (unsigned i = 0; i < n; i++, f = f != NULL ? f->next : NULL)
        ret[i] = (CUfunction)f;
    return CUDA_SUCCESS;
}

/* ---- libraries ---- */

static CUresult new_library(CUlibrary *ret)
{
    struct sim_module *m = sim_object_new(SIM_TAG_LIBRARY, sizeof(*m));
    if (m == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    m->twin = sim_object_new(SIM_TAG_MODULE, sizeof(*m));
    *ret = (CUlibrary)m;
    return m->twin != NULL ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuLibraryLoadData(CUlibrary *ret, const void *code, CUjit_option *jit, void **jit_values,
                           unsigned int n_jit, CUlibraryOption *options, void **values, unsigned int n)
{
    (void)jit, (void)jit_values, (void)n_jit, (void)options, (void)values, (void)n;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (ret == NULL || code == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    return new_library(ret);
}

CUresult cuLibraryLoadFromFile(CUlibrary *ret, const char *path, CUjit_option *jit, void **jit_values,
                               unsigned int n_jit, CUlibraryOption *options, void **values, unsigned int n)
{
    if (path != NULL && access(path, R_OK) != 0)
        return CUDA_ERROR_FILE_NOT_FOUND;
    return cuLibraryLoadData(ret, path, jit, jit_values, n_jit, options, values, n);
}

CUresult cuLibraryUnload(CUlibrary library)
{
    return sim_module_unload(library, SIM_TAG_LIBRARY);
}

CUresult cuLibraryGetKernel(CUkernel *ret, CUlibrary library, const char *name)
{
    struct sim_function *f;
    CUresult r =
        ret == NULL ? CUDA_ERROR_INVALID_VALUE : sim_module_function(library, SIM_TAG_LIBRARY, name, &f);
    if (r == CUDA_SUCCESS)
        *ret = (CUkernel)f;
    return r;
}

CUresult cuLibraryGetKernelCount(unsigned int *ret, CUlibrary library)
{
    struct sim_module *m;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : module_of(library, SIM_TAG_LIBRARY, &m);
    if (r == CUDA_SUCCESS)
        *ret = count(m);
    return r;
}

CUresult cuLibraryEnumerateKernels(CUkernel *ret, unsigned int n, CUlibrary library)
{
    struct sim_module *m;
    CUresult r = ret == NULL && n > 0 ? CUDA_ERROR_INVALID_VALUE : module_of(library, SIM_TAG_LIBRARY, &m);
    if (r != CUDA_SUCCESS)
        return r;
    struct sim_function *f = m->functions;
    for (unsigned i = 0; i < n; i++, f = f != NULL ? f->next : NULL)
        ret[i] = (CUkernel)f;
    return CUDA_SUCCESS;
}

CUresult cuLibraryGetModule(CUmodule *ret, CUlibrary library)
{
    struct sim_module *m;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : module_of(library, SIM_TAG_LIBRARY, &m);
    if (r == CUDA_SUCCESS)
        *ret = (CUmodule)m->twin;
    return r;
}

/* ---- the linker: what comes out is a stand-in for an image ---- */

struct link_state {
    uint32_t tag;
    char image[64];
};

static const char linked[] = "// linked by the simulated driver";

CUresult cuLinkCreate_v2(unsigned int n, CUjit_option *options, void **values, CUlinkState *ret)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (ret == NULL || (n > 0 && (options == NULL || values == NULL)))
        return CUDA_ERROR_INVALID_VALUE;
    struct link_state *l = sim_object_new(SIM_TAG_LINK, sizeof(*l));
    if (l == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(l->image, linked, sizeof(linked));
    *ret = (CUlinkState)l;
    return CUDA_SUCCESS;
}

CUresult cuLinkCreate(unsigned int n, CUjit_option *options, void **values, CUlinkState *ret)
{
    return cuLinkCreate_v2(n, options, values, ret);
}

CUresult cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void *data, size_t size, const char *name,
                          unsigned int n, CUjit_option *options, void **values)
{
    (void)type, (void)name, (void)n, (void)options, (void)values;
    if (!sim_object_is(state, SIM_TAG_LINK))
        return CUDA_ERROR_INVALID_HANDLE;
    return data != NULL && size > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuLinkAddData(CUlinkState state, CUjitInputType type, void *data, size_t size, const char *name,
                       unsigned int n, CUjit_option *options, void **values)
{
    return cuLinkAddData_v2(state, type, data, size, name, n, options, values);
}

CUresult cuLinkAddFile_v2(CUlinkState state, CUjitInputType type, const char *path, unsigned int n,
                          CUjit_option *options, void **values)
{
    (void)type, (void)n, (void)options, (void)values;
    if (!sim_object_is(state, SIM_TAG_LINK))
        return CUDA_ERROR_INVALID_HANDLE;
    if (path == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    return access(path, R_OK) == 0 ? CUDA_SUCCESS : CUDA_ERROR_FILE_NOT_FOUND;
}

CUresult cuLinkAddFile(CUlinkState state, CUjitInputType type, const char *path, unsigned int n,
                       CUjit_option *options, void **values)
{
    return cuLinkAddFile_v2(state, type, path, n, options, values);
}

CUresult cuLinkComplete(CUlinkState state, void **image, size_t *size)
{
    struct link_state *l = (struct link_state *)state;
    if (!sim_object_is(l, SIM_TAG_LINK))
        return CUDA_ERROR_INVALID_HANDLE;
    if (image == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *image = l->image;
    if (size != NULL)
        *size = sizeof(linked);
    return CUDA_SUCCESS;
}

CUresult cuLinkDestroy(CUlinkState state)
{
    if (!sim_object_is(state, SIM_TAG_LINK))
        return CUDA_ERROR_INVALID_HANDLE;
    sim_object_free(state);
    return CUDA_SUCCESS;
}
