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

/* In one list expression, since a policy's cost is counted by its length. */
static char *admission_policy(const struct family_set *set)
{
    static const char *const fixed[] = {annotation_vgpu_node,       annotation_vgpu_time,
                                        annotation_mig_allocations, annotation_bind_phase,
                                        annotation_bind_time,       annotation_amd_cus};
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
    GString *out = g_string_new(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  name: "
        "hami-assignments\n"
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
        "{}\"\n"
        "  - name: assignment\n    expression: >-\n      [");
    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++)
        add_key(keys, fixed[i]);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct family *f = set->rows[i];
        add_key(keys, f->to_allocate_key);
        add_key(keys, f->allocated_key);
        for (const struct family_write *w = f->writes; w->key; w++)
            add_key(keys, w->key);
    }
    for (guint i = 0; i < keys->len; i++)
        g_string_append_printf(out, "%s'%s'", i ? ",\n      " : "", (const char *)keys->pdata[i]);
    g_string_append(
        out, "]\n"
             "  - name: changed\n    expression: >-\n"
             "      variables.assignment.filter(k, (k in variables.after) != (k in variables.before)\n"
             "        || (k in variables.after && variables.after[k] != variables.before[k]))\n"
             "  - name: agent\n    expression: >-\n"
             "      request.operation == 'UPDATE' && has(request.userInfo.extra) && "
             "has(dyn(object).spec.nodeName)\n"
             "      && 'authentication.kubernetes.io/node-name' in request.userInfo.extra\n"
             "      && dyn(object).spec.nodeName in "
             "request.userInfo.extra['authentication.kubernetes.io/node-name']\n"
             "  validations:\n  - expression: >-\n      size(variables.changed) == 0 || variables.agent\n"
             "      || "
             "authorizer.group('hami.io').resource('assignments').namespace(request.namespace).check('"
             "update').allowed()\n"
             "    messageExpression: >-\n      'annotation ' + variables.changed[0] + ' says which "
             "device a pod was given and is written by "
             "the scheduler: leave it out, or give '\n"
             "      + request.userInfo.username + ' the right to update assignments.hami.io'\n    "
             "reason: Forbidden\n---\n"
             "apiVersion: admissionregistration.k8s.io/v1\nkind: "
             "ValidatingAdmissionPolicyBinding\nmetadata:\n  name: hami-assignments\n"
             "spec:\n  policyName: hami-assignments\n  validationActions: [Deny]\n");
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
