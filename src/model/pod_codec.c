/* SPDX-License-Identifier: Apache-2.0
 *
 * Device strings of pods and what follows from them. A container without a
 * device of the family is an empty slot, always: the reference's writer forgets
 * some and shifts the others (B1 in section 11 of scheduler.md of the
 * specification).
 */
#include "model/pod_codec.h"

#include <glib.h>
#include <string.h>

#include "base/json_fields.h"
#include "model/annotation.h"
#include "model/mig_allocation.h"
#include "model/quantity.h"

struct span {
    const char *at;
    size_t len;
};

/* The part up to the separator; *rest begins behind it, or is NULL when there was none. */
static struct span cut(const char *at, const char *end, char separator, const char **rest)
{
    const char *found = memchr(at, separator, (size_t)(end - at));
    *rest = found ? found + 1 : NULL;
    return (struct span){at, (size_t)((found ? found : end) - at)};
}

static bool read_number(struct span text, int32_t *ret)
{
    gint64 n;
    char digits[16];
    size_t sign = text.len && text.at[0] == '+';
    if (text.len == 0 || text.len >= sizeof digits)
        return false;
    memcpy(digits, text.at, text.len);
    digits[text.len] = '\0';
    if (strspn(digits + sign, "0123456789") != text.len - sign ||
        !g_ascii_string_to_signed(digits + sign, 10, 0, INT32_MAX, &n, NULL))
        return false;
    *ret = (int32_t)n;
    return true;
}

static char *refuse(const char *what, struct span text)
{
    g_autofree char *excerpt = json_fields_excerpt(text.at, text.len);
    return g_strdup_printf("%s: \"%s\"", what, excerpt);
}

static bool is_name(struct span text, size_t max)
{
    if (text.len > max)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < 0x20)
            return false;
    return true;
}

/* "UUID,TYPE,MiB,cores"; further fields are ignored. */
static bool read_device(struct span text, unsigned slot, struct pod_codec_device *ret, char **ret_why)
{
    struct span fields[4];
    const char *at = text.at, *end = text.at + text.len;
    unsigned n = 0;
    for (; at && n < G_N_ELEMENTS(fields); n++)
        fields[n] = cut(at, end, ',', &at);
    if (n < G_N_ELEMENTS(fields))
        *ret_why = refuse("a device has fewer than four fields", text);
    else if (fields[0].len == 0 || !is_name(fields[0], CARD_UUID_MAX))
        *ret_why = refuse("a device's UUID is empty, too long or not printable", text);
    else if (!is_name(fields[1], CARD_TYPE_MAX))
        *ret_why = refuse("a device's type is too long or not printable", text);
    else if (!read_number(fields[2], &ret->mem_mib))
        *ret_why = refuse("a device's memory is not a number of MiB within 31 bits", text);
    else if (!read_number(fields[3], &ret->cores))
        *ret_why = refuse("a device's cores are not a number within 31 bits", text);
    else {
        ret->uuid = fields[0].at;
        ret->uuid_len = (uint16_t)fields[0].len;
        ret->type = fields[1].at;
        ret->type_len = (uint16_t)fields[1].len;
        ret->slot = (uint16_t)slot;
        return true;
    }
    return false;
}

static bool read_slot(struct span text, unsigned slot, struct pod_codec_device *ret, unsigned max,
                      unsigned *n, char **ret_why)
{
    const char *at = text.at, *end = text.at + text.len;
    while (at) {
        struct span piece = cut(at, end, ':', &at);
        if (!memchr(piece.at, ',', piece.len))
            continue;
        if (slot >= POD_SLOTS_MAX)
            *ret_why = g_strdup_printf("there are devices in container %u; at most %d are taken", slot,
                                       POD_SLOTS_MAX);
        else if (*n == max)
            *ret_why = g_strdup_printf("there are more than %u devices", max);
        else if (read_device(piece, slot, &ret[*n], ret_why)) {
            ++*n;
            continue;
        }
        return false;
    }
    return true;
}

int pod_codec_parse(const char *text, size_t len, struct pod_codec_device *ret, unsigned max, char **ret_why)
{
    const char *at = text, *end = text + len;
    unsigned n = 0;
    for (unsigned slot = 0; at; slot++)
        if (!read_slot(cut(at, end, ';', &at), slot, ret, max, &n, ret_why))
            return -1;
    return (int)n;
}

char *pod_codec_format(const struct family *f, const struct node_spec *node, const struct pod_grant *g,
                       unsigned n_slots)
{
    GString *s = g_string_new(NULL);
    unsigned i = 0;
    for (unsigned slot = 0; slot < n_slots; slot++) {
        for (; i < g->n && g->grants[i].slot == slot; i++) {
            const struct card_grant *grant = &g->grants[i];
            const struct card *card = &node->cards[grant->card];
            if (card->family == f->id)
                g_string_append_printf(s, "%s,%s,%" G_GUINT64_FORMAT ",%u:", card->uuid,
                                       f->type_is_product ? card->type : f->word,
                                       quantity_mib_of_bytes(grant->mem_bytes), grant->cores);
        }
        g_string_append_c(s, ';');
    }
    return g_string_free(s, FALSE);
}

/* ---- back from annotations ---- */

/* A pod's annotations while its grants are restored. */
struct restore {
    const struct family *family;
    const struct node_spec *node;
    const char *(*get)(const char *key, void *data);
    void *data;
    struct mig_allocations mig;
    struct pod_grant *ret;
    unsigned unknown;
};

static int find_card(const struct restore *r, const struct pod_codec_device *d)
{
    for (uint32_t i = 0; i < r->node->n_cards; i++) {
        const struct card *card = &r->node->cards[i];
        if (card->family == r->family->id && strlen(card->uuid) == d->uuid_len &&
            memcmp(card->uuid, d->uuid, d->uuid_len) == 0)
            return (int)i;
    }
    return -1;
}

static bool is_set_to(const struct restore *r, const char *key, const char *value)
{
    return key && g_strcmp0(r->get(key, r->data), value) == 0;
}

static uint8_t find_shape(const struct card_shapes *shapes, const struct card_grant *g, bool cores_too)
{
    for (uint32_t i = 0; shapes && i < shapes->n && i < CARD_NO_SHAPE; i++)
        if (shapes->shapes[i].mem_bytes == g->mem_bytes &&
            (!cores_too || shapes->shapes[i].cores == g->cores))
            return (uint8_t)i;
    return CARD_NO_SHAPE;
}

/* An Ascend template brings its share of the further resources, a whole card
 * all of them; a soft slice none. */
static void restore_template(const struct restore *r, struct card_grant *g)
{
    const struct family *f = r->family;
    if (is_set_to(r, f->soft_key, f->soft_value))
        return;
    g->shape = find_shape(f->shapes, g, false);
    for (int i = 0; i < CARD_AUX; i++)
        g->aux[i] =
            (uint16_t)(g->shape == CARD_NO_SHAPE ? f->aux_total[i] : f->shapes->shapes[g->shape].aux[i]);
}

static void restore_profile(const struct card *card, struct card_grant *g)
{
    g->shape = find_shape(card->shapes, g, true);
    if (g->shape != CARD_NO_SHAPE)
        g->slices = card->shapes->shapes[g->shape].slices;
}

/* Without a usable place the instance may be anywhere: nothing else fits then. */
static void restore_place(const struct restore *r, const struct card *card, unsigned device,
                          struct card_grant *g)
{
    const struct mig_allocation *a = mig_allocation_find(&r->mig, g->slot, device);
    g->mig_start = 0;
    g->mig_size = CARD_PLACEMENTS_MAX;
    if (!a || strcmp(a->gpu_uuid, card->uuid) != 0)
        return;
    g->mig_start = a->start;
    g->mig_size = a->size;
    for (uint32_t i = 0; card->shapes && i < card->shapes->n && i < CARD_NO_SHAPE; i++)
        if (strcmp(card->shapes->shapes[i].name, a->profile) == 0)
            g->shape = (uint8_t)i;
}

static void restore_class(const struct restore *r, struct card_grant *g)
{
    const char *qos = r->get(annotation_metax_qos, r->data);
    unsigned kind = 0;
    for (unsigned i = 0; i < CARD_QOS_KINDS; i++)
        if (g_strcmp0(qos, card_qos_names[i]) == 0)
            kind = i;
    bool offline = is_set_to(r, annotation_metax_class, "offline");
    if (is_set_to(r, annotation_metax_class, "online"))
        g->flags |= CARD_GRANT_ONLINE;
    else if (offline || g->cores < 100)
        g->flags |= (uint8_t)((offline ? CARD_GRANT_OFFLINE : 0) | kind << CARD_GRANT_QOS_SHIFT);
}

static void restore_grant(struct restore *r, const struct pod_codec_device *d, unsigned device, int card)
{
    const struct family *f = r->family;
    struct card_grant *g = &r->ret->grants[r->ret->n++];
    *g = (struct card_grant){.mem_bytes = (uint64_t)d->mem_mib * QUANTITY_MIB,
                             .cores = (uint32_t)d->cores,
                             .card = (uint16_t)card,
                             .slices = 1,
                             .slot = (uint8_t)d->slot,
                             .shape = CARD_NO_SHAPE,
                             .flags = f->cores_kind == FAMILY_CORES_MASK ? CARD_GRANT_MASK : 0};
    if (f->mem_round == FAMILY_ROUND_SHAPES)
        restore_template(r, g);
    if (f->mem_round == FAMILY_ROUND_CARD_SHAPE)
        restore_profile(&r->node->cards[card], g);
    if (r->node->cards[card].mode == CARD_MIG && family_writes(f, FAMILY_WRITE_MIG))
        restore_place(r, &r->node->cards[card], device, g);
    if (f->inventory == FAMILY_INV_METAX)
        restore_class(r, g);
}

static bool restore_family(struct restore *r, char **ret_why)
{
    struct pod_codec_device devices[POD_GRANTS_MAX];
    const char *text = r->family->allocated_key ? r->get(r->family->allocated_key, r->data) : NULL;
    g_autofree char *why = NULL;
    int n = text ? pod_codec_parse(text, strlen(text), devices, POD_GRANTS_MAX, &why) : 0;
    unsigned device = 0;
    if (n < 0) {
        *ret_why = g_strdup_printf("%s: %s", r->family->allocated_key, why);
        return false;
    }
    for (int i = 0; i < n; i++) {
        device = i && devices[i].slot == devices[i - 1].slot ? device + 1 : 0;
        int card = find_card(r, &devices[i]);
        if (card < 0) {
            r->unknown++;
            continue;
        }
        if (r->ret->n == POD_GRANTS_MAX) {
            *ret_why = g_strdup_printf("%s: the pod holds more than %d cards", r->family->allocated_key,
                                       POD_GRANTS_MAX);
            return false;
        }
        restore_grant(r, &devices[i], device, card);
    }
    return true;
}

/* Stable, and usually in order already: families come one after the other. */
static void sort_by_slot(struct pod_grant *g)
{
    for (unsigned i = 1; i < g->n; i++) {
        struct card_grant grant = g->grants[i];
        unsigned at = i;
        for (; at > 0 && g->grants[at - 1].slot > grant.slot; at--)
            g->grants[at] = g->grants[at - 1];
        g->grants[at] = grant;
    }
}

bool pod_codec_restore(const struct family_set *set, const struct node_spec *node,
                       const char *(*get)(const char *key, void *data), void *data, struct pod_grant *ret,
                       unsigned *ret_unknown, char **ret_why)
{
    struct restore r = {.node = node, .get = get, .data = data, .ret = ret};
    const char *mig = get(annotation_mig_allocations, data);
    g_autofree char *mig_why = NULL; /* damaged is as good as absent: see restore_place() */
    bool ok = true;
    ret->n = 0;
    if (mig)
        mig_allocation_parse(mig, strlen(mig), &r.mig, &mig_why);
    for (uint32_t i = 0; ok && i < set->n; i++) {
        r.family = set->rows[i];
        ok = restore_family(&r, ret_why);
    }
    mig_allocations_clear(&r.mig);
    sort_by_slot(ret);
    *ret_unknown = r.unknown;
    return ok;
}
