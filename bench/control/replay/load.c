/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <jansson.h>
#include <string.h>

#include "bench/control/apiserver/faults.h"
#include "bench/measure.h"

#define NAMESPACE "bench"

/* 10 000 arrivals of the plan: 70 % one slice, 10 % two, 10 % a whole node, 10 % by percentage. */
static const struct shape shapes[] = {{70, 1, 10240, 0, 25, "one"},
                                      {10, 2, 10240, 0, 25, "two"},
                                      {10, 8, 0, 0, 100, "whole-node"},
                                      {10, 1, 0, 20, 20, "percentage"}};

void load_arrival(struct arrival *a, uint64_t seed, unsigned number, enum mix mix)
{
    uint64_t bits = mix64(mix64(seed, 100), number);
    unsigned draw = (unsigned)(bits % 100), i = 0;
    while (mix == MIX_ARRIVALS && draw >= shapes[i].share_pct)
        draw -= shapes[i++].share_pct;
    *a = (struct arrival){.number = number, .shape = &shapes[i]};
    g_snprintf(a->name, sizeof a->name, "arrival-%07u-%05x", number, (unsigned)(bits >> 32) & 0xfffff);
}

static void append_resources(const struct shape *s, const char *name, GString *out)
{
    g_string_append_printf(out, "\"%s\":{\"cpu\":\"4\",\"memory\":\"16Gi\",\"nvidia.com/gpu\":\"%u\"", name,
                           s->gpus);
    if (s->cores_pct)
        g_string_append_printf(out, ",\"nvidia.com/gpucores\":\"%u\"", s->cores_pct);
    if (s->mem_mib)
        g_string_append_printf(out, ",\"nvidia.com/gpumem\":\"%u\"", s->mem_mib);
    if (s->mem_pct)
        g_string_append_printf(out, ",\"nvidia.com/gpumem-percentage\":\"%u\"", s->mem_pct);
    g_string_append_c(out, '}');
}

static const char spec_tail[] =
    "\"volumeMounts\":[{\"name\":\"kube-api-access-x7k2p\",\"readOnly\":true,"
    "\"mountPath\":\"/var/run/secrets/kubernetes.io/serviceaccount\"}],"
    "\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\","
    "\"imagePullPolicy\":\"IfNotPresent\"}],\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":"
    "30,"
    "\"dnsPolicy\":\"ClusterFirst\",\"serviceAccountName\":\"default\",\"serviceAccount\":\"default\","
    "\"securityContext\":{},\"schedulerName\":\"hami-scheduler\",\"tolerations\":[{"
    "\"key\":\"node.kubernetes.io/not-ready\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
    "\"tolerationSeconds\":300},{\"key\":\"node.kubernetes.io/unreachable\",\"operator\":\"Exists\","
    "\"effect\":\"NoExecute\",\"tolerationSeconds\":300}],\"priority\":0,\"enableServiceLinks\":true,"
    "\"preemptionPolicy\":\"PreemptLowerPriority\"},\"status\":{\"phase\":\"Pending\",\"qosClass\":"
    "\"Burstable\"}}";

static void append_pod(const struct arrival *a, GString *out)
{
    g_string_append_printf(out, "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"" NAMESPACE "\",", a->name);
    if (*a->uid)
        g_string_append_printf(
            out, "\"uid\":\"%s\",\"resourceVersion\":\"%s\",\"creationTimestamp\":\"2026-11-26T08:00:00Z\",",
            a->uid, a->rv);
    g_string_append_printf(
        out,
        "\"labels\":{\"app\":\"arrival\",\"shape\":\"%s\",\"pod-template-hash\":\"5d8f7c9b6d\"},"
        "\"annotations\":{\"prometheus.io/scrape\":\"true\",\"prometheus.io/port\":\"9400\"}},"
        "\"spec\":{\"volumes\":[{\"name\":\"kube-api-access-x7k2p\",\"projected\":{\"sources\":["
        "{\"serviceAccountToken\":{\"expirationSeconds\":3607,\"path\":\"token\"}},{\"configMap\":{"
        "\"name\":\"kube-root-ca.crt\",\"items\":[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]}},"
        "{\"downwardAPI\":{\"items\":[{\"path\":\"namespace\",\"fieldRef\":{\"apiVersion\":\"v1\","
        "\"fieldPath\":\"metadata.namespace\"}}]}}],\"defaultMode\":420}}],\"containers\":[{"
        "\"name\":\"main\",\"image\":\"registry.internal/serve:2\",\"command\":[\"python3\",\"serve.py\"],"
        "\"env\":[{\"name\":\"MODEL\",\"value\":\"/models/"
        "large\"},{\"name\":\"LOG_LEVEL\",\"value\":\"info\"}],"
        "\"resources\":{",
        a->shape->name);
    append_resources(a->shape, "limits", out);
    g_string_append_c(out, ',');
    append_resources(a->shape, "requests", out);
    g_string_append(out, "},");
    g_string_append_len(out, spec_tail, sizeof spec_tail - 1);
}

/* The first value of a name in the text: the API server puts metadata first. */
static void copy_value(const char *text, const char *name, char *to, size_t size)
{
    const char *at = strstr(text, name);
    if (at) {
        at += strlen(name);
        g_strlcpy(to, at, MIN(size, strcspn(at, "\"") + 1));
    }
}

bool load_create(struct http *api, struct arrival *a)
{
    g_autoptr(GString) body = g_string_sized_new(4096);
    append_pod(a, body);
    int code = http_call(api, "POST", "/api/v1/namespaces/" NAMESPACE "/pods", "application/json", body->str,
                         body->len);
    if (code != 201)
        return false;
    copy_value(api->body->str, "\"uid\":\"", a->uid, sizeof a->uid);
    copy_value(api->body->str, "\"resourceVersion\":\"", a->rv, sizeof a->rv);
    return true;
}

bool load_delete(struct http *api, const struct arrival *a)
{
    g_autofree char *path = g_strdup_printf("/api/v1/namespaces/" NAMESPACE "/pods/%s", a->name);
    int code = http_call(api, "DELETE", path, "", "", 0);
    return code == 200 || code == 404;
}

int load_look(struct http *api, struct arrival *a)
{
    g_autofree char *path = g_strdup_printf("/api/v1/namespaces/" NAMESPACE "/pods/%s", a->name);
    int code = http_call(api, "GET", path, "", "", 0);
    if (code != 200)
        return code == 404 ? -1 : -2;
    *a->node = 0;
    copy_value(api->body->str, "\"nodeName\":\"", a->node, sizeof a->node);
    return *a->node != 0;
}

bool load_names(struct http *api, struct names *names)
{
    g_autofree char *token = g_strdup("");
    *names = (struct names){.nodes = g_ptr_array_new_with_free_func(g_free)};
    do {
        g_autofree char *escaped = g_uri_escape_string(token, NULL, FALSE);
        g_autofree char *path = g_strdup_printf("/api/v1/nodes?limit=1000&continue=%s", escaped);
        if (http_call(api, "GET", path, "", "", 0) != 200)
            return false;
        json_t *page = json_loadb(api->body->str, api->body->len, 0, NULL), *item;
        size_t i;
        json_array_foreach(json_object_get(page, "items"), i, item)
        {
            g_ptr_array_add(names->nodes, g_strdup(json_string_value(
                                              json_object_get(json_object_get(item, "metadata"), "name"))));
        }
        g_free(token);
        token = g_strdup(json_string_value(json_object_get(json_object_get(page, "metadata"), "continue")));
        json_decref(page);
    } while (token && *token);
    return names->nodes->len > 0;
}

void load_names_clear(struct names *names)
{
    g_clear_pointer(&names->nodes, g_ptr_array_unref);
}

size_t load_sample_size(size_t n)
{
    size_t pct = n < 125 * 45 ? 50 - n / 125 : 5;
    return MIN(n, MAX(100, n * pct / 100));
}

GString *load_filter_request(const struct http *extender, const struct arrival *a, struct names *names,
                             size_t count)
{
    g_autoptr(GString) body = g_string_sized_new(4096 + count * 32);
    g_string_append(body, "{\"Pod\":");
    append_pod(a, body);
    g_string_append(body, ",\"Nodes\":null,\"NodeNames\":[");
    for (size_t i = 0; i < count; i++) {
        g_string_append(body, i ? ",\"" : "\"");
        g_string_append(body, names->nodes->pdata[(names->start + i) % names->nodes->len]);
        g_string_append_c(body, '"');
    }
    g_string_append(body, "]}");
    names->start = (names->start + count) % names->nodes->len;
    return http_request(extender, "POST", "/filter", "application/json", body->str, body->len);
}

enum verdict load_filter_verdict(const GString *body, char *node, size_t size)
{
    json_t *result = json_loadb(body->str, body->len, 0, NULL);
    const char *error = json_string_value(json_object_get(result, "Error"));
    const char *name = json_string_value(json_array_get(json_object_get(result, "NodeNames"), 0));
    enum verdict v = !error || *error ? VERDICT_ERROR : name ? VERDICT_NODE : VERDICT_NO_FIT;
    if (v == VERDICT_NODE)
        g_strlcpy(node, name, size);
    json_decref(result);
    return v;
}

GString *load_bind_request(const struct http *extender, const struct arrival *a)
{
    g_autofree char *body = g_strdup_printf("{\"PodName\":\"%s\",\"PodNamespace\":\"" NAMESPACE
                                            "\",\"PodUID\":\"%s\",\"Node\":\"%s\"}",
                                            a->name, a->uid, a->node);
    return http_request(extender, "POST", "/bind", "application/json", body, strlen(body));
}

bool load_bind_done(const GString *body)
{
    json_t *result = json_loadb(body->str, body->len, 0, NULL);
    const char *error = json_string_value(json_object_get(result, "Error"));
    bool done = json_is_object(result) && (!error || !*error);
    json_decref(result);
    return done;
}

GString *load_review(unsigned containers)
{
    GString *out = g_string_sized_new(16384);
    g_string_append(
        out,
        "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{"
        "\"uid\":\"705ab4f5-6393-11e8-b7cc-42010a800002\",\"kind\":{\"group\":\"\",\"version\":\"v1\","
        "\"kind\":\"Pod\"},\"resource\":{\"group\":\"\",\"version\":\"v1\",\"resource\":\"pods\"},"
        "\"requestKind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Pod\"},\"requestResource\":{"
        "\"group\":\"\",\"version\":\"v1\",\"resource\":\"pods\"},\"namespace\":\"bench\","
        "\"operation\":\"CREATE\",\"userInfo\":{\"username\":\"kubernetes-admin\",\"groups\":["
        "\"system:masters\",\"system:authenticated\"]},\"object\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\","
        "\"metadata\":{\"name\":\"ten\",\"namespace\":\"bench\",\"creationTimestamp\":null,\"labels\":{"
        "\"app\":\"ten\"}},\"spec\":{\"containers\":[");
    for (unsigned i = 0; i < containers; i++)
        g_string_append_printf(
            out,
            "%s{\"name\":\"c%u\",\"image\":\"registry.internal/serve:2\",\"env\":[{\"name\":\"MODEL\","
            "\"value\":\"/models/large\"}],\"resources\":{\"limits\":{\"nvidia.com/gpucores\":\"5\","
            "\"nvidia.com/gpumem\":\"2000\"},\"requests\":{\"nvidia.com/gpucores\":\"5\","
            "\"nvidia.com/gpumem\":\"2000\"}},\"terminationMessagePath\":\"/dev/termination-log\","
            "\"terminationMessagePolicy\":\"File\",\"imagePullPolicy\":\"IfNotPresent\"}",
            i ? "," : "", i);
    g_string_append(
        out,
        "],\"restartPolicy\":\"Always\",\"terminationGracePeriodSeconds\":30,\"dnsPolicy\":\"ClusterFirst\","
        "\"serviceAccountName\":\"default\",\"serviceAccount\":\"default\",\"securityContext\":{},"
        "\"schedulerName\":\"default-scheduler\",\"tolerations\":[],\"priority\":0,"
        "\"enableServiceLinks\":true},\"status\":{}},\"oldObject\":null,\"dryRun\":false,"
        "\"options\":{\"kind\":\"CreateOptions\",\"apiVersion\":\"meta.k8s.io/v1\"}}}");
    return out;
}
