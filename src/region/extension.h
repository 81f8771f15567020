/* SPDX-License-Identifier: Apache-2.0
 *
 * What is new in the region, behind everything the field's older programs look
 * at. It starts at file offset 2 011 136 (page 491); contract/region.def lists
 * every field and region.c asserts every row of it.
 *
 *   page 0          header: version, where limits come from, host's controls
 *   pages 1-2       one block per device: ledger word, compute account
 *   pages 3-18      one board per device, for turns when no host-owned board
 *                   exists; content defined by the compute engine
 *   pages 19-530    one block per slot: who it is, what it holds
 *
 * Invariants:
 *   1. Nothing here is trusted. Indices are masked or bounded by the reader,
 *      sums are checked for overflow, loops have a bound that does not come
 *      from the file. Only the magic, major and total_bytes of a mapping that
 *      passed region_open() may be taken as checked, and only once.
 *   2. Counters that several processes write are _Atomic; each other field
 *      names its only writer.
 *   3. There is no lock word that a dead process can leave behind and that
 *      others must wait for: slow paths exclude one another by locks of the
 *      open file description (region/lock.h), which the kernel drops at death.
 *   4. The file is sparse. A process touches the header, the device pages it
 *      uses and its own slot: about 32 KiB, 64 KiB at most.
 */
#ifndef HAMI_REGION_EXTENSION_H
#define HAMI_REGION_EXTENSION_H

#include <stdatomic.h>
#include <stdint.h>

#include "region/layout.h"

#define REGION_EXT_OFFSET 2011136
#define REGION_EXT_MAGIC UINT64_C(0x484d495245474e31)
#define REGION_EXT_MAJOR 1
#define REGION_EXT_MINOR 0
#define REGION_BOARD_BYTES 4096
#define REGION_FILE_BYTES (REGION_EXT_OFFSET + (long)sizeof(struct region_ext))

enum region_feature {
    REGION_FEATURE_LEDGER = 1 << 0,
    REGION_FEATURE_COMPUTE = 1 << 1,
    REGION_FEATURE_BOARD = 1 << 2,
    REGION_FEATURES = REGION_FEATURE_LEDGER | REGION_FEATURE_COMPUTE | REGION_FEATURE_BOARD,
};

/* The ledger's truth for one device: bytes charged, and (slot, seq) of the
 * operation that made it so. Changed only by a 16-byte compare and swap. */
struct region_word {
    _Alignas(16) _Atomic uint64_t bytes;
    _Atomic uint64_t tag;
};

/* The compute engine's shared account of one device. */
struct region_compute {
    _Atomic int64_t tokens_ns;
    _Atomic uint64_t refilled_ns;
    _Atomic uint64_t busy_ns;
    _Atomic uint64_t throttled_ns;
    _Atomic uint64_t launches;
    _Atomic uint64_t waits;
    _Atomic uint64_t last_launch_ns;
    _Atomic uint64_t cores_pct;
    _Atomic uint64_t reserved[16]; /* zero until the engine gives them a meaning */
};

struct region_device {
    struct region_word word;
    _Atomic uint64_t peak;
    _Atomic uint64_t oom_count;
    uint64_t pad0[4];
    _Atomic uint64_t overhead_hint;
    _Atomic uint64_t spilled;
    _Atomic uint64_t thrash_count;
    _Atomic uint64_t reserved[5];
    struct region_compute compute;
    uint64_t pad1[24];
};

/* A page for turns; the compute engine says what is in it. */
struct region_board {
    _Alignas(REGION_BOARD_BYTES) unsigned char bytes[REGION_BOARD_BYTES];
};

/* What a slot holds of one device, and the operation it is in (ledger.c). */
struct region_journal {
    _Atomic uint64_t held;    /* bytes after operation `done` */
    _Atomic uint64_t next;    /* bytes after operation `intent` */
    _Atomic uint64_t intent;  /* sequence number of the operation begun last */
    _Atomic uint64_t done;    /* ... and of the one settled last */
    _Atomic uint64_t applied; /* highest one that others saw in the word */
    _Atomic int64_t parked;   /* bytes given or taken while the slot's lock was stuck */
    _Atomic uint64_t context; /* parts of held by kind; the rest is data */
    _Atomic uint64_t module;
};

/* A process's part in the compute account of one device. Written by it alone. */
struct region_member_compute {
    _Atomic uint64_t busy_ns;
    _Atomic uint64_t launches;
    _Atomic uint64_t inflight_ns;
    _Atomic uint64_t reserved;
};

/* One process of the slice; the block with the same index as its slot. */
struct region_member {
    _Atomic uint64_t start_ticks;
    _Atomic uint64_t pid_ns;
    _Atomic uint64_t seen_ns;
    _Atomic uint64_t reserved[5];
    _Atomic uint32_t lock;
    uint32_t pad0[15];
    struct region_journal journal[REGION_DEVICES];
    struct region_member_compute compute[REGION_DEVICES];
    _Atomic uint64_t checkpointed[REGION_DEVICES]; /* held when the process was checkpointed */
    uint64_t pad1[32];
};

struct region_ext {
    _Atomic uint64_t magic;
    uint32_t major;
    uint32_t minor;
    uint32_t header_bytes;
    uint32_t total_bytes;
    uint64_t features;
    _Atomic uint64_t incarnation;
    _Atomic uint32_t limit_source; /* enum region_source */
    _Atomic uint32_t sweep_cursor;
    _Atomic uint64_t swept_ns;
    uint64_t pad0;
    _Atomic uint32_t suspended; /* the host's word: 1 = everybody waits */
    _Atomic uint32_t policy;    /* enum grant_policy, for slices without a grant */
    _Atomic uint64_t window_ns;
    _Atomic uint64_t host_seen_ns;
    uint64_t pad1[5];
    _Atomic uint64_t slot_map[REGION_SLOTS / 64];
    uint64_t pad2[480];
    struct region_device devices[REGION_DEVICES];
    struct region_board boards[REGION_DEVICES];
    struct region_member members[REGION_SLOTS];
};

#endif
