/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /filter as the server hands it over, beside jansson's reading of the
 * same text: one answer to every call, and the same to the same call; a pod that
 * asks for cards gets one of the nodes listed and holds it in the ledger, or
 * every one of them is said why; the document as jansson writes it anew, and
 * with every character escaped, is answered alike.
 */
#include <string.h>

#include "tests/fuzz/escaped.h"
#include "tests/fuzz/extender_world.h"
#include "tests/fuzz/fuzz.h"

/* As one that leads not yet would answer, a moment later. */
static char *ask_held(struct scheduler *s, const char *text, size_t len)
{
    s->leading = false;
    char *now = world_call(extender_filter, text, len);
    CHECK(!now && g_queue_get_length(&s->held) == 1);
    s->leading = true;
    extender_answer_held(s);
    return world_answer();
}

static void expect_same(const char *text, size_t len, json_t *wanted, bool held)
{
    g_autofree char *got = held ? ask_held(world(), text, len) : world_call(extender_filter, text, len);
    json_t *answer = json_loads(got, 0, NULL);
    if (!answer || !json_equal(answer, wanted)) {
        g_autofree char *before = json_dumps(wanted, 0);
        g_printerr("to %.*s\nwas answered %s\nand now      %s\n", (int)len, text, before, got);
        abort();
    }
    json_decref(answer);
}

static bool is_listed(const json_t *names, const char *name)
{
    json_t *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)names, i,
                       one) if (g_strcmp0(json_string_value(one), name) == 0) return true;
    return false;
}

/* The answer's own promises, by the list that the caller sent (NULL = none). */
static void check_answer(const char *uid, const json_t *names, const json_t *answer)
{
    const json_t *chosen = json_object_get(answer, "NodeNames"),
                 *failed = json_object_get(answer, "FailedNodes");
    struct cluster_pod pod;
    bool holds = cluster_pod_get(world()->cluster, uid, &pod);
    json_t *one;
    size_t i;
    if (*json_string_value(json_object_get(answer, "Error"))) {
        CHECK(json_is_null(chosen) && json_is_null(failed) && !holds);
        return;
    }
    if (json_is_object(failed)) {
        CHECK(json_is_null(chosen) && !holds);
        json_array_foreach((json_t *)(uintptr_t)names, i, one) if (json_is_string(one))
            CHECK(json_is_string(json_object_get(failed, json_string_value(one))));
        return;
    }
    if (!holds) { /* not ours: whoever was listed will do */
        CHECK(names ? json_equal((json_t *)(uintptr_t)chosen, (json_t *)(uintptr_t)names)
                    : json_is_null(chosen));
        return;
    }
    CHECK(json_array_size(chosen) == 1 && pod.state == POD_RESERVED && pod.n_grants > 0);
    const char *name = json_string_value(json_array_get(chosen, 0));
    CHECK(is_listed(names, name) && strcmp(pod.node_name, name) == 0);
}

static void compare(const char *text, size_t len, json_t *args, json_t *answer)
{
    json_t *pod = world_member(args, "pod"), *names = world_member(args, "nodenames");
    const char *uid = json_string_value(json_object_get(json_object_get(pod, "metadata"), "uid"));
    if (!json_is_object(args) || world_is_ambiguous(args, text, len))
        return;
    if (json_is_object(pod) && !world_member(args, "nodes"))
        check_answer(uid ? uid : "", json_is_array(names) ? names : NULL, answer);
    char *plain = json_dumps(args, 0);
    g_autofree char *escaped = escaped_dump(args);
    expect_same(plain, strlen(plain), answer, false);
    if (!world_member(args,
                      "nodes")) /* whole ones whose names are escaped are no nodes: no name needs that */
        expect_same(escaped, strlen(escaped), answer, false);
    free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    world_reset();
    g_autofree char *first = world_call(extender_filter, text, size);
    json_t *args = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL), *answer = json_loads(first, 0, NULL);
    CHECK(first && world_status() == 200 && !world_request());
    CHECK(!args || answer);
    world_check();
    if (answer && args) {
        expect_same(text, size, answer, false);
        expect_same(text, size, answer, true);
        compare(text, size, args, answer);
    }
    world_check();
    json_decref(args);
    json_decref(answer);
    return 0;
}
