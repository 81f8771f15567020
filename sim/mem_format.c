/* SPDX-License-Identifier: Apache-2.0
 *
 * Element formats of arrays, as data, and the shape a descriptor has in memory.
 */
#include "mem_array.h"

#define ROW_ALIGN 64ULL
#define PLANE_ALIGN 512ULL
#define MAX_WIDTH 131072ULL
#define MAX_HEIGHT 65536ULL
#define MAX_3D 16384ULL
#define MAX_LAYERS 2048ULL

/* format, bytes, channels, block, planes, chroma bytes, smaller by (x, y) */
static const struct sim_format formats[] = {
    {CU_AD_FORMAT_UNSIGNED_INT8, 1, 0, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UNSIGNED_INT16, 2, 0, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UNSIGNED_INT32, 4, 0, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_SIGNED_INT8, 1, 0, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_SIGNED_INT16, 2, 0, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_SIGNED_INT32, 4, 0, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_HALF, 2, 0, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_FLOAT, 4, 0, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UNORM_INT8X1, 1, 1, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UNORM_INT8X2, 2, 2, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UNORM_INT8X4, 4, 4, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UNORM_INT16X1, 2, 1, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UNORM_INT16X2, 4, 2, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UNORM_INT16X4, 8, 4, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_SNORM_INT8X1, 1, 1, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_SNORM_INT8X2, 2, 2, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_SNORM_INT8X4, 4, 4, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_SNORM_INT16X1, 2, 1, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_SNORM_INT16X2, 4, 2, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_SNORM_INT16X4, 8, 4, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UNORM_INT_101010_2, 4, 4, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC1_UNORM, 8, 4, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC1_UNORM_SRGB, 8, 4, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC2_UNORM, 16, 4, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC2_UNORM_SRGB, 16, 4, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC3_UNORM, 16, 4, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC3_UNORM_SRGB, 16, 4, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC4_UNORM, 8, 1, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC4_SNORM, 8, 1, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC5_UNORM, 16, 2, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC5_SNORM, 16, 2, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC6H_UF16, 16, 3, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC6H_SF16, 16, 3, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC7_UNORM, 16, 4, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_BC7_UNORM_SRGB, 16, 4, 4, 1, 0, 1, 1},
    {CU_AD_FORMAT_NV12, 1, 3, 1, 2, 2, 2, 2},
    {CU_AD_FORMAT_P010, 2, 3, 1, 2, 4, 2, 2},
    {CU_AD_FORMAT_P016, 2, 3, 1, 2, 4, 2, 2},
    {CU_AD_FORMAT_NV16, 1, 3, 1, 2, 2, 2, 1},
    {CU_AD_FORMAT_P210, 2, 3, 1, 2, 4, 2, 1},
    {CU_AD_FORMAT_P216, 2, 3, 1, 2, 4, 2, 1},
    {CU_AD_FORMAT_YUV444_8bit_SemiPlanar, 1, 3, 1, 2, 2, 1, 1},
    {CU_AD_FORMAT_YUV444_16bit_SemiPlanar, 2, 3, 1, 2, 4, 1, 1},
    {CU_AD_FORMAT_Y444_PLANAR8, 1, 3, 1, 3, 1, 1, 1},
    {CU_AD_FORMAT_Y444_PLANAR10, 2, 3, 1, 3, 2, 1, 1},
    {CU_AD_FORMAT_YUY2, 2, 3, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_Y210, 4, 3, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_Y216, 4, 3, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_AYUV, 4, 4, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_Y410, 4, 4, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_Y416, 8, 4, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UINT8_PACKED_422, 2, 3, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UINT8_PACKED_444, 3, 3, 1, 1, 0, 1, 1},
    {CU_AD_FORMAT_UINT8_SEMIPLANAR_420, 1, 3, 1, 2, 2, 2, 2},
    {CU_AD_FORMAT_UINT16_SEMIPLANAR_420, 2, 3, 1, 2, 4, 2, 2},
    {CU_AD_FORMAT_UINT8_SEMIPLANAR_422, 1, 3, 1, 2, 2, 2, 1},
    {CU_AD_FORMAT_UINT16_SEMIPLANAR_422, 2, 3, 1, 2, 4, 2, 1},
    {CU_AD_FORMAT_UINT8_SEMIPLANAR_444, 1, 3, 1, 2, 2, 1, 1},
    {CU_AD_FORMAT_UINT16_SEMIPLANAR_444, 2, 3, 1, 2, 4, 1, 1},
    {CU_AD_FORMAT_UINT8_PLANAR_420, 1, 3, 1, 3, 1, 2, 2},
    {CU_AD_FORMAT_UINT16_PLANAR_420, 2, 3, 1, 3, 2, 2, 2},
    {CU_AD_FORMAT_UINT8_PLANAR_422, 1, 3, 1, 3, 1, 2, 1},
    {CU_AD_FORMAT_UINT16_PLANAR_422, 2, 3, 1, 3, 2, 2, 1},
    {CU_AD_FORMAT_UINT8_PLANAR_444, 1, 3, 1, 3, 1, 1, 1},
    {CU_AD_FORMAT_UINT16_PLANAR_444, 2, 3, 1, 3, 2, 1, 1},
};

const struct sim_format *sim_format_of(CUarray_format format)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i].format == (unsigned)format)
            return &formats[i];
    return NULL;
}

unsigned sim_element_bytes(const struct sim_format *f, unsigned channels)
{
    if (f->channels)
        return channels == f->channels ? f->bytes : 0;
    return channels == 1 || channels == 2 || channels == 4 ? f->bytes * channels : 0;
}

/* The limits of current devices; what is beyond them is an invalid value. */
static bool in_limits(const CUDA_ARRAY3D_DESCRIPTOR *d)
{
    bool layered = d->Flags & SIM_ARRAY_LAYERED, cube = d->Flags & SIM_ARRAY_CUBEMAP;
    if (!d->Width || (d->Flags & ~(unsigned)SIM_ARRAY_FLAGS))
        return false;
    if (cube)
        return d->Width == d->Height && d->Width <= MAX_HEIGHT &&
               (layered ? d->Depth && d->Depth % 6 == 0 && d->Depth <= MAX_LAYERS : d->Depth == 6);
    if (layered)
        return d->Depth && d->Depth <= MAX_LAYERS && d->Width <= MAX_WIDTH && d->Height <= MAX_HEIGHT;
    if (d->Depth)
        return d->Height && d->Width <= MAX_3D && d->Height <= MAX_3D && d->Depth <= MAX_3D;
    return d->Width <= MAX_WIDTH && d->Height <= MAX_HEIGHT;
}

CUresult sim_array_extent(const CUDA_ARRAY3D_DESCRIPTOR *d, struct sim_extent *ret)
{
    const struct sim_format *f = sim_format_of(d->Format);
    unsigned element = f ? sim_element_bytes(f, d->NumChannels) : 0;
    if (!element || !in_limits(d))
        return CUDA_ERROR_INVALID_VALUE;
    if (f->planes > 1 && (!d->Height || d->Width % f->sub_x || d->Height % f->sub_y))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (struct sim_extent){0};
    ret->row_bytes = (d->Width + f->block - 1U) / f->block * element;
    ret->rows = d->Height ? (d->Height + f->block - 1U) / f->block : 1;
    ret->slices = d->Depth ? d->Depth : 1;
    ret->pitch = sim_round_up(ret->row_bytes, ROW_ALIGN);
    ret->slice = ret->pitch * ret->rows;
    ret->total = sim_round_up(ret->slice * ret->slices, PLANE_ALIGN);
    for (unsigned i = 1; i < f->planes; i++) {
        uint64_t pitch = sim_round_up(d->Width / f->sub_x * f->chroma_bytes, ROW_ALIGN);
        ret->plane[i] = ret->total;
        ret->total += sim_round_up(pitch * (d->Height / f->sub_y) * ret->slices, PLANE_ALIGN);
    }
    return CUDA_SUCCESS;
}

CUresult sim_plane_descriptor(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned index, CUDA_ARRAY3D_DESCRIPTOR *ret)
{
    const struct sim_format *f = sim_format_of(d->Format);
    if (!f || f->planes < 2 || index >= f->planes)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = *d;
    ret->Format = f->bytes == 1 ? CU_AD_FORMAT_UNSIGNED_INT8 : CU_AD_FORMAT_UNSIGNED_INT16;
    ret->NumChannels = 1;
    if (index) {
        ret->Width = d->Width / f->sub_x;
        ret->Height = d->Height / f->sub_y;
        ret->NumChannels = f->chroma_bytes / f->bytes;
    }
    return CUDA_SUCCESS;
}
