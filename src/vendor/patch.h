/* SPDX-License-Identifier: Apache-2.0
 *
 * RFC 6902 operations as text, one after the other. Who writes them knows what
 * is there already; members nobody here has heard of stay as they are.
 */
#ifndef HAMI_VENDOR_PATCH_H
#define HAMI_VENDOR_PATCH_H

#include <glib.h>
#include <stdbool.h>

#define PATCH_KEYS_MAX 8

struct patch {
    GString *operations; /* a JSON array but for its closing bracket; NULL = none yet */
    GString *path;       /* of the one being written */
    bool broken;         /* something on the way to a member is no object or array */
};

void patch_clear(struct patch *p);

/* Begins an operation on the member reached by the first n keys (array
 * positions as decimals): "replace" where it exists, else "add". The caller
 * appends the value's JSON to what is returned, then calls patch_close(). */
GString *patch_open(struct patch *p, bool exists, const char *const *keys, unsigned n);
void patch_close(struct patch *p);

/* The same with a string for the value. */
void patch_string(struct patch *p, bool exists, const char *const *keys, unsigned n, const char *value);

/* All operations as a JSON array (caller frees with g_free), or NULL when there are none. */
char *patch_steal(struct patch *p);

#endif
