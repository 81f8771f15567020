/* SPDX-License-Identifier: Apache-2.0
 *
 * Managed memory: where its pages are and what was advised about them, per
 * 2 MiB of the allocation. The bytes always are real host memory; what moves
 * is which device's physical memory a page takes.
 *
 * Pages become resident on a device by prefetches, sets and explicit copies.
 * Kernels compute nothing here, so a launch moves nothing. When a device is
 * full, resident pages make room, the least recently moved allocation first.
 */
#ifndef HAMI_SIM_MEM_MANAGED_H
#define HAMI_SIM_MEM_MANAGED_H

#include "mem.h"

#define SIM_AT_HOST (-1)
#define SIM_AT_NOWHERE (-2)

struct sim_place {
    uint8_t type; /* CUmemLocationType; 0: none */
    int16_t id;
};

struct sim_page {
    int16_t where; /* device, or SIM_AT_HOST */
    bool read_mostly;
    struct sim_place preferred, prefetched;
    uint64_t accessed_by; /* bit per device; bit 63: the host */
};

struct sim_managed {
    struct sim_managed *next, *prev;
    uint64_t base, size, used; /* used: counter of the last move */
    size_t n_pages;
    unsigned attach;
    struct sim_page pages[];
};

/* Runs visit on the pages of [address, address + bytes), which must lie in one
 * managed allocation; INVALID_VALUE otherwise. */
CUresult sim_managed_pages(uint64_t address, uint64_t bytes,
                           CUresult (*visit)(struct sim_managed *managed, struct sim_page *page, void *arg),
                           void *arg);
CUresult sim_managed_move(struct sim_managed *managed, struct sim_page *page, int to);

/* A location argument to a place; false when it names nothing that exists. */
bool sim_place_of(const CUmemLocation *location, struct sim_place *ret);

#endif
