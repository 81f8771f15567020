/* SPDX-License-Identifier: Apache-2.0
 *
 * What anyone may have written where a node's lock is: the first byte chooses
 * the lock and what becomes of its holder. A pod that wants the lock takes it, asks for the
 * holder that the text names, or waits; a text that nobody could have written keeps nobody out.
 */
#include <string.h>

#include "base/json_write.h"
#include "model/annotation.h"
#include "scheduler/nodelock.h"
#include "tests/fuzz/extender_world.h"
#include "tests/fuzz/fuzz.h"

static unsigned ended;

static void done(const char *error, void *data)
{
    (void)error, (void)data;
    ended++;
}

static void set_lock(const char *key, const char *text)
{
    g_autoptr(GString) node = g_string_new("");
    g_string_printf(
        node, "{\"metadata\":{\"name\":\"locked\",\"resourceVersion\":\"9\",\"annotations\":{\"%s\":", key);
    json_write_string(node, text);
    g_string_append(node, "}}}");
    world_event("nodes", KUBE_MODIFIED, node->str, node->len);
}

/* One or three parts, the first of which is a time: "2026-01-02T15:04:05Z,ns,pod". */
static bool may_be_a_lock(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    guint n = g_strv_length(parts);
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) time = n ? g_date_time_new_from_iso8601(parts[0], utc) : NULL;
    return time && (n == 1 || n == 3);
}

static void check_lookup(const struct world_request *r, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    g_autofree char *path = kube_path("api", "v1", "namespaces", parts[1], "pods", parts[2], NULL);
    CHECK(g_strv_length(parts) == 3 && strcmp(r->path, path) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {annotation_dsmlu_lock, annotation_mutex_lock};
    struct scheduler *s = world();
    if (size == 0)
        return 0;
    enum node_lock kind = data[0] & 1 ? NODE_LOCK_MUTEX : NODE_LOCK_DSMLU;
    bool gone = data[0] & 2;
    g_autofree char *raw = g_strndup((const char *)data + 1, size - 1), *text = g_utf8_make_valid(raw, -1);
    s->o.compat_node_lock = true;
    ended = 0;
    set_lock(keys[kind], text);
    CHECK(strcmp(nodes_lock_of(s, "locked", kind), text) == 0);
    nodelock_take(s, "locked", kind, "ns", "me", done, NULL);
    const struct world_request *r = world_request();
    if (r && strcmp(r->method, "GET") == 0) {
        check_lookup(r, text);
        world_reply(gone ? 404 : 200, NULL);
        r = world_request();
        CHECK((r != NULL) == gone);
    }
    CHECK(r || may_be_a_lock(text));
    if (r) {
        CHECK(strcmp(r->method, "PATCH") == 0 && ended == 0);
        world_reply(200, NULL);
        CHECK(ended == 1 && !world_request());
        nodelock_release(s, "locked", kind, "ns", "me");
    }
    nodelock_free(s); /* ends who still waits */
    CHECK(ended == 1);
    for (int k = 0; k < NODE_LOCKS; k++)
        s->locking[k] = g_hash_table_new(g_str_hash, g_str_equal);
    while (world_request())
        world_reply(422, NULL);
    return 0;
}
