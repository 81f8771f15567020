/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools across processes: a pool's identity travels as a file descriptor, its
 * pointers as 64 bytes of data. An imported pool allocates nothing; it only
 * takes over pointers.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "mem_pool.h"
#include "mem_share.h"
#include "mem_vmm.h"

static pthread_mutex_t imports_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim_pool_import *imports;

/* ---- the pool ---- */

static int identity(struct sim_pool *p)
{
    if (p->identity_fd < 0) {
        struct sim_share what = {.kind = SIM_SHARE_POOL,
                                 .machine = p->arena->machine,
                                 .handle_types = (uint32_t)p->props.handleTypes,
                                 .location_type = p->props.location.type,
                                 .location_id = p->props.location.id};
        struct sim_bytes *bytes = sim_bytes_new(SIM_SHARE_PAGE, false);
        if (bytes && sim_bytes_share(bytes, &what, 0))
            p->identity_fd = fcntl(bytes->fd, F_DUPFD_CLOEXEC, 3);
        if (bytes)
            sim_bytes_free(bytes);
    }
    return p->identity_fd < 0 ? -1 : fcntl(p->identity_fd, F_DUPFD_CLOEXEC, 3);
}

CUresult cuMemPoolExportToShareableHandle(void *ret, CUmemoryPool handle, CUmemAllocationHandleType type,
                                          unsigned long long flags)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_pool *p = sim_pool_of(handle);
    if (!p || !ret || flags || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || p->imported ||
        !(p->props.handleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR))
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&p->arena->lock);
    int fd = identity(p);
    pthread_mutex_unlock(&p->arena->lock);
    if (fd < 0)
        return CUDA_ERROR_OPERATING_SYSTEM;
    memcpy(ret, &fd, sizeof fd);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool *ret, void *os_handle,
                                            CUmemAllocationHandleType type, unsigned long long flags)
{
    struct sim_pool *p;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret || flags || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_bytes *bytes = sim_bytes_import((int)(intptr_t)os_handle, SIM_SHARE_POOL);
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR};
    props.location.type = (CUmemLocationType)bytes->share->location_type;
    props.location.id = sim_ordinal_of(bytes->share->machine);
    sim_bytes_free(bytes);
    CUresult rc = sim_pool_new(&props, &p);
    if (rc != CUDA_SUCCESS)
        return rc;
    p->imported = true;
    *ret = (CUmemoryPool)(void *)p;
    return CUDA_SUCCESS;
}

/* ---- its pointers ---- */

CUresult cuMemPoolExportPointer(CUmemPoolPtrExportData *ret, CUdeviceptr dptr)
{
    struct sim_share_token token;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_arena *a = sim_arena_at(dptr);
    if (!ret || !a || a->device < 0)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, dptr);
    if (b && b->kind == SIM_MEM_POOLED && b->base == dptr &&
        (sim_pool_handle_types(b->owner) & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR))
        rc = sim_share_export(a, b, SIM_SHARE_POOL, &token) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_unlock(&a->lock);
    if (rc == CUDA_SUCCESS) {
        memset(ret, 0, sizeof *ret);
        memcpy(ret, &token, sizeof token);
    }
    return rc;
}

CUresult cuMemPoolImportPointer(CUdeviceptr *ret, CUmemoryPool handle, CUmemPoolPtrExportData *data)
{
    struct sim_share_token token;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_pool *p = sim_pool_of(handle);
    if (!p || !p->imported || !ret || !data)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&token, data, sizeof token);
    if (token.kind != SIM_SHARE_POOL)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_pool_import *i = malloc(sizeof *i);
    CUresult rc = i ? sim_share_open(&token, NULL, &i->address) : CUDA_ERROR_OUT_OF_MEMORY;
    if (rc != CUDA_SUCCESS) {
        free(i);
        return rc == CUDA_ERROR_INVALID_HANDLE ? CUDA_ERROR_INVALID_VALUE : rc;
    }
    *ret = i->address;
    pthread_mutex_lock(&imports_lock);
    i->next = imports;
    __atomic_store_n(&imports, i, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&imports_lock);
    return CUDA_SUCCESS;
}

bool sim_pool_forget_import(CUdeviceptr address)
{
    struct sim_pool_import *found = NULL;
    if (!__atomic_load_n(&imports, __ATOMIC_RELAXED))
        return false;
    pthread_mutex_lock(&imports_lock);
    for (struct sim_pool_import **at = &imports; *at; at = &(*at)->next) {
        if ((*at)->address != address)
            continue;
        found = *at;
        *at = found->next;
        break;
    }
    pthread_mutex_unlock(&imports_lock);
    if (!found)
        return false;
    sim_share_close(address);
    free(found);
    return true;
}
