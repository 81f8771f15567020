/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of an arena that several processes see. The exporter exchanges the
 * pages behind a block for a file without a name; importers reach it through
 * the exporter's descriptor table in /proc, so that nothing is left behind when
 * it dies, and check by inode that the descriptor still is the file meant.
 */
#include "mem_share.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "copy_job.h"
#include "mem_vmm.h"

struct opened {
    struct opened *next;
    uint64_t inode;
    struct sim_arena *arena;
    struct sim_block *block;
    unsigned refs;
};

static pthread_mutex_t opened_lock = PTHREAD_MUTEX_INITIALIZER; /* before any arena's */
static struct opened *opened;

/* ---- exporting; the arena's lock held ---- */

static bool exchange(struct sim_arena *a, struct sim_block *b, enum sim_share_kind kind)
{
    struct sim_bytes *bytes = calloc(1, sizeof *bytes);
    struct sim_share what = {.kind = (uint32_t)kind,
                             .machine = a->machine,
                             .location_type = CU_MEM_LOCATION_TYPE_DEVICE,
                             .location_id = a->device};
    if (!bytes)
        return false;
    *bytes = (struct sim_bytes){.size = b->span, .real = b->real, .fd = -1, .holder = -1};
    sim_bytes_lock(true);
    bool ok = sim_bytes_share(bytes, &what, b->base) && sim_bytes_map(bytes, 0, b->base, b->span);
    sim_bytes_unlock();
    if (!ok) {
        sim_bytes_free(bytes);
        return false;
    }
    b->bytes = bytes;
    return true;
}

bool sim_share_token_of(const struct sim_bytes *bytes, enum sim_share_kind kind, struct sim_share_token *ret)
{
    struct stat st;
    if (fstat(bytes->fd, &st) != 0)
        return false;
    *ret = (struct sim_share_token){
        .magic = SIM_SHARE_MAGIC,
        .pid = (int32_t)getpid(),
        .fd = bytes->fd,
        .inode = (uint64_t)st.st_ino,
        .kind = (uint32_t)kind,
    };
    return true;
}

bool sim_share_export(struct sim_arena *a, struct sim_block *b, enum sim_share_kind kind,
                      struct sim_share_token *ret)
{
    struct sim_block *whole = b->region->unit_shift == SIM_CHUNK_SHIFT ? b : b->region->owner;
    if ((!whole->bytes && !exchange(a, whole, kind)) || !sim_share_token_of(whole->bytes, kind, ret))
        return false;
    ret->offset = b->base - whole->base;
    ret->size = b->size;
    return true;
}

/* ---- importing ---- */

struct sim_bytes *sim_share_fetch(const struct sim_share_token *t)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", t->pid, t->fd);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct sim_bytes *bytes = NULL;
    if (fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_ino == t->inode)
        bytes = sim_bytes_import(fd, (enum sim_share_kind)t->kind);
    if (fd >= 0)
        close(fd);
    return bytes;
}

static CUresult place(struct sim_bytes *bytes, struct sim_context *ctx, struct opened *ret)
{
    CUdevice device = sim_ordinal_of(bytes->share->machine);
    struct sim_arena *a = device >= 0 ? sim_arena(device) : NULL;
    if (!a)
        return CUDA_ERROR_INVALID_DEVICE;
    struct sim_request q = {.kind = SIM_MEM_SHARED,
                            .size = bytes->size,
                            .real = bytes->real,
                            .counted = !bytes->real,
                            .ctx = ctx};
    CUresult rc = sim_arena_alloc(a, &q, &ret->block);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!sim_bytes_map(bytes, 0, ret->block->base, bytes->size)) {
        sim_arena_free(a, ret->block);
        return CUDA_ERROR_MAP_FAILED;
    }
    ret->block->bytes = bytes;
    ret->arena = a;
    return CUDA_SUCCESS;
}

static CUresult open_locked(const struct sim_share_token *t, struct sim_context *ctx, struct opened **ret)
{
    for (struct opened *o = opened; o; o = o->next) {
        if (o->inode == t->inode) {
            o->refs++;
            *ret = o;
            return CUDA_SUCCESS;
        }
    }
    struct sim_bytes *bytes = sim_share_fetch(t);
    struct opened *o = bytes ? calloc(1, sizeof *o) : NULL;
    CUresult rc = o ? place(bytes, ctx, o) : CUDA_ERROR_MAP_FAILED;
    if (rc != CUDA_SUCCESS) {
        if (bytes)
            sim_bytes_free(bytes);
        free(o);
        return rc;
    }
    o->inode = t->inode;
    o->refs = 1;
    o->next = opened;
    opened = o;
    *ret = o;
    return CUDA_SUCCESS;
}

static void close_locked(struct opened *o)
{
    if (--o->refs)
        return;
    struct opened **at = &opened;
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    sim_arena_free(o->arena, o->block);
    free(o);
}

CUresult sim_share_open(const struct sim_share_token *t, struct sim_context *ctx, CUdeviceptr *ret)
{
    struct opened *o = NULL;
    if (t->magic != SIM_SHARE_MAGIC || t->pid <= 0 || t->fd < 0)
        return CUDA_ERROR_INVALID_HANDLE;
    pthread_mutex_lock(&opened_lock);
    CUresult rc = open_locked(t, ctx, &o);
    if (rc == CUDA_SUCCESS && (t->offset > o->block->size || t->size > o->block->size - t->offset)) {
        close_locked(o);
        rc = CUDA_ERROR_INVALID_HANDLE;
    }
    if (rc == CUDA_SUCCESS)
        *ret = o->block->base + t->offset;
    pthread_mutex_unlock(&opened_lock);
    return rc;
}

bool sim_share_close(CUdeviceptr address)
{
    bool found = false;
    pthread_mutex_lock(&opened_lock);
    for (struct opened *o = opened; o && !found; o = o->next) {
        if (address - o->block->base >= o->block->size)
            continue;
        close_locked(o);
        found = true;
        break;
    }
    pthread_mutex_unlock(&opened_lock);
    return found;
}

void sim_share_context_gone(struct sim_context *ctx)
{
    pthread_mutex_lock(&opened_lock);
    for (struct opened *o = opened, *next; o; o = next) {
        next = o->next;
        if (o->block->ctx != ctx)
            continue;
        o->refs = 1;
        close_locked(o);
    }
    pthread_mutex_unlock(&opened_lock);
}
