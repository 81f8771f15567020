/* SPDX-License-Identifier: Apache-2.0
 *
 * See event_body.h. Fields: core v1 Event; naming as client-go's
 * tools/record makeEvent.
 */
#include "kube/event_body.h"

#include <string.h>

#include "kube/body.h"

#define OBJECT_NAME_MAX 253

static char *valid(const char *text, size_t max)
{
    size_t len = strnlen(text ? text : "", max + 1);
    if (len > max) {
        /* Not in the middle of a character. */
        len = max;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    return g_utf8_make_valid(text ? text : "", (gssize)len);
}

void kube_event_text_init(struct kube_event_text *t, const struct kube_object_ref *about, const char *type,
                          const char *reason, const char *message)
{
    t->api_version = valid(about->api_version, OBJECT_NAME_MAX);
    t->kind = valid(about->kind, OBJECT_NAME_MAX);
    t->namespace = valid(about->namespace, OBJECT_NAME_MAX);
    t->name = valid(about->name, OBJECT_NAME_MAX);
    t->uid = valid(about->uid, OBJECT_NAME_MAX);
    t->type = valid(type, 16);
    t->reason = valid(reason, 128);
    t->message = valid(message, KUBE_EVENT_TEXT_MAX);
}

void kube_event_text_clear(struct kube_event_text *t)
{
    g_free(t->api_version);
    g_free(t->kind);
    g_free(t->namespace);
    g_free(t->name);
    g_free(t->uid);
    g_free(t->type);
    g_free(t->reason);
    g_free(t->message);
}

const char *kube_event_namespace(const struct kube_event_text *t)
{
    return t->namespace[0] ? t->namespace : "default";
}

char *kube_event_name(const char *object, guint64 unique)
{
    size_t len = MIN(strlen(object), OBJECT_NAME_MAX - 17);
    while (len > 0 && !g_ascii_isalnum(object[len - 1]))
        len--;
    return g_strdup_printf("%.*s.%016" G_GINT64_MODIFIER "x", (int)len, object, unique);
}

static json_t *time_value(gint64 unix_s)
{
    g_autoptr(GDateTime) t = g_date_time_new_from_unix_utc(unix_s);
    g_autofree char *text = g_date_time_format(t, "%Y-%m-%dT%H:%M:%SZ");
    return json_string(text);
}

static void set(json_t *object, const char *key, const char *value)
{
    if (value[0])
        json_object_set_new(object, key, json_string(value));
}

static json_t *involved_object(const struct kube_event_text *t)
{
    json_t *object = json_object();
    set(object, "apiVersion", t->api_version);
    set(object, "kind", t->kind);
    set(object, "namespace", t->namespace);
    set(object, "name", t->name);
    set(object, "uid", t->uid);
    return object;
}

char *kube_event_create_body(const struct kube_event_text *t, const char *name, const char *component,
                             unsigned count, gint64 first_s, gint64 last_s)
{
    json_t *event = json_object(), *metadata = json_object(), *source = json_object();
    set(event, "apiVersion", "v1");
    set(event, "kind", "Event");
    set(metadata, "name", name);
    set(metadata, "namespace", kube_event_namespace(t));
    json_object_set_new(event, "metadata", metadata);
    json_object_set_new(event, "involvedObject", involved_object(t));
    set(event, "type", t->type);
    set(event, "reason", t->reason);
    set(event, "message", t->message);
    set(source, "component", component);
    json_object_set_new(event, "source", source);
    set(event, "reportingComponent", component);
    json_object_set_new(event, "firstTimestamp", time_value(first_s));
    json_object_set_new(event, "lastTimestamp", time_value(last_s));
    json_object_set_new(event, "count", json_integer(count));
    return kube_body_text(event);
}

char *kube_event_count_body(unsigned count, gint64 last_s, const char *message)
{
    json_t *event = json_object();
    json_object_set_new(event, "count", json_integer(count));
    json_object_set_new(event, "lastTimestamp", time_value(last_s));
    set(event, "message", message);
    return kube_body_text(event);
}
