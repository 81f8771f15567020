/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays and mipmapped arrays. The driver does not say how large a plain one
 * is; what is charged is the exact size of its texels (mem_format.c).
 */
#include "preload/mem_engine.h"
#include "preload/mem_format.h"
#include "preload/mem_vmm.h"

/* One array on its way into existence. */
struct array_call {
    const struct ctx_here *here;
    uint64_t n;
};

/* MEM_PASS when the driver should answer alone. */
static CUresult begin(struct array_call *c, uint64_t n)
{
    CUresult r = mem_enter_here(&c->here);

    c->n = n;
    if (r != CUDA_SUCCESS || n == 0)
        return r;
    return mem_reserve((unsigned)c->here->device, n);
}

static bool record(const struct array_call *c, uint64_t handle)
{
    struct mem_entry e = {.key = handle,
                          .bytes = c->n,
                          .owner = c->here->ctx,
                          .device = (uint16_t)c->here->device,
                          .kind = MEM_ARRAY};

    mem_note_rounding(c->n);
    return c->n == 0 || mem_record(&mem_arrays, &e);
}

static CUresult cancel(const struct array_call *c, CUresult r)
{
    mem_release((unsigned)c->here->device, c->n);
    return r;
}

static CUresult finish_array(const struct array_call *c, CUresult r, CUarray array, CUarray *ret)
{
    if (r != CUDA_SUCCESS)
        return cancel(c, r);
    if (!record(c, (uintptr_t)array)) {
        real.cuArrayDestroy(array);
        return cancel(c, CUDA_ERROR_OUT_OF_MEMORY);
    }
    *ret = array;
    return CUDA_SUCCESS;
}

/* The four entries differ in how the descriptor says what it says. */
#define PLANE(d)                                                                                             \
    .Width = (d)->Width, .Height = (d)->Height, .Format = (d)->Format, .NumChannels = (d)->NumChannels
#define SOLID(d) PLANE(d), .Depth = (d)->Depth, .Flags = (d)->Flags

#define ARRAY_CREATE(entry, descriptor, contents)                                                            \
    HOOK CUresult entry(CUarray *ret, const descriptor *d)                                                   \
    {                                                                                                        \
        struct array_call c;                                                                                 \
        CUarray array = NULL;                                                                                \
        if (!ret || !d)                                                                                      \
            return real.entry(ret, d);                                                                       \
        const CUDA_ARRAY3D_DESCRIPTOR full = {contents(d)};                                                  \
        CUresult r = begin(&c, mem_array_bytes(&full, 1));                                                   \
        if (r != CUDA_SUCCESS)                                                                               \
            return r == MEM_PASS ? real.entry(ret, d) : r;                                                   \
        r = real.entry(&array, d);                                                                           \
        return finish_array(&c, r, array, ret);                                                              \
    }

ARRAY_CREATE(cuArrayCreate, CUDA_ARRAY_DESCRIPTOR_v1, PLANE)
ARRAY_CREATE(cuArrayCreate_v2, CUDA_ARRAY_DESCRIPTOR, PLANE)
ARRAY_CREATE(cuArray3DCreate, CUDA_ARRAY3D_DESCRIPTOR_v1, SOLID)
ARRAY_CREATE(cuArray3DCreate_v2, CUDA_ARRAY3D_DESCRIPTOR, SOLID)

HOOK CUresult cuMipmappedArrayCreate(CUmipmappedArray *ret, const CUDA_ARRAY3D_DESCRIPTOR *d,
                                     unsigned int levels)
{
    struct array_call c;
    CUmipmappedArray array = NULL;
    CUresult r;

    if (!ret || !d)
        return real.cuMipmappedArrayCreate(ret, d, levels);
    r = begin(&c, mem_array_bytes(d, levels));
    if (r != CUDA_SUCCESS)
        return r == MEM_PASS ? real.cuMipmappedArrayCreate(ret, d, levels) : r;
    r = real.cuMipmappedArrayCreate(&array, d, levels);
    if (r != CUDA_SUCCESS)
        return cancel(&c, r);
    if (!record(&c, (uintptr_t)array)) {
        real.cuMipmappedArrayDestroy(array);
        return cancel(&c, CUDA_ERROR_OUT_OF_MEMORY);
    }
    *ret = array;
    return r;
}

HOOK CUresult cuArrayDestroy(CUarray array)
{
    CUresult r;

    if (!mem_active())
        return real.cuArrayDestroy(array);
    r = MEM_FREE(&mem_arrays, (uintptr_t)array, real.cuArrayDestroy(array));
    if (r == CUDA_SUCCESS)
        mem_vmm_array_gone((uintptr_t)array);
    return r;
}

HOOK CUresult cuMipmappedArrayDestroy(CUmipmappedArray array)
{
    CUresult r;

    if (!mem_active())
        return real.cuMipmappedArrayDestroy(array);
    r = MEM_FREE(&mem_arrays, (uintptr_t)array, real.cuMipmappedArrayDestroy(array));
    if (r == CUDA_SUCCESS)
        mem_vmm_array_gone((uintptr_t)array);
    return r;
}
