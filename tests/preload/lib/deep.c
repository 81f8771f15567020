/* SPDX-License-Identifier: Apache-2.0
 *
 * A plug-in as some Python packages are: opened with RTLD_DEEPBIND, it finds
 * the driver through its own dlopen and dlsym.
 */
#include <dlfcn.h>
#include <stddef.h>

void *deep_find(const char *name);

void *deep_find(const char *name)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    return driver ? dlsym(driver, name) : NULL;
}
