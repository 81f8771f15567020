/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that a configuration names, read within bounds. For src/kube only.
 */
#ifndef HAMI_KUBE_CONFIG_FILES_H
#define HAMI_KUBE_CONFIG_FILES_H

#include <glib.h>
#include <stddef.h>

#define KUBE_TOKEN_MAX (64 << 10)

/* NUL-terminated; ret_len may be NULL. Caller frees. The error names the file. */
char *kube_config_read(const char *path, size_t max, size_t *ret_len, GError **error);

/* One token without blanks around it. Caller frees. */
char *kube_config_token(const char *path, GError **error);

#endif
