/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of reading a pod share: pod_object.c reads the pod,
 * pod_container.c one container of it.
 */
#ifndef HAMI_VENDOR_POD_SCAN_H
#define HAMI_VENDOR_POD_SCAN_H

#include "vendor/pod_reader.h"

struct pod_scan {
    const struct pod_reader *reader;
    struct json_scan *s;
    void **arena;
    bool lenient; /* what cannot be taken is left out instead of being a fault */
    bool fresh;   /* see pod_object_scan_new() */
};

/* A copy with a NUL; "" and a fault of the scanner when the text is broken. */
const char *pod_scan_copy(const struct pod_scan *p, struct json_text text);
/* The next value, when it is a text; else *ret stays. */
void pod_scan_string(const struct pod_scan *p, const char **ret);

/* The next value as a container, filled into c, whose `init` is set already. */
void pod_scan_container(const struct pod_scan *p, struct pod_container *c);

#endif
