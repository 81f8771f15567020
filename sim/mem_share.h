/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks shared between processes: what IPC handles and exported pool pointers
 * carry, and opening and closing them.
 */
#ifndef HAMI_SIM_MEM_SHARE_H
#define HAMI_SIM_MEM_SHARE_H

#include "mem_bytes.h"

/* Fits the driver's opaque 64 bytes. A program may hand in anything. */
struct sim_share_token {
    uint64_t magic;
    int32_t pid, fd;
    uint64_t inode, offset, size;
    uint32_t kind, reserved;
};
_Static_assert(sizeof(struct sim_share_token) <= 64, "an IPC handle has 64 bytes");

/* The arena's lock held. The chunk of a small block is shared as a whole. */
bool sim_share_export(struct sim_arena *arena, struct sim_block *block, enum sim_share_kind kind,
                      struct sim_share_token *ret);
/* What another process needs to find shared bytes, and those bytes; NULL when
 * they are gone. */
bool sim_share_token_of(const struct sim_bytes *bytes, enum sim_share_kind kind, struct sim_share_token *ret);
struct sim_bytes *sim_share_fetch(const struct sim_share_token *token);
/* Opening the same block again counts, and answers the same address. */
CUresult sim_share_open(const struct sim_share_token *token, struct sim_context *ctx, CUdeviceptr *ret);
bool sim_share_close(CUdeviceptr address);
void sim_share_context_gone(struct sim_context *ctx);

#endif
