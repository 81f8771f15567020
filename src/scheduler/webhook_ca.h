/* SPDX-License-Identifier: Apache-2.0
 *
 * Our certificate authority in the webhook configuration (--webhook-configuration):
 * added to its caBundle beside those of other instances, so that any of them may
 * answer. Only the webhook of our name gets it, or the only one there is: another's
 * calls are not ours to vouch for.
 *
 * 1. The configuration is watched: made anew or overwritten, it gets our authority
 *    again at once; who overwrites it again and again is answered ever more slowly.
 * 2. Where the watch is refused, it is read instead: once for each authority, and
 *    after a failure with growing pauses until it is entered.
 * 3. Each patch names the version it was made for.
 * What is wrong is said once, until it is something else.
 */
#ifndef HAMI_SCHEDULER_WEBHOOK_CA_H
#define HAMI_SCHEDULER_WEBHOOK_CA_H

#include "kube/client.h"

struct webhook_ca;

/* Borrows name and client. NULL without a name; the others take that. `entered` is called when the
 * configuration holds what was set. */
struct webhook_ca *webhook_ca_new(KubeClient *client, const char *name, void (*entered)(void *data),
                                  void *data);
void webhook_ca_free(struct webhook_ca *w);

/* What is to be entered from now on, PEM, copied. */
void webhook_ca_set(struct webhook_ca *w, const char *ca_pem);

#endif
