/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <gio/gio.h>
#include <stdarg.h>
#include <string.h>

#define GZIP_FROM 1024u

const char *const verb_words[VERB_KINDS] = {
#define X(name) [VERB_##name] = #name,
    VERBS(X)
#undef X
};

void api_render(void *user, enum resource kind, uint32_t number, uint64_t rv, GString *out)
{
    struct api *api = user;
    if (kind == R_NODES)
        cluster_node_json(&api->cluster, number, rv, out);
    else
        cluster_pod_json(&api->cluster, number, rv, out);
}

static bool is_control(const struct request *r)
{
    return g_str_has_prefix(r->path, "/control/");
}

uint64_t api_delay(void *user, const struct request *r)
{
    struct api *api = user;
    return is_control(r) ? 0
                         : api->latency_ns + (g_str_has_suffix(r->path, "/binding") ? api->binding_ns : 0);
}

/* ---- replies */

/* NULL when it cannot be packed. */
static GString *packed(const GString *body)
{
    g_autoptr(GConverter) gzip = G_CONVERTER(g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP, 4));
    gsize size = body->len + body->len / 1000 + 256, read, written;
    g_autofree char *room = g_malloc(size);
    GConverterResult result = g_converter_convert(gzip, body->str, body->len, room, size,
                                                  G_CONVERTER_INPUT_AT_END, &read, &written, NULL);
    return result == G_CONVERTER_FINISHED ? g_string_new_len(room, (gssize)written) : NULL;
}

void api_reply(struct api *api, struct request *r, int code, const GString *body)
{
    g_autoptr(GString) small = api->gzip && r->takes_gzip && body->len >= GZIP_FROM ? packed(body) : NULL;
    if (api->counting) {
        api->counting->bytes_out += small ? small->len : body->len;
        api->counting->failed += code >= 400;
    }
    if (api->fault == FAULT_CUT_AFTER)
        reply_cut(r);
    else
        reply_with(r, code,
                   small         ? "Content-Encoding: gzip\r\n"
                   : code == 429 ? "Retry-After: 1\r\n"
                                 : NULL,
                   "application/json", small ? small->str : body->str, small ? small->len : body->len);
}

void api_append_kind(enum resource kind, const char *suffix, GString *out)
{
    const struct resource_words *w = &resource_words[kind];
    g_string_append_printf(out, "{\"kind\":\"%s%s\",\"apiVersion\":\"%s%s%s\",", w->kind, suffix, w->group,
                           *w->group ? "/" : "", w->version);
}

void api_append_version(const struct api *api, enum resource kind, const struct version *v, GString *out)
{
    api_append_kind(kind, "", out);
    gsize at = out->len;
    version_append(api->store, kind, v, out);
    g_string_erase(out, (gssize)at, 1); /* its own brace */
}

void api_reply_version(struct api *api, struct request *r, int code, enum resource kind,
                       const struct version *v)
{
    g_autoptr(GString) body = g_string_sized_new(4096);
    api_append_version(api, kind, v, body);
    api_reply(api, r, code, body);
}

void api_append_failure(int code, const char *reason, const char *message, GString *out)
{
    g_autofree char *valid = g_utf8_make_valid(message, -1);
    json_t *s = json_pack("{s:s, s:s, s:{}, s:s, s:s, s:s, s:i}", "kind", "Status", "apiVersion", "v1",
                          "metadata", "status", "Failure", "message", valid, "reason", reason, "code", code);
    char *text = json_dumps(s, JSON_COMPACT);
    g_string_append(out, text);
    free(text);
    json_decref(s);
}

void api_fail(struct api *api, struct request *r, int code, const char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    g_autoptr(GString) body = g_string_new(NULL);
    api_append_failure(code, reason, message, body);
    api_reply(api, r, code, body);
}

/* ---- the way of a request */

static bool verb_of(const struct request *r, const struct target *t, enum verb *ret)
{
    static const struct {
        const char *method;
        bool named;
        enum verb verb;
    } rows[] = {{"GET", true, VERB_get},    {"GET", false, VERB_list},   {"POST", false, VERB_create},
                {"PUT", true, VERB_update}, {"PATCH", true, VERB_patch}, {"DELETE", true, VERB_delete},
                {"POST", true, VERB_create}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strcmp(rows[i].method, r->method) == 0 && rows[i].named == (*t->name != 0)) {
            *ret = rows[i].verb;
            if (*ret == VERB_list && target_flag(t, "watch"))
                *ret = VERB_watch;
            return (*t->sub != 0) >= (*ret == VERB_create && *t->name);
        }
    return false;
}

static bool fail_by_fault(struct api *api, struct request *r)
{
    static const struct {
        int code;
        const char *reason, *message;
    } words[] = {
        [FAULT_500] = {500, "InternalError", "Internal error occurred: injected"},
        [FAULT_503] = {503, "ServiceUnavailable", "the server is currently unable to handle the request"},
        [FAULT_429] = {429, "TooManyRequests", "Too many requests, please try again later."}};
    if (api->fault == FAULT_NONE || api->fault == FAULT_CUT_AFTER)
        return false;
    if (api->fault == FAULT_CUT)
        reply_cut(r);
    else
        api_fail(api, r, words[api->fault].code, words[api->fault].reason, "%s", words[api->fault].message);
    return true;
}

static void dispatch(struct api *api, struct request *r, const struct target *t, enum verb verb)
{
    static void (*const verbs[VERB_KINDS])(struct api *, struct request *, const struct target *) = {
        [VERB_get] = read_get,        [VERB_list] = read_list,      [VERB_watch] = watch_start,
        [VERB_create] = write_create, [VERB_update] = write_update, [VERB_patch] = write_patch,
        [VERB_delete] = write_delete};
    bool status = strcmp(t->sub, "status") == 0;
    if (verb == VERB_create && t->kind == R_PODS && strcmp(t->sub, "binding") == 0)
        write_bind(api, r, t);
    else if (*t->sub && (!status || verb == VERB_create || verb == VERB_delete))
        api_fail(api, r, 404, "NotFound", "the server could not find the requested resource");
    else if (api->fault == FAULT_CUT_AFTER && (verb == VERB_list || verb == VERB_watch))
        reply_cut(r);
    else
        verbs[verb](api, r, t);
}

static bool is_allowed(const struct api *api, const struct request *r)
{
    return !api->token ||
           (g_str_has_prefix(r->authorization, "Bearer ") && strcmp(r->authorization + 7, api->token) == 0);
}

/* Right or not: the words of the API server's authorizer. */
static bool refuse(struct api *api, struct request *r, const struct target *t, enum verb verb)
{
    const struct resource_words *w = &resource_words[t->kind];
    if (!api->refused)
        return false;
    g_autofree char *right = g_strdup_printf("%s %s", verb_words[verb], w->plural);
    if (!g_strv_contains((const char *const *)api->refused, right))
        return false;
    api_fail(api, r, 403, "Forbidden",
             "%s%s%s is forbidden: User \"someone\" cannot %s resource \"%s\" in API group \"%s\" at the "
             "cluster scope",
             w->plural, *w->group ? "." : "", w->group, verb_words[verb], w->plural, w->group);
    return true;
}

/* What has no place in the table of kinds. */
static bool handle_plain(struct api *api, struct request *r)
{
    static const char *const health[] = {"/healthz", "/livez", "/readyz"};
    g_autoptr(GString) body = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(health); i++)
        if (strcmp(r->path, health[i]) == 0) {
            reply(r, 200, "text/plain", "ok", 2);
            return true;
        }
    if (strcmp(r->path, "/version") != 0)
        return false;
    g_string_append_printf(
        body,
        "{\"major\":\"1\",\"minor\":\"34\",\"gitVersion\":\"v1.34.4\",\"gitCommit\":\"%s\","
        "\"platform\":\"linux/amd64\"}",
        api->identity);
    api_reply(api, r, 200, body);
    return true;
}

void api_handle(void *user, struct request *r)
{
    struct api *api = user;
    struct target t;
    enum verb verb;
    api->counting = NULL;
    api->fault = FAULT_NONE;
    if (is_control(r)) {
        control_handle(api, r);
        return;
    }
    if (handle_plain(api, r))
        return;
    enum target_result result = target_parse(r, &t);
    if (!is_allowed(api, r))
        api_fail(api, r, 401, "Unauthorized", "Unauthorized");
    else if (result == TARGET_BAD)
        api_fail(api, r, 400, "BadRequest", "the path or the query cannot be read");
    else if (result == TARGET_UNKNOWN)
        api_fail(api, r, 404, "NotFound", "the server could not find the requested resource");
    else if (!verb_of(r, &t, &verb))
        api_fail(api, r, 405, "MethodNotAllowed",
                 "the server does not allow this method on the requested resource");
    else {
        api->counting = control_counter(api, r, verb, &t);
        api->fault = faults_request(&api->faults, r->method, r->path);
        if (!refuse(api, r, &t, verb) && !fail_by_fault(api, r))
            dispatch(api, r, &t, verb);
    }
    target_clear(&t);
}
