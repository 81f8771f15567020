/* SPDX-License-Identifier: Apache-2.0
 *
 * The patches an API server takes: merge (RFC 7396), JSON Patch (RFC 6902) and
 * the part of strategic merge that differs from merge for the objects served
 * here: lists with a merge key (conditions by type, taints by key, containers
 * by name, ...) are merged by it, `$patch: delete` removes an item.
 */
#ifndef HAMI_FAKE_PATCH_H
#define HAMI_FAKE_PATCH_H

#include <jansson.h>
#include <stdbool.h>

/* A new reference; object is not changed. */
json_t *patch_merge(json_t *object, json_t *patch);
json_t *patch_strategic(json_t *object, json_t *patch);
/* Changes object in place; false when an operation cannot be done, with the reason in *ret_why (static). */
bool patch_operations(json_t **object, json_t *operations, const char **ret_why);

#endif
