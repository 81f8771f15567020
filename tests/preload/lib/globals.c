/* SPDX-License-Identifier: Apache-2.0
 *
 * A program whose global names are common ones, built with a sanitizer in one
 * variant: uses the driver and checks that its own memory is its own.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mutex = 1, initialized = 2, config = 3, slice = 4, real = 5, lock = 6;

int main(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    int (*init)(unsigned) = driver ? (int (*)(unsigned))dlsym(driver, "cuInit") : NULL;
    if (!init || init(0) != 0)
        return 1;
    char *p = malloc(100);
    memset(p, 1, 100);
    free(p);
    printf("%d\n", mutex + initialized + config + slice + real + lock);
    return 0;
}
