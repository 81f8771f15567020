/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays and mipmapped arrays. The driver does not say how large a plain one
 * is; what is charged is the exact size of its texels (mem_format.c). Rows that
 * are shorter than the driver's blocks take many times that: there has to be
 * room for them, and what they take shows in the driver's account of the process
 * (mem_overhead.h).
 */
#include "preload/mem_engine.h"
#include "preload/mem_format.h"
#include "preload/mem_vmm.h"

#define STEP_BYTES (UINT64_C(2) << 20)

/* One array on its way into existence. */
struct array_call {
    const struct ctx_here *here;
    uint64_t n;
    uint64_t more; /* in its rows */
    uint64_t held; /* of that, until it is made: what is less than a step is no matter */
};

/* MEM_PASS when the driver should answer alone. */
static CUresult begin(struct array_call *c, const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned int levels)
{
    CUresult r = mem_enter_here(&c->here);
    uint64_t n = mem_array_bytes(d, levels, 1);

    c->n = n;
    c->more = 0;
    c->held = 0;
    if (r != CUDA_SUCCESS)
        return r;
    if (n <= MEM_BYTES_MAX && (n == 0 || d->Width % MEM_ARRAY_ROW || levels > 1))
        c->more = mem_array_bytes(d, levels, MEM_ARRAY_ROW) - n;
    if (c->more >= STEP_BYTES)
        c->held = c->more;
    n = n > UINT64_MAX - c->held ? UINT64_MAX : n + c->held;
    return n ? mem_reserve((unsigned)c->here->device, n) : CUDA_SUCCESS;
}

static bool record(const struct array_call *c, uint64_t handle)
{
    struct mem_entry e = {.key = handle,
                          .bytes = c->n,
                          .owner = c->here->ctx,
                          .device = (uint16_t)c->here->device,
                          .kind = MEM_ARRAY};

    mem_release((unsigned)c->here->device, c->held);
    if (c->n + c->more)
        mem_note_rounding((unsigned)c->here->device, c->n, c->more);
    return c->n == 0 || mem_record(&mem_arrays, &e);
}

static CUresult cancel(const struct array_call *c, uint64_t n, CUresult r)
{
    mem_release((unsigned)c->here->device, n);
    return r;
}

static CUresult finish_array(const struct array_call *c, CUresult r, CUarray array, CUarray *ret)
{
    if (r != CUDA_SUCCESS)
        return cancel(c, c->n + c->held, r);
    if (!record(c, (uintptr_t)array)) {
        real.cuArrayDestroy(array);
        return cancel(c, c->n, CUDA_ERROR_OUT_OF_MEMORY);
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
        CUresult r = begin(&c, &full, 1);                                                                    \
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
    r = begin(&c, d, levels);
    if (r != CUDA_SUCCESS)
        return r == MEM_PASS ? real.cuMipmappedArrayCreate(ret, d, levels) : r;
    r = real.cuMipmappedArrayCreate(&array, d, levels);
    if (r != CUDA_SUCCESS)
        return cancel(&c, c.n + c.held, r);
    if (!record(&c, (uintptr_t)array)) {
        real.cuMipmappedArrayDestroy(array);
        return cancel(&c, c.n, CUDA_ERROR_OUT_OF_MEMORY);
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
