/* SPDX-License-Identifier: Apache-2.0
 *
 * device-config.yaml (scheduler.md section 8.1, vendors.md section 2.6) and
 * the families that it and the built-in defaults make.
 */
#ifndef HAMI_VENDOR_CONFIG_H
#define HAMI_VENDOR_CONFIG_H

#include <glib.h>

#include "model/family.h"

struct vendor_options {
    bool enable_ascend, enable_iluvatar; /* --enable-... */
};

/* Families from the text of the file; NULL text = the built-in defaults (those
 * of the reference's chart). Unknown keys go to `warnings` (GPtrArray of char*,
 * may be NULL) with line and column; a wrong type or value fails with
 * STATUS_ERROR and "device-config.yaml:LINE:COLUMN: key: what is wrong and what
 * to write". Caller frees with vendor_config_free(). */
struct family_set *vendor_config_parse(const char *text, size_t len, const struct vendor_options *options,
                                       GPtrArray *warnings, GError **error);
void vendor_config_free(struct family_set *set);
typedef struct family_set FamilySet;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FamilySet, vendor_config_free)

/* Every resource name that makes a pod ours, for the kube-scheduler's managedResources. NULL-terminated,
 * caller frees. */
char **vendor_config_resources(const struct family_set *set);

#endif
