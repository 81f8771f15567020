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

static const char *spec_text(const struct admission *a, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(a->patch.document, "spec"), key));
    return text ? text : "";
}

/* The API server fills in default-scheduler before admission. */
static bool is_others(const struct admission *a)
{
    const char *its = spec_text(a, "schedulerName"), *own = a->policy->scheduler_name;
    if (!*its || (strcmp(its, "default-scheduler") == 0 && a->policy->force_overwrite))
        return false;
    return !own || !*own || strcmp(its, own) != 0;
}

/* ---- changes ---- */

static void change_container(struct admission *a)
{
    bool asked[FAMILIES_MAX] = {0};
    for (uint32_t i = 0; i < a->set->n; i++) {
        const struct family *f = a->set->rows[i];
        if (!f->enabled)
            continue;
        asked[i] = strcmp(f->word, WORD_NVIDIA) == 0 ? admit_nvidia(a, f) : admit_family(a, f);
        a->ours |= asked[i];
    }
    admit_bystander(a, asked);
}

static void change_containers(struct admission *a, const char *list)
{
    json_t *containers = json_object_get(json_object_get(a->patch.document, "spec"), list);
    for (size_t i = 0; i < json_array_size(containers); i++) {
        a->list = list;
        g_snprintf(a->index, sizeof a->index, "%zu", i);
        a->container = patch_hold(&a->patch, (const char *const[]){"spec", list, a->index, NULL});
        const char *name = json_string_value(json_object_get(a->container, "name"));
        a->name = name ? name : "";
        change_container(a);
    }
}

static void take_over(struct admission *a)
{
    const char *own = a->policy->scheduler_name;
    if (!own || !*own)
        return;
    patch_set(&a->patch, json_string(own), (const char *const[]){"spec", "schedulerName", NULL});
    if (*spec_text(a, "nodeName"))
        vendor_fault_add(a->faults, ADMIT_RULE,
                         "pod has node assigned: spec.nodeName is \"%.253s\", which passes the scheduler by; "
                         "remove it, or select the node by spec.nodeSelector",
                         spec_text(a, "nodeName"));
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

static void check_request(struct admission *a, const struct pod_object *pod, const char *namespace_)
{
    struct pod_request r;
    vendor_request_read(a->set, pod, &a->policy->defaults, &r, a->faults);
    r.namespace_ = namespace_; /* the API server's word for it, which the pod may leave out */
    admit_check_contradictions(a, &r);
    if (is_readable(a->faults) && !pod_request_is_empty(&r)) {
        check_quota(a, &r, namespace_);
        check_possible(a, &r);
    }
    pod_request_clear(&r);
}

/* The named members of an object, shared. */
static json_t *members_of(const json_t *object, const char *const *keys)
{
    json_t *some = json_object(), *value;
    for (; *keys; keys++)
        if ((value = json_object_get(object, *keys)))
            json_object_set(some, *keys, value);
    return some;
}

static json_t *containers_of(const json_t *spec, const char *list)
{
    json_t *some = json_array(), *container;
    size_t i;
    json_array_foreach(json_object_get(spec, list), i, container)
    {
        json_array_append_new(
            some, members_of(container, (const char *const[]){"name", "resources", "restartPolicy", NULL}));
    }
    return some;
}

/* The changed pod as text, with what the request is read from: a pod carries
 * ten times as much. */
static char *essence_of(const json_t *pod)
{
    json_t *spec = json_object_get(pod, "spec"), *metadata = json_object_get(pod, "metadata");
    json_t *essence = json_pack(
        "{s:o, s:{s:o, s:o}}", "metadata",
        members_of(metadata, (const char *const[]){"name", "namespace", "uid", "annotations", NULL}), "spec",
        "initContainers", containers_of(spec, "initContainers"), "containers",
        containers_of(spec, "containers"));
    char *text = json_dumps(essence, JSON_COMPACT);
    json_decref(essence);
    return text;
}

/* Reads the changed pod the way the scheduler will. */
static void read_back(struct admission *a, const char *request_namespace)
{
    char *text = essence_of(a->patch.document);
    g_autoptr(PodReader) made = a->policy->reader ? NULL : pod_reader_new(a->set);
    const struct pod_reader *reader = made ? made : a->policy->reader;
    struct pod_object pod;
    const char *why = "it cannot be written down";
    if (text && !a->patch.broken && pod_object_parse(reader, text, strlen(text), &pod, &why)) {
        check_request(a, &pod, request_namespace && *request_namespace ? request_namespace : pod.namespace_);
        pod_object_clear(&pod);
    } else {
        vendor_fault_add(a->faults, ADMIT_RULE, "the pod cannot be read: %s",
                         a->patch.broken ? "a member has another type than a pod's" : why);
    }
    free(text);
}

/* ---- the answer ---- */

static enum admit_level level_of(const struct admit_policy *policy, const struct vendor_fault *f)
{
    return f->check == ADMIT_RULE ? ADMIT_DENY : policy->level[f->check];
}

static void answer(struct admission *a, struct admit_result *ret)
{
    g_autoptr(GString) message = g_string_new(NULL);
    for (unsigned i = 0; i < a->faults->len; i++) {
        const struct vendor_fault *f = a->faults->pdata[i];
        enum admit_level level = level_of(a->policy, f);
        if (level == ADMIT_DENY)
            g_string_append_printf(message, "%s%s", message->len ? "; " : "", f->text);
        if (level != ADMIT_WARN)
            continue;
        if (!ret->warnings)
            ret->warnings = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(ret->warnings, g_strdup(f->text));
    }
    ret->allowed = message->len == 0;
    ret->ours = a->ours;
    if (!ret->allowed)
        ret->message = g_string_free(g_steal_pointer(&message), FALSE);
    else if (json_array_size(a->patch.operations))
        ret->patch = json_incref(a->patch.operations);
}

static void decide(struct admission *a, const char *request_namespace)
{
    change_containers(a, "initContainers");
    change_containers(a, "containers");
    if (!a->ours)
        return;
    admit_check_isolation(a);
    take_over(a);
    read_back(a, request_namespace);
}

void vendor_admit(const struct family_set *set, const struct admit_policy *policy, json_t *pod,
                  const char *request_namespace, struct admit_result *ret)
{
    struct admission a = {.set = set, .policy = policy};
    *ret = (struct admit_result){0};
    if (!json_array_size(json_object_get(json_object_get(pod, "spec"), "containers"))) {
        ret->message =
            g_strdup("pod has no containers: spec.containers is missing or empty; write at least one");
        return;
    }
    patch_init(&a.patch, pod);
    a.faults = vendor_faults_new();
    admit_check_forged(&a, pod);
    bool others = is_others(&a);
    if (!others)
        decide(&a, request_namespace);
    answer(&a, ret);
    if (ret->allowed && others)
        ret->message = g_strdup("pod already has different scheduler assigned");
    g_ptr_array_unref(a.faults);
    patch_clear(&a.patch);
}

void admit_result_clear(struct admit_result *r)
{
    json_decref(r->patch);
    g_free(r->message);
    if (r->warnings)
        g_ptr_array_unref(r->warnings);
    *r = (struct admit_result){0};
}
