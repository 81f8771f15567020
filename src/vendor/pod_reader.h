/* SPDX-License-Identifier: Apache-2.0
 *
 * The hash behind struct pod_reader: is this name a resource or an annotation
 * of ours, what is our own copy of it, and what hangs on it?
 */
#ifndef HAMI_VENDOR_POD_READER_H
#define HAMI_VENDOR_POD_READER_H

#include "vendor/parse.h"

struct pod_name {
    const char *text; /* our own copy */
    size_t len;
    bool resource;     /* else the key of an annotation */
    bool kept;         /* read from pods */
    bool assigned;     /* an annotation that neither users nor the webhook write */
    uint64_t families; /* a resource's, by their rows */
};

/* NULL = not known. */
const struct pod_name *pod_reader_resource(const struct pod_reader *r, struct json_text name);
const struct pod_name *pod_reader_annotation(const struct pod_reader *r, struct json_text key);

/* Whether only the scheduler and agents write an annotation or label of that name. `known` is what
 * pod_reader_annotation() says of it. */
bool pod_reader_is_assigned(const struct pod_name *known, struct json_text key);

#endif
