/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of arrays: rows of descriptor and expected bytes.
 */
#include <glib.h>

#include "preload/mem_format.h"

struct row {
    const char *name;
    CUarray_format format;
    unsigned int channels, flags, levels;
    size_t width, height, depth;
    uint64_t bytes;
};

#define ONE(format, channels, bytes)                                                                         \
    {                                                                                                        \
#format, CU_AD_FORMAT_##format, channels, 0, 1, 16, 16, 0, bytes                                     \
    }

static const struct row rows[] = {
    ONE(UNSIGNED_INT8, 1, 256),
    ONE(UNSIGNED_INT16, 2, 1024),
    ONE(UNSIGNED_INT32, 4, 4096),
    ONE(SIGNED_INT8, 4, 1024),
    ONE(SIGNED_INT16, 1, 512),
    ONE(SIGNED_INT32, 1, 1024),
    ONE(HALF, 4, 2048),
    ONE(FLOAT, 1, 1024),
    ONE(UNORM_INT8X1, 1, 256),
    ONE(UNORM_INT8X2, 2, 512),
    ONE(UNORM_INT8X4, 4, 1024),
    ONE(UNORM_INT16X1, 1, 512),
    ONE(UNORM_INT16X2, 2, 1024),
    ONE(UNORM_INT16X4, 4, 2048),
    ONE(SNORM_INT8X1, 1, 256),
    ONE(SNORM_INT8X2, 2, 512),
    ONE(SNORM_INT8X4, 4, 1024),
    ONE(SNORM_INT16X1, 1, 512),
    ONE(SNORM_INT16X2, 2, 1024),
    ONE(SNORM_INT16X4, 4, 2048),
    ONE(BC1_UNORM, 4, 128),
    ONE(BC1_UNORM_SRGB, 4, 128),
    ONE(BC2_UNORM, 4, 256),
    ONE(BC2_UNORM_SRGB, 4, 256),
    ONE(BC3_UNORM, 4, 256),
    ONE(BC3_UNORM_SRGB, 4, 256),
    ONE(BC4_UNORM, 1, 128),
    ONE(BC4_SNORM, 1, 128),
    ONE(BC5_UNORM, 2, 256),
    ONE(BC5_SNORM, 2, 256),
    ONE(BC6H_UF16, 3, 256),
    ONE(BC6H_SF16, 3, 256),
    ONE(BC7_UNORM, 4, 256),
    ONE(BC7_UNORM_SRGB, 4, 256),
    ONE(NV12, 3, 384),
    ONE(P010, 3, 768),
    ONE(P016, 3, 768),
    ONE(NV16, 3, 512),
    ONE(P210, 3, 1024),
    ONE(P216, 3, 1024),
    ONE(YUY2, 3, 512),
    ONE(Y210, 3, 1024),
    ONE(Y216, 3, 1024),
    ONE(AYUV, 4, 1024),
    ONE(Y410, 4, 1024),
    ONE(Y416, 4, 2048),
    ONE(Y444_PLANAR8, 3, 768),
    ONE(Y444_PLANAR10, 3, 1536),
    ONE(YUV444_8bit_SemiPlanar, 3, 768),
    ONE(YUV444_16bit_SemiPlanar, 3, 1536),
    ONE(UNORM_INT_101010_2, 4, 1024),
    ONE(UINT8_PACKED_422, 3, 512),
    ONE(UINT8_PACKED_444, 3, 768),
    ONE(UINT8_SEMIPLANAR_420, 3, 384),
    ONE(UINT16_SEMIPLANAR_420, 3, 768),
    ONE(UINT8_SEMIPLANAR_422, 3, 512),
    ONE(UINT16_SEMIPLANAR_422, 3, 1024),
    ONE(UINT8_SEMIPLANAR_444, 3, 768),
    ONE(UINT16_SEMIPLANAR_444, 3, 1536),
    ONE(UINT8_PLANAR_420, 3, 384),
    ONE(UINT16_PLANAR_420, 3, 768),
    ONE(UINT8_PLANAR_422, 3, 512),
    ONE(UINT16_PLANAR_422, 3, 1024),
    ONE(UINT8_PLANAR_444, 3, 768),
    ONE(UINT16_PLANAR_444, 3, 1536),
    {"one dimension", CU_AD_FORMAT_FLOAT, 4, 0, 1, 100, 0, 0, 1600},
    {"three dimensions", CU_AD_FORMAT_FLOAT, 1, 0, 1, 10, 10, 10, 4000},
    {"odd compressed width", CU_AD_FORMAT_BC1_UNORM, 4, 0, 1, 5, 5, 0, 32},
    {"mipmap to one texel", CU_AD_FORMAT_FLOAT, 1, 0, 99, 8, 8, 0, 4 * (64 + 16 + 4 + 1)},
    {"mipmap of three dimensions", CU_AD_FORMAT_FLOAT, 1, 0, 3, 8, 8, 8, 4 * (512 + 64 + 8)},
    {"layers are not halved", CU_AD_FORMAT_FLOAT, 1, 1, 2, 8, 8, 5, 4 * 5 * (64 + 16)},
    {"cube faces are not halved", CU_AD_FORMAT_FLOAT, 1, 4, 2, 8, 8, 6, 4 * 6 * (64 + 16)},
    {"sparse arrays own nothing", CU_AD_FORMAT_FLOAT, 1, 0x40, 1, 1024, 1024, 0, 0},
    {"deferred arrays own nothing", CU_AD_FORMAT_FLOAT, 1, 0x80, 1, 1024, 1024, 0, 0},
    {"no width", CU_AD_FORMAT_FLOAT, 1, 0, 1, 0, 8, 0, 0},
    {"three channels are for the driver to refuse", CU_AD_FORMAT_FLOAT, 3, 0, 1, 8, 8, 0, 0},
    {"unknown format", CU_AD_FORMAT_MAX, 1, 0, 1, 8, 8, 0, 0},
    {"too large to count", CU_AD_FORMAT_FLOAT, 4, 0, 1, SIZE_MAX / 2, 8, 8, UINT64_MAX},
};

static void every_format_has_its_exact_size(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const struct row *r = &rows[i];
        CUDA_ARRAY3D_DESCRIPTOR d = {.Width = r->width,
                                     .Height = r->height,
                                     .Depth = r->depth,
                                     .Format = r->format,
                                     .NumChannels = r->channels,
                                     .Flags = r->flags};
        g_test_message("%s", r->name);
        g_assert_cmpuint(mem_array_bytes(&d, r->levels, 1), ==, r->bytes);
    }
}

/* What a newer driver may take has to have room all the same. */
static void unknown_formats_are_guessed_from_above(void)
{
    CUDA_ARRAY3D_DESCRIPTOR d = {.Width = 8, .Height = 8, .Format = CU_AD_FORMAT_MAX, .NumChannels = 1};

    g_assert_cmpuint(mem_array_bytes(&d, 1, MEM_ARRAY_ROW), ==, 8 * 8 * 16);
    d.Flags = 0x40;
    g_assert_cmpuint(mem_array_bytes(&d, 1, MEM_ARRAY_ROW), ==, 0);
    d = (CUDA_ARRAY3D_DESCRIPTOR){.Width = 1, .Height = 8, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    g_assert_cmpuint(mem_array_bytes(&d, 1, MEM_ARRAY_ROW), ==, 8 * 64);
    d.NumChannels = 3;
    g_assert_cmpuint(mem_array_bytes(&d, 1, MEM_ARRAY_ROW), ==, 8 * 64);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory_format/every_format_has_its_exact_size", every_format_has_its_exact_size);
    g_test_add_func("/memory_format/unknown_formats_are_guessed_from_above",
                    unknown_formats_are_guessed_from_above);
    return g_test_run();
}
