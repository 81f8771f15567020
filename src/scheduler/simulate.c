/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/simulate.h"

#include <string.h>

#include "base/json_write.h"
#include "scheduler/node_cards.h"

static struct node_object object;
static struct pod_request wanted;
static struct cluster_answer answer;

struct best {
    const char *text; /* of the node object */
    size_t len;
    double score;
};

/* The higher score wins, the first of equals: empty nodes differ only in what families think of them. */
static void consider(struct best *best, const char *text, size_t len)
{
    if (!best->text || answer.score > best->score)
        *best = (struct best){text, len, answer.score};
}

static void try_node(struct scheduler *s, const char *text, size_t len, struct best *best, GString *failed)
{
    struct json_scan scan;
    const char *fault;
    struct node_cards cards;
    int64_t never;
    json_scan_init(&scan, text, len);
    if (!node_object_scan(&scan, &object, &fault))
        return;
    g_autofree char *name = g_strndup(object.name.at, object.name.len);
    g_autoptr(GString) why = g_string_new("");
    enum sched_reason reason = SCHED_UNREGISTERED;
    node_cards_read(s, &object, name, node_cards_alive(s, &object, &never), &cards);
    if (!cards.spec.n_cards)
        node_cards_of_template(s, &object, name, &cards);
    if (cards.spec.n_cards)
        reason = cluster_fit_spec(s->cluster, &wanted, &cards.spec, &answer, why);
    node_cards_clear(&cards);
    if (reason == SCHED_FITS) {
        consider(best, text, len);
        return;
    }
    g_string_append(failed, failed->len > 1 ? "," : "");
    json_write_string(failed, name);
    g_string_append_c(failed, ':');
    json_write_string(failed, why->len ? why->str : sched_reason_words(reason)->code);
}

static void each_item(struct scheduler *s, const char *nodes, size_t len, struct best *best, GString *failed)
{
    struct json_scan scan;
    struct json_text key;
    const char *at;
    json_scan_init(&scan, nodes, len);
    if (!json_scan_object(&scan))
        return;
    while (json_scan_key(&scan, &key)) {
        bool items = json_text_reads_any_case(key, "items");
        if (!items)
            json_scan_skip(&scan);
        else if (json_scan_array(&scan))
            while (json_scan_element(&scan) && json_scan_raw(&scan, &at, &len))
                try_node(s, at, len, best, failed);
    }
}

static void respond(struct http_responder *responder, const char *nodes, size_t len, const char *failed,
                    const char *error)
{
    GString *out = g_string_new("{\"Nodes\":");
    g_string_append_len(out, nodes, (gssize)len);
    g_string_append_printf(
        out, ",\"NodeNames\":null,\"FailedNodes\":%s,\"FailedAndUnresolvableNodes\":null,\"Error\":", failed);
    json_write_string(out, error);
    g_string_append(out, "}\n");
    gsize n = out->len;
    g_autoptr(GBytes) bytes = g_bytes_new_take(g_string_free(out, FALSE), n);
    http_respond_bytes(responder, 200, "application/json", bytes);
}

void simulate_filter(struct scheduler *s, struct pod_object *p, const char *nodes, size_t len,
                     struct http_responder *responder)
{
    g_autofree char *why = NULL;
    g_autoptr(GString) failed = g_string_new("{");
    struct best best = {0};
    if (!vendor_request_parse(s->families, p, &s->defaults, &wanted, NULL, &why)) {
        respond(responder, "null", 4, "null", why);
        return;
    }
    if (pod_request_is_empty(&wanted)) { /* not ours: every node will do */
        respond(responder, nodes, len, "null", "");
    } else {
        each_item(s, nodes, len, &best, failed);
        g_string_append_c(failed, '}');
        g_autofree char *chosen =
            best.text ? g_strdup_printf("{\"metadata\":{},\"items\":[%.*s]}", (int)best.len, best.text)
                      : g_strdup("null");
        respond(responder, chosen, strlen(chosen), failed->str, "");
    }
    pod_request_clear(&wanted);
}
