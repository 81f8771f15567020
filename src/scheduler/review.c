/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /webhook: an AdmissionReview in, one out (scheduler.md sections 2.2, 2.3).
 * What is changed and refused is vendor_admit()'s; this is the envelope.
 * Stays useful on a standby: it reads the ledger, and writes nothing.
 *
 * What cannot be read, or reads in two ways, is answered with allowed: false,
 * under the review's uid wherever that was seen: an answer without it would be
 * no answer, and the API server may be told to let pods pass without one.
 */
#include <string.h>

#include "base/json_write.h"
#include "scheduler/review_body.h"
#include "scheduler/service.h"

static const char *quota_exceeded(const struct pod_request *r, const char *namespace_, void *data)
{
    struct scheduler *s = data;
    (void)namespace_;
    return cluster_quota_exceeded(s->cluster, r);
}

static struct admit_policy policy_of(struct scheduler *s, const char *user)
{
    struct admit_policy p = {
        .scheduler_name = s->o.scheduler_name ? s->o.scheduler_name : "",
        .force_overwrite = s->o.force_overwrite,
        .trusted = s->o.trusted_user && *s->o.trusted_user && strcmp(user, s->o.trusted_user) == 0,
        .defaults = s->defaults,
        .quota = quota_exceeded,
        .impossible = possible_why_not,
        .data = s,
    };
    memcpy(p.level, s->o.admission, sizeof p.level);
    return p;
}

/* ---- the answer ---- */

static const char *text_of(const char *text)
{
    return text ? text : "";
}

static void begin(GString *out, const struct review_body *r)
{
    g_string_append(out, "{\"apiVersion\":");
    json_write_string(out, r->version && *r->version ? r->version : "admission.k8s.io/v1");
    g_string_append(out, ",\"kind\":\"AdmissionReview\",\"response\":{\"uid\":");
    json_write_string(out, text_of(r->uid));
}

static void write_status(GString *out, bool allowed, int code, const char *reason, const char *message)
{
    g_string_append_printf(out, ",\"allowed\":%s,\"status\":{\"code\":%d", allowed ? "true" : "false", code);
    if (reason) {
        g_string_append(out, ",\"reason\":");
        json_write_string(out, reason);
    }
    if (message) {
        g_string_append(out, ",\"message\":");
        json_write_string(out, message);
    }
    g_string_append_c(out, '}');
}

static void write_error(GString *out, int code, const char *why)
{
    write_status(out, false, code, NULL, why);
}

static void write_result(GString *out, const struct admit_result *result)
{
    write_status(out, result->allowed, result->allowed ? 200 : 403, result->allowed ? NULL : "Forbidden",
                 result->message);
    for (guint i = 0; result->warnings && i < result->warnings->len; i++) {
        g_string_append(out, i ? "," : ",\"warnings\":[");
        json_write_string(out, result->warnings->pdata[i]);
    }
    if (result->warnings && result->warnings->len)
        g_string_append_c(out, ']');
    if (result->allowed && result->patch) {
        g_autofree char *coded = g_base64_encode((const guchar *)result->patch, strlen(result->patch));
        g_string_append_printf(out, ",\"patchType\":\"JSONPatch\",\"patch\":\"%s\"", coded);
    }
}

static void admit(struct scheduler *s, struct review_body *r, GString *out)
{
    struct admit_policy policy = policy_of(s, text_of(r->user));
    struct admit_result result;
    vendor_admit(s->families, &policy, &r->pod, text_of(r->namespace_), &result);
    s->count.admitted += result.allowed;
    s->count.refused += !result.allowed;
    if (!result.allowed)
        log_line(LOG_INFO, "refused", "namespace", text_of(r->namespace_), "pod",
                 *r->pod.name ? r->pod.name : r->pod.generate_name, "why", result.message, NULL);
    write_result(out, &result);
    admit_result_clear(&result);
}

/* Reads the body and writes what there is to say of it; the envelope's end is the caller's. */
static void answer(struct scheduler *s, const struct http_request *http, GString *out)
{
    struct review_body r;
    const char *fault = review_body_read(s->reader, http->body, http->body_len, &r);
    begin(out, &r);
    if (!http->content_type || !g_str_has_prefix(http->content_type, "application/json"))
        write_error(out, 400, "the content type must be application/json");
    else if (r.large)
        write_error(out, 413, "the review holds more values than any pod needs");
    else if (fault) {
        g_autofree char *why = g_strdup_printf("the review cannot be read: %s", fault);
        log_line(LOG_INFO, "refused", "namespace", text_of(r.namespace_), "why", why, NULL);
        write_error(out, 400, why);
    } else if (r.request != JSON_IS_OBJECT)
        write_error(out, 400, "the body is no AdmissionReview with a request");
    else if (r.object != JSON_IS_OBJECT)
        write_error(out, 400, "request.object is no pod");
    else
        admit(s, &r, out);
    review_body_clear(&r);
}

void review_admit(const struct http_request *http, struct http_responder *responder, void *data)
{
    struct scheduler *s = data;
    int64_t start = g_get_monotonic_time();
    GString *out = g_string_sized_new(4096);
    answer(s, http, out);
    g_string_append(out, "}}");
    GBytes *bytes = g_string_free_to_bytes(out);
    http_respond_bytes(responder, 200, "application/json", bytes);
    g_bytes_unref(bytes);
    histogram_add(&s->webhook_ns, (g_get_monotonic_time() - start) * 1000);
}
