/* SPDX-License-Identifier: Apache-2.0
 *
 * The grant: what the host gives a slice, as a text file that the host writes
 * and the workload can only read. Its keys are the rows of contract/grant.def.
 *
 *   hami-grant   1  00000007          version and epoch, at fixed offsets
 *   id 6f1e9c02
 *   name trainer
 *   region /run/hami/6f1e9c02/vgpu.cache
 *   policy force
 *   priority 1
 *   oversubscribe no
 *   device 0 GPU-5f... mem 8589934592 cores 30 board /run/hami/board/GPU-5f...
 *   end 00000007
 *
 * Invariants:
 *   1. The epoch is 8 decimal digits at byte 16. The library maps the file and
 *      compares those 8 bytes on its hot path; a change makes it read again.
 *   2. The file is rewritten in place and never shrinks below its first page
 *      (it is padded with newlines), so that a mapping of it stays valid.
 *   3. The epochs of the first and the last line are equal, or the reader
 *      caught a write half way and reads again.
 *   4. A grant that exists but cannot be parsed means "refuse", never
 *      "unlimited".
 */
#ifndef HAMI_REGION_GRANT_H
#define HAMI_REGION_GRANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region/layout.h"

#define GRANT_PATH "/etc/hami/grant"
#define GRANT_VERSION 1
#define GRANT_FILE_BYTES 8192 /* fixed size of the file, padding included */
#define GRANT_EPOCH_OFFSET 16
#define GRANT_TEXT_MAX 256 /* longest id, name or path, terminator included */

enum grant_policy { GRANT_POLICY_DEFAULT, GRANT_POLICY_FORCE, GRANT_POLICY_DISABLE };

struct grant_device {
    char uuid[REGION_UUID_BYTES];
    uint64_t mem_bytes;         /* 0 = unlimited */
    uint32_t cores_pct;         /* 0 or 100 = unlimited */
    char board[GRANT_TEXT_MAX]; /* turn board shared by the card's tenants; empty = none */
};

struct grant {
    uint32_t epoch;
    char id[GRANT_TEXT_MAX];
    char name[GRANT_TEXT_MAX];
    char region[GRANT_TEXT_MAX];
    enum grant_policy policy;
    int32_t priority;
    bool oversubscribe;
    uint32_t n_devices;
    struct grant_device devices[REGION_DEVICES];
};

/* What is wrong with a grant: the line (1-based, 0 = the file as a whole), the
 * key and the reason, for a message that names field, value and remedy. */
struct grant_error {
    unsigned line;
    char key[32];
    char reason[128];
};

/* Parses text of length n. Returns 0 and fills *ret, or -1 and fills *err.
 * Never reads beyond n; does not allocate. */
int grant_parse(const char *text, size_t n, struct grant *ret, struct grant_error *err);

/* Writes the file's whole content (GRANT_FILE_BYTES, padded) to buf.
 * Returns 0, or -1 when a field cannot be represented. */
int grant_format(const struct grant *g, char buf[GRANT_FILE_BYTES]);

#endif
