/* SPDX-License-Identifier: Apache-2.0 */
#include "model/mig_allocation.h"

#include "base/arena.h"
#include "base/json_fields.h"
#include "model/pod.h"

#define ESCAPED 6 /* a character may be written as \u003e */

struct row {
    struct json_text gpu, profile, placement, mig, gi, ci;
    int64_t slot, device;
};
#define AT(member) offsetof(struct row, member)
static const struct json_field row_fields[] = {
    {"containerIndex", JSON_FIELD_INT, AT(slot), 0, POD_SLOTS_MAX - 1},
    {"deviceIndex", JSON_FIELD_INT, AT(device), 0, POD_GRANTS_MAX - 1},
    {"gpuUUID", JSON_FIELD_TEXT, AT(gpu), 0, 0},
    {"profile", JSON_FIELD_TEXT, AT(profile), 0, 0},
    {"placement", JSON_FIELD_RAW, AT(placement), 0, 0},
    {"migUUID", JSON_FIELD_TEXT, AT(mig), 0, 0},
    {"gpuInstanceID", JSON_FIELD_RAW, AT(gi), 0, 0},
    {"computeInstanceID", JSON_FIELD_RAW, AT(ci), 0, 0},
};
#undef AT

struct place {
    int64_t start, size;
};
static const struct json_field place_fields[] = {
    {"start", JSON_FIELD_INT, offsetof(struct place, start), 0, CARD_PLACEMENTS_MAX - 1},
    {"size", JSON_FIELD_INT, offsetof(struct place, size), 0, CARD_PLACEMENTS_MAX},
};

static bool refuse(char **ret_why, const char *why)
{
    *ret_why = g_strdup(why);
    return false;
}

static bool read_place(struct json_text text, struct mig_allocation *ret, char **ret_why)
{
    struct place p = {0, 0};
    struct json_scan s;
    json_scan_init(&s, text.at, text.len);
    if (text.len && !json_fields_read(&s, place_fields, G_N_ELEMENTS(place_fields), &p, ret_why))
        return false;
    if (p.size == 0)
        return refuse(ret_why, "placement.size is 0 or missing");
    if (p.start + p.size > CARD_PLACEMENTS_MAX)
        return refuse(ret_why, "placement ends beyond the card");
    ret->start = (uint8_t)p.start;
    ret->size = (uint8_t)p.size;
    return true;
}

static bool read_text(void **arena, struct json_text text, const char **ret)
{
    *ret = text.len && text.len <= ESCAPED * CARD_TYPE_MAX ? arena_json(arena, text) : NULL;
    return *ret && strlen(*ret) <= CARD_TYPE_MAX;
}

static bool read_number(struct json_text text, uint32_t *ret)
{
    struct json_scan s;
    int64_t n;
    json_scan_init(&s, text.at, text.len);
    if (!json_scan_int(&s, &n) || n < 0 || n > UINT32_MAX)
        return false;
    *ret = (uint32_t)n;
    return true;
}

/* All three of the instance, or none. */
static bool read_instance(void **arena, const struct row *row, struct mig_allocation *ret, char **ret_why)
{
    if (!row->mig.len && !row->gi.len && !row->ci.len)
        return true;
    if (!row->mig.len || !row->gi.len || !row->ci.len)
        return refuse(ret_why, "migUUID, gpuInstanceID and computeInstanceID belong together");
    if (!read_text(arena, row->mig, &ret->mig_uuid) || !read_number(row->gi, &ret->gpu_instance) ||
        !read_number(row->ci, &ret->compute_instance))
        return refuse(ret_why, "migUUID, gpuInstanceID or computeInstanceID cannot be read");
    return true;
}

static bool read_row(struct json_scan *s, struct mig_allocations *all, char **ret_why)
{
    struct row row = {.slot = 0};
    struct mig_allocation a = {0};
    if (!json_fields_read(s, row_fields, G_N_ELEMENTS(row_fields), &row, ret_why))
        return false;
    a.slot = (uint16_t)row.slot;
    a.device = (uint16_t)row.device;
    if (mig_allocation_find(all, a.slot, a.device))
        return refuse(ret_why, "there is one for this containerIndex and deviceIndex already");
    if (!read_text(&all->arena, row.gpu, &a.gpu_uuid))
        return refuse(ret_why, "gpuUUID is missing or too long");
    if (!read_text(&all->arena, row.profile, &a.profile))
        return refuse(ret_why, "profile is missing or too long");
    if (!read_place(row.placement, &a, ret_why) || !read_instance(&all->arena, &row, &a, ret_why))
        return false;
    all->rows[all->n++] = a;
    return true;
}

bool mig_allocation_parse(const char *text, size_t len, struct mig_allocations *ret, char **ret_why)
{
    struct json_scan s;
    g_autofree char *why = NULL;
    *ret = (struct mig_allocations){0};
    json_scan_init(&s, text, len);
    if (json_scan_peek(&s) != JSON_IS_ARRAY)
        return refuse(ret_why, "it is not an array");
    ret->rows = arena_take(&ret->arena, POD_GRANTS_MAX * sizeof *ret->rows);
    json_scan_array(&s);
    while (!why && json_scan_element(&s))
        if (ret->n == POD_GRANTS_MAX)
            why = g_strdup_printf("there are more than %d", POD_GRANTS_MAX);
        else
            read_row(&s, ret, &why);
    if (!why && json_scan_end(&s))
        return true;
    *ret_why = why ? g_strdup_printf("entry %u: %s", ret->n, why) : g_strdup(s.fault);
    mig_allocations_clear(ret);
    return false;
}

void mig_allocations_clear(struct mig_allocations *a)
{
    arena_free(a->arena);
    *a = (struct mig_allocations){0};
}

const struct mig_allocation *mig_allocation_find(const struct mig_allocations *a, unsigned slot,
                                                 unsigned device)
{
    for (unsigned i = 0; i < a->n; i++)
        if (a->rows[i].slot == slot && a->rows[i].device == device)
            return &a->rows[i];
    return NULL;
}

char *mig_allocation_format(const struct mig_allocation *rows, unsigned n)
{
    GString *s = g_string_new("[");
    for (unsigned i = 0; i < n; i++) {
        const struct mig_allocation *a = &rows[i];
        g_string_append_printf(s, "%s{\"containerIndex\":%u,\"deviceIndex\":%u,\"gpuUUID\":", i ? "," : "",
                               a->slot, a->device);
        json_quote(s, a->gpu_uuid);
        g_string_append(s, ",\"profile\":");
        json_quote(s, a->profile);
        g_string_append_printf(s, ",\"placement\":{\"start\":%u,\"size\":%u}", a->start, a->size);
        if (a->mig_uuid) {
            g_string_append(s, ",\"migUUID\":");
            json_quote(s, a->mig_uuid);
            g_string_append_printf(s, ",\"gpuInstanceID\":%u,\"computeInstanceID\":%u", a->gpu_instance,
                                   a->compute_instance);
        }
        g_string_append_c(s, '}');
    }
    g_string_append_c(s, ']');
    return g_string_free(s, FALSE);
}
