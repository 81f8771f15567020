/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensor maps: descriptions of tensors in device memory for bulk copies inside
 * kernels. The 128 opaque bytes hold what was given, in our own form; only a
 * kernel would read them, and none computes anything here.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "mem.h"

#define MAP_MAGIC 0x48414d4974656e73ULL
#define RANK_MAX 5U
#define SIDE_MAX (1ULL << 32)
#define STRIDE_MAX (1ULL << 40)
#define BOX_MAX 256U

struct tensor_map {
    uint64_t magic, address;
    uint32_t dims[RANK_MAX];
    uint32_t box[RANK_MAX];
    uint32_t rank, type;
    uint32_t form; /* interleave, swizzle, promotion and fill, one byte each */
};
_Static_assert(sizeof(struct tensor_map) <= sizeof(CUtensorMap), "fits the opaque bytes");

/* What both ways of describing a tensor have in common. */
struct tensor {
    CUtensorMapDataType type;
    uint32_t rank;
    const void *address;
    const cuuint64_t *dims, *strides; /* strides of all but the innermost, in bytes */
    const cuuint32_t *steps;
    unsigned interleave, swizzle, promotion, fill;
};

static bool tensor_fits(const struct tensor *t)
{
    if ((unsigned)t->type > CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B || !t->rank || t->rank > RANK_MAX ||
        !t->dims || !t->steps || (t->rank > 1 && !t->strides) || (uintptr_t)t->address % 16 || !t->address)
        return false;
    for (uint32_t i = 0; i < t->rank; i++)
        if (!t->dims[i] || t->dims[i] > SIDE_MAX || !t->steps[i] || t->steps[i] > 8)
            return false;
    for (uint32_t i = 0; i + 1 < t->rank; i++)
        if (t->strides[i] % 16 || t->strides[i] >= STRIDE_MAX)
            return false;
    return t->interleave <= CU_TENSOR_MAP_INTERLEAVE_32B && t->fill <= 1;
}

static void encode(CUtensorMap *ret, const struct tensor *t, const uint32_t *box)
{
    struct tensor_map m = {.magic = MAP_MAGIC,
                           .address = (uint64_t)(uintptr_t)t->address,
                           .rank = t->rank,
                           .type = t->type,
                           .form = t->interleave | t->swizzle << 8 | t->promotion << 16 | t->fill << 24};
    for (uint32_t i = 0; i < t->rank; i++) {
        m.dims[i] = (uint32_t)(t->dims[i] - 1);
        m.box[i] = box ? box[i] : 0;
    }
    memset(ret, 0, sizeof *ret);
    memcpy(ret, &m, sizeof m);
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *ret, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
                                const cuuint32_t *steps, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                CUtensorMapFloatOOBfill fill)
{
    struct tensor t = {type, rank, address, dims, strides, steps, interleave, swizzle, promotion, fill};
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret || (uintptr_t)ret % 64 || !box || !tensor_fits(&t))
        return CUDA_ERROR_INVALID_VALUE;
    for (uint32_t i = 0; i < rank; i++)
        if (!box[i] || box[i] > BOX_MAX)
            return CUDA_ERROR_INVALID_VALUE;
    encode(ret, &t, box);
    return CUDA_SUCCESS;
}

/* ---- columns of an image ---- */

#define PIXELS_MAX 1024U

static CUresult encode_columns(CUtensorMap *ret, const struct tensor *t, uint32_t channels, uint32_t pixels)
{
    uint32_t box[RANK_MAX] = {channels, pixels};
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret || (uintptr_t)ret % 64 || t->rank < 3 || !channels || channels > BOX_MAX || !pixels ||
        pixels > PIXELS_MAX || !tensor_fits(t))
        return CUDA_ERROR_INVALID_VALUE;
    encode(ret, t, box);
    return CUDA_SUCCESS;
}

CUresult cuTensorMapEncodeIm2col(CUtensorMap *ret, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                 const cuuint64_t *dims, const cuuint64_t *strides, const int *lower,
                                 const int *upper, cuuint32_t channels, cuuint32_t pixels,
                                 const cuuint32_t *steps, CUtensorMapInterleave interleave,
                                 CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
                                 CUtensorMapFloatOOBfill fill)
{
    struct tensor t = {type, rank, address, dims, strides, steps, interleave, swizzle, promotion, fill};
    return lower && upper ? encode_columns(ret, &t, channels, pixels) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuTensorMapEncodeIm2colWide(CUtensorMap *ret, CUtensorMapDataType type, cuuint32_t rank,
                                     void *address, const cuuint64_t *dims, const cuuint64_t *strides,
                                     int lower, int upper, cuuint32_t channels, cuuint32_t pixels,
                                     const cuuint32_t *steps, CUtensorMapInterleave interleave,
                                     CUtensorMapIm2ColWideMode mode, CUtensorMapSwizzle swizzle,
                                     CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill)
{
    struct tensor t = {type, rank, address, dims, strides, steps, interleave, swizzle, promotion, fill};
    (void)lower, (void)upper;
    return (unsigned)mode <= CU_TENSOR_MAP_IM2COL_WIDE_MODE_W128 ? encode_columns(ret, &t, channels, pixels)
                                                                 : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuTensorMapReplaceAddress(CUtensorMap *map, void *address)
{
    struct tensor_map m;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!map || !address || (uintptr_t)address % 16)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&m, map, sizeof m);
    if (m.magic != MAP_MAGIC)
        return CUDA_ERROR_INVALID_VALUE;
    m.address = (uint64_t)(uintptr_t)address;
    memcpy(map, &m, sizeof m);
    return CUDA_SUCCESS;
}
