/* SPDX-License-Identifier: Apache-2.0
 *
 * Structured log lines: `ts=... level=info event=bound pod=ns/name node=n`, or
 * the same as JSON. Values that need it are quoted, so that a hostile name
 * cannot forge a line.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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
    if (line->len)
        g_string_append_c(line, ' ');
    g_string_append(line, key);
    g_string_append_c(line, '=');
    if (is_plain(value))
        g_string_append(line, value);
    else
        json_write_string(line, value);
}

/* "2026-11-26T08:15:00.123456Z" */
static void stamp(char ret[40])
{
    static char second[24];
    static time_t known;
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != known && gmtime_r(&now.tv_sec, &parts)) {
        strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", &parts);
        known = now.tv_sec;
    }
    g_snprintf(ret, 40, "%s.%06ldZ", second, now.tv_nsec / 1000);
}

void log_line(enum log_level level, const char *event, const char *first_key, ...)
{
    if (level > limit)
        return;
    char ts[40];
    stamp(ts);
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
