/* SPDX-License-Identifier: Apache-2.0
 *
 * What a pod was given: nobody but scheduler and agents writes it, whichever way, and nobody shows
 * more to a container that is added to debug it.
 */
#include "model/annotation.h"
#include "scheduler/policy.h"

#define MAY_ASSIGN                                                                                           \
    "authorizer.group('hami.io').resource('assignments').namespace(request.namespace).check('update')."      \
    "allowed()"

/* ---- assignments ---- */

/* Only our own: vendors' keys are also written by their software and by other
 * schedulers, which know nothing of this policy, and are believed by nobody here. */
static void add_key(GPtrArray *keys, const char *key)
{
    if (key && g_str_has_prefix(key, "hami.io/") &&
        !g_ptr_array_find_with_equal_func(keys, key, g_str_equal, NULL))
        g_ptr_array_add(keys, (gpointer)(uintptr_t)key);
}

static char *assignment_keys(const struct family_set *set)
{
    static const char *const fixed[] = {annotation_vgpu_node,       annotation_vgpu_time,
                                        annotation_mig_allocations, annotation_bind_phase,
                                        annotation_bind_time,       annotation_amd_cus};
    g_autoptr(GPtrArray) keys = g_ptr_array_new();
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
    return policy_list((const char *const *)keys->pdata);
}

/* Old and new value of a map of the metadata. */
static void before_and_after(GString *out, const char *before, const char *after, const char *map)
{
    policy_variable(
        out, before,
        "request.operation == 'UPDATE' && has(oldObject.metadata.%s) ? oldObject.metadata.%s : {}", map, map);
    policy_variable(out, after, "has(object.metadata.%s) ? object.metadata.%s : {}", map, map);
}

/* Of two maps, the keys of assignments, known ones and those under our prefix, that differ. */
static void changed_keys(GString *out, const char *name, const char *before, const char *after)
{
    policy_variable(out, name,
                    "(variables.assignment\n"
                    "      + variables.%s.filter(k, k.startsWith('hami.io/vgpu-') && !(k in "
                    "variables.assignment))\n"
                    "      + variables.%s.filter(k, k.startsWith('hami.io/vgpu-') && !(k in "
                    "variables.assignment)))\n"
                    "      .filter(k, (k in variables.%s) != (k in variables.%s)\n"
                    "        || (k in variables.%s && variables.%s[k] != variables.%s[k]))",
                    after, before, after, before, after, after, before);
}

static void assignments(GString *out, const struct scheduler_options *o, const struct family_set *set)
{
    static const char rules[] =
        "    - {operations: [CREATE, UPDATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods]}\n"
        "    - {operations: [UPDATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods/status, "
        "pods/ephemeralcontainers, pods/resize]}\n"
        "    - {operations: [CREATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods/binding, "
        "bindings]}\n";
    static const char briefly[] = "what a pod was given is written by the scheduler; leave it out";
    const struct policy_frame f = {"hami-assignments", o->admission[ADMIT_FORGED], rules, NULL, o};
    g_autofree char *keys = assignment_keys(set);
    if (f.level == ADMIT_OFF)
        return;
    policy_begin(out, &f);
    before_and_after(out, "before", "after", "annotations");
    before_and_after(out, "labelsBefore", "labelsAfter", "labels");
    policy_variable(out, "assignment", "%s", keys);
    changed_keys(out, "changed", "before", "after");
    changed_keys(out, "changedLabels", "labelsBefore", "labelsAfter");
    policy_variable(out, "agent",
                    "request.operation == 'UPDATE' && has(request.userInfo.extra) && "
                    "has(dyn(object).spec.nodeName)\n"
                    "      && 'authentication.kubernetes.io/node-name' in request.userInfo.extra\n"
                    "      && dyn(object).spec.nodeName in "
                    "request.userInfo.extra['authentication.kubernetes.io/node-name']");
    policy_validations(out);
    policy_validation(
        out, "size(variables.changed) == 0 || variables.agent\n      || " MAY_ASSIGN,
        "'annotation ' + variables.changed[0] + ' says which device a pod was given and is written "
        "by the scheduler: leave it out, or give '\n      + request.userInfo.username + ' the right "
        "to update assignments.hami.io'",
        briefly);
    policy_validation(
        out, "size(variables.changedLabels) == 0 || variables.agent\n      || " MAY_ASSIGN,
        "'label ' + variables.changedLabels[0] + ' says which device a pod was given and is written "
        "by the scheduler: leave it out, or give '\n      + request.userInfo.username + ' the right "
        "to update assignments.hami.io'",
        briefly);
    policy_end(out, &f);
}

/* ---- containers for debugging ---- */

/* Such a container names no resources, and what the node's container runtime gives it is decided by its
 * environment, or by being privileged. */
static void added_containers(GString *out, const struct family_set *set)
{
    g_auto(GStrv) cards = vendor_config_resources(set);
    g_autofree char *list = policy_list((const char *const *)cards);
    policy_variable(out, "cards", "%s", list);
    policy_variable(
        out, "asks",
        "(object.spec.containers + (has(object.spec.initContainers) ? object.spec.initContainers : []))\n"
        "      .exists(c, has(c.resources) && has(c.resources.limits) && c.resources.limits.exists(k, k in "
        "variables.cards))");
    policy_variable(
        out, "added",
        "!variables.asks || !has(object.spec.ephemeralContainers) ? [] :\n"
        "      object.spec.ephemeralContainers.filter(c, !has(oldObject.spec.ephemeralContainers)\n"
        "        || !oldObject.spec.ephemeralContainers.exists(o, o.name == c.name))");
}

#define EPHEMERAL                                                                                            \
    "    - {operations: [UPDATE], apiGroups: [\"\"], apiVersions: [v1], resources: "                         \
    "[pods/ephemeralcontainers]}\n"

static void ephemeral_privileged(GString *out, const struct scheduler_options *o,
                                 const struct family_set *set)
{
    const struct policy_frame f = {"hami-ephemeral-privileged", o->admission[ADMIT_PRIVILEGED], EPHEMERAL,
                                   NULL, o};
    if (f.level == ADMIT_OFF)
        return;
    policy_begin(out, &f);
    added_containers(out, set);
    policy_variable(
        out, "privileged",
        "variables.added.filter(c, has(c.securityContext) && has(c.securityContext.privileged) && "
        "c.securityContext.privileged)");
    policy_validations(out);
    policy_validation(
        out, "size(variables.privileged) == 0\n      || " MAY_ASSIGN,
        "'ephemeral container ' + variables.privileged[0].name + ' is privileged: it would see every "
        "device of the node; remove securityContext.privileged, or give '\n"
        "      + request.userInfo.username + ' the right to update assignments.hami.io'",
        "a privileged ephemeral container would see every device of the node; remove "
        "securityContext.privileged");
    policy_end(out, &f);
}

/* An environment variable `e` with which a container runtime is asked for cards. The variables of
 * libraries only choose among what is there. */
#define SHOWS_CARDS                                                                                          \
    "e.name.endsWith('_VISIBLE_DEVICES')\n"                                                                  \
    "        && !(e.name in ['CUDA_VISIBLE_DEVICES', 'HIP_VISIBLE_DEVICES', 'ROCR_VISIBLE_DEVICES', "        \
    "'TOPS_VISIBLE_DEVICES'])\n"                                                                             \
    "        && (has(e.valueFrom) || (has(e.value) && !(e.value in ['', 'none', 'void'])))"

static void ephemeral_visible(GString *out, const struct scheduler_options *o, const struct family_set *set)
{
    enum admit_level all = o->admission[ADMIT_VISIBLE_ALL], cards = o->admission[ADMIT_VISIBLE_CARDS];
    const struct policy_frame f = {"hami-ephemeral-visible", MIN(all, cards), EPHEMERAL, NULL, o};
    if (f.level == ADMIT_OFF)
        return;
    policy_begin(out, &f);
    added_containers(out, set);
    policy_variable(out, "seeing",
                    "variables.added.filter(c, has(c.env) && c.env.exists(e, " SHOWS_CARDS "))");
    policy_validations(out);
    policy_validation(out, "size(variables.seeing) == 0\n      || " MAY_ASSIGN,
                      "'ephemeral container ' + variables.seeing[0].name + ': env '\n"
                      "      + variables.seeing[0].env.filter(e, " SHOWS_CARDS ")[0].name\n"
                      "      + ' shows it cards beyond those of its pod; remove it, or give '\n"
                      "      + request.userInfo.username + ' the right to update assignments.hami.io'",
                      "a variable shows the ephemeral container cards beyond those of its pod; remove it");
    policy_end(out, &f);
}

void policies_assigned(GString *out, const struct scheduler_options *o, const struct family_set *set)
{
    assignments(out, o, set);
    ephemeral_privileged(out, o, set);
    ephemeral_visible(out, o, set);
}
