/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests that follow from the families in force, so that they need not be
 * kept in step by hand: what kube-scheduler must be told, and which annotations
 * admission protects.
 */
#include <string.h>

#include "base/status.h"
#include "model/annotation.h"
#include "scheduler/scheduler.h"

static char *managed_resources(const struct family_set *set)
{
    g_auto(GStrv) names = vendor_config_resources(set);
    GString *out = g_string_new("managedResources:\n");
    for (char **n = names; *n; n++)
        g_string_append_printf(out, "- {name: %s, ignoredByScheduler: true}\n", *n);
    return g_string_free(out, FALSE);
}

/* Only our own: vendors' keys are also written by their software and by other
 * schedulers, which know nothing of this policy, and are believed by nobody here. */
static void add_key(GPtrArray *keys, const char *key)
{
    if (key && g_str_has_prefix(key, "hami.io/") &&
        !g_ptr_array_find_with_equal_func(keys, key, g_str_equal, NULL))
        g_ptr_array_add(keys, (gpointer)(uintptr_t)key);
}

/* A list of CEL strings. In one expression, since a policy's cost is counted by its length. */
static void append_list(GString *out, const char *name, char **items)
{
    g_string_append_printf(out, "  - name: %s\n    expression: >-\n      [", name);
    for (char **i = items; *i; i++)
        g_string_append_printf(out, "%s'%s'", i == items ? "" : ",\n      ", *i);
    g_string_append(out, "]\n");
}

#define MAY_ASSIGN                                                                                           \
    "authorizer.group('hami.io').resource('assignments').namespace(request.namespace).check('update')."      \
    "allowed()"

/* An environment variable `e` with which a container runtime is asked for cards. */
#define SHOWS_CARDS                                                                                          \
    "e.name.endsWith('_VISIBLE_DEVICES')\n"                                                                  \
    "        && !(e.name in ['CUDA_VISIBLE_DEVICES', 'HIP_VISIBLE_DEVICES', 'ROCR_VISIBLE_DEVICES', "        \
    "'TOPS_VISIBLE_DEVICES'])\n"                                                                             \
    "        && (has(e.valueFrom) || (has(e.value) && !(e.value in ['', 'none', 'void'])))"

static void append_policy(GString *out, const char *name)
{
    g_string_append_printf(out,
                           "%sapiVersion: admissionregistration.k8s.io/v1\nkind: "
                           "ValidatingAdmissionPolicy\nmetadata:\n  name: %s\n",
                           out->len ? "---\n" : "", name);
}

static void append_binding(GString *out, const char *name)
{
    g_string_append_printf(out,
                           "---\napiVersion: admissionregistration.k8s.io/v1\nkind: "
                           "ValidatingAdmissionPolicyBinding\nmetadata:\n  name: %s\n"
                           "spec:\n  policyName: %s\n  validationActions: [Deny]\n",
                           name, name);
}

static void assignments_policy(GString *out, const struct family_set *set)
{
    static const char *const fixed[] = {annotation_vgpu_node,       annotation_vgpu_time,
                                        annotation_mig_allocations, annotation_bind_phase,
                                        annotation_bind_time,       annotation_amd_cus};
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    append_policy(out, "hami-assignments");
    g_string_append(
        out,
        "spec:\n  failurePolicy: Fail\n  matchConstraints:\n    resourceRules:\n"
        "    - {operations: [CREATE, UPDATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods]}\n"
        "    - {operations: [UPDATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods/status, "
        "pods/ephemeralcontainers, "
        "pods/resize]}\n"
        "    - {operations: [CREATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods/binding, "
        "bindings]}\n"
        "  variables:\n"
        "  - name: before\n    expression: \"request.operation == 'UPDATE' && "
        "has(oldObject.metadata.annotations) ? "
        "oldObject.metadata.annotations : {}\"\n"
        "  - name: after\n    expression: \"has(object.metadata.annotations) ? object.metadata.annotations : "
        "{}\"\n");
    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++)
        add_key(keys, fixed[i]);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct family *f = set->rows[i];
        add_key(keys, f->to_allocate_key);
        add_key(keys, f->allocated_key);
        for (const struct family_write *w = f->writes; w->key; w++)
            add_key(keys, w->key);
    }
    g_ptr_array_add(keys, NULL);
    append_list(out, "assignment", (char **)keys->pdata);
    g_string_append(
        out, "  - name: changed\n    expression: >-\n"
             "      variables.assignment.filter(k, (k in variables.after) != (k in variables.before)\n"
             "        || (k in variables.after && variables.after[k] != variables.before[k]))\n"
             "  - name: agent\n    expression: >-\n"
             "      request.operation == 'UPDATE' && has(request.userInfo.extra) && "
             "has(dyn(object).spec.nodeName)\n"
             "      && 'authentication.kubernetes.io/node-name' in request.userInfo.extra\n"
             "      && dyn(object).spec.nodeName in "
             "request.userInfo.extra['authentication.kubernetes.io/node-name']\n"
             "  validations:\n  - expression: >-\n      size(variables.changed) == 0 || variables.agent\n"
             "      || " MAY_ASSIGN "\n"
             "    messageExpression: >-\n      'annotation ' + variables.changed[0] + ' says which "
             "device a pod was given and is written by "
             "the scheduler: leave it out, or give '\n"
             "      + request.userInfo.username + ' the right to update assignments.hami.io'\n    "
             "reason: Forbidden\n");
    append_binding(out, "hami-assignments");
}

/* Who debugs a pod with cards gets none beside them: such a container names no resources, and what the node's
 * container runtime gives it is decided by its environment, or by being privileged. The variables of
 * libraries only choose among what is there. */
static void ephemeral_policy(GString *out, const struct family_set *set)
{
    g_auto(GStrv) cards = vendor_config_resources(set);
    append_policy(out, "hami-ephemeral-containers");
    g_string_append(out, "spec:\n  failurePolicy: Fail\n  matchConstraints:\n    resourceRules:\n"
                         "    - {operations: [UPDATE], apiGroups: [\"\"], apiVersions: [v1], resources: "
                         "[pods/ephemeralcontainers]}\n"
                         "  variables:\n");
    append_list(out, "cards", cards);
    g_string_append(
        out,
        "  - name: asks\n    expression: >-\n"
        "      (object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : "
        "[]))\n"
        "      .exists(c, has(c.resources) && has(c.resources.limits) && c.resources.limits.exists(k, k in "
        "variables.cards))\n"
        "  - name: added\n    expression: >-\n"
        "      !variables.asks || !has(object.spec.ephemeralContainers) ? [] :\n"
        "      object.spec.ephemeralContainers.filter(c, !has(oldObject.spec.ephemeralContainers)\n"
        "        || !oldObject.spec.ephemeralContainers.exists(o, o.name == c.name))\n"
        "  - name: privileged\n    expression: >-\n"
        "      variables.added.filter(c, has(c.securityContext) && has(c.securityContext.privileged) && "
        "c.securityContext.privileged)\n"
        "  - name: seeing\n    expression: >-\n"
        "      variables.added.filter(c, has(c.env) && c.env.exists(e, " SHOWS_CARDS "))\n"
        "  validations:\n  - expression: >-\n      size(variables.privileged) == 0\n      || " MAY_ASSIGN "\n"
        "    messageExpression: >-\n"
        "      'ephemeral container ' + variables.privileged[0].name + ' is privileged: it would see every "
        "device of the "
        "node; remove securityContext.privileged, or give '\n"
        "      + request.userInfo.username + ' the right to update assignments.hami.io'\n"
        "    reason: Forbidden\n"
        "  - expression: >-\n      size(variables.seeing) == 0\n      || " MAY_ASSIGN "\n"
        "    messageExpression: >-\n"
        "      'ephemeral container ' + variables.seeing[0].name + ': env '\n"
        "      + variables.seeing[0].env.filter(e, " SHOWS_CARDS ")[0].name\n"
        "      + ' shows it cards beyond those of its pod; remove it, or give '\n"
        "      + request.userInfo.username + ' the right to update assignments.hami.io'\n"
        "    reason: Forbidden\n");
    append_binding(out, "hami-ephemeral-containers");
}

static char *admission_policy(const struct family_set *set)
{
    GString *out = g_string_new("");
    assignments_policy(out, set);
    ephemeral_policy(out, set);
    return g_string_free(out, FALSE);
}

static const struct {
    const char *name;
    char *(*print)(const struct family_set *set);
} prints[] = {
    {"managed-resources", managed_resources},
    {"admission-policy", admission_policy},
};

char *scheduler_print(const struct scheduler_options *options, const char *what, GError **error)
{
    g_autoptr(FamilySet) set = vendor_config_parse(
        options->device_config, options->device_config ? strlen(options->device_config) : 0,
        &options->vendors, NULL, error);
    for (size_t i = 0; set && i < G_N_ELEMENTS(prints); i++)
        if (strcmp(prints[i].name, what) == 0)
            return prints[i].print(set);
    if (set)
        g_set_error(error, STATUS_ERROR, STATUS_USAGE,
                    "--print %s: is neither managed-resources nor admission-policy", what);
    return NULL;
}
