/* SPDX-License-Identifier: Apache-2.0
 *
 * How many writes a second the API server itself can take: a figure above it
 * would measure the server, not the extender.
 */
#include <string.h>

#include "bench/measure.h"
#include "load.h"
#include "samples.h"
#include "verbs.h"

struct writer {
    const struct options *options;
    unsigned number, done, errors;
    double until_ns;
};

/* A pod is made, bound and deleted: three writes. */
static void *write_pods(void *user)
{
    struct writer *w = user;
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
    return NULL;
}

int verb_writes(const struct options *o, json_t **ret_result)
{
    int n = CLAMP(o->connections, 1, 64);
    struct writer writers[64];
    GThread *threads[64];
    unsigned done = 0, errors = 0;
    if (!o->api) {
        g_printerr("replay: --api URL is needed\n");
        return 2;
    }
    double begun = now_ns(), cpu = o->pid ? process_cpu_s(o->pid) : 0;
    for (int i = 0; i < n; i++) {
        writers[i] = (struct writer){o, (unsigned)i, 0, 0, begun + o->seconds * 1e9};
        threads[i] = g_thread_new("writer", write_pods, &writers[i]);
    }
    for (int i = 0; i < n; i++) {
        g_thread_join(threads[i]);
        done += writers[i].done;
        errors += writers[i].errors;
    }
    double span = (now_ns() - begun) / 1e9, used = o->pid ? process_cpu_s(o->pid) - cpu : 0;
    *ret_result = json_pack("{s:i, s:i, s:f, s:f}", "connections", n, "errors", (int)errors, "per_s",
                            done / span, "per_core_s", used > 0 ? done / used : 0.0);
    return errors ? 1 : 0;
}
