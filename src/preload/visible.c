/* SPDX-License-Identifier: Apache-2.0
 *
 * See visible.h.
 *
 * Invariants:
 *   1. The list ends at the first entry that is no card of the slice, as the
 *      driver's does; what is left is never all cards by mistake.
 *   2. A list of UUIDs, which is what `hami run` sets, is not touched: changing
 *      the environment beside other threads is for those who need it.
 */
#include "preload/visible.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VARIABLE "CUDA_VISIBLE_DEVICES"

struct list {
    char *text;
    size_t n;
};

static bool append(struct list *list, const char *entry, size_t bytes)
{
    if (list->n + bytes + 2 > VISIBLE_MAX)
        return false;
    if (list->n)
        list->text[list->n++] = ',';
    memcpy(list->text + list->n, entry, bytes);
    list->n += bytes;
    list->text[list->n] = '\0';
    return true;
}

/* The card that an entry names by its number or by the beginning of its UUID;
 * NULL = none of ours. */
static const char *card_of(const char *entry, size_t bytes, const struct grant *grant)
{
    char *end;
    if (isdigit((unsigned char)entry[0])) {
        unsigned long number = strtoul(entry, &end, 10);
        return end == entry + bytes && number < grant->n_devices ? grant->devices[number].uuid : NULL;
    }
    for (uint32_t i = 0; i < grant->n_devices && bytes > 4; i++)
        if (strncasecmp(grant->devices[i].uuid, entry, bytes) == 0)
            return grant->devices[i].uuid;
    return NULL;
}

static bool is_instance(const char *entry, size_t bytes)
{
    return bytes > 4 && strncmp(entry, "MIG-", 4) == 0;
}

bool visible_meant(const char *chosen, const struct grant *grant, char ret[VISIBLE_MAX])
{
    struct list list = {.text = ret};
    ret[0] = '\0';
    if (!chosen) {
        for (uint32_t i = 0; i < grant->n_devices; i++)
            append(&list, grant->devices[i].uuid, strlen(grant->devices[i].uuid));
        return true;
    }
    for (const char *entry = chosen; *entry;) {
        entry += strspn(entry, " ");
        size_t bytes = strcspn(entry, ", ");
        const char *card = card_of(entry, bytes, grant);
        bool taken = card ? append(&list, card, strlen(card))
                          /* an instance of a card of ours goes by its own name */
                          : is_instance(entry, bytes) && append(&list, entry, bytes);
        if (!taken)
            break;
        entry += bytes + strspn(entry + bytes, " ");
        entry += *entry == ',';
    }
    return strcmp(chosen, ret) != 0;
}

/* The environment is given our text and then its own entry back: nothing is
 * allocated, and what a thread got from getenv() stays readable. */
struct visible visible_set(const struct grant *grant)
{
    static char entry[sizeof VARIABLE + VISIBLE_MAX] = VARIABLE "=";
    struct visible visible = {0};
    char meant[VISIBLE_MAX], *chosen = getenv(VARIABLE);
    int saved = errno;
    if (visible_meant(chosen, grant, meant)) {
        memcpy(entry + sizeof VARIABLE, meant, strlen(meant) + 1);
        visible.before = chosen ? chosen - sizeof VARIABLE : NULL;
        visible.changed = putenv(entry) == 0;
    }
    errno = saved;
    return visible;
}

void visible_restore(const struct visible *visible)
{
    int saved = errno;
    if (visible->changed && visible->before)
        putenv(visible->before);
    else if (visible->changed)
        unsetenv(VARIABLE);
    errno = saved;
}
