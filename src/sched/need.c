/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/need.h"

#include <string.h>

#include "model/lists.h"

enum { SELECTIONS_CHECKED = 4 };

static void need_memory(const struct family *f, const struct card_request *r, struct need *ret)
{
    if (r->mem_none || (f->mem_round == FAMILY_ROUND_CARD_SHAPE && (r->size || r->mem_bytes == 0)))
        return;
    if (r->mem_bytes)
        ret->mib = (uint32_t)MIN(r->mem_bytes / POD_MIB, UINT32_MAX);
    else
        ret->percent = r->mem_percent && r->mem_percent < 100 ? r->mem_percent : 100;
}

static void need_cores(const struct family *f, const struct card_request *r, const struct pod_request *pod,
                       struct need *ret)
{
    bool by_shape = f->mem_round == FAMILY_ROUND_CARD_SHAPE, online = pod->app_class == POD_CLASS_ONLINE;
    if (online || (by_shape && r->size))
        return;
    switch (f->cores_kind) {
    case FAMILY_CORES_PERCENT:
        ret->cores = MIN(r->cores, 100);
        ret->whole_share = f->exclusive_cores && ret->cores == 100;
        break;
    case FAMILY_CORES_UNITS:
    case FAMILY_CORES_OF_MEM:
        ret->cores = r->cores;
        break;
    case FAMILY_CORES_OF_TOTAL:
        ret->cores = MIN(r->cores, 100);
        ret->cores_of_total = true;
        break;
    case FAMILY_CORES_MASK:
    case FAMILY_CORES_NONE:
        return;
    }
    ret->some_cores = !by_shape && r->cores == 0 && f->cores_kind != FAMILY_CORES_OF_MEM;
}

static const struct pod_selection *selection_of(const struct pod_request *r, uint16_t family)
{
    for (uint8_t i = 0; i < r->n_selections; i++)
        if (r->selections[i].family == family)
            return &r->selections[i];
    return NULL;
}

/* Asked for by UUID: the hashes, unless there are too many to look through. */
static void need_uuids(const char *list, struct need *ret)
{
    size_t len;
    uint32_t n = 0;
    for (const char *uuid; (uuid = lists_next(&list, &len));) {
        if (n == NEED_UUIDS_MAX)
            return;
        ret->uuids[n++] = names_hash(uuid, len);
    }
    ret->n_uuids = n;
}

static void need_selection(const Cluster *c, const struct pod_selection *s, uint32_t *n_checked,
                           struct need *ret)
{
    struct scratch *scratch = c->scratch;
    if (!s)
        return;
    need_uuids(s->use_uuids[0], ret);
    if (!ret->n_uuids)
        need_uuids(s->use_uuids[1], ret);
    if ((!s->use_types && !s->not_types) || *n_checked == SELECTIONS_CHECKED)
        return;
    uint32_t n = SELECTIONS_CHECKED * MAX(c->n_types, 1);
    if (scratch->verdict_room < n) {
        scratch->verdict_room = 2 * n;
        scratch->verdicts = g_realloc(scratch->verdicts, scratch->verdict_room);
    }
    ret->s = s;
    ret->verdicts = scratch->verdicts + *n_checked * MAX(c->n_types, 1);
    memset(ret->verdicts, 0, MAX(c->n_types, 1));
    ++*n_checked;
}

void need_make(const Cluster *c, const struct pod_request *r, struct needs *ret)
{
    uint32_t n_checked = 0;
    ret->n = r->n_requests;
    ret->families = 0;
    ret->mib = ret->cores = ret->n_cards = 0;
    ret->mig = ret->soft = ret->whole = false;
    for (uint8_t i = 0; i < r->n_requests; i++) {
        const struct card_request *q = &r->requests[i];
        const struct family *f = c->families->rows[q->family];
        struct need *n = &ret->need[i];
        *n = (struct need){.family_bit = UINT64_C(1) << q->family,
                           .family = (uint8_t)q->family,
                           .n_cards = choose_may_merge(f, q) ? 1 : q->n_cards,
                           .idle = r->mutex || q->exclusive || f->idle_only};
        if (choose_has_modes(f)) {
            n->modes = r->modes;
            n->mig = !r->modes || r->modes & 1u << CARD_MIG;
        }
        need_memory(f, q, n);
        need_cores(f, q, r, n);
        need_selection(c, selection_of(r, q->family), &n_checked, n);
        ret->families |= n->family_bit;
        ret->mib = MAX(ret->mib, n->mib);
        ret->cores = MAX(ret->cores, n->cores_of_total ? MIN(n->cores, 1) : n->cores);
        ret->n_cards = MAX(ret->n_cards, n->n_cards);
        ret->mig |= n->mig;
        ret->whole |= n->percent == 100;
        ret->soft |= r->soft && f->soft_key;
    }
}

/* ---- the first look ------------------------------------------------------------- */

static bool type_wanted(const Cluster *c, const struct need *n, uint16_t type)
{
    if (type == 0)
        return true;
    if (n->verdicts[type] == 0)
        n->verdicts[type] = lists_want_type(n->s->use_types, n->s->not_types, c->types[type].name) ? 1 : 2;
    return n->verdicts[type] == 1;
}

static bool uuid_wanted(const struct need *n, uint32_t hash)
{
    for (uint32_t i = 0; i < n->n_uuids; i++)
        if (n->uuids[i] == hash)
            return true;
    return false;
}

static bool enough_cores(const struct need *n, const struct hot_card *k)
{
    if (!n->cores_of_total)
        return k->free_cores >= n->cores;
    uint32_t wanted =
        k->total_cores == UINT16_MAX ? 0 : (uint32_t)((uint64_t)k->total_cores * n->cores / 100);
    return k->free_cores >= (n->cores && k->total_cores ? MAX(wanted, 1) : 0);
}

static bool card_may_do(const Cluster *c, const struct need *n, const struct hot_card *k)
{
    if (!(k->flags & HOT_USABLE) || k->family != n->family || k->free_mib < n->mib)
        return false;
    if (n->percent && k->free_mib < (uint64_t)k->total_mib * n->percent / 100)
        return false;
    if (!enough_cores(n, k) || (n->some_cores && k->flags & HOT_EXHAUSTED))
        return false;
    if (!(k->flags & HOT_IDLE) && (n->idle || (n->whole_share && k->flags & HOT_UNDIVIDED)))
        return false;
    if (n->modes && !(n->modes & 1u << (k->flags >> HOT_MODE_SHIFT)))
        return false;
    return (!n->n_uuids || uuid_wanted(n, k->uuid_hash)) && (!n->verdicts || type_wanted(c, n, k->type));
}

static bool cards_may_do(const Cluster *c, const struct need *n, const struct hot_node *h)
{
    uint32_t left = n->n_cards;
    for (uint16_t i = 0; i < h->n_cards; i++) {
        if (!card_may_do(c, n, &h->cards[i]))
            continue;
        if (--left == 0 || (n->mig && h->cards[i].flags >> HOT_MODE_SHIFT == CARD_MIG))
            return true;
    }
    return false;
}

bool need_may_do(const Cluster *c, const struct needs *needs, const struct hot_node *h)
{
    if (!(h->flags & HOT_PRESENT) || (h->families & needs->families) != needs->families)
        return false;
    if (h->free_mib < needs->mib || h->free_cores < needs->cores || (needs->soft && !(h->flags & HOT_SOFT)))
        return false;
    if (h->n_usable < needs->n_cards && !(needs->mig && h->flags & HOT_MIG))
        return false;
    if (needs->whole && !(h->flags & HOT_WHOLE))
        return false;
    for (uint32_t i = 0; i < needs->n; i++) {
        const struct need *n = &needs->need[i];
        if ((n->verdicts && h->type && !type_wanted(c, n, h->type)) || !cards_may_do(c, n, h))
            return false;
    }
    return true;
}
