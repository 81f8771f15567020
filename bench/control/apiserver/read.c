/* SPDX-License-Identifier: Apache-2.0
 *
 * GET and LIST. A list is read at one revision, whatever is written meanwhile:
 * its later pages and the rest of a long stream come from that revision too.
 */
#include <string.h>

#include "api.h"
#include "selector.h"

#define STREAM_STEP 200u /* objects per pull */

/* A list in work: a page, or a whole list that is streamed. */
struct listing {
    struct api *api;
    enum resource kind;
    struct selector selector;
    char *prefix, *after;
    uint64_t rv;
    struct counter *counter;
    bool begun;
    GString *out;
    size_t items;
};

void read_get(struct api *api, struct request *r, const struct target *t)
{
    g_autofree char *key = target_key(t);
    const struct version *v = store_get(api->store, t->kind, key);
    if (v)
        api_reply_version(api, r, 200, t->kind, v);
    else
        api_fail(api, r, 404, "NotFound", "%s \"%s\" not found", resource_words[t->kind].plural, t->name);
}

static bool matches(const struct api *api, enum resource kind, const struct selector *s,
                    const struct version *v)
{
    if (!s->terms)
        return true;
    json_t *object = version_parse(api->store, kind, v);
    bool result = selector_matches(s, object);
    json_decref(object);
    return result;
}

static bool visit(void *user, const char *key, const struct version *v)
{
    struct listing *l = user;
    g_free(l->after);
    l->after = g_strdup(key);
    if (!matches(l->api, l->kind, &l->selector, v))
        return false;
    if (l->items++)
        g_string_append_c(l->out, ',');
    version_append(l->api->store, l->kind, v, l->out);
    return true;
}

static void append_head(const struct listing *l, GString *out, const char *more)
{
    api_append_kind(l->kind, "List", out);
    g_string_append_printf(out, "\"metadata\":{\"resourceVersion\":\"%" G_GUINT64_FORMAT "\"%s},\"items\":[",
                           l->rv, more);
}

static void listing_free(void *data)
{
    struct listing *l = data;
    selector_clear(&l->selector);
    g_free(l->prefix);
    g_free(l->after);
    g_free(l);
}

/* The token names the revision and the last key that was given. */
static char *token_make(const struct listing *l)
{
    g_autofree char *plain = g_strdup_printf("%" G_GUINT64_FORMAT "\n%s", l->rv, l->after);
    return g_base64_encode((const guchar *)plain, strlen(plain));
}

static bool token_read(struct listing *l, const char *token)
{
    gsize size;
    g_autofree guchar *raw = g_base64_decode(token, &size);
    g_autofree char *plain = g_strndup((const char *)raw, size);
    char *cut = strchr(plain, '\n');
    guint64 rv;
    if (!cut)
        return false;
    *cut = 0;
    if (!g_ascii_string_to_unsigned(plain, 10, 0, G_MAXUINT64, &rv, NULL))
        return false;
    l->rv = rv;
    l->after = g_strdup(cut + 1);
    return true;
}

static enum pull stream_list(void *user, GString *out)
{
    struct listing *l = user;
    bool more;
    if (!l->begun)
        append_head(l, out, "");
    l->begun = true;
    l->out = out;
    if (!store_snapshot(l->api->store, l->kind, l->prefix, l->after, l->rv, STREAM_STEP, visit, l, &more))
        return PULL_BREAK;
    if (l->counter)
        l->counter->bytes_out += out->len;
    if (more)
        return PULL_MORE;
    g_string_append(out, "]}\n");
    return PULL_END;
}

static void reply_page(struct api *api, struct request *r, struct listing *l, size_t limit)
{
    g_autoptr(GString) items = g_string_sized_new(64 << 10), body = NULL;
    g_autofree char *tail = NULL;
    bool more;
    l->out = items;
    if (!store_snapshot(api->store, l->kind, l->prefix, l->after, l->rv, limit, visit, l, &more)) {
        api_fail(api, r, 410, "Expired",
                 "The provided continue parameter is too old to display a consistent list result.");
        return;
    }
    if (more) {
        g_autofree char *token = token_make(l);
        tail = g_strdup_printf(",\"continue\":\"%s\"", token);
    }
    body = g_string_sized_new(items->len + 256);
    append_head(l, body, tail ? tail : "");
    g_string_append_len(body, items->str, (gssize)items->len);
    g_string_append(body, "]}\n");
    api_reply(api, r, 200, body);
}

bool read_revision(struct api *api, struct request *r, const struct target *t, uint64_t *ret_rv)
{
    const char *text = target_query(t, "resourceVersion");
    guint64 rv = 0;
    if (*text && !g_ascii_string_to_unsigned(text, 10, 0, G_MAXUINT64, &rv, NULL)) {
        api_fail(api, r, 400, "BadRequest", "Invalid value for resourceVersion: \"%s\"", text);
        return false;
    }
    if (rv > store_revision(api->store)) {
        api_fail(api, r, 504, "Timeout",
                 "Too large resource version: %" G_GUINT64_FORMAT ", current: %" G_GUINT64_FORMAT, rv,
                 store_revision(api->store));
        return false;
    }
    *ret_rv = rv;
    return true;
}

/* Which revision a list without a token asks for; 0 for "now". Replies and returns false when that cannot be.
 */
static bool wanted_revision(struct api *api, struct request *r, const struct target *t, uint64_t *ret_rv)
{
    uint64_t rv;
    if (!read_revision(api, r, t, &rv))
        return false;
    *ret_rv = strcmp(target_query(t, "resourceVersionMatch"), "Exact") == 0 ? rv : 0;
    return true;
}

void read_list(struct api *api, struct request *r, const struct target *t)
{
    struct listing *l = g_new0(struct listing, 1);
    const char *token = target_query(t, "continue");
    guint64 limit = 0;
    uint64_t rv = 0;
    l->api = api;
    l->kind = t->kind;
    l->counter = api->counting;
    l->prefix = *t->namespace ? g_strdup_printf("%s/", t->namespace) : g_strdup("");
    g_ascii_string_to_unsigned(target_query(t, "limit"), 10, 0, G_MAXUINT32, &limit, NULL);
    if (!selector_parse(&l->selector, target_query(t, "labelSelector"), target_query(t, "fieldSelector")))
        api_fail(api, r, 400, "BadRequest", "unable to parse the label or field selector");
    else if (*token && !token_read(l, token))
        api_fail(api, r, 400, "BadRequest", "continue key is not valid");
    else if (*token || wanted_revision(api, r, t, &rv)) {
        if (!*token)
            l->rv = rv ? rv : store_revision(api->store);
        if (limit || *token) {
            reply_page(api, r, l, limit);
        } else if (rv && rv < store_compacted(api->store, t->kind)) {
            api_fail(api, r, 410, "Expired", "The resourceVersion for the provided list is too old.");
        } else {
            reply_stream(r, stream_list, l, listing_free);
            return;
        }
    }
    listing_free(l);
}
