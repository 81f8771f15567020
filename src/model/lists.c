/* SPDX-License-Identifier: Apache-2.0 */
#include "model/lists.h"

#include <string.h>
#include <strings.h>

static bool contains_nocase(const char *text, const char *part, size_t n)
{
    for (size_t room = strlen(text); room >= n; text++, room--)
        if (strncasecmp(text, part, n) == 0)
            return true;
    return false;
}

static bool equals(const char *text, const char *part, size_t n)
{
    return strlen(text) == n && memcmp(text, part, n) == 0;
}

const char *lists_next(const char **at, size_t *ret_len)
{
    const char *list = *at;
    if (!list)
        return NULL;
    list += strspn(list, " \t,");
    if (!*list)
        return NULL;
    size_t n = strcspn(list, ",");
    *at = list + n;
    while (n && (list[n - 1] == ' ' || list[n - 1] == '\t'))
        n--;
    *ret_len = n;
    return list;
}

enum listed { BLANK, ABSENT, PRESENT };

/* BLANK when the list has no member at all. */
static enum listed look_up(const char *list, const char *text,
                           bool (*match)(const char *, const char *, size_t))
{
    enum listed result = BLANK;
    size_t n;
    for (const char *member; (member = lists_next(&list, &n)); result = ABSENT)
        if (match(text, member, n))
            return PRESENT;
    return result;
}

bool lists_want_type(const char *use, const char * not, const char *type)
{
    return look_up(not, type, contains_nocase) != PRESENT && look_up(use, type, contains_nocase) != ABSENT;
}

bool lists_want_uuid(const char *use, const char * not, const char *uuid)
{
    return look_up(not, uuid, equals) != PRESENT && look_up(use, uuid, equals) != ABSENT;
}
