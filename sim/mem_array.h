/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays: opaque to the program, in truth rows of bytes in the device's arena,
 * so that a copy to or from one is a copy between pitched rectangles.
 */
#ifndef HAMI_SIM_MEM_ARRAY_H
#define HAMI_SIM_MEM_ARRAY_H

#include "mem.h"

enum {
    SIM_ARRAY_LAYERED = 1,
    SIM_ARRAY_SURFACE = 2,
    SIM_ARRAY_CUBEMAP = 4,
    SIM_ARRAY_TEXTURE_GATHER = 8,
    SIM_ARRAY_DEPTH_TEXTURE = 16,
    SIM_ARRAY_COLOR_ATTACHMENT = 32,
    SIM_ARRAY_SPARSE = 64,
    SIM_ARRAY_DEFERRED = 128,
    SIM_ARRAY_VIDEO_ENCODE = 256,
    SIM_ARRAY_FLAGS = 511
};

struct sim_mipmap;

struct sim_array {
    uint32_t tag; /* SIM_TAG_ARRAY */
    CUdevice device;
    struct sim_context *ctx;
    struct sim_block *block;   /* NULL for levels and planes of another */
    struct sim_mipmap *mipmap; /* whose level this is */
    bool view;                 /* a level or a plane: dies with what it shows */
    struct sim_array *planes[3];
    struct sim_array_map *maps;  /* sparse and deferred arrays: what is mapped */
    uint64_t base, pitch, slice; /* bytes from row to row and from slice to slice */
    uint64_t row_bytes, rows, slices;
    bool real;
    CUDA_ARRAY3D_DESCRIPTOR desc;
};

/* The array behind a handle, or NULL when it is none. */
struct sim_array *sim_array_of(CUarray handle);

/* How the elements of a format lie in memory. */
struct sim_format {
    uint16_t format;
    uint8_t bytes;    /* of one channel; of one element when channels is not 0; of a block when block is 4 */
    uint8_t channels; /* 0: as many as the descriptor says (1, 2 or 4) */
    uint8_t block;    /* texels across one block: 1, or 4 where compressed */
    uint8_t planes;
    uint8_t chroma_bytes, sub_x, sub_y; /* of an element of the further planes; how much smaller they are */
};
/* NULL when the format is unknown. */
const struct sim_format *sim_format_of(CUarray_format format);
/* Bytes of one element, or 0 when the channels do not fit the format. */
unsigned sim_element_bytes(const struct sim_format *format, unsigned channels);

/* Where the rows, slices and planes of a descriptor lie, from its first byte. */
struct sim_extent {
    uint64_t row_bytes, rows, slices, pitch, slice;
    uint64_t plane[3]; /* offsets */
    uint64_t total;
};
CUresult sim_array_extent(const CUDA_ARRAY3D_DESCRIPTOR *desc, struct sim_extent *ret);
/* Of plane `index` of a format with several. */
CUresult sim_plane_descriptor(const CUDA_ARRAY3D_DESCRIPTOR *desc, unsigned index,
                              CUDA_ARRAY3D_DESCRIPTOR *ret);

/* A view of bytes that belong to something else; NULL without memory. */
struct sim_array *sim_array_view(const CUDA_ARRAY3D_DESCRIPTOR *desc, const struct sim_extent *extent,
                                 const struct sim_array *like, uint64_t base);

/* Address space, bytes and (unless sparse or deferred) physical memory of an
 * array or mipmapped array of this size. */
#define SIM_ARRAY_ALIGN 65536ULL
CUresult sim_array_bytes(uint64_t total, unsigned flags, struct sim_context *ctx, CUdevice device,
                         struct sim_block **ret);
void sim_array_bytes_free(struct sim_block *block);

struct sim_mipmap {
    uint32_t tag;           /* SIM_TAG_MIPMAP */
    struct sim_array shape; /* of the whole: device, context, block, descriptor */
    unsigned n_levels;
    uint64_t level_base[32], total;
    struct sim_array *levels[32]; /* made when asked for */
};
struct sim_mipmap *sim_mipmap_of(CUmipmappedArray handle);
CUDA_ARRAY3D_DESCRIPTOR sim_level_descriptor(const CUDA_ARRAY3D_DESCRIPTOR *desc, unsigned level);

/* mem_sparse.c */
void sim_array_maps_drop(struct sim_array *array);

#endif
