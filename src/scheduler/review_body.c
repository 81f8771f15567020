/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/review_body.h"

#include "base/json_members.h"

#define VALUES_MAX 200000

void review_body_clear(struct review_body *r)
{
    g_free(r->version);
    g_free(r->uid);
    g_free(r->namespace_);
    g_free(r->user);
    pod_object_clear(&r->pod);
}

static void read_text(struct json_scan *scan, void *data, size_t at)
{
    char **ret = (char **)(void *)((char *)data + at);
    struct json_text text;
    if (!json_scan_text(scan, &text))
        return;
    g_free(*ret);
    if (!(*ret = json_text_dup(text)))
        json_scan_fail(scan, "a text that is not UTF-8 or has a broken escape");
}

static void read_user(struct json_scan *scan, void *data, size_t at)
{
    static const struct json_member members[] = {
        JSON_MEMBER("username", read_text, offsetof(struct review_body, user))};
    (void)at;
    json_members_read(scan, members, G_N_ELEMENTS(members), data);
}

static void read_object(struct json_scan *scan, void *data, size_t at)
{
    struct review_body *r = data;
    (void)at;
    r->object = json_scan_peek(scan);
    if (r->object == JSON_IS_OBJECT && !r->large && !scan->fault)
        pod_object_scan_new(r->reader, scan, &r->pod);
    else
        json_scan_skip(scan);
}

static void read_request(struct json_scan *scan, void *data, size_t at)
{
    static const struct json_member members[] = {
        JSON_MEMBER("uid", read_text, offsetof(struct review_body, uid)),
        JSON_MEMBER("namespace", read_text, offsetof(struct review_body, namespace_)),
        JSON_MEMBER("userInfo", read_user, 0),
        JSON_MEMBER("object", read_object, 0),
    };
    struct review_body *r = data;
    (void)at;
    r->request = json_scan_peek(scan);
    json_members_read(scan, members, G_N_ELEMENTS(members), r);
}

/* Containers are kept, of two bytes and a comma each; a short body cannot hold too many. */
static bool has_too_many_values(const char *text, size_t len)
{
    size_t n = 0;
    bool quoted = false;
    if (len <= VALUES_MAX)
        return false;
    for (size_t i = 0; i < len && n <= VALUES_MAX; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted)
            n += text[i] == ',' || text[i] == '[' || text[i] == '{';
    }
    return n > VALUES_MAX;
}

const char *review_body_read(const struct pod_reader *reader, const char *text, size_t len,
                             struct review_body *ret)
{
    static const struct json_member members[] = {
        JSON_MEMBER("apiVersion", read_text, offsetof(struct review_body, version)),
        JSON_MEMBER("request", read_request, 0),
    };
    struct json_scan scan;
    *ret = (struct review_body){.reader = reader, .large = has_too_many_values(text, len)};
    json_scan_init(&scan, text, len);
    scan.once = true;
    json_members_read(&scan, members, G_N_ELEMENTS(members), ret);
    json_scan_end(&scan);
    return scan.fault;
}
