/* SPDX-License-Identifier: Apache-2.0
 *
 * The sentences of `hami explain`: what to change, the value in the manifest's
 * or the flag's own words, and how many nodes take the pod then.
 */
#include "cli/explain_text.h"

#include <string.h>

#include "../sched/world.h"
#include "cli/cli.h"

bool cli_colour(int fd)
{
    (void)fd;
    return false;
}

static const char many_uuids[] =
    "GPU-0a1b2c3d-0000-4000-8000-000000000000,GPU-0a1b2c3d-0000-4000-8000-000000000001";

struct scene {
    uint32_t n_nodes;
    uint32_t free_mib, slots; /* of each node's one card; 0 = all, ten */
    uint32_t ask_mib, ask_pct, ask_cores;
    const char *type; /* of the cards; NULL = A100 */
    const char *use_types, *not_types, *not_uuids;
    bool cordoned, mutex;
    int64_t quota_mib; /* 0 = none */
    bool flags;        /* the request is made of flags, and no pod of a manifest */
};

static const struct row {
    const char *name;
    struct scene scene;
    const char *says;
} rows[] = {
    {"less memory",
     {.n_nodes = 3, .free_mib = 7200, .ask_mib = 8000},
     "nvidia.com/gpumem 8000 -> 7168 fits 3 nodes (such as node-00)"},
    {"less memory, one node",
     {.n_nodes = 1, .free_mib = 7200, .ask_mib = 8000},
     "nvidia.com/gpumem 8000 -> 7168 fits 1 node (node-00)"},
    {"less memory of a request made of flags",
     {.n_nodes = 2, .free_mib = 7200, .ask_mib = 8000, .flags = true},
     "nvidia.com/gpumem 8000 -> 7168 fits 2 nodes (such as node-00)"},
    {"an amount instead of a percentage",
     {.n_nodes = 1, .free_mib = 7200, .ask_pct = 50},
     "nvidia.com/gpumem-percentage 50 -> nvidia.com/gpumem 7168 fits 1 node"},
    {"an amount instead of a whole card",
     {.n_nodes = 1, .free_mib = 7200},
     "nvidia.com/gpumem whole card -> 7168 fits 1 node (node-00)"},
    {"less compute",
     {.n_nodes = 2, .free_mib = 30000, .ask_mib = 8000, .ask_cores = 95},
     "nvidia.com/gpucores 95 -> 90 fits 2 nodes (such as node-00)"},
    {"a type that is ruled out",
     {.n_nodes = 3, .type = "NVIDIA H100", .not_types = "H100"},
     "remove nvidia.com/nouse-gputype H100: fits 3 nodes (such as node-00)"},
    {"a type that is ruled out by a flag",
     {.n_nodes = 3, .type = "NVIDIA H100", .not_types = "H100", .flags = true},
     "leave out --not-type H100: fits 3 nodes (such as node-00)"},
    {"a type that is wanted",
     {.n_nodes = 1, .use_types = "H100"},
     "remove nvidia.com/use-gputype H100: fits 1 node (node-00)"},
    {"a type that is wanted by a flag",
     {.n_nodes = 1, .use_types = "H100,H200", .flags = true},
     "leave out --type H100,H200: fits 1 node (node-00)"},
    {"types that a terminal must not see",
     {.n_nodes = 1, .use_types = "H100\033[2J\n"},
     "remove nvidia.com/use-gputype H100?[2J?: fits 1 node (node-00)"},
    {"a long list of UUIDs",
     {.n_nodes = 1, .not_uuids = many_uuids},
     "remove nvidia.com/nouse-gpuuuid GPU-0a1b2c3d-0000-400...: fits 1 node"},
    {"slots",
     {.n_nodes = 1, .free_mib = 30000, .slots = 1, .ask_mib = 8000},
     "deviceSplitCount of node node-00 is used up; raise to 2: fits 1 node"},
    {"slots of several nodes",
     {.n_nodes = 3, .free_mib = 30000, .slots = 1, .ask_mib = 8000},
     "deviceSplitCount of node node-00 + 2 more is used up; raise to 2: fits 3 nodes"},
    {"cordon",
     {.n_nodes = 2, .ask_mib = 8000, .cordoned = true},
     "lift the cordon (node annotation hami.io/device-cordon): fits 2 nodes"},
    {"mutex",
     {.n_nodes = 2, .free_mib = 30000, .ask_mib = 8000, .mutex = true},
     "remove `mutex` from hami.io/gpu-scheduler-policy: fits 2 nodes"},
    {"mutex of a flag",
     {.n_nodes = 2, .free_mib = 30000, .ask_mib = 8000, .mutex = true, .flags = true},
     "remove `mutex` from --gpu-policy: fits 2 nodes (such as node-00)"},
    {"quota",
     {.n_nodes = 2, .ask_mib = 8000, .quota_mib = 4000},
     "raise the quota limits.nvidia.com/gpumem 4000 -> 8000: fits 2 nodes"},
    {"waiting",
     {.n_nodes = 2, .free_mib = 7200, .ask_mib = 8000},
     "change nothing and wait for other pods to end: fits 2 nodes (such as node-00)"},
};

/* What is not free of the card is held with 10 % of its compute. */
static void hold(struct world *w, uint32_t node, uint32_t mib)
{
    char uid[40];
    g_autofree struct pod_grant *g = g_new0(struct pod_grant, 1);
    uint8_t kind = SLOT_APP;
    g_snprintf(uid, sizeof uid, "holder-%u", node);
    g->n = 1;
    g->grants[0] =
        (struct card_grant){.mem_bytes = MIB(mib), .cores = 10, .slices = 1, .shape = CARD_NO_SHAPE};
    cluster_bound(w->cluster, uid, "elsewhere", "holder", w->names[node], g, &kind, 1, 0, false);
}

static void set_scene(struct world *w, struct pod_request *r, const struct scene *s)
{
    world_init(w, 1);
    for (uint32_t i = 0; i < s->n_nodes; i++) {
        struct card *card = world_add_node(w, "NVIDIA", 1)->cards;
        card->type = s->type ? s->type : card->type;
        card->slots = s->slots ? (uint16_t)s->slots : card->slots;
        card->cordoned = s->cordoned;
        if (s->not_uuids) {
            g_free((char *)(uintptr_t)card->uuid);
            card->uuid = g_strndup(s->not_uuids, strcspn(s->not_uuids, ","));
        }
        world_set_node(w, i);
        if (s->free_mib)
            hold(w, i, 40960 - s->free_mib);
    }
    world_request(w, r, "NVIDIA", 1);
    r->requests[0].mem_bytes = MIB(s->ask_mib);
    r->requests[0].mem_percent = s->ask_pct;
    r->requests[0].cores = s->ask_cores;
    r->mutex = s->mutex;
    r->n_selections = 1;
    r->selections[0] = (struct pod_selection){.family = r->requests[0].family,
                                              .use_types = s->use_types,
                                              .not_types = s->not_types,
                                              .not_uuids = {s->not_uuids}};
    if (s->quota_mib)
        cluster_quota_set(w->cluster, "default", "q", "nvidia.com/gpumem", s->quota_mib);
}

static void every_hint_says_what_to_change_and_what_it_brings(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        static struct pod_request r;
        struct world w;
        set_scene(&w, &r, &rows[i].scene);
        g_autoptr(Explanation) e = sched_explain_pod(w.cluster, &r, NULL, 0);
        g_autoptr(GPtrArray) nothing = g_ptr_array_new();
        struct explain_view v = {.families = w.families,
                                 .cluster = w.cluster,
                                 .request = &r,
                                 .explanation = e,
                                 .held = rows[i].scene.flags ? NULL : nothing};
        bool said = false;
        g_test_message("%s", rows[i].name);
        for (uint32_t k = 0; k < e->n_hints; k++) {
            g_autofree char *text = explain_hint_text(&v, &e->hints[k]);
            g_test_message("  %s", text);
            said |= strcmp(text, rows[i].says) == 0;
            g_assert_cmpuint(strlen(text), <=, 78); /* of 80 columns, indented by two */
        }
        if (!said)
            g_error("%s: nobody says: %s", rows[i].name, rows[i].says);
        world_clear(&w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/explain-text/every_hint_says_what_to_change_and_what_it_brings",
                    every_hint_says_what_to_change_and_what_it_brings);
    return g_test_run();
}
