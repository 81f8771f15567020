/* SPDX-License-Identifier: Apache-2.0
 *
 * How many writes a second the API server itself can take: a figure above it
 * would measure the server, not the extender.
 */
#include <string.h>

#include "bench/measure.h"
#include "crowd.h"
#include "load.h"

/* A pod is made, bound and deleted: three writes. */
static void write_pods(struct crowd_member *w)
{
    struct http api;
    http_init(&api, w->options->api, "replay");
    for (unsigned i = 0; now_ns() < w->until_ns; i++) {
        struct arrival a;
        load_arrival(&a, (uint64_t)w->options->seed + w->number + 1, i, MIX_ONE);
        bool made = load_create(&api, &a);
        g_autofree char *path = g_strdup_printf("/api/v1/namespaces/bench/pods/%s/binding", a.name);
        g_autofree char *body =
            g_strdup_printf("{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"annotations\":{"
                            "\"hami.io/vgpu-node\":\"n\",\"hami.io/vgpu-time\":\"1\"}},"
                            "\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}",
                            a.name, a.uid);
        bool bound = http_call(&api, "POST", path, "application/json", body, strlen(body)) == 201;
        if (made && bound && load_delete(&api, &a))
            w->done += 3;
        else
            w->errors++;
    }
    http_clear(&api);
}

int verb_writes(const struct options *o, json_t **ret_result)
{
    int n = CLAMP(o->connections, 1, 64);
    if (!o->api) {
        g_printerr("replay: --api URL is needed\n");
        return 2;
    }
    struct crowd c = crowd_run(o, n, write_pods, NULL);
    *ret_result = json_pack("{s:i, s:i, s:f, s:f}", "connections", n, "errors", (int)c.errors, "per_s",
                            c.done / c.span_s, "per_core_s", crowd_per_core(&c));
    return c.errors ? 1 : 0;
}
