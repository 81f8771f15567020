/* SPDX-License-Identifier: Apache-2.0
 *
 * The annotations of an assignment. Which keys a family writes, and in which
 * format, is in its row; this file has one function per format.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_fields.h"
#include "model/annotation.h"
#include "model/mig_allocation.h"
#include "model/pod_codec.h"
#include "model/quantity.h"

#define NANOSECONDS INT64_C(1000000000)
#define MLU_UNIT_MIB 256

/* One family's part of an assignment. */
struct part {
    const struct family *family;
    const struct node_spec *node;
    const struct pod_request *pod;
    const struct pod_grant *all;
    const struct card_grant *grants[POD_GRANTS_MAX]; /* of this family, by slot */
    unsigned n;
    int64_t now_ns;
};

static const struct card *card_of(const struct part *p, unsigned i)
{
    return &p->node->cards[p->grants[i]->card];
}

static const struct card_shape *shape_of(const struct part *p, unsigned i)
{
    const struct card_shapes *shapes = card_of(p, i)->shapes ? card_of(p, i)->shapes : p->family->shapes;
    uint8_t shape = p->grants[i]->shape;
    return shapes && shape != CARD_NO_SHAPE && shape < shapes->n ? &shapes->shapes[shape] : NULL;
}

static char *write_devices(const struct part *p, const char *arg)
{
    (void)arg;
    return pod_codec_format(p->family, p->node, p->all, p->pod->n_slots);
}

static void append_number(GString *s, unsigned n)
{
    g_string_append_printf(s, "%s%u", s->len ? "," : "", n);
}

/* Each card once, whatever number of containers use it. */
static char *write_indices(const struct part *p, const char *arg)
{
    GString *s = g_string_new(NULL);
    (void)arg;
    for (unsigned i = 0; i < p->n; i++) {
        unsigned before = 0;
        while (before < i && p->grants[before]->card != p->grants[i]->card)
            before++;
        if (before == i)
            append_number(s, card_of(p, i)->index);
    }
    return g_string_free(s, FALSE);
}

/* Were whole devices asked for, everywhere? */
static bool is_whole(const struct part *p)
{
    for (unsigned i = 0; i < p->pod->n_requests; i++)
        if (p->pod->requests[i].family == p->family->id && !p->pod->requests[i].whole)
            return false;
    return true;
}

static char *write_core_indices(const struct part *p, const char *arg)
{
    GString *s = g_string_new(NULL);
    if (is_whole(p)) {
        g_string_free(s, TRUE);
        return write_indices(p, arg);
    }
    for (unsigned i = 0; i < p->n; i++) {
        unsigned per_card = (unsigned)__builtin_popcount(card_of(p, i)->cores);
        for (uint32_t left = p->grants[i]->cores; left; left &= left - 1)
            append_number(s, card_of(p, i)->index * per_card + (unsigned)__builtin_ctz(left));
    }
    return g_string_free(s, FALSE);
}

static char *write_neuron_type(const struct part *p, const char *arg)
{
    (void)arg;
    return is_whole(p) ? NULL : g_strdup(p->family->resource[FAMILY_CORES]);
}

static char *write_seconds(const struct part *p, const char *arg)
{
    (void)arg;
    return g_strdup_printf("%" G_GINT64_FORMAT, p->now_ns / NANOSECONDS);
}

static char *write_nanoseconds(const struct part *p, const char *arg)
{
    (void)arg;
    return g_strdup_printf("%" G_GINT64_FORMAT, p->now_ns);
}

static char *write_node(const struct part *p, const char *arg)
{
    (void)arg;
    return g_strdup(p->node->name);
}

static char *write_const(const struct part *p, const char *arg)
{
    (void)p;
    return g_strdup(arg);
}

/* The vendor's plugin makes one profile per pod: the first card's. */
static char *write_profile_mlu(const struct part *p, const char *arg)
{
    (void)arg;
    return g_strdup_printf("%u_%u_%" G_GUINT64_FORMAT, card_of(p, 0)->index, p->grants[0]->cores,
                           quantity_mib_of_bytes(p->grants[0]->mem_bytes) / MLU_UNIT_MIB);
}

/* Members that are empty or 0 are left out. */
static void append_json_number(GString *s, const char *key, uint64_t n)
{
    if (n)
        g_string_append_printf(s, ",\"%s\":%" G_GUINT64_FORMAT, key, n);
}

static char *write_json_ascend(const struct part *p, const char *arg)
{
    GString *s = g_string_new("[");
    (void)arg;
    for (unsigned i = 0; i < p->n; i++) {
        g_string_append(s, i ? ",{\"UUID\":" : "{\"UUID\":");
        json_quote(s, card_of(p, i)->uuid);
        if (p->pod->soft) {
            append_json_number(s, "memory", quantity_mib_of_bytes(p->grants[i]->mem_bytes));
            append_json_number(s, "core", p->grants[i]->cores);
        } else if (shape_of(p, i)) {
            g_string_append(s, ",\"temp\":");
            json_quote(s, shape_of(p, i)->name);
        }
        g_string_append_c(s, '}');
    }
    g_string_append_c(s, ']');
    return g_string_free(s, FALSE);
}

static char *write_json_metax(const struct part *p, const char *arg)
{
    GString *s = g_string_new("[");
    unsigned i = 0;
    (void)arg;
    for (unsigned slot = 0; slot < p->pod->n_slots; slot++) {
        g_string_append(s, slot ? ",[" : "[");
        for (unsigned first = i; i < p->n && p->grants[i]->slot == slot; i++) {
            g_string_append(s, i > first ? ",{\"uuid\":" : "{\"uuid\":");
            json_quote(s, card_of(p, i)->uuid);
            append_json_number(s, "compute", p->grants[i]->cores);
            append_json_number(s, "vRam", quantity_mib_of_bytes(p->grants[i]->mem_bytes));
            g_string_append_c(s, '}');
        }
        g_string_append_c(s, ']');
    }
    g_string_append_c(s, ']');
    return g_string_free(s, FALSE);
}

struct named {
    const char *name;
    unsigned grant;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct named *)a)->name, ((const struct named *)b)->name);
}

/* An object by container name, in the order of the names. */
static char *write_json_enflame(const struct part *p, const char *arg)
{
    struct named rows[POD_SLOTS_MAX];
    unsigned n = 0;
    GString *s = g_string_new("{");
    (void)arg;
    for (unsigned i = 0; i < p->n; i++)
        if ((i == 0 || p->grants[i]->slot != p->grants[i - 1]->slot) && p->pod->slot_name[p->grants[i]->slot])
            rows[n++] = (struct named){p->pod->slot_name[p->grants[i]->slot], i};
    qsort(rows, n, sizeof *rows, by_name);
    for (unsigned i = 0; i < n; i++) {
        const struct card_shape *shape = shape_of(p, rows[i].grant);
        if (i)
            g_string_append_c(s, ',');
        json_quote(s, rows[i].name);
        g_string_append_printf(s, ":{\"allocated\":false,\"request\":%u", p->grants[rows[i].grant]->slices);
        g_string_append(s, ",\"profileID\":");
        json_quote(s, shape ? shape->id : "");
        g_string_append(s, ",\"profileName\":");
        json_quote(s, shape ? shape->name : "");
        g_string_append_c(s, '}');
    }
    g_string_append_c(s, '}');
    return g_string_free(s, FALSE);
}

/* Of the first container with a slice; "id" is the index once more. */
static char *write_enflame_index(const struct part *p, const char *arg)
{
    (void)arg;
    return g_strdup_printf("%u", card_of(p, 0)->index);
}

static char *write_enflame_minor(const struct part *p, const char *arg)
{
    (void)arg;
    return g_strdup_printf("%d", card_of(p, 0)->group);
}

static char *write_enflame_size(const struct part *p, const char *arg)
{
    (void)arg;
    return g_strdup_printf("%u", p->grants[0]->slices);
}

static char *write_mig(const struct part *p, const char *arg)
{
    g_autofree struct mig_allocation *rows = g_new0(struct mig_allocation, p->n);
    unsigned n = 0, device = 0;
    (void)arg;
    for (unsigned i = 0; i < p->n; i++) {
        const struct card_grant *g = p->grants[i];
        device = i && g->slot == p->grants[i - 1]->slot ? device + 1 : 0;
        if (g->mig_size && shape_of(p, i))
            rows[n++] = (struct mig_allocation){.slot = g->slot,
                                                .device = (uint16_t)device,
                                                .start = g->mig_start,
                                                .size = g->mig_size,
                                                .gpu_uuid = card_of(p, i)->uuid,
                                                .profile = shape_of(p, i)->name};
    }
    return n ? mig_allocation_format(rows, n) : NULL;
}

/* NULL = the key is left out. */
static char *(*const formats[])(const struct part *, const char *arg) = {
    [FAMILY_WRITE_DEVICES] = write_devices,
    [FAMILY_WRITE_INDICES] = write_indices,
    [FAMILY_WRITE_CORE_INDICES] = write_core_indices,
    [FAMILY_WRITE_SECONDS] = write_seconds,
    [FAMILY_WRITE_NANOSECONDS] = write_nanoseconds,
    [FAMILY_WRITE_NODE] = write_node,
    [FAMILY_WRITE_CONST] = write_const,
    [FAMILY_WRITE_PROFILE_MLU] = write_profile_mlu,
    [FAMILY_WRITE_JSON_ASCEND] = write_json_ascend,
    [FAMILY_WRITE_JSON_METAX] = write_json_metax,
    [FAMILY_WRITE_JSON_ENFLAME] = write_json_enflame,
    [FAMILY_WRITE_ENFLAME_INDEX] = write_enflame_index,
    [FAMILY_WRITE_ENFLAME_ID] = write_enflame_index,
    [FAMILY_WRITE_ENFLAME_MINOR] = write_enflame_minor,
    [FAMILY_WRITE_ENFLAME_SIZE] = write_enflame_size,
    [FAMILY_WRITE_MIG] = write_mig,
    [FAMILY_WRITE_NEURON_TYPE] = write_neuron_type,
};

static void write_family(struct part *p, void (*put)(const char *, const char *, void *), void *data)
{
    p->n = 0;
    for (unsigned i = 0; i < p->all->n; i++)
        if (p->node->cards[p->all->grants[i].card].family == p->family->id)
            p->grants[p->n++] = &p->all->grants[i];
    for (const struct family_write *w = p->family->writes; p->n && w->key; w++) {
        g_autofree char *value = formats[w->format](p, w->arg);
        if (value)
            put(w->key, value, data);
    }
}

void pod_codec_write(const struct family_set *set, const struct node_spec *node, const struct pod_request *r,
                     const struct pod_grant *g, int64_t now_ns,
                     void (*put)(const char *key, const char *value, void *data), void *data)
{
    struct part p = {.node = node, .pod = r, .all = g, .now_ns = now_ns};
    g_autofree char *seconds = write_seconds(&p, NULL);
    put(annotation_vgpu_node, node->name, data);
    put(annotation_vgpu_time, seconds, data);
    for (uint32_t i = 0; i < set->n; i++) {
        p.family = set->rows[i];
        write_family(&p, put, data);
    }
    put(annotation_bind_phase, "allocating", data);
    put(annotation_bind_time, seconds, data);
}
