/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_write.h"
#include "scheduler/snapshot.h"

struct writer {
    const struct snapshot_source *from;
    GString *out;
    bool first;
};

static void comma(struct writer *w)
{
    if (!w->first)
        g_string_append_c(w->out, ',');
    w->first = false;
}

static void text(GString *out, const char *key, const char *value)
{
    g_string_append_printf(out, "\"%s\":", key);
    json_write_string(out, value ? value : "");
    g_string_append_c(out, ',');
}

static void number(GString *out, const char *key, int64_t value)
{
    g_string_append_printf(out, "\"%s\":%" G_GINT64_FORMAT ",", key, value);
}

/* The last comma of a list of members becomes the closing bracket. */
static void close_with(GString *out, char bracket)
{
    if (out->str[out->len - 1] == ',')
        out->str[out->len - 1] = bracket;
    else
        g_string_append_c(out, bracket);
}

static void write_shapes(GString *out, const struct card_shapes *shapes)
{
    g_string_append(out, "\"shapes\":[");
    for (uint32_t i = 0; i < shapes->n; i++) {
        const struct card_shape *s = &shapes->shapes[i];
        g_string_append_c(out, '{');
        text(out, "name", s->name);
        text(out, "id", s->id);
        number(out, "mem_bytes", (int64_t)s->mem_bytes);
        number(out, "cores", s->cores);
        number(out, "slices", s->slices);
        g_string_append(out, "\"placements\":[");
        for (unsigned p = 0; p < s->n_placements; p++)
            g_string_append_printf(out, "%s[%u,%u]", p ? "," : "", s->placements[p].start,
                                   s->placements[p].size);
        g_string_append(out, "]},");
    }
    close_with(out, ']');
    g_string_append_c(out, ',');
}

static void write_card(struct writer *w, const struct card *c, const struct card_use *u)
{
    GString *out = w->out;
    g_string_append_c(out, '{');
    text(out, "uuid", c->uuid);
    text(out, "type", c->type);
    text(out, "family", w->from->families->rows[c->family]->word);
    text(out, "mode", card_mode_names[c->mode]);
    number(out, "index", c->index);
    number(out, "numa", c->numa);
    number(out, "group", c->group);
    number(out, "mem_bytes", (int64_t)c->mem_bytes);
    number(out, "cores", c->cores);
    number(out, "slots", c->slots);
    number(out, "aux0", c->aux[0]);
    number(out, "aux1", c->aux[1]);
    number(out, "qos", c->qos);
    number(out, "healthy", c->healthy);
    number(out, "cordoned", c->cordoned);
    if (c->shapes)
        write_shapes(out, c->shapes);
    g_string_append_printf(out, "\"used\":{\"mem_bytes\":%" G_GUINT64_FORMAT ",\"cores\":%u,\"slots\":%u}}",
                           u->mem_bytes, u->cores, u->slots);
}

static void write_table(GString *out, const char *key, const uint32_t *table)
{
    g_string_append_printf(out, "\"%s\":[", key);
    for (int i = 0; i <= 16; i++)
        g_string_append_printf(out, "%s%u", i ? "," : "", table[i]);
    g_string_append(out, "],");
}

static bool write_node(ClusterNode n, void *data)
{
    struct writer *w = data;
    const struct node_spec *spec = cluster_node_spec(w->from->cluster, n);
    const struct card_use *use = cluster_node_use(w->from->cluster, n);
    GString *out = w->out;
    comma(w);
    g_string_append(out, "\n{");
    text(out, "name", spec->name);
    number(out, "soft_slicing", spec->soft_slicing);
    number(out, "contiguous_anywhere", spec->contiguous_anywhere);
    number(out, "die_mode", spec->die_mode);
    if (spec->topology_losses)
        write_table(out, "topology_losses", spec->topology_losses);
    if (spec->topology_scores)
        write_table(out, "topology_scores", spec->topology_scores);
    if (spec->pair_score) {
        g_string_append(out, "\"pairs\":[");
        for (uint32_t i = 0; i < spec->n_cards * spec->n_cards; i++)
            g_string_append_printf(out, "%s%u", i ? "," : "", spec->pair_score[i]);
        g_string_append(out, "],");
    }
    g_string_append(out, "\"cards\":[");
    for (uint32_t i = 0; i < spec->n_cards; i++) {
        g_string_append(out, i ? "," : "");
        write_card(w, &spec->cards[i], &use[i]);
    }
    g_string_append(out, "]}");
    return true;
}

static void write_grant(GString *out, const struct node_spec *spec, const struct card_grant *g)
{
    g_string_append_c(out, '{');
    text(out, "uuid", spec->cards[g->card].uuid);
    number(out, "slot", g->slot);
    number(out, "mem_bytes", (int64_t)g->mem_bytes);
    number(out, "cores", g->cores);
    number(out, "slices", g->slices);
    number(out, "aux0", g->aux[0]);
    number(out, "aux1", g->aux[1]);
    number(out, "flags", g->flags);
    number(out, "shape", g->shape);
    number(out, "mig_start", g->mig_start);
    number(out, "mig_size", g->mig_size);
    close_with(out, '}');
}

static bool write_pod(const struct cluster_pod *p, void *data)
{
    static const char *const states[] = {"none", "reserved", "binding", "bound"};
    struct writer *w = data;
    GString *out = w->out;
    if (p->node == CLUSTER_NO_NODE)
        return true;
    const struct node_spec *spec = cluster_node_spec(w->from->cluster, p->node);
    comma(w);
    g_string_append(out, "\n{");
    text(out, "uid", p->uid);
    text(out, "namespace", p->namespace_);
    text(out, "name", p->name);
    text(out, "node", p->node_name);
    text(out, "state", states[p->state]);
    number(out, "priority", p->priority);
    number(out, "started", p->started);
    g_string_append(out, "\"slots\":[");
    for (unsigned i = 0; i < p->n_slots; i++)
        g_string_append_printf(out, "%s%u", i ? "," : "", p->slot_kind[i]);
    g_string_append(out, "],\"grants\":[");
    for (unsigned i = 0, n = 0; i < p->n_grants; i++) {
        if (p->grants[i].card >= spec->n_cards) /* the node has it no more */
            continue;
        g_string_append(out, n++ ? "," : "");
        write_grant(out, spec, &p->grants[i]);
    }
    g_string_append(out, "]}");
    return true;
}

static bool write_quota(const struct cluster_quota *q, void *data)
{
    struct writer *w = data;
    if (q->limit < 0)
        return true;
    comma(w);
    g_string_append(w->out, "\n{");
    text(w->out, "namespace", q->namespace_);
    text(w->out, "resource", q->resource);
    number(w->out, "used", q->used);
    number(w->out, "limit", q->limit);
    close_with(w->out, '}');
    return true;
}

GString *snapshot_format(const struct snapshot_source *from)
{
    GString *out = g_string_sized_new(1 << 16);
    struct writer w = {from, out, true};
    g_string_append(out, "{\"version\":1,");
    number(out, "enable_ascend", from->enable_ascend);
    number(out, "enable_iluvatar", from->enable_iluvatar);
    if (from->config)
        text(out, "config", from->config);
    g_string_append(out, "\"nodes\":[");
    cluster_node_each(from->cluster, write_node, &w);
    g_string_append(out, "],\n\"pods\":[");
    w.first = true;
    cluster_pod_each(from->cluster, write_pod, &w);
    g_string_append(out, "],\n\"quotas\":[");
    w.first = true;
    cluster_quota_each(from->cluster, write_quota, &w);
    g_string_append(out, "],\n\"waiting\":[");
    if (from->append_waiting)
        from->append_waiting(out, from->data);
    g_string_append(out, "]}\n");
    return out;
}
