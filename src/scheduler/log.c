/* SPDX-License-Identifier: Apache-2.0
 *
 * Structured log lines: `ts=... level=info event=bound pod=ns/name node=n`, or
 * the same as JSON. Values that need it are quoted, so that a hostile name
 * cannot forge a line.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "scheduler/service.h"

static enum log_level limit = LOG_INFO;
static bool as_json;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set_level(enum log_level level, bool json)
{
    limit = level;
    as_json = json;
}

static bool is_plain(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || *p == '"' || *p == '=' || *p == '\\')
            return false;
    return *text != '\0';
}

static void append(GString *line, const char *key, const char *value)
{
    if (as_json) {
        if (line->len > 1)
            g_string_append_c(line, ',');
        json_write_string(line, key);
        g_string_append_c(line, ':');
        json_write_string(line, value);
        return;
    }
    g_string_append_printf(line, "%s%s=", line->len ? " " : "", key);
    if (is_plain(value))
        g_string_append(line, value);
    else
        json_write_string(line, value);
}

void log_line(enum log_level level, const char *event, const char *first_key, ...)
{
    if (level > limit)
        return;
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *ts = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ");
    g_autoptr(GString) line = g_string_new(as_json ? "{" : "");
    append(line, "ts", ts);
    append(line, "level", level_names[level]);
    append(line, "event", event);
    va_list args;
    va_start(args, first_key);
    for (const char *key = first_key; key; key = va_arg(args, const char *)) {
        const char *value = va_arg(args, const char *);
        append(line, key, value ? value : "");
    }
    va_end(args);
    g_string_append(line, as_json ? "}\n" : "\n");
    fwrite(line->str, 1, line->len, stderr); /* unbuffered: one write */
}
