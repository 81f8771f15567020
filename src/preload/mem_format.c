/* SPDX-License-Identifier: Apache-2.0
 *
 * A format is blocks of texels with a number of bits each. Simple formats give
 * the bits of one channel and take 1, 2 or 4 of them; the others contain their
 * channels. Block-compressed ones have 4 x 4 texels to a block. Planar and
 * packed video formats are given as average bits of one texel over all planes,
 * with the chroma planes' texels rounded up (2 x 1 or 2 x 2 luma texels share
 * one).
 *
 * Source: the channel and sampling descriptions beside the enumeration in
 * cuda.h, and the texture compression block sizes of Direct3D.
 */
#include "preload/mem_format.h"

#include <stdbool.h>
#include <stddef.h>

#define FLAG_LAYERED 0x01
#define FLAG_CUBEMAP 0x04
#define FLAG_SPARSE 0x40
#define FLAG_DEFERRED 0x80

struct format {
    CUarray_format id;
    uint8_t block_width, block_height;
    uint16_t bits; /* of a block, or of one channel when `channels` */
    bool channels;
};

static const struct format formats[] = {
    {CU_AD_FORMAT_UNSIGNED_INT8, 1, 1, 8, true},
    {CU_AD_FORMAT_UNSIGNED_INT16, 1, 1, 16, true},
    {CU_AD_FORMAT_UNSIGNED_INT32, 1, 1, 32, true},
    {CU_AD_FORMAT_SIGNED_INT8, 1, 1, 8, true},
    {CU_AD_FORMAT_SIGNED_INT16, 1, 1, 16, true},
    {CU_AD_FORMAT_SIGNED_INT32, 1, 1, 32, true},
    {CU_AD_FORMAT_HALF, 1, 1, 16, true},
    {CU_AD_FORMAT_FLOAT, 1, 1, 32, true},
    {CU_AD_FORMAT_UNORM_INT8X1, 1, 1, 8, false},
    {CU_AD_FORMAT_UNORM_INT8X2, 1, 1, 16, false},
    {CU_AD_FORMAT_UNORM_INT8X4, 1, 1, 32, false},
    {CU_AD_FORMAT_UNORM_INT16X1, 1, 1, 16, false},
    {CU_AD_FORMAT_UNORM_INT16X2, 1, 1, 32, false},
    {CU_AD_FORMAT_UNORM_INT16X4, 1, 1, 64, false},
    {CU_AD_FORMAT_SNORM_INT8X1, 1, 1, 8, false},
    {CU_AD_FORMAT_SNORM_INT8X2, 1, 1, 16, false},
    {CU_AD_FORMAT_SNORM_INT8X4, 1, 1, 32, false},
    {CU_AD_FORMAT_SNORM_INT16X1, 1, 1, 16, false},
    {CU_AD_FORMAT_SNORM_INT16X2, 1, 1, 32, false},
    {CU_AD_FORMAT_SNORM_INT16X4, 1, 1, 64, false},
    {CU_AD_FORMAT_BC1_UNORM, 4, 4, 64, false},
    {CU_AD_FORMAT_BC1_UNORM_SRGB, 4, 4, 64, false},
    {CU_AD_FORMAT_BC2_UNORM, 4, 4, 128, false},
    {CU_AD_FORMAT_BC2_UNORM_SRGB, 4, 4, 128, false},
    {CU_AD_FORMAT_BC3_UNORM, 4, 4, 128, false},
    {CU_AD_FORMAT_BC3_UNORM_SRGB, 4, 4, 128, false},
    {CU_AD_FORMAT_BC4_UNORM, 4, 4, 64, false},
    {CU_AD_FORMAT_BC4_SNORM, 4, 4, 64, false},
    {CU_AD_FORMAT_BC5_UNORM, 4, 4, 128, false},
    {CU_AD_FORMAT_BC5_SNORM, 4, 4, 128, false},
    {CU_AD_FORMAT_BC6H_UF16, 4, 4, 128, false},
    {CU_AD_FORMAT_BC6H_SF16, 4, 4, 128, false},
    {CU_AD_FORMAT_BC7_UNORM, 4, 4, 128, false},
    {CU_AD_FORMAT_BC7_UNORM_SRGB, 4, 4, 128, false},
    {CU_AD_FORMAT_NV12, 2, 2, 48, false},
    {CU_AD_FORMAT_P010, 2, 2, 96, false},
    {CU_AD_FORMAT_P016, 2, 2, 96, false},
    {CU_AD_FORMAT_NV16, 2, 1, 32, false},
    {CU_AD_FORMAT_P210, 2, 1, 64, false},
    {CU_AD_FORMAT_P216, 2, 1, 64, false},
    {CU_AD_FORMAT_YUY2, 2, 1, 32, false},
    {CU_AD_FORMAT_Y210, 2, 1, 64, false},
    {CU_AD_FORMAT_Y216, 2, 1, 64, false},
    {CU_AD_FORMAT_AYUV, 1, 1, 32, false},
    {CU_AD_FORMAT_Y410, 1, 1, 32, false},
    {CU_AD_FORMAT_Y416, 1, 1, 64, false},
    {CU_AD_FORMAT_Y444_PLANAR8, 1, 1, 24, false},
    {CU_AD_FORMAT_Y444_PLANAR10, 1, 1, 48, false},
    {CU_AD_FORMAT_YUV444_8bit_SemiPlanar, 1, 1, 24, false},
    {CU_AD_FORMAT_YUV444_16bit_SemiPlanar, 1, 1, 48, false},
    {CU_AD_FORMAT_UNORM_INT_101010_2, 1, 1, 32, false},
    {CU_AD_FORMAT_UINT8_PACKED_422, 2, 1, 32, false},
    {CU_AD_FORMAT_UINT8_PACKED_444, 1, 1, 24, false},
    {CU_AD_FORMAT_UINT8_SEMIPLANAR_420, 2, 2, 48, false},
    {CU_AD_FORMAT_UINT16_SEMIPLANAR_420, 2, 2, 96, false},
    {CU_AD_FORMAT_UINT8_SEMIPLANAR_422, 2, 1, 32, false},
    {CU_AD_FORMAT_UINT16_SEMIPLANAR_422, 2, 1, 64, false},
    {CU_AD_FORMAT_UINT8_SEMIPLANAR_444, 1, 1, 24, false},
    {CU_AD_FORMAT_UINT16_SEMIPLANAR_444, 1, 1, 48, false},
    {CU_AD_FORMAT_UINT8_PLANAR_420, 2, 2, 48, false},
    {CU_AD_FORMAT_UINT16_PLANAR_420, 2, 2, 96, false},
    {CU_AD_FORMAT_UINT8_PLANAR_422, 2, 1, 32, false},
    {CU_AD_FORMAT_UINT16_PLANAR_422, 2, 1, 64, false},
    {CU_AD_FORMAT_UINT8_PLANAR_444, 1, 1, 24, false},
    {CU_AD_FORMAT_UINT16_PLANAR_444, 1, 1, 48, false},
};

static const struct format *format_of(CUarray_format id)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i].id == id)
            return &formats[i];
    return NULL;
}

static uint64_t blocks(uint64_t texels, uint64_t size)
{
    return texels / size + (texels % size != 0);
}

/* a * b, or UINT64_MAX when that is too much. */
static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t n;

    return __builtin_mul_overflow(a, b, &n) ? UINT64_MAX : n;
}

static uint64_t half(uint64_t n)
{
    return n > 1 ? n / 2 : 1;
}

/* Of a driver newer than the table: as much as any has for a texel. */
static const struct format largest = {CU_AD_FORMAT_MAX, 1, 1, 128, false};

uint64_t mem_array_bytes(const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned int levels, unsigned int row_bytes)
{
    const struct format *f = format_of(d->Format);
    bool layered = d->Flags & (FLAG_LAYERED | FLAG_CUBEMAP);
    uint64_t width = d->Width, height = d->Height ? d->Height : 1, depth = d->Depth ? d->Depth : 1;
    uint64_t total = 0;

    if (!width || d->Flags & (FLAG_SPARSE | FLAG_DEFERRED))
        return 0;
    if (!f || (f->channels && d->NumChannels != 1 && d->NumChannels != 2 && d->NumChannels != 4)) {
        if (row_bytes == 1)
            return 0;
        f = &largest;
    }
    for (unsigned int level = 0; level == 0 || level < levels; level++) { /* the driver makes one of none */
        uint64_t row =
            times(blocks(width, f->block_width), f->bits / 8u * (f->channels ? d->NumChannels : 1u));
        uint64_t n;

        if (row_bytes > 1)
            row = times(blocks(row, row_bytes), row_bytes);
        n = times(times(row, blocks(height, f->block_height)), depth);
        if (__builtin_add_overflow(total, n, &total))
            return UINT64_MAX;
        if (width == 1 && height == 1 && (layered || depth == 1))
            break; /* the driver makes no more levels than this */
        width = half(width);
        height = half(height);
        depth = layered ? depth : half(depth);
    }
    return total;
}
