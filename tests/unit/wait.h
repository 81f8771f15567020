/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for what the main loop brings about.
 */
#ifndef HAMI_TESTS_WAIT_H
#define HAMI_TESTS_WAIT_H

#include <glib.h>
#include <stdbool.h>

#define WAIT_MS 10000

static inline gboolean wait_is_over(void *late)
{
    *(bool *)late = true;
    return G_SOURCE_REMOVE;
}

static inline gboolean wait_look_again(void *data)
{
    (void)data;
    return G_SOURCE_CONTINUE;
}

/* Turns the main loop until the condition holds; ten seconds are a failure. `look_ms`: how often to look
 * where no event tells; 0 = never. */
#define WAIT_LOOKING(condition, look_ms)                                                                     \
    do {                                                                                                     \
        bool late_ = false;                                                                                  \
        guint id_ = g_timeout_add(WAIT_MS, wait_is_over, &late_);                                            \
        guint look_ = (look_ms) ? g_timeout_add((look_ms), wait_look_again, NULL) : 0;                       \
        while (!(condition) && !late_)                                                                       \
            g_main_context_iteration(NULL, TRUE);                                                            \
        g_assert_false(late_);                                                                               \
        g_source_remove(id_);                                                                                \
        g_clear_handle_id(&look_, g_source_remove);                                                          \
    } while (0)

#define WAIT(condition) WAIT_LOOKING(condition, 0)

#endif
