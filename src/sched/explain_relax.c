/* SPDX-License-Identifier: Apache-2.0
 *
 * Hints that drop a wish of the pod, change a setting of nodes or the
 * namespace, or say that it is enough to wait.
 */
#include <string.h>

#include "model/annotation.h"
#include "sched/explain_view.h"

static bool has_anywhere(const struct explain_view *v, uint64_t mask)
{
    for (uint32_t i = 0; i < v->e->n_nodes; i++)
        if (explain_has_reason(v, i, mask))
            return true;
    return false;
}

static void start(struct explain_view *v)
{
    v->changed = *v->pod;
}

/* ---- wishes of the pod -------------------------------------------------------- */

static bool is_blank(const char *list)
{
    return !list || list[strspn(list, " \t,")] == '\0';
}

static int request_of_family(const struct explain_view *v, uint16_t family)
{
    for (int i = 0; i < v->pod->n_requests; i++)
        if (v->pod->requests[i].family == family)
            return i;
    return -1;
}

static void drop_types(struct explain_view *v, uint8_t selection)
{
    const struct pod_selection *s = &v->pod->selections[selection];
    const struct family *f = v->families->rows[s->family];
    struct explain_hint hint = {.change = EXPLAIN_TYPES, .request = request_of_family(v, s->family)};
    for (hint.from = 0; hint.from < 2; hint.from++) {
        if (is_blank(hint.from ? s->not_types : s->use_types))
            continue;
        start(v);
        if (hint.from)
            v->changed.selections[selection].not_types = NULL;
        else
            v->changed.selections[selection].use_types = NULL;
        hint.annotation = hint.from ? f->not_type_key : f->use_type_key;
        explain_add(v, hint, EXPLAIN_BIT(SCHED_TYPE));
    }
}

static void drop_uuids(struct explain_view *v, uint8_t selection)
{
    const struct pod_selection *s = &v->pod->selections[selection];
    const struct family *f = v->families->rows[s->family];
    struct explain_hint hint = {.change = EXPLAIN_UUIDS, .request = request_of_family(v, s->family)};
    for (unsigned list = 0; list < 4; list++) {
        unsigned k = list % 2;
        if (is_blank(list < 2 ? s->use_uuids[k] : s->not_uuids[k]))
            continue;
        start(v);
        if (list < 2)
            v->changed.selections[selection].use_uuids[k] = NULL;
        else
            v->changed.selections[selection].not_uuids[k] = NULL;
        hint.from = list;
        hint.annotation = list < 2 ? f->use_uuid_key[k] : f->not_uuid_key[k];
        explain_add(v, hint, EXPLAIN_BIT(SCHED_UUID));
    }
}

static void drop_lists(struct explain_view *v)
{
    for (uint8_t i = 0; i < v->pod->n_selections; i++) {
        if (has_anywhere(v, EXPLAIN_BIT(SCHED_TYPE)))
            drop_types(v, i);
        if (has_anywhere(v, EXPLAIN_BIT(SCHED_UUID)))
            drop_uuids(v, i);
    }
}

static void drop_switches(struct explain_view *v)
{
    struct explain_hint hint = {.request = -1};
    if (v->pod->modes && has_anywhere(v, EXPLAIN_BIT(SCHED_TYPE) | EXPLAIN_BIT(SCHED_NO_CARDS))) {
        start(v);
        v->changed.modes = 0;
        hint.change = EXPLAIN_MODE;
        hint.annotation = annotation_vgpu_mode;
        explain_add(v, hint, EXPLAIN_ANY); /* too few cards are enough once they may be cut into instances */
    }
    if (v->pod->numa_bind && has_anywhere(v, EXPLAIN_BIT(SCHED_NUMA))) {
        start(v);
        v->changed.numa_bind = false;
        hint.change = EXPLAIN_NUMA;
        hint.annotation = annotation_numa_bind;
        explain_add(v, hint, EXPLAIN_BIT(SCHED_NUMA));
    }
    if (v->pod->mutex && has_anywhere(v, EXPLAIN_BIT(SCHED_EXCLUSIVE))) {
        start(v);
        v->changed.mutex = false;
        hint.change = EXPLAIN_MUTEX;
        hint.annotation = annotation_card_policy;
        explain_add(v, hint, EXPLAIN_BIT(SCHED_EXCLUSIVE));
    }
}

/* ---- settings of nodes --------------------------------------------------------- */

/* A copy of the node's cards that may be changed. */
static struct node_spec copy_node(const struct explain_view *v, uint32_t i, struct card cards[CARD_PER_NODE])
{
    struct node_spec spec = *cluster_node_spec(v->cluster, v->e->nodes[i].node);
    memcpy(cards, spec.cards, spec.n_cards * sizeof *cards);
    spec.cards = cards;
    return spec;
}

static bool fits_on(struct explain_view *v, uint32_t i, const struct node_spec *spec)
{
    return fit_pod(v->families, spec, explain_use(v, v->e->nodes[i].node), &v->quota, v->pod, &v->steps,
                   &v->grant, NULL) == SCHED_FITS;
}

static void count(const struct explain_view *v, struct explain_hint *hint, uint32_t i)
{
    if (hint->n_nodes++ == 0)
        hint->example = v->e->nodes[i].node;
}

static void lift_cordons(struct explain_view *v)
{
    struct explain_hint hint = {
        .change = EXPLAIN_CORDON, .request = -1, .annotation = annotation_device_cordon};
    struct card cards[CARD_PER_NODE];
    for (uint32_t i = 0; i < v->e->n_nodes; i++) {
        if (!explain_has_reason(v, i, EXPLAIN_BIT(SCHED_CORDONED)) ||
            !explain_is_plausible(v, i, EXPLAIN_BIT(SCHED_CORDONED) | EXPLAIN_BIT(SCHED_UUID)))
            continue;
        struct node_spec spec = copy_node(v, i, cards);
        for (uint32_t c = 0; c < spec.n_cards; c++)
            cards[c].cordoned = false;
        if (fits_on(v, i, &spec))
            count(v, &hint, i);
    }
    if (hint.n_nodes)
        g_array_append_val(v->hints, hint);
}

static bool fits_with_slots(struct explain_view *v, uint32_t i, uint32_t slots)
{
    struct card cards[CARD_PER_NODE];
    struct node_spec spec = copy_node(v, i, cards);
    for (uint32_t c = 0; c < spec.n_cards; c++)
        cards[c].slots = (uint16_t)MIN(MAX(cards[c].slots, slots), UINT16_MAX);
    return fits_on(v, i, &spec);
}

/* The most slots of one card that the pod can take: instances of one card may be asked for as several cards,
 * a slice of Enflame's takes as many as it is large. */
static uint32_t slots_wanted(const struct pod_request *pod)
{
    uint32_t wanted = 0;
    for (uint32_t i = 0; i < pod->n_requests; i++)
        wanted += pod->requests[i].n_cards * MAX(pod->requests[i].size, 1u);
    return wanted;
}

/* The most of each card that is worth a try: what its fullest card has in use and the pod can take. */
static uint32_t most_slots(struct explain_view *v, uint32_t i)
{
    const struct explain_node *node = &v->e->nodes[i];
    const struct card_use *use = explain_use(v, node->node);
    uint32_t most = 0;
    for (uint32_t c = 0; c < node->n_cards; c++)
        if (node->cards[c].reason == SCHED_SLICES)
            most = MAX(most, use[node->cards[c].card].slots + slots_wanted(v->pod));
    return most;
}

/* The fewest slots of each card with which node i takes the pod; 0 when that does not help. */
static uint32_t slots_that_help(struct explain_view *v, uint32_t i)
{
    uint32_t low = 0, high = most_slots(v, i);
    if (!fits_with_slots(v, i, high))
        return 0;
    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        if (fits_with_slots(v, i, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

static void raise_split_count(struct explain_view *v)
{
    struct explain_hint hint = {.change = EXPLAIN_SLOTS, .request = -1, .annotation = "deviceSplitCount"};
    for (uint32_t i = 0; i < v->e->n_nodes; i++) {
        if (!explain_has_reason(v, i, EXPLAIN_BIT(SCHED_SLICES)) ||
            !explain_is_plausible(v, i, EXPLAIN_BIT(SCHED_SLICES) | EXPLAIN_BIT(SCHED_EXCLUSIVE)))
            continue;
        uint32_t slots = slots_that_help(v, i);
        hint.to = MAX(hint.to, slots);
        if (slots)
            count(v, &hint, i);
    }
    if (hint.n_nodes)
        g_array_append_val(v->hints, hint);
}

/* ---- quota ---------------------------------------------------------------------- */

static bool fits_with(struct explain_view *v, uint32_t i, const struct fit_quota *quota)
{
    ClusterNode n = v->e->nodes[i].node;
    return fit_pod(v->families, cluster_node_spec(v->cluster, n), explain_use(v, n), quota, v->pod, &v->steps,
                   &v->grant, NULL) == SCHED_FITS;
}

/* What the last try takes of a resource, in MiB or cores; the family that has it. */
static int64_t taken_of(const struct explain_view *v, const struct node_spec *spec, uint16_t resource,
                        const struct family **ret_family, bool *ret_memory)
{
    struct card_use charge[CARD_PER_NODE];
    int64_t taken = 0;
    pod_charge(v->grant.grants, v->grant.n, v->pod->slot_kind, false, charge, spec->n_cards);
    for (uint32_t c = 0; c < spec->n_cards; c++) {
        const struct family *f = v->families->rows[spec->cards[c].family];
        if (charge[c].slots == 0)
            continue;
        bool memory = v->quota.mem_resource[f->id] == resource;
        if (!memory && v->quota.cores_resource[f->id] != resource)
            continue;
        *ret_family = f;
        *ret_memory = memory;
        if (memory)
            taken += (int64_t)(charge[c].mem_bytes / POD_MIB);
        else
            taken += family_cores(f, charge[c].cores);
    }
    return taken;
}

/* The limit that would do for what the last try takes; 0 when it is not exceeded. */
static int64_t limit_needed(const struct explain_view *v, const struct node_spec *spec,
                            const struct fit_limit *limit, const char **ret_resource)
{
    const struct family *f = NULL;
    bool memory = false;
    int64_t taken = taken_of(v, spec, limit->resource, &f, &memory);
    if (taken == 0)
        return 0;
    int64_t factor = memory && f->quota_mem_factor > 1 ? f->quota_mem_factor : 1;
    int64_t needed = (limit->used + taken + factor - 1) / factor;
    *ret_resource = f->resource[memory ? FAMILY_MEM : FAMILY_CORES];
    return needed > MAX(limit->limit, 0) ? needed : 0;
}

/* The one limit to raise goes into the hint; of several, none is named. */
static void raise_limits(const struct explain_view *v, uint32_t i, struct fit_quota *quota,
                         struct explain_hint *hint)
{
    const struct node_spec *spec = cluster_node_spec(v->cluster, v->e->nodes[i].node);
    unsigned n = 0;
    for (uint32_t k = 0; k < quota->n; k++) {
        const char *resource = NULL;
        int64_t needed = limit_needed(v, spec, &quota->limits[k], &resource);
        if (needed == 0)
            continue;
        hint->from = (uint64_t)MAX(quota->limits[k].limit, 0);
        hint->to = (uint64_t)needed;
        hint->annotation = resource;
        quota->limits[k].limit = needed;
        n++;
    }
    if (n != 1)
        hint->from = hint->to = 0, hint->annotation = NULL;
}

static void raise_quota(struct explain_view *v)
{
    struct explain_hint hint = {.change = EXPLAIN_QUOTA, .request = -1};
    g_autofree struct fit_quota *quota = g_memdup2(&v->quota, sizeof v->quota);
    uint32_t i = 0;
    uint64_t mask = EXPLAIN_BIT(SCHED_QUOTA);
    while (i < v->e->n_nodes && !(explain_has_reason(v, i, mask) && explain_is_plausible(v, i, EXPLAIN_ANY) &&
                                  fits_with(v, i, NULL)))
        i++;
    if (i == v->e->n_nodes)
        return;
    raise_limits(v, i, quota, &hint);
    for (; i < v->e->n_nodes; i++)
        if (explain_has_reason(v, i, mask) && fits_with(v, i, quota))
            count(v, &hint, i);
    if (hint.n_nodes)
        g_array_append_val(v->hints, hint);
}

/* ---- waiting --------------------------------------------------------------------- */

static void wait_for_others(struct explain_view *v)
{
    static const struct card_use nothing[CARD_PER_NODE];
    struct explain_hint hint = {.change = EXPLAIN_WAIT, .request = -1};
    g_autofree struct fit_quota *quota = g_memdup2(&v->quota, sizeof v->quota);
    for (uint32_t k = 0; k < quota->n; k++)
        quota->limits[k].used = 0;
    for (uint32_t i = 0; i < v->e->n_nodes; i++) {
        uint64_t stays = EXPLAIN_BIT(SCHED_UNHEALTHY) | EXPLAIN_BIT(SCHED_CORDONED) |
                         EXPLAIN_BIT(SCHED_TYPE) | EXPLAIN_BIT(SCHED_UUID);
        if (explain_is_plausible(v, i, ~stays) &&
            fit_pod(v->families, cluster_node_spec(v->cluster, v->e->nodes[i].node), nothing, quota, v->pod,
                    &v->steps, &v->grant, NULL) == SCHED_FITS)
            count(v, &hint, i);
    }
    if (hint.n_nodes)
        g_array_append_val(v->hints, hint);
}

void explain_relax(struct explain_view *v)
{
    drop_lists(v);
    drop_switches(v);
    if (has_anywhere(v, EXPLAIN_BIT(SCHED_CORDONED)))
        lift_cordons(v);
    if (has_anywhere(v, EXPLAIN_BIT(SCHED_SLICES)))
        raise_split_count(v);
    if (has_anywhere(v, EXPLAIN_BIT(SCHED_QUOTA)))
        raise_quota(v);
    wait_for_others(v);
}
