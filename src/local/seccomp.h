/* SPDX-License-Identifier: Apache-2.0
 *
 * A system call filter that forbids user namespaces: inside a new one a tenant
 * would have the right to mount over grant and library for its own programs.
 */
#ifndef HAMI_LOCAL_SECCOMP_H
#define HAMI_LOCAL_SECCOMP_H

#include <stdbool.h>

/* Installs the filter for this process and its children. Needs CAP_SYS_ADMIN,
 * so that set-user-ID programs (su, sudo) keep working. False: errno says why. */
bool seccomp_forbid_namespaces(void);

#endif
