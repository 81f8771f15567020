/* SPDX-License-Identifier: Apache-2.0
 *
 * Label and field selectors of LIST and WATCH.
 * Labels: key, !key, key=v, key==v, key!=v, key in (a,b), key notin (a,b).
 * Fields: path=value, path==value, path!=value, where a path is any chain of
 * names (a real server knows a few per kind).
 */
#ifndef HAMI_FAKE_SELECTOR_H
#define HAMI_FAKE_SELECTOR_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

struct selector {
    GPtrArray *terms; /* NULL when everything matches */
};

/* Each text may be NULL. False when one cannot be read. */
bool selector_parse(struct selector *selector, const char *labels, const char *fields);
void selector_clear(struct selector *selector);
bool selector_matches(const struct selector *selector, json_t *object);

#endif
