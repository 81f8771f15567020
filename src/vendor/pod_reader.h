/* SPDX-License-Identifier: Apache-2.0
 *
 * The hash behind struct pod_reader: is this name a resource or an annotation
 * of ours, and what is our own copy of it?
 */
#ifndef HAMI_VENDOR_POD_READER_H
#define HAMI_VENDOR_POD_READER_H

#include "vendor/parse.h"

/* NULL = not ours. */
const char *pod_reader_resource(const struct pod_reader *r, struct json_text name);
const char *pod_reader_annotation(const struct pod_reader *r, struct json_text key);

#endif
