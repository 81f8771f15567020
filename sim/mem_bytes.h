/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes that can appear at several addresses, and in several processes.
 *
 * What only this process maps comes from one sparse file of the process (the
 * bank), so that ten thousand objects cost one descriptor. What is shared gets
 * an anonymous file of its own: the bytes, then one page that says what it is
 * and who holds it. Importers treat that page as hostile.
 */
#ifndef HAMI_SIM_MEM_BYTES_H
#define HAMI_SIM_MEM_BYTES_H

#include "mem.h"

#define SIM_SHARE_MAGIC 0x48414d4953494d31ULL
#define SIM_SHARE_PAGE 4096ULL
#define SIM_SHARE_HOLDERS 64

enum sim_share_kind { SIM_SHARE_VMM = 1, SIM_SHARE_IPC, SIM_SHARE_POOL, SIM_SHARE_EVENT };

/* The page behind the bytes. */
struct sim_share {
    uint64_t magic;
    uint32_t kind;
    uint32_t machine; /* device of the machine that holds the memory */
    uint64_t size;
    uint32_t real; /* 0: only counted, the file has no bytes but this page */
    uint32_t handle_types;
    uint32_t location_type;
    int32_t location_id;
    int32_t owner;                      /* pid that pays for the memory */
    int32_t holders[SIM_SHARE_HOLDERS]; /* pids that imported it; 0: free */
};

struct sim_bytes {
    uint64_t size;
    bool real;
    bool imported;           /* another made it, and pays for it */
    int fd;                  /* -1: in the bank, or only counted */
    struct sim_block *bank;  /* its place there */
    bool mapped;             /* ever: there may be pages to drop */
    struct sim_share *share; /* mapped page of a file of its own */
    int holder;              /* our index in share->holders, -1 as the owner */
};

/* New private bytes; without `real` nothing is stored. NULL: no memory. */
struct sim_bytes *sim_bytes_new(uint64_t size, bool real);
/* Gives the bytes a file of their own (for a second time: nothing to do).
 * Every address they are mapped at must be mapped again. from: where to copy
 * their contents from, or 0 for the bank. */
bool sim_bytes_share(struct sim_bytes *bytes, const struct sim_share *what, uint64_t from);
/* Takes over bytes shared by another process, or by this one; NULL when the
 * file is not one of ours or is of another kind. The descriptor stays the
 * caller's. */
struct sim_bytes *sim_bytes_import(int fd, enum sim_share_kind kind);
/* True while living processes hold shared bytes that they imported. */
bool sim_bytes_held(const struct sim_bytes *bytes);
void sim_bytes_free(struct sim_bytes *bytes);

/* Maps [offset, offset + length) at an address inside an arena. */
bool sim_bytes_map(struct sim_bytes *bytes, uint64_t offset, uint64_t address, uint64_t length);
/* Makes the addresses reserved space again; usable: anonymous bytes instead. */
void sim_bytes_unmap(uint64_t address, uint64_t length, bool usable);

/* Physical memory whose owner has let go while importers still hold it stays
 * taken until the last of them is gone. */
void sim_bytes_linger(struct sim_bytes *bytes, unsigned machine, uint64_t taken);
/* Gives back what no longer lingers; true when something was. */
bool sim_bytes_sweep(void);

#endif
