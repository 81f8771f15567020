/* SPDX-License-Identifier: Apache-2.0
 *
 * device-config.yaml: a set that keeps its promises, or an error that says
 * where.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "vendor/config.h"

static void check(const struct family_set *set)
{
    for (uint32_t i = 0; i < set->n; i++) {
        const struct family *f = set->rows[i];
        if (f->id != i || !f->word || !*f->word || family_of_word(set, f->word) != f || !f->writes[0].key)
            abort();
        for (uint32_t t = 1; f->shapes && t < f->shapes->n; t++)
            if (f->shapes->shapes[t].mem_bytes < f->shapes->shapes[t - 1].mem_bytes)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vendor_options all = {true, true};
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) error = NULL;
    g_autoptr(FamilySet) set = vendor_config_parse((const char *)data, size, &all, warnings, &error);
    if ((set == NULL) != (error != NULL))
        abort();
    if (!set) {
        if (!g_str_has_prefix(error->message, "device-config.yaml:"))
            abort();
        return 0;
    }
    check(set);
    g_auto(GStrv) names = vendor_config_resources(set);
    if (!names)
        abort();
    return 0;
}
