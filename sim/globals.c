/* SPDX-License-Identifier: Apache-2.0
 *
 * Global variables of modules: any name is found, with 4 KiB behind it.
 */
#include "objects.h"

void sim_globals_free(struct sim_module *m)
{
    m->globals = NULL;
}
