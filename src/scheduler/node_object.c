/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/node_object.h"

#include <glib.h>

#include "base/json_members.h"
#include "model/kube_quantity.h"

#define MEMBERS(s, rows, data) json_members_read(s, rows, G_N_ELEMENTS(rows), data)

static void read_pairs(struct json_scan *s, void *data, size_t at)
{
    struct node_pairs *ret = (void *)((char *)data + at);
    struct json_text key, value;
    ret->n = 0;
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key)) {
        if (!json_scan_text(s, &value))
            continue;
        if (ret->n == NODE_PAIRS_MAX) {
            json_scan_fail(s, "more labels, annotations or resources than are looked at");
            return;
        }
        ret->pairs[ret->n].key = key;
        ret->pairs[ret->n++].value = value;
    }
}

static void read_text(struct json_scan *s, void *data, size_t at)
{
    json_scan_text(s, (struct json_text *)(void *)((char *)data + at));
}

static void read_bool(struct json_scan *s, void *data, size_t at)
{
    json_scan_bool(s, (bool *)((char *)data + at));
}

#define NODE(key, read, field) JSON_MEMBER(key, read, offsetof(struct node_object, field))

static void read_metadata(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {
        NODE("name", read_text, name),
        NODE("uid", read_text, uid),
        NODE("resourceVersion", read_text, resource_version),
        NODE("labels", read_pairs, labels),
        NODE("annotations", read_pairs, annotations),
    };
    (void)at;
    MEMBERS(s, members, data);
}

static void read_status(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {
        NODE("capacity", read_pairs, capacity),
        NODE("allocatable", read_pairs, allocatable),
    };
    (void)at;
    MEMBERS(s, members, data);
}

static void read_spec(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {NODE("unschedulable", read_bool, unschedulable)};
    (void)at;
    MEMBERS(s, members, data);
}

bool node_object_scan(struct json_scan *s, struct node_object *ret, const char **ret_why)
{
    static const struct json_member members[] = {
        JSON_MEMBER("metadata", read_metadata, 0),
        JSON_MEMBER("spec", read_spec, 0),
        JSON_MEMBER("status", read_status, 0),
    };
    ret->name = ret->resource_version = ret->uid = (struct json_text){0};
    ret->labels.n = ret->annotations.n = ret->capacity.n = ret->allocatable.n = 0;
    ret->unschedulable = false;
    MEMBERS(s, members, ret);
    *ret_why = s->fault ? s->fault : "metadata.name is missing or too long";
    return !s->fault && ret->name.len > 0 && ret->name.len <= 253 && !ret->name.escaped;
}

const struct json_text *node_pair(const struct node_pairs *pairs, const char *key)
{
    for (uint32_t i = 0; i < pairs->n; i++)
        if (json_text_reads(pairs->pairs[i].key, key))
            return &pairs->pairs[i].value;
    return NULL;
}

uint64_t node_amount(const struct node_pairs *pairs, const char *resource)
{
    const struct json_text *value = resource && *resource ? node_pair(pairs, resource) : NULL;
    char text[64];
    int64_t amount = 0;
    int len = value ? json_text_copy(*value, text, sizeof text) : -1;
    if (len < 0 || kube_quantity_parse(text, (size_t)len, &amount) != KUBE_QUANTITY_INTEGER || amount < 0)
        return 0;
    return (uint64_t)amount;
}
