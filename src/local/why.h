/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a request does not fit, card by card, and the smallest change that would
 * make it fit. Figures only: wording is the caller's.
 */
#ifndef HAMI_LOCAL_WHY_H
#define HAMI_LOCAL_WHY_H

#include "local/place.h"

struct why_card {
    enum sched_reason reason;
    uint64_t free_bytes;
    uint32_t free_cores_pct;
};

/* One change, everything else as asked; which fields count is said by `kind`. */
enum why_change {
    WHY_CHANGE_NONE,
    WHY_CHANGE_MEM,
    WHY_CHANGE_CORES,
    WHY_CHANGE_COUNT,
    WHY_CHANGE_MEM_AND_CORES,
    WHY_CHANGE_LISTS,
    WHY_CHANGE_SHARED,
    WHY_CHANGE_POLICY
};

struct why {
    enum sched_reason reason; /* as place_choose() says */
    struct why_card cards[MACHINE_CARDS];
    enum why_change kind;
    uint64_t mem_bytes; /* with this --mem it would fit */
    uint32_t cores_pct; /* with this --cores */
    uint32_t n_devices; /* with this --gpus */
};

void why_find(const struct machine *m, const struct request *r, struct why *ret);

#endif
