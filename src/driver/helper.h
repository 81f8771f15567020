/* SPDX-License-Identifier: Apache-2.0
 *
 * The reply that the helper process writes: one struct, both ends being the
 * same executable.
 */
#ifndef HAMI_DRIVER_HELPER_H
#define HAMI_DRIVER_HELPER_H

#include "driver/driver.h"

#define DRIVER_REPLY_MAGIC 0x48445256u

struct driver_reply {
    uint32_t magic;
    uint32_t bytes;
    uint32_t ok;
    char why[300];
    struct driver_inventory inventory;
    struct driver_limit limit;
};

#endif
