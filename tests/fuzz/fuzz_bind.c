/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /bind as the server hands it over, beside jansson's reading of the same
 * text: a Binding is written exactly when pod and node are those that were
 * decided, with what the call named; whatever the API server says to it, the
 * call is answered once and the ledger holds what is bound or may be.
 */
#include <string.h>

#include "scheduler/assigned.h"
#include "tests/fuzz/extender_world.h"
#include "tests/fuzz/fuzz.h"

static const char *const uids[] = {"u-1", "u-2", "plain"};

/* Two pods with cards on gpu-a and gpu-b, and one without on whatever node. */
static void decide(void)
{
    static const char *const args[] = {
        "{'Pod':{'metadata':{'name':'p1','namespace':'ns','uid':'u-1'},'spec':{'containers':[{'name':'c','"
        "resources':"
        "{'limits':{'nvidia.com/gpu':'1','nvidia.com/gpumem':'1000'}}}]}},'NodeNames':['gpu-a']}",
        "{'Pod':{'metadata':{'name':'p2','namespace':'ns','uid':'u-2'},'spec':{'containers':[{'name':'c','"
        "resources':"
        "{'limits':{'nvidia.com/gpu':'4'}}}]}},'NodeNames':['gpu-b']}",
        "{'Pod':{'metadata':{'name':'p3','namespace':'ns','uid':'plain'},'spec':{'containers':[{'name':'c'}]}"
        "},"
        "'NodeNames':['empty']}"};
    for (size_t i = 0; i < G_N_ELEMENTS(args); i++) {
        g_autofree char *text = g_strdelimit(g_strdup(args[i]), "'", '"');
        g_free(world_call(extender_filter, text, strlen(text)));
        CHECK(assigned_get(world(), uids[i]));
    }
}

static const char *text_of(const json_t *args, const char *name)
{
    const char *text = json_string_value(world_member(args, name));
    return text ? text : "";
}

/* Whether the call is one that follows from what was decided. */
static bool is_due(const json_t *args)
{
    const char *node = text_of(args, "node"), *uid = text_of(args, "poduid");
    if (!*node || !*text_of(args, "podname") || !*text_of(args, "podnamespace"))
        return false;
    return (strcmp(uid, "u-1") == 0 && strcmp(node, "gpu-a") == 0) ||
           (strcmp(uid, "u-2") == 0 && strcmp(node, "gpu-b") == 0) || strcmp(uid, "plain") == 0;
}

static void check_request(const json_t *args, const struct world_request *r)
{
    json_t *body = json_loads(r->body, JSON_REJECT_DUPLICATES, NULL);
    json_t *metadata = json_object_get(body, "metadata"), *target = json_object_get(body, "target");
    CHECK(strcmp(r->method, "POST") == 0 && g_str_has_suffix(r->path, "/binding"));
    CHECK(strcmp(json_string_value(json_object_get(metadata, "uid")), text_of(args, "poduid")) == 0);
    CHECK(strcmp(json_string_value(json_object_get(metadata, "name")), text_of(args, "podname")) == 0);
    CHECK(strcmp(json_string_value(json_object_get(target, "name")), text_of(args, "node")) == 0);
    json_decref(body);
}

static void end(const char *uid, unsigned status)
{
    struct cluster_pod pod;
    struct assignment *a;
    bool ours = strcmp(uid, "plain") != 0;
    world_reply(status, NULL);
    bool held = cluster_pod_get(world()->cluster, uid, &pod);
    a = assigned_get(world(), uid);
    if (status == 201)
        CHECK(!a && held == ours && (!held || pod.state == POD_BOUND));
    else if (status == 409)
        CHECK(!a && !held);
    else
        CHECK(held == ours && (!held || (pod.state == POD_RESERVED && a && a->unknown)));
    world_check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned fates[] = {201, 409, 0};
    static bool fresh; /* what was decided is still there */
    const char *text = (const char *)data;
    if (!fresh) {
        world_reset();
        decide();
    }
    g_autofree char *now = world_call(extender_bind, text, size), *later = NULL;
    json_t *args = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    bool clear = json_is_object(args) && !world_is_ambiguous(args, text, size);
    CHECK((now != NULL) == (world_request() == NULL));
    if (clear && is_due(args) && !now)
        check_request(args, world_request());
    CHECK(!clear || now || is_due(args));
    fresh = now != NULL && assigned_get(world(), "u-1") && assigned_get(world(), "u-2") &&
            assigned_get(world(), "plain");
    if (world_request()) {
        g_autofree char *uid = clear ? g_strdup(text_of(args, "poduid")) : NULL;
        if (uid)
            end(uid, fates[size % 3]);
        else
            world_reply(fates[size % 3], NULL);
        later = world_answer();
    }
    json_t *answer = json_loads(now ? now : later, JSON_REJECT_DUPLICATES, NULL);
    CHECK(answer || !args);
    CHECK(!clear || !is_due(args) || size % 3 || !now ||
          *json_string_value(json_object_get(answer, "Error")));
    json_decref(answer);
    json_decref(args);
    return 0;
}
