/* SPDX-License-Identifier: Apache-2.0
 *
 * An object's members into a plain struct, by a table, with the rules that the
 * field's agents are written against (Go's encoding/json): keys match whatever
 * their case, of two the last one counts, unknown ones are ignored, null
 * leaves a member as it is, and a value of another kind refuses the object.
 * And the writer's half: a string as that package writes it.
 */
#ifndef HAMI_BASE_JSON_FIELDS_H
#define HAMI_BASE_JSON_FIELDS_H

#include <glib.h>

#include "base/json_scan.h"

enum json_field_kind {
    JSON_FIELD_INT,  /* int64_t, within min and max */
    JSON_FIELD_BOOL, /* bool */
    JSON_FIELD_TEXT, /* struct json_text: between the quotes, borrowed */
    JSON_FIELD_RAW   /* struct json_text: any value's own text, borrowed; len 0 = absent */
};

struct json_field {
    const char *name;
    enum json_field_kind kind;
    size_t at; /* offset in the struct */
    int64_t min, max;
};

/* Reads the next value, which must be an object. False with *ret_why (caller
 * frees: "devmem -1 is negative") when it is none or a member is no use. */
bool json_fields_read(struct json_scan *s, const struct json_field *fields, size_t n, void *ret,
                      char **ret_why);

/* Up to 40 characters of a value, for messages; unprintable ones as "?". Caller frees. */
char *json_fields_excerpt(const char *at, size_t len);

/* Appends "text" with quotes and escapes, < > & as \u003c and so on. `text` is UTF-8. */
void json_quote(GString *out, const char *text);

#endif
