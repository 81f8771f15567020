/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines on stderr in the format operators grep for. Silent unless something
 * is wrong; LIBCUDA_LOG_LEVEL raises it. Never to stdout, never allocates.
 */
#ifndef HAMI_PRELOAD_LOG_H
#define HAMI_PRELOAD_LOG_H

enum log_level { LOG_ERROR = 0, LOG_WARN = 2, LOG_INFO = 3, LOG_DEBUG = 4 };

/* What LIBCUDA_LOG_LEVEL says, 0 to 9; text that is no level (NULL = unset) means errors only. */
int log_level_parse(const char *text);

__attribute__((format(printf, 4, 5))) void log_line(enum log_level level, const char *file, int number,
                                                    const char *format, ...);

#define log_error(...) log_line(LOG_ERROR, __FILE_NAME__, __LINE__, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __FILE_NAME__, __LINE__, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __FILE_NAME__, __LINE__, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __FILE_NAME__, __LINE__, __VA_ARGS__)

#endif
