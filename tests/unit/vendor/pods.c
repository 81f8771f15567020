/* SPDX-License-Identifier: Apache-2.0 */
#include "pods.h"

struct family_set *pods_families(void)
{
    static const struct vendor_options all = {.enable_ascend = true, .enable_iluvatar = true};
    GError *error = NULL;
    struct family_set *set = vendor_config_parse(NULL, 0, &all, NULL, &error);
    g_assert_no_error(error);
    g_assert_nonnull(set);
    return set;
}

char *pods_text(const char *quoted)
{
    return g_strdelimit(g_strdup(quoted), "'", '"');
}

char *pods_one(const char *limits, const char *annotations)
{
    g_autofree char *quoted =
        g_strdup_printf("{'metadata':{'name':'p','namespace':'ns','uid':'u1','annotations':{%s}},"
                        "'spec':{'containers':[{'name':'main','resources':{'limits':{%s}}}]}}",
                        annotations ? annotations : "", limits);
    return pods_text(quoted);
}
