/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of decisions (scheduler.md section 2.3): what is not ours is left
 * alone; containers are changed by the families' hooks; the request is read
 * from the changed pod, exactly as the scheduler will read it; then everything
 * that is wrong is said at once.
 */
#include "vendor/admit.h"

#include "vendor/admission.h"
#include "vendor/families.h"
#include "vendor/request.h"

#define SAID_MAX 32 /* faults in one message; nobody reads more, and anyone can make thousands */

/* The API server fills in default-scheduler before admission. */
static bool is_others(const struct admission *a)
{
    const char *its = a->pod->scheduler, *own = a->policy->scheduler_name;
    if (!*its || (strcmp(its, "default-scheduler") == 0 && a->policy->force_overwrite))
        return false;
    return !own || !*own || strcmp(its, own) != 0;
}

/* ---- changes ---- */

static void change_container(struct admission *a)
{
    uint64_t asked = 0;
    for (uint64_t left = a->container->families; left; left &= left - 1) {
        int row = __builtin_ctzll(left);
        const struct family *f = a->set->rows[row];
        if (f->enabled && (strcmp(f->word, WORD_NVIDIA) == 0 ? admit_nvidia(a, f) : admit_family(a, f)))
            asked |= UINT64_C(1) << row;
    }
    a->ours |= asked != 0;
    admit_bystander(a, asked);
}

static void change_containers(struct admission *a, const char *list, uint32_t first, uint32_t end)
{
    a->list = list;
    for (uint32_t i = first; i < end; i++) {
        a->container = &a->pod->containers[i];
        a->n_written = 0;
        g_snprintf(a->index, sizeof a->index, "%u", i - first);
        change_container(a);
    }
}

static void take_over(struct admission *a)
{
    const char *own = a->policy->scheduler_name;
    if (!own || !*own)
        return;
    admission_set_scheduler(a, own);
    if (*a->pod->node)
        vendor_fault_add(a->faults, ADMIT_RULE,
                         "pod has node assigned: spec.nodeName is \"%.253s\", which passes the scheduler by; "
                         "remove it, or select the node by spec.nodeSelector",
                         a->pod->node);
}

/* ---- the request ---- */

static void check_quota(struct admission *a, const struct pod_request *r, const char *namespace_)
{
    const char *exceeded = a->policy->quota ? a->policy->quota(r, namespace_, a->policy->data) : NULL;
    if (exceeded)
        vendor_fault_add(
            a->faults, ADMIT_RULE,
            "exceeding resource quota: the pod's limits.%s do not fit into what namespace %.63s has "
            "left; ask for less, or have the ResourceQuota raised",
            exceeded, namespace_);
}

static void check_possible(struct admission *a, const struct pod_request *r)
{
    g_autofree char *why = a->policy->impossible ? a->policy->impossible(r, a->policy->data) : NULL;
    if (why)
        vendor_fault_add(a->faults, ADMIT_IMPOSSIBLE, "%s", why);
}

/* Whether the request could be read to the end; a wrong number makes the other checks idle. */
static bool is_readable(const GPtrArray *faults)
{
    for (unsigned i = 0; i < faults->len; i++) {
        const struct vendor_fault *f = faults->pdata[i];
        if (f->check == ADMIT_QUANTITY || f->check == ADMIT_RULE)
            return false;
    }
    return true;
}

static void check_request(struct admission *a, const char *namespace_)
{
    struct pod_request r;
    vendor_request_read(a->set, a->pod, &a->policy->defaults, &r, a->faults);
    r.namespace_ = namespace_; /* the API server's word for it, which the pod may leave out */
    admit_check_contradictions(a, &r);
    if (is_readable(a->faults) && !pod_request_is_empty(&r)) {
        check_quota(a, &r, namespace_);
        check_possible(a, &r);
    }
    pod_request_clear(&r);
}

/* Why the scheduler would not take the changed pod; NULL = it would. */
static const char *unreadable(const struct admission *a)
{
    const struct pod_object *pod = a->pod;
    if (a->patch.broken)
        return "a member has another type than a pod's";
    if (pod->n_containers > POD_CONTAINERS_MAX)
        return "more containers than a pod can have";
    for (uint32_t i = 0; i < pod->n_containers; i++)
        if (pod->containers[i].n_resources > POD_RESOURCES_MAX)
            return "more accelerator resources in a container than there can be";
    return NULL;
}

/* Reads the changed pod the way the scheduler will. */
static void read_back(struct admission *a, const char *request_namespace)
{
    const char *why = unreadable(a);
    if (why)
        vendor_fault_add(a->faults, ADMIT_RULE, "the pod cannot be read: %s", why);
    else
        check_request(a, request_namespace && *request_namespace ? request_namespace : a->pod->namespace_);
}

/* ---- the answer ---- */

static enum admit_level level_of(const struct admit_policy *policy, const struct vendor_fault *f)
{
    return f->check == ADMIT_RULE ? ADMIT_DENY : policy->level[f->check];
}

static void warn(struct admit_result *ret, const char *text)
{
    if (!ret->warnings)
        ret->warnings = g_ptr_array_new_with_free_func(g_free);
    if (ret->warnings->len < SAID_MAX)
        g_ptr_array_add(ret->warnings, g_strdup(text));
}

static void refuse(struct admit_result *ret, GString *message, const char *text)
{
    if (!ret->refusals)
        ret->refusals = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(ret->refusals, g_strdup(text));
    g_string_append_printf(message, "%s%s", message->len ? "; " : "", text);
}

static void answer(struct admission *a, struct admit_result *ret)
{
    g_autoptr(GString) message = g_string_new(NULL);
    unsigned denied = 0;
    for (unsigned i = 0; i < a->faults->len; i++) {
        const struct vendor_fault *f = a->faults->pdata[i];
        enum admit_level level = level_of(a->policy, f);
        if (level == ADMIT_WARN)
            warn(ret, f->text);
        else if (level == ADMIT_DENY && denied++ < SAID_MAX)
            refuse(ret, message, f->text);
    }
    if (denied > SAID_MAX)
        g_string_append_printf(message, "; and %u more", denied - SAID_MAX);
    ret->allowed = denied == 0;
    ret->ours = a->ours;
    if (!ret->allowed)
        ret->message = g_string_free(g_steal_pointer(&message), FALSE);
    else
        ret->patch = patch_steal(&a->patch);
}

static void decide(struct admission *a, const char *request_namespace)
{
    change_containers(a, "initContainers", 0, a->pod->n_init);
    change_containers(a, "containers", a->pod->n_init, a->pod->n_containers);
    if (!a->ours)
        return;
    admit_check_isolation(a);
    take_over(a);
    read_back(a, request_namespace);
}

void vendor_admit(const struct family_set *set, const struct admit_policy *policy, struct pod_object *pod,
                  const char *request_namespace, struct admit_result *ret)
{
    struct admission a = {.set = set, .policy = policy, .pod = pod};
    *ret = (struct admit_result){0};
    if (pod->n_containers == pod->n_init) {
        ret->message =
            g_strdup("pod has no containers: spec.containers is missing or empty; write at least one");
        return;
    }
    a.faults = vendor_faults_new();
    admit_check_forged(&a);
    bool others = is_others(&a);
    if (!others)
        decide(&a, request_namespace);
    answer(&a, ret);
    if (ret->allowed && others)
        ret->message = g_strdup("pod already has different scheduler assigned");
    g_ptr_array_unref(a.faults);
    patch_clear(&a.patch);
}

void vendor_admit_text(const struct family_set *set, const struct pod_reader *reader,
                       const struct admit_policy *policy, const char *text, size_t len,
                       const char *request_namespace, struct admit_result *ret)
{
    g_autoptr(PodReader) made = reader ? NULL : pod_reader_new(set);
    struct json_scan s;
    struct pod_object pod;
    json_scan_init(&s, text, len);
    if (pod_object_scan_new(made ? made : reader, &s, &pod)) {
        if (json_scan_end(&s))
            vendor_admit(set, policy, &pod, request_namespace, ret);
        pod_object_clear(&pod);
    }
    if (s.fault)
        *ret = (struct admit_result){.message = g_strdup_printf("the pod cannot be read: %s", s.fault)};
}

void admit_result_clear(struct admit_result *r)
{
    g_free(r->patch);
    g_free(r->message);
    if (r->warnings)
        g_ptr_array_unref(r->warnings);
    if (r->refusals)
        g_ptr_array_unref(r->refusals);
    *r = (struct admit_result){0};
}
