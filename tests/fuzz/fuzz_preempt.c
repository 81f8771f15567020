/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /preempt as the server hands it over, beside jansson's reading of the
 * same text: only nodes that were named are answered, and only pods that were named
 * or that hold cards there and matter less are to end; asked again, written anew or
 * escaped, the same answer; nothing changes.
 */
#include <string.h>

#include "tests/fuzz/escaped.h"
#include "tests/fuzz/extender_world.h"
#include "tests/fuzz/fuzz.h"

static const char *const nodes[] = {"gpu-a", "gpu-b"};

/* v-0 ... v-7, four on each node, a whole card each, of priority 0 to 3. */
static void fill(struct scheduler *s)
{
    uint8_t app = SLOT_APP;
    for (uint16_t i = 0; i < 8; i++) {
        struct pod_grant g = {.n = 1};
        char uid[8];
        g_snprintf(uid, sizeof uid, "v-%u", i);
        g.grants[0] = (struct card_grant){.mem_bytes = UINT64_C(16000) << 20,
                                          .cores = 100,
                                          .card = i % 4,
                                          .slices = 1,
                                          .shape = CARD_NO_SHAPE};
        cluster_bound(s->cluster, uid, "ns", uid, nodes[i / 4], &g, &app, 1, i % 4, false);
    }
}

static const json_t *named(const json_t *args, const char *map, const char *node)
{
    return json_object_get(json_object_get(args, map), node);
}

static bool is_named(const json_t *victims, const char *uid)
{
    json_t *pod;
    size_t i;
    json_array_foreach(json_object_get(victims, "Pods"), i, pod)
    {
        if (g_strcmp0(json_string_value(json_object_get(pod, "UID")), uid) == 0 ||
            g_strcmp0(json_string_value(json_object_get(json_object_get(pod, "metadata"), "uid")), uid) == 0)
            return true;
    }
    return false;
}

static void check_answer(const json_t *args, const json_t *answer)
{
    const json_t *pod = json_object_get(args, "Pod");
    json_int_t priority = json_integer_value(json_object_get(json_object_get(pod, "spec"), "priority"));
    const char *node;
    json_t *victims, *one;
    size_t i;
    json_object_foreach(json_object_get(answer, "NodeNameToMetaVictims"), node, victims)
    {
        const json_t *full = named(args, "NodeNameToVictims", node),
                     *meta = named(args, "NodeNameToMetaVictims", node);
        CHECK(full || meta);
        CHECK(json_array_size(json_object_get(victims, "Pods")) > 0);
        json_array_foreach(json_object_get(victims, "Pods"), i, one)
        {
            const char *uid = json_string_value(json_object_get(one, "UID"));
            struct cluster_pod held;
            bool is_held = cluster_pod_get(world()->cluster, uid, &held);
            CHECK(is_named(full, uid) || is_named(meta, uid) ||
                  (is_held && strcmp(held.node_name, node) == 0 && held.priority < priority));
        }
    }
}

static void expect_same(const char *text, size_t len, const char *wanted)
{
    json_t *before = json_loads(wanted, 0, NULL), *now;
    g_autofree char *got = world_call(extender_preempt, text, len);
    now = json_loads(got, 0, NULL);
    CHECK(now && json_object_size(now) == json_object_size(before));
    const char *node;
    json_t *victims;
    json_object_foreach(json_object_get(before, "NodeNameToMetaVictims"), node, victims)
        CHECK(json_array_size(json_object_get(victims, "Pods")) ==
              json_array_size(json_object_get(named(now, "NodeNameToMetaVictims", node), "Pods")));
    json_decref(before);
    json_decref(now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    if (cluster_pod_count(world()->cluster) == 0)
        fill(world());
    g_autofree char *first = world_call(extender_preempt, text, size);
    json_t *args = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL), *answer = json_loads(first, 0, NULL);
    CHECK(first && !world_request() && cluster_pod_count(world()->cluster) == 8);
    CHECK(!args || answer);
    if (json_is_object(args) && !world_is_ambiguous(args, text, size)) {
        char *plain = json_dumps(args, 0);
        g_autofree char *escaped = escaped_dump(args);
        check_answer(args, answer);
        expect_same(text, size, first);
        expect_same(plain, strlen(plain), first);
        expect_same(escaped, strlen(escaped), first);
        free(plain);
    }
    world_check();
    json_decref(args);
    json_decref(answer);
    return 0;
}
