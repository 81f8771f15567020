/* SPDX-License-Identifier: Apache-2.0
 *
 * The inventory of Enflame's DRS slices (vendors.md section 3.8 of the
 * specification): {"devices":[{"index":"0","minor":"0","capacity":6}],
 * "profiles":{"1g.6gb":"0"}}. The profile's name says size and memory; a card
 * holds `capacity` slices, and a profile of size n its n-th part of compute.
 */
#include <stdlib.h>

#include "base/json_fields.h"
#include "model/card_list.h"
#include "model/node_formats.h"
#include "model/quantity.h"

#define GIB (UINT64_C(1) << 30)
#define SIZE_MAX_DRS 1000
#define GB_MAX 100000

struct device {
    struct json_text index, minor, capacity;
};
static const struct json_field device_fields[] = {
    {"index", JSON_FIELD_RAW, offsetof(struct device, index), 0, 0},
    {"minor", JSON_FIELD_RAW, offsetof(struct device, minor), 0, 0},
    {"capacity", JSON_FIELD_RAW, offsetof(struct device, capacity), 0, 0},
};

struct top {
    struct json_text devices, profiles;
};
static const struct json_field top_fields[] = {
    {"devices", JSON_FIELD_RAW, offsetof(struct top, devices), 0, 0},
    {"profiles", JSON_FIELD_RAW, offsetof(struct top, profiles), 0, 0},
};

/* Numbers come bare or in quotes. Absent ones are 0. */
static bool read_number(struct card_reader *r, const char *name, struct json_text raw, int64_t max,
                        int64_t *ret)
{
    struct json_text text = raw;
    guint64 n = 0;
    if (text.len >= 2 && text.at[0] == '"')
        text = (struct json_text){text.at + 1, text.len - 2, false};
    g_autofree char *digits = g_strndup(text.at ? text.at : "0", text.at ? text.len : 1);
    if (!g_ascii_string_to_unsigned(digits, 10, 0, (guint64)max, &n, NULL)) {
        g_autofree char *excerpt = json_fields_excerpt(raw.at, raw.len);
        return card_reader_fail(r, "%s %s is not a number within 0 and %d", name, excerpt, (int)max);
    }
    *ret = (int64_t)n;
    return true;
}

/* "<size>g.<gb>gb", or "<size>g" alone; nothing is changed otherwise. */
static bool read_profile_name(const char *name, struct card_shape *ret)
{
    char *end;
    unsigned long size = strtoul(name, &end, 10), gb = 0;
    if (!g_ascii_isdigit(*name) || size == 0 || size > SIZE_MAX_DRS || *end++ != 'g')
        return false;
    if (*end == '.') {
        if (!g_ascii_isdigit(*++end))
            return false;
        gb = strtoul(end, &end, 10);
        if (gb > GB_MAX || strcmp(end, "gb") != 0)
            return false;
    } else if (*end)
        return false;
    ret->slices = (uint16_t)size;
    ret->mem_bytes = gb * GIB;
    return true;
}

static int by_size(const void *a, const void *b)
{
    const struct card_shape *x = a, *y = b;
    if (x->slices != y->slices)
        return x->slices < y->slices ? -1 : 1;
    return (x->mem_bytes > y->mem_bytes) - (x->mem_bytes < y->mem_bytes);
}

static bool read_profile(struct card_reader *r, struct json_scan *s, struct json_text key,
                         struct card_shapes *shapes)
{
    const char *name, *id;
    struct json_text value = {0};
    if (shapes->n == NODE_SHAPES_MAX)
        return card_reader_fail(r, "there are more than %d profiles", NODE_SHAPES_MAX);
    struct card_shape *shape = &shapes->shapes[shapes->n];
    if (!json_scan_text(s, &value) && !s->fault)
        return card_reader_fail(r, "a profile's number is not a string");
    if (!card_reader_json(r, "profile name", key, sizeof shape->name - 1, false, &name) ||
        !card_reader_json(r, "profile number", value, sizeof shape->id - 1, true, &id))
        return false;
    if (!read_profile_name(name, shape)) /* of a kind that cannot be granted */
        return true;
    g_strlcpy(shape->name, name, sizeof shape->name);
    g_strlcpy(shape->id, id, sizeof shape->id);
    shapes->n++;
    return true;
}

static const struct card_shapes *read_profiles(struct card_reader *r, struct json_text text)
{
    struct json_scan s;
    struct json_text key;
    struct card_shapes *shapes =
        card_reader_alloc(r, sizeof *shapes + NODE_SHAPES_MAX * sizeof shapes->shapes[0]);
    json_scan_init(&s, text.at, text.len);
    if (text.len && json_scan_peek(&s) != JSON_IS_OBJECT)
        card_reader_fail(r, "profiles is not an object");
    else if (text.len && json_scan_object(&s))
        while (json_scan_key(&s, &key) && read_profile(r, &s, key, shapes))
            ;
    qsort(shapes->shapes, shapes->n, sizeof shapes->shapes[0], by_size);
    uint32_t largest = shapes->n ? shapes->shapes[shapes->n - 1].slices : 1;
    for (uint32_t i = 0; i < shapes->n; i++)
        shapes->shapes[i].cores = (shapes->shapes[i].slices * 100u + largest - 1) / largest;
    return shapes;
}

/* The memory of the largest profile; of profiles without one, as many GiB as slices. */
static uint64_t largest_memory(const struct card_shapes *shapes)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < shapes->n; i++)
        bytes = MAX(bytes, shapes->shapes[i].mem_bytes);
    return bytes || shapes->n == 0 ? bytes : shapes->shapes[shapes->n - 1].slices * GIB;
}

static bool read_device(struct card_reader *r, struct json_scan *s, const char *node_name,
                        const struct card_shapes *shapes)
{
    struct device d = {0};
    int64_t index = 0, minor = 0, capacity = 0;
    g_autofree char *why = NULL;
    struct card *card = card_reader_add(r);
    if (!card)
        return false;
    if (!json_fields_read(s, device_fields, G_N_ELEMENTS(device_fields), &d, &why))
        return card_reader_fail(r, "%s", why);
    if (!read_number(r, "index", d.index, UINT16_MAX, &index) ||
        !read_number(r, "minor", d.minor.len ? d.minor : d.index, INT32_MAX, &minor) ||
        !read_number(r, "capacity", d.capacity, UINT16_MAX, &capacity))
        return false;
    g_autofree char *id = node_capacity_id(r->family->capacity_id, node_name, (uint32_t)index);
    if (!card_reader_text(r, "id", id, strlen(id), CARD_UUID_MAX, false, &card->uuid))
        return false;
    card->index = (uint16_t)index;
    card->group = (int32_t)minor;
    card->slots = (uint16_t)MIN(capacity, UINT16_MAX);
    card->mem_bytes = largest_memory(shapes);
    card->cores = 100;
    card->shapes = shapes;
    card->healthy = true;
    return true;
}

struct card_list *node_enflame_parse(const struct family *f, const char *node_name, const char *text,
                                     size_t len, char **ret_why)
{
    struct card_reader r;
    struct json_scan s, devices;
    struct top top = {0};
    g_autofree char *why = NULL;
    card_reader_init(&r, f);
    json_scan_init(&s, text, len);
    if (!json_fields_read(&s, top_fields, G_N_ELEMENTS(top_fields), &top, &why))
        card_reader_fail(&r, "%s", why);
    else if (!json_scan_end(&s))
        card_reader_fail(&r, "%s", s.fault);
    if (r.why)
        return card_reader_end(&r, ret_why);
    const struct card_shapes *shapes = read_profiles(&r, top.profiles);
    json_scan_init(&devices, top.devices.at, top.devices.len);
    if (top.devices.len && json_scan_peek(&devices) != JSON_IS_ARRAY)
        card_reader_fail(&r, "devices is not an array");
    else if (top.devices.len && json_scan_array(&devices))
        while (json_scan_element(&devices) && read_device(&r, &devices, node_name, shapes))
            ;
    return card_reader_end(&r, ret_why);
}
