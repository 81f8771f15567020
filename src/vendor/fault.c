/* SPDX-License-Identifier: Apache-2.0 */
#include "vendor/fault.h"

static void fault_free(gpointer fault)
{
    struct vendor_fault *f = fault;
    g_free(f->text);
    g_free(f);
}

GPtrArray *vendor_faults_new(void)
{
    return g_ptr_array_new_with_free_func(fault_free);
}

void vendor_fault_add(GPtrArray *faults, enum admit_check check, const char *format, ...)
{
    va_list args;
    if (!faults)
        return;
    struct vendor_fault *f = g_new(struct vendor_fault, 1);
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args); /* values are cut, perhaps inside a character */
    va_end(args);
    *f = (struct vendor_fault){.check = check, .text = g_utf8_make_valid(text, -1)};
    g_ptr_array_add(faults, f);
}
