/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a family's agent lives is its handshake (scheduler.md section 3.7)
 * read the other way round, as an event instead of a poll. An allocatable count
 * above 0 means alive, 0 dead; while the kubelet says nothing, a handshake that
 * still says Requesting after a minute means dead.
 */
#include "scheduler/node_cards.h"

#include <string.h>

#include "model/node_codec.h"

#define CLOCK_SET_US 2000000 /* more than it drifts from one look to the next */

/* ---- life -------------------------------------------------------------- */

/* Seconds that local wall time shows now, as if it were UTC: handshakes are
 * written in local time without a zone. */
static int64_t local_seconds(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    return g_date_time_to_unix(now) + g_date_time_get_utc_offset(now) / G_USEC_PER_SEC;
}

/* Until when (monotonic) a stamp's age says nothing: our wall clock was set a moment ago, and what was asked
 * just before looks as if it had been asked long ago. */
static int64_t doubtful_until_ms(void)
{
    static int64_t offset_us, until_ms;
    int64_t offset = g_get_real_time() - g_get_monotonic_time();
    if (offset_us && ABS(offset - offset_us) > CLOCK_SET_US)
        until_ms = scheduler_now_ms() + NODE_HANDSHAKE_MS;
    offset_us = offset;
    return until_ms;
}

static bool handshake_alive(const struct family *f, const struct node_object *o, int64_t *io_recheck_ms)
{
    const struct json_text *value = f->handshake_key ? node_pair(&o->annotations, f->handshake_key) : NULL;
    const struct json_text *known = f->resource[FAMILY_COUNT] && *f->resource[FAMILY_COUNT]
                                        ? node_pair(&o->allocatable, f->resource[FAMILY_COUNT])
                                        : NULL;
    char text[64];
    int64_t asked = 0;
    if (known && node_amount(&o->allocatable, f->resource[FAMILY_COUNT]) > 0)
        return true;
    if (known)
        return false;
    if (!value || json_text_copy(*value, text, sizeof text) < 0)
        return true;
    switch (node_codec_parse_handshake(text, &asked)) {
    case HANDSHAKE_DELETED:
        return false;
    case HANDSHAKE_REQUESTING: {
        if (asked == HANDSHAKE_NO_TIME)
            return true;
        int64_t left_ms = (asked - local_seconds()) * 1000 + NODE_HANDSHAKE_MS, now = scheduler_now_ms();
        int64_t at = MAX(now + left_ms, doubtful_until_ms());
        if (left_ms > 2 * NODE_HANDSHAKE_MS) /* a clock that is ahead: nothing to conclude */
            return true;
        if (at <= now)
            return false;
        if (*io_recheck_ms == 0 || at < *io_recheck_ms)
            *io_recheck_ms = at;
        return true;
    }
    default:
        return true;
    }
}

static bool is_alive(const struct family *f, const struct node_object *o, int64_t *io_recheck_ms)
{
    switch (f->health) {
    case FAMILY_HEALTH_HANDSHAKE:
        return handshake_alive(f, o, io_recheck_ms);
    case FAMILY_HEALTH_CAPACITY:
        return node_amount(&o->capacity, f->resource[FAMILY_COUNT]) > 0;
    case FAMILY_HEALTH_ALWAYS:
    case FAMILY_HEALTH_INVENTORY:
        return true;
    }
    return false;
}

uint64_t node_cards_alive(const struct scheduler *s, const struct node_object *o, int64_t *ret_recheck_ms)
{
    uint64_t alive = 0;
    *ret_recheck_ms = 0;
    for (uint32_t i = 0; i < s->families->n; i++)
        if (is_alive(s->families->rows[i], o, ret_recheck_ms))
            alive |= UINT64_C(1) << i;
    return alive;
}

/* ---- cards ------------------------------------------------------------- */

static uint64_t capacity_amount(const char *resource, void *data)
{
    return node_amount(&((struct node_object *)data)->capacity, resource);
}

/* What the ledger holds of a family on a node: a malformed register keeps it. */
static void keep_known(const struct scheduler *s, const struct family *f, const char *name, GArray *cards)
{
    ClusterNode n = cluster_node_find(s->cluster, name, strlen(name));
    const struct node_spec *spec = n == CLUSTER_NO_NODE ? NULL : cluster_node_spec(s->cluster, n);
    for (uint32_t i = 0; spec && i < spec->n_cards; i++)
        if (spec->cards[i].family == f->id)
            g_array_append_val(cards, spec->cards[i]);
}

static struct card_list *read_cards(const struct family *f, struct node_object *o, const char *name,
                                    char **ret_why)
{
    if (f->inventory == FAMILY_INV_CAPACITY)
        return node_codec_from_capacity(f, name, capacity_amount, o, ret_why);
    const struct json_text *value = node_pair(&o->annotations, f->register_key);
    if (!value)
        return NULL;
    g_autofree char *text = json_text_dup(*value);
    if (!text) {
        *ret_why = g_strdup("not a text");
        return NULL;
    }
    return node_codec_parse(f, name, text, strlen(text), ret_why);
}

static void say_malformed(struct scheduler *s, const struct family *f, const char *name, const char *why)
{
    g_autofree char *message = g_strdup_printf(
        "annotation %s cannot be read: %s; the cards known before stay in use", f->register_key, why);
    struct kube_object_ref about = {"v1", "Node", NULL, name, name};
    log_line(LOG_WARN, "register-malformed", "node", name, "family", f->word, "why", why, NULL);
    if (s->o.events != SCHEDULER_EVENTS_NONE)
        kube_events_emit(s->events, &about, "Warning", "RegisterMalformed", message);
}

static void read_topology(const struct node_object *o, const char *key, uint32_t table[17])
{
    const struct json_text *value = node_pair(&o->annotations, key);
    g_autofree char *text = value ? json_text_dup(*value) : NULL;
    struct json_scan scan;
    struct json_text count;
    memset(table, 0, 17 * sizeof *table);
    if (!text)
        return;
    json_scan_init(&scan, text, strlen(text));
    if (json_scan_object(&scan))
        while (json_scan_key(&scan, &count)) {
            g_autofree char *digits = g_strndup(count.at, count.len);
            guint64 k = 0;
            int64_t score = 0;
            if (json_scan_int(&scan, &score) && score > 0 && score < INT32_MAX &&
                g_ascii_string_to_unsigned(digits, 10, 1, 16, &k, NULL))
                table[k] = (uint32_t)score;
        }
}

static bool feature_on(const struct scheduler *s, const struct node_object *o)
{
    for (uint32_t i = 0; i < s->families->n; i++) {
        const struct family *f = s->families->rows[i];
        if (!f->node_feature_key)
            continue;
        const struct json_text *value = node_pair(&o->annotations, f->node_feature_key);
        return value ? json_text_reads(*value, "true") : f->node_feature_default;
    }
    return false;
}

static uint16_t *pair_scores(const struct scheduler *s, const struct node_object *o, const char *name,
                             const struct card *cards, uint32_t n)
{
    for (uint32_t i = 0; i < s->families->n; i++) {
        const char *key = s->families->rows[i]->score_key;
        const struct json_text *value = key ? node_pair(&o->annotations, key) : NULL;
        g_autofree char *text = value ? json_text_dup(*value) : NULL, *why = NULL;
        uint16_t *table = text ? node_codec_parse_scores(text, strlen(text), cards, n, &why) : NULL;
        if (table)
            return table;
        if (why)
            log_line(LOG_WARN, "scores-malformed", "node", name, "why", why, NULL);
    }
    return NULL;
}

void node_cards_read(struct scheduler *s, struct node_object *o, const char *name, uint64_t alive,
                     struct node_cards *ret)
{
    ret->spec = (struct node_spec){0};
    ret->cards = g_array_new(FALSE, FALSE, sizeof(struct card));
    ret->lists = g_ptr_array_new_with_free_func((GDestroyNotify)card_list_free);
    for (uint32_t i = 0; i < s->families->n; i++) {
        const struct family *f = s->families->rows[i];
        g_autofree char *why = NULL;
        if (!f->enabled || !(alive >> i & 1))
            continue;
        struct card_list *list = read_cards(f, o, name, &why);
        if (why) {
            say_malformed(s, f, name, why);
            keep_known(s, f, name, ret->cards);
        }
        if (!list)
            continue;
        g_ptr_array_add(ret->lists, list);
        g_array_append_vals(ret->cards, list->cards, list->n);
        ret->spec.die_mode |= list->die_mode;
    }
    if (ret->cards->len > CARD_PER_NODE) {
        log_line(LOG_WARN, "too-many-cards", "node", name, NULL);
        g_array_set_size(ret->cards, CARD_PER_NODE);
    }
    const struct json_text *instance = node_pair(&o->labels, NODE_LABEL_INSTANCE);
    g_autofree char *type = instance ? json_text_dup(*instance) : NULL;
    struct card *cards = (struct card *)(void *)ret->cards->data;
    ret->pairs = pair_scores(s, o, name, cards, ret->cards->len);
    read_topology(o, NODE_KEY_LOSSES, ret->losses);
    read_topology(o, NODE_KEY_SCORES, ret->scores);
    ret->spec = (struct node_spec){
        .name = name,
        .n_cards = ret->cards->len,
        .cards = cards,
        .pair_score = ret->pairs,
        .topology_losses = ret->losses,
        .topology_scores = ret->scores,
        .soft_slicing = feature_on(s, o),
        .die_mode = ret->spec.die_mode,
        .contiguous_anywhere = type && (strstr(type, "inf") || strstr(type, "Inf")),
    };
}

void node_cards_of_template(struct scheduler *s, struct node_object *o, const char *name,
                            struct node_cards *ret)
{
    for (uint32_t i = 0; i < s->families->n; i++) {
        const struct family *f = s->families->rows[i];
        g_autofree char *why = NULL;
        if (!f->enabled || f->inventory == FAMILY_INV_CAPACITY)
            continue;
        struct card_list *list = node_codec_from_template(f, name, capacity_amount, o, &why);
        if (!list)
            continue;
        g_ptr_array_add(ret->lists, list);
        g_array_append_vals(ret->cards, list->cards, list->n);
    }
    g_array_set_size(ret->cards, MIN(ret->cards->len, CARD_PER_NODE));
    ret->spec.n_cards = ret->cards->len;
    ret->spec.cards = (struct card *)(void *)ret->cards->data;
}

void node_cards_clear(struct node_cards *n)
{
    g_array_unref(n->cards);
    g_ptr_array_unref(n->lists);
    g_free(n->pairs);
}
