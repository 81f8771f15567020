/* SPDX-License-Identifier: Apache-2.0
 *
 * The scanner beside jansson: what jansson takes, the scanner must take and
 * read alike; what the scanner refuses, jansson must refuse.
 */
#include "base/json_scan.h"
#include "tests/fuzz/fuzz.h"

#include <glib.h>
#include <jansson.h>
#include <stdlib.h>

static json_t *tree(struct json_scan *s);

static json_t *object(struct json_scan *s)
{
    json_t *o = json_object();
    struct json_text key;
    json_scan_object(s);
    while (json_scan_key(s, &key)) {
        char *name = json_text_dup(key);
        json_t *value = tree(s);
        if (!name || !value || json_object_set(o, name, value))
            json_scan_fail(s, "not a value");
        json_decref(value);
        g_free(name);
    }
    return o;
}

static json_t *array(struct json_scan *s)
{
    json_t *a = json_array();
    json_scan_array(s);
    while (json_scan_element(s)) {
        json_t *value = tree(s);
        if (!value || json_array_append_new(a, value))
            json_scan_fail(s, "not a value");
    }
    return a;
}

static json_t *number(struct json_scan *s)
{
    const char *at;
    size_t len;
    struct json_scan before = *s;
    int64_t n;
    if (json_scan_int(s, &n))
        return json_integer(n);
    *s = before;
    if (!json_scan_raw(s, &at, &len))
        return NULL;
    char *copy = g_strndup(at, len);
    json_t *real = json_real(g_ascii_strtod(copy, NULL));
    g_free(copy);
    return real;
}

static json_t *tree(struct json_scan *s)
{
    struct json_text text;
    switch (json_scan_peek(s)) {
    case JSON_IS_OBJECT:
        return object(s);
    case JSON_IS_ARRAY:
        return array(s);
    case JSON_IS_NUMBER:
        return number(s);
    case JSON_IS_STRING: {
        char *copy = json_scan_text(s, &text) ? json_text_dup(text) : NULL;
        json_t *string = copy ? json_string(copy) : NULL;
        g_free(copy);
        return string;
    }
    case JSON_IS_TRUE:
        return json_scan_skip(s), json_true();
    case JSON_IS_FALSE:
        return json_scan_skip(s), json_false();
    case JSON_IS_NULL:
        return json_scan_skip(s), json_null();
    default:
        return json_scan_skip(s), NULL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_scan s;
    json_error_t error;
    if (size && memchr(data, 0, size)) /* jansson drops a NUL byte behind a number */
        return 0;
    json_t *theirs = json_loadb((const char *)data, size, JSON_DECODE_ANY, &error);
    json_scan_init(&s, (const char *)data, size);
    json_t *ours = tree(&s);
    bool taken = json_scan_end(&s) && ours;
    if (taken != (theirs != NULL) && !(theirs && s.fault && strcmp(s.fault, "nested too deeply") == 0) &&
        !(taken && (json_error_code(&error) == json_error_numeric_overflow ||
                    json_error_code(&error) == json_error_stack_overflow)))
        abort();
    if (taken && theirs && !json_equal(ours, theirs))
        abort();
    json_decref(ours);
    json_decref(theirs);
    return 0;
}
