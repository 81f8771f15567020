/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "scheduler/snapshot.h"

struct reader {
    Snapshot *snapshot;
    void *arena; /* of the node being read */
    GError **error;
    char where[300];
};

static bool fail(struct reader *r, const char *key, const char *what)
{
    if (r->error && !*r->error)
        g_set_error(r->error, STATUS_ERROR, STATUS_USAGE, "snapshot: %s: %s: %s", r->where, key, what);
    return false;
}

/* A whole number between the bounds; 0 when absent. */
static bool number(struct reader *r, json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret)
{
    json_t *value = json_object_get(object, key);
    *ret = json_integer_value(value);
    if (value && !json_is_integer(value))
        return fail(r, key, "is no whole number");
    if (*ret < min || *ret > max)
        return fail(r, key, "is out of range");
    return true;
}

static const char *text(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static int word_index(const char *const *words, int n, const char *word)
{
    for (int i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return -1;
}

static bool read_shape(struct reader *r, json_t *object, struct card_shape *ret)
{
    int64_t mem, cores, slices, start, size;
    json_t *placements = json_object_get(object, "placements"), *pair;
    size_t i;
    if (!number(r, object, "mem_bytes", 0, INT64_MAX, &mem) ||
        !number(r, object, "cores", 0, INT32_MAX, &cores) || !number(r, object, "slices", 0, 255, &slices))
        return false;
    *ret =
        (struct card_shape){.mem_bytes = (uint64_t)mem, .cores = (uint32_t)cores, .slices = (uint16_t)slices};
    g_strlcpy(ret->name, text(object, "name"), sizeof ret->name);
    g_strlcpy(ret->id, text(object, "id"), sizeof ret->id);
    json_array_foreach(placements, i, pair)
    {
        start = json_integer_value(json_array_get(pair, 0));
        size = json_integer_value(json_array_get(pair, 1));
        if (i >= CARD_PLACEMENTS_MAX || start < 0 || size < 1 || start + size > 16)
            return fail(r, "placements", "are out of range");
        ret->placements[i].start = (uint8_t)start;
        ret->placements[i].size = (uint8_t)size;
        ret->n_placements++;
    }
    return true;
}

static bool read_shapes(struct reader *r, json_t *list, const struct card_shapes **ret)
{
    size_t n = json_array_size(list), i;
    json_t *item;
    if (!n)
        return true;
    if (n > 64)
        return fail(r, "shapes", "are too many");
    struct card_shapes *shapes = arena_take(&r->arena, sizeof *shapes + n * sizeof *shapes->shapes);
    shapes->n = (uint32_t)n;
    json_array_foreach(list, i, item) if (!read_shape(r, item, &shapes->shapes[i])) return false;
    *ret = shapes;
    return true;
}

static bool read_card(struct reader *r, json_t *object, struct card *ret)
{
    int64_t mem, cores, slots, aux0, aux1, group, index, numa, qos, healthy, cordoned;
    const struct family *f = family_of_word(r->snapshot->families, text(object, "family"));
    int mode = word_index(card_mode_names, CARD_MODES, text(object, "mode"));
    if (!f)
        return fail(r, "family", "is not known");
    if (mode < 0)
        return fail(r, "mode", "is not known");
    if (!*text(object, "uuid") || strlen(text(object, "uuid")) > CARD_UUID_MAX ||
        strlen(text(object, "type")) > CARD_TYPE_MAX)
        return fail(r, "uuid", "is missing, or uuid or type are too long");
    if (!number(r, object, "mem_bytes", 0, INT64_MAX / 256, &mem) ||
        !number(r, object, "cores", 0, INT32_MAX, &cores) ||
        !number(r, object, "slots", 0, UINT16_MAX, &slots) ||
        !number(r, object, "aux0", 0, UINT16_MAX, &aux0) ||
        !number(r, object, "aux1", 0, UINT16_MAX, &aux1) ||
        !number(r, object, "group", -1, INT32_MAX, &group) ||
        !number(r, object, "index", 0, UINT16_MAX, &index) ||
        !number(r, object, "numa", -1, INT16_MAX, &numa) ||
        !number(r, object, "qos", 0, CARD_QOS_KINDS - 1, &qos) ||
        !number(r, object, "healthy", 0, 1, &healthy) || !number(r, object, "cordoned", 0, 1, &cordoned))
        return false;
    *ret = (struct card){
        .uuid = arena_text(&r->arena, text(object, "uuid"), strlen(text(object, "uuid"))),
        .type = arena_text(&r->arena, text(object, "type"), strlen(text(object, "type"))),
        .mem_bytes = (uint64_t)mem,
        .cores = (uint32_t)cores,
        .slots = (uint16_t)MIN(slots, UINT16_MAX),
        .aux = {(uint16_t)aux0, (uint16_t)aux1},
        .group = (int32_t)group,
        .index = (uint16_t)index,
        .family = f->id,
        .numa = (int16_t)numa,
        .mode = (uint8_t)mode,
        .healthy = healthy != 0,
        .cordoned = cordoned != 0,
        .qos = (uint8_t)qos,
    };
    return read_shapes(r, json_object_get(object, "shapes"), &ret->shapes);
}

static uint32_t *read_table(struct reader *r, json_t *list)
{
    uint32_t *table = arena_take(&r->arena, 17 * sizeof *table);
    for (size_t i = 0; i < 17; i++) {
        json_int_t v = json_integer_value(json_array_get(list, i));
        table[i] = v > 0 && v < INT32_MAX ? (uint32_t)v : 0;
    }
    return table;
}

static bool read_node(struct reader *r, json_t *object)
{
    json_t *cards = json_object_get(object, "cards"), *pairs = json_object_get(object, "pairs"), *item;
    size_t n = json_array_size(cards), i;
    const char *name = text(object, "name");
    g_snprintf(r->where, sizeof r->where, "node %.260s", name);
    if (!*name || strlen(name) > NODE_NAME_MAX)
        return fail(r, "name", "is missing or too long");
    if (n == 0 || n > CARD_PER_NODE)
        return fail(r, "cards", "are none or too many");
    struct card *list = arena_take(&r->arena, n * sizeof *list);
    json_array_foreach(cards, i, item)
    {
        if (!read_card(r, item, &list[i]))
            return false;
        for (size_t k = 0; k < i; k++)
            if (strcmp(list[k].uuid, list[i].uuid) == 0)
                return fail(r, list[i].uuid, "appears twice");
    }
    uint16_t *scores = NULL;
    if (json_array_size(pairs) == n * n) {
        scores = arena_take(&r->arena, n * n * sizeof *scores);
        json_array_foreach(pairs, i, item) scores[i] =
            (uint16_t)CLAMP(json_integer_value(item), 0, UINT16_MAX);
    }
    struct node_spec spec = {
        .name = name,
        .n_cards = (uint32_t)n,
        .cards = list,
        .pair_score = scores,
        .topology_losses = read_table(r, json_object_get(object, "topology_losses")),
        .topology_scores = read_table(r, json_object_get(object, "topology_scores")),
        .soft_slicing = json_integer_value(json_object_get(object, "soft_slicing")) != 0,
        .contiguous_anywhere = json_integer_value(json_object_get(object, "contiguous_anywhere")) != 0,
        .die_mode = json_integer_value(json_object_get(object, "die_mode")) != 0,
    };
    cluster_node_set(r->snapshot->cluster, &spec);
    return true;
}

static int card_of(const struct node_spec *spec, const char *uuid)
{
    for (uint32_t i = 0; i < spec->n_cards; i++)
        if (strcmp(spec->cards[i].uuid, uuid) == 0)
            return (int)i;
    return -1;
}

static bool read_grant(struct reader *r, json_t *object, const struct node_spec *spec, unsigned n_slots,
                       struct card_grant *ret)
{
    int64_t slot, mem, cores, slices, aux0, aux1, flags, shape, start, size;
    int card = card_of(spec, text(object, "uuid"));
    if (card < 0)
        return fail(r, "uuid", "the node has no such card");
    if (!number(r, object, "slot", 0, (int64_t)n_slots - 1, &slot) ||
        !number(r, object, "mem_bytes", 0, INT64_MAX / 256, &mem) ||
        !number(r, object, "cores", 0, UINT32_MAX, &cores) ||
        !number(r, object, "slices", 0, UINT16_MAX, &slices) ||
        !number(r, object, "aux0", 0, UINT16_MAX, &aux0) ||
        !number(r, object, "aux1", 0, UINT16_MAX, &aux1) || !number(r, object, "flags", 0, 255, &flags) ||
        !number(r, object, "shape", 0, 255, &shape) || !number(r, object, "mig_start", 0, 15, &start) ||
        !number(r, object, "mig_size", 0, 16, &size))
        return false;
    *ret = (struct card_grant){.mem_bytes = (uint64_t)mem,
                               .cores = (uint32_t)cores,
                               .card = (uint16_t)card,
                               .aux = {(uint16_t)aux0, (uint16_t)aux1},
                               .slices = (uint16_t)slices,
                               .slot = (uint8_t)slot,
                               .flags = (uint8_t)flags,
                               .mig_start = (uint8_t)start,
                               .mig_size = (uint8_t)size,
                               .shape = (uint8_t)shape};
    return true;
}

static bool read_pod(struct reader *r, json_t *object)
{
    static struct pod_grant grant;
    json_t *grants = json_object_get(object, "grants"), *slots = json_object_get(object, "slots"), *item;
    uint8_t kinds[POD_SLOTS_MAX];
    size_t n_slots = json_array_size(slots), i;
    int64_t priority, started;
    const char *node = text(object, "node");
    g_snprintf(r->where, sizeof r->where, "pod %.60s/%.200s", text(object, "namespace"),
               text(object, "name"));
    ClusterNode n = cluster_node_find(r->snapshot->cluster, node, strlen(node));
    if (n == CLUSTER_NO_NODE)
        return fail(r, "node", "is not in the snapshot");
    if (!*text(object, "uid") || n_slots == 0 || n_slots > POD_SLOTS_MAX ||
        json_array_size(grants) > POD_GRANTS_MAX)
        return fail(r, "uid, slots or grants", "missing or too many");
    if (!number(r, object, "priority", INT32_MIN, INT32_MAX, &priority) ||
        !number(r, object, "started", 0, 1, &started))
        return false;
    json_array_foreach(slots, i, item) kinds[i] =
        (uint8_t)CLAMP(json_integer_value(item), SLOT_INIT, SLOT_APP);
    grant.n = 0;
    json_array_foreach(grants, i,
                       item) if (!read_grant(r, item, cluster_node_spec(r->snapshot->cluster, n),
                                             (unsigned)n_slots, &grant.grants[grant.n++])) return false;
    cluster_bound(r->snapshot->cluster, text(object, "uid"), text(object, "namespace"), text(object, "name"),
                  node, &grant, kinds, (unsigned)n_slots, (int32_t)priority, started != 0);
    return true;
}

static bool read_quota(struct reader *r, json_t *object)
{
    int64_t limit;
    g_snprintf(r->where, sizeof r->where, "quota of %.200s", text(object, "namespace"));
    if (!number(r, object, "limit", 0, INT64_MAX, &limit))
        return false;
    cluster_quota_set(r->snapshot->cluster, text(object, "namespace"), "snapshot", text(object, "resource"),
                      limit);
    return true;
}

static bool each(struct reader *r, json_t *root, const char *key, bool (*read)(struct reader *, json_t *))
{
    json_t *item;
    size_t i;
    json_array_foreach(json_object_get(root, key), i, item) if (!read(r, item)) return false;
    return true;
}

static void take_waiting(Snapshot *s, json_t *list)
{
    json_t *item;
    size_t i;
    GPtrArray *texts = g_ptr_array_new();
    json_array_foreach(list, i, item)
    {
        char *copy = json_dumps(item, JSON_COMPACT);
        g_ptr_array_add(texts, g_strdup(copy));
        free(copy);
    }
    g_ptr_array_add(texts, NULL);
    s->waiting = (char **)g_ptr_array_free(texts, FALSE);
}

static bool read_all(struct reader *r, json_t *root)
{
    struct vendor_options options = {
        .enable_ascend = json_integer_value(json_object_get(root, "enable_ascend")) != 0,
        .enable_iluvatar = json_integer_value(json_object_get(root, "enable_iluvatar")) != 0,
    };
    const char *config = json_string_value(json_object_get(root, "config"));
    g_strlcpy(r->where, "document", sizeof r->where);
    if (json_integer_value(json_object_get(root, "version")) != 1)
        return fail(r, "version", "is not 1; take the snapshot with this release of hami");
    r->snapshot->families =
        vendor_config_parse(config, config ? strlen(config) : 0, &options, NULL, r->error);
    if (!r->snapshot->families)
        return false;
    r->snapshot->cluster = cluster_new(r->snapshot->families);
    if (!each(r, root, "nodes", read_node) || !each(r, root, "pods", read_pod) ||
        !each(r, root, "quotas", read_quota))
        return false;
    take_waiting(r->snapshot, json_object_get(root, "waiting"));
    return true;
}

Snapshot *snapshot_parse(const char *json, size_t len, GError **error)
{
    json_error_t why;
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, &why);
    if (!root) {
        g_set_error(error, STATUS_ERROR, STATUS_USAGE, "snapshot: line %d, column %d: %s", why.line,
                    why.column, why.text);
        return NULL;
    }
    Snapshot *s = g_new0(Snapshot, 1);
    struct reader r = {.snapshot = s, .error = error};
    bool good = read_all(&r, root);
    arena_free(r.arena);
    json_decref(root);
    if (good)
        return s;
    snapshot_free(s);
    return NULL;
}

void snapshot_free(Snapshot *s)
{
    if (!s)
        return;
    g_strfreev(s->waiting);
    g_clear_pointer(&s->cluster, cluster_free);
    g_clear_pointer(&s->families, vendor_config_free);
    g_free(s);
}
