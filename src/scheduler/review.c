/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /webhook: an AdmissionReview in, one out (scheduler.md sections 2.2, 2.3).
 * What is changed and refused is vendor_admit()'s; this is the envelope.
 * Stays useful on a standby: it reads the ledger, and writes nothing.
 */
#include <string.h>

#include "scheduler/service.h"

#define VALUES_MAX 200000
#define LOOK_US 50000 /* for a node that could hold a pod; anyone may ask for the impossible all day */

static const char *quota_exceeded(const struct pod_request *r, const char *namespace_, void *data)
{
    struct scheduler *s = data;
    (void)namespace_;
    return cluster_quota_exceeded(s->cluster, r);
}

struct possible {
    struct scheduler *s;
    const struct pod_request *r;
    bool known; /* some node has cards of every family that is asked for */
    bool fits;
    int64_t until_us; /* then it is not known */
    GString *why;
};

static bool has_family(const struct node_spec *spec, uint16_t family)
{
    for (uint32_t i = 0; i < spec->n_cards; i++)
        if (spec->cards[i].family == family)
            return true;
    return false;
}

static bool try_empty(ClusterNode n, void *data)
{
    static struct cluster_answer answer;
    struct possible *p = data;
    const struct node_spec *spec = cluster_node_spec(p->s->cluster, n);
    for (unsigned i = 0; i < p->r->n_requests; i++)
        if (!has_family(spec, p->r->requests[i].family))
            return true;
    if (g_get_monotonic_time() > p->until_us) {
        p->known = false;
        return false;
    }
    p->known = true;
    g_string_truncate(p->why, 0);
    p->fits = cluster_fit_spec(p->s->cluster, p->r, spec, &answer, p->why) == SCHED_FITS;
    return !p->fits;
}

/* Only where the cluster has such cards at all: nodes may be about to come. A
 * quota is no reason: it may be raised, and has its own words. */
static char *impossible(const struct pod_request *asked, void *data)
{
    static struct pod_request r;
    r = *asked;
    r.namespace_ = NULL;
    g_autoptr(GString) why = g_string_new("");
    struct possible p = {.s = data, .r = &r, .why = why, .until_us = g_get_monotonic_time() + LOOK_US};
    if (!scheduler_is_synced(p.s))
        return NULL;
    cluster_node_each(p.s->cluster, try_empty, &p);
    return p.known && !p.fits
               ? g_strdup_printf(
                     "no node could hold it even when empty (the last one: %s); ask for less per card, "
                     "for fewer cards, or drop a selection",
                     why->str)
               : NULL;
}

static struct admit_policy policy_of(struct scheduler *s, const char *user)
{
    struct admit_policy p = {
        .scheduler_name = s->o.scheduler_name ? s->o.scheduler_name : "",
        .force_overwrite = s->o.force_overwrite,
        .trusted = s->o.trusted_user && *s->o.trusted_user && strcmp(user, s->o.trusted_user) == 0,
        .defaults = s->defaults,
        .reader = s->reader,
        .quota = quota_exceeded,
        .impossible = impossible,
        .data = s,
    };
    memcpy(p.level, s->o.admission, sizeof p.level);
    return p;
}

/* result is consumed. */
static void set_result(json_t *response, struct admit_result *result)
{
    json_object_set_new(response, "allowed", json_boolean(result->allowed));
    json_t *status = json_pack("{s:i}", "code", result->allowed ? 200 : 403);
    if (!result->allowed)
        json_object_set_new(status, "reason", json_string("Forbidden"));
    if (result->message)
        json_object_set_new(status, "message", json_string(result->message));
    json_object_set_new(response, "status", status);
    if (result->warnings && result->warnings->len) {
        json_t *list = json_array();
        for (guint i = 0; i < result->warnings->len; i++)
            json_array_append_new(list, json_string(result->warnings->pdata[i]));
        json_object_set_new(response, "warnings", list);
    }
    if (result->allowed && result->patch && json_array_size(result->patch)) {
        g_autofree char *text = json_dumps(result->patch, JSON_COMPACT);
        g_autofree char *coded = g_base64_encode((const guchar *)text, strlen(text));
        json_object_set_new(response, "patchType", json_string("JSONPatch"));
        json_object_set_new(response, "patch", json_string(coded));
    }
}

static void set_error(json_t *response, int code, const char *why)
{
    json_object_set_new(response, "allowed", json_false());
    json_object_set_new(response, "status", json_pack("{s:i,s:s}", "code", code, "message", why));
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void admit(struct scheduler *s, json_t *request, json_t *response)
{
    json_t *pod = json_object_get(request, "object");
    struct admit_result result = {0};
    struct admit_policy policy = policy_of(s, text_of(json_object_get(request, "userInfo"), "username"));
    if (!json_is_object(pod)) {
        set_error(response, 400, "request.object is no pod");
        return;
    }
    vendor_admit(s->families, &policy, pod, text_of(request, "namespace"), &result);
    s->count.admitted += result.allowed;
    s->count.refused += !result.allowed;
    if (!result.allowed) {
        json_t *metadata = json_object_get(pod, "metadata");
        const char *name = text_of(metadata, "name");
        log_line(LOG_INFO, "refused", "namespace", text_of(request, "namespace"), "pod",
                 *name ? name : text_of(metadata, "generateName"), "why", result.message, NULL);
    }
    set_result(response, &result);
    admit_result_clear(&result);
}

/* A tree takes some 250 bytes for each value of three bytes, and anyone may write them. */
static bool has_too_many_values(const char *text, size_t len)
{
    size_t n = 0;
    bool quoted = false;
    for (size_t i = 0; i < len && n <= VALUES_MAX; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted)
            n += text[i] == ',' || text[i] == '[' || text[i] == '{';
    }
    return n > VALUES_MAX;
}

void review_admit(const struct http_request *http, struct http_responder *responder, void *data)
{
    struct scheduler *s = data;
    int64_t start = g_get_monotonic_time();
    bool large = has_too_many_values(http->body, http->body_len);
    json_t *review = large ? NULL : json_loadb(http->body, http->body_len, 0, NULL);
    json_t *request = json_object_get(review, "request");
    json_t *response = json_pack("{s:s}", "uid", text_of(request, "uid"));
    const char *version = text_of(review, "apiVersion");
    if (!http->content_type || !g_str_has_prefix(http->content_type, "application/json"))
        set_error(response, 400, "the content type must be application/json");
    else if (large)
        set_error(response, 413, "the review holds more values than any pod needs");
    else if (!json_is_object(request))
        set_error(response, 400, "the body is no AdmissionReview with a request");
    else
        admit(s, request, response);
    json_t *out = json_pack("{s:s,s:s,s:o}", "apiVersion", *version ? version : "admission.k8s.io/v1", "kind",
                            "AdmissionReview", "response", response);
    g_autofree char *text = json_dumps(out, JSON_COMPACT);
    http_respond(responder, 200, "application/json", text, strlen(text));
    json_decref(out);
    json_decref(review);
    histogram_add(&s->webhook_ns, (g_get_monotonic_time() - start) * 1000);
}
