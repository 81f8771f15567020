/* SPDX-License-Identifier: Apache-2.0
 *
 * See request.h. Pure; any thread.
 */
#include "model/request.h"

#include <string.h>
#include <strings.h>

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

static bool same_text(const char *a, const char *b, size_t n)
{
    return strncasecmp(a, b, n) == 0;
}

static bool contains_nocase(const char *text, const char *part, size_t n)
{
    for (size_t room = strlen(text); room >= n; text++, room--)
        if (same_text(text, part, n))
            return true;
    return false;
}

static bool equals(const char *text, const char *part, size_t n)
{
    return strlen(text) == n && memcmp(text, part, n) == 0;
}

enum listed { BLANK, ABSENT, PRESENT };

/* Looks text up in a comma list; BLANK when the list has no member at all. */
static enum listed look_up(const char *list, const char *text,
                           bool (*match)(const char *, const char *, size_t))
{
    enum listed result = BLANK;
    while (list && *list) {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, ",");
        size_t trimmed = n;
        while (trimmed && (list[trimmed - 1] == ' ' || list[trimmed - 1] == '\t'))
            trimmed--;
        if (trimmed && match(text, list, trimmed))
            return PRESENT;
        if (trimmed)
            result = ABSENT;
        list += n;
    }
    return result;
}

bool request_type_wanted(const struct request *r, const char *type)
{
    return look_up(r->not_types, type, contains_nocase) != PRESENT &&
           look_up(r->use_types, type, contains_nocase) != ABSENT;
}

bool request_uuid_wanted(const struct request *r, const char *uuid)
{
    return look_up(r->not_uuids, uuid, equals) != PRESENT && look_up(r->use_uuids, uuid, equals) != ABSENT;
}
