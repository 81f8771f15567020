/* SPDX-License-Identifier: Apache-2.0
 *
 * Registration: follows the nodes and keeps the ledger's cards in step.
 *
 * Invariants:
 *   1. What did not change is not parsed again: a digest of the texts that
 *      decide a node's cards is compared first (a kubelet's heartbeat costs one scan).
 *   2. A malformed register keeps the cards that were known, and is said once.
 *   3. Nothing is written, except the mark of a dead agent (Deleted_...) of which cards were known and,
 *      with --compat-handshake, the reference's answer to Reported_....
 */
#include <string.h>

#include "kube/patch.h"
#include "model/annotation.h"
#include "model/node_codec.h"
#include "scheduler/node_cards.h"
#include "scheduler/nodelock.h"

#define KEY_CORDON annotation_device_cordon
#define KEY_AGENT annotation_node_agent

/* What few nodes have, or only with --compat-node-lock. */
struct node_rest {
    char *lock[NODE_LOCKS], *version;
    char *cordon;       /* hami.io's annotation, NULL = none */
    int64_t recheck_ms; /* when a handshake runs out; 0 = never */
    char *raw;          /* the object, kept only while recheck_ms is set */
    size_t raw_len;
};

/* Kept by its name, of which there are thousands: one piece each. */
struct node_state {
    uint64_t digest;
    struct node_rest *rest; /* NULL = all of it is NULL and 0 */
    uint64_t generation;    /* of the list that saw it last */
    uint64_t known;  /* families whose cards the ledger has, or had and whose death is not marked yet */
    bool own_agent;  /* hami.io/node-agent: our agent registers this node */
    bool registered; /* the ledger has it */
    bool uncounted;  /* its pods are being listed: until then it takes none */
    char name[];     /* its key in the table */
};

static struct node_object object; /* scratch: 64 KiB, one at a time */
static uint64_t generation;

static struct node_state *state_of_key(gpointer name)
{
    return (struct node_state *)(void *)((char *)name - offsetof(struct node_state, name));
}

static struct node_state *find_state(const struct scheduler *s, const char *name)
{
    gpointer key;
    return g_hash_table_lookup_extended(s->nodes, name, &key, NULL) ? state_of_key(key) : NULL;
}

static struct node_state *new_state(struct scheduler *s, const char *name)
{
    size_t size = strlen(name) + 1;
    struct node_state *n = g_malloc0(offsetof(struct node_state, name) + size);
    memcpy(n->name, name, size);
    g_hash_table_add(s->nodes, n->name);
    return n;
}

static const struct node_rest *rest_of(const struct node_state *n)
{
    static const struct node_rest none;
    return n->rest ? n->rest : &none;
}

static struct node_rest *make_rest(struct node_state *n)
{
    if (!n->rest)
        n->rest = g_new0(struct node_rest, 1);
    return n->rest;
}

/* Frees it, if nothing is left in it or `all`. */
static void drop_rest(struct node_state *n, bool all)
{
    struct node_rest *rest = n->rest;
    if (!rest || (!all && (rest->version || rest->cordon || rest->recheck_ms)))
        return;
    for (int kind = 0; kind < NODE_LOCKS; kind++)
        g_free(rest->lock[kind]);
    g_free(rest->version);
    g_free(rest->cordon);
    g_free(rest->raw);
    g_clear_pointer(&n->rest, g_free);
}

static void node_state_free(gpointer key)
{
    struct node_state *n = state_of_key(key);
    drop_rest(n, true);
    g_free(n);
}

/* ---- digest ------------------------------------------------------------ */

static uint64_t mix(uint64_t h, const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)at[i]) * 0x100000001b3u;
    return (h ^ len) * 0x100000001b3u;
}

static uint64_t mix_pair(uint64_t h, const struct node_pairs *pairs, const char *key)
{
    const struct json_text *value = key && *key ? node_pair(pairs, key) : NULL;
    return value ? mix(h, value->at, value->len) : mix(h, "-", 1);
}

static uint64_t digest_of(const struct scheduler *s, const struct node_object *o, uint64_t alive)
{
    uint64_t h = mix(0xcbf29ce484222325u, (const char *)&alive, sizeof alive);
    for (uint32_t i = 0; i < s->families->n; i++) {
        const struct family *f = s->families->rows[i];
        h = mix_pair(h, &o->annotations, f->register_key);
        h = mix_pair(h, &o->annotations, f->score_key);
        h = mix_pair(h, &o->annotations, f->node_feature_key);
        if (f->inventory == FAMILY_INV_CAPACITY)
            for (int r = 0; r < FAMILY_RESOURCES; r++)
                h = mix_pair(h, &o->capacity, f->resource[r]);
    }
    h = mix_pair(h, &o->annotations, KEY_CORDON);
    h = mix_pair(h, &o->annotations, NODE_KEY_LOSSES);
    h = mix_pair(h, &o->annotations, NODE_KEY_SCORES);
    return mix_pair(h, &o->labels, NODE_LABEL_INSTANCE);
}

/* ---- cards ------------------------------------------------------------- */

static void cordon(struct scheduler *s, const struct node_state *state, ClusterNode n)
{
    const struct node_spec *spec = cluster_node_spec(s->cluster, n);
    g_autoptr(GString) all = g_string_new("");
    for (uint32_t i = 0; spec && state->uncounted && i < spec->n_cards; i++)
        g_string_append_printf(all, "%s,", spec->cards[i].uuid);
    cluster_node_cordon(s->cluster, n, state->uncounted ? all->str : rest_of(state)->cordon);
}

static void set_cards(struct scheduler *s, struct node_state *state, const char *name, uint64_t alive)
{
    struct node_cards cards;
    const struct json_text *cordoned = node_pair(&object.annotations, KEY_CORDON);
    bool was = state->registered;
    node_cards_read(s, &object, name, alive, &cards);
    if (cordoned || rest_of(state)->cordon) {
        g_free(make_rest(state)->cordon);
        state->rest->cordon = cordoned ? json_text_dup(*cordoned) : NULL;
    }
    for (uint32_t i = 0; i < cards.spec.n_cards; i++)
        state->known |= UINT64_C(1) << cards.spec.cards[i].family;
    state->registered = cards.spec.n_cards > 0;
    s->node_generation += state->registered != was;
    if (state->registered) {
        ClusterNode n = cluster_node_set(s->cluster, &cards.spec);
        state->uncounted |= !was && reload_is_owed(s, name);
        cordon(s, state, n);
        s->count.node_parses++;
    } else if (was) {
        cluster_node_remove(s->cluster, name);
        log_line(LOG_INFO, "node-unregistered", "node", name, NULL);
    }
    node_cards_clear(&cards);
    if (state->registered && !was && state->uncounted)
        reload_node(s, name);
}

/* ---- writing ----------------------------------------------------------- */

static void written(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autofree char *what = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    (void)source;
    if (!answer && !g_error_matches(error, KUBE_ERROR, KUBE_ERROR_CONFLICT))
        log_line(LOG_WARN, "node-patch-failed", "node", what, "why", error->message, NULL);
}

static void patch_annotation(struct scheduler *s, const char *node, const char *version, const char *key,
                             const char *value)
{
    struct kube_annotation a = {key, value};
    struct kube_target target = {NULL, node, NULL, version};
    if (scheduler_may_write(s))
        kube_patch_async(s->client, &target, &a, NULL, written, g_strdup(node));
}

/* The words of the handshake that the reference and old agents expect. A family of which no cards were ever
 * known is not marked (scheduler.md section 3.6). */
static void answer_handshakes(struct scheduler *s, struct node_state *state, const struct node_object *o,
                              uint64_t alive)
{
    for (uint32_t i = 0; i < s->families->n; i++) {
        const struct family *f = s->families->rows[i];
        const struct json_text *value =
            f->handshake_key ? node_pair(&o->annotations, f->handshake_key) : NULL;
        if (!value || !f->enabled)
            continue;
        char text[64];
        int64_t asked;
        if (json_text_copy(*value, text, sizeof text) < 0)
            continue;
        enum handshake is = node_codec_parse_handshake(text, &asked);
        g_autoptr(GDateTime) now = g_date_time_new_now_local();
        g_autofree char *version = g_strndup(o->resource_version.at, o->resource_version.len);
        const char *word = NULL;
        bool died = !(alive >> i & 1) && state->known >> i & 1;
        if (is == HANDSHAKE_DELETED && died)
            state->known &= ~(UINT64_C(1) << i);
        if (is == HANDSHAKE_REQUESTING && died && f->cleanup == FAMILY_CLEANUP_HANDSHAKE)
            word = "Deleted_%Y-%m-%d %H:%M:%S";
        else if (is == HANDSHAKE_REPORTED && s->o.compat_handshake)
            word = "Requesting_%Y-%m-%d %H:%M:%S";
        g_autofree char *answer = word ? g_date_time_format(now, word) : NULL;
        if (answer)
            patch_annotation(s, state->name, version, f->handshake_key, answer);
    }
}

/* ---- events ------------------------------------------------------------ */

static bool is_selected(const struct scheduler *s, const struct node_object *o)
{
    if (!s->o.node_selector || !*s->o.node_selector)
        return true;
    g_auto(GStrv) pairs = g_strsplit(s->o.node_selector, ",", -1);
    for (char **p = pairs; *p; p++) {
        char *value = strchr(*p, '=');
        if (!value)
            continue;
        *value++ = '\0';
        const struct json_text *label = node_pair(&o->labels, g_strstrip(*p));
        if (!label || !json_text_equal(*label, g_strstrip(value)))
            return false;
    }
    return true;
}

static void drop(struct scheduler *s, const char *name)
{
    struct node_state *state = find_state(s, name);
    if (state && state->registered) {
        s->node_generation++;
        cluster_node_remove(s->cluster, name);
        log_line(LOG_INFO, "node-removed", "node", name, NULL);
    }
    g_hash_table_remove(s->nodes, name);
}

static gboolean recheck(gpointer data);

static void schedule_recheck(struct scheduler *s)
{
    int64_t earliest = INT64_MAX, now = scheduler_now_ms();
    GHashTableIter i;
    gpointer key;
    g_hash_table_iter_init(&i, s->nodes);
    while (g_hash_table_iter_next(&i, &key, NULL)) {
        const struct node_rest *rest = rest_of(state_of_key(key));
        if (rest->recheck_ms && rest->recheck_ms < earliest)
            earliest = rest->recheck_ms;
    }
    g_clear_handle_id(&s->handshake_timer, g_source_remove);
    if (earliest != INT64_MAX)
        s->handshake_timer =
            g_timeout_add((guint)CLAMP(earliest - now, 1, NODE_HANDSHAKE_MS * 2), recheck, s);
}

static void set_locks(struct node_state *state, const struct node_object *o)
{
    static const char *const keys[NODE_LOCKS] = {
        [NODE_LOCK_DSMLU] = annotation_dsmlu_lock, [NODE_LOCK_MUTEX] = annotation_mutex_lock};
    struct node_rest *rest = make_rest(state);
    for (int kind = 0; kind < NODE_LOCKS; kind++) {
        const struct json_text *lock = node_pair(&o->annotations, keys[kind]);
        g_free(rest->lock[kind]);
        rest->lock[kind] = lock ? json_text_dup(*lock) : NULL;
    }
    g_free(rest->version);
    rest->version = g_strndup(o->resource_version.at, o->resource_version.len);
}

/* json may be what is kept already. */
static void keep_for_recheck(struct node_state *state, int64_t recheck_ms, const char *json, size_t len)
{
    struct node_rest *rest = recheck_ms ? make_rest(state) : state->rest;
    if (!rest)
        return;
    rest->recheck_ms = recheck_ms;
    if (recheck_ms && rest->raw != json) {
        g_free(rest->raw);
        rest->raw = g_memdup2(json, len);
        rest->raw_len = len;
    } else if (!recheck_ms) {
        g_clear_pointer(&rest->raw, g_free);
    }
}

static void apply(struct scheduler *s, const char *json, size_t len)
{
    struct json_scan scan;
    const char *why;
    json_scan_init(&scan, json, len);
    if (!node_object_scan(&scan, &object, &why)) {
        log_line(LOG_WARN, "node-unreadable", "why", why, NULL);
        return;
    }
    g_autofree char *name = g_strndup(object.name.at, object.name.len);
    if (!is_selected(s, &object)) {
        drop(s, name);
        return;
    }
    struct node_state *state = find_state(s, name);
    if (!state)
        state = new_state(s, name);
    state->generation = generation;
    if (s->o.compat_node_lock) {
        set_locks(state, &object);
        nodelock_changed(s, name);
    }
    state->own_agent = node_pair(&object.annotations, KEY_AGENT) != NULL;

    int64_t recheck_ms;
    uint64_t alive = node_cards_alive(s, &object, &recheck_ms);
    bool timer_changes = recheck_ms != 0 || rest_of(state)->recheck_ms != 0;
    keep_for_recheck(state, recheck_ms, json, len);
    uint64_t digest = digest_of(s, &object, alive);
    if (digest != state->digest) {
        state->digest = digest;
        set_cards(s, state, name, alive);
        waiting_capacity_changed(s);
    }
    drop_rest(state, false);
    if (s->leading)
        answer_handshakes(s, state, &object, alive);
    if (timer_changes && s->nodes_synced)
        schedule_recheck(s);
}

/* Handshakes that have run out: the same objects are looked at once more. */
static gboolean recheck(gpointer data)
{
    struct scheduler *s = data;
    int64_t now = scheduler_now_ms();
    g_autoptr(GPtrArray) due = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    GHashTableIter i;
    gpointer key;
    s->handshake_timer = 0;
    g_hash_table_iter_init(&i, s->nodes);
    while (g_hash_table_iter_next(&i, &key, NULL)) {
        const struct node_rest *n = rest_of(state_of_key(key));
        if (n->recheck_ms && n->recheck_ms <= now && n->raw)
            g_ptr_array_add(due, g_bytes_new(n->raw, n->raw_len));
    }
    for (guint j = 0; j < due->len; j++) {
        gsize len;
        const char *json = g_bytes_get_data(due->pdata[j], &len);
        apply(s, json, len);
    }
    schedule_recheck(s);
    return G_SOURCE_REMOVE;
}

static void begin(void *data, uint64_t number)
{
    (void)data;
    generation = number;
}

static void object_event(void *data, enum kube_event event, const char *json, size_t len)
{
    struct scheduler *s = data;
    s->count.node_events++;
    if (event != KUBE_DELETED) {
        apply(s, json, len);
        return;
    }
    struct json_scan scan;
    const char *why;
    json_scan_init(&scan, json, len);
    if (node_object_scan(&scan, &object, &why)) {
        g_autofree char *name = g_strndup(object.name.at, object.name.len);
        drop(s, name);
    }
}

static void synced(void *data)
{
    struct scheduler *s = data;
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter i;
    gpointer key;
    g_hash_table_iter_init(&i, s->nodes);
    while (g_hash_table_iter_next(&i, &key, NULL))
        if (state_of_key(key)->generation != generation)
            g_ptr_array_add(gone, g_strdup(key));
    for (guint j = 0; j < gone->len; j++)
        drop(s, gone->pdata[j]);
    if (!s->nodes_synced) {
        g_autofree char *n = g_strdup_printf("%u", cluster_node_count(s->cluster));
        log_line(LOG_INFO, "nodes-synced", "with_cards", n, NULL);
        s->nodes_synced = true;
        pods_start(s);
    }
    schedule_recheck(s);
}

static void failed(void *data, const GError *error)
{
    scheduler_watch_failed(data, "nodes", error);
}

void nodes_start(struct scheduler *s)
{
    static const struct kube_watch_vtable vtable = {begin, object_event, synced, failed};
    s->nodes = g_hash_table_new_full(g_str_hash, g_str_equal, node_state_free, NULL);
    s->node_watch =
        kube_watch_new(s->client, &(struct kube_watch_options){.path = "/api/v1/nodes"}, &vtable, s);
    kube_watch_start(s->node_watch);
}

void nodes_stop(struct scheduler *s)
{
    g_clear_pointer(&s->node_watch, kube_watch_free);
    g_clear_handle_id(&s->handshake_timer, g_source_remove);
    g_clear_pointer(&s->nodes, g_hash_table_unref);
}

const char *nodes_lock_of(const struct scheduler *s, const char *node, enum node_lock kind)
{
    const struct node_state *n = find_state(s, node);
    return n ? rest_of(n)->lock[kind] : NULL;
}

const char *nodes_version_of(const struct scheduler *s, const char *node)
{
    const struct node_state *n = find_state(s, node);
    return n ? rest_of(n)->version : NULL;
}

void nodes_counted(struct scheduler *s, const char *node)
{
    struct node_state *state = find_state(s, node);
    ClusterNode n = cluster_node_find(s->cluster, node, strlen(node));
    if (!state || !state->uncounted)
        return;
    state->uncounted = false;
    cordon(s, state, n);
    waiting_capacity_changed(s);
}

bool nodes_wants_lock(const struct scheduler *s, const char *node)
{
    const struct node_state *n = find_state(s, node);
    return s->o.compat_node_lock && n && !n->own_agent;
}
