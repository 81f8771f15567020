/* SPDX-License-Identifier: Apache-2.0
 *
 * See request.h. Pure; any thread.
 */
#include "model/request.h"

#include <string.h>

#include "model/lists.h"

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

uint64_t request_mem_on(const struct request *r, const struct device *d)
{
    if (r->mem.bytes)
        return r->mem.bytes;
    return r->mem.percent ? quantity_percent_of(d->mem_bytes, r->mem.percent) : d->mem_bytes;
}

bool request_type_wanted(const struct request *r, const char *type)
{
    return lists_want_type(r->use_types, r->not_types, type);
}

bool request_uuid_wanted(const struct request *r, const char *uuid)
{
    return lists_want_uuid(r->use_uuids, r->not_uuids, uuid);
}
