/* SPDX-License-Identifier: Apache-2.0
 *
 * Pods for tests: the families of the built-in configuration with everything
 * enabled, and pod texts with ' for ".
 */
#ifndef HAMI_TESTS_VENDOR_PODS_H
#define HAMI_TESTS_VENDOR_PODS_H

#include <jansson.h>

#include "vendor/config.h"
#include "vendor/parse.h"

/* Fails the test when there are none. Caller frees. */
struct family_set *pods_families(void);

/* The text with " for '. Caller frees. */
char *pods_text(const char *quoted);

/* A pod with one container "main" of these limits and these annotations (inner texts of the objects). */
char *pods_one(const char *limits, const char *annotations);

/* Applies the operations (add and replace), as strictly as RFC 6902 is: a parent or a replaced member that
 * is missing fails the test. */
void pods_apply(json_t *pod, const char *patch);

#endif
