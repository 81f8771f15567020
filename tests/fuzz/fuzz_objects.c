/* SPDX-License-Identifier: Apache-2.0
 *
 * What the API server tells of nodes, pods and quotas, whole, through the same
 * functions that a watch calls. Lines, each an event: the first character
 * chooses collection and kind (n p q added, N P Q modified, x y z deleted; l a list of all begins and ends).
 * The ledger is sound after each, and empty once all is gone.
 */
#include <string.h>

#include "scheduler/node_cards.h"
#include "tests/fuzz/extender_world.h"
#include "tests/fuzz/fuzz.h"

static const char *const kinds[] = {"nodes", "pods", "resourcequotas"};

static void list_of_nothing(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        world_list_begins(kinds[i]);
        world_list_ends(kinds[i]);
    }
}

static void event(const char *line, size_t len)
{
    static const char letters[] = "npqNPQxyz";
    const char *at = len ? strchr(letters, *line) : NULL;
    if (len && *line == 'l')
        list_of_nothing();
    if (!at || !*at)
        return;
    g_autofree char *text = g_malloc(MAX(len - 1, 1)); /* ends where it ends */
    memcpy(text, line + 1, len - 1);
    world_event(kinds[(at - letters) % 3], (enum kube_event)((at - letters) / 3), text, len - 1);
}

static bool is_within(ClusterNode n, void *data)
{
    const struct node_spec *spec = cluster_node_spec(world()->cluster, n);
    (void)data;
    CHECK(spec->n_cards > 0 && spec->n_cards <= CARD_PER_NODE);
    for (uint32_t i = 0; i < spec->n_cards; i++)
        CHECK(*spec->cards[i].uuid && spec->cards[i].family < world()->families->n);
    return true;
}

static bool is_free(const struct cluster_quota *q, void *data)
{
    (void)data;
    CHECK(q->used == 0 && q->limit == -1);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scheduler *s = world();
    const char *p = (const char *)data, *end = p + size;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        event(p, (size_t)(stop - p));
        world_check();
        p = stop + 1;
    }
    cluster_node_each(s->cluster, is_within, NULL);
    while (world_request())
        world_reply(500, NULL);
    list_of_nothing();
    CHECK(cluster_node_count(s->cluster) == 0 && cluster_pod_count(s->cluster) == 0);
    CHECK(g_hash_table_size(s->nodes) == 0 && g_hash_table_size(s->quotas) == 0);
    cluster_quota_each(s->cluster, is_free, NULL);
    g_hash_table_remove_all(s->owed);
    g_hash_table_remove_all(s->reloads);
    world_reset();
    return 0;
}
