/* SPDX-License-Identifier: Apache-2.0
 *
 * One management library: the table that the helper process works through.
 * Only called inside the helper.
 */
#ifndef HAMI_DRIVER_BACKEND_H
#define HAMI_DRIVER_BACKEND_H

#include "driver/driver.h"

struct driver_backend {
    const char *name;
    const char *library;
    /* Each returns NULL, or what went wrong; the text lives as long as the process. */
    const char *(*open)(void);
    const char *(*discover)(struct driver_inventory *ret);
    const char *(*set_limit)(const char *uuid, const char *cgroup, uint64_t hard_bytes);
    const char *(*get_limit)(const char *uuid, const char *cgroup, struct driver_limit *ret);
};

extern const struct driver_backend driver_nvml;

#endif
