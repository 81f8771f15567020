/* SPDX-License-Identifier: Apache-2.0
 *
 * MIG allocations: what is taken keeps the rules, and is written so that it is
 * taken again alike.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "model/mig_allocation.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mig_allocations a, b;
    g_autofree char *why = NULL;
    bool ok = mig_allocation_parse((const char *)data, size, &a, &why);
    if (ok != (why == NULL) || (!ok && a.n))
        abort();
    if (!ok)
        return 0;
    for (unsigned i = 0; i < a.n; i++)
        if (!*a.rows[i].gpu_uuid || !*a.rows[i].profile || a.rows[i].size == 0 ||
            a.rows[i].start + a.rows[i].size > 16 ||
            mig_allocation_find(&a, a.rows[i].slot, a.rows[i].device) != &a.rows[i])
            abort();
    g_autofree char *text = mig_allocation_format(a.rows, a.n);
    if (!mig_allocation_parse(text, strlen(text), &b, &why))
        abort();
    g_autofree char *again = mig_allocation_format(b.rows, b.n);
    if (strcmp(text, again) != 0)
        abort();
    mig_allocations_clear(&a);
    mig_allocations_clear(&b);
    return 0;
}
