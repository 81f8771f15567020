/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests that follow from the families in force, so that they need not be
 * kept in step by hand: what kube-scheduler must be told, and what the API server
 * refuses by itself (policy.h).
 */
#include <string.h>

#include "base/status.h"
#include "scheduler/policy.h"
#include "scheduler/service.h"

static char *managed_resources(const struct scheduler_options *options, const struct family_set *set)
{
    (void)options;
    g_auto(GStrv) names = vendor_config_resources(set);
    GString *out = g_string_new("managedResources:\n");
    for (char **n = names; *n; n++)
        g_string_append_printf(out, "- {name: %s, ignoredByScheduler: true}\n", *n);
    return g_string_free(out, FALSE);
}

static const struct {
    const char *name;
    char *(*print)(const struct scheduler_options *options, const struct family_set *set);
} prints[] = {
    {"managed-resources", managed_resources},
    {"admission-policy", policies_print},
};

char *scheduler_print(const struct scheduler_options *options, const char *what, GError **error)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(FamilySet) set = vendor_config_parse(
        options->device_config, options->device_config ? strlen(options->device_config) : 0,
        &options->vendors, warnings, error);
    log_config_warnings(options, warnings);
    for (size_t i = 0; set && i < G_N_ELEMENTS(prints); i++)
        if (strcmp(prints[i].name, what) == 0)
            return prints[i].print(options, set);
    if (set)
        g_set_error(error, STATUS_ERROR, STATUS_USAGE,
                    "--print %s: is neither managed-resources nor admission-policy", what);
    return NULL;
}
