/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/manifest_flags.h"

#include <string.h>

struct manifest_options manifest_flags_options(const struct manifest_flags *f)
{
    return (struct manifest_options){
        .vendor = f->vendor,
        .request = f->request.n ? f->request.texts : NULL,
        .gpus = f->gpus,
        .size = f->size,
        .mem = f->mem,
        .cores = f->cores,
        .priority = f->priority,
        .use_type = f->type,
        .not_type = f->not_type,
        .use_uuid = f->uuid,
        .not_uuid = f->not_uuid,
        .node_policy = f->node_policy,
        .card_policy = f->card_policy,
        .weights = f->weights,
        .mode = f->mode,
        .qos = f->qos,
        .app_class = f->app_class,
        .topology = f->topology,
        .numa = f->numa,
    };
}

struct family_set *manifest_flags_families(const struct verb *v, const struct manifest_flags *f,
                                           int *ret_status)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    struct vendor_options all = {.enable_ascend = true, .enable_iluvatar = true};
    gsize len = 0;
    struct family_set *set = NULL;
    if (!f->device_config || cli_read_file("device-config-file", f->device_config, &text, &len, &error))
        set = vendor_config_parse(text, len, &all, warnings, &error);
    for (guint i = 0; i < warnings->len; i++)
        cli_usage(v, "%s", (const char *)warnings->pdata[i]); /* goes on */
    *ret_status = set ? STATUS_OK : cli_fail(v, error);
    return set;
}
