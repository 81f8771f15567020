/* SPDX-License-Identifier: Apache-2.0
 *
 * MIG instances, as the device plugin wrote them into the pods.
 */
#include <string.h>

#include "scheduler/metrics_private.h"

struct mig {
    struct json_text uuid, instance, profile;
    int64_t start, size, gi, ci;
};

static void scan_placement(struct json_scan *scan, struct mig *m)
{
    struct json_text key;
    if (!json_scan_object(scan))
        return;
    while (json_scan_key(scan, &key)) {
        if (json_text_is(key, "start"))
            json_scan_int(scan, &m->start);
        else if (json_text_is(key, "size"))
            json_scan_int(scan, &m->size);
        else
            json_scan_skip(scan);
    }
}

static bool scan_mig(struct json_scan *scan, struct mig *m)
{
    struct json_text key;
    *m = (struct mig){.start = -1, .size = -1, .gi = -1, .ci = -1};
    if (!json_scan_object(scan))
        return false;
    while (json_scan_key(scan, &key)) {
        if (json_text_is(key, "gpuUUID"))
            json_scan_text(scan, &m->uuid);
        else if (json_text_is(key, "migUUID"))
            json_scan_text(scan, &m->instance);
        else if (json_text_is(key, "profile"))
            json_scan_text(scan, &m->profile);
        else if (json_text_is(key, "placement"))
            scan_placement(scan, m);
        else if (json_text_is(key, "gpuInstanceID"))
            json_scan_int(scan, &m->gi);
        else if (json_text_is(key, "computeInstanceID"))
            json_scan_int(scan, &m->ci);
        else
            json_scan_skip(scan);
    }
    return m->instance.len && m->gi >= 0 && m->ci >= 0 && m->start >= 0 && m->size > 0;
}

static const struct card *card_of(const struct node_spec *spec, const char *uuid)
{
    for (uint32_t i = 0; i < spec->n_cards; i++)
        if (strcmp(spec->cards[i].uuid, uuid) == 0 && spec->cards[i].mode == CARD_MIG)
            return &spec->cards[i];
    return NULL;
}

static void print_mig_sample(struct scrape *w, const struct node_spec *spec, const struct mig *m)
{
    g_autofree char *uuid = json_text_dup(m->uuid), *instance = json_text_dup(m->instance),
                    *profile = json_text_dup(m->profile);
    const struct card *c = uuid ? card_of(spec, uuid) : NULL;
    bool old = metric_is_old(w->metric);
    if (!c || !instance || !profile)
        return;
    metrics_open_sample(w->out, w->metric);
    prom_add_label(w->out, old ? "nodeid" : "node", spec->name);
    prom_add_label(w->out, old ? "deviceuuid" : "device_uuid", uuid);
    prom_add_label_number(w->out, old ? "deviceidx" : "device_index", c->index);
    if (old) {
        g_autofree char *name = g_strdup_printf("%s-%" G_GINT64_FORMAT, profile, m->gi);
        prom_add_label(w->out, "migname", name);
    } else {
        prom_add_label(w->out, "mig_uuid", instance);
        prom_add_label(w->out, "profile", profile);
        prom_add_label_number(w->out, "gpu_instance_id", (uint64_t)m->gi);
        prom_add_label_number(w->out, "compute_instance_id", (uint64_t)m->ci);
        prom_add_label_number(w->out, "placement_start", (uint64_t)m->start);
        prom_add_label_number(w->out, "placement_size", (uint64_t)m->size);
    }
    metrics_close_sample(w->out, 1);
}

void metrics_print_migs(struct scrape *w)
{
    GHashTableIter i;
    gpointer uid, text;
    g_hash_table_iter_init(&i, w->s->mig_texts);
    while (g_hash_table_iter_next(&i, &uid, &text)) {
        struct cluster_pod p;
        struct json_scan scan;
        struct mig m;
        if (!cluster_pod_get(w->s->cluster, uid, &p) || p.node == CLUSTER_NO_NODE)
            continue;
        json_scan_init(&scan, text, strlen(text));
        if (json_scan_array(&scan))
            while (json_scan_element(&scan))
                if (scan_mig(&scan, &m))
                    print_mig_sample(w, cluster_node_spec(w->s->cluster, p.node), &m);
    }
}
