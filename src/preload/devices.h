/* SPDX-License-Identifier: Apache-2.0
 *
 * Which card is which: CUDA ordinals, NVML's order and the region's indices
 * are three different countings, and only UUIDs connect them.
 */
#ifndef HAMI_PRELOAD_DEVICES_H
#define HAMI_PRELOAD_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "region/layout.h"

#define DEVICES_ORDINALS 64

struct devices_list {
    uint32_t n;
    char uuids[REGION_DEVICES][REGION_UUID_BYTES];
};

/* The UUIDs of each CUDA ordinal: of the MIG instance where it is one, and of
 * the card. What stands behind n is not filled, nor copied: a process has few. */
struct devices_ordinals {
    uint32_t n;
    struct devices_names {
        char uuid[48];
        char card[48];
    } of[DEVICES_ORDINALS];
};

void devices_ordinals_copy(struct devices_ordinals *to, const struct devices_ordinals *from);

/* Asks the initialised CUDA driver. False when it does not answer. */
bool devices_of_cuda(struct devices_ordinals *ret);

/* All cards this process's driver sees, in NVML's order, which is the order of
 * the limits' indices. `nvml_ready`: the application has initialised NVML. */
bool devices_of_machine(const struct devices_ordinals *cuda, bool nvml_ready, struct devices_list *ret);

/* Same card or instance: compares the hexadecimal part, not GPU- or MIG-. */
bool devices_same(const char *a, const char *b);

#endif
