/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /preempt: kube-scheduler names victims per node by its own resources;
 * we answer which of its nodes can be made to fit in cards, and by whose end. Per node
 * the victims are those it named and, should they not be enough, the ones that cards need besides.
 * Wire: k8s.io/kube-scheduler/extender/v1 ExtenderPreemptionArgs and -Result,
 * in the form for nodeCacheCapable extenders (NodeNameToMetaVictims).
 */
#include <string.h>

#include "base/json_write.h"
#include "sched/explain_pod.h"
#include "scheduler/candidates.h"

static struct pod_request wanted;

struct result {
    GString *out;
    uint32_t n;
};

static void add_uid(GHashTable *uids, struct json_text uid)
{
    char *copy = json_text_dup(uid);
    if (copy)
        g_hash_table_add(uids, copy);
}

static void append_victims(GString *out, GHashTable *uids, int64_t disruptions)
{
    GHashTableIter i;
    gpointer uid;
    bool first = true;
    g_string_append(out, "{\"Pods\":[");
    g_hash_table_iter_init(&i, uids);
    while (g_hash_table_iter_next(&i, &uid, NULL)) {
        g_string_append(out, first ? "{\"UID\":" : ",{\"UID\":");
        json_write_string(out, uid);
        g_string_append_c(out, '}');
        first = false;
    }
    g_string_append_printf(out, "],\"NumPDBViolations\":%" G_GINT64_FORMAT "}", disruptions);
}

/* One entry of either map: victims as pods or as UIDs. */
static int64_t scan_victims(struct json_scan *scan, GHashTable *uids)
{
    struct json_text key, uid;
    int64_t disruptions = 0;
    if (!json_scan_object(scan))
        return 0;
    while (json_scan_key(scan, &key)) {
        if (json_text_reads(key, "NumPDBViolations")) {
            json_scan_int(scan, &disruptions);
        } else if (json_text_reads(key, "Pods") && json_scan_array(scan)) {
            while (json_scan_element(scan)) {
                if (!json_scan_object(scan))
                    continue;
                while (json_scan_key(scan, &key)) {
                    if (json_text_reads(key, "UID") && json_scan_text(scan, &uid)) {
                        add_uid(uids, uid);
                    } else if (json_text_reads(key, "metadata") && json_scan_object(scan)) {
                        while (json_scan_key(scan, &key))
                            if (json_text_reads(key, "uid") && json_scan_text(scan, &uid))
                                add_uid(uids, uid);
                            else if (!json_text_reads(key, "uid"))
                                json_scan_skip(scan);
                    } else if (!json_text_reads(key, "UID") && !json_text_reads(key, "metadata")) {
                        json_scan_skip(scan);
                    }
                }
            }
        } else if (!json_text_reads(key, "Pods")) {
            json_scan_skip(scan);
        }
    }
    return disruptions;
}

static void consider(struct scheduler *s, struct json_text name, struct json_scan *scan,
                     struct result *result)
{
    g_autoptr(GHashTable) uids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    int64_t disruptions = scan_victims(scan, uids);
    ClusterNode node = candidates_find(s, name);
    if (node == CLUSTER_NO_NODE)
        return;
    g_autofree gpointer *named = g_hash_table_get_keys_as_array(uids, NULL);
    g_autoptr(GPtrArray) ours =
        sched_victims(s->cluster, &wanted, node, (const char *const *)(const void *)named);
    if (!ours)
        ours = sched_victims(s->cluster, &wanted, node, NULL);
    if (!ours)
        return;
    for (guint i = 0; i < ours->len; i++)
        g_hash_table_add(uids, g_strdup(ours->pdata[i]));
    if (g_hash_table_size(uids) == 0)
        return;
    g_string_append_printf(result->out, "%s\"%.*s\":", result->n++ ? "," : "", (int)name.len, name.at);
    append_victims(result->out, uids, disruptions);
}

void extender_preempt(const struct http_request *request, struct http_responder *responder, void *data)
{
    struct scheduler *s = data;
    struct json_scan scan;
    struct json_text key;
    static struct pod_object pod;
    bool has_pod = false;
    const char *maps[2] = {NULL, NULL};
    size_t lens[2] = {0, 0};
    g_autofree char *why = NULL;
    struct result result = {g_string_new("{\"NodeNameToMetaVictims\":{"), 0};
    json_scan_init(&scan, request->body, request->body_len);
    if (json_scan_object(&scan))
        while (json_scan_key(&scan, &key)) {
            if (json_text_reads(key, "Pod") && !has_pod)
                has_pod = pod_object_scan(s->reader, &scan, &pod);
            else if (json_text_reads(key, "NodeNameToVictims"))
                json_scan_raw(&scan, &maps[0], &lens[0]);
            else if (json_text_reads(key, "NodeNameToMetaVictims"))
                json_scan_raw(&scan, &maps[1], &lens[1]);
            else
                json_scan_skip(&scan);
        }
    bool good = json_scan_end(&scan) && has_pod && scheduler_is_synced(s) &&
                vendor_request_parse(s->families, &pod, &s->defaults, &wanted, NULL, &why);
    for (int i = 0; good && i < 2; i++) {
        json_scan_init(&scan, maps[i] ? maps[i] : "null", maps[i] ? lens[i] : 4);
        if (json_scan_object(&scan))
            while (json_scan_key(&scan, &key))
                consider(s, key, &scan, &result);
    }
    if (good)
        pod_request_clear(&wanted);
    if (has_pod)
        pod_object_clear(&pod);
    g_string_append(result.out, "}}\n");
    http_respond(responder, good ? 200 : 400, "application/json", result.out->str, result.out->len);
    g_string_free(result.out, TRUE);
}
