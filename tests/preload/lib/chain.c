/* SPDX-License-Identifier: Apache-2.0
 *
 * One link of a chain of libraries that each define chain() and hand on to the
 * next; CHAIN_NAME says which this is. Also an own function of a driver
 * entry's name, which is nobody else's business, and what an interposer of the
 * driver would find behind itself.
 */
#include <dlfcn.h>
#include <stddef.h>

int chain(char *path);
int cuMemAlloc_v2(void *p, size_t n);
void *chain_next(const char *name);

int chain(char *path)
{
    int (*next)(char *) = (int (*)(char *))dlsym(RTLD_NEXT, "chain");
    *path = CHAIN_NAME;
    return next ? 1 + next(path + 1) : 1;
}

int cuMemAlloc_v2(void *p, size_t n)
{
    (void)p, (void)n;
    return 4711;
}

void *chain_next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}
