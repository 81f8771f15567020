/* SPDX-License-Identifier: Apache-2.0
 *
 * See view.h. One thread.
 */
#include "local/view.h"

#include <string.h>

#include "local/files.h"

static void view_free(void *data)
{
    struct view_slice *v = data;
    g_free(v->region);
    g_free(v);
}

GPtrArray *view_slices(struct broker *b, bool live_only, GError **error)
{
    g_autoptr(GArray) slices = ledger_slices(b->ledger, live_only, error);
    if (!slices)
        return NULL;
    GPtrArray *views = g_ptr_array_new_with_free_func(view_free);
    for (guint i = 0; i < slices->len; i++) {
        struct view_slice *v = g_new0(struct view_slice, 1);
        v->slice = g_array_index(slices, struct ledger_slice, i);
        g_autoptr(Files) f = files_of(b->paths, v->slice.id);
        v->region = g_new0(struct region_view, 1);
        v->taken_us = g_get_monotonic_time();
        if (v->slice.state == LEDGER_ENDED || region_read(f->region, v->region) < 0)
            g_clear_pointer(&v->region, g_free);
        g_ptr_array_add(views, v);
    }
    return views;
}

const struct view_slice *view_find(GPtrArray *views, const char *id)
{
    for (guint i = 0; views && i < views->len; i++) {
        const struct view_slice *v = g_ptr_array_index(views, i);
        if (strcmp(v->slice.id, id) == 0)
            return v;
    }
    return NULL;
}

/* Index of a share's device in the region; the workload may have reordered it. */
static int region_index(const struct view_slice *v, uint32_t share)
{
    for (uint32_t d = 0; v->region && d < v->region->n_devices; d++)
        if (strcmp(v->region->uuids[d], v->slice.shares[share].uuid) == 0)
            return (int)d;
    return -1;
}

static uint32_t permille(uint64_t before_ns, uint64_t now_ns, gint64 interval_us)
{
    if (now_ns <= before_ns || interval_us <= 0)
        return 0;
    uint64_t delta_us = (now_ns - before_ns) / 1000;
    if (delta_us >= (uint64_t)interval_us)
        return 1000;
    return (uint32_t)(delta_us * 1000 / (uint64_t)interval_us);
}

struct view_rate view_rate(const struct view_slice *before, const struct view_slice *now, uint32_t share)
{
    struct view_rate r = {0};
    int d = region_index(now, share);
    if (!before || !before->region || d < 0 || region_index(before, share) != d)
        return r;
    gint64 interval_us = now->taken_us - before->taken_us;
    r.busy_permille = permille(before->region->busy_ns[d], now->region->busy_ns[d], interval_us);
    if (!now->slice.shares[share].cores_pct && !r.busy_permille) /* nothing is charged without a limit */
        r.busy_permille = now->region->util_pct[d] * 10;
    r.throttled_permille =
        permille(before->region->throttled_ns[d], now->region->throttled_ns[d], interval_us);
    if (now->region->launches[d] > before->region->launches[d] && interval_us > 0)
        r.launches_per_s = (uint64_t)((double)(now->region->launches[d] - before->region->launches[d]) * 1e6 /
                                      (double)interval_us);
    return r;
}

/* What a region says may be any number. */
static json_t *json_of(uint64_t n)
{
    return json_integer((json_int_t)MIN(n, (uint64_t)INT64_MAX));
}

static json_t *share_json(const struct view_slice *before, const struct view_slice *now, uint32_t i)
{
    const struct ledger_share *s = &now->slice.shares[i];
    struct view_rate rate = view_rate(before, now, i);
    int d = region_index(now, i);
    json_t *j = json_pack("{s:s, s:I, s:i}", "uuid", s->uuid, "mem_bytes", (json_int_t)s->mem_bytes, "cores",
                          (int)s->cores_pct);
    if (s->pending_bytes)
        json_object_set_new(j, "pending_bytes", json_integer((json_int_t)s->pending_bytes));
    if (d < 0)
        return j;
    const struct region_view *v = now->region;
    json_object_set_new(j, "used_bytes", json_of(v->used[d]));
    json_object_set_new(j, "peak_bytes", json_of(v->peak[d]));
    json_object_set_new(j, "oom_count", json_of(v->oom_count[d]));
    if (now->slice.oversubscribe) {
        json_object_set_new(j, "spilled_bytes", json_of(v->spilled[d]));
        json_object_set_new(j, "thrashed_s", json_of(v->thrash_count[d]));
    }
    json_object_set_new(j, "launches", json_of(v->launches[d]));
    json_object_set_new(j, "busy_ns", json_of(v->busy_ns[d]));
    json_object_set_new(j, "throttled_ns", json_of(v->throttled_ns[d]));
    if (before) {
        json_object_set_new(j, "busy_pct", json_real(rate.busy_permille / 10.0));
        json_object_set_new(j, "throttled_pct", json_real(rate.throttled_permille / 10.0));
        json_object_set_new(j, "launches_per_s", json_of(rate.launches_per_s));
    }
    return j;
}

static json_t *processes_json(const struct region_view *v)
{
    json_t *list = json_array();
    for (uint32_t i = 0; v && i < v->n_processes; i++) {
        const struct region_process_view *p = &v->processes[i];
        uint64_t used = 0;
        for (unsigned d = 0; d < REGION_DEVICES; d++)
            if (__builtin_add_overflow(used, p->used[d], &used))
                used = UINT64_MAX;
        json_array_append_new(list, json_pack("{s:i, s:I}", "pid", p->pid, "used_bytes",
                                              (json_int_t)MIN(used, (uint64_t)INT64_MAX)));
    }
    return list;
}

json_t *view_json(const struct view_slice *before, const struct view_slice *now)
{
    const struct ledger_slice *s = &now->slice;
    json_t *shares = json_array();
    g_autofree char *machine = g_utf8_make_valid(s->machine, -1); /* a path of any bytes */
    for (uint32_t i = 0; i < s->n_shares; i++)
        json_array_append_new(shares, share_json(before, now, i));
    json_t *j = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:b, s:s, s:i, s:b, s:I, s:s}", "id", s->id, "name", s->name,
        "state", s->suspended && s->state == LEDGER_RUNNING ? "suspended" : ledger_state_name(s->state),
        "machine", machine, "pid", s->main.pid, "exclusive", s->exclusive, "protected", s->protected,
        "driver_wall", s->walled, "core_policy", settings_core_policy_name(s->core_policy), "priority",
        s->priority, "oversubscribe", s->oversubscribe, "created_ms", (json_int_t)s->created_ms, "command",
        s->command);
    if (s->state == LEDGER_ENDED) {
        json_object_set_new(j, "ended_ms", json_integer((json_int_t)s->ended_ms));
        json_object_set_new(j, "exit_status", json_integer(s->exit_status));
    }
    json_object_set_new(j, "shares", shares);
    json_object_set_new(j, "processes", processes_json(now->region));
    return j;
}

/* ---- cards ------------------------------------------------------------- */

static void add_slice(struct view_card *c, const struct view_slice *before, const struct view_slice *now)
{
    for (uint32_t i = 0; i < now->slice.n_shares; i++) {
        const struct ledger_share *share = &now->slice.shares[i];
        int d = region_index(now, i);
        if (strcmp(share->uuid, c->card.card.uuid) != 0)
            continue;
        c->slices++;
        c->granted_bytes += share->mem_bytes;
        c->granted_cores += share->cores_pct;
        c->busy_permille += view_rate(before, now, i).busy_permille;
        if (d >= 0)
            c->used_bytes += MIN(now->region->used[d], share->mem_bytes * 4);
    }
}

GArray *view_cards(struct broker *b, GPtrArray *before, GPtrArray *now, GError **error)
{
    g_autoptr(GArray) rows = ledger_cards(b->ledger, error);
    GArray *cards = rows ? g_array_new(FALSE, TRUE, sizeof(struct view_card)) : NULL;
    for (guint i = 0; rows && i < rows->len; i++) {
        struct view_card c = {.card = g_array_index(rows, struct ledger_card, i)};
        c.grantable_bytes = quantity_scale(c.card.card.mem_bytes, b->settings->memory_scale_milli);
        c.grantable_cores = (uint32_t)quantity_scale(100, b->settings->core_scale_milli);
        c.cordoned = broker_is_cordoned(b, c.card.card.uuid);
        for (guint k = 0; k < now->len; k++) {
            const struct view_slice *v = g_ptr_array_index(now, k);
            if (v->slice.state != LEDGER_ENDED && strcmp(v->slice.machine, c.card.machine) == 0)
                add_slice(&c, view_find(before, v->slice.id), v);
        }
        g_array_append_val(cards, c);
    }
    return cards;
}

static bool machine_is_used(const GArray *cards, const char *machine)
{
    for (guint i = 0; i < cards->len; i++) {
        const struct view_card *c = &g_array_index(cards, struct view_card, i);
        if (c->slices && strcmp(c->card.machine, machine) == 0)
            return true;
    }
    return false;
}

void view_drop_idle_machines(GArray *cards, const char *but)
{
    for (guint i = cards->len; i-- > 0;) {
        const char *machine = g_array_index(cards, struct view_card, i).card.machine;
        if (*machine && g_strcmp0(machine, but) != 0 && !machine_is_used(cards, machine))
            g_array_remove_index(cards, i);
    }
}

json_t *view_card_json(const struct view_card *c)
{
    g_autofree char *machine = g_utf8_make_valid(c->card.machine, -1);
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:b, s:b, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:f}", "uuid",
                     c->card.card.uuid, "type", c->card.card.name, "machine", machine, "index",
                     (int)c->card.card.index, "numa_node", (int)c->card.card.numa_node, "healthy",
                     c->card.card.healthy != 0, "cordoned", c->cordoned, "mem_bytes",
                     (json_int_t)c->card.card.mem_bytes, "grantable_bytes", (json_int_t)c->grantable_bytes,
                     "granted_bytes", (json_int_t)c->granted_bytes, "used_bytes", (json_int_t)c->used_bytes,
                     "grantable_cores", (int)c->grantable_cores, "granted_cores", (int)c->granted_cores,
                     "slices", (int)c->slices, "busy_pct", c->busy_permille / 10.0);
}
