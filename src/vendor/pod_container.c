/* SPDX-License-Identifier: Apache-2.0
 *
 * One container of a pod: its name, what it asks for of our resources, what
 * concerns isolation, and where admission may write.
 */
#include "base/arena.h"
#include "base/json_members.h"
#include "vendor/pod_scan.h"

struct container_pass {
    const struct pod_scan *scan;
    struct pod_container *container;
    struct pod_resource rows[POD_RESOURCES_MAX];
    unsigned n;
    struct json_text name, value; /* of the variable at hand */
    bool elsewhere;               /* its value comes from */
};

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

/* ---- resources ---- */

/* The quantity as written; a number, which only people write, is taken too. */
static void read_quantity(const struct pod_scan *p, struct json_text *ret)
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

static struct pod_resource *resource_named(struct container_pass *x, const char *name)
{
    for (unsigned i = 0; i < x->n; i++)
        if (x->rows[i].name == name)
            return &x->rows[i];
    if (x->n == POD_RESOURCES_MAX) {
        if (!x->scan->lenient)
            json_scan_fail(x->scan->s, "more accelerator resources in a container than there can be");
        return NULL;
    }
    x->rows[x->n] = (struct pod_resource){.name = name};
    return &x->rows[x->n++];
}

static void read_amount(struct container_pass *x, const struct pod_name *name, bool limits)
{
    struct pod_resource *r = resource_named(x, name->text);
    if (!r) {
        json_scan_skip(x->scan->s);
        return;
    }
    bool *has = limits ? &r->has_limit : &r->has_request;
    if (*has && x->scan->fresh)
        json_scan_fail(x->scan->s, "a container's amounts have a resource of ours twice; write it once");
    *has = true;
    x->container->families |= name->families;
    read_quantity(x->scan, limits ? &r->limit : &r->request);
}

static void read_amounts(struct json_scan *s, void *data, size_t limits)
{
    struct container_pass *x = data;
    struct json_text key;
    *(limits ? &x->container->limits_kind : &x->container->requests_kind) = (uint8_t)json_scan_peek(s);
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key)) {
        const struct pod_name *name = pod_reader_resource(x->scan->reader, key);
        if (name)
            read_amount(x, name, limits);
        else
            json_scan_skip(s);
    }
}

static void read_resources(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {
        JSON_MEMBER("limits", read_amounts, true),
        JSON_MEMBER("requests", read_amounts, false),
    };
    struct container_pass *x = data;
    struct pod_container *c = x->container;
    (void)at;
    x->n = 0;
    c->resources_kind = (uint8_t)json_scan_peek(s);
    c->families = 0;
    json_members_read(s, members, G_N_ELEMENTS(members), x);
    c->n_resources = (uint8_t)x->n;
    c->resources = NULL;
    if (x->n) {
        c->resources = arena_take(x->scan->arena, x->n * sizeof *c->resources);
        memcpy(c->resources, x->rows, x->n * sizeof *c->resources);
    }
}

/* ---- isolation ---- */

static void read_borrowed(struct json_scan *s, void *data, size_t at)
{
    json_scan_text(s, (struct json_text *)(void *)((char *)data + at));
}

static void read_value_from(struct json_scan *s, void *data, size_t at)
{
    struct container_pass *x = data;
    (void)at;
    x->elsewhere = json_scan_peek(s) != JSON_IS_NULL;
    json_scan_skip(s);
}

static enum pod_visible visible_of(const struct container_pass *x)
{
    static const char *const nothing[] = {"", "none", "void"};
    if (x->elsewhere)
        return POD_VISIBLE_ELSEWHERE;
    if (!x->value.at)
        return POD_VISIBLE_NOTHING;
    for (size_t i = 0; i < G_N_ELEMENTS(nothing); i++)
        if (json_text_reads(x->value, nothing[i]))
            return POD_VISIBLE_NOTHING;
    return json_text_reads(x->value, "all") ? POD_VISIBLE_ALL : POD_VISIBLE_NAMED;
}

static void read_variable(struct container_pass *x)
{
    static const struct json_member members[] = {
        JSON_MEMBER("name", read_borrowed, offsetof(struct container_pass, name)),
        JSON_MEMBER("value", read_borrowed, offsetof(struct container_pass, value)),
        JSON_MEMBER("valueFrom", read_value_from, 0),
    };
    struct pod_container *c = x->container;
    x->name = x->value = (struct json_text){0};
    x->elsewhere = false;
    json_members_read(x->scan->s, members, G_N_ELEMENTS(members), x);
    if (!json_text_reads(x->name, "NVIDIA_VISIBLE_DEVICES"))
        return;
    c->visible = (uint8_t)visible_of(x); /* of several the last counts */
    if (c->visible == POD_VISIBLE_NAMED)
        c->visible_named = pod_scan_copy(x->scan, x->value);
}

static void read_env(struct json_scan *s, void *data, size_t at)
{
    struct container_pass *x = data;
    struct pod_container *c = x->container;
    (void)at;
    c->env_kind = (uint8_t)json_scan_peek(s);
    c->env.at = s->at;
    if (json_scan_array(s))
        while (json_scan_element(s))
            read_variable(x);
    c->env.len = (size_t)(s->at - c->env.at);
}

static void read_privileged(struct json_scan *s, void *data, size_t at)
{
    struct container_pass *x = data;
    (void)at;
    json_scan_bool(s, &x->container->privileged);
}

static void read_security(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {JSON_MEMBER("privileged", read_privileged, 0)};
    (void)at;
    json_members_read(s, members, G_N_ELEMENTS(members), data);
}

/* ---- the whole ---- */

static void read_name(struct json_scan *s, void *data, size_t at)
{
    struct container_pass *x = data;
    (void)s, (void)at;
    pod_scan_string(x->scan, &x->container->name);
}

static void read_restart_policy(struct json_scan *s, void *data, size_t at)
{
    struct container_pass *x = data;
    struct json_text policy;
    (void)at;
    if (json_scan_text(s, &policy))
        x->container->sidecar = x->container->init && json_text_reads(policy, "Always");
}

void pod_scan_container(const struct pod_scan *p, struct pod_container *c)
{
    static const struct json_member members[] = {
        JSON_MEMBER("name", read_name, 0),
        JSON_MEMBER("resources", read_resources, 0),
        JSON_MEMBER("env", read_env, 0),
        JSON_MEMBER("securityContext", read_security, 0),
        JSON_MEMBER("restartPolicy", read_restart_policy, 0),
    };
    struct container_pass x;
    x.scan = p;
    x.container = c;
    c->name = "";
    c->kind = (uint8_t)json_scan_peek(p->s);
    json_members_read(p->s, members, G_N_ELEMENTS(members), &x);
}
