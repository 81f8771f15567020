/* SPDX-License-Identifier: Apache-2.0
 *
 * See device.h. Pure; any thread.
 */
#include "model/device.h"

#include <string.h>

int device_find(const struct device_set *set, const char *uuid)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (strcmp(set->devices[i].uuid, uuid) == 0)
            return (int)i;
    return -1;
}

uint32_t device_pair_score(unsigned nvml_level, unsigned links)
{
    /* NVML: internal 0, single 10, multiple 20, host bridge 30, node 40, system 50 */
    uint32_t bridge = nvml_level > 50 ? 0 : 60 - nvml_level / 10 * 10;
    return bridge + 100 * (links > 18 ? 18 : links);
}
