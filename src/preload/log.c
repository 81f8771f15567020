/* SPDX-License-Identifier: Apache-2.0
 *
 * One line, one write, in the shape that operators' log filters expect.
 *
 * Invariants:
 *   1. Nothing is printed unless something is wrong or LIBCUDA_LOG_LEVEL asks
 *      for more: 0 and 1 errors, 2 warnings, 3 information, 4 everything.
 *   2. errno is what it was. No allocation, no stdio stream, no lock.
 */
#include "preload/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

static const char *const titles[] = {
    [LOG_ERROR] = "ERROR", [LOG_WARN] = "Warn", [LOG_INFO] = "Info", [LOG_DEBUG] = "Debug"};

int log_level_parse(const char *text)
{
    if (!text || text[0] < '0' || text[0] > '9')
        return LOG_ERROR;
    if (!text[1])
        return text[0] - '0';
    return text[0] >= '1' ? LOG_DEBUG : LOG_ERROR; /* 10 and above */
}

static int level_wanted(void)
{
    static atomic_int cached = -1;
    int level = atomic_load_explicit(&cached, memory_order_relaxed);
    if (level >= 0)
        return level;
    level = log_level_parse(getenv("LIBCUDA_LOG_LEVEL"));
    atomic_store_explicit(&cached, level, memory_order_relaxed);
    return level;
}

static int title_of(char *line, enum log_level level, const char *file, int number)
{
    unsigned long thread = (unsigned long)pthread_self();
    if (level == LOG_ERROR)
        return snprintf(line, LINE_BYTES, "[HAMI-core ERROR (pid:%d thread=%lu %s:%d)]: ", getpid(), thread,
                        file, number);
    return snprintf(line, LINE_BYTES, "[HAMI-core %s(%d:%lu:%s:%d)]: ", titles[level], getpid(), thread, file,
                    number);
}

void log_line(enum log_level level, const char *file, int number, const char *format, ...)
{
    if (level != LOG_ERROR && level_wanted() < (int)level)
        return;
    int saved = errno;
    char line[LINE_BYTES];
    size_t n = (size_t)title_of(line, level, file, number);
    if (n < sizeof line) {
        va_list arguments;
        va_start(arguments, format);
        int body = vsnprintf(line + n, sizeof line - n, format, arguments);
        va_end(arguments);
        n += body > 0 ? (size_t)body : 0;
    }
    if (n > sizeof line - 2)
        n = sizeof line - 2;
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;
    errno = saved;
}
