/* SPDX-License-Identifier: Apache-2.0
 *
 * See parse.h: the containers' requests in the order of the slots, then the
 * annotations.
 */
#include "vendor/parse.h"

#include "base/arena.h"
#include "vendor/request.h"

static void add_requests(const struct family_set *set, const struct pod_object *pod, unsigned slot,
                         struct pod_request *ret, GPtrArray *faults)
{
    const struct pod_container *c = &pod->containers[slot];
    for (uint64_t left = c->families; left; left &= left - 1) {
        const struct family *f = set->rows[__builtin_ctzll(left)];
        struct card_request request;
        if (!f->enabled || !container_request(f, c, settings_soft(f, pod), faults, &request))
            continue;
        if (slot >= POD_SLOTS_MAX || ret->n_requests == POD_REQUESTS_MAX) {
            vendor_fault_add(faults, ADMIT_RULE,
                             "container " FAULT_NAME
                             ": it asks for cards, but is not among the pod's first %d; put it further ahead",
                             c->name, POD_SLOTS_MAX);
            return;
        }
        request.slot = (uint8_t)slot;
        ret->requests[ret->n_requests++] = request;
    }
}

static enum slot_kind kind_of(const struct pod_container *c)
{
    return c->sidecar ? SLOT_SIDECAR : c->init ? SLOT_INIT : SLOT_APP;
}

static const char *keep(struct pod_request *r, const char *text)
{
    return arena_text(&r->arena, text, strlen(text));
}

static void set_identity(const struct pod_object *pod, struct pod_request *ret)
{
    ret->priority = pod->priority;
    ret->uid = keep(ret, pod->uid);
    ret->namespace_ = keep(ret, pod->namespace_);
    ret->name = keep(ret, pod->name);
    ret->n_slots = (uint8_t)MIN(pod->n_containers, POD_SLOTS_MAX);
    for (unsigned i = 0; i < ret->n_slots; i++) {
        ret->slot_kind[i] = (uint8_t)kind_of(&pod->containers[i]);
        ret->slot_name[i] = keep(ret, pod->containers[i].name);
    }
}

void vendor_request_read(const struct family_set *set, const struct pod_object *pod,
                         const struct pod_defaults *defaults, struct pod_request *ret, GPtrArray *faults)
{
    memset(ret, 0, sizeof *ret);
    set_identity(pod, ret);
    for (unsigned i = 0; i < pod->n_containers; i++)
        add_requests(set, pod, i, ret, faults);
    settings_read(set, pod, defaults, ret, ret->n_requests ? faults : NULL);
}

static bool is_fatal(const struct vendor_fault *f)
{
    return f->check == ADMIT_RULE || f->check == ADMIT_QUANTITY || f->check == ADMIT_WEIGHTS;
}

bool vendor_request_parse(const struct family_set *set, const struct pod_object *pod,
                          const struct pod_defaults *defaults, struct pod_request *ret, GPtrArray *remarks,
                          char **ret_why)
{
    g_autoptr(GPtrArray) faults = vendor_faults_new();
    vendor_request_read(set, pod, defaults, ret, faults);
    for (unsigned i = 0; i < faults->len; i++) {
        struct vendor_fault *f = faults->pdata[i];
        if (is_fatal(f)) {
            *ret_why = g_steal_pointer(&f->text);
            pod_request_clear(ret);
            return false;
        }
        if (remarks)
            g_ptr_array_add(remarks, g_strdup(f->text));
    }
    return true;
}

void vendor_request_of_bound(const struct family_set *set, const struct pod_object *pod,
                             const struct pod_defaults *defaults, struct pod_request *ret)
{
    vendor_request_read(set, pod, defaults, ret, NULL);
}
