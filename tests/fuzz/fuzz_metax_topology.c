/* SPDX-License-Identifier: Apache-2.0
 *
 * What a MetaX operator writes about a node's topology (losses and scores),
 * beside jansson's reading of it: the same points for the same numbers of cards, and
 * the node's cards whatever stands there.
 */
#include <string.h>

#include "base/json_write.h"
#include "scheduler/node_cards.h"
#include "tests/fuzz/extender_world.h"
#include "tests/fuzz/fuzz.h"

static void set_node(const char *topology)
{
    static const char cards[] =
        "[{\"uuid\":\"GPU-t-0\",\"totalDevCount\":4,\"totalCompute\":100,\"totalVRam\":65536,"
        "\"numa\":0,\"healthy\":true}]";
    static const char *const keys[] = {NODE_KEY_LOSSES, NODE_KEY_SCORES};
    g_autoptr(GString) node = g_string_new("{\"metadata\":{\"name\":\"topology\",\"annotations\":{");
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_string_append_printf(node, "\"%s\":", keys[i]);
        json_write_string(node, topology);
        g_string_append_c(node, ',');
    }
    g_string_append(node, "\"metax-tech.com/node-gpu-devices\":");
    json_write_string(node, cards);
    g_string_append(node, "}},\"status\":{\"allocatable\":{\"metax-tech.com/sgpu\":\"4\"}}}");
    world_event("nodes", KUBE_MODIFIED, node->str, node->len);
}

/* The number of cards that a key says: 1 ... 16 in plain digits, else 0. */
static guint64 count_of(const char *key)
{
    guint64 count;
    return g_ascii_string_to_unsigned(key, 10, 1, 16, &count, NULL) ? count : 0;
}

static void compare(json_t *topology, const uint32_t *table)
{
    json_int_t wanted[17] = {0};
    const char *key;
    json_t *value;
    json_object_foreach(topology, key, value)
    {
        json_int_t points = json_is_integer(value) ? json_integer_value(value) : 0;
        if (points > 0 && points < INT32_MAX)
            wanted[count_of(key)] = points;
    }
    for (int i = 1; i < 17; i++)
        CHECK(table[i] == wanted[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    struct scheduler *s = world();
    set_node(text);
    ClusterNode n = cluster_node_find(s->cluster, "topology", 8);
    const struct node_spec *spec = cluster_node_spec(s->cluster, n);
    CHECK(spec && spec->n_cards == 1 && spec->topology_losses && spec->topology_scores);
    json_t *topology = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    /* jansson's keys may read alike once escapes are resolved; "01" and "1" are both one */
    if (topology && !strchr(text, '\\') && !strstr(text, "\"0"))
        compare(topology, spec->topology_losses), compare(topology, spec->topology_scores);
    json_decref(topology);
    return 0;
}
