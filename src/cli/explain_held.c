/* SPDX-License-Identifier: Apache-2.0
 *
 * See explain_held.h. Everything here was written by others: it is bounded,
 * and no terminal gets to interpret it.
 */
#include "cli/explain_held.h"

#include <string.h>

#include "vendor/manifest_lint.h"

#define GATES_SHOWN 8
#define TEXT_MAX 2000 /* of one sentence, bytes */

static void G_GNUC_PRINTF(2, 3) say(GPtrArray *held, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (strlen(text) > TEXT_MAX)
        text[TEXT_MAX] = '\0';
    char *valid = g_utf8_make_valid(text, -1);
    for (char *c = valid; *c; c++)
        if (g_ascii_iscntrl(*c))
            *c = ' ';
    g_ptr_array_add(held, valid);
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void say_gates(GPtrArray *held, json_t *gates)
{
    g_autoptr(GString) names = g_string_new(NULL);
    size_t n = json_array_size(gates);
    if (n == 0)
        return;
    for (size_t i = 0; i < n && i < GATES_SHOWN; i++)
        g_string_append_printf(names, "%s%s", i ? ", " : "", text_of(json_array_get(gates, i), "name"));
    say(held, "it is gated: nobody looks at it until %s %s gone from spec.schedulingGates", names->str,
        n == 1 ? "is" : "are");
}

static void say_scheduler(GPtrArray *held, const char *name)
{
    if (*name && strcmp(name, "hami-scheduler") != 0)
        say(held,
            "its schedulerName is \"%.63s\": unless that profile has hami as its extender, hami is never "
            "asked; "
            "leave it out and create the pod anew (admission enters the right one)",
            name);
}

static void say_lint(enum lint_level level, const char *message, void *data)
{
    if (level != LINT_NOTE)
        say(data, "%s", message);
}

static void say_condition(GPtrArray *held, json_t *conditions)
{
    size_t i;
    json_t *c;
    json_array_foreach(conditions, i, c)
    {
        if (strcmp(text_of(c, "type"), "PodScheduled") == 0 && strcmp(text_of(c, "status"), "False") == 0 &&
            strcmp(text_of(c, "reason"), "SchedulingGated") != 0 && *text_of(c, "message"))
            say(held, "kube-scheduler said last: %s", text_of(c, "message"));
    }
}

GPtrArray *explain_held(const struct family_set *families, const char *text)
{
    GPtrArray *held = g_ptr_array_new_with_free_func(g_free);
    json_t *pod = json_loads(text, 0, NULL), *spec = json_object_get(pod, "spec");
    if (!pod)
        return held;
    say_gates(held, json_object_get(spec, "schedulingGates"));
    say_scheduler(held, text_of(spec, "schedulerName"));
    manifest_lint(families, pod, say_lint, held);
    say_condition(held, json_object_get(json_object_get(pod, "status"), "conditions"));
    json_decref(pod);
    return held;
}
