/* SPDX-License-Identifier: Apache-2.0
 *
 * An address to connect to whose certificate is for another name: what
 * tls-server-name asks for. For src/kube only.
 */
#ifndef HAMI_KUBE_NAMED_ADDRESS_H
#define HAMI_KUBE_NAMED_ADDRESS_H

#include <gio/gio.h>

/* Connects to host:port; TLS announces and verifies `name`. Caller unrefs. */
GSocketConnectable *kube_named_address_new(const char *host, guint16 port, const char *name);

#endif
