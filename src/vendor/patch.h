/* SPDX-License-Identifier: Apache-2.0
 *
 * A JSON document that is being changed, and the RFC 6902 operations that
 * change it: only what is set here is in the patch, so that members nobody
 * here has heard of stay as they are.
 */
#ifndef HAMI_VENDOR_PATCH_H
#define HAMI_VENDOR_PATCH_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

struct patch {
    json_t *document;  /* as it is after the operations; shares with the original what did not change */
    GHashTable *owned; /* the values of document that are not shared */
    json_t *operations;
    bool broken; /* something on the way to a member was no object or array */
};

void patch_init(struct patch *p, json_t *document); /* borrows; it is not changed */
void patch_clear(struct patch *p);

/* The value reached by `keys`, which stays at its place while members below it are set; NULL when there is
 * none. Borrowed. */
json_t *patch_hold(struct patch *p, const char *const *keys);

/* Sets the member reached by `keys` (ends with NULL; array positions as
 * decimals), making missing objects on the way. Nothing happens when it has
 * this value already. Takes `value`. */
void patch_set(struct patch *p, json_t *value, const char *const *keys);

/* Adds to the end of the array reached by `keys`, which is made when missing. Takes `value`. */
void patch_append(struct patch *p, json_t *value, const char *const *keys);

#endif
