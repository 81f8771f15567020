/* SPDX-License-Identifier: Apache-2.0
 *
 * See policy.h.
 */
#include "scheduler/policy.h"

#define LABELS "  labels: {app.kubernetes.io/name: hami, app.kubernetes.io/component: hami-scheduler}\n"

char *policy_list(const char *const *items)
{
    GString *out = g_string_new("[");
    for (const char *const *i = items; *i; i++)
        g_string_append_printf(out, "%s'%s'", i == items ? "" : ",\n      ", *i);
    g_string_append_c(out, ']');
    return g_string_free(out, FALSE);
}

/* Whom admission looks after: the scheduler's own pods, and those that it would take over, unless they opt
 * out. */
static void condition_ours(GString *out, const struct scheduler_options *o)
{
    const char *own = o->scheduler_name;
    g_string_append(out, "  - name: is-of-this-scheduler\n    expression: >-\n      ");
    if (own && *own)
        g_string_append_printf(out, "object.spec.schedulerName == '%s'", own);
    if (own && *own && o->force_overwrite)
        g_string_append(out, "\n      || ");
    if (o->force_overwrite)
        g_string_append(out,
                        "object.spec.schedulerName == 'default-scheduler' && !(has(object.metadata.labels)\n"
                        "        && 'hami.io/webhook' in object.metadata.labels && "
                        "object.metadata.labels['hami.io/webhook'] == 'ignore')");
    if (!(own && *own) && !o->force_overwrite)
        g_string_append(out, "false");
    g_string_append_c(out, '\n');
}

static void condition_asks(GString *out, char **asked)
{
    g_autofree char *list = policy_list((const char *const *)asked);
    g_string_append_printf(
        out,
        "  - name: asks-for-cards\n    expression: >-\n"
        "      ((has(object.spec.initContainers) ? object.spec.initContainers : []) + "
        "object.spec.containers)\n"
        "      .exists(c, has(c.resources) && has(c.resources.limits) && c.resources.limits.exists(k, k in\n"
        "      %s))\n",
        list);
}

void policy_begin(GString *out, const struct policy_frame *f)
{
    g_string_append_printf(out,
                           "%sapiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\n"
                           "metadata:\n  name: %s\n" LABELS "spec:\n  failurePolicy: Fail\n"
                           "  matchConstraints:\n    resourceRules:\n%s",
                           out->len ? "---\n" : "", f->name, f->rules);
    if (f->asked) {
        g_string_append(out,
                        "    namespaceSelector:\n      matchExpressions: [{key: hami.io/webhook, operator: "
                        "NotIn, values: [ignore]}]\n  matchConditions:\n");
        condition_ours(out, f->options);
        condition_asks(out, f->asked);
    }
    g_string_append(out, "  variables:\n");
}

void policy_variable(GString *out, const char *name, const char *format, ...)
{
    va_list args;
    g_string_append_printf(out, "  - name: %s\n    expression: >-\n      ", name);
    va_start(args, format);
    g_string_append_vprintf(out, format, args);
    va_end(args);
    g_string_append_c(out, '\n');
}

void policy_validations(GString *out)
{
    g_string_append(out, "  validations:\n");
}

void policy_validation(GString *out, const char *expression, const char *otherwise, const char *briefly)
{
    g_string_append_printf(out,
                           "  - expression: >-\n      %s\n    messageExpression: >-\n      %s\n"
                           "    message: >-\n      %s\n    reason: Forbidden\n",
                           expression, otherwise, briefly);
}

void policy_end(GString *out, const struct policy_frame *f)
{
    g_string_append_printf(out,
                           "---\napiVersion: admissionregistration.k8s.io/v1\nkind: "
                           "ValidatingAdmissionPolicyBinding\nmetadata:\n  name: %s\n" LABELS
                           "spec:\n  policyName: %s\n  validationActions: [%s]\n",
                           f->name, f->name, f->level == ADMIT_WARN ? "Warn" : "Deny");
}

char *policies_print(const struct scheduler_options *options, const struct family_set *set)
{
    GString *out = g_string_new("");
    policies_assigned(out, options, set);
    policies_pod(out, options, set);
    return g_string_free(out, FALSE);
}
