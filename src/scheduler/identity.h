/* SPDX-License-Identifier: Apache-2.0
 *
 * The name of this instance in a lease of its own: "<host>_<rest>".
 *
 * A process that is started again in the place of one that died (same boot, same
 * network namespace, hence same pod) gets the same name, finds the lease in its
 * own hand and need not wait until it runs out. No two living processes have the
 * same name: who bears it holds an abstract socket, which the kernel closes with
 * the process; whoever comes second gets a random name.
 */
#ifndef HAMI_SCHEDULER_IDENTITY_H
#define HAMI_SCHEDULER_IDENTITY_H

/* To be freed; *ret_socket (-1: the name is random) is to stay open as long as the name is used. */
char *identity_of(const char *host, const char *lease_namespace, const char *lease_name, int *ret_socket);

#endif
