/* SPDX-License-Identifier: Apache-2.0
 *
 * A node registers after pods with cards on it were seen: they could not be counted then, so its pods are
 * listed once more. Until that is done nothing is granted on it (nodes.c keeps it cordoned), else cards that
 * are in use would be given again. A node on which no such pod was seen costs no list and is open at once.
 *
 * A node may register and leave as often as it likes: one list of its pods is under way at most, and between
 * two of them lies a second. A pod that ended meanwhile is not believed from a list that is older than its
 * end.
 */
#include "kube/watch_parse.h"
#include "scheduler/service.h"

#define AGAIN_MS 1000
/* Anyone may bind pods to names that no node has. Beyond as many every late node is listed. */
#define NODES_OWED_MAX 65536

struct reload {
    struct scheduler *s;
    char *node;
    bool again; /* it came anew while its pods were being listed */
    guint timer;
};

static void reload_free(gpointer data)
{
    struct reload *r = data;
    g_clear_handle_id(&r->timer, g_source_remove);
    g_free(r->node);
    g_free(r);
}

static bool give_item(const char *json, size_t len, void *data)
{
    pods_listed_again(data, json, len);
    return true;
}

static void list(struct reload *r);

/* A second after a list: another, or no more of it. */
static gboolean rested(gpointer data)
{
    struct reload *r = data;
    struct scheduler *s = r->s;
    r->timer = 0;
    if (r->again) {
        list(r);
        return G_SOURCE_REMOVE;
    }
    g_hash_table_remove(s->reloads, r->node);
    if (g_hash_table_size(s->reloads) == 0)
        g_hash_table_remove_all(s->ended);
    return G_SOURCE_REMOVE;
}

static void listed(GObject *source, GAsyncResult *result, gpointer data)
{
    struct reload *r = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    const char *why = error ? error->message : NULL;
    struct kube_page page;
    size_t len = 0;
    (void)source;
    const char *json = answer ? g_bytes_get_data(answer, &len) : NULL;
    /* A list that is cut is none: the cards of the pods that it lacks would be given twice. */
    if (!json || !kube_page_parse(json, len, give_item, r->s, &page, &why)) {
        log_line(LOG_WARN, "reload-node", "node", r->node, "why", why, NULL);
        reload_owe(r->s, r->node);
        r->again = true;
    }
    r->timer = g_timeout_add(AGAIN_MS, rested, r);
    if (!r->again)
        nodes_counted(r->s, r->node);
}

/* The newest there is: what a cache of the server remembers may be older than what we have seen. */
static void list(struct reload *r)
{
    g_autofree char *field = g_strdup_printf("spec.nodeName=%s", r->node);
    g_autofree char *query = kube_query("fieldSelector", field, NULL);
    struct kube_request request = {.method = "GET", .path = "/api/v1/pods", .query = query};
    r->again = false;
    g_hash_table_remove(r->s->owed, r->node);
    kube_request_async(r->s->client, &request, NULL, listed, r);
}

void reload_node(struct scheduler *s, const char *node)
{
    struct reload *r = g_hash_table_lookup(s->reloads, node);
    if (r) {
        r->again = true;
        return;
    }
    r = g_new0(struct reload, 1);
    r->s = s;
    r->node = g_strdup(node);
    g_hash_table_replace(s->reloads, r->node, r);
    list(r);
}

void reload_owe(struct scheduler *s, const char *node)
{
    if (g_hash_table_size(s->owed) < NODES_OWED_MAX)
        g_hash_table_add(s->owed, g_strdup(node));
}

bool reload_is_owed(const struct scheduler *s, const char *node)
{
    return s->owed && (g_hash_table_contains(s->owed, node) || g_hash_table_lookup(s->reloads, node) ||
                       g_hash_table_size(s->owed) >= NODES_OWED_MAX);
}

void reload_saw_end(struct scheduler *s, const char *uid)
{
    if (s->reloads && g_hash_table_size(s->reloads))
        g_hash_table_add(s->ended, g_strdup(uid));
}

void reload_start(struct scheduler *s)
{
    s->reloads = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, reload_free);
    s->ended = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    s->owed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void reload_stop(struct scheduler *s)
{
    g_clear_pointer(&s->reloads, g_hash_table_unref);
    g_clear_pointer(&s->ended, g_hash_table_unref);
    g_clear_pointer(&s->owed, g_hash_table_unref);
}
