/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver loads when CUDA_INJECTION64_PATH names it.
 */
#include <stdio.h>
#include <stdlib.h>

int InitializeInjection(void);

int InitializeInjection(void)
{
    FILE *f = fopen(getenv("INJECTED_SAYS"), "a");

    if (f) {
        fputs("injected\n", f);
        fclose(f);
    }
    return 1;
}
