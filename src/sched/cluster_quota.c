/* SPDX-License-Identifier: Apache-2.0
 *
 * What each namespace takes and may take. Used is counted for every family's
 * memory (MiB) and compute, whether there is a quota or not, so that one made
 * later is right at once. Of several objects that limit one resource the
 * lowest counts (B19 of scheduler.md section 11: the reference lets the last win).
 */
#include <string.h>

#include "sched/cluster_internal.h"

/* ---- resources ---------------------------------------------------------------- */

static uint16_t resource_of(const Cluster *c, const char *name)
{
    for (guint i = 0; i < c->resources->len; i++)
        if (strcmp(g_ptr_array_index(c->resources, i), name) == 0)
            return (uint16_t)i;
    return FIT_NO_RESOURCE;
}

static uint16_t new_resource(Cluster *c, const char *name, int64_t factor)
{
    if (!name || !*name)
        return FIT_NO_RESOURCE;
    uint16_t known = resource_of(c, name);
    if (known != FIT_NO_RESOURCE)
        return known;
    c->mem_factor[c->resources->len] = MAX(factor, 1);
    g_ptr_array_add(c->resources, g_strdup(name));
    return (uint16_t)(c->resources->len - 1);
}

int64_t quota_scaled(const Cluster *c, uint16_t resource, int64_t limit)
{
    int64_t factor = c->mem_factor[resource], most = MAX(limit, 0);
    return most > INT64_MAX / factor ? INT64_MAX : most * factor;
}

/* ---- namespaces ----------------------------------------------------------------- */

static struct namespace_ *namespace_at(const Cluster *c, uint32_t number)
{
    return g_ptr_array_index(c->namespaces, number);
}

const struct namespace_ *quota_find(const Cluster *c, const char *name)
{
    guint id = GPOINTER_TO_UINT(g_hash_table_lookup(c->namespace_ids, name ? name : ""));
    return id ? namespace_at(c, id - 1) : NULL;
}

static uint32_t find_or_make(Cluster *c, const char *name)
{
    name = name ? name : "";
    guint id = GPOINTER_TO_UINT(g_hash_table_lookup(c->namespace_ids, name));
    if (id)
        return id - 1;
    struct namespace_ *space = g_new0(struct namespace_, 1);
    space->name = g_strdup(name);
    for (id = 0; id < c->namespaces->len && g_ptr_array_index(c->namespaces, id); id++)
        ;
    if (id == c->namespaces->len)
        g_ptr_array_add(c->namespaces, NULL);
    g_ptr_array_index(c->namespaces, id) = space;
    g_hash_table_insert(c->namespace_ids, space->name, GUINT_TO_POINTER(id + 1));
    return id;
}

static void free_namespace(gpointer data)
{
    struct namespace_ *space = data;
    if (!space)
        return;
    for (uint32_t i = 0; i < space->n_limits; i++)
        g_free(space->limits[i].quota);
    g_free(space->limits);
    g_free(space->amounts);
    g_free(space->name);
    g_free(space);
}

static void drop_if_unused(Cluster *c, uint32_t number)
{
    struct namespace_ *space = namespace_at(c, number);
    if (space->n_pods || space->n_limits)
        return;
    g_hash_table_remove(c->namespace_ids, space->name);
    g_ptr_array_index(c->namespaces, number) = NULL;
    free_namespace(space);
}

uint32_t quota_namespace(Cluster *c, const char *name)
{
    uint32_t number = find_or_make(c, name);
    namespace_at(c, number)->n_pods++;
    return number;
}

void quota_namespace_unref(Cluster *c, uint32_t number)
{
    namespace_at(c, number)->n_pods--;
    drop_if_unused(c, number);
}

/* ---- amounts -------------------------------------------------------------------- */

static struct quota_amount *amount_of(struct namespace_ *space, uint16_t resource)
{
    for (uint32_t i = 0; i < space->n_amounts; i++)
        if (space->amounts[i].resource == resource)
            return &space->amounts[i];
    space->amounts = g_renew(struct quota_amount, space->amounts, space->n_amounts + 1);
    struct quota_amount *a = &space->amounts[space->n_amounts++];
    *a = (struct quota_amount){.resource = resource, .limit = -1};
    return a;
}

void quota_add(Cluster *c, uint32_t number, uint16_t resource, int64_t amount)
{
    if (resource != FIT_NO_RESOURCE && amount)
        amount_of(namespace_at(c, number), resource)->used += amount;
}

static void update_limits(Cluster *c, struct namespace_ *space)
{
    for (uint32_t i = 0; i < space->n_amounts; i++)
        space->amounts[i].limit = -1;
    for (uint32_t i = 0; i < space->n_limits; i++) {
        struct quota_amount *a = amount_of(space, space->limits[i].resource);
        int64_t limit = MAX(space->limits[i].limit, 0);
        if (a->limit < 0 || limit < a->limit)
            a->limit = limit;
    }
    c->freed++;
}

void cluster_quota_set(Cluster *c, const char *namespace_, const char *quota, const char *resource,
                       int64_t limit)
{
    uint16_t id = resource_of(c, resource);
    if (id == FIT_NO_RESOURCE)
        return;
    struct namespace_ *space = namespace_at(c, find_or_make(c, namespace_));
    uint32_t i = 0;
    while (i < space->n_limits &&
           (space->limits[i].resource != id || strcmp(space->limits[i].quota, quota) != 0))
        i++;
    if (i == space->n_limits) {
        space->limits = g_renew(struct quota_limit, space->limits, space->n_limits + 1);
        space->limits[space->n_limits++] = (struct quota_limit){.quota = g_strdup(quota), .resource = id};
    }
    space->limits[i].limit = limit;
    update_limits(c, space);
}

void cluster_quota_remove(Cluster *c, const char *namespace_, const char *quota)
{
    guint id = GPOINTER_TO_UINT(g_hash_table_lookup(c->namespace_ids, namespace_ ? namespace_ : ""));
    if (!id)
        return;
    struct namespace_ *space = namespace_at(c, id - 1);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < space->n_limits; i++)
        if (strcmp(space->limits[i].quota, quota) == 0)
            g_free(space->limits[i].quota);
        else
            space->limits[kept++] = space->limits[i];
    space->n_limits = kept;
    update_limits(c, space);
    drop_if_unused(c, id - 1);
}

void cluster_quota_each(const Cluster *c, bool (*f)(const struct cluster_quota *q, void *data), void *data)
{
    for (guint n = 0; n < c->namespaces->len; n++) {
        const struct namespace_ *space = g_ptr_array_index(c->namespaces, n);
        for (uint32_t i = 0; space && i < space->n_amounts; i++) {
            const struct quota_amount *a = &space->amounts[i];
            struct cluster_quota q = {.namespace_ = space->name,
                                      .resource = g_ptr_array_index(c->resources, a->resource),
                                      .used = a->used,
                                      .limit = a->limit};
            if ((a->used || a->limit >= 0) && !f(&q, data))
                return;
        }
    }
}

void quota_view(const Cluster *c, const char *namespace_, uint32_t without_pod, struct fit_quota *ret)
{
    const struct namespace_ *space = quota_find(c, namespace_);
    ret->mem_resource = c->mem_resource;
    ret->cores_resource = c->cores_resource;
    ret->families = c->families;
    ret->n = 0;
    for (uint32_t i = 0; space && i < space->n_amounts; i++)
        if (space->amounts[i].limit >= 0)
            ret->limits[ret->n++] = (struct fit_limit){.resource = space->amounts[i].resource,
                                                       .limit = space->amounts[i].limit,
                                                       .used = space->amounts[i].used};
    if (ret->n == 0 || !without_pod)
        return;
    const struct pod_record *p = pod_store_at(c->pods, without_pod);
    if (namespace_at(c, p->namespace_) != space)
        return;
    for (uint32_t i = 0; i < ret->n; i++)
        ret->limits[i].used -= pod_quota(c, p, ret->limits[i].resource);
}

/* ---- admission ------------------------------------------------------------------- */

static int64_t amount_asked(const Cluster *c, const struct card_request *r, uint16_t resource)
{
    uint16_t f = r->family;
    if (c->mem_resource[f] == resource)
        return r->mem_none ? 0 : (int64_t)(r->mem_bytes / POD_MIB) * r->n_cards;
    if (c->cores_resource[f] != resource)
        return 0;
    bool percent = c->families->rows[f]->cores_kind == FAMILY_CORES_PERCENT;
    return (int64_t)(percent ? MIN(r->cores, 100) : r->cores) * r->n_cards;
}

/* The peak over the pod's life, by the rule of pod_charge(). */
static int64_t peak_asked(const Cluster *c, const struct pod_request *r, uint16_t resource)
{
    int64_t beside = 0, peak = 0;
    for (uint8_t i = 0; i < r->n_requests;) {
        uint8_t slot = r->requests[i].slot;
        int64_t here = beside;
        for (; i < r->n_requests && r->requests[i].slot == slot; i++)
            here += amount_asked(c, &r->requests[i], resource);
        if (r->slot_kind[slot] != SLOT_INIT)
            beside = here;
        peak = MAX(peak, here);
    }
    return peak;
}

const char *cluster_quota_exceeded(const Cluster *c, const struct pod_request *r)
{
    struct fit_quota quota;
    quota_view(c, r->namespace_, pod_store_find(c->pods, r->uid), &quota);
    for (uint32_t i = 0; i < quota.n; i++) {
        const struct fit_limit *limit = &quota.limits[i];
        int64_t asked = peak_asked(c, r, limit->resource);
        if (asked && limit->used + asked > quota_scaled(c, limit->resource, limit->limit))
            return g_ptr_array_index(c->resources, limit->resource);
    }
    return NULL;
}

/* Is what is asked of the resource the least that any grant of the family counts for it? A MIG profile may
 * have less compute than was asked for, other kinds of compute are known only on the card. */
static bool is_least(const Cluster *c, const struct family *f, uint16_t resource)
{
    if (c->mem_resource[f->id] == resource)
        return f->quota;
    bool plain = f->cores_kind == FAMILY_CORES_PERCENT || f->cores_kind == FAMILY_CORES_UNITS;
    return f->quota && plain && f->mem_round != FAMILY_ROUND_CARD_SHAPE &&
           (c->n_mig_nodes == 0 || !choose_has_modes(f));
}

bool quota_refuses(const Cluster *c, const struct pod_request *r, const struct fit_quota *quota)
{
    for (uint32_t i = 0; i < quota->n; i++) {
        const struct fit_limit *limit = &quota->limits[i];
        bool concerned = false, least = true;
        for (uint8_t k = 0; k < r->n_requests; k++) {
            const struct family *f = c->families->rows[r->requests[k].family];
            if (c->mem_resource[f->id] != limit->resource && c->cores_resource[f->id] != limit->resource)
                continue;
            concerned = true;
            least &= is_least(c, f, limit->resource);
        }
        int64_t asked = concerned && least ? peak_asked(c, r, limit->resource) : 0;
        if (asked && limit->used + asked > quota_scaled(c, limit->resource, limit->limit))
            return true;
    }
    return false;
}

void quota_init(Cluster *c)
{
    c->namespace_ids = g_hash_table_new(g_str_hash, g_str_equal);
    c->namespaces = g_ptr_array_new_with_free_func(free_namespace);
    c->resources = g_ptr_array_new_with_free_func(g_free);
    for (uint32_t i = 0; i < c->families->n; i++) {
        const struct family *f = c->families->rows[i];
        c->mem_resource[i] = new_resource(c, f->resource[FAMILY_MEM], f->quota_mem_factor);
        c->cores_resource[i] = new_resource(c, f->resource[FAMILY_CORES], 1);
    }
}

void quota_clear(Cluster *c)
{
    g_hash_table_destroy(c->namespace_ids);
    g_ptr_array_free(c->namespaces, TRUE);
    g_ptr_array_free(c->resources, TRUE);
}
