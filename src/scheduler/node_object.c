/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/node_object.h"

#include "model/kube_quantity.h"

static void scan_pairs(struct json_scan *s, struct node_pairs *ret)
{
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

static void scan_metadata(struct json_scan *s, struct node_object *ret)
{
    struct json_text key;
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key)) {
        if (json_text_is(key, "name"))
            json_scan_text(s, &ret->name);
        else if (json_text_is(key, "uid"))
            json_scan_text(s, &ret->uid);
        else if (json_text_is(key, "resourceVersion"))
            json_scan_text(s, &ret->resource_version);
        else if (json_text_is(key, "labels"))
            scan_pairs(s, &ret->labels);
        else if (json_text_is(key, "annotations"))
            scan_pairs(s, &ret->annotations);
        else
            json_scan_skip(s);
    }
}

static void scan_status(struct json_scan *s, struct node_object *ret)
{
    struct json_text key;
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key)) {
        if (json_text_is(key, "capacity"))
            scan_pairs(s, &ret->capacity);
        else if (json_text_is(key, "allocatable"))
            scan_pairs(s, &ret->allocatable);
        else
            json_scan_skip(s);
    }
}

static void scan_spec(struct json_scan *s, struct node_object *ret)
{
    struct json_text key;
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key)) {
        if (json_text_is(key, "unschedulable"))
            json_scan_bool(s, &ret->unschedulable);
        else
            json_scan_skip(s);
    }
}

bool node_object_scan(struct json_scan *s, struct node_object *ret, const char **ret_why)
{
    struct json_text key;
    ret->name = ret->resource_version = ret->uid = (struct json_text){0};
    ret->labels.n = ret->annotations.n = ret->capacity.n = ret->allocatable.n = 0;
    ret->unschedulable = false;
    if (json_scan_object(s))
        while (json_scan_key(s, &key)) {
            if (json_text_is(key, "metadata"))
                scan_metadata(s, ret);
            else if (json_text_is(key, "spec"))
                scan_spec(s, ret);
            else if (json_text_is(key, "status"))
                scan_status(s, ret);
            else
                json_scan_skip(s);
        }
    *ret_why = s->fault ? s->fault : "metadata.name is missing or too long";
    return !s->fault && ret->name.len > 0 && ret->name.len <= 253 && !ret->name.escaped;
}

const struct json_text *node_pair(const struct node_pairs *pairs, const char *key)
{
    for (uint32_t i = 0; i < pairs->n; i++)
        if (json_text_equal(pairs->pairs[i].key, key))
            return &pairs->pairs[i].value;
    return NULL;
}

uint64_t node_amount(const struct node_pairs *pairs, const char *resource)
{
    const struct json_text *value = resource && *resource ? node_pair(pairs, resource) : NULL;
    int64_t amount = 0;
    if (!value || value->escaped ||
        kube_quantity_parse(value->at, value->len, &amount) != KUBE_QUANTITY_INTEGER || amount < 0)
        return 0;
    return (uint64_t)amount;
}
