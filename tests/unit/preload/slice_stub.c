/* SPDX-License-Identifier: Apache-2.0
 *
 * What the throttle sees of a slice that is there and keeps to itself: nothing
 * is said, nobody helps. Limit and captures are each test's own.
 */
#include "preload/helper.h"
#include "preload/log.h"
#include "preload/slice.h"

struct slice slice;
struct helper helper;

enum slice_state slice_attach(void)
{
    return SLICE_ON;
}

void helper_wake(void) {}

void log_line(enum log_level level, const char *file, int line, const char *format, ...)
{
    (void)level, (void)file, (void)line, (void)format;
}
