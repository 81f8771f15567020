/* SPDX-License-Identifier: Apache-2.0
 *
 * What changes objects. Preconditions are checked as the real server checks
 * them: a resourceVersion or uid that is given must be the present one (409).
 *
 * Binding (as seen on Kubernetes 1.34): the annotations of the Binding are
 * merged onto the pod in the write that sets spec.nodeName, over what was there;
 * labels are not copied; nothing is validated; the node need not exist.
 */
#include <string.h>
#include <time.h>

#include "api.h"
#include "patch.h"

static json_t *metadata_of(json_t *object)
{
    return json_object_get(object, "metadata");
}

static const char *text_of(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* NULL when replied. An empty body is an empty object when that is allowed. */
static json_t *body_of(struct api *api, struct request *r, bool may_be_empty)
{
    json_error_t error;
    if (r->body_size == 0 && may_be_empty)
        return json_object();
    if (strstr(r->content_type, "protobuf") || strstr(r->content_type, "apply-patch") ||
        strstr(r->content_type, "cbor")) {
        api_fail(api, r, 415, "UnsupportedMediaType",
                 "the body of the request was in an unknown format: only JSON is read");
        return NULL;
    }
    json_t *body = json_loadb(r->body, r->body_size, JSON_ALLOW_NUL, &error);
    if (!body)
        api_fail(api, r, 400, "BadRequest", "the body is not JSON: %s, byte %d", error.text, error.position);
    return body;
}

static void set_time(json_t *metadata, const char *name)
{
    char text[32];
    time_t now = time(NULL);
    struct tm parts;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    json_object_set_new(metadata, name, json_string(text));
}

static void set_uid(struct api *api, json_t *metadata)
{
    char text[48];
    uint64_t a = mix64(hash_text(api->faults.seed, api->identity), ++api->uids), b = mix64(a, 1);
    g_snprintf(text, sizeof text, "%08x-%04x-4%03x-%04x-%012" G_GINT64_MODIFIER "x", (unsigned)(a >> 32),
               (unsigned)(a >> 16) & 0xffff, (unsigned)a & 0xfff, 0x8000u | ((unsigned)(b >> 48) & 0x3fff),
               (guint64)b & 0xffffffffffff);
    json_object_set_new(metadata, "uid", json_string(text));
}

static void not_found(struct api *api, struct request *r, const struct target *t)
{
    api_fail(api, r, 404, "NotFound", "%s \"%s\" not found", resource_words[t->kind].plural, t->name);
}

/* The preconditions in an object's metadata or a delete's preconditions; replies when one does not hold. */
static bool preconditions_hold(struct api *api, struct request *r, const struct target *t, json_t *wanted,
                               json_t *current)
{
    const char *uid = text_of(wanted, "uid"), *rv = text_of(wanted, "resourceVersion");
    if (*uid && strcmp(uid, text_of(metadata_of(current), "uid")) != 0) {
        api_fail(api, r, 409, "Conflict",
                 "Operation cannot be fulfilled on %s \"%s\": Precondition failed: UID in precondition: %s, "
                 "UID in "
                 "object meta: %s",
                 resource_words[t->kind].plural, t->name, uid, text_of(metadata_of(current), "uid"));
        return false;
    }
    if (*rv && strcmp(rv, text_of(metadata_of(current), "resourceVersion")) != 0) {
        api_fail(api, r, 409, "Conflict",
                 "Operation cannot be fulfilled on %s \"%s\": the object has been modified; please apply "
                 "your changes "
                 "to the latest version and try again",
                 resource_words[t->kind].plural, t->name);
        return false;
    }
    return true;
}

static bool is_dry(const struct target *t)
{
    return strcmp(target_query(t, "dryRun"), "All") == 0;
}

/* Defaults a client may rely on. */
static void set_defaults(enum resource kind, json_t *object)
{
    if (kind == R_PODS) {
        json_t *status = json_object_get(object, "status");
        if (!json_is_object(status))
            json_object_set_new(object, "status", status = json_object());
        if (!*text_of(status, "phase"))
            json_object_set_new(status, "phase", json_string("Pending"));
    }
}

static void reply_dry(struct api *api, struct request *r, int code, json_t *object)
{
    g_autoptr(GString) body = g_string_new(NULL);
    char *text = json_dumps(object, JSON_COMPACT);
    g_string_append(body, text);
    free(text);
    api_reply(api, r, code, body);
}

/* Name and namespace, as the URL and the object say them together. */
static bool settle_names(struct api *api, struct request *r, struct target *t, json_t *object)
{
    json_t *metadata = metadata_of(object);
    const char *namespace = text_of(metadata, "namespace");
    if (*namespace && *t->namespace && strcmp(namespace, t->namespace) != 0) {
        api_fail(api, r, 400, "BadRequest",
                 "the namespace of the provided object does not match the namespace sent on the request");
        return false;
    }
    if (resource_words[t->kind].namespaced && !*t->namespace) {
        api_fail(api, r, 405, "MethodNotAllowed",
                 "the server does not allow this method on the requested resource");
        return false;
    }
    const char *name = text_of(metadata, "name"), *generate = text_of(metadata, "generateName");
    if (*name)
        g_strlcpy(t->name, name, sizeof t->name);
    else if (*generate)
        g_snprintf(t->name, sizeof t->name, "%s%05x", generate,
                   (unsigned)mix64(api->faults.seed, ++api->uids) & 0xfffff);
    if (!*t->name || strchr(t->name, '/')) {
        api_fail(api, r, 422, "Invalid", "metadata.name: Required value: name or generateName is required");
        return false;
    }
    json_object_set_new(metadata, "name", json_string(t->name));
    if (*t->namespace)
        json_object_set_new(metadata, "namespace", json_string(t->namespace));
    return true;
}

static void create(struct api *api, struct request *r, struct target *t, json_t *object)
{
    if (!json_is_object(metadata_of(object))) {
        api_fail(api, r, 422, "Invalid", "metadata: Required value");
        return;
    }
    if (!settle_names(api, r, t, object))
        return;
    g_autofree char *key = target_key(t);
    if (store_get(api->store, t->kind, key)) {
        api_fail(api, r, 409, "AlreadyExists", "%s \"%s\" already exists", resource_words[t->kind].plural,
                 t->name);
        return;
    }
    if (*text_of(metadata_of(object), "resourceVersion")) {
        api_fail(api, r, 400, "BadRequest", "resourceVersion should not be set on objects to be created");
        return;
    }
    set_uid(api, metadata_of(object));
    set_time(metadata_of(object), "creationTimestamp");
    json_object_del(metadata_of(object), "deletionTimestamp");
    set_defaults(t->kind, object);
    if (is_dry(t))
        reply_dry(api, r, 201, object);
    else
        api_reply_version(api, r, 201, t->kind, store_put(api->store, t->kind, key, object));
}

void write_create(struct api *api, struct request *r, const struct target *t)
{
    struct target named = *t;
    json_t *object = body_of(api, r, false);
    if (object)
        create(api, r, &named, object);
    json_decref(object);
}

/* What a client cannot change. */
static void keep_identity(json_t *object, json_t *current)
{
    static const char *const kept[] = {"name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"};
    json_t *metadata = metadata_of(object);
    if (!json_is_object(metadata))
        json_object_set_new(object, "metadata", metadata = json_object());
    for (size_t i = 0; i < G_N_ELEMENTS(kept); i++) {
        json_t *value = json_object_get(metadata_of(current), kept[i]);
        if (value)
            json_object_set(metadata, kept[i], value);
        else
            json_object_del(metadata, kept[i]);
    }
}

/* Writes object over current: an object that waits for its finalizers goes with the last one. */
static void replace(struct api *api, struct request *r, const struct target *t, const char *key,
                    json_t *object, json_t *current)
{
    keep_identity(object, current);
    if (is_dry(t)) {
        reply_dry(api, r, 200, object);
        return;
    }
    const struct version *v = store_put(api->store, t->kind, key, object);
    if (*text_of(metadata_of(object), "deletionTimestamp") &&
        json_array_size(json_object_get(metadata_of(object), "finalizers")) == 0)
        v = store_remove(api->store, t->kind, key);
    api_reply_version(api, r, 200, t->kind, v);
}

/* The two sides of an object that its status endpoint keeps apart. */
static json_t *with_status_of(json_t *object, json_t *status_from)
{
    json_t *result = json_copy(object), *status = json_object_get(status_from, "status");
    if (status)
        json_object_set(result, "status", status);
    else
        json_object_del(result, "status");
    return result;
}

void write_update(struct api *api, struct request *r, const struct target *t)
{
    g_autofree char *key = target_key(t);
    json_t *object = body_of(api, r, false), *current = NULL;
    const struct version *v = store_get(api->store, t->kind, key);
    if (!object)
        return;
    if (!v) {
        not_found(api, r, t);
    } else if (!json_is_object(object)) {
        api_fail(api, r, 400, "BadRequest", "the body is no object");
    } else if (current = version_parse(api->store, t->kind, v),
               preconditions_hold(api, r, t, metadata_of(object), current)) {
        json_t *whole = *t->sub                                   ? with_status_of(current, object)
                        : t->kind == R_PODS || t->kind == R_NODES ? with_status_of(object, current)
                                                                  : json_incref(object);
        replace(api, r, t, key, whole, current);
        json_decref(whole);
    }
    json_decref(current);
    json_decref(object);
}

/* NULL when replied. */
static json_t *patched(struct api *api, struct request *r, json_t *current, json_t *patch)
{
    const char *why;
    if (strstr(r->content_type, "json-patch")) {
        json_t *result = json_deep_copy(current);
        if (patch_operations(&result, patch, &why) && json_is_object(result))
            return result;
        json_decref(result);
        api_fail(api, r, 422, "Invalid", "the server rejected our request: %s", why);
        return NULL;
    }
    if (!json_is_object(patch)) {
        api_fail(api, r, 400, "BadRequest", "the patch is no object");
        return NULL;
    }
    return strstr(r->content_type, "strategic") ? patch_strategic(current, patch)
                                                : patch_merge(current, patch);
}

void write_patch(struct api *api, struct request *r, const struct target *t)
{
    g_autofree char *key = target_key(t);
    const struct version *v = store_get(api->store, t->kind, key);
    json_t *patch = body_of(api, r, false), *current = NULL, *object = NULL;
    if (!patch)
        return;
    if (!v) {
        not_found(api, r, t);
    } else if (current = version_parse(api->store, t->kind, v),
               preconditions_hold(api, r, t, metadata_of(patch), current)) {
        object = patched(api, r, current, patch);
        if (object)
            replace(api, r, t, key, object, current);
    }
    json_decref(object);
    json_decref(current);
    json_decref(patch);
}

/* True when finalizers keep the object: it is only marked. */
static bool mark_deleted(struct api *api, const struct target *t, const char *key, json_t *object)
{
    if (json_array_size(json_object_get(metadata_of(object), "finalizers")) == 0)
        return false;
    if (!*text_of(metadata_of(object), "deletionTimestamp")) {
        set_time(metadata_of(object), "deletionTimestamp");
        store_put(api->store, t->kind, key, object);
    }
    return true;
}

void write_delete(struct api *api, struct request *r, const struct target *t)
{
    g_autofree char *key = target_key(t);
    const struct version *v = store_get(api->store, t->kind, key);
    json_t *options = body_of(api, r, true), *current = NULL;
    if (!options)
        return;
    if (!v) {
        not_found(api, r, t);
    } else if (current = version_parse(api->store, t->kind, v),
               preconditions_hold(api, r, t, json_object_get(options, "preconditions"), current)) {
        if (!is_dry(t) && !mark_deleted(api, t, key, current))
            v = store_remove(api->store, t->kind, key);
        else
            v = store_get(api->store, t->kind, key);
        api_reply_version(api, r, 200, t->kind, v);
    }
    json_decref(current);
    json_decref(options);
}

/* ---- binding */

static bool may_bind(struct api *api, struct request *r, const struct target *t, json_t *binding, json_t *pod)
{
    json_t *spec = json_object_get(pod, "spec");
    if (!*text_of(json_object_get(binding, "target"), "name"))
        api_fail(api, r, 422, "Invalid", "target.name: Required value");
    else if (!preconditions_hold(api, r, t, metadata_of(binding), pod))
        return false;
    else if (*text_of(metadata_of(pod), "deletionTimestamp"))
        api_fail(api, r, 409, "Conflict",
                 "Operation cannot be fulfilled on pods/binding \"%s\": pod %s is being deleted, cannot be "
                 "assigned to a host",
                 t->name, t->name);
    else if (*text_of(spec, "nodeName"))
        api_fail(
            api, r, 409, "Conflict",
            "Operation cannot be fulfilled on pods/binding \"%s\": pod %s is already assigned to node \"%s\"",
            t->name, t->name, text_of(spec, "nodeName"));
    else if (json_array_size(json_object_get(spec, "schedulingGates")))
        api_fail(api, r, 409, "Conflict",
                 "Operation cannot be fulfilled on pods/binding \"%s\": pod %s has non-empty "
                 ".spec.schedulingGates",
                 t->name, t->name);
    else
        return true;
    return false;
}

static json_t *object_in(json_t *object, const char *name)
{
    json_t *inner = json_object_get(object, name);
    if (!json_is_object(inner))
        json_object_set_new(object, name, inner = json_object());
    return inner;
}

static void bind(json_t *binding, json_t *pod)
{
    json_t *annotations = json_object_get(metadata_of(binding), "annotations");
    if (json_object_size(annotations))
        json_object_update(object_in(metadata_of(pod), "annotations"), annotations);
    json_object_set(object_in(pod, "spec"), "nodeName",
                    json_object_get(json_object_get(binding, "target"), "name"));
    json_t *status = object_in(pod, "status"), *conditions = json_object_get(status, "conditions");
    if (!json_is_array(conditions))
        json_object_set_new(status, "conditions", conditions = json_array());
    json_t *condition = json_pack("{s:s, s:s}", "type", "PodScheduled", "status", "True");
    set_time(condition, "lastTransitionTime");
    size_t i;
    json_t *old;
    json_array_foreach(conditions, i, old)
    {
        if (strcmp(text_of(old, "type"), "PodScheduled") == 0) {
            json_array_remove(conditions, i);
            break;
        }
    }
    json_array_append_new(conditions, condition);
}

/* What the device plugins of the field do after Allocate: phase success, and their node lock taken away. */
static void confirm(struct api *api, const char *key, json_t *pod)
{
    json_t *annotations = object_in(metadata_of(pod), "annotations");
    const char *node = text_of(json_object_get(pod, "spec"), "nodeName");
    const struct version *v = store_get(api->store, R_NODES, node);
    json_object_set_new(annotations, "hami.io/bind-phase", json_string("success"));
    store_put(api->store, R_PODS, key, pod);
    json_t *object = v ? version_parse(api->store, R_NODES, v) : NULL;
    if (object &&
        json_object_del(json_object_get(metadata_of(object), "annotations"), "hami.io/mutex.lock") == 0)
        store_put(api->store, R_NODES, node, object);
    json_decref(object);
}

void write_bind(struct api *api, struct request *r, const struct target *t)
{
    g_autofree char *key = target_key(t);
    const struct version *v = store_get(api->store, R_PODS, key);
    json_t *binding = body_of(api, r, false), *pod = NULL;
    if (!binding)
        return;
    if (!v) {
        not_found(api, r, t);
    } else if (pod = version_parse(api->store, R_PODS, v), may_bind(api, r, t, binding, pod)) {
        bind(binding, pod);
        store_put(api->store, R_PODS, key, pod);
        if (api->confirm)
            confirm(api, key, pod);
        g_autoptr(GString) body = g_string_new("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
                                               "\"status\":\"Success\",\"code\":201}\n");
        api_reply(api, r, 201, body);
    }
    json_decref(pod);
    json_decref(binding);
}
