/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_write.h"

#include <string.h>

void json_write_string(GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_validate(text, -1, NULL) ? NULL : g_utf8_make_valid(text, -1);
    const char *p = valid ? valid : text;
    g_string_append_c(out, '"');
    while (*p) {
        const char *start = p;
        while ((unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
            p++;
        g_string_append_len(out, start, p - start);
        if (*p == '"' || *p == '\\')
            g_string_append_printf(out, "\\%c", *p++);
        else if (*p)
            g_string_append_printf(out, "\\u%04x", (unsigned)*p++);
    }
    g_string_append_c(out, '"');
}
