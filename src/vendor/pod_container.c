/* SPDX-License-Identifier: Apache-2.0
 *
 * One container of a pod: its name, what it asks for of our resources, and
 * what concerns isolation.
 */
#include "base/arena.h"
#include "vendor/pod_scan.h"

const char *pod_scan_copy(const struct pod_scan *p, struct json_text text)
{
    const char *c = arena_json(p->arena, text);
    if (!c && !p->lenient)
        json_scan_fail(p->s, "a text that is not UTF-8 or has a broken escape");
    return c ? c : "";
}

void pod_scan_string(const struct pod_scan *p, const char **ret)
{
    struct json_text text;
    if (json_scan_text(p->s, &text))
        *ret = pod_scan_copy(p, text);
}

/* The quantity as written; a number, which only people write, is taken too. */
static void scan_quantity(const struct pod_scan *p, struct json_text *ret)
{
    struct json_text text = {0};
    enum json_kind kind = json_scan_peek(p->s);
    if (kind == JSON_IS_STRING && json_scan_text(p->s, &text)) {
        if (text.escaped) {
            const char *plain = pod_scan_copy(p, text);
            text = (struct json_text){.at = plain, .len = strlen(plain)};
        }
        *ret = text;
    } else if (kind == JSON_IS_NUMBER) {
        if (json_scan_raw(p->s, &text.at, &text.len))
            *ret = text;
    } else if (kind == JSON_IS_NULL || p->lenient) {
        json_scan_skip(p->s);
    } else {
        json_scan_fail(p->s, "a quantity that is neither a text nor a number");
    }
}

static struct pod_resource *resource_named(const struct pod_scan *p, struct pod_resource *rows, uint8_t *n,
                                           const char *name)
{
    for (unsigned i = 0; i < *n; i++)
        if (rows[i].name == name)
            return &rows[i];
    if (*n == POD_RESOURCES_MAX) {
        if (!p->lenient)
            json_scan_fail(p->s, "more accelerator resources in a container than there can be");
        return NULL;
    }
    rows[*n] = (struct pod_resource){.name = name};
    return &rows[(*n)++];
}

static void scan_amounts(const struct pod_scan *p, struct pod_resource *rows, uint8_t *n, bool limits)
{
    struct json_text key;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key)) {
        const char *name = pod_reader_resource(p->reader, key);
        struct pod_resource *r = name ? resource_named(p, rows, n, name) : NULL;
        if (r)
            scan_quantity(p, limits ? &r->limit : &r->request);
        else
            json_scan_skip(p->s);
    }
}

static void scan_resources(const struct pod_scan *p, struct pod_container *c)
{
    struct pod_resource rows[POD_RESOURCES_MAX];
    uint8_t n = 0;
    struct json_text key;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key)) {
        if (json_text_is(key, "limits"))
            scan_amounts(p, rows, &n, true);
        else if (json_text_is(key, "requests"))
            scan_amounts(p, rows, &n, false);
        else
            json_scan_skip(p->s);
    }
    c->n_resources = n;
    c->resources = NULL;
    if (n) {
        struct pod_resource *kept = arena_take(p->arena, n * sizeof *kept);
        memcpy(kept, rows, n * sizeof *kept);
        c->resources = kept;
    }
}

static void scan_variable(const struct pod_scan *p, struct pod_container *c)
{
    struct json_text key, name = {0}, value = {0};
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key)) {
        if (json_text_is(key, "name"))
            json_scan_text(p->s, &name);
        else if (json_text_is(key, "value"))
            json_scan_text(p->s, &value);
        else
            json_scan_skip(p->s);
    }
    if (json_text_is(name, "NVIDIA_VISIBLE_DEVICES")) /* of several the last counts */
        c->visible_all = json_text_is(value, "all");
}

static void scan_security(const struct pod_scan *p, struct pod_container *c)
{
    struct json_text key;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key))
        if (json_text_is(key, "privileged"))
            json_scan_bool(p->s, &c->privileged);
        else
            json_scan_skip(p->s);
}

void pod_scan_container(const struct pod_scan *p, struct pod_container *c)
{
    struct json_text key, restart;
    c->name = "";
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key)) {
        if (json_text_is(key, "name")) {
            pod_scan_string(p, &c->name);
        } else if (json_text_is(key, "resources")) {
            scan_resources(p, c);
        } else if (json_text_is(key, "env") && json_scan_peek(p->s) == JSON_IS_ARRAY) {
            json_scan_array(p->s);
            while (json_scan_element(p->s))
                scan_variable(p, c);
        } else if (json_text_is(key, "securityContext")) {
            scan_security(p, c);
        } else if (json_text_is(key, "restartPolicy")) {
            if (json_scan_text(p->s, &restart))
                c->sidecar = c->init && json_text_is(restart, "Always");
        } else {
            json_scan_skip(p->s);
        }
    }
}
