/* SPDX-License-Identifier: Apache-2.0
 *
 * An object's members by a table, each read by a function as it comes: for
 * Kubernetes' objects, of which a few members matter, some levels down. Their
 * rules: keys differ by case, unknown members are skipped, and what a member
 * of another kind means is its reader's choice. (base/json_fields.h is for
 * objects that become one plain struct, with their writers' other rules.)
 */
#ifndef HAMI_BASE_JSON_MEMBERS_H
#define HAMI_BASE_JSON_MEMBERS_H

#include "base/json_scan.h"

struct json_member {
    const char *name;
    size_t len;
    const char *twice; /* the fault, where s->once is set */
    /* Reads or skips the value that comes next. */
    void (*read)(struct json_scan *s, void *data, size_t at);
    size_t at; /* handed to `read`: usually an offset */
};

#define JSON_MEMBER(key, read_value, where)                                                                  \
    {                                                                                                        \
        .name = (key), .len = sizeof(key) - 1, .twice = "it has " key " twice; write it once",               \
        .read = (read_value), .at = (where)                                                                  \
    }

/* Reads the next value when it is an object, else skips it. At most 32 rows. */
void json_members_read(struct json_scan *s, const struct json_member *rows, size_t n, void *data);

#endif
