/* SPDX-License-Identifier: Apache-2.0
 *
 * See fake_driver.h. Simple on purpose: one lock, linear lists.
 */
#include "fake_driver.h"

#include <glib.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_objects.h"
#include "preload/ctx.h"
#include "preload/helper.h"
#include "preload/identity.h"
#include "preload/log.h"
#include "preload/mem_engine.h"
#include "region/ledger.h"

struct fake fake;
struct real_cuda real;
struct real_nvml real_nvml;
struct slice slice;

pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
static GHashTable *blocks; /* address -> struct block */
static uint64_t next_address = UINT64_C(0x7f0000000000);
static _Thread_local CUcontext current;
static struct fake_context {
    unsigned device;
    int refs;
} contexts[8]; /* 0 and 1 are the devices' primary contexts */
static unsigned n_contexts;

struct block {
    uint64_t bytes; /* physical */
    int device;     /* -1 = host */
    bool managed;
    struct fake_pool *pool;
    CUcontext ctx;
};

/* ---- the slice ---- */

enum slice_state slice_attach(void)
{
    return (enum slice_state)atomic_load(&slice.state);
}

uint64_t slice_mem_limit(unsigned d)
{
    return d < FAKE_DEVICES ? atomic_load_explicit(&fake.limit[d], memory_order_relaxed) : 0;
}

int slice_device_of(CUdevice ordinal)
{
    return ordinal >= 0 && ordinal < FAKE_DEVICES ? ordinal : -1;
}

int slice_device_current(void)
{
    return ctx_here()->device;
}

/* Never open, so that every visit is counted. */
static const volatile int32_t closed[GATE_SUSPENDED_AT / 4 + 1] = {-1};
const volatile int32_t *_Atomic slice_gate_words = closed;

void slice_gate(void)
{
    atomic_fetch_add_explicit(&fake.gates, 1, memory_order_relaxed);
}

void log_line(enum log_level level, const char *file, int line, const char *format, ...)
{
    va_list arguments;

    (void)level, (void)file, (void)line;
    va_start(arguments, format);
    vsnprintf(fake.last_line, sizeof fake.last_line, format, arguments);
    va_end(arguments);
    atomic_fetch_add(&fake.logged, 1);
}

void compute_context_switched(void) {}

void compute_context_ending(CUcontext ctx)
{
    (void)ctx;
}

struct helper helper;

void helper_wake(void)
{
    fake.woken++;
}

void identity_learn(void) {}

void identity_before_context(struct identity_look *look, unsigned d)
{
    (void)look, (void)d;
}

void identity_after_context(const struct identity_look *look, unsigned d)
{
    (void)look, (void)d;
}

bool compute_capturing(void)
{
    return fake.capturing;
}

/* ---- physical memory ---- */

bool fake_fails(CUresult *ret)
{
    int r = atomic_exchange(&fake.fail_next, 0);

    atomic_fetch_add(&fake.calls, 1);
    *ret = (CUresult)r;
    return r != 0;
}

bool fake_take(int device, uint64_t n)
{
    if (device < 0)
        return true;
    if (n > fake.phys_bytes || fake.taken[device] > fake.phys_bytes - n)
        return false;
    fake.taken[device] += n;
    return true;
}

void fake_give(int device, uint64_t n)
{
    if (device >= 0)
        fake.taken[device] -= n;
}

static struct fake_context *context_of(CUcontext ctx)
{
    return ctx ? &contexts[(uintptr_t)ctx / 16 - 1] : NULL;
}

static CUcontext handle_of(unsigned i)
{
    return (CUcontext)(uintptr_t)((i + 1) * 16);
}

CUresult fake_block_new(CUdeviceptr *ret, uint64_t n, int device, bool managed, struct fake_pool *pool)
{
    CUdeviceptr address;
    struct block *b;

    if (!ret || !n)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&fake_lock);
    address = next_address;
    if (pool ? !fake_pool_take(pool, n, &address) : !fake_take(managed ? -1 : device, n)) {
        pthread_mutex_unlock(&fake_lock);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    b = g_new0(struct block, 1);
    b->bytes = n;
    b->device = managed ? -1 : device;
    b->managed = managed;
    b->pool = pool;
    b->ctx = current;
    if (!pool)
        next_address += (n + 511) / 512 * 512;
    *ret = address;
    g_hash_table_insert(blocks, GSIZE_TO_POINTER(*ret), b);
    pthread_mutex_unlock(&fake_lock);
    return CUDA_SUCCESS;
}

CUdeviceptr fake_address(uint64_t n)
{
    next_address += n;
    return next_address - n;
}

unsigned fake_current_device(void)
{
    return context_of(current)->device;
}

/* ---- plain ---- */

static CUresult mem_alloc(CUdeviceptr *ret, size_t n)
{
    CUresult r;

    if (fake_fails(&r))
        return r;
    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    return fake_block_new(ret, n, (int)context_of(current)->device, false, NULL);
}

static CUresult mem_alloc_v1(CUdeviceptr_v1 *ret, unsigned int n)
{
    static CUdeviceptr_v1 next = 0x10000;
    struct block *b;
    CUresult r;

    if (fake_fails(&r))
        return r;
    pthread_mutex_lock(&fake_lock);
    if (!fake_take((int)context_of(current)->device, n)) {
        pthread_mutex_unlock(&fake_lock);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    b = g_new0(struct block, 1);
    b->bytes = n;
    b->device = (int)context_of(current)->device;
    b->ctx = current;
    *ret = next;
    next += (n + 511) / 512 * 512;
    g_hash_table_insert(blocks, GSIZE_TO_POINTER((gsize)*ret), b);
    pthread_mutex_unlock(&fake_lock);
    return CUDA_SUCCESS;
}

static CUresult mem_managed(CUdeviceptr *ret, size_t n, unsigned int flags)
{
    CUresult r;

    (void)flags;
    if (fake_fails(&r))
        return r;
    return fake_block_new(ret, n, (int)context_of(current)->device, true, NULL);
}

/* Rows of 768-byte multiples: not what the engine guesses. */
static CUresult mem_pitch(CUdeviceptr *ret, size_t *pitch, size_t width, size_t height, unsigned int element)
{
    CUresult r;

    if (fake_fails(&r))
        return r;
    if (!ret || !pitch || !width || !height || (element != 4 && element != 8 && element != 16))
        return CUDA_ERROR_INVALID_VALUE;
    r = fake_block_new(ret, (width + 767) / 768 * 768 * height, (int)context_of(current)->device, false,
                       NULL);
    if (r == CUDA_SUCCESS)
        *pitch = (width + 767) / 768 * 768;
    return r;
}

CUresult fake_free(CUdeviceptr ptr)
{
    struct block *b;
    CUresult r;

    if (fake_fails(&r))
        return r;
    pthread_mutex_lock(&fake_lock);
    b = g_hash_table_lookup(blocks, GSIZE_TO_POINTER(ptr));
    if (b && b->pool)
        fake_pool_give(b->pool, ptr, b->bytes);
    else if (b)
        fake_give(b->device, b->bytes);
    g_hash_table_remove(blocks, GSIZE_TO_POINTER(ptr));
    pthread_mutex_unlock(&fake_lock);
    if (b && fake.on_free)
        fake.on_free(ptr);
    return b ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* A card waits for the block's work, and trims its pool then. */
static CUresult free_now(CUdeviceptr ptr)
{
    struct fake_pool *pool;
    struct block *b;
    CUresult r;

    pthread_mutex_lock(&fake_lock);
    b = g_hash_table_lookup(blocks, GSIZE_TO_POINTER(ptr));
    pool = b ? b->pool : NULL;
    pthread_mutex_unlock(&fake_lock);
    r = fake_free(ptr);
    pthread_mutex_lock(&fake_lock);
    if (r == CUDA_SUCCESS && pool && !pool->destroyed)
        fake_pool_trim(pool, pool->threshold);
    pthread_mutex_unlock(&fake_lock);
    return r;
}

static CUresult mem_free_v1(CUdeviceptr_v1 ptr)
{
    return fake_free(ptr);
}

static CUresult mem_info(size_t *ret_free, size_t *ret_total)
{
    unsigned d;

    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    d = context_of(current)->device;
    if (ret_free)
        *ret_free = fake.phys_bytes - fake.taken[d];
    if (ret_total)
        *ret_total = fake.phys_bytes;
    return CUDA_SUCCESS;
}

static CUresult total_mem(size_t *ret, CUdevice d)
{
    if (d < 0 || d >= FAKE_DEVICES)
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = fake.phys_bytes;
    return CUDA_SUCCESS;
}

static const struct block *block_at(CUdeviceptr ptr)
{
    const struct block *b;

    pthread_mutex_lock(&fake_lock);
    b = g_hash_table_lookup(blocks, GSIZE_TO_POINTER(ptr));
    pthread_mutex_unlock(&fake_lock);
    return b;
}

static CUresult address_range(CUdeviceptr *base, size_t *n, CUdeviceptr ptr)
{
    const struct block *b = block_at(ptr);

    if (!b)
        return CUDA_ERROR_INVALID_VALUE;
    *base = ptr;
    *n = b->bytes;
    return CUDA_SUCCESS;
}

static CUresult pointer_attribute(void *ret, CUpointer_attribute attribute, CUdeviceptr ptr)
{
    const struct block *b = block_at(ptr);

    if (!b)
        return CUDA_ERROR_INVALID_VALUE;
    if (attribute == CU_POINTER_ATTRIBUTE_IS_MANAGED)
        *(unsigned int *)ret = b->managed;
    else if (attribute == CU_POINTER_ATTRIBUTE_RANGE_START_ADDR)
        *(CUdeviceptr *)ret = ptr;
    return CUDA_SUCCESS;
}

static CUresult mem_advise(CUdeviceptr ptr, size_t n, CUmem_advise advice, CUdevice d)
{
    (void)ptr, (void)n, (void)advice, (void)d;
    return CUDA_SUCCESS;
}

static CUresult ipc_get(CUipcMemHandle *ret, CUdeviceptr ptr)
{
    memcpy(ret, &ptr, sizeof ptr);
    return CUDA_SUCCESS;
}

/* ---- arrays ---- */

static CUresult array_create(CUarray *ret, const CUDA_ARRAY3D_DESCRIPTOR *d)
{
    CUdeviceptr ptr;
    CUresult r;

    if (fake_fails(&r))
        return r;
    r = fake_block_new(
        &ptr, (d->Width ? d->Width : 1) * (d->Height ? d->Height : 1) * (d->Depth ? d->Depth : 1) * 4,
        (int)context_of(current)->device, false, NULL);
    if (r == CUDA_SUCCESS)
        *ret = (CUarray)(uintptr_t)ptr;
    return r;
}

static CUresult array_destroy(CUarray array)
{
    return fake_free((uintptr_t)array);
}

/* ---- contexts ---- */

static CUresult ctx_get_current(CUcontext *ret)
{
    *ret = current;
    return CUDA_SUCCESS;
}

static CUresult ctx_set_current(CUcontext ctx)
{
    current = ctx;
    return CUDA_SUCCESS;
}

static CUresult ctx_push(CUcontext ctx)
{
    current = ctx;
    return CUDA_SUCCESS;
}

static CUresult ctx_pop(CUcontext *ret)
{
    *ret = current;
    current = handle_of(0);
    return CUDA_SUCCESS;
}

static CUresult ctx_get_device(CUdevice *ret)
{
    if (!current)
        return CUDA_ERROR_INVALID_CONTEXT;
    *ret = (CUdevice)context_of(current)->device;
    return CUDA_SUCCESS;
}

static unsigned live_contexts(unsigned d)
{
    unsigned n = 0;

    for (unsigned i = 0; i < n_contexts; i++)
        n += contexts[i].device == d && contexts[i].refs > 0;
    return n;
}

static void context_ends(unsigned i)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, blocks);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        struct block *b = value;
        if (b->ctx == handle_of(i) && !b->pool) {
            fake_give(b->device, b->bytes);
            g_hash_table_iter_remove(&iter);
        }
    }
    if (!live_contexts(contexts[i].device))
        fake_give((int)contexts[i].device, fake.context_bytes);
}

static CUresult ctx_create(CUcontext *ret, unsigned int flags, CUdevice d)
{
    CUresult r;

    (void)flags;
    if (fake_fails(&r))
        return r;
    if (d < 0 || d >= FAKE_DEVICES || n_contexts == 8)
        return CUDA_ERROR_INVALID_DEVICE;
    if (!live_contexts((unsigned)d) && !fake_take(d, fake.context_bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    contexts[n_contexts] = (struct fake_context){.device = (unsigned)d, .refs = 1};
    *ret = current = handle_of(n_contexts++);
    return CUDA_SUCCESS;
}

static CUresult ctx_destroy(CUcontext ctx)
{
    struct fake_context *c = context_of(ctx);

    if (!c || !c->refs)
        return CUDA_ERROR_INVALID_CONTEXT;
    c->refs = 0;
    context_ends((unsigned)(c - contexts));
    if (current == ctx)
        current = NULL;
    return CUDA_SUCCESS;
}

static CUresult primary_retain(CUcontext *ret, CUdevice d)
{
    CUresult r;

    if (fake_fails(&r))
        return r;
    if (!live_contexts((unsigned)d) && !fake_take(d, fake.context_bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    contexts[d].refs++;
    *ret = handle_of((unsigned)d);
    return CUDA_SUCCESS;
}

static CUresult primary_release(CUdevice d)
{
    if (!contexts[d].refs)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (--contexts[d].refs == 0)
        context_ends((unsigned)d);
    return CUDA_SUCCESS;
}

static CUresult primary_reset(CUdevice d)
{
    if (contexts[d].refs) {
        contexts[d].refs = 0;
        context_ends((unsigned)d);
    }
    return CUDA_SUCCESS;
}

static CUresult primary_state(CUdevice d, unsigned int *flags, int *active)
{
    *flags = 0;
    *active = contexts[d].refs > 0;
    return CUDA_SUCCESS;
}

static CUresult driver_version(int *ret)
{
    *ret = 13000;
    return CUDA_SUCCESS;
}

static CUresult device_count(int *ret)
{
    *ret = FAKE_DEVICES;
    return CUDA_SUCCESS;
}

static CUresult exchange_mode(CUstreamCaptureMode *mode)
{
    static _Thread_local CUstreamCaptureMode now = CU_STREAM_CAPTURE_MODE_GLOBAL;
    CUstreamCaptureMode before = now;

    now = *mode;
    *mode = before;
    return CUDA_SUCCESS;
}

static nvmlReturn_t nvml_init(void)
{
    return NVML_ERROR_LIBRARY_NOT_FOUND;
}

static const struct real_cuda table = {
    .cuMemAlloc_v2 = mem_alloc,
    .cuMemAlloc = mem_alloc_v1,
    .cuMemAllocManaged = mem_managed,
    .cuMemAllocPitch_v2 = mem_pitch,
    .cuMemFree_v2 = free_now,
    .cuMemFree = mem_free_v1,
    .cuMemGetInfo_v2 = mem_info,
    .cuDeviceTotalMem_v2 = total_mem,
    .cuMemGetAddressRange_v2 = address_range,
    .cuPointerGetAttribute = pointer_attribute,
    .cuMemAdvise = mem_advise,
    .cuIpcGetMemHandle = ipc_get,
    .cuArray3DCreate_v2 = array_create,
    .cuArrayDestroy = array_destroy,
    .cuCtxGetCurrent = ctx_get_current,
    .cuCtxSetCurrent = ctx_set_current,
    .cuCtxPushCurrent_v2 = ctx_push,
    .cuCtxPopCurrent_v2 = ctx_pop,
    .cuCtxGetDevice = ctx_get_device,
    .cuCtxCreate_v2 = ctx_create,
    .cuCtxDestroy_v2 = ctx_destroy,
    .cuDevicePrimaryCtxRetain = primary_retain,
    .cuDevicePrimaryCtxRelease_v2 = primary_release,
    .cuDevicePrimaryCtxReset_v2 = primary_reset,
    .cuDevicePrimaryCtxGetState = primary_state,
    .cuDriverGetVersion = driver_version,
    .cuDeviceGetCount = device_count,
    .cuThreadExchangeStreamCaptureMode = exchange_mode,
};

/* ---- begin and end ---- */

CUcontext fake_context(unsigned d)
{
    current = handle_of(d);
    return current;
}

void fake_begin(uint64_t limit0, uint64_t limit1)
{
    static const struct region_limits limits = {.n_devices = FAKE_DEVICES};

    memset(&fake, 0, sizeof fake);
    fake.phys_bytes = UINT64_C(16) << 30;
    fake.pool_growth = 2 * MIB;
    fake.scattered = false;
    fake.limit[0] = limit0;
    fake.limit[1] = limit1;
    blocks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    memset(contexts, 0, sizeof contexts);
    n_contexts = FAKE_DEVICES;
    for (unsigned d = 0; d < FAKE_DEVICES; d++) {
        contexts[d] = (struct fake_context){.device = d, .refs = 1};
    }
    real = table;
    fake_objects_begin();
    real_nvml.nvmlInit_v2 = nvml_init;
    memset(&slice, 0, sizeof slice);
    g_assert_cmpint(region_open_private(&slice.region, &limits), ==, 0);
    slice.slot = region_slot_claim(&slice.region);
    g_assert_cmpint(slice.slot, >=, 0);
    atomic_store(&slice.state, SLICE_ON);
    memory_after_fork();
    fake_context(0);
}

void fake_end(void)
{
    region_close(&slice.region);
    atomic_store(&slice.state, SLICE_UNATTACHED);
    g_hash_table_unref(blocks);
    fake_objects_end();
}
