/* SPDX-License-Identifier: Apache-2.0
 *
 * See request.h. Pure; any thread.
 */
#include "local/request.h"

#include <string.h>

const char *const request_policy_names[REQUEST_POLICIES + 1] = {"binpack", "spread", "numa", "topology",
                                                                NULL};

const char *request_policy_name(enum request_policy policy)
{
    return (unsigned)policy < REQUEST_POLICIES ? request_policy_names[policy] : "unknown";
}

int request_policy_parse(const char *name)
{
    for (int i = 0; i < REQUEST_POLICIES; i++)
        if (strcmp(name, request_policy_names[i]) == 0)
            return i;
    return -1;
}

uint64_t request_mem_of(const struct quantity_mem *mem, uint64_t card_bytes)
{
    if (mem->bytes)
        return mem->bytes;
    return mem->percent ? quantity_percent_of(card_bytes, mem->percent) : card_bytes;
}
