/* SPDX-License-Identifier: Apache-2.0
 *
 * The kinds that are served, one row each: where they live in the URL and what
 * they call themselves. Adding a kind is adding a row.
 *   X(symbol, group, version, plural, Kind, namespaced)
 */
#ifndef HAMI_FAKE_RESOURCE_H
#define HAMI_FAKE_RESOURCE_H

#include <stdbool.h>

#define RESOURCES(X)                                                                                         \
    X(NODES, "", "v1", "nodes", "Node", false)                                                               \
    X(PODS, "", "v1", "pods", "Pod", true)                                                                   \
    X(NAMESPACES, "", "v1", "namespaces", "Namespace", false)                                                \
    X(EVENTS, "", "v1", "events", "Event", true)                                                             \
    X(NEW_EVENTS, "events.k8s.io", "v1", "events", "Event", true)                                            \
    X(QUOTAS, "", "v1", "resourcequotas", "ResourceQuota", true)                                             \
    X(CONFIGMAPS, "", "v1", "configmaps", "ConfigMap", true)                                                 \
    X(SECRETS, "", "v1", "secrets", "Secret", true)                                                          \
    X(SERVICES, "", "v1", "services", "Service", true)                                                       \
    X(LEASES, "coordination.k8s.io", "v1", "leases", "Lease", true)                                          \
    X(MUTATING, "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations",                       \
      "MutatingWebhookConfiguration", false)                                                                 \
    X(VALIDATING, "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations",                   \
      "ValidatingWebhookConfiguration", false)                                                               \
    X(POLICIES, "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies",                         \
      "ValidatingAdmissionPolicy", false)                                                                    \
    X(POLICY_BINDINGS, "admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings",            \
      "ValidatingAdmissionPolicyBinding", false)

enum resource {
#define X(symbol, ...) R_##symbol,
    RESOURCES(X)
#undef X
        RESOURCE_KINDS
};

struct resource_words {
    const char *group, *version, *plural, *kind;
    bool namespaced;
};

static const struct resource_words resource_words[RESOURCE_KINDS] = {
#define X(symbol, group, version, plural, kind, namespaced) {group, version, plural, kind, namespaced},
    RESOURCES(X)
#undef X
};

#endif
