/* SPDX-License-Identifier: Apache-2.0
 *
 * Who we are, at this moment: tokens and client certificates that rotate in
 * files are read again when the files change, at least once a minute (tokens),
 * and when the server refused them. For src/kube only.
 */
#ifndef HAMI_KUBE_CREDENTIALS_H
#define HAMI_KUBE_CREDENTIALS_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#include "kube/config.h"

struct kube_credentials;

/* Borrows the configuration. */
struct kube_credentials *kube_credentials_new(const struct kube_config *config, GError **error);
void kube_credentials_free(struct kube_credentials *c);

/* "Bearer ..." or NULL without a token; borrowed until the next call. False
 * when a file cannot be read and nothing was read before. */
bool kube_credentials_header(struct kube_credentials *c, const char **ret, GError **error);

/* Why the token's file cannot be read while the token read before is used; NULL when it can be, or when that
 * was told already. Caller frees. */
GError *kube_credentials_trouble(struct kube_credentials *c);

/* NULL without one. Borrowed until the next call. */
GTlsCertificate *kube_credentials_certificate(struct kube_credentials *c);

/* The server said 401 to who came with `header` (NULL: without): reads again, unless that was done meanwhile.
 * True when there is another to come with. */
bool kube_credentials_renew(struct kube_credentials *c, const char *header);

/* How many times token files were read. */
uint64_t kube_credentials_reads(const struct kube_credentials *c);

#endif
