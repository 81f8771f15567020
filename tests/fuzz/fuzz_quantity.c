/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantities: what is an integer must be the same integer when it is written
 * down plainly and read again.
 */
#include "model/kube_quantity.h"
#include "tests/fuzz/fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    int64_t value = 0, again = 0;
    char plain[24];
    kube_quantity_has_suffix(text, size);
    if (kube_quantity_parse(text, size, &value) != KUBE_QUANTITY_INTEGER)
        return 0;
    int n = snprintf(plain, sizeof plain, "%" PRId64, value);
    enum kube_quantity kind = kube_quantity_parse(plain, (size_t)n, &again);
    if (n - (value < 0) <= 18 && (kind != KUBE_QUANTITY_INTEGER || again != value))
        abort();
    return 0;
}
