/* SPDX-License-Identifier: Apache-2.0
 *
 * See watch_parse.h.
 */
#include "kube/watch_parse.h"

#include "base/json_scan.h"

static void read_text(struct json_scan *s, char *buf, size_t size, const char *fault)
{
    struct json_text text;
    if (json_scan_text(s, &text) && json_text_copy(text, buf, size) < 0)
        json_scan_fail(s, fault);
}

static void read_list_meta(struct json_scan *s, struct kube_page *ret)
{
    struct json_text key;
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key))
        if (json_text_is(key, "resourceVersion"))
            read_text(s, ret->version, sizeof ret->version, "metadata.resourceVersion is too long");
        else if (json_text_is(key, "continue"))
            read_text(s, ret->more, sizeof ret->more, "metadata.continue is too long");
        else
            json_scan_skip(s);
}

/* False when the callback stopped. */
static bool read_items(struct json_scan *s, kube_page_item item, void *data)
{
    const char *at;
    size_t len;
    if (!json_scan_array(s))
        return true;
    while (json_scan_element(s)) {
        if (json_scan_peek(s) != JSON_IS_OBJECT)
            json_scan_fail(s, "an item is not an object");
        else if (json_scan_raw(s, &at, &len) && !item(at, len, data))
            return false;
    }
    return true;
}

bool kube_page_parse(const char *json, size_t len, kube_page_item item, void *data, struct kube_page *ret,
                     const char **ret_fault)
{
    struct json_scan s;
    struct json_text key;
    bool items = false;
    ret->version[0] = ret->more[0] = '\0';
    *ret_fault = NULL;
    json_scan_init(&s, json, len);
    if (json_scan_object(&s)) {
        while (json_scan_key(&s, &key)) {
            if (json_text_is(key, "metadata")) {
                read_list_meta(&s, ret);
            } else if (json_text_is(key, "items")) {
                items = true;
                if (!read_items(&s, item, data))
                    return false;
            } else {
                json_scan_skip(&s);
            }
        }
    }
    if (!json_scan_end(&s))
        *ret_fault = s.fault ? s.fault : "not JSON";
    else if (!items || !ret->version[0])
        *ret_fault = "not a list: items or metadata.resourceVersion is missing";
    return !*ret_fault;
}

/* metadata.resourceVersion; the rest of the object is not looked at. */
static bool read_version(const char *json, size_t len, char *buf, size_t size)
{
    struct json_scan s;
    struct json_text key, version;
    json_scan_init(&s, json, len);
    if (!json_scan_object(&s))
        return false;
    while (json_scan_key(&s, &key)) {
        if (!json_text_is(key, "metadata")) {
            json_scan_skip(&s);
            continue;
        }
        if (!json_scan_object(&s))
            return false;
        while (json_scan_key(&s, &key)) {
            if (json_text_is(key, "resourceVersion"))
                return json_scan_text(&s, &version) && json_text_copy(version, buf, size) > 0;
            json_scan_skip(&s);
        }
        return false;
    }
    return false;
}

static bool read_type(struct json_text text, enum kube_frame_type *ret)
{
    if (json_text_is(text, "ADDED"))
        *ret = KUBE_FRAME_ADDED;
    else if (json_text_is(text, "MODIFIED"))
        *ret = KUBE_FRAME_MODIFIED;
    else if (json_text_is(text, "DELETED"))
        *ret = KUBE_FRAME_DELETED;
    else if (json_text_is(text, "BOOKMARK"))
        *ret = KUBE_FRAME_BOOKMARK;
    else if (json_text_is(text, "ERROR"))
        *ret = KUBE_FRAME_ERROR;
    else
        return false;
    return true;
}

bool kube_frame_parse(const char *line, size_t len, struct kube_frame *ret, const char **ret_fault)
{
    struct json_scan s;
    struct json_text key, type = {0};
    ret->object = NULL;
    ret->version[0] = '\0';
    json_scan_init(&s, line, len);
    if (json_scan_object(&s)) {
        while (json_scan_key(&s, &key)) {
            if (json_text_is(key, "type"))
                json_scan_text(&s, &type);
            else if (json_text_is(key, "object") && json_scan_peek(&s) == JSON_IS_OBJECT)
                json_scan_raw(&s, &ret->object, &ret->len);
            else
                json_scan_skip(&s);
        }
    }
    *ret_fault = NULL;
    if (!json_scan_end(&s))
        *ret_fault = s.fault ? s.fault : "not JSON";
    else if (!type.at || !ret->object)
        *ret_fault = "a watch event without type or object";
    else if (!read_type(type, &ret->type))
        *ret_fault = "a watch event of an unknown type";
    else if (ret->type != KUBE_FRAME_ERROR &&
             !read_version(ret->object, ret->len, ret->version, sizeof ret->version))
        *ret_fault = "an object without metadata.resourceVersion";
    return !*ret_fault;
}
