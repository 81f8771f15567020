/* SPDX-License-Identifier: Apache-2.0
 *
 * The inventory that the MetaX operator writes (vendors.md section 3.7 of the
 * specification). A card's number is its position.
 */
#include "base/json_fields.h"
#include "model/card_list.h"
#include "model/node_formats.h"
#include "model/quantity.h"

struct device {
    struct json_text uuid, qos;
    int64_t slots, compute, vram, numa, zone;
    bool healthy;
};
#define AT(member) offsetof(struct device, member)
static const struct json_field fields[] = {
    {"uuid", JSON_FIELD_TEXT, AT(uuid), 0, 0},
    {"totalDevCount", JSON_FIELD_INT, AT(slots), 0, INT32_MAX},
    {"totalCompute", JSON_FIELD_INT, AT(compute), 0, INT32_MAX},
    {"totalVRam", JSON_FIELD_INT, AT(vram), 0, CARD_MIB_MAX},
    {"numa", JSON_FIELD_INT, AT(numa), -1, INT16_MAX},
    {"healthy", JSON_FIELD_BOOL, AT(healthy), 0, 0},
    {"qosPolicy", JSON_FIELD_TEXT, AT(qos), 0, 0},
    {"linkZone", JSON_FIELD_INT, AT(zone), INT32_MIN, INT32_MAX},
};
#undef AT

static bool read_qos(struct card_reader *r, struct json_text text, uint8_t *ret)
{
    for (unsigned i = 0; i < CARD_QOS_KINDS; i++)
        if (json_text_equal(text, card_qos_names[i])) {
            *ret = (uint8_t)i;
            return true;
        }
    g_autofree char *excerpt = json_fields_excerpt(text.at, text.len);
    return card_reader_fail(r, "qosPolicy %s is none of best-effort, fixed-share and burst-share", excerpt);
}

static bool read_device(struct card_reader *r, struct json_scan *s)
{
    struct device d = {.qos.at = ""};
    struct card *card = card_reader_add(r);
    g_autofree char *why = NULL;
    if (!card)
        return false;
    if (!json_fields_read(s, fields, G_N_ELEMENTS(fields), &d, &why))
        return card_reader_fail(r, "%s", why);
    if (!card_reader_json(r, "uuid", d.uuid, CARD_UUID_MAX, false, &card->uuid) ||
        !read_qos(r, d.qos, &card->qos))
        return false;
    card->index = (uint16_t)(r->list->n - 1);
    card->slots = (uint16_t)MIN(d.slots, UINT16_MAX);
    card->cores = (uint32_t)d.compute;
    card->mem_bytes = (uint64_t)d.vram * QUANTITY_MIB;
    card->numa = (int16_t)d.numa;
    card->group = d.zone > 0 ? (int32_t)d.zone : -1;
    card->healthy = d.healthy;
    return true;
}

struct card_list *node_metax_parse(const struct family *f, const char *text, size_t len, char **ret_why)
{
    struct card_reader r;
    struct json_scan s;
    card_reader_init(&r, f);
    json_scan_init(&s, text, len);
    if (json_scan_peek(&s) != JSON_IS_ARRAY)
        card_reader_fail(&r, "it is not an array of devices");
    else if (json_scan_array(&s))
        while (json_scan_element(&s) && read_device(&r, &s))
            ;
    if (!json_scan_end(&s))
        card_reader_fail(&r, "%s", s.fault);
    return card_reader_end(&r, ret_why);
}
