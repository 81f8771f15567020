/* SPDX-License-Identifier: Apache-2.0
 *
 * /control: what the test or the measurement sees of the server and tells it.
 *
 *   GET  /control/stats        calls, bytes and failures per caller, verb and kind
 *   POST /control/reset        counters to zero
 *   POST /control/set?NAME=VALUE
 *                              latency_ms, binding_ms (of bindings, beyond it), seed,
 *                              errors, duplicate, reorder, drop, cut (shares 0..1), bookmark_ms,
 *                              heartbeats, handshakes, flaps (per second), confirm (0, 1),
 *                              token ("": anybody), refuse ("VERB RESOURCE,..."; "": nothing)
 *   POST /control/compact      older revisions are gone: 410 for whoever needs them
 *   POST /control/break?how=H  ends every watch: end (in good order), cut, expired (410)
 *   POST /control/restart?down_ms=N
 *                              another server: new identity, no history, connections cut, nothing
 *                              listens for N ms; rv=R lets revisions go on at R (a restored backup)
 *
 * Each answers JSON. A caller is the first word of its User-Agent.
 */
#include <string.h>

#include "api.h"

struct counter *control_counter(struct api *api, const struct request *r, enum verb verb,
                                const struct target *t)
{
    g_autofree char *agent = g_strndup(*r->agent ? r->agent : "-", strcspn(*r->agent ? r->agent : "-", " "));
    g_autofree char *key = g_strdup_printf("%s %s %s%s%s", agent, verb_words[verb],
                                           resource_words[t->kind].plural, *t->sub ? "/" : "", t->sub);
    struct counter *c = g_hash_table_lookup(api->counters, key);
    if (!c) {
        c = g_new0(struct counter, 1);
        g_hash_table_insert(api->counters, g_steal_pointer(&key), c);
    }
    c->calls++;
    c->bytes_in += r->head_size + r->body_size;
    return c;
}

static void reply_json(struct request *r, int code, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    reply(r, code, "application/json", text, strlen(text));
    free(text);
    json_decref(object);
}

static json_t *requests_json(struct api *api)
{
    json_t *rows = json_array();
    g_autoptr(GList) keys =
        g_list_sort(g_hash_table_get_keys(api->counters), (GCompareFunc)(void (*)(void))strcmp);
    for (GList *k = keys; k; k = k->next) {
        const struct counter *c = g_hash_table_lookup(api->counters, k->data);
        g_auto(GStrv) words = g_strsplit(k->data, " ", 3);
        if (c->calls)
            json_array_append_new(rows,
                                  json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "agent", words[0], "verb",
                                            words[1], "resource", words[2], "calls", (json_int_t)c->calls,
                                            "bytes_in", (json_int_t)c->bytes_in, "bytes_out",
                                            (json_int_t)c->bytes_out, "failed", (json_int_t)c->failed));
    }
    return rows;
}

static void stats(struct api *api, struct request *r)
{
    json_t *objects = json_object();
    for (unsigned k = 0; k < RESOURCE_KINDS; k++)
        if (store_count(api->store, (enum resource)k))
            json_object_set_new(objects, resource_words[k].plural,
                                json_integer((json_int_t)store_count(api->store, (enum resource)k)));
    reply_json(r, 200,
               json_pack("{s:s, s:I, s:I, s:o, s:i, s:I, s:o}", "identity", api->identity, "seed",
                         (json_int_t)api->faults.seed, "revision", (json_int_t)store_revision(api->store),
                         "objects", objects, "watches", (int)g_hash_table_size(api->watches), "events_sent",
                         (json_int_t)api->events_sent, "requests", requests_json(api)));
}

static void reset(struct api *api)
{
    GHashTableIter i;
    void *c;
    for (g_hash_table_iter_init(&i, api->counters); g_hash_table_iter_next(&i, NULL, &c);)
        *(struct counter *)c = (struct counter){0};
    api->events_sent = 0;
}

/* One kubelet says that its node is well. */
static void heartbeat(void *user)
{
    struct api *api = user;
    char name[40];
    api->heartbeat_timer = NULL;
    if (api->heartbeats <= 0 || !api->cluster.nodes)
        return;
    cluster_node_name(&api->cluster, api->heartbeat_node++ % api->cluster.nodes, name);
    const struct version *v = store_get(api->store, R_NODES, name);
    if (v) {
        json_t *node = version_parse(api->store, R_NODES, v), *condition;
        size_t i;
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *text = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S.%fZ");
        json_array_foreach(json_object_get(json_object_get(node, "status"), "conditions"), i, condition)
        {
            json_object_set_new(condition, "lastHeartbeatTime", json_string(text));
        }
        store_put(api->store, R_NODES, name, node);
        json_decref(node);
    }
    api->heartbeat_timer = serve_after(api->server, (uint64_t)(1e9 / api->heartbeats), heartbeat, api);
}

/* NULL: no such node. Caller hands it to put_node(). */
static json_t *node_at(struct api *api, uint32_t number, char name[40], json_t **ret_annotations)
{
    cluster_node_name(&api->cluster, number % api->cluster.nodes, name);
    const struct version *v = store_get(api->store, R_NODES, name);
    json_t *node = v ? version_parse(api->store, R_NODES, v) : NULL;
    *ret_annotations = json_object_get(json_object_get(node, "metadata"), "annotations");
    return node;
}

static void put_node(struct api *api, const char *name, json_t *node)
{
    store_put(api->store, R_NODES, name, node);
    json_decref(node);
}

/* One agent says that it lives. */
static void handshake(void *user)
{
    struct api *api = user;
    char name[40];
    json_t *annotations, *node;
    api->handshake_timer = NULL;
    if (api->handshakes <= 0 || !api->cluster.nodes)
        return;
    node = node_at(api, api->handshake_node++, name, &annotations);
    if (node) {
        g_autoptr(GDateTime) now = g_date_time_new_now_local();
        g_autofree char *text = g_date_time_format(now, "Reported_%Y-%m-%d %H:%M:%S.%f");
        json_object_set_new(annotations, "hami.io/node-handshake", json_string(text));
        put_node(api, name, node);
    }
    api->handshake_timer = serve_after(api->server, (uint64_t)(1e9 / api->handshakes), handshake, api);
}

#define REGISTER_KEY "hami.io/node-nvidia-register"
#define REGISTER_MAX (250 << 10) /* all annotations of an object have 256 KiB */

/* The first node: its cards behind as many blanks as an annotation holds, or none. */
static void flap(void *user)
{
    struct api *api = user;
    char name[40];
    json_t *annotations, *node;
    api->flap_timer = NULL;
    if (api->flaps <= 0 || !api->cluster.nodes)
        return;
    node = node_at(api, 0, name, &annotations);
    if (node) {
        if (!api->flap_register)
            api->flap_register = g_strdup(json_string_value(json_object_get(annotations, REGISTER_KEY)));
        g_autofree char *large = g_strdup_printf("[%*s%s", REGISTER_MAX - (int)strlen(api->flap_register), "",
                                                 api->flap_register + 1);
        json_object_set_new(annotations, REGISTER_KEY, json_string(api->flap++ % 2 ? "[]" : large));
        put_node(api, name, node);
    }
    api->flap_timer = serve_after(api->server, (uint64_t)(1e9 / api->flaps), flap, api);
}

static bool set_one(struct api *api, const char *name, const char *text)
{
    struct faults *f = &api->faults;
    const struct {
        const char *name;
        double *value;
    } shares[] = {{"errors", &f->errors},
                  {"duplicate", &f->duplicate},
                  {"reorder", &f->reorder},
                  {"drop", &f->drop},
                  {"cut", &f->cut}};
    char *end;
    double value = g_ascii_strtod(text, &end);
    bool number = *text && !*end && value >= 0 && value <= 1e15;
    for (size_t i = 0; i < G_N_ELEMENTS(shares); i++)
        if (strcmp(shares[i].name, name) == 0 && number && value <= 1) {
            *shares[i].value = value;
            return true;
        }
    if (strcmp(name, "latency_ms") == 0 && number && value <= 60000) {
        api->latency_ns = (uint64_t)(value * 1e6);
    } else if (strcmp(name, "binding_ms") == 0 && number && value <= 60000) {
        api->binding_ns = (uint64_t)(value * 1e6);
    } else if (strcmp(name, "bookmark_ms") == 0 && number && value >= 1) {
        api->bookmark_ns = (uint64_t)(value * 1e6);
    } else if (strcmp(name, "heartbeats") == 0 && number && value <= 1e6) {
        api->heartbeats = value;
        if (!api->heartbeat_timer)
            heartbeat(api);
    } else if (strcmp(name, "handshakes") == 0 && number && value <= 1e6) {
        api->handshakes = value;
        if (!api->handshake_timer)
            handshake(api);
    } else if (strcmp(name, "flaps") == 0 && number && value <= 1000) {
        api->flaps = value;
        if (!api->flap_timer)
            flap(api);
    } else if (strcmp(name, "confirm") == 0 && number) {
        api->confirm = value > 0;
    } else if (strcmp(name, "seed") == 0 && number) {
        struct faults fresh;
        faults_init(&fresh, (uint64_t)value);
        fresh.errors = f->errors, fresh.duplicate = f->duplicate, fresh.reorder = f->reorder,
        fresh.drop = f->drop, fresh.cut = f->cut;
        faults_clear(f);
        *f = fresh;
    } else if (strcmp(name, "token") == 0) {
        g_free(api->token);
        api->token = *text ? g_strdup(text) : NULL;
    } else if (strcmp(name, "refuse") == 0) {
        g_strfreev(api->refused);
        api->refused = *text ? g_strsplit(text, ",", -1) : NULL;
    } else {
        return false;
    }
    return true;
}

static void set(struct api *api, struct request *r)
{
    GHashTableIter i;
    g_autoptr(GHashTable) query = g_uri_parse_params(r->query, -1, "&", G_URI_PARAMS_WWW_FORM, NULL);
    void *name, *value;
    g_autoptr(GString) unknown = g_string_new(NULL);
    if (query)
        for (g_hash_table_iter_init(&i, query); g_hash_table_iter_next(&i, &name, &value);)
            if (!set_one(api, name, value))
                g_string_append_printf(unknown, "%s%s=%s", unknown->len ? ", " : "", (char *)name,
                                       (char *)value);
    if (unknown->len || !query)
        reply_json(r, 400,
                   json_pack("{s:s}", "error", unknown->len ? unknown->str : "the query cannot be read"));
    else
        reply_json(r, 200, json_pack("{s:I}", "seed", (json_int_t)api->faults.seed));
}

static void come_back(void *user)
{
    struct api *api = user;
    api->down_timer = NULL;
    serve_listen(api->server, true);
}

static void restart(struct api *api, struct request *r, GHashTable *query)
{
    const char *down = g_hash_table_lookup(query, "down_ms"), *rv = g_hash_table_lookup(query, "rv");
    guint64 down_ms = 0, revision = 0;
    if (rv && g_ascii_string_to_unsigned(rv, 10, 1, G_MAXINT64, &revision, NULL))
        store_rebase(api->store, revision);
    else
        store_compact(api->store);
    g_snprintf(api->identity, sizeof api->identity, "server-%u", ++api->restarts);
    serve_cut_all(api->server, r);
    if (down && g_ascii_string_to_unsigned(down, 10, 0, 3600000, &down_ms, NULL) && down_ms) {
        serve_listen(api->server, false);
        serve_cancel(api->server, api->down_timer);
        api->down_timer = serve_after(api->server, down_ms * 1000000u, come_back, api);
    }
    reply_json(r, 200, json_pack("{s:s}", "identity", api->identity));
}

void control_handle(struct api *api, struct request *r)
{
    const char *what = r->path + strlen("/control/");
    bool post = strcmp(r->method, "POST") == 0;
    g_autoptr(GHashTable) query = g_uri_parse_params(r->query, -1, "&", G_URI_PARAMS_WWW_FORM, NULL);
    if (!post && strcmp(what, "stats") == 0) {
        stats(api, r);
    } else if (post && strcmp(what, "set") == 0) {
        set(api, r);
    } else if (post && query && strcmp(what, "restart") == 0) {
        restart(api, r, query);
    } else if (post && query && strcmp(what, "break") == 0) {
        const char *how = g_hash_table_lookup(query, "how");
        watch_end_all(api, g_strcmp0(how, "end") == 0       ? WATCH_END
                           : g_strcmp0(how, "expired") == 0 ? WATCH_EXPIRED
                                                            : WATCH_CUT);
        reply_json(r, 200, json_pack("{s:i}", "watches", (int)g_hash_table_size(api->watches)));
    } else if (post && (strcmp(what, "compact") == 0 || strcmp(what, "reset") == 0)) {
        if (*what == 'c')
            store_compact(api->store);
        else
            reset(api);
        reply_json(r, 200, json_pack("{s:I}", "revision", (json_int_t)store_revision(api->store)));
    } else {
        reply_json(r, 404, json_pack("{s:s}", "error", "no such control"));
    }
}
