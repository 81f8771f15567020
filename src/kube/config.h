/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the API server is and who we are: a kubeconfig file, or the files of
 * the pod's service account.
 *
 * Order, as the reference's: the path given, $KUBECONFIG, ~/.kube/config if it
 * exists, the service account. Relative file names in a kubeconfig are relative to
 * it. Exec plugins, auth providers, passwords,
 * impersonation and proxies are refused, with the field and the way out.
 * Sources: client-go clientcmd api/v1 types; rest.InClusterConfig.
 */
#ifndef HAMI_KUBE_CONFIG_H
#define HAMI_KUBE_CONFIG_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#define KUBE_CONFIG_MAX (1 << 20) /* bytes of a kubeconfig */
#define KUBE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

/* Owned strings, NULL where absent. */
struct kube_config {
    char *server;          /* "https://host:port", maybe with a path, no "/" at its end */
    char *ca_pem;          /* NULL: the system's */
    char *tls_server_name; /* name the certificate must have instead of the host's */
    bool insecure;         /* insecure-skip-tls-verify */
    char *cert_pem, *key_pem;
    char *cert_path, *key_path; /* re-read before a connection where they came from files */
    char *token;                /* fixed */
    char *token_path;           /* rotates */
    char *namespace;            /* of the context or the pod; "default" */
    char *source;               /* for people: the file, or "service account" */
};
void kube_config_free(struct kube_config *config);
typedef struct kube_config KubeConfig;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KubeConfig, kube_config_free)

/* `context` NULL: current-context. `folder` is what relative names lie in;
 * `name` is for messages. Reads the certificate and key files that are named. */
KubeConfig *kube_config_parse(const char *text, size_t len, const char *name, const char *folder,
                              const char *context, GError **error);

KubeConfig *kube_config_load(const char *path, const char *context, GError **error);

/* host and port as KUBERNETES_SERVICE_HOST and _PORT say. */
KubeConfig *kube_config_in_cluster(const char *folder, const char *host, const char *port, GError **error);

/* The order above. path and context may be NULL. Reads the environment. */
KubeConfig *kube_config_find(const char *path, const char *context, GError **error);

#endif
