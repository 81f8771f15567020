/* SPDX-License-Identifier: Apache-2.0
 *
 * See lease_record.h. Field names: coordination.k8s.io/v1 LeaseSpec; what a
 * release leaves: client-go leaderelection, release().
 */
#include "kube/lease_record.h"

#include <string.h>

#include "kube/body.h"
#include "kube/error.h"

static void copy_text(char *to, size_t size, const json_t *spec, const char *key)
{
    const char *text = json_string_value(json_object_get(spec, key));
    g_strlcpy(to, text ? text : "", size);
}

json_t *kube_lease_read(const char *json, size_t len, struct kube_lease_record *ret, GError **error)
{
    json_t *object = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    json_t *spec = json_object_get(object, "spec");
    const char *version =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
    if (!version || (spec && !json_is_object(spec))) {
        json_decref(object);
        g_set_error_literal(error, KUBE_ERROR, KUBE_ERROR_PROTOCOL, "not a Lease object");
        return NULL;
    }
    *ret = (struct kube_lease_record){0};
    copy_text(ret->holder, sizeof ret->holder, spec, "holderIdentity");
    copy_text(ret->acquired, sizeof ret->acquired, spec, "acquireTime");
    copy_text(ret->renewed, sizeof ret->renewed, spec, "renewTime");
    ret->duration_s = json_integer_value(json_object_get(spec, "leaseDurationSeconds"));
    ret->transitions = json_integer_value(json_object_get(spec, "leaseTransitions"));
    return object;
}

json_t *kube_lease_read_body(GBytes *body, struct kube_lease_record *ret, GError **error)
{
    size_t len = 0;
    const char *json = body ? g_bytes_get_data(body, &len) : NULL;
    return body ? kube_lease_read(json, len, ret, error) : NULL;
}

bool kube_lease_same(const struct kube_lease_record *a, const struct kube_lease_record *b)
{
    return strcmp(a->holder, b->holder) == 0 && strcmp(a->acquired, b->acquired) == 0 &&
           strcmp(a->renewed, b->renewed) == 0 && a->duration_s == b->duration_s &&
           a->transitions == b->transitions;
}

/* MicroTime. */
static json_t *time_value(gint64 now_us)
{
    g_autoptr(GDateTime) t = g_date_time_new_from_unix_utc(now_us / G_USEC_PER_SEC);
    g_autofree char *seconds = g_date_time_format(t, "%Y-%m-%dT%H:%M:%S");
    return json_sprintf("%s.%06dZ", seconds, (int)(now_us % G_USEC_PER_SEC));
}

static json_t *new_object(const char *namespace, const char *name)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:i}}", "apiVersion", "coordination.k8s.io/v1", "kind",
                     "Lease", "metadata", "namespace", namespace, "name", name, "spec", "leaseTransitions",
                     0);
}

char *kube_lease_write(json_t *object, enum kube_lease_write what, const char *namespace, const char *name,
                       const char *identity, uint32_t duration_s, gint64 now_us)
{
    bool fresh = object == NULL;
    json_t *copy = fresh ? new_object(namespace, name) : json_deep_copy(object);
    if (!json_is_object(json_object_get(copy, "spec")))
        json_object_set_new(copy, "spec", json_object());
    json_t *spec = json_object_get(copy, "spec");
    json_int_t transitions = json_integer_value(json_object_get(spec, "leaseTransitions"));
    json_object_set_new(spec, "holderIdentity", json_string(what == KUBE_LEASE_RELEASE ? "" : identity));
    json_object_set_new(spec, "leaseDurationSeconds",
                        json_integer(what == KUBE_LEASE_RELEASE ? 1 : duration_s));
    json_object_set_new(spec, "renewTime", time_value(now_us));
    if (what != KUBE_LEASE_RENEW)
        json_object_set_new(spec, "acquireTime", time_value(now_us));
    if (what == KUBE_LEASE_TAKE && !fresh)
        json_object_set_new(spec, "leaseTransitions",
                            json_integer(CLAMP(transitions, -1, INT32_MAX - 1) + 1));
    return kube_body_text(copy);
}
