/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a request does not fit, card by card, and the smallest change that would
 * make it fit. Figures only: wording is the caller's.
 */
#ifndef HAMI_SCHED_EXPLAIN_H
#define HAMI_SCHED_EXPLAIN_H

#include "sched/fit.h"

struct sched_card_reason {
    enum sched_reason reason;
    uint64_t free_bytes;
    uint32_t free_cores_pct; /* UINT32_MAX when the card is not divided */
};

/* One change, everything else as asked; which fields count is said by `kind`. */
enum sched_change {
    SCHED_CHANGE_NONE,
    SCHED_CHANGE_MEM,
    SCHED_CHANGE_CORES,
    SCHED_CHANGE_COUNT,
    SCHED_CHANGE_MEM_AND_CORES,
    SCHED_CHANGE_LISTS,
    SCHED_CHANGE_SHARED,
    SCHED_CHANGE_POLICY
};

struct sched_explanation {
    enum sched_reason reason; /* as sched_choose() says */
    struct sched_card_reason cards[DEVICE_MAX];
    enum sched_change kind;
    uint64_t mem_bytes; /* with this --mem it would fit */
    uint32_t cores_pct; /* with this --cores */
    uint32_t n_devices; /* with this --gpus */
};

void sched_explain(const struct device_set *set, const struct request *r, struct sched_explanation *ret);

#endif
