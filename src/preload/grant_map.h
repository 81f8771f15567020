/* SPDX-License-Identifier: Apache-2.0
 *
 * This process's mapping of its grant file.
 */
#ifndef HAMI_PRELOAD_GRANT_MAP_H
#define HAMI_PRELOAD_GRANT_MAP_H

#include <stdint.h>

#include "region/grant.h"

enum grant_found {
    GRANT_ABSENT, /* nobody gave one: other sources of limits are asked */
    GRANT_FOUND,
    GRANT_BROKEN, /* there should be one and it cannot be read: logged */
};

/* Opens, maps and parses the grant: GRANT_PATH, or HAMI_GRANT=<path> where
 * GRANT_PATH does not exist. Maps once; later calls parse again. *ret_epoch
 * are the epoch's bytes as parsed. */
enum grant_found grant_map(struct grant *ret, uint64_t *ret_epoch);

/* Parses the mapping again. 0 = *ret holds it; -1 = being written, try later;
 * -2 = content that cannot be parsed (logged). */
int grant_map_read(struct grant *ret, uint64_t *ret_epoch);

/* The 8 bytes that change when the host changes the grant. Never NULL. */
const volatile uint64_t *grant_map_epoch(void);

void grant_unmap(void);

#endif
