/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader of JSON text that allocates nothing and builds no tree: for places
 * where most of a document is of no interest (one API object of 10 KB holds
 * 200 bytes that matter; a filter call holds 15 000 names).
 *
 * The text is borrowed, need not end in NUL, and may be hostile: every read is
 * bounded, nesting is limited, and the first fault makes all later calls fail,
 * so that a caller checks once, at the end (json_scan_end).
 *
 *     struct json_scan s;
 *     struct json_text key, name = {0};
 *     json_scan_init(&s, text, len);
 *     if (json_scan_object(&s))
 *         while (json_scan_key(&s, &key))
 *             if (json_text_is(key, "name"))
 *                 json_scan_text(&s, &name);
 *             else
 *                 json_scan_skip(&s);
 *     if (!json_scan_end(&s))
 *         ... s.fault says why, s.at where
 *
 * Strictness is that of RFC 8259: what jansson refuses is refused here, except
 * that duplicate keys are seen as they come and that escapes and UTF-8 of
 * skipped strings are checked no further than for control characters.
 */
#ifndef HAMI_BASE_JSON_SCAN_H
#define HAMI_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JSON_SCAN_DEPTH 64    /* of what is entered */
#define JSON_SKIP_DEPTH 10000 /* of what is skipped: that of Kubernetes' own reader (Go, encoding/json) */

/* A string's characters between the quotes, still escaped. Points into the text. */
struct json_text {
    const char *at;
    size_t len;
    bool escaped; /* holds a backslash: use json_text_copy() before comparing */
};

enum json_kind {
    JSON_IS_NONE,
    JSON_IS_OBJECT,
    JSON_IS_ARRAY,
    JSON_IS_STRING,
    JSON_IS_NUMBER,
    JSON_IS_TRUE,
    JSON_IS_FALSE,
    JSON_IS_NULL
};

struct json_scan {
    const char *at, *end;
    const char *fault; /* NULL while all is well; a static sentence */
    unsigned depth;
    bool first; /* no element of the innermost container was read yet */
    bool once;  /* for readers: a member of theirs that comes twice is a fault; the caller sets it */
};

void json_scan_init(struct json_scan *s, const char *text, size_t len);

/* What comes next; JSON_IS_NONE at the end or after a fault. */
enum json_kind json_scan_peek(struct json_scan *s);

/* Enters a container. False, and the value is skipped, when it is of another
 * kind (null included): the caller's loop over it then simply does not run. */
bool json_scan_object(struct json_scan *s);
bool json_scan_array(struct json_scan *s);

/* The next key of the object just entered; its value must be read or skipped
 * before the next call. False when the object is closed (or after a fault). */
bool json_scan_key(struct json_scan *s, struct json_text *ret_key);
/* The same for an array: true when an element follows. */
bool json_scan_element(struct json_scan *s);

/* Scalars. False, value skipped and *ret untouched, when it is of another kind;
 * for integers also when there is a fraction, an exponent or an overflow. */
bool json_scan_text(struct json_scan *s, struct json_text *ret);
bool json_scan_int(struct json_scan *s, int64_t *ret);
bool json_scan_bool(struct json_scan *s, bool *ret);

/* Any value, unread; with its text (a borrowed span without blanks around it). */
void json_scan_skip(struct json_scan *s);
bool json_scan_raw(struct json_scan *s, const char **ret_at, size_t *ret_len);

/* Stops with a fault of the caller's own: a static sentence. */
void json_scan_fail(struct json_scan *s, const char *fault);

/* True when the document was well-formed and nothing follows it. */
bool json_scan_end(struct json_scan *s);

/* Equality with a literal, for text without escapes; text with some never is equal. */
#define json_text_is(text, literal)                                                                          \
    ((text).len == sizeof(literal) - 1 && !(text).escaped &&                                                 \
     memcmp((text).at, literal, sizeof(literal) - 1) == 0)

/* Equality with a NUL-terminated string; the same rule. */
bool json_text_equal(struct json_text text, const char *string);

/* Equality of what the text stands for, escapes resolved, with a NUL-terminated string. */
bool json_text_reads(struct json_text text, const char *string);
/* The same in any case of ASCII letters, as Go's decoder takes the names of members. */
bool json_text_reads_any_case(struct json_text text, const char *string);

/* Unescapes into buf with a NUL. Length, or -1 when it does not fit, holds an
 * escaped NUL or a broken escape, or is not UTF-8. */
int json_text_copy(struct json_text text, char *buf, size_t size);

/* The same on the heap (caller frees with g_free); NULL where the above says -1. */
char *json_text_dup(struct json_text text);

#endif
