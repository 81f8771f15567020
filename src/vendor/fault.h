/* SPDX-License-Identifier: Apache-2.0
 *
 * What is wrong with a pod, collected while it is read: all of it, so that a
 * user need not fix one number at a time.
 */
#ifndef HAMI_VENDOR_FAULT_H
#define HAMI_VENDOR_FAULT_H

#include <glib.h>

#include "vendor/check.h"

#define FAULT_NAME "%.63s"  /* a container's name, which may be hostile */
#define FAULT_VALUE "%.64s" /* what was written */

struct vendor_fault {
    enum admit_check check;
    char *text; /* names container, field, value and remedy */
};

GPtrArray *vendor_faults_new(void); /* of struct vendor_fault, owned */
/* faults NULL: nobody asks. */
void vendor_fault_add(GPtrArray *faults, enum admit_check check, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif
