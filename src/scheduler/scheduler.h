/* SPDX-License-Identifier: Apache-2.0
 *
 * `hami scheduler`: kube-scheduler extender, admission webhook, registration
 * of nodes, metrics. Wiring only: what is decided is decided in sched/ and
 * vendor/, what is said to the API server goes through kube/.
 */
#ifndef HAMI_SCHEDULER_SCHEDULER_H
#define HAMI_SCHEDULER_SCHEDULER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vendor/admit.h"
#include "vendor/config.h"

enum scheduler_events { SCHEDULER_EVENTS_NONE, SCHEDULER_EVENTS_FAILURES, SCHEDULER_EVENTS_ALL };

/* Everything that flags decide. Strings are borrowed for the service's life;
 * NULL or "" = not given. See the table in cli/scheduler.c for meanings. */
struct scheduler_options {
    const char *http_bind, *webhook_bind, *metrics_bind;
    const char *cert_file, *key_file, *client_ca_file;
    const char *webhook_configuration; /* MutatingWebhookConfiguration that gets our CA */
    const char *webhook_names;         /* comma list: what the certificate is made for */
    const char *trusted_user;          /* may create pods that carry assignments */
    uint32_t cert_life_s;              /* of certificates that we make */
    const char *kubeconfig, *kube_context;
    double kube_qps;
    uint32_t kube_burst;
    uint32_t kube_timeout_ms; /* of a request; 0 = 30 s, UINT32_MAX = none (seven weeks) */
    const char *scheduler_name, *node_policy, *card_policy, *node_selector;
    const char *device_config, *device_config_name; /* text and file name; NULL = built-in */
    struct vendor_options vendors;
    bool force_overwrite;
    bool leader_elect, leader_own; /* follow kube-scheduler's lease, or hold one of our own */
    const char *lease_name, *lease_namespace, *identity;
    const char *pod_name, *pod_namespace;  /* of ourselves; NULL outside a cluster */
    uint32_t lease_ms, renew_ms, retry_ms; /* of our own */
    uint32_t silence_ms; /* of kube-scheduler's: given back when not renewed for so long; 0 = never */
    uint32_t lock_timeout_ms, lock_retry_ms, reserve_ms;
    bool legacy_metrics, compat_label, compat_node_lock, compat_handshake;
    enum scheduler_events events;
    enum admit_level admission[ADMIT_CHECKS];
    uint32_t log_level; /* of klog: 0 warnings, 1-4 decisions, 5 and more everything */
    bool log_json;
};

/* Runs until SIGTERM or SIGINT, then gives the lease back and answers what is
 * under way. Exit status, or -1 and error when it could not start. */
int scheduler_run(const struct scheduler_options *options, GError **error);

/* The KubeSchedulerConfiguration's managedResources and the admission policy for these
 * families, as YAML, for `hami scheduler --print=...`. Caller frees; NULL and error for an unknown name. */
char *scheduler_print(const struct scheduler_options *options, const char *what, GError **error);

#endif
