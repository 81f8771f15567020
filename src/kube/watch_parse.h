/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages of a list and events of a watch, taken apart without a tree. Pure; for
 * src/kube, its tests and its fuzzing.
 */
#ifndef HAMI_KUBE_WATCH_PARSE_H
#define HAMI_KUBE_WATCH_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#define KUBE_VERSION_MAX 64    /* bytes of a resourceVersion with its NUL; opaque to clients */
#define KUBE_CONTINUE_MAX 8192 /* bytes of a continue token with its NUL */

struct kube_page {
    char version[KUBE_VERSION_MAX];
    char more[KUBE_CONTINUE_MAX]; /* "": the last page */
};

/* Calls back with each item in turn; false from it stops. */
typedef bool (*kube_page_item)(const char *json, size_t len, void *data);

/* False: not a list, or not all of it (*ret_fault: a static sentence), or the
 * callback stopped (NULL). Items before the fault were given. */
bool kube_page_parse(const char *json, size_t len, kube_page_item item, void *data, struct kube_page *ret,
                     const char **ret_fault);

enum kube_frame_type {
    KUBE_FRAME_ADDED,
    KUBE_FRAME_MODIFIED,
    KUBE_FRAME_DELETED,
    KUBE_FRAME_BOOKMARK,
    KUBE_FRAME_ERROR,
};

/* One line of a watch. `object` points into it. */
struct kube_frame {
    enum kube_frame_type type;
    const char *object;
    size_t len;
    char version[KUBE_VERSION_MAX]; /* of the object; "" for ERROR */
};
bool kube_frame_parse(const char *line, size_t len, struct kube_frame *ret, const char **ret_fault);

#endif
