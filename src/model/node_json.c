/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON register: an array of devices whose empty members are left out
 * (scheduler.md section 3.3 of the specification), and the pair scores beside
 * it (section 3.4).
 */
#include "base/json_fields.h"
#include "model/card_list.h"
#include "model/node_formats.h"
#include "model/quantity.h"

struct device {
    struct json_text id, type, mode, mig, info;
    int64_t index, count, devmem, devcore, numa;
    bool health;
};
#define AT(member) offsetof(struct device, member)
static const struct json_field device_fields[] = {
    {"id", JSON_FIELD_TEXT, AT(id), 0, 0},
    {"index", JSON_FIELD_INT, AT(index), 0, UINT16_MAX},
    {"count", JSON_FIELD_INT, AT(count), 0, INT32_MAX},
    {"devmem", JSON_FIELD_INT, AT(devmem), 0, CARD_MIB_MAX},
    {"devcore", JSON_FIELD_INT, AT(devcore), 0, INT32_MAX},
    {"type", JSON_FIELD_TEXT, AT(type), 0, 0},
    {"numa", JSON_FIELD_INT, AT(numa), -1, INT16_MAX},
    {"mode", JSON_FIELD_TEXT, AT(mode), 0, 0},
    {"migProfiles", JSON_FIELD_RAW, AT(mig), 0, 0},
    {"health", JSON_FIELD_BOOL, AT(health), 0, 0},
    {"custominfo", JSON_FIELD_RAW, AT(info), 0, 0},
};
#undef AT

struct profile {
    struct json_text name, placements;
    int64_t mib, core, slices;
};
#define AT(member) offsetof(struct profile, member)
static const struct json_field profile_fields[] = {
    {"name", JSON_FIELD_TEXT, AT(name), 0, 0},
    {"memoryMB", JSON_FIELD_INT, AT(mib), 0, CARD_MIB_MAX},
    {"core", JSON_FIELD_INT, AT(core), 0, INT32_MAX},
    {"sliceCount", JSON_FIELD_INT, AT(slices), 0, CARD_PLACEMENTS_MAX},
    {"placements", JSON_FIELD_RAW, AT(placements), 0, 0},
};
#undef AT

struct placement {
    int64_t start, size;
};
static const struct json_field placement_fields[] = {
    {"start", JSON_FIELD_INT, offsetof(struct placement, start), 0, CARD_PLACEMENTS_MAX - 1},
    {"size", JSON_FIELD_INT, offsetof(struct placement, size), 0, CARD_PLACEMENTS_MAX},
};

/* One reader of arrays: calls `read` for each object. */
static bool each(struct card_reader *r, struct json_scan *s, const char *name,
                 bool (*read)(struct card_reader *, struct json_scan *, void *), void *data)
{
    if (json_scan_peek(s) != JSON_IS_ARRAY)
        return card_reader_fail(r, "%s is not an array", name);
    json_scan_array(s);
    while (json_scan_element(s))
        if (!read(r, s, data))
            return false;
    return s->fault ? card_reader_fail(r, "%s", s->fault) : true;
}

static bool read_fields(struct card_reader *r, struct json_scan *s, const char *name,
                        const struct json_field *fields, size_t n, void *ret)
{
    g_autofree char *why = NULL;
    return json_fields_read(s, fields, n, ret, &why) || card_reader_fail(r, "%s%s", name, why);
}

static bool read_placement(struct card_reader *r, struct json_scan *s, void *data)
{
    struct card_shape *shape = data;
    struct placement p = {0, 0};
    if (!read_fields(r, s, "migProfiles: placements: ", placement_fields, G_N_ELEMENTS(placement_fields), &p))
        return false;
    if (shape->n_placements == CARD_PLACEMENTS_MAX)
        return card_reader_fail(r, "profile %s has more than %d placements", shape->name,
                                CARD_PLACEMENTS_MAX);
    if (p.size == 0 || p.start + p.size > CARD_PLACEMENTS_MAX)
        return card_reader_fail(r, "profile %s: a placement of size %d at %d is not within 0 and %d",
                                shape->name, (int)p.size, (int)p.start, CARD_PLACEMENTS_MAX);
    shape->placements[shape->n_placements].start = (uint8_t)p.start;
    shape->placements[shape->n_placements++].size = (uint8_t)p.size;
    return true;
}

static bool read_profile(struct card_reader *r, struct json_scan *s, void *data)
{
    struct card_shapes *shapes = data;
    struct profile p = {0};
    const char *name;
    if (shapes->n == NODE_SHAPES_MAX)
        return card_reader_fail(r, "there are more than %d MIG profiles", NODE_SHAPES_MAX);
    struct card_shape *shape = &shapes->shapes[shapes->n];
    if (!read_fields(r, s, "migProfiles: ", profile_fields, G_N_ELEMENTS(profile_fields), &p) ||
        !card_reader_json(r, "MIG profile name", p.name, sizeof shape->name - 1, false, &name))
        return false;
    g_strlcpy(shape->name, name, sizeof shape->name);
    shape->mem_bytes = (uint64_t)p.mib * QUANTITY_MIB;
    shape->cores = (uint32_t)p.core;
    shape->slices = (uint16_t)p.slices;
    shapes->n++;
    struct json_scan sub;
    json_scan_init(&sub, p.placements.at, p.placements.len);
    return p.placements.len == 0 || each(r, &sub, "placements", read_placement, shape);
}

/* Cards of one node usually have the same profiles: those are kept once. */
struct state {
    struct json_text last;
    const struct card_shapes *last_shapes;
};

static bool read_profiles(struct card_reader *r, struct json_text text, struct state *state,
                          const struct card_shapes **ret)
{
    struct json_scan s;
    if (text.len == 0)
        return true;
    if (text.len == state->last.len && memcmp(text.at, state->last.at, text.len) == 0) {
        *ret = state->last_shapes;
        return true;
    }
    g_autofree struct card_shapes *shapes =
        g_malloc0(sizeof *shapes + NODE_SHAPES_MAX * sizeof shapes->shapes[0]);
    json_scan_init(&s, text.at, text.len);
    if (!each(r, &s, "migProfiles", read_profile, shapes))
        return false;
    size_t size = sizeof *shapes + shapes->n * sizeof shapes->shapes[0];
    *ret = shapes->n ? memcpy(card_reader_alloc(r, size), shapes, size) : NULL;
    *state = (struct state){text, *ret};
    return true;
}

/* The member of custominfo that is the group: a number, or a word that gets one. */
static bool read_info(struct card_reader *r, struct json_text info, struct card *card)
{
    struct json_scan s;
    struct json_text key, text = {0};
    int64_t n;
    json_scan_init(&s, info.at, info.len);
    if (info.len == 0 || !r->family->info_group || !json_scan_object(&s))
        return true;
    while (json_scan_key(&s, &key)) {
        bool is_group = json_text_equal(key, r->family->info_group);
        if (is_group && json_scan_peek(&s) == JSON_IS_NUMBER && json_scan_int(&s, &n)) {
            if (n < 0 || n > INT32_MAX)
                return card_reader_fail(r, "custominfo: %s is not within 0 and %d", r->family->info_group,
                                        INT32_MAX);
            card->group = (int32_t)n;
        } else if (is_group && json_scan_text(&s, &text)) {
            card->group = card_reader_group(r, text.at, text.len);
        } else if (!is_group && json_text_is(key, "DeviceStrategy") && json_scan_text(&s, &text)) {
            r->list->die_mode |= json_text_is(text, "die");
        } else if (!is_group && !json_text_is(key, "DeviceStrategy")) {
            json_scan_skip(&s);
        }
    }
    return true;
}

static void set_card(const struct family *f, const struct device *d, struct card *card)
{
    card->slots = (uint16_t)MIN(d->count, UINT16_MAX);
    card->mem_bytes = (uint64_t)d->devmem * QUANTITY_MIB;
    card->cores = f->force_cores ? f->force_cores : (uint32_t)d->devcore;
    card->numa = (int16_t)d->numa;
    card->index = (uint16_t)d->index;
    card->healthy = d->health;
    for (int i = 0; i < CARD_AUX; i++)
        card->aux[i] = (uint16_t)MIN(f->aux_total[i], UINT16_MAX);
    if (f->grouping == FAMILY_GROUP_FULL_PAIRS)
        card->group = card->index / 2;
}

static bool read_device(struct card_reader *r, struct json_scan *s, void *data)
{
    struct device d = {0};
    const char *mode;
    struct card *card = card_reader_add(r);
    if (!card || !read_fields(r, s, "", device_fields, G_N_ELEMENTS(device_fields), &d) ||
        !card_reader_json(r, "id", d.id, CARD_UUID_MAX, false, &card->uuid) ||
        !card_reader_json(r, "type", d.type, CARD_TYPE_MAX, true, &card->type) ||
        !card_reader_json(r, "mode", d.mode, CARD_TYPE_MAX, true, &mode) ||
        !card_reader_mode(r, mode, strlen(mode), &card->mode) ||
        !read_profiles(r, d.mig, data, &card->shapes) || !read_info(r, d.info, card))
        return false;
    set_card(r->family, &d, card);
    return true;
}

struct card_list *node_json_parse(const struct family *f, const char *text, size_t len, char **ret_why)
{
    struct card_reader r;
    struct json_scan s;
    struct state state = {0};
    card_reader_init(&r, f);
    json_scan_init(&s, text, len);
    if (json_scan_peek(&s) == JSON_IS_NULL)
        json_scan_skip(&s);
    else
        each(&r, &s, "the register", read_device, &state);
    if (!json_scan_end(&s))
        card_reader_fail(&r, "%s", s.fault);
    return card_reader_end(&r, ret_why);
}

static void append_int(GString *s, const char *key, int64_t n)
{
    if (n)
        g_string_append_printf(s, ",\"%s\":%" G_GINT64_FORMAT, key, n);
}

static void append_text(GString *s, const char *key, const char *text)
{
    if (!*text)
        return;
    g_string_append_printf(s, ",\"%s\":", key);
    json_quote(s, text);
}

static void append_profiles(GString *s, const struct card_shapes *shapes)
{
    if (!shapes || shapes->n == 0)
        return;
    g_string_append(s, ",\"migProfiles\":");
    for (uint32_t i = 0; i < shapes->n; i++) {
        const struct card_shape *shape = &shapes->shapes[i];
        g_string_append(s, i ? ",{\"name\":" : "[{\"name\":");
        json_quote(s, shape->name);
        g_string_append_printf(
            s, ",\"memoryMB\":%" G_GUINT64_FORMAT ",\"core\":%u,\"sliceCount\":%u,\"placements\":[",
            quantity_mib_of_bytes(shape->mem_bytes), shape->cores, shape->slices);
        for (unsigned p = 0; p < shape->n_placements; p++)
            g_string_append_printf(s, "%s{\"start\":%u,\"size\":%u}", p ? "," : "",
                                   shape->placements[p].start, shape->placements[p].size);
        g_string_append(s, "]}");
    }
    g_string_append_c(s, ']');
}

static void append_device(GString *s, const struct family *f, const struct card *c)
{
    gsize start = s->len;
    append_text(s, "id", c->uuid);
    append_int(s, "index", c->index);
    append_int(s, "count", c->slots);
    append_int(s, "devmem", (int64_t)quantity_mib_of_bytes(c->mem_bytes));
    append_int(s, "devcore", c->cores);
    append_text(s, "type", c->type);
    append_int(s, "numa", c->numa);
    append_text(s, "mode", card_mode_names[c->mode]);
    append_profiles(s, c->shapes);
    if (c->healthy)
        g_string_append(s, ",\"health\":true");
    if (f && f->info_group && c->group >= 0)
        g_string_append_printf(s, ",\"custominfo\":{\"%s\":%d}", f->info_group, c->group);
    if (s->len > start)
        s->str[start] = '{'; /* where the first member's comma is */
    else
        g_string_append_c(s, '{');
    g_string_append_c(s, '}');
}

char *node_codec_format_json(const struct family *f, const struct card *cards, uint32_t n)
{
    GString *s = g_string_new("[");
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            g_string_append_c(s, ',');
        append_device(s, f, &cards[i]);
    }
    g_string_append_c(s, ']');
    return g_string_free(s, FALSE);
}
