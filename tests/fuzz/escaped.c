/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/escaped.h"

#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>

static void escape(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    for (const char *p = text; *p; p += g_utf8_skip[(guchar)*p]) {
        gunichar c = g_utf8_get_char(p);
        if (c < 0x10000)
            g_string_append_printf(out, "\\u%04x", c);
        else
            g_string_append_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                                   0xdc00 + ((c - 0x10000) & 0x3ff));
    }
    g_string_append_c(out, '"');
}

static void write_escaped(GString *out, json_t *value)
{
    const char *key;
    json_t *child;
    size_t i;
    bool first = true;
    if (json_is_object(value)) {
        g_string_append_c(out, '{');
        json_object_foreach(value, key, child)
        {
            g_string_append(out, first ? "" : " ,");
            escape(out, key);
            g_string_append_c(out, ':');
            write_escaped(out, child);
            first = false;
        }
        g_string_append_c(out, '}');
    } else if (json_is_array(value)) {
        g_string_append_c(out, '[');
        json_array_foreach(value, i, child)
        {
            g_string_append(out, i ? ",\n" : "");
            write_escaped(out, child);
        }
        g_string_append_c(out, ']');
    } else if (json_is_string(value)) {
        escape(out, json_string_value(value));
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY);
        g_string_append(out, text);
        free(text);
    }
}

char *escaped_dump(json_t *value)
{
    GString *out = g_string_new("");
    write_escaped(out, value);
    return g_string_free(out, FALSE);
}
