/* SPDX-License-Identifier: Apache-2.0
 *
 * Structured log lines: `ts=... level=info event=bound pod=ns/name node=n`, or
 * the same as JSON. Values that need it are quoted, so that a hostile name
 * cannot forge a line.
 *
 * What goes well is said a moment later, together: before the main loop waits
 * for the next thing to do, so that no answer waits for its line.
 */
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json_write.h"
#include "scheduler/service.h"

#define VALUE_MAX 1000 /* bytes; less in a line that would have more than PIPE_BUF */

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

static void append(GString *line, const char *key, const char *value, size_t max)
{
    g_autofree char *start = strlen(value) > max ? g_strndup(value, max) : NULL;
    value = start ? start : value;
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

static GString *gathered; /* lines that are not written yet; NULL: each is written at once */
static unsigned n_gathered;
static GSource *gatherer;

/* Who reads our lines must not be able to stop us: what it does not take is left out and counted. A pipe
 * that is ready takes PIPE_BUF bytes at once, and not one more. */
static bool write_now(const char *text)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 0) == 0)
        return false;
    fputs(text, stderr); /* unbuffered: one write */
    return true;
}

static void write_lines(const GString *lines, unsigned n)
{
    static uint64_t lost;
    char said[64];
    if (lost) {
        g_snprintf(said, sizeof said,
                   as_json ? "{\"lines_lost\":\"%" G_GUINT64_FORMAT "\"}\n"
                           : "lines_lost=%" G_GUINT64_FORMAT "\n",
                   lost);
        if (write_now(said))
            lost = 0;
    }
    if (lost || !write_now(lines->str))
        lost += n;
}

void log_flush(void)
{
    if (!gathered || !n_gathered)
        return;
    write_lines(gathered, n_gathered);
    g_string_truncate(gathered, 0);
    n_gathered = 0;
}

static gboolean before_waiting(GSource *source, int *ret_timeout)
{
    (void)source;
    *ret_timeout = -1;
    log_flush();
    return FALSE;
}

static gboolean never(GSource *source)
{
    (void)source;
    return FALSE;
}

void log_gather(bool on)
{
    static GSourceFuncs functions = {before_waiting, never, NULL, NULL, NULL, NULL};
    log_flush();
    if (gatherer)
        g_source_destroy(gatherer);
    g_clear_pointer(&gatherer, g_source_unref);
    if (gathered)
        g_string_free(g_steal_pointer(&gathered), TRUE);
    if (!on)
        return;
    gathered = g_string_sized_new(PIPE_BUF);
    gatherer = g_source_new(&functions, sizeof(GSource));
    g_source_attach(gatherer, g_main_context_get_thread_default());
}

/* What did not go well is out before anything else happens. */
static void say(enum log_level level, const GString *line)
{
    if (gathered && gathered->len + line->len > PIPE_BUF)
        log_flush();
    if (!gathered) {
        write_lines(line, 1);
        return;
    }
    g_string_append_len(gathered, line->str, (gssize)line->len);
    n_gathered++;
    if (level <= LOG_WARN)
        log_flush();
}

/* Values have `max` bytes at most, before they are quoted. */
static void compose(GString *line, size_t max, enum log_level level, const char *event, const char *key,
                    va_list args)
{
    char ts[40];
    stamp(ts);
    g_string_assign(line, as_json ? "{" : "");
    append(line, "ts", ts, sizeof ts);
    append(line, "level", level_names[level], max);
    append(line, "event", event, max);
    for (; key; key = va_arg(args, const char *)) {
        const char *value = va_arg(args, const char *);
        append(line, key, value ? value : "", max);
    }
    g_string_append(line, as_json ? "}\n" : "\n");
}

void log_line(enum log_level level, const char *event, const char *first_key, ...)
{
    if (level > limit)
        return;
    g_autoptr(GString) line = g_string_new(NULL);
    size_t max = VALUE_MAX;
    do {
        va_list args;
        va_start(args, first_key);
        compose(line, max, level, event, first_key, args);
        va_end(args);
        max /= 2;
    } while (line->len > PIPE_BUF && max);
    say(level, line);
}

void log_config_warnings(const struct scheduler_options *options, const GPtrArray *warnings)
{
    for (guint i = 0; i < warnings->len; i++)
        log_line(LOG_WARN, "device-config", "file", options->device_config_name, "why",
                 (const char *)warnings->pdata[i], NULL);
}
