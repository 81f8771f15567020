/* SPDX-License-Identifier: Apache-2.0
 *
 * What an API server can say no with, as a GError domain. The text is the
 * `message` of the metav1.Status that came, or our own; request and server are
 * prefixed by who asked. Sources: Kubernetes API conventions, "Response Status
 * Kind"; apimachinery meta/v1 StatusReason.
 */
#ifndef HAMI_KUBE_ERROR_H
#define HAMI_KUBE_ERROR_H

#include <glib.h>
#include <stdint.h>

enum kube_error {
    KUBE_ERROR_BAD_REQUEST,    /* 400 */
    KUBE_ERROR_UNAUTHORIZED,   /* 401 */
    KUBE_ERROR_FORBIDDEN,      /* 403 */
    KUBE_ERROR_NOT_FOUND,      /* 404 */
    KUBE_ERROR_NOT_ALLOWED,    /* 405 */
    KUBE_ERROR_CONFLICT,       /* 409, precondition or race */
    KUBE_ERROR_ALREADY_EXISTS, /* 409, reason AlreadyExists */
    KUBE_ERROR_GONE,           /* 410, a resourceVersion or continue token too old */
    KUBE_ERROR_TOO_LARGE,      /* 413, or an answer beyond our bound */
    KUBE_ERROR_UNSUPPORTED,    /* 406, 415 */
    KUBE_ERROR_INVALID,        /* 422, or a request we do not send */
    KUBE_ERROR_TOO_MANY,       /* 429; see kube_error_retry_after_ms() */
    KUBE_ERROR_INTERNAL,       /* 500 */
    KUBE_ERROR_UNAVAILABLE,    /* 502, 503, no connection, connection lost */
    KUBE_ERROR_TIMEOUT,        /* 504, or our own deadline */
    KUBE_ERROR_TLS,            /* the server is not who it should be, or does not accept us */
    KUBE_ERROR_PROTOCOL,       /* an answer that is not the protocol */
    KUBE_ERROR_CONFIG,         /* kubeconfig, tokens, in-cluster files */
};

#define KUBE_ERROR kube_error_quark()
GQuark kube_error_quark(void);

/* HTTP status behind the error; 0 where no answer came or it is another domain. */
unsigned kube_error_status(const GError *error);

/* From Retry-After or details.retryAfterSeconds; 0 = the server named none.
 * At most an hour. */
uint32_t kube_error_retry_after_ms(const GError *error);

/* Status.reason ("Conflict", "Expired", ...), "" without one. Borrowed. */
const char *kube_error_reason(const GError *error);

/* Whether asking again later may help: TOO_MANY, INTERNAL, UNAVAILABLE, TIMEOUT. */
gboolean kube_error_is_transient(const GError *error);

/* From a failed answer: HTTP status, Retry-After header (NULL = none) and body,
 * which is a metav1.Status or anything. */
GError *kube_error_from_answer(unsigned status, const char *retry_after, const char *body, size_t len);

/* The same for the Status object of a watch ERROR event. */
GError *kube_error_from_status(const char *json, size_t len);

#endif
