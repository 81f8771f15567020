/* SPDX-License-Identifier: Apache-2.0
 *
 * The truth: what the annotations of all live pods take of every card, read
 * from the API server, against what its node registered. The extender is not
 * asked.
 *
 * A violation is a card with more memory, cores or slots taken than it has, a
 * bound pod without a readable assignment or with one for another node, and an
 * assignment that is not what the pod asked for. "n devices" are n different
 * cards.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "verbs.h"

struct card {
    int64_t mem_mib, cores, slots;
    int64_t mem_used, cores_used, slots_used;
    const char *node;
};

struct truth {
    GHashTable *cards; /* "node uuid" -> struct card */
    GHashTable *node_names;
    json_t *violations;
    int pods, bound, live, devices;
};

static const char *text_at(json_t *object, const char *a, const char *b)
{
    const char *text = json_string_value(json_object_get(json_object_get(object, a), b));
    return text ? text : "";
}

static const char *annotation(json_t *object, const char *name)
{
    const char *text = json_string_value(
        json_object_get(json_object_get(json_object_get(object, "metadata"), "annotations"), name));
    return text ? text : "";
}

static void violation(struct truth *t, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void violation(struct truth *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    json_array_append_new(t->violations, json_string(text));
}

/* Calls visit for every object of a list that is read in pages. */
static bool each(struct http *api, const char *path, void (*visit)(struct truth *, json_t *), struct truth *t)
{
    g_autofree char *token = g_strdup("");
    while (token) {
        g_autofree char *escaped = g_uri_escape_string(token, NULL, FALSE);
        g_autofree char *page = g_strdup_printf("%s?limit=500&continue=%s", path, escaped);
        if (http_call(api, "GET", page, "", "", 0) != 200)
            return false;
        json_t *list = json_loadb(api->body->str, api->body->len, 0, NULL), *item;
        size_t i;
        json_array_foreach(json_object_get(list, "items"), i, item)
        {
            visit(t, item);
        }
        g_free(token);
        const char *next = text_at(list, "metadata", "continue");
        token = *next ? g_strdup(next) : NULL;
        json_decref(list);
    }
    return true;
}

static void visit_node(struct truth *t, json_t *node)
{
    const char *name = text_at(node, "metadata", "name");
    char *kept = g_strdup(name);
    g_hash_table_add(t->node_names, kept);
    json_t *registered = json_loads(annotation(node, "hami.io/node-nvidia-register"), 0, NULL), *one;
    size_t i;
    json_array_foreach(registered, i, one)
    {
        struct card *c = g_new0(struct card, 1);
        *c = (struct card){.mem_mib = json_integer_value(json_object_get(one, "devmem")),
                           .cores = json_integer_value(json_object_get(one, "devcore")),
                           .slots = json_integer_value(json_object_get(one, "count")),
                           .node = kept};
        g_hash_table_replace(
            t->cards, g_strdup_printf("%s %s", name, json_string_value(json_object_get(one, "id"))), c);
    }
    json_decref(registered);
}

static int64_t limit_of(json_t *pod, const char *name)
{
    json_t *container = json_array_get(json_object_get(json_object_get(pod, "spec"), "containers"), 0);
    json_t *limits = json_object_get(json_object_get(container, "resources"), "limits");
    const char *text = json_string_value(json_object_get(limits, name));
    return text ? g_ascii_strtoll(text, NULL, 10) : -1;
}

static bool take(struct truth *t, json_t *pod, const char *node, char **fields)
{
    const char *name = text_at(pod, "metadata", "name");
    g_autofree char *key = g_strdup_printf("%s %s", node, fields[0]);
    struct card *c = g_hash_table_lookup(t->cards, key);
    int64_t mem = g_ascii_strtoll(fields[2], NULL, 10), cores = g_ascii_strtoll(fields[3], NULL, 10);
    int64_t want_mem = limit_of(pod, "nvidia.com/gpumem"),
            want_pct = limit_of(pod, "nvidia.com/gpumem-percentage"),
            want_cores = limit_of(pod, "nvidia.com/gpucores");
    if (!c) {
        violation(t, "pod %s: card %s is not on node %s", name, fields[0], node);
        return false;
    }
    if (want_mem < 0)
        want_mem = c->mem_mib * (want_pct > 0 ? want_pct : 100) / 100;
    if (mem != want_mem || cores != (want_cores > 0 ? want_cores : 0))
        violation(t,
                  "pod %s: has %" G_GINT64_FORMAT " MiB and %" G_GINT64_FORMAT
                  " cores of a card, asked for %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT,
                  name, mem, cores, want_mem, want_cores);
    c->mem_used += mem;
    c->cores_used += cores;
    c->slots_used++;
    t->devices++;
    return true;
}

static void visit_pod(struct truth *t, json_t *pod)
{
    const char *phase = text_at(pod, "status", "phase"), *node = text_at(pod, "spec", "nodeName"),
               *name = text_at(pod, "metadata", "name");
    const char *assigned = annotation(pod, "hami.io/vgpu-devices-allocated"),
               *said = annotation(pod, "hami.io/vgpu-node");
    int64_t wanted = limit_of(pod, "nvidia.com/gpu"), given = 0;
    t->pods++;
    if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0 || wanted <= 0)
        return;
    t->live++;
    if (!*node)
        return;
    t->bound++;
    if (!*assigned || strcmp(said, node) != 0) {
        violation(t, "pod %s: bound to %s without an assignment there (hami.io/vgpu-node \"%s\")", name, node,
                  said);
        return;
    }
    g_autoptr(GHashTable) cards = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) pieces = g_strsplit_set(assigned, ";:", -1);
    for (char **p = pieces; *p; p++) {
        g_auto(GStrv) fields = g_strsplit(*p, ",", -1);
        if (g_strv_length(fields) < 4)
            continue;
        given++;
        if (!g_hash_table_add(cards, g_strdup(fields[0])))
            violation(t, "pod %s: card %s twice", name, fields[0]);
        take(t, pod, node, fields);
    }
    if (given != wanted)
        violation(t, "pod %s: %" G_GINT64_FORMAT " cards for %" G_GINT64_FORMAT, name, given, wanted);
}

/* Also what is left for whole-card and whole-node requests. */
static json_t *judge(struct truth *t)
{
    GHashTableIter i;
    void *key, *value;
    int64_t free_mem = 0, mem = 0, free_cards = 0, used_cards = 0;
    g_autoptr(GHashTable) busy_nodes = g_hash_table_new(g_str_hash, g_str_equal);
    for (g_hash_table_iter_init(&i, t->cards); g_hash_table_iter_next(&i, &key, &value);) {
        const struct card *c = value;
        if (c->mem_used > c->mem_mib || c->cores_used > c->cores || c->slots_used > c->slots)
            violation(t,
                      "card %s: %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " MiB, %" G_GINT64_FORMAT
                      " of %" G_GINT64_FORMAT " cores, %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " slots",
                      (char *)key, c->mem_used, c->mem_mib, c->cores_used, c->cores, c->slots_used, c->slots);
        mem += c->mem_mib;
        free_mem += c->mem_mib - c->mem_used;
        free_cards += c->slots_used == 0;
        used_cards += c->slots_used > 0;
        if (c->slots_used)
            g_hash_table_add(busy_nodes, (void *)(uintptr_t)c->node);
    }
    double whole = 0;
    for (g_hash_table_iter_init(&i, t->cards); g_hash_table_iter_next(&i, &key, &value);)
        if (((struct card *)value)->slots_used == 0)
            whole += (double)((struct card *)value)->mem_mib;
    /* 1 - (memory that whole-card requests could have) / (memory that is free) */
    double fragmentation = free_mem > 0 ? 1 - whole / (double)free_mem : 0;
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:f, s:f}", "pods", t->pods, "live", t->live,
                     "bound", t->bound, "devices", t->devices, "free_nodes",
                     (int)(g_hash_table_size(t->node_names) - g_hash_table_size(busy_nodes)), "free_cards",
                     (json_int_t)free_cards, "used_cards", (json_int_t)used_cards, "free_mem_mib",
                     (json_int_t)free_mem, "fragmentation", fragmentation, "used_mem_share",
                     mem ? 1 - (double)free_mem / (double)mem : 0.0);
}

int verb_check(const struct options *o, json_t **ret_result)
{
    struct http api;
    struct truth t = {.cards = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                      .node_names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                      .violations = json_array()};
    if (!o->api || !http_init(&api, o->api, "replay")) {
        g_printerr("replay: --api URL is needed\n");
        return 2;
    }
    bool read = each(&api, "/api/v1/nodes", visit_node, &t) && each(&api, "/api/v1/pods", visit_pod, &t);
    if (read) {
        *ret_result = judge(&t);
        json_object_set_new(*ret_result, "violation_count",
                            json_integer((json_int_t)json_array_size(t.violations)));
        while (json_array_size(t.violations) > 20)
            json_array_remove(t.violations, json_array_size(t.violations) - 1);
        json_object_set(*ret_result, "violations", t.violations);
    } else {
        g_printerr("replay: the API server at %s does not answer\n", o->api);
    }
    bool bad = json_array_size(t.violations) > 0;
    json_decref(t.violations);
    g_hash_table_unref(t.cards);
    g_hash_table_unref(t.node_names);
    http_clear(&api);
    return !read ? 2 : bad;
}
